--
-- Reports: words in three languages, reasons, what changed since, and the views
-- over all models, whose numbers are what plain SQL over the raw tables says
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET jit = off;
CREATE SCHEMA rep;
SET search_path = rep;

--
-- Words
--
SELECT code, label FROM leadscore.label WHERE kind = 'temperature' AND language = 'pl' ORDER BY code;
SELECT leadscore.label_of('temperature', 'hot'), leadscore.label_of('stage', 'mql'), leadscore.label_of('significance', 'key'),
	   leadscore.label_of('stage', 'elsewhere'), leadscore.label_of('nothing', 'at all'), leadscore.label_of('stage', NULL);
SET leadscore.language = 'pl';
SELECT leadscore.label_of('temperature', 'hot'), leadscore.label_of('stage', 'mql'), leadscore.label_of('significance', 'key');
SET leadscore.language = 'ru_RU';
SELECT leadscore.label_of('temperature', 'hot'), leadscore.label_of('stage', 'mql'), leadscore.label_of('significance', 'key');
SET leadscore.language = 'tlh';		-- as in English
SELECT leadscore.label_of('temperature', 'hot'), leadscore.label_of('stage', 'mql'), leadscore.label_of('significance', 'key');
SET leadscore.language = '';
SELECT leadscore.label_of('temperature', 'hot');
-- every code has a word in each language, but for plurals and the minus sign
SELECT s.stage, l.language FROM leadscore.lead_stages() s CROSS JOIN (VALUES ('en'), ('pl'), ('ru')) l(language)
WHERE NOT EXISTS (SELECT FROM leadscore.label x WHERE x.kind = 'stage' AND x.code = s.stage::text AND x.language = l.language);
SELECT kind, code, string_agg(language, ',' ORDER BY language) FROM leadscore.label
WHERE code !~ '\.' GROUP BY kind, code HAVING count(*) <> 3 ORDER BY 1, 2;
SELECT kind, split_part(code, '.', 1) AS what, language, string_agg(split_part(code, '.', 2), ',' ORDER BY code) FROM leadscore.label
WHERE code ~ '\.' GROUP BY 1, 2, 3
HAVING string_agg(split_part(code, '.', 2), ',' ORDER BY code) <> CASE language WHEN 'en' THEN 'one,other' ELSE 'few,many,one,other' END ORDER BY 1, 2, 3;
SELECT cause FROM unnest('{attach,row,event,decay,lookup,rules,manual,status,pin,unpin,key,accept,reject}'::text[]) cause
WHERE NOT EXISTS (SELECT FROM leadscore.label l WHERE l.kind = 'cause' AND l.code = cause);
-- one's own, and other languages
INSERT INTO leadscore.label (kind, code, language, label) VALUES
	('temperature', 'hot', 'en', 'On fire'), ('temperature', 'hot', 'de', 'Heiss'), ('temperature', 'hot', 'de-at', 'Narrisch'),
	('word', 'day.other', 'de', '%s Tagen'), ('word', 'day.one', 'de', '%s Tag');
