# The server dies in the middle of a bulk load of leads, and of a rescore: what is
# there afterwards is scored as a recomputation says, and the rescore goes on.
# Transactions in two phases, too, keep leads and states together.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = on\nsynchronous_commit = on\ncheckpoint_timeout = 1h\nmax_prepared_transactions = 10");
$node->start;
$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE company (id int PRIMARY KEY, industry text);
INSERT INTO company SELECT i, CASE WHEN i % 2 = 0 THEN 'energy' END FROM generate_series(0, 9) i;
CREATE TABLE lead (id int PRIMARY KEY, company int, employees int, budget text, score int);
CREATE VIEW source AS SELECT l.id, l.employees, c.industry FROM lead l LEFT JOIN company c ON c.id = l.company;
INSERT INTO leadscore.model (name, target, source) VALUES ('own', 'lead', NULL), ('looked', 'lead', 'source');
INSERT INTO leadscore.factor (model, name, axis, combine) SELECT name, 'all', 'fit', 'sum' FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) SELECT name, 'all', 'size', 'employees % 10 > 5', 10 FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('own', 'all', $$budget::int > 100$$, 20), ('looked', 'all', $$industry = 'energy'$$, 40);
INSERT INTO lead SELECT i, i % 10, i, CASE WHEN i % 1000 = 7 THEN 'much' ELSE i::text END FROM generate_series(1, 5000) i;
SELECT leadscore.attach('own', score_column => 'score'), leadscore.attach('looked');
SELECT leadscore.watch('looked', 'company', 'SELECT l.id FROM lead l WHERE l.company = company.id');
CALL leadscore.rescore('own', write_back => true);
EOS

my %source = (own => 'lead', looked => 'source');
my $wrong = join ' UNION ALL ', map { "SELECT '$_', coalesce(l.id, s.lead_key) AS key, s.score, e.score FROM $source{$_} l FULL JOIN leadscore.${_}_state s ON s.lead_key = l.id
	LEFT JOIN LATERAL leadscore.evaluate('$_', CASE WHEN to_jsonb(l)->>'budget' IS DISTINCT FROM 'much' THEN l END) e ON true
	WHERE CASE WHEN l.id % 1000 = 7 THEN s.lead_key IS NULL ELSE l.id IS NULL OR (s.score, s.temperature, s.grade) IS DISTINCT FROM (e.score, e.temperature::text, e.grade) END" } sort keys %source;
$wrong = "SELECT * FROM ($wrong) w ORDER BY 1, 2 LIMIT 20";
my $problems = q{SELECT coalesce(p.lead_key, l.id::text) FROM (SELECT * FROM leadscore.problem WHERE model = 'own') p FULL JOIN (SELECT * FROM lead WHERE budget = 'much') l ON l.id::text = p.lead_key WHERE l.id IS NULL OR p.lead_key IS NULL};
my $written_back = q{SELECT count(*) FROM lead l JOIN leadscore.own_state s ON s.lead_key = l.id WHERE l.score IS DISTINCT FROM s.score};

sub all_is_well
{
	my ($what) = @_;
	is($node->safe_psql('postgres', $wrong), '', "$what: states are as recomputed");
	is($node->safe_psql('postgres', $problems), '', "$what: problems are those of the leads that are there");
	is($node->safe_psql('postgres', $written_back), 0, "$what: columns that are written back are as the states");
	return;
}
all_is_well('before');

# crash_during SCRIPT, WHEN: feed SCRIPT to a session, crash when WHEN is true
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
	# what is left of it notices, and goes
	foreach (1 .. 100)
	{
		last if $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);
		select undef, undef, undef, 0.1;
	}
	return;
}

# many small transactions; some leads are replaced, deleted, get other keys
crash_during('chunks',
	join('', map { my $from = 10000 + 20 * $_; my $old = 1 + $_ % 4000; <<"EOS" } 0 .. 3000),
BEGIN;
INSERT INTO lead SELECT i, i % 10, i, CASE WHEN i % 1000 = 7 THEN 'much' ELSE i::text END FROM generate_series($from, $from + 19) i;
UPDATE lead SET employees = employees + 3 WHERE id = $old;
DELETE FROM lead WHERE id = $old + 1;
UPDATE lead SET id = 100000 + id WHERE id = $from + 1 AND id % 1000 <> 7;
UPDATE company SET industry = CASE WHEN industry IS NULL THEN 'energy' END WHERE id = $old % 10 AND $old % 50 = 0;
COMMIT;
EOS
	'SELECT count(*) > 6000 FROM lead');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM lead'), '>', 6000, 'chunks: some are there');
all_is_well('chunks');

