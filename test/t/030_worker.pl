# The preloaded worker: tasks are run once they are committed, as their owner,
# and retried by the kind of their failure; backfills run every unit.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('worker');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'idem_import'
max_worker_processes = 16
max_prepared_transactions = 2
CONF
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { return $node->poll_query_until('postgres', $_[0]) }

# submit, wait: its final status
sub run_task
{
	my ($args) = @_;
	my $task = sql("SELECT idem_import_submit($args)");
	return ($task, sql("SELECT idem_import_wait($task, '30 s')"));
}

sql(<<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE src (id int, day date, v text);
CREATE TABLE dst (id int, day date, v text, PRIMARY KEY (id, day));
INSERT INTO src SELECT g, date '2026-01-01' + g % 20, 'v' || g FROM generate_series(1, 2000) g;
SELECT idem_import_create('all', 'src', 'dst', key => '{id,day}');
SELECT idem_import_create('days', 'src', 'dst', key => '{id,day}', scope => '{day}');
SQL

# a task
my ($task, $status) = run_task("'all'");
is($status, 'done', 'a task is run');
is(sql('SELECT count(*) FROM dst'), '2000', 'with its rows');
is(sql("SELECT q.status, attempts, interrupted, h.status, h.inserted FROM idem_import_queue q JOIN idem_import_history h USING (run_id) WHERE task = $task"),
	'done|1|0|applied|2000', 'and names its run');
($task, $status) = run_task("'days'");
is($status, 'done', 'a task over all units');
is(sql("SELECT count(*) FROM idem_import_ledger WHERE import = 'days' AND status = 'applied'"), '20', 'applies each of them');
sql('ALTER TABLE src RENAME v TO w');
($task, $status) = run_task("'days'");
is(sql("SELECT l.status, l.sqlstate, q.sqlstate FROM idem_import_ledger l, idem_import_queue q WHERE l.import = 'days' AND l.unit = '*' AND task = $task"),
	'failed|II006|II006', 'one that breaks down before it knows its units');
sql('ALTER TABLE src RENAME w TO v');
($task, $status) = run_task("'days'");
is(sql("SELECT count(*) FROM idem_import_ledger WHERE import = 'days' AND status = 'failed'"), '0', 'leaves nothing behind once it succeeds');
sql("SELECT idem_import_submit('days', '2030-01-01'), idem_import_submit('days', '2030-01-01')");
ok(until_true("SELECT count(*) = 1 FROM idem_import_queue WHERE scope = '2030-01-01' AND status = 'failed'"), 'one of a single unit');
is(sql("SELECT sqlstate, count(*) FROM idem_import_queue WHERE scope = '2030-01-01' GROUP BY 1"), 'II005|1',
	'from a source that has others: refused as in idem_import_run');
sql("BEGIN; SELECT idem_import_submit('all'); ROLLBACK");
is(sql("SELECT count(*) FROM idem_import_queue WHERE status = 'pending'"), '0', 'one that is rolled back is none');

# order and time
sql(<<'SQL');
BEGIN;
SELECT idem_import_alter('days', out_of_scope => 'ignore');
SELECT idem_import_submit('days', '2026-01-01', priority => -5), idem_import_submit('days', '2026-01-02'),
	idem_import_submit('days', '2026-01-03', priority => 5), idem_import_submit('days', '2026-01-04', run_after => clock_timestamp() + '2 s');
COMMIT;
SQL
ok(until_true("SELECT count(*) = 4 FROM idem_import_queue WHERE scope < '2026-01-05' AND status = 'done'"), 'tasks of one commit');
is(sql("SELECT string_agg(scope, ' ' ORDER BY started_at) FROM idem_import_queue WHERE scope < '2026-01-05'"),
	'2026-01-03 2026-01-02 2026-01-01 2026-01-04', 'by priority, and none before its time');
is(sql("SELECT started_at >= run_after AND started_at < run_after + interval '1 s' FROM idem_import_queue WHERE scope = '2026-01-04'"), 't', 'at its time');

# an import that fails stops neither others nor the worker
sql(<<'SQL');
CREATE TABLE strict (id int PRIMARY KEY, v text CHECK (v <> 'v7'));
SELECT idem_import_create('strict', 'SELECT id, v FROM src', 'strict', key => '{id}', reject_limit => 0, backoff => '100 ms', max_attempts => 3);
SELECT idem_import_create('gone', 'src', 'dst', key => '{id,day}');
SELECT idem_import_submit('gone', run_after => clock_timestamp() + '1 s');
SQL
($task, $status) = run_task("'strict'");
is($status, 'failed', 'bad data fails');
like(sql("SELECT attempts, sqlstate, message, finished_at IS NOT NULL FROM idem_import_queue WHERE task = $task"), qr{^1\|II004\|.*\|t$}, 'at once, with its error');
is(sql("SELECT l.status, l.sqlstate, h.status FROM idem_import_ledger l JOIN idem_import_history h USING (run_id) WHERE l.import = 'strict'"),
	'failed|II004|failed', 'the failure is in ledger and history');
($task, $status) = run_task("'all'");
is($status, 'done', 'others go on');

# what may pass is tried again
sql('DELETE FROM strict');
sql("DELETE FROM src WHERE v = 'v7'");
my $blocker = $node->background_psql('postgres');
$blocker->query_safe("BEGIN; LOCK TABLE strict");
sql("ALTER DATABASE postgres SET lock_timeout = '100ms'");
$task = sql("SET lock_timeout = 0; SELECT idem_import_submit('strict')");
ok(until_true("SELECT attempts >= 2 FROM idem_import_queue WHERE task = $task"), 'a lock timeout is tried again');
is(sql("SELECT sqlstate FROM idem_import_queue WHERE task = $task"), '55P03', 'with its error in sight');
$blocker->query_safe('COMMIT');
is(sql("SELECT idem_import_wait($task, '30 s')"), 'done', 'and goes through');
is(sql("SELECT sqlstate IS NULL AND attempts > 1 FROM idem_import_queue WHERE task = $task"), 't', 'the error is forgotten');
sql("SET lock_timeout = 0; SELECT idem_import_alter('strict', max_attempts => 2)");
$blocker->query_safe("BEGIN; LOCK TABLE strict");
$task = sql("SET lock_timeout = 0; SELECT idem_import_submit('strict')");
is(sql("SELECT idem_import_wait($task, '30 s')"), 'dead', 'after max_attempts it is dead');
is(sql("SELECT attempts, sqlstate, finished_at IS NOT NULL FROM idem_import_queue WHERE task = $task"), '2|55P03|t', 'and keeps its error');
sql("ALTER DATABASE postgres RESET lock_timeout");

# cancel
$task = sql("SELECT idem_import_submit('strict')");
ok(until_true("SELECT status = 'running' FROM idem_import_queue WHERE task = $task"), 'a task that waits for a lock');
ok(until_true("SELECT count(*) = 1 FROM pg_locks WHERE NOT granted"), 'waits');
is(sql("SELECT idem_import_cancel($task)"), 't', 'is canceled');
is(sql("SELECT idem_import_wait($task, '30 s')"), 'cancelled', 'at once');
$task = sql("SELECT idem_import_submit('strict')");
ok(until_true("SELECT status = 'running' FROM idem_import_queue WHERE task = $task"), 'another one');
my $next = sql("SELECT idem_import_submit('strict')");
isnt($next, $task, 'while it runs, a new one is another task');
is(sql("SELECT status FROM idem_import_queue WHERE task = $next"), 'pending', 'which waits for the first');
is(sql("SELECT idem_import_cancel($next), idem_import_wait($next)"), 't|cancelled', 'canceled before it began');
$blocker->query_safe('COMMIT');
is(sql("SELECT idem_import_wait($task, '30 s')"), 'done', 'the first is not');
is(sql("SELECT idem_import_cancel($task)"), 'f', 'nor any more');

# statement_timeout of the role, for the whole of a step
sql(<<'SQL');
CREATE ROLE slow NOLOGIN;
GRANT USAGE, CREATE ON SCHEMA public TO slow;
SET ROLE slow;
CREATE TABLE slow_src AS SELECT 1 AS id, ''::text AS who, ''::text AS session, ''::text AS setting;
CREATE TABLE slow_dst (id int PRIMARY KEY, who text, session text, setting text, nap float DEFAULT 0);
CREATE FUNCTION slow_trigger() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	NEW.who = current_user; NEW.session = session_user; NEW.setting = current_setting('work_mem');
	PERFORM pg_sleep(nap) FROM slow_nap;
	PERFORM set_config('work_mem', '77MB', false), pg_advisory_lock(1);
	CREATE TEMP TABLE IF NOT EXISTS left_behind (x int);
	RETURN NEW;
END$$;
CREATE TABLE slow_nap AS SELECT 0::float AS nap;
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON slow_dst FOR EACH ROW EXECUTE FUNCTION slow_trigger();
CREATE TABLE slow_commit (who text, session text);
CREATE FUNCTION slow_deferred() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	INSERT INTO slow_commit VALUES (current_user, session_user);
	BEGIN
		SET LOCAL SESSION AUTHORIZATION DEFAULT;
		INSERT INTO slow_commit VALUES ('became ' || current_user, '');
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO slow_commit VALUES (SQLSTATE, '');
	END;
	RETURN NULL;
END$$;
CREATE CONSTRAINT TRIGGER d AFTER INSERT OR UPDATE ON slow_dst DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_deferred();
SELECT idem_import_create('slow', 'slow_src', 'slow_dst', key => '{id}', max_attempts => 1);
RESET ROLE;
ALTER ROLE slow SET work_mem = '33MB';
ALTER ROLE slow IN DATABASE postgres SET statement_timeout = '1s';
ALTER ROLE slow SET role = 'postgres';
SQL
($task, $status) = run_task("'slow'");
is($status, 'done', 'a role that cannot log in');
is(sql('SELECT who, session, setting FROM slow_dst'), 'slow|slow|33MB', 'a task runs as its owner, with its settings');
is(sql('SELECT who, session FROM slow_commit'), "slow|slow\n42501|", 'to the very end of its transaction, and cannot become another')
  or diag(sql("SELECT * FROM slow_commit"));
is(sql("SELECT who FROM idem_import_history WHERE import = 'slow'"), 'slow', 'the history knows');
sql('UPDATE slow_dst SET who = $$x$$; UPDATE slow_nap SET nap = 5');
sql('TRUNCATE slow_commit');
($task, $status) = run_task("'slow'");
is($status, 'dead', 'statement_timeout holds for a task');
is(sql("SELECT sqlstate FROM idem_import_queue WHERE task = $task"), '57014', 'canceled by it');
sql('UPDATE slow_nap SET nap = 0');
my ($t1, $s1) = run_task("'slow'");
sql('UPDATE slow_dst SET who = $$x$$, setting = NULL');
my ($t2, $s2) = run_task("'slow', priority => 1");
is("$s1 $s2", 'done done', 'then it is done');
is(sql("SELECT DISTINCT setting FROM slow_dst"), '33MB', 'nothing of one task reaches the next');
is(sql("SELECT count(DISTINCT pid) FROM idem_import_queue WHERE task IN ($t1, $t2)"), '1', 'in the same process');
is(sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), '0', 'not even a lock');
sql("SELECT idem_import_submit('all'), idem_import_submit('slow')");
ok(until_true("SELECT count(*) = 0 FROM idem_import_queue WHERE status IN ('pending', 'running')"), 'tasks of two owners');
is(sql("SELECT count(*) FROM (SELECT q.pid FROM idem_import_queue q JOIN idem_import_definition d ON d.name = q.import GROUP BY q.pid HAVING count(DISTINCT d.owner) > 1) x"),
	'0', 'never share a process');

