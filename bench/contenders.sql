-- bench/contenders.sql: what competes, made from bench.lead and bench.rule.
--
-- Each contender is a query that returns one checksum over all its leads:
-- sum(score), or sum(score * (id % 97)) with which the answers are compared
-- before any time is taken.

-- (b) The CASE that one would write by hand.  One CASE per factor; the short
-- form CASE column WHEN value where all conditions of a factor are equalities
-- with one column; a sum of CASEs where several rules of a factor may match.
CREATE FUNCTION bench.case_expression(p_set text, p_size integer) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT string_agg(expression, E'\n + ' ORDER BY first)
	FROM (SELECT min(no) AS first,
				 CASE WHEN combine = 'sum' THEN
						string_agg(format('CASE WHEN %s THEN %s ELSE 0 END', condition, points), ' + ' ORDER BY no)
					  WHEN bool_and(op = '=' AND op2 IS NULL) AND count(DISTINCT field) = 1 THEN
						format('CASE %I ', min(field)) ||
						string_agg(format('WHEN %L THEN %s', value, points), ' ' ORDER BY no) || ' ELSE 0 END'
					  ELSE
						'CASE ' || string_agg(format('WHEN %s THEN %s', condition, points), ' ' ORDER BY no) ||
						' ELSE 0 END'
				 END AS expression
		  FROM bench.rule
		  WHERE set = p_set AND no <= p_size
		  GROUP BY factor, combine) AS f;
END;

-- (c) A join with a typed rules table, one join per factor.  What may be
-- looked up by value is joined by value (hash join), bands of a few rows by a
-- nested loop, and the thousands of postal code bands through their index.
CREATE PROCEDURE bench.make_join_table(p_set text, p_size integer)
LANGUAGE plpgsql AS $$
DECLARE
	name text := format('join_%s_%s', p_set, p_size);
BEGIN
	EXECUTE format($q$
		CREATE UNLOGGED TABLE bench.%I AS
		SELECT no, factor, points, v AS value,
			   CASE WHEN field = 'employees' THEN greatest(low, -2147483648)::integer
					WHEN field2 = 'employees' THEN greatest(low2, -2147483648)::integer END AS employees_from,
			   CASE WHEN field = 'employees' THEN least(high, 2147483647)::integer
					WHEN field2 = 'employees' THEN least(high2, 2147483647)::integer END AS employees_to,
			   CASE WHEN field = 'revenue' THEN low WHEN field2 = 'revenue' THEN low2 END AS revenue_from,
			   CASE WHEN field = 'revenue' THEN high WHEN field2 = 'revenue' THEN high2 END AS revenue_to,
			   CASE WHEN field = 'page_views' THEN greatest(low, -2147483648)::integer
					WHEN field2 = 'page_views' THEN greatest(low2, -2147483648)::integer END AS page_views_from,
			   CASE WHEN field = 'page_views' THEN least(high, 2147483647)::integer
					WHEN field2 = 'page_views' THEN least(high2, 2147483647)::integer END AS page_views_to,
			   CASE WHEN field = 'postal_code' THEN greatest(low, -2147483648)::integer END AS postal_code_from,
			   CASE WHEN field = 'postal_code' THEN least(high, 2147483647)::integer END AS postal_code_to,
			   CASE WHEN field = 'last_visit' THEN since::date
					WHEN field2 = 'last_visit' THEN since2::date END AS last_visit_from,
			   CASE WHEN field = 'last_visit' THEN until::date END AS last_visit_to,
			   CASE WHEN field = 'created_at' THEN since END AS created_at_from,
			   CASE WHEN field = 'created_at' THEN until END AS created_at_to,
			   CASE WHEN field = 'email' AND op = 'like' THEN value WHEN field2 = 'email' THEN value2 END AS email_like,
			   CASE WHEN field = 'email' AND op = 'null' THEN true END AS email_missing,
			   CASE WHEN field = 'title' AND op = 'like' THEN value END AS title_like,
			   CASE WHEN field = 'title' AND op = 'ilike' THEN value END AS title_ilike,
			   CASE WHEN field2 = 'country' THEN value2 END AS country,
			   CASE WHEN field2 = 'decision_power' THEN value2 END AS decision_power,
			   CASE WHEN field = 'custom,budget' THEN value END AS budget
		FROM bench.rule, unnest(coalesce(vals, ARRAY[CASE WHEN op = '=' AND field <> 'custom,budget' THEN value END])) AS v
		WHERE set = %L AND no <= %s
		ORDER BY no$q$, name, p_set, p_size);
	EXECUTE format('CREATE INDEX ON bench.%I (factor, postal_code_from)', name);
	EXECUTE format('ANALYZE bench.%I', name);
END $$;

