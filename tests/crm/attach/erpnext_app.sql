-- What ERPNext and Frappe CRM do with their tables: text keys that users change,
-- '' for nothing, smallint for yes and no, one row at a time.
SET search_path = erpnext, pg_catalog;

-- a document is inserted, then set values are written one by one
START TRANSACTION;
INSERT INTO "tabLead" ("name", "owner", "creation", "modified", "modified_by", "docstatus", "idx", "naming_series", "first_name", "lead_name", "job_title", "source", "status", "email_id",
	"no_of_employees", "annual_revenue", "industry", "territory", "qualification_status", "country", "request_type", "disabled", "unsubscribed", "blog_subscriber", "custom_budget_range")
VALUES ('CRM-LEAD-2025-00241', 'rep@example.com', '2025-06-01 17:30:00.000001', '2025-06-01 17:30:00.000001', 'rep@example.com', 0, 0, 'CRM-LEAD-.YYYY.-', 'Jo', 'Jo', 'Owner', '', 'Lead', '',
	'', 0, NULL, 'All Territories', 'Unqualified', 'Kenya', '', 0, 0, 1, '');
UPDATE "tabLead" SET "no_of_employees" = '1000+', "modified" = '2025-06-01 17:31:00' WHERE "name" = 'CRM-LEAD-2025-00241';
UPDATE "tabLead" SET "custom_budget_range" = '> 50k' WHERE "name" = 'CRM-LEAD-2025-00241';
UPDATE "tabLead" SET "_user_tags" = ',hot' WHERE "name" = 'CRM-LEAD-2025-00241' RETURNING "_user_tags";
UPDATE "tabLead" SET "_assign" = '["rep@example.com"]', "_comments" = '[]' WHERE "name" = 'CRM-LEAD-2025-00241';
CALL crm_check.step('a document, inside');
COMMIT;
CALL crm_check.step('a document');
-- names as people give them
INSERT INTO "tabLead" (name, status, no_of_employees) VALUES
	('O''Brien & "Söhne" \ GmbH', 'Lead', '1000+'), ('', 'Lead', '201-500'), (' ', 'Open', '1-10'), ('NULL', 'Open', '1000+'), ('{a,b}', 'Replied', ''),
	(repeat('ü', 140), 'Open', '1000+'), ('crm-lead-2025-00241', 'Open', '11-50') RETURNING name;
INSERT INTO "tabLead" (name) VALUES ('CRM-LEAD-2025-00001');
INSERT INTO "tabLead" (name) VALUES (repeat('x', 141));
INSERT INTO "tabLead" (name) VALUES (NULL);
CALL crm_check.step('names of all sorts');
UPDATE "tabLead" SET "_user_tags" = CASE WHEN "_user_tags" IS NULL THEN ',hot' WHEN idx % 2 = 0 THEN '' END, "modified" = '2025-06-01 17:32:00' WHERE "name" < 'CRM-LEAD-2025-00050';
UPDATE "tabLead" SET "unsubscribed" = 1 WHERE "email_id" IN ('ines7@werk7.example.com', 'ines9@werk9.example.com') RETURNING "name", "unsubscribed";
UPDATE "tabLead" SET "status" = 'Do Not Contact' WHERE "name" = ' ';
UPDATE "tabLead" SET "qualification_status" = 'Qualified', "qualified_on" = '2025-05-31' WHERE "name" IN ('', 'NULL');
CALL crm_check.step('values are set');

