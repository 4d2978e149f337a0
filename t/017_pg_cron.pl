# advance() is called by the real pg_cron, as the README says: what time alone
# changes is moved on without anybody's doing.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $library = `$ENV{PG_CONFIG} --pkglibdir` if $ENV{PG_CONFIG};
$library = `pg_config --pkglibdir` unless $library;
chomp $library;
plan skip_all => 'pg_cron is not installed' unless -f "$library/pg_cron.so";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<EOS);
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.host = '@{[ $node->host ]}'
EOS
$node->start;

$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION pg_cron;
CREATE EXTENSION leadscore;
CREATE SCHEMA crm;
CREATE TABLE crm.lead (id int PRIMARY KEY, size text);
CREATE TABLE crm.visit (id int PRIMARY KEY, lead_id int, at timestamptz);
INSERT INTO leadscore.model (name, target) VALUES ('b2b', 'crm.lead');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('b2b', 'web', 'engagement');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('b2b', 'visit', 'crm.visit', 'lead_id', 'at');
INSERT INTO leadscore.rule (model, factor, activity, condition, points, at_least, within) VALUES ('b2b', 'web', 'visit', 'true', 30, 1, '1 hour');
INSERT INTO crm.lead SELECT i FROM generate_series(1, 20) i;
SELECT leadscore.attach('b2b');
-- half of them stop being warm within seconds, and one becomes so
INSERT INTO crm.visit SELECT i, i, now() - interval '1 hour' + CASE WHEN i % 2 = 0 THEN interval '3 seconds' ELSE interval '50 minutes' END
  FROM generate_series(1, 19) i;
INSERT INTO crm.visit VALUES (20, 20, now() + interval '3 seconds');
EOS
is($node->safe_psql('postgres', q{SELECT temperature, count(*) FROM leadscore.b2b_state GROUP BY 1 ORDER BY 1}),
	"cold|1\nwarm|19", 'before their time the states say what was');
$node->safe_psql('postgres', q{SELECT cron.schedule('leadscore', '* * * * *', 'CALL leadscore.advance()')});

ok($node->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE temperature = 'warm') = 11 FROM leadscore.b2b_state}),
	'pg_cron has moved the states on');
is($node->safe_psql('postgres', q{SELECT count(*) FROM leadscore.b2b_state s JOIN leadscore.b2b_scored v USING (lead_key)
								  WHERE s.temperature <> v.temperature}), 0, 'the states say what the view says');
is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.pending_activity'), 0, 'nothing is pending');
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded'}),
	'pg_cron says so too');
is($node->safe_psql('postgres', q{SELECT coalesce(string_agg(DISTINCT return_message, ' '), '') FROM cron.job_run_details WHERE status = 'failed'}),
	'', 'no run failed');

$node->stop;
done_testing();
