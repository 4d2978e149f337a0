--
-- ruletable: what may be written into the tables of the matrix, and what
-- follows from it
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
RESET client_min_messages;
\set SHOW_CONTEXT never
CREATE SCHEMA rt;
CREATE TABLE rt.lead (id integer PRIMARY KEY, name text, employees integer, industry text, created_at timestamptz, optin boolean);
INSERT INTO rt.lead VALUES (1, 'Anna', 120, 'energy', '2020-01-01', true), (2, 'Bob', 5, 'mining', '2020-02-01', false);
CREATE TABLE rt.pair (a integer, b integer, name text, PRIMARY KEY (a, b));
CREATE TABLE rt.keyless (a integer, name text);
CREATE TABLE rt.company (id integer PRIMARY KEY, sector text);
INSERT INTO rt.company VALUES (1, 'energy');
CREATE VIEW rt.lead_source AS
	SELECT l.id, l.name, l.employees, c.sector FROM rt.lead l LEFT JOIN rt.company c ON c.id = l.id;
CREATE VIEW rt.lead_names AS SELECT name FROM rt.lead;
CREATE MATERIALIZED VIEW rt.lead_mat AS SELECT id, name FROM rt.lead;
CREATE SEQUENCE rt.seq;
CREATE TYPE rt.comp AS (a integer);

--
-- Models
--

-- defaults
INSERT INTO leadscore.model (name, target) VALUES ('rt', 'rt.lead');
INSERT INTO leadscore.model (name, target) VALUES ('rt_pair', 'rt.pair'), ('rt_keyless', 'rt.keyless');
INSERT INTO leadscore.model (name, target, source) VALUES ('rt_view', 'rt.lead', 'rt.lead_source'), ('rt_names', 'rt.lead', 'rt.lead_names');
INSERT INTO leadscore.model (name, target, source, key_column) VALUES ('rt_mat', 'rt.lead', 'rt.lead_mat', 'name');
SELECT name, target, source, key_column, time_zone, score_min, score_max, initial_stage, accepted_stage, search_path, version
  FROM leadscore.model WHERE name LIKE 'rt%' ORDER BY name;

-- names
INSERT INTO leadscore.model (name, target) VALUES ('rt', 'rt.lead');
INSERT INTO leadscore.model (name, target) VALUES ('Rt', 'rt.lead');
INSERT INTO leadscore.model (name, target) VALUES ('', 'rt.lead');
INSERT INTO leadscore.model (name, target) VALUES ('1st', 'rt.lead');
INSERT INTO leadscore.model (name, target) VALUES ('with space', 'rt.lead');
INSERT INTO leadscore.model (name, target) VALUES (E'rt\n', 'rt.lead');
INSERT INTO leadscore.model (name, target) VALUES ('größe', 'rt.lead');
INSERT INTO leadscore.model (name, target) VALUES (repeat('a', 41), 'rt.lead');
INSERT INTO leadscore.model (name, target) VALUES ('rt_' || repeat('a', 37), 'rt.lead');
\set VERBOSITY terse
INSERT INTO leadscore.model (name, target) VALUES (NULL, 'rt.lead');
\set VERBOSITY default
UPDATE leadscore.model SET name = 'RT' WHERE name = 'rt_pair';

-- relations
\set VERBOSITY terse
INSERT INTO leadscore.model (name) VALUES ('rt_bad');
INSERT INTO leadscore.model (name, target) VALUES ('rt_bad', 'rt.nothing');
\set VERBOSITY default
INSERT INTO leadscore.model (name, target) VALUES ('rt_bad', 'rt.lead_source');
INSERT INTO leadscore.model (name, target) VALUES ('rt_bad', 'rt.lead_mat');
INSERT INTO leadscore.model (name, target) VALUES ('rt_bad', 'rt.lead_pkey');
INSERT INTO leadscore.model (name, target) VALUES ('rt_bad', 'rt.seq');
INSERT INTO leadscore.model (name, target) VALUES ('rt_bad', 'rt.comp');
INSERT INTO leadscore.model (name, target, source) VALUES ('rt_bad', 'rt.lead', 'rt.seq');
INSERT INTO leadscore.model (name, target) VALUES ('rt_bad', 'leadscore.problem');
INSERT INTO leadscore.model (name, target, source) VALUES ('rt_bad', 'rt.lead', 'leadscore.rule');
UPDATE leadscore.model SET source = 'leadscore.model' WHERE name = 'rt';
INSERT INTO leadscore.model (name, target, key_column) VALUES ('rt_bad', 'rt.lead', 'nr');
INSERT INTO leadscore.model (name, target, source, key_column) VALUES ('rt_bad', 'rt.lead', 'rt.lead_names', 'id');
INSERT INTO leadscore.model (name, target, key_column) VALUES ('rt_bad', 'rt.lead', 'ctid');
UPDATE leadscore.model SET key_column = 'nr' WHERE name = 'rt';

