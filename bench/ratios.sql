-- bench/ratios.sql: the ratios of the temporary table ratio, as Markdown.
--
-- A line is scale * (one - less) / (other - less) of the contenders' medians in
-- a race; "less" may be ''.

CREATE OR REPLACE FUNCTION pg_temp.shown(x double precision) RETURNS text
LANGUAGE sql
RETURN CASE WHEN x IS NULL THEN '–' WHEN x < 0.1 THEN round(x::numeric, 4)::text
			WHEN x < 10 THEN round(x::numeric, 2)::text ELSE round(x::numeric, 1)::text END;

-- Time of each contender: in each round, and as round 0 the median of them.
-- "trigger" and "table" are the fastest of those that are made by hand.
CREATE TEMP VIEW each_time AS
WITH named AS (
	SELECT race, name, round, seconds, cpu, wal FROM bench.write_sample
	UNION ALL
	SELECT s.race, f.title, s.round, s.seconds, s.cpu, s.wal
	FROM bench.write_sample AS s JOIN (
		SELECT DISTINCT ON (race, title) race, title, name
		FROM (SELECT race, CASE WHEN name LIKE 'table%' THEN 'fastest table' ELSE 'fastest trigger' END AS title, name,
					 percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median
			  FROM bench.write_sample WHERE name IN ('upsert', 'by_operation', 'table', 'table_jit')
			  GROUP BY race, name) AS m
		ORDER BY race, title, median) AS f USING (race, name))
SELECT race, name, round, seconds, cpu, wal FROM named
UNION ALL
SELECT race, name, 0, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu),
	   percentile_cont(0.5) WITHIN GROUP (ORDER BY wal)
FROM named GROUP BY race, name;

\echo '| | measured | round by round, middle half | by processor time | by WAL | target | |'
\echo '|---|---:|---:|---:|---:|---:|---|'
WITH line AS (
	SELECT ord, label, target, a.round,
		   scale * (a.seconds - coalesce(l.seconds, 0)) / nullif(b.seconds - coalesce(l.seconds, 0), 0) AS measured,
		   scale * (a.cpu - coalesce(l.cpu, 0)) / nullif(b.cpu - coalesce(l.cpu, 0), 0) AS cpu,
		   scale * (a.wal - coalesce(l.wal, 0)) / nullif(b.wal - coalesce(l.wal, 0), 0) AS wal
	FROM ratio AS r
		 JOIN each_time AS a ON a.race = r.race AND a.name = r.one
		 JOIN each_time AS b ON b.race = r.race AND b.name = r.other AND b.round = a.round
		 LEFT JOIN each_time AS l ON l.race = r.race AND l.name = r.less AND l.round = a.round)
SELECT format('| %s | %s | %s to %s | %s | %s | %s | %s |', label,
			  pg_temp.shown(min(measured) FILTER (WHERE round = 0)),
			  pg_temp.shown(percentile_cont(0.25) WITHIN GROUP (ORDER BY measured) FILTER (WHERE round > 0)),
			  pg_temp.shown(percentile_cont(0.75) WITHIN GROUP (ORDER BY measured) FILTER (WHERE round > 0)),
			  pg_temp.shown(min(cpu) FILTER (WHERE round = 0)),
			  pg_temp.shown(min(wal) FILTER (WHERE round = 0)),
			  coalesce('≤ ' || trim_scale(target), ''),
			  CASE WHEN target IS NULL THEN '' WHEN min(measured) FILTER (WHERE round = 0) <= target THEN 'reached' ELSE '**missed**' END)
FROM line
GROUP BY ord, label, target
ORDER BY ord;

DROP VIEW each_time;
DROP TABLE ratio;
