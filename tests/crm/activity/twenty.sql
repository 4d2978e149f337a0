-- What people in a Twenty workspace do: run by the role that owns it, after ../twenty.sql.

-- One time line for people, companies and opportunities: of a person's rows
-- "targetPersonId" is set, and of the others' rows there is no lead.
INSERT INTO leadscore.activity_source (model, name, relation, filter, lead_key, occurred_at) VALUES
  ('twenty', 'time line', 'workspace_3ixj3i1a5avy16ptijtb3lae3."timelineActivity"', '"deletedAt" IS NULL', '"targetPersonId"', '"happensAt"');

INSERT INTO leadscore.factor (model, name, axis) VALUES ('twenty', 'activity', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, activity, condition, points, at_least, within) VALUES
  ('twenty', 'activity', 'calendar event in 30 days', 'key', 'time line', $$name = 'calendarEvent.linked'$$, 15, 1, '30 days');
