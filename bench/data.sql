-- bench/data.sql: the leads.
--
-- psql variables: rows (leads to make).  Deterministic: same rows, same leads.
-- Everything is UNLOGGED, vacuumed, analyzed and small enough for
-- shared_buffers, so that the scans measure processor time and no disk.

CREATE UNLOGGED TABLE bench.lead (
	id					bigint PRIMARY KEY,
	email				text,
	company_size		text,		-- the six columns of the template matrix
	knowledge_level		text,
	purchase_motivation	text,
	decision_power		text,
	position			text,		-- 3 plain words, else one of 12 000 job codes
	webinar				text,
	title				text,		-- one of 12 000 job titles of 15 to 55 characters
	country				text,
	employees			integer,
	revenue				numeric(12,2),
	postal_code			integer,
	page_views			integer,
	last_visit			date,
	created_at			timestamptz,
	custom				jsonb
) WITH (autovacuum_enabled = off, parallel_workers = 2);

-- Job code number i of 12 000: "J04711"
CREATE FUNCTION bench.code(i integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'J' || lpad(i::text, 5, '0');

-- Job title number i of 12 000: "deputy head of logistics, energy"
CREATE FUNCTION bench.title(i integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN
	(ARRAY['head of', 'deputy head of', 'vice president', 'chief of', 'lead',
		   'senior officer', 'officer', 'junior officer', 'coordinator of', 'analyst',
		   'senior analyst', 'consultant', 'director of', 'regional director of', 'assistant',
		   'team leader', 'administrator', 'planner', 'buyer', 'partner'])[1 + i % 20]
	|| ' ' ||
	(ARRAY['sales', 'marketing', 'logistics', 'procurement', 'finance', 'controlling',
		   'accounting', 'human resources', 'training', 'production', 'quality',
		   'maintenance', 'research', 'development', 'engineering', 'security',
		   'information systems', 'data', 'support', 'service', 'legal', 'compliance',
		   'risk', 'communication', 'operations'])[1 + i / 20 % 25]
	|| ', ' ||
	(ARRAY['automotive', 'energy', 'mining', 'chemistry', 'pharma', 'health', 'food',
		   'retail', 'wholesale', 'banking', 'insurance', 'telecom', 'media', 'software',
		   'construction', 'real estate', 'transport', 'aviation', 'tourism', 'education',
		   'public sector', 'agriculture', 'textiles', 'defence'])[1 + i / 500 % 24];

SET max_parallel_workers_per_gather = 0;
SELECT setseed(0.42) AS seed \gset

INSERT INTO bench.lead
SELECT
	id,
	CASE WHEN r[1] < 0.95 THEN
		'lead' || id || '@' ||
		(ARRAY['example.com', 'gmail.com', 'acme.com', 'outlook.com', 'contoso.de',
			   'globex.net', 'initech.org', 'campus.edu'])[1 + (r[2] * 8)::int % 8] END,
	CASE WHEN r[3] < 0.20 THEN 'large' WHEN r[3] < 0.50 THEN 'medium'
		 WHEN r[3] < 0.92 THEN 'small' END,
	CASE WHEN r[4] < 0.15 THEN 'expert' WHEN r[4] < 0.55 THEN 'specialist'
		 WHEN r[4] < 0.85 THEN 'junior specialist' END,
	CASE WHEN r[5] < 0.25 THEN 'fear of mistakes' WHEN r[5] < 0.55 THEN 'peace at work'
		 WHEN r[5] < 0.80 THEN 'personal growth' END,
	CASE WHEN r[6] < 0.20 THEN 'decides alone' WHEN r[6] < 0.50 THEN 'short path'
		 WHEN r[6] < 0.85 THEN 'long path' END,
	CASE WHEN r[7] < 0.03 THEN 'director' WHEN r[7] < 0.09 THEN 'manager'
		 WHEN r[7] < 0.15 THEN 'specialist' WHEN r[7] < 0.95 THEN bench.code((r[8] * 11999)::int) END,
	CASE WHEN r[9] < 0.50 THEN 'not registered' WHEN r[9] < 0.65 THEN 'registered, absent'
		 WHEN r[9] < 0.80 THEN 'attended' WHEN r[9] < 0.85 THEN 'attended + question'
		 WHEN r[9] < 0.93 THEN 'attended + e-book' WHEN r[9] < 0.96 THEN 'attended + question + e-book' END,
	CASE WHEN r[25] < 0.90 THEN bench.title((r[26] * 11999)::int) END,
	CASE WHEN r[10] < 0.96 THEN
		(ARRAY['DE', 'AT', 'CH', 'FR', 'BE', 'US', 'GB', 'CZ', 'PL', 'NL', 'ES', 'IT'])[1 + (r[10] * 100)::int % 12] END,
	CASE WHEN r[11] < 0.94 THEN (exp(r[12] * 9))::int END,
	CASE WHEN r[13] < 0.80 THEN exp(8 + r[14] * 10)::numeric(12,2) END,
	CASE WHEN r[15] < 0.95 THEN (r[16] * 99999)::int END,
	CASE WHEN r[17] < 0.90 THEN (r[18] * r[18] * 40)::int END,
	CASE WHEN r[19] < 0.85 THEN date '2024-01-01' + (r[20] * 700)::int END,
	timestamptz '2023-01-01 00:00+00' + r[21] * interval '1000 days',
	CASE WHEN r[22] < 0.70 THEN
		jsonb_build_object('budget', CASE WHEN r[23] < 0.3 THEN 'yes' ELSE 'no' END,
						   'utm', 'campaign ' || (r[24] * 200)::int) END
FROM (SELECT id, ARRAY[random(), random(), random(), random(), random(), random(),
					   random(), random(), random(), random(), random(), random(),
					   random(), random(), random(), random(), random(), random(),
					   random(), random(), random(), random(), random(), random(),
					   random(), random()] AS r
	  FROM generate_series(1, :rows) AS id) AS d;

-- The same leads with the columns of the ranges in the place of the columns of
-- the matrix: what a scan pays to reach a column is the same for both sets.
CREATE UNLOGGED TABLE bench.lead_bands (
	id bigint PRIMARY KEY, email text,
	employees integer, revenue numeric(12,2), postal_code integer, page_views integer, last_visit date, created_at timestamptz,
	company_size text, knowledge_level text, purchase_motivation text, decision_power text, position text, webinar text,
	title text, country text, custom jsonb
) WITH (autovacuum_enabled = off, parallel_workers = 2);

INSERT INTO bench.lead_bands
SELECT id, email, employees, revenue, postal_code, page_views, last_visit, created_at,
	   company_size, knowledge_level, purchase_motivation, decision_power, position, webinar, title, country, custom
FROM bench.lead;

VACUUM (ANALYZE) bench.lead, bench.lead_bands;
