-- A plan equals the run that follows it: counts, units, method, engine, note,
-- the locks on the target, and what stops the run.
CREATE SCHEMA plan;
SET search_path = plan, public;
SET client_min_messages = warning;
-- it goes through the engines itself
SET idem_import.engine = 'auto';
SET idem_import.min_swap_rows = 50000;
\set VERBOSITY terse
\set SHOW_CONTEXT never

-- the strongest lock that this session holds on a relation, as LOCK TABLE spells it
CREATE FUNCTION held(rel regclass) RETURNS text LANGUAGE sql AS $$
	SELECT upper(regexp_replace(replace(mode, 'Lock', ''), '([a-z])([A-Z])', '\1 \2', 'g')) FROM pg_locks
	WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = rel AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
	ORDER BY array_position(ARRAY['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
		'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'], mode) DESC LIMIT 1
$$;

-- what a plan's note says of locks, against those that are held after the run
CREATE FUNCTION lock_faults(target regclass, told text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	words text[] := regexp_match(told, '^takes (?:([A-Z ]+) on ([^ ,]+), (?!and))?([A-Z ]+) on ([^ ,]+)(.*)$');
	top text := words[1];
	mode text := words[3];
	rel regclass := words[4];
	more text := words[5];
	is_held text;
	leaf regclass;
	written int := 0;
	bad text := '';
BEGIN
	IF words IS NULL THEN
		RETURN format(' no locks told: %s;', told);
	END IF;
	IF top IS NOT NULL AND held(words[2]::regclass) <> top THEN
		bad := bad || format(' %s: %s held, %s;', words[2], held(words[2]::regclass), told);
	END IF;
	IF more LIKE ' while its new storage is filled, then ACCESS EXCLUSIVE until the transaction ends' THEN
		mode := 'ACCESS EXCLUSIVE';
		more := '';
	END IF;
	is_held := held(rel);
	IF is_held IS DISTINCT FROM mode AND
	   (more NOT LIKE '%, and SHARE ROW EXCLUSIVE if rows exchange unique values' OR is_held <> 'SHARE ROW EXCLUSIVE') THEN
		bad := bad || format(' %s: %s held, %s;', rel, is_held, told);
	END IF;
	FOR leaf IN SELECT relid FROM pg_partition_tree(rel) WHERE isleaf AND relid <> rel LOOP
		is_held := coalesce(held(leaf), 'ACCESS SHARE');
		IF is_held = mode THEN
			written := written + 1;
		END IF;
		IF is_held <> 'ACCESS SHARE' AND (more = '' OR is_held <> mode) OR is_held <> mode AND more LIKE ' and its partitions%' THEN
			bad := bad || format(' %s: %s held, %s;', leaf, is_held, told);
		END IF;
	END LOOP;
	IF written = 0 AND more LIKE ' and the partitions that it writes%' THEN
		bad := bad || format(' no partition locked, %s;', told);
	END IF;
	RETURN bad;
END $$;

-- plan, run, and what differs; nothing if all is as foretold
CREATE FUNCTION foretold(import text, scope text DEFAULT NULL, source regclass DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	target regclass := (SELECT d.target FROM idem_import_definition d WHERE d.name = import);
	plan idem_import_result[];
	run idem_import_result[];
	planned text;
	failed text;
	p idem_import_result;
	r idem_import_result;
	told text;
	bad text := '';
BEGIN
	BEGIN
		plan := array(SELECT x FROM idem_import_plan(import, scope, source) x);
	EXCEPTION WHEN OTHERS THEN
		planned := SQLSTATE || ' ' || SQLERRM;
	END;
	IF held(target) NOT IN ('ACCESS SHARE') THEN
		bad := bad || format(' the plan took %s;', held(target));
	END IF;
	BEGIN
		run := array(SELECT x FROM idem_import_run(import, scope, source => source) x);
	EXCEPTION WHEN OTHERS THEN
		failed := SQLSTATE || ' ' || SQLERRM;
	END;
	IF planned IS DISTINCT FROM failed THEN
		RETURN format('%s plan %s, run %s', bad, planned, failed);
	END IF;
	IF cardinality(plan) <> cardinality(run) THEN
		RETURN format('%s units %s %s', bad, plan, run);
	END IF;
	FOR i IN 1 .. coalesce(cardinality(plan), 0) LOOP
		p := plan[i];
		r := run[i];
		told := substring(p.note FROM 'takes .*$');
		p.note := substring(p.note FROM '^(.*); takes ');
		p.run_id := r.run_id;
		p.elapsed := r.elapsed;
		-- other sessions' transactions may end in between
		IF p.checkpoint LIKE '%:%:%' AND r.checkpoint LIKE '%:%:%' THEN
			p.checkpoint := r.checkpoint;
		END IF;
		p.checksum := coalesce(p.checksum, r.checksum);
		IF p IS DISTINCT FROM r THEN
			bad := bad || format(E'\n  plan %s\n  run  %s;', p, r);
		END IF;
		-- locks of several units add up
		IF cardinality(plan) = 1 OR NOT EXISTS (SELECT FROM pg_class WHERE oid = target AND relkind = 'p') THEN
			bad := bad || lock_faults(target, told);
		END IF;
	END LOOP;
	RETURN bad;
END $$;

-- Each mode with each method, scope and feature: first load, nothing changed,
-- some rows changed in one unit, in a range, in all units
CREATE TABLE src (tenant int, day date, id int, v text, kept text, ver int, flag boolean);
CREATE TABLE mode (mode text, keyed boolean, args text);
INSERT INTO mode VALUES ('merge', true, ''), ('insert_only', true, ''), ('overwrite', true, ''), ('overwrite', false, '');
CREATE TABLE scope (scope text, args text, unit text);
INSERT INTO scope VALUES
	('none', '', NULL),
	('value', $$, scope => '{day}'$$, '2026-01-05'),
	('slice', $$, scope => '{day}', slice => '1 month'$$, '[2026-01-01,2026-02-01)'),
	('two', $$, scope => '{tenant,day}'$$, '{"tenant": 1, "day": "2026-01-05"}');
CREATE TABLE feature (feature text, args text, target text);
INSERT INTO feature VALUES
	('plain', '', 'plain'),
	('delete_missing', ', delete_missing => true', 'plain'),
	('delete_flag', $$, delete_flag => 'flag'$$, 'plain'),
	('version', $$, version_column => 'ver'$$, 'plain'),
	('keep', $$, keep_columns => '{kept}'$$, 'plain'),
	('ignore', $$, ignore_columns => '{kept}'$$, 'plain'),
	('order', $$, order_by => 'ver DESC, v, kept, flag'$$, 'plain'),
	('null key', '', 'nulls'),
	('reject', $$, out_of_scope => 'reject'$$, 'plain'),
	('ignored', $$, out_of_scope => 'ignore'$$, 'plain'),
	('generated', '', 'generated'),
	('partitioned', '', 'partitioned'),
	('partitioned, missing', ', delete_missing => true', 'partitioned'),
	('unique', '', 'unique'),
	('moves', '', 'moves'),
	('cursor', $$, cursor_column => 'ver'$$, 'plain'),
	('snapshot', $$, track => 'snapshot'$$, 'plain'),
	('batches', ', batch_size => 7', 'plain'),
	('portable', $$, settings => '{"idem_import.engine": "portable"}'$$, 'partitioned');

CREATE FUNCTION make_target(kind text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DROP TABLE IF EXISTS dst;
	IF kind = 'partitioned' THEN
		CREATE TABLE dst (LIKE src, PRIMARY KEY (tenant, day, id)) PARTITION BY RANGE (day);
		CREATE TABLE dst_1 PARTITION OF dst FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
		CREATE TABLE dst_2 PARTITION OF dst FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
	ELSE
		CREATE TABLE dst (LIKE src);
		IF kind = 'nulls' THEN
			CREATE UNIQUE INDEX ON dst (tenant, day, id);
		ELSIF kind = 'bag' THEN
			NULL;
		ELSIF kind = 'moves' THEN
			ALTER TABLE dst ADD PRIMARY KEY (id);
		ELSE
			ALTER TABLE dst ADD PRIMARY KEY (tenant, day, id);
		END IF;
	END IF;
	ALTER TABLE dst DROP COLUMN flag;
	IF kind = 'generated' THEN
		ALTER TABLE dst ADD double text GENERATED ALWAYS AS (v || v) STORED;
	ELSIF kind = 'unique' THEN
		ALTER TABLE dst ADD UNIQUE (tenant, v);
	END IF;
END $$;

CREATE FUNCTION fill_source(feature text) RETURNS void LANGUAGE sql AS $$
	TRUNCATE src;
	INSERT INTO src SELECT 1 + g % 2, date '2026-01-05' + 3 * (g % 12), g, 'v' || g, 'k' || g, 10, false FROM generate_series(1, 96) g;
	INSERT INTO src SELECT * FROM src WHERE id % 10 = 0 AND feature IN ('order', 'version', 'ignored', 'delete_flag');
	INSERT INTO src SELECT tenant, day, id, 'won' || id, kept, 11, flag FROM src WHERE id % 11 = 0 AND feature = 'order';
	INSERT INTO src SELECT tenant, day, NULL, v, kept, ver, flag FROM src WHERE id < 5 AND feature = 'null key';
	INSERT INTO src SELECT tenant, day, id + 200, v, kept, ver, true FROM src WHERE id < 5 AND feature = 'delete_flag';
$$;

CREATE FUNCTION change_source(feature text, month text) RETURNS void LANGUAGE sql AS $$
	UPDATE src SET v = v || '+', ver = ver + CASE WHEN id % 2 = 0 AND feature = 'version' THEN -5 ELSE 1 END,
		flag = feature = 'delete_flag' AND id % 3 = 0
	WHERE day::text LIKE month AND id % 4 = 0 AND feature <> 'unique';
	UPDATE src SET kept = kept || '+' WHERE day::text LIKE month AND id % 4 = 1;
	UPDATE src SET day = day + 1 WHERE day::text LIKE month AND id % 8 = 2 AND feature = 'moves';
	-- rows of a day and tenant change places
	UPDATE src SET v = 'v' || (CASE WHEN v <> 'v' || id THEN id WHEN (id - 1) / 12 % 2 = 0 THEN id + 12 ELSE id - 12 END)
	WHERE day::text LIKE month AND feature = 'unique';
	DELETE FROM src WHERE day::text LIKE month AND id % 9 = 3 AND feature <> 'unique';
	INSERT INTO src SELECT tenant, day, id + 1000, v || 'n', kept, ver, false FROM src WHERE day::text LIKE month AND id % 9 = 5 AND id < 1000 AND feature <> 'unique';
$$;

CREATE FUNCTION declare(command text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN true;
EXCEPTION WHEN invalid_parameter_value OR invalid_column_reference THEN
	-- arguments that do not go together
	RETURN false;
END $$;

CREATE TABLE outcome (mode text, keyed boolean, scope text, method text, feature text, step text, method_taken text, fault text);

DO $$
DECLARE
	c record;
	key text;
	call text;
	steps text[] := ARRAY['first', 'again', 'one', 'range', 'all'];
	fault text;
BEGIN
	FOR c IN SELECT mode.mode, keyed, scope, method, feature, scope.args || feature.args AS args, unit, target FROM mode, scope, feature,
		unnest(ARRAY['auto', 'diff', 'swap', 'replace']) method
		WHERE (method <> 'diff' OR feature = 'plain') AND (method <> 'swap' OR scope IN ('none', 'slice')) AND (method <> 'replace' OR mode = 'overwrite') AND
			(scope <> 'two' OR feature IN ('plain', 'delete_missing', 'null key', 'reject', 'moves', 'batches')) AND
			(feature NOT IN ('reject', 'ignored') OR scope <> 'none') AND (keyed OR feature NOT IN ('order', 'null key', 'moves', 'unique', 'generated'))
	LOOP
		key := CASE WHEN NOT c.keyed THEN '' WHEN c.target = 'moves' THEN $k$, key => '{id}'$k$ ELSE $k$, key => '{tenant,day,id}'$k$ END;
		PERFORM make_target(CASE WHEN c.keyed OR c.target <> 'plain' THEN c.target ELSE 'bag' END), fill_source(c.feature);
		CONTINUE WHEN NOT declare(format($c$SELECT idem_import_create('p', 'src', 'dst', mode => %L, method => %L,
			delete_limit => NULL, reject_limit => NULL %s %s)$c$, c.mode, c.method, key, c.args));
		COMMIT;
		FOR i IN 1 .. cardinality(steps) LOOP
			call := NULL;
			IF steps[i] = 'one' THEN
				PERFORM change_source(c.feature, '2026-01%');
				IF c.feature NOT IN ('cursor', 'snapshot') THEN
					call := c.unit;
				END IF;
				IF call IS NOT NULL AND c.feature NOT IN ('reject', 'ignored') THEN
					PERFORM idem_import_alter('p', source => 'SELECT * FROM plan.src WHERE ' || CASE c.scope
						WHEN 'value' THEN 'day = $1' WHEN 'slice' THEN 'day >= $1 AND day < $2' ELSE 'tenant = $1 AND day = $2' END);
				END IF;
			ELSIF steps[i] = 'range' THEN
				CONTINUE WHEN c.scope NOT IN ('value', 'slice') OR c.feature IN ('reject', 'ignored', 'cursor', 'snapshot');
				call := '[2026-01-01,2026-03-01)';
				PERFORM change_source(c.feature, '2026-02-0%');
			ELSIF steps[i] = 'all' AND c.feature IN ('cursor', 'snapshot') THEN
				PERFORM change_source(c.feature, '%');
			ELSIF steps[i] = 'all' THEN
				PERFORM idem_import_alter('p', source => 'src'), change_source(c.feature, '%');
			END IF;
			COMMIT;
			fault := foretold('p', call);
			INSERT INTO outcome VALUES (c.mode, c.keyed, c.scope, c.method, c.feature, steps[i],
				(SELECT string_agg(DISTINCT h.method || '/' || h.engine, ' ') FROM idem_import_history h WHERE h.import = 'p' AND h.started_at >= now()), fault);
			COMMIT;
		END LOOP;
		PERFORM idem_import_drop('p', purge => true);
		COMMIT;
	END LOOP;
END $$;

SELECT count(DISTINCT (mode, keyed, scope, method, feature)) > 250 AS imports, count(*) > 1000 AS runs FROM outcome;
SELECT mode, keyed, scope, method, feature, step, method_taken, fault FROM outcome WHERE fault <> '' ORDER BY mode, keyed, scope, method, feature, step LIMIT 20;
-- all methods were met
SELECT method, method_taken FROM outcome WHERE method_taken NOT LIKE '% %' GROUP BY 1, 2 ORDER BY 1, 2;

--
-- What the note says of locks, where it is not just ROW EXCLUSIVE on a table
--
CREATE FUNCTION told(import text, scope text DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' | ', status, method, engine, note) FROM idem_import_plan(import, scope)
$$;
TRUNCATE src;
INSERT INTO src SELECT 1, date '2026-01-01' + g % 2 * 31, g, 'v' || g, 'k', 1, false FROM generate_series(1, 40) g;

-- new storage: for a table, for a partition
SELECT make_target('plain');
SELECT idem_import_create('whole', 'src', 'dst', key => '{tenant,day,id}', method => 'swap');
SELECT told('whole');
SELECT foretold('whole');
SELECT told('whole');
SELECT foretold('whole');
SELECT idem_import_drop('whole', purge => true);
SELECT make_target('partitioned');
SELECT idem_import_create('part', 'SELECT * FROM plan.src WHERE day >= $1 AND day < $2', 'dst', mode => 'overwrite', scope => '{day}', slice => '1 month', method => 'swap');
SELECT told('part', '2026-02-01');
SELECT foretold('part', '2026-02-01');
SELECT idem_import_alter('part', method => 'replace');
SELECT told('part', '2026-01-01');
SELECT foretold('part', '2026-01-01');
SELECT told('part', '2026-01-01');
SELECT foretold('part', '2026-01-01');
SELECT idem_import_drop('part', purge => true);

-- no index guards the key: a view, a table with children
SELECT make_target('plain');
CREATE VIEW behind AS SELECT * FROM dst;
SELECT idem_import_create('view', 'src', 'behind', key => '{id}', settings => '{"TimeZone": "UTC"}');
SELECT told('view');
BEGIN;
SELECT foretold('view');
SELECT held('behind'), held('dst');
COMMIT;
-- also where nothing is to do
BEGIN;
SELECT foretold('view');
SELECT held('behind'), held('dst');
COMMIT;
SELECT idem_import_drop('view', purge => true);
SELECT idem_import_create('keyless', 'src', 'behind', mode => 'overwrite');
INSERT INTO src VALUES (1, '2026-01-01', 41, 'new', 'k', 1, false);
SELECT told('keyless');
BEGIN;
SELECT foretold('keyless');
SELECT held('behind'), held('dst');
COMMIT;
SELECT idem_import_drop('keyless', purge => true);
CREATE TABLE child () INHERITS (dst);
SELECT idem_import_create('parent', 'src', 'dst', key => '{id}');
SELECT told('parent');
BEGIN;
SELECT foretold('parent');
SELECT held('dst'), held('child');
COMMIT;
SELECT idem_import_drop('parent', purge => true);
DROP TABLE child, dst CASCADE;

-- rows that exchange unique values, and those that can only be inserted anew
CREATE TABLE dst (id int PRIMARY KEY, v text UNIQUE);
SELECT idem_import_create('places', 'src', 'dst', key => '{id}', columns => '{id,v}');
SELECT told('places');
SELECT foretold('places');
UPDATE src SET v = 'v' || CASE id WHEN 1 THEN 2 ELSE 1 END WHERE id IN (1, 2);
SELECT told('places');
BEGIN;
SELECT foretold('places');
SELECT held('dst');
COMMIT;
UPDATE src SET v = 'other' WHERE id = 3;
SELECT told('places');
BEGIN;
SELECT foretold('places');
SELECT held('dst');
COMMIT;
SELECT idem_import_drop('places', purge => true);
DROP TABLE dst;
CREATE TABLE dst (id int PRIMARY KEY, v text, ver int GENERATED ALWAYS AS IDENTITY);
SELECT idem_import_create('always', 'src', 'dst', key => '{id}', columns => '{id,v,ver}');
SELECT foretold('always');
UPDATE src SET ver = 2 WHERE id = 1;
SELECT told('always');
BEGIN;
SELECT foretold('always');
SELECT held('dst');
COMMIT;
SELECT idem_import_drop('always', purge => true);
DROP TABLE dst;

--
-- What stops the run stops the plan, or is told by it
--
CREATE TABLE dst (id int PRIMARY KEY, v text, kept text, day date);
GRANT USAGE ON SCHEMA plan TO PUBLIC;
CREATE ROLE regress_plan;
GRANT SELECT ON src TO regress_plan;
GRANT ALL ON dst TO regress_plan;
SET ROLE regress_plan;
SELECT idem_import_create('stops', 'src', 'dst', mode => 'overwrite', key => '{id}');
RESET ROLE;

-- both say the same; the run fails by what the plan has told
CREATE FUNCTION stops(import text, scope text DEFAULT NULL) RETURNS TABLE (plan text, run text) LANGUAGE plpgsql AS $$
DECLARE
	p idem_import_result;
	h idem_import_history;
BEGIN
	BEGIN
		p := r FROM idem_import_plan(import, scope) r;
		plan := concat_ws(' | ', p.status, p.note);
	EXCEPTION WHEN OTHERS THEN
		plan := SQLSTATE || ' ' || SQLERRM;
	END;
	BEGIN
		run := concat_ws(' | ', r.status, r.note) FROM idem_import_run(import, scope) r;
	EXCEPTION WHEN OTHERS THEN
		run := SQLSTATE || ' ' || SQLERRM;
	END;
	IF run = plan THEN
		run := 'the same';
	ELSIF run LIKE 'II%' THEN
		-- the history of the failure has what the plan has foreseen
		h := r FROM idem_import_history r WHERE r.import = stops.import ORDER BY run_id DESC LIMIT 1;
		IF (p.status, p.unit, p.rejected) IS DISTINCT FROM (h.status, h.unit, h.rejected) OR
		   h.status = 'awaiting_approval' AND
		   (p.inserted, p.updated, p.deleted, p.removed) IS DISTINCT FROM (h.inserted, h.updated, h.deleted, h.removed) THEN
			run := format('%s, recorded %s, foreseen %s', run, h, p);
		END IF;
	END IF;
	RETURN NEXT;
END $$;

-- privileges: only those that the run's own rows need
SELECT foretold('stops');
REVOKE ALL ON dst FROM regress_plan;
GRANT SELECT ON dst TO regress_plan;
SELECT * FROM stops('stops');
INSERT INTO src VALUES (1, '2026-01-01', 50, 'v50', 'k', 1, false);
SELECT * FROM stops('stops');
GRANT INSERT (id, v, kept) ON dst TO regress_plan;
SELECT * FROM stops('stops');
GRANT INSERT (day) ON dst TO regress_plan;
SELECT foretold('stops');
UPDATE src SET v = 'x' WHERE id = 50;
SELECT * FROM stops('stops');
GRANT UPDATE (v) ON dst TO regress_plan;
SELECT * FROM stops('stops');
GRANT UPDATE (kept, day) ON dst TO regress_plan;
SELECT foretold('stops');
DELETE FROM src WHERE id = 50;
SELECT * FROM stops('stops');
GRANT DELETE ON dst TO regress_plan;
SELECT foretold('stops');
REVOKE SELECT ON src FROM regress_plan;
SELECT * FROM stops('stops');
GRANT SELECT ON src TO regress_plan;
REVOKE SELECT ON dst FROM regress_plan;
SELECT * FROM stops('stops');
GRANT SELECT ON dst TO regress_plan;

-- by replacing
SELECT idem_import_alter('stops', method => 'replace');
REVOKE DELETE ON dst FROM regress_plan;
SELECT * FROM stops('stops');
UPDATE src SET v = 'y' WHERE id = 1;
SELECT * FROM stops('stops');
GRANT DELETE ON dst TO regress_plan;
SELECT foretold('stops');
SELECT idem_import_alter('stops', method => 'auto');

-- II001, with II004 that comes first
BEGIN;
DELETE FROM src WHERE id > 5;
COMMIT;
SELECT * FROM stops('stops');
INSERT INTO src (id, v) VALUES (NULL, 'no key');
SELECT * FROM stops('stops');
DELETE FROM src WHERE id IS NULL;
-- II003
INSERT INTO src SELECT tenant, day, id, v || 'twin', kept, ver, flag FROM src WHERE id = 1;
SELECT * FROM stops('stops');
DELETE FROM src WHERE v LIKE '%twin';
-- II006
ALTER TABLE src RENAME kept TO was_kept;
SELECT * FROM stops('stops');
ALTER TABLE src RENAME was_kept TO kept;
ALTER TABLE dst ALTER v TYPE varchar;
ALTER TABLE dst DROP COLUMN kept;
SELECT * FROM stops('stops');
ALTER TABLE dst ADD kept text;
GRANT ALL ON dst TO regress_plan;
-- II002
ALTER TABLE dst ADD drawn float DEFAULT random();
SELECT * FROM stops('stops');
ALTER TABLE dst DROP COLUMN drawn;
CREATE VIEW seen AS SELECT * FROM src;
GRANT SELECT ON seen TO regress_plan;
SELECT idem_import_alter('stops', source => 'seen');
CREATE OR REPLACE VIEW seen AS SELECT * FROM src WHERE ver < random() + 5;
SELECT * FROM stops('stops');
CREATE OR REPLACE VIEW seen AS SELECT * FROM src;
-- II005
SELECT idem_import_alter('stops', scope => '{day}');
SELECT * FROM stops('stops', '2026-01-01');
-- a scope of none, isolation, a target that is gone
SELECT * FROM stops('stops', 'nonsense');
BEGIN;
DROP TABLE dst;
SELECT * FROM stops('stops', '2026-01-01');
ROLLBACK;
-- where nothing may be written the plan goes on, and takes no lock
SELECT idem_import_alter('stops', scope => '{}', delete_limit => 1);
BEGIN READ ONLY;
SELECT told('stops');
SELECT held('dst');
SELECT idem_import_run('stops');
ROLLBACK;
SELECT idem_import_drop('stops', purge => true);
DROP SCHEMA plan CASCADE;
DROP ROLE regress_plan;