SELECT leadscore.label_of('temperature', 'hot');
SET leadscore.language = 'de_AT';
SELECT leadscore.label_of('temperature', 'hot'), leadscore.label_of('temperature', 'cold'), leadscore._counted('word', 'day', 1), leadscore._counted('word', 'day', 2);
SET leadscore.language = 'de_CH';
SELECT leadscore.label_of('temperature', 'hot');
SET leadscore.language = 'pl';
SELECT leadscore.label_of('temperature', 'hot');
RESET leadscore.language;
UPDATE leadscore.label SET label = 'Boiling' WHERE kind = 'temperature' AND code = 'hot' AND language = 'en' AND builtin;
DELETE FROM leadscore.label WHERE kind = 'temperature';
TRUNCATE leadscore.label;
INSERT INTO leadscore.label VALUES ('temperature', 'hot', 'fr', 'Chaud', true);
INSERT INTO leadscore.label VALUES ('temperatur', 'hot', 'fr', 'Chaud');
INSERT INTO leadscore.label VALUES ('temperature', 'hot', 'French', 'Chaud');
DELETE FROM leadscore.label WHERE NOT builtin;
-- numbers and their plurals
CREATE FUNCTION counted(language text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('leadscore.language', language, false);
	RETURN (SELECT string_agg(leadscore._counted('activity', 'visit', n), ', ' ORDER BY n) FROM unnest('{0,1,2,4,5,11,12,21,22,25,101,112}'::bigint[]) n);
END
$$;
SELECT language, counted(language) FROM unnest('{en,pl,ru}'::text[]) language;
RESET leadscore.language;
SELECT leadscore._points_text(p), leadscore._points_text(p, '') FROM unnest('{0,0.04,-0.04,30,17.46,-2.5,1000000,-0.05}'::numeric[]) p;

--
-- Reasons
--
CREATE TABLE lead (id integer PRIMARY KEY, size text, level text, note text, channel text, created timestamptz);
CREATE TABLE visit (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead integer, at timestamptz, page text);
INSERT INTO leadscore.model (name, target, channel, created_at) VALUES ('rep', 'lead', 'channel', 'created');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('rep', 'visits', 'visit', 'lead', 'at');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES
	('rep', 'company size', 'fit', 'best'), ('rep', 'knowledge level', 'fit', 'best'), ('rep', 'notes', 'fit', 'sum'),
	('rep', 'website', 'engagement', 'sum'), ('rep', 'silence', 'engagement', 'best');
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies, activity, half_life, at_most, inactive_for) VALUES
	('rep', 'company size', 'large', 'acceptable', $$size = 'large'$$, 0, false, NULL, NULL, NULL, NULL),
	('rep', 'company size', 'medium', 'key', $$size = 'medium'$$, 5, false, NULL, NULL, NULL, NULL),
	('rep', 'company size', 'small', 'negative', $$size = 'small'$$, -5, false, NULL, NULL, NULL, NULL),
	('rep', 'knowledge level', 'expert', 'key', $$level = 'expert'$$, 30, false, NULL, NULL, NULL, NULL),
	('rep', 'knowledge level', 'knows anything', NULL, 'level IS NOT NULL', 10, false, NULL, NULL, NULL, NULL),
	('rep', 'knowledge level', 'shadow', NULL, $$level = 'expert'$$, 3, false, NULL, NULL, NULL, NULL),
	('rep', 'notes', 'competitor', 'negative', $$note = 'competitor'$$, 0, true, NULL, NULL, NULL, NULL),
	('rep', 'notes', 'never', NULL, $$note = 'no such note'$$, 7, false, NULL, NULL, NULL, NULL),
	('rep', 'notes', NULL, NULL, $$note::integer > 5$$, 4, false, NULL, NULL, NULL, NULL),
	('rep', 'website', 'pricing page', 'key', $$page = 'pricing'$$, 8, false, 'visits', '14 days', NULL, NULL),
	('rep', 'website', 'any page', NULL, 'true', 1, false, 'visits', NULL, 4, NULL),
	('rep', 'silence', '30 days of silence', 'negative', 'true', -6, false, 'visits', NULL, NULL, '30 days');
-- three visits of 8 points have come down to 17.5
INSERT INTO lead VALUES (1, 'small', 'expert', NULL, 'search', '2024-01-15'), (2, 'large', NULL, NULL, 'search', '2024-01-20'), (3, 'medium', 'expert', 'competitor', 'fair', '2024-02-10'), (4, NULL, NULL, NULL, NULL, NULL);
INSERT INTO visit (lead, at, page)
SELECT 1, now() + interval '14 days' * log(2, f), 'pricing'
FROM unnest(ARRAY[2 ^ (-2.0 / 14), 0.75, 17.5 / 8 - 0.75 - 2 ^ (-2.0 / 14)]) f;
INSERT INTO visit (lead, at, page) SELECT 2, now() - d * interval '1 day' - interval '1 minute', 'other' FROM unnest('{31,33,60,61,62}'::integer[]) d;
-- of models that are not attached as well
SELECT leadscore.reasons('rep', 1, 4), leadscore.reasons('rep', '2'), leadscore.reasons('rep', 3), leadscore.reasons('rep', 4) = '' AS none, leadscore.reasons('rep', 5), leadscore.reasons('rep', NULL::integer);
SET client_min_messages = error;	-- the warning would tell the rule's number
SELECT leads FROM leadscore.attach('rep');
SELECT leadscore.reasons('rep', 1, 4), leadscore.reasons('rep', '2'), leadscore.reasons('rep', 3), leadscore.reasons('rep', 4) = '' AS none, leadscore.reasons('rep', 5), leadscore.reasons('rep', NULL::integer);
SELECT leadscore.reasons('rep', 1), leadscore.reasons('rep', 1, 1), leadscore.reasons('rep', 1, 0) = '' AS none, leadscore.reasons('rep', 1, -1) = '' AS none;
SELECT leadscore.reasons('nowhere', 1);
SET leadscore.language = 'pl';
INSERT INTO leadscore.label (kind, code, language, label) VALUES ('factor', 'knowledge level', 'pl', 'poziom wiedzy'), ('parameter', 'expert', 'pl', 'ekspert'), ('parameter', 'pricing page', 'pl', 'cennik');
SELECT leadscore.reasons('rep', 1);
SET leadscore.language = 'ru';
SELECT leadscore.reasons('rep', 1);
RESET leadscore.language;
-- how long ago
SELECT d, leadscore._reason_name('f', 'p', 'other', false, 1, now() - d, now()) FROM unnest('{-1 minute, 0, 59 seconds, 60 seconds, 59 minutes, 1 hour, 23:59, 24 hours, 47 hours, 400 days}'::interval[]) d;
-- rules that fail say nothing, and fail nobody
UPDATE lead SET note = 'many' WHERE id = 2;
SET client_min_messages = warning;
SELECT leadscore.reasons('rep', 2), (SELECT note FROM lead WHERE id = 2) AS note;
SELECT * FROM leadscore.explain('rep', 2, now());

