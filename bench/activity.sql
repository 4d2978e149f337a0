-- bench/activity.sql: what it costs that events of leads are counted, and what
-- one gets for it.
--
-- psql variables: events and event_leads (to be taken in), hot_leads,
-- rebuild_events, long_leads (with 100 000 events each).  Needs stopwatch.sql.
--
-- The tables are logged, as in attach.sql.

CREATE TABLE bench.activity_option AS
SELECT :events AS events, :event_leads AS event_leads, :hot_leads AS hot_leads, :rebuild_events AS rebuild_events, :long_leads AS long_leads,
	   date_trunc('second', clock_timestamp()) AS loaded_at;

CREATE FUNCTION bench.activity_options() RETURNS bench.activity_option
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT o.events, o.event_leads, o.hot_leads, o.rebuild_events, o.long_leads, o.loaded_at FROM bench.activity_option AS o;
END;

-- The one list of rules that all contenders are made from.
CREATE TABLE bench.activity_rule (
	no integer PRIMARY KEY, kind text, points double precision, half_life interval,
	at_least integer, within interval, at_most integer
);
INSERT INTO bench.activity_rule VALUES
	(1, 'visit', 1, '7 days', NULL, NULL, NULL),
	(2, 'click', 2, '14 days', NULL, NULL, NULL),
	(3, 'mail', 1, '10 days', NULL, NULL, NULL),
	(4, 'download', 5, '30 days', NULL, NULL, NULL),
	(5, 'chat', 8, '60 days', NULL, NULL, NULL),
	(6, 'pricing', 15, NULL, 2, '21 days', NULL),
	(7, 'webinar', 5, NULL, NULL, NULL, 3);

-- What kind of event: visits are the most.
CREATE FUNCTION bench.kind(p double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['visit', 'click', 'mail', 'download', 'chat', 'pricing', 'webinar'])[1 + width_bucket(p, ARRAY[0.40, 0.65, 0.80, 0.88, 0.93, 0.97])];

