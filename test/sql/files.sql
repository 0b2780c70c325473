-- Files and named inputs: what is known is not applied again, as long as it is in place

CREATE SCHEMA files;
SET search_path = files, public;

\getenv dir PG_ABS_BUILDDIR
\set a :dir /results/files_a.csv
\set b :dir /results/files_b.csv
\set c :dir /results/files_c.csv

\pset null '~'
\set SHOW_CONTEXT never

CREATE TABLE stage (id int, name text, day date);
CREATE TABLE dst (id int PRIMARY KEY, name text, day date);
SELECT idem_import_create('f', 'stage', 'dst', key => '{id}');

CREATE FUNCTION manifest(import text) RETURNS TABLE (input text, hash text, scope text, status text, size bigint, rows bigint, units text[], attempts bigint, sqlstate text, message text)
LANGUAGE sql AS $$
	SELECT regexp_replace(input, '^/.*/', ''), left(encode(sha256, 'hex'), 6), scope, status, size, rows, units, attempts, sqlstate, message
	FROM idem_import_manifest WHERE import = $1 ORDER BY regexp_replace(input, '^/.*/', '') COLLATE "C", first_seen_at
$$;
CREATE FUNCTION run_file(import text, path text, options jsonb DEFAULT '{}', force boolean DEFAULT false)
RETURNS TABLE (unit text, status text, attempted bigint, inserted bigint, updated bigint, unchanged bigint, removed bigint, note text)
LANGUAGE sql AS $$
	SELECT unit, status, attempted, inserted, updated, unchanged, removed, regexp_replace(note, 'run \d+ applied it as "(/.*/)?', 'a run applied it as "')
	FROM idem_import_run_file($1, $2, $3, $4)
$$;

-- a failure is recorded by a background worker: wait for it, as a person would
CREATE FUNCTION recorded(import text, input text, sqlstate text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..600 LOOP
		IF EXISTS (SELECT FROM idem_import_manifest m WHERE m.import = $1 AND m.input LIKE '%' || $2 AND m.sqlstate = $3) THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.05);
	END LOOP;
	RETURN false;
END $$;

COPY (VALUES (1, 'Ada', '2026-01-01'), (2, 'Ben', '2026-01-02'), (3, 'Cleo, "C"', NULL)) TO :'a' WITH (FORMAT csv);
COPY (VALUES (1, 'Ada', '2026-01-01'), (2, 'Benjamin', '2026-01-02'), (4, 'Dan', '2026-01-04')) TO :'b' WITH (FORMAT csv);

--
-- The same file again, a copy of it, another file, and the first one once more
--

SELECT * FROM run_file('f', :'a', '{"format": "csv"}');
SELECT count(*), idem_import_checksum(idem_import_hash(d)) = (SELECT checksum FROM idem_import_history WHERE import = 'f') AS same FROM dst d;
SELECT * FROM run_file('f', :'a', '{"format": "csv"}');
COPY (SELECT * FROM dst ORDER BY id) TO :'c' WITH (FORMAT csv);
SELECT * FROM run_file('f', :'c', '{"format": "csv"}');
SELECT * FROM run_file('f', :'b', '{"format": "csv"}');
SELECT * FROM run_file('f', :'a', '{"format": "csv"}');
SELECT * FROM dst ORDER BY id;
SELECT * FROM manifest('f');
-- the hash is that of the file
SELECT sha256 = sha256(pg_read_binary_file(:'a')) AS sha256, size = length(pg_read_binary_file(:'a')) AS size
FROM idem_import_manifest WHERE import = 'f' AND input = :'a';
-- the receipt's checksum is given again, and the skip is a row of history
SELECT status, checksum = (SELECT target_checksum FROM idem_import_ledger WHERE import = 'f') AS same FROM idem_import_history WHERE import = 'f' ORDER BY run_id;

