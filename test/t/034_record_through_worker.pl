# Failures of plain calls while the worker is busy: its scheduler writes them
# down, so they need no slot and start no process; what it cannot do at once a
# recorder does; and each failure counts once, whoever ends meanwhile.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

# room for launcher, scheduler, and one executor
my $node = PostgreSQL::Test::Cluster->new('record');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'idem_import'
idem_import.max_workers = 1
max_worker_processes = 3
max_logical_replication_workers = 0
max_parallel_workers_per_gather = 0
log_min_messages = debug1
CONF
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(<<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE src (id int, v text);
CREATE TABLE dst (id int PRIMARY KEY, v text CHECK (v <> 'bad'));
CREATE TABLE few (id int, v text);
CREATE TABLE many (id int, v text);
CREATE TABLE twice (id int, v text);
CREATE TABLE hold (id int PRIMARY KEY, v text);
INSERT INTO src VALUES (1, 'bad');
INSERT INTO few SELECT NULL, repeat('x', 100) || g FROM generate_series(1, 5000) g;
INSERT INTO many SELECT NULL, repeat('x', 100) || g FROM generate_series(1, 20000) g;
SELECT idem_import_create('bad', 'src', 'dst', key => '{id}');
SELECT idem_import_create('few', 'few', 'dst', key => '{id}');
SELECT idem_import_create('many', 'many', 'dst', key => '{id}');
SELECT idem_import_create('twice', 'twice', 'dst', key => '{id}');
SELECT idem_import_create('hold', 'SELECT id, v FROM src', 'hold', key => '{id}');
SQL

my $fails = "SELECT idem_import_run('bad');\n";

# a session's errors, and how long it took
sub run
{
	my ($sql) = @_;
	my $start = time;
	my ($rc, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0);
	return ($err, time - $start);
}

# the same in the background, to be looked at while it runs
my $scripts = 0;

sub start_run
{
	my ($sql) = @_;
	my $script = $node->basedir . '/script' . $scripts++ . '.sql';
	my %session = (out => '', err => '');
	append_to_file($script, $sql);
	$session{h} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $script ], '>', \$session{out}, '2>', \$session{err});
	return \%session;
}

