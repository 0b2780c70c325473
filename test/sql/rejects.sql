-- rejects: one bad row is set aside, and the others are applied
CREATE SCHEMA rejects;
SET search_path = rejects, public;
SET client_min_messages = warning;
SET DateStyle = 'ISO, MDY';
\set SHOW_CONTEXT never

-- a run's counts, what the target holds, and the rejects that are open
CREATE FUNCTION ran(import text, scope text DEFAULT NULL, force boolean DEFAULT false)
RETURNS TABLE (unit text, status text, attempted bigint, inserted bigint, updated bigint, unchanged bigint, stale bigint,
			   collapsed bigint, rejected bigint, deleted bigint, removed bigint, adds_up boolean)
LANGUAGE sql AS $$
SELECT r.unit, r.status, r.attempted, r.inserted, r.updated, r.unchanged, r.stale, r.collapsed, r.rejected, r.deleted, r.removed,
	r.attempted = r.inserted + r.updated + r.unchanged + r.stale + r.collapsed + r.rejected + r.deleted AND
	least(r.inserted, r.updated, r.unchanged, r.stale, r.collapsed, r.rejected, r.deleted, r.removed) >= 0
FROM idem_import_run(ran.import, ran.scope, ran.force) r $$;

CREATE FUNCTION open_rejects(name text)
RETURNS TABLE (unit text, kind text, "position" bigint, "row" jsonb, key jsonb, sqlstate text, message text, column_name text, constraint_name text, attempts bigint)
LANGUAGE sql AS $$
SELECT unit, kind, "position", "row", key, sqlstate, message, column_name, constraint_name, attempts
FROM idem_import_reject WHERE import = name AND resolved_at IS NULL ORDER BY "row"::text COLLATE "C" $$;

