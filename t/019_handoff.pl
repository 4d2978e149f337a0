# Who listens to NOTIFY leadscore hears of every crossing once, and who was away
# learns from leadscore.changes() what he missed: a client that is killed again
# and again, while transactions commit late, roll back to savepoints or are
# prepared, ends up with each row of the history exactly once.

use strict;
use warnings;

use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

plan skip_all => 'listens at a Unix-domain socket' if !$use_unix_sockets;

my $seconds = $ENV{LEADSCORE_STRESS_SECONDS} // 5;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 10\nlog_statement = none\nlog_line_prefix = '%m [%p] %a '\nTimeZone = 'Asia/Kolkata'");
$node->start;
my $major = int($node->safe_psql('postgres', 'SHOW server_version_num') / 10000);
if ($major >= 17)
{
	$node->append_conf('postgresql.conf', 'max_notify_queue_pages = 64');
	$node->restart;
}
$node->safe_psql('postgres', <<'EOS');
CREATE EXTENSION leadscore;
CREATE TABLE lead (id int PRIMARY KEY, n int);
CREATE TABLE event (lead int, at timestamptz, kind int);
CREATE INDEX ON event (lead);
INSERT INTO lead SELECT i, 0 FROM generate_series(1, 40) i;
CREATE SEQUENCE newcomer MINVALUE 50;
INSERT INTO leadscore.model (name, target, handoff_stage) VALUES ('m', 'lead', 'mql');
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('m', 'who', 'fit', 'sum'), ('m', 'did', 'engagement', 'sum');
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, occurred_at) VALUES ('m', 'event', 'event', 'lead', 'at');
INSERT INTO leadscore.rule (model, factor, activity, condition, points, half_life) VALUES
	('m', 'who', NULL, 'n > 0', 60, NULL), ('m', 'did', 'event', 'true', 30, '0.5 seconds');
INSERT INTO leadscore.transition (model, from_stage, to_stage, automatic, condition) VALUES
	('m', 'lead', 'mql', true, 'scored.score >= 50'), ('m', 'mql', 'sql', false, NULL), ('m', 'mql', 'nurture', false, NULL), ('m', 'nurture', 'lead', false, NULL),
	('m', 'sql', 'lost', false, NULL), ('m', 'lost', 'lead', false, NULL);
