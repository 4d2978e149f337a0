-- A small Odoo: the tables and columns of its CRM that docs/how-to/odoo.md is about,
-- with a few leads that do things.  With -v shape=FILE, tables of that file instead.
SET client_min_messages = warning;
CREATE ROLE odoo LOGIN;
SELECT format('ALTER DATABASE %I OWNER TO odoo', current_database()) \gexec
SET ROLE odoo;
\if :{?shape}
\i :shape
DROP SCHEMA public;
ALTER SCHEMA odoo RENAME TO public;
\else

CREATE TABLE res_country (id serial PRIMARY KEY, name jsonb NOT NULL, code varchar(2));
CREATE TABLE res_partner_industry (id serial PRIMARY KEY, name jsonb, active boolean);
CREATE TABLE utm_source (id serial PRIMARY KEY, name varchar NOT NULL);
CREATE TABLE utm_medium (id serial PRIMARY KEY, name varchar NOT NULL, active boolean);
CREATE TABLE crm_lost_reason (id serial PRIMARY KEY, name jsonb NOT NULL, active boolean);
CREATE TABLE crm_stage (id serial PRIMARY KEY, sequence int, team_id int, name jsonb NOT NULL, is_won boolean, fold boolean);
CREATE TABLE res_partner (id serial PRIMARY KEY, name varchar, is_company boolean, active boolean,
	industry_id int REFERENCES res_partner_industry, country_id int REFERENCES res_country, email varchar, phone varchar);
CREATE TABLE crm_lead (id serial PRIMARY KEY, name varchar NOT NULL, "type" varchar NOT NULL, active boolean,
	contact_name varchar, partner_name varchar, "function" varchar, email_from varchar, email_normalized varchar,
	email_state varchar, message_bounce int, phone varchar, priority varchar, description text,
	partner_id int REFERENCES res_partner ON DELETE SET NULL, country_id int REFERENCES res_country,
	source_id int REFERENCES utm_source ON DELETE SET NULL, medium_id int REFERENCES utm_medium ON DELETE SET NULL,
	stage_id int REFERENCES crm_stage ON DELETE RESTRICT, lost_reason_id int REFERENCES crm_lost_reason ON DELETE RESTRICT,
	user_id int, team_id int, company_id int, expected_revenue numeric,
	probability double precision CHECK (probability BETWEEN 0 AND 100), automated_probability double precision,
	date_open timestamp, date_closed timestamp, create_date timestamp, write_date timestamp);
CREATE INDEX crm_lead_stage_id_index ON crm_lead (stage_id);
CREATE TABLE mail_message (id serial PRIMARY KEY, model varchar, res_id int, message_type varchar NOT NULL,
	author_id int, email_from varchar, subject varchar, body text, is_internal boolean, "date" timestamp);
CREATE INDEX mail_message_model_res_id_idx ON mail_message (model, res_id);
CREATE TABLE mailing_trace (id serial PRIMARY KEY, model varchar NOT NULL, res_id int, mass_mailing_id int, trace_type varchar NOT NULL,
	email varchar, trace_status varchar, sent_datetime timestamp, open_datetime timestamp, reply_datetime timestamp, links_click_datetime timestamp);

INSERT INTO res_country (name, code) VALUES ('{"en_US": "Germany", "de_DE": "Deutschland"}', 'DE'), ('{"en_US": "France"}', 'FR'), ('{"en_US": "Poland"}', 'PL');
INSERT INTO res_partner_industry (name, active) VALUES ('{"en_US": "Manufacturing", "de_DE": "Verarbeitendes Gewerbe"}', true), ('{"en_US": "Education"}', true);
INSERT INTO utm_source (name) VALUES ('Search engine'), ('Newsletter'), ('Trade fair'), ('Partner referral'), ('Purchased list');
INSERT INTO utm_medium (name, active) VALUES ('Website', true), ('Email', true), ('Phone', true);
INSERT INTO crm_lost_reason (name, active) VALUES ('{"en_US": "Too expensive"}', true), ('{"en_US": "Competitor"}', true);
INSERT INTO crm_stage (sequence, name, is_won, fold) VALUES (1, '{"en_US": "New", "de_DE": "Neu"}', false, false),
	(2, '{"en_US": "Qualified", "de_DE": "Qualifiziert"}', false, false), (3, '{"en_US": "Proposition", "de_DE": "Angebot"}', false, false),
	(70, '{"en_US": "Won", "de_DE": "Gewonnen"}', true, true);
INSERT INTO res_partner (name, is_company, active, industry_id, country_id) VALUES
	('Kessel und Rohr GmbH', true, true, 1, 1), ('Lycée Bellevue', true, true, 2, 2), ('Huta Wschód', true, true, 1, 3);
INSERT INTO crm_lead (name, "type", active, contact_name, partner_name, "function", email_normalized, email_state, message_bounce, phone, priority,
	partner_id, source_id, medium_id, stage_id, lost_reason_id, user_id, expected_revenue, probability, automated_probability, create_date)
SELECT v.name, v.type, v.active, v.contact, v.firm, v.job, v.email, v.state, v.bounce, v.phone, '0',
	v.partner, v.source, v.medium, v.stage, v.reason, v.usr, v.revenue, v.probability, v.automated, (now() AT TIME ZONE 'UTC') - v.age * interval '1 day'
