# The server dies in the middle of a bulk load of rules: what was committed is
# there, with its version; what was not is gone; the scores follow.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# what was committed must survive the crash
$node->append_conf('postgresql.conf', "fsync = on\nsynchronous_commit = on\ncheckpoint_timeout = 1h");
$node->start;
$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE lead (id int PRIMARY KEY, employees int);
INSERT INTO lead SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO leadscore.model (name, target) VALUES ('m', 'lead');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum');
EOS

# What the score must be, by plain SQL: rule i asks for employees >= i % 20 and gives i % 7 points.
my $check = <<'EOS';
SELECT count(*) FILTER (WHERE leadscore.score('m', l) IS DISTINCT FROM
	(SELECT coalesce(sum(r.points), 0)::int FROM leadscore.rule r
	 WHERE l.employees >= substring(r.condition FROM '\d+')::int)), max(leadscore.score('m', l)) > 0
FROM lead l
EOS
my $state = q{SELECT (SELECT count(*) FROM leadscore.rule), version FROM leadscore.model};
my $chunk = 20;

sub load_statement
{
	my ($from, $n) = @_;
	return "INSERT INTO leadscore.rule (model, factor, condition, points) "
	  . "SELECT 'm', 'all', 'employees >= ' || i % 20, i % 7 FROM generate_series($from, $from + $n - 1) i;\n";
}

# crash_during SCRIPT, WHEN: feed SCRIPT to a session, crash when WHEN is true
sub crash_during
{
	my ($name, $script, $when) = @_;
	my $file = $node->basedir . "/$name.sql";
	append_to_file($file, $script);
	my ($out, $err) = ('', '');
	my $loader = IPC::Run::start([ 'psql', '-Xq', '-f', $file, '-d', $node->connstr('postgres') ], '<', \undef, '>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', $when) or die 'the load does not come to where it should be stopped';
	$node->stop('immediate');
	IPC::Run::finish($loader);
	like($err, qr/server closed the connection|terminating connection|connection to server was lost/, "$name: the load was cut off");
	$node->start;
	return;
}

is($node->safe_psql('postgres', $state), '0|2', 'before the load');

# many small transactions: some are in, each with its version
crash_during('chunks', join('', map { load_statement(1 + $_ * $chunk, $chunk) } 0 .. 5000), 'SELECT count(*) > 200 FROM leadscore.rule');
my ($rules, $version) = split /\|/, $node->safe_psql('postgres', $state);
cmp_ok($rules, '>', 200, 'chunks: some are there');
is($rules % $chunk, 0, 'chunks: each whole or not at all');
is($version, 2 + $rules / $chunk, 'chunks: the version counts them');
is($node->safe_psql('postgres', $check), '0|t', 'chunks: scores are those of the rules that are there');

# one large transaction: nothing of it is in
my $before = $node->safe_psql('postgres', $state);
crash_during(
	'transaction',
	"BEGIN;\n" . load_statement(1, 2000) . "SELECT count(leadscore.score('m', l)) FROM lead l;\nCREATE TABLE loaded ();\n" . load_statement(1, 2000) . "SELECT pg_sleep(1000);\n",
	q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()});
is($node->safe_psql('postgres', $state), $before, 'transaction: no rule and no version of it');
is($node->safe_psql('postgres', $check), '0|t', 'transaction: scores are as before');

# the same number of a version now means other rules
$node->safe_psql('postgres', load_statement(1, 1));
is($node->safe_psql('postgres', $state), ($rules + 1) . '|' . ($version + 1), 'life goes on');
is($node->safe_psql('postgres', $check), '0|t', 'with right scores');

# while many sessions score
my @scorers = map {
	my ($out, $err) = ('', '');
	my $script = $node->basedir . '/score.sql';
	append_to_file($script, "SELECT sum(leadscore.score('m', l)) FROM lead l;\n" x 2000) if !-e $script;
	IPC::Run::start([ 'psql', '-Xq', '-f', $script, '-d', $node->connstr('postgres') ], '<', \undef, '>', \$out, '2>', \$err)
} 1 .. 3;
crash_during('scored', join('', map { load_statement(1 + $_ * $chunk, $chunk) } 0 .. 5000), 'SELECT count(*) > 100 + ' . $rules . ' FROM leadscore.rule');
IPC::Run::finish($_) foreach @scorers;
my ($rules_now, $version_now) = split /\|/, $node->safe_psql('postgres', $state);
is($version_now, $version + 1 + ($rules_now - $rules - 1) / $chunk, 'scored: the version counts what is there');
is($node->safe_psql('postgres', $check), '0|t', 'scored: scores are those of the rules that are there');

$node->stop;
done_testing();
