--
-- paths: a lead given as a whole row and a lead given by its columns score the
-- same, whatever the query looks like and whenever the rules change
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA t1_paths;
SET search_path = t1_paths;
SET jit = off;

--
-- Leads, with columns that are gone and some that no rule reads
--
CREATE TABLE lead (
	gone		text,
	id			int PRIMARY KEY,
	filler		text,
	industry	text,
	employees	int,
	gone_too	int,
	title		varchar(40),
	opted_in	boolean,
	custom		jsonb,
	doc			text,
	points		int
);
ALTER TABLE lead DROP COLUMN gone, DROP COLUMN gone_too;
INSERT INTO lead (id, filler, industry, employees, title, opted_in, custom)
SELECT i, repeat('x', i), (ARRAY['energy', 'mining', 'retail', NULL])[1 + i % 4], (ARRAY[10, 49, 50, 249, 250, NULL])[1 + i % 6],
	   (ARRAY['Director', 'art director', 'clerk', NULL])[1 + i % 3], (ARRAY[true, false, NULL])[1 + i % 5],
	   (ARRAY['{"budget": "yes"}', '{"budget": "no"}', '{}', NULL]::jsonb[])[1 + i % 7]
FROM generate_series(1, 20) i;
INSERT INTO lead (id) VALUES (21);		-- nothing is known of it
CREATE TABLE note (id int PRIMARY KEY, lead int, val int);
INSERT INTO note SELECT i, i, 0 FROM generate_series(15, 25) i;

