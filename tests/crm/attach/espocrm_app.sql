-- What EspoCRM does with its tables: ids and links made by the application, no
-- foreign keys, deleted flags, addresses in two more tables.
SET search_path = espocrm, pg_catalog;

-- a lead is captured from a form: lead, address, link, stream note
START TRANSACTION;
INSERT INTO "lead" ("id", "first_name", "last_name", "title", "status", "source", "industry", "opportunity_amount", "opportunity_amount_currency", "do_not_call", "created_at", "modified_at", "assigned_user_id")
VALUES ('683c40a1b2c3d4e5f', 'Ada', 'O''Brien', 'Head of IT', 'New', 'Web Site', 'Banking', 5000, 'EUR', false, '2025-06-01 12:00:00', '2025-06-01 12:00:00', substr(md5('u3'), 1, 17));
INSERT INTO "email_address" ("id", "name", "lower") VALUES ('683c40a1b2c3d4e60', 'Ada@OBrien.example.com', 'ada@obrien.example.com');
INSERT INTO "entity_email_address" ("entity_id", "email_address_id", "entity_type", "primary") VALUES ('683c40a1b2c3d4e5f', '683c40a1b2c3d4e60', 'Lead', true) RETURNING id;
SELECT lastval();
INSERT INTO "note" ("id", "type", "parent_id", "parent_type", "created_at") VALUES ('683c40a1b2c3d4e61', 'Create', '683c40a1b2c3d4e5f', 'Lead', '2025-06-01 12:00:00');
CALL crm_check.step('a captured lead, inside');
COMMIT;
CALL crm_check.step('a captured lead');
SELECT "number" FROM note WHERE id = '683c40a1b2c3d4e61';

-- saved: one UPDATE for the row, more for the rest; twice in a row
START TRANSACTION;
SELECT "id" FROM "lead" WHERE "id" = '683c40a1b2c3d4e5f' FOR UPDATE;
UPDATE "lead" SET "status" = 'Assigned', "modified_at" = '2025-06-01 12:01:00', "modified_by_id" = '1' WHERE "lead"."id" = '683c40a1b2c3d4e5f';
UPDATE "lead" SET "stream_updated_at" = '2025-06-01 12:01:00' WHERE "lead"."id" = '683c40a1b2c3d4e5f';
UPDATE "lead" SET "c_interests" = '["api","reports"]', "c_company_size" = '201-1000' WHERE "lead"."id" = '683c40a1b2c3d4e5f';
COMMIT;
UPDATE "lead" SET "status" = 'In Process', "title" = 'Student' WHERE "id" = '683c40a1b2c3d4e5f' RETURNING "status", "title";
CALL crm_check.step('saved');
-- converted, recycled, dead
UPDATE "lead" SET "status" = 'Converted', "converted_at" = '2025-06-01 12:02:00', "created_opportunity_id" = 'opp' WHERE "id" = '683c40a1b2c3d4e5f';
UPDATE "lead" SET "status" = 'Recycled' WHERE "id" IN (SELECT id FROM lead WHERE status = 'Dead' ORDER BY id LIMIT 5);
UPDATE "lead" SET "status" = 'Dead' WHERE "id" IN (SELECT id FROM lead WHERE status = 'New' ORDER BY id LIMIT 5);
CALL crm_check.step('statuses');
-- deleted and back
UPDATE "lead" SET "deleted" = true, "modified_at" = '2025-06-01 12:03:00' WHERE "address_city" = 'Ort 4';
CALL crm_check.step('deleted softly');
UPDATE "lead" SET "deleted" = false WHERE "address_city" = 'Ort 4' AND "status" <> 'Dead';
CALL crm_check.step('restored');
-- cleanup takes them away for good
DELETE FROM "lead" WHERE "deleted" RETURNING "id" IS NOT NULL AS gone;
CALL crm_check.step('cleaned up');

-- addresses: bounced, opted out, another becomes primary, taken off
UPDATE "email_address" SET "invalid" = true WHERE "lower" IN ('lead1@org1.example.com', 'lead2@org2.example.com', 'ada@obrien.example.com');
UPDATE "email_address" SET "opt_out" = NOT "opt_out" WHERE "lower" LIKE 'lead2_@org2_.example.com';
CALL crm_check.step('addresses bounce and opt out');
START TRANSACTION;
INSERT INTO "email_address" ("id", "name", "lower") VALUES ('683c40a1b2c3d4e62', 'ada@home.example.com', 'ada@home.example.com');
UPDATE "entity_email_address" SET "primary" = false WHERE "entity_id" = '683c40a1b2c3d4e5f' AND "entity_type" = 'Lead';
INSERT INTO "entity_email_address" ("entity_id", "email_address_id", "entity_type", "primary", "deleted") VALUES ('683c40a1b2c3d4e5f', '683c40a1b2c3d4e62', 'Lead', true, false);
COMMIT;
CALL crm_check.step('another address becomes primary');
UPDATE "entity_email_address" SET "deleted" = true WHERE "entity_id" = '683c40a1b2c3d4e5f';
CALL crm_check.step('addresses are taken off');
INSERT INTO "entity_email_address" ("entity_id", "email_address_id", "entity_type", "primary", "deleted") VALUES
	('683c40a1b2c3d4e5f', '683c40a1b2c3d4e60', 'Lead', true, false), ('683c40a1b2c3d4e5f', '683c40a1b2c3d4e60', 'Contact', true, false)