-- ranges, zones, stages
INSERT INTO leadscore.model (name, target, time_zone) VALUES ('rt_bad', 'rt.lead', 'Europe/Atlantis');
\set VERBOSITY terse
INSERT INTO leadscore.model (name, target, time_zone) VALUES ('rt_bad', 'rt.lead', NULL);
INSERT INTO leadscore.model (name, target, initial_stage) VALUES ('rt_bad', 'rt.lead', 'loved');
INSERT INTO leadscore.model (name, target, score_min, score_max) VALUES ('rt_bad', 'rt.lead', 100, 0);
INSERT INTO leadscore.model (name, target, fit_min, fit_max) VALUES ('rt_bad', 'rt.lead', 1, 0);
INSERT INTO leadscore.model (name, target, engagement_min, engagement_max) VALUES ('rt_bad', 'rt.lead', 1, 0);
\set VERBOSITY default
DO $$
DECLARE
	range text;
BEGIN
	FOREACH range IN ARRAY '{"score_max = ''NaN''", "score_min = ''NaN''", "score_min = ''Infinity''", "score_max = ''-Infinity''", "fit_max = ''NaN''", "engagement_min = ''Infinity''"}'::text[] LOOP
		BEGIN
			EXECUTE 'UPDATE leadscore.model SET ' || range || ' WHERE name = ''rt''';
			RAISE NOTICE 'accepted: %', range;
			EXECUTE 'UPDATE leadscore.model SET score_min = NULL, score_max = NULL, fit_max = NULL, engagement_min = NULL WHERE name = ''rt''';
		EXCEPTION WHEN check_violation OR numeric_value_out_of_range THEN
			RAISE NOTICE 'refused: %', range;
		END;
	END LOOP;
END
$$;
SELECT count(*) FROM leadscore.model WHERE name = 'rt_bad';

-- expressions
UPDATE leadscore.model SET channel = 'industry', created_at = 'created_at', consent = 'optin' WHERE name = 'rt';
UPDATE leadscore.model SET channel = '5' WHERE name = 'rt';					-- a number is text as well
UPDATE leadscore.model SET created_at = $$created_at::date$$ WHERE name = 'rt';
\set SHOW_CONTEXT errors
UPDATE leadscore.model SET channel = 'indstry' WHERE name = 'rt';
UPDATE leadscore.model SET created_at = 'name' WHERE name = 'rt';
UPDATE leadscore.model SET created_at = '(SELECT now())' WHERE name = 'rt';
UPDATE leadscore.model SET consent = 'employees' WHERE name = 'rt';
UPDATE leadscore.model SET consent = 'random() > 0.5' WHERE name = 'rt';
UPDATE leadscore.model SET consent = '' WHERE name = 'rt';
\set SHOW_CONTEXT never
SELECT channel, created_at, consent FROM leadscore.model WHERE name = 'rt';
UPDATE leadscore.model SET channel = NULL, created_at = NULL, consent = NULL WHERE name = 'rt';

--
-- Factors
--
INSERT INTO leadscore.factor (model, name, axis) VALUES ('rt', 'size', 'fit'), ('rt', 'visits', 'engagement');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('rt', 'sector', 'fit', 'sum');
INSERT INTO leadscore.factor (model, name, axis) SELECT name, 'f', 'fit' FROM leadscore.model WHERE name LIKE 'rt\__%';
SELECT name, axis, combine, points_floor, points_cap FROM leadscore.factor WHERE model = 'rt' ORDER BY name;
\set VERBOSITY terse
INSERT INTO leadscore.factor (model, name, axis) VALUES ('rt', 'size', 'fit');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('rt', '', 'fit');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('rt', 'bad', 'fitness');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('rt', 'bad', NULL);
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('rt', 'bad', 'fit', 'average');
INSERT INTO leadscore.factor (model, name, axis, points_floor, points_cap) VALUES ('rt', 'bad', 'fit', 10, 5);
INSERT INTO leadscore.factor (model, name, axis, points_cap) VALUES ('rt', 'bad', 'fit', 'NaN');
INSERT INTO leadscore.factor (model, name, axis, points_floor) VALUES ('rt', 'bad', 'fit', 'Infinity');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('rt_unknown', 'bad', 'fit');
\set VERBOSITY default

