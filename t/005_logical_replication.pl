# Rule tables fed by logical replication: the triggers fire in the apply worker,
# so that the subscriber's sessions learn of new rules as from any other writer.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical');
# a table whose rows came too early for another's is tried again
$subscriber->append_conf('postgresql.conf', 'wal_retrieve_retry_interval = 200ms');
$subscriber->start;

foreach my $node ($publisher, $subscriber)
{
	$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE SCHEMA crm;
CREATE TABLE crm.lead (id int PRIMARY KEY, employees int, country text, title text);
INSERT INTO crm.lead SELECT i, i, CASE WHEN i % 2 = 0 THEN 'PL' ELSE 'DE' END, 'CEO' FROM generate_series(1, 100) i;
EOS
}
# Somebody's CREATE PUBLICATION ... FOR ALL TABLES must not make deletes fail.
is($publisher->safe_psql('postgres', q{
	SELECT coalesce(string_agg(c.relname, ', ' ORDER BY c.relname), '') FROM pg_class c
	WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relkind = 'r' AND c.relreplident = 'd'
	  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)}),
	'', 'every table has a replica identity');
# a model that is only there
$subscriber->safe_psql('postgres', q{
	INSERT INTO leadscore.model (name, target) VALUES ('own', 'crm.lead');
	INSERT INTO leadscore.model (name, target) VALUES ('quiet', 'crm.lead');
	INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('own', 'all', 'fit', 'sum');
	INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1000, 'own', 'all', 'true', 1)});
$publisher->safe_psql('postgres', <<'EOS');
SET search_path = crm;
INSERT INTO leadscore.model (name, target) VALUES ('m', 'lead');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'm', 'all', 'employees > 50', 1);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('m', 'temperature', 'hot', 1), ('m', 'temperature', 'cold', '-Infinity');
ALTER TABLE leadscore.threshold REPLICA IDENTITY FULL;
ALTER TABLE leadscore.problem REPLICA IDENTITY FULL;
-- a model that both know, and of which only the rules are published
INSERT INTO leadscore.model (name, target) VALUES ('quiet', 'lead');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('quiet', 'all', 'fit', 'sum');
CREATE PUBLICATION rules FOR TABLE leadscore.model WHERE (name <> 'quiet'), leadscore.factor, leadscore.rule, leadscore.problem, leadscore.threshold WHERE (NOT builtin);
EOS
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION rules CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION rules WITH (copy_data = true)");
$subscriber->wait_for_subscription_sync($publisher, 'rules');

my $scores = q{SELECT md5(string_agg(x::text, ' ')), sum(score) FROM (SELECT l.id, e.score, e.temperature, e.grade FROM crm.lead l, leadscore.evaluate('m', l) e ORDER BY l.id) x};
my $version = q{SELECT version FROM leadscore.model WHERE name = 'm'};
is($subscriber->safe_psql('postgres', $scores), $publisher->safe_psql('postgres', $scores), 'the first copy');
is($subscriber->safe_psql('postgres', q{SELECT target, search_path FROM leadscore.model WHERE name = 'm'}),
	'crm.lead|pg_catalog, crm, pg_temp', 'tables are found by their names');

# One session of the subscriber's, with prepared statements, stays all the time.
my $session = { in => '', out => '', err => '' };
$session->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $subscriber->connstr('postgres') ],
	'<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err}, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

sub ask
{
	my ($sql) = @_;
	$session->{out} = $session->{err} = '';
	$session->{in} .= "$sql\n\\echo -done-\n\\warn -done-\n";
	IPC::Run::pump($session->{run}) until $session->{out} =~ /^-done-\n/m && $session->{err} =~ /^-done-\n/m;
	my $answer = $session->{err} . $session->{out};
	$answer =~ s/^-done-\n//mg;
	chomp $answer;
	return $answer;
}
ask(q{SET plan_cache_mode = force_generic_plan;
	PREPARE s AS SELECT sum(leadscore.score('m', l)) FROM crm.lead l;
	PREPARE t AS SELECT count(*) FROM crm.lead l WHERE leadscore.temperature('m', l) = 'hot';
	PREPARE o AS SELECT sum(leadscore.score('own', l)) FROM crm.lead l;});
is(ask('EXECUTE s; EXECUTE t; EXECUTE o;'), "50\n50\n100", 'prepared on the subscriber');

# change WHAT, SQL, ANSWER
sub change
{
	my ($what, $sql, $answer) = @_;
	my $old = $subscriber->safe_psql('postgres', $version);
	$publisher->safe_psql('postgres', $sql);
	$publisher->wait_for_catchup('rules');
	is(ask('EXECUTE s; EXECUTE t; EXECUTE o;'), $answer, $what);
	is($subscriber->safe_psql('postgres', $scores), $publisher->safe_psql('postgres', $scores), "$what: the same scores");
	cmp_ok($subscriber->safe_psql('postgres', $version), '>', $old, "$what: the version is raised");
	return;
}

