-- idem_import_prune: what goes, what stays, and that no run misses it

CREATE SCHEMA prune;
SET search_path = prune, public;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

CREATE ROLE regress_prune_owner;
CREATE ROLE regress_prune_member IN ROLE regress_prune_owner;
CREATE ROLE regress_prune_other;
GRANT USAGE, CREATE ON SCHEMA prune TO PUBLIC;
CREATE FUNCTION runs(name text) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM idem_import_history WHERE import = $1';

SET ROLE regress_prune_owner;
CREATE TABLE stage (day date, id int, val text);
CREATE TABLE goal (day date, id int PRIMARY KEY, val text);
INSERT INTO stage SELECT date '2026-01-01' + i % 2, i, 'v' FROM generate_series(1, 40) i;
SELECT idem_import_create('mine', 'stage', 'goal', key => ARRAY['id'], scope => ARRAY['day'], out_of_scope => 'ignore', delete_missing => true, reject_limit => 1);
SELECT count(*) FROM idem_import_run('mine');
RESET ROLE;
SET ROLE regress_prune_other;
CREATE TABLE theirs (id int PRIMARY KEY, val text);
SELECT idem_import_create('theirs', 'SELECT 1 AS id, ''x'' AS val', 'theirs', mode => 'overwrite');
SELECT count(*) FROM idem_import_run('theirs');
SELECT idem_import_create('dropped', 'SELECT 1 AS id, ''x'' AS val', 'theirs', mode => 'overwrite');
SELECT count(*) FROM idem_import_run('dropped');
SELECT idem_import_drop('dropped');
RESET ROLE;

--
-- arguments
--
SELECT * FROM refused($$SELECT idem_import_prune('-1 second')$$);
SELECT * FROM refused($$SELECT idem_import_prune('1 day -25 hours')$$);
SELECT * FROM refused($$SELECT idem_import_prune('1000000 years')$$);
BEGIN READ ONLY;
SELECT idem_import_prune();
ROLLBACK;
SELECT runs('mine'), runs('theirs'), runs('dropped');
SELECT idem_import_prune('1 day');
-- by when a run began
UPDATE idem_import_history SET started_at = started_at - interval '30 days' WHERE run_id = (SELECT min(run_id) FROM idem_import_history WHERE import = 'mine');
SELECT idem_import_prune('31 days'), runs('mine');
SELECT idem_import_prune(older_than => '29 days'), runs('mine');

--
-- whose
--
SELECT count(*) FROM idem_import_run('mine');
SET ROLE regress_prune_other;
SELECT idem_import_prune();
RESET ROLE;
SELECT runs('mine'), runs('theirs'), runs('dropped');
SET ROLE regress_prune_member;
SELECT idem_import_prune('0');
SELECT idem_import_prune();
RESET ROLE;
SELECT runs('mine'), runs('theirs'), runs('dropped');
SELECT count(*) FROM idem_import_run('theirs');
SELECT idem_import_prune();
SELECT count(*) FROM idem_import_history;
SELECT import, unit, status, target_rows FROM idem_import_ledger ORDER BY import, unit;
-- part of a transaction like everything else
BEGIN;
SELECT count(*) FROM idem_import_run('mine');
SELECT idem_import_prune();
ROLLBACK;
SELECT count(*) FROM idem_import_run('mine');
BEGIN;
SELECT idem_import_prune();
ROLLBACK;
SELECT runs('mine');

--
-- nothing that a run needs
--
SELECT idem_import_prune();
SELECT unit, status, unchanged, note FROM idem_import_run('mine');
SELECT idem_import_prune();
UPDATE stage SET val = 'w' WHERE id = 1;
UPDATE goal SET val = 'drifted' WHERE id = 2;
SELECT * FROM again('mine');
-- rejects: the open ones stay and go on counting, a resolved one is forgotten
INSERT INTO stage VALUES ('2026-01-01', NULL, 'no key');
SELECT count(*) FROM idem_import_run('mine');
SELECT idem_import_prune();
SELECT count(*) FROM idem_import_run('mine', force => true);
SELECT unit, "row", attempts, resolved_at FROM idem_import_reject;
DELETE FROM stage WHERE id IS NULL;
SELECT count(*) FROM idem_import_run('mine');
SELECT resolved_at IS NOT NULL AS resolved FROM idem_import_reject;
SELECT runs('mine') AS more_than_the_reject, idem_import_prune('1 hour'), count(*) FROM idem_import_reject;
SELECT runs('mine') = idem_import_prune() - 1 AS one_reject;
SELECT count(*) FROM idem_import_reject;
INSERT INTO stage VALUES ('2026-01-01', NULL, 'no key');
SELECT count(*) FROM idem_import_run('mine');
SELECT attempts, resolved_at FROM idem_import_reject;
DELETE FROM stage WHERE id IS NULL;
SELECT count(*) FROM idem_import_run('mine');
-- a failure, an approval
INSERT INTO stage VALUES ('2026-01-01', 2, 'other');
SELECT code FROM refused($$SELECT idem_import_run('mine', '2026-01-01')$$);
DELETE FROM stage WHERE day = '2026-01-02';
SELECT code FROM refused($$SELECT idem_import_run('mine', '2026-01-02')$$);
SELECT idem_import_prune();
SELECT unit, status, sqlstate, to_remove, approved_at IS NOT NULL AS approved FROM idem_import_ledger WHERE import = 'mine' ORDER BY unit;
SELECT idem_import_approve('mine', '2026-01-02');
SELECT idem_import_prune();
DELETE FROM stage WHERE val = 'other';
SELECT * FROM again('mine', '[2026-01-01,2026-01-03)');
INSERT INTO stage SELECT '2026-01-02', i, 'v' FROM generate_series(1, 39, 2) i;
SELECT * FROM again('mine', '2026-01-02');
DELETE FROM stage WHERE day = '2026-01-02';
SELECT idem_import_prune();
SELECT code FROM refused($$SELECT idem_import_run('mine', '2026-01-02')$$);
-- a checkpoint
CREATE TABLE ticks (id int, val text);
CREATE TABLE tocks (id int PRIMARY KEY, val text);
INSERT INTO ticks SELECT i, 'v' FROM generate_series(1, 5) i;
SELECT idem_import_create('ticks', 'ticks', 'tocks', key => ARRAY['id'], cursor_column => 'id');
SELECT attempted, inserted, checkpoint FROM idem_import_run('ticks');
SELECT idem_import_prune() > 0 AS pruned;
INSERT INTO ticks VALUES (6, 'v');
SELECT inserted, unchanged, checkpoint FROM idem_import_run('ticks');
SELECT idem_import_drop('ticks', purge => true);
SELECT idem_import_drop('mine', purge => true);
SELECT count(*) FROM idem_import_history WHERE import = 'mine';

