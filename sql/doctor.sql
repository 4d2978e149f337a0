--
-- doctor: each thing that can be wrong with an attached model is found, and
-- gone once the remedy that comes with it was taken; rescore() brings stale
-- states up to date in batches, goes on where it was interrupted and writes
-- only what changed
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
\set SHOW_CONTEXT never
CREATE ROLE regress_doc_owner;
CREATE ROLE regress_doc_heir;
CREATE ROLE regress_doc_other;
CREATE SCHEMA doc;
GRANT ALL ON SCHEMA doc TO PUBLIC;
GRANT USAGE ON SCHEMA leadscore TO regress_doc_owner, regress_doc_heir, regress_doc_other;	-- so that they may attach
SET search_path = doc;

SET ROLE regress_doc_owner;
CREATE TABLE lead (id integer PRIMARY KEY, n integer, title text, company integer, score integer, data jsonb);
CREATE TABLE company (id integer PRIMARY KEY, sector text);
CREATE VIEW source AS SELECT l.id, l.n, c.sector FROM lead l LEFT JOIN company c ON c.id = l.company;
RESET ROLE;
INSERT INTO company VALUES (1, 'energy'), (2, 'retail');
INSERT INTO lead (id, n, company) SELECT i, i * 10, 1 + i % 2 FROM generate_series(1, 10) i;
INSERT INTO leadscore.model (name, target) VALUES ('doc', 'lead');
INSERT INTO leadscore.model (name, target, source) VALUES ('doc_view', 'lead', 'source');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('doc', 'all', 'fit', 'sum'), ('doc_view', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES
	(1320001, 'doc', 'all', 'n >= 50', 25), (1320002, 'doc', 'all', 'n = 90', 30), (1320003, 'doc_view', 'all', 'sector = ''energy''', 50),
	(1320004, 'doc_view', 'all', 'n > 60', 1);

CREATE FUNCTION wrong(model text DEFAULT 'doc') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	a leadscore.attachment;
BEGIN
	SELECT * INTO STRICT a FROM leadscore.attachment x WHERE x.model = wrong.model;
	RETURN QUERY EXECUTE format($q$
		WITH want AS (
			SELECT l.%1$I AS key, leadscore.evaluate(%2$L, l) AS e FROM %3$s l WHERE l.%1$I IS NOT NULL OFFSET 0
		)
		SELECT format('%%s: has %%s, should be %%s', coalesce(want.key::text, s.lead_key::text), have, should)
		FROM want FULL JOIN leadscore.%4$I s ON s.lead_key = want.key,
			 LATERAL (SELECT CASE WHEN s.lead_key IS NOT NULL THEN ROW(s.score, s.temperature, s.grade, s.disqualified, s.has_problem)::text END,
							 CASE WHEN want.key IS NOT NULL THEN ROW((e).score, (e).temperature, (e).grade, (e).disqualified, false)::text END) x(have, should)
		WHERE have IS DISTINCT FROM should ORDER BY coalesce(want.key::text, s.lead_key::text) COLLATE "C"
		$q$, a.key_column, model, coalesce(a.source, a.target), model || '_state');
END
$$;
-- what the doctor says; and the remedies that are SQL, for \gexec
CREATE VIEW finding AS SELECT model, finding, object, detail FROM leadscore.doctor() WHERE model LIKE 'doc%' OR model IS NULL;
CREATE VIEW remedy AS
	SELECT remedy FROM leadscore.doctor() WHERE (model LIKE 'doc%' OR model IS NULL) AND remedy ~ '^(SELECT|CALL|ALTER|DROP) .*;$'
	GROUP BY remedy ORDER BY remedy;

--
-- All is well: before, and after attaching
--
SELECT * FROM finding;
SELECT jsonb_strip_nulls(to_jsonb(s) - 'rules_version') AS status FROM leadscore.model_status s WHERE model LIKE 'doc%' ORDER BY model;
SELECT leads FROM leadscore.attach('doc');
SELECT leads FROM leadscore.attach('doc_view');
SELECT leadscore.watch('doc_view', 'company', 'SELECT l.id FROM lead l WHERE l.company = company.id');
SELECT * FROM finding;
SELECT model, target, attached, leads, stale_leads, hot, warm, cold, leads_with_problems, problems, due_leads, triggers_present, triggers_expected,
	rescored_version = rules_version AS current, last_rescore IS NOT NULL AS rescored, attached_at IS NOT NULL AS attached_at
FROM leadscore.model_status WHERE model LIKE 'doc%' ORDER BY 1;
SELECT leadscore.repair('doc'), leadscore.repair('doc_view');		-- nothing to do
UPDATE leadscore.doc_state SET stage = 'sql';						-- to see that no remedy costs a stage

--
-- Rules
--
SET client_min_messages = error;
ALTER TABLE lead RENAME COLUMN n TO number;
SET client_min_messages = warning;
INSERT INTO lead (id, number, company) VALUES (11, 90, 1);
SELECT * FROM finding;
ALTER TABLE lead RENAME COLUMN number TO n;
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT * FROM wrong();
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1320005, 'doc', 'all', '(data ->> ''x'')::integer > 5', 1);
SET client_min_messages = error;
UPDATE lead SET data = '{"x": "?"}' WHERE id IN (1, 2);
SET client_min_messages = warning;
SELECT finding, object, detail FROM finding WHERE finding = 'lead_problems';
SELECT leads_with_problems, problems FROM leadscore.model_status WHERE model = 'doc';
-- a guarded condition and a rescore are the remedy
UPDATE leadscore.rule SET condition = 'CASE WHEN data ->> ''x'' ~ ''^\d+$'' THEN (data ->> ''x'')::integer > 5 END' WHERE id = 1320005;
CALL leadscore.rescore('doc');
SELECT * FROM finding;
SELECT leads_with_problems, problems FROM leadscore.model_status WHERE model = 'doc';
DELETE FROM leadscore.rule WHERE id = 1320005;
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;

