--
-- stage_property: random leads that move along a funnel by themselves, of which
-- history says the same however often somebody looked
--
-- Three models with the same matrix score the same leads.  One is advanced
-- every ten minutes, one now and then, one only at the end.  The formula knows of
-- leadscore what its tables say, and nothing else.
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA stp;
SET search_path = stp;
SET timezone = 'UTC';
SET jit = off;

-- days that last an hour, and days that last a tenth of a second
CREATE TABLE kind (name text PRIMARY KEY, unit interval, hours float8);
INSERT INTO kind VALUES ('slow', '1 hour', 1), ('quick', '0.1 seconds', 0.1 / 3600);
CREATE TABLE slow_lead (id integer PRIMARY KEY, level integer, seen timestamptz, score text DEFAULT 'the CRM''s own');
CREATE TABLE slow_event (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead integer, at timestamptz, what text);
CREATE INDEX ON slow_event (lead);
CREATE TABLE quick_lead (LIKE slow_lead INCLUDING ALL);
CREATE TABLE quick_event (LIKE slow_event INCLUDING ALL);
CREATE TABLE pattern (name text PRIMARY KEY);
INSERT INTO pattern VALUES ('often'), ('sometimes'), ('last');
CREATE VIEW model AS
	SELECT 'stp_' || k.name || '_' || p.name AS name, k.name AS kind, p.name AS pattern, k.unit FROM kind k, pattern p;

INSERT INTO leadscore.model (name, target, cooldown) SELECT name, ('stp.' || kind || '_lead')::regclass, 9 * unit FROM model ORDER BY name;
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) SELECT name, 'event', ('stp.' || kind || '_event')::regclass, 'lead', 'at' FROM model;
INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap)
SELECT m.name, f.* FROM model m, (VALUES
	('who', 'fit', 'sum', NULL::float8, NULL::float8), ('seen', 'fit', 'sum', NULL, NULL), ('interest', 'engagement', 'sum', NULL, 71),
	('views', 'engagement', 'best', NULL, NULL), ('bursts', 'engagement', 'sum', NULL, NULL), ('wrong', 'engagement', 'sum', NULL, NULL)) f;
INSERT INTO leadscore.threshold (model, kind, label, at_least, margin)
SELECT m.name, 'temperature', label, at_least, CASE m.kind WHEN 'slow' THEN margin ELSE 0 END
FROM model m, (VALUES ('hot', 45::float8, 10::float8), ('warm', 20, 5), ('cold', '-Infinity', 0)) t(label, at_least, margin);
-- no sum of what does not fade is near a level: then all of it has happened soon
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, disqualifies, activity, half_life, at_least, within, at_most, inactive_for, include_never)
SELECT m.name, r.factor, r.parameter, format(r.condition, 3 * m.unit), r.points, r.disqualifies, CASE WHEN r.what IS NOT NULL THEN 'event' END, r.half_life * m.unit, r.at_least, r.within * m.unit, r.at_most, r.inactive_for * m.unit, false
FROM model m, (VALUES
	(1, 'who', 'some', 'level >= 3', 11, false, NULL, NULL::float8, NULL::integer, NULL::float8, NULL::integer, NULL::float8),
	(2, 'who', 'much', 'level >= 5', 7, false, NULL, NULL, NULL, NULL, NULL, NULL),
	(3, 'seen', 'seen', 'seen > now() - interval %L', 14, false, NULL, NULL, NULL, NULL, NULL, NULL),
	(4, 'interest', 'click', 'what = ''click''', 12, false, 'event', 2, NULL, NULL, NULL, NULL),
	(5, 'interest', 'demo', 'what = ''demo''', 40, false, 'event', 2.5, NULL, NULL, NULL, NULL),
	(6, 'interest', 'complaint', 'what = ''complaint''', -13, false, 'event', 1.5, NULL, NULL, NULL, NULL),
	(7, 'views', 'view', 'what = ''view''', 6, false, 'event', 0.5, NULL, NULL, 3, NULL),
	(8, 'bursts', 'burst', 'true', 23, false, 'event', NULL, 4, 1, NULL, NULL),
	(9, 'bursts', 'silence', 'true', -16, false, 'event', NULL, NULL, NULL, NULL, 4),
	(10, 'wrong', 'bounce', 'what = ''bounce''', 0, true, 'event', NULL, 1, 2.5, NULL, NULL),
	(11, 'wrong', 'gone', 'what <> ''view''', 0, true, 'event', NULL, NULL, NULL, NULL, 7)
) r(number, factor, parameter, condition, points, disqualifies, what, half_life, at_least, within, at_most, inactive_for)
ORDER BY m.name, r.number;
-- leads are sent to nurture and come back by themselves
CREATE TABLE move (from_stage leadscore.lead_stage, to_stage leadscore.lead_stage, condition text, automatic boolean, PRIMARY KEY (from_stage, to_stage));
INSERT INTO move VALUES
	('lead', 'prospect', 'scored.engagement >= 9', true),
	('prospect', 'mql', 'scored.temperature IN (''warm'', ''hot'')', true),
	('lead', 'nurture', NULL, false),
	('prospect', 'nurture', NULL, false),
	('mql', 'sal', 'scored.score >= 50 AND level >= 2', true),
	('mql', 'nurture', NULL, false),
	('sal', 'nurture', NULL, false),
	('sal', 'sql', 'scored.grade < ''C'' AND 71 <= scored.score', true),
	('nurture', 'mql', 'scored.score > 29 AND score IS NOT NULL', true),
	('nurture', 'sal', 'scored.temperature = ''hot'' AND scored.fit > 11', true),
	('lead', 'disqualified', 'scored.disqualified', true),
	('prospect', 'disqualified', 'scored.disqualified', true),
	('mql', 'disqualified', 'scored.disqualified', true),
	('disqualified', 'lead', 'NOT scored.disqualified', false);
INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic) SELECT m.name, t.* FROM model m, move t;
SELECT count(leadscore.attach(name)) FROM model;

--
-- The formula
--
CREATE TABLE event (kind text, lead integer, at timestamptz, what text);
CREATE INDEX ON event (kind, lead, at);
CREATE TABLE ask (kind text, lead integer, t timestamptz, PRIMARY KEY (kind, lead, t));
CREATE TABLE said (kind text, lead integer, t timestamptz, fit float8, engagement float8, raw float8, disqualified boolean, PRIMARY KEY (kind, lead, t));
CREATE PROCEDURE ask_formula(of_kind text) LANGUAGE plpgsql AS $$
DECLARE
	u interval := (SELECT unit FROM stp.kind WHERE name = of_kind);
BEGIN
	EXECUTE format($q$
		INSERT INTO stp.said
		SELECT k, lead, t, fit, engagement, fit + engagement, disqualified FROM (
			SELECT %1$L AS k, a.lead, a.t,
				   (l.level >= 3 IS TRUE)::int * 11 + (l.level >= 5 IS TRUE)::int * 7 + (l.seen > a.t - 3 * $1 IS TRUE)::int * 14 AS fit,
				   least(coalesce(e.interest, 0), 71) + coalesce(6 * v.views, 0) + (e.burst >= 4)::int * 23 + (a.t - e.last >= 4 * $1 IS TRUE)::int * -16 AS engagement,
				   coalesce(e.bounced OR a.t - e.last_but_views >= 7 * $1, false) AS disqualified
			FROM stp.ask a JOIN stp.%1$I_lead l ON l.id = a.lead,
				 LATERAL (SELECT sum(CASE e.what WHEN 'click' THEN 12 * power(2, -u.age / 2) WHEN 'demo' THEN 40 * power(2, -u.age / 2.5) WHEN 'complaint' THEN -13 * power(2, -u.age / 1.5) END) AS interest,
								 count(*) FILTER (WHERE a.t - e.at < $1) AS burst, max(e.at) AS last, max(e.at) FILTER (WHERE e.what <> 'view') AS last_but_views, bool_or(e.what = 'bounce' AND a.t - e.at < 2.5 * $1) AS bounced
						  FROM stp.event e, LATERAL (SELECT (extract(epoch FROM a.t - e.at) / extract(epoch FROM $1))::float8 AS age) u
						  WHERE e.kind = %1$L AND e.lead = a.lead AND e.at <= a.t) e,
				 LATERAL (SELECT sum(power(2, -(extract(epoch FROM a.t - e.at) / extract(epoch FROM $1))::float8 / 0.5)) AS views
						  FROM (SELECT e.at FROM stp.event e WHERE e.kind = %1$L AND e.lead = a.lead AND e.at <= a.t AND e.what = 'view' ORDER BY e.at DESC LIMIT 3) e) v
			WHERE a.kind = %1$L) x
		ON CONFLICT DO NOTHING $q$, of_kind) USING u;
