# Many clients have a few leads walk about the funnel at random: they are moved by
# hand, by what happens to their rows and by what they do, accepted, rejected and
# pinned, while the CRM sets its status, leads come, go and change keys, and
# others rescore and advance.  Whatever the transitions do not list is refused,
# and the history tells how each lead came to be where it is.
# LEADSCORE_STRESS_SECONDS says how long that goes on (5).

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{LEADSCORE_STRESS_SECONDS} // 5;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<EOS);
max_connections = 40
deadlock_timeout = 100ms
log_statement = none
log_line_prefix = '%m [%p] %a '
EOS
$node->start;

# Three models: m moves leads; of deals, led is the master of the CRM's status
# and writes its stage back, followed follows it.  The twins have the same rules
# and are not attached: what they say is computed anew.
$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE lead (id int PRIMARY KEY, n int, note text);
CREATE TABLE deal (id int PRIMARY KEY, n int, status text, stage text);
CREATE TABLE event (id bigserial PRIMARY KEY, lead int, deal int, at timestamptz, kind int);
CREATE INDEX ON event (lead);
CREATE INDEX ON event (deal);
INSERT INTO lead SELECT i, 0 FROM generate_series(1, 40) i;
INSERT INTO deal SELECT i, 0, 'new' FROM generate_series(1, 10) i;
INSERT INTO leadscore.model (name, target, status, stage_mode, handoff_stage, cooldown) VALUES
	('m', 'lead', NULL, 'lead', 'sal', '1 second'), ('m_twin', 'lead', NULL, 'lead', NULL, '1 second'),
	('led', 'deal', 'status', 'lead', NULL, '1 second'), ('led_twin', 'deal', NULL, 'lead', NULL, '1 second'),
	('followed', 'deal', 'status', 'follow', NULL, '1 second'), ('followed_twin', 'deal', NULL, 'follow', NULL, '1 second');
INSERT INTO leadscore.factor (model, name, axis, combine) SELECT m.name, f.name, f.axis, 'sum' FROM leadscore.model m, (VALUES ('who', 'fit'), ('did', 'engagement')) f(name, axis);
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at)
	SELECT name, 'event', 'event', CASE WHEN target = 'lead'::regclass THEN 'lead' ELSE 'deal' END, 'at' FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, condition, points, activity, half_life, at_least, within)
SELECT m.name, r.* FROM leadscore.model m, (VALUES
	('who', 'n >= 50', 60::float8, NULL, NULL::interval, NULL::int, NULL::interval),
	('did', 'kind = 1', 25, 'event', '1 second', NULL, NULL),
	('did', 'kind = 2', 15, 'event', NULL, 2, '1 second')) r;
INSERT INTO leadscore.rule (model, factor, condition, points, disqualifies) SELECT name, 'who', 'n < 0', 0, true FROM leadscore.model;
INSERT INTO leadscore.transition (model, from_stage, to_stage, automatic, condition)
SELECT m, f::leadscore.lead_stage, t::leadscore.lead_stage, a, c FROM (VALUES
	('m', 'lead', 'mql', true, 'scored.score >= 50'), ('m', 'mql', 'sal', true, 'scored.score >= 80'), ('m', 'mql', 'nurture', false, NULL), ('m', 'mql', 'lead', false, 'scored.score < 50'),
	('m', 'sal', 'sql', false, NULL), ('m', 'sal', 'nurture', false, NULL), ('m', 'sql', 'opportunity', true, 'n >= 50 AND scored.engagement > 20'), ('m', 'sql', 'lost', false, NULL),
	('m', 'opportunity', 'customer', false, NULL), ('m', 'opportunity', 'lost', false, NULL), ('m', 'lost', 'nurture', false, NULL), ('m', 'customer', 'lead', false, NULL),
	('m', 'nurture', 'mql', true, 'scored.temperature <> ''cold'''), ('m', 'lead', 'disqualified', true, 'scored.disqualified'), ('m', 'mql', 'disqualified', true, 'scored.disqualified'),
	('m', 'disqualified', 'lead', false, NULL)) t(m, f, t, a, c)