--
-- What changed since
--
UPDATE lead SET note = NULL, size = 'medium' WHERE id = 2;
INSERT INTO visit (lead, at, page) SELECT 2, now() - interval '5 hours 1 minute', 'pricing' FROM generate_series(1, 2);
SELECT leadscore.move('rep', 2, 'mql', 'called back');
SELECT kind, factor, parameter, round(points_before, 1) AS before, round(points_now, 1) AS now, round(points_change, 1) AS change, reason
FROM leadscore.changes('rep', 2, now() - interval '1 day') WHERE kind <> 'event';
SELECT cause, points_before AS before, points_now AS now, from_stage, to_stage, from_temperature, to_temperature, from_grade, to_grade,
	   (SELECT array_agg(coalesce(r.parameter, '')) FROM leadscore.rule r WHERE r.id = ANY (rules_gained)) AS gained,
	   (SELECT array_agg(coalesce(r.parameter, '')) FROM leadscore.rule r WHERE r.id = ANY (rules_lost)) AS lost, reason
FROM leadscore.changes('rep', '2', now() - interval '1 day') WHERE kind = 'event';
SET leadscore.language = 'pl';
SELECT reason FROM leadscore.changes('rep', 2, now() - interval '1 day');
RESET leadscore.language;
-- it adds up, with the key as whatever it is given, at any time
SELECT id, since, s.points_change, d.points_change
FROM lead, unnest('{0, 1 hour, 1 day, 10 days, 40 days}'::interval[]) since,
	 LATERAL (SELECT points_now, points_before, points_change FROM leadscore.changes('rep', id, now() - since) WHERE kind = 'score') s,
	 LATERAL (SELECT coalesce(sum(points_change), 0) AS points_change FROM leadscore.changes('rep', id::text, now() - since) WHERE kind NOT IN ('score', 'event')) d
WHERE id <> 3 AND (s.points_change <> d.points_change OR s.points_now <> leadscore.score('rep', id, statement_timestamp()) OR s.points_before <> leadscore.score('rep', id, now() - since));
-- nobody, nothing, and what cannot be
SELECT count(*) FROM leadscore.changes('rep', 99, now());
SELECT count(*) FROM leadscore.changes('rep', NULL::integer, now());
SELECT count(*) FROM leadscore.changes('rep', 1, now() + interval '1 hour');
-- the other function of this name
SELECT count(*) > 4 AS rows FROM leadscore.changes(NULL, 'rep');
SELECT count(*) > 4 AS rows FROM leadscore.changes();
SELECT count(*) FROM leadscore.changes(of_model => 'nowhere');
SELECT leadscore.detach('rep') IS NOT NULL AS detached;