CREATE FUNCTION refused(statement text, OUT code text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	message := 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;

--
-- casts: first and last row, two of a batch, two columns of a row
--
CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE DOMAIN small AS int CONSTRAINT is_small CHECK (VALUE < 1000);
CREATE TABLE goal (id int PRIMARY KEY, amount numeric(8, 2), day date, mood mood, small small, word varchar(5));
CREATE TABLE stage (id text, amount text, day text, mood text, small text, word text);
INSERT INTO stage SELECT i, i, '2026-01-01', 'happy', i % 1000, 'w' || i % 10 FROM generate_series(1, 2500) i;
UPDATE stage SET amount = 'much' WHERE id = '1';
UPDATE stage SET day = '2026-02-30' WHERE id = '17';
UPDATE stage SET mood = 'angry' WHERE id = '18';
UPDATE stage SET small = '5000' WHERE id = '1000';
UPDATE stage SET word = 'too long' WHERE id = '1001';
UPDATE stage SET amount = '123456789', day = 'never' WHERE id = '2400';
INSERT INTO stage VALUES ('x2500', '1', '2026-01-01', 'sad', '1', 'w');
SELECT idem_import_create('casts', $$SELECT * FROM stage ORDER BY CASE WHEN id ~ '^\d+$' THEN id::int ELSE 9999 END$$, 'goal', key => ARRAY['id']);
-- none is allowed: all of them are kept, nothing is applied
SELECT * FROM refused($$SELECT idem_import_run('casts')$$);
SELECT * FROM open_rejects('casts');
SELECT count(*) FROM goal;
SELECT status, sqlstate, message, detail FROM idem_import_ledger WHERE import = 'casts';
-- five are too few, seven do
SELECT idem_import_alter('casts', reject_limit => 5);
SELECT code, message, detail FROM refused($$SELECT idem_import_run('casts')$$);
SELECT rejected, note LIKE '%would stop with II004: 7 rejects%' AS told FROM idem_import_plan('casts');
SELECT idem_import_alter('casts', reject_limit => 7);
SELECT attempted, inserted, rejected, note LIKE '%II004%' AS told FROM idem_import_plan('casts');
SELECT * FROM ran('casts');
SELECT count(*), count(*) FILTER (WHERE id IN (1, 17, 18, 1000, 1001, 2400)) AS bad FROM goal;
SELECT count(*), min(attempts), max(attempts) FROM open_rejects('casts');
-- again, and all at once
SELECT * FROM ran('casts');
SELECT * FROM ran('casts', force => true);
SELECT count(*), min(attempts), max(attempts) FROM open_rejects('casts');
-- one is mended, another one breaks; what the target has of it stays
UPDATE stage SET amount = '1' WHERE id = '1';
UPDATE stage SET amount = 'more' WHERE id = '3';
UPDATE stage SET amount = 44 WHERE id = '44';
SELECT * FROM ran('casts');
SELECT "row" ->> 'id' AS id, attempts FROM open_rejects('casts');
SELECT "row" ->> 'id' AS id, resolved_at IS NOT NULL AS resolved FROM idem_import_reject WHERE import = 'casts' AND "row" ->> 'id' = '1';
SELECT id, amount FROM goal WHERE id IN (1, 3, 44) ORDER BY id;
-- a row that is to be looked up by its key stays, too, where missing ones go
SELECT idem_import_alter('casts', mode => 'overwrite');
SELECT * FROM ran('casts');
DELETE FROM stage WHERE id = '5';
SELECT * FROM ran('casts');
SELECT id, amount FROM goal WHERE id IN (3, 5) ORDER BY id;
-- nor does it go where the rows would be deleted and inserted anew
SELECT idem_import_alter('casts', method => 'replace');
UPDATE stage SET amount = 45 WHERE id = '45';
SELECT method, note LIKE '%rows cannot be cast, so only what differs is written%' AS told FROM idem_import_plan('casts');
UPDATE stage SET amount = 46 WHERE id = '45';
SELECT * FROM ran('casts');
SELECT id, amount FROM goal WHERE id IN (3, 45) ORDER BY id;
SELECT idem_import_alter('casts', method => 'auto');
-- a type that takes it now
ALTER TYPE mood ADD VALUE 'angry';
SELECT * FROM ran('casts');
SELECT "row" ->> 'id' AS id FROM open_rejects('casts');
SELECT idem_import_drop('casts', purge => true);

-- every row is bad; of very many, reading stops
TRUNCATE goal;
CREATE TABLE bad AS SELECT 'x' || i AS id FROM generate_series(1, 3000) i;
SELECT idem_import_create('bad', 'bad', 'goal', key => ARRAY['id'], columns => ARRAY['id'], reject_limit => NULL);
SELECT * FROM ran('bad');
SELECT count(*) FROM open_rejects('bad');
SELECT idem_import_alter('bad', reject_limit => 0);
SELECT code, message, detail FROM refused($$SELECT idem_import_run('bad')$$);
SELECT rejected, note LIKE '%II004: 1001 or more rejects%' AS told FROM idem_import_plan('bad');
SELECT idem_import_alter('bad', reject_limit => 2000);
SELECT code, message FROM refused($$SELECT idem_import_run('bad')$$);
SELECT idem_import_drop('bad', purge => true);
DROP TABLE bad;

-- types whose input calls what it cannot read a syntax error; that of a statement is another matter
CREATE TABLE terms (id int PRIMARY KEY, term tsquery, path jsonpath);
CREATE TABLE terms_stage (id text, term text, path text);
INSERT INTO terms_stage VALUES (1, 'a & b', '$.a'), (2, 'a &', '$.a'), (3, 'c', '$$$');
SELECT idem_import_create('terms', 'terms_stage', 'terms', key => ARRAY['id'], reject_limit => 5);
SELECT * FROM ran('terms');
SELECT sqlstate, column_name FROM open_rejects('terms');
UPDATE terms_stage SET term = 'd', path = '$';
CREATE FUNCTION bad_statement() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN EXECUTE 'SELEC 1'; RETURN NEW; END $$;
CREATE TRIGGER bad_statement BEFORE INSERT ON terms FOR EACH ROW EXECUTE FUNCTION bad_statement();
SELECT code, message FROM refused($$SELECT idem_import_run('terms')$$);
DROP TRIGGER bad_statement ON terms;
SELECT * FROM ran('terms');
SELECT count(*) FROM open_rejects('terms');
SELECT idem_import_drop('terms', purge => true);
DROP TABLE terms, terms_stage;
DROP FUNCTION bad_statement();

-- what is no fault of a row fails the run as it is
CREATE FUNCTION breaks(text) RETURNS mood LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF $1 = 'no such table' THEN
		PERFORM * FROM nowhere;
	ELSIF $1 = 'division' THEN
		PERFORM 1 / 0;
	END IF;
	RETURN 'sad';
END $$;
CREATE TYPE feeling AS (word text);
CREATE FUNCTION to_mood(feeling) RETURNS mood LANGUAGE sql IMMUTABLE AS $$SELECT rejects.breaks($1.word)$$;
CREATE CAST (feeling AS mood) WITH FUNCTION to_mood(feeling) AS ASSIGNMENT;
CREATE TABLE felt (id int, mood feeling);
INSERT INTO felt SELECT i, ROW(CASE i WHEN 2 THEN 'division' WHEN 4 THEN 'division' ELSE 'fine' END)::feeling FROM generate_series(1, 6) i;
TRUNCATE goal;
SELECT idem_import_create('felt', 'felt', 'goal', key => ARRAY['id'], columns => ARRAY['id', 'mood'], reject_limit => 5);
SELECT * FROM ran('felt');
SELECT * FROM open_rejects('felt');
INSERT INTO felt VALUES (9, ROW('no such table'));
SELECT code, message FROM refused($$SELECT idem_import_run('felt')$$);
SELECT idem_import_drop('felt', purge => true);
DROP CAST (feeling AS mood);
DROP TABLE felt;

-- with units: a bad row belongs to its unit where that is the only one
CREATE TABLE days (day date, id int, n int, PRIMARY KEY (day, id));
CREATE TABLE days_stage (day text, id text, n text);
INSERT INTO days_stage VALUES ('2026-01-01', '1', '1'), ('2026-01-01', '2', 'two'), ('2026-01-02', '1', '1'), ('some day', '1', '1'), ('2026-01-02', '2', '2');
SELECT idem_import_create('days', 'days_stage', 'days', mode => 'overwrite', key => ARRAY['day', 'id'], scope => ARRAY['day'], reject_limit => 5);
SELECT * FROM ran('days');
SELECT * FROM open_rejects('days');
SELECT * FROM ran('days');
INSERT INTO days VALUES ('2026-01-01', 2, 22);
SELECT * FROM ran('days');
SELECT * FROM days ORDER BY day, id;
SELECT code, message FROM refused($$SELECT idem_import_run('days', '2026-01-02')$$);
SELECT idem_import_alter('days', out_of_scope => 'ignore');
SELECT * FROM ran('days', '2026-01-02');
SELECT unit, "row", attempts FROM open_rejects('days');
SELECT idem_import_drop('days', purge => true);

--
-- constraints of every kind, and triggers
--
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent VALUES (1), (2);
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE TABLE strict (
	id int PRIMARY KEY,
	n int NOT NULL,
	c int CONSTRAINT c_small CHECK (c < 100),
	u int UNIQUE,
	p int REFERENCES parent,
	r int4range,
	t text,
	d int GENERATED ALWAYS AS (1000 / c) STORED,
	CONSTRAINT apart EXCLUDE USING gist (r WITH &&)
);
CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.t = 'raise' THEN
		RAISE EXCEPTION 'no % here', NEW.t;
	ELSIF NEW.t = 'overflow' THEN
		PERFORM 2147483647 + NEW.n;
	ELSIF NEW.t = 'denied' THEN
		RAISE insufficient_privilege USING MESSAGE = 'not allowed';
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER judge AFTER INSERT OR UPDATE ON strict FOR EACH ROW EXECUTE FUNCTION judge();
CREATE TABLE strict_stage (id int, n int, c int, u int, p int, r int4range, t text);
CREATE FUNCTION dirt() RETURNS void LANGUAGE sql AS $$
	TRUNCATE strict_stage;
	INSERT INTO strict_stage SELECT i, i, 1 + i % 99, i, 1, int4range(i * 10, i * 10 + 5), 'fine' FROM generate_series(1, 100) i;
	UPDATE strict_stage SET n = NULL WHERE id = 1;
	UPDATE strict_stage SET c = 100 WHERE id = 20;
	UPDATE strict_stage SET c = 0 WHERE id = 21;
	UPDATE strict_stage SET u = 500 WHERE id = 31;
	UPDATE strict_stage SET p = 7 WHERE id = 40;
	UPDATE strict_stage SET r = '[900, 901)' WHERE id = 50;
	UPDATE strict_stage SET t = 'raise' WHERE id = 60;
	UPDATE strict_stage SET t = 'overflow' WHERE id = 61;
	UPDATE strict_stage SET p = 8, n = NULL WHERE id = 100;
$$;
SELECT dirt();
INSERT INTO strict VALUES (1000, 1, 1, 500, 1, '[100000, 100001)');
SELECT idem_import_create('strict', 'strict_stage', 'strict', key => ARRAY['id'], reject_limit => 20);
SELECT * FROM ran('strict');
SELECT "row" ->> 'id' AS id, key, sqlstate, message, column_name, constraint_name FROM open_rejects('strict') ORDER BY ("row" ->> 'id')::int;
SELECT count(*), count(*) FILTER (WHERE id IN (1, 20, 21, 31, 40, 50, 60, 61, 100)) AS bad FROM strict;
-- the same again writes nothing, and no reject twice
CREATE TABLE before AS SELECT ctid AS place, id FROM strict;
SELECT * FROM ran('strict');
SELECT * FROM ran('strict', force => true);
SELECT count(*) AS moved FROM strict s JOIN before b USING (id) WHERE s.ctid <> b.place;
SELECT count(*), min(attempts), max(attempts) FROM open_rejects('strict');
-- what a row was waiting for is there
INSERT INTO parent VALUES (7);
DELETE FROM strict WHERE id = 1000;
SELECT * FROM ran('strict');
SELECT "row" ->> 'id' AS id, sqlstate FROM open_rejects('strict') ORDER BY ("row" ->> 'id')::int;
SELECT count(*) FROM idem_import_reject WHERE import = 'strict' AND resolved_at IS NOT NULL;
-- updates are refused as well: the old version stays
UPDATE strict_stage SET c = 5 WHERE id = 20;
UPDATE strict_stage SET c = 500 WHERE id IN (2, 99);
UPDATE strict_stage SET u = 4 WHERE id = 3;
UPDATE strict_stage SET t = 'new' WHERE id > 70 AND id < 80;
SELECT * FROM ran('strict');
SELECT "row" ->> 'id' AS id, sqlstate FROM open_rejects('strict') ORDER BY ("row" ->> 'id')::int;
SELECT id, c, u FROM strict WHERE id IN (2, 3, 20, 99) ORDER BY id;
-- over the budget: none of it, but the rejects are there
SELECT idem_import_alter('strict', reject_limit => 2);
UPDATE strict_stage SET t = 'newer' WHERE id > 70;
SELECT code, message FROM refused($$SELECT idem_import_run('strict')$$);
SELECT count(*) FROM strict WHERE t = 'newer';
SELECT count(*) FROM open_rejects('strict');
-- what is no fault of a row fails the run
SELECT idem_import_alter('strict', reject_limit => 100);
UPDATE strict_stage SET t = 'denied' WHERE id = 7;
SELECT code, message FROM refused($$SELECT idem_import_run('strict')$$);
-- overwrite: a refused row is not missing; missing ones go
SELECT idem_import_alter('strict', mode => 'overwrite');
UPDATE strict_stage SET t = 'fine' WHERE id = 7;
DELETE FROM strict_stage WHERE id = 8;
SELECT * FROM ran('strict');
SELECT count(*) FROM strict WHERE id IN (2, 8);
-- replace does as much
SELECT idem_import_alter('strict', method => 'replace');
UPDATE strict_stage SET t = 'last' WHERE id = 9;
SELECT * FROM ran('strict');
SELECT count(*) FROM strict WHERE id = 2;
SELECT idem_import_drop('strict', purge => true);

-- a first load, of which every row is bad, or the first and the last
TRUNCATE strict;
SELECT idem_import_create('strict', 'strict_stage', 'strict', key => ARRAY['id'], reject_limit => NULL, columns => ARRAY['id', 'n', 'c']);
UPDATE strict_stage SET n = NULL;
SELECT * FROM ran('strict');
UPDATE strict_stage SET n = 1, c = 1 WHERE id NOT IN (1, 100);
SELECT * FROM ran('strict');
SELECT count(*) FROM strict;
SELECT idem_import_drop('strict', purge => true);

-- insert_only, versions, flags: who lost before is not judged by constraints
TRUNCATE strict;
INSERT INTO strict (id, n, c) VALUES (1, 5, 1), (2, 5, 1), (3, 5, 1), (4, 5, 1);
TRUNCATE strict_stage;
INSERT INTO strict_stage (id, n, c) VALUES (1, 4, 500), (2, 6, 500), (3, 6, 2), (5, 1, 500), (6, 1, 1), (6, 2, 700), (7, 1, 700), (7, 2, 1);
SELECT idem_import_create('versions', 'strict_stage', 'strict', key => ARRAY['id'], reject_limit => 9, version_column => 'n', order_by => 'n DESC',
	columns => ARRAY['id', 'n', 'c']);
-- the winner of 6 is bad: the loser does not take its place
SELECT * FROM ran('versions');
SELECT key, sqlstate FROM open_rejects('versions');
SELECT id, n, c FROM strict ORDER BY id;
SELECT idem_import_drop('versions', purge => true);
TRUNCATE strict;
INSERT INTO strict (id, n, c) VALUES (1, 5, 1), (2, 5, 1);
SELECT idem_import_create('only', 'strict_stage', 'strict', mode => 'insert_only', key => ARRAY['id'], reject_limit => 9, order_by => 'n DESC',
	columns => ARRAY['id', 'n', 'c']);
SELECT * FROM ran('only');
SELECT key, sqlstate FROM open_rejects('only');
SELECT idem_import_drop('only', purge => true);
-- a flagged row that something refers to
CREATE TABLE child (id int REFERENCES strict);
INSERT INTO child VALUES (1);
ALTER TABLE strict_stage ADD COLUMN gone boolean DEFAULT false;
TRUNCATE strict_stage;
INSERT INTO strict_stage (id, n, c, gone) VALUES (1, 1, 1, true), (2, 1, 1, true), (3, 1, 1, false);
SELECT idem_import_create('flags', 'strict_stage', 'strict', key => ARRAY['id'], reject_limit => 9, delete_flag => 'gone', columns => ARRAY['id', 'n', 'c']);
SELECT * FROM ran('flags');
SELECT "row", sqlstate, constraint_name FROM open_rejects('flags');
SELECT idem_import_drop('flags', purge => true);
-- a missing row that something refers to is nobody's reject
SELECT idem_import_create('missing', 'strict_stage', 'strict', mode => 'overwrite', key => ARRAY['id'], reject_limit => 9, columns => ARRAY['id', 'n', 'c'],
	delete_limit => NULL);
DELETE FROM strict_stage WHERE id = 1;
SELECT code, message FROM refused($$SELECT idem_import_run('missing')$$);
SELECT idem_import_drop('missing', purge => true);
DROP TABLE child;

-- rows that refer to rows of the same table, parents after their children
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree, n int CHECK (n < 100));
CREATE TABLE tree_stage (id int, up int, n int);
INSERT INTO tree_stage VALUES (1, 2, 1), (2, 3, 1), (3, 4, 1), (4, NULL, 1), (5, 6, 1), (6, NULL, 100), (7, 5, 1), (8, 9, 1);
SELECT idem_import_create('tree', 'tree_stage', 'tree', key => ARRAY['id'], reject_limit => 9);
SELECT * FROM ran('tree');
SELECT key, sqlstate FROM open_rejects('tree');
SELECT id FROM tree ORDER BY id;
UPDATE tree_stage SET n = 1 WHERE id = 6;
SELECT * FROM ran('tree');
SELECT key, sqlstate FROM open_rejects('tree');
SELECT idem_import_drop('tree', purge => true);

