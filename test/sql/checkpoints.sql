-- checkpoints: where a rerun begins to read, and what it must not pass by

CREATE SCHEMA checkpoints;
SET search_path = checkpoints, public;
SET client_min_messages = notice;
SET client_encoding = 'UTF8';
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'America/New_York';
SET extra_float_digits = -10;
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

-- a run, and what its plan and its history said otherwise; a snapshot's text is its own
CREATE FUNCTION track(import text, scope text DEFAULT NULL, source regclass DEFAULT NULL, force boolean DEFAULT false,
	OUT unit text, OUT attempted bigint, OUT inserted bigint, OUT updated bigint, OUT unchanged bigint, OUT stale bigint,
	OUT collapsed bigint, OUT rejected bigint, OUT checkpoint text, OUT reason text, OUT checks text)
RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	snapshot boolean := (SELECT d.track = 'snapshot' FROM idem_import_definition d WHERE d.name = import);
	plan idem_import_result[] := array(SELECT p FROM idem_import_plan(import, scope, source) p);
	runs idem_import_result[] := array(SELECT r FROM idem_import_run(import, scope, force, source) r);
	r idem_import_result;
	p idem_import_result;
BEGIN
	IF cardinality(plan) <> cardinality(runs) AND NOT force THEN
		RAISE 'plan has % units, run has %', cardinality(plan), cardinality(runs);
	END IF;
	FOR i IN 1 .. cardinality(runs) LOOP
		r := runs[i];
		p := plan[i];
		SELECT r.unit, r.attempted, r.inserted, r.updated, r.unchanged, r.stale, r.collapsed, r.rejected,
			CASE WHEN snapshot AND r.checkpoint ~ '^\d+:\d+:[\d,]*$' THEN 'a snapshot' ELSE r.checkpoint END,
			substring(r.note FROM 'read from [^;]*'), 'ok'
			INTO unit, attempted, inserted, updated, unchanged, stale, collapsed, rejected, checkpoint, reason, checks;
		IF r.attempted <> r.inserted + r.updated + r.unchanged + r.stale + r.collapsed + r.rejected + r.deleted THEN
			checks := 'sum';
		ELSIF NOT force AND (p.unit, p.status, p.method, p.attempted, p.inserted, p.updated, p.unchanged, p.stale, p.collapsed, p.rejected,
			CASE WHEN snapshot THEN NULL ELSE p.checkpoint END)
		   IS DISTINCT FROM (r.unit, r.status, r.method, r.attempted, r.inserted, r.updated, r.unchanged, r.stale, r.collapsed, r.rejected,
			CASE WHEN snapshot THEN NULL ELSE r.checkpoint END) THEN
			checks := format('plan %s', p);
		ELSIF NOT EXISTS (SELECT FROM idem_import_history h WHERE h.run_id = r.run_id AND h.checkpoint IS NOT DISTINCT FROM r.checkpoint) AND r.note !~ 'as the last run left' THEN
			checks := 'history';
		ELSIF r.checkpoint IS NOT NULL AND
			NOT EXISTS (SELECT FROM idem_import_checkpoint c WHERE c.import = r.import AND c.checkpoint = r.checkpoint) THEN
			checks := 'not stored';
		END IF;
		IF checkpoint IS NOT NULL AND NOT snapshot THEN
			reason := replace(reason, checkpoint, '<it>');
		END IF;
		RETURN NEXT;
	END LOOP;
END $$;

