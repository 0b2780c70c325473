-- Guards: what a run may remove, who lets it remove more, and that once

CREATE SCHEMA guards;
SET search_path = guards, public;
SET client_min_messages = warning;
SET idem_import.min_swap_rows = 50000;
\set VERBOSITY terse
\set SHOW_CONTEXT never

CREATE TABLE src (day date, id int, v text);
CREATE TABLE dst (day date, id int PRIMARY KEY, v text);
CREATE ROLE "Alice A." SUPERUSER;
CREATE ROLE regress_bob;
GRANT USAGE ON SCHEMA guards TO regress_bob;

-- how a call ends, without the clock
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE command INTO result;
	RETURN masked(result);
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE FUNCTION masked(note text) RETURNS text LANGUAGE sql AS
	$$SELECT replace(regexp_replace(note, ' at \d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+\+00', ' at <time>', 'g'), ' by ' || session_user, ' by <me>')$$;
CREATE FUNCTION run(import text, scope text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT try(format($q$SELECT string_agg(concat_ws(' ', unit, status, 'removed', removed, note), E'\n') FROM idem_import_run(%L, %L)$q$, import, scope))
$$;
CREATE FUNCTION approve(import text, unit text) RETURNS text LANGUAGE sql AS
	$$SELECT try(format('SELECT idem_import_approve(%L, %L)', import, unit))$$;
CREATE FUNCTION waits(import text) RETURNS TABLE (unit text, status text, to_remove bigint, who text, since text) LANGUAGE sql AS $$
	SELECT unit, status, to_remove, CASE WHEN approved_by = session_user::regrole THEN '<me>' ELSE approved_by::text END, CASE WHEN approved_at BETWEEN now() - interval '1 hour' AND clock_timestamp() THEN 'recent' END
	FROM idem_import_ledger WHERE import = waits.import ORDER BY unit
$$;
CREATE FUNCTION fill(days int DEFAULT 2) RETURNS void LANGUAGE sql AS $$
	TRUNCATE src, dst;
	INSERT INTO src SELECT date '2026-01-01' + g % days, g, 'v' FROM generate_series(1, 100) g
$$;

--
-- An empty source over a filled unit is stopped in every mode that removes,
-- planned first, and whatever the unit
--
CREATE TABLE bag (LIKE src);
DO $$
DECLARE
	c record;
BEGIN
	CREATE TABLE stopped (args text, scope text, plan text, run text, kept int);
	FOR c IN SELECT args, scope FROM (VALUES
		($a$, mode => 'overwrite', key => '{id}'$a$), ($a$, mode => 'overwrite', key => '{id}', method => 'swap'$a$),
		($a$, mode => 'overwrite', key => '{id}', method => 'replace'$a$),
		($a$, key => '{id}', delete_missing => true$a$), ($a$, key => '{id}', delete_missing => true, method => 'swap'$a$),
		($a$, mode => 'overwrite'$a$), ($a$, mode => 'overwrite', method => 'swap'$a$)) a(args),
		(VALUES (NULL), ('2026-01-01')) s(scope)
	LOOP
		CONTINUE WHEN c.scope IS NOT NULL AND c.args LIKE '%replace%';
		PERFORM fill();
		TRUNCATE bag;
		INSERT INTO bag SELECT * FROM src;
		INSERT INTO dst SELECT * FROM src;
		TRUNCATE src;
		EXECUTE format('SELECT idem_import_create(%L, %L, %L%s%s)', 'empty', 'src', CASE WHEN c.args LIKE '%key%' THEN 'dst' ELSE 'bag' END,
			c.args, CASE WHEN c.scope IS NOT NULL THEN $a$, scope => '{day}'$a$ END);
		INSERT INTO stopped SELECT c.args, c.scope, (SELECT status || substring(note FROM '; would.*') FROM idem_import_plan('empty', c.scope)),
			run('empty', c.scope), (SELECT count(*) FROM dst) + (SELECT count(*) FROM bag);
		PERFORM idem_import_drop('empty', purge => true);
		COMMIT;
	END LOOP;
END $$;
SELECT * FROM stopped;

--
-- The limit: 0, a share, 1, NULL; ten rows may always go
--
SELECT fill(1);
SELECT idem_import_create('limit', 'src', 'dst', key => '{id}', delete_missing => true, delete_limit => 0);
SELECT run('limit');
DELETE FROM src WHERE id <= 10;
SELECT run('limit');
DELETE FROM src WHERE id <= 21;
SELECT run('limit');
SELECT idem_import_alter('limit', delete_limit => 0.12);
SELECT run('limit');
SELECT idem_import_alter('limit', delete_limit => 0.13);
SELECT run('limit');
TRUNCATE src;
SELECT idem_import_alter('limit', delete_limit => 0.999);
SELECT run('limit');
SELECT idem_import_alter('limit', delete_limit => 1);
SELECT run('limit');
SELECT idem_import_drop('limit', purge => true);
SELECT fill(1);
SELECT idem_import_create('limit', 'src', 'dst', key => '{id}', delete_missing => true, delete_limit => NULL);
SELECT run('limit');
TRUNCATE src;
SELECT run('limit');
SELECT idem_import_drop('limit', purge => true);
SELECT try(format($$SELECT idem_import_create('limit', 'src', 'dst', key => '{id}', delete_limit => %s)$$, l)) FROM unnest(ARRAY['-0.1', '1.1', '''NaN''', '''Infinity''']) l;

--
-- Inside the unit only
--
SELECT fill();
SELECT idem_import_create('unit', 'src', 'dst', key => '{id}', scope => '{day}', delete_missing => true, out_of_scope => 'ignore');
SELECT run('unit');
DELETE FROM src WHERE id % 10 < 2;
SELECT run('unit', '2026-01-01');
SELECT day, count(*) FROM dst GROUP BY day ORDER BY day;
TRUNCATE src;
SELECT run('unit', '1 January 2026');
SELECT run('unit', '2026-01-02');
-- one approval a unit, however that is spelled
SELECT approve('unit', 'Jan 1, 2026');
SELECT approve('unit', '[2026-01-01,2026-01-03)'), approve('unit', '2026-01-03'), approve('unit', '*'), approve('unit', 'never');
SELECT approve(NULL, '2026-01-01'), approve('unit', NULL), approve('nobody', '*');
SELECT * FROM waits('unit');
SELECT run('unit', '[2026-01-01,2026-01-02)');
SELECT run('unit', '2026-01-02');
SELECT day, count(*) FROM dst GROUP BY day ORDER BY day;
SELECT * FROM waits('unit');
SELECT idem_import_drop('unit', purge => true);

--
-- Who, when, how many: in the ledger until it is used, in the history after
--
SELECT fill(1);
SELECT idem_import_create('used', 'src', 'dst', key => '{id}', delete_missing => true);
SELECT run('used');
DELETE FROM src WHERE id <= 60;
SELECT approve('used', '*');
SELECT run('used');
SELECT * FROM waits('used');
SET ROLE regress_bob;
SELECT approve('used', '*');
RESET ROLE;
SET ROLE "Alice A.";
SELECT approve('used', '*');
RESET ROLE;
SELECT * FROM waits('used');
-- a plan knows it, and does not use it; nor does a proof, nor what fails otherwise
SELECT status, removed, masked(note) FROM idem_import_plan('used');
SELECT first_changes, second_changes FROM idem_import_prove('used');
INSERT INTO src VALUES ('2026-01-01', 100, 'twin');
SELECT run('used');
DELETE FROM src WHERE v = 'twin';
SELECT * FROM waits('used');
BEGIN;
SELECT run('used');
ROLLBACK;
SELECT * FROM waits('used');
-- nor does more than was approved: it asks again
DELETE FROM src WHERE id = 61;
SELECT run('used');
SELECT * FROM waits('used');
SELECT run('used');
SET ROLE "Alice A.";
SELECT approve('used', '*');
RESET ROLE;
-- approved again: by whom it was the last time
SELECT approve('used', '*');
SELECT * FROM waits('used');
SET ROLE "Alice A.";
SELECT approve('used', '*');
RESET ROLE;
-- fewer than that may go; then it is used up
INSERT INTO src VALUES ('2026-01-01', 61, 'v');
SELECT run('used');
SELECT * FROM waits('used');
SELECT approve('used', '*');
DELETE FROM src WHERE id <= 90;
SELECT run('used');
SELECT status, removed, masked(note) AS note, message FROM idem_import_history WHERE import = 'used' ORDER BY run_id;

-- used up also by a run that did not need it, and by one that found nothing to do
SELECT approve('used', '*');
INSERT INTO src SELECT '2026-01-01', g, 'v' FROM generate_series(62, 90) g;
SELECT run('used');
SELECT * FROM waits('used');
DELETE FROM src;
SELECT run('used');
SELECT approve('used', '*');
INSERT INTO src SELECT day, id, v || '+' FROM dst;
SELECT run('used');
SELECT * FROM waits('used');

-- whoever approved is remembered when the role is gone
DELETE FROM src;
SELECT run('used');
SET ROLE "Alice A.";
SELECT approve('used', '*');
RESET ROLE;
SELECT run('used');
DROP ROLE "Alice A.";
SELECT masked(note) AS note FROM idem_import_history WHERE import = 'used' ORDER BY run_id DESC LIMIT 1;
SELECT idem_import_drop('used', purge => true);

--
-- An approval is for the version of the import that asked for it
--
SELECT fill(1);
SELECT idem_import_create('version', 'src', 'dst', key => '{id}', delete_missing => true);
SELECT run('version');
DELETE FROM src WHERE id <= 60;
SELECT run('version');
SELECT approve('version', '*');
SELECT idem_import_alter('version', delete_limit => 0.4);
SELECT status, removed, masked(note) FROM idem_import_plan('version');
SELECT run('version');
SELECT masked(note) AS note, message FROM idem_import_history WHERE import = 'version' ORDER BY run_id DESC LIMIT 1;
SELECT * FROM waits('version');
-- nor is one given for a version that is not in force
SELECT idem_import_alter('version', delete_limit => 0.3);
SELECT approve('version', '*');
SELECT run('version');
SELECT approve('version', '*');
-- another failure of another version takes it back
SELECT idem_import_alter('version', delete_limit => 0.2);
INSERT INTO src VALUES ('2026-01-01', 100, 'twin');
SELECT run('version');
SELECT * FROM waits('version');
DELETE FROM src WHERE v = 'twin';
SELECT run('version');
-- where the new version needs none, the note says that there was one
SELECT approve('version', '*');
SELECT idem_import_alter('version', delete_limit => 1);
SELECT run('version');
SELECT * FROM waits('version');
-- dropped and declared again it is another version
INSERT INTO src SELECT '2026-01-01', g, 'v' FROM generate_series(1, 60) g;
SELECT run('version');
SELECT idem_import_alter('version', delete_limit => 0.5);
TRUNCATE src;
SELECT run('version');
SELECT approve('version', '*');
SELECT idem_import_drop('version');
SELECT idem_import_create('version', 'src', 'dst', key => '{id}', delete_missing => true);
SELECT run('version');
SELECT idem_import_drop('version', purge => true);

-- one failed unit of several: the others wait for it, with their own approval
SELECT fill();
SELECT idem_import_create('both', 'src', 'dst', mode => 'overwrite', key => '{id}', scope => '{day}', out_of_scope => 'ignore');
SELECT run('both');
TRUNCATE src;
SELECT run('both', '[2026-01-01,2026-01-03)');
SELECT approve('both', '2026-01-01');
SELECT run('both', '[2026-01-01,2026-01-03)');
SELECT * FROM waits('both');
SELECT approve('both', '2026-01-02');
SELECT run('both', '[2026-01-01,2026-01-03)');
SELECT * FROM waits('both');

SELECT idem_import_drop('both', purge => true);
DROP SCHEMA guards CASCADE;
DROP ROLE regress_bob;
