-- What if: drafts compared with their model, published and taken back.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
DROP SCHEMA IF EXISTS wi CASCADE;
CREATE SCHEMA wi;
SET search_path = wi, leadscore;	-- for the operators of stages

CREATE FUNCTION error(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	state := 'none';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END
$$;
-- everything that a model has in the rule tables, with ids, but without its name
CREATE FUNCTION all_of(model text, OUT m jsonb, OUT f jsonb, OUT a jsonb, OUT r jsonb, OUT t jsonb, OUT tr jsonb, OUT sm jsonb) LANGUAGE sql AS $$
	SELECT (SELECT to_jsonb(x) - '{name,version,activity_version}'::text[] FROM leadscore.model x WHERE x.name = all_of.model),
		   (SELECT jsonb_agg(to_jsonb(x) - 'model' ORDER BY x.name) FROM leadscore.factor x WHERE x.model = all_of.model),
		   (SELECT jsonb_agg(to_jsonb(x) - 'model' ORDER BY x.name) FROM leadscore.activity_source x WHERE x.model = all_of.model),
		   (SELECT jsonb_agg(to_jsonb(x) - 'model' ORDER BY x.id) FROM leadscore.rule x WHERE x.model = all_of.model),
		   (SELECT jsonb_agg(to_jsonb(x) - 'model' ORDER BY x.kind, x.label) FROM leadscore.threshold x WHERE x.model = all_of.model),
		   (SELECT jsonb_agg(to_jsonb(x) - 'model' ORDER BY x.from_stage::text, x.to_stage::text) FROM leadscore.transition x WHERE x.model = all_of.model),
		   (SELECT jsonb_agg(to_jsonb(x) - 'model' ORDER BY x.status, x.stage::text) FROM leadscore.stage_map x WHERE x.model = all_of.model)
$$;
-- the same of two models that need not have the same ids
CREATE FUNCTION same_but_ids(a text, b text) RETURNS boolean LANGUAGE sql AS $$
	SELECT row(x.m, x.f, x.a, x.t, x.tr, x.sm) IS NOT DISTINCT FROM row(y.m, y.f, y.a, y.t, y.tr, y.sm)
	   AND (SELECT jsonb_agg(e - 'id' ORDER BY (e - 'id')::text) FROM jsonb_array_elements(x.r) e)
		 = (SELECT jsonb_agg(e - 'id' ORDER BY (e - 'id')::text) FROM jsonb_array_elements(y.r) e)
	FROM all_of(a) x, all_of(b) y
$$;
CREATE TABLE lead (id integer PRIMARY KEY, email text, size text, title text, seats integer, status text, made timestamptz);
CREATE TABLE visit (id integer PRIMARY KEY, lead_id integer, at timestamptz, url text);
CREATE INDEX ON visit (lead_id);
INSERT INTO lead
SELECT i, 'l' || i || '@' || CASE WHEN i % 7 = 0 THEN 'rival.example' ELSE 'c' || i || '.example' END,
	   (ARRAY['small', 'medium', 'large'])[1 + i % 3], (ARRAY['CEO', 'clerk', NULL, 'head'])[1 + i % 4], i % 11 * 10, 'new', now() - interval '40 days'
FROM generate_series(1, 300) i;
INSERT INTO visit
SELECT i, 1 + i % 300, now() - (i % 20) * interval '1 day' - interval '5 hours', (ARRAY['/pricing', '/blog', '/docs'])[1 + i % 3]
FROM generate_series(1, 900) i;

-- a model and a draft, each asked for by itself
CREATE FUNCTION apart(a text, b text)
RETURNS TABLE (lead_key text, score integer, draft_score integer, temperature text, draft_temperature text, grade text, draft_grade text, disqualified boolean, draft_disqualified boolean)
LANGUAGE sql STABLE AS $$
	SELECT * FROM (SELECT l.id::text, (e).score, (f).score, (e).temperature::text, (f).temperature::text, (e).grade, (f).grade, (e).disqualified, (f).disqualified
					 FROM (SELECT l.id, leadscore.evaluate(a, l) AS e, leadscore.evaluate(b, l) AS f FROM lead l OFFSET 0) l)
		x(lead_key, s, ds, t, dt, g, dg, d, dd)
	WHERE (s, t, g, d) IS DISTINCT FROM (ds, dt, dg, dd)
$$;

INSERT INTO leadscore.model (name, target, created_at, initial_stage) VALUES ('wi', 'lead', 'made', 'lead');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('wi', 'size', 'fit'), ('wi', 'title', 'fit'), ('wi', 'web', 'engagement'), ('wi', 'rival', 'fit');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('wi', 'visit', 'visit', 'lead_id', 'at');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, disqualifies) VALUES
	('wi', 'size', 'large', $$size = 'large'$$, 20, false),
	('wi', 'size', 'medium', $$size = 'medium'$$, 10, false),
	('wi', 'title', 'CEO', $$title = 'CEO'$$, 15, false),
	('wi', 'rival', 'works for a rival', $$email LIKE '%@rival.example'$$, 0, true);
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, activity, half_life) VALUES
	('wi', 'web', 'pricing', $$url = '/pricing'$$, 10.3, 'visit', '7 days'),
	('wi', 'web', 'docs', $$url = '/docs'$$, 3.3, 'visit', NULL);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('wi', 'temperature', 'hot', 45), ('wi', 'temperature', 'warm', 22), ('wi', 'temperature', 'cold', '-Infinity');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('wi', 'lead', 'mql', 'scored.score >= 35 AND seats >= 20', true),
	('wi', 'mql', 'sal', $$scored.temperature = 'hot'$$, true),
	('wi', 'lead', 'disqualified', 'scored.disqualified', true),
	('wi', 'sal', 'sql', NULL, false);
