-- What Twenty does to its time line: columns for new objects, fields that are
-- deleted, deletions that are flags first.
SET search_path = workspace_3ixj3i1a5avy16ptijtb3lae3, pg_catalog;
ALTER TABLE "timelineActivity" ADD COLUMN "targetLeadId" uuid, ALTER COLUMN name TYPE varchar(200), ALTER COLUMN "happensAt" TYPE timestamptz(3);
INSERT INTO "timelineActivity" (name, "targetPersonId") VALUES ('calendarEvent.linked', md5('p1')::uuid), ('calendarEvent.linked', NULL);
SELECT crm_check.holds('twenty', 'an object is made');
UPDATE "timelineActivity" SET "deletedAt" = now() WHERE "targetPersonId" < '80000000-0000-0000-0000-000000000000';
SELECT crm_check.holds('twenty', 'events are deleted softly');
DELETE FROM "timelineActivity" WHERE "deletedAt" IS NOT NULL;
SELECT crm_check.holds('twenty', 'and destroyed');
DELETE FROM person WHERE id > '80000000-0000-0000-0000-000000000000' AND id < 'a0000000-0000-0000-0000-000000000000';
SELECT crm_check.so('twenty: people are destroyed, their events stay without a person',
	(SELECT bool_and("targetPersonId" IS NULL) FROM "timelineActivity" WHERE "targetPersonId" BETWEEN '80000000-0000-0000-0000-000000000000' AND 'a0000000-0000-0000-0000-000000000000') IS NOT FALSE);
SELECT crm_check.holds('twenty', 'people are destroyed');
-- the filter's column goes
ALTER TABLE "timelineActivity" DROP COLUMN "deletedAt";
INSERT INTO "timelineActivity" (name, "targetPersonId") VALUES ('calendarEvent.linked', md5('p2')::uuid);
CALL leadscore.rescore('twenty');
SELECT crm_check.holds('twenty', 'the column of a filter is dropped', 'calendar event in 30 days');
ALTER TABLE "timelineActivity" ADD COLUMN "deletedAt" timestamptz;
CALL leadscore.rescore('twenty');
SELECT crm_check.holds('twenty', 'and comes back');
TRUNCATE "timelineActivity";
SELECT crm_check.holds('twenty', 'the time line is emptied');
