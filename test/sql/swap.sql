-- swap: a unit that is one table gets new storage, where that is the best way; and stays the same table

CREATE SCHEMA swap;
SET search_path = swap, public;
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET idem_import.engine = 'auto';
SET idem_import.min_swap_rows = 50000;
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

-- plan a run, and run; does the plan say what is done, and is new storage what a swap gives, and nothing else?
CREATE FUNCTION swapped(import text, scope text DEFAULT NULL, force boolean DEFAULT false)
RETURNS TABLE (status text, method text, engine text, attempted bigint, inserted bigint, updated bigint, unchanged bigint,
			   collapsed bigint, rejected bigint, removed bigint, checks text, note text) LANGUAGE plpgsql AS $$
DECLARE
	target regclass := (SELECT d.target FROM idem_import_definition d WHERE d.name = swapped.import);
	p idem_import_result;
	r idem_import_result;
	before text;
	after text;
	bad text[] := '{}';
BEGIN
	before := (SELECT string_agg(format('%s %s', t, pg_relation_filenode(t)), ' ') FROM (SELECT target UNION SELECT relid FROM pg_partition_tree(target)) t(t));
	IF NOT force THEN
		p := idem_import_plan(import, scope);
	END IF;
	-- what only a plan tells
	p.note := regexp_replace(p.note, '; takes [^;]+$', '');
	r := idem_import_run(import, scope, force);
	after := (SELECT string_agg(format('%s %s', t, pg_relation_filenode(t)), ' ') FROM (SELECT target UNION SELECT relid FROM pg_partition_tree(target)) t(t));
	IF NOT force AND (p.status, p.method, p.attempted, p.inserted, p.updated, p.unchanged, p.collapsed, p.rejected, p.removed, p.engine, p.note) IS DISTINCT FROM
	   (r.status, r.method, r.attempted, r.inserted, r.updated, r.unchanged, r.collapsed, r.rejected, r.removed, r.engine, r.note) THEN
		bad := bad || format('plan %s run %s', p, r);
	END IF;
	IF r.attempted <> r.inserted + r.updated + r.unchanged + r.stale + r.collapsed + r.rejected + r.deleted THEN
		bad := bad || 'sum'::text;
	END IF;
	IF (r.method = 'swap' AND r.status = 'applied') <> (before IS DISTINCT FROM after) THEN
		bad := bad || 'storage'::text;
	END IF;
	IF r.checksum IS DISTINCT FROM unit_checksum(import, r.unit) THEN
		bad := bad || 'checksum'::text;
	END IF;
	IF (SELECT count(*) FROM pg_class WHERE relname LIKE 'pg\_temp\_%' OR relname LIKE 'idem\_import\_%' AND relnamespace = 'swap'::regnamespace) > 0 THEN
		bad := bad || 'something is left over'::text;
	END IF;
	RETURN QUERY SELECT r.status, r.method, r.engine, r.attempted, r.inserted, r.updated, r.unchanged, r.collapsed, r.rejected, r.removed,
		CASE WHEN bad = '{}' THEN 'ok' ELSE array_to_string(bad, '; ') END,
		regexp_replace(r.note, ' by .* at [-0-9: .]+\+00', ' by <me> at <time>');
END $$;

CREATE TABLE stage (id int, v text, n int);
CREATE FUNCTION refill() RETURNS void LANGUAGE sql AS $$
	TRUNCATE stage;
	INSERT INTO stage SELECT i, 'v' || i, i % 5 FROM generate_series(1, 20) i;
$$;
SELECT refill();

