# A session that scores while rules change hundreds of times keeps a few
# rulebooks, not hundreds; whatever ended its statements.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE lead (id int PRIMARY KEY, employees int, country text, title text);
INSERT INTO lead SELECT i, i, CASE WHEN i % 2 = 0 THEN 'PL' ELSE 'DE' END, 'CEO' FROM generate_series(0, 9) i;
INSERT INTO leadscore.model (name, target) VALUES ('m', 'lead'), ('other', 'lead');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'all', 'fit', 'sum'), ('other', 'all', 'fit', 'sum');
INSERT INTO leadscore.rule (id, model, factor, condition, points)
SELECT i, 'm', 'all', CASE i % 4 WHEN 0 THEN 'employees > ' || i WHEN 1 THEN 'country = ''' || i || '''' WHEN 2 THEN 'title ILIKE ''%' || i || '%'''
	ELSE '1000 / (employees + ' || i || ') > 10' END, 1
FROM generate_series(1, 40) i;
CREATE FUNCTION score_row(l lead) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN leadscore.score('m', l); END $$;
EOS

my $rulebooks = q{SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'leadscore rulebook';};
my $others = q{SELECT coalesce(string_agg(DISTINCT name, ', '), '') FROM pg_backend_memory_contexts
	WHERE name LIKE 'leadscore%' AND name NOT IN ('leadscore rulebook', 'leadscore rulebooks');};
my $memory = q{SELECT sum(total_bytes) FROM pg_backend_memory_contexts;};
my $prepare = <<'EOS';
SET plan_cache_mode = force_generic_plan;
PREPARE p AS SELECT sum(leadscore.score('m', l)), sum(score_row(l)) FROM lead l;
PREPARE r AS SELECT count(*) FROM lead l, leadscore.explain('m', l) e;
EOS

# run NAME, STATEMENTS of one round, which end with the same rules again or other ones
sub run
{
	my ($name, $round) = @_;
	my $script = $prepare . ($round x 100) . "\\echo -first-\n$memory\n" . ($round x 400) . "\\echo -then-\n$memory\n$rulebooks\n$others\n";
	my ($ret, $out, $err) = $node->psql('postgres', $script, on_error_stop => 0);
	my ($first) = $out =~ /^-first-\n(\d+)$/m;
	my ($then, $count, $names) = $out =~ /^-then-\n(\d+)\n(\d+)\n(.*)\z/m;
	cmp_ok($count // 1000, '<=', 5, "$name: rulebooks in memory");
	is($names, '', "$name: nothing half-built");
	cmp_ok($then - $first, '<', 2_000_000, "$name: memory after 500 changes is that after 100, or nearly so");
	return $err;
}

my $change = "UPDATE leadscore.rule SET points = points + 1 WHERE id = 4;\n";
is(run('committed', $change . "EXECUTE p;\nEXECUTE r;\n"), '', 'no error');
is(run('rolled back', "BEGIN;\n${change}EXECUTE p;\nSAVEPOINT s;\n${change}EXECUTE p;\nROLLBACK TO s;\nEXECUTE p;\nROLLBACK;\nEXECUTE p;\n"), '', 'no error');
is(run('of another session', "\\! psql -XAtq -c 'UPDATE leadscore.rule SET points = points + 1 WHERE id = 4' -d '" . $node->connstr('postgres') . "'\nEXECUTE p;\n"), '', 'no error')
  if $ENV{LEADSCORE_SLOW_TESTS};

# cursors hold their rulebooks, as long as they are open
is(run('cursors', "BEGIN;\nDECLARE c CURSOR FOR SELECT leadscore.score('m', l) FROM lead l;\nFETCH 1 FROM c;\n${change}EXECUTE p;\nFETCH 1 FROM c;\nCOMMIT;\n"), '', 'no error');
my ($ret, $out, $err) = $node->psql('postgres', "BEGIN;\n"
	  . join('', map { "DECLARE c$_ CURSOR FOR SELECT leadscore.score('m', l) FROM lead l;\nMOVE 7 FROM c$_;\n$change" } 1 .. 20)
	  . "$rulebooks\n" . join('', map { "FETCH 1 FROM c$_;\n" } 1 .. 20) . "ROLLBACK;\n$rulebooks\n");
my @lines = split /\n/, $out;
cmp_ok($lines[0], '>=', 20, 'open cursors hold their rulebooks');
is_deeply([ map { $lines[$_] - $lines[1] } 1 .. 20 ], [ 0 .. 19 ], 'each its own');
cmp_ok($lines[21], '<=', 5, 'closed cursors do not');

# statements that fail in the middle: a condition, something else, a build that is cut off
$node->safe_psql('postgres', q{INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (100, 'm', 'all', '1 / (employees - 5) > 0', 1)});
like(run('failing conditions', $change . "EXECUTE p;\nEXECUTE r;\n"), qr/division by zero/, 'errors');
$node->safe_psql('postgres', q{DELETE FROM leadscore.rule WHERE id = 100});
like(run('failing statements', $change . "SELECT leadscore.score('m', l), 1 / (id - 5) FROM lead l;\nSELECT leadscore.score(CASE WHEN id < 3 THEN 'm' ELSE 'none' END, l) FROM lead l;\n"),
	qr/scoring model "none" does not exist/, 'errors');
is(run('two models in turn', $change . "SELECT leadscore.score(CASE WHEN id % 2 = 0 THEN 'm' ELSE 'other' END, l) FROM lead l;\n"), '', 'no error');

# PL/pgSQL keeps the state of an expression for the transaction
($ret, $out, $err) = $node->psql('postgres', <<EOS);
DO \$\$
DECLARE
	r lead;
	n int;
	most int := 0;
BEGIN
	SELECT * INTO r FROM lead WHERE id = 5;
	FOR i IN 1..500 LOOP
		UPDATE leadscore.rule SET points = points + 1 WHERE id = 4;
		n := leadscore.score('m', r);
		IF n <> (SELECT leadscore.score('m', l) FROM lead l WHERE id = 5) THEN
			RAISE EXCEPTION 'different scores';
		END IF;
		SELECT count(*) INTO n FROM pg_backend_memory_contexts WHERE name = 'leadscore rulebook';
		most := greatest(most, n);
	END LOOP;
	IF most > 7 THEN
		RAISE EXCEPTION '% rulebooks', most;
	END IF;
	-- and with rules that are rolled back
	FOR i IN 1..100 LOOP
		BEGIN
			UPDATE leadscore.rule SET points = points + 1 WHERE id = 4;
			n := leadscore.score('m', r);
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN
			IF n <> leadscore.score('m', r) + 1 THEN
				RAISE EXCEPTION 'rolled back rules count: % and %', n, leadscore.score('m', r);
			END IF;
		END;
	END LOOP;
END \$\$;
$rulebooks
EOS
is($err, '', 'PL/pgSQL: few rulebooks, right scores');
cmp_ok($out, '<=', 5, 'PL/pgSQL: and afterwards as well');

unlike(slurp_file($node->logfile), qr/leak|PANIC|TRAP|terminated by signal/i, 'nothing leaked, by the server log');
$node->stop;
done_testing();
