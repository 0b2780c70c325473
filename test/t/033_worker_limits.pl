# The worker where the server runs out of something: slots, connections, locks,
# time, room on the disk.  Tasks wait, or fail and are tried again; the server
# stays up, and nobody has to clean anything.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('limits');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'idem_import'
max_worker_processes = 6
idem_import.max_workers = 4
idem_import.databases = 'postgres,d1'
max_connections = 8
superuser_reserved_connections = 2
max_locks_per_transaction = 10
autovacuum = off
CONF
$node->start;

my $setup = <<'SQL';
CREATE EXTENSION idem_import;
CREATE TABLE src AS SELECT g AS id, date '2026-01-01' + g % 20 AS day, repeat('x', 1000) AS v FROM generate_series(1, 2000) g;
CREATE TABLE dst (id int, day date, v text, PRIMARY KEY (id, day));
SELECT idem_import_create('days', 'src', 'dst', key => '{id,day}', scope => '{day}', backoff => '100 ms', max_attempts => 100);
SELECT idem_import_create('all', 'src', 'dst', key => '{id,day}', backoff => '100 ms', max_attempts => 100);
CREATE TABLE held (id int PRIMARY KEY);
SELECT idem_import_create('waits', 'SELECT 1 AS id', 'held', key => '{id}');
SQL
$node->safe_psql('postgres', $setup);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { return $node->poll_query_until($_[1] // 'postgres', $_[0]) }
my $task;

sub finish
{
	my ($name, $on) = @_;
	is($node->safe_psql($on // 'postgres', "SET statement_timeout = 0; SET lock_timeout = 0; SELECT idem_import_wait($task, '40 s')"), 'done', $name)
	  or diag($node->safe_psql($on // 'postgres', "SELECT * FROM idem_import_queue WHERE task = $task"));
	return;
}

# a task that was tried again for this reason
sub retried
{
	my ($sqlstate, $name) = @_;
	ok(until_true("SELECT status IN ('pending', 'running') AND attempts > 1 AND sqlstate = '$sqlstate' FROM idem_import_queue WHERE task = $task"), $name)
	  or diag(sql("SELECT * FROM idem_import_queue WHERE task = $task"));
	return;
}

# Slots.  One of the six is the launcher's, one that of logical replication;
# launchers that other databases have asked for take what there is.  With one
# slot left a scheduler finds none for its executor.
my ($rc, $out, $err);
my $executors = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'idem_import executor'";

sub take_slot
{
	my ($on) = @_;
	my $give_up = time + 30;
	do { ($rc, $out, $err) = $node->psql($on, 'SELECT idem_import_worker_start()') } while ($rc != 0 && time < $give_up);
	is($rc, 0, "a slot is taken by $on") or diag($err);
	# it has looked at its database
	ok(until_true("SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type ~ 'idem_import (scheduler|executor)'"), 'and no other');
	return;
}

sub free_slot
{
	my ($on) = @_;
	return $node->safe_psql($on, 'SELECT pg_terminate_backend(idem_import_worker_start())');
}

$node->safe_psql('postgres', "CREATE DATABASE d$_") for 1 .. 5;
$node->safe_psql("d$_", 'CREATE EXTENSION idem_import') for 2 .. 5;
take_slot("d$_") for 2 .. 4;
$task = sql("SELECT idem_import_submit('all')");
is(sql("SELECT idem_import_wait($task, '4 s')"), 'pending', 'one slot left: a task waits');
($rc, $out, $err) = $node->psql('d5', 'SELECT idem_import_worker_start()');
like($err, qr/out of background worker slots\nHINT:  You might need to increase max_worker_processes/, 'as does who asks for a worker');
sub spent
{
	my $ticks = 0;
	foreach my $pid (split /\n/, sql("SELECT pid FROM pg_stat_activity WHERE backend_type ~ 'idem_import (launcher|scheduler)'"))
	{
		my $stat = -r "/proc/$pid/stat" ? slurp_file("/proc/$pid/stat") : '';
		$ticks += $1 + $2 if $stat =~ /\) (?:\S+ ){11}(\d+) (\d+)/;
	}
	return $ticks;
}
my $before = spent();
sleep(2);
cmp_ok(spent() - $before, '<', 30, 'and nobody runs in circles');
free_slot('d2');
finish('it starts by itself once there is a slot');

take_slot($_) for 'd2', 'd5';
$task = sql("SELECT idem_import_submit('all')");
is(sql("SELECT idem_import_wait($task, '3 s')"), 'pending', 'no slot left: a task waits');
is(sql('SELECT 1'), '1', 'the server stays up');
free_slot($_) for 'd2', 'd3';
finish('until there are some');
free_slot($_) for 'd4', 'd5';

# a database that took all slots makes room for another one
$node->safe_psql('d1', $setup);
$node->safe_psql('d1', "SELECT idem_import_alter('days', out_of_scope => 'ignore'); SELECT idem_import_backfill('days', '2026-01-01', '2076-01-01')");
ok(until_true("$executors AND datname = 'd1'" =~ s/count\(\*\)/count(*) = 3/r), 'a long backfill has all slots');
$task = sql("SELECT idem_import_submit('all')");
finish('a task of another database has its turn');
is($node->safe_psql('d1', 'SELECT status FROM idem_import_backfills'), 'running', 'while the backfill goes on');
$node->safe_psql('d1', 'SELECT idem_import_cancel(backfill) FROM idem_import_backfill');

# room for a scheduler and its executor, or for another scheduler: databases take turns
foreach my $taken ('d2', 'd3')
{
	take_slot($taken);
	my $fill = $node->safe_psql('d1', "SELECT idem_import_backfill('days', '2026-01-01', '2076-01-01', reprocess => 'all')");
	ok(until_true("SELECT done > 50 FROM idem_import_backfills WHERE backfill = $fill", 'd1'), 'a long backfill');
	for my $turn (1 .. 3)
	{
		my $done = $node->safe_psql('d1', "SELECT done FROM idem_import_backfills WHERE backfill = $fill");
		$task = sql("SELECT idem_import_submit('all')");
		is(sql("SELECT idem_import_wait($task, '12 s')"), 'done', "another database has turn $turn");
		ok(until_true("SELECT done > $done FROM idem_import_backfills WHERE backfill = $fill", 'd1'), 'and gives it back');
	}
	is($node->safe_psql('d1', "SELECT status FROM idem_import_backfills WHERE backfill = $fill"), 'running', 'before all is done');
	$node->safe_psql('d1', "SELECT idem_import_cancel($fill)");
}
free_slot($_) for 'd2', 'd3';

# Connections: executors have slots of their own.  Those that superusers have
# left are enough to submit and to wait.
sql('CREATE ROLE plain LOGIN; GRANT SELECT ON src TO plain; GRANT ALL ON dst TO plain');
my @sessions = map { $node->background_psql('postgres', extra_params => [ '-U', 'plain' ]) } 1 .. 6;
($rc, $out, $err) = $node->psql('postgres', 'SELECT 1', extra_params => [ '-U', 'plain' ]);
like($err, qr/connection slots are reserved|too many clients/, 'connections are used up');
$sessions[0]->query_safe("SET search_path = public, pg_temp; SELECT idem_import_create('mine', 'src', 'dst', key => '{id,day}')");
$task = $sessions[0]->query_safe("SELECT idem_import_submit('mine')");
is($sessions[1]->query_safe("SELECT idem_import_wait($task, '40 s')"), 'done', 'tasks are submitted, run, and waited for by sessions that are there');
$_->quit for @sessions;

# Time: whatever is set for a role or a database strikes the task, not the worker.
my $blocker = $node->background_psql('postgres', on_error_stop => 0);
$blocker->query_safe('SET lock_timeout = 0; BEGIN; LOCK TABLE dst IN ACCESS EXCLUSIVE MODE');
sql("ALTER DATABASE postgres SET statement_timeout = '200ms'");
$task = sql("SET statement_timeout = 0; SELECT idem_import_submit('all')");
retried('57014', 'statement_timeout: tried again');
sql("ALTER DATABASE postgres RESET statement_timeout; ALTER DATABASE postgres SET lock_timeout = '200ms'");
retried('55P03', 'lock_timeout: too');
sql('ALTER DATABASE postgres RESET lock_timeout');
$blocker->query_safe('COMMIT');
finish('and done once the lock is free');
sql("ALTER ROLE plain SET idle_in_transaction_session_timeout = '1ms'; ALTER ROLE plain SET idle_session_timeout = '1ms'");
sql("ALTER DATABASE postgres SET idle_in_transaction_session_timeout = '1ms'");
$task = sql("UPDATE src SET v = v || 'y'; SELECT idem_import_submit('mine')");
finish('idle_in_transaction_session_timeout and idle_session_timeout are for sessions');
sql('ALTER DATABASE postgres RESET ALL');
SKIP:
{
	skip 'no transaction_timeout before PostgreSQL 17', 2 if !sql("SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'");
	sql("ALTER ROLE plain SET transaction_timeout = '500ms'");
	$blocker->query_safe('BEGIN; LOCK TABLE dst IN ACCESS EXCLUSIVE MODE');
	$task = sql("SELECT idem_import_submit('mine')");
	ok(until_true("SELECT attempts > 0 AND count(*) = 1 FROM idem_import_queue WHERE task = $task GROUP BY attempts"), 'transaction_timeout');
	sql('ALTER ROLE plain RESET ALL');
	$blocker->query_safe('COMMIT');
	finish('does not hold it up for good');
}
sql('ALTER ROLE plain RESET ALL');

# Locks: others hold so many that none is left, not even for a claim.
$task = sql("SELECT idem_import_submit('all', run_after => clock_timestamp() + '3 s')");
my $held = 0;
$blocker->query_safe('BEGIN');
for my $n (200, 20, 1)
{
	while ($held < 100000)
	{
		my ($from, $to) = ($held + 1, $held + $n);
		my $got = $blocker->query("SAVEPOINT s; SELECT count(pg_advisory_xact_lock_shared(1, g)) FROM generate_series($from, $to) g;");
		last if $got !~ /^$n$/m;
		$held += $n;
	}
	$blocker->query('ROLLBACK TO SAVEPOINT s');
}
($rc, $out, $err) = $node->psql('d2', "SELECT pg_advisory_lock(2, g) FROM generate_series(1, 20) g");
like($err, qr/out of shared memory/, "locks are used up: $held");
my $since = -s $node->logfile;
sleep(6);
my @lines = split /\n/, substr(slurp_file($node->logfile), $since);
cmp_ok(scalar(grep { /out of shared memory/ } @lines), '>', 0, 'the worker can do nothing');
cmp_ok(scalar(grep { /out of shared memory/ } @lines), '<', 30, 'and does not try it without end');
$blocker->query('ROLLBACK');
finish('it goes on by itself once there are some');

# Room: a sort that needs more files than temp_file_limit allows stands for all
# that is full for a while.
sql("CREATE TABLE big AS SELECT g AS id, date '2026-01-01' AS day, repeat(md5(g::text), 10) AS v FROM generate_series(1, 20000) g");
sql("SELECT idem_import_create('big', 'big', 'dst', key => '{id,day}', order_by => 'v', backoff => '100 ms', max_attempts => 100)");
sql("ALTER DATABASE postgres SET temp_file_limit = '256kB'; ALTER DATABASE postgres SET work_mem = '64kB'");
$task = sql("SET temp_file_limit = -1; SELECT idem_import_submit('big')");
retried('53400', 'temp_file_limit: tried again');
sql('ALTER DATABASE postgres RESET ALL');
finish('and done once there is room');

# the same on a small disk of its own
SKIP:
{
	my $disk = $ENV{IDEM_SMALL_DISK};
	skip 'IDEM_SMALL_DISK names no folder on a small disk', 4 if !$disk;
	sql("CREATE TABLESPACE small LOCATION '$disk'");
	sql('CREATE TABLE small (LIKE big) TABLESPACE small; ALTER TABLE small ADD PRIMARY KEY (id) USING INDEX TABLESPACE small');
	sql('CREATE TABLE ballast TABLESPACE small AS SELECT g, repeat(md5(g::text), 30) AS v FROM generate_series(1, 10000) g');
	sql("SELECT idem_import_create('small', 'big', 'small', key => '{id}', backoff => '100 ms', max_attempts => 100)");
	$task = sql("SELECT idem_import_submit('small')");
	retried('53100', 'disk full: tried again');
	my $other = sql("SELECT idem_import_submit('all')");
	is(sql("SELECT idem_import_wait($other, '40 s')"), 'done', 'others are not held up');
	sql('DROP TABLE ballast; CHECKPOINT');
	finish('and done once there is room');
	is(sql('SELECT count(*) FROM small'), '20000', 'with all rows');
}

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
$node->stop;
done_testing();
