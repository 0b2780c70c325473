-- who may do what, as whom, and what they see

CREATE SCHEMA roles;
SET search_path = roles, public;
SET client_min_messages = warning;
\pset format unaligned
\pset tuples_only on

CREATE ROLE regress_idem_owner NOLOGIN;
CREATE ROLE regress_idem_member LOGIN IN ROLE regress_idem_owner;
CREATE ROLE regress_idem_indirect LOGIN IN ROLE regress_idem_member;
CREATE ROLE regress_idem_noinherit LOGIN NOINHERIT;
GRANT regress_idem_owner TO regress_idem_noinherit;
CREATE ROLE regress_idem_stranger LOGIN;
CREATE ROLE regress_idem_super SUPERUSER;
GRANT USAGE, CREATE ON SCHEMA roles TO PUBLIC;

-- runs a statement: ok, or its SQLSTATE, message, detail and hint
CREATE FUNCTION try(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	m text; d text; h text;
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ' ' || m, '  detail: ' || nullif(d, ''), '  hint: ' || nullif(h, ''));
END $$;

-- what a role may do with import "a", and what it sees
CREATE FUNCTION try_all() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	call text;
BEGIN
	FOREACH call IN ARRAY ARRAY[
		'plan(''a'')', 'run(''a'')', 'run(''a'', force => true)', 'prove(''a'')', 'approve(''a'')', 'alter(''a'')', 'drop(''a'')']
	LOOP
		IF call LIKE 'drop%' THEN
			RETURN NEXT call || ': ' || try('DO $b$ BEGIN PERFORM idem_import_drop(''a''); RAISE EXCEPTION ''dropped, and back''; END $b$');
		ELSE
			RETURN NEXT call || ': ' || try('SELECT idem_import_' || call);
		END IF;
	END LOOP;
	RETURN NEXT 'sees ' || concat_ws(' ',
		(SELECT count(*) > 0 FROM idem_import_definition WHERE name = 'a'),
		(SELECT count(*) > 0 FROM idem_import_ledger WHERE import = 'a'),
		(SELECT count(*) > 0 FROM idem_import_history WHERE import = 'a'),
		(SELECT count(*) > 0 FROM idem_import_reject WHERE import = 'a'));
END $$;

SET ROLE regress_idem_owner;
CREATE TABLE s (id int, val text);
CREATE TABLE t (id int PRIMARY KEY, val text);
INSERT INTO s VALUES (1, 'x'), (2, 'y'), (NULL, 'z');
SELECT idem_import_create('a', 's', 't', key => '{id}', reject_limit => 1);
SELECT owner FROM idem_import_definition WHERE name = 'a';
SELECT try_all();
RESET ROLE;
SET ROLE regress_idem_member;
SELECT try_all();
RESET ROLE;
SET ROLE regress_idem_indirect;
SELECT try_all();
RESET ROLE;
SET ROLE regress_idem_super;
SELECT try_all();
RESET ROLE;
SET ROLE regress_idem_stranger;
SELECT try_all();
SELECT try($$SELECT idem_import_run('no_such')$$);
-- a name that is taken is taken
CREATE TABLE mine (id int PRIMARY KEY);
SELECT try($$SELECT idem_import_create('a', 'SELECT 1 AS id', 'mine', key => '{id}')$$);
RESET ROLE;
-- who must say SET ROLE first has to
SET ROLE regress_idem_noinherit;
SELECT try_all();
SET ROLE regress_idem_owner;
SELECT try_all();
RESET ROLE;
-- who is noted
SELECT DISTINCT who::text COLLATE "C" FROM idem_import_history WHERE import = 'a' ORDER BY 1;

-- once dropped, what is left of it is shown to those who may see all
SET ROLE regress_idem_owner;
SELECT idem_import_drop('a');
SELECT count(*) FROM idem_import_history WHERE import = 'a';
RESET ROLE;
SELECT count(*) > 0 FROM idem_import_history WHERE import = 'a';

