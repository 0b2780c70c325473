# Many databases and few places: each has its turn, and nobody keeps what others
# wait for.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('neighbours');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'idem_import'
idem_import.max_workers = 2
max_worker_processes = 24
CONF
$node->start;

my $setup = <<'SQL';
CREATE EXTENSION idem_import;
CREATE TABLE src AS SELECT g AS id FROM generate_series(1, 200) g;
CREATE TABLE dst (id int PRIMARY KEY, v text);
CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END$$;
CREATE TRIGGER t AFTER INSERT ON dst FOR EACH STATEMENT EXECUTE FUNCTION nap();
SELECT idem_import_create('ids', 'SELECT id FROM src WHERE id = $1', 'dst', key => '{id}', scope => '{id}');
CREATE TABLE quick (id int PRIMARY KEY);
SELECT idem_import_create('quick', 'src', 'quick', key => '{id}');
CREATE TABLE quicker (id int PRIMARY KEY);
SELECT idem_import_create('quicker', 'src', 'quicker', key => '{id}');
SQL

sub database
{
	my ($name) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, $setup);
	return;
}

sub wait_for_task
{
	my ($on, $task, $time) = @_;
	return $node->safe_psql($on, "SELECT idem_import_wait($task, '$time')");
}

sub configure
{
	my ($setting) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET $setting; SELECT pg_reload_conf()");
	return;
}

sub executors_on
{
	my ($on) = @_;
	return "FROM pg_stat_activity WHERE backend_type = 'idem_import executor' AND datname = '$on'";
}

# all places taken by another database
database($_) for 'a', 'b';
my $fill = $node->safe_psql('a', "SELECT idem_import_backfill('ids', '1', '100')");
ok($node->poll_query_until('a', 'SELECT count(*) = 2 ' . executors_on('a')), 'a database with all the places');
sleep(2.5);
my $task = $node->safe_psql('b', "SELECT idem_import_submit('quick')");
is(wait_for_task('b', $task, '8 s'), 'done', 'has to share them');
is(wait_for_task('a', $fill, '0'), 'running', 'before it is done');

# a database that is served no more
configure("idem_import.databases = 'b, postgres'");
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 ' . executors_on('a')), 'its executors leave');
my $pending = $node->safe_psql('a', "SELECT pending FROM idem_import_backfills");
sleep(2);
is($node->safe_psql('a', "SELECT pending FROM idem_import_backfills"), $pending, 'and stay away');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'idem%' AND datname = 'a'"), '0', 'with its scheduler');
configure("idem_import.databases = ''");
ok($node->poll_query_until('postgres', 'SELECT count(*) = 2 ' . executors_on('a')), 'until it is served again');

# nobody may run anything, and somebody wants to drop the database
configure('idem_import.max_workers = 0');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 ' . executors_on('a')), 'places are taken away');
my ($rc, $out, $err) = $node->psql('postgres', 'DROP DATABASE a');
is($rc, 0, 'DROP DATABASE with tasks that cannot run') or diag($err);
configure('idem_import.max_workers = 2');

# a transaction that holds a pending task holds up nobody else's
$task = $node->safe_psql('b', "SELECT idem_import_submit('quick', run_after => clock_timestamp() + '1 s')");
my $holder = $node->background_psql('b');
$holder->query_safe("BEGIN; SELECT idem_import_submit('quick')");
sleep(4);
is(wait_for_task('b', $task, '0'), 'pending', 'a task that somebody has locked waits');
my $other = $node->safe_psql('b', "SELECT idem_import_submit('quicker')");
is(wait_for_task('b', $other, '3 s'), 'done', 'others do not');
sleep(3);
$holder->query_safe('ROLLBACK');
$holder->quit;
is(wait_for_task('b', $task, '3 s'), 'done', 'nor does it, once the lock is gone');

