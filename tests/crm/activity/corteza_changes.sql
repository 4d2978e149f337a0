-- What Corteza does to its table of events, which is that of the leads: documents
-- are rewritten, hold anything, and an upgrade turns numeric keys into bigint.
UPDATE corteza.compose_record SET "values" = jsonb_set("values", '{Status}', '["Completed"]'), revision = revision + 1 WHERE id % 7 = 1 AND rel_module = 400000000000000015;
UPDATE corteza.compose_record SET "values" = jsonb_set("values", '{LeadId}', '["420000000000000009"]') WHERE id % 11 = 1 AND rel_module = 400000000000000016;
SELECT crm_check.holds('corteza', 'documents are saved');
UPDATE corteza.compose_record SET "values" = "values" || CASE id % 5 WHEN 0 THEN '{"LeadId": ["none"]}'::jsonb WHEN 1 THEN '{"ActivityDate": ["soon"]}' WHEN 2 THEN '{"LeadId": "420000000000000009"}' WHEN 3 THEN '{"ActivityDate": ["2025-02-31"]}' ELSE '{"LeadId": []}' END
WHERE id % 13 = 2 AND rel_module IN (400000000000000015, 400000000000000016);
SELECT crm_check.holds('corteza', 'fields hold what is no lead and no day');
UPDATE corteza.compose_record SET rel_module = 400000000000000013 WHERE id % 17 = 3 AND rel_module = 400000000000000015;
UPDATE corteza.compose_record SET rel_module = 400000000000000015 WHERE id = 420000000000000030;
SELECT crm_check.holds('corteza', 'records change their module');
INSERT INTO corteza.compose_record (id, rel_module, "values", rel_namespace) VALUES
	(430000000000009001, 400000000000000015, jsonb_build_object('Status', '["Completed"]'::jsonb, 'LeadId', '["420000000000009001"]'::jsonb, 'ActivityDate', jsonb_build_array(to_char(now(), 'YYYY-MM-DD'))), 400000000000000001),
	(420000000000009001, 400000000000000011, '{"Rating": ["Hot"]}', 400000000000000001);
SELECT crm_check.holds('corteza', 'a task and its lead come in one statement');
SELECT crm_check.so('corteza: the task counts', (SELECT score = 20 FROM leadscore.corteza_state WHERE lead_key = 420000000000009001));
-- the upgrade
SELECT pg_get_viewdef('scoring.lead'::regclass) AS definition \gset
DROP VIEW scoring.lead;
ALTER TABLE corteza.compose_record ALTER COLUMN id TYPE bigint, ALTER COLUMN rel_module TYPE bigint;
ALTER TABLE corteza.compose_module ALTER COLUMN id TYPE bigint;
INSERT INTO corteza.compose_record (id, rel_module, "values", rel_namespace) VALUES
	(430000000000009002, 400000000000000016, jsonb_build_object('Status', '["Completed"]'::jsonb, 'LeadId', '["420000000000000012"]'::jsonb, 'ActivityDate', jsonb_build_array(to_char(now(), 'YYYY-MM-DD'))), 400000000000000001);
CREATE VIEW scoring.lead AS :definition
GRANT SELECT ON scoring.lead TO :reader;
SELECT leadscore.repair('corteza') IS NULL AS is_null \gset
CALL leadscore.rescore('corteza');
SELECT crm_check.holds('corteza', 'keys become bigint, and the view is made again');
TRUNCATE corteza.compose_record;
SELECT crm_check.holds('corteza', 'all is emptied');
