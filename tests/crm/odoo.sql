-- Scoring Odoo leads: the matrix of shared/crm/rules.tsv as far as it is about
-- the lead's own row and what it links to.
--
-- Run by the role that owns the CRM's tables; with -v editor=ROLE the matrix is
-- written by that role, which needs no right on the CRM.

-- Odoo translates names: jsonb, one key per language.  Lookups go through the
-- view, names are read in the one language that is always there, and stages by
-- what they mean (sequence, is_won), never by what they are called.
CREATE SCHEMA scoring;
CREATE VIEW scoring.lead AS
SELECT l.id, l."type", l."function", l.priority, l.active, l.probability, l.email_state, l.message_bounce,
       l.expected_revenue, l.company_id, l.create_date,
       i.name AS industry, c.code AS country, s.name AS utm_source,
       st.sequence AS stage_sequence, st.is_won
FROM odoo.crm_lead l
LEFT JOIN odoo.res_partner p ON p.id = l.partner_id
LEFT JOIN odoo.res_partner_industry i ON i.id = p.industry_id
LEFT JOIN odoo.res_country c ON c.id = l.country_id
LEFT JOIN odoo.utm_source s ON s.id = l.source_id
LEFT JOIN odoo.crm_stage st ON st.id = l.stage_id;

INSERT INTO leadscore.model (name, target, source) VALUES
  ('odoo', 'odoo.crm_lead', 'scoring.lead'),
  ('odoo_more', 'odoo.crm_lead', NULL);

\if :{?editor}
SET ROLE :"editor";
\endif

INSERT INTO leadscore.factor (model, name, axis) VALUES
  ('odoo', 'position', 'fit'),
  ('odoo', 'industry', 'fit'),
  ('odoo', 'origin', 'fit'),
  ('odoo', 'out', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
  ('odoo', 'position', 'head/CEO job title', 'key', $$"function" ~* '(head|ceo|manager)'$$, 15, false),
  ('odoo', 'industry', 'industry Manufacturing (partner -> industry, jsonb name)', 'key',
   $$industry->>'en_US' = 'Manufacturing'$$, 10, false),
  ('odoo', 'origin', 'source Purchased list', 'negative', $$utm_source = 'Purchased list'$$, -10, false),
  ('odoo', 'out', 'mail address wrong or bounced 3+', 'negative', $$email_state = 'incorrect' OR message_bounce >= 3$$, 0, true),
  ('odoo', 'out', 'archived and probability 0 (lost)', 'negative', $$NOT active AND probability = 0$$, 0, true);

-- The lead's own row is enough here: no view.
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
  ('odoo_more', 'revenue', 'fit', 'best'),
  ('odoo_more', 'contact', 'fit', 'sum'),
  ('odoo_more', 'pipeline', 'engagement', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points) VALUES
  ('odoo_more', 'revenue', 'from 10000', 'key', 'expected_revenue >= 10000', 20),
  ('odoo_more', 'revenue', '4000 to 9999', 'acceptable', 'expected_revenue BETWEEN 4000 AND 9999.99', 8),
  ('odoo_more', 'revenue', 'nothing', 'negative', 'expected_revenue = 0', -3),
  ('odoo_more', 'contact', 'no address', 'negative', 'email_normalized IS NULL', -5),
  ('odoo_more', 'contact', 'free mail', 'negative', $$email_normalized LIKE '%@mail.example.com'$$, -2),
  ('odoo_more', 'contact', 'German phone', 'acceptable', $$phone LIKE '+49%'$$, 2),
  ('odoo_more', 'contact', 'web site', 'acceptable', 'website IS NOT NULL', 1),
  ('odoo_more', 'contact', 'company 1', 'acceptable', 'company_id = 1', 1),
  ('odoo_more', 'pipeline', 'opportunity', 'key', $$"type" = 'opportunity'$$, 10),
  ('odoo_more', 'pipeline', 'priority', 'key', $$priority IN ('2', '3')$$, 4),
  ('odoo_more', 'pipeline', 'property ticked', 'acceptable', $$lead_properties @> '{"a1b2c3d4e5f60718": true}'$$, 3),
  ('odoo_more', 'pipeline', 'property read', 'acceptable', $$(lead_properties->>'a1b2c3d4e5f60718')::boolean$$, 3),
  ('odoo_more', 'pipeline', 'assigned and likely', 'key', 'user_id IS NOT NULL AND automated_probability >= 50', 6),
  ('odoo_more', 'pipeline', 'archived', 'negative', 'active = false', -4),
  ('odoo_more', 'pipeline', 'new in May', 'acceptable', $$create_date >= '2025-05-01' AND create_date < '2025-06-01'$$, 2),
  ('odoo_more', 'pipeline', 'answered within a week', 'acceptable', $$date_open - create_date < interval '7 days'$$, 2);
