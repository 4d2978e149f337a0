# What leads did outlives everything: the server dies in the middle of a load of
# events; transactions in two phases; dump and restore; a replica, which reads
# all of it and writes nothing; and events that arrive by logical replication.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "fsync = on\nsynchronous_commit = on\ncheckpoint_timeout = 1h\nmax_prepared_transactions = 10");
$node->start;
my $tables = <<'EOS';
CREATE TABLE lead (id int PRIMARY KEY, email text, n int);
CREATE TABLE event (id int PRIMARY KEY, lead int, at timestamptz, kind text);
CREATE INDEX ON event (lead);
CREATE TABLE mail (id int PRIMARY KEY, address text, at timestamp, code text);
CREATE INDEX ON mail (lower(address));
EOS
my $model = <<'EOS';
CREATE EXTENSION leadscore;
INSERT INTO leadscore.model (name, target) VALUES ('m', 'lead'), ('twin', 'lead');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, event_key)
	SELECT name, 'events', 'event', 'lead', NULL, 'at', NULL, NULL FROM leadscore.model
	UNION ALL SELECT name, 'mails', 'mail', 'address', 'email', 'at', 'Europe/Warsaw', 'code' FROM leadscore.model;
INSERT INTO leadscore.factor (model, name, axis, combine) SELECT m.name, f.name, f.axis, 'sum' FROM leadscore.model m, (VALUES ('who', 'fit'), ('did', 'engagement')) f(name, axis);
INSERT INTO leadscore.rule (model, factor, condition, points, activity, half_life, at_least, within, inactive_for)
SELECT m.name, r.* FROM leadscore.model m, (VALUES
	('who', 'n > 50', 1000::float8, NULL, NULL::interval, NULL::int, NULL::interval, NULL::interval),
	('did', 'true', 1, 'events', NULL, NULL, NULL, NULL),
	('did', $$kind = 'visit'$$, 10, 'events', '7 days', NULL, NULL, NULL),
	('did', $$kind = 'chat'$$, 20, 'events', NULL, 3, '2 days', NULL),
	('did', 'true', -7, 'events', NULL, NULL, NULL, '20 days'),
	('did', 'true', 0.5, 'mails', NULL, NULL, NULL, NULL)) r;
SELECT leadscore.attach('m');
EOS
my $rows = <<'EOS';
INSERT INTO lead SELECT i, 'A' || i || '@x', i FROM generate_series(1, 100) i;
-- of leads that are not there as well, and some ahead of time
INSERT INTO event SELECT i, 1 + i % 110, now() + (i % 50 - 45) * interval '1 day', CASE i % 3 WHEN 0 THEN 'visit' WHEN 1 THEN 'chat' END FROM generate_series(1, 1000) i;
INSERT INTO mail SELECT i, 'a' || i % 60 || '@X', '2024-01-01', CASE WHEN i % 2 = 0 THEN 'c' || i % 80 END FROM generate_series(1, 200) i;
EOS
$node->safe_psql('postgres', "$tables $model $rows");

# What is shown of each lead against history; what is told of some instants; the
# leads that are not there.
my $wrong = q{
	SELECT l.id, s::text, e::text, NULL::timestamptz FROM lead l LEFT JOIN leadscore.m_scored s ON s.lead_key = l.id, LATERAL leadscore.evaluate('twin', l.id, statement_timestamp()) e
	WHERE (s.score, s.temperature, s.grade) IS DISTINCT FROM (e.score, e.temperature::text, e.grade) OR abs(s.engagement - e.engagement::numeric) > 0.02
	UNION ALL
	SELECT l.id, a::text, b::text, t.at FROM lead l, (VALUES (now() - interval '10 days'), (now() + interval '1 hour'), (now() + interval '10 days')) t(at),
		LATERAL leadscore.engagement('m', l.id, t.at) a, LATERAL leadscore.engagement('twin', l.id, t.at) b
	WHERE NOT abs(a - b) < 1e-6
	UNION ALL
	SELECT coalesce(s.lead_key, e.lead), s.lead_exists::text, NULL, NULL FROM (SELECT * FROM leadscore.m_state WHERE NOT lead_exists) s
		FULL JOIN (SELECT DISTINCT lead FROM event WHERE lead NOT IN (SELECT id FROM lead) AND lead IS NOT NULL) e ON e.lead = s.lead_key WHERE s.lead_key IS NULL OR e.lead IS NULL};
# All that is stored of what leads did.
my $stored = q{SET timezone = 'UTC'; SELECT lead_key, engagement, score, next_change_at, score_bound, scored_at, match_values, lead_exists FROM leadscore.m_state ORDER BY 1; SELECT * FROM leadscore.pending_activity ORDER BY model, lead_key, due_at, engagement::text};

