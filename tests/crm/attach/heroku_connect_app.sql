-- What happens in a Heroku Connect mirror: an application writes rows that have no
-- sfid yet, the sync writes all others, with another xmlbinary, and its triggers
-- log what is to be sent to Salesforce.
SET search_path = salesforce, pg_catalog;

-- the application: logged, to be sent
INSERT INTO lead (firstname, lastname, title, company, email, leadsource, status, industry, numberofemployees, external_id__c) VALUES
	('Li', 'New', 'VP Sales', 'Li Ltd', 'li@example.com', 'Web', 'Open - Not Contacted', 'Banking', 900, 'ext-281'),
	('Mo', 'New', 'CTO', 'Mo Ltd', 'mo@example.com', 'Purchased List', 'Open - Not Contacted', 'Technology', 5, 'ext-282') RETURNING id, sfid, lastname;
SELECT lastval(), currval('lead_id_seq');
SELECT id, table_name, action, record_id, sfid, state FROM _trigger_log ORDER BY id;
CALL crm_check.step('rows that wait for their key');
UPDATE lead SET title = 'CEO', rating = 'Hot' WHERE external_id__c = 'ext-281' RETURNING id, sfid, title;
CALL crm_check.step('and are changed meanwhile');
-- the sync: the row gets its key, the log is worked off
BEGIN;
SET LOCAL xmlbinary = 'hex';
UPDATE lead SET sfid = '00Q000000000281AAA', _hc_lastop = 'SYNCED', createddate = '2025-06-01 12:00:00', systemmodstamp = '2025-06-01 12:00:00' WHERE id = 281;
UPDATE _trigger_log SET state = 'SUCCESS' WHERE record_id = 281;
COMMIT;
CALL crm_check.step('a row gets its key');
BEGIN;
SET LOCAL xmlbinary = 'hex';
UPDATE lead SET sfid = '00Q000000000282AAA' WHERE id = 282 RETURNING id, sfid;
UPDATE lead SET sfid = NULL, _hc_lastop = 'FAILED', _hc_err = '{"msg":"x"}' WHERE id = 282 RETURNING id, sfid;
CALL crm_check.step('it is taken away again, inside');
UPDATE lead SET sfid = '00Q00000000282bAAA', _hc_err = NULL, numberofemployees = 700 WHERE id = 282;
COMMIT;
CALL crm_check.step('a row gets its key at the second try');

-- upserts of the sync, by the lasting key
BEGIN;
SET LOCAL xmlbinary = 'hex';
INSERT INTO lead (sfid, lastname, title, leadsource, industry, numberofemployees, isdeleted, hasoptedoutofemail, systemmodstamp, _hc_lastop) VALUES
	('00Q'||substr(md5('l1'),1,15), 'Test1', 'Director of all', 'Web', 'Banking', 501, false, false, '2025-06-01 12:01:00', 'SYNCED'),
	('00Q'||substr(md5('l2'),1,15), 'Test2', 'Student', 'Purchased List', NULL, NULL, false, true, '2025-06-01 12:01:00', 'SYNCED'),
	('00Q000000000283AAA', 'New', 'vp of something', 'Web', 'Technology', 500, false, NULL, '2025-06-01 12:01:00', 'SYNCED')
ON CONFLICT (sfid) DO UPDATE SET title = EXCLUDED.title, leadsource = EXCLUDED.leadsource, industry = EXCLUDED.industry, numberofemployees = EXCLUDED.numberofemployees,
	isdeleted = EXCLUDED.isdeleted, hasoptedoutofemail = EXCLUDED.hasoptedoutofemail, systemmodstamp = EXCLUDED.systemmodstamp
