-- stages_report.sql: ratios and targets of stages, as Markdown.

\echo
\echo '### Stages: what the guard and the history cost'
\echo
CREATE TEMP TABLE ratio AS
SELECT * FROM (VALUES
	(11, 'stage', 'a stage per transaction: move() / UPDATE and INSERT by hand', 'move', 'by_hand', '', 2.0, 1.0),
	(12, 'stage', 'a stage per transaction: UPDATE of the state table / by hand', 'table', 'by_hand', '', 2.0, 1),
	(13, 'stage', 'a stage per transaction: UPDATE of the CRM''s status / by hand', 'status', 'by_hand', '', 2.0, 1),
	(21, 'stage, synchronous', 'synchronous commit: move() / by hand', 'move', 'by_hand', '', 2.0, 1),
	(22, 'stage, synchronous', 'synchronous commit: UPDATE of the state table / by hand', 'table', 'by_hand', '', 2.0, 1),
	(23, 'stage, synchronous', 'synchronous commit: UPDATE of the CRM''s status / by hand', 'status', 'by_hand', '', 2.0, 1)
) AS r (ord, race, label, one, other, less, target, scale);
\ir ratios.sql
