--
-- clock: what conditions take for the current time, and which of them tell
-- when time alone will change a score
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
RESET client_min_messages;
CREATE SCHEMA clock;
SET search_path = clock;
SET TimeZone = 'Asia/Tokyo';		-- not the model's

CREATE TABLE lead (
	id			integer PRIMARY KEY,
	seen		timestamptz,
	created		timestamptz,
	stamp		timestamp,
	due			date,
	hour		time,
	hour_tz		timetz,
	patience	interval,
	wording		text,
	n			integer,
	active		boolean
);
INSERT INTO lead (id) VALUES (1);
INSERT INTO leadscore.model (name, target, time_zone) VALUES ('timed', 'lead', 'America/New_York');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('timed', 'time', 'fit', 'sum');

-- the clocks are the session's own
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES
	(1, 'timed', 'time', 'seen = now()', 1),
	(2, 'timed', 'time', 'seen = transaction_timestamp()', 2),
	(3, 'timed', 'time', 'seen = current_timestamp', 4),
	(4, 'timed', 'time', 'seen < statement_timestamp()', 8),
	(5, 'timed', 'time', 'created = current_timestamp(2)', 16),
	(6, 'timed', 'time', 'due = current_date', 32),
	(7, 'timed', 'time', 'stamp = localtimestamp', 64),
	(8, 'timed', 'time', 'stamp::timestamp(0) = localtimestamp(0)', 128),
	(9, 'timed', 'time', 'hour = localtime', 256),
	(10, 'timed', 'time', 'hour::time(1) = localtime(1)', 512),
	(11, 'timed', 'time', 'hour_tz = current_time', 1024),
	(12, 'timed', 'time', 'hour_tz::timetz(3) = current_time(3)', 2048),
	(13, 'timed', 'time', 'age(due) = ''0'' AND age(due::timestamp) = ''0''', 4096),
	(14, 'timed', 'time', 'date_trunc(''hour'', seen) = date_trunc(''hour'', now())', 8192);
BEGIN;
SELECT pg_sleep(0.002);
SET LOCAL TimeZone = 'America/New_York';
UPDATE lead SET seen = now(), created = now()::timestamptz(2), stamp = localtimestamp, due = current_date,
	hour = localtime, hour_tz = current_time;
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT leadscore.score('timed', l), leadscore.fit('timed', l) FROM lead l;
SELECT rule_id FROM lead l, leadscore.explain('timed', l) ORDER BY 1;
SELECT leadscore.score('timed', ROW(l.*)::lead) FROM lead l;
SHOW TimeZone;
COMMIT;

-- a statement prepared once sees each time anew
DELETE FROM leadscore.rule;
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES
	('timed', 'time', 'seen <= now()', 1),
	('timed', 'time', 'seen < now()', 2),
	('timed', 'time', 'seen > now() - interval ''1 day''', 4),
	('timed', 'time', 'CASE WHEN seen < statement_timestamp() - interval ''1 hour'' THEN true ELSE n > 3 END', 8);
PREPARE scores AS SELECT leadscore.score('timed', l) FROM lead l;
SET plan_cache_mode = force_generic_plan;
BEGIN;
UPDATE lead SET seen = now() + interval '1 s';
EXECUTE scores;
UPDATE lead SET seen = now();
EXECUTE scores;
COMMIT;
SELECT pg_sleep(0.002);
EXECUTE scores;
UPDATE lead SET seen = now() - interval '2 hours';
EXECUTE scores;
UPDATE lead SET seen = now() - interval '2 days', n = 4;
EXECUTE scores;
UPDATE lead SET seen = 'infinity';
EXECUTE scores;
RESET plan_cache_mode;
DEALLOCATE scores;

-- in a function, call by call
CREATE FUNCTION ripens() RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
	found integer[];
BEGIN
	FOR i IN 0 .. 2 LOOP
		UPDATE lead SET seen = now() + (1 - i) * interval '1 us';
		found := found || (SELECT leadscore.score('timed', l) FROM lead l);
	END LOOP;
	RETURN found;
END
$$;
UPDATE lead SET n = 0;
SELECT ripens();

-- what tells when it will change
DELETE FROM leadscore.rule;
INSERT INTO leadscore.rule (model, factor, condition) SELECT 'timed', 'time', condition FROM unnest(ARRAY[
	$$seen < now()$$,
	$$seen <= transaction_timestamp() - interval '7 days'$$,
	$$statement_timestamp() + interval '2 months 3 days' > stamp$$,
	$$due >= interval '1 week' + current_timestamp$$,
	$$seen BETWEEN now() - interval '7 days' AND now()$$,
	$$NOT (due > now()) OR active$$,
	$$CASE WHEN seen < now() - interval '1 day' THEN n > 3 ELSE stamp > now() END$$,
	$$CASE WHEN seen < now() THEN 1 ELSE 2 END + n = 3$$,
	$$(seen < now()) = active$$,
	$$coalesce(seen < now(), false) IS NOT TRUE$$,
	$$now() - seen > interval '3 days'$$,
	$$interval '2 hours' >= stamp - now()$$,
	$$coalesce(seen, created) < now() - interval '1 mon'$$,
	$$greatest(seen, created, stamp) < now()$$,
	$$created + patience < now()$$,
	$$due + 1 <= now()$$,
	$$wording::timestamptz < now()$$,
	$$now() >= '2026-01-01'$$,
	$$age(seen, created) > '1 day' AND created < '2026-01-01'$$,
	$$false AND seen = now()$$
]) AS condition;
SELECT r.condition, p.message
FROM leadscore._clock_problems('timed') p JOIN leadscore.rule r ON r.id = p.rule ORDER BY p.rule;

