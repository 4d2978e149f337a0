-- What docs/faq.md works with: a small CRM, and a model that is not attached yet.
SET client_min_messages = warning;
CREATE EXTENSION leadscore;

CREATE TABLE lead (
	id integer PRIMARY KEY, email text, title text, employees integer, industry text,
	created timestamptz NOT NULL DEFAULT now(), opted_in boolean NOT NULL DEFAULT true, tenant integer NOT NULL DEFAULT 1);
CREATE TABLE visit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead_id integer, page text, at timestamptz);
CREATE INDEX ON visit (lead_id);
INSERT INTO lead (id, email, title, employees, industry) VALUES
	(1, 'ann@voltworks.example', 'IT director',  120, 'energy'),
	(2, 'bob@papermill.example', 'Intern',         8, NULL),
	(3, 'eve@mineral.example',   'Sales director', 80, 'mining'),
	(4, 'joe@rival.example',     'Director',      500, 'energy');
INSERT INTO visit (lead_id, page, at) VALUES
	(1, '/pricing', '2026-01-08 12:00+00'), (1, '/pricing', '2026-01-15 12:00+00'),
	(3, '/pricing', now() - interval '3 days'), (3, '/pricing', now() - interval '1 day 1 hour'), (3, '/blog', now() - interval '1 hour');

INSERT INTO leadscore.model (name, target, created_at, consent) VALUES ('b2b', 'lead', 'created', 'opted_in');
INSERT INTO leadscore.factor (model, name, axis, points_cap) VALUES
	('b2b', 'company size', 'fit', NULL), ('b2b', 'position', 'fit', NULL), ('b2b', 'web site', 'engagement', 15);
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('b2b', 'visit', 'visit', 'lead_id', 'at');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies, activity, half_life) VALUES
	('b2b', 'company size', 'medium',   'key',      'employees BETWEEN 50 AND 249',    25, false, NULL,    NULL),
	('b2b', 'company size', 'small',    'negative', 'employees < 50',                  -5, false, NULL,    NULL),
	('b2b', 'position',     'director', 'key',      $$title ILIKE '%director%'$$,      30, false, NULL,    NULL),
	('b2b', 'position',     'rival',    'negative', $$email LIKE '%@rival.example'$$, -20, true,  NULL,    NULL),
	('b2b', 'web site',     'pricing',  'key',      $$page LIKE '/pricing%'$$,         10, false, 'visit', '7 days');
