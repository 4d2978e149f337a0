-- What Twenty does with its tables: uuid keys from the client, every name quoted,
-- INSERT and UPDATE with RETURNING, soft delete, options of a field edited.
SELECT 'workspace_3ixj3i1a5avy16ptijtb3lae3' AS w \gset

-- records made in the table view: an empty one at first, then field by field
INSERT INTO :"w"."person" ("id", "createdAt", "updatedAt", "deletedAt", "nameFirstName", "nameLastName", "emailsPrimaryEmail", "createdBySource", "createdByName", "position")
VALUES ('00000000-0000-4000-8000-000000000001', '2025-06-01 12:00+00', '2025-06-01 12:00+00', DEFAULT, DEFAULT, DEFAULT, DEFAULT, 'MANUAL', 'Rep', 0.5)
RETURNING "id", "nameFirstName", "emailsPrimaryEmail", "createdBySource", "searchVector", "position";
CALL crm_check.step('an empty record');
UPDATE :"w"."person" SET "emailsPrimaryEmail" = 'ina@company3.example.com', "updatedAt" = '2025-06-01 12:01+00' WHERE "id" = '00000000-0000-4000-8000-000000000001' RETURNING "id", "searchVector";
UPDATE :"w"."person" SET "jobTitle" = 'Founder' WHERE "id" IN ('00000000-0000-4000-8000-000000000001') RETURNING "jobTitle";
UPDATE :"w"."person" SET "companyId" = md5('c5')::uuid WHERE "id" = '00000000-0000-4000-8000-000000000001' RETURNING "companyId";
UPDATE :"w"."person" SET "phonesPrimaryPhoneNumber" = '301' WHERE "id" = '00000000-0000-4000-8000-000000000001';
CALL crm_check.step('field by field');
-- a new company and its people in one transaction, and a custom object
BEGIN;
INSERT INTO :"w"."company" ("id", "createdAt", "updatedAt", "name", "employees", "idealCustomerProfile", "domainNamePrimaryLinkUrl", "annualRecurringRevenueAmountMicros")
VALUES ('00000000-0000-4000-8000-00000000000c', '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'Änderwerk', 300, true, 'https://new.example.com', 60000000000) RETURNING "id", "name", "searchVector";
INSERT INTO :"w"."person" ("id", "createdAt", "updatedAt", "nameFirstName", "emailsPrimaryEmail", "companyId", "createdBySource", "position")
SELECT md5('import' || i)::uuid, '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'Import' || i, CASE WHEN i <> 3 THEN 'i' || i || '@new.example.com' ELSE '' END,
	'00000000-0000-4000-8000-00000000000c', (ARRAY['IMPORT', 'API'])[1 + i % 2]::workspace_3ixj3i1a5avy16ptijtb3lae3."person_createdBySource_enum", i
FROM generate_series(1, 6) i RETURNING "nameFirstName", "createdBySource";
INSERT INTO :"w"."_lead" ("id", "createdAt", "updatedAt", "name", "status", "interests", "rating", "tags", "personId", "budgetAmountMicros")
VALUES ('00000000-0000-4000-8000-00000000000d', '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'Lead A', 'NEW', '{PLATFORM,ADD_ON}', NULL, '{t1}', md5('import1')::uuid, 20000000000)
RETURNING "id", "name", "status", "interests", "searchVector";
CALL crm_check.step('a company with people, inside');
COMMIT;
CALL crm_check.step('a company with people');
COPY workspace_3ixj3i1a5avy16ptijtb3lae3.person ("id", "createdAt", "updatedAt", "nameFirstName", "emailsPrimaryEmail", "jobTitle", "companyId", "createdBySource") FROM stdin CSV HEADER;
id,createdAt,updatedAt,nameFirstName,emailsPrimaryEmail,jobTitle,companyId,createdBySource
10000000-0000-4000-8000-000000000001,2025-06-01 12:00+00,2025-06-01 12:00+00,"Copy, one",c1@example.com,CTO,00000000-0000-4000-8000-00000000000c,IMPORT
10000000-0000-4000-8000-000000000002,2025-06-01 12:00+00,2025-06-01 12:00+00,Copy two,"",,,API
10000000-0000-4000-8000-000000000003,2025-06-01 12:00+00,2025-06-01 12:00+00,Copy three,c3@example.com,Student,,IMPORT
\.
CALL crm_check.step('COPY');

-- deleted, restored, destroyed
UPDATE :"w"."person" SET "deletedAt" = '2025-06-01 12:02+00' WHERE "id" IN (md5('p1')::uuid, md5('p2')::uuid, md5('p3')::uuid) AND "deletedAt" IS NULL RETURNING "nameFirstName", "deletedAt";
CALL crm_check.step('soft delete');
UPDATE :"w"."person" SET "deletedAt" = NULL WHERE "id" IN (md5('p1')::uuid, md5('p2')::uuid) RETURNING "nameFirstName", "deletedAt";
CALL crm_check.step('restored');
DELETE FROM :"w"."person" WHERE "id" = md5('p3')::uuid RETURNING "nameFirstName";
DELETE FROM :"w"."_lead" WHERE "id" IN (md5('l1')::uuid, md5('l2')::uuid) RETURNING "name", "status";
CALL crm_check.step('destroyed');
-- merged: the survivor takes the others' links, then they are destroyed
BEGIN;
UPDATE :"w"."opportunity" SET "pointOfContactId" = md5('p6')::uuid WHERE "pointOfContactId" = md5('p9')::uuid;
UPDATE :"w"."timelineActivity" SET "targetPersonId" = md5('p6')::uuid WHERE "targetPersonId" = md5('p9')::uuid;
UPDATE :"w"."_lead" SET "personId" = md5('p6')::uuid WHERE "personId" = md5('p9')::uuid;
UPDATE :"w"."person" s SET "jobTitle" = coalesce(nullif(s."jobTitle", ''), o."jobTitle"), "companyId" = o."companyId", "emailsPrimaryEmail" = o."emailsPrimaryEmail",
	"emailsAdditionalEmails" = jsonb_build_array(s."emailsPrimaryEmail")
FROM :"w"."person" o WHERE s."id" = md5('p6')::uuid AND o."id" = md5('p9')::uuid RETURNING s."jobTitle", s."emailsPrimaryEmail", s."emailsAdditionalEmails";
DELETE FROM :"w"."person" WHERE "id" = md5('p9')::uuid;
COMMIT;
CALL crm_check.step('merged');

-- upsert, as the API's createMany does it
INSERT INTO :"w"."person" ("id", "createdAt", "updatedAt", "nameFirstName", "emailsPrimaryEmail", "jobTitle", "createdBySource") VALUES
	(md5('p10')::uuid, '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'Upsert', 'up@example.com', 'CTO', 'API'),
	(md5('p11')::uuid, '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'Upsert', '', 'Student', 'IMPORT'),
	(md5('new1')::uuid, '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'Upsert', 'new@example.com', 'CTO', 'IMPORT')
ON CONFLICT ("id") DO UPDATE SET "emailsPrimaryEmail" = EXCLUDED."emailsPrimaryEmail", "jobTitle" = EXCLUDED."jobTitle", "createdBySource" = EXCLUDED."createdBySource"
RETURNING "nameFirstName", "jobTitle", "createdBySource", xmax = 0 AS inserted;
INSERT INTO :"w"."company" ("id", "name", "domainNamePrimaryLinkUrl", employees, "createdAt", "updatedAt") VALUES (md5('x')::uuid, 'Twice', 'https://company7.example.com', 5, '2025-06-01 12:00+00', '2025-06-01 12:00+00')
ON CONFLICT ("domainNamePrimaryLinkUrl") DO UPDATE SET employees = 700, "idealCustomerProfile" = true RETURNING "name", employees;
INSERT INTO :"w"."company" ("name", "domainNamePrimaryLinkUrl") VALUES ('Twice', 'https://company7.example.com');
INSERT INTO :"w"."person" ("id", "companyId") VALUES (md5('p12')::uuid, md5('nobody')::uuid);
UPDATE :"w"."person" SET "createdBySource" = 'CARRIER_PIGEON' WHERE "id" = md5('p12')::uuid;
UPDATE :"w"."person" SET "searchVector" = '' WHERE "id" = md5('p12')::uuid;
MERGE INTO :"w"."_lead" l USING (VALUES (md5('l10')::uuid, 'SQL'), (md5('l11')::uuid, 'DISQUALIFIED'), (md5('l12')::uuid, NULL), (md5('l999')::uuid, 'MQL')) v(id, s) ON v.id = l.id
WHEN MATCHED AND v.s IS NULL THEN DELETE
WHEN MATCHED THEN UPDATE SET status = v.s::workspace_3ixj3i1a5avy16ptijtb3lae3."_lead_status_enum"
WHEN NOT MATCHED THEN INSERT (id, "createdAt", "updatedAt", name, status, interests)
	VALUES (v.id, '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'Merged', v.s::workspace_3ixj3i1a5avy16ptijtb3lae3."_lead_status_enum", '{SERVICES}');
CALL crm_check.step('upserts');

-- companies change under their people
UPDATE :"w"."company" SET "idealCustomerProfile" = NOT "idealCustomerProfile", "updatedAt" = '2025-06-01 12:03+00' WHERE "id" IN (md5('c2')::uuid, md5('c5')::uuid) RETURNING "name", "idealCustomerProfile";
UPDATE :"w"."company" SET employees = 1000 - coalesce(employees, 0), "addressAddressCountry" = 'Poland' WHERE "id" = md5('c8')::uuid;
CALL crm_check.step('companies are edited');
UPDATE :"w"."company" SET "deletedAt" = '2025-06-01 12:04+00' WHERE "idealCustomerProfile" AND "id" < '50000000-0000-0000-0000-000000000000';
CALL crm_check.step('companies are deleted softly');
UPDATE :"w"."company" SET "deletedAt" = NULL;
CALL crm_check.step('and restored');
BEGIN;
SAVEPOINT s1;
DELETE FROM :"w"."company" WHERE "id" IN (md5('c10')::uuid, md5('c11')::uuid, '00000000-0000-4000-8000-00000000000c') RETURNING "name";
CALL crm_check.step('companies are destroyed, inside');
ROLLBACK TO s1;
CALL crm_check.step('companies are destroyed, rolled back');
DELETE FROM :"w"."company" WHERE "id" = md5('c12')::uuid;
COMMIT;
CALL crm_check.step('a company is destroyed');
UPDATE :"w"."company" SET "id" = md5('other' || "name")::uuid WHERE "id" = md5('c81')::uuid;

-- nothing of note
CALL crm_check.remember();
UPDATE :"w"."person" SET "updatedAt" = '2025-06-01 12:05+00', "position" = "position" + 1, "avatarUrl" = 'https://a.example.com';
UPDATE :"w"."_lead" SET "updatedAt" = '2025-06-01 12:05+00', name = name || '!';
CALL crm_check.untouched('columns that no rule reads', 'twenty_lead', 'twenty_lead_more');
CALL crm_check.remember();
UPDATE :"w"."person" SET "jobTitle" = "jobTitle", "companyId" = "companyId";
UPDATE :"w"."company" SET employees = employees;
CALL crm_check.untouched('the same values again');
CALL crm_check.step('nothing has changed');
DO $$
DECLARE
	n bigint;
	r record;
BEGIN
	UPDATE workspace_3ixj3i1a5avy16ptijtb3lae3.person SET city = 'X', "jobTitle" = 'CTO' WHERE "companyId" = md5('c5')::uuid;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
	FOR r IN INSERT INTO workspace_3ixj3i1a5avy16ptijtb3lae3."_lead" (id, name, status, "createdAt", "updatedAt") SELECT md5('do' || i)::uuid, 'do' || i, 'SAL', '2025-06-01 12:00+00', '2025-06-01 12:00+00'
		FROM generate_series(1, 3) i RETURNING name, status LOOP
		RAISE NOTICE '%', r;
	END LOOP;
	DELETE FROM workspace_3ixj3i1a5avy16ptijtb3lae3."_lead" WHERE name = 'nobody';
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'delete: % rows, found %', n, FOUND;
END
$$;
CALL crm_check.step('a function');

-- the other workspace is another customer's
INSERT INTO workspace_b.person ("id", "createdAt", "updatedAt", "nameFirstName", "emailsPrimaryEmail", "companyId", "createdBySource")
VALUES (md5('b1')::uuid, '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'B', 'b@example.com', md5('c5')::uuid, 'IMPORT') RETURNING "nameFirstName";
UPDATE workspace_b.person SET "emailsPrimaryEmail" = '' WHERE "id" IN (md5('p20')::uuid, md5('p21')::uuid);
UPDATE workspace_b.company SET employees = 900 WHERE "id" IN (md5('c21')::uuid, md5('c22')::uuid);
DELETE FROM workspace_b.company WHERE "id" = md5('c23')::uuid;
UPDATE workspace_b."_lead" SET status = 'SQL', interests = '{SERVICES}' WHERE "id" IN (md5('l20')::uuid, md5('l21')::uuid);
CALL crm_check.step('the other workspace');

-- the time line: linked by the messaging worker, moved, deleted softly and for good
INSERT INTO :"w"."timelineActivity" ("id", "happensAt", "name", "properties", "targetPersonId") VALUES
	('00000000-0000-4000-8000-0000000000a1', '2026-05-30 10:00+00', 'calendarEvent.linked', '{}', md5('p70')::uuid),
	('00000000-0000-4000-8000-0000000000a2', '2026-05-30 10:00+00', 'message.linked', '{}', md5('p71')::uuid),
	('00000000-0000-4000-8000-0000000000a3', '2999-05-30 10:00+00', 'calendarEvent.linked', NULL, md5('p72')::uuid),
	('00000000-0000-4000-8000-0000000000a4', '2026-05-30 10:00+00', 'calendarEvent.linked', NULL, NULL) RETURNING "id", "name", "happensAt";
CALL crm_check.step('the time line');
INSERT INTO :"w"."timelineActivity" ("id", "happensAt", "name", "targetPersonId") VALUES ('00000000-0000-4000-8000-0000000000a1', '2026-06-01 10:00+00', 'calendarEvent.linked', md5('p73')::uuid), (md5('a5')::uuid, '2026-06-01 10:00+00', 'x', md5('p74')::uuid)
ON CONFLICT ("id") DO UPDATE SET "happensAt" = EXCLUDED."happensAt", "targetPersonId" = EXCLUDED."targetPersonId" RETURNING "id", xmax = 0 AS inserted;
INSERT INTO :"w"."timelineActivity" ("name", "targetPersonId") VALUES ('calendarEvent.linked', md5('nobody')::uuid);
UPDATE :"w"."timelineActivity" SET "deletedAt" = '2026-06-01 12:00+00' WHERE "targetPersonId" = md5('p75')::uuid;
UPDATE :"w"."timelineActivity" SET properties = '{"diff": {}}' WHERE name = 'person.updated';
DELETE FROM :"w"."timelineActivity" WHERE "targetPersonId" = md5('p76')::uuid;
CALL crm_check.step('events are upserted and deleted');
-- a person is destroyed: its events stay, without it; a new one with the same id has none
DELETE FROM :"w"."person" WHERE "id" IN (md5('p77')::uuid, md5('p78')::uuid);
INSERT INTO :"w"."person" ("id", "nameFirstName", "emailsPrimaryEmail") VALUES (md5('p77')::uuid, 'Again', 'again@example.com');
CALL crm_check.step('a person is destroyed and made again');
BEGIN;
INSERT INTO :"w"."person" ("id", "nameFirstName", "emailsPrimaryEmail") VALUES (md5('p300')::uuid, 'Meets', 'meets@example.com');
INSERT INTO :"w"."timelineActivity" ("id", "happensAt", "name", "targetPersonId") SELECT md5('meets' || i)::uuid, '2026-06-02 10:00+00', 'calendarEvent.linked', md5('p300')::uuid FROM generate_series(1, 3) i;
UPDATE :"w"."timelineActivity" SET "targetPersonId" = md5('p300')::uuid WHERE "targetPersonId" = md5('p79')::uuid;
COMMIT;
CALL crm_check.step('a person and its events');
INSERT INTO workspace_b."timelineActivity" ("id", "happensAt", "name", "targetPersonId") VALUES (md5('b')::uuid, '2026-06-02 10:00+00', 'calendarEvent.linked', md5('p70')::uuid);
TRUNCATE workspace_b."timelineActivity";
CALL crm_check.step('events in the other workspace');

-- options of fields are edited: enum types are rebuilt
\c - :owner
SET search_path = workspace_3ixj3i1a5avy16ptijtb3lae3, pg_catalog;
CREATE TYPE "_lead_interests_enum_new" AS ENUM ('ADD_ON', 'PLATFORM', 'SERVICES', 'TRAINING');
ALTER TABLE "_lead" ALTER COLUMN interests TYPE "_lead_interests_enum_new"[] USING interests::text[]::"_lead_interests_enum_new"[];
DROP TYPE "_lead_interests_enum";
ALTER TYPE "_lead_interests_enum_new" RENAME TO "_lead_interests_enum";
BEGIN;
CREATE TYPE "_lead_status_enum_new" AS ENUM ('NEW', 'CONTACTED', 'MQL', 'SAL', 'SQL', 'WON', 'DISQUALIFIED');
ALTER TABLE "_lead" ALTER COLUMN status DROP DEFAULT;
ALTER TABLE "_lead" ALTER COLUMN status TYPE "_lead_status_enum_new" USING status::text::"_lead_status_enum_new";
ALTER TABLE "_lead" ALTER COLUMN status SET DEFAULT 'NEW';
DROP TYPE "_lead_status_enum";
ALTER TYPE "_lead_status_enum_new" RENAME TO "_lead_status_enum";
COMMIT;
CALL crm_check.step('options of two fields are edited');
\c - :app
UPDATE :"w"."_lead" SET status = 'WON' WHERE "id" = md5('l30')::uuid RETURNING name, status;
UPDATE :"w"."_lead" SET interests = '{TRAINING,PLATFORM}' WHERE "id" IN (md5('l31')::uuid, md5('l32')::uuid) RETURNING interests;
INSERT INTO :"w"."_lead" ("id", name, "createdAt", "updatedAt") VALUES (md5('after')::uuid, 'After', '2025-06-01 12:00+00', '2025-06-01 12:00+00') RETURNING status;
CALL crm_check.step('the new options are used');
\c - :owner
SET search_path = workspace_3ixj3i1a5avy16ptijtb3lae3, pg_catalog;
CREATE TYPE "person_createdBySource_enum_new" AS ENUM ('EMAIL', 'CALENDAR', 'API', 'IMPORT', 'MANUAL', 'AGENT');
ALTER TABLE person ALTER COLUMN "createdBySource" DROP DEFAULT;
ALTER TABLE person ALTER COLUMN "createdBySource" TYPE "person_createdBySource_enum_new" USING "createdBySource"::text::"person_createdBySource_enum_new";
ALTER TABLE person ALTER COLUMN "createdBySource" SET DEFAULT 'MANUAL';
DROP TYPE "person_createdBySource_enum";
ALTER TYPE "person_createdBySource_enum_new" RENAME TO "person_createdBySource_enum";
-- in another way: the new column takes the name
BEGIN;
CREATE TYPE "_lead_rating_enum_new" AS ENUM ('RATING_1', 'RATING_2', 'RATING_3', 'RATING_4', 'RATING_5', 'RATING_6');
ALTER TABLE "_lead" RENAME COLUMN rating TO old_rating;
ALTER TABLE "_lead" ADD COLUMN rating "_lead_rating_enum_new";
UPDATE "_lead" SET rating = old_rating::text::"_lead_rating_enum_new";
ALTER TABLE "_lead" DROP COLUMN old_rating;
DROP TYPE "_lead_rating_enum";
ALTER TYPE "_lead_rating_enum_new" RENAME TO "_lead_rating_enum";
COMMIT;
-- an option of a rule is renamed: that is another option
ALTER TYPE "_lead_status_enum" RENAME VALUE 'MQL' TO 'MARKETING';
\c - :app
INSERT INTO :"w"."person" ("id", "createdAt", "updatedAt", "nameFirstName", "emailsPrimaryEmail", "createdBySource") VALUES
	(md5('agent')::uuid, '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'Agent', 'a@example.com', 'AGENT'),
	(md5('robot')::uuid, '2025-06-01 12:00+00', '2025-06-01 12:00+00', 'Robot', 'r@example.com', 'IMPORT') RETURNING "createdBySource";
UPDATE :"w"."_lead" SET status = 'MARKETING', rating = 'RATING_6' WHERE "id" IN (md5('l40')::uuid, md5('l41')::uuid) RETURNING status, rating;
UPDATE :"w"."_lead" SET status = 'SQL', rating = 'RATING_4' WHERE "id" IN (md5('l42')::uuid, md5('l43')::uuid) RETURNING status, rating;
CALL crm_check.stale('an option of a rule is renamed', 'twenty_lead_more');
\c - :owner
CALL crm_check.ours('the rule gets the new name of the option', $$UPDATE leadscore.rule SET condition = 'status = ''MARKETING''' WHERE model = 'twenty_lead_more' AND parameter = 'MQL'$$);
CALL crm_check.ours('the rules are enabled', $$UPDATE leadscore.rule SET enabled = true WHERE NOT enabled$$);
\! $CRM_OTHER "CALL leadscore.rescore('twenty_lead_more')"
CALL crm_check.step('options have new names');

-- keys of another type
ALTER TABLE workspace_b."_lead" ALTER COLUMN id DROP DEFAULT, ALTER COLUMN id TYPE text;
\c - :app
INSERT INTO workspace_b."_lead" ("id", name, status, "createdAt", "updatedAt") VALUES ('no uuid', 'Text', 'SQL', '2025-06-01 12:00+00', '2025-06-01 12:00+00') RETURNING id;
UPDATE workspace_b."_lead" SET status = 'SAL' WHERE id = md5('l50')::uuid::text RETURNING name;
DELETE FROM workspace_b."_lead" WHERE id = md5('l51')::uuid::text;
CALL crm_check.step('keys of another type');
\c - :owner
\! $CRM_OTHER "CALL leadscore.rescore('twenty_lead_b')"
CALL crm_check.doctor('the doctor is content', 'twenty_lead_b');

-- a workspace is deleted
CALL crm_check.ours('the view of a workspace goes', 'DROP VIEW scoring.person_b');
SET client_min_messages = warning;
DROP SCHEMA workspace_b CASCADE;
RESET client_min_messages;
CALL crm_check.doctor('the doctor misses the workspace', 'twenty_b', 'target_missing');
CALL crm_check.ours('its models are detached', $$SELECT leadscore.detach('twenty_b'), leadscore.detach('twenty_lead_b')$$);
CALL crm_check.step('a workspace is deleted');
\c - :app
UPDATE :"w"."person" SET "jobTitle" = 'Founder' WHERE "id" = md5('p60')::uuid;
TRUNCATE :"w"."_lead";
CALL crm_check.step('the other goes on');
