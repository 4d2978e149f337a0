-- What loaders do: merge from a staging table, flag what was deleted, rewrite what
-- has not changed, empty and load, or make a new table and swap it in.
SET search_path = hubspot, pg_catalog;

-- a sync: staging, upsert, deletions
CREATE TEMP TABLE staging (LIKE contact);
INSERT INTO staging SELECT * FROM contact WHERE id % 10 = 0;
UPDATE staging SET property_jobtitle = 'Head of ' || id, property_lifecyclestage = NULL, _fivetran_synced = '2025-06-01 12:01+00', property_numemployees = '1000+';
INSERT INTO staging (id, property_email, property_jobtitle, property_associatedcompanyid, property_hs_analytics_last_visit_timestamp) VALUES
	(200001, 'Nobody@Example.com', 'CMO', 9000000056, '2999-01-01 00:00+00'), (200002, NULL, NULL, NULL, NULL), (9000000000000000000, 'far@example.com', 'Head', 9000000057, 'infinity');
INSERT INTO contact SELECT * FROM staging
ON CONFLICT (id) DO UPDATE SET property_jobtitle = excluded.property_jobtitle, property_lifecyclestage = excluded.property_lifecyclestage,
	property_numemployees = excluded.property_numemployees, _fivetran_synced = excluded._fivetran_synced;
CALL crm_check.step('an upsert from a staging table');
CALL crm_check.so('hubspot_more: a lead that the clock will change says when',
	$$SELECT next_change_at = timestamptz '2999-01-31 00:00+00' FROM leadscore.hubspot_more_state WHERE lead_key = 200001$$);
CALL crm_check.so('hubspot_more: and one that it will not says never', $$SELECT next_change_at IS NULL FROM leadscore.hubspot_more_state WHERE lead_key = 200002$$);
-- a staging table with a key twice
INSERT INTO staging SELECT * FROM staging WHERE id = 200001;
INSERT INTO contact SELECT * FROM staging ON CONFLICT (id) DO UPDATE SET property_jobtitle = excluded.property_jobtitle;
DELETE FROM staging WHERE id = 200001;
UPDATE contact SET _fivetran_deleted = true, _fivetran_synced = '2025-06-01 12:02+00' WHERE id IN (100001, 100002, 100003) RETURNING id;
CALL crm_check.step('deletions are flagged');
UPDATE contact SET _fivetran_deleted = NULL WHERE id = 100001;
MERGE INTO contact c USING (SELECT id, id % 3 AS what FROM contact WHERE id BETWEEN 100101 AND 100109 UNION ALL SELECT 200010 + i, 1 FROM generate_series(1, 3) i) s ON c.id = s.id
WHEN MATCHED AND s.what = 0 THEN DELETE
WHEN MATCHED AND s.what = 1 THEN UPDATE SET property_jobtitle = 'CMO', property_email = NULL
WHEN NOT MATCHED THEN INSERT (id, property_jobtitle, property_associatedcompanyid) VALUES (s.id, 'Head', 9000000000 + s.id % 70);
CALL crm_check.step('MERGE');
SELECT current_setting('server_version_num')::int >= 170000 AS v17 \gset
\if :v17
MERGE INTO contact c USING (SELECT id FROM contact WHERE id <> 100111) s ON c.id = s.id
WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action(), c.id;
CALL crm_check.step('MERGE takes away what the source has not');
\endif
CALL crm_check.remember();
UPDATE contact SET _fivetran_synced = '2025-06-01 12:03+00';
CALL crm_check.untouched('a sync rewrites every row', 'hubspot_more');
CALL crm_check.remember();
UPDATE contact SET id = id, property_jobtitle = property_jobtitle, property_hs_analytics_last_visit_timestamp = property_hs_analytics_last_visit_timestamp, _fivetran_deleted = _fivetran_deleted;
UPDATE company SET _fivetran_synced = '2025-06-01 12:03+00';
CALL crm_check.untouched('the same values again');
CALL crm_check.step('nothing has changed');

