-- What a loader does to its tables of events: it delivers rows again, rewrites and
-- flags them, widens types, empties and loads, swaps tables.
INSERT INTO hubspot.email_event (id, created, recipient, type, filtered_event) SELECT id, now() - interval '1 hour', upper(recipient), type, filtered_event FROM hubspot.email_event WHERE created < now() - interval '40 days' LIMIT 300;
INSERT INTO hubspot.email_event (id, created, recipient, type, filtered_event) VALUES ('new1', now(), 'HUB1@CO2.Example.COM', 'CLICK', false), ('new2', now(), NULL, 'CLICK', false), ('new3', now(), 'nobody@example.com', 'CLICK', NULL);
SELECT crm_check.holds('hubspot', 'events are delivered again, later and in capitals');
UPDATE hubspot.email_event SET _fivetran_synced = now();
SELECT crm_check.holds('hubspot', 'a sync rewrites every row');
-- addresses move from one contact to another, and to both
UPDATE hubspot.contact SET property_email = 'swap@example.com' WHERE id = 100002;
UPDATE hubspot.contact SET property_email = (SELECT 'hub2@co3.example.com') WHERE id = 100003;
UPDATE hubspot.contact SET property_email = 'Shared@Example.com' WHERE id BETWEEN 100010 AND 100014;
INSERT INTO hubspot.email_event (id, created, recipient, type, filtered_event) VALUES ('new4', now(), 'shared@EXAMPLE.com', 'CLICK', false);
SELECT crm_check.holds('hubspot', 'addresses move');
SELECT crm_check.so('hubspot: an event counts for all that share its address', (SELECT count(*) = 5 FROM leadscore.hubspot_state WHERE lead_key BETWEEN 100010 AND 100014 AND engagement_points >= 8));
ALTER TABLE hubspot.email_event ADD COLUMN device text, ALTER COLUMN type TYPE varchar(64), ALTER COLUMN id TYPE varchar(100);
CALL leadscore.rescore('hubspot');
SELECT crm_check.holds('hubspot', 'types get wider');
-- the forms' contacts come as double precision, as ids do in association columns:
-- that is no key, and the source must cast it
CREATE TABLE hubspot.page_view (contact_id double precision, seen timestamptz, url text);
GRANT SELECT ON hubspot.page_view TO :reader;
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('hubspot', 'page', 'hubspot.page_view',
	'CASE WHEN contact_id BETWEEN 1 AND 9e15 THEN contact_id::bigint END', 'seen');
INSERT INTO leadscore.rule (model, factor, parameter, activity, condition, points, half_life) VALUES ('hubspot', 'activity', 'pricing page', 'page', $$url LIKE '%/pricing%'$$, 3, '10 days');
CALL leadscore.rescore('hubspot');
SELECT leadscore.repair('hubspot') IS NULL AS is_null \gset
INSERT INTO hubspot.page_view VALUES (100020, now() - interval '10 days', '/pricing'), (1e300, now(), '/pricing'), ('NaN', now(), '/pricing'), (NULL, now(), '/pricing'), (100020, now(), '/pricing');
SELECT crm_check.holds('hubspot', 'a number that is no key is nobody''s');
SELECT crm_check.so('hubspot: the others count', (SELECT abs(leadscore.engagement_decayed(engagement, (SELECT id FROM leadscore.rule WHERE parameter = 'pricing page'), now()) - 1.5) < 1e-6
	FROM leadscore.hubspot_state WHERE lead_key = 100020));
-- the swap
BEGIN;
CREATE TABLE hubspot.email_event_new (LIKE hubspot.email_event INCLUDING ALL);
INSERT INTO hubspot.email_event_new SELECT * FROM hubspot.email_event WHERE id < 'c';
ALTER TABLE hubspot.email_event RENAME TO email_event_old;
ALTER TABLE hubspot.email_event_new RENAME TO email_event;
GRANT SELECT ON hubspot.email_event TO :reader;
DROP TABLE hubspot.email_event_old;
COMMIT;
INSERT INTO hubspot.email_event (id, created, recipient, type, filtered_event) VALUES ('new5', now(), 'hub30@co31.example.com', 'CLICK', false);
UPDATE leadscore.activity_source SET relation = 'hubspot.email_event' WHERE model = 'hubspot' AND name = 'e-mail';
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
SELECT leadscore.repair('hubspot') IS NULL AS is_null \gset
CALL leadscore.rescore('hubspot');
SELECT crm_check.holds('hubspot', 'the source is pointed to the new table');
SELECT crm_check.doctor('hubspot', 'is content', false);
