-- What EspoCRM's leads do: run by the role that owns its tables, after ../espocrm.sql.

-- Links are an id and an entity's name, rows are deleted by a flag, times are
-- UTC and have no zone.
INSERT INTO leadscore.activity_source (model, name, relation, filter, lead_key, occurred_at) VALUES
  ('espocrm', 'campaign', 'espocrm.campaign_log_record', $$parent_type = 'Lead' AND NOT is_test AND NOT deleted$$, 'parent_id', 'action_date'),
  ('espocrm', 'call', 'espocrm."call"', $$parent_type = 'Lead' AND NOT deleted$$, 'parent_id', 'date_start');

INSERT INTO leadscore.factor (model, name, axis) VALUES ('espocrm', 'activity', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, activity, condition, points, at_least, within, at_most) VALUES
  ('espocrm', 'activity', 'campaign mail clicked in 45 days', 'key', 'campaign', $$action = 'Clicked'$$, 12, 1, '45 days', NULL),
  -- whenever it was, and once only
  ('espocrm', 'activity', 'call held', 'key', 'call', $$status = 'Held'$$, 10, NULL, NULL, 1);
