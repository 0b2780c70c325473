# kill -9 of executors, schedulers, launcher and postmaster at random moments of
# a backfill: everything is applied once, and nothing is left to clean up.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

# more of both take longer: a hundred kills need some naps of half a second
my $kills = $ENV{IDEM_KILLS} || 12;
my $nap = $ENV{IDEM_NAP} || 0.1;
my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'idem_import'
restart_after_crash = on
idem_test.nap = $nap
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE src (day date, id int, v text);
INSERT INTO src SELECT date '2026-01-01' + u, g, 'v' || g FROM generate_series(0, 199) u, generate_series(1, 300) g;
CREATE INDEX ON src (day);
CREATE TABLE dst (day date, id int, v text, PRIMARY KEY (day, id));
CREATE TABLE applied (day date, n bigint);
-- slow enough to be hit; counts how often the rows of a unit have been inserted
CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	INSERT INTO applied SELECT day, count(*) FROM fresh GROUP BY day;
	PERFORM pg_sleep(current_setting('idem_test.nap')::float * random());
	RETURN NULL;
END$$;
CREATE TRIGGER t AFTER INSERT ON dst REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
SELECT idem_import_create('fill', 'SELECT * FROM src WHERE day = $1', 'dst', key => '{day,id}', scope => '{day}', backoff => '1 s');
SQL
my $fill = $node->safe_psql('postgres', "SELECT idem_import_backfill('fill', '2026-01-01', '2026-07-19')");

# a server that goes down while psql speaks to it
sub quietly
{
	my ($sql) = @_;
	my @result = eval { $node->psql('postgres', $sql) };
	return @result ? @result : (1, '');
}

# how long it takes, once "kill -9" has hit, until a task is at work: until the
# server takes connections again, which is when it starts autovacuum's launcher,
# and from there on.  What ended in between, or had begun before, does not count.
sub resumed
{
	my ($since) = @_;
	my ($rc, $out) = quietly(<<"SQL");
SELECT extract(epoch FROM up.at) - $since, extract(epoch FROM first.at - up.at), waiting.n
FROM (SELECT min(backend_start) AS at FROM pg_stat_activity
	WHERE backend_type = 'autovacuum launcher' AND backend_start > to_timestamp($since)) up,
	LATERAL (SELECT min(started_at) AS at FROM idem_import_queue WHERE started_at > up.at) first,
	(SELECT count(*) AS n FROM idem_import_queue WHERE status IN ('pending', 'running')) waiting
WHERE first.at IS NOT NULL OR waiting.n = 0
SQL
	return if $rc != 0 || $out !~ /\|/;
	my ($recovery, $worker, $waiting) = split(/\|/, $out);
	return ($recovery || 0, $worker || 0, $waiting);
}

sub figures
{
	my @sorted = sort { $a <=> $b } @_;
	return sprintf('median %.2f s, max %.2f s', $sorted[@sorted / 2], $sorted[-1]);
}

