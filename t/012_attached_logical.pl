# The CRM's tables arrive by logical replication, and the subscriber scores them;
# and the other way round: states are replicated to a database for reports.

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
$subscriber->append_conf('postgresql.conf', "wal_retrieve_retry_interval = 200ms\nmax_logical_replication_workers = 20\nmax_worker_processes = 30\nmax_replication_slots = 20\n");
$subscriber->start;
my $major = $subscriber->safe_psql('postgres', 'SHOW server_version_num') / 10000;

# by_leaf is published partition by partition, by_root as one table
my $tables = <<'EOS';
CREATE SCHEMA crm;
CREATE TABLE crm.company (id int PRIMARY KEY, industry text);
CREATE TABLE crm.lead (id int PRIMARY KEY, company int, employees int, budget text, junk text, score int);
CREATE TABLE crm.by_leaf (id int PRIMARY KEY, employees int, junk text) PARTITION BY RANGE (id);
CREATE TABLE crm.by_leaf_0 PARTITION OF crm.by_leaf FOR VALUES FROM (0) TO (100);
CREATE TABLE crm.by_leaf_1 PARTITION OF crm.by_leaf FOR VALUES FROM (100) TO (1000);
EOS
$publisher->safe_psql('postgres', <<"EOS");
$tables
CREATE TABLE crm.by_root (LIKE crm.by_leaf) PARTITION BY RANGE (id);
ALTER TABLE crm.by_root ADD PRIMARY KEY (id);
CREATE TABLE crm.by_root_0 PARTITION OF crm.by_root FOR VALUES FROM (0) TO (100);
CREATE TABLE crm.by_root_1 PARTITION OF crm.by_root FOR VALUES FROM (100) TO (1000);
INSERT INTO crm.company SELECT i, CASE WHEN i % 2 = 0 THEN 'energy' END FROM generate_series(0, 9) i;
INSERT INTO crm.lead SELECT i, i % 10, i, CASE i WHEN 7 THEN 'much' ELSE i::text END FROM generate_series(1, 150) i;
INSERT INTO crm.by_leaf SELECT i, i FROM generate_series(1, 150) i;
INSERT INTO crm.by_root SELECT i, i FROM generate_series(1, 150) i;
CREATE PUBLICATION leaves FOR TABLE crm.lead, crm.company, crm.by_leaf;
CREATE PUBLICATION roots FOR TABLE crm.by_root WITH (publish_via_partition_root);
EOS

