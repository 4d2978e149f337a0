-- What Corteza does with its table: records of all modules in one, the whole
-- document is rewritten whenever it is saved, all values are arrays of text.
SET search_path = corteza, pg_catalog;

-- a lead, an account, a task
INSERT INTO "compose_record" ("id", "revision", "rel_module", "values", "meta", "rel_namespace", "created_at", "owned_by", "created_by") VALUES
	(420000000000001001, 1, 400000000000000011, '{"Rating": ["Hot"], "Status": ["New"], "AccountId": ["410000000000000001"], "NumberOfEmployees": ["700"], "ProductInterest": ["Platform"]}', '{}', 400000000000000001, '2025-06-01 12:00+00', 7, 7);
CALL crm_check.step('a lead');
INSERT INTO "compose_record" ("id", "rel_module", "values", "rel_namespace", "created_at") VALUES
	(410000000000001001, 400000000000000012, '{"AccountName": ["New"], "Industry": ["Banking"]}', 400000000000000001, '2025-06-01 12:00+00'),
	(430000000000001001, 400000000000000015, '{"Subject": ["Call"], "LeadId": ["420000000000001001"]}', 400000000000000001, '2025-06-01 12:00+00') RETURNING "id", "revision", "values";
CALL crm_check.step('records of other modules');
-- saved: the document as a whole
UPDATE "compose_record" SET "revision" = 2, "values" = '{"Rating": ["Warm"], "Status": ["Assigned"], "AccountId": ["410000000000001001"], "NumberOfEmployees": ["50"]}', "updated_at" = '2025-06-01 12:01+00', "updated_by" = 7
WHERE "id" = 420000000000001001 RETURNING "revision", "values";
CALL crm_check.step('saved');
UPDATE "compose_record" SET "values" = jsonb_set("values", '{Status}', '["Recycled"]'), "revision" = "revision" + 1 WHERE "id" IN (420000000000000001, 420000000000000002);
UPDATE "compose_record" SET "values" = "values" || '{"HasOptedOutOfEmail": ["1"]}' WHERE "id" IN (420000000000000003, 420000000000000004);
UPDATE "compose_record" SET "values" = "values" - 'Rating' - 'ProductInterest' - 'NumberOfEmployees' WHERE id % 10 = 4;
UPDATE "compose_record" SET "values" = jsonb_set("values", '{Status}', '[]') WHERE id % 10 = 5 AND rel_module = 400000000000000011;
UPDATE "compose_record" SET "values" = '{}' WHERE id % 20 = 6;
CALL crm_check.step('fields change and go');
UPDATE "compose_record" SET "deleted_at" = '2025-06-01 12:02+00', "deleted_by" = 7 WHERE "id" BETWEEN 420000000000000010 AND 420000000000000013 RETURNING "id", "deleted_at";
CALL crm_check.step('deleted softly');
UPDATE "compose_record" SET "deleted_at" = NULL, "deleted_by" = 0 WHERE "id" IN (420000000000000010, 420000000000000011);
CALL crm_check.step('restored');
UPDATE "compose_record" SET "values" = "values" || jsonb_build_object('Notes', jsonb_build_array((SELECT string_agg(md5(compose_record.id::text || i), '') FROM generate_series(1, 300) i)))
WHERE "id" % 10 = 3;
CALL crm_check.step('documents grow beyond a page');
UPDATE "compose_record" SET "values" = "values" || '{"Rating": ["Hot"]}' WHERE "id" % 10 = 3 AND rel_module = 400000000000000011;
CALL crm_check.step('and are changed');

