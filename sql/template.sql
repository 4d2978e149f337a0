--
-- template: the b2b_webinar matrix, and whole matrices: thresholds, explain,
-- export, import, copy
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA t1_template;
SET search_path = t1_template;

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

CREATE TABLE lead (
	id					int PRIMARY KEY,
	company_size		text,
	knowledge_level		text,
	purchase_motivation	text,
	decision_power		text,
	position			text,
	webinar				text,
	note				text
);
INSERT INTO lead VALUES
	(1, 'medium', 'expert', 'fear of mistakes', 'decides alone', 'manager', 'attended + question + e-book',
		'5 + 30 + 5 + 20 + 15 = 75, + 35 = 110'),
	(2, 'large', 'specialist', 'peace at work', 'short path', 'director', 'attended',
		'0 + 10 + 2 + 10 + 5 = 27, + 10 = 37'),
	(3, 'small', 'junior specialist', 'personal growth', 'long path', 'specialist', 'not registered',
		'-5 - 20 + 2 - 5 - 10 = -38, - 30 = -68'),
	(4, NULL, NULL, NULL, NULL, NULL, NULL, 'nothing is known: 0'),
	(5, 'huge', 'guru', 'money', 'nobody', 'intern', 'asleep', 'not in the matrix: 0'),
	(6, 'Medium', 'EXPERT', ' fear of mistakes', 'decides alone ', '', '', 'nearly in the matrix: 0'),
	(7, 'medium', 'specialist', NULL, NULL, NULL, 'attended', '5 + 10 = 15, + 10 = 25: just warm'),
	(8, 'large', 'specialist', 'peace at work', 'short path', NULL, NULL, '0 + 10 + 2 + 10 = 22: not yet warm'),
	(9, NULL, 'expert', NULL, 'decides alone', NULL, NULL, '30 + 20 = 50: just hot'),
	(10, NULL, 'expert', 'personal growth', NULL, 'manager', NULL, '30 + 2 + 15 = 47: not yet hot'),
	(11, NULL, 'expert', NULL, 'short path', NULL, 'registered, absent', '30 + 10 = 40: just A; - 20 = 20'),
	(12, NULL, NULL, NULL, 'decides alone', NULL, 'attended + question', '20: just B; + 20: just 2; = 40'),
	(13, 'medium', NULL, NULL, 'long path', NULL, 'attended + e-book', '5 - 5 = 0: just C; + 20 = 20'),
	(14, 'small', NULL, 'personal growth', NULL, NULL, 'attended + question + e-book', '-5 + 2 = -3; + 35 = 32');

SELECT leadscore.load_template('b2b_webinar', 't1_b2b', 't1_template.lead');
SELECT factor, parameter, significance, condition, points, disqualifies, enabled
FROM leadscore.rule WHERE model = 't1_b2b' ORDER BY id;
SELECT name, axis, combine, points_floor, points_cap FROM leadscore.factor WHERE model = 't1_b2b' ORDER BY name;
SELECT kind, label, at_least FROM leadscore.threshold WHERE model = 't1_b2b' ORDER BY kind, at_least DESC;
SELECT name, target, source, key_column, description FROM leadscore.model WHERE name = 't1_b2b';

SELECT id, leadscore.score('t1_b2b', l), leadscore.temperature('t1_b2b', l), leadscore.grade('t1_b2b', l),
	   leadscore.fit('t1_b2b', l), (leadscore.evaluate('t1_b2b', l)).engagement, leadscore.disqualified('t1_b2b', l) AS disqualified, note
FROM lead l ORDER BY id;

-- evaluate() says all of it at once, and explain() why
SELECT e.score, e.temperature, e.grade, e.fit, e.engagement, e.disqualified FROM lead l, leadscore.evaluate('t1_b2b', l) e WHERE id <= 3 ORDER BY id;
SELECT rule_id IS NOT NULL AS rule, factor, parameter, significance, axis, points, occurrences, decayed, counted, e.note
FROM lead l, leadscore.explain('t1_b2b', l) WITH ORDINALITY e(rule_id, factor, parameter, significance, axis, points, occurrences, decayed, counted, note, n)
WHERE id = 3 ORDER BY e.n;
SELECT count(*) FROM lead l, leadscore.explain('t1_b2b', l) WHERE id IN (4, 5, 6);
SELECT count(*) AS wrong FROM lead l
WHERE leadscore.score('t1_b2b', l) IS DISTINCT FROM (SELECT coalesce(sum(counted), 0) FROM leadscore.explain('t1_b2b', l));

--
-- Loading it elsewhere
--

-- into a model that is there, whatever columns are called and whatever their type
CREATE TYPE power AS ENUM ('long path', 'short path', 'decides alone');
CREATE TABLE odd (
	"Größe" varchar(10), "select" char(20), "a ""quoted"" name" text, "Decision.Power" power, pos text, "it's; --" text, id int PRIMARY KEY
);
INSERT INTO odd VALUES ('medium', 'expert', 'fear of mistakes', 'decides alone', 'manager', 'attended + question + e-book', 1),
	('large', 'specialist', 'peace at work', 'short path', 'director', 'attended', 2),
	('small', 'junior specialist', 'personal growth', 'long path', 'specialist', 'not registered', 3);