-- the matrix, and the same in plain SQL
CREATE FUNCTION make_model(name text, target regclass, source regclass DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO leadscore.model (name, target, source) VALUES (make_model.name, make_model.target, make_model.source);
	INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
		(make_model.name, 'industry', 'fit', 'best'), (make_model.name, 'size', 'fit', 'best'), (make_model.name, 'other', 'engagement', 'sum');
	INSERT INTO leadscore.rule (model, factor, condition, points) VALUES
		(make_model.name, 'industry', $c$industry = 'energy'$c$, 10), (make_model.name, 'industry', $c$industry IN ('mining', 'retail')$c$, 7),
		(make_model.name, 'industry', $c$industry IS NULL$c$, 1),
		(make_model.name, 'size', $c$employees BETWEEN 50 AND 249$c$, 5), (make_model.name, 'size', $c$employees < 50$c$, -5),
		(make_model.name, 'other', $c$title ILIKE '%director%'$c$, 20), (make_model.name, 'other', $c$opted_in$c$, 3),
		(make_model.name, 'other', $c$custom ->> 'budget' = 'yes'$c$, 100);
$$;
CREATE FUNCTION plain(industry text, employees int, title text, opted_in boolean, custom jsonb) RETURNS int
LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN industry = 'energy' THEN 10 WHEN industry IN ('mining', 'retail') THEN 7 WHEN industry IS NULL THEN 1 ELSE 0 END
		 + CASE WHEN employees BETWEEN 50 AND 249 THEN 5 WHEN employees < 50 THEN -5 ELSE 0 END
		 + CASE WHEN title ILIKE '%director%' THEN 20 ELSE 0 END
		 + CASE WHEN opted_in THEN 3 ELSE 0 END
		 + CASE WHEN custom ->> 'budget' = 'yes' THEN 100 ELSE 0 END
$$;
SELECT make_model('t1_lead', 'lead');

CREATE TABLE truth AS SELECT id, plain(industry, employees, title, opted_in, custom) AS want FROM lead;
SELECT id, leadscore.score('t1_lead', l), want FROM lead l JOIN truth USING (id) ORDER BY id;

-- is this text in the plan?
CREATE FUNCTION plan_has(query text, what text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) ' || query INTO plan;
	RETURN strpos(plan::text, what) > 0;
END
$$;

-- Run a query that yields (id, score, what the score should be), once as it is
-- and once by a function that the planner leaves alone, and undo it.  SCORE(
-- stands for the function, WANT(x) for what plain SQL says of the row x.
CREATE FUNCTION shape(query text, OUT rows int, OUT nulls int, OUT columns boolean, OUT same boolean, OUT "right" boolean)
LANGUAGE plpgsql AS $$
DECLARE
	call	text;
	q		text;
	r		record;
	j		jsonb;
	scores	text[];
	first	text[];
BEGIN
	"right" := true;
	FOREACH call IN ARRAY '{score,_score_row}'::text[] LOOP
		q := regexp_replace(query, 'WANT\((\w+)\)', 'plain(\1.industry, \1.employees::int, \1.title, \1.opted_in, \1.custom)', 'g');
		q := replace(q, 'SCORE(', 'leadscore.' || call || '(');
		IF call = 'score' THEN
			columns := plan_has(q, '_score_columns');
		END IF;
		rows := 0;
		nulls := 0;
		scores := '{}';
		BEGIN
			FOR r IN EXECUTE q LOOP
				j := replace(to_jsonb(r)::text, '"_score_row":', '"score":');
				rows := rows + 1;
				nulls := nulls + (j ->> 'score' IS NULL)::int;
				scores := scores || concat(j ->> 'id', ' ', j ->> 'score');
				"right" := "right" AND (j ->> 'score')::numeric IS NOT DISTINCT FROM (j ->> 'want')::numeric;
			END LOOP;
			RAISE EXCEPTION USING ERRCODE = 'T1T1T';
		EXCEPTION WHEN SQLSTATE 'T1T1T' THEN NULL;
		END;
		SELECT array_agg(x ORDER BY x COLLATE "C") INTO scores FROM unnest(scores) x;
		first := CASE call WHEN 'score' THEN scores ELSE first END;
	END LOOP;
	same := first IS NOT DISTINCT FROM scores;
END
$$;

--
-- Queries over a table
--
-- (in which way the rows of a GROUP BY go, depends on the server's version)
SELECT v.shape, s.rows, s.nulls, CASE WHEN v.n <> 44 THEN s.columns END AS columns, s.same, s."right" FROM (VALUES
	(1, 'plain', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l$$),
	(2, 'without alias', $$SELECT lead.id, SCORE('t1_lead', lead) AS score, WANT(lead) AS want FROM t1_paths.lead$$),
	(3, 'columns renamed', $$SELECT l.b AS id, SCORE('t1_lead', l), plain(l.d, l.e, l.f, l.g, l.h) AS want FROM lead l(b, c, d, e, f, g, h)$$),
	(4, 'twice', $$SELECT l.id, SCORE('t1_lead', l) + SCORE('t1_lead', l) AS score, 2 * WANT(l) AS want FROM lead l$$),
	(5, 'within an expression', $$SELECT l.id, coalesce(CASE WHEN SCORE('t1_lead', l) > 0 THEN SCORE('t1_lead', l) END, 0) AS score, greatest(WANT(l), 0) AS want FROM lead l$$),
	(6, 'join', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l JOIN note n ON n.lead = l.id$$),
	(7, 'join, other side', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM note n, lead l WHERE n.lead = l.id$$),
	(8, 'self-join', $$SELECT l.id, SCORE('t1_lead', l) - 1000 * SCORE('t1_lead', m) AS score, WANT(l) - 1000 * WANT(m) AS want FROM lead l JOIN lead m ON m.id = l.id + 1$$),
	(9, 'left join', $$SELECT n.id, SCORE('t1_lead', l), CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN lead l ON l.id = n.lead$$),
	(10, 'right join', $$SELECT n.id, SCORE('t1_lead', l), CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM lead l RIGHT JOIN note n ON l.id = n.lead$$),
	(11, 'full join', $$SELECT n.id, SCORE('t1_lead', l), CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM lead l FULL JOIN note n ON l.id = n.lead$$),
	(12, 'nested outer joins', $$SELECT n.id, SCORE('t1_lead', l) AS score, CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN (lead l JOIN lead m ON m.id = l.id AND m.id <> 17) ON l.id = n.lead FULL JOIN note o ON o.id = n.id + 3$$),
	(13, 'left join, nothing matches', $$SELECT n.id, SCORE('t1_lead', l), NULL::int AS want FROM note n LEFT JOIN lead l ON l.id = -n.lead$$),
	(14, 'condition of an outer join', $$SELECT n.id, SCORE('t1_lead', l), CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN lead l ON l.id = n.lead AND SCORE('t1_lead', l) > 10$$),
	(15, 'above an outer join', $$SELECT n.id, SCORE('t1_lead', l), NULL::int AS want FROM note n LEFT JOIN lead l ON l.id = n.lead WHERE SCORE('t1_lead', l) IS NULL$$),
	(16, 'lateral, pulled up', $$SELECT l.id, x.score, WANT(l) AS want FROM lead l, LATERAL (SELECT SCORE('t1_lead', l) AS score) x$$),
	(17, 'lateral, not pulled up', $$SELECT l.id, x.score, WANT(l) AS want FROM lead l, LATERAL (SELECT SCORE('t1_lead', l) AS score OFFSET 0) x$$),
	(18, 'lateral, another scan', $$SELECT l.id, x.score, WANT(l) AS want FROM lead l, LATERAL (SELECT SCORE('t1_lead', m) AS score FROM lead m WHERE m.id = l.id LIMIT 1) x$$),
	(19, 'correlated subquery', $$SELECT l.id, (SELECT SCORE('t1_lead', l)) AS score, WANT(l) AS want FROM lead l$$),
	(20, 'subquery over another scan', $$SELECT l.id, (SELECT SCORE('t1_lead', m) FROM lead m WHERE m.id = l.id) AS score, WANT(l) AS want FROM lead l$$),
	(21, 'subquery over both', $$SELECT l.id, (SELECT SCORE('t1_lead', m) - SCORE('t1_lead', l) FROM lead m WHERE m.id = l.id) AS score, 0 AS want FROM lead l$$),
	(22, 'exists', $$SELECT l.id, 1 AS score, (WANT(l) > 20)::int AS want FROM lead l WHERE EXISTS (SELECT FROM lead m WHERE m.id = l.id AND SCORE('t1_lead', m) > 20)$$),
	(23, 'not exists', $$SELECT l.id, 0 AS score, (WANT(l) > 20)::int AS want FROM lead l WHERE NOT EXISTS (SELECT FROM lead m WHERE m.id = l.id AND SCORE('t1_lead', m) > 20)$$),
	(24, 'in', $$SELECT l.id, 1 AS score, (WANT(l) > 20)::int AS want FROM lead l WHERE id IN (SELECT m.id FROM lead m WHERE SCORE('t1_lead', m) > 20)$$),
	(25, 'array', $$SELECT l.id, (ARRAY(SELECT SCORE('t1_lead', m) FROM lead m WHERE m.id >= l.id ORDER BY m.id))[1] AS score, WANT(l) AS want FROM lead l$$),
	(26, 'subquery in FROM', $$SELECT s.id, SCORE('t1_lead', s), WANT(s) AS want FROM (SELECT * FROM lead WHERE id % 2 = 0) s$$),
	(27, 'with just the columns', $$SELECT s.id, SCORE('t1_lead', s), WANT(s) AS want FROM (SELECT custom, title, opted_in, employees, industry, id FROM lead) s$$),
	(28, 'with computed columns', $$SELECT s.id, SCORE('t1_lead', s), WANT(s) AS want FROM (SELECT id, industry || '' AS industry, employees + 1 AS employees, title, NOT opted_in AS opted_in, '{"budget": "yes"}'::jsonb AS custom FROM lead) s$$),
	(29, 'with volatile columns', $$SELECT s.id, SCORE('t1_lead', s), WANT(s) AS want FROM (SELECT id, industry, (employees + random() * 0)::int AS employees, title, opted_in, custom FROM lead) s$$),
	(30, 'subquery with LIMIT', $$SELECT s.id, SCORE('t1_lead', s), WANT(s) AS want FROM (SELECT * FROM lead ORDER BY id LIMIT 5) s$$),
	(31, 'subquery in an outer join', $$SELECT n.id, SCORE('t1_lead', s), CASE WHEN s.id IS NOT NULL THEN WANT(s) END AS want FROM note n LEFT JOIN (SELECT * FROM lead WHERE id <> 16) s ON s.id = n.lead$$),
	(32, 'CTE', $$WITH c AS (SELECT * FROM lead) SELECT c.id, SCORE('t1_lead', c), WANT(c) AS want FROM c$$),
	(33, 'CTE, materialized', $$WITH c AS MATERIALIZED (SELECT * FROM lead) SELECT c.id, SCORE('t1_lead', c), WANT(c) AS want FROM c$$),
	(34, 'within a CTE', $$WITH c AS MATERIALIZED (SELECT l.id, SCORE('t1_lead', l) AS score FROM lead l) SELECT c.*, t.want FROM c JOIN truth t USING (id)$$),
	(35, 'recursive CTE', $$WITH RECURSIVE c AS (SELECT l.id, SCORE('t1_lead', l) FROM lead l WHERE id = 1 UNION ALL SELECT l.id, SCORE('t1_lead', l) FROM c JOIN lead l ON l.id = c.id + 1) SELECT c.*, t.want FROM c JOIN truth t USING (id)$$),
	(36, 'union all', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l WHERE id < 10 UNION ALL SELECT l.id, SCORE('t1_lead', l), WANT(l) FROM lead l WHERE id > 5$$),
	(37, 'over union all', $$SELECT u.id, SCORE('t1_lead', u), WANT(u) AS want FROM (SELECT * FROM lead WHERE id < 10 UNION ALL SELECT * FROM lead WHERE id > 5) u$$),
	(38, 'over except', $$SELECT u.id, SCORE('t1_lead', u), WANT(u) AS want FROM (SELECT * FROM lead EXCEPT SELECT * FROM lead WHERE id > 5) u$$),
	(39, 'distinct', $$SELECT DISTINCT 0 AS id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l$$),
	(40, 'where', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l WHERE SCORE('t1_lead', l) > 20$$),
	(41, 'order by, limit', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l ORDER BY SCORE('t1_lead', l) DESC, id LIMIT 4$$),
	(42, 'group by score', $$SELECT min(l.id) AS id, SCORE('t1_lead', l), min(WANT(l)) AS want FROM lead l GROUP BY SCORE('t1_lead', l)$$),
	(43, 'group by primary key', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l JOIN note n ON n.lead >= l.id GROUP BY l.id$$),
	(44, 'group by row', $$SELECT max(l.id) AS id, SCORE('t1_lead', l), max(WANT(l)) AS want FROM lead l GROUP BY l$$),
	(45, 'grouping sets', $$SELECT l.id, SCORE('t1_lead', l), (SELECT t.want FROM truth t WHERE t.id = l.id) AS want FROM lead l GROUP BY GROUPING SETS ((l, l.id), ())$$),
	(46, 'rollup of scores', $$SELECT count(*)::int AS id, SCORE('t1_lead', l), min(WANT(l)) FILTER (WHERE true) * CASE WHEN grouping(SCORE('t1_lead', l)) = 0 THEN 1 END AS want FROM lead l GROUP BY ROLLUP (SCORE('t1_lead', l))$$),
	(47, 'having', $$SELECT min(l.id) AS id, 1 AS score, (sum(WANT(l)) > 30)::int AS want FROM lead l GROUP BY l.industry HAVING sum(SCORE('t1_lead', l)) > 30$$),
	(48, 'aggregates', $$SELECT 0 AS id, sum(SCORE('t1_lead', l)) FILTER (WHERE SCORE('t1_lead', l) > 20) AS score, sum(WANT(l)) FILTER (WHERE WANT(l) > 20) AS want FROM lead l$$),
	(49, 'of an aggregate', $$SELECT 0 AS id, SCORE('t1_lead', (array_agg(l ORDER BY id DESC))[1]), min(WANT(l)) FILTER (WHERE id = 21) AS want FROM lead l$$),
	(50, 'window', $$SELECT l.id, sum(SCORE('t1_lead', l)) OVER w AS score, sum(WANT(l)) OVER w AS want FROM lead l WINDOW w AS (PARTITION BY SCORE('t1_lead', l) % 2 = 0 ORDER BY SCORE('t1_lead', l), id)$$),
	(51, 'sample', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l TABLESAMPLE SYSTEM (100)$$),
	(52, 'for update', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l ORDER BY id FOR UPDATE$$),
	(53, 'VALUES', $$SELECT v.id, SCORE('t1_lead', v), WANT(v) AS want FROM (VALUES (1, 'energy', 50, 'director'::varchar, true, '{"budget": "yes"}'::jsonb), (2, NULL, NULL, NULL, NULL, NULL)) v(id, industry, employees, title, opted_in, custom)$$),
	(54, 'function in FROM', $$SELECT x.id, SCORE('t1_lead', x), WANT(x) AS want FROM jsonb_to_recordset('[{"id": 1, "industry": "energy", "employees": 49, "custom": {"budget": "yes"}}, {"id": 2, "opted_in": true}]') x(custom jsonb, opted_in boolean, title varchar, industry text, employees int, id int)$$),
	(55, 'row of the type', $$SELECT x.id, SCORE('t1_lead', jsonb_populate_record(NULL::lead, to_jsonb(x))), plain(x.industry, x.employees, NULL, NULL, NULL) AS want FROM (VALUES (1, 'energy', 50), (2, NULL, NULL)) x(id, industry, employees)$$),
	(56, 'ROW()', $$SELECT g AS id, SCORE('t1_lead', ROW(g, 'f', 'energy', g, 'director', g = 50, '{"budget": "yes"}', NULL, NULL)::lead), plain('energy', g, 'director', g = 50, '{"budget": "yes"}') AS want FROM generate_series(48, 51) g$$),
	(57, 'ROW() with a set', $$SELECT 0 AS id, SCORE('t1_lead', ROW(1, 'f', 'energy', generate_series(48, 51), 'director', true, '{"budget": "yes"}', NULL, NULL)::lead), plain('energy', generate_series(48, 51), 'director', true, '{"budget": "yes"}') AS want$$),
	(58, 'ROW() with aggregates', $$SELECT 0 AS id, SCORE('t1_lead', ROW(max(id), 'f', max(industry), max(employees), max(title), bool_or(opted_in), NULL, NULL, NULL)::lead), plain('retail', 250, max(title), true, NULL) AS want FROM lead$$),
	(59, 'ROW() with a subquery', $$SELECT l.id, SCORE('t1_lead', ROW(1, 'f', (SELECT m.industry FROM lead m WHERE m.id = l.id), l.employees, l.title, l.opted_in, l.custom, NULL, NULL)::lead), WANT(l) AS want FROM lead l$$),
	(60, 'row of a row', $$SELECT l.id, SCORE('t1_lead', (l.*)::lead), WANT(l) AS want FROM lead l$$),
	(61, 'ROW() with a volatile value', $$SELECT l.id, SCORE('t1_lead', ROW(1, 'f', l.industry, (l.employees + 0 * random())::int, l.title, l.opted_in, l.custom, NULL, NULL)::lead), WANT(l) AS want FROM lead l$$)
	) v(n, shape, query), shape(v.query) s
ORDER BY v.n;

-- a row of NULLs is a lead, a row that an outer join lacks is none
CREATE TABLE loose (LIKE lead);
ALTER TABLE loose ALTER id DROP NOT NULL;
INSERT INTO loose DEFAULT VALUES;
INSERT INTO loose (id, industry) VALUES (1, 'energy');
SELECT make_model('t1_loose', 'loose');
SELECT v.shape, s.* FROM (VALUES
	(1, 'plain', $$SELECT l.id, SCORE('t1_loose', l), WANT(l) AS want FROM loose l$$),
	(2, 'left join', $$SELECT n.id, SCORE('t1_loose', l), CASE WHEN n.id = 15 THEN 10 WHEN n.id > 20 THEN 1 END AS want FROM note n LEFT JOIN loose l ON n.id = l.id + 14 OR (n.id > 20 AND l.id IS NULL)$$),
	(3, 'full join', $$SELECT n.id, SCORE('t1_loose', l), CASE WHEN n.id IS NULL THEN 1 WHEN n.id = 16 THEN 10 END AS want FROM note n FULL JOIN loose l ON n.id = l.id + 15$$)
	) v(n, shape, query), shape(v.query) s
ORDER BY v.n;

-- rules that read no column, and no rules at all
INSERT INTO leadscore.model (name, target, source) VALUES ('t1_true', 'loose', NULL), ('t1_nil', 'loose', NULL);
INSERT INTO leadscore.factor (model, name, axis) VALUES ('t1_true', 'f', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('t1_true', 'f', 'true', 1000), ('t1_true', 'f', 'NULL', 2000);
SELECT v.shape, s.* FROM (VALUES
	(1, 'plain', $$SELECT l.id, SCORE('t1_true', l), 1000 AS want FROM loose l$$),
	(2, 'left join', $$SELECT n.id, SCORE('t1_true', l), CASE WHEN n.id = 15 THEN 1000 END AS want FROM note n LEFT JOIN loose l ON n.id = l.id + 14$$),
	(3, 'subquery', $$SELECT l.id, SCORE('t1_true', l), 1000 AS want FROM (SELECT * FROM loose) l$$),
	(4, 'no rules', $$SELECT l.id, SCORE('t1_nil', l), 0 AS want FROM loose l$$),
	(5, 'no rules, left join', $$SELECT n.id, SCORE('t1_nil', l), CASE WHEN n.id = 15 THEN 0 END AS want FROM note n LEFT JOIN loose l ON n.id = l.id + 14$$),
	(6, 'no rules, any row', $$SELECT n.id, SCORE('t1_nil', ROW(n.id, n.val)), 0 AS want FROM note n$$)
	) v(n, shape, query), LATERAL (SELECT rows, nulls, same, "right" FROM shape(v.query)) s
ORDER BY v.n;
DELETE FROM leadscore.model WHERE name IN ('t1_true', 't1_nil');

-- the other functions go the same ways
SELECT count(*) AS rows, count(l) AS leads,
	   count(*) FILTER (WHERE leadscore.fit('t1_lead', l) IS DISTINCT FROM leadscore._fit_row('t1_lead', l)) AS fit,
	   count(*) FILTER (WHERE leadscore.temperature('t1_lead', l) IS DISTINCT FROM leadscore._temperature_row('t1_lead', l)) AS temperature,
	   count(*) FILTER (WHERE leadscore.grade('t1_lead', l) IS DISTINCT FROM leadscore._grade_row('t1_lead', l)) AS grade,
	   count(*) FILTER (WHERE leadscore.disqualified('t1_lead', l) IS DISTINCT FROM leadscore._disqualified_row('t1_lead', l)) AS disqualified,
	   count(*) FILTER (WHERE leadscore.evaluate('t1_lead', l) IS DISTINCT FROM leadscore._evaluate_row('t1_lead', l)) AS evaluate,
	   count(DISTINCT leadscore.fit('t1_lead', l)) AS fits, count(DISTINCT leadscore.grade('t1_lead', l)) AS grades, count(DISTINCT leadscore.temperature('t1_lead', l)) AS temperatures
FROM note n FULL JOIN lead l ON l.id = n.lead;
SELECT plan_has('SELECT leadscore.' || f || '(''t1_lead'', l) FROM lead l', '_' || f || '_columns') AS by_columns, plan_has('SELECT leadscore._' || f || '_row(''t1_lead'', l) FROM lead l', '_columns') AS row_by_columns, f
FROM unnest('{score,fit,temperature,grade,disqualified,evaluate}'::text[]) f;
SELECT v.shape, s.* FROM (VALUES
	(1, 'evaluate(), a field', $$SELECT l.id, (leadscore.evaluate('t1_lead', l)).score, WANT(l) AS want FROM lead l$$),
	(2, 'evaluate(), all fields', $$SELECT l.id, (leadscore.evaluate('t1_lead', l)).*, WANT(l) AS want FROM lead l$$),
	(3, 'evaluate() in FROM', $$SELECT l.id, e.score, WANT(l) AS want FROM lead l, leadscore.evaluate('t1_lead', l) e$$),
	(4, 'evaluate() in FROM, of a subquery', $$SELECT l.id, e.score, WANT(l) AS want FROM (SELECT * FROM lead OFFSET 0) l, leadscore.evaluate('t1_lead', l) e$$),
	(5, 'evaluate() in FROM, of one pulled up', $$SELECT l.id, e.score, WANT(l) AS want FROM (SELECT * FROM lead) l, leadscore.evaluate('t1_lead', l) e$$),
	(6, 'evaluate() in an outer join', $$SELECT n.id, e.score, CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN lead l ON l.id = n.lead LEFT JOIN LATERAL leadscore.evaluate('t1_lead', l) e ON true$$),
	(7, 'explain() in FROM', $$SELECT l.id, (SELECT sum(counted) FROM leadscore.explain('t1_lead', l)) AS score, WANT(l) AS want FROM lead l$$),
	(8, 'explain() in an outer join', $$SELECT n.id, sum(e.counted) AS score, CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN lead l ON l.id = n.lead LEFT JOIN LATERAL leadscore.explain('t1_lead', l) e ON true GROUP BY n.id, l.id$$),
	(9, 'score() in FROM', $$SELECT l.id, score, WANT(l) AS want FROM lead l, SCORE('t1_lead', l) score$$)
	) v(n, shape, query), LATERAL (SELECT rows, nulls, same, "right" FROM shape(v.query)) s
ORDER BY v.n;

--
-- Views: the source of a model
--
CREATE TABLE company (id int PRIMARY KEY, industry text, employees int);
INSERT INTO company SELECT id, industry, employees FROM lead;
CREATE VIEW v_one AS SELECT * FROM lead;
CREATE VIEW v_some AS SELECT opted_in, upper(filler) AS upper, industry, id, custom, employees, title FROM lead WHERE id <> 3;
CREATE VIEW v_join AS SELECT l.id, c.industry, c.employees, l.title, l.opted_in, l.custom, n.val FROM lead l JOIN company c ON c.id = l.id LEFT JOIN note n ON n.lead = l.id;
CREATE VIEW v_outer AS SELECT l.id, c.industry, c.employees, l.title, l.opted_in, l.custom FROM lead l LEFT JOIN company c ON c.id = l.id AND c.id <> 5;
CREATE VIEW v_nested AS SELECT j.*, 1 AS one FROM v_join j JOIN v_one o USING (id);
CREATE VIEW v_limit AS SELECT * FROM lead ORDER BY id LIMIT 7;
CREATE VIEW v_aggregate AS SELECT l.id, max(c.industry) AS industry, max(c.employees) AS employees, min(l.title::text)::varchar(40) AS title, bool_or(l.opted_in) AS opted_in, l.custom, count(*) FROM lead l JOIN company c ON c.id = l.id GROUP BY l.id;
CREATE VIEW v_distinct AS SELECT DISTINCT ON (id) * FROM lead ORDER BY id;
CREATE VIEW v_union AS SELECT * FROM lead WHERE id < 8 UNION ALL SELECT * FROM lead WHERE id >= 8;
CREATE VIEW v_window AS SELECT id, industry, employees, title, opted_in, custom, row_number() OVER (ORDER BY id) FROM lead;
CREATE VIEW v_volatile AS SELECT id, industry, employees, title, opted_in, custom, random() AS r FROM lead;
CREATE VIEW v_barrier WITH (security_barrier) AS SELECT * FROM lead WHERE id <> 4;
CREATE VIEW v_subquery AS SELECT id, (SELECT c.industry FROM company c WHERE c.id = l.id) AS industry, employees, title, opted_in, custom FROM lead l;
CREATE MATERIALIZED VIEW v_stored AS SELECT c.industry, c.employees, l.title, l.opted_in, l.custom, l.id FROM lead l JOIN company c USING (id);
DO $$
DECLARE
	v regclass;
BEGIN
	FOREACH v IN ARRAY '{v_one,v_some,v_join,v_outer,v_nested,v_limit,v_aggregate,v_distinct,v_union,v_window,v_volatile,v_barrier,v_subquery,v_stored}'::regclass[] LOOP
		PERFORM make_model('t1_' || v, 'lead', v);
	END LOOP;
END
$$;
SELECT m.source, s.*, o.nulls AS joined_nulls, o.same AS joined_same, o."right" AS joined_right, o.columns AS joined_columns
FROM leadscore.model m,
	 shape(format($$SELECT v.id, SCORE('%s', v), WANT(v) AS want FROM %s v$$, m.name, m.source)) s,
	 shape(format($$SELECT n.id, SCORE('%s', v), CASE WHEN v.id IS NOT NULL THEN WANT(v) END AS want FROM note n LEFT JOIN %s v ON v.id = n.lead$$, m.name, m.source)) o
WHERE m.name LIKE 't1\_v\_%' ORDER BY m.name;
SELECT v.shape, s.* FROM (VALUES
	(1, 'join', $$SELECT v.id, SCORE('t1_v_join', v), WANT(v) AS want FROM v_join v JOIN note n ON n.lead = v.id$$),
	(2, 'where, order by, limit', $$SELECT v.id, SCORE('t1_v_join', v), WANT(v) AS want FROM v_join v WHERE SCORE('t1_v_join', v) > 0 ORDER BY SCORE('t1_v_join', v) DESC, id LIMIT 5$$),
	(3, 'group by', $$SELECT min(v.id) AS id, SCORE('t1_v_join', v), min(WANT(v)) AS want FROM v_join v GROUP BY SCORE('t1_v_join', v)$$),
	(4, 'grouping sets', $$SELECT min(id) AS id, SCORE('t1_v_join', v), CASE WHEN grouping(v) = 0 THEN min(WANT(v)) END AS want FROM v_join v GROUP BY GROUPING SETS ((v), ())$$),
	(5, 'full join', $$SELECT v.id, SCORE('t1_v_outer', v), CASE WHEN v.id IS NOT NULL THEN WANT(v) END AS want FROM v_outer v FULL JOIN note n ON n.lead = v.id$$),
	(6, 'subquery over it', $$SELECT s.id, SCORE('t1_v_join', s), WANT(s) AS want FROM (SELECT * FROM v_join) s$$),
	(7, 'CTE over it', $$WITH c AS MATERIALIZED (SELECT v FROM v_join v) SELECT (v).id, SCORE('t1_v_join', v), WANT(x) AS want FROM c, LATERAL (SELECT (v).*) x$$),
	(8, 'the table''s row where the view is the table''s', $$SELECT l.id, SCORE('t1_v_stored', l), WANT(l) AS want FROM v_stored l JOIN lead USING (id)$$),
	(9, 'update from', $$UPDATE note n SET val = SCORE('t1_v_join', v) FROM v_join v WHERE v.id = n.lead RETURNING v.id, n.val AS score, WANT(v) AS want$$),
	(10, 'insert into it', $$INSERT INTO v_one AS v (id, industry, opted_in) VALUES (100, 'energy', true) RETURNING v.id, SCORE('t1_v_one', v), WANT(v) AS want$$),
	(11, 'update it', $$UPDATE v_one v SET employees = v.employees + 1 RETURNING v.id, SCORE('t1_v_one', v), WANT(v) AS want$$),
	(12, 'update it by score', $$UPDATE v_one v SET points = SCORE('t1_v_one', v) RETURNING v.id, points AS score, WANT(v) AS want$$),
	(13, 'delete from it', $$DELETE FROM v_barrier v WHERE SCORE('t1_v_barrier', v) > 5 RETURNING v.id, SCORE('t1_v_barrier', v), WANT(v) AS want$$)
	) v(n, shape, query), LATERAL (SELECT rows, nulls, same, "right" FROM shape(v.query)) s
ORDER BY v.n;
-- a view that scores
CREATE VIEW v_scored AS SELECT l.*, leadscore.score('t1_lead', l) AS score, leadscore.temperature('t1_lead', l) FROM lead l;
SELECT count(*) AS leads, count(*) FILTER (WHERE score = want) AS "right", count(*) FILTER (WHERE temperature = 'hot') AS hot FROM v_scored JOIN truth USING (id);
SELECT count(*) AS rows, count(v.score) AS leads, count(*) FILTER (WHERE v.score = t.want) AS "right"
FROM note n LEFT JOIN v_scored v ON v.id = n.lead LEFT JOIN truth t ON t.id = v.id;
SELECT plan_has('SELECT id, score FROM v_scored', '_score_columns') AS columns;
SELECT id, score FROM v_scored WHERE temperature = 'hot' ORDER BY score DESC, id LIMIT 3;
DROP VIEW v_scored;
SELECT count(*) AS dropped FROM (SELECT leadscore.score('t1_v_one', v) FROM v_one v) s;

--
-- Partitions, inheritance, generated columns, large values, many columns
--
CREATE TABLE parted (
	industry text, id int, employees int, title varchar(40), opted_in boolean, custom jsonb, points int
) PARTITION BY LIST (industry);
CREATE TABLE parted_energy PARTITION OF parted FOR VALUES IN ('energy');
CREATE TABLE parted_other (gone int, custom jsonb, opted_in boolean, points int, title varchar(40), employees int, id int, industry text);
ALTER TABLE parted_other DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_other DEFAULT;
INSERT INTO parted (id, industry, employees, title, opted_in, custom) SELECT id, industry, employees, title, opted_in, custom FROM lead;
SELECT make_model('t1_parted', 'parted');

CREATE TABLE parent (id int, industry text, employees int, title varchar(40), opted_in boolean, custom jsonb);
CREATE TABLE child (extra text, custom jsonb, employees int, id int, industry text, title varchar(40), opted_in boolean);
ALTER TABLE child INHERIT parent;
CREATE TABLE grandchild (more int) INHERITS (child);
INSERT INTO parent SELECT id, industry, employees, title, opted_in, custom FROM lead WHERE id % 3 = 0;
INSERT INTO child (id, industry, employees, title, opted_in, custom) SELECT id, industry, employees, title, opted_in, custom FROM lead WHERE id % 3 = 1;
INSERT INTO grandchild (id, industry, employees, title, opted_in, custom) SELECT id, industry, employees, title, opted_in, custom FROM lead WHERE id % 3 = 2;
SELECT make_model('t1_parent', 'parent'), make_model('t1_child', 'child');

CREATE TABLE computed (
	id int, base int, employees int GENERATED ALWAYS AS (base * 2) STORED, size text,
	industry text GENERATED ALWAYS AS (lower(size)) STORED, title varchar(40), opted_in boolean, custom jsonb
);
INSERT INTO computed (id, base, size) SELECT i, i, (ARRAY['ENERGY', 'Mining', NULL])[1 + i % 3] FROM generate_series(20, 30) i;
SELECT make_model('t1_computed', 'computed');

-- values that are stored apart, and that rules read or do not read
CREATE TABLE large (id int, unread text, industry text, employees int, title varchar(40), opted_in boolean, custom jsonb);
ALTER TABLE large ALTER unread SET STORAGE EXTERNAL, ALTER industry SET STORAGE EXTERNAL, ALTER custom SET STORAGE EXTERNAL;
INSERT INTO large SELECT i, repeat('u', 100000), CASE WHEN i % 2 = 0 THEN repeat('energy', 10000) ELSE 'energy' END, i, 'director', true,
	jsonb_build_object('x', repeat('y', 20000), 'budget', CASE WHEN i > 2 THEN 'yes' END) FROM generate_series(1, 4) i;
SELECT make_model('t1_large', 'large');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES
	('t1_large', 'other', format('industry = %L', repeat('energy', 10000)), 1000), ('t1_large', 'other', 'length(industry) > 10', 10000),
	('t1_large', 'other', format('lower(industry) IN (%L, ''x'')', repeat('energy', 10000)), 100000);

SELECT v.shape, s.* FROM (VALUES
	(1, 'partitioned', $$SELECT l.id, SCORE('t1_parted', l), WANT(l) AS want FROM parted l$$),
	(2, 'partitioned, outer join', $$SELECT n.id, SCORE('t1_parted', l), CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN parted l ON l.id = n.lead$$),
	(3, 'one partition through the parent', $$SELECT l.id, SCORE('t1_parted', l), WANT(l) AS want FROM parted l WHERE industry = 'energy'$$),
	(4, 'partition directly', $$SELECT l.id, SCORE('t1_parted', l), WANT(l) AS want FROM parted_energy l$$),
	(5, 'partition of another shape', $$SELECT l.id, SCORE('t1_parted', l), WANT(l) AS want FROM parted_other l$$),
	(6, 'partition, outer join', $$SELECT n.id, SCORE('t1_parted', l), CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN parted_other l ON l.id = n.lead$$),
	(7, 'partition as the parent', $$SELECT l.id, SCORE('t1_parted', l::parted), WANT(l) AS want FROM parted_other l$$),
	(8, 'inheritance', $$SELECT l.id, SCORE('t1_parent', l), WANT(l) AS want FROM parent l$$),
	(9, 'inheritance, outer join', $$SELECT n.id, SCORE('t1_parent', l), CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN parent l ON l.id = n.lead$$),
	(10, 'only the parent', $$SELECT l.id, SCORE('t1_parent', l), WANT(l) AS want FROM ONLY parent l$$),
	(11, 'child', $$SELECT l.id, SCORE('t1_parent', l), WANT(l) AS want FROM child l$$),
	(12, 'grandchild', $$SELECT l.id, SCORE('t1_parent', l), WANT(l) AS want FROM grandchild l$$),
	(13, 'child''s own model', $$SELECT l.id, SCORE('t1_child', l), WANT(l) AS want FROM child l$$),
	(14, 'grandchild by the child''s model', $$SELECT l.id, SCORE('t1_child', l), WANT(l) AS want FROM grandchild l$$),
	(15, 'subquery over inheritance', $$SELECT l.id, SCORE('t1_parent', l), WANT(l) AS want FROM (SELECT * FROM parent) l$$),
	(16, 'generated columns', $$SELECT l.id, SCORE('t1_computed', l), WANT(l) AS want FROM computed l$$),
	(17, 'insert generated columns', $$INSERT INTO computed AS l (id, base, size) VALUES (1, 30, 'ENERGY'), (2, NULL, NULL) RETURNING l.id, SCORE('t1_computed', l), WANT(l) AS want$$),
	(18, 'update generated columns', $$UPDATE computed l SET base = 50 - base, size = 'RETAIL' RETURNING l.id, SCORE('t1_computed', l), WANT(l) AS want$$),
	(19, 'large values', $$SELECT l.id, SCORE('t1_large', l), WANT(l) + CASE WHEN length(industry) > 10 THEN 111000 ELSE 0 END AS want FROM large l$$),
	(20, 'large values, sorted', $$SELECT l.id, SCORE('t1_large', l), WANT(l) + CASE WHEN length(industry) > 10 THEN 111000 ELSE 0 END AS want FROM (SELECT * FROM large ORDER BY id OFFSET 0) l$$),
	(21, 'large values, new', $$INSERT INTO large AS l (id, industry, custom) SELECT 5, repeat('energy', 10000), '{"budget": "yes"}' RETURNING l.id, SCORE('t1_large', l), 111100 AS want$$)
	) v(n, shape, query), shape(v.query) s
ORDER BY v.n;

-- a function has at most 100 arguments: beyond, the row is passed
DO $$
DECLARE
	n int;
BEGIN
	EXECUTE 'CREATE TABLE wide (id int PRIMARY KEY, ' || (SELECT string_agg(format('c%s int', i), ', ') FROM generate_series(1, 130) i) || ')';
	EXECUTE 'INSERT INTO wide SELECT g, ' || (SELECT string_agg(format('g * %s %% 7', i), ', ') FROM generate_series(1, 130) i) || ' FROM generate_series(1, 20) g';
	FOREACH n IN ARRAY '{1,90,95,96,100,130}'::int[] LOOP
		INSERT INTO leadscore.model (name, target) VALUES ('t1_wide' || n, 'wide');
		INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('t1_wide' || n, 'f', 'fit', 'sum');
		INSERT INTO leadscore.rule (model, factor, condition, points) SELECT 't1_wide' || n, 'f', format('c%s = 3', i), i FROM generate_series(1, n) i;
	END LOOP;
END
$$;
SELECT n, s.rows, CASE WHEN n IN (1, 130) THEN s.columns END AS columns, s.same, s."right"
FROM unnest('{1,90,95,96,100,130}'::int[]) n,
	 shape(format($$SELECT w.id, SCORE('t1_wide%s', w), (SELECT coalesce(sum(i), 0) FROM generate_series(1, %s) i WHERE w.id * i %% 7 = 3) AS want FROM wide w$$, n, n)) s
ORDER BY n;

--
-- Statements that write
--
SELECT v.shape, s.* FROM (VALUES
	(1, 'update', $$UPDATE lead l SET points = SCORE('t1_lead', l) RETURNING l.id, points AS score, WANT(l) AS want$$),
	(2, 'update, the new row', $$UPDATE lead l SET employees = 60 - employees, industry = 'energy' RETURNING l.id, SCORE('t1_lead', l), WANT(l) AS want$$),
	(3, 'update, the old row', $$UPDATE lead l SET employees = 60, industry = 'energy', points = SCORE('t1_lead', l) FROM truth t WHERE t.id = l.id RETURNING l.id, points AS score, t.want$$),
	(4, 'update where', $$UPDATE lead l SET points = 1 WHERE SCORE('t1_lead', l) > 20 RETURNING l.id, points AS score, (WANT(l) > 20)::int AS want$$),
	(5, 'update from', $$UPDATE note n SET val = SCORE('t1_lead', l) FROM lead l WHERE l.id = n.lead RETURNING l.id, SCORE('t1_lead', l) * 1000 + n.val AS score, WANT(l) * 1001 AS want$$),
	(6, 'update of several', $$UPDATE note n SET (val, lead) = (SELECT SCORE('t1_lead', l), l.id FROM lead l WHERE l.id = n.lead) RETURNING n.lead AS id, val AS score, (SELECT want FROM truth t WHERE t.id = n.lead) AS want$$),
	(7, 'insert', $$INSERT INTO lead AS l (id, industry, custom) VALUES (101, 'energy', '{"budget": "yes"}'), (102, NULL, NULL) RETURNING l.id, SCORE('t1_lead', l), WANT(l) AS want$$),
	(8, 'insert select', $$INSERT INTO note (id, lead, val) SELECT 100 + l.id, l.id, SCORE('t1_lead', l) FROM lead l RETURNING lead AS id, val AS score, (SELECT want FROM truth t WHERE t.id = lead) AS want$$),
	(9, 'on conflict, new row', $$INSERT INTO lead AS l (id, industry, employees, custom) VALUES (1, 'energy', 77, '{"budget": "yes"}'), (103, 'retail', 1, NULL) ON CONFLICT (id) DO UPDATE SET points = SCORE('t1_lead', excluded) RETURNING l.id, coalesce(points, SCORE('t1_lead', l)) AS score, CASE l.id WHEN 1 THEN 115 ELSE 2 END AS want$$),
	(10, 'on conflict, old row', $$INSERT INTO lead AS l (id, industry) VALUES (1, 'energy'), (2, 'energy') ON CONFLICT (id) DO UPDATE SET points = SCORE('t1_lead', l) WHERE SCORE('t1_lead', l) IS NOT NULL RETURNING l.id, points AS score, WANT(l) AS want$$),
	(11, 'on conflict, the row at last', $$INSERT INTO lead AS l (id, industry, employees) VALUES (1, 'energy', 77), (104, 'energy', 77) ON CONFLICT (id) DO UPDATE SET industry = excluded.industry, employees = excluded.employees RETURNING l.id, SCORE('t1_lead', l), WANT(l) AS want$$),
	(12, 'delete', $$DELETE FROM lead l RETURNING l.id, SCORE('t1_lead', l), WANT(l) AS want$$),
	(13, 'delete where', $$DELETE FROM lead l WHERE SCORE('t1_lead', l) > 20 RETURNING l.id, 1 AS score, (WANT(l) > 20)::int AS want$$),
	(14, 'delete using', $$DELETE FROM note n USING lead l WHERE l.id = n.lead AND SCORE('t1_lead', l) < 20 RETURNING l.id, SCORE('t1_lead', l), WANT(l) AS want$$),
	(15, 'in a data-modifying CTE', $$WITH d AS (DELETE FROM lead l RETURNING l, l.id, SCORE('t1_lead', l) AS score, WANT(l) AS want) SELECT d.id, d.score - SCORE('t1_lead', d.l) AS score, 0 AS want FROM d$$),
	(16, 'insert into partitions', $$INSERT INTO parted AS l (id, industry, employees, opted_in) VALUES (1, 'energy', 60, true), (2, NULL, 60, true), (3, 'mining', 1, NULL) RETURNING l.id, SCORE('t1_parted', l), WANT(l) AS want$$),
	(17, 'update partitions', $$UPDATE parted l SET employees = 60 - employees, points = SCORE('t1_parted', l) RETURNING l.id, SCORE('t1_parted', l), WANT(l) AS want$$),
	(18, 'update moves between partitions', $$UPDATE parted l SET industry = CASE WHEN industry = 'energy' THEN 'retail' ELSE 'energy' END RETURNING l.id, SCORE('t1_parted', l), WANT(l) AS want$$),
	(19, 'update moves, the old row', $$UPDATE parted l SET industry = 'energy', points = SCORE('t1_parted', l) FROM truth t WHERE t.id = l.id RETURNING l.id, points AS score, t.want$$),
	(20, 'delete from partitions', $$DELETE FROM parted l WHERE SCORE('t1_parted', l) > 5 RETURNING l.id, SCORE('t1_parted', l), WANT(l) AS want$$),
	(21, 'update one partition', $$UPDATE parted_other l SET points = SCORE('t1_parted', l) RETURNING l.id, SCORE('t1_parted', l), WANT(l) AS want$$),
	(22, 'update parents and children', $$UPDATE parent l SET employees = 60 - employees WHERE SCORE('t1_parent', l) IS NOT NULL RETURNING l.id, SCORE('t1_parent', l), WANT(l) AS want$$),
	(23, 'delete from parents and children', $$DELETE FROM parent l RETURNING l.id, SCORE('t1_parent', l), WANT(l) AS want$$)
	) v(n, shape, query), LATERAL (SELECT rows, nulls, same, "right" FROM shape(v.query)) s
ORDER BY v.n;

-- what a trigger made of the row is what is scored
CREATE FUNCTION make_energy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.industry := 'energy'; NEW.points := leadscore.score('t1_lead', NEW); RETURN NEW; END $$;
CREATE TRIGGER make_energy BEFORE INSERT OR UPDATE ON lead FOR EACH ROW EXECUTE FUNCTION make_energy();
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER hold BEFORE DELETE ON lead FOR EACH ROW WHEN (leadscore.score('t1_lead', OLD) > 100) EXECUTE FUNCTION hold();
SELECT v.shape, s.* FROM (VALUES
	(1, 'insert', $$INSERT INTO lead AS l (id, industry, opted_in) VALUES (101, 'retail', true) RETURNING l.id, SCORE('t1_lead', l) * 1000 + points AS score, 13013 AS want$$),
	(2, 'update', $$UPDATE lead l SET industry = 'retail', opted_in = true RETURNING l.id, SCORE('t1_lead', l) * 1000 + points AS score, plain('energy', employees, title, true, custom) * 1001 AS want$$),
	(3, 'on conflict', $$INSERT INTO lead AS l (id, industry) VALUES (1, 'retail') ON CONFLICT (id) DO UPDATE SET industry = NULL RETURNING l.id, SCORE('t1_lead', l) * 1000 + points AS score, plain('energy', employees, title, opted_in, custom) * 1001 AS want$$),
	(4, 'delete', $$DELETE FROM lead l RETURNING l.id, 0 AS score, (WANT(l) > 100)::int AS want$$)
	) v(n, shape, query), LATERAL (SELECT rows, nulls, same, "right" FROM shape(v.query)) s
ORDER BY v.n;
DROP TRIGGER make_energy ON lead;
DROP TRIGGER hold ON lead;

BEGIN;
MERGE INTO lead l USING (SELECT m.*, leadscore.score('t1_lead', m) AS s FROM lead m) s ON s.id = l.id AND s.id < 20
WHEN MATCHED AND leadscore.score('t1_lead', l) > 20 THEN UPDATE SET points = leadscore.score('t1_lead', l) * 1000 + s.s
WHEN MATCHED THEN DELETE
WHEN NOT MATCHED AND leadscore.score('t1_lead', ROW(s.id, s.filler, s.industry, s.employees, s.title, s.opted_in, s.custom, s.doc, s.points)::lead) > 0
	THEN INSERT (id, points) VALUES (s.id + 100, s.s);
SELECT count(*) FILTER (WHERE l.id < 20) AS updated, count(*) FILTER (WHERE l.id > 100) AS inserted,
	   bool_and(CASE WHEN l.id < 20 THEN l.points = t.want * 1001 AND t.want > 20 WHEN l.id > 100 THEN l.points = t.want AND t.want > 0 END) AS "right",
	   (SELECT count(*) FROM truth WHERE id < 20 AND want > 20) AS to_update, (SELECT count(*) FROM truth WHERE id >= 20 AND want > 0) AS to_insert
FROM lead l JOIN truth t ON t.id = l.id % 100;
ROLLBACK;
BEGIN;
MERGE INTO parted p USING truth t ON t.id = p.id
WHEN MATCHED AND leadscore.score('t1_parted', p) <> t.want THEN DELETE
WHEN MATCHED THEN UPDATE SET points = leadscore.score('t1_parted', p);
SELECT count(*) AS rows, count(*) FILTER (WHERE points = want) AS "right" FROM parted JOIN truth USING (id);
ROLLBACK;

--
-- Row security
--
CREATE ROLE regress_t1_paths;
GRANT USAGE ON SCHEMA t1_paths, leadscore TO regress_t1_paths;
GRANT SELECT ON lead, note, truth, v_barrier TO regress_t1_paths;
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON lead TO regress_t1_paths USING (id % 2 = 1 AND leadscore.score('t1_lead', lead) > 0);
SET ROLE regress_t1_paths;
SELECT v.shape, s.* FROM (VALUES
	(1, 'plain', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l$$),
	(2, 'where', $$SELECT l.id, SCORE('t1_lead', l), WANT(l) AS want FROM lead l WHERE SCORE('t1_lead', l) > 20$$),
	(3, 'outer join', $$SELECT n.id, SCORE('t1_lead', l), CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN lead l ON l.id = n.lead$$),
	(4, 'a view of its owner', $$SELECT v.id, SCORE('t1_v_barrier', v), WANT(v) AS want FROM v_barrier v$$)
	) v(n, shape, query), LATERAL (SELECT rows, nulls, same, "right" FROM shape(v.query)) s
ORDER BY v.n;
RESET ROLE;
SELECT count(*) AS odd FROM truth WHERE id % 2 = 1 AND want > 0;
SELECT count(*) AS odd_above_20 FROM truth WHERE id % 2 = 1 AND want > 20;
DROP POLICY odd ON lead;
ALTER TABLE lead DISABLE ROW LEVEL SECURITY;
DROP OWNED BY regress_t1_paths;
DROP ROLE regress_t1_paths;

--
-- Functions around it
--
CREATE FUNCTION sql_score(l lead) RETURNS int STABLE LANGUAGE sql AS $$ SELECT leadscore.score('t1_lead', l) $$;
CREATE FUNCTION sql_score_of(model text, l lead) RETURNS int STABLE LANGUAGE sql AS $$ SELECT leadscore.score($1, $2) $$;
CREATE FUNCTION sql_volatile(l lead) RETURNS int VOLATILE LANGUAGE sql AS $$ SELECT leadscore.score('t1_lead', l) $$;
CREATE FUNCTION sql_immutable(l lead) RETURNS int IMMUTABLE LANGUAGE sql AS $$ SELECT leadscore.score('t1_lead', l) $$;
CREATE FUNCTION sql_set(lowest int) RETURNS TABLE (id int, score int) STABLE LANGUAGE sql AS $$ SELECT l.id, leadscore.score('t1_lead', l) FROM t1_paths.lead l WHERE l.id >= lowest $$;
CREATE FUNCTION pl_score(l lead) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN leadscore.score('t1_lead', l); END $$;
CREATE FUNCTION pl_score_of(model text, l lead) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN leadscore.score(model, l); END $$;
CREATE FUNCTION pl_by_id(the_id int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	row_of_type	lead;
	any_row		record;
BEGIN
	SELECT * INTO row_of_type FROM lead l WHERE l.id = the_id;
	SELECT * INTO any_row FROM lead l WHERE l.id = the_id;
	IF leadscore.score('t1_lead', row_of_type) IS DISTINCT FROM leadscore.score('t1_lead', any_row)
		OR leadscore.score('t1_lead', any_row) IS DISTINCT FROM (SELECT leadscore.score('t1_lead', l) FROM lead l WHERE l.id = the_id) THEN
		RAISE EXCEPTION 'scores differ';
	END IF;
	RETURN leadscore.score('t1_lead', row_of_type);
END
$$;
SELECT v.shape, s.* FROM (VALUES
	(1, 'SQL', $$SELECT l.id, sql_score(l) AS score, WANT(l) AS want FROM lead l$$),
	(2, 'SQL, with the model', $$SELECT l.id, sql_score_of('t1_lead', l) AS score, WANT(l) AS want FROM lead l$$),
	(3, 'SQL, volatile', $$SELECT l.id, sql_volatile(l) AS score, WANT(l) AS want FROM lead l$$),
	(4, 'SQL, immutable', $$SELECT l.id, sql_immutable(l) AS score, WANT(l) AS want FROM lead l$$),
	(5, 'SQL, a set', $$SELECT f.id, f.score, t.want FROM sql_set(5) f JOIN truth t USING (id)$$),
	(6, 'PL/pgSQL', $$SELECT l.id, pl_score(l) AS score, WANT(l) AS want FROM lead l$$),
	(7, 'PL/pgSQL, with the model', $$SELECT l.id, pl_score_of('t1_lead', l) AS score, WANT(l) AS want FROM lead l$$),
	(8, 'PL/pgSQL, variables', $$SELECT t.id, pl_by_id(t.id) AS score, t.want FROM truth t$$),
	(9, 'outer join', $$SELECT n.id, sql_score(l) AS score, CASE WHEN l.id IS NOT NULL THEN WANT(l) END AS want FROM note n LEFT JOIN lead l ON l.id = n.lead$$),
	(10, 'the model from the row', $$SELECT l.id, SCORE(m.name, l) AS score, WANT(l) AS want FROM lead l, (VALUES ('t1_lead')) m(name)$$),
	(11, 'the model of NULL', $$SELECT l.id, SCORE(NULL, l) AS score, NULL::int AS want FROM lead l$$)
	) v(n, shape, query), LATERAL (SELECT rows, nulls, same, "right" FROM shape(v.query)) s
ORDER BY v.n;
SELECT plan_has('SELECT sql_score(l) FROM lead l', '_score_columns') AS inlined, plan_has('SELECT sql_score_of(''t1_lead'', l) FROM lead l', '_score_columns') AS inlined_with_model,
	   plan_has('SELECT score FROM sql_set(5)', '_score_columns') AS inlined_set;
-- two models in one query, and one model name after the other at one place
INSERT INTO leadscore.model (name, target) VALUES ('t1_nil', 'lead');
SELECT m.name, count(*) AS leads, count(*) FILTER (WHERE leadscore.score(m.name, l) = CASE m.name WHEN 't1_lead' THEN t.want ELSE 0 END) AS "right",
	   count(*) FILTER (WHERE pl_score_of(m.name, l) = CASE m.name WHEN 't1_lead' THEN t.want ELSE 0 END) AS pl_right
FROM lead l JOIN truth t USING (id), (VALUES ('t1_lead'), ('t1_nil')) m(name) GROUP BY m.name ORDER BY m.name;
DELETE FROM leadscore.model WHERE name = 't1_nil';

--
-- Prepared statements
--
-- lead 1: mining 7, employees 49 -5, art director 20, not opted in, no budget: 22
-- lead 21: industry unknown, 1
PREPARE by_id(int) AS SELECT id, leadscore.score('t1_lead', l) FROM lead l WHERE id = $1;
PREPARE by_model(text) AS SELECT sum(leadscore.score($1, l)) FROM lead l;
PREPARE by_columns AS SELECT sum(leadscore.score('t1_lead', l)) FROM lead l;
PREPARE of_view AS SELECT sum(leadscore.score('t1_v_join', v)) FROM v_join v;
PREPARE of_row AS SELECT leadscore.score('t1_lead', ROW(1, 'fill', 'energy', 60, 'clerk', false, '{}', 'doc', 5)::lead);
CREATE FUNCTION say_all() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	a int; b int; c int; d int; e int; f int;
BEGIN
	EXECUTE 'EXECUTE by_columns' INTO a;
	EXECUTE 'EXECUTE by_model(''t1_lead'')' INTO b;
	EXECUTE 'EXECUTE by_model(''t1_v_one'')' INTO c;
	EXECUTE 'EXECUTE of_view' INTO d;
	EXECUTE 'EXECUTE of_row' INTO e;
	SELECT sum(leadscore._score_row('t1_lead', l)) INTO f FROM lead l;
	RETURN format('%s %s %s %s, row %s', a, b, f, d, e);
EXCEPTION WHEN datatype_mismatch THEN
	RETURN 'a row of the table is not one of a view: ' || SQLERRM;
END
$$;
SELECT sum(want) FROM truth;
SELECT say_all();		-- a row of the table is not one of the view v_one
CREATE OR REPLACE FUNCTION say_all() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	a int; b int; d int; e int; f int;
BEGIN
	EXECUTE 'EXECUTE by_columns' INTO a;
	EXECUTE 'EXECUTE by_model(''t1_lead'')' INTO b;
	EXECUTE 'EXECUTE of_view' INTO d;
	EXECUTE 'EXECUTE of_row' INTO e;
	SELECT sum(leadscore._score_row('t1_lead', l)) INTO f FROM lead l;
	RETURN format('%s %s %s, view %s, row %s', a, b, f, d, e);
END
$$;
EXECUTE by_id(1);
EXECUTE by_id(21);
SELECT say_all();		-- energy 10 + 60 employees 5
SET plan_cache_mode = force_generic_plan;
EXECUTE by_id(1);
SELECT say_all();
-- other points: 21 leads get 1000 more, none 5 for their size but 7
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('t1_lead', 'other', 'true', 1000), ('t1_v_join', 'other', 'true', 1000);
EXECUTE by_id(1);
EXECUTE by_id(21);
SELECT say_all();
-- a rule that needs columns which no plan has: filler is x, xx, xxx ... and NULL
INSERT INTO leadscore.rule (id, model, factor, condition, points) OVERRIDING SYSTEM VALUE VALUES (-1, 't1_lead', 'other', 'length(filler) <= 4 AND doc IS DISTINCT FROM ''x''', 100000);
INSERT INTO leadscore.rule (id, model, factor, condition, points) OVERRIDING SYSTEM VALUE VALUES (-2, 't1_v_join', 'other', 'val = 0', 100000);
EXECUTE by_id(1);
EXECUTE by_id(21);
SELECT say_all();		-- 4 leads; 7 of the view (15 to 21 have a note); 'fill'
SELECT say_all();
SET plan_cache_mode = force_custom_plan;
SELECT say_all();
-- fewer columns again
DELETE FROM leadscore.rule WHERE id IN (-1, -2);
SELECT say_all();
SET plan_cache_mode = force_generic_plan;
SELECT say_all();

--
-- Rules that change within a transaction
--
BEGIN;
SELECT say_all();
SAVEPOINT a;
INSERT INTO leadscore.rule (id, model, factor, condition, points) OVERRIDING SYSTEM VALUE VALUES (-1, 't1_lead', 'other', 'length(filler) <= 4', 100000);
EXECUTE by_id(1);
SELECT say_all();
SAVEPOINT b;
UPDATE leadscore.rule SET points = 200000 WHERE id = -1;
SELECT say_all();
ROLLBACK TO b;
SELECT say_all();
UPDATE leadscore.rule SET points = 300000 WHERE id = -1;
SELECT say_all();
ROLLBACK TO a;
EXECUTE by_id(1);
SELECT say_all();
INSERT INTO leadscore.rule (id, model, factor, condition, points) OVERRIDING SYSTEM VALUE VALUES (-3, 't1_lead', 'other', 'doc IS NULL', 400000);
SELECT say_all();
ROLLBACK;
SELECT say_all();

BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT say_all();
INSERT INTO leadscore.rule (id, model, factor, condition, points) OVERRIDING SYSTEM VALUE VALUES (-1, 't1_lead', 'other', 'length(filler) <= 4', 100000);
SELECT say_all();		-- one's own changes are seen
ROLLBACK;
SELECT say_all();

-- one statement, one rulebook: also if it changes the rules itself
WITH w AS (UPDATE leadscore.rule SET points = points + 1 WHERE model = 't1_lead' AND condition = 'true' RETURNING 1)
SELECT sum(leadscore.score('t1_lead', l)), sum(leadscore._score_row('t1_lead', l)) FROM lead l, w;
SELECT say_all();
CREATE FUNCTION bump() RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE leadscore.rule SET points = points + 1 WHERE model = 't1_lead' AND condition = 'true'; RETURN 0; END $$;
SELECT l.id, bump() + leadscore.score('t1_lead', l) AS score, leadscore.score('t1_lead', l) + bump() AS score_again, leadscore._score_row('t1_lead', l) + bump() AS score_row FROM lead l WHERE id IN (1, 2, 21) ORDER BY id;
SELECT say_all();		-- 9 times
UPDATE leadscore.rule SET points = 1000 WHERE model = 't1_lead' AND condition = 'true';

-- loops: each round sees the rules as they are by then
CREATE FUNCTION pl_loop(rounds int) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	l		lead;
	result	int[] := '{}';
	s		int;
BEGIN
	SELECT * INTO l FROM lead WHERE id = 21;
	FOR i IN 1..rounds LOOP
		UPDATE leadscore.rule SET points = 1000 + i WHERE model = 't1_lead' AND condition = 'true';
		SELECT leadscore.score('t1_lead', x) INTO s FROM lead x WHERE id = 21;
		result := result || leadscore.score('t1_lead', l) || s || pl_score(l);
	END LOOP;
	RETURN result;
END
$$;
SELECT pl_loop(3);
SELECT pl_loop(2);
SELECT pl_score(l) FROM lead l WHERE id = 21;
-- a function that is stable sees what its caller's statement sees
CREATE FUNCTION pl_stable_pair(l lead) RETURNS int[] STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN ARRAY[leadscore.score('t1_lead', l), (SELECT leadscore.score('t1_lead', x) FROM t1_paths.lead x WHERE id = 21)]; END $$;
SELECT bump(), pl_stable_pair(l), bump(), pl_stable_pair(l) FROM lead l WHERE id = 21;
SELECT pl_stable_pair(l) FROM lead l WHERE id = 21;
-- what is rolled back was never there: the same expression, at the same command
CREATE FUNCTION pl_undone() RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	l		lead;
	result	int[] := '{}';
	s		int;
BEGIN
	SELECT * INTO l FROM lead WHERE id = 21;
	FOR i IN 1..3 LOOP
		BEGIN
			UPDATE leadscore.rule SET points = 2000 * i WHERE model = 't1_lead' AND condition = 'true';
			s := pl_score_of('t1_lead', l);
			RAISE EXCEPTION USING ERRCODE = 'T1T1T';
		EXCEPTION WHEN SQLSTATE 'T1T1T' THEN
			result := result || s;
		END;
		result := result || pl_score_of('t1_lead', l);
	END LOOP;
	RETURN result;
END
$$;
UPDATE leadscore.rule SET points = 1000 WHERE model = 't1_lead' AND condition = 'true';
SELECT pl_undone();
-- DO blocks and dynamic SQL, the whole matrix thrown away and made anew
DO $$
DECLARE
	s int;
BEGIN
	FOR i IN 1..3 LOOP
		DELETE FROM leadscore.model WHERE name = 't1_again';
		PERFORM leadscore.copy_model('t1_lead', 't1_again');
		UPDATE leadscore.rule SET points = i WHERE model = 't1_again' AND condition = 'true';
		SELECT leadscore.score('t1_again', l) INTO STRICT s FROM lead l WHERE id = 21;
		IF s <> 1 + i THEN
			RAISE EXCEPTION 'got %, expected %', s, 1 + i;
		END IF;
		EXECUTE 'SELECT leadscore.score(''t1_again'', l) FROM lead l WHERE id = 21' INTO STRICT s;
		IF s <> 1 + i THEN
			RAISE EXCEPTION 'got %, expected %', s, 1 + i;
		END IF;
	END LOOP;
	DELETE FROM leadscore.model WHERE name = 't1_again';
END
$$;

--
-- Cursors keep the rules they began with
--
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, leadscore.score('t1_lead', l), leadscore._score_row('t1_lead', l) FROM lead l WHERE id >= 18 ORDER BY id;
DECLARE v SCROLL CURSOR FOR SELECT id, leadscore.score('t1_v_join', v) FROM v_join v WHERE id >= 18 ORDER BY id;
DECLARE h CURSOR WITH HOLD FOR SELECT id, leadscore.score('t1_lead', l) FROM lead l WHERE id >= 18 ORDER BY id;
FETCH 1 FROM c;
FETCH 1 FROM v;
UPDATE leadscore.rule SET points = 5000 WHERE model IN ('t1_lead', 't1_v_join') AND condition = 'true';
FETCH 1 FROM c;
FETCH 1 FROM v;
INSERT INTO leadscore.rule (id, model, factor, condition, points) OVERRIDING SYSTEM VALUE VALUES (-1, 't1_lead', 'other', 'doc IS NULL', 100000), (-2, 't1_v_join', 'other', 'val = 0', 100000);
FETCH 1 FROM c;
FETCH 1 FROM v;
SELECT id, leadscore.score('t1_lead', l) FROM lead l WHERE id = 21;
DELETE FROM leadscore.rule WHERE model = 't1_lead' AND id > 0;
FETCH 1 FROM c;
FETCH 1 FROM v;
FETCH BACKWARD 2 FROM v;
SELECT id, leadscore.score('t1_lead', l) FROM lead l WHERE id = 21;
DELETE FROM leadscore.model WHERE name = 't1_lead';
FETCH BACKWARD 2 FROM c;
COMMIT;
FETCH ALL FROM h;		-- was computed at commit, by the rules it began with
CLOSE h;
SELECT make_model('t1_lead', 'lead');
DELETE FROM leadscore.rule WHERE id = -2;
UPDATE leadscore.rule SET points = 1000 WHERE model = 't1_v_join' AND condition = 'true';
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('t1_lead', 'other', 'true', 1000);
SELECT say_all();

--
-- A plan that was made for later rules than its snapshot sees reads the rows
--
CREATE FUNCTION stable_lead(the_id int) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT leadscore.score('t1_lead', l) FROM t1_paths.lead l WHERE id = the_id); END $$;
CREATE FUNCTION stable_view(the_id int) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT leadscore.score('t1_v_join', v) FROM t1_paths.v_join v WHERE id = the_id); END $$;
CREATE FUNCTION stable_parted(the_id int) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT leadscore.score('t1_parted', p) FROM t1_paths.parted p WHERE id = the_id); END $$;
CREATE FUNCTION stable_large(the_id int) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT leadscore.score('t1_large', l) FROM t1_paths.large l WHERE id = the_id); END $$;
CREATE FUNCTION stable_outer(the_id int) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT leadscore.score('t1_parted', p) FROM t1_paths.truth t LEFT JOIN t1_paths.parted p ON p.id = t.id AND p.id <> 20 WHERE t.id = the_id); END $$;
BEGIN;
UPDATE note SET val = id;
UPDATE parted SET points = id;
UPDATE large SET unread = repeat('u', 100000 + id);
-- each of them for lead 18 alone
INSERT INTO leadscore.rule (id, model, factor, condition, points) OVERRIDING SYSTEM VALUE VALUES (-1, 't1_lead', 'other', 'length(filler) = 18', 100000),
	(-2, 't1_v_join', 'other', 'val = 18', 200000), (-3, 't1_parted', 'other', 'points = 18', 300000), (-4, 't1_large', 'other', 'length(unread) = 100003', 400000);
