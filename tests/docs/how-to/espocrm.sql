-- A small EspoCRM: the tables and columns that docs/how-to/espocrm.md is about, with
-- a few leads that do things.  With -v shape=FILE, tables of that file instead.
SET client_min_messages = warning;
CREATE ROLE espocrm LOGIN;
SELECT format('ALTER DATABASE %I OWNER TO espocrm', current_database()) \gexec
SET ROLE espocrm;
\if :{?shape}
\i :shape
DROP SCHEMA public;
ALTER SCHEMA espocrm RENAME TO public;
\else

-- (timestamp(0) rounds to seconds, so an hour more)
CREATE FUNCTION pg_temp.ago(days numeric) RETURNS timestamp LANGUAGE sql
	RETURN (now() AT TIME ZONE 'UTC') - days * interval '1 day' - interval '1 hour';
-- as ids are: 17 characters
CREATE FUNCTION pg_temp.id(kind text, n int) RETURNS text LANGUAGE sql
	RETURN kind || lpad(n::text, 17 - length(kind), '0');

CREATE TABLE "user" (id varchar(24) PRIMARY KEY, deleted boolean NOT NULL DEFAULT false, user_name varchar(255), first_name varchar(100), last_name varchar(100));
CREATE TABLE lead (id varchar(24) PRIMARY KEY, deleted boolean NOT NULL DEFAULT false, first_name varchar(100), last_name varchar(100), title varchar(100),
	status varchar(255) DEFAULT 'New', source varchar(255), industry varchar(255), account_name varchar(255),
	opportunity_amount double precision, opportunity_amount_currency varchar(3), address_country varchar(100), do_not_call boolean NOT NULL DEFAULT false,
	description text, created_at timestamp(0), modified_at timestamp(0), converted_at timestamp(0),
	assigned_user_id varchar(24), campaign_id varchar(24), created_opportunity_id varchar(24), c_company_size varchar(255), c_interests text);
CREATE INDEX idx_lead_status ON lead (status, deleted);
CREATE TABLE email_address (id varchar(24) PRIMARY KEY, name varchar(255), deleted boolean NOT NULL DEFAULT false, lower varchar(255),
	invalid boolean NOT NULL DEFAULT false, opt_out boolean NOT NULL DEFAULT false);
CREATE TABLE entity_email_address (id bigserial PRIMARY KEY, entity_id varchar(24), email_address_id varchar(24), entity_type varchar(100),
	"primary" boolean DEFAULT false, deleted boolean DEFAULT false);
CREATE UNIQUE INDEX uniq_entity_email ON entity_email_address (entity_id, email_address_id, entity_type);
CREATE TABLE campaign_log_record (id varchar(24) PRIMARY KEY, deleted boolean NOT NULL DEFAULT false, action varchar(50), action_date timestamp(0),
	string_data varchar(100), campaign_id varchar(24), parent_id varchar(24), parent_type varchar(100), is_test boolean NOT NULL DEFAULT false);
CREATE INDEX idx_clr_parent ON campaign_log_record (parent_id, parent_type);
CREATE TABLE "call" (id varchar(24) PRIMARY KEY, name varchar(255), deleted boolean NOT NULL DEFAULT false, status varchar(255) DEFAULT 'Planned',
	date_start timestamp(0), date_end timestamp(0), direction varchar(255) DEFAULT 'Outbound', parent_id varchar(24), parent_type varchar(100));
CREATE TABLE meeting (id varchar(24) PRIMARY KEY, name varchar(255), deleted boolean NOT NULL DEFAULT false, status varchar(255) DEFAULT 'Planned',
	date_start timestamp(0), parent_id varchar(24), parent_type varchar(100));

INSERT INTO "user" (id, user_name, first_name, last_name) SELECT pg_temp.id('u', n), u, f, l
FROM (VALUES (1, 'mona', 'Mona', 'Reiss'), (2, 'paul', 'Paul', 'Adler')) v(n, u, f, l);
INSERT INTO lead (id, deleted, first_name, last_name, title, status, source, industry, account_name, opportunity_amount, opportunity_amount_currency,
	do_not_call, created_at, modified_at, assigned_user_id, c_company_size, c_interests)
