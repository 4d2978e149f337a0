-- What Corteza's leads do: run by the role that owns its table, after ../corteza.sql.

-- Tasks and events are rows of the very table in which the leads are.  Their
-- fields are text: whatever is no number and no day is no event.
INSERT INTO leadscore.activity_source (model, name, relation, filter, lead_key, occurred_at, time_zone) VALUES
  ('corteza', 'task', 'corteza.compose_record', 'rel_module IN (400000000000000015, 400000000000000016)',
   $$CASE WHEN "values"->'LeadId'->>0 ~ '^[0-9]+$' THEN ("values"->'LeadId'->>0)::numeric END$$,
   $$CASE WHEN "values"->'ActivityDate'->>0 ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' THEN ("values"->'ActivityDate'->>0)::date END$$, 'UTC');

INSERT INTO leadscore.factor (model, name, axis) VALUES ('corteza', 'activity', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, activity, condition, points, at_least, within) VALUES
  ('corteza', 'activity', 'task or event done in 30 days', 'key', 'task', $$"values"->'Status'->>0 = 'Completed'$$, 10, 1, '30 days');