END
$$;

--
-- What is checked, and what was found: there should be none of these lines.
--
CREATE TABLE found (what text, round integer, detail text);
CREATE TABLE done (what text, n bigint);
CREATE VIEW history AS
	SELECT h.at, h.xact, h.xact_order, h.recorded_at, h.model, h.lead_key, h.cause, h.automatic, h.listed, h.from_stage::text, h.to_stage::text, h.from_temperature, h.temperature,
		   h.from_grade, h.grade, h.score, h.fit, h.engagement, h.disqualified, h.announced, h.rules, h.changed_by, h.reason,
		   m.kind, m.pattern, row_number() OVER w AS n, lag(h.to_stage::text) OVER w AS last_stage, lag(h.temperature) OVER w AS last_temperature,
		   lag(h.grade) OVER w AS last_grade, lag(h.at) OVER w AS last_at, lag(h.xact) OVER w AS last_xact, lag(h.xact_order) OVER w AS last_order
	FROM leadscore.history h JOIN stp.model m ON m.name = h.model
	WINDOW w AS (PARTITION BY h.model, h.lead_key ORDER BY h.at, h.xact, h.xact_order);
CREATE TABLE rule_number AS
	SELECT r.id, row_number() OVER (PARTITION BY r.model ORDER BY r.id) AS number FROM leadscore.rule r JOIN model m ON m.name = r.model;
CREATE FUNCTION numbers(rules bigint[]) RETURNS bigint[] LANGUAGE sql STABLE AS
	'SELECT array_agg(number ORDER BY number) FROM stp.rule_number WHERE id = ANY (rules)';
-- when somebody wrote leads and events, which takes a moment
CREATE TABLE written (kind text, since timestamptz, until timestamptz);

-- (a) history does not tell who looked when
CREATE VIEW told AS
	SELECT h.kind, pattern, lead_key, n,
		   concat_ws(' ', CASE WHEN w.kind IS NULL THEN h.at || ' ' || h.score || ' ' || h.fit END, h.from_stage, h.to_stage, h.from_temperature, h.temperature, h.from_grade, h.grade,
					 h.cause, h.automatic, h.announced, h.disqualified, numbers(h.rules), h.reason) AS said
	FROM history h, LATERAL (SELECT (SELECT w.kind FROM written w WHERE w.kind = h.kind AND h.at BETWEEN w.since AND w.until LIMIT 1) AS kind) w(kind);
CREATE PROCEDURE check_same(of_kind text, round integer) LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE t ON COMMIT DROP AS SELECT * FROM stp.told WHERE kind = of_kind;
	INSERT INTO stp.found
	SELECT 'history differs', round, format('%s, lead %s, row %s: %s / %s', p.name, a.lead_key, a.n, a.said, b.said)
	FROM stp.pattern p CROSS JOIN (SELECT lead_key, n FROM t GROUP BY 1, 2) x
	LEFT JOIN t a ON a.pattern = p.name AND a.lead_key = x.lead_key AND a.n = x.n
	LEFT JOIN t b ON b.pattern = 'last' AND b.lead_key = x.lead_key AND b.n = x.n
	WHERE p.name <> 'last' AND a.said IS DISTINCT FROM b.said;
	DROP TABLE t;
	INSERT INTO stp.done SELECT cause, count(*) FROM stp.history WHERE kind = of_kind GROUP BY cause;
	INSERT INTO stp.done SELECT 'moved to ' || to_stage, count(*) FROM stp.history WHERE kind = of_kind AND from_stage <> to_stage GROUP BY to_stage;
END
$$;

