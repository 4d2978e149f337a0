--
-- Plan: from the revenue backwards to customers, accepted leads and leads; rates
-- that are not given are measured from closed leads
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
\set SHOW_CONTEXT never
\set ON_ERROR_ROLLBACK on
SET timezone = 'America/New_York';

--
-- The textbook: a million at 20 000 each, every second accepted lead won, every second lead accepted
--
SELECT customers, accepted, leads, cost_per_customer, cost_per_accepted, cost_per_lead, revenue_per_lead FROM leadscore.plan(NULL, 1000000, 20000, 0.5, 0.5, 0.10);
\x
SELECT * FROM leadscore.plan(NULL, 1000000, 20000, 0.5, 0.5, 0.10);
SELECT * FROM leadscore.plan(NULL, 1000000, 20000, 0.5, 0.5);
-- each step rounds up and goes on from there: 33.3 customers are 34, not 33.3 / 0.3 / 0.4
SELECT * FROM leadscore.plan(NULL, 1000000, 30000, 0.3, 0.4, 0.05);
\x

--
-- Rates that had to be cut off somewhere
--
SELECT r, accepted, leads FROM unnest('{0.333333333333333, 0.33333333333, 0.3333333333, 0.333333333333333333333333333333333333, 0.3333, 0.3334}'::numeric[]) r,
	 LATERAL leadscore.plan(NULL, 50, 1, r, r);
SELECT accepted, leads FROM leadscore.plan(NULL, 50, 1, 1 / 3.0, (2 / 3::float8)::numeric);
SELECT d, n, customers FROM (VALUES (0.07, 7), (0.1, 0.3), (0.1, 0.30000001), (3, 100), (7, 0.01), (1, 99.99999999), (1, 100.0000001), (1, 100.00001), (3, 2e15)) v(d, n), LATERAL leadscore.plan(NULL, n, d, 1, 1);
SELECT customers, leads, revenue_per_lead FROM leadscore.plan(NULL, 1e-9, 1e12, 0.001, 0.001);
SELECT customers, leads, revenue_per_lead, cost_per_lead FROM leadscore.plan(NULL, 0, 1, 0.5, 0.5, 0);
SELECT customers, leads FROM leadscore.plan(NULL, 1e9, 1, 1, 1e-9);
SELECT customers, leads FROM leadscore.plan(NULL, 1e9, 1, 1, 1e-12);
SELECT customers FROM leadscore.plan(NULL, 1e40, 1, 1, 1);
-- so many that it is enough, and one fewer is not
SELECT setseed(0.3);
SELECT x.*, p.* FROM (SELECT round((random() * 1e6)::numeric, 2) + 0.01 AS revenue, round((random() * 5e3)::numeric, 2) + 0.01 AS deal, round(random()::numeric, 3) + 0.001 AS won, round(random()::numeric, 2) + 0.01 AS taken,
							 round(random()::numeric, 2) AS share FROM generate_series(1, 500) OFFSET 0) x,
	 LATERAL leadscore.plan(NULL, revenue, deal, least(won, 1), least(taken, 1), share) p
WHERE NOT (customers * deal >= revenue AND (customers - 1) * deal < revenue
		   AND accepted * least(won, 1) >= customers AND (accepted - 1) * least(won, 1) < customers
		   AND leads * least(taken, 1) >= accepted AND (leads - 1) * least(taken, 1) < accepted
		   AND cost_per_customer = deal * share AND abs(cost_per_accepted - deal * share * least(won, 1)) < 0.000001
		   AND abs(cost_per_lead - deal * share * least(won, 1) * least(taken, 1)) < 0.000001 AND abs(revenue_per_lead - revenue / leads) < 0.000001);

