-- bench/activity_report.sql: ratios and targets of activities, as Markdown.

\echo
\echo '### Activities: what events cost'
\echo
CREATE TEMP TABLE ratio AS
SELECT * FROM (VALUES
	(11, 'event insert', 'INSERT ... SELECT of events: attached / plain', 'ingest', 'plain', '', NULL, 1.0),
	(12, 'event insert', 'INSERT ... SELECT of events: attached / plain without an index on the lead', 'ingest', 'bare', '', NULL, 1),
	(13, 'event insert', 'INSERT ... SELECT of events: attached / plain and one batch', 'ingest', 'nightly', '', NULL, 1),
	(14, 'event insert', 'INSERT ... SELECT of events: trigger that reads the history / plain', 'trigger', 'plain', '', NULL, 1),
	(15, 'event insert', 'INSERT ... SELECT of events: what attached adds / what that trigger adds', 'ingest', 'trigger', 'plain', NULL, 1),
	(16, 'event insert', 'INSERT ... SELECT of events: what attached adds / what one batch adds', 'ingest', 'nightly', 'plain', NULL, 1),
	(21, 'event copy', 'COPY of events: attached / plain', 'ingest', 'plain', '', NULL, 1),
	(22, 'event copy', 'COPY of events: attached / plain without an index on the lead', 'ingest', 'bare', '', NULL, 1),
	(23, 'event copy', 'COPY of events: attached / plain and one batch', 'ingest', 'nightly', '', NULL, 1),
	(24, 'event copy', 'COPY of events: what attached adds / what one batch adds', 'ingest', 'nightly', 'plain', NULL, 1),
	(31, 'single event', 'an event per transaction: attached / plain', 'ingest', 'plain', '', NULL, 1),
	(32, 'single event', 'an event per transaction: attached / plain without an index on the lead', 'ingest', 'bare', '', NULL, 1),
	(33, 'single event', 'an event per transaction: trigger that reads the history / plain', 'trigger', 'plain', '', NULL, 1),
	(34, 'single event', 'an event per transaction: what attached adds / what that trigger adds', 'ingest', 'trigger', 'plain', NULL, 1),
	(41, 'history', 'an event per transaction: lead with 100 000 events / lead with 10', 'long', 'short', '', 1.2, 1),
	(51, 'advance', 'advance, 1 % due, per due lead: all leads / a tenth of them', 'hot', 'few', '', 1.25, 0.1),
	(52, 'advance', 'advance, 1 % due / batch over all leads', 'hot', 'batch', '', NULL, 1),
	(61, 'rebuild', 'engagement_agg, all rules / sum(CASE ... exp()) of those that fade, 2 workers', 'aggregate', 'sum', '', 1.0, 1),
	(62, 'rebuild', 'engagement_agg, all rules / plain SQL, all rules, 2 workers', 'aggregate', 'all_rules', '', NULL, 1),
	(63, 'rebuild', 'rescore(activities => true) / batch over all leads, 2 workers', 'rescore', 'batch', '', 1.0, 1),
	(64, 'rebuild', 'attach / batch over all leads, 2 workers', 'attach', 'batch', '', NULL, 1),
	(71, 'clients', '8 clients, 10 leads, an event per transaction: time per event, attached / plain', 'clients', 'alone', '', NULL, 1),
	(72, 'clients, synchronous_commit off', '8 clients, 10 leads, synchronous_commit off: time per event, attached / plain', 'clients', 'alone', '', NULL, 1)
) AS r (ord, race, label, one, other, less, target, scale);
\ir ratios.sql

SELECT EXISTS (SELECT FROM bench.hot_sample) AS has_hot_list, EXISTS (SELECT FROM bench.client_fact) AS has_clients \gset
\if :has_hot_list
\echo
\echo '### Hot list: the best 100 by the live score'
\echo
SELECT 'of ' || hot_leads || ' leads with four events each, more or less; half-lives are of the rule that fades fastest' FROM bench.activity_option;
\echo
\echo '| bounds, half-lives old | rows read | most rows read | of all leads | scans of the table | ms | target | | time / sorting the live scores | time / index on stored scores |'
\echo '|---:|---:|---:|---:|---:|---:|---:|---|---:|---:|'
SELECT format('| %s | %s | %s | %s %% | %s | %s | %s | %s | %s | %s |', staleness, rows_read, most, round(100.0 * rows_read::numeric / hot_leads, 3), scans,
			  round(1000 * seconds::numeric, 2),
			  CASE WHEN staleness <= 0.1 THEN '≤ 5' ELSE '' END,
			  CASE WHEN staleness > 0.1 THEN '' WHEN seconds <= 0.005 THEN 'reached' ELSE '**missed**' END,
			  round((seconds / view)::numeric, 5), round((seconds / stored)::numeric, 1))
FROM bench.activity_option,
	 (SELECT staleness, percentile_cont(0.5) WITHIN GROUP (ORDER BY rows_read) AS rows_read, max(rows_read) AS most, sum(seq_scans) AS scans,
			 percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds
	  FROM bench.hot_sample GROUP BY staleness) AS h,
	 LATERAL (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE name = 'view') AS view,
					 percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE name = 'stored') AS stored
			  FROM bench.write_sample WHERE race = 'hot list ' || staleness) AS o
ORDER BY staleness;
\endif

\if :has_clients
\echo
\echo '### Several clients, few leads: what was left'
\echo
\echo '| | events | lost | deadlocks | problems | pending after each round | pending after advance |'
\echo '|---|---:|---:|---:|---:|---:|---:|'
SELECT format('| %s | %s | 0 | %s | %s | %s | %s |', race, max(value) FILTER (WHERE name = 'events'), max(value) FILTER (WHERE name = 'deadlocks'),
			  max(value) FILTER (WHERE name = 'problems'),
			  string_agg(value::text, ', ' ORDER BY round) FILTER (WHERE name = 'pending' AND round < last),
			  max(value) FILTER (WHERE name = 'pending' AND round = last))
FROM (SELECT *, max(round) OVER (PARTITION BY race) AS last FROM bench.client_fact) AS f
GROUP BY race ORDER BY race;
\echo
\echo 'An event that had been lost would have ended the run.'
\endif