# backfills
sql("TRUNCATE dst; SELECT idem_import_alter('days', out_of_scope => 'error', backoff => '100 ms')");
sql("SELECT idem_import_drop('days', purge => true); SELECT idem_import_create('days', 'src', 'dst', key => '{id,day}', scope => '{day}')");
sql("ALTER TABLE dst ADD CONSTRAINT one_bad CHECK (day <> '2026-01-07')");
my $fill = sql("SELECT idem_import_backfill('days', '2026-01-01', '2026-01-20')");
is(sql("SELECT idem_import_wait($fill, '60 s')"), 'failed', 'a backfill with a bad unit');
is(sql("SELECT done, failed, units FROM idem_import_backfills WHERE backfill = $fill"), '19|1|20', 'does all others');
is(sql("SELECT count(DISTINCT day) FROM dst"), '19', 'indeed');
sql('ALTER TABLE dst DROP CONSTRAINT one_bad');
$fill = sql("SELECT idem_import_backfill('days', '2026-01-01', '2026-01-20')");
is(sql("SELECT idem_import_wait($fill, '60 s')"), 'done', 'again');
is(sql("SELECT units, done FROM idem_import_backfills WHERE backfill = $fill"), '1|1', 'only what is missing');
is(sql("SELECT count(*) FROM dst"), sql('SELECT count(*) FROM src'), 'all is there');
$fill = sql("SELECT idem_import_backfill('days', '2026-01-01', '2026-01-20', 'all', 1)");
is(sql("SELECT idem_import_wait($fill, '60 s')"), 'done', 'all of them once more, one at a time');
is(sql("SELECT count(*) FROM idem_import_queue a JOIN idem_import_queue b ON a.task < b.task AND (a.started_at, a.finished_at) OVERLAPS (b.started_at, b.finished_at) WHERE a.backfill = $fill AND b.backfill = $fill"),
	'0', 'max_parallel');
