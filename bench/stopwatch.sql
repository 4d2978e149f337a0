-- bench/stopwatch.sql: races of statements, as any client sends them.
--
-- Needs the schema bench.

-- Processor seconds that this backend has used, where Linux tells; a short
-- sleep makes the kernel settle its account.
CREATE FUNCTION bench.cpu() RETURNS double precision
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(0.001);
	RETURN split_part(pg_read_file('/proc/self/schedstat', 0, 1000, true), ' ', 1)::double precision / 1e9;
END $$;

CREATE TABLE bench.writer (
	id			integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	race		text NOT NULL,
	name		text NOT NULL,
	prepare		text[] NOT NULL,		-- before each run, not timed
	statements	text[] NOT NULL,		-- timed
	UNIQUE (race, name)
);

CREATE TABLE bench.write_sample (
	race	text NOT NULL,
	name	text NOT NULL,
	round	integer NOT NULL,
	seconds	double precision NOT NULL,	-- by the clock on the wall, commit included
	cpu		double precision,			-- of the backend alone
	wal		numeric						-- bytes
);

-- The stop-watch hangs in the session: what is timed are statements as any
-- client sends them, and some cannot run inside of a function.
CREATE FUNCTION bench.start() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('bench.wal', pg_current_wal_insert_lsn()::text, false);
	PERFORM set_config('bench.cpu', bench.cpu()::text, false);
	PERFORM set_config('bench.clock', extract(epoch FROM clock_timestamp())::text, false);
END $$;

CREATE FUNCTION bench.stop(p_race text, p_name text, p_round integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	seconds numeric := extract(epoch FROM clock_timestamp()) - current_setting('bench.clock')::numeric;
BEGIN
	IF p_round > 0 THEN
		INSERT INTO bench.write_sample
		VALUES (p_race, p_name, p_round, seconds, bench.cpu() - current_setting('bench.cpu')::double precision,
				pg_current_wal_insert_lsn() - current_setting('bench.wal')::pg_lsn);
	END IF;
END $$;

-- A race, statement by statement: in each round each contender once, in turns
-- from the first to the last and from the last to the first, after a
-- checkpoint.  Round 0 warms up and does not count.
CREATE FUNCTION bench.steps(p_race text, p_rounds integer) RETURNS TABLE (step text)
LANGUAGE sql
BEGIN ATOMIC
	SELECT s.step
	FROM bench.writer AS w, generate_series(0, p_rounds) AS round,
		 unnest(w.prepare || ARRAY['CHECKPOINT', 'SELECT bench.start()'] || w.statements ||
				format('SELECT bench.stop(%L, %L, %s)', w.race, w.name, round)) WITH ORDINALITY AS s (step, ord)
	WHERE w.race = p_race
	ORDER BY round, CASE WHEN round % 2 = 0 THEN -w.id ELSE w.id END, ord;
END;

CREATE PROCEDURE bench.enter_writer(p_race text, p_name text, p_prepare text[], p_statements text[])
LANGUAGE sql
BEGIN ATOMIC
	INSERT INTO bench.writer (race, name, prepare, statements) VALUES (p_race, p_name, p_prepare, p_statements);
END;


-- ---- one row per transaction ------------------------------------------------

CREATE TABLE bench.pgbench_log (
	client integer, transaction integer, microseconds bigint, script integer, epoch bigint, epoch_microseconds integer
);

-- A sample is the median of a round's transactions: that some wait ten times as
-- long for the disk as the others says nothing of who they are.
CREATE PROCEDURE bench.read_pgbench_log(p_race text, p_names text[], p_round integer)
LANGUAGE sql
BEGIN ATOMIC
	INSERT INTO bench.write_sample (race, name, round, seconds)
	SELECT p_race, p_names[script + 1], p_round, percentile_cont(0.5) WITHIN GROUP (ORDER BY microseconds) / 1e6
	FROM bench.pgbench_log
	WHERE p_round > 0
	GROUP BY script;
	DELETE FROM bench.pgbench_log;
END;
