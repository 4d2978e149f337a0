-- Scoring ERPNext leads, and leads of the Frappe CRM app beside them.
--
-- Run by the role that owns the CRM's tables; with -v editor=ROLE the matrix is
-- written by that role, which needs no right on the CRM.

-- bench migrate runs ALTER COLUMN TYPE on its tables, which a view would forbid.
-- ERPNext's leads need none.  Frappe CRM's status is a link: what it means is in
-- the linked row, and only the columns of the link are named.
CREATE SCHEMA scoring;
CREATE VIEW scoring."CRM Lead" AS
SELECT l.name, l.status, l.no_of_employees, l.annual_revenue, l.industry, l.job_title, l.source, l.converted, l.sla_status,
       s."type", s.position
FROM erpnext."tabCRM Lead" l
LEFT JOIN erpnext."tabCRM Lead Status" s ON s.name = l.status;

INSERT INTO leadscore.model (name, target, source, time_zone) VALUES
  ('erpnext', 'erpnext."tabLead"', NULL, 'Asia/Kolkata'),
  ('erpnext_more', 'erpnext."tabLead"', NULL, 'Asia/Kolkata'),
  ('frappe_more', 'erpnext."tabCRM Lead"', 'scoring."CRM Lead"', 'Asia/Kolkata');

\if :{?editor}
SET ROLE :"editor";
\endif

INSERT INTO leadscore.factor (model, name, axis) VALUES
  ('erpnext', 'company size', 'fit'),
  ('erpnext', 'budget', 'fit'),
  ('erpnext', 'tags', 'engagement'),
  ('erpnext', 'mail', 'fit'),
  ('erpnext', 'out', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
  ('erpnext', 'company size', 'more than 200 employees (text bands)', 'key', $$no_of_employees IN ('201-500', '501-1000', '1000+')$$, 15, false),
  ('erpnext', 'budget', 'budget above 50k (custom field)', 'key', $$custom_budget_range = '> 50k'$$, 10, false),
  ('erpnext', 'tags', 'tagged hot', 'acceptable', $$_user_tags LIKE '%,hot%'$$, 5, false),
  ('erpnext', 'mail', 'unsubscribed', 'negative', 'unsubscribed = 1', -20, false),
  ('erpnext', 'out', 'Do Not Contact or disabled', 'negative', $$status = 'Do Not Contact' OR disabled = 1$$, 0, true);

INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
  ('erpnext_more', 'person', 'fit', 'sum'),
  ('erpnext_more', 'company', 'fit', 'sum'),
  ('erpnext_more', 'status', 'engagement', 'best'),
  ('frappe_more', 'status', 'engagement', 'best'),
  ('frappe_more', 'company', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points) VALUES
  -- empty text beside NULL, smallint for yes and no
  ('erpnext_more', 'person', 'no address', 'negative', $$email_id = ''$$, -5),
  ('erpnext_more', 'person', 'no title', 'negative', $$job_title = '' OR job_title IS NULL$$, -2),
  ('erpnext_more', 'person', 'owner', 'key', $$job_title = 'Owner'$$, 10),
  ('erpnext_more', 'person', 'blog reader', 'acceptable', 'blog_subscriber <> 0', 2),
  ('erpnext_more', 'person', 'origin unknown', 'negative', $$coalesce(source, '') = ''$$, -1),
  ('erpnext_more', 'company', 'revenue from 5 million', 'key', 'annual_revenue >= 5000000', 8),
  ('erpnext_more', 'company', 'makes things', 'key', $$industry = 'Manufacturing' AND territory = 'All Territories'$$, 4),
  ('erpnext_more', 'company', 'in Africa or Asia', 'acceptable', $$country IN ('India', 'Kenya')$$, 1),
  ('erpnext_more', 'company', 'type in the request', 'acceptable', $$request_type ~ 'Enquiry$'$$, 3),
  ('erpnext_more', 'status', 'replied', 'acceptable', $$status = 'Replied' OR status = 'Interested'$$, 10),
  ('erpnext_more', 'status', 'qualified', 'key', $$qualification_status = 'Qualified'$$, 15),
  ('erpnext_more', 'status', 'qualified in May', 'key', $$qualified_on BETWEEN '2025-05-01' AND '2025-05-31'$$, 16),
  ('erpnext_more', 'status', 'lost', 'negative', $$status IN ('Lost Quotation', 'Do Not Contact')$$, -20),
  ('frappe_more', 'status', 'open', 'acceptable', $$"type" = 'Open'$$, 1),
  ('frappe_more', 'status', 'ongoing', 'key', $$"type" = 'Ongoing'$$, 10),
  ('frappe_more', 'status', 'won', 'key', $$"type" = 'Won' AND converted = 1$$, 30),
  ('frappe_more', 'status', 'lost', 'negative', $$"type" = 'Lost'$$, -30),
  ('frappe_more', 'status', 'early', 'acceptable', 'position <= 2', 0),
  ('frappe_more', 'company', 'answered in time', 'acceptable', $$sla_status = 'Fulfilled'$$, 2),
  ('frappe_more', 'company', 'large', 'key', $$no_of_employees = '1000+'$$, 6);