SELECT leadscore.attach('m');
CREATE FUNCTION try_move(key int, stage text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN leadscore.move('m', key, stage::leadscore.lead_stage);
EXCEPTION WHEN check_violation THEN
	RETURN SQLERRM;
END
$$;
EOS

# A client of its own, which speaks the protocol: it is told of notifications as
# they come, and asks for nothing else.
{
	package Client;

	sub new
	{
		my ($class, $node) = @_;
		my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or die "cannot connect: $!";
		my $self = bless { socket => $socket, heard => [] }, $class;
		my $user = getpwuid($<);
		my $start = pack('N', 196608) . join("\0", 'user', $user, 'database', 'postgres', 'application_name', 'listener') . "\0\0";
		$socket->syswrite(pack('N', 4 + length $start) . $start);
		$self->until_ready;
		return $self;
	}

	sub get
	{
		my ($self, $length) = @_;
		my $got = '';
		while (length $got < $length)
		{
			$self->{socket}->sysread($got, $length - length $got, length $got) or die 'the server has gone';
		}
		return $got;
	}

	sub message
	{
		my ($self) = @_;
		my ($type, $length) = unpack 'a N', $self->get(5);
		my $body = $self->get($length - 4);
		die "the server says: $body" if $type eq 'E';
		push @{ $self->{heard} }, (unpack 'N Z* Z*', $body)[2] if $type eq 'A';
		return ($type, $body);
	}

	# the rows of a query, as lists of texts
	sub until_ready
	{
		my ($self) = @_;
		my @rows;
		while (1)
		{
			my ($type, $body) = $self->message;
			return @rows if $type eq 'Z';
			next if $type ne 'D';
			my ($columns, $rest) = unpack 'n a*', $body;
			my @row;
			foreach (1 .. $columns)
			{
				(my $length, $rest) = unpack 'N a*', $rest;
				push @row, $length == 0xffffffff ? undef : substr $rest, 0, $length, '';
			}
			push @rows, \@row;
		}
	}

	sub query
	{
		my ($self, $sql) = @_;
		$self->{socket}->syswrite('Q' . pack('N', 5 + length $sql) . $sql . "\0");
		return $self->until_ready;
	}

	# wait SECONDS: for a notification
	sub wait
	{
		my ($self, $seconds) = @_;
		my $in = '';
		vec($in, $self->{socket}->fileno, 1) = 1;
		$self->message if select $in, undef, undef, $seconds;
		return;
	}
}

# What a row of changes(), or of the history, says
my $row = q{concat_ws(' ', model, lead_key, to_jsonb(at)#>>'{}', cause, from_stage, to_stage, temperature, coalesce(announced, '-'), score, to_jsonb(recorded_at)#>>'{}')};

# The consumer is a process that keeps what it hears, and what changes() told, in
# a file: lines "heard PAYLOAD", and "batch POSITION ROW;ROW..." at one go.
sub consume
{
	my ($file, $catches_up) = @_;
	my $client = Client->new($node);
	my $position;
	if (-e $file)
	{
		my @lines = grep { /\n\z/ && /^batch/ } split /(?<=\n)/, slurp_file($file);
		($position) = $lines[-1] =~ /^batch (.*?)\t/ if @lines;
	}
	open my $out, '>>', $file or die "$file: $!";
	# what is cut off in the middle does not count
	syswrite $out, "\n";
	# first listen, then catch up: what commits in between is told by both
	$client->query('LISTEN leadscore');
	syswrite $out, "listens\n";
	while (1)
	{
		if ($catches_up)
		{
			my $since = defined $position ? "'$position'" : 'NULL';
			my @rows = $client->query("SELECT position, $row FROM leadscore.changes($since)");
			if (@rows)
			{
				$position = $rows[0][0];
				syswrite $out, "batch $position\t" . join(';', map { $_->[1] } @rows) . "\n";
			}
		}
		$client->wait(0.2) if !@{ $client->{heard} };
		syswrite $out, join '', map { "heard $_\n" } splice @{ $client->{heard} };
	}
}

# start_consumer FILE, CATCHES_UP: the number of its process, once it listens
sub start_consumer
{
	my ($file, $catches_up) = @_;
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		eval { consume($file, $catches_up); };
		POSIX::_exit(1);
	}
	return $pid;
}
sub kill_consumer
{
	my ($pid) = @_;
	kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}
sub lines
{
	my ($file, $kind) = @_;
	return map { /^$kind (.*)\n\z/ ? $1 : () } split /(?<=\n)/, slurp_file($file);
}
# wait_for_line FILE, REGEXP: until a line is there
sub wait_for_line
{
	my ($file, $regexp) = @_;
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if -e $file && slurp_file($file) =~ $regexp;
		sleep 0.1;
	}
	return 0;
}
# barrier FILE: until what was sent before has been heard
my $barriers = 0;
sub barrier
{
	my ($file) = @_;
	$barriers++;
	$node->safe_psql('postgres', "NOTIFY leadscore, '{\"kind\":\"barrier\",\"nr\":$barriers}'");
	return wait_for_line($file, qr/^heard .*"nr":$barriers\}$/m);
}

my $dir = $node->basedir;
my ($steady, $killed) = ("$dir/steady", "$dir/killed");
my @pids = (start_consumer($steady, 0), start_consumer($killed, 1));
END { my $status = $?; kill 'KILL', grep { $_ } @pids; $? = $status; }
ok(wait_for_line($_, qr/^listens$/m), 'a client listens') foreach $steady, $killed;

