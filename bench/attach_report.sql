-- bench/attach_report.sql: ratios and targets of attaching, as Markdown.

CREATE FUNCTION pg_temp.shown(x double precision) RETURNS text
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

\echo
\echo '### Attaching: what it costs'
\echo
\echo '| | measured | round by round, middle half | by processor time | by WAL | target | |'
\echo '|---|---:|---:|---:|---:|---:|---|'
-- (one - less) / (other - less)
WITH ratio (ord, race, label, one, other, less, target) AS (VALUES
	(11, 'insert', 'INSERT ... SELECT: attached / plain', 'ours', 'plain', '', NULL),
	(12, 'insert', 'INSERT ... SELECT: PL/pgSQL trigger / plain', 'fastest trigger', 'plain', '', NULL),
	(13, 'insert', 'INSERT ... SELECT: what attached adds / what the trigger adds', 'ours', 'fastest trigger', 'plain', 0.5),
	(14, 'insert', 'INSERT ... SELECT: attached with write-back / attached', 'write_back', 'ours', '', 1.15),
	(21, 'copy', 'COPY: attached / plain', 'ours', 'plain', '', NULL),
	(22, 'copy', 'COPY: PL/pgSQL trigger / plain', 'fastest trigger', 'plain', '', NULL),
	(23, 'copy', 'COPY: what attached adds / what the trigger adds', 'ours', 'fastest trigger', 'plain', 0.5),
	(24, 'copy', 'COPY: attached with write-back / attached', 'write_back', 'ours', '', 1.15),
	(31, 'single insert', 'INSERT, a row per transaction: attached / plain', 'ours', 'plain', '', 1.1),
	(32, 'single insert', 'INSERT, a row per transaction: PL/pgSQL trigger / plain', 'fastest trigger', 'plain', '', NULL),
	(33, 'single insert', 'INSERT, a row per transaction: attached with write-back / attached', 'write_back', 'ours', '', 1.15),
	(41, 'update other', 'UPDATE of a column that no rule reads, all rows: attached / plain', 'ours', 'plain', '', 1.15),
	(42, 'update other', 'UPDATE of a column that no rule reads, all rows: attached with write-back / plain', 'write_back', 'plain', '', NULL),
	(51, 'single update', 'UPDATE of a column that no rule reads, a row per transaction: attached / plain', 'ours', 'plain', '', 1.05),
	(52, 'single update', 'UPDATE of a column that no rule reads, a row per transaction: attached with write-back / plain', 'write_back', 'plain', '', NULL),
	(61, 'update scored', 'UPDATE of a column that rules read, all rows: attached / plain', 'ours', 'plain', '', NULL),
	(62, 'update scored', 'UPDATE of a column that rules read, all rows: PL/pgSQL trigger / plain', 'fastest trigger', 'plain', '', NULL),
	(63, 'update scored', 'UPDATE of a column that rules read, all rows: what attached adds / what the trigger adds', 'ours', 'fastest trigger', 'plain', NULL),
	(64, 'update scored', 'UPDATE of a column that rules read, all rows: attached with write-back / attached', 'write_back', 'ours', '', NULL),
	(71, 'rescore', 'rescore, 1 % of the leads change / UPDATE of all states', 'ours', 'rewrite', '', 0.25),
	(81, 'backfill', 'attach / CREATE TABLE AS and the same indexes', 'ours', 'fastest table', '', 1.5)),
line AS (
	SELECT ord, label, target, a.round,
		   (a.seconds - coalesce(l.seconds, 0)) / nullif(b.seconds - coalesce(l.seconds, 0), 0) AS measured,
		   (a.cpu - coalesce(l.cpu, 0)) / nullif(b.cpu - coalesce(l.cpu, 0), 0) AS cpu,
		   (a.wal - coalesce(l.wal, 0)) / nullif(b.wal - coalesce(l.wal, 0), 0) AS wal
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