sub all_is_well
{
	my ($what, $where, $database) = @_;
	is(($where // $node)->safe_psql($database // 'postgres', $wrong), '', "$what: what leads did is as history says");
	return;
}
all_is_well('before');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.pending_activity'), '>', 50, 'some is pending');

#
# kill -9
#

# crash_during NAME, SCRIPT, WHEN: feed SCRIPT to a session, crash when WHEN is true
sub crash_during
{
	my ($name, $script, $when) = @_;
	my $file = $node->basedir . "/$name.sql";
	append_to_file($file, $script);
	my ($out, $err) = ('', '');
	my $loader = IPC::Run::start([ 'psql', '-Xq', '-f', $file, '-d', $node->connstr('postgres') ], '<', \undef, '>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', $when) or die "$name does not come to where it should be stopped: $err";
	my @pids = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
	# first the postmaster, which would start all anew
	$node->kill9;
	kill 'KILL', @pids;
	IPC::Run::finish($loader);
	like($err, qr/server closed the connection|terminating connection|connection to server was lost/, "$name: was cut off");
	foreach (1 .. 100)
	{
		last if $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);
		select undef, undef, undef, 0.1;
	}
	return;
}
crash_during('chunks', join('', map { my $id = 10000 + 10 * $_; my $old = 1 + $_ % 900; <<"EOS" } 0 .. 5000),
BEGIN;
INSERT INTO event SELECT i, 1 + i % 110, now() + (i % 40 - 39) * interval '1 hour', CASE i % 3 WHEN 0 THEN 'visit' WHEN 1 THEN 'chat' END FROM generate_series($id, $id + 9) i;
UPDATE event SET lead = 1 + lead % 100 WHERE id = $old;
DELETE FROM event WHERE id = $old + 1;
INSERT INTO mail VALUES ($id, 'a$old\@x', '2024-01-01', 'c$old') ON CONFLICT DO NOTHING;
UPDATE lead SET n = 100 - n WHERE id = $old % 100;
COMMIT;
EOS
	'SELECT count(*) > 4000 FROM event');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM event'), '>', 4000, 'chunks: some are there');
all_is_well('chunks');
my $before = $node->safe_psql('postgres', $stored);
crash_during('load', <<'EOS', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()});
BEGIN;
INSERT INTO event SELECT i, 1 + i % 110, now() + (i % 5) * interval '1 day', 'visit' FROM generate_series(200000, 210000) i;
DELETE FROM event WHERE id < 500;
SELECT pg_switch_wal();
SELECT pg_sleep(1000);
EOS
is($node->safe_psql('postgres', $stored), $before, 'load: nothing of it is there');
all_is_well('load');

#
# Two phases
#
foreach my $end ('COMMIT', 'ROLLBACK')
{
	my $base = $end eq 'COMMIT' ? 300000 : 310000;
	$before = $node->safe_psql('postgres', $stored);
	$node->safe_psql('postgres', <<"EOS");
BEGIN;
INSERT INTO event SELECT i, 1 + i % 20, now(), 'visit' FROM generate_series($base, $base + 99) i;
SAVEPOINT a;
INSERT INTO event SELECT i, 1 + i % 20, now(), 'visit' FROM generate_series($base + 100, $base + 199) i;
ROLLBACK TO a;
INSERT INTO event VALUES ($base + 200, 21, now() + interval '1 day', 'visit'), ($base + 201, 120, now(), 'visit');
DELETE FROM event WHERE lead = 22;
UPDATE lead SET n = 7 WHERE id = 23;
PREPARE TRANSACTION 'events';
EOS
	is($node->safe_psql('postgres', $stored), $before, "$end PREPARED: nothing is seen yet");
	all_is_well("$end PREPARED: before");
	# it outlives a crash
	$node->stop('immediate');
	$node->start;
	# others go on, with the same leads
	my $timed_out = 0;
	$node->psql('postgres', "INSERT INTO event SELECT $base + 500 + i, i, now(), 'visit' FROM generate_series(1, 25) i", timeout => 5, timed_out => \$timed_out);
	is($timed_out, 0, "$end PREPARED: others write on");
	all_is_well("$end PREPARED: meanwhile");
	$node->safe_psql('postgres', "$end PREPARED 'events'");
	all_is_well("$end PREPARED: afterwards");
	$node->safe_psql('postgres', 'CALL leadscore.advance()');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM leadscore.pending_activity WHERE due_at <= now()}), 0, "$end PREPARED: nothing stays put off");
	all_is_well("$end PREPARED: and advanced");
}