DECLARE c1 CURSOR FOR SELECT id, want, stable_lead(id) FROM truth WHERE id >= 17 ORDER BY id;
DECLARE c2 CURSOR FOR SELECT id, want, stable_view(id) FROM truth WHERE id >= 17 ORDER BY id;
DECLARE c3 CURSOR FOR SELECT id, want, stable_parted(id) FROM truth WHERE id >= 17 ORDER BY id;
DECLARE c4 CURSOR FOR SELECT id, stable_large(id % 4 + 1) FROM truth WHERE id >= 17 ORDER BY id;
DECLARE c5 CURSOR FOR SELECT id, want, stable_outer(id) FROM truth WHERE id >= 17 ORDER BY id;
FETCH 1 FROM c1;
FETCH 1 FROM c2;
FETCH 1 FROM c3;
FETCH 1 FROM c4;
FETCH 1 FROM c5;
DELETE FROM leadscore.rule WHERE id IN (-1, -2, -3, -4);
-- a call of today makes the plan; the cursor comes to 18 with it, goes on, and today's is as it was
SELECT stable_lead(18);
FETCH 1 FROM c1;
FETCH 1 FROM c1;
SELECT stable_lead(18);
SELECT stable_view(18);
FETCH 1 FROM c2;
FETCH 1 FROM c2;
SELECT stable_view(18);
SELECT stable_parted(18);
FETCH 1 FROM c3;
FETCH 1 FROM c3;
SELECT stable_parted(18);
SELECT stable_large(3);
FETCH 1 FROM c4;
FETCH 1 FROM c4;
SELECT stable_large(3);
SELECT stable_outer(18), stable_outer(20);
FETCH 1 FROM c5;
FETCH 2 FROM c5;
SELECT stable_outer(18), stable_outer(20);
ROLLBACK;
RESET plan_cache_mode;