--
-- Rules
--
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1100001, 'rt', 'size', 'employees > 50');
SELECT parameter, significance, points, disqualifies, enabled, note, search_path FROM leadscore.rule WHERE id = 1100001;
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'rt', 'size', 'true', 'NaN');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'rt', 'size', 'true', 'Infinity');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'rt', 'size', 'true', '-Infinity');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'rt', 'size', 'true', 1e9);
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'rt', 'size', 'true', -1000000.5);
UPDATE leadscore.rule SET points = 1000001 WHERE id = 1100001;
\set VERBOSITY terse
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'rt', 'size', 'true', NULL);
INSERT INTO leadscore.rule (id, model, factor, condition, significance) VALUES (1, 'rt', 'size', 'true', 'nice');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1100001, 'rt', 'size', 'true');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'rt', 'shape', 'true');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'rt_unknown', 'size', 'true');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, NULL, 'size', 'true');
\set VERBOSITY default
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'rt_unknown', 'size', 'true');
UPDATE leadscore.rule SET points = 1000000, significance = 'negative', parameter = '', note = 'edge' WHERE id = 1100001;
UPDATE leadscore.rule SET points = 7 WHERE id = 1100001;

-- the same condition means another column in another model
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'rt_view', 'f', $$industry = 'energy'$$);
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1100011, 'rt_view', 'f', $$sector = 'energy'$$, 3);
UPDATE leadscore.rule SET model = 'rt', factor = 'sector' WHERE id = 1100011;

-- search_path: the writer's schemas, those that exist
SET search_path = "$user", rt, "no such schema", pg_catalog, public;
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1100002, 'rt', 'sector', $$industry IN ('energy', 'mining')$$, 1);
SET search_path = rt;
UPDATE leadscore.rule SET note = 'path stays' WHERE id = 1100002;
SELECT id, search_path FROM leadscore.rule WHERE id = 1100002;
UPDATE leadscore.rule SET condition = $$industry = 'energy'$$ WHERE id = 1100002;
RESET search_path;
SELECT id, search_path FROM leadscore.rule WHERE id = 1100002;

--
-- check_rule: the same without writing
--
SELECT * FROM leadscore.check_rule('rt', 'employees > 50');
\x on
SELECT * FROM leadscore.check_rule('rt', 'employes > 50');
SELECT * FROM leadscore.check_rule('rt', $$name = 'Öffentliche Straßen' AND employes > 50$$);
SELECT * FROM leadscore.check_rule('rt', $$name = '日本' AND random() > 0$$);
SELECT * FROM leadscore.check_rule('rt', 'employees >');
SELECT * FROM leadscore.check_rule('rt', '');
\x off
SELECT leadscore.check_rule('rt', NULL) IS NULL AS null_condition, leadscore.check_rule(NULL, 'true') IS NULL AS null_model;
SELECT leadscore.check_rule('rt_unknown', 'true');
SELECT position, substr($$name = '日本' AND random() > 0$$, position, 6) FROM leadscore.check_rule('rt', $$name = '日本' AND random() > 0$$);
-- it leaves nothing behind, and the transaction alive
BEGIN;
SELECT ok FROM leadscore.check_rule('rt', 'nonsense');
SELECT count(*) FROM leadscore.problem WHERE model = 'rt';
COMMIT;

--
-- Versions
--
CREATE TABLE rt.seen (model text, version bigint);
CREATE FUNCTION rt.changed() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT format('%s +%s', m.name, m.version - s.version) FROM leadscore.model m JOIN rt.seen s ON s.model = m.name
		WHERE m.name LIKE 'rt%' AND m.version <> s.version ORDER BY m.name;
	TRUNCATE rt.seen;
	INSERT INTO rt.seen SELECT name, version FROM leadscore.model;
END
$$;
INSERT INTO rt.seen SELECT name, version FROM leadscore.model;
INSERT INTO leadscore.rule (id, model, factor, condition, points)
	SELECT 1101000 + i, 'rt', 'size', 'employees = ' || i, 1 FROM generate_series(1, 100) i;
