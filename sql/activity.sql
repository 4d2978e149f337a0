--
-- activity: what leads do, by example: events that count once, often, for a
-- while or by their absence; whose they are and when they were; what becomes of
-- them when they are changed, moved, deleted or delivered again; who may write
-- them and what cannot keep him from it
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
\set SHOW_CONTEXT never
CREATE SCHEMA act;
SET search_path = act;
SET timezone = 'UTC';
SET datestyle = 'ISO';

--
-- The worked example: 10 points, half-life 7 days, fit 30
--
CREATE TABLE person (id integer PRIMARY KEY);
CREATE TABLE visit (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person integer, at timestamptz);
INSERT INTO leadscore.model (name, target) VALUES ('act_worked', 'person');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('act_worked', 'visits', 'visit', 'person', 'at');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('act_worked', 'who', 'fit'), ('act_worked', 'visits', 'engagement');
INSERT INTO leadscore.rule (model, factor, condition, points, activity, half_life) VALUES
	('act_worked', 'who', 'true', 30, NULL, NULL), ('act_worked', 'visits', 'true', 10, 'visits', '7 days');
INSERT INTO person VALUES (1);
INSERT INTO visit (person, at) VALUES (1, '2024-03-01 12:00'), (1, '2024-03-08 12:00'), (1, '2024-03-15 12:00');
CREATE FUNCTION as_of(model text, key integer, VARIADIC at timestamptz[]) RETURNS TABLE (at timestamptz, fit integer, engagement numeric, score integer, temperature text, grade text) LANGUAGE sql AS $$
	SELECT t, leadscore.fit(model, key, t), round(leadscore.engagement(model, key, t)::numeric, 6), leadscore.score(model, key, t),
		   leadscore.temperature(model, key, t)::text, leadscore.grade(model, key, t)
	FROM unnest(at) t
$$;
-- the same whether it is attached, and so from the history, or from what is stored
\set instants '''2024-03-01 11:59:59'', ''2024-03-01 12:00'', ''2024-03-14'', ''2024-03-15 12:00'', ''2024-03-22 12:00'', ''2030-01-01'''
SELECT * FROM as_of('act_worked', 1, :instants);
SELECT leads FROM leadscore.attach('act_worked');
SELECT * FROM as_of('act_worked', 1, :instants);
SELECT parameter, axis, points, occurrences, round(decayed, 6) AS decayed, round(counted, 6) AS counted, note
FROM leadscore.explain('act_worked', 1, '2024-03-22 12:00') ORDER BY rule_id;
-- with a cap of 15: 45, flat for 1.557 days
UPDATE leadscore.factor SET points_cap = 15 WHERE model = 'act_worked' AND name = 'visits';
CALL leadscore.rescore('act_worked');
SELECT * FROM as_of('act_worked', 1, '2024-03-15 12:00', '2024-03-17 01:21', '2024-03-17 01:23', '2024-03-22 12:00');
SELECT axis, occurrences, round(decayed, 6) AS decayed, round(counted, 6) AS counted, note FROM leadscore.explain('act_worked', 1, '2024-03-15 12:00') ORDER BY rule_id;
-- that is known in advance, and nothing else before it: the score is hot from 45 on
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('act_worked', 'temperature', 'hot', 45), ('act_worked', 'temperature', 'cold', '-Infinity'),
	('act_worked', 'engagement', '1', 0), ('act_worked', 'engagement', '2', '-Infinity');
INSERT INTO person VALUES (2), (3);
BEGIN;
INSERT INTO visit (person, at) VALUES (2, now() - interval '14 days'), (2, now() - interval '7 days'), (2, now());
COMMIT;
CALL leadscore.rescore('act_worked');
SELECT s.temperature, round(extract(epoch FROM s.next_change_at - max(v.at)) / 86400, 3) AS days
FROM leadscore.act_worked_state s JOIN visit v ON v.person = s.lead_key WHERE s.lead_key = 2 GROUP BY s.temperature, s.next_change_at;
SELECT lead_key, temperature, next_change_at FROM leadscore.act_worked_state WHERE lead_key <> 2 ORDER BY 1;
SELECT temperature, grade FROM leadscore.act_worked_scored WHERE lead_key = 2;
SELECT leadscore.detach('act_worked');
DELETE FROM leadscore.model WHERE name = 'act_worked';

--
-- Every kind of rule
--
CREATE TABLE lead (id integer PRIMARY KEY, email text, level integer, created timestamptz);
CREATE TABLE event (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text, lead integer, at timestamptz, what text, data jsonb);
INSERT INTO leadscore.model (name, target, created_at) VALUES ('act', 'lead', 'created');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at, filter) VALUES
	('act', 'events', 'event', 'lead', 'at', $$kind = 'Lead'$$);
INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap) VALUES
	('act', 'who', 'fit', 'sum', NULL, NULL), ('act', 'often', 'engagement', 'sum', NULL, NULL), ('act', 'recent', 'engagement', 'sum', NULL, NULL),
	('act', 'silent', 'engagement', 'sum', NULL, NULL), ('act', 'best', 'engagement', 'best', NULL, NULL),
	('act', 'within bounds', 'engagement', 'sum', -4, 25), ('act', 'out', 'engagement', 'sum', NULL, NULL);
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, disqualifies, activity, half_life, at_least, within, at_most, inactive_for, include_never) VALUES
	('act', 'who', 'level', 'level > 0', 20, false, NULL, NULL, NULL, NULL, NULL, NULL, false),
	('act', 'often', 'download', $$what = 'download'$$, 3, false, 'events', NULL, NULL, NULL, 2, NULL, false),
	('act', 'often', 'click', $$what = 'click'$$, 8, false, 'events', '1 day', NULL, NULL, 2, NULL, false),
	('act', 'recent', 'two chats', $$what = 'chat'$$, 20, false, 'events', NULL, 2, '7 days', NULL, NULL, false),
	('act', 'silent', 'fell silent', $$what <> 'mail'$$, -10, false, 'events', NULL, NULL, NULL, NULL, '30 days', false),
	('act', 'silent', 'no call', $$what = 'call'$$, -1, false, 'events', NULL, NULL, NULL, NULL, '30 days', true),
	('act', 'best', 'webinar', $$what = 'webinar'$$, 16, false, 'events', '1 day', NULL, NULL, NULL, NULL, false),
	('act', 'best', 'registered', 'level = 2', 5, false, NULL, NULL, NULL, NULL, NULL, NULL, false),
	('act', 'within bounds', 'visit', $$what = 'visit'$$, 10, false, 'events', '7 days', NULL, NULL, NULL, NULL, false),
	('act', 'within bounds', 'bounce', $$what = 'bounce'$$, -3, false, 'events', NULL, NULL, NULL, NULL, NULL, false),
	('act', 'within bounds', 'level 3', 'level = 3', 2, false, NULL, NULL, NULL, NULL, NULL, NULL, false),
	('act', 'out', 'complaint', $$what = 'complaint'$$, -5, true, 'events', NULL, NULL, NULL, NULL, NULL, false);
-- a twin that is not attached: what it says comes from history
INSERT INTO leadscore.model (name, target, created_at) SELECT 'act_twin', target, created_at FROM leadscore.model WHERE name = 'act';
CREATE PROCEDURE copy_to_twin() LANGUAGE sql AS $$
	DELETE FROM leadscore.factor WHERE model = 'act_twin';
	DELETE FROM leadscore.activity_source WHERE model = 'act_twin';
	INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, filter, event_key)
		SELECT 'act_twin', name, relation, lead_key, match_column, occurred_at, time_zone, filter, event_key FROM leadscore.activity_source WHERE model = 'act';
	INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap)
		SELECT 'act_twin', name, axis, combine, points_floor, points_cap FROM leadscore.factor WHERE model = 'act';
	INSERT INTO leadscore.rule (model, factor, parameter, condition, points, disqualifies, activity, half_life, at_least, within, at_most, inactive_for, include_never)
		SELECT 'act_twin', factor, parameter, condition, points, disqualifies, activity, half_life, at_least, within, at_most, inactive_for, include_never
		FROM leadscore.rule WHERE model = 'act' ORDER BY id;
$$;
CALL copy_to_twin();
INSERT INTO lead SELECT i, 'user' || i || '@example.com', 0, '2024-01-01' FROM generate_series(1, 30) i;
SELECT leads FROM leadscore.attach('act');
-- Is anything stored or shown that history does not say?  No line: no.
CREATE FUNCTION wrong() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s: has %s, should be %s', l.id, s::text, e::text)
	FROM act.lead l LEFT JOIN leadscore.act_scored s ON s.lead_key = l.id, LATERAL leadscore.evaluate('act_twin', l.id, statement_timestamp()) e
	WHERE (s.score, s.temperature, s.grade, s.disqualified) IS DISTINCT FROM (e.score, e.temperature::text, e.grade, e.disqualified)
	   OR abs(s.engagement - e.engagement::numeric) > 0.02
	UNION ALL
	SELECT format('%s: does not exist', lead_key) FROM leadscore.act_scored WHERE lead_key NOT IN (SELECT id FROM act.lead)
	ORDER BY 1
$$;

-- at_most: the latest two downloads; the latest two clicks, as they fade
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 1, '2024-01-01', 'download'), ('Lead', 1, '2024-01-02', 'download'), ('Lead', 1, '2024-01-03', 'download'), ('Lead', 1, '2024-01-31', 'call'),
	('Lead', 2, '2024-01-01', 'click'), ('Lead', 2, '2024-01-02', 'click'), ('Lead', 2, '2024-01-03', 'click'), ('Lead', 2, '2024-01-31', 'call');