SELECT pg_temp.id('lead', n), del, f, l, job, st, src, ind, acc, amount, 'EUR', dnc, pg_temp.ago(age), pg_temp.ago(1), CASE WHEN usr > 0 THEN pg_temp.id('u', usr) END, size, interests
FROM (VALUES
	(1,  false, 'Ada',   'Quist',  'Head of IT',  'New',        'Web Site', 'Banking',     'Quist Bank',     8000.0, false,  30, 0, '51-200',   '["api","reports"]'),
	(2,  false, 'Bruno', 'Sala',   'Owner',       'New',        'Partner',  'Electronics', 'Sala Elettra',   5000.0, false,  20, 0, '11-50',    '[]'),
	(3,  false, 'Carla', 'Voss',   'Procurement', 'Assigned',   'Campaign', 'Banking',     'Voss und Partner', 2000.0, false, 40, 1, '51-200', '["reports"]'),
	(4,  false, 'Dev',   'Patel',  'Student',     'New',        'Web Site', 'Education',   NULL,             NULL,   false,  10, 0, NULL,       '["api"]'),
	(5,  false, 'Elif',  'Kaya',   'CEO',         'In Process', 'Call',     '',            'Kaya Lojistik', 12000.0, false,  60, 2, '201-1000', '[]'),
	(6,  false, 'Franz', 'Huber',  'Director',    'New',        'Campaign', 'Electronics', 'Huber Elektro',  6000.0, false,  50, 0, '11-50',    NULL),
	(7,  false, 'Greta', 'Lind',   'Owner',       'New',        'Email',    'Banking',     'Lind Kapital',   9000.0, true,   35, 0, '1-10',     '[]'),
	(8,  false, 'Hugo',  'Brand',  'Manager',     'Converted',  'Partner',  'Banking',     'Brand Bank',    20000.0, false, 150, 2, '201-1000', '["api"]'),
	(9,  false, 'Ines',  'Moro',   'Owner',       'Recycled',   'Web Site', 'Banking',     'Moro',           4000.0, false, 200, 1, '11-50',    '[]'),
	(10, false, 'Jan',   'Kos',    'Manager',     'Dead',       'Call',     '',            'Kos',            1000.0, false, 300, 1, NULL,       '[]'),
	(11, true,  'Karin', 'Falk',   'CEO',         'New',        '',         'Banking',     'Falk',          50000.0, false,  15, 0, '201-1000', '["api"]'),
	(12, false, 'Lars',  'Ek',     'Head of Sales', 'Assigned', '',         'Electronics', 'Ek Komponenter', 4500.0, false,  90, 2, '11-50',    '[]')
) v(n, del, f, l, job, st, src, ind, acc, amount, dnc, age, usr, size, interests);
INSERT INTO email_address (id, name, lower, invalid, opt_out)
SELECT pg_temp.id('mail', n), initcap(first_name) || '@' || n || '.example.com', lower(first_name) || '@' || n || '.example.com', false, n = 6
FROM lead, LATERAL (SELECT right(id, 2)::int) AS x(n);
INSERT INTO entity_email_address (entity_id, email_address_id, entity_type, "primary") SELECT pg_temp.id('lead', n), pg_temp.id('mail', n), 'Lead', true FROM generate_series(1, 12) n;
INSERT INTO campaign_log_record (id, action, action_date, parent_id, parent_type, is_test)
SELECT pg_temp.id('log', n), action, pg_temp.ago(age), pg_temp.id('lead', lead), type, test
FROM (VALUES (1, 'Sent', 3.1, 1, 'Lead', false), (2, 'Clicked', 3, 1, 'Lead', false), (3, 'Clicked', 5, 2, 'Lead', true), (4, 'Clicked', 9, 7, 'Lead', false),
	(5, 'Opened', 3, 3, 'Lead', false), (6, 'Clicked', 2, 2, 'Contact', false), (7, 'Clicked', 20, 5, 'Lead', false)) v(n, action, age, lead, type, test);
INSERT INTO "call" (id, name, status, date_start, date_end, direction, parent_id, parent_type, deleted)
SELECT pg_temp.id('call', n), 'Call', st, pg_temp.ago(age), pg_temp.ago(age) + interval '15 minutes', dir, pg_temp.id('lead', lead), 'Lead', del
FROM (VALUES (1, 'Held', 6, 'Inbound', 1, false), (2, 'Held', 10, 'Outbound', 3, false), (3, 'Planned', -2, 'Outbound', 2, false), (4, 'Not Held', 4, 'Outbound', 9, false),
	(5, 'Held', 50, 'Outbound', 12, false), (6, 'Held', 1, 'Inbound', 2, true)) v(n, st, age, dir, lead, del);
INSERT INTO meeting (id, name, status, date_start, parent_id, parent_type)
SELECT pg_temp.id('meet', n), 'Meeting', st, pg_temp.ago(age), pg_temp.id('lead', lead), 'Lead'
FROM (VALUES (1, 'Held', 4, 3), (2, 'Held', 10, 5), (3, 'Planned', -3, 1)) v(n, st, age, lead);
\endif