INSERT INTO leadscore.model (name, target) VALUES ('t1_odd', 'odd');
SELECT leadscore.load_template('b2b_webinar', model => 't1_odd', columns =>
	'{"company_size": "Größe", "knowledge_level": "select", "purchase_motivation": "a \"quoted\" name", "decision_power": "Decision.Power", "position": "pos", "webinar": "it''s; --"}');
SELECT condition FROM leadscore.rule WHERE model = 't1_odd' AND points IN (30, 5, 20, 15, 35) ORDER BY id;
SELECT id, leadscore.score('t1_odd', o), leadscore.grade('t1_odd', o) FROM odd o ORDER BY id;
-- null leaves the name as it is
CREATE TABLE part (LIKE lead);
ALTER TABLE part RENAME webinar TO seminar;
SELECT leadscore.load_template('b2b_webinar', 't1_part', 'part', '{"webinar": "seminar", "position": null}');
SELECT leadscore.score('t1_part', ROW(1, 'medium', NULL, NULL, NULL, 'manager', 'attended', NULL)::part);	-- 5 + 15 + 10

-- thresholds that the model has already are kept, kind by kind
INSERT INTO leadscore.model (name, target) VALUES ('t1_kept', 'lead');
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_kept', 'engagement', 'x', 10), ('t1_kept', 'engagement', 'y', 0);
SELECT leadscore.load_template('b2b_webinar', 't1_kept');
SELECT kind, label, at_least FROM leadscore.threshold WHERE model = 't1_kept' ORDER BY kind, at_least DESC;
SELECT id, leadscore.grade('t1_kept', l) FROM lead l WHERE id IN (2, 3) ORDER BY id;

-- what goes wrong, changes nothing
SELECT * FROM error($$SELECT leadscore.load_template('b2c', 't1_new', 't1_template.lead')$$);
SELECT * FROM error($$SELECT leadscore.load_template('b2b_webinar', 't1_new', 't1_template.lead', '{"size": "x"}')$$);
SELECT * FROM error($$SELECT leadscore.load_template('b2b_webinar', 't1_new')$$);
SELECT * FROM error($$SELECT leadscore.load_template('b2b_webinar', 't1_new', 't1_template.part')$$);
SELECT * FROM error($$SELECT leadscore.load_template('b2b_webinar', 't1_new', 't1_template.lead', '{"decision_power": "power"}')$$);
SELECT state FROM error($$SELECT leadscore.load_template('b2b_webinar', 't1_b2b', 't1_template.lead')$$);
SELECT state FROM error($$SELECT leadscore.load_template('b2b_webinar', 't1_b2b')$$);
SELECT state FROM error($$SELECT leadscore.load_template('b2b_webinar', 'T1 New', 't1_template.lead')$$);
SELECT state FROM error($$SELECT leadscore.load_template('b2b_webinar', 't1_new', 'nowhere')$$);
SELECT (SELECT count(*) FROM leadscore.model WHERE name LIKE 't1%') AS models,
	   (SELECT count(*) FROM leadscore.rule WHERE model LIKE 't1%') AS rules,
	   (SELECT count(*) FROM leadscore.factor WHERE model LIKE 't1%') AS factors;
SELECT jsonb_object_keys(leadscore.template('b2b_webinar')) ORDER BY 1;
SELECT leadscore.template(NULL) IS NULL;
DELETE FROM leadscore.model WHERE name IN ('t1_odd', 't1_part', 't1_kept');

