-- Scoring Salesforce leads in a Heroku Connect mirror.
--
-- Run by the role that owns the mirror; with -v editor=ROLE the matrix is
-- written by that role, which needs no right on the mirror.

-- The local id changes at a reload: the lasting key is sfid, which is NULL as
-- long as a row waits for Salesforce.
INSERT INTO leadscore.model (name, target, key_column) VALUES
  ('salesforce', 'salesforce.lead', 'sfid'),
  ('salesforce_more', 'salesforce.lead', 'sfid');

\if :{?editor}
SET ROLE :"editor";
\endif

INSERT INTO leadscore.factor (model, name, axis) VALUES
  ('salesforce', 'position', 'fit'),
  ('salesforce', 'company', 'fit'),
  ('salesforce', 'origin', 'fit'),
  ('salesforce', 'out', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
  ('salesforce', 'position', 'VP/C-level/Director', 'key', $$title ~* '^(vp|c[a-z]o|director)'$$, 15, false),
  ('salesforce', 'company', '500+ employees, Technology or Banking', 'key', $$numberofemployees >= 500 AND industry IN ('Technology', 'Banking')$$, 15, false),
  ('salesforce', 'origin', 'purchased list', 'negative', $$leadsource = 'Purchased List'$$, -10, false),
  ('salesforce', 'out', 'bounced, opted out, deleted or merged away', 'negative',
   'emailbounceddate IS NOT NULL OR hasoptedoutofemail OR isdeleted OR masterrecordid IS NOT NULL', 0, true);

INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
  ('salesforce_more', 'company', 'fit', 'sum'),
  ('salesforce_more', 'interest', 'fit', 'sum'),
  ('salesforce_more', 'status', 'engagement', 'best');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points) VALUES
  ('salesforce_more', 'company', 'size unknown', 'negative', 'numberofemployees IS NULL', -1),
  ('salesforce_more', 'company', 'revenue from 5 million', 'key', 'annualrevenue >= 5e6', 6),
  ('salesforce_more', 'company', 'Germany', 'acceptable', $$country = 'Germany'$$, 2),
  ('salesforce_more', 'company', 'not yet in Salesforce', 'negative', 'sfid IS NULL', -1),
  -- a multi-picklist is one text with semicolons
  ('salesforce_more', 'interest', 'platform', 'key', $$'Platform' = ANY (string_to_array(product_interest__c, ';'))$$, 7),
  ('salesforce_more', 'interest', 'more than one', 'acceptable', $$product_interest__c LIKE '%;%'$$, 2),
  ('salesforce_more', 'interest', 'consent', 'acceptable', 'gdpr_consent__c', 1),
  ('salesforce_more', 'interest', 'no consent', 'negative', 'gdpr_consent__c IS NOT TRUE', -1),
  ('salesforce_more', 'interest', 'score of Salesforce', 'acceptable', 'lead_score__c BETWEEN 50 AND 80', 3),
  ('salesforce_more', 'status', 'open', 'acceptable', $$status = 'Open - Not Contacted'$$, 1),
  ('salesforce_more', 'status', 'working', 'key', $$status = 'Working - Contacted'$$, 10),
  ('salesforce_more', 'status', 'MQL', 'key', 'mql_date__c IS NOT NULL AND sql_date__c IS NULL', 12),
  ('salesforce_more', 'status', 'converted', 'key', 'isconverted', 20),
  ('salesforce_more', 'status', 'active in May', 'acceptable', $$lastactivitydate >= '2025-05-01'$$, 4);