-- other expressions: nobody is told but by a warning in some session
UPDATE leadscore.model SET channel = 'title', consent = 'title IS NOT NULL', created_at = 'now()', status = 'title' WHERE name = 'doc';
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES
	('doc', 'lead', 'mql', 'title = ''CEO'''), ('doc', 'lead', 'sal', 'scored.score > 5'), ('doc', 'mql', 'sal', 'n > 5 AND title > '''''), ('doc', 'mql', 'nurture', NULL);
CREATE TABLE answer (id integer, lead integer, kind text, at timestamptz);
CREATE INDEX ON answer (lead);
ALTER TABLE answer OWNER TO regress_doc_owner;
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('doc', 'answer', 'answer', 'lead', 'at');
INSERT INTO leadscore.sla (model, stage, starts, request_at, response_activity, response_condition) VALUES
	('doc', 'mql', 'request', 'title::timestamptz', 'answer', 'kind = ''call'''), ('doc', 'sal', 'stage', NULL, 'answer', 'kind = ''mail''');
SELECT finding, object, detail FROM finding WHERE finding NOT IN ('stale_states', 'activity_source_unused');
SET client_min_messages = error;
BEGIN;
ALTER TABLE lead DROP COLUMN title;
ALTER TABLE answer RENAME COLUMN kind TO sort;
SELECT finding, object, detail FROM finding WHERE finding NOT IN ('stale_states', 'activity_source_unused');
SELECT DISTINCT remedy FROM leadscore.doctor('doc') WHERE finding IN ('model_expression', 'transition_condition', 'service_level') ORDER BY 1;
DROP TABLE answer;
SELECT finding, object FROM finding WHERE finding = 'service_level';
ROLLBACK;
SET client_min_messages = warning;
DELETE FROM leadscore.sla WHERE model = 'doc';
DELETE FROM leadscore.activity_source WHERE model = 'doc';
DELETE FROM leadscore.transition WHERE model = 'doc';
UPDATE leadscore.model SET channel = NULL, consent = NULL, created_at = NULL, status = NULL WHERE name = 'doc';
DROP TABLE answer;
-- a consent that cannot be told any more is none
ALTER TABLE lead ADD COLUMN may boolean NOT NULL DEFAULT true;
UPDATE leadscore.model SET consent = 'may' WHERE name = 'doc';
CALL leadscore.rescore('doc');
SELECT count(*) > 0 AS hot FROM leadscore.hot_list('doc');
SET client_min_messages = error;
ALTER TABLE lead RENAME COLUMN may TO allowed;
UPDATE lead SET n = n + 1;
SELECT count(*) > 0 AS hot FROM leadscore.hot_list('doc');
SELECT * FROM finding WHERE finding = 'model_expression';
ALTER TABLE lead RENAME COLUMN allowed TO may;
UPDATE lead SET n = n - 1;
SELECT count(*) > 0 AS hot FROM leadscore.hot_list('doc');
SET client_min_messages = warning;
UPDATE leadscore.model SET consent = NULL WHERE name = 'doc';
ALTER TABLE lead DROP COLUMN may;
CALL leadscore.rescore('doc');

--
-- Triggers
--
DROP TRIGGER leadscore_doc_insert ON lead;
INSERT INTO lead (id, n, company) VALUES (12, 90, 1);
SELECT * FROM finding;
SELECT triggers_present, triggers_expected, stale_leads FROM leadscore.model_status WHERE model = 'doc';
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT * FROM wrong();
ALTER TABLE lead DISABLE TRIGGER leadscore_doc_delete;
ALTER TABLE lead ENABLE TRIGGER leadscore_doc_update;
ALTER TABLE lead ENABLE REPLICA TRIGGER leadscore_doc_truncate;
ALTER TABLE company DISABLE TRIGGER leadscore_doc_view_watch;
DELETE FROM lead WHERE id = 12;
UPDATE company SET sector = 'energy';
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT * FROM wrong() UNION ALL SELECT * FROM wrong('doc_view');
-- one that is left over
CREATE TABLE stray (id integer PRIMARY KEY);
CREATE TRIGGER stray AFTER INSERT ON stray FOR EACH ROW EXECUTE FUNCTION leadscore.capture('doc');
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
-- of a model that is not attached
CREATE TRIGGER stray AFTER INSERT ON stray FOR EACH ROW EXECUTE FUNCTION leadscore.capture('doc_none');
INSERT INTO leadscore.model (name, target) VALUES ('doc_none', 'stray');
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
DELETE FROM leadscore.model WHERE name = 'doc_none';
DROP TABLE stray;
-- on our own tables
CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER spy BEFORE INSERT ON leadscore.problem FOR EACH ROW EXECUTE FUNCTION spy();
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;