SELECT at, engagement FROM as_of('act', 1, '2024-01-01', '2024-01-02', '2024-01-03', '2024-01-05');
SELECT at, engagement FROM as_of('act', 2, '2024-01-01', '2024-01-02', '2024-01-03', '2024-01-05');
-- at_least two within 7 days: a chat that is exactly as old is out
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 3, '2024-01-03', 'chat'), ('Lead', 3, '2024-01-05', 'chat'), ('Lead', 3, '2024-01-05', 'call');
SELECT at, engagement FROM as_of('act', 3, '2024-01-04 23:59:59.999999', '2024-01-05', '2024-01-09 23:59:59.999999', '2024-01-10', '2024-01-11');
-- inactive for 30 days: a lead whose last event is exactly as old is silent, one
-- that never did anything is not; but for calls it is, from when it arose
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 4, '2024-01-11', 'call'), ('Lead', 5, '2024-01-11', 'mail');
SELECT at, engagement AS "called on 11 January" FROM as_of('act', 4, '2024-01-11', '2024-02-09 23:59:59.999999', '2024-02-10', '2025-01-01');
SELECT at, engagement AS "got a mail" FROM as_of('act', 5, '2024-01-11', '2024-01-30 23:59:59.999999', '2024-01-31', '2025-01-01');
SELECT at, engagement AS "did nothing" FROM as_of('act', 6, '2023-01-01', '2024-01-30 23:59:59.999999', '2024-01-31', '2025-01-01');
UPDATE lead SET created = NULL WHERE id = 6;
SELECT at, engagement AS "nobody knows since when" FROM as_of('act', 6, '2023-01-01', '2025-01-01');
SELECT parameter, occurrences, decayed, counted, note FROM leadscore.explain('act', 4, '2024-02-10') ORDER BY rule_id;
-- best of a webinar that fades and a registration that does not
UPDATE lead SET level = 2 WHERE id = 7;
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 7, '2024-01-01', 'webinar'), ('Lead', 7, '2024-01-20', 'call');
SELECT at, fit, engagement FROM as_of('act', 7, '2023-12-31', '2024-01-01', '2024-01-02', '2024-01-02 16:16:36', '2024-01-02 16:16:37', '2024-01-05');
SELECT parameter, points, occurrences, round(decayed, 6) AS decayed, round(counted, 6) AS counted, note FROM leadscore.explain('act', 7, '2024-01-02') ORDER BY rule_id;
SELECT parameter, points, occurrences, round(decayed, 6) AS decayed, round(counted, 6) AS counted, note FROM leadscore.explain('act', 7, '2024-01-05') ORDER BY rule_id;
-- between -4 and 25, of events and the lead's row together
UPDATE lead SET level = 3 WHERE id IN (8, 9);
INSERT INTO event (kind, lead, at, what) SELECT 'Lead', 8, '2024-01-01', 'visit' FROM generate_series(1, 3);
INSERT INTO event (kind, lead, at, what) SELECT 'Lead', 9, '2024-01-01', 'bounce' FROM generate_series(1, 3);
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 8, '2024-01-12', 'call'), ('Lead', 9, '2024-01-12', 'call');
SELECT at, fit, engagement, score FROM as_of('act', 8, '2023-12-31', '2024-01-01', '2024-01-08', '2024-01-15');
SELECT at, fit, engagement, score FROM as_of('act', 9, '2023-12-31', '2024-01-01');
SELECT parameter, points, occurrences, round(decayed, 6) AS decayed, round(counted, 6) AS counted, note FROM leadscore.explain('act', 8, '2024-01-01') ORDER BY rule_id;
SELECT parameter, points, occurrences, round(decayed, 6) AS decayed, round(counted, 6) AS counted, note FROM leadscore.explain('act', 9, '2024-01-01') ORDER BY rule_id;
-- a complaint disqualifies, from then on
UPDATE lead SET level = 1 WHERE id = 10;
INSERT INTO event (kind, lead, at, what) SELECT 'Lead', 10, '2024-01-01', 'chat' FROM generate_series(1, 3);
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 10, '2024-01-03', 'complaint'), ('Lead', 10, '2024-01-03', 'call');
SELECT a.*, leadscore.disqualified('act', 10, a.at) FROM as_of('act', 10, '2023-12-31', '2024-01-01', '2024-01-03', '2024-01-08') a;
SELECT score, temperature, disqualified FROM leadscore.act_scored WHERE lead_key = 10;
DELETE FROM event WHERE lead = 10 AND what = 'complaint';
SELECT score, temperature, disqualified FROM leadscore.act_scored WHERE lead_key = 10;
-- what is explained sums to the score, whenever
SELECT count(*) AS leads, count(*) FILTER (WHERE sum IS DISTINCT FROM score) AS wrong
FROM lead l, (VALUES ('2024-01-01'::timestamptz), ('2024-01-02 03:04:05'), ('2024-01-09'), ('2024-02-20')) t(at),
	 LATERAL (SELECT leadscore.score('act', l.id, t.at)) s(score), LATERAL (SELECT coalesce(sum(counted), 0) FROM leadscore.explain('act', l.id, t.at)) e(sum);