CREATE FUNCTION bench.join_query(p_set text, p_size integer, p_leads text, p_checksum text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH f (set, ord, factor, is_lateral, clause) AS (VALUES
		('equality', 1, 'company size', false, 'r.value = l.company_size'),
		('equality', 2, 'knowledge level', false, 'r.value = l.knowledge_level'),
		('equality', 3, 'purchase motivation', false, 'r.value = l.purchase_motivation'),
		('equality', 4, 'decision power', false, 'r.value = l.decision_power'),
		('equality', 5, 'position', false, 'r.value = l.position'),
		('equality', 6, 'webinar', false, 'r.value = l.webinar'),
		('range', 1, 'employees', false, 'l.employees >= r.employees_from AND l.employees < r.employees_to'),
		('range', 2, 'revenue', false, 'l.revenue >= r.revenue_from AND l.revenue < r.revenue_to'),
		('range', 3, 'age', false, 'l.created_at >= r.created_at_from AND l.created_at < r.created_at_to'),
		('range', 4, 'visits', false, 'l.page_views >= r.page_views_from AND l.page_views < r.page_views_to'),
		('range', 5, 'last visit', false, 'l.last_visit >= r.last_visit_from AND l.last_visit < r.last_visit_to'),
		('range', 6, 'region', false, 'l.postal_code >= r.postal_code_from AND l.postal_code < r.postal_code_to'),
		('range', 7, 'territory', true,
		 'SELECT CASE WHEN l.postal_code < b.postal_code_to THEN b.points END AS points '
		 'FROM (SELECT points, postal_code_to FROM %1$s WHERE factor = ''territory'' AND postal_code_from <= l.postal_code '
		 'ORDER BY postal_code_from DESC LIMIT 1) AS b'),
		('mixed', 1, 'company size', false, 'r.value = l.company_size'),
		('mixed', 2, 'position', false,
		 'r.value = l.position AND l.employees >= r.employees_from AND l.employees < r.employees_to'),
		('mixed', 3, 'webinar', false,
		 'r.value = l.webinar AND (r.last_visit_from IS NULL OR l.last_visit >= r.last_visit_from) '
		 'AND (r.page_views_to IS NULL OR l.page_views < r.page_views_to)'),
		('mixed', 4, 'market', false,
		 'r.value = l.country AND (r.revenue_from IS NULL OR l.revenue >= r.revenue_from) '
		 'AND (r.email_like IS NULL OR l.email LIKE r.email_like)'),
		('mixed', 5, 'business mail', false,
		 'l.employees >= r.employees_from AND l.employees < r.employees_to AND l.email LIKE r.email_like'),
		('mixed', 6, 'signals', true,
		 'SELECT sum(points) AS points FROM %1$s WHERE factor = ''signals'' '
		 'AND (value IS NULL OR l.purchase_motivation = value AND l.decision_power = decision_power) '
		 'AND (email_missing IS NULL OR l.email IS NULL) AND (email_like IS NULL OR l.email LIKE email_like) '
		 'AND (budget IS NULL OR l.custom ->> ''budget'' = budget) '
		 'AND (title_like IS NULL OR l.title LIKE title_like) '
		 'AND (title_ilike IS NULL OR l.title ILIKE title_ilike)'),
		('mixed', 7, 'title', false,
		 'r.value = l.title AND (r.employees_from IS NULL OR l.employees >= r.employees_from) '
		 'AND (r.email_like IS NULL OR l.email LIKE r.email_like) AND (r.country IS NULL OR l.country = r.country)')),
	used AS (
		SELECT f.* FROM f
		WHERE f.set = p_set AND EXISTS (SELECT FROM bench.rule r WHERE r.set = p_set AND r.no <= p_size AND r.factor = f.factor))
	SELECT format('SELECT sum(%s) FROM (SELECT l.id, %s AS score FROM %s AS l%s) AS s', p_checksum,
				  string_agg(format('coalesce(r%s.points, 0)', ord), ' + ' ORDER BY ord), p_leads,
				  string_agg(CASE WHEN is_lateral
								  THEN format(E'\nLEFT JOIN LATERAL (' || clause || ') AS r%2$s ON true', name, ord)
								  ELSE format(E'\nLEFT JOIN %s AS r%s ON r%2$s.factor = %3$L AND %4$s', name, ord, factor,
											  replace(clause, 'r.', format('r%s.', ord)))
							 END, '' ORDER BY ord))
	FROM used, format('bench.join_%s_%s', p_set, p_size) AS name;
END;

-- (d) A loop over the rules table in PL/pgSQL: the conditions are data, so
-- nothing is parsed while it runs.
CREATE FUNCTION bench.loop_score(p_set text, p_size integer, lead anyelement) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	attributes jsonb := to_jsonb(lead);
	r record;
	x text;
	hit boolean;
	total integer := 0;
BEGIN
	FOR r IN SELECT * FROM bench.rule WHERE set = p_set AND no <= p_size LOOP
		IF r.field = 'custom,budget' THEN
			x := attributes -> 'custom' ->> 'budget';
		ELSE
			x := attributes ->> r.field;
		END IF;
		IF r.op = '=' THEN hit := x = r.value;
		ELSIF r.op = 'in' THEN hit := x = ANY (r.vals);
		ELSIF r.op = 'number' THEN hit := x::numeric >= r.low AND x::numeric < r.high;
		ELSIF r.op = 'time' THEN hit := x::timestamptz >= r.since AND x::timestamptz < r.until;
		ELSIF r.op = 'like' THEN hit := x LIKE r.value;
		ELSIF r.op = 'ilike' THEN hit := x ILIKE r.value;
		ELSE hit := x IS NULL;
		END IF;
		IF hit AND r.op2 IS NOT NULL THEN
			x := attributes ->> r.field2;
			IF r.op2 = '=' THEN hit := x = r.value2;
			ELSIF r.op2 = 'number' THEN hit := x::numeric >= r.low2 AND x::numeric < r.high2;
			ELSIF r.op2 = 'time' THEN hit := x::timestamptz >= r.since2;
			ELSE hit := x LIKE r.value2;
			END IF;
		END IF;
		IF hit THEN
			total := total + r.points;
		END IF;
	END LOOP;
	RETURN total;
END $$;

-- (d) again, as most people write it: the condition is text and is executed.
CREATE FUNCTION bench.execute_score(p_set text, p_size integer, lead anyelement) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
	r record;
	hit boolean;
	total integer := 0;
BEGIN
	FOR r IN SELECT condition, points FROM bench.rule WHERE set = p_set AND no <= p_size LOOP
		EXECUTE format('SELECT %s FROM (SELECT ($1).*) AS l', r.condition) INTO hit USING lead;
		IF hit THEN
			total := total + r.points;
		END IF;
	END LOOP;
	RETURN total;
END $$;