--
-- State table and view
--
DROP VIEW leadscore.doc_scored;
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT stage, count(*) FROM leadscore.doc_scored GROUP BY stage ORDER BY 1;
DROP TABLE leadscore.doc_state CASCADE;
SET client_min_messages = error;
INSERT INTO lead (id, n, company) VALUES (13, 90, 1);		-- goes through all the same
SET client_min_messages = warning;
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT * FROM wrong();
UPDATE leadscore.doc_state SET stage = 'sql';
ALTER TABLE lead OWNER TO regress_doc_heir;
GRANT SELECT ON lead TO regress_doc_owner;						-- for the view
UPDATE lead SET n = 90 WHERE id = 8;
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE 'doc%' AND relkind IN ('r', 'v') ORDER BY 1;
ALTER TABLE lead OWNER TO regress_doc_owner;
SELECT * FROM remedy \gexec
ALTER TABLE leadscore.doc_state DROP COLUMN grade CASCADE;
SET client_min_messages = error;
UPDATE lead SET n = 90 WHERE id = 1;
SET client_min_messages = warning;
SELECT count(*) > 0 AS found FROM finding;
DROP TABLE leadscore.doc_state CASCADE;
SELECT leadscore.repair('doc');
SELECT * FROM finding;
SELECT * FROM wrong();
UPDATE leadscore.doc_state SET stage = 'sql';

-- what belongs to the state table: its indexes, its policy and its guard
ALTER TABLE leadscore.doc_state DROP CONSTRAINT doc_state_pkey;
INSERT INTO lead (id, n, company) VALUES (14, 90, 1);		-- goes through all the same
SELECT * FROM finding;
CALL leadscore.rescore('doc');
SELECT leadscore.move('doc', 1, 'sql');
SELECT lead_key FROM leadscore.hot_list('doc', 1);
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT * FROM wrong();
DROP INDEX leadscore.doc_state_score_bound_idx;
SELECT count(*) FROM leadscore.hot_list('doc', 1);
DROP INDEX leadscore.doc_state_next_change_at_idx;
DROP POLICY lead_visible ON leadscore.doc_state;
ALTER TABLE leadscore.doc_state DISABLE ROW LEVEL SECURITY;
ALTER TABLE leadscore.doc_state DISABLE TRIGGER guard_state;
SELECT * FROM finding;
SELECT leadscore.repair('doc');
SELECT * FROM finding;
SELECT count(*) FROM leadscore.hot_list('doc', 1);
DROP INDEX leadscore.doc_state_next_change_at_idx;
SELECT count(*) FROM leadscore.hot_list('doc', 1);
DROP TRIGGER guard_state ON leadscore.doc_state;
SELECT leads > 0 AS attached FROM leadscore.attach('doc', backfill => false);
SELECT * FROM finding;
SELECT count(*) FROM leadscore.hot_list('doc', 1);
SELECT tgenabled, obj_description(oid, 'pg_trigger') FROM pg_trigger WHERE tgrelid = 'leadscore.doc_state'::regclass AND tgname = 'guard_state';
SELECT indexdef FROM pg_indexes WHERE schemaname = 'leadscore' AND tablename = 'doc_state' ORDER BY 1;
DELETE FROM lead WHERE id = 14;

--
-- Rows
--
DELETE FROM leadscore.doc_state WHERE lead_key IN (3, 4);
SELECT * FROM finding;
SELECT stale_leads FROM leadscore.model_status WHERE model = 'doc';
SELECT * FROM remedy \gexec
SELECT * FROM finding;
INSERT INTO leadscore.doc_state SELECT (jsonb_populate_record(s, jsonb_build_object('lead_key', 1000 + lead_key))).*
	FROM leadscore.doc_state s WHERE lead_key < 3;
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
UPDATE leadscore.rule SET points = points + 1 WHERE model = 'doc';
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT * FROM wrong();
CREATE OR REPLACE VIEW source AS SELECT l.id, l.n, c.sector FROM doc.lead l LEFT JOIN doc.company c ON c.id = l.company OR (l.id = 4 AND c.id = 2);
SELECT * FROM finding;
CREATE OR REPLACE VIEW source AS SELECT l.id, l.n, c.sector FROM doc.lead l LEFT JOIN doc.company c ON c.id = l.company;
SELECT * FROM finding;