--
-- The table changes under a plan
--
DEALLOCATE ALL;
CREATE TABLE moving (LIKE lead);
INSERT INTO moving SELECT * FROM lead WHERE id IN (1, 21);
SELECT make_model('t1_moving', 'moving');
PREPARE moved AS SELECT id, leadscore.score('t1_moving', m), leadscore._score_row('t1_moving', m) AS row FROM moving m ORDER BY id;
CREATE FUNCTION pl_moved() RETURNS int LANGUAGE plpgsql AS $$ DECLARE m moving; BEGIN SELECT * INTO m FROM moving WHERE id = 1; RETURN leadscore.score('t1_moving', m); END $$;
EXECUTE moved;
SELECT pl_moved();
ALTER TABLE moving ADD COLUMN later text DEFAULT 'now';
EXECUTE moved;
SELECT pl_moved();
ALTER TABLE moving DROP COLUMN filler;
EXECUTE moved;
SELECT pl_moved();
INSERT INTO leadscore.rule (id, model, factor, condition, points) OVERRIDING SYSTEM VALUE VALUES (-1, 't1_moving', 'other', 'later = ''now''', 100000);
EXECUTE moved;
SELECT pl_moved();
ALTER TABLE moving ALTER COLUMN employees TYPE bigint;
EXECUTE moved;
SELECT pl_moved();
ALTER TABLE moving ALTER COLUMN industry TYPE varchar(3) USING left(industry, 3);		-- "min" is no "mining": 7 less
EXECUTE moved;
SELECT pl_moved();
ALTER TABLE moving ALTER COLUMN later SET DEFAULT 'then';
INSERT INTO moving (id) VALUES (22);
EXECUTE moved;
ALTER TABLE moving RENAME COLUMN later TO latest;		-- the rule is switched off
EXECUTE moved;
SELECT pl_moved();
SELECT enabled FROM leadscore.rule WHERE id = -1;
DEALLOCATE ALL;