--
-- Thresholds: the model's own, the common default, the built-in one
--
-- score, temperature and grade of some leads
CREATE FUNCTION words(model text, ids int[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', leadscore.score(model, l), leadscore.temperature(model, l), leadscore.grade(model, l)), ', ' ORDER BY array_position(ids, id))
	FROM t1_template.lead l WHERE id = ANY (ids)
$$;
-- scores 110 = 75 + 35, 37 = 27 + 10, 25 = 15 + 10, 0, -68 = -38 - 30
SELECT words('t1_b2b', '{1,2,7,4,3}');
-- for all models; the names of grades fall as their thresholds do
SELECT * FROM error($$INSERT INTO leadscore.threshold (kind, label, at_least) VALUES ('fit', 'top', 16), ('fit', 'bottom', -1000)$$);
INSERT INTO leadscore.threshold (kind, label, at_least) VALUES
	('temperature', 'cold', '-Infinity'), ('temperature', 'warm', 26), ('temperature', 'hot', 37), ('fit', 'A', 16), ('fit', 'Z', -38);
SELECT words('t1_b2b', '{1,2,7,4,3}');
-- the model's own replace those of their kind, all of them
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'temperature', 'hot', 110);
SELECT words('t1_b2b', '{1,2,7,4,3}');
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES
	('t1_b2b', 'temperature', 'warm', 0.5), ('t1_b2b', 'fit', 'M', 27.5), ('t1_b2b', 'fit', 'N', 15), ('t1_b2b', 'fit', 'P', 0);
-- a score of 0 is not 0.5; and a fit below all letters has the last of them
SELECT words('t1_b2b', '{1,2,7,4,3}');
UPDATE leadscore.threshold SET at_least = CASE label WHEN 'hot' THEN 25 ELSE -68 END WHERE model = 't1_b2b' AND kind = 'temperature';
SELECT words('t1_b2b', '{1,2,7,4,3}');
DELETE FROM leadscore.threshold WHERE model = 't1_b2b' AND kind <> 'engagement';
SELECT words('t1_b2b', '{1,2,7,4,3}');
DELETE FROM leadscore.threshold WHERE NOT builtin AND model IS NULL;
SELECT words('t1_b2b', '{1,2,7,4,3}');
DELETE FROM leadscore.threshold WHERE model = 't1_b2b';
SELECT words('t1_b2b', '{1,2,7,4,3}');		-- built in: 40, 20, 5

-- order, and what else is refused
SELECT * FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'temperature', 'warm', 50), ('t1_b2b', 'temperature', 'hot', 25)$$);
SELECT * FROM error($$INSERT INTO leadscore.threshold (kind, label, at_least) VALUES ('temperature', 'warm', 50), ('temperature', 'hot', 50)$$);
SELECT * FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'engagement', '1', 5), ('t1_b2b', 'engagement', '2', 7)$$);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'temperature', 'warm', 10), ('t1_b2b', 'temperature', 'hot', 20);
SELECT state, message FROM error($$UPDATE leadscore.threshold SET at_least = 30 WHERE model = 't1_b2b' AND label = 'warm'$$);
UPDATE leadscore.threshold SET at_least = at_least + 20 WHERE model = 't1_b2b';		-- each passes the other's place
SELECT label, at_least FROM leadscore.threshold WHERE model = 't1_b2b' ORDER BY at_least;
SELECT state FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'temperature', 'warm', 11)$$);
SELECT state FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'temperature', 'tepid', 11)$$);
SELECT state FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'heat', 'warm', 11)$$);
SELECT state FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'fit', 'A', 'NaN')$$);
SELECT state FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'fit', 'A', 'Infinity')$$);
SELECT state FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_b2b', 'fit', '', 1)$$);
SELECT state FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least, margin) VALUES ('t1_b2b', 'fit', 'A', 1, -1)$$);
SELECT state FROM error($$INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('t1_none', 'fit', 'A', 1)$$);
-- the built-in ones stay
SELECT * FROM error($$UPDATE leadscore.threshold SET at_least = 1 WHERE builtin AND label = 'warm'$$);
SELECT * FROM error($$DELETE FROM leadscore.threshold WHERE model IS NULL$$);
SELECT * FROM error($$INSERT INTO leadscore.threshold (kind, label, at_least, builtin) VALUES ('fit', 'E', -100, true)$$);
SELECT state FROM error($$UPDATE leadscore.threshold SET builtin = true WHERE model = 't1_b2b' AND label = 'warm'$$);
BEGIN;
DO $$ BEGIN TRUNCATE leadscore.threshold; EXCEPTION WHEN OTHERS THEN NULL; END $$;		-- refused or not:
SELECT count(*) FROM leadscore.threshold WHERE builtin;
ROLLBACK;
DELETE FROM leadscore.threshold WHERE model = 't1_b2b';

