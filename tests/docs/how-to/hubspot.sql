-- HubSpot as Fivetran lands it, cut down to what the page is about: a column
-- property_* for each property, bigint keys that are HubSpot's, times with a zone,
-- ids of other objects as double precision, a flag for deleted rows, no foreign
-- keys.  Events of e-mails know an address and no contact.
CREATE ROLE fivetran LOGIN;
SELECT format('ALTER DATABASE %I OWNER TO fivetran', current_database()) \gexec
SET ROLE fivetran;
\if :{?shape}
\i :shape
\else
CREATE SCHEMA hubspot;
CREATE TABLE hubspot.contact (
	id bigint PRIMARY KEY, _fivetran_deleted boolean, _fivetran_synced timestamptz, property_email text, property_firstname text,
	property_lastname text, property_jobtitle text, property_company text, property_numemployees text, property_country text,
	property_lifecyclestage text, property_hs_lead_status text, property_createdate timestamptz, property_hs_analytics_source text,
	property_hs_email_optout boolean, property_hs_email_bounce double precision, property_associatedcompanyid double precision,
	property_hs_calculated_merged_vids text, property_hs_lifecyclestage_marketingqualifiedlead_date timestamptz);
CREATE TABLE hubspot.company (
	id bigint PRIMARY KEY, _fivetran_synced timestamptz, is_deleted boolean, property_name text, property_industry text,
	property_country text, property_numberofemployees double precision);
CREATE TABLE hubspot.engagement (
	id bigint PRIMARY KEY, _fivetran_synced timestamptz, active boolean, created_at timestamptz, owner_id bigint, "timestamp" timestamptz, type text);
CREATE TABLE hubspot.engagement_contact (
	engagement_id bigint, contact_id bigint, type_id bigint, _fivetran_synced timestamptz, PRIMARY KEY (engagement_id, contact_id, type_id));
CREATE TABLE hubspot.email_event (
	id text, created timestamptz, _fivetran_synced timestamptz, email_campaign_id bigint, filtered_event boolean, recipient text, type text,
	PRIMARY KEY (id, created));
CREATE TABLE hubspot.contact_form_submission (
	contact_id bigint, form_id text, "timestamp" timestamptz, page_url text, title text, conversion_id text, _fivetran_synced timestamptz);

INSERT INTO hubspot.company VALUES
	(9000000001, now(), false, 'Nordlicht',   'COMPUTER_SOFTWARE', 'Germany', 350),
	(9000000002, now(), false, 'Bank of Erd', 'BANKING',           'Hungary', 4000),
	(9000000003, now(), false, 'Kiosk 24',    'RETAIL',            'Poland',  3);
INSERT INTO hubspot.contact (id, property_firstname, property_lastname, property_jobtitle, property_numemployees, property_lifecyclestage,
							 property_hs_lead_status, property_associatedcompanyid, property_hs_analytics_source)
