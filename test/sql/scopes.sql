-- scopes: which rows a unit owns, what it is called, and what a run over several does

CREATE SCHEMA scopes;
SET search_path = scopes, public;
SET client_min_messages = warning;
SET client_encoding = 'UTF8';
SET DateStyle = 'ISO, DMY';
SET TimeZone = 'America/New_York';
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

CREATE TABLE stage (day date, id int, val text);
CREATE TABLE goal (day date, id int, val text, PRIMARY KEY (day, id));
CREATE VIEW per_day AS SELECT day, count(*), string_agg(id || val, ' ' ORDER BY id) AS rows FROM goal GROUP BY day;
INSERT INTO stage SELECT d::date, i, 'v' FROM generate_series(timestamp '2026-01-30', '2026-02-02', '1 day') d, generate_series(1, 2) i;

--
-- a value, a range, everything
--
SELECT idem_import_create('days', 'stage', 'goal', mode => 'overwrite', key => ARRAY['day', 'id'], scope => ARRAY['day']);
-- the source has more than the unit
SELECT * FROM refused($$SELECT idem_import_run('days', '2026-01-31')$$);
SELECT unit, status, sqlstate FROM idem_import_ledger WHERE import = 'days';
SELECT idem_import_alter('days', out_of_scope => 'reject');
SELECT * FROM refused($$SELECT idem_import_run('days', '2026-01-31')$$);
SELECT idem_import_alter('days', reject_limit => 10);
SELECT * FROM again('days', '2026-01-31');
SELECT unit, "row", key, sqlstate, message FROM idem_import_reject WHERE import = 'days' ORDER BY "row"::text;
SELECT idem_import_alter('days', out_of_scope => 'ignore');
SELECT * FROM again('days', '2026-01-31');
TABLE per_day ORDER BY day;
-- one name, however it is spelled
SELECT code, message FROM refused($$SELECT idem_import_run('days', '31/01/2026')$$);  -- settings of the session do not count
SELECT unit, note FROM idem_import_run('days', 'Jan 31 2026');
SELECT unit, note FROM idem_import_run('days', ' 2026-01-31 ');
SELECT unit, note FROM idem_import_run('days', '20260131');
SELECT unit, note FROM idem_import_run('days', '[2026-01-31,2026-02-01)');
SELECT unit, note FROM idem_import_run('days', '(2026-01-30, 2026-01-31]');
SELECT unit, status FROM idem_import_ledger WHERE import = 'days';
-- a range stands for its units, also those without rows
SELECT * FROM again('days', '[2026-01-29,2026-02-01]');
TABLE per_day ORDER BY day;
-- what is in the source
INSERT INTO goal VALUES ('2026-03-01', 1, 'not in the source');
UPDATE stage SET val = 'w' WHERE day = '2026-02-01';
DELETE FROM stage WHERE day = '2026-01-30';
SELECT * FROM again('days');
TABLE per_day ORDER BY day;
-- a static unit without rows is emptied
SELECT * FROM again('days', '2026-01-30');
SELECT * FROM again('days', '2026-03-01');
TABLE per_day ORDER BY day;
-- but not of more than ten at once
INSERT INTO goal SELECT '2026-03-01', i, 'x' FROM generate_series(1, 11) i;
SELECT * FROM refused($$SELECT idem_import_run('days', '2026-03-01')$$);
SELECT status, removed, note FROM idem_import_plan('days', '2026-03-01');
SELECT unit, status, to_remove FROM idem_import_ledger WHERE import = 'days' AND unit = '2026-03-01';
SELECT idem_import_approve('days', '2026-03-01');
-- the approval is the unit's alone
INSERT INTO goal SELECT '2026-03-02', i, 'x' FROM generate_series(1, 11) i;
SELECT * FROM refused($$SELECT idem_import_run('days', '2026-03-02')$$);
SELECT * FROM again('days', '2026-03-01');
-- one unit of a range that stops, stops all of them
UPDATE stage SET val = 'z' WHERE day = '2026-02-02';
SELECT * FROM refused($$SELECT idem_import_run('days', '[2026-02-02,2026-03-03)')$$);
SELECT day, rows FROM per_day WHERE day = '2026-02-02';
DELETE FROM goal WHERE day = '2026-03-02';
-- changed by hand: a row of one unit, and one that moved to another
UPDATE goal SET val = 'hand' WHERE day = '2026-02-01' AND id = 1;
SELECT * FROM again('days');
UPDATE goal SET day = '2026-04-01' WHERE day = '2026-02-01' AND id = 1;
SELECT * FROM again('days');
SELECT * FROM again('days', '2026-04-01');
-- a receipt by unit, a line of history by unit and run
SELECT unit, status, source_rows, target_rows, source_checksum = target_checksum AS same FROM idem_import_ledger WHERE import = 'days' ORDER BY unit;
SELECT unit, lower_bound, upper_bound FROM idem_import_history WHERE import = 'days' GROUP BY 1, 2, 3 ORDER BY unit;
SELECT idempotent, unit, first_changes, second_changes FROM idem_import_prove('days');
-- texts that are no scope
SELECT s, r.code, r.message, r.detail, r.hint FROM unnest(ARRAY['', 'soon', '2026-02-30', 'today', 'now', 'yesterday', '[2026-01-01,', '[2026-01-02,2026-01-01)',
	'[2026-01-01,2026-01-01)', '[2026-01-01,infinity)', '[,2026-01-01)', '(2026-01-01,2026-01-02)', 'empty', '{"day":"2026-01-01"}', '*',
	'[1000-01-01,2026-01-01)']) WITH ORDINALITY s(s, n),
	LATERAL refused(format('SELECT idem_import_plan(''days'', %L)', s)) r ORDER BY n;