--
-- Parallel plans
--
CREATE TABLE many (LIKE lead);
INSERT INTO many SELECT l.* FROM lead l, generate_series(1, 500);
CREATE VIEW v_many AS SELECT m.*, c.industry AS company_industry FROM many m JOIN company c USING (id);
ANALYZE many;
SELECT make_model('t1_many', 'many');
SELECT make_model('t1_v_many', 'many', 'v_many');
SET max_parallel_workers_per_gather = 2;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
CREATE FUNCTION in_parallel(query text, OUT parallel boolean, OUT result bigint) LANGUAGE plpgsql AS $$
BEGIN
	parallel := plan_has(query, 'Gather');
	EXECUTE query INTO result;
END
$$;
SELECT 500 * sum(want) AS want FROM truth;
SELECT v.what, p.* FROM (VALUES
	(1, 'by columns', $$SELECT sum(leadscore.score('t1_many', m)) FROM many m$$),
	(2, 'by rows', $$SELECT sum(leadscore._score_row('t1_many', m)) FROM many m$$),
	(3, 'view', $$SELECT sum(leadscore.score('t1_v_many', v)) FROM v_many v$$),
	(4, 'fit and engagement', $$SELECT sum((leadscore.evaluate('t1_many', m)).fit) + sum((leadscore.evaluate('t1_many', m)).engagement) FROM many m$$),
	(5, 'explain()', $$SELECT sum((SELECT sum(counted) FROM leadscore.explain('t1_many', m))) FROM many m WHERE id < 3$$),
	(6, 'where', $$SELECT count(*) FROM many m WHERE leadscore.score('t1_many', m) > 20$$),
	(7, 'temperature', $$SELECT count(*) FROM many m WHERE leadscore.temperature('t1_many', m) = 'hot' AND NOT leadscore.disqualified('t1_many', m)$$),
	(8, 'grade', $$SELECT count(*) FROM many m WHERE leadscore.grade('t1_many', m) = 'C2' AND leadscore.fit('t1_many', m) >= 0$$)
	) v(n, what, query), in_parallel(v.query) p