-- a user renames a record: all links follow
START TRANSACTION;
SELECT "name" FROM "tabLead" WHERE "name" = 'CRM-LEAD-2025-00010' FOR UPDATE;
UPDATE "tabLead" SET "name" = 'Acme' WHERE "name" = 'CRM-LEAD-2025-00010';
UPDATE "tabCommunication" SET "reference_name" = 'Acme' WHERE "reference_doctype" = 'Lead' AND "reference_name" = 'CRM-LEAD-2025-00010';
UPDATE "tabOpportunity" SET "party_name" = 'Acme' WHERE "opportunity_from" = 'Lead' AND "party_name" = 'CRM-LEAD-2025-00010';
CALL crm_check.step('renamed, inside');
COMMIT;
CALL crm_check.step('renamed');
-- renamed and changed at once; and back; names are swapped; the case changes only
UPDATE "tabLead" SET "name" = 'Acme Ltd', "no_of_employees" = '1000+', "disabled" = 1 WHERE "name" = 'Acme' RETURNING "name";
UPDATE "tabLead" SET "name" = 'ACME LTD', "disabled" = 0 WHERE "name" = 'Acme Ltd' RETURNING "name";
START TRANSACTION;
UPDATE "tabLead" SET "name" = 'swap' WHERE "name" = 'CRM-LEAD-2025-00011';
UPDATE "tabLead" SET "name" = 'CRM-LEAD-2025-00011' WHERE "name" = 'CRM-LEAD-2025-00012';
UPDATE "tabLead" SET "name" = 'CRM-LEAD-2025-00012' WHERE "name" = 'swap';
COMMIT;
CALL crm_check.step('two swap their names');
UPDATE "tabLead" SET "name" = 'CRM-LEAD-2025-00014' WHERE "name" = 'CRM-LEAD-2025-00013';
-- into the place of one that was deleted, and of one that leaves it in the same statement
START TRANSACTION;
DELETE FROM "tabLead" WHERE "name" = 'CRM-LEAD-2025-00014';
UPDATE "tabLead" SET "name" = 'CRM-LEAD-2025-00014' WHERE "name" = 'CRM-LEAD-2025-00013';
INSERT INTO "tabLead" ("name", "no_of_employees", "custom_budget_range") VALUES ('CRM-LEAD-2025-00013', '201-500', '> 50k');
COMMIT;
CALL crm_check.step('into the place of another');
UPDATE "tabLead" SET "name" = 'X-' || "name" WHERE "name" LIKE 'CRM-LEAD-2025-002%';
UPDATE "tabLead" SET "name" = substr("name", 3), "industry" = 'Manufacturing' WHERE "name" LIKE 'X-CRM-LEAD-2025-0020%';
CALL crm_check.step('many are renamed');
START TRANSACTION;
SAVEPOINT s;
UPDATE "tabLead" SET "name" = 'Nobody' WHERE "name" = 'ACME LTD';
CALL crm_check.step('renamed after a savepoint');
ROLLBACK TO SAVEPOINT s;
UPDATE "tabLead" SET "status" = 'Interested' WHERE "name" = 'ACME LTD';
COMMIT;
CALL crm_check.step('not renamed');
-- renamed into an existing one: that is merging
START TRANSACTION;
UPDATE "tabCommunication" SET "reference_name" = 'CRM-LEAD-2025-00020' WHERE "reference_name" = 'CRM-LEAD-2025-00021' AND "reference_doctype" = 'Lead';
UPDATE "tabLead" SET "_user_tags" = ',hot,merged' WHERE "name" = 'CRM-LEAD-2025-00020';
DELETE FROM "tabLead" WHERE "name" = 'CRM-LEAD-2025-00021';
COMMIT;
CALL crm_check.step('merged');

