-- native: rows that are put into tables as COPY does it get all that INSERT gives them
--
-- The engine makes no difference to what is printed here, but in the last part.

CREATE SCHEMA native;
SET search_path = native, public;
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

CREATE TABLE three (id int, a text);
INSERT INTO three SELECT i, 'a' || i FROM generate_series(1, 3) i;
CREATE TABLE calls (what text, n bigint DEFAULT 1);
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO calls VALUES (concat_ws(' ', TG_TABLE_NAME, TG_NAME, TG_WHEN, TG_OP));
	RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE FUNCTION note_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO calls VALUES (concat_ws(' ', TG_TABLE_NAME, TG_NAME, TG_WHEN, TG_OP));
	RETURN NULL;
END $$;
CREATE FUNCTION note_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO calls SELECT concat_ws(' ', TG_TABLE_NAME, TG_NAME, string_agg(n.id || coalesce(to_jsonb(n)->>'a', to_jsonb(n)->>'b'), ' ' ORDER BY n.id)), count(*) FROM n;
	RETURN NULL;
END $$;
CREATE FUNCTION note_old() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO calls SELECT concat_ws(' ', TG_TABLE_NAME, TG_NAME, string_agg(o.id || coalesce(to_jsonb(o)->>'a', to_jsonb(o)->>'b'), ' ' ORDER BY o.id)), count(*) FROM o;
	RETURN NULL;
END $$;
-- what has been called since the last look
CREATE FUNCTION called() RETURNS TABLE (what text, n bigint) LANGUAGE sql AS $$
WITH gone AS (DELETE FROM calls RETURNING *) SELECT what, sum(n)::bigint FROM gone GROUP BY 1 ORDER BY what COLLATE "C" $$;