RETURNING sfid, title, xmax = 0 AS inserted;
CALL crm_check.step('a sync, inside');
COMMIT;
CALL crm_check.step('a sync');
SELECT count(*) AS logged FROM _trigger_log;
-- deleted, merged away, converted, bounced
BEGIN;
SET LOCAL xmlbinary = 'hex';
UPDATE lead SET isdeleted = true WHERE id IN (10, 11);
UPDATE lead SET isdeleted = true, masterrecordid = '00Q'||substr(md5('l13'),1,15) WHERE id = 12;
UPDATE lead SET title = 'Director', annualrevenue = 9e6, product_interest__c = 'Platform;Services' WHERE id = 13;
UPDATE lead SET isconverted = true, status = 'Closed - Converted', converteddate = '2025-06-01' WHERE id IN (14, 15);
UPDATE lead SET emailbounceddate = '2025-06-01 12:02:00', emailbouncedreason = '550' WHERE id = 16;
UPDATE lead SET isdeleted = false, emailbounceddate = NULL WHERE id IN (11, 26);
DELETE FROM lead WHERE id IN (17, 18, 50) RETURNING id, sfid;
COMMIT;
CALL crm_check.step('deleted, merged, converted');
-- Salesforce's 15 characters become 18: all keys change in one statement
BEGIN;
SET LOCAL xmlbinary = 'hex';
UPDATE lead SET sfid = left(sfid, 15) || 'AAA' WHERE length(sfid) = 18;
CALL crm_check.step('all keys change, inside');
COMMIT;
CALL crm_check.step('all keys change');
-- two rows swap their keys, by way of NULL
BEGIN;
SET LOCAL xmlbinary = 'hex';
CREATE TEMP TABLE two ON COMMIT DROP AS SELECT id, sfid FROM lead WHERE id IN (20, 21);
UPDATE lead SET sfid = NULL WHERE id IN (20, 21);
UPDATE lead l SET sfid = t.sfid FROM two t WHERE l.id = 41 - t.id RETURNING l.id, l.sfid;
COMMIT;
CALL crm_check.step('two keys are swapped');
INSERT INTO lead (sfid, lastname) SELECT sfid, 'Taken' FROM lead WHERE id = 30;
UPDATE lead SET sfid = (SELECT sfid FROM lead WHERE id = 30) WHERE id = 31;
INSERT INTO lead (sfid, lastname) VALUES ('a key that is longer than 18', 'Long');

MERGE INTO lead l USING (VALUES ('ext-32', 'CFO'), ('ext-33', NULL), ('ext-999', 'VP')) v(x, t) ON v.x = l.external_id__c
WHEN MATCHED AND v.t IS NULL THEN DELETE
WHEN MATCHED THEN UPDATE SET title = v.t
WHEN NOT MATCHED THEN INSERT (external_id__c, title, lastname) VALUES (v.x, v.t, 'Merged');
UPDATE lead SET sfid = '00Q000000000999AAA' WHERE external_id__c = 'ext-999';
COPY lead (sfid, lastname, title, numberofemployees, industry) FROM stdin;
00Q0000000copy1AAA	Copy	CEO	600	Banking
\N	Copy	CEO	600	Banking
00Q0000000copy3AAA	Copy	\N	\N	\N
\.
SELECT lastval();
CALL crm_check.step('MERGE and COPY');
SELECT count(*) AS logged FROM _trigger_log;

CALL crm_check.remember();
BEGIN;
SET LOCAL xmlbinary = 'hex';
UPDATE lead SET systemmodstamp = '2025-06-01 12:05:00', _hc_lastop = 'SYNCED';
CALL crm_check.untouched('a poll that brings nothing new');
UPDATE lead SET title = title, status = status, sfid = sfid, isdeleted = isdeleted;
COMMIT;
CALL crm_check.untouched('the same values again');
BEGIN;
UPDATE lead SET sfid = 'x' || id, title = 'CEO';
SAVEPOINT a;
DELETE FROM lead WHERE id % 2 = 0;
CALL crm_check.step('half is deleted, inside');
ROLLBACK TO a;
CALL crm_check.step('and back, inside');
ROLLBACK;
CALL crm_check.untouched('all is rolled back');
DO $$
DECLARE
	n bigint;
	r record;
