-- idem_import_progress: what a run tells while it is going on

CREATE SCHEMA progress;
SET search_path = progress, public;
SET client_min_messages = warning;
\set SHOW_CONTEXT never

SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'idem_import_progress'::regclass AND attnum > 0 ORDER BY attnum;
SELECT reloptions, has_table_privilege('pg_monitor', oid, 'SELECT') AS readable, has_table_privilege('pg_monitor', oid, 'INSERT, UPDATE, DELETE') AS writable,
	obj_description(oid, 'pg_class') IS NOT NULL AS comment
FROM pg_class WHERE oid = 'idem_import_progress'::regclass;
SELECT count(*) FROM idem_import_progress WHERE pid = pg_backend_pid();

-- a trigger of the target looks on
CREATE TABLE stage (day date, id int, val text);
CREATE TABLE goal (day date, id int, val text, PRIMARY KEY (day, id));
CREATE TABLE inner_stage (id int);
CREATE TABLE inner_goal (id int PRIMARY KEY);
CREATE TABLE seen (at serial, import text, unit text, batch bigint, plan boolean, phase text, rows_total bigint, bar text, recent boolean, who regrole);
CREATE FUNCTION look() RETURNS void LANGUAGE sql AS $$
	INSERT INTO progress.seen (import, unit, batch, plan, phase, rows_total, bar, recent, who)
	SELECT import, unit, batch, plan, phase, rows_total, bar, started_at BETWEEN now() - interval '1 minute' AND clock_timestamp(), who
	FROM idem_import_progress WHERE pid = pg_backend_pid()
$$;
CREATE FUNCTION look_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM progress.look();
	IF TG_ARGV[0] IS NOT NULL THEN
		PERFORM idem_import_run(TG_ARGV[0]);
		PERFORM progress.look();
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER look_on AFTER INSERT ON goal EXECUTE FUNCTION look_on();
INSERT INTO stage SELECT date '2026-01-01' + i % 2, i, 'v' FROM generate_series(1, 40) i;
SELECT idem_import_create('days', 'stage', 'goal', key => ARRAY['day', 'id'], scope => ARRAY['day'], out_of_scope => 'ignore');
SELECT idem_import_create('inner', 'inner_stage', 'inner_goal', key => ARRAY['id']);
SELECT unit, status FROM idem_import_run('days');
SELECT import, unit, batch, plan, phase, rows_total, bar, recent, who = current_user::regrole AS mine FROM seen ORDER BY at;
SELECT count(*) FROM idem_import_progress WHERE pid = pg_backend_pid();

-- batches, each with its number
TRUNCATE goal, seen RESTART IDENTITY;
SELECT idem_import_alter('days', batch_size => 8);
SELECT unit, status FROM idem_import_run('days', '2026-01-02');
SELECT import, unit, batch, phase, rows_total FROM seen ORDER BY at;
SELECT idem_import_alter('days', batch_size => 1000);

-- a run within a run: the inner one while it goes on, then the outer one again
TRUNCATE goal, seen RESTART IDENTITY;
INSERT INTO inner_stage VALUES (1);
DROP TRIGGER look_on ON goal;
CREATE TRIGGER look_on AFTER INSERT ON goal EXECUTE FUNCTION look_on('inner');
CREATE TRIGGER look_on AFTER INSERT ON inner_goal EXECUTE FUNCTION look_on();
SELECT unit, status FROM idem_import_run('days', '2026-01-02');
SELECT import, unit, phase FROM seen ORDER BY at;
-- an inner one that fails
TRUNCATE goal, seen, inner_goal RESTART IDENTITY;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM progress.look();
	BEGIN
		PERFORM idem_import_run('inner');
	EXCEPTION WHEN SQLSTATE 'II004' THEN
		NULL;
	END;
	PERFORM progress.look();
	RETURN NULL;
END $$;
ALTER TABLE inner_goal ADD CHECK (id <> 1);
DROP TRIGGER look_on ON goal;
CREATE TRIGGER fail AFTER INSERT ON goal EXECUTE FUNCTION fail();
SELECT unit, status FROM idem_import_run('days', '2026-01-02');
SELECT import, unit, phase FROM seen ORDER BY at;
DROP TRIGGER fail ON goal;

-- nothing is left of a run that has ended or failed, though its transaction goes on
BEGIN;
SELECT status FROM idem_import_run('days');
SELECT count(*) FROM idem_import_progress WHERE pid = pg_backend_pid();
SAVEPOINT before;
SELECT idem_import_run('inner');
ROLLBACK TO before;
SELECT count(*) FROM idem_import_progress WHERE pid = pg_backend_pid();
COMMIT;

-- the setting
SHOW idem_import.progress_interval;
SET idem_import.progress_interval = '2s';
SHOW idem_import.progress_interval;
-- (in words that differ between versions)
\set VERBOSITY sqlstate
SET idem_import.progress_interval = -1;
SET idem_import.progress_interval = 'often';
\set VERBOSITY default
RESET idem_import.progress_interval;

SELECT idem_import_drop(name, true) FROM idem_import_definition;
DROP SCHEMA progress CASCADE;
