-- What Odoo does with its tables.  Its sessions run REPEATABLE READ; a click
-- flushes computed columns in several UPDATEs; everything is by id.
SET default_transaction_isolation = 'repeatable read';

-- a lead from the web form
BEGIN;
INSERT INTO "odoo"."crm_lead" ("active", "name", "type", "contact_name", "function", "email_from", "source_id", "country_id", "stage_id", "team_id",
	"company_id", "message_bounce", "expected_revenue", "probability", "create_uid", "write_uid", "create_date", "write_date")
VALUES (true, 'Web: a question', 'lead', 'Zoë Zimmer', 'Head of Sales', '"Zoë" <zoe@zimmer.example.com>', 1, 1, 1, 1, 1, 0, 12000, 10, 1, 1,
	'2025-06-01 12:00:01.5', '2025-06-01 12:00:01.5') RETURNING "id";
SELECT lastval(), currval('odoo.crm_lead_id_seq');
UPDATE "odoo"."crm_lead" SET "email_normalized" = 'zoe@zimmer.example.com', "email_domain_criterion" = '@zimmer.example.com' WHERE "id" IN (261);
UPDATE "odoo"."crm_lead" SET "probability" = 22.5, "automated_probability" = 22.5 WHERE "id" IN (261);
UPDATE "odoo"."crm_lead" SET "prorated_revenue" = 2700, "date_last_stage_update" = '2025-06-01 12:00:01' WHERE "id" IN (261) RETURNING id, prorated_revenue;
INSERT INTO "odoo"."mail_message" ("res_id", "model", "message_type", "body", "date") VALUES (261, 'crm.lead', 'notification', '<p>Lead created</p>', '2025-06-01 12:00:01') RETURNING "id";
SELECT lastval(), currval('odoo.crm_lead_id_seq');
-- (what a lead did is added at the commit)
CALL crm_check.step('a web form, before its commit', 'odoo_more');
COMMIT;
CALL crm_check.step('a web form');

-- created in batch, with columns left out
INSERT INTO odoo.crm_lead ("name", "type", "active", "function", "partner_id", "message_bounce") VALUES
	('Batch 1', 'lead', true, 'CEO', 4, NULL), ('Batch 2', 'lead', true, NULL, NULL, 3), ('Batch 3', 'opportunity', NULL, 'Manager', 8, 0)
RETURNING "id", "name", "partner_id";
SELECT lastval();
COPY odoo.crm_lead (name, "type", active, "function", partner_id, source_id, stage_id, expected_revenue, probability, lead_properties) FROM stdin;
Copied 1	lead	t	IT Manager	4	5	1	4000	10	{"a1b2c3d4e5f60718": true}
Copied 2	opportunity	t	\N	9	1	4	0	100	\N
Copied 3	lead	f	ceo	\N	5	1	\N	0	{"a1b2c3d4e5f60718": null}
\.
CALL crm_check.step('batches and COPY');

-- a click: stage, priority, salesperson, tags
BEGIN;
SELECT id FROM odoo.crm_lead WHERE id IN (5, 6, 7) ORDER BY id FOR UPDATE SKIP LOCKED;
UPDATE odoo.crm_lead SET "stage_id" = 3, "write_uid" = 2, "write_date" = '2025-06-01 12:01:00' WHERE id IN (5, 6, 7);
UPDATE odoo.crm_lead SET "date_last_stage_update" = '2025-06-01 12:01:00' WHERE id IN (5, 6, 7);
UPDATE odoo.crm_lead AS l SET "probability" = v.p, "automated_probability" = v.p, priority = v.prio
FROM (VALUES (5, 55.5, '3'), (6, 12, '0'), (7, 0, '2')) v(id, p, prio) WHERE v.id = l.id RETURNING l.id, l.probability, v.prio;
INSERT INTO odoo.crm_tag_rel (lead_id, tag_id) VALUES (5, 1), (5, 2) ON CONFLICT DO NOTHING;
COMMIT;
CALL crm_check.step('a click');

-- won, lost, restored
UPDATE odoo.crm_lead SET stage_id = 4, probability = 100, date_closed = '2025-06-01 12:02' WHERE id = 5;
UPDATE odoo.crm_lead SET active = false, probability = 0, lost_reason_id = 2 WHERE id IN (6, 7);
CALL crm_check.step('won and lost');
UPDATE odoo.crm_lead SET active = true, probability = 33, lost_reason_id = NULL WHERE id = 6 RETURNING id, active;
CALL crm_check.step('restored');