-- an account changes under its leads, is deleted, gets another id
UPDATE "compose_record" SET "values" = "values" || '{"Industry": ["Banking"]}' WHERE "id" IN (410000000000000003, 410000000000000004);
CALL crm_check.step('accounts change');
DELETE FROM "compose_record" WHERE "id" = 410000000000000005;
CALL crm_check.step('an account goes');
INSERT INTO "compose_record" ("id", "rel_module", "values", "rel_namespace", "created_at") VALUES (410000000000000005, 400000000000000012, '{"Industry": ["Banking"]}', 400000000000000001, '2025-06-01 12:00+00');
UPDATE "compose_record" SET "id" = "id" + 100 WHERE "id" IN (410000000000000007, 410000000000000008);
CALL crm_check.step('accounts come');
-- a record changes its module, there and back; zeros behind the point
UPDATE "compose_record" SET "rel_module" = 400000000000000013 WHERE "id" BETWEEN 420000000000000020 AND 420000000000000025;
CALL crm_check.step('leads become contacts');
UPDATE "compose_record" SET "rel_module" = 400000000000000011.000 WHERE "id" BETWEEN 420000000000000020 AND 420000000000000022;
UPDATE "compose_record" SET "rel_module" = 400000000000000011 WHERE "id" = 430000000000000001;
CALL crm_check.step('and leads again');
UPDATE "compose_record" SET "id" = 420000000000000030.00 WHERE "id" = 420000000000000030 RETURNING "id";
CALL crm_check.step('a key with zeros');
UPDATE "compose_record" SET "id" = 420000000000000030 WHERE "id" = 420000000000000030.0 RETURNING "id";
UPDATE "compose_module" SET handle = CASE handle WHEN 'Lead' THEN 'OldLead' WHEN 'Contact' THEN 'Lead' ELSE handle END;
CALL crm_check.step('another module is that of the leads');
BEGIN;
UPDATE "compose_module" SET handle = 'Contact' WHERE handle = 'Lead';
CALL crm_check.step('none is, inside');
UPDATE "compose_module" SET handle = 'Lead' WHERE handle = 'OldLead';
COMMIT;
CALL crm_check.step('the module is back');

-- values that a rule, or the source, cannot read
UPDATE "compose_record" SET "values" = "values" || '{"NumberOfEmployees": ["many"]}' WHERE "id" IN (420000000000000041, 410000000000000041) RETURNING "id";
CALL crm_check.so('corteza: both models record that lead, and no account',
	$$SELECT array_agg(model || ' ' || lead_key ORDER BY model) = '{corteza 420000000000000041,corteza_more 420000000000000041}' FROM leadscore.problem WHERE lead_key IS NOT NULL$$);
CALL crm_check.so('corteza: the other rules count', $$SELECT score IS NOT NULL AND has_problem FROM leadscore.corteza_state WHERE lead_key = 420000000000000041$$);
UPDATE "compose_record" SET "values" = "values" || '{"NumberOfEmployees": ["5"]}' WHERE "id" = 420000000000000041;
CALL crm_check.step('a bad number is mended');
CALL crm_check.so('corteza: it is recorded no longer', $$SELECT count(*) = 0 FROM leadscore.problem WHERE lead_key IS NOT NULL$$);
UPDATE "compose_record" SET "values" = "values" || '{"AccountId": ["none"], "Rating": ["Hot"]}' WHERE "id" = 420000000000000042 RETURNING "id", "values"->'AccountId' AS account;
INSERT INTO "compose_record" ("id", "rel_module", "values", "rel_namespace", "created_at") VALUES (420000000000001002, 400000000000000011, '{"AccountId": ["?"]}', 400000000000000001, '2025-06-01 12:00+00') RETURNING "id";
CALL crm_check.so('corteza: that the source fails is recorded for the leads',
	$$SELECT array_agg(lead_key ORDER BY lead_key) = '{420000000000000042,420000000000001002}' FROM leadscore.problem WHERE model = 'corteza' AND lead_key IS NOT NULL$$);
UPDATE "compose_record" SET "values" = "values" - 'AccountId' WHERE "id" IN (420000000000000042, 420000000000001002);
CALL crm_check.step('a bad reference is mended');
CALL crm_check.so('corteza: it is recorded no longer', $$SELECT count(*) = 0 FROM leadscore.problem WHERE lead_key IS NOT NULL$$);

