--
-- stage_review: what could go wrong with stages and their history besides: the
-- application's write goes through whatever the history and the transitions
-- look like, time turns every condition at its own moment, and nobody learns of
-- leads that are not his
--
SET client_min_messages = error;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA stage_review;
SET search_path = stage_review, leadscore, public;
SET TimeZone = 'UTC';

CREATE TABLE lead (id integer PRIMARY KEY, employees integer, status character(8), won boolean);
CREATE TABLE event (lead integer, kind text, at timestamptz);
CREATE INDEX ON event (lead);
CREATE VIEW source AS SELECT id, 100 / nullif(employees, 1) AS inverse, employees FROM lead;
INSERT INTO model (name, target, status, stage_mode) VALUES
	('rev', 'lead', NULL, 'lead'), ('rev_apart', 'lead', NULL, 'lead'), ('rev_through', 'lead', NULL, 'lead'), ('rev_status', 'lead', 'status', 'follow'), ('rev_won', 'lead', 'won', 'follow');
UPDATE model SET source = 'source' WHERE name = 'rev_through';
INSERT INTO factor (model, name, axis) SELECT name, 'size', 'fit' FROM model WHERE name ~ '^rev';
INSERT INTO factor (model, name, axis) VALUES ('rev', 'interest', 'engagement');
INSERT INTO rule (model, factor, condition, points) SELECT name, 'size', 'employees >= 50', 30 FROM model WHERE name ~ '^rev';
INSERT INTO rule (model, factor, condition, points) VALUES ('rev_through', 'size', 'inverse > 50', 1);
INSERT INTO activity_source (model, name, relation, lead_key, occurred_at) VALUES ('rev', 'click', 'event', 'lead', 'at');
INSERT INTO rule (model, factor, activity, condition, points, half_life) VALUES ('rev', 'interest', 'click', $$kind = 'click'$$, 20, '7 days');
INSERT INTO rule (model, factor, activity, condition, points, inactive_for, disqualifies) VALUES ('rev', 'interest', 'click', $$kind = 'click'$$, 0, '300 days', true);
INSERT INTO stage_map (model, status, stage) VALUES
	('rev_status', 'new', 'lead'), ('rev_status', 'hot', 'sql'), ('rev_won', 'false', 'lead'), ('rev_won', 'true', 'customer');
SELECT count(attach(name)) FROM model WHERE name ~ '^rev' AND name <> 'rev_apart';

--
-- Transitions are written while a model is attached, too
--
INSERT INTO transition (model, from_stage, to_stage, condition, automatic) VALUES
	('rev', 'lead', 'mql', 'scored.score >= 45', true), ('rev', 'mql', 'nurture', NULL, false),
	('rev', 'nurture', 'mql', 'scored.score >= 45', true), ('rev', 'lead', 'disqualified', 'scored.disqualified', true);
-- a cast that rounds would turn at another value than it says
INSERT INTO transition (model, from_stage, to_stage, condition) VALUES ('rev', 'mql', 'sql', 'scored.engagement::bigint > 4');
INSERT INTO transition (model, from_stage, to_stage, condition) VALUES ('rev', 'mql', 'sql', 'scored.engagement::numeric > 4 AND scored.score::bigint > 4');
-- no other than about what time does
INSERT INTO transition (model, from_stage, to_stage, condition) VALUES ('rev', 'mql', 'pql', 'now() > now() - interval ''1 day''');

--
-- A cold lead is disqualified by time alone
--
INSERT INTO lead VALUES (1, 1), (2, 1);
INSERT INTO event VALUES (1, 'click', now() - interval '299 days'), (2, 'click', now() - interval '400 days');
SELECT s.lead_key, s.stage, s.disqualified, s.temperature, s.next_change_at = e.at + interval '300 days' AS then_disqualified
FROM rev_state s JOIN event e ON e.lead = s.lead_key ORDER BY 1;