SELECT rt.changed();
UPDATE leadscore.rule SET points = 2 WHERE id > 1101000 AND model = 'rt';
SELECT rt.changed();
DELETE FROM leadscore.rule WHERE id BETWEEN 1101001 AND 1101050;
SELECT rt.changed();
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1102001, 'rt', 'size', 'true'), (1102002, 'rt_view', 'f', 'true'), (1102003, 'rt', 'size', 'true');
SELECT rt.changed();
UPDATE leadscore.rule SET model = 'rt_pair', factor = 'f' WHERE id = 1102001;
SELECT rt.changed();
INSERT INTO leadscore.factor (model, name, axis) VALUES ('rt', 'x1', 'fit'), ('rt', 'x2', 'fit');
SELECT rt.changed();
UPDATE leadscore.factor SET points_cap = 5 WHERE model = 'rt' AND name LIKE 'x_';
SELECT rt.changed();
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'temperature', 'hot', 90), ('rt', 'temperature', 'warm', 30);
SELECT rt.changed();
UPDATE leadscore.threshold SET at_least = at_least + 1 WHERE model = 'rt';
SELECT rt.changed();
DELETE FROM leadscore.threshold WHERE model = 'rt';
SELECT rt.changed();
UPDATE leadscore.model SET description = 'for tests' WHERE name = 'rt';
SELECT rt.changed();
-- what changes nothing raises nothing
UPDATE leadscore.rule SET points = 1 WHERE false;
DELETE FROM leadscore.factor WHERE model = 'rt' AND name = 'none';
INSERT INTO leadscore.problem (model, sqlstate, message) VALUES ('rt', '00000', 'nothing');
DELETE FROM leadscore.problem WHERE model = 'rt';
SELECT count(*) FROM leadscore.check_rule('rt', 'true'), leadscore.explain('rt', NULL);
BEGIN;
DELETE FROM leadscore.rule WHERE model = 'rt';
ROLLBACK;
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'rt', 'size', 'true'), (2, 'rt', 'size', 'bad');
SELECT rt.changed();
-- once for each statement of a transaction, also in a function
BEGIN;
UPDATE leadscore.rule SET note = 'a' WHERE id = 1102003;
UPDATE leadscore.rule SET note = 'b' WHERE id = 1102003;
COMMIT;
SELECT rt.changed();
-- thresholds without a model concern all models; functions that conditions may call too
INSERT INTO leadscore.threshold (kind, label, at_least) VALUES ('fit', 'A', 60), ('fit', 'B', '-Infinity');
SELECT rt.changed();
DELETE FROM leadscore.threshold WHERE model IS NULL AND NOT builtin;
SELECT rt.changed();
INSERT INTO leadscore.allowed_function (signature) VALUES ('pg_catalog.version()');
SELECT rt.changed();
TRUNCATE leadscore.allowed_function;
SELECT rt.changed();
-- TRUNCATE of rule, as a rehearsal
BEGIN;
TRUNCATE leadscore.rule CASCADE;
SELECT rt.changed();
ROLLBACK;
-- the built-in thresholds stay
TRUNCATE leadscore.threshold;
SELECT rt.changed();

--
-- Thresholds
--
\set VERBOSITY terse
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'temperature', 'tepid', 1);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'score', 'hot', 1);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'fit', 'much too long', 1);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'fit', '', 1);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'fit', 'A', 'Infinity');
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'fit', 'A', 'NaN');
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'fit', 'A', NULL);
INSERT INTO leadscore.threshold (model, kind, label, at_least, margin) VALUES ('rt', 'fit', 'A', 5, -1);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt_unknown', 'fit', 'A', 5);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'fit', 'A', 5), ('rt', 'fit', 'A', 6);
\set VERBOSITY default
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'temperature', 'hot', 5), ('rt', 'temperature', 'warm', 50);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'temperature', 'hot', 5), ('rt', 'temperature', 'warm', 5);
INSERT INTO leadscore.threshold (kind, label, at_least) VALUES ('fit', 'A', 5), ('fit', 'B', 50);
INSERT INTO leadscore.threshold (kind, label, at_least, builtin) VALUES ('fit', 'E', -50, true);
UPDATE leadscore.threshold SET at_least = 45 WHERE builtin AND label = 'hot';
DELETE FROM leadscore.threshold WHERE builtin;
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt', 'temperature', 'hot', 100), ('rt', 'temperature', 'warm', 7);
SELECT l.id, leadscore.score('rt', l), leadscore.temperature('rt', l) FROM rt.lead l ORDER BY id;
SELECT l.id, leadscore.score('rt_view', l), leadscore.temperature('rt_view', l) FROM rt.lead_source l ORDER BY id;
SELECT kind, label, at_least, builtin FROM leadscore.threshold WHERE model IS NULL ORDER BY kind, at_least DESC;

--
-- Renaming and deleting
--
UPDATE leadscore.model SET name = 'rt_renamed' WHERE name = 'rt';
SELECT (SELECT count(*) FROM leadscore.factor WHERE model = 'rt_renamed') AS factors, (SELECT count(*) FROM leadscore.rule WHERE model = 'rt_renamed') AS rules,
	(SELECT count(*) FROM leadscore.threshold WHERE model = 'rt_renamed') AS thresholds, (SELECT count(*) FROM leadscore.rule WHERE model = 'rt') AS left_behind;
