--
-- sla: service levels: their clocks, business hours, breaches, reports
--
-- History is filled by hand here, long before the model is attached; what is
-- asked for is asked as of then.
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
RESET client_min_messages;
\set SHOW_CONTEXT never
CREATE ROLE regress_sla_reader;
CREATE ROLE regress_sla_rep;
CREATE SCHEMA sla;
SET search_path = sla;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
SET datestyle = 'ISO, MDY';

CREATE TABLE lead (id integer PRIMARY KEY, email text, owner name, asked text, n integer);
CREATE TABLE call (id integer, lead_id integer, at timestamptz, direction text, minutes text, test boolean);
CREATE INDEX ON call (lead_id);
CREATE TABLE mail (message text, address text, sent timestamp);
INSERT INTO lead SELECT i, 'p' || i || '@example.com', 'nobody', NULL, 0 FROM generate_series(1, 40) i;
INSERT INTO leadscore.model (name, target, time_zone) VALUES ('sla', 'lead', 'Europe/Warsaw'), ('sla_other', 'lead', 'UTC');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at, filter) VALUES
	('sla', 'call', 'call', 'lead_id', 'at', 'NOT test');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, event_key) VALUES
	('sla', 'mail', 'mail', 'address', 'email', 'sent', 'America/New_York', 'message');
SELECT leads FROM leadscore.attach('sla');

-- a move of a lead, or with "from" = "to" another row of its history
CREATE SEQUENCE history_order;
CREATE VIEW history AS
SELECT lead_key AS lead, at, from_stage::text AS "from", to_stage::text AS "to", automatic, model FROM leadscore.history;
ALTER VIEW history ALTER automatic SET DEFAULT false, ALTER model SET DEFAULT 'sla';
CREATE FUNCTION write_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO leadscore.history (at, xact_order, model, lead_key, cause, automatic, from_stage, to_stage, temperature, grade, score, fit, engagement)
	VALUES (NEW.at, nextval('sla.history_order'), NEW.model, NEW.lead, CASE WHEN NEW.automatic THEN 'event' ELSE 'manual' END, NEW.automatic,
			NEW."from"::leadscore.lead_stage, NEW."to"::leadscore.lead_stage, 'cold', 'C4', 0, 0, 0);
	RETURN NEW;
END
$$;
CREATE TRIGGER write_history INSTEAD OF INSERT ON history FOR EACH ROW EXECUTE FUNCTION write_history();