--
-- Nurture remembers what did not hold whatever other transitions there are; a
-- cool-down may be as long as one likes
--
UPDATE model SET cooldown = '106751991 days' WHERE name = 'rev';
INSERT INTO lead VALUES (3, 100);
INSERT INTO event VALUES (3, 'click', now());
SELECT move('rev', 3, 'nurture');
INSERT INTO event VALUES (3, 'click', now());
SELECT stage FROM rev_state WHERE lead_key = 3;
INSERT INTO transition (model, from_stage, to_stage, condition, automatic) VALUES ('rev', 'nurture', 'lead', 'employees = 7', true);
UPDATE lead SET employees = 101 WHERE id = 3;
DELETE FROM transition WHERE model = 'rev' AND from_stage = 'nurture' AND to_stage = 'lead';
UPDATE lead SET employees = 102 WHERE id = 3;
SELECT stage FROM rev_state WHERE lead_key = 3;

--
-- Transitions that lead round and round are left where they began
--
BEGIN;
-- such as a server that was without the trigger would have let in
ALTER TABLE leadscore.transition DISABLE TRIGGER check_cycles_of_inserted;
ALTER TABLE leadscore.transition DISABLE TRIGGER check_cycles_of_updated;
INSERT INTO transition (model, from_stage, to_stage, automatic) VALUES
	('rev_through', 'lead', 'prospect', true), ('rev_through', 'prospect', 'pql', true), ('rev_through', 'pql', 'lead', true);
INSERT INTO lead VALUES (4, 100);
UPDATE lead SET employees = 101 WHERE id = 4;
SELECT from_stage, to_stage, cause FROM history WHERE model = 'rev_through' AND lead_key = '4' ORDER BY at, xact, xact_order;
SELECT lead_key, message FROM problem WHERE model = 'rev_through';
ROLLBACK;

--
-- A history that cannot be written costs no lead
--
BEGIN;
ALTER TABLE history DETACH PARTITION history_default;
CREATE TABLE history_old PARTITION OF history FOR VALUES FROM ('2000-01-01') TO ('2001-01-01');
INSERT INTO lead VALUES (5, 100);
SELECT stage FROM rev_state WHERE lead_key = 5;
SELECT model, lead_key, message FROM problem WHERE model ~ '^rev' ORDER BY 1;
ROLLBACK;
BEGIN;
ALTER TABLE history RENAME rules TO rules_before;
ALTER TABLE history ADD rules text;
INSERT INTO lead VALUES (6, 100);
SELECT stage FROM rev_state WHERE lead_key = 6;
ROLLBACK;
-- expressions in its indexes are evaluated as its owner
CREATE ROLE regress_stage_review_app;
GRANT USAGE ON SCHEMA stage_review, leadscore TO regress_stage_review_app;
GRANT INSERT, SELECT, UPDATE ON lead TO regress_stage_review_app;
BEGIN;
CREATE FUNCTION as_owner(text) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS
	$$BEGIN IF current_user = 'regress_stage_review_app' THEN RAISE 'as %', current_user; END IF; RETURN 1; END$$;
CREATE INDEX ON history (stage_review.as_owner(lead_key)) WHERE stage_review.as_owner(model) = 1;
SET LOCAL ROLE regress_stage_review_app;
INSERT INTO lead VALUES (7, 100);
ROLLBACK;

--
-- A lead that cannot be read is not moved
--
INSERT INTO lead VALUES (8, 0);
UPDATE lead SET employees = 100 WHERE id = 8;
INSERT INTO rule (model, factor, condition, points) VALUES ('rev_through', 'size', 'employees = 0', 1);
CREATE OR REPLACE VIEW source AS SELECT id, 100 / (employees - 100) AS inverse, employees FROM lead;
SELECT move('rev_through', 8, 'sql');
CREATE OR REPLACE VIEW source AS SELECT id, 100 / nullif(employees, 1) AS inverse, employees FROM lead;
SELECT move('rev_through', 8, 'sql');

--
-- A status is compared as status::text shows it
--
INSERT INTO lead VALUES (9, 1, 'hot', true), (10, 1, 'new', false);
SELECT s.lead_key, s.status, s.stage, w.status AS won, w.stage AS won_stage
FROM rev_status_state s JOIN rev_won_state w USING (lead_key) WHERE lead_key IN (9, 10) ORDER BY 1;

