-- receipts held against source and target

CREATE SCHEMA verify;
SET search_path = verify, public;
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
\set SHOW_CONTEXT never

CREATE TABLE stage (id int, day date, v text, n int);
CREATE TABLE target (id int PRIMARY KEY, day date, v text, n int);

-- one moment that all start from: eight rows of two days
CREATE FUNCTION refill() RETURNS void LANGUAGE sql AS $$
	TRUNCATE stage;
	INSERT INTO stage SELECT i, date '2026-06-08' + (i % 2), 'v' || i, i FROM generate_series(1, 8) i;
$$;

-- what was found; does a plan say that a run would write just as many rows?
CREATE FUNCTION verified(import text, scope text DEFAULT NULL)
RETURNS TABLE (unit text, state text, source_rows bigint, target_rows bigint, differing bigint, keys jsonb, detail text, plan text)
LANGUAGE plpgsql AS $$
DECLARE
	found record;
	planned bigint;
BEGIN
	FOR found IN SELECT * FROM idem_import_verify(verified.import, verified.scope) f ORDER BY f.unit COLLATE "C" LOOP
		SELECT sum(p.inserted + p.updated + p.deleted + p.removed) INTO planned
		FROM idem_import_plan(verified.import) p WHERE p.unit = found.unit;
		RETURN QUERY SELECT found.unit, found.state, found.source_rows, found.target_rows, found.differing, found.keys, found.detail,
			CASE WHEN planned = found.differing THEN 'same' ELSE planned::text END;
	END LOOP;
END $$;

SELECT refill();
SELECT idem_import_create('m', 'stage', 'target', key => '{id}');
SELECT * FROM idem_import_verify('m');

-- merge: never applied, applied, target changed, source changed, both
SELECT status, inserted FROM idem_import_run('m');
SELECT * FROM verified('m');
UPDATE target SET v = 'else' WHERE id = 3;
DELETE FROM target WHERE id = 5;
SELECT * FROM verified('m');
SELECT status, inserted, updated FROM idem_import_run('m');
SELECT * FROM verified('m');
UPDATE stage SET n = n + 100 WHERE id IN (1, 2);
SELECT * FROM verified('m');
UPDATE target SET v = 'else' WHERE id = 3;
SELECT * FROM verified('m');
SELECT status, updated FROM idem_import_run('m');
-- a row of others is none of a merge's; nor is a row that left the source
INSERT INTO target VALUES (100, '2026-06-08', 'theirs', 0);
SELECT * FROM verified('m');
DELETE FROM stage WHERE id = 8;
SELECT * FROM verified('m');
-- the same row twice collapses: the source has changed, and nothing is to be done
SELECT refill();
SELECT count(*) FROM idem_import_run('m');
INSERT INTO stage SELECT * FROM stage WHERE id < 4;
SELECT * FROM verified('m');
-- two different ones of a key are an error of the run, and of its verification
UPDATE stage SET v = 'x' WHERE ctid = (SELECT max(ctid) FROM stage);
SELECT * FROM idem_import_verify('m');
SELECT refill();
TRUNCATE target;
SELECT * FROM verified('m');
-- what a failed run leaves is still what the last good one did
SELECT count(*) FROM idem_import_run('m');
INSERT INTO stage VALUES (1, '2026-06-08', 'other', 1);
SELECT idem_import_run('m');
SELECT refill();
SELECT * FROM verified('m');
-- more than ten keys: the first ten
INSERT INTO stage SELECT i, '2026-06-09', 'v' || i, i FROM generate_series(21, 40) i;
SELECT state, differing, keys, detail FROM idem_import_verify('m');

-- of many rows, only those of keys that may differ are looked at one by one
CREATE TABLE many (id int, v text);
CREATE TABLE many_target (id int PRIMARY KEY, v text);
INSERT INTO many SELECT i, md5(i::text) FROM generate_series(1, 20000) i;
SELECT idem_import_create('many', 'many', 'many_target', key => '{id}', delete_missing => true);
SELECT state, differing, keys FROM verified('many');
SELECT count(*) FROM idem_import_run('many');
UPDATE many SET v = 'a' WHERE id % 4000 = 0;
DELETE FROM many WHERE id % 4000 = 1;
INSERT INTO many_target VALUES (20001, 'theirs');
SELECT * FROM verified('many');
SELECT sum(differing) = (SELECT count(*) FROM many m FULL JOIN many_target t USING (id) WHERE m.v IS DISTINCT FROM t.v) AS counted
FROM verified('many');