-- rows that exchange unique values, beside a bad one
CREATE TABLE codes (id int PRIMARY KEY, code text UNIQUE, n int CHECK (n < 100));
INSERT INTO codes VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1), (4, 'd', 1);
CREATE TABLE codes_stage (id int, code text, n int);
INSERT INTO codes_stage VALUES (1, 'b', 1), (2, 'a', 1), (3, 'c', 100), (4, 'x', 1), (5, 'd', 1), (6, 'c', 1);
SELECT idem_import_create('codes', 'codes_stage', 'codes', key => ARRAY['id'], reject_limit => 9);
SELECT * FROM ran('codes');
SELECT key, sqlstate FROM open_rejects('codes');
SELECT * FROM codes ORDER BY id;
SELECT idem_import_drop('codes', purge => true);

-- rows without a key
CREATE TABLE bag (v text CHECK (v <> 'bad'), n int);
CREATE TABLE bag_stage (v text, n text);
INSERT INTO bag_stage VALUES ('a', '1'), ('bad', '2'), ('a', '1'), ('b', 'x'), ('bad', '2');
SELECT idem_import_create('bag', 'bag_stage', 'bag', mode => 'overwrite', reject_limit => 9);
SELECT * FROM ran('bag');
SELECT * FROM open_rejects('bag');
SELECT * FROM ran('bag');
SELECT * FROM ran('bag', force => true);
SELECT "row", attempts FROM open_rejects('bag');
SELECT * FROM bag;
SELECT idem_import_drop('bag', purge => true);