# Leads from 30 on are for transactions that take long.
my $some = q{
	\set lead random(1, 25)
	\set late random(26, 40)
	\set n random(0, 1)
	\set stage random(1, 5)
	\set ms random(1, 900)};
my %scripts = (
	update => "UPDATE lead SET n = :n WHERE id = :lead;",
	come => "INSERT INTO lead VALUES (nextval('newcomer'), :n);",
	event => "INSERT INTO event VALUES (:lead, clock_timestamp()), (:lead, clock_timestamp());",
	move => q{SELECT try_move(:lead, (ARRAY['sql', 'nurture', 'lead', 'lost', 'mql'])[:stage]);},
	savepoint => q{
		BEGIN;
		UPDATE lead SET n = :n WHERE id = :lead;
		SAVEPOINT a;
		INSERT INTO event VALUES (:lead, now());
		UPDATE lead SET n = 1 - :n WHERE id = :lead;
		SAVEPOINT b;
		SELECT leadscore.pin('m', :lead, 'infinity');
		RELEASE b;
		ROLLBACK TO a;
		SELECT leadscore.unpin('m', :lead);
		COMMIT;},
	late => q{
		BEGIN;
		UPDATE lead SET n = 1 - n WHERE id = :late;
		SELECT pg_sleep(0.001 * :ms);
		INSERT INTO event VALUES (:late, clock_timestamp()), (:lead, now());
		COMMIT;},
	abort => q{
		BEGIN;
		UPDATE lead SET n = 1 - n WHERE id = :lead;
		ROLLBACK;},
	advance => 'CALL leadscore.advance(); SELECT pg_sleep(0.02);');
append_to_file("$dir/$_.pgbench", "$some\n$scripts{$_}\n") foreach keys %scripts;
my @loads = map {
	my @command = ('pgbench', '-n', '-c', $_->[0], '-j', 1, '-T', $seconds, (map { ('-f', "$dir/$_.pgbench") } @{ $_->[1] }), '-h', $node->host, '-p', $node->port, 'postgres');
	my $err = '';
	{ run => IPC::Run::start(\@command, '<', \undef, '>', "$dir/load.out", '2>', \$err), err => \$err }
} [ 2, [ 'update', 'come', 'event', 'move', 'savepoint', 'abort' ] ], [ 3, ['late'] ], [ 1, ['advance'] ];

my $prepared = 0;
my $until = time + $seconds;
while (time < $until)
{
	# in two phases: prepared now, committed some rounds later
	$prepared++;
	my $lead = 100000 + $prepared;
	$node->safe_psql('postgres', "SET client_min_messages = error; BEGIN; INSERT INTO lead VALUES ($lead, 1); SELECT leadscore.move('m', $lead, 'sql'); PREPARE TRANSACTION 'p$prepared'");
	$node->safe_psql('postgres', "COMMIT PREPARED 'p" . ($prepared - 2) . "'") if $prepared > 2;
	sleep 0.3;
	kill_consumer($pids[1]);
	sleep 0.2;
	$pids[1] = start_consumer($killed, 1);
}
foreach my $load (@loads)
{
	ok(IPC::Run::finish($load->{run}), 'no writer met an error') or diag(${ $load->{err} });
}
$node->safe_psql('postgres', "COMMIT PREPARED 'p" . ($prepared - 1) . "'");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'p$prepared'");
# nobody is woken by what was prepared, but by what comes next
ok(barrier($_), 'all is heard') foreach $steady, $killed;
# and it looks once more
sleep 0.5;

my @history = split /\n/, $node->safe_psql('postgres', "SELECT $row FROM leadscore.history ORDER BY xact, xact_order");
cmp_ok(scalar @history, '>', 500, 'much has happened: ' . @history . ' rows');
my @told = map { split /;/, (split /\t/, $_, 2)[1] } lines($killed, 'batch');
cmp_ok(scalar(() = slurp_file($killed) =~ /^listens$/mg), '>=', $seconds, 'the client came back again and again');
is_deeply([ sort @told ], [ sort @history ], 'it has each row of the history exactly once');

