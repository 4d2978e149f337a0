-- Two small attached models with something to read in every view: the keys of one
-- are integers, those of the other uuids.
SET client_min_messages = error;	-- a rule fails on some leads, and shall
CREATE EXTENSION leadscore;
CREATE TABLE lead (id integer PRIMARY KEY, email text, title text, employees text, channel text, created timestamptz);
CREATE TABLE visit (lead_id integer, page text, at timestamptz);
CREATE TABLE call (lead_id integer, at timestamptz);
CREATE INDEX ON visit (lead_id);
CREATE INDEX ON call (lead_id);

INSERT INTO leadscore.model (name, target, channel, created_at, description) VALUES
	('clients', 'lead', 'channel', 'created', 'Read by clients: "quotes", ''apostrophes'', 100 % and żółć.');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES
	('clients', 'visit', 'visit', 'lead_id', 'at'), ('clients', 'call', 'call', 'lead_id', 'at');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('clients', 'position', 'fit'), ('clients', 'size', 'fit'), ('clients', 'web', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies) VALUES
	('clients', 'position', 'director', 'key', $$title ILIKE '%director%'$$, 40, false),
	('clients', 'position', 'żółć', 'acceptable', $$title ILIKE '%manager%'$$, 20, false),
	('clients', 'position', 'student', 'negative', $$title = 'student'$$, -5, true),
	-- fails where the number is none
	('clients', 'size', 'large', 'key', 'employees::integer >= 100', 15, false);
INSERT INTO leadscore.rule (model, factor, parameter, activity, condition, points, half_life) VALUES
	('clients', 'web', 'pricing page', 'visit', $$page = '/pricing'$$, 10, '7 days');
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES
	('clients', 'temperature', 'hot', 60), ('clients', 'temperature', 'warm', 30), ('clients', 'temperature', 'cold', '-infinity');
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) VALUES
	('clients', 'lead', 'mql', 'scored.score >= 40', true), ('clients', 'mql', 'sal', 'scored.score >= 60', true),
	('clients', 'sal', 'sql', NULL, false), ('clients', 'sal', 'nurture', NULL, false), ('clients', 'nurture', 'mql', NULL, false),
	('clients', 'sql', 'opportunity', NULL, false), ('clients', 'opportunity', 'customer', NULL, false), ('clients', 'opportunity', 'lost', NULL, false);
INSERT INTO leadscore.sla (model, stage, response_activity) VALUES ('clients', 'mql', 'call'), ('clients', 'sal', 'call');
INSERT INTO leadscore.channel_cost (model, channel, month, cost, direction)
	SELECT 'clients', c, m::date, 1234.5, d FROM (VALUES ('fair', 'outbound'), ('search', 'inbound')) v(c, d),
		generate_series(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month', now() AT TIME ZONE 'UTC', '1 month') m;
INSERT INTO leadscore.target (model, month, generated, accepted, customers) VALUES ('clients', date_trunc('month', now() AT TIME ZONE 'UTC')::date, 100, 20, 3);

INSERT INTO lead SELECT i, format('p%s@example.com', i), (ARRAY['IT director', 'manager', 'student', NULL])[i % 4 + 1], i * 10,
	(ARRAY['fair', 'search', NULL])[i % 3 + 1], now() - i * interval '1 day' FROM generate_series(1, 30) i;
SELECT leadscore.attach('clients');
INSERT INTO lead SELECT i, format('p%s@example.com', i), (ARRAY['IT director', 'manager', 'student', NULL])[i % 4 + 1],
	CASE WHEN i % 10 = 5 THEN 'many' ELSE (i * 10)::text END, (ARRAY['fair', 'search', NULL])[i % 3 + 1], now() FROM generate_series(31, 60) i;
INSERT INTO visit SELECT i, '/pricing', now() - d * interval '1 day' FROM generate_series(1, 60) i, generate_series(1, 3 - i % 4) d;
INSERT INTO call SELECT i, now() FROM generate_series(1, 60, 7) i;
SELECT leadscore.move('clients', lead_key, CASE WHEN lead_key % 3 = 0 THEN 'nurture' ELSE 'sql' END::leadscore.lead_stage, 'by hand')
	FROM leadscore.clients_scored WHERE stage = 'sal' AND lead_key % 5 <> 1;
SELECT leadscore.move('clients', lead_key, 'mql') FROM leadscore.clients_scored WHERE stage = 'nurture';
SELECT leadscore.move('clients', lead_key, 'opportunity') FROM leadscore.clients_scored WHERE stage = 'sql' AND lead_key % 8 = 0;
SELECT leadscore.move('clients', lead_key, 'customer') FROM leadscore.clients_scored WHERE stage = 'opportunity' AND lead_key % 16 = 0;
SELECT leadscore.pin('clients', lead_key, now() + interval '14 days', 'on holiday') FROM leadscore.clients_scored WHERE stage = 'sal';
CALL leadscore.rescore('clients');
CALL leadscore.advance();

CREATE TABLE "Lead 2" (id uuid PRIMARY KEY, n numeric);
INSERT INTO "Lead 2" SELECT gen_random_uuid(), i FROM generate_series(1, 5) i;
INSERT INTO leadscore.model (name, target) VALUES ('clients_2', '"Lead 2"');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('clients_2', 'n', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('clients_2', 'n', 'much', 'n > 2', 70);
SELECT leadscore.attach('clients_2');

-- an analyst, who reads the CRM as well, and writes nothing
CREATE ROLE check_clients_reader LOGIN;
GRANT USAGE ON SCHEMA leadscore TO check_clients_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA leadscore, public TO check_clients_reader;