-- triggers that may swallow rows
CREATE TABLE fussy (id int PRIMARY KEY, v text);
CREATE TABLE fussy_stage (id int, v text);
CREATE FUNCTION fuss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v = 'swallow' THEN
		RETURN NULL;
	ELSIF NEW.v = 'refuse' THEN
		RAISE EXCEPTION 'refused';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER fuss BEFORE INSERT OR UPDATE ON fussy FOR EACH ROW EXECUTE FUNCTION fuss();
INSERT INTO fussy_stage SELECT i, CASE i % 10 WHEN 3 THEN 'swallow' WHEN 7 THEN 'refuse' ELSE 'fine' END FROM generate_series(1, 50) i;
SELECT idem_import_create('fussy', 'fussy_stage', 'fussy', key => ARRAY['id'], reject_limit => 5);
SELECT * FROM ran('fussy');
SELECT count(*) FROM fussy;
UPDATE fussy_stage SET v = 'fine again' WHERE v = 'fine';
UPDATE fussy_stage SET v = 'refuse' WHERE id = 1;
UPDATE fussy_stage SET v = 'swallow' WHERE id IN (2, 7);
SELECT * FROM ran('fussy');
SELECT v, count(*) FROM fussy GROUP BY v ORDER BY v;
SELECT idem_import_drop('fussy', purge => true);