--
-- Write-back
--
SELECT leads FROM leadscore.attach('doc', score_column => 'score', backfill => false);
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT count(*) FROM lead l JOIN leadscore.doc_scored s ON s.lead_key = l.id WHERE l.score IS DISTINCT FROM s.score;
SELECT stage, count(*) FROM leadscore.doc_scored GROUP BY stage ORDER BY 1;
DROP TRIGGER "~leadscore_doc_write_back" ON lead;
SELECT finding, object FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
ALTER TABLE lead DROP COLUMN score;
SELECT * FROM finding;
SELECT leads FROM leadscore.attach('doc', score_column => '');
SELECT * FROM finding;

--
-- Relations that others took the place of
--
-- renamed, and a new one loaded in its stead
CREATE TABLE lead_new (LIKE lead INCLUDING ALL);
INSERT INTO lead_new SELECT id, 100 - n, title, company, data FROM lead WHERE id <> 2;
INSERT INTO lead_new (id, n) VALUES (77, 90);
ALTER TABLE lead_new OWNER TO regress_doc_owner;
BEGIN;
ALTER TABLE lead RENAME TO lead_old;
ALTER TABLE lead_new RENAME TO lead;
COMMIT;
INSERT INTO lead (id, n) VALUES (78, 90);
SELECT * FROM finding WHERE model = 'doc';
SELECT r FROM unnest(leadscore.repair('doc')) r ORDER BY r COLLATE "C";
SELECT * FROM finding WHERE model = 'doc';
SELECT * FROM wrong();
SELECT stage, count(*) FROM leadscore.doc_scored GROUP BY stage ORDER BY 1;
SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgname LIKE 'leadscore_doc\_%' AND tgname NOT LIKE '%view%' GROUP BY 1;
UPDATE lead SET n = 50 WHERE id = 77;
SELECT * FROM wrong();
-- the other model's source still reads the old table; nothing can tell
SELECT leadscore.detach('doc_view');
-- dropped
CREATE TABLE lead_new (LIKE lead INCLUDING ALL);
INSERT INTO lead_new SELECT id, n + 1, title, company, data FROM lead;
ALTER TABLE lead_new OWNER TO regress_doc_owner;
BEGIN;
SET LOCAL client_min_messages = error;
DROP TABLE lead;
ALTER TABLE lead_new RENAME TO lead;
COMMIT;
SELECT * FROM finding WHERE model = 'doc';
SELECT leads FROM leadscore.attach('doc');
SELECT leadscore.repair('doc');
SELECT * FROM finding WHERE model = 'doc';
SELECT * FROM wrong();
SELECT stage, count(*) FROM leadscore.doc_scored GROUP BY stage ORDER BY 1;
-- one that is not as it must be
CREATE TABLE lead_new AS SELECT * FROM lead;
ALTER TABLE lead_new OWNER TO regress_doc_owner;
BEGIN;
SET LOCAL client_min_messages = error;
DROP TABLE lead;
ALTER TABLE lead_new RENAME TO lead;
COMMIT;
SELECT leadscore.repair('doc');
ALTER TABLE lead ADD PRIMARY KEY (id);
ALTER TABLE lead OWNER TO regress_doc_other;
SET ROLE regress_doc_owner;
SELECT leadscore.repair('doc');
SET ROLE regress_doc_other;
SELECT leadscore.repair('doc');
RESET ROLE;
SELECT leadscore.repair('doc');
SELECT * FROM finding WHERE model = 'doc';
SELECT * FROM wrong();
ALTER TABLE lead OWNER TO regress_doc_owner;
SELECT leadscore.repair('doc');
-- moved to another schema, or renamed: nothing is wrong
CREATE SCHEMA doc_other;
ALTER TABLE lead SET SCHEMA doc_other;
INSERT INTO doc_other.lead (id, n) VALUES (80, 90);
SELECT * FROM finding WHERE model = 'doc';
ALTER TABLE doc_other.lead RENAME TO person;
UPDATE doc_other.person SET n = 91 WHERE id = 80;
SELECT * FROM finding WHERE model = 'doc';
SELECT * FROM wrong();
ALTER TABLE doc_other.person RENAME TO lead;
ALTER TABLE doc_other.lead SET SCHEMA doc;
-- gone for good
BEGIN;
SET LOCAL client_min_messages = error;
DROP TABLE lead;
SELECT * FROM finding WHERE model = 'doc';
SAVEPOINT a;
SELECT leadscore.repair('doc');
ROLLBACK TO a;
SELECT * FROM remedy \gexec
SELECT finding, object FROM finding WHERE model = 'doc';
SELECT to_regclass('leadscore.doc_state');
ROLLBACK;