-- savepoints, as around everything that may fail
BEGIN;
SAVEPOINT "a1";
UPDATE odoo.crm_lead SET expected_revenue = 99000, "function" = 'CEO' WHERE id BETWEEN 10 AND 20;
SAVEPOINT "a2";
DELETE FROM odoo.crm_lead WHERE id BETWEEN 15 AND 18;
INSERT INTO odoo.crm_lead (id, name, "type", active, "function") VALUES (16, 'Again', 'lead', true, 'Head of nothing');
CALL crm_check.step('inside two savepoints');
ROLLBACK TO SAVEPOINT "a2";
CALL crm_check.step('after ROLLBACK TO');
UPDATE odoo.crm_lead SET probability = 101 WHERE id = 10;
ROLLBACK TO SAVEPOINT "a1";
DELETE FROM odoo.crm_stage WHERE id = 4;
ROLLBACK TO SAVEPOINT "a1";
INSERT INTO odoo.crm_lead (id, name, "type") VALUES (1, 'Taken', 'lead');
ROLLBACK TO SAVEPOINT "a1";
INSERT INTO odoo.crm_lead (name, "type", partner_id) VALUES ('No such partner', 'lead', 4711);
ROLLBACK TO SAVEPOINT "a1";
UPDATE odoo.crm_lead SET expected_revenue = 4000 WHERE id = 11;
RELEASE SAVEPOINT "a1";
COMMIT;
CALL crm_check.step('after errors');
CALL crm_check.remember();
BEGIN;
TRUNCATE odoo.crm_lead CASCADE;
CALL crm_check.step('truncated, inside');
INSERT INTO odoo.crm_lead (id, name, "type", "function") VALUES (1, 'First', 'lead', 'CEO'), (900, 'Last', 'lead', 'Manager');
CALL crm_check.step('and loaded, inside');
ROLLBACK;
CALL crm_check.untouched('a load that is rolled back');

-- what the client library sees: rows found, in which order, and by which statement
DO $$
DECLARE
	n bigint;
	r record;
	name text;
BEGIN
	UPDATE odoo.crm_lead SET priority = '1' WHERE id <= 30;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
	UPDATE odoo.crm_lead SET priority = '1' WHERE id = -1;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'none: % rows, found %', n, FOUND;
	FOR r IN UPDATE odoo.crm_lead SET "function" = 'Manager ' || id WHERE id IN (21, 23, 25) RETURNING id, "function" LOOP
		RAISE NOTICE '% %', r.id, r."function";
	END LOOP;
	INSERT INTO odoo.crm_lead (name, "type", active) VALUES ('From a function', 'lead', true) RETURNING id INTO n;
	RAISE NOTICE 'insert: id % of % %', n, lastval(), FOUND;
	DELETE FROM odoo.crm_lead WHERE id = n;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'delete: % rows', n;
	BEGIN
		INSERT INTO odoo.crm_lead (id, name, "type") VALUES (901, 'Caught', 'lead');
		UPDATE odoo.crm_lead SET probability = -1 WHERE id = 901;
	EXCEPTION WHEN check_violation THEN
		GET STACKED DIAGNOSTICS name = CONSTRAINT_NAME;
		RAISE NOTICE '%, %', name, SQLERRM;
	END;
END
$$;
CALL crm_check.step('a function');

-- one statement that writes several tables
WITH moved AS (
	UPDATE odoo.crm_lead SET stage_id = 4, "function" = 'Head of CTE' WHERE id IN (31, 32) RETURNING id, stage_id
), born AS (
	INSERT INTO odoo.crm_lead (name, "type", active, expected_revenue) SELECT 'Child of ' || id, 'opportunity', true, 10000 FROM moved RETURNING id, name
), gone AS (
	DELETE FROM odoo.crm_lead WHERE id = 33 RETURNING id
)
SELECT (SELECT count(*) FROM moved) AS moved, (SELECT array_agg(name ORDER BY name) FROM born) AS born, (SELECT array_agg(id) FROM gone) AS gone;
CALL crm_check.step('a statement with three writes');
-- the same row twice in one statement's transaction, by a cursor and by plans that are kept
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM odoo.crm_lead WHERE id BETWEEN 40 AND 42 ORDER BY id FOR UPDATE;
FETCH c;
UPDATE odoo.crm_lead SET "function" = 'CEO', expected_revenue = 10000 WHERE CURRENT OF c;
FETCH c;
DELETE FROM odoo.crm_lead WHERE CURRENT OF c;
COMMIT;
PREPARE one (int, numeric) AS UPDATE odoo.crm_lead SET expected_revenue = $2 WHERE id = $1 RETURNING id, expected_revenue;
EXECUTE one (50, 1); EXECUTE one (51, 4000); EXECUTE one (52, 10000); EXECUTE one (53, 0); EXECUTE one (54, NULL); EXECUTE one (55, 5000); EXECUTE one (50, 10000);
CALL crm_check.step('a cursor and a prepared statement');

