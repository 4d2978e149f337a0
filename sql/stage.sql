--
-- stage: leads that move along the funnel, by themselves and by hand, and what
-- is told of it
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
RESET client_min_messages;
CREATE SCHEMA stg;
SET search_path = stg;
SET timezone = 'UTC';

-- a lead table may well have columns of these names
CREATE TABLE lead (
	id integer PRIMARY KEY, employees integer, sector text, owner name,
	score text, stage integer, temperature numeric, grade boolean, fit date, engagement jsonb, disqualified text, scored integer
);
CREATE TABLE visit (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead integer, at timestamptz DEFAULT now(), page text);
CREATE INDEX ON visit (lead);
INSERT INTO leadscore.model (name, target) VALUES ('stg', 'lead');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('stg', 'visit', 'visit', 'lead', 'at');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg', 'size', 'fit'), ('stg', 'wanted', 'fit'), ('stg', 'visits', 'engagement');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('stg', 'size', 'employees >= 1000', 20), ('stg', 'size', 'employees >= 100', 10);
INSERT INTO leadscore.rule (model, factor, condition, points, disqualifies) VALUES ('stg', 'wanted', $$sector = 'tobacco'$$, -10, true);
INSERT INTO leadscore.rule (model, factor, activity, condition, points, half_life) VALUES ('stg', 'visits', 'visit', $$page = 'pricing'$$, 10, '7 days'), ('stg', 'visits', 'visit', $$page = 'about'$$, 1, '7 days');

-- history without times, which are another every time
CREATE VIEW told AS
	SELECT model, lead_key AS lead, row_number() OVER w AS n, cause, CASE WHEN automatic THEN 'auto' ELSE '' END AS auto, CASE WHEN listed THEN '' ELSE 'no' END AS listed,
		   from_stage::text, to_stage::text, from_temperature || ' -> ' || temperature AS temperature, from_grade || ' -> ' || grade AS grade, score, announced, reason
	FROM leadscore.history WHERE model LIKE 'stg%' WINDOW w AS (PARTITION BY model, lead_key ORDER BY at, xact, xact_order);

--
-- Conditions
--
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('stg', 'lead', 'prospect', $$employees > 0 AND score <> 'none' AND stage IS NOT NULL AND temperature > 0.5 AND NOT grade AND fit < '2100-01-01' AND engagement ? 'mail' AND disqualified = '' AND lead.scored = 1$$, true),
	('stg', 'prospect', 'mql', $$scored.score >= 20 AND scored.fit >= 10 AND scored.temperature <> 'cold' AND NOT scored.disqualified$$, true),
	('stg', 'mql', 'sal', $$scored.engagement > 15 OR scored.grade IN ('A1', 'A2', 'B1') OR scored.score BETWEEN 100 AND 1000$$, true),
	('stg', 'mql', 'nurture', NULL, false),
	('stg', 'sal', 'sql', 'owner IS NOT NULL', false),
	('stg', 'sal', 'nurture', NULL, false),
	('stg', 'sal', 'mql', $$sector = 'shipping'$$, false),
	('stg', 'nurture', 'mql', 'scored.score >= 35', true),
	('stg', 'sql', 'customer', 'owner IS NOT NULL', false),
	('stg', 'lead', 'disqualified', 'scored.disqualified', true),
	('stg', 'prospect', 'disqualified', 'scored.disqualified', true),
	('stg', 'mql', 'disqualified', 'scored.disqualified', true),
	('stg', 'disqualified', 'lead', 'NOT scored.disqualified', false);
-- what fades is compared with constants, and time is no matter of theirs
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'lead', 'lost', 'scored.score > employees');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'lead', 'lost', 'scored.score + 1 > 5');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'lead', 'lost', 'abs(scored.engagement) > 5');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'lead', 'lost', $$fit < now() - interval '1 year'$$);
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'lead', 'lost', 'scored.rating > 5');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'lead', 'lost', 'scored.temperature');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'lead', 'lost', $$scored.temperature = 'tepid'$$);
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'lead', 'lost', 'EXISTS (SELECT FROM visit)');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'lead', 'lost', 'employees > ');
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES ('stg', 'lead', 'lead');
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES ('stg', 'lead', 'looser');
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES ('nobody', 'lead', 'lost');
-- a number with a fraction, a wider type, from the other side, a list, NULL
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES ('stg', 'visitor', 'lost', $$scored.score > 12.5 AND 3 < scored.engagement AND scored.score::bigint <> 7 AND scored.score IN (1, 2) AND scored.score = ANY ('{3,4}') AND scored.score IS DISTINCT FROM 5 AND scored.score < NULL$$);
DELETE FROM leadscore.transition WHERE model = 'stg' AND from_stage::text = 'visitor';

-- leads that are there: they move when somebody touches them
INSERT INTO lead VALUES (1, 5000, 'energy', NULL, 'own', 1, 0.9, false, '2020-01-01', '{"mail": 1}', '', 1);
INSERT INTO lead (id, employees, sector) VALUES (2, 5000, 'energy');
SELECT leads, hot, warm, cold, problems FROM leadscore.attach('stg');
SELECT * FROM told ORDER BY lead, n;
SELECT lead_key, stage, settle_due FROM leadscore.stg_scored ORDER BY 1;
UPDATE lead SET fit = '2020-01-02';
SELECT lead_key, stage, settle_due FROM leadscore.stg_scored ORDER BY 1;
INSERT INTO visit (lead, page) VALUES (1, 'pricing'), (2, 'pricing');
SELECT * FROM told WHERE n > 1 ORDER BY lead, n;
-- several steps at once, in the commit that makes them possible: one row each
INSERT INTO lead SELECT 3, employees, sector, owner, score, stage, temperature, grade, fit, engagement, disqualified, scored FROM lead WHERE id = 1;
BEGIN;
INSERT INTO visit (lead, page) VALUES (3, 'pricing'), (3, 'pricing'), (1, 'pricing');
SELECT lead_key, stage FROM leadscore.stg_scored ORDER BY 1;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT lead_key, stage FROM leadscore.stg_scored ORDER BY 1;
ROLLBACK;
INSERT INTO visit (lead, page) VALUES (3, 'pricing'), (3, 'pricing'), (1, 'pricing');
SELECT * FROM told WHERE lead = '3' OR n > 2 ORDER BY lead, n;
SELECT count(DISTINCT (at, xact)), array_agg(xact_order ORDER BY xact_order) FROM leadscore.history WHERE model = 'stg' AND lead_key = '3' AND automatic AND to_stage::text IN ('mql', 'sal');

