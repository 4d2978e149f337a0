-- bench/attach_report.sql: ratios and targets of attaching, as Markdown.

\echo
\echo '### Attaching: what it costs'
\echo
CREATE TEMP TABLE ratio AS
SELECT *, 1.0 AS scale FROM (VALUES
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
	(81, 'backfill', 'attach / CREATE TABLE AS, the same indexes, and a row of history for each lead', 'ours', 'fastest table', '', 1.5),
	(82, 'backfill', 'attach / CREATE TABLE AS and the same indexes, without history', 'ours', 'no_history', '', NULL)) AS r (ord, race, label, one, other, less, target);
\ir ratios.sql
