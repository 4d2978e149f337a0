-- bench/measure.sql: who runs against whom.
--
-- psql variables: rows (leads in bench.lead), rounds, quick (0 or 1),
-- exhaustive (0 or 1).

CREATE TABLE bench.option AS
SELECT :rows AS rows, :rounds AS rounds, :quick = 1 AS quick, :exhaustive = 1 AS exhaustive;

-- A race is a group of contenders that take turns.
CREATE TABLE bench.contender (
	id		integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	race	text NOT NULL,
	name	text NOT NULL,				-- a b b_jit b_jit_full c d e e_jit ...
	set		text,
	size	integer,
	workers	integer NOT NULL,			-- max_parallel_workers_per_gather
	jit		text NOT NULL,				-- off, on (no inlining, no optimization), full
	rows	integer NOT NULL,			-- leads scored by one run
	rounds	integer NOT NULL,
	query	text NOT NULL,
	expect	numeric,					-- the answer, NULL: none to compare
	UNIQUE (race, name, set, size, workers)
);

CREATE TABLE bench.sample (
	contender	integer NOT NULL REFERENCES bench.contender,
	round		integer NOT NULL,
	seconds		double precision NOT NULL,	-- by the clock on the wall
	cpu			double precision			-- of the backend alone, in seconds; NULL with workers
);

-- Milliseconds by which the first call of score in a new connection is longer
-- than the second.
CREATE TABLE bench.build (
	set			text NOT NULL,
	size		integer NOT NULL,
	ms			double precision NOT NULL,	-- first less second, by the clock
	cpu_ms		double precision			-- and by processor time
);

CREATE VIEW bench.per_row AS
SELECT id, race, name, set, size, workers, rows,
	   percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds / rows) AS median,
	   percentile_cont(0.5) WITHIN GROUP (ORDER BY cpu / rows) AS cpu,
	   count(*) AS samples
FROM bench.contender JOIN bench.sample ON id = contender
GROUP BY id;