SELECT l.id, leadscore.score('rt_renamed', l), leadscore.temperature('rt_renamed', l) FROM rt.lead l ORDER BY id;
SELECT leadscore.score('rt', l) FROM rt.lead l;
UPDATE leadscore.model SET name = 'rt' WHERE name = 'rt_renamed';
UPDATE leadscore.factor SET name = 'company size' WHERE model = 'rt' AND name = 'size';
SELECT l.id, leadscore.score('rt', l) FROM rt.lead l ORDER BY id;
SELECT DISTINCT factor COLLATE "C" AS factor FROM leadscore.rule WHERE model = 'rt' ORDER BY 1;
DELETE FROM leadscore.factor WHERE model = 'rt' AND name = 'sector';
SELECT count(*) FROM leadscore.rule WHERE id = 1100002;
INSERT INTO leadscore.model (name, target) VALUES ('rt_gone', 'rt.lead');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('rt_gone', 'f', 'fit');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1100099, 'rt_gone', 'f', 'true');
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('rt_gone', 'fit', 'A', 5);
INSERT INTO leadscore.problem (model, rule, sqlstate, message) VALUES ('rt_gone', 1100099, '22P02', 'test');
DELETE FROM leadscore.model WHERE name = 'rt_gone';
SELECT count(*) FROM leadscore.factor WHERE model = 'rt_gone';
SELECT count(*) FROM leadscore.rule WHERE id = 1100099;
SELECT count(*) FROM leadscore.threshold WHERE model = 'rt_gone';
SELECT count(*) FROM leadscore.problem WHERE model = 'rt_gone';

--
-- The CRM can still migrate
--
DELETE FROM leadscore.rule WHERE model = 'rt';
DELETE FROM leadscore.threshold WHERE model = 'rt';
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('rt', 'all', 'fit', 'sum');
CREATE TYPE rt.grade AS ENUM ('a', 'b');
CREATE DOMAIN rt.percent AS integer CHECK (VALUE BETWEEN 0 AND 100);
ALTER TABLE rt.lead ADD COLUMN budget text DEFAULT 'yes', ADD COLUMN grade rt.grade DEFAULT 'a', ADD COLUMN share rt.percent DEFAULT 50;
INSERT INTO leadscore.rule (id, model, factor, parameter, condition, points) VALUES
	(1110001, 'rt', 'all', 'big', 'employees > 50', 1),
	(1110002, 'rt', 'all', 'budget', $$budget = 'yes'$$, 2),
	(1110003, 'rt', 'all', 'both', $$employees > 50 AND budget LIKE 'y%'$$, 4),
	(1110004, 'rt', 'all', 'grade', $$grade = 'a'::rt.grade$$, 8),
	(1110005, 'rt', 'all', 'share', 'share >= 50', 16);
PREPARE scores AS SELECT l.id, leadscore.score('rt', l) FROM rt.lead l ORDER BY id;
EXECUTE scores;