SELECT * FROM again('days', 'infinity');
SELECT idem_import_drop('days', purge => true);

--
-- NULL as a scope value
--
CREATE TABLE loose (day date, id int PRIMARY KEY, val text);
INSERT INTO stage VALUES (NULL, 50, 'no day'), (NULL, 51, 'no day');
UPDATE stage SET id = id + extract(day FROM day) * 10 WHERE day IS NOT NULL;
SELECT idem_import_create('loose', 'stage', 'loose', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['day']);
SELECT * FROM refused($$SELECT idem_import_run('loose')$$);
SELECT idem_import_alter('loose', out_of_scope => 'reject');
SELECT * FROM refused($$SELECT idem_import_run('loose')$$);
SELECT idem_import_alter('loose', reject_limit => 2);
SELECT * FROM again('loose');
SELECT unit, key, sqlstate, message, resolved_at IS NULL AS open FROM idem_import_reject WHERE import = 'loose' ORDER BY key::text;
SELECT idem_import_alter('loose', out_of_scope => 'ignore');
SELECT * FROM again('loose');
TABLE loose ORDER BY id;
SELECT idem_import_drop('loose', purge => true);
DELETE FROM stage WHERE day IS NULL;

--
-- the scope not in the key: a row moves from unit to unit
--
SELECT idem_import_create('move', 'stage', 'loose', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['day'], out_of_scope => 'ignore');
SELECT * FROM again('move');
UPDATE stage SET day = '2026-02-05' WHERE id = 11;
SELECT unit, status, inserted, updated, unchanged, removed FROM idem_import_run('move') ORDER BY 1;
SELECT * FROM again('move');
UPDATE stage SET day = '2026-01-31' WHERE id = 11;
SELECT unit, status, inserted, updated, unchanged, removed FROM idem_import_run('move') ORDER BY 1;
SELECT * FROM again('move');
TABLE loose ORDER BY id;
SELECT idem_import_drop('move', purge => true);

