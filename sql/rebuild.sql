--
-- Rebuilding what leads did from all of history
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
RESET client_min_messages;
CREATE SCHEMA reb;
SET search_path = reb;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

CREATE TABLE lead (id integer PRIMARY KEY, email text, size integer);
CREATE TABLE visit (id bigserial PRIMARY KEY, lead_id integer, page text, seconds text, at timestamptz);
CREATE TABLE mail (id bigserial PRIMARY KEY, address text, kind text, at timestamptz);
CREATE TABLE call (id bigserial PRIMARY KEY, lead_id bigint, uid text, kind text, at timestamp);
CREATE TABLE message (id bigserial PRIMARY KEY, of text, ref text, body text, at timestamptz) PARTITION BY HASH (id);
CREATE TABLE message_0 PARTITION OF message FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE message_1 PARTITION OF message FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE chat (id bigserial PRIMARY KEY, address varchar(80), uid integer, at timestamptz);

INSERT INTO leadscore.model (name, target, key_column) VALUES ('reb', 'lead', 'id');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('reb', 'size', 'fit', 'best'), ('reb', 'acts', 'engagement', 'sum');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, filter, event_key) VALUES
	('reb', 'visit', 'visit', 'lead_id', NULL, 'at', NULL, NULL, NULL),
	('reb', 'mail', 'mail', 'address', 'email', 'at', NULL, NULL, NULL),
	('reb', 'call', 'call', 'lead_id', NULL, 'at', 'Europe/Berlin', NULL, 'uid'),
	('reb', 'message', 'message', 'ref', NULL, 'at', NULL, $$"of" = 'lead'$$, NULL),
	('reb', 'chat', 'chat', 'address', 'email', 'at', NULL, NULL, 'uid::text');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('reb', 'size', 'size > 5', 10);
INSERT INTO leadscore.rule (model, factor, activity, condition, points, half_life, at_least, within, at_most, inactive_for) VALUES
	('reb', 'acts', 'visit', $$page = 'pricing'$$, 10, '7 days', NULL, NULL, NULL, NULL),
	('reb', 'acts', 'visit', $$page LIKE 'p%' AND page <> 'press'$$, 1, NULL, NULL, NULL, 5, NULL),
	('reb', 'acts', 'visit', $$seconds::integer > 60$$, 3, '30 days', NULL, NULL, NULL, NULL),
	('reb', 'acts', 'visit', $$page = 'docs' OR page = 'blog'$$, 2, NULL, 3, '14 days', NULL, NULL),
	('reb', 'acts', 'mail', $$kind IN ('click', 'reply')$$, 4, '10 days', NULL, NULL, NULL, NULL),
	('reb', 'acts', 'mail', $$true$$, -5, NULL, NULL, NULL, NULL, '20 days'),
	('reb', 'acts', 'call', $$kind = 'in'$$, 8, '14 days', NULL, NULL, NULL, NULL),
	('reb', 'acts', 'call', $$kind IS NOT NULL$$, 1, NULL, NULL, NULL, NULL, NULL),
	('reb', 'acts', 'message', $$length(body) > 3$$, 2, '5 days', NULL, NULL, 2, NULL),
	('reb', 'acts', 'chat', $$true$$, 6, '3 days', NULL, NULL, NULL, NULL);

-- Leads of whom several go by one address, and some by none
INSERT INTO lead SELECT i, CASE WHEN i % 7 <> 0 THEN format(CASE i % 2 WHEN 0 THEN 'A%s@x.example' ELSE 'a%s@X.example' END, i % 60) END, i % 10
FROM generate_series(1, 150) i;

-- Keys of nobody (above 150), NULL keys, what is no key, NULL and infinite
-- times, events of the future, repeated deliveries, conditions that fail
CREATE FUNCTION some_time(OUT at timestamptz) LANGUAGE sql VOLATILE AS
$$SELECT CASE WHEN random() < 0.01 THEN NULL WHEN random() < 0.005 THEN 'infinity'
	WHEN random() < 0.01 THEN date_trunc('hour', now()) + random() * interval '30 days' + interval '2 days'
	ELSE date_trunc('hour', now()) - random() * interval '90 days' END$$;
