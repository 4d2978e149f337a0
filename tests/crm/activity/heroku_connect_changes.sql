-- What happens to a mirror's tables of events: fields leave the mapping, an object
-- is mapped anew (another table of the same name), rows are read in again.
ALTER TABLE salesforce.task ADD COLUMN outcome__c varchar(255), DROP COLUMN calldurationinseconds, ALTER COLUMN whoid TYPE varchar(20);
INSERT INTO salesforce.task (sfid, whoid, tasksubtype, isclosed, activitydate) SELECT '00Tnew' || id, sfid, 'Call', true, now() FROM salesforce.lead WHERE id BETWEEN 1 AND 5;
INSERT INTO salesforce.task (sfid, whoid, tasksubtype, isclosed, activitydate) VALUES ('00Tcontact', '003000000000001AAA', 'Call', true, now()), ('00Tnobody', NULL, 'Call', true, now());
SELECT crm_check.holds('salesforce', 'the mapping is edited');
-- a lead that waits for its key does nothing until it has one
INSERT INTO salesforce.lead (lastname, title) VALUES ('Waits', 'CEO');
INSERT INTO salesforce.campaignmember (leadid, status, isdeleted, createddate) VALUES ('00Q00000000waitAAA', 'Attended', false, now());
UPDATE salesforce.lead SET sfid = '00Q00000000waitAAA' WHERE lastname = 'Waits';
SELECT crm_check.holds('salesforce', 'a lead gets the key that its event has');
SELECT crm_check.so('salesforce: and the event counts', (SELECT engagement_points = 20 FROM leadscore.salesforce_state WHERE lead_key = '00Q00000000waitAAA'));
-- read in again
BEGIN;
CREATE TEMP TABLE kept AS SELECT * FROM salesforce.campaignmember;
TRUNCATE salesforce.campaignmember;
INSERT INTO salesforce.campaignmember SELECT * FROM kept WHERE id % 3 <> 0;
COMMIT;
SELECT crm_check.holds('salesforce', 'a table is read in again');
ALTER TABLE salesforce.task DROP COLUMN activitydate;
INSERT INTO salesforce.task (sfid, whoid, tasksubtype, isclosed) SELECT '00Tday' || id, sfid, 'Call', true FROM salesforce.lead WHERE id BETWEEN 6 AND 9;
CALL leadscore.rescore('salesforce');
SELECT crm_check.holds('salesforce', 'the day of a task leaves the mapping', 'completed call in 30 days');
ALTER TABLE salesforce.task ADD COLUMN activitydate date;
UPDATE salesforce.task SET activitydate = now() - interval '3 days' WHERE id % 7 = 0;
CALL leadscore.rescore('salesforce');
SELECT crm_check.holds('salesforce', 'and comes back');
-- mapped anew
BEGIN;
CREATE TABLE salesforce.campaignmember_new (LIKE salesforce.campaignmember INCLUDING ALL);
INSERT INTO salesforce.campaignmember_new SELECT * FROM salesforce.campaignmember WHERE id % 2 = 0;
ALTER TABLE salesforce.campaignmember RENAME TO campaignmember_old;
ALTER TABLE salesforce.campaignmember_new RENAME TO campaignmember;
GRANT SELECT ON salesforce.campaignmember TO :reader;
COMMIT;
SELECT crm_check.doctor('salesforce', 'sees that another table has the name', true);
ALTER SEQUENCE salesforce.campaignmember_id_seq OWNED BY salesforce.campaignmember.id;
DROP TABLE salesforce.campaignmember_old;
INSERT INTO salesforce.campaignmember (leadid, status, isdeleted, createddate) SELECT sfid, 'Attended', false, now() FROM salesforce.lead WHERE id BETWEEN 10 AND 15;
UPDATE leadscore.activity_source SET relation = 'salesforce.campaignmember' WHERE model = 'salesforce' AND name = 'campaign';
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
SELECT leadscore.repair('salesforce') IS NULL AS is_null \gset
CALL leadscore.rescore('salesforce');
SELECT crm_check.holds('salesforce', 'the source is pointed to the new table');
INSERT INTO salesforce.campaignmember (leadid, status, isdeleted, createddate) SELECT sfid, 'Attended', false, now() FROM salesforce.lead WHERE id BETWEEN 16 AND 18;
SELECT crm_check.holds('salesforce', 'which is written');
SELECT crm_check.doctor('salesforce', 'is content', false);
