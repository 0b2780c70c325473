-- batches: sizes, keys that must not be torn apart, and what is committed when one fails

CREATE SCHEMA batches;
SET search_path = batches, public;
SET client_min_messages = notice;
SET client_encoding = 'UTF8';
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

-- the runs of a call, one after the other
CREATE VIEW runs AS SELECT import, unit, status, inserted + updated + unchanged + stale + collapsed + rejected + deleted AS attempted,
	inserted, updated, unchanged, collapsed, rejected, checkpoint, sqlstate FROM idem_import_history ORDER BY run_id;

--
-- sizes
--
CREATE TABLE stage (id int, v text);
CREATE TABLE goal (id int PRIMARY KEY, v text);
INSERT INTO stage SELECT g, 'v' || g FROM generate_series(1, 6) g;
SELECT idem_import_create('sized', 'stage', 'goal', key => ARRAY['id']);
CREATE PROCEDURE try_size(size bigint) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM idem_import_alter('sized', batch_size => size);
	TRUNCATE goal;
	DELETE FROM idem_import_history WHERE import = 'sized';
	COMMIT;
	CALL idem_import_run_units('sized');
	RAISE NOTICE 'size %: % of % rows in runs of %', size, (SELECT count(*) FROM goal JOIN stage USING (id, v)), (SELECT count(*) FROM stage),
		(SELECT array_agg(attempted) FROM runs WHERE import = 'sized');
	UPDATE stage SET v = v || '+' WHERE id = 4;
	COMMIT;
	CALL idem_import_run_units('sized');
	RAISE NOTICE 'again: %', (SELECT array_agg((attempted, updated)) FROM runs WHERE import = 'sized');
END $$;
CALL try_size(1);
CALL try_size(2);
CALL try_size(3);
CALL try_size(4);
CALL try_size(6);
CALL try_size(7);
CALL try_size(9223372036854775807);
CALL try_size(0);
SELECT * FROM refused($$SELECT idem_import_alter('sized', batch_size => -1)$$);
SELECT * FROM refused($$SELECT idem_import_create('none', 'stage', 'goal', key => ARRAY['id'], batch_size => 0)$$);
SELECT * FROM refused($$SELECT idem_import_alter('sized', batch_size => 2, mode => 'overwrite')$$);
SELECT * FROM refused($$SELECT idem_import_alter('sized', batch_size => 2, delete_missing => true)$$);
-- nothing to read
CREATE TABLE nothing (id int, v text);
SELECT idem_import_create('nothing', 'nothing', 'goal', key => ARRAY['id'], batch_size => 2);
CALL idem_import_run_units('nothing');
SELECT * FROM runs WHERE import = 'nothing';
-- in one transaction it is one result, whatever the size
SELECT idem_import_alter('sized', batch_size => 4);
UPDATE stage SET v = v || '*';
INSERT INTO stage SELECT g, 'new' FROM generate_series(7, 9) g;
INSERT INTO stage VALUES (9, 'new');
SELECT * FROM again('sized');
SELECT idem_import_drop('sized', true), idem_import_drop('nothing', true);

--
-- rows of one key stay together
--
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE keyed_stage (a text, b text, seq int);
CREATE TABLE keyed_goal (a text COLLATE nocase, b int, seq int);
CREATE UNIQUE INDEX ON keyed_goal (a, b) NULLS NOT DISTINCT;
INSERT INTO keyed_stage SELECT * FROM (VALUES ('a', '1', 1), ('A', '01', 2), ('a', ' 1', 3), ('B', '1', 4), ('b', '1', 5),
	(NULL, '1', 6), (NULL, '01', 7), (NULL, NULL, 8), (NULL, NULL, 9), ('c', NULL, 10), ('C', NULL, 11), ('c', '2', 12)) v;
CREATE FUNCTION winners() RETURNS text LANGUAGE sql AS
	$$SELECT string_agg(format('%s/%s:%s', a, b, seq), ' ' ORDER BY seq) FROM keyed_goal$$;
SELECT idem_import_create('keyed', 'keyed_stage', 'keyed_goal', key => ARRAY['a', 'b'], null_key => 'match', order_by => 'seq DESC');
SELECT attempted, inserted, collapsed FROM idem_import_run('keyed');
SELECT winners() AS whole \gset
SELECT :'whole';
CREATE PROCEDURE try_keys(sizes bigint[]) LANGUAGE plpgsql AS $$
DECLARE
	whole text := winners();