-- Frappe CRM: a link to the status
UPDATE "tabCRM Lead" SET "status" = 'Qualified', "converted" = 1 WHERE "name" IN ('CRM-LEAD-2025-00001', 'CRM-LEAD-2025-00002') RETURNING "name", "status";
UPDATE "tabCRM Lead" SET "status" = 'No such status' WHERE "name" = 'CRM-LEAD-2025-00003';
INSERT INTO "tabCRM Lead" ("name", "status", "no_of_employees", "sla_status") VALUES ('new one', 'Nurture', '1000+', 'Fulfilled');
INSERT INTO "tabCRM Status Change Log" ("name", "from", "to", "parent") VALUES ('scl new', '', 'Nurture', 'new one');
CALL crm_check.step('links');
UPDATE "tabCRM Lead Status" SET "type" = 'Lost', "modified" = '2025-06-01 17:40:00' WHERE "name" = 'Nurture' RETURNING "name", "type";
UPDATE "tabCRM Lead Status" SET "position" = 9 - "position";
CALL crm_check.step('a status gets another meaning');
-- a status is renamed, then its leads; one is deleted; another comes
START TRANSACTION;
UPDATE "tabCRM Lead Status" SET "name" = 'Spoken to', "lead_status" = 'Spoken to' WHERE "name" = 'Contacted';
CALL crm_check.step('a status is renamed, inside');
UPDATE "tabCRM Lead" SET "status" = 'Spoken to' WHERE "status" = 'Contacted';
COMMIT;
CALL crm_check.step('a status is renamed');
DELETE FROM "tabCRM Lead Status" WHERE "name" = 'Junk';
INSERT INTO "tabCRM Lead Status" ("name", "lead_status", "type", "position") VALUES ('No such status', 'No such status', 'Won', 4) ON CONFLICT DO NOTHING;
CALL crm_check.step('a status goes, another comes');
START TRANSACTION;
TRUNCATE "tabCRM Lead Status";
CALL crm_check.step('no status, inside');
ROLLBACK;
CALL crm_check.step('the statuses are back');

-- the data import tool, and another tool that syncs
COPY "tabLead" (name, status, no_of_employees, custom_budget_range, annual_revenue, email_id) FROM stdin CSV;
Import 1,Lead,1000+,> 50k,9000000,i1@example.com
"Import, 2",Open,,,0,""
Import 3,Interested,201-500,,5000000.000000001,
\.
INSERT INTO "tabLead" (name, status, no_of_employees) VALUES ('Import 1', 'Converted', '1-10'), ('Import 4', 'Open', '501-1000')
ON CONFLICT (name) DO UPDATE SET status = EXCLUDED.status, no_of_employees = EXCLUDED.no_of_employees RETURNING name, status, xmax = 0 AS inserted;
INSERT INTO "tabLead" (name, status) VALUES ('Import 1', 'x') ON CONFLICT DO NOTHING;
MERGE INTO "tabLead" l USING (VALUES ('Import 1', '1000+'), ('Import, 2', NULL), ('Import 5', '1000+')) v(name, n) ON v.name = l.name
WHEN MATCHED AND v.n IS NULL THEN DELETE
WHEN MATCHED THEN UPDATE SET no_of_employees = v.n, name = l.name || '!'
WHEN NOT MATCHED THEN INSERT (name, no_of_employees) VALUES (v.name, v.n);
CALL crm_check.step('imports');
CALL crm_check.remember();
UPDATE "tabLead" SET "modified" = '2025-06-01 17:45:00', "_comments" = '["x"]';
CALL crm_check.untouched('columns that no rule reads');
UPDATE "tabLead" SET "name" = "name", "status" = "status", "industry" = "industry";
UPDATE "tabCRM Lead Status" SET "type" = "type";
CALL crm_check.untouched('the same values again');
CALL crm_check.step('nothing has changed');
DO $$
DECLARE
	n bigint;
	r record;
BEGIN
	UPDATE erpnext."tabLead" SET status = 'Replied' WHERE status = 'Open';
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
	UPDATE erpnext."tabLead" SET name = 'DO' WHERE name = 'Import 5' RETURNING name, no_of_employees INTO r;
	RAISE NOTICE '% %', r, FOUND;
	BEGIN
		UPDATE erpnext."tabLead" SET name = 'DO' WHERE name = 'Import 4';
	EXCEPTION WHEN unique_violation THEN
		RAISE NOTICE '%', SQLERRM;
	END;
	DELETE FROM erpnext."tabLead" WHERE name = 'nobody';
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'delete: % rows, found %', n, FOUND;
END
$$;
CALL crm_check.step('a function');

-- mails come in, are linked to documents, and documents are renamed
START TRANSACTION;
INSERT INTO "tabCommunication" ("name", "creation", "modified", "subject", "communication_date", "sent_or_received", "reference_doctype", "reference_name") VALUES
	('com000001', '2026-05-30 15:30:00.000001', '2026-05-30 15:30:00.000001', 'Re: Offer', '2026-05-30 15:30:00.000001', 'Received', 'Lead', 'CRM-LEAD-2025-00111') RETURNING "name";