-- sources and look-ups
DROP VIEW source;
DROP TABLE lead_old;
CREATE VIEW source AS SELECT l.id, l.n, c.sector FROM doc.lead l LEFT JOIN doc.company c ON c.id = l.company;
ALTER VIEW source OWNER TO regress_doc_owner;
UPDATE leadscore.model SET target = 'lead', source = 'source' WHERE name = 'doc_view';
SET client_min_messages = error;
SELECT leadscore.check_rules('doc_view');
DELETE FROM leadscore.problem WHERE model = 'doc_view';
UPDATE leadscore.rule SET enabled = true WHERE model = 'doc_view';
SELECT leads > 0 FROM leadscore.attach('doc_view');
SELECT leadscore.watch('doc_view', 'company', 'SELECT l.id FROM lead l WHERE l.company = company.id');
SELECT * FROM finding;
DROP VIEW source;
INSERT INTO lead (id, n, company) VALUES (81, 90, 1);
SELECT * FROM finding;
SELECT leadscore.repair('doc_view');
CREATE VIEW source AS SELECT l.n, l.id, c.sector FROM doc.lead l LEFT JOIN doc.company c ON c.id = l.company;
ALTER VIEW source OWNER TO regress_doc_owner;
SELECT * FROM finding;
SELECT leadscore.repair('doc_view');
SELECT * FROM finding;
SELECT * FROM wrong('doc_view');
ALTER TABLE company RENAME TO company_old;
CREATE TABLE company (LIKE company_old INCLUDING ALL);
INSERT INTO company SELECT id, 'retail' FROM company_old;
ALTER TABLE company OWNER TO regress_doc_owner;
CREATE OR REPLACE VIEW source AS SELECT l.n, l.id, c.sector FROM doc.lead l LEFT JOIN doc.company c ON c.id = l.company;
SELECT * FROM finding;
DROP TABLE company_old;
SELECT * FROM finding;
SELECT leadscore.repair('doc_view');
UPDATE company SET sector = 'energy' WHERE id = 1;
SELECT * FROM finding;
SELECT * FROM wrong('doc_view');
DROP TABLE company CASCADE;
CREATE VIEW source AS SELECT l.n, l.id, NULL::text AS sector FROM doc.lead l;
ALTER VIEW source OWNER TO regress_doc_owner;
SELECT * FROM finding;
SELECT leadscore.repair('doc_view');
SELECT * FROM finding;
SELECT * FROM leadscore.watched WHERE model = 'doc_view';
-- the leads' table goes, and takes the view with it
BEGIN;
CREATE TABLE lead_new (LIKE lead INCLUDING ALL);
INSERT INTO lead_new SELECT * FROM lead;
ALTER TABLE lead_new OWNER TO regress_doc_owner;
DROP TABLE lead CASCADE;
ALTER TABLE lead_new RENAME TO lead;
SELECT finding, object FROM finding WHERE model = 'doc_view';
SAVEPOINT a;
SELECT leadscore.repair('doc_view');
ROLLBACK TO a;
CREATE VIEW source AS SELECT l.n, l.id, NULL::text AS sector FROM doc.lead l;
ALTER VIEW source OWNER TO regress_doc_owner;
SELECT r FROM unnest(leadscore.repair('doc_view')) r ORDER BY r COLLATE "C";
SELECT * FROM finding WHERE model = 'doc_view';
SELECT target = 'lead'::regclass AS target, source = 'source'::regclass AS source FROM leadscore.model WHERE name = 'doc_view';
SELECT * FROM wrong('doc_view');
ROLLBACK;
SELECT leadscore.detach('doc_view');
DELETE FROM leadscore.model WHERE name = 'doc_view';
SET client_min_messages = warning;

-- the key; who was granted the view keeps it
DROP VIEW source;
GRANT SELECT ON leadscore.doc_scored TO regress_doc_heir;
ALTER TABLE lead ALTER COLUMN id TYPE bigint;
SELECT has_table_privilege('regress_doc_heir', 'leadscore.doc_scored', 'SELECT');
SET client_min_messages = error;
INSERT INTO lead (id, n) VALUES (100000000000, 90);
SET client_min_messages = warning;
SELECT * FROM finding;
SELECT leadscore.repair('doc');
SELECT * FROM finding;
SELECT * FROM wrong();
SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'leadscore.doc_scored'::regclass AND attname = 'lead_key';
CREATE VIEW hot AS SELECT lead_key FROM leadscore.doc_scored WHERE score > 50;
SET client_min_messages = error;
ALTER TABLE lead ALTER COLUMN id TYPE numeric;
INSERT INTO lead (id, n) VALUES (1.5, 90);						-- goes through
SELECT finding, object FROM finding ORDER BY 1;
SELECT leadscore.repair('doc');
DROP VIEW hot;
SELECT leadscore.repair('doc');
SET client_min_messages = warning;
SELECT * FROM finding;
-- a change that our event trigger did not see
SET session_replication_role = replica;
ALTER TABLE lead ALTER COLUMN id TYPE text;
RESET session_replication_role;
SET client_min_messages = error;
INSERT INTO lead (id, n) VALUES ('200', 90);
SET client_min_messages = warning;
SELECT finding, object, detail FROM finding ORDER BY 1;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
UPDATE lead SET id = 'a' || id WHERE id::numeric > 70;
SELECT * FROM finding;
SELECT * FROM wrong();
SELECT stage, count(*) FROM leadscore.doc_scored GROUP BY stage ORDER BY 1;
BEGIN;
SET LOCAL client_min_messages = error;
ALTER TABLE lead RENAME COLUMN id TO key;
INSERT INTO lead (key, n) VALUES ('b', 90);
SELECT * FROM finding;
ROLLBACK;