--
-- By hand
--
SELECT leadscore.move('stg', 1, 'sql');			-- its condition does not hold
SELECT leadscore.move('stg', 1, 'customer');		-- it is not listed
SELECT leadscore.move('stg', 2, 'sql');
UPDATE lead SET owner = 'Eve' WHERE id IN (1, 3);
SELECT leadscore.move('stg', 1, 'sql', 'she called'), leadscore.move('stg', 1, 'SQL'), leadscore.move('stg', '1', 'customer');
SELECT leadscore.move('stg', 1, 'lost');			-- there is no way on
SELECT * FROM told WHERE lead = '1' AND n > 3 ORDER BY n;
-- and on by themselves from there: back to where they came from, if that still holds
UPDATE lead SET sector = 'shipping' WHERE id = 3;
SELECT leadscore.move('stg', 3, 'mql');
SELECT * FROM told WHERE lead = '3' AND n > 4 ORDER BY n;
SELECT leadscore.move('stg', 99, 'mql');
SELECT leadscore.move('stg', 'x'::text, 'mql');
SELECT leadscore.move('stg', date '2020-01-01', 'mql');
SELECT leadscore.move('none', 1, 'mql');
SELECT leadscore.move('stg', 1, NULL);
SELECT leadscore.move('stg', NULL::integer, 'mql');
SELECT leadscore.move('stg', 1, 'looser');
INSERT INTO leadscore.model (name, target) VALUES ('stg_idle', 'lead');
SELECT leadscore.move('stg_idle', 1, 'mql');
-- who may not change a lead may not move it
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_stg_rep;
RESET client_min_messages;
CREATE ROLE regress_stg_rep;
GRANT USAGE ON SCHEMA stg, leadscore TO regress_stg_rep;
GRANT SELECT ON lead TO regress_stg_rep;
SET ROLE regress_stg_rep;
SELECT leadscore.move('stg', 3, 'nurture');
RESET ROLE;
GRANT UPDATE (owner) ON lead TO regress_stg_rep;
SET ROLE regress_stg_rep;
SELECT leadscore.move('stg', 3, 'nurture', 'no budget before spring');
RESET ROLE;
SELECT * FROM told WHERE model = 'stg' AND lead = '3' AND n > 6 ORDER BY n;

--
-- The guard of the state table
--
UPDATE leadscore.stg_state SET stage = 'customer' WHERE lead_key = 3;
UPDATE leadscore.stg_state SET stage = 'prospect' WHERE lead_key = 2;
UPDATE leadscore.stg_state SET stage = 'lost' WHERE lead_key = 1;
UPDATE lead SET owner = NULL, sector = 'tobacco' WHERE id = 2;
UPDATE leadscore.stg_state SET stage = 'lead' WHERE lead_key = 2;
UPDATE lead SET sector = 'energy' WHERE id = 2;
UPDATE leadscore.stg_state SET stage = 'lead' WHERE lead_key = 2;
SELECT * FROM told WHERE lead = '2' AND n > 1 ORDER BY n;
SELECT s.lead_key, s.stage_since = h.at AND s.history_at = h.at AS told FROM leadscore.stg_state s, leadscore.history h WHERE s.lead_key = 2 AND h.model = 'stg' AND h.lead_key = '2' AND h.to_stage::text = 'lead' AND h.cause = 'manual';

--
-- The guard of a table of one's own
--
CREATE TABLE deal (id integer PRIMARY KEY, employees integer, owner text, kind leadscore.lead_stage, before leadscore.lead_stage, note text);
INSERT INTO leadscore.model (name, target, key_column) VALUES ('stg_deal', 'deal', 'id');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_deal', 'size', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('stg_deal', 'size', 'employees >= 1000', 50);
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES
	('stg_deal', 'sql', 'opportunity', 'owner IS NOT NULL'), ('stg_deal', 'opportunity', 'customer', 'scored.score >= 50'), ('stg_deal', 'opportunity', 'lost', NULL);
INSERT INTO deal VALUES (1, 10, NULL, 'sql', 'sql'), (2, 1000, 'Eve', NULL, NULL);
CREATE TRIGGER guard BEFORE UPDATE ON deal FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage('stg_deal');
UPDATE deal SET note = 'which of the two?';
DROP TRIGGER guard ON deal;
CREATE TRIGGER guard BEFORE UPDATE ON deal FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage('stg_deal', 'kind');
UPDATE deal SET note = 'not that one', before = 'lead';
UPDATE deal SET kind = 'opportunity' WHERE id = 1;
UPDATE deal SET kind = 'opportunity', owner = 'Bob' WHERE id = 1;	-- the new row is judged
UPDATE deal SET kind = 'customer' WHERE id = 1;
UPDATE deal SET kind = 'customer', employees = 1000 WHERE id = 1;
UPDATE deal SET kind = 'sql' WHERE id = 1;
UPDATE deal SET kind = NULL WHERE id = 1;
UPDATE deal SET kind = 'sql' WHERE id = 2;	-- from nowhere
SELECT id, kind::text, before::text FROM deal ORDER BY id;
SELECT count(*) FROM leadscore.history WHERE model = 'stg_deal';
-- attached, it is no other; and a lead's stage in the state table is its own
SELECT leads FROM leadscore.attach('stg_deal');
UPDATE deal SET kind = 'customer' WHERE id = 2;
UPDATE deal SET kind = 'opportunity' WHERE id = 2;
SELECT lead_key, stage FROM leadscore.stg_deal_scored ORDER BY 1;
-- what is wrong with a trigger
CREATE TABLE plain (id integer, kind text);
INSERT INTO plain VALUES (1, 'sql');
CREATE TRIGGER guard BEFORE UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage('stg_deal');
UPDATE plain SET kind = 'lost';
DROP TRIGGER guard ON deal;
CREATE TRIGGER guard BEFORE UPDATE ON deal FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage('stg_deal', 'note');
UPDATE deal SET note = 'x';
DROP TRIGGER guard ON deal;
CREATE TRIGGER guard BEFORE UPDATE ON deal FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage('gone', 'kind');
UPDATE deal SET note = 'x';
UPDATE deal SET kind = 'lost' WHERE id = 2;
DROP TRIGGER guard ON deal;
CREATE TRIGGER guard BEFORE UPDATE ON deal FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage();
UPDATE deal SET note = 'x';
DROP TRIGGER guard ON deal;
CREATE TRIGGER guard AFTER UPDATE ON deal FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage('stg_deal', 'kind');
UPDATE deal SET note = 'x';
DROP TRIGGER guard ON deal;
-- beside a view, which has the row only once it is written: what lies in its
-- columns is read by key
CREATE TABLE firm (id integer PRIMARY KEY, employees integer);
CREATE TABLE contact (id integer PRIMARY KEY, firm integer, kind leadscore.lead_stage);
CREATE VIEW contact_row AS SELECT c.id, f.employees FROM contact c LEFT JOIN firm f ON f.id = c.firm;
INSERT INTO firm VALUES (1, 5000), (2, 5);
INSERT INTO contact VALUES (1, 1, 'lead'), (2, 2, 'lead');
INSERT INTO leadscore.model (name, target, source, key_column) VALUES ('stg_contact', 'contact', 'contact_row', 'id');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_contact', 'size', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('stg_contact', 'size', 'employees >= 1000', 50);
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition) VALUES
	('stg_contact', 'lead', 'mql', 'employees >= 1000'), ('stg_contact', 'mql', 'sal', 'scored.score >= 50');