--
-- a row of the key in another unit, which the receipt knows nothing of, is looked for again
--
CREATE TABLE moving (day date, id int, version int, gone boolean);
CREATE TABLE moved (day date, id int PRIMARY KEY, version int);
INSERT INTO moving VALUES ('2026-01-01', 1, 1, false), ('2026-01-01', 2, 1, false);
CREATE FUNCTION elsewhere() RETURNS void LANGUAGE sql AS $$DELETE FROM moved; INSERT INTO moved VALUES ('2026-01-02', 1, 2)$$;
-- stale, by its version
SELECT idem_import_create('moving', 'moving', 'moved', key => ARRAY['id'], scope => ARRAY['day'], version_column => 'version');
SELECT elsewhere();
SELECT * FROM again('moving', '2026-01-01');
DELETE FROM moved WHERE day = '2026-01-02';
SELECT * FROM again('moving', '2026-01-01');
SELECT elsewhere();
SELECT * FROM again('moving');
DELETE FROM moved WHERE day = '2026-01-02';
SELECT * FROM again('moving');
-- there first
SELECT idem_import_alter('moving', mode => 'insert_only', version_column => '');
SELECT elsewhere();
SELECT * FROM again('moving', '2026-01-01');
DELETE FROM moved WHERE day = '2026-01-02';
SELECT * FROM again('moving', '2026-01-01');
-- flagged
SELECT idem_import_alter('moving', mode => 'merge', delete_flag => 'gone');
UPDATE moving SET gone = true WHERE id = 1;
SELECT elsewhere();
SELECT unit, status, inserted, deleted FROM idem_import_run('moving', '2026-01-01');
INSERT INTO moved VALUES ('2026-01-02', 1, 2);
SELECT unit, status, inserted, deleted FROM idem_import_run('moving', '2026-01-01');
INSERT INTO moved VALUES ('2026-01-02', 1, 2);
SELECT unit, status, inserted, deleted FROM idem_import_run('moving');
TABLE moved;
SELECT unit, status, unchanged FROM idem_import_run('moving');
-- a receipt without such rows is believed
SELECT idem_import_alter('moving', delete_flag => '');
SELECT count(*) FROM idem_import_run('moving');
SELECT status, unchanged, note FROM idem_import_run('moving');
SELECT idem_import_drop('moving', purge => true);

--
-- two scope columns
--
CREATE TABLE tstage (tenant int, day date, name text, id int);
CREATE TABLE tgoal (tenant int, day date, name text, id int, PRIMARY KEY (tenant, day, id));
INSERT INTO tstage SELECT t, d::date, 'n', i FROM generate_series(7, 8) t, generate_series(timestamp '2026-06-08', '2026-06-09', '1 day') d, generate_series(1, 2) i;
SELECT idem_import_create('two', 'tstage', 'tgoal', mode => 'overwrite', key => ARRAY['tenant', 'day', 'id'], scope => ARRAY['tenant', 'day'], out_of_scope => 'ignore');
SELECT * FROM again('two', '{"tenant":7,"day":"2026-06-09"}');
SELECT unit, note FROM idem_import_run('two', '{"day": "9 Jun 2026", "tenant": "7"}');
SELECT * FROM again('two');
DELETE FROM tstage WHERE tenant = 8 AND day = '2026-06-08';
SELECT * FROM again('two');
SELECT * FROM again('two', '{"tenant":8,"day":"2026-06-08"}');
SELECT tenant, day, count(*) FROM tgoal GROUP BY 1, 2 ORDER BY 1, 2;
SELECT unit, lower_bound, upper_bound FROM idem_import_history WHERE import = 'two' GROUP BY 1, 2, 3 ORDER BY unit;
SELECT s, r.code, r.message, r.detail, r.hint FROM unnest(ARRAY['', '7', '{}', '{"tenant":7}', '{"tenant":7,"day":null}', '{"tenant":7,"day":"2026-06-09","x":1}',
	'[7,"2026-06-09"]', '{"tenant":"x","day":"2026-06-09"}', '{"tenant":[7],"day":"2026-06-09"}']) WITH ORDINALITY s(s, n),
	LATERAL refused(format('SELECT idem_import_plan(''two'', %L)', s)) r ORDER BY n;
