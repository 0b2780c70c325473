# Watching the worker: its runs are shown to the members of the import's owner
# while they go on, and announced when they are done, or have failed.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('watch');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'idem_import'
max_worker_processes = 16
log_min_messages = warning
CONF
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { return $node->poll_query_until('postgres', $_[0]) }

sub run_task
{
	my ($args) = @_;
	my $task = sql("SELECT idem_import_submit($args)");
	return sql("SELECT idem_import_wait($task, '30 s')");
}

sql(<<'SQL');
CREATE EXTENSION idem_import;
CREATE ROLE owner;
CREATE ROLE member IN ROLE owner;
CREATE ROLE stranger;
GRANT CREATE ON SCHEMA public TO owner;
SET ROLE owner;
CREATE TABLE numbers AS SELECT i AS id FROM generate_series(1, 2000) i;
ANALYZE numbers;
CREATE FUNCTION slowly(i int) RETURNS int LANGUAGE plpgsql STABLE COST 1000 AS 'BEGIN PERFORM pg_sleep(0.005); RETURN i; END';
CREATE TABLE slow_goal (id int PRIMARY KEY);
SELECT idem_import_create('slow', 'SELECT slowly(id) AS id FROM numbers', 'slow_goal', key => '{id}', method => 'diff');
CREATE TABLE stage (u text, id int);
INSERT INTO stage VALUES ('a', 1), ('a', 2), ('b', 3);
CREATE TABLE goal (u text, id int CHECK (id < 100), PRIMARY KEY (u, id));
SELECT idem_import_create('units', 'stage', 'goal', key => '{u,id}', scope => '{u}', out_of_scope => 'ignore');
SQL

# in progress
my $slow = sql("SET ROLE owner; SELECT idem_import_submit('slow')");
ok(until_true("SELECT EXISTS (SELECT FROM idem_import_progress WHERE import = 'slow' AND rows_done > 100 AND bar IS NOT NULL)"), 'a task is seen while it runs');
is(sql("SELECT import, unit, phase, who, rows_total, rate > 0, started_at >= (SELECT started_at FROM idem_import_queue WHERE task = $slow) FROM idem_import_progress"),
	'slow|*|reading|owner|2000|t|t', 'what it tells');
is(sql("SELECT p.pid = q.pid AND a.backend_type = 'idem_import executor' FROM idem_import_progress p JOIN pg_stat_activity a USING (pid) CROSS JOIN idem_import_queue q WHERE q.task = $slow"),
	't', 'its pid is the executor that the task names') or diag(sql("SELECT p.pid, a.backend_type FROM idem_import_progress p LEFT JOIN pg_stat_activity a USING (pid)"));
is(sql("SET ROLE $_; SELECT (SELECT count(*) FROM idem_import_progress), (SELECT count(*) FROM idem_import_queue), (SELECT sum(queue_running) FROM idem_import_status)"),
	$_ eq 'stranger' ? '0|0|' : '1|1|1', "as $_ sees it") for qw(owner member stranger);
like(sql('SET ROLE member; SELECT idem_import_report()'), qr{<h2>Running</h2>.*>slow<.*<h2>Tasks</h2>.*>slow<.*class="t s-running">running<}s, 'in the report');
unlike(sql('SET ROLE stranger; SELECT idem_import_report()'), qr/slow/, 'of those who may');
is(sql("SET ROLE owner; SELECT idem_import_cancel($slow), idem_import_wait($slow, '30 s')"), 't|cancelled', 'canceled');
is(sql('SELECT count(*) FROM idem_import_progress'), '0', 'not shown any more');

# announcements, as the owner's settings have it
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN idem_import_unit');

# What tasks leave in the log, and what a listener hears.
my $offset = 0;

sub lines
{
	my @lines = map { s/.*(import ".*run )\d+:/$1N:/r } grep { /LOG:  import/ } split(/\n/, slurp_file($node->logfile, $offset));
	$offset = -s $node->logfile;
	return \@lines;
}

sub heard
{
	my ($out) = $listener->query('SELECT 1');
	return [ map { s/"run_id": \d+/"run_id": N/r } $out =~ /with payload "(.*)" received/mg ];
}

sub payload { return qq({"import": "units", "unit": "$_[0]", "status": "$_[1]", "run_id": N}) }

lines();
is(run_task("'units', 'a'"), 'done', 'a task');
is_deeply([ lines(), heard() ], [ [], [] ], 'of an owner who asks for nothing is not announced');

for my $where ('ROLE owner', 'DATABASE postgres', 'ROLE owner IN DATABASE postgres')
{
	sql("ALTER $where SET idem_import.notify = on; ALTER $where SET idem_import.log_runs = on");
	lines();
	sql("UPDATE goal SET id = id + 10");
	is(run_task("'units'"), 'done', "ALTER $where SET");
	is_deeply(lines(), [ map { qq(import "units", unit "$_", run N: applied) } qw(a b) ], 'a line for each unit');
	is_deeply(heard(), [ map { payload($_, 'applied') } qw(a b) ], 'a notification, too');

	sql("INSERT INTO stage VALUES ('b', 100)");
	is(run_task("'units', 'b'"), 'failed', 'one that fails');
	like(join("\n", @{ lines() }), qr/^import "units", unit "b", run N: failed: too many rejects: .*$/, 'one line, with the failure');
	is_deeply(heard(), [ payload('b', 'failed') ], 'one notification');
	sql("DELETE FROM stage WHERE id = 100");

	# its units are not known yet
	sql('ALTER TABLE stage RENAME u TO x');
	is(run_task("'units'"), 'failed', 'one that fails before its first run');
	like(join("\n", @{ lines() }), qr/^import "units", unit "\*", run N: failed: .*$/, 'one line');
	is_deeply(heard(), [ payload('*', 'failed') ], 'one notification');
	sql('ALTER TABLE stage RENAME x TO u');
	sql("ALTER $where RESET idem_import.notify; ALTER $where RESET idem_import.log_runs");
}
$listener->quit;
is(run_task("'units'"), 'done', 'all is well again');
is(sql('SELECT queue, queue_failed FROM idem_import_status WHERE import = $$units$$'), '0|0', 'and no failure is open');
is(sql("SELECT count(*) FROM idem_import_queue WHERE status = 'failed'"), '6', 'though there were some');
unlike(slurp_file($node->logfile), qr/permission denied|PANIC|TRAP|terminated by signal/, 'nothing in the log that should not be there');

$node->stop;
done_testing();
