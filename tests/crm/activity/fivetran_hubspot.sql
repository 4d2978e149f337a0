-- What HubSpot's contacts do, as Fivetran lands it: run by the role that loads
-- the tables, after ../fivetran_hubspot.sql.

INSERT INTO leadscore.activity_source (model, name, relation, filter, lead_key, match_column, occurred_at, event_key) VALUES
  ('hubspot', 'form', 'hubspot.contact_form_submission', NULL, 'contact_id', NULL, '"timestamp"', NULL),
  -- events of e-mails know an address only, in whatever case it was typed; they
  -- may be delivered again, under the same id
  ('hubspot', 'e-mail', 'hubspot.email_event', 'NOT filtered_event', 'recipient', 'property_email', 'created', 'id');

INSERT INTO leadscore.factor (model, name, axis) VALUES ('hubspot', 'activity', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, activity, condition, points, at_least, within) VALUES
  ('hubspot', 'activity', 'pricing or demo form in 45 days', 'key', 'form', $$page_url ~ '/(pricing|demo)'$$, 25, 1, '45 days'),
  ('hubspot', 'activity', 'clicked e-mail in 30 days (join by address, skip filtered events)', 'acceptable', 'e-mail', $$type = 'CLICK'$$, 8, 1, '30 days');
