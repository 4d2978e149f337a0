-- What Heroku Connect does to its tables: edits of the mapping add and drop
-- columns, a reload empties the table and gives every row another id, and what
-- is written into it goes to Salesforce.
SELECT count(*) AS logged FROM salesforce._trigger_log \gset
SELECT sum(leadscore.score('salesforce', l)) AS total FROM salesforce.lead l \gset
SELECT crm_check.so('salesforce: scoring writes nothing into the mirror', count(*) = :logged) FROM salesforce._trigger_log;
SELECT crm_check.so('salesforce: rows without a key are scored', count(leadscore.score('salesforce', l)) = 5) FROM salesforce.lead l WHERE sfid IS NULL;

ALTER TABLE salesforce.lead ADD COLUMN budget__c double precision, DROP COLUMN rating;
SELECT crm_check.holds('salesforce', 'the mapping is edited');
ALTER TABLE salesforce.lead DROP COLUMN product_interest__c, DROP COLUMN lead_score__c;
SELECT crm_check.holds('salesforce_more', 'fields of three rules leave the mapping', 'platform', 'more than one', 'score of Salesforce');
ALTER TABLE salesforce.lead ADD COLUMN product_interest__c varchar(4099), ADD COLUMN lead_score__c double precision;
UPDATE salesforce.lead SET product_interest__c = (ARRAY['Platform;Add-on', 'Services', NULL])[1 + id % 3], lead_score__c = id % 100;
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
SELECT crm_check.holds('salesforce_more', 'they come back, and the rules are enabled');

-- a reload: the same leads under other numbers
BEGIN;
SET LOCAL xmlbinary = 'hex';
CREATE TEMP TABLE was AS SELECT sfid, leadscore.score('salesforce', l) AS score FROM salesforce.lead l;
CREATE TEMP TABLE rows AS SELECT * FROM salesforce.lead;
TRUNCATE salesforce.lead RESTART IDENTITY;
SELECT crm_check.so('salesforce: an empty table', (SELECT count(leadscore.score('salesforce', l)) = 0 FROM salesforce.lead l));
UPDATE rows SET id = 281 - id;
INSERT INTO salesforce.lead SELECT * FROM rows ORDER BY md5(name);
COMMIT;
SELECT crm_check.holds('salesforce', 'a reload gives other ids');
SELECT crm_check.so('salesforce: each lead has the score it had, by its lasting key',
	count(*) = 275 AND bool_and(leadscore.score('salesforce', l) = was.score))
FROM salesforce.lead l JOIN was USING (sfid);

-- the mapping is deleted and made again
CREATE TEMP TABLE kept AS SELECT * FROM salesforce.lead;
DROP TABLE salesforce.lead;
SELECT crm_check.so('salesforce: that the table is gone is recorded, once for each model',
	(SELECT array_agg(model ORDER BY model) = '{salesforce,salesforce_more}' FROM leadscore.problem WHERE rule IS NULL AND lead_key IS NULL));
CREATE TABLE salesforce.lead AS SELECT * FROM kept;
SELECT crm_check.fails('salesforce: a row of the new table is not yet a lead of the model',
	$$SELECT leadscore.score('salesforce', l) FROM salesforce.lead l$$, '42P01', 'salesforce');
UPDATE leadscore.model SET target = 'salesforce.lead';
SELECT crm_check.holds('salesforce', 'the model is pointed to the new table');
SELECT crm_check.holds('salesforce_more', 'the model is pointed to the new table');
