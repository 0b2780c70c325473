-- tasks and backfills, as far as they go without a worker

CREATE SCHEMA queue;
SET search_path = queue, public;
\pset format unaligned
\pset tuples_only on

CREATE ROLE regress_idem_clerk NOLOGIN;
CREATE ROLE regress_idem_clerks_friend LOGIN IN ROLE regress_idem_clerk;
CREATE ROLE regress_idem_passer LOGIN;
GRANT USAGE, CREATE ON SCHEMA queue TO PUBLIC;

-- runs a statement: its result, or SQLSTATE, message, detail and hint
CREATE FUNCTION try(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	r text; m text; d text; h text;
BEGIN
	EXECUTE statement INTO r;
	RETURN coalesce(r, 'null');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ' ' || regexp_replace(m, 'task \d+', 'task N'), '  detail: ' || nullif(d, ''), '  hint: ' || nullif(h, ''));
END $$;

SET ROLE regress_idem_clerk;
CREATE TABLE s (id int, day date, v text);
CREATE TABLE t (id int, day date, v text, PRIMARY KEY (id, day));
CREATE TABLE w (id int PRIMARY KEY, v text);
INSERT INTO s SELECT g, date '2026-01-01' + g % 5, 'v' FROM generate_series(1, 20) g;
SELECT idem_import_create('days', 's', 't', key => '{id,day}', scope => '{day}');
SELECT idem_import_create('months', 's', 't', mode => 'overwrite', scope => '{day}', slice => '1 month');
SELECT idem_import_create('whole', 'SELECT id, v FROM s', 'w', key => '{id}');
SELECT idem_import_create('pairs', 's', 't', mode => 'overwrite', scope => '{id,day}');

-- how often, and how long after
SELECT max_attempts, backoff FROM idem_import_definition WHERE name = 'days';
SELECT idem_import_alter('days', max_attempts => 3, backoff => '1 minute');
SELECT max_attempts, backoff, version FROM idem_import_definition WHERE name = 'days';
SELECT try('SELECT idem_import_alter(''days'', max_attempts => 0)');
SELECT try('SELECT idem_import_alter(''days'', backoff => ''-1 s'')');
SELECT try('SELECT idem_import_alter(''days'', backoff => ''13 months'')');
SELECT try('SELECT idem_import_alter(''days'', backoff => ''5000000 years -1800000000 days'')');

