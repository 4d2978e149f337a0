-- The little CRM of docs/cookbook.md: companies, contacts, what contacts do,
-- and deals.  Times are relative to now(), but for those of "visit" whose day
-- of the week matters; days are of 24 hours, wherever the server is.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''UTC''', current_database()); END $$;
SET TimeZone = 'UTC';
CREATE EXTENSION leadscore;

CREATE TABLE company (
	id			int PRIMARY KEY,
	name		text NOT NULL,
	employees	int,
	industry	text,
	country		text,						-- ISO 3166, two letters
	revenue		numeric,					-- EUR a year
	technologies text[] NOT NULL DEFAULT '{}',
	icp			boolean NOT NULL DEFAULT false,
	status		text,						-- prospect, customer, partner
	tier		text						-- A, B, C: kept by account management
);
INSERT INTO company VALUES
	(1, 'Norlys Energi',    1200, 'energy',      'DK', 310000000, '{sap,snowflake}',     true,  'prospect', 'A'),
	(2, 'Brandt Logistik',   140, 'logistics',   'DE',  22000000, '{hubspot}',           false, 'prospect', 'B'),
	(3, 'Kopalnia Halina',    60, 'mining',      'PL',   9000000, '{}',                  true,  'prospect', NULL),
	(4, 'Tiny Studio',         6, 'media',       'FR',    400000, '{}',                  false, NULL,       'C'),
	(5, 'Rival Soft',        300, 'software',    'US',  40000000, '{postgresql}',        false, NULL,       NULL),
	(6, 'Helios Bank',      5200, 'finance',     'PL', 900000000, '{oracle,salesforce}', false, 'customer', 'A'),
	(7, 'Aurora Clinics',   NULL, 'healthcare',  'SE',      NULL, '{sap}',               false, 'prospect', NULL);

CREATE TABLE competitor (domain text PRIMARY KEY);
INSERT INTO competitor VALUES ('rival.example');
CREATE TABLE free_mail (domain text PRIMARY KEY);
INSERT INTO free_mail VALUES ('freemail.example'), ('postbox.example');
CREATE TABLE disposable_mail (domain text PRIMARY KEY);
INSERT INTO disposable_mail VALUES ('tenminutes.example');

CREATE TABLE contact (
	id			int PRIMARY KEY,
	name		text NOT NULL,
	email		text,
	phone		text,
	title		text,
	department	text,
	company_id	int REFERENCES company,
	source		text,						-- website, webinar, fair, referral, purchased list
	utm_campaign text,
	referred_by	int REFERENCES contact,
	consent		boolean NOT NULL DEFAULT true,
	email_status text,						-- valid, bounced, unknown
	created_at	timestamptz NOT NULL DEFAULT now(),
	contract_ends date,						-- of what they use today
	next_step_due timestamptz,
	tags		text[] NOT NULL DEFAULT '{}',
	custom		jsonb NOT NULL DEFAULT '{}',
	budget		numeric,
	authority	text,						-- decides, influences, none
	need		text,
	timeline	text
);
INSERT INTO contact (id, name, email, phone, title, department, company_id, source, utm_campaign, referred_by, consent, email_status,
					 created_at, contract_ends, next_step_due, tags, custom, budget, authority, need, timeline) VALUES
	(1, 'Ada Holm', 'ada.holm@norlys.example', '+45 70 10 00 01', 'Chief Information Officer', 'IT', 1, 'webinar', 'spring-energy', NULL, true, 'valid',
		now() - interval '40 days', (now() + interval '60 days')::date, NULL, '{event,energy}', '{"plan": "enterprise", "seats": 400, "interests": ["audit", "api"]}',
		80000, 'decides', 'replace audit tool', 'this quarter'),
	(2, 'Bernd Krause', 'b.krause@brandt.example', '+49 40 555 02', 'Leiter Einkauf', 'Purchasing', 2, 'website', 'pricing-ads', NULL, true, 'valid',
		now() - interval '12 days', (now() + interval '400 days')::date, NULL, '{}', '{"plan": "pro", "seats": "60", "interests": ["api"]}',
		15000, 'influences', NULL, NULL),
	(3, 'Celina Nowak', 'c.nowak@halina.example', NULL, 'Dyrektor ds. IT', 'IT', 3, 'referral', NULL, 6, true, 'valid',
		now() - interval '3 days', (now() + interval '30 days')::date, now() - interval '2 days', '{partner}', '{"plan": "pro", "seats": "about 50"}',
		NULL, 'decides', 'pass the inspection', 'this year'),
	(4, 'David Reed', 'david(at)tiny.example', '', 'Intern', 'Studio', 4, 'website', '', NULL, true, 'valid',
		now() - interval '5 days', NULL, NULL, '{}', '{}', NULL, 'none', NULL, NULL),
	(5, 'Emma Cole', 'emma.cole@rival.example', '+1 555 0105', 'Product Manager', 'Product', 5, 'website', 'spring-energy', NULL, true, 'valid',
		now() - interval '20 days', NULL, NULL, '{}', '{"interests": ["api"]}', NULL, NULL, NULL, NULL),
	(6, 'Filip Zielinski', 'filip.zielinski@helios.example', '+48 22 555 06', 'IT Manager', 'IT', 6, 'fair', NULL, NULL, true, 'valid',
		now() - interval '300 days', NULL, NULL, '{event}', '{"plan": "enterprise", "seats": 900}', NULL, 'decides', NULL, NULL),
	(7, 'Greta Lind', 'greta.lind@aurora.example', '+46 8 555 07', 'VP Operations', 'Operations', 7, 'webinar', 'spring-health', NULL, true, 'unknown',
		now() - interval '30 days', NULL, NULL, '{event}', '{"plan": null}', NULL, 'decides', 'fewer mistakes', 'this quarter'),
	(8, 'Hugo Petit', 'hugo.petit@freemail.example', NULL, 'Student', NULL, NULL, 'website', NULL, NULL, true, 'unknown',
		now() - interval '6 days', NULL, NULL, '{}', '{}', NULL, NULL, NULL, NULL),
	(9, 'Ines Costa', '', NULL, NULL, NULL, 4, 'fair', NULL, NULL, false, NULL,
		now() - interval '90 days', NULL, NULL, '{}', '{}', NULL, NULL, NULL, NULL),
	(10, 'Jonas Berg', 'Jonas.Berg@NORLYS.example', '+45 70 10 00 10', 'Assistant to the CIO', 'IT', 1, 'website', NULL, NULL, true, 'valid',
		now() - interval '8 days', NULL, NULL, '{energy}', '{"seats": null}', NULL, 'none', NULL, NULL),
	(11, 'Kara Miles', 'x93@tenminutes.example', NULL, 'CEO', NULL, NULL, 'website', NULL, NULL, true, 'unknown',
		now() - interval '2 days', NULL, NULL, '{}', '{}', NULL, NULL, NULL, NULL),
	(12, 'Liam Frost', 'liam.frost@postbox.example', '+44 20 555 12', 'Looking for a new position', NULL, NULL, 'website', NULL, NULL, true, 'valid',
		now() - interval '15 days', NULL, NULL, '{}', '{}', NULL, NULL, NULL, NULL),
	(13, 'A. Holm', 'ADA.HOLM@norlys.example', NULL, 'CIO', NULL, 1, 'fair', NULL, NULL, true, 'valid',
		now() - interval '100 days', NULL, NULL, '{event}', '{}', NULL, NULL, NULL, NULL),
	(14, 'Marie Roux', 'marie.roux@tiny.example', '+33 1 55 55 14', 'Directrice des achats', 'Achats', 4, 'purchased list', NULL, NULL, true, 'valid',
		now() - interval '50 days', NULL, NULL, '{}', '{}', 3000, 'decides', NULL, NULL),
	(15, 'Nils Vik', 'nils.vik@aurora.example', NULL, 'Consultant', 'Operations', 7, 'purchased list', NULL, NULL, true, 'bounced',
		now() - interval '50 days', NULL, NULL, '{}', '{}', NULL, NULL, NULL, NULL),
	(16, 'Olga Roth', 'olga@postbox.example', NULL, 'Head of IT', 'IT', 2, 'website', 'pricing-ads', NULL, true, 'valid',
		now() - interval '9 days', NULL, NULL, '{trial}', '{"plan": "trial", "seats": 5}', NULL, 'influences', 'one place for reports', NULL);

-- what contacts do

CREATE TABLE visit (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id int, url text, at timestamptz);
CREATE INDEX ON visit (contact_id);
INSERT INTO visit (contact_id, url, at) VALUES
	(1, '/blog/audit',		now() - interval '35 days'),
	(1, '/pricing',			now() - interval '4 days'),
	(1, '/pricing/energy',	now() - interval '2 days'),
	(1, '/security',		now() - interval '1 day'),
	(1, '/pricing',			now() - interval '1 day'),
	(2, '/pricing',			now() - interval '10 days'),
	(2, '/docs/api',		now() - interval '9 days'),
	(4, '/careers',			now() - interval '5 days'),
	(5, '/pricing',			now() - interval '1 day'),
	(5, '/docs/api',		now() - interval '1 day'),
	(6, '/support/ticket',	now() - interval '3 days'),
	(7, '/cases/hospital',	now() - interval '29 days'),
	(8, '/blog/thesis',		now() - interval '6 days'),
	(10, '/pricing',		now() - interval '7 hours'),
	(10, '/security',		now() - interval '6 hours'),
	(10, '/cases/energy',	now() - interval '5 hours'),
	(10, '/demo',			now() - interval '4 hours'),
	-- a Saturday, a Wednesday at night and one at noon
	(13, '/cases/energy',	'2025-01-04 10:00+00'),
	(14, '/cases/retail',	'2025-01-08 23:30+00'),
	(15, '/cases/retail',	'2025-01-08 12:00+00'),
	(16, '/pricing',		now() - interval '8 days');

CREATE TABLE mail_event (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id text, recipient text, kind text, at timestamptz);
CREATE INDEX ON mail_event (lower(recipient));
INSERT INTO mail_event (message_id, recipient, kind, at)
	SELECT 'm' || i, 'b.krause@brandt.example', 'open', now() - i * interval '1 day' FROM generate_series(1, 9) i;
INSERT INTO mail_event (message_id, recipient, kind, at) VALUES
	('m1', 'Ada.Holm@norlys.example',	'open',			now() - interval '20 days'),
	('m1', 'ada.holm@norlys.example',	'click',		now() - interval '20 days'),
	('m2', 'ada.holm@norlys.example',	'click',		now() - interval '6 days'),
	('m2', 'ada.holm@norlys.example',	'click',		now() - interval '6 days'),		-- the same, delivered twice
	('m3', 'b.krause@brandt.example',	'click',		now() - interval '3 days'),
	('m3', 'hugo.petit@freemail.example', 'unsubscribe', now() - interval '2 days'),
	('m3', 'nils.vik@aurora.example',	'hard bounce',	now() - interval '45 days');

CREATE TABLE form_submission (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id int, form text, at timestamptz);
CREATE INDEX ON form_submission (contact_id);
INSERT INTO form_submission (contact_id, form, at) VALUES
	(1, 'webinar',		now() - interval '40 days'),
	(2, 'newsletter',	now() - interval '12 days'),
	(3, 'demo',			now() - interval '3 days'),
	(4, 'job application', now() - interval '5 days'),
	(7, 'e-book',		now() - interval '30 days'),
	(10, 'e-book',		now() - interval '5 hours');

CREATE TABLE call (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id int, outcome text, minutes int, at timestamptz);
CREATE INDEX ON call (contact_id);
INSERT INTO call (contact_id, outcome, minutes, at) VALUES
	(1, 'held',			25,	now() - interval '5 days'),
	(2, 'held',			3,	now() - interval '8 days'),
	(14, 'no answer',	0,	now() - interval '20 days'),
	(14, 'no answer',	0,	now() - interval '15 days'),
	(14, 'no answer',	0,	now() - interval '10 days');

CREATE TABLE webinar_seat (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id int, webinar text, status text,
						   questions int NOT NULL DEFAULT 0, at timestamptz);
CREATE INDEX ON webinar_seat (contact_id);
INSERT INTO webinar_seat (contact_id, webinar, status, questions, at) VALUES
	(1, 'Audit without fear', 'attended', 2, now() - interval '30 days'),
	(7, 'Audit without fear', 'attended', 0, now() - interval '30 days'),
	(6, 'Audit without fear', 'registered', 0, now() - interval '30 days'),
	(2, 'Audit without fear', 'registered', 0, now() + interval '9 days');

CREATE TABLE product_event (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id int, event text, at timestamptz);
CREATE INDEX ON product_event (contact_id);
INSERT INTO product_event (contact_id, event, at) VALUES
	(16, 'signed up',			now() - interval '9 days'),
	(16, 'imported data',		now() - interval '8 days'),
	(16, 'invited a colleague',	now() - interval '7 days'),
	(16, 'logged in',			now() - interval '3 days'),
	(16, 'logged in',			now() - interval '2 days'),
	(16, 'logged in',			now() - interval '1 day'),
	(10, 'signed up',			now() - interval '3 hours');

CREATE TABLE chat (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, contact_id int, started_by text, at timestamptz);
CREATE INDEX ON chat (contact_id);
INSERT INTO chat (contact_id, started_by, at) VALUES
	(2, 'visitor', now() - interval '10 days'),
	(8, 'bot',     now() - interval '6 days');

CREATE TABLE deal (id int PRIMARY KEY, company_id int REFERENCES company, amount numeric, status text);		-- open, won, lost
INSERT INTO deal VALUES (1, 6, 120000, 'won'), (2, 1, 90000, 'open'), (3, 1, 20000, 'open'), (4, 2, 8000, 'lost');

-- Leads of last year and what became of them, made up by hashes: who has a
-- budget and comes by referral buys more often.
CREATE TABLE past_lead (id int PRIMARY KEY, source text, employees int, budget boolean, won boolean NOT NULL);
INSERT INTO past_lead
SELECT id, source, employees, budget,
	   luck < CASE source WHEN 'referral' THEN 0.28 WHEN 'webinar' THEN 0.16 WHEN 'website' THEN 0.11 ELSE 0.03 END
			  * CASE WHEN employees BETWEEN 50 AND 249 THEN 1.5 WHEN employees < 50 THEN 0.6 ELSE 1 END
			  * CASE WHEN budget THEN 1.6 ELSE 0.7 END
FROM (SELECT id,
			 (ARRAY['website', 'website', 'website', 'webinar', 'webinar', 'referral', 'purchased list', 'purchased list'])[1 + ('x' || left(md5('source' || id), 7))::bit(28)::int % 8] AS source,
			 5 + ('x' || left(md5('size' || id), 7))::bit(28)::int % 400 AS employees,
			 ('x' || left(md5('budget' || id), 7))::bit(28)::int % 3 = 0 AS budget,
			 ('x' || left(md5('luck' || id), 7))::bit(28)::int / 268435456.0 AS luck
	  FROM generate_series(1, 2000) id) drawn;
