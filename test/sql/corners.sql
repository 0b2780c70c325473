-- corners: bugs that a review found, one case for each

CREATE SCHEMA corners;
SET search_path = corners, public;
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, MDY';
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

-- a run of which nothing is known but that its counts must add up
CREATE FUNCTION counted(import text, force boolean DEFAULT false)
RETURNS TABLE (status text, attempted bigint, inserted bigint, updated bigint, unchanged bigint, stale bigint, collapsed bigint, rejected bigint, deleted bigint, removed bigint, adds_up boolean, note text)
LANGUAGE sql AS $$
SELECT r.status, r.attempted, r.inserted, r.updated, r.unchanged, r.stale, r.collapsed, r.rejected, r.deleted, r.removed,
	r.attempted = r.inserted + r.updated + r.unchanged + r.stale + r.collapsed + r.rejected + r.deleted AND
	least(r.inserted, r.updated, r.unchanged, r.stale, r.collapsed, r.rejected, r.deleted, r.removed) >= 0, r.note
FROM idem_import_run(counted.import, force => counted.force) r $$;

--
-- more scope columns than anybody has
--
DO $$
BEGIN
	EXECUTE (SELECT format('CREATE TABLE wide_stage (%1$s); CREATE TABLE wide_goal (%1$s)', string_agg(format('c%s int', i), ', ' ORDER BY i))
			 FROM generate_series(1, 300) i);
END $$;
INSERT INTO wide_stage (c1, c300) VALUES (1, 300);
SELECT idem_import_create('wide', 'wide_stage', 'wide_goal', mode => 'overwrite', out_of_scope => 'reject', reject_limit => 1,
	scope => (SELECT array_agg('c' || i ORDER BY i) FROM generate_series(1, 300) i));
-- NULL belongs to no unit
SELECT unit, status, attempted, inserted, rejected FROM idem_import_run('wide');
-- the unit's name is what limits their number
DO $$
BEGIN
	EXECUTE (SELECT format('UPDATE wide_stage SET %s', string_agg(format('c%s = %s', i, i % 10), ', ')) FROM generate_series(1, 300) i);
END $$;
SELECT * FROM refused($$SELECT idem_import_run('wide')$$);
SELECT idem_import_alter('wide', scope => (SELECT array_agg('c' || i ORDER BY i) FROM generate_series(201, 280) i));
SELECT left(unit, 30) AS unit, status, attempted, inserted FROM idem_import_run('wide');
SELECT status, unchanged FROM idem_import_run('wide');
SELECT status, unchanged FROM idem_import_run('wide', (SELECT jsonb_object_agg('c' || i, i % 10)::text FROM generate_series(201, 280) i));
SELECT idem_import_drop('wide', purge => true);
DROP TABLE wide_stage, wide_goal;

--
-- a unique violation that is nobody else's insert: the run fails, no row is lost
--
CREATE TABLE stage (id int, val text);
CREATE TABLE goal (id int PRIMARY KEY, val text);
INSERT INTO stage VALUES (1, 'a'), (2, 'b'), (3, 'c');
CREATE FUNCTION mind() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id = 2 THEN
		RAISE unique_violation USING MESSAGE = 'no twos, please';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER mind BEFORE INSERT ON goal FOR EACH ROW EXECUTE FUNCTION mind();
SELECT idem_import_create('violation', 'stage', 'goal', key => ARRAY['id']);
SELECT idem_import_run('violation');
SELECT status, sqlstate, message FROM idem_import_ledger WHERE import = 'violation';
SELECT status FROM idem_import_history WHERE import = 'violation';
SELECT count(*) FROM goal;
-- so for insert_only and replace
SELECT idem_import_alter('violation', mode => 'insert_only');
SELECT code, message FROM refused($$SELECT idem_import_run('violation')$$);
SELECT idem_import_alter('violation', mode => 'overwrite', method => 'replace');
SELECT code, message FROM refused($$SELECT idem_import_run('violation')$$);
SELECT idem_import_drop('violation', purge => true);
DROP TRIGGER mind ON goal;

