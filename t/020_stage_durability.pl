# History, stages and pins outlive everything: dump and restore, with partitions
# that somebody added; a replica, which tells what has changed as its primary
# does; and the death of the server in the middle of moves.  Nobody changes the
# history, and what is no longer wanted is detached.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = on\nsynchronous_commit = on\ncheckpoint_timeout = 1h");
$node->start;
my $tables = q{
CREATE TABLE lead (id int PRIMARY KEY, n int, status text);
CREATE TABLE event (lead int, at timestamptz, kind int);
CREATE INDEX ON event (lead)};
$node->safe_psql('postgres', 'CREATE DATABASE crm');
$node->safe_psql('crm', <<"EOS");
$tables;
-- what is there without the extension
CREATE VIEW bare AS SELECT 'relation ' || c.oid::regclass AS object FROM pg_class c WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
	UNION ALL SELECT 'function ' || p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
	UNION ALL SELECT 'trigger ' || t.tgname FROM pg_trigger t UNION ALL SELECT 'type ' || t.oid::regtype FROM pg_type t WHERE t.typnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
	UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_temp|^pg_toast_temp';
EOS
my $bare = $node->safe_psql('crm', 'SELECT object FROM bare ORDER BY 1');
$node->safe_psql('crm', <<'EOS');
CREATE EXTENSION leadscore;
-- one of the past, one of today, one that somebody made by hand
SELECT leadscore.add_history_partition('2020-01-01 UTC', '2021-01-01 UTC'), leadscore.add_history_partition(now() - interval '1 day', now() + interval '1 day', 'History of today');
CREATE TABLE leadscore.history_2019 PARTITION OF leadscore.history FOR VALUES FROM ('2019-01-01 UTC') TO ('2020-01-01 UTC');
INSERT INTO lead SELECT i, 0, 'new' FROM generate_series(1, 60) i;
INSERT INTO leadscore.model (name, target, handoff_stage) VALUES ('m', 'lead', 'sal');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'who', 'fit', 'sum'), ('m', 'did', 'engagement', 'sum');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('m', 'event', 'event', 'lead', 'at');
INSERT INTO leadscore.rule (model, factor, activity, condition, points) VALUES ('m', 'who', NULL, 'n > 0', 60), ('m', 'did', 'event', 'true', 30);
INSERT INTO leadscore.transition (model, from_stage, to_stage, automatic, condition) VALUES
	('m', 'lead', 'mql', true, 'scored.score >= 50'), ('m', 'mql', 'sal', false, NULL), ('m', 'sal', 'sql', false, NULL), ('m', 'sal', 'nurture', false, NULL),
	('m', 'nurture', 'lead', false, NULL), ('m', 'sql', 'lead', false, NULL);
SELECT leadscore.attach('m');
INSERT INTO leadscore.history (at, recorded_at, model, lead_key, cause, to_stage, temperature, grade, score, fit, engagement)
	SELECT '2019-12-31 UTC'::timestamptz + i * interval '1 day', timestamptz '2020-01-05 UTC', 'm', 'old ' || i, 'attach', 'lead'::leadscore.lead_stage, 'cold', 'D4', 0, 0, 0 FROM generate_series(0, 3) i
	UNION ALL SELECT '2024-02-29 UTC', '2024-02-29 UTC', 'm', 'old x', 'attach', 'lead', 'cold', 'D4', 0, 0, 0;
UPDATE lead SET n = 1 WHERE id <= 30;
INSERT INTO event SELECT 30 + i % 20, now(), 1 FROM generate_series(1, 30) i;
SELECT leadscore.move('m', id, 'sal') FROM lead WHERE id <= 12;
SELECT leadscore.accept('m', 1), leadscore.reject('m', 2, 'not now');
SELECT leadscore.pin('m', 3, 'infinity', 'asked for peace'), leadscore.pin('m', 50, '2100-01-01 UTC', NULL);
INSERT INTO event SELECT 50, now(), 1 FROM generate_series(1, 3) i;
EOS
is($node->safe_psql('crm', q{SELECT tableoid::regclass, CASE WHEN at < '2025-01-01' THEN count(*) END FROM leadscore.history GROUP BY tableoid, at < '2025-01-01' ORDER BY tableoid::regclass::text COLLATE "C"}),
	qq{leadscore."History of today"|\nleadscore.history_2019|1\nleadscore.history_20200101|3\nleadscore.history_default|1}, 'rows are where they belong');

