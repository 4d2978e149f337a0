-- Scoring Tryton's sale opportunities: run by the role that owns its tables.

-- Tryton keeps names and countries elsewhere.  The view lies in a schema of its own:
-- the application's is left as it is.
CREATE SCHEMA scoring;
CREATE VIEW scoring.opportunity AS
SELECT o.id, o.amount, o.state, o.conversion_probability, o.employee, o.create_date,
       p.name AS party, c.code AS country, m.type AS contact_type, m.value AS contact
FROM public.sale_opportunity o
LEFT JOIN public.party_party p ON p.id = o.party
LEFT JOIN public.party_address a ON a.id = o.address
LEFT JOIN public.country_country c ON c.id = a.country
LEFT JOIN public.party_contact_mechanism m ON m.id = o.contact;

-- The state is the application's: stages follow it.  Of its leads, the hot ones are
-- for sales to look at.
INSERT INTO leadscore.model (name, target, source, status, stage_mode, created_at, description) VALUES
  ('tryton', 'public.sale_opportunity', 'scoring.opportunity', 'state', 'follow', $$create_date AT TIME ZONE 'UTC'$$,
   'sale opportunities');
INSERT INTO leadscore.stage_map (model, status, stage) VALUES
  ('tryton', 'lead', 'lead'),
  ('tryton', 'lead', 'mql'),
  ('tryton', 'opportunity', 'opportunity'),
  ('tryton', 'converted', 'customer'),
  ('tryton', 'won', 'customer'),
  ('tryton', 'cancelled', 'lost'),
  ('tryton', 'lost', 'lost');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic, description) VALUES
  ('tryton', 'lead', 'mql', $$scored.temperature = 'hot'$$, true, 'for sales to look at'),
  ('tryton', 'lead', 'opportunity', NULL, false, NULL),
  ('tryton', 'mql', 'opportunity', NULL, false, NULL),
  ('tryton', 'opportunity', 'customer', NULL, false, 'quoted');

-- What was said is a note, and notes are of everything.
INSERT INTO leadscore.activity_source (model, name, relation, filter, lead_key, occurred_at) VALUES
  ('tryton', 'note', 'public.ir_note', $$resource LIKE 'sale.opportunity,%'$$, $$split_part(resource, ',', 2)::integer$$, 'create_date'),
  ('tryton', 'line', 'public.sale_opportunity_line', NULL, 'opportunity', 'create_date');

INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
  ('tryton', 'amount', 'fit', 'best'),
  ('tryton', 'who', 'fit', 'sum'),
  ('tryton', 'interest', 'engagement', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
  ('tryton', 'amount', 'from 10000', 'key', 'amount >= 10000', 40, false),
  ('tryton', 'amount', '1000 to 9999', 'acceptable', 'amount >= 1000 AND amount < 10000', 20, false),
  ('tryton', 'who', 'Germany', 'key', $$country = 'DE'$$, 10, false),
  ('tryton', 'who', 'somebody cares', 'acceptable', 'employee IS NOT NULL', 5, false),
  ('tryton', 'who', 'likely', 'acceptable', 'conversion_probability >= 0.8', 10, false),
  ('tryton', 'who', 'free mail', 'negative', $$contact_type = 'email' AND contact LIKE '%@mail.example.com'$$, -10, false),
  ('tryton', 'who', 'a competitor', 'negative', $$party ILIKE '%competitor%'$$, 0, true);
INSERT INTO leadscore.rule (model, factor, parameter, activity, condition, points, half_life, at_most) VALUES
  ('tryton', 'interest', 'called', 'note', $$message ILIKE '%called%'$$, 12, '14 days', NULL),
  ('tryton', 'interest', 'products asked for', 'line', 'true', 3, NULL, 3);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES
  ('tryton', 'temperature', 'hot', 60), ('tryton', 'temperature', 'warm', 30), ('tryton', 'temperature', 'cold', '-infinity');

SELECT leadscore.attach('tryton');
SELECT leadscore.watch('tryton', 'public.party_party', 'ARRAY(SELECT o.id FROM public.sale_opportunity o WHERE o.party = party_party.id)');
SELECT leadscore.watch('tryton', 'public.party_address', 'ARRAY(SELECT o.id FROM public.sale_opportunity o WHERE o.address = party_address.id)');
SELECT leadscore.watch('tryton', 'public.party_contact_mechanism', 'ARRAY(SELECT o.id FROM public.sale_opportunity o WHERE o.contact = party_contact_mechanism.id)');