SELECT * FROM wrong();
-- every overload; and what there is not
SELECT leadscore.score('act', 8, '2024-01-01'), leadscore.score('act', '8', '2024-01-01'), leadscore.score('act', 8::bigint, '2024-01-01'),
	leadscore.score('act', 99, '2024-01-01'), leadscore.score('act', NULL::integer, '2024-01-01');
SELECT (leadscore.evaluate('act', 8, '2024-01-01')).score, (SELECT leadscore.score('act', l) = s.score FROM lead l JOIN leadscore.act_scored s ON s.lead_key = l.id WHERE l.id = 8) AS of_the_row;
SELECT leadscore.score('act', 8, 'infinity');
SELECT leadscore.score('act', 'eight'::text, '2024-01-01');

--
-- Late events, changed ones, deleted ones, and leads that come and go
--
-- in any order
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 11, '2024-01-15', 'visit');
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 11, '2024-01-01', 'visit');
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 11, '2024-01-08', 'visit');
SELECT at, engagement FROM as_of('act', 11, '2024-01-01', '2024-01-15');
SELECT (SELECT round(e.decayed::numeric, 6) FROM leadscore.engagement_entries(s.engagement) e WHERE e.events = 3 AND e.half_life IS NOT NULL) AS decayed FROM leadscore.act_state s WHERE lead_key = 11;
UPDATE event SET at = '2024-01-15' WHERE lead = 11 AND at = '2024-01-01';
SELECT at, engagement FROM as_of('act', 11, '2024-01-15');
UPDATE event SET what = 'bounce' WHERE lead = 11 AND at = '2024-01-08';
SELECT at, engagement FROM as_of('act', 11, '2024-01-15');
UPDATE event SET kind = 'Deal' WHERE lead = 11 AND at = '2024-01-15';
SELECT at, engagement FROM as_of('act', 11, '2024-01-15');
DELETE FROM event WHERE lead = 11;
SELECT at, engagement FROM as_of('act', 11, '2024-01-15');
SELECT * FROM wrong();
-- none of another kind
INSERT INTO event (kind, lead, at, what) VALUES ('Deal', 12, '2024-01-01', 'visit'), (NULL, 12, '2024-01-01', 'visit'), ('Lead', NULL, '2024-01-01', 'visit'), ('Lead', 12, NULL, 'visit'),
	('Lead', 12, 'infinity', 'visit'), ('Lead', 12, '-infinity', 'visit'), ('Lead', 12, '2024-01-01', NULL);