CREATE TRIGGER guard BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage('stg_contact');
SELECT leads FROM leadscore.attach('stg_contact');
UPDATE contact SET kind = 'mql' WHERE id = 2;
UPDATE contact SET kind = 'mql' WHERE id = 1;
UPDATE contact SET kind = 'sal' WHERE id = 1;
UPDATE contact SET kind = 'customer' WHERE id = 1;
SELECT id, kind::text FROM contact ORDER BY id;
SELECT leadscore.detach('stg_contact');
-- not attached: nobody can read what is not in the row
UPDATE contact SET kind = 'mql' WHERE id = 2;
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES ('stg_contact', 'sal', 'nurture');
UPDATE contact SET kind = 'nurture' WHERE id = 1;

--
-- The CRM's own status: in lead mode it is a move like any other
--
CREATE TYPE state AS ENUM ('new', 'working', 'won', 'dead', 'odd');
CREATE TABLE crm (id integer PRIMARY KEY, state state, n integer);
INSERT INTO leadscore.model (name, target, status, stage_mode) VALUES ('stg_crm', 'crm', 'state', 'lead');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_crm', 'size', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('stg_crm', 'size', 'n >= 10', 50);
INSERT INTO leadscore.stage_map (model, status, stage) VALUES
	('stg_crm', 'new', 'lead'), ('stg_crm', 'new', 'mql'), ('stg_crm', 'working', 'sal'), ('stg_crm', 'working', 'sql'), ('stg_crm', 'won', 'customer'), ('stg_crm', 'dead', 'lost');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('stg_crm', 'lead', 'mql', $$scored.temperature = 'hot'$$, true), ('stg_crm', 'mql', 'sal', NULL, false), ('stg_crm', 'lead', 'sal', 'n > 0', false),
	('stg_crm', 'sal', 'sql', 'n >= 20', true), ('stg_crm', 'sql', 'customer', NULL, false), ('stg_crm', 'sal', 'lost', NULL, false), ('stg_crm', 'sql', 'opportunity', 'n >= 30', true);
INSERT INTO crm VALUES (1, 'new', 1), (2, 'working', 1);
SELECT leads, problems FROM leadscore.attach('stg_crm');
INSERT INTO crm VALUES (3, 'won', 1), (4, NULL, 1), (5, 'odd', 1);
SELECT lead_key, stage, has_problem FROM leadscore.stg_crm_scored ORDER BY 1;
SELECT lead_key, sqlstate, message FROM leadscore.problem WHERE model = 'stg_crm' ORDER BY 1;
UPDATE crm SET state = 'won' WHERE id = 1;		-- no such way
UPDATE crm SET state = 'working', n = 0 WHERE id = 1;	-- not yet
UPDATE crm SET state = 'working' WHERE id = 1;
UPDATE crm SET n = 20 WHERE id = 1;			-- on by itself, which the status says as well
UPDATE crm SET state = 'new' WHERE id = 1;
UPDATE crm SET state = 'odd' WHERE id = 1;		-- unknown: the stage stays
UPDATE crm SET state = 'working' WHERE id = 1;
UPDATE crm SET n = 30 WHERE id = 1;			-- into a stage of another status: ours is the master
UPDATE crm SET state = 'new' WHERE id = 4;		-- from none
SELECT model, lead, n, cause, auto, listed, from_stage, to_stage FROM told WHERE model = 'stg_crm' ORDER BY lead, n;
SELECT lead_key, sqlstate, message FROM leadscore.problem WHERE model = 'stg_crm' ORDER BY 1;
SELECT c.*, s.stage FROM crm c JOIN leadscore.stg_crm_scored s ON s.lead_key = c.id ORDER BY 1;

-- in follow mode the CRM is the master: jumps and steps back are recorded
UPDATE leadscore.model SET stage_mode = 'follow' WHERE name = 'stg_crm';
UPDATE crm SET state = 'won' WHERE id = 2;
UPDATE crm SET state = 'new', n = 9 WHERE id = 2;
UPDATE crm SET state = 'dead' WHERE id = 2;
UPDATE crm SET state = 'working', n = 40 WHERE id = 2;	-- listed or not, automation goes on within the status alone
UPDATE crm SET state = 'new' WHERE id = 2;
UPDATE crm SET state = 'odd' WHERE id = 2;
UPDATE crm SET n = 5 WHERE id = 2;
UPDATE crm SET state = NULL WHERE id = 2;
SELECT model, lead, n, cause, auto, listed, from_stage, to_stage FROM told WHERE model = 'stg_crm' AND lead = '2' ORDER BY lead, n;
SELECT leadscore.move('stg_crm', 2, 'customer');		-- is checked all the same
SELECT c.*, s.stage FROM crm c JOIN leadscore.stg_crm_scored s ON s.lead_key = c.id WHERE id = 2;
SELECT lead_key, sqlstate, message FROM leadscore.problem WHERE model = 'stg_crm' ORDER BY 1;

