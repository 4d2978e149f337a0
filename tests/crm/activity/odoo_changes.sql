-- What Odoo does to its tables of events: upgrades add, retype, drop and rename
-- columns, old messages are deleted, a table goes with a module.
ALTER TABLE odoo.mail_message ADD COLUMN x_read boolean DEFAULT false, ALTER COLUMN res_id TYPE bigint, ALTER COLUMN "date" TYPE timestamp(0);
INSERT INTO odoo.mail_message (model, res_id, message_type, "date") VALUES ('crm.lead', 3, 'email', now() AT TIME ZONE 'UTC' - interval '1 day'),
	('crm.lead', 4000000000, 'email', now()), ('res.partner', 4, 'email', now());
SELECT crm_check.holds('odoo', 'columns are added and get other types');
-- the column of a condition goes: its rule is disabled, and messages still go in
ALTER TABLE odoo.mail_message DROP COLUMN message_type;
INSERT INTO odoo.mail_message (model, res_id, "date") VALUES ('crm.lead', 4, now() AT TIME ZONE 'UTC');
DELETE FROM odoo.mail_message WHERE res_id = 101;
CALL leadscore.rescore('odoo');
SELECT crm_check.holds('odoo', 'the column of a condition is dropped', 'customer wrote an e-mail in 30 days');
ALTER TABLE odoo.mail_message ADD COLUMN message_type varchar DEFAULT 'email';
CALL leadscore.rescore('odoo');
SELECT crm_check.holds('odoo', 'it comes back, and the rule with it');
-- the column of a source goes
ALTER TABLE odoo.mailing_trace RENAME COLUMN links_click_datetime TO clicked_on;
INSERT INTO odoo.mailing_trace (model, res_id, trace_type, clicked_on) VALUES ('crm.lead', 5, 'mail', now() AT TIME ZONE 'UTC' - interval '2 days');
UPDATE odoo.mailing_trace SET clicked_on = now() AT TIME ZONE 'UTC' WHERE res_id = 6;
DELETE FROM odoo.mailing_trace WHERE res_id = 8;
CALL leadscore.rescore('odoo');
SELECT crm_check.holds('odoo', 'the time of a source has another name', 'clicked a mailing in 60 days');
ALTER TABLE odoo.mailing_trace RENAME COLUMN clicked_on TO links_click_datetime;
CALL leadscore.rescore('odoo');
SELECT crm_check.holds('odoo', 'and its own again');
-- the same, while nobody looks
ALTER TABLE odoo.mailing_trace RENAME COLUMN links_click_datetime TO clicked_on;
INSERT INTO odoo.mailing_trace (model, res_id, trace_type, clicked_on) VALUES ('crm.lead', 11, 'mail', now() AT TIME ZONE 'UTC' - interval '2 days'), ('crm.lead', 13, 'mail', now() AT TIME ZONE 'UTC');
ALTER TABLE odoo.mailing_trace RENAME COLUMN clicked_on TO links_click_datetime;
CALL leadscore.rescore('odoo');
SELECT crm_check.holds('odoo', 'the time of a source has another name for a moment, in which events come');
UPDATE leadscore.rule SET enabled = false WHERE model = 'odoo' AND activity = 'mail';
INSERT INTO odoo.mail_message (model, res_id, message_type, "date") VALUES ('crm.lead', 17, 'email', now() AT TIME ZONE 'UTC');
DELETE FROM odoo.mail_message WHERE model = 'crm.lead' AND res_id = 22;
UPDATE leadscore.rule SET enabled = true WHERE model = 'odoo' AND activity = 'mail';
CALL leadscore.rescore('odoo');
SELECT crm_check.holds('odoo', 'a rule is disabled for a moment, in which events come and go');
UPDATE leadscore.activity_source SET occurred_at = 'coalesce(links_click_datetime, reply_datetime)' WHERE model = 'odoo' AND name = 'click';
SELECT crm_check.holds('odoo', 'a source is written anew, attached');
DELETE FROM odoo.mail_message WHERE "date" < now() - interval '20 days';
SELECT crm_check.holds('odoo', 'old messages are deleted');
DROP TABLE odoo.mailing_trace;
CALL leadscore.rescore('odoo');
SELECT crm_check.holds('odoo', 'a module is uninstalled', 'clicked a mailing in 60 days');
INSERT INTO odoo.mail_message (model, res_id, message_type, "date") VALUES ('crm.lead', 9, 'email', now() AT TIME ZONE 'UTC');
SELECT crm_check.holds('odoo', 'and messages go in', 'clicked a mailing in 60 days');
