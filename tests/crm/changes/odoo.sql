-- What Odoo does to its tables: upgrades add, rename and drop columns, with
-- CASCADE, so that views vanish without a word.
PREPARE hot AS SELECT sum(leadscore.score('odoo', l)), count(leadscore.temperature('odoo_more', t))
FROM scoring.lead l JOIN odoo.crm_lead t USING (id);
CREATE TEMP TABLE before AS EXECUTE hot;

ALTER TABLE odoo.crm_lead ADD COLUMN x_studio_budget numeric DEFAULT 5, ADD COLUMN iap_enrich_done boolean;
ALTER TABLE odoo.crm_lead DROP COLUMN description, DROP COLUMN mobile;
SELECT crm_check.holds('odoo_more', 'an upgrade adds and drops columns');
SELECT crm_check.holds('odoo', 'an upgrade adds and drops columns');
CREATE TEMP TABLE after AS EXECUTE hot;
SELECT crm_check.so('odoo: a prepared statement goes on', (SELECT b FROM before b) IS NOT DISTINCT FROM (SELECT a FROM after a));
UPDATE odoo.crm_lead SET write_date = write_date, x_studio_budget = NULL WHERE id % 3 = 0;
INSERT INTO odoo.crm_lead (name, "type", active, expected_revenue, "function") VALUES ('New', 'lead', true, 20000, 'CEO');
SELECT crm_check.holds('odoo_more', 'rows from before and after the change');

-- a rule whose column goes is disabled; back it comes by hand
ALTER TABLE odoo.crm_lead DROP COLUMN lead_properties;
SELECT crm_check.holds('odoo_more', 'a column of two rules is dropped', 'property ticked', 'property read');
ALTER TABLE odoo.crm_lead ADD COLUMN lead_properties jsonb;
UPDATE odoo.crm_lead SET lead_properties = '{"a1b2c3d4e5f60718": true}' WHERE id % 8 = 0;
UPDATE leadscore.rule SET enabled = true WHERE parameter LIKE 'property %';
SELECT crm_check.holds('odoo_more', 'it comes back, and the rules are enabled');
ALTER TABLE odoo.crm_lead RENAME COLUMN phone TO phone_number;
SELECT crm_check.holds('odoo_more', 'a column is renamed', 'German phone');
UPDATE leadscore.rule SET condition = $$phone_number LIKE '+49%'$$, enabled = true WHERE parameter = 'German phone';
SELECT crm_check.holds('odoo_more', 'its rule is written anew');

-- a failed upgrade leaves no trace
BEGIN;
ALTER TABLE odoo.crm_lead DROP COLUMN website;
SELECT crm_check.holds('odoo_more', 'inside an upgrade', 'web site');
ROLLBACK;
SELECT crm_check.holds('odoo_more', 'an upgrade is rolled back');

-- the whole view goes with one of its columns
SELECT pg_get_viewdef('scoring.lead'::regclass) AS definition \gset
ALTER TABLE odoo.crm_lead DROP COLUMN "function" CASCADE;
SELECT crm_check.so('odoo: that the view went with a column is recorded',
	(SELECT count(*) = 1 FROM leadscore.problem WHERE model = 'odoo' AND rule IS NULL AND lead_key IS NULL));
SELECT crm_check.so('odoo: its rules stay as they are', (SELECT bool_and(enabled) FROM leadscore.rule WHERE model = 'odoo'));
ALTER TABLE odoo.crm_lead ALTER COLUMN expected_revenue TYPE double precision;
SELECT crm_check.holds('odoo_more', 'a column of three rules changes its type');
ALTER TABLE odoo.crm_lead ADD COLUMN "function" varchar;
UPDATE odoo.crm_lead SET "function" = (ARRAY['Head of Production', 'Buyer', NULL])[1 + id % 3];
CREATE VIEW scoring.lead AS :definition
SELECT crm_check.fails('odoo: until the model is pointed to it, a row of the new view is refused',
	$$SELECT leadscore.score('odoo', l) FROM scoring.lead l$$, '42P01', 'source of scoring model "odoo" does not exist');
UPDATE leadscore.model SET source = 'scoring.lead' WHERE name = 'odoo';
SELECT crm_check.holds('odoo', 'the view is made again and named as the source');

-- a column of a looked-up table takes the view along
ALTER TABLE odoo.res_country DROP COLUMN code CASCADE;
SELECT crm_check.so('odoo: that the view went with a column of a looked-up table is recorded',
	(SELECT count(*) = 1 FROM leadscore.problem WHERE model = 'odoo' AND rule IS NULL AND lead_key IS NULL));