CREATE FUNCTION bench.fit(company_size text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE company_size WHEN 'large' THEN 30 WHEN 'medium' THEN 20 WHEN 'small' THEN 5 ELSE 0 END;

-- The same rules as SQL aggregates over the events of a lead.  By hand one would
-- count with exp(), since power() takes several times as long.
CREATE FUNCTION bench.faded_points(p_at text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT format('sum(CASE kind %s ELSE 0 END)',
				  string_agg(format('WHEN %L THEN %s * exp(date_part(''epoch'', occurred_at - %s) * %s)',
									kind, points, p_at, ln(2) / date_part('epoch', half_life)), ' ' ORDER BY no))
	FROM bench.activity_rule WHERE half_life IS NOT NULL;
END;

CREATE FUNCTION bench.points(p_at text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT bench.faded_points(p_at) || ' + ' ||
		   string_agg(CASE WHEN at_least IS NOT NULL THEN
							format('CASE WHEN count(*) FILTER (WHERE kind = %L AND occurred_at > %s - interval %L) >= %s THEN %s ELSE 0 END',
								   kind, p_at, within, at_least, points)
						   ELSE format('%s * least(count(*) FILTER (WHERE kind = %L), %s)', points, kind, at_most) END, ' + ' ORDER BY no)
	FROM bench.activity_rule WHERE half_life IS NULL;
END;

-- Leads and events of a contender.
CREATE PROCEDURE bench.make_events(p_name text, p_leads integer, p_indexed boolean DEFAULT true)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE bench.%I (id bigint PRIMARY KEY, company_size text, email text, score double precision, scored_at timestamptz)
					WITH (fillfactor = 90, autovacuum_enabled = off)', p_name || '_lead');
	EXECUTE format('CREATE TABLE bench.%I (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead_id bigint NOT NULL, kind text NOT NULL,
						url text, occurred_at timestamptz NOT NULL) WITH (autovacuum_enabled = off, parallel_workers = 2)', p_name || '_event');
	IF p_indexed THEN
		EXECUTE format('CREATE INDEX ON bench.%I (lead_id)', p_name || '_event');
	END IF;
	EXECUTE bench.fill_leads(p_name, p_leads);
END $$;

CREATE FUNCTION bench.fill_leads(p_name text, p_leads integer) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN format('INSERT INTO bench.%I SELECT id, (ARRAY[''large'', ''medium'', ''medium'', ''small'', ''small''])[1 + id %% 7],
				''lead'' || id || ''@example.com'', 0 FROM generate_series(1, %s) AS id', p_name || '_lead', p_leads);

-- The model of that name over them.
CREATE PROCEDURE bench.make_activity_model(p_name text)
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO leadscore.model (name, target) VALUES (p_name, format('bench.%I', p_name || '_lead')::regclass);
	INSERT INTO leadscore.factor (model, name, axis) VALUES (p_name, 'company_size', 'fit'), (p_name, 'activity', 'engagement');
	INSERT INTO leadscore.rule (model, factor, condition, points)
	SELECT p_name, 'company_size', format('company_size = %L', size), bench.fit(size)
	FROM unnest('{large, medium, small}'::text[]) AS size;
	INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at)
	VALUES (p_name, 'event', format('bench.%I', p_name || '_event')::regclass, 'lead_id', 'occurred_at');
	INSERT INTO leadscore.rule (model, factor, activity, condition, points, half_life, at_least, within, at_most)
	SELECT p_name, 'activity', 'event', format('kind = %L', kind), points, half_life, at_least, within, at_most
	FROM bench.activity_rule ORDER BY no;
END $$;

-- How many leads have another score than the plain SQL gives for the same
-- moment?  p_leads: a query of id, raw (unrounded) and at.
CREATE PROCEDURE bench.compare_scores(p_name text, p_leads text)
LANGUAGE plpgsql AS $$
DECLARE
	differing bigint;
	leads bigint;
BEGIN
	EXECUTE format($q$
		WITH said AS MATERIALIZED (%s)
		SELECT count(*) FILTER (WHERE abs(said.raw - bench.fit(l.company_size) - coalesce(e.points, 0)) > 0.0101), count(*)
		FROM said JOIN bench.%I AS l USING (id)
			 LEFT JOIN (SELECT lead_id, %s AS points FROM bench.%I JOIN said ON said.id = lead_id WHERE occurred_at <= said.at GROUP BY lead_id) AS e
			 ON e.lead_id = l.id$q$, p_leads, p_name || '_lead', bench.points('said.at'), p_name || '_event') INTO differing, leads;
	IF differing > 0 OR leads = 0 THEN
		RAISE 'the contenders disagree: % of % leads of % are scored other than by plain SQL', differing, leads, p_name;
	END IF;
END $$;

-- The view cuts the engagement to two decimals.
CREATE FUNCTION bench.said_by_view(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN format('SELECT lead_key AS id, fit + engagement::double precision AS raw, statement_timestamp() AS at FROM leadscore.%I', p_name || '_scored');


-- ---- events taken in --------------------------------------------------------

-- In the order in which they happened, over 90 days.
CREATE UNLOGGED TABLE bench.event_data WITH (autovacuum_enabled = off) AS
SELECT 1 + floor(random() * event_leads)::bigint AS lead_id, bench.kind(random()) AS kind, '/page/' || (random() * 1000)::integer AS url,
	   loaded_at - (events - i) * (interval '90 days' / events) AS occurred_at
FROM bench.activity_option, generate_series(1, events) AS i;

CREATE FUNCTION bench.empty_events(p_name text) RETURNS text[]
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT array_remove(ARRAY[
			CASE p_name WHEN 'ingest' THEN 'SELECT leadscore.detach(''ingest'')' END,
			format('TRUNCATE bench.%I, bench.%I', p_name || '_lead', p_name || '_event'),
			bench.fill_leads(p_name, event_leads),
			format('VACUUM (ANALYZE) bench.%I', p_name || '_lead'),
			CASE p_name WHEN 'ingest' THEN 'SELECT leadscore.attach(''ingest'')' END], NULL)
	FROM bench.activity_option;
END;

CREATE FUNCTION bench.load_events(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN format('INSERT INTO bench.%I (lead_id, kind, url, occurred_at) SELECT * FROM bench.event_data', p_name || '_event');

-- The usual batch: all leads anew.
CREATE FUNCTION bench.batch(p_name text) RETURNS text
LANGUAGE sql STABLE
RETURN format('UPDATE bench.%I AS l SET score = bench.fit(company_size) + e.points, scored_at = now()
			   FROM (SELECT lead_id, %s AS points FROM bench.%I GROUP BY lead_id) AS e WHERE e.lead_id = l.id',
			  p_name || '_lead', bench.points('now()'), p_name || '_event');

-- The contenders: bare has no index to find a lead's events by, plain has one,
-- as the others have; ours; a trigger that reads the lead's history; plain, and
-- then the batch.
CREATE PROCEDURE bench.make_ingest()
LANGUAGE plpgsql AS $$
DECLARE
	c text;
BEGIN
	FOREACH c IN ARRAY ARRAY['bare', 'plain', 'ingest', 'trigger', 'nightly'] LOOP
		CALL bench.make_events(c, (bench.activity_options()).event_leads, c <> 'bare');
	END LOOP;
	CALL bench.make_activity_model('ingest');
	PERFORM leadscore.attach('ingest');
	EXECUTE format('CREATE FUNCTION bench.recompute() RETURNS trigger LANGUAGE plpgsql AS %L',
				   format('BEGIN
							UPDATE bench.trigger_lead SET score = bench.fit(company_size) + (SELECT %s FROM bench.trigger_event WHERE lead_id = NEW.lead_id),
								scored_at = now()
							WHERE id = NEW.lead_id;
							RETURN NULL;
						   END', bench.points('now()')));
	CREATE TRIGGER recompute AFTER INSERT ON bench.trigger_event FOR EACH ROW EXECUTE FUNCTION bench.recompute();
END $$;

CREATE PROCEDURE bench.enter_ingest(p_copy_file text)
LANGUAGE plpgsql AS $$
DECLARE
	c text;
	way text;
	load text;
BEGIN
	EXECUTE format('COPY bench.event_data TO %L', p_copy_file);
	FOREACH way IN ARRAY ARRAY['event insert', 'event copy'] LOOP
		FOREACH c IN ARRAY ARRAY['bare', 'plain', 'ingest', 'nightly', 'trigger'] LOOP
			CONTINUE WHEN way = 'event copy' AND c = 'trigger';		-- it takes minutes, which are the same
			load := CASE way WHEN 'event insert' THEN bench.load_events(c)
							 ELSE format('COPY bench.%I (lead_id, kind, url, occurred_at) FROM %L', c || '_event', p_copy_file) END;
			CALL bench.enter_writer(way, c, bench.empty_events(c),
									ARRAY[load] || CASE c WHEN 'nightly' THEN ARRAY[bench.batch(c)] ELSE '{}' END);
		END LOOP;
	END LOOP;
END $$;

-- Do the contenders say what plain SQL does?
CREATE PROCEDURE bench.check_ingest(p_made_by_hand text[])
LANGUAGE plpgsql AS $$
DECLARE
	c text;
BEGIN
	CALL bench.compare_scores('ingest', bench.said_by_view('ingest'));
	FOREACH c IN ARRAY p_made_by_hand LOOP
		CALL bench.compare_scores(c, format('SELECT id, score AS raw, scored_at AS at FROM bench.%I WHERE scored_at IS NOT NULL', c || '_lead'));
	END LOOP;
END $$;

-- What the events taken in one by one find: those of the bulk.
CREATE FUNCTION bench.refill_events(p_name text) RETURNS SETOF text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT unnest(bench.empty_events(p_name) ||
				  CASE p_name WHEN 'trigger' THEN ARRAY['ALTER TABLE bench.trigger_event DISABLE TRIGGER recompute'] ELSE '{}' END ||
				  bench.load_events(p_name) ||
				  CASE p_name WHEN 'trigger' THEN ARRAY[bench.batch('trigger'), 'ALTER TABLE bench.trigger_event ENABLE TRIGGER recompute'] ELSE '{}' END ||
				  format('VACUUM (ANALYZE) bench.%I, bench.%I', p_name || '_lead', p_name || '_event'));
END;


-- ---- a long history ---------------------------------------------------------

-- Leads 1 to long_leads have 100 000 events each, 1 000 others ten each.
CREATE PROCEDURE bench.make_history()
LANGUAGE plpgsql AS $$
DECLARE
	o bench.activity_option;
BEGIN
	SELECT * INTO o FROM bench.activity_option;
	CALL bench.make_events('history', 2000);
	INSERT INTO bench.history_event (lead_id, kind, url, occurred_at)
	SELECT CASE WHEN i <= o.long_leads * 100000 THEN 1 + i % o.long_leads ELSE 1000 + i % 1000 END, bench.kind(random()), '/page/1',
		   o.loaded_at - random() * interval '90 days'
	FROM generate_series(1, o.long_leads * 100000 + 10000) AS i;
	ANALYZE bench.history_event;
	CALL bench.make_activity_model('history');
	PERFORM leadscore.attach('history');
END $$;


-- ---- the hot list, and what is due ------------------------------------------

CREATE ROLE bench_hot;
CREATE ROLE bench_few;
GRANT USAGE ON SCHEMA bench, leadscore TO bench_hot, bench_few;
GRANT SELECT ON ALL TABLES IN SCHEMA leadscore TO bench_hot, bench_few;

CREATE TABLE bench.hot_sample (
	staleness double precision, round integer, seconds double precision, rows_read bigint, seq_scans bigint
);

-- Each belongs to a role of its own: advance() goes over what is the caller's.
CREATE PROCEDURE bench.make_hot(p_name text)
LANGUAGE plpgsql AS $$
BEGIN
	CALL bench.make_events(p_name, 1);
	EXECUTE format('ALTER TABLE bench.%I OWNER TO %I', p_name || '_lead', 'bench_' || p_name);
	EXECUTE format('ALTER TABLE bench.%I OWNER TO %I', p_name || '_event', 'bench_' || p_name);
	CALL bench.make_activity_model(p_name);
END $$;

-- Leads with four events each, more or less; the last happened p_age ago.  Leads
-- alike are what a hot list has most to do with: many are nearly as good as the
-- hundredth.
CREATE PROCEDURE bench.load_hot(p_name text, p_leads integer, p_age interval)
LANGUAGE plpgsql AS $$
DECLARE
	upto timestamptz := clock_timestamp() - p_age;
	size integer := 200000;
BEGIN
	PERFORM leadscore.detach(p_name);
	EXECUTE format('TRUNCATE bench.%I, bench.%I', p_name || '_lead', p_name || '_event');
	EXECUTE bench.fill_leads(p_name, p_leads);
	PERFORM leadscore.attach(p_name);
	COMMIT;
	FOR start IN 0..p_leads - 1 BY size LOOP
		EXECUTE format('INSERT INTO bench.%I (lead_id, kind, url, occurred_at)
						SELECT 1 + $1 + floor(random() * $2)::bigint, bench.kind(random()), ''/page/1'', $3 - random() * interval ''90 days''
						FROM generate_series(1, 4 * $2)', p_name || '_event')
		USING start, least(size, p_leads - start), upto;
		COMMIT;
	END LOOP;
	IF p_age > interval '0' THEN
		-- as it would be had the last of all this, an event or advance(), happened then
		EXECUTE format('UPDATE leadscore.%I SET next_change_at = $1, scored_at = $1', p_name || '_state') USING upto;
		COMMIT;
		EXECUTE format('SET ROLE %I', 'bench_' || p_name);
		CALL leadscore.advance(at => upto);
		RESET ROLE;
		EXECUTE format('SELECT max(scored_at) FROM leadscore.%I', p_name || '_state') INTO upto;
		IF clock_timestamp() - upto < p_age THEN
			RAISE 'the bounds are not as old as they should be';
		END IF;
	END IF;
END $$;

-- The hot list against sorting all leads by what the view says, and against
-- plain SQL.
CREATE PROCEDURE bench.check_hot_list(p_name text)
LANGUAGE plpgsql AS $$
DECLARE
	wrong bigint;
	n bigint;
BEGIN
	CREATE TEMP TABLE said ON COMMIT DROP AS
	SELECT lead_key::bigint AS id, fit + engagement AS raw, score, statement_timestamp() AS at FROM leadscore.hot_list(p_name, 100);
	EXECUTE format($q$
		SELECT count(*) FILTER (WHERE h.raw IS NULL OR v.raw IS NULL OR abs(h.raw - v.raw) > 0.0101 OR h.score <> v.score), count(*)
		FROM (SELECT raw, score, row_number() OVER (ORDER BY raw DESC) AS n FROM said) AS h
			 FULL JOIN (SELECT fit + engagement AS raw, score, row_number() OVER (ORDER BY score DESC, fit + engagement DESC) AS n
						FROM leadscore.%I ORDER BY score DESC, fit + engagement DESC LIMIT 100) AS v USING (n)$q$, p_name || '_scored') INTO wrong, n;
	IF wrong > 0 OR n <> 100 THEN
		RAISE 'the hot list of % is wrong in % of % places', p_name, wrong, n;
	END IF;
	CALL bench.compare_scores(p_name, 'SELECT id, raw, at FROM said');
END $$;

-- p_calls calls, the first of which opens what a session opens once.
CREATE PROCEDURE bench.time_hot_list(p_name text, p_staleness double precision, p_round integer, p_calls integer DEFAULT 21)
LANGUAGE plpgsql AS $$
DECLARE
	state oid := to_regclass('leadscore.' || quote_ident(p_name || '_state'));
	started timestamptz;
	before record;
	after record;
BEGIN
	FOR i IN 1..p_calls LOOP
		SELECT idx_tup_fetch, seq_scan INTO before FROM pg_stat_xact_all_tables WHERE relid = state;
		started := clock_timestamp();
		PERFORM count(*) FROM leadscore.hot_list(p_name, 100);
		IF i > 1 AND p_round > 0 THEN
			INSERT INTO bench.hot_sample
			SELECT p_staleness, p_round, extract(epoch FROM clock_timestamp() - started), t.idx_tup_fetch - before.idx_tup_fetch, t.seq_scan - before.seq_scan
			FROM pg_stat_xact_all_tables AS t WHERE relid = state;
		END IF;
	END LOOP;
END $$;

-- What one has without: a score stored by the batch, and an index on it.
CREATE PROCEDURE bench.make_stored_list(p_name text)
LANGUAGE plpgsql AS $$
BEGIN
	IF to_regclass('bench.stored_list') IS NOT NULL THEN
		DROP TABLE bench.stored_list;
	END IF;
	EXECUTE format('CREATE TABLE bench.stored_list WITH (autovacuum_enabled = off) AS
					SELECT l.id, l.email, bench.fit(company_size) + coalesce(e.points, 0) AS score
					FROM bench.%I AS l LEFT JOIN (SELECT lead_id, %s AS points FROM bench.%I GROUP BY lead_id) AS e ON e.lead_id = l.id',
				   p_name || '_lead', bench.points('now()'), p_name || '_event');
	CREATE INDEX ON bench.stored_list (score);
END $$;

-- What hot lists are compared with, as often as they.
CREATE PROCEDURE bench.time_other_lists(p_name text, p_race text, p_round integer)
LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
BEGIN
	EXECUTE format('SELECT count(*) FROM (SELECT lead_key, score FROM leadscore.%I ORDER BY score DESC LIMIT 100) AS best', p_name || '_scored');
	IF p_round > 0 THEN
		INSERT INTO bench.write_sample VALUES (p_race, 'view', p_round, extract(epoch FROM clock_timestamp() - started));
	END IF;
	FOR i IN 1..21 LOOP
		started := clock_timestamp();
		PERFORM count(*) FROM (SELECT id, score FROM bench.stored_list ORDER BY score DESC LIMIT 100) AS best;
		IF p_round > 0 AND i = 21 THEN
			INSERT INTO bench.write_sample VALUES (p_race, 'stored', p_round, extract(epoch FROM clock_timestamp() - started));
		END IF;
	END LOOP;
	IF p_round > 0 THEN
		INSERT INTO bench.write_sample (race, name, round, seconds)
		SELECT p_race, 'ours', p_round, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds)
		FROM bench.hot_sample WHERE p_race = 'hot list ' || staleness AND round = p_round;
	END IF;
END $$;

-- Time goes on until the next 1 % of the leads are due.
CREATE PROCEDURE bench.wait_for_due(p_name text)
LANGUAGE plpgsql AS $$
DECLARE
	at timestamptz;
	due bigint;
	leads bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM bench.%I', p_name || '_lead') INTO leads;
	EXECUTE format('SELECT next_change_at FROM leadscore.%I ORDER BY next_change_at OFFSET %s LIMIT 1', p_name || '_state', leads / 100 - 1) INTO at;
	EXECUTE format('SELECT count(*) FROM leadscore.%I WHERE next_change_at <= $1', p_name || '_state') INTO due USING at;
	IF due IS DISTINCT FROM leads / 100 THEN
		RAISE 'of % leads of % % are due', leads, p_name, due;
	END IF;
	PERFORM set_config('bench.at', at::text, false);
END $$;

CREATE PROCEDURE bench.enter_advance()
LANGUAGE plpgsql AS $$
DECLARE
	c text;
BEGIN
	FOREACH c IN ARRAY ARRAY['hot', 'few'] LOOP
		CALL bench.enter_writer('advance', c,
								ARRAY[format('VACUUM (TRUNCATE false) leadscore.%I', c || '_state'), format('CALL bench.wait_for_due(%L)', c)],
								ARRAY['SET ROLE bench_' || c,
									  'CALL leadscore.advance(at => pg_catalog.current_setting(''bench.at'')::timestamptz)',
									  'RESET ROLE']);
	END LOOP;
	CALL bench.make_events('batch', (bench.activity_options()).hot_leads);
	INSERT INTO bench.batch_event (lead_id, kind, url, occurred_at) SELECT lead_id, kind, url, occurred_at FROM bench.hot_event;
	CALL bench.enter_writer('advance', 'batch', ARRAY['VACUUM (TRUNCATE false) bench.batch_lead'], ARRAY[bench.batch('batch')]);
END $$;

-- Is nothing left over, and did it touch no others?
CREATE PROCEDURE bench.check_advance(p_rounds integer)
LANGUAGE plpgsql AS $$
DECLARE
	c text;
	touched bigint;
	leads bigint;
BEGIN
	FOREACH c IN ARRAY ARRAY['hot', 'few'] LOOP
		EXECUTE format('SELECT count(*) FILTER (WHERE scored_at > clock_timestamp()), count(*) FROM leadscore.%I', c || '_state') INTO touched, leads;
		IF touched NOT BETWEEN 1 AND leads / 100 * (p_rounds + 1) THEN
			RAISE 'advance touched % of % leads of %', touched, leads, c;
		END IF;
		CALL bench.compare_scores(c, bench.said_by_view(c));
	END LOOP;
END $$;


-- ---- everything anew --------------------------------------------------------

CREATE PROCEDURE bench.make_rebuild()
LANGUAGE plpgsql AS $$
DECLARE
	o bench.activity_option;
BEGIN
	SELECT * INTO o FROM bench.activity_option;
	CALL bench.make_events('rebuild', o.rebuild_events / 100);
	INSERT INTO bench.rebuild_event (lead_id, kind, url, occurred_at)
	SELECT 1 + floor(random() * (o.rebuild_events / 100))::bigint, bench.kind(random()), '/page/' || (random() * 1000)::integer,
		   o.loaded_at - (o.rebuild_events - i) * (interval '90 days' / o.rebuild_events)
	FROM generate_series(1, o.rebuild_events) AS i;
	CALL bench.make_activity_model('rebuild');
END $$;

-- Our aggregate, with the rules of the model.
CREATE FUNCTION bench.summaries() RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT format('SELECT lead_id, leadscore.engagement_agg(CASE kind %s END, occurred_at, CASE kind %s END, CASE kind %s ELSE 0 END) AS engagement
				   FROM bench.rebuild_event GROUP BY lead_id',
				  string_agg(format('WHEN %L THEN %s', a.kind, r.id), ' ' ORDER BY no),
				  string_agg(format('WHEN %L THEN interval %L', a.kind, a.half_life), ' ' ORDER BY no) FILTER (WHERE a.half_life IS NOT NULL),
				  string_agg(format('WHEN %L THEN %s', a.kind, coalesce(a.at_least, a.at_most)), ' ' ORDER BY no) FILTER (WHERE a.half_life IS NULL))
	FROM bench.activity_rule AS a JOIN leadscore.rule AS r ON r.model = 'rebuild' AND r.condition = format('kind = %L', a.kind);
END;

CREATE PROCEDURE bench.enter_rebuild()
LANGUAGE plpgsql AS $$
DECLARE
	workers text[] := ARRAY['SET max_parallel_workers_per_gather = 2', 'SET parallel_setup_cost = 0', 'SET parallel_tuple_cost = 0', 'SET work_mem = ''512MB'''];
	at text := quote_literal((bench.activity_options()).loaded_at) || '::timestamptz';
	full_rebuild boolean := EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'leadscore'::regnamespace AND proname = 'rescore' AND 'activities' = ANY (proargnames));
BEGIN
	CALL bench.enter_writer('rebuild', 'sum', workers,
							ARRAY[format('SELECT sum(points) FROM (SELECT lead_id, %s AS points FROM bench.rebuild_event GROUP BY lead_id) AS e', bench.faded_points(at))]);
	CALL bench.enter_writer('rebuild', 'all_rules', workers,
							ARRAY[format('SELECT sum(points) FROM (SELECT lead_id, %s AS points FROM bench.rebuild_event GROUP BY lead_id) AS e', bench.points(at))]);
	CALL bench.enter_writer('rebuild', 'aggregate', workers,
							ARRAY[format('SELECT count(engagement) FROM (%s) AS e', bench.summaries())]);
	-- The rebuild as a whole against the batch, if rescore() takes activities =>
	-- true.  A half-life is edited before each, so that there is something to write.
	IF full_rebuild THEN
		PERFORM leadscore.attach('rebuild');
		CALL bench.enter_writer('rebuild', 'rescore', workers || ARRAY['VACUUM (TRUNCATE false) leadscore.rebuild_state',
												 $q$UPDATE leadscore.rule SET half_life = interval '15 days' - half_life
													WHERE model = 'rebuild' AND condition = 'kind = ''visit'''$q$],
								ARRAY['CALL leadscore.rescore(''rebuild'', activities => true)']);
		CALL bench.enter_writer('rebuild', 'attach', workers || ARRAY['SELECT leadscore.detach(''rebuild'')'],
								ARRAY['SELECT leadscore.attach(''rebuild'')']);
		CALL bench.make_events('rebuild_batch', (bench.activity_options()).rebuild_events / 100);
		CALL bench.enter_writer('rebuild', 'batch', workers || ARRAY['VACUUM (TRUNCATE false) bench.rebuild_batch_lead'],
								ARRAY[format('CREATE TEMP TABLE points AS SELECT lead_id, %s AS points FROM bench.rebuild_event GROUP BY lead_id', bench.points('now()')),
									  'UPDATE bench.rebuild_batch_lead AS l SET score = bench.fit(company_size) + e.points, scored_at = now()
									   FROM points AS e WHERE e.lead_id = l.id',
									  'DROP TABLE points']);
	END IF;
END $$;

-- Do the aggregates come to the same?
CREATE PROCEDURE bench.check_rebuild()
LANGUAGE plpgsql AS $$
DECLARE
	at text := quote_literal((bench.activity_options()).loaded_at) || '::timestamptz';
	differing bigint;
BEGIN
	IF to_regclass('leadscore.rebuild_scored') IS NOT NULL THEN
		UPDATE leadscore.rule AS r SET half_life = a.half_life
		FROM bench.activity_rule AS a WHERE r.model = 'rebuild' AND r.condition = format('kind = %L', a.kind);
		COMMIT;
		CALL leadscore.rescore('rebuild', activities => true);
		CALL bench.compare_scores('rebuild', bench.said_by_view('rebuild'));
	END IF;
	EXECUTE format($q$
		SELECT count(*) FILTER (WHERE s.points IS NULL OR e.points IS NULL OR abs(s.points - e.points) > 1e-9 * abs(s.points))
		FROM (SELECT lead_id, %s AS points FROM bench.rebuild_event GROUP BY lead_id) AS s
			 FULL JOIN (SELECT lead_id, (SELECT sum(coalesce(leadscore.engagement_decayed(engagement, r.id, %s), 0) * r.points)
										 FROM leadscore.rule AS r WHERE r.model = 'rebuild' AND r.half_life IS NOT NULL) AS points
						FROM (%s) AS e) AS e USING (lead_id)$q$, bench.faded_points(at), at, bench.summaries()) INTO differing;
	IF differing > 0 THEN
		RAISE 'the contenders disagree about % leads', differing;
	END IF;
END $$;


-- ---- several clients, few leads ---------------------------------------------

CREATE TABLE bench.client_fact (
	race text, round integer, name text, value bigint
);

CREATE PROCEDURE bench.make_clients()
LANGUAGE plpgsql AS $$
BEGIN
	CALL bench.make_events('alone', 1000);
	CALL bench.make_events('clients', 1000);
	CALL bench.make_activity_model('clients');
	PERFORM leadscore.attach('clients');
END $$;

CREATE PROCEDURE bench.note_clients(p_race text, p_round integer)
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO bench.client_fact
	SELECT p_race, p_round, 'pending', count(*) FROM leadscore.pending_activity WHERE model = 'clients'
	UNION ALL
	SELECT p_race, p_round, 'deadlocks', deadlocks FROM pg_stat_database WHERE datname = current_database()
	UNION ALL
	SELECT p_race, p_round, 'problems', count(*) FROM leadscore.problem WHERE model = 'clients'
	UNION ALL
	SELECT p_race, p_round, 'events', count(*) FROM bench.clients_event;
END $$;

-- An update was lost if a summary has another number of events than the table.
-- p_pending: those of pending rows count.
CREATE PROCEDURE bench.check_clients(p_pending boolean)
LANGUAGE plpgsql AS $$
DECLARE
	differing bigint;
	compared bigint;
BEGIN
	SELECT count(*) FILTER (WHERE e.n IS DISTINCT FROM s.n), count(*)
	INTO differing, compared
	FROM (SELECT lead_id, r.id AS rule, count(*) AS n FROM bench.clients_event AS e JOIN leadscore.rule AS r ON r.model = 'clients' AND r.condition = format('kind = %L', e.kind)
		  GROUP BY lead_id, r.id) AS e
		 FULL JOIN (SELECT lead_key AS lead_id, rule, sum(events)::bigint AS n
					FROM (SELECT lead_key, engagement FROM leadscore.clients_state
						  UNION ALL SELECT lead_key::bigint, engagement FROM leadscore.pending_activity WHERE model = 'clients' AND p_pending) AS s,
						 leadscore.engagement_entries(engagement)
					GROUP BY lead_key, rule) AS s USING (lead_id, rule);
	IF differing > 0 OR compared = 0 THEN
		RAISE 'updates were lost: % of % sums of a rule and a lead are wrong', differing, compared;
	END IF;
	-- and what the summaries have faded to
	SELECT count(*) INTO differing
	FROM (SELECT lead_id, r.id AS rule, sum(exp(date_part('epoch', occurred_at - now()) * ln(2) / date_part('epoch', r.half_life))) AS n
		  FROM bench.clients_event AS e JOIN leadscore.rule AS r ON r.model = 'clients' AND r.half_life IS NOT NULL AND r.condition = format('kind = %L', e.kind)
		  GROUP BY lead_id, r.id) AS e
		 JOIN leadscore.clients_state AS s ON s.lead_key = e.lead_id
	WHERE NOT p_pending AND abs(e.n - leadscore.engagement_decayed(s.engagement, e.rule, now())) > 1e-9 * e.n;
	IF differing > 0 THEN
		RAISE 'updates were lost: % sums of a rule and a lead have faded to something else', differing;
	END IF;
	CALL bench.compare_scores('clients', bench.said_by_view('clients'));
END $$;