BEGIN
	UPDATE salesforce.lead SET rating = 'Cold', title = 'Director' WHERE country = 'India';
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
	INSERT INTO salesforce.lead (lastname) VALUES ('Do') RETURNING id, sfid, lastname INTO r;
	RAISE NOTICE '% %', r, currval('salesforce.lead_id_seq') = r.id;
	UPDATE salesforce.lead SET sfid = 'do' WHERE id = r.id;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
END
$$;
CALL crm_check.step('a function');

-- a reload: emptied, and the same leads come under other numbers
BEGIN;
SET LOCAL xmlbinary = 'hex';
CREATE TEMP TABLE kept AS SELECT * FROM lead;
TRUNCATE lead;
CALL crm_check.step('emptied');
ROLLBACK;
BEGIN;
SET LOCAL xmlbinary = 'hex';
CREATE TEMP TABLE kept AS SELECT * FROM lead;
TRUNCATE lead;
UPDATE kept SET id = 10000 - id;
INSERT INTO lead SELECT * FROM kept ORDER BY id;
COMMIT;
CALL crm_check.step('reloaded with other numbers');
BEGIN;
SET LOCAL xmlbinary = 'hex';
DELETE FROM lead;
UPDATE kept SET id = 20000 - id, title = CASE WHEN id % 3 = 0 THEN 'CEO' ELSE title END;
INSERT INTO lead SELECT * FROM kept ORDER BY id DESC;
CALL crm_check.step('deleted and inserted, inside');
COMMIT;
CALL crm_check.step('deleted and inserted');
-- any role may drop its own tables
DROP TABLE kept;
BEGIN;
TRUNCATE lead;
COPY lead (id, sfid, lastname, title, leadsource) FROM stdin;
1	00Q000000000001AAA	Only	VP	Web
2	\N	Waiting	CEO	Web
\.
CALL crm_check.step('read in by COPY, inside');
ROLLBACK;
CALL crm_check.step('not read in');

-- tasks and campaigns: before their lead has its key, by the sync, deleted by a flag
BEGIN;
SET LOCAL xmlbinary = 'hex';
INSERT INTO task (sfid, whoid, tasksubtype, isclosed, isdeleted, activitydate, createddate) VALUES
	('00T0000000000a1AAA', (SELECT sfid FROM lead WHERE id = 101), 'Call', true, false, '2026-05-30', '2026-05-30 10:00'), ('00T0000000000a2AAA', (SELECT sfid FROM lead WHERE id = 102), 'Call', false, false, '2026-05-30', '2026-05-30 10:00'),
	('00T0000000000a3AAA', '00Q000000000comAAA', 'Call', true, false, '2026-05-30', '2026-05-30 10:00'), ('00T0000000000a4AAA', NULL, 'Call', true, false, '2026-05-30', NULL) RETURNING id, sfid;
INSERT INTO campaignmember (sfid, leadid, status, isdeleted, firstrespondeddate, createddate) VALUES ('00v0000000000a1AAA', '00Q000000000comAAA', 'Attended', false, NULL, '2026-05-29 08:00') RETURNING id;
COMMIT;
CALL crm_check.step('tasks, and events of a lead that is not there');
INSERT INTO lead (lastname, title, external_id__c) VALUES ('Comes', 'CEO', 'ext-comes') RETURNING id, sfid;
BEGIN;
SET LOCAL xmlbinary = 'hex';
UPDATE lead SET sfid = '00Q000000000comAAA' WHERE external_id__c = 'ext-comes' RETURNING sfid;
COMMIT;
CALL crm_check.step('the lead gets the key that they have');
INSERT INTO task (sfid, whoid, tasksubtype, isclosed, activitydate) VALUES ('00T0000000000a1AAA', '00Q000000000comAAA', 'Call', true, '2026-06-01'), ('00T0000000000a5AAA', '00Q000000000comAAA', 'Call', true, '2999-06-01')
ON CONFLICT (sfid) DO UPDATE SET whoid = EXCLUDED.whoid, activitydate = EXCLUDED.activitydate RETURNING sfid, xmax = 0 AS inserted;
UPDATE task SET isclosed = true, status = 'Completed' WHERE sfid = '00T0000000000a2AAA';
UPDATE task SET systemmodstamp = '2026-06-01 12:00', _hc_lastop = 'SYNCED';
UPDATE campaignmember SET isdeleted = NOT isdeleted WHERE id % 10 = 0;
DELETE FROM task WHERE isdeleted;
CALL crm_check.step('tasks are done, members deleted');
BEGIN;
CREATE TEMP TABLE tasks ON COMMIT DROP AS SELECT * FROM task;
TRUNCATE task;
INSERT INTO task SELECT * FROM tasks WHERE id % 2 = 0;
COMMIT;
CALL crm_check.step('tasks are read in again');