BEGIN
	FOR i IN 1 .. cardinality(sizes) LOOP
		PERFORM idem_import_alter('keyed', batch_size => sizes[i]);
		TRUNCATE keyed_goal;
		DELETE FROM idem_import_history WHERE import = 'keyed';
		COMMIT;
		CALL idem_import_run_units('keyed');
		RAISE NOTICE 'size %: %, %', sizes[i], CASE WHEN winners() = whole THEN 'the same' ELSE winners() END,
			(SELECT array_agg((attempted, inserted, updated, collapsed)) FROM runs WHERE import = 'keyed');
		TRUNCATE keyed_goal;
		PERFORM idem_import_run('keyed');
		IF winners() <> whole THEN
			RAISE 'one transaction: %', winners();
		END IF;
	END LOOP;
END $$;
CALL try_keys(ARRAY[1, 2, 3, 5, 11, 12, 13]);
SELECT idem_import_alter('keyed', null_key => 'reject', reject_limit => 100);
TRUNCATE keyed_goal;
SELECT attempted, inserted, collapsed, rejected FROM idem_import_run('keyed');
CALL try_keys(ARRAY[1, 4]);
SELECT count(*), count(DISTINCT row_hash) FROM idem_import_reject WHERE import = 'keyed' AND resolved_at IS NULL;
SELECT idem_import_drop('keyed', true);
-- a key as the target stores it: numeric(5,1), char(3), timestamp(0)
CREATE TABLE rounded_stage (n numeric, c text, ts timestamp, seq int);
CREATE TABLE rounded_goal (n numeric(5,1), c char(3), ts timestamp(0), seq int, PRIMARY KEY (n, c, ts));
INSERT INTO rounded_stage
SELECT n, c, ts, row_number() OVER (ORDER BY md5(n::text || c || ts))
FROM unnest(ARRAY[1.01, 1.02, 1.04, 1.06]) n, unnest(ARRAY['a', 'a ', 'a  ', 'ab', 'abc']) c,
	unnest(ARRAY[timestamp '2026-01-01 00:00:00.1', '2026-01-01 00:00:00.4', '2026-01-01 00:00:00.6']) ts;
SELECT idem_import_create('rounded', 'rounded_stage', 'rounded_goal', key => ARRAY['n', 'c', 'ts'], order_by => 'seq');
SELECT attempted, inserted, collapsed FROM idem_import_run('rounded');
CREATE TABLE rounded_whole AS TABLE rounded_goal;
TRUNCATE rounded_goal;
SELECT idem_import_alter('rounded', batch_size => 1);
CALL idem_import_run_units('rounded');
SELECT count(*) AS runs, sum(inserted) AS inserted, sum(updated) AS updated, sum(collapsed) AS collapsed FROM runs WHERE import = 'rounded' AND attempted < 60;
(TABLE rounded_whole EXCEPT TABLE rounded_goal) UNION ALL (TABLE rounded_goal EXCEPT TABLE rounded_whole);
SELECT idem_import_drop('rounded', true);
-- a key of a domain
CREATE DOMAIN code AS text CHECK (VALUE <> '');
CREATE TABLE code_goal (k code PRIMARY KEY, v int);
SELECT idem_import_create('codes', 'SELECT g::text AS k, g AS v FROM generate_series(1, 5) g', 'code_goal', key => ARRAY['k'], batch_size => 2);
CALL idem_import_run_units('codes');
SELECT array_agg(inserted) FROM runs WHERE import = 'codes';
SELECT idem_import_drop('codes', true);