is(sql("SELECT bool_and(scope >= before) FROM (SELECT scope, lag(scope) OVER (ORDER BY started_at) AS before FROM idem_import_queue WHERE backfill = $fill) x"), 't', 'in logical order');
($fill, $task) = split /\|/, sql("SELECT idem_import_backfill('days', '2026-01-01', '2026-01-20', 'all'), idem_import_submit('all')");
is(sql("SELECT idem_import_wait($task, '60 s'), idem_import_wait($fill, '60 s')"), 'done|done', 'a backfill, and a task that was submitted after it');
cmp_ok(sql("SELECT count(*) FROM idem_import_queue b JOIN idem_import_queue t ON b.started_at < t.started_at WHERE b.backfill = $fill AND t.task = $task"),
	'<=', 3, 'which does not wait for all of it');
sql("UPDATE src SET v = v || '.'");
$blocker->query_safe("BEGIN; LOCK TABLE dst IN SHARE ROW EXCLUSIVE MODE");
$fill = sql("SELECT idem_import_backfill('days', '2026-01-01', '2026-01-20', 'all')");
ok(until_true("SELECT running = 2 FROM idem_import_backfills WHERE backfill = $fill"), 'a backfill at work');
is(sql("SELECT idem_import_cancel($fill)"), 't', 'is canceled');
is(sql("SELECT idem_import_wait($fill, '30 s')"), 'cancelled', 'soon');
is(sql("SELECT cancelled, done FROM idem_import_backfills WHERE backfill = $fill"), '20|0', 'all of it');
$blocker->query_safe('COMMIT');
$blocker->quit;
($task, $status) = run_task("'days'");
is($status, 'done', 'the import is as usable as before');

