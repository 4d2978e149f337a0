# A streaming replica shows the scores of attached models, as of now and to each
# reader those of the leads that he may see, and writes nothing; once promoted
# it scores what is written to it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE ROLE rep;
CREATE ROLE other;
CREATE TABLE company (id int PRIMARY KEY, industry text);
INSERT INTO company SELECT i, CASE WHEN i % 2 = 0 THEN 'energy' END FROM generate_series(0, 9) i;
CREATE TABLE lead (id int PRIMARY KEY, company int, employees int, budget text, rep name, seen timestamptz, score int);
INSERT INTO lead SELECT i, i % 10, i, CASE i WHEN 7 THEN 'much' ELSE i::text END, CASE WHEN i % 3 = 0 THEN 'rep' ELSE 'other' END, now() FROM generate_series(1, 300) i;
CREATE VIEW source AS SELECT l.id, l.employees, l.seen, c.industry FROM lead l LEFT JOIN company c ON c.id = l.company;
INSERT INTO leadscore.model (name, target, source) VALUES ('own', 'lead', NULL), ('looked', 'lead', 'source');
INSERT INTO leadscore.factor (model, name, axis, combine) SELECT name, 'all', 'fit', 'sum' FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, condition, points) SELECT name, 'all', 'employees > 50', 10 FROM leadscore.model;
-- on for half a second after a lead was seen
INSERT INTO leadscore.rule (model, factor, condition, points) SELECT name, 'all', $$seen > now() - interval '0.5 seconds'$$, 100 FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('own', 'all', 'budget::int > 100', 20), ('looked', 'all', $$industry = 'energy'$$, 40);
SELECT leadscore.attach('own', score_column => 'score'), leadscore.attach('looked');
SELECT leadscore.watch('looked', 'company', 'SELECT l.id FROM lead l WHERE l.company = company.id');
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON lead USING (rep = CURRENT_USER);
GRANT USAGE ON SCHEMA leadscore TO rep, other;
GRANT SELECT ON lead, leadscore.own_state, leadscore.own_scored, leadscore.looked_state, leadscore.looked_scored,
	leadscore.model, leadscore.attachment, leadscore.watched, leadscore.unsettled_lead, leadscore.activity_source, leadscore.pending_activity, leadscore.problem, leadscore.rule, leadscore.model_status TO rep, other;
EOS
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nmax_standby_streaming_delay = 600s");
$standby->start;

my %queries = (
	(map { $_ => qq{SELECT lead_key, score, temperature, grade, fit, engagement, stage, disqualified, scored_at, next_change_at, has_problem FROM leadscore.${_}_scored ORDER BY 1} } 'own', 'looked'),
	hot => q{SELECT count(*) FROM leadscore.own_scored WHERE score > 20},
	status => q{SELECT s.* FROM leadscore.model_status s ORDER BY model},
	doctor => q{SELECT d.* FROM leadscore.doctor() d},
	progress => q{SELECT model, version, finished, seen, total, percent FROM leadscore.rescore_progress},
	visible => q{SELECT count(*) FILTER (WHERE leadscore.lead_visible('own', lead_key)), count(*) FROM leadscore.own_state});

# look NODE, ROLE: what it answers, and that it writes nothing
sub look
{
	my ($node, $role) = @_;
	return map {
		my ($ret, $out, $err) = $node->psql('postgres', "SET ROLE $role; $queries{$_}");
		$_ => $err =~ /ERROR/ ? $err : $out
	} grep { $role eq 'postgres' || !/progress/ } keys %queries;
}
sub same
{
	my ($what) = @_;
	$primary->wait_for_catchup($standby, 'replay');
	foreach my $role ('postgres', 'rep', 'other')
	{
		my %theirs = look($primary, $role);
		my %ours = look($standby, $role);
		is_deeply([ split /\n/, $ours{$_} ], [ split /\n/, $theirs{$_} ], "$what: $role: $_") foreach sort keys %ours;
		is_deeply([ grep { /ERROR|read-only/ } values %ours ], [], "$what: $role: without errors");
	}
	return;
}