-- a view with its check option
CREATE TABLE below (id int PRIMARY KEY, n int);
CREATE VIEW above AS SELECT * FROM below WHERE n > 0 WITH CHECK OPTION;
CREATE TABLE above_stage AS SELECT i AS id, i - 3 AS n FROM generate_series(1, 9) i;
SELECT idem_import_create('above', 'above_stage', 'above', key => ARRAY['id'], reject_limit => 5);
SELECT * FROM ran('above');
SELECT key, sqlstate, message FROM open_rejects('above');
SELECT idem_import_drop('above', purge => true);

-- a new table for each run
CREATE TABLE fresh (id int PRIMARY KEY, v text NOT NULL, u int UNIQUE);
CREATE TABLE fresh_stage (id int, v text, u text);
INSERT INTO fresh_stage SELECT i, 'v', i FROM generate_series(1, 50) i;
UPDATE fresh_stage SET v = NULL WHERE id = 1;
UPDATE fresh_stage SET u = '49' WHERE id = 50;
UPDATE fresh_stage SET u = 'x' WHERE id = 25;
SELECT idem_import_create('fresh', 'fresh_stage', 'fresh', mode => 'overwrite', key => ARRAY['id'], method => 'swap', reject_limit => 5);
SELECT * FROM ran('fresh');
SELECT key, sqlstate, column_name, constraint_name FROM open_rejects('fresh');
UPDATE fresh_stage SET v = 'w';
UPDATE fresh_stage SET u = id WHERE id = 50;
UPDATE fresh_stage SET u = 'y' WHERE id = 7;
SELECT * FROM ran('fresh');
SELECT key, sqlstate, column_name FROM open_rejects('fresh');
SELECT v, count(*) FROM fresh GROUP BY v ORDER BY v;
SELECT idem_import_drop('fresh', purge => true);

