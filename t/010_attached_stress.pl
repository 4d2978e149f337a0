# Ten clients write leads and look-ups in every way, while others rescore, and in
# a second round edit the rules as well.  Nobody meets an error that the same
# load would not have on plain tables, and in the end what is stored is what a
# recomputation gives.  LEADSCORE_STRESS_SECONDS says how long a round is (5).

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

# Each attached model has a twin that is not: the same rules, but that the one
# which fails on a lead is guarded.  What the twin says is what is to be stored.
$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE company (id int PRIMARY KEY, industry text);
INSERT INTO company SELECT i, 'mining' FROM generate_series(1, 20) i;
CREATE TABLE lead (id int PRIMARY KEY, company int, employees int, country text, budget text, seen timestamptz, junk text,
	score int, temperature text);
CREATE TABLE part (LIKE lead) PARTITION BY HASH (id);
ALTER TABLE part ADD PRIMARY KEY (id);
CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
-- some come and go, some stay, and some are written by nobody but one client
INSERT INTO lead SELECT i, 1 + i % 10, i % 150, 'PL', i, now(), 'x' FROM generate_series(1, 200) i;
INSERT INTO lead SELECT i, 11 + i % 10, i % 150, 'PL', i, now(), 'x' FROM generate_series(401, 460) i;
INSERT INTO lead SELECT 5000 + i, 11 + i % 10, i, 'PL', i, now(), 'x' FROM generate_series(0, 9) i;
INSERT INTO part SELECT * FROM lead;
CREATE VIEW lead_source AS
	SELECT l.id, l.employees, l.budget, l.seen, c.industry FROM lead l LEFT JOIN company c ON c.id = l.company;

INSERT INTO leadscore.model (name, target, source) VALUES
	('own', 'lead', NULL), ('looked', 'lead', 'lead_source'), ('part', 'part', NULL),
	('own_twin', 'lead', NULL), ('looked_twin', 'lead', 'lead_source'), ('part_twin', 'part', NULL);
INSERT INTO leadscore.factor (model, name, axis, combine) SELECT name, 'all', 'fit', 'sum' FROM leadscore.model;
INSERT INTO leadscore.factor (model, name, axis, combine) SELECT name, 'recent', 'engagement', 'sum' FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, parameter, condition, points)
SELECT m.name, r.factor, r.parameter, r.condition, r.points
FROM leadscore.model m, (VALUES
	('all', 'base', 'true', 1), ('all', 'size', 'employees >= 50', 10), ('all', 'size', 'employees >= 100', 20),
	('recent', 'seen', $$seen > now() - interval '2 seconds'$$, 40),
	('all', 'country', $$country = 'DE'$$, 80), ('all', 'industry', $$industry = 'energy'$$, 160)) r(factor, parameter, condition, points)
WHERE NOT (r.parameter = 'country' AND m.name ~ 'looked') AND NOT (r.parameter = 'industry' AND m.name !~ 'looked')
	-- a column that is written back is as of the last write
	AND NOT (r.parameter = 'seen' AND m.name ~ 'own');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points)
SELECT name, 'all', 'budget', CASE WHEN name ~ 'twin' THEN $$CASE WHEN budget ~ '^\d+$' THEN budget::int > 50 END$$ ELSE 'budget::int > 50' END, 320
FROM leadscore.model;
SELECT leadscore.attach('own', score_column => 'score', temperature_column => 'temperature');
SELECT leadscore.attach('looked');
SELECT leadscore.watch('looked', 'company', 'SELECT l.id FROM lead l WHERE l.company = company.id');
SELECT leadscore.attach('part');
CALL leadscore.rescore('own', write_back => true);

-- to another key, unless that is taken
CREATE PROCEDURE move(a int, b int) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE lead SET id = b WHERE id = a;
	UPDATE part SET id = b WHERE id = a;
EXCEPTION WHEN unique_violation THEN
	NULL;
END $$;
EOS