-- a view shows the key alone, the table below it has another one
CREATE TABLE base (id int PRIMARY KEY, email text UNIQUE);
CREATE VIEW people AS SELECT * FROM base WHERE id < 100;
INSERT INTO base VALUES (200, 'b@x');
CREATE TABLE mails (id int, email text);
INSERT INTO mails VALUES (1, 'a@x'), (2, 'b@x'), (3, 'c@x');
SELECT idem_import_create('people', 'mails', 'people', key => ARRAY['id']);
SELECT idem_import_run('people');
SELECT status, sqlstate, message FROM idem_import_ledger WHERE import = 'people';
TABLE people;
UPDATE mails SET email = 'd@x' WHERE id = 2;
SELECT unit, status, inserted, checks FROM again('people');
SELECT idem_import_drop('people', purge => true);

-- row security hides the row that has the key
CREATE ROLE regress_corners NOLOGIN;
GRANT USAGE, CREATE ON SCHEMA corners TO regress_corners;
CREATE TABLE secret (id int PRIMARY KEY, val text);
INSERT INTO secret VALUES (2, 'hidden');
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON secret FOR ALL USING (val <> 'hidden') WITH CHECK (true);
GRANT ALL ON secret TO regress_corners;
GRANT SELECT ON stage TO regress_corners;
SET ROLE regress_corners;
SELECT idem_import_create('secret', 'stage', 'secret', key => ARRAY['id']);
SELECT idem_import_run('secret');
SELECT status, sqlstate, message FROM idem_import_ledger WHERE import = 'secret';
RESET ROLE;
TABLE secret;
DELETE FROM secret;
SELECT status, inserted FROM idem_import_run('secret');
SELECT idem_import_drop('secret', purge => true);

--
-- a trigger that drops some rows and changes others: each staged row counts once
--
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id % 3 = 0 THEN
		RETURN NULL;
	ELSIF NEW.id % 3 = 1 THEN
		NEW.val := NEW.val || '!';
	END IF;
	RETURN NEW;
END $$;
TRUNCATE stage, goal;
INSERT INTO stage SELECT i, 'v' || i FROM generate_series(1, 9) i;
CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON goal FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT idem_import_create('meddled', 'stage', 'goal', key => ARRAY['id']);
SELECT * FROM counted('meddled');
SELECT * FROM counted('meddled', force => true);
-- rows to update, of which some are dropped and some changed, beside rows to insert
ALTER TABLE goal DISABLE TRIGGER meddle;
INSERT INTO goal VALUES (3, 'old'), (6, 'old');
UPDATE goal SET val = 'old' WHERE id IN (1, 2);
DELETE FROM goal WHERE id IN (5, 7);
ALTER TABLE goal ENABLE TRIGGER meddle;
SELECT * FROM counted('meddled');
TABLE goal ORDER BY id;
SELECT idem_import_alter('meddled', mode => 'insert_only');
SELECT * FROM counted('meddled');
TRUNCATE goal;
SELECT * FROM counted('meddled', force => true);
SELECT * FROM counted('meddled', force => true);
TABLE goal ORDER BY id;
SELECT idem_import_drop('meddled', purge => true);

--
-- without a key, what a trigger swallows was not inserted
--
CREATE TABLE bag (id int, val text);
INSERT INTO bag VALUES (99, 'old');
CREATE TRIGGER meddle BEFORE INSERT ON bag FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT idem_import_create('bag', 'stage', 'bag', mode => 'overwrite');
SELECT * FROM counted('bag');
SELECT count(*) FROM bag;
SELECT idem_import_drop('bag', purge => true);

--
-- one key in two units of one run, where the scope is not in the key
--
CREATE TABLE visits (day date, id int, val text, seq int);
CREATE TABLE latest (day date NOT NULL, id int PRIMARY KEY, val text);
INSERT INTO visits VALUES
	('2026-01-01', 1, 'late', 9), ('2026-01-02', 1, 'early', 1),
	('2026-01-01', 2, 'early', 1), ('2026-01-02', 2, 'late', 9), ('2026-01-03', 2, 'middle', 5),
	('2026-01-03', 3, 'only', 1);