-- a number, or the name of a stage; a table of statuses through a view
CREATE TABLE status (id integer PRIMARY KEY, name text, sequence integer);
INSERT INTO status VALUES (1, 'New', 1), (2, 'Qualified', 2), (3, 'Won', 3);
CREATE TABLE opportunity (id integer PRIMARY KEY, status integer REFERENCES status, probability integer);
CREATE VIEW opportunity_row AS SELECT o.id, o.probability, s.name AS status FROM opportunity o LEFT JOIN status s ON s.id = o.status;
INSERT INTO opportunity VALUES (1, 1, 0), (2, 3, 100);
INSERT INTO leadscore.model (name, target, source, key_column, status, stage_mode) VALUES
	('stg_number', 'opportunity', NULL, 'id', 'status', 'follow'),
	('stg_words', 'opportunity', NULL, 'id', $$CASE WHEN probability = 100 THEN 'customer' WHEN probability > 50 THEN 'sql' ELSE 'Marketing Qualified Lead' END$$, 'follow'),
	('stg_view', 'opportunity', 'opportunity_row', 'id', 'lower(status)', 'follow');
INSERT INTO leadscore.stage_map (model, status, stage) SELECT 'stg_number', id::text, (ARRAY['lead', 'sql', 'customer'])[id]::leadscore.lead_stage FROM status;
INSERT INTO leadscore.stage_map (model, status, stage) SELECT 'stg_view', lower(name), (ARRAY['lead', 'sql', 'customer'])[id]::leadscore.lead_stage FROM status;
SELECT count(leadscore.attach(m)) FROM unnest('{stg_number,stg_words,stg_view}'::text[]) m;
SELECT leadscore.watch('stg_view', 'status', $$SELECT o.id FROM stg.opportunity o WHERE o.status = $1.id$$);
UPDATE opportunity SET status = 2, probability = 60 WHERE id = 1;
UPDATE status SET name = 'Won indeed' WHERE id = 3;
UPDATE status SET name = 'New' WHERE id = 3;
SELECT model, lead, n, cause, auto, listed, from_stage, to_stage FROM told WHERE model IN ('stg_number', 'stg_words', 'stg_view') ORDER BY 1, lead, n;
SELECT model, lead_key, sqlstate, message FROM leadscore.problem WHERE model LIKE 'stg\_%' AND model <> 'stg_crm' ORDER BY 1;

-- of the stages of a status a lead enters the one that leads start in, and none that gives it up as long as there is another
CREATE TABLE prospect (id integer PRIMARY KEY, deal text, reachable boolean);
INSERT INTO leadscore.model (name, target, status, stage_mode) VALUES ('stg_room', 'prospect', $$coalesce(deal, 'none')$$, 'follow');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_room', 'reach', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points, disqualifies) VALUES ('stg_room', 'reach', 'NOT reachable', 0, true);
INSERT INTO leadscore.stage_map (model, status, stage) VALUES
	('stg_room', 'none', 'disqualified'), ('stg_room', 'none', 'nurture'), ('stg_room', 'none', 'visitor'), ('stg_room', 'none', 'lead'), ('stg_room', 'none', 'mql'),
	('stg_room', 'open', 'sql'), ('stg_room', 'open', 'disqualified'), ('stg_room', 'later', 'nurture'), ('stg_room', 'later', 'mql'),
	('stg_room', 'dead', 'lost'), ('stg_room', 'dead', 'disqualified');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('stg_room', 'lead', 'disqualified', 'scored.disqualified', true), ('stg_room', 'sql', 'disqualified', 'scored.disqualified', true),
	('stg_room', 'lead', 'mql', 'id >= 10', true), ('stg_room', 'mql', 'sql', NULL, false), ('stg_room', 'sql', 'lost', NULL, false), ('stg_room', 'lead', 'nurture', NULL, false);
SELECT finding, stage FROM leadscore.check_transitions('stg_room');
INSERT INTO prospect VALUES (1, NULL, true), (2, NULL, false), (3, 'open', true), (4, 'open', false), (5, 'later', true), (6, 'dead', true);
SELECT leads FROM leadscore.attach('stg_room');
SELECT lead_key, stage FROM leadscore.stg_room_scored ORDER BY 1;		-- attaching moves nobody
INSERT INTO prospect VALUES (7, NULL, false), (8, 'open', false), (10, NULL, true);
UPDATE prospect SET deal = NULL WHERE id IN (3, 5, 6);
UPDATE prospect SET deal = 'open' WHERE id = 1;
UPDATE prospect SET reachable = NOT reachable WHERE id IN (1, 2);
SELECT leadscore.move('stg_room', 3, 'nurture', 'not now');
SET client_min_messages = warning;
CALL leadscore.rescore('stg_room', move_stages => true);		-- and stays where it was put
RESET client_min_messages;
SELECT lead_key, stage FROM leadscore.stg_room_scored ORDER BY 1;

--
-- Pins: against automation, and nothing else
--
CREATE TABLE person (id integer PRIMARY KEY, n integer);
INSERT INTO leadscore.model (name, target) VALUES ('stg_pin', 'person');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('stg_pin', 'size', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, condition, points) SELECT 'stg_pin', 'size', 'n >= ' || i, 10 FROM generate_series(1, 9) i;
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('stg_pin', 'lead', 'mql', 'n >= 5', true), ('stg_pin', 'mql', 'sal', 'scored.score >= 80', true), ('stg_pin', 'lead', 'sql', NULL, false), ('stg_pin', 'mql', 'nurture', NULL, false),
	('stg_pin', 'nurture', 'mql', 'n >= 5', true), ('stg_pin', 'sal', 'nurture', NULL, false);
INSERT INTO person SELECT i, 0 FROM generate_series(1, 6) i;
SELECT leads FROM leadscore.attach('stg_pin');
UPDATE person SET n = 1;
SELECT leadscore.pin('stg_pin', 1, '-infinity');
SELECT leadscore.pin('stg_pin', 1, statement_timestamp());
SELECT leadscore.pin('stg_pin', 1, NULL);
SELECT leadscore.pin('stg_pin', 99, 'infinity');
SELECT leadscore.pin('stg_pin', 1, 'infinity', 'with the lawyers'), leadscore.pin('stg_pin', '2', statement_timestamp() + interval '1.5 seconds', 'until tomorrow'), leadscore.pin('stg_pin', 3, 'infinity');
UPDATE person SET n = 9;
SELECT lead_key, stage, isfinite(pinned_until) AS until, pin_reason, settle_due FROM leadscore.stg_pin_scored ORDER BY 1;
SELECT leadscore.unpin('stg_pin', 1, 'signed'), leadscore.move('stg_pin', 3, 'sql');
SELECT lead_key, stage, pinned_until, pin_reason, settle_due FROM leadscore.stg_pin_scored WHERE lead_key IN (1, 3) ORDER BY 1;
SELECT pg_sleep(1.6);
-- it has expired: there is a move to be made, and time made it possible
SELECT lead_key, stage, pinned_until, pin_reason, settle_due FROM leadscore.stg_pin_scored WHERE lead_key = 2;
UPDATE person SET n = 1 WHERE id = 2;
SELECT lead_key, stage, pinned_until, pin_reason, settle_due FROM leadscore.stg_pin_scored WHERE lead_key = 2;
UPDATE person SET n = 2 WHERE id = 2;
SELECT lead_key, stage, pinned_until, pin_reason, settle_due FROM leadscore.stg_pin_scored WHERE lead_key = 2;
SELECT * FROM told WHERE model = 'stg_pin' AND lead IN ('1', '2', '3') AND n > 2 ORDER BY lead, n;
SELECT leadscore.unpin('stg_pin', 5), leadscore.unpin('stg_pin', '5', 'again');		-- which is not pinned
-- nobody is asked: the condition of nurture turns while it is pinned
SELECT leadscore.move('stg_pin', 4, 'nurture', 'not now'), leadscore.move('stg_pin', 5, 'nurture');
SELECT leadscore.pin('stg_pin', 4, 'infinity'), leadscore.pin('stg_pin', 5, 'infinity');
UPDATE person SET n = 0 WHERE id = 4;
UPDATE person SET n = 9 WHERE id = 4;
SELECT leadscore.unpin('stg_pin', 4), leadscore.unpin('stg_pin', 5);