-- another column: nothing happens
ALTER TABLE rt.lead ADD COLUMN other text;
ALTER TABLE rt.lead DROP COLUMN other;
EXECUTE scores;
-- renamed
ALTER TABLE rt.lead RENAME COLUMN budget TO has_budget;
SELECT id, enabled FROM leadscore.rule WHERE model = 'rt' ORDER BY id;
SELECT model, rule, lead_key, sqlstate, message, count FROM leadscore.problem WHERE model = 'rt' ORDER BY rule;
EXECUTE scores;
INSERT INTO rt.lead (id, name) VALUES (3, 'Carl');
-- a disabled rule may be edited, but not enabled as it is
UPDATE leadscore.rule SET points = 20, note = 'waits for the column' WHERE id = 1110002;
UPDATE leadscore.rule SET enabled = true WHERE id = 1110002;
UPDATE leadscore.rule SET condition = 'budgt > 5' WHERE id = 1110002;
-- back again
ALTER TABLE rt.lead RENAME COLUMN has_budget TO budget;
UPDATE leadscore.rule SET enabled = true WHERE id = 1110002;
UPDATE leadscore.rule SET enabled = true, condition = $$employees > 50 AND budget = 'yes'$$ WHERE id = 1110003;
SELECT id, enabled FROM leadscore.rule WHERE model = 'rt' ORDER BY id;
SELECT count(*) FROM leadscore.problem WHERE model = 'rt';
EXECUTE scores;
-- another type, with which the condition makes no sense, and with which it does
CREATE TABLE rt.typed (id integer PRIMARY KEY, a integer, b integer);
INSERT INTO rt.typed VALUES (1, 120, 7);
INSERT INTO leadscore.model (name, target) VALUES ('rt_typed', 'rt.typed');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('rt_typed', 'f', 'fit', 'sum');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1110041, 'rt_typed', 'f', 'a > 50', 1), (1110042, 'rt_typed', 'f', 'b IN (7, 8)', 2);
PREPARE typed AS SELECT leadscore.score('rt_typed', t) FROM rt.typed t;
EXECUTE typed;
ALTER TABLE rt.typed ALTER COLUMN a TYPE text;
EXECUTE typed;
ALTER TABLE rt.typed ALTER COLUMN a TYPE bigint USING a::bigint, ALTER COLUMN b TYPE numeric;
EXECUTE typed;
UPDATE leadscore.rule SET enabled = true WHERE id = 1110041;
EXECUTE typed;
DEALLOCATE typed;
-- dropped
ALTER TABLE rt.lead DROP COLUMN budget;
EXECUTE scores;
SELECT rule, sqlstate, message, count FROM leadscore.problem WHERE model = 'rt' ORDER BY rule;
-- a type that goes with its columns
DROP TYPE rt.grade CASCADE;
DROP DOMAIN rt.percent CASCADE;
EXECUTE scores;
SELECT id, enabled FROM leadscore.rule WHERE model = 'rt' ORDER BY id;
-- table and schema renamed: rules go by columns, not by names
ALTER TABLE rt.lead RENAME TO prospect;
ALTER SCHEMA rt RENAME TO rt2;
DEALLOCATE scores;
SELECT l.id, leadscore.score('rt', l) FROM rt2.prospect l ORDER BY id;
SELECT target FROM leadscore.model WHERE name = 'rt';
ALTER SCHEMA rt2 RENAME TO rt;
ALTER TABLE rt.prospect RENAME TO lead;
-- a rule that names a schema notices
CREATE SCHEMA rt_types;
CREATE TYPE rt_types.tier AS ENUM ('gold', 'lead');
ALTER TABLE rt.lead ADD COLUMN tier rt_types.tier DEFAULT 'gold';
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1110006, 'rt', 'all', $$tier = 'gold'::rt_types.tier$$, 32), (1110007, 'rt', 'all', $$tier = 'gold'$$, 64);
ALTER SCHEMA rt_types RENAME TO rt_kinds;
SELECT l.id, leadscore.score('rt', l) FROM rt.lead l ORDER BY id;
-- a change that is undone undoes what it did
BEGIN;
ALTER TABLE rt.lead DROP COLUMN employees CASCADE;
ROLLBACK;
SELECT id, enabled FROM leadscore.rule WHERE model = 'rt' ORDER BY id;

-- a source view: replaced, dropped along with what it reads, made again
DELETE FROM leadscore.rule WHERE model = 'rt_view';
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1110011, 'rt_view', 'f', $$sector = 'energy'$$, 3), (1110012, 'rt_view', 'f', 'employees > 50', 5);
UPDATE leadscore.factor SET combine = 'sum' WHERE model = 'rt_view';
SELECT l.id, leadscore.score('rt_view', l) FROM rt.lead_source l ORDER BY id;
CREATE OR REPLACE VIEW rt.lead_source AS
	SELECT l.id, l.name, l.employees, upper(c.sector) AS sector, true AS more FROM rt.lead l LEFT JOIN rt.company c ON c.id = l.id;
SELECT l.id, leadscore.score('rt_view', l) FROM rt.lead_source l ORDER BY id;
ALTER VIEW rt.lead_source RENAME COLUMN sector TO branch;
SELECT id, enabled FROM leadscore.rule WHERE model = 'rt_view' ORDER BY id;
ALTER VIEW rt.lead_source RENAME COLUMN branch TO sector;
UPDATE leadscore.rule SET enabled = true WHERE model = 'rt_view';
SELECT count(*) FROM leadscore.problem WHERE model = 'rt_view';
ALTER TABLE rt.company DROP COLUMN sector CASCADE;
SELECT rule, sqlstate, message FROM leadscore.problem WHERE model = 'rt_view';
SELECT id, enabled FROM leadscore.rule WHERE model = 'rt_view' ORDER BY id;
SELECT leadscore.score('rt_view', l) FROM rt.lead l;
UPDATE leadscore.rule SET points = 6 WHERE id = 1110012;
UPDATE leadscore.rule SET condition = 'employees > 40' WHERE id = 1110012;
INSERT INTO rt.lead (id, name) VALUES (4, 'Dora');
CREATE VIEW rt.lead_source AS SELECT id, name, employees FROM rt.lead;
UPDATE leadscore.model SET source = 'rt.lead_source' WHERE name = 'rt_view';
SELECT id, enabled FROM leadscore.rule WHERE model = 'rt_view' ORDER BY id;
SELECT rule, sqlstate, message FROM leadscore.problem WHERE model = 'rt_view';
SELECT l.id, leadscore.score('rt_view', l) FROM rt.lead_source l ORDER BY id;
DROP VIEW rt.lead_source;
SELECT rule, sqlstate, message FROM leadscore.problem WHERE model = 'rt_view' ORDER BY rule;