my %source = (own => 'lead', looked => 'lead_source', part => 'part');
# Leads without a state, and states without a lead.
my $strays = join ' UNION ALL ', map { "SELECT '$_' AS model, coalesce(l.id, s.lead_key) AS key, l.id IS NULL AS orphan
	FROM $source{$_} l FULL JOIN leadscore.${_}_state s ON s.lead_key = l.id WHERE l.id IS NULL OR s.lead_key IS NULL" } sort keys %source;
# Leads whose scored row is not what the twin says.  A state that was written
# between the start of the statement and its snapshot is ahead of the clock.
sub wrong
{
	return join ' UNION ALL ', map { "SELECT '$_' AS model, l.id, s::text AS stored, e::text AS computed
	FROM $source{$_} l JOIN leadscore.${_}_scored s ON s.lead_key = l.id, LATERAL leadscore.evaluate('${_}_twin', l) e
	WHERE s.scored_at <= statement_timestamp() AND (s.score, s.temperature, s.grade, s.fit, s.disqualified, s.has_problem)
		IS DISTINCT FROM (e.score, e.temperature::text, e.grade, floor(e.fit + 1e-9)::int, e.disqualified, l.budget !~ '^\\d+\$')" } @_;
}
my $wrong = wrong(sort keys %source);
# Problems are noted for the leads that have one.
my $problems = join ' UNION ALL ', map { "SELECT '$_' AS model, coalesce(p.lead_key, l.id::text), p.lead_key IS NULL AS missing
	FROM (SELECT * FROM leadscore.problem WHERE model = '$_') p FULL JOIN (SELECT * FROM $source{$_} WHERE budget !~ '^\\d+\$') l ON l.id::text = p.lead_key
	WHERE l.id IS NULL OR p.lead_key IS NULL" } sort keys %source;

# The same, at any moment.  Where a look-up changes while another transaction
# holds the lead, it is that one that scores it, as it commits.
my $wrong_now = wrong('own', 'part');
$node->safe_psql('postgres', <<EOS);
CREATE FUNCTION check_states() RETURNS void STABLE LANGUAGE plpgsql AS \$\$
DECLARE
	found text;
BEGIN
	SELECT string_agg(w::text, ' ') INTO found FROM (
		SELECT model, key::text, orphan::text, NULL AS computed FROM ($strays) s UNION ALL SELECT model, id::text, stored, computed FROM ($wrong_now) w) w;
	IF found IS NOT NULL THEN
		RAISE EXCEPTION 'states are wrong: %', found;
	END IF;
END \$\$;
EOS

# No two of them may deadlock on plain tables: each writes one row of a table, or
# rows in the order of their ids.  Keys that others insert are not moved to.
# Look-ups change of leads that stay where they are: a lead that moves to a
# company while that changes is as if it had come before, or after.
my $values = q{
	\set id random(1, 200)
	\set standing random(401, 440)
	\set company random(1, 10)
	\set employees random(1, 150)
	\set budget random(0, 100)
	\set ago random(0, 3)};
my $row = q{:company, :employees, CASE WHEN :budget < 50 THEN 'PL' ELSE 'DE' END,
	CASE WHEN :budget % 5 = 0 THEN 'much' ELSE :budget::text END, now() - :ago * interval '1 second'};
my $set = q{employees = :employees, budget = CASE WHEN :budget % 5 = 0 THEN 'much' ELSE :budget::text END};
my $nap = 'SELECT pg_sleep(0.002);';
my %scripts = (
	insert => qq{$values
		INSERT INTO TABLE (id, company, employees, country, budget, seen) VALUES (:id, $row) ON CONFLICT DO NOTHING;},
	upsert => qq{$values
		INSERT INTO TABLE (id, company, employees, country, budget, seen) VALUES (:id, $row)
			ON CONFLICT (id) DO UPDATE SET company = excluded.company, employees = excluded.employees, budget = excluded.budget, seen = excluded.seen;},
	update => qq{$values
		UPDATE TABLE SET $set, company = :company WHERE id = :id;},
	junk => qq{$values
		UPDATE TABLE SET junk = :employees WHERE id = :id;},
	delete => qq{$values
		DELETE FROM TABLE WHERE id = :id;},
	move => q{
		\set id random(1, 200)
		\set new random(1001, 1200)
		CALL move(:id, :new);},
	delete_moved => q{
		\set id random(1001, 1200)
		DELETE FROM TABLE WHERE id = :id;},
	several => qq{$values
		BEGIN;
		UPDATE TABLE SET $set WHERE id = :id;
		SAVEPOINT s;
		UPDATE TABLE SET $set, seen = now() WHERE id = :id + 10;
		ROLLBACK TO s;
		$nap
		UPDATE TABLE SET employees = employees + 7 WHERE id = :id + 20;
		COMMIT;},
	standing => qq{$values
		BEGIN;
		UPDATE TABLE SET $set WHERE id = :standing;
		SAVEPOINT s;
		UPDATE TABLE SET $set, seen = now() WHERE id = :standing + 10;
		ROLLBACK TO s;
		$nap
		UPDATE TABLE SET employees = :employees WHERE id = :standing + 20;
		COMMIT;},
	abort => qq{$values
		BEGIN;
		UPDATE TABLE SET $set WHERE id = :id;
		DELETE FROM TABLE WHERE id = :id;
		ROLLBACK;},
	replace => qq{$values
		BEGIN;
		DELETE FROM TABLE WHERE id = :id;
		INSERT INTO TABLE (id, company, employees, country, budget, seen) VALUES (:id, $row) ON CONFLICT DO NOTHING;
		$nap
		COMMIT;},
	company => qq{
		\\set company random(11, 20)
		\\set new random(1, 2)
		BEGIN;
		UPDATE company SET industry = CASE WHEN :new = 1 THEN 'energy' ELSE 'mining' END WHERE id = :company;
		$nap
		COMMIT;},
	# what nobody else writes: on plain tables this cannot fail
	own => qq{$values
		\\set id 5000 + :client_id
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT count(*) FROM TABLE;
		$nap
		UPDATE TABLE SET $set WHERE id = :id;
		$nap
		UPDATE TABLE SET employees = employees + 1, seen = now() WHERE id = :id;
		COMMIT;},
	own_new => qq{$values
		\\set id 5010 + :client_id
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT count(*) FROM TABLE;
		DELETE FROM TABLE WHERE id = :id;
		INSERT INTO TABLE (id, company, employees, country, budget, seen) VALUES (:id, $row);
		COMMIT;},
	rescore => q{
		CALL leadscore.rescore('own', 30);
		CALL leadscore.rescore('looked', 30);
		CALL leadscore.rescore('part', 30);},
	check => q{
		SELECT check_states();
		SELECT pg_sleep(0.05);},
	points => q{
		\set points random(1, 100)
		UPDATE leadscore.rule SET points = :points WHERE parameter = 'base';},
	rule => q{
		\set points random(1, 100)
		BEGIN;
		INSERT INTO leadscore.rule (model, factor, parameter, condition, points)
			SELECT name, 'all', 'more', 'employees % 7 = 0', :points FROM leadscore.model;
		SAVEPOINT s;
		UPDATE leadscore.rule SET points = points + 1 WHERE parameter = 'size';
		ROLLBACK TO s;
		COMMIT;
		DELETE FROM leadscore.rule WHERE parameter = 'more';},
	threshold => q{
		\set at random(1, 300)
		BEGIN;
		DELETE FROM leadscore.threshold WHERE NOT builtin;
		INSERT INTO leadscore.threshold (model, kind, label, at_least)
			SELECT name, 'temperature', t.label, t.at_least FROM leadscore.model, (VALUES ('hot', :at::float), ('cold', '-Infinity')) t(label, at_least);
		COMMIT;});

my $dir = $node->basedir;
foreach my $name (keys %scripts)
{
	(my $text = $scripts{$name}) =~ s/^\t\t?//mg;
	foreach my $table ('lead', 'part')
	{
		(my $of_table = $text) =~ s/\bTABLE\b/$table/g;
		append_to_file("$dir/${name}_$table.pgbench", "$of_table\n");
	}
}

# start NAME, CLIENTS, ISOLATION, SCRIPT@WEIGHT...
my $round = 0;
sub start
{
	my ($name, $clients, $isolation, @files) = @_;
	# to files: nobody would empty a pipe while another run is waited for
	my $log = "$dir/$round-$name";
	local $ENV{PGAPPNAME} = $name;
	local $ENV{PGOPTIONS} = "-c default_transaction_isolation=$isolation -c client_min_messages=error";
	my @command = ('pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, '--max-tries', 1000,
		(map { my ($file, $weight) = split /@/; ('-f', "$dir/$file.pgbench\@" . ($weight // 1)) } @files), '-h', $node->host, '-p', $node->port, 'postgres');
	my $run = IPC::Run::start(\@command, '<', \undef, '>', "$log.out", '2>', "$log.err");
	return { run => $run, log => $log, name => $name };
}

my @writes = map { ("insert_$_\@2", "upsert_$_\@5", "update_$_\@5", "junk_$_\@2", "delete_$_\@2", "delete_moved_$_\@1", "several_$_\@3", "abort_$_\@1", "replace_$_\@2", "standing_$_\@6") } 'lead', 'part';
sub writers
{
	return (start('committed', 4, 'read\ committed', @writes, 'move_lead@2', 'company_lead@6'),
		start('repeatable', 2, 'repeatable\ read', @writes, 'move_lead@2', 'company_lead@4'),
		start('own', 2, 'repeatable\ read', 'own_lead', 'own_part', 'own_new_lead', 'own_new_part'));
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
	# the server's own: REPEATABLE READ, and rows that others move to another partition
	is_deeply([ grep { !/^repeatable ERROR:  could not serialize access due to concurrent/ &&
		!/ERROR:  tuple to be (?:locked|updated|deleted) was already moved to another partition/ &&
		# who wants to lock a table sends autovacuum away
		!/^ ERROR:  canceling autovacuum task/ } @errors ], [],
		"$what: no errors but those that the application has without us");
	note("$what: " . scalar(@errors) . ' serialization failures');
	unlike($log, qr/PANIC|TRAP|terminated by signal|leak/, "$what: nothing crashed or leaked");
	return;
}

# round one: the rules stay as they are, and nobody may mend what is wrong
my @runs = (writers(), start('rescore', 1, 'read\ committed', 'rescore_lead'), start('rescore_too', 1, 'read\ committed', 'rescore_lead'),
	start('check', 1, 'read\ committed', 'check_lead'));
finish('writes', @runs);
is($node->safe_psql('postgres', $strays), '', 'writes: every lead has a state, every state a lead');
is($node->safe_psql('postgres', $wrong), '', 'writes: what is stored is what a recomputation gives');
is($node->safe_psql('postgres', $problems), '', 'writes: problems are noted for the leads that have one');
is($node->safe_psql('postgres', q{SELECT count(*) FROM lead l JOIN leadscore.own_state s ON s.lead_key = l.id
	WHERE (l.score, l.temperature) IS DISTINCT FROM (s.score, s.temperature)}), 0, 'writes: the columns that are written back agree');
is($node->safe_psql('postgres', q{SELECT finding, detail FROM leadscore.doctor() WHERE finding <> 'lead_problems'}), '', 'writes: the doctor is content');

# round two: they are edited
$round++;
truncate $node->logfile, 0;
@runs = (writers(), start('rescore', 1, 'read\ committed', 'rescore_lead'),
	start('edit', 1, 'read\ committed', 'points_lead@2', 'rule_lead@2', 'threshold_lead@1'));
finish('edits', @runs);
is($node->safe_psql('postgres', $strays), '', 'edits: every lead has a state, every state a lead');
$node->safe_psql('postgres', "CALL leadscore.rescore('own', write_back => true)");
$node->safe_psql('postgres', "CALL leadscore.rescore('$_')") foreach 'looked', 'part';
is($node->safe_psql('postgres', $wrong), '', 'edits: what is stored is what a recomputation gives');
is($node->safe_psql('postgres', $problems), '', 'edits: problems are noted for the leads that have one');
is($node->safe_psql('postgres', q{SELECT count(*) FROM lead l JOIN leadscore.own_state s ON s.lead_key = l.id
	WHERE (l.score, l.temperature) IS DISTINCT FROM (s.score, s.temperature)}), 0, 'edits: the columns that are written back agree');
is($node->safe_psql('postgres', q{SELECT finding, detail FROM leadscore.doctor() WHERE finding <> 'lead_problems'}), '', 'edits: the doctor is content');

$node->stop;
done_testing();
