--
-- engagement: the summary of what a lead did
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
RESET client_min_messages;
CREATE SCHEMA eng;
SET search_path = eng, leadscore;
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
SET DateStyle = 'ISO';

-- Check whether any of our opclasses fail amvalidate
SELECT am.amname, opc.opcname, amvalidate(opc.oid)
  FROM pg_opclass opc JOIN pg_am am ON am.oid = opc.opcmethod
 WHERE opc.opcintype = 'engagement'::regtype
 ORDER BY am.amname COLLATE "C";

SELECT amproc.amprocnum, amproc.amproc
  FROM pg_amproc amproc
 WHERE amproc.amproclefttype = 'engagement'::regtype
 ORDER BY amproc.amprocnum;

SELECT typlen, typbyval, typalign, typstorage, typcategory
  FROM pg_type WHERE oid = 'engagement'::regtype;

--
-- Text
--
SELECT '{"rules": "0123456789abcdef", "entries": [
         {"rule": 17, "count": 3, "last": "2026-01-31T12:00:00Z",
          "half_life": "P7D", "decayed": 1.75, "keep": 2, "latest": ["2026-01-31T12:00:00Z", "2026-01-24T12:00:00.000001Z"]},
         {"rule": 4, "count": 9, "last": "2026-01-02T03:04:05.678Z"},
         {"rule": -9223372036854775808, "count": 1, "last": "2026-01-02T03:04:05Z", "half_life": "PT36H", "decayed": 1},
         {"rule": 9223372036854775807, "count": 4294967295, "last": "2026-01-02T03:04:05Z", "keep": 1, "latest": ["2026-01-02T03:04:05Z"]}
       ]}'::engagement AS everything \gset
SELECT :'everything' AS everything;
SELECT * FROM engagement_entries(:'everything');
SELECT '{}'::engagement AS nothing, '{"entries": []}'::engagement AS nothing, '{"rules": "0000000000000000"}'::engagement AS nothing,
       ' {"rules": "00000000DEADBEEF" } '::engagement AS known_rules;
-- nothing is lost, whatever order the keys come in
CREATE TABLE sample (id integer PRIMARY KEY, e engagement);
INSERT INTO sample VALUES (1, '{}'), (2, '{"rules": "ffffffffffffffff"}'), (3, :'everything'),
  -- the ends of what times, half-lives and counts can be
  (4, '{"entries": [{"rule": 1, "count": 1, "last": "4714-11-24T00:00:00Z BC"}, {"rule": 2, "count": 1, "last": "294276-12-31T23:59:59.999999Z"},
        {"rule": 3, "count": 1, "last": "0001-01-01T00:00:00Z"}, {"rule": 4, "count": 1, "last": "0001-12-31T23:59:59.999999Z BC"},
        {"rule": 5, "count": 2, "last": "2000-02-29T00:00:00Z", "half_life": "PT0.000001S", "decayed": 1.0000000000000002},
        {"rule": 6, "count": 2, "last": "2000-01-01T00:00:00Z", "half_life": "P106751991DT4H54.775807S", "decayed": 1.9999999999999998},
        {"rule": 7, "count": 4294967295, "last": "2000-01-01T00:00:00Z", "half_life": "P1W", "decayed": 4294967294.9999995},
        {"rule": 8, "count": 4294967295, "last": "1999-12-31T23:59:59.9Z", "half_life": "P1DT2H3M4.5S", "decayed": 4294967295}]}'),
  (5, (SELECT engagement_agg(g % 5, '2026-01-01'::timestamptz + g * interval '7 hours 0.3 s', CASE WHEN g % 5 > 2 THEN interval '10 days' * (g % 5) END, 32 * (g % 3))
         FROM generate_series(-150, 149, 3) g)),
  (6, (SELECT engagement_agg(g, '2026-01-01'::timestamptz + g * interval '1 minute', '1 day', 0) FROM generate_series(1, 1000) g)),
  (7, '{"entries": [{"rule": 1, "count": 1, "last": "2026-01-01T00:00:00Z", "keep": 64, "latest": ["2026-01-01T00:00:00Z"]}]}');
SELECT e FROM sample WHERE id IN (1, 2, 4, 7) ORDER BY id;
SELECT id, e::text::engagement = e AS same, e::text::jsonb::text::engagement = e AS same_from_jsonb FROM sample ORDER BY id;
SELECT rule, half_life FROM engagement_entries((SELECT e FROM sample WHERE id = 4)) WHERE half_life IS NOT NULL;
-- times as the server prints them in JSON are read, too, and durations of any form of ISO 8601
SELECT format('{"entries": [{"rule": 1, "count": 1, "last": "%s", "half_life": "%s", "decayed": 1e0}]}', t, h)::engagement
  FROM (VALUES ('2026-01-02T03:04:05+02:00', 'P1W'), ('2026-01-02 03:04:05.5-03:30', 'PT48H'), ('2026-01-02T03:04:05.123456+00:00:30', 'P0.5D'), ('2026-01-02T03:04:05+14', 'P0000-00-02T00:00:01')) v (t, h);
SELECT jsonb_build_object('entries', jsonb_build_array(jsonb_build_object('rule', 5, 'count', 1, 'last', '2026-01-02 03:04:05'::timestamptz)))::text::engagement;

-- no setting matters
CREATE FUNCTION settings(OUT date_style text, OUT zone text, OUT interval_style text, OUT digits text) RETURNS SETOF record LANGUAGE sql AS $$
  SELECT * FROM (VALUES ('ISO, MDY'), ('SQL, DMY'), ('German'), ('Postgres, YMD')) a, (VALUES ('UTC'), ('America/St_Johns'), ('Asia/Tokyo')) b,
    (VALUES ('postgres'), ('postgres_verbose'), ('sql_standard'), ('iso_8601')) c, (VALUES ('-15'), ('0'), ('3')) d $$;