-- submit: the same pending task is returned, with the higher priority and the earlier time
SELECT idem_import_submit('whole') AS a \gset
SELECT idem_import_submit('whole', priority => 3, run_after => '2000-01-01') = :a, idem_import_submit('whole', '*', priority => -1, run_after => 'infinity') = :a;
SELECT scope, status, priority, run_after < '2000-01-02', attempts, submitted_by, pid FROM idem_import_queue WHERE task = :a;
SELECT idem_import_submit('days', '2026-01-02') AS b \gset
SELECT idem_import_submit('days', '02 Jan 2026') = :b, idem_import_submit('days') = :b, idem_import_submit('months', '2026-01-15') = :b;
SELECT import, scope, status FROM idem_import_queue WHERE task >= :b ORDER BY task;
SELECT try(format('SELECT idem_import_submit(%s)', a)) FROM unnest(ARRAY[
	'NULL', '''''', '''nothing''', '''days'', ''not a day''', '''days'', priority => NULL', '''whole'', ''2026-01-01''']) a;

-- a scope is one task, however it is spelled
SELECT idem_import_submit('days', '[2026-01-01,2026-01-03)', run_after => 'infinity') AS r \gset
SELECT idem_import_submit('days', ' [ 1 Jan 2026, 2026-01-02 ]', run_after => 'infinity') = :r, idem_import_submit('days', ' (2025-12-31,"2 Jan 2026"]') = :r;
SELECT scope FROM idem_import_queue WHERE task = :r;
SELECT idem_import_cancel(:r);
-- no text is not an empty text
CREATE TABLE ws (id int, word text);
CREATE TABLE wt (id int, word text, PRIMARY KEY (id, word));
SELECT idem_import_create('words', 'ws', 'wt', key => '{id,word}', scope => '{word}');
SELECT idem_import_submit('words', '') = idem_import_submit('words');
SELECT scope FROM idem_import_queue WHERE import = 'words' AND status = 'pending' ORDER BY task;
SELECT try('SELECT idem_import_submit(''words'', ''*'')');
SELECT try('SELECT idem_import_backfill(''words'', ''a'', ''b'')');
SELECT idem_import_drop('words', purge => true);

-- in a transaction that rolls back there is no task
BEGIN;
SELECT idem_import_submit('pairs', '{"id":1,"day":"2026-01-01"}') IS NOT NULL;
SELECT scope FROM idem_import_queue WHERE import = 'pairs';
ROLLBACK;
SELECT count(*) FROM idem_import_queue WHERE import = 'pairs';

-- wait
SELECT idem_import_wait(:a, '0');
SELECT idem_import_wait(:a, '50 ms');
SELECT try('SELECT idem_import_wait(NULL)');
SELECT try('SELECT idem_import_wait(-1)');
BEGIN;
SELECT idem_import_submit('pairs', '{"id":1,"day":"2026-01-01"}') AS c \gset
SELECT try('SELECT idem_import_wait(' || :c || ')');
SAVEPOINT here;
SELECT idem_import_submit('whole') = :a;
SELECT try('SELECT idem_import_wait(' || :a || ')');
COMMIT;
-- nobody serves the database: it says so, and waits
SET statement_timeout = '200ms';
SELECT idem_import_wait(:a);
RESET statement_timeout;

-- cancel
SELECT idem_import_cancel(:a), idem_import_cancel(:a), idem_import_wait(:a);
SELECT status, finished_at IS NOT NULL FROM idem_import_queue WHERE task = :a;
SELECT idem_import_submit('whole') = :a;
SELECT try('SELECT idem_import_cancel(NULL)');
SELECT try('SELECT idem_import_cancel(-1)');

-- backfill: a task per unit, in order
SELECT status FROM idem_import_run('days') ORDER BY unit LIMIT 1;
SELECT idem_import_backfill('days', '2025-12-30', '2026-01-07') AS f \gset
SELECT string_agg(scope, ' ' ORDER BY task) FROM idem_import_queue WHERE backfill = :f;
SELECT status, first_unit, last_unit, reprocess, max_parallel, units, pending, running, done, failed, cancelled, submitted_by, finished_at FROM idem_import_backfills WHERE backfill = :f;
-- what waits in a backfill is not doubled
SELECT idem_import_backfill('days', '2025-12-29', '2026-01-07', 'missing', 2) AS g \gset
SELECT string_agg(scope, ' ' ORDER BY task) FROM idem_import_queue WHERE backfill = :g;
SELECT idem_import_backfill('days', '2026-01-04', '2026-01-05', 'all') AS h \gset
SELECT string_agg(scope, ' ' ORDER BY task) FROM idem_import_queue WHERE backfill = :h;
SELECT idem_import_backfill('days', '2026-01-04', '2026-01-05', 'failed') AS i \gset
SELECT units, status, finished_at IS NOT NULL FROM idem_import_backfills WHERE backfill = :i;
SELECT idem_import_wait(:i), idem_import_wait(:f, '0');
SELECT idem_import_cancel(:f), idem_import_cancel(:f), idem_import_wait(:f);
SELECT status, pending, cancelled FROM idem_import_backfills WHERE backfill = :f;
SELECT status FROM idem_import_run('days', force => true) ORDER BY unit LIMIT 1;
SELECT idem_import_backfill('months', '2025-11-30', '2026-02-01') AS k \gset
SELECT string_agg(scope, ' ' ORDER BY task) FROM idem_import_queue WHERE backfill = :k;
SELECT try(format('SELECT idem_import_backfill(%s)', a)) FROM unnest(ARRAY[
	'NULL, ''2026-01-01'', ''2026-01-01''', '''days'', NULL, ''2026-01-01''', '''days'', ''2026-01-02'', ''2026-01-01''',
	'''days'', ''[2026-01-01,2026-01-03)'', ''2026-01-04''', '''days'', ''2026-01-01'', ''2026-01-02'', ''some''',
	'''days'', ''2026-01-01'', ''2026-01-02'', NULL', '''days'', ''2026-01-01'', ''2026-01-02'', max_parallel => 0',
	'''whole'', ''1'', ''2''', '''pairs'', ''{}'', ''{}''']) a;

