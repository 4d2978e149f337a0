-- What docs/troubleshooting.md works with: a small CRM, and a model that is attached to it.
SET client_min_messages = warning;
CREATE EXTENSION leadscore;

CREATE TABLE company (id integer PRIMARY KEY, name text, country text);
CREATE TABLE lead (
	id integer PRIMARY KEY, email text, title text, employees integer, industry text,
	company_id integer REFERENCES company, created timestamptz NOT NULL DEFAULT now(), may_contact boolean NOT NULL DEFAULT true,
	custom jsonb NOT NULL DEFAULT '{}');
CREATE TABLE visit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead_id integer, page text, at timestamptz);
CREATE INDEX ON visit (lead_id);
CREATE TABLE mail (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, recipient text, kind text, at timestamp);
CREATE INDEX ON mail (lower(recipient));

INSERT INTO company VALUES (1, 'Voltworks', 'PL'), (2, 'Papermill', 'DE');
INSERT INTO lead (id, email, title, employees, industry, company_id) VALUES
	(1, 'ann@voltworks.example',  'IT director', 120, 'energy', 1),
	(2, 'bob@papermill.example',  'Intern',        8, NULL,     2),
	(3, 'eve@example.com',        'Sales director', 80, 'mining', NULL),
	(4, 'joe@example.com',        'Consultant',   200, 'energy', NULL),
	(5, 'zoe@rival.example',      'Director',     500, 'energy', NULL);
UPDATE lead SET may_contact = false WHERE id = 4;

INSERT INTO leadscore.model (name, target, created_at, consent) VALUES ('b2b', 'lead', 'created', 'may_contact');
INSERT INTO leadscore.factor (model, name, axis, points_cap) VALUES
	('b2b', 'company size', 'fit', NULL), ('b2b', 'position', 'fit', NULL), ('b2b', 'rivals', 'fit', NULL),
	('b2b', 'web site', 'engagement', 40);
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at)
	VALUES ('b2b', 'visit', 'visit', 'lead_id', 'at');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies, activity, half_life) VALUES
	('b2b', 'company size', 'large',    'key',        'employees >= 100',                25, false, NULL,    NULL),
	('b2b', 'company size', 'medium',   'acceptable', 'employees BETWEEN 50 AND 249',    15, false, NULL,    NULL),
	('b2b', 'company size', 'small',    'negative',   'employees < 50',                  -5, false, NULL,    NULL),
	('b2b', 'position',     'director', 'key',        $$title ILIKE '%director%'$$,      30, false, NULL,    NULL),
	('b2b', 'rivals',       'rival',    'negative',   $$email LIKE '%@rival.example'$$,   0, true,  NULL,    NULL),
	('b2b', 'web site',     'pricing',  'key',        $$page LIKE '/pricing%'$$,         10, false, 'visit', '7 days'),
	('b2b', 'web site',     'any page', 'acceptable', 'true',                             1, false, 'visit', '7 days');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('b2b', 'lead', 'mql', 'scored.score >= 50', true),
	('b2b', 'mql', 'sal', $$industry = 'energy'$$, true),
	('b2b', 'sal', 'sql', NULL, false),
	('b2b', 'sal', 'nurture', NULL, false),
	('b2b', 'nurture', 'mql', 'scored.score >= 50', true),
	('b2b', 'sql', 'opportunity', NULL, false),
	('b2b', 'opportunity', 'customer', NULL, false);
-- hours and days that are not the rules' own, so that no result is on an edge
INSERT INTO visit (lead_id, page, at) VALUES
	(1, '/pricing', now() - interval '10 days'), (1, '/pricing', now() - interval '3 days'),
	(1, '/pricing', now() - interval '1 hour'), (1, '/pricing/pl', now() - interval '1 hour'),
	(1, '/pricing/pl', now() - interval '1 hour'), (1, '/blog', now() - interval '1 hour');
SELECT leads FROM leadscore.attach('b2b');