ORDER BY v.n;
SELECT 500 * sum(want) FILTER (WHERE id < 3) AS explain, 500 * count(*) FILTER (WHERE want > 20) AS "where", 500 * count(*) FILTER (WHERE want >= 50) AS hot FROM truth;
-- workers see what their leader sees, uncommitted changes included
SET parallel_leader_participation = off;
BEGIN;
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('t1_many', 'other', 'length(filler) = 2 AND doc IS NULL', 1000000);
SELECT * FROM in_parallel($$SELECT sum(leadscore.score('t1_many', m)) FROM many m$$);
SELECT * FROM in_parallel($$SELECT sum(leadscore._score_row('t1_many', m)) FROM many m$$);
SAVEPOINT s;
DELETE FROM leadscore.rule WHERE model = 't1_many';
SELECT * FROM in_parallel($$SELECT sum(leadscore.score('t1_many', m)) FROM many m$$);
ROLLBACK TO s;
SELECT * FROM in_parallel($$SELECT sum(leadscore.score('t1_many', m)) FROM many m$$);
SELECT leadscore.copy_model('t1_many', 't1_new');
SELECT * FROM in_parallel($$SELECT sum(leadscore.score('t1_new', m)) FROM many m$$);
ROLLBACK;
SELECT * FROM in_parallel($$SELECT sum(leadscore.score('t1_many', m)) FROM many m$$);
-- an error in a worker names the rule all the same
INSERT INTO leadscore.rule (id, model, factor, condition, points) OVERRIDING SYSTEM VALUE VALUES (-4, 't1_many', 'other', '1 / (id - 7) = 1', 1);
\set SHOW_CONTEXT never
SELECT sum(leadscore.score('t1_many', m)) FROM many m;
\set SHOW_CONTEXT errors
RESET max_parallel_workers_per_gather;
RESET min_parallel_table_scan_size;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET parallel_leader_participation;

