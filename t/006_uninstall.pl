# DROP EXTENSION leaves no trace: the schema of the database is, byte for byte,
# what it was before CREATE EXTENSION.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Digest::MD5 qw(md5_hex);
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', <<'EOS');
CREATE SCHEMA crm;
CREATE TABLE crm.lead (id int PRIMARY KEY, employees int NOT NULL, title text);
CREATE TABLE crm.event (id int PRIMARY KEY, lead int REFERENCES crm.lead);
CREATE VIEW crm.source AS SELECT id, employees FROM crm.lead;
CREATE FUNCTION crm.nice(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT $1 = 'CEO' $$;
CREATE ROLE analyst;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO analyst;
INSERT INTO crm.lead VALUES (1, 100, 'CEO'), (2, 10, 'CTO');
EOS

sub dump_schema
{
	my ($out, $err) = run_command([ 'pg_dump', '--schema-only', '-d', $node->connstr('postgres') ]);
	is($err, '', 'pg_dump has nothing to complain of');
	$out =~ s/^\\(un)?restrict .*\n//mg;
	return $out;
}

# objects that a dump may not show
my @catalogs = qw(pg_class pg_proc pg_type pg_namespace pg_operator pg_opclass pg_opfamily pg_cast pg_constraint
  pg_trigger pg_event_trigger pg_depend pg_shdepend pg_description pg_default_acl pg_init_privs pg_extension pg_amop pg_amproc pg_enum);
sub count_objects
{
	return $node->safe_psql('postgres', join ' UNION ALL ', map { "SELECT '$_', count(*) FROM $_" } @catalogs);
}

my $dump = dump_schema();
my $objects = count_objects();

foreach my $round ('as it comes', 'used')
{
	$node->safe_psql('postgres', 'CREATE EXTENSION leadscore');
	isnt(dump_schema(), $dump, "$round: the extension shows");
	if ($round eq 'used')
	{
		$node->safe_psql('postgres', <<'EOS');
INSERT INTO leadscore.allowed_function VALUES ('crm.nice(text)');
INSERT INTO leadscore.model (name, target) VALUES ('lead', 'crm.lead');
INSERT INTO leadscore.model (name, target, source) VALUES ('source', 'crm.lead', 'crm.source');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('lead', 'all', 'fit'), ('source', 'all', 'fit');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('lead', 'all', 'crm.nice(title)', 1), ('source', 'all', 'employees > 10', 1);
INSERT INTO leadscore.threshold (kind, label, at_least) VALUES ('temperature', 'hot', 0), ('temperature', 'cold', '-Infinity');
SELECT leadscore.score('lead', l) FROM crm.lead l;
SELECT leadscore.copy_model('lead', 'copy');
-- not blocked by any of this
ALTER TABLE crm.lead ADD COLUMN extra int;
ALTER TABLE crm.lead DROP COLUMN extra;
EOS
	}
	# a session that has scored lives on without
	my ($ret, $out, $err) = $node->psql('postgres', <<'EOS', on_error_stop => 0);
SET client_min_messages = error;
INSERT INTO leadscore.model (name, target) VALUES ('session', 'crm.lead');
PREPARE s AS SELECT leadscore.score('session', l) FROM crm.lead l;
EXECUTE s;
DROP EXTENSION leadscore;
EXECUTE s;
SELECT count(*) FROM crm.lead;
CREATE TABLE crm.t (); DROP TABLE crm.t;
EOS
	is($out, "0\n0\n2", "$round: the session lives on");
	like($err, qr/\A\S+ ERROR:  .* does not exist(\nHINT: .*)?\Z/, "$round: without the extension");
	is(dump_schema(), $dump, "$round: no trace is left in the schema");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_event_trigger'), 0, "$round: nor an event trigger");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'leadscore'}), 0, "$round: nor a schema");
	# a dropped column leaves its slot in pg_attribute, which is not counted
	is(count_objects(), $objects, "$round: nor anything else");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM crm.lead'), 2, "$round: the leads are there");
	$node->safe_psql('postgres', 'DROP SCHEMA IF EXISTS leadscore');
}

# what is of the user's making is not dropped unasked
$node->safe_psql('postgres', q{CREATE EXTENSION leadscore;
	INSERT INTO leadscore.model (name, target) VALUES ('lead', 'crm.lead');
	CREATE VIEW crm.scored AS SELECT l.id, leadscore.score('lead', l) FROM crm.lead l});
my ($ret, $out, $err) = $node->psql('postgres', 'DROP EXTENSION leadscore');
like($err, qr/cannot drop extension leadscore because other objects depend on it.*view crm\.scored/s, 'views that score hold the extension');
is($node->safe_psql('postgres', 'SELECT count(*) FROM crm.scored'), 2, 'and work');
$node->safe_psql('postgres', 'DROP VIEW crm.scored; DROP EXTENSION leadscore');

# Attached models: their triggers, tables and views are in every dump, hold the
# extension as long as they are there, and go with detach().
$node->safe_psql('postgres', <<'EOS');
CREATE TABLE crm.company (id int PRIMARY KEY, industry text);
CREATE TABLE crm.part (region text, id int, employees int, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE crm.part_eu PARTITION OF crm.part FOR VALUES IN ('eu');
CREATE TABLE crm.part_rest PARTITION OF crm.part DEFAULT;
CREATE TABLE crm.visit (lead int, email text, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE crm.visit_now PARTITION OF crm.visit DEFAULT;
CREATE VIEW crm.looked AS SELECT l.id, l.employees, c.industry FROM crm.lead l LEFT JOIN crm.company c ON c.id = l.id;
ALTER TABLE crm.lead ADD COLUMN score int, ADD COLUMN heat text;
ALTER TABLE crm.lead ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION crm.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE UPDATE ON crm.lead FOR EACH ROW EXECUTE FUNCTION crm.stamp();
EOS
$dump = dump_schema();
$objects = count_objects();
$node->safe_psql('postgres', <<'EOS');
SET client_min_messages = error;
CREATE EXTENSION leadscore;
INSERT INTO leadscore.model (name, target, source) VALUES ('own', 'crm.lead', NULL), ('looked', 'crm.lead', 'crm.looked'), ('part', 'crm.part', NULL);
UPDATE leadscore.model SET key_column = 'id' WHERE name = 'part';
INSERT INTO leadscore.factor (model, name, axis) SELECT name, 'all', 'fit' FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, condition, points) SELECT name, 'all', 'employees > 10', 1 FROM leadscore.model;
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('own', 'all', 'title::int > 10', 1);
INSERT INTO leadscore.factor (model, name, axis) VALUES ('own', 'did', 'engagement');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at) VALUES
	('own', 'visit', 'crm.visit', 'lead', NULL, 'at'), ('own', 'by title', 'crm.visit', 'email', 'title', 'at');
INSERT INTO leadscore.rule (model, factor, activity, condition, points, half_life) VALUES
	('own', 'did', 'visit', 'email IS NULL', 5, '7 days'), ('own', 'did', 'by title', 'true', 5, NULL);
SELECT leadscore.attach('own', score_column => 'score', temperature_column => 'heat'), leadscore.attach('looked'), leadscore.attach('part');
SELECT leadscore.watch('looked', 'crm.company', 'company.id');
INSERT INTO crm.lead (id, employees) VALUES (10, 20);
INSERT INTO crm.company VALUES (1, 'energy');
UPDATE crm.lead SET employees = employees + 1;
INSERT INTO crm.visit VALUES (1, NULL, now()), (1, NULL, '2100-01-01'), (NULL, 'ceo', now()), (77, NULL, now());
CALL leadscore.rescore('own', write_back => true);
DELETE FROM crm.lead WHERE id = 10;
EOS
my $attached = dump_schema();
like($attached, qr/^CREATE TABLE leadscore\.own_state /m, 'a dump has the state table');
like($attached, qr/^CREATE VIEW leadscore\.own_scored /m, 'and the view');
like($attached, qr/^ALTER TABLE crm\.lead ENABLE ALWAYS TRIGGER leadscore_own_update;/m, 'and the triggers, which fire always');
($ret, $out, $err) = $node->psql('postgres', 'DROP EXTENSION leadscore');
like($err, qr/cannot drop extension leadscore because other objects depend on it/, 'DROP EXTENSION without detach() fails');
like($err, qr/\Q$_\E.* depends on/, "naming $_") foreach 'trigger leadscore_own_insert on table crm.lead', 'trigger leadscore_looked_watch on table crm.company',
	'trigger leadscore_part_truncate on table crm.part_eu', 'trigger leadscore_own_' . substr(md5_hex('visit'), 0, 8) . '_event on table crm.visit',
	'leadscore.own_state', 'view leadscore.own_scored';
is($node->safe_psql('postgres', q{SELECT count(*) FROM leadscore.own_scored}), 2, 'and nothing has happened');

# a detach() that is rolled back is none
$node->safe_psql('postgres', q{BEGIN; SELECT leadscore.detach(name) FROM leadscore.model; ROLLBACK});
is(dump_schema(), $attached, 'detach() is transactional');
is($node->safe_psql('postgres', q{SELECT count(*) FROM leadscore.pending_activity}), 1, 'an activity is to come');
is($node->safe_psql('postgres', q{SELECT leadscore.detach(name) FROM leadscore.model}), "t\nt\nt", 'detached');
is($node->safe_psql('postgres', q{SELECT count(*) FROM leadscore.pending_activity}), 0, 'nor does it come any more');
is($node->safe_psql('postgres', q{SELECT leadscore.detach(name) FROM leadscore.model}), "f\nf\nf", 'which can be said again');
$node->safe_psql('postgres', 'INSERT INTO crm.lead (id, employees) VALUES (11, 20); DELETE FROM crm.lead WHERE id = 11; DROP EXTENSION leadscore; DROP SCHEMA IF EXISTS leadscore');
is(dump_schema(), $dump, 'no trace is left in the schema');
is(count_objects(), $objects, 'nor anywhere else');

# not detached, but with CASCADE: the CRM is as it was as well
$node->safe_psql('postgres', q{SET client_min_messages = error; CREATE EXTENSION leadscore;
	INSERT INTO leadscore.model (name, target) VALUES ('own', 'crm.lead');
	SELECT leadscore.attach('own', score_column => 'score'); DROP EXTENSION leadscore CASCADE});
$node->safe_psql('postgres', 'INSERT INTO crm.lead (id, employees) VALUES (12, 20); DELETE FROM crm.lead WHERE id = 12');
$node->safe_psql('postgres', 'DROP TABLE IF EXISTS leadscore.own_state; DROP SCHEMA IF EXISTS leadscore');
is(dump_schema(), $dump, 'nor after DROP EXTENSION ... CASCADE, but for the state table');

# within a transaction that is rolled back
$node->safe_psql('postgres', q{DROP SCHEMA IF EXISTS leadscore; BEGIN; CREATE EXTENSION leadscore; INSERT INTO leadscore.model (name, target) VALUES ('lead', 'crm.lead'); ROLLBACK});
is(count_objects(), $objects, 'a CREATE EXTENSION that is rolled back leaves nothing either');

$node->stop;
done_testing();
