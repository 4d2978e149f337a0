--
-- Funnel: conversion, time in stage, ageing, recycling, acceptance, costs of
-- channels, the agreement, and the stage at any time, all from history; what the
-- views say of random walks is what plain SQL written another way says
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on
SET timezone = 'America/New_York';	-- the months are the model's
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET jit = off;	-- for queries that run once

BEGIN;	-- history is only ever added to; this all goes in the end
CREATE SCHEMA fun;
SET search_path = fun, leadscore;	-- for the operators of stages
CREATE TABLE lead (id integer PRIMARY KEY, channel text);

-- who was where from when on; this goes into history
CREATE TABLE step (model text, lead text, n integer, at timestamptz, stage leadscore.lead_stage, channel text);
CREATE FUNCTION write_history(m text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO leadscore.history (at, xact_order, model, lead_key, cause, from_stage, to_stage, temperature, grade, score, fit, engagement, channel)
	SELECT at, row_number() OVER (ORDER BY at, lead, n) + 1000 * (SELECT count(*) FROM leadscore.history WHERE xact = pg_current_xact_id()), model, lead,
		   CASE WHEN n = 1 THEN 'row' ELSE 'manual' END,
		   lag(stage) OVER (PARTITION BY lead ORDER BY n), stage, 'cold', 'D4', 0, 0, 0, channel
	FROM step WHERE model = m
$$;

INSERT INTO leadscore.model (name, target, time_zone, accepted_stage) VALUES ('fun', 'lead', 'Europe/Warsaw', 'sql');
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES
	('fun', 'lead', 'mql'), ('fun', 'mql', 'sql'), ('fun', 'sql', 'opportunity'), ('fun', 'opportunity', 'customer'),
	('fun', 'mql', 'nurture'), ('fun', 'sql', 'nurture'), ('fun', 'nurture', 'mql'), ('fun', 'lead', 'disqualified');

--
-- Without any history
--
SELECT (SELECT count(*) FROM leadscore.stage_visit WHERE model = 'fun') AS stage_visit,
	   (SELECT count(*) FROM leadscore.funnel WHERE model = 'fun') AS funnel,
	   (SELECT count(*) FROM leadscore.time_in_stage WHERE model = 'fun') AS time_in_stage,
	   (SELECT count(*) FROM leadscore.stage_times('fun')) AS stage_times,
	   (SELECT count(*) FROM leadscore.ageing WHERE model = 'fun') AS ageing,
	   (SELECT count(*) FROM leadscore.recycling WHERE model = 'fun') AS recycling,
	   (SELECT count(*) FROM leadscore.acceptance WHERE model = 'fun') AS acceptance,
	   (SELECT count(*) FROM leadscore.channel_report WHERE model = 'fun') AS channel_report,
	   (SELECT count(*) FROM leadscore.agreement WHERE model = 'fun') AS agreement,
	   (SELECT count(*) FROM leadscore.stages_at('fun', 'infinity')) AS stages_at;
SELECT * FROM leadscore.conversion('fun', 'lead', 'mql');
SELECT leadscore.stage_at('fun', 'a', 'infinity');

--
-- Nine leads
--
INSERT INTO step
SELECT 'fun', lead, row_number() OVER (PARTITION BY lead ORDER BY o), at, stage::leadscore.lead_stage, channel
FROM (VALUES
	-- all the way
	(1, 'won', '2026-01-10 09:00+01'::timestamptz, 'lead', 'search'), (2, 'won', '2026-01-12 09:00+01', 'mql', 'search'), (3, 'won', '2026-01-15 09:00+01', 'sql', 'search'),
	(4, 'won', '2026-01-20 09:00+01', 'opportunity', 'search'), (5, 'won', '2026-02-20 09:00+01', 'customer', 'search'),
	-- skips mql and opportunity; all in one transaction, so at one time
	(6, 'skipped', '2026-01-20 12:00+01', 'lead', 'call'), (7, 'skipped', '2026-01-20 12:00+01', 'sql', 'call'), (8, 'skipped', '2026-01-20 12:00+01', 'customer', 'call'),
	-- recycled, twice
	(9, 'recycled', '2026-01-05 00:00+01', 'lead', 'search'), (10, 'recycled', '2026-01-06 00:00+01', 'mql', 'search'), (11, 'recycled', '2026-01-08 00:00+01', 'nurture', 'search'),
	(12, 'recycled', '2026-02-08 00:00+01', 'mql', 'search'), (13, 'recycled', '2026-02-09 00:00+01', 'sql', 'search'), (14, 'recycled', '2026-02-10 00:00+01', 'mql', 'search'),
	(15, 'recycled', '2026-02-11 00:00+01', 'sql', 'search'),
	-- out, by marketing and by sales
	(16, 'out', '2026-01-31 12:00+01', 'lead', 'call'), (17, 'out', '2026-02-01 12:00+01', 'disqualified', 'call'),
	(18, 'left', '2026-01-31 12:00+01', 'lead', 'search'), (19, 'left', '2026-02-01 12:00+01', 'mql', 'search'), (20, 'left', '2026-02-03 12:00+01', 'nurture', 'search'),
	-- the month begins in Warsaw while it is still January in London and New York
	(21, 'midnight', '2026-01-31 23:00+00', 'lead', NULL), (22, 'before', '2026-01-31 22:59:59.999999+00', 'lead', NULL),
	-- starts beyond, was out before it ever was in, and has a channel since its second stage
	(23, 'beyond', '2026-02-05 12:00+01', 'mql', 'call'),
	(24, 'sleeper', '2026-01-05 12:00+01', 'nurture', NULL), (25, 'sleeper', '2026-02-05 12:00+01', 'mql', 'fair')
	) v(o, lead, at, stage, channel);
SELECT write_history('fun');
-- rows that move no stage change nothing
INSERT INTO leadscore.history (at, xact_order, model, lead_key, cause, from_stage, to_stage, temperature, grade, score, fit, engagement)
SELECT at + '1 hour', -n, model, lead, 'event', stage, stage, 'hot', 'A1', 100, 50, 50 FROM step WHERE lead IN ('won', 'recycled');

SELECT lead_key, visit, stage, from_stage, next_stage, duration, seconds, channel, recycled, recycles, furthest_before_rank AS before, furthest_rank AS furthest, current_stage_rank AS now
FROM leadscore.stage_visit WHERE model = 'fun' AND lead_key IN ('won', 'skipped', 'recycled', 'sleeper') ORDER BY lead_key, visit;
SELECT key, from_stage, to_stage, leads, converted, conversion_rate AS rate, exited, still_open AS open, recycled, recycles
FROM leadscore.funnel WHERE model = 'fun' ORDER BY month, channel, from_stage_rank;
SELECT from_stage, to_stage, sum(leads) AS leads, sum(converted) AS converted FROM leadscore.funnel WHERE model = 'fun' GROUP BY 1, 2, from_stage_rank ORDER BY from_stage_rank;

-- any two stages, any period, one channel
SELECT f::text, t::text, c.* FROM (VALUES ('lead', 'mql'), ('lead', 'sql'), ('lead', 'customer'), ('mql', 'sql'), ('contact', 'advocate'), ('sql', 'opportunity')) v(f, t),
	 leadscore.conversion('fun', f::leadscore.lead_stage, t::leadscore.lead_stage) c;
SELECT * FROM leadscore.conversion('fun', 'lead', 'mql', since => '2026-02-01');
SELECT * FROM leadscore.conversion('fun', 'lead', 'mql', until => '2026-02-01');
SELECT * FROM leadscore.conversion('fun', 'lead', 'mql', '2026-01-01', '2026-02-01', 'search');
SELECT * FROM leadscore.conversion('fun', 'lead', 'mql', channel => 'none such');
SELECT * FROM leadscore.conversion('fun', 'mql', 'lead');
SELECT * FROM leadscore.conversion('fun', 'lead', 'lead');
SELECT * FROM leadscore.conversion('fun', 'lead', 'nurture');
SELECT * FROM leadscore.conversion('fun', 'lost', 'lead');
SELECT * FROM leadscore.conversion('none', 'lead', 'mql');
SELECT * FROM leadscore.conversion(NULL, 'lead', 'mql');
SELECT * FROM leadscore.conversion('fun', 'lead', NULL);

SELECT * FROM leadscore.stage_times('fun');
SELECT stage, visits, leads, recycled, closed, still_open AS open, median_time, p90_time, median_days AS days FROM leadscore.stage_times('fun', '2026-02-01', '2026-03-01', 'search');
SELECT key, visits, leads, recycled, closed, still_open AS open, median_time FROM leadscore.time_in_stage WHERE model = 'fun' AND stage = 'mql' ORDER BY key;
SELECT * FROM leadscore.stage_times('none');
SELECT * FROM leadscore.stage_times(NULL);

SELECT key, leads, recycled, recycled_share, recycles FROM leadscore.recycling WHERE model = 'fun' ORDER BY key;
SELECT key, leads, accepted, rejected, still_open, accepted_share FROM leadscore.acceptance WHERE model = 'fun' ORDER BY key;

--
-- Costs, and the mix of inbound and outbound
--
INSERT INTO leadscore.channel_cost (model, channel, month, cost, direction) VALUES
	('fun', 'search', '2026-01-01', 1000, 'inbound'), ('fun', 'search', '2026-02-01', 0, NULL), ('fun', 'call', '2026-01-01', 250.50, 'outbound'),
	('fun', 'search', '2026-03-01', NULL, 'outbound'), ('fun', 'fair', '2026-03-01', 5000, 'outbound'), ('fun', 'fair', '2026-02-01', NULL, 'inbound'), ('fun', NULL, '2026-02-01', 30, NULL);
SELECT key, direction, leads, accepted, customers, cost, cost_per_lead, cost_per_accepted, cost_per_customer, leads_share, direction_share
FROM leadscore.channel_report WHERE model = 'fun' ORDER BY month, channel;
-- a free channel costs nothing per lead, which is something else than not to know
UPDATE leadscore.channel_cost SET cost = 0 WHERE channel = 'search' AND month = '2026-01-01';
SELECT cost, cost_per_lead, cost_per_accepted, cost_per_customer FROM leadscore.channel_report WHERE model = 'fun' AND channel = 'search' AND month = '2026-01-01';
INSERT INTO leadscore.channel_cost (model, channel, month) VALUES ('fun', 'x', '2026-01-02');
INSERT INTO leadscore.channel_cost (model, channel, month) VALUES ('fun', 'x', 'infinity');
INSERT INTO leadscore.channel_cost (model, channel, month, cost) VALUES ('fun', 'x', '2026-01-01', -1);
INSERT INTO leadscore.channel_cost (model, channel, month, cost) VALUES ('fun', 'x', '2026-01-01', 'NaN');
INSERT INTO leadscore.channel_cost (model, channel, month, direction) VALUES ('fun', 'x', '2026-01-01', 'sideways');
INSERT INTO leadscore.channel_cost (model, channel, month) VALUES ('fun', NULL, '2026-02-01');
INSERT INTO leadscore.channel_cost (model, channel, month) VALUES ('none', 'x', '2026-02-01');

--
-- The agreement
--
INSERT INTO leadscore.target (model, month, generated, accepted, customers) VALUES ('fun', '2026-01-01', 8, 4, 1), ('fun', '2026-02-01', 10, NULL, 0), ('fun', '2026-03-01', 0, 0, 2);
SELECT * FROM leadscore.agreement WHERE model = 'fun' ORDER BY month;
INSERT INTO leadscore.target (model, month) VALUES ('fun', '2026-01-31');
INSERT INTO leadscore.target (model, month, generated) VALUES ('fun', '2026-04-01', -1);
-- what counts as accepted is the model's to say
UPDATE leadscore.model SET accepted_stage = 'mql' WHERE name = 'fun';
SELECT month, accepted_target, accepted, accepted_share FROM leadscore.agreement WHERE model = 'fun' ORDER BY month;
SELECT sum(accepted) AS accepted, sum(rejected) AS rejected, sum(still_open) AS open FROM leadscore.acceptance WHERE model = 'fun';

--
-- The stage at a time
--
SELECT at, leadscore.stage_at('fun', 'recycled', at) FROM (VALUES ('-infinity'::timestamptz), ('2026-01-04 23:59:59.999999+01'), ('2026-01-05 00:00+01'), ('2026-01-07 23:59+01'),
	('2026-01-08 00:00+01'), ('2026-02-08 12:00+01'), ('infinity'), (NULL)) v(at);
SELECT leadscore.stage_at('fun', 'skipped', '2026-01-20 12:00+01') AS at_once, leadscore.stage_at('fun', 'nobody', now()) AS nobody, leadscore.stage_at('none', 'won', now()) AS no_model,
	   leadscore.stage_at('fun', 'won'::varchar(10), now()) AS as_varchar, leadscore.stage_at('fun', 42, now()) AS as_number;
SELECT * FROM leadscore.stages_at('fun', '2026-01-20 12:00+01') ORDER BY lead_key;
SELECT * FROM leadscore.stages_at(NULL, now());

--
-- A model that names no stages shows those that were entered; exits are no part of a funnel
--
INSERT INTO leadscore.model (name, target, initial_stage) VALUES ('fun_bare', 'lead', 'visitor');
INSERT INTO step VALUES ('fun_bare', 'x', 1, '2026-01-01 12:00+00', 'visitor', NULL), ('fun_bare', 'x', 2, '2026-01-02 12:00+00', 'lost', NULL),
	('fun_bare', 'x', 3, '2026-01-03 12:00+00', 'nurture', NULL), ('fun_bare', 'x', 4, '2026-01-04 12:00+00', 'pql', NULL), ('fun_bare', 'y', 1, '2026-01-01 12:00+00', 'disqualified', NULL);
SELECT write_history('fun_bare');
SELECT key, from_stage, to_stage, leads, converted, recycles FROM leadscore.funnel WHERE model = 'fun_bare' ORDER BY from_stage_rank;
SELECT lead_key, stage, recycled FROM leadscore.stage_visit WHERE model = 'fun_bare' ORDER BY 1, visit;

-- A stage that the tables name is the next one though nobody has come there yet
INSERT INTO leadscore.model (name, target) VALUES ('fun_new', 'lead');
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES ('fun_new', 'lead', 'prospect'), ('fun_new', 'prospect', 'nurture');
INSERT INTO step VALUES ('fun_new', 'x', 1, '2026-01-01 12:00+00', 'lead', NULL);
SELECT write_history('fun_new');
SELECT from_stage, to_stage, leads, converted, conversion_rate, still_open FROM leadscore.funnel WHERE model = 'fun_new';

-- Rows that history has dropped: what a lead came from, it came to earlier
INSERT INTO leadscore.model (name, target) VALUES ('fun_cut', 'lead');
INSERT INTO leadscore.history (at, xact_order, model, lead_key, cause, from_stage, to_stage, temperature, grade, score, fit, engagement) VALUES
	('2026-01-01 12:00+00', -101, 'fun_cut', 'x', 'manual', 'mql', 'nurture', 'cold', 'D4', 0, 0, 0), ('2026-01-02 12:00+00', -102, 'fun_cut', 'x', 'manual', 'nurture', 'lead', 'cold', 'D4', 0, 0, 0),
	('2026-01-03 12:00+00', -103, 'fun_cut', 'x', 'manual', 'lead', 'sql', 'cold', 'D4', 0, 0, 0);
SELECT from_stage, to_stage, leads FROM leadscore.funnel WHERE model = 'fun_cut' ORDER BY from_stage_rank;
SELECT stage, from_stage, recycled FROM leadscore.stage_visit WHERE model = 'fun_cut' ORDER BY visit;

--
-- Ageing: by history, and of an attached model by its states
--
INSERT INTO leadscore.model (name, target) VALUES ('fun_age', 'lead');
INSERT INTO step SELECT 'fun_age', 'l' || d, 1, statement_timestamp() - d * interval '24 hours', 'lead', 'c' || (d > 50)::int FROM unnest('{0.9,1,6.9,7,29.9,30,89.9,90,400}'::numeric[]) d;
INSERT INTO step SELECT model, lead, 2, at + interval '1 hour', 'mql', channel FROM step WHERE model = 'fun_age' AND lead IN ('l0.9', 'l400');
SELECT write_history('fun_age');
SELECT key, leads, under_1_day, from_1_to_7_days, from_7_to_30_days, from_30_to_90_days, over_90_days,
	   date_trunc('minute', statement_timestamp() - oldest_since) AS oldest, round(oldest_days, 2) AS days
FROM leadscore.ageing WHERE model = 'fun_age' ORDER BY key;

INSERT INTO leadscore.model (name, target, channel) VALUES ('fun_live', 'lead', 'channel');
INSERT INTO lead VALUES (1, 'search'), (2, NULL), (3, 'call');
SELECT leads FROM leadscore.attach('fun_live');
SELECT key, leads, under_1_day FROM leadscore.ageing WHERE model = 'fun_live' ORDER BY key;
DELETE FROM lead WHERE id = 3;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT key, leads FROM leadscore.ageing WHERE model = 'fun_live' ORDER BY key;

-- a channel that became known after the stage last moved
INSERT INTO leadscore.model (name, target, channel) VALUES ('fun_late', 'lead', 'channel');
INSERT INTO step VALUES ('fun_late', '1', 1, '2026-01-01 12:00+00', 'lead', NULL), ('fun_late', '2', 1, '2026-01-01 12:00+00', 'lead', NULL);
SELECT write_history('fun_late');
SELECT key, leads FROM leadscore.funnel WHERE model = 'fun_late' AND from_stage = 'lead' ORDER BY key;
SELECT leads FROM leadscore.attach('fun_late');
SELECT DISTINCT key, leads FROM leadscore.acceptance WHERE model = 'fun_late' AND month = '2026-01-01' ORDER BY key;

--
-- Random walks of 400 leads, through 12 stages and more than a year; some steps of a
-- lead at one time.  Everything again, written another way: from the steps
-- themselves, lead by lead.
--
INSERT INTO leadscore.model (name, target, time_zone, accepted_stage, initial_stage) VALUES ('fun_walk', 'lead', 'Asia/Kathmandu', 'sal', 'contact');
INSERT INTO leadscore.stage_map (model, status, stage) VALUES ('fun_walk', 'x', 'opportunity');	-- the others are those entered
SELECT setseed(0.42);
INSERT INTO step
SELECT 'fun_walk', l::text, n, '2025-01-01'::timestamptz + start * interval '380 days' + sum(CASE WHEN random() < 0.2 THEN 0 ELSE random() END) OVER (PARTITION BY l ORDER BY n) * interval '20 days', stage, channel
FROM (SELECT l, random() AS start, nullif('c' || floor(random() * 4), 'c0') AS channel, ceil(random() * random() * 12) AS steps FROM generate_series(1, 400) l OFFSET 0) l,
	 LATERAL (SELECT n, (SELECT stage FROM leadscore.lead_stages() s WHERE stage NOT IN ('visitor', 'opportunity', 'advocate') AND (n < 9 OR s.stage < 'mql') ORDER BY random() + 0 * n * l LIMIT 1) AS stage
			  FROM generate_series(1, steps::int) n) s;
-- a step leads somewhere else
DELETE FROM step USING (SELECT lead, n, stage = lag(stage) OVER (PARTITION BY lead ORDER BY n) AS same FROM step WHERE model = 'fun_walk') d
WHERE step.model = 'fun_walk' AND d.lead = step.lead AND d.n = step.n AND same;
UPDATE step SET n = r FROM (SELECT lead AS l, n AS old, row_number() OVER (PARTITION BY lead ORDER BY n) AS r FROM step WHERE model = 'fun_walk') x WHERE model = 'fun_walk' AND lead = l AND n = old;
SELECT write_history('fun_walk');
SELECT count(*) > 1000 AS steps, count(DISTINCT lead) > 300 AS leads, count(DISTINCT stage) AS stages, count(DISTINCT channel) AS channels FROM step WHERE model = 'fun_walk';
CREATE TABLE walk AS SELECT * FROM step WHERE model = 'fun_walk';
CREATE INDEX ON walk (lead, n);

-- a lead's steps, gone through one by one
CREATE FUNCTION recycles(l text, upto integer DEFAULT 1000000) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	s		record;
	height	integer;	-- 0: out of the funnel
	last	integer;
	down	boolean := false;
	result	integer := 0;
BEGIN
	FOR s IN SELECT * FROM walk WHERE lead = l AND n <= upto ORDER BY n LOOP
		height := CASE WHEN s.stage IN ('nurture', 'lost', 'disqualified') THEN 0 ELSE s.stage::integer END;
		IF height < last THEN
			down := true;
		ELSIF height > last THEN
			IF down THEN
				result := result + 1;
			END IF;
			down := false;
		END IF;
		last := height;
	END LOOP;
	RETURN result;
END
$$;
CREATE TABLE stage_used AS
	SELECT DISTINCT stage FROM walk WHERE stage NOT IN ('nurture', 'lost', 'disqualified') UNION SELECT 'opportunity' UNION SELECT 'contact';
-- when each lead came to each stage or beyond, if ever
CREATE TABLE came AS
SELECT l.lead, l.channel, s.stage, (SELECT min(w.at) FROM walk w WHERE w.lead = l.lead AND w.stage >= s.stage) AS at,
	   (SELECT w.stage FROM walk w WHERE w.lead = l.lead ORDER BY w.n DESC LIMIT 1) IN ('nurture', 'lost', 'disqualified') AS is_out, l.recycles
FROM (SELECT lead, channel, recycles(lead) AS recycles FROM (SELECT DISTINCT lead, channel FROM walk) w OFFSET 0) l, leadscore.lead_stages() s WHERE NOT leadscore.is_exit(s.stage);
ALTER TABLE came ADD COLUMN month date;
CREATE INDEX ON came (lead, stage);
UPDATE came SET month = to_char(at AT TIME ZONE 'Asia/Kathmandu', 'YYYY-MM-01')::date;

ANALYZE walk;
ANALYZE came;
ANALYZE stage_used;
CREATE VIEW expected_funnel AS
SELECT a.month, a.channel, a.stage::text AS from_stage, n.stage::text AS to_stage, count(*) AS leads,
	   CASE WHEN n.stage IS NOT NULL THEN count(b.at) END AS converted,
	   CASE WHEN n.stage IS NOT NULL THEN count(*) FILTER (WHERE b.at IS NULL AND a.is_out) END AS exited,
	   CASE WHEN n.stage IS NOT NULL THEN count(*) FILTER (WHERE b.at IS NULL AND NOT a.is_out) END AS still_open,
	   count(*) FILTER (WHERE a.recycles > 0) AS recycled, sum(a.recycles) AS recycles
FROM came a JOIN stage_used u ON u.stage = a.stage
LEFT JOIN LATERAL (SELECT leadscore.min(x.stage) AS stage FROM stage_used x WHERE x.stage > a.stage) n ON true
LEFT JOIN came b ON b.lead = a.lead AND b.stage = n.stage
WHERE a.at IS NOT NULL GROUP BY a.month, a.channel, a.stage, n.stage;
CREATE VIEW shown_funnel AS
SELECT month, channel, from_stage, to_stage, leads, converted, exited, still_open, recycled, recycles FROM leadscore.funnel WHERE model = 'fun_walk';
SELECT count(*) > 400 AS many FROM shown_funnel;
(TABLE shown_funnel EXCEPT ALL TABLE expected_funnel) UNION ALL (TABLE expected_funnel EXCEPT ALL TABLE shown_funnel);
SELECT key FROM leadscore.funnel WHERE conversion_rate IS DISTINCT FROM round(1.0 * converted / leads, 4) OR (to_stage IS NULL) <> (from_stage = 'customer' AND model = 'fun_walk') AND model = 'fun_walk';
SELECT count(*) - count(DISTINCT key) AS keys_twice FROM leadscore.funnel;

-- any two stages, over random periods
SELECT a.stage AS a, b.stage AS b, since, until, c.channel, got, expected
FROM (SELECT s.stage, '2025-01-01'::date + floor(random() * 300)::int AS since FROM leadscore.lead_stages() s WHERE stage_rank >= 100) a
JOIN (SELECT s.stage, '2025-06-01'::date + floor(random() * 300)::int AS until FROM leadscore.lead_stages() s WHERE stage_rank >= 100) b ON b.stage > a.stage
CROSS JOIN (VALUES (NULL), ('c1')) c(channel),
	 LATERAL (SELECT (leads, converted)::text AS got FROM leadscore.conversion('fun_walk', a.stage, b.stage, since, until, c.channel)) g,
	 LATERAL (SELECT (count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM came y WHERE y.lead = x.lead AND y.stage = b.stage AND y.at IS NOT NULL)))::text AS expected
			  FROM came x WHERE x.stage = a.stage AND (x.at AT TIME ZONE 'Asia/Kathmandu')::date >= since AND (x.at AT TIME ZONE 'Asia/Kathmandu')::date < until
				AND (c.channel IS NULL OR x.channel = c.channel)) e
