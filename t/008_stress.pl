# Eight clients score, edit rules, roll back and alter the table, all at once:
# each statement is scored by one version, nothing crashes, nothing leaks.
# LEADSCORE_STRESS_SECONDS says for how long (5).

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
max_worker_processes = 8
max_parallel_workers = 8
EOS
$node->start;

# Every rule holds for every lead, so that a statement which mixes versions shows.
$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE lead (id int PRIMARY KEY, employees int, country text, title text, junk text) PARTITION BY HASH (id);
CREATE TABLE lead_0 PARTITION OF lead FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE lead_1 PARTITION OF lead FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO lead SELECT i, i, 'PL', 'CEO', 'x' FROM generate_series(1, 500) i;
CREATE TABLE stored (id int PRIMARY KEY, score int);
CREATE VIEW source AS SELECT id, title || '' AS title, country, employees FROM lead;
INSERT INTO leadscore.model (name, target) VALUES ('m', 'lead');
INSERT INTO leadscore.model (name, target, source) VALUES ('v', 'lead', 'source');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum'), ('v', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('m', 'all', 'base', 'employees > 0', 1), ('v', 'all', 'base', 'employees > 0', 1);
CREATE FUNCTION one_version(n bigint, lowest int, most int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF n > 1 OR lowest <> most THEN
		RAISE EXCEPTION 'a statement mixed versions: % of them, scores from % to %', n, lowest, most;
	END IF;
END $$;
CREATE FUNCTION score_row(l lead) RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN leadscore.score('m', l); END $$;
CREATE PROCEDURE scan() LANGUAGE plpgsql AS $$
DECLARE
	c CURSOR FOR SELECT leadscore.score('m', l) AS score FROM lead l;
	first int;
BEGIN
	FOR r IN c LOOP
		first := coalesce(first, r.score);
		PERFORM one_version(1, first, r.score);
	END LOOP;
END $$;
EOS

my %scripts = (
	score => q{SELECT one_version(count(DISTINCT (e).version), min((e).score), max((e).score)) FROM (SELECT leadscore.evaluate('m', l) AS e FROM lead l OFFSET 0) s;},
	view => q{SELECT one_version(1, min(leadscore.score('v', l)), max(leadscore.score('v', l))) FROM source l;},
	two => q{SELECT one_version(1, min(leadscore.score('m', l)), max(score_row(l))) FROM lead l;},
	explain => q{SELECT one_version(1, min(s.sum), max(s.sum)) FROM (SELECT sum(e.counted)::int AS sum FROM lead l, leadscore.explain('m', l) e WHERE l.id < 50 GROUP BY l.id) s;},
	scan => q{CALL scan();},
	filter => q{SELECT count(*) FROM lead l WHERE l.id = 7 AND leadscore.temperature('m', l) = 'hot';},
	repeatable => q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT leadscore.score('m', l) AS first FROM lead l WHERE id = 1 \gset
		SELECT one_version(1, :first, leadscore.score('m', l)) FROM lead l WHERE id = 2;
		SELECT one_version(count(DISTINCT (e).version), least(:first, min((e).score)), max((e).score)) FROM (SELECT leadscore.evaluate('m', l) AS e FROM lead l OFFSET 0) s;
		COMMIT;},
	store => q{
		\set id random(1, 500)
		INSERT INTO stored SELECT id, leadscore.score('m', l) FROM lead l WHERE id = :id
			ON CONFLICT (id) DO UPDATE SET score = excluded.score;},
	points => q{
		\set points random(1, 100)
		UPDATE leadscore.rule SET points = :points WHERE parameter = 'base';},
	rules => q{
		\set points random(100, 1000)
		BEGIN;
		INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
			('m', 'all', 'country', $c$country = 'PL'$c$, :points), ('m', 'all', 'title', $c$title LIKE 'C%'$c$, :points),
			('v', 'all', 'country', $c$country = 'PL'$c$, :points);
		SELECT one_version(count(DISTINCT (e).version), min((e).score), max((e).score)) FROM (SELECT leadscore.evaluate('m', l) AS e FROM lead l OFFSET 0) s;
		COMMIT;
		DELETE FROM leadscore.rule WHERE parameter IN ('country', 'title');},
	rollback => q{
		BEGIN;
		UPDATE leadscore.rule SET points = points + 1 WHERE model = 'm' AND parameter = 'base';
		SAVEPOINT s;
		INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('m', 'all', $c$title = 'CEO'$c$, 7777);
		SELECT one_version(1, min(leadscore.score('m', l)), max(leadscore.score('m', l))) FROM lead l;
		ROLLBACK TO s;
		SELECT one_version(1, min(leadscore.score('m', l)), max(leadscore.score('m', l))) FROM lead l;
		ROLLBACK;},
	threshold => q{
		\set at random(1, 1000)
		BEGIN;
		DELETE FROM leadscore.threshold WHERE model = 'm';
		INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('m', 'temperature', 'hot', :at), ('m', 'temperature', 'cold', '-Infinity');
		COMMIT;},
	# nothing that rewrites the table: that would empty it for older snapshots
	alter => q{
		SELECT pg_sleep(0.05);
		ALTER TABLE lead ADD COLUMN IF NOT EXISTS added text DEFAULT 'a';
		INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES ('m', 'all', 'added', $c$added = 'a'$c$, 50000);
		ALTER TABLE lead ALTER junk TYPE varchar;
		ALTER TABLE lead ALTER junk TYPE text;
		ALTER TABLE lead DROP COLUMN added;
		DELETE FROM leadscore.rule WHERE parameter = 'added';},
	model => q{
		BEGIN;
		UPDATE leadscore.model SET score_max = 1000000 WHERE name = 'm';
		UPDATE leadscore.model SET score_max = NULL WHERE name = 'm';
		COMMIT;});

