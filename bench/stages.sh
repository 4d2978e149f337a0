# shellcheck shell=bash
# What the guard of stages and their history cost: sourced by bench/run, after
# attach.sh, whose races it uses.  The contenders are in stages.sql.

# scripts of pgbench: a lead goes to and fro between two stages
script_by_hand='
\set id random(1, :leads)
WITH moved AS (UPDATE bench.stage_lead SET stage = CASE stage WHEN $$lead$$ THEN $$prospect$$ ELSE $$lead$$ END, stage_since = now() WHERE id = :id RETURNING id, stage)
INSERT INTO bench.stage_history SELECT now(), pg_current_xact_id(), 1, clock_timestamp(), $$stages$$, id::text, $$manual$$, false, true,
	CASE stage WHEN $$lead$$ THEN $$prospect$$ ELSE $$lead$$ END, stage, $$cold$$, $$cold$$, $$C$$, $$C$$, 5, 5, 5, 0, false, $${1}$$, 1, $$bench$$, NULL FROM moved;'
script_move='
\set id random(1, :leads)
SELECT leadscore.move($$stages$$, :id, CASE stage::text WHEN $$lead$$ THEN $$prospect$$ ELSE $$lead$$ END::leadscore.lead_stage)
FROM leadscore.stages_state WHERE lead_key = :id;'
script_table='
\set id random(1, :leads)
UPDATE leadscore.stages_state SET stage = CASE stage::text WHEN $$lead$$ THEN $$prospect$$ ELSE $$lead$$ END::leadscore.lead_stage WHERE lead_key = :id;'
script_status='
\set id random(1, :leads)
UPDATE bench.status_lead SET stage = CASE stage WHEN $$lead$$ THEN $$prospect$$ ELSE $$lead$$ END, stage_since = now() WHERE id = :id;'

staging() {
	local single_leads=100000 single_seconds=2
	[ $quick = 0 ] || single_leads=10000 single_seconds=1

	say "stages of $single_leads leads are changed, one per transaction"
	sql -v leads=$single_leads -f "$BENCH/stages.sql"
	sql -c 'VACUUM (ANALYZE)'
	use_fsync on
	PGOPTIONS='-c synchronous_commit=off' single_race 'stage' '' by_hand move table status
	single_race 'stage, synchronous' '' by_hand move table status
	use_fsync off
	sql -c 'CALL bench.check_stages()'
	sql -f "$BENCH/stages_report.sql"
}