--
-- Views: two models of the same leads, and another table with keys that are text
--
TRUNCATE visit;
DELETE FROM lead;
DELETE FROM leadscore.label WHERE NOT builtin;
SELECT count(*) FROM leadscore.scored_lead WHERE model LIKE 'rep%';
INSERT INTO lead
SELECT i, (ARRAY['small', 'medium', 'large', NULL])[1 + i * 7 % 4], (ARRAY['expert', 'specialist', NULL])[1 + i * 5 % 3],
	   CASE WHEN i % 17 = 0 THEN 'competitor' WHEN i % 5 = 0 THEN (i % 11)::text END,
	   (ARRAY['search', 'fair', NULL])[1 + i * 11 % 3], CASE WHEN i % 13 <> 0 THEN '2024-01-01'::timestamptz + i * interval '8 hours' END
FROM generate_series(1, 300) i;
INSERT INTO visit (lead, at, page)
SELECT 1 + i * i % 299, now() - (i % 83 + CASE WHEN i * i % 299 % 4 = 0 THEN 40 ELSE 0 END) * interval '1 day' - interval '1 hour', CASE WHEN i % 3 = 0 THEN 'pricing' ELSE 'other' END FROM generate_series(1, 900) i;
UPDATE leadscore.model SET time_zone = 'Europe/Warsaw', accepted_stage = 'sal' WHERE name = 'rep';
UPDATE leadscore.factor SET points_cap = 20 WHERE model = 'rep' AND name = 'website';
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, enabled) VALUES ('rep', 'notes', 'off', 'true', 100, false);
CREATE TABLE account (code text PRIMARY KEY, staff integer);
INSERT INTO account SELECT 'a/' || i, i FROM generate_series(1, 20) i;
INSERT INTO leadscore.model (name, target, score_max) VALUES ('rep_b', 'account', 15);
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('rep_b', 'staff', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('rep_b', 'staff', 'many', 'staff > 10', 17.5), ('rep_b', 'staff', 'odd', 'staff % 2 = 1', -3.25);
SET client_min_messages = error;
SELECT leads FROM leadscore.attach('rep');
SELECT leads FROM leadscore.attach('rep_b');
-- what becomes of them, noted as it happens
CREATE TABLE step (lead integer, stage text);
CREATE TABLE once_hot (lead integer);
CREATE PROCEDURE go(n integer, variadic stages text[]) LANGUAGE plpgsql AS $$
DECLARE
	s text;
BEGIN
	FOREACH s IN ARRAY stages LOOP
		PERFORM leadscore.move('rep', id, s::leadscore.lead_stage) FROM lead WHERE id % 20 = n AND id > 60;
		INSERT INTO step SELECT id, s FROM lead WHERE id % 20 = n AND id > 60;
	END LOOP;
END
$$;
CALL go(1, 'mql', 'sal', 'customer');
CALL go(2, 'mql', 'nurture');
CALL go(3, 'customer', 'lost');
CALL go(4, 'sal', 'disqualified');
CALL go(5, 'mql');
CALL go(7, 'advocate');
UPDATE lead SET size = 'medium', level = 'expert' WHERE id IN (10, 33);
INSERT INTO visit (lead, at, page) SELECT l, now() - interval '3 hours', 'pricing' FROM unnest('{10,33,33,33,33}'::integer[]) l, generate_series(1, 3);
INSERT INTO once_hot SELECT lead_key FROM leadscore.rep_scored WHERE temperature = 'hot';
UPDATE lead SET level = NULL, size = 'small' WHERE id IN (33, 21);
DELETE FROM lead WHERE id = 300;
SET client_min_messages = warning;
SELECT count(*) AS hot, (SELECT count(*) FROM once_hot) AS once FROM leadscore.rep_scored WHERE temperature = 'hot';
INSERT INTO leadscore.channel_cost (model, channel, month, cost) VALUES ('rep', 'search', '2024-01-01', 1000), ('rep', 'fair', '2024-02-01', 777.77), ('rep', NULL, '2023-12-01', 10), ('rep', 'fair', '2024-01-01', NULL);

-- The same worked out by plain SQL, once for all: what every rule says of every lead.
CREATE VIEW said AS
SELECT l.id AS lead, r.rule, r.combine, r.points AS each, r.hits, r.points * r.weight AS points
FROM lead l
CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE page = 'pricing') AS pricing, count(*) AS all,
						   coalesce(sum(0.5 ^ (extract(epoch FROM statement_timestamp() - at)::float8 / 86400 / 14)) FILTER (WHERE page = 'pricing'), 0) AS fresh,
						   max(at) <= statement_timestamp() - interval '30 days' AS silent
					FROM visit v WHERE v.lead = l.id) v