my $dir = $node->basedir;
foreach my $name (keys %scripts)
{
	(my $text = $scripts{$name}) =~ s/^\t\t//mg;
	$text =~ s/\n\t+/ /g;
	append_to_file("$dir/$name.pgbench", "$text\n");
}

# start CLIENTS, MODE, SCRIPT@WEIGHT...
sub start
{
	my ($clients, $mode, @files) = @_;
	# to files: nobody would empty a pipe while another run is waited for
	my $log = "$dir/" . join('_', $clients, $mode, map { /(\w+)/ } @files);
	my @command = ('pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, '-M', $mode, '--max-tries', 100,
		(map { my ($name, $weight) = split /@/; ('-f', "$dir/$name.pgbench\@$weight") } @files), '-h', $node->host, '-p', $node->port, 'postgres');
	my $run = IPC::Run::start(\@command, '<', \undef, '>', "$log.out", '2>', "$log.err");
	return { run => $run, log => $log, name => "$clients clients, $mode, @files" };
}

my @runs = (
	start(3, 'prepared', qw(score@5 view@3 two@2 filter@5 repeatable@2 store@2)),
	start(2, 'simple', qw(score@5 view@3 explain@2 scan@2 two@2 repeatable@2)),
	start(1, 'extended', qw(points@5 rules@3 rollback@3 score@1)),
	start(1, 'simple', qw(points@5 rollback@5 threshold@1 model@2)),
	start(1, 'simple', qw(alter@1)));
foreach my $run (@runs)
{
	ok(IPC::Run::finish($run->{run}), "no client is stopped by an error: $run->{name}") or diag(slurp_file("$run->{log}.err"));
	my ($done) = slurp_file("$run->{log}.out") =~ /number of transactions actually processed: (\d+)/;
	note("$run->{name}: $done transactions");
	cmp_ok($done // 0, '>', 0, 'and work was done');
}

# deadlocks between an edit, which then scores, and ALTER TABLE, which then edits, are in order
my $log = slurp_file($node->logfile);
my @errors = grep { !/deadlock detected|could not serialize access/ } $log =~ /^.*(?:ERROR|FATAL|PANIC|TRAP).*$/mg;
is_deeply(\@errors, [], 'no unexpected errors');
unlike($log, qr/leak|PANIC|TRAP|terminated by signal/i, 'nothing crashed or leaked');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT leadscore.score('m', l)), count(DISTINCT leadscore.score('v', l2)) FROM lead l, source l2}), '1|1', 'all agree in the end');
is($node->safe_psql('postgres', q{SELECT count(*) FROM lead l WHERE leadscore.score('m', l) <> (SELECT sum(points) FROM leadscore.rule WHERE model = 'm' AND enabled)}), 0, 'on the right score');

$node->stop;
done_testing();
