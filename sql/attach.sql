--
-- attach: who may attach which model, what is there afterwards, and that
-- detaching or rolling back leaves nothing of it; write-back; what an attached
-- model is guarded against; who sees which scores
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
\set SHOW_CONTEXT never
CREATE ROLE regress_att_owner;
CREATE ROLE regress_att_member IN ROLE regress_att_owner;
CREATE ROLE regress_att_other;
CREATE ROLE regress_att_reader;
CREATE SCHEMA att;
GRANT USAGE ON SCHEMA att TO PUBLIC;
GRANT CREATE ON SCHEMA att TO regress_att_owner, regress_att_other;
SET search_path = att;
-- who has no business with us may do with his tables what he likes
CREATE ROLE regress_att_crm;
GRANT CREATE ON SCHEMA att TO regress_att_crm;
SET ROLE regress_att_crm;
CREATE TABLE crm (id integer PRIMARY KEY, n integer);
ALTER TABLE crm ADD COLUMN m integer;
CREATE VIEW crm_view AS SELECT c.id, c.n FROM crm c;
ALTER VIEW crm_view RENAME COLUMN n TO k;
CREATE TYPE crm_type AS (a integer);
ALTER TYPE crm_type RENAME TO crm_type_2;
DROP TYPE crm_type_2;
ALTER TABLE crm DROP COLUMN m;
DROP TABLE crm CASCADE;
RESET ROLE;
DROP OWNED BY regress_att_crm;
REVOKE CREATE ON SCHEMA att FROM regress_att_crm;
DROP ROLE regress_att_crm;

-- what the README says that an owner needs, and no more
GRANT USAGE ON SCHEMA leadscore TO regress_att_owner, regress_att_other, regress_att_reader;

SET ROLE regress_att_owner;
CREATE TABLE lead (id integer PRIMARY KEY, employees integer, title text, created timestamptz);
CREATE TABLE company (id integer PRIMARY KEY, sector text);
CREATE VIEW lead_source AS SELECT l.*, c.sector FROM att.lead l LEFT JOIN att.company c ON c.id = l.employees;
RESET ROLE;
INSERT INTO lead SELECT i, i * 20, CASE WHEN i % 3 = 0 THEN 'director' END FROM generate_series(1, 9) i;
INSERT INTO leadscore.model (name, target) VALUES ('att', 'lead');
INSERT INTO leadscore.model (name, target, source) VALUES ('att_view', 'lead', 'lead_source');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('att', 'all', 'fit', 'sum'), ('att_view', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES
	('att', 'all', 'employees >= 100', 25), ('att', 'all', 'title = ''director''', 30), ('att_view', 'all', 'sector = ''energy''', 60);

-- Is anything wrong with the states of a model?  No line: no.
CREATE FUNCTION wrong(model text) RETURNS SETOF text LANGUAGE plpgsql AS $$
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
			 LATERAL (SELECT CASE WHEN s.lead_key IS NOT NULL THEN ROW(s.score, s.temperature, s.grade, s.disqualified)::text END,
							 CASE WHEN want.key IS NOT NULL THEN ROW((e).score, (e).temperature, (e).grade, (e).disqualified)::text END) x(have, should)
		WHERE have IS DISTINCT FROM should ORDER BY coalesce(want.key::text, s.lead_key::text) COLLATE "C"
		$q$, a.key_column, model, coalesce(a.source, a.target), model || '_state');
END
$$;

-- All that the catalogs know of a table and of what is made for models named
-- like it, but for numbers and what VACUUM would set right.
CREATE FUNCTION traces(prefix text, relation text) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
	WITH r AS (
		SELECT c.oid, c.relname, c.relkind, c.relnamespace, c.relowner::regrole::text AS owner, c.relacl, c.reloptions, c.relrowsecurity, c.relforcerowsecurity
		FROM pg_class c
		WHERE c.oid = to_regclass(relation) OR c.relname LIKE prefix || '%' AND c.relnamespace = 'leadscore'::regnamespace
	)
	SELECT format('%s %s of %s, %s %s %s %s', relkind, relname, owner, relacl, reloptions, relrowsecurity, relforcerowsecurity) FROM r
	UNION ALL SELECT format('%s.%s %s %s %s %s %s %s', r.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull, a.attacl, col_description(r.oid, a.attnum))
		FROM r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attnum > 0 AND r.relkind <> 'i'
	UNION ALL SELECT format('%s: trigger %s %s', r.relname, pg_get_triggerdef(t.oid), t.tgenabled) FROM r JOIN pg_trigger t ON t.tgrelid = r.oid
	UNION ALL SELECT format('%s: index %s', r.relname, pg_get_indexdef(i.indexrelid)) FROM r JOIN pg_index i ON i.indrelid = r.oid
	UNION ALL SELECT format('%s: constraint %s %s', r.relname, c.conname, pg_get_constraintdef(c.oid)) FROM r JOIN pg_constraint c ON c.conrelid = r.oid
	UNION ALL SELECT format('%s: policy %s %s', r.relname, p.polname, pg_get_expr(p.polqual, p.polrelid)) FROM r JOIN pg_policy p ON p.polrelid = r.oid
	UNION ALL SELECT format('%s: rule %s', r.relname, pg_get_ruledef(w.oid)) FROM r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE r.relkind = 'v'
	UNION ALL SELECT format('%s: %s', r.relname, d.description) FROM r JOIN pg_description d ON d.objoid = r.oid AND d.objsubid = 0
	UNION ALL SELECT format('%s: depends %s %s', r.relname, pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid), d.deptype)
		FROM r JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid
	UNION ALL SELECT format('%s: needed by a %s, %s', r.relname, d.classid::regclass, d.deptype) FROM r JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid AND d.classid <> 'pg_type'::regclass
	UNION ALL SELECT format('attached: %s', a.model) FROM leadscore.attachment a WHERE a.model LIKE prefix || '%'
	UNION ALL SELECT format('watched: %s', a.model) FROM leadscore.watched a WHERE a.model LIKE prefix || '%'
	UNION ALL SELECT format('run: %s', a.model) FROM leadscore.rescore_run a WHERE a.model LIKE prefix || '%'