-- imported, synced
COPY compose_record (id, rel_module, rel_namespace, "values", created_at) FROM stdin;
420000000000002001	400000000000000011	400000000000000001	{"Rating": ["Hot"], "AccountId": ["410000000000000002"]}	2025-06-01 12:00+00
420000000000002002	400000000000000011	400000000000000001	{"Rating": "Hot", "NumberOfEmployees": 900}	2025-06-01 12:00+00
420000000000002003	400000000000000012	400000000000000001	{"Rating": ["Hot"]}	2025-06-01 12:00+00
420000000000002004	400000000000000011	400000000000000001	[]	2025-06-01 12:00+00
\.
INSERT INTO "compose_record" ("id", "rel_module", "values", "rel_namespace", "created_at") VALUES
	(420000000000002001, 400000000000000011, '{"Rating": ["Cold"]}', 400000000000000001, '2025-06-01 12:00+00'), (420000000000002005, 400000000000000011, '{"Rating": ["Hot"]}', 400000000000000001, '2025-06-01 12:00+00')
ON CONFLICT ("id") DO UPDATE SET "values" = "compose_record"."values" || EXCLUDED."values", "revision" = "compose_record"."revision" + 1 RETURNING "id", "revision", "values";
MERGE INTO "compose_record" r USING (SELECT 420000000000000100 + i AS id, i FROM generate_series(1, 6) i UNION ALL SELECT 420000000000002006, 0) v ON v.id = r.id
WHEN MATCHED AND v.i % 3 = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET "values" = r."values" || '{"Status": ["Dead"]}'
WHEN NOT MATCHED THEN INSERT ("id", "rel_module", "values", "rel_namespace", "created_at") VALUES (v.id, 400000000000000011, '{"ProductInterest": ["Platform"]}', 400000000000000001, '2025-06-01 12:00+00');
CALL crm_check.step('imported and synced');
-- two leads are merged
BEGIN;
UPDATE "compose_record" SET "values" = jsonb_set("values", '{LeadId}', '["420000000000000051"]') WHERE "values"->'LeadId'->>0 = '420000000000000052';
UPDATE "compose_record" a SET "values" = b."values" || a."values", "revision" = a."revision" + 1 FROM "compose_record" b WHERE a."id" = 420000000000000051 AND b."id" = 420000000000000052;
DELETE FROM "compose_record" WHERE "id" = 420000000000000052;
COMMIT;
CALL crm_check.step('merged');
CALL crm_check.remember();
UPDATE "compose_record" SET "values" = "values", "updated_at" = '2025-06-01 12:05+00', "revision" = "revision" + 1;
CALL crm_check.untouched('saved without a change', 'corteza_more');
CALL crm_check.remember();
UPDATE "compose_record" SET "values" = "values", "rel_module" = "rel_module";
CALL crm_check.untouched('the same values again');
CALL crm_check.step('nothing has changed');
DO $$
DECLARE
	n bigint;
	r record;
BEGIN
	UPDATE corteza.compose_record SET "values" = "values" || '{"Rating": ["Hot"]}' WHERE "values" ? 'Rating' AND id % 4 = 0;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
	FOR r IN DELETE FROM corteza.compose_record WHERE id BETWEEN 420000000000000060 AND 420000000000000062 RETURNING id, revision LOOP
		RAISE NOTICE '%', r;
	END LOOP;
END
$$;
CALL crm_check.step('a function');
BEGIN;
SAVEPOINT a;
DELETE FROM "compose_record" WHERE rel_module = 400000000000000012;
CALL crm_check.step('no accounts, inside');
ROLLBACK TO a;
TRUNCATE "compose_record";
CALL crm_check.step('nothing, inside');
ROLLBACK;
CALL crm_check.step('all is there');

-- tasks: rows of the same table, of which leads are others
INSERT INTO "compose_record" ("id", "rel_module", "values", "rel_namespace", "created_at")
SELECT 430000000000002000 + i, 400000000000000015 + i % 2, jsonb_build_object('Status', jsonb_build_array(CASE WHEN i % 3 = 0 THEN 'Not Started' ELSE 'Completed' END),
	'LeadId', jsonb_build_array((420000000000000090 + i % 5)::text), 'ActivityDate', jsonb_build_array((date '2026-05-01' + i)::text)), 400000000000000001, '2026-06-01 12:00+00' FROM generate_series(1, 30) i;