SELECT idem_import_create('cross', 'visits', 'latest', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['day'], columns => ARRAY['day', 'id', 'val']);
SELECT code, message, detail FROM refused($$SELECT idem_import_run('cross')$$);
SELECT code, message, detail FROM refused($$SELECT idem_import_plan('cross')$$);
SELECT code, message, detail FROM refused($$SELECT idem_import_run('cross', '[2026-01-01,2026-01-04)')$$);
TABLE latest;
SELECT idem_import_alter('cross', order_by => 'seq DESC');
SELECT * FROM again('cross');
TABLE latest ORDER BY id;
SELECT * FROM again('cross', '[2026-01-01,2026-01-05)');
SELECT idempotent, unit, second_changes FROM idem_import_prove('cross');
-- the winner changes sides: both units are another, though one of them has the rows that it had
UPDATE visits SET seq = 0 WHERE day = '2026-01-01' AND id = 1;
SELECT unit, status, attempted, inserted, updated, unchanged, collapsed, removed FROM idem_import_run('cross');
TABLE latest ORDER BY id;
SELECT * FROM again('cross');
-- identical rows can be in one unit alone
INSERT INTO visits SELECT * FROM visits WHERE id = 3;
SELECT * FROM again('cross');
SELECT idem_import_drop('cross', purge => true);

-- the same with slices, NULL in keys, and rows outside of all units
TRUNCATE visits, latest;
INSERT INTO visits VALUES
	('2026-01-01', 1, 'late', 9), ('2026-02-02', 1, 'early', 1), ('2026-02-02', NULL, 'x', 1), ('2026-02-03', NULL, 'y', 2),
	('2026-01-31', 2, 'early', 1), ('2026-02-01', 2, 'late', 9), ('2026-01-15', 2, 'middle', 5), (NULL, 2, 'nowhere', 99),
	('2026-03-01', NULL, 'z', 1), ('2026-03-31', 3, 'only', 1), (NULL, NULL, 'nothing', 99);
SELECT idem_import_create('cross', 'visits', 'latest', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['day'], slice => '1 month',
	columns => ARRAY['day', 'id', 'val'], order_by => 'seq DESC', out_of_scope => 'reject', reject_limit => 9);
SELECT * FROM again('cross');
TABLE latest ORDER BY id;
SELECT unit, "row", key, sqlstate, column_name, resolved_at IS NULL AS open FROM idem_import_reject WHERE import = 'cross' ORDER BY "row"::text COLLATE "C";
SELECT * FROM again('cross', '[2026-01-01,2026-04-01)');
SELECT idempotent, unit, second_changes FROM idem_import_prove('cross');
SELECT idempotent, unit, second_changes FROM idem_import_prove('cross', '[2026-01-01,2026-04-01)');
UPDATE visits SET seq = 10 WHERE val = 'middle';
DELETE FROM visits WHERE id IS NULL AND day > '2026-02-15';
-- (not by again(): a plan does not foresee that one unit takes a row from another)
SELECT unit, status, attempted, inserted, updated, unchanged, collapsed, rejected, removed FROM idem_import_run('cross');
SELECT * FROM again('cross');
TABLE latest ORDER BY id;
SELECT idem_import_drop('cross', purge => true);

--
-- no index guards the key: not under a snapshot that may be older than the lock
--
CREATE TABLE parent (id int PRIMARY KEY, val text);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
INSERT INTO child VALUES (1, 'child');
SELECT idem_import_create('parent', 'stage', 'parent', key => ARRAY['id']);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM refused($$SELECT idem_import_run('parent')$$);
-- a plan takes no lock
SELECT status, inserted, updated FROM idem_import_plan('parent');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT code FROM refused($$SELECT idem_import_run('parent')$$);
ROLLBACK;
SELECT unit, status, inserted, updated, checks FROM again('parent');
SELECT idem_import_drop('parent', purge => true);

