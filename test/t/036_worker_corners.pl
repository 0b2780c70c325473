# The worker's corners: locks on tasks that are given back, cancels that come
# late, snapshots that are old, settings that only a superuser may give.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('corners');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'idem_import'
max_worker_processes = 16
CONF
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub until_true { return $node->poll_query_until('postgres', $_[0]) }
sub submit { return sql("SELECT idem_import_submit($_[0])") }
sub wait_for { return sql("SELECT idem_import_wait($_[0], '$_[1]')") }

sql(<<'SQL');
CREATE EXTENSION idem_import;
CREATE ROLE keeper NOLOGIN;
GRANT USAGE, CREATE ON SCHEMA public TO keeper;
ALTER ROLE keeper SET temp_file_limit = '77MB';
SET ROLE keeper;
CREATE TABLE src AS SELECT 1 AS id, ''::text AS v;
CREATE TABLE dst (id int PRIMARY KEY, v text);
CREATE TABLE plan (code text, catches boolean);
INSERT INTO plan VALUES ('', false);
CREATE TABLE seen (setting text);
CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	p plan;
BEGIN
	SELECT * INTO p FROM plan;
	INSERT INTO seen VALUES (current_setting('temp_file_limit'));
	IF p.catches THEN
		BEGIN
			PERFORM pg_sleep(30);
		EXCEPTION WHEN query_canceled THEN NULL;
		END;
	END IF;
	IF p.code <> '' THEN
		RAISE EXCEPTION USING ERRCODE = p.code, MESSAGE = 'as planned';
	END IF;
	RETURN NEW;
END$$;
CREATE TRIGGER nap BEFORE INSERT OR UPDATE ON dst FOR EACH ROW EXECUTE FUNCTION nap();
SELECT idem_import_create('a', 'src', 'dst', key => '{id}', backoff => '10 ms', max_attempts => 50);
SQL

# settings that the role was given by a superuser
my $task = submit("'a'");
is(wait_for($task, '30 s'), 'done', 'a task');
is(sql('SELECT setting FROM seen'), '77MB', 'has the settings that only a superuser can give to its owner');
unlike(slurp_file($node->logfile), qr/permission denied to set parameter/, 'and no complaints');

# settings that a login passes over
sql("ALTER ROLE keeper SET temp_tablespaces = 'gone_by_now'; ALTER ROLE keeper SET transaction_read_only = on; UPDATE src SET v = 'passed over'");
is(wait_for(submit("'a'"), '30 s'), 'done', 'settings that let the role log in let its tasks run');
is(sql('SELECT v FROM dst'), 'passed over', 'and write');
sql('ALTER ROLE keeper RESET ALL; UPDATE src SET v = $$$$');
is(wait_for(submit("'a'"), '30 s'), 'done', 'as before');

# a transaction that has submitted the same task, and rolls back
my $other = $node->background_psql('postgres', on_error_stop => 0);
$task = submit("'a', run_after => clock_timestamp() + '1 s'");
$other->query_safe("BEGIN; SELECT idem_import_submit('a')");
is(wait_for($task, '13 s'), 'pending', 'a task waits while a transaction has submitted it anew');
$other->query_safe('ROLLBACK');
is(wait_for($task, '4 s'), 'done', 'and is run soon after that has rolled back');

