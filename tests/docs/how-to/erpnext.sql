-- A small site of Frappe with ERPNext and Frappe CRM: the tables and columns that
-- docs/how-to/erpnext.md is about, with a few leads that do things.  With
-- -v shape=FILE, tables of that file instead.
SET client_min_messages = warning;
CREATE ROLE erpnext LOGIN;
SELECT format('ALTER DATABASE %I OWNER TO erpnext', current_database()) \gexec
SET ROLE erpnext;
\if :{?shape}
\i :shape
DROP SCHEMA public;
ALTER SCHEMA erpnext RENAME TO public;
\else

-- times are those of the site's clock, which is in Kolkata
CREATE FUNCTION pg_temp.ago(days numeric) RETURNS timestamp LANGUAGE sql
	RETURN (now() AT TIME ZONE 'Asia/Kolkata') - days * interval '1 day';

CREATE TABLE "tabLead" (name varchar(140) PRIMARY KEY, creation timestamp(6), modified timestamp(6), modified_by varchar(140), owner varchar(140),
	docstatus smallint NOT NULL DEFAULT 0, idx bigint NOT NULL DEFAULT 0,
	lead_name varchar(140), job_title varchar(140), company_name varchar(140), email_id varchar(140), mobile_no varchar(140), phone varchar(140),
	source varchar(140), lead_owner varchar(140), status varchar(140) DEFAULT 'Lead', request_type varchar(140), qualification_status varchar(140),
	no_of_employees varchar(140), annual_revenue decimal(21,9) NOT NULL DEFAULT 0, industry varchar(140), territory varchar(140), country varchar(140),
	disabled smallint NOT NULL DEFAULT 0, unsubscribed smallint NOT NULL DEFAULT 0, blog_subscriber smallint NOT NULL DEFAULT 0,
	custom_budget_range varchar(140), _user_tags text, _comments text, _assign text, _liked_by text);
CREATE INDEX "status_index" ON "tabLead" (status);
CREATE TABLE "tabCommunication" (name varchar(140) PRIMARY KEY, creation timestamp(6), modified timestamp(6),
	subject text, communication_medium varchar(140), sender varchar(255), communication_type varchar(140) DEFAULT 'Communication',
	communication_date timestamp(6), sent_or_received varchar(140), delivery_status varchar(140),
	reference_doctype varchar(140), reference_name varchar(140));
CREATE TABLE "tabCRM Lead Status" (name varchar(140) PRIMARY KEY, creation timestamp(6), modified timestamp(6),
	lead_status varchar(140) UNIQUE, color varchar(140), position bigint NOT NULL DEFAULT 1, "type" varchar(140) DEFAULT 'Open');
CREATE TABLE "tabCRM Lead" (name varchar(140) PRIMARY KEY, creation timestamp(6), modified timestamp(6), owner varchar(140),
	lead_name varchar(140), status varchar(140), email varchar(140), mobile_no varchar(140), organization varchar(140), job_title varchar(140),
	no_of_employees varchar(140), annual_revenue decimal(21,9) NOT NULL DEFAULT 0, lead_owner varchar(140), source varchar(140), industry varchar(140),
	converted smallint NOT NULL DEFAULT 0, sla_status varchar(140), lost_reason varchar(140), _user_tags text);

INSERT INTO "tabLead" (name, creation, modified, lead_name, job_title, company_name, email_id, mobile_no, source, status, qualification_status,
	no_of_employees, disabled, unsubscribed, custom_budget_range)