-- two leads are merged: the master takes what the other had, which is deleted
BEGIN;
UPDATE odoo.mail_message SET res_id = 60 WHERE model = 'crm.lead' AND res_id IN (61, 62);
UPDATE odoo.crm_lead m SET "function" = coalesce(m."function", o."function"), expected_revenue = o.expected_revenue, partner_id = coalesce(m.partner_id, o.partner_id),
	email_normalized = coalesce(m.email_normalized, o.email_normalized)
FROM odoo.crm_lead o WHERE m.id = 60 AND o.id = 61 RETURNING m.id, m."function", m.expected_revenue;
DELETE FROM odoo.crm_lead WHERE id IN (61, 62);
COMMIT;
CALL crm_check.step('two leads are merged');

-- a tool that syncs: upserts by id, and MERGE
INSERT INTO odoo.crm_lead (id, name, "type", active, "function", message_bounce) VALUES
	(70, 'Synced', 'lead', true, 'CEO', 0), (905, 'New', 'lead', true, 'Manager', 4), (71, 'Not changed', 'lead', true, 'CEO', 0)
ON CONFLICT (id) DO UPDATE SET "function" = excluded."function", message_bounce = excluded.message_bounce WHERE crm_lead.id <> 71
RETURNING id, name, xmax = 0 AS inserted;
INSERT INTO odoo.crm_lead (id, name, "type") VALUES (72, 'Nothing', 'lead') ON CONFLICT DO NOTHING RETURNING id;
MERGE INTO odoo.crm_lead l USING (VALUES (73, 'CEO'), (74, NULL), (906, 'Head of MERGE'), (75, 'x')) v(id, job) ON v.id = l.id
WHEN MATCHED AND v.job IS NULL THEN DELETE
WHEN MATCHED AND v.id = 75 THEN DO NOTHING
WHEN MATCHED THEN UPDATE SET "function" = v.job
WHEN NOT MATCHED THEN INSERT (id, name, "type", active, "function") VALUES (v.id, 'Merged', 'lead', true, v.job);
CALL crm_check.step('upserts and MERGE');
SELECT current_setting('server_version_num')::int >= 170000 AS v17 \gset
\if :v17
MERGE INTO odoo.crm_lead l USING (VALUES (76, 'CEO'), (907, 'Manager')) v(id, job) ON v.id = l.id
WHEN MATCHED THEN UPDATE SET "function" = v.job WHEN NOT MATCHED THEN INSERT (id, name, "type", "function") VALUES (v.id, 'Merged', 'lead', v.job)
RETURNING merge_action(), l.id, l."function";
CALL crm_check.step('MERGE RETURNING');
\endif

-- nothing changes
CALL crm_check.remember();
UPDATE odoo.crm_lead SET write_date = '2025-06-01 12:03', color = 3;
CALL crm_check.untouched('columns that no rule reads', 'odoo_more');
CALL crm_check.remember();
UPDATE odoo.crm_lead SET "function" = "function", stage_id = stage_id, expected_revenue = expected_revenue, active = active;
CALL crm_check.untouched('the same values again');
CALL crm_check.step('nothing has changed');