--
-- rejects tried alone
--
CREATE TABLE again (id int PRIMARY KEY, n int CHECK (n < 100), p int REFERENCES parent, m mood, list int[], note jsonb, pair feeling, v int);
CREATE TABLE again_stage (id int, n text, p int, m text, list int[], note jsonb, pair feeling, v int, gone boolean);
DELETE FROM parent WHERE id > 2;
INSERT INTO again_stage SELECT i, i, 1, 'sad', ARRAY[i, NULL, 7], '{"a": [1, "x"]}', ROW('say "hi"')::feeling, 1, false FROM generate_series(1, 20) i;
UPDATE again_stage SET n = 100 WHERE id = 3;
UPDATE again_stage SET p = 9 WHERE id IN (4, 5);
UPDATE again_stage SET m = 'bored', note = '"word"' WHERE id = 6;
UPDATE again_stage SET p = 9, note = '"word"', list = NULL WHERE id = 7;
UPDATE again_stage SET id = NULL WHERE id = 8;
SELECT idem_import_create('again', 'again_stage', 'again', mode => 'overwrite', key => ARRAY['id'], reject_limit => NULL,
	columns => ARRAY['id', 'n', 'p', 'm', 'list', 'note', 'pair', 'v']);
SELECT count(*) FROM idem_import_retry_rejects('again');
SELECT * FROM ran('again');
-- nothing has changed: nothing is repaired
CREATE FUNCTION retried(import text)
RETURNS TABLE (unit text, status text, attempted bigint, inserted bigint, updated bigint, unchanged bigint, stale bigint,
			   collapsed bigint, rejected bigint, deleted bigint, removed bigint, adds_up boolean)
