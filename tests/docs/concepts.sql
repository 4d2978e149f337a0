-- What docs/concepts.md is about: five leads whose visits have fixed dates, and
-- 600 leads of the year 2025 with what became of them.  Days are of 24 hours.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET TimeZone = ''UTC''', current_database()); END $$;
SET TimeZone = 'UTC';
CREATE EXTENSION leadscore;

CREATE TABLE lead (
	id			int PRIMARY KEY,
	name		text NOT NULL,
	title		text,
	employees	int,
	listed		boolean,					-- is the company's share traded?
	competitor	boolean NOT NULL DEFAULT false,
	email		text,
	phone		text,
	consent		boolean NOT NULL DEFAULT true
);
INSERT INTO lead VALUES
	(1, 'Ann',	'IT director',			120,	false,	false,	'ann@example.com',	'+1 555 01', true),
	(2, 'Bob',	'Intern',				8,		NULL,	false,	'bob@example.com',	NULL,		 true),
	(3, 'Cleo',	'Operations director',	3000,	true,	false,	'cleo@example.com',	'+1 555 03', true),
	(4, 'Dan',	NULL,					NULL,	NULL,	false,	'dan@example.com',	NULL,		 true),
	(5, 'Eve',	'Marketing director',	200,	NULL,	true,	'eve@example.com',	NULL,		 true);

CREATE TABLE visit (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead_id int, page text, at timestamptz);
CREATE INDEX ON visit (lead_id);
INSERT INTO visit (lead_id, page, at) VALUES
	(1, '/pricing', '2025-03-01 12:00+00'), (1, '/pricing', '2025-03-08 12:00+00'), (1, '/pricing', '2025-03-15 12:00+00'),
	(2, '/pricing', '2025-03-13 12:00+00'), (2, '/pricing', '2025-03-14 09:00+00'), (2, '/pricing', '2025-03-14 10:00+00'),
	(2, '/pricing', '2025-03-15 10:00+00'), (2, '/pricing', '2025-03-15 11:00+00'),
	(3, '/pricing', '2025-02-08 12:00+00'),
	(5, '/pricing', '2025-03-15 11:00+00'), (5, '/pricing', '2025-03-15 11:30+00');

-- Made up by hashes: everybody reads something now and then; who is in earnest
-- comes more often in the weeks before the decision, and buys more often.
CREATE FUNCTION chance(seed text) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT
	RETURN ('x' || left(md5(seed), 7))::bit(28)::int / 268435456.0::float8;
CREATE TABLE past_lead (
	id			int PRIMARY KEY,
	employees	int,
	position	text,
	channel		text,
	created_at	timestamptz,
	decided_at	timestamptz,
	won			boolean
);
INSERT INTO past_lead
SELECT id, 5 + floor(500 * chance('size' || id) ^ 1.5)::int,
	   (ARRAY['director', 'manager', 'manager', 'specialist', 'specialist', NULL])[1 + floor(6 * chance('position' || id))::int],
	   (ARRAY['search', 'search', 'social', 'social', 'social', 'referral'])[1 + floor(6 * chance('channel' || id))::int],
	   timestamptz '2025-01-02 09:00+00' + interval '1 hour' * floor(24 * 175 * chance('born' || id)),
	   NULL, NULL
FROM generate_series(1, 600) id;
UPDATE past_lead SET decided_at = created_at + interval '1 hour' * floor(24 * (40 + 60 * chance('wait' || id)));
UPDATE past_lead SET won = chance('luck' || id) <
	0.55 * chance('interest' || id) ^ 3
	+ 0.13 * (employees BETWEEN 50 AND 249)::int + CASE position WHEN 'director' THEN 0.13 WHEN 'manager' THEN 0.06 ELSE -0.03 END
	+ CASE channel WHEN 'referral' THEN 0.12 WHEN 'search' THEN 0.03 ELSE -0.03 END
	- 0.06 * (employees < 20)::int;
CREATE TABLE past_visit (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead_id int, page text, at timestamptz);
INSERT INTO past_visit (lead_id, page, at)
SELECT id, CASE WHEN chance('page' || id || '/' || n) < 0.4 THEN '/pricing' ELSE '/blog' END,
	   decided_at - interval '1 minute' * floor(60 * 24 * (15 + 80 * chance('old' || id || '/' || n)))
FROM past_lead, generate_series(1, floor(22 * chance('reader' || id))::int) n
UNION ALL
SELECT id, CASE WHEN chance('later page' || id || '/' || n) < 0.6 THEN '/pricing' ELSE '/blog' END,
	   decided_at - interval '1 minute' * floor(60 * 24 * 20 * chance('new' || id || '/' || n) ^ 1.5)
FROM past_lead, generate_series(1, floor(9 * chance('interest' || id))::int) n;
CREATE INDEX ON past_visit (lead_id);