--
-- the whole table, with a key
--
CREATE TABLE goal (id int PRIMARY KEY, v text, n int);
SELECT idem_import_create('keyed', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id'], method => 'swap', delete_limit => NULL);
-- first load, the same again, by force
SELECT * FROM swapped('keyed');
SELECT image('goal') AS image \gset
SELECT * FROM swapped('keyed');
SELECT * FROM swapped('keyed', force => true);
SELECT image('goal') = :'image' AS untouched;
-- changed, new and missing rows, each counted as what became of it
UPDATE stage SET v = 'new' WHERE id <= 3;
DELETE FROM stage WHERE id = 20;
INSERT INTO stage VALUES (21, 'v21', 0), (22, 'v22', 0);
SELECT * FROM swapped('keyed');
SELECT * FROM swapped('keyed');
SELECT count(*), count(*) FILTER (WHERE v = 'new'), min(id), max(id) FROM goal;
-- the receipt is lost
SELECT idem_import_alter('keyed', out_of_scope => 'ignore');
SELECT * FROM swapped('keyed');
-- changed by hand
DELETE FROM goal WHERE id = 1;
UPDATE goal SET v = 'hand' WHERE id = 2;
INSERT INTO goal VALUES (99, 'hand', 0);
SELECT * FROM swapped('keyed');
-- an empty source
TRUNCATE stage;
SELECT * FROM swapped('keyed');
SELECT * FROM swapped('keyed');
SELECT count(*) FROM goal;
SELECT refill();
SELECT * FROM swapped('keyed');
SELECT idempotent, second_changes FROM idem_import_prove('keyed');
SELECT method, engine, status, inserted, updated, unchanged, removed FROM idem_import_history WHERE import = 'keyed' ORDER BY run_id;
SELECT status, source_rows, target_rows, source_checksum = target_checksum AS same FROM idem_import_ledger WHERE import = 'keyed';
-- rows of one key: identical ones collapse, a declared order decides, else nothing is done
INSERT INTO stage VALUES (1, 'v1', 1);
SELECT * FROM swapped('keyed');
UPDATE stage SET v = 'changed' WHERE id = 2;
SELECT * FROM swapped('keyed');
INSERT INTO stage VALUES (1, 'other', 1);
SELECT code, message FROM refused($$SELECT idem_import_plan('keyed')$$);
SELECT code, message FROM refused($$SELECT idem_import_run('keyed')$$);
SELECT idem_import_alter('keyed', order_by => 'v');
SELECT * FROM swapped('keyed');
SELECT * FROM goal WHERE id = 1;
SELECT idem_import_drop('keyed', purge => true);
-- rows without a key are set aside
SELECT refill();
TRUNCATE goal;
INSERT INTO stage VALUES (NULL, 'no key', 1), (NULL, 'nor here', 2);
SELECT idem_import_create('aside', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id'], method => 'swap', reject_limit => 1);
SELECT code, message FROM refused($$SELECT idem_import_run('aside')$$);
SELECT count(*) FROM goal;
SELECT idem_import_alter('aside', reject_limit => 2);
SELECT * FROM swapped('aside');
SELECT reason.sqlstate, reason.message, reason.row FROM idem_import_reject reason WHERE import = 'aside' ORDER BY reason.row->>'v';
SELECT * FROM swapped('aside');
SELECT idem_import_drop('aside', purge => true);
-- NULL as a key
CREATE TABLE nulls (id int, v text, n int);
CREATE UNIQUE INDEX ON nulls (id, n) NULLS NOT DISTINCT;
SELECT refill();
INSERT INTO stage VALUES (NULL, 'no key', 1), (NULL, 'nor here', NULL), (5, 'half', NULL);
SELECT idem_import_create('nulls', 'stage', 'nulls', mode => 'overwrite', key => ARRAY['id', 'n'], method => 'swap', null_key => 'match');
SELECT * FROM swapped('nulls');
UPDATE stage SET v = v || '!' WHERE id IS NULL;
SELECT * FROM swapped('nulls');
SELECT * FROM swapped('nulls');
SELECT idem_import_drop('nulls', purge => true);
-- keys that are equal and do not look it
CREATE TABLE nums_src AS SELECT i + 0.0 AS k, i AS v FROM generate_series(1, 20) i;
CREATE TABLE nums (k numeric PRIMARY KEY, v int);
SELECT idem_import_create('nums', 'nums_src', 'nums', mode => 'overwrite', key => ARRAY['k'], method => 'swap');
SELECT * FROM swapped('nums');
UPDATE nums_src SET k = round(k, 2) WHERE v < 5;
SELECT * FROM swapped('nums');
SELECT k FROM nums WHERE v IN (4, 5) ORDER BY k;
INSERT INTO nums_src VALUES (4, 4);
SELECT code, message FROM refused($$SELECT idem_import_run('nums')$$);
SELECT idem_import_drop('nums', purge => true);

--
-- the whole table, without a key: every new row is inserted, every old one removed
--
CREATE TABLE bag (v text, n int);
SELECT refill();
INSERT INTO stage SELECT * FROM stage WHERE id < 3;
SELECT idem_import_create('bag', 'SELECT v, n FROM stage', 'bag', mode => 'overwrite', method => 'swap');
SELECT * FROM swapped('bag');
SELECT * FROM swapped('bag');
SELECT * FROM swapped('bag', force => true);
DELETE FROM stage WHERE id = 7;
SELECT * FROM swapped('bag');
SELECT * FROM swapped('bag');
UPDATE bag SET v = 'hand' WHERE v = 'v3';
SELECT * FROM swapped('bag');
SELECT idempotent, first_checksum = second_checksum AS same FROM idem_import_prove('bag');
SELECT count(*), count(DISTINCT v) FROM bag;
SELECT idem_import_drop('bag', purge => true);

--
-- merge: where all keys are the same, or there is none yet
--
SELECT refill();
TRUNCATE goal;
SELECT idem_import_create('merged', 'stage', 'goal', key => ARRAY['id'], method => 'swap');
SELECT * FROM swapped('merged');
UPDATE stage SET v = 'new';
SELECT * FROM swapped('merged');
-- a key that the source lacks stays
DELETE FROM stage WHERE id = 1;
UPDATE stage SET v = 'newer';
SELECT * FROM swapped('merged');
SELECT count(*), count(*) FILTER (WHERE v = 'newer') FROM goal;
SELECT idem_import_drop('merged', purge => true);
-- insert_only: the target's rows win
SELECT refill();
TRUNCATE goal;
SELECT idem_import_create('only', 'stage', 'goal', mode => 'insert_only', key => ARRAY['id'], method => 'swap');
SELECT * FROM swapped('only');
UPDATE stage SET v = 'new';
SELECT * FROM swapped('only');
SELECT idem_import_drop('only', purge => true);

--
-- by itself, from some number of rows and some share of changes on
--
SELECT refill();
TRUNCATE goal;
SELECT idem_import_create('auto', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id'], delete_limit => NULL);
SELECT * FROM swapped('auto');
TRUNCATE goal;
SET idem_import.min_swap_rows = 20;
ANALYZE stage;
SELECT * FROM swapped('auto');
UPDATE stage SET v = 'new' WHERE id = 1;
SELECT * FROM swapped('auto');
UPDATE stage SET v = 'new' WHERE id % 2 = 0;
SELECT * FROM swapped('auto');
-- not by force
UPDATE stage SET v = 'newer';
SELECT * FROM swapped('auto', force => true);
SET idem_import.min_swap_rows = 21;
UPDATE stage SET v = 'newest';
SELECT * FROM swapped('auto');
SET idem_import.min_swap_rows = 0;
DELETE FROM stage WHERE id > 10;
SELECT * FROM swapped('auto');
-- nor where a method was declared
SELECT idem_import_alter('auto', method => 'diff');
UPDATE stage SET v = 'diff';
SELECT * FROM swapped('auto');
SELECT idem_import_alter('auto', method => 'replace');
UPDATE stage SET v = 'replace';
SELECT * FROM swapped('auto');
-- nor by the portable engine
SELECT idem_import_alter('auto', method => 'swap');
UPDATE stage SET v = 'portable';
SET idem_import.engine = 'portable';
SELECT * FROM swapped('auto');
SET idem_import.engine = 'auto';
UPDATE stage SET v = 'native';
SELECT * FROM swapped('auto');
SELECT idem_import_drop('auto', purge => true);
-- any number of rows: with a key, without one, where all keys are the same
TRUNCATE goal, bag;
SELECT refill();
SELECT idem_import_create('auto_over', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id'], delete_limit => NULL);
SELECT idem_import_create('auto_merge', $$SELECT id, v || '!' AS v, n FROM stage$$, 'goal', key => ARRAY['id']);
SELECT idem_import_create('auto_bag', 'SELECT v, n FROM stage', 'bag', mode => 'overwrite', delete_limit => NULL);
SELECT i, s.status, s.method, s.inserted, s.updated, s.unchanged, s.removed, s.checks FROM unnest(ARRAY['auto_over', 'auto_merge', 'auto_bag']) i, swapped(i) s;
DELETE FROM stage WHERE id > 5;
SELECT i, s.status, s.method, s.inserted, s.updated, s.unchanged, s.removed, s.checks FROM unnest(ARRAY['auto_merge', 'auto_bag', 'auto_over']) i, swapped(i) s;
SELECT i, s.status, s.method, s.inserted, s.updated, s.unchanged, s.removed, s.checks FROM unnest(ARRAY['auto_over', 'auto_bag']) i, swapped(i) s;
SELECT idem_import_drop(i, purge => true) FROM unnest(ARRAY['auto_over', 'auto_merge', 'auto_bag']) i;
SET idem_import.min_swap_rows = 50000;

--
-- partitions: a unit that is just one of them
--
CREATE TABLE parted (day date, id int, v text, g int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
CREATE TABLE parted_2 (v text, gone int, id int NOT NULL, g int GENERATED ALWAYS AS (id * 2) STORED, day date NOT NULL);
ALTER TABLE parted_2 DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM ('2026-01-02') TO ('2026-01-03');
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM ('2026-01-04') TO ('2026-01-06');
CREATE TABLE days AS SELECT '2026-01-01'::date + i / 10 + (i / 20) AS day, i AS id, 'v' || i AS v FROM generate_series(0, 39) i;
SELECT idem_import_create('parted', $$SELECT * FROM days WHERE day = $1$$, 'parted', mode => 'overwrite', key => ARRAY['day', 'id'], scope => ARRAY['day'], method => 'swap', delete_limit => NULL);
SELECT * FROM swapped('parted', '2026-01-01');
SELECT * FROM swapped('parted', '2026-01-02');
SELECT tableoid::regclass, count(*), min(id), max(g) FROM parted GROUP BY 1 ORDER BY tableoid::regclass::text;
UPDATE days SET v = 'new' WHERE id IN (11, 12);
DELETE FROM days WHERE id = 13;
INSERT INTO days VALUES ('2026-01-02', 99, 'v99');
SELECT * FROM swapped('parted', '2026-01-01');
SELECT * FROM swapped('parted', '2026-01-02');
SELECT * FROM swapped('parted', '2026-01-02');
-- two units share a table: the first has it for itself
SELECT * FROM swapped('parted', '2026-01-04');
SELECT * FROM swapped('parted', '2026-01-05');
UPDATE days SET v = 'new' WHERE id IN (21, 31);
SELECT * FROM swapped('parted', '2026-01-04');
SELECT * FROM swapped('parted', '2026-01-05');
SELECT tableoid::regclass, count(*), count(*) FILTER (WHERE v = 'new') FROM parted GROUP BY 1 ORDER BY tableoid::regclass::text;
SELECT idem_import_drop('parted', purge => true);
-- what hangs on a table above
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t AFTER UPDATE ON parted EXECUTE FUNCTION nothing();
UPDATE days SET v = 'trigger';
SELECT idem_import_create('parted', $$SELECT * FROM days WHERE day = $1$$, 'parted', mode => 'overwrite', key => ARRAY['day', 'id'], scope => ARRAY['day'], method => 'swap', delete_limit => NULL);
SELECT * FROM swapped('parted', '2026-01-01');
DROP TRIGGER t ON parted;
SELECT * FROM swapped('parted', '2026-01-02');
SELECT idem_import_drop('parted', purge => true);
-- the whole of it is several tables; one of a kind is one
SELECT idem_import_create('parted', 'days', 'parted', mode => 'overwrite', key => ARRAY['day', 'id'], method => 'swap');
UPDATE days SET v = 'newer';
SELECT * FROM swapped('parted');
SELECT idem_import_alter('parted', out_of_scope => 'ignore', scope => ARRAY['day'], slice => '2 days');
UPDATE days SET v = 'newest' WHERE day > '2026-01-02';
SELECT unit, status, method, inserted, updated, unchanged, note FROM idem_import_run('parted', '[2026-01-04,2026-01-06)');
SELECT unit, status, method, inserted, updated, unchanged, note FROM idem_import_run('parted', '[2025-12-31,2026-01-02)');
SELECT unit, status, method, inserted, updated, unchanged, note FROM idem_import_run('parted');
SELECT idem_import_drop('parted', purge => true);
-- a row without a partition, or that violates one
SELECT idem_import_create('leaf', 'days', 'parted_1', mode => 'overwrite', key => ARRAY['day', 'id'], method => 'swap');
SELECT code, message FROM refused($$SELECT idem_import_run('leaf')$$);
SELECT count(*) FROM parted_1;
SELECT idem_import_alter('leaf', source => $$SELECT day, id, 'leaf' AS v FROM days WHERE day = '2026-01-01'$$);
SELECT * FROM swapped('leaf');
SELECT tableoid::regclass, count(*) FROM parted WHERE v = 'leaf' GROUP BY 1;
SELECT idem_import_drop('leaf', purge => true);

--
-- rows of the source collide: then rows are compared, and the run says so
--
CREATE TABLE uniq (id int PRIMARY KEY, u int CONSTRAINT uniq_u UNIQUE, n int CONSTRAINT uniq_n CHECK (n >= 0));
SELECT idem_import_create('collide', 'SELECT id, id % 15 AS u, n FROM stage', 'uniq', mode => 'overwrite', key => ARRAY['id'], method => 'swap');
SELECT refill();
SELECT code, message, detail FROM refused($$SELECT idem_import_run('collide')$$);
SELECT count(*) FROM uniq;
DELETE FROM stage WHERE id > 15;
SELECT * FROM swapped('collide');
-- values that move from row to row do not collide
SELECT idem_import_alter('collide', source => 'SELECT id, (id + 1) % 15 AS u, n FROM stage');
SELECT * FROM swapped('collide');
UPDATE stage SET n = -1 WHERE id = 3;
SELECT code, message FROM refused($$SELECT idem_import_run('collide')$$);
SELECT count(*), min(n) FROM uniq;
SELECT idem_import_drop('collide', purge => true);

--
-- obstacles: the reason is told, the result is the same
--
CREATE ROLE regress_swap NOLOGIN;
GRANT USAGE ON SCHEMA swap TO regress_swap;
GRANT SELECT ON stage TO regress_swap;
CREATE TABLE other (id int PRIMARY KEY);
INSERT INTO other SELECT generate_series(0, 9);
-- with a table as $1 makes it, and an import as the others declare it: load, then change nearly all
CREATE FUNCTION obstacle(make text, VARIADIC options text[] DEFAULT ARRAY['mode => ''overwrite''']) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	PERFORM refill();
	CREATE TABLE ob (id int PRIMARY KEY, v text, n int);
	EXECUTE make;
	EXECUTE format('SELECT idem_import_create(%L, %L, %L, %s)', 'ob', 'SELECT id, v, n FROM stage', 'ob',
				   concat_ws(', ', 'key => ARRAY[''id''], method => ''swap''', array_to_string(options, ', ')));
	FOR i IN 1 .. 2 LOOP
		FOR r IN SELECT * FROM swapped('ob') LOOP
			RETURN NEXT concat_ws(' ', r.method, r.inserted, r.updated, r.unchanged, r.removed, r.checks, '|', r.note);
		END LOOP;
		UPDATE stage SET v = 'new' WHERE id < 20;
	END LOOP;
	PERFORM idem_import_drop('ob', purge => true);
	DROP TABLE ob CASCADE;
END $$;
SELECT * FROM obstacle('');
SELECT * FROM obstacle('CREATE TRIGGER t AFTER INSERT ON ob FOR EACH ROW EXECUTE FUNCTION nothing()');
SELECT * FROM obstacle('CREATE TRIGGER t AFTER TRUNCATE ON ob EXECUTE FUNCTION nothing()');
SELECT * FROM obstacle('CREATE TRIGGER t BEFORE UPDATE ON ob EXECUTE FUNCTION nothing()');
SELECT * FROM obstacle('CREATE TRIGGER t BEFORE INSERT ON ob FOR EACH ROW EXECUTE FUNCTION nothing()');
SELECT * FROM obstacle('CREATE TRIGGER t AFTER INSERT ON ob FOR EACH ROW EXECUTE FUNCTION nothing(); ALTER TABLE ob DISABLE TRIGGER t');
SELECT * FROM obstacle('ALTER TABLE ob ADD FOREIGN KEY (n) REFERENCES other');
SELECT * FROM obstacle('CREATE TABLE refers (id int REFERENCES ob ON DELETE CASCADE)');
SELECT * FROM obstacle('ALTER TABLE ob ADD EXCLUDE USING hash (id WITH =)');
SELECT * FROM obstacle('ALTER TABLE ob REPLICA IDENTITY FULL');
SELECT * FROM obstacle('ALTER TABLE ob REPLICA IDENTITY NOTHING');
SELECT * FROM obstacle('CREATE RULE r AS ON DELETE TO ob DO ALSO NOTIFY x');
SELECT * FROM obstacle('ALTER TABLE ob ENABLE ROW LEVEL SECURITY');
SELECT * FROM obstacle('CREATE TABLE child () INHERITS (ob)');
SELECT * FROM obstacle('ALTER TABLE ob ADD extra int DEFAULT 1');
SELECT * FROM obstacle('ALTER TABLE ob ADD extra int GENERATED ALWAYS AS (n + 1) STORED');
SELECT * FROM obstacle('', 'mode => ''merge''', 'keep_columns => ARRAY[''n'']');
SELECT * FROM obstacle('', 'mode => ''merge''', 'ignore_columns => ARRAY[''n'']');
SELECT * FROM obstacle('', 'mode => ''merge''', 'version_column => ''n''');
-- flags
SELECT refill();
CREATE TABLE flagged (id int PRIMARY KEY, v text);
SELECT idem_import_create('flagged', 'SELECT id, v, n = 0 AS gone FROM stage', 'flagged', key => ARRAY['id'], columns => ARRAY['id', 'v'], delete_flag => 'gone', method => 'swap');
SELECT * FROM swapped('flagged');
SELECT idem_import_drop('flagged', purge => true);
-- no unique index guards a key across children, temporary tables have one reader
CREATE TEMP TABLE brief (id int PRIMARY KEY, v text, n int);
CREATE UNLOGGED TABLE lost (id int PRIMARY KEY, v text, n int);
SELECT idem_import_create(t, 'stage', t::regclass, mode => 'overwrite', key => ARRAY['id'], method => 'swap') FROM unnest(ARRAY['brief', 'lost']) t;
SELECT * FROM swapped('brief');
SELECT * FROM swapped('lost');
SELECT relpersistence FROM pg_class WHERE oid = 'lost'::regclass;
SELECT idem_import_drop(t, purge => true) FROM unnest(ARRAY['brief', 'lost']) t;
-- privileges: to truncate is what it takes
TRUNCATE goal;
GRANT SELECT, INSERT, UPDATE, DELETE ON goal TO regress_swap;
SET ROLE regress_swap;
SELECT idem_import_create('granted', 'SELECT * FROM swap.stage', 'swap.goal', mode => 'overwrite', key => ARRAY['id'], method => 'swap');
SELECT status, method, inserted, note FROM idem_import_run('granted');
RESET ROLE;
GRANT TRUNCATE ON goal TO regress_swap;
UPDATE stage SET v = 'granted';
SET ROLE regress_swap;
SELECT status, method, updated, note FROM idem_import_plan('granted');
SELECT status, method, updated, note FROM idem_import_run('granted');
RESET ROLE;
SELECT pg_get_userbyid(relowner) = current_user AS same_owner FROM pg_class WHERE oid = 'goal'::regclass;
SELECT idem_import_drop('granted', purge => true);
-- whoever still reads the old rows: an open cursor
SELECT idem_import_create('goal', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id'], method => 'swap', delete_limit => NULL);
UPDATE stage SET v = 'cursor';
BEGIN;
DECLARE c CURSOR FOR SELECT count(*) OVER (), v FROM goal;
FETCH 1 FROM c;
SELECT * FROM swapped('goal');
FETCH 1 FROM c;
CLOSE c;
UPDATE stage SET v = 'closed';
SELECT * FROM swapped('goal');
COMMIT;
-- the statement itself
UPDATE stage SET v = 'itself';
SELECT status, method, r.updated, note FROM (SELECT count(*) AS n FROM goal) g, LATERAL idem_import_run('goal', force => g.n < 0) r;
SELECT DISTINCT v FROM goal;
-- a snapshot for the whole transaction
UPDATE stage SET v = 'repeatable';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM swapped('goal');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE stage SET v = 'serializable';
SELECT * FROM swapped('goal');
COMMIT;
SELECT DISTINCT v FROM goal;
-- events that wait
CREATE TABLE late (id int PRIMARY KEY, v text, n int CONSTRAINT late_n UNIQUE DEFERRABLE INITIALLY DEFERRED);
SELECT idem_import_create('late', 'SELECT id, v, id AS n FROM stage', 'late', mode => 'overwrite', key => ARRAY['id'], method => 'swap', delete_limit => NULL);
SELECT * FROM swapped('late');
UPDATE stage SET v = 'pending';
BEGIN;
INSERT INTO late VALUES (100, 'v', 1);
SELECT * FROM swapped('late');
COMMIT;
UPDATE stage SET v = 'done';
SELECT * FROM swapped('late');
INSERT INTO late VALUES (100, 'v', 1);
SELECT idem_import_drop('late', purge => true);

--
-- the delete guard, rejects and failures: nothing is swapped
--
SELECT refill();
SELECT status FROM idem_import_run('goal');
SELECT idem_import_alter('goal', delete_limit => 0.5);
DELETE FROM stage WHERE id > 5;
SELECT status, method, removed, note FROM idem_import_plan('goal');
SELECT code, message FROM refused($$SELECT idem_import_run('goal')$$);
SELECT idem_import_run('goal');
SELECT status, sqlstate FROM idem_import_ledger WHERE import = 'goal';
SELECT count(*) FROM goal;
SELECT idem_import_approve('goal');
SELECT * FROM swapped('goal');
SELECT count(*) FROM goal;
-- without a key, what counts is by how much it shrinks
CREATE TABLE shrink (v text);
INSERT INTO shrink SELECT 'old' FROM generate_series(1, 40);
SELECT idem_import_create('shrink', $$SELECT 'new' || i AS v FROM generate_series(1, 20) i$$, 'shrink', mode => 'overwrite', method => 'swap');
SELECT * FROM swapped('shrink');
SELECT idem_import_alter('shrink', source => $$SELECT 'newer' || i AS v FROM generate_series(1, 9) i$$);
SELECT status, method, removed, note FROM idem_import_plan('shrink');
SELECT code, message FROM refused($$SELECT idem_import_run('shrink')$$);
SELECT count(*) FROM shrink;
SELECT idem_import_drop('shrink', purge => true);
-- an error in the middle of the source
SELECT refill();
SELECT idem_import_alter('goal', source => 'SELECT id, v, 10 / (id - 15) AS n FROM stage');
SELECT code, message FROM refused($$SELECT idem_import_run('goal')$$);
SELECT idem_import_alter('goal', source => 'SELECT id, v, n FROM stage WHERE n <> 3');
SELECT count(*) FROM goal;

--
-- transactions: what was swapped comes back
--
SELECT image('goal') AS image, pg_relation_filenode('goal') AS node \gset
BEGIN;
SELECT * FROM swapped('goal');
SELECT count(*) FROM goal;
ROLLBACK;
SELECT image('goal') = :'image' AS same_rows, pg_relation_filenode('goal') = :node AS same_storage;
BEGIN;
SAVEPOINT s;
SELECT status, method FROM idem_import_run('goal');
SELECT count(*) FROM goal;
ROLLBACK TO s;
SELECT image('goal') = :'image' AS same_rows, pg_relation_filenode('goal') = :node AS same_storage;
SELECT status, method FROM idem_import_run('goal');
UPDATE stage SET v = 'twice';
SELECT status, method FROM idem_import_run('goal');
INSERT INTO goal VALUES (100, 'in the new storage', 0);
SAVEPOINT s;
DELETE FROM goal WHERE id < 5;
SELECT status, method, updated, inserted, removed FROM idem_import_run('goal');
ROLLBACK TO s;
SELECT count(*), count(*) FILTER (WHERE v = 'twice') FROM goal;
COMMIT;
SELECT count(*), count(*) FILTER (WHERE v = 'twice') FROM goal;
SELECT status FROM idem_import_run('goal');
SELECT status FROM idem_import_run('goal');
SELECT idem_import_drop('goal', purge => true);

--
-- what stays: all but the storage
--
CREATE TABLE stays (
	id int CONSTRAINT stays_pk PRIMARY KEY, v text COLLATE "C", n int NOT NULL DEFAULT 7 CONSTRAINT stays_n CHECK (n >= 0),
	g text GENERATED ALWAYS AS (v || '!') STORED, long text, CONSTRAINT stays_u UNIQUE (v, n))
	WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
CREATE INDEX stays_expr ON stays (lower(v), n DESC) INCLUDE (id) WHERE id > 0;
CREATE INDEX stays_hash ON stays USING hash (v) WITH (fillfactor = 60);
CREATE INDEX stays_gin ON stays USING gin (to_tsvector('simple', v));
CREATE INDEX stays_brin ON stays USING brin (id) WITH (pages_per_range = 4);
CREATE STATISTICS stays_stat (dependencies, ndistinct) ON v, n FROM stays;
CREATE VIEW stays_view AS SELECT * FROM stays WHERE n > 1;
CREATE MATERIALIZED VIEW stays_mat AS SELECT count(*) FROM stays;
CREATE FUNCTION takes(stays) RETURNS int LANGUAGE sql AS 'SELECT $1.id';
GRANT SELECT ON stays TO regress_swap;
GRANT UPDATE (v) ON stays TO regress_swap WITH GRANT OPTION;
COMMENT ON TABLE stays IS 'a table';
COMMENT ON COLUMN stays.v IS 'a column';
COMMENT ON CONSTRAINT stays_u ON stays IS 'a constraint';
COMMENT ON INDEX stays_expr IS 'an index';
ALTER TABLE stays ALTER v SET STATISTICS 500, ALTER v SET (n_distinct = -0.5), ALTER long SET STORAGE EXTERNAL;
ALTER INDEX stays_expr ALTER COLUMN 1 SET STATISTICS 321;
ALTER TABLE stays CLUSTER ON stays_pk;
ALTER TABLE stays ADD gone int;
ALTER TABLE stays DROP gone;
SET client_min_messages = error;
CREATE PUBLICATION regress_swap FOR TABLE stays;
SET client_min_messages = warning;
CREATE FUNCTION what_stays() RETURNS TABLE (what text) LANGUAGE sql AS $$
SELECT w FROM (
	SELECT concat_ws(' ', 'class', oid, relname, relnamespace, reltype, relowner, relam, reltablespace, relpersistence, relkind,
					 relnatts, relchecks, relhasrules, relhastriggers, relhasindex, relhassubclass, relreplident, relispartition, relacl, reloptions, reltoastrelid <> 0,
					 (SELECT concat_ws(' ', c.relname, c.reloptions) FROM pg_class c WHERE c.oid = t.reltoastrelid))
	FROM pg_class t WHERE oid = 'stays'::regclass
	UNION ALL SELECT concat_ws(' ', 'attribute', a) FROM pg_attribute a WHERE attrelid = 'stays'::regclass
	UNION ALL SELECT concat_ws(' ', 'index', i, pg_get_indexdef(indexrelid)) FROM pg_index i WHERE indrelid = 'stays'::regclass
	UNION ALL SELECT concat_ws(' ', 'index', oid, relname, reloptions, relacl) FROM pg_class WHERE oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'stays'::regclass)
	UNION ALL SELECT concat_ws(' ', 'index attribute', a) FROM pg_attribute a JOIN pg_index ON attrelid = indexrelid WHERE indrelid = 'stays'::regclass
	UNION ALL SELECT concat_ws(' ', 'constraint', oid, conname, pg_get_constraintdef(oid), conindid) FROM pg_constraint WHERE conrelid = 'stays'::regclass
	UNION ALL SELECT concat_ws(' ', 'depend', d) FROM pg_depend d WHERE (refobjid = 'stays'::regclass OR objid = 'stays'::regclass) AND
		objid <> (SELECT reltoastrelid FROM pg_class WHERE oid = 'stays'::regclass)
	UNION ALL SELECT concat_ws(' ', 'comment', d) FROM pg_description d WHERE objoid = 'stays'::regclass OR objoid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'stays'::regclass)
	UNION ALL SELECT concat_ws(' ', 'publication', p) FROM pg_publication_rel p WHERE prrelid = 'stays'::regclass
	UNION ALL SELECT concat_ws(' ', 'statistics', s) FROM pg_statistic_ext s WHERE stxrelid = 'stays'::regclass
	UNION ALL SELECT concat_ws(' ', 'type', oid, typname, typrelid, typarray) FROM pg_type WHERE typrelid = 'stays'::regclass
	UNION ALL SELECT concat_ws(' ', 'rewrite', oid, rulename) FROM pg_rewrite WHERE ev_class = 'stays_view'::regclass
) w(w) ORDER BY w COLLATE "C"
$$;
CREATE TABLE stays_before AS SELECT * FROM what_stays();
SELECT count(*) > 60 FROM stays_before;
CREATE TABLE stays_src AS SELECT i AS id, 'v' || i AS v, i % 10 AS n, CASE WHEN i % 100 = 0 THEN repeat(md5(i::text), 200) END AS long FROM generate_series(1, 5000) i;
SELECT idem_import_create('stays', 'stays_src', 'stays', mode => 'overwrite', key => ARRAY['id'], method => 'swap', delete_limit => NULL);
SELECT * FROM swapped('stays');
UPDATE stays_src SET v = 'w' || id, n = id % 20 WHERE id > 10;
SELECT * FROM swapped('stays');
(TABLE stays_before EXCEPT SELECT * FROM what_stays()) UNION ALL (SELECT * FROM what_stays() EXCEPT TABLE stays_before);
-- and works
SELECT count(*), sum(n), count(long), sum(length(long)), bool_and(g = v || '!') FROM stays;
SELECT count(*), min(takes(s)) FROM stays s;
SELECT count(*) FROM stays_view;
SET enable_seqscan = off;
SELECT id, g FROM stays WHERE lower(v) = 'w77' AND id > 0;
SELECT id FROM stays WHERE v = 'w4999';
SELECT id FROM stays WHERE to_tsvector('simple', v) @@ 'w300';
SELECT count(*) FROM stays WHERE id BETWEEN 5 AND 15;
RESET enable_seqscan;
INSERT INTO stays VALUES (6000, 'x', 1);
INSERT INTO stays VALUES (6000, 'y', 1);
INSERT INTO stays VALUES (6001, 'x', 1);
INSERT INTO stays VALUES (6001, 'x', -1);
UPDATE stays SET v = 'z' WHERE id = 6000;
DELETE FROM stays WHERE id = 6000;
VACUUM stays;
REINDEX TABLE stays;
CLUSTER stays;
SELECT * FROM swapped('stays');
-- statistics are those of the new rows, and of an older size none is left
TRUNCATE stays;
UPDATE stays_src SET n = 0;
SELECT * FROM swapped('stays');
SELECT reltuples, relpages = pg_relation_size('stays') / 8192 AS pages, relallvisible = (SELECT max((ctid::text::point)[0]) + 1 FROM stays) AS all_visible FROM pg_class WHERE oid = 'stays'::regclass;
SELECT attname, round(n_distinct::numeric, 3) AS n_distinct, round(null_frac::numeric, 3) AS null_frac FROM pg_stats WHERE schemaname = 'swap' AND tablename = 'stays' ORDER BY attname;
SELECT tablename, reltuples FROM pg_class JOIN pg_indexes ON relname = indexname WHERE schemaname = 'swap' AND indexname IN ('stays_pk', 'stays_u') ORDER BY indexname;
SELECT statistics_name, n_distinct IS NOT NULL AS n_distinct FROM pg_stats_ext WHERE schemaname = 'swap';
-- frozen, not bloated
SELECT age(relfrozenxid) < 100 AS young FROM pg_class WHERE oid = 'stays'::regclass;
SELECT idem_import_drop('stays', purge => true);
DROP PUBLICATION regress_swap;

-- TOAST: values are the table's own, through several exchanges and a rollback
CREATE TABLE toasted_src AS SELECT i AS id, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 100) j) AS v FROM generate_series(1, 30) i;
CREATE TABLE toasted (id int PRIMARY KEY, v text);
SELECT idem_import_create('toasted', 'toasted_src', 'toasted', mode => 'overwrite', key => ARRAY['id'], method => 'swap');
SELECT * FROM swapped('toasted');
UPDATE toasted_src SET v = v || '~' WHERE id % 2 = 0;
BEGIN;
SELECT status, method FROM idem_import_run('toasted');
ROLLBACK;
SELECT count(*) FROM toasted WHERE v LIKE '%~';
SELECT * FROM swapped('toasted');
UPDATE toasted SET v = v || '!' WHERE id = 1;
SELECT * FROM swapped('toasted');
CREATE TABLE kept AS SELECT md5(string_agg(id || v, '' ORDER BY id)) AS sum FROM toasted_src;
TRUNCATE toasted_src;
SELECT count(*), md5(string_agg(id || v, '' ORDER BY id)) = (TABLE kept) AS same FROM toasted;
SELECT idem_import_drop('toasted', purge => true);

-- a row that is to lose may violate what it likes, and a key may be called what it likes
CREATE TABLE loser_src (c1 int, v int, at int);
INSERT INTO loser_src VALUES (1, 1, 2), (1, -1, 1), (2, 2, 1);
CREATE TABLE loser (c1 int PRIMARY KEY, v int CHECK (v > 0), at int);
SELECT idem_import_create('loser', 'loser_src', 'loser', mode => 'overwrite', key => ARRAY['c1'], order_by => 'at DESC', method => 'swap');
SELECT status, method, inserted, collapsed, note FROM idem_import_run('loser');
DELETE FROM loser_src WHERE v < 0;
UPDATE loser_src SET v = v + 1;
SELECT * FROM swapped('loser');
INSERT INTO loser_src VALUES (3, -3, 1);
SELECT code, message FROM refused($$SELECT idem_import_run('loser')$$);
TABLE loser ORDER BY c1;
SELECT idem_import_drop('loser', purge => true);

-- functions of an index do not run as the table's owner by the importer's search_path
CREATE SCHEMA swap_bad;
GRANT USAGE, CREATE ON SCHEMA swap, swap_bad TO regress_swap;
CREATE FUNCTION norm(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE FUNCTION indexed(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN norm(v); END';
CREATE TABLE victim (id int PRIMARY KEY, v text);
CREATE INDEX victim_v ON victim (indexed(v));
CREATE TABLE victim_src AS SELECT 1 AS id, 'A' AS v;
GRANT ALL ON victim, victim_src TO regress_swap;
SET ROLE regress_swap;
CREATE FUNCTION swap_bad.norm(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''called by %'', current_user; END';
SET search_path = swap_bad, swap, public;
SELECT idem_import_create('victim', 'swap.victim_src', 'swap.victim', mode => 'overwrite', key => ARRAY['id'], method => 'swap');
SELECT status, method, note FROM idem_import_run('victim');
RESET ROLE;
SET search_path = swap, public;
SELECT idem_import_drop('victim', purge => true);
DROP SCHEMA swap_bad CASCADE;

DROP OWNED BY regress_swap;
DROP ROLE regress_swap;
\set ECHO none
SET client_min_messages = error;
DROP SCHEMA swap CASCADE;