UPDATE "tabLead" SET "status" = 'Replied' WHERE "name" = 'CRM-LEAD-2025-00111';
COMMIT;
CALL crm_check.step('a mail');
INSERT INTO "tabCommunication" ("name", "communication_date", "sent_or_received", "reference_doctype", "reference_name") VALUES
	('com000002', '2026-05-30 15:30', 'Received', 'CRM Lead', 'CRM-LEAD-2025-00112'), ('com000003', NULL, 'Received', 'Lead', 'CRM-LEAD-2025-00113'), ('com000004', '2026-05-30 15:30', 'Received', 'Lead', ''),
	('com000005', '2026-05-30 15:30', 'Received', 'Lead', 'O''Brien & "Söhne" \ GmbH'), ('com000006', '2026-05-30 15:30', 'Received', 'Lead', 'crm-lead-2025-00111'), ('com000007', '2999-05-30 15:30', 'Received', 'Lead', 'CRM-LEAD-2025-00114');
CALL crm_check.step('mails of all sorts');
UPDATE "tabCommunication" SET "reference_doctype" = 'Lead' WHERE "name" = 'com000002';
UPDATE "tabCommunication" SET "read_by_recipient" = 1, "modified" = '2026-05-31 00:00:00';
UPDATE "tabCommunication" SET "sent_or_received" = 'Sent' WHERE "reference_name" = 'CRM-LEAD-2025-00115';
DELETE FROM "tabCommunication" WHERE "reference_name" IN ('CRM-LEAD-2025-00116', 'CRM-LEAD-2025-00117') RETURNING "reference_doctype";
CALL crm_check.step('mails are linked and deleted');
START TRANSACTION;
UPDATE "tabLead" SET "name" = 'With mails' WHERE "name" = 'CRM-LEAD-2025-00118';
UPDATE "tabCommunication" SET "reference_name" = 'With mails' WHERE "reference_name" = 'CRM-LEAD-2025-00118' AND "reference_doctype" = 'Lead';
COMMIT;
UPDATE "tabLead" SET "name" = 'Without its mails' WHERE "name" = 'CRM-LEAD-2025-00120';
CALL crm_check.step('leads with mails get other names');
UPDATE "tabLead" SET "name" = 'CRM-LEAD-2025-00120' WHERE "name" = 'Without its mails';
CALL crm_check.step('and back, to the mails');

-- bench migrate changes types, custom fields come and go
\c - :owner
ALTER TABLE erpnext."tabLead"
	ALTER COLUMN no_of_employees TYPE varchar(255), ALTER COLUMN status TYPE text, ALTER COLUMN source TYPE text,
	ALTER COLUMN annual_revenue TYPE numeric(30,6), ALTER COLUMN unsubscribed TYPE bigint, ALTER COLUMN disabled TYPE integer,
	ALTER COLUMN _user_tags TYPE varchar(500);
ALTER TABLE erpnext."tabCRM Lead" ALTER COLUMN first_name TYPE text, ALTER COLUMN organization TYPE text;
ALTER TABLE erpnext."tabLead" ALTER COLUMN name TYPE varchar(255);
\c - :app
UPDATE erpnext."tabLead" SET no_of_employees = '201-500', unsubscribed = 0, disabled = 0 WHERE name LIKE '%3';
INSERT INTO erpnext."tabLead" (name, no_of_employees) VALUES (repeat('y', 255), '1000+') RETURNING length(name);
CALL crm_check.step('migrate changes types');
\c - :owner
ALTER TABLE erpnext."tabLead" ALTER COLUMN annual_revenue DROP DEFAULT, ALTER COLUMN annual_revenue TYPE varchar(140);
ALTER TABLE erpnext."tabLead" DROP COLUMN custom_budget_range;
\c - :app
UPDATE erpnext."tabLead" SET annual_revenue = 'much', industry = 'Manufacturing' WHERE name LIKE '%4';
INSERT INTO erpnext."tabLead" (name, no_of_employees, annual_revenue) VALUES ('Migrated', '1000+', '') RETURNING name, annual_revenue;
CALL crm_check.stale('a number becomes text, a custom field goes', 'erpnext', 'erpnext_more');
\c - :owner
CALL crm_check.ours('a rule is written anew', $$UPDATE leadscore.rule SET condition = 'CASE WHEN annual_revenue ~ ''^[0-9.]+$'' THEN annual_revenue::numeric >= 5000000 END', enabled = true
	WHERE model = 'erpnext_more' AND NOT enabled$$);