WHERE got <> expected;

-- time in stage; between neighbours in order the percentile is drawn straight
CREATE TABLE stay AS
SELECT w.*, (SELECT x.at FROM walk x WHERE x.lead = w.lead AND x.n = w.n + 1) - w.at AS lasted, to_char(w.at AT TIME ZONE 'Asia/Kathmandu', 'YYYY-MM-01')::date AS month,
	   recycles(w.lead, w.n) > recycles(w.lead, w.n - 1) AS again FROM walk w;
CREATE FUNCTION percentile(p float8, v interval[]) RETURNS numeric LANGUAGE sql AS $$
	SELECT round((s[i] + (s[least(i + 1, cardinality(s))] - s[i]) * (1 + (cardinality(s) - 1) * p - i))::numeric / 86400, 3)
	FROM (SELECT array_agg(extract(epoch FROM x)::float8 ORDER BY x) FROM unnest(v) x WHERE x IS NOT NULL) a(s), LATERAL (SELECT floor(1 + (cardinality(s) - 1) * p)::int) f(i)
$$;
CREATE VIEW expected_time AS
SELECT month, channel, stage::text, count(*) AS visits, count(DISTINCT lead) AS leads, count(*) FILTER (WHERE again) AS recycled, count(lasted) AS closed, count(*) - count(lasted) AS still_open,
	   percentile(0.5, array_agg(lasted)) AS median, percentile(0.9, array_agg(lasted)) AS p90 FROM stay GROUP BY 1, 2, 3;
