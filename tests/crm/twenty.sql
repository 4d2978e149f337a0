-- Scoring people and the custom object "lead" in a Twenty workspace.
--
-- Run by the role that owns the workspace; with -v editor=ROLE the matrix is
-- written by that role, which needs no right on the workspace.

-- Twenty rebuilds an enum type when an option of the field changes, which it
-- could not if a view named such a column.  So the view takes "createdBySource"
-- out of the row as a whole.
CREATE SCHEMA scoring;
CREATE VIEW scoring.person AS
SELECT p.id, p."jobTitle", p.city, p."emailsPrimaryEmail", p."phonesPrimaryPhoneNumber", p."deletedAt", p."createdAt",
       to_jsonb(p) ->> 'createdBySource' AS "createdBySource",
       c.employees, c."idealCustomerProfile", c."addressAddressCountry" AS "companyCountry",
       c."annualRecurringRevenueAmountMicros" / 1e6 AS arr, c."deletedAt" AS "companyDeletedAt"
FROM workspace_3ixj3i1a5avy16ptijtb3lae3.person p
LEFT JOIN workspace_3ixj3i1a5avy16ptijtb3lae3.company c ON c.id = p."companyId";

INSERT INTO leadscore.model (name, target, source) VALUES
  ('twenty', 'workspace_3ixj3i1a5avy16ptijtb3lae3.person', 'scoring.person'),
  ('twenty_more', 'workspace_3ixj3i1a5avy16ptijtb3lae3.person', 'scoring.person'),
  -- a custom object: all that its rules need is in its own table
  ('twenty_lead', 'workspace_3ixj3i1a5avy16ptijtb3lae3."_lead"', NULL),
  ('twenty_lead_more', 'workspace_3ixj3i1a5avy16ptijtb3lae3."_lead"', NULL);

\if :{?editor}
SET ROLE :"editor";
\endif

INSERT INTO leadscore.factor (model, name, axis) VALUES
  ('twenty', 'company', 'fit'),
  ('twenty', 'company size', 'fit'),
  ('twenty', 'origin', 'fit'),
  ('twenty', 'out', 'fit'),
  ('twenty_lead', 'interest', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
  ('twenty', 'company', 'company in ideal customer profile', 'key', $$"idealCustomerProfile" AND "companyDeletedAt" IS NULL$$, 20, false),
  ('twenty', 'company size', '200+ employees', 'key', 'employees >= 200', 10, false),
  ('twenty', 'origin', 'imported, never written to', 'negative', $$"createdBySource" = 'IMPORT'$$, -5, false),
  ('twenty', 'out', 'no mail address, or soft-deleted', 'negative', $$"emailsPrimaryEmail" = '' OR "deletedAt" IS NOT NULL$$, 0, true),
  -- options of a field are compared as literals: no name of the type, which comes and goes
  ('twenty_lead', 'interest', 'interest in PLATFORM (enum array of custom object)', 'key', $$interests @> '{PLATFORM}'$$, 8, false);

-- '' and NULL both mean that nothing was entered
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
  ('twenty_more', 'person', 'fit', 'sum'),
  ('twenty_more', 'company', 'fit', 'sum'),
  ('twenty_lead_more', 'status', 'engagement', 'best'),
  ('twenty_lead_more', 'interest', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points) VALUES
  ('twenty_more', 'person', 'no phone', 'negative', $$nullif("phonesPrimaryPhoneNumber", '') IS NULL$$, -2),
  ('twenty_more', 'person', 'no job title', 'negative', $$coalesce("jobTitle", '') = ''$$, -3),
  ('twenty_more', 'person', 'founder or CTO', 'key', $$lower("jobTitle") IN ('founder', 'cto')$$, 12),
  ('twenty_more', 'person', 'student', 'negative', $$"jobTitle" = 'Student'$$, -8),
  ('twenty_more', 'person', 'new', 'acceptable', $$"createdAt" >= '2025-05-01 00:00+00'$$, 3),
  ('twenty_more', 'company', 'none', 'negative', 'employees IS NULL', -1),
  ('twenty_more', 'company', 'not an ideal customer', 'negative', 'NOT "idealCustomerProfile"', -2),
  ('twenty_more', 'company', 'German or Polish', 'acceptable', $$"companyCountry" IN ('Germany', 'Poland')$$, 4),
  ('twenty_more', 'company', 'revenue over 50000', 'key', 'arr > 50000', 6),
  ('twenty_lead_more', 'status', 'MQL', 'key', $$status = 'MQL'$$, 10),
  ('twenty_lead_more', 'status', 'SAL or SQL', 'key', $$status IN ('SAL', 'SQL')$$, 20),
  ('twenty_lead_more', 'status', 'contacted or better', 'acceptable', $$status >= 'CONTACTED' AND status < 'DISQUALIFIED'$$, 5),
  ('twenty_lead_more', 'interest', 'none', 'negative', 'interests IS NULL', -4),
  ('twenty_lead_more', 'interest', 'services', 'acceptable', $$'SERVICES' = ANY (interests)$$, 2),
  ('twenty_lead_more', 'interest', 'rated 4 or 5', 'key', $$rating IN ('RATING_4', 'RATING_5')$$, 6),
  ('twenty_lead_more', 'interest', 'budget', 'key', '"budgetAmountMicros" >= 10000 * 1000000::numeric', 7),
  ('twenty_lead_more', 'interest', 'tagged', 'acceptable', $$tags && '{t1,t2}'$$, 1);