CREATE FUNCTION add_events(n integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO visit (lead_id, page, seconds, at)
	SELECT CASE WHEN random() < 0.97 THEN 1 + (random() * 170)::integer END, ('{pricing,press,docs,blog,product,home}'::text[])[1 + (random() * 5)::integer],
		   CASE WHEN random() < 0.9 THEN (random() * 100)::integer::text ELSE 'long' END, some_time() FROM generate_series(1, n);
	INSERT INTO mail (address, kind, at)
	SELECT CASE WHEN random() < 0.97 THEN format('a%s@x.exaMple', (random() * 70)::integer) ELSE '' END, ('{open,click,reply}'::text[])[1 + (random() * 2)::integer],
		   some_time() FROM generate_series(1, n);
	INSERT INTO call (lead_id, uid, kind, at)
	SELECT CASE WHEN random() < 0.01 THEN 5000000000 ELSE 1 + (random() * 160)::integer END,
		   CASE WHEN random() < 0.9 THEN (random() * n / 5)::integer::text END, ('{in,out,NULL}'::text[])[1 + (random() * 2)::integer],
		   some_time() AT TIME ZONE 'UTC' FROM generate_series(1, n);
	INSERT INTO message ("of", ref, body, at)
	SELECT ('{lead,order}'::text[])[1 + (random())::integer], CASE WHEN random() < 0.9 THEN (1 + (random() * 160)::integer)::text ELSE ('{042,x,1.0,-,99999999999}'::text[])[1 + (random() * 4)::integer] END,
		   repeat('x', (random() * 8)::integer), some_time() FROM generate_series(1, n);
	INSERT INTO chat (address, uid, at)
	SELECT format(CASE WHEN random() < 0.5 THEN 'A%s@x.example' ELSE 'a%s@X.EXAMPLE' END, (random() * 70)::integer), (random() * n / 3)::integer, some_time() FROM generate_series(1, n);
$$;

-- What the states and the pending events say, and where two of that differ
CREATE FUNCTION keep_states(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I AS
		SELECT lead_key, lead_exists, fit, match_values, e.rule, e.events, e.decayed, e.last_seen, e.half_life, e.keep, e.latest
		FROM leadscore.reb_state s LEFT JOIN LATERAL leadscore.engagement_entries(s.engagement) e ON true', name);
	EXECUTE format('CREATE TABLE %I AS
		SELECT lead_key, due_at, e.rule, sum(e.events) AS events
		FROM leadscore.pending_activity p, leadscore.engagement_entries(p.engagement) e WHERE model = ''reb'' GROUP BY 1, 2, 3', name || '_later');
END
$$;
CREATE FUNCTION differences(a text, b text) RETURNS TABLE (difference text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('
		SELECT concat_ws('' | '', x, y) FROM (SELECT *, coalesce(rule, 0) AS r FROM %I) x FULL JOIN (SELECT *, coalesce(rule, 0) AS r FROM %I) y USING (lead_key, r)
		WHERE (x.lead_exists, x.fit, x.match_values, x.events, x.last_seen, x.half_life, x.keep, x.latest)
			IS DISTINCT FROM (y.lead_exists, y.fit, y.match_values, y.events, y.last_seen, y.half_life, y.keep, y.latest)
			OR abs(x.decayed - y.decayed) > 1e-9 * x.decayed
		UNION ALL
		SELECT concat_ws('' | later '', x, y) FROM %I x FULL JOIN %I y USING (lead_key, due_at, rule) WHERE x.events IS DISTINCT FROM y.events', a, b, a || '_later', b || '_later');
END
$$;

SELECT setseed(0.25);

--
-- Event by event, and from history at once
--
SELECT leads, skipped FROM leadscore.attach('reb');
-- one of the conditions fails on some rows
SET client_min_messages = error;
SELECT add_events(300);
RESET client_min_messages;
SELECT add_events(20) FROM generate_series(1, 30);
SELECT keep_states('by_event');
SELECT count(*) > 1000 AS many, count(*) FILTER (WHERE NOT lead_exists) > 10 AS unknown, count(DISTINCT rule) AS rules FROM by_event;
SELECT count(DISTINCT lead_key) > 10 AS some_later FROM by_event_later;
SELECT activity_rules IS NOT NULL AS complete FROM leadscore.attachment WHERE model = 'reb';

SELECT leadscore.detach('reb');
SELECT leads, skipped FROM leadscore.attach('reb');
SELECT keep_states('by_history');
SELECT * FROM differences('by_event', 'by_history');
SELECT activity_rules IS NOT NULL AS complete FROM leadscore.attachment WHERE model = 'reb';

-- as does the history of each lead
SELECT count(*) FROM leadscore._recompute_leads('reb', ARRAY(SELECT lead_key::text FROM leadscore.reb_state), false);
SELECT keep_states('by_lead');
SELECT * FROM differences('by_lead', 'by_history');

--
-- In parallel
--
SELECT leadscore.detach('reb');
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT leads, skipped FROM leadscore.attach('reb');
SELECT keep_states('in_parallel');
SELECT * FROM differences('in_parallel', 'by_history');
-- the aggregate on its own
CREATE VIEW summed AS
SELECT lead_id, leadscore._activity_agg('reb', 'visit', 'infinity', lead_id, page, seconds, at) AS e FROM visit GROUP BY lead_id;
CREATE TABLE sums_in_parallel AS SELECT * FROM summed;
SET max_parallel_workers_per_gather = 0;
SELECT count(*) FROM summed s JOIN sums_in_parallel p USING (lead_id),
	LATERAL (SELECT * FROM leadscore.engagement_entries(s.e) FULL JOIN leadscore.engagement_entries(p.e) q USING (rule)) j (rule, events, decayed, last_seen, half_life, keep, latest, pevents, pdecayed, plast_seen, phalf_life, pkeep, platest)
WHERE (events, last_seen, keep, latest) IS DISTINCT FROM (pevents, plast_seen, pkeep, platest) OR abs(decayed - pdecayed) > 1e-9 * decayed;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;

-- little memory: everything is sorted on disk
SELECT leadscore.detach('reb');
SET maintenance_work_mem = '1MB';
SET work_mem = '64kB';
SELECT leads, skipped FROM leadscore.attach('reb');
RESET maintenance_work_mem;
RESET work_mem;
SELECT keep_states('in_little');
SELECT * FROM differences('in_little', 'by_history');

--
-- Events that no trigger saw
--
CREATE FUNCTION behind_our_back() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	t	record;
BEGIN
	DROP TABLE IF EXISTS ours;
	CREATE TABLE ours AS
		SELECT tgrelid::regclass AS relation, tgname FROM pg_trigger
		WHERE tgfoid = 'leadscore.capture_activity'::regproc AND tgparentid = 0;
	FOR t IN SELECT * FROM ours LOOP
		EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', t.relation, t.tgname);
	END LOOP;
	PERFORM add_events(30);
	DELETE FROM visit WHERE lead_id = 7;
	INSERT INTO visit (lead_id, page, at) VALUES (1000 + (SELECT count(*) FROM visit WHERE lead_id >= 1000), 'pricing', '2026-01-01');
	DELETE FROM mail WHERE at > now() AND at < 'infinity';
	UPDATE visit SET at = at + interval '1 hour' WHERE id % 50 = 0;
	FOR t IN SELECT * FROM ours LOOP
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.relation, t.tgname);
	END LOOP;
END
$$;
CREATE FUNCTION check_states(name text) RETURNS TABLE (difference text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM keep_states(name);
	PERFORM leadscore._recompute_leads('reb', ARRAY(
		SELECT lead_key::text FROM leadscore.reb_state UNION SELECT lead_id::text FROM visit WHERE lead_id > 150
		UNION SELECT lead_id::text FROM call WHERE lead_id BETWEEN 150 AND 200), false);
	PERFORM keep_states(name || '_by_lead');
	RETURN QUERY SELECT * FROM differences(name, name || '_by_lead');
END
$$;

-- attach() again
SELECT behind_our_back();
SELECT keep_states('stale');
SELECT leads, skipped FROM leadscore.attach('reb');
SELECT count(*) > 100 AS many FROM (SELECT keep_states('attached')) s, differences('stale', 'attached');
SELECT * FROM check_states('again');
SELECT lead_exists, (leadscore.engagement_entries(engagement)).events FROM leadscore.reb_state WHERE lead_key = 1000;

-- repair(), and nothing the second time
SELECT behind_our_back();
SELECT cardinality(leadscore.repair('reb')) AS done;
SELECT * FROM check_states('repaired');
SELECT leadscore.repair('reb');

-- rescore(), if it is told to
SELECT behind_our_back();
SELECT keep_states('stale_2');
SET client_min_messages = warning;
CALL leadscore.rescore('reb');
SELECT keep_states('rescored');
SELECT count(*) FROM differences('stale_2', 'rescored');
CALL leadscore.rescore('reb', 20, activities => true);
RESET client_min_messages;
SELECT finished, activities, cardinality(held) AS held FROM leadscore.rescore_run WHERE model = 'reb';
SELECT count(*) AS left_over FROM leadscore.pending_activity WHERE model = 'reb' AND engagement IS NULL;
SELECT * FROM check_states('rescored_2');

-- rules that were edited meanwhile
UPDATE leadscore.rule SET half_life = '9 days' WHERE model = 'reb' AND half_life = '7 days';
DELETE FROM leadscore.rule WHERE model = 'reb' AND activity = 'chat';
SELECT leads, skipped FROM leadscore.attach('reb');
SELECT * FROM check_states('edited');
SELECT count(DISTINCT s.rules_version) AS versions, bool_and(s.rules_version = m.version) AS newest
FROM leadscore.reb_state s, leadscore.model m WHERE m.name = 'reb' AND s.lead_exists;

-- in the transaction that wrote events
BEGIN;
SELECT add_events(20);
SELECT leads, skipped FROM leadscore.attach('reb');
SELECT add_events(20);
COMMIT;
SELECT * FROM check_states('own');

--
-- Two leads with one key; and then none of it stays
--
SELECT leadscore.detach('reb');
ALTER TABLE lead DROP CONSTRAINT lead_pkey;
INSERT INTO lead VALUES (3, 'twin@x.example', 9);
CREATE VIEW twins AS SELECT * FROM lead;
ALTER TABLE lead RENAME TO lead_with_twins;
CREATE TABLE lead AS SELECT DISTINCT ON (id) * FROM lead_with_twins;
ALTER TABLE lead ADD PRIMARY KEY (id);
UPDATE leadscore.model SET target = 'lead', source = 'twins' WHERE name = 'reb';
\set VERBOSITY terse
SELECT leads, skipped FROM leadscore.attach('reb');
\set VERBOSITY default
SELECT count(*) FROM leadscore.pending_activity WHERE model = 'reb';
DROP VIEW twins CASCADE;
CREATE VIEW twins AS SELECT * FROM lead;
UPDATE leadscore.model SET source = 'twins' WHERE name = 'reb';

--
-- Who may ask
--
CREATE ROLE regress_reb_owner;
CREATE ROLE regress_reb_other;
GRANT USAGE ON SCHEMA reb TO regress_reb_owner, regress_reb_other;
GRANT USAGE ON SCHEMA leadscore TO regress_reb_other;
-- the owner of the events has no right on the schema of ours
ALTER TABLE visit OWNER TO regress_reb_owner;
ALTER TABLE call OWNER TO regress_reb_owner;
SELECT leads, skipped FROM leadscore.attach('reb');
SELECT * FROM check_states('owned');
-- nor is he kept from his own rows by a policy
ALTER TABLE visit ENABLE ROW LEVEL SECURITY;
SELECT leadscore.detach('reb');
SELECT leads, skipped FROM leadscore.attach('reb');
SELECT * FROM check_states('secured');
SET ROLE regress_reb_other;
SELECT leadscore._activity_agg('reb', 'visit', now(), 1, 'pricing'::text, '5'::text, now());
SELECT leadscore._rebuild('reb', false);
SELECT leadscore._recompute_leads('reb', '{1}', false);
RESET ROLE;
-- columns that the rules do not expect
SELECT leadscore._activity_agg('reb', 'visit', now(), 1, 'pricing'::text, 5, now());
SELECT leadscore._activity_agg('reb', 'visit', now(), 1);
SELECT leadscore._activity_agg('reb', 'visit', NULL, 1, 'pricing'::text, '5'::text, now());
SELECT leadscore._activity_agg('reb', 'nothing', now(), 1);
SELECT leadscore._activity_agg('none', 'visit', now(), 1);
-- events that are later
SELECT rule < 0 AS later, events FROM leadscore.engagement_entries((SELECT leadscore._activity_agg('reb', 'visit', '2026-01-02', 1, 'pricing'::text, '5'::text, t)
	FROM unnest('{2026-01-01,2026-01-02,2026-01-03,infinity,NULL}'::timestamptz[]) t)) ORDER BY rule;

SELECT leadscore.detach('reb');
DELETE FROM leadscore.model WHERE name = 'reb';
SET client_min_messages = warning;
DROP SCHEMA reb CASCADE;
REVOKE USAGE ON SCHEMA leadscore FROM regress_reb_other;
DROP ROLE regress_reb_owner;
DROP ROLE regress_reb_other;