CREATE VIEW shown_time AS
SELECT month, channel, stage, visits, leads, recycled, closed, still_open, median_days, p90_days FROM leadscore.time_in_stage WHERE model = 'fun_walk';
(TABLE shown_time EXCEPT ALL TABLE expected_time) UNION ALL (TABLE expected_time EXCEPT ALL TABLE shown_time);
SELECT t.* FROM leadscore.stage_times('fun_walk') t
FULL JOIN (SELECT stage::text, count(*) AS visits, count(DISTINCT lead) AS leads, count(lasted) AS closed, percentile(0.5, array_agg(lasted)) AS median, percentile(0.9, array_agg(lasted)) AS p90 FROM stay GROUP BY 1) e USING (stage)
WHERE (t.visits, t.leads, t.closed, t.median_days, t.p90_days) IS DISTINCT FROM (e.visits, e.leads, e.closed, e.median, e.p90)
   OR abs(extract(epoch FROM t.median_time) / 86400 - t.median_days) > 0.0006 OR abs(extract(epoch FROM t.p90_time) / 86400 - t.p90_days) > 0.0006;

-- ageing
SELECT stage, channel, a.leads, e.leads FROM (SELECT * FROM leadscore.ageing WHERE model = 'fun_walk') a
FULL JOIN (SELECT stage::text, coalesce(channel, '-') AS c, count(*) AS leads, min(at) AS since FROM stay WHERE lasted IS NULL GROUP BY 1, 2) e USING (stage)
WHERE coalesce(a.channel, '-') = e.c AND (a.leads <> e.leads OR a.oldest_since <> e.since);
SELECT (SELECT sum(leads) FROM leadscore.ageing WHERE model = 'fun_walk') = (SELECT count(DISTINCT lead) FROM walk) AS everybody;

