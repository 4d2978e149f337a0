-- Scoring leads in Corteza, where the records of all modules share one table.
--
-- Run by the role that owns the CRM's tables; with -v editor=ROLE the matrix is
-- written by that role, which needs no right on the CRM.

-- Which module is that of the leads is known by its handle.
CREATE SCHEMA scoring;
CREATE VIEW scoring.lead AS
SELECT r.id, r."values", r.created_at, r.deleted_at, r.owned_by,
       a."values"->'Industry'->>0 AS account_industry
FROM corteza.compose_record r
JOIN corteza.compose_module m ON m.id = r.rel_module AND m.handle = 'Lead'
LEFT JOIN corteza.compose_record a ON a.id = (r."values"->'AccountId'->>0)::numeric;

INSERT INTO leadscore.model (name, target, source) VALUES
  ('corteza', 'corteza.compose_record', 'scoring.lead'),
  ('corteza_more', 'corteza.compose_record', NULL);

\if :{?editor}
SET ROLE :"editor";
\endif

-- every field is an array of text, whatever it holds
INSERT INTO leadscore.factor (model, name, axis) VALUES
  ('corteza', 'rating', 'fit'),
  ('corteza', 'company size', 'fit'),
  ('corteza', 'interest', 'fit'),
  ('corteza', 'status', 'fit'),
  ('corteza', 'out', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
  ('corteza', 'rating', 'rating Hot', 'key', $$deleted_at IS NULL AND "values"->'Rating'->>0 = 'Hot'$$, 10, false),
  ('corteza', 'company size', '500+ employees (text in json array)', 'key', $$("values"->'NumberOfEmployees'->>0)::numeric >= 500$$, 15, false),
  ('corteza', 'interest', 'interest in Platform (multi-value)', 'key', $$"values"->'ProductInterest' ? 'Platform'$$, 8, false),
  ('corteza', 'status', 'Recycled', 'negative', $$"values"->'Status'->>0 = 'Recycled'$$, -10, false),
  ('corteza', 'out', 'Dead or opted out or deleted', 'negative',
   $$"values"->'Status'->>0 = 'Dead' OR "values"->'HasOptedOutOfEmail'->>0 = '1' OR deleted_at IS NOT NULL$$, 0, true);

-- The same without a view: rules that name the module, by its number.
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
  ('corteza_more', 'lead', 'fit', 'sum'),
  ('corteza_more', 'account', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points) VALUES
  ('corteza_more', 'lead', 'converted', 'key', $$rel_module = 400000000000000011 AND "values"->'IsConverted'->>0 = '1'$$, 20),
  ('corteza_more', 'lead', 'small', 'negative', $$rel_module = 400000000000000011 AND ("values"->'NumberOfEmployees'->>0)::numeric < 50$$, -5),
  ('corteza_more', 'lead', 'revenue', 'key', $$rel_module = 400000000000000011 AND "values"->'AnnualRevenue'->>0 ~ '^1[0-9]{6}\.'$$, 6),
  ('corteza_more', 'lead', 'no address', 'negative', $$rel_module = 400000000000000011 AND NOT "values" ? 'Email'$$, -3),
  ('corteza_more', 'lead', 'from the web', 'acceptable', $$rel_module = 400000000000000011 AND "values" @> '{"LeadSource": ["Web"]}'$$, 2),
  ('corteza_more', 'lead', 'active in May', 'acceptable',
   $$rel_module = 400000000000000011 AND ("values"->'LastActivity'->>0)::timestamptz >= '2025-05-01'$$, 4),
  ('corteza_more', 'lead', 'certain record', 'acceptable', 'id = 420000000000000007', 1),
  ('corteza_more', 'lead', 'owned by 7 or 8', 'acceptable', 'owned_by IN (7, 8) AND rel_module = 400000000000000011', 1),
  ('corteza_more', 'account', 'account', 'negative', 'rel_module = 400000000000000012.0', -1),
  ('corteza_more', 'account', 'neither', 'negative', 'rel_module > 400000000000000012', -2);