CROSS JOIN LATERAL (VALUES
	('large', 'best of size', 0::float8, l.size = 'large', 1::float8), ('medium', 'best of size', 5, l.size = 'medium', 1), ('small', 'best of size', -5, l.size = 'small', 1),
	('expert', 'best of level', 30, l.level = 'expert', 1), ('knows anything', 'best of level', 10, l.level IS NOT NULL, 1), ('shadow', 'best of level', 3, l.level = 'expert', 1),
	('competitor', NULL, 0, l.note = 'competitor', 1), ('never', NULL, 7, false, 1), ('number', NULL, 4, CASE WHEN l.note ~ '^\d+$' THEN l.note::integer > 5 END, 1),
	('pricing page', 'website', 8, v.pricing > 0, v.fresh), ('any page', 'website', 1, v.all > 0, least(v.all, 4)), ('30 days of silence', NULL, -6, v.silent, 1)
) r(rule, combine, points, hits, weight)
WHERE r.hits;
CREATE VIEW counted AS
SELECT s.*, CASE WHEN combine ~ 'best' AND EXISTS (SELECT FROM said b WHERE b.lead = s.lead AND b.combine = s.combine AND b.points > s.points) THEN 0 ELSE points END AS counts
FROM said s;
CREATE VIEW total AS
SELECT l.id AS lead, floor(coalesce(sum(c.counts) FILTER (WHERE c.combine IS DISTINCT FROM 'website'), 0)
						   + least(coalesce(sum(c.counts) FILTER (WHERE c.combine = 'website'), 0), 20) + 1e-9)::integer AS score,
	   coalesce(bool_or(c.rule = 'competitor'), false) AS out
FROM lead l LEFT JOIN counted c ON c.lead = l.id GROUP BY l.id;
CREATE VIEW bought AS SELECT lead FROM step WHERE stage IN ('customer', 'advocate') GROUP BY lead;

-- scored leads: as the models' own views have them, and as plain SQL says
SELECT model, count(*), count(DISTINCT key), min(key) FROM leadscore.scored_lead WHERE model LIKE 'rep%' GROUP BY model ORDER BY model;
SELECT l.lead_key FROM leadscore.scored_lead l FULL JOIN leadscore.rep_scored s ON s.lead_key::text = l.lead_key
WHERE l.model = 'rep' AND (l.score, l.temperature, l.grade, l.fit, l.engagement, l.stage, l.stage_rank, l.disqualified, l.channel) IS DISTINCT FROM
	  (s.score, s.temperature, s.grade, s.fit, s.engagement, s.stage, s.stage_rank, s.disqualified, s.channel);
SELECT t.lead, t.score, s.score FROM total t FULL JOIN (SELECT * FROM leadscore.scored_lead WHERE model = 'rep') s ON s.lead_key = t.lead::text
WHERE (t.score, CASE WHEN t.out OR t.score < 25 THEN 'cold' WHEN t.score < 50 THEN 'warm' ELSE 'hot' END) IS DISTINCT FROM (s.score, s.temperature);
SELECT key, temperature_label, stage_label, created_at FROM leadscore.scored_lead WHERE key IN ('rep/61', 'rep/62', 'rep_b/a/20') ORDER BY key;
-- the hot list: whom the model's own list has, in its order, and why
SELECT count(*), count(DISTINCT key), max(place) FROM leadscore.hot_lead WHERE model = 'rep';
SELECT t.lead, s.place FROM total t FULL JOIN (SELECT * FROM leadscore.hot_lead WHERE model = 'rep') s ON s.lead_key = t.lead::text
WHERE s.score IS DISTINCT FROM t.score AND s.place IS NOT NULL
   OR s.place IS NOT NULL AND (t.out OR EXISTS (SELECT FROM step x WHERE x.lead = t.lead AND stage IN ('customer', 'advocate', 'lost', 'nurture', 'disqualified')))
   OR s.place > (SELECT count(*) + 1 FROM leadscore.hot_lead h WHERE h.model = 'rep' AND h.score > s.score)
			   + (SELECT count(*) FROM leadscore.hot_lead h WHERE h.model = 'rep' AND h.score = s.score);