-- recycling, acceptance and channels: by cohort
CREATE VIEW expected_recycling AS
SELECT month, channel, count(*) AS leads, count(*) FILTER (WHERE recycles > 0) AS recycled, sum(recycles) AS recycles FROM came WHERE stage = 'visitor' AND at IS NOT NULL GROUP BY 1, 2;
CREATE VIEW shown_recycling AS SELECT month, channel, leads, recycled, recycles FROM leadscore.recycling WHERE model = 'fun_walk';
(TABLE shown_recycling EXCEPT ALL TABLE expected_recycling) UNION ALL (TABLE expected_recycling EXCEPT ALL TABLE shown_recycling);
CREATE VIEW expected_acceptance AS
SELECT l.month, l.channel, count(*) AS leads, count(a.at) AS accepted, count(*) FILTER (WHERE a.at IS NULL AND l.is_out) AS rejected, count(*) FILTER (WHERE a.at IS NULL AND NOT l.is_out) AS still_open, count(c.at) AS customers
FROM came l JOIN came a ON a.lead = l.lead AND a.stage = 'sal' JOIN came c ON c.lead = l.lead AND c.stage = 'customer' WHERE l.stage = 'lead' AND l.at IS NOT NULL GROUP BY 1, 2;
CREATE VIEW shown_acceptance AS
SELECT month, channel, a.leads, a.accepted, rejected, still_open, c.customers FROM leadscore.acceptance a JOIN leadscore.channel_report c USING (key, model, month, channel) WHERE model = 'fun_walk' AND channel IS NOT NULL
UNION ALL SELECT a.month, NULL, a.leads, a.accepted, rejected, still_open, c.customers FROM leadscore.acceptance a JOIN leadscore.channel_report c USING (key) WHERE a.model = 'fun_walk' AND a.channel IS NULL;
(TABLE shown_acceptance EXCEPT ALL TABLE expected_acceptance) UNION ALL (TABLE expected_acceptance EXCEPT ALL TABLE shown_acceptance);
SELECT key FROM leadscore.channel_report c WHERE model = 'fun_walk'
  AND (leads_share <> round(leads / (SELECT sum(leads) FROM expected_acceptance e WHERE e.month = c.month), 4) OR (direction, direction_share, cost, cost_per_lead) IS DISTINCT FROM (NULL::text, NULL::numeric, NULL::numeric, NULL::numeric));