UNION ALL
SELECT m, f::leadscore.lead_stage, t::leadscore.lead_stage, a, c FROM (VALUES ('led'), ('followed')) m(m), (VALUES
	('lead', 'mql', false, NULL), ('mql', 'sal', true, 'scored.score >= 50'), ('sal', 'sql', false, NULL), ('mql', 'lost', false, NULL), ('sal', 'lost', false, NULL),
	('sql', 'customer', false, 'n >= 0'), ('lost', 'lead', false, NULL), ('customer', 'lead', false, NULL)) t(f, t, a, c);
INSERT INTO leadscore.stage_map (model, status, stage)
SELECT m, s, t::leadscore.lead_stage FROM (VALUES ('led'), ('followed')) m(m), (VALUES ('new', 'lead'), ('open', 'mql'), ('open', 'sal'), ('talking', 'sql'), ('won', 'customer'), ('dead', 'lost')) s(s, t);
SELECT leadscore.attach('m'), leadscore.attach('followed');
SELECT leadscore.attach('led', stage_column => 'stage');
-- attaching leaves the deals that are there alone
CALL leadscore.rescore('led', write_back => true);

-- What a client may meet: it is refused what the transitions do not list
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'done';
EXCEPTION WHEN check_violation OR object_not_in_prerequisite_state OR no_data_found THEN
	RETURN SQLERRM;
END
$$;
CREATE FUNCTION try_move(model text, key int, nr int) RETURNS text LANGUAGE sql AS $$
	SELECT try(format('SELECT leadscore.move(%L, %s, %L)', model, key,
					  (ARRAY['disqualified', 'lost', 'nurture', 'lead', 'mql', 'sal', 'sql', 'opportunity', 'customer'])[nr]))
$$;
CREATE FUNCTION try_status(key int, nr int) RETURNS text LANGUAGE sql AS $$
	SELECT try(format('UPDATE deal SET status = %L WHERE id = %s', (ARRAY['new', 'open', 'talking', 'won', 'dead'])[nr], key))
$$;
EOS

# No two of them may deadlock on plain tables.  So whoever may be refused a move,
# and goes on with the lead in the same transaction, locks it before: PostgreSQL
# itself deadlocks over rows that are locked, given back and locked again.  Who
# writes the states himself would get past that lock, and takes it as well.
my $some = q{
	\set hot random(1, 8)
	\set other random(1, 8)
	\set rare random(9, 40)
	\set stage random(1, 9)
	\set status random(1, 5)
	\set n random(-1, 3)
	\set kind random(1, 2)
	\set code random(1, 300)};