SELECT leadscore.attach('wi') IS NOT NULL;
CALL leadscore.rescore('wi', move_stages => true);
SELECT version AS first_version, activity_version AS first_activity_version FROM leadscore.model WHERE name = 'wi' \gset

--
-- A draft that says the same changes nothing
--
SELECT leadscore.copy_model('wi', 'wi_draft');
SELECT draft_of, base_version = :first_version, base -> 'model' ->> 'name', (SELECT count(*) FROM jsonb_object_keys(rules)) FROM leadscore.draft WHERE model = 'wi_draft';
SELECT same_but_ids('wi', 'wi_draft');
SELECT count(*) FROM leadscore.compare('wi', 'wi_draft');
SELECT kind, sum(leads), bool_and(before = after) FROM leadscore.compare_matrix('wi', 'wi_draft') GROUP BY kind ORDER BY kind;
SELECT leads, changed, average_change, top_movers FROM leadscore.compare_summary('wi', 'wi_draft');
SELECT leadscore.publish('wi_draft') = :first_version;

--
-- One that does not
--
UPDATE leadscore.rule SET points = 32 WHERE model = 'wi_draft' AND parameter = 'large';
UPDATE leadscore.rule SET condition = $$title IN ('CEO', 'head')$$ WHERE model = 'wi_draft' AND parameter = 'CEO';
DELETE FROM leadscore.rule WHERE model = 'wi_draft' AND parameter = 'docs';
INSERT INTO leadscore.factor (model, name, axis) VALUES ('wi_draft', 'seats', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('wi_draft', 'seats', 'many', 'seats >= 80', 7);
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, activity, at_least, within) VALUES
	('wi_draft', 'web', 'reader', $$url = '/blog'$$, 4, 'visit', 1, '10 days');
UPDATE leadscore.threshold SET at_least = 50 WHERE model = 'wi_draft' AND label = 'hot';
UPDATE leadscore.transition SET condition = 'scored.score >= 30' WHERE model = 'wi_draft' AND to_stage = 'mql';
DELETE FROM leadscore.transition WHERE model = 'wi_draft' AND to_stage = 'disqualified';

BEGIN;
SELECT count(*) > 200 FROM leadscore.compare('wi', 'wi_draft');
SELECT count(*) > 10 FROM leadscore.compare_matrix('wi', 'wi_draft');
SELECT changed > 200 FROM leadscore.compare_summary('wi', 'wi_draft');
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
COMMIT;

-- by each model for itself
CREATE TABLE compared AS SELECT * FROM leadscore.compare('wi', 'wi_draft');
SELECT count(*) FROM (SELECT lead_key, score, draft_score, temperature, draft_temperature, grade, draft_grade, disqualified, draft_disqualified FROM compared
					  WHERE (score, temperature, grade, disqualified) IS DISTINCT FROM (draft_score, draft_temperature, draft_grade, draft_disqualified)
					  EXCEPT SELECT * FROM apart('wi', 'wi_draft')) x;
SELECT count(*) FROM (SELECT * FROM apart('wi', 'wi_draft')
					  EXCEPT SELECT lead_key, score, draft_score, temperature, draft_temperature, grade, draft_grade, disqualified, draft_disqualified FROM compared) x;