-- a unit that was never applied, but whose rows are there
SELECT idem_import_create('by_hand', 'stage', 'target', key => '{id}');
TRUNCATE target;
INSERT INTO target SELECT * FROM stage;
SELECT * FROM verified('by_hand');

-- a receipt of another definition is not believed
SELECT count(*) FROM idem_import_run('by_hand');
SELECT idem_import_alter('by_hand', ignore_columns => '{n}');
SELECT * FROM verified('by_hand');
UPDATE target SET v = 'else' WHERE id = 1;
SELECT * FROM verified('by_hand');

-- ignored and kept columns
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('quiet', 'stage', 'target', key => '{id}', ignore_columns => '{n}', keep_columns => '{day}');
SELECT count(*) FROM idem_import_run('quiet');
UPDATE stage SET n = -n WHERE id = 1;
SELECT * FROM verified('quiet');
UPDATE target SET day = '1999-01-01', n = 0 WHERE id = 2;
SELECT * FROM verified('quiet');
UPDATE target SET v = 'else' WHERE id = 3;
SELECT * FROM verified('quiet');

-- insert_only: what is there stays
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('once', 'stage', 'target', 'insert_only', key => '{id}');
SELECT * FROM verified('once');
SELECT count(*) FROM idem_import_run('once');
SELECT * FROM verified('once');
UPDATE target SET v = 'else' WHERE id = 1;
UPDATE stage SET v = 'else' WHERE id = 2;
SELECT * FROM verified('once');
DELETE FROM target WHERE id = 4;
SELECT * FROM verified('once');
SELECT refill();
SELECT * FROM verified('once');

-- a newer version in the target wins
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('versions', 'stage', 'target', key => '{id}', version_column => 'n');
SELECT count(*) FROM idem_import_run('versions');
UPDATE target SET v = 'newer', n = 1000 WHERE id = 1;
SELECT * FROM verified('versions');
UPDATE target SET v = 'older', n = 0 WHERE id = 2;
SELECT * FROM verified('versions');

-- flagged rows
CREATE TABLE flagged (id int, v text, gone boolean);
CREATE TABLE flag_target (id int PRIMARY KEY, v text);
INSERT INTO flagged VALUES (1, 'a', false), (2, 'b', true), (3, 'c', NULL);
SELECT idem_import_create('flag', 'flagged', 'flag_target', key => '{id}', delete_flag => 'gone');
SELECT * FROM verified('flag');
SELECT count(*) FROM idem_import_run('flag');
SELECT * FROM verified('flag');
INSERT INTO flag_target VALUES (2, 'b');
SELECT * FROM verified('flag');
UPDATE flagged SET gone = true;
SELECT * FROM verified('flag');

-- overwrite, and delete_missing: rows that nothing asks for go
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('over', 'stage', 'target', 'overwrite', key => '{id}');
INSERT INTO target VALUES (100, '2026-06-08', 'old', 0);
SELECT * FROM verified('over');
SELECT count(*) FROM idem_import_run('over');
INSERT INTO target VALUES (101, '2026-06-08', 'theirs', 0), (-1, '2026-06-08', 'theirs', 0);
DELETE FROM target WHERE id = 2;
SELECT * FROM verified('over');
DELETE FROM stage;
SELECT * FROM verified('over');
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('missing', 'stage', 'target', key => '{id}', delete_missing => true);
SELECT count(*) FROM idem_import_run('missing');
DELETE FROM stage WHERE id > 6;
SELECT * FROM verified('missing');
SELECT refill();
SELECT idem_import_create('replaced', 'stage', 'target', 'overwrite', key => '{id}', method => 'replace');
SELECT count(*) FROM idem_import_run('replaced');
UPDATE target SET v = 'else' WHERE id = 7;
INSERT INTO target VALUES (101, '2026-06-08', 'theirs', 0);
SELECT * FROM verified('replaced');