change('points', q{UPDATE leadscore.rule SET points = 2 WHERE id = 1}, "100\n50\n100");
change('a new column', q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (2, 'm', 'all', $$country = 'PL'$$, 10)}, "600\n75\n100");
change('a new factor', q{
	BEGIN;
	INSERT INTO leadscore.factor (model, name, axis, combine, points_cap) VALUES ('m', 'title', 'engagement', 'sum', 5);
	INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (3, 'm', 'title', $$title = 'CEO'$$, 100);
	COMMIT}, "1100\n100\n100");
change('a factor changes', q{UPDATE leadscore.factor SET points_cap = 6 WHERE name = 'title'}, "1200\n100\n100");
change('the model changes', q{UPDATE leadscore.model SET score_max = 7 WHERE name = 'm'}, "675\n100\n100");
change('it changes back', q{UPDATE leadscore.model SET score_max = NULL WHERE name = 'm'}, "1200\n100\n100");
change('thresholds', q{UPDATE leadscore.threshold SET at_least = 17 WHERE label = 'hot' AND NOT builtin}, "1200\n25\n100");
change('thresholds are deleted', q{DELETE FROM leadscore.threshold WHERE NOT builtin}, "1200\n0\n100");
change('a rule is disabled', q{UPDATE leadscore.rule SET enabled = false WHERE id = 3}, "600\n0\n100");
change('a rule is deleted', q{DELETE FROM leadscore.rule WHERE id = 2}, "100\n0\n100");
change('defaults', q{INSERT INTO leadscore.threshold (kind, label, at_least) VALUES ('temperature', 'hot', 2), ('temperature', 'cold', '-Infinity')}, "100\n50\n100");
# a rule that the subscriber's table has no column for: replication goes on
$publisher->safe_psql('postgres', 'ALTER TABLE crm.lead ADD COLUMN only_here text');
$publisher->safe_psql('postgres', q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (4, 'm', 'all', 'only_here IS NULL', 1000)});
$publisher->wait_for_catchup('rules');
like(ask('EXECUTE s;'), qr/\AWARNING:  rule 4 of scoring model "m" is skipped: column "only_here" does not exist\n.*^100\z/ms, 'a rule that cannot be used there');
change('and its end', q{DELETE FROM leadscore.rule WHERE id = 4}, "100\n50\n100");

# nothing but the triggers raises the version here
ask(q{PREPARE q AS SELECT sum(leadscore.score('quiet', l)) FROM crm.lead l;});
is(ask('EXECUTE q;'), '0', 'no rules yet');
foreach my $change ([ q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (50, 'quiet', 'all', 'employees > 90', 1)}, 10 ],
	[ q{UPDATE leadscore.rule SET points = 2 WHERE id = 50}, 20 ],
	[ q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (51, 'quiet', 'all', $$country = 'PL'$$, 1)}, 70 ],
	[ q{UPDATE leadscore.factor SET points_cap = 2 WHERE model = 'quiet'}, 65 ],
	[ q{DELETE FROM leadscore.rule WHERE id = 50}, 50 ])
{
	$publisher->safe_psql('postgres', $change->[0]);
	$publisher->wait_for_catchup('rules');
	is(ask('EXECUTE q;'), $change->[1], "by its triggers alone: $change->[0]");
}

# TRUNCATE; the subscriber's own rules are in the same table
$publisher->safe_psql('postgres', 'TRUNCATE leadscore.rule, leadscore.problem');
$publisher->wait_for_catchup('rules');
is(ask('EXECUTE s; EXECUTE o;'), "0\n0", 'truncated');
$publisher->safe_psql('postgres', q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (5, 'm', 'all', 'employees = 7', 1)});
$publisher->wait_for_catchup('rules');
is(ask('EXECUTE s;'), '1', 'and filled again');

# the model is deleted and comes again
$publisher->safe_psql('postgres', q{DELETE FROM leadscore.model WHERE name = 'm'});
$publisher->wait_for_catchup('rules');
like(ask('EXECUTE s;'), qr/scoring model "m" does not exist/, 'the model is gone');
is($subscriber->safe_psql('postgres', q{SELECT (SELECT count(*) FROM leadscore.factor WHERE model = 'm') + (SELECT count(*) FROM leadscore.rule WHERE model = 'm')}), 0, 'with all of it');
$publisher->safe_psql('postgres', q{
	INSERT INTO leadscore.model (name, target) VALUES ('m', 'crm.lead');
	INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum');
	INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (6, 'm', 'all', 'true', 3)});
$publisher->wait_for_catchup('rules');
is(ask('EXECUTE s;'), '300', 'and is there again');

unlike(slurp_file($subscriber->logfile), qr/PANIC|terminated by signal|TRAP/, 'no worker has crashed');

$session->{in} .= "\\q\n";
IPC::Run::finish($session->{run});
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION rules');
$subscriber->stop;
$publisher->stop;
done_testing();