-- companies and forms
UPDATE company SET property_numberofemployees = 5000, property_industry = 'BANKING' WHERE id IN (9000000003, 9000000004) RETURNING id;
CALL crm_check.step('companies grow');
UPDATE company SET id = id + 1000 WHERE id = 9000000005;
CALL crm_check.step('a company gets another id');
DELETE FROM company WHERE id IN (9000000006, 9000000007);
INSERT INTO company (id, property_industry, property_numberofemployees) VALUES (9000000005, 'COMPUTER_SOFTWARE', 501), (9000000006, 'BANKING', 500) RETURNING id;
CALL crm_check.step('companies go and come');
INSERT INTO contact_form_submission (contact_id, form_id, page_url) VALUES (100004, 'f', 'https://w.example.com/careers/1'), (100005, 'f', 'https://w.example.com/pricing'), (NULL, 'f', 'https://w.example.com/careers'), (42, 'f', 'https://w.example.com/careers');
CALL crm_check.step('forms come in');
UPDATE contact_form_submission SET page_url = replace(page_url, '/careers', '/jobs') WHERE contact_id % 2 = 0;
UPDATE contact_form_submission SET contact_id = contact_id + 1 WHERE page_url LIKE '%/careers%';
DELETE FROM contact_form_submission WHERE contact_id % 5 = 0;
CALL crm_check.step('forms change and go');
BEGIN;
CREATE TEMP TABLE forms ON COMMIT DROP AS SELECT * FROM contact_form_submission;
TRUNCATE contact_form_submission;
-- (of what a lead did, it is known at the commit)
CALL crm_check.step('a lookup table is emptied, inside', 'hubspot', 'hubspot_more');
INSERT INTO contact_form_submission SELECT * FROM forms;
COMMIT;
CALL crm_check.step('a lookup table is loaded');
BEGIN;
TRUNCATE company;
COMMIT;
CALL crm_check.step('companies are emptied');
INSERT INTO company (id, property_industry, property_numberofemployees) SELECT 9000000000 + i, 'BANKING', i * 20 FROM generate_series(1, 70) i;
CALL crm_check.step('and loaded');
-- a number that the source cannot read: the row is written all the same
UPDATE contact SET property_associatedcompanyid = 1e300, property_jobtitle = 'Head of Nowhere' WHERE id = 100020 RETURNING id, property_associatedcompanyid;
INSERT INTO contact (id, property_associatedcompanyid) VALUES (200020, 'NaN') RETURNING id;
CALL crm_check.so('hubspot: that the source failed is recorded for the leads', $$SELECT array_agg(lead_key ORDER BY lead_key) = '{100020,200020}' FROM leadscore.problem WHERE model = 'hubspot' AND lead_key IS NOT NULL$$);
UPDATE contact SET property_associatedcompanyid = 9000000060 WHERE id IN (100020, 200020);
CALL crm_check.step('the numbers are mended');
CALL crm_check.so('hubspot: and recorded no longer', $$SELECT count(*) = 0 FROM leadscore.problem WHERE model = 'hubspot' AND lead_key IS NOT NULL$$);

-- contacts are merged
UPDATE contact SET property_hs_calculated_merged_vids = '100201:1748779200000', property_email = coalesce(property_email, 'm@example.com'), property_hs_email_bounce = NULL WHERE id = 100200;
DELETE FROM contact WHERE id = 100201 RETURNING id;
CALL crm_check.step('merged');
DO $$
DECLARE
	n bigint;
BEGIN
	UPDATE hubspot.contact SET property_hs_lead_status = 'UNQUALIFIED' WHERE id % 20 = 1;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
	DELETE FROM hubspot.contact WHERE id % 50 = 1;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'delete: % rows, found %', n, FOUND;
	INSERT INTO hubspot.contact (id) SELECT id FROM hubspot.contact ON CONFLICT DO NOTHING;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'insert: % rows, found %', n, FOUND;
END
$$;
CALL crm_check.step('a function');