-- the mapping is edited
\c - :owner
ALTER TABLE salesforce.lead ADD COLUMN budget__c double precision, DROP COLUMN rating;
ALTER TABLE salesforce.lead ALTER COLUMN numberofemployees TYPE bigint, ALTER COLUMN sfid TYPE varchar(20);
\c - :app
UPDATE salesforce.lead SET budget__c = id, numberofemployees = 3000000000 WHERE title = 'CEO';
CALL crm_check.step('the mapping is edited');
\c - :owner
ALTER TABLE salesforce.lead DROP COLUMN product_interest__c, DROP COLUMN lead_score__c;
\c - :app
UPDATE salesforce.lead SET annualrevenue = 9e6 WHERE leadsource = 'Web';
INSERT INTO salesforce.lead (sfid, lastname, title) VALUES ('00Q00000000mappAAA', 'Mapped', 'CEO') RETURNING sfid;
CALL crm_check.stale('fields of rules leave the mapping', 'salesforce_more');
\c - :owner
ALTER TABLE salesforce.lead ADD COLUMN product_interest__c varchar(4099), ADD COLUMN lead_score__c double precision;
UPDATE salesforce.lead SET product_interest__c = 'Platform;x', lead_score__c = 60 WHERE id % 2 = 0;
CALL crm_check.ours('the rules are enabled', $$UPDATE leadscore.rule SET enabled = true WHERE NOT enabled$$);
\! $CRM_OTHER "CALL leadscore.rescore('salesforce_more')"
CALL crm_check.step('they come back');

-- the mapping is deleted and made again: another table of the same name
CREATE TABLE salesforce.lead_new (LIKE salesforce.lead INCLUDING ALL);
INSERT INTO salesforce.lead_new SELECT * FROM salesforce.lead WHERE id % 5 <> 0;
ALTER SEQUENCE salesforce.lead_id_seq OWNED BY salesforce.lead_new.id;
DROP TABLE salesforce.lead;
\c - :app
-- nothing is there, for a while
SELECT count(*) FROM salesforce.lead;
\c - :owner
CALL crm_check.doctor('the doctor misses the table', 'salesforce', 'target_missing');
ALTER TABLE salesforce.lead_new RENAME TO lead;
GRANT ALL ON salesforce.lead TO :app;
\c - :app
INSERT INTO salesforce.lead (sfid, lastname, title) VALUES ('00Q00000000swapAAA', 'Swapped', 'CEO') RETURNING id, sfid;
UPDATE salesforce.lead SET title = 'VP' WHERE leadsource = 'Trade Show';
\c - :owner
CALL crm_check.doctor('the doctor sees another table of that name', 'salesforce', 'target_swapped');
CALL crm_check.ours('the models are mended', $$SELECT leadscore.repair('salesforce'), leadscore.repair('salesforce_more')$$);
CALL crm_check.step('the new table');
CALL crm_check.doctor('the doctor is content', 'salesforce');
CALL crm_check.doctor('the doctor is content', 'salesforce_more');
\c - :app
UPDATE salesforce.lead SET title = 'Director', sfid = 'y' || id WHERE sfid IS NOT NULL AND id % 2 = 0;
CALL crm_check.step('is written');
TRUNCATE salesforce.lead;
CALL crm_check.step('and emptied');