SELECT idem_import_drop('two', purge => true);
-- names that need quoting in every way
CREATE TABLE qstage ("Te""n'ant🍰" text, "DAY" text, id int);
CREATE TABLE qgoal ("Te""n'ant🍰" text, "DAY" text, id int PRIMARY KEY);
INSERT INTO qstage VALUES ('a"b''c\🍰', '{"x": 1}', 1), ('', ' ', 2), ('*', 'null', 3);
SELECT idem_import_create('quoted', 'qstage', 'qgoal', key => ARRAY['id'], scope => ARRAY['Te"n''ant🍰', 'DAY'], out_of_scope => 'ignore');
SELECT * FROM again('quoted');
SELECT l.unit, r.unit = l.unit AS same, r.note FROM idem_import_ledger l, LATERAL idem_import_run('quoted', l.unit) r WHERE l.import = 'quoted' ORDER BY l.unit COLLATE "C";
SELECT idem_import_drop('quoted', purge => true);

--
-- scope columns of other types have one name for a value, too
--
CREATE TABLE ostage (n numeric, b boolean, u uuid, e text, c char(5), id int);
CREATE TABLE ogoal (n numeric, b boolean, u uuid, e text, c char(5), id int PRIMARY KEY);
INSERT INTO ostage VALUES (1.0, true, '00000000-0000-0000-0000-00000000000a', '', 'x', 1), (1.00, true, '00000000-0000-0000-0000-00000000000A', '', 'x    ', 2),
	(-0.5, false, '00000000-0000-0000-0000-00000000000b', '*', '', 3);
SELECT idem_import_create(c, 'ostage', 'ogoal', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY[c], out_of_scope => 'ignore') FROM unnest(ARRAY['n', 'b', 'u', 'e', 'c']) c;
SELECT c, a.unit, a.attempted, a.inserted, a.unchanged, a.checks FROM unnest(ARRAY['n', 'b', 'u', 'e', 'c']) WITH ORDINALITY c(c, n), LATERAL again(c) a ORDER BY n, a.unit COLLATE "C";
SELECT unit FROM idem_import_run('n', '1.000');
SELECT unit FROM idem_import_run('b', 'yes');
SELECT unit FROM idem_import_run('u', '{0000000000000000000000000000000A}');
SELECT unit, attempted FROM idem_import_run('e', '*');
SELECT unit, attempted FROM idem_import_run('e', '');
SELECT unit FROM idem_import_run('c', 'x  ');
SELECT idem_import_drop(c, purge => true) FROM unnest(ARRAY['n', 'b', 'u', 'e', 'c']) c;

--
-- slices
--
CREATE TABLE clock (d date, t timestamp, z timestamptz, i bigint, n numeric, id int);
CREATE TABLE clock_goal (d date, t timestamp, z timestamptz, i bigint, n numeric, id int PRIMARY KEY);
-- each half hour over both changes of the clocks in Berlin, 2026-03-29 01:00 and 2026-10-25 01:00 UTC
INSERT INTO clock
	SELECT (z AT TIME ZONE 'UTC')::date, z AT TIME ZONE 'UTC', z, row_number() OVER (ORDER BY z) * 100 - 5000, row_number() OVER (ORDER BY z) / 10.0, row_number() OVER (ORDER BY z)
	FROM (SELECT generate_series(timestamptz '2026-03-28 12:00+00', '2026-03-30 12:00+00', '30 minutes')
		  UNION ALL SELECT generate_series(timestamptz '2026-10-24 12:00+00', '2026-10-26 12:00+00', '30 minutes')) z(z);
CREATE FUNCTION slices(col text, slice text) RETURNS TABLE (unit text, rows bigint, checks text) LANGUAGE plpgsql AS $$
DECLARE
	last text;
