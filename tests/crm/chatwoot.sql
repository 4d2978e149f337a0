-- Scoring Chatwoot contacts.
--
-- Run by the role that owns the CRM's tables; with -v editor=ROLE the matrix is
-- written by that role, which needs no right on the CRM.

-- Labels are rows of two other tables; free fields are jsonb without a schema.
CREATE SCHEMA scoring;
CREATE VIEW scoring.contact AS
SELECT c.id, c.account_id, c.email, c.phone_number, c.contact_type, c.country_code, c.blocked, c.last_activity_at,
       c.custom_attributes, c.additional_attributes,
       ARRAY(SELECT g.name::text FROM chatwoot.taggings t JOIN chatwoot.tags g ON g.id = t.tag_id
             WHERE t.taggable_type = 'Contact' AND t.taggable_id = c.id) AS labels
FROM chatwoot.contacts c;

INSERT INTO leadscore.model (name, target, source) VALUES
  ('chatwoot', 'chatwoot.contacts', 'scoring.contact'),
  ('chatwoot_more', 'chatwoot.contacts', NULL);

\if :{?editor}
SET ROLE :"editor";
\endif

INSERT INTO leadscore.factor (model, name, axis) VALUES
  ('chatwoot', 'plan', 'fit'),
  ('chatwoot', 'seats', 'fit'),
  ('chatwoot', 'out', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
  -- several companies share the table: each has its own rules
  ('chatwoot', 'plan', 'plan enterprise or pro', 'key', $$account_id = 1 AND custom_attributes->>'plan' IN ('enterprise', 'pro')$$, 15, false),
  -- a number here, text there, null in the next row
  ('chatwoot', 'seats', '50+ seats (number or text in jsonb)', 'key',
   $$CASE WHEN custom_attributes->>'seats' ~ '^[0-9]+$' THEN (custom_attributes->>'seats')::int >= 50 END$$, 10, false),
  ('chatwoot', 'out', 'labelled spam', 'negative', $$labels @> '{spam}'$$, 0, true),
  ('chatwoot', 'out', 'blocked', 'negative', 'blocked', 0, true);

INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
  ('chatwoot_more', 'contact', 'fit', 'sum'),
  ('chatwoot_more', 'plan', 'fit', 'best'),
  ('chatwoot_more', 'activity', 'engagement', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points) VALUES
  ('chatwoot_more', 'contact', 'no address', 'negative', 'email IS NULL', -4),
  ('chatwoot_more', 'contact', 'customer', 'acceptable', 'contact_type = 2', 5),
  ('chatwoot_more', 'contact', 'visitor', 'negative', 'contact_type = 0', -1),
  ('chatwoot_more', 'contact', 'no country', 'negative', $$country_code = ''$$, -1),
  ('chatwoot_more', 'contact', 'Germany by enrichment', 'acceptable', $$additional_attributes->>'country_code' = 'DE'$$, 2),
  ('chatwoot_more', 'contact', 'LinkedIn', 'acceptable', $$additional_attributes->'social_profiles'->>'linkedin' IS NOT NULL$$, 3),
  ('chatwoot_more', 'contact', 'company known', 'acceptable', $$additional_attributes ? 'company_name'$$, 1),
  ('chatwoot_more', 'contact', 'newsletter', 'acceptable', $$custom_attributes @> '{"newsletter": true}'$$, 1),
  ('chatwoot_more', 'plan', 'free', 'negative', $$custom_attributes->>'plan' = 'free'$$, -2),
  ('chatwoot_more', 'plan', 'pro', 'key', $$custom_attributes->>'plan' = 'pro'$$, 8),
  ('chatwoot_more', 'plan', 'enterprise', 'key', $$custom_attributes['plan'] = '"enterprise"'$$, 12),
  ('chatwoot_more', 'plan', 'trial ends soon', 'acceptable', $$(custom_attributes->>'trial_ends_on')::date <= '2025-06-10'$$, 6),
  ('chatwoot_more', 'activity', 'never seen', 'negative', 'last_activity_at IS NULL', -3),
  ('chatwoot_more', 'activity', 'seen in May', 'acceptable', $$last_activity_at >= '2025-05-01'$$, 4);