SELECT at, engagement FROM as_of('act', 12, '2024-01-02');
UPDATE event SET kind = 'Lead' WHERE lead = 12 AND kind = 'Deal';
SELECT at, engagement FROM as_of('act', 12, '2024-01-02');
SELECT * FROM wrong();
-- two leads are merged: the events go to the one, the other goes
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 13, '2024-01-01', 'visit'), ('Lead', 14, '2024-01-08', 'visit'), ('Lead', 14, '2024-01-08', 'chat'), ('Lead', 13, '2024-01-07', 'chat');
SELECT (SELECT engagement FROM as_of('act', 13, '2024-01-08')) AS lead_13, (SELECT engagement FROM as_of('act', 14, '2024-01-08')) AS lead_14;
BEGIN;
UPDATE event SET lead = 13 WHERE lead = 14;
DELETE FROM lead WHERE id = 14;
COMMIT;
SELECT (SELECT engagement FROM as_of('act', 13, '2024-01-08')) AS lead_13, leadscore.score('act', 14, '2024-01-08') AS lead_14, (SELECT count(*) FROM leadscore.act_state WHERE lead_key = 14) AS states;
SELECT * FROM wrong();
-- events before their lead, which nobody sees until it comes
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 40, '2024-01-01', 'visit'), ('Lead', 40, '2024-01-08', 'visit');
SELECT lead_exists, score_bound, engagement IS NOT NULL AS did FROM leadscore.act_state WHERE lead_key = 40;
SELECT count(*) FROM leadscore.act_scored WHERE lead_key = 40;
SELECT leadscore.score('act', 40, '2024-01-08');
INSERT INTO lead VALUES (40, NULL, 1, '2024-01-01');
SELECT at, fit, engagement, score FROM as_of('act', 40, '2024-01-08');
SELECT * FROM wrong();
-- the lead goes, its events stay; back it comes
DELETE FROM lead WHERE id = 40;
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 40, '2024-01-08', 'visit');
SELECT lead_exists FROM leadscore.act_state WHERE lead_key = 40;
INSERT INTO lead VALUES (40, NULL, 1, '2024-01-01');
SELECT at, fit, engagement, score FROM as_of('act', 40, '2024-01-08');
-- another key: the events stay with the old one
UPDATE lead SET id = 41 WHERE id = 40;
SELECT lead_key, lead_exists FROM leadscore.act_state WHERE lead_key IN (40, 41) ORDER BY 1;
UPDATE event SET lead = 41 WHERE lead = 40;
SELECT lead_key, lead_exists FROM leadscore.act_state WHERE lead_key IN (40, 41) ORDER BY 1;
SELECT at, fit, engagement, score FROM as_of('act', 41, '2024-01-08');
SELECT * FROM wrong();
-- savepoints that are rolled back, and a transaction
BEGIN;
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 15, '2024-01-01', 'visit');
SAVEPOINT a;
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 15, '2024-01-01', 'download'), ('Lead', 16, '2024-01-01', 'visit');
SAVEPOINT b;
DELETE FROM event WHERE lead = 15;
ROLLBACK TO b;
RELEASE b;
ROLLBACK TO a;
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 15, '2024-01-01', 'chat'), ('Lead', 15, '2024-01-01', 'chat');
SAVEPOINT c;
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 15, '2024-01-02', 'call');
RELEASE c;
COMMIT;
BEGIN;
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 15, '2024-01-01', 'visit');
DELETE FROM event WHERE lead = 13;
ROLLBACK;
SELECT at, engagement FROM as_of('act', 15, '2024-01-01');
SELECT parameter, occurrences FROM leadscore.explain('act', 15, '2024-01-02') WHERE occurrences > 0 ORDER BY rule_id;
SELECT at, engagement FROM as_of('act', 16, '2024-01-01');
SELECT * FROM wrong();
-- not seen before it is committed, and not after a rollback
BEGIN;
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 17, now(), 'visit');
SELECT engagement FROM leadscore.act_scored WHERE lead_key = 17;
COMMIT;
SELECT engagement > 8 AS counts FROM leadscore.act_scored WHERE lead_key = 17;

--
-- Events to come
--
INSERT INTO event (kind, lead, at, what) SELECT 'Lead', 18, now() + i * interval '7 days', 'visit' FROM generate_series(1, 2) i;
SELECT s.score, s.engagement, e.at = s.next_change_at AS known_when, e.later FROM leadscore.act_scored s, (SELECT min(at), count(*) FROM event WHERE lead = 18) e(at, later) WHERE lead_key = 18;
SELECT row_number() OVER (ORDER BY due_at) AS row, due_at IN (SELECT at FROM event WHERE lead = 18) AS of_an_event FROM leadscore.pending_activity WHERE model = 'act' AND lead_key = '18';
SELECT a.days, round(leadscore.engagement('act', 18, e.at + a.days * interval '1 day')::numeric, 6) AS engagement
FROM (SELECT min(at) FROM event WHERE lead = 18) e(at), (VALUES (-0.000001), (0), (7), (14)) a(days) ORDER BY 1;
-- what is added meanwhile counts at once
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 18, now(), 'download'), ('Lead', 18, now(), 'call');
SELECT score, engagement FROM leadscore.act_scored WHERE lead_key = 18;
SELECT * FROM wrong();
UPDATE event SET at = at - interval '8 days' WHERE lead = 18 AND what = 'visit';
SELECT count(*) FROM leadscore.pending_activity WHERE model = 'act' AND lead_key = '18';
SELECT * FROM wrong();
-- a moment later they are due: views know at once, and advance() puts them where they belong
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 19, clock_timestamp() + interval '0.2 seconds', 'visit');
SELECT pg_sleep(0.25);
SELECT v.engagement > 8.9 AS shown, s.engagement_points AS stored FROM leadscore.act_scored v JOIN leadscore.act_state s USING (lead_key) WHERE lead_key = 19;
SELECT leadscore.score('act', 19, statement_timestamp()) >= 8 AS told, leadscore.score('act', l) >= 8 AS of_the_row FROM lead l WHERE id = 19;
SELECT * FROM wrong();
CALL leadscore.advance();
SELECT engagement_points > 8.9 AS stored, (SELECT count(*) FROM leadscore.pending_activity WHERE model = 'act' AND lead_key = '19') AS pending FROM leadscore.act_state WHERE lead_key = 19;
SELECT * FROM wrong();
-- the hottest leads
SELECT (SELECT array_agg(score) FROM leadscore.hot_list('act', 5)) = ARRAY(SELECT score FROM leadscore.act_scored WHERE NOT disqualified ORDER BY score DESC LIMIT 5) AS these;