BEGIN
	TRUNCATE clock_goal;
	PERFORM idem_import_create('slices', 'clock', 'clock_goal', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY[col], slice => slices.slice,
		out_of_scope => 'ignore', settings => '{"TimeZone": "Europe/Berlin"}');
	FOR unit, rows, checks IN SELECT a.unit, a.attempted, a.checks FROM again('slices') a LOOP
		last := unit;
		RETURN NEXT;
	END LOOP;
	IF (SELECT count(*) FROM clock_goal) <> (SELECT count(*) FROM clock) THEN
		RAISE EXCEPTION 'rows lost';
	END IF;
	-- by its name, a unit is the same one
	FOR unit, rows, checks IN SELECT 'again ' || r.unit, r.attempted, r.note FROM idem_import_run('slices', last) r LOOP
		RETURN NEXT;
	END LOOP;
	PERFORM idem_import_drop('slices', purge => true);
END $$;
SELECT * FROM slices('z', '1 day');
SELECT * FROM slices('z', '6 hours');
SELECT * FROM slices('z', '1 week');
SELECT * FROM slices('z', '1 month');
SELECT * FROM slices('t', '1 day');
SELECT * FROM slices('t', '6 hours');
SELECT * FROM slices('t', '1 month');
SELECT * FROM slices('d', '1 day');
SELECT * FROM slices('d', '1 week');
SELECT * FROM slices('d', '1 month');
SELECT * FROM slices('i', '10000');
SELECT * FROM slices('i', '3000');
SELECT * FROM slices('n', '2.5');
SELECT s, c, r.code, r.message FROM (VALUES (1, 'z', '0 days'), (2, 'z', '-1 day'), (3, 'z', '1 month 1 day'), (4, 'd', '6 hours'), (5, 'i', '1 day'), (6, 'i', '0'), (7, 'i', '1.5'),
	(8, 'n', 'NaN'), (9, 'z', 'x')) v(n, c, s),
	LATERAL refused(format('SELECT idem_import_create(''slices'', ''clock'', ''clock_goal'', mode => ''overwrite'', key => ARRAY[''id''], scope => ARRAY[%L], slice => %L)', c, s)) r ORDER BY n;

-- a day of 23 hours and one of 25, by value, by range, however spelled
SELECT idem_import_create('berlin', 'clock', 'clock_goal', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['z'], slice => '1 day',
	out_of_scope => 'ignore', settings => '{"TimeZone": "Europe/Berlin"}');
TRUNCATE clock_goal;
SELECT * FROM again('berlin', '2026-03-29');
SELECT unit, note FROM idem_import_run('berlin', '2026-03-28 23:00+00');
SELECT unit, note FROM idem_import_run('berlin', '2026-03-29 21:59:59.999999+00');
SELECT * FROM again('berlin', '[2026-10-25,2026-10-26)');
SELECT count(*), min(z) AT TIME ZONE 'Europe/Berlin' AS first, max(z) AT TIME ZONE 'Europe/Berlin' AS last FROM clock_goal GROUP BY z < '2026-06-01' ORDER BY 2;
SELECT unit, attempted, inserted, unchanged FROM idem_import_run('berlin', '["2026-03-28 00:00:00+01","2026-03-31 00:00:00+02")') ORDER BY unit;
SELECT s, r.code, r.message, r.detail, r.hint FROM unnest(ARRAY['[2026-03-29 12:00,2026-03-30)', '[2026-03-29,2026-03-30]', '(2026-03-29,2026-03-30)', 'infinity', 'now']) WITH ORDINALITY s(s, n),
	LATERAL refused(format('SELECT idem_import_plan(''berlin'', %L)', s)) r ORDER BY n;
SELECT unit, lower_bound, upper_bound FROM idem_import_history WHERE import = 'berlin' GROUP BY 1, 2, 3 ORDER BY unit;
SELECT idem_import_drop('berlin', purge => true);

