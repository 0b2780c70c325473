-- idem_import_status: a line per import that one may run

CREATE SCHEMA status;
SET search_path = status, public;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

-- what it looks like, and that it lends no rights
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'idem_import_status'::regclass AND attnum > 0 ORDER BY attnum;
SELECT reloptions, has_table_privilege('pg_monitor', oid, 'SELECT') AS readable, has_table_privilege('pg_monitor', oid, 'INSERT, UPDATE, DELETE') AS writable,
	obj_description(oid, 'pg_class') IS NOT NULL AS comment
FROM pg_class WHERE oid = 'idem_import_status'::regclass;

CREATE ROLE regress_status_owner;
CREATE ROLE regress_status_member IN ROLE regress_status_owner;
CREATE ROLE regress_status_other;
CREATE ROLE regress_status_noinherit NOINHERIT IN ROLE regress_status_owner;
GRANT USAGE, CREATE ON SCHEMA status TO PUBLIC;

SET ROLE regress_status_owner;
CREATE TABLE stage (day date, id int, val text);
CREATE TABLE goal (day date, id int PRIMARY KEY, val text);
CREATE TABLE "Goal 2" (id int PRIMARY KEY, val text);
INSERT INTO stage SELECT date '2026-01-01' + i % 2, i, 'v' FROM generate_series(1, 40) i;
SELECT idem_import_create('days', 'stage', 'goal', key => ARRAY['id'], scope => ARRAY['day'], out_of_scope => 'ignore', delete_missing => true, reject_limit => 10);
SELECT idem_import_create('query', 'SELECT id, val FROM stage', '"Goal 2"', mode => 'insert_only', key => ARRAY['id']);
RESET ROLE;
SET ROLE regress_status_other;
CREATE TABLE theirs (id int PRIMARY KEY, val text);
SELECT idem_import_create('theirs', 'SELECT 1 AS id, ''x'' AS val', 'theirs', mode => 'overwrite');
RESET ROLE;

-- never run
SELECT * FROM idem_import_status ORDER BY import \gx

CREATE FUNCTION status(name text) RETURNS TABLE (status text, same_run boolean, sqlstate text, error text, units bigint, failed bigint, awaiting bigint, rejects bigint, recent boolean)
LANGUAGE sql AS $$
	SELECT last_status, last_run_id = (SELECT max(run_id) FROM idem_import_history h WHERE h.import = s.import), last_sqlstate, last_error, units, units_failed, units_awaiting_approval,
		open_rejects, lag BETWEEN '0' AND '1 hour' AND last_success_at <= statement_timestamp()
	FROM idem_import_status s WHERE s.import = $1
$$;
SELECT count(*) FROM idem_import_run('days');
SELECT * FROM status('days');
SELECT last_status, last_started_at = h.started_at AND last_success_at = h.started_at AND last_elapsed = h.elapsed AND last_note IS NOT DISTINCT FROM h.note AS of_the_last
FROM idem_import_status s JOIN idem_import_history h ON h.run_id = s.last_run_id WHERE s.import = 'days';
SELECT count(*) FROM idem_import_run('days');
SELECT * FROM status('days');
-- rejects that are open
INSERT INTO stage VALUES ('2026-01-01', NULL, 'no key'), ('2026-01-02', NULL, 'no key'), (NULL, 41, 'no day');
SELECT idem_import_alter('days', out_of_scope => 'reject');
SELECT count(*) FROM idem_import_run('days');
SELECT * FROM status('days');
DELETE FROM stage WHERE day = '2026-01-02' AND id IS NULL OR day IS NULL;
SELECT count(*) FROM idem_import_run('days');
SELECT * FROM status('days');
-- a unit that fails, and one that waits for approval
SELECT idem_import_alter('days', out_of_scope => 'ignore');
INSERT INTO stage VALUES ('2026-01-01', 2, 'other');
SELECT code FROM refused($$SELECT idem_import_run('days', '2026-01-01')$$);
SELECT last_success_at < last_started_at AS success_before FROM idem_import_status WHERE import = 'days';
SELECT * FROM status('days');
DELETE FROM stage WHERE day = '2026-01-02';
SELECT code FROM refused($$SELECT idem_import_run('days', '2026-01-02')$$);
SELECT * FROM status('days');
SELECT idem_import_approve('days', '2026-01-02');
SELECT removed FROM idem_import_run('days', '2026-01-02');
SELECT * FROM status('days');