-- and what does not
DELETE FROM leadscore.rule;
INSERT INTO leadscore.rule (model, factor, condition) SELECT 'timed', 'time', condition FROM unnest(ARRAY[
	$$seen = now()$$,
	$$seen <> now()$$,
	$$seen IS DISTINCT FROM now()$$,
	$$seen IN (now(), created)$$,
	$$due < current_date$$,
	$$seen > current_date - interval '7 days'$$,
	$$due < now()::date$$,
	$$stamp < localtimestamp$$,
	$$stamp < now() AT TIME ZONE 'UTC'$$,
	$$localtime > '09:00'$$,
	$$current_time > '09:00'$$,
	$$age(seen) > interval '1 year'$$,
	$$age(stamp) > interval '1 year'$$,
	$$age(now(), seen) > interval '1 year'$$,
	$$extract(epoch FROM now() - seen) > 86400$$,
	$$extract(year FROM age(due)) >= 18$$,
	$$created < now() - patience$$,
	$$now() - created > patience$$,
	$$least(seen, now()) > created$$,
	$$seen < now() - interval '1 day' - interval '2 hours'$$,
	$$seen < current_timestamp(0)$$,
	$$date_trunc('month', now()) < seen$$,
	$$extract(isodow FROM now()) IN (6, 7)$$,
	$$(seen, n) < (now(), 3)$$,
	$$isfinite(now() - seen)$$,
	$$now()::text = wording$$,
	$$now() IS NOT NULL$$,
	$$active OR seen < now() AND due = current_date$$,
	$$hour::timetz < '12:00+01'$$
]) AS condition;
INSERT INTO leadscore.rule (model, factor, condition, enabled) VALUES ('timed', 'time', 'seen = now()', false);
\pset format unaligned
SELECT r.condition, p.message, p.hint
FROM leadscore._clock_problems('timed') p FULL JOIN leadscore.rule r ON r.id = p.rule ORDER BY r.id;
\pset format aligned
SELECT leadscore.score('timed', l) FROM lead l;

-- functions that the planner expands bring their clocks along
CREATE FUNCTION is_over(timestamptz) RETURNS boolean STABLE LANGUAGE sql RETURN $1 < now();
CREATE FUNCTION is_today(timestamptz) RETURNS boolean STABLE LANGUAGE sql RETURN $1::date = current_date;
INSERT INTO leadscore.allowed_function (signature) VALUES
	('clock.is_over(timestamp with time zone)'), ('clock.is_today(timestamp with time zone)');
DELETE FROM leadscore.rule;
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES
	('timed', 'time', 'is_over(seen)', 1), ('timed', 'time', 'is_today(seen)', 2);
SELECT r.condition, p.message
FROM leadscore.rule r LEFT JOIN leadscore._clock_problems('timed') p ON p.rule = r.id ORDER BY r.id;
UPDATE lead SET seen = now() - interval '1 us';
SELECT leadscore.score('timed', l) & 1 AS over FROM lead l;

-- the channel is no rule, but it is stored as well
UPDATE leadscore.model SET channel = 'CASE WHEN seen < now() THEN wording END';
SELECT * FROM leadscore._clock_problems('timed') WHERE rule IS NULL;
UPDATE leadscore.model SET channel = 'CASE WHEN due = current_date THEN wording END';
SELECT * FROM leadscore._clock_problems('timed') WHERE rule IS NULL;
-- one that does not compile any more: said once in a session
ALTER TABLE lead DROP COLUMN wording;
SELECT leadscore.score('timed', l) & 1 AS over FROM lead l;
UPDATE leadscore.rule SET points = 6 WHERE points = 2;
SELECT leadscore.score('timed', l) & 1 AS over FROM lead l;
UPDATE leadscore.model SET channel = NULL;

SELECT * FROM leadscore._clock_problems('nobody');
SELECT * FROM leadscore._clock_problems(NULL);
SELECT has_function_privilege('public', 'leadscore._clock_problems(text)', 'EXECUTE');

-- clean up
DELETE FROM leadscore.model WHERE name = 'timed';
DELETE FROM leadscore.allowed_function WHERE signature LIKE 'clock.%';
SET client_min_messages = warning;
DROP SCHEMA clock CASCADE;
