-- What becomes of history when its model is renamed or deleted, and when a lead
-- changes its key
SET client_min_messages = warning;
CREATE SCHEMA hst;
SET search_path = hst, pg_catalog;
CREATE ROLE regress_hst_crm;
CREATE ROLE regress_hst_dba;
GRANT USAGE ON SCHEMA hst, leadscore TO regress_hst_crm, regress_hst_dba;
CREATE TABLE lead (id integer PRIMARY KEY, n integer);
CREATE TABLE call (lead integer, at timestamptz DEFAULT now());
ALTER TABLE lead OWNER TO regress_hst_crm;
ALTER TABLE call OWNER TO regress_hst_crm;
INSERT INTO lead SELECT g, g FROM generate_series(1, 3) g;

INSERT INTO leadscore.model (name, target) VALUES ('hst', 'lead'), ('hst_other', 'lead');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('hst', 'f', 'fit'), ('hst', 'e', 'engagement'), ('hst_other', 'f', 'fit');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('hst', 'call', 'call', 'lead', 'at');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('hst', 'f', 'n >= 5', 50), ('hst_other', 'f', 'n >= 5', 40);
INSERT INTO leadscore.rule (model, factor, condition, points, activity) VALUES ('hst', 'e', 'true', 1, 'call');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES ('hst', 'lead', 'mql', 'scored.score >= 50', true), ('hst', 'mql', 'sql', NULL, false);
INSERT INTO leadscore.playbook (model, action) VALUES ('hst', 'call');
SELECT (leadscore.attach('hst')).leads, (leadscore.attach('hst_other')).leads;
UPDATE lead SET n = 5 WHERE id = 1;
SELECT leadscore.move('hst', 1, 'sql', 'she called');

CREATE VIEW told AS
	SELECT model, lead_key AS lead, row_number() OVER (PARTITION BY model, lead_key ORDER BY at, xact, xact_order) AS n,
		cause, from_stage, to_stage, score, reason
	FROM leadscore.history WHERE model LIKE 'hst%';

--
-- A model that is renamed takes its history along
--
UPDATE leadscore.model SET name = 'hst_new' WHERE name = 'hst';
SELECT leadscore.detach('hst');
-- of whatever partition, one without an index as well
SELECT leadscore.add_history_partition('2000-01-01', '2001-01-01', 'hst_past');
CREATE TABLE older PARTITION OF leadscore.history FOR VALUES FROM ('1999-01-01') TO ('2000-01-01');
INSERT INTO leadscore.history (at, model, lead_key, cause, to_stage, temperature, grade, score, fit, engagement)
SELECT at, 'hst', 'old', 'row', 'lead', 'cold', 'D4', 0, 0, 0 FROM unnest('{1999-05-05,2000-05-05}'::timestamptz[]) at;
SELECT max(position) AS seen FROM leadscore.changes() \gset
CREATE TABLE before AS SELECT * FROM leadscore.history WHERE model = 'hst';
UPDATE leadscore.model SET name = 'hst_new' WHERE name = 'hst';
SELECT model, count(*) FROM told GROUP BY model ORDER BY model;
-- nothing else of a row has changed
UPDATE before SET model = 'hst_new';
SELECT count(*) FROM (TABLE before EXCEPT TABLE leadscore.history) changed;
SELECT tableoid::regclass, count(*) FROM leadscore.history WHERE model = 'hst_new' GROUP BY 1 ORDER BY 1::text;
SELECT stage, from_stage, left_at IS NULL AS open FROM leadscore.stage_visit WHERE model = 'hst_new' AND lead_key = '1' ORDER BY visit;
SELECT leadscore.stage_at('hst_new', 1, now()), leadscore.stage_at('hst', 1, now()) AS old_name;
-- and nobody is told anew
SELECT count(*) FROM leadscore.changes(:'seen');
SELECT (leadscore.attach('hst_new')).leads;
UPDATE lead SET n = 4 WHERE id = 1;
SELECT * FROM told WHERE model = 'hst_new' AND lead = '1' ORDER BY n;
-- two that change places
SELECT leadscore.detach('hst_new'), leadscore.detach('hst_other');
SELECT count(*) AS other FROM told WHERE model = 'hst_other' \gset
BEGIN;
UPDATE leadscore.model SET name = 'hst_third' WHERE name = 'hst_new';
UPDATE leadscore.model SET name = 'hst_new' WHERE name = 'hst_other';
UPDATE leadscore.model SET name = 'hst_other' WHERE name = 'hst_third';
SELECT model, count(*) = :other AS others FROM told GROUP BY model ORDER BY model;
ROLLBACK;
-- whoever may write models need not have a right on history
GRANT SELECT, UPDATE ON leadscore.model, leadscore.threshold TO regress_hst_crm;
SET ROLE regress_hst_crm;
UPDATE leadscore.model SET name = 'hst' WHERE name = 'hst_new';
RESET ROLE;
SELECT model, count(*) = :other AS others FROM told GROUP BY model ORDER BY model;
SELECT leadscore.forget('hst', 'old') ->> 'history' AS forgotten;
DROP TABLE leadscore.hst_past, older;
-- nothing lets others write
UPDATE leadscore.history SET model = 'hst_x' WHERE model = 'hst';
CREATE TABLE copy (LIKE leadscore.model);
CREATE TRIGGER rename AFTER UPDATE ON copy FOR EACH ROW EXECUTE FUNCTION leadscore.rename_history();
INSERT INTO copy SELECT * FROM leadscore.model WHERE name = 'hst';
UPDATE copy SET name = 'hst_other';
-- a transaction that began before what it is to rename
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 AS begun FROM leadscore.model;
UPDATE leadscore.model SET name = 'hst_new' WHERE name = 'hst';
SELECT model, count(*) = :other AS others FROM told GROUP BY model ORDER BY model;
ROLLBACK;