-- a full sync: emptied and read in
BEGIN;
CREATE TEMP TABLE kept AS SELECT * FROM contact;
TRUNCATE contact;
SAVEPOINT loading;
COPY contact (id, property_email, property_jobtitle, property_numemployees) FROM stdin CSV;
100001,one@example.com,CMO,1000+
100001,one@example.com,CMO,1000+
\.
ROLLBACK TO SAVEPOINT loading;
COPY contact (id, property_email, property_jobtitle, property_numemployees) FROM stdin CSV;
300001,one@example.com,CMO,1000+
100001,two@example.com,,
\.
CALL crm_check.step('read in, inside');
INSERT INTO contact SELECT * FROM kept ON CONFLICT DO NOTHING;
COMMIT;
CALL crm_check.step('a full sync');

-- events of e-mails: by address, delivered twice, for a contact that comes or changes
INSERT INTO email_event (id, created, recipient, type, filtered_event) VALUES ('e1', '2026-05-30 10:00+00', 'HUB50@co51.example.com', 'CLICK', false), ('e1', '2026-05-31 10:00+00', 'hub50@co51.example.com', 'CLICK', false),
	('e2', '2026-05-30 10:00+00', 'Comes@Example.com', 'CLICK', false), ('e3', '2026-05-30 10:00+00', NULL, 'CLICK', false), ('e4', '2999-05-30 10:00+00', 'hub51@co52.example.com', 'CLICK', false),
	('e5', '2026-05-30 10:00+00', 'hub52@co53.example.com', 'CLICK', true), ('e6', '2026-05-30 10:00+00', 'hub52@co53.example.com', 'CLICK', NULL) RETURNING id;
CALL crm_check.step('events of e-mails');
INSERT INTO contact (id, property_email) VALUES (200040, 'COMES@example.com'), (200041, 'comes@example.COM') RETURNING id;
CALL crm_check.step('two contacts with the address come');
UPDATE contact SET property_email = 'other@example.com' WHERE id = 200040;
UPDATE contact SET property_email = 'comes@example.com' WHERE id = 100060;
UPDATE contact SET property_email = NULL WHERE id = 100061;
CALL crm_check.step('addresses move');
INSERT INTO email_event (id, created, recipient, type, filtered_event) SELECT id, created, recipient, type, NOT filtered_event FROM email_event WHERE recipient LIKE 'hub1%'
ON CONFLICT (id, created) DO UPDATE SET filtered_event = EXCLUDED.filtered_event, _fivetran_synced = '2026-06-01';
UPDATE email_event SET _fivetran_synced = '2026-06-01 12:00+00';
DELETE FROM email_event WHERE id = 'e1' AND created = '2026-05-30 10:00+00';
CALL crm_check.step('events are merged and deleted');
BEGIN;
CREATE TEMP TABLE events ON COMMIT DROP AS SELECT * FROM email_event;
TRUNCATE email_event;
INSERT INTO email_event SELECT * FROM events WHERE id > '4';
COMMIT;
CALL crm_check.step('events are loaded again');

-- properties change their types
\c - :owner
SET client_min_messages = warning;
ALTER TABLE hubspot.contact ADD COLUMN property_mql_reason text;
ALTER TABLE hubspot.contact ALTER COLUMN property_hs_email_click TYPE bigint, ALTER COLUMN property_hs_analytics_num_page_views TYPE text;
\c - :app
UPDATE hubspot.contact SET property_hs_analytics_num_page_views = 'many', property_hs_email_click = 0, property_hs_email_open = 9 WHERE id % 7 = 0;
INSERT INTO hubspot.contact (id, property_mql_reason) VALUES (200030, 'x') RETURNING id, property_mql_reason;
CALL crm_check.stale('a property becomes text', 'hubspot_more');
\c - :owner
ALTER TABLE hubspot.contact ALTER COLUMN property_hs_analytics_num_page_views TYPE double precision
	USING nullif(property_hs_analytics_num_page_views, 'many')::double precision;