-- nobody else takes its name, and so its record
CREATE TABLE taken (id int PRIMARY KEY, val text);
CREATE TABLE taken_source (id int, val text);
GRANT ALL ON taken, taken_source TO PUBLIC;
SET ROLE regress_idem_stranger;
SELECT try($$SELECT idem_import_create('a', 'taken_source', 'taken', key => '{id}')$$);
SELECT count(*) FROM idem_import_dropped;
SELECT count(*) FROM idem_import_reject;
RESET ROLE;
DROP TABLE taken, taken_source;
SELECT import, owner FROM idem_import_dropped WHERE import = 'a';

-- the tables are for reading
SELECT r || ': ' || q || ' -> ' || o FROM (
	SELECT n, m, r, q, try(format('DO $b$ BEGIN EXECUTE %L; EXECUTE %L; END $b$', 'SET LOCAL ROLE ' || r, q)) AS o
	FROM unnest(ARRAY['regress_idem_owner', 'regress_idem_stranger']) WITH ORDINALITY AS u(r, n),
		 unnest(ARRAY[
			'INSERT INTO idem_import_definition (name) VALUES (1)', 'UPDATE idem_import_definition SET version = 1',
			'DELETE FROM idem_import_definition', 'TRUNCATE idem_import_definition', 'SELECT 1 FROM idem_import_definition FOR UPDATE',
			'UPDATE idem_import_ledger SET status = ''applied''', 'DELETE FROM idem_import_history', 'DELETE FROM idem_import_reject',
			'SELECT nextval(''idem_import_run_id'')', 'SELECT setval(''idem_import_run_id'', 1)', 'SELECT last_value FROM idem_import_run_id',
			'ALTER TABLE idem_import_ledger DISABLE ROW LEVEL SECURITY', 'LOCK idem_import_ledger',
			'CREATE TRIGGER x AFTER INSERT ON idem_import_ledger EXECUTE FUNCTION suppress_redundant_updates_trigger()'
		 ]) WITH ORDINALITY AS w(q, m)) x
ORDER BY n, m;
-- not by way of a leaky function either
SET ROLE regress_idem_owner;
SELECT idem_import_create('a', 's', 't', key => '{id}', reject_limit => 1);
SELECT (idem_import_run('a')).status;
RESET ROLE;
SET ROLE regress_idem_stranger;
CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS 'BEGIN RAISE WARNING ''%'', $1; RETURN true; END';
SELECT count(*) FROM idem_import_definition WHERE leak(name);
SELECT count(*) FROM idem_import_ledger WHERE leak(import);
SELECT count(*) FROM idem_import_history WHERE leak(import);
SELECT count(*) FROM idem_import_reject WHERE leak(import);
RESET ROLE;
SET ROLE regress_idem_owner;
SELECT idem_import_drop('a', true);
RESET ROLE;