-- (b) announcements: the formula at every event, jump and crossing, and in
-- between, through a trigger that goes off at the threshold and is cocked again
-- below the margin
CREATE FUNCTION word(value float8, disqualified boolean) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$SELECT CASE WHEN disqualified THEN 'cold' WHEN floor(value + 1e-9) >= 45 THEN 'hot' WHEN floor(value + 1e-9) >= 20 THEN 'warm' ELSE 'cold' END$$;
CREATE FUNCTION next_announced(announced text, value float8, disqualified boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN disqualified OR stp.word(value, false) = 'hot' THEN stp.word(value, disqualified)
				WHEN announced = 'hot' AND value + 1e-9 >= 35 THEN 'hot'
				WHEN stp.word(value, false) = 'warm' THEN 'warm'
				WHEN announced IN ('hot', 'warm') AND value + 1e-9 >= 15 THEN 'warm'
				ELSE 'cold' END
$$;
CREATE FUNCTION announcing(said text[], at_first text, value float8, disqualified boolean) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN x.now = x.last THEN x.said ELSE x.said || x.now END
	FROM (SELECT coalesce(said, ARRAY[at_first]) AS said, coalesce(said[cardinality(said)], at_first) AS last,
				 stp.next_announced(coalesce(said[cardinality(said)], at_first), value, disqualified) AS now) x
$$;
CREATE AGGREGATE announcements(text, float8, boolean) (SFUNC = announcing, STYPE = text[]);
CREATE FUNCTION once(said text[], word text) RETURNS text[] LANGUAGE sql IMMUTABLE AS
	'SELECT CASE WHEN said[cardinality(said)] = word THEN said ELSE said || word END';
CREATE AGGREGATE sequence(text) (SFUNC = once, STYPE = text[]);
CREATE PROCEDURE check_formula(round integer, since timestamptz, until timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE stp.ask;
	INSERT INTO stp.ask
	SELECT 'slow', lead, t FROM (
		SELECT id AS lead, since + i * interval '20 minutes' AS t FROM stp.slow_lead, generate_series(0, 200) i
		UNION ALL SELECT lead, at + o FROM stp.slow_event, unnest('{0,1 hour,2.5 hours,4 hours,7 hours}'::interval[]) o
		UNION ALL SELECT id, seen + interval '3 hours' FROM stp.slow_lead
		UNION ALL SELECT lead_key::integer, at + o FROM stp.history, unnest('{-5 microseconds,5 microseconds}'::interval[]) o WHERE kind = 'slow'
	) x WHERE t >= since AND t <= until AND lead IN (SELECT id FROM stp.slow_lead)
	ON CONFLICT DO NOTHING;
	TRUNCATE stp.said, stp.event;
	INSERT INTO stp.event SELECT 'slow', lead, at, what FROM stp.slow_event;
	ANALYZE stp.event;
	CALL stp.ask_formula('slow');

	INSERT INTO stp.found
	SELECT 'announcements', round, format('%s, lead %s: %s, formula %s', h.model, f.lead, h.said, f.said)
	FROM (SELECT h.model, h.lead_key::integer AS lead, array_remove(array_agg(CASE WHEN h.at >= since THEN h.announced END ORDER BY h.n), NULL) AS said,
				 coalesce((array_agg(h.announced ORDER BY h.n DESC) FILTER (WHERE h.announced IS NOT NULL AND h.at < since))[1], 'cold') AS first
		  FROM stp.history h WHERE kind = 'slow' AND h.at <= until GROUP BY 1, 2) h
	JOIN LATERAL (SELECT s.lead, stp.announcements(h.first, s.raw, s.disqualified ORDER BY s.t) AS said FROM stp.said s WHERE s.lead = h.lead GROUP BY s.lead) f ON true
	WHERE h.first || h.said <> f.said;
	INSERT INTO stp.found
	SELECT 'temperatures', round, format('%s, lead %s: %s, formula %s', h.model, f.lead, h.said, f.said)
	FROM (SELECT h.model, h.lead_key::integer AS lead, stp.sequence(h.temperature ORDER BY n) AS said
		  FROM stp.history h WHERE kind = 'slow' AND h.at <= until AND n >= (SELECT max(b.n) FROM stp.history b WHERE b.model = h.model AND b.lead_key = h.lead_key AND b.at < since) GROUP BY 1, 2) h
	JOIN (SELECT s.lead, stp.sequence(stp.word(s.raw, s.disqualified) ORDER BY s.t) AS said FROM stp.said s GROUP BY s.lead) f USING (lead)
	WHERE h.said <> f.said;
	INSERT INTO stp.found
	SELECT 'disqualified', round, format('%s, lead %s at %s: %s, formula %s', h.model, h.lead_key, h.at, h.disqualified, s.disqualified)
	FROM stp.history h JOIN stp.said s ON s.lead = h.lead_key::integer AND s.t = h.at + interval '5 microseconds'
	WHERE h.kind = 'slow' AND h.at >= since AND h.disqualified <> s.disqualified;
	INSERT INTO stp.done SELECT 'formula', count(*) FROM stp.said;
	INSERT INTO stp.done SELECT 'announced', count(*) FROM stp.history WHERE kind = 'slow' AND announced IS NOT NULL AND at >= since;
	-- what the margin kept from being announced
	INSERT INTO stp.done SELECT 'kept back', count(*) FROM stp.history WHERE kind = 'slow' AND announced IS NULL AND temperature <> from_temperature AND at >= since;

	-- nurture is left once its condition did not hold, or after the cool-down
	INSERT INTO stp.found
	SELECT 'bounced', round, format('%s, lead %s left nurture at %s, was there since %s', model, lead_key, at, entered)
	FROM (SELECT h.*, max(at) FILTER (WHERE to_stage = 'nurture' AND from_stage <> 'nurture') OVER (PARTITION BY model, lead_key ORDER BY n) AS entered
		  FROM stp.history h WHERE kind = 'slow') h
	WHERE from_stage = 'nurture' AND to_stage = 'mql' AND at >= since
	  AND NOT EXISTS (SELECT FROM stp.said s WHERE s.lead = h.lead_key::integer AND s.t BETWEEN entered AND at AND NOT floor(s.raw + 1e-9) > 29)
	  AND NOT EXISTS (SELECT FROM stp.event e WHERE e.lead = h.lead_key::integer AND e.at BETWEEN entered + interval '9 hours' AND h.at);
END
$$;

-- (c) no automatic transition is left to be made; but for nurture's, and leads
-- that are pinned
CREATE PROCEDURE check_settled(of_kind text, round integer, at timestamptz, of_pattern text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	m record;
	n bigint;
BEGIN
	FOR m IN SELECT x.name, t.* FROM stp.model x, stp.move t WHERE kind = of_kind AND pattern = coalesce(of_pattern, pattern) AND t.automatic AND from_stage::text <> 'nurture' LOOP
		EXECUTE format($q$
			INSERT INTO stp.found
			SELECT 'not moved', $2, format('%%s, lead %%s at %%s: %%s, %%s; %%s', %1$L, l.id, $1, %2$L, scored::text, s::text)
			FROM stp.%4$I l JOIN leadscore.%3$I s ON s.lead_key = l.id, LATERAL leadscore.evaluate(%1$L, l.id, $1) scored
			WHERE (s.pinned_until <= $1 OR s.pinned_until IS NULL) AND s.stage::text = %5$L AND (%6$s)
			$q$, m.name, format('%s -> %s', m.from_stage, m.to_stage), m.name || '_state', of_kind || '_lead', m.from_stage, m.condition) USING at, round;
		EXECUTE format('SELECT count(*) FROM leadscore.%I WHERE stage::text = %L', m.name || '_state', m.from_stage) INTO n;
		INSERT INTO stp.done VALUES ('settled', n);
	END LOOP;
	FOR m IN SELECT x.name FROM stp.model x WHERE kind = of_kind AND pattern = coalesce(of_pattern, pattern) LOOP
		EXECUTE format('INSERT INTO stp.found SELECT ''not settled'', $2, %L || '' lead '' || lead_key || '' '' || s FROM leadscore.%I s WHERE lead_exists AND NOT stage_settled AND (pinned_until <= $1 OR pinned_until IS NULL)',
					   m.name, m.name || '_state') USING at, round;
	END LOOP;
END
$$;

-- (d) each row begins where the last one ended, and every move is a listed one
CREATE PROCEDURE check_chain(of_kind text, round integer) LANGUAGE plpgsql AS $$
DECLARE
	m record;
BEGIN
	INSERT INTO stp.found
	SELECT 'chain', round, h::text FROM stp.history h
	WHERE kind = of_kind
	  AND (h.last_stage IS DISTINCT FROM h.from_stage OR h.last_temperature IS DISTINCT FROM h.from_temperature OR h.last_grade IS DISTINCT FROM h.from_grade
		   OR h.at < h.last_at OR (h.at = h.last_at AND h.xact <> h.last_xact) OR (h.xact = h.last_xact AND h.xact_order <= h.last_order)
		   OR h.recorded_at > clock_timestamp() OR h.changed_by <> session_user);
	INSERT INTO stp.found
	SELECT 'listed', round, h::text FROM stp.history h
	WHERE kind = of_kind AND from_stage <> to_stage
	  AND (NOT listed OR NOT EXISTS (SELECT FROM stp.move t WHERE t.from_stage::text = h.from_stage AND t.to_stage::text = h.to_stage AND (t.automatic OR NOT h.automatic)));
	-- a row says something
	INSERT INTO stp.found
	SELECT 'nothing new', round, h::text FROM stp.history h
	WHERE kind = of_kind AND n > 1 AND from_stage = to_stage AND from_temperature = temperature AND from_grade = grade AND announced IS NULL
	  AND cause NOT IN ('pin', 'unpin') AND fit = (SELECT b.fit FROM stp.history b WHERE b.model = h.model AND b.lead_key = h.lead_key AND b.n = h.n - 1);
	-- and the last one what the state says
	FOR m IN SELECT x.name FROM stp.model x WHERE x.kind = of_kind LOOP
		EXECUTE format($q$
			INSERT INTO stp.found
			SELECT 'state', $1, s::text || ' ' || h::text FROM leadscore.%1$I s LEFT JOIN (SELECT DISTINCT ON (lead_key) * FROM stp.history WHERE model = %2$L ORDER BY lead_key, n DESC) h ON h.lead_key = s.lead_key::text
			WHERE s.lead_exists
			  AND ((s.stage::text, s.temperature, s.grade, s.fit, s.history_at) IS DISTINCT FROM (h.to_stage, h.temperature, h.grade, h.fit, h.at)
				   OR s.stage_since IS DISTINCT FROM (SELECT max(e.at) FROM leadscore.history e WHERE e.model = %2$L AND e.lead_key = s.lead_key::text AND e.from_stage::text IS DISTINCT FROM e.to_stage::text))
			$q$, m.name || '_state', m.name) USING round;
	END LOOP;
END
$$;
-- and says what is known of that time
CREATE PROCEDURE check_rows(of_kind text, round integer, since timestamptz, until timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO stp.found
	SELECT 'as of', round, format('%s, evaluated %s', h::text, e::text)
	FROM stp.history h, LATERAL leadscore.evaluate(h.model, h.lead_key, h.at) e
	WHERE kind = of_kind AND h.at >= since AND h.at <= until
	  AND ((h.score, h.temperature, h.grade, h.disqualified) IS DISTINCT FROM (e.score, e.temperature::text, e.grade, e.disqualified)
		   OR abs(h.fit - e.fit) > 1e-9 OR abs(h.engagement - e.engagement) > 1e-7);
	-- (e) rules gained and lost add up to the rules that speak
	INSERT INTO stp.found
	SELECT 'rules', round, format('%s, lead %s: explained %s, gained and lost %s, row %s', h.model, h.lead_key, e.rules, c.rules, numbers(h.rules))
	FROM stp.history h
	JOIN (SELECT c.model, c.lead_key, array_agg(r.number ORDER BY r.number) AS rules
		  FROM (SELECT model, lead_key, rule, sum(n) AS n
				FROM (SELECT model, lead_key, unnest(rules_gained) AS rule, 1 AS n FROM leadscore.changes()
					  UNION ALL SELECT model, lead_key, unnest(rules_lost), -1 FROM leadscore.changes()) c
				GROUP BY 1, 2, 3) c JOIN stp.rule_number r ON r.id = c.rule AND c.n <> 0 GROUP BY 1, 2) c ON c.model = h.model AND c.lead_key = h.lead_key,
		 LATERAL (SELECT array_agg(r.number ORDER BY r.number) AS rules FROM leadscore.explain(h.model, h.lead_key, h.at) x JOIN stp.rule_number r ON r.id = x.rule_id) e
	WHERE h.kind = of_kind AND h.at >= since AND h.at <= until
	  AND (e.rules IS DISTINCT FROM numbers(h.rules)
		   OR (h.n = (SELECT max(b.n) FROM stp.history b WHERE b.model = h.model AND b.lead_key = h.lead_key) AND e.rules IS DISTINCT FROM c.rules));
	INSERT INTO stp.done SELECT 'rows', count(*) FROM stp.history h WHERE kind = of_kind AND h.at >= since AND h.at <= until;
END
$$;

--
-- Days that last an hour
--
CREATE FUNCTION pick(VARIADIC words text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT words[1 + floor(random() * cardinality(words))::int]';
\set ECHO none
SELECT setseed(0.5);
SELECT clock_timestamp() AS begun \gset
INSERT INTO slow_lead SELECT i, random() * 7, :'begun'::timestamptz + (random() * 14 - 3) * interval '1 hour' FROM generate_series(1, 40) i;
INSERT INTO slow_event (lead, at, what)
SELECT 1 + floor(random() * 45), date_trunc('milliseconds', :'begun'::timestamptz + (random() * 26 - 6) * interval '1 hour'), pick('click', 'click', 'demo', 'view', 'view', 'complaint', CASE WHEN i % 5 = 0 THEN 'bounce' ELSE 'view' END)
FROM generate_series(1, 700) i;
INSERT INTO slow_event (lead, at, what)
SELECT lead, at + (i * 11) * interval '1 minute', 'view' FROM slow_event, generate_series(1, 4) i WHERE id % 20 = 0;
-- some come after what they did
INSERT INTO slow_lead SELECT i, random() * 7, :'begun'::timestamptz + (random() * 14 - 3) * interval '1 hour' FROM generate_series(41, 45) i;
SELECT count(leadscore.move(name, s.lead_key, 'nurture', 'later')) > 3 AS recycled FROM model, leadscore.stp_slow_often_scored s WHERE kind = 'slow' AND s.stage IN ('lead', 'prospect', 'mql', 'sal') AND s.lead_key % 3 = 0;
SELECT count(leadscore.pin(name, l.id, :'begun'::timestamptz + p.i * interval '37 minutes', 'on holiday')::text) AS pinned FROM model, slow_lead l, LATERAL (SELECT 1 + l.id % 17 AS i) p WHERE kind = 'slow' AND l.id % 4 = 1;
SELECT clock_timestamp() AS settled \gset
INSERT INTO written VALUES ('slow', :'begun', :'settled');
CALL check_chain('slow', 1);
CALL check_same('slow', 1);

CREATE PROCEDURE advance_slowly(since timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 240 LOOP
		PERFORM leadscore.advance_step('stp_slow_often', 1000, since + i * interval '10 minutes');
		IF random() < 0.06 THEN
			PERFORM leadscore.advance_step('stp_slow_sometimes', 1000, since + i * interval '10 minutes' - random() * interval '9 minutes');
			IF random() < 0.3 THEN
				CALL stp.check_settled('slow', 2, since + i * interval '10 minutes', 'often');
			END IF;
		END IF;
		COMMIT;
	END LOOP;
	FOR i IN 1 .. 3 LOOP
		PERFORM leadscore.advance_step(name, 1000, since + interval '40 hours') FROM stp.model WHERE kind = 'slow';
		COMMIT;
	END LOOP;
END
$$;

CALL advance_slowly(:'settled');
CALL check_chain('slow', 3);
CALL check_same('slow', 3);
CALL check_settled('slow', 3, :'settled'::timestamptz + interval '40 hours');
CALL check_formula(3, :'settled'::timestamptz + interval '1 millisecond', :'settled'::timestamptz + interval '40 hours');
CALL check_rows('slow', 3, :'settled', :'settled'::timestamptz + interval '40 hours');

--
-- Days that last a tenth of a second: time does pass, and then somebody writes,
-- who has to settle first what nobody looked at
--
CREATE PROCEDURE pass(since timestamptz, seconds float8) LANGUAGE plpgsql AS $$
BEGIN
	WHILE clock_timestamp() < since + seconds * interval '1 second' LOOP
		PERFORM leadscore.advance_step('stp_quick_often', 1000, clock_timestamp());
		IF random() < 0.1 THEN
			PERFORM leadscore.advance_step('stp_quick_sometimes', 1000, clock_timestamp());
		END IF;
		COMMIT;
		PERFORM pg_sleep(0.03);
	END LOOP;
END
$$;
CREATE TABLE too_slow (took interval);
CREATE PROCEDURE come() LANGUAGE plpgsql AS $$
DECLARE
	since timestamptz := clock_timestamp();
BEGIN
	-- far enough ahead that all models have them in time
	INSERT INTO stp.quick_event (lead, at, what)
	SELECT 1 + floor(random() * 40), since + (0.6 + random() * 0.9) * interval '1 second', stp.pick('click', 'demo', 'view', 'view', 'complaint', CASE WHEN i % 5 = 0 THEN 'bounce' ELSE 'view' END)
	FROM generate_series(1, 200) i;
	INSERT INTO stp.quick_event (lead, at, what)
	SELECT id, since + 0.5 * interval '1 second' + i * i * interval '0.02 seconds', stp.pick('click', 'demo', 'view', 'view') FROM stp.quick_lead, generate_series(1, 8) i WHERE id % 4 = 2;
	COMMIT;
	-- on a machine that is too slow for it, there is nothing to be compared
	INSERT INTO stp.too_slow SELECT clock_timestamp() - since WHERE clock_timestamp() > since + interval '0.45 seconds';
END
$$;
SELECT clock_timestamp() AS begun \gset
INSERT INTO quick_lead SELECT i, random() * 7, :'begun'::timestamptz + random() * interval '1 second' FROM generate_series(1, 40) i;
CALL come();
INSERT INTO written VALUES ('quick', :'begun', clock_timestamp());
CALL pass(:'begun', 3.2);
-- what time has changed concerned the leads as they were
SELECT clock_timestamp() AS written \gset
UPDATE quick_lead SET level = (level + 4) % 8, seen = clock_timestamp() + random() * interval '1 second' WHERE id % 3 = 0;
INSERT INTO quick_event (lead, at, what) SELECT id, :'written', 'none' FROM quick_lead WHERE id % 3 = 1;	-- what fades would depend on the moment
SELECT count(leadscore.pin(name, l.id, :'written'::timestamptz + (0.7 + l.id * 0.02) * interval '1 second')::text) > 10 AS pinned FROM model, quick_lead l WHERE kind = 'quick' AND l.id % 5 = 0;
CALL come();
INSERT INTO written VALUES ('quick', :'written', clock_timestamp());
CALL check_chain('quick', 4);
CALL pass(:'written', 3.2);
SELECT clock_timestamp() AS settled \gset
UPDATE quick_lead SET level = (level + 3) % 8 WHERE id % 2 = 0;
UPDATE quick_lead SET level = level WHERE id % 2 = 1;
INSERT INTO written VALUES ('quick', :'settled', clock_timestamp());
SELECT count(leadscore.advance_step(name, 1000, clock_timestamp())) AS advanced FROM model WHERE kind = 'quick';
CALL check_chain('quick', 5);
CALL check_same('quick', 5);
CALL check_settled('quick', 5, clock_timestamp());
-- without a margin each crossing is announced
INSERT INTO found SELECT 'not announced', 5, h::text FROM history h WHERE kind = 'quick' AND announced IS DISTINCT FROM CASE WHEN temperature <> coalesce(from_temperature, 'cold') THEN temperature END;

DELETE FROM found WHERE what = 'history differs' AND round = 5 AND EXISTS (SELECT FROM too_slow);

\set ECHO all
-- none of these were found wrong
SELECT what, round, count(*), left(min(detail), 900) AS one FROM found GROUP BY what, round ORDER BY round, what;
-- and there were enough of them
SELECT what, sum(n) > CASE what WHEN 'formula' THEN 5000 WHEN 'decay' THEN 2000 WHEN 'rows' THEN 2000 WHEN 'event' THEN 1500 ELSE 20 END AS enough FROM done GROUP BY what ORDER BY what;

SELECT count(leadscore.detach(name)) FROM model;
DELETE FROM leadscore.model WHERE name LIKE 'stp%';
SELECT count(leadscore._delete_history(name, NULL, NULL)) FROM model;
DROP SCHEMA stp CASCADE;