--
-- From points to integers and words
--
CREATE TABLE num (id int PRIMARY KEY, k int);
INSERT INTO num SELECT i, i FROM generate_series(1, 12) i;
INSERT INTO leadscore.model (name, target) VALUES ('t1_num', 'num');
-- an empty model gives everybody 0
SELECT leadscore.score('t1_num', n), leadscore.temperature('t1_num', n), leadscore.grade('t1_num', n), leadscore.fit('t1_num', n), leadscore.disqualified('t1_num', n) FROM num n WHERE id = 1;
SELECT count(*) FROM num n, leadscore.explain('t1_num', n);
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('t1_num', 'f', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('t1_num', 'f', '25 but for 1e-10', 'k = 1', 24.9999999999), ('t1_num', 'f', '25 but for 1.5e-9', 'k = 2', 24.9999999985),
	('t1_num', 'f', '25', 'k = 3', 25), ('t1_num', 'f', '24 and a half', 'k = 4', 24.5), ('t1_num', 'f', '49.9', 'k = 5', 49.5), ('t1_num', 'f', '49.9', 'k = 5', 0.4),
	('t1_num', 'f', '50', 'k = 6', 49.9), ('t1_num', 'f', '50', 'k = 6', 0.1), ('t1_num', 'f', 'below 0', 'k = 8', -0.5), ('t1_num', 'f', '0 but for 1e-10', 'k = 9', -0.0000000001),
	('t1_num', 'f', '40 but for 1e-10', 'k = 10', 39.9999999999), ('t1_num', 'f', '40 but for 1e-6', 'k = 11', 39.999999);
INSERT INTO leadscore.rule (model, factor, parameter, condition, points)
SELECT 't1_num', 'f', 'ten times 0.1', 'k = 7', 0.1 FROM generate_series(1, 10);
SELECT n.id, p.parameter, leadscore.score('t1_num', n), leadscore.temperature('t1_num', n), leadscore.grade('t1_num', n), leadscore.fit('t1_num', n)
FROM num n LEFT JOIN (SELECT DISTINCT condition, parameter FROM leadscore.rule WHERE model = 't1_num') p ON p.condition = 'k = ' || k ORDER BY id;
SELECT n.id, parameter, counted, note FROM num n, leadscore.explain('t1_num', n) WITH ORDINALITY e(rule_id, factor, parameter, significance, axis, points, occurrences, decayed, counted, note, n)
WHERE id IN (1, 3, 4, 5, 8) ORDER BY id, e.n;
SELECT id FROM num n WHERE leadscore.score('t1_num', n) IS DISTINCT FROM (SELECT coalesce(sum(counted), 0) FROM leadscore.explain('t1_num', n)) ORDER BY id;
-- the digit comes with the first factor on the engagement axis
INSERT INTO leadscore.factor (model, name, axis) VALUES ('t1_num', 'g', 'engagement');
SELECT id, leadscore.grade('t1_num', n) FROM num n WHERE id IN (1, 12) ORDER BY id;
UPDATE leadscore.factor SET axis = 'engagement' WHERE model = 't1_num' AND name = 'f';
SELECT id, leadscore.grade('t1_num', n), leadscore.fit('t1_num', n) FROM num n WHERE id IN (1, 10, 11, 12) ORDER BY id;
-- more than an integer holds
UPDATE leadscore.rule SET points = 1000000 WHERE model = 't1_num';
SELECT leadscore.score('t1_num', n) FROM num n WHERE id = 7;
INSERT INTO leadscore.rule (model, factor, condition, points) SELECT 't1_num', 'f', 'k = 7', 1000000 FROM generate_series(1, 2137);
SELECT leadscore.score('t1_num', n) FROM num n WHERE id = 7;
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('t1_num', 'f', 'k = 7', 483647);
SELECT leadscore.score('t1_num', n) FROM num n WHERE id = 7;		-- 2^31 - 1
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('t1_num', 'f', 'k = 7', 1);
SELECT * FROM error($$SELECT leadscore.score('t1_num', n) FROM t1_template.num n WHERE id = 7$$);
UPDATE leadscore.model SET score_max = 100 WHERE name = 't1_num';
SELECT leadscore.score('t1_num', n) FROM num n WHERE id = 7;

--
-- Disqualified: cold, but the score stays
--
INSERT INTO leadscore.model (name, target) VALUES ('t1_dis', 'num');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('t1_dis', 'f', 'fit'), ('t1_dis', 'g', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, disqualifies) VALUES
	('t1_dis', 'f', 'good', 'k < 10', 60, false), ('t1_dis', 'f', 'competitor', 'k IN (2, 3, 10)', 1, true),
	('t1_dis', 'g', 'student', 'k = 3', 0, true), ('t1_dis', 'g', 'best', 'k = 4', 99, true), ('t1_dis', 'g', 'off', 'k = 5', 99, true);
UPDATE leadscore.rule SET enabled = false WHERE model = 't1_dis' AND parameter = 'off';
SELECT id, e.score, e.temperature, e.grade, e.fit, e.engagement, e.disqualified FROM num n, leadscore.evaluate('t1_dis', n) e
WHERE id IN (1, 2, 3, 4, 5, 10, 11) ORDER BY id;
SELECT id, parameter, points, counted, e.note FROM num n, leadscore.explain('t1_dis', n) e WHERE id IN (2, 3, 10) ORDER BY id, rule_id;
UPDATE num SET k = 1 WHERE id = 2;		-- the flag is live
SELECT leadscore.temperature('t1_dis', n), leadscore.disqualified('t1_dis', n) FROM num n WHERE id = 2;
UPDATE num SET k = 2 WHERE id = 2;

--
-- Explanation: losers, caps, floors, clamps and rounding
--
INSERT INTO leadscore.model (name, target, fit_max, engagement_max, score_max, description) VALUES ('t1_why', 'num', 8, 6, 13.5, 'why?');
INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap, description) VALUES
	('t1_why', 'best', 'fit', 'best', NULL, NULL, 'which?'), ('t1_why', 'capped', 'fit', 'sum', NULL, 10, NULL), ('t1_why', 'floored', 'fit', 'sum', -5, 100, NULL),
	('t1_why', 'does', 'engagement', 'sum', NULL, NULL, NULL), ('t1_why', 'given', 'engagement', 'sum', 2, NULL, NULL), ('t1_why', 'taken', 'engagement', 'best', NULL, -1, NULL);
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, note) VALUES
	('t1_why', 'best', 'worst', 'negative', 'k IS NOT NULL', -1, 'seen'), ('t1_why', 'best', 'first', 'key', 'k = 1', 5, 'the first of equals'),
	('t1_why', 'best', 'second', 'key', 'k > 0', 5, NULL), ('t1_why', 'best', 'third', NULL, 'k < 10', 3, NULL),
	('t1_why', 'capped', 'c1', NULL, 'k = 1', 5.5, NULL), ('t1_why', 'capped', 'c2', NULL, 'k <= 2', 7.25, 'two of them'), ('t1_why', 'floored', NULL, 'negative', 'k < 2', -10, NULL),
	('t1_why', 'does', 'much', 'acceptable', 'k % 2 = 1', 5.4, NULL), ('t1_why', 'does', 'nothing', 'acceptable', 'k < 3', 0, NULL);