# executors that can't start, beside one that works
$node->safe_psql('b', "UPDATE dst SET v = ''; DELETE FROM dst");
my $slow = $node->safe_psql('b', <<'SQL');
CREATE OR REPLACE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(6); RETURN NULL; END$$;
SELECT idem_import_submit('ids', '7');
SQL
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'b'"), 'a long task');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 1 ' . executors_on('b')), 'alone');
my $session = $node->background_psql('b');
$node->safe_psql('postgres', 'ALTER DATABASE b ALLOW_CONNECTIONS false');
my $offset = -s $node->logfile;
my $late = $session->query_safe("SELECT idem_import_submit('quick')");
sleep(3);
my $failures = () = slurp_file($node->logfile, $offset) =~ /database "b" is not currently accepting connections/g;
cmp_ok($failures, '>=', 1, 'an executor that cannot connect');
cmp_ok($failures, '<=', 6, 'is not tried again at once');
$node->safe_psql('postgres', 'ALTER DATABASE b ALLOW_CONNECTIONS true');
is(wait_for_task('b', $late, '20 s'), 'done', 'but later');
is(wait_for_task('b', $slow, '20 s'), 'done', 'the long one, too');
$session->quit;

# cancel where the run has opened a subtransaction
$node->safe_psql('b', <<'SQL');
CREATE TABLE whole (id int PRIMARY KEY, v text);
INSERT INTO whole SELECT g, 'old' FROM generate_series(1, 1000) g;
SELECT idem_import_create('whole', 'SELECT g AS id, ''new''::text AS v FROM generate_series(1, 1000) g', 'whole', key => '{id}', method => 'swap');
SQL
my $reader = $node->background_psql('b');
$reader->query_safe('BEGIN; SELECT count(*) FROM whole');
$task = $node->safe_psql('b', "SELECT idem_import_submit('whole')");
ok($node->poll_query_until('b', "SELECT count(*) = 1 FROM pg_locks WHERE relation = 'whole'::regclass AND NOT granted"), 'a swap that waits for a reader');
$node->safe_psql('b', "SELECT idem_import_cancel($task)");
is(wait_for_task('b', $task, '10 s'), 'cancelled', 'is canceled');
$reader->query_safe('COMMIT');
is($node->safe_psql('b', "SELECT attempts, interrupted FROM idem_import_queue WHERE task = $task"), '1|0', 'by the executor that had it');
is($node->safe_psql('b', "SELECT status, sqlstate FROM idem_import_history WHERE import = 'whole'"), 'failed|57014', 'which has written it down');
# the same in a session
$reader->query_safe('BEGIN; SELECT count(*) FROM whole');
($rc, $out, $err) = $node->psql('b', <<'SQL', on_error_stop => 0);
SET statement_timeout = '4s';
BEGIN;
DO $$BEGIN PERFORM idem_import_run('whole'); EXCEPTION WHEN query_canceled THEN RAISE NOTICE '% caught', SQLSTATE; END$$;
SELECT 'goes on';
COMMIT;
SQL
$reader->query_safe('COMMIT');
$reader->quit;
is($out, 'goes on', 'a session goes on after that') or diag($err);

# what a run has set does not keep its failure from being written down
$node->safe_psql('b', <<'SQL');
CREATE TABLE odd (id int PRIMARY KEY);
CREATE FUNCTION set_all() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	PERFORM set_config('default_transaction_read_only', 'on', false);
	RETURN NULL;
END$$;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON odd DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION set_all();
SELECT idem_import_create('odd', 'SELECT id FROM src', 'odd', key => '{id}', batch_size => 100);
SQL
$task = $node->safe_psql('b', "SELECT idem_import_submit('odd')");
is(wait_for_task('b', $task, '20 s'), 'failed', 'a run that sets what is not its own');
is($node->safe_psql('b', "SELECT attempts, interrupted, sqlstate FROM idem_import_queue WHERE task = $task"), '1|0|25006', 'fails once, and that is written down');

# all databases are looked at soon after a start
my @many = map { "db$_" } 1 .. 10;
configure('idem_import.max_workers = 0');
for my $name (@many)
{
	$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE b");
	$node->safe_psql($name, "SELECT idem_import_submit('quick')");
}
configure('idem_import.max_workers = 2');
$node->stop('immediate');
my $since = time;
$node->start;
for my $name (@many)
{
	$node->poll_query_until($name, "SELECT count(*) = 0 FROM idem_import_queue WHERE status = 'pending'") or last;
}
cmp_ok(time - $since, '<', 8, 'ten databases with two places, after a crash');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|unexpected state/, 'no crash');
$node->stop;
done_testing();