#
# Dump and restore
#
$before = $node->safe_psql('postgres', $stored);
my $dump = $node->basedir . '/dump';
foreach my $format ('plain', 'custom')
{
	$node->safe_psql('postgres', "CREATE DATABASE $format");
	$node->command_ok([ 'pg_dump', '-F', $format, '-f', "$dump.$format", $node->connstr('postgres') ], "$format: dumped");
	$node->command_ok($format eq 'plain' ? [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.plain", $node->connstr($format) ] :
		[ 'pg_restore', '-j', 2, '-d', $node->connstr($format), "$dump.custom" ], "$format: restored");
	is($node->safe_psql($format, $stored), $before, "$format: all that is stored is as before");
	all_is_well($format, $node, $format);
	$node->safe_psql($format, q{INSERT INTO event VALUES (900000, 1, now(), 'visit'), (900001, 105, now(), 'visit'); DELETE FROM event WHERE lead = 2; INSERT INTO mail VALUES (900000, 'A3@x', '2024-01-01', 'c1'); INSERT INTO lead VALUES (105, 'a5@x', 1)});
	all_is_well("$format: and goes on", $node, $format);
	is($node->safe_psql($format, q{SELECT finding, detail FROM leadscore.doctor('m')}), '', "$format: the doctor is content");
}

#
# A replica
#
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', q{INSERT INTO event SELECT i, 1 + i % 30, clock_timestamp() + interval '0.1 seconds', 'visit' FROM generate_series(500000, 500049) i; INSERT INTO event VALUES (500050, 1, now(), 'visit'); DELETE FROM event WHERE lead = 40; SELECT pg_sleep(0.2)});
$node->wait_for_catchup($standby, 'replay');
is($standby->safe_psql('postgres', $stored), $node->safe_psql('postgres', $stored), 'replica: has what is stored');
is($standby->safe_psql('postgres', q{SELECT count(*) > 0 FROM leadscore.pending_activity WHERE due_at < now()}), 't', 'replica: some is due that nobody put in its place');
all_is_well('replica', $standby);
is($standby->safe_psql('postgres', q{SELECT array_agg(score) FROM leadscore.hot_list('m', 5)}), $node->safe_psql('postgres', q{SELECT array_agg(score) FROM leadscore.hot_list('m', 5)}), 'replica: the hottest leads');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM lead l, LATERAL (SELECT leadscore.score('m', l) AS score, (SELECT sum(counted) FROM leadscore.explain('m', l)) AS counted OFFSET 0) x WHERE score <> counted}), 0, 'replica: scores are explained');
my ($ret, $out, $err) = $standby->psql('postgres', 'CALL leadscore.advance()');
like($err, qr/ERROR: .*(read-only transaction|during recovery)/, 'replica: advance() is refused');
$standby->stop;

#
# Events that come by logical replication
#
my $crm = PostgreSQL::Test::Cluster->new('crm');
$crm->init(allows_streaming => 'logical');
$crm->start;
$crm->safe_psql('postgres', "$tables $rows CREATE PUBLICATION crm FOR ALL TABLES");
$node->safe_psql('postgres', 'CREATE DATABASE subscriber');
$node->safe_psql('subscriber', "$tables $model");
$node->safe_psql('subscriber', "CREATE SUBSCRIPTION crm CONNECTION '" . $crm->connstr . " dbname=postgres' PUBLICATION crm");
$node->wait_for_subscription_sync($crm, 'crm', 'subscriber');
all_is_well('subscriber: first copy', $node, 'subscriber');
sub change
{
	my ($what, $sql) = @_;
	$crm->safe_psql('postgres', $sql);
	$crm->wait_for_catchup('crm');
	all_is_well("subscriber: $what", $node, 'subscriber');
	return;
}
my $events = q{SELECT coalesce(sum(e.events), 0) FROM leadscore.m_state s, leadscore.engagement_entries(s.engagement) e};
change('inserts', q{INSERT INTO event SELECT 5000 + i, i, now() - i * interval '1 hour', 'chat' FROM generate_series(1, 50) i; INSERT INTO mail VALUES (5000, 'a1@x', '2024-01-01', 'c2'), (5001, 'a99@x', '2024-01-01', 'new')});
cmp_ok($node->safe_psql('subscriber', $events), '>', 1000, 'subscriber: they are counted');
change('changes', q{UPDATE event SET lead = lead + 1, kind = 'visit' WHERE id % 7 = 0; DELETE FROM event WHERE id % 7 = 1});
change('a merge', q{BEGIN; UPDATE event SET lead = 1 WHERE lead = 2; UPDATE mail SET address = 'a1@x' WHERE address = 'a2@X'; DELETE FROM lead WHERE id = 2; COMMIT});
change('the lead of events that were there', q{INSERT INTO lead VALUES (105, 'a5@x', 1); UPDATE lead SET email = 'A7@x' WHERE id = 8});
change('TRUNCATE', 'TRUNCATE event');
is($node->safe_psql('subscriber', q{SELECT count(*) FROM leadscore.m_state WHERE NOT lead_exists}), 0, 'subscriber: nobody is left who is not a lead');
change('all of them', 'TRUNCATE mail');
is($node->safe_psql('subscriber', $events), 0, 'subscriber: nothing is left of what they did');
is($node->safe_psql('subscriber', q{SELECT finding, detail FROM leadscore.doctor('m')}), '', 'subscriber: the doctor is content');
$node->safe_psql('subscriber', 'ALTER SUBSCRIPTION crm DISABLE; DROP SUBSCRIPTION crm');

my $log = slurp_file($node->logfile);
unlike($log, qr{PANIC:|TRAP:|terminated by signal|reference leak|leaked}, 'nothing crashed or leaked but what was killed');
$crm->stop;
$node->stop;
done_testing();
