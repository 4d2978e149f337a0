# pg_upgrade: rules, their versions and the scores are the same afterwards.
# The old server is that of PG_CONFIG as well, unless LEADSCORE_OLD_INSTALL names
# the folder above the bin of an older one that finds the extension, too.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($bindir) = run_command([ 'pg_config', '--bindir' ]);
plan skip_all => 'this server comes without pg_upgrade' if !-x "$bindir/pg_upgrade";

my $old = PostgreSQL::Test::Cluster->new('old', install_path => $ENV{LEADSCORE_OLD_INSTALL});
$old->init;
$old->start;
if ($old->psql('postgres', q{LOAD '$libdir/leadscore'}) != 0)
{
	$old->stop;
	plan skip_all => 'pg_upgrade of this version does not find a library outside of $libdir';
}
$old->safe_psql('postgres', <<'EOS');
-- OIDs that the new cluster would give to something else
CREATE TABLE t AS SELECT 1; DROP TABLE t;
CREATE SCHEMA crm;
CREATE TABLE crm.lead (id int PRIMARY KEY, employees int, title text, gone text);
INSERT INTO crm.lead SELECT i, i, CASE WHEN i % 2 = 0 THEN 'CEO' END, 'x' FROM generate_series(1, 100) i;
CREATE FUNCTION crm.nice(text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN $1 = 'CEO'; END $$;
CREATE EXTENSION leadscore;
CREATE TABLE crm.stage (lead int, stage leadscore.lead_stage, temperature leadscore.temperature);
CREATE INDEX ON crm.stage (stage);
INSERT INTO crm.stage SELECT id, CASE WHEN id % 2 = 0 THEN 'mql' ELSE 'lost' END::leadscore.lead_stage, 'hot' FROM crm.lead;
CREATE VIEW crm.source AS SELECT l.id, l.employees, l.title, s.stage FROM crm.lead l LEFT JOIN crm.stage s ON s.lead = l.id;
INSERT INTO leadscore.allowed_function VALUES ('crm.nice(text)');
INSERT INTO leadscore.model (name, target, source) VALUES ('m', 'crm.lead', 'crm.source'), ('n', 'crm.lead', NULL);
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum'), ('n', 'all', 'engagement', 'sum');
SET search_path = public, leadscore;
INSERT INTO leadscore.rule (model, factor, condition, points) VALUES
	('m', 'all', 'crm.nice(title)', 7), ('m', 'all', $$stage >= 'mql'$$, 0.5), ('n', 'all', 'employees > 50', 30), ('n', 'all', 'gone IS NULL', 1);
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES
	('m', 'temperature', 'hot', 7), ('m', 'temperature', 'cold', '-Infinity'), (NULL, 'fit', 'X', 7), (NULL, 'fit', 'Y', '-Infinity');
CREATE VIEW crm.scored AS SELECT s.id, leadscore.evaluate('m', s) FROM crm.source s;
RESET search_path;
ALTER TABLE crm.lead DROP COLUMN gone;
-- attached, with a look-up, a history and a rescore that is half done
CREATE TABLE crm.part (id int PRIMARY KEY, employees int, budget text, score int) PARTITION BY HASH (id);
CREATE TABLE crm.part_0 PARTITION OF crm.part FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO crm.part SELECT i, i, CASE i WHEN 7 THEN 'much' ELSE i::text END FROM generate_series(1, 100) i;
INSERT INTO leadscore.model (name, target) VALUES ('part', 'crm.part');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('part', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (101, 'part', 'all', 'employees > 50', 7), (102, 'part', 'all', 'budget::int > 90', 20);
SELECT leadscore.attach('part', score_column => 'score'), leadscore.attach('m');
SELECT leadscore.watch('m', 'crm.stage', 'lead');
-- and one of what leads do, some of it to come
CREATE TABLE crm.person (id int PRIMARY KEY, email text);
CREATE TABLE crm.visit (person int, email text, at timestamptz);
INSERT INTO crm.person SELECT i, 'a' || i FROM generate_series(1, 10) i;
INSERT INTO crm.visit SELECT i % 12, 'A' || i % 7, timestamptz '2024-01-01' + i * interval '1 hour' FROM generate_series(1, 100) i;
INSERT INTO crm.visit VALUES (3, NULL, '2100-01-01');
INSERT INTO leadscore.model (name, target) VALUES ('did', 'crm.person');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('did', 'all', 'engagement');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at) VALUES ('did', 'visit', 'crm.visit', 'person', NULL, 'at'), ('did', 'mail', 'crm.visit', 'email', 'email', 'at');
INSERT INTO leadscore.rule (id, model, factor, activity, condition, points, half_life, at_least, within) VALUES
	(103, 'did', 'all', 'visit', 'true', 1, NULL, NULL, NULL), (104, 'did', 'all', 'mail', 'true', 2, '1000 days', NULL, NULL), (105, 'did', 'all', 'visit', 'true', 2, NULL, 3, '36525 days');
SELECT leadscore.attach('did');
UPDATE leadscore.part_state SET stage = 'mql' WHERE lead_key = 5;
UPDATE leadscore.rule SET points = 8 WHERE id = 101;
SELECT leadscore.rescore_step('part', 60, false), leadscore.rescore_step('part', 60, false);
EOS

my %queries = (
	matrices => q{SELECT jsonb_pretty(leadscore.export_model(name)) FROM leadscore.model ORDER BY name},
	versions => q{SELECT name, target::oid, source::oid, version FROM leadscore.model ORDER BY name},
	rules => q{SELECT r.* FROM leadscore.rule r ORDER BY id},
	thresholds => q{SELECT t.* FROM leadscore.threshold t ORDER BY t},
	problems => q{SELECT p.* FROM leadscore.problem p ORDER BY rule},
	scores => q{SELECT * FROM crm.scored ORDER BY id},
	more => q{SELECT l.id, leadscore.evaluate('n', l) FROM crm.lead l ORDER BY id},
	stages => q{SET search_path = leadscore; SET enable_seqscan = off; SELECT * FROM crm.stage WHERE stage = 'mql' ORDER BY lead},
	members => q{SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend d
		WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'leadscore') ORDER BY 1},
	configuration => q{SELECT array(SELECT c::regclass::text FROM unnest(extconfig) c), extcondition FROM pg_extension WHERE extname = 'leadscore'},
	triggers => q{SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text COLLATE "C", tgname},
	attached => q{SELECT a.* FROM leadscore.attachment a ORDER BY model},
	activity_sources => q{SELECT s.*, s.relation::oid FROM leadscore.activity_source s ORDER BY model, name},
	activity_states => q{SELECT to_jsonb(s), pg_column_size(engagement) FROM leadscore.did_state s ORDER BY s.lead_key},
	pending_activities => q{SELECT p.* FROM leadscore.pending_activity p ORDER BY lead_key},
	watched => q{SELECT w.* FROM leadscore.watched w},
	rescore => q{SELECT r.* FROM leadscore.rescore_run r},
	states => q{SELECT to_jsonb(s) FROM leadscore.part_state s UNION ALL SELECT to_jsonb(s) FROM leadscore.m_state s ORDER BY 1},
	scored => q{SELECT to_jsonb(s) FROM leadscore.part_scored s UNION ALL SELECT to_jsonb(s) FROM leadscore.m_scored s ORDER BY 1},
	policies => q{SELECT * FROM pg_policies ORDER BY tablename},
	doctor => q{SELECT * FROM leadscore.doctor()},
	event_triggers => q{SELECT evtname, evtevent, evtenabled FROM pg_event_trigger});