--
-- Whoever hangs guard_stage() on a table of his own learns nothing of others' leads
--
GRANT CREATE ON SCHEMA stage_review TO regress_stage_review_app;
SET ROLE regress_stage_review_app;
CREATE TABLE mine (id integer, stage lead_stage);
INSERT INTO mine VALUES (3, 'lead');
CREATE TRIGGER guard BEFORE UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION guard_stage('rev');
UPDATE mine SET stage = 'mql';
RESET ROLE;
ALTER TABLE mine OWNER TO CURRENT_USER;
GRANT UPDATE ON mine TO regress_stage_review_app;
SET ROLE regress_stage_review_app;
UPDATE mine SET stage = 'mql';
RESET ROLE;
SELECT stage FROM mine;
-- a model that is not attached, and another that does not know the lead: it has no points
INSERT INTO transition (model, from_stage, to_stage, condition) VALUES
	('rev_apart', 'lead', 'mql', $$scored.score >= 45 OR scored.grade = 'A1'$$), ('rev_apart', 'lead', 'pql', 'scored.score = 0 AND scored.temperature = ''cold''');
CREATE TABLE apart (id integer, stage lead_stage);
INSERT INTO apart VALUES (3, 'lead'), (777, 'lead');
CREATE TRIGGER guard BEFORE UPDATE ON apart FOR EACH ROW EXECUTE FUNCTION guard_stage('rev_apart');
UPDATE apart SET stage = 'mql' WHERE id = 3;
UPDATE apart SET stage = 'pql';
INSERT INTO mine VALUES (777, 'lead');
UPDATE mine SET stage = 'mql' WHERE id = 777;

--
-- Whoever owns a state table may spoil it
--
BEGIN;
-- NULLs where there are none
ALTER TABLE rev_state ALTER temperature DROP NOT NULL, ALTER announced DROP NOT NULL, ALTER grade DROP NOT NULL;
UPDATE rev_state SET temperature = NULL, announced = NULL, grade = NULL WHERE lead_key = 3;
SELECT move('rev', 3, 'nurture');
UPDATE rev_state SET temperature = NULL, announced = NULL, grade = NULL WHERE lead_key IN (1, 3);
INSERT INTO transition (model, from_stage, to_stage) VALUES ('rev', 'lead', 'prospect');
UPDATE rev_state SET stage = 'prospect' WHERE lead_key = 1;
UPDATE lead SET employees = 10 WHERE id IN (1, 3);
SELECT lead_key, temperature, announced, grade FROM rev_state WHERE lead_key IN (1, 3) ORDER BY 1;
ROLLBACK;

--
-- Rows that were restored bear numbers of transactions that are still to come:
-- they are told once
--
INSERT INTO history (at, xact, recorded_at, model, lead_key, cause, to_stage, temperature, grade, score, fit, engagement, disqualified)
VALUES ('2020-01-01', (pg_current_xact_id()::text::bigint + 1000000)::text::xid8, '2020-01-01', 'rev', 'old', 'row', 'lead', 'cold', 'A1', 1, 1, 1, false);
SELECT max(position) AS seen, count(*) FILTER (WHERE lead_key = 'old') AS old FROM changes(of_model => 'rev') \gset
SELECT :old AS old;
SELECT count(*) FROM changes(:'seen', 'rev');
INSERT INTO lead VALUES (11, 1);
SELECT model, lead_key FROM changes(:'seen') WHERE model ~ '^rev' ORDER BY 1;

--
-- Nothing is left
--
SELECT model, detach(model) FROM attachment WHERE model ~ '^rev' ORDER BY 1;
DELETE FROM model WHERE name ~ '^rev';
SELECT sum(drop) > 0 AS dropped FROM (SELECT _delete_history(m, NULL, NULL) FROM unnest('{rev,rev_through,rev_status,rev_won}'::text[]) m) d(drop);
DROP SCHEMA stage_review CASCADE;
REVOKE ALL ON SCHEMA leadscore FROM regress_stage_review_app;
DROP ROLE regress_stage_review_app;