$$;
CREATE TABLE before AS SELECT * FROM traces('att', 'att.lead') t(trace);
-- what has come, and what has gone, since a table was made of them
CREATE FUNCTION other_traces(relation regclass) RETURNS TABLE (gone text, come text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT b.trace, t.trace FROM %s b FULL JOIN att.traces(''att'', ''att.lead'') t(trace) ON t.trace = b.trace WHERE b.trace IS NULL OR t.trace IS NULL', relation);
END
$$;
\d lead

-- not attached yet
SELECT leadscore.detach('att');
SELECT leadscore.repair('att');
SELECT leadscore.watch('att', 'company', 'id');
CALL leadscore.rescore('att');

--
-- The owner attaches, in a transaction that is rolled back first
--
SET ROLE regress_att_owner;
BEGIN;
SELECT leads, skipped, hot, warm, cold, problems, seconds >= 0 AS took_time FROM leadscore.attach('att');
SELECT lead_key, score, temperature, grade, stage FROM leadscore.att_scored ORDER BY 1;
UPDATE lead SET employees = 100 WHERE id = 1;
SELECT lead_key, score FROM leadscore.att_scored WHERE lead_key = 1;
ROLLBACK;
SELECT employees FROM lead WHERE id = 1;
RESET ROLE;
SELECT * FROM other_traces('before');
BEGIN;
SAVEPOINT a;
SELECT leads FROM leadscore.attach('att');
ROLLBACK TO a;
INSERT INTO lead VALUES (10, 100);
COMMIT;
SELECT * FROM other_traces('before');

SET ROLE regress_att_owner;
SELECT leads, skipped, hot, warm, cold, problems FROM leadscore.attach('att');
INSERT INTO lead VALUES (11, 100, 'director');
DELETE FROM lead WHERE id = 10;
RESET ROLE;
SELECT * FROM wrong('att');
\d lead
CREATE TABLE attached AS SELECT * FROM traces('att', 'att.lead') t(trace);
SELECT t.relname, t.relkind, t.relowner::regrole, d.deptype AS member
FROM pg_class t LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e'
WHERE t.relnamespace = 'leadscore'::regnamespace AND t.relname LIKE 'att\_s%' AND t.relkind IN ('r', 'v') ORDER BY 1;

-- again: nothing new, but what was missing is back and what was wrong is right
SET ROLE regress_att_member;
SELECT leads, skipped, hot, warm, cold, problems FROM leadscore.attach('att');
RESET ROLE;
SELECT * FROM other_traces('attached');
DROP VIEW leadscore.att_scored;
DROP TRIGGER leadscore_att_update ON lead;
ALTER TABLE lead DISABLE TRIGGER leadscore_att_insert;
UPDATE lead SET employees = 100 WHERE id = 2;
INSERT INTO lead VALUES (12, 100), (13, NULL);
ALTER TABLE lead ENABLE TRIGGER leadscore_att_delete;
DELETE FROM leadscore.att_state WHERE lead_key = 4;
SELECT count(*) FROM wrong('att');
SET ROLE regress_att_owner;
SELECT leads, skipped, hot, warm, cold, problems FROM leadscore.attach('att');
RESET ROLE;
SELECT * FROM other_traces('attached');
SELECT * FROM wrong('att');
-- the stage survives
UPDATE leadscore.att_state SET stage = 'sql' WHERE lead_key = 1;
SELECT leads FROM leadscore.attach('att');
SELECT stage FROM leadscore.att_scored WHERE lead_key = 1;

-- detach, rolled back and for good
SET ROLE regress_att_owner;
BEGIN;
SELECT leadscore.detach('att'), leadscore.detach('att');
INSERT INTO lead VALUES (14, 100);
ROLLBACK;
RESET ROLE;
SELECT * FROM other_traces('attached');
INSERT INTO lead VALUES (14, 100);
SELECT * FROM wrong('att');
INSERT INTO leadscore.problem (model, lead_key, sqlstate, message) VALUES ('att', '14', 'XX000', 'of a lead'), ('att', NULL, 'XX000', 'of the model');
SET ROLE regress_att_owner;
CREATE VIEW hot AS SELECT * FROM leadscore.att_scored WHERE temperature = 'hot';
SELECT leadscore.detach('att');
DROP VIEW hot;
SELECT leadscore.detach('att');
SELECT leadscore.detach('att');
INSERT INTO lead VALUES (15, 100);
RESET ROLE;
SELECT * FROM other_traces('before');
SELECT message FROM leadscore.problem WHERE model = 'att';
DELETE FROM leadscore.problem WHERE model = 'att';
\d lead
SELECT leadscore.score('att', l) FROM lead l WHERE id = 15;

-- the state table's name is taken
CREATE TABLE leadscore.att_state (lead_key integer);
SELECT leadscore.attach('att');
DROP TABLE leadscore.att_state;

--
-- Nobody else: not with every right on the rules, nor who owns half of it
--
GRANT SELECT, INSERT, UPDATE, DELETE ON leadscore.model, leadscore.factor, leadscore.rule TO regress_att_other;
GRANT ALL ON lead TO regress_att_other;
SELECT leads FROM leadscore.attach('att');
SET ROLE regress_att_other;
CREATE TABLE own (id integer PRIMARY KEY, employees integer);
CREATE VIEW own_source AS SELECT o.id, o.employees FROM att.own o;
INSERT INTO own VALUES (1, 100);
SELECT leadscore.attach('att');
SELECT leadscore.detach('att');
SELECT leadscore.repair('att');
SELECT leadscore.watch('att', 'own', 'id');
SELECT leadscore.unwatch('att', 'own');
SELECT leadscore.rescore_step('att', 10, false);
CALL leadscore.rescore('att');
SELECT * FROM leadscore.att_scored;
SELECT * FROM leadscore.att_state;
-- his own view over somebody's table
INSERT INTO leadscore.model (name, target, source) VALUES ('att_mixed', 'lead', 'own_source');
SELECT leadscore.attach('att_mixed');
UPDATE leadscore.model SET target = 'own', source = 'lead_source' WHERE name = 'att_mixed';
SELECT leadscore.attach('att_mixed');
UPDATE leadscore.model SET target = 'own', source = 'own_source' WHERE name = 'att_mixed';
SELECT leads FROM leadscore.attach('att_mixed');
SELECT leadscore.watch('att_mixed', 'lead', 'id');
SELECT leadscore.watch('att_mixed', 'own', 'SELECT count(*)::integer FROM leadscore.att_state');
SET client_min_messages = error;
INSERT INTO own VALUES (2, 1);					-- it is read with his rights
SET client_min_messages = warning;
RESET ROLE;
SELECT lead_key, sqlstate, message FROM leadscore.problem WHERE model = 'att_mixed';
SELECT * FROM wrong('att_mixed');
SET ROLE regress_att_other;
SELECT leadscore.detach('att_mixed');
DELETE FROM leadscore.model WHERE name = 'att_mixed';
DROP VIEW own_source;
DROP TABLE own;
RESET ROLE;
-- what does the work is not to be called, but for what works with the caller's own rights
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'leadscore'::regnamespace
	AND p.provolatile = 'v' AND p.proname LIKE '\_%' AND has_function_privilege('regress_att_other', p.oid, 'EXECUTE')
	AND p.prorettype <> 'trigger'::regtype ORDER BY p.proname;
REVOKE ALL ON leadscore.model, leadscore.factor, leadscore.rule FROM regress_att_other;
REVOKE ALL ON lead FROM regress_att_other;
SELECT leadscore.attach('att_none');
SELECT leadscore.attach(NULL);
SELECT leadscore.detach(NULL);
SELECT leads FROM leadscore.attach('att', NULL);
SELECT leadscore.detach('att');
-- wherever names are looked up
SET search_path = pg_temp, pg_catalog;
SELECT leads FROM leadscore.attach('att');
INSERT INTO att.lead VALUES (16, 100);
SET search_path = att;
SELECT * FROM wrong('att');
SELECT leadscore.detach('att');

--
-- Keys
--
-- what becomes of an attempt
CREATE FUNCTION attempt(statement text, OUT code text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END
$$;
\pset expanded on
\pset format unaligned
\pset tuples_only on
CREATE TABLE composite (a integer, b integer, PRIMARY KEY (a, b));
CREATE TABLE keyless (a integer, b integer);
INSERT INTO leadscore.model (name, target) VALUES ('att_k1', 'composite'), ('att_k2', 'keyless');
SELECT * FROM attempt('SELECT leadscore.attach(''att_k1'')');
SELECT * FROM attempt('SELECT leadscore.attach(''att_k2'')');
UPDATE leadscore.model SET key_column = 'a' WHERE name IN ('att_k1', 'att_k2');
SELECT * FROM attempt('SELECT leadscore.attach(''att_k1'')');
-- these indexes do not make it unique
CREATE INDEX ON keyless (a);
CREATE UNIQUE INDEX ON keyless (a) WHERE b = 1;
CREATE UNIQUE INDEX ON keyless ((a + 0));
CREATE UNIQUE INDEX ON keyless (a, b);
SELECT * FROM attempt('SELECT leadscore.attach(''att_k2'')');
CREATE UNIQUE INDEX ON keyless (a) INCLUDE (b);
SELECT * FROM attempt('SELECT leadscore.attach(''att_k2'')');
SELECT leadscore.detach('att_k2');
CREATE TABLE misfit (b boolean UNIQUE, d date UNIQUE, t timestamptz UNIQUE, f double precision UNIQUE, j jsonb UNIQUE, y bytea UNIQUE, n name UNIQUE, a integer[] UNIQUE);
INSERT INTO leadscore.model (name, target) VALUES ('att_k3', 'misfit');
SELECT k, (attempt(format('UPDATE leadscore.model SET key_column = %L WHERE name = ''att_k3''; SELECT leadscore.attach(''att_k3'')', k))).*
FROM unnest('{b,d,t,f,j,y,n,a}'::name[]) k;
-- the source has a column of another type
CREATE VIEW text_source AS SELECT a::text AS a, b FROM keyless;
CREATE VIEW twice_source AS SELECT a, b FROM keyless UNION ALL SELECT a, b FROM keyless;
INSERT INTO leadscore.model (name, target, key_column, source) VALUES ('att_s2', 'keyless', 'a', 'text_source'), ('att_s3', 'keyless', 'a', 'twice_source');
SELECT * FROM attempt('SELECT leadscore.attach(''att_s2'')');
-- several rows with one key
INSERT INTO keyless VALUES (1, 1);
SELECT * FROM attempt('SELECT leadscore.attach(''att_s3'')');
CREATE TABLE parted (id integer, region integer) PARTITION BY LIST (region);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
INSERT INTO parted VALUES (1, 1), (1, 2);
INSERT INTO leadscore.model (name, target, key_column) VALUES ('att_p', 'parted', 'id');
SELECT * FROM attempt('SELECT leadscore.attach(''att_p'')');
-- what is no table of leads
CREATE TEMP TABLE fleeting (id integer PRIMARY KEY);
INSERT INTO leadscore.model (name, target) VALUES ('att_t', 'pg_temp.fleeting');
SELECT * FROM attempt('SELECT leadscore.attach(''att_t'')');
CREATE TABLE gone (id integer PRIMARY KEY);
INSERT INTO leadscore.model (name, target) VALUES ('att_g', 'gone');
DROP TABLE gone;
SELECT regexp_replace(a::text, '\d{4,}', 'N') FROM attempt('SELECT leadscore.attach(''att_g'')') a;
\pset expanded off
\pset format aligned
\pset tuples_only off
SELECT count(*) FROM leadscore.attachment WHERE model LIKE 'att%';
DELETE FROM leadscore.model WHERE name LIKE 'att\__' OR name LIKE 'att\___';
DROP TABLE composite, misfit, fleeting, parted;
DROP TABLE keyless CASCADE;

-- every type that may be a key: one attached with rows in it and one without,
-- with rows that wait for their key
CREATE TABLE key_type (type text, key_values text[], state_type text, state_collation text, wrong text, n bigint);
INSERT INTO key_type VALUES
	('smallint', '{1,-2,32767}'), ('integer', '{1,-2,2147483647}'), ('bigint', '{1,-2,9223372036854775807}'),
	('uuid', '{00000000-0000-0000-0000-000000000001,ffffffff-ffff-ffff-ffff-ffffffffffff,12345678-1234-1234-1234-123456789abc}'),
	('numeric', '{1.0,-2.50,1e30}'), ('numeric(20,3)', '{1,-2.5,12345678901234567.891}'),
	('text', '{b,"A ","Ä long one, of more than a hundred bytes: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'),
	('text COLLATE "C"', '{b,A,""}'), ('varchar', '{b,A,"c "}'), ('varchar(20)', '{b,A,"c "}'), ('varchar(20) COLLATE "POSIX"', '{b,A,c}'),
	('char(5)', '{b,abcde,"x y"}');
DO $$
DECLARE
	k	key_type;
BEGIN
	FOR k IN SELECT * FROM key_type LOOP
		EXECUTE format('CREATE TABLE typed (pk serial PRIMARY KEY, id %s UNIQUE, n integer)', k.type);
		INSERT INTO leadscore.model (name, target, key_column) VALUES ('att_key', 'typed', 'id');
		INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('att_key', 'all', 'fit', 'sum');
		INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('att_key', 'all', 'n > 5', 7);
		INSERT INTO typed (n) VALUES (10), (1);
		EXECUTE format('INSERT INTO typed (id, n) VALUES (%L, 10), (%L, 1)', k.key_values[1], k.key_values[2]);
		PERFORM leadscore.attach('att_key');
		k.wrong := concat_ws('; ', nullif(k.wrong, ''), 'attached: ' || (SELECT string_agg(w, ', ') FROM wrong('att_key') w));
		UPDATE typed SET n = 11 - n;
		DELETE FROM typed WHERE pk = 4;
		EXECUTE format('INSERT INTO typed (pk, n) VALUES (10, 10)');
		EXECUTE format('UPDATE typed SET id = %L WHERE pk = 10', k.key_values[3]);
		EXECUTE format('INSERT INTO typed (id, n) VALUES (%L, 1) ON CONFLICT (id) DO UPDATE SET n = 99', k.key_values[1]);
		k.wrong := concat_ws('; ', nullif(k.wrong, ''), 'written: ' || (SELECT string_agg(w, ', ') FROM wrong('att_key') w));
		EXECUTE format('UPDATE typed SET id = %L WHERE pk = 10', k.key_values[2]);
		PERFORM leadscore.rescore_step('att_key', 1, false) FROM generate_series(1, 6);
		k.wrong := concat_ws('; ', nullif(k.wrong, ''), 'rescored: ' || (SELECT string_agg(w, ', ') FROM wrong('att_key') w));
		SELECT format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation INTO k.state_type, k.state_collation
			FROM pg_attribute a WHERE attrelid = 'leadscore.att_key_state'::regclass AND attname = 'lead_key';
		-- what a dump would read back
		BEGIN
			EXECUTE format('CREATE TEMP TABLE restored (k %s)', k.state_type);
			EXECUTE (SELECT string_agg(format('INSERT INTO restored VALUES (%L)', lead_key::text), '; ') FROM leadscore.att_key_state);
			IF EXISTS (SELECT r.k::text FROM restored r EXCEPT SELECT lead_key::text FROM leadscore.att_key_state) THEN
				k.wrong := concat_ws('; ', nullif(k.wrong, ''), 'restored: not the same');
			END IF;
		EXCEPTION WHEN OTHERS THEN
			k.wrong := concat_ws('; ', nullif(k.wrong, ''), 'restored: ' || SQLERRM);
		END;
		DROP TABLE IF EXISTS restored;
		k.n := (SELECT count(*) FROM leadscore.att_key_state);
		UPDATE key_type SET state_type = k.state_type, state_collation = k.state_collation, wrong = k.wrong, n = k.n WHERE type = k.type;
		PERFORM leadscore.detach('att_key');
		DELETE FROM leadscore.model WHERE name = 'att_key';
		DROP TABLE typed;
	END LOOP;
END
$$;
SELECT type, CASE WHEN type NOT LIKE 'char(%' THEN state_type END AS state_type, state_collation, wrong, n FROM key_type ORDER BY type COLLATE "C";

--
-- Names that must be quoted, and the longest model
--
CREATE TABLE "Lead's ""table""" ("The Key" integer PRIMARY KEY, "select" integer, "Score" integer);
INSERT INTO "Lead's ""table""" VALUES (1, 100);
INSERT INTO leadscore.model (name, target) VALUES (rpad('att_', 40, 'x'), '"Lead''s ""table"""');
INSERT INTO leadscore.factor (model, name, axis) SELECT name, 'all', 'fit' FROM leadscore.model WHERE name LIKE 'att\_x%';
INSERT INTO leadscore.rule (model, factor, condition, points) SELECT name, 'all', '"select" > 5', 7 FROM leadscore.model WHERE name LIKE 'att\_x%';
SELECT leads FROM leadscore.model m, leadscore.attach(m.name, score_column => 'Score') WHERE name LIKE 'att\_x%';
SELECT leadscore.watch(name, '"Lead''s ""table"""', '"The Key" + 0') FROM leadscore.model WHERE name LIKE 'att\_x%';
INSERT INTO "Lead's ""table""" VALUES (2, 100), (3, 1) RETURNING "Score";
UPDATE "Lead's ""table""" SET "The Key" = 4 WHERE "The Key" = 2;
SELECT w.* FROM leadscore.model m, wrong(m.name) w WHERE name LIKE 'att\_x%';
SELECT count(*) FROM pg_trigger WHERE tgrelid = '"Lead''s ""table"""'::regclass;
TRUNCATE "Lead's ""table""";
SELECT count(*) FROM leadscore.att_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_scored;
SELECT leadscore.detach(name) FROM leadscore.model WHERE name LIKE 'att\_x%';
SELECT count(*) FROM pg_trigger WHERE tgrelid = '"Lead''s ""table"""'::regclass;
DELETE FROM leadscore.model WHERE name LIKE 'att\_x%';

--
-- Several models on one table, one of them through a view, one with the table as its source
--
INSERT INTO company VALUES (100, 'energy');
INSERT INTO leadscore.model (name, target, source) VALUES ('att_self', 'lead', 'lead');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('att_self', 'all', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('att_self', 'all', 'employees = 100', 3);
SET ROLE regress_att_owner;
SELECT leads, hot FROM leadscore.attach('att');
SELECT leads, hot FROM leadscore.attach('att_view');
SELECT leads, hot FROM leadscore.attach('att_self');
INSERT INTO lead VALUES (30, 100, 'director'), (31, 7, NULL);
UPDATE lead SET employees = 100 WHERE id = 31;
RESET ROLE;
SELECT 'att', w FROM wrong('att') w UNION ALL SELECT 'att_view', w FROM wrong('att_view') w UNION ALL SELECT 'att_self', w FROM wrong('att_self') w;
SELECT a.lead_key, a.score, v.score, s.score FROM leadscore.att_scored a JOIN leadscore.att_view_scored v USING (lead_key) JOIN leadscore.att_self_scored s USING (lead_key)
	WHERE a.lead_key >= 30 ORDER BY 1;
SELECT leadscore.detach('att_view');
UPDATE lead SET employees = 5 WHERE id > 30;
SELECT 'att', w FROM wrong('att') w UNION ALL SELECT 'att_self', w FROM wrong('att_self') w;
SELECT leadscore.detach('att_self');

--
-- An attached model is not to be changed under its triggers, nor the extension dropped
--
UPDATE leadscore.model SET target = 'company' WHERE name = 'att';
UPDATE leadscore.model SET source = 'lead_source' WHERE name = 'att';
UPDATE leadscore.model SET name = 'att2' WHERE name = 'att';
UPDATE leadscore.model SET key_column = 'employees' WHERE name = 'att';
UPDATE leadscore.model SET key_column = NULL WHERE name = 'att' RETURNING key_column;
DELETE FROM leadscore.model WHERE name = 'att';
UPDATE leadscore.model SET target = 'lead', name = 'att', description = 'x', score_max = 50 WHERE name = 'att';
UPDATE lead SET employees = 101;
SELECT max(score) FROM leadscore.att_scored;
SET session_replication_role = replica;
DELETE FROM leadscore.model WHERE name = 'att';
RESET session_replication_role;
UPDATE leadscore.model SET score_max = NULL WHERE name = 'att';
UPDATE lead SET employees = 102;
SELECT * FROM wrong('att');
\set VERBOSITY terse
BEGIN;
DROP EXTENSION leadscore;
ROLLBACK;
\set VERBOSITY default
-- a copy is a model of its own, not attached
SELECT leadscore.copy_model('att', 'att_copy');
SELECT leadscore.detach('att_copy');
SELECT leads FROM leadscore.attach('att_copy');
INSERT INTO lead VALUES (40, 100);
SELECT * FROM wrong('att_copy');
DELETE FROM leadscore.model WHERE name = 'att_copy';
SELECT leadscore.detach('att_copy');
DELETE FROM leadscore.model WHERE name = 'att_copy';
SELECT * FROM wrong('att');
-- an imported matrix replaces the rules of an attached model
SELECT leadscore.import_model(jsonb_set(leadscore.export_model('att'), '{rules,0,points}', '26'), replace => true);
INSERT INTO lead VALUES (41, 100);
SELECT score FROM leadscore.att_scored WHERE lead_key = 41;

--
-- The clock
--
CREATE TABLE clock_case (n integer, condition text);
INSERT INTO clock_case VALUES
	(1, 'created > now() - interval ''7 days'''),
	(2, 'now() - interval ''1 month'' < created AND employees > 5'),
	(3, 'created <= statement_timestamp()'),
	(4, 'extract(year FROM now()) = 2020'),
	(5, 'age(created) < interval ''1 year'''),
	(6, 'created::date = current_date'),
	(7, 'now() - created < interval ''7 days'''),
	(8, 'created > now() - make_interval(days => employees)'),
	(9, 'NOT (created > now())'),
	(10, 'created > now() OR employees = 3');
SELECT leadscore.detach('att');
CREATE TABLE clock_result (n integer, code text, message text, detail text, hint text);
DO $$
DECLARE
	c record;
	id bigint;
BEGIN
	FOR c IN SELECT * FROM clock_case ORDER BY n LOOP
		INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1310000 + c.n, 'att', 'all', c.condition, 1);
		INSERT INTO clock_result SELECT c.n, a.* FROM attempt('SELECT leadscore.attach(''att'')') a;
		PERFORM leadscore.detach('att');
		DELETE FROM leadscore.rule WHERE rule.id = 1310000 + c.n;
	END LOOP;
END
$$;
SELECT c.condition, r.code, r.message, r.hint FROM clock_case c JOIN clock_result r USING (n) ORDER BY n;
-- a rule that is written later is held to the same
SELECT leads FROM leadscore.attach('att');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1310020, 'att', 'all', 'extract(year FROM now()) > 2000', 1);
SELECT count(*) FROM leadscore.rule WHERE id = 1310020 AND enabled		-- refused, or at least told of
	AND NOT EXISTS (SELECT FROM leadscore.doctor('att') WHERE object = 'rule 1310020');
DELETE FROM leadscore.rule WHERE id = 1310020;
-- what time passes over is right when it is read
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1310021, 'att', 'all', 'created > now() - interval ''1 hour''', 100);
INSERT INTO lead VALUES (50, 100, NULL, now() - interval '59 minutes 59.5 seconds'), (51, 100, NULL, '2000-01-01'), (52, 100, NULL, 'infinity'), (53, 100, NULL, NULL);
SELECT lead_key, score >= 100 AS fresh, next_change_at - created AS due FROM leadscore.att_state JOIN lead ON id = lead_key WHERE lead_key >= 50 ORDER BY 1;
SELECT pg_sleep(0.6);
SELECT lead_key, s.score, s.temperature, s.grade, s.fit, s.disqualified, t.score AS stored FROM leadscore.att_scored s JOIN leadscore.att_state t USING (lead_key) WHERE lead_key >= 50 ORDER BY 1;
SELECT due_leads FROM leadscore.model_status WHERE model = 'att';
DELETE FROM leadscore.rule WHERE id = 1310021;
SELECT leadscore.detach('att');