sub recorders { my @started = slurp_file($node->logfile) =~ /starting background worker process "idem_import recorder"/g; return scalar @started }
sub ledger { return sql("SELECT status, attempts, sqlstate FROM idem_import_ledger WHERE import = '$_[0]'") }
sub attempts { return sql("SELECT coalesce(max(attempts), 0) FROM idem_import_ledger WHERE import = 'bad'") }
sub history { return sql("SELECT count(*) FROM idem_import_history WHERE import = '$_[0]' AND status = 'failed'") }
sub scheduler { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'idem_import scheduler'") }

# says whether the scheduler takes records, if not at once; $failures counts them
my $failures = 0;

sub by_scheduler
{
	for (1 .. 20)
	{
		my $before = recorders();
		run($fails);
		$failures++;
		return 1 if recorders() == $before;
	}
	return 0;
}

# a task that waits for a lock keeps the scheduler where it is
my $blocker;

sub keep_busy
{
	$blocker = $node->background_psql('postgres');
	$blocker->set_query_timer_restart;
	$blocker->query_safe('BEGIN; LOCK TABLE hold');
	sql("SELECT idem_import_submit('hold')");
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND backend_type = 'idem_import executor'")
	  or die 'no executor';
}

sub let_go
{
	$blocker->query_safe('COMMIT');
	$blocker->quit;
}

keep_busy();
is(sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'idem_import %'"), '3', 'every slot is taken');
my $scheduler = scheduler();

# plainly
my ($err, $seconds) = run($fails);
like($err, qr/ERROR: .*too many rejects.*\nDETAIL: .*violates check constraint/, 'no slot: the error');
unlike($err, qr/WARNING/, 'no warning');
is(ledger('bad') . ' ' . history('bad'), 'failed|1|II004 1', 'the failure is kept');
is(sql("SELECT count(*) FROM idem_import_reject WHERE import = 'bad'"), '1', 'with its reject');
is(sql("SELECT h.run_id = l.run_id AND h.sqlstate = 'II004' AND h.message = l.message FROM idem_import_history h JOIN idem_import_ledger l USING (import) WHERE import = 'bad'"),
	't', 'history and ledger tell the same');
run("BEGIN; $fails ROLLBACK");
run("BEGIN ISOLATION LEVEL SERIALIZABLE; $fails COMMIT");
run("DO \$\$BEGIN PERFORM idem_import_run('bad'); EXCEPTION WHEN SQLSTATE 'II004' THEN NULL; END\$\$");
is(ledger('bad') . ' ' . history('bad'), 'failed|4|II004 4', 'so it is in transactions, and if it is caught');

# many rejects
($err) = run("SELECT idem_import_run('few')");
unlike($err, qr/WARNING/, 'thousands of rejects: no warning');
is(ledger('few'), 'failed|1|II004', 'thousands of rejects: the ledger');
is(sql("SELECT count(*), count(DISTINCT \"row\" ->> 'v') FROM idem_import_reject WHERE import = 'few'"), '5000|5000', 'thousands of rejects: all kept');
($err) = run("SELECT idem_import_run('many')");
unlike($err, qr/WARNING/, 'so many that a recorder should have them, but there is no slot: no warning');
is(sql("SELECT count(*), count(DISTINCT \"row\" ->> 'v') FROM idem_import_reject WHERE import = 'many'"), '20000|20000', 'all kept');

# nothing of this has needed a process
is(recorders(), '0', 'no recorder was started');
is(scheduler(), $scheduler, 'the scheduler has stayed');

# a ledger that the caller holds
my $own = <<'SQL';
BEGIN;
SELECT status FROM idem_import_run('twice');
INSERT INTO twice VALUES (2, 'a'), (2, 'b');
SELECT status FROM idem_import_run('twice');
ROLLBACK;
SQL
($err, $seconds) = run($own);
like($err, qr/WARNING:  could not record the failure of import "twice" in the ledger: out of background worker slots/, 'ledger locked, no slot: a warning that tells what is missing');
is(ledger('twice') . ' ' . history('twice'), ' 1', 'ledger locked, no slot: the history has it');
cmp_ok($seconds, '<', 6, 'ledger locked, no slot: soon');

# sessions that end while they wait, of a scheduler that does not answer
kill 'STOP', $scheduler;
($err, $seconds) = run($fails);
like($err, qr/WARNING:  could not record the failure of import "bad": out of background worker slots/, 'no answer, no slot: a warning');
cmp_ok($seconds, '<', 6, 'no answer, no slot: soon');
for my $how ('cancel', 'terminate')
{
	my $session;
	my $done = '';
	my $start;
	# it does not wait for long
	for (my $tries = 0; $done ne 't' && $tries < 20; $tries++)
	{
		$session->{h}->finish if $session;
		$session = start_run("SET application_name = 'waits'; $fails");
		for (my $looks = 0; $done ne 't' && $looks < 20; $looks++)
		{
			$start = time;
			$done = sql("SELECT pg_${how}_backend(pid) FROM pg_stat_activity WHERE application_name = 'waits' AND wait_event = 'Extension'");
		}
	}
	is($done, 't', "$how while it waits");
	$session->{h}->finish;
	cmp_ok(time - $start, '<', 3, "$how: soon");
	like($session->{err}, $how eq 'cancel' ? qr/ERROR:  .*too many rejects/ : qr/FATAL:  terminating connection/, "$how: the error");
}
kill 'CONT', $scheduler;
is(history('bad'), '4', 'none of these is recorded');
($err) = run($fails);
unlike($err, qr/WARNING/, 'the next one finds the box empty');
is(ledger('bad') . ' ' . history('bad'), 'failed|5|II004 5', 'and is');

# memory
SKIP:
{
	skip 'no /proc', 3 unless -r "/proc/$scheduler/status";
	my $memory = sub { slurp_file("/proc/$scheduler/status") =~ /^RssAnon:\s*(\d+)/m; return $1 };
	run($fails x 500);
	my $before = $memory->();
	run($fails x 4500);
	cmp_ok($memory->() - $before, '<', 256, 'kilobytes that the scheduler has grown by in 4500 failures');
	is(ledger('bad') . ' ' . history('bad'), 'failed|5005|II004 5005', 'all of them recorded');
	is(scheduler(), $scheduler, 'by the same scheduler');
}
is(recorders(), '0', 'still no recorder was started');

# with slots to spare
let_go();
$node->append_conf('postgresql.conf', 'max_worker_processes = 12');
$node->restart;
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('idem_import scheduler', 'idem_import executor')")
  or die 'the worker does not leave';
sql("DELETE FROM idem_import_ledger WHERE import = 'bad'; DELETE FROM idem_import_history WHERE import IN ('bad', 'twice')");

run($fails);
is(recorders() . ' ' . ledger('bad'), '1 failed|1|II004', 'no task, no scheduler: a recorder does it');

keep_busy();
$scheduler = scheduler();
($err, $seconds) = run($own);
unlike($err, qr/WARNING/, 'ledger locked: no warning');
cmp_ok($seconds, '<', 6, 'ledger locked: it does not wait for itself');
$node->poll_query_until('postgres', "SELECT attempts = 1 FROM idem_import_ledger WHERE import = 'twice'")
  or fail('ledger locked: the ledger catches up');
is(ledger('twice') . ' ' . history('twice') . ' ' . recorders(), 'failed|1|II003 1 2', 'ledger locked: a recorder wrote the ledger, and only that');
is(sql("SELECT l.run_id = h.run_id FROM idem_import_ledger l JOIN idem_import_history h USING (import) WHERE import = 'twice'"), 't', 'ledger locked: of the same run');

# a reject that the caller holds
run(<<'SQL');
BEGIN;
UPDATE src SET v = 'good';
SELECT status FROM idem_import_run('bad');
UPDATE src SET v = 'bad';
SELECT status FROM idem_import_run('bad');
ROLLBACK;
SQL
$node->poll_query_until('postgres', "SELECT attempts = 2 FROM idem_import_ledger WHERE import = 'bad'")
  or fail('reject locked: recorded late');
is(ledger('bad') . ' ' . history('bad') . ' ' . recorders(), 'failed|2|II004 2 3', 'reject locked: a recorder wrote it');

# a history that somebody holds
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE idem_import_history');
my $session = start_run($fails);
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND backend_type = 'idem_import recorder'")
  or fail('history locked: a recorder waits');
is(sql("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = $scheduler"), '0', 'history locked: the scheduler does not');
$session->{h}->finish;
like($session->{err}, qr/too many rejects/, 'history locked: the caller does not wait for ever');
$locker->quit;
$node->poll_query_until('postgres', "SELECT attempts = 3 FROM idem_import_ledger WHERE import = 'bad'")
  or fail('history locked: recorded late');
is(ledger('bad') . ' ' . history('bad'), 'failed|3|II004 3', 'history locked: recorded once');

# a scheduler that does not answer
my $before = recorders();
kill 'STOP', $scheduler;
($err) = run($fails);
unlike($err, qr/WARNING/, 'no answer: no warning');
kill 'CONT', $scheduler;
is(ledger('bad') . ' ' . history('bad') . ' ' . (recorders() - $before), 'failed|4|II004 4 1', 'no answer: a recorder does it');
$failures = 4;
ok(by_scheduler(), 'then the scheduler does again');
is(ledger('bad') . ' ' . history('bad'), "failed|$failures|II004 $failures", 'each failure is recorded once');

# sessions that end at any moment, among others halfway through their rejects
$scheduler = scheduler();
for my $n (1 .. 30)
{
	my $ends = start_run("SET application_name = 'ends'; SELECT idem_import_run('few');");
	my $how = $n % 3 ? 'terminate' : 'cancel';
	usleep(20000 + rand(150000));
	sql("SELECT pg_${how}_backend(pid) FROM pg_stat_activity WHERE application_name = 'ends'");
	$ends->{h}->finish;
}
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'idem_import recorder' OR application_name = 'ends'")
  or fail('recorders leave');
$node->poll_query_until('postgres', "SELECT (SELECT sum(attempts) FROM idem_import_ledger WHERE import = 'few') = (SELECT count(*) FROM idem_import_history WHERE import = 'few')")
  or fail('history and ledger tell the same of sessions that were ended');
is(scheduler(), $scheduler, 'sessions end while they fail: the scheduler goes on');
is(sql("SELECT count(*) FROM idem_import_reject WHERE import = 'few'"), '5000', 'their rejects are kept once');
ok(by_scheduler(), 'and records the next failure');

# schedulers that end at any moment
my @sessions = map { start_run($fails x 60) } 1 .. 3;
my $ended = 0;
while (grep { $_->{h}->pumpable } @sessions)
{
	$_->{h}->pump_nb for grep { $_->{h}->pumpable } @sessions;
	$ended += sql("SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'idem_import scheduler') ended");
	usleep(rand(60000));
}
$_->{h}->finish for @sessions;
cmp_ok($ended, '>', 2, 'schedulers are ended while sessions fail');
unlike(join('', map { $_->{err} } @sessions), qr/WARNING/, 'no session has noticed');
$failures += 180;
is(ledger('bad') . ' ' . history('bad'), "failed|$failures|II004 $failures", 'each failure is recorded once');

# the tasks have not suffered
sql("UPDATE src SET v = 'good'");
let_go();
ok($node->poll_query_until('postgres', "SELECT bool_and(status = 'done') FROM idem_import_queue"), 'and the task is run')
  or diag(sql('TABLE idem_import_queue'));

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
$node->stop;
done_testing();