# Nobody changes what has happened, be he the owner of everything.
my $history = 'SELECT md5(string_agg(h::text, \',\' ORDER BY h.xact, h.xact_order, h.at)) FROM leadscore.history h';
my $before = $node->safe_psql('crm', $history);
my $copy = 'INSERT INTO %s SELECT * FROM %s LIMIT 1 ON CONFLICT (xact, xact_order, at) DO UPDATE SET score = 99';
foreach my $relation ('leadscore.history', 'leadscore.history_default', 'leadscore.history_2019', 'leadscore.history_20200101', 'leadscore."History of today"')
{
	foreach my $sql ("UPDATE $relation SET score = 99", "DELETE FROM $relation", "DELETE FROM ONLY $relation", "TRUNCATE $relation", "SET session_replication_role = replica; DELETE FROM $relation", sprintf($copy, $relation, $relation),
		"WITH d AS (DELETE FROM $relation RETURNING *) SELECT count(*) FROM d", "MERGE INTO $relation h USING (SELECT) s ON true WHEN MATCHED THEN DELETE")
	{
		# no rows are the partitioned table's own; a partition made by hand has no key, nor the guard that TRUNCATE needs
		next if $relation eq 'leadscore.history' && $sql =~ /ON CONFLICT/;
		next if $relation =~ /2019/ && $sql =~ /TRUNCATE|CONFLICT/;
		my ($ret, $out, $err) = $node->psql('crm', "BEGIN; $sql; COMMIT");
		like($err, qr/ERROR:  rows of leadscore\.history are only ever added/, "refused: $sql");
	}
}
is($node->safe_psql('crm', $history), $before, 'and the history is as it was');
$node->safe_psql('crm', q{CREATE TRIGGER history_guard_statement BEFORE TRUNCATE ON leadscore.history_2019 FOR EACH STATEMENT EXECUTE FUNCTION leadscore.history_guard()});
my ($ret, $out, $err) = $node->psql('crm', 'TRUNCATE leadscore.history_2019');
like($err, qr/only ever added/, 'TRUNCATE can be guarded by hand');
foreach my $case ([ q{'2020-06-01 UTC', '2022-01-01 UTC'}, qr/would overlap/ ], [ q{'2020-01-01 UTC', '2021-01-01 UTC'}, qr/"history_20200101" already exists/ ],
	[ q{'2024-01-01 UTC', '2025-01-01 UTC'}, qr/default partition .* would be violated/ ], [ q{NULL, '2025-01-01 UTC'}, qr/needs the times/ ])
{
	($ret, $out, $err) = $node->psql('crm', "SELECT leadscore.add_history_partition($case->[0])");
	like($err, $case->[1], "no such partition: $case->[0]");
}

# look NODE, DATABASE: all that is to come back
my %queries = (
	history => 'SELECT h.tableoid::regclass, to_jsonb(h) FROM leadscore.history h ORDER BY h.xact, h.xact_order, h.at',
	states => 'SELECT to_jsonb(s) FROM leadscore.m_state s ORDER BY lead_key',
	handoff => 'SELECT model, lead_key, stage, handed_off_at, score, temperature, grade, channel, pinned_until FROM leadscore.handoff ORDER BY 1, 2',
	pins => 'SELECT lead_key, pinned_until, stage FROM leadscore.m_scored WHERE pinned_until IS NOT NULL ORDER BY 1',
	changes => 'SELECT model, lead_key, at, recorded_at, cause, from_stage, to_stage, rules_gained, rules_lost, reason FROM leadscore.changes() ORDER BY recorded_at, at, lead_key, to_stage COLLATE "C"');
