-- bench/report.sql: medians, ratios, targets, as Markdown.

CREATE FUNCTION pg_temp.median(p_race text, p_name text, p_set text, p_size integer, p_workers integer DEFAULT 0)
RETURNS double precision
LANGUAGE sql
BEGIN ATOMIC
	SELECT median FROM bench.per_row
	WHERE race = p_race AND name = p_name AND set = p_set AND size = p_size AND workers = p_workers;
END;

CREATE FUNCTION pg_temp.cpu(p_race text, p_name text, p_set text, p_size integer)
RETURNS double precision
LANGUAGE sql
BEGIN ATOMIC
	SELECT cpu FROM bench.per_row
	WHERE race = p_race AND name = p_name AND set = p_set AND size = p_size AND workers = 0;
END;

CREATE FUNCTION pg_temp.shown(x double precision) RETURNS text
LANGUAGE sql
RETURN CASE WHEN x IS NULL THEN '–' WHEN x < 0.1 THEN round(x::numeric, 4)::text
			WHEN x < 10 THEN round(x::numeric, 2)::text WHEN x < 100 THEN round(x::numeric, 1)::text
			ELSE round(x::numeric)::text END;

-- Ratio of medians, and the quartiles of the ratios round by round.
CREATE FUNCTION pg_temp.spread(p_race1 text, p_name1 text, p_set1 text, p_size1 integer,
							   p_race2 text, p_name2 text, p_set2 text, p_size2 integer)
RETURNS text
LANGUAGE sql
BEGIN ATOMIC
	SELECT pg_temp.shown(percentile_cont(0.25) WITHIN GROUP (ORDER BY ratio)) || ' to ' ||
		   pg_temp.shown(percentile_cont(0.75) WITHIN GROUP (ORDER BY ratio))
	FROM (SELECT (s1.seconds / c1.rows) / (s2.seconds / c2.rows) AS ratio
		  FROM bench.contender AS c1 JOIN bench.sample AS s1 ON s1.contender = c1.id,
			   bench.contender AS c2 JOIN bench.sample AS s2 ON s2.contender = c2.id
		  WHERE c1.race = p_race1 AND c1.name = p_name1 AND c1.set = p_set1 AND c1.size = p_size1 AND c1.workers = 0 AND
				c2.race = p_race2 AND c2.name = p_name2 AND c2.set = p_set2 AND c2.size = p_size2 AND c2.workers = 0 AND
				s1.round = s2.round) AS r;
END;

CREATE TEMP VIEW races AS
SELECT set, size, workers,
	   pg_temp.median(race, 'a', set, size, workers) AS a,
	   pg_temp.median(race, 'b', set, size, workers) AS b,
	   pg_temp.median(race, 'b_jit', set, size, workers) AS b_jit,
	   pg_temp.median(race, 'b_jit_full', set, size, workers) AS b_jit_full,
	   pg_temp.median(race, 'c', set, size, workers) AS c,
	   pg_temp.median(race, 'd', set, size, workers) AS d,
	   pg_temp.median(race, 'd_execute', set, size, workers) AS d_execute,
	   pg_temp.median(race, 'e', set, size, workers) AS e,
	   pg_temp.median(race, 'e_jit', set, size, workers) AS e_jit
FROM (SELECT DISTINCT race, set, size, workers FROM bench.per_row WHERE race = set || ' ' || size) AS r;

SELECT EXISTS (SELECT FROM races) AS races, EXISTS (SELECT FROM bench.per_row WHERE race = 'flat') AS flat,
	   EXISTS (SELECT FROM bench.per_row WHERE race IN ('view', 'toast')) AS beside \gset