CREATE VIEW why AS
	SELECT n.id, e.* FROM num n, leadscore.explain('t1_why', n) WITH ORDINALITY e(rule_id, factor, parameter, significance, axis, points, occurrences, decayed, counted, note, place);
-- 1: best 5, capped 5.5 + 7.25 - 2.75 = 10, floored -10 + 5; 10 - 2 = 8; does 5.4 + 0, given 2, taken -1; 6.4 - 0.4 = 6; 14 - 0.5 = 13.5
-- 2: best 5 (first is silent), capped 7.25; 12.25 - 4.25 = 8; does 0, given 2, taken -1: 1; 9
-- 12: best 5; given 2, taken -1: 1; 6
SELECT id, factor, parameter, significance, axis, points, decayed, counted, note FROM why
WHERE id IN (1, 2, 12) ORDER BY id, rule_id, note COLLATE "C", factor, axis;
SELECT id, e.score, fit, engagement, sum(counted), count(*) FILTER (WHERE occurrences IS NOT NULL) AS occurrences
FROM why JOIN num n USING (id), leadscore.evaluate('t1_why', n) e WHERE id IN (1, 2, 12) GROUP BY 1, 2, 3, 4 ORDER BY 1;
-- rules in their order, then what changed the sum
SELECT id, max(place) FILTER (WHERE rule_id IS NOT NULL) < min(place) FILTER (WHERE rule_id IS NULL) AS rules_first,
	   array_agg(rule_id ORDER BY place) FILTER (WHERE rule_id IS NOT NULL) = array_agg(rule_id ORDER BY rule_id) FILTER (WHERE rule_id IS NOT NULL) AS by_id,
	   max(place) FILTER (WHERE note = 'rounding') = max(place) AS rounding_last
FROM why WHERE id = 1 GROUP BY id;
-- a score that is below its range
UPDATE leadscore.model SET score_max = 100, score_min = 40.5, fit_min = 20, fit_max = NULL WHERE name = 't1_why';
SELECT factor, axis, counted, note FROM why WHERE id = 12 AND rule_id IS NULL ORDER BY place;	-- 5 + 15 + 1 = 21, + 19.5 - 0.5
-- a lead of NULLs is a lead, no lead is none
SELECT e.factor, e.counted, e.note FROM leadscore.explain('t1_why', ROW(NULL, NULL)::num) e WHERE note IN ('cap', 'floor') ORDER BY factor;
SELECT * FROM leadscore.explain('t1_why', NULL::num);
SELECT * FROM leadscore.explain(NULL, ROW(1, 1)::num);
SELECT * FROM error($$SELECT leadscore.explain('t1_none', n) FROM t1_template.num n$$);
DROP VIEW why;

--
-- Export, import, copy
--
INSERT INTO leadscore.threshold (model, kind, label, at_least, margin) VALUES
	('t1_why', 'temperature', 'cold', '-Infinity', 0), ('t1_why', 'temperature', 'hot', 0.1::float8 + 0.2::float8, 2.5);
UPDATE leadscore.model SET channel = $$'k' || k::text$$, created_at = $$'2024-01-01'::timestamptz$$, consent = 'k > 0', time_zone = 'Europe/Warsaw',
	initial_stage = 'contact', accepted_stage = 'sal' WHERE name = 't1_why';
UPDATE leadscore.rule SET points = 0.1::float8 + 0.2::float8, disqualifies = true, enabled = false, parameter = E'"\\ \u00e9' WHERE model = 't1_why' AND parameter = 'c1';
SELECT jsonb_pretty(leadscore.export_model('t1_why'));

