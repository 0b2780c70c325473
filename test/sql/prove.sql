-- A proof leaves no trace, and finds what is not idempotent

CREATE SCHEMA prove;
SET search_path = prove, public;
SET client_min_messages = warning;
\set VERBOSITY terse
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

CREATE TABLE src (day date, id int, v text, flag boolean);
CREATE TABLE dst (day date, id int, v text, n int, UNIQUE (id));
CREATE SEQUENCE seq;
CREATE TABLE log (id int, what text);

-- all that could be a trace: our tables, the target as it lies, its files
CREATE FUNCTION traces(import text) RETURNS TABLE (what text, trace text) LANGUAGE plpgsql AS $$
DECLARE
	target regclass := (SELECT d.target FROM idem_import_definition d WHERE d.name = import);
BEGIN
	RETURN QUERY
		SELECT 'definition', md5(string_agg(d::text, E'\n' ORDER BY name)) FROM idem_import_definition d
		UNION ALL SELECT 'ledger', md5(string_agg(ROW(ctid, xmin, l.*)::text, E'\n' ORDER BY ctid)) FROM idem_import_ledger l
		UNION ALL SELECT 'history', md5(string_agg(ROW(ctid, xmin, h.*)::text, E'\n' ORDER BY ctid)) FROM idem_import_history h
		UNION ALL SELECT 'reject', md5(string_agg(ROW(ctid, xmin, r.*)::text, E'\n' ORDER BY ctid)) FROM idem_import_reject r
		UNION ALL SELECT 'checkpoint', md5(string_agg(ROW(ctid, xmin, c.*)::text, E'\n' ORDER BY ctid)) FROM idem_import_checkpoint c
		UNION ALL SELECT 'target', image(target)
		UNION ALL SELECT 'log', image('log')
		UNION ALL SELECT 'files', string_agg(relid::text || pg_relation_filenode(relid), ' ' ORDER BY relid::text) FROM pg_partition_tree(target)
		UNION ALL SELECT 'relations', string_agg(oid::text || relname, ' ' ORDER BY oid) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 'v', 'p', 'S');
END $$;

