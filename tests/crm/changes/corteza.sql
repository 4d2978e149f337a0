-- What Corteza does to its table: whole documents are rewritten, every module's
-- rows are there, and an upgrade turned numeric keys into bigint.
UPDATE corteza.compose_record SET "values" = "values" || jsonb_build_object('Notes', jsonb_build_array(
	(SELECT string_agg(md5(id::text || i), '') FROM generate_series(1, 300) i))), revision = revision + 1
WHERE id % 10 = 3;
SELECT crm_check.holds('corteza', 'documents grow beyond a page');
SELECT crm_check.holds('corteza_more', 'documents grow beyond a page');

-- true is "1", false is not there, a number is text, and all may be missing
UPDATE corteza.compose_record SET "values" = "values" - 'Rating' - 'ProductInterest' - 'NumberOfEmployees' WHERE id % 10 = 4;
UPDATE corteza.compose_record SET "values" = jsonb_set("values", '{Status}', '[]') WHERE id % 10 = 5 AND rel_module = 400000000000000011;
UPDATE corteza.compose_record SET "values" = '{}' WHERE id % 10 = 6;
SELECT crm_check.holds('corteza', 'fields are missing');
SELECT crm_check.holds('corteza_more', 'fields are missing');
UPDATE corteza.compose_record SET rel_module = 400000000000000011.000 WHERE id % 10 = 7 AND rel_module = 400000000000000011;
SELECT crm_check.holds('corteza_more', 'a key has zeros behind the point');
SELECT crm_check.holds('corteza', 'a key has zeros behind the point');

-- an account may hold anything: its rows are no leads
UPDATE corteza.compose_record SET "values" = '{"NumberOfEmployees": ["many"]}' WHERE rel_module = 400000000000000012;
SELECT crm_check.holds('corteza_more', 'a cast is not asked of other modules');
UPDATE corteza.compose_record SET "values" = '{"NumberOfEmployees": ["many"]}' WHERE id = 420000000000000009;
SELECT id AS rule FROM leadscore.rule WHERE parameter = '500+ employees (text in json array)' \gset
SELECT crm_check.fails('corteza: of a lead it fails, and names the rule',
	$$SELECT leadscore.score('corteza', l) FROM scoring.lead l$$, '22P02',
	'invalid input syntax for type numeric: "many".*rule ' || :rule || ' of scoring model "corteza"');
UPDATE corteza.compose_record SET "values" = '{}' WHERE id = 420000000000000009;

-- in an expression the reserved word needs no quotes
UPDATE leadscore.rule SET condition = $$values->'Status'->>0 = 'Recycled'$$ WHERE parameter = 'Recycled';
SELECT crm_check.holds('corteza', 'the column "values" goes without quotes');

-- another module becomes that of the leads
UPDATE corteza.compose_module SET handle = CASE handle WHEN 'Lead' THEN 'OldLead' ELSE 'Lead' END WHERE handle IN ('Lead', 'Contact');
SELECT crm_check.so('corteza: a module without leads', count(leadscore.score('corteza', l)) = 0) FROM scoring.lead l;
UPDATE corteza.compose_module SET handle = CASE handle WHEN 'Lead' THEN 'Contact' ELSE 'Lead' END WHERE handle IN ('Lead', 'OldLead');
SELECT crm_check.holds('corteza', 'the module is back');

-- the upgrade
SELECT pg_get_viewdef('scoring.lead'::regclass) AS definition \gset
DROP VIEW scoring.lead;
ALTER TABLE corteza.compose_record ALTER COLUMN id TYPE bigint, ALTER COLUMN rel_module TYPE bigint, ALTER COLUMN owned_by TYPE bigint;
ALTER TABLE corteza.compose_module ALTER COLUMN id TYPE bigint;
SELECT crm_check.holds('corteza_more', 'keys become bigint');
CREATE VIEW scoring.lead AS :definition
UPDATE leadscore.model SET source = 'scoring.lead' WHERE name = 'corteza';
SELECT crm_check.holds('corteza', 'keys become bigint, and the view is made again');