-- rows without a key: those that one side has and the other has not, each as often as it is there
SELECT refill();
CREATE TABLE heap (LIKE stage);
INSERT INTO stage SELECT * FROM stage WHERE id = 1;
SELECT idem_import_create('keyless', 'stage', 'heap', 'overwrite');
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM verified('keyless');
SELECT count(*) FROM idem_import_run('keyless');
SELECT * FROM verified('keyless');
DELETE FROM heap WHERE ctid = (SELECT min(ctid) FROM heap WHERE id = 1);
UPDATE heap SET v = 'else' WHERE id = 3;
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM verified('keyless');
UPDATE stage SET v = 'else' WHERE id = 3;
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM verified('keyless');
INSERT INTO heap SELECT * FROM stage WHERE id = 1 LIMIT 1;
SELECT * FROM verified('keyless');
UPDATE heap SET v = 'no' WHERE id = 4;
SELECT count(*) FROM idem_import_run('keyless');
UPDATE heap SET v = 'no' WHERE id = 4;
SELECT unit, state, differing, keys, detail FROM verified('keyless');

-- scope by value: units of the ledger, and those in the source
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('days', 'stage', 'target', 'overwrite', key => '{id}', scope => '{day}');
SELECT unit, state, source_rows, target_rows, differing, keys, detail, plan FROM verified('days');
SELECT count(*) FROM idem_import_run('days');
SELECT unit, state, source_rows, target_rows, differing, keys, detail, plan FROM verified('days');
INSERT INTO stage VALUES (50, '2026-06-10', 'new', 0);
UPDATE stage SET v = 'else' WHERE id = 2;
UPDATE target SET v = 'else' WHERE id = 5;
SELECT unit, state, source_rows, target_rows, differing, keys, detail, plan FROM verified('days');
-- a unit, also one that the source has not, and a range of them: rows of other units don't stop it
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('days', '2026-06-09');
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('days', '2026-06-12');
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('days', '[2026-06-08,2026-06-12)') ORDER BY unit;
-- a unit that was emptied, and one that left the source
DELETE FROM target WHERE day = '2026-06-09';
DELETE FROM stage WHERE day = '2026-06-08';
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('days') ORDER BY unit;
UPDATE target SET v = 'else' WHERE day = '2026-06-08';
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('days', '2026-06-08');
-- a merge leaves such rows alone
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('merge_days', 'stage', 'target', key => '{id}', scope => '{day}');
SELECT count(*) FROM idem_import_run('merge_days');
DELETE FROM stage WHERE day = '2026-06-08';
SELECT unit, state, source_rows, target_rows, differing, keys, detail, plan FROM verified('merge_days');
-- a row that moves to another unit
SELECT refill();
UPDATE stage SET day = '2026-06-09' WHERE id = 2;
SELECT unit, state, source_rows, target_rows, differing, keys, detail, plan FROM verified('merge_days');
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('days') ORDER BY unit;
-- rows that no unit owns, and rows set aside as outside, count nowhere
SELECT refill();
SELECT count(*) FROM idem_import_run('days');
INSERT INTO stage VALUES (60, NULL, 'nowhere', 0);
SELECT unit, state, source_rows, differing, detail FROM idem_import_verify('days') ORDER BY unit;
SELECT idem_import_alter('days', out_of_scope => 'reject', reject_limit => 0);
SELECT idem_import_alter('days', reject_limit => 100);
SELECT unit, attempted, rejected FROM idem_import_run('days', '2026-06-08');
SELECT unit, attempted, rejected FROM idem_import_run('days') ORDER BY unit;
SELECT unit, state, source_rows, differing, detail FROM idem_import_verify('days') ORDER BY unit;
SELECT unit, state, source_rows, differing, detail FROM idem_import_verify('days', '2026-06-08');
SELECT unit, state, source_rows, differing, detail FROM idem_import_verify('days', '2026-06-09');
UPDATE target SET v = 'else' WHERE id = 2;
SELECT unit, state, source_rows, differing, detail FROM idem_import_verify('days', '2026-06-08');
SELECT unit, attempted, rejected, updated FROM idem_import_run('days', '2026-06-08');
UPDATE target SET v = 'else' WHERE id = 2;
SELECT unit, state, source_rows, differing, detail FROM idem_import_verify('days', '2026-06-08');
-- units of an older definition, which the import has no more
SELECT refill();
SELECT idem_import_alter('days', scope => '{day}', slice => '1 month');
SELECT unit, state, source_rows, differing, detail FROM idem_import_verify('days') ORDER BY unit;
SELECT count(*) FROM idem_import_run('days');
SELECT idem_import_alter('days', slice => '1 day');
SELECT unit, state, source_rows, differing, detail FROM idem_import_verify('days') ORDER BY unit;
SELECT idem_import_alter('days', scope => '{id}', slice => '5');
SELECT unit, state, source_rows, differing, detail FROM idem_import_verify('days') ORDER BY unit;

