--
-- playbook: what to do next with a lead
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA pb;
SET search_path = pb;

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

-- points say which temperature and grade a lead has
CREATE TABLE lead (id int PRIMARY KEY, points int, interest text, amount text, rep name);
INSERT INTO lead VALUES (1, 60, 'energy', '10', 'pb_anna'), (2, 30, 'energy', 'much', 'pb_anna'), (3, 0, 'mining', '30', 'pb_anna'), (4, -10, NULL, NULL, 'pb_bob'), (5, 60, NULL, '50', 'pb_bob');
INSERT INTO leadscore.model (name, target) VALUES ('pb', 'lead');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('pb', 'f', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('pb', 'f', 'points >= 60', 60), ('pb', 'f', 'points = 30', 30), ('pb', 'f', 'points < 0', -10);

SELECT (leadscore.attach('pb')).leads;
-- what the scored view's column shows, and next_action() beside it
CREATE VIEW todo AS
	SELECT s.lead_key AS id, s.temperature, s.grade, s.stage, leadscore._next_action('pb', s.lead_key, s.temperature, s.grade, s.stage) AS action
	FROM leadscore.pb_scored s;
UPDATE leadscore.pb_state SET stage = 'mql' WHERE lead_key = 5;
CREATE FUNCTION todos() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	-- both ways must agree
	ASSERT NOT EXISTS (SELECT FROM pb.todo t, leadscore.next_action('pb', t.id) n WHERE n.action IS DISTINCT FROM t.action);
	RETURN (SELECT string_agg(coalesce(action, '-'), ', ' ORDER BY id) FROM pb.todo);
END
$$;

--
-- Who wins
--
SELECT * FROM todo ORDER BY id;		-- nothing is said
INSERT INTO leadscore.playbook (model, action) VALUES ('pb', 'any');
SELECT todos();
INSERT INTO leadscore.playbook (model, temperature, action) VALUES ('pb', 'hot', 'hot'), ('pb', 'cold', 'cold');
SELECT todos();
-- of rows that name one thing: the stage, then the grade, then the temperature
INSERT INTO leadscore.playbook (model, grade, action) VALUES ('pb', 'A', 'A'), ('pb', 'B', 'B');
SELECT todos();
INSERT INTO leadscore.playbook (model, stage, action) VALUES ('pb', 'mql', 'mql');
SELECT todos();
-- two things win over one
INSERT INTO leadscore.playbook (model, temperature, grade, action) VALUES ('pb', 'hot', 'A', 'hot A'), ('pb', 'hot', 'C', 'never');
SELECT todos();
-- of two things: the stage and the grade, the stage and the temperature, the grade and the temperature
INSERT INTO leadscore.playbook (model, temperature, stage, action) VALUES ('pb', 'hot', 'mql', 'hot mql'), ('pb', 'cold', 'lead', 'cold lead');
SELECT todos();
INSERT INTO leadscore.playbook (model, grade, stage, action) VALUES ('pb', 'A', 'mql', 'A mql'), ('pb', 'D', 'lead', 'D lead');
SELECT todos();
INSERT INTO leadscore.playbook (model, temperature, grade, stage, action) VALUES ('pb', 'hot', 'A', 'mql', 'hot A mql');
SELECT todos();
SELECT n.action, n.content, n.step, b.action FROM leadscore.next_action('pb', 5) n JOIN leadscore.playbook b ON b.id = n.playbook;
SELECT (leadscore.next_action('pb', '5')).action, (leadscore.next_action('pb', 5::bigint)).action, (leadscore.next_action('pb', 5.0::numeric(3,0))).action, (leadscore.next_action('pb', '5'::varchar)).action;

-- no two alike, whatever is left open
SELECT state, message FROM error($$INSERT INTO leadscore.playbook (model, action) VALUES ('pb', 'again')$$);
SELECT state FROM error($$INSERT INTO leadscore.playbook (model, temperature, grade, stage, action) VALUES ('pb', 'hot', 'A', 'mql', 'again')$$);
SELECT state FROM error($$INSERT INTO leadscore.playbook (model, grade, action, step) VALUES ('pb', 'A', 'step', 1), ('pb', 'A', 'again', 1)$$);
SELECT state FROM error($$INSERT INTO leadscore.playbook (model, grade, action, condition) VALUES ('pb', 'A', 'once', 'true'), ('pb', 'A', 'again', 'true')$$);
SELECT state FROM error(format($$INSERT INTO leadscore.playbook (model, grade, action, condition) VALUES ('pb', 'Z', 'long', %L)$$, 'interest IN (' || repeat('''something else'', ', 1000) || ''''')'));
-- what else is refused
SELECT v.temperature, v.grade, v.stage, v.action, v.step, e.state
FROM (VALUES ('tepid', NULL, NULL, 'a', NULL), (NULL, '', NULL, 'a', NULL), (NULL, 'A 1', NULL, 'a', NULL), (NULL, NULL, 'loved', 'a', NULL), (NULL, 'X', NULL, '', NULL), (NULL, 'X', NULL, NULL, NULL), (NULL, 'X', NULL, 'a', 0)) v(temperature, grade, stage, action, step),
	 error(format('INSERT INTO leadscore.playbook (model, temperature, grade, stage, action, step) VALUES (%L, %L, %L, %L, %L, %L)', 'pb', v.temperature, v.grade, v.stage, v.action, v.step)) e;
SELECT state, message FROM error($$INSERT INTO leadscore.playbook (model, action) VALUES ('pb_none', 'a')$$);
DELETE FROM leadscore.playbook WHERE model = 'pb' AND (temperature IS NOT NULL OR grade IS NOT NULL OR stage IS NOT NULL);
SELECT todos();

--
-- Conditions
--
INSERT INTO leadscore.playbook (model, action, condition) VALUES ('pb', 'energy study', $$interest = 'energy'$$), ('pb', 'no interest known', 'interest IS NULL'), ('pb', 'about energy', $$interest LIKE 'en%'$$);
SELECT todos();		-- rather than the row without one; of two that hold, the one that was written first
SELECT condition, search_path FROM leadscore.playbook WHERE model = 'pb' ORDER BY id;
-- a condition is no fourth thing to name
INSERT INTO leadscore.playbook (model, temperature, action) VALUES ('pb', 'hot', 'call');
SELECT todos();
INSERT INTO leadscore.playbook (model, temperature, action, condition) VALUES ('pb', 'hot', 'call about energy', $$interest = 'energy'$$);
SELECT todos();
-- they are checked as those of rules are; and may look at the clock as they like
SELECT e.* FROM (VALUES ('no_column > 1'), ('(SELECT true)'), ('pg_read_file(''x'') IS NULL'), ('points'), ('interest =')) v(condition),
	 error(format('INSERT INTO leadscore.playbook (model, action, condition) VALUES (%L, %L, %L)', 'pb', 'x', v.condition)) e;
INSERT INTO leadscore.playbook (model, stage, action, condition) VALUES ('pb', 'mql', 'after 2000', 'extract(year FROM now()) > 2000');
SELECT todos();
UPDATE leadscore.playbook SET condition = 'extract(year FROM now()) < 2000' WHERE model = 'pb' AND action = 'after 2000';
SELECT todos();
SELECT state, message FROM error($$UPDATE leadscore.playbook SET condition = 'nothing' WHERE model = 'pb' AND action = 'after 2000'$$);
DELETE FROM leadscore.playbook WHERE model = 'pb' AND stage IS NOT NULL;
-- names mean what they meant to whoever wrote them, and so do times
CREATE TYPE kind AS ENUM ('energy', 'mining');
UPDATE leadscore.playbook SET condition = $$interest = 'energy'::kind::text AND '2024-01-01 12:00'::timestamptz = '2024-01-01 12:00 UTC'::timestamptz$$ WHERE model = 'pb' AND action = 'energy study';
SET search_path = pg_catalog;
SET TimeZone = 'Asia/Tokyo';
SELECT pb.todos();
RESET TimeZone;
SET search_path = pb;
-- one that fails is none to who reads them all, and an error to who asks
UPDATE leadscore.playbook SET condition = 'amount::int >= 10' WHERE model = 'pb' AND action = 'energy study';
SET client_min_messages = error;	-- a warning, once per session
SELECT * FROM todo ORDER BY id;
RESET client_min_messages;
SET client_min_messages = warning;
SELECT * FROM error($$SELECT leadscore.next_action('pb', 2)$$);
SELECT (leadscore.next_action('pb', 3)).action;
-- so is one whose column is gone, and doctor() tells
ALTER TABLE lead RENAME amount TO sum;
SET client_min_messages = error;
SELECT string_agg(action, ', ' ORDER BY id) FROM todo;
SET client_min_messages = warning;
SELECT state, message FROM error($$SELECT leadscore.next_action('pb', 3)$$);
SELECT c.sqlstate, c.message, b.action FROM leadscore.check_playbook('pb') c JOIN leadscore.playbook b ON b.id = c.playbook;
SELECT finding, detail, remedy FROM leadscore.doctor('pb');
SELECT * FROM leadscore.check_playbook(NULL);
SELECT state FROM error($$SELECT leadscore.check_playbook('pb_none')$$);
ALTER TABLE lead RENAME sum TO amount;
SELECT string_agg(action, ', ' ORDER BY id) FROM todo WHERE id <> 2;
SELECT * FROM leadscore.doctor('pb');
DELETE FROM leadscore.playbook WHERE model = 'pb' AND condition IS NOT NULL;

--
-- Programmes
--
DELETE FROM leadscore.playbook WHERE model = 'pb';
INSERT INTO leadscore.playbook (model, temperature, condition, step, action, content) VALUES
	('pb', 'cold', $$interest = 'mining'$$, 30, 'third', NULL), ('pb', 'cold', $$interest = 'mining'$$, 10, 'first', 'e-book'), ('pb', 'cold', $$interest = 'mining'$$, 20, 'second', 'webinar'),
	('pb', 'cold', NULL, 1, 'hello', NULL), ('pb', NULL, NULL, NULL, 'wait', NULL);
SELECT todos();
SELECT action, content, step FROM leadscore.next_action('pb', 3);
SELECT action, content, step FROM leadscore.acknowledge_action('pb', 3);
SELECT todos();
-- a lead that is not cold any more has other things to do, and goes on where it was
UPDATE lead SET points = 30 WHERE id = 3;
SELECT todos();
SELECT action, step FROM leadscore.acknowledge_action('pb', 3);		-- noted, but there is no next step
UPDATE lead SET points = 0 WHERE id = 3;
SELECT todos();
-- a step that is put in behind the lead is not for it, one ahead of it is
INSERT INTO leadscore.playbook (model, temperature, condition, step, action) VALUES ('pb', 'cold', $$interest = 'mining'$$, 5, 'zeroth'), ('pb', 'cold', $$interest = 'mining'$$, 15, 'first and a half');
SELECT todos();
SELECT action, step FROM leadscore.acknowledge_action('pb', '3');
SELECT action, step FROM leadscore.acknowledge_action('pb', 3::bigint);
-- the next best after the last step: another programme, and at its end a row without a step
SELECT action, step FROM leadscore.acknowledge_action('pb', 3);
SELECT action, step FROM leadscore.acknowledge_action('pb', 3);
INSERT INTO leadscore.playbook (model, temperature, condition, action) VALUES ('pb', 'cold', $$interest = 'mining'$$, 'standing');
SELECT todos();
SELECT lead_key, b.action, p.times, p.acknowledged_by = session_user AS by_me, p.acknowledged_at > now() - interval '1 day' AS just_now
FROM leadscore.playbook_progress p JOIN leadscore.playbook b ON b.id = p.playbook WHERE p.model = 'pb' ORDER BY lead_key, b.step, b.action;
-- what was seen before can be acknowledged after
SELECT id AS zeroth FROM leadscore.playbook WHERE model = 'pb' AND action = 'zeroth' \gset
SELECT id AS third FROM leadscore.playbook WHERE model = 'pb' AND action = 'third' \gset
SELECT action, step FROM leadscore.acknowledge_action('pb', 4);
UPDATE lead SET interest = 'mining' WHERE id = 4;
SELECT action, step FROM leadscore.acknowledge_action('pb', 4, :zeroth);
SELECT action, step FROM leadscore.acknowledge_action('pb', 4, :zeroth);
SELECT action, step FROM leadscore.acknowledge_action('pb', '4', done => :third);
SELECT * FROM error($$SELECT leadscore.acknowledge_action('pb', 4, 0)$$);
-- an edited row is the same row; one that is gone was never done
UPDATE leadscore.playbook SET condition = $$interest IN ('mining', 'energy')$$ WHERE model = 'pb' AND condition IS NOT NULL;
SELECT todos();
DELETE FROM leadscore.playbook WHERE model = 'pb' AND action = 'third';
SELECT todos();
DELETE FROM leadscore.playbook_progress WHERE model = 'pb' AND lead_key = '4';
SELECT todos();
-- within a transaction, and a loop: what is written is seen
DO $$
DECLARE
	said text := '';
BEGIN
	FOR i IN 1..8 LOOP
		said := said || coalesce((leadscore.next_action('pb', 4)).action, '-') || '; ';
		IF i = 3 THEN
			DELETE FROM leadscore.playbook WHERE model = 'pb' AND action = 'first and a half';
		ELSIF i = 4 THEN
			UPDATE lead SET points = 30 WHERE id = 4;
		ELSE
			PERFORM leadscore.acknowledge_action('pb', 4);
		END IF;
	END LOOP;
	RAISE WARNING '%', said;
END
$$;

-- nothing to do, or nobody to do it with
SELECT * FROM leadscore.next_action('pb', 99);
SELECT * FROM error($$SELECT leadscore.acknowledge_action('pb', 99)$$);
SELECT leadscore.next_action(NULL, 1) IS NULL, leadscore.next_action('pb', NULL::int) IS NULL;
SELECT e.state, e.message FROM (VALUES ($$SELECT leadscore.acknowledge_action(NULL, 1)$$), ($$SELECT leadscore.acknowledge_action('pb', NULL::text)$$)) v(statement), error(v.statement) e;
DELETE FROM leadscore.playbook WHERE model = 'pb';
SELECT * FROM leadscore.next_action('pb', 1);
SELECT * FROM leadscore.acknowledge_action('pb', 1);
SELECT count(*) FROM leadscore.playbook_progress WHERE model = 'pb';
INSERT INTO leadscore.model (name, target) VALUES ('pb_loose', 'lead');
INSERT INTO leadscore.playbook (model, action, condition) VALUES ('pb_loose', 'call', 'points > 0');
SELECT v.statement, e.state, e.message, e.hint
FROM (VALUES ($$SELECT leadscore.next_action('pb_none', 1)$$), ($$SELECT leadscore.acknowledge_action('pb_none', 1)$$), ($$SELECT leadscore.next_action('pb_loose', 1)$$), ($$SELECT leadscore.acknowledge_action('pb_loose', 1)$$),
			 ($$SELECT leadscore.next_action('pb', 'x')$$), ($$SELECT leadscore.next_action('pb', 1.5)$$), ($$SELECT leadscore.next_action('pb', true)$$), ($$SELECT leadscore.acknowledge_action('pb', now())$$)) v(statement), error(v.statement) e;
SELECT leadscore._next_action('pb_loose', 1, 'hot', 'A', 'lead') IS NULL, leadscore._next_action('pb_none', 1, 'hot', 'A', 'lead') IS NULL, leadscore._next_action('pb', 1, NULL, NULL, NULL) IS NULL;
INSERT INTO leadscore.playbook (model, temperature, action) VALUES ('pb', NULL, 'any'), ('pb', 'hot', 'hot');
SELECT leadscore._next_action('pb', 1, NULL, NULL, NULL), leadscore._next_action('pb', NULL::int, 'hot', 'A', 'lead'), leadscore._next_action('pb', 12345, 'hot', 'A', 'lead');
SELECT state FROM error($$SELECT leadscore._next_action('pb', '1'::text, 'hot', 'A', 'lead')$$);

--
-- Who may ask
--
DELETE FROM leadscore.playbook WHERE model = 'pb';
INSERT INTO leadscore.playbook (model, action, condition) VALUES ('pb', 'any', NULL), ('pb', 'about energy', $$interest = 'energy'$$);
INSERT INTO leadscore.playbook (model, temperature, action, step) VALUES ('pb', 'hot', 'step 1', 1), ('pb', 'hot', 'step 2', 2);
CREATE ROLE pb_anna;
CREATE ROLE pb_stranger;
GRANT USAGE ON SCHEMA leadscore, pb TO pb_anna, pb_stranger;
GRANT SELECT ON leadscore.pb_state, leadscore.pb_scored, todo TO pb_anna;
-- a rep who may read the scored view, and nothing else
SET ROLE pb_anna;
SELECT string_agg(action, ', ' ORDER BY lead_key) FROM (SELECT lead_key, leadscore._next_action('pb', lead_key, temperature, grade, stage) AS action FROM leadscore.pb_scored OFFSET 0) t;
SELECT action FROM leadscore.next_action('pb', 2);
SELECT state, message FROM error($$SELECT leadscore.acknowledge_action('pb', 1)$$);
SELECT state, message FROM error($$SELECT * FROM leadscore.playbook$$);
SELECT state, message FROM error($$INSERT INTO leadscore.playbook_progress (model, lead_key, playbook) SELECT 'pb', '1', 1$$);
SELECT state, message FROM error($$SELECT * FROM pb.lead$$);
-- and one who may change leads
RESET ROLE;
GRANT SELECT, UPDATE (interest) ON lead TO pb_anna;
SET ROLE pb_anna;
SELECT action, step FROM leadscore.acknowledge_action('pb', 1);
SET ROLE pb_stranger;
SELECT e.state, e.message FROM (VALUES ($$SELECT leadscore.next_action('pb', 2)$$), ($$SELECT leadscore.acknowledge_action('pb', 2)$$), ($$SELECT leadscore._next_action('pb', 2, 'hot', 'A', 'lead')$$)) v(statement), error(v.statement) e;
RESET ROLE;
-- row security of the leads
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON lead FOR SELECT USING (rep = CURRENT_USER);
CREATE POLICY change ON lead FOR UPDATE USING (id <> 2);
SET ROLE pb_anna;
SELECT string_agg(lead_key || ' ' || action, ', ' ORDER BY lead_key) FROM (SELECT lead_key, leadscore._next_action('pb', lead_key, temperature, grade, stage) AS action FROM leadscore.pb_scored OFFSET 0) t;
SELECT (leadscore.next_action('pb', 1)).action, (leadscore.next_action('pb', 5)).action, (leadscore.acknowledge_action('pb', 1)).action;
SELECT * FROM error($$SELECT leadscore.acknowledge_action('pb', 5)$$);
SELECT * FROM error($$SELECT leadscore.acknowledge_action('pb', 2)$$);
-- nor does the view's function say what it knows of a lead that is not hers
SELECT k, leadscore._next_action('pb', k, 'cold', 'A', 'lead') FROM unnest('{1,2,3,4,5}'::int[]) k;
RESET ROLE;
SELECT lead_key, b.action FROM leadscore.playbook_progress p JOIN leadscore.playbook b ON b.id = p.playbook WHERE p.model = 'pb' ORDER BY 1, 2;
ALTER TABLE lead DISABLE ROW LEVEL SECURITY;
DROP POLICY own ON lead;
DROP POLICY change ON lead;
-- nobody runs code as us
CREATE FUNCTION foreign_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER foreign_trigger AFTER INSERT ON leadscore.playbook_progress FOR EACH ROW EXECUTE FUNCTION foreign_trigger();
SELECT state, message FROM error($$SELECT leadscore.acknowledge_action('pb', 1)$$);
DROP TRIGGER foreign_trigger ON leadscore.playbook_progress;

--
-- Other keys, and leads read through a view
--
CREATE TABLE person (ref uuid PRIMARY KEY, company int);
CREATE TABLE company (id int PRIMARY KEY, sector text);
INSERT INTO company VALUES (1, 'energy'), (2, 'mining');
INSERT INTO person VALUES ('00000000-0000-0000-0000-000000000001', 1), ('00000000-0000-0000-0000-000000000002', 2), ('00000000-0000-0000-0000-000000000003', NULL);
CREATE VIEW person_source AS SELECT p.ref, c.sector FROM person p LEFT JOIN company c ON c.id = p.company;
INSERT INTO leadscore.model (name, target, source) VALUES ('pb_uuid', 'person', 'person_source');
SELECT (leadscore.attach('pb_uuid')).leads;
INSERT INTO leadscore.playbook (model, action, condition, step) VALUES ('pb_uuid', 'energy 1', $$sector = 'energy'$$, 1), ('pb_uuid', 'energy 2', $$sector = 'energy'$$, 2), ('pb_uuid', 'any', NULL, NULL);
SELECT lead_key, leadscore._next_action('pb_uuid', lead_key, temperature, grade, stage) FROM leadscore.pb_uuid_scored ORDER BY 1;
SELECT action FROM leadscore.acknowledge_action('pb_uuid', '00000000-0000-0000-0000-000000000001'::uuid);
SELECT action FROM leadscore.next_action('pb_uuid', '00000000-0000-0000-0000-00000000000' || '1');
-- the source is gone: stored scores are shown, and so are actions that need no more
ALTER VIEW person_source RENAME COLUMN sector TO industry;
SET client_min_messages = error;
SELECT leadscore._next_action('pb_uuid', lead_key, temperature, grade, stage) FROM leadscore.pb_uuid_scored ORDER BY lead_key;
DROP VIEW person_source;
SELECT leadscore._next_action('pb_uuid', lead_key, temperature, grade, stage) FROM leadscore.pb_uuid_scored ORDER BY lead_key;
SELECT state, message FROM error($$SELECT leadscore.next_action('pb_uuid', '00000000-0000-0000-0000-000000000001')$$);
SET client_min_messages = warning;
SELECT leadscore.detach('pb_uuid');

--
-- At random: the same as plain SQL says
--
DELETE FROM leadscore.playbook WHERE model = 'pb';
TRUNCATE lead;
INSERT INTO lead SELECT i, (i * 7 % 100) - 20, NULL, (i * 13 % 12)::text, NULL FROM generate_series(1, 300) i;
CREATE FUNCTION pick(n int, among int) RETURNS int LANGUAGE sql AS $$ SELECT abs(hashint4extended(n, 42) % among)::int $$;
UPDATE leadscore.pb_state SET stage = (ARRAY['lead', 'mql', 'sal', 'nurture'])[1 + pick(lead_key, 4)]::leadscore.lead_stage;
INSERT INTO leadscore.playbook (model, temperature, grade, stage, condition, step, action)
SELECT 'pb', (ARRAY['cold', 'warm', 'hot', NULL, NULL])[1 + pick(n * 10, 5)], (ARRAY['A', 'B', 'C', 'D', NULL, NULL, NULL])[1 + pick(n * 10 + 1, 7)],
	   (ARRAY['lead', 'mql', 'sal', NULL, NULL])[1 + pick(n * 10 + 2, 5)]::leadscore.lead_stage,
	   CASE pick(n * 10 + 3, 3) WHEN 0 THEN format('amount::int %% %s = %s', 2 + pick(n * 10 + 4, 2), pick(n * 10 + 5, 2)) END,
	   CASE pick(n * 10 + 6, 2) WHEN 0 THEN 1 + pick(n * 10 + 7, 3) END, 'action ' || n
FROM generate_series(1, 300) n
ON CONFLICT DO NOTHING;
-- some were done with some
INSERT INTO leadscore.playbook_progress (model, lead_key, playbook)
SELECT 'pb', l.id::text, p.id FROM lead l, leadscore.playbook p WHERE p.model = 'pb' AND pick(l.id * 1000 + substr(p.action, 8)::int, 8) = 0;
-- what the conditions say, as numbers
CREATE VIEW row_says AS
	SELECT id AS playbook, m[1]::int AS k, m[2]::int AS r FROM leadscore.playbook, regexp_match(condition, '(\d) = (\d)') m WHERE model = 'pb';
CREATE VIEW expected AS
	SELECT s.lead_key AS id, s.temperature, s.grade, s.stage, b.action
	FROM leadscore.pb_scored s JOIN lead l ON l.id = s.lead_key
	LEFT JOIN LATERAL (
		SELECT p.action, p.step, p.id
		FROM leadscore.playbook p LEFT JOIN row_says r ON r.playbook = p.id
		WHERE p.model = 'pb' AND coalesce(p.temperature = s.temperature, true) AND coalesce(p.grade = s.grade, true) AND coalesce(p.stage::text = s.stage, true)
		  AND (p.condition IS NULL OR l.amount::int - l.amount::int / r.k * r.k = r.r)
		  AND (p.step IS NULL OR p.step > ALL (
				SELECT q.step FROM leadscore.playbook_progress d JOIN leadscore.playbook q ON q.id = d.playbook
				WHERE d.model = 'pb' AND d.lead_key = s.lead_key::text AND q.step IS NOT NULL
				  AND (q.temperature, q.grade, q.stage::text, q.condition) IS NOT DISTINCT FROM (p.temperature, p.grade, p.stage::text, p.condition)))
		ORDER BY num_nonnulls(p.temperature, p.grade, p.stage) DESC, p.stage IS NULL, p.grade IS NULL, p.temperature IS NULL, p.condition IS NULL,
				 (SELECT min(q.id) FROM leadscore.playbook q WHERE q.model = 'pb'
					AND (q.temperature, q.grade, q.stage::text, q.condition) IS NOT DISTINCT FROM (p.temperature, p.grade, p.stage::text, p.condition)),
				 p.step NULLS LAST
		LIMIT 1) b ON true;
SELECT count(*) > 120 AS many_rows, count(*) FILTER (WHERE condition IS NOT NULL) > 30 AS with_condition, count(*) FILTER (WHERE step IS NOT NULL) > 30 AS with_step FROM leadscore.playbook WHERE model = 'pb';
SELECT count(*) AS leads, count(DISTINCT action) > 30 AS many_actions, count(DISTINCT (temperature, grade, stage)) > 12 AS many_kinds FROM expected;
SELECT count(*) AS wrong FROM expected e JOIN todo t USING (id) WHERE e.action IS DISTINCT FROM t.action;
SELECT count(*) AS wrong FROM expected e, leadscore.next_action('pb', e.id) n WHERE e.action IS DISTINCT FROM n.action;
-- in parallel plans too, where no subtransaction catches what goes wrong
ALTER TABLE leadscore.pb_state SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
CREATE FUNCTION is_parallel(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		IF line ~ 'Gather' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END
$$;
SELECT is_parallel($$SELECT leadscore._next_action('pb', lead_key, temperature, grade, stage::text) FROM leadscore.pb_state$$);
CREATE TABLE seen AS SELECT lead_key, leadscore._next_action('pb', lead_key, temperature, grade, stage::text) AS action FROM leadscore.pb_state;
SELECT count(*) AS wrong FROM expected e JOIN seen s ON s.lead_key = e.id WHERE e.action IS DISTINCT FROM s.action;
UPDATE leadscore.playbook SET condition = 'rep::text::int > 0' WHERE model = 'pb' AND condition = 'amount::int % 2 = 1' AND temperature = 'hot';
UPDATE lead SET rep = 'x';
SET client_min_messages = error;
SELECT is_parallel($$SELECT leadscore._next_action('pb', lead_key, temperature, grade, stage::text) FROM leadscore.pb_state$$);
CREATE TABLE seen2 AS SELECT lead_key, leadscore._next_action('pb', lead_key, temperature, grade, stage::text) AS action FROM leadscore.pb_state;
DELETE FROM leadscore.playbook WHERE model = 'pb' AND condition = 'rep::text::int > 0';
SET client_min_messages = warning;
SELECT count(*) AS wrong FROM expected e JOIN seen2 s ON s.lead_key = e.id WHERE e.action IS DISTINCT FROM s.action;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
-- and when everybody has taken a step
SELECT count(leadscore.acknowledge_action('pb', id)) > 0 AS acknowledged FROM lead;
SELECT count(*) AS wrong FROM expected e JOIN todo t USING (id) WHERE e.action IS DISTINCT FROM t.action;

DROP VIEW expected, todo;
SELECT leadscore.detach('pb');
SELECT count(*) > 0 AS kept FROM leadscore.playbook_progress WHERE model = 'pb';
DELETE FROM leadscore.model WHERE name LIKE 'pb%';
SELECT count(*) FROM leadscore.playbook WHERE model LIKE 'pb%';
SELECT count(*) FROM leadscore.playbook_progress WHERE model LIKE 'pb%';
DROP OWNED BY pb_anna, pb_stranger;
DROP ROLE pb_anna, pb_stranger;
DROP SCHEMA pb CASCADE;
