-- What ERPNext's leads do: run by the role that owns its tables, after ../erpnext.sql.

-- Links are a DocType's name and a document's.  Times are those of the site's
-- clock, and the model says which that is.
INSERT INTO leadscore.activity_source (model, name, relation, filter, lead_key, occurred_at) VALUES
  ('erpnext', 'communication', 'erpnext."tabCommunication"', $$reference_doctype = 'Lead'$$, 'reference_name', 'communication_date');

INSERT INTO leadscore.factor (model, name, axis) VALUES ('erpnext', 'activity', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, activity, condition, points, at_least, within) VALUES
  ('erpnext', 'activity', 'answered by mail in 30 days', 'key', 'communication', $$sent_or_received = 'Received'$$, 12, 1, '30 days');