--
-- A model that is deleted leaves its history behind, for its owner to erase
--
GRANT SELECT ON told TO regress_hst_dba;
GRANT CREATE ON SCHEMA leadscore TO regress_hst_dba;
ALTER TABLE leadscore.history OWNER TO regress_hst_dba;
ALTER TABLE leadscore.history_default OWNER TO regress_hst_dba;
DELETE FROM leadscore.model WHERE name = 'hst_other';
SELECT lead, count(*) FROM told WHERE model = 'hst_other' GROUP BY lead ORDER BY lead;
SELECT count(*) > 0 AS visits FROM leadscore.stage_visit WHERE model = 'hst_other';
SELECT lead_key, cause FROM leadscore.changes(of_model => 'hst_other') ORDER BY 1, 2;
UPDATE leadscore.model SET name = 'hst_other' WHERE name = 'hst';
SET ROLE regress_hst_crm;
SELECT leadscore.forget('hst_other', '1');
SELECT leadscore.drop_history('hst_other', 'infinity');
SELECT leadscore.forget('hst_never', '1');
SET ROLE regress_hst_dba;
-- of a model that is there it is for the owner of the leads
SELECT leadscore.forget('hst', '1');
SELECT leadscore.drop_history('hst', 'infinity');
SELECT leadscore.forget('hst_other', '1') ->> 'history' AS forgotten;
SELECT lead, count(*) FROM told WHERE model = 'hst_other' GROUP BY lead ORDER BY lead;
SELECT leadscore.forget('hst_other', '1') ->> 'history' AS forgotten;
SELECT leadscore.drop_history('hst_other', 'infinity') > 0 AS dropped;
SELECT leadscore.drop_history('hst_other', 'infinity');
RESET ROLE;
SELECT count(*) FROM told WHERE model = 'hst_other';
DO $$
BEGIN
	EXECUTE format('ALTER TABLE leadscore.history OWNER TO %I', current_user);
	EXECUTE format('ALTER TABLE leadscore.history_default OWNER TO %I', current_user);
END
$$;
-- the name is free again
UPDATE leadscore.model SET name = 'hst_other' WHERE name = 'hst';
UPDATE leadscore.model SET name = 'hst' WHERE name = 'hst_other';

