# shellcheck shell=bash
# What activities cost and are good for: sourced by bench/run, after attach.sh,
# whose races it uses.  The contenders are in activity.sql.

# scripts of pgbench
event="
\\set lead random(1, :leads)
INSERT INTO bench.NAME_event (lead_id, kind, url, occurred_at) VALUES (:lead, bench.kind(random()), '/page/1', now());"
# whose events: of short's leads, which begin at 1000, each round takes others, lest
# their history become a long one, too
history_event="
\\set lead :NAME + :round * :leads * (:NAME / 1000) + random(1, :leads)
INSERT INTO bench.history_event (lead_id, kind, url, occurred_at) VALUES (:lead, bench.kind(random()), '/page/1', now());"

events_in_bulk() {
	sql -c "CALL bench.enter_ingest('$WORK/tmp/events.copy')" -c 'VACUUM (ANALYZE)'
	write_race 'event insert' "$long_rounds"
	sql -c "CALL bench.check_ingest('{trigger, nightly}')"
	write_race 'event copy' "$long_rounds"
	sql -c "CALL bench.check_ingest('{nightly}')"
}

events_one_by_one() {
	local name
	for name in bare plain ingest trigger; do
		sql -c "SELECT step || ';' FROM bench.refill_events('$name') AS step" | sql >/dev/null
	done
	use_fsync on
	PGOPTIONS='-c synchronous_commit=off' single_race 'single event' "$event" bare plain ingest trigger
	use_fsync off
	sql -c "CALL bench.check_ingest('{}')"
}

long_histories() {
	local single_leads=$long_leads
	say "$long_leads leads with 100000 events each"
	sql -c 'CALL bench.make_history()' -c 'VACUUM (ANALYZE)'
	use_fsync on
	PGOPTIONS='-c synchronous_commit=off' single_race history "$history_event" short long
	use_fsync off
	sql -c "CALL bench.compare_scores('history', bench.said_by_view('history'))"
}

hot_lists() {
	local staleness round age before
	for staleness in 0 0.1 0.25 0.5 1; do
		before=$SECONDS
		# in half-lives of the rule that fades fastest: 7 days
		age="interval '7 days' * $staleness"
		sql -c "CALL bench.load_hot('hot', $leads, $age)" -c "CALL bench.make_stored_list('hot')" \
			-c 'VACUUM (ANALYZE)' -c "CALL bench.check_hot_list('hot')"
		for ((round = 0; round <= rounds; round++)); do
			sql -c 'SET jit = off' -c 'SET max_parallel_workers_per_gather = 0' \
				-c "CALL bench.time_hot_list('hot', $staleness, $round)" \
				-c "CALL bench.time_other_lists('hot', 'hot list $staleness', $round)"
		done
		say "hot list of $leads leads, bounds $staleness half-lives old: $((SECONDS - before)) s"
	done
}

advances() {
	say "$leads leads and $((leads / 10)), 1 % of which are due"
	sql -c "CALL bench.load_hot('hot', $leads, '0')" -c "CALL bench.load_hot('few', $((leads / 10)), '0')" \
		-c 'CALL bench.enter_advance()' -c 'VACUUM (ANALYZE)'
	write_race advance "$rounds"
	sql -c "CALL bench.check_advance($rounds)"
}

rebuilds() {
	say "$rebuild_events events are summed up"
	sql -c 'CALL bench.make_rebuild()' -c 'VACUUM (ANALYZE)' -c 'CALL bench.enter_rebuild()'
	write_race rebuild "$long_rounds"
	# that of the leader alone says nothing
	sql -c "UPDATE bench.write_sample SET cpu = NULL WHERE race = 'rebuild'" -c 'CALL bench.check_rebuild()'
}

# clients_race RACE SECONDS: 8 clients, 10 leads; throughput as time per event
clients_race() {
	local race=$1 seconds=$2 round name dir=$WORK/pgbench tps before=$SECONDS
	mkdir -p "$dir"
	for ((round = 0; round <= client_rounds; round++)); do
		for name in alone clients; do
			printf '%s\n' "${event//NAME/$name}" >"$dir/$name.sql"
			[ "$round" != 0 ] || sql -c CHECKPOINT
			pgbench -n -M prepared -c 8 -j 2 -D leads=10 -T "$((round == 0 ? 1 : seconds))" -f "$dir/$name.sql" >"$dir/output" 2>&1 ||
				{ cat "$dir/output" >&2; return 1; }
			tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$dir/output")
			[ "$round" = 0 ] || sql -c "INSERT INTO bench.write_sample (race, name, round, seconds) VALUES ('$race', '$name', $round, 1 / $tps)"
		done
		sql -c "CALL bench.note_clients('$race', $round)" -c 'CALL bench.check_clients(true)'
	done
	# what was put off is added, and nothing but that
	sql -c 'CALL leadscore.advance()' -c 'CALL bench.check_clients(false)' -c "CALL bench.note_clients('$race', $((client_rounds + 1)))"
	say "race $race: $((SECONDS - before)) s"
}

several_clients() {
	local client_rounds=3 seconds=20
	[ $quick = 0 ] || seconds=2
	sql -c 'CALL bench.make_clients()' -c 'VACUUM (ANALYZE)'
	# as a server runs that has hot rows
	sql -c 'ALTER SYSTEM SET autovacuum = on' -c 'SELECT pg_reload_conf()' >/dev/null
	use_fsync on
	clients_race 'clients' "$seconds"
	PGOPTIONS='-c synchronous_commit=off' clients_race 'clients, synchronous_commit off' "$seconds"
	use_fsync off
	sql -c 'ALTER SYSTEM RESET autovacuum' -c 'SELECT pg_reload_conf()' >/dev/null
}

activities() {
	local events=1000000 event_leads=100000 rebuild_events=10000000 long_leads=10
	local single_leads single_seconds=3 long_rounds=$((rounds < 3 ? rounds : 3))
	[ $quick = 0 ] || events=50000 event_leads=5000 rebuild_events=200000 long_leads=3 single_seconds=1

	sql -c "ALTER SYSTEM SET min_wal_size = '4GB'"
	use_fsync off
	sql -v events=$events -v event_leads=$event_leads -v hot_leads="$leads" -v rebuild_events=$rebuild_events -v long_leads=$long_leads \
		-f "$BENCH/activity.sql"
	single_leads=$event_leads
	if wanted_any activity ingest; then
		say "$events events of $event_leads leads are taken in"
		sql -c 'CALL bench.make_ingest()'
		events_in_bulk
		events_one_by_one
		sql -c "SELECT leadscore.detach('ingest')" >/dev/null
	fi
	if wanted_any activity history; then
		long_histories
		sql -c "SELECT leadscore.detach('history')" >/dev/null
	fi
	if wanted_any activity hotlist advance; then sql -c "CALL bench.make_hot('hot')" -c "CALL bench.make_hot('few')"; fi
	if wanted_any activity hotlist; then hot_lists; fi
	if wanted_any activity advance; then advances; fi
	if wanted_any activity hotlist advance; then
		sql -c "SELECT leadscore.detach(model) FROM leadscore.attachment WHERE model IN ('hot', 'few')" >/dev/null
	fi
	if wanted_any activity rebuild; then rebuilds; fi
	if wanted_any activity clients; then several_clients; fi
	sql -f "$BENCH/activity_report.sql"
}