SELECT count(*) FROM leadscore.hot_lead WHERE model = 'rep' AND reasons IS DISTINCT FROM leadscore.reasons('rep', lead_key);
SELECT model, place, CASE model WHEN 'rep' THEN lead_key END AS lead_key, score, temperature_label, stage_label, regexp_replace(reasons, '\(\+\d\d\.\d,', '(+##.#,') AS reasons
FROM leadscore.hot_lead WHERE model LIKE 'rep%' AND place = 1 ORDER BY model;
-- contributions: all that is said and nothing else, and it adds up
SELECT count(*), count(DISTINCT key) FROM leadscore.contribution WHERE model LIKE 'rep%' HAVING count(*) <> count(DISTINCT key);
SELECT c.lead_key, sum(c.counted_points), s.score FROM leadscore.contribution c JOIN leadscore.scored_lead s USING (model, lead_key)
WHERE model LIKE 'rep%' GROUP BY c.lead_key, s.score HAVING sum(c.counted_points) <> s.score;
SELECT e.lead, e.rule, c.lead_key, c.parameter, e.counts, c.counted_points
FROM counted e FULL JOIN (SELECT * FROM leadscore.contribution WHERE model = 'rep' AND kind = 'rule') c
	ON c.lead_key = e.lead::text AND coalesce(c.parameter, 'number') = e.rule
WHERE (abs(e.counts - c.counted_points) < 1e-6 AND abs(e.points - c.faded_points) < 1e-6 AND e.each = c.points AND c.shadowed = (e.points <> e.counts)) IS NOT TRUE;
SELECT kind, axis, factor, count(*), min(counted_points) < 0 AS less, max(counted_points) > 0 AS more FROM leadscore.contribution
WHERE model LIKE 'rep%' AND kind <> 'rule' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT key, counted_points, shadowed FROM leadscore.contribution WHERE model = 'rep_b' AND lead_key = 'a/11' AND kind <> 'rule';
-- distribution
SELECT band, d.band_from, e.leads, d.leads, e.customers, d.customers
FROM (SELECT t.score - (t.score % 10 + 10) % 10 AS band, count(*) AS leads, count(b.lead) AS customers,
			 count(*) FILTER (WHERE b.lead IS NULL AND EXISTS (SELECT FROM step s WHERE s.lead = t.lead AND s.stage IN ('nurture', 'lost', 'disqualified'))) AS exited,
			 count(*) FILTER (WHERE NOT out AND score >= 50) AS hot
	  FROM total t LEFT JOIN bought b USING (lead) GROUP BY 1) e
FULL JOIN (SELECT * FROM leadscore.score_distribution WHERE model = 'rep') d ON d.band_from = e.band
WHERE (e.leads, e.customers, e.exited, e.hot, e.leads - e.customers - e.exited, e.band + 9, round(e.customers / e.leads::numeric, 4)) IS DISTINCT FROM
	  (d.leads, d.customers, d.exited, d.hot, d.still_open, d.band_to, d.conversion_rate)
   OR d.leads <> d.hot + d.warm + d.cold OR d.closed_conversion_rate IS DISTINCT FROM round(e.customers / nullif(e.customers + e.exited, 0)::numeric, 4)
   OR d.leads_share <> round(e.leads / 299::numeric, 4);
SELECT * FROM leadscore.score_distribution WHERE model = 'rep_b' ORDER BY band_from;
-- cohorts by the month in which leads arose, in Warsaw; those of whom that is not known arose when they came
SELECT month, channel, e.leads, c.leads, e.cost, c.cost
FROM (SELECT coalesce(l.month, k.month) AS month, channel, coalesce(leads, 0) AS leads, coalesce(ever_hot, 0) AS ever_hot, coalesce(hot, 0) AS hot, coalesce(accepted, 0) AS accepted, coalesce(customers, 0) AS customers, cost
	  FROM (SELECT to_char(coalesce(created, now()) AT TIME ZONE 'Europe/Warsaw', 'YYYY-MM-01')::date AS month, coalesce(channel, '-') AS channel, count(*) AS leads,
				   count(*) FILTER (WHERE h.lead IS NOT NULL OR (t.score >= 50 AND NOT t.out)) AS ever_hot, count(*) FILTER (WHERE t.score >= 50 AND NOT t.out) AS hot,
				   count(*) FILTER (WHERE EXISTS (SELECT FROM step s WHERE s.lead = l.id AND s.stage IN ('sal', 'customer', 'advocate'))) AS accepted, count(b.lead) AS customers
			FROM lead l JOIN total t ON t.lead = l.id LEFT JOIN once_hot h ON h.lead = l.id LEFT JOIN bought b ON b.lead = l.id GROUP BY 1, 2) l
	  FULL JOIN (SELECT month, coalesce(channel, '-') AS channel, cost FROM leadscore.channel_cost WHERE model = 'rep') k USING (month, channel)) e