ON CONFLICT ("entity_id", "email_address_id", "entity_type") DO UPDATE SET "deleted" = false, "primary" = true;
CALL crm_check.step('and put on again');
-- a link moves from one lead to another: both change
UPDATE "entity_email_address" SET "entity_id" = (SELECT id FROM lead ORDER BY id LIMIT 1) WHERE "entity_id" = '683c40a1b2c3d4e5f' AND "email_address_id" = '683c40a1b2c3d4e62';
UPDATE "entity_email_address" SET "entity_type" = 'Contact' WHERE "entity_id" = substr(md5('l21'), 1, 17);
DELETE FROM "entity_email_address" WHERE "entity_id" = substr(md5('l27'), 1, 17);
CALL crm_check.step('links move and go');
UPDATE "user" SET "user_name" = CASE "user_name" WHEN 'rep3' THEN 'rep4' WHEN 'rep4' THEN 'rep3' ELSE "user_name" END;
CALL crm_check.step('users swap their names');

-- two leads are merged
START TRANSACTION;
UPDATE "campaign_log_record" SET "parent_id" = substr(md5('l5'), 1, 17) WHERE "parent_id" = substr(md5('l6'), 1, 17) AND "parent_type" = 'Lead';
UPDATE "call" SET "parent_id" = substr(md5('l5'), 1, 17) WHERE "parent_id" = substr(md5('l6'), 1, 17);
UPDATE "entity_email_address" SET "entity_id" = substr(md5('l5'), 1, 17), "primary" = false WHERE "entity_id" = substr(md5('l6'), 1, 17) AND "entity_type" = 'Lead';
UPDATE "lead" SET "opportunity_amount" = 8000, "industry" = 'Electronics', "do_not_call" = true WHERE "id" = substr(md5('l5'), 1, 17);
UPDATE "lead" SET "deleted" = true WHERE "id" = substr(md5('l6'), 1, 17);
-- (what leads did is moved at the commit)
CALL crm_check.step('merged, inside', 'espocrm', 'espocrm_more');
COMMIT;
CALL crm_check.step('merged');

-- mass update, import, a sync tool
UPDATE "lead" SET "assigned_user_id" = substr(md5('u3'), 1, 17), "modified_at" = '2025-06-01 12:04:00' WHERE "status" = 'New';
CALL crm_check.step('a mass update');
COPY "lead" (id, first_name, last_name, title, status, industry, opportunity_amount, opportunity_amount_currency, c_interests, c_company_size) FROM stdin;
import00000000001	Bo	Import	Owner	New	Electronics	4000	EUR	["api"]	201-1000
import00000000002	Cy	Import	student	New	\N	3999.99	EUR	\N	\N
import00000000003	Di	Import	\N	\N		1e300	USD		11-50
import00000000004	Ed	Import	Stüdent	New	Banking	NaN	EUR	not json	1-10
\.
CALL crm_check.step('an import');
INSERT INTO "lead" ("id", "last_name", "industry", "opportunity_amount", "opportunity_amount_currency") VALUES
	('import00000000001', 'Upsert', 'Education', 1, 'EUR'), ('import00000000005', 'Upsert', 'Banking', 9000, 'EUR')
ON CONFLICT ("id") DO UPDATE SET "industry" = EXCLUDED."industry", "opportunity_amount" = EXCLUDED."opportunity_amount"
RETURNING "id", "industry", xmax = 0 AS inserted;
INSERT INTO "lead" ("id", "last_name") VALUES ('import00000000001', 'Taken');
INSERT INTO "lead" ("id", "last_name") VALUES ('an id that is far longer than twenty-four', 'Long');
MERGE INTO "lead" l USING (SELECT substr(md5('l' || i), 1, 17) AS id, i FROM generate_series(100, 104) i UNION ALL SELECT 'merged', 0) v ON v.id = l.id
WHEN MATCHED AND v.i % 2 = 0 THEN UPDATE SET title = 'Head of IT', opportunity_amount = v.i * 100
WHEN MATCHED THEN DELETE
WHEN NOT MATCHED THEN INSERT (id, last_name, title, do_not_call) VALUES (v.id, 'Merged', 'STUDENT', true);
CALL crm_check.step('a sync tool');