-- there and back again, through text
SELECT leadscore.import_model(leadscore.export_model('t1_why')::text::jsonb, 't1_again');
SELECT leadscore.export_model('t1_why') - 'model' = leadscore.export_model('t1_again') - 'model' AS same_matrix,
	   (leadscore.export_model('t1_why') -> 'model') - 'name' = (leadscore.export_model('t1_again') -> 'model') - 'name' AS same_model,
	   leadscore.export_model('t1_again') #>> '{model,name}' AS name;
SELECT count(*) AS differing FROM leadscore.rule r JOIN leadscore.rule s ON s.model = 't1_again' AND s.condition = r.condition AND s.factor = r.factor
WHERE r.model = 't1_why' AND (r.points, r.parameter, r.significance, r.disqualifies, r.enabled, r.note, r.search_path)
	IS DISTINCT FROM (s.points, s.parameter, s.significance, s.disqualifies, s.enabled, s.note, s.search_path);
SELECT id FROM num n WHERE leadscore.evaluate('t1_why', n)::text IS DISTINCT FROM
	replace(leadscore.evaluate('t1_again', n)::text, ',' || (leadscore.evaluate('t1_again', n)).version || ')', ',' || (leadscore.evaluate('t1_why', n)).version || ')');
SELECT leadscore.copy_model('t1_b2b', 't1_copy');
SELECT leadscore.export_model('t1_b2b') #- '{model,name}' = leadscore.export_model('t1_copy') #- '{model,name}' AS same;
SELECT words('t1_copy', '{1,2,7,4,3}');
DELETE FROM leadscore.rule WHERE model = 't1_copy' AND factor = 'webinar';		-- a copy is on its own
SELECT words('t1_copy', '{1,2,3}'), words('t1_b2b', '{1,2,3}');
-- what is written does not depend on who writes
SELECT leadscore.export_model('t1_why') AS matrix \gset
SET extra_float_digits = -15;
SET DateStyle = 'German';
SET search_path = pg_catalog;
SELECT leadscore.export_model('t1_why') = :'matrix' AS same;
RESET extra_float_digits;
RESET DateStyle;
SET search_path = t1_template;

-- stages and the playbook go along
INSERT INTO leadscore.model (name, target, status, stage_mode, handoff_stage, cooldown, announce, initial_stage, accepted_stage)
VALUES ('t1_all', 'num', 'k::text', 'follow', 'mql', '30 days 12:00', false, 'visitor', 'sal');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic, description, search_path) VALUES
	('t1_all', 'visitor', 'lead', 'k > 0', true, 'has come', 'pg_catalog, t1_template, pg_temp'), ('t1_all', 'lead', 'mql', 'scored.fit >= 10.5', true, NULL, 'pg_catalog, pg_temp'),
	('t1_all', 'mql', 'nurture', NULL, false, 'goes back', NULL), ('t1_all', 'nurture', 'visitor', NULL, false, NULL, NULL), ('t1_all', 'mql', 'customer', NULL, false, NULL, NULL);
INSERT INTO leadscore.stage_map (model, status, stage, description) VALUES ('t1_all', '1', 'visitor', 'new'), ('t1_all', '1', 'lead', NULL), ('t1_all', '2', 'mql', E'"q\\');
INSERT INTO leadscore.playbook (model, temperature, grade, stage, action, content, condition, step) VALUES
	('t1_all', 'hot', 'A', 'mql', 'call', 'the "script"', NULL, NULL), ('t1_all', 'cold', NULL, NULL, 'second', NULL, 'k > 2', 2), ('t1_all', 'cold', NULL, NULL, 'first', NULL, 'k > 2', 1),
	('t1_all', NULL, 'A', NULL, 'write', NULL, 'k = 1', NULL), ('t1_all', NULL, 'A', NULL, 'visit', NULL, 'k IN (1, 2)', NULL);
INSERT INTO leadscore.sla (model, stage, respond_within, response_stages, description) VALUES ('t1_all', 'mql', '3 days 12:00', '{customer,nurture}', 'as agreed');
INSERT INTO leadscore.sla (model, stage, starts, request_at) VALUES ('t1_all', 'lead', 'request', $$'2024-01-01'::timestamptz + k * '1 day'::interval$$);
SELECT jsonb_pretty(leadscore.export_model('t1_all') - '{factors,rules,thresholds}'::text[]);
-- not among the keys of a model without any
SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(leadscore.export_model('t1_why')) k;
-- there and back again, and copied, whichever model
DO $$
DECLARE
	m	text;
BEGIN
	FOR m IN SELECT name FROM leadscore.model WHERE name LIKE 't1\_%' ORDER BY name LOOP
		-- each takes the place of the one before
		PERFORM leadscore.import_model(leadscore.export_model(m), 't1_there', replace => true);
		ASSERT leadscore.export_model('t1_there') #- '{model,name}' = leadscore.export_model(m) #- '{model,name}', m;
		PERFORM leadscore.copy_model(m, 't1_copied');
		ASSERT leadscore.export_model('t1_copied') #- '{model,name}' = leadscore.export_model(m) #- '{model,name}', m;
		DELETE FROM leadscore.model WHERE name = 't1_copied';
	END LOOP;