# Models of another database have names of their own.
my %source = (own => 'lead', looked => 'source', by_leaf => 'by_leaf', by_root => 'by_root');
my $computed = join ' UNION ALL ', map { "SELECT '$_', l.id, e.score, e.temperature::text, e.grade, e.fit
	FROM crm.$source{$_} l, LATERAL leadscore.evaluate('$_', l) e WHERE '$_' <> 'own' OR to_jsonb(l)->>'budget' IS DISTINCT FROM 'much'" } sort keys %source;
my $stored = join ' UNION ALL ', map { "SELECT '$_', lead_key, score, temperature::text, grade, fit FROM leadscore.${_}_state WHERE NOT has_problem" } sort keys %source;
my $wrong = "SELECT * FROM (($computed) EXCEPT ($stored)) c UNION ALL SELECT * FROM (($stored) EXCEPT ($computed)) s ORDER BY 1, 2";

# subscribe DATABASE, OWNER
sub subscribe
{
	my ($database, $owner) = @_;
	$subscriber->safe_psql('postgres', "CREATE DATABASE $database");
	$subscriber->safe_psql($database, <<"EOS");
CREATE EXTENSION leadscore;
$tables
-- other partitions than the publisher's
CREATE TABLE crm.by_root (LIKE crm.by_leaf) PARTITION BY HASH (id);
ALTER TABLE crm.by_root ADD PRIMARY KEY (id);
CREATE TABLE crm.by_root_0 PARTITION OF crm.by_root FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE crm.by_root_1 PARTITION OF crm.by_root FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE VIEW crm.source AS SELECT l.id, l.employees, c.industry FROM crm.lead l LEFT JOIN crm.company c ON c.id = l.company;
INSERT INTO leadscore.model (name, target, source) VALUES
	('own', 'crm.lead', NULL), ('looked', 'crm.lead', 'crm.source'), ('by_leaf', 'crm.by_leaf', NULL), ('by_root', 'crm.by_root', NULL);
INSERT INTO leadscore.factor (model, name, axis, combine) SELECT name, 'all', 'fit', 'sum' FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, condition, points) SELECT name, 'all', 'employees > 50', 10 FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('own', 'all', 'budget::int > 100', 20), ('looked', 'all', \$\$industry = 'energy'\$\$, 40);
SELECT leadscore.attach(name) FROM leadscore.model WHERE name <> 'own';
SELECT leadscore.attach('own', score_column => 'score');
SELECT leadscore.watch('looked', 'crm.company', 'SELECT l.id FROM crm.lead l WHERE l.company = company.id');
EOS
	# 16 and later: what an owner without privileges may not do, the workers do as the owners of the tables
	$subscriber->safe_psql($database, "CREATE SUBSCRIPTION $database CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION leaves, roots WITH (enabled = false)");
	$subscriber->safe_psql($database, <<"EOS") if $owner;
CREATE ROLE crm_owner;
CREATE ROLE $owner LOGIN;
ALTER SCHEMA crm OWNER TO crm_owner;
ALTER TABLE crm.lead OWNER TO crm_owner;
ALTER TABLE crm.company OWNER TO crm_owner;
ALTER TABLE crm.by_leaf OWNER TO crm_owner;
ALTER TABLE crm.by_leaf_0 OWNER TO crm_owner;
ALTER TABLE crm.by_leaf_1 OWNER TO crm_owner;
ALTER TABLE crm.by_root OWNER TO crm_owner;
ALTER TABLE crm.by_root_0 OWNER TO crm_owner;
ALTER TABLE crm.by_root_1 OWNER TO crm_owner;
ALTER VIEW crm.source OWNER TO crm_owner;
SELECT leadscore.repair(name) FROM leadscore.model;
GRANT crm_owner TO $owner;
GRANT pg_create_subscription TO $owner;
GRANT CREATE ON DATABASE $database TO $owner;
ALTER SUBSCRIPTION $database SET (password_required = false);
ALTER SUBSCRIPTION $database OWNER TO $owner;
EOS
	$subscriber->safe_psql($database, "ALTER SUBSCRIPTION $database ENABLE");
	$subscriber->safe_psql($database, "ALTER SUBSCRIPTION $database REFRESH PUBLICATION");
	$subscriber->wait_for_subscription_sync($publisher, $database, $database);
	is($subscriber->safe_psql($database, $wrong), '', "$database: the first copy is scored");
	is($subscriber->safe_psql($database, q{SELECT (SELECT count(*) FROM leadscore.own_state), (SELECT count(*) FROM leadscore.by_leaf_state), (SELECT count(*) FROM leadscore.by_root_state)}),
		'150|150|150', "$database: all of it");
	is($subscriber->safe_psql($database, q{SELECT model, lead_key, count FROM leadscore.problem}), 'own|7|1', "$database: a rule that fails is a problem, not an error");
	return;
}
my @databases = ('by_superuser');
subscribe('by_superuser');
if ($major >= 16)
{
	subscribe('by_user', 'subscription_owner');
	push @databases, 'by_user';
}

# change WHAT, SQL: on the publisher; CHECK and its answer on the subscribers
sub change
{
	my ($what, $sql, $check, $answer) = @_;
	$publisher->safe_psql('postgres', $sql);
	foreach my $database (@databases)
	{
		$publisher->wait_for_catchup($database);
		is($subscriber->safe_psql($database, $wrong), '', "$database: $what: states are as recomputed");
		is($subscriber->safe_psql($database, $check), $answer, "$database: $what") if $check;
	}
	return;
}
sub everywhere
{
	my ($sql) = @_;
	return join '; ', map { (my $text = $sql) =~ s/<lead>/crm.$_/g; $text } qw(lead by_leaf by_root);
}
my $counts = q{SELECT (SELECT count(*) FROM leadscore.own_state), (SELECT count(*) FROM leadscore.looked_state), (SELECT count(*) FROM leadscore.by_leaf_state), (SELECT count(*) FROM leadscore.by_root_state)};