-- a column of a parent goes from its children, too; and what an owner drops
CREATE TABLE rt.parent (id integer PRIMARY KEY, a integer, b integer) PARTITION BY RANGE (id);
CREATE TABLE rt.child PARTITION OF rt.parent DEFAULT;
INSERT INTO rt.parent VALUES (1, 1, 1);
INSERT INTO leadscore.model (name, target) VALUES ('rt_parent', 'rt.parent'), ('rt_child', 'rt.child');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('rt_parent', 'f', 'fit', 'sum'), ('rt_child', 'f', 'fit', 'sum');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES
	(1110021, 'rt_parent', 'f', 'a = 1', 1), (1110022, 'rt_parent', 'f', 'b = 1', 2), (1110023, 'rt_child', 'f', 'a = 1', 1), (1110024, 'rt_child', 'f', 'b = 1', 2);
SELECT leadscore.score('rt_parent', p) FROM rt.parent p;
ALTER TABLE rt.parent DROP COLUMN a;
SELECT id, enabled FROM leadscore.rule WHERE model IN ('rt_parent', 'rt_child') ORDER BY id;
ALTER TABLE rt.parent RENAME COLUMN b TO c;
SELECT id, enabled FROM leadscore.rule WHERE model IN ('rt_parent', 'rt_child') ORDER BY id;
SET client_min_messages = warning;
CREATE ROLE regress_rt_owner;
RESET client_min_messages;
CREATE TABLE rt.owned (id integer PRIMARY KEY, a integer);
ALTER TABLE rt.owned OWNER TO regress_rt_owner;
INSERT INTO leadscore.model (name, target) VALUES ('rt_owned', 'rt.owned');
DROP OWNED BY regress_rt_owner;
SELECT rule, sqlstate, message FROM leadscore.problem WHERE model = 'rt_owned';
DELETE FROM leadscore.model WHERE name = 'rt_owned';

-- what goes wrong with the server disables nothing
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1110008, 'rt', 'all', 'employees > 1', 1);
UPDATE leadscore.rule SET enabled = false WHERE id <> 1110008 AND model = 'rt';
SELECT leadscore.check_rules('rt'), leadscore.check_rules('rt_unknown'), leadscore.check_rules(NULL);
SELECT id, enabled FROM leadscore.rule WHERE id = 1110008;

--
-- Who may write
--
SET client_min_messages = warning;
CREATE ROLE regress_rt_writer;
RESET client_min_messages;
GRANT USAGE ON SCHEMA leadscore TO regress_rt_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON leadscore.factor, leadscore.rule, leadscore.threshold TO regress_rt_writer;
GRANT SELECT ON leadscore.model TO regress_rt_writer;
INSERT INTO rt.seen SELECT name, version FROM leadscore.model;
SELECT count(*) >= 0 AS reset FROM rt.changed();
SET ROLE regress_rt_writer;		-- no privilege on the leads, none on schema rt, none to write models
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1110009, 'rt', 'all', $$name = 'Anna'$$, 1);
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'rt', 'all', $$nam = 'Anna'$$, 1);
SELECT ok FROM leadscore.check_rule('rt', $$name = 'Anna'$$);
UPDATE leadscore.rule SET points = 2 WHERE id = 1110009;
UPDATE leadscore.factor SET description = 'mine' WHERE model = 'rt' AND name = 'all';
UPDATE leadscore.model SET version = 1;
INSERT INTO leadscore.problem (model, sqlstate, message) VALUES ('rt', '00000', 'x');
RESET ROLE;
SELECT rt.changed();
SELECT l.id, leadscore.score('rt', l) FROM rt.lead l WHERE id = 1;
SET ROLE regress_rt_writer;
DELETE FROM leadscore.rule WHERE id = 1110009;
RESET ROLE;

--
-- As pg_restore writes: an empty search_path, and rows that bring theirs
--
SET search_path = '';
INSERT INTO leadscore.rule (id, model, factor, condition, points, search_path) VALUES
	(1110031, 'rt', 'all', 'gone = 1', 1, 'pg_catalog, public, pg_temp'),
	(1110032, 'rt', 'all', 'employees > 1', 2, 'pg_catalog, rt, pg_temp');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'rt', 'all', 'gone = 1', 1);