\if :races
\echo
\echo '### Time per lead, plain scan (a) of the same columns = 1'
\echo
\echo '| rules | set | workers | b CASE | b JIT | b JIT, inlined, optimized | c join | d loop | d EXECUTE | e leadscore | e JIT | e/b | e/c | e/d |'
\echo '|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|'
SELECT format('| %s | %s | %s | %s | %s | %s | %s | %s | %s | **%s** | %s | %s | %s | %s |', size, set, workers,
			  pg_temp.shown(b / a), pg_temp.shown(b_jit / a), pg_temp.shown(b_jit_full / a), pg_temp.shown(c / a),
			  pg_temp.shown(d / a), pg_temp.shown(d_execute / a), pg_temp.shown(e / a), pg_temp.shown(e_jit / a),
			  pg_temp.shown(e / least(b, b_jit, b_jit_full)), pg_temp.shown(e / c), pg_temp.shown(e / d))
FROM races
ORDER BY size, set, workers;
\endif

\if :flat
\echo
\echo '### e against the number of rules, 21 equality rules and no worker = 1'
\echo
SELECT '| set | workers | ' || string_agg(size::text, ' | ' ORDER BY size) || ' |'
FROM (SELECT DISTINCT size FROM bench.per_row WHERE race = 'flat' AND name = 'e') AS s;
SELECT '|---|---:|' || string_agg('---:', '|') || '|'
FROM (SELECT DISTINCT size FROM bench.per_row WHERE race = 'flat' AND name = 'e') AS s;
SELECT format('| %s | %s | %s |', set, workers,
			  string_agg(pg_temp.shown(median / pg_temp.median('flat', 'e', 'equality', 21)), ' | ' ORDER BY size))
FROM bench.per_row
WHERE race = 'flat' AND name = 'e'
GROUP BY set, workers
ORDER BY set, workers;
\endif

\if :beside
\echo
\echo '### Through a view, beside a long text'
\echo
\echo '| 21 equality rules | workers | a scan | b CASE (JIT off) | e leadscore | e/b |'
\echo '|---|---:|---:|---:|---:|---:|'
SELECT format('| %s | %s | %s | %s | **%s** | %s |', label, workers,
			  pg_temp.shown(pg_temp.median(race, 'a ' || one, 'equality', 21, workers) /
							pg_temp.median(race, 'a ' || other, 'equality', 21, workers)),
			  pg_temp.shown(pg_temp.median(race, 'b ' || one, 'equality', 21, workers) /
							pg_temp.median(race, 'b ' || other, 'equality', 21, workers)),
			  pg_temp.shown(pg_temp.median(race, 'e ' || one, 'equality', 21, workers) /
							pg_temp.median(race, 'e ' || other, 'equality', 21, workers)),
			  pg_temp.shown(pg_temp.median(race, 'e ' || one, 'equality', 21, workers) /
							pg_temp.median(race, 'b ' || one, 'equality', 21, workers)))
FROM (VALUES ('view', 'view / table', 'view', 'table', 1),
			 ('view', 'view that joins (and two more rules) / table', 'joined', 'table', 2),
			 ('toast', '6 kB text as last column / no such column', 'toast', 'short', 3),
			 ('toast', '6 kB text amid the scored columns / no such column', 'toast_amid', 'short', 4)
	 ) AS v (race, label, one, other, ord),
	 (VALUES (0), (2)) AS w (workers)
WHERE pg_temp.median(race, 'e ' || one, 'equality', 21, workers) IS NOT NULL
ORDER BY ord, workers;
\endif

\echo
\echo '### Targets'
\echo
\echo '| | measured | round by round, middle half | by processor time | target | |'
\echo '|---|---:|---:|---:|---:|---|'
WITH builds AS (
	SELECT set, size, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS ms,
		   percentile_cont(0.25) WITHIN GROUP (ORDER BY ms) AS low,
		   percentile_cont(0.75) WITHIN GROUP (ORDER BY ms) AS high,
		   percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu_ms) AS cpu
	FROM bench.build GROUP BY set, size),