CALL crm_check.remember();
UPDATE "lead" SET "description" = 'x', "stream_updated_at" = '2025-06-01 12:05:00';
CALL crm_check.untouched('columns that no rule reads', 'espocrm_more');
CALL crm_check.remember();
UPDATE "lead" SET "status" = "status", "modified_at" = "modified_at";
UPDATE "email_address" SET "name" = "name";
CALL crm_check.untouched('the same values again');
-- rolled back, in part and as a whole
START TRANSACTION;
DELETE FROM "lead";
SAVEPOINT p;
INSERT INTO "lead" ("id", "last_name", "industry", "do_not_call") VALUES ('only', 'One', 'Banking', true);
CALL crm_check.step('one lead, inside');
ROLLBACK TO SAVEPOINT p;
CALL crm_check.step('no lead, inside');
ROLLBACK;
CALL crm_check.untouched('all is rolled back');
DO $$
DECLARE
	n bigint;
	r record;
BEGIN
	UPDATE espocrm.lead SET status = 'In Process' WHERE status = 'Assigned';
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
	FOR r IN INSERT INTO espocrm.note (id, parent_id) SELECT 'n' || i, 'x' FROM generate_series(1, 2) i RETURNING id, number LOOP
		RAISE NOTICE '%', r;
	END LOOP;
	INSERT INTO espocrm.lead (id, last_name, title) VALUES ('do', 'Do', 'Student') RETURNING id, title, status INTO r;
	RAISE NOTICE '% %', r, lastval();
END
$$;
CALL crm_check.step('a function');
-- ids are given anew
UPDATE "lead" SET "id" = 'new' || substr("id", 4) WHERE "status" = 'In Process';
UPDATE "entity_email_address" SET "entity_id" = 'new' || substr("entity_id", 4) WHERE "entity_type" = 'Lead' AND 'new' || substr("entity_id", 4) IN (SELECT id FROM lead);
CALL crm_check.step('ids are given anew');

-- mailings and calls: logged, held, moved to other entities, deleted by a flag
INSERT INTO "campaign_log_record" ("id", "action", "action_date", "parent_id", "parent_type", "is_test") VALUES
	('r00000000000000a1', 'Clicked', '2026-05-30 10:00:00', substr(md5('l110'), 1, 17), 'Lead', false), ('r00000000000000a2', 'Clicked', '2026-05-30 10:00:00', substr(md5('l111'), 1, 17), 'Lead', true),
	('r00000000000000a3', 'Clicked', '2026-05-30 10:00:00', substr(md5('l112'), 1, 17), 'Contact', false), ('r00000000000000a4', 'Opened', NULL, substr(md5('l113'), 1, 17), 'Lead', false) RETURNING "id", "action";
INSERT INTO "call" ("id", "status", "date_start", "parent_id", "parent_type") VALUES ('c00000000000000a1', 'Planned', '2026-05-31 10:00:00', substr(md5('l110'), 1, 17), 'Lead') RETURNING "id";
CALL crm_check.step('a mailing and a call');
START TRANSACTION;
UPDATE "call" SET "status" = 'Held', "date_end" = '2026-05-31 10:15:00' WHERE "id" = 'c00000000000000a1' RETURNING "status";
UPDATE "lead" SET "status" = 'In Process' WHERE "id" = substr(md5('l110'), 1, 17);
COMMIT;
UPDATE "campaign_log_record" SET "is_test" = NOT "is_test" WHERE "id" LIKE 'r0000000000000%';
UPDATE "campaign_log_record" SET "parent_type" = 'Lead' WHERE "parent_type" = 'Contact' AND "id" < '8';
UPDATE "campaign_log_record" SET "data" = '{}', "application" = 'Espo';
UPDATE "call" SET "deleted" = true WHERE "parent_id" = substr(md5('l120'), 1, 17) OR "id" < '2' RETURNING "deleted";
DELETE FROM "campaign_log_record" WHERE "action" = 'Bounced';
CALL crm_check.step('calls are held, tests are not, records move');
INSERT INTO "call" ("id", "status") VALUES ('c00000000000000a1', 'Held');
COPY "call" (id, status, date_start, parent_id, parent_type) FROM stdin;
c00000000000000b1	Held	2026-05-01 10:00:00	import00000000001	Lead
c00000000000000b2	Held	2026-05-01 10:00:00	lead that comes	Lead
c00000000000000b3	Held	2999-05-01 10:00:00	import00000000001	Lead
\.
CALL crm_check.step('calls are imported');
INSERT INTO "lead" ("id", "last_name") VALUES ('lead that comes', 'Comes');
CALL crm_check.step('a lead comes after its call');
START TRANSACTION;
TRUNCATE "call";
SAVEPOINT a;
DELETE FROM "campaign_log_record";
ROLLBACK TO a;
INSERT INTO "call" ("id", "status", "date_start", "parent_id", "parent_type") VALUES ('c00000000000000c1', 'Held', '2026-06-01 10:00:00', 'lead that comes', 'Lead');
COMMIT;
CALL crm_check.step('calls are emptied and come anew');

