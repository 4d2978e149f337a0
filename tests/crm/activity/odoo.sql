-- What Odoo's leads do: run by the role that owns its tables, after ../odoo.sql.

-- Links are a model's name and a number.  Times are UTC and have no zone.
INSERT INTO leadscore.activity_source (model, name, relation, filter, lead_key, occurred_at, description) VALUES
  ('odoo', 'mail', 'odoo.mail_message', $$model = 'crm.lead'$$, 'res_id', '"date"', 'what is said about a lead, by whomever'),
  -- a trace is a row per mailing and recipient; the click is written into it later
  ('odoo', 'click', 'odoo.mailing_trace', $$model = 'crm.lead'$$, 'res_id', 'links_click_datetime', 'mass mailings that were clicked');

INSERT INTO leadscore.factor (model, name, axis) VALUES ('odoo', 'activity', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, activity, condition, points, at_least, within) VALUES
  ('odoo', 'activity', 'customer wrote an e-mail in 30 days', 'key', 'mail', $$message_type = 'email'$$, 8, 1, '30 days'),
  ('odoo', 'activity', 'clicked a mailing in 60 days', 'key', 'click', 'true', 12, 1, '60 days');
