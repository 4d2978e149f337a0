# Eight clients have a few leads do many things at a time: events are added, late
# and ahead of time, moved, deleted, delivered twice; leads are written, merged,
# come and go, while others rescore, advance and, in a second round, edit rules.
# Nobody meets an error that the same load would not have on plain tables, least
# of all a deadlock; and in the end what was added up is what history says.
# LEADSCORE_STRESS_SECONDS says how long a round is (5).

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
autovacuum_naptime = 1s
EOS
$node->start;

# The twin has the same rules and is not attached: what it says comes from history.
$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE lead (id int PRIMARY KEY, email text, n int, created timestamptz);
CREATE INDEX ON lead (lower(email));
CREATE TABLE event (id bigserial PRIMARY KEY, lead int, at timestamptz, kind int);
CREATE INDEX ON event (lead);
CREATE TABLE mail (id bigserial PRIMARY KEY, address text, at timestamptz, code text);
CREATE INDEX ON mail (lower(address));
CREATE INDEX ON mail (code);
-- ten that all are after, and some that come and go
INSERT INTO lead SELECT i, 'a' || i % 35 || '@x', i, now() - interval '60 days' FROM generate_series(1, 40) i;
INSERT INTO leadscore.model (name, target, created_at) VALUES ('m', 'lead', 'created'), ('twin', 'lead', 'created');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, event_key)
	SELECT name, 'events', 'event', 'lead', NULL, 'at', NULL FROM leadscore.model
	UNION ALL SELECT name, 'mails', 'mail', 'address', 'email', 'at', 'code' FROM leadscore.model;
INSERT INTO leadscore.factor (model, name, axis, combine) SELECT m.name, f.name, f.axis, 'sum' FROM leadscore.model m, (VALUES ('who', 'fit'), ('did', 'engagement')) f(name, axis);
INSERT INTO leadscore.rule (model, factor, parameter, condition, points, activity, half_life, at_least, within, at_most, inactive_for)
SELECT m.name, r.* FROM leadscore.model m, (VALUES
	('who', 'size', 'n > 50', 1000::float8, NULL, NULL::interval, NULL::int, NULL::interval, NULL::int, NULL::interval),
	('did', 'count', 'kind >= 0', 1, 'events', NULL, NULL, NULL, NULL, NULL),
	('did', 'fades', 'kind = 1', 10, 'events', '7 days', NULL, NULL, NULL, NULL),
	('did', 'latest', 'kind = 2', 3, 'events', '1 hour', NULL, NULL, 5, NULL),
	('did', 'burst', 'kind = 3', 100, 'events', NULL, 3, '2 days', NULL, NULL),
	('did', 'silent', 'kind < 9', -7, 'events', NULL, NULL, NULL, NULL, '20 days'),
	('did', 'mail', 'true', 0.5, 'mails', NULL, NULL, NULL, NULL, NULL)) r;
SELECT leadscore.attach('m');
EOS

# What is shown of each lead, as of the start of the statement, against history.
my $wrong = q{
	SELECT l.id, s::text AS shown, e::text AS computed, leadscore.engagement('m', l.id, statement_timestamp()) AS told
	FROM lead l LEFT JOIN leadscore.m_scored s ON s.lead_key = l.id, LATERAL leadscore.evaluate('twin', l.id, statement_timestamp()) e
	WHERE (s.score, s.temperature, s.grade) IS DISTINCT FROM (e.score, e.temperature::text, e.grade)
		OR NOT abs(leadscore.engagement('m', l.id, statement_timestamp()) - e.engagement) < 1e-6
	UNION ALL
	SELECT lead_key, 'no lead', '', NULL FROM leadscore.m_scored WHERE lead_key NOT IN (SELECT id FROM lead)};
# The summaries, with what is put off, against the events counted one by one.
my $miscounted = q{
	WITH stored AS (
		SELECT s.lead_key, e.rule, sum(e.events) AS n
		FROM leadscore.m_state s, LATERAL (SELECT s.engagement UNION ALL SELECT p.engagement FROM leadscore.pending_activity p WHERE p.model = 'm' AND p.lead_key = s.lead_key::text) g, leadscore.engagement_entries(g.engagement) e
		WHERE s.lead_exists GROUP BY 1, 2
	), history AS (
		SELECT e.lead, r.id, count(*) AS n
		FROM event e JOIN leadscore.rule r ON r.model = 'm' AND CASE r.parameter WHEN 'count' THEN e.kind >= 0 WHEN 'fades' THEN e.kind = 1 WHEN 'latest' THEN e.kind = 2 WHEN 'burst' THEN e.kind = 3 WHEN 'silent' THEN e.kind < 9 END
		GROUP BY 1, 2
		UNION ALL
		SELECT l.id, r.id, count(DISTINCT coalesce(code, 'id ' || m.id))
		FROM mail m JOIN lead l ON lower(l.email) = lower(m.address) JOIN leadscore.rule r ON r.model = 'm' AND r.parameter = 'mail' GROUP BY 1, 2
	)
	SELECT coalesce(s.lead_key, h.lead), coalesce(s.rule, h.id), s.n, h.n FROM stored s FULL JOIN (SELECT * FROM history WHERE lead IN (SELECT id FROM lead)) h ON h.lead = s.lead_key AND h.id = s.rule
	WHERE s.n IS DISTINCT FROM h.n};