CALL crm_check.ours('its rule is enabled', $$UPDATE leadscore.rule SET enabled = true WHERE NOT enabled$$);
\! $CRM_OTHER "CALL leadscore.rescore('hubspot_more')"
CALL crm_check.step('it is a number again');

-- the swap: a new table is loaded beside the old one and takes its name
BEGIN;
CREATE TABLE hubspot.contact_new (LIKE hubspot.contact INCLUDING ALL);
INSERT INTO hubspot.contact_new SELECT * FROM hubspot.contact WHERE id % 11 <> 0;
ALTER TABLE hubspot.contact RENAME TO contact_old;
ALTER TABLE hubspot.contact_new RENAME TO contact;
GRANT ALL ON hubspot.contact TO :app;
COMMIT;
CALL crm_check.doctor('the doctor sees that another table has the name', 'hubspot_more', 'target_swapped');
\c - :app
INSERT INTO hubspot.contact (id, property_jobtitle, property_numemployees) VALUES (400001, 'CMO', '1000+') RETURNING id;
UPDATE hubspot.contact SET property_numemployees = '50-100' WHERE id % 3 = 0;
\c - :owner
CALL crm_check.ours('the view is replaced', $$CREATE OR REPLACE VIEW scoring.contact AS
	SELECT c.id, c._fivetran_deleted, c.property_email, c.property_jobtitle, c.property_country, c.property_lifecyclestage,
	       c.property_hs_lead_status, c.property_hs_email_optout, c.property_hs_email_bounce, c.property_numemployees,
	       c.property_hs_lifecyclestage_marketingqualifiedlead_date,
	       o.property_numberofemployees AS company_employees, o.property_industry AS company_industry,
	       o.is_deleted AS company_deleted,
	       EXISTS (SELECT FROM hubspot.contact_form_submission f
	               WHERE f.contact_id = c.id AND f.page_url LIKE '%/careers%') AS wants_a_job
	FROM hubspot.contact c
	LEFT JOIN hubspot.company o ON o.id = c.property_associatedcompanyid::bigint$$);
DROP TABLE hubspot.contact_old;
CALL crm_check.doctor('the doctor misses the table', 'hubspot_more', 'target_swapped');
CALL crm_check.doctor('the doctor misses the table', 'hubspot', 'target_swapped');
CALL crm_check.ours('the models are mended', $$SELECT leadscore.repair('hubspot'), leadscore.repair('hubspot_more')$$);
CALL crm_check.step('the new table');
CALL crm_check.doctor('the doctor is content', 'hubspot');
CALL crm_check.doctor('the doctor is content', 'hubspot_more');
\c - :app
UPDATE hubspot.contact SET property_jobtitle = 'CMO', property_numemployees = '1-5' WHERE id % 3 = 1;
INSERT INTO hubspot.contact (id, property_jobtitle) VALUES (400002, 'Head');
CALL crm_check.step('is written');
-- the same with a table that is looked up, and DROP ... CASCADE, after which the view is made again
\c - :owner
SET client_min_messages = warning;
BEGIN;
CREATE TABLE hubspot.company_new (LIKE hubspot.company INCLUDING ALL);
INSERT INTO hubspot.company_new SELECT * FROM hubspot.company;
DROP TABLE hubspot.company CASCADE;
ALTER TABLE hubspot.company_new RENAME TO company;
GRANT ALL ON hubspot.company TO :app;
COMMIT;
\c - :app
UPDATE hubspot.contact SET property_hs_email_optout = true WHERE id % 3 = 2;
UPDATE hubspot.company SET property_numberofemployees = 700 WHERE id % 2 = 0;
\c - :owner
CALL crm_check.doctor('the doctor misses the view', 'hubspot', 'source_missing');
CALL crm_check.ours('the view is made again', $$CREATE VIEW scoring.contact AS
	SELECT c.id, c._fivetran_deleted, c.property_email, c.property_jobtitle, c.property_country, c.property_hs_lead_status, c.property_hs_email_optout, c.property_hs_email_bounce,
	       o.property_numberofemployees AS company_employees, o.property_industry AS company_industry,
	       EXISTS (SELECT FROM hubspot.contact_form_submission f WHERE f.contact_id = c.id AND f.page_url LIKE '%/careers%') AS wants_a_job
	FROM hubspot.contact c LEFT JOIN hubspot.company o ON o.id = c.property_associatedcompanyid::bigint$$);
