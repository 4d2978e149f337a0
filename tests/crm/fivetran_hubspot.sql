-- Scoring HubSpot contacts that Fivetran lands.
--
-- Run by the role that loads the tables; with -v editor=ROLE the matrix is
-- written by that role, which needs no right on them.

-- The company's id comes as double precision.
CREATE SCHEMA scoring;
CREATE VIEW scoring.contact AS
SELECT c.id, c._fivetran_deleted, c.property_email, c.property_jobtitle, c.property_country, c.property_lifecyclestage,
       c.property_hs_lead_status, c.property_hs_email_optout, c.property_hs_email_bounce, c.property_numemployees,
       c.property_hs_lifecyclestage_marketingqualifiedlead_date,
       o.property_numberofemployees AS company_employees, o.property_industry AS company_industry,
       o.is_deleted AS company_deleted,
       EXISTS (SELECT FROM hubspot.contact_form_submission f
               WHERE f.contact_id = c.id AND f.page_url LIKE '%/careers%') AS wants_a_job
FROM hubspot.contact c
LEFT JOIN hubspot.company o ON o.id = c.property_associatedcompanyid::bigint;

INSERT INTO leadscore.model (name, target, source) VALUES
  ('hubspot', 'hubspot.contact', 'scoring.contact'),
  ('hubspot_more', 'hubspot.contact', NULL);

\if :{?editor}
SET ROLE :"editor";
\endif

INSERT INTO leadscore.factor (model, name, axis) VALUES
  ('hubspot', 'position', 'fit'),
  ('hubspot', 'company', 'fit'),
  ('hubspot', 'intent', 'fit'),
  ('hubspot', 'out', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
  ('hubspot', 'position', 'C-level / head', 'key', $$property_jobtitle ~* '(cmo|head)'$$, 15, false),
  ('hubspot', 'company', 'company of 500+ people in software/banking', 'key',
   $$company_employees >= 500 AND company_industry IN ('COMPUTER_SOFTWARE', 'BANKING')$$, 10, false),
  ('hubspot', 'intent', 'careers page form', 'negative', 'wants_a_job', -15, false),
  ('hubspot', 'out', 'opted out, hard bounce, deleted, UNQUALIFIED', 'negative',
   $$property_hs_email_optout OR property_hs_email_bounce > 0 OR _fivetran_deleted OR property_hs_lead_status = 'UNQUALIFIED'$$, 0, true);

INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
  ('hubspot_more', 'company size', 'fit', 'best'),
  ('hubspot_more', 'contact', 'fit', 'sum'),
  ('hubspot_more', 'stage', 'engagement', 'best'),
  ('hubspot_more', 'activity', 'engagement', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points) VALUES
  ('hubspot_more', 'company size', 'large', 'key', $$property_numemployees IN ('100-500', '1000+')$$, 12),
  ('hubspot_more', 'company size', 'medium', 'acceptable', $$property_numemployees = '50-100'$$, 6),
  ('hubspot_more', 'company size', 'unknown', 'negative', 'property_numemployees IS NULL', -1),
  ('hubspot_more', 'contact', 'no address', 'negative', 'property_email IS NULL', -9),
  ('hubspot_more', 'contact', 'company 9000000007', 'acceptable', 'property_associatedcompanyid = 9000000007', 1),
  ('hubspot_more', 'contact', 'certain contact', 'acceptable', 'id = 100042', 1),
  ('hubspot_more', 'contact', 'came by search', 'acceptable', $$property_hs_analytics_source LIKE '%\_SEARCH'$$, 2),
  ('hubspot_more', 'stage', 'MQL', 'key', $$property_lifecyclestage = 'marketingqualifiedlead'$$, 10),
  ('hubspot_more', 'stage', 'SQL or beyond', 'key', $$property_lifecyclestage IN ('salesqualifiedlead', 'opportunity', 'customer', 'evangelist')$$, 20),
  ('hubspot_more', 'stage', 'MQL once', 'acceptable', 'property_hs_lifecyclestage_marketingqualifiedlead_date IS NOT NULL', 5),
  ('hubspot_more', 'activity', 'pages', 'acceptable', 'property_hs_analytics_num_page_views >= 20', 3),
  ('hubspot_more', 'activity', 'opened, never clicked', 'negative', 'property_hs_email_open > 3 AND property_hs_email_click = 0', -2),
  ('hubspot_more', 'activity', 'visit in May', 'acceptable', $$property_hs_analytics_last_visit_timestamp >= '2025-05-01'$$, 4),
  ('hubspot_more', 'activity', 'visit after their own change', 'acceptable',
   'property_hs_analytics_last_visit_timestamp > property_hs_lifecyclestage_lead_date', 1);