--
-- Events that cannot be read
--
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, activity) VALUES ('act', 'often', 'minutes', $$(data->>'minutes')::integer >= 10$$, 30, 'events');
CALL copy_to_twin();
CALL leadscore.rescore('act');
SET client_min_messages = error;
INSERT INTO event (kind, lead, at, what, data) VALUES ('Lead', 20, '2024-01-01', 'call', '{"minutes": 12}'), ('Lead', 20, '2024-01-01', 'call', '{"minutes": "many"}'), ('Lead', 20, '2024-01-01', 'chat', NULL);
SELECT at, engagement FROM as_of('act', 20, '2024-01-01');
SELECT r.parameter, p.lead_key, p.sqlstate, p.message FROM leadscore.problem p LEFT JOIN leadscore.rule r ON r.id = p.rule WHERE p.model = 'act';
UPDATE leadscore.activity_source SET occurred_at = $$coalesce((data->>'at')::timestamptz, at)$$ WHERE model IN ('act', 'act_twin');
CALL leadscore.rescore('act');
INSERT INTO event (kind, lead, at, what, data) VALUES ('Lead', 21, '2024-01-01', 'visit', '{"at": "2024-01-08"}'), ('Lead', 21, '2024-01-01', 'visit', '{"at": "some day"}');
SELECT at, engagement FROM as_of('act', 21, '2024-01-08');
SELECT r.parameter, p.lead_key, p.sqlstate, p.message FROM leadscore.problem p LEFT JOIN leadscore.rule r ON r.id = p.rule WHERE p.model = 'act' AND p.rule IS NULL;
SELECT * FROM wrong();
SET client_min_messages = warning;
DELETE FROM leadscore.rule WHERE model = 'act' AND parameter = 'minutes';
UPDATE leadscore.activity_source SET occurred_at = 'at' WHERE model = 'act';
CALL copy_to_twin();
CALL leadscore.rescore('act');
DELETE FROM leadscore.problem WHERE model = 'act';

--
-- Who writes them
--
CREATE ROLE regress_act_writer;
GRANT USAGE ON SCHEMA act TO regress_act_writer;
GRANT INSERT, UPDATE (at), DELETE, SELECT (id) ON event TO regress_act_writer;
ALTER TABLE event ENABLE ROW LEVEL SECURITY;
CREATE POLICY add ON event FOR INSERT TO regress_act_writer WITH CHECK (what <> 'secret');
CREATE POLICY mine ON event TO regress_act_writer USING (what = 'visit');
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 22, '2024-01-08', 'chat'), ('Lead', 22, '2024-01-08', 'call');
SET ROLE regress_act_writer;
INSERT INTO event (kind, lead, at, what) VALUES ('Lead', 22, '2024-01-08', 'chat'), ('Lead', 22, '2024-01-01', 'visit'), ('Lead', 23, '2024-01-01', 'visit');
UPDATE event SET at = '2024-01-08';
RESET ROLE;
SELECT at, engagement FROM as_of('act', 22, '2024-01-08');
SET ROLE regress_act_writer;
DELETE FROM event;
SELECT leadscore.score('act', 22, '2024-01-08');
RESET ROLE;
SELECT at, engagement FROM as_of('act', 22, '2024-01-08');
SELECT at, engagement FROM as_of('act', 23, '2024-01-08');
SELECT * FROM wrong();
ALTER TABLE event DISABLE ROW LEVEL SECURITY;
-- who reads them for himself sees what he may see
GRANT USAGE ON SCHEMA leadscore TO regress_act_writer;
GRANT SELECT ON lead TO regress_act_writer;
SET ROLE regress_act_writer;
SELECT leadscore.score('act', 22, '2024-01-08');
RESET ROLE;
GRANT SELECT ON event TO regress_act_writer;
ALTER TABLE event ENABLE ROW LEVEL SECURITY;
SET ROLE regress_act_writer;
SELECT at, engagement FROM (SELECT '2024-01-08'::timestamptz AS at, leadscore.engagement('act', 22, '2024-01-08') AS engagement) x;
RESET ROLE;
ALTER TABLE event DISABLE ROW LEVEL SECURITY;
TRUNCATE event;
SELECT count(*) FILTER (WHERE e.events IS NOT NULL) AS events FROM leadscore.act_state s LEFT JOIN LATERAL leadscore.engagement_entries(s.engagement) e ON true;
SELECT * FROM wrong();