CALL crm_check.ours('the model is mended', $$SELECT leadscore.repair('hubspot')$$);
CALL crm_check.step('a table that is looked up was swapped');
CALL crm_check.doctor('the doctor is content', 'hubspot');
\c - :app
UPDATE hubspot.company SET property_numberofemployees = 5 WHERE id % 2 = 0;
CALL crm_check.step('and is watched again');
-- and by renaming, the old one is still there
\c - :owner
BEGIN;
CREATE TABLE hubspot.company_new (LIKE hubspot.company INCLUDING ALL);
INSERT INTO hubspot.company_new SELECT * FROM hubspot.company;
ALTER TABLE hubspot.company RENAME TO company_old;
ALTER TABLE hubspot.company_new RENAME TO company;
GRANT ALL ON hubspot.company TO :app;
COMMIT;
CALL crm_check.ours('the view is replaced', $$CREATE OR REPLACE VIEW scoring.contact AS
	SELECT c.id, c._fivetran_deleted, c.property_email, c.property_jobtitle, c.property_country, c.property_hs_lead_status, c.property_hs_email_optout, c.property_hs_email_bounce,
	       o.property_numberofemployees AS company_employees, o.property_industry AS company_industry,
	       EXISTS (SELECT FROM hubspot.contact_form_submission f WHERE f.contact_id = c.id AND f.page_url LIKE '%/careers%') AS wants_a_job
	FROM hubspot.contact c LEFT JOIN hubspot.company o ON o.id = c.property_associatedcompanyid::bigint$$);
CALL crm_check.doctor('the doctor sees that a watched table was swapped', 'hubspot', 'watched_swapped');
CALL crm_check.ours('the model is mended', $$SELECT leadscore.repair('hubspot')$$);
\c - :app
UPDATE hubspot.company SET property_numberofemployees = 800 WHERE id % 3 = 0;
CALL crm_check.step('and is watched once more');
\c - :owner
DROP TABLE hubspot.company_old;
CALL crm_check.doctor('the doctor is content', 'hubspot');
-- dbt makes a view beside the old one and swaps the names
\c - :owner
CALL crm_check.ours('dbt runs', $$
	CREATE VIEW scoring.contact__dbt_tmp AS SELECT c.id, c._fivetran_deleted, c.property_jobtitle, c.property_hs_lead_status, c.property_hs_email_optout, c.property_hs_email_bounce,
	       o.property_numberofemployees AS company_employees, o.property_industry AS company_industry,
	       EXISTS (SELECT FROM hubspot.contact_form_submission f WHERE f.contact_id = c.id AND f.page_url LIKE '%/careers%') AS wants_a_job
	FROM hubspot.contact c LEFT JOIN hubspot.company o ON o.id = c.property_associatedcompanyid::bigint;
	ALTER VIEW scoring.contact RENAME TO contact__dbt_backup;
	ALTER VIEW scoring.contact__dbt_tmp RENAME TO contact;
	DROP VIEW scoring.contact__dbt_backup CASCADE$$);
\c - :app
UPDATE hubspot.contact SET property_hs_email_optout = NULL WHERE id % 3 = 2;
\c - :owner
CALL crm_check.doctor('the doctor sees another view', 'hubspot', 'source_swapped');
CALL crm_check.ours('the model is mended', $$SELECT leadscore.repair('hubspot')$$);
CALL crm_check.step('the new view');
\c - :app
UPDATE hubspot.contact SET property_jobtitle = 'Developer' WHERE id % 2 = 1;
CALL crm_check.step('and goes on');