--
-- Write-back
--
CREATE TYPE warmth AS ENUM ('cold', 'warm');
SET ROLE regress_att_owner;
CREATE TABLE written (
	id		integer PRIMARY KEY,
	n		integer,
	score	integer,
	temp	text,
	grade	varchar(2),
	stage	text,
	small	smallint,
	warmth	att.warmth,
	twice	integer GENERATED ALWAYS AS (n * 2) STORED,
	stamp	text
);
RESET ROLE;
INSERT INTO written (id, n) VALUES (1, 100), (2, 10);
INSERT INTO leadscore.model (name, target) VALUES ('att_wb', 'written');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('att_wb', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES
	('att_wb', 'all', 'n >= 50', 25), ('att_wb', 'all', 'n >= 90', 25), ('att_wb', 'all', 'n > 1000', 40000), ('att_wb', 'all', 'stamp = ''x''', 1);
CREATE VIEW written_back AS SELECT w.id, w.n, w.score, w.temp, w.grade, w.stage FROM written w ORDER BY id;
SET ROLE regress_att_owner;
SELECT leads FROM leadscore.attach('att_wb', score_column => 'score', temperature_column => 'temp', grade_column => 'grade', stage_column => 'stage');
RESET ROLE;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'written'::regclass AND tgname LIKE '~%';
-- columns that are not as the state has them
CREATE FUNCTION unlike() RETURNS TABLE (id integer, lead text, state text) LANGUAGE sql AS $$
	SELECT w.id, ROW(w.score, w.temp, w.grade, w.stage)::text, ROW(s.score, s.temperature, s.grade, s.stage)::text
	FROM att.written w LEFT JOIN leadscore.att_wb_scored s ON s.lead_key = w.id
	WHERE ROW(w.score, w.temp, w.grade, w.stage)::text <> ROW(s.score, s.temperature, s.grade, s.stage)::text ORDER BY 1
$$;
INSERT INTO written (id, n, score, temp) VALUES (3, 60, -1, 'boiling'), (4, 91, NULL, NULL) RETURNING id, score, temp, grade, stage;
UPDATE written SET n = 70 WHERE id = 2 RETURNING score, temp;
UPDATE written SET score = 0, temp = NULL, stage = 'customer' WHERE id = 3 RETURNING score, temp, stage;
INSERT INTO written (id, n) VALUES (4, 10), (5, 100) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING id, score;
COPY written (id, n, score) FROM stdin;
6	100	7
7	\N	7
\.
UPDATE written SET id = 8 WHERE id = 7;
SET session_replication_role = replica;
INSERT INTO written (id, n) VALUES (9, 60);
RESET session_replication_role;
SELECT * FROM written_back;
SELECT * FROM unlike();							-- those that were there before
UPDATE leadscore.att_wb_state SET stage = 'mql' WHERE lead_key = 3;
UPDATE written SET n = 61 WHERE id = 3 RETURNING stage;
CALL leadscore.rescore('att_wb', write_back => true);
SELECT * FROM unlike();
SELECT * FROM wrong('att_wb');
-- a row that is written without a change of what is read is set right, too; and the stage is the lead's
SELECT ctid AS place FROM leadscore.att_wb_state WHERE lead_key = 6 \gset
UPDATE written SET score = 99 WHERE id = 6 RETURNING score;
SELECT ctid = :'place' FROM leadscore.att_wb_state WHERE lead_key = 6;
-- behind the application's triggers
CREATE FUNCTION raise_n() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.n := 91; RETURN NEW; END $$;
CREATE TRIGGER zzz BEFORE INSERT OR UPDATE ON written FOR EACH ROW EXECUTE FUNCTION raise_n();
INSERT INTO written (id, n) VALUES (20, 1) RETURNING n, score;
DROP TRIGGER zzz ON written;
SELECT * FROM unlike();
-- a role without a right on anything of ours
GRANT SELECT, INSERT, UPDATE ON written TO regress_att_other;
BEGIN;
REVOKE ALL ON ALL ROUTINES IN SCHEMA leadscore FROM PUBLIC;
REVOKE USAGE ON SCHEMA leadscore FROM regress_att_other;
SET ROLE regress_att_other;
INSERT INTO written (id, n) VALUES (21, 60) RETURNING score, temp, grade, stage;
UPDATE written SET n = 1 WHERE id = 21 RETURNING score, temp, grade, stage;
RESET ROLE;
SELECT * FROM unlike();
ROLLBACK;
-- fewer columns, others, none
SELECT leads FROM leadscore.attach('att_wb', temperature_column => '', grade_column => '', stage_column => '', backfill => false);
SELECT score_column, temperature_column, grade_column, stage_column FROM leadscore.attachment WHERE model = 'att_wb';
INSERT INTO written (id, n, temp) VALUES (22, 60, 'mine') RETURNING score, temp;
SELECT leads > 0 FROM leadscore.attach('att_wb', score_column => 'small', temperature_column => 'warmth');
INSERT INTO written (id, n) VALUES (23, 60) RETURNING score, temp, small, warmth;
-- what a column does not take leaves it as it is, and is a problem
SET client_min_messages = error;
INSERT INTO written (id, n) VALUES (24, 91) RETURNING small, warmth;
INSERT INTO written (id, n, small) VALUES (25, 2000, 5) RETURNING small, warmth;
UPDATE written SET n = 2000 WHERE id = 23 RETURNING small, warmth;
SELECT lead_key, rule, sqlstate, message FROM leadscore.problem WHERE model = 'att_wb' ORDER BY 1, 4;
UPDATE written SET n = 60 WHERE id IN (23, 24, 25) RETURNING small, warmth;
SELECT lead_key, rule, sqlstate, message FROM leadscore.problem WHERE model = 'att_wb' ORDER BY 1, 4;
SET client_min_messages = warning;
SELECT * FROM wrong('att_wb');
-- a column that is dropped is written no longer
ALTER TABLE written DROP COLUMN small;
INSERT INTO written (id, n) VALUES (26, 60) RETURNING warmth;
SELECT leads > 0 FROM leadscore.attach('att_wb', score_column => '', temperature_column => '');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'written'::regclass AND tgname LIKE '~%';
INSERT INTO written (id, n) VALUES (27, 60) RETURNING score, temp, warmth;
SELECT * FROM wrong('att_wb');
SELECT leadscore.detach('att_wb');
-- what is refused
\pset expanded on
\pset format unaligned
\pset tuples_only on
SELECT * FROM attempt('SELECT leadscore.attach(''att_view'', score_column => ''employees'')');
SELECT * FROM attempt('SELECT leadscore.attach(''att_wb'', score_column => ''none'')');
SELECT * FROM attempt('SELECT leadscore.attach(''att_wb'', score_column => ''ctid'')');
SELECT * FROM attempt('SELECT leadscore.attach(''att_wb'', score_column => ''twice'')');
SELECT * FROM attempt('SELECT leadscore.attach(''att_wb'', score_column => ''n'')');
SELECT * FROM attempt('SELECT leadscore.attach(''att_wb'', grade_column => ''stamp'')');
SELECT message <> 'done' AS refused FROM attempt('SELECT leadscore.attach(''att_wb'', grade_column => ''id'')');		-- the key
SELECT message <> 'done' AS refused FROM attempt('SELECT leadscore.attach(''att_wb'', grade_column => ''grade'', stage_column => ''grade'')');
SELECT leadscore.detach('att_wb');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('att_wb', 'all', 'twice > 1', 1);
SELECT * FROM attempt('SELECT leadscore.attach(''att_wb'', score_column => ''score'')');
SELECT * FROM attempt('SELECT leads FROM leadscore.attach(''att_wb'')');
SELECT * FROM attempt('SELECT leads FROM leadscore.attach(''att_wb'', score_column => ''score'')');
\pset expanded off
\pset format aligned
\pset tuples_only off
SELECT leadscore.detach('att_wb');
DELETE FROM leadscore.model WHERE name = 'att_wb';
-- partitions
CREATE TABLE parted (score integer, id integer, n integer, region integer) PARTITION BY LIST (region);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 (region integer, n integer, id integer, score integer);
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES IN (2);
INSERT INTO leadscore.model (name, target, key_column) VALUES ('att_wp', 'parted', 'id');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('att_wp', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('att_wp', 'all', 'n >= 50', 25), ('att_wp', 'all', 'region = 2', 1);
SELECT leads FROM leadscore.attach('att_wp', score_column => 'score');
INSERT INTO parted (id, n, region) VALUES (1, 60, 1), (2, 60, 2) RETURNING tableoid::regclass, score;
INSERT INTO parted_2 (id, n, region) VALUES (3, 1, 2) RETURNING score;
UPDATE parted SET region = 3 - region RETURNING id, score;
SELECT * FROM wrong('att_wp');
SELECT leadscore.detach('att_wp');
DELETE FROM leadscore.model WHERE name = 'att_wp';
DROP TABLE parted;

-- an event writes the lead's row only if that shows what it changed
CREATE TABLE shown (id integer PRIMARY KEY, temperature text, grade text);
CREATE TABLE shown_event (lead integer, at timestamptz);
CREATE INDEX ON shown_event (lead);
INSERT INTO leadscore.model (name, target) VALUES ('att_shown', 'shown');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('att_shown', 'events', 'engagement');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('att_shown', 'event', 'shown_event', 'lead', 'at');
INSERT INTO leadscore.rule (model, factor, activity, condition, points) VALUES ('att_shown', 'events', 'event', 'true', 21);
SELECT leads FROM leadscore.attach('att_shown', temperature_column => 'temperature');
INSERT INTO shown VALUES (1);
CREATE TEMP TABLE row_before AS SELECT ctid AS row, temperature FROM shown;
INSERT INTO shown_event VALUES (1, now());		-- another grade, still cold
SELECT s.grade, l.ctid = b.row AS untouched, l.temperature FROM shown l, row_before b, leadscore.att_shown_scored s;
INSERT INTO shown_event VALUES (1, now());		-- warm
SELECT s.grade, l.ctid = b.row AS untouched, l.temperature FROM shown l, row_before b, leadscore.att_shown_scored s;
SELECT leads FROM leadscore.attach('att_shown', temperature_column => '', grade_column => 'grade');
CALL leadscore.rescore('att_shown', write_back => true);
UPDATE row_before SET row = (SELECT ctid FROM shown);
INSERT INTO shown_event VALUES (1, now());		-- hot, and the grade was the best
SELECT s.temperature, s.grade, l.ctid = b.row AS untouched, l.grade FROM shown l, row_before b, leadscore.att_shown_scored s;
-- rules would run with the rights of who reads the tables
CREATE RULE r AS ON UPDATE TO leadscore.att_shown_state DO ALSO SELECT 1;
CREATE RULE r AS ON UPDATE TO shown DO ALSO SELECT 1;
DROP RULE r ON shown;
-- PostgreSQL 15 makes a view of an empty table that has nothing else on it; later ones refuse that themselves
CREATE TABLE bare (id integer NOT NULL);
INSERT INTO leadscore.model (name, target, key_column) VALUES ('att_bare', 'bare', 'id');
CREATE UNIQUE INDEX bare_key ON bare (id);
SELECT leads FROM leadscore.attach('att_bare');
DROP INDEX bare_key;
DO $$
DECLARE t record;
BEGIN
	FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'bare'::regclass LOOP
		EXECUTE format('DROP TRIGGER %I ON bare', t.tgname);
	END LOOP;
END
$$;
VACUUM bare;
DO $$
BEGIN
	CREATE RULE "_RETURN" AS ON SELECT TO bare DO INSTEAD SELECT 1 AS id;
	RAISE 'the table is a view';
EXCEPTION WHEN object_in_use OR wrong_object_type THEN
	RAISE NOTICE 'refused';
END
$$;
SELECT relkind FROM pg_class WHERE oid = 'bare'::regclass;
SELECT leadscore.detach('att_bare');
DELETE FROM leadscore.model WHERE name = 'att_bare';
DROP TABLE bare;
SELECT leadscore.detach('att_shown');
DELETE FROM leadscore.model WHERE name = 'att_shown';
DROP TABLE shown, shown_event, row_before;

--
-- The scored view is for every tool, and tells what it shows
--
SELECT leads FROM leadscore.attach('att');
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type, t.typnamespace::regnamespace, col_description(a.attrelid, a.attnum) IS NOT NULL AS commented
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = 'leadscore.att_scored'::regclass ORDER BY a.attnum;
SELECT a.attname FROM pg_attribute a WHERE a.attrelid = 'leadscore.att_state'::regclass AND a.attnum > 0 AND col_description(a.attrelid, a.attnum) IS NULL;
SELECT c.relname, c.reloptions FROM pg_class c WHERE c.relname = 'att_scored';
SELECT obj_description('leadscore.att_scored'::regclass), obj_description('leadscore.att_state'::regclass);
-- no column of the leads' table is tied down by it
BEGIN;
ALTER TABLE lead DROP COLUMN created CASCADE;
ALTER TABLE lead ALTER COLUMN employees TYPE bigint;
ALTER TABLE lead ADD COLUMN more text;
INSERT INTO lead (id, employees, title) VALUES (60, 100, 'director');
SELECT score FROM leadscore.att_scored WHERE lead_key = 60;
ROLLBACK;

--
-- Who sees which scores
--
TRUNCATE lead;
INSERT INTO lead VALUES (1, 100, 'director'), (2, 100, NULL), (3, 1, NULL);
SET ROLE regress_att_reader;
SELECT lead_key, score FROM leadscore.att_scored ORDER BY 1;
SELECT lead_key, score FROM leadscore.att_state ORDER BY 1;
SELECT leadscore._live('att', 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, 1);
SET ROLE regress_att_owner;
GRANT SELECT ON leadscore.att_scored TO regress_att_reader;
SET ROLE regress_att_reader;
SELECT lead_key, score FROM leadscore.att_scored ORDER BY 1;
SET ROLE regress_att_owner;
GRANT SELECT ON leadscore.att_state TO regress_att_reader;
SET ROLE regress_att_reader;
PREPARE seen AS SELECT lead_key, score FROM leadscore.att_scored ORDER BY 1;
EXECUTE seen;									-- needs no right on the leads
UPDATE leadscore.att_state SET score = 0;
-- with row security on the leads
SET ROLE regress_att_owner;
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY some_leads ON lead FOR SELECT TO regress_att_reader USING (id <> 2);
SET ROLE regress_att_reader;
EXECUTE seen;
SET ROLE regress_att_owner;
GRANT SELECT ON lead TO regress_att_reader;
SET ROLE regress_att_reader;
EXECUTE seen;
SELECT lead_key, temperature FROM leadscore.att_state ORDER BY 1;
SELECT leadscore.lead_visible('att', 1), leadscore.lead_visible('att', 2), leadscore.lead_visible('att', 4), leadscore.lead_visible('att', NULL::integer), leadscore.lead_visible('att_none', 1);
SET row_security = off;
EXECUTE seen;
RESET row_security;
SET plan_cache_mode = force_generic_plan;
EXECUTE seen;
SET ROLE regress_att_owner;
EXECUTE seen;									-- the owner sees all
RESET ROLE;
EXECUTE seen;
RESET plan_cache_mode;
ALTER TABLE lead FORCE ROW LEVEL SECURITY;
SET ROLE regress_att_owner;
EXECUTE seen;									-- unless he said otherwise
INSERT INTO lead VALUES (4, 100, 'director');
RESET ROLE;
INSERT INTO lead VALUES (4, 100, 'director');
SELECT * FROM wrong('att');						-- scored all the same
SET ROLE regress_att_reader;
EXECUTE seen;
SELECT count(*), max(score) FROM leadscore.att_scored WHERE score > 0;
RESET ROLE;
ALTER TABLE lead NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
SET ROLE regress_att_reader;
EXECUTE seen;
-- a policy that looks at who is asking, and a statement whose role changes
RESET ROLE;
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON lead, leadscore.att_state, leadscore.att_scored TO regress_att_other;
CREATE POLICY others ON lead FOR SELECT USING (title = current_user);
UPDATE lead SET title = 'regress_att_other' WHERE id = 2;
SET ROLE regress_att_other;
EXECUTE seen;
SET ROLE regress_att_reader;
EXECUTE seen;
-- status of what one may see
RESET ROLE;
GRANT SELECT ON leadscore.model, leadscore.activity_source, leadscore.rule, leadscore.problem, leadscore.attachment, leadscore.watched, leadscore.unsettled_lead, leadscore.pending_activity, leadscore.model_status TO regress_att_reader, regress_att_other;
REVOKE ALL ON leadscore.att_state FROM regress_att_other;
SET ROLE regress_att_reader;
SELECT model, attached, leads, stale_leads, triggers_present = triggers_expected AS complete FROM leadscore.model_status WHERE model = 'att';
SET ROLE regress_att_other;
SELECT model, attached, leads, stale_leads, triggers_present = triggers_expected AS complete FROM leadscore.model_status WHERE model = 'att';
RESET ROLE;
DEALLOCATE seen;

--
-- Nothing is left
--
REVOKE ALL ON leadscore.model, leadscore.activity_source, leadscore.rule, leadscore.problem, leadscore.attachment, leadscore.watched, leadscore.unsettled_lead, leadscore.pending_activity, leadscore.model_status FROM regress_att_reader, regress_att_other;
REVOKE USAGE ON SCHEMA leadscore FROM regress_att_owner, regress_att_other, regress_att_reader;
SELECT model, leadscore.detach(model) FROM leadscore.attachment WHERE model LIKE 'att%' ORDER BY 1;
DELETE FROM leadscore.model WHERE name LIKE 'att%';
DROP SCHEMA att CASCADE;
DROP ROLE regress_att_member, regress_att_owner, regress_att_other, regress_att_reader;
SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname LIKE 'att\_%';
