-- What Twenty does to its tables: a field whose options change gets a new enum
-- type, and each workspace is a schema of its own.
SET search_path = workspace_3ixj3i1a5avy16ptijtb3lae3, pg_catalog;
PREPARE hot AS SELECT sum(leadscore.score('twenty_lead_more', l)) FROM "_lead" l;
CREATE TEMP TABLE before AS EXECUTE hot;

-- an array of an enum, and one with a default
CREATE TYPE "_lead_interests_enum_new" AS ENUM ('ADD_ON', 'PLATFORM', 'SERVICES', 'TRAINING');
ALTER TABLE "_lead" ALTER COLUMN interests TYPE "_lead_interests_enum_new"[] USING interests::text[]::"_lead_interests_enum_new"[];
DROP TYPE "_lead_interests_enum";
ALTER TYPE "_lead_interests_enum_new" RENAME TO "_lead_interests_enum";
SELECT crm_check.holds('twenty_lead', 'the options of a multi-select change');
BEGIN;
CREATE TYPE "_lead_status_enum_new" AS ENUM ('NEW', 'CONTACTED', 'MQL', 'SAL', 'SQL', 'WON', 'DISQUALIFIED');
ALTER TABLE "_lead" ALTER COLUMN status DROP DEFAULT;
ALTER TABLE "_lead" ALTER COLUMN status TYPE "_lead_status_enum_new" USING status::text::"_lead_status_enum_new";
ALTER TABLE "_lead" ALTER COLUMN status SET DEFAULT 'NEW';
DROP TYPE "_lead_status_enum";
ALTER TYPE "_lead_status_enum_new" RENAME TO "_lead_status_enum";
COMMIT;
SELECT crm_check.holds('twenty_lead_more', 'the options of a select change');
CREATE TEMP TABLE after AS EXECUTE hot;
SELECT crm_check.so('twenty: a prepared statement goes on', (SELECT b FROM before b) IS NOT DISTINCT FROM (SELECT a FROM after a));

-- the same where a view reads the table, but does not name the column
CREATE TYPE "person_createdBySource_enum_new" AS ENUM ('EMAIL', 'CALENDAR', 'API', 'IMPORT', 'MANUAL', 'AGENT');
ALTER TABLE person ALTER COLUMN "createdBySource" DROP DEFAULT;
ALTER TABLE person ALTER COLUMN "createdBySource" TYPE "person_createdBySource_enum_new"
	USING "createdBySource"::text::"person_createdBySource_enum_new";
ALTER TABLE person ALTER COLUMN "createdBySource" SET DEFAULT 'MANUAL';
DROP TYPE "person_createdBySource_enum";
ALTER TYPE "person_createdBySource_enum_new" RENAME TO "person_createdBySource_enum";
SELECT crm_check.holds('twenty', 'the options of a select behind a view change');

-- the other way to rebuild it: a new column takes the name over
BEGIN;
CREATE TYPE "_lead_rating_enum_new" AS ENUM ('RATING_1', 'RATING_2', 'RATING_3', 'RATING_4', 'RATING_5', 'RATING_6');
ALTER TABLE "_lead" RENAME COLUMN rating TO old_rating;
ALTER TABLE "_lead" ADD COLUMN rating "_lead_rating_enum_new";
UPDATE "_lead" SET rating = old_rating::text::"_lead_rating_enum_new";
ALTER TABLE "_lead" DROP COLUMN old_rating;
DROP TYPE "_lead_rating_enum";
ALTER TYPE "_lead_rating_enum_new" RENAME TO "_lead_rating_enum";
COMMIT;
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
SELECT crm_check.holds('twenty_lead_more', 'a new column takes over the name of a select, and the rule is enabled');

-- options come, are renamed and go
ALTER TYPE "_lead_status_enum" ADD VALUE 'NURTURE' AFTER 'CONTACTED';
UPDATE "_lead" SET status = 'NURTURE' WHERE status = 'NEW';
SELECT crm_check.holds('twenty_lead_more', 'an option is added');
ALTER TYPE "_lead_status_enum" RENAME VALUE 'MQL' TO 'MARKETING';
SELECT crm_check.holds('twenty_lead_more', 'an option of a rule is renamed', 'MQL');
CREATE TYPE "_lead_status_enum_new" AS ENUM ('NEW', 'CONTACTED', 'NURTURE', 'MARKETING', 'SQL', 'WON', 'DISQUALIFIED');
ALTER TABLE "_lead" ALTER COLUMN status DROP DEFAULT;
ALTER TABLE "_lead" ALTER COLUMN status TYPE "_lead_status_enum_new" USING replace(status::text, 'SAL', 'SQL')::"_lead_status_enum_new";
DROP TYPE "_lead_status_enum";
ALTER TYPE "_lead_status_enum_new" RENAME TO "_lead_status_enum";
SELECT crm_check.holds('twenty_lead_more', 'an option of a rule is dropped', 'MQL', 'SAL or SQL');

-- generated columns can be read, and no whole row holds them up
INSERT INTO leadscore.factor (model, name, axis) VALUES ('twenty_lead_more', 'search', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('twenty_lead_more', 'search', 'found', $$"searchVector" @@ '42'::tsquery$$, 3);
SELECT crm_check.holds('twenty_lead_more', 'a rule reads a generated column', 'MQL', 'SAL or SQL');

-- the next workspace has types and tables of the same names
CREATE SCHEMA workspace_b;
CREATE TYPE workspace_b."_lead_interests_enum" AS ENUM ('SERVICES', 'PLATFORM');
CREATE TABLE workspace_b."_lead" (id uuid PRIMARY KEY, interests workspace_b."_lead_interests_enum"[], name text);
INSERT INTO workspace_b."_lead" VALUES (md5('1')::uuid, '{SERVICES}'), (md5('2')::uuid, '{SERVICES,PLATFORM}'), (md5('3')::uuid, NULL);
SELECT leadscore.copy_model('twenty_lead', 'workspace_b') \gset
UPDATE leadscore.model SET target = 'workspace_b."_lead"' WHERE name = 'workspace_b';
SELECT crm_check.so('twenty: a copy of the matrix scores another workspace',
	(SELECT array_agg(leadscore.score('workspace_b', l) ORDER BY name, id = md5('2')::uuid) = '{0,0,8}' FROM workspace_b."_lead" l)
	AND NOT EXISTS (SELECT FROM leadscore.problem WHERE model = 'workspace_b'));
DROP SCHEMA workspace_b CASCADE;
SELECT crm_check.so('twenty: a deleted workspace is recorded',
	(SELECT count(*) = 1 FROM leadscore.problem WHERE model = 'workspace_b' AND rule IS NULL));
SELECT crm_check.holds('twenty', 'another workspace is deleted');