# What was announced, one by one, in the order of the changes of each lead
sub crossings
{
	my ($where) = @_;
	return split /\n/, $node->safe_psql('postgres', qq{
		SELECT concat_ws(' ', kind, model, lead_key, to_, at, xact) FROM (
			SELECT 'temperature' AS kind, 0 AS nr, model, lead_key, announced AS to_, to_jsonb(at)#>>'{}' AS at, xact, xact_order, lead_key AS k FROM leadscore.history WHERE announced IS NOT NULL AND $where
			UNION ALL SELECT 'stage', 1, model, lead_key, to_stage::text, to_jsonb(at)#>>'{}', xact, xact_order, lead_key FROM leadscore.history WHERE from_stage::text <> to_stage::text AND $where) c
		ORDER BY lead_key::int, at, xact, xact_order, nr});
}
sub heard
{
	my ($file) = @_;
	return map { my $m = decode_json($_); $m->{kind} eq 'barrier' ? () : $m } lines($file, 'heard');
}
sub texts
{
	my @messages = @_;
	my $nr = 0;
	return map { $_->[0] } sort { $a->[1] <=> $b->[1] || $a->[2] <=> $b->[2] } map { [ "$_->{kind} $_->{model} $_->{lead_key} $_->{to} $_->{at} $_->{xact}", $_->{lead_key}, $nr++ ] } @messages;
}
my $told = q{cause <> 'attach' AND lead_key::int < 100000};
my @crossings = crossings($told);
cmp_ok(scalar @crossings, '>', 300, 'many crossings: ' . @crossings);
is_deeply([ texts(heard($steady)) ], \@crossings, 'who listens all the time hears of each crossing once, and in order');
my %crossings = map { $_ => 1 } @crossings;
is_deeply([ grep { !$crossings{$_} } texts(heard($killed)) ], [], 'who is killed hears of no other');
my %twice;
is_deeply([ grep { $twice{$_}++ } texts(heard($killed)) ], [], 'and of none twice');
cmp_ok(scalar(texts(heard($killed))), '<', scalar @crossings, 'but has missed some');
is_deeply([ grep { $_->{direction} ne ($_->{kind} eq 'stage' ? leadscore_up($_) : $_->{to} eq 'cold' || ($_->{to} eq 'warm' && $_->{from} eq 'hot') ? 'down' : 'up') } heard($steady) ], [], 'up is up and down is down');
sub leadscore_up
{
	my ($message) = @_;
	my %rank = (lost => 1, nurture => 2, lead => 3, mql => 4, sql => 5);
	return $rank{ $message->{to} } > $rank{ $message->{from} } ? 'up' : 'down';
}
my %last;
is_deeply([ grep { $_->{kind} eq 'temperature' && defined $last{ $_->{lead_key} } && $last{ $_->{lead_key} } ne $_->{from} || ($_->{kind} eq 'temperature' && !($last{ $_->{lead_key} } = $_->{to})) } heard($steady) ],
	[], 'a temperature begins where the last one that was announced has ended');
is($node->safe_psql('postgres', q{SELECT count(*) FROM leadscore.history WHERE lead_key::int > 100000 AND to_stage::text = 'sql'}), $prepared - 1, 'what was prepared is in the history, once it has committed');

# A transaction that crosses more than a thousand times
my $before = heard($steady);
my $position = $node->safe_psql('postgres', 'SELECT DISTINCT position FROM leadscore.changes()');
$node->safe_psql('postgres', q{BEGIN; INSERT INTO lead SELECT i, 1 FROM generate_series(200001, 200400) i;
	SAVEPOINT s; INSERT INTO lead SELECT i, 1 FROM generate_series(203001, 203700) i; ROLLBACK TO s; INSERT INTO lead SELECT i, 1 FROM generate_series(200401, 201500) i; COMMIT});
ok(barrier($steady), 'many at once');
my @many = heard($steady);
splice @many, 0, $before;
my $n = scalar crossings('lead_key::int > 200000');
is(scalar @many, 1001, 'a thousand are sent one by one');
is($many[-1]{kind}, 'more', 'then one that says there are more');
# what was only counted as it was rolled back makes the number an upper limit
cmp_ok($many[-1]{count}, '>=', $n - 1000, 'and how many');
is_deeply([ grep { $_->{lead_key} > 203000 } grep { $_->{kind} ne 'more' } @many ], [], 'none of what was rolled back');
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT lead_key) FROM leadscore.changes('$position') WHERE to_stage = 'mql' AND from_stage = 'lead'"), '1500|1500', 'changes() has them all');

