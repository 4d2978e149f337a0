# shellcheck shell=bash
# What attaching costs: sourced by bench/run, which has the options, the server,
# the leads and the stop-watch.  The contenders are in attach.sql.

# use_fsync on|off
use_fsync() {
	sql -c "ALTER SYSTEM SET fsync = $1" -c 'SELECT pg_reload_conf()' >/dev/null
}

# write_race RACE ROUNDS: in a session of its own; JIT and workers are off
# unless a step says otherwise.
write_race() {
	local before=$SECONDS
	{
		echo "SET jit = off; SET max_parallel_workers_per_gather = 0; SET max_parallel_maintenance_workers = 0;"
		echo "SET client_min_messages = warning;"
		echo "SELECT step FROM bench.steps('$1', $2) \gexec"
	} | sql >/dev/null
	say "race $1: $((SECONDS - before)) s"
}

# fill CONTENDER...: the leads as the races that update them find them
fill() {
	local name
	for name; do
		sql -c "SELECT unnest(bench.clear('$name') || bench.fill('$name')) || ';'" | sql
	done
	sql -c 'VACUUM (ANALYZE)'
}

# scripts of pgbench
update_other='
\set id random(1, :leads)
UPDATE bench.lead_NAME SET page_views = coalesce(page_views, 0) + 1 WHERE id = :id;'
insert="
INSERT INTO bench.lead_NAME (id, email, company_size, knowledge_level, purchase_motivation, decision_power, position, webinar,
	title, country, employees, revenue, postal_code, page_views, last_visit, created_at, custom)
VALUES (nextval('bench.lead_number'), 'lead@example.com', 'medium', 'specialist', 'peace at work', 'short path', 'manager', 'attended',
	'head of sales, energy', 'DE', 250, 1000000, 12345, 3, '2025-05-01', '2025-05-02 12:00+00', '{\"budget\": \"yes\"}');"

# single_race RACE SCRIPT CONTENDER...: transactions of pgbench by one client;
# in SCRIPT, NAME is the contender's.  Whose turn it is, is drawn for each
# transaction, so that they all meet the same disk and the same neighbours.
# A contender that has a variable script_NAME has a script of its own.
single_race() {
	local race=$1 script=$2 round name own names files=() before=$SECONDS dir=$WORK/pgbench
	shift 2
	mkdir -p "$dir"
	for name; do
		own=script_$name
		printf '%s\n' "${!own:-${script//NAME/$name}}" >"$dir/$name.sql"
		files+=(-f "$dir/$name.sql@1")
	done
	names=$(list "$@")
	for ((round = 0; round <= rounds; round++)); do
		rm -f "$dir"/log.*
		pgbench -n -M prepared -T "$((single_seconds * $#))" --random-seed="$round" -D leads="$single_leads" \
			-D round="$round" -D short=1000 -D long=0 \
			-l --log-prefix="$dir/log" "${files[@]}" >"$dir/output" 2>&1 || { cat "$dir/output" >&2; return 1; }
		cat "$dir"/log.* | sql -c "COPY bench.pgbench_log FROM STDIN (DELIMITER ' ')"
		sql -c "CALL bench.read_pgbench_log('$race', '{$names}', $round)"
	done
	say "race $race: $((SECONDS - before)) s"
}

attaching() {
	local states="leadscore.ours_state, leadscore.write_back_state, bench.upsert_state, bench.by_operation_state"
	local insert_rows single_leads single_seconds=2 bulk_rounds=$((rounds < 5 ? rounds : 5))
	[ $quick = 0 ] || single_seconds=1

	# what has been written is to be written over, not to be made anew
	sql -c "ALTER SYSTEM SET min_wal_size = '4GB'"
	use_fsync off
	sql -f "$BENCH/attach.sql"
	insert_rows=$(sql -c 'SELECT bench.insert_rows()') single_leads=$insert_rows
	if wanted_any attach insert update single; then
		say "$insert_rows leads are written"
		sql -c "CALL bench.enter_writers('$WORK/tmp/leads.copy')" -c 'VACUUM (ANALYZE)'
	fi
	if wanted_any attach insert; then
		for race in insert copy; do
			write_race "$race" "$bulk_rounds"
			sql -c "CALL bench.compare_states('{$states}')" -c 'CALL bench.compare_written_back()'
		done
	fi
	if wanted_any attach update; then
		fill plain ours write_back upsert by_operation
		write_race 'update other' "$bulk_rounds"
		write_race 'update scored' "$bulk_rounds"
		sql -c "CALL bench.compare_states('{$states}')" -c 'CALL bench.compare_written_back()'
	fi
	if wanted_any attach single; then
		fill plain ours write_back upsert
		use_fsync on
		single_race 'single update' "$update_other" plain ours write_back
		single_race 'single insert' "$insert" plain ours write_back upsert
		use_fsync off
	fi
	if wanted_any attach backfill rescore; then
		say "$rows leads are scored at once"
		sql -c 'CALL bench.make_all_leads()' -c 'CALL bench.enter_all()' -c 'VACUUM (ANALYZE)'
	fi
	if wanted_any attach backfill; then
		write_race backfill "$rounds"
		sql -c "CALL bench.compare_states('{leadscore.all_state, bench.all_state}')"
	fi
	if wanted_any attach rescore; then
		sql -c 'CALL bench.prepare_rescore()' -c 'VACUUM (ANALYZE)'
		use_fsync on
		write_race rescore "$rounds"
		use_fsync off
		sql -c 'CALL bench.check_rescore()'
	fi
	sql -f "$BENCH/attach_report.sql"
}
