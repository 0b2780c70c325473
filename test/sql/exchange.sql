-- exchange: rows that hand unique values to each other, which no order of statements can

CREATE SCHEMA exchange;
SET search_path = exchange, public;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

--
-- two rows, a chain, a cycle
--
CREATE TABLE stage (id int, code text, val text);
CREATE TABLE goal (id int PRIMARY KEY, code text NOT NULL UNIQUE, val text, note text DEFAULT 'new');
SELECT idem_import_create('swap', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id']);
INSERT INTO stage VALUES (1, 'a', 'one'), (2, 'b', 'two'), (3, 'c', 'three'), (4, 'd', 'four');
SELECT * FROM again('swap');
-- neither imported, nor lost
UPDATE goal SET note = 'note ' || id;
UPDATE stage SET code = CASE code WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE code END;
SELECT * FROM again('swap');
TABLE goal ORDER BY id;
-- beside it a plain update, an insert and a removal
UPDATE stage SET code = CASE code WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE code END;
UPDATE stage SET val = 'THREE' WHERE id = 3;
DELETE FROM stage WHERE id = 4;
INSERT INTO stage VALUES (5, 'e', 'five');
SELECT * FROM again('swap');
TABLE goal ORDER BY id;
-- a chain, whose head is new
UPDATE stage SET code = CASE id WHEN 1 THEN 'f' WHEN 2 THEN 'a' WHEN 3 THEN 'b' WHEN 5 THEN 'c' END;
SELECT * FROM again('swap');
TABLE goal ORDER BY id;
-- and the same the other way round
UPDATE stage SET code = CASE id WHEN 1 THEN 'a' WHEN 2 THEN 'b' WHEN 3 THEN 'c' WHEN 5 THEN 'g' END;
SELECT * FROM again('swap');
-- exchanged by hand
UPDATE goal SET code = 'x' WHERE id = 1;
UPDATE goal SET code = 'a' WHERE id = 2;
UPDATE goal SET code = 'b' WHERE id = 1;
SELECT * FROM again('swap');
TABLE goal ORDER BY id;

--
-- values handed on by rows that go, to rows that come
--
-- from a removed row to an inserted one, and to an updated one
UPDATE stage SET id = 6 WHERE id = 5;
SELECT * FROM again('swap');
DELETE FROM stage WHERE id = 6;
UPDATE stage SET code = 'g' WHERE id = 1;
SELECT * FROM again('swap');
-- from an updated row to an inserted one
UPDATE stage SET code = 'h' WHERE id = 1;
INSERT INTO stage VALUES (7, 'g', 'seven');
SELECT * FROM again('swap');
-- from a cycle to an inserted row: 1 takes 2's, 2 takes 3's, 3 a new one, 8 takes 1's
UPDATE stage SET code = CASE id WHEN 1 THEN 'b' WHEN 2 THEN 'c' WHEN 3 THEN 'z' ELSE code END;
INSERT INTO stage VALUES (8, 'h', 'eight');
SELECT * FROM again('swap');
TABLE goal ORDER BY id;
-- the same, in the other order of rows
UPDATE stage SET code = CASE id WHEN 3 THEN 'c' WHEN 2 THEN 'b' WHEN 1 THEN 'y' ELSE code END;
INSERT INTO stage VALUES (0, 'z', 'zero');
SELECT * FROM again('swap');
TABLE goal ORDER BY id;
-- an exchange proper, which a new row and a removed one join
UPDATE stage SET code = CASE id WHEN 1 THEN 'b' WHEN 2 THEN 'c' WHEN 3 THEN 'g' ELSE code END;
UPDATE stage SET id = 9, code = 'y' WHERE id = 7;
SELECT * FROM again('swap');
TABLE goal ORDER BY id;
SELECT idempotent, second_changes FROM idem_import_prove('swap');

--
-- violated for real: 23505, and nothing is written
--
SELECT image('goal') AS image \gset
UPDATE stage SET code = 'b' WHERE id = 2;
SELECT idem_import_run('swap');
SELECT image('goal') = :'image' AS untouched;
UPDATE stage SET code = 'q' WHERE id = 2;
INSERT INTO stage VALUES (10, 'b', 'ten');
SELECT idem_import_run('swap');
SELECT image('goal') = :'image' AS untouched;
SELECT status, sqlstate FROM idem_import_ledger WHERE import = 'swap';
UPDATE stage SET code = NULL WHERE id = 10;
SELECT idem_import_run('swap');
SELECT image('goal') = :'image' AS untouched;
DELETE FROM stage WHERE id = 10;
SELECT * FROM again('swap');
SELECT idem_import_drop('swap', purge => true);
-- merge asks no row to go, so its value is taken
TRUNCATE stage;
SELECT idem_import_create('swap', 'stage', 'goal', key => ARRAY['id']);
INSERT INTO stage VALUES (20, 'b', 'twenty');
SELECT * FROM refused($$SELECT idem_import_run('swap')$$);
SELECT idem_import_drop('swap', purge => true);

--
-- a cycle of a thousand rows, and of two unique columns
--
CREATE TABLE ring (id int, a int, b int, val text);
CREATE TABLE ring_goal (id int PRIMARY KEY, a int NOT NULL UNIQUE, b int UNIQUE, val text, note text);
INSERT INTO ring SELECT i, i, -i, 'v' FROM generate_series(1, 1000) i;
SELECT idem_import_create('ring', 'ring', 'ring_goal', key => ARRAY['id']);
SELECT * FROM again('ring');
UPDATE ring_goal SET note = id;
UPDATE ring SET a = a % 1000 + 1;
SELECT * FROM again('ring');
UPDATE ring SET a = (a + 997) % 1000 + 1, b = -((-b + 10) % 1000 + 1), val = id % 2;
SELECT * FROM again('ring');
SELECT count(*), sum(a), sum(b), count(*) FILTER (WHERE note = id::text) AS notes FROM ring_goal;
-- NULLs do not stand in the way
UPDATE ring SET b = CASE WHEN id % 2 = 0 THEN NULL ELSE b END;
SELECT * FROM again('ring');
UPDATE ring SET b = CASE WHEN id % 2 = 0 THEN id ELSE NULL END;
SELECT * FROM again('ring');
SELECT count(*) FILTER (WHERE note = id::text) AS notes FROM ring_goal;
SELECT idem_import_drop('ring', purge => true);

--
-- keep_columns, delete_flag and versions in an exchange
--
CREATE TABLE kept (id int, code text, first_seen date, ver int, gone boolean);
CREATE TABLE kept_goal (id int PRIMARY KEY, code text UNIQUE, first_seen date, ver int);
SELECT idem_import_create('kept', 'kept', 'kept_goal', key => ARRAY['id'], keep_columns => ARRAY['first_seen'],
	version_column => 'ver', delete_flag => 'gone');
INSERT INTO kept VALUES (1, 'a', '2026-01-01', 1), (2, 'b', '2026-01-01', 1), (3, 'c', '2026-01-01', 1);
SELECT * FROM again('kept');
UPDATE kept SET code = CASE id WHEN 1 THEN 'b' WHEN 2 THEN 'a' ELSE code END, first_seen = '2026-06-06', ver = 2;
SELECT * FROM again('kept');
TABLE kept_goal ORDER BY id;
-- the value of a flagged row, and of a stale one
UPDATE kept SET gone = true WHERE id = 3;
UPDATE kept SET code = 'c', ver = 3 WHERE id = 1;
SELECT * FROM again('kept');
UPDATE kept_goal SET ver = 9 WHERE id = 2;
UPDATE kept SET code = CASE id WHEN 1 THEN 'a' WHEN 2 THEN 'c' END, ver = 4;
SELECT * FROM refused($$SELECT idem_import_run('kept')$$);
TABLE kept_goal ORDER BY id;
SELECT idem_import_drop('kept', purge => true);

--
-- several columns, partial, generated, expression, NULLS NOT DISTINCT, deferrable
--
CREATE TABLE more (id int, a int, b int, c text, live boolean);
CREATE TABLE several (id int PRIMARY KEY, a int, b int, c text, live boolean, UNIQUE (a, b));
CREATE TABLE partial (id int PRIMARY KEY, a int, b int, c text, live boolean);
CREATE UNIQUE INDEX ON partial (a) WHERE live;
CREATE TABLE expression (id int PRIMARY KEY, a int, b int, c text, live boolean);
CREATE UNIQUE INDEX ON expression (lower(c));
CREATE TABLE generated (id int PRIMARY KEY, a int, b int, c text, live boolean, d text GENERATED ALWAYS AS (lower(c)) STORED UNIQUE);
CREATE TABLE notdistinct (id int PRIMARY KEY, a int, b int, c text, live boolean, UNIQUE NULLS NOT DISTINCT (a));
CREATE TABLE deferred (id int PRIMARY KEY, a int, b int, c text, live boolean, UNIQUE (c) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE excluded (id int PRIMARY KEY, a int, b int, c text, live boolean, EXCLUDE USING btree (a WITH =));
CREATE TABLE covering (id int PRIMARY KEY, a int, b int, c text, live boolean);
CREATE UNIQUE INDEX ON covering (c) INCLUDE (a);

INSERT INTO more VALUES (1, 1, 1, 'A', true), (2, 1, 2, 'B', true), (3, 2, 1, 'C', false), (4, 2, 2, 'D', false);
UPDATE more SET a = id * 10 WHERE id > 0;
SELECT idem_import_create(t, 'more', t::regclass, mode => 'overwrite', key => ARRAY['id'])
FROM unnest(ARRAY['several', 'partial', 'expression', 'generated', 'notdistinct', 'deferred', 'excluded', 'covering']) t;
CREATE FUNCTION everywhere() RETURNS TABLE (target text, inserted bigint, updated bigint, unchanged bigint, removed bigint, checks text)
LANGUAGE plpgsql AS $$
BEGIN
	FOREACH target IN ARRAY ARRAY['several', 'partial', 'expression', 'generated', 'notdistinct', 'deferred', 'excluded', 'covering'] LOOP
		BEGIN
			SELECT a.inserted, a.updated, a.unchanged, a.removed, a.checks INTO inserted, updated, unchanged, removed, checks FROM again(target) a;
		EXCEPTION WHEN OTHERS THEN
			inserted := NULL; updated := NULL; unchanged := NULL; removed := NULL;
			checks := SQLSTATE || ' ' || SQLERRM;
		END;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT * FROM everywhere();
-- 1 and 2 exchange all they have
UPDATE more m SET a = o.a, b = o.b, c = o.c FROM more o WHERE (m.id, o.id) IN ((1, 2), (2, 1));
SELECT * FROM everywhere();
-- a live row and one that is not; and a case
UPDATE more m SET a = o.a, live = o.live FROM more o WHERE (m.id, o.id) IN ((1, 3), (3, 1));
UPDATE more SET c = lower(c) WHERE id = 4;
SELECT * FROM everywhere();
-- live alone changes
UPDATE more SET live = NOT live;
SELECT * FROM everywhere();
-- a NULL wanders
UPDATE more SET a = NULL WHERE id = 1;
SELECT * FROM everywhere();
UPDATE more SET a = CASE id WHEN 1 THEN 77 WHEN 2 THEN NULL ELSE a END;
SELECT * FROM everywhere();
-- in a circle, with one that goes and one that comes
DELETE FROM more WHERE id = 4;
UPDATE more m SET a = o.a, b = o.b, c = o.c FROM more o WHERE (m.id, o.id) IN ((1, 2), (2, 3), (3, 1));
INSERT INTO more VALUES (5, 40, 2, 'd', true);
SELECT * FROM everywhere();
SELECT a.import, a.checksum = all_same.checksum AS same
FROM idem_import_ledger l, LATERAL (SELECT l.import, l.target_checksum AS checksum) a,
	 (SELECT target_checksum AS checksum FROM idem_import_ledger WHERE import = 'several') all_same
WHERE l.import IN ('several', 'partial', 'expression', 'generated', 'notdistinct', 'deferred', 'excluded', 'covering') ORDER BY 1;
SELECT idem_import_drop(t, purge => true)
FROM unnest(ARRAY['several', 'partial', 'expression', 'generated', 'notdistinct', 'deferred', 'excluded', 'covering']) t;

--
-- ranges that may not overlap
--
CREATE TABLE rooms (id int, during int4range);
CREATE TABLE booked (id int PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&));
INSERT INTO rooms VALUES (1, '[1,5)'), (2, '[5,9)'), (3, '[20,30)');
SELECT idem_import_create('rooms', 'rooms', 'booked', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('rooms');
UPDATE rooms SET during = CASE id WHEN 1 THEN int4range(5, 9) WHEN 2 THEN int4range(1, 5) ELSE during END;
SELECT * FROM again('rooms');
-- one grows, the other gives way
UPDATE rooms SET during = CASE id WHEN 1 THEN int4range(3, 9) WHEN 2 THEN int4range(1, 3) ELSE during END;
SELECT * FROM again('rooms');
TABLE booked ORDER BY id;
UPDATE rooms SET during = int4range(2, 4) WHERE id = 3;
SELECT idem_import_run('rooms');
SELECT idem_import_drop('rooms', purge => true);

--
-- in partitions
--
CREATE TABLE parts (id int, day int, code text);
CREATE TABLE parted (id int, day int, code text, note text, PRIMARY KEY (id, day), UNIQUE (code, day)) PARTITION BY LIST (day);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
INSERT INTO parts VALUES (1, 1, 'a'), (2, 1, 'b'), (1, 2, 'a'), (2, 2, 'b');
SELECT idem_import_create('parts', 'parts', 'parted', mode => 'overwrite', key => ARRAY['id', 'day']);
SELECT * FROM again('parts');
UPDATE parted SET note = 'note';
UPDATE parts SET code = CASE code WHEN 'a' THEN 'b' ELSE 'a' END;
SELECT * FROM again('parts');
SELECT tableoid::regclass, * FROM parted ORDER BY day, id;
SELECT idem_import_drop('parts', purge => true);

-- a parent's own unique index, but the rows lie in a child: they have to stay there
CREATE TABLE elder (id int PRIMARY KEY, code text UNIQUE);
CREATE TABLE younger (extra text, PRIMARY KEY (id), UNIQUE (code)) INHERITS (elder);
CREATE TABLE elder_stage (id int, code text);
INSERT INTO elder_stage VALUES (1, 'a'), (2, 'b');
INSERT INTO younger VALUES (1, 'b', 'kept'), (2, 'a', 'kept');
SELECT idem_import_create('elder', 'elder_stage', 'elder', key => ARRAY['id']);
SELECT idem_import_run('elder');
SELECT tableoid::regclass, * FROM elder ORDER BY id;
UPDATE elder_stage SET code = 'c' WHERE id = 1;
UPDATE younger SET code = 'd' WHERE id = 2;
SELECT * FROM again('elder');
TABLE younger ORDER BY id;
SELECT idem_import_drop('elder', purge => true);

--
-- foreign keys that refer to the table
--
CREATE TABLE parent (id int PRIMARY KEY, code text NOT NULL UNIQUE);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, code text REFERENCES parent (code) ON UPDATE CASCADE);
CREATE TABLE parent_stage (id int, code text);
INSERT INTO parent_stage VALUES (1, 'a'), (2, 'b'), (3, 'c');
SELECT idem_import_create('parent', 'parent_stage', 'parent', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('parent');
INSERT INTO child VALUES (11, 1, NULL), (12, 2, NULL);
UPDATE parent_stage SET code = CASE code WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE code END;
SELECT * FROM again('parent');
TABLE child ORDER BY id;
TABLE parent ORDER BY id;
-- a row that is referred to can't go
DELETE FROM parent_stage WHERE id = 2;
SELECT idem_import_run('parent');
TABLE parent ORDER BY id;
INSERT INTO parent_stage VALUES (2, 'a');
SELECT idem_import_drop('parent', purge => true);
-- ON DELETE CASCADE: an exchange would delete children
ALTER TABLE child DROP CONSTRAINT child_parent_fkey, ADD FOREIGN KEY (parent) REFERENCES parent ON DELETE CASCADE;
SELECT idem_import_create('parent', 'parent_stage', 'parent', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('parent');
UPDATE parent_stage SET code = CASE code WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE code END;
SELECT idem_import_run('parent');
TABLE parent ORDER BY id;
TABLE child ORDER BY id;
-- but those of a removed row go with it, as declared
UPDATE parent_stage SET code = CASE code WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE code END;
DELETE FROM parent_stage WHERE id = 2;
SELECT * FROM again('parent');
TABLE child ORDER BY id;
-- nor may method replace delete rows that only come back
SELECT idem_import_alter('parent', method => 'replace');
UPDATE parent_stage SET code = 'new' WHERE id = 3;
SELECT * FROM refused($$SELECT idem_import_run('parent')$$);
TABLE parent ORDER BY id;
TABLE child ORDER BY id;
SELECT idem_import_drop('parent', purge => true);
-- RESTRICT can't wait for the end of the statement
ALTER TABLE child DROP CONSTRAINT child_parent_fkey, ADD FOREIGN KEY (parent) REFERENCES parent ON DELETE RESTRICT;
UPDATE parent_stage SET code = CASE id WHEN 1 THEN 'x' ELSE code END;
INSERT INTO parent_stage VALUES (2, 'y');
SELECT idem_import_create('parent', 'parent_stage', 'parent', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('parent');
UPDATE parent_stage SET code = CASE code WHEN 'x' THEN 'y' WHEN 'y' THEN 'x' ELSE code END;
SELECT code, message, hint FROM refused($$SELECT idem_import_run('parent')$$);
TABLE parent ORDER BY id;
SELECT idem_import_drop('parent', purge => true);

--
-- a foreign key to the table itself
--
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree, code text UNIQUE, note text);
CREATE TABLE tree_stage (id int, up int, code text);
-- children before parents
INSERT INTO tree_stage VALUES (5, 4, 'e'), (4, 3, 'd'), (3, 2, 'c'), (2, 1, 'b'), (1, NULL, 'a');
SELECT idem_import_create('tree', 'tree_stage', 'tree', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('tree');
UPDATE tree SET note = 'note ' || id;
-- a parent is replaced by another one, and by one that takes over its code
INSERT INTO tree_stage VALUES (6, 2, 'f');
UPDATE tree_stage SET up = 6 WHERE up = 3;
DELETE FROM tree_stage WHERE id = 3;
SELECT * FROM again('tree');
INSERT INTO tree_stage VALUES (7, 2, 'f');
UPDATE tree_stage SET up = 7 WHERE up = 6;
DELETE FROM tree_stage WHERE id = 6;
SELECT * FROM refused($$SELECT idem_import_run('tree')$$);
UPDATE tree_stage SET code = 'g' WHERE id = 7;
SELECT * FROM again('tree');
-- an exchange among parents and children
UPDATE tree_stage SET code = CASE code WHEN 'a' THEN 'b' WHEN 'b' THEN 'e' WHEN 'e' THEN 'a' ELSE code END;
SELECT * FROM again('tree');
TABLE tree ORDER BY id;
-- parents upside down, in a circle
UPDATE tree_stage SET up = CASE id WHEN 1 THEN 5 ELSE up END;
SELECT * FROM again('tree');
DELETE FROM tree_stage;
SELECT * FROM again('tree');
TABLE tree;
SELECT idem_import_drop('tree', purge => true);
-- with ON DELETE CASCADE, a child that changes its parent stays
CREATE TABLE vine (id int PRIMARY KEY, up int REFERENCES vine ON DELETE CASCADE, note text);
CREATE TABLE vine_stage (id int, up int);
INSERT INTO vine_stage VALUES (1, NULL), (2, 1), (3, 2), (4, 3);
SELECT idem_import_create('vine', 'vine_stage', 'vine', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('vine');
UPDATE vine SET note = 'note ' || id;
INSERT INTO vine_stage VALUES (9, 1);
UPDATE vine_stage SET up = 9 WHERE id = 3;
DELETE FROM vine_stage WHERE id = 2;
SELECT * FROM again('vine');
TABLE vine ORDER BY id;
-- one whose parent goes can't stay
DELETE FROM vine_stage WHERE id = 3;
SELECT * FROM refused($$SELECT idem_import_run('vine')$$);
TABLE vine ORDER BY id;
SELECT idem_import_drop('vine', purge => true);

SELECT count(*) FROM idem_import_definition;
SELECT count(*) FROM idem_import_ledger;
SELECT count(*) FROM idem_import_history;
DROP SCHEMA exchange CASCADE;
