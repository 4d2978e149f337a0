-- What EspoCRM does to its tables: a hard rebuild drops the columns that its
-- metadata does not know and changes the types of others.
ALTER TABLE espocrm.lead DROP COLUMN c_interests;
SELECT crm_check.holds('espocrm_more', 'a hard rebuild drops a field of the entity manager', 'api', 'reports');
SELECT crm_check.holds('espocrm', 'a hard rebuild drops a field of the entity manager');
ALTER TABLE espocrm.lead ADD COLUMN c_interests text DEFAULT '[]';
UPDATE espocrm.lead SET c_interests = CASE WHEN address_city = 'Ort 3' THEN '["api","reports"]' WHEN address_city = 'Ort 4' THEN '' END
WHERE address_city IN ('Ort 3', 'Ort 4', 'Ort 5');
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
SELECT crm_check.holds('espocrm_more', 'the field comes back, in some rows as empty text');

ALTER TABLE espocrm.lead ALTER COLUMN c_company_size TYPE varchar(100), ALTER COLUMN modified_at TYPE timestamp(6);
SELECT crm_check.holds('espocrm_more', 'a rebuild changes types');
ALTER TABLE espocrm.lead ALTER COLUMN c_company_size TYPE text COLLATE "C";
SELECT crm_check.holds('espocrm_more', 'a rebuild changes a collation');

-- no row of a lead is a lead without its address
DELETE FROM espocrm.entity_email_address WHERE id % 3 = 0;
SELECT crm_check.so('espocrm: leads without an address keep their scores',
	(SELECT bool_and(leadscore.score('espocrm', l) IS NOT NULL) AND count(*) = 250 FROM scoring.lead l));
UPDATE espocrm.entity_email_address SET "primary" = false WHERE id % 7 = 0;
UPDATE leadscore.rule SET condition = 'do_not_call OR "primary" AND (opt_out OR invalid)' WHERE model = 'espocrm' AND disqualifies;
UPDATE espocrm.lead SET do_not_call = false;
SELECT crm_check.holds('espocrm', 'a rule reads the column "primary"');

-- the view is replaced, with more columns at the end
SELECT rtrim(pg_get_viewdef('scoring.lead'::regclass), ';') AS definition \gset
CREATE OR REPLACE VIEW scoring.lead AS SELECT v.*, l.c_company_size FROM (:definition) v JOIN espocrm.lead l USING (id);
SELECT crm_check.holds('espocrm', 'the view is replaced');