--
-- a batch fails
--
CREATE TABLE checked (id int PRIMARY KEY, v text CHECK (v <> 'bad'), seq int);
CREATE TABLE raw (id int, v text, seq int);
INSERT INTO raw SELECT g, CASE WHEN g = 8 THEN 'bad' ELSE 'good' END, g FROM generate_series(1, 10) g;
SELECT idem_import_create('checked', 'raw', 'checked', key => ARRAY['id'], batch_size => 3);
-- what a failure says of the place where it happened, whatever statement was under way
CREATE FUNCTION place(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	context text;
BEGIN
	EXECUTE statement;
	RETURN 'no failure';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
	RETURN sqlerrm || ': ' || substring(context FROM 'import ".*?, batch \d+');
END $$;
-- in one transaction nothing is left of it
SELECT place($$SELECT idem_import_run('checked')$$);
SELECT idem_import_run('checked');
SELECT count(*) FROM checked;
SELECT * FROM runs WHERE import = 'checked';
-- by key: two batches
CALL idem_import_run_units('checked');
SELECT array_agg(id) FROM checked;
SELECT * FROM runs WHERE import = 'checked' AND status <> 'failed' OR sqlstate IS NOT NULL AND import = 'checked';
SELECT unit, status, attempts, sqlstate FROM idem_import_ledger WHERE import = 'checked';
UPDATE raw SET v = 'mended' WHERE v = 'bad';
CALL idem_import_run_units('checked');
SELECT count(*) FROM checked JOIN raw USING (id, v);
SELECT unit, status, attempts, sqlstate FROM idem_import_ledger WHERE import = 'checked';
-- by cursor: the mark stands where the last batch ended
TRUNCATE checked;
UPDATE raw SET v = 'bad' WHERE id = 8;
SELECT idem_import_alter('checked', cursor_column => 'seq');
CALL idem_import_run_units('checked');
SELECT array_agg(id) AS ids, (SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'checked') FROM checked;
UPDATE raw SET v = 'mended' WHERE v = 'bad';
CALL idem_import_run_units('checked');
SELECT count(*), (SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'checked') FROM checked JOIN raw USING (id, v);
SELECT attempted, checkpoint, sqlstate FROM runs WHERE import = 'checked' ORDER BY 2, 1;
-- force: from the start, and the mark with it
UPDATE raw SET v = 'bad' WHERE id = 8;
CALL idem_import_run_units('checked', force => true);
SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'checked';
UPDATE raw SET v = 'mended' WHERE v = 'bad';
CALL idem_import_run_units('checked', force => false);
SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'checked';
-- ties are not cut, and an overlap is one batch
UPDATE raw SET seq = 3 WHERE id BETWEEN 3 AND 7;
SELECT idem_import_alter('checked', overlap => '7', batch_size => 2);
DELETE FROM idem_import_history WHERE import = 'checked';
CALL idem_import_run_units('checked');
SELECT idem_import_rewind('checked');
CALL idem_import_run_units('checked');
SELECT attempted, checkpoint FROM runs WHERE import = 'checked';
-- a snapshot holds when all pages have been applied
SELECT idem_import_alter('checked', track => 'snapshot', batch_size => 4);
UPDATE raw SET v = 'bad' WHERE id = 8;
CALL idem_import_run_units('checked');
SELECT count(*) FROM idem_import_checkpoint WHERE import = 'checked';
UPDATE raw SET v = 'mended' WHERE id = 8;
CALL idem_import_run_units('checked');
SELECT track FROM idem_import_checkpoint WHERE import = 'checked';
DELETE FROM idem_import_history WHERE import = 'checked';
UPDATE raw SET v = 'again' WHERE id > 4;
CALL idem_import_run_units('checked');
SELECT attempted, updated FROM runs WHERE import = 'checked';
-- the call says how much of it is committed
\set SHOW_CONTEXT always
UPDATE raw SET seq = id;
INSERT INTO raw VALUES (NULL, 'no key', 8);
TRUNCATE checked;
SELECT idem_import_alter('checked', cursor_column => 'seq', track => 'cursor', batch_size => 3);
CALL idem_import_run_units('checked');
\set SHOW_CONTEXT never
SELECT array_agg(id) FROM checked;
-- the limit of rejects is one of each batch
INSERT INTO raw VALUES (NULL, 'no key either', 1);
SELECT idem_import_alter('checked', reject_limit => 1);
CALL idem_import_run_units('checked', force => true);
SELECT count(*) FROM checked;
SELECT "row" FROM idem_import_reject WHERE import = 'checked' AND resolved_at IS NULL ORDER BY "row"::text;
SELECT place($$SELECT idem_import_run('checked', force => true)$$);
SELECT idem_import_drop('checked', true);

-- what is checked at the commit fails with its batch, too
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
INSERT INTO parent SELECT generate_series(1, 4);
SELECT idem_import_create('deferred', 'SELECT g AS id, g AS parent FROM generate_series(1, 6) g', 'child', key => ARRAY['id'], batch_size => 2);
\set SHOW_CONTEXT always
CALL idem_import_run_units('deferred');
\set SHOW_CONTEXT never
SELECT array_agg(id) FROM child;
SELECT status, sqlstate FROM runs WHERE import = 'deferred';
INSERT INTO parent VALUES (5), (6);
CALL idem_import_run_units('deferred');
SELECT count(*) FROM child;
SELECT idem_import_drop('deferred', true);

--
-- units
--
CREATE TABLE days (day date, id int, v text, seq int);
CREATE TABLE per_day (day date, id int, v text CHECK (v <> 'bad'), PRIMARY KEY (day, id));
INSERT INTO days SELECT date '2026-01-01' + g / 4, g, 'v', g FROM generate_series(0, 11) g;
SELECT idem_import_create('days', 'days', 'per_day', key => ARRAY['day', 'id'], scope => ARRAY['day']);
-- each on its own
UPDATE days SET v = 'bad' WHERE id = 5;
CALL idem_import_run_units('days');
SELECT day, count(*) FROM per_day GROUP BY 1;
SELECT unit, status, sqlstate FROM idem_import_ledger WHERE import = 'days' ORDER BY 1;
UPDATE days SET v = 'w' WHERE id = 5;
CALL idem_import_run_units('days');
SELECT unit, status, attempted, inserted FROM runs WHERE import = 'days';
SELECT unit, status, sqlstate FROM idem_import_ledger WHERE import = 'days' ORDER BY 1;
-- and each in batches
SELECT idem_import_alter('days', batch_size => 3);
DELETE FROM idem_import_history WHERE import = 'days';
TRUNCATE per_day;
CALL idem_import_run_units('days');
SELECT unit, status, attempted, inserted FROM runs WHERE import = 'days';
-- a range; what lies outside is looked at first
CALL idem_import_run_units('days', '[2026-01-01,2026-01-02]');
SELECT idem_import_alter('days', out_of_scope => 'reject', reject_limit => 4);
DELETE FROM idem_import_history WHERE import = 'days';
TRUNCATE per_day;
CALL idem_import_run_units('days', '[2026-01-01,2026-01-02]');
SELECT unit, status, attempted, inserted, rejected FROM runs WHERE import = 'days';
SELECT unit, count(*) FROM idem_import_reject WHERE import = 'days' AND resolved_at IS NULL GROUP BY 1;
SELECT idem_import_alter('days', out_of_scope => 'ignore');
DELETE FROM idem_import_history WHERE import = 'days';
TRUNCATE per_day;
CALL idem_import_run_units('days', '[2026-01-02,2026-01-04]');
CALL idem_import_run_units('days', '2026-01-01');
SELECT unit, status, attempted, inserted, rejected FROM runs WHERE import = 'days';
-- rows of no unit
INSERT INTO days VALUES (NULL, 99, 'nowhere', 99);
SELECT idem_import_alter('days', out_of_scope => 'error');
CALL idem_import_run_units('days');
SELECT idem_import_alter('days', out_of_scope => 'ignore', cursor_column => 'seq', batch_size => 1);
-- pages without a row that counts
UPDATE days SET day = NULL WHERE id BETWEEN 3 AND 8;
DELETE FROM idem_import_history WHERE import = 'days';
TRUNCATE per_day;
CALL idem_import_run_units('days');
SELECT unit, status, attempted, checkpoint FROM runs WHERE import = 'days';
SELECT (SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'days'), (SELECT count(*) FROM per_day) = (SELECT count(*) FROM days WHERE day IS NOT NULL) AS complete;
SELECT idem_import_drop('days', true);
-- slices of a text column, overwritten
UPDATE days SET day = date '2026-01-01' + id;
DELETE FROM days WHERE id = 99;
CREATE TABLE sliced (day date, id int, v text);
SELECT idem_import_create('sliced', 'SELECT day::text AS day, id, v FROM days', 'sliced', mode => 'overwrite', scope => ARRAY['day'], slice => '5 days', out_of_scope => 'ignore');
CALL idem_import_run_units('sliced');
CALL idem_import_run_units('sliced', '[2026-01-06,2026-01-20)');
SELECT unit, status, attempted FROM runs WHERE import = 'sliced';
SELECT idem_import_drop('sliced', true);
-- parameters of the source
SELECT idem_import_create('params', 'SELECT day, id, v FROM days WHERE day = $1', 'per_day', key => ARRAY['day', 'id'], scope => ARRAY['day'], batch_size => 2);
CALL idem_import_run_units('params');
INSERT INTO days SELECT '2026-01-02', g, 'v', g FROM generate_series(20, 23) g;
TRUNCATE per_day;
CALL idem_import_run_units('params', '[2026-01-01,2026-01-03]');
SELECT unit, status, attempted, inserted FROM runs WHERE import = 'params';
SELECT idem_import_drop('params', true);
-- the scope is not in the key: a row may go from one unit to the other, so they are one step
CREATE TABLE moving (day date, id int PRIMARY KEY, v text);
SELECT idem_import_create('moving', 'SELECT day, id, v FROM days', 'moving', key => ARRAY['id'], scope => ARRAY['day']);
CALL idem_import_run_units('moving');
UPDATE days SET day = day + 1;
CALL idem_import_run_units('moving');
SELECT count(*) FROM moving JOIN days USING (day, id, v);
SELECT idem_import_drop('moving', true);

--
-- who may call it, and where
--
SELECT idem_import_create('plain', 'stage', 'goal', key => ARRAY['id'], batch_size => 4);
TRUNCATE goal;
CALL idem_import_run_units(NULL);
CALL idem_import_run_units('');
CALL idem_import_run_units('plain', force => NULL);
CALL idem_import_run_units('nobody');
CALL idem_import_run_units('plain', '2026-01-01');
BEGIN;
CALL idem_import_run_units('plain');
ROLLBACK;
CREATE FUNCTION in_function() RETURNS void LANGUAGE plpgsql AS $$BEGIN CALL idem_import_run_units('plain'); END$$;
SELECT in_function();
CREATE FUNCTION in_sql() RETURNS void LANGUAGE sql AS $$CALL idem_import_run_units('plain')$$;
SELECT in_sql();
-- a failure that is caught would take back what was committed
DO $$BEGIN CALL idem_import_run_units('plain'); EXCEPTION WHEN division_by_zero THEN NULL; END$$;
SELECT count(*) FROM goal;
DO $$BEGIN CALL idem_import_run_units('plain'); END$$;
SELECT count(*) FROM goal;
CREATE PROCEDURE twice() LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	DELETE FROM goal WHERE id = 1;
	CALL idem_import_run_units('plain');
	ROLLBACK;
	FOR r IN SELECT id FROM goal ORDER BY id LIMIT 2 LOOP
		CALL idem_import_run_units('plain', force => true);
		INSERT INTO stage VALUES (100 + r.id, 'from a loop');
		COMMIT;
	END LOOP;
	CALL idem_import_run_units('plain');
	RAISE NOTICE '% of % rows', (SELECT count(*) FROM goal), (SELECT count(DISTINCT id) FROM stage);
END $$;
CALL twice();
CREATE ROLE batches_other;
GRANT USAGE ON SCHEMA batches TO batches_other;
SET ROLE batches_other;
CALL idem_import_run_units('plain');
RESET ROLE;
BEGIN READ ONLY;
CALL idem_import_run_units('plain');
ROLLBACK;
SET default_transaction_read_only = on;
CALL idem_import_run_units('plain');
RESET default_transaction_read_only;
SELECT idem_import_drop('plain', true);

--
-- memory does not grow with the number of units and pages
--
CREATE TABLE many (u int, id int, PRIMARY KEY (u, id));
CREATE TABLE used (n serial, bytes numeric);
CREATE FUNCTION note_memory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO used (bytes) SELECT sum(used_bytes) FROM pg_backend_memory_contexts;
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON many EXECUTE FUNCTION note_memory();
SELECT idem_import_create('many', 'SELECT u, id FROM generate_series(1, 250) u, generate_series(1, 2) id', 'many', key => ARRAY['u', 'id'], scope => ARRAY['u'], batch_size => 1);
CALL idem_import_run_units('many');
SELECT count(*) AS runs, (SELECT count(*) FROM many) AS rows,
	max(bytes) FILTER (WHERE n > 400) - min(bytes) FILTER (WHERE n BETWEEN 100 AND 200) < 200000 AS steady FROM used;
SELECT idem_import_drop('many', true);

SET client_min_messages = warning;
DROP SCHEMA batches CASCADE;
DROP ROLE batches_other;