--
-- Nurture: a lead that was rejected while hot does not bounce back
--
UPDATE person SET n = 8 WHERE id = 5;
UPDATE person SET n = 1 WHERE id = 5;
UPDATE person SET n = 8 WHERE id = 5;
SELECT * FROM told WHERE model = 'stg_pin' AND lead IN ('4', '5') AND n > 4 ORDER BY lead, n;
-- but after the cool-down, and something that it does
CREATE TABLE guest (id integer PRIMARY KEY, n integer);
CREATE TABLE call (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, guest integer, at timestamptz);
CREATE INDEX ON call (guest);
INSERT INTO leadscore.model (name, target, cooldown) VALUES ('stg_cool', 'guest', '10 days');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('stg_cool', 'call', 'call', 'guest', 'at');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_cool', 'calls', 'engagement');
INSERT INTO leadscore.rule (model, factor, activity, condition, points) VALUES ('stg_cool', 'calls', 'call', 'true', 30);
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES ('stg_cool', 'mql', 'nurture', NULL, false), ('stg_cool', 'lead', 'mql', 'scored.score >= 30', true), ('stg_cool', 'nurture', 'mql', 'scored.score >= 30', true);
INSERT INTO guest SELECT i, 1 FROM generate_series(1, 3) i;
INSERT INTO call (guest, at) SELECT id, now() - interval '1 day' FROM guest;
SELECT leads FROM leadscore.attach('stg_cool');
UPDATE guest SET n = 2;
INSERT INTO call (guest, at) SELECT id, now() - interval '1 hour' FROM guest;
SELECT count(leadscore.move('stg_cool', id, 'nurture')) FROM guest;
INSERT INTO call (guest, at) VALUES (1, now()), (2, now() + interval '9 days'), (3, now() + interval '11 days');
CREATE PROCEDURE in_days(days float8) LANGUAGE plpgsql AS $$ BEGIN PERFORM leadscore.advance_step('stg_cool', 100, statement_timestamp() + days * interval '1 day'); END $$;
CALL in_days(10.5);
SELECT lead_key, stage FROM leadscore.stg_cool_state ORDER BY 1;
CALL in_days(12);
SELECT lead_key, stage FROM leadscore.stg_cool_state ORDER BY 1;
SELECT lead, n, cause, auto, from_stage, to_stage, score FROM told WHERE model = 'stg_cool' ORDER BY lead, n;
SELECT h.at - b.at BETWEEN '10 days 23 hours 59 minutes' AND '11 days 1 minute' AS when FROM leadscore.history h JOIN leadscore.history b USING (model, lead_key) WHERE model = 'stg_cool' AND lead_key = '3' AND h.to_stage::text = 'mql' AND h.from_stage::text = 'nurture' AND b.to_stage::text = 'nurture';

-- where points of both signs fade, it is known to the microsecond when something
-- changes, as long as they go one way
CREATE TABLE caller (id integer PRIMARY KEY);
CREATE TABLE answer (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, caller integer, at timestamptz, good boolean);
CREATE INDEX ON answer (caller);
INSERT INTO leadscore.model (name, target) VALUES ('stg_both', 'caller');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('stg_both', 'answer', 'answer', 'caller', 'at');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_both', 'answers', 'engagement');
INSERT INTO leadscore.rule (model, factor, activity, condition, points, half_life) VALUES ('stg_both', 'answers', 'answer', 'good', 60, '10 days'), ('stg_both', 'answers', 'answer', 'NOT good', -25, '5 days');
INSERT INTO caller VALUES (1);
SELECT leads FROM leadscore.attach('stg_both');
INSERT INTO answer (caller, at, good) VALUES (1, now(), true), (1, now(), false);
SELECT next_change_at - scored_at BETWEEN '8 days 23 hours' AND '9 days' AS time, b.temperature AS before, e.temperature
FROM leadscore.stg_both_state s, LATERAL leadscore.evaluate('stg_both', 1, next_change_at - interval '1 microsecond') b, LATERAL leadscore.evaluate('stg_both', 1, next_change_at) e;