my $nap = 'SELECT pg_sleep(0.002);';
my %scripts = (
	move => qq{$some
		SELECT try_move('m', :hot, :stage);
		SELECT try_move('m', :other, :stage);},
	moves => qq{$some
		BEGIN;
		SELECT FROM lead WHERE id = :hot FOR NO KEY UPDATE;
		SELECT try_move('m', :hot, :stage);
		SAVEPOINT s;
		SELECT try_move('m', :hot, :code % 9 + 1);
		ROLLBACK TO s;
		$nap
		SELECT try_move('m', :hot, :code % 7 + 1);
		INSERT INTO event (lead, deal, at, kind) VALUES (:other, :other, clock_timestamp(), :kind);
		COMMIT;},
	state => qq{$some
		BEGIN;
		SELECT FROM lead WHERE id = :hot FOR NO KEY UPDATE;
		SELECT try('UPDATE leadscore.m_state SET stage = ''sql'' WHERE lead_key = ' || :hot);
		COMMIT;},
	accept => qq{$some
		SELECT try('SELECT leadscore.accept(''m'', ' || :hot || ')');
		SELECT try('SELECT leadscore.reject(''m'', ' || :other || ', ''no'')');},
	pin => qq{$some
		SELECT leadscore.pin('m', :hot, clock_timestamp() + :code * interval '2 milliseconds', 'wait');
		SELECT pg_sleep(0.001 * :status);},
	unpin => qq{$some
		SELECT leadscore.unpin('m', :other);},
	event => qq{$some
		INSERT INTO event (lead, deal, at, kind) VALUES (:hot, :other, clock_timestamp(), :kind);},
	events => qq{$some
		INSERT INTO event (lead, deal, at, kind) SELECT 1 + i % 10, 1 + i % 10, now() + :code * interval '1 millisecond', :kind FROM generate_series(:hot, :hot + 3) i;},
	update => qq{$some
		UPDATE lead SET n = 30 * :n WHERE id = :hot;},
	hold => qq{$some
		BEGIN;
		UPDATE lead SET n = 30 * :n WHERE id = :hot;
		$nap
		INSERT INTO event (lead, deal, at, kind) VALUES (:hot, :other, now(), :kind), (:other, :hot, now(), :kind);
		SELECT try_move('m', :hot, :stage);
		COMMIT;},
	abort => qq{$some
		BEGIN;
		SELECT FROM lead WHERE id = :hot FOR NO KEY UPDATE;
		SELECT try_move('m', :hot, :stage);
		SELECT leadscore.pin('m', :hot, 'infinity');
		INSERT INTO event (lead, deal, at, kind) VALUES (:hot, :other, now(), :kind), (:other, :other, now(), :kind);
		$nap
		ROLLBACK;},
	come => qq{$some
		INSERT INTO lead VALUES (:rare, 30 * :n) ON CONFLICT (id) DO UPDATE SET n = excluded.n;
		SELECT try_move('m', :rare, :stage);},
	go => qq{$some
		BEGIN;
		UPDATE lead SET n = 30 * :n WHERE id = :rare;
		$nap
		DELETE FROM lead WHERE id = :rare;
		COMMIT;},
	# each client has keys of its own: two that took the same would be an error
	key => qq{$some
		\\set own 2 * :code + :client_id
		UPDATE lead SET id = :own WHERE id = :rare AND :code > 20 AND NOT EXISTS (SELECT FROM lead WHERE id = :own);
		UPDATE lead SET n = 30 * :n WHERE id = :own;},
	back => qq{$some
		DELETE FROM lead WHERE id IN (SELECT id FROM lead WHERE id > 40 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED);},
	status => qq{$some
		SELECT try_status(:hot, :status);},
	deal => qq{$some
		UPDATE deal SET n = 30 * :n WHERE id = :hot;
		SELECT try_move('led', :other, :stage);
		SELECT try_move('followed', :other, :stage);},
	deals => qq{$some
		BEGIN;
		SELECT FROM deal WHERE id = :hot FOR NO KEY UPDATE;
		SELECT try_status(:hot, :status);
		$nap
		UPDATE deal SET n = 30 * :n WHERE id = :hot;
		COMMIT;},
	advance => q{
		CALL leadscore.advance();
		SELECT pg_sleep(0.01);},
	rescore => q{
		CALL leadscore.rescore('m', 7);
		CALL leadscore.rescore('m', 7, move_stages => true);
		CALL leadscore.rescore('led', 3);
		CALL leadscore.rescore('followed', 3, move_stages => true);},
	look => q{
		SELECT count(*) FROM leadscore.handoff;
		SELECT count(*) FROM leadscore.m_scored WHERE stage = 'mql';
		SELECT pg_sleep(0.02);});

my $dir = $node->basedir;
foreach my $name (keys %scripts)
{
	(my $text = $scripts{$name}) =~ s/^\t\t?//mg;
	append_to_file("$dir/$name.pgbench", "$text\n");
}

