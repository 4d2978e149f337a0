# A streaming replica scores as its primary does, sees a change of rules once it
# is replayed, whatever its sessions had prepared, and writes nothing.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A psql that stays.
sub session
{
	my ($node) = @_;
	my $self = { in => '', out => '', err => '' };
	$self->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $self;
}

# ask SESSION, SQL: what it answers, warnings and errors first
sub ask
{
	my ($self, $sql) = @_;
	$self->{out} = $self->{err} = '';
	$self->{in} .= "$sql\n\\echo -done-\n\\warn -done-\n";
	IPC::Run::pump($self->{run}) until $self->{out} =~ /^-done-\n/m && $self->{err} =~ /^-done-\n/m;
	my $answer = $self->{err} . $self->{out};
	$answer =~ s/^-done-\n//mg;
	chomp $answer;
	return $answer;
}

# event_triggers DISABLE|ENABLE: the SQL to do so
sub event_triggers
{
	my ($how) = @_;
	return "DO \$\$ DECLARE t name; BEGIN FOR t IN SELECT evtname FROM pg_event_trigger WHERE evtname ~ '^leadscore' LOOP "
	  . "EXECUTE format('ALTER EVENT TRIGGER %I $how', t); END LOOP; END \$\$";
}

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', 'autovacuum = off');
$primary->start;
$primary->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE lead (id int PRIMARY KEY, employees int, country text, title text, gone text);
INSERT INTO lead SELECT i, i, CASE WHEN i % 2 = 0 THEN 'PL' ELSE 'DE' END, 'CEO', 'x' FROM generate_series(1, 1000) i;
INSERT INTO leadscore.model (name, target) VALUES ('m', 'lead');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'm', 'all', 'employees >= 500', 5);
EOS
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nmax_standby_streaming_delay = 600s\nwal_receiver_status_interval = 1s");
$standby->start;

sub change
{
	my ($sql) = @_;
	$primary->safe_psql('postgres', $sql);
	$primary->wait_for_catchup($standby, 'replay');
	return;
}

my $all = q{SELECT md5(string_agg(x::text, ' ')) FROM (SELECT l.id, leadscore.evaluate('m', l), array(SELECT e FROM leadscore.explain('m', l) e) FROM lead l ORDER BY l.id) x};
sub same
{
	my ($what) = @_;
	is($standby->safe_psql('postgres', $all), $primary->safe_psql('postgres', $all), "the replica scores the same: $what");
	return;
}

$primary->wait_for_catchup($standby, 'replay');
same('as it was copied');

my $session = session($standby);
ask($session, <<'EOS');
SET plan_cache_mode = force_generic_plan;
PREPARE s AS SELECT sum(leadscore.score('m', l)) FROM lead l;
PREPARE v AS SELECT min(version), max(version) FROM lead l, leadscore.evaluate('m', l) e;
PREPARE r AS SELECT sum(leadscore.score('m', l)) FROM (SELECT * FROM lead OFFSET 0) l;
EOS
my $execute = 'EXECUTE s; EXECUTE r; EXECUTE v;';
is(ask($session, $execute), "2505\n2505\n3|3", 'prepared on the replica');

change(q{UPDATE leadscore.rule SET points = 6});
is(ask($session, $execute), "3006\n3006\n4|4", 'other points');
same('other points');

change(q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (2, 'm', 'all', $$country = 'PL'$$, 10)});
is(ask($session, $execute), "8006\n8006\n5|5", 'a column that the plan had not taken');
same('another column');

# uncommitted and rolled back
change(q{BEGIN; UPDATE leadscore.rule SET points = 1000; SELECT pg_switch_wal(); ROLLBACK;});
is(ask($session, $execute), "8006\n8006\n5|5", 'rolled back');
change(q{UPDATE leadscore.rule SET points = 7 WHERE id = 1});
is(ask($session, $execute), "8507\n8507\n6|6", 'the same version number with other rules');