--
-- Write-back: of the stage, and of the CRM's status that stands for it
--
CREATE TABLE written (id integer PRIMARY KEY, n integer, score integer, temperature text, stage text);
INSERT INTO leadscore.model (name, target) VALUES ('stg_back', 'written');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('stg_back', 'size', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, condition, points) SELECT 'stg_back', 'size', 'n >= ' || i, 10 FROM generate_series(1, 9) i;
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('stg_back', 'lead', 'mql', 'scored.score >= 50', true), ('stg_back', 'mql', 'sal', 'scored.score >= 80', true), ('stg_back', 'sal', 'sql', NULL, false), ('stg_back', 'sal', 'nurture', NULL, false);
SELECT leads FROM leadscore.attach('stg_back', score_column => 'score', temperature_column => 'temperature', stage_column => 'stage');
INSERT INTO written (id, n) VALUES (1, 1), (2, 6), (3, 9);
SELECT * FROM written ORDER BY id;
UPDATE written SET n = 9 WHERE id = 1;
SELECT leadscore.move('stg_back', 1, 'sql');
UPDATE written SET stage = 'customer', n = 8 WHERE id = 1;	-- what is written back is not asked
SELECT * FROM written ORDER BY id;
-- what was there before it was written back
SELECT leadscore.detach('stg_back');
UPDATE written SET stage = NULL, n = 9;
SELECT leads FROM leadscore.attach('stg_back', stage_column => 'stage');
UPDATE written SET id = id WHERE id = 1;
UPDATE written SET n = 8 WHERE id = 2;
SELECT w.id, n, w.stage, s.stage AS state, s.settle_due FROM written w JOIN leadscore.stg_back_scored s ON s.lead_key = w.id ORDER BY 1;
SELECT leadscore.detach('stg_back');
-- what time has done is settled first, for the column as well
CREATE TABLE quick (id integer PRIMARY KEY, n integer, stage text);
CREATE TABLE quick_call (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead integer, at timestamptz);
CREATE INDEX ON quick_call (lead);
INSERT INTO leadscore.model (name, target) VALUES ('stg_quick', 'quick');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('stg_quick', 'call', 'quick_call', 'lead', 'at');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_quick', 'size', 'fit'), ('stg_quick', 'calls', 'engagement');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('stg_quick', 'size', 'n > 0', 50);
INSERT INTO leadscore.rule (model, factor, activity, condition, points, half_life) VALUES ('stg_quick', 'calls', 'call', 'true', 40, '0.1 seconds');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES ('stg_quick', 'lead', 'mql', 'scored.score >= 30', true), ('stg_quick', 'mql', 'lost', 'scored.score < 10', true);
SELECT leads FROM leadscore.attach('stg_quick', stage_column => 'stage');
INSERT INTO quick SELECT i, 0 FROM generate_series(1, 3) i;
INSERT INTO quick_call (lead, at) SELECT i, statement_timestamp() + interval '0.5 seconds' FROM generate_series(1, 3) i;
SELECT pg_sleep(1.3);
UPDATE quick SET n = 1 WHERE id = 1;
UPDATE quick SET n = 0, stage = 'x' WHERE id = 2;
INSERT INTO quick_call (lead, at) VALUES (3, now());
SELECT q.*, s.stage AS state FROM quick q JOIN leadscore.stg_quick_scored s ON s.lead_key = q.id ORDER BY 1;
SELECT lead, n, cause, auto, from_stage, to_stage FROM told WHERE model = 'stg_quick' ORDER BY lead, n;
SELECT leadscore.detach('stg_quick');
CREATE TABLE deals (id integer PRIMARY KEY, n integer, status state);
INSERT INTO leadscore.model (name, target, status) VALUES ('stg_status', 'deals', 'status');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_status', 'size', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('stg_status', 'size', 'n >= 10', 50);
INSERT INTO leadscore.stage_map (model, status, stage) SELECT 'stg_status', status, stage FROM leadscore.stage_map WHERE model = 'stg_crm';
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('stg_status', 'lead', 'mql', 'scored.score >= 50', true), ('stg_status', 'mql', 'sal', 'n >= 20', true), ('stg_status', 'sal', 'sql', NULL, false), ('stg_status', 'sql', 'customer', NULL, false), ('stg_status', 'sal', 'nurture', NULL, false);
SELECT leads FROM leadscore.attach('stg_status', stage_column => 'status');
INSERT INTO deals VALUES (1, 1, 'new'), (2, 30, 'new'), (3, 1, NULL);
SELECT * FROM deals ORDER BY id;
UPDATE deals SET n = 20 WHERE id = 1;
SELECT leadscore.move('stg_status', 1, 'sql');
UPDATE deals SET status = 'won' WHERE id = 1;
UPDATE deals SET status = 'won' WHERE id = 2;
SELECT leadscore.move('stg_status', 2, 'nurture');		-- for which there is no status
SELECT d.*, s.stage FROM deals d JOIN leadscore.stg_status_scored s ON s.lead_key = d.id ORDER BY 1;
SELECT lead, n, cause, auto, listed, from_stage, to_stage FROM told WHERE model = 'stg_status' ORDER BY lead, n;
SELECT leadscore.detach('stg_status');
-- of several statuses of a stage the one that somebody chose stays; and the doctor knows
CREATE TABLE bids (id integer PRIMARY KEY, n integer, status state);
ALTER TYPE state ADD VALUE 'screening';
SELECT leadscore.copy_model('stg_status', 'stg_several');
UPDATE leadscore.model SET target = 'bids' WHERE name = 'stg_several';
INSERT INTO leadscore.stage_map (model, status, stage) VALUES ('stg_several', 'screening', 'sql');
INSERT INTO bids VALUES (1, 1, 'new'), (2, 1, 'new'), (3, 20, 'new'), (4, 1, NULL);
SELECT leads FROM leadscore.attach('stg_several', stage_column => 'status');
SELECT finding, detail FROM leadscore.doctor('stg_several');
UPDATE bids SET status = 'working' WHERE id = 3;
UPDATE bids SET status = 'screening' WHERE id = 3 RETURNING status;
UPDATE bids SET n = 21 WHERE id = 3 RETURNING status;
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES ('stg_several', 'lead', 'nurture');
SELECT leadscore.move('stg_several', 2, 'nurture');	-- no status means it
ALTER TABLE bids DISABLE TRIGGER USER;
UPDATE bids SET status = 'won' WHERE id < 4;
SET client_min_messages = error;
SELECT leadscore.repair('stg_several') IS NOT NULL;
SELECT detail FROM leadscore.doctor('stg_several') WHERE finding LIKE 'write_back%';
CALL leadscore.rescore('stg_several', write_back => true);
RESET client_min_messages;
SELECT b.*, s.stage FROM bids b JOIN leadscore.stg_several_scored s ON s.lead_key = b.id ORDER BY id;
SELECT detail FROM leadscore.doctor('stg_several') WHERE finding LIKE 'write_back%';
SELECT leadscore.detach('stg_several');
-- in a column of type char(n), too; and a domain that does not take every score
CREATE DOMAIN few AS integer CHECK (VALUE < 10);
CREATE DOMAIN mild AS text CHECK (VALUE <> 'cold');
CREATE TABLE padded (id integer PRIMARY KEY, n integer, status char(12), points few, warmth mild);
SELECT leadscore.copy_model('stg_status', 'stg_padded');
UPDATE leadscore.model SET target = 'padded' WHERE name = 'stg_padded';
INSERT INTO leadscore.stage_map (model, status, stage) VALUES ('stg_padded', 'screening', 'sql');
INSERT INTO padded (id, n, status) VALUES (1, 1, 'new'), (2, 20, 'working');
SELECT leads FROM leadscore.attach('stg_padded', stage_column => 'status', score_column => 'points', temperature_column => 'warmth');
UPDATE padded SET status = 'screening' WHERE id = 2 RETURNING status;
UPDATE padded SET n = 21 WHERE id = 2 RETURNING status;
SET client_min_messages = error;
CALL leadscore.rescore('stg_padded', write_back => true);
RESET client_min_messages;
SELECT p.*, s.stage, s.score, s.temperature FROM padded p JOIN leadscore.stg_padded_scored s ON s.lead_key = p.id ORDER BY id;
SELECT finding, detail FROM leadscore.doctor('stg_padded') WHERE finding LIKE 'write_back%';
SELECT leadscore.detach('stg_padded');