my %definitions = (
	partitions => q{SELECT c.oid::regclass::text COLLATE "C", pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_inherits ON inhrelid = c.oid WHERE inhparent = 'leadscore.history'::regclass ORDER BY 1},
	indexes => q{SELECT pg_get_indexdef(indexrelid) COLLATE "C" FROM pg_index JOIN pg_inherits ON inhrelid = indrelid WHERE inhparent = 'leadscore.history'::regclass ORDER BY 1},
	guards => q{SELECT tgrelid::regclass::text COLLATE "C", tgname COLLATE "C", tgenabled, pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('leadscore.history')) ORDER BY 1, 2},
	transitions => q{SELECT t.* FROM leadscore.transition t ORDER BY model, from_stage::text COLLATE "C", to_stage::text COLLATE "C"});
sub look
{
	my ($where, $database, %what) = @_;
	return map { $_ => $where->safe_psql($database, "SET TimeZone = 'UTC'; $what{$_}") } keys %what;
}
sub same
{
	my ($name, $got, $expected) = @_;
	is_deeply([ split /\n/, $got->{$_} ], [ split /\n/, $expected->{$_} ], "$name: $_") foreach sort keys %$expected;
	return;
}
# where a lead is, and what its history says
my $differs = q{SELECT s.lead_key, s.stage, h.to_stage FROM leadscore.m_state s FULL JOIN (SELECT DISTINCT ON (lead_key) * FROM leadscore.history WHERE lead_key !~ 'old' ORDER BY lead_key, at DESC, xact DESC, xact_order DESC) h ON h.lead_key = s.lead_key::text
	WHERE s.stage::text IS DISTINCT FROM h.to_stage::text OR (s.history_at, s.temperature, s.grade) IS DISTINCT FROM (h.at, h.temperature, h.grade)};
