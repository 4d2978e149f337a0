# Parallel workers score by the rules of their statement's snapshot, although
# each builds its rulebook itself and rules change meanwhile.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<EOS);
max_worker_processes = 8
max_parallel_workers = 8
max_parallel_workers_per_gather = 3
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
parallel_leader_participation = on
jit = off
EOS
$node->start;
$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE lead (id int, employees int, country text, title text, gone int);
ALTER TABLE lead SET (parallel_workers = 3);
INSERT INTO lead SELECT i, i % 100, CASE WHEN i % 2 = 0 THEN 'PL' ELSE 'DE' END, 'CEO', 1 FROM generate_series(1, 40000) i;
ANALYZE lead;
INSERT INTO leadscore.model (name, target) VALUES ('m', 'lead');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'm', 'all', 'employees >= 0', 1);
EOS

my %queries = (
	columns => q{SELECT min(leadscore.score('m', l)), max(leadscore.score('m', l)), count(*) FROM lead l},
	# what the planner leaves alone
	record => q{SELECT min(leadscore._score_row('m', l)), max(leadscore._score_row('m', l)), count(*) FROM lead l},
	filter => q{SELECT min(employees), max(employees), count(*) FROM lead l WHERE leadscore.score('m', l) < 0},
	versions => q{SELECT min((leadscore.evaluate('m', l)).version), max((leadscore.evaluate('m', l)).version), count(*) FROM lead l});

foreach my $name (sort keys %queries)
{
	my $plan = $node->safe_psql('postgres', "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $queries{$name}");
	like($plan, qr/Workers Launched: [1-9]/, "$name: workers take part") or diag($plan);
}
is($node->safe_psql('postgres', $queries{columns}), '1|1|40000', 'columns');
is($node->safe_psql('postgres', $queries{record}), '1|1|40000', 'record');
is($node->safe_psql('postgres', $queries{filter}), '||0', 'filter');

# changes of the statement's own transaction are seen by its workers
is($node->safe_psql('postgres', <<EOS), "201|201|40000\n1|1|40000", 'uncommitted rules');
BEGIN;
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (2, 'm', 'all', \$\$title = 'CEO'\$\$, 100);
SAVEPOINT s;
UPDATE leadscore.rule SET points = 200 WHERE points = 100;
$queries{columns};
ROLLBACK;
$queries{columns};
EOS

# a broken rule is one warning from the leader, and no error
my $broken = <<EOS;
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (2, 'm', 'all', 'gone = 1', 1000);
DO \$\$ DECLARE t name; BEGIN FOR t IN SELECT evtname FROM pg_event_trigger WHERE evtname ~ '^leadscore' LOOP EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', t); END LOOP; END \$\$;
ALTER TABLE lead DROP COLUMN gone;
DO \$\$ DECLARE t name; BEGIN FOR t IN SELECT evtname FROM pg_event_trigger WHERE evtname ~ '^leadscore' LOOP EXECUTE format('ALTER EVENT TRIGGER %I ENABLE', t); END LOOP; END \$\$;
EOS
$node->safe_psql('postgres', $broken);
my ($ret, $out, $err) = $node->psql('postgres', "$queries{columns};\n$queries{record};");
is($out, "1|1|40000\n1|1|40000", 'a broken rule does not speak');
is(() = $err =~ /WARNING/g, 1, 'and is one warning');
$node->safe_psql('postgres', 'DELETE FROM leadscore.rule WHERE id = 2');

# Rules change all the time: every rule gives the same points to all leads, so
# that a statement which mixes two versions shows.
my $edits = $node->basedir . '/edits.sql';
append_to_file($edits, join '', map {
	'UPDATE leadscore.rule SET points = points + 1 WHERE id = 1; SELECT pg_sleep(0.002);' .
	  ($_ % 10 == 3 ? q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (3, 'm', 'all', 'country IS NOT NULL', 100000);} :
		$_ % 10 == 6 ? 'DELETE FROM leadscore.rule WHERE id = 3;' : '') . "\n" } 1 .. 1000);
my ($edited, $edit_error) = ('', '');
my $editor = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $edits, '-d', $node->connstr('postgres') ],
	'<', \undef, '>', \$edited, '2>', \$edit_error);
$node->poll_query_until('postgres', q{SELECT points > 10 FROM leadscore.rule WHERE id = 1}) or die 'the editor does not edit';
my $script = "SET plan_cache_mode = force_generic_plan; PREPARE p AS $queries{columns};\n" . <<EOS x 40;
EXECUTE p;
$queries{columns};
$queries{record};
$queries{versions};
BEGIN ISOLATION LEVEL REPEATABLE READ;
$queries{columns};
EXECUTE p;
$queries{record};
COMMIT;
EOS
($ret, $out, $err) = $node->psql('postgres', $script);
is($err, '', 'no errors while rules change');
my @lines = split /\n/, $out;
is(scalar @lines, 40 * 7, 'all queries answered');
is_deeply([ grep { !/^(\d+)\|\1\|40000$/ } @lines ], [], 'each statement is scored by one version');
my @moved = (0) x @lines;
foreach my $i (0 .. 39)
{
	my @transaction = @lines[ $i * 7 + 4 .. $i * 7 + 6 ];
	$moved[$i] = 1 if $transaction[0] ne $transaction[1] || $transaction[0] ne $transaction[2];
}
ok(!(grep { $_ } @moved), 'a REPEATABLE READ transaction by one as well');
my %seen = map { $_ => 1 } @lines;
cmp_ok(scalar keys %seen, '>', 10, 'many versions were seen');
IPC::Run::finish($editor) or diag($edit_error);
is($edit_error, '', 'the editor met no error');
is($node->safe_psql('postgres', $queries{columns}), $node->safe_psql('postgres', $queries{record}), 'all agree in the end');

$node->stop;
done_testing();