CREATE TABLE printed AS SELECT id, e, e::text AS text FROM sample;
DO $$
DECLARE
  s record;
  differ bigint;
  n integer := 0;
BEGIN
  FOR s IN SELECT * FROM settings() LOOP
    PERFORM set_config('DateStyle', s.date_style, true), set_config('TimeZone', s.zone, true),
            set_config('IntervalStyle', s.interval_style, true), set_config('extra_float_digits', s.digits, true);
    SELECT count(*) INTO differ FROM printed WHERE e::text <> text OR text::engagement <> e;
    ASSERT differ = 0, s::text;
    n := n + 1;
  END LOOP;
  RAISE NOTICE 'the same under % settings', n;
END $$;

-- what is refused, and why
CREATE FUNCTION refused(input text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  message text;
  detail text;
BEGIN
  RETURN 'TAKEN: ' || input::engagement;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
  IF message <> 'invalid input value for type engagement' THEN
    RETURN SQLSTATE || ' ' || message;
  END IF;
  RETURN SQLSTATE || ' ' || detail;
END $$;
SELECT '{"entries": [{"rule": 1, "count": 0, "last": "2026-01-31T12:00:00Z"}]}'::engagement;
SELECT '[]'::engagement;
SELECT input, refused(input) FROM unnest(ARRAY['', 'x', '{', 'null', '1', '[{"entries": []}]', '{"Entries": []}', '{"entries": {}}', '{"entries": null}', '{"entries": [1]}',
  '{"entries": [[]]}', '{"entries": [{}]}', '{"entries": [{"rule": 1}]}', '{"rules": 1}', '{"rules": "12"}', '{"rules": "0123456789abcdeg"}', '{"rules": "0x23456789abcdef"}', '{"rules": ["0123456789abcdef"]}']) input;
-- one key at a time
SELECT change, refused(jsonb_build_object('entries', jsonb_build_array(jsonb_strip_nulls(
         '{"rule": 1, "count": 3, "last": "2026-01-31T12:00:00Z", "half_life": "P7D", "decayed": 1.75, "keep": 2, "latest": ["2026-01-31T12:00:00Z", "2026-01-24T12:00:00Z"]}'::jsonb
         || change::jsonb)))::text)
  FROM unnest(ARRAY['{"rule": null}', '{"rule": 1.5}', '{"rule": 1.0}', '{"rule": "1"}', '{"rule": true}', '{"rule": [1]}', '{"rule": 9223372036854775808}', '{"rule": 1e30}',
    '{"count": null}', '{"count": 0}', '{"count": -3}', '{"count": 2.5}', '{"count": 4294967296}', '{"count": "3"}', '{"count": 1}',
    '{"last": null}', '{"last": 5}', '{"last": ""}', '{"last": "infinity"}', '{"last": "-infinity"}', '{"last": "now"}', '{"last": "2026-01-31"}', '{"last": "2026-01-31T12:00:00"}',
    '{"last": "2026-02-29T12:00:00Z"}', '{"last": "2026-13-01T12:00:00Z"}', '{"last": "2026-00-01T12:00:00Z"}', '{"last": "2026-01-00T12:00:00Z"}', '{"last": "0000-01-31T12:00:00Z"}',
    '{"last": "2026-01-31T24:00:00Z"}', '{"last": "2026-01-31T12:60:00Z"}', '{"last": "2026-01-31T12:00:60Z"}', '{"last": "2026-01-31T12:00:00.Z"}', '{"last": "2026-01-31T12:00:00.1234567Z"}',
    '{"last": "2026-01-31T12:00:00Zulu"}', '{"last": "2026-01-31T12:00:00Z bc"}', '{"last": "2026-1-31T12:00:00Z"}', '{"last": "2026-01-31T12:00:00+16:00"}', '{"last": "2026-01-31T12:00:00+01:60"}',
    '{"last": "294277-01-01T00:00:00Z"}', '{"last": "999999-01-01T00:00:00Z"}', '{"last": "4714-11-23T00:00:00Z BC"}', '{"last": "294276-12-31T23:59:59-01:00"}', '{"last": "2026-01-31T12:00:01Z"}',
    '{"half_life": null}', '{"half_life": 604800}', '{"half_life": "7 days"}', '{"half_life": "P0D"}', '{"half_life": "P-1D"}', '{"half_life": "P1M"}', '{"half_life": "P1Y"}', '{"half_life": "P1M1D"}', '{"half_life": "P1YT1S"}', '{"half_life": "P"}',
    '{"half_life": ""}', '{"half_life": "PT1S7"}', '{"half_life": "P106751992D"}', '{"half_life": "P2147483648D"}', '{"half_life": "P2147483647D"}', '{"half_life": "infinity"}',
    '{"decayed": null}', '{"decayed": 0}', '{"decayed": 0.9999999999999999}', '{"decayed": 3.0000000000000004}', '{"decayed": -1}', '{"decayed": "NaN"}', '{"decayed": 1e400}', '{"decayed": 1e-400}', '{"half_life": null, "decayed": null}',
    '{"keep": null}', '{"keep": 0}', '{"keep": -1}', '{"keep": 65}', '{"keep": 1e9}', '{"keep": 1.5}', '{"keep": 1}', '{"keep": 3}', '{"keep": "2"}',
    '{"latest": null}', '{"latest": []}', '{"latest": "2026-01-31T12:00:00Z"}', '{"latest": [1, 2]}', '{"latest": [null]}', '{"latest": ["2026-01-31T12:00:00Z"]}', '{"latest": ["2026-01-31T12:00:00Z", ["2026-01-24T12:00:00Z"]]}',
    '{"latest": ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000001Z"]}', '{"latest": ["2026-01-31T11:00:00Z", "2026-01-24T12:00:00Z"]}', '{"latest": ["2026-01-31T12:00:00Z", "infinity"]}', '{"latest": ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"]}',
    '{"latests": []}', '{"Rule": 1}', '{"": 1}']) change;
SELECT refused('{"entries": [{"rule": 7, "count": 1, "last": "2026-01-31T12:00:00Z"}, {"rule": 8, "count": 1, "last": "2026-01-31T12:00:00Z"}, {"rule": 7, "count": 1, "last": "2026-01-31T12:00:00Z"}]}');
SELECT refused('{"entries": [{"rule": 7, "count": 1, "last": "2026-01-31T12:00:00Z"}, {"rule": 8, "count": 1}]}');
SELECT refused('{"entries": [{"rule": 1, "count": 65, "keep": 64, "last": "2026-01-31T12:00:00Z", "latest": [' || repeat('"2026-01-31T12:00:00Z",', 64) || '"2026-01-31T12:00:00Z"]}]}');
SELECT refused(repeat('[', 100000)) ~ '^(22P02|54001)' AS deep;
-- A byte less, and a byte that says something else: taken or 22P02, and what
-- is taken comes back the same.
DO $$
DECLARE
  taken integer := 0;
  refused integer := 0;
  input text;
  read engagement;
BEGIN
  FOR input IN
    SELECT overlay(t.text PLACING c.other FROM g FOR 1)
      FROM (SELECT replace(e::text, ' ', '') AS text FROM eng.sample WHERE id = 3) t, generate_series(1, length(t.text)) g, (VALUES (''), ('0'), ('9'), ('"'), ('-'), ('}'), (',')) c (other)
  LOOP
    BEGIN
      read := input;
      taken := taken + 1;
      ASSERT read::text::engagement = read, input;
    EXCEPTION WHEN invalid_text_representation THEN
      refused := refused + 1;
    END;
  END LOOP;
  RAISE NOTICE 'taken: %, refused: %', taken, refused;
END $$;

-- From 16 on, input errors are soft; before, there is no way to ask.
DO $$
DECLARE
  found text;
BEGIN
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE $q$
      SELECT concat_ws(' ', pg_input_is_valid('{}', 'leadscore.engagement'), pg_input_is_valid('{', 'leadscore.engagement'), pg_input_is_valid('[]', 'leadscore.engagement'),
               pg_input_is_valid('{"entries": [{"rule": 1, "rul": 2}]}', 'leadscore.engagement'), pg_input_is_valid('{"entries": [{"rule": 1}, {}]}', 'leadscore.engagement'),
               e.sql_error_code, e.message, e.detail)
        FROM pg_input_error_info('{"entries": [2]}', 'leadscore.engagement') AS e $q$ INTO found;
    ASSERT found = 't f f f f 22P02 invalid input value for type engagement In entry 1, there is no object.', found;
  END IF;
END $$;

--
-- Binary
--
SELECT engagement_send(e) FROM sample WHERE id IN (1, 2, 3) ORDER BY id;

-- there and back, through binary COPY
\getenv abs_builddir PG_ABS_BUILDDIR
\cd :abs_builddir
CREATE TABLE sample_copy (LIKE sample);
\copy sample TO 'results/engagement.bin' (FORMAT binary)
\copy sample_copy FROM 'results/engagement.bin' (FORMAT binary)
SELECT count(*), count(*) FILTER (WHERE s.e = c.e) AS same FROM sample s JOIN sample_copy c USING (id);

-- Binary COPY carries no types, so a bytea column says whatever we like.  The
-- server writes the file, since this is done for each of many images.
CREATE TABLE image (bytes bytea);
CREATE TABLE received (e engagement);
CREATE FUNCTION receive(image bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  file text := current_setting('data_directory') || '/leadscore_engagement.bin';
  detail text;
BEGIN
  TRUNCATE image, received;
  INSERT INTO image VALUES (receive.image);
  EXECUTE format('COPY image TO %L (FORMAT binary)', file);
  BEGIN
    EXECUTE format('COPY received FROM %L (FORMAT binary)', file);
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
  END;
  -- what is taken is as good as any
  ASSERT (SELECT engagement_send(e) = receive.image AND e::text::engagement = e AND e + '{}' = e FROM received), receive.image::text;
  ASSERT (SELECT bool_and(b.events = least(2 * a.events, 4294967295) AND b.last_seen = a.last_seen AND b.decayed >= a.decayed)
            FROM received, engagement_entries(e) a JOIN engagement_entries(e + e) b USING (rule)) IS NOT FALSE, receive.image::text;
  RETURN 'taken';
END $$;
-- version, rules, number of entries; rule, last, count, keep, half-life, decayed, times kept
CREATE FUNCTION image(version text, rules text, nentries text, rule text, last text, count text, keep text, half_life text, rest text) RETURNS bytea LANGUAGE sql AS
  $$ SELECT decode(concat(version, rules, nentries, rule, last, count, keep, half_life, rest), 'hex') $$;
SELECT what, receive(decode(hex, 'hex')) FROM (VALUES
  ('nothing', ''), ('version', '01'), ('no number of entries', '010000000000000000000000'), ('empty', '01000000000000000000000000'), ('empty, and more', '0100000000000000000000000000'),
  ('version 0', '00000000000000000000000000'), ('version 255', 'ff000000000000000000000000'), ('an entry that is not there', '01000000000000000000000001'), ('too many entries', '010000000000000000ffffffff'),
  ('more than are there', '0100000000000000007fffffff' || repeat('00', 1000))) v (what, hex);
SELECT what, receive(image('01', '0000000000000000', '00000001', '0000000000000011', last, count, keep, half_life, rest)) FROM (VALUES
  ('does not fade', '0000000000000000', '00000002', '00', '0000000000000000', ''),
  ('fades', '0000000000000000', '00000002', '00', '0000000000000001', '3ff8000000000000'),
  ('no decayed', '0000000000000000', '00000002', '00', '0000000000000001', ''),
  ('half of decayed', '0000000000000000', '00000002', '00', '0000000000000001', '3ff80000'),
  ('NaN', '0000000000000000', '00000002', '00', '0000000000000001', '7ff8000000000000'),
  ('another NaN', '0000000000000000', '00000002', '00', '0000000000000001', 'fff8000000000001'),
  ('infinite', '0000000000000000', '00000002', '00', '0000000000000001', '7ff0000000000000'),
  ('minus zero', '0000000000000000', '00000002', '00', '0000000000000001', '8000000000000000'),
  ('less than 1', '0000000000000000', '00000002', '00', '0000000000000001', '3fefffffffffffff'),
  ('more than the count', '0000000000000000', '00000002', '00', '0000000000000001', '4000000000000001'),
  ('negative half-life', '0000000000000000', '00000002', '00', '8000000000000000', '3ff8000000000000'),
  ('no events', '0000000000000000', '00000000', '00', '0000000000000000', ''),
  ('as many as there can be', '0000000000000000', 'ffffffff', '00', '0000000000000000', ''),
  ('infinite time', '7fffffffffffffff', '00000001', '00', '0000000000000000', ''),
  ('minus infinite time', '8000000000000000', '00000001', '00', '0000000000000000', ''),
  ('too late', '7ffffffffffffffe', '00000001', '00', '0000000000000000', ''),
  ('too early', '8000000000000001', '00000001', '00', '0000000000000000', ''),
  ('keeps 2', '0000000000000002', '00000002', '02', '0000000000000000', '0000000000000001'),
  ('keeps 2 of 1', '0000000000000002', '00000001', '02', '0000000000000000', ''),
  ('keeps too few', '0000000000000002', '00000002', '02', '0000000000000000', ''),
  ('keeps too many', '0000000000000002', '00000002', '02', '0000000000000000', '00000000000000010000000000000000'),
  ('a later one', '0000000000000002', '00000002', '02', '0000000000000000', '0000000000000003'),
  ('not in order', '0000000000000002', '00000003', '03', '0000000000000000', '00000000000000000000000000000001'),
  ('keeps an infinite time', '0000000000000002', '00000002', '02', '0000000000000000', '8000000000000000'),
  ('keeps 64', '0000000000000002', '00000064', '40', '0000000000000000', repeat('0000000000000001', 63)),
  ('keeps 65', '0000000000000002', '00000064', '41', '0000000000000000', repeat('0000000000000001', 64)),
  ('keeps 255', '0000000000000002', '000003e8', 'ff', '0000000000000000', repeat('0000000000000001', 254))) v (what, last, count, keep, half_life, rest);
SELECT what, receive(decode('01000000000000000000000002' || a || b, 'hex')) FROM (VALUES
  ('ascending', '000000000000001100000000000000000000000100' || '0000000000000000', '000000000000001200000000000000000000000100' || '0000000000000000'),
  ('descending', '000000000000001200000000000000000000000100' || '0000000000000000', '000000000000001100000000000000000000000100' || '0000000000000000'),
  ('twice', '000000000000001100000000000000000000000100' || '0000000000000000', '000000000000001100000000000000000000000100' || '0000000000000000'),
  ('signed', 'ffffffffffffffff00000000000000000000000100' || '0000000000000000', '000000000000000000000000000000000000000100' || '0000000000000000')) v (what, a, b);

-- each bit turned, each length, and bytes put in and taken out: taken, with all
-- that receive() asserts, or 22P03
CREATE TABLE mutated AS
  SELECT what, bytes FROM (SELECT engagement_send(e) AS b FROM sample WHERE id = 3) s, LATERAL (
    SELECT 'bit turned', set_bit(b, g, 1 - get_bit(b, g)) FROM generate_series(0, 8 * length(b) - 1) g
    UNION ALL
    SELECT 'cut', substr(b, 1, g) FROM generate_series(0, length(b) - 1) g
    UNION ALL
    SELECT 'byte more', substr(b, 1, g) || '\x01'::bytea || substr(b, g + 1) FROM generate_series(0, length(b), 3) g
    UNION ALL
    SELECT 'byte less', substr(b, 1, g) || substr(b, g + 2) FROM generate_series(0, length(b) - 1, 3) g
    UNION ALL
    SELECT 'byte full', set_byte(b, g, 255) FROM generate_series(0, length(b) - 1) g) m (what, bytes);
SELECT what, split_part(receive(bytes), ' ', 1) AS result, count(*) FROM mutated GROUP BY 1, 2 ORDER BY what COLLATE "C", 2;

--
-- Counting what has faded
--

-- The plain formula, over the events themselves
CREATE TABLE event (lead integer, rule bigint, at timestamptz, half_life interval, keep integer);
INSERT INTO event
  SELECT g % 7, r, '2026-01-01'::timestamptz + (g::bigint * 7919 * 104729 % 25920000) * interval '0.1 s' - (g % 11) * interval '0.000001 s',
         CASE WHEN r <> 2 THEN interval '1 hour' * power(5, r) END, (ARRAY[0, 3, 1, 10, 64])[r]
    FROM generate_series(1, 3000) g, LATERAL (SELECT 1 + g * 31 % 5 AS r) r;
CREATE VIEW plain AS
  SELECT lead, rule, count(*) AS events, max(last) AS last_seen, half_life, keep,
         coalesce(sum(power(2::float8, -extract(epoch FROM last - at)::float8 / extract(epoch FROM half_life)::float8)), count(*)) AS decayed,
         coalesce((array_agg(at ORDER BY at DESC))[1:keep], '{}') AS latest
    FROM (SELECT *, max(at) OVER (PARTITION BY lead, rule) AS last FROM event) e
   GROUP BY lead, rule, half_life, keep;
-- How far apart are two numbers?
CREATE FUNCTION apart(a float8, b float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT abs(a - b) / greatest(abs(a), abs(b), 1e-300)';

CREATE TABLE lead AS SELECT lead, engagement_agg(rule, at, half_life, keep) AS e FROM event GROUP BY lead;
SELECT count(*), count(*) FILTER (WHERE (x.events, x.last_seen, x.keep, x.latest) = (p.events, p.last_seen, p.keep, p.latest)
                                    AND x.half_life IS NOT DISTINCT FROM p.half_life) AS same,
       max(apart(x.decayed, p.decayed)) < 1e-12 AS near
  FROM (SELECT l.lead, x.* FROM lead l, engagement_entries(l.e) x) x FULL JOIN plain p USING (lead, rule);
-- in any order
SELECT max(apart(f.decayed, l.decayed)) < 1e-12 AS near, max(apart(b.decayed, l.decayed)) < 1e-12 AS near,
       bool_and((f.rule, f.events, f.last_seen, f.latest) = (b.rule, b.events, b.last_seen, b.latest)) AS same
  FROM (SELECT lead, x.* FROM (SELECT lead, engagement_agg(rule, at, half_life, keep ORDER BY at) AS e FROM event GROUP BY lead) f, engagement_entries(e) x) f
  JOIN (SELECT lead, x.* FROM (SELECT lead, engagement_agg(rule, at, half_life, keep ORDER BY at DESC) AS e FROM event GROUP BY lead) b, engagement_entries(e) x) b USING (lead, rule)
  JOIN (SELECT lead, x.* FROM lead, engagement_entries(e) x) l USING (lead, rule);
-- the same as adding one event after the other
CREATE TABLE added AS SELECT lead, '{}'::engagement AS e FROM lead;
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT lead, engagement_agg(rule, at, half_life, keep) AS e FROM event GROUP BY ctid, lead ORDER BY ctid LOOP
    UPDATE added SET e = added.e + r.e WHERE added.lead = r.lead;
  END LOOP;
END $$;
SELECT bool_and(a.e = l.e) AS same FROM added a JOIN (SELECT lead, engagement_agg(rule, at, half_life, keep ORDER BY ctid) AS e FROM event GROUP BY lead) l USING (lead);

-- five events in each of their orders, alone and merged from each split into two
CREATE TABLE permuted AS
  WITH RECURSIVE five (n, at) AS (VALUES (1, '2026-03-01'::timestamptz), (2, '2026-03-02'), (3, '2026-03-02'), (4, '2026-03-09 12:34:56.789'), (5, '2026-04-01')),
    p (picked, ats) AS (
      SELECT '{}'::int[], '{}'::timestamptz[]
      UNION ALL
      SELECT picked || n, ats || at FROM p, five WHERE n <> ALL (picked))
  SELECT picked, ats FROM p WHERE cardinality(picked) = 5;
CREATE FUNCTION summary(ats timestamptz[]) RETURNS engagement LANGUAGE sql AS
  $$ SELECT coalesce(engagement_agg(8, at, '36 hours', 3 ORDER BY n), '{}') FROM unnest(ats) WITH ORDINALITY u (at, n) $$;
SELECT count(*), max(apart(x.decayed, exact)) < 1e-15 AS near, min(events), max(events), array_agg(DISTINCT last_seen) AS last_seen, array_agg(DISTINCT latest) AS latest
  FROM permuted, generate_series(0, 5) g, engagement_entries(summary(ats[1:g]) + summary(ats[g + 1:])) x,
       (SELECT sum(power(2::float8, -extract(epoch FROM '2026-04-01'::timestamptz - at)::float8 / 129600)) AS exact
          FROM unnest('{2026-03-01,2026-03-02,2026-03-02,2026-03-09 12:34:56.789,2026-04-01}'::timestamptz[]) at) exact;

-- merging: commutative to the last bit, associative but for rounding; what was
-- nothing adds nothing
CREATE TABLE part AS SELECT lead, at > '2026-01-14' AS late, engagement_agg(rule, at, half_life, keep) AS e FROM event GROUP BY lead, at > '2026-01-14';
SELECT count(*), bool_and(a.e + b.e = b.e + a.e) AS commutative, bool_and(a.e + '{}' = a.e AND '{}' + a.e = a.e) AS neutral FROM part a, part b;
SELECT count(*), max(apart(x.decayed, y.decayed)) < 1e-12 AS associative,
       bool_and((x.rule, x.events, x.last_seen, x.keep, x.latest) = (y.rule, y.events, y.last_seen, y.keep, y.latest)) AS same
  FROM part a, part b, part c, LATERAL ROWS FROM (engagement_entries((a.e + b.e) + c.e), engagement_entries(a.e + (b.e + c.e)))
       AS x (rule, events, decayed, last_seen, half_life, keep, latest, rule2, events2, decayed2, last_seen2, half_life2, keep2, latest2),
       LATERAL (SELECT rule2 AS rule, events2 AS events, decayed2 AS decayed, last_seen2 AS last_seen, keep2 AS keep, latest2 AS latest) y;
SELECT max(apart(x.decayed, p.decayed)) < 1e-12 AS near, bool_and((x.events, x.last_seen, x.latest) = (p.events, p.last_seen, p.latest)) AS same, count(*)
  FROM (SELECT lead, engagement_agg(e) AS e FROM part GROUP BY lead) l, engagement_entries(l.e) x JOIN plain p USING (rule) WHERE p.lead = l.lead;
-- rules between, before and after those there are
SELECT a + b = c AND b + a = c AS interleaved
  FROM (SELECT engagement_agg(g, '2026-01-01', '1 day', 2) FILTER (WHERE g % 3 <> 0) AS a, engagement_agg(g, '2026-01-01', '1 day', 2) FILTER (WHERE g % 3 = 0) AS b,
               engagement_agg(g, '2026-01-01', '1 day', 2) AS c FROM generate_series(-20, 40) g) s;
SELECT '{}'::engagement + NULL AS null, NULL::engagement + '{}' AS null;
-- the set of rules: known goes before unknown
SELECT a, b, a::engagement + b::engagement AS sum FROM (VALUES ('{}'), ('{"rules": "00000000000000aa"}')) x (a), (VALUES ('{}'), ('{"rules": "00000000000000aa"}')) y (b);
SELECT '{"rules": "00000000000000aa"}'::engagement + '{"rules": "ff000000000000bb"}';
SELECT engagement_agg(e::engagement) FROM unnest(ARRAY['{"rules": "00000000000000aa"}', NULL, '{}', '{"rules": "00000000000000ab"}']) e;
SELECT engagement_agg(17, '2026-01-01', '1 day', 2) + engagement_agg(17, '2026-01-01', '2 days', 2) FROM generate_series(1, 1);
SELECT engagement_agg(17, '2026-01-01', '1 day', 2) + engagement_agg(17, '2026-01-01', NULL, 2) FROM generate_series(1, 1);
SELECT engagement_agg(17, '2026-01-01', '1 day', 2) + engagement_agg(17, '2026-01-01', '1 day', 3) FROM generate_series(1, 1);
-- what is no longer worth a double's bits, counts too high, and events worlds apart
SELECT engagement_agg(1, '2026-01-01'::timestamptz + g * interval '1 day', '1 second', 1) FROM generate_series(0, 5) g;
SELECT engagement_agg(1, at, '1 second', 2), round(engagement_decayed(engagement_agg(2, at, '106751991 days', 0), 2, max(at))::numeric, 12) AS a_bit_less FROM (VALUES ('4714-11-24 00:00:00+00 BC'::timestamptz), ('294276-12-31 23:59:59.999999+00')) v (at);
SELECT rule, events, decayed FROM engagement_entries((SELECT e + e FROM sample WHERE id = 4)) WHERE rule > 6;
SELECT rule, events, decayed FROM engagement_entries((SELECT engagement_agg(e) FROM sample, generate_series(1, 3) WHERE id = 4)) WHERE rule > 4;

-- reading
SELECT rule, engagement_count(e, rule), engagement_last_seen(e, rule),
       round(engagement_decayed(e, rule, '2026-01-31T12:00:00Z')::numeric, 12) AS as_of_last, round(engagement_decayed(e, rule, '2026-02-07T12:00:00Z')::numeric, 12) AS a_week_later
  FROM (SELECT e FROM sample WHERE id = 3) s, unnest('{-9223372036854775808,0,4,16,17,18,9223372036854775807}'::bigint[]) rule;
SELECT at, round(engagement_decayed(:'everything', 17, at)::numeric, 12) AS fading, engagement_decayed(:'everything', 4, at) AS for_ever
  FROM unnest('{-infinity,2000-01-01,2026-01-31 11:59:59,2026-01-31 12:00,2026-02-01 00:00,2026-02-14 12:00,2126-01-01,294276-12-31 23:59:59.999999,infinity}'::timestamptz[]) at;
SELECT engagement_last_seen(:'everything'), engagement_last_seen('{}') AS never, engagement_count('{}', 1), engagement_decayed('{}', 1, 'infinity'), engagement_last_seen('{}', 1) AS never;
SELECT engagement_count(NULL, 1), engagement_count('{}', NULL), engagement_decayed(NULL, 1, '2026-01-01'), engagement_decayed('{}', 1, NULL), engagement_last_seen(NULL), engagement_last_seen(NULL, 1), engagement_last_seen('{}', NULL);
SELECT * FROM engagement_entries('{}');
SELECT * FROM engagement_entries(NULL);
SELECT (engagement_entries(:'everything')).rule;
SELECT count(*), bool_and(engagement_count(e, rule) = events AND engagement_decayed(e, rule, last_seen) = decayed AND engagement_last_seen(e, rule) = last_seen) AS agree
  FROM sample, engagement_entries(e);

--
-- The aggregates
--
SELECT engagement_agg(1, '2026-01-01', NULL, NULL) IS NULL AS nothing, engagement_agg('{}'::engagement) IS NULL AS nothing FROM event WHERE false;
SELECT engagement_agg(rule, at, '1 day', 3) AS nothing, engagement_agg(NULL::engagement) AS nothing FROM (VALUES (NULL::bigint, now()), (1, NULL), (NULL, NULL)) v (rule, at);
SELECT engagement_agg(rule, at, NULL, NULL) AS two FROM (VALUES (1, NULL::timestamptz), (1, '2026-01-01'), (NULL, '2026-01-03'), (1, '2025-01-01')) v (rule, at);
SELECT engagement_agg(e) AS empty FROM (VALUES (NULL::engagement), ('{}'), (NULL)) v (e);
-- nothing is asked of the parameters of a row that is skipped
SELECT engagement_agg(NULL, '2026-01-01', '-1 day', 99) AS nothing FROM generate_series(1, 2);
-- a day has 24 hours, whatever the session thinks of days
SET TimeZone = 'Europe/Berlin';
SELECT engagement_agg(1, at, '1 day', 0) = engagement_agg(1, at, '24 hours', 0) AS same, engagement_agg(1, at, '1 day', 0) = engagement_agg(1, at, '2 days -86400 seconds', 0) AS same
  FROM (VALUES ('2026-03-28 12:00'::timestamptz), ('2026-03-29 12:00')) v (at);
SET TimeZone = 'UTC';
SELECT engagement_agg(1, '2026-01-01', '1 month', 0) FROM generate_series(1, 1);
\set VERBOSITY terse
SELECT engagement_agg(1, '2026-01-01', '1 month 1 day', 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', '-1 day', 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', '0', 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', '1 day -24 hours', 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', '-178000000 years', 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', '2147483647 days', 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', '1 day', -1) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', '1 day', 65) FROM generate_series(1, 1);
SELECT engagement_agg(1, 'infinity', '1 day', 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '-infinity', NULL, 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', h, 0) FROM unnest('{1 day,25 hours}'::interval[]) h;
SELECT engagement_agg(1, '2026-01-01', h, 0) FROM unnest('{1 day,NULL}'::interval[]) h;
SELECT engagement_agg(1, '2026-01-01', NULL, k) FROM unnest('{3,4}'::integer[]) k;
\set VERBOSITY sqlstate
SELECT engagement_agg(1, '2026-01-01', '1 month', 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', '1 day', 65) FROM generate_series(1, 1);
SELECT engagement_agg(1, 'infinity', '1 day', 0) FROM generate_series(1, 1);
SELECT engagement_agg(1, '2026-01-01', h, 0) FROM unnest('{1 day,25 hours}'::interval[]) h;
SELECT '{"rules": "00000000000000aa"}'::engagement + '{"rules": "ff000000000000bb"}';
\set VERBOSITY default
-- in a window, where the state goes on after a result was taken
SELECT n, engagement_count(engagement_agg(1, at, '1 day', 2) OVER w, 1) AS running, engagement_count(engagement_agg(1, at, '1 day', 2) OVER (w ROWS 1 PRECEDING), 1) AS moving,
       engagement_decayed(engagement_agg(1, at, '1 day', 2) OVER w, 1, at) AS decayed
  FROM (SELECT n, '2026-01-01'::timestamptz + n * interval '1 day' AS at FROM generate_series(1, 5) n) e WINDOW w AS (ORDER BY n);
-- with other aggregates, filtered, distinct, over grouping sets
SELECT rule, engagement_count(engagement_agg(rule, at, half_life, keep) FILTER (WHERE lead < 3), 3) AS filtered, engagement_count(engagement_agg(DISTINCT rule, date_trunc('day', at), half_life, keep), 3) AS days, count(*)
  FROM event WHERE rule IN (1, 3) GROUP BY ROLLUP (rule) ORDER BY rule;

-- in parallel
CREATE TABLE serial AS SELECT lead, engagement_agg(rule, at, half_life, keep) AS e, NULL::engagement AS merged FROM event GROUP BY lead;
INSERT INTO serial SELECT NULL, engagement_agg(rule, at, half_life, keep), (SELECT engagement_agg(e) FROM part) FROM event;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 3;
SET parallel_leader_participation = off;
ALTER TABLE event SET (parallel_workers = 3);
ALTER TABLE part SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT engagement_agg(rule, at, half_life, keep) FROM event;
EXPLAIN (COSTS OFF) SELECT engagement_agg(e) FROM part;
CREATE FUNCTION in_parallel(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
  RETURN plan @? 'strict $.** ? (@."Partial Mode" == "Partial")';
END $$;
SELECT in_parallel('SELECT lead, engagement_agg(rule, at, half_life, keep) AS e FROM event GROUP BY lead');
CREATE TABLE parallel AS SELECT lead, engagement_agg(rule, at, half_life, keep) AS e FROM event GROUP BY lead;
INSERT INTO parallel SELECT NULL, engagement_agg(rule, at, half_life, keep) FROM event;
CREATE TABLE parallel_merged AS SELECT engagement_agg(e) AS e FROM part;
SELECT engagement_agg(rule, at, half_life, keep) AS nothing FROM event WHERE lead < 0;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;
RESET parallel_leader_participation;
SELECT count(*), max(apart(p.decayed, s.decayed)) < 1e-12 AS near,
       bool_and((p.events, p.last_seen, p.keep, p.latest) = (s.events, s.last_seen, s.keep, s.latest) AND p.half_life IS NOT DISTINCT FROM s.half_life) AS same
  FROM (SELECT coalesce(lead, -1) AS lead, x.* FROM serial, engagement_entries(e) x) s FULL JOIN (SELECT coalesce(lead, -1) AS lead, x.* FROM parallel, engagement_entries(e) x) p USING (lead, rule);
SELECT count(*), max(apart(p.decayed, s.decayed)) < 1e-12 AS near, bool_and((p.events, p.last_seen, p.latest) = (s.events, s.last_seen, s.latest)) AS same
  FROM (SELECT x.* FROM serial, engagement_entries(merged) x WHERE lead IS NULL) s FULL JOIN (SELECT x.* FROM parallel_merged, engagement_entries(e) x) p USING (rule);

--
-- Size and storage
--

-- 16 bytes, and for each rule 24, or 40 if it fades, and 8 for each time kept
-- but the latest; however many events there were
SELECT pg_column_size('{}'::engagement) AS nothing;
SELECT fades, keep, pg_column_size(engagement_agg(1, '2026-01-01'::timestamptz + g * interval '1 minute', CASE WHEN fades THEN interval '7 days' END, keep)) AS size
  FROM generate_series(1, 100000) g, (VALUES (false), (true)) f (fades), unnest('{0,1,2,3,64}'::integer[]) keep GROUP BY fades, keep ORDER BY fades, keep;
SELECT nrules, pg_column_size(engagement_agg(g % nrules, '2026-01-01'::timestamptz - g * interval '1 minute', '7 days', 0)) AS size
  FROM generate_series(1, 10000) g, unnest('{1,10,1000}'::integer[]) nrules GROUP BY nrules ORDER BY nrules;

-- short, compressed, out of line and neither; at odd places in the row
CREATE TABLE stored (odd boolean, id integer, plain engagement, main engagement, extended engagement, external engagement, list engagement[]);
ALTER TABLE stored ALTER plain SET STORAGE plain, ALTER main SET STORAGE main, ALTER external SET STORAGE external;
INSERT INTO stored SELECT true, id, CASE WHEN id <> 6 THEN e + '{}' END, e + '{}', e + '{}', e + '{}', ARRAY[e, NULL, e + e] FROM sample;
SELECT pg_column_size(extended) < 20000 AS compressed, pg_column_size(external) FROM stored WHERE id = 6;
SELECT pg_column_size(extended) AS short FROM stored WHERE id = 2;
SELECT id, coalesce(plain, e) = e AS plain, main = e AS main, extended = e AS extended, external = e AS external, list[1] = e AND list[3] = e + e AS list,
       extended::text = e::text AND engagement_send(extended) = engagement_send(e) AS read, engagement_last_seen(external) IS NOT DISTINCT FROM engagement_last_seen(e) AS last_seen,
       (SELECT bool_and(engagement_count(external, rule) = events) FROM engagement_entries(e)) AS counts, external + extended = e + e AS sum
  FROM stored JOIN sample USING (id) ORDER BY id;
SELECT id, engagement_agg(x) = e + e + e AS agg FROM stored JOIN sample USING (id), LATERAL (VALUES (main), (extended), (external)) v (x) GROUP BY id, e ORDER BY id;

-- equal and not
CREATE TABLE twice AS SELECT id, e FROM sample UNION ALL SELECT id, external FROM stored UNION ALL SELECT 100 + id, e + '{"rules": "0000000000000042"}' FROM sample WHERE id <> 2 AND id <> 3 UNION ALL VALUES (NULL::integer, NULL::engagement);
SELECT count(*), count(DISTINCT id) AS ids FROM twice;
SELECT count(*) FROM (SELECT DISTINCT e FROM twice) d;
SELECT count(*), sum(n) FROM (SELECT e, count(*) AS n FROM twice GROUP BY e) g;
SELECT count(*) AS both FROM (SELECT e FROM sample INTERSECT SELECT external FROM stored) i;
SELECT a.id, b.id, a.e = b.e AS eq, a.e <> b.e AS ne FROM sample a, sample b WHERE (a.e = b.e) <> (a.id = b.id) OR (a.e = b.e) = (a.e <> b.e);
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM sample s JOIN stored t ON s.e = t.extended;
SELECT count(*) FROM sample s JOIN stored t ON s.e = t.extended;
RESET enable_nestloop;
SELECT bool_and(engagement_hash(s.e) = engagement_hash(t.external) AND engagement_hash_extended(s.e, 7) = engagement_hash_extended(t.external, 7)) AS same_hash,
       bool_and((engagement_hash_extended(e, 0) & 4294967295) = (engagement_hash(e)::int8 & 4294967295)) AS plain_in_extended,
       bool_and(engagement_hash_extended(e, 1) <> engagement_hash_extended(e, 0)) AS seed_matters, count(DISTINCT engagement_hash(e)) AS hashes
  FROM sample s JOIN stored t USING (id);
CREATE INDEX sample_hash ON sample USING hash (e);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM sample WHERE e = '{}';
SELECT id FROM sample WHERE e = '{}';
RESET enable_seqscan;
RESET enable_bitmapscan;
ANALYZE twice;
SELECT oprname, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanhash, oprcanmerge
  FROM pg_operator WHERE oprleft = 'engagement'::regtype ORDER BY oprname COLLATE "C";
SELECT e FROM sample ORDER BY e;

-- immutable: good for generated columns and expression indexes
CREATE TABLE generated (e engagement, seen timestamptz GENERATED ALWAYS AS (engagement_last_seen(e)) STORED, text text GENERATED ALWAYS AS (e::text) STORED);
CREATE INDEX ON generated (engagement_count(e, 4));
INSERT INTO generated VALUES (:'everything');
SELECT seen, text = :'everything' AS same FROM generated;

-- without our schema in the path
SET search_path = pg_catalog;
SELECT e FROM (SELECT DISTINCT e FROM eng.sample WHERE id = 1) s;
SELECT leadscore.engagement_agg(e) OPERATOR(leadscore.=) leadscore.engagement_agg(leadscore.engagement_plus(e, '{}')) AS same FROM eng.sample WHERE id = 7;
SET search_path = eng, leadscore;

--
-- What the catalogs say of the objects of this type
--
-- functions that are not immutable, parallel safe and commented; and those that
-- are not strict, being part of an aggregate that skips NULLs
SELECT p.oid::regprocedure, p.provolatile, p.proisstrict, p.proparallel, obj_description(p.oid, 'pg_proc') IS NOT NULL AS comment
  FROM pg_proc p
 WHERE p.pronamespace = 'leadscore'::regnamespace AND p.proname ~ '^engagement_'
   AND (p.provolatile <> 'i' OR p.proparallel <> 's' OR NOT p.proisstrict OR obj_description(p.oid, 'pg_proc') IS NULL)
   AND NOT (p.proname ~ '^engagement_agg' AND p.provolatile = 'i' AND p.proparallel = 's' AND NOT p.proisstrict AND p.prokind = 'a')
 ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT aggfnoid::regprocedure, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggtransspace
  FROM pg_aggregate WHERE aggfnoid::regproc::text ~ 'engagement_agg' ORDER BY aggfnoid::regprocedure::text COLLATE "C";

DO $$
BEGIN
  EXECUTE format('COPY (SELECT) TO PROGRAM %L', 'rm -f "' || current_setting('data_directory') || '/leadscore_engagement.bin"');
END $$;
SET client_min_messages = warning;
DROP SCHEMA eng CASCADE;
RESET client_min_messages;
RESET search_path;
RESET TimeZone;
RESET IntervalStyle;
RESET DateStyle;