change('inserts', everywhere('INSERT INTO <lead> (id, employees) SELECT i, i % 100 FROM generate_series(200, 299) i'), $counts, '250|250|250|250');
change('one transaction', 'BEGIN; ' . everywhere('INSERT INTO <lead> (id, employees) VALUES (300, 1); SAVEPOINT s; DELETE FROM <lead> WHERE id = 300; ROLLBACK TO s; UPDATE <lead> SET employees = 60 WHERE id = 300') . '; COMMIT',
	q{SELECT score FROM leadscore.own_scored WHERE lead_key = 300 UNION ALL SELECT score FROM leadscore.by_root_scored WHERE lead_key = 300}, "10\n10");
change('updates', everywhere('UPDATE <lead> SET employees = 200 - employees WHERE id % 3 = 0'));
my $before = $subscriber->safe_psql('by_superuser', 'SELECT max(scored_at) FROM leadscore.own_state');
change('what no rule reads', everywhere(q{UPDATE <lead> SET junk = 'x'}), 'SELECT max(scored_at) = ' . "'$before'" . ' OR current_database() <> ' . q{'by_superuser' FROM leadscore.own_state}, 't');
change('deletes', everywhere('DELETE FROM <lead> WHERE id % 10 = 1'), $counts, '226|226|226|226');
$subscriber->safe_psql($_, q{UPDATE leadscore.own_state SET stage = 'mql' WHERE lead_key = 20; UPDATE leadscore.by_leaf_state SET stage = 'mql' WHERE lead_key = 20}) foreach @databases;
change('another key', everywhere('UPDATE <lead> SET id = 50 + 800 WHERE id = 50; UPDATE <lead> SET id = 71 WHERE id = 20'),
	q{SELECT stage FROM leadscore.own_state WHERE lead_key = 71 UNION ALL SELECT stage FROM leadscore.by_leaf_state WHERE lead_key = 71}, "mql\nmql");
change('another key in another partition', everywhere('UPDATE <lead> SET id = 901 WHERE id = 71'),
	q{SELECT count(*) FROM leadscore.own_state WHERE lead_key IN (71, 901) UNION ALL SELECT count(*) FROM leadscore.by_leaf_state WHERE lead_key IN (71, 901) UNION ALL SELECT count(*) FROM leadscore.by_root_state WHERE lead_key IN (71, 901)}, "1\n1\n1");
change('a look-up', q{UPDATE crm.company SET industry = CASE WHEN industry IS NULL THEN 'energy' END WHERE id < 5; DELETE FROM crm.company WHERE id = 6; INSERT INTO crm.company VALUES (11, 'energy'); UPDATE crm.lead SET company = 11 WHERE id < 20});
change('a rule fails', q{UPDATE crm.lead SET budget = 'more' WHERE id = 8; UPDATE crm.lead SET budget = '7' WHERE id = 7; UPDATE crm.lead SET budget = 'much' WHERE id = 8},
	q{SELECT model, lead_key, count FROM leadscore.problem}, 'own|8|2');
change('one partition is truncated', 'TRUNCATE crm.by_leaf_0, crm.by_root_0', q{SELECT (SELECT min(lead_key) >= 100 FROM leadscore.by_leaf_state)}, 't');
change('all is truncated', 'TRUNCATE crm.lead, crm.by_leaf, crm.by_root', "$counts, (SELECT count(*) FROM leadscore.problem)", '0|0|0|0|0');
change('and filled again', everywhere('INSERT INTO <lead> (id, employees) SELECT i, i % 100 FROM generate_series(1, 299) i'), $counts, '299|299|299|299');
foreach my $database (@databases)
{
	is($subscriber->safe_psql($database, 'SELECT model, finding, detail FROM leadscore.doctor()'), '', "$database: the doctor is content");
	is($subscriber->safe_psql($database, 'SELECT count(*) FROM crm.lead l JOIN leadscore.own_state s ON s.lead_key = l.id WHERE l.score = s.score'), 299, "$database: columns are written back");
}