VALUES
	(1000101, 'Mira',  'Stone',  'CMO',                   '100-500', 'lead',                   'NEW',         9000000001, 'ORGANIC_SEARCH'),
	(1000102, 'Theo',  'Brandt', 'Head of Sales',         '1000+',   'lead',                   'OPEN',        9000000002, 'PAID_SEARCH'),
	(1000103, 'Ola',   'Nowak',  'Developer',             '5-25',    'lead',                   'NEW',         NULL,       'ORGANIC_SEARCH'),
	(1000104, 'Pia',   'Ricci',  'Student',               NULL,      'subscriber',             NULL,          NULL,       'SOCIAL_MEDIA'),
	(1000105, 'Sam',   'Cole',   'VP Marketing',          '100-500', 'marketingqualifiedlead', 'IN_PROGRESS', 9000000001, 'REFERRALS'),
	(1000106, 'Tuva',  'Berg',   'Director of Marketing', '100-500', 'salesqualifiedlead',     'OPEN_DEAL',   9000000001, 'OFFLINE'),
	(1000107, 'Uwe',   'Lang',   'Head of IT',            '1000+',   'opportunity',            'OPEN_DEAL',   9000000002, 'PAID_SEARCH'),
	(1000108, 'Vera',  'Klein',  'CMO',                   '25-50',   'customer',               NULL,          NULL,       'REFERRALS'),
	(1000109, 'Will',  'Hart',   'Head of Growth',        '100-500', 'lead',                   'NEW',         NULL,       'PAID_SEARCH'),
	(1000110, 'Xenia', 'Popa',   'Marketing Manager',     '50-100',  'lead',                   'NEW',         NULL,       'OFFLINE'),
	(1000111, 'Yann',  'Roux',   'CEO',                   '1-5',     'lead',                   'UNQUALIFIED', 9000000003, 'PAID_SEARCH'),
	(1000112, 'Zoe',   'Marsh',  'Head of Sales',         '100-500', 'lead',                   'NEW',         NULL,       'OFFLINE'),
	(1000113, 'M.',    'Stone',  NULL,                    NULL,      'lead',                   'NEW',         NULL,       'OFFLINE'),
	(1000114, 'Kim',   'Park',   'Head of Data',          '100-500', 'lead',                   'NEW',         9000000001, 'ORGANIC_SEARCH');
UPDATE hubspot.contact SET
	property_email = CASE property_firstname WHEN 'Xenia' THEN NULL WHEN 'M.' THEN 'stone@old-job.example.com'
					 ELSE lower(property_firstname) || '@' || lower(property_lastname) || '.example.com' END,
	property_company = (SELECT c.property_name FROM hubspot.company c WHERE c.id = property_associatedcompanyid),
	property_hs_email_optout = CASE property_firstname WHEN 'Will' THEN true END,
	property_hs_email_bounce = CASE property_firstname WHEN 'Zoe' THEN 2 END,
	_fivetran_deleted = false, _fivetran_synced = now(), property_createdate = now() - (id - 1000100) * interval '6 days';
INSERT INTO hubspot.contact_form_submission (contact_id, form_id, "timestamp", page_url, title, _fivetran_synced)
SELECT v.contact, 'form-' || v.page, now() - v.days * interval '1 day', 'https://www.example.com/' || v.page, initcap(v.page), now()
FROM (VALUES (1000101, 'pricing', 3), (1000102, 'demo', 10), (1000104, 'careers', 5), (1000107, 'pricing', 40),
			 (1000109, 'pricing', 2), (1000110, 'pricing', 1)) v(contact, page, days);
INSERT INTO hubspot.email_event (id, created, recipient, type, filtered_event, email_campaign_id, _fivetran_synced)
SELECT 'event-' || v.n, now() - v.days * interval '1 day', v.recipient, v.type, v.filtered, 11, now()
FROM (VALUES (1, 'mira@stone.example.com', 'CLICK', 2, false), (2, 'Mira@Stone.example.com', 'CLICK', 6, false),
			 (3, 'theo@brandt.example.com', 'OPEN', 4, false), (4, 'theo@brandt.example.com', 'CLICK', 4, true),
			 (5, 'ola@nowak.example.com', 'CLICK', 1, false), (6, 'zoe@marsh.example.com', 'BOUNCE', 8, false),
			 (7, 'nobody@example.com', 'CLICK', 3, false), (8, 'kim@park.example.com', 'SENT', 9, false)) v(n, recipient, type, days, filtered);
INSERT INTO hubspot.engagement
SELECT v.id, now(), true, now() - v.days * interval '1 day', 77, now() - v.days * interval '1 day', v.type
FROM (VALUES (700001, 'MEETING', 7), (700002, 'CALL', 3), (700003, 'MEETING', 12), (700004, 'NOTE', 2), (700005, 'CALL', 9)) v(id, type, days);
INSERT INTO hubspot.engagement_contact
SELECT v.engagement, v.contact, 202, now()
FROM (VALUES (700001, 1000105), (700002, 1000106), (700003, 1000106), (700003, 1000105), (700004, 1000101), (700005, 1000113)) v(engagement, contact);
\endif