--
-- the index takes for one what the scope takes for two; without ICU the staged row is told from the target's by nothing
--
SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AND getdatabaseencoding() = 'UTF8' AS icu,
	'a' AS staged, 'CREATE COLLATION nocase FROM "C"' AS collation \gset
\if :icu
\set staged 'A'
\set collation 'CREATE COLLATION nocase (provider = icu, locale = ''und-u-ks-level2'', deterministic = false)'
\endif
:collation;
CREATE TABLE folded (tenant text, id int, val text);
CREATE UNIQUE INDEX ON folded (tenant COLLATE nocase, id);
INSERT INTO folded VALUES ('a', 1, 'old'), ('b', 1, 'other');
CREATE TABLE folded_stage (tenant text, id int, val text);
INSERT INTO folded_stage VALUES (:'staged', 1, 'new');
SELECT idem_import_create('folded', 'folded_stage', 'folded', key => ARRAY['tenant', 'id'], scope => ARRAY['tenant']);
SELECT upper(unit) AS unit, status, inserted, updated, unchanged, removed, checks FROM again('folded');
SELECT upper(tenant) AS tenant, id, val FROM folded ORDER BY 1;
SELECT tenant = :'staged' AS as_staged FROM folded WHERE val = 'new';
SELECT idem_import_drop('folded', purge => true);

--
-- order_by gives one value for each row (an aggregate already makes no sense to PostgreSQL)
--
SELECT e, r.code, r.message
FROM unnest(ARRAY['generate_series(1, seq)', 'row_number() OVER (ORDER BY seq)', 'count(*)', 'max(seq) OVER ()', 'unnest(ARRAY[1, 2]) DESC']) WITH ORDINALITY u(e, n),
	LATERAL refused(format('SELECT idem_import_create(''order'', ''visits'', ''latest'', key => ARRAY[''id''], order_by => %L)', e)) r
ORDER BY n;
SELECT idem_import_create('order', 'visits', 'latest', key => ARRAY['id'], order_by => 'seq');
SELECT code FROM refused($$SELECT idem_import_alter('order', order_by => 'generate_series(1, seq)')$$);
SELECT idem_import_drop('order', purge => true);

--
-- a source that locks what it reads
--
CREATE VIEW locking AS SELECT * FROM stage FOR UPDATE;
SELECT s, r.code, r.message, r.hint
FROM unnest(ARRAY['SELECT * FROM stage FOR UPDATE', 'SELECT * FROM stage FOR KEY SHARE NOWAIT',
	'SELECT * FROM (SELECT * FROM stage FOR SHARE) x', 'WITH x AS (SELECT * FROM stage FOR NO KEY UPDATE) SELECT * FROM x',
	'SELECT * FROM stage WHERE id IN (SELECT id FROM goal FOR UPDATE)', 'locking', 'SELECT * FROM locking']) WITH ORDINALITY u(s, n),
	LATERAL refused(format('SELECT idem_import_create(''locking'', %L, ''goal'', key => ARRAY[''id''])', s)) r
ORDER BY n;