CALL crm_check.step('tasks');
UPDATE "compose_record" SET "values" = jsonb_set("values", '{Status}', '["Completed"]'), "revision" = 2 WHERE "id" BETWEEN 430000000000002000 AND 430000000000002010 RETURNING "id";
UPDATE "compose_record" SET "values" = jsonb_set("values", '{LeadId}', '["420000000000000096"]') WHERE "id" BETWEEN 430000000000002011 AND 430000000000002015;
UPDATE "compose_record" SET "values" = "values" || '{"LeadId": ["?"], "ActivityDate": ["soon"]}' WHERE "id" BETWEEN 430000000000002016 AND 430000000000002017;
UPDATE "compose_record" SET "values" = '[]' WHERE "id" = 430000000000002018;
UPDATE "compose_record" SET "rel_module" = 400000000000000013 WHERE "id" = 430000000000002019;
DELETE FROM "compose_record" WHERE "id" BETWEEN 430000000000002020 AND 430000000000002022 RETURNING "id";
CALL crm_check.step('tasks are done, moved, spoilt and deleted');
BEGIN;
INSERT INTO "compose_record" ("id", "rel_module", "values", "rel_namespace", "created_at") VALUES
	(430000000000002031, 400000000000000015, '{"Status": ["Completed"], "LeadId": ["420000000000002031"], "ActivityDate": ["2026-05-31"]}', 400000000000000001, '2026-06-01 12:00+00'),
	(420000000000002031, 400000000000000011, '{"Rating": ["Hot"]}', 400000000000000001, '2026-06-01 12:00+00');
COMMIT;
CALL crm_check.step('a task and its lead');
UPDATE "compose_record" SET "rel_module" = 400000000000000012 WHERE "id" = 420000000000002031;
UPDATE "compose_record" SET "rel_module" = 400000000000000011 WHERE "id" = 420000000000002031;
CALL crm_check.step('a lead that did something is an account for a moment');

-- the upgrade: numeric keys become bigint
\c - :owner
CALL crm_check.ours('the view goes', 'DROP VIEW scoring.lead');
ALTER TABLE corteza.compose_record ALTER COLUMN id TYPE bigint, ALTER COLUMN rel_module TYPE bigint, ALTER COLUMN owned_by TYPE bigint;
ALTER TABLE corteza.compose_module ALTER COLUMN id TYPE bigint;
\c - :app
INSERT INTO corteza.compose_record (id, rel_module, "values", rel_namespace, created_at) VALUES (420000000000003001, 400000000000000011, '{"Rating": ["Hot"], "IsConverted": ["1"]}', 400000000000000001, '2025-06-01 12:00+00') RETURNING id;
UPDATE corteza.compose_record SET "values" = '{"IsConverted": ["1"]}' WHERE id = 420000000000000071;
DELETE FROM corteza.compose_record WHERE id = 420000000000000072;
UPDATE corteza.compose_record SET id = id + 5000 WHERE id = 420000000000000073 RETURNING id;
CALL crm_check.step('keys are bigint, and one model has no view', 'corteza');
\c - :owner
CALL crm_check.doctor('the doctor misses the view', 'corteza', 'source_missing');
CALL crm_check.ours('the view is made again', $$CREATE VIEW scoring.lead AS
	SELECT r.id, r."values", r.created_at, r.deleted_at, r.owned_by, a."values"->'Industry'->>0 AS account_industry
	FROM corteza.compose_record r
	JOIN corteza.compose_module m ON m.id = r.rel_module AND m.handle = 'Lead'
	LEFT JOIN corteza.compose_record a ON a.id = (r."values"->'AccountId'->>0)::bigint$$);
CALL crm_check.ours('the models are mended', $$SELECT leadscore.repair('corteza'), leadscore.repair('corteza_more')$$);
CALL crm_check.step('the view is back');
CALL crm_check.doctor('the doctor is content', 'corteza');
CALL crm_check.doctor('the doctor is content', 'corteza_more');
\c - :app
UPDATE corteza.compose_record SET "values" = "values" || '{"Industry": ["Education"]}' WHERE rel_module = 400000000000000012;
UPDATE corteza.compose_record SET id = id + 7000, "values" = "values" || '{"Rating": ["Hot"]}' WHERE id BETWEEN 420000000000000080 AND 420000000000000085 RETURNING id;
CALL crm_check.step('and goes on');