-- who may do what: others see nothing, and learn nothing
SET ROLE regress_idem_clerks_friend;
SELECT count(*) > 0 FROM idem_import_queue;
SELECT idem_import_wait(:a), idem_import_cancel(:a), idem_import_submit('whole') > :a;
SET ROLE regress_idem_passer;
SELECT count(*) FROM idem_import_queue;
SELECT count(*) FROM idem_import_backfill;
SELECT count(*) FROM idem_import_backfills;
SELECT try('SELECT idem_import_submit(''whole'')');
SELECT try('SELECT idem_import_backfill(''days'', ''2026-01-01'', ''2026-01-02'')');
SELECT try('SELECT idem_import_wait(' || :a || ')');
SELECT try('SELECT idem_import_cancel(' || :a || ')');
SELECT try('SELECT idem_import_cancel(' || :g || ')');
SELECT try('SELECT idem_import_worker_start()');
SELECT try('UPDATE idem_import_queue SET priority = 1');
SET ROLE regress_idem_clerk;
SELECT try('SELECT idem_import_worker_start()');
SELECT try('DELETE FROM idem_import_queue');

-- read only
BEGIN READ ONLY;
SELECT idem_import_wait(:a);
SELECT try('SELECT idem_import_submit(''whole'')');
SELECT try('SELECT idem_import_backfill(''days'', ''2026-01-01'', ''2026-01-02'')');
SELECT try('SELECT idem_import_cancel(' || :a || ')');
COMMIT;

-- what is finished may be forgotten
SET ROLE regress_idem_passer;
SELECT idem_import_prune();
SET ROLE regress_idem_clerk;
SELECT count(*) AS finished FROM idem_import_queue WHERE finished_at IS NOT NULL \gset
SELECT count(*) AS runs FROM idem_import_history \gset
SELECT idem_import_prune('1 hour');
SELECT idem_import_prune() = :finished + :runs, :finished > 3;
SELECT count(*) FROM idem_import_queue WHERE finished_at IS NOT NULL;
SELECT backfill = :f, backfill = :i FROM idem_import_backfill WHERE backfill IN (:f, :g, :i);

-- a dropped import takes what is pending along; with purge all of it
SELECT idem_import_drop('days');
RESET ROLE;
SELECT DISTINCT status FROM idem_import_queue WHERE import = 'days';
SELECT idem_import_wait(:g);
SET ROLE regress_idem_clerk;
SELECT try('SELECT idem_import_wait(' || :g || ')');
SELECT idem_import_drop('months', purge => true);
SELECT idem_import_drop('whole', purge => true);
SELECT idem_import_drop('pairs', purge => true);
RESET ROLE;
SELECT count(*) FROM idem_import_queue WHERE import <> 'days';
SELECT count(*) FROM idem_import_backfill WHERE import <> 'days';

-- many tasks that the planner has not heard of
BEGIN;
CREATE TABLE numbers (id int PRIMARY KEY);
SELECT idem_import_create('numbers', 'SELECT $1 AS id', 'numbers', key => '{id}', scope => '{id}');
SELECT idem_import_create('few', 'SELECT $1 AS id', 'numbers', key => '{id}', scope => '{id}');
SELECT idem_import_backfill('few', '1', '2000') IS NOT NULL;
DELETE FROM idem_import_queue WHERE import <> 'few';
ANALYZE idem_import_queue;
SET LOCAL statement_timeout = '10 s';
SELECT idem_import_backfill('numbers', '1', '60000') AS n \gset
SELECT idem_import_backfill('numbers', '1', '60001') AS m \gset
SELECT units FROM idem_import_backfills WHERE backfill IN (:n, :m) ORDER BY backfill;
SELECT idem_import_cancel(:n);
UPDATE idem_import_queue SET finished_at = '2000-01-01' WHERE backfill = :n;
SELECT idem_import_prune('1 day');
SELECT count(*) FROM idem_import_queue WHERE import = 'numbers';
ROLLBACK;

-- settings
SHOW idem_import.max_workers;
SELECT name, setting, unit, context, vartype FROM pg_settings WHERE name IN ('idem_import.databases', 'idem_import.max_workers') ORDER BY name;
SELECT try('SET idem_import.max_workers = 3');
\set VERBOSITY terse
ALTER SYSTEM SET idem_import.databases = 'a b,,c';
\set VERBOSITY default
SELECT try('SET idem_import.nothing = 3');

DELETE FROM idem_import_queue;
DELETE FROM idem_import_backfill;
DELETE FROM idem_import_ledger;
DELETE FROM idem_import_history;
DELETE FROM idem_import_dropped;
SET client_min_messages = warning;
DROP SCHEMA queue CASCADE;
DROP ROLE regress_idem_clerks_friend, regress_idem_passer, regress_idem_clerk;
