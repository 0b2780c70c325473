-- modes, winners, versions, flags: what a run does to each staged row

CREATE SCHEMA modes;
SET search_path = modes, public;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

CREATE TABLE stage (id int, name text, amount numeric);
CREATE TABLE goal (id int PRIMARY KEY, name text, amount numeric, note text DEFAULT 'new');

--
-- merge: rows come and change, none goes
--
SELECT idem_import_create('merge', 'stage', 'goal', key => ARRAY['id']);
INSERT INTO stage VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);
SELECT * FROM again('merge');
UPDATE stage SET name = 'B' WHERE id = 2;
DELETE FROM stage WHERE id = 3;
INSERT INTO stage VALUES (4, 'd', NULL);
UPDATE goal SET note = 'kept' WHERE id = 2;
SELECT * FROM again('merge');
TABLE goal ORDER BY id;
-- an empty source asks for nothing
TRUNCATE stage;
SELECT * FROM again('merge');
-- what looks the same is the same, what only compares as the same is not
INSERT INTO stage VALUES (1, 'a', 1.0);
SELECT * FROM again('merge');
-- NULL to NULL, NULL to value, value to NULL
TRUNCATE stage;
INSERT INTO stage VALUES (1, NULL, 1.0), (4, 'd', 4);
SELECT * FROM again('merge');
INSERT INTO stage VALUES (4, 'd', 4), (4, 'd', 4);
SELECT * FROM again('merge');
TABLE goal ORDER BY id;

-- changed by hand: the next run makes it good, but for rows that it was not asked for
UPDATE goal SET name = 'hand' WHERE id = 1;
DELETE FROM goal WHERE id = 4;
INSERT INTO goal VALUES (99, 'extra', 0);
SELECT * FROM again('merge');
TABLE goal ORDER BY id;

-- a receipt belongs to the version of the import that gave it
SELECT status, note FROM idem_import_run('merge');
SELECT idem_import_alter('merge', ignore_columns => ARRAY['amount']);
SELECT status, note FROM idem_import_run('merge');
SELECT status, note FROM idem_import_run('merge');
SELECT version, receipt_version FROM idem_import_ledger WHERE import = 'merge';
SELECT idempotent, unit, second_changes, first_checksum = second_checksum AS same FROM idem_import_prove('merge');
SELECT idem_import_drop('merge', purge => true);
SELECT count(*) FROM idem_import_ledger;
SELECT count(*) FROM idem_import_history;

--
-- insert_only: what is there stays as it is
--
TRUNCATE stage, goal;
SELECT idem_import_create('only', 'stage', 'goal', mode => 'insert_only', key => ARRAY['id']);
INSERT INTO stage VALUES (1, 'a', 1), (2, 'b', 2);
SELECT * FROM again('only');
UPDATE stage SET name = 'B' WHERE id = 2;
INSERT INTO stage VALUES (3, 'c', 3), (3, 'c', 3);
SELECT * FROM again('only');
UPDATE goal SET name = 'hand' WHERE id = 1;
DELETE FROM goal WHERE id = 3;
INSERT INTO goal VALUES (99, 'extra', 0);
SELECT * FROM again('only');
TABLE goal ORDER BY id;
SELECT idempotent, second_changes FROM idem_import_prove('only');
TRUNCATE stage;
SELECT * FROM again('only');
SELECT idem_import_drop('only', purge => true);

--
-- overwrite with a key: differences alone are written
--
TRUNCATE stage, goal;
SELECT idem_import_create('over', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id']);
INSERT INTO stage VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);
INSERT INTO goal VALUES (2, 'b', 2, 'kept'), (7, 'old', 7, NULL);
SELECT * FROM again('over');
UPDATE stage SET name = 'C' WHERE id = 3;
DELETE FROM stage WHERE id = 1;
INSERT INTO stage VALUES (4, 'd', 4);
SELECT * FROM again('over');
UPDATE goal SET name = 'hand' WHERE id = 2;
DELETE FROM goal WHERE id = 4;
INSERT INTO goal VALUES (99, 'extra', 0);
SELECT * FROM again('over');
TABLE goal ORDER BY id;
SELECT idempotent, second_changes FROM idem_import_prove('over');
TRUNCATE stage;
SELECT * FROM again('over');
SELECT idem_import_drop('over', purge => true);

