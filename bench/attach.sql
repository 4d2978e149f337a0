-- bench/attach.sql: what an attached model costs the application's writes.
--
-- Needs bench.lead, bench.rule and stopwatch.sql.
--
-- The tables are logged, other than bench.lead, since here the writing counts.

CREATE FUNCTION bench.insert_rows() RETURNS integer
LANGUAGE sql STABLE
RETURN least((SELECT count(*) FROM bench.lead), 300000);

-- The columns of a lead; the tables have four more, to be written back to.
CREATE FUNCTION bench.lead_columns() RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = 'bench.lead'::regclass AND attnum > 0;
END;

CREATE PROCEDURE bench.make_leads(p_name text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE bench.lead_%s (LIKE bench.lead INCLUDING INDEXES,
						lead_score integer, lead_temperature text, lead_grade text, lead_stage text)
					WITH (autovacuum_enabled = off)', p_name);
END $$;


-- ---- ours -------------------------------------------------------------------

-- The template matrix, attached.  With write-back the trigger sets the four
-- columns of the lead's own row as well.
CREATE PROCEDURE bench.attach_to(p_name text, p_write_back boolean DEFAULT false)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM leadscore.load_template('b2b_webinar', p_name, format('bench.lead_%s', p_name)::regclass);
	IF p_write_back THEN
		PERFORM leadscore.attach(p_name, true, 'lead_score', 'lead_temperature', 'lead_grade', 'lead_stage');
	ELSE
		PERFORM leadscore.attach(p_name);
	END IF;
END $$;

CALL bench.make_leads('plain');
CALL bench.make_leads('ours');
CALL bench.make_leads('write_back');
CALL bench.attach_to('ours');
CALL bench.attach_to('write_back', true);


-- ---- the same by hand -------------------------------------------------------

-- A row trigger in PL/pgSQL that keeps a table of the same width, with the same
-- indexes, and adds to a history, likewise.  The same matrix as CASE, one
-- expression per axis; no reading of rules, no list of those that spoke, no
-- errors to be caught.  Of the forms tried, this is the fastest.

CREATE FUNCTION bench.points_expression(p_axis text, p_row text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT string_agg(expression, ' + ' ORDER BY first)
	FROM (SELECT min(no) AS first,
				 format('CASE %s.%I ', p_row, min(field)) ||
				 string_agg(format('WHEN %L THEN %s', value, points), ' ' ORDER BY no) || ' ELSE 0 END' AS expression
		  FROM bench.rule
		  WHERE set = 'equality' AND no <= 21 AND (factor = 'webinar') = (p_axis = 'engagement')
		  GROUP BY factor) AS f;
END;

-- The columns of a state, and what they are, from the totals of the two axes.
CREATE FUNCTION bench.state_values(p_key text, p_fit text, p_engagement text, OUT name text, OUT value text, OUT changes boolean)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
	SELECT v.name, replace(replace(replace(v.value, '$key', p_key), '$fit', p_fit), '$engagement', p_engagement), v.changes
	FROM (VALUES
		('lead_key', '$key', false),
		('fit', '$fit', true),
		('engagement_points', '$engagement', true),
		('score_bound', '$fit + $engagement', true),
		('scored_at', 'now()', true),
		('rules_version', '1', true),
		('stage_since', 'now()', false),
		('next_change_at', 'NULL', false),
		('score', '$fit + $engagement', true),
		('stage', '''lead''', false),
		('disqualified', 'false', false),
		('has_problem', 'false', false),
		('lead_exists', 'true', false),
		('fading', 'false', false),
		('consent', 'true', false),
		('temperature', 'CASE WHEN $fit + $engagement >= 50 THEN ''hot'' WHEN $fit + $engagement >= 25 THEN ''warm'' ELSE ''cold'' END', true),
		('grade', 'CASE WHEN $fit >= 40 THEN ''A'' WHEN $fit >= 20 THEN ''B'' WHEN $fit >= 0 THEN ''C'' ELSE ''D'' END || '
				  'CASE WHEN $engagement >= 30 THEN ''1'' WHEN $engagement >= 20 THEN ''2'' WHEN $engagement >= 5 THEN ''3'' ELSE ''4'' END', true),
		('announced', 'CASE WHEN $fit + $engagement >= 50 THEN ''hot'' WHEN $fit + $engagement >= 25 THEN ''warm'' ELSE ''cold'' END', true),
		('history_at', 'now()', true),
		('rearmed', '0', false),
		('stage_settled', 'true', false),
		('channel', 'NULL', false)) AS v (name, value, changes);
END;

-- The row of history of a lead; from_... of the totals it had, if it had any.
CREATE FUNCTION bench.history_insertion(p_history text, p_fit text, p_engagement text, p_from_fit text, p_from_engagement text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT format($q$INSERT INTO %s (at, xact, xact_order, recorded_at, model, lead_key, cause, automatic, listed,
						from_stage, to_stage, from_temperature, temperature, from_grade, grade, from_score, score,
						fit, engagement, disqualified, announced, rules_version, changed_by)
					 VALUES (statement_timestamp(), pg_current_xact_id(), nextval('bench.history_number'), clock_timestamp(), 'b2b', NEW.id, 'row', false, true,
						%s, 'lead', %s, %s, %s, %s, %s, %s, %s, %s, false, %7$s, 1, session_user)$q$,
				  p_history,
				  CASE WHEN p_from_fit IS NULL THEN 'NULL' ELSE '''lead''' END,
				  CASE WHEN p_from_fit IS NULL THEN 'NULL' ELSE max(v.value) FILTER (WHERE v.name = 'temperature' AND v.before) END,
				  max(v.value) FILTER (WHERE v.name = 'temperature' AND NOT v.before),
				  CASE WHEN p_from_fit IS NULL THEN 'NULL' ELSE max(v.value) FILTER (WHERE v.name = 'grade' AND v.before) END,
				  max(v.value) FILTER (WHERE v.name = 'grade' AND NOT v.before),
				  CASE WHEN p_from_fit IS NULL THEN 'NULL' ELSE max(v.value) FILTER (WHERE v.name = 'score' AND v.before) END,
				  max(v.value) FILTER (WHERE v.name = 'score' AND NOT v.before),
				  p_fit, p_engagement)
	FROM (SELECT false AS before, n.name, n.value FROM bench.state_values('', p_fit, p_engagement) AS n
		  UNION ALL
		  SELECT true, o.name, o.value FROM bench.state_values('', coalesce(p_from_fit, ''), coalesce(p_from_engagement, '')) AS o) AS v;
END;

CREATE SEQUENCE bench.history_number;

-- p_upsert: INSERT ... ON CONFLICT DO UPDATE whatever happened to the lead;
-- else INSERT or UPDATE, as the operation is.
CREATE PROCEDURE bench.make_trigger(p_name text, p_upsert boolean)
LANGUAGE plpgsql AS $$
DECLARE
	state text := format('bench.%s_state', p_name);
	history text := format('bench.%s_history', p_name);
	insertion text;
	body text;
BEGIN
	CALL bench.make_leads(p_name);
	EXECUTE format('CREATE TABLE %s (LIKE leadscore.history_default INCLUDING INDEXES) WITH (autovacuum_enabled = off)', history);
	EXECUTE format('CREATE TABLE %s (LIKE leadscore.ours_state INCLUDING INDEXES) WITH (fillfactor = 90, autovacuum_enabled = off)', state);
	SELECT format('INSERT INTO %s (%s) VALUES (%s)', state, string_agg(name, ', '), string_agg(value, ', '))
	INTO insertion
	FROM bench.state_values('NEW.id', 'by_fit', 'by_engagement');
	IF p_upsert THEN
		SELECT insertion || ' ON CONFLICT (lead_key) DO UPDATE SET ' || string_agg(format('%s = excluded.%1$s', name), ', ')
		INTO body
		FROM bench.state_values('', '', '') WHERE changes;
	ELSE
		SELECT format('IF TG_OP = ''INSERT'' THEN %s; ELSE UPDATE %s SET %s WHERE lead_key = NEW.id; END IF', insertion, state,
					  string_agg(format('%s = %s', name, value), ', '))
		INTO body
		FROM bench.state_values('', 'by_fit', 'by_engagement') WHERE changes;
	END IF;
	EXECUTE format('CREATE FUNCTION bench.%s() RETURNS trigger LANGUAGE plpgsql AS %L', p_name,
				   format($q$DECLARE by_fit integer := %s; by_engagement integer := %s; from_fit integer; from_engagement integer;
						 BEGIN
							%s;
							IF TG_OP = 'INSERT' THEN
								%s;
							ELSE
								from_fit := %s; from_engagement := %s;
								IF (%s) IS DISTINCT FROM (%s) THEN
									%s;
								END IF;
							END IF;
							RETURN NULL;
						 END$q$,
						  bench.points_expression('fit', 'NEW'), bench.points_expression('engagement', 'NEW'), body,
						  bench.history_insertion(history, 'by_fit', 'by_engagement', NULL, NULL),
						  bench.points_expression('fit', 'OLD'), bench.points_expression('engagement', 'OLD'),
						  (SELECT string_agg(value, ', ' ORDER BY name) FROM bench.state_values('', 'by_fit', 'by_engagement') WHERE name IN ('fit', 'temperature', 'grade')),
						  (SELECT string_agg(value, ', ' ORDER BY name) FROM bench.state_values('', 'from_fit', 'from_engagement') WHERE name IN ('fit', 'temperature', 'grade')),
						  bench.history_insertion(history, 'by_fit', 'by_engagement', 'from_fit', 'from_engagement')));
	EXECUTE format('CREATE TRIGGER score AFTER INSERT OR UPDATE OF id, %s ON bench.lead_%s FOR EACH ROW EXECUTE FUNCTION bench.%s()',
				   (SELECT string_agg(DISTINCT field, ', ') FROM bench.rule WHERE set = 'equality' AND no <= 21), p_name, p_name);
END $$;

CALL bench.make_trigger('upsert', true);
CALL bench.make_trigger('by_operation', false);


-- ---- all leads at once ------------------------------------------------------

-- One table for the first scoring of all leads and for scoring them again.  To
-- the template comes a rule that 1 % of the leads match: the one to be edited.
CREATE PROCEDURE bench.make_all_leads()
LANGUAGE plpgsql AS $$
BEGIN
	CALL bench.make_leads('all');
	EXECUTE format('INSERT INTO bench.lead_all (%s) SELECT * FROM bench.lead', bench.lead_columns());
	PERFORM leadscore.load_template('b2b_webinar', 'all', 'bench.lead_all');
	INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('all', 'region', 'fit', 'best');
	INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('all', 'region', 'postal_code BETWEEN 1000 AND 2052', 4);
END $$;

-- The first scoring by hand.
CREATE FUNCTION bench.create_table_as() RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT format('CREATE TABLE bench.all_state WITH (fillfactor = 90, autovacuum_enabled = off) AS
				   SELECT %s
				   FROM (SELECT l.id, %s + CASE WHEN l.postal_code BETWEEN 1000 AND 2052 THEN %s ELSE 0 END AS by_fit, %s AS by_engagement
						 FROM bench.lead_all AS l OFFSET 0) AS l',
				  string_agg(format('CAST(%s AS %s) AS %s', value, format_type(atttypid, atttypmod), name), ', ' ORDER BY attnum),
				  bench.points_expression('fit', 'l'),
				  (SELECT points FROM leadscore.rule WHERE model = 'all' AND factor = 'region'),
				  bench.points_expression('engagement', 'l'))
	FROM bench.state_values('l.id', 'by_fit', 'by_engagement'), pg_attribute
	WHERE attrelid = 'leadscore.ours_state'::regclass AND attname = name;
END;


-- ---- races ------------------------------------------------------------------

-- Do the contenders say the same of each lead?
CREATE PROCEDURE bench.compare_states(p_states text[])
LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	expected text;
	state text;
BEGIN
	FOREACH state IN ARRAY p_states LOOP
		EXECUTE format($q$SELECT format('%%s leads, checksum %%s', count(*),
							sum(hashtextextended(concat_ws(' ', lead_key, fit, engagement_points, score, temperature, grade, stage), 0)))
						FROM %s$q$, state) INTO answer;
		expected := coalesce(expected, answer);
		IF answer <> expected THEN
			RAISE 'the contenders disagree: % has %, % has %', state, answer, p_states[1], expected;
		END IF;
	END LOOP;
END $$;

-- Does the lead's own row say what its state says?
CREATE PROCEDURE bench.compare_written_back()
LANGUAGE plpgsql AS $$
DECLARE
	differing bigint;
BEGIN
	SELECT count(*) INTO differing
	FROM bench.lead_write_back AS l LEFT JOIN leadscore.write_back_state AS s ON s.lead_key = l.id
	WHERE (l.lead_score, l.lead_temperature, l.lead_grade, l.lead_stage) IS DISTINCT FROM (s.score, s.temperature, s.grade, s.stage::text);
	IF differing > 0 THEN
		RAISE '% leads were written back other than scored', differing;
	END IF;
END $$;

-- Where a contender whose leads are in bench.lead_<name> has their states.
CREATE FUNCTION bench.state_of(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN p_name IN ('ours', 'write_back') THEN 'leadscore.' || p_name || '_state'
			WHEN p_name IN ('upsert', 'by_operation') THEN 'bench.' || p_name || '_state' END;

-- Ours is only ever added to, unless somebody sees to it that it is not.
CREATE FUNCTION bench.clear_history(p_name text) RETURNS text[]
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN p_name IN ('ours', 'write_back', 'all')
				THEN ARRAY['ALTER TABLE leadscore.history_default DISABLE TRIGGER history_guard_statement', 'TRUNCATE leadscore.history_default',
						   'ALTER TABLE leadscore.history_default ENABLE ALWAYS TRIGGER history_guard_statement']
			WHEN p_name IN ('upsert', 'by_operation') THEN ARRAY[format('TRUNCATE bench.%s_history', p_name)]
			ELSE '{}' END;

CREATE FUNCTION bench.clear(p_name text) RETURNS text[]
LANGUAGE sql IMMUTABLE
RETURN array_remove(ARRAY['TRUNCATE ' || bench.state_of(p_name), 'TRUNCATE bench.lead_' || p_name], NULL) || bench.clear_history(p_name);

CREATE FUNCTION bench.fill(p_name text) RETURNS text
LANGUAGE sql
RETURN format('INSERT INTO bench.lead_%s (%s) SELECT * FROM %s', p_name, bench.lead_columns(), bench.leads('equality', bench.insert_rows()));

-- The room of dead rows is used again: each update finds the table as large as
-- the one before.
CREATE FUNCTION bench.vacuum(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'VACUUM (TRUNCATE false) bench.lead_' || p_name || coalesce(', ' || bench.state_of(p_name), '');

-- Enter the races in which leads are written.
CREATE PROCEDURE bench.enter_writers(p_copy_file text)
LANGUAGE plpgsql AS $$
DECLARE
	c text;
BEGIN
	EXECUTE format('COPY %s TO %L', bench.leads('equality', bench.insert_rows()), p_copy_file);
	FOREACH c IN ARRAY ARRAY['plain', 'ours', 'write_back', 'upsert', 'by_operation'] LOOP
		CALL bench.enter_writer('insert', c, bench.clear(c), ARRAY[bench.fill(c)]);
		CALL bench.enter_writer('copy', c, bench.clear(c),
								ARRAY[format('COPY bench.lead_%s (%s) FROM %L', c, bench.lead_columns(), p_copy_file)]);
		CALL bench.enter_writer('update scored', c, ARRAY[bench.vacuum(c)],
								ARRAY[format($q$UPDATE bench.lead_%s SET webinar = CASE webinar WHEN 'attended' THEN 'not registered' ELSE 'attended' END$q$, c)]);
		IF c NOT IN ('upsert', 'by_operation') THEN
			CALL bench.enter_writer('update other', c, ARRAY[bench.vacuum(c)],
									ARRAY[format('UPDATE bench.lead_%s SET page_views = coalesce(page_views, 0) + 1', c)]);
		END IF;
	END LOOP;
END $$;

-- Enter the races in which all leads are scored.
CREATE PROCEDURE bench.enter_all()
LANGUAGE plpgsql AS $$
DECLARE
	-- the history is one for all models: a table that is there, with its indexes
	history text := 'INSERT INTO bench.all_history (at, xact, xact_order, recorded_at, model, lead_key, cause, automatic, listed, to_stage, temperature,
							grade, score, fit, engagement, disqualified, rules_version, changed_by)
					 SELECT now(), pg_current_xact_id(), nextval(''bench.history_number''), clock_timestamp(), ''b2b'', lead_key, ''attach'', false, true, stage,
							temperature, grade, score, fit, engagement_points, disqualified, rules_version, session_user FROM bench.all_state';
	by_hand text[] := ARRAY['BEGIN', bench.create_table_as(), 'ALTER TABLE bench.all_state ADD PRIMARY KEY (lead_key)',
							'CREATE INDEX ON bench.all_state (next_change_at) WHERE next_change_at IS NOT NULL',
							'CREATE INDEX ON bench.all_state (score_bound) WHERE score_bound IS NOT NULL'];
BEGIN
	CREATE TABLE bench.all_history (LIKE leadscore.history_default INCLUDING INDEXES) WITH (autovacuum_enabled = off);
	CALL bench.enter_writer('backfill', 'ours', ARRAY[$q$SELECT leadscore.detach('all')$q$] || bench.clear_history('all'), ARRAY[$q$SELECT leadscore.attach('all')$q$]);
	CALL bench.enter_writer('backfill', 'table', ARRAY['DROP TABLE IF EXISTS bench.all_state', 'TRUNCATE bench.all_history', 'SET jit = off'], by_hand || history || 'COMMIT'::text);
	CALL bench.enter_writer('backfill', 'table_jit', ARRAY['DROP TABLE IF EXISTS bench.all_state', 'TRUNCATE bench.all_history', 'SET jit = on'], by_hand || history || 'COMMIT'::text);
	CALL bench.enter_writer('backfill', 'no_history', ARRAY['DROP TABLE IF EXISTS bench.all_state', 'SET jit = off'], by_hand || 'COMMIT'::text);

	CALL bench.enter_writer('rescore', 'ours',
							ARRAY['VACUUM (TRUNCATE false) leadscore.all_state',
								  $q$UPDATE leadscore.rule SET points = 12 - points WHERE model = 'all' AND factor = 'region'$q$],
							ARRAY[$q$CALL leadscore.rescore('all')$q$]);
	CALL bench.enter_writer('rescore', 'rewrite', ARRAY['VACUUM (TRUNCATE false) bench.all_state'],
							ARRAY['UPDATE bench.all_state SET fit = fit + 1, score = score + 1, scored_at = now(), rules_version = rules_version + 1']);
END $$;

-- Both tables as the first scoring leaves them.
CREATE PROCEDURE bench.prepare_rescore()
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM leadscore.attach('all', to_regclass('leadscore.all_state') IS NULL);
	IF to_regclass('bench.all_state') IS NULL THEN
		EXECUTE bench.create_table_as();
		ALTER TABLE bench.all_state ADD PRIMARY KEY (lead_key);
		CREATE INDEX ON bench.all_state (next_change_at) WHERE next_change_at IS NOT NULL;
		CREATE INDEX ON bench.all_state (score_bound) WHERE score_bound IS NOT NULL;
	END IF;
END $$;

-- Did the rescore do what it should, to as many leads as it should?
CREATE PROCEDURE bench.check_rescore()
LANGUAGE plpgsql AS $$
DECLARE
	part double precision;
BEGIN
	SELECT written::double precision / seen INTO STRICT part FROM leadscore.rescore_progress WHERE model = 'all';
	IF part NOT BETWEEN 0.009 AND 0.011 THEN
		RAISE 'the rescore wrote % %% of the states', round(100 * part::numeric, 2);
	END IF;
	DROP TABLE bench.all_state;
	EXECUTE bench.create_table_as();
	CALL bench.compare_states('{leadscore.all_state, bench.all_state}');
END $$;


-- ---- one row per transaction ------------------------------------------------

CREATE SEQUENCE bench.lead_number START 100000000;
