-- Rejects on their way through effects, files, checkpoints, batches and verification

CREATE SCHEMA flows;
SET search_path = flows, public;
SET client_min_messages = warning;
\pset null '~'
\set SHOW_CONTEXT never
\getenv dir PG_ABS_BUILDDIR
\set a :dir /results/flows_a.csv
\set b :dir /results/flows_b.csv

CREATE FUNCTION open_rejects(import text) RETURNS TABLE (unit text, kind text, "position" bigint, "row" jsonb, sqlstate text, message text, column_name text, attempts bigint)
LANGUAGE sql AS $$
	SELECT unit, kind, "position", "row", sqlstate, message, column_name, attempts FROM idem_import_reject r
	WHERE import = $1 AND resolved_at IS NULL ORDER BY unit, "position", "row"::text COLLATE "C"
$$;
-- a failure is recorded by a background worker: wait for it, as a person would
CREATE FUNCTION failures(import text, expected bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	FOR i IN 1..600 LOOP
		SELECT count(*) INTO n FROM idem_import_history h WHERE h.import = $1 AND status = 'failed';
		EXIT WHEN n >= expected;
		PERFORM pg_sleep(0.05);
	END LOOP;
	RETURN n;
END $$;

--
-- Effects: a row that is set aside tells none; once it is repaired, it does
--

CREATE TABLE stage (id text, v int, w int);
CREATE TABLE dst (id int PRIMARY KEY, v int CHECK (v < 100), w int UNIQUE);
SELECT idem_import_create('e', 'stage', 'dst', key => '{id}', reject_limit => NULL,
	effects => $$SELECT 'in ' || id AS key, 'in' AS kind, to_jsonb(i) AS payload FROM inserted i
		UNION ALL SELECT 'up ' || id || ' to ' || v, 'up', to_jsonb(u) FROM updated u
		UNION ALL SELECT 'de ' || id, 'de', to_jsonb(d) FROM deleted d$$);
INSERT INTO stage SELECT i, i, i FROM generate_series(1, 40) i;
UPDATE stage SET v = 1000 WHERE id IN ('7', '23');
UPDATE stage SET id = 'nine' WHERE id = '9';
UPDATE stage SET id = NULL WHERE id = '10';
UPDATE stage SET w = 30 WHERE id = '31';
SELECT status, attempted, inserted, rejected, note FROM idem_import_run('e');
SELECT count(*), min(payload ->> 'id'), bool_and(payload ->> 'id' IN (SELECT id::text FROM dst)) AS applied FROM idem_import_effect WHERE import = 'e';
SELECT status, inserted, updated, unchanged, rejected FROM idem_import_run('e');
SELECT count(*) FROM idem_import_effect WHERE import = 'e';

-- updates, of which some are refused; values that go round
UPDATE stage SET v = v + 50 WHERE id IN ('1', '2', '3');
UPDATE stage SET v = 500 WHERE id IN ('4', '5');
UPDATE stage SET w = CASE id WHEN '11' THEN 12 WHEN '12' THEN 11 END WHERE id IN ('11', '12');
SELECT status, inserted, updated, rejected FROM idem_import_run('e');
SELECT key, payload -> 'old_v' AS old_v, payload -> 'old_w' AS old_w, payload -> 'w' AS w FROM idem_import_effect WHERE import = 'e' AND kind = 'up' ORDER BY key COLLATE "C";

-- the constraint goes: what is repaired sets off what is due
ALTER TABLE dst DROP CONSTRAINT dst_v_check;
SELECT status, attempted, inserted, updated, rejected, note FROM idem_import_retry_rejects('e');
SELECT key FROM idem_import_effect WHERE import = 'e' AND payload ->> 'v' IN ('500', '1000') ORDER BY key COLLATE "C";
SELECT status, inserted, updated, rejected FROM idem_import_run('e');
SELECT count(*) FROM idem_import_effect WHERE import = 'e';

-- too many: nothing is told
SELECT idem_import_alter('e', reject_limit => 0);
INSERT INTO stage VALUES ('50', 50, 50);
SELECT idem_import_run('e');
SELECT count(*) FROM idem_import_effect WHERE key = 'in 50';
SELECT failures('e', 1);

-- overwritten as a whole: with a key, where one is refused and only differences are written; and without
CREATE TABLE o_stage (id int, v int);
CREATE TABLE o_dst (id int PRIMARY KEY, v int CHECK (v < 100));
CREATE TABLE u_dst (id int, v int UNIQUE CHECK (v < 100));
INSERT INTO o_stage VALUES (1, 1), (2, 2), (3, 300);
INSERT INTO o_dst VALUES (2, 20), (3, 3), (4, 4);
INSERT INTO u_dst VALUES (2, 20), (2, 2), (4, 4);
SELECT idem_import_create('o', 'o_stage', 'o_dst', mode => 'overwrite', key => '{id}', method => 'replace', delete_limit => NULL, reject_limit => 5,
	effects => $$SELECT 'o in ' || id AS key, 'in' AS kind, to_jsonb(i) AS payload FROM inserted i
		UNION ALL SELECT 'o up ' || id, 'up', to_jsonb(u) FROM updated u UNION ALL SELECT 'o de ' || id, 'de', to_jsonb(d) FROM deleted d$$);
SELECT idem_import_create('u', 'o_stage', 'u_dst', mode => 'overwrite', method => 'replace', delete_limit => NULL, reject_limit => 5,
	effects => $$SELECT 'u in ' || id || ' ' || v AS key, 'in' AS kind, to_jsonb(i) AS payload FROM inserted i
		UNION ALL SELECT 'u de ' || id || ' ' || v, 'de', to_jsonb(d) FROM deleted d$$);
SELECT status, inserted, updated, unchanged, removed, rejected FROM idem_import_run('o');
SELECT status, inserted, updated, unchanged, removed, rejected FROM idem_import_run('u');
SELECT import, key FROM idem_import_effect WHERE import IN ('o', 'u') ORDER BY import, key COLLATE "C";
SELECT * FROM o_dst ORDER BY id;
INSERT INTO o_stage VALUES (5, 2);
SELECT status, inserted, removed, rejected FROM idem_import_run('u');
SELECT key FROM idem_import_effect WHERE import = 'u' ORDER BY key COLLATE "C";
SELECT count(*) FROM u_dst;

--
-- Files: lines that are no rows
--

CREATE TABLE f_stage (id int, name text, day date);
CREATE TABLE f_dst (id int PRIMARY KEY, name text NOT NULL, day date);
SELECT idem_import_create('f', 'f_stage', 'f_dst', key => '{id}', reject_limit => 7);
COPY (SELECT unnest(ARRAY['id|name|day', '1|Ada|2026-01-01', 'two|Ben|2026-01-02', '3|Cleo', '4|Dan|2026-01-04|more', '5||2026-01-05',
	'6|"Eve', 'and Flo"|2026-02-30', '7|Gus|2026-01-07', '|Hal|2026-01-08', '1|Ada|2026-01-01'])) TO :'a' WITH (FORMAT csv, QUOTE E'\x01');
\set csv '{"format": "csv", "header": "match", "delimiter": "|"}'
SELECT status, attempted, inserted, collapsed, rejected FROM idem_import_run_file('f', :'a', :'csv');
SELECT * FROM open_rejects('f');
SELECT * FROM f_dst ORDER BY id;
SELECT status, rows FROM idem_import_manifest WHERE import = 'f';
-- the same file again, and once more by force: no reject is doubled
SELECT status, attempted, rejected FROM idem_import_run_file('f', :'a', :'csv');
SELECT status, attempted, unchanged, collapsed, rejected FROM idem_import_run_file('f', :'a', :'csv', force => true);
SELECT count(*), min(attempts), max(attempts) FROM open_rejects('f');
-- another file has nothing to do with them
COPY (VALUES ('8', 'Ida', '2026-01-08'), ('x', 'Jon', '2026-01-09')) TO :'b' WITH (FORMAT csv);
SELECT status, inserted, rejected FROM idem_import_run_file('f', :'b', '{"format": "csv"}');
SELECT count(*) FROM open_rejects('f');
-- mended, a file of the same name resolves its own
COPY (VALUES ('8', 'Ida', '2026-01-08'), ('9', 'Jon', '2026-01-09')) TO :'b' WITH (FORMAT csv);
SELECT status, inserted, rejected FROM idem_import_run_file('f', :'b', '{"format": "csv"}');
SELECT count(*) FROM open_rejects('f');
-- lines are not tried again, rows are
ALTER TABLE f_dst ALTER name DROP NOT NULL;
SELECT attempted, inserted, rejected FROM idem_import_retry_rejects('f');
SELECT kind, count(*) FROM open_rejects('f') GROUP BY 1;

-- more than the limit: the first is told, and all are there
SELECT idem_import_alter('f', reject_limit => 2);
COPY (SELECT CASE WHEN i % 10 = 0 THEN 'x' ELSE i::text END, 'n', NULL FROM generate_series(1, 2000) i) TO :'b' WITH (FORMAT csv);
SELECT idem_import_run_file('f', :'b', '{"format": "csv"}');
SELECT failures('f', 1);
SELECT count(*), min("position"), max("position") FROM open_rejects('f') WHERE sqlstate = '22P02' AND "row" = '"x,n,"';
-- many more: the rest of the file is not read
COPY (SELECT 'x', 'n', NULL FROM generate_series(1, 5000) i) TO :'b' WITH (FORMAT csv);
SELECT idem_import_run_file('f', :'b', '{"format": "csv"}');
SELECT failures('f', 2);
SELECT idem_import_alter('f', reject_limit => 100000);
SELECT attempted, inserted, rejected FROM idem_import_run_file('f', :'b', '{"format": "csv"}');
-- each thousand of lines is read in one subtransaction: bad ones at its ends
COPY (SELECT CASE WHEN i IN (1, 1000, 1001, 2000, 2001, 3000) THEN 'x' ELSE i::text END, 'n', NULL FROM generate_series(1, 3000) i) TO :'b' WITH (FORMAT csv);
SELECT attempted, inserted + updated + unchanged AS good, rejected FROM idem_import_run_file('f', :'b', '{"format": "csv"}');
SELECT count(*), array_agg(DISTINCT "position") FROM open_rejects('f') WHERE "row" = '"x,n,"' AND "position" IN (1, 1000, 1001, 2000, 2001, 3000);

-- what COPY can't divide into lines fails, whatever the limit
COPY (SELECT unnest(ARRAY['10|Kim|2026-01-10', '11|"Lea|2026-01-11', '12|Max|2026-01-12'])) TO :'b' WITH (FORMAT csv, QUOTE E'\x01');
SELECT idem_import_run_file('f', :'b', '{"format": "csv", "delimiter": "|"}');
COPY (SELECT unnest(ARRAY['id|nombre|day', '10|Kim|2026-01-10'])) TO :'b' WITH (FORMAT csv, QUOTE E'\x01');
SELECT idem_import_run_file('f', :'b', :'csv');
COPY (VALUES (10, 'Kim')) TO :'b' WITH (FORMAT binary);
SELECT idem_import_run_file('f', :'b', '{"format": "binary"}');
SELECT count(*) FROM f_dst WHERE id = 10 AND name = 'Kim';
-- the format text, and a line that stands for the clock
COPY (VALUES ('10', 'Kim', '2026-01-10'), ('x', E'a\tb\\c', NULL), ('11', 'Lea', '2026-01-11')) TO :'b';
SELECT rejected FROM idem_import_run_file('f', :'b');
SELECT "row", "position", column_name FROM open_rejects('f') WHERE "row" #>> '{}' LIKE 'x%' AND "position" = 2;
COPY (VALUES ('x', '', ''), ('10', 'Kim', 'today')) TO :'b';
SELECT idem_import_run_file('f', :'b');

-- a domain whose check is a function: it goes on behind a line that fails
CREATE FUNCTION is_small(i int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN IF i > 90 THEN RAISE 'too large: %', i; END IF; RETURN i < 50; END$$;
CREATE DOMAIN small AS int CHECK (is_small(VALUE));
CREATE TABLE d_stage (id small);
CREATE TABLE d_dst (id int PRIMARY KEY);
SELECT idem_import_create('d', 'd_stage', 'd_dst', key => '{id}', reject_limit => NULL);
COPY (SELECT i FROM generate_series(1, 100) i) TO :'b' WITH (FORMAT csv);
SELECT inserted, rejected FROM idem_import_run_file('d', :'b', '{"format": "csv"}');
SELECT sqlstate, count(*) FROM open_rejects('d') GROUP BY 1 ORDER BY 1;

-- a file's unit; lines of several belong to none
CREATE TABLE p_stage (day date, id int);
CREATE TABLE p_dst (day date, id int, PRIMARY KEY (day, id));
SELECT idem_import_create('p', 'p_stage', 'p_dst', mode => 'overwrite', key => '{day,id}', scope => '{day}', reject_limit => 5, delete_limit => NULL);
COPY (VALUES ('2026-01-01', '1'), ('2026-01-02', '2'), ('2026-01-02', 'x')) TO :'b' WITH (FORMAT csv);
SELECT unit, status, inserted, rejected FROM idem_import_run_file('p', :'b', '{"format": "csv"}') ORDER BY unit COLLATE "C";
SELECT unit, "row" FROM open_rejects('p');
COPY (VALUES ('2026-01-01', '1'), ('2026-01-02', '2'), ('2026-01-02', '3')) TO :'b' WITH (FORMAT csv);
SELECT unit, status, inserted, rejected FROM idem_import_run_file('p', :'b', '{"format": "csv"}') ORDER BY unit COLLATE "C";
SELECT unit, "row" FROM open_rejects('p');

--
-- Checkpoints: the mark moves past what was set aside, and stays where it is when that is repaired
--

CREATE TABLE c_stage (seq int, id text, v int);
CREATE TABLE c_dst (id int PRIMARY KEY, v int CHECK (v < 100), seq int);
SELECT idem_import_create('c', 'c_stage', 'c_dst', key => '{id}', cursor_column => 'seq', reject_limit => 5);
INSERT INTO c_stage VALUES (1, '1', 1), (2, '2', 200), (3, 'three', 3), (4, '4', 400);
SELECT inserted, rejected, checkpoint FROM idem_import_run('c');
SELECT attempted, rejected, checkpoint FROM idem_import_run('c');
SELECT "row", sqlstate FROM open_rejects('c');
ALTER TABLE c_dst DROP CONSTRAINT c_dst_v_check;
SELECT inserted, rejected, checkpoint FROM idem_import_retry_rejects('c');
SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'c';
SELECT "row", sqlstate FROM open_rejects('c');
INSERT INTO c_stage VALUES (5, '5', 5);
SELECT attempted, inserted, checkpoint FROM idem_import_run('c');
SELECT id, v FROM c_dst ORDER BY id;

-- in batches that commit, each with its own
SELECT idem_import_create('b', 'c_stage', 'c_dst', key => '{id}', cursor_column => 'seq', batch_size => 2, reject_limit => 1);
INSERT INTO c_stage VALUES (6, 'six', 6), (7, '7', 7), (8, 'eight', 8), (9, 'nine', 9), (10, 'ten', 10), (11, '11', 11);
CALL idem_import_run_units('b');
SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'b';
SELECT max(id) FROM c_dst;
SELECT failures('b', 1);
SELECT idem_import_alter('b', reject_limit => 2);
CALL idem_import_run_units('b');
SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'b';
SELECT max(id) FROM c_dst;
SELECT "row" ->> 'id' AS id, attempts FROM open_rejects('b') ORDER BY 1;
SELECT inserted, rejected FROM idem_import_retry_rejects('b');
SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'b';

--
-- Verification: what can't be cast is no row; what the target refused differs until it is taken
--

SELECT idem_import_create('v', 'stage', 'dst', key => '{id}', reject_limit => NULL);
TRUNCATE stage, dst;
INSERT INTO stage VALUES ('1', 1, 1), ('two', 2, 2), (NULL, 3, 3);
SELECT inserted, rejected FROM idem_import_run('v');
SELECT state, source_rows, target_rows, differing FROM idem_import_verify('v');
INSERT INTO stage SELECT 'bad' || i FROM generate_series(1, 1500) i;
SELECT inserted, rejected FROM idem_import_run('v');
SELECT idem_import_alter('v', reject_limit => 0);
SELECT state, source_rows, target_rows, differing FROM idem_import_verify('v');
SELECT idem_import_alter('v', reject_limit => 100000);
INSERT INTO stage VALUES ('4', 4, 1);
SELECT inserted, rejected FROM idem_import_run('v');
SELECT state, source_rows, target_rows, differing, keys FROM idem_import_verify('v');

SELECT idem_import_drop(name, purge => true) FROM idem_import_definition;
DROP SCHEMA flows CASCADE;