--
-- a source with parameters
--
TRUNCATE goal;
SELECT idem_import_create('params', 'SELECT day, id, val FROM stage WHERE day = $1', 'goal', mode => 'overwrite', key => ARRAY['day', 'id'], scope => ARRAY['day']);
SELECT * FROM refused($$SELECT idem_import_run('params')$$);
SELECT * FROM again('params', '2026-02-01');
-- a read for each unit of a range
SELECT * FROM again('params', '[2026-01-30,2026-02-03)');
SELECT unit, status FROM idem_import_ledger WHERE import = 'params' ORDER BY unit;
-- the whole of the source, or another unit, in spite of the parameter
SELECT idem_import_alter('params', source => 'SELECT day, id, val FROM stage WHERE day >= $1');
SELECT * FROM refused($$SELECT idem_import_run('params', '2026-01-31')$$);
SELECT * FROM again('params', '2026-02-02');
SELECT idem_import_drop('params', purge => true);
-- of a slice: both bounds
SELECT idem_import_create('params', 'SELECT * FROM clock WHERE z >= $1 AND z < $2', 'clock_goal', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['z'], slice => '1 day',
	settings => '{"TimeZone": "Europe/Berlin"}');
TRUNCATE clock_goal;
SELECT * FROM again('params', '[2026-03-28,2026-03-31)');
SELECT idem_import_drop('params', purge => true);
-- of two columns: their values
TRUNCATE tgoal;
SELECT idem_import_create('params', 'SELECT $1 AS tenant, day, name, id FROM tstage WHERE tenant = $1 AND day = $2', 'tgoal', mode => 'overwrite', key => ARRAY['tenant', 'day', 'id'],
	scope => ARRAY['tenant', 'day']);
SELECT * FROM again('params', '{"tenant":7,"day":"2026-06-09"}');
SELECT idem_import_drop('params', purge => true);
SELECT * FROM refused($$SELECT idem_import_create('params', 'SELECT * FROM stage WHERE day = $3', 'goal', mode => 'overwrite', key => ARRAY['day', 'id'], scope => ARRAY['day'])$$);
SELECT * FROM refused($$SELECT idem_import_create('params', 'SELECT * FROM stage WHERE day = $1', 'goal', mode => 'overwrite', key => ARRAY['day', 'id'])$$);

--
-- without a key, unit by unit
--
CREATE TABLE bag (day date, id int, val text);
SELECT idem_import_create('bag', 'stage', 'bag', mode => 'overwrite', scope => ARRAY['day']);
SELECT unit, status, method, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
SELECT unit, status, method, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
UPDATE stage SET val = 'new' WHERE day = '2026-02-01';
INSERT INTO stage SELECT * FROM stage WHERE day = '2026-02-02';
SELECT unit, status, method, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
SELECT unit, status, method, attempted, inserted, unchanged, removed FROM idem_import_run('bag');
SELECT day, count(*), count(DISTINCT b) FROM bag b GROUP BY day ORDER BY day;
SELECT idem_import_drop('bag', purge => true);

--
-- many units in one run
--
CREATE TABLE many (unit int, id int, val text);
CREATE TABLE many_goal (unit int, id int, val text, PRIMARY KEY (unit, id));
INSERT INTO many SELECT i % 500, i, 'v' FROM generate_series(1, 2000) i;
SELECT idem_import_create('many', 'many', 'many_goal', mode => 'overwrite', key => ARRAY['unit', 'id'], scope => ARRAY['unit']);
SELECT count(*), sum(inserted), min(attempted), max(attempted) FROM idem_import_run('many');
SELECT count(*), sum(unchanged), min(status), max(status) FROM idem_import_run('many');
UPDATE many SET val = 'w' WHERE unit = 77;
SELECT status, count(*), sum(updated) AS updated, sum(unchanged) AS unchanged FROM idem_import_run('many') GROUP BY status ORDER BY status;
SELECT count(*), count(*) FILTER (WHERE source_checksum = target_checksum) AS same FROM idem_import_ledger WHERE import = 'many';
SELECT idem_import_drop('many', purge => true);

SELECT count(*) FROM idem_import_definition;
SELECT count(*) FROM idem_import_ledger;
SELECT count(*) FROM idem_import_history;
SELECT count(*) FROM idem_import_reject;
DROP SCHEMA scopes CASCADE;
RESET TimeZone;
RESET DateStyle;
RESET client_encoding;
