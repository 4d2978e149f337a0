-- Prints what a model makes of its leads; xeducation.sql and generated.sql
-- call it.  psql variables:
--
--   title						what the report is about
--   model, source				the model and the relation whose rows it scores
--   key, label, outcome		the lead's key, its name and whether it was won:
--								SQL expressions over a row of the source
--   listed, listed_words		which leads may show on the hot list, and in words
--   judged, judged_words		which leads the conversion is measured on
--   won_word					what winning is called here
--
-- It fails when conversion does not rise from cold to warm to hot.

\pset pager off
\pset footer off
\pset border 1
\pset null ''
\pset linestyle ascii
\pset format aligned

-- One pass over the leads.
CREATE TEMP TABLE scored AS
SELECT (:key)::text								AS key,
	   (:label)::text							AS lead,
	   (:outcome)								AS won,
	   (:listed)								AS listed,
	   (:judged)								AS judged,
	   leadscore.score(:'model', l)				AS score,
	   leadscore.temperature(:'model', l)		AS temperature,
	   leadscore.grade(:'model', l)				AS grade,
	   leadscore.disqualified(:'model', l)		AS disqualified
FROM :source l;
ANALYZE scored;

SELECT count(*) AS all_leads,
	   count(*) FILTER (WHERE listed) AS listed_leads,
	   (SELECT count(*) FROM leadscore.rule WHERE model = :'model') AS rules,
	   (SELECT count(*) FROM leadscore.factor WHERE model = :'model') AS factors
FROM scored \gset

\echo
\echo '==' :title '==' :all_leads 'leads,' :rules 'rules in' :factors 'factors'
\echo
\echo 'The ten hottest of' :listed_leads :listed_words
\echo '(grade: fit A to D, engagement 1 to 4)'
\echo

CREATE TEMP TABLE hot_list AS
SELECT row_number() OVER (ORDER BY score DESC, key COLLATE "C") AS "#", *
FROM scored
WHERE listed AND NOT disqualified
ORDER BY 1
LIMIT 10;

SELECT "#", score, temperature, grade, lead
FROM hot_list
ORDER BY "#";

SELECT key AS hottest_key, lead AS hottest_lead, score AS hottest_score
FROM hot_list WHERE "#" = 1 \gset

\echo 'Why the first of them has' :hottest_score 'points:' :hottest_lead
\echo '(sum: the points counted so far; the last sum is the score)'
\echo

CREATE TEMP TABLE explained AS
SELECT e.*
FROM :source l,
	 leadscore.explain(:'model', l) WITH ORDINALITY
	 AS e (rule_id, factor, parameter, significance, axis, points, occurrences,
		   decayed, counted, note, line)
WHERE (:key)::text = :'hottest_key';

SELECT axis, factor, parameter, significance, points, counted,
	   sum(counted) OVER (ORDER BY line) AS sum, note
FROM explained
ORDER BY line;

\echo 'How the scores of' :all_leads 'leads are spread'
\echo

WITH width AS (
	SELECT greatest(5, 5 * ceil((max(score) - min(score)) / 75.0))::int AS w FROM scored
), band AS (
	SELECT floor(score::numeric / w)::int AS b, w, count(*) AS leads
	FROM scored, width
	GROUP BY 1, 2
)
SELECT format('%s to %s', lpad((g.b * w)::text, 4), lpad((g.b * w + w - 1)::text, 4)) AS score,
	   coalesce(leads, 0) AS leads,
	   repeat('#', ceil(50.0 * leads / max(leads) OVER ())::int) AS chart
FROM width, LATERAL (SELECT generate_series(max(b), min(b), -1) AS b FROM band) g
	 LEFT JOIN LATERAL (SELECT leads FROM band WHERE band.b = g.b) x ON true
ORDER BY g.b DESC;

\echo 'Conversion by temperature,' :judged_words
\echo '(rate =' :won_word '/ leads of that temperature)'
\echo

CREATE TEMP TABLE conversion AS
SELECT temperature, count(*) AS leads, count(*) FILTER (WHERE won) AS won,
	   count(*) FILTER (WHERE won)::numeric / count(*) AS rate
FROM scored
WHERE judged
GROUP BY temperature;

SELECT coalesce(temperature::text, 'all') AS temperature,
	   sum(leads) AS leads, sum(won) AS :"won_word",
	   to_char(100 * sum(won) / sum(leads), '990.0') || ' %' AS rate,
	   repeat('#', round(50 * sum(won) / sum(leads))::int) AS chart
FROM conversion
GROUP BY ROLLUP (conversion.temperature)
ORDER BY conversion.temperature;

-- Of all pairs of a lead that was won and one that was not: in how many has
-- the former the higher score?  (Ties count half; the area under the ROC curve.)
SELECT round((100 * (sum(place) FILTER (WHERE won) - w * (w + 1) / 2) / (w * (n - w)))::numeric, 1) AS pairs
FROM (SELECT won,
			 rank() OVER (ORDER BY score) + (count(*) OVER (PARTITION BY score) - 1) / 2.0 AS place,
			 count(*) FILTER (WHERE won) OVER () AS w,
			 count(*) OVER () AS n
	  FROM scored WHERE judged) r
GROUP BY w, n \gset

\echo 'Of 100 pairs of one lead' :won_word 'and one not, the score puts' :pairs 'in the right order (50 is chance).'
\echo

DO $$
BEGIN
	IF (SELECT count(*) FROM conversion) < 3
	   OR EXISTS (SELECT FROM (SELECT rate > lag(rate) OVER (ORDER BY temperature) AS rises
							   FROM conversion) c WHERE NOT rises) THEN
		RAISE EXCEPTION 'conversion does not rise from cold to warm to hot';
	END IF;
END
$$;
