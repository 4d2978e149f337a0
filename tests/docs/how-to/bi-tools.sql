-- A CRM of one's own in the schema crm, with a model that was attached in March 2025:
-- 120 leads that came until May of that year, what became of them, and what a few of
-- them did of late.  For docs/how-to/bi-tools.md.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE EXTENSION leadscore;
CREATE ROLE crm_owner;
SELECT format('GRANT CREATE ON DATABASE %I TO crm_owner', current_database()) \gexec
GRANT USAGE ON SCHEMA leadscore TO crm_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA leadscore TO crm_owner;

SET ROLE crm_owner;
CREATE SCHEMA crm;
CREATE TABLE crm.lead (
	id			integer PRIMARY KEY,
	name		text,
	email		text,
	company		text,
	country		text,
	title		text,
	employees	integer,
	channel		text,
	status		text,
	rep			text,
	created_at	timestamptz
);
CREATE TABLE crm.visit (lead_id integer, page text, at timestamptz);
CREATE INDEX ON crm.visit (lead_id);
CREATE TABLE crm.call (lead_id integer, at timestamptz);
CREATE INDEX ON crm.call (lead_id);

INSERT INTO leadscore.model (name, target, channel, created_at, status, stage_mode) VALUES
	('sales', 'crm.lead', 'channel', 'created_at', 'status', 'follow');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES
	('sales', 'visit', 'crm.visit', 'lead_id', 'at'), ('sales', 'call', 'crm.call', 'lead_id', 'at');
INSERT INTO leadscore.factor (model, name, axis) VALUES
	('sales', 'position', 'fit'), ('sales', 'company size', 'fit'), ('sales', 'country', 'fit'), ('sales', 'website', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points) VALUES
	('sales', 'position',     'director',       'key',        $$title = 'Director'$$,          30),
	('sales', 'position',     'manager',        'acceptable', $$title = 'Manager'$$,           15),
	('sales', 'position',     'student',        'negative',   $$title = 'Student'$$,          -10),
	('sales', 'company size', '200 and more',   'key',        'employees >= 200',              20),
	('sales', 'company size', '50 to 199',      'acceptable', 'employees BETWEEN 50 AND 199',  10),
	('sales', 'country',      'where we ship',  'acceptable', $$country IN ('PL', 'DE', 'FR')$$, 0),
	('sales', 'country',      'overseas',       'negative',   $$country = 'AQ'$$,             -20);
INSERT INTO leadscore.rule (model, factor, parameter, significance, activity, condition, points, half_life, at_most) VALUES
	('sales', 'website', 'pricing page', 'key', 'visit', $$page = '/pricing'$$, 12, '60 days', 3);
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES
	('sales', 'lead', 'mql'), ('sales', 'mql', 'sal'), ('sales', 'sal', 'sql'), ('sales', 'sql', 'opportunity'), ('sales', 'opportunity', 'customer'),
	('sales', 'mql', 'nurture'), ('sales', 'sal', 'nurture'), ('sales', 'opportunity', 'lost'), ('sales', 'nurture', 'mql');
INSERT INTO leadscore.sla (model, stage, response_activity, respond_within, target_within) VALUES ('sales', 'sal', 'call', '24:00', '1:00');
SELECT leadscore.attach('sales');

-- how far each lead came: the better it fits, the farther
CREATE TEMP TABLE path AS
SELECT i, m, created, quality,
	CASE WHEN quality >= 4 THEN (ARRAY['customer', 'customer', 'opportunity', 'lost', 'sql'])[1 + n % 5]
		 WHEN quality = 3  THEN (ARRAY['customer', 'opportunity', 'lost', 'sal', 'nurture'])[1 + n % 5]
		 WHEN quality = 2  THEN (ARRAY['sql', 'nurture', 'mql', 'customer', 'nurture', 'mql', 'sal'])[1 + n % 7]
		 WHEN quality = 1  THEN (ARRAY['mql', 'nurture', 'lead'])[1 + n % 3]
		 ELSE 'lead' END AS stage
FROM (
	SELECT i, m, created, quality, row_number() OVER (PARTITION BY quality ORDER BY i) AS n
	FROM (SELECT i, i % 3 AS m, timestamptz '2025-03-02 09:00+00' + make_interval(months => i % 3, days => i % 23, hours => i % 9) AS created,
				 CASE i % 5 WHEN 0 THEN 3 WHEN 1 THEN 1 WHEN 2 THEN 1 ELSE 0 END + CASE WHEN i % 7 < 2 THEN 2 WHEN i % 7 < 5 THEN 1 ELSE 0 END AS quality
		  FROM generate_series(1, 120) i) q) p;
INSERT INTO crm.lead
SELECT i, 'Lead ' || i, 'lead' || i || '@example.com', 'Company ' || i % 40, (ARRAY['PL', 'DE', 'FR', 'AQ'])[CASE WHEN i % 29 = 0 THEN 4 ELSE 1 + i % 3 END],
	CASE i % 5 WHEN 0 THEN 'Director' WHEN 1 THEN 'Manager' WHEN 2 THEN 'Manager' WHEN 3 THEN 'Engineer' ELSE 'Student' END,
	CASE WHEN i % 7 < 2 THEN 200 + i * 3 WHEN i % 7 < 5 THEN 50 + i ELSE 3 + i % 40 END,
	(ARRAY['search', 'webinar', 'fair', 'list', 'search'])[1 + (i * 3 + i / 7) % 5], stage, CASE WHEN i % 2 = 0 THEN 'anna' ELSE 'piotr' END, created