-- what the leads point to
UPDATE odoo.res_partner SET industry_id = 1 WHERE id IN (2, 6, 10);
CALL crm_check.step('partners change their industry');
UPDATE odoo.res_partner_industry SET name = '{"en_US": "Crafts"}' WHERE id = 1 RETURNING id, name;
CALL crm_check.step('an industry gets another name');
UPDATE odoo.res_partner_industry SET name = jsonb_set(name, '{en_US}', '"Manufacturing"') WHERE id IN (1, 2);
CALL crm_check.step('two industries get one name');
BEGIN;
UPDATE odoo.utm_source SET name = 'List' WHERE id = 5;
CALL crm_check.step('a source gets another name, inside');
ROLLBACK;
CALL crm_check.step('a source keeps its name');
UPDATE odoo.crm_stage SET is_won = NOT is_won WHERE id IN (3, 4);
CALL crm_check.step('a stage becomes one of winning');
UPDATE odoo.crm_stage SET sequence = 5 - sequence WHERE sequence < 5;
CALL crm_check.step('stages are sorted anew');
UPDATE odoo.res_country SET code = CASE code WHEN 'DE' THEN 'XX' WHEN 'FR' THEN 'DE' ELSE code END;
CALL crm_check.step('countries change their codes');
-- foreign keys that set to null
DELETE FROM odoo.utm_source WHERE id = 5;
CALL crm_check.step('a source is deleted');
BEGIN;
DELETE FROM odoo.res_partner WHERE id IN (2, 4, 6);
CALL crm_check.step('partners are deleted, inside');
ROLLBACK;
DELETE FROM odoo.res_partner WHERE id IN (10, 14);
CALL crm_check.step('partners are deleted');
-- lead and lookup in one transaction, in either order
BEGIN;
INSERT INTO odoo.res_partner (name, industry_id, is_company, active) VALUES ('New firm', 2, true, true) RETURNING id;
INSERT INTO odoo.crm_lead (name, "type", active, partner_id) SELECT 'Of the new firm', 'lead', true, max(id) FROM odoo.res_partner RETURNING id;
UPDATE odoo.res_partner SET industry_id = 4 WHERE name = 'New firm';
CALL crm_check.step('a firm and its lead, inside');
UPDATE odoo.res_partner SET industry_id = 1 WHERE name = 'New firm';
COMMIT;
CALL crm_check.step('a firm and its lead');

-- what is said about a lead, and clicked: one by one, in batches, moved, taken back
INSERT INTO odoo.mail_message ("res_id", "model", "message_type", "body", "date") VALUES (101, 'crm.lead', 'email', '<p>I am interested</p>', '2026-05-30 10:00:00.25') RETURNING "id", "date";
SELECT lastval(), currval('odoo.crm_lead_id_seq');
CALL crm_check.step('an e-mail');
BEGIN;
INSERT INTO odoo.mail_message ("res_id", "model", "message_type", "date") SELECT 102 + i % 3, CASE WHEN i % 5 = 0 THEN 'res.partner' ELSE 'crm.lead' END, 'email', timestamp '2026-05-01' + i * interval '7 hours'
FROM generate_series(1, 40) i RETURNING "id";
UPDATE odoo.crm_lead SET "message_bounce" = 1, "function" = 'CEO' WHERE id IN (102, 103) RETURNING id;
INSERT INTO odoo.mailing_trace (res_id, trace_type, model, trace_status, sent_datetime) VALUES (104, 'mail', 'crm.lead', 'sent', '2026-05-31 09:00'), (NULL, 'mail', 'crm.lead', 'sent', '2026-05-31 09:00') RETURNING id;
UPDATE odoo.mailing_trace SET links_click_datetime = '2026-05-31 11:00', trace_status = 'open' WHERE res_id IN (103, 104) RETURNING res_id, trace_status;
COMMIT;
CALL crm_check.step('mails and clicks in one transaction');
COPY odoo.mail_message (res_id, model, message_type, "date") FROM stdin;
105	crm.lead	email	2026-04-01 00:00:00
105	crm.lead	email	2999-01-01 00:00:00
105	crm.lead	email	infinity
105	crm.lead	email	-infinity
105	crm.lead	email	\N
987654	crm.lead	email	2026-04-01 00:00:00
\.
CALL crm_check.step('imported, with odd times and of nobody');
UPDATE odoo.mail_message SET res_id = 106 WHERE res_id = 105 AND model = 'crm.lead' AND "date" = '2026-04-01' RETURNING res_id, "date";
UPDATE odoo.mail_message SET res_id = 106 WHERE res_id = 105 AND model = 'crm.lead' AND "date" IS NOT NULL;
UPDATE odoo.mail_message SET model = 'res.partner' WHERE model = 'crm.lead' AND res_id BETWEEN 107 AND 110 AND message_type = 'email';
UPDATE odoo.mail_message SET body = body || '!', write_date = '2026-05-31 12:00';
DELETE FROM odoo.mail_message WHERE res_id IN (111, 112) AND model = 'crm.lead';
CALL crm_check.step('messages are moved, edited and deleted');
BEGIN;
SAVEPOINT a;
INSERT INTO odoo.mail_message (res_id, model, message_type, "date") VALUES (113, 'crm.lead', 'email', '2026-05-31 12:01');
ROLLBACK TO SAVEPOINT a;
INSERT INTO odoo.mail_message (res_id, model, message_type, "date") VALUES (114, 'crm.lead', 'email', '2026-05-31 12:02') RETURNING res_id;
INSERT INTO odoo.mail_message (res_id, model, "date") VALUES (115, 'crm.lead', '2026-05-31 12:02');
ROLLBACK TO SAVEPOINT a;
DELETE FROM odoo.mailing_trace WHERE res_id IN (116, 117);
RELEASE SAVEPOINT a;
COMMIT;
CALL crm_check.step('events after errors');
BEGIN;
TRUNCATE odoo.mail_message, odoo.mail_tracking_value;
ROLLBACK;
CALL crm_check.step('messages are not truncated');
WITH said AS (
	INSERT INTO odoo.mail_message (res_id, model, message_type, "date") VALUES (118, 'crm.lead', 'email', '2026-05-31 12:03'), (119, 'crm.lead', 'email', '2026-05-31 12:03') RETURNING res_id
), gone AS (
	DELETE FROM odoo.crm_lead WHERE id = 119 RETURNING id
)
SELECT (SELECT count(*) FROM said) AS said, (SELECT array_agg(id) FROM gone) AS gone;
INSERT INTO odoo.crm_lead (id, name, "type", active) VALUES (119, 'Again', 'lead', true);
CALL crm_check.step('a lead goes as it writes, and comes again');
DO $$
DECLARE
	n bigint;
	r record;