FROM (VALUES
	('Pump station',      'lead',        true,  'Ida Brandt',    'Kessel und Rohr', 'Head of Production', 'ida@kessel.example.com',   'correct',   0, '+49 30 555001', 1, 1, 1, 1, NULL::int, NULL::int, 12000, 20, 20, 9),
	('Spare parts',       'lead',        true,  'Olaf Reimer',   'Reimer Technik',  'CEO',                'olaf@reimer.example.com',  'correct',   0, '+49 30 555002', NULL, 3, 3, 1, NULL, NULL, 5000, 15, 15, 30),
	('Brochure',          'lead',        true,  'Tom Weiss',     'TH Nord',         'Student',            'tom@nord.example.com',     'correct',   0, NULL, NULL, 1, 1, 1, NULL, NULL, 0, 5, 5, 12),
	('Price list',        'lead',        true,  'Anna Nowak',    'Huta Wschód',     'Purchasing manager', 'anna@huta.example.com',    'correct',   0, '+48 22 5550003', 3, 2, 2, 1, NULL, 7, 8000, 30, 30, 20),
	('From a list',       'lead',        true,  'J. Doe',        'Unknown',         NULL,                 'jdoe@list.example.com',    'correct',   0, NULL, NULL, 5, 2, 1, NULL, NULL, 0, 3, 3, 60),
	('Bounces',           'lead',        true,  'Bea Klein',     'Klein KG',        'Manager',            'bea@klein.example.com',    'correct',   4, NULL, NULL, 5, 2, 1, NULL, NULL, 9000, 3, 3, 80),
	('Two presses',       'opportunity', true,  'Luc Martin',    'Lycée Bellevue',  'Head of Workshop',   'luc@bellevue.example.com', 'correct',   0, '+33 1 5550004', 2, 4, 1, 2, NULL, 7, 15000, 40, 35, 25),
	('Boiler room',       'opportunity', true,  'Eva Stahl',     'Stahlwerk Süd',   'CTO',                'eva@stahl.example.com',    'correct',   0, '+49 89 555005', NULL, 4, 3, 3, NULL, 8, 40000, 60, 55, 50),
	('Retrofit',          'opportunity', true,  'Jan Mazur',     'Huta Wschód',     'Director',           'jan@huta.example.com',     'correct',   0, '+48 22 5550006', 3, 1, 1, 4, NULL, 8, 20000, 100, 90, 120),
	('Cheap pumps',       'opportunity', false, 'Max Geiz',      'Geiz AG',         'Owner',              'max@geiz.example.com',     'correct',   0, NULL, NULL, 1, 1, 2, 1, 7, 1000, 0, 10, 70),
	('Old enquiry',       'lead',        false, 'Rita Alt',      'Alt und Co',      'CEO',                'rita@alt.example.com',     'correct',   0, NULL, NULL, 1, 1, 1, NULL, NULL, 6000, 10, 10, 400),
	('Newsletter reader', 'lead',        true,  'Nils Berg',     'Berg Logistik',   'Managing director',  'nils@berg.example.com',    'correct',   0, NULL, NULL, 2, 2, 1, NULL, NULL, 3000, 12, 12, 45)
) v(name, type, active, contact, firm, job, email, state, bounce, phone, partner, source, medium, stage, reason, usr, revenue, probability, automated, age);
INSERT INTO mail_message (model, res_id, message_type, subject, is_internal, "date")
SELECT v.model, v.res_id, v.type, v.subject, v.type = 'notification', (now() AT TIME ZONE 'UTC') - v.age * interval '1 day'
FROM (VALUES ('crm.lead', 1, 'email', 'Enquiry', 9), ('crm.lead', 1, 'comment', 'Re: Enquiry', 8), ('crm.lead', 1, 'email', 'Re: Enquiry', 2),
	('crm.lead', 2, 'notification', 'Lead created', 30), ('crm.lead', 2, 'email', 'Spare parts', 1), ('crm.lead', 4, 'email', 'Prices?', 6), ('crm.lead', 7, 'email', 'Drawings', 3),
	('crm.lead', 8, 'email', 'Offer?', 75), ('crm.lead', 12, 'notification', 'Lead created', 45), ('res.partner', 2, 'email', 'Invoice', 1)) v(model, res_id, type, subject, age);
INSERT INTO mailing_trace (model, res_id, mass_mailing_id, trace_type, email, trace_status, sent_datetime, open_datetime, links_click_datetime)
SELECT v.model, v.res_id, 1, 'mail', v.email, v.status, t - interval '3 hours', CASE WHEN v.status = 'open' THEN t - interval '1 hour' END, CASE WHEN v.click THEN t END
FROM (VALUES ('crm.lead', 1, 'ida@kessel.example.com', 'open', true, 4), ('crm.lead', 2, 'olaf@reimer.example.com', 'open', false, 4),
	('crm.lead', 4, 'anna@huta.example.com', 'open', true, 4), ('crm.lead', 6, 'bea@klein.example.com', 'bounce', false, 4),
	('mailing.contact', 1, 'Nils@Berg.example.com', 'open', true, 5), ('mailing.contact', 2, 'someone@else.example.com', 'open', true, 5)) v(model, res_id, email, status, click, age),
	LATERAL (SELECT (now() AT TIME ZONE 'UTC') - v.age * interval '1 day') AS x(t);
\endif
