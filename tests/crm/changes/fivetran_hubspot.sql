-- What loaders do to their tables: they rewrite rows that did not change, truncate,
-- or make a new table and swap it in; views block that, or go with CASCADE.
UPDATE hubspot.contact SET _fivetran_synced = now();
SELECT crm_check.holds('hubspot', 'a sync rewrites every row');

-- upsert from a staging table
CREATE TABLE hubspot.staging (LIKE hubspot.contact);
INSERT INTO hubspot.staging SELECT * FROM hubspot.contact WHERE id % 2 = 0;
UPDATE hubspot.staging SET property_jobtitle = 'Head of ' || id, property_lifecyclestage = NULL;
INSERT INTO hubspot.staging (id, property_email) VALUES (7, 'Nobody@Example.com');
INSERT INTO hubspot.contact SELECT * FROM hubspot.staging
ON CONFLICT (id) DO UPDATE SET property_jobtitle = excluded.property_jobtitle, property_lifecyclestage = excluded.property_lifecyclestage;
SELECT crm_check.holds('hubspot', 'rows are merged from a staging table');
SELECT crm_check.holds('hubspot_more', 'rows are merged from a staging table');

-- a new property; one whose type changed, as Fivetran does it
ALTER TABLE hubspot.contact ADD COLUMN property_mql_reason text;
ALTER TABLE hubspot.contact ALTER COLUMN property_hs_email_click TYPE bigint, ALTER COLUMN property_hs_analytics_num_page_views TYPE text;
SELECT crm_check.holds('hubspot_more', 'properties change their types', 'pages');
ALTER TABLE hubspot.contact ALTER COLUMN property_hs_analytics_num_page_views TYPE double precision
	USING property_hs_analytics_num_page_views::double precision;
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
SELECT crm_check.holds('hubspot_more', 'one gets its type back, and the rule is enabled');

-- the swap
SELECT pg_get_viewdef('scoring.contact'::regclass) AS definition \gset
BEGIN;
CREATE TABLE hubspot.contact_new (LIKE hubspot.contact INCLUDING ALL);
INSERT INTO hubspot.contact_new SELECT * FROM hubspot.contact;
DROP TABLE hubspot.contact CASCADE;
ALTER TABLE hubspot.contact_new RENAME TO contact;
COMMIT;
SELECT crm_check.so('hubspot: that table and view are gone is recorded, once for each model',
	(SELECT array_agg(model ORDER BY model) = '{hubspot,hubspot_more}' FROM leadscore.problem WHERE rule IS NULL AND lead_key IS NULL));
SELECT crm_check.so('hubspot: the rules stay as they are', bool_and(enabled)) FROM leadscore.rule;
SELECT crm_check.fails('hubspot: a row of the new table is not yet a lead of the model',
	$$SELECT leadscore.score('hubspot_more', l) FROM hubspot.contact l$$, '42P01', 'hubspot_more');
CREATE VIEW scoring.contact AS :definition
UPDATE leadscore.model SET target = 'hubspot.contact', source = 'scoring.contact' WHERE name = 'hubspot';
UPDATE leadscore.model SET target = 'hubspot.contact' WHERE name = 'hubspot_more';
SELECT crm_check.holds('hubspot', 'the models are pointed to the new table and view');
SELECT crm_check.holds('hubspot_more', 'the models are pointed to the new table and view');

-- dbt makes a view beside the old one and swaps the names
BEGIN;
CREATE VIEW scoring.contact__dbt_tmp AS :definition
ALTER VIEW scoring.contact RENAME TO contact__dbt_backup;
ALTER VIEW scoring.contact__dbt_tmp RENAME TO contact;
DROP VIEW scoring.contact__dbt_backup CASCADE;
COMMIT;
SELECT crm_check.so('hubspot: that the view is gone is recorded',
	(SELECT array_agg(model) = '{hubspot}' FROM leadscore.problem WHERE rule IS NULL AND lead_key IS NULL));
UPDATE leadscore.model SET source = 'scoring.contact' WHERE name = 'hubspot';
SELECT crm_check.holds('hubspot', 'the model is pointed to the new view');

-- a table instead of the view, as a materialization
CREATE TABLE scoring.contact_table AS SELECT * FROM scoring.contact;
UPDATE leadscore.model SET source = 'scoring.contact_table' WHERE name = 'hubspot';
SELECT crm_check.holds('hubspot', 'the source becomes a table');
CREATE MATERIALIZED VIEW scoring.contact_mat AS SELECT * FROM scoring.contact;
UPDATE leadscore.model SET source = 'scoring.contact_mat' WHERE name = 'hubspot';
REFRESH MATERIALIZED VIEW scoring.contact_mat;
SELECT crm_check.holds('hubspot', 'the source becomes a materialized view');