# The publisher scores, and a database that knows nothing of leadscore gets the states.
$publisher->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
INSERT INTO leadscore.model (name, target) VALUES ('m', 'crm.lead');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('m', 'all', 'employees > 50', 10);
SELECT leadscore.attach('m');
CREATE PUBLICATION states FOR TABLE leadscore.m_state;
EOS
$subscriber->safe_psql('postgres', 'CREATE DATABASE reports');
$subscriber->safe_psql('reports', <<'EOS');
CREATE SCHEMA leadscore;
CREATE TABLE leadscore.m_state (lead_key int PRIMARY KEY, fit float8, engagement_points float8, engagement_base float8, score_bound float8, scored_at timestamptz, rules_version bigint, stage_since timestamptz,
	next_change_at timestamptz, row_changes_at timestamptz, created_at timestamptz, score int, stage text, disqualified boolean, has_problem boolean, lead_exists boolean, fading boolean, consent boolean,
	temperature text, grade text, channel text, engagement text, kept_rules bigint[], match_values text[], history_at timestamptz, pinned_until timestamptz, rearmed int, stage_settled boolean,
	announced text, status text, pin_reason text);
EOS
$subscriber->safe_psql('reports', "CREATE SUBSCRIPTION reports CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION states");
$subscriber->wait_for_subscription_sync($publisher, 'reports', 'reports');
sub reported
{
	my ($what, $sql) = @_;
	$publisher->safe_psql('postgres', $sql) if $sql;
	$publisher->wait_for_catchup('reports');
	my $states = "SET TimeZone = 'UTC'; SELECT to_jsonb(s) FROM leadscore.m_state s ORDER BY lead_key";
	is_deeply([ split /\n/, $subscriber->safe_psql('reports', $states) ], [ split /\n/, $publisher->safe_psql('postgres', $states) ], "reports: $what");
	return;
}
reported('the first copy');
reported('inserts', 'INSERT INTO crm.lead (id, employees) SELECT i, i FROM generate_series(400, 500) i');
reported('upserts', 'INSERT INTO crm.lead (id, employees) SELECT i, i - 400 FROM generate_series(400, 600) i ON CONFLICT (id) DO UPDATE SET employees = excluded.employees');
reported('updates', 'UPDATE crm.lead SET employees = 100 - employees WHERE id < 200');
reported('another key', 'UPDATE crm.lead SET id = 1000 + id WHERE id < 20');
reported('deletes', 'DELETE FROM crm.lead WHERE id BETWEEN 20 AND 50');
reported('a rescore', q{UPDATE leadscore.rule SET points = 20});
reported('a rescore', q{CALL leadscore.rescore('m', 50)});
reported('rolled back', q{BEGIN; SAVEPOINT s; UPDATE crm.lead SET employees = 77; ROLLBACK TO s; DELETE FROM crm.lead WHERE id = 60; COMMIT});
reported('truncated', 'TRUNCATE crm.lead');
is($publisher->safe_psql('postgres', 'SELECT count(*) FROM leadscore.m_state'), 0, 'reports: and empty');

my $log = slurp_file($subscriber->logfile);
unlike($log, qr/PANIC|terminated by signal|TRAP|leak/, 'no worker has crashed or leaked');
unlike($log, qr/ERROR: /, 'nor met an error');

$subscriber->safe_psql($_->[0], "ALTER SUBSCRIPTION $_->[1] DISABLE; DROP SUBSCRIPTION $_->[1]") foreach map { [ $_, $_ ] } @databases, 'reports';
$subscriber->stop;
$publisher->stop;
done_testing();