--
-- What may be written
--
CREATE FUNCTION refused(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text; hint text;
BEGIN
	EXECUTE statement;
	SET CONSTRAINTS ALL IMMEDIATE;
	RAISE EXCEPTION USING ERRCODE = 'YY000';
EXCEPTION
	WHEN SQLSTATE 'YY000' THEN RETURN NEXT 'accepted';
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN NEXT concat_ws(': ', state, message);
		IF detail <> '' AND state NOT IN ('23514', '23502') THEN RETURN NEXT '  ' || detail; END IF;
		IF hint <> '' THEN RETURN NEXT '  ' || hint; END IF;
END
$$;
CREATE FUNCTION sla_with(changes jsonb) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT r FROM refused(format($f$
		INSERT INTO leadscore.sla SELECT (jsonb_populate_record(NULL::leadscore.sla,
			'{"model": "sla", "stage": "mql", "starts": "stage", "respond_within": "24:00", "target_within": "1:00"}'::jsonb || %L::jsonb)).*$f$, changes)) r
$$;
SELECT c AS changes, s.* FROM (VALUES
	(1, '{}'::jsonb),
	(2, '{"model": "sla_none"}'), (3, '{"stage": "warm"}'), (4, '{"stage": null}'), (5, '{"model": null}'),
	(10, '{"starts": "noon"}'), (11, '{"starts": "request"}'), (12, '{"request_at": "now()"}'), (13, '{"starts": "request", "request_at": "asked"}'),
	(14, '{"starts": "request", "request_at": "asked::timestamptz"}'), (15, '{"starts": "request", "request_at": "(SELECT now())"}'),
	(16, '{"starts": "request", "request_at": "nothing"}'), (17, '{"starts": "request", "request_at": "clock_timestamp()"}'),
	(20, '{"respond_within": "0"}'), (21, '{"respond_within": "-1 h"}'), (22, '{"respond_within": "1 mon"}'), (23, '{"respond_within": "4000 days"}'),
	(24, '{"respond_within": null}'), (25, '{"target_within": "2 years"}'), (26, '{"target_within": "2 days"}'), (27, '{"target_within": "0"}'),
	(30, '{"response_activity": "call"}'), (31, '{"response_activity": "letter"}'), (32, '{"model": "sla_other", "response_activity": "call"}'),
	(40, '{"response_condition": "true"}'), (41, '{"response_activity": "call", "response_condition": "direction = ''out''"}'),
	(42, '{"response_activity": "call", "response_condition": "email = ''x''"}'), (43, '{"response_activity": "call", "response_condition": "minutes"}'),
	(44, '{"response_activity": "call", "response_condition": "at > now() - interval ''1 h''"}'),
	(45, '{"response_activity": "call", "response_condition": "direction = any(array(select 1))"}'),
	(50, '{"response_stages": ["sal", "nurture"]}'), (51, '{"response_stages": []}'), (52, '{"response_stages": ["sal", null]}'),
	(53, '{"response_stages": ["sal", "mql"]}'), (54, '{"response_stages": ["sal"], "response_activity": "call"}'),
	(60, '{"calendar": "office"}')
	) v(number, c), sla_with(c) s ORDER BY number;

-- who writes it says where names are looked up
INSERT INTO leadscore.sla (model, stage, response_activity, response_condition) VALUES ('sla', 'MQL', 'call', 'direction = ''out'' AND minutes::integer >= 0');
SELECT model, stage, starts, respond_within, target_within, response_activity, response_condition, search_path FROM leadscore.sla WHERE model = 'sla';
-- what answers leads is in use, whether or not rules count it
SELECT finding, object FROM leadscore.doctor('sla') WHERE finding = 'activity_source_unused' ORDER BY object;
SET search_path = leadscore, sla;
UPDATE leadscore.sla SET description = 'first contact' WHERE model = 'sla';
SELECT search_path FROM leadscore.sla WHERE model = 'sla';
UPDATE leadscore.sla SET response_condition = response_condition || ' AND true' WHERE model = 'sla';
SELECT search_path FROM leadscore.sla WHERE model = 'sla';
SET search_path = sla;
UPDATE leadscore.sla SET response_condition = 'direction = ''out'' AND minutes::integer >= 0' WHERE model = 'sla';
SELECT * FROM refused('UPDATE leadscore.sla SET response_condition = ''nothing'' WHERE model = ''sla''');
SELECT * FROM refused('UPDATE leadscore.sla SET response_activity = ''letter'' WHERE model = ''sla''');
-- an activity that is a response stays, unless it comes again at once, as when a matrix is imported
SELECT * FROM refused('DELETE FROM leadscore.activity_source WHERE model = ''sla'' AND name = ''call''');
BEGIN;
CREATE TEMPORARY TABLE kept AS SELECT * FROM leadscore.activity_source WHERE model = 'sla' AND name = 'call';
DELETE FROM leadscore.activity_source WHERE model = 'sla' AND name = 'call';
INSERT INTO leadscore.activity_source SELECT * FROM kept;
DROP TABLE kept;
COMMIT;

-- calendars
SELECT * FROM refused('INSERT INTO leadscore.calendar VALUES ('''', ''UTC'')');
SELECT * FROM refused('INSERT INTO leadscore.calendar VALUES (''office'', ''Europe/Nowhere'')');
INSERT INTO leadscore.calendar VALUES ('office', 'Europe/Warsaw', 'sales'), ('night', 'Europe/Warsaw', NULL), ('island', 'Australia/Lord_Howe', NULL), ('closed', 'UTC', NULL);
INSERT INTO leadscore.calendar_hours SELECT 'office', d, o, c FROM generate_series(1, 5) d, (VALUES ('09:00'::time, '12:30'::time), ('13:00', '17:00')) h(o, c);
INSERT INTO leadscore.calendar_hours VALUES ('night', 6, '22:00', '24:00'), ('night', 7, '00:00', '01:10'), ('night', 7, '01:30', '02:10'), ('night', 7, '02:20', '03:20');
INSERT INTO leadscore.calendar_hours SELECT 'island', d, o, c FROM generate_series(1, 7) d, (VALUES ('01:15'::time, '01:40'::time), ('01:50', '02:20')) h(o, c);
INSERT INTO leadscore.holiday VALUES ('office', '2024-01-01', 'New Year'), ('office', '2024-05-01', NULL), ('office', '2024-05-03', NULL);
SELECT * FROM refused('UPDATE leadscore.calendar SET time_zone = ''Mars'' WHERE name = ''office''');
SELECT r.* FROM (VALUES ('''office'', 8, ''9:00'', ''10:00'''), ('''office'', 0, ''9:00'', ''10:00'''), ('''office'', 6, ''9:00'', ''9:00'''),
	('''office'', 6, ''22:00'', ''6:00'''), ('''office'', 1, ''12:00'', ''12:45'''), ('''office'', 1, ''12:30'', ''13:00'''), ('''nowhere'', 1, ''12:30'', ''13:00'''),
	('''office'', 6, NULL, ''6:00''')) v(row), refused('INSERT INTO leadscore.calendar_hours VALUES (' || row || ')') r;
SELECT * FROM refused('UPDATE leadscore.calendar_hours SET opens = ''12:00'' WHERE calendar = ''office'' AND opens = ''13:00''');
SELECT * FROM refused('INSERT INTO leadscore.holiday VALUES (''office'', ''infinity'')');

--
-- Business hours
--
SELECT leadscore.business_deadline('office', at::timestamptz, duration::interval) AS deadline, at, duration FROM (VALUES
	('2024-01-05 16:00+01', '1:00'), ('2024-01-05 16:00+01', '1:00:00.000001'), ('2024-01-05 16:00+01', '24:00'), ('2024-01-05 16:00+01', '1 day'),
	('2024-01-06 12:00+01', '0'), ('2024-01-06 12:00+01', '0.000001 s'), ('2024-01-05 12:30+01', '1:00'), ('2024-01-05 12:10+01', '0:30'),
	('2023-12-29 16:30+01', '1:00'), ('2024-04-30 16:59+02', '8:00'), ('2024-03-29 16:00+01', '2:00'), ('2024-10-25 16:00+02', '2:00'),
	('2024-01-05 16:00+01', NULL), (NULL, '1:00')) v(at, duration);
SELECT leadscore.business_time('office', "from"::timestamptz, "to"::timestamptz), "from", "to" FROM (VALUES
	('2024-01-05 16:00+01', '2024-01-08 09:30+01'), ('2024-01-08 09:30+01', '2024-01-05 16:00+01'), ('2024-01-06 00:00+01', '2024-01-07 12:00+01'),
	('2024-01-01 00:00+01', '2025-01-01 00:00+01'), ('2024-01-05 16:00+01', '2024-01-05 16:00+01'), ('2024-01-05 16:00+01', NULL), (NULL, '2024-01-05 16:00+01')) v("from", "to");
-- no calendar: always open; a day is 24 hours, whatever the session thinks
SET timezone = 'Europe/Warsaw';
SELECT leadscore.business_deadline(NULL, '2024-03-30 12:00+01', '1 day'), leadscore.business_time(NULL, '2024-03-30 12:00', '2024-03-31 12:00');
SELECT leadscore.business_deadline('office', '2024-03-29 16:00+01', '1 day');
SET timezone = 'UTC';
SELECT * FROM (VALUES ('''closed'', ''2024-01-05'', ''1 h'''), ('''nowhere'', ''2024-01-05'', ''1 h'''), ('''office'', ''infinity'', ''1 h'''), ('NULL, ''-infinity'', ''1 h'''),
	('''office'', ''2024-01-05'', ''-1 h'''), ('''office'', ''2024-01-05'', ''1 mon'''), ('''night'', ''2024-01-05'', ''30000 h''')) v(a), refused('SELECT leadscore.business_deadline(' || a || ')') r;
SELECT * FROM (VALUES ('''closed'', ''2024-01-05'', ''2024-01-06'''), ('''nowhere'', ''2024-01-05'', ''2024-01-06'''), ('''office'', ''2024-01-05'', ''infinity'''), ('NULL, ''infinity'', ''2024-01-05''')) v(a),
	refused('SELECT leadscore.business_time(' || a || ')') r;

-- minute by minute: a minute is open if the clock on the wall says so
CREATE TEMPORARY TABLE minute AS
SELECT c.name AS calendar, m.at, EXISTS (
		SELECT FROM leadscore.calendar_hours h
		WHERE h.calendar = c.name AND h.weekday = extract(isodow FROM m.at AT TIME ZONE c.time_zone)
		  AND (m.at AT TIME ZONE c.time_zone)::time >= h.opens AND (m.at AT TIME ZONE c.time_zone)::time < h.closes)
	AND NOT EXISTS (SELECT FROM leadscore.holiday o WHERE o.calendar = c.name AND o.day = (m.at AT TIME ZONE c.time_zone)::date) AS open
FROM leadscore.calendar c
JOIN (VALUES ('office', '2024-03-28 00:00+00'::timestamptz), ('office', '2024-10-24 00:00+00'), ('office', '2024-04-28 00:00+00'),
			 ('night', '2024-03-27 00:00+00'), ('night', '2024-10-23 00:00+00'),
			 ('island', '2024-04-04 00:00+00'), ('island', '2024-10-03 00:00+00')) w(calendar, since) ON w.calendar = c.name,
	 LATERAL generate_series(w.since, w.since + interval '168:00' - interval '0:01', interval '0:01') m(at);
CREATE INDEX ON minute (calendar, at);
ANALYZE minute;
SELECT calendar, min(at), count(*), count(*) FILTER (WHERE open) AS open FROM minute GROUP BY calendar, date_trunc('month', at) ORDER BY 1, 2;
SELECT count(*) AS checked, count(*) FILTER (WHERE leadscore.business_time(a.calendar, a.at, a.until) <> m.open * interval '0:01') AS wrong
FROM (SELECT calendar, at, at + (extract(epoch FROM at)::bigint / 60 % 5011) * interval '0:01' AS until
	  FROM minute WHERE extract(epoch FROM at)::bigint / 60 % 97 = 0) a,
	 LATERAL (SELECT count(*) FILTER (WHERE m.open) AS open, count(*) AS n FROM minute m WHERE m.calendar = a.calendar AND m.at >= a.at AND m.at < a.until) m
WHERE m.n * interval '0:01' = a.until - a.at;
-- the deadline is the end of the n-th open minute from the start on
SELECT count(*) AS checked, count(*) FILTER (WHERE d.deadline IS DISTINCT FROM m.at + interval '0:01') AS wrong
FROM (SELECT calendar, at, extract(epoch FROM at)::bigint / 60 % 211 + 1 AS minutes
	  FROM minute WHERE extract(epoch FROM at)::bigint / 60 % 61 = 0) a,
	 LATERAL (SELECT m.at FROM minute m WHERE m.calendar = a.calendar AND m.at >= a.at AND m.at < a.at + interval '200:00' AND m.open
			  ORDER BY m.at OFFSET a.minutes - 1 LIMIT 1) m,
	 LATERAL (SELECT leadscore.business_deadline(a.calendar, a.at, a.minutes * interval '0:01') AS deadline) d;
-- one is the other's reverse, and many at once are as many one by one
SELECT count(*) AS checked, count(*) FILTER (WHERE leadscore.business_time(s.calendar, s.at, d.deadline) <> s.duration
	OR leadscore.business_time(s.calendar, s.at, d.deadline - interval '0.000001 s') >= s.duration
	OR d.deadline <> leadscore.business_deadline(s.calendar, s.at, s.duration)) AS wrong
FROM (SELECT c.calendar, i, '2024-03-20 00:00:00.123456+00'::timestamptz + i * interval '4:13:07.5' AS at, c.duration
	  FROM (VALUES ('office', '24:00'::interval), ('office', '0:00:00.000001'), ('night', '5:00'), ('island', '3 days 01:02:03.000004')) c(calendar, duration), generate_series(1, 60) i) s
JOIN LATERAL leadscore._business_deadlines(s.calendar, ARRAY(
		SELECT '2024-03-20 00:00:00.123456+00'::timestamptz + i * interval '4:13:07.5' FROM generate_series(1, 60) i), s.duration) d ON d.start = s.at;
-- overlapping hours, which two sessions may write at once, count once
ALTER TABLE leadscore.calendar_hours DISABLE TRIGGER check_hours;
BEGIN;
INSERT INTO leadscore.calendar_hours VALUES ('office', 1, '08:00', '13:30'), ('office', 1, '10:00', '11:00');
SELECT leadscore.business_time('office', '2024-01-08 00:00+01', '2024-01-09 00:00+01');
ROLLBACK;
ALTER TABLE leadscore.calendar_hours ENABLE ALWAYS TRIGGER check_hours;

--
-- Clocks, case by case
--
-- deadline 2024-01-11 10:00; other rows of history are no entries
INSERT INTO history SELECT i, m.* FROM generate_series(1, 20) i,
	(VALUES (timestamptz '2024-01-09 08:00', NULL, 'lead', false), ('2024-01-09 09:00', 'lead', 'lead', false),
			('2024-01-10 10:00', 'lead', 'mql', true), ('2024-01-10 11:00', 'mql', 'mql', false)) m;
INSERT INTO call (lead_id, at, direction, minutes, test) VALUES
	(1, '2024-01-10 10:30', 'out', '3', false),
	(2, '2024-01-10 11:00', 'out', '3', false),							-- one hour: in the band
	(3, '2024-01-10 11:00:00.000001', 'out', '3', false),				-- not any more
	(4, '2024-01-11 10:00', 'out', '3', false),							-- exactly at the deadline
	(5, '2024-01-11 10:00:00.000001', 'out', '3', false),				-- late
	(6, '2024-01-09 10:00', 'out', '3', false),							-- before the start
	(6, '2024-01-10 09:59:59.999999', 'out', '3', false),
	(6, '2024-01-10 10:00', 'out', '3', false),							-- what moved it there is no response
	(11, '2024-01-10 12:00', 'out', '3', false),						-- as it leaves
	(12, '2024-01-10 10:20', 'out', '0', false), (12, '2024-01-10 10:50', 'out', '0', false), (12, '2024-01-12 10:00', 'out', '5', false),
	(13, '2024-01-10 10:20', 'in', '3', false),							-- the condition does not hold,
	(13, '2024-01-10 10:21', 'out', 'busy', false),						-- fails,
	(13, '2024-01-10 10:22', 'out', NULL, false),						-- or is unknown
	(14, '2024-01-10 10:20', 'out', '3', true), (14, '2024-01-10 10:21', 'out', '3', NULL),	-- left out by the filter
	(15, NULL, 'out', '3', false), (15, 'infinity', 'out', '3', false), (15, '2024-01-20 10:00', 'out', '3', false),	-- later
	(16, '2024-01-10 12:30', 'out', '3', false),						-- after it left
	(17, '2024-01-10 10:05', 'out', '3', false);
INSERT INTO history (lead, at, "from", "to") VALUES ('7', '2024-01-10 12:00', 'mql', 'nurture');					-- left before the deadline,
INSERT INTO history (lead, at, "from", "to") VALUES ('8', '2024-01-11 10:00', 'mql', 'nurture');					-- at it,
INSERT INTO history (lead, at, "from", "to") VALUES ('9', '2024-01-11 10:00:00.000001', 'mql', 'nurture');		-- after it
INSERT INTO history (lead, at, "from", "to") VALUES ('10', '2024-01-10 12:00', 'mql', 'lead'), ('10', '2024-01-12 09:00', 'lead', 'mql'), ('10', '2024-01-12 09:00', 'mql', 'mql');
INSERT INTO history (lead, at, "from", "to") VALUES ('11', '2024-01-10 12:00', 'mql', 'sal');
INSERT INTO history (lead, at, "from", "to") VALUES ('16', '2024-01-10 12:00', 'mql', 'sal');
INSERT INTO history (lead, at, "from", "to") VALUES ('17', '2024-01-10 10:00', 'mql', 'sal'), ('17', '2024-01-10 10:00', 'sal', 'mql');	-- passed through
INSERT INTO history (lead, at, "from", "to") VALUES ('900', '2024-01-10 10:00', NULL, 'mql'), ('no number', '2024-01-10 10:00', NULL, 'mql');	-- leads that are no more
-- another model is another matter
INSERT INTO history VALUES ('1', '2024-01-10 10:00', NULL, 'mql', false, 'sla_other');
SELECT lead_key AS lead, entered_at = started_at AS same, started_at, deadline, responded_at, attempts AS n, ended_at, left_to, outcome, breached, response_time, band
FROM leadscore.sla_clocks('sla', '2024-01-11 10:00') ORDER BY length(lead_key), lead_key, started_at, ended_at;
-- as time goes on
SELECT lead_key AS lead, started_at, responded_at, attempts AS n, outcome, breached, band
FROM leadscore.sla_clocks('sla', '2024-01-11 10:00:00.000001') WHERE outcome IN ('open', 'late', 'breached') ORDER BY length(lead_key), lead_key, started_at;
SELECT lead_key AS lead, started_at, responded_at, attempts AS n, outcome, breached, band
FROM leadscore.sla_clocks('sla', '2024-02-01') WHERE lead_key IN ('10', '12', '15') ORDER BY length(lead_key), lead_key, started_at;
SELECT count(*) FROM leadscore.sla_clocks('sla', '2024-01-10 09:00');
SELECT DISTINCT model, stage, starts, target_at FROM leadscore.sla_clocks('sla', '2024-01-10 20:00');
SELECT * FROM refused('SELECT * FROM leadscore.sla_clocks(''sla_none'')');
SELECT * FROM refused('SELECT * FROM leadscore.sla_clocks(NULL)');
SELECT count(*) FROM leadscore.sla_clocks('sla_other', '2024-02-01');
-- an event that is delivered late is in time
INSERT INTO call (lead_id, at, direction, minutes, test) VALUES (18, '2024-01-10 10:30', 'out', '1', false);
SELECT outcome, responded_at FROM leadscore.sla_clocks('sla', '2024-02-01') WHERE lead_key = '18';

-- running ones are the same, found another way
SELECT count(*) AS running, count(*) FILTER (WHERE r.outcome = 'open') AS open,
	   count(*) FILTER (WHERE NOT EXISTS (SELECT FROM leadscore._sla_all('sla', '2024-01-12 12:00', 'all') a
			WHERE (a.lead_key, a.started_at, a.deadline, a.attempts, a.outcome, a.breached) = (r.lead_key, r.started_at, r.deadline, r.attempts, r.outcome, r.breached)
			  AND a.ended_at IS NULL)) AS wrong
FROM leadscore._sla_all('sla', '2024-01-12 12:00', 'running') r;
-- attempts of one lead
SELECT lead, leadscore.attempts('sla', lead, '2024-01-11 10:00') AS then, leadscore.attempts('sla', lead, '2024-01-13') AS later,
	   leadscore.attempts('sla', lead, '2024-01-10 09:00') AS earlier
FROM unnest('{1, 6, 7, 10, 12, 17, 900, 901, nobody, NULL}'::text[]) lead;
SELECT leadscore.attempts('sla_other', '1', '2024-01-13') AS none, leadscore.attempts('nothing', '1') AS none;
SELECT leadscore.attempts('sla', 12, '2024-01-13') AS by_key, leadscore.attempts('sla', 901) AS none, leadscore.attempts('sla', NULL::int) AS none;

-- business hours: 24 of them from Wednesday 2024-01-10 11:00 in Warsaw
BEGIN;
UPDATE leadscore.sla SET calendar = 'office', respond_within = '24:00' WHERE model = 'sla';
SELECT DISTINCT target_at, deadline FROM leadscore.sla_clocks('sla', '2024-01-10 20:00');
SELECT lead_key AS lead, outcome, band FROM leadscore.sla_clocks('sla', '2024-02-01') WHERE lead_key IN ('5', '9') ORDER BY 1;
SELECT * FROM refused('DELETE FROM leadscore.calendar WHERE name = ''office''');
UPDATE leadscore.calendar SET name = 'bureau' WHERE name = 'office';
SELECT calendar FROM leadscore.sla WHERE model = 'sla';
ROLLBACK;
-- a day has 24 hours, whatever the session thinks
BEGIN;
SET LOCAL timezone = 'Europe/Warsaw';
UPDATE leadscore.sla SET respond_within = '1 day' WHERE model = 'sla';
INSERT INTO history (lead, at, "from", "to") VALUES ('19', '2024-03-29 12:00+01', 'mql', 'lead'), ('19', '2024-03-30 12:00+01', 'lead', 'mql');
SELECT deadline AT TIME ZONE 'UTC' FROM leadscore.sla_clocks('sla', '2024-04-01') WHERE lead_key = '19' AND started_at > '2024-03-01';
ROLLBACK;

--
-- Moves as responses
--
BEGIN;
UPDATE leadscore.sla SET response_activity = NULL, response_condition = NULL WHERE model = 'sla';
INSERT INTO history (lead, at, "from", "to") VALUES ('20', '2024-01-10 12:00', 'mql', 'sql');					-- acceptance
INSERT INTO history (lead, at, "from", "to") VALUES ('1', '2024-01-10 12:00', 'mql', 'opportunity');			-- more than that
INSERT INTO history (lead, at, "from", "to", automatic) VALUES ('2', '2024-01-10 12:00', 'mql', 'sal', true);			-- by itself
INSERT INTO history (lead, at, "from", "to") VALUES ('3', '2024-01-11 12:00', 'mql', 'sal');					-- late
SELECT lead_key AS lead, responded_at, attempts AS n, ended_at, left_to, outcome, band
FROM leadscore.sla_clocks('sla', '2024-01-12') WHERE lead_key IN ('1', '2', '3', '4', '7', '11', '20') ORDER BY length(lead_key), lead_key;
UPDATE leadscore.sla SET response_stages = '{sql, nurture, sal}' WHERE model = 'sla';
SELECT lead_key AS lead, responded_at, attempts AS n, ended_at, left_to, outcome, band
FROM leadscore.sla_clocks('sla', '2024-01-12') WHERE lead_key IN ('1', '2', '3', '4', '7', '11', '20') ORDER BY length(lead_key), lead_key;
ROLLBACK;

--
-- Requests
--
BEGIN;
UPDATE leadscore.sla SET starts = 'request', request_at = 'CASE WHEN asked <> ''never'' THEN asked::timestamp END' WHERE model = 'sla';
UPDATE lead SET asked = '2024-01-10 10:45' WHERE id IN (1, 7, 10, 11);	-- in Warsaw, that is 09:45: before the entry
UPDATE lead SET asked = 'never' WHERE id = 2;
UPDATE lead SET asked = 'some day' WHERE id = 3;						-- an error: unknown
UPDATE lead SET asked = '2024-01-11 12:00' WHERE id = 4;				-- after the entry, and the call
UPDATE lead SET asked = '2024-01-10 11:30' WHERE id = 5;				-- the call was late by that
UPDATE lead SET asked = '2024-01-10 11:00' WHERE id = 6;				-- at the time of a call
UPDATE lead SET asked = '2024-01-12 10:30' WHERE id = 8;				-- after it left
UPDATE lead SET asked = '2024-01-12 09:30' WHERE id = 10;				-- in between: belongs to the second visit
UPDATE lead SET asked = '2024-01-13 00:00' WHERE id = 12;				-- yet to come
SELECT lead_key AS lead, entered_at, started_at, deadline, responded_at, attempts AS n, outcome, breached, response_time
FROM leadscore.sla_clocks('sla', '2024-01-12 12:00') ORDER BY length(lead_key), lead_key, started_at;
SELECT stage, starts, clocks, decided, answered, median_response, median_since_entry FROM leadscore._sla_report('sla', '2024-01-12 12:00');
ROLLBACK;

--
-- Events that go by another value, and are delivered twice
--
BEGIN;
UPDATE leadscore.sla SET response_activity = 'mail', response_condition = NULL WHERE model = 'sla';
UPDATE lead SET email = upper(email) WHERE id IN (1, 2);
UPDATE lead SET email = 'p3@example.com' WHERE id = 4;
INSERT INTO mail VALUES ('<1>', 'P1@Example.com', '2024-01-10 05:30'), ('<1>', 'p1@example.com', '2024-01-10 05:20'), ('<2>', 'p1@example.com', '2024-01-10 06:30'),
	('<3>', 'p2@example.com', '2024-01-10 04:59'), ('<3>', 'p2@example.com', '2024-01-10 06:00'),	-- one mail, sent before
	('<4>', 'p3@example.com', '2024-01-10 05:00:01'), (NULL, 'p5@example.com', '2024-01-10 07:00'), (NULL, 'p5@example.com', '2024-01-10 07:00'),
	('<1>', 'p6@example.com', '2024-01-10 08:00'), ('<6>', '', '2024-01-10 08:00');
SELECT lead_key AS lead, responded_at, attempts AS n FROM leadscore.sla_clocks('sla', '2024-02-01') WHERE responded_at IS NOT NULL ORDER BY 1;
SELECT lead_key AS lead, responded_at, attempts AS n FROM leadscore._sla_all('sla', '2024-02-01', 'running') WHERE responded_at IS NOT NULL ORDER BY 1;
ROLLBACK;
-- a key that takes computing, which fails on some rows
BEGIN;
CREATE TABLE log (ref text, at timestamptz);
INSERT INTO log VALUES ('1', '2024-01-10 10:10'), ('02', '2024-01-10 10:10'), ('x', '2024-01-10 10:10'), ('3', '2024-01-10 10:10'), (NULL, '2024-01-10 10:10');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('sla', 'log', 'log', 'ref::bigint', 'at');
UPDATE leadscore.sla SET response_activity = 'log', response_condition = NULL WHERE model = 'sla';
SELECT lead_key AS lead, responded_at, attempts AS n FROM leadscore.sla_clocks('sla', '2024-02-01') WHERE responded_at IS NOT NULL ORDER BY 1;
SELECT lead_key AS lead, responded_at, attempts AS n FROM leadscore._sla_all('sla', '2024-02-01', 'running') WHERE responded_at IS NOT NULL ORDER BY 1;
ROLLBACK;

--
-- Breaches, recorded once
--
CREATE FUNCTION recording(at timestamptz) RETURNS TABLE (recorded bigint, leads text) LANGUAGE sql AS $$
	SELECT leadscore._record_sla_breaches('sla', at),
		   (SELECT string_agg(b.lead_key, ' ' ORDER BY length(b.lead_key), b.lead_key, b.started_at) FROM leadscore.sla_breach b WHERE b.model = 'sla')
$$;
SELECT recorded FROM recording('2024-01-11 10:00');
SELECT * FROM recording('2024-01-11 10:00');
SELECT recorded FROM recording('2024-01-11 10:00:00.000001');
SELECT * FROM recording('2024-01-11 10:00:00.000001');
SELECT model, lead_key, stage, started_at, deadline FROM leadscore.sla_breach WHERE lead_key IN ('5', '9') ORDER BY 2;
-- the second visit of a lead, whose entry was there all the time
SELECT recorded FROM recording('2024-01-13 09:00');
SELECT recorded FROM recording('2024-01-13 09:01');
-- an entry that is recorded late
INSERT INTO history (lead, at, "from", "to") VALUES ('21', '2023-11-01 09:00', NULL, 'mql'), ('21', '2023-11-05 09:00', 'mql', 'lost');
SELECT recorded FROM recording('2024-01-13 09:01');
-- asked for an earlier time, nothing is lost
INSERT INTO history (lead, at, "from", "to") VALUES ('22', '2024-01-14 09:00', NULL, 'mql'), ('23', '2024-01-12 09:00', NULL, 'mql');
SELECT recorded FROM recording('2024-01-13 08:00');
SELECT recorded FROM recording('2024-01-15 09:00');
SELECT recorded FROM recording('2024-01-15 09:01');
SELECT * FROM recording('2024-01-15 09:01');
-- a response that is delivered late does not undo it, but it shows
INSERT INTO call (lead_id, at, direction, minutes, test) VALUES (22, '2024-01-14 10:00', 'out', '1', false);
SELECT recorded FROM recording('2024-01-15 09:02');
SELECT outcome, breached FROM leadscore.sla_clocks('sla', '2024-01-15 09:02') WHERE lead_key = '22';
SELECT breaches_recorded, breaches_withdrawn FROM leadscore._sla_report('sla', '2024-01-15 09:02');
-- another service level is decided anew
UPDATE leadscore.sla SET respond_within = '0:45' WHERE model = 'sla';
SELECT * FROM recording('2024-01-15 09:03');
UPDATE leadscore.sla SET respond_within = '24:00' WHERE model = 'sla';
SELECT recorded FROM recording('2024-01-15 09:03');
SELECT recorded FROM recording('2024-01-15 09:03');
-- a model without any
SELECT leadscore._record_sla_breaches('sla_other', '2025-01-01'), leadscore._record_sla_breaches('sla_none', '2025-01-01');

-- messages
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/sla_messages.tmp'
DELETE FROM leadscore.sla_breach WHERE model = 'sla';
DELETE FROM leadscore.sla_progress WHERE model = 'sla';
LISTEN leadscore;
\o :file
SELECT leadscore._record_sla_breaches('sla', '2024-01-11 10:00:00.000001');
\o
\! sed -e 's/ received from .*//' -e 's/"recorded_at" : "[^"]*"/"recorded_at" : .../' "$PG_ABS_BUILDDIR/results/sla_messages.tmp"
UPDATE leadscore.model SET announce = false WHERE name = 'sla';
\o :file
SELECT leadscore._record_sla_breaches('sla', '2024-01-20');
\o
\! cat "$PG_ABS_BUILDDIR/results/sla_messages.tmp"
UPDATE leadscore.model SET announce = true WHERE name = 'sla';
-- a thousand, and one for the rest; keys that are too long for a message are left out of it
BEGIN;
INSERT INTO leadscore.model (name, target) VALUES ('sla_many', 'lead');
INSERT INTO leadscore.sla (model, stage) VALUES ('sla_many', 'mql'), ('sla_many', 'lead');
INSERT INTO history SELECT i, '2023-01-10 10:00', NULL, CASE WHEN i % 2 = 0 THEN 'mql' ELSE 'lead' END, false, 'sla_many' FROM generate_series(1, 1202) i;
INSERT INTO history SELECT string_agg(md5(i::text), ''), '2022-01-10 10:00', NULL, 'mql', false, 'sla_many' FROM generate_series(1, 60) i;
INSERT INTO history VALUES (repeat(E'\u0001', 1500), '2022-01-10 12:00', NULL, 'lead', false, 'sla_many');
SELECT leadscore._record_sla_breaches('sla_many', '2024-01-01');
\o :file
COMMIT;
\o
\! sed -e 's/ received from .*//' "$PG_ABS_BUILDDIR/results/sla_messages.tmp" | grep -c '"sla_breach"'
\! sed -e 's/ received from .*//' "$PG_ABS_BUILDDIR/results/sla_messages.tmp" | grep -e '"lead_key" : null' -e '"sla_breaches"' | sed -e 's/"recorded_at" : "[^"]*"/"recorded_at" : .../'
\! rm -f "$PG_ABS_BUILDDIR/results/sla_messages.tmp"
UNLISTEN leadscore;
DELETE FROM leadscore.model WHERE name = 'sla_many';
SELECT count(*) FROM leadscore.sla_breach WHERE model = 'sla_many';

--
-- One that is broken does not hide the others
--
INSERT INTO leadscore.sla (model, stage, calendar) VALUES ('sla', 'sal', NULL);
ALTER TABLE call RENAME COLUMN minutes TO seconds;
SELECT stage, count(*) FROM leadscore.sla_clocks('sla', '2024-01-12') GROUP BY stage;
DELETE FROM leadscore.sla_progress WHERE model = 'sla';
SELECT recorded FROM recording('2024-02-20');
SELECT rule, lead_key, sqlstate, message, count FROM leadscore.problem WHERE model = 'sla';
SELECT recorded FROM recording('2024-02-20');
SELECT count FROM leadscore.problem WHERE model = 'sla';
ALTER TABLE call RENAME COLUMN seconds TO minutes;
UPDATE leadscore.sla SET calendar = 'closed' WHERE stage::text = 'sal' AND model = 'sla';
SELECT stage, count(*) FROM leadscore.sla_clocks('sla', '2024-01-12') GROUP BY stage;
SELECT recorded FROM recording('2024-02-20');
SELECT message FROM leadscore.problem WHERE model = 'sla';
DELETE FROM leadscore.sla WHERE stage::text = 'sal' AND model = 'sla';
SELECT recorded FROM recording('2024-02-20');
SELECT count(*) FROM leadscore.problem WHERE model = 'sla';

--
-- Who may see it
--
SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'leadscore'::regnamespace AND p.proname = '_record_sla_breaches' AND has_function_privilege('regress_sla_reader', p.oid, 'EXECUTE');
GRANT USAGE ON SCHEMA leadscore, sla TO regress_sla_reader, regress_sla_rep;
GRANT SELECT ON leadscore.model, leadscore.sla, leadscore.attachment, leadscore.sla_clock, leadscore.sla_report, leadscore.sla_band, leadscore.sla_breach TO regress_sla_reader, regress_sla_rep;
SET ROLE regress_sla_reader;
SELECT left(r, 5) FROM refused('SELECT count(*) FROM leadscore.sla_clocks(''sla'', ''2024-01-12'')') r;
RESET ROLE;
GRANT SELECT ON leadscore.history TO regress_sla_reader, regress_sla_rep;
SET ROLE regress_sla_reader;
SELECT count(*) FROM leadscore.sla_clocks('sla', '2024-01-12');			-- neither the states nor the calls
RESET ROLE;
GRANT SELECT ON leadscore.sla_state TO regress_sla_reader, regress_sla_rep;
SET ROLE regress_sla_reader;
SELECT count(*) FROM call;
SELECT count(*), count(responded_at) FROM leadscore.sla_clocks('sla', '2024-01-12');
SELECT count(*) FROM leadscore.sla_report WHERE model = 'sla';
RESET ROLE;
-- row security: a rep sees his leads, and the calls that he may read
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON lead FOR SELECT USING (owner = current_user);
GRANT SELECT ON lead TO regress_sla_rep;
UPDATE lead SET owner = 'regress_sla_rep' WHERE id IN (1, 6, 7);
SET ROLE regress_sla_rep;
SELECT lead_key FROM leadscore.sla_clocks('sla', '2024-01-12');
RESET ROLE;
GRANT SELECT ON call TO regress_sla_rep;
SET ROLE regress_sla_rep;
SELECT lead_key, outcome FROM leadscore.sla_clocks('sla', '2024-01-12') ORDER BY 1;
RESET ROLE;
ALTER TABLE lead DISABLE ROW LEVEL SECURITY;

--
-- Keys of all types
--
CREATE FUNCTION by_key(type text, key text, other text, OUT running text, OUT all_of_them text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE keyed (id %s PRIMARY KEY); CREATE TABLE keyed_call (who %s, at timestamptz)', type, regexp_replace(type, ' COLLATE.*', ''));
	EXECUTE format('INSERT INTO keyed VALUES (%L)', key);
	EXECUTE format('INSERT INTO keyed_call VALUES (%L, %L)', key, '2024-01-10 11:00');
	INSERT INTO leadscore.model (name, target) VALUES ('sla_keyed', 'keyed');
	INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('sla_keyed', 'call', 'keyed_call', 'who', 'at');
	INSERT INTO leadscore.sla (model, stage, response_activity) VALUES ('sla_keyed', 'mql', NULL), ('sla_keyed', 'sal', 'call');
	PERFORM leadscore.attach('sla_keyed');
	INSERT INTO history SELECT k, '2024-01-10 10:00', NULL, t, false, 'sla_keyed' FROM unnest(ARRAY[key, other, 'x y']) k, unnest('{mql,sal}'::text[]) t WHERE t = 'mql' OR k = key;
	INSERT INTO history SELECT key, '2024-01-10 10:30', 'sal', 'mql', false, 'sla_keyed';
	INSERT INTO history SELECT key, '2024-01-10 10:45', 'mql', 'sal', false, 'sla_keyed';
	SELECT string_agg(format('%s %s %s', c.lead_key, c.stage::text, c.outcome), ', ' ORDER BY c.stage::integer, c.lead_key) INTO running FROM leadscore._sla_all('sla_keyed', '2024-01-11 00:00', 'running') c;
	SELECT string_agg(c.outcome, ' ' ORDER BY c.stage::integer, c.lead_key, c.ended_at) INTO all_of_them FROM leadscore.sla_clocks('sla_keyed', '2024-01-11 00:00') c;
	PERFORM leadscore.detach('sla_keyed');
	DELETE FROM leadscore.model WHERE name = 'sla_keyed';
	DROP TABLE keyed, keyed_call;
	RAISE EXCEPTION USING ERRCODE = 'YY000';
EXCEPTION WHEN SQLSTATE 'YY000' THEN
	NULL;	-- history goes with it
END
$$;
SELECT type, k.* FROM (VALUES ('smallint', '-7', '99999'), ('integer', '42', '9999999999'), ('bigint', '9223372036854775807', '9223372036854775808'), ('numeric', '12.5', '1e5'), ('numeric', '100', '1.0'),
	('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12'), ('text', 'Ann', 'ann'), ('varchar(10)', 'Ann', 'ann'), ('char(5)', 'Ann', 'ann'),
	('text COLLATE "C"', 'Ann', 'ann')) v(type, key, other), by_key(type, key, other) k;

--
-- Any history: against plain SQL
--
DELETE FROM leadscore.sla WHERE model = 'sla';
SELECT leadscore.detach('sla');
TRUNCATE lead, call, mail;
DELETE FROM leadscore.sla_breach WHERE model = 'sla';
INSERT INTO leadscore.model (name, target, time_zone, accepted_stage) VALUES ('sla_walk', 'lead', 'UTC', 'sql');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at, filter) VALUES ('sla_walk', 'call', 'call', 'lead_id', 'at', 'NOT test');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, event_key) VALUES
	('sla_walk', 'mail', 'mail', 'address', 'email', 'sent', 'UTC', 'message');