--
-- partitions of other shapes, two levels deep, with checks, defaults and triggers of their own
--
CREATE TABLE shapes (id int PRIMARY KEY, gone int, b text, x int, g int GENERATED ALWAYS AS (id * 2) STORED, d int DEFAULT 5) PARTITION BY RANGE (id);
ALTER TABLE shapes DROP COLUMN gone;
CREATE TABLE shapes_same PARTITION OF shapes FOR VALUES FROM (0) TO (10);
CREATE TABLE shapes_other (junk int, g int GENERATED ALWAYS AS (id * 2) STORED, d int DEFAULT 99, x int, b text, id int NOT NULL, CONSTRAINT not_13 CHECK (x <> 13));
ALTER TABLE shapes_other DROP COLUMN junk;
ALTER TABLE shapes ATTACH PARTITION shapes_other FOR VALUES FROM (10) TO (20);
CREATE TABLE shapes_deep (x int, id int NOT NULL, b text, g int GENERATED ALWAYS AS (id * 2) STORED, d int) PARTITION BY HASH (id);
CREATE TABLE shapes_deep_0 (b text, id int NOT NULL, x int, d int, g int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE shapes_deep ATTACH PARTITION shapes_deep_0 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shapes_deep_1 PARTITION OF shapes_deep FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE shapes ATTACH PARTITION shapes_deep FOR VALUES FROM (20) TO (40);
CREATE TRIGGER own AFTER INSERT OR UPDATE OR DELETE ON shapes_other FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TRIGGER never AFTER INSERT ON shapes_other EXECUTE FUNCTION note_statement();
CREATE TRIGGER inherited AFTER INSERT OR UPDATE ON shapes FOR EACH ROW WHEN (NEW.x > 6) EXECUTE FUNCTION note_row();
CREATE TRIGGER statement AFTER INSERT ON shapes EXECUTE FUNCTION note_statement();
CREATE TRIGGER transition AFTER INSERT ON shapes REFERENCING NEW TABLE AS n EXECUTE FUNCTION note_new();
CREATE TABLE shapes_src AS SELECT i * 3 AS id, 'b' || i AS b, i AS x FROM generate_series(0, 12) i;
SELECT idem_import_create('shapes', 'shapes_src', 'shapes', key => ARRAY['id']);
SELECT * FROM again('shapes');
SELECT tableoid::regclass, * FROM shapes ORDER BY id;
SELECT * FROM called();
-- changed, new and moved rows
UPDATE shapes_src SET x = x + 1 WHERE id IN (3, 15, 30);
INSERT INTO shapes_src VALUES (16, 'new', 16), (31, 'new', 1);
UPDATE shapes SET d = -1, id = 17 WHERE id = 9;
SELECT * FROM called();
SELECT * FROM again('shapes');
SELECT tableoid::regclass, * FROM shapes WHERE id IN (3, 9, 15, 16, 17, 30, 31) ORDER BY id;
SELECT * FROM called();
-- no partition; a partition's own check; nothing is written
INSERT INTO shapes_src VALUES (1, 'new', 1), (100, 'none', 1);
SELECT code, message, detail FROM refused($$SELECT idem_import_run('shapes')$$);
UPDATE shapes_src SET id = 11, x = 13 WHERE id = 100;
SELECT code, message, detail FROM refused($$SELECT idem_import_run('shapes')$$);
SELECT count(*) FROM shapes;
SELECT * FROM called();
-- a partition by itself keeps to its bounds
SELECT idem_import_create('leaf', $$SELECT id, b, x FROM shapes_src WHERE id BETWEEN 10 AND 29 AND x <> 13$$, 'shapes_other', key => ARRAY['id']);
SELECT code, message FROM refused($$SELECT idem_import_run('leaf')$$);
SELECT idem_import_alter('leaf', source => $$SELECT id, b, x FROM shapes_src WHERE id BETWEEN 10 AND 19 AND x <> 13$$);
DELETE FROM shapes_other;
SELECT * FROM again('leaf');
SELECT tableoid::regclass, * FROM shapes WHERE id BETWEEN 10 AND 19 ORDER BY id;
SELECT idem_import_create('deep', $$SELECT id, b, x + 1 AS x FROM shapes_src WHERE id BETWEEN 20 AND 39$$, 'shapes_deep', key => ARRAY['id']);
SELECT * FROM again('deep');
SELECT idem_import_drop(i, purge => true) FROM unnest(ARRAY['shapes', 'leaf', 'deep']) i;
DROP TABLE shapes;
TRUNCATE calls;

-- routed by a default, into many partitions, in more than one batch
CREATE TABLE routed (id int, a text, k int DEFAULT 2, UNIQUE (id, k)) PARTITION BY LIST (k);
CREATE TABLE routed_1 PARTITION OF routed FOR VALUES IN (1);
CREATE TABLE routed_2 PARTITION OF routed FOR VALUES IN (2);
SELECT idem_import_create('routed', 'three', 'routed', mode => 'overwrite', columns => ARRAY['id', 'a']);
SELECT tableoid::regclass, * FROM routed;
SELECT status, inserted FROM idem_import_run('routed');
SELECT tableoid::regclass, * FROM routed ORDER BY id;
SELECT idem_import_drop('routed', purge => true);
CREATE TABLE many (id int PRIMARY KEY, a text) PARTITION BY HASH (id);
DO $$
BEGIN
	FOR i IN 0 .. 69 LOOP
		EXECUTE format('CREATE TABLE many_%s PARTITION OF many FOR VALUES WITH (MODULUS 70, REMAINDER %1$s)', i);
	END LOOP;
END $$;
CREATE TABLE many_src AS SELECT i AS id, 'x' || i AS a FROM generate_series(1, 10000) i;
SELECT idem_import_create('many', 'many_src', 'many', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('many');
UPDATE many_src SET a = a || '!' WHERE id % 100 = 0;
UPDATE many_src SET id = id + 100000 WHERE id % 1000 = 1;
SELECT * FROM again('many');
SELECT count(*), count(DISTINCT tableoid), count(DISTINCT a), sum(id), count(*) FILTER (WHERE a LIKE '%!') FROM many;
SELECT idem_import_drop('many', purge => true);
DROP TABLE many;

--
-- defaults, identity, generated columns, dropped columns, domains, types that are cut to length
--
CREATE SEQUENCE drawn;
CREATE DOMAIN seven AS int DEFAULT 7 CHECK (VALUE > 0);
CREATE DOMAIN needed AS text NOT NULL;
CREATE FUNCTION stable_default() RETURNS int LANGUAGE sql STABLE AS 'SELECT 42';
CREATE TABLE defaults (
	id int PRIMARY KEY, gone int, a text,
	g text GENERATED ALWAYS AS (a || '!') STORED,
	h int GENERATED ALWAYS AS (length(a) + id) STORED,
	s serial, i int GENERATED ALWAYS AS IDENTITY, j int GENERATED BY DEFAULT AS IDENTITY (START 10),
	d seven, n int DEFAULT nextval('drawn'), v int DEFAULT (random() * 0)::int + 8,
	at timestamptz DEFAULT '2020-01-01', c varchar(3) DEFAULT 'ab', st int DEFAULT stable_default(), none int);
ALTER TABLE defaults DROP COLUMN gone;
SELECT idem_import_create('defaults', 'three', 'defaults', key => ARRAY['id'], columns => ARRAY['id', 'a']);
SELECT * FROM again('defaults');
SELECT id, a, g, h, d, v, at, c, st, none FROM defaults ORDER BY id;
SELECT count(DISTINCT s), min(s) > 0, count(DISTINCT i), min(i) > 0, count(DISTINCT j), min(j) >= 10, count(DISTINCT n), min(n) > 0 FROM defaults;
INSERT INTO three VALUES (4, 'a4');
UPDATE three SET a = 'A2' WHERE id = 2;
UPDATE defaults SET none = 1, c = 'xyz';
SELECT * FROM again('defaults');
SELECT id, a, g, h, d, v, at, c, st, none FROM defaults ORDER BY id;
SELECT count(DISTINCT s), count(DISTINCT i), count(DISTINCT j), count(DISTINCT n) FROM defaults;
UPDATE three SET a = 'a2' WHERE id = 2;
DELETE FROM three WHERE id = 4;
SELECT idem_import_drop('defaults', purge => true);
-- an identity column that is imported; one table's default looks at the table itself
CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text);
CREATE TABLE counting (id int PRIMARY KEY);
CREATE FUNCTION seen() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT count(*)::int FROM counting';
ALTER TABLE counting ADD n int DEFAULT seen();
SELECT idem_import_create('always', 'three', 'always', key => ARRAY['id']);
SELECT idem_import_create('counting', 'SELECT id FROM three', 'counting', key => ARRAY['id']);
SELECT * FROM again('always');
SELECT * FROM again('counting');
TABLE always ORDER BY id;
SELECT idem_import_drop(i, purge => true) FROM unnest(ARRAY['always', 'counting']) i;
CREATE TABLE lengths (id int PRIMARY KEY, v varchar(3), c char(4), n numeric(5,2), b bit(3), t timestamptz(0));
CREATE TABLE lengths_src (id text, v text, c text, n text, b text, t text);
INSERT INTO lengths_src VALUES ('1', 'abc', 'x', '1.005', '101', '2026-01-01 00:00:00.4'), ('2', 'a', '', '2', '000', NULL);
SELECT idem_import_create('lengths', 'lengths_src', 'lengths', key => ARRAY['id']);
SELECT * FROM again('lengths');
TABLE lengths ORDER BY id;
SELECT idem_import_drop('lengths', purge => true);

--
-- triggers: rows, statements, transition tables, conditions; what is deferred; what writes the table again
--
CREATE TABLE watched (id int PRIMARY KEY, a text);
CREATE TRIGGER r AFTER INSERT OR UPDATE OR DELETE ON watched FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TRIGGER w AFTER INSERT ON watched FOR EACH ROW WHEN (NEW.id > 2) EXECUTE FUNCTION note_row();
CREATE TRIGGER c AFTER UPDATE OF a ON watched FOR EACH ROW WHEN (OLD.a IS DISTINCT FROM NEW.a) EXECUTE FUNCTION note_row();
CREATE TRIGGER sb BEFORE INSERT OR UPDATE OR DELETE ON watched EXECUTE FUNCTION note_statement();
CREATE TRIGGER sa AFTER INSERT OR UPDATE OR DELETE ON watched EXECUTE FUNCTION note_statement();
CREATE TRIGGER ti AFTER INSERT ON watched REFERENCING NEW TABLE AS n EXECUTE FUNCTION note_new();
CREATE TRIGGER tu AFTER UPDATE ON watched REFERENCING NEW TABLE AS n OLD TABLE AS o EXECUTE FUNCTION note_new();
CREATE TRIGGER td AFTER DELETE ON watched REFERENCING OLD TABLE AS o EXECUTE FUNCTION note_old();
SELECT idem_import_create('watched', 'three', 'watched', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('watched');
SELECT * FROM called();
INSERT INTO three VALUES (4, 'a4');
UPDATE three SET a = 'A2' WHERE id = 2;
DELETE FROM three WHERE id = 1;
SELECT * FROM again('watched');
SELECT * FROM called();
-- a constraint trigger waits for the end of the transaction
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON watched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_row();
INSERT INTO three VALUES (1, 'a1');
BEGIN;
SELECT status, inserted FROM idem_import_run('watched');
SELECT what FROM called() WHERE what LIKE '%late%';
SET CONSTRAINTS ALL IMMEDIATE;
SELECT * FROM called();
COMMIT;
SELECT * FROM called();
SELECT idem_import_drop('watched', purge => true);
DELETE FROM three;
INSERT INTO three SELECT i, 'a' || i FROM generate_series(1, 3) i;
-- an error of a trigger undoes all
CREATE TABLE strict (id int PRIMARY KEY, a text);
CREATE FUNCTION no_three() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id = 3 THEN
		RAISE EXCEPTION 'no three, please';
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER no_three AFTER INSERT ON strict FOR EACH ROW EXECUTE FUNCTION no_three();
SELECT idem_import_create('strict', 'three', 'strict', key => ARRAY['id']);
SELECT code, message FROM refused($$SELECT idem_import_run('strict')$$);
SELECT count(*) FROM strict;
SELECT idem_import_drop('strict', purge => true);
-- an import within an import's trigger
CREATE TABLE first (id int PRIMARY KEY, a text);
CREATE TABLE second (id int PRIMARY KEY, a text);
CREATE FUNCTION chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO calls SELECT status, inserted + updated FROM idem_import_run('second');
	RETURN NULL;
END $$;
CREATE TRIGGER chain AFTER INSERT OR UPDATE ON first EXECUTE FUNCTION chain();
SELECT idem_import_create('first', 'three', 'first', key => ARRAY['id']);
SELECT idem_import_create('second', 'first', 'second', key => ARRAY['id']);
SELECT * FROM again('first');
SELECT * FROM called();
UPDATE three SET a = 'changed' WHERE id = 2;
SELECT * FROM again('first');
SELECT * FROM called();
TABLE second ORDER BY id;
UPDATE three SET a = 'a2' WHERE id = 2;
SELECT idem_import_drop(i, purge => true) FROM unnest(ARRAY['first', 'second']) i;

--
-- foreign keys: to another table, at once and deferred; to the table itself; towards it
--
CREATE TABLE par (id int PRIMARY KEY);
INSERT INTO par VALUES (1), (2);
CREATE TABLE fk_now (id int PRIMARY KEY REFERENCES par);
CREATE TABLE fk_late (id int PRIMARY KEY REFERENCES par DEFERRABLE INITIALLY DEFERRED);
SELECT idem_import_create('fk_now', 'SELECT id FROM three', 'fk_now', key => ARRAY['id']);
SELECT idem_import_create('fk_late', 'SELECT id FROM three', 'fk_late', key => ARRAY['id']);
SELECT code, message, detail FROM refused($$SELECT idem_import_run('fk_now')$$);
BEGIN;
SELECT status, inserted FROM idem_import_run('fk_late');
COMMIT;
SELECT count(*) FROM fk_late;
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT idem_import_run('fk_late');
ROLLBACK;
BEGIN;
SELECT status, inserted FROM idem_import_run('fk_late');
INSERT INTO par VALUES (3);
COMMIT;
SELECT * FROM again('fk_now');
SELECT * FROM again('fk_late');
SELECT (SELECT count(*) FROM fk_now) AS now, (SELECT count(*) FROM fk_late) AS late;
SELECT idem_import_drop(i, purge => true) FROM unnest(ARRAY['fk_now', 'fk_late']) i;
DROP TABLE fk_now, fk_late;
-- rows that refer to each other come in any order, and go together
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree, a text);
CREATE TABLE tree_src AS SELECT i AS id, CASE WHEN i < 2000 THEN i + 1 END AS up, 'a' AS a FROM generate_series(1, 2000) i;
SELECT idem_import_create('tree', 'tree_src', 'tree', mode => 'overwrite', key => ARRAY['id'], delete_limit => NULL);
SELECT * FROM again('tree');
DELETE FROM tree_src WHERE id > 1000;
UPDATE tree_src SET up = NULL WHERE up > 1000;
SELECT * FROM again('tree');
SELECT idem_import_drop('tree', purge => true);
-- what refers to the target forbids to remove, and may be left without
CREATE TABLE referred (id int PRIMARY KEY, a text);
CREATE TABLE refers (id int PRIMARY KEY, up int CONSTRAINT refers_up REFERENCES referred);
SELECT idem_import_create('referred', 'three', 'referred', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('referred');
INSERT INTO refers VALUES (1, 3), (2, 2);
UPDATE three SET a = 'A3' WHERE id = 3;
DELETE FROM three WHERE id = 2;
SELECT code, message, detail FROM refused($$SELECT idem_import_run('referred')$$);
TABLE referred ORDER BY id;
ALTER TABLE refers DROP CONSTRAINT refers_up, ADD FOREIGN KEY (up) REFERENCES referred ON DELETE SET NULL;
SELECT * FROM again('referred');
TABLE referred ORDER BY id;
TABLE refers ORDER BY id;
SELECT idem_import_drop('referred', purge => true);
DROP TABLE refers, referred;
DELETE FROM three;
INSERT INTO three SELECT i, 'a' || i FROM generate_series(1, 3) i;

--
-- constraints: checks, NOT NULL, domains, other unique indexes, exclusion; nothing is written
--
CREATE TABLE limits (
	id int PRIMARY KEY, n int NOT NULL, a text CONSTRAINT a_short CHECK (length(a) < 9), d needed, u int CONSTRAINT u_once UNIQUE,
	during int4range, CONSTRAINT apart EXCLUDE USING gist (during WITH &&));
CREATE UNIQUE INDEX limits_lower ON limits (lower(a)) WHERE id > 0;
CREATE TABLE limits_src (id int, n int, a text, d text, u int, during int4range);
INSERT INTO limits_src VALUES (1, 1, 'a', 'd', 1, '[1,5)'), (2, 2, 'b', 'd', 2, '[5,7)'), (3, 3, 'c', 'd', NULL, NULL);
SELECT idem_import_create('limits', 'limits_src', 'limits', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('limits');
CREATE FUNCTION with_row(text) RETURNS TABLE (code text, message text, detail text, rows bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'INSERT INTO limits_src VALUES ' || $1;
	SELECT r.code, r.message, r.detail INTO code, message, detail FROM refused('SELECT idem_import_run(''limits'')') r;
	DELETE FROM limits_src WHERE id > 3;
	SELECT count(*) INTO rows FROM limits;
	RETURN NEXT;
END $$;
SELECT * FROM with_row($$(4, 4, 'x', 'd', 4, NULL), (5, NULL, 'y', 'd', 5, NULL)$$);
SELECT * FROM with_row($$(4, 4, 'x', 'd', 4, NULL), (5, 5, 'much too long', 'd', 5, NULL)$$);
SELECT * FROM with_row($$(4, 4, 'x', 'd', 4, NULL), (5, 5, 'y', NULL, 5, NULL)$$);
SELECT * FROM with_row($$(4, 4, 'x', 'd', 4, NULL), (5, 5, 'y', 'd', 1, NULL)$$);
SELECT * FROM with_row($$(4, 4, 'x', 'd', 4, NULL), (5, 5, 'y', 'd', 4, NULL)$$);
SELECT * FROM with_row($$(4, 4, 'x', 'd', 4, NULL), (5, 5, 'B', 'd', 5, NULL)$$);
SELECT * FROM with_row($$(4, 4, 'x', 'd', 4, NULL), (5, 5, 'y', 'd', 5, '[6,9)')$$);
SELECT code, message, rows FROM with_row($$(4, 4, 'x', 'd', 4, '[20,30)'), (5, 5, 'y', 'd', 5, '[25,26)')$$);
-- values that move from row to row are no violation
UPDATE limits_src SET u = 3 - u WHERE id < 3;
UPDATE limits_src SET during = CASE id WHEN 1 THEN '[5,7)' ELSE '[1,5)' END::int4range WHERE id < 3;
SELECT * FROM again('limits');
UPDATE limits_src SET u = 1, a = 'a' WHERE id = 3;
DELETE FROM limits_src WHERE id = 1;
UPDATE limits_src SET u = NULL WHERE id = 2;
SELECT * FROM again('limits');
TABLE limits ORDER BY id;
SELECT idem_import_drop('limits', purge => true);
-- a column that is not imported and needs a value; a domain that does
CREATE TABLE lacking (id int PRIMARY KEY, a text, n int NOT NULL);
CREATE TABLE lacking_domain (id int PRIMARY KEY, a text, n needed);
SELECT idem_import_create('lacking', 'three', 'lacking', key => ARRAY['id'], columns => ARRAY['id', 'a']);
SELECT idem_import_create('lacking_domain', 'three', 'lacking_domain', key => ARRAY['id'], columns => ARRAY['id', 'a']);
SELECT code, message, detail FROM refused($$SELECT idem_import_run('lacking')$$);
SELECT code, message FROM refused($$SELECT idem_import_run('lacking_domain')$$);
SELECT idem_import_drop(i, purge => true) FROM unnest(ARRAY['lacking', 'lacking_domain']) i;
-- deferrable unique: at the end of the statement, or of the transaction
CREATE TABLE late (id int PRIMARY KEY, u int CONSTRAINT late_u UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE soon (id int PRIMARY KEY, u int CONSTRAINT soon_u UNIQUE DEFERRABLE);
SELECT idem_import_create('late', 'SELECT id, 1 AS u FROM three', 'late', key => ARRAY['id']);
SELECT idem_import_create('soon', 'SELECT id, 1 AS u FROM three', 'soon', key => ARRAY['id']);
SELECT code, message, detail FROM refused($$SELECT idem_import_run('soon')$$);
BEGIN;
SELECT status, inserted FROM idem_import_run('late');
COMMIT;
SELECT count(*) FROM late;
BEGIN;
SELECT status, inserted FROM idem_import_run('late');
UPDATE late SET u = id;
COMMIT;
TABLE late ORDER BY id;
SELECT idem_import_alter('soon', source => 'SELECT id, id AS u FROM three');
SELECT * FROM again('soon');
SELECT idem_import_alter('soon', source => 'SELECT id, 4 - id AS u FROM three');
SELECT * FROM again('soon');
SELECT idem_import_drop(i, purge => true) FROM unnest(ARRAY['late', 'soon']) i;

--
-- indexes of all kinds find the rows
--
CREATE TABLE indexed (id int PRIMARY KEY, a text, g text GENERATED ALWAYS AS (upper(a)) STORED, r int4range);
CREATE INDEX indexed_lower ON indexed (lower(a));
CREATE UNIQUE INDEX indexed_part ON indexed (g) WHERE id > 1;
CREATE INDEX indexed_gin ON indexed USING gin (to_tsvector('simple', a));
CREATE INDEX indexed_gist ON indexed USING gist (r);
CREATE INDEX indexed_brin ON indexed USING brin (id);
CREATE INDEX indexed_hash ON indexed USING hash (a) WITH (fillfactor = 50);
CREATE TABLE indexed_src AS SELECT i AS id, 'a' || i AS a, int4range(i, i + 1) AS r FROM generate_series(1, 3000) i;
SELECT idem_import_create('indexed', 'indexed_src', 'indexed', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('indexed');
UPDATE indexed_src SET a = 'B' || id, r = NULL WHERE id = 1500;
INSERT INTO indexed_src VALUES (4000, 'C4000', '[9000,9001)');
SELECT * FROM again('indexed');
SET enable_seqscan = off;
SELECT id FROM indexed WHERE lower(a) = 'b1500';
SELECT id FROM indexed WHERE g = 'C4000' AND id > 1;
SELECT id FROM indexed WHERE to_tsvector('simple', a) @@ 'b1500';
SELECT id FROM indexed WHERE to_tsvector('simple', a) @@ 'a1500';
SELECT id FROM indexed WHERE r @> 9000;
SELECT id FROM indexed WHERE a = 'a2999';
SELECT count(*) FROM indexed WHERE id BETWEEN 2990 AND 5000;
RESET enable_seqscan;
SELECT idem_import_drop('indexed', purge => true);

--
-- TOAST: a row's values are its own, and compared by what they are, not by how they are kept
--
CREATE TABLE toasted (id int PRIMARY KEY, a text, b text);
CREATE TABLE toasted_src (id int, a text, b text);
ALTER TABLE toasted_src ALTER a SET STORAGE EXTERNAL;
INSERT INTO toasted_src SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 200) j), repeat('b', 20000) FROM generate_series(1, 60) i;
SELECT idem_import_create('toasted', 'toasted_src', 'toasted', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('toasted');
ALTER TABLE toasted ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL;
UPDATE toasted SET a = a || '' WHERE id = 1;
SELECT * FROM again('toasted');
UPDATE toasted_src SET a = overlay(a placing '~' from 6000) WHERE id = 7;
UPDATE toasted_src SET b = NULL WHERE id = 8;
SELECT * FROM again('toasted');
CREATE TABLE kept AS SELECT md5(string_agg(id || a || coalesce(b, '~'), '' ORDER BY id)) AS sum FROM toasted_src;
TRUNCATE toasted_src;
SELECT count(*), sum(length(a)), sum(length(b)), md5(string_agg(id || a || coalesce(b, '~'), '' ORDER BY id)) = (TABLE kept) AS same FROM toasted;
SELECT idem_import_drop('toasted', purge => true);

--
-- wide tables: what functions and aggregates take ends at about 100 columns
--
CREATE FUNCTION wide(columns int) RETURNS SETOF counts LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT format('CREATE TABLE wide_src (%1$s); CREATE TABLE wide (%1$s, PRIMARY KEY (c1))', string_agg(format('c%s int', i), ', ' ORDER BY i))
			 FROM generate_series(1, columns) i);
	EXECUTE format('INSERT INTO wide_src SELECT %s FROM generate_series(1, 50) i',
				   (SELECT string_agg(CASE WHEN c % 7 = 0 THEN 'NULL' ELSE 'i * ' || c END, ', ' ORDER BY c) FROM generate_series(1, columns) c));
	PERFORM idem_import_create('wide', 'wide_src', 'wide', mode => 'overwrite', key => ARRAY['c1']);
	RETURN QUERY SELECT * FROM again('wide');
	EXECUTE format('UPDATE wide_src SET c%s = -1 WHERE c1 = 5', columns);
	UPDATE wide_src SET c1 = 100 WHERE c1 = 6;
	RETURN QUERY SELECT * FROM again('wide');
	PERFORM idem_import_drop('wide', purge => true);
	DROP TABLE wide_src, wide;
END $$;
SELECT columns, w.inserted, w.updated, w.unchanged, w.removed, w.checks FROM unnest(ARRAY[2, 96, 97, 98, 99, 100, 101, 300]) columns, wide(columns) w;

--
-- keys: NULL that equals NULL, several columns, values that are equal and do not look it
--
CREATE TABLE pairs_src (x int, y text, v text);
CREATE TABLE pairs (x int, y text, v text, n int DEFAULT 0);
CREATE UNIQUE INDEX pairs_key ON pairs (x, y) NULLS NOT DISTINCT;
INSERT INTO pairs_src VALUES (NULL, NULL, 'none'), (1, NULL, 'x'), (NULL, '1', 'y'), (1, '1', 'both'), (2, '', 'empty');
SELECT idem_import_create('pairs', 'pairs_src', 'pairs', mode => 'overwrite', key => ARRAY['x', 'y'], null_key => 'match', ignore_columns => '{}');
SELECT * FROM again('pairs');
UPDATE pairs SET n = 1;
UPDATE pairs_src SET v = v || '!' WHERE x IS NULL;
DELETE FROM pairs_src WHERE x = 1 AND y IS NULL;
INSERT INTO pairs_src VALUES (2, NULL, 'new'), (2, NULL, 'new');
SELECT * FROM again('pairs');
TABLE pairs ORDER BY x, y;
INSERT INTO pairs_src VALUES (NULL, NULL, 'other');
SELECT code, message FROM refused($$SELECT idem_import_run('pairs')$$);
-- or is no key at all
SELECT idem_import_alter('pairs', null_key => 'reject', reject_limit => 5, mode => 'merge');
SELECT * FROM again('pairs');
SELECT idem_import_alter('pairs', mode => 'overwrite', delete_limit => 1);
SELECT * FROM again('pairs');
TABLE pairs ORDER BY x, y;
SELECT idem_import_drop('pairs', purge => true);

CREATE TABLE nums_src (k numeric, v text);
CREATE TABLE nums (k numeric PRIMARY KEY, v text, n int DEFAULT 0);
INSERT INTO nums_src SELECT i + 0.0, 'v' || i FROM generate_series(1, 3000) i;
SELECT idem_import_create('nums', 'nums_src', 'nums', mode => 'overwrite', key => ARRAY['k']);
SELECT * FROM again('nums');
UPDATE nums SET n = 1;
UPDATE nums_src SET k = round(k, 3) WHERE k <= 10;
UPDATE nums_src SET v = 'new' WHERE k BETWEEN 10 AND 11;
SELECT * FROM again('nums');
SELECT k, v, n FROM nums WHERE k BETWEEN 9 AND 12 ORDER BY k;
INSERT INTO nums_src VALUES (12, 'v12');
SELECT code, message FROM refused($$SELECT idem_import_run('nums')$$);
SELECT idem_import_alter('nums', order_by => 'scale(k)');
SELECT * FROM again('nums');
SELECT k, v, n FROM nums WHERE k = 12;
SELECT idem_import_drop('nums', purge => true);

-- a collation for which letters have no case, if there is ICU
CREATE FUNCTION nocase() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'CREATE COLLATION nocase (provider = icu, locale = ''und-u-ks-level2'', deterministic = false)';
	CREATE TABLE names_src (k text, v text);
	EXECUTE 'CREATE TABLE names (k text COLLATE nocase PRIMARY KEY, v text)';
	INSERT INTO names_src SELECT 'Name' || i, 'v' FROM generate_series(1, 2000) i;
	PERFORM idem_import_create('names', 'names_src', 'names', mode => 'overwrite', key => ARRAY['k']);
	RETURN QUERY SELECT format('%s %s %s %s %s', a.inserted, a.updated, a.unchanged, a.removed, a.checks) FROM again('names') a;
	UPDATE names_src SET k = upper(k) WHERE k LIKE '%7';
	UPDATE names_src SET k = 'Other' WHERE k = 'Name8';
	RETURN QUERY SELECT format('%s %s %s %s %s', a.inserted, a.updated, a.unchanged, a.removed, a.checks) FROM again('names') a;
	INSERT INTO names_src VALUES ('OTHER', 'v');
	RETURN QUERY SELECT r.code FROM refused('SELECT idem_import_run(''names'')') r;
	PERFORM idem_import_drop('names', purge => true);
EXCEPTION WHEN feature_not_supported OR invalid_object_definition OR undefined_object THEN
	RETURN QUERY VALUES ('2000 0 0 0 ok'), ('1 200 1799 1 ok'), ('II003');
END $$;
SELECT * FROM nocase();

--
-- what an import declares
--
CREATE TABLE stage (id int, day date, v text, w text, version int, gone boolean, seq int);
CREATE TABLE goal (id int PRIMARY KEY, day date, v text, w text, version int, note text DEFAULT 'new');
CREATE FUNCTION refill() RETURNS void LANGUAGE sql AS $$
	TRUNCATE stage, goal;
	INSERT INTO stage SELECT i, '2026-01-01'::date + i % 3, 'v' || i, 'w', 1, false, 1 FROM generate_series(1, 9) i;
	INSERT INTO goal SELECT i, '2026-01-01'::date + i % 3, CASE WHEN i < 6 THEN 'v' || i ELSE 'old' END, 'w', 1, 'kept' FROM generate_series(3, 12) i;
$$;
SELECT refill();
-- an older version never replaces a newer one
SELECT idem_import_create('version', 'SELECT id, day, v, w, version FROM stage', 'goal', key => ARRAY['id'], version_column => 'version');
UPDATE goal SET version = 5 WHERE id = 7;
UPDATE goal SET version = NULL WHERE id = 8;
SELECT * FROM again('version');
UPDATE stage SET version = 6 WHERE id = 7;
SELECT * FROM again('version');
SELECT id, v, version, note FROM goal WHERE id IN (1, 6, 7, 8, 12) ORDER BY id;
SELECT idem_import_drop('version', purge => true);
-- columns that are written once, or whose difference is none
SELECT refill();
SELECT idem_import_create('kept', 'SELECT id, day, v, w, version FROM stage', 'goal', key => ARRAY['id'], keep_columns => ARRAY['w'], ignore_columns => ARRAY['version']);
UPDATE goal SET w = 'mine', version = 9 WHERE id IN (3, 6);
SELECT unit, status, attempted, inserted, updated, unchanged FROM idem_import_run('kept');
SELECT unit, status, attempted, inserted, updated, unchanged FROM idem_import_run('kept');
SELECT unit, status, attempted, inserted, updated, unchanged FROM idem_import_run('kept', force => true);
SELECT id, v, w, version, note FROM goal WHERE id IN (1, 3, 6) ORDER BY id;
SELECT idem_import_drop('kept', purge => true);
-- flagged rows take theirs with them
SELECT refill();
SELECT idem_import_create('flagged', 'SELECT id, day, v, w, version, gone FROM stage', 'goal', key => ARRAY['id'], delete_flag => 'gone', columns => ARRAY['id', 'day', 'v', 'w', 'version']);
UPDATE stage SET gone = true WHERE id IN (1, 4, 8);
UPDATE stage SET gone = NULL WHERE id = 2;
SELECT unit, status, attempted, inserted, updated, unchanged, deleted FROM idem_import_plan('flagged');
SELECT unit, status, attempted, inserted, updated, unchanged, deleted FROM idem_import_run('flagged');
SELECT unit, status, attempted, inserted, updated, unchanged, deleted FROM idem_import_run('flagged');
SELECT string_agg(id::text, ' ' ORDER BY id) FROM goal;
SELECT idem_import_drop('flagged', purge => true);
-- winners
SELECT refill();
SELECT idem_import_create('winners', 'SELECT id, day, v, w, version, seq FROM stage', 'goal', key => ARRAY['id'], columns => ARRAY['id', 'day', 'v', 'w', 'version'], order_by => 'version DESC, seq DESC');
INSERT INTO stage SELECT id, day, v || '''', w, version, false, seq + id % 2 * 2 - 1 FROM stage WHERE id <= 4;
SELECT * FROM again('winners');
SELECT id, v FROM goal WHERE id <= 4 ORDER BY id;
SELECT idem_import_drop('winners', purge => true);
-- missing rows
SELECT refill();
SELECT idem_import_create('missing', 'SELECT id, day, v, w, version FROM stage', 'goal', key => ARRAY['id'], delete_missing => true);
SELECT * FROM again('missing');
SELECT string_agg(id::text, ' ' ORDER BY id) FROM goal;
SELECT idem_import_drop('missing', purge => true);
-- overwrite, unit by unit
SELECT refill();
CREATE UNIQUE INDEX ON goal (id, day);
SELECT idem_import_create('units', 'SELECT id, day, v, w, version FROM stage', 'goal', mode => 'overwrite', key => ARRAY['id', 'day'], scope => ARRAY['day']);
SELECT code, message FROM refused($$SELECT idem_import_run('units', '2026-01-02')$$);
SELECT idem_import_alter('units', out_of_scope => 'ignore');
SELECT * FROM again('units', '2026-01-02');
SELECT day, string_agg(id || v, ' ' ORDER BY id) FROM goal GROUP BY 1 ORDER BY 1;
SELECT idem_import_alter('units', out_of_scope => 'reject', reject_limit => 6);
SELECT * FROM again('units', '2026-01-01');
SELECT idem_import_alter('units', out_of_scope => 'error', reject_limit => 0);
SELECT * FROM again('units');
SELECT day, string_agg(id || v || note, ' ' ORDER BY id) FROM goal GROUP BY 1 ORDER BY 1;
SELECT idem_import_drop('units', purge => true);

-- what differs is found among many that do not
CREATE TABLE large_src AS SELECT i AS id, md5(i::text) AS v, i % 10 AS part FROM generate_series(1, 30000) i;
CREATE TABLE large (id int PRIMARY KEY, v text, part int);
SELECT idem_import_create('large', 'large_src', 'large', mode => 'overwrite', key => ARRAY['id']);
SELECT * FROM again('large');
UPDATE large_src SET v = 'changed' WHERE id % 3000 = 0;
DELETE FROM large_src WHERE id % 3000 = 1;
INSERT INTO large_src SELECT 30000 + i, 'new', 1 FROM generate_series(1, 7) i;
SELECT * FROM again('large');
INSERT INTO large_src SELECT * FROM large_src WHERE id % 3000 = 2;
INSERT INTO large_src VALUES (NULL, 'no key', 0);
UPDATE large SET v = 'by hand' WHERE id % 3000 = 3;
SELECT idem_import_alter('large', reject_limit => 1);
SELECT * FROM again('large');
SELECT count(*), count(*) FILTER (WHERE v = 'changed'), count(*) FILTER (WHERE v = 'new'), count(*) FILTER (WHERE v = 'by hand') FROM large;
SELECT idempotent, second_changes FROM idem_import_prove('large');
SELECT idem_import_drop('large', purge => true);
-- few rows for a target that is large, or is thought to be
UPDATE pg_class SET reltuples = 5000000, relpages = pg_relation_size(oid) / 8192 WHERE oid = 'large'::regclass;
SELECT idem_import_create('few', 'SELECT id, v, part FROM large_src WHERE id <= 10', 'large', key => ARRAY['id']);
UPDATE large_src SET v = 'few' WHERE id < 5;
SELECT status, attempted, inserted, updated, unchanged, checksum IS NULL AS no_checksum, note FROM idem_import_run('few');
SELECT status, attempted, inserted, updated, unchanged, checksum IS NULL AS no_checksum, note FROM idem_import_run('few');
UPDATE large SET v = 'by hand' WHERE id = 3;
DELETE FROM large WHERE id = 4;
SELECT status, attempted, inserted, updated, unchanged FROM idem_import_run('few');
SELECT count(*) FROM large WHERE v = 'few';
SELECT idem_import_drop('few', purge => true);

--
-- failures leave nothing: many in one transaction, then it works
--
CREATE TABLE often (id int PRIMARY KEY, a text, u int UNIQUE);
SELECT idem_import_create('often', $$SELECT i AS id, 'a' AS a, i % 900 AS u FROM generate_series(1, 1000) i$$, 'often', key => ARRAY['id']);
DO $$
BEGIN
	FOR i IN 1 .. 30 LOOP
		BEGIN
			PERFORM idem_import_run('often');
			RAISE 'ran';
		EXCEPTION WHEN SQLSTATE 'II004' THEN NULL;
		END;
	END LOOP;
END $$;
SELECT count(*) FROM often;
SELECT idem_import_alter('often', source => $$SELECT i AS id, 'a' AS a, i AS u FROM generate_series(1, 1000) i$$);
SELECT * FROM again('often');
BEGIN;
SAVEPOINT s;
DELETE FROM often WHERE id > 500;
SELECT status, inserted FROM idem_import_run('often');
ROLLBACK TO s;
SELECT status, inserted FROM idem_import_run('often');
COMMIT;
SELECT count(*) FROM often;
SELECT idem_import_drop('often', purge => true);

--
-- privileges: those of INSERT, column by column
--
CREATE ROLE regress_native NOLOGIN;
GRANT USAGE ON SCHEMA native TO regress_native;
CREATE TABLE granted (id int PRIMARY KEY, a text, b text DEFAULT 'b');
GRANT SELECT ON three TO regress_native;
GRANT SELECT, INSERT (id, a), UPDATE ON granted TO regress_native;
SET ROLE regress_native;
SELECT idem_import_create('granted', 'three', 'granted', key => ARRAY['id'], columns => ARRAY['id', 'a']);
RESET ROLE;
REVOKE INSERT (a) ON granted FROM regress_native;
SET ROLE regress_native;
SELECT code, message FROM refused($$SELECT idem_import_run('granted')$$);
RESET ROLE;
GRANT INSERT (a) ON granted TO regress_native;
SET ROLE regress_native;
SELECT status, inserted FROM idem_import_run('granted');
RESET ROLE;
TABLE granted ORDER BY id;
SELECT idem_import_drop('granted', purge => true);

--
-- which engine, and why not the native one
--
SET idem_import.engine = 'auto';
SET idem_import.min_swap_rows = 50000;
CREATE TABLE ordinary (id int PRIMARY KEY, a text);
CREATE TABLE before_row (id int PRIMARY KEY, a text);
CREATE TRIGGER b BEFORE UPDATE ON before_row FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TABLE before_insert (id int PRIMARY KEY, a text);
CREATE TRIGGER b BEFORE INSERT ON before_insert FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TABLE before_off (id int PRIMARY KEY, a text);
CREATE TRIGGER b BEFORE INSERT ON before_off FOR EACH ROW EXECUTE FUNCTION note_row();
ALTER TABLE before_off DISABLE TRIGGER b;
CREATE TABLE after_row (id int PRIMARY KEY, a text);
CREATE TRIGGER b AFTER INSERT ON after_row FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TABLE ruled (id int PRIMARY KEY, a text);
CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO calls VALUES ('rule');
CREATE TABLE secured (id int PRIMARY KEY, a text);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON secured USING (true);
CREATE TABLE parent (id int PRIMARY KEY, a text);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE beneath (id int PRIMARY KEY, a text);
CREATE VIEW above AS SELECT * FROM beneath;
CREATE TABLE parted (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (2);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (2) TO (9);
CREATE TABLE parted_before (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
CREATE TABLE parted_before_low PARTITION OF parted_before FOR VALUES FROM (0) TO (2);
CREATE TABLE parted_before_high PARTITION OF parted_before FOR VALUES FROM (2) TO (9);
CREATE TRIGGER b BEFORE INSERT ON parted_before_high FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TEMP TABLE brief (id int PRIMARY KEY, a text);
CREATE UNLOGGED TABLE lost (id int PRIMARY KEY, a text);
CREATE FUNCTION engines() RETURNS TABLE (target text, inserted bigint, engine text, rerun text, note text) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH target IN ARRAY string_to_array('ordinary before_row before_insert before_off after_row ruled parent above parted parted_before lost brief', ' ') LOOP
		PERFORM idem_import_create('e', 'three', target::regclass, key => ARRAY['id']);
		SELECT r.inserted, r.engine, r.note INTO inserted, engine, note FROM idem_import_run('e') r;
		SELECT r.engine INTO rerun FROM idem_import_run('e') r;
		PERFORM idem_import_drop('e', purge => true);
		RETURN NEXT;
	END LOOP;
END $$;
SELECT * FROM engines();
-- row security asks who runs
GRANT ALL ON secured TO regress_native;
SET ROLE regress_native;
SELECT idem_import_create('secured', 'three', 'secured', key => ARRAY['id']);
SELECT engine, inserted, note FROM idem_import_run('secured');
RESET ROLE;
SELECT idem_import_alter('secured', version_column => NULL);
SELECT engine, unchanged FROM idem_import_run('secured');
SELECT idem_import_drop('secured', purge => true);
SELECT idem_import_create('secured', 'three', 'secured', key => ARRAY['id']);
SELECT engine, unchanged, note FROM idem_import_run('secured');
SELECT idem_import_drop('secured', purge => true);
-- an obstacle that comes and goes
SELECT idem_import_create('comes', 'three', 'ordinary', key => ARRAY['id']);
SELECT engine FROM idem_import_run('comes', force => true);
CREATE TRIGGER b BEFORE INSERT ON ordinary FOR EACH ROW EXECUTE FUNCTION note_row();
SELECT engine, note FROM idem_import_run('comes', force => true);
DROP TRIGGER b ON ordinary;
SELECT engine FROM idem_import_run('comes', force => true);
SELECT engine FROM idem_import_plan('comes');
-- asked for
SET idem_import.engine = 'portable';
SELECT engine, note FROM idem_import_run('comes', force => true);
SELECT engine, note FROM idem_import_plan('comes');
SET idem_import.engine = 'other';
RESET idem_import.engine;
RESET idem_import.min_swap_rows;
SELECT engine FROM idem_import_history WHERE import = 'comes' ORDER BY run_id;
SELECT idem_import_drop('comes', purge => true);

DROP OWNED BY regress_native;
DROP ROLE regress_native;
-- a source that answers otherwise when it is read again: what was applied is what the receipt says
CREATE SEQUENCE reads;
CREATE FUNCTION fickle(v text) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN CASE WHEN nextval(''reads'') = 2 THEN ''other'' ELSE v END; END';
CREATE TABLE fickle_src (id int, v text);
INSERT INTO fickle_src SELECT i, 'v' || i FROM generate_series(1, 9) i;
CREATE VIEW fickle_view AS SELECT id, CASE WHEN id = 5 THEN fickle(v) ELSE v END AS v FROM fickle_src;
CREATE TABLE fickle_goal (id int PRIMARY KEY, v text);
INSERT INTO fickle_goal SELECT id, 'old' FROM fickle_src;
SELECT idem_import_create('fickle', 'fickle_view', 'fickle_goal', key => ARRAY['id']);
DO $$BEGIN PERFORM idem_import_run('fickle'); PERFORM idem_import_run('fickle'); END$$;
SELECT * FROM fickle_goal WHERE id = 5;
SELECT idem_import_drop('fickle', purge => true);

-- a flag of a domain; rights on single columns
CREATE DOMAIN flag AS boolean;
CREATE TABLE flagged_src (id int, v text, gone flag);
INSERT INTO flagged_src VALUES (1, 'a', false), (2, 'b', true);
CREATE TABLE flagged (id int PRIMARY KEY, v text, secret text);
INSERT INTO flagged VALUES (2, 'b', 's');
CREATE ROLE regress_native;
GRANT USAGE ON SCHEMA native TO regress_native;
GRANT SELECT ON flagged_src TO regress_native;
GRANT SELECT (id, v), INSERT (id, v), UPDATE (v), DELETE ON flagged TO regress_native;
SET ROLE regress_native;
SELECT idem_import_create('flagged', 'flagged_src', 'flagged', key => ARRAY['id'], columns => ARRAY['id', 'v'], delete_flag => 'gone');
SELECT status, inserted, deleted FROM idem_import_run('flagged');
SELECT status, unchanged FROM idem_import_run('flagged');
SELECT idem_import_drop('flagged', purge => true);
RESET ROLE;
DROP OWNED BY regress_native;
DROP ROLE regress_native;

-- who calls what runs use among themselves
SET enable_partitionwise_aggregate = on;
CREATE TABLE digested (b int, x int) PARTITION BY LIST (b);
CREATE TABLE digested_1 PARTITION OF digested FOR VALUES IN (10);
CREATE TABLE digested_2 PARTITION OF digested FOR VALUES IN (11);
INSERT INTO digested VALUES (10, 1), (11, 2);
SELECT length(idem_import_digest(b, '{1,-1,0}', x)) FROM digested;
SELECT length(idem_import_digest(2, '{1,-1,0}', x)) FROM digested;
SELECT length(idem_import_digest(10, '{1,-1,7}', x)) FROM digested;
SELECT length(idem_import_digest(10, NULL, x)) FROM digested;
SELECT length(idem_import_digest(10, '{1,0,0}', x)) FROM digested;
SELECT length(idem_import_digest(10, '{1,-1,0}', x)) FROM digested WHERE false;
SELECT idem_import_bucket_differs(NULL, x), idem_import_bucket_differs('', x), idem_import_bucket_differs('\xff', x), idem_import_bucket_differs('\x0000', x) FROM digested WHERE x = 1;
RESET enable_partitionwise_aggregate;

\set ECHO none
SET client_min_messages = error;
DROP SCHEMA native CASCADE;