fastest_case AS (
	SELECT DISTINCT ON (race, size) race, size, name
	FROM bench.per_row
	WHERE set = 'equality' AND workers = 0 AND name IN ('b', 'b_jit', 'b_jit_full') AND race = set || ' ' || size
	ORDER BY race, size, median),
ratio (ord, label, race1, name1, set1, size1, race2, name2, set2, size2, target) AS (
	SELECT 1, 'e / b (' || CASE name WHEN 'b' THEN 'JIT off' WHEN 'b_jit' THEN 'JIT' ELSE 'JIT, inlined, optimized' END ||
		   ' is the faster CASE), 21 equality rules', 'equality 21', 'e', 'equality', 21, race, name, 'equality', 21, 0.60
	FROM fastest_case WHERE size = 21
	UNION ALL
	SELECT 2, 'e / b, 1 000 equality rules', race, 'e', 'equality', 1000, race, name, 'equality', 1000, 0.02
	FROM fastest_case WHERE size = 1000
	UNION ALL
	SELECT 3, 'e / d, 21 equality rules', 'equality 21', 'e', 'equality', 21, 'equality 21', 'd', 'equality', 21, 0.02
	UNION ALL
	SELECT 4, 'e at 10 000 equality rules / e at 21', 'flat', 'e', 'equality', 10000, 'flat', 'e', 'equality', 21, 1.15
	UNION ALL
	SELECT 5 + n / 1e6, format('e with ranges / e with equalities, %s rules', n), 'flat', 'e', 'range', n, 'flat', 'e', 'equality', n, 1.5
	FROM unnest(ARRAY[21, 200, 1000, 10000]) AS n
	UNION ALL
	SELECT 6, 'e through a view / e on its table', 'view', 'e view', 'equality', 21, 'view', 'e table', 'equality', 21, 1.10
	UNION ALL
	SELECT 7, 'e on the table with the text / e without it', 'toast', 'e toast', 'equality', 21, 'toast', 'e short', 'equality', 21, 1.15),
line (ord, label, measured, spread, cpu, target, unit) AS (
	SELECT ord, label, pg_temp.median(race1, name1, set1, size1) / pg_temp.median(race2, name2, set2, size2),
		   pg_temp.spread(race1, name1, set1, size1, race2, name2, set2, size2),
		   pg_temp.cpu(race1, name1, set1, size1) / pg_temp.cpu(race2, name2, set2, size2), target, ''
	FROM ratio
	UNION ALL
	SELECT 8 + size / 1e6, format('rulebook build, %s rules (%s)', size, set), ms,
		   pg_temp.shown(low) || ' to ' || pg_temp.shown(high), cpu, CASE size WHEN 200 THEN 5 WHEN 10000 THEN 200 END, ' ms'
	FROM builds)
SELECT format('| %s | %s%s | %s | %s | %s | %s |', label, pg_temp.shown(measured), unit, spread,
			  pg_temp.shown(cpu) || CASE WHEN cpu IS NULL THEN '' ELSE unit END,
			  coalesce('≤ ' || trim_scale(target::numeric) || unit, ''),
			  CASE WHEN target IS NULL THEN '' WHEN measured <= target THEN 'reached' ELSE '**missed**' END)
FROM line
WHERE measured IS NOT NULL
ORDER BY ord, label;

SELECT E'\n(f) json-rules-engine with the 21 rules of the template: ' ||
	   pg_temp.shown(f.median / e) || ' times the time of (e) per lead (streaming the rows to node alone: ' ||
	   pg_temp.shown(s.median / e) || format(' times), measured once on %s leads.', f.rows)
FROM bench.per_row AS f, bench.per_row AS s,
	 coalesce(pg_temp.median('equality 21', 'e', 'equality', 21), pg_temp.median('flat', 'e', 'equality', 21)) AS e
WHERE f.race = 'node' AND f.name = 'f' AND s.race = 'node' AND s.name = 'f_stream' AND e IS NOT NULL;
