--
-- transition: how leads may move; circles that are refused, what else looks
-- wrong, and the templates
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA tr;
SET search_path = tr;

-- what a statement raises
CREATE FUNCTION error(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END
$$;

CREATE TABLE lead (id int PRIMARY KEY, email text, phone text, consent boolean, employees int, industry text, title text, status text);
INSERT INTO leadscore.model (name, target) VALUES ('tr_a', 'lead'), ('tr_b', 'lead');

-- moves by shorthand: 'lead>mql' by hand, 'lead>>mql' automatic
CREATE FUNCTION move(model text, moves text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO leadscore.transition (model, from_stage, to_stage, automatic)
	SELECT model, (regexp_match(m, '^\w+'))[1]::leadscore.lead_stage, (regexp_match(m, '\w+$'))[1]::leadscore.lead_stage, m ~ '>>'
	FROM regexp_split_to_table(moves, '\s+') m
$$;
CREATE FUNCTION moves(model text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(from_stage::text || CASE WHEN automatic THEN '>>' ELSE '>' END || to_stage::text, ' ' ORDER BY from_stage::integer, to_stage::integer)
	FROM leadscore.transition t WHERE t.model = moves.model
$$;

--
-- Automatic circles
--

-- by hand leads may go in circles, and the moves of another model do not count
SELECT move('tr_a', 'lead>>mql mql>lead mql>>sal sal>mql'), move('tr_b', 'mql>>lead');
SELECT * FROM error($$SELECT move('tr_a', 'sal>>lead')$$);
SELECT * FROM error($$UPDATE leadscore.transition SET automatic = true WHERE model = 'tr_a' AND from_stage::text = 'mql' AND to_stage::text = 'lead'$$);
-- a condition that never holds is no excuse
SELECT state, message FROM error($$INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES ('tr_a', 'sal', 'lead', 'false', true)$$);
SELECT moves('tr_a'), moves('tr_b');
-- a circle within one statement, and one longer than need be: the shortest is told
SELECT message FROM error($$SELECT move('tr_b', 'lead>>mql')$$);
SELECT message FROM error($$SELECT move('tr_b', 'nurture>>contact contact>>sal sal>>opportunity opportunity>>nurture sal>>nurture')$$);
SELECT message FROM error($$SELECT move('tr_b', 'nurture>>contact contact>>sal lost>>customer sal>>opportunity opportunity>>contact customer>>lost')$$);
SELECT state FROM error($$SELECT move('tr_b', 'lead>>lead')$$);
-- it is judged when the statement is complete: these turn round, one row after the other
UPDATE leadscore.transition SET automatic = NOT automatic WHERE model = 'tr_a';
SELECT moves('tr_a');
UPDATE leadscore.transition SET from_stage = to_stage, to_stage = from_stage WHERE model = 'tr_b';
SELECT moves('tr_b');
SELECT message FROM error($$UPDATE leadscore.transition SET to_stage = 'opportunity' WHERE model = 'tr_a' AND to_stage::text = 'lead'$$);
SELECT moves('tr_a');
-- whatever writes: ON CONFLICT, MERGE, COPY, a model that takes over moves
DELETE FROM leadscore.transition WHERE model IN ('tr_a', 'tr_b');
SELECT move('tr_a', 'lead>>mql mql>lead');
SELECT message FROM error($$INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES ('tr_a', 'mql', 'lead') ON CONFLICT (model, from_stage, to_stage) DO UPDATE SET automatic = true$$);
SELECT message FROM error($$MERGE INTO leadscore.transition t USING (VALUES ('lead'), ('sal')) v(stage) ON t.model = 'tr_a' AND t.to_stage::text = v.stage
	WHEN MATCHED THEN UPDATE SET automatic = true WHEN NOT MATCHED THEN INSERT (model, from_stage, to_stage) VALUES ('tr_a', 'mql', 'sal')$$);
COPY leadscore.transition (model, from_stage, to_stage, automatic) FROM stdin;
tr_a	mql	sal	t
tr_a	sal	lead	t
\.
SELECT move('tr_b', 'mql>>sal sal>>lead');
SELECT message FROM error($$UPDATE leadscore.transition SET model = 'tr_a' WHERE model = 'tr_b'$$);
UPDATE leadscore.model SET name = 'tr_c' WHERE name = 'tr_b';
SELECT moves('tr_a'), moves('tr_b'), moves('tr_c');
-- as pg_restore has it; and as replication writes, as far as it comes in statements
SET search_path = '';
INSERT INTO leadscore.transition (model, from_stage, to_stage, automatic) VALUES ('tr_a', 'sal', 'lead', true);
SELECT message FROM tr.error($$SELECT tr.move('tr_a', 'mql>>sal')$$);
SET search_path = tr;
SET session_replication_role = replica;
SELECT message FROM error($$SELECT move('tr_a', 'mql>>sal')$$);
RESET session_replication_role;
-- whoever may write moves need not be allowed to write models
CREATE ROLE tr_editor;
GRANT USAGE ON SCHEMA leadscore, tr TO tr_editor;
GRANT INSERT ON leadscore.transition TO tr_editor;
SET ROLE tr_editor;
SELECT message FROM error($$SELECT move('tr_a', 'mql>>sal')$$);
SELECT move('tr_a', 'mql>sal');
RESET ROLE;
SELECT moves('tr_a');

-- moves at random: one is refused if and only if there is a way back
DELETE FROM leadscore.transition WHERE model = 'tr_a';
CREATE TABLE outcome (n int, refused boolean, way_back boolean);
DO $$
DECLARE
	stages	text[] := ARRAY(SELECT stage::text FROM leadscore.lead_stages());
	seed	bigint := 42;
	a		text;
	b		text;
	auto	boolean;
	back	boolean;
	message	text;
BEGIN
	FOR n IN 1..400 LOOP
		IF n % 100 = 0 THEN
			DELETE FROM leadscore.transition WHERE model = 'tr_a';
		END IF;
		seed := (seed * 1103515245 + 12345) % 2147483648;
		a := stages[1 + (seed / 65536) % 15];
		seed := (seed * 1103515245 + 12345) % 2147483648;
		b := stages[1 + (seed / 65536) % 15];
		auto := seed % 3 <> 0;
		CONTINUE WHEN a = b OR EXISTS (SELECT FROM leadscore.transition WHERE model = 'tr_a' AND from_stage::text = a AND to_stage::text = b);
		WITH RECURSIVE way(stage) AS (
			SELECT b UNION SELECT t.to_stage::text FROM way JOIN leadscore.transition t ON t.model = 'tr_a' AND t.automatic AND t.from_stage::text = way.stage)
		SELECT auto AND EXISTS (SELECT FROM way WHERE stage = a) INTO back;
		SELECT e.message INTO message FROM tr.error(format('SELECT tr.move(%L, %L)', 'tr_a', a || CASE WHEN auto THEN '>>' ELSE '>' END || b)) e;
		INSERT INTO outcome VALUES (n, message LIKE 'automatic transitions of scoring model "tr_a" form a cycle: %', back);
	END LOOP;
END
$$;
SELECT count(*) > 200 AS many, count(*) FILTER (WHERE refused) > 20 AS some_refused, count(*) FILTER (WHERE NOT refused) > 100 AS some_not,
	   count(*) FILTER (WHERE refused <> way_back) AS wrong FROM outcome;
DELETE FROM leadscore.transition WHERE model LIKE 'tr\_%';

--
-- What looks wrong
--
SELECT * FROM leadscore.check_transitions('tr_a');		-- every move is open
SELECT * FROM leadscore.check_transitions(NULL);
SELECT * FROM error($$SELECT * FROM leadscore.check_transitions('tr_none')$$);
-- all is well
SELECT move('tr_a', 'lead>mql mql>sql sql>opportunity opportunity>customer customer>advocate opportunity>lost lead>disqualified');
SELECT * FROM leadscore.check_transitions('tr_a');
-- nothing leads to pql; nothing leads on from sql and nurture, where no lead's way ends
DELETE FROM leadscore.transition WHERE model = 'tr_a';
SELECT move('tr_a', 'lead>mql mql>sql pql>sql pql>sal mql>nurture mql>lost');
SELECT * FROM leadscore.check_transitions('tr_a');
-- a circle without an exit; the way into it is no better
DELETE FROM leadscore.transition WHERE model = 'tr_a';
SELECT move('tr_a', 'lead>mql mql>sql sql>mql lead>lost contact>prospect prospect>contact');
SELECT * FROM leadscore.check_transitions('tr_a');
DELETE FROM leadscore.transition WHERE model = 'tr_a' AND to_stage::text = 'lost';
SELECT finding, stage, detail FROM leadscore.check_transitions('tr_a') WHERE finding IN ('closed_loop', 'dead_end');
-- where leads start is a stage in use, and what the model names is to be reached
DELETE FROM leadscore.transition WHERE model = 'tr_a';
UPDATE leadscore.model SET initial_stage = 'visitor', handoff_stage = 'sal' WHERE name = 'tr_a';
SELECT move('tr_a', 'visitor>contact contact>lost lead>mql');
SELECT * FROM leadscore.check_transitions('tr_a');
SELECT move('tr_a', 'visitor>customer');		-- beyond accepted_stage
SELECT * FROM leadscore.check_transitions('tr_a') WHERE finding ~ 'accepted|handoff';
UPDATE leadscore.model SET initial_stage = 'contact' WHERE name = 'tr_a';
SELECT finding, stage FROM leadscore.check_transitions('tr_a');
-- somebody had switched the triggers off
UPDATE leadscore.model SET initial_stage = 'lead', handoff_stage = NULL WHERE name = 'tr_a';
DELETE FROM leadscore.transition WHERE model = 'tr_a';
BEGIN;
ALTER TABLE leadscore.transition DISABLE TRIGGER USER;
SELECT move('tr_a', 'lead>>mql mql>>sal sal>>lead sal>>sql sql>>sal sql>customer');
SELECT * FROM leadscore.check_transitions('tr_a');
ROLLBACK;

-- the CRM's status: leads start where it puts them
SELECT move('tr_a', 'lead>mql mql>sal sal>sql sql>customer contact>lead visitor>contact');
SELECT finding, stage, to_stage FROM leadscore.check_transitions('tr_a');
INSERT INTO leadscore.stage_map (model, status, stage) VALUES ('tr_a', 'new', 'visitor'), ('tr_a', 'won', 'customer');
SELECT * FROM leadscore.check_transitions('tr_a') WHERE finding NOT IN ('unreachable_stage', 'idle_transition');
UPDATE leadscore.model SET status = 'status' WHERE name = 'tr_a';
-- in the first stage that a status means, that is
INSERT INTO leadscore.stage_map (model, status, stage) VALUES
	('tr_a', 'working', 'mql'), ('tr_a', 'working', 'sal'), ('tr_a', 'odd', 'pql'), ('tr_a', 'odd', 'nurture'), ('tr_a', 'half odd', 'sql'), ('tr_a', 'half odd', 'prospect');
SELECT * FROM leadscore.check_transitions('tr_a');
DELETE FROM leadscore.transition WHERE model = 'tr_a' AND to_stage::text = 'sal';
SELECT * FROM leadscore.check_transitions('tr_a') WHERE finding ~ 'unreach|idle';
-- without a map the status is the name of a stage, any of them
DELETE FROM leadscore.stage_map WHERE model = 'tr_a';
SELECT * FROM leadscore.check_transitions('tr_a');
-- status or map, but no moves
DELETE FROM leadscore.transition WHERE model = 'tr_a';
INSERT INTO leadscore.stage_map (model, status, stage) VALUES ('tr_a', 'new', 'visitor');
SELECT * FROM leadscore.check_transitions('tr_a');
UPDATE leadscore.model SET status = NULL WHERE name = 'tr_a';
SELECT * FROM leadscore.check_transitions('tr_a');

--
-- Templates
--
INSERT INTO leadscore.model (name, target) VALUES ('tr_mars', 'lead'), ('tr_demand', 'lead');
SELECT leadscore.load_template('mars', 'tr_mars'), leadscore.load_template('demand_gen', 'tr_demand'), leadscore.load_template('conversation', 'tr_talk', 'lead');
SELECT model, from_stage::text, to_stage::text, automatic, left(condition, 57) AS condition, description FROM leadscore.transition
WHERE model IN ('tr_mars', 'tr_demand', 'tr_talk') ORDER BY model, from_stage::integer, to_stage::integer;
SELECT name, initial_stage::text, accepted_stage::text, handoff_stage::text, description FROM leadscore.model WHERE name IN ('tr_mars', 'tr_demand', 'tr_talk') ORDER BY name;
SELECT m, c.* FROM unnest('{tr_mars,tr_demand,tr_talk}'::text[]) m, leadscore.check_transitions(m) c;
SELECT name, leadscore.template(name) ->> 'description' AS description FROM unnest('{mars,demand_gen,conversation}'::text[]) name;
SELECT name, leadscore.template(name) - 'description' - 'transitions' AS more FROM unnest('{demand_gen,conversation}'::text[]) name;
-- in all of them who is disqualified is taken out, but for customers, and comes back by hand
SELECT model, string_agg(from_stage::text, ' ' ORDER BY from_stage::integer) FILTER (WHERE automatic AND condition = 'scored.disqualified') AS taken_out,
	   string_agg(from_stage::text, ' ' ORDER BY from_stage::integer) FILTER (WHERE NOT automatic) AS by_hand
FROM leadscore.transition WHERE model IN ('tr_mars', 'tr_demand', 'tr_talk') AND to_stage::text = 'disqualified' GROUP BY model ORDER BY model;

-- whom the criteria of mars mean
INSERT INTO lead (id, employees, industry, title) VALUES
	(1, 1001, 'Energy', 'CIO'), (2, 5000, 'oil, gas & energy', 'Head of IT'), (3, 2000, 'energy', 'IT Director'), (4, 2000, 'energy', 'Vice director, Information Technology'),
	(5, 1000, 'energy', 'CIO'), (6, 5000, 'mining', 'CIO'), (7, 5000, 'energy', 'Unit manager'), (8, 5000, 'energy', 'IT specialist'), (9, 5000, 'energy', 'Director of Audit'),
	(10, NULL, 'energy', 'CIO'), (11, 5000, NULL, 'CIO'), (12, 5000, 'energy', NULL),
	(13, 5000, 'energy', 'Chief Information Officer'), (14, 5000, 'energy', 'Chief Operating Officer');
SELECT ok, message FROM leadscore.transition t, leadscore.check_rule('tr_mars', t.condition) WHERE t.model = 'tr_mars' AND t.from_stage::text = 'lead' AND t.to_stage::text = 'mql';
SELECT format('SELECT array_agg(id ORDER BY id) AS mql FROM tr.lead WHERE %s', condition) FROM leadscore.transition WHERE model = 'tr_mars' AND from_stage::text = 'lead' AND to_stage::text = 'mql' \gexec

-- other columns, and criteria of one's own
CREATE TABLE odd ("Größe" int, branch text, "pos""ition" text, mail text, "it's ok" boolean, id int PRIMARY KEY);
SELECT leadscore.load_template('mars', 'tr_odd', 'odd', '{"employees": "Größe", "industry": "branch", "title": "pos\"ition"}');
SELECT condition LIKE '"Größe" > 1000 AND branch::text ILIKE ''%energy%'' AND "pos""ition"::text ~* %' AS mapped FROM leadscore.transition WHERE model = 'tr_odd' AND condition ~ '1000';
DELETE FROM leadscore.transition WHERE model = 'tr_odd';
SELECT leadscore.load_template('demand_gen', 'tr_odd', columns => '{"email": "mail", "phone": "mail", "consent": "it''s ok"}',
	criteria => '{"mql": "branch = ''a'' OR scored.grade = ''A1''", "sal": "scored.score >= 60 AND {{email}} > ''''"}');
SELECT from_stage::text, to_stage::text, condition FROM leadscore.transition WHERE model = 'tr_odd' AND condition !~ 'disqualified' ORDER BY from_stage::integer, to_stage::integer;
DELETE FROM leadscore.transition WHERE model = 'tr_odd';
-- null leaves a criterion as it is
SELECT leadscore.load_template('mars', 'tr_odd', criteria => '{"mql": "true"}'), leadscore.load_template('mars', 'tr_b2', 'lead', criteria => '{"mql": null}');
SELECT t.condition, u.condition = v.condition AS same
FROM leadscore.transition t, leadscore.transition u, leadscore.transition v
WHERE (t.model, u.model, v.model) = ('tr_odd', 'tr_b2', 'tr_mars') AND (t.from_stage::text, u.from_stage::text, v.from_stage::text) = ('lead', 'lead', 'lead')
	AND (t.to_stage::text, u.to_stage::text, v.to_stage::text) = ('mql', 'mql', 'mql');

-- what goes wrong, changes nothing
SELECT * FROM error($$SELECT leadscore.load_template('demand_gen', 'tr_mars')$$);
SELECT * FROM error($$SELECT leadscore.load_template('demand_gen', 'tr_new', 'tr.lead', criteria => '{"sql": "true"}')$$);
SELECT * FROM error($$SELECT leadscore.load_template('conversation', 'tr_new', 'tr.lead', criteria => '{"mql": "true"}')$$);
SELECT * FROM error($$SELECT leadscore.load_template('b2b_webinar', 'tr_new', 'tr.lead', criteria => '{"mql": "true"}')$$);
SELECT * FROM error($$SELECT leadscore.load_template('demand_gen', 'tr_new', 'tr.lead', '{"industry": "x"}')$$);
SELECT * FROM error($$SELECT leadscore.load_template('demand_gen', 'tr_new', 'tr.lead', activities => '{"visit": "x"}')$$);
SELECT * FROM error($$SELECT leadscore.load_template('demand_gen', 'tr_new')$$);
CREATE TABLE other (id int PRIMARY KEY, email text, optin boolean);
SELECT * FROM error($$SELECT leadscore.load_template('demand_gen', 'tr_new', 'tr.other', '{"consent": "optin"}')$$);
SELECT * FROM error($$SELECT leadscore.load_template('demand_gen', 'tr_new', 'tr.other', '{"consent": "optin", "phone": "email"}', criteria => '{"sal": "budget > 0"}')$$);
SELECT state, message FROM error($$SELECT leadscore.load_template('demand_gen', 'tr_new', 'tr.other', criteria => '{"lead": "email > ''''", "sal": "now()"}')$$);
SELECT count(*) FROM leadscore.model WHERE name = 'tr_new';
-- stages go with any matrix, in any order
CREATE TABLE classic (id int PRIMARY KEY, company_size text, knowledge_level text, purchase_motivation text, decision_power text, position text, webinar text, email text, phone text, consent boolean);
SELECT leadscore.load_template('b2b_webinar', 'tr_classic', 'classic'), leadscore.load_template('demand_gen', 'tr_classic');
SELECT leadscore.load_template('conversation', 'tr_classic2', 'classic'), leadscore.load_template('b2b_webinar', 'tr_classic2');
SELECT m.name, m.description, m.initial_stage::text, (SELECT count(*) FROM leadscore.rule r WHERE r.model = m.name) AS rules, (SELECT count(*) FROM leadscore.transition t WHERE t.model = m.name) AS transitions
FROM leadscore.model m WHERE m.name LIKE 'tr\_classic%' ORDER BY m.name;

-- they work: what automation does with leads that come, change, and are sent back
SELECT leadscore.attach('tr_classic') IS NOT NULL AS attached;
CREATE FUNCTION stages() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(lead_key || ' ' || stage, ', ' ORDER BY lead_key) FROM leadscore.tr_classic_scored $$;
INSERT INTO classic (id, email, consent, knowledge_level, decision_power, webinar) VALUES
	(1, NULL, true, NULL, NULL, NULL), (2, 'b@x', false, NULL, NULL, NULL), (3, 'c@x', true, NULL, NULL, NULL), (4, 'd@x', true, NULL, 'decides alone', NULL), (5, 'e@x', true, 'expert', 'decides alone', NULL);
SELECT stages();
SELECT from_stage::text, to_stage::text, automatic FROM leadscore.history WHERE model = 'tr_classic' AND lead_key = '5' ORDER BY at, xact, xact_order;
UPDATE classic SET webinar = 'attended + question + e-book', phone = '1' WHERE id IN (1, 4);
SELECT stages();
SELECT leadscore.accept('tr_classic', 5)::text, leadscore.reject('tr_classic', 4, 'not now')::text, leadscore.move('tr_classic', 5, 'opportunity')::text, leadscore.move('tr_classic', 5, 'customer')::text;
SELECT * FROM error($$SELECT leadscore.move('tr_classic', 3, 'customer')$$);
UPDATE classic SET knowledge_level = 'expert', phone = '2';		-- but who was sent back is left alone for a while
SELECT stages();
-- a rule that says no
INSERT INTO leadscore.factor (model, name, axis) VALUES ('tr_classic', 'no', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, disqualifies) VALUES ('tr_classic', 'no', 'phone = ''0''', true);
UPDATE classic SET phone = '0';
SELECT stages();
SELECT message FROM error($$SELECT leadscore.move('tr_classic', 3, 'contact')$$);
UPDATE classic SET phone = '3';
SELECT stages();
SELECT leadscore.move('tr_classic', 3, 'contact')::text;		-- and on from there
SELECT leadscore.detach('tr_classic');

--
-- Moves that ask for attempts to contact the lead
--
CREATE TABLE att (id integer PRIMARY KEY, status text DEFAULT 'mql');
CREATE TABLE call (lead integer, at timestamptz DEFAULT statement_timestamp(), answered boolean);
CREATE ROLE regress_tr_rep;
GRANT USAGE ON SCHEMA tr, leadscore TO regress_tr_rep;
GRANT SELECT, UPDATE ON att TO regress_tr_rep;
INSERT INTO att VALUES (1), (2), (3);
INSERT INTO leadscore.model (name, target, status) VALUES ('tr_att', 'att', 'status');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('tr_att', 'call', 'call', 'lead', 'at');
INSERT INTO leadscore.transition (model, from_stage, to_stage, min_attempts) VALUES ('tr_att', 'mql', 'lost', 2), ('tr_att', 'mql', 'sql', NULL), ('tr_att', 'sql', 'nurture', 1), ('tr_att', 'lost', 'mql', NULL);
SELECT * FROM error($$UPDATE leadscore.transition SET min_attempts = 0 WHERE model = 'tr_att' AND to_stage::text = 'lost'$$);
SELECT state, message FROM error($$UPDATE leadscore.transition SET automatic = true WHERE model = 'tr_att' AND to_stage::text = 'lost'$$);
SELECT leadscore.attach('tr_att') IS NOT NULL AS attached;
-- nobody counts
SELECT finding, stage, to_stage, detail FROM leadscore.check_transitions('tr_att') WHERE finding ~ 'attempts' ORDER BY 2;
SELECT * FROM error($$SELECT leadscore.move('tr_att', 1, 'lost')$$);
INSERT INTO leadscore.sla (model, stage) VALUES ('tr_att', 'mql');
SELECT detail FROM error($$SELECT leadscore.move('tr_att', 1, 'lost')$$);
UPDATE leadscore.sla SET response_activity = 'call', response_condition = 'answered IS NOT NULL' WHERE model = 'tr_att';
SELECT finding, stage FROM leadscore.check_transitions('tr_att') WHERE finding ~ 'attempts';
-- whoever moves it: a function, the CRM, who writes the state; and who may not read any of it
INSERT INTO call VALUES (1, DEFAULT, false), (1, DEFAULT, NULL), (2, DEFAULT, false);
SET ROLE regress_tr_rep;
SELECT * FROM tr.error($$SELECT leadscore.move('tr_att', 1, 'lost')$$);
SELECT state, detail FROM tr.error($$UPDATE tr.att SET status = 'lost' WHERE id = 1$$);
RESET ROLE;
SELECT state, detail FROM error($$UPDATE leadscore.tr_att_state SET stage = 'lost' WHERE lead_key = 1$$);
-- other ways are open
SELECT leadscore.move('tr_att', 2, 'sql');
-- and enough is enough, even in one's own transaction
BEGIN;
INSERT INTO call VALUES (1, DEFAULT, true);
SET LOCAL ROLE regress_tr_rep;
SELECT leadscore.move('tr_att', 1, 'lost', 'does not answer');
COMMIT;
-- it is counted from when the lead came to the stage
SELECT leadscore.move('tr_att', 1, 'mql');
SELECT state, detail FROM error($$UPDATE att SET status = 'lost' WHERE id = 1$$);
INSERT INTO call VALUES (1, DEFAULT, true), (1, DEFAULT, true);
UPDATE att SET status = 'lost' WHERE id = 1;
SELECT lead_key, stage FROM leadscore.tr_att_state ORDER BY 1;
-- what is wrong with the service level is told
INSERT INTO leadscore.sla (model, stage, response_activity, response_condition) VALUES ('tr_att', 'sql', 'call', 'answered');
ALTER TABLE call RENAME answered TO replied;
SELECT * FROM error($$SELECT leadscore.move('tr_att', 2, 'nurture')$$);
ALTER TABLE call RENAME replied TO answered;
-- where the CRM is the master nobody asks
UPDATE leadscore.model SET stage_mode = 'follow' WHERE name = 'tr_att';
UPDATE att SET status = 'lost' WHERE id = 3;
SELECT stage FROM leadscore.tr_att_state WHERE lead_key = 3;
UPDATE leadscore.model SET stage_mode = 'lead' WHERE name = 'tr_att';
-- a table of one's own is guarded as well
CREATE TABLE deal (id integer PRIMARY KEY, stage leadscore.lead_stage);
INSERT INTO deal VALUES (2, 'sql');
CREATE TRIGGER guard BEFORE UPDATE ON deal FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage('tr_att');
SELECT state, message, detail FROM error($$UPDATE deal SET stage = 'nurture'$$);
-- it goes along: a copy, what is exported and imported, a draft that is published
SELECT leadscore.copy_model('tr_att', 'tr_att_copy');
SELECT leadscore.import_model(leadscore.export_model('tr_att'), 'tr_att_import');
SELECT model, from_stage, to_stage, min_attempts FROM leadscore.transition WHERE model LIKE 'tr_att_%' AND min_attempts IS NOT NULL ORDER BY 1, 2::integer;
UPDATE leadscore.transition SET min_attempts = 5 WHERE model = 'tr_att_copy' AND to_stage::text = 'lost';
SELECT leadscore.publish('tr_att_copy') IS NOT NULL AS published;
SELECT from_stage, to_stage, min_attempts FROM leadscore.transition WHERE model = 'tr_att' AND min_attempts IS NOT NULL ORDER BY 1::integer;
SELECT leadscore.rollback_model('tr_att') IS NOT NULL AS rolled_back;
SELECT from_stage, to_stage, min_attempts FROM leadscore.transition WHERE model = 'tr_att' AND min_attempts IS NOT NULL ORDER BY 1::integer;
SELECT leadscore.detach('tr_att');
DELETE FROM leadscore.model WHERE name LIKE 'tr_att%';
SELECT leadscore._delete_history('tr_att', NULL, NULL) > 0 AS cleared;
DROP OWNED BY regress_tr_rep;
DROP ROLE regress_tr_rep;

-- of a model that is not attached nothing is counted: what it reads would be read
-- as the owner of the history, and who may write models may name any view
CREATE ROLE regress_tr_own;
GRANT USAGE ON SCHEMA leadscore TO regress_tr_own;
GRANT SELECT, INSERT ON leadscore.model, leadscore.activity_source, leadscore.transition, leadscore.sla TO regress_tr_own;
GRANT USAGE, CREATE ON SCHEMA tr TO regress_tr_own;
SET ROLE regress_tr_own;
CREATE TABLE own_lead (id integer PRIMARY KEY);
CREATE TABLE own_call (lead integer, at timestamptz);
CREATE TABLE own_deal (id integer PRIMARY KEY, stage leadscore.lead_stage);
CREATE FUNCTION who() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	IF current_user <> 'regress_tr_own' THEN
		RAISE WARNING 'the view runs with the rights of somebody else';
	END IF;
	RETURN now();
END
$$;
CREATE VIEW own_source AS SELECT id, tr.who() AS asked_at FROM own_lead;
INSERT INTO own_lead VALUES (1), (2);
INSERT INTO own_deal VALUES (1, 'lead');
INSERT INTO leadscore.model (name, target, source, key_column) VALUES ('tr_own', 'own_lead', 'own_source', 'id');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('tr_own', 'call', 'own_call', 'lead', 'at');
INSERT INTO leadscore.transition (model, from_stage, to_stage, min_attempts) VALUES ('tr_own', 'lead', 'mql', 1);
INSERT INTO leadscore.sla (model, stage, starts, request_at, response_activity) VALUES ('tr_own', 'lead', 'request', 'asked_at', 'call');
CREATE TRIGGER guard BEFORE UPDATE ON own_deal FOR EACH ROW EXECUTE FUNCTION leadscore.guard_stage('tr_own');
SELECT leads FROM leadscore.attach('tr_own');
SELECT detail FROM tr.error($$UPDATE own_deal SET stage = 'mql'$$);
-- nor do triggers on his state table run as somebody else when a lead is forgotten; rules are refused
CREATE FUNCTION who_deletes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM tr.who(); RETURN OLD; END $$;
CREATE TRIGGER who BEFORE DELETE ON leadscore.tr_own_state FOR EACH ROW EXECUTE FUNCTION who_deletes();
SELECT state, detail FROM tr.error($$CREATE RULE who AS ON DELETE TO leadscore.tr_own_state DO ALSO SELECT tr.who()$$);
SELECT leadscore.forget('tr_own', '2') -> 'state' AS state;
SELECT leadscore.forget('tr_own', 'none') -> 'state' AS state;
-- nor a constraint on it, when keys get another type
CREATE TABLE own_typed (id integer PRIMARY KEY);
INSERT INTO own_typed VALUES (1);
INSERT INTO leadscore.model (name, target) VALUES ('tr_typed', 'own_typed');
SELECT leads FROM leadscore.attach('tr_typed');
ALTER TABLE leadscore.tr_typed_state ADD CHECK (tr.who() IS NOT NULL AND lead_key IS NOT NULL);
ALTER TABLE own_typed ALTER id TYPE text;
SELECT pg_typeof(lead_key), count(*) FROM leadscore.tr_typed_state GROUP BY 1;
SELECT leadscore.detach('tr_typed');
SELECT leadscore.detach('tr_own');
SELECT state, detail FROM tr.error($$UPDATE own_deal SET stage = 'mql'$$);
RESET ROLE;
DELETE FROM leadscore.model WHERE name IN ('tr_own', 'tr_typed');
SELECT leadscore._delete_history(model, NULL, NULL) > 0 AS cleared FROM unnest('{tr_own,tr_typed}'::text[]) model;
DROP OWNED BY regress_tr_own;
DROP ROLE regress_tr_own;

DELETE FROM leadscore.model WHERE name LIKE 'tr\_%';
SELECT count(*) FROM leadscore.transition WHERE model LIKE 'tr\_%';
DROP OWNED BY tr_editor;
DROP ROLE tr_editor;
DROP SCHEMA tr CASCADE;
