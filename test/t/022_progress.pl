# idem_import_progress: seen from other sessions while a transaction is open,
# gone with the run however it ends, and shown to those who may run the import
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('progress');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE DATABASE other;
CREATE ROLE owner;
CREATE ROLE member IN ROLE owner;
CREATE ROLE stranger;
GRANT CREATE ON SCHEMA public TO owner;
SET ROLE owner;
CREATE TABLE numbers AS SELECT i AS id FROM generate_series(1, 2000) i;
ANALYZE numbers;
CREATE FUNCTION slowly(i int) RETURNS int LANGUAGE plpgsql STABLE COST 1000 AS 'BEGIN PERFORM pg_sleep(0.002); RETURN i; END';
CREATE TABLE goal (id int PRIMARY KEY);
SELECT idem_import_create('slow', 'SELECT slowly(id) AS id FROM numbers', 'goal', key => '{id}', method => 'diff');
CREATE TABLE pages (id int PRIMARY KEY CHECK (slowly(id) > 0));
SELECT idem_import_create('pages', 'numbers', 'pages', key => '{id}', cursor_column => 'id', batch_size => 500);
RESET ROLE;
SQL
$node->safe_psql('other', 'CREATE EXTENSION idem_import');
is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'), '', 'nothing is preloaded');
my $dir = $node->data_dir . '/pg_stat_tmp';

sub begin
{
	my @commands = @_;
	my ($out, $err) = ('', '');
	my $handle = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), map { ('-c', $_) } @commands ],
		'>', \$out, '2>', \$err);
	return { handle => $handle, out => \$out, err => \$err };
}

sub running
{
	my ($condition) = @_;
	return $node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM idem_import_progress WHERE $condition)");
}

sub none
{
	my ($name) = @_;
	ok($node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM idem_import_progress)'), "$name: not shown any more");
}

# A session ends a moment after its client.
sub no_file
{
	my ($name) = @_;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_ls_dir('pg_stat_tmp') f WHERE f LIKE 'idem_import.%'"), $name);
}

# in an open transaction
my $run = begin('SET ROLE owner', 'BEGIN', "SELECT status FROM idem_import_run('slow')", 'SELECT pg_sleep(2)', 'ROLLBACK');
ok(running("rows_done > 100 AND rate > 0 AND eta > '0'"), 'seen from another session');
my $row = $node->safe_psql('postgres', <<'SQL');
SELECT import, unit, batch, plan, phase, rows_total, rows_done < rows_total, rate BETWEEN 10 AND 500,
	abs(extract(epoch FROM eta) - (rows_total - rows_done) / rate::float) < 2,
	bar ~ '^\[#*\.+\] \d+ %$', substring(bar FROM '(\d+) %')::int = 100 * rows_done / rows_total,
	now() - started_at BETWEEN '0' AND '1 minute', who,
	(SELECT a.xact_start IS NOT NULL FROM pg_stat_activity a WHERE a.pid = p.pid)
FROM idem_import_progress p
SQL
is($row, 'slow|*|1|f|reading|2000|t|t|t|t|t|t|owner|t', 'what it tells');
my $first = $node->safe_psql('postgres', 'SELECT rows_done FROM idem_import_progress');
ok(running("rows_done > $first"), 'it moves on');

# who may see it
is($node->safe_psql('postgres', "SET ROLE $_; SELECT count(*) FROM idem_import_progress"), $_ eq 'stranger' ? '0' : '1', "seen by $_")
	for qw(owner member stranger);
is($node->safe_psql('postgres', 'SET ROLE stranger; SELECT count(*) FROM idem_import_progress_rows()'), '0', 'nor by the function');
is($node->safe_psql('other', 'SELECT count(*) FROM idem_import_progress'), '0', 'nor from another database');
is(scalar(my @files = glob("$dir/idem_import.*")), 1, 'there is a file');