BEGIN
	UPDATE odoo.mail_message SET "date" = "date" + interval '1 hour' WHERE model = 'crm.lead' AND res_id < 30;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
	FOR r IN DELETE FROM odoo.mailing_trace WHERE res_id IN (20, 21) RETURNING id, res_id LOOP
		RAISE NOTICE '%', r;
	END LOOP;
	INSERT INTO odoo.mail_message (res_id, model, message_type, "date") VALUES (20, 'crm.lead', 'email', '2026-05-31 12:04') RETURNING id INTO n;
	RAISE NOTICE 'insert: % % %', n, lastval(), FOUND;
END
$$;
CALL crm_check.step('events in a function');

-- an upgrade, by the owner of the tables; the application goes on
\c - :owner
BEGIN;
ALTER TABLE odoo.crm_lead ADD COLUMN x_studio_budget numeric DEFAULT 5, ADD COLUMN iap_enrich_done boolean;
ALTER TABLE odoo.crm_lead DROP COLUMN description, DROP COLUMN mobile;
UPDATE odoo.crm_lead SET "function" = 'CEO', expected_revenue = 4000 WHERE id = 80;
COMMIT;
CALL crm_check.step('an upgrade adds and drops columns');
BEGIN;
ALTER TABLE odoo.crm_lead DROP COLUMN website;
INSERT INTO odoo.crm_lead (name, "type", active, phone) VALUES ('In a failing upgrade', 'lead', true, '+49 1');
CALL crm_check.stale('inside an upgrade', 'odoo_more');
ROLLBACK;
CALL crm_check.step('an upgrade is rolled back');
ALTER TABLE odoo.crm_lead DROP COLUMN lead_properties;
ALTER TABLE odoo.crm_lead RENAME COLUMN phone TO phone_number;
\c - :app
INSERT INTO odoo.crm_lead (name, "type", active, phone_number, "function") VALUES ('After an upgrade', 'lead', true, '+49 2', 'Manager') RETURNING id, phone_number;
UPDATE odoo.crm_lead SET phone_number = '+49 3' WHERE id IN (81, 82);
CALL crm_check.so('odoo_more: the rules of a dropped column are disabled, and of a renamed one',
	$$SELECT array_agg(parameter ORDER BY parameter) = '{German phone,property read,property ticked}' FROM leadscore.rule WHERE NOT enabled$$);
CALL crm_check.stale('rules went with a column', 'odoo_more');
\c - :owner
CALL crm_check.ours('the owner mends the model', $$SELECT leadscore.repair('odoo_more')$$);
\! $CRM_OTHER "CALL leadscore.rescore('odoo_more')"
CALL crm_check.step('the model is mended');
ALTER TABLE odoo.crm_lead ADD COLUMN lead_properties jsonb;
ALTER TABLE odoo.crm_lead RENAME COLUMN phone_number TO phone;
UPDATE odoo.crm_lead SET lead_properties = '{"a1b2c3d4e5f60718": true}' WHERE id % 8 = 0;
CALL crm_check.ours('the rules are back', $$UPDATE leadscore.rule SET enabled = true WHERE NOT enabled$$);
\! $CRM_OTHER "CALL leadscore.rescore('odoo_more')"
CALL crm_check.step('columns and rules are back');

