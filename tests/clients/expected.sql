-- What a client is to find, as psql and the catalog have it: one file each in the
-- current folder, tab-separated.
--   views     view, number of rows, description
--   columns   view, column, type, description
--   filters   view, text column, a value, number of rows that have it
CREATE TEMP TABLE expected_view AS
SELECT c.oid, c.relname::text AS name, NULL::bigint AS found, obj_description(c.oid, 'pg_class') AS description
FROM pg_class c WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relkind IN ('v', 'm');
CREATE TEMP TABLE expected_column AS
SELECT v.name AS view, a.attname::text AS name, a.attnum, t.typname::text AS type, t.typnamespace, col_description(v.oid, a.attnum) AS description
FROM expected_view v JOIN pg_attribute a ON a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid;
CREATE TEMP TABLE expected_filter (view text, name text, value text, found bigint);
DO $$
DECLARE
	v record;
BEGIN
	FOR v IN SELECT name FROM expected_view LOOP
		EXECUTE format('UPDATE expected_view SET found = (SELECT count(*) FROM leadscore.%I) WHERE name = %L', v.name, v.name);
	END LOOP;
	FOR v IN SELECT view, name FROM expected_column WHERE type = 'text' LOOP
		EXECUTE format('INSERT INTO expected_filter
						SELECT %1$L, %2$L, %2$I, count(*) FROM leadscore.%1$I WHERE %2$I <> '''' GROUP BY %2$I ORDER BY %2$I COLLATE "C" LIMIT 1', v.view, v.name);
	END LOOP;
END
$$;
\pset format unaligned
\pset tuples_only on
\pset fieldsep '\t'
\o views
SELECT name, found, description FROM expected_view ORDER BY name COLLATE "C";
\o columns
SELECT view, name, type, description FROM expected_column ORDER BY view COLLATE "C", attnum;
\o filters
SELECT view, name, value, found FROM expected_filter ORDER BY view COLLATE "C", name COLLATE "C";
\o
-- what no client should have to cope with
SELECT CASE WHEN count(*) > 0 THEN 'not ' ELSE '' END || 'ok - views and their columns have descriptions of one line' || coalesce(': ' || string_agg(name, ', '), '')
FROM (SELECT name, description FROM expected_view UNION ALL SELECT view || '.' || name, description FROM expected_column) d
WHERE (description ~ '[^\t\n]' AND description !~ '[\t\n]') IS NOT TRUE;
SELECT CASE WHEN count(*) > 0 THEN 'not ' ELSE '' END || 'ok - columns of views have built-in types' || coalesce(': ' || string_agg(view || '.' || name, ', '), '')
FROM expected_column WHERE typnamespace <> 'pg_catalog'::regnamespace;
SELECT 'ok - ' || count(*) FILTER (WHERE found > 0) || ' of ' || count(*) || ' views have something to read' ||
	   coalesce('; empty: ' || string_agg(name, ', ' ORDER BY name) FILTER (WHERE found = 0), '') FROM expected_view;