--
-- method replace with a key: counted as what became of each row, written anew if any differs
--
SELECT idem_import_create('anew', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id'], method => 'replace');
INSERT INTO stage VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (3, 'c', 3);
INSERT INTO goal VALUES (2, 'b', 2, 'lost'), (7, 'old', 7, NULL);
SELECT * FROM again('anew');
SELECT status, note FROM idem_import_run('anew', force => true);
TABLE goal ORDER BY id;
UPDATE stage SET name = 'A' WHERE id = 1;
SELECT * FROM again('anew');
UPDATE goal SET name = 'hand' WHERE id = 2;
DELETE FROM goal WHERE id = 1;
INSERT INTO goal VALUES (99, 'extra', 0);
SELECT * FROM again('anew');
SELECT idempotent, second_changes FROM idem_import_prove('anew');
TABLE goal ORDER BY id;
SELECT idem_import_drop('anew', purge => true);

--
-- overwrite without a key: the same bag of rows, or all of it anew
--
CREATE TABLE bag (name text, amount numeric);
TRUNCATE stage;
SELECT idem_import_create('bag', 'stage', 'bag', mode => 'overwrite');
INSERT INTO stage VALUES (1, 'a', 1), (1, 'a', 1), (NULL, NULL, NULL), (2, 'b', 2);
SELECT status, method, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
SELECT target_checksum = unit_checksum('bag', '*') AND source_checksum = target_checksum AS same
FROM idem_import_ledger WHERE import = 'bag';
SELECT image('bag') AS image \gset
SELECT status, attempted, inserted, unchanged, removed, note FROM idem_import_run('bag');
SELECT image('bag') = :'image' AS untouched;
DELETE FROM stage WHERE ctid = (SELECT min(ctid) FROM stage WHERE id = 1);
SELECT status, attempted, inserted, unchanged, removed FROM idem_import_plan('bag');
SELECT status, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
SELECT status, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
-- changed by hand
UPDATE bag SET name = 'hand' WHERE name = 'b';
SELECT status, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
INSERT INTO bag VALUES ('a', 1);
SELECT status, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
DELETE FROM bag WHERE name IS NULL;
SELECT status, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
TABLE bag ORDER BY name, amount;
SELECT idempotent, first_checksum = second_checksum AS same FROM idem_import_prove('bag');
-- the receipt is lost, but the rows are the same
SELECT idem_import_alter('bag', out_of_scope => 'ignore');
SELECT image('bag') AS image \gset
SELECT status, attempted, inserted, unchanged, removed, note FROM idem_import_run('bag');
SELECT image('bag') = :'image' AS untouched;
TRUNCATE stage;
SELECT status, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
SELECT status, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
SELECT idem_import_drop('bag', purge => true);

--
-- two staged rows of one key
--
CREATE TABLE events (id int, at timestamp, seq int, value text);
CREATE TABLE latest (id int PRIMARY KEY, at timestamp, value text);
SELECT idem_import_create('latest', 'events', 'latest', key => ARRAY['id']);
INSERT INTO events VALUES (1, '2026-01-01', 1, 'x'), (1, '2026-01-01', 1, 'x'), (1, '2026-01-01', 1, 'x'), (2, NULL, 1, 'y');
SELECT * FROM again('latest');
-- seq is not imported, so these still are identical
INSERT INTO events VALUES (1, '2026-01-01', 2, 'x');
SELECT * FROM again('latest');
-- without an order, no winner
INSERT INTO events VALUES (1, '2026-01-02', 3, 'x2');
SELECT * FROM refused($$SELECT idem_import_run('latest')$$);
SELECT * FROM refused($$SELECT idem_import_plan('latest')$$);
SELECT idem_import_run('latest');
SELECT status, sqlstate, message FROM idem_import_ledger WHERE import = 'latest';
TABLE latest ORDER BY id;
-- winner first; NULLS LAST unless said otherwise
SELECT idem_import_alter('latest', order_by => 'at DESC, seq DESC');
INSERT INTO events VALUES (1, NULL, 9, 'null'), (2, '2026-01-01', 1, 'z');
SELECT * FROM again('latest');
TABLE latest ORDER BY id;
SELECT idem_import_alter('latest', order_by => 'at DESC NULLS FIRST, seq DESC');
SELECT * FROM again('latest');
TABLE latest ORDER BY id;
SELECT idem_import_alter('latest', order_by => 'at');
SELECT * FROM again('latest');
TABLE latest ORDER BY id;
-- a tie between rows that differ is no order; between rows that look the same it is
INSERT INTO events VALUES (3, '2026-03-03', 1, 'p'), (3, '2026-03-03', 2, 'q');
SELECT * FROM refused($$SELECT idem_import_run('latest')$$);
SELECT idem_import_alter('latest', order_by => 'at DESC, length(value) + seq');
SELECT * FROM again('latest');
TABLE latest ORDER BY id;
-- a tie below the winner
INSERT INTO events VALUES (3, '2026-03-01', 1, 'r'), (3, '2026-03-01', 1, 's');
SELECT * FROM again('latest');
-- order in which rows lie does not matter
CREATE TABLE shuffled (LIKE events);
DO $$
DECLARE
	winners text;
	expected text := (SELECT string_agg(l::text, ' ' ORDER BY id) FROM latest l);
BEGIN
	FOR i IN 1 .. 20 LOOP
		TRUNCATE shuffled, latest;
		INSERT INTO shuffled SELECT * FROM events ORDER BY md5(i::text || events::text);
		PERFORM idem_import_run('latest', source => 'shuffled');
		SELECT string_agg(l::text, ' ' ORDER BY id) INTO winners FROM latest l;
		IF winners <> expected THEN
			RAISE EXCEPTION '% <> %', winners, expected;
		END IF;
	END LOOP;
END $$;
-- the error does not depend on it either
SELECT idem_import_alter('latest', order_by => '');
DO $$
DECLARE
	said text;
	messages text[] := '{}';
BEGIN
	FOR i IN 1 .. 10 LOOP
		TRUNCATE shuffled;
		INSERT INTO shuffled SELECT * FROM events ORDER BY md5(i::text || events::text);
		SELECT r.detail INTO said FROM refused($q$SELECT idem_import_run('latest', source => 'shuffled')$q$) r;
		IF said <> ALL (messages) THEN
			messages := messages || said;
		END IF;
	END LOOP;
	RAISE WARNING '%', messages;
END $$;
SELECT idem_import_drop('latest', purge => true);

--
-- NULL in a key
--
CREATE TABLE pairs (a int, b text, v text);
CREATE TABLE strict (a int, b text, v text, UNIQUE (a, b));
CREATE TABLE lax (a int, b text, v text, UNIQUE NULLS NOT DISTINCT (a, b));
INSERT INTO pairs VALUES (1, 'x', 'both'), (NULL, 'x', 'no a'), (1, NULL, 'no b'), (NULL, NULL, 'none'), (NULL, NULL, 'none');
SELECT idem_import_create('nulls', 'pairs', 'strict', key => ARRAY['a', 'b']);
SELECT * FROM refused($$SELECT idem_import_run('nulls')$$);
SELECT idem_import_alter('nulls', reject_limit => 10);
SELECT * FROM again('nulls');
TABLE strict;
SELECT "row", key, sqlstate, message, column_name, attempts FROM idem_import_reject ORDER BY "row"::text;
SELECT * FROM refused($$SELECT idem_import_alter('nulls', null_key => 'match')$$);
SELECT idem_import_drop('nulls', purge => true);

SELECT idem_import_create('nulls', 'pairs', 'lax', key => ARRAY['a', 'b'], null_key => 'match');
SELECT * FROM again('nulls');
UPDATE pairs SET v = upper(v) WHERE a IS NULL;
DELETE FROM pairs WHERE b IS NULL AND a IS NOT NULL;
SELECT * FROM again('nulls');
TABLE lax ORDER BY a, b;
INSERT INTO pairs VALUES (NULL, NULL, 'other');
SELECT * FROM refused($$SELECT idem_import_run('nulls')$$);
DELETE FROM pairs WHERE v = 'other';
SELECT idem_import_drop('nulls', purge => true);
SELECT idem_import_create('nulls', 'pairs', 'lax', mode => 'overwrite', key => ARRAY['b', 'a'], null_key => 'match');
SELECT * FROM again('nulls');
TABLE lax ORDER BY a, b;
SELECT idem_import_drop('nulls', purge => true);
-- one nullable column beside one that is not; and a single one
CREATE TABLE half (a int NOT NULL, b text, v text, UNIQUE NULLS NOT DISTINCT (a, b));
CREATE TABLE single (a int UNIQUE NULLS NOT DISTINCT, v text);
SELECT idem_import_create('half', 'SELECT coalesce(a, 0) AS a, b, v FROM pairs', 'half', key => ARRAY['a', 'b'], null_key => 'match');
SELECT * FROM again('half');
SELECT idem_import_create('single', 'SELECT DISTINCT a, ''v'' AS v FROM pairs', 'single', key => ARRAY['a'], null_key => 'match');
SELECT * FROM again('single');
UPDATE single SET v = 'hand';
SELECT * FROM again('single');
TABLE single ORDER BY a;
-- a row whose key is NULL is no row that a source without NULLs asks for
CREATE TABLE more (a int, b text);
CREATE UNIQUE INDEX ON more (a);
CREATE TABLE more_stage (a int, b text);
INSERT INTO more VALUES (NULL, 'n1'), (NULL, 'n2'), (1, 'x');
INSERT INTO more_stage VALUES (1, 'x'), (2, 'y');
SELECT idem_import_create('more', 'more_stage', 'more', mode => 'overwrite', key => ARRAY['a']);
SELECT * FROM again('more');
TABLE more ORDER BY a;
SELECT idem_import_drop(n, purge => true) FROM unnest(ARRAY['half', 'single', 'more']) n;

--
-- version_column: older never replaces newer
--
CREATE TABLE vstage (id int, ver int, val text);
CREATE TABLE vgoal (id int PRIMARY KEY, ver int, val text);
SELECT idem_import_create('ver', 'vstage', 'vgoal', key => ARRAY['id'], version_column => 'ver');
INSERT INTO vgoal VALUES (1, 5, 'old'), (2, 5, 'old'), (3, 5, 'old'), (4, 5, 'old'), (5, NULL, 'old'), (6, NULL, 'old'), (7, 5, 'same');
INSERT INTO vstage VALUES (1, 4, 'older'), (2, 5, 'equal'), (3, 6, 'newer'), (4, NULL, 'null'), (5, 1, 'value'), (6, NULL, 'both null'),
						  (7, 5, 'same'), (8, NULL, 'fresh');
SELECT * FROM again('ver');
TABLE vgoal ORDER BY id;
SELECT idempotent, second_changes FROM idem_import_prove('ver');
-- an older image of the same
UPDATE vstage SET ver = 3 WHERE id = 7;
SELECT * FROM again('ver');
SELECT idem_import_drop('ver', purge => true);

--
-- delete_flag
--
CREATE TABLE fstage (id int, ver int, val text, gone boolean);
CREATE TABLE fgoal (id int PRIMARY KEY, ver int, val text);
SELECT idem_import_create('flag', 'fstage', 'fgoal', key => ARRAY['id'], delete_flag => 'gone');
INSERT INTO fgoal SELECT i, 1, 'v' FROM generate_series(1, 5) i;
INSERT INTO fstage VALUES (1, 1, 'v', true), (2, 1, 'v', false), (3, 1, 'v', NULL), (4, 1, 'new', NULL), (77, 1, 'v', true), (78, 1, 'v', false);
SELECT * FROM again('flag');
TABLE fgoal ORDER BY id;
SELECT idempotent, first_changes, second_changes FROM idem_import_prove('flag');
-- deleted by hand what is flagged, inserted by hand what is flagged
INSERT INTO fgoal VALUES (1, 1, 'back');
SELECT * FROM again('flag');
-- the flag tells rows of one key apart, and takes part in the order
INSERT INTO fstage VALUES (2, 1, 'v', true);
SELECT * FROM refused($$SELECT idem_import_run('flag')$$);
SELECT idem_import_alter('flag', order_by => 'gone DESC');
SELECT * FROM again('flag');
SELECT idem_import_alter('flag', order_by => 'gone');
SELECT * FROM again('flag');
-- flagged and stale
SELECT idem_import_alter('flag', version_column => 'ver', order_by => 'gone DESC');
UPDATE fgoal SET ver = 9 WHERE id IN (2, 3);
UPDATE fstage SET gone = true WHERE id IN (3, 4, 78);
SELECT * FROM again('flag');
TABLE fgoal ORDER BY id;
-- text as a flag
SELECT idem_import_drop('flag', purge => true);
TRUNCATE fgoal;
INSERT INTO fgoal SELECT i, 1, 'v' FROM generate_series(1, 5) i;
SELECT idem_import_create('flag', 'SELECT id, ver, val, CASE WHEN gone THEN ''yes'' ELSE ''off'' END AS gone FROM fstage', 'fgoal',
	key => ARRAY['id'], delete_flag => 'gone', order_by => 'gone DESC');
SELECT * FROM again('flag');
TABLE fgoal ORDER BY id;
SELECT idem_import_drop('flag', purge => true);

--
-- delete_missing, the whole table and a unit; and with a flag beside it
--
CREATE TABLE mstage (day date, id int, val text, gone boolean);
CREATE TABLE mgoal (day date, id int, val text, PRIMARY KEY (day, id));
SELECT idem_import_create('miss', 'mstage', 'mgoal', key => ARRAY['day', 'id'], delete_missing => true);
INSERT INTO mgoal SELECT d::date, i, 'v' FROM generate_series(timestamp '2026-01-01', '2026-01-03', '1 day') d, generate_series(1, 3) i;
INSERT INTO mstage SELECT day, id, val FROM mgoal WHERE id <> 3;
SELECT * FROM again('miss');
INSERT INTO mgoal VALUES ('2026-01-02', 98, 'extra');
SELECT * FROM again('miss');
SELECT idem_import_drop('miss', purge => true);
INSERT INTO mgoal SELECT d::date, 3, 'v' FROM generate_series(timestamp '2026-01-01', '2026-01-03', '1 day') d;
SELECT idem_import_create('miss', 'mstage', 'mgoal', key => ARRAY['day', 'id'], scope => ARRAY['day'], delete_missing => true,
	out_of_scope => 'ignore');
SELECT * FROM again('miss', '2026-01-02');
SELECT count(*) FROM mgoal WHERE id = 3;
DELETE FROM mstage WHERE day = '2026-01-01';
SELECT * FROM again('miss');
SELECT day, count(*) FROM mgoal GROUP BY day ORDER BY day;
SELECT idem_import_drop('miss', purge => true);
SELECT idem_import_create('miss', 'mstage', 'mgoal', key => ARRAY['day', 'id'], delete_missing => true, delete_flag => 'gone');
UPDATE mstage SET gone = true WHERE id = 2;
SELECT * FROM again('miss');
TABLE mgoal ORDER BY day, id;
SELECT idem_import_drop('miss', purge => true);

-- the delete guard: more than ten rows and more than half
CREATE TABLE gstage (id int);
CREATE TABLE ggoal (id int PRIMARY KEY);
INSERT INTO ggoal SELECT generate_series(1, 100);
INSERT INTO gstage SELECT generate_series(1, 50);
SELECT idem_import_create('guard', 'gstage', 'ggoal', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('guard');
DELETE FROM gstage WHERE id <= 26;
SELECT status, removed, note FROM idem_import_plan('guard');
SELECT idem_import_run('guard');
SELECT status, to_remove FROM idem_import_ledger WHERE import = 'guard';
SELECT count(*) FROM ggoal;
SELECT idem_import_approve('guard');
SELECT * FROM again('guard');
TRUNCATE gstage;
SELECT * FROM refused($$SELECT idem_import_run('guard')$$);
SELECT idem_import_drop('guard', purge => true);
TRUNCATE ggoal;
INSERT INTO ggoal SELECT generate_series(1, 10);
SELECT idem_import_create('guard', 'gstage', 'ggoal', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('guard');
SELECT idem_import_drop('guard', purge => true);

--
-- keep_columns, ignore_columns
--
CREATE TABLE kstage (id int, val text, first_seen date, last_seen date);
CREATE TABLE kgoal (id int PRIMARY KEY, val text, first_seen date, last_seen date);
SELECT idem_import_create('keep', 'kstage', 'kgoal', key => ARRAY['id'],
	keep_columns => ARRAY['first_seen'], ignore_columns => ARRAY['last_seen']);
INSERT INTO kstage VALUES (1, 'a', '2026-01-01', '2026-01-01'), (2, 'b', '2026-01-01', '2026-01-01');
SELECT * FROM again('keep');
UPDATE kstage SET first_seen = '2026-02-02', last_seen = '2026-02-02';
UPDATE kstage SET val = 'B' WHERE id = 2;
SELECT * FROM again('keep');
TABLE kgoal ORDER BY id;
UPDATE kgoal SET first_seen = NULL, last_seen = NULL;
SELECT * FROM again('keep');
TABLE kgoal ORDER BY id;
SELECT idem_import_drop('keep', purge => true);

--
-- text staging
--
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN short AS varchar(3);
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TYPE pair AS (x int, y text);
CREATE TABLE texts (id text, n text, d text, ts text, b text, u text, j text, jb text, by text, e text, a text, v text, c text, s text, k text, p text, r text, f text);
CREATE TABLE typed (id int PRIMARY KEY, n numeric(8,2), d date, ts timestamptz, b boolean, u uuid, j json, jb jsonb, by bytea, e mood, a int[],
	v varchar(5), c char(5), s short, k small, p pair, r int4range, f float8);
SELECT idem_import_create('texts', 'texts', 'typed', key => ARRAY['id']);
INSERT INTO texts VALUES
	('1', '1.005', '2026-01-31', '2026-06-09 12:00', 'yes', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"b": 1,  "a": 2}', '{"b": 1,  "a": 2}', '\x00ff',
	 'ok', '{1,NULL,3}', 'abc', 'abc', 'abc', '99', '(1,"a b")', '[1,5]', '0.1'),
	(' 2 ', '-1e2', '20260131', '2026-06-09 12:00+02', 'f', 'a0eebc999c0b4ef8bb6d6bb9bd380a11', 'null', '[]', '', 'sad', '{}', '', '', '', '-1', '(,)', 'empty', 'NaN');
INSERT INTO texts (id) VALUES ('3');
SELECT * FROM again('texts');
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SELECT * FROM typed ORDER BY id;
-- trailing blanks beyond varchar(n) are cut as everywhere in SQL, letters never
UPDATE texts SET v = 'abcde  ' WHERE id = '3';
SELECT * FROM again('texts');
UPDATE texts SET v = 'abcdef' WHERE id = '3';
SELECT idem_import_run('texts');
UPDATE texts SET v = NULL, s = 'abcd' WHERE id = '3';
SELECT idem_import_run('texts');
UPDATE texts SET s = NULL, k = '100' WHERE id = '3';
SELECT idem_import_run('texts');
UPDATE texts SET k = NULL, e = 'happy' WHERE id = '3';
SELECT idem_import_run('texts');
UPDATE texts SET e = NULL, n = '1234567' WHERE id = '3';
SELECT idem_import_run('texts');
UPDATE texts SET n = NULL, d = '2026-02-30' WHERE id = '3';
SELECT idem_import_run('texts');
UPDATE texts SET d = NULL;
SELECT * FROM again('texts');
SELECT idem_import_drop('texts', purge => true);
-- casts that only assign, between other types; and those that do not exist
CREATE TABLE nums (id bigint, n float8, t timestamp);
CREATE TABLE ints (id int PRIMARY KEY, n int, t date);
INSERT INTO nums VALUES (1, 2.5, '2026-01-01 13:00'), (2, 3.5, NULL);
SELECT idem_import_create('nums', 'nums', 'ints', key => ARRAY['id']);
SELECT * FROM again('nums');
TABLE ints ORDER BY id;
INSERT INTO nums VALUES (3000000000, 1, NULL);
SELECT idem_import_run('nums');
SELECT idem_import_drop('nums', purge => true);
SELECT * FROM refused($$SELECT idem_import_create('nums', 'SELECT id, t AS n FROM nums', 'ints', key => ARRAY['id'])$$);

--
-- source => another relation, also a temporary one
--
TRUNCATE goal, stage;
SELECT idem_import_create('mine', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id']);
CREATE TEMP TABLE own (amount numeric, name text, id int);
INSERT INTO own VALUES (1, 'a', 1), (2, 'b', 2);
SELECT * FROM again('mine', source => 'own');
CREATE VIEW seen AS SELECT * FROM own;
SELECT * FROM again('mine', source => 'seen');
ALTER TABLE own ADD COLUMN extra int;
SELECT * FROM refused($$SELECT idem_import_run('mine', source => 'own')$$);
SELECT * FROM again('mine');
DROP TABLE own CASCADE;
SELECT * FROM refused($$SELECT idem_import_run('mine', source => 'pg_catalog.pg_class_oid_index')$$);
SELECT idem_import_drop('mine', purge => true);

--
-- a BEFORE trigger that changes each row makes no import idempotent
--
TRUNCATE goal, stage;
INSERT INTO stage VALUES (1, 'a', 1), (2, 'b', 2);
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.name || '!'; RETURN NEW; END $$;
CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON goal FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT idem_import_create('meddle', 'stage', 'goal', key => ARRAY['id']);
SELECT * FROM refused($$SELECT idem_import_prove('meddle')$$);
SELECT count(*) FROM goal;
SELECT count(*) FROM idem_import_ledger WHERE import = 'meddle';
SELECT status, inserted FROM idem_import_run('meddle');
SELECT status, inserted FROM idem_import_run('meddle');
SELECT * FROM refused($$SELECT idem_import_prove('meddle')$$);
SELECT idem_import_drop('meddle', purge => true);
SELECT idem_import_create('meddle', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM refused($$SELECT idem_import_prove('meddle')$$);
SELECT idem_import_drop('meddle', purge => true);
-- one that only brings rows to a form does not harm, if the source has it
CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := lower(NEW.name); RETURN NEW; END $$;
SELECT idem_import_create('meddle', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id']);
SELECT idempotent, second_changes FROM idem_import_prove('meddle');
SELECT * FROM again('meddle');
SELECT idem_import_drop('meddle', purge => true);

SELECT count(*) FROM idem_import_definition;
SELECT count(*) FROM idem_import_ledger;
SELECT count(*) FROM idem_import_history;
SELECT count(*) FROM idem_import_reject;
RESET TimeZone;
RESET DateStyle;
DROP SCHEMA modes CASCADE;