-- the view goes with one of its columns; leads are written all the same
SET client_min_messages = warning;
ALTER TABLE odoo.crm_lead DROP COLUMN "function" CASCADE;
RESET client_min_messages;
ALTER TABLE odoo.crm_lead ADD COLUMN "function" varchar;
ALTER TABLE odoo.crm_lead ALTER COLUMN expected_revenue TYPE double precision;
-- integer keys are not enough any more
ALTER TABLE odoo.crm_lead ALTER COLUMN id TYPE bigint;
ALTER TABLE odoo.crm_tag_rel ALTER COLUMN lead_id TYPE bigint;
\c - :app
INSERT INTO odoo.crm_lead (id, name, "type", active, "function", expected_revenue) VALUES (3000000000, 'Far out', 'lead', true, 'CEO', 10000) RETURNING id;
INSERT INTO odoo.crm_lead (name, "type", active) VALUES ('Not as far', 'lead', true) RETURNING id;
UPDATE odoo.crm_lead SET "function" = (ARRAY['Head of Production', 'Buyer', NULL])[1 + id % 3] WHERE id < 300;
UPDATE odoo.crm_lead SET id = 3000000001 WHERE id = 90;
DELETE FROM odoo.crm_lead WHERE id = 91 RETURNING id;
UPDATE odoo.res_partner SET industry_id = 1 WHERE id = 4;
CALL crm_check.step('keys are bigint, and one model has no view', 'odoo');
\c - :owner
CALL crm_check.doctor('the doctor misses the view', 'odoo', 'source_missing');
CALL crm_check.ours('the view is made again', $$CREATE VIEW scoring.lead AS
	SELECT l.id, l."type", l."function", l.priority, l.active, l.probability, l.email_state, l.message_bounce,
	       l.expected_revenue, l.company_id, l.create_date,
	       i.name AS industry, c.code AS country, s.name AS utm_source, st.sequence AS stage_sequence, st.is_won
	FROM odoo.crm_lead l
	LEFT JOIN odoo.res_partner p ON p.id = l.partner_id
	LEFT JOIN odoo.res_partner_industry i ON i.id = p.industry_id
	LEFT JOIN odoo.res_country c ON c.id = l.country_id
	LEFT JOIN odoo.utm_source s ON s.id = l.source_id
	LEFT JOIN odoo.crm_stage st ON st.id = l.stage_id$$);
CALL crm_check.ours('the model is mended with its new view', $$SELECT leadscore.repair('odoo')$$);
CALL crm_check.ours('the other is mended', $$SELECT leadscore.repair('odoo_more')$$);
CALL crm_check.step('the view is back');
CALL crm_check.doctor('the doctor is content', 'odoo');
CALL crm_check.doctor('the doctor is content', 'odoo_more');
\c - :app
UPDATE odoo.crm_lead SET "function" = 'Manager', id = id + 1 WHERE id >= 3000000000 AND id % 2 = 1 RETURNING id, "function";
INSERT INTO odoo.crm_lead (id, name, "type", active, "function") VALUES (4000000000, 'Farther', 'lead', true, 'CEO');
CALL crm_check.step('and the leads are written');

-- everything goes, and comes again under other numbers
BEGIN;
CREATE TEMP TABLE kept AS SELECT * FROM odoo.crm_lead;
TRUNCATE odoo.crm_lead, odoo.crm_tag_rel;
UPDATE kept SET id = 10000 - id WHERE id < 10000;
INSERT INTO odoo.crm_lead SELECT * FROM kept ORDER BY id;
COMMIT;
CALL crm_check.step('a reload with other numbers');
DELETE FROM odoo.crm_lead WHERE id % 2 = 0;
CALL crm_check.step('half of the leads are deleted');
DELETE FROM odoo.crm_lead;
CALL crm_check.step('all are deleted');
INSERT INTO odoo.crm_lead (name, "type", active, "function") VALUES ('Anew', 'lead', true, 'CEO');
CALL crm_check.step('a new start');
SELECT name, "type", "function" FROM odoo.crm_lead;
