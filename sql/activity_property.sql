--
-- activity_property: random streams of events, of which what is stored, what
-- is read as of any time, what the aggregate makes from scratch and a formula
-- in plain SQL say the same
--
-- The formula knows of leadscore what its tables say, and nothing else.
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA actp;
SET search_path = actp;
SET timezone = 'UTC';
SET jit = off;

CREATE TABLE lead (id integer PRIMARY KEY, email text, level integer, seen timestamptz, created timestamptz);
CREATE TABLE visit (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead bigint, at timestamptz, page text, n integer);
CREATE INDEX ON visit (lead);
-- by e-mail, in Warsaw's time, with soft deletes
CREATE TABLE mail (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, addr text, at timestamp, kind text, deleted boolean);
CREATE INDEX ON mail (lower(addr));
-- delivered several times
CREATE TABLE call (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead text, at timestamptz, outcome text, code text);
CREATE INDEX ON call (lead);
CREATE INDEX ON call (code);
-- polymorphic and partitioned
CREATE TABLE chat (id integer GENERATED ALWAYS AS IDENTITY, kind text, ref integer, at timestamptz, words integer) PARTITION BY LIST (kind);
CREATE TABLE chat_lead PARTITION OF chat FOR VALUES IN ('Lead') PARTITION BY HASH (ref);
CREATE TABLE chat_lead_0 PARTITION OF chat_lead FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE chat_lead_1 PARTITION OF chat_lead FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE chat_rest PARTITION OF chat DEFAULT;
CREATE INDEX ON chat (ref);

INSERT INTO leadscore.model (name, target, created_at, engagement_min, engagement_max, score_min) VALUES ('actp', 'lead', 'created', -60, 150, -70);
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, filter, event_key) VALUES
	('actp', 'visit', 'visit', 'lead', NULL, 'at', NULL, NULL, NULL),
	('actp', 'mail', 'mail', 'addr', 'email', 'at', 'Europe/Warsaw', 'NOT deleted', NULL),
	('actp', 'call', 'call', 'lead', NULL, 'at', NULL, NULL, 'code'),
	('actp', 'chat', 'chat', 'ref', NULL, 'at', NULL, $$kind = 'Lead'$$, NULL);
INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap) VALUES
	('actp', 'who', 'fit', 'sum', NULL, NULL),
	('actp', 'state', 'engagement', 'sum', NULL, NULL),
	('actp', 'visits', 'engagement', 'sum', NULL, 45),
	('actp', 'mails', 'engagement', 'best', -12, NULL),
	('actp', 'bursts', 'engagement', 'sum', NULL, NULL),
	('actp', 'silence', 'engagement', 'sum', -30, NULL),
	('actp', 'calls', 'engagement', 'sum', 2, 40),
	('actp', 'chats', 'engagement', 'best', NULL, NULL),
	('actp', 'wrong', 'engagement', 'sum', NULL, NULL);
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, disqualifies, activity, half_life, at_least, within, at_most, inactive_for, include_never)
SELECT 'actp', factor, parameter, condition, points, coalesce(disqualifies, false), activity, half_life::interval, at_least, within::interval, at_most, inactive_for::interval, coalesce(include_never, false)
FROM (VALUES
	(1, 'who', NULL, 'level >= 5', 30, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(2, 'who', NULL, 'level >= 3', -7.5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(3, 'state', 'seen', $$seen > now() - interval '2 days'$$, 11, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(4, 'state', NULL, 'level % 4 = 1', 5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(5, 'visits', NULL, $$page = 'pricing'$$, 10, NULL, 'visit', '7 days', NULL, NULL, NULL, NULL, NULL),
	(6, 'visits', NULL, $$page = 'blog'$$, 1, NULL, 'visit', NULL, NULL, NULL, 5, NULL, NULL),
	(7, 'visits', NULL, 'n > 5', 3, NULL, 'visit', '18 hours', NULL, NULL, 3, NULL, NULL),
	(8, 'visits', NULL, 'level > 6', 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(9, 'mails', NULL, $$kind = 'click'$$, 8, NULL, 'mail', '3 days', NULL, NULL, NULL, NULL, NULL),
	(10, 'mails', NULL, $$kind = 'unsubscribe'$$, -15, NULL, 'mail', NULL, NULL, NULL, NULL, NULL, NULL),
	(11, 'mails', NULL, $$kind = 'open'$$, 2, NULL, 'mail', '2 hours', NULL, NULL, NULL, NULL, NULL),
	(12, 'mails', NULL, 'level % 2 = 0', 3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(13, 'bursts', NULL, 'true', 20, NULL, 'visit', NULL, 3, '2 days', NULL, NULL, NULL),
	(14, 'bursts', NULL, 'words > 3', 10, NULL, 'chat', NULL, 1, '6 hours', NULL, NULL, NULL),
	(15, 'silence', NULL, 'true', -10, NULL, 'visit', NULL, NULL, NULL, NULL, '3 days', NULL),
	(16, 'silence', NULL, $$outcome <> 'wrong'$$, -25, NULL, 'call', NULL, NULL, NULL, NULL, '5 days', true),
	(17, 'calls', NULL, $$outcome = 'interested'$$, 12, NULL, 'call', '10 days', NULL, NULL, NULL, NULL, NULL),
	(18, 'calls', NULL, $$outcome = 'busy'$$, -1.25, NULL, 'call', '1 day', NULL, NULL, NULL, NULL, NULL),
	(19, 'chats', NULL, 'words > 0', 0.75, NULL, 'chat', '30 hours', NULL, NULL, NULL, NULL, NULL),
	(20, 'chats', NULL, 'words > 6', 6, NULL, 'chat', NULL, NULL, NULL, 2, NULL, NULL),
	(21, 'wrong', NULL, $$outcome = 'wrong'$$, -3, true, 'call', NULL, 1, '12 hours', NULL, NULL, NULL)
) r(number, factor, parameter, condition, points, disqualifies, activity, half_life, at_least, within, at_most, inactive_for, include_never)
ORDER BY number;

--
-- The formula
--

-- events as they are, one a row
CREATE VIEW events AS
	SELECT 'visit' AS activity, id, lead::integer, at, NULL AS code FROM visit
	UNION ALL SELECT 'mail', m.id, l.id, m.at AT TIME ZONE 'Europe/Warsaw', NULL FROM mail m JOIN lead l ON lower(l.email) = lower(m.addr) WHERE NOT m.deleted
	UNION ALL SELECT 'call', id, lead::integer, at, code FROM call
	UNION ALL SELECT 'chat', id, ref, at, NULL FROM chat WHERE kind = 'Lead';
-- which rules they match, by now; and the rules that leads match by their rows
CREATE TABLE match (lead integer, rule bigint, at timestamptz);
CREATE INDEX ON match (lead, rule, at);
CREATE TABLE row_match (lead integer, rule bigint, PRIMARY KEY (lead, rule));
CREATE TABLE met (activity text, id integer, rule bigint);
CREATE PROCEDURE find_matches() LANGUAGE plpgsql AS $$
DECLARE
	r	record;
BEGIN
	TRUNCATE match, row_match, met;
	FOR r IN SELECT * FROM leadscore.rule WHERE model = 'actp' AND enabled LOOP
		IF r.activity IS NOT NULL THEN
			EXECUTE format('INSERT INTO met SELECT %L, id, %s FROM %I WHERE %s', r.activity, r.id, r.activity, r.condition);
		ELSIF r.parameter IS NULL THEN
			EXECUTE format('INSERT INTO row_match SELECT id, %s FROM lead WHERE %s', r.id, r.condition);
		END IF;
	END LOOP;
	INSERT INTO match
	SELECT e.lead, unnest(e.rules), e.at
	FROM (SELECT DISTINCT ON (e.activity, e.lead, coalesce(e.code, 'id ' || e.id)) e.lead, e.at, m.rules
		  FROM events e JOIN (SELECT activity, id, array_agg(rule ORDER BY rule) AS rules FROM met GROUP BY 1, 2) m USING (activity, id)
		  WHERE e.lead IS NOT NULL AND e.at IS NOT NULL
		  ORDER BY e.activity, e.lead, coalesce(e.code, 'id ' || e.id), e.at, m.rules || 9223372036854775807) e;
	ANALYZE match;
END
$$;
CREATE TABLE ask (lead integer, t timestamptz);
CREATE TABLE formula (lead integer, t timestamptz, fit float8, engagement float8, size float8, raw float8, disqualified boolean);
CREATE INDEX ON formula (lead, t);
CREATE FUNCTION by_formula() RETURNS SETOF formula LANGUAGE sql AS $$
	WITH weight AS (
		SELECT a.lead, a.t, r.factor, r.points, r.disqualifies, w.weight, w.size,
			   CASE WHEN r.inactive_for IS NOT NULL OR r.at_least IS NOT NULL THEN w.weight = 1 ELSE w.n > 0 END AS speaks
		FROM (SELECT DISTINCT ask.lead, ask.t, l.created FROM ask JOIN actp.lead l ON l.id = ask.lead) a
		JOIN leadscore.rule r ON r.model = 'actp' AND r.enabled AND r.activity IS NOT NULL,
			 LATERAL (
				SELECT count(*) AS n,
					   CASE WHEN r.inactive_for IS NOT NULL THEN
								(CASE WHEN count(*) > 0 THEN a.t - max(m.at) >= r.inactive_for
									  WHEN r.include_never THEN a.t - a.created >= r.inactive_for END IS TRUE)::int
							WHEN r.at_least IS NOT NULL THEN
								(count(*) FILTER (WHERE a.t - m.at < r.within) >= r.at_least)::int
							ELSE coalesce(sum(CASE WHEN r.half_life IS NULL THEN 1 ELSE power(2.0::float8, -extract(epoch FROM a.t - m.at)::float8 / extract(epoch FROM r.half_life)::float8) END), 0)
					   END AS weight, count(*) AS size
				FROM (SELECT x.at FROM actp.match x WHERE x.lead = a.lead AND x.rule = r.id AND x.at <= a.t ORDER BY x.at DESC LIMIT r.at_most) m) w
		UNION ALL
		SELECT a.lead, a.t, r.factor, r.points, r.disqualifies, 1, 1, true
		FROM (SELECT DISTINCT ask.lead, ask.t FROM ask) a JOIN actp.row_match m ON m.lead = a.lead JOIN leadscore.rule r ON r.id = m.rule
		UNION ALL
		SELECT a.lead, a.t, r.factor, r.points, r.disqualifies, 1, 1, true
		FROM (SELECT DISTINCT ask.lead, ask.t FROM ask) a JOIN actp.lead l ON l.id = a.lead JOIN leadscore.rule r ON r.model = 'actp' AND r.parameter = 'seen' AND l.seen > a.t - interval '2 days'
	), factors AS (
		SELECT a.lead, a.t, f.axis,
			   least(greatest(coalesce(CASE f.combine WHEN 'sum' THEN sum(w.points * w.weight) ELSE max(w.points * w.weight) END, 0),
							  coalesce(f.points_floor, '-Infinity')), coalesce(f.points_cap, 'Infinity')) AS points,
			   coalesce(sum(abs(w.points) * w.size), 0) AS size, coalesce(bool_or(w.disqualifies), false) AS disqualified
		FROM (SELECT DISTINCT ask.lead, ask.t FROM ask) a
		JOIN leadscore.factor f ON f.model = 'actp'
		LEFT JOIN weight w ON w.lead = a.lead AND w.t = a.t AND w.factor = f.name AND w.speaks
		GROUP BY a.lead, a.t, f.model, f.name
	), axes AS (
		SELECT lead, t, sum(points) FILTER (WHERE axis = 'fit') AS fit,
			   least(greatest(sum(points) FILTER (WHERE axis = 'engagement'), m.engagement_min), m.engagement_max) AS engagement,
			   sum(size) AS size, bool_or(disqualified) AS disqualified, m.score_min
		FROM factors, leadscore.model m WHERE m.name = 'actp'
		GROUP BY lead, t, m.name
	)
	SELECT lead, t, fit, engagement, size, greatest(fit + engagement, score_min), disqualified FROM axes
$$;
-- Words for numbers.  Near a boundary, where sums that are added up in another
-- order may fall on either side, any word will do.
CREATE FUNCTION word(kind text, value float8) RETURNS text LANGUAGE sql AS $$
	SELECT t.label FROM leadscore.threshold t
	WHERE t.builtin AND t.kind = word.kind AND t.at_least <= value + 1e-9 ORDER BY t.at_least DESC LIMIT 1
$$;
CREATE FUNCTION may_say(l actp.formula, temperature text, grade text) RETURNS boolean LANGUAGE sql AS $$
	SELECT temperature IN (SELECT CASE WHEN l.disqualified THEN 'cold' ELSE actp.word('temperature', floor(l.raw + 1e-9 + e.e)) END FROM (VALUES (-1e-8), (0), (1e-8)) e(e))
	   AND grade IN (SELECT actp.word('fit', l.fit) || actp.word('engagement', l.engagement + e.e) FROM (VALUES (-1e-8), (0), (1e-8)) e(e))
$$;
CREATE FUNCTION may_be(l actp.formula, score integer) RETURNS boolean LANGUAGE sql AS $$
	SELECT score IN (floor(l.raw + 1e-9 - 1e-8), floor(l.raw + 1e-9), floor(l.raw + 1e-9 + 1e-8))
$$;

--
-- What is checked, and what was found.  These lines are all that is printed,
-- and there should be none.
--
CREATE TABLE found (what text, round integer, detail text);
CREATE TABLE done (what text, n bigint);
CREATE PROCEDURE ask_formula() LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE formula;
	INSERT INTO formula SELECT * FROM by_formula();
END
$$;

-- leads have states, and these are as history says; those of leads that are not
-- there are made anew when rules have changed and the lead comes
CREATE PROCEDURE check_states(round integer) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO found SELECT 'strays', round, coalesce(l.id, s.lead_key)::text
	FROM lead l FULL JOIN (SELECT * FROM leadscore.actp_state WHERE lead_exists) s ON s.lead_key = l.id WHERE l.id IS NULL OR s.lead_key IS NULL;

	INSERT INTO found
	WITH stored AS (
		SELECT s.lead_key AS lead, leadscore.engagement_agg(e.engagement) AS engagement
		FROM leadscore.actp_state s,
			 LATERAL (SELECT s.engagement UNION ALL SELECT p.engagement FROM leadscore.pending_activity p WHERE p.model = 'actp' AND p.lead_key = s.lead_key::text) e
		WHERE s.lead_exists
		GROUP BY s.lead_key
	), entries AS (
		SELECT lead, e.* FROM stored, leadscore.engagement_entries(engagement) e
	), scratch AS (
		SELECT m.lead, leadscore.engagement_agg(m.rule, m.at, r.half_life, coalesce(r.at_least, r.at_most, 0)) AS engagement
		FROM match m JOIN leadscore.rule r ON r.id = m.rule
		WHERE m.lead IN (SELECT id FROM lead) GROUP BY m.lead
	), wanted AS (
		SELECT lead, e.* FROM scratch, leadscore.engagement_entries(engagement) e
	)
	SELECT 'summary', round, format('%s of lead %s: %s, should be %s', coalesce(e.rule, w.rule), coalesce(e.lead, w.lead), e::text, w::text)
	FROM entries e FULL JOIN wanted w ON w.lead = e.lead AND w.rule = e.rule
	WHERE (e.events, e.last_seen, e.half_life, e.keep, e.latest) IS DISTINCT FROM (w.events, w.last_seen, w.half_life, w.keep, w.latest)
	   OR abs(e.decayed - w.decayed) > 1e-9 * e.events;

	INSERT INTO done SELECT 'states', count(*) FROM leadscore.actp_state;
END
$$;

-- as of any time
CREATE PROCEDURE check_instants(round integer) LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE ask;
	INSERT INTO ask SELECT l.id, date_trunc('second', statement_timestamp()) + i.days * interval '1 day'
	FROM lead l, (SELECT 70 * power(random(), 2) - 30 AS days FROM generate_series(1, 8)) i;
	-- to the microsecond at, before and after an event, and where it is exactly as old as a rule says
	INSERT INTO ask SELECT lead, at + o FROM (SELECT lead, at FROM match WHERE lead IN (SELECT id FROM lead) ORDER BY random() LIMIT 60) m,
		(VALUES (interval '0'), ('-1 microsecond'), ('1 microsecond'), ('2 days'), ('6 hours'), ('3 days'), ('5 days'), ('12 hours')) o(o);
	CALL ask_formula();
	INSERT INTO found
	SELECT 'as of', round, format('lead %s at %s: %s, formula %s', l.lead, l.t, e::text, l::text)
	FROM formula l, LATERAL leadscore.evaluate('actp', l.lead, l.t) e
	WHERE NOT abs(e.engagement - l.engagement) <= 1e-9 * greatest(l.size, 1) OR NOT abs(e.fit - l.fit) <= 1e-9
	   OR NOT may_be(l, e.score) OR NOT may_say(l, e.temperature::text, e.grade) OR e.disqualified <> l.disqualified;
	INSERT INTO found
	SELECT 'explain', round, format('lead %s at %s: %s, explained %s', lead, t, score, counted)
	FROM (SELECT lead, t, leadscore.score('actp', lead, t) AS score, (SELECT sum(counted) FROM leadscore.explain('actp', lead, t)) AS counted FROM formula ORDER BY random() LIMIT 60) x
	WHERE abs(coalesce(counted, 0) - score) > 1e-9;
	INSERT INTO done SELECT 'instants', count(*) FROM formula;
END
$$;

-- as of now
CREATE PROCEDURE check_views(round integer) LANGUAGE plpgsql AS $$
DECLARE
	now timestamptz;
BEGIN
	-- all of it in one statement, which is of one time; the hot list as well
	TRUNCATE ask;
	CREATE TEMP TABLE shown ON COMMIT DROP AS
		SELECT statement_timestamp() AS t, s.lead_key, s.score, s.temperature, s.grade, s.engagement, s.disqualified, leadscore.score('actp', s.lead_key, statement_timestamp()) AS score_at,
			   leadscore.score('actp', l) AS score_of_row, h.hot
		FROM leadscore.actp_scored s JOIN lead l ON l.id = s.lead_key LEFT JOIN (SELECT lead_key::integer, score AS hot FROM leadscore.hot_list('actp', 7)) h USING (lead_key);
	INSERT INTO ask SELECT lead_key, t FROM shown;
	CALL ask_formula();
	INSERT INTO found
	SELECT 'view', round, format('%s, formula %s, state %s', s::text, l::text, (SELECT x::text FROM leadscore.actp_state x WHERE x.lead_key = s.lead_key))
	FROM shown s JOIN formula l ON l.lead = s.lead_key
	WHERE NOT may_be(l, s.score) OR NOT may_say(l, s.temperature, s.grade) OR s.disqualified <> l.disqualified OR abs(s.engagement - trunc(l.engagement::numeric, 2)) > 0.01
	   OR s.score_at <> s.score OR s.score_of_row <> s.score;
	INSERT INTO found
	SELECT 'hot list', round, format('shows %s, should %s', have, should)
	FROM (SELECT (SELECT array_agg(hot ORDER BY hot DESC) FROM shown WHERE hot IS NOT NULL) AS have,
				 (SELECT array_agg(score ORDER BY score DESC) FROM (SELECT score FROM shown WHERE NOT disqualified ORDER BY score DESC LIMIT 7) x) AS should) x
	WHERE have IS DISTINCT FROM should;
	INSERT INTO done SELECT 'views', count(*) FROM shown;
	DROP TABLE shown;
END
$$;

-- until next_change_at nothing changes
CREATE PROCEDURE check_next_changes(round integer) LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE ask;
	INSERT INTO ask
	SELECT lead_key, t FROM (
		SELECT lead_key, next_change_at, scored_at + (coalesce(next_change_at, 'Infinity') - interval '1 microsecond' - scored_at) * i / 20.0 AS t
		FROM leadscore.actp_state, generate_series(0, 20) i WHERE lead_exists AND next_change_at < statement_timestamp() + interval '60 days'
		UNION ALL
		SELECT lead_key, next_change_at, scored_at + i * interval '2 days' FROM leadscore.actp_state, generate_series(0, 20) i
		WHERE lead_exists AND coalesce(next_change_at, 'Infinity') >= statement_timestamp() + interval '60 days') s
	WHERE t < coalesce(next_change_at, 'Infinity');
	CALL ask_formula();
	INSERT INTO found
	SELECT 'next change', round, format('lead %s: %s %s until %s, but at %s: %s, state %s', l.lead, s.temperature, s.grade, s.next_change_at, l.t, l::text, s::text)
	FROM formula l JOIN leadscore.actp_state s ON s.lead_key = l.lead WHERE NOT may_say(l, s.temperature, s.grade);
	INSERT INTO done SELECT 'steady', count(*) FROM formula;
END
$$;

-- what advance() leaves is as of its time
CREATE PROCEDURE check_advanced(round integer, at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE ask;
	INSERT INTO ask SELECT id, at FROM lead;
	CALL ask_formula();
	INSERT INTO found
	SELECT 'advanced', round, format('lead %s at %s: formula %s, state %s', l.lead, l.t, l::text, s::text)
	FROM formula l JOIN leadscore.actp_state s ON s.lead_key = l.lead
	WHERE NOT may_say(l, s.temperature, s.grade) OR s.disqualified <> l.disqualified;
	INSERT INTO found SELECT 'overdue', round, s::text FROM leadscore.actp_state s WHERE s.next_change_at <= at;
	INSERT INTO found SELECT 'pending', round, p::text FROM leadscore.pending_activity p WHERE p.model = 'actp' AND p.due_at <= at;
	INSERT INTO done SELECT 'advanced', count(*) FROM formula;
END
$$;

--
-- What happens
--
CREATE FUNCTION pick(VARIADIC words text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT words[1 + floor(random() * cardinality(words))::int]';
CREATE FUNCTION some_lead() RETURNS integer LANGUAGE sql VOLATILE AS 'SELECT 1 + floor(40 * power(random(), 1.5))::int';
-- late, of now, seconds or days ahead; now and then a time that was there before
CREATE FUNCTION some_time() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
	SELECT CASE WHEN r < 0.05 THEN clock_timestamp() WHEN r < 0.1 THEN clock_timestamp() + random() * interval '20 seconds'
				WHEN r < 0.2 THEN clock_timestamp() + random() * interval '8 days'
				WHEN r < 0.3 THEN date_trunc('day', clock_timestamp()) - floor(random() * 20) * interval '1 day'
				WHEN r < 0.31 THEN NULL
				ELSE clock_timestamp() - power(random(), 2) * interval '30 days' END
	FROM (SELECT random() AS r OFFSET 0) x
$$;
CREATE PROCEDURE something() LANGUAGE plpgsql AS $$
DECLARE
	a integer := some_lead();
	b integer := some_lead();
	what integer := floor(random() * 26);
BEGIN
	CASE
		WHEN what < 5 THEN
			INSERT INTO visit (lead, at, page, n) VALUES (a, some_time(), pick('pricing', 'blog', 'about'), random() * 10);
		WHEN what < 7 THEN
			INSERT INTO mail (addr, at, kind, deleted) VALUES (pick('a', 'A', 'B') || a || '@x', some_time(), pick('click', 'open', 'unsubscribe', 'bounce'), random() < 0.1);
		WHEN what < 9 THEN
			INSERT INTO call (lead, at, outcome, code) VALUES (a, some_time(), pick('interested', 'busy', 'wrong', 'busy'), CASE WHEN random() < 0.7 THEN 'c' || floor(random() * 60) END);
		WHEN what < 11 THEN
			INSERT INTO chat (kind, ref, at, words) VALUES (pick('Lead', 'Lead', 'Lead', 'Ticket'), a, some_time(), random() * 9);
		WHEN what = 11 THEN
			INSERT INTO visit (lead, at, page, n) SELECT CASE WHEN random() < 0.5 THEN a ELSE some_lead() END, some_time(), pick('pricing', 'blog', 'about'), random() * 10 FROM generate_series(1, 12);
		WHEN what = 12 THEN
			INSERT INTO call (lead, at, outcome, code) SELECT a, some_time(), pick('interested', 'busy', 'wrong'), 'c' || i % 3 FROM generate_series(1, 4) i;
		WHEN what = 13 THEN
			UPDATE visit SET lead = b WHERE id IN (SELECT id FROM visit WHERE lead = a LIMIT 2);
		WHEN what = 14 THEN
			UPDATE visit SET at = some_time(), page = pick('pricing', 'blog') WHERE id = (SELECT id FROM visit WHERE lead = a ORDER BY random() LIMIT 1);
		WHEN what = 15 THEN
			UPDATE mail SET deleted = NOT deleted, addr = CASE WHEN random() < 0.5 THEN addr ELSE 'a' || b || '@x' END WHERE id IN (SELECT id FROM mail ORDER BY random() LIMIT 2);
		WHEN what = 16 THEN
			UPDATE chat SET kind = pick('Lead', 'Ticket'), ref = b WHERE id IN (SELECT id FROM chat ORDER BY random() LIMIT 2);
		WHEN what = 17 THEN
			UPDATE call SET code = CASE WHEN random() < 0.5 THEN 'c' || floor(random() * 60) ELSE code END, at = some_time() WHERE id IN (SELECT id FROM call ORDER BY random() LIMIT 2);
		WHEN what = 18 THEN
			DELETE FROM visit WHERE id IN (SELECT id FROM visit WHERE lead = a ORDER BY random() LIMIT 2);
			DELETE FROM chat WHERE id IN (SELECT id FROM chat ORDER BY random() LIMIT 1);
		WHEN what = 19 THEN
			DELETE FROM call WHERE id IN (SELECT id FROM call ORDER BY random() LIMIT 2);
			DELETE FROM mail WHERE id IN (SELECT id FROM mail ORDER BY random() LIMIT 1);
		WHEN what = 20 THEN
			-- two leads become one
			UPDATE visit SET lead = b WHERE lead = a;
			UPDATE call SET lead = b WHERE lead = a::text;
			UPDATE chat SET ref = b WHERE ref = a;
			DELETE FROM lead WHERE id = a AND a <> b;
		WHEN what = 21 THEN
			INSERT INTO lead VALUES (a, 'a' || a || '@X', a % 9, some_time(), some_time()) ON CONFLICT DO NOTHING;
		WHEN what = 22 THEN
			UPDATE lead SET email = CASE WHEN random() < 0.2 THEN NULL ELSE pick('A', 'b') || CASE WHEN random() < 0.6 THEN a ELSE b END || '@x' END WHERE id = a;
		WHEN what = 23 THEN
			UPDATE lead SET level = random() * 9, seen = some_time(), created = some_time() WHERE id = a;
		WHEN what = 24 THEN
			UPDATE lead SET id = b WHERE id = a AND NOT EXISTS (SELECT FROM lead WHERE id = b);
		ELSE
			IF random() < 0.2 THEN
				EXECUTE pick('TRUNCATE actp.chat_lead_1', 'TRUNCATE actp.chat', 'DELETE FROM actp.lead WHERE id % 11 = 3', 'DELETE FROM actp.mail WHERE addr < ''a2''');
			END IF;
	END CASE;
END
$$;
-- a transaction
CREATE PROCEDURE several() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 1 + floor(power(random(), 3) * 6) LOOP
		IF random() < 0.15 THEN
			BEGIN
				CALL something();
				CALL something();
				RAISE division_by_zero;
			EXCEPTION WHEN division_by_zero THEN
			END;
		ELSIF random() < 0.15 THEN
			BEGIN
				CALL something();
			EXCEPTION WHEN division_by_zero THEN
			END;
		ELSE
			CALL something();
		END IF;
	END LOOP;
END
$$;
CREATE PROCEDURE edit_rules() LANGUAGE plpgsql AS $$
DECLARE
	what integer := floor(random() * 6);
BEGIN
	CASE what
		WHEN 0 THEN UPDATE leadscore.rule SET points = round((points * (0.5 + random()))::numeric, 2) WHERE model = 'actp' AND activity = pick('visit', 'mail', 'call', 'chat');
		WHEN 1 THEN UPDATE leadscore.rule SET half_life = make_interval(hours => 1 + floor(random() * 200)::int) WHERE model = 'actp' AND half_life IS NOT NULL AND random() < 0.5;
		WHEN 2 THEN UPDATE leadscore.rule SET condition = 'n > ' || floor(random() * 9) WHERE model = 'actp' AND condition LIKE 'n > %';
		WHEN 3 THEN UPDATE leadscore.rule SET enabled = NOT enabled WHERE model = 'actp' AND activity IS NOT NULL AND random() < 0.2;
		WHEN 4 THEN UPDATE leadscore.rule SET at_least = 1 + floor(random() * 4) WHERE model = 'actp' AND at_least IS NOT NULL;
		ELSE UPDATE leadscore.factor SET points_cap = random() * 60 WHERE model = 'actp' AND name IN ('visits', 'mails', 'bursts');
	END CASE;
END
$$;

SELECT setseed(0.25);
INSERT INTO lead SELECT i, 'A' || i || '@x', i % 9, some_time(), some_time() FROM generate_series(1, 30) i;
INSERT INTO visit (lead, at, page, n) SELECT some_lead(), some_time(), pick('pricing', 'blog', 'about'), random() * 10 FROM generate_series(1, 60) i;
INSERT INTO call (lead, at, outcome, code) SELECT some_lead(), some_time(), pick('interested', 'busy', 'wrong'), 'c' || i % 10 FROM generate_series(1, 30) i;
SELECT leads FROM leadscore.attach('actp');
CREATE PROCEDURE play() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 30 LOOP
		CALL actp.several();
		COMMIT;
	END LOOP;
END
$$;
CREATE PROCEDURE check_all(round integer) LANGUAGE plpgsql AS $$
BEGIN
	CALL actp.find_matches();
	CALL actp.check_states(round);
	CALL actp.check_instants(round);
	CALL actp.check_views(round);
	CALL actp.check_next_changes(round);
END
$$;
-- as if it were some days later
CREATE PROCEDURE advance_and_check(round integer, at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	CALL leadscore.advance(NULL, at);
	CALL actp.find_matches();
	CALL actp.check_advanced(round, at);
	CALL actp.check_states(round);
	CALL actp.check_instants(round);
END
$$;
-- each is a statement of its own, with a time of its own
\set ECHO none
SELECT command FROM generate_series(0, 30) round,
	 LATERAL unnest(ARRAY[
		CASE WHEN round > 0 THEN 'CALL actp.play()' END,
		CASE WHEN round % 4 = 3 THEN 'CALL actp.edit_rules()' END,
		CASE WHEN round % 4 = 3 THEN 'CALL leadscore.rescore(''actp'', 7)' END,
		format('CALL actp.check_all(%s)', round)]
		|| CASE WHEN round % 3 = 2 THEN ARRAY[
			'CALL leadscore.advance()',
			format('CALL actp.check_all(%s)', 1000 + round)] END) WITH ORDINALITY c(command, number)
WHERE command IS NOT NULL ORDER BY round, number
\gexec
SELECT format('CALL actp.advance_and_check(%s, statement_timestamp() + %s * interval ''0.9 days'')', 2030 + i, i * i) FROM generate_series(1, 5) i
\gexec
-- and back
CALL leadscore.rescore('actp');
CALL check_all(3036);
\set ECHO all

-- none of these were found wrong
SELECT what, round, left(detail, 900) AS detail FROM found ORDER BY round % 1000, round, what, detail LIMIT 12;
-- and there were enough of them
SELECT what, sum(n) >= CASE what WHEN 'steady' THEN 10000 WHEN 'instants' THEN 10000 WHEN 'advanced' THEN 50 ELSE 500 END AS enough FROM done GROUP BY what ORDER BY what;
SELECT (SELECT count(*) FROM visit) > 100 AS visits, (SELECT count(*) FROM mail) > 0 AS mails, (SELECT count(*) FROM call) > 20 AS calls,
	(SELECT count(*) FROM lead) > 10 AS leads;
SELECT finding, detail FROM leadscore.doctor('actp');

SELECT leadscore.detach('actp');
DELETE FROM leadscore.model WHERE name = 'actp';
DROP SCHEMA actp CASCADE;