SELECT leads FROM leadscore.attach('sla_walk');
-- numbers that look like chance
CREATE FUNCTION chance(text, n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT (('x' || substr(md5($1), 1, 7))::bit(28)::integer % n) $$;
INSERT INTO lead SELECT i, 'w' || i % 90 || '@example.com', 'nobody', CASE WHEN i % 3 > 0 THEN (timestamp '2023-01-01' + chance('asked' || i, 60 * 24) * interval '1 hour')::text END, 0
FROM generate_series(1, 120) i;
-- walks: at times of full hours, several moves at once now and then, stages at random
CREATE TABLE walk AS
SELECT lead, step, at, lag(stage) OVER (PARTITION BY lead ORDER BY step) AS "from", stage AS "to", automatic
FROM (SELECT lead, step, timestamp '2023-01-01' + sum(chance('wait' || lead || ' ' || step, 5) * chance('pace' || lead, 30)) OVER (PARTITION BY lead ORDER BY step) * interval '1 hour' AS at,
			 (ARRAY['nurture', 'lead', 'mql', 'sal', 'sql', 'opportunity', 'lost', 'customer', 'mql'])[1 + chance('stage' || lead || ' ' || step, 9)] AS stage,
			 chance('self' || lead || ' ' || step, 3) = 0 AS automatic
	  FROM generate_series(1, 120) lead, generate_series(1, 10) step WHERE step <= 1 + chance('length' || lead, 10)) w;
INSERT INTO history SELECT lead, at AT TIME ZONE 'UTC', "from", "to", automatic, 'sla_walk' FROM walk ORDER BY lead, step;
INSERT INTO call SELECT i, chance('who' || i, 125), (timestamp '2023-01-01' + chance('call' || i, 24 * 40) * interval '1 hour') AT TIME ZONE 'UTC',
	CASE chance('way' || i, 3) WHEN 0 THEN 'in' ELSE 'out' END, CASE chance('min' || i, 9) WHEN 0 THEN 'none' ELSE '5' END, chance('test' || i, 10) = 0
FROM generate_series(1, 1500) i;
INSERT INTO mail SELECT CASE WHEN i % 5 > 0 THEN '<' || chance('mail' || i, 500) || '>' END, 'W' || chance('to' || i, 95) || '@example.com', timestamp '2023-01-01' + chance('sent' || i, 24 * 40) * interval '1 hour'
FROM generate_series(1, 900) i;
-- those of the walk that did not move are no entries; of the rest, what comes next
CREATE TABLE entry AS
SELECT w.lead, w.step, w.at AT TIME ZONE 'UTC' AS at, w."to" AS stage, w.automatic
FROM walk w WHERE w."from" IS DISTINCT FROM w."to";
-- what is a response, one by one
CREATE TABLE answer AS
SELECT 'call' AS kind, lead_id AS lead, at FROM call WHERE NOT test
UNION ALL
SELECT 'out', lead_id, at FROM call WHERE NOT test AND direction = 'out' AND minutes <> 'none'
UNION ALL
SELECT 'mail', l.id, m.sent AT TIME ZONE 'UTC' FROM mail m JOIN lead l ON lower(l.email) = lower(m.address) WHERE m.message IS NULL
UNION ALL
SELECT 'mail', l.id, min(m.sent) AT TIME ZONE 'UTC' FROM mail m JOIN lead l ON lower(l.email) = lower(m.address) WHERE m.message IS NOT NULL GROUP BY l.id, m.message;
CREATE INDEX ON entry (lead, step);
CREATE INDEX ON answer (lead);
ANALYZE entry, answer;
CREATE FUNCTION plain_clocks(sla_stage text, kind text, by_request boolean, listed text[], due interval, office text, now timestamptz)
RETURNS TABLE (lead text, started timestamptz, deadline timestamptz, responded timestamptz, attempts bigint, ended timestamptz, left_to text, outcome text, breached boolean,
	step integer, by_itself boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	e	record;
	x	record;
	before timestamptz;
BEGIN
	FOR e IN SELECT * FROM entry WHERE stage = sla_stage AND at <= now ORDER BY entry.lead, step LOOP
		lead := e.lead; step := e.step; started := e.at; responded := NULL; attempts := 0;
		SELECT n.at, n.stage, n.automatic INTO x FROM entry n WHERE n.lead = e.lead AND n.step > e.step AND n.at <= now ORDER BY n.step LIMIT 1;
		ended := x.at; left_to := x.stage; by_itself := x.automatic;
		IF by_request THEN
			SELECT l.asked::timestamp AT TIME ZONE 'UTC' INTO started FROM sla.lead l WHERE l.id = e.lead;
			-- when it left the stage before
			SELECT max((SELECT min(n.at) FROM entry n WHERE n.lead = p.lead AND n.step > p.step)) INTO before
			FROM entry p WHERE p.lead = e.lead AND p.stage = sla_stage AND p.step < e.step;
			CONTINUE WHEN started IS NULL OR started > now OR started > ended OR started <= before;
		END IF;
		deadline := CASE WHEN office IS NULL THEN started + due ELSE leadscore.business_deadline(office, started, due) END;
		IF kind IS NOT NULL THEN
			SELECT count(*), min(a.at) INTO attempts, responded FROM answer a
			WHERE a.kind = plain_clocks.kind AND a.lead = e.lead AND a.at <= now AND (a.at > started OR a.at = started AND by_request) AND (ended IS NULL OR a.at <= ended);
		ELSIF (CASE WHEN listed IS NULL THEN NOT x.automatic AND x.stage <> 'sql'
					AND array_position('{nurture,lead,mql,sal,sql,opportunity,customer}', x.stage) > array_position('{nurture,lead,mql,sal,sql,opportunity,customer}', sla_stage)
				   ELSE x.stage = ANY (listed) END) THEN
			attempts := 1; responded := ended;
		END IF;
		outcome := CASE WHEN responded IS NOT NULL THEN CASE WHEN responded > deadline THEN 'late' ELSE 'answered' END
						WHEN ended IS NOT NULL THEN CASE WHEN ended > deadline THEN 'breached' ELSE 'void' END
						ELSE 'open' END;
		breached := coalesce(responded, ended, now) > deadline;
		RETURN NEXT;
	END LOOP;
END
$$;
CREATE TABLE kind (id integer, stage text, starts text, kind text, activity text, condition text, listed text[], due interval, office text);
INSERT INTO kind VALUES
	(1, 'mql', 'stage', 'call', 'call', NULL, NULL, '24:00', NULL),
	(2, 'mql', 'stage', 'out', 'call', 'direction = ''out'' AND minutes::integer > 0', NULL, '5:00', NULL),
	(3, 'mql', 'stage', 'mail', 'mail', NULL, NULL, '2 days', NULL),
	(4, 'lead', 'stage', NULL, NULL, NULL, NULL, '24:00', NULL),
	(5, 'sal', 'stage', NULL, NULL, NULL, '{sql,lost}', '12:00', NULL),
	(6, 'mql', 'stage', 'call', 'call', NULL, NULL, '6:00', 'office'),
	(7, 'mql', 'request', 'call', 'call', NULL, NULL, '24:00', NULL),
	(8, 'lead', 'request', NULL, NULL, NULL, NULL, '8:00', 'office'),
	(9, 'nurture', 'request', 'mail', 'mail', NULL, NULL, '72:00', NULL);
CREATE FUNCTION set_kind(k kind) RETURNS void LANGUAGE sql AS $$
	DELETE FROM leadscore.sla WHERE model = 'sla_walk';
	INSERT INTO leadscore.sla (model, stage, starts, request_at, respond_within, response_activity, response_condition, response_stages, calendar)
	VALUES ('sla_walk', k.stage::leadscore.lead_stage, k.starts, CASE k.starts WHEN 'request' THEN 'asked::timestamp' END, k.due, k.activity, k.condition, k.listed::leadscore.lead_stage[], k.office);
$$;
CREATE FUNCTION compare(k kind, at timestamptz, OUT clocks bigint, OUT outcomes text, OUT differ bigint, OUT running_differ bigint) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_kind(k);
	CREATE TEMPORARY TABLE plain AS
	SELECT p.lead, p.started, p.deadline, p.responded, p.attempts, p.ended, p.left_to, p.outcome, p.breached
	FROM plain_clocks(k.stage, k.kind, k.starts = 'request', k.listed, k.due, k.office, compare.at) p;
	CREATE TEMPORARY TABLE ours AS
	SELECT c.lead_key, c.started_at, c.deadline, c.responded_at, c.attempts, c.ended_at, c.left_to::text, c.outcome, c.breached FROM leadscore.sla_clocks('sla_walk', compare.at) c;
	SELECT count(*), string_agg(DISTINCT p.outcome, ' ' ORDER BY p.outcome) INTO clocks, outcomes FROM plain p;
	SELECT count(*) INTO differ FROM ((TABLE plain EXCEPT ALL TABLE ours) UNION ALL (TABLE ours EXCEPT ALL TABLE plain)) d;
	DROP TABLE ours;
	DELETE FROM plain p WHERE p.ended IS NOT NULL;
	CREATE TEMPORARY TABLE ours AS
	SELECT c.lead_key, c.started_at, c.deadline, c.responded_at, c.attempts, c.ended_at, c.left_to::text, c.outcome, c.breached FROM leadscore._sla_all('sla_walk', compare.at, 'running') c;
	SELECT count(*) INTO running_differ FROM ((TABLE plain EXCEPT ALL TABLE ours) UNION ALL (TABLE ours EXCEPT ALL TABLE plain)) d;
	DROP TABLE plain, ours;
END
$$;
SELECT k.id, t.at, c.* FROM kind k, (VALUES ('2023-01-03 00:00'::timestamptz), ('2023-01-12 12:00'), ('2023-01-25 07:00'), ('2023-06-01')) t(at), compare(k, t.at) c ORDER BY 1, 2;

-- the reports
CREATE FUNCTION report_differs(k kind, at timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	r	record;
	p	record;
	b	record;
BEGIN
	PERFORM set_kind(k);
	CREATE TEMPORARY TABLE plain AS
	SELECT c.*, extract(epoch FROM c.responded - c.started) AS seconds, later, (SELECT n.stage FROM entry n WHERE n.lead = c.lead::integer AND n.step = l.last_step) AS last,
		   (SELECT n.at FROM entry n WHERE n.lead = c.lead::integer AND n.step = l.last_step) AS last_at
	FROM plain_clocks(k.stage, k.kind, k.starts = 'request', k.listed, k.due, k.office, report_differs.at) c,
		 LATERAL (SELECT string_agg(n.stage, ' ') FILTER (WHERE n.step > c.step) AS later, max(n.step) AS last_step FROM entry n WHERE n.lead = c.lead::integer AND n.at <= report_differs.at) l;
	SELECT * INTO r FROM leadscore._sla_report('sla_walk', report_differs.at);
	SELECT count(*) AS clocks,
		   count(*) FILTER (WHERE outcome = 'open' AND deadline >= report_differs.at) AS waiting,
		   count(*) FILTER (WHERE outcome = 'open' AND deadline < report_differs.at) AS overdue,
		   count(*) FILTER (WHERE outcome = 'void') AS void,
		   count(*) FILTER (WHERE outcome IN ('answered', 'late', 'breached') OR outcome = 'open' AND deadline < report_differs.at) AS decided,
		   count(*) FILTER (WHERE seconds <= 3600) AS answered_1h,
		   count(*) FILTER (WHERE seconds <= 86400) AS answered_24h,
		   count(*) FILTER (WHERE responded <= deadline) AS in_time,
		   count(seconds) AS answered,
		   percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median, percentile_cont(0.9) WITHIN GROUP (ORDER BY seconds) AS p90,
		   sum(attempts) FILTER (WHERE outcome IN ('answered', 'late', 'breached') OR outcome = 'open' AND deadline < report_differs.at) AS attempts,
		   count(*) FILTER (WHERE left_to IN ('nurture', 'lost') AND NOT by_itself AND attempts = 0) AS rejected,
		   count(*) FILTER (WHERE breached AND last IN ('nurture', 'lost') AND last_at >= deadline) AS lost
	INTO p FROM plain;
	IF (r.clocks, r.waiting, r.overdue, r.void, r.decided, r.answered, r.answered_1h, r.answered_24h, r.answered_in_time)
		IS DISTINCT FROM (p.clocks, p.waiting, p.overdue, p.void, p.decided, p.answered, p.answered_1h, p.answered_24h, p.in_time) THEN
		RETURN NEXT format('counts %s, not %s', r, p);
	END IF;
	IF (r.share_1h, r.share_24h, r.share_in_time) IS DISTINCT FROM
		(round(p.answered_1h / nullif(p.decided, 0)::numeric, 4), round(p.answered_24h / nullif(p.decided, 0)::numeric, 4), round(p.in_time / nullif(p.decided, 0)::numeric, 4)) THEN
		RETURN NEXT format('shares %s, not %s', r, p);
	END IF;
	IF abs(extract(epoch FROM r.median_response) - p.median) > 0.001 OR abs(extract(epoch FROM r.p90_response) - p.p90) > 0.001
		OR (r.median_response IS NULL) <> (p.median IS NULL) THEN
		RETURN NEXT format('times %s, not %s', r, p);
	END IF;
	IF k.kind IS NOT NULL AND (r.average_attempts, r.rejected_without_contact) IS DISTINCT FROM (round(p.attempts / nullif(p.decided, 0)::numeric, 2), p.rejected)
		OR k.kind IS NULL AND (r.average_attempts, r.rejected_without_contact) IS DISTINCT FROM (NULL::numeric, NULL::bigint)
		OR r.lost_after_breach <> p.lost THEN
		RETURN NEXT format('attempts %s, not %s', r, p);
	END IF;
	FOR b IN SELECT v.*, g.clocks AS g_clocks, g.accepted AS g_accepted, g.customers AS g_customers
		FROM leadscore._sla_bands('sla_walk', report_differs.at) v
		LEFT JOIN LATERAL (
			SELECT count(*) AS clocks, count(*) FILTER (WHERE later ~ 'sql|opportunity|customer') AS accepted, count(*) FILTER (WHERE later ~ 'customer') AS customers
			FROM plain
			WHERE v.band = CASE WHEN seconds <= 3600 THEN 'within 1 h' WHEN seconds <= 86400 THEN 'within 24 h' WHEN seconds > 86400 THEN 'later' ELSE 'none' END
			  AND NOT (outcome = 'open' AND deadline >= report_differs.at)) g ON true LOOP
		IF (b.clocks, b.accepted, b.customers) IS DISTINCT FROM (b.g_clocks, b.g_accepted, b.g_customers) THEN
			RETURN NEXT format('band %s', b);
		END IF;
	END LOOP;
	DROP TABLE plain;
END
$$;
SELECT k.id, t.at, d.* FROM kind k, (VALUES ('2023-01-12 12:00'::timestamptz), ('2023-01-25 07:00'), ('2023-06-01')) t(at), report_differs(k, t.at) d ORDER BY 1, 2;
CREATE FUNCTION reported(k kind, at timestamptz) RETURNS TABLE (clocks bigint, waiting bigint, overdue bigint, void bigint, decided bigint, answered bigint,
	share_1h numeric, share_24h numeric, share_in_time numeric, median interval, p90 interval, attempts numeric, rejected bigint, lost bigint) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_kind(k);
	RETURN QUERY
	SELECT r.clocks, r.waiting, r.overdue, r.void, r.decided, r.answered, r.share_1h, r.share_24h, r.share_in_time, r.median_response, r.p90_response, r.average_attempts,
		   r.rejected_without_contact, r.lost_after_breach
	FROM leadscore._sla_report('sla_walk', at) r;
END
$$;
SELECT k.id, r.* FROM kind k, reported(k, '2023-01-12 12:00') r ORDER BY 1;
SELECT clocks FROM kind k, reported(k, '2023-06-01') WHERE id = 2;
SELECT * FROM leadscore._sla_bands('sla_walk', '2023-06-01') ORDER BY band_rank;
-- the views are these, as of now
SELECT (SELECT count(*) FROM leadscore.sla_report v, leadscore._sla_report('sla_walk', NULL) f
		WHERE v.model = 'sla_walk' AND v.stage = f.stage::text AND v.stage_rank = f.stage::integer AND v.clocks = f.clocks AND v.lost_after_breach = f.lost_after_breach) AS report,
	   (SELECT count(*) FROM leadscore.sla_band v JOIN leadscore._sla_bands('sla_walk', NULL) f USING (band_rank, band, clocks)
		WHERE v.model = 'sla_walk' AND v.accepted_share IS NOT DISTINCT FROM round(f.accepted / nullif(f.clocks, 0)::numeric, 4)) AS bands;
-- someone waits now
INSERT INTO lead (id) VALUES (200), (201);
INSERT INTO history VALUES ('200', clock_timestamp(), 'lead', 'mql', false, 'sla_walk'), ('201', clock_timestamp(), 'lead', 'mql', false, 'sla_walk');
INSERT INTO call (lead_id, at, direction, minutes, test) VALUES (201, clock_timestamp(), 'out', '5', false);
SELECT model, lead_key, stage, stage_rank, starts, deadline - started_at AS due, target_at - started_at AS target, remaining BETWEEN '4:00' AND '5:00' AS remaining, past_target, breached
FROM leadscore.sla_clock WHERE model = 'sla_walk' AND lead_key IN ('200', '201');
DELETE FROM lead WHERE id = 200;
SELECT count(*) FROM leadscore.sla_clock WHERE model = 'sla_walk' AND lead_key IN ('200', '201');

-- recorded step by step, while history comes in pieces, some of it late: what
-- was breached as of each step is there, and nothing twice
DELETE FROM leadscore.model WHERE name = 'sla_step';
INSERT INTO leadscore.model (name, target, time_zone) VALUES ('sla_step', 'lead', 'UTC');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at, filter) VALUES ('sla_step', 'call', 'call', 'lead_id', 'at', 'NOT test');
INSERT INTO leadscore.sla (model, stage, respond_within, response_activity) VALUES ('sla_step', 'mql', '24:00', 'call');
INSERT INTO leadscore.sla (model, stage, respond_within, starts, request_at) VALUES ('sla_step', 'lead', '12:00', 'request', 'asked::timestamp');
INSERT INTO leadscore.sla (model, stage, respond_within, calendar, response_stages) VALUES ('sla_step', 'sal', '4:00', 'office', '{sql}');
CREATE TABLE step_missing (step integer, missing bigint, recorded bigint, total bigint, all_of_it boolean);
CREATE PROCEDURE walk_on() LANGUAGE plpgsql AS $$
DECLARE
	now			timestamptz;
	recorded	bigint;
BEGIN
	FOR day IN 0..45 LOOP
		now := timestamptz '2023-01-01' + day * interval '23:00';
		INSERT INTO history SELECT w.lead, w.at AT TIME ZONE 'UTC', w."from", w."to", w.automatic, 'sla_step'
		FROM (SELECT walk.*, walk.at + max(chance('delay' || lead || ' ' || step, 4) / 3 * interval '60 hours') OVER (PARTITION BY lead ORDER BY walk.step) AS known FROM walk) w
		WHERE w.known AT TIME ZONE 'UTC' <= now AND w.known AT TIME ZONE 'UTC' > now - interval '23:00'
		ORDER BY w.lead, w.step;
		COMMIT;
		recorded := leadscore._record_sla_breaches('sla_step', now);
		COMMIT;
		INSERT INTO step_missing
		SELECT day, count(*) FILTER (WHERE c.breached AND b.model IS NULL), recorded, (SELECT count(*) FROM leadscore.sla_breach t WHERE t.model = 'sla_step'),
			   EXISTS (SELECT FROM leadscore.sla_progress p WHERE p.model = 'sla_step' AND p.undecided_since > now - interval '10 days')
		FROM leadscore.sla_clocks('sla_step', now) c
		LEFT JOIN leadscore.sla_breach b ON b.model = 'sla_step' AND b.lead_key = c.lead_key AND b.stage OPERATOR(leadscore.=) c.stage AND b.started_at = c.started_at;
		COMMIT;
	END LOOP;
END
$$;
CALL walk_on();
SELECT count(*), sum(missing) AS missing, sum(recorded) AS recorded, max(total) AS total, bool_and(all_of_it) AS moves_on FROM step_missing;

--
-- Cleaning up
--
DELETE FROM leadscore.model WHERE name IN ('sla_step', 'sla_other');
SELECT leadscore.detach('sla_walk');
DELETE FROM leadscore.model WHERE name LIKE 'sla%';
SELECT count(*) FROM leadscore.sla WHERE model LIKE 'sla%';
SELECT count(*) FROM leadscore.sla_progress WHERE model LIKE 'sla%';
DELETE FROM leadscore.calendar WHERE name IN ('office', 'night', 'island', 'closed');
SELECT count(*) FROM leadscore.calendar_hours WHERE calendar IN ('office', 'night', 'island', 'closed');
SELECT count(*) FROM leadscore.holiday WHERE calendar IN ('office', 'night', 'island', 'closed');
REVOKE ALL ON leadscore.model, leadscore.sla, leadscore.attachment, leadscore.history, leadscore.sla_clock, leadscore.sla_report, leadscore.sla_band, leadscore.sla_breach FROM regress_sla_reader, regress_sla_rep;
REVOKE USAGE ON SCHEMA leadscore FROM regress_sla_reader, regress_sla_rep;
SET client_min_messages = warning;
DROP SCHEMA sla CASCADE;
DROP ROLE regress_sla_reader, regress_sla_rep;