-- a slice
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('sliced', 'stage', 'target', 'overwrite', key => '{id}', scope => '{id}', slice => '5');
SELECT count(*) FROM idem_import_run('sliced');
SELECT * FROM verified('sliced', '6');
DELETE FROM target WHERE id = 6;
SELECT * FROM verified('sliced', '[5,10)');
SELECT unit, state, keys FROM idem_import_verify('sliced') ORDER BY unit;

-- several scope columns, whose key is not in the scope's order
CREATE TABLE tenants (tenant int, day date, id int, v text);
CREATE TABLE tenant_target (LIKE tenants, PRIMARY KEY (id, tenant, day));
INSERT INTO tenants SELECT i % 2, date '2026-06-08' + i % 3, i, 'v' FROM generate_series(1, 12) i;
SELECT idem_import_create('tenants', 'tenants', 'tenant_target', 'overwrite', key => '{id,tenant,day}', scope => '{tenant,day}');
SELECT count(*) FROM idem_import_run('tenants');
SELECT * FROM verified('tenants', '{"tenant": 1, "day": "2026-06-09"}');
UPDATE tenant_target SET v = 'else' WHERE tenant = 1 AND day = '2026-06-09';
SELECT * FROM verified('tenants', '{"day": "2026-06-09", "tenant": 1}');
SELECT unit, state, differing FROM idem_import_verify('tenants') ORDER BY unit;

-- a source that is read unit by unit: the ledger knows which there are
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('asked', 'SELECT * FROM verify.stage WHERE day = $1', 'target', 'overwrite', key => '{id}', scope => '{day}');
SELECT * FROM idem_import_verify('asked');
SELECT count(*) FROM idem_import_run('asked', '[2026-06-08,2026-06-10)');
UPDATE target SET v = 'else' WHERE id = 5;
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('asked') ORDER BY unit;

-- NULL in a key: matched, or set aside
CREATE TABLE nulls (a int, b text, v text);
CREATE TABLE null_target (a int, b text, v text, UNIQUE NULLS NOT DISTINCT (a, b));
INSERT INTO nulls VALUES (1, 'x', 'v'), (1, NULL, 'v'), (NULL, NULL, 'v');
SELECT idem_import_create('nulls', 'nulls', 'null_target', key => '{a,b}', null_key => 'match', delete_missing => true);
SELECT * FROM verified('nulls');
SELECT count(*) FROM idem_import_run('nulls');
SELECT * FROM verified('nulls');
UPDATE null_target SET v = 'else' WHERE a IS NULL;
DELETE FROM null_target WHERE a = 1 AND b IS NULL;
INSERT INTO null_target VALUES (2, NULL, 'theirs');
SELECT * FROM verified('nulls');
SELECT idem_import_create('no_nulls', 'nulls', 'null_target', key => '{a,b}', reject_limit => NULL);
SELECT * FROM verified('no_nulls');
SELECT count(*) FROM idem_import_run('no_nulls');
SELECT * FROM verified('no_nulls');
-- too many of them stop a run, not a verification
SELECT idem_import_alter('no_nulls', reject_limit => 0);
SELECT * FROM verified('no_nulls');