my $uncounted = q{SELECT lead_key, e.events, w.visits FROM leadscore.did_state s, leadscore.engagement_entries(s.engagement) e,
	LATERAL (SELECT count(*) AS visits FROM crm.visit v WHERE v.person = s.lead_key AND v.at <= now()) w WHERE e.rule = 103 AND e.events <> w.visits};
my %before = map { $_ => $old->safe_psql('postgres', $queries{$_}) } keys %queries;
is($old->safe_psql('postgres', $uncounted), '', 'activities are counted');
like($before{pending_activities}, qr/^did\|3\|/, 'one is to come');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
# it writes its logs where it is started
chdir $new->basedir or die $!;
my @command = ('pg_upgrade', '-b', $old->config_data('--bindir'), '-B', $new->config_data('--bindir'), '-d', $old->data_dir, '-D', $new->data_dir,
	'-s', $new->host, '-p', $old->port, '-P', $new->port);
command_ok(\@command, 'pg_upgrade');

$new->start;
is($new->safe_psql('postgres', $queries{$_}), $before{$_}, "after the upgrade: $_") foreach sort keys %queries;

my $next = $new->safe_psql('postgres', q{INSERT INTO leadscore.rule (model, factor, condition, points) VALUES ('n', 'all', 'true', 1000) RETURNING id});
is($next, 5, 'numbers of rules go on');
is($new->safe_psql('postgres', q{SELECT min(leadscore.score('n', l)) FROM crm.lead l}), 1000, 'and scores follow');
# attached models go on
$new->safe_psql('postgres', <<'EOS');
SET client_min_messages = error;
UPDATE crm.part SET employees = 100 - employees, budget = '95' WHERE id < 30;
INSERT INTO crm.part_0 VALUES (200, 200, '200');
UPDATE crm.stage SET stage = 'mql' WHERE lead IN (1, 2, 3);
DELETE FROM crm.stage WHERE lead > 90;
CALL leadscore.rescore('part');
INSERT INTO crm.visit VALUES (1, NULL, now()), (20, NULL, '2024-05-05');
DELETE FROM crm.visit WHERE at < '2024-01-02';
EOS
is($new->safe_psql('postgres', $uncounted), '', 'and count what is done');
is($new->safe_psql('postgres', q{SELECT leadscore.engagement_count(engagement, 103) FROM leadscore.did_state WHERE lead_key IN (1, 20) ORDER BY lead_key}), "8\n1", 'once each');
is($new->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE s.score = e.score) FROM leadscore.part_scored s JOIN crm.part l ON l.id = s.lead_key, leadscore.evaluate('part', l) e}),
	'101|101', 'attached models score what is written');
is($new->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE s.score = e.score) FROM leadscore.m_scored s JOIN crm.source l ON l.id = s.lead_key, leadscore.evaluate('m', l) e}),
	'100|100', 'and follow look-ups');
is($new->safe_psql('postgres', q{SELECT stage FROM leadscore.part_scored WHERE lead_key = 5}), 'mql', 'stages are kept');
$new->safe_psql('postgres', q{SELECT leadscore.detach('part'), leadscore.detach('m'), leadscore.detach('did')});

$new->safe_psql('postgres', 'ALTER TABLE crm.lead RENAME employees TO staff');
is($new->safe_psql('postgres', q{SELECT count(*) FROM leadscore.rule WHERE model = 'n' AND NOT enabled}), 2, 'the event trigger works');
$new->safe_psql('postgres', 'DROP VIEW crm.scored, crm.source; DROP TABLE crm.stage; SET client_min_messages = error; DROP EXTENSION leadscore');
is($new->safe_psql('postgres', q{SELECT count(*) FROM pg_event_trigger}), 0, 'and so does DROP EXTENSION');

$new->stop;
done_testing();