\! $CRM_OTHER "CALL leadscore.rescore('erpnext_more')"
\! $CRM_OTHER "CALL leadscore.rescore('erpnext')"
CALL crm_check.step('the models are mended');
ALTER TABLE erpnext."tabLead" ADD COLUMN custom_budget_range varchar(140) DEFAULT '> 50k';
CALL crm_check.ours('its rule is enabled', $$UPDATE leadscore.rule SET enabled = true WHERE NOT enabled$$);
\! $CRM_OTHER "CALL leadscore.rescore('erpnext')"
CALL crm_check.step('the custom field is back');

-- a DocType is renamed and back, and the schema
ALTER TABLE erpnext."tabLead" RENAME TO "tabProspective Customer";
\c - :app
UPDATE erpnext."tabProspective Customer" SET no_of_employees = '1-10' WHERE name LIKE '%5';
CALL crm_check.step('the table has another name');
\c - :owner
CALL crm_check.ours('models are mended, if they must', $$SELECT leadscore.repair('erpnext'), leadscore.repair('erpnext_more')$$);
CALL crm_check.step('the table has another name, mended');
ALTER TABLE erpnext."tabProspective Customer" RENAME TO "tabLead";
ALTER SCHEMA erpnext RENAME TO site1;
\c - :app
UPDATE site1."tabLead" SET no_of_employees = '1000+' WHERE name LIKE '%5';
UPDATE site1."tabCRM Lead" SET status = 'Converted' WHERE name LIKE '%5';
CALL crm_check.step('the schema has another name');
-- what is watched is named by an expression that still says erpnext
UPDATE site1."tabCRM Lead Status" SET "type" = 'Ongoing' WHERE name = 'Nurture' RETURNING name, "type";
\c - :owner
ALTER SCHEMA site1 RENAME TO erpnext;
CALL crm_check.ours('the leads that were missed are mended', $$SELECT leadscore.repair('frappe_more')$$);
CALL crm_check.step('the schema has its name again');
-- a schema that was renamed may change what a condition means: all is worked out anew
\! $CRM_OTHER "CALL leadscore.rescore('erpnext')"
CALL crm_check.doctor('the doctor is content', 'erpnext');
CALL crm_check.doctor('the doctor is content', 'frappe_more');

-- the key column gets another name
ALTER TABLE erpnext."tabLead" RENAME COLUMN name TO docname;
\c - :app
UPDATE erpnext."tabLead" SET no_of_employees = '1-10' WHERE docname LIKE '%6';
INSERT INTO erpnext."tabLead" (docname, no_of_employees, annual_revenue) VALUES ('key renamed', '1000+', '');
\c - :owner
CALL crm_check.doctor('the doctor misses the key column', 'erpnext', 'key_column_missing');
ALTER TABLE erpnext."tabLead" RENAME COLUMN docname TO name;
CALL crm_check.ours('the models are mended', $$SELECT leadscore.repair('erpnext'), leadscore.repair('erpnext_more')$$);
CALL crm_check.step('the key column has its name again');

-- a site is restored: emptied and read in
\c - :app
BEGIN;
CREATE TEMP TABLE backup AS SELECT * FROM erpnext."tabLead";
DELETE FROM erpnext."tabLead";
CALL crm_check.step('emptied');
INSERT INTO erpnext."tabLead" SELECT * FROM backup;
COMMIT;
CALL crm_check.step('restored');
TRUNCATE erpnext."tabLead", erpnext."tabCRM Lead", erpnext."tabCommunication";
CALL crm_check.step('a new site');