--
-- source and target are read and written as the owner, whoever calls
--
CREATE TABLE seen (what text, who text, session text, zone text);
GRANT INSERT, SELECT ON seen TO regress_idem_owner;
SET ROLE regress_idem_owner;
CREATE FUNCTION who(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1 || '' as '' || current_user';
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO seen VALUES ('trigger ' || TG_WHEN || ' ' || TG_OP, current_user, session_user = current_user, current_setting('TimeZone'));
	RETURN NEW;
END $$;
CREATE TRIGGER note_before BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note_after AFTER INSERT OR UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION note();
TRUNCATE t;
DELETE FROM s WHERE id IS NULL;
CREATE VIEW v AS SELECT id, who(val) AS val FROM s;
SELECT idem_import_create('a', 'v', 't', key => '{id}');
RESET ROLE;
SET ROLE regress_idem_member;
SET TimeZone = 'Asia/Tokyo';
SELECT inserted FROM idem_import_run('a');
SELECT current_user, current_setting('TimeZone'), current_setting('search_path');
RESET TimeZone;
RESET ROLE;
SELECT DISTINCT what, who, zone FROM seen ORDER BY 1, 2;
SELECT * FROM t ORDER BY id;
SELECT who FROM idem_import_history WHERE import = 'a';
TRUNCATE seen;
SET ROLE regress_idem_super;
SELECT unchanged FROM idem_import_run('a', force => true);
UPDATE t SET val = 'drifted' WHERE id = 1;
TRUNCATE seen;
SELECT updated FROM idem_import_run('a');
RESET ROLE;
SELECT DISTINCT what, who, zone FROM seen ORDER BY 1, 2;
SELECT idem_import_drop('a', true);

-- the owner's code cannot become the caller
SET ROLE regress_idem_owner;
DROP TRIGGER note_before ON t;
DROP TRIGGER note_after ON t;
CREATE FUNCTION attack() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	attempt text;
	m text;
BEGIN
	FOREACH attempt IN ARRAY ARRAY[
		'SET ROLE regress_idem_super', 'RESET ROLE', 'SET SESSION AUTHORIZATION DEFAULT', 'SET LOCAL ROLE NONE', 'SELECT set_config(''role'', ''none'', false)',
		'CREATE TEMP TABLE pg_temp.trap (x int)', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'LISTEN trap', 'PREPARE trap AS SELECT 1', 'LOAD ''plpgsql''',
		'INSERT INTO seen VALUES (''deferred'')', 'DELETE FROM idem_import_ledger', 'SELECT nextval(''idem_import_run_id'')'
	] LOOP
		BEGIN
			EXECUTE attempt;
			RAISE WARNING '% works as %', attempt, current_user;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING '%: % %', attempt, SQLSTATE, SQLERRM;
		END;
	END LOOP;
	RETURN NEW;
END $$;
CREATE TRIGGER attack BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION attack();
UPDATE s SET val = 'attacked' WHERE id = 1;
SELECT idem_import_create('a', 'SELECT * FROM s WHERE id = 1', 't', key => '{id}');
RESET ROLE;
SET ROLE regress_idem_super;
SELECT updated FROM idem_import_run('a');
SELECT current_user;
RESET ROLE;
-- nor later: what would run at commit, as the caller, is refused; the owner may defer
SET ROLE regress_idem_owner;
DROP TRIGGER attack ON t;
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
UPDATE s SET val = 'deferred' WHERE id = 1;
RESET ROLE;
TRUNCATE seen;
SET ROLE regress_idem_super;
SELECT try($$SELECT idem_import_run('a')$$);
SET ROLE regress_idem_owner;
BEGIN;
SELECT updated FROM idem_import_run('a');
SELECT count(*) FROM seen;
COMMIT;
RESET ROLE;
SELECT what, who FROM seen;
TRUNCATE seen;
-- an error puts the caller back
SET ROLE regress_idem_owner;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused as %'', current_user; END';
CREATE TRIGGER refuse BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse();
UPDATE s SET val = 'refused' WHERE id = 1;
RESET ROLE;
SET ROLE regress_idem_member;
SELECT try($$SELECT idem_import_run('a')$$);
SELECT current_user;
SELECT try($$CREATE TEMP TABLE fine ()$$), try($$DROP TABLE fine$$);
SELECT status, sqlstate, message FROM idem_import_ledger WHERE import = 'a';
RESET ROLE;
-- a setting can't lend rights, nor an alter
SELECT try($$SELECT idem_import_alter('a', settings => '{"role": "regress_idem_super"}')$$);
SET ROLE regress_idem_member;
SELECT try($$SELECT idem_import_alter('a', settings => '{"log_statement": "none"}')$$);
SELECT try($$SELECT idem_import_alter('a', settings => '{"session_replication_role": "replica"}')$$);
RESET ROLE;
SELECT idem_import_drop('a', true);
DROP TABLE t, s CASCADE;

--
-- privileges, those of the owner: at create, and when they are gone
--
CREATE TABLE s (id int, val text, secret text);
CREATE TABLE t (id int PRIMARY KEY, val text, secret text);
SET ROLE regress_idem_owner;
SELECT try($$SELECT idem_import_create('a', 's', 't', key => '{id}')$$);
RESET ROLE;
GRANT SELECT (id, val) ON s TO regress_idem_owner;
SET ROLE regress_idem_owner;
SELECT try($$SELECT idem_import_create('a', 's', 't', key => '{id}')$$);
RESET ROLE;
GRANT SELECT ON t TO regress_idem_owner;
SET ROLE regress_idem_owner;
SELECT try($$SELECT idem_import_create('a', 'SELECT id, val FROM s', 't', key => '{id}')$$);
RESET ROLE;
GRANT INSERT ON t TO regress_idem_owner;
SET ROLE regress_idem_owner;
SELECT try($$SELECT idem_import_create('a', 'SELECT id, val FROM s', 't', key => '{id}')$$);
SELECT try($$SELECT idem_import_create('only', 'SELECT id, val FROM s', 't', mode => 'insert_only', key => '{id}')$$);
RESET ROLE;
GRANT UPDATE (val) ON t TO regress_idem_owner;
SET ROLE regress_idem_owner;
SELECT try($$SELECT idem_import_create('a', 'SELECT id, val FROM s', 't', key => '{id}')$$);
SELECT try($$SELECT idem_import_create('b', 'SELECT id, val FROM s', 't', key => '{id}', delete_missing => true)$$);
SELECT try($$SELECT idem_import_create('b', 'SELECT id, val FROM s', 't', mode => 'overwrite')$$);
RESET ROLE;
INSERT INTO s VALUES (1, 'x', 'y');
SET ROLE regress_idem_member;
SELECT status FROM idem_import_run('a');
SELECT status FROM idem_import_run('only');
RESET ROLE;
UPDATE s SET val = 'z';
REVOKE UPDATE (val) ON t FROM regress_idem_owner;
SET ROLE regress_idem_member;
SELECT try($$SELECT idem_import_run('a')$$);
RESET ROLE;
GRANT UPDATE (val) ON t TO regress_idem_owner;
REVOKE SELECT (val) ON s FROM regress_idem_owner;
-- the caller's own rights are of no use
SET ROLE regress_idem_super;
SELECT try($$SELECT idem_import_run('a')$$);
SELECT try($$SELECT idem_import_plan('a')$$);
RESET ROLE;
SELECT status, sqlstate, message FROM idem_import_ledger WHERE import = 'a';
GRANT SELECT (val) ON s TO regress_idem_owner;
SELECT status FROM idem_import_run('a');
-- nor those to a source of the caller's: the owner reads it
SET ROLE regress_idem_member;
CREATE TEMP TABLE staging (id int, val text);
INSERT INTO staging VALUES (1, 'mine');
SELECT try($$SELECT idem_import_run('a', source => 'staging')$$);
GRANT SELECT ON staging TO regress_idem_owner;
SELECT try($$SELECT idem_import_run('a', source => 'staging')$$);
DROP TABLE staging;
RESET ROLE;
REVOKE USAGE, CREATE ON SCHEMA roles FROM PUBLIC;
SELECT try($$SELECT idem_import_run('a')$$);
GRANT USAGE, CREATE ON SCHEMA roles TO PUBLIC;
SELECT idem_import_drop(name, true) FROM idem_import_definition WHERE name IN ('a', 'only');
DROP TABLE s, t;

--
-- row security of source and target, as it is for the owner
--
SET ROLE regress_idem_super;
CREATE TABLE s (id int, val text);
CREATE TABLE t (id int PRIMARY KEY, val text);
GRANT ALL ON s, t TO regress_idem_owner;
ALTER TABLE s ENABLE ROW LEVEL SECURITY;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON s USING (val <> 'hidden');
CREATE POLICY p ON t USING (id < 100);
INSERT INTO s VALUES (1, 'x'), (2, 'hidden');
RESET ROLE;
SET ROLE regress_idem_owner;
SELECT idem_import_create('a', 's', 't', key => '{id}');
RESET ROLE;
-- superuser or not, the owner's eyes
SELECT status, attempted, inserted FROM idem_import_run('a');
SELECT status, attempted FROM idem_import_run('a');
SET row_security = off;
SELECT status, attempted FROM idem_import_run('a', force => true);
RESET row_security;
UPDATE t SET val = 'drifted';
SELECT status, updated FROM idem_import_run('a');
INSERT INTO s VALUES (100, 'not for them');
SELECT try($$SELECT idem_import_run('a')$$);
SELECT * FROM t ORDER BY id;
DELETE FROM s WHERE id = 100;
-- rows that the owner can't see are not its to remove
INSERT INTO t VALUES (200, 'theirs');
SELECT idem_import_alter('a', mode => 'overwrite');
SELECT status, attempted, removed FROM idem_import_run('a');
SELECT * FROM t ORDER BY id;
SELECT idem_import_drop('a', true);
DROP TABLE s, t;

--
-- through a SECURITY DEFINER function
--
SET ROLE regress_idem_owner;
CREATE TABLE s (id int, val text);
CREATE TABLE t (id int PRIMARY KEY, val text);
INSERT INTO s VALUES (1, 'x');
CREATE FUNCTION declare_for_me() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = roles, public AS
	$$SELECT idem_import_create('a', 's', 't', key => '{id}')$$;
CREATE FUNCTION run_for_me() RETURNS SETOF idem_import_result LANGUAGE sql SECURITY DEFINER SET search_path = public AS
	$$SELECT * FROM idem_import_run('a')$$;
RESET ROLE;
SET ROLE regress_idem_stranger;
SELECT declare_for_me();
SELECT status, inserted FROM run_for_me();
SELECT try($$SELECT idem_import_run('a')$$);
SELECT count(*) FROM idem_import_definition WHERE name = 'a';
RESET ROLE;
SELECT owner FROM idem_import_definition WHERE name = 'a';
SELECT who FROM idem_import_history WHERE import = 'a';
-- a failure is put down there too
INSERT INTO s VALUES (1, 'y');
SET ROLE regress_idem_stranger;
SELECT try($$SELECT run_for_me()$$);
RESET ROLE;
SELECT status, sqlstate FROM idem_import_ledger WHERE import = 'a';

-- a membership that ends
REVOKE regress_idem_owner FROM regress_idem_member;
SET ROLE regress_idem_member;
SELECT try($$SELECT idem_import_run('a')$$);
SELECT count(*) FROM idem_import_ledger;
RESET ROLE;

-- renamed, the owner is the same; dropped, its import can't run but goes
ALTER ROLE regress_idem_owner RENAME TO regress_idem_renamed;
SELECT owner FROM idem_import_definition WHERE name = 'a';
DELETE FROM s WHERE val = 'y';
SELECT status FROM idem_import_run('a');
DROP OWNED BY regress_idem_renamed CASCADE;
DROP ROLE regress_idem_renamed;
SELECT regexp_replace(try($$SELECT idem_import_run('a')$$), '[0-9]{5,}', 'N');
SET ROLE regress_idem_stranger;
SELECT try($$SELECT idem_import_run('a')$$);
SELECT count(*) FROM idem_import_definition;
RESET ROLE;
SELECT idem_import_drop('a', true);

-- nobody is not everybody
CREATE ROLE regress_idem_gone;
CREATE TABLE s (id int, val text);
CREATE TABLE t (id int PRIMARY KEY, val text);
GRANT ALL ON s, t TO PUBLIC;
SET ROLE regress_idem_gone;
SELECT idem_import_create('a', 's', 't', key => '{id}');
RESET ROLE;
DROP ROLE regress_idem_gone;
SELECT try($$SELECT idem_import_run('a')$$);
SELECT try($$SELECT idem_import_plan('a')$$);
SELECT try($$SELECT idem_import_alter('a')$$);
SELECT idem_import_drop('a', true);

SELECT count(*) FROM idem_import_definition;
DROP SCHEMA roles CASCADE;
DROP ROLE regress_idem_member, regress_idem_indirect, regress_idem_noinherit, regress_idem_stranger, regress_idem_super;
