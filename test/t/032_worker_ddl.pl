# The worker is in nobody's way: databases and extensions come and go, with and
# without preloading; an idle one costs nothing; a standby waits for promotion.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('ddl');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'idem_import'
max_worker_processes = 16
autovacuum = off
CONF
$node->start;

my $setup = <<'SQL';
CREATE EXTENSION idem_import;
CREATE TABLE src AS SELECT g AS id, date '2026-01-01' + g % 300 AS day FROM generate_series(1, 3000) g;
CREATE TABLE dst (id int, day date, PRIMARY KEY (id, day));
SELECT idem_import_create('days', 'src', 'dst', key => '{id,day}', scope => '{day}');
SQL

sub workers
{
	my ($on, $kind) = @_;
	return "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'idem_import $kind'" . ($on ? " AND datname = '$on'" : '');
}

sub database
{
	my ($name) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, $setup);
	return;
}

sub finish
{
	my ($on, $task, $name) = @_;
	is($node->safe_psql($on, "SELECT idem_import_wait($task, '60 s')"), 'done', $name);
	return;
}

# a database is dropped while the worker is idle, lingers, and works
database('a');
finish('a', $node->safe_psql('a', "SELECT idem_import_submit('days')"), 'a new database is served');
my ($rc, $out, $err) = $node->psql('postgres', 'DROP DATABASE a');
is($rc, 0, 'DROP DATABASE right after a task') or diag($err);
database('a');
$node->safe_psql('a', "SELECT idem_import_backfill('days', '2026-01-01', '2028-01-01')");
ok($node->poll_query_until('postgres', workers('a', 'executor') =~ s/count\(\*\)/count(*) > 0/r), 'a busy worker');
($rc, $out, $err) = $node->psql('postgres', 'DROP DATABASE a');
is($rc, 0, 'DROP DATABASE amidst a backfill') or diag($err);
database('a');
$node->safe_psql('a', "SELECT idem_import_backfill('days', '2026-01-01', '2027-01-01')");
($rc, $out, $err) = $node->psql('postgres', 'ALTER DATABASE a RENAME TO b');
is($rc, 0, 'ALTER DATABASE RENAME') or diag($err);
($rc, $out, $err) = $node->psql('postgres', 'CREATE DATABASE c TEMPLATE b');
is($rc, 0, 'CREATE DATABASE from a template at work') or diag($err);
ok($node->poll_query_until('b', "SELECT status = 'done' FROM idem_import_backfills"), 'its backfill goes on');
is($node->safe_psql('b', 'SELECT count(*) FROM dst'), '3000', 'to its end');
$node->restart;
ok($node->poll_query_until('c', "SELECT status = 'done' FROM idem_import_backfills"), 'tasks of a copy are found after a restart, if not before');
($rc, $out, $err) = $node->psql('postgres', 'DROP DATABASE c WITH (FORCE)');
is($rc, 0, 'DROP DATABASE FORCE') or diag($err);
$node->safe_psql('postgres', 'DROP DATABASE b');

# the extension
$node->safe_psql('postgres', $setup);
$node->safe_psql('postgres', "SELECT idem_import_backfill('days', '2026-01-01', '2027-01-01')");
ok($node->poll_query_until('postgres', workers('postgres', 'executor') =~ s/count\(\*\)/count(*) > 0/r), 'a busy worker');
my $since = time;
$node->safe_psql('postgres', 'DROP EXTENSION idem_import CASCADE; DROP TABLE src, dst');
cmp_ok(time - $since, '<', 5, 'DROP EXTENSION does not wait for a backfill');
ok($node->poll_query_until('postgres', workers('postgres', '%') =~ s/ = 'idem_import %'/ LIKE 'idem_import %'/r =~ s/count\(\*\)/count(*) = 0/r), 'they leave');
$node->safe_psql('postgres', $setup);
finish('postgres', $node->safe_psql('postgres', "SELECT idem_import_submit('days')"), 'made anew, it works again');

# settings of the database reach the next task
$node->safe_psql('postgres', "ALTER DATABASE postgres SET statement_timeout = '1ms'");
my $task = $node->safe_psql('postgres', "SET statement_timeout = 0; SELECT idem_import_alter('days', max_attempts => 1); UPDATE src SET day = day + 1; SELECT idem_import_submit('days')") =~ s/\s//gr;
is($node->safe_psql('postgres', "SET statement_timeout = 0; SELECT idem_import_wait($task, '60 s')"), 'dead', 'ALTER DATABASE SET');
$node->safe_psql('postgres', "SET statement_timeout = 0; ALTER DATABASE postgres RESET statement_timeout");
finish('postgres', $node->safe_psql('postgres', "SELECT idem_import_submit('days')"), 'ALTER DATABASE RESET');