# A rescore sends one message
$before = heard($steady);
$node->safe_psql('postgres', q{SET client_min_messages = error; UPDATE leadscore.rule SET points = 200 WHERE factor = 'who'; CALL leadscore.rescore('m', move_stages => true)});
ok(barrier($steady), 'a rescore');
@many = heard($steady);
splice @many, 0, $before;
is(scalar @many, 1, 'a rescore sends one message') or diag(explain(\@many));

# Who reads changes() and makes some in the same transaction is told of his own later.
$position = $node->safe_psql('postgres', 'SELECT DISTINCT position FROM leadscore.changes()');
$node->safe_psql('postgres', "SELECT leadscore.move('m', 200001, 'nurture')");
my $told_first = $node->safe_psql('postgres', qq{
	CREATE TABLE progress (position text);
	BEGIN;
	-- this one has a number, and so it may be counted among those that have ended
	INSERT INTO progress SELECT DISTINCT position FROM leadscore.changes('$position');
	SELECT leadscore.move('m', 200002, 'nurture');
	UPDATE progress SET position = c.position FROM (SELECT DISTINCT position FROM leadscore.changes('$position')) c;
	SELECT string_agg(lead_key, ' ') FROM leadscore.changes('$position');
	SELECT leadscore.move('m', 200003, 'nurture');
	COMMIT;});
is($told_first, "nurture\n200001\nnurture", 'what the own transaction does is not told of yet');
is($node->safe_psql('postgres', q{SELECT string_agg(lead_key, ' ' ORDER BY lead_key) FROM leadscore.changes((SELECT position FROM progress))}), '200002 200003', 'but it is after its commit');

# A client that keeps a transaction open fills the queue: crossings go on.
SKIP:
{
	skip 'the queue of notifications is too large to be filled', 4 if $major < 17;
	my $open = $node->background_psql('postgres');
	$open->query('LISTEN leadscore');
	$open->query('BEGIN');
	$open->query('SELECT 1');
	$position = $node->safe_psql('postgres', 'SELECT DISTINCT position FROM leadscore.changes()');
	my $errors = '';
	foreach my $round (1 .. 8)
	{
		my ($ret, $out, $err) = $node->psql('postgres', sprintf('INSERT INTO lead SELECT i, 1 FROM generate_series(%d, %d) i', 300000 + 500 * $round, 300499 + 500 * $round));
		$errors .= $err;
	}
	like($errors, qr/WARNING:  crossings are not announced: the queue of notifications is \d+% full/, 'a queue that is half full is left to others');
	unlike($errors, qr/ERROR/, 'and no commit fails');
	is($node->safe_psql('postgres', 'SELECT pg_notification_queue_usage() < 0.9'), 't', 'it does not fill up');
	is($node->safe_psql('postgres', "SELECT count(DISTINCT lead_key) FROM leadscore.changes('$position')"), 4000, 'changes() has them all');
	$open->query('COMMIT');
	$open->quit;
}

kill_consumer($_) foreach @pids;
@pids = ();
my $log = slurp_file($node->logfile);
is_deeply([ $log =~ /^\S+ \S+ \S+ \[\d+\] (.*(?:ERROR|PANIC|TRAP): .*)$/mg ], [], 'no errors');
$node->stop;
done_testing();
