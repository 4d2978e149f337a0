-- What Chatwoot's contacts do: run by the role that owns its tables, after ../chatwoot.sql.

-- A message's sender may be a contact, a user or a robot.  Times are UTC and
-- have no zone.
INSERT INTO leadscore.activity_source (model, name, relation, filter, lead_key, occurred_at) VALUES
  ('chatwoot', 'conversation', 'chatwoot.conversations', NULL, 'contact_id', 'created_at'),
  ('chatwoot', 'message', 'chatwoot.messages', $$sender_type = 'Contact' AND NOT private$$, 'sender_id', 'created_at');

INSERT INTO leadscore.factor (model, name, axis) VALUES ('chatwoot', 'activity', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, activity, condition, points, at_least, within, at_most) VALUES
  ('chatwoot', 'activity', 'came from the pricing page', 'key', 'conversation', $$additional_attributes->>'referer' LIKE '%/pricing%'$$, 10, NULL, NULL, 1),
  -- the kind of a message is a number: 0 is incoming
  ('chatwoot', 'activity', '2+ incoming messages in 60 days', 'key', 'message', 'message_type = 0', 8, 2, '60 days', NULL);