# No two of them may deadlock on plain tables.
my $some = q{
	\set hot random(1, 10)
	\set other random(1, 10)
	\set rare random(11, 40)
	\set kind random(0, 4)
	\set code random(1, 300)
	\set hours random(0, 700)};
my $nap = 'SELECT pg_sleep(0.002);';
my %scripts = (
	add => qq{$some
		INSERT INTO event (lead, at, kind) VALUES (:hot, now() - :hours * interval '1 hour', :kind);},
	several => qq{$some
		BEGIN;
		INSERT INTO event (lead, at, kind) VALUES (:hot, clock_timestamp(), :kind);
		$nap
		SAVEPOINT s;
		INSERT INTO event (lead, at, kind) SELECT 1 + i % 10, now(), :kind FROM generate_series(:hot, :hot + 5) i;
		ROLLBACK TO s;
		INSERT INTO event (lead, at, kind) VALUES (:other, clock_timestamp(), :kind), (:rare, now(), :kind);
		COMMIT;},
	ahead => qq{$some
		INSERT INTO event (lead, at, kind) VALUES (:hot, clock_timestamp() + :code * interval '10 milliseconds', :kind), (:other, now() + :hours * interval '1 hour', :kind);},
	mail => qq{$some
		INSERT INTO mail (address, at, code) VALUES ('A' || :hot || '\@x', now() - :hours * interval '1 hour', 'c' || :code);},
	mails => qq{$some
		BEGIN;
		INSERT INTO mail (address, at, code) VALUES ('a' || :rare || '\@x', now(), NULL), ('a' || :hot || '\@X', now(), 'c' || :code);
		$nap
		INSERT INTO event (lead, at, kind) VALUES (:other, now(), :kind);
		COMMIT;},
	move => qq{$some
		UPDATE event SET lead = :other WHERE id IN (SELECT id FROM event WHERE lead = :hot ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED);},
	alter => qq{$some
		UPDATE event SET at = now() - :hours * interval '1 minute', kind = :kind WHERE id IN (SELECT id FROM event WHERE lead = :hot ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED);},
	drop => qq{$some
		DELETE FROM event WHERE id IN (SELECT id FROM event WHERE lead = :hot ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED);
		DELETE FROM mail WHERE id IN (SELECT id FROM mail WHERE code = 'c' || :code ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED);},
	merge => qq{$some
		BEGIN;
		UPDATE event SET lead = :hot WHERE id IN (SELECT id FROM event WHERE lead = :rare ORDER BY id FOR UPDATE SKIP LOCKED);
		DELETE FROM lead WHERE id = :rare;
		COMMIT;},
	come => qq{$some
		INSERT INTO lead VALUES (:rare, 'a' || :rare % 35 || '\@x', :code, now()) ON CONFLICT (id) DO UPDATE SET n = excluded.n;},
	update => qq{$some
		UPDATE lead SET n = :kind * 20 WHERE id = :hot;},
	address => qq{$some
		UPDATE lead SET email = 'A' || :hot || '\@x' WHERE id = :rare;},
	hold => qq{$some
		BEGIN;
		UPDATE lead SET n = :kind * 20 WHERE id = :hot;
		$nap
		INSERT INTO event (lead, at, kind) VALUES (:hot, now(), :kind), (:other, now(), :kind);
		$nap
		COMMIT;},
	abort => qq{$some
		BEGIN;
		UPDATE lead SET n = :kind * 20 WHERE id = :hot;
		INSERT INTO event (lead, at, kind) VALUES (:hot, now(), :kind), (:other, now(), :kind);
		$nap
		ROLLBACK;},
	rescore => q{
		CALL leadscore.rescore('m', 7);},
	advance => q{
		CALL leadscore.advance();
		SELECT pg_sleep(0.01);},
	look => q{
		SELECT sum(score) FROM leadscore.m_scored;
		SELECT count(*) FROM leadscore.hot_list('m', 5);
		SELECT pg_sleep(0.02);},
	edit => q{
		\set points random(1, 20)
		\set days random(1, 20)
		BEGIN;
		UPDATE leadscore.rule SET points = :points WHERE parameter = 'count';
		UPDATE leadscore.rule SET half_life = :days * interval '1 day' WHERE parameter = 'fades';
		COMMIT;
		SELECT pg_sleep(0.1);});