-- how far behind: by the mark, if it is a time; else by the last run that succeeded
UPDATE idem_import_history SET started_at = started_at - interval '2 days' WHERE import = 'days';
SELECT lag - interval '2 days' BETWEEN '0' AND '1 hour' AS since_run, checkpoint FROM idem_import_status WHERE import = 'days';
INSERT INTO idem_import_checkpoint (import, track, checkpoint, mark_at, moved_at) VALUES ('days', 'cursor', '42', NULL, statement_timestamp());
SELECT lag - interval '2 days' BETWEEN '0' AND '1 hour' AS since_run, checkpoint FROM idem_import_status WHERE import = 'days';
UPDATE idem_import_checkpoint SET checkpoint = 'the mark', mark_at = statement_timestamp() - interval '3 hours' WHERE import = 'days';
SELECT lag - interval '3 hours' BETWEEN '0' AND '1 hour' AS since_mark, checkpoint FROM idem_import_status WHERE import = 'days';

-- a mark as a run leaves it
CREATE TABLE ticks (at timestamptz, n int);
CREATE TABLE tocks (at timestamptz, n int PRIMARY KEY);
INSERT INTO ticks SELECT statement_timestamp() - interval '5 hours' - n * interval '1 minute', n FROM generate_series(0, 9) n;
SELECT idem_import_create(c, 'ticks', 'tocks', key => ARRAY['n'], cursor_column => c) FROM unnest(ARRAY['at', 'n']) c;
SELECT c, (SELECT sum(attempted) FROM idem_import_run(c)) FROM unnest(ARRAY['at', 'n']) c;
SELECT import, track, last_status, checkpoint IS NOT NULL AS mark, CASE import WHEN 'at' THEN lag - interval '5 hours' ELSE lag END BETWEEN '0' AND '1 hour' AS right_lag
FROM idem_import_status WHERE track = 'cursor' ORDER BY import;
SELECT idem_import_drop(c, true) FROM unnest(ARRAY['at', 'n']) c;

-- what waits for the worker
CREATE FUNCTION queue(name text) RETURNS TABLE (queue bigint, running bigint, backfill bigint, failed bigint, oldest interval)
LANGUAGE sql AS 'SELECT queue, queue_running, queue_backfill, queue_failed, date_trunc(''minute'', queue_oldest) FROM idem_import_status WHERE import = $1';
SET ROLE regress_status_owner;
SELECT idem_import_submit('days', '2026-01-01') AS failed, idem_import_submit('days') AS whole, idem_import_submit('days', '2026-01-02', run_after => 'infinity') IS NOT NULL AS later,
	idem_import_submit('query', run_after => '-infinity') AS query \gset
SELECT idem_import_backfill('days', '2026-01-01', '2026-01-03', 'all') AS backfill \gset
SELECT * FROM queue('days');
SELECT queue, oldest = '0' AS just_now FROM queue('query');
RESET ROLE;
UPDATE idem_import_queue SET created_at = created_at - interval '1 hour', run_after = run_after - interval '30 minutes' WHERE import = 'days';
SELECT * FROM queue('days');
UPDATE idem_import_queue SET status = 'running' WHERE backfill = :backfill AND scope = '2026-01-01';
UPDATE idem_import_queue SET status = 'dead', finished_at = statement_timestamp() WHERE task = :whole;
UPDATE idem_import_queue SET status = 'failed', finished_at = statement_timestamp() WHERE task = :failed;
SELECT * FROM queue('days');
SELECT scope, status FROM idem_import_queue_failures ORDER BY task;
-- made up for by a run of the unit, or by a task of the same scope, which is done later
BEGIN;
DELETE FROM stage WHERE val = 'other';
SELECT status FROM idem_import_run('days', '2026-01-01');
SELECT scope, status FROM idem_import_queue_failures ORDER BY task;
ROLLBACK;
UPDATE idem_import_queue SET status = 'done', finished_at = statement_timestamp() - interval '1 minute' WHERE backfill = :backfill AND scope = '2026-01-01';
SELECT scope, status FROM idem_import_queue_failures ORDER BY task;
UPDATE idem_import_queue SET status = 'done', finished_at = statement_timestamp() WHERE backfill = :backfill;
SELECT scope, status FROM idem_import_queue_failures ORDER BY task;
SELECT * FROM queue('days');
INSERT INTO idem_import_queue (import, status, submitted_by, finished_at) VALUES ('days', 'done', 'regress_status_owner', statement_timestamp());
SELECT * FROM queue('days');
SET ROLE regress_status_other;
SELECT count(*) FROM idem_import_queue_failures;
SELECT import, queue, queue_failed FROM idem_import_status;
SELECT code FROM refused('DELETE FROM idem_import_queue_failures');
RESET ROLE;

