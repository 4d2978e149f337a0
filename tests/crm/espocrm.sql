-- Scoring EspoCRM leads.
--
-- Run by the role that owns the CRM's tables; with -v editor=ROLE the matrix is
-- written by that role, which needs no right on the CRM.

-- The address is two tables away, in a link table with a column "primary".
CREATE SCHEMA scoring;
CREATE VIEW scoring.lead AS
SELECT l.id, l.deleted, l.title, l.status, l.source, l.industry, l.opportunity_amount, l.opportunity_amount_currency,
       l.address_country, l.do_not_call, l.created_at, l.converted_at,
       x."primary", e.lower AS email, e.opt_out, e.invalid, u.user_name AS rep
FROM espocrm.lead l
LEFT JOIN (espocrm.entity_email_address x JOIN espocrm.email_address e ON e.id = x.email_address_id)
       ON x.entity_id = l.id AND x.entity_type = 'Lead' AND x."primary" AND NOT x.deleted
LEFT JOIN espocrm."user" u ON u.id = l.assigned_user_id;

INSERT INTO leadscore.model (name, target, source) VALUES
  ('espocrm', 'espocrm.lead', 'scoring.lead'),
  ('espocrm_more', 'espocrm.lead', NULL);

\if :{?editor}
SET ROLE :"editor";
\endif

INSERT INTO leadscore.factor (model, name, axis) VALUES
  ('espocrm', 'amount', 'fit'),
  ('espocrm', 'industry', 'fit'),
  ('espocrm', 'position', 'fit'),
  ('espocrm', 'out', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
  ('espocrm', 'amount', 'amount 4000 EUR or more', 'key', $$opportunity_amount >= 4000 AND opportunity_amount_currency = 'EUR'$$, 10, false),
  ('espocrm', 'industry', 'industry Banking/Electronics', 'key', $$industry IN ('Banking', 'Electronics')$$, 10, false),
  ('espocrm', 'position', 'student', 'negative', $$title ILIKE '%student%'$$, -15, false),
  ('espocrm', 'out', 'do not call and address opted out or invalid', 'negative', 'opt_out OR invalid OR do_not_call', 0, true);

INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
  ('espocrm_more', 'company size', 'fit', 'best'),
  ('espocrm_more', 'interest', 'fit', 'sum'),
  ('espocrm_more', 'status', 'engagement', 'best');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points) VALUES
  ('espocrm_more', 'company size', 'large', 'key', $$c_company_size = '201-1000'$$, 9),
  ('espocrm_more', 'company size', 'medium', 'acceptable', $$c_company_size IN ('11-50', '51-200')$$, 4),
  ('espocrm_more', 'company size', 'unknown', 'negative', 'c_company_size IS NULL', -2),
  -- a multi-enum is JSON in a text column
  ('espocrm_more', 'interest', 'api', 'key', $$CASE WHEN c_interests LIKE '[%' THEN c_interests::jsonb ? 'api' END$$, 7),
  ('espocrm_more', 'interest', 'reports', 'key', $$c_interests LIKE '%"reports"%'$$, 3),
  ('espocrm_more', 'interest', 'no industry', 'negative', $$industry = ''$$, -1),
  ('espocrm_more', 'interest', 'came by itself', 'acceptable', $$source NOT IN ('', 'Call', 'Campaign')$$, 2),
  ('espocrm_more', 'status', 'working', 'key', $$status IN ('Assigned', 'In Process') AND NOT deleted$$, 5),
  ('espocrm_more', 'status', 'converted', 'key', 'converted_at IS NOT NULL', 8),
  ('espocrm_more', 'status', 'dead', 'negative', $$status = 'Dead'$$, -20),
  ('espocrm_more', 'status', 'deleted', 'negative', 'deleted', -30),
  ('espocrm_more', 'status', 'touched this week', 'acceptable', $$modified_at > timestamp '2025-05-25 12:00'$$, 1);