--
-- Partitions that came later, and that went
--
CREATE TABLE parted (id integer, region integer, n integer) PARTITION BY LIST (region);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
INSERT INTO leadscore.model (name, target, key_column) VALUES ('doc_part', 'parted', 'id');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('doc_part', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('doc_part', 'all', 'n > 50', 50);
SELECT leads FROM leadscore.attach('doc_part');
CREATE TABLE parted_2 (n integer, region integer, id integer);
INSERT INTO parted_2 VALUES (90, 2, 2), (90, 2, 3);
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES IN (2);
INSERT INTO parted VALUES (4, 2, 90), (5, 1, 90);
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
SELECT leadscore.repair('doc_part');
SELECT * FROM wrong('doc_part');
ALTER TABLE parted_1 DISABLE TRIGGER leadscore_doc_part_insert;
SELECT * FROM finding;
SELECT * FROM remedy \gexec
SELECT * FROM finding;
ALTER TABLE parted DETACH PARTITION parted_2;
SELECT * FROM finding;
SELECT leadscore.repair('doc_part');
SELECT * FROM finding;
SELECT * FROM wrong('doc_part');
TRUNCATE parted_2;
INSERT INTO parted VALUES (5, 1, 1);				-- a second one of its key
SELECT * FROM finding;
SELECT leadscore.detach('doc_part');
DELETE FROM leadscore.model WHERE name = 'doc_part';
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('parted'::regclass, 'parted_1'::regclass, 'parted_2'::regclass);

--
-- Who may ask
--
GRANT SELECT ON leadscore.model, leadscore.activity_source, leadscore.rule, leadscore.problem, leadscore.attachment, leadscore.watched, leadscore.unsettled_lead, leadscore.pending_activity, leadscore.model_status, leadscore.rescore_run, leadscore.rescore_progress
	TO regress_doc_owner, regress_doc_other;
DELETE FROM leadscore.doc_state WHERE lead_key = '3';
SET ROLE regress_doc_owner;
SELECT model, finding, object, detail FROM leadscore.doctor('doc');
SELECT leads > 0 AS leads, stale_leads FROM leadscore.model_status WHERE model = 'doc';
CALL leadscore.rescore('doc');
SELECT finished, percent FROM leadscore.rescore_progress WHERE model = 'doc';
SELECT model, finding, object, detail FROM leadscore.doctor('doc');
SET ROLE regress_doc_other;
SELECT model, finding, object, detail, remedy FROM leadscore.doctor('doc');
SELECT leads > 0 AS leads, stale_leads FROM leadscore.model_status WHERE model = 'doc';
SELECT leadscore.repair('doc');
RESET ROLE;
-- of activity sources as well, whether or not he may read service levels
CREATE TABLE answer (lead text, at timestamptz);
INSERT INTO leadscore.model (name, target) VALUES ('doc_asked', 'lead');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('doc_asked', 'answer', 'answer', 'lead', 'at'), ('doc_asked', 'other', 'answer', 'lead', 'at');
INSERT INTO leadscore.sla (model, stage, response_activity) VALUES ('doc_asked', 'lead', 'answer');
SET ROLE regress_doc_other;
SELECT model, finding, object, detail FROM leadscore.doctor('doc_asked');
RESET ROLE;
DELETE FROM leadscore.model WHERE name = 'doc_asked';
DROP TABLE answer;
SELECT * FROM leadscore.doctor('doc_unknown');
REVOKE ALL ON leadscore.model, leadscore.activity_source, leadscore.rule, leadscore.problem, leadscore.attachment, leadscore.watched, leadscore.unsettled_lead, leadscore.pending_activity, leadscore.model_status, leadscore.rescore_run, leadscore.rescore_progress
	FROM regress_doc_owner, regress_doc_other;

--
-- Rescore: whatever the batch size, all states are right, only those that
-- change are written, and each lead is looked at once
--
TRUNCATE lead;
INSERT INTO lead (id, n) SELECT lpad(i::text, 3, '0'), i FROM generate_series(1, 100) i;
INSERT INTO lead (id, n) VALUES ('ü', 3), ('Z', 30), ('a b', 50), ('', 7);
CREATE TABLE was (key text, place tid);
CREATE TABLE run (batch integer, steps integer, notices integer, seen bigint, written bigint, untouched bigint, wrong bigint);
CREATE PROCEDURE rescored(batch integer) LANGUAGE plpgsql AS $$
DECLARE
	r		run;
	step	leadscore.rescore_step;
BEGIN
	-- of 104 leads these are 20, whatever points they had
	UPDATE leadscore.rule SET condition = 'n BETWEEN 60 AND 79', points = 26 + batch % 7 WHERE id = 1320001;
	COMMIT;
	CALL leadscore.rescore('doc');
	UPDATE leadscore.rule SET points = points + 1 WHERE id = 1320001;
	DELETE FROM was;
	INSERT INTO was SELECT lead_key, ctid FROM leadscore.doc_state;
	COMMIT;
	r := (batch, 0, 0, NULL, NULL, NULL, NULL);
	LOOP
		step := leadscore.rescore_step('doc', batch, false);
		COMMIT;
		r.steps := r.steps + 1;
		r.notices := r.notices + (step.notice IS NOT NULL)::integer;
		EXIT WHEN step.finished OR r.steps > 1000;
	END LOOP;
	SELECT p.seen, p.written INTO r.seen, r.written FROM leadscore.rescore_progress p WHERE p.model = 'doc';
	r.untouched := count(*) FROM was w JOIN leadscore.doc_state s ON s.lead_key = w.key AND s.ctid = w.place;
	r.wrong := count(*) FROM wrong();
	INSERT INTO run SELECT r.*;
	COMMIT;
END
$$;
SET plpgsql.variable_conflict = use_variable;
CALL rescored(1);
CALL rescored(2);
CALL rescored(7);
CALL rescored(52);
CALL rescored(103);
CALL rescored(104);
CALL rescored(105);
CALL rescored(100000);
RESET plpgsql.variable_conflict;
SELECT * FROM run ORDER BY batch;
SELECT stale_leads, rescored_version = rules_version AS current FROM leadscore.model_status WHERE model = 'doc';
-- what it says
UPDATE leadscore.rule SET points = points + 1 WHERE id = 1320001;
SELECT (s).finished, regexp_replace((s).notice, 'about .* left|[^,]*$', 'T') AS notice
FROM (SELECT leadscore.rescore_step('doc', 10, false) AS s FROM generate_series(1, 13) OFFSET 0) x;

-- interrupted, it goes on
UPDATE leadscore.rule SET points = points + 1 WHERE id = 1320001;
SELECT (leadscore.rescore_step('doc', 65, false)).finished;
SELECT (leadscore.rescore_step('doc', 65, false)).finished;
SELECT seen, total, written, held, percent, finished, updated_at >= started_at AS t, remaining >= '0' AS remaining, version = (SELECT version FROM leadscore.model WHERE name = 'doc') AS current
FROM leadscore.rescore_progress WHERE model = 'doc';
SELECT stale_leads FROM leadscore.model_status WHERE model = 'doc';
-- meanwhile leads come, change and go, on either side of where it is
INSERT INTO lead (id, n) VALUES ('0001', 60), ('zzz', 60);
UPDATE lead SET n = 61 WHERE id IN ('002', '099');
DELETE FROM lead WHERE id IN ('003', '098');
UPDATE lead SET id = 'zz4' WHERE id = '004';
UPDATE lead SET id = '0097' WHERE id = '097';
BEGIN;
SELECT (leadscore.rescore_step('doc', 65, false)).finished;
ROLLBACK;
CALL leadscore.rescore('doc');
SELECT seen < 120 AS once, percent, finished, remaining FROM leadscore.rescore_progress WHERE model = 'doc';
SELECT * FROM wrong();
SELECT * FROM finding;
-- rules that change on the way: it begins anew
UPDATE leadscore.rule SET points = points + 1 WHERE id = 1320001;
SELECT (leadscore.rescore_step('doc', 65, false)).finished;
SELECT (leadscore.rescore_step('doc', 65, false)).finished;
UPDATE leadscore.rule SET points = points + 1 WHERE id = 1320001;
SELECT (leadscore.rescore_step('doc', 65, false)).finished;
SELECT seen, percent FROM leadscore.rescore_progress WHERE model = 'doc';
CALL leadscore.rescore('doc', 10);
SELECT * FROM wrong();
-- stage and channel stay, problems come and go
UPDATE leadscore.doc_state SET stage = 'sql', channel = 'fair' WHERE lead_key = '070';
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1320006, 'doc', 'all', 'n / (n - 70) > 1000', 1);
SET client_min_messages = error;
CALL leadscore.rescore('doc');
SELECT lead_key, score, stage, channel, has_problem FROM leadscore.doc_scored WHERE lead_key = '070' OR has_problem;
SELECT lead_key, rule, sqlstate FROM leadscore.problem WHERE model = 'doc';
CALL leadscore.rescore('doc');
SELECT count(*) FROM leadscore.problem WHERE model = 'doc';
SET client_min_messages = warning;
UPDATE leadscore.rule SET condition = 'n > 70 AND n / nullif(n - 70, 0) > 1000' WHERE id = 1320006;
CALL leadscore.rescore('doc');
SELECT count(*) FROM leadscore.problem WHERE model = 'doc';
SELECT * FROM wrong();
-- no leads, and states without a lead
BEGIN;
ALTER TABLE lead DISABLE TRIGGER leadscore_doc_truncate;
TRUNCATE lead;
ALTER TABLE lead ENABLE ALWAYS TRIGGER leadscore_doc_truncate;
COMMIT;
CALL leadscore.rescore('doc', 10);
SELECT count(*) FROM leadscore.doc_state;
CALL leadscore.rescore('doc', 10);
-- attached without backfill
SELECT leadscore.detach('doc');
INSERT INTO lead (id, n) SELECT i, i FROM generate_series(1, 20) i;
SELECT leads FROM leadscore.attach('doc', backfill => false);
SELECT finding, detail FROM finding;
SELECT leads, stale_leads, last_rescore FROM leadscore.model_status WHERE model = 'doc';
CALL leadscore.rescore('doc', 3);
SELECT * FROM finding;
SELECT * FROM wrong();
-- written back
ALTER TABLE lead ADD COLUMN points integer;
SELECT leads FROM leadscore.attach('doc', score_column => 'points', backfill => false);
CALL leadscore.rescore('doc', 3, write_back => true);
SELECT count(*) FROM lead l JOIN leadscore.doc_state s ON s.lead_key = l.id WHERE l.points IS DISTINCT FROM s.score;
DELETE FROM was;
INSERT INTO was SELECT id, ctid FROM lead;
UPDATE leadscore.rule SET condition = 'n >= 15', points = 25 WHERE id = 1320001;
CALL leadscore.rescore('doc', 3);
SELECT count(*) FROM lead l JOIN leadscore.doc_state s ON s.lead_key = l.id WHERE l.points IS DISTINCT FROM s.score;
SELECT finding, detail FROM finding;
CALL leadscore.rescore('doc', 3, write_back => true);
SELECT count(*) FROM lead l JOIN leadscore.doc_state s ON s.lead_key = l.id WHERE l.points IS DISTINCT FROM s.score;
SELECT count(*) FROM was w JOIN lead l ON l.id = w.key AND l.ctid = w.place;			-- those that do not change
SELECT * FROM finding;