my $dir = $node->basedir;
foreach my $name (keys %scripts)
{
	(my $text = $scripts{$name}) =~ s/^\t\t?//mg;
	append_to_file("$dir/$name.pgbench", "$text\n");
}

# start NAME, CLIENTS, ISOLATION, SCRIPT@WEIGHT...
my $round = 0;
sub start
{
	my ($name, $clients, $isolation, @files) = @_;
	my $log = "$dir/$round-$name";
	local $ENV{PGAPPNAME} = $name;
	local $ENV{PGOPTIONS} = "-c default_transaction_isolation=$isolation -c client_min_messages=error";
	my @command = ('pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, '--max-tries', 1000,
		(map { my ($file, $weight) = split /@/; ('-f', "$dir/$file.pgbench\@" . ($weight // 1)) } @files), '-h', $node->host, '-p', $node->port, 'postgres');
	my $run = IPC::Run::start(\@command, '<', \undef, '>', "$log.out", '2>', "$log.err");
	return { run => $run, log => $log, name => $name };
}

sub writers
{
	return (start('committed', 4, 'read\ committed', 'add@8', 'several@6', 'ahead@3', 'mail@3', 'mails@2', 'move@2', 'alter@2', 'drop@4', 'merge@2', 'come@3', 'update@3', 'address', 'hold@3', 'abort@2'),
		# who repeats what he reads and only adds events meets nobody
		start('adding', 3, 'repeatable\ read', 'add@6', 'several@6', 'ahead@2', 'mail@2', 'mails@2'),
		start('leads', 1, 'read\ committed', 'update@2', 'hold@2', 'come', 'merge'),
		start('advance', 2, 'read\ committed', 'advance'), start('rescore', 1, 'read\ committed', 'rescore'), start('look', 1, 'read\ committed', 'look'));
}

sub finish
{
	my ($what, @runs) = @_;
	foreach my $run (@runs)
	{
		ok(IPC::Run::finish($run->{run}), "$what: no client of \"$run->{name}\" is stopped by an error") or diag(slurp_file("$run->{log}.err"));
		my ($done) = slurp_file("$run->{log}.out") =~ /number of transactions actually processed: (\d+)/;
		note("$what: $run->{name}: " . ($done // 0) . ' transactions');
		cmp_ok($done // 0, '>', 0, "$what: \"$run->{name}\" got something done");
	}
	my $log = slurp_file($node->logfile);
	my @errors = $log =~ /^\S+ \S+ \S+ \[\d+\] (.*(?:ERROR|FATAL|PANIC|TRAP): .*)$/mg;
	is_deeply([ grep { !/^ ERROR:  canceling autovacuum task/ } @errors ], [], "$what: no errors, and no deadlocks");
	unlike($log, qr/PANIC|TRAP|terminated by signal|leak/, "$what: nothing crashed or leaked");
	return;
}

sub all_is_well
{
	my ($what) = @_;
	is($node->safe_psql('postgres', $wrong), '', "$what: what is shown is what history says");
	is($node->safe_psql('postgres', $miscounted), '', "$what: every event is counted once");
	# past the moment of those that were just ahead
	$node->safe_psql('postgres', 'SELECT pg_sleep(3)');
	is($node->safe_psql('postgres', $wrong), '', "$what: and still is when more are due");
	$node->safe_psql('postgres', 'CALL leadscore.advance()');
	is($node->safe_psql('postgres', q{SELECT * FROM leadscore.pending_activity WHERE due_at < now() - interval '1 second' AND lead_key IN (SELECT id::text FROM lead)}), '', "$what: advance() leaves nothing that is due");
	is($node->safe_psql('postgres', q{SELECT lead_key FROM leadscore.m_state WHERE next_change_at < now() - interval '1 second'}), '', "$what: nor a state that is past its time");
	is($node->safe_psql('postgres', $wrong), '', "$what: which changes nothing that is shown");
	is($node->safe_psql('postgres', $miscounted), '', "$what: nor what is counted");
	is($node->safe_psql('postgres', q{SELECT rule, lead_key, message FROM leadscore.problem WHERE model = 'm'}), '', "$what: no problems");
	return;
}

my @runs = writers();
finish('events', @runs);
all_is_well('events');

$round++;
truncate $node->logfile, 0;
@runs = (writers(), start('edit', 1, 'read\ committed', 'edit'));
finish('edits', @runs);
$node->safe_psql('postgres', q{CALL leadscore.rescore('m')});
all_is_well('edits');
is($node->safe_psql('postgres', q{SELECT finding, detail FROM leadscore.doctor('m')}), '', 'the doctor is content');

$node->stop;
done_testing();