# a cancel that the import's own code takes for something else
sql("UPDATE plan SET code = '40001', catches = true; UPDATE src SET v = '1'");
$task = submit("'a'");
ok(until_true("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 'a task');
is(sql("SELECT idem_import_cancel($task)"), 't', 'is canceled, and fails for a reason that may pass');
is(wait_for($task, '30 s'), 'cancelled', 'it is not tried again');
is(sql("SELECT attempts FROM idem_import_queue WHERE task = $task"), '1', 'indeed');
sql("UPDATE plan SET code = ''");
$task = submit("'a'");
ok(until_true("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 'another one');
is(sql("SELECT idem_import_cancel($task)"), 't', 'is canceled, and takes no notice');
is(wait_for($task, '30 s'), 'cancelled', 'it does not commit');
is(sql("SELECT v FROM dst"), '', 'indeed');
sql("UPDATE plan SET catches = false");

# a cancel while the failure of its last attempt is being recorded
sql("UPDATE plan SET code = '40001'");
$other->query_safe("BEGIN; LOCK TABLE idem_import_ledger IN EXCLUSIVE MODE");
$task = submit("'a'");
ok(until_true("SELECT count(*) = 1 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE relname = 'idem_import_ledger' AND NOT granted"),
	'a task whose failure waits to be recorded');
is(sql("SELECT idem_import_cancel($task)"), 't', 'is canceled');
is(wait_for($task, '30 s'), 'cancelled', 'and not tried again');
$other->query_safe('ROLLBACK');
is(sql("SELECT attempts, interrupted FROM idem_import_queue WHERE task = $task"), '1|0', 'nor was its executor lost');
sql("UPDATE plan SET code = ''");

# a snapshot from before the task
$other->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM src');
$task = submit("'a', run_after => 'infinity'");
is($other->query_safe("SELECT idem_import_wait($task, '0')"), 'pending', 'a task that came after the snapshot');
$other->query("SELECT idem_import_cancel($task)");
like($other->{stderr}, qr/could not serialize access/, 'cannot be canceled, and that is said');
$other->{stderr} = '';
$other->query_safe('ROLLBACK');
is(sql("SELECT idem_import_cancel($task)"), 't', 'a transaction of READ COMMITTED can');

# a task that comes while the scheduler waits for a lock, and looks at what was there before
sql(<<'SQL');
CREATE TABLE slow (id int PRIMARY KEY);
CREATE TABLE quick (id int PRIMARY KEY);
CREATE FUNCTION long_nap() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(20); RETURN NULL; END$$;
CREATE TRIGGER nap AFTER INSERT ON slow FOR EACH STATEMENT EXECUTE FUNCTION long_nap();
SELECT idem_import_create('slow', 'SELECT 1 AS id', 'slow', key => '{id}');
SELECT idem_import_create('quick', 'SELECT 1 AS id', 'quick', key => '{id}');
SQL
my $slow = submit("'slow'");
ok(until_true("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'idem_import executor' AND wait_event = 'PgSleep'"), 'a long task');
ok(until_true("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'idem_import executor'"), 'alone');
$other->query_safe('BEGIN; LOCK TABLE idem_import_backfill IN ACCESS EXCLUSIVE MODE');
my $late = submit("'a', run_after => 'infinity'");
ok(until_true("SELECT count(*) = 1 FROM pg_locks WHERE relation = 'idem_import_backfill'::regclass AND NOT granted"), 'the scheduler waits');
$task = submit("'quick', priority => 5, run_after => now() - interval '1 hour'");
# for the wait to take the wake-up
sql('SELECT pg_sleep(1)');
$other->query_safe('COMMIT');
is(wait_for($task, '5 s'), 'done', 'a task that came meanwhile is seen');
is(sql("SELECT status FROM idem_import_queue WHERE task = $slow"), 'running', 'before the long one is done');

# an executor that goes away during the same
sql(<<'SQL');
CREATE TABLE slower (id int PRIMARY KEY);
CREATE TRIGGER nap AFTER INSERT ON slower FOR EACH STATEMENT EXECUTE FUNCTION long_nap();
SELECT idem_import_create('slower', 'SELECT 1 AS id', 'slower', key => '{id}');
SQL
my $slower = submit("'slower'");
my $naps = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'idem_import executor' AND wait_event = 'PgSleep'";
ok(until_true("SELECT ($naps) = 2"), 'two long tasks');
$other->query_safe('BEGIN; LOCK TABLE idem_import_backfill IN ACCESS EXCLUSIVE MODE');
submit("'a', run_after => 'infinity'");
ok(until_true("SELECT count(*) = 1 FROM pg_locks WHERE relation = 'idem_import_backfill'::regclass AND NOT granted"), 'the scheduler waits');
sql("SELECT pg_terminate_backend(pid, 10000) FROM idem_import_queue WHERE task = $slower");
sql('SELECT pg_sleep(1)');
$other->query_safe('COMMIT');
sql('SELECT pg_sleep(3)');
is(sql("SELECT string_agg(status || interrupted, ' ' ORDER BY task) FROM idem_import_queue WHERE task IN ($slow, $slower)"),
	'running0 running1', 'what it had at hand goes on before the other is done');
$other->quit;
sql("SELECT idem_import_cancel($_)") for $slow, $slower, $late;

# a task that waits for itself, or for one that comes after it
sql(<<'SQL');
CREATE TABLE waiter (id int PRIMARY KEY);
CREATE TABLE order_of (t text);
INSERT INTO order_of VALUES ('');
CREATE FUNCTION obey() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	o order_of;
BEGIN
	SELECT * INTO o FROM order_of;
	EXECUTE o.t;
	RETURN NULL;
END$$;
CREATE TRIGGER obey AFTER INSERT ON waiter FOR EACH STATEMENT EXECUTE FUNCTION obey();
SELECT idem_import_create('waiter', 'SELECT 1 AS id', 'waiter', key => '{id}');
UPDATE order_of SET t = 'SELECT idem_import_wait(task) FROM idem_import_queue WHERE import = ''waiter'' AND status = ''running''';
SQL
$task = submit("'waiter'");
is(wait_for($task, '20 s'), 'failed', 'a task that waits for itself is told so');
is(sql("SELECT sqlstate, message, detail FROM idem_import_queue WHERE task = $task"),
	"55000|task $task cannot be waited for by task $task|It cannot end before the task that waits for it.", 'and why');
sql("UPDATE order_of SET t = 'SELECT pg_sleep(1); SELECT idem_import_wait(max(task)) FROM idem_import_queue WHERE import = ''waiter'' AND status = ''pending'''");
$task = submit("'waiter'");
ok(until_true("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 'a task');
my $next = submit("'waiter', run_after => clock_timestamp() + '1 hour'");
is(wait_for($task, '20 s'), 'failed', 'that waits for one of the same import and scope is told so');
is(sql("SELECT message FROM idem_import_queue WHERE task = $task"), "task $next cannot be waited for by task $task", 'and which');
sql("SELECT idem_import_cancel($next)");
sql("UPDATE order_of SET t = 'SELECT idem_import_wait(idem_import_queue.task) FROM idem_import_queue WHERE task = $slow'");
$task = submit("'waiter'");
is(wait_for($task, '20 s'), 'done', 'it may ask for one that has ended');

# one that may be tried for ever, and loses its executor, stops nobody's queue
sql(<<'SQL');
CREATE TABLE endless (id int PRIMARY KEY);
CREATE TRIGGER nap AFTER INSERT ON endless FOR EACH STATEMENT EXECUTE FUNCTION long_nap();
SELECT idem_import_create('endless', 'SELECT 1 AS id', 'endless', key => '{id}', max_attempts => 2147483647);
SQL
my $endless = submit("'endless'");
ok(until_true("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 'a task without an end to its attempts');
sql("SELECT pg_terminate_backend(pid, 5000) FROM idem_import_queue WHERE task = $endless");
is(wait_for(submit("'quick'"), '10 s'), 'done', 'loses its executor: others are run');
ok(until_true("SELECT interrupted = 1 FROM idem_import_queue WHERE task = $endless"), 'and it goes on');
sql("SELECT idem_import_cancel($endless)");

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
$node->stop;
done_testing();