FROM path;
-- of late
INSERT INTO crm.visit SELECT i, '/pricing', now() - make_interval(hours => 24 * d + i) FROM path, generate_series(0, 2) d WHERE i % 4 = 0 AND quality >= 1;
INSERT INTO crm.visit SELECT 25, '/pricing', now() - interval '2712 hours' FROM generate_series(1, 3);
INSERT INTO crm.visit SELECT i, '/blog', now() - make_interval(hours => i) FROM path WHERE i % 3 = 0;

-- the way there, as history would have it
RESET ROLE;
SELECT leadscore.drop_history('sales', 'infinity');
CREATE TEMP TABLE step AS
SELECT i, s.stage, created + s.after AS at
FROM path, LATERAL (VALUES ('lead', interval '0', 1), ('mql', '26:00', 2), ('sal', '50:00', 3), ('sql', '100:00', 4), ('opportunity', '300:00', 5), ('customer', '1000:00', 6)) s(stage, after, n)
WHERE s.n <= CASE path.stage WHEN 'lead' THEN 1 WHEN 'mql' THEN 2 WHEN 'sal' THEN 3 WHEN 'sql' THEN 4 WHEN 'opportunity' THEN 5 WHEN 'customer' THEN 6
	WHEN 'lost' THEN 5 ELSE CASE WHEN i % 2 = 0 THEN 3 ELSE 2 END END
UNION ALL
SELECT i, stage, created + interval '700:00' FROM path WHERE stage IN ('nurture', 'lost');
INSERT INTO leadscore.history (at, recorded_at, xact_order, model, lead_key, cause, from_stage, to_stage, from_temperature, temperature, from_grade, grade, from_score, score, fit, engagement, channel, changed_by)
SELECT at, at, row_number() OVER (ORDER BY at, i), 'sales', i::text, CASE stage WHEN 'lead' THEN 'row' ELSE 'status' END,
	(lag(stage) OVER w)::leadscore.lead_stage, stage::leadscore.lead_stage, CASE WHEN lag(stage) OVER w IS NULL THEN NULL ELSE temperature END, temperature,
	CASE WHEN lag(stage) OVER w IS NULL THEN NULL ELSE grade END, grade, CASE WHEN lag(stage) OVER w IS NULL THEN NULL ELSE score END, score, score, 0, channel, 'crm'
FROM (SELECT s.*, l.channel, g.fit AS score, CASE WHEN g.fit >= 50 THEN 'hot' WHEN g.fit >= 25 THEN 'warm' ELSE 'cold' END AS temperature,
			 CASE WHEN g.fit >= 40 THEN 'A4' WHEN g.fit >= 20 THEN 'B4' WHEN g.fit >= 0 THEN 'C4' ELSE 'D4' END AS grade
	  FROM step s JOIN crm.lead l ON l.id = s.i JOIN LATERAL (SELECT leadscore.fit('sales', l) AS fit) g ON true) h
WINDOW w AS (PARTITION BY i ORDER BY at)
ORDER BY at, i;
-- what they did last week made some warmer, and time has cooled one
INSERT INTO leadscore.history (at, recorded_at, xact_order, model, lead_key, cause, from_stage, to_stage, from_temperature, temperature, from_grade, grade, from_score, score, fit, engagement, channel, changed_by)
SELECT v.at, now(), 1000 + s.lead_key, 'sales', s.lead_key, v.cause, s.stage::leadscore.lead_stage, s.stage::leadscore.lead_stage,
	v.was, s.temperature, left(s.grade, 1) || '4', s.grade, v.score, s.score, s.fit, s.engagement, s.channel, 'crm'
FROM leadscore.sales_scored s
JOIN LATERAL (SELECT now() - make_interval(hours => s.lead_key), 'event', CASE WHEN s.fit >= 50 THEN 'hot' WHEN s.fit >= 25 THEN 'warm' ELSE 'cold' END, s.fit
			  WHERE s.lead_key % 4 = 0
			  UNION ALL SELECT now() - interval '51 hours', 'decay', 'hot', 50 WHERE s.lead_key = 25) v(at, cause, was, score) ON v.was <> s.temperature;
UPDATE leadscore.sales_state s SET stage_since = h.at FROM (SELECT lead_key, max(at) AS at FROM leadscore.history WHERE from_stage::text IS DISTINCT FROM to_stage::text GROUP BY 1) h WHERE h.lead_key = s.lead_key::text;
-- how soon sales called those that were handed over
INSERT INTO crm.call
SELECT s.i, s.at + wait::interval
FROM step s JOIN crm.lead l ON l.id = s.i,
	 LATERAL (SELECT CASE WHEN l.status = 'customer' THEN (ARRAY['00:30', '00:45', '03:00'])[1 + s.i % 3]
						  WHEN l.status IN ('sal', 'nurture') THEN (ARRAY['20:00', '30:00', NULL, '00:50'])[1 + s.i / 2 % 4]
						  ELSE (ARRAY['03:00', '20:00', '00:40', '30:00'])[1 + s.i % 4] END) w(wait)
WHERE s.stage = 'sal' AND wait IS NOT NULL;
INSERT INTO leadscore.channel_cost (model, channel, month, cost, direction)
SELECT 'sales', channel, month::date, cost, direction
FROM (VALUES ('search', 900, 'inbound'), ('webinar', 600, 'inbound'), ('fair', 2500, 'outbound'), ('list', 300, 'outbound')) c(channel, cost, direction),
	 generate_series(timestamp '2025-03-01', timestamp '2025-05-01', '1 month') month;
INSERT INTO leadscore.target (model, month, generated, accepted, customers) SELECT 'sales', month::date, 45, 15, 6 FROM generate_series(timestamp '2025-03-01', timestamp '2025-05-01', '1 month') month;
CALL leadscore.advance();
DROP TABLE path, step;
RESET TimeZone;
RESET client_min_messages;