-- the same bytes, read otherwise, are other rows
CREATE TABLE words (a text PRIMARY KEY, b text);
CREATE VIEW no_words AS SELECT * FROM words WHERE false;
SELECT idem_import_create('words', 'no_words', 'words', key => '{a}');
COPY (VALUES ('1;x', '2;y')) TO :'c' WITH (DELIMITER ',');
SELECT * FROM run_file('words', :'c', '{"delimiter": ","}');
SELECT * FROM run_file('words', :'c', '{"delimiter": ",", "columns": ["b", "a"]}');
SELECT * FROM run_file('words', :'c', '{"columns": ["b", "a"], "delimiter": ","}');
SELECT * FROM words ORDER BY a;
-- who only tells a hash does not tell how its bytes are read
SELECT status, left(note, 18) AS note FROM idem_import_run('words', input => 'x', input_hash => sha256(pg_read_binary_file(:'c')));
DROP TABLE words CASCADE;
SELECT idem_import_drop('words', purge => true);

-- by force
SELECT * FROM run_file('f', :'a', '{"format": "csv"}', true);
SELECT * FROM dst ORDER BY id;

-- the same name with other rows
COPY (VALUES (1, 'Ada', '2026-01-01'), (5, 'Eve', '2026-01-05')) TO :'c' WITH (FORMAT csv);
SELECT * FROM run_file('f', :'c', '{"format": "csv"}');
SELECT input, hash, status, rows, attempts FROM manifest('f');

--
-- Not in place any more
--

-- rows removed by hand, right after
DELETE FROM dst WHERE id = 5;
SELECT * FROM run_file('f', :'c', '{"format": "csv"}');
-- changed by hand
UPDATE dst SET name = 'Eva' WHERE id = 5;
SELECT * FROM run_file('f', :'c', '{"format": "csv"}');
-- removed by hand, and then another input came, whose receipt does not tell
DELETE FROM dst WHERE id = 5;
COPY (VALUES (6, 'Fay', '2026-01-06')) TO :'b' WITH (FORMAT csv);
SELECT status, inserted FROM run_file('f', :'b', '{"format": "csv"}');
SELECT status, inserted FROM run_file('f', :'c', '{"format": "csv"}');
SELECT status, inserted FROM run_file('f', :'c', '{"format": "csv"}');
-- what has nothing to do with the input's rows does not matter to it, but its unit is not as it was
INSERT INTO dst VALUES (100, 'by hand', NULL);
SELECT status, attempted, unchanged, note FROM run_file('f', :'c', '{"format": "csv"}');
-- the import was altered: its rows are looked up
SELECT idem_import_alter('f', reject_limit => 5);
SELECT status, attempted, unchanged, note FROM run_file('f', :'c', '{"format": "csv"}');
UPDATE dst SET name = 'Eva' WHERE id = 5;
SELECT status, updated FROM run_file('f', :'c', '{"format": "csv"}');

-- an input whose rows a later one has replaced does not come back
CREATE TABLE o_dst (id int, name text, day date);
SELECT idem_import_create('o', 'stage', 'o_dst', mode => 'overwrite', scope => '{day}', delete_limit => NULL);
COPY (SELECT g, 'first', date '2026-01-01' + g % 2 FROM generate_series(1, 6) g) TO :'a' WITH (FORMAT csv);
COPY (SELECT g, 'second', date '2026-01-01' FROM generate_series(1, 2) g) TO :'b' WITH (FORMAT csv);
SELECT unit, status, inserted, removed FROM run_file('o', :'a', '{"format": "csv"}');
SELECT unit, status, inserted, removed FROM run_file('o', :'b', '{"format": "csv"}');
SELECT unit, status, note FROM run_file('o', :'a', '{"format": "csv"}');
SELECT name, day, count(*) FROM o_dst GROUP BY 1, 2 ORDER BY 2;
SELECT input, status, rows, units FROM manifest('o');
-- but does if rows are missing that none has removed
DELETE FROM o_dst WHERE day = '2026-01-02';
SELECT unit, status, inserted, removed FROM run_file('o', :'a', '{"format": "csv"}');