--
-- overwrite: a default that is volatile only since the import was created
--
DROP TRIGGER meddle ON goal;
TRUNCATE stage, goal;
INSERT INTO stage VALUES (1, 'a'), (2, 'b');
SELECT idem_import_create('later', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id']);
SELECT status FROM idem_import_run('later');
ALTER TABLE goal ADD COLUMN at timestamptz DEFAULT now();
SELECT * FROM refused($$SELECT idem_import_run('later')$$);
SELECT code FROM refused($$SELECT idem_import_plan('later')$$);
ALTER TABLE goal ALTER COLUMN at DROP DEFAULT;
SELECT status FROM idem_import_run('later');
SELECT idem_import_drop('later', purge => true);
ALTER TABLE goal DROP COLUMN at;

--
-- what can be known when an import is created
--
SELECT * FROM refused($$SELECT idem_import_create('early', 'visits', 'latest', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['day'], method => 'replace')$$);
GRANT SELECT, INSERT, DELETE ON goal TO regress_corners;
SET ROLE regress_corners;
SELECT * FROM refused($$SELECT idem_import_create('early', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id'])$$);
-- these update nothing
SELECT idem_import_create('early', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id'], method => 'replace');
SELECT unit, status, checks FROM again('early');
SELECT idem_import_alter('early', mode => 'insert_only', method => 'auto');
SELECT code FROM refused($$SELECT idem_import_alter('early', mode => 'merge')$$);
SELECT idem_import_drop('early', purge => true);
RESET ROLE;

--
-- columns named as the parts of our queries
--
CREATE TABLE letters_stage (r text, k text, s text, t text);
CREATE TABLE letters (r text, k text, s text, t text, UNIQUE (r, k));
INSERT INTO letters_stage VALUES ('1', '2', '3', '4'), (NULL, 'k', 's', 't'), ('r', NULL, 's', 't');
SELECT idem_import_create('letters', 'letters_stage', 'letters', key => ARRAY['r', 'k'], scope => ARRAY['s'], reject_limit => NULL);
SELECT * FROM again('letters');
SELECT "row", key, column_name FROM idem_import_reject WHERE import = 'letters' ORDER BY column_name;
SELECT idem_import_drop('letters', purge => true);

--
-- what waits for approval has its counts; the unit may be spelled in any way
--
TRUNCATE visits, latest;
INSERT INTO latest SELECT '2026-01-02', i, 'old' FROM generate_series(1, 40) i;
INSERT INTO visits SELECT '2026-01-02', i, CASE WHEN i % 2 = 0 THEN 'old' ELSE 'new' END, 1 FROM generate_series(31, 45) i;
INSERT INTO visits VALUES ('2026-01-02', 31, 'new', 1);
SELECT idem_import_create('guarded', 'visits', 'latest', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['day'], columns => ARRAY['day', 'id', 'val']);
SELECT idem_import_run('guarded', '2026-01-02');
SELECT status, attempted, inserted, updated, unchanged, collapsed, removed FROM idem_import_history WHERE import = 'guarded';
SELECT status, unit, to_remove FROM idem_import_ledger WHERE import = 'guarded';
SELECT idem_import_approve('guarded', '3 January 2026');
SELECT idem_import_approve('guarded', '2 January 2026');
SELECT status, attempted, inserted, updated, unchanged, collapsed, removed FROM idem_import_run('guarded', 'Jan 2, 2026');
SELECT idem_import_drop('guarded', purge => true);
-- the same without a key
CREATE TABLE keyless (day date, id int, val text);
INSERT INTO keyless SELECT '2026-01-02', i, 'old' FROM generate_series(1, 40) i;
SELECT idem_import_create('guarded', 'visits', 'keyless', mode => 'overwrite', scope => ARRAY['day'], columns => ARRAY['day', 'id', 'val']);
SELECT idem_import_run('guarded', '2026-01-02');
SELECT status, attempted, inserted, updated, unchanged, collapsed, removed FROM idem_import_history WHERE import = 'guarded';
SELECT idem_import_drop('guarded', purge => true);

--
-- another source: neither the target nor nothing
--
SELECT idem_import_create('instead', 'stage', 'goal', key => ARRAY['id']);
SELECT s, c, r.code, r.message
FROM unnest(ARRAY['goal', '-', '0']) s, unnest(ARRAY['run', 'plan']) c,
	LATERAL refused(format('SELECT idem_import_%s(''instead'', source => %L)', c, s)) r
ORDER BY s COLLATE "C" DESC, c;
SELECT idem_import_drop('instead', purge => true);

--
-- a share that no binary number is
--
TRUNCATE stage, goal;
INSERT INTO goal SELECT i, 'v' FROM generate_series(1, 100) i;
INSERT INTO stage SELECT i, 'v' FROM generate_series(30, 100) i;
SELECT idem_import_create('share', 'stage', 'goal', mode => 'overwrite', key => ARRAY['id'], delete_limit => 0.29);
SELECT status, removed, note LIKE '%II001%' AS would_stop FROM idem_import_plan('share');
DELETE FROM stage WHERE id = 30;
SELECT removed, note LIKE '%II001%' AS would_stop FROM idem_import_plan('share');
SELECT code, message, detail FROM refused($$SELECT idem_import_run('share')$$);
INSERT INTO stage VALUES (30, 'v');
SELECT * FROM again('share');
SELECT idem_import_drop('share', purge => true);

--
-- NULL matches NULL, whether or not a staged key has one
--
CREATE TABLE pairs (a int, b text, val text);
CREATE TABLE lax (a int, b text, val text, UNIQUE NULLS NOT DISTINCT (a, b));
INSERT INTO lax VALUES (1, 'x', 'old'), (2, NULL, 'old'), (NULL, NULL, 'old');
INSERT INTO pairs VALUES (1, 'x', 'new'), (3, 'y', 'new');
SELECT idem_import_create('nulls', 'pairs', 'lax', mode => 'overwrite', key => ARRAY['a', 'b'], null_key => 'match');
SELECT * FROM again('nulls');
TABLE lax ORDER BY a, b;
INSERT INTO pairs VALUES (2, NULL, 'new'), (NULL, 'z', 'new'), (NULL, NULL, 'new'), (NULL, NULL, 'new');
SELECT * FROM again('nulls');
TABLE lax ORDER BY a, b;
UPDATE pairs SET val = 'newer' WHERE a IS NULL OR b IS NULL OR a = 1;
DELETE FROM pairs WHERE b = 'z';
SELECT * FROM again('nulls');
DELETE FROM pairs WHERE a IS NULL OR b IS NULL;
SELECT * FROM again('nulls');
TABLE lax ORDER BY a, b;
SELECT idem_import_drop('nulls', purge => true);

--
-- a domain whose check opens a subtransaction, which no parallel worker can
--
CREATE FUNCTION is_number(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM $1::numeric;
	RETURN true;
EXCEPTION WHEN invalid_text_representation THEN
	RETURN false;
END $$;
CREATE DOMAIN numeral AS text CHECK (is_number(VALUE));
CREATE TABLE numerals_stage (id int, val text);
CREATE TABLE numerals (id int PRIMARY KEY, val numeral);
INSERT INTO numerals_stage SELECT i, i FROM generate_series(1, 2000) i;
ANALYZE numerals_stage;
SELECT idem_import_create('numerals', 'numerals_stage', 'numerals', mode => 'overwrite', key => ARRAY['id'],
	settings => '{"parallel_setup_cost": 0, "parallel_tuple_cost": 0, "min_parallel_table_scan_size": 0, "max_parallel_workers_per_gather": 2}');
SELECT * FROM again('numerals');
UPDATE numerals_stage SET val = 'seven' WHERE id = 7;
SELECT code, message FROM refused($$SELECT idem_import_run('numerals')$$);
SELECT idem_import_drop('numerals', purge => true);

--
-- hints that can be run, whatever the import's name is
--
TRUNCATE stage, goal;
INSERT INTO stage VALUES (1, 'a'), (1, 'b');
SELECT idem_import_create('it''s', 'stage', 'goal', key => ARRAY['id']);
SELECT code, hint FROM refused($$SELECT idem_import_run('it''s')$$);
UPDATE stage SET id = NULL;
SELECT code, hint FROM refused($$SELECT idem_import_run('it''s')$$);
ALTER TABLE stage ADD COLUMN extra int;
SELECT code, hint FROM refused($$SELECT idem_import_run('it''s')$$);
ALTER TABLE stage DROP COLUMN extra;
ALTER TABLE goal RENAME COLUMN val TO value;
SELECT code, hint FROM refused($$SELECT idem_import_run('it''s')$$);
ALTER TABLE goal RENAME COLUMN value TO val;
SELECT idem_import_alter('it''s', source => 'SELECT * FROM stage WHERE val = $1', scope => ARRAY['val']);
SELECT code, hint FROM refused($$SELECT idem_import_run('it''s')$$);
SELECT idem_import_drop('it''s', purge => true);

--
-- the same key in two units, of a source that is read unit by unit
--
CREATE TABLE part_stage (day date, id int, val text);
CREATE TABLE part_goal (day date, id int PRIMARY KEY, val text);
INSERT INTO part_stage VALUES ('2026-01-01', 1, 'a'), ('2026-01-02', 1, 'b'), ('2026-01-02', 2, 'c');
SELECT idem_import_create('parts', source => 'SELECT * FROM part_stage WHERE day = $1', target => 'part_goal',
	mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['day']);
SELECT * FROM refused($$SELECT idem_import_run('parts', '[2026-01-01,2026-01-03)')$$);
SELECT idem_import_alter('parts', order_by => 'val DESC');
SELECT unit, status, inserted, collapsed, removed FROM idem_import_run('parts', '[2026-01-01,2026-01-03)');
SELECT unit, status, unchanged, collapsed FROM idem_import_run('parts', '[2026-01-01,2026-01-03)');
-- who wins may change although a unit's own rows do not
UPDATE part_stage SET val = 'z' WHERE day = '2026-01-01';
SELECT unit, status, inserted, updated, collapsed, removed FROM idem_import_run('parts', '[2026-01-01,2026-01-03)');
SELECT * FROM part_goal ORDER BY id;
SELECT unit, status FROM idem_import_run('parts', '[2026-01-01,2026-01-03)');
SELECT idem_import_drop('parts', purge => true);

--
-- a row that moves between units of one run is updated, whichever unit comes first, and keeps what is not imported
--
CREATE TABLE move_stage (k int, g int, v text);
CREATE TABLE move_goal (k int PRIMARY KEY, g int, v text, human text DEFAULT 'none');
INSERT INTO move_goal VALUES (1, 1, 'a', 'note'), (2, 3, 'a', 'note');
INSERT INTO move_stage VALUES (1, 2, 'a'), (2, 2, 'a'), (9, 1, 'z'), (8, 3, 'z');
SELECT idem_import_create('moves', 'move_stage', 'move_goal', key => ARRAY['k'], scope => ARRAY['g'], delete_missing => true);
SELECT unit, inserted, updated, removed FROM idem_import_plan('moves');
SELECT unit, inserted, updated, removed FROM idem_import_run('moves');
SELECT * FROM move_goal ORDER BY k;
-- what the ledger and the history say of a unit that rows have left
SELECT l.unit, l.target_rows = count(t.k) AS rows, l.target_checksum = idem_import_checksum(idem_import_hash(t.k, t.g, t.v)) AS checksum,
	h.checksum = l.target_checksum AS history
FROM idem_import_ledger l JOIN idem_import_history h USING (run_id) JOIN move_goal t ON t.g::text = l.unit
WHERE l.import = 'moves' GROUP BY l.unit, l.target_rows, l.target_checksum, h.checksum ORDER BY l.unit;
SELECT unit, status FROM idem_import_run('moves');
SELECT unit, status, note FROM idem_import_run('moves');
SELECT idem_import_drop('moves', purge => true);
-- a newer version in another unit stays where it is
TRUNCATE move_stage, move_goal;
ALTER TABLE move_stage ADD COLUMN ver int;
ALTER TABLE move_goal ADD COLUMN ver int;
INSERT INTO move_goal VALUES (1, 2, 'new', 'note', 3);
INSERT INTO move_stage VALUES (1, 1, 'old', 1), (9, 2, 'z', 1);
SELECT idem_import_create('moves', 'move_stage', 'move_goal', key => ARRAY['k'], scope => ARRAY['g'],
	version_column => 'ver', delete_missing => true);
SELECT unit, inserted, stale, removed FROM idem_import_run('moves');
INSERT INTO move_stage VALUES (10, 1, 'q', 1);
SELECT unit, inserted, stale, removed FROM idem_import_run('moves');
SELECT * FROM move_goal ORDER BY k;
SELECT idem_import_drop('moves', purge => true);

--
-- '*' is the name of no unit
--
CREATE TABLE star_stage (g text, k int);
CREATE TABLE star_goal (g text, k int, PRIMARY KEY (g, k));
INSERT INTO star_stage VALUES ('*', 1), (NULL, 2), ('a', 3);
SELECT idem_import_create('star', 'star_stage', 'star_goal', mode => 'overwrite', key => ARRAY['g', 'k'],
	scope => ARRAY['g'], out_of_scope => 'reject', reject_limit => 5);
SELECT unit, status, attempted, rejected FROM idem_import_run('star');
SELECT code, message FROM refused($$SELECT idem_import_run('star', '*')$$);
SELECT idem_import_drop('star', purge => true);

--
-- unique values exchanged by rows whose generated identity changes, too
--
CREATE TABLE ident_stage (k int, id int, u int);
CREATE TABLE ident_goal (k int PRIMARY KEY, id int GENERATED ALWAYS AS IDENTITY, u int UNIQUE);
INSERT INTO ident_stage VALUES (1, 1, 1), (2, 2, 2);
SELECT idem_import_create('ident', 'ident_stage', 'ident_goal', key => ARRAY['k']);
SELECT inserted FROM idem_import_run('ident');
TRUNCATE ident_stage;
INSERT INTO ident_stage VALUES (1, 5, 2), (2, 2, 1);
SELECT updated FROM idem_import_run('ident');
SELECT * FROM ident_goal ORDER BY k;
SELECT status FROM idem_import_run('ident', force => true);
-- altering nothing is no new version
SELECT idem_import_alter('ident');
SELECT idem_import_alter('ident', mode => 'merge');
SELECT version FROM idem_import_definition WHERE name = 'ident';
-- a failure that is recorded late does not hide the success after it
BEGIN;
SELECT status FROM idem_import_run('ident');
UPDATE ident_stage SET u = 7 WHERE k = 1;
SELECT status FROM idem_import_run('ident');
SAVEPOINT before;
INSERT INTO ident_stage VALUES (1, 9, 9);
SELECT code FROM refused($$SELECT idem_import_run('ident')$$);
ROLLBACK TO before;
SELECT status FROM idem_import_run('ident');
COMMIT;
DO $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		EXIT WHEN (SELECT attempts FROM idem_import_ledger WHERE import = 'ident') = 5;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SELECT status, sqlstate, attempts FROM idem_import_ledger WHERE import = 'ident';
SELECT status, sqlstate FROM idem_import_history WHERE import = 'ident' ORDER BY run_id;
SELECT idem_import_drop('ident', purge => true);

--
-- a scope that names no unit is no unit's failure
--
SELECT idem_import_create('nowhere', 'visits', 'latest', key => ARRAY['id'], scope => ARRAY['day']);
SELECT idem_import_run('nowhere', 'some day');
SELECT s, r.code FROM unnest(ARRAY['some day', 'today', '[2026-01-01', '', '*', '[2026-02-01,2026-01-01)']) WITH ORDINALITY u(s, n),
	LATERAL refused(format('SELECT idem_import_run(''nowhere'', %L)', s)) r ORDER BY n;
SELECT (SELECT count(*) FROM idem_import_ledger) AS ledger, (SELECT count(*) FROM idem_import_history) AS history;
SELECT idem_import_drop('nowhere', purge => true);

SELECT count(*) FROM idem_import_definition;
SELECT count(*) FROM idem_import_ledger;
SELECT count(*) FROM idem_import_history;
SELECT count(*) FROM idem_import_reject;
DROP SCHEMA corners CASCADE;
DROP ROLE regress_corners;
RESET TimeZone;
RESET DateStyle;