my %expected = look($node, 'crm', %queries, %definitions);
like($expected{guards}, qr/History of today".*history_guard_statement\|A\|.*TRUNCATE/, 'a partition has its guard');
is($expected{pins}, "3|infinity|sal\n50|2100-01-01 00:00:00+00|lead", 'pins are there');
is($node->safe_psql('crm', $differs), '', 'states are as the history says');

my $dir = $node->basedir;
$node->command_ok([ 'pg_dump', @$_[ 1 .. $#$_ ], '-f', "$dir/$_->[0]", '-d', $node->connstr('crm') ], "$_->[0]: dump")
  foreach [ 'plain' ], [ 'custom', '-F', 'custom' ], [ 'directory', '-F', 'directory', '-j', '3' ];
sub restore
{
	my ($where, $name, @command) = @_;
	$where->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0; ALTER DATABASE $name SET TimeZone = 'America/New_York'");
	my ($out, $err) = ('', '');
	ok(IPC::Run::run([ @command, '-d', $where->connstr($name) ], '>', \$out, '2>', \$err) && $err !~ /ERROR|WARNING/, "$name: restored without errors") or diag($err);
	my %got = look($where, $name, %queries, %definitions);
	same($name, \%got, \%expected);
	# it goes on
	$where->safe_psql($name, q{SELECT leadscore.accept('m', 4); INSERT INTO event SELECT 50, now(), 1 FROM generate_series(1, 3); UPDATE lead SET n = 1 WHERE id IN (59, 50)});
	is($where->safe_psql($name, 'SELECT lead_key, stage FROM leadscore.m_scored WHERE lead_key IN (4, 50, 59) ORDER BY 1'), "4|sql\n50|lead\n59|mql", "$name: leads move on, but for those that are pinned");
	is($where->safe_psql($name, $differs), '', "$name: states are as the history says");
	return;
}
restore($node, 'plain', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain");
restore($node, 'parallel', 'pg_restore', '--exit-on-error', '-j', '3', "$dir/directory");

# On another server transactions have other numbers.
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->start;
my $old_position = $node->safe_psql('crm', 'SELECT DISTINCT position FROM leadscore.changes()');
restore($other, 'custom', 'pg_restore', '--exit-on-error', "$dir/custom");
is($other->safe_psql('custom', "SELECT count(*) FROM leadscore.changes('$old_position') WHERE lead_key ~ 'old'"), 0, 'another server: what was long ago is not told again');
is($other->safe_psql('custom', "SELECT count(*) FROM leadscore.changes('$old_position') WHERE lead_key = '4' AND to_stage = 'sql'"), 1, 'another server: what is new is told');
# as of a transaction whose number has yet to come here
$other->safe_psql('custom', q{INSERT INTO leadscore.history (at, recorded_at, xact, model, lead_key, cause, to_stage, temperature, grade, score, fit, engagement)
	SELECT timestamptz '2024-02-29 UTC', timestamptz '2024-02-29 UTC', (pg_current_xact_id()::text::bigint + i)::text::xid8, 'm', 'old y' || i, 'attach', 'lead', 'cold', 'D4', 0, 0, 0 FROM unnest('{1,50,1000000}'::int[]) i});
my $position = $other->safe_psql('custom', 'SELECT DISTINCT position FROM leadscore.changes()');
is($other->safe_psql('custom', q{SELECT count(*) FROM leadscore.changes() WHERE lead_key ~ 'old y'}), 3, 'another server: rows of numbers to come are told of');
is($other->safe_psql('custom', "SELECT count(*) FROM leadscore.changes('$position')"), 0, 'another server: once');
$other->safe_psql('custom', "SELECT leadscore.accept('m', 5)");
$other->safe_psql('custom', join '', map { "SELECT pg_current_xact_id();\n" } 1 .. 60);
is($other->safe_psql('custom', "SELECT lead_key FROM leadscore.changes('$position')"), 5, 'another server: and not again as their numbers come');
$other->stop;

# A replica reads it all, and tells what has changed: whoever commits late on the
# primary is not left out.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'hot_standby_feedback = on');
$standby->start;
$node->wait_for_catchup($standby, 'replay');
my %theirs = look($standby, 'crm', %queries);
same('replica', \%theirs, { look($node, 'crm', %queries) });
my $keys = q{SELECT coalesce(string_agg(lead_key, ' ' ORDER BY lead_key), '') FROM leadscore.changes('%s')};
my $late = $node->background_psql('crm');
$late->query_safe(q{BEGIN; SELECT leadscore.accept('m', 6)});
$node->safe_psql('crm', q{SELECT leadscore.accept('m', 7)});
$node->wait_for_catchup($standby, 'replay');
my $of_primary = $node->safe_psql('crm', 'SELECT DISTINCT position FROM leadscore.changes()');
$position = $standby->safe_psql('crm', 'SELECT DISTINCT position FROM leadscore.changes()');
my $at_once = $standby->safe_psql('crm', q{SELECT string_agg(lead_key, ' ' ORDER BY lead_key) FROM leadscore.changes() WHERE lead_key IN ('6', '7') AND cause = 'accept'});
$node->safe_psql('crm', q{SELECT leadscore.accept('m', 8)});
$late->query_safe('COMMIT');
$late->quit;
$node->wait_for_catchup($standby, 'replay');
is(join(' ', sort split / /, $at_once . ' ' . $standby->safe_psql('crm', sprintf $keys, $position)), join(' ', sort split / /, ' 6 7 8'), 'replica: everything is told of once, also what is committed late');
is($standby->safe_psql('crm', sprintf $keys, $of_primary), '6 8', q{replica: the primary's position does as well});
is($node->safe_psql('crm', sprintf $keys, $position), $at_once eq '' ? '6 7 8' : '6 8', q{and the replica's on the primary});
($ret, $out, $err) = $standby->psql('crm', q{SELECT leadscore.move('m', 9, 'sql')});
like($err, qr/ERROR: .*(read-only transaction|during recovery)/, 'replica: nobody moves a lead');
$standby->stop;

# The server dies among moves.
append_to_file("$dir/moves.pgbench", q{
\set lead random(1, 60)
\set n random(0, 1)
BEGIN;
UPDATE lead SET n = :n WHERE id = :lead;
INSERT INTO event VALUES (:lead, now(), 1);
SELECT leadscore.move('m', s.lead_key, CASE s.stage WHEN 'mql' THEN 'sal' WHEN 'sal' THEN 'sql' ELSE 'lead' END::leadscore.lead_stage) FROM leadscore.m_scored s WHERE s.lead_key = :lead AND s.stage IN ('mql', 'sal', 'sql', 'nurture');
SELECT leadscore.pin('m', :lead, 'infinity', 'pin ' || :lead) WHERE :n = 1;
COMMIT;
});
my $pgbench_err = '';
my $load = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-j', 1, '-T', 100, '-f', "$dir/moves.pgbench", '-h', $node->host, '-p', $node->port, 'crm' ], '<', \undef, '>', \$out, '2>', \$pgbench_err);
$node->poll_query_until('crm', q{SELECT count(*) > 1000 FROM leadscore.history}) or die "moves do not get on: $pgbench_err";
my @pids = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
# first the postmaster, which would start all anew
$node->kill9;
kill 'KILL', @pids;
IPC::Run::finish($load);
like($pgbench_err, qr/aborted|server closed the connection/, 'crash: moves were cut off');
# what is left of it notices, and goes
foreach (1 .. 100)
{
	last if $node->start(fail_ok => 1);
	$node->stop('fast', fail_ok => 1);
	select undef, undef, undef, 0.1;
}
cmp_ok($node->safe_psql('crm', 'SELECT count(*) FROM leadscore.history'), '>', 1000, 'crash: the history is there');
is($node->safe_psql('crm', $differs), '', 'crash: states are as it says');
is($node->safe_psql('crm', q{SELECT s.lead_key, s.pin_reason FROM leadscore.m_state s WHERE s.pinned_until IS NOT NULL AND s.lead_key <> 3 AND s.pin_reason IS DISTINCT FROM 'pin ' || s.lead_key AND s.lead_key <> 50}), '', 'crash: and pins');
is($node->safe_psql('crm', q{SELECT s.lead_key FROM leadscore.m_state s JOIN (SELECT lead, count(*) FROM event GROUP BY 1) e ON e.lead = s.lead_key JOIN lead l ON l.id = s.lead_key
	WHERE s.score <> 30 * e.count + 60 * (l.n > 0)::int}), '', 'crash: scores are as computed anew');

# What is no longer wanted is detached, and dropped or kept elsewhere.
$node->safe_psql('crm', 'ALTER TABLE leadscore.history DETACH PARTITION leadscore.history_2019');
$node->safe_psql('crm', 'ALTER TABLE leadscore.history_2019 SET SCHEMA public');
$node->safe_psql('crm', 'ALTER TABLE leadscore.history DETACH PARTITION leadscore.history_20200101; DROP TABLE leadscore.history_20200101');
is($node->safe_psql('crm', q{SELECT lead_key FROM leadscore.history WHERE lead_key ~ 'old'}), 'old x', 'detached partitions are gone from the history');
($ret, $out, $err) = $node->psql('crm', q{SELECT leadscore.detach('m'); DROP EXTENSION leadscore});
like($err, qr/ERROR: .*cannot drop extension leadscore.*history_2019/s, 'one that is kept as a table is named by DROP EXTENSION');
$node->safe_psql('crm', q{DROP TABLE history_2019; DROP EXTENSION leadscore});
is($node->safe_psql('crm', 'SELECT object FROM bare ORDER BY 1'), $bare, 'nothing is left of the extension, or of the partitions');

$node->stop;
done_testing();