-- The table that the rules of a set read, and one of its first p_rows leads.
CREATE FUNCTION bench.leads(p_set text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE p_set WHEN 'range' THEN 'bench.lead_bands' ELSE 'bench.lead' END;

CREATE FUNCTION bench.leads(p_set text, p_rows integer) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	name text := format('%s_%s', bench.leads(p_set), p_rows);
BEGIN
	IF p_rows = (SELECT rows FROM bench.option) THEN
		RETURN bench.leads(p_set);
	END IF;
	IF to_regclass(name) IS NULL THEN
		EXECUTE format('CREATE UNLOGGED TABLE %s (LIKE %s) WITH (autovacuum_enabled = off, parallel_workers = 2)',
					   name, bench.leads(p_set));
		EXECUTE format('INSERT INTO %s SELECT * FROM %s WHERE id <= %s', name, bench.leads(p_set), p_rows);
		EXECUTE format('ANALYZE %s', name);
	END IF;
	RETURN name;
END $$;

-- How many leads a contender gets: all of them, but 50 000 for (b) to (d) from
-- 1 000 rules on.  The loop (d) gets fewer, so that a run takes seconds and
-- not hours; --exhaustive gives it as many as the others.
CREATE FUNCTION bench.rows_for(p_name text, p_size integer) RETURNS integer
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT least(rows,
				 CASE WHEN left(p_name, 1) NOT IN ('b', 'c', 'd') THEN rows
					  WHEN p_name = 'd_execute' THEN CASE WHEN exhaustive THEN 50000 WHEN quick THEN 1000 ELSE 5000 END
					  WHEN p_name = 'd' AND NOT exhaustive THEN
						CASE WHEN p_size <= 21 THEN 50000 WHEN p_size <= 200 THEN 10000
							 WHEN p_size <= 1000 THEN 2000 ELSE 200 END / CASE WHEN quick THEN 5 ELSE 1 END
					  WHEN p_size >= 1000 THEN CASE WHEN quick THEN 20000 ELSE 50000 END
					  ELSE rows
				 END)
	FROM bench.option;
END;

-- The leadscore model that holds the first p_size rules of a set.
CREATE PROCEDURE bench.make_model(p_model text, p_set text, p_size integer,
								  p_target text DEFAULT NULL, p_source regclass DEFAULT NULL)
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO leadscore.model (name, target, source) VALUES (p_model, coalesce(p_target, bench.leads(p_set))::regclass, p_source);
	INSERT INTO leadscore.factor (model, name, axis, combine)
	SELECT p_model, factor, CASE factor WHEN 'webinar' THEN 'engagement' ELSE 'fit' END, combine
	FROM bench.rule WHERE set = p_set AND no <= p_size
	GROUP BY factor, combine;
	INSERT INTO leadscore.rule (model, factor, parameter, condition, points)
	SELECT p_model, factor, coalesce(value, condition), condition, points
	FROM bench.rule WHERE set = p_set AND no <= p_size
	ORDER BY no;
END $$;

-- The query of a contender.
CREATE FUNCTION bench.query(p_name text, p_set text, p_size integer, p_leads text, p_checksum text) RETURNS text
LANGUAGE sql
RETURN CASE
	WHEN p_name = 'a' THEN
		format('SELECT sum(num_nonnulls(%s)) FROM %s',
			   CASE p_set
					WHEN 'equality' THEN 'company_size, knowledge_level, purchase_motivation, decision_power, position, webinar'
					WHEN 'range' THEN 'employees, revenue, created_at, page_views, last_visit, postal_code'
					ELSE 'email, company_size, purchase_motivation, decision_power, position, webinar, title, country, '
						 'employees, revenue, page_views, last_visit, custom'
			   END, p_leads)
	WHEN p_name LIKE 'b%' THEN
		format('SELECT sum(%s) FROM (SELECT id, %s AS score FROM %s) AS s', p_checksum,
			   bench.case_expression(p_set, p_size), p_leads)
	WHEN p_name = 'c' THEN
		bench.join_query(p_set, p_size, p_leads, p_checksum)
	WHEN p_name = 'd' THEN
		format('SELECT sum(%s) FROM (SELECT id, bench.loop_score(%L, %s, l) AS score FROM %s AS l) AS s',
			   p_checksum, p_set, p_size, p_leads)
	WHEN p_name = 'd_execute' THEN
		format('SELECT sum(%s) FROM (SELECT id, bench.execute_score(%L, %s, l) AS score FROM %s AS l) AS s',
			   p_checksum, p_set, p_size, p_leads)
	ELSE
		format('SELECT sum(%s) FROM (SELECT id, leadscore.score(%L, l) AS score FROM %s AS l) AS s',
			   p_checksum, format('%s_%s', p_set, p_size), p_leads)
	END;

CREATE PROCEDURE bench.enter(p_race text, p_name text, p_set text, p_size integer, p_workers integer,
							 p_jit text, p_rows integer, p_rounds integer, p_query text, p_expect numeric)
LANGUAGE sql
BEGIN ATOMIC
	INSERT INTO bench.contender (race, name, set, size, workers, jit, rows, rounds, query, expect)
	VALUES (p_race, p_name, p_set, p_size, p_workers, p_jit, p_rows, p_rounds, p_query, p_expect);
END;

CREATE PROCEDURE bench.use_settings(p_workers integer, p_jit text)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('max_parallel_workers_per_gather', p_workers::text, false),
			set_config('parallel_setup_cost', '0', false),
			set_config('parallel_tuple_cost', '0', false),
			set_config('jit', CASE p_jit WHEN 'off' THEN 'off' ELSE 'on' END, false),
			set_config('jit_above_cost', '0', false),
			set_config('jit_inline_above_cost', CASE p_jit WHEN 'full' THEN '0' ELSE '-1' END, false),
			set_config('jit_optimize_above_cost', CASE p_jit WHEN 'full' THEN '0' ELSE '-1' END, false);
END $$;

-- One set in one size: do all contenders give the same answer?  Then enter
-- them into the race "SET SIZE".  The comparison also warms everything up.
CREATE PROCEDURE bench.enter_set(p_set text, p_size integer)
LANGUAGE plpgsql AS $$
DECLARE
	o bench.option;
	race text := format('%s %s', p_set, p_size);
	rounds integer;
	name text;
	n integer;
	answer numeric;
	expected numeric;
	t timestamptz;
BEGIN
	SELECT * INTO o FROM bench.option;
	rounds := least(o.rounds, CASE p_size WHEN 21 THEN CASE p_set WHEN 'mixed' THEN 5 ELSE 7 END WHEN 1000 THEN 5 ELSE 3 END);
	CALL bench.use_settings(0, 'off');
	CALL bench.make_join_table(p_set, p_size);

	FOREACH name IN ARRAY ARRAY['b', 'c', 'd', 'd_execute'] LOOP
		CONTINUE WHEN name = 'd_execute' AND p_size <> 21;
		n := bench.rows_for(name, p_size);
		EXECUTE bench.query(name, p_set, p_size, bench.leads(p_set, n), 'score * (id % 97)') INTO answer;
		EXECUTE bench.query('e', p_set, p_size, bench.leads(p_set), 'score * (id % 97)') || format(' WHERE id <= %s', n) INTO expected;
		IF answer IS DISTINCT FROM expected THEN
			RAISE 'the contenders disagree: set %, % rules, % leads: % says %, leadscore.score says %',
				p_set, p_size, n, name, answer, expected;
		END IF;
	END LOOP;

	FOR w IN 0..2 BY 2 LOOP
		FOREACH name IN ARRAY ARRAY['a', 'b', 'b_jit', 'b_jit_full', 'c', 'd', 'd_execute', 'e', 'e_jit'] LOOP
			CONTINUE WHEN name = 'b_jit_full' AND (p_size > 200 OR p_size > 21 AND w > 0);
			-- LLVM takes longer to compile 10 000 arms than the server to run them
			CONTINUE WHEN name = 'b_jit' AND p_size > 1000 AND (w > 0 OR p_set <> 'equality') AND NOT o.exhaustive;
			CONTINUE WHEN name = 'd_execute' AND (p_size > 21 OR w > 0);
			CONTINUE WHEN name = 'e_jit' AND w > 0;
			n := bench.rows_for(name, p_size);
			IF name = 'a' THEN
				expected := NULL;
			ELSE
				EXECUTE bench.query('e', p_set, p_size, bench.leads(p_set), 'score') || format(' WHERE id <= %s', n) INTO expected;
			END IF;
			CALL bench.enter(race, name, p_set, p_size, w,
							 CASE WHEN name LIKE '%full' THEN 'full' WHEN name LIKE '%jit' THEN 'on' ELSE 'off' END,
							 n, rounds, bench.query(name, p_set, p_size, bench.leads(p_set, n), 'score'), expected);
		END LOOP;
	END LOOP;
END $$;

-- The race "flat": score with every set in every size, and with as many
-- workers; these are to be compared with each other, so they take turns.
CREATE PROCEDURE bench.enter_flat(p_sets text[], p_sizes integer[])
LANGUAGE plpgsql AS $$
DECLARE
	o bench.option;
	s text;
	n integer;
	expected numeric;
BEGIN
	SELECT * INTO o FROM bench.option;
	CALL bench.use_settings(0, 'off');
	FOREACH s IN ARRAY p_sets LOOP
		FOREACH n IN ARRAY p_sizes LOOP
			EXECUTE bench.query('e', s, n, bench.leads(s), 'score') INTO expected;
			FOR w IN 0..2 BY 2 LOOP
				CALL bench.enter('flat', 'e', s, n, w, 'off', o.rows, o.rounds,
								 bench.query('e', s, n, bench.leads(s), 'score'), expected);
			END LOOP;
		END LOOP;
		FOR w IN 0..2 BY 2 LOOP
			CALL bench.enter('flat', 'a', s, 0, w, 'off', o.rows, o.rounds,
							 bench.query('a', s, 0, bench.leads(s), 'score'), NULL);
		END LOOP;
	END LOOP;
END $$;

-- The race "view": the template matrix over the table; over a view of it with
-- the columns in another order, some computed; over a view that joins a lookup
-- table; and the CASE over both views.
CREATE PROCEDURE bench.enter_view()
LANGUAGE plpgsql AS $$
DECLARE
	o bench.option;
	answer numeric;
	answers numeric[];
	query text;
	w integer;
	v record;
BEGIN
	SELECT * INTO o FROM bench.option;
	CREATE VIEW bench.lead_view AS
	SELECT webinar, position, created_at::date AS created_on, lower(email) AS email, company_size, knowledge_level,
		   purchase_motivation, decision_power, revenue / 1000 AS revenue_k, id
	FROM bench.lead;

	CREATE TABLE bench.country (code text PRIMARY KEY, region text NOT NULL);
	INSERT INTO bench.country SELECT DISTINCT country, 'region of ' || country FROM bench.lead WHERE country IS NOT NULL;
	ANALYZE bench.country;
	CREATE VIEW bench.lead_joined AS
	SELECT l.*, c.region FROM bench.lead AS l LEFT JOIN bench.country AS c ON c.code = l.country;

	CALL bench.make_model('view_plain', 'equality', 21, 'bench.lead', 'bench.lead_view');
	CALL bench.make_model('view_joined', 'equality', 21, 'bench.lead', 'bench.lead_joined');
	INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('view_joined', 'region', 'fit', 'best');
	INSERT INTO leadscore.rule (model, factor, condition, points) VALUES
		('view_joined', 'region', $q$region = 'region of DE'$q$, 7),
		('view_joined', 'region', $q$region = 'region of FR'$q$, 3);

	CALL bench.use_settings(0, 'off');
	FOR v IN
		WITH expression (plain, joined) AS (
			SELECT x, x || ' + CASE region WHEN ''region of DE'' THEN 7 WHEN ''region of FR'' THEN 3 ELSE 0 END'
			FROM bench.case_expression('equality', 21) AS x)
		SELECT name, model, relation, expression,
			   format('SELECT sum(leadscore.score(%L, l)) FROM %s AS l', model, relation) AS score_query,
			   format('SELECT sum(%s) FROM %s AS l', expression, relation) AS case_query,
			   format('SELECT sum(leadscore.score(%L, l) * (id %% 97)) FROM %s AS l', model, relation) AS score_check,
			   format('SELECT sum((%s) * (id %% 97)) FROM %s AS l', expression, relation) AS case_check
		FROM expression,
			 LATERAL (VALUES ('table', 'equality_21', 'bench.lead', plain),
							 ('view', 'view_plain', 'bench.lead_view', plain),
							 ('joined', 'view_joined', 'bench.lead_joined', joined)) AS r (name, model, relation, expression)
	LOOP
		answers := '{}';
		FOREACH query IN ARRAY ARRAY[v.score_check, v.case_check, v.score_query] LOOP
			EXECUTE query INTO answer;
			answers := answers || answer;
		END LOOP;
		IF answers[1] IS DISTINCT FROM answers[2] THEN
			RAISE 'the contenders disagree over %: leadscore.score says %, CASE %', v.relation, answers[1], answers[2];
		END IF;
		FOR w IN 0..2 BY 2 LOOP
			CALL bench.enter('view', 'e ' || v.name, 'equality', 21, w, 'off', o.rows, o.rounds, v.score_query, answers[3]);
			CALL bench.enter('view', 'a ' || v.name, 'equality', 21, w, 'off', o.rows, o.rounds,
							 bench.query('a', 'equality', 21, v.relation, 'score'), NULL);
			CALL bench.enter('view', 'b ' || v.name, 'equality', 21, w, 'off', o.rows, o.rounds, v.case_query, answers[3]);
		END LOOP;
	END LOOP;
END $$;

-- The race "toast": the lead table; the same table with a text of 6 000 bytes
-- per row, stored out of line, added as its last column; and with that text in
-- the midst of the scored columns, where every scan has to step over it.
CREATE PROCEDURE bench.enter_toast()
LANGUAGE plpgsql AS $$
DECLARE
	o bench.option;
	n integer;
	answer numeric;
	expected numeric;
	checked numeric;
	name text;
	w integer;
BEGIN
	SELECT * INTO o FROM bench.option;
	n := o.rows / 5;
	CREATE UNLOGGED TABLE bench.lead_short (LIKE bench.lead INCLUDING INDEXES);
	CREATE UNLOGGED TABLE bench.lead_toast (LIKE bench.lead INCLUDING INDEXES, notes text);
	CREATE UNLOGGED TABLE bench.lead_toast_amid (
		id bigint PRIMARY KEY, email text, company_size text, knowledge_level text, purchase_motivation text,
		notes text, decision_power text, position text, webinar text, title text, country text,
		employees integer, revenue numeric(12,2), postal_code integer, page_views integer, last_visit date, created_at timestamptz, custom jsonb);
	ALTER TABLE bench.lead_toast ALTER COLUMN notes SET STORAGE EXTERNAL;
	ALTER TABLE bench.lead_toast_amid ALTER COLUMN notes SET STORAGE EXTERNAL;
	INSERT INTO bench.lead_short SELECT * FROM bench.lead WHERE id <= n;
	INSERT INTO bench.lead_toast SELECT *, left(repeat(md5(id::text), 188), 6000) FROM bench.lead_short;
	INSERT INTO bench.lead_toast_amid
	SELECT id, email, company_size, knowledge_level, purchase_motivation, notes, decision_power, position, webinar,
		   title, country, employees, revenue, postal_code, page_views, last_visit, created_at, custom
	FROM bench.lead_toast;
	IF EXISTS (SELECT FROM pg_class
			   WHERE oid IN ('bench.lead_toast'::regclass, 'bench.lead_toast_amid'::regclass) AND
					 pg_relation_size(reltoastrelid) < n * 6000::bigint) THEN
		RAISE 'the text is not out of line';
	END IF;
	ANALYZE bench.lead_short, bench.lead_toast, bench.lead_toast_amid;

	CALL bench.use_settings(0, 'off');
	SELECT sum(leadscore.score('equality_21', l)), sum(leadscore.score('equality_21', l) * (id % 97))
	INTO expected, checked
	FROM bench.lead AS l WHERE id <= n;
	FOREACH name IN ARRAY ARRAY['short', 'toast', 'toast_amid'] LOOP
		EXECUTE format('ALTER TABLE bench.lead_%s SET (autovacuum_enabled = off, parallel_workers = 2)', name);
		CALL bench.make_model(name, 'equality', 21, format('bench.lead_%s', name));
		EXECUTE format('SELECT sum(leadscore.score(%L, l) * (id %% 97)) FROM bench.lead_%s AS l', name, name) INTO answer;
		IF answer IS DISTINCT FROM checked THEN
			RAISE 'leadscore.score says % on lead_%, % on lead', answer, name, checked;
		END IF;
		FOR w IN 0..2 BY 2 LOOP
			-- a short race: more rounds
			CALL bench.enter('toast', 'a ' || name, 'equality', 21, w, 'off', n, 3 * o.rounds,
							 bench.query('a', 'equality', 21, 'bench.lead_' || name, 'score'), NULL);
			CALL bench.enter('toast', 'b ' || name, 'equality', 21, w, 'off', n, 3 * o.rounds,
							 bench.query('b', 'equality', 21, 'bench.lead_' || name, 'score'), expected);
			CALL bench.enter('toast', 'e ' || name, 'equality', 21, w, 'off', n, 3 * o.rounds,
							 format('SELECT sum(leadscore.score(%L, l)) FROM bench.lead_%s AS l', name, name), expected);
		END LOOP;
	END LOOP;
END $$;

-- Run a race: in every round each contender once, in turns from the first to
-- the last and from the last to the first.  Round 0 warms up and does not count.
CREATE PROCEDURE bench.run_race(p_race text)
LANGUAGE plpgsql AS $$
DECLARE
	c record;
	started timestamptz;
	stopped timestamptz;
	cpu double precision;
	answer numeric;
BEGIN
	FOR round IN 0..(SELECT max(rounds) FROM bench.contender WHERE race = p_race) LOOP
		FOR c IN
			SELECT * FROM bench.contender
			WHERE race = p_race AND rounds >= round AND NOT (round = 0 AND name LIKE ANY ('{b%,d%}'))
			ORDER BY CASE WHEN round % 2 = 0 THEN -id ELSE id END
		LOOP
			CALL bench.use_settings(c.workers, c.jit);
			cpu := bench.cpu();
			started := clock_timestamp();
			EXECUTE c.query INTO answer;
			stopped := clock_timestamp();
			cpu := bench.cpu() - cpu;
			IF answer IS DISTINCT FROM c.expect AND c.expect IS NOT NULL THEN
				RAISE 'race %: % (% workers) says %, expected was %', p_race, c.name, c.workers, answer, c.expect;
			END IF;
			IF round > 0 THEN
				INSERT INTO bench.sample
				VALUES (c.id, round, extract(epoch FROM stopped - started), CASE WHEN c.workers = 0 THEN cpu END);
			END IF;
			COMMIT;
		END LOOP;
	END LOOP;
END $$;

-- What a new connection pays for its first score; to be called right after
-- connecting.  The row has been read before, so what is left is ours: the
-- library, the catalog entries, and the rulebook.
CREATE PROCEDURE bench.time_build(p_set text, p_size integer)
LANGUAGE plpgsql AS $$
DECLARE
	query text := format('SELECT leadscore.score(%L, l) FROM %s AS l WHERE id = 1', format('%s_%s', p_set, p_size), bench.leads(p_set));
	started timestamptz;
	cpu double precision;
	ms double precision[];
	cpu_ms double precision[];
BEGIN
	EXECUTE format('SELECT * FROM %s WHERE id = 1', bench.leads(p_set));
	PERFORM bench.cpu();
	FOR i IN 1..2 LOOP
		cpu := bench.cpu();
		started := clock_timestamp();
		EXECUTE query;
		ms[i] := 1000 * extract(epoch FROM clock_timestamp() - started);
		cpu_ms[i] := 1000 * (bench.cpu() - cpu);
		COMMIT;
	END LOOP;
	INSERT INTO bench.build VALUES (p_set, p_size, ms[1] - ms[2], cpu_ms[1] - cpu_ms[2]);
END $$;
