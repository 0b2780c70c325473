-- what a run refuses: II001 to II006, each leaving the target untouched and a record behind

CREATE SCHEMA refusals;
SET search_path = refusals, public;
SET client_min_messages = warning;
\pset format unaligned
\pset tuples_only on

-- runs a statement: ok, or its SQLSTATE, message, detail and hint
CREATE FUNCTION try(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	m text; d text; h text;
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ' ' || m, '  detail: ' || nullif(d, ''), '  hint: ' || nullif(h, ''));
END $$;

-- the same for a declaration of that source, into a table that has a column of each name
CREATE TABLE any_target (
	id text PRIMARY KEY, x text, y text, z text, grp text, at text, d text, status text, day text, t text, loaded_at text);
CREATE FUNCTION try_source(source text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	outcome text := try(format('SELECT idem_import_create(%L, %L, %L, mode => %L)', 'a', source, 'any_target', 'overwrite'));
BEGIN
	IF outcome = 'ok' THEN
		PERFORM idem_import_drop('a', true);
	END IF;
	RETURN outcome;
END $$;

--
-- II002: the source could read differently the next time
--
CREATE TABLE staged (id int, at timestamptz, d date, status text, grp int, day text);
CREATE SEQUENCE numbers;
CREATE VIEW clocked AS SELECT id, now() AS loaded_at FROM staged;
CREATE VIEW "Nest""ed" AS SELECT * FROM clocked WHERE id > 0;
CREATE MATERIALIZED VIEW frozen AS SELECT id, now() AS loaded_at FROM staged;
CREATE VIEW sampled AS SELECT * FROM staged TABLESAMPLE system (50);
CREATE FUNCTION plain_volatile() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION plain_stable() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 1; END';
CREATE FUNCTION clean_volatile(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT $1 + 1';
CREATE FUNCTION clean_atomic(i int) RETURNS int LANGUAGE sql VOLATILE BEGIN ATOMIC SELECT i; SELECT i + 1; END;
CREATE FUNCTION lying(int) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS 'SELECT now()';
CREATE FUNCTION lying_atomic() RETURNS date LANGUAGE sql IMMUTABLE RETURN CURRENT_DATE;
CREATE FUNCTION outer_one(i int) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS 'SELECT lying(outer_one.i)';
CREATE FUNCTION some_rows() RETURNS SETOF staged LANGUAGE sql AS 'SELECT * FROM staged LIMIT 3';
CREATE FUNCTION rows_of(int) RETURNS SETOF staged LANGUAGE sql AS 'SELECT * FROM staged WHERE grp = $1';
CREATE FUNCTION quoted_today() RETURNS date LANGUAGE sql IMMUTABLE AS $$SELECT date 'today'$$;
CREATE FUNCTION writing() RETURNS int LANGUAGE sql AS 'INSERT INTO staged (id) VALUES (1); SELECT 1';
CREATE FUNCTION odd_eq(int, int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN true; END';
CREATE OPERATOR =?= (LEFTARG = int, RIGHTARG = int, FUNCTION = odd_eq);
CREATE DOMAIN past AS timestamptz CHECK (VALUE < now());
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION defaulted(i int, at timestamptz DEFAULT now()) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN at; END';

SELECT s || ' -> ' || try_source(s) FROM unnest(ARRAY[
	'clocked', '"Nest""ed"', 'sampled',
	'SELECT id, now() AS at FROM staged',
	'SELECT id FROM staged WHERE at > transaction_timestamp() - interval ''1 day''',
	'SELECT id, clock_timestamp() AS at FROM staged',
	'SELECT id, CURRENT_DATE AS d FROM staged',
	'SELECT id, LOCALTIME AS t FROM staged',
	'SELECT id, age(at) AS t FROM staged',
	'SELECT id, at::past FROM staged',
	'SELECT defaulted(id) AS at, id FROM staged',
	'SELECT id FROM staged WHERE d = ''today''::date',
	'SELECT ''now''::timestamptz AS at, 1 AS id',
	'SELECT date('' Yesterday '') AS d, 1 AS id',
	'SELECT id FROM staged WHERE d <@ ''[yesterday,tomorrow)''::daterange',
	'SELECT id, quoted_today() AS d FROM staged',
	'SELECT nextval(''numbers'') AS id',
	'SELECT id, random() AS x FROM staged',
	'SELECT id FROM staged ORDER BY random()',
	'SELECT gen_random_uuid() AS id',
	'SELECT plain_volatile() AS id',
	'SELECT id FROM staged WHERE id =?= grp',
	'SELECT id, lying(id) AS at FROM staged',
	'SELECT id, lying_atomic() AS d FROM staged',
	'SELECT id, outer_one(id) AS at FROM staged',
	'SELECT * FROM some_rows()',
	'SELECT writing() AS id',
	'SELECT id, txid_current() AS x FROM staged',
	'SELECT id, pg_backend_pid() AS x FROM staged',
	'SELECT relname AS id, n_live_tup AS x FROM pg_stat_user_tables',
	'SELECT * FROM staged TABLESAMPLE bernoulli (50) REPEATABLE (1)',
	'SELECT * FROM staged LIMIT 5',
	'SELECT * FROM staged OFFSET 5',
	'SELECT * FROM staged FETCH FIRST ROW ONLY',
	'SELECT (SELECT id FROM staged s WHERE s.grp = t.grp LIMIT 1) AS id FROM staged t',
	'SELECT DISTINCT ON (grp) grp, id FROM staged',
	'SELECT DISTINCT ON (grp) grp, id FROM staged ORDER BY grp',
	'SELECT id FROM staged FOR UPDATE SKIP LOCKED',
	-- and these are fine
	'staged', 'frozen',
	'SELECT id, at::date AS d, current_user AS x FROM staged WHERE status = ''now'' OR status = ''today''::text',
	'SELECT clean_volatile(id) AS x, clean_atomic(id) AS y, plain_stable() AS z, id FROM staged',
	'SELECT id::positive FROM staged',
	'SELECT * FROM rows_of(1)',
	'SELECT defaulted(1, at => ''2026-01-01'') AS at, id FROM staged',
	'SELECT id, ''infinity''::timestamptz AS at FROM staged',
	'SELECT * FROM staged ORDER BY id LIMIT 5',
	'SELECT * FROM staged LIMIT ALL',
	'SELECT max(id) AS id FROM staged LIMIT 1',
	'SELECT * FROM staged t WHERE EXISTS (SELECT FROM staged s WHERE s.grp = t.id LIMIT 1)',
	'SELECT DISTINCT ON (grp) grp, id FROM staged ORDER BY grp, id',
	'SELECT DISTINCT grp AS id FROM staged'
]) WITH ORDINALITY AS u(s, n) ORDER BY n;

-- an expression of order_by is part of the source, and so is a cast that text needs
SELECT try($$SELECT idem_import_create('a', 'staged', 'any_target', key => '{id}', order_by => 'random()')$$);
SELECT try($$SELECT idem_import_create('a', 'staged', 'any_target', key => '{id}', order_by => 'now() - at DESC')$$);
SELECT try($$SELECT idem_import_create('a', 'staged', 'any_target', key => '{id}', order_by => 'd = date ''today''')$$);
CREATE TYPE odd AS (x text);
CREATE FUNCTION to_odd(text) RETURNS odd LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN row($1)::odd; END';
CREATE CAST (text AS odd) WITH FUNCTION to_odd(text) AS ASSIGNMENT;
CREATE TABLE odd_target (id int PRIMARY KEY, status odd);
SELECT try($$SELECT idem_import_create('a', 'staged', 'odd_target', key => '{id}')$$);

-- overwrite leaves nothing to chance; merge may, since the row stays
CREATE TABLE filled (
	id int PRIMARY KEY, constant int DEFAULT 7 + 1, sum int GENERATED ALWAYS AS (id + 1) STORED, clean int DEFAULT clean_volatile(1));
SELECT c || ' -> ' || try(format('ALTER TABLE filled ADD extra %s', c)) || ' '
	|| try($$SELECT idem_import_create('a', 'SELECT 1 AS id', 'filled', mode => 'overwrite'), idem_import_drop('a')$$) || ' '
	|| try($$SELECT idem_import_create('a', 'SELECT 1 AS id, NULL AS extra', 'filled', mode => 'overwrite'), idem_import_drop('a')$$) || ' '
	|| try($$SELECT idem_import_create('a', 'SELECT 1 AS id', 'filled', mode => 'merge', key => '{id}'), idem_import_drop('a')$$) || ' '
	|| try('ALTER TABLE filled DROP extra')
FROM unnest(ARRAY[
	'int', 'timestamptz DEFAULT ''2026-01-01''', 'timestamptz DEFAULT now()', 'bigserial', 'int GENERATED BY DEFAULT AS IDENTITY',
	'int GENERATED ALWAYS AS IDENTITY', 'uuid DEFAULT gen_random_uuid()', 'timestamptz DEFAULT lying(1)', 'past DEFAULT ''2026-01-01'''
]) WITH ORDINALITY AS u(c, n) ORDER BY n;

--
-- What a refused run leaves: nothing in the target, a row in ledger and history
--
CREATE TABLE s (id int, val text, day date);
CREATE TABLE t (id int PRIMARY KEY, val text, day date);
-- the target's rows, as they lie
CREATE FUNCTION lies() RETURNS text LANGUAGE sql AS $$
	SELECT md5(coalesce(string_agg(format('%s %s %s %s', ctid, xmin, xmax, t), ',' ORDER BY ctid), '')) FROM t $$;

-- tries a run, says whether rows moved, and what was written down
CREATE FUNCTION try_run(name text, scope text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	before text := lies();
	last bigint := coalesce((SELECT max(run_id) FROM idem_import_history), 0);
	outcome text := try(format('SELECT idem_import_run(%L, %L)', name, scope));
	line text;
BEGIN
	IF lies() <> before THEN
		outcome := outcome || E'\n  target: changed';
	END IF;
	FOR line IN
		SELECT concat_ws(' ', unit, status, version, sqlstate, message, nullif(detail, ''),
						 CASE WHEN status <> 'awaiting_approval' THEN format('attempted %s rejected %s removed %s', attempted, rejected, removed) END)
		FROM idem_import_history WHERE run_id > last ORDER BY run_id
	LOOP
		outcome := outcome || E'\n  history: ' || line;
	END LOOP;
	FOR line IN
		SELECT concat_ws(' ', unit, status, version, 'attempts', attempts, sqlstate, message, nullif(detail, ''), 'target', target_rows, 'to remove ' || to_remove,
						 'approved' || nullif(approved_by::text, ''))
		FROM idem_import_ledger WHERE import = name AND run_id > last ORDER BY unit
	LOOP
		outcome := outcome || E'\n  ledger: ' || line;
	END LOOP;
	RETURN outcome;
END $$;

-- II002 again: what was fine when it was declared
CREATE VIEW v AS SELECT * FROM s;
CREATE FUNCTION f(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'v' || $1$$;
INSERT INTO s VALUES (1, 'a', '2026-06-09'), (2, 'b', '2026-06-09');
SELECT idem_import_create('a', 'v', 't', key => '{id}');
SELECT idem_import_create('b', 'SELECT id, f(id) AS val FROM s', 't', key => '{id}');
SELECT try_run('a');
CREATE OR REPLACE VIEW v AS SELECT id, now()::text AS val, day FROM s;
SELECT try_run('a');
SELECT try_run('a');
SELECT try($$SELECT idem_import_plan('a')$$);
SELECT try($$SELECT idem_import_prove('a')$$);
CREATE OR REPLACE VIEW v AS SELECT * FROM s;
SELECT try_run('a');
SELECT try_run('b');
CREATE OR REPLACE FUNCTION f(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT random()::text';
SELECT try_run('b');
-- and a source given to the run
CREATE VIEW other AS SELECT id, val, day FROM s WHERE day < now();
SELECT try($$SELECT idem_import_run('a', source => 'other')$$);
SELECT idem_import_drop('b', true);
DROP FUNCTION f(int);
DROP VIEW other;
SELECT idem_import_drop('a', true);
DROP VIEW v;
TRUNCATE s, t;

--
-- II003: two staged rows of a key, and no winner
--
SELECT idem_import_create('a', 's', 't', key => '{id}');
INSERT INTO t VALUES (1, 'old', NULL);
INSERT INTO s VALUES (1, 'x', NULL), (2, 'x', NULL), (2, 'x', NULL);
SELECT try_run('a');
INSERT INTO s VALUES (1, 'y', NULL);
SELECT try_run('a');
SELECT try($$SELECT idem_import_plan('a')$$);
SELECT idem_import_alter('a', order_by => 'day DESC');
SELECT try_run('a');
UPDATE s SET day = '2026-06-09' WHERE val = 'y';
SELECT try_run('a');
SELECT * FROM t ORDER BY id;
-- of two equal best ones none wins, whatever comes after them
INSERT INTO s VALUES (1, 'z', '2026-06-09');
SELECT try_run('a');
SELECT idem_import_alter('a', order_by => 'day DESC, val');
SELECT try_run('a');
SELECT idem_import_drop('a', true);
TRUNCATE s, t;

--
-- II004: rejects, more of them than allowed
--
INSERT INTO t VALUES (1, 'old', NULL);
INSERT INTO s VALUES (1, 'x', NULL), (NULL, 'x', NULL), (NULL, 'y', NULL), (3, 'x', NULL);
SELECT idem_import_create('a', 's', 't', key => '{id}');
SELECT try_run('a');
SELECT "row", sqlstate, message, attempts, resolved_at IS NULL FROM idem_import_reject WHERE import = 'a' ORDER BY "row"::text;
SELECT idem_import_alter('a', reject_limit => 1);
SELECT try_run('a');
SELECT "row", attempts, resolved_at IS NULL FROM idem_import_reject WHERE import = 'a' ORDER BY "row"::text;
SELECT idem_import_alter('a', reject_limit => 2);
SELECT try_run('a');
SELECT * FROM t ORDER BY id;
DELETE FROM s WHERE id IS NULL;
SELECT try_run('a');
SELECT "row", attempts, resolved_at IS NULL FROM idem_import_reject WHERE import = 'a' ORDER BY "row"::text;
SELECT idem_import_drop('a', true);
SELECT count(*) FROM idem_import_reject WHERE import = 'a';
TRUNCATE s, t;

--
-- II005: rows outside the unit
--
INSERT INTO t VALUES (1, 'old', '2026-06-09');
INSERT INTO s VALUES (1, 'x', '2026-06-09'), (2, 'x', '2026-06-10'), (3, 'x', NULL);
SELECT idem_import_create('a', 's', 't', key => '{id}', scope => '{day}', out_of_scope => 'error');
SELECT try_run('a', '2026-06-09');
SELECT idem_import_alter('a', out_of_scope => 'reject');
SELECT try_run('a', '2026-06-09');
SELECT "row", sqlstate, message FROM idem_import_reject WHERE import = 'a' ORDER BY "row"::text;
SELECT idem_import_alter('a', reject_limit => 2);
SELECT try_run('a', '2026-06-09');
SELECT idem_import_alter('a', out_of_scope => 'ignore', reject_limit => 0);
UPDATE s SET val = 'y';
SELECT try_run('a', '2026-06-09');
SELECT * FROM t ORDER BY id;
-- without a scope each row has a unit of its own, but for the row whose unit is NULL
SELECT try_run('a');
DELETE FROM s WHERE id = 3;
SELECT idem_import_alter('a', out_of_scope => 'error');
SELECT try_run('a');
SELECT * FROM t ORDER BY id;
SELECT idem_import_drop('a', true);
TRUNCATE s, t;

--
-- II006: columns came or went
--
INSERT INTO s VALUES (1, 'x', NULL);
SELECT idem_import_create('a', 's', 't', key => '{id}');
SELECT idem_import_create('b', 's', 't', key => '{id}', columns => '{id,val}');
SELECT try_run('a');
ALTER TABLE s ADD "New col" int;
SELECT try_run('a');
SELECT try($$SELECT idem_import_plan('a')$$);
SELECT try_run('b');
ALTER TABLE s DROP day, ADD another int;
SELECT try_run('a');
SELECT try_run('b');
ALTER TABLE s DROP val;
SELECT try_run('a');
SELECT try_run('b');
ALTER TABLE s DROP "New col", DROP another;
SELECT try_run('a');
SELECT try($$SELECT idem_import_alter('a', order_by => 'id')$$);
SELECT idem_import_alter('a', columns => '{}');
SELECT columns, source_columns FROM idem_import_definition WHERE name = 'a';
SELECT try_run('a');
SELECT try($$SELECT idem_import_alter('b', columns => '{id,val}')$$);
SELECT idem_import_alter('b', columns => '{id}');
SELECT try_run('b');
-- one that comes back by another type is the same column
ALTER TABLE s ADD val int, ADD day text;
SELECT idem_import_alter('a', columns => '{}');
ALTER TABLE s ALTER val TYPE text;
SELECT try_run('a');
-- renamed: one vanished, one new
ALTER TABLE s RENAME val TO value;
SELECT try_run('a');
ALTER TABLE s RENAME value TO val;
-- the flag column counts
ALTER TABLE s ADD gone boolean;
SELECT idem_import_alter('b', delete_flag => 'gone');
ALTER TABLE s DROP gone;
SELECT try_run('b');
SELECT idem_import_alter('b', delete_flag => '');
-- the target's columns
SELECT idem_import_alter('a', columns => '{}');
ALTER TABLE t ADD more int, ADD val_old text;
SELECT try_run('a');
ALTER TABLE t DROP val, DROP day;
SELECT try_run('a');
SELECT try($$SELECT idem_import_plan('a')$$);
ALTER TABLE t ADD val text GENERATED ALWAYS AS ('x' || id) STORED;
SELECT try_run('a');
SELECT idem_import_alter('a', columns => '{}');
SELECT columns FROM idem_import_definition WHERE name = 'a';
SELECT try_run('a');
-- a key column, and the index behind the key
ALTER TABLE t DROP CONSTRAINT t_pkey;
SELECT try_run('a');
ALTER TABLE t DROP id CASCADE;
SELECT try_run('a');
SELECT idem_import_drop('a', true);
SELECT idem_import_drop('b', true);
-- a source given to the run is held to the same
DROP TABLE s, t CASCADE;
CREATE TABLE s (id int, val text, day date);
CREATE TABLE t (id int PRIMARY KEY, val text, day date);
CREATE TEMP TABLE mine (id int, val text);
SELECT idem_import_create('a', 's', 't', key => '{id}');
SELECT try($$SELECT idem_import_run('a', source => 'mine')$$);
ALTER TABLE mine ADD day date;
SELECT try($$SELECT idem_import_run('a', source => 'mine')$$);
SELECT idem_import_drop('a', true);

--
-- II001: it would remove too much
--
INSERT INTO t SELECT i, 'x', '2026-06-09' FROM generate_series(1, 40) i;
INSERT INTO t SELECT i, 'x', '2026-06-10' FROM generate_series(41, 50) i;
INSERT INTO s SELECT * FROM t;
SELECT idem_import_create('a', 's', 't', key => '{id}', scope => '{day}', delete_missing => true, out_of_scope => 'ignore');
SELECT try_run('a');
SELECT try($$SELECT idem_import_approve('a', '2026-06-09')$$);
-- half is allowed
DELETE FROM s WHERE id <= 20;
SELECT try_run('a', '2026-06-09');
-- ten rows always are
DELETE FROM s WHERE day = '2026-06-10';
SELECT try_run('a', '2026-06-10');
-- eleven of twenty are not
DELETE FROM s WHERE id <= 31;
UPDATE s SET val = 'changed';
SELECT try_run('a', '2026-06-09');
SELECT status, removed, updated, note FROM idem_import_plan('a', '2026-06-09');
SELECT try_run('a', '2026-06-09');
SELECT try($$SELECT idem_import_approve('a')$$);
SELECT try($$SELECT idem_import_approve('a', '2026-06-10')$$);
SELECT idem_import_approve('a', '2026-06-09');
SELECT status, to_remove, approved_by = current_user::regrole, approved_at IS NOT NULL FROM idem_import_ledger WHERE import = 'a' AND unit = '2026-06-09';
-- more than was approved asks again
DELETE FROM s WHERE id = 32;
SELECT try_run('a', '2026-06-09');
SELECT try_run('a', '2026-06-09');
SELECT status, to_remove, approved_by, approved_at FROM idem_import_ledger WHERE import = 'a' AND unit = '2026-06-09';
SELECT idem_import_approve('a', '2026-06-09');
SELECT try_run('a', '2026-06-09');
SELECT count(*), min(id) FROM t;
SELECT try($$SELECT idem_import_approve('a', '2026-06-09')$$);
-- once: the next time asks again, as after a run that removed less than approved
INSERT INTO t SELECT i, 'x', '2026-06-09' FROM generate_series(101, 140) i;
SELECT try_run('a', '2026-06-09');
SELECT idem_import_approve('a', '2026-06-09');
DELETE FROM t WHERE id > 130;
SELECT try_run('a', '2026-06-09');
INSERT INTO t SELECT i, 'x', '2026-06-09' FROM generate_series(101, 120) i;
SELECT try_run('a', '2026-06-09');
-- an empty source over a unit that is not
SELECT idem_import_approve('a', '2026-06-09');
SELECT try_run('a', '2026-06-09');
INSERT INTO t SELECT i, 'x', '2026-06-11' FROM generate_series(201, 220) i;
SELECT try_run('a', '2026-06-11');
SELECT try_run('a', '2026-06-12');
-- no guard, no question
SELECT idem_import_create('b', 's', 't', key => '{id}', scope => '{day}', delete_missing => true, delete_limit => NULL, out_of_scope => 'ignore');
SELECT try_run('b', '2026-06-11');
SELECT idem_import_drop('b', true);
SELECT idem_import_drop('a', true);
-- overwrite, with and without a key
TRUNCATE s, t;
INSERT INTO t SELECT i, 'x', NULL FROM generate_series(1, 30) i;
INSERT INTO s SELECT i, 'y', NULL FROM generate_series(1, 10) i;
SELECT idem_import_create('a', 's', 't', mode => 'overwrite', key => '{id}');
SELECT try_run('a');
SELECT idem_import_alter('a', method => 'replace');
SELECT try_run('a');
SELECT idem_import_alter('a', method => 'auto', key => '{}');
SELECT try_run('a');
SELECT idem_import_approve('a');
SELECT try_run('a');
SELECT count(*), min(val) FROM t;
SELECT idem_import_drop('a', true);

-- a text that is read as the present day would be another one tomorrow
CREATE TABLE spelled (id int, day text);
CREATE TABLE spelled_t (id int PRIMARY KEY, day date);
INSERT INTO spelled VALUES (1, '2026-01-02'), (2, 'Jan 5 2026'), (3, ' Today ');
SELECT idem_import_create('a', 'spelled', 'spelled_t', key => '{id}');
SELECT try_run('a');
DELETE FROM spelled WHERE id = 3;
SELECT try_run('a');
SELECT * FROM spelled_t ORDER BY id;
SELECT idem_import_drop('a', true);

-- a run inside a transaction that is rolled back is recorded when it failed, and forgotten when it did not
TRUNCATE s, t;
INSERT INTO s VALUES (1, 'x', NULL), (1, 'y', NULL);
SELECT idem_import_create('a', 's', 't', key => '{id}');
BEGIN;
SELECT try_run('a');
ROLLBACK;
SELECT status, sqlstate FROM idem_import_history WHERE import = 'a';
DELETE FROM s WHERE val = 'y';
BEGIN;
SELECT (idem_import_run('a')).status;
ROLLBACK;
SELECT status, sqlstate FROM idem_import_history WHERE import = 'a';
SELECT count(*) FROM t;
SELECT idem_import_drop('a', true);

SELECT count(*) FROM idem_import_definition;
DROP SCHEMA refusals CASCADE;