LANGUAGE sql AS $$
SELECT r.unit, r.status, r.attempted, r.inserted, r.updated, r.unchanged, r.stale, r.collapsed, r.rejected, r.deleted, r.removed,
	r.attempted = r.inserted + r.updated + r.unchanged + r.stale + r.collapsed + r.rejected + r.deleted
FROM idem_import_retry_rejects(retried.import) r $$;
SELECT * FROM retried('again');
SELECT key, kind, sqlstate, attempts FROM open_rejects('again');
-- what was missing is there; one of them would be removed by a run of its own
INSERT INTO parent VALUES (9);
ALTER TYPE mood ADD VALUE 'bored';
SELECT * FROM retried('again');
SELECT key, sqlstate, attempts FROM open_rejects('again');
SELECT id, p, m, list, note, pair FROM again WHERE id BETWEEN 3 AND 9 ORDER BY id;
SELECT count(*) FROM idem_import_reject WHERE import = 'again' AND resolved_at IS NOT NULL;
SELECT status, attempted, rejected FROM idem_import_history WHERE import = 'again' ORDER BY run_id DESC LIMIT 1;
-- the next run finds them in place, and undoes nothing
SELECT * FROM ran('again');
SELECT * FROM ran('again');
SELECT key, sqlstate, attempts FROM open_rejects('again');
SELECT idem_import_drop('again', purge => true);

-- a newer version in the target stays, a flag is heeded
TRUNCATE again, again_stage;
INSERT INTO again VALUES (1, 1, 1, 'sad', NULL, NULL, NULL, 5), (2, 2, 1, 'sad', NULL, NULL, NULL, 5), (3, 3, 1, 'sad', NULL, NULL, NULL, 5);
INSERT INTO again_stage (id, n, v, gone) VALUES (1, 100, 6, false), (2, 100, 6, false), (3, 'x', 6, true);
SELECT idem_import_create('newer', 'again_stage', 'again', key => ARRAY['id'], reject_limit => NULL, version_column => 'v', delete_flag => 'gone',
	columns => ARRAY['id', 'n', 'v']);
SELECT * FROM ran('newer');
SELECT "row" FROM open_rejects('newer');
UPDATE again SET v = 7 WHERE id = 1;
ALTER TABLE again DROP CONSTRAINT again_n_check;
SELECT * FROM retried('newer');
SELECT id, n, v FROM again ORDER BY id;
SELECT count(*) FROM open_rejects('newer');
SELECT idem_import_drop('newer', purge => true);