-- the mix, with costs
INSERT INTO leadscore.channel_cost (model, channel, month, cost, direction)
SELECT 'fun_walk', channel, month, floor(random() * 1000), CASE WHEN channel = 'c1' THEN 'outbound' ELSE 'inbound' END FROM expected_acceptance WHERE channel IN ('c1', 'c2') AND random() < 0.7;
SELECT key, direction, direction_share FROM leadscore.channel_report c,
	 LATERAL (SELECT coalesce(sum(leads) FILTER (WHERE channel = 'c1'), 0) AS outbound, coalesce(sum(leads) FILTER (WHERE channel = 'c2'), 0) AS inbound FROM expected_acceptance e WHERE e.month = c.month) e
WHERE model = 'fun_walk' AND ((direction, direction_share) IS DISTINCT FROM (CASE channel WHEN 'c1' THEN 'outbound' WHEN 'c2' THEN 'inbound' END, CASE channel WHEN 'c1' THEN round(outbound / (outbound + inbound), 4) WHEN 'c2' THEN round(inbound / (outbound + inbound), 4) END)
	OR cost IS DISTINCT FROM (SELECT o.cost FROM leadscore.channel_cost o WHERE o.model = c.model AND o.channel = c.channel AND o.month = c.month)
	OR cost_per_lead IS DISTINCT FROM round(cost / leads, 2));