--
-- To be forgotten under all keys that one had
--
SELECT (leadscore.attach('hst')).leads;
CREATE VIEW kept AS SELECT lead, string_agg(cause || coalesce(' (' || reason || ')', ''), ', ' ORDER BY n) AS causes FROM told GROUP BY lead;
INSERT INTO call VALUES (2), (3);
-- Anna is 2, then 20, then 200
UPDATE lead SET id = 20 WHERE id = 2;
INSERT INTO call VALUES (20);
UPDATE lead SET n = 9 WHERE id = 20;
SELECT count(*) FROM leadscore.acknowledge_action('hst', 20);
INSERT INTO leadscore.sla_breach (model, lead_key, stage, started_at, deadline) VALUES ('hst', '20', 'mql', now(), now());
UPDATE lead SET id = 200 WHERE id = 20;
-- Ben, who was 3, gets her key, and Carl the one that she had first
UPDATE lead SET id = 20 WHERE id = 3;
INSERT INTO lead VALUES (2, 7);
INSERT INTO leadscore.sla_breach (model, lead_key, stage, started_at, deadline) VALUES ('hst', '20', 'mql', now(), now());
SELECT count(*) FROM leadscore.acknowledge_action('hst', 2);
SELECT * FROM kept ORDER BY lead COLLATE "C";
-- the row that tells of a key is told in any language
SET leadscore.language = 'pl';
SELECT cause, reason FROM leadscore.changes('hst', '200', now() - interval '1 hour') WHERE kind = 'event';
RESET leadscore.language;
SELECT former_key, since IS NOT NULL AS came_later, before IS NOT NULL AS given_away FROM leadscore._former_keys('hst', '200') ORDER BY 1;
SELECT lead_key, lead_exists FROM leadscore.hst_state ORDER BY 1;
DELETE FROM lead WHERE id = 200;
SELECT leadscore.forget('hst', '200');
-- what is Ben's and Carl's is left
SELECT * FROM kept ORDER BY lead COLLATE "C";
SELECT lead_key, lead_exists FROM leadscore.hst_state ORDER BY 1;
SELECT lead_key FROM leadscore.sla_breach WHERE model = 'hst' UNION ALL SELECT lead_key FROM leadscore.playbook_progress WHERE model = 'hst' ORDER BY 1;
-- keys that nobody has got since are erased altogether
DELETE FROM lead WHERE id = 20;
SELECT leadscore.forget('hst', '20');
SELECT * FROM kept ORDER BY lead COLLATE "C";
SELECT lead_key, lead_exists FROM leadscore.hst_state ORDER BY 1;
-- there and back again, in one transaction and in one command
BEGIN;
UPDATE lead SET id = 10 WHERE id = 1;
UPDATE lead SET id = 1 WHERE id = 10;
COMMIT;
ALTER TABLE lead DROP CONSTRAINT lead_pkey, ADD PRIMARY KEY (id) DEFERRABLE;
UPDATE lead SET id = 3 - id;
SELECT lead, causes FROM kept ORDER BY lead COLLATE "C";
SELECT former_key FROM leadscore._former_keys('hst', '1') ORDER BY 1;
SELECT former_key FROM leadscore._former_keys('hst', '2') ORDER BY 1;
-- a reason that somebody gives tells of no key
SELECT leadscore.pin('hst', 2, 'infinity', 'was 1');
SELECT leadscore.forget('hst', '2') ->> 'former_keys' AS former_keys;
SELECT * FROM kept ORDER BY lead COLLATE "C";
SELECT leadscore.forget('hst', '1') ->> 'former_keys' AS former_keys;
SELECT count(*) FROM told;

-- one who came while the model was detached is another lead as well
INSERT INTO lead VALUES (31);
SELECT leadscore.detach('hst'), (leadscore.attach('hst')).leads;
UPDATE lead SET id = 32 WHERE id = 31;
SELECT leadscore.detach('hst');
INSERT INTO lead VALUES (31);
SELECT (leadscore.attach('hst')).leads;
SELECT * FROM kept WHERE lead ~ '3.' ORDER BY lead COLLATE "C";
SELECT leadscore.forget('hst', '32') ->> 'history' AS forgotten;
SELECT * FROM kept WHERE lead ~ '3.' ORDER BY lead COLLATE "C";

SELECT leadscore.detach('hst');
DELETE FROM leadscore.model WHERE name LIKE 'hst%';
SELECT leadscore._delete_history('hst', NULL, NULL) >= 0 AS cleared;
SET client_min_messages = error;
DROP SCHEMA hst CASCADE;
DROP OWNED BY regress_hst_crm, regress_hst_dba;
DROP ROLE regress_hst_crm, regress_hst_dba;