END
$$;
DELETE FROM leadscore.model WHERE name = 't1_there';
-- replaced by what is nearly the same: what was done with leads stays with the rows that stay, and their order is the new one
INSERT INTO leadscore.playbook_progress (model, lead_key, playbook) SELECT model, '1', id FROM leadscore.playbook WHERE model = 't1_all' AND action <> 'visit';
SELECT leadscore.import_model(jsonb_set(m #- '{playbook,2}' #- '{playbook,0,content}' #- '{playbook,3,condition}', '{playbook,3,action}', '"walk"'), replace => true)
FROM jsonb_set(leadscore.export_model('t1_all'), '{playbook}', (SELECT jsonb_agg(e ORDER BY n DESC) FROM jsonb_array_elements(leadscore.export_model('t1_all') -> 'playbook') WITH ORDINALITY v(e, n))) m;
SELECT row_number() OVER (ORDER BY b.id), b.temperature, b.grade, b.stage::text, b.action, b.content, b.condition, b.step, p.lead_key AS done_with
FROM leadscore.playbook b LEFT JOIN leadscore.playbook_progress p ON p.playbook = b.id WHERE b.model = 't1_all' ORDER BY b.id;
SELECT leadscore.import_model(leadscore.export_model('t1_all'), replace => true);		-- into itself
SELECT count(*) FROM leadscore.playbook_progress WHERE model = 't1_all';
-- what is not said is as if a row were inserted without it
SELECT leadscore.import_model('{"format": 1, "model": {"name": "t1_all", "target": "t1_template.num", "cooldown": null, "status": null},
	"transitions": [{"from_stage": "lead", "to_stage": "MQL"}], "stage_map": [{"status": "x", "stage": "lead"}], "playbook": [{"action": "call", "condition": "k > 1"}]}', replace => true);
SELECT status, stage_mode, handoff_stage::text, cooldown, announce, initial_stage::text, accepted_stage::text FROM leadscore.model WHERE name = 't1_all';
SELECT from_stage::text, to_stage::text, automatic, condition FROM leadscore.transition WHERE model = 't1_all';
SELECT action, condition, temperature, step FROM leadscore.playbook WHERE model = 't1_all';
-- all or nothing
SELECT v.part, e.state, e.message
FROM (VALUES ('transitions', '[{"from_stage": "lead", "to_stage": "mql", "automatic": true}, {"from_stage": "mql", "to_stage": "lead", "automatic": true}]'), ('transitions', '[{"from_stage": "lead", "to_stage": "loved"}]'), ('transitions', '[{"from": "lead"}]'),
			 ('stage_map', '[{"status": "x"}]'), ('stage_map', '[{"model": "x"}]'), ('stage_map', '{"new": "lead"}'), ('playbook', '[{"action": "a", "id": 1}]'), ('playbook', '[{"action": "a", "condition": "nonsense > 1"}]'), ('playbook', '[{"action": "a"}, {"action": "b"}]')) v(part, rows),
	 error(format('SELECT leadscore.import_model(jsonb_set(leadscore.export_model(%L), %L, %L), replace => true)', 't1_all', '{' || v.part || '}', v.rows)) e;
SELECT action FROM leadscore.playbook WHERE model = 't1_all';
DELETE FROM leadscore.model WHERE name = 't1_all';

-- replace: all or nothing
SELECT * FROM error($$SELECT leadscore.import_model(leadscore.export_model('t1_b2b'))$$);
SELECT state FROM error($$SELECT leadscore.import_model(leadscore.export_model('t1_b2b'), replace => NULL)$$);
SELECT * FROM error($$SELECT leadscore.copy_model('t1_b2b', 't1_why')$$);
SELECT version AS before FROM leadscore.model WHERE name = 't1_copy' \gset
SELECT leadscore.import_model(leadscore.export_model('t1_b2b'), 't1_copy', replace => true);
SELECT words('t1_copy', '{1,2,7,4,3}'), version > :before AS newer FROM leadscore.model WHERE name = 't1_copy';
SELECT leadscore.import_model(leadscore.export_model('t1_why'), 't1_copy', true);		-- for another table even
SELECT leadscore.export_model('t1_why') #- '{model,name}' = leadscore.export_model('t1_copy') #- '{model,name}' AS same;
SELECT state, message FROM error($$SELECT leadscore.import_model(jsonb_set(leadscore.export_model('t1_b2b'), '{rules,20,condition}', '"nonsense > 1"'), 't1_copy', true)$$);
SELECT leadscore.export_model('t1_why') #- '{model,name}' = leadscore.export_model('t1_copy') #- '{model,name}' AS same;
-- into itself
SELECT leadscore.import_model(leadscore.export_model('t1_b2b'), replace => true);
SELECT words('t1_b2b', '{1,2,7,4,3}');

-- what is not such a matrix
SELECT * FROM error($$SELECT leadscore.export_model('t1_none')$$);
SELECT * FROM error($$SELECT leadscore.copy_model('t1_none', 't1_new')$$);
SELECT leadscore.export_model(NULL) IS NULL, leadscore.copy_model(NULL, 't1_new') IS NULL;
SELECT v.matrix, e.state, e.message
FROM (VALUES (NULL), ('null'), ('1'), ('[]'), ('{}'), ('{"format": 1}'), ('{"format": 1, "model": []}'), ('{"format": 2, "model": {"name": "t1_new"}}'), ('{"model": {"name": "t1_new"}}')) v(matrix),
	 error(format('SELECT leadscore.import_model(%L)', v.matrix)) e;
SELECT v.path, e.state, e.message
FROM (VALUES ('{extra}'), ('{model,colour}'), ('{model,version}'), ('{factors,0,weight}'), ('{factors,0,model}'), ('{rules,3,point}'), ('{rules,0,id}'), ('{thresholds,0,builtin}'), ('{thresholds,1,model}')) v(path),
	 error(format('SELECT leadscore.import_model(jsonb_set(leadscore.export_model(%L), %L, %L), %L)', 't1_why', v.path, '1', 't1_new')) e;
-- not all keys need be there; but no factor twice, no rule without its factor, no rule without a condition, no model without a name
SELECT leadscore.import_model('{"format": 1, "model": {"target": "t1_template.num"}}', 't1_bare');
SELECT name, target, time_zone, initial_stage, accepted_stage, version FROM leadscore.model WHERE name = 't1_bare';
SELECT leadscore.score('t1_bare', n) FROM num n WHERE id = 1;
SELECT leadscore.import_model('{"format": 1, "model": {"name": "t1_bare", "target": "t1_template.num"},
	"factors": [{"name": "f", "axis": "fit"}, {"name": "g", "axis": "engagement"}],
	"rules": [{"factor": "f", "condition": "k = 1"}, {"factor": "g", "condition": "k = 1", "points": 2}]}', replace => true);
SELECT f.name, axis, combine, condition, points, disqualifies, enabled FROM leadscore.factor f JOIN leadscore.rule r ON (r.model, r.factor) = (f.model, f.name) WHERE f.model = 't1_bare' ORDER BY f.name;
SELECT v.what, e.state
FROM (VALUES ('a factor twice', '{"format": 1, "model": {"name": "t1_new", "target": "t1_template.num"}, "factors": [{"name": "f", "axis": "fit"}, {"name": "f", "axis": "fit"}]}'),
			 ('a rule without its factor', '{"format": 1, "model": {"name": "t1_new", "target": "t1_template.num"}, "rules": [{"factor": "f", "condition": "true"}]}'),
			 ('a rule without a condition', '{"format": 1, "model": {"name": "t1_new", "target": "t1_template.num"}, "factors": [{"name": "f", "axis": "fit"}], "rules": [{"factor": "f"}]}'),
			 ('a threshold twice', '{"format": 1, "model": {"name": "t1_new", "target": "t1_template.num"}, "thresholds": [{"kind": "fit", "label": "A", "at_least": 1}, {"kind": "fit", "label": "A", "at_least": 1}]}'),
			 ('thresholds out of order', '{"format": 1, "model": {"name": "t1_new", "target": "t1_template.num"}, "thresholds": [{"kind": "fit", "label": "A", "at_least": 1}, {"kind": "fit", "label": "B", "at_least": 2}]}'),
			 ('no target', '{"format": 1, "model": {"name": "t1_new"}}'), ('no such target', '{"format": 1, "model": {"name": "t1_new", "target": "t1_template.nothing"}}'),
			 ('a name that is none', '{"format": 1, "model": {"name": "T1", "target": "t1_template.num"}}')) v(what, matrix),
	 error(format('SELECT leadscore.import_model(%L)', v.matrix)) e;
SELECT name FROM leadscore.model WHERE name LIKE 't1%' ORDER BY name;

-- points that are no points
SELECT v.points, e.state, e.message FROM (VALUES ('1000000'), ('1000000.1'), ('-1e7'), ('NaN'), ('Infinity')) v(points),
	 error(format('INSERT INTO leadscore.rule (model, factor, condition, points) VALUES (%L, %L, %L, %L)', 't1_bare', 'f', 'true', v.points)) e;
SELECT v.low, v.high, e.state FROM (VALUES ('1', '0'), ('NaN', '1'), ('0', 'NaN'), ('Infinity', 'Infinity'), ('0', '-Infinity'), ('-Infinity', 'Infinity'), ('0', '0')) v(low, high),
	 error(format('INSERT INTO leadscore.factor (model, name, axis, points_floor, points_cap) VALUES (%L, %L, %L, %L, %L)', 't1_bare', v.low || v.high, 'fit', v.low, v.high)) e;

DELETE FROM leadscore.model WHERE name LIKE 't1\_%';
DROP SCHEMA t1_template CASCADE;