-- looks into indexes only, whatever it knows of how many tasks there are
CREATE FUNCTION queue_looks(OUT into_index bigint, OUT scans bigint) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	into_index := 0;
	scans := 0;
	FOR line IN EXPLAIN (COSTS OFF) SELECT queue, queue_failed FROM idem_import_status WHERE import = 'days' LOOP
		into_index := into_index + (line ~ 'Index.* Scan (using|on) idem_import_queue_')::int;
		scans := scans + (line LIKE '%Seq Scan on idem_import_queue%')::int;
	END LOOP;
END $$;
INSERT INTO idem_import_queue (import, scope, status, submitted_by, finished_at)
SELECT 'days', i::text, 'done', 'regress_status_owner', statement_timestamp() FROM generate_series(1, 20000) i;
SET ROLE regress_status_member;
SELECT into_index, scans FROM queue_looks();
RESET ROLE;
ANALYZE idem_import_queue;
SET ROLE regress_status_member;
SELECT into_index, scans FROM queue_looks();
RESET ROLE;
DELETE FROM idem_import_queue;
DELETE FROM idem_import_backfill;

-- one's own imports only
SELECT import FROM idem_import_status ORDER BY 1;
SET ROLE regress_status_owner;
SELECT import, owner, last_status, units, open_rejects, checkpoint FROM idem_import_status ORDER BY 1;
SET ROLE regress_status_member;
SELECT import, owner, last_status, units, open_rejects, checkpoint FROM idem_import_status ORDER BY 1;
SET ROLE regress_status_noinherit;
SELECT import FROM idem_import_status;
SET ROLE regress_status_other;
SELECT import, owner, last_status, units, open_rejects, checkpoint FROM idem_import_status ORDER BY 1;
CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS 'BEGIN RAISE WARNING ''%'', $1; RETURN true; END';
SELECT count(*) FROM idem_import_status WHERE leak(import) AND leak(source) AND leak(last_error);
SELECT code FROM refused('DELETE FROM idem_import_status');
RESET ROLE;

-- two looks into an index for the last runs, whoever asks, and no sorting
CREATE FUNCTION looks(OUT into_index bigint, OUT sorts bigint, OUT scans bigint) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	into_index := 0;
	sorts := 0;
	scans := 0;
	FOR line IN EXPLAIN (COSTS OFF) SELECT * FROM idem_import_status WHERE import = 'days' LOOP
		into_index := into_index + (line LIKE '%Index%Scan Backward using idem_import_history_last%')::int;
		sorts := sorts + (line LIKE '%Sort%')::int;
		scans := scans + (line LIKE '%Seq Scan on idem_import_history%')::int;
	END LOOP;
END $$;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT into_index > 0 AS by_index, sorts, scans FROM looks();
SET ROLE regress_status_member;
SELECT into_index > 0 AS by_index, sorts, scans FROM looks();
RESET ROLE;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- without history there is no last run, but the ledger knows of a success
SELECT idem_import_prune() > 0 AS pruned;
SELECT last_run_id, last_status, last_started_at, last_elapsed, last_success_at = (SELECT max(applied_at) FROM idem_import_ledger WHERE import = 'days') AS of_ledger, units, units_failed, checkpoint
FROM idem_import_status WHERE import = 'days';

-- dropped: no line, and none of what is left of it
SELECT idem_import_drop('days');
SELECT import FROM idem_import_status ORDER BY 1;
-- a source or target that was dropped does no harm
DROP TABLE "Goal 2";
SELECT import, target ~ '^[0-9]+$' AS number FROM idem_import_status WHERE import = 'query';
SELECT idem_import_drop(name, true) FROM idem_import_definition;
DELETE FROM idem_import_ledger;
DELETE FROM idem_import_reject;
DELETE FROM idem_import_checkpoint;
DROP SCHEMA status CASCADE;
DROP ROLE regress_status_owner, regress_status_member, regress_status_other, regress_status_noinherit;