--
-- By e-mail, delivered several times, in partitions, without a time zone
--
CREATE TABLE mail (id serial, address text, at timestamp, code text, what text) PARTITION BY RANGE (at);
CREATE TABLE mail_2023 PARTITION OF mail FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE mail_2024 PARTITION OF mail FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (what);
CREATE TABLE mail_2024_opened PARTITION OF mail_2024 FOR VALUES IN ('opened');
CREATE TABLE mail_2024_rest PARTITION OF mail_2024 DEFAULT;
CREATE TABLE fair (id integer PRIMARY KEY, lead integer, day date);
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, event_key) VALUES
	('act', 'mails', 'mail', 'address', 'email', 'at', 'Europe/Warsaw', 'code'), ('act', 'fairs', 'fair', 'lead', NULL, 'day', 'America/New_York', NULL);
DELETE FROM leadscore.rule WHERE model = 'act' AND parameter = 'no call';
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, activity) VALUES
	('act', 'often', 'opened', $$what = 'opened'$$, 1, 'mails'), ('act', 'often', 'answered', $$what = 'answered'$$, 10, 'mails'), ('act', 'often', 'fair', 'true', 100, 'fairs');
CALL copy_to_twin();
SELECT leads > 0 AS attached FROM leadscore.attach('act');
UPDATE lead SET level = 0;
CREATE FUNCTION mails() RETURNS TABLE (lead integer, engagement numeric) LANGUAGE sql AS $$
	SELECT lead_key, engagement FROM leadscore.act_scored WHERE engagement <> 0 ORDER BY 1
$$;
-- case does not matter; several leads with one address; nobody's; none
INSERT INTO mail (address, at, what) VALUES ('USER1@Example.com', '2024-01-01', 'opened'), ('nobody@example.com', '2024-01-01', 'answered'), (NULL, '2024-01-01', 'answered'), ('', '2024-01-01', 'answered');
UPDATE lead SET email = 'User2@Example.Com' WHERE id = 3;
INSERT INTO mail (address, at, what) VALUES ('user2@example.com', '2024-01-01', 'answered');
SELECT * FROM mails();
SELECT * FROM wrong();
-- another address takes other mails along
UPDATE lead SET email = 'nobody@example.com' WHERE id = 3;
UPDATE lead SET email = '' WHERE id = 1;
SELECT * FROM mails();
INSERT INTO lead VALUES (50, 'NOBODY@example.com', 0, NULL);
UPDATE lead SET email = NULL WHERE id = 2;
SELECT * FROM mails();
DELETE FROM lead WHERE id = 3;
UPDATE mail SET address = 'User4@example.com' WHERE address = 'nobody@example.com';
SELECT * FROM mails();
SELECT * FROM wrong();
TRUNCATE mail;
SELECT * FROM mails();
-- one delivery too many: in one statement, in another, of which one is deleted;
-- the earliest counts
INSERT INTO mail (address, at, code, what) VALUES ('user5@example.com', '2024-01-02', 'a', 'answered'), ('user5@example.com', '2024-01-02', 'a', 'answered'), ('user5@example.com', '2024-01-02', NULL, 'opened'), ('user5@example.com', '2024-01-02', NULL, 'opened');
SELECT * FROM mails();
INSERT INTO mail (address, at, code, what) VALUES ('user5@example.com', '2024-01-01', 'a', 'opened'), ('user6@example.com', '2024-01-03', 'a', 'answered');
SELECT * FROM mails();
SELECT at, engagement FROM as_of('act', 5, '2023-12-31', '2024-01-01', '2024-01-02');
DELETE FROM mail WHERE at = '2024-01-01';
SELECT * FROM mails();
DELETE FROM mail WHERE address LIKE 'user5%' AND id = (SELECT min(id) FROM mail WHERE code = 'a');
SELECT * FROM mails();
DELETE FROM mail WHERE code = 'a';
SELECT * FROM mails();
SELECT * FROM wrong();
-- partitions: written directly, from one into another, TRUNCATE of one
INSERT INTO mail_2024_opened (address, at, what) VALUES ('user7@example.com', '2024-06-01', 'opened');
INSERT INTO mail_2023 (address, at, what) VALUES ('user7@example.com', '2023-06-01', 'answered');
SELECT * FROM mails();
UPDATE mail SET what = 'answered' WHERE at = '2024-06-01';
SELECT * FROM mails();
UPDATE mail SET at = '2024-06-01' WHERE at = '2023-06-01';
SELECT at, engagement FROM as_of('act', 7, '2024-01-01', '2025-01-01');
UPDATE mail SET address = 'user8@example.com', what = 'opened' WHERE id = (SELECT min(id) FROM mail WHERE address = 'user7@example.com');
SELECT * FROM mails();
TRUNCATE mail_2024_opened;
SELECT * FROM mails();
TRUNCATE mail_2024;
SELECT * FROM mails();
COPY mail (address, at, what) FROM stdin;
User9@example.com	2024-01-01	opened
user9@example.com	2023-01-01	answered
\.
SELECT * FROM mails();
SELECT * FROM wrong();
TRUNCATE mail;
-- Warsaw's clock goes forward on 31 March and back on 27 October; a fair begins
-- at midnight in New York; whatever the session's time zone
SET timezone = 'Asia/Tokyo';
INSERT INTO mail (address, at, what) SELECT 'user' || i || '@example.com', t, 'opened'
FROM unnest('{2024-01-01 12:00,2024-03-31 01:59:59,2024-03-31 02:30,2024-03-31 03:30,2024-07-01 12:00,2024-10-27 01:30,2024-10-27 02:30,2024-10-27 03:30}'::timestamp[]) WITH ORDINALITY u(t, i);
INSERT INTO fair VALUES (1, 9, '2024-01-01'), (2, 10, '2024-07-01');
SET timezone = 'UTC';
SELECT lead_key, leadscore.engagement_last_seen(s.engagement) AS stored, m.at AT TIME ZONE 'Europe/Warsaw' AS warsaw, f.day::timestamp AT TIME ZONE 'America/New_York' AS new_york
FROM leadscore.act_state s JOIN lead l ON l.id = s.lead_key LEFT JOIN mail m ON m.address = l.email LEFT JOIN fair f ON f.lead = l.id
WHERE leadscore.engagement_last_seen(s.engagement) IS NOT NULL ORDER BY 1;
SELECT * FROM wrong();