srand($ENV{IDEM_SEED} || 42);
$SIG{PIPE} = 'IGNORE';
my %killed;
my (@recovery, @worker);
my $late = 0;
for my $n (1 .. $kills)
{
	my @kinds = ('executor', 'executor', 'scheduler', 'launcher', 'postmaster');
	my $kind = $kinds[rand @kinds];
	my $since;
	sleep(rand(0.6));
	if ($kind eq 'postmaster')
	{
		$since = time;
		$node->kill9;
		# its children hold the memory until they notice
		until ($node->start(fail_ok => 1))
		{
			# what it found in the file is the one that was killed
			$node->{_pid} = undef;
			sleep(0.1);
		}
	}
	else
	{
		my ($rc, $pid) = quietly("SELECT pid FROM pg_stat_activity WHERE backend_type = 'idem_import $kind' ORDER BY random() LIMIT 1");
		next if $rc != 0 || $pid !~ /^\d+$/;
		$since = time;
		kill 'KILL', $pid;
	}
	$killed{$kind}++;

	# it must be at work again soon
	my ($recovery, $worker, $waiting);
	while (time - $since < 20)
	{
		($recovery, $worker, $waiting) = resumed($since);
		last if defined $waiting;
		sleep(0.05);
	}
	if (defined $waiting && $worker > 0)
	{
		push @recovery, $recovery;
		push @worker, $worker;
	}
	$late++ if !defined $waiting || $recovery + $worker > 5;
	last if defined $waiting && $waiting == 0;
}
note("until the server is up: " . figures(@recovery));
note("from there until a task is at work: " . figures(@worker));
note("both: " . figures(map { $recovery[$_] + $worker[$_] } 0 .. $#worker));
note(join(', ', map { "$_: $killed{$_}" } sort keys %killed));
cmp_ok(scalar(keys %killed), '>=', 3, 'processes of several kinds were killed');
cmp_ok(scalar(@worker), '>=', $kills / 2, 'it was seen to resume');
is($late, 0, 'at work again within 5 s each time');

ok($node->poll_query_until('postgres', "SELECT idem_import_wait($fill, '1 s') = 'done'"), 'the backfill is done');
is($node->safe_psql('postgres', "SELECT units, done, failed, pending, running FROM idem_import_backfills"), '200|200|0|0|0', 'every unit');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ((TABLE src EXCEPT ALL TABLE dst) UNION ALL (TABLE dst EXCEPT ALL TABLE src)) x'), '0', 'the target is the source');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT day), min(n), max(n) FROM applied'), '200|200|300|300', 'each unit was applied once');
is($node->safe_psql('postgres', "SELECT count(*) FROM idem_import_ledger WHERE status = 'applied'"), '200', 'and has its receipt');
is($node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE status = 'applied'), count(*) FILTER (WHERE inserted <> 300 AND status = 'applied') FROM idem_import_history"), '200|0', 'and its row of history');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('idem_import executor', 'idem_import scheduler')"), 'nobody stays');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE locktype NOT IN ('virtualxid', 'relation')"), '0', 'nor does a lock');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_prepared_xacts"), '0', 'nor a transaction');

# a task that takes the server down each time comes to an end
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE poison (id int PRIMARY KEY, v text);
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	PERFORM pg_sleep(600);
	RETURN NULL;
END$$;
CREATE TRIGGER t AFTER INSERT ON poison FOR EACH STATEMENT EXECUTE FUNCTION die();
SELECT idem_import_create('poison', 'SELECT id, v FROM src WHERE day = ''2026-01-01''', 'poison', key => '{id}', backoff => '100 ms', max_attempts => 2);
SQL
my $task = $node->safe_psql('postgres', "SELECT idem_import_submit('poison')");
for (1 .. 4)
{
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'idem_import executor' AND wait_event = 'PgSleep'"), 'a task that is in the way of a signal');
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM idem_import_queue WHERE task = $task");
	kill 'KILL', $pid;
	sleep(0.2);
	$node->poll_query_until('postgres', 'SELECT true');
}
ok($node->poll_query_until('postgres', "SELECT status = 'dead' FROM idem_import_queue WHERE task = $task"), 'is given up');
is($node->safe_psql('postgres', "SELECT interrupted, sqlstate FROM idem_import_queue WHERE task = $task"), '4|57P02', 'and says why');

# a clean restart interrupts, too
my $again = $node->safe_psql('postgres', "SELECT idem_import_alter('poison', max_attempts => 5); SELECT idem_import_submit('poison')");
$again =~ s/\s//g;
ok($node->poll_query_until('postgres', "SELECT status = 'running' FROM idem_import_queue WHERE task = $again"), 'a task at work');
$node->restart;
$node->safe_psql('postgres', 'CREATE OR REPLACE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$');
ok($node->poll_query_until('postgres', "SELECT attempts > 1 FROM idem_import_queue WHERE task = $again"), 'is taken up after a restart');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM idem_import_queue WHERE status = 'running'");
is($node->safe_psql('postgres', "SELECT idem_import_wait($again, '30 s')"), 'done', 'and after its executor was terminated');
$node->stop;
done_testing();