--
-- What is no plan
--
CREATE FUNCTION pg_temp.refused(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail	text;
	hint	text;
BEGIN
	EXECUTE 'SELECT leadscore.plan(' || call || ')';
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
SELECT c AS call, pg_temp.refused(c) FROM unnest(ARRAY['NULL, NULL, 1, 1, 1', 'NULL, 1, NULL, 1, 1', 'NULL, -1, 1, 1, 1', 'NULL, ''NaN'', 1, 1, 1', 'NULL, ''Infinity'', 1, 1, 1',
	'NULL, 1, 0, 1, 1', 'NULL, 1, -5, 1, 1', 'NULL, 1, ''NaN'', 1, 1', 'NULL, 1, 1, 0, 1', 'NULL, 1, 1, 1.01, 1', 'NULL, 1, 1, -0.5, 1', 'NULL, 1, 1, 1, 0', 'NULL, 1, 1, 1, 50', 'NULL, 1, 1, 1, ''NaN''',
	'NULL, 1, 1, 1, 1, -0.1', 'NULL, 1, 1, 1, 1, 1.1', 'NULL, 1, 1', 'NULL, 1, 1, 0.5', 'NULL, 1, 1, lead_to_accepted => 0.5', '''none'', 1, 1', '''none'', 1, 1, 0.5, 0.5']) c;

--
-- Measured.  Leads of a made-up year, by what became of them:
--
BEGIN;	-- history is only ever added to; this all goes in the end
CREATE SCHEMA pla;
SET search_path = pla, leadscore;	-- for the operators of stages
CREATE TABLE lead (id integer PRIMARY KEY);
INSERT INTO leadscore.model (name, target, time_zone) VALUES ('pla', 'lead', 'Europe/Warsaw');
CREATE SEQUENCE made;
-- so many leads that go through these stages, a day each
CREATE FUNCTION make(count integer, stages text, began timestamptz DEFAULT '2026-01-10 12:00+01') RETURNS void LANGUAGE sql AS $$
	INSERT INTO leadscore.history (at, xact_order, model, lead_key, cause, from_stage, to_stage, temperature, grade, score, fit, engagement)
	SELECT began + (n - 1) * interval '1 day', nextval('made'), 'pla', stages || l || began, 'manual', lag(s) OVER (PARTITION BY l ORDER BY n), s, 'cold', 'D4', 0, 0, 0
	FROM (SELECT nextval('made') AS l FROM generate_series(1, count) OFFSET 0) l, unnest(stages::leadscore.lead_stage[]) WITH ORDINALITY u(s, n)
$$;
CREATE FUNCTION show(given text DEFAULT '') RETURNS TABLE (customers bigint, accepted bigint, leads bigint, won numeric, won_of bigint, taken numeric, taken_of bigint, basis text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE concat_ws(', ', 'SELECT customers, accepted, leads, accepted_to_customer_rate, accepted_to_customer_leads, lead_to_accepted_rate, lead_to_accepted_leads, basis FROM leadscore.plan(''pla'', 100, 1', nullif(given, '')) || ')';
END
$$;
SELECT * FROM show();
SELECT make(29, '{lead,mql,sql,customer}');
SELECT make(500, '{lead,mql,sql}');		-- open ones say nothing
SELECT make(500, '{lead}');
SELECT make(40, '{nurture}');			-- nor do those who never were leads
SELECT make(40, '{contact,disqualified}');
SELECT * FROM show();
-- the thirtieth: accepted, and lost
SELECT make(1, '{lead,sql,lost}');
SELECT * FROM show();
-- others were never accepted; a customer who is lost later was won
SELECT make(20, '{lead,mql,nurture}');
SELECT make(10, '{lead,mql,sql,customer,lost}');
SELECT * FROM show();
-- what is given is not measured
SELECT * FROM show('0.5');
SELECT * FROM show('NULL, 0.25');
SELECT * FROM show('0.5, 0.25');
-- from a day of the model on: the last hour of the last one is still the day before in Warsaw
SELECT make(35, '{lead,disqualified}', '2026-06-01 00:00+02');
SELECT make(31, '{lead,sql,nurture}', '2026-05-31 23:59+02');
SELECT * FROM show('since => ''2026-06-01''');
SELECT * FROM show('since => ''2026-05-31''');
SELECT * FROM show('0.5, since => ''2026-06-01''');
SELECT * FROM show('0.5, 0.5, since => ''2026-06-01''');
SELECT * FROM show('since => ''2027-01-01''');
-- what counts as accepted is the model's to say
UPDATE leadscore.model SET accepted_stage = 'mql' WHERE name = 'pla';
SELECT * FROM show();

--
-- Each stage's volume
--
INSERT INTO leadscore.transition (model, from_stage, to_stage) VALUES ('pla', 'contact', 'lead'), ('pla', 'sql', 'opportunity');
UPDATE leadscore.model SET accepted_stage = 'sql' WHERE name = 'pla';
SELECT make(100, '{contact,lead,mql,sql,opportunity,customer}');
SELECT make(50, '{contact,lead,mql,sql,opportunity,lost}');
SELECT make(20, '{lead,mql,pql,nurture}');
SELECT s.* FROM leadscore.plan('pla', 1000, 10, 0.4, 0.5), LATERAL jsonb_to_recordset(stages) s(stage text, leads bigint, closed_leads bigint);
SELECT s.* FROM leadscore.plan('pla', 1000, 10), LATERAL jsonb_to_recordset(stages) s(stage text, leads bigint, closed_leads bigint);
-- a rate that is given may be better than what was: no stage between sees more than all leads
SELECT s.* FROM leadscore.plan('pla', 1000, 10, 1, 1), LATERAL jsonb_to_recordset(stages) s(stage text, leads bigint, closed_leads bigint);
-- the same from the rows: closed leads that ever were there or beyond
CREATE VIEW gone AS
SELECT lead_key, max(to_stage) AS furthest FROM leadscore.history h WHERE model = 'pla' GROUP BY lead_key
HAVING max(to_stage) >= 'customer' OR (SELECT to_stage FROM leadscore.history l WHERE l.model = 'pla' AND l.lead_key = h.lead_key ORDER BY at DESC LIMIT 1) < 'visitor';
SELECT stage::text, count(*), count(*) FILTER (WHERE furthest >= 'lead') AS lead, count(*) FILTER (WHERE furthest >= 'sql') AS sql, count(*) FILTER (WHERE furthest >= 'customer') AS customer
FROM gone, leadscore.lead_stages() s WHERE stage IN ('contact', 'lead', 'mql', 'pql', 'sql', 'opportunity', 'customer') AND furthest >= stage GROUP BY s.stage ORDER BY s.stage;
-- without history, only what follows from the rates
INSERT INTO leadscore.model (name, target) VALUES ('pla_other', 'lead');
SELECT customers, accepted, leads, stages FROM leadscore.plan('pla_other', 100, 1);
SELECT customers, accepted, leads, stages FROM leadscore.plan('pla_other', 100, 1, 0.5, 0.5);
ROLLBACK;