--
-- Rules about events that nothing captured when the model was attached
--
CREATE TABLE late_lead (id integer PRIMARY KEY, n integer);
CREATE TABLE late_event (lead integer, at timestamptz);
CREATE INDEX ON late_event (lead);
INSERT INTO late_lead VALUES (1), (2);
INSERT INTO leadscore.model (name, target) VALUES ('act_late', 'late_lead');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('act_late', 'event', 'late_event', 'lead', 'at');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('act_late', 'events', 'engagement', 'sum'), ('act_late', 'row', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('act_late', 'row', 'n = 3', 100);
SELECT leads FROM leadscore.attach('act_late');
INSERT INTO late_event VALUES (1, '2026-01-01');
INSERT INTO leadscore.rule (model, factor, activity, condition, points)
	VALUES ('act_late', 'events', 'event', 'true', 10), ('act_late', 'events', 'event', 'lead = 1', 1);
UPDATE leadscore.rule SET points = 2 WHERE model = 'act_late' AND points = 1;
UPDATE late_lead SET n = 3 WHERE id = 1;			-- up to date by these rules
INSERT INTO late_event VALUES (1, '2026-01-02'), (2, '2026-01-02');	-- but nobody counts them
SELECT lead_key, score FROM leadscore.act_late_scored ORDER BY 1;
CALL leadscore.rescore('act_late');
SELECT lead_key, score FROM leadscore.act_late_scored ORDER BY 1;
INSERT INTO late_event VALUES (2, '2026-01-03');
SELECT lead_key, score FROM leadscore.act_late_scored ORDER BY 1;
SELECT activities, finished FROM leadscore.rescore_run WHERE model = 'act_late';
INSERT INTO leadscore.rule (model, factor, activity, condition, points) VALUES ('act_late', 'events', 'event', 'lead = 2', 5);	-- captured
CALL leadscore.rescore('act_late');
SELECT activities FROM leadscore.rescore_run WHERE model = 'act_late';
SELECT finding FROM leadscore.doctor('act_late');
SELECT leadscore.detach('act_late');
DROP TABLE late_lead, late_event;

--
-- What cannot be
--
INSERT INTO leadscore.rule (model, factor, condition, activity, points) VALUES ('act', 'who', 'true', 'events', 1);
SELECT ok, sqlstate, hint FROM leadscore.check_rule('act', 'at > now()', 'events');
INSERT INTO leadscore.rule (model, factor, condition, activity, points, at_least) VALUES ('act', 'often', 'true', 'events', 1, 2);
INSERT INTO leadscore.rule (model, factor, condition, activity, points, at_least, within, half_life) VALUES ('act', 'often', 'true', 'events', 1, 2, '1 day', '1 day');
INSERT INTO leadscore.rule (model, factor, condition, activity, points, half_life) VALUES ('act', 'often', 'true', 'events', 1, '1 month');
INSERT INTO leadscore.rule (model, factor, condition, points, half_life) VALUES ('act', 'often', 'true', 1, '1 day');
INSERT INTO leadscore.rule (model, factor, condition, activity, points, at_most) VALUES ('act', 'often', 'true', 'events', 1, 65);

SELECT leadscore.detach('act');
SELECT count(*) FROM leadscore.pending_activity WHERE model = 'act';
DELETE FROM leadscore.model WHERE name LIKE 'act%';
REVOKE USAGE ON SCHEMA leadscore FROM regress_act_writer;
DROP SCHEMA act CASCADE;
DROP ROLE regress_act_writer;