-- a hard rebuild
\c - :owner
ALTER TABLE espocrm.lead DROP COLUMN c_interests;
ALTER TABLE espocrm.lead ALTER COLUMN c_company_size TYPE varchar(100), ALTER COLUMN modified_at TYPE timestamp(6), ADD COLUMN c_new varchar(50) DEFAULT 'x';
\c - :app
SET search_path = espocrm, pg_catalog;
UPDATE "lead" SET "c_company_size" = '201-1000' WHERE "status" = 'New';
INSERT INTO "lead" ("id", "last_name", "c_company_size") VALUES ('rebuilt', 'Rebuilt', '201-1000');
CALL crm_check.stale('a hard rebuild drops a column', 'espocrm_more');
\c - :owner
ALTER TABLE espocrm.lead ADD COLUMN c_interests text DEFAULT '["api"]';
CALL crm_check.ours('its rules are back', $$UPDATE leadscore.rule SET enabled = true WHERE NOT enabled$$);
\! $CRM_OTHER "CALL leadscore.rescore('espocrm_more')"
CALL crm_check.step('the column comes back');
-- another collation for a key
ALTER TABLE espocrm.lead ALTER COLUMN c_company_size TYPE text COLLATE "C";
CALL crm_check.ours('the view is replaced', $$CREATE OR REPLACE VIEW scoring.lead AS
	SELECT v.*, c.id AS campaign FROM (SELECT l.id, l.deleted, l.title, l.status, l.source, l.industry, l.opportunity_amount, l.opportunity_amount_currency,
	       l.address_country, l.do_not_call, l.created_at, l.converted_at,
	       x."primary", e.lower AS email, e.opt_out, e.invalid, u.user_name AS rep
	FROM espocrm.lead l
	LEFT JOIN (espocrm.entity_email_address x JOIN espocrm.email_address e ON e.id = x.email_address_id)
	       ON x.entity_id = l.id AND x.entity_type = 'Lead' AND x."primary" AND NOT x.deleted
	LEFT JOIN espocrm."user" u ON u.id = l.assigned_user_id) v LEFT JOIN espocrm.campaign c ON false$$);
\c - :app
SET search_path = espocrm, pg_catalog;
UPDATE "lead" SET "industry" = 'Banking', "c_company_size" = '11-50' WHERE "status" = 'New';
CALL crm_check.step('the view is replaced');

-- a lead with two primary addresses is two rows of the source
INSERT INTO "entity_email_address" ("entity_id", "email_address_id", "entity_type", "primary", "deleted") VALUES ('rebuilt', substr(md5('e1'), 1, 17), 'Lead', true, false), ('rebuilt', substr(md5('e3'), 1, 17), 'Lead', true, false);
UPDATE "lead" SET "title" = 'Owner' WHERE "id" = 'rebuilt' RETURNING "title";
CALL crm_check.so('espocrm: a lead of two rows has a state all the same', $$SELECT lead_exists FROM leadscore.espocrm_state WHERE lead_key = 'rebuilt'$$);
CALL crm_check.so('espocrm: that it has two is recorded', $$SELECT count(*) = 1 FROM leadscore.problem WHERE model = 'espocrm' AND lead_key = 'rebuilt'$$);
DELETE FROM "entity_email_address" WHERE "entity_id" = 'rebuilt' AND "email_address_id" = substr(md5('e1'), 1, 17);
CALL crm_check.step('two primary addresses, for a while');
CALL crm_check.so('espocrm: nothing is recorded of it any more', $$SELECT count(*) = 0 FROM leadscore.problem WHERE lead_key IS NOT NULL$$);
START TRANSACTION;
TRUNCATE "lead";
COPY "lead" (id, last_name, industry, assigned_user_id) FROM stdin;
restored1	One	Banking	1
restored2	Two	Education	2
\.
COMMIT;
CALL crm_check.step('a backup is read in');
TRUNCATE entity_email_address, email_address;
CALL crm_check.step('lookup tables are emptied');