-- units, and rows that refer to each other
CREATE TABLE units (day date, id int, up int, n int CHECK (n < 10), PRIMARY KEY (day, id), FOREIGN KEY (day, up) REFERENCES units);
CREATE TABLE units_stage (day text, id int, up int, n int);
INSERT INTO units_stage VALUES ('2026-01-01', 1, 2, 1), ('2026-01-01', 2, NULL, 10), ('2026-01-02', 1, NULL, 10), ('2026-01-02', 2, NULL, 2), ('31/01/2026', 5, NULL, 1);
SELECT idem_import_create('units', 'units_stage', 'units', mode => 'overwrite', key => ARRAY['day', 'id'], scope => ARRAY['day'], reject_limit => 5,
	settings => '{"DateStyle": "ISO, MDY"}');
SELECT * FROM ran('units');
SELECT * FROM retried('units');
ALTER TABLE units DROP CONSTRAINT units_n_check;
SELECT idem_import_alter('units', settings => '{"DateStyle": "ISO, DMY"}');
SELECT * FROM retried('units');
SELECT * FROM units ORDER BY day, id;
SELECT * FROM ran('units');
SELECT count(*) FROM open_rejects('units');
SELECT idem_import_drop('units', purge => true);

-- without a key: beside the others, and not twice
SELECT idem_import_create('bag', 'bag_stage', 'bag', mode => 'overwrite', reject_limit => 9);
SELECT * FROM ran('bag');
ALTER TABLE bag DROP CONSTRAINT bag_v_check;
SELECT * FROM retried('bag');
SELECT * FROM bag ORDER BY v, n;
SELECT * FROM ran('bag');
SELECT * FROM bag ORDER BY v, n;
SELECT count(*) FROM open_rejects('bag');
SELECT idem_import_drop('bag', purge => true);

-- who may not run an import may not try its rejects
SELECT * FROM refused($$SELECT idem_import_retry_rejects('nobody''s')$$);
SELECT * FROM refused($$SELECT idem_import_retry_rejects(NULL)$$);

--
-- batches, checkpoints, and calls that commit each of them
--
CREATE TABLE steps (id int PRIMARY KEY, n int CHECK (n < 100));
CREATE TABLE steps_stage (id int, n text, seq int);
INSERT INTO steps_stage SELECT i, i % 90, i FROM generate_series(1, 40) i;
UPDATE steps_stage SET n = '100' WHERE id IN (1, 20, 40);
UPDATE steps_stage SET n = 'x' WHERE id IN (2, 39);
SELECT idem_import_create('steps', 'steps_stage', 'steps', key => ARRAY['id'], columns => ARRAY['id', 'n'], batch_size => 7, reject_limit => 4);
SELECT code, message FROM refused($$SELECT idem_import_run('steps')$$);
SELECT count(*) FROM steps;
SELECT idem_import_alter('steps', reject_limit => 5);
SELECT * FROM ran('steps');
SELECT * FROM ran('steps');
SELECT "row" ->> 'id' AS id, sqlstate FROM open_rejects('steps') ORDER BY ("row" ->> 'id')::int;
SELECT idem_import_drop('steps', purge => true);
TRUNCATE steps;
SELECT idem_import_create('steps', 'steps_stage', 'steps', key => ARRAY['id'], columns => ARRAY['id', 'n'], batch_size => 7, reject_limit => 2);
CALL idem_import_run_units('steps');
SELECT count(*) FROM steps;
SELECT sum(rejected) FROM idem_import_history WHERE import = 'steps';
SELECT count(*) FROM open_rejects('steps');
SELECT idem_import_drop('steps', purge => true);
TRUNCATE steps;
SELECT idem_import_create('steps', 'steps_stage', 'steps', key => ARRAY['id'], columns => ARRAY['id', 'n'], cursor_column => 'seq', reject_limit => 9);
SELECT * FROM ran('steps');
-- the mark has passed them: they stay open until they are tried alone
INSERT INTO steps_stage VALUES (41, '1', 41);
SELECT * FROM ran('steps');
SELECT count(*) FROM open_rejects('steps');
ALTER TABLE steps DROP CONSTRAINT steps_n_check;
SELECT * FROM retried('steps');
SELECT "row" ->> 'id' AS id, sqlstate FROM open_rejects('steps') ORDER BY ("row" ->> 'id')::int;
INSERT INTO steps_stage VALUES (42, '1', 42);
SELECT * FROM ran('steps');
SELECT count(*) FROM steps;
SELECT idem_import_drop('steps', purge => true);