INSERT INTO leadscore.model (name, target, consent, search_path) VALUES ('rt_dumped', 'rt.lead', 'gone', 'pg_catalog, public, pg_temp');
INSERT INTO leadscore.model (name, target, consent) VALUES ('rt_bad', 'rt.lead', 'gone');
SELECT id, search_path FROM leadscore.rule WHERE id IN (1110031, 1110032) ORDER BY id;
-- only a dump's word is taken: who restores it owns the tables
SET ROLE regress_rt_writer;
INSERT INTO leadscore.rule (id, model, factor, condition, points, search_path) VALUES (1, 'rt', 'all', 'gone = 1', 1, 'pg_catalog, public, pg_temp');
RESET ROLE;
RESET search_path;
SELECT l.id, leadscore.score('rt', l) FROM rt.lead l WHERE id <= 2 ORDER BY id;
DELETE FROM leadscore.model WHERE name = 'rt_dumped';

--
-- What every object of the extension owes its reader
--

-- without a comment: none
SELECT d.type, d.identity FROM (
	SELECT 'pg_class'::regclass AS classid, oid, 0 AS sub FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
	UNION ALL
	SELECT 'pg_class'::regclass, attrelid, attnum FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	 WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') AND attnum > 0 AND NOT attisdropped
	UNION ALL
	SELECT 'pg_proc'::regclass, oid, 0 FROM pg_proc WHERE pronamespace = 'leadscore'::regnamespace
	UNION ALL
	SELECT 'pg_type'::regclass, t.oid, 0 FROM pg_type t WHERE typnamespace = 'leadscore'::regnamespace AND typelem = 0
	   AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
	UNION ALL
	SELECT 'pg_operator'::regclass, oid, 0 FROM pg_operator WHERE oprnamespace = 'leadscore'::regnamespace
	UNION ALL
	SELECT 'pg_event_trigger'::regclass, oid, 0 FROM pg_event_trigger WHERE evtname LIKE 'leadscore%'
	) o, pg_identify_object(o.classid, o.oid, o.sub) d
 WHERE NOT EXISTS (SELECT FROM pg_description p WHERE p.classoid = o.classid AND p.objoid = o.oid AND p.objsubid = o.sub)
 ORDER BY 1, 2;

-- with the owner's rights, but under the caller's search_path: none; nor may a
-- pg_temp slip in front
SELECT oid::regprocedure FROM pg_proc
 WHERE pronamespace = 'leadscore'::regnamespace AND prosecdef
   AND NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c ~ '^search_path=.*pg_temp$')
 ORDER BY 1;
SELECT oid::regprocedure FROM pg_proc
 WHERE pronamespace = 'leadscore'::regnamespace AND proconfig::text LIKE '%search\_path%'
   AND NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c ~ '^search_path=pg_catalog, (leadscore, )?pg_temp$')
 ORDER BY 1;

-- triggers: they fire whatever session_replication_role is
SELECT tgrelid::regclass, tgname FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
 WHERE relnamespace = 'leadscore'::regnamespace AND NOT tgisinternal AND tgenabled <> 'A' ORDER BY 1, 2;

-- what users call: (v)olatile, (s)table, (i)mmutable; parallel (s)afe, (r)estricted, (u)nsafe
SET search_path = leadscore;
SELECT oid::regprocedure::text COLLATE "C" AS function, provolatile, proparallel, proisstrict, prosecdef
  FROM pg_proc WHERE pronamespace = 'leadscore'::regnamespace AND prorettype <> 'trigger'::regtype AND prorettype <> 'event_trigger'::regtype
   AND proname NOT LIKE '\_%' AND proname NOT LIKE 'lead\_stage%'
   AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = pg_proc.oid AND d.deptype = 'e') ORDER BY 1;
-- the internal ones must do no harm in a parallel worker, either
SELECT oid::regprocedure::text COLLATE "C" AS function, provolatile, proparallel
  FROM pg_proc WHERE pronamespace = 'leadscore'::regnamespace AND proname LIKE '\_%' AND NOT (provolatile = 's' AND proparallel = 's') ORDER BY 1;
RESET search_path;

-- clean up
SET client_min_messages = error;
DELETE FROM leadscore.model WHERE name LIKE 'rt%';
DROP SCHEMA rt, rt_kinds CASCADE;
REVOKE ALL ON ALL TABLES IN SCHEMA leadscore FROM regress_rt_writer;
REVOKE ALL ON SCHEMA leadscore FROM regress_rt_writer;
DROP ROLE regress_rt_writer, regress_rt_owner;