SELECT count(*) FROM compared c JOIN leadscore.wi_scored s ON s.lead_key::text = c.lead_key WHERE c.stage <> s.stage;
SELECT count(*), bool_and(reasons <> '{}'), count(problem) FROM compared WHERE score <> draft_score;
SELECT lead_key, score, draft_score, temperature, draft_temperature, grade, draft_grade, stage, draft_stage, reasons FROM compared WHERE lead_key IN ('8', '24', '300') ORDER BY 1;
SELECT reasons, count(*) > 0 FROM compared WHERE score = draft_score AND reasons::text LIKE '%other%' GROUP BY 1 ORDER BY 1;
-- the matrix counts what compare() lists, and the rest
SELECT count(*) FROM (
	(SELECT kind, before, after, leads FROM leadscore.compare_matrix('wi', 'wi_draft') WHERE before <> after
	 EXCEPT SELECT k.*, count(*) FROM compared c, LATERAL (VALUES ('temperature', temperature, draft_temperature), ('grade', grade, draft_grade), ('stage', stage, draft_stage)) k
			WHERE k.column2 <> k.column3 GROUP BY 1, 2, 3)
	UNION ALL
	(SELECT k.*, count(*) FROM compared c, LATERAL (VALUES ('temperature', temperature, draft_temperature), ('grade', grade, draft_grade), ('stage', stage, draft_stage)) k
			WHERE k.column2 <> k.column3 GROUP BY 1, 2, 3
	 EXCEPT SELECT kind, before, after, leads FROM leadscore.compare_matrix('wi', 'wi_draft'))) x;
SELECT kind, sum(leads) FROM leadscore.compare_matrix('wi', 'wi_draft') GROUP BY kind ORDER BY kind;
SELECT before, after, leads FROM leadscore.compare_matrix('wi', 'wi_draft') WHERE kind = 'stage';
SELECT s.leads, s.changed = c.n, s.score_up = c.up, s.score_down = c.down, s.stage_changed = c.moves, s.newly_disqualified, s.no_longer_disqualified,
	   s.hot - s.draft_hot = c.cooler, s.problems, jsonb_array_length(s.top_movers), s.top_movers -> 0 ->> 'lead_key' = c.first, s.top_movers -> 0 -> 'reasons' = c.why
FROM leadscore.compare_summary('wi', 'wi_draft', 3) s,
	 (SELECT count(*) AS n, count(*) FILTER (WHERE draft_score > score) AS up, count(*) FILTER (WHERE draft_score < score) AS down,
			 count(*) FILTER (WHERE stage <> draft_stage) AS moves,
			 count(*) FILTER (WHERE temperature = 'hot') - count(*) FILTER (WHERE draft_temperature = 'hot') AS cooler,
			 (array_agg(lead_key ORDER BY abs(draft_score - score) DESC, temperature <> draft_temperature DESC, lead_key COLLATE "C"))[1] AS first,
			 (array_agg(to_jsonb(reasons) ORDER BY abs(draft_score - score) DESC, temperature <> draft_temperature DESC, lead_key COLLATE "C"))[1] AS why FROM compared) c;