# one large transaction
my $before = $node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM lead), count(*), sum(score) FROM leadscore.own_state');
crash_during('load', <<'EOS', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()});
BEGIN;
INSERT INTO lead SELECT i, i % 10, i, i::text FROM generate_series(200000, 220000) i;
DELETE FROM lead WHERE id < 1000;
TRUNCATE company;
SELECT pg_switch_wal();
SELECT pg_sleep(1000);
EOS
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM lead), count(*), sum(score) FROM leadscore.own_state'), $before, 'load: nothing of it is there');
all_is_well('load');

# a rescore, with leads that are written meanwhile
$node->safe_psql('postgres', q{UPDATE leadscore.rule SET points = 11 WHERE parameter = 'size'});
crash_during('rescore', "CALL leadscore.rescore('looked', 1);\n", q{SELECT seen > 1000 AND updated_at > started_at + interval '1 second' FROM leadscore.rescore_run WHERE model = 'looked' AND NOT finished});
my ($started, $seen, $after) = split /\|/, $node->safe_psql('postgres', q{SELECT started_at, seen, after_key FROM leadscore.rescore_run WHERE model = 'looked' AND NOT finished});
# the last batches are lost together with what they wrote: they do not wait for the disk
cmp_ok($seen, '>', 0, 'rescore: its progress is there');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM leadscore.looked_state s JOIN source l ON l.id = s.lead_key WHERE s.lead_key <= $after AND s.score <> leadscore.score('looked', l)}), 0, 'rescore: and what it says is done is done');
is($node->safe_psql('postgres', qq{SELECT count(*) > 0 FROM leadscore.looked_state s JOIN source l ON l.id = s.lead_key WHERE s.score <> leadscore.score('looked', l)}), 't', 'rescore: not more');
my ($ret, $out, $err) = $node->psql('postgres', q{CALL leadscore.rescore('looked')});
is($node->safe_psql('postgres', q{SELECT finished, started_at FROM leadscore.rescore_run WHERE model = 'looked'}), "t|$started", 'rescore: it goes on where it was');
$node->safe_psql('postgres', q{CALL leadscore.rescore('own', write_back => true)});
all_is_well('rescore');
# begun without, it goes on with writing back, but not only from there
$node->safe_psql('postgres', q{UPDATE leadscore.rule SET points = 12 WHERE parameter = 'size';
	SELECT leadscore.rescore_step('own', 1000, false); SELECT leadscore.rescore_step('own', 1000, false)});
$node->safe_psql('postgres', q{CALL leadscore.rescore('own', write_back => true)});
$node->safe_psql('postgres', q{CALL leadscore.rescore('looked')});
all_is_well('rescore with and without write_back');
$node->safe_psql('postgres', q{CALL leadscore.rescore('own', write_back => true)});

# two phases
my @phases = ('COMMIT', 'ROLLBACK');
foreach my $end (@phases)
{
	my $base = $end eq 'COMMIT' ? 300000 : 310000;
	$before = $node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM lead), count(*), sum(score) FROM leadscore.own_state');
	$node->safe_psql('postgres', <<"EOS");
SET client_min_messages = error;
BEGIN;
INSERT INTO lead SELECT i, i % 10, i, CASE WHEN i % 1000 = 7 THEN 'much' ELSE '150' END FROM generate_series($base, $base + 99) i;
SAVEPOINT a;
UPDATE lead SET employees = employees + 1 WHERE id BETWEEN $base AND $base + 50;
DELETE FROM lead WHERE id = $base + 3;
ROLLBACK TO a;
DELETE FROM lead WHERE id = $base + 4;
SAVEPOINT b;
INSERT INTO lead VALUES ($base + 4, 1, 6, '500');
RELEASE b;
UPDATE lead SET id = id + 1000 WHERE id = $base + 9;
UPDATE lead SET employees = employees + 2 WHERE id = 3000;
UPDATE company SET industry = 'energy' WHERE id = 1;
PREPARE TRANSACTION 'leads';
EOS
	all_is_well("$end PREPARED: before");
	is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM lead), count(*), sum(score) FROM leadscore.own_state'), $before, "$end PREPARED: nothing is seen yet");
	# it outlives a crash
	$node->stop('immediate');
	$node->start;
	# a statement_timeout would not do: a wait at commit is behind it
	my $timed_out = 0;
	$node->psql('postgres', 'UPDATE lead SET employees = employees + 1 WHERE id = 3002', timeout => 5, timed_out => \$timed_out);
	is($timed_out, 0, "$end PREPARED: others write on");
	$node->safe_psql('postgres', "$end PREPARED 'leads'");
	is($node->safe_psql('postgres', "SELECT count(*) FROM lead WHERE id BETWEEN $base AND $base + 2000"), $end eq 'COMMIT' ? 100 : 0, "$end PREPARED: done");
	all_is_well("$end PREPARED: afterwards");
}
is($node->safe_psql('postgres', 'SELECT finding FROM leadscore.doctor()'), 'lead_problems', 'the doctor is content but for the rule that fails');

$node->stop;
done_testing();