-- the agreement
CREATE VIEW expected_agreement AS
SELECT m.month, (SELECT count(*) FROM came WHERE stage = 'lead' AND month = m.month) AS generated, (SELECT count(*) FROM came WHERE stage = 'sal' AND month = m.month) AS accepted,
	   (SELECT count(*) FROM came WHERE stage = 'customer' AND month = m.month) AS customers,
	   (SELECT round(sum(accepted) / sum(leads), 4) FROM expected_acceptance e WHERE e.month = m.month) AS accepted_share
FROM (SELECT DISTINCT month FROM came WHERE at IS NOT NULL) m;
CREATE VIEW shown_agreement AS SELECT month, generated, accepted, customers, accepted_share FROM leadscore.agreement WHERE model = 'fun_walk';
(TABLE shown_agreement EXCEPT ALL TABLE expected_agreement) UNION ALL (TABLE expected_agreement EXCEPT ALL TABLE shown_agreement);

-- the stage at random times, and at the very instants of moves
SELECT lead, t FROM (SELECT DISTINCT lead FROM walk) l, LATERAL (SELECT '2025-01-01'::timestamptz + random() * interval '500 days' AS t FROM generate_series(1, 5) WHERE lead IS NOT NULL UNION ALL SELECT at FROM walk w WHERE w.lead = l.lead) t
WHERE leadscore.stage_at('fun_walk', lead, t) IS DISTINCT FROM (SELECT w.stage FROM walk w WHERE w.lead = l.lead AND w.at <= t ORDER BY n DESC LIMIT 1);
SELECT t, s.lead_key, s.stage, e.stage FROM unnest('{2025-03-05,2025-09-09,2026-02-02}'::timestamptz[]) t,
	 LATERAL (SELECT * FROM leadscore.stages_at('fun_walk', t) s
			  FULL JOIN (SELECT w.lead, w.stage FROM walk w WHERE w.n = (SELECT max(x.n) FROM walk x WHERE x.lead = w.lead AND x.at <= t)) e(lead, expected) ON e.lead = s.lead_key) s, LATERAL (SELECT s.expected) e(stage)
WHERE s.stage = e.stage IS NOT TRUE;

-- Filters on the model reach the history.
CREATE FUNCTION model_scanned(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	history boolean := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'history_default' THEN
			history := true;
		ELSIF history AND line ~ 'Cond|Filter' AND line ~ 'model = ''fun_walk''' THEN
			RETURN NEXT 'by model';
			history := false;
		ELSIF line ~ '->' THEN
			history := false;
		END IF;
	END LOOP;
END
$$;
SELECT v, (SELECT string_agg(DISTINCT s, ', ') FROM model_scanned(format('SELECT * FROM leadscore.%I WHERE model = ''fun_walk''', v)) s)
FROM unnest('{stage_visit,funnel,time_in_stage,recycling,acceptance,channel_report,agreement}'::text[]) v;

-- Every column has a comment, and a type that every client knows.
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relname IN ('stage_visit', 'funnel', 'time_in_stage', 'ageing', 'recycling', 'acceptance', 'channel_report', 'agreement', 'channel_cost', 'target')
  AND (col_description(c.oid, a.attnum) IS NULL OR a.atttypid >= 16384);
ROLLBACK;