-- what is refused
CALL leadscore.rescore('doc', 0);
CALL leadscore.rescore('doc', NULL);
CALL leadscore.rescore('doc_unknown');
CALL leadscore.rescore(NULL);
SELECT leadscore.copy_model('doc', 'doc_copy');
CALL leadscore.rescore('doc_copy');
SELECT leads FROM leadscore.attach('doc_copy');
CALL leadscore.rescore('doc_copy', write_back => true);
BEGIN;
CALL leadscore.rescore('doc');
SELECT 1;
ROLLBACK;
DO $$ BEGIN CALL leadscore.rescore('doc'); EXCEPTION WHEN OTHERS THEN RAISE WARNING '%', SQLERRM; END $$;
DO $$ BEGIN CALL leadscore.rescore('doc'); END $$;			-- this is no transaction block
SELECT * FROM finding;

--
-- A status that stands for no stage
--
CREATE TABLE deal (id integer PRIMARY KEY, status text);
ALTER TABLE deal OWNER TO regress_doc_owner;
INSERT INTO deal VALUES (1, 'new'), (2, 'hold'), (3, 'hold'), (4, 'odd'), (5, NULL), (6, 'won');
INSERT INTO leadscore.model (name, target, status, stage_mode) VALUES ('doc_status', 'deal', 'status', 'follow');
INSERT INTO leadscore.stage_map (model, status, stage) VALUES ('doc_status', 'new', 'lead'), ('doc_status', 'won', 'customer');
SELECT leads, problems FROM leadscore.attach('doc_status');
SELECT finding, object, detail, remedy FROM leadscore.doctor('doc_status');
INSERT INTO leadscore.stage_map (model, status, stage) VALUES ('doc_status', 'hold', 'nurture'), ('doc_status', 'odd', 'lost');
CALL leadscore.rescore('doc_status', move_stages => true);
SELECT lead_key, stage FROM leadscore.doc_status_scored ORDER BY lead_key;
SELECT * FROM leadscore.doctor('doc_status');
-- without a map, a status is the name of a stage
DELETE FROM leadscore.stage_map WHERE model = 'doc_status';
DELETE FROM deal WHERE id IN (1, 2, 4);
INSERT INTO deal VALUES (7, 'Marketing Qualified Lead'), (8, 'SQL');
CALL leadscore.rescore('doc_status');
SELECT finding, object, detail FROM leadscore.doctor('doc_status');
-- a map takes that meaning away, from all of them
SELECT DISTINCT remedy FROM leadscore.doctor('doc_status');
DELETE FROM deal WHERE status IN ('hold', 'won');
SELECT * FROM leadscore.doctor('doc_status');

--
-- Nothing is left
--
SELECT model, leadscore.detach(model) FROM leadscore.attachment WHERE model LIKE 'doc%' ORDER BY 1;
SELECT * FROM finding;
SELECT count(*) FROM leadscore.rescore_progress WHERE model LIKE 'doc%';
DELETE FROM leadscore.model WHERE name LIKE 'doc%';
REVOKE USAGE ON SCHEMA leadscore FROM regress_doc_owner, regress_doc_heir, regress_doc_other;
DROP SCHEMA doc CASCADE;
DROP SCHEMA doc_other;
DROP ROLE regress_doc_owner, regress_doc_heir, regress_doc_other;