--
-- an import made anew under an old name does not believe the old one's receipts
--
CREATE TABLE vstage (id int, v int, val text);
CREATE TABLE vgoal (id int PRIMARY KEY, v int, val text);
INSERT INTO vstage VALUES (1, 1, 'old');
CREATE FUNCTION declare(newer boolean) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM idem_import_create('anew', 'vstage', 'vgoal', key => ARRAY['id'], version_column => CASE WHEN newer THEN 'v' END);
	RETURN (SELECT version FROM idem_import_definition WHERE name = 'anew');
END $$;
CREATE FUNCTION remake() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE vgoal;
	INSERT INTO vgoal VALUES (1, 2, 'new');
	-- the staged row is older, so all stays as it is, and a receipt says so
	RETURN (SELECT status || ' stale ' || stale FROM idem_import_run('anew'));
END $$;
SELECT declare(true), remake();
SELECT idem_import_drop('anew');
SELECT idem_import_prune();
SELECT runs('anew'), receipt_version FROM idem_import_ledger WHERE import = 'anew';
SELECT declare(false);
SELECT status, updated FROM idem_import_run('anew');
TABLE vgoal;
-- with the ledger gone as well, it starts from nothing
SELECT idem_import_drop('anew', purge => true);
SELECT declare(true), remake();
SELECT idem_import_drop('anew', purge => true);
SELECT idem_import_prune();
SELECT declare(false);
SELECT status, updated FROM idem_import_run('anew');
-- a late record of an older version's failure does not set the count back
SELECT idem_import_drop('anew', purge => true);
SELECT declare(false);
SELECT idem_import_alter('anew', version_column => 'v');
SELECT remake();
UPDATE idem_import_ledger SET status = 'failed', version = 1, run_id = run_id + 1 WHERE import = 'anew';
SELECT idem_import_drop('anew');
SELECT idem_import_prune() > 0;
SELECT declare(false);
SELECT status, updated FROM idem_import_run('anew');
SELECT idem_import_drop('anew', purge => true);

--
-- the owner of the extension, no superuser any more, prunes what is left of dropped imports, and no one else's
--
SELECT current_database() AS db \gset
CREATE ROLE regress_prune_boss SUPERUSER;
CREATE DATABASE regress_prune;
\c regress_prune
SET client_min_messages = warning;
SET ROLE regress_prune_boss;
CREATE EXTENSION idem_import;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO PUBLIC;
SET ROLE regress_prune_other;
CREATE TABLE t (id int);
SELECT idem_import_create('kept', 'SELECT 1 AS id', 't', mode => 'overwrite'), idem_import_create('dropped', 'SELECT 1 AS id', 't', mode => 'overwrite');
SELECT status FROM idem_import_run('kept');
SELECT status FROM idem_import_run('dropped');
SELECT idem_import_drop('dropped');
SELECT idem_import_prune();
SELECT status FROM idem_import_run('kept');
RESET ROLE;
ALTER ROLE regress_prune_boss NOSUPERUSER;
SET ROLE regress_prune_boss;
SELECT idem_import_prune();
SELECT import FROM idem_import_history;
RESET ROLE;
\c :db
SET client_min_messages = warning;
DROP DATABASE regress_prune;

SELECT idem_import_drop('theirs', purge => true);
DELETE FROM idem_import_ledger;
DROP SCHEMA prune CASCADE;
DROP ROLE regress_prune_owner, regress_prune_member, regress_prune_other, regress_prune_boss;