--
-- What is no row of the source
--
CREATE FUNCTION error(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END
$$;
\pset expanded on
SELECT * FROM error($$SELECT leadscore.score('t1_loose', n) FROM note n$$);
SELECT * FROM error($$SELECT leadscore.score('t1_v_join', l) FROM lead l$$);
SELECT * FROM error($$SELECT leadscore.score('t1_v_join', v) FROM v_one v$$);
SELECT * FROM error($$SELECT leadscore.score('t1_child', p) FROM parent p$$);
SELECT * FROM error($$SELECT leadscore.score('t1_loose', s) FROM (SELECT id, industry, title FROM loose) s$$);
SELECT * FROM error($$SELECT leadscore.score('t1_loose', s) FROM (SELECT l.*, industry AS i FROM (SELECT id, employees::bigint AS employees, industry, title, opted_in, custom FROM loose) l) s$$);
SELECT * FROM error($$SELECT leadscore.score('t1_loose', ROW(1, 2))$$);
SELECT * FROM error($$SELECT leadscore.score('t1_none', l) FROM loose l$$);
SELECT * FROM error($$SELECT leadscore.score('', l) FROM loose l$$);
SELECT * FROM error($$SELECT * FROM leadscore.explain('t1_loose', ROW(1, 2))$$);
\pset expanded off
SELECT state FROM error($$SELECT leadscore.score('t1_loose', 1)$$);
-- no row, no score; no model, no score
SELECT leadscore.score('t1_loose', NULL) AS a, leadscore.score('t1_loose', NULL::loose) AS b, leadscore.score(NULL, ROW(1)) AS c,
	   leadscore.grade('t1_loose', NULL::loose) AS d, leadscore.evaluate('t1_loose', NULL::loose) AS e, (SELECT count(*) FROM leadscore.explain('t1_loose', NULL)) AS f;
-- a record will do if the columns are there
SELECT leadscore.score('t1_loose', s) FROM (SELECT NULL::jsonb AS custom, 60 AS employees, true AS opted_in, 'energy' AS industry, 'director'::varchar AS title, 'more') s;
-- a domain over the row's type is the row's type
CREATE DOMAIN lead_domain AS loose CHECK ((VALUE).id IS DISTINCT FROM 5);
SELECT id, leadscore.score('t1_loose', l::lead_domain) FROM loose l ORDER BY id;
-- a name longer than that of any model
SELECT leadscore.score(repeat('x', 100), l) FROM loose l;

DELETE FROM leadscore.model WHERE name LIKE 't1\_%';
DROP SCHEMA t1_paths CASCADE;