# the half second is over
$primary->poll_query_until('postgres', q{SELECT max(next_change_at) + interval '0.1 seconds' < now() FROM leadscore.own_state}) or die;
same('past their time');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM leadscore.own_state WHERE next_change_at < now()}), 300, 'all states are past their time');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM leadscore.own_scored v JOIN leadscore.own_state s USING (lead_key) WHERE v.score <> s.score - 100}), 0, 'what is shown is as of now');
is($standby->safe_psql('postgres', 'SET ROLE rep; SELECT count(*) FROM leadscore.own_scored'), 100, 'a reader sees his leads');
is($standby->safe_psql('postgres', 'SET ROLE other; SELECT count(*), min(lead_key) FROM leadscore.looked_scored'), '200|1', 'and another one his');

# what happens on the primary comes along
$primary->safe_psql('postgres', <<'EOS');
UPDATE lead SET seen = now() + interval '1 hour' WHERE id = 60;
UPDATE lead SET seen = now() - interval '1 hour' WHERE id <> 60;
DELETE FROM lead WHERE id = 200;
UPDATE lead SET id = 1000 WHERE id = 5;
INSERT INTO lead (id, company, employees, rep) VALUES (2000, 2, 77, 'rep');
UPDATE company SET industry = 'energy' WHERE id = 1;
EOS
same('changes');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM leadscore.own_state WHERE next_change_at < now()}), 0, 'no state is past its time');
$primary->safe_psql('postgres', q{UPDATE leadscore.rule SET points = 11 WHERE points = 10; SELECT leadscore.rescore_step('own', 100, false); SELECT leadscore.rescore_step('own', 100, false)});
same('half a rescore');
is($standby->safe_psql('postgres', q{SELECT finished, percent FROM leadscore.rescore_progress}), 'f|33', 'its progress is seen');

# what writes is refused as any write is
foreach my $sql (q{SELECT leadscore.attach('own')}, q{SELECT leadscore.detach('own')}, q{SELECT leadscore.repair('own')}, q{CALL leadscore.rescore('own')}, q{SELECT leadscore.watch('looked', 'company', 'NULL::int')}, q{DELETE FROM lead})
{
	my ($ret, $out, $err) = $standby->psql('postgres', $sql);
	like($err, qr/ERROR: .*(read-only transaction|during recovery)/, "refused: $sql");
}

# the replica takes over
$primary->wait_for_catchup($standby, 'replay');
$primary->stop('fast');
$standby->promote;
$standby->safe_psql('postgres', <<'EOS');
SET client_min_messages = error;
INSERT INTO lead (id, company, employees, budget) SELECT i, i % 10, i % 100, i % 150 FROM generate_series(3000, 3099) i;
UPDATE lead SET employees = 99, budget = '200' WHERE id < 20;
DELETE FROM lead WHERE id BETWEEN 30 AND 40;
UPDATE company SET industry = NULL WHERE id = 2;
CALL leadscore.rescore('own');
CALL leadscore.rescore('looked');
EOS
my $wrong = join ' UNION ALL ', map { my ($model, $source) = @$_; "SELECT '$model', l.id, s.score, e.score FROM $source l LEFT JOIN leadscore.${model}_scored s ON s.lead_key = l.id,
	LATERAL leadscore.evaluate('$model', l) e WHERE to_jsonb(l)->>'budget' IS DISTINCT FROM 'much' AND (s.score, s.temperature, s.grade) IS DISTINCT FROM (e.score, e.temperature::text, e.grade)" } [ 'own', 'lead' ], [ 'looked', 'source' ];
is($standby->safe_psql('postgres', $wrong), '', 'promoted, it scores what is written');
is($standby->safe_psql('postgres', q{SELECT model, finished FROM leadscore.rescore_progress ORDER BY model}), "looked|t\nown|t", 'and rescores');
is($standby->safe_psql('postgres', q{SELECT finding FROM leadscore.doctor() WHERE finding NOT IN ('lead_problems', 'write_back_stale')}), '', 'the doctor is content');

$standby->stop;
done_testing();
