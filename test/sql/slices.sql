-- slices and time: whose midnight it is, that slices tile, that their order and the hour of the run do not matter

CREATE SCHEMA slices;
SET search_path = slices, public;
SET client_min_messages = warning;
SET DateStyle = 'ISO, MDY';
\set SHOW_CONTEXT never
\getenv srcdir PG_ABS_SRCDIR
\set check :srcdir '/test/check.sql'
\set ECHO none
\i :check
\set ECHO all

-- the rows of a table, whatever they look like in this session
CREATE FUNCTION held(target regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT count(*) || '' '' || idem_import_checksum(idem_import_hash(t)) FROM %s t', target) INTO result;
	RETURN result;
END $$;

--
-- a day has 23 hours, or 25, in the import's time zone, whoever calls from wherever
--
CREATE TABLE events (at timestamptz, what text);
CREATE TABLE goal (at timestamptz PRIMARY KEY, what text);
INSERT INTO events SELECT at, 'each half hour' FROM generate_series(timestamptz '2026-03-28 00:00+00', '2026-03-31 00:00+00', '30 minutes') at;
INSERT INTO events SELECT at, 'each half hour' FROM generate_series(timestamptz '2026-10-24 00:00+00', '2026-10-27 00:00+00', '30 minutes') at;
INSERT INTO events VALUES
	('2026-03-28 23:59:59.999999+01', 'last of 03-28'), ('2026-03-29 00:00:00.000001+01', 'first of 03-29'),
	('2026-03-29 01:59:59.999999+01', 'before the gap'), ('2026-03-29 03:00:00.000001+02', 'after the gap'),
	('2026-03-29 23:59:59.999999+02', 'last of 03-29'), ('2026-03-30 00:00:00.000001+02', 'first of 03-30'),
	('2026-10-24 23:59:59.999999+02', 'last of 10-24'), ('2026-10-25 00:00:00.000001+02', 'first of 10-25'),
	('2026-10-25 02:30:00.000001+02', 'half past two'), ('2026-10-25 02:30:00.000001+01', 'half past two again'),
	('2026-10-25 23:59:59.999999+01', 'last of 10-25'), ('2026-10-26 00:00:00.000001+01', 'first of 10-26');
-- the source by the bounds, and all of it
SELECT idem_import_create('bounds', 'SELECT * FROM events WHERE at >= $1 AND at < $2', 'goal', mode => 'overwrite', key => ARRAY['at'], scope => ARRAY['at'], slice => '1 day',
	settings => '{"TimeZone": "Europe/Berlin"}');
SELECT idem_import_create('whole', 'events', 'goal', mode => 'overwrite', key => ARRAY['at'], scope => ARRAY['at'], slice => '1 day',
	out_of_scope => 'ignore', settings => '{"TimeZone": "Europe/Berlin"}');

CREATE FUNCTION dst(import text, day text, OUT unit text, OUT rows bigint, OUT hours bigint, OUT first text, OUT last text, OUT odd text, OUT held text) LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM goal;
	SELECT string_agg(r.unit, '; '), sum(r.inserted) INTO unit, rows FROM idem_import_run(import, day) r;
	SELECT count(*) FILTER (WHERE what LIKE 'each%') / 2, min(at AT TIME ZONE 'Europe/Berlin'), max(at AT TIME ZONE 'Europe/Berlin'),
		string_agg(what, ', ' ORDER BY at) FILTER (WHERE what NOT LIKE 'each%')
	INTO hours, first, last, odd FROM goal;
	held := held('goal');
END $$;
SET TimeZone = 'America/Los_Angeles';
SELECT d.* FROM unnest(ARRAY['bounds', 'whole']) i, unnest(ARRAY['2026-03-29', '2026-10-25']) s, dst(i, s) d;
-- a week that has such a day, an hour more or less
SELECT idem_import_alter('bounds', slice => '1 week');
SELECT * FROM dst('bounds', '2026-03-29');
SELECT * FROM dst('bounds', '2026-10-25');
SELECT idem_import_alter('bounds', slice => '1 day');
CREATE TABLE seen AS SELECT i, s, d.* FROM unnest(ARRAY['bounds', 'whole']) i, unnest(ARRAY['2026-03-28', '2026-03-29', '2026-03-30', '2026-10-24', '2026-10-25', '2026-10-26']) s, dst(i, s) d;
SELECT s, count(DISTINCT ROW(unit, rows, hours, first, last, odd, held)::text) AS answers, min(hours) AS hours FROM seen GROUP BY s ORDER BY s;
SET TimeZone = 'Asia/Kolkata';
SELECT bool_and(ROW(seen.unit, seen.rows, seen.hours, seen.first, seen.last, seen.odd, seen.held) = d) AS same FROM seen, dst(i, s) d;
SET TimeZone = 'Pacific/Kiritimati';
SELECT bool_and(ROW(seen.unit, seen.rows, seen.hours, seen.first, seen.last, seen.odd, seen.held) = d) AS same FROM seen, dst(i, s) d;
SET TimeZone = 'Europe/Berlin';
SELECT bool_and(ROW(seen.unit, seen.rows, seen.hours, seen.first, seen.last, seen.odd, seen.held) = d) AS same FROM seen, dst(i, s) d;
-- the same units by another session are the same work
SELECT count(*) FROM idem_import_run('whole');
SET TimeZone = 'Asia/Tokyo';
SELECT status, count(*) FROM idem_import_run('whole') GROUP BY status;
SELECT status, count(*) FROM idem_import_run('whole', force => true) GROUP BY status;
SELECT held('goal') = held('events') AS all_of_it;
-- text is read as what it says there: half past two, the second time
CREATE TABLE texts (at text, what text);
INSERT INTO texts VALUES ('2026-10-25 02:30', 'winter'), ('2026-10-25 02:30 CEST', 'summer'), ('2026-03-29 02:30', 'in the gap'), ('03/30/2026', 'midnight');
SELECT idem_import_create('texts', 'texts', 'goal', mode => 'overwrite', key => ARRAY['at'], scope => ARRAY['at'], slice => '1 day', settings => '{"TimeZone": "Europe/Berlin"}');
TRUNCATE goal;
SELECT unit, inserted FROM idem_import_run('texts') ORDER BY unit;
SELECT what, at AT TIME ZONE 'UTC' AS utc FROM goal ORDER BY at;
SET TimeZone = 'America/New_York';
SET DateStyle = 'SQL, DMY';
SELECT status, count(*) FROM idem_import_run('texts', force => true) GROUP BY status;
SET DateStyle = 'ISO, MDY';
SELECT idem_import_drop(i, purge => true) FROM unnest(ARRAY['bounds', 'whole', 'texts']) i;

--
-- slices tile: each ends where the next begins, each row is in exactly one, whatever the calendar and the clocks do
--
CREATE TABLE line (d date, t timestamp, z timestamptz, s smallint, i bigint, n numeric, id int);
CREATE TABLE tiled (d date, t timestamp, z timestamptz, s smallint, i bigint, n numeric, id int PRIMARY KEY);
CREATE FUNCTION tile(col text, slice text, zone text DEFAULT 'UTC', OUT units bigint, OUT rows bigint, OUT gaps bigint, OUT overlaps bigint, OUT not_in_one bigint, OUT lost bigint, OUT shortest text, OUT longest text)
LANGUAGE plpgsql AS $$
DECLARE
	type regtype := (SELECT atttypid FROM pg_attribute WHERE attrelid = 'line'::regclass AND attname = col);
BEGIN
	TRUNCATE tiled;
	PERFORM idem_import_create('tile', 'line', 'tiled', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY[col], slice => tile.slice,
		out_of_scope => 'ignore', settings => jsonb_build_object('TimeZone', zone));
	PERFORM set_config('TimeZone', zone, true);
	SELECT count(DISTINCT unit), sum(inserted) INTO units, rows FROM idem_import_run('tile');
	-- a row at a bound belongs to one unit, and this is the one that wrote it
	EXECUTE format($q$
		WITH u AS (SELECT unit, lower_bound::%1$s AS l, upper_bound::%1$s AS u, attempted FROM idem_import_history WHERE import = 'tile')
		SELECT (SELECT count(*) FROM (SELECT u, lead(l) OVER (ORDER BY l) AS next FROM u) x WHERE next > u),
			   (SELECT count(*) FROM (SELECT u, lead(l) OVER (ORDER BY l) AS next FROM u) x WHERE next < u),
			   (SELECT count(*) FROM line r WHERE (SELECT count(*) FROM u WHERE l <= r.%2$I AND r.%2$I < u) <> 1)
			 + (SELECT count(*) FROM u WHERE attempted <> (SELECT count(*) FROM line r WHERE l <= r.%2$I AND r.%2$I < u)),
			   (SELECT count(*) FROM line r WHERE NOT EXISTS (SELECT FROM tiled x WHERE x.id = r.id AND x.%2$I = r.%2$I)),
			   (SELECT min(u - l) FROM u), (SELECT max(u - l) FROM u)$q$, type, col)
		INTO gaps, overlaps, not_in_one, lost, shortest, longest;
	-- by the name of a unit, or any value in it, one gets this unit
	IF EXISTS (SELECT FROM idem_import_history h, idem_import_plan('tile', h.unit) p WHERE h.import = 'tile' AND h.run_id % 31 = 0 AND p.unit <> h.unit) OR
	   EXISTS (SELECT FROM idem_import_history h, idem_import_plan('tile', h.lower_bound) p WHERE h.import = 'tile' AND h.run_id % 31 = 0 AND p.unit <> h.unit) THEN
		RAISE EXCEPTION 'a unit is not what its name says';
	END IF;
	PERFORM idem_import_drop('tile', purge => true);
END $$;
-- two years and a day with a 29 February: each midnight, the last microsecond before it, and noon
CREATE FUNCTION fill(first timestamp, last timestamp, zone text) RETURNS bigint LANGUAGE sql AS $$
	TRUNCATE line;
	INSERT INTO line SELECT t::date, t, t AT TIME ZONE zone, NULL, NULL, NULL, row_number() OVER ()
	FROM generate_series(first, last, '1 day') day, LATERAL (VALUES (day), (day - interval '1 microsecond'), (day + interval '12 hours')) v(t);
	SELECT count(*) FROM line;
$$;
SELECT fill('2023-12-01', '2025-12-31', 'Europe/Berlin');
SELECT c, w, a.* FROM unnest(ARRAY['d', 't', 'z']) c, unnest(ARRAY['1 month', '3 months', '1 week', '1 day']) w, tile(c, w, 'Europe/Berlin') a;
-- weeks begin on Mondays, before the first slice too
SELECT fill('2000-12-20', '2001-01-10', 'UTC');
SELECT idem_import_create('weeks', 'line', 'tiled', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['d'], slice => '1 week');
TRUNCATE tiled;
SELECT count(*) FROM idem_import_run('weeks');
SELECT unit, to_char(lower_bound::date, 'Dy') AS begins FROM idem_import_history WHERE import = 'weeks' ORDER BY unit;
SELECT idem_import_drop('weeks', purge => true);
-- zones where midnight itself is skipped or comes twice (Sao Paulo 2018-11-04, 2018-02-18), or a whole day (Apia 2011-12-30)
SELECT fill('2018-01-31', '2018-12-02', 'America/Sao_Paulo');
DELETE FROM line a USING line b WHERE a.z = b.z AND a.id > b.id;
SELECT w, a.* FROM unnest(ARRAY['1 day', '1 week', '1 month']) w, tile('z', w, 'America/Sao_Paulo') a;
-- hours are elapsed time; where there are no rows, there is no unit
SELECT w, a.* FROM unnest(ARRAY['12 hours', '1 hour']) w, tile('z', w, 'America/Sao_Paulo') a;
SELECT fill('2011-12-20', '2012-01-10', 'Pacific/Apia');
DELETE FROM line a USING line b WHERE a.z = b.z AND a.id > b.id;
SELECT w, a.* FROM unnest(ARRAY['1 day', '1 month']) w, tile('z', w, 'Pacific/Apia') a;
-- numbers, below zero as above
TRUNCATE line;
INSERT INTO line SELECT NULL, NULL, NULL, i, i, i / 8.0, i FROM generate_series(-100, 100) i;
SELECT c, w, a.* FROM unnest(ARRAY['s', 'i', 'n']) c, unnest(ARRAY['1', '7', '10', '100']) w, tile(c, w) a;
SELECT w, a.* FROM unnest(ARRAY['0.1', '2.5', '1e-3']) w, tile('n', w) a;
SELECT idem_import_create('below', 'line', 'tiled', mode => 'overwrite', key => ARRAY['id'], scope => ARRAY['i'], slice => '100', out_of_scope => 'ignore');
SELECT p.* FROM unnest(ARRAY['-101', '-100', '-1', '0', '99', '100']) WITH ORDINALITY s(s, n), LATERAL (SELECT s, unit, attempted FROM idem_import_plan('below', s)) p ORDER BY n;
SELECT idem_import_drop('below', purge => true);
-- where a type ends
INSERT INTO line VALUES (NULL, NULL, NULL, -32768, 9223372036854775807, 0, 1000);
SELECT code, message FROM refused($$SELECT tile('s', '10')$$);
SELECT code, message FROM refused($$SELECT tile('i', '10')$$);

--
-- 220 daily slices over both changes of the clocks, in any order
--
CREATE TABLE daily (at timestamptz, id int, version int, val text);
CREATE TABLE latest (at timestamptz, id int PRIMARY KEY, version int, val text);
-- a row is in a fifth of the slices, and moves from day to day; within a day, too, it has an older version
INSERT INTO daily SELECT (timestamp '2026-03-25' + d * interval '1 day' + id * v * interval '20 minutes') AT TIME ZONE 'Europe/Berlin', id, d * 10 + v, format('%s/%s/%s', d, id, v)
FROM generate_series(0, 219) d, generate_series(1, 60) id, generate_series(0, 1) v WHERE (d * 7 + id * 3) % 5 = 0;
CREATE VIEW days AS SELECT DISTINCT (at AT TIME ZONE 'Europe/Berlin')::date AS day FROM daily;
SELECT count(*), (SELECT count(*) FROM days) AS days, count(DISTINCT id) AS ids FROM daily;
SELECT idem_import_create('latest', 'SELECT * FROM daily WHERE at >= $1 AND at < $2', 'latest', key => ARRAY['id'], scope => ARRAY['at'], slice => '1 day',
	order_by => 'version DESC', version_column => 'version', settings => '{"TimeZone": "Europe/Berlin"}');
CREATE TABLE expected AS SELECT DISTINCT ON (id) * FROM daily ORDER BY id, version DESC;
CREATE FUNCTION replay(seed text, OUT runs bigint, OUT inserted bigint, OUT stale_runs boolean, OUT is_right boolean) LANGUAGE plpgsql AS $$
DECLARE
	d date;
	r idem_import_result;
BEGIN
	runs := 0;
	inserted := 0;
	stale_runs := false;
	FOR d IN SELECT day FROM days
			 ORDER BY CASE seed WHEN 'forward' THEN day - date '2000-01-01' WHEN 'back' THEN date '2000-01-01' - day END, md5(day::text || seed) LOOP
		FOR r IN SELECT * FROM idem_import_run('latest', d::text) LOOP
			runs := runs + 1;
			inserted := inserted + r.inserted;
			stale_runs := stale_runs OR r.stale > 0;
		END LOOP;
	END LOOP;
	is_right := held('latest') = held('expected');
END $$;
SELECT * FROM replay('forward');
TRUNCATE latest;
SELECT * FROM replay('back');
TRUNCATE latest;
SELECT * FROM replay('one order');
TRUNCATE latest;
SELECT * FROM replay('another order');
-- and all of them again, over the finished table
SELECT * FROM replay('a third order');
-- from copies of staging as it was, which lack what came later
CREATE TABLE copy_early AS SELECT * FROM daily WHERE version % 10 = 0;
CREATE TABLE copy_half AS SELECT * FROM daily WHERE version < 1000;
CREATE FUNCTION replay_copy(copy regclass, OUT units bigint, OUT written numeric, OUT is_right boolean) LANGUAGE plpgsql AS $$
BEGIN
	SELECT count(*), sum(inserted + updated + deleted + removed) INTO units, written FROM idem_import_run('latest', source => copy);
	is_right := held('latest') = held('expected');
END $$;
SELECT * FROM replay_copy('copy_early');
SELECT * FROM replay_copy('copy_half');
TRUNCATE latest;
SELECT units, written > 0 AS written, is_right FROM replay_copy('copy_half');
SELECT units, written > 0 AS written, is_right FROM replay_copy('copy_early');
SELECT * FROM replay('one order');
SELECT * FROM replay_copy('copy_half');
SELECT idem_import_drop('latest', purge => true);

--
-- a definition that changed: the receipt of the old version is not believed
--
CREATE TABLE changing (id int, seq int, val text, extra text);
CREATE TABLE changed (id int PRIMARY KEY, seq int, val text, extra text);
INSERT INTO changing VALUES (1, 1, 'first', 'a'), (1, 2, 'second', 'b'), (2, 1, 'older', 'c');
INSERT INTO changed VALUES (2, 5, 'newer', 'kept');
SELECT idem_import_create('changed', 'changing', 'changed', key => ARRAY['id'], order_by => 'seq', version_column => 'seq');
CREATE FUNCTION next(OUT version int, OUT status text, OUT changes bigint, OUT believed boolean, OUT then_status text, OUT then_believed boolean, OUT rows text) LANGUAGE plpgsql AS $$
BEGIN
	SELECT r.status, r.inserted + r.updated + r.removed, r.note LIKE '%as the last run left them%' INTO status, changes, believed FROM idem_import_run('changed') r;
	version := (SELECT h.version FROM idem_import_history h WHERE import = 'changed' ORDER BY run_id DESC LIMIT 1);
	SELECT r.status, r.note LIKE '%as the last run left them%' INTO then_status, then_believed FROM idem_import_run('changed') r;
	rows := (SELECT string_agg(c::text, ' ' ORDER BY id) FROM changed c);
END $$;
SELECT * FROM next();
SELECT idem_import_alter('changed', order_by => 'seq DESC');
SELECT * FROM next();
SELECT idem_import_alter('changed', version_column => '');
SELECT * FROM next();
SELECT idem_import_alter('changed', columns => ARRAY['id', 'val']);
UPDATE changed SET extra = 'by hand';
SELECT * FROM next();
SELECT idem_import_alter('changed', columns => '{}');
SELECT * FROM next();
SELECT idem_import_alter('changed', source => 'SELECT id, seq, upper(val) AS val, extra FROM changing');
SELECT * FROM next();
SELECT idem_import_alter('changed', source => 'SELECT id, seq, upper(val) AS val, extra FROM changing WHERE id = 1', delete_missing => true);
SELECT * FROM next();
-- nothing changed: no version, and the receipt is good
SELECT idem_import_alter('changed', delete_missing => true);
SELECT * FROM next();
-- a definition as it was before is a version of its own all the same
SELECT idem_import_alter('changed', order_by => 'seq');
SELECT idem_import_alter('changed', order_by => 'seq DESC');
SELECT * FROM next();
-- another time zone, where a text is another instant
CREATE TABLE zoned (id int PRIMARY KEY, at timestamptz);
SELECT idem_import_create('zoned', 'SELECT 1 AS id, ''2026-06-09 12:00''::text AS at', 'zoned', key => ARRAY['id']);
SELECT status, inserted FROM idem_import_run('zoned');
SELECT idem_import_alter('zoned', settings => '{"TimeZone": "Asia/Tokyo"}');
SELECT status, updated FROM idem_import_run('zoned');
SELECT at AT TIME ZONE 'UTC' AS utc FROM zoned;
SELECT idem_import_drop(i, purge => true) FROM unnest(ARRAY['changed', 'zoned']) i;

--
-- the hour of the run does not matter: yesterday's scope is yesterday's, and the times in our tables are for reading
--
CREATE TABLE clockless (day date, id int, val text);
CREATE TABLE clockless_goal (day date, id int, val text, PRIMARY KEY (day, id));
SELECT CURRENT_DATE - 1 AS yesterday \gset
INSERT INTO clockless SELECT date :'yesterday' + d, i, 'v' FROM generate_series(-1, 1) d, generate_series(1, 3) i;
SELECT idem_import_create('clockless', 'clockless', 'clockless_goal', mode => 'overwrite', key => ARRAY['day', 'id'], scope => ARRAY['day'], out_of_scope => 'ignore');
SELECT status, inserted, unit = :'yesterday' AS yesterday FROM idem_import_run('clockless', :'yesterday');
SELECT count(*), bool_and(day = :'yesterday') AS yesterday FROM clockless_goal;
-- as if that had been long ago, or were to come
CREATE FUNCTION shift(by interval) RETURNS void LANGUAGE sql AS $$
	UPDATE idem_import_history SET started_at = started_at + by WHERE import = 'clockless';
	UPDATE idem_import_ledger SET first_applied_at = first_applied_at + by, applied_at = applied_at + by, attempted_at = attempted_at + by WHERE import = 'clockless';
	UPDATE idem_import_definition SET created_at = created_at + by WHERE name = 'clockless';
$$;
SELECT shift('-400 days');
SELECT status, note FROM idem_import_run('clockless', :'yesterday');
UPDATE clockless SET val = 'w';
SELECT status, updated FROM idem_import_run('clockless', :'yesterday');
SELECT shift('800 days');
SELECT status, note FROM idem_import_run('clockless', :'yesterday');
UPDATE clockless SET val = 'x';
SELECT status, updated FROM idem_import_run('clockless', :'yesterday');
SELECT count(*), bool_and(day = :'yesterday' AND val = 'x') AS yesterday FROM clockless_goal;
SELECT idem_import_drop('clockless', purge => true);

--
-- nor do the settings of the session
--
CREATE SCHEMA decoy;
CREATE TABLE all_text (day text, id text, at text, local text, zoned text, span text, price text, ratio text, bytes text, list text, words text, said text);
CREATE TABLE all_types (day date, id int, at timestamptz, local timestamp, zoned timetz, span interval, price money, ratio float8, bytes bytea, list int[], words tsvector, said text, PRIMARY KEY (day, id));
INSERT INTO all_text SELECT '01/02/2026', i, '01/02/2026 12:00', '03/04/2026 12:00', '12:00', '1-2 3 4:05:06', '$1,234.50', '0.1', E'\\x0001', '{1,NULL,3}', NULL, i FROM generate_series(1, 3) i;
INSERT INTO all_text SELECT '02/01/2026', i, '2026-10-25 02:30 EST', '2026-03-29 02:30', '12:00+02', '-1 day +02:03', '-5', '1e-5', E'a\\000b', '{}', NULL, i FROM generate_series(1, 3) i;
-- tables of these names elsewhere
CREATE TABLE decoy.all_text AS SELECT * FROM all_text LIMIT 0;
CREATE TABLE decoy.all_types (LIKE all_types INCLUDING ALL);
-- the query depends on settings wherever it can
CREATE FUNCTION declare() RETURNS void LANGUAGE sql AS $f$
	SELECT idem_import_create('settings', $q$
		SELECT day, id, at, local, zoned, span, price, ratio, bytes, list, to_tsvector('running dogs ' || id) AS words,
			concat_ws('|', day::date, at::timestamptz, span::interval, ratio::float8, bytes::bytea, to_jsonb(at::timestamptz), date_trunc('day', at::timestamptz),
				CASE WHEN NULLIF(id, id) = NULL THEN 'null equals null' END, 'a\b') AS said
		FROM all_text $q$, 'all_types', mode => 'overwrite', key => ARRAY['day', 'id'], scope => ARRAY['day'], out_of_scope => 'ignore')
$f$;
SELECT declare();
SELECT unit, status, inserted FROM idem_import_run('settings') ORDER BY unit;
SELECT DISTINCT said FROM all_types ORDER BY said;
SELECT DISTINCT day, at, local, zoned, span, ratio, bytes, list FROM all_types ORDER BY day;
SELECT held('all_types') AS before, (SELECT settings FROM idem_import_definition WHERE name = 'settings') AS pins \gset
-- each setting that says how values are read or written, and all that names are looked up by
SET TimeZone = 'Asia/Kolkata';
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = -10;
SET bytea_output = 'escape';
SET array_nulls = off;
SET transform_null_equals = on;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET backslash_quote = on;
SET timezone_abbreviations = 'Australia';
SET default_text_search_config = 'pg_catalog.simple';
SET xmloption = document;
SET xmlbinary = hex;
SET lc_time = 'POSIX';
SET lc_numeric = 'POSIX';
SET lc_monetary = 'POSIX';
SET lc_messages = 'C';
SET search_path = decoy, public, slices;
SELECT unit, status FROM idem_import_run('settings') ORDER BY unit;
SELECT unit, status, unchanged FROM idem_import_run('settings', '01/02/2026', force => true);
SELECT unit, status, unchanged FROM idem_import_run('settings', force => true) ORDER BY unit;
TRUNCATE slices.all_types;
SELECT unit, status, inserted FROM idem_import_run('settings') ORDER BY unit;
SELECT slices.held('slices.all_types') = :'before' AS same, count(*) AS decoys FROM decoy.all_types;
-- declared from such a session it is the same, but for what it remembers
SELECT idem_import_drop('settings', purge => true);
SET search_path = slices, public;
SELECT declare();
SELECT s.name, :'pins'::jsonb->>s.name AS before, s.value FROM idem_import_definition d, jsonb_each_text(d.settings) s(name, value) WHERE d.name = 'settings' AND s.value <> :'pins'::jsonb->>s.name ORDER BY 1;
SELECT idem_import_alter('settings', settings => '{"default_text_search_config": "pg_catalog.english"}');
TRUNCATE all_types;
SELECT unit, status, inserted FROM idem_import_run('settings') ORDER BY unit;
SELECT held('all_types') = :'before' AS same;
SELECT idem_import_drop('settings', purge => true);
RESET ALL;

SET client_min_messages = warning;
SELECT (SELECT count(*) FROM idem_import_definition), (SELECT count(*) FROM idem_import_ledger), (SELECT count(*) FROM idem_import_history), (SELECT count(*) FROM idem_import_reject);
DROP SCHEMA decoy, slices CASCADE;