--
-- Rescoring: moves stages only if it is told to, and announces nothing
--
CREATE TABLE rescored (id integer PRIMARY KEY, n integer);
INSERT INTO leadscore.model (name, target) VALUES ('stg_rules', 'rescored');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_rules', 'size', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('stg_rules', 'size', 'n > 0', 10);
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES ('stg_rules', 'lead', 'mql', 'scored.score >= 50', true), ('stg_rules', 'mql', 'lead', NULL, false);
INSERT INTO rescored SELECT i, i FROM generate_series(0, 3) i;
SELECT leads FROM leadscore.attach('stg_rules');
UPDATE leadscore.rule SET points = 60 WHERE model = 'stg_rules';
SET client_min_messages = warning;	-- it tells how long it took
CALL leadscore.rescore('stg_rules');
SELECT lead_key, score, temperature, stage, settle_due FROM leadscore.stg_rules_scored ORDER BY 1;
UPDATE rescored SET n = 5 WHERE id = 1;
CALL leadscore.rescore('stg_rules', move_stages => true);
SELECT lead_key, score, temperature, stage, settle_due FROM leadscore.stg_rules_scored ORDER BY 1;
-- a transition that is new is no reason to move either
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES ('stg_rules', 'mql', 'sal', NULL, true);
CALL leadscore.rescore('stg_rules');
SELECT lead_key, stage, settle_due FROM leadscore.stg_rules_scored ORDER BY 1;
UPDATE rescored SET n = 5 WHERE id = 2;
SELECT lead, n, cause, auto, from_stage, to_stage, temperature, score, announced FROM told WHERE model = 'stg_rules' ORDER BY lead, n;
RESET client_min_messages;
-- without transitions every move is open
DELETE FROM leadscore.transition WHERE model = 'stg_rules';
SELECT leadscore.move('stg_rules', 0, 'customer'), leadscore.move('stg_rules', 0, 'visitor');
-- and nothing is announced that is not to be
UPDATE leadscore.model SET announce = false WHERE name = 'stg_rules';
UPDATE rescored SET n = 0 WHERE id = 3;
SELECT cause, temperature, announced FROM told WHERE model = 'stg_rules' AND lead = '3' ORDER BY n DESC LIMIT 1;