--
-- Published
--
CREATE TABLE before AS SELECT * FROM all_of('wi');
CREATE TABLE rules_before AS SELECT id, parameter FROM leadscore.rule WHERE model = 'wi';
CREATE TABLE stored AS SELECT lead_key, score, temperature, grade, stage FROM leadscore.wi_scored;
CREATE TABLE draft_scores AS SELECT id, leadscore.score('wi_draft', l) FROM lead l;
SELECT leadscore.publish('wi_draft', 'bigger firms') - :first_version AS versions;
SELECT version - :first_version AS version, activity_version - :first_version AS activity_version FROM leadscore.model WHERE name = 'wi';
SELECT same_but_ids('wi', 'wi_draft');
SELECT count(*) FROM draft_scores d JOIN lead l USING (id) WHERE d.score <> leadscore.score('wi', l);
-- rules that were there keep their ids, whether they were edited or not
SELECT r.parameter, b.id = r.id AS same_id, r.id > (SELECT max(id) FROM rules_before) AS new FROM leadscore.rule r LEFT JOIN rules_before b USING (parameter)
WHERE r.model = 'wi' ORDER BY r.id;
-- stored rows are stale, nobody moved, and the model is attached as before
SELECT stale_leads = leads, leads, attached FROM leadscore.model_status WHERE model = 'wi';
SELECT count(*) FROM leadscore.history WHERE model = 'wi' AND rules_version > :first_version;
CALL leadscore.rescore('wi', move_stages => true);
SELECT stale_leads FROM leadscore.model_status WHERE model = 'wi';
-- it is as compare() said
SELECT count(*) FROM lead l LEFT JOIN compared c ON c.lead_key = l.id::text JOIN leadscore.wi_scored s ON s.lead_key = l.id
WHERE c.lead_key IS NOT NULL AND (s.score, s.temperature, s.grade, s.stage) <> (c.draft_score, c.draft_temperature, c.draft_grade, c.draft_stage);
SELECT count(*) FROM stored o JOIN leadscore.wi_scored s USING (lead_key)
WHERE (s.score, s.temperature, s.grade, s.stage) <> (o.score, o.temperature, o.grade, o.stage) AND lead_key::text NOT IN (SELECT lead_key FROM compared);
SELECT cause, rules_version - :first_version AS version, count(*) > 50 FROM leadscore.history WHERE model = 'wi' AND rules_version > :first_version GROUP BY 1, 2;
SELECT version - :first_version AS version, published_at IS NOT NULL AS published, published_by = session_user AS by_me, draft, cardinality(rules), note FROM leadscore.model_version WHERE model = 'wi' ORDER BY version;
SELECT matrix - 'transitions' - 'stage_map' @> leadscore.export_model('wi') - 'rules' - 'transitions' - 'stage_map' FROM leadscore.model_version WHERE model = 'wi' ORDER BY version DESC LIMIT 1;
-- the draft goes on: nothing to publish, then points only, for which nothing is summed up anew
SELECT leadscore.publish('wi_draft') - :first_version AS versions;
UPDATE leadscore.rule SET points = 11.3 WHERE model = 'wi_draft' AND parameter = 'pricing';
SELECT leadscore.publish('wi_draft') - :first_version AS versions;
SELECT version - :first_version AS version, activity_version - :first_version AS activity_version FROM leadscore.model WHERE name = 'wi';
SELECT same_but_ids('wi', 'wi_draft');

--
-- Taken back
--
CREATE TABLE third AS SELECT * FROM all_of('wi');
SELECT leadscore.rollback_model('wi', :first_version) - :first_version AS versions;
SELECT b.m = n.m AS model, b.f = n.f AS factors, b.a = n.a AS sources, b.r = n.r AS rules, b.t = n.t AS thresholds, b.tr = n.tr AS transitions, b.sm IS NOT DISTINCT FROM n.sm AS stage_map
FROM before b, all_of('wi') n;
SELECT leadscore.rollback_model('wi') - :first_version AS versions;
SELECT o IS NOT DISTINCT FROM n FROM third o, all_of('wi') n;
SELECT version - :first_version AS version, draft, note FROM leadscore.model_version WHERE model = 'wi' ORDER BY version;
CALL leadscore.rescore('wi');
SELECT count(*) FROM leadscore.wi_scored s JOIN lead l ON l.id = s.lead_key WHERE s.score <> leadscore.score('wi', l);
SELECT min(rules_version) <= :first_version FROM leadscore.history WHERE model = 'wi';

--
-- A model that was edited meanwhile is not overwritten
--
SELECT leadscore.copy_model('wi', 'wi_other');
UPDATE leadscore.rule SET points = 1 WHERE model = 'wi_other' AND parameter = 'many';
UPDATE leadscore.transition SET description = 'from the model itself' WHERE model = 'wi' AND from_stage = 'sal';
SELECT state, message, hint FROM error($$SELECT leadscore.publish('wi_other')$$);
SELECT leadscore.publish('wi_other', force => true) - :first_version AS versions;
SELECT same_but_ids('wi', 'wi_other');
-- transitions are edited without a version: what was in force is kept under one of its own
SELECT version - :first_version AS version, matrix -> 'transitions' @> '[{"description": "from the model itself"}]' FROM leadscore.model_version WHERE model = 'wi' ORDER BY version DESC LIMIT 2;
-- nor by a second draft of the same version
SELECT state, message FROM error($$SELECT leadscore.publish('wi_draft')$$);