FULL JOIN (SELECT month, coalesce(channel, '-') AS channel, leads, ever_hot, hot, warm + cold AS other, accepted, customers, cost,
				  ever_hot_share, accepted_share, customers_share, cost_per_lead, cost_per_hot, cost_per_accepted, cost_per_customer
		   FROM leadscore.temperature_by_channel WHERE model = 'rep') c USING (month, channel)
WHERE (e.leads, e.ever_hot, e.hot, e.leads - e.hot, e.accepted, e.customers, e.cost) IS DISTINCT FROM (c.leads, c.ever_hot, c.hot, c.other, c.accepted, c.customers, c.cost)
   OR (ever_hot_share, accepted_share, customers_share, cost_per_lead, cost_per_hot, cost_per_accepted, cost_per_customer) IS DISTINCT FROM
	  (round(e.ever_hot / nullif(e.leads, 0)::numeric, 4), round(e.accepted / nullif(e.leads, 0)::numeric, 4), round(e.customers / nullif(e.leads, 0)::numeric, 4),
	   round(e.cost / nullif(e.leads, 0), 2), round(e.cost / nullif(e.ever_hot, 0), 2), round(e.cost / nullif(e.accepted, 0), 2), round(e.cost / nullif(e.customers, 0), 2));
SELECT sum(leads), sum(ever_hot) > sum(hot) AS some_cooled, sum(accepted), sum(customers), sum(cost) FROM leadscore.temperature_by_channel WHERE model = 'rep';
SELECT month, channel, leads, ever_hot, customers, cost, cost_per_lead, cost_per_customer FROM leadscore.temperature_by_channel WHERE model = 'rep' AND month < '2024-02-01' ORDER BY key;
-- rules
SELECT s.parameter, e.rule, s.hits, e.hits, s.customers, e.customers, s.lift, e.lift
FROM (SELECT rule, hits, customers, all_customers, points, counting, round(hits / 299::numeric, 4) AS hit_rate, round(customers / nullif(hits, 0)::numeric, 4) AS conversion_with,
			 round((all_customers - customers) / nullif(299 - hits, 0)::numeric, 4) AS conversion_without,
			 round((customers / nullif(hits, 0)::numeric) / (all_customers / 299::numeric), 4) AS lift
	  FROM (SELECT r.rule, count(c.lead) AS hits, count(b.lead) AS customers, (SELECT count(*) FROM bought) AS all_customers, coalesce(sum(c.counts), 0) AS points,
				   count(c.lead) FILTER (WHERE c.counts = c.points) AS counting
			FROM (SELECT DISTINCT rule FROM said UNION VALUES ('never'), ('off')) r LEFT JOIN counted c USING (rule) LEFT JOIN bought b ON b.lead = c.lead GROUP BY r.rule) g) e
FULL JOIN (SELECT * FROM leadscore.rule_statistics WHERE model = 'rep') s ON coalesce(s.parameter, 'number') = e.rule
WHERE (s.leads, s.hits, s.customers, s.hit_rate, s.conversion_with, s.conversion_without, s.lift, s.counting_hits) IS DISTINCT FROM
	  (299::bigint, e.hits, e.customers, e.hit_rate, e.conversion_with, e.conversion_without, e.lift, e.counting)
   OR abs(s.points_at_work - e.points) > 1e-5;
SELECT factor, parameter, axis, points, enabled, hits, hit_rate, customers, conversion_with, conversion_without, lift, counting_hits, round(points_at_work) AS points_at_work, dead, shadowed
FROM leadscore.rule_statistics WHERE model = 'rep' AND axis = 'fit' ORDER BY rule_id;
-- history
SELECT count(*) - (SELECT count(*) FROM leadscore.history WHERE model = 'rep'), count(DISTINCT key) - count(*) FROM leadscore.lead_history WHERE model = 'rep';
SELECT cause, from_stage, from_stage_rank, to_stage, to_stage_rank, moved, to_score = from_score AS same FROM leadscore.lead_history WHERE model = 'rep' AND lead_key = '61' ORDER BY at DESC LIMIT 3;

