-- What Salesforce's leads do, in a Heroku Connect mirror: run by the role that
-- owns it, after ../heroku_connect.sql.

-- Events name their lead by its sfid, which is the model's key.  A task's
-- activitydate is a day: it counts from its first moment in UTC.
INSERT INTO leadscore.activity_source (model, name, relation, filter, lead_key, occurred_at, time_zone) VALUES
  ('salesforce', 'campaign', 'salesforce.campaignmember', 'NOT isdeleted', 'leadid', 'coalesce(firstrespondeddate, createddate)', 'UTC'),
  ('salesforce', 'task', 'salesforce.task', 'isclosed', 'whoid', 'activitydate', 'UTC');

INSERT INTO leadscore.factor (model, name, axis) VALUES ('salesforce', 'activity', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, activity, condition, points, at_least, within, at_most) VALUES
  ('salesforce', 'activity', 'attended a campaign', 'key', 'campaign', $$status = 'Attended'$$, 20, NULL, NULL, 1),
  ('salesforce', 'activity', 'completed call in 30 days', 'key', 'task', $$tasksubtype = 'Call'$$, 10, 1, '30 days', NULL);
