# DROP EXTENSION leaves no trace: the schema of the database is, byte for byte,
# what it was before CREATE EXTENSION.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
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

# within a transaction that is rolled back
$node->safe_psql('postgres', q{DROP SCHEMA IF EXISTS leadscore; BEGIN; CREATE EXTENSION leadscore; INSERT INTO leadscore.model (name, target) VALUES ('lead', 'crm.lead'); ROLLBACK});
is(count_objects(), $objects, 'a CREATE EXTENSION that is rolled back leaves nothing either');

$node->stop;
done_testing();
