# Dump and restore: rules come back as they were, in every format, whatever the
# order in which their tables and the CRM's are restored, and score the same.
# A rule that has gone bad is no obstacle.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

# Schemas that sort before and after "leadscore"; names that want quotes; a view
# that pg_dump must first restore as a dummy, since it depends on a primary key.
$node->safe_psql('postgres', 'CREATE DATABASE crm');
$node->safe_psql('crm', <<'EOS');
CREATE EXTENSION leadscore;
CREATE SCHEMA aaa_crm;
CREATE SCHEMA zzz_crm;
CREATE SCHEMA "Odd ""Crm""";

CREATE TYPE aaa_crm.size AS ENUM ('small', 'medium', 'large');
CREATE FUNCTION aaa_crm.is_competitor(text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN RETURN $1 LIKE '%rival%'; END $$;
CREATE FUNCTION zzz_crm.is_big("Number" int) RETURNS boolean IMMUTABLE LANGUAGE sql
AS $$ SELECT $1 > 100 $$;

CREATE TABLE aaa_crm.lead (
	id int PRIMARY KEY, employees int, size aaa_crm.size, email text,
	created date, gone text, gone_too text, custom jsonb);
INSERT INTO aaa_crm.lead
SELECT i, i * 10, (ARRAY['small', 'medium', 'large'])[1 + i % 3]::aaa_crm.size,
	CASE WHEN i % 4 = 0 THEN 'a@rival.example' ELSE 'a@b.example' END,
	date '2024-01-01' + i, 'x', 'y', jsonb_build_object('budget', i)
FROM generate_series(1, 50) i;

CREATE TABLE zzz_crm.lead (id int PRIMARY KEY, company int, employees int);
CREATE TABLE zzz_crm.call (lead int, seconds int);
INSERT INTO zzz_crm.lead SELECT i, i % 5, i * 7 FROM generate_series(1, 40) i;
INSERT INTO zzz_crm.call SELECT i % 40, i FROM generate_series(1, 200) i;
CREATE VIEW zzz_crm.lead_source AS
	SELECT l.id, l.company, l.employees, count(c.lead) AS calls, max(c.seconds) AS longest
	FROM zzz_crm.lead l LEFT JOIN zzz_crm.call c ON c.lead = l.id
	GROUP BY l.id;

CREATE TABLE "Odd ""Crm"""."Lead" ("Id" int PRIMARY KEY, "Employees; DROP" int, "group" text);
INSERT INTO "Odd ""Crm"""."Lead" VALUES (1, 100, 'it''s'), (2, 10, 'a\b'), (3, NULL, E'two\nlines');

INSERT INTO leadscore.allowed_function (signature, note) VALUES
	('aaa_crm.is_competitor(text)', 'asked by sales'), ('zzz_crm.is_big(int)', NULL);

INSERT INTO leadscore.model (name, target, time_zone, description) VALUES ('aaa', 'aaa_crm.lead', 'Asia/Tokyo', 'first');
INSERT INTO leadscore.model (name, target, source, score_min, score_max, channel) VALUES
	('zzz', 'zzz_crm.lead', 'zzz_crm.lead_source', -20, 60, 'CASE WHEN calls > 3 THEN ''phone'' END');
INSERT INTO leadscore.model (name, target, key_column) VALUES ('odd', '"Odd ""Crm"""."Lead"', 'Id');
INSERT INTO leadscore.model (name, target) VALUES ('empty', 'zzz_crm.lead');

INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap) VALUES
	('aaa', 'company size', 'fit', 'sum', -100, 100),
	('aaa', 'e-mail', 'engagement', 'sum', NULL, '-1'),
	('aaa', 'rest', 'fit', 'best', '-Infinity', NULL),
	('zzz', 'company', 'fit', 'best', NULL, NULL),
	('zzz', 'calls', 'engagement', 'sum', 1, NULL),
	('odd', 'it''s "odd"', 'fit', 'sum', NULL, NULL);

INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, filter, event_key, description) VALUES
	('zzz', 'it''s a call', 'zzz_crm.call', 'lead', NULL, 'timestamp ''2024-01-01'' + seconds * interval ''1 hour''', 'Asia/Tokyo', 'zzz_crm.is_big(seconds * 10)', 'seconds', E'tab\tand\\'),
	('odd', 'lead', '"Odd ""Crm"""."Lead"', '"group"', 'group', '''02/03/2024''::date', NULL, NULL, NULL, NULL);
INSERT INTO leadscore.factor (model, name, axis) VALUES ('odd', 'does', 'engagement');

SET search_path = aaa_crm, public;
INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies, note) VALUES
	('aaa', 'company size', 'large', 'key', $$size = 'large'$$, 20, false, NULL),
	('aaa', 'company size', 'many', NULL, $$employees > 200$$, 0.1, false, 'a note'),
	('aaa', 'e-mail', 'rival', 'negative', $$is_competitor(email)$$, -10, true, NULL),
	-- 3 February, whatever the DateStyle of who restores
	('aaa', 'rest', 'late', NULL, $$created >= '02/03/2024'$$, 5, false, NULL),
	('aaa', 'rest', 'budget', NULL, $$(custom->>'budget')::int BETWEEN 10 AND 20$$, 7, false, NULL),
	('aaa', 'rest', 'disabled', NULL, $$gone = 'x'$$, 1000, false, NULL),
	('aaa', 'rest', 'broken', NULL, $$gone_too = 'y'$$, 2000, false, NULL);
RESET search_path;
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('zzz', 'company', 'one', 'company = 1', 10),
	('zzz', 'company', 'big', 'zzz_crm.is_big(employees) OR company = 2', 15.25),
	('zzz', 'calls', 'long', 'longest > 100', 3),
	('zzz', 'calls', 'many', 'calls >= 5', 30),
	('odd', 'it''s "odd"', 'apostrophe', $$"group" = 'it''s'$$, 1),
	('odd', 'it''s "odd"', E'tab\tand\\', $$"group" = E'two\nlines'$$, 10),
	('odd', 'it''s "odd"', 'backslash', $$"group" = 'a\b'$$, 100),
	('odd', 'it''s "odd"', NULL, $$"Employees; DROP" >= 50$$, 1000);
INSERT INTO leadscore.rule (model, factor, activity, parameter, condition, points, half_life, at_least, within, at_most, inactive_for, include_never) VALUES
	('zzz', 'calls', 'it''s a call', 'fades', 'seconds > 20', 1, '1 day 12:30', NULL, NULL, 3, NULL, false),
	('zzz', 'calls', 'it''s a call', 'window', 'true', 1, NULL, 2, '7 days', NULL, NULL, false),
	('odd', 'does', 'lead', 'silent', '"Employees; DROP" IS NOT NULL', -1, NULL, NULL, NULL, NULL, '30 days', true);
-- a gap, and a number that is further on than any rule
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (500, 'odd', 'it''s "odd"', 'true', 10000);
DELETE FROM leadscore.rule WHERE model = 'odd' AND parameter = 'backslash';
SELECT nextval('leadscore.rule_id_seq') FROM generate_series(1, 7);

INSERT INTO leadscore.threshold (model, kind, label, at_least, margin) VALUES
	('aaa', 'temperature', 'hot', 22, 2), ('aaa', 'temperature', 'warm', 0.5, 0), ('aaa', 'temperature', 'cold', '-Infinity', 0),
	(NULL, 'fit', 'P', 12, 0), (NULL, 'fit', 'Q', '-Infinity', 0);

-- one rule goes bad and is disabled; another goes bad unseen
ALTER TABLE aaa_crm.lead DROP COLUMN gone;
DO $$ DECLARE t name; BEGIN FOR t IN SELECT evtname FROM pg_event_trigger WHERE evtname ~ '^leadscore' LOOP EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', t); END LOOP; END $$;
ALTER TABLE aaa_crm.lead DROP COLUMN gone_too;
DO $$ DECLARE t name; BEGIN FOR t IN SELECT evtname FROM pg_event_trigger WHERE evtname ~ '^leadscore' LOOP EXECUTE format('ALTER EVENT TRIGGER %I ENABLE', t); END LOOP; END $$;
EOS

is( $node->safe_psql('crm', q{SELECT parameter, enabled FROM leadscore.rule WHERE parameter IN ('disabled', 'broken') ORDER BY id}),
	"disabled|f\nbroken|t", 'one broken rule is disabled, one is not');

# Everything that is to come back, as text.
my %queries = (
	matrices => q{SELECT name, jsonb_pretty(leadscore.export_model(name)) FROM leadscore.model ORDER BY name},
	models => q{SELECT m.* FROM leadscore.model m ORDER BY name},
	versions => q{SELECT name, version FROM leadscore.model ORDER BY name},
	rules => q{SELECT r.* FROM leadscore.rule r ORDER BY id},
	sources => q{SELECT s.* FROM leadscore.activity_source s ORDER BY model, name},
	thresholds => q{SELECT t.* FROM leadscore.threshold t ORDER BY model, builtin, kind, label},
	problems => q{SELECT p.* FROM leadscore.problem p ORDER BY model, rule, lead_key},
	functions => q{SELECT f.* FROM leadscore.allowed_function f ORDER BY signature},
	scores => q{
		SELECT 'aaa', l.id, leadscore.evaluate('aaa', l) - 'version' FROM aaa_crm.lead l
		UNION ALL SELECT 'zzz', l.id, leadscore.evaluate('zzz', l) - 'version' FROM zzz_crm.lead_source l
		UNION ALL SELECT 'odd', l."Id", leadscore.evaluate('odd', l) - 'version' FROM "Odd ""Crm"""."Lead" l
		UNION ALL SELECT 'empty', l.id, leadscore.evaluate('empty', l) - 'version' FROM zzz_crm.lead l
		ORDER BY 1, 2},
	explanations => q{
		SELECT 'aaa', l.id, e.* FROM aaa_crm.lead l, leadscore.explain('aaa', l) e
		UNION ALL SELECT 'zzz', l.id, e.* FROM zzz_crm.lead_source l, leadscore.explain('zzz', l) e
		UNION ALL SELECT 'odd', l."Id", e.* FROM "Odd ""Crm"""."Lead" l, leadscore.explain('odd', l) e
		ORDER BY 1, 2, rule_id, note});
$queries{scores} =~ s/(leadscore\.evaluate\('\w+', l\)) - 'version'/to_jsonb($1) - 'version'/g;

sub look
{
	my ($database) = @_;
	# settings that change how values are shown are those of the database: not here
	my $settings = q{SET DateStyle = 'ISO, MDY'; SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres';};
	return map { $_ => $node->safe_psql($database, "$settings SET client_min_messages = error; $queries{$_}") } keys %queries;
}

my %before = look('crm');
like($before{scores}, qr/"disqualified": true/, 'the data are worth comparing');
like($before{scores}, qr/"grade": "P/, 'the default thresholds are at work');
# looked up last, once all dumps are made, so that looking changes nothing
my $next_id;

# same GOT, EXPECTED, NAME: texts of many lines, of which only the first difference is shown
sub same
{
	my ($got, $expected, $name) = @_;
	my @got = split /\n/, $got;
	my @expected = split /\n/, $expected;
	return is_deeply(\@got, \@expected, $name);
}

# compare NAME, DATABASE, VERSIONS_MAY_RISE
sub compare
{
	my ($name, $database, $versions_may_rise) = @_;
	my %after = look($database);
	foreach my $what (sort keys %before)
	{
		if ($versions_may_rise && ($what eq 'versions' || $what eq 'models'))
		{
			next if $what eq 'models';
			my %old = split /[|\n]/, $before{$what};
			my %new = split /[|\n]/, $after{$what};
			is_deeply([ grep { $new{$_} < $old{$_} } sort keys %old ], [], "$name: no version is lower");
			next;
		}
		same($after{$what}, $before{$what}, "$name: $what");
	}
	return;
}

# make_database NAME: empty, with settings of its own
sub make_database
{
	my ($name) = @_;
	$node->safe_psql('postgres', <<EOS);
CREATE DATABASE $name TEMPLATE template0;
ALTER DATABASE $name SET DateStyle = 'German, DMY';
ALTER DATABASE $name SET TimeZone = 'America/New_York';
ALTER DATABASE $name SET IntervalStyle = 'sql_standard';
ALTER DATABASE $name SET extra_float_digits = -5;
EOS
	return;
}

my $dir = $node->basedir;
my @run = ([ 'plain', 'plain' ], [ 'inserts', 'plain', '--inserts' ],
	[ 'columns', 'plain', '--column-inserts', '--rows-per-insert=3' ],
	[ 'custom', 'custom' ], [ 'directory', 'directory', '-j', '4' ]);
foreach my $run (@run)
{
	my ($name, $format, @options) = @$run;
	$node->command_ok([ 'pg_dump', '-F', $format, @options, '-f', "$dir/$name", '-d', $node->connstr('crm') ], "$name: dump");
}
$node->command_ok([ 'pg_dump', '--schema-only', '-F', 'custom', '-f', "$dir/schema", '-d', $node->connstr('crm') ], 'schema: dump');
$node->command_ok([ 'pg_dump', '--data-only', '-F', 'custom', '-f', "$dir/data", '-d', $node->connstr('crm') ], 'data: dump');
$next_id = $node->safe_psql('crm', q{SELECT nextval('leadscore.rule_id_seq')});

# restore NAME, COMMAND: was it done without errors?  And what went to stderr
sub restore
{
	my ($name, @command) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run(\@command, '>', \$out, '2>', \$err) && $err !~ /ERROR/;
	ok($ok, "$name: restored without errors") or diag($err);
	return ($ok, $err);
}

sub restore_all
{
	my ($name, $format, $suffix, @options) = @_;
	my $database = "restored_" . ($suffix eq '_single' ? 'single' : "$name$suffix");
	make_database($database);
	my @command =
	  $format eq 'plain'
	  ? ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$name", '-d', $node->connstr($database))
	  : ('pg_restore', '--exit-on-error', @options, '-d', $node->connstr($database), "$dir/$name");
	my ($ok, $err) = restore("$name$suffix", @command);
	return if !$ok;
	like($err, qr/condition of rule \d+ of scoring model "aaa" cannot be used: column "gone_too" does not exist/,
		"$name$suffix: the broken rule is named") if $format eq 'plain';
	compare("$name$suffix", $database, scalar grep { $_ eq $name } qw(inserts columns));
	is($node->safe_psql($database, q{SELECT nextval('leadscore.rule_id_seq')}), $next_id, "$name$suffix: numbers of rules go on");
	is($node->safe_psql($database, q{SELECT count(*) FROM leadscore.threshold WHERE builtin}), 11, "$name$suffix: built-in thresholds are there once");
	return;
}

restore_all($_->[0], $_->[1], '') foreach grep { $_->[0] ne 'directory' } @run;
restore_all('directory', 'directory', '', '-j', '4');
restore_all('custom', 'custom', '_parallel', '-j', '4');
restore_all('custom', 'custom', '_single', '--single-transaction');

# over what is there already
my ($ok) = restore('clean', 'pg_restore', '--exit-on-error', '--clean', '--if-exists', '-d', $node->connstr('restored_custom'), "$dir/custom");
compare('clean', 'restored_custom') if $ok;

# schema first, data later
make_database('restored_schema');
restore('schema', 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored_schema'), "$dir/schema");
is($node->safe_psql('restored_schema', q{
	SELECT (SELECT count(*) FROM leadscore.model), (SELECT count(*) FROM leadscore.rule), (SELECT count(*) FROM leadscore.threshold)}),
	'0|0|11', 'schema: no rules, the built-in thresholds');
# the CRM's own rows, as the tables have no foreign keys among them, go in any order
($ok) = restore('data', 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored_schema'), "$dir/data");
compare('schema, then data', 'restored_schema') if $ok;

# a dump of the restored database is the dump of the first
sub dump_text
{
	my ($database) = @_;
	local $ENV{PGTZ} = 'UTC';
	my ($out, $err) = run_command([ 'pg_dump', '-d', $node->connstr($database) ]);
	$out =~ s/^\\(un)?restrict .*\n//mg;
	return $out;
}
$node->safe_psql('crm', q{SELECT setval('leadscore.rule_id_seq', 1000)});
$node->safe_psql('restored_plain', q{SELECT setval('leadscore.rule_id_seq', 1000)});
my $first = dump_text('crm');
my $second = dump_text('restored_plain');
# an event trigger's state is no part of a dump of extension members; rows come in any order
same(join("\n", sort split /\n/, $second), join("\n", sort split /\n/, $first), 'the dump of the restored database is the same');

# life goes on in the restored database: versions, triggers, the event trigger
my ($ret, $out, $err) = $node->psql('restored_single', <<'EOS');
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('zzz', 'calls', 'no_such_column', 1);
EOS
like($err, qr/column "no_such_column" does not exist/, 'rules are checked after a restore');
my $version = $node->safe_psql('restored_single', q{SELECT version FROM leadscore.model WHERE name = 'zzz'});
$node->safe_psql('restored_single', q{UPDATE leadscore.rule SET points = 11 WHERE parameter = 'one'});
is($node->safe_psql('restored_single', q{SELECT version FROM leadscore.model WHERE name = 'zzz'}), $version + 1, 'versions go on');
$node->safe_psql('restored_single', q{ALTER TABLE "Odd ""Crm"""."Lead" RENAME "group" TO cluster});
is($node->safe_psql('restored_single', q{SELECT count(*) FROM leadscore.rule WHERE model = 'odd' AND NOT enabled}), 3, 'the event trigger works');

$node->stop;
done_testing();