# in the way of nothing: 50 ms of work, and no more
ok($node->poll_query_until('postgres', workers('', 'scheduler') =~ s/count\(\*\)/count(*) = 0/r), 'an idle worker leaves the database');
$node->safe_psql('postgres', 'CHECKPOINT');
my $lsn = $node->lsn('insert');
my $launcher = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'idem_import launcher'");
my $switches = sub {
	my $status = slurp_file("/proc/$launcher/status");
	return $status =~ /^voluntary_ctxt_switches:\s*(\d+)/m ? $1 : undef;
};
SKIP:
{
	skip 'no /proc here', 1 if !-r "/proc/$launcher/status";
	my $before = $switches->();
	sleep(15);
	cmp_ok($switches->() - $before, '<=', 1, 'an idle launcher sleeps');
}
my $transactions = $node->safe_psql('postgres', 'SELECT pg_current_xact_id_if_assigned() IS NULL');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_walfile_name('$lsn') WHERE pg_current_wal_insert_lsn() - '$lsn'::pg_lsn > 200"), '0', 'and writes no WAL')
  or diag($node->safe_psql('postgres', "SELECT pg_current_wal_insert_lsn() - '$lsn'::pg_lsn"));

# no slot left: tasks wait, and are started once there is one
$node->append_conf('postgresql.conf', "max_worker_processes = 2");
$node->restart;
$task = $node->safe_psql('postgres', "SELECT idem_import_submit('days')");
is($node->safe_psql('postgres', "SELECT idem_import_wait($task, '3 s')"), 'pending', 'max_worker_processes exhausted: tasks wait');
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server stays up');
$node->append_conf('postgresql.conf', "max_worker_processes = 16");
$node->restart;
finish('postgres', $task, 'they are found when the server starts');

# max_connections is not ours to use up
my @sessions = map { $node->background_psql('postgres') } 1 .. 7;
finish('postgres', $node->safe_psql('postgres', "SELECT idem_import_submit('days')"), 'beside many sessions');
$_->quit for @sessions;

# a standby waits until it is promoted
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$task = $node->safe_psql('postgres', "SELECT idem_import_submit('days', run_after => clock_timestamp() + '1 hour')");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'idem%'"), '0', 'nobody works on a standby');
is($standby->safe_psql('postgres', "SELECT idem_import_wait($task, '100 ms')"), 'pending', 'where one may wait');
($rc, $out, $err) = $standby->psql('postgres', 'SELECT idem_import_worker_start()');
like($err, qr/cannot execute idem_import_worker_start\(\) during recovery/, 'but not start a worker');
$node->safe_psql('postgres', "ALTER SYSTEM SET idem_import.max_workers = 0; SELECT pg_reload_conf()");
$task = $node->safe_psql('postgres', "SELECT idem_import_submit('days', '2026-01-05')");
$node->safe_psql('postgres', "SELECT idem_import_alter('days', out_of_scope => 'ignore')");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$node->stop;
$standby->promote;
is($standby->safe_psql('postgres', "SELECT idem_import_wait($task, '60 s')"), 'done', 'after promotion it works by itself');
$standby->stop;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash') for $node, $standby;

# without preloading
my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->append_conf('postgresql.conf', "max_worker_processes = 16\nrestart_after_crash = on");
$plain->start;
$plain->safe_psql('postgres', 'CREATE DATABASE a');
$plain->safe_psql('a', $setup);
$task = $plain->safe_psql('a', "SELECT idem_import_submit('days')");
($rc, $out, $err) = $plain->psql('a', "SET statement_timeout = '300ms'; SELECT idem_import_wait($task)");
like($err, qr/WARNING:  no worker serves this database\nHINT:  Start one with idem_import_worker_start\(\)/, 'without a worker a wait says so');
my $pid = $plain->safe_psql('a', 'SELECT idem_import_worker_start()');
like($pid, qr/^[1-9]\d*$/, 'a worker is started');
is($plain->safe_psql('a', 'SELECT idem_import_worker_start()'), $pid, 'once');
is($plain->safe_psql('postgres', "SELECT backend_type FROM pg_stat_activity WHERE pid = $pid"), 'idem_import launcher', 'it is a launcher of its own');
is($plain->safe_psql('a', "SELECT idem_import_wait($task, '60 s')"), 'done', 'and finds what waits');
$task = $plain->safe_psql('a', "SELECT idem_import_backfill('days', '2026-01-01', '2026-10-27')");
kill 'KILL', $plain->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'idem_import launcher'");
sleep(0.2);
ok($plain->poll_query_until('a', "SELECT idem_import_wait($task, '1 s') = 'done'"), 'it comes back after a crash');
my $other = $plain->safe_psql('postgres', 'CREATE EXTENSION idem_import; SELECT idem_import_worker_start()');
isnt($other, $plain->safe_psql('a', 'SELECT idem_import_worker_start()'), 'another database has another');
($rc, $out, $err) = $plain->psql('postgres', 'DROP DATABASE a');
is($rc, 0, 'DROP DATABASE') or diag($err);
$plain->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $plain->safe_psql('postgres', 'SELECT idem_import_worker_start()') . ')');
ok($plain->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'idem%' AND backend_type NOT LIKE '%$other%' AND pid = $other"), 'one that was started by hand ends for good');
like($plain->safe_psql('postgres', 'SELECT idem_import_worker_start()'), qr/^\d+$/, 'until it is started again');
$plain->stop;
done_testing();