--
-- Hand-off
--
CREATE TABLE handed (id integer PRIMARY KEY, n integer);
INSERT INTO leadscore.model (name, target, channel) VALUES ('stg_hand', 'handed', $$'inbound'$$);
INSERT INTO leadscore.factor (model, name, axis) VALUES ('stg_hand', 'size', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('stg_hand', 'size', 'n > 0', 50);
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('stg_hand', 'lead', 'mql', 'scored.score >= 50', true), ('stg_hand', 'mql', 'sal', 'n > 1', true), ('stg_hand', 'sal', 'sql', 'n <> 3', false), ('stg_hand', 'sal', 'opportunity', NULL, false),
	('stg_hand', 'sal', 'nurture', NULL, false), ('stg_hand', 'nurture', 'mql', 'scored.score >= 50', true);
INSERT INTO handed VALUES (1, 1), (2, 2), (3, 3), (4, 4);
SELECT leads FROM leadscore.attach('stg_hand');
UPDATE handed SET n = n + 0 WHERE id = 1;
UPDATE handed SET n = n + 10;
UPDATE handed SET n = n - 10;
SELECT h.model, h.lead_key, h.stage, h.handed_off_at = s.stage_since AS since, h.waiting BETWEEN '0' AND '1 minute' AS waits, h.score, h.temperature, h.grade, h.channel, h.pinned_until
FROM leadscore.handoff h JOIN leadscore.stg_hand_scored s ON s.lead_key::text = h.lead_key WHERE h.model = 'stg_hand' ORDER BY lead_key;
SELECT leadscore.accept('stg_hand', 1), leadscore.accept('stg_hand', 2, 'Eve takes it');
SELECT leadscore.accept('stg_hand', 2);			-- twice
SELECT leadscore.accept('stg_hand', 3);			-- the next stage is not open to it
SELECT leadscore.reject('stg_hand', 3, '');
SELECT leadscore.reject('stg_hand', 3, E' \n');
SELECT leadscore.reject('stg_hand', 3, NULL);
SELECT leadscore.reject('stg_hand', '3', 'no budget');
SELECT leadscore.reject('stg_hand', 3, 'again');
SELECT leadscore.accept('stg_hand', 99);
UPDATE handed SET n = 8 WHERE id = 3;				-- still hot: it does not bounce
SELECT lead_key FROM leadscore.handoff WHERE model = 'stg_hand' ORDER BY 1;
SELECT lead, n, cause, auto, from_stage, to_stage, reason FROM told WHERE model = 'stg_hand' AND cause IN ('accept', 'reject') ORDER BY lead, n;
-- a stage of one's own choice; or none
UPDATE leadscore.model SET handoff_stage = 'nurture' WHERE name = 'stg_hand';
SELECT lead_key, stage FROM leadscore.handoff WHERE model = 'stg_hand' ORDER BY 1;
SELECT leadscore.accept('stg_hand', 3);
SELECT leadscore.accept('stg_rules', 1);
-- a stage that no transition leads on from
UPDATE leadscore.model SET handoff_stage = 'customer' WHERE name = 'stg_hand';
SELECT leadscore.accept('stg_hand', 4);

--
-- History is only added to
--
\set SHOW_CONTEXT never
UPDATE leadscore.history SET reason = 'a better one' WHERE model = 'stg_hand';
DELETE FROM leadscore.history WHERE model = 'stg_hand';
DELETE FROM leadscore.history_default WHERE false;
DELETE FROM leadscore.history_default WHERE model = 'stg_hand';
UPDATE leadscore.history_default SET at = at WHERE model = 'stg_hand';
TRUNCATE leadscore.history;
TRUNCATE leadscore.history_default;
SELECT leadscore._delete_history('stg_hand', NULL, NULL) >= 0 AS by_superuser_only;
SET ROLE regress_stg_rep;
SELECT leadscore._delete_history('stg_pin', NULL, NULL);
SELECT leadscore.drop_history('stg_pin', now());
SELECT leadscore.forget('stg_pin', '1');
RESET ROLE;
-- partitions of one's own
CREATE TABLE stg.history_past PARTITION OF leadscore.history FOR VALUES FROM ('2000-01-01') TO ('2001-01-01');
INSERT INTO leadscore.history (at, model, lead_key, cause, to_stage, temperature, grade, score, fit, engagement) VALUES ('2000-05-05', 'stg_pin', '1', 'row', 'lead', 'cold', 'D4', 0, 0, 0);
UPDATE leadscore.history SET score = 1 WHERE at < '2001-01-01';
DELETE FROM stg.history_past;
SELECT leadscore.drop_history('stg_pin', '2001-01-01'), leadscore.drop_history('stg_pin', '2001-01-01');
DROP TABLE stg.history_past;
SELECT leadscore.drop_history('stg_pin', NULL);
SELECT leadscore.drop_history('none', now());

--
-- What a consumer catches up with
--
SELECT leadscore.changes('x');
SELECT leadscore.changes('1/9:3:@2026-01-01T00:00:00.000000Z');
SELECT leadscore.changes('1/3:9:5,,6@2026-01-01T00:00:00.000000Z');
SELECT leadscore.changes('1/3:99999999999999999999999:@2026-01-01T00:00:00.000000Z');
SELECT leadscore.changes('1/3:9:@2026-02-30T00:00:00.000000Z');
SELECT leadscore.changes('1/3:9:@01/02/2026 00:00:00');
SELECT lead_key, cause, from_stage, to_stage, score, rules_lost = '{}' AS lost, cardinality(rules_gained) AS gained FROM leadscore.changes(of_model => 'stg_pin') WHERE lead_key = '6';
SELECT max(position) AS seen FROM leadscore.changes() \gset
SELECT count(*) FROM leadscore.changes(:'seen');
-- no setting of a session is in it, so that any other one can go on from there
BEGIN;
SELECT max(position) AS here FROM leadscore.changes() \gset
SET LOCAL TimeZone = 'Asia/Kolkata';
SET LOCAL DateStyle = 'SQL, DMY';
SET LOCAL IntervalStyle = 'iso_8601';
SELECT max(position) = :'here' AS same, max(position) ~ '^\d+/[\d:,]+@\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z$' AS utc FROM leadscore.changes();
SELECT count(*) FROM leadscore.changes(:'seen');
-- as if from another server: then it goes by the time
SELECT max(regexp_replace(position, '^\d+', '1')) AS there FROM leadscore.changes() \gset
SET LOCAL TimeZone = 'America/New_York';
SET LOCAL DateStyle = 'German, MDY';
SELECT max(position) = :'here' AS same FROM leadscore.changes();
SELECT count(*) FROM leadscore.changes(:'seen');
SELECT count(*) = (SELECT count(*) FROM leadscore.changes() WHERE recorded_at >= now() - interval '1 hour') AS same FROM leadscore.changes(:'there');
COMMIT;
UPDATE person SET n = 1 WHERE id = 6;
INSERT INTO person VALUES (7, 9);
SELECT lead_key, cause, automatic, from_stage, to_stage, from_temperature, temperature, announced, score, cardinality(rules_gained) AS gained, cardinality(rules_lost) AS lost, channel, reason FROM leadscore.changes(:'seen');
SELECT count(*) FROM leadscore.changes(:'seen', 'stg_hand');
SELECT max(position) AS seen FROM leadscore.changes(:'seen') \gset
SELECT count(*) FROM leadscore.changes(:'seen');
-- a transaction that is still under way when somebody looks is told the next time
BEGIN;
UPDATE person SET n = 9 WHERE id = 6;
SELECT count(*) FROM leadscore.changes(:'seen');
ROLLBACK;
SELECT count(*) FROM leadscore.changes(:'seen');
-- a position of transactions that were lost, since an earlier state was restored
SELECT count(*) > 10 AS told FROM leadscore.changes(regexp_replace(:'seen', '/.*@', '/1000000000000:1000000000000:@'), 'stg_pin');

--
-- To be forgotten
--
UPDATE leadscore.rule SET condition = 'n / (id - 2) >= 1' WHERE model = 'stg_pin' AND condition = 'n >= 1';
SET client_min_messages = error;
CALL leadscore.rescore('stg_pin');
RESET client_min_messages;
SELECT count(*) FROM leadscore.problem WHERE model = 'stg_pin' AND lead_key = '2';
SELECT leadscore.forget('stg_pin', NULL);
SELECT leadscore.forget('none', '1');
DELETE FROM person WHERE id = 6;
SELECT key, f -> 'state' AS state, f -> 'history' AS history, f -> 'problem' AS problem, f -> 'pending_activity' AS pending FROM unnest('{2,6,nobody}'::text[]) key, leadscore.forget('stg_pin', key) f;
SELECT count(*) FROM leadscore.history WHERE model = 'stg_pin' AND lead_key IN ('2', '6');
SELECT leadscore.forget('stg_pin', 7) -> 'history' AS by_key;
SELECT count(*) FROM leadscore.stg_pin_state WHERE lead_key IN (2, 6);
SELECT count(*) > 10 AS others FROM leadscore.history WHERE model = 'stg_pin';
-- it is there still, and begins anew
SET client_min_messages = error;
UPDATE person SET n = 6 WHERE id = 2;
RESET client_min_messages;
SELECT lead, n, cause, auto, from_stage, to_stage FROM told WHERE model = 'stg_pin' AND lead = '2' ORDER BY n;

SELECT count(leadscore.detach(model)) > 5 AS detached FROM leadscore.attachment WHERE model LIKE 'stg%';
DELETE FROM leadscore.model WHERE name LIKE 'stg%';
SELECT count(*) FROM leadscore.transition WHERE model LIKE 'stg%';
SELECT count(leadscore._delete_history(model, NULL, NULL)) > 5 AS cleared FROM (SELECT DISTINCT model FROM leadscore.history WHERE model LIKE 'stg%') m;
DROP OWNED BY regress_stg_rep;
DROP ROLE regress_stg_rep;
SET client_min_messages = warning;
DROP SCHEMA stg CASCADE;