--
-- Who sees what
--
CREATE ROLE rep_reader;
GRANT USAGE ON SCHEMA leadscore, rep TO rep_reader;
GRANT SELECT ON leadscore.scored_lead, leadscore.hot_lead, leadscore.contribution, leadscore.score_distribution, leadscore.temperature_by_channel, leadscore.rule_statistics TO rep_reader;
SET ROLE rep_reader;
-- nothing of what he may not read
SELECT (SELECT count(*) FROM leadscore.scored_lead) AS scored, (SELECT count(*) FROM leadscore.hot_lead) AS hot, (SELECT count(*) FROM leadscore.contribution) AS contributions,
	   (SELECT count(*) FROM leadscore.score_distribution) AS bands, (SELECT count(*) FROM leadscore.rule_statistics) AS rules;
SELECT leadscore.reasons('rep', 61);
SELECT leadscore.label_of('temperature', 'hot');
RESET ROLE;
GRANT SELECT ON leadscore.rep_scored, leadscore.rep_state TO rep_reader;
SET ROLE rep_reader;
SELECT (SELECT count(*) FROM leadscore.scored_lead) AS scored, (SELECT count(*) FROM leadscore.hot_lead) AS hot, (SELECT count(reasons) FROM leadscore.hot_lead) AS reasons,
	   (SELECT count(*) FROM leadscore.contribution) AS contributions, (SELECT count(*) FROM leadscore.rule_statistics) AS rules;
SELECT count(*) FROM leadscore.score_distribution;
RESET ROLE;
-- it takes all of what the rules read
GRANT SELECT ON lead TO rep_reader;
SET ROLE rep_reader;
SELECT (SELECT count(reasons) FROM leadscore.hot_lead) AS reasons, (SELECT count(*) FROM leadscore.contribution) AS contributions;
RESET ROLE;
REVOKE SELECT ON lead FROM rep_reader;
GRANT SELECT ON visit TO rep_reader;
SET ROLE rep_reader;
SELECT (SELECT count(reasons) FROM leadscore.hot_lead) AS reasons, (SELECT count(*) FROM leadscore.contribution) AS contributions;
RESET ROLE;
-- and with what the scores are made from: as row security lets him
GRANT SELECT ON lead, visit, leadscore.history, leadscore.rule, leadscore.factor, leadscore.channel_cost TO rep_reader;
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY hundred ON lead TO rep_reader USING (id <= 100);
SET ROLE rep_reader;
SELECT (SELECT count(*) FROM leadscore.scored_lead) AS scored, (SELECT max(lead_key::integer) FROM leadscore.hot_lead) AS hot, (SELECT count(reasons) > 50 FROM leadscore.hot_lead) AS reasons,
	   (SELECT max(lead_key::integer) FROM leadscore.contribution) AS contributions, (SELECT sum(leads) FROM leadscore.score_distribution) AS bands,
	   (SELECT sum(leads) FROM leadscore.temperature_by_channel) AS cohorts, (SELECT max(leads) FROM leadscore.rule_statistics) AS rules;
SELECT leadscore.reasons('rep', 101) AS hidden, leadscore.reasons('rep', 61) IS NOT NULL AS seen, (SELECT count(*) FROM leadscore.changes('rep', 101, now() - interval '1 day')) AS hidden,
	   (SELECT count(*) > 0 FROM leadscore.changes('rep', 61, now() - interval '1 day')) AS seen;
SELECT c.lead_key, sum(c.counted_points), s.score FROM leadscore.contribution c JOIN leadscore.scored_lead s USING (model, lead_key)
GROUP BY c.lead_key, s.score HAVING sum(c.counted_points) <> s.score;
RESET ROLE;

--
-- Gone again
--
SELECT leadscore.detach('rep') IS NOT NULL AS a, leadscore.detach('rep_b') IS NOT NULL AS b;
SELECT count(*) FROM leadscore.scored_lead WHERE model LIKE 'rep%';
DROP OWNED BY rep_reader;
DROP ROLE rep_reader;
SELECT leadscore.drop_history('rep', 'infinity') > 0 AS a, leadscore.drop_history('rep_b', 'infinity') > 0 AS b;
DELETE FROM leadscore.model WHERE name LIKE 'rep%';
DROP SCHEMA rep CASCADE;