-- prove twice; "no trace", and what was proven
CREATE FUNCTION proven(import text, scope text DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	before text[] := array(SELECT t::text FROM traces(import) t);
	proof text;
BEGIN
	FOR i IN 1 .. 2 LOOP
		BEGIN
			SELECT string_agg(concat_ws(' ', p.idempotent, p.unit, p.first_changes, p.second_changes, p.first_checksum = p.second_checksum), ', ' ORDER BY p.unit)
			INTO proof FROM idem_import_prove(import, scope) p;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS proof = PG_EXCEPTION_DETAIL;
			proof := SQLSTATE || ' ' || SQLERRM || ': ' || proof;
		END;
		IF i = 1 THEN
			RETURN NEXT proof;
		END IF;
	END LOOP;
	RETURN NEXT (SELECT coalesce(string_agg(t::text, ' '), 'no trace') FROM (SELECT t FROM traces(import) t WHERE t::text <> ALL (before)) t(t));
END $$;

CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
	TRUNCATE src, dst;
	INSERT INTO src SELECT date '2026-01-01' + g % 3, g, 'v' || g, false FROM generate_series(1, 30) g;
	INSERT INTO src VALUES ('2026-01-01', NULL, 'no key', false);
$$;

--
-- Each mode: at the first load, after a change, when nothing has changed; for
-- all units, one, and a range
--
CREATE FUNCTION all_proven(args text, scope text DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM fill();
	EXECUTE format('SELECT idem_import_create(%L, %L, %L, reject_limit => NULL%s)', 'p', 'src', 'dst', args);
	RETURN QUERY SELECT 'first: ' || proven('p', scope);
	PERFORM idem_import_run('p');
	UPDATE src SET v = v || '+', flag = id % 2 = 0 WHERE id % 5 = 0;
	DELETE FROM src WHERE id = 29 OR id = 3;
	INSERT INTO src VALUES ('2026-01-01', 31, 'new', false), ('2026-01-02', NULL, 'no key either', false);
	RETURN QUERY SELECT 'changed: ' || proven('p', scope);
	PERFORM idem_import_run('p');
	RETURN QUERY SELECT 'again: ' || proven('p', scope);
	PERFORM idem_import_drop('p', purge => true);
END $$;
SELECT all_proven($$, key => '{id}'$$);
SELECT all_proven($$, key => '{id}', delete_flag => 'flag', delete_missing => true$$);
SELECT all_proven($$, key => '{id}', mode => 'insert_only'$$);
SELECT all_proven($$, key => '{id}', mode => 'overwrite'$$);
SELECT all_proven($$, key => '{id}', mode => 'overwrite', method => 'replace'$$);
SELECT all_proven($$, mode => 'overwrite'$$);
SELECT all_proven($$, mode => 'overwrite', method => 'swap'$$);
SELECT all_proven($$, key => '{id}', delete_missing => true, method => 'swap'$$);
SELECT all_proven($$, key => '{id}', scope => '{day}'$$);
SELECT all_proven($$, key => '{id}', scope => '{day}', delete_missing => true, out_of_scope => 'ignore'$$, '2 January 2026');
SELECT all_proven($$, mode => 'overwrite', scope => '{day}', out_of_scope => 'ignore', method => 'swap'$$, '[2026-01-02,2026-01-05)');
SELECT all_proven($$, key => '{id}', settings => '{"idem_import.engine": "portable"}'$$);
SELECT all_proven($$, key => '{id}', cursor_column => 'id'$$);
SELECT all_proven($$, key => '{id}', track => 'snapshot'$$);
SELECT all_proven($$, key => '{id}', batch_size => 4$$);

-- what stops the run stops the proof, and nothing is recorded
SELECT fill();
SELECT idem_import_create('p', 'src', 'dst', key => '{id}');
SELECT proven('p');
DELETE FROM src WHERE id IS NULL;
SELECT count(*) FROM idem_import_run('p');
SELECT idem_import_alter('p', delete_missing => true);
TRUNCATE src;
SELECT proven('p');
SELECT proven('p', 'nonsense');
SELECT idem_import_drop('p', purge => true);

-- the target's own sequence goes on, as any does when a transaction is rolled back
SELECT fill();
DELETE FROM src WHERE id IS NULL;
SELECT idem_import_create('p', 'src', 'dst', key => '{id}');
ALTER TABLE dst ALTER n SET DEFAULT nextval('seq');
SELECT setval('seq', 100);
SELECT proven('p');
SELECT last_value FROM seq;
ALTER TABLE dst ALTER n DROP DEFAULT;
SELECT idem_import_drop('p', purge => true);

--
-- II007
--
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log VALUES (new.id, tg_op);
	new.v := new.v || '1';
	RETURN new;
END $$;
CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON dst FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT fill();
DELETE FROM src WHERE id IS NULL;
SELECT idem_import_create('merge', 'src', 'dst', key => '{id}');
SELECT idem_import_create('insert', 'src', 'dst', key => '{id}', mode => 'insert_only');
SELECT idem_import_create('over', 'src', 'dst', key => '{id}', mode => 'overwrite');
SELECT idem_import_create('unit', 'src', 'dst', key => '{id}', scope => '{day}');
SELECT idem_import_create('day', 'SELECT * FROM src WHERE day = $1', 'dst', key => '{id}', scope => '{day}');
SELECT proven('merge');
-- what is there stays
SELECT proven('insert');
SELECT proven('over');
SELECT proven('unit');
SELECT proven('day', '2026-01-02');
SELECT proven('day', '[2026-01-02,2026-01-04)');
DROP TRIGGER meddle ON dst;
SELECT proven('merge');

-- one unit of several is enough
CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON dst FOR EACH ROW WHEN (new.day = '2026-01-03') EXECUTE FUNCTION meddle();
SELECT proven('unit');
SELECT proven('day', '2026-01-02');
DROP TRIGGER meddle ON dst;

-- a counter of writes in a column that is not imported does no harm
CREATE FUNCTION counts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.n := coalesce(old.n, 0) + 1; RETURN new; END $$;
CREATE TRIGGER counts BEFORE INSERT OR UPDATE ON dst FOR EACH ROW EXECUTE FUNCTION counts();
SELECT proven('merge');
DROP TRIGGER counts ON dst;

-- a write that changes other rows afterwards
CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE dst SET v = v || '2' WHERE id = 7;
	RETURN NULL;
END $$;
CREATE TRIGGER spoil AFTER INSERT ON dst FOR EACH STATEMENT EXECUTE FUNCTION spoil();
SELECT proven('merge');
DROP TRIGGER spoil ON dst;

-- a trigger that swallows rows
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER swallow BEFORE INSERT ON dst FOR EACH ROW WHEN (new.id = 5) EXECUTE FUNCTION swallow();
SELECT proven('merge');
DROP TRIGGER swallow ON dst;

-- a source that reads the target: other values, more rows, another unit
CREATE VIEW grows AS SELECT s.day, s.id, s.v || (SELECT count(*) FROM dst) AS v FROM src s;
CREATE VIEW more AS SELECT day, id, v FROM src UNION ALL SELECT day, id + 1000, v FROM dst WHERE id < 1000;
CREATE VIEW next_day AS SELECT day, id, v FROM src UNION ALL SELECT day + 10, id + 1000, v FROM dst WHERE id < 1000;
SELECT idem_import_create('grows', 'grows', 'dst', key => '{id}');
SELECT idem_import_create('more', 'more', 'dst', key => '{id}');
SELECT idem_import_create('next', 'next_day', 'dst', key => '{id}', scope => '{day}');
SELECT proven('grows');
-- (in READ COMMITTED that could be another session's doing, if one commits meanwhile: 40001)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT proven('more');
SELECT proven('next');
COMMIT;
SELECT left(proven('more'), 5) IN ('II007', '40001', 'no tr') AS found;

-- without a key: each run writes all, and that may be the same or not
CREATE TABLE bag (day date, id int, v text);
SELECT idem_import_create('bag', 'src', 'bag', mode => 'overwrite');
SELECT proven('bag');
CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON bag FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT proven('bag');
CREATE FUNCTION drift() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.v := nextval('seq'); RETURN new; END $$;
CREATE TRIGGER drift BEFORE INSERT ON bag FOR EACH ROW EXECUTE FUNCTION drift();
SELECT split_part(proven('bag'), ':', 1);
SELECT * FROM refused($$SELECT idem_import_prove('bag')$$);

SELECT idem_import_drop(name, purge => true) FROM idem_import_definition WHERE name IN ('merge', 'insert', 'over', 'unit', 'day', 'grows', 'more', 'next', 'bag');
DROP SCHEMA prove CASCADE;
