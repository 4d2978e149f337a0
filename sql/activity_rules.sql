--
-- activity_rules: what may be written into leadscore.activity_source and into
-- activity rules, and what follows from it; matrices with activities as a whole
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
RESET client_min_messages;
\set SHOW_CONTEXT never
CREATE ROLE regress_ar_owner;
CREATE ROLE regress_ar_other;
CREATE ROLE regress_ar_editor;
CREATE SCHEMA ar;
GRANT ALL ON SCHEMA ar TO regress_ar_owner, regress_ar_other;
SET search_path = ar;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';

CREATE TABLE lead (id integer PRIMARY KEY, email text, n integer, created_at timestamptz);
CREATE VIEW lead_source AS SELECT id, n, 'x'::text AS sector FROM lead;
CREATE TABLE visit (id bigint, lead_id integer, email varchar(100), url text, "Kind" text, at timestamptz, local timestamp, day date,
	amount money, tags text[], data jsonb, test boolean);
CREATE TABLE mail (who text, action text, at timestamptz);
CREATE VIEW visit_view AS SELECT * FROM visit;
CREATE MATERIALIZED VIEW visit_mat AS SELECT * FROM visit;
CREATE SEQUENCE visit_seq;
CREATE TABLE part (lead_id integer, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE part_2025 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE FUNCTION mine(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
INSERT INTO leadscore.model (name, target) VALUES ('ar', 'lead'), ('ar_two', 'lead');
INSERT INTO leadscore.model (name, target, source) VALUES ('ar_view', 'lead', 'lead_source');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('ar', 'who', 'fit'), ('ar', 'does', 'engagement'), ('ar', 'mails', 'engagement'), ('ar_two', 'does', 'engagement');
CREATE FUNCTION model_version(text DEFAULT 'ar') RETURNS bigint LANGUAGE sql AS 'SELECT version FROM leadscore.model WHERE name = $1';

--
-- Activity sources
--

INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar', 'visit', 'visit', 'lead_id', 'at');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, filter, event_key, description) VALUES
	('ar', 'Page view, "quoted"', 'visit', 'email', 'email', 'local', 'Europe/Warsaw', 'NOT coalesce(test, false) AND "Kind" = ''page''', 'id', 'by address');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar', 'part', 'part', 'lead_id', 'at'), ('ar', 'leaf', 'part_2025', 'lead_id', 'at');
SELECT name, relation, lead_key, match_column, occurred_at, time_zone, filter, event_key, description, search_path, relation_name
FROM leadscore.activity_source WHERE model LIKE 'ar%' ORDER BY model, name;
DELETE FROM leadscore.activity_source WHERE name IN ('part', 'leaf');

-- names
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar', 'visit', 'mail', 'who', 'at');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar', '', 'visit', 'lead_id', 'at');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar_none', 'visit', 'visit', 'lead_id', 'at');
\set VERBOSITY terse
INSERT INTO leadscore.activity_source (model, name, relation, lead_key) VALUES ('ar', 'x', 'visit', 'lead_id');
INSERT INTO leadscore.activity_source (model, name, relation, occurred_at) VALUES ('ar', 'x', 'visit', 'at');
INSERT INTO leadscore.activity_source (model, name, lead_key, occurred_at) VALUES ('ar', 'x', 'lead_id', 'at');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar', 'x', 'nothing', 'lead_id', 'at');
\set VERBOSITY default

-- what is wrong with a source, by one column that differs from a good one
CREATE FUNCTION refused(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'accepted';
	RAISE EXCEPTION USING ERRCODE = 'YY000';
EXCEPTION
	WHEN SQLSTATE 'YY000' THEN message := 'accepted';
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END
$$;
CREATE FUNCTION source_with(changes jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	e record;
BEGIN
	SELECT * INTO e FROM refused(format($f$
		INSERT INTO leadscore.activity_source SELECT (jsonb_populate_record(NULL::leadscore.activity_source,
			'{"model": "ar", "name": "x", "relation": "ar.visit", "lead_key": "lead_id", "occurred_at": "at"}'::jsonb || %L::jsonb)).*$f$, changes));
	RETURN NEXT concat_ws(': ', e.state, e.message);
	IF e.detail <> '' THEN RETURN NEXT '  ' || e.detail; END IF;
	IF e.hint <> '' THEN RETURN NEXT '  ' || e.hint; END IF;
END
$$;
SELECT c AS changes, s.* FROM (VALUES
	-- not a table
	(1, '{"relation": "ar.visit_view"}'::jsonb), (2, '{"relation": "ar.visit_mat"}'), (3, '{"relation": "ar.visit_seq"}'), (4, '{"relation": "ar.lead_pkey"}'),
	(5, '{"relation": "4294967295"}'),
	-- lead_key
	(10, '{"lead_key": "nothing"}'), (11, '{"lead_key": "amount"}'), (12, '{"lead_key": "tags"}'), (13, '{"lead_key": "data"}'), (14, '{"lead_key": "at"}'),
	(15, '{"lead_key": "data->>''lead''"}'), (16, '{"lead_key": "tags[1]"}'), (17, '{"lead_key": "(SELECT 1)"}'), (18, '{"lead_key": "lead_id +"}'),
	(19, '{"lead_key": "count(*)"}'), (20, '{"lead_key": "random()::int"}'), (21, '{"lead_key": "ar.mine(email)"}'), (22, '{"lead_key": ""}'),
	-- match_column
	(30, '{"match_column": "nothing"}'), (31, '{"match_column": "email", "lead_key": "email"}'), (32, '{"match_column": "email", "lead_key": "data"}'),
	(33, '{"match_column": "email", "lead_key": "amount"}'), (34, '{"match_column": "ctid"}'), (35, '{"model": "ar_view", "match_column": "email"}'),
	-- occurred_at
	(40, '{"occurred_at": "local"}'), (41, '{"occurred_at": "day"}'), (42, '{"occurred_at": "id"}'), (43, '{"occurred_at": "url"}'), (44, '{"occurred_at": "data->>''at''"}'),
	(45, '{"occurred_at": "to_timestamp(id)"}'), (46, '{"occurred_at": "local AT TIME ZONE ''Asia/Tokyo''"}'), (47, '{"occurred_at": "now()"}'),
	(48, '{"occurred_at": "coalesce(at, current_timestamp)"}'), (49, '{"occurred_at": "NULL"}'),
	-- time_zone
	(50, '{"time_zone": "Europe/Nowhere"}'), (51, '{"time_zone": "America/New_York"}'),
	-- filter
	(60, '{"filter": "url"}'), (61, '{"filter": "test"}'), (62, '{"filter": "at > now()"}'), (63, '{"filter": "nothing"}'), (64, '{"filter": "lead_id"}'),
	-- event_key
	(70, '{"event_key": "id"}'), (71, '{"event_key": "nothing"}'), (72, '{"event_key": "(id, url)"}'), (73, '{"event_key": "data"}'),
	-- a search_path of its own
	(80, '{"search_path": "pg_catalog, ar, pg_temp"}')
	) v(number, c), source_with(c) s ORDER BY number;

-- who writes it says where names are looked up, and by an update as well
SET search_path = leadscore, ar;
UPDATE leadscore.activity_source SET filter = 'NOT test' WHERE model = 'ar' AND name = 'visit';
SELECT search_path FROM leadscore.activity_source WHERE model = 'ar' AND name = 'visit';
SET search_path = ar;
UPDATE leadscore.activity_source SET description = 'pages' WHERE model = 'ar' AND name = 'visit';
SELECT search_path FROM leadscore.activity_source WHERE model = 'ar' AND name = 'visit';
UPDATE leadscore.activity_source SET filter = NULL, relation_name = 'pg_class' WHERE model = 'ar' AND name = 'visit';
SELECT search_path, relation_name FROM leadscore.activity_source WHERE model = 'ar' AND name = 'visit';

-- an update is checked like an insert
UPDATE leadscore.activity_source SET lead_key = 'nothing' WHERE model = 'ar' AND name = 'visit';
UPDATE leadscore.activity_source SET relation = 'visit_view' WHERE model = 'ar' AND name = 'visit';
UPDATE leadscore.activity_source SET match_column = 'nothing' WHERE model = 'ar' AND name = 'visit';
UPDATE leadscore.activity_source SET time_zone = 'Mars' WHERE model = 'ar' AND name = 'visit';

--
-- Activity rules
--
INSERT INTO leadscore.rule (id, model, factor, activity, condition, points) VALUES (1330001, 'ar', 'does', 'visit', 'url ~ ''pricing''', 10);
INSERT INTO leadscore.rule (id, model, factor, activity, condition, points, half_life, at_most) VALUES (1330002, 'ar', 'does', 'visit', 'true', 1, '1 day 12:00', 5);
INSERT INTO leadscore.rule (id, model, factor, activity, condition, points, at_least, within) VALUES (1330003, 'ar', 'does', 'visit', 'url <> ''/''', 5, 3, '7 days');
INSERT INTO leadscore.rule (id, model, factor, activity, condition, points, inactive_for, include_never) VALUES (1330004, 'ar', 'does', 'visit', 'true', -10, '30 days', true);
INSERT INTO leadscore.rule (id, model, factor, activity, condition, points, disqualifies) VALUES (1330005, 'ar', 'does', 'Page view, "quoted"', 'url = ''/bounce''', 0, true);
SELECT id, factor, activity, condition, points, half_life, at_least, within, at_most, inactive_for, include_never, disqualifies, search_path
FROM leadscore.rule WHERE model = 'ar' ORDER BY id;

CREATE FUNCTION rule_with(changes jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	e record;
BEGIN
	SELECT * INTO e FROM refused(format($f$
		INSERT INTO leadscore.rule SELECT (jsonb_populate_record(NULL::leadscore.rule,
			'{"id": 1339999, "model": "ar", "factor": "does", "activity": "visit", "condition": "true", "points": 1,
			  "disqualifies": false, "enabled": true, "include_never": false}'::jsonb || %L::jsonb)).*$f$, changes));
	RETURN NEXT concat_ws(': ', e.state, e.message);
	IF e.detail <> '' THEN RETURN NEXT '  ' || e.detail; END IF;
	IF e.hint <> '' THEN RETURN NEXT '  ' || e.hint; END IF;
END
$$;
SELECT c AS changes, s.* FROM (VALUES
	(1, '{}'::jsonb),
	-- which source, which factor
	(2, '{"activity": "nothing"}'), (3, '{"model": "ar_two"}'), (4, '{"factor": "who"}'), (5, '{"factor": "nothing"}'), (6, '{"activity": ""}'),
	-- the condition is over events
	(10, '{"condition": "n > 1"}'), (11, '{"condition": "\"Kind\" = ''x''"}'), (12, '{"condition": "kind = ''x''"}'), (13, '{"condition": "at > now() - interval ''1 day''"}'),
	(14, '{"condition": "day = current_date"}'), (15, '{"condition": "lead_id"}'), (16, '{"condition": "NULL"}'), (17, '{"condition": "visit.url IS NULL"}'),
	(18, '{"condition": "ar.mine(url) = ''x''"}'), (19, '{"condition": "local < ''now''::timestamp"}'),
	-- half_life
	(20, '{"half_life": "1 mon"}'), (21, '{"half_life": "1 year"}'), (22, '{"half_life": "1 mon -30 days"}'), (23, '{"half_life": "0"}'), (24, '{"half_life": "-1 day"}'),
	(25, '{"half_life": "00:00:00.000001"}'), (26, '{"half_life": "1 day -24:00"}'), (27, '{"half_life": "3652500 days"}'), (28, '{"half_life": "3660000 days"}'),
	-- at_least, within
	(30, '{"at_least": 2}'), (31, '{"within": "7 days"}'), (32, '{"at_least": 0, "within": "7 days"}'), (33, '{"at_least": 64, "within": "7 days"}'),
	(34, '{"at_least": 65, "within": "7 days"}'), (35, '{"at_least": -1, "within": "7 days"}'), (36, '{"at_least": 2, "within": "1 mon"}'),
	(37, '{"at_least": 2, "within": "7 days", "half_life": "1 day"}'), (38, '{"at_least": 2, "within": "7 days", "at_most": 3}'), (39, '{"at_least": 2, "within": "0"}'),
	-- at_most
	(40, '{"at_most": 64}'), (41, '{"at_most": 65}'), (42, '{"at_most": 0}'), (43, '{"at_most": 3, "half_life": "1 day"}'),
	-- inactive_for
	(50, '{"inactive_for": "30 days"}'), (51, '{"inactive_for": "1 mon"}'), (52, '{"inactive_for": "30 days", "half_life": "1 day"}'),
	(53, '{"inactive_for": "30 days", "at_least": 2, "within": "1 day"}'), (54, '{"inactive_for": "30 days", "at_most": 2}'),
	(55, '{"include_never": true}'), (56, '{"include_never": true, "inactive_for": "30 days"}'), (57, '{"inactive_for": "-1 day"}'),
	-- a rule about the lead's own row counts nothing
	(60, '{"activity": null, "half_life": "1 day"}'), (61, '{"activity": null, "at_least": 1, "within": "1 day"}'), (62, '{"activity": null, "at_most": 1}'),
	(63, '{"activity": null, "inactive_for": "1 day"}'), (64, '{"activity": null, "include_never": true}'), (65, '{"activity": null, "condition": "n > 1"}'),
	-- points, as of any rule
	(70, '{"points": 1000001}'), (71, '{"points": -1000000}')
	) v(number, c), rule_with(c) s ORDER BY number;

-- an update is checked like an insert, of each of the columns
UPDATE leadscore.rule SET half_life = '1 mon' WHERE id = 1330001;
UPDATE leadscore.rule SET at_least = 2 WHERE id = 1330001;
UPDATE leadscore.rule SET factor = 'who' WHERE id = 1330001;
UPDATE leadscore.rule SET activity = NULL WHERE id = 1330002;
UPDATE leadscore.rule SET activity = NULL, half_life = NULL, at_most = NULL, condition = 'n > 1' WHERE id = 1330002;
UPDATE leadscore.rule SET activity = 'visit', half_life = '36:00', at_most = 5, condition = 'true' WHERE id = 1330002;
UPDATE leadscore.rule SET activity = 'nothing' WHERE id = 1330002;
-- a factor that has them stays where it is
UPDATE leadscore.factor SET axis = 'fit' WHERE model = 'ar' AND name = 'does';
UPDATE leadscore.factor SET axis = 'fit' WHERE model = 'ar' AND name = 'mails';
UPDATE leadscore.factor SET axis = 'engagement' WHERE model = 'ar' AND name = 'mails';

-- check_rule, without writing
SELECT c.* FROM (VALUES (1, 'url = ''x''', 'visit'), (2, 'n > 1', 'visit'), (3, 'n > 1', NULL), (4, 'at > now()', 'visit'), (5, 'url +', 'visit')) v(number, condition, activity),
	leadscore.check_rule('ar', condition, activity) c ORDER BY number;
SELECT leadscore.check_rule('ar', 'true', 'nothing');
SELECT leadscore.check_rule('ar_none', 'true', 'visit');
SELECT leadscore.check_rule('ar', NULL, 'visit') IS NULL AS is_null;

--
-- References: a source that rules name stays; names can change
--
DELETE FROM leadscore.activity_source WHERE model = 'ar' AND name = 'visit';
UPDATE leadscore.activity_source SET name = 'page' WHERE model = 'ar' AND name = 'visit';
SELECT id, activity FROM leadscore.rule WHERE model = 'ar' ORDER BY id;
UPDATE leadscore.activity_source SET name = 'visit' WHERE model = 'ar' AND name = 'page';
UPDATE leadscore.model SET name = 'ar_renamed' WHERE name = 'ar';
SELECT count(*) FROM leadscore.activity_source WHERE model = 'ar_renamed';
UPDATE leadscore.model SET name = 'ar' WHERE name = 'ar_renamed';
SELECT id, activity FROM leadscore.rule WHERE model = 'ar' ORDER BY id;
BEGIN;
DELETE FROM leadscore.model WHERE name = 'ar';
SELECT count(*) FROM leadscore.activity_source WHERE model = 'ar';
SELECT count(*) FROM leadscore.rule WHERE model = 'ar';
ROLLBACK;
BEGIN;
DELETE FROM leadscore.rule WHERE model = 'ar';
DELETE FROM leadscore.activity_source WHERE model = 'ar';
ROLLBACK;
TRUNCATE leadscore.activity_source;

-- every change raises the version, of the model concerned alone
SELECT model_version() AS before, model_version('ar_two') AS two \gset
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar', 'one', 'mail', 'who', 'at'), ('ar', 'two', 'mail', 'who', 'at');
SELECT model_version() > :before AS raised, model_version('ar_two') = :two AS others_not, model_version() AS before \gset
\echo :raised :others_not
UPDATE leadscore.activity_source SET filter = 'action IS NOT NULL' WHERE model = 'ar' AND name = 'one';
SELECT model_version() > :before AS raised, model_version() AS before \gset
\echo :raised
DELETE FROM leadscore.activity_source WHERE model = 'ar' AND name IN ('one', 'two');
SELECT model_version() > :before AS raised, model_version() AS before \gset
\echo :raised
UPDATE leadscore.rule SET half_life = '2 days' WHERE id = 1330002;
SELECT model_version() > :before AS raised, model_version('ar_two') = :two AS others_not \gset
\echo :raised :others_not

--
-- Migrations of the events' table
--
DROP VIEW visit_view;
DROP MATERIALIZED VIEW visit_mat;
CREATE VIEW ar_rules AS SELECT r.id, r.enabled, p.sqlstate, p.message FROM leadscore.rule r LEFT JOIN leadscore.problem p ON p.rule = r.id WHERE r.model = 'ar' ORDER BY r.id;
-- a column that a condition reads
ALTER TABLE visit RENAME url TO link;
SELECT * FROM ar_rules;
ALTER TABLE visit RENAME link TO url;
SELECT * FROM ar_rules;
-- one that the source reads: none of its rules speaks
ALTER TABLE visit RENAME lead_id TO person_id;
SELECT * FROM ar_rules;
SELECT finding, object, detail FROM leadscore.doctor('ar');
UPDATE leadscore.activity_source SET description = 'it may stay as broken as it is' WHERE model = 'ar' AND name = 'visit';
UPDATE leadscore.activity_source SET lead_key = 'person_id' WHERE model = 'ar' AND name = 'visit';
SELECT * FROM ar_rules;
ALTER TABLE visit ALTER at TYPE text;
ALTER TABLE visit DROP COLUMN local;
SELECT * FROM ar_rules;
ALTER TABLE visit ALTER at TYPE timestamptz USING at::timestamptz;
ALTER TABLE visit ADD local timestamp;
SELECT * FROM ar_rules;
-- the column of leads that is matched
ALTER TABLE lead RENAME email TO address;
SELECT * FROM ar_rules;
ALTER TABLE lead RENAME address TO email;
SELECT * FROM ar_rules;
-- a partition's column is the parent's; a table that nobody names is nobody's business
ALTER TABLE mail RENAME action TO what;
ALTER TABLE mail RENAME what TO action;
-- the table itself
BEGIN;
CREATE TABLE visit_again (LIKE visit);
DROP TABLE visit CASCADE;
SELECT * FROM ar_rules;
SELECT finding, object, detail, remedy FROM leadscore.doctor('ar') WHERE finding LIKE 'activity%';
ALTER TABLE visit_again RENAME TO visit;
SELECT finding, object, detail, remedy FROM leadscore.doctor('ar') WHERE finding LIKE 'activity%';
SELECT remedy FROM leadscore.doctor('ar') WHERE finding LIKE 'activity%' \gexec
SELECT * FROM ar_rules;
SELECT finding FROM leadscore.doctor('ar');
ROLLBACK;
-- other events under the same rules
UPDATE leadscore.activity_source SET relation = 'mail', lead_key = 'who' WHERE model = 'ar' AND name = 'visit';
SELECT * FROM ar_rules;
UPDATE leadscore.activity_source SET relation = 'visit', lead_key = 'person_id' WHERE model = 'ar' AND name = 'visit';
SELECT * FROM ar_rules;
-- a source without rules
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar', 'mail', 'mail', 'who', 'at');
SELECT * FROM leadscore.doctor('ar');
DELETE FROM leadscore.activity_source WHERE model = 'ar' AND name = 'mail';

--
-- Who may write them
--
GRANT USAGE ON SCHEMA leadscore TO regress_ar_owner, regress_ar_other, regress_ar_editor;
GRANT USAGE ON SCHEMA ar TO regress_ar_editor;
GRANT SELECT, INSERT, UPDATE, DELETE ON leadscore.model, leadscore.factor, leadscore.activity_source, leadscore.rule TO regress_ar_editor;
GRANT SELECT, INSERT, UPDATE, DELETE ON leadscore.model, leadscore.factor, leadscore.activity_source, leadscore.rule TO regress_ar_owner;
SET ROLE regress_ar_other;
CREATE TABLE secret (lead_id integer, at timestamptz, what text);
SELECT count(*) FROM leadscore.activity_source;
SET ROLE regress_ar_owner;
CREATE TABLE own_lead (id integer PRIMARY KEY, email text);
CREATE TABLE own_visit (lead_id integer, url text, at timestamptz);
INSERT INTO leadscore.model (name, target) VALUES ('ar_own', 'own_lead');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('ar_own', 'does', 'engagement');
-- not attached, nothing is read with others' rights
SET ROLE regress_ar_editor;
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar_own', 'visit', 'ar.own_visit', 'lead_id', 'at'), ('ar_own', 'secret', 'ar.secret', 'lead_id', 'at');
INSERT INTO leadscore.rule (id, model, factor, activity, condition, points, half_life) VALUES (1330010, 'ar_own', 'does', 'visit', 'true', 10, '7 days');
SET ROLE regress_ar_owner;
SELECT leadscore.attach('ar_own');		-- whether rules count them or not
DELETE FROM leadscore.activity_source WHERE model = 'ar_own' AND name = 'secret';
SELECT leads FROM leadscore.attach('ar_own');
INSERT INTO own_lead VALUES (1, 'a');
INSERT INTO own_visit VALUES (1, '/', now());
SELECT lead_key, round(engagement) AS engagement FROM leadscore.ar_own_scored;
-- attached, the owner of the events has to agree
SET ROLE regress_ar_editor;
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar_own', 'secret', 'ar.secret', 'lead_id', 'at');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar_own', 'more', 'ar.own_visit', 'lead_id', 'at');
UPDATE leadscore.activity_source SET relation = 'ar.secret' WHERE model = 'ar_own' AND name = 'visit';
UPDATE leadscore.activity_source SET lead_key = 'lead_id + 1' WHERE model = 'ar_own' AND name = 'visit';
UPDATE leadscore.activity_source SET description = 'of whom?' WHERE model = 'ar_own' AND name = 'visit';
UPDATE leadscore.rule SET points = 11, condition = 'url IS NOT NULL' WHERE id = 1330010;
SET ROLE regress_ar_other;
SELECT leadscore.detach('ar_own');
SET ROLE regress_ar_owner;
UPDATE leadscore.activity_source SET filter = 'url <> ''/test''' WHERE model = 'ar_own' AND name = 'visit';
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar_own', 'secret', 'ar.secret', 'lead_id', 'at');
UPDATE leadscore.activity_source SET relation = 'secret' WHERE model = 'ar_own' AND name = 'visit';
-- somebody else's events table takes the name of his
RESET ROLE;
BEGIN;
ALTER TABLE own_visit RENAME TO own_visit_old;
ALTER TABLE secret RENAME TO own_visit;
SET LOCAL ROLE regress_ar_owner;
SELECT leadscore.repair('ar_own');
ROLLBACK;
-- the triggers are gone with the model's attachment
SELECT tgrelid::regclass, tgname LIKE 'leadscore\_ar\_own\_%' AS ours, tgenabled FROM pg_trigger WHERE tgrelid = 'own_visit'::regclass ORDER BY tgname;
SET ROLE regress_ar_owner;
SELECT leadscore.detach('ar_own');
RESET ROLE;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'own_visit'::regclass;
SELECT count(*) FROM leadscore.pending_activity WHERE model = 'ar_own';

--
-- Health of an attached model's activity sources
--
SET ROLE regress_ar_owner;
CREATE TABLE click (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, model text, res_id integer, who text, at timestamptz, kind text) WITH (autovacuum_enabled = off);
CREATE TABLE day (lead_id integer, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE day_1 PARTITION OF day FOR VALUES FROM ('2025-01-01') TO ('2025-01-02') WITH (autovacuum_enabled = off);
UPDATE own_lead SET email = 'a@x';
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at, filter) VALUES ('ar_own', 'click', 'click', 'res_id', 'at', 'model = ''lead''');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at) VALUES ('ar_own', 'by address', 'click', 'who', 'email', 'at');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar_own', 'half', 'click', 'res_id / 2', 'at'), ('ar_own', 'day', 'day', 'lead_id', 'at');
INSERT INTO leadscore.rule (id, model, factor, activity, condition, points, half_life) VALUES
	(1330011, 'ar_own', 'does', 'click', 'true', 1, NULL), (1330012, 'ar_own', 'does', 'by address', 'kind = ''reply''', 5, '30 days'),
	(1330013, 'ar_own', 'does', 'half', 'kind = ''half''', 1, NULL), (1330014, 'ar_own', 'does', 'day', 'true', 1, NULL);
RESET ROLE;
CREATE VIEW finding AS SELECT finding, object, detail, remedy FROM leadscore.doctor('ar_own');
-- a small table needs no index
SET ROLE regress_ar_owner;
SELECT leads FROM leadscore.attach('ar_own');
RESET ROLE;
SELECT * FROM finding;
INSERT INTO click (model, res_id, who, at) SELECT 'other', i % 5, 'nobody', '2025-06-01' FROM generate_series(1, 20000) i;
INSERT INTO day SELECT 1000 + i % 3, '2025-01-01' FROM generate_series(1, 30000) i;
SELECT * FROM finding;
SET ROLE regress_ar_owner;
SELECT leads FROM leadscore.attach('ar_own');
-- what serves, and what does not
CREATE INDEX click_who ON click (who);
CREATE INDEX click_res ON click (id, kind, res_id);
CREATE INDEX click_brin ON click USING brin (res_id);
CREATE INDEX day_at ON day (at, lead_id);
RESET ROLE;
SELECT finding, object, detail FROM finding;
DROP INDEX ar.click_res;
CREATE INDEX click_res ON click (model, res_id);
CREATE INDEX click_half ON click ((res_id / 2));
CREATE INDEX click_address ON click (lower(who));
SELECT * FROM finding;
-- how many rows there are, ANALYZE knows
DROP INDEX click_res, day_at;
ANALYZE click, day;
SELECT finding, remedy FROM finding;
DELETE FROM click WHERE model = 'other';
ANALYZE click;
SELECT finding, object FROM finding;
TRUNCATE day;
-- a partition that came later, a trigger that is off
CREATE TABLE day_2 PARTITION OF day FOR VALUES FROM ('2025-01-02') TO ('2025-01-03');
ALTER TABLE own_visit DISABLE TRIGGER ALL;
ALTER TABLE day_1 DISABLE TRIGGER ALL;
CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace($1, '_[0-9a-f]{8}_', '_*_') $$;
SELECT finding, plain(object) AS object, detail FROM finding ORDER BY 1, 2;
SELECT plain(unnest(leadscore.repair('ar_own')));
SELECT * FROM finding;
-- activities that nobody adds
INSERT INTO leadscore.pending_activity VALUES ('ar_own', '1', now() - interval '2 hours', NULL), ('ar_own', '2', now() - interval '1 minute', NULL), ('ar_own', '1', now() + interval '2 hours', NULL);
SELECT * FROM finding;
SELECT activity_sources, pending_activities FROM leadscore.model_status WHERE model = 'ar_own';
DELETE FROM leadscore.pending_activity WHERE model = 'ar_own';
-- a loader puts another table in the place of one
CREATE VIEW counted AS
	SELECT lead_key, leadscore.engagement_count(engagement, 1330011) AS clicks, leadscore.engagement_count(engagement, 1330012) AS replies, leadscore.engagement_count(engagement, 1330014) AS days
	FROM leadscore.ar_own_state ORDER BY lead_key;
INSERT INTO click (model, res_id, who, at, kind) VALUES ('lead', 1, 'x', '2025-06-01', 'open'), ('other', 9, 'A@X', '2025-06-02', 'reply');
SELECT * FROM counted WHERE clicks + replies > 0;
CREATE TABLE click_new (LIKE click INCLUDING ALL);
ALTER TABLE click_new OWNER TO regress_ar_owner;
INSERT INTO click_new (model, res_id, who, at, kind) VALUES ('lead', 2, 'a@x', '2025-06-03', 'open'), ('other', 1, 'a@x', '2025-06-03', 'reply'), ('other', 1, 'a@x', '2025-06-04', 'reply');
BEGIN;
ALTER TABLE click RENAME TO click_old;
ALTER TABLE click_new RENAME TO click;
COMMIT;
SELECT finding, object, detail, remedy FROM finding;
SET ROLE regress_ar_owner;
SELECT plain(unnest(leadscore.repair('ar_own')));
RESET ROLE;
SELECT * FROM counted WHERE clicks + replies > 0;
SELECT name, relation, relation_name FROM leadscore.activity_source WHERE model = 'ar_own' ORDER BY name;
SELECT * FROM finding;
-- and drops it first
CREATE TABLE click_new (LIKE click INCLUDING ALL);
DROP TABLE click;
SELECT finding, object, detail FROM finding;
SELECT * FROM counted WHERE clicks + replies > 0;
INSERT INTO own_lead VALUES (3, 'b@x');
SELECT plain(unnest(leadscore.repair('ar_own')));
SELECT finding, object, detail FROM finding;
ALTER TABLE click_new RENAME TO click;
SELECT finding, object, detail FROM finding;
SELECT plain(unnest(leadscore.repair('ar_own')));
SELECT * FROM counted WHERE clicks + replies > 0;
SELECT * FROM finding;
DROP VIEW counted;
SELECT leadscore.detach('ar_own');
SELECT * FROM finding;
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('click'::regclass, 'click_old'::regclass, 'day'::regclass, 'day_1'::regclass, 'own_visit'::regclass) AND NOT tgisinternal;

--
-- Matrices with activities as a whole
--
SET intervalstyle = 'sql_standard';		-- what is exported does not depend on it
SELECT jsonb_pretty(leadscore.export_model('ar'));
SELECT leadscore.export_model('ar') AS before \gset
SELECT leadscore.import_model(:'before', replace => true);
SELECT leadscore.export_model('ar') = :'before' AS same;
SELECT leadscore.import_model(:'before', 'ar_copy');
SELECT leadscore.export_model('ar_copy') #- '{model,name}' = :'before'::jsonb #- '{model,name}' AS same;
SELECT leadscore.copy_model('ar', 'ar_again');
SELECT leadscore.export_model('ar_again') #- '{model,name}' = :'before'::jsonb #- '{model,name}' AS same;
SET intervalstyle = 'iso_8601';
SELECT leadscore.import_model(:'before', replace => true);
SELECT leadscore.export_model('ar') = :'before' AS same;
SET intervalstyle = 'postgres';
-- a matrix without activities replaces one with them
SELECT leadscore.export_model('ar_two');
SELECT leadscore.import_model(leadscore.export_model('ar_two'), 'ar_copy', true);
SELECT count(*) FROM leadscore.activity_source WHERE model = 'ar_copy';
SELECT leadscore.export_model('ar_copy') #- '{model,name}' = leadscore.export_model('ar_two') #- '{model,name}' AS same;
-- what is no such matrix
SELECT v.number, e.state, e.message FROM (VALUES
	(1, jsonb_set(:'before', '{activity_sources,0,keyy}', '1')), (2, jsonb_set(:'before', '{activity_sources,0,relation_name}', '"x"')),
	(3, jsonb_set(:'before', '{activity_sources,0,model}', '"x"')), (4, jsonb_set(:'before', '{activity_sources,0,relation}', '"ar.nothing"')),
	(5, :'before'::jsonb - 'activity_sources'), (6, jsonb_set(:'before', '{activity_sources,0,lead_key}', '"nothing"')),
	(7, jsonb_set(:'before', '{rules,0,half_life}', '"a while"')), (8, jsonb_set(:'before', '{rules,0,halflife}', '"1 day"')), (9, :'before')) v(number, matrix),
	refused(format('SELECT leadscore.import_model(%L, ''ar_new'')', matrix)) e ORDER BY number;
-- a rule about the lead's own row, with and without the keys of activities
SELECT leadscore.import_model('{"format": 1, "model": {"name": "ar_new", "target": "ar.lead"}, "factors": [{"name": "f", "axis": "fit", "combine": "sum"}],
	"rules": [{"factor": "f", "condition": "n > 1", "points": 1}, {"factor": "f", "condition": "n > 2", "points": 1, "activity": null, "half_life": null, "include_never": false}]}');
SELECT condition, activity, half_life, include_never FROM leadscore.rule WHERE model = 'ar_new' ORDER BY id;

--
-- The template of activities
--
CREATE TABLE page (person integer, url text, at timestamptz);
CREATE TABLE email_event (recipient text, action text, at timestamptz);
CREATE TABLE webinar_attendee (person integer, state text, at timestamptz);
CREATE TABLE activity (person integer, kind text, page text, outcome text, at timestamptz);
-- every rule says why
SELECT r ->> 'factor' AS factor, r ->> 'parameter' AS parameter, r ->> 'points' AS points, r ->> 'activity' AS activity, r ->> 'condition' AS condition, r ->> 'note' AS note
FROM jsonb_array_elements(leadscore.template('b2b_activities') -> 'rules') r;
SELECT count(*) FROM jsonb_array_elements(leadscore.template('b2b_activities') -> 'rules') r WHERE r ->> 'note' IS NULL OR r ->> 'significance' IS NULL;
INSERT INTO leadscore.model (name, target) VALUES ('ar_tables', 'lead'), ('ar_one', 'lead');
-- a table for each
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at) VALUES
	('ar_tables', 'visit', 'page', 'person', NULL, 'at'), ('ar_tables', 'email', 'email_event', 'recipient', 'email', 'at'), ('ar_tables', 'attendee', 'webinar_attendee', 'person', NULL, 'at');
SELECT leadscore.load_template('b2b_activities', 'ar_tables', activities => '{"webinar": {"source": "attendee", "columns": {"status": "state"}}, "chat": null}');
SELECT factor, parameter, significance, activity, condition, points, half_life, at_least, within, at_most, inactive_for, disqualifies
FROM leadscore.rule WHERE model = 'ar_tables' ORDER BY id;
SELECT name, axis, combine, points_floor, points_cap, description FROM leadscore.factor WHERE model = 'ar_tables' ORDER BY name;
-- one table for all, and in addition to a matrix of rows
CREATE TABLE wide (id integer PRIMARY KEY, company_size text, knowledge_level text, purchase_motivation text, decision_power text, position text, webinar text);
SELECT leadscore.load_template('b2b_webinar', 'ar_wide', 'wide');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('ar_wide', 'activity', 'activity', 'person', 'at');
SELECT leadscore.load_template('b2b_activities', 'ar_wide', activities => '{
	"visit": {"source": "activity", "when": "kind = ''page''", "columns": {"url": "page"}}, "form": {"source": "activity", "when": "kind = ''form''", "columns": {"form": "page"}},
	"email": {"source": "activity", "when": "kind = ''e-mail''", "columns": {"action": "outcome"}}, "webinar": {"source": "activity", "when": "kind = ''webinar''", "columns": {"status": "outcome"}},
	"conference": {"source": "activity", "when": "kind IN (''fair'', ''talk'')"}, "chat": {"source": "activity", "when": "kind = ''chat''"}}');
SELECT parameter, activity, condition FROM leadscore.rule WHERE model = 'ar_wide' AND activity IS NOT NULL ORDER BY id;
SELECT jsonb_object_keys(leadscore.export_model('ar_wide')) ORDER BY 1;
-- they score
SELECT leads FROM leadscore.attach('ar_wide');
INSERT INTO wide (id, company_size) VALUES (1, 'large'), (2, NULL), (3, NULL), (4, NULL);
INSERT INTO activity VALUES
	(1, 'page', '/Pricing?a', NULL, now()), (1, 'page', '/docs/help', NULL, now()), (1, 'page', '/', NULL, now()), (1, 'chat', NULL, NULL, now()), (1, 'form', 'demo request', NULL, now()),
	(2, 'e-mail', NULL, 'Hard bounce', now()), (2, 'e-mail', NULL, 'click', now()), (2, 'talk', NULL, NULL, now()),
	(3, 'e-mail', NULL, 'unsubscribed', now()), (3, 'page', '/about', NULL, now() - interval '31 days'), (3, 'webinar', NULL, 'attended', now()), (3, 'webinar', NULL, 'absent', now());
INSERT INTO activity SELECT 4, 'page', '/blog/' || i, NULL, now() FROM generate_series(1, 5) i;
SELECT lead_key, round(engagement_points) AS engagement, disqualified, temperature FROM leadscore.ar_wide_state ORDER BY 1;
SELECT leadscore.detach('ar_wide');
-- what goes wrong, changes nothing
SET client_min_messages = warning;
SELECT e.* FROM (VALUES
	(1, 'ar_one', '{}'::text), (2, 'ar_tables', '{"call": "visit"}'), (3, 'ar_tables', '{"visit": "nothing"}'), (4, 'ar_tables', '{"visit": 1}'), (5, 'ar_tables', '{"visit": {"url": "x"}}'),
	(6, 'ar_tables', '{"visit": {"columns": {"page": "x"}}}'), (7, 'ar_tables', '[]'), (8, 'ar_tables', '{"visit": {"columns": {"url": "link"}}}'), (9, 'ar_none', '{}'),
	(10, 'ar_tables', '{"chat": "visit"}'), (11, 'ar_tables', '{"visit": {"when": "nothing"}}'), (12, 'ar_tables', '{"visit": {"when": "url"}}')) v(number, model, activities),
	refused(format('DELETE FROM leadscore.factor WHERE model = %1$L; SELECT leadscore.load_template(''b2b_activities'', %1$L, activities => %2$L)', model, activities)) e ORDER BY number;
SELECT * FROM refused('SELECT leadscore.load_template(''b2b_activities'', ''ar_tables'')');
SELECT * FROM refused('SELECT leadscore.load_template(''b2b_activities'', ''ar_one'', columns => ''{"url": "page"}'')');
SELECT * FROM refused('SELECT leadscore.load_template(''b2b_webinar'', ''ar_one'', activities => ''{"visit": "page"}'')');
SELECT count(*) FROM leadscore.rule WHERE model = 'ar_tables';
RESET client_min_messages;

-- clean up
DELETE FROM leadscore.model WHERE name LIKE 'ar%';
SELECT count(*) FROM leadscore.activity_source WHERE model LIKE 'ar%';
REVOKE ALL ON leadscore.model, leadscore.factor, leadscore.activity_source, leadscore.rule FROM regress_ar_editor, regress_ar_owner;
REVOKE USAGE ON SCHEMA leadscore FROM regress_ar_owner, regress_ar_other, regress_ar_editor;
SET client_min_messages = warning;
DROP SCHEMA ar CASCADE;
DROP ROLE regress_ar_owner, regress_ar_other, regress_ar_editor;