# start NAME, CLIENTS, ISOLATION, SCRIPT@WEIGHT...
sub start
{
	my ($name, $clients, $isolation, @files) = @_;
	my $log = "$dir/$name";
	local $ENV{PGAPPNAME} = $name;
	local $ENV{PGOPTIONS} = "-c default_transaction_isolation=$isolation -c client_min_messages=error";
	my @command = ('pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, '--max-tries', 1000,
		(map { my ($file, $weight) = split /@/; ('-f', "$dir/$file.pgbench\@" . ($weight // 1)) } @files), '-h', $node->host, '-p', $node->port, 'postgres');
	my $run = IPC::Run::start(\@command, '<', \undef, '>', "$log.out", '2>', "$log.err");
	return { run => $run, log => $log, name => $name };
}

my @runs = (
	start('moving', 4, 'read\ committed', 'move@6', 'moves@4', 'state', 'accept@4', 'pin@2', 'unpin', 'event@6', 'events@2', 'update@4', 'hold@3', 'abort@2'),
	start('coming', 2, 'read\ committed', 'come@4', 'go@2', 'key@2', 'back@2', 'event'),
	start('deals', 3, 'read\ committed', 'status@4', 'deal@3', 'deals@3', 'event@2'),
	# who repeats what he reads and only adds events meets nobody
	start('adding', 2, 'repeatable\ read', 'event@3', 'events'),
	start('advance', 1, 'read\ committed', 'advance'), start('rescore', 1, 'read\ committed', 'rescore'), start('look', 1, 'read\ committed', 'look'));
foreach my $run (@runs)
{
	ok(IPC::Run::finish($run->{run}), "no client of \"$run->{name}\" is stopped by an error") or diag(slurp_file("$run->{log}.err"));
	my ($done) = slurp_file("$run->{log}.out") =~ /number of transactions actually processed: (\d+)/;
	note("$run->{name}: " . ($done // 0) . ' transactions');
	cmp_ok($done // 0, '>', 0, "\"$run->{name}\" got something done");
}
my $log = slurp_file($node->logfile);
is_deeply([ grep { !/ERROR:  canceling autovacuum task/ } $log =~ /^\S+ \S+ \S+ \[\d+\] (.*(?:ERROR|FATAL|PANIC|TRAP): .*)$/mg ], [], 'no errors, and no deadlocks');
unlike($log, qr/PANIC|TRAP|terminated by signal|leak/, 'nothing crashed or leaked');

# of one lead, in order
my $steps = q{
	SELECT h.*, lag(h.to_stage) OVER w AS was, lag(h.at) OVER w AS was_at, lag(h.xact) OVER w AS was_xact, lag(h.recorded_at) OVER w AS was_recorded_at,
		lead(h.at) OVER w IS NULL AS is_last
	FROM leadscore.history h WINDOW w AS (PARTITION BY h.model, h.lead_key ORDER BY h.at, h.xact, h.xact_order)};
my $shown = 'model, lead_key, cause, from_stage, to_stage, was, at, was_at, xact, was_xact, recorded_at, was_recorded_at';
my $states = join ' UNION ALL ', map { "SELECT '$_' AS model, lead_key, stage, score, temperature, grade, pinned_until, settle_due FROM leadscore.${_}_scored" } 'm', 'led', 'followed';
my %wrong = (
	'a move that is not listed was refused' => q{SELECT h.model, h.lead_key, h.cause, h.from_stage, h.to_stage, h.listed FROM leadscore.history h
		WHERE h.from_stage::text <> h.to_stage::text AND (h.listed <> EXISTS (SELECT FROM leadscore.transition t WHERE (t.model, t.from_stage::text, t.to_stage::text) = (h.model, h.from_stage::text, h.to_stage::text))
			OR (NOT h.listed AND h.model <> 'followed') OR (h.automatic AND NOT h.listed))},
	'automation made automatic moves alone' => q{SELECT h.model, h.lead_key, h.cause, h.from_stage, h.to_stage FROM leadscore.history h
		WHERE h.automatic AND NOT EXISTS (SELECT FROM leadscore.transition t WHERE t.automatic AND (t.model, t.from_stage::text, t.to_stage::text) = (h.model, h.from_stage::text, h.to_stage::text))},
	# a lead that changed its key goes on under the new one, whoever had that before
	'a row of the history begins where the one before has ended' => "SELECT $shown FROM ($steps) s WHERE CASE WHEN cause = 'key' THEN from_stage::text <> to_stage::text WHEN was IS NULL THEN from_stage IS NOT NULL ELSE from_stage::text <> was::text END",
	'two transactions never changed a lead at the same time' => "SELECT $shown FROM ($steps) s WHERE at = was_at AND xact <> was_xact",
	'the order of the history is that of the changes' => "SELECT $shown FROM ($steps) s WHERE recorded_at < was_recorded_at",
	'no change is of a time to come' => 'SELECT at, recorded_at FROM leadscore.history WHERE at > recorded_at + interval \'1 millisecond\'',
	'the last row of the history says where a lead is' => "SELECT s.model, s.lead_key, s.stage, h.to_stage FROM ($states) s LEFT JOIN ($steps) h ON h.model = s.model AND h.lead_key = s.lead_key::text AND h.is_last
		WHERE s.stage IS DISTINCT FROM h.to_stage::text",
	'and what is said of it' => "SELECT s.model, s.lead_key, h.cause, s.score, h.score, s.temperature, h.temperature, s.grade, h.grade FROM ($states) s LEFT JOIN ($steps) h ON h.model = s.model AND h.lead_key = s.lead_key::text AND h.is_last
		WHERE NOT s.settle_due AND (s.temperature, s.grade) IS DISTINCT FROM (h.temperature, h.grade)",
	'all leads are there' => q{SELECT l.id, s.lead_key FROM lead l FULL JOIN leadscore.m_scored s ON s.lead_key = l.id WHERE l.id IS NULL OR s.lead_key IS NULL
		UNION ALL SELECT l.id, s.lead_key FROM deal l FULL JOIN leadscore.led_scored s ON s.lead_key = l.id WHERE l.id IS NULL OR s.lead_key IS NULL},
	'states are as computed anew' => (join ' UNION ALL ', map { my ($model, $table) = split /,/; "SELECT '$model', l.id, s::text, e::text FROM $table l LEFT JOIN leadscore.${model}_scored s ON s.lead_key = l.id,
			LATERAL leadscore.evaluate('${model}_twin', l.id, statement_timestamp()) e
		WHERE (s.score, s.temperature, s.grade) IS DISTINCT FROM (e.score, e.temperature::text, e.grade)" } 'm,lead', 'led,deal', 'followed,deal'),
	'the status says where a deal is' => (join ' UNION ALL ', map { "SELECT '$_', s.lead_key, s.stage, d.status FROM deal d JOIN leadscore.${_}_scored s ON s.lead_key = d.id
		WHERE NOT EXISTS (SELECT FROM leadscore.stage_map m WHERE m.model = '$_' AND m.status = d.status AND m.stage::text = s.stage)" } 'followed'),
	'what waits for sales is what is in its stage' => q{SELECT h.lead_key, s.lead_key FROM leadscore.handoff h FULL JOIN (SELECT * FROM leadscore.m_scored WHERE stage = 'sal') s ON h.model = 'm' AND s.lead_key::text = h.lead_key
		WHERE (h.lead_key IS NULL OR s.lead_key IS NULL) AND coalesce(h.model, 'm') = 'm'});
sub all_is_well
{
	my ($what) = @_;
	is($node->safe_psql('postgres', "$wrong{$_} LIMIT 10"), '', "$what: $_") foreach sort keys %wrong;
	return;
}
all_is_well('at once');
# what has faded meanwhile, and what was ahead
$node->safe_psql('postgres', 'SELECT pg_sleep(1); CALL leadscore.advance(); SELECT pg_sleep(0.1); CALL leadscore.advance()');
all_is_well('settled');
is($node->safe_psql('postgres', q{SELECT s.lead_key, s.stage, s.score FROM leadscore.m_scored s JOIN lead l ON l.id = s.lead_key
		WHERE s.pinned_until IS NULL AND NOT s.settle_due AND ((s.stage = 'lead' AND (s.score >= 50 OR s.disqualified)) OR (s.stage = 'mql' AND (s.score >= 80 OR s.disqualified)))}), '', 'no automatic move is left to be made');
is($node->safe_psql('postgres', q{SELECT d.id, d.stage, s.stage FROM deal d JOIN leadscore.led_state s ON s.lead_key = d.id
		WHERE NOT EXISTS (SELECT FROM leadscore.stage_map m WHERE m.model = 'led' AND m.status = d.stage AND m.stage::text = s.stage::text)
		-- those that nobody touched show nothing
		AND (d.stage IS NOT NULL OR EXISTS (SELECT FROM leadscore.history h WHERE h.model = 'led' AND h.lead_key = d.id::text AND h.from_stage::text <> h.to_stage::text))}), '', 'the status of their stage is written back to the deals');
is($node->safe_psql('postgres', q{SELECT model, lead_key, message FROM leadscore.problem WHERE message !~ 'stands for stage'}), '', 'no problems');
note($node->safe_psql('postgres', q{SELECT model, cause, automatic, listed, count(*) FROM leadscore.history WHERE from_stage::text <> to_stage::text GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4}));
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT cause, ' ' ORDER BY cause) FROM leadscore.history WHERE from_stage::text <> to_stage::text
		AND cause NOT IN ('rules', 'decay', 'unpin')}), 'accept event manual reject row status', 'leads were moved by everybody');

$node->stop;
done_testing();