# who may
sql("CREATE ROLE passer LOGIN");
my ($rc, $out, $err) = $node->psql('postgres', "SET ROLE passer; SELECT idem_import_cancel($task)");
like($err, qr/task $task does not exist/, 'others cannot cancel');

# places and settings
sql("ALTER SYSTEM SET idem_import.max_workers = 0; SELECT pg_reload_conf()");
ok(until_true("SELECT current_setting('idem_import.max_workers') = '0'"), 'no workers');
$task = sql("SELECT idem_import_submit('all')");
is(sql("SELECT idem_import_wait($task, '2 s')"), 'pending', 'tasks wait');
sql("ALTER SYSTEM SET idem_import.max_workers = 1; SELECT pg_reload_conf()");
is(sql("SELECT idem_import_wait($task, '30 s')"), 'done', 'for workers');
isnt($node->psql('postgres', "ALTER SYSTEM SET idem_import.databases = 'a b,,c'"), 0, 'a list that is none');
sql("ALTER SYSTEM SET idem_import.databases = 'template1, \"Other\"'; SELECT pg_reload_conf()");
sleep 2;
$task = sql("SELECT idem_import_submit('all')");
is(sql("SELECT idem_import_wait($task, '1 s')"), 'pending', 'a database that is not served');
is(sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'idem%'"), '0', 'is left alone');
sql("ALTER SYSTEM RESET idem_import.databases; SELECT pg_reload_conf()");
is(sql("SELECT idem_import_wait($task, '30 s')"), 'done', 'until it is');

# two databases share one place
$node->safe_psql('postgres', 'CREATE DATABASE "Other"');
$node->safe_psql('Other', <<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE src AS SELECT g AS id, date '2026-01-01' + g AS day FROM generate_series(1, 3000) g;
CREATE TABLE dst (id int, day date, PRIMARY KEY (id, day));
SELECT idem_import_create('days', 'src', 'dst', key => '{id,day}', scope => '{day}');
SQL
$fill = $node->safe_psql('Other', "SELECT idem_import_backfill('days', '2026-01-02', '2034-03-20')");
$task = sql("SELECT idem_import_submit('all')");
is(sql("SELECT idem_import_wait($task, '20 s')"), 'done', 'a busy database gives its place to others');
is($node->safe_psql('Other', "SELECT status FROM idem_import_backfills WHERE backfill = $fill"), 'running', 'before it is done');
is($node->safe_psql('Other', "SELECT idem_import_wait($fill, '120 s')"), 'done', 'and goes on');
is($node->safe_psql('Other', 'SELECT count(*) FROM dst'), '3000', 'to its end');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|WARNING:  you don't own/, 'no crash');
$node->stop;
done_testing();