SELECT 'CRM-LEAD-2025-' || lpad(n::text, 5, '0'), pg_temp.ago(age), pg_temp.ago(1), who, job, firm, email, mobile, src, st, q, size, off, uns, budget
FROM (VALUES
	(1, 40, 'Meera Nair',   'Plant Manager', 'Nair Castings',   'meera@nair.example.com',   '0170-000001', 'Website',      'Open',           '',           '201-500', 0, 0, '> 50k'),
	(2, 15, 'Jonas Falk',   'Owner',         'Falk Metallbau',  'jonas@falk.example.com',   '0170-000002', 'Exhibition',   'Lead',           '',           '51-200',  0, 0, '10k - 50k'),
	(3, 90, 'Wanjiru Otieno','Managing Director','Otieno Foods', 'wanjiru@otieno.example.com','0170-000003', 'Reference',   'Interested',     'In Process', '201-500', 0, 0, '10k - 50k'),
	(4, 70, 'Luis Prado',   'Accountant',    'Prado e Filhos',  '',                         '0170-000004', 'Cold Calling', 'Lead',           '',           '11-50',   0, 0, NULL),
	(5, 30, 'Tim Lehmann',  'Student',       'FH West',         'tim@west.example.com',     NULL,          'Website',      'Lead',           NULL,         '',        0, 0, ''),
	(6, 60, 'Asha Rao',     'Director',      'Rao Pumps',       'asha@rao.example.com',     '0170-000006', '',             'Replied',        'Qualified',  '501-1000',0, 0, '> 50k'),
	(7, 120,'Karl Otte',    'Owner',         'Otte Bau',        'karl@otte.example.com',    '',            'Mass Mailing', 'Do Not Contact', '',           '1-10',    0, 1, NULL),
	(8, 200,'Nadia Haddad', 'Owner',         'Haddad Textiles', 'nadia@haddad.example.com', '0170-000008', 'Reference',    'Quotation',      'Qualified',  '51-200',  0, 0, '10k - 50k'),
	(9, 300,'Per Lund',     'Director',      'Lund Marine',     'per@lund.example.com',     '0170-000009', 'Website',      'Converted',      'Qualified',  '201-500', 0, 0, '> 50k'),
	(10, 25,'Bianca Rossi', NULL,            'Rossi Arredi',    '',                         '',            'Website',      'Lead',           '',           '11-50',   0, 0, NULL),
	(11, 80,'Omar Farah',   'Purchaser',     'Farah Trading',   'omar@farah.example.com',   NULL,          'Mass Mailing', 'Lead',           '',           '1000+',   0, 1, NULL),
	(12, 50,'Sven Holm',    'Owner',         'Holm Möbel',      'sven@holm.example.com',    '0170-000012', 'Website',      'Lost Quotation', '',           '51-200',  0, 0, NULL)
) v(n, age, who, job, firm, email, mobile, src, st, q, size, off, uns, budget);
INSERT INTO "tabCommunication" (name, creation, communication_date, subject, communication_medium, sent_or_received, delivery_status, reference_doctype, reference_name)
SELECT substr(md5('c' || n), 1, 10), pg_temp.ago(age), pg_temp.ago(age), 'Castings', medium, dir, delivery, dt, CASE dt WHEN 'Lead' THEN 'CRM-LEAD-2025-' ELSE 'CRM-LEAD-' END || lpad(lead::text, 5, '0')
FROM (VALUES (1, 20, 'Email', 'Received', NULL, 'Lead', 1), (2, 19, 'Email', 'Sent', 'Clicked', 'Lead', 1), (3, 3, 'Phone', 'Received', NULL, 'Lead', 1),
	(4, 2, 'Email', 'Sent', 'Clicked', 'Lead', 2), (5, 5, 'Email', 'Received', NULL, 'Lead', 3), (6, 40, 'Email', 'Received', NULL, 'Lead', 6),
	(7, 10, 'Email', 'Sent', 'Bounced', 'Lead', 11), (8, 75, 'Email', 'Received', NULL, 'Lead', 8), (9, 1, 'Email', 'Received', NULL, 'Issue', 1),
	(10, 4, 'Email', 'Received', NULL, 'CRM Lead', 1), (11, 2, 'Email', 'Sent', 'Clicked', 'CRM Lead', 1), (12, 12, 'Phone', 'Received', NULL, 'CRM Lead', 2)) v(n, age, medium, dir, delivery, dt, lead);

INSERT INTO "tabCRM Lead Status" (name, lead_status, position, "type") SELECT s, s, p, t
FROM (VALUES ('New', 1, 'Open'), ('Contacted', 2, 'Ongoing'), ('Nurture', 3, 'Ongoing'), ('Qualified', 4, 'Won'), ('Unqualified', 5, 'Lost'), ('Junk', 6, 'Lost')) v(s, p, t);
INSERT INTO "tabCRM Lead" (name, creation, modified, lead_name, status, email, mobile_no, organization, job_title, no_of_employees, source, converted)
SELECT 'CRM-LEAD-' || lpad(n::text, 5, '0'), pg_temp.ago(age), pg_temp.ago(1), who, st, email, mobile, firm, job, size, src, conv
FROM (VALUES (1, 10, 'Noor Basu', 'New', 'noor@basu.example.com', '0170-100001', 'Basu Software', 'CEO', '201-500', 'Website', 0),
	(2, 20, 'Emil Krause', 'Contacted', 'emil@krause.example.com', '0170-100002', 'Krause GmbH', 'Head of Purchasing', '51-200', 'Reference', 0),
	(3, 30, 'Lea Sommer', 'Junk', 'lea@sommer.example.com', NULL, 'Sommer', 'Student', '1-10', 'Website', 0),
	(4, 60, 'Ravi Menon', 'Qualified', 'ravi@menon.example.com', '0170-100004', 'Menon Labs', 'Founder', '11-50', NULL, 1)) v(n, age, who, st, email, mobile, firm, job, size, src, conv);
\endif