--
-- A draft that was written from scratch, or read from a file
--
INSERT INTO leadscore.model (name, target, created_at) VALUES ('wi_own', 'lead', 'made');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('wi_own', 'size', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('wi_own', 'size', 'large', $$size = 'large'$$, 5), ('wi_own', 'size', 'large', $$size = 'huge'$$, 5);
SELECT state, message, hint FROM error($$SELECT leadscore.publish('wi_own')$$);
SELECT leadscore.publish('wi_own', 'afresh', 'wi') - :first_version AS versions;
SELECT same_but_ids('wi', 'wi_own');
SELECT count(*) FROM leadscore.rule r JOIN rules_before b USING (id, parameter) WHERE r.model = 'wi';
SELECT draft_of FROM leadscore.draft WHERE model = 'wi_own';
UPDATE leadscore.rule SET points = 6 WHERE model = 'wi_own' AND condition ~ 'huge';
SELECT leadscore.publish('wi_own') - :first_version AS versions;
SELECT same_but_ids('wi', 'wi_own');
-- all of it and back, activity sources too
SELECT leadscore.rollback_model('wi', :first_version + 1) IS NOT NULL;
SELECT (matrix #- '{model,name}') = (leadscore._matrix('wi') #- '{model,name}'), rules = ARRAY(SELECT id FROM leadscore.rule WHERE model = 'wi' ORDER BY id)
FROM leadscore.model_version WHERE model = 'wi' AND version = :first_version + 1;
CALL leadscore.rescore('wi', activities => true);
SELECT count(*) FROM leadscore.wi_scored s JOIN lead l ON l.id = s.lead_key WHERE s.score <> leadscore.score('wi', l);

--
-- What is written anew: activity sources, expressions of the model, with the paths of those who wrote them
--
SELECT leadscore.publish('wi_draft', force => true) IS NOT NULL;
CALL leadscore.rescore('wi', activities => true, move_stages => true);
SELECT version AS next_version FROM leadscore.model WHERE name = 'wi' \gset
CREATE TYPE size AS ENUM ('small', 'medium', 'large');
INSERT INTO leadscore.sla (model, stage, response_activity) VALUES ('wi', 'sal', 'visit');
UPDATE leadscore.activity_source SET filter = 'id % 2 = 0' WHERE model = 'wi_draft';
UPDATE leadscore.model SET channel = 'title', consent = $$size::size > 'small'$$, description = 'even visits' WHERE name = 'wi_draft';
UPDATE leadscore.rule SET condition = $$size::size >= 'large'$$ WHERE model = 'wi_draft' AND parameter = 'large';
UPDATE leadscore.transition SET condition = $$scored.grade < 'C' AND size::size >= 'medium'$$ WHERE model = 'wi_draft' AND to_stage = 'mql';
DROP TABLE compared, rules_before;
CREATE TABLE compared AS SELECT * FROM leadscore.compare('wi', 'wi_draft');
CREATE TABLE rules_before AS SELECT id, parameter FROM leadscore.rule WHERE model = 'wi';
SELECT count(*) > 50 FROM compared;
SET search_path = pg_catalog;
SELECT leadscore.publish('wi_draft') - :next_version AS versions;
SET search_path = wi, leadscore;
SELECT same_but_ids('wi', 'wi_draft');
SELECT search_path FROM leadscore.model WHERE name = 'wi' UNION SELECT search_path FROM leadscore.rule WHERE model = 'wi'
UNION SELECT search_path FROM leadscore.activity_source WHERE model = 'wi' UNION SELECT search_path FROM leadscore.transition WHERE model = 'wi' AND condition IS NOT NULL;
SELECT count(*) FROM rules_before b FULL JOIN leadscore.rule r USING (id) WHERE r.model = 'wi' AND b.parameter IS DISTINCT FROM r.parameter;
CALL leadscore.rescore('wi', activities => true, move_stages => true);
SELECT count(*) FROM leadscore.wi_scored s JOIN lead l ON l.id = s.lead_key WHERE s.score <> leadscore.score('wi', l);
SELECT count(*) FROM compared c JOIN leadscore.wi_scored s ON s.lead_key = c.lead_key::integer
WHERE (s.score, s.temperature, s.grade, s.stage) <> (c.draft_score, c.draft_temperature, c.draft_grade, c.draft_stage);

--
-- Where the CRM's status is the master; pins and nurture
--
INSERT INTO leadscore.model (name, target, status, stage_mode) VALUES ('wi_follow', 'lead', 'status', 'follow');
INSERT INTO leadscore.stage_map (model, status, stage) VALUES ('wi_follow', 'new', 'lead'), ('wi_follow', 'new', 'mql'), ('wi_follow', 'won', 'customer'), ('wi_follow', 'later', 'nurture'), ('wi_follow', 'later', 'mql');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('wi_follow', 'seats', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('wi_follow', 'seats', 'some', 'seats >= 50', 30);
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('wi_follow', 'lead', 'mql', 'scored.score >= 30', true), ('wi_follow', 'nurture', 'mql', 'scored.score >= 30', true);
UPDATE lead SET status = 'won' WHERE id % 10 = 0;
UPDATE lead SET status = 'later' WHERE id % 10 = 1;
SELECT leadscore.attach('wi_follow') IS NOT NULL;
CALL leadscore.rescore('wi_follow', move_stages => true);
SELECT count(leadscore.pin('wi_follow', id, 'infinity')::text) FROM lead WHERE id % 10 = 2;
SELECT stage, count(*) FROM leadscore.wi_follow_scored GROUP BY 1 ORDER BY 1;
SELECT leadscore.copy_model('wi_follow', 'wi_draft_2');
UPDATE leadscore.rule SET points = 20 WHERE model = 'wi_draft_2';
UPDATE leadscore.transition SET condition = 'scored.score >= 20' WHERE model = 'wi_draft_2';
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('wi_draft_2', 'seats', 'a few', 'seats >= 20', 20);
UPDATE leadscore.stage_map SET stage = 'opportunity' WHERE model = 'wi_draft_2' AND status = 'won';
CREATE TABLE followed AS SELECT * FROM leadscore.compare('wi_follow', 'wi_draft_2');
SELECT before, after, leads FROM leadscore.compare_matrix('wi_follow', 'wi_draft_2') WHERE kind = 'stage';
DROP TABLE stored;
CREATE TABLE stored AS SELECT lead_key, score, temperature, grade, stage FROM leadscore.wi_follow_scored;
SELECT leadscore.publish('wi_draft_2') IS NOT NULL;
CALL leadscore.rescore('wi_follow', move_stages => true);
SELECT count(*) FROM leadscore.wi_follow_scored s JOIN stored o USING (lead_key) LEFT JOIN followed c ON c.lead_key = s.lead_key::text
WHERE (s.score, s.temperature, s.grade, s.stage) <> (coalesce(c.draft_score, o.score), coalesce(c.draft_temperature, o.temperature), coalesce(c.draft_grade, o.grade), coalesce(c.draft_stage, o.stage));
SELECT leadscore.detach('wi_follow');

--
-- Not attached, with another source, with a rule that fails
--
INSERT INTO leadscore.model (name, target) VALUES ('wi_loose', 'lead');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('wi_loose', 'size', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('wi_loose', 'size', 'large', $$size = 'large'$$, 5);
CREATE VIEW wide AS SELECT *, length(email) AS letters FROM lead;
SELECT leadscore.copy_model('wi_loose', 'wi_wide');
UPDATE leadscore.model SET source = 'wide' WHERE name = 'wi_wide';
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('wi_wide', 'size', 'long', 'letters > 14', 6), ('wi_wide', 'size', 'odd', '100 / (id - 4) > 40', 8);
SELECT lead_key, score, draft_score, stage, draft_stage, reasons, problem FROM leadscore.compare('wi_loose', 'wi_wide') WHERE lead_key::integer <= 10 ORDER BY 1;
SELECT leads, changed, problems FROM leadscore.compare_summary('wi_loose', 'wi_wide');
SELECT leadscore.publish('wi_wide');
SELECT same_but_ids('wi_loose', 'wi_wide');
SELECT leadscore.rollback_model('wi_loose');
SELECT source, (SELECT count(*) FROM leadscore.rule WHERE model = 'wi_loose') FROM leadscore.model WHERE name = 'wi_loose';
-- an attached model keeps its source
SELECT leadscore.copy_model('wi', 'wi_view');
UPDATE leadscore.model SET source = 'wide' WHERE name = 'wi_view';
SELECT state, message FROM error($$SELECT leadscore.publish('wi_view')$$);

--
-- Errors
--
CREATE TABLE other (id integer PRIMARY KEY);
INSERT INTO leadscore.model (name, target) VALUES ('wi_table', 'other');
SELECT s, e.* FROM unnest(ARRAY['compare(NULL, ''wi'')', 'compare(''wi'', ''wi_none'')', 'compare(''wi'', ''wi'')', 'compare(''wi'', ''wi_table'')',
	'compare_matrix(''wi_none'', ''wi'')', 'compare_summary(''wi'', NULL)', 'compare_summary(''wi'', ''wi_other'', -1)',
	'publish(NULL)', 'publish(''wi_none'')', 'publish(''wi'')', 'publish(''wi_table'', model => ''wi'')', 'publish(''wi'', model => ''wi'')', 'publish(''wi_other'', model => ''wi_none'')',
	'rollback_model(NULL)', 'rollback_model(''wi_none'')', 'rollback_model(''wi'', 99999)', 'rollback_model(''wi_table'')']) WITH ORDINALITY u(s, n),
	error('SELECT * FROM leadscore.' || s) e ORDER BY n;

-- who may not write rules may not publish; nothing of it stays
CREATE ROLE regress_wi_reader;
GRANT USAGE ON SCHEMA leadscore, wi TO regress_wi_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA leadscore TO regress_wi_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA wi TO regress_wi_reader;
SET ROLE regress_wi_reader;
SELECT count(*) > 0 FROM leadscore.compare('wi', 'wi_other');
SELECT state, message FROM error($$SELECT leadscore.publish('wi_other', force => true)$$);
SELECT state, message FROM error($$SELECT leadscore.rollback_model('wi')$$);
RESET ROLE;
DROP OWNED BY regress_wi_reader;
DROP ROLE regress_wi_reader;

-- who edits matrices may, of an attached model too; the leads are none of his business
CREATE ROLE regress_wi_editor;
GRANT USAGE ON SCHEMA leadscore, wi TO regress_wi_editor;
GRANT SELECT, INSERT, UPDATE, DELETE ON leadscore.model, leadscore.factor, leadscore.activity_source, leadscore.rule, leadscore.threshold,
	leadscore.transition, leadscore.stage_map, leadscore.sla, leadscore.playbook, leadscore.draft TO regress_wi_editor;
GRANT SELECT, INSERT ON leadscore.model_version TO regress_wi_editor;
SELECT version AS next_version FROM leadscore.model WHERE name = 'wi' \gset
SET ROLE regress_wi_editor;
SELECT leadscore.copy_model('wi', 'wi_edited');
UPDATE leadscore.rule SET points = 21 WHERE model = 'wi_edited' AND parameter = 'large';
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('wi_edited', 'seats', 'very many', 'seats >= 100', 1);
SELECT state, message FROM error($$SELECT count(*) FROM leadscore.compare('wi', 'wi_edited')$$);
SELECT leadscore.publish('wi_edited', 'by the editor') - :next_version AS versions;
SELECT same_but_ids('wi', 'wi_edited');
SELECT leadscore.rollback_model('wi') - :next_version AS versions;
-- but events that count for the leads are their owner's to choose
UPDATE leadscore.activity_source SET filter = 'true' WHERE model = 'wi_edited';
SELECT state, message FROM error($$SELECT leadscore.publish('wi_edited', force => true)$$);
RESET ROLE;
SELECT version - :next_version AS versions FROM leadscore.model WHERE name = 'wi';
DROP OWNED BY regress_wi_editor;
DROP ROLE regress_wi_editor;

-- scored, published and scored again in one transaction, and taken back with it
UPDATE leadscore.activity_source SET filter = (SELECT filter FROM leadscore.activity_source WHERE model = 'wi' AND name = 'visit') WHERE model = 'wi_edited';
BEGIN;
CREATE TEMP TABLE in_turn (n integer, total bigint) ON COMMIT DROP;
INSERT INTO in_turn SELECT 1, sum(leadscore.score('wi', l)) FROM lead l;
UPDATE leadscore.rule SET points = points + 1 WHERE model = 'wi' AND parameter = 'medium';
INSERT INTO in_turn SELECT 2, sum(leadscore.score('wi', l)) FROM lead l;
SAVEPOINT s;
SELECT leadscore.publish('wi_edited', force => true) IS NOT NULL;
INSERT INTO in_turn SELECT 3, sum(leadscore.score('wi', l)) FROM lead l;
UPDATE leadscore.rule SET points = points + 2 WHERE model = 'wi' AND parameter = 'medium';
INSERT INTO in_turn SELECT 4, sum(leadscore.score('wi', l)) FROM lead l;
SELECT array_agg(sign(total - before) ORDER BY n) FROM (SELECT n, total, lag(total, 1, total) OVER (ORDER BY n) AS before FROM in_turn) t;
SELECT total = (SELECT sum(leadscore.score('wi_edited', l)) FROM lead l) FROM in_turn WHERE n = 3;
ROLLBACK TO s;
UPDATE leadscore.rule SET points = points + 3 WHERE model = 'wi' AND parameter = 'medium';
SELECT sum(leadscore.score('wi', l)) > (SELECT total FROM in_turn WHERE n = 2) FROM lead l;
ROLLBACK;

-- a draft goes with its model
DELETE FROM leadscore.model WHERE name = 'wi_loose';
SELECT count(*) FROM leadscore.draft WHERE model = 'wi_wide';

--
-- Why, in the language of the session
--
CREATE TABLE word (id integer PRIMARY KEY, n integer);
INSERT INTO word SELECT g, g FROM generate_series(1, 8) g;
INSERT INTO leadscore.model (name, target, fit_max) VALUES ('wi_words', 'word', 20);
INSERT INTO leadscore.factor (model, name, axis, points_cap) VALUES ('wi_words', 'number', 'fit', NULL), ('wi_words', 'capped', 'fit', 5);
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, disqualifies) VALUES
	('wi_words', 'number', 'one', 'n = 1', 10, false), ('wi_words', 'number', 'two', 'n = 2', -1.25, false),
	('wi_words', 'capped', 'three', 'n = 3', 5, false), ('wi_words', 'number', 'four', 'n = 4', 0, true),
	('wi_words', 'number', NULL, 'n = 5', 20, false), ('wi_words', 'number', 'six', 'n = 6', 3, false), ('wi_words', 'number', 'seven', 'n = 7', 4, false);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('wi_words', 'temperature', 'hot', 4), ('wi_words', 'temperature', 'warm', 2), ('wi_words', 'temperature', 'cold', '-Infinity');
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES ('wi_words', 'lead', 'mql');
SELECT leadscore.attach('wi_words') IS NOT NULL;
SELECT leadscore.copy_model('wi_words', 'wi_words_draft');
UPDATE leadscore.rule SET points = -0.75, disqualifies = true WHERE model = 'wi_words_draft' AND parameter = 'two';
UPDATE leadscore.rule SET points = 6 WHERE model = 'wi_words_draft' AND parameter = 'three';
UPDATE leadscore.rule SET disqualifies = false WHERE model = 'wi_words_draft' AND parameter = 'four';
UPDATE leadscore.rule SET points = 25 WHERE model = 'wi_words_draft' AND condition = 'n = 5';
DELETE FROM leadscore.rule WHERE model = 'wi_words_draft' AND parameter = 'one';
UPDATE leadscore.factor SET points_cap = 4 WHERE model = 'wi_words_draft' AND name = 'capped';
UPDATE leadscore.model SET fit_max = 18 WHERE name = 'wi_words_draft';
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('wi_words_draft', 'number', 'eight', 'n = 8', 1);
UPDATE leadscore.threshold SET at_least = 3 WHERE model = 'wi_words_draft' AND kind = 'temperature' AND label = 'hot';
UPDATE leadscore.transition SET automatic = true, condition = 'n = 7' WHERE model = 'wi_words_draft';
INSERT INTO leadscore.label (kind, code, language, label) VALUES ('factor', 'number', 'pl', 'Liczba'), ('parameter', 'two', 'pl', 'dwa');
SELECT lead_key, reasons FROM leadscore.compare('wi_words', 'wi_words_draft') ORDER BY lead_key;
SET leadscore.language = 'pl';
SELECT lead_key, reasons FROM leadscore.compare('wi_words', 'wi_words_draft') ORDER BY lead_key;
SELECT m ->> 'lead_key' AS lead_key, m -> 'reasons' AS reasons FROM leadscore.compare_summary('wi_words', 'wi_words_draft') s, jsonb_array_elements(s.top_movers) m ORDER BY 1;
SET leadscore.language = 'ru';
SELECT lead_key, reasons FROM leadscore.compare('wi_words', 'wi_words_draft') ORDER BY lead_key;
-- what is there of no language is in English
SET leadscore.language = 'tlh';
SELECT lead_key, reasons FROM leadscore.compare('wi_words', 'wi_words_draft') WHERE lead_key IN ('1', '6', '7') ORDER BY lead_key;
RESET leadscore.language;
DELETE FROM leadscore.label WHERE NOT builtin AND (kind, code) IN (('factor', 'number'), ('parameter', 'two'));
SELECT leadscore.detach('wi_words');

SELECT leadscore.detach('wi');
DELETE FROM leadscore.model WHERE name LIKE 'wi%';
SELECT count(*) FROM leadscore.model_version WHERE model LIKE 'wi%';
DROP SCHEMA wi CASCADE;