# it ends with the run, before its transaction does
ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(2)%' AND wait_event = 'PgSleep')
	AND NOT EXISTS (SELECT FROM idem_import_progress)"), 'gone with the run');
$run->{handle}->finish;
is(${ $run->{err} }, '', 'no notices unless asked for');
no_file('the file is gone with the session');

# waiting for a lock
my $lock = begin('BEGIN', 'LOCK TABLE goal IN ACCESS EXCLUSIVE MODE', 'SELECT pg_sleep(600)');
$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'goal'::regclass AND mode = 'AccessExclusiveLock' AND granted)");
$run = begin("SELECT status FROM idem_import_run('slow')");
ok(running("phase = 'waiting' AND rows_done IS NULL AND bar IS NULL AND rate IS NULL AND eta IS NULL"), 'waiting');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'goal'::regclass AND mode = 'AccessExclusiveLock' AND granted");
$lock->{handle}->finish;

# canceled, terminated
ok(running("rows_done > 100"), 'goes on');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM idem_import_progress');
none('canceled');
$run->{handle}->finish;
$run = begin("SELECT status FROM idem_import_run('slow')");
ok(running("rows_done > 100"), 'another one');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM idem_import_progress');
none('terminated');
$run->{handle}->finish;
no_file('terminated: no file is left');

# killed: what is left of it is nobody's progress, and goes with the next run
$run = begin("SELECT status FROM idem_import_run('slow')");
ok(running("rows_done > 100"), 'one to be killed');
my $pid = $node->safe_psql('postgres', 'SELECT pid FROM idem_import_progress');
kill 9, $pid;
$run->{handle}->finish;
ok($node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM idem_import_progress)'), 'killed: not shown');
ok(-e "$dir/idem_import.$pid", 'killed: its file is left');
# nor do files that others put there, or that were cut short
append_to_file("$dir/idem_import.1", 'x' x 10000);
append_to_file("$dir/idem_import.12x", '');
append_to_file("$dir/idem_import.", '');
append_to_file("$dir/idem_import." . $node->safe_psql('postgres', 'SELECT pg_backend_pid()'), 'short');
is($node->safe_psql('postgres', 'SELECT count(*) FROM idem_import_progress'), '0', 'what makes no sense is not shown');

# notices to the session that runs it
$run = begin("SET idem_import.progress_interval = '300ms'", "SELECT status FROM idem_import_run('slow')");
ok(running("rows_done > 100"), 'with notices');
ok(!-e "$dir/idem_import.$pid", 'the next run has removed it');
$run->{handle}->finish;
like(${ $run->{out} }, qr/^applied$/m, 'applied');
my @notices = ${ $run->{err} } =~ /NOTICE:  import "slow", unit "\*", batch 1: reading, \d+ of about 2000 rows \(\d+ %\), \d+ rows\/s, \d+ s left\n/g;
cmp_ok(scalar(@notices), '>', 4, 'notices while it reads');
cmp_ok(scalar(@notices), '<', 200, 'but not all the time');
unlike(${ $run->{err} }, qr/CONTEXT/, 'without context');

# a plan, and a rerun that only compares
$run = begin("SELECT status FROM idem_import_plan('slow')");
ok(running("plan AND phase = 'comparing' AND bar IS NULL"), 'a plan is called one');
$run->{handle}->finish;
none('plan');

# pages: each is a batch, and each transaction tells of itself
$run = begin("CALL idem_import_run_units('pages')");
ok(running("import = 'pages' AND batch = $_"), "batch $_ of a call that commits each") for 2 .. 3;
$run->{handle}->finish;
none('pages');

# where the files can't be written, a run does without
SKIP:
{
	skip 'root may write anywhere', 2 if $> == 0;
	chmod 0500, $dir;
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT status FROM idem_import_run('slow', force => true)");
	is($out, 'skipped', 'without a file');
	is($err, '', 'and says nothing of it');
	chmod 0700, $dir;
}

$node->stop;
done_testing();