# old snapshots
is(ask($session, "BEGIN ISOLATION LEVEL REPEATABLE READ; $execute"), "8507\n8507\n6|6", 'REPEATABLE READ on the replica');
my $fetcher = session($standby);
is(ask($fetcher, q{BEGIN; DECLARE c CURSOR FOR SELECT l.id, leadscore.score('m', l) FROM lead l; MOVE 498 FROM c; FETCH 1 FROM c;}), '499|0', 'a cursor on the replica');
change(q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (3, 'm', 'all', $$title = 'CEO'$$, 100)});
is(ask($session, $execute), "8507\n8507\n6|6", 'REPEATABLE READ keeps its rules');
is(ask($fetcher, q{FETCH 2 FROM c;}), "500|17\n501|7", 'the cursor keeps its rules');
is(ask($fetcher, q{SELECT leadscore.score('m', l) FROM lead l WHERE id = 501;}), '107', 'the statement beside it does not');
is(ask($session, "COMMIT; $execute"), "108507\n108507\n7|7", 'and afterwards no one does');
ask($fetcher, 'COMMIT;');
same('a third column');

# thresholds, the model's own row
change(q{INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES ('m', 'temperature', 'hot', 117), ('m', 'temperature', 'cold', '-Infinity');
	UPDATE leadscore.model SET score_max = 111});
same('thresholds and range');
change(q{UPDATE leadscore.model SET score_max = NULL});

# the table changes
change(q{ALTER TABLE lead ADD COLUMN extra text DEFAULT 'e'; ALTER TABLE lead ALTER employees TYPE bigint});
is(ask($session, 'EXECUTE s; EXECUTE r;'), "108507\n108507", 'the table was altered');
same('the table was altered');
change(q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (4, 'm', 'all', $$gone = 'x'$$, 1), (5, 'm', 'all', $$extra = 'e'$$, 2)});
is(ask($session, 'EXECUTE s; EXECUTE r;'), "111507\n111507", 'rules for a new column');

# a rule that goes bad unseen is a warning, once for a session, and no error
$primary->safe_psql('postgres', event_triggers('DISABLE'));
change(q{ALTER TABLE lead DROP COLUMN gone});
$primary->safe_psql('postgres', event_triggers('ENABLE'));
like(ask($session, 'EXECUTE s;'), qr/\AWARNING:  rule 4 of scoring model "m" is skipped: column "gone" does not exist\n.*^110507\z/ms,
	'a broken rule is a warning on the replica');
is(ask($session, 'EXECUTE s; EXECUTE r;'), "110507\n110507", 'only once');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM leadscore.problem'), 0, 'nothing is written there');
# and one that the event trigger has seen is disabled everywhere
change(q{ALTER TABLE lead DROP COLUMN extra});
is(ask($session, 'EXECUTE s; EXECUTE r;'), "108507\n108507", 'a disabled rule');
is($standby->safe_psql('postgres', 'SELECT rule FROM leadscore.problem ORDER BY rule'), "4\n5", 'with the record of it');
same('broken rules');

# read only
my ($ret, $out, $err) = $standby->psql('postgres', q{UPDATE leadscore.rule SET points = 8});
like($err, qr/cannot execute UPDATE in a read-only transaction/, 'rules are not edited on a replica');

# a model comes and goes
change(q{DELETE FROM leadscore.model});
like(ask($session, 'EXECUTE s;'), qr/scoring model "m" does not exist/, 'the model is gone');
change(q{INSERT INTO leadscore.model (name, target) VALUES ('m', 'lead');
	INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum');
	INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1, 'm', 'all', 'employees <= 10', 1)});
is(ask($session, $execute), "10\n10\n3|3", 'another model of the name');

# the replica takes over, its sessions stay
$primary->stop('fast');
$standby->promote;
is(ask($session, $execute), "10\n10\n3|3", 'after the promotion');
$standby->safe_psql('postgres', q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (2, 'm', 'all', $$title = 'CEO'$$, 1)});
is(ask($session, $execute), "1010\n1010\n4|4", 'rules are edited where they were read');
ask($session, q{UPDATE leadscore.rule SET points = 2;});
is(ask($session, $execute), "2020\n2020\n5|5", 'by the same session as well');

foreach my $s ($session, $fetcher)
{
	$s->{in} .= "\\q\n";
	IPC::Run::finish($s->{run});
}
$standby->stop;
done_testing();