-- keys whose equality is not their image, and whose names are no names
CREATE TABLE "Odd 'keys'" ("it's" text COLLATE "C", "a ""b""" numeric, v text);
CREATE TABLE odd_target (LIKE "Odd 'keys'", PRIMARY KEY ("a ""b""", "it's"));
INSERT INTO "Odd 'keys'" VALUES ('b', 1.0, 'x'), ('B', 1.00, 'x'), ('a', 0.5, 'x');
SELECT idem_import_create('odd', '"Odd ''keys''"', 'odd_target', key => ARRAY['a "b"', 'it''s']);
SELECT * FROM verified('odd');
SELECT count(*) FROM idem_import_run('odd');
UPDATE odd_target SET "a ""b""" = 1.0;
SELECT * FROM verified('odd');

-- plain SQL as the engine gives the same
SELECT refill();
CREATE TABLE parts (id int, day date, v text, n int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parts_8 PARTITION OF parts FOR VALUES FROM ('2026-06-08') TO ('2026-06-09');
CREATE TABLE parts_9 PARTITION OF parts FOR VALUES FROM ('2026-06-09') TO ('2026-06-10');
SELECT idem_import_create('parts', 'stage', 'parts', 'overwrite', key => '{id,day}', scope => '{day}');
SET idem_import.engine = 'portable';
SELECT count(*) FROM idem_import_run('parts');
DELETE FROM parts WHERE id = 1;
UPDATE parts SET v = 'else' WHERE id = 3;
INSERT INTO parts SELECT i, '2026-06-09', 'theirs', 0 FROM generate_series(-15, -1) i;
INSERT INTO stage VALUES (51, '2026-06-08', 'new', 0);
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('parts') ORDER BY unit;
SET idem_import.engine = 'auto';
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('parts') ORDER BY unit;

-- a target whose trigger changes what is written: the receipt knows what came of it
CREATE TABLE shouting (id int PRIMARY KEY, v text);
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON shouting FOR EACH ROW EXECUTE FUNCTION shout();
SELECT idem_import_create('shouting', 'SELECT id, v FROM verify.stage', 'shouting', key => '{id}');
SELECT count(*) FROM idem_import_run('shouting');
SELECT unit, state, source_rows, target_rows, differing, detail FROM idem_import_verify('shouting');

-- few rows for a large target, whose receipt does not sum it
CREATE TABLE large (id int PRIMARY KEY, v text);
INSERT INTO large SELECT i, 'v' FROM generate_series(1, 1010000) i;
ANALYZE large;
CREATE TABLE few (id int, v text);
INSERT INTO few SELECT i, 'w' FROM generate_series(1, 5) i;
ANALYZE few;
SELECT idem_import_create('few', 'few', 'large', key => '{id}');
SELECT updated, note FROM idem_import_run('few');
SELECT target_rows IS NULL AS not_summed FROM idem_import_ledger WHERE import = 'few';
SELECT * FROM verified('few');
UPDATE large SET v = 'else' WHERE id = 2;
SELECT * FROM verified('few');
UPDATE few SET v = 'x' WHERE id = 1;
SELECT * FROM verified('few');
UPDATE few SET v = 'w' WHERE id = 1;
SELECT idem_import_alter('few', delete_limit => 0.1);
SELECT state, detail FROM idem_import_verify('few');
DROP TABLE large CASCADE;

-- a checkpoint: all of the source is read, not only what the next run would
SELECT refill();
TRUNCATE target;
SELECT idem_import_create('tracked', 'stage', 'target', key => '{id}', cursor_column => 'n');
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('tracked');
SELECT inserted FROM idem_import_run('tracked');
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('tracked');
INSERT INTO stage VALUES (90, '2026-06-09', 'new', 90);
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('tracked');
SELECT inserted FROM idem_import_run('tracked');
SELECT unit, state, source_rows, target_rows, differing, keys FROM idem_import_verify('tracked');
INSERT INTO stage VALUES (91, '2026-06-09', 'late', 1);
SELECT sum(inserted) AS seen_by_a_run FROM idem_import_run('tracked');
SELECT unit, state, source_rows, target_rows, differing, keys, detail FROM idem_import_verify('tracked');

-- nothing is written, and nothing could be
BEGIN TRANSACTION READ ONLY;
SELECT count(*) > 20 AS units, count(*) FILTER (WHERE state = 'drifted') > 0 AS drifted FROM idem_import_verify();
SELECT * FROM idem_import_verify('nulls');
SELECT state, differing FROM idem_import_verify('keyless');
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
COMMIT;
BEGIN;
SELECT count(*) > 20 AS units FROM idem_import_verify();
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
SELECT mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'verify'::regnamespace AND mode <> 'AccessShareLock';
COMMIT;
SELECT (SELECT count(*) FROM idem_import_history) AS runs, (SELECT sum(attempts) FROM idem_import_ledger) AS attempts,
	(SELECT count(*) FROM idem_import_reject) AS rejects \gset before_
SELECT count(*) > 20 AS units FROM idem_import_verify();
SELECT (SELECT count(*) FROM idem_import_history) = :before_runs AS same_runs,
	(SELECT sum(attempts) FROM idem_import_ledger) = :before_attempts AS same_attempts,
	(SELECT count(*) FROM idem_import_reject) = :before_rejects AS same_rejects;

-- wrong arguments
\set VERBOSITY sqlstate
SELECT * FROM idem_import_verify('nothing');
SELECT * FROM idem_import_verify('');
SELECT * FROM idem_import_verify('m', 'x');
SELECT * FROM idem_import_verify('days', 'no date');
SELECT * FROM idem_import_verify('days', '*');
SELECT * FROM idem_import_verify('tenants', '{"tenant": 1}');
SELECT * FROM idem_import_verify(NULL, '2026-06-09');
\set VERBOSITY default
SELECT * FROM idem_import_verify(NULL, '2026-06-09');

-- a broken import raises, but does not hide others; those of others are not there
SELECT idem_import_drop(name, true) FROM idem_import_definition;
CREATE ROLE regress_verify_one;
CREATE ROLE regress_verify_two;
CREATE ROLE regress_verify_member IN ROLE regress_verify_two;
GRANT USAGE, CREATE ON SCHEMA verify TO regress_verify_one, regress_verify_two;
GRANT SELECT ON stage TO regress_verify_one, regress_verify_two;
SELECT refill();
SET ROLE regress_verify_one;
CREATE TABLE one (LIKE stage, PRIMARY KEY (id));
SELECT idem_import_create('one', 'stage', 'one', key => '{id}');
SELECT count(*) FROM idem_import_run('one');
SET ROLE regress_verify_two;
CREATE TABLE two (LIKE stage, PRIMARY KEY (id));
CREATE TABLE two_stage (LIKE stage);
CREATE TABLE gone (LIKE stage);
SELECT idem_import_create('a_broken', 'gone', 'two', key => '{id}');
SELECT idem_import_create('changed', 'two_stage', 'two', key => '{id}');
SELECT idem_import_create('two', 'stage', 'two', key => '{id}');
SELECT count(*) FROM idem_import_run('two');
DROP TABLE gone;
ALTER TABLE two_stage DROP COLUMN v;
SELECT * FROM idem_import_verify('one');
SELECT * FROM idem_import_verify('changed');
\set VERBOSITY sqlstate
SELECT * FROM idem_import_verify('one');
SELECT * FROM idem_import_verify('changed');
SELECT * FROM idem_import_verify('a_broken');
\set VERBOSITY default
SELECT import, unit, state, source_rows, target_rows, differing, keys, regexp_replace(detail, '\d+', 'N') AS detail FROM idem_import_verify();
SET ROLE regress_verify_one;
SELECT * FROM idem_import_verify();
-- as the owner: a member's own rights are not asked for, and not lent
SET ROLE regress_verify_member;
SELECT import, unit, state, differing FROM idem_import_verify() WHERE import = 'two';
RESET ROLE;
SELECT import, state FROM idem_import_verify();
-- a cancelled call is no broken import
CREATE VIEW slow AS SELECT s.* FROM stage s, LATERAL (SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE a + b > s.id) c;
SELECT idem_import_create('slow', 'slow', 'target', key => '{id}', columns => '{id,v}');
SET statement_timeout = '500ms';
\set VERBOSITY sqlstate
SELECT * FROM idem_import_verify();
\set VERBOSITY default
RESET statement_timeout;

SELECT idem_import_drop(name, true) FROM idem_import_definition;
SET client_min_messages = warning;
DROP SCHEMA verify CASCADE;
DROP ROLE regress_verify_member, regress_verify_one, regress_verify_two;