--
-- each type a cursor can have: two rows, read on, the mark's own value again, overlap
--
CREATE DOMAIN serial_number AS int CHECK (VALUE > 0);
CREATE FUNCTION cursor_of(type text, first text, second text, third text, overlap text DEFAULT NULL, imported text DEFAULT NULL)
RETURNS TABLE (step text, attempted bigint, inserted bigint, checkpoint text, mark_at timestamptz, checks text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE cs (id int, c %s); CREATE TABLE cd (id int PRIMARY KEY, c %s)', type, coalesce(imported, type));
	EXECUTE format('INSERT INTO cs VALUES (1, %L), (2, %L)', first, second);
	PERFORM idem_import_create('c', 'cs', 'cd', key => ARRAY['id'], cursor_column => 'c', overlap => overlap);
	FOREACH step IN ARRAY ARRAY['start', 'again', 'joined', 'third', 'last'] LOOP
		IF step = 'joined' THEN
			EXECUTE format('INSERT INTO cs VALUES (3, %L)', second);
		ELSIF step = 'third' THEN
			EXECUTE format('INSERT INTO cs VALUES (4, %L)', third);
		END IF;
		SELECT t.attempted, t.inserted, t.checkpoint, t.checks INTO attempted, inserted, checkpoint, checks FROM track('c') t;
		mark_at := (SELECT c.mark_at FROM idem_import_checkpoint c WHERE c.import = 'c');
		RETURN NEXT;
	END LOOP;
	PERFORM idem_import_drop('c', true);
	DROP TABLE cs, cd;
END $$;
SELECT * FROM cursor_of('smallint', '1', '2', '3');
SELECT * FROM cursor_of('int', '9', '10', '100');
SELECT * FROM cursor_of('bigint', '9', '10000000000', '10000000001');
SELECT * FROM cursor_of('numeric', '9.99999999999999999999', '10.00000000000000000001', 'NaN');
SELECT * FROM cursor_of('date', '2026-02-28', '2026-03-01', '2026-10-25');
SELECT * FROM cursor_of('timestamp', '2026-02-28 23:59:59.999999', '2026-03-01', 'infinity');
SELECT * FROM cursor_of('timestamptz', '2026-10-25 00:30:00.000001+00', '2026-10-25 01:30:00.000001+00', '2026-10-25 02:30+00');
SELECT * FROM cursor_of('real', '0.3', '16777216', 'Infinity');
SELECT * FROM cursor_of('double precision', '0.1', '0.30000000000000004', 'NaN');
SELECT * FROM cursor_of('text', '01ARZ3NDEKTSV4RRFFQ69G5FAV', '01BX5ZZKBKACTAV9WEVGEMMVRZ', '01BX5ZZKBKACTAV9WEVGEMMVS0');
SELECT * FROM cursor_of('char(26)', '01ARZ3NDEKTSV4RRFFQ69G5FAV', '01BX5ZZKBKACTAV9WEVGEMMVRZ', '01BX5ZZKBKACTAV9WEVGEMMVS0');
SELECT * FROM cursor_of('varchar(40)', 'a', 'b', 'c');
SELECT * FROM cursor_of('text', '9', '10', '100', NULL, 'int');
SELECT * FROM cursor_of('text', '2026-09-10', 'Oct 1 2026', '2026-10-02', '3 days', 'date');
SELECT * FROM cursor_of('serial_number', '1', '20', '30', '25');
SELECT * FROM cursor_of('uuid', '00000000-0000-0000-0000-000000000009', '00000000-0000-0000-0000-00000000000a', 'f0000000-0000-0000-0000-00000000000a');
SELECT * FROM cursor_of('interval', '9 days', '-1 days +10 hours', '10 days 00:00:01');
SELECT * FROM cursor_of('bit(3)', '001', '010', '100');
-- the column's collation orders, not the database's
SELECT * FROM cursor_of('text COLLATE "en-x-icu"', 'a', 'B', 'c');
SELECT * FROM refused($$SELECT * FROM cursor_of('json', '1', '2', '3')$$);
SELECT * FROM refused($$SELECT * FROM cursor_of('text', 'a', 'b', 'c', '1')$$);
SELECT * FROM refused($$SELECT * FROM cursor_of('int', '1', '2', '3', '-1')$$);
SELECT * FROM refused($$SELECT * FROM cursor_of('real', '1', '2', '3', 'Infinity')$$);
SELECT * FROM refused($$SELECT * FROM cursor_of('numeric', '1', '2', '3', 'NaN')$$);
SELECT * FROM refused($$SELECT * FROM cursor_of('date', '2026-01-01', '2026-01-02', '2026-01-03', 'a while')$$);

-- overlap of each kind, down to the least value of the type and below
SELECT step, attempted, checkpoint, checks FROM cursor_of('int', '1', '10', '20', '10') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('int', '-2147483648', '-2147483647', '2147483647', '9223372036854775807') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('bigint', '-9223372036854775808', '0', '1', '9223372036854775807') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('smallint', '-32768', '-32767', '32767', '65534') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('numeric', '1', '10', '20.5', '10.5') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('real', '-3.4e38', '-3.3e38', 'NaN', '1e38') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('double precision', '-1.7e308', '-1.6e308', 'Infinity', '1e308') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('date', '2026-01-31', '2026-03-01', '2026-03-30', '1 month') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('date', '2026-02-27', '2026-03-01', '2026-04-01', '1 month -30 days') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('date', '4713-01-01 BC', '4713-02-01 BC', '4712-01-01 BC', '100 years') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('date', '294277-01-01', '5874897-12-30', '5874897-12-31', '1 day') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('date', '-infinity', '2026-01-01', 'infinity', '1 day') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('timestamp', '4713-01-01 BC', '4713-02-01 BC', '4712-01-01 BC', '100 years') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('timestamptz', '2026-10-25 00:59:00+00', '2026-10-25 01:00:00+00', 'infinity', '1 minute') WHERE step IN ('again', 'last');
SELECT step, attempted, checkpoint, checks FROM cursor_of('timestamptz', '4713-01-01 00:00:00+00 BC', '4713-02-01 00:00:00+00 BC', '2026-01-01 00:00:00+00', '2147483647 months') WHERE step IN ('again', 'last');

--
-- settings of the import don't make the mark another value
--
CREATE TABLE precise (id int, f double precision, tz timestamptz);
CREATE TABLE precise_goal (id int PRIMARY KEY);
INSERT INTO precise VALUES (1, 0.99999999999999989, '2026-10-25 00:30+00');
SELECT idem_import_create('precise', 'precise', 'precise_goal', key => ARRAY['id'], cursor_column => 'f', settings => '{"extra_float_digits": -10, "DateStyle": "Postgres, DMY"}');
SELECT attempted, checkpoint, checks FROM track('precise');
INSERT INTO precise VALUES (2, 0.99999999999999994, '2026-10-25 00:30+00');
SELECT attempted, inserted, checkpoint, checks FROM track('precise');
SELECT idem_import_alter('precise', cursor_column => 'tz');
SELECT attempted, checkpoint, checks FROM track('precise');
SELECT attempted, checkpoint, checks FROM track('precise');
SELECT idem_import_drop('precise', true);

--
-- ties, rows that go, rows without a cursor
--
CREATE TABLE stage (id int, v text, seq bigint);
CREATE TABLE goal (id int PRIMARY KEY, v text);
CREATE VIEW mark AS SELECT import, track, CASE WHEN track = 'cursor' THEN checkpoint END AS mark, mark_at, kind, cluster IS NOT NULL AS has_cluster, run_id IS NOT NULL AS by_run FROM idem_import_checkpoint;
INSERT INTO stage SELECT g, 'v' || g, g / 3 FROM generate_series(1, 8) g;
-- the column need not be imported
SELECT idem_import_create('seq', 'stage', 'goal', key => ARRAY['id'], cursor_column => 'seq');
SELECT columns, cursor_column, track FROM idem_import_definition WHERE name = 'seq';
SELECT * FROM track('seq');
TABLE mark;
SELECT * FROM track('seq');
INSERT INTO stage VALUES (9, 'joins the tie', 2), (10, 'below', 1);
SELECT * FROM track('seq');
SELECT count(*) FILTER (WHERE id = 9) AS tie, count(*) FILTER (WHERE id = 10) AS below FROM goal;
-- the mark does not go back
DELETE FROM stage WHERE seq = 2;
SELECT * FROM track('seq');
DELETE FROM stage WHERE seq < 2;
SELECT * FROM track('seq');
INSERT INTO stage VALUES (11, 'below', 1), (12, 'above', 5);
SELECT * FROM track('seq');
-- but where all is read anew it is what there is
DELETE FROM stage WHERE seq = 5;
SELECT * FROM track('seq', force => true);
INSERT INTO stage VALUES (12, 'twelve', 5), (13, 'none', NULL);
SELECT * FROM refused($$SELECT idem_import_run('seq')$$);
TABLE mark;
SELECT idem_import_alter('seq', reject_limit => 1);
SELECT * FROM track('seq');
SELECT * FROM track('seq');
SELECT "row", sqlstate, message, attempts, resolved_at IS NOT NULL AS resolved FROM idem_import_reject WHERE import = 'seq';
UPDATE stage SET seq = 6 WHERE id = 13;
SELECT * FROM track('seq');
-- of one key the latest wins, in one run as in two
INSERT INTO stage VALUES (12, 'newer', 8), (12, 'new', 7), (14, 'x', 9), (14, 'x', 9);
SELECT * FROM track('seq');
SELECT * FROM goal WHERE id = 12;
INSERT INTO stage VALUES (14, 'y', 9);
SELECT code, message FROM refused($$SELECT idem_import_run('seq')$$);
DELETE FROM stage WHERE v = 'y';
SELECT * FROM track('seq');
-- an empty target is filled from the start, whatever the checkpoint says
TRUNCATE goal;
SELECT * FROM track('seq');
SELECT * FROM track('seq');

--
-- what a caller chooses to read does not count
--
CREATE TABLE other (id int, v text, seq bigint);
INSERT INTO other VALUES (100, 'other', 100);
SELECT * FROM track('seq', source => 'other');
TABLE mark;
SELECT * FROM idem_import_prove('seq') p(idempotent, unit);
TABLE mark;
-- what is rolled back has not been read
BEGIN;
INSERT INTO stage VALUES (15, 'rolled back', 15);
SELECT * FROM track('seq');
ROLLBACK;
TABLE mark;
BEGIN;
INSERT INTO stage VALUES (15, 'first', 15);
SELECT * FROM track('seq');
SAVEPOINT s;
INSERT INTO stage VALUES (16, 'second', 16);
SELECT * FROM track('seq');
ROLLBACK TO s;
INSERT INTO stage VALUES (17, 'third', 17);
SELECT * FROM track('seq');
COMMIT;
SELECT * FROM track('seq');

--
-- rewind
--
SELECT * FROM refused($$SELECT idem_import_rewind('seq', '18')$$);
SELECT * FROM refused($$SELECT idem_import_rewind('seq', 'soon')$$);
SELECT * FROM refused($$SELECT idem_import_rewind('nobody')$$);
SELECT * FROM refused($$SELECT idem_import_rewind(NULL)$$);
SELECT idem_import_rewind('seq', '17');
SELECT idem_import_rewind('seq', ' 7 ');
TABLE mark;
SELECT * FROM refused($$SELECT idem_import_rewind('seq', '8')$$);
SELECT * FROM track('seq');
SELECT idem_import_rewind('seq');
TABLE mark;
SELECT * FROM refused($$SELECT idem_import_rewind('seq', '7')$$);
SELECT idem_import_rewind('seq');
SELECT * FROM track('seq');
CREATE ROLE checkpoints_other;
GRANT USAGE ON SCHEMA checkpoints TO checkpoints_other;
SET ROLE checkpoints_other;
SELECT * FROM refused($$SELECT idem_import_rewind('seq')$$);
SELECT count(*) FROM idem_import_checkpoint;
SELECT * FROM refused($$DELETE FROM idem_import_checkpoint$$);
RESET ROLE;

--
-- alter: what was read still holds, unless other rows or values are wanted
--
SELECT idem_import_alter('seq', delete_limit => 0.1, reject_limit => 5, batch_size => 3, overlap => '2', method => 'diff');
SELECT * FROM track('seq');
SELECT idem_import_alter('seq', batch_size => 0, overlap => '');
SELECT idem_import_alter('seq', columns => ARRAY['id']);
SELECT * FROM track('seq');
SELECT idem_import_alter('seq', columns => ARRAY['id', 'v'], mode => 'insert_only');
SELECT * FROM track('seq');
SELECT idem_import_alter('seq', mode => 'merge', order_by => 'seq DESC');
SELECT * FROM track('seq');
SELECT idem_import_alter('seq', source => 'other');
SELECT * FROM track('seq');
SELECT idem_import_alter('seq', settings => '{"TimeZone": "Asia/Tokyo"}');
SELECT idem_import_alter('seq', track => 'none');
SELECT * FROM track('seq');
SELECT * FROM refused($$SELECT idem_import_rewind('seq')$$);
SELECT idem_import_alter('seq', source => 'stage', cursor_column => 'seq', order_by => '');
SELECT * FROM track('seq');
-- what can't be tracked
SELECT * FROM refused($$SELECT idem_import_alter('seq', mode => 'overwrite')$$);
SELECT * FROM refused($$SELECT idem_import_alter('seq', delete_missing => true)$$);
SELECT * FROM refused($$SELECT idem_import_alter('seq', cursor_column => 'no such')$$);
SELECT * FROM refused($$SELECT idem_import_alter('seq', track => 'cursor', cursor_column => '')$$);
SELECT * FROM refused($$SELECT idem_import_alter('seq', track => 'sideways')$$);
SELECT * FROM refused($$SELECT idem_import_create('no', 'SELECT * FROM stage WHERE id = $1', 'goal', key => ARRAY['id'], scope => ARRAY['id'], cursor_column => 'seq')$$);
-- the cursor column has another type: '17' is no mark among texts
ALTER TABLE stage ALTER seq TYPE text;
INSERT INTO stage VALUES (20, 'text', '100');
SELECT * FROM track('seq');
SELECT * FROM track('seq');
ALTER TABLE stage ALTER seq TYPE text COLLATE "POSIX";
SELECT * FROM refused($$SELECT idem_import_rewind('seq', '1')$$);
SELECT * FROM track('seq');
-- dropped, and created again
SELECT idem_import_drop('seq');
TABLE mark;
SELECT idem_import_create('seq', 'stage', 'goal', key => ARRAY['id'], cursor_column => 'seq', order_by => 'length(seq) DESC, seq DESC');
SELECT * FROM track('seq');
SELECT idem_import_drop('seq', true);

--
-- modes, views and queries
--
CREATE TABLE versions (id int, v text, version int, seq int);
CREATE TABLE kept (id int PRIMARY KEY, v text, version int);
CREATE VIEW seen AS SELECT id, v, version, seq FROM versions WHERE v <> 'hidden';
INSERT INTO versions VALUES (1, 'a', 5, 1), (2, 'b', 5, 2);
SELECT idem_import_create('only', 'seen', 'kept', mode => 'insert_only', key => ARRAY['id'], cursor_column => 'seq');
SELECT * FROM track('only');
INSERT INTO versions VALUES (1, 'stays out', 9, 3), (3, 'c', 1, 3), (4, 'hidden', 1, 4);
SELECT * FROM track('only');
SELECT idem_import_drop('only', true);
SELECT idem_import_create('versioned', 'SELECT id, v, version, seq * 10 AS cursor FROM versions', 'kept', key => ARRAY['id'], version_column => 'version', cursor_column => 'cursor');
SELECT * FROM track('versioned');
INSERT INTO versions VALUES (1, 'older', 6, 5), (2, 'newer', 6, 5);
SELECT * FROM track('versioned');
TABLE kept ORDER BY id;
SELECT idem_import_drop('versioned', true);

--
-- units that the rows name
--
CREATE TABLE days (day date, id int, v text, seq int);
CREATE TABLE per_day (day date, id int, v text, PRIMARY KEY (day, id));
INSERT INTO days SELECT date '2026-01-01' + g % 3, g, 'v', g FROM generate_series(1, 6) g;
SELECT idem_import_create('days', 'days', 'per_day', key => ARRAY['day', 'id'], scope => ARRAY['day'], cursor_column => 'seq');
SELECT * FROM track('days');
SELECT * FROM track('days');
INSERT INTO days VALUES ('2026-01-02', 7, 'late', 7), ('2026-01-09', 8, 'new', 8);
SELECT * FROM track('days');
-- a unit that is named is read whole
UPDATE days SET v = 'w' WHERE id = 1;
SELECT idem_import_alter('days', out_of_scope => 'ignore');
SELECT * FROM track('days');
UPDATE days SET v = 'x' WHERE id = 2;
SELECT * FROM track('days', '2026-01-03');
SELECT unit, status, source_rows, target_rows FROM idem_import_ledger WHERE import = 'days' ORDER BY unit;
-- rows that belong nowhere are read, and the mark passes them
INSERT INTO days VALUES (NULL, 9, 'nowhere', 9);
SELECT * FROM track('days');
DELETE FROM days WHERE seq = 8;
SELECT * FROM track('days');
TABLE mark;
SELECT idem_import_drop('days', true);

--
-- track => 'snapshot'
--
CREATE TABLE log (id int, v text);
CREATE TABLE log_goal (id int PRIMARY KEY, v text);
INSERT INTO log SELECT g, 'v' FROM generate_series(1, 5) g;
SELECT idem_import_create('log', 'log', 'log_goal', key => ARRAY['id'], track => 'snapshot');
SELECT * FROM track('log');
TABLE mark;
SELECT * FROM track('log');
-- updates are found, and rows of any subtransaction
UPDATE log SET v = 'w' WHERE id = 3;
BEGIN;
INSERT INTO log VALUES (6, 'outside');
SAVEPOINT a;
INSERT INTO log VALUES (7, 'released');
SAVEPOINT b;
INSERT INTO log VALUES (8, 'inner');
RELEASE a;
SAVEPOINT c;
INSERT INTO log VALUES (9, 'gone');
ROLLBACK TO c;
COMMIT;
SELECT * FROM track('log');
SELECT * FROM track('log');
-- what a transaction writes before its run, and after
BEGIN;
INSERT INTO log VALUES (10, 'before');
SELECT * FROM track('log');
INSERT INTO log VALUES (11, 'between');
SAVEPOINT s;
INSERT INTO log VALUES (12, 'in a subtransaction');
SELECT * FROM track('log');
RELEASE s;
INSERT INTO log VALUES (13, 'after');
COMMIT;
SELECT * FROM track('log');
SELECT * FROM track('log');
-- a rolled back run has read nothing
BEGIN;
INSERT INTO log VALUES (14, 'rolled back');
SELECT * FROM track('log');
ROLLBACK;
INSERT INTO log VALUES (14, 'fourteen');
SELECT * FROM track('log');
SELECT (SELECT count(*) FROM log) = (SELECT count(*) FROM log_goal) AS complete;
-- rows keep who wrote them when they are frozen or moved
INSERT INTO log VALUES (15, 'to be frozen');
VACUUM (FREEZE) log;
SELECT * FROM track('log');
INSERT INTO log VALUES (16, 'to be moved');
VACUUM (FULL, FREEZE) log;
SELECT * FROM track('log');
CREATE INDEX log_id ON log (id);
INSERT INTO log VALUES (17, 'to be clustered');
CLUSTER log USING log_id;
SELECT * FROM track('log');
SELECT * FROM track('log');
-- rewind
SELECT checkpoint AS here, split_part(checkpoint, ':', 2)::bigint + 100 AS ahead FROM idem_import_checkpoint WHERE import = 'log' \gset
INSERT INTO log VALUES (18, 'x');
SELECT * FROM track('log');
SELECT code, regexp_replace(message, '\d+', 'N', 'g') AS message, regexp_replace(detail, '\d+', 'N', 'g') AS detail FROM refused(format($$SELECT idem_import_rewind('log', '%s:%s:')$$, :ahead, :ahead));
SELECT * FROM refused($$SELECT idem_import_rewind('log', 'yesterday')$$);
SELECT idem_import_rewind('log', :'here');
SELECT unit, inserted, attempted >= 1 AS some, checks FROM track('log');
SELECT idem_import_rewind('log');
SELECT * FROM track('log');
-- another server's transactions tell nothing
SET session_replication_role = replica;
UPDATE idem_import_checkpoint SET cluster = '1/1' WHERE import = 'log';
RESET session_replication_role;
SELECT * FROM track('log');
SELECT * FROM track('log');
-- only a plain table's rows know who wrote them
CREATE TABLE parts (id int, v text) PARTITION BY LIST (id);
SELECT * FROM refused($$SELECT idem_import_alter('log', source => 'parts')$$);
SELECT * FROM refused($$SELECT idem_import_alter('log', source => 'SELECT * FROM log')$$);
SELECT * FROM refused($$SELECT idem_import_alter('log', source => 'seen')$$);
SELECT * FROM refused($$SELECT idem_import_alter('log', cursor_column => 'id')$$);
-- nor does one with children, whose rows may be old when they join
CREATE TABLE child (id int, v text);
INSERT INTO child VALUES (50, 'child');
SELECT * FROM track('log');
ALTER TABLE child INHERIT log;
SELECT * FROM track('log');
SELECT * FROM refused($$SELECT idem_import_alter('log', key => ARRAY['id'], order_by => 'v')$$);
ALTER TABLE child NO INHERIT log;
SELECT * FROM track('log');
SELECT idem_import_drop('log', true);
TABLE mark;

--
-- which transactions a snapshot may not have seen
--
SELECT pg_current_xact_id()::text::bigint AS now \gset
SELECT x, idem_import_unseen(x::text::xid, '100:110:103,105') FROM unnest(ARRAY[0, 1, 2, 3, 99, 100, 102, 103, 104, 105, 109, 110, 111]) x;
-- a number that has not been given yet is one of the last round, where there has been one
SELECT idem_import_unseen(:now::text::xid, format('%s:%s:', :now, :now)::pg_snapshot) AS own,
	idem_import_unseen(:now::text::xid, format('%s:%s:', :now + 1, :now + 1)::pg_snapshot) AS before,
	idem_import_unseen('3'::xid, format('%s:%s:', :now, :now)::pg_snapshot) AS old,
	idem_import_unseen(NULL, '1:1:') AS no_xid, idem_import_unseen('5'::xid, NULL) AS no_snapshot;

SET client_min_messages = warning;
DROP SCHEMA checkpoints CASCADE;
DROP ROLE checkpoints_other;