--
-- Formats and options
--

CREATE TABLE types (id int, name varchar(10), amount numeric(10,2), tags text[], made timestamptz, twice int GENERATED ALWAYS AS (id * 2) STORED, extra text DEFAULT 'none');
CREATE TABLE types_dst (LIKE types);
ALTER TABLE types_dst DROP twice, ADD PRIMARY KEY (id);
SELECT idem_import_create('t', 'types', 'types_dst', key => '{id}');
SELECT idem_import_create('t2', 'SELECT id::int, name, amount::numeric(10,2) FROM (SELECT id::text, name::text, amount::text FROM types) t WHERE id > ''0''', 'types_dst', key => '{id}');

COPY (SELECT 1, 'one'::text, 1.5, '{a,b}'::text[], timestamptz '2026-01-01 00:00+00', 'x'::text) TO :'a' WITH (FORMAT binary);
SELECT status, inserted FROM run_file('t', :'a', '{"format": "binary"}');
-- the import's settings, not the caller's: 02/03 is in February
SET DateStyle = 'ISO, DMY';
SET TimeZone = 'Asia/Tokyo';
SET client_encoding = 'LATIN1';
COPY (VALUES ('2', 'tw' || chr(246), '2.25', '{}', '02/03/2026', '-')) TO :'a' WITH (FORMAT text, ENCODING 'UTF8', DELIMITER '|', NULL '-');
SELECT status, inserted FROM run_file('t', :'a', '{"FORMAT": "text", "delimiter": "|", "null": "-"}');
RESET DateStyle;
RESET TimeZone;
RESET client_encoding;
-- encodings
COPY (VALUES ('3', 'dr' || chr(228), '', '"', '', '')) TO :'a' WITH (FORMAT csv, ENCODING 'LATIN1', QUOTE '$', FORCE_QUOTE *);
SELECT status, inserted FROM run_file('t', :'a', '{"format": "csv", "quote": "$"}');
SELECT status, inserted FROM run_file('t', :'a', '{"format": "csv", "quote": "$", "encoding": "latin1", "columns": ["id", "name", "amount", "extra", "tags", "made"], "force_null": ["amount", "tags", "made"]}');
SELECT status, inserted FROM run_file('t2', :'a', '{"format": "csv", "quote": "$", "columns": ["id"]}');
SELECT * FROM types_dst ORDER BY id;
-- lines with bytes that are none of the encoding are set aside, the others are read
CREATE TABLE words (id int PRIMARY KEY, word text);
CREATE TABLE words_src (LIKE words);
SELECT idem_import_create('words', 'words_src', 'words', key => '{id}', reject_limit => 10);
\setenv WORDS :a
\! printf 'id,word\n1,one\n2,tw\366\n3,"thr\n\344\342\202"\n\377,4\n5,f\303\274nf\n6,\342\202' > "$WORDS"
SELECT status, attempted, inserted, rejected FROM idem_import_run_file('words', :'a', '{"format": "csv", "header": true}');
SELECT position, sqlstate, message, column_name, row FROM idem_import_reject WHERE import = 'words' ORDER BY position;
\! printf 'id\tword\n7\tz\201\n8\t\200\n9\t\0\n' > "$WORDS"
SELECT status, attempted, inserted, rejected FROM idem_import_run_file('words', :'a', '{"header": true, "encoding": "WIN1252"}');
SELECT position, sqlstate, message, row FROM idem_import_reject WHERE import = 'words' AND sqlstate = '22021' AND message ~ 'WIN1252' ORDER BY position;
\! printf '10\t\203\134x\n11\t\201\n12\t\374\374\n' > "$WORDS"
SELECT status, attempted, inserted, rejected FROM idem_import_run_file('words', :'a', '{"encoding": "SJIS"}');
\! printf '13,b\344\n' > "$WORDS"
SELECT status, attempted, inserted, rejected FROM idem_import_run_file('words', :'a', '{"format": "csv", "encoding": "sql_ascii"}');
SELECT position, message, row FROM idem_import_reject WHERE import = 'words' AND (message ~ 'SJIS' OR row #>> '{}' ~ '13') ORDER BY reject_id, position;
-- a character at the border of what is read at once
COPY (SELECT g, repeat('€', 40) FROM generate_series(101, 3000) g) TO :'a' WITH (FORMAT csv, ENCODING 'UTF8');
SELECT status, attempted, inserted, rejected FROM idem_import_run_file('words', :'a', '{"format": "csv"}');
COPY (SELECT g, repeat('ü', 40) FROM generate_series(101, 3000) g) TO :'a' WITH (FORMAT csv, ENCODING 'LATIN1');
SELECT status, attempted, updated, rejected FROM idem_import_run_file('words', :'a', '{"format": "csv", "encoding": "LATIN1"}');
SELECT count(*), count(DISTINCT word), min(length(word)), max(length(word)) FROM words WHERE id > 100;
SELECT * FROM words WHERE id < 100 ORDER BY id;
-- with none allowed, the run fails
SELECT idem_import_alter('words', reject_limit => 0);
\! printf '13,b\344\n' > "$WORDS"
SELECT status FROM run_file('words', :'a', '{"format": "csv"}');
-- a query's own columns
COPY (VALUES ('name', 'id', 'amount'), ('four', '4', '4.444')) TO :'a' WITH (FORMAT csv);
SELECT status, inserted FROM run_file('t2', :'a', '{"format": "csv", "header": "match"}');
SELECT status, inserted FROM run_file('t2', :'a', '{"format": "csv", "header": "match", "columns": ["name", "id", "amount"]}');
SELECT id, name, amount FROM types_dst WHERE id = 4;
-- one column of the import is not there
SELECT * FROM run_file('t2', :'a', '{"format": "csv", "columns": ["name", "id"], "header": "match"}');
COPY (VALUES ('4', 'four')) TO :'a' WITH (FORMAT csv);
SELECT * FROM run_file('t2', :'a', '{"format": "csv", "columns": ["id", "name"]}');
-- no options of COPY's
SELECT * FROM run_file('t', :'a', '{"format": "parquet"}');
SELECT * FROM run_file('t', :'a', '{"program": "true"}');
SELECT * FROM run_file('t', :'a', '{"where": "true"}');
SELECT * FROM run_file('t', :'a', '{"freeze": true}');
SELECT * FROM run_file('t', :'a', '{"on_error": "ignore"}');
SELECT * FROM run_file('t', :'a', '{"delimiter": "||"}');
SELECT * FROM run_file('t', :'a', '{"delimiter": null}');
SELECT * FROM run_file('t', :'a', '{"delimiter": {}}');
SELECT * FROM run_file('t', :'a', '{"force_null": []}');
SELECT * FROM run_file('t', :'a', '{"format": "csv", "force_null": ["nope"]}');
SELECT * FROM run_file('t', :'a', '{"format": "csv", "Format": "csv"}');
SELECT * FROM run_file('t', :'a', '{"columns": "id"}');
SELECT * FROM run_file('t', :'a', '{"columns": ["id", "id"]}');
SELECT * FROM run_file('t', :'a', '{"columns": ["id", "twice"]}');
SELECT * FROM run_file('t', :'a', '[]');
SELECT * FROM run_file('t', :'a', NULL);
SELECT * FROM run_file('t', NULL);
SELECT * FROM run_file('t', '');
SELECT * FROM run_file('t', repeat('x', 1025));
SELECT * FROM run_file('none', :'a');
BEGIN READ ONLY;
SELECT * FROM run_file('t', :'a');
ROLLBACK;

-- the clock
COPY (VALUES ('1', 'x', 'Today')) TO :'a' WITH (FORMAT csv);
SELECT * FROM run_file('f', :'a', '{"format": "csv"}');
COPY (VALUES ('1', 'today', '2026-01-01')) TO :'a' WITH (FORMAT csv);
SELECT status, updated FROM run_file('f', :'a', '{"format": "csv"}');

-- also inside of an array or a range, and of a text that becomes one
CREATE TABLE spans (id int PRIMARY KEY, days date[], span daterange);
CREATE VIEW no_spans AS SELECT * FROM spans WHERE false;
SELECT idem_import_create('spans', 'no_spans', 'spans', key => '{id}');
COPY (VALUES ('1', '{today}', '[2026-01-01,2026-01-02)')) TO :'a';
SELECT * FROM run_file('spans', :'a');
COPY (VALUES ('1', '{2026-01-01}', '[2026-01-01,Tomorrow)')) TO :'a';
SELECT * FROM run_file('spans', :'a');
COPY (VALUES ('1', '{2026-01-01}', '[2026-01-01,infinity)')) TO :'a';
SELECT status, inserted FROM run_file('spans', :'a');
CREATE TABLE span_texts (id int, days text, span text);
INSERT INTO span_texts VALUES (1, '{2026-01-01,now}', 'empty');
SELECT idem_import_create('span_texts', 'span_texts', 'spans', key => '{id}');
SELECT status, updated FROM idem_import_run('span_texts');
DROP TABLE spans CASCADE;
SELECT idem_import_drop('spans', purge => true), idem_import_drop('span_texts', purge => true);

-- an empty file, for a table, and for units of which none is there
COPY (SELECT WHERE false) TO :'a' WITH (FORMAT csv);
SELECT * FROM run_file('f', :'a', '{"format": "csv"}');
SELECT * FROM run_file('f', :'a', '{"format": "csv", "header": true}');
SELECT * FROM run_file('o', :'a', '{"format": "csv"}');
SELECT * FROM run_file('o', :'a', '{"format": "csv"}');

-- a failure leaves the rows, and a line in the manifest; once the file can be read, that is gone
COPY (SELECT '7,"Gus,2026-01-07') TO :'b' WITH (FORMAT csv, QUOTE E'\x01', DELIMITER '|');
SELECT * FROM run_file('f', :'b', '{"format": "csv"}');
SELECT recorded('f', 'files_b.csv', '22P04');
SELECT * FROM manifest('f') WHERE status = 'failed' AND sqlstate = '22P04';
COPY (VALUES ('1', 'Ada', '2026-01-01'), ('2', 'Benjamin', '2026-01-02')) TO :'b' WITH (FORMAT csv);
SELECT status FROM run_file('f', :'b', '{"format": "csv"}');
SELECT count(*) FROM manifest('f') WHERE input = 'files_b.csv' AND status = 'failed';
-- one of which all is known but its rows stays: what is mended is another input
SELECT idem_import_alter('f', reject_limit => 0);
COPY (VALUES ('7', 'Gus', '2026-01-07'), ('8', 'Hal', 'never')) TO :'b' WITH (FORMAT csv);
SELECT * FROM run_file('f', :'b', '{"format": "csv"}');
SELECT count(*) FROM dst WHERE id IN (7, 8);
SELECT recorded('f', 'files_b.csv', 'II004');
SELECT * FROM manifest('f') WHERE status = 'failed' AND sqlstate = 'II004';
COPY (VALUES ('7', 'Gus', '2026-01-07'), ('8', 'Hal', '2026-01-08')) TO :'b' WITH (FORMAT csv);
SELECT status, inserted FROM run_file('f', :'b', '{"format": "csv"}');
SELECT count(*) FROM manifest('f') WHERE input = 'files_b.csv' AND status = 'failed';

-- everything or nothing, with the caller's transaction
BEGIN;
COPY (VALUES ('9', 'Ida', '2026-01-09')) TO :'b' WITH (FORMAT csv);
SELECT status, inserted FROM run_file('f', :'b', '{"format": "csv"}');
ROLLBACK;
SELECT status, inserted FROM run_file('f', :'b', '{"format": "csv"}');

-- approval
SELECT idem_import_create('gone', 'stage', 'dst', key => '{id}', delete_missing => true, delete_limit => 0);
INSERT INTO dst SELECT g FROM generate_series(1000, 1020) g;
SELECT * FROM run_file('gone', :'b', '{"format": "csv"}');
SELECT recorded('gone', 'files_b.csv', 'II001');
SELECT input, hash IS NOT NULL AS hashed, status, sqlstate FROM manifest('gone');
SELECT idem_import_approve('gone');
SELECT status, removed > 0 AS removed FROM run_file('gone', :'b', '{"format": "csv"}');
SELECT input, status, sqlstate FROM manifest('gone');

--
-- Inputs that the caller names
--

CREATE TABLE page_dst (id int PRIMARY KEY, name text, day date);
SELECT idem_import_create('p', 'stage', 'page_dst', key => '{id}');
INSERT INTO stage VALUES (1, 'one', '2026-01-01'), (2, 'two', '2026-01-02');
CREATE FUNCTION run_input(scope text, input text, hash bytea)
RETURNS TABLE (unit text, status text, attempted bigint, inserted bigint, updated bigint, unchanged bigint, note text)
LANGUAGE sql AS $$
	SELECT unit, status, attempted, inserted, updated, unchanged, regexp_replace(note, 'run \d+ applied', 'a run applied')
	FROM idem_import_run('p', scope, input => $2, input_hash => $3)
$$;
SELECT * FROM run_input(NULL, 'page 1', sha256('page 1'));
-- known: the source is not read
UPDATE stage SET name = 'uno' WHERE id = 1;
SELECT * FROM run_input(NULL, 'page 1', sha256('page 1'));
SELECT * FROM run_input(NULL, 'page 1 again', sha256('page 1'));
SELECT * FROM run_input(NULL, 'page 1', sha256('page 1, second edition'));
-- without a hash it only has a name
SELECT * FROM run_input(NULL, 'page 2', NULL);
SELECT * FROM run_input(NULL, 'page 2', NULL);
SELECT * FROM manifest('p');
-- hashes of other kinds
SELECT status FROM run_input(NULL, 'page 3', '\x01');
SELECT status FROM run_input(NULL, 'page 3', '');
SELECT status FROM run_input(NULL, 'page 3', decode(repeat('00', 65), 'hex'));
SELECT status FROM run_input(NULL, NULL, '\x01');
SELECT status FROM run_input(NULL, '', '\x01');
SELECT status FROM run_input(NULL, repeat('x', 1025), '\x01');
-- a failure knows what it was
INSERT INTO stage VALUES (1, 'another', '2026-01-01');
SELECT status FROM run_input(NULL, 'page 4', '\x04');
SELECT recorded('p', 'page 4', 'II003');
DELETE FROM stage WHERE name = 'another';
SELECT * FROM manifest('p') WHERE input = 'page 4';
SELECT status FROM run_input(NULL, 'page 4', '\x04');
SELECT * FROM manifest('p') WHERE input = 'page 4';
-- neither plans nor proofs are inputs
SELECT count(*) FROM idem_import_plan('p');
SELECT idempotent FROM idem_import_prove('p');
SELECT count(*) FROM manifest('p');

-- with a scope, the part that the call names
TRUNCATE page_dst;
SELECT idem_import_alter('p', scope => '{day}', out_of_scope => 'ignore');
SELECT * FROM run_input('2026-01-01', 'page 5', '\x05');
SELECT * FROM run_input('2026-01-02', 'page 5', '\x05');
SELECT * FROM run_input('2026-01-02', 'page 5', '\x05');
SELECT input, scope, units, status, attempts FROM manifest('p') WHERE input = 'page 5';
SELECT idem_import_drop('p');
SELECT count(*) > 0 AS kept FROM manifest('p');
SELECT idem_import_create('p', 'stage', 'page_dst', key => '{id}');
SELECT idem_import_drop('p', purge => true);
SELECT count(*) FROM manifest('p');

--
-- A run inside of a file's run reads its own source
--

CREATE TABLE idem_import_file (id int, name text, day date);
INSERT INTO idem_import_file VALUES (77, 'inner', NULL);
CREATE TABLE inner_dst (id int PRIMARY KEY, name text, day date);
SELECT idem_import_create('inner', 'SELECT * FROM idem_import_file', 'inner_dst', key => '{id}');
CREATE FUNCTION run_inner() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM idem_import_run('inner'); RETURN NULL; END $$;
CREATE TRIGGER run_inner AFTER INSERT ON dst FOR EACH STATEMENT EXECUTE FUNCTION run_inner();
COPY (VALUES ('2000', 'outer', NULL)) TO :'b' WITH (FORMAT csv);
SELECT status, inserted FROM run_file('f', :'b', '{"format": "csv"}');
SELECT * FROM inner_dst;
DROP TRIGGER run_inner ON dst;

--
-- Who may: the file is read with the rights of the caller, the tables with those of the owner
--

CREATE ROLE regress_files_owner;
CREATE ROLE regress_files_member IN ROLE regress_files_owner;
CREATE ROLE regress_files_other;
GRANT USAGE ON SCHEMA files TO PUBLIC;
GRANT CREATE ON SCHEMA files TO regress_files_owner;
SET ROLE regress_files_owner;
CREATE TABLE own_stage (id int, name text);
CREATE TABLE own_dst (id int PRIMARY KEY, name text);
SELECT idem_import_create('own', 'own_stage', 'own_dst', key => '{id}');
RESET ROLE;
COPY (VALUES (1, 'x')) TO :'a' WITH (FORMAT csv);
SET ROLE regress_files_owner;
SELECT status FROM run_file('own', :'a', '{"format": "csv"}');
SET ROLE regress_files_member;
SELECT status FROM run_file('own', :'a', '{"format": "csv"}');
RESET ROLE;
GRANT pg_read_server_files TO regress_files_member, regress_files_other;
SET ROLE regress_files_member;
SELECT status, inserted FROM run_file('own', :'a', '{"format": "csv"}');
SELECT count(*) FROM idem_import_manifest;
INSERT INTO idem_import_manifest SELECT * FROM idem_import_manifest;
SET ROLE regress_files_other;
SELECT status FROM run_file('own', :'a', '{"format": "csv"}');
SELECT count(*) FROM idem_import_manifest;
RESET ROLE;

-- files of the client: \copy into a temporary table
SET ROLE regress_files_owner;
BEGIN;
CREATE TEMP TABLE client (LIKE own_stage) ON COMMIT DROP;
\copy client FROM pstdin WITH (FORMAT csv)
2,owner's
\.
SELECT status, inserted FROM idem_import_run('own', source => 'client', input => 'client.csv', input_hash => sha256('2,owner''s'));
COMMIT;
SET ROLE regress_files_member;
BEGIN;
CREATE TEMP TABLE client (LIKE own_stage) ON COMMIT DROP;
\copy client FROM pstdin WITH (FORMAT csv)
3,member's
\.
SAVEPOINT s;
SELECT status, inserted FROM idem_import_run('own', source => 'pg_temp.client');
ROLLBACK TO s;
GRANT SELECT ON client TO regress_files_owner;
SELECT status, inserted FROM idem_import_run('own', source => 'pg_temp.client', input => 'client.csv', input_hash => sha256('3,member''s'));
COMMIT;
RESET ROLE;
SELECT * FROM own_dst ORDER BY id;
SELECT input, status, rows FROM manifest('own');

SELECT idem_import_drop(name, purge => true) FROM idem_import_definition;
DROP OWNED BY regress_files_owner, regress_files_member, regress_files_other;
DROP ROLE regress_files_owner, regress_files_member, regress_files_other;
