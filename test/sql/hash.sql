-- keys, row hashes and checksums

CREATE SCHEMA hash;
SET search_path = hash, public;

-- every comparison below prints t, and disagree is 0; anything else is a bug

--
-- idem_import_key: the test vectors of the README
--
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN moods AS mood[];
CREATE DOMAIN a_pair AS pair;
CREATE TYPE moodrange AS RANGE (subtype = mood);

SELECT idem_import_key('ab', 'c');
SELECT idem_import_key('a', 'bc');
SELECT idem_import_key('');
SELECT idem_import_key(NULL);
SELECT idem_import_key(1);
SELECT idem_import_key(1::bigint);
SELECT idem_import_key('invoice', 42::bigint, date '2026-06-09');
SELECT idem_import_key(numeric '1.0'), idem_import_key(numeric '1.00');
SELECT idem_import_key(timestamptz '2026-06-09 12:00:00+02', true, uuid '00000000-0000-0000-0000-000000000001');
SELECT idem_import_key(1.5::float8, bytea '\x00ff', char(3) 'a', name 'a', '{"a": 1}'::json, '{"a": 1}'::jsonb);
SELECT idem_import_key('ok'::mood, ARRAY[1, NULL, 3], ROW(1, 'x')::pair, int4range(1, 5), '{[1,3),[5,7)}'::int4multirange);

-- the documented form, spelled out
CREATE FUNCTION spelled_out(VARIADIC form text[]) RETURNS uuid
LANGUAGE sql AS $$
	SELECT encode(set_byte(set_byte(h, 6, get_byte(h, 6) & 15 | 128), 8, get_byte(h, 8) & 63 | 128), 'hex')::uuid
	FROM (SELECT substr(sha256(decode(array_to_string(form, ''), 'hex')), 1, 16)) s(h)
$$;

SELECT idem_import_key('ab', 'c') = spelled_out('00000004', '74657874', '00000002', '6162', '00000004', '74657874', '00000001', '63') AS text,
	   idem_import_key(1) = spelled_out('00000004', '696e7434', '00000004', '00000001') AS int4,
	   idem_import_key(NULL) = spelled_out('00000004', '74657874', 'ffffffff') AS null,
	   idem_import_key('ok'::mood) = spelled_out('00000004', '6d6f6f64', '00000002', '6f6b') AS enum,
	   idem_import_key(ARRAY[7]) = spelled_out('00000005', '6172726179', '00000024', '00000004', '696e7434', '00000001',
			'00000001', '00000001', '00000004', '696e7434', '00000004', '00000007') AS array,
	   idem_import_key(ROW(7, NULL)::pair) = spelled_out('00000006', '7265636f7264', '00000020', '00000002',
			'00000004', '696e7434', '00000004', '00000007', '00000004', '74657874', 'ffffffff') AS record,
	   idem_import_key('[7,)'::int4range) = spelled_out('00000009', '696e743472616e6765', '00000011', '12',
			'00000004', '696e7434', '00000004', '00000007') AS range;

-- the same value, another way
SELECT idem_import_key('a') = idem_import_key('a'::text) AS literal,
	   idem_import_key('a'::varchar(5)) = idem_import_key('a'::text) AS varchar,
	   idem_import_key(NULL) = idem_import_key(NULL::text) AS null_literal,
	   idem_import_key(7::positive) = idem_import_key(7) AS domain,
	   idem_import_key(ROW(1, 'x')::pair) = idem_import_key(ROW(1, 'x'::text)) AS record,
	   idem_import_key(VARIADIC ARRAY['a', 'b']) = idem_import_key('a', 'b') AS variadic,
	   idem_import_key(VARIADIC ARRAY[1, NULL]) = idem_import_key(1, NULL::int) AS variadic_null;

-- version 8, variant 10
SELECT bool_and(idem_import_key(i)::text ~ '^.{8}-.{4}-8.{3}-[89ab].{3}-.{12}$') AS uuid8,
	   count(DISTINCT idem_import_key(i)) AS keys
FROM generate_series(1, 10000) i;

-- other values, other keys
SELECT count(*) AS values, count(DISTINCT key) AS keys
FROM (VALUES (idem_import_key('ab', 'c')), (idem_import_key('a', 'bc')), (idem_import_key('abc')),
			 (idem_import_key('abc', '')), (idem_import_key('', 'abc')), (idem_import_key('abc', NULL)),
			 (idem_import_key(NULL)), (idem_import_key('')), (idem_import_key(NULL, NULL)),
			 (idem_import_key(NULL::int)), (idem_import_key(0)), (idem_import_key('0')),
			 (idem_import_key(ARRAY['a', 'b'])), (idem_import_key(ARRAY['a,b'])), (idem_import_key(ARRAY[['a', 'b']])),
			 (idem_import_key('[0:1]={a,b}'::text[])), (idem_import_key('{}'::text[])), (idem_import_key('{}'::int[])),
			 (idem_import_key(ARRAY[NULL::text])), (idem_import_key(NULL::text[])),
			 (idem_import_key(ROW('a', 'b'))), (idem_import_key('a', 'b')), (idem_import_key(ROW('a', ROW('b')))),
			 (idem_import_key('ok'::mood)), (idem_import_key('ok')), (idem_import_key('sad'::mood)),
			 (idem_import_key('[1,2)'::int4range)), (idem_import_key('[1,)'::int4range)),
			 (idem_import_key('(,1)'::int4range)), (idem_import_key('empty'::int4range)),
			 (idem_import_key('[1,2]'::numrange)), (idem_import_key('[1,2)'::numrange)),
			 (idem_import_key('{}'::int4multirange)), (idem_import_key('{[1,2)}'::int4multirange)),
			 (idem_import_key('[sad,ok]'::moodrange)), (idem_import_key('{[sad,ok]}'::moodmultirange))) v(key);

-- no setting matters
CREATE TABLE settings AS
SELECT timestamptz '2026-06-09 12:00:00+02' AS tz, date '2026-06-09' AS d, interval '1 mon 2 days' AS i,
	   0.1::float8 + 0.2 AS f, bytea '\x01' AS b, chr(233) AS t, jsonb_build_object('k', chr(233)) AS j,
	   to_tsvector('simple', chr(233) || 'x') AS v, ARRAY[chr(233)] AS ta, ROW(1, chr(233))::pair AS p,
	   money '1.50' AS m;
CREATE TABLE settings_key AS
SELECT idem_import_key(tz, d, i, f, b, t, j, v, ta, p, m) AS key, idem_import_hash(s) AS hash FROM settings s;

SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Tokyo';
SET IntervalStyle = 'iso_8601';
SET extra_float_digits = -5;
SET bytea_output = 'escape';
SET client_encoding = 'LATIN1';
SELECT key = idem_import_key(tz, d, i, f, b, t, j, v, ta, p, m) AS key, hash = idem_import_hash(s) AS hash
FROM settings s, settings_key;
SHOW client_encoding;
RESET DateStyle;
RESET TimeZone;
RESET IntervalStyle;
RESET extra_float_digits;
RESET bytea_output;
RESET client_encoding;

--
-- idem_import_hash: framing
--
SELECT count(*) AS values, count(DISTINCT hash) AS hashes
FROM (VALUES (idem_import_hash('ab', 'c')), (idem_import_hash('a', 'bc')), (idem_import_hash('abc')),
			 (idem_import_hash('abc', '')), (idem_import_hash('', 'abc')), (idem_import_hash('abc', NULL)),
			 (idem_import_hash(NULL)), (idem_import_hash('')), (idem_import_hash(NULL, NULL)),
			 (idem_import_hash(NULL, '')), (idem_import_hash('', NULL)), (idem_import_hash('', '')),
			 (idem_import_hash(0)), (idem_import_hash(0::smallint)), (idem_import_hash(0::bigint)),
			 (idem_import_hash(false)), (idem_import_hash(0, 0)), (idem_import_hash(ROW()))) v(hash);

--
-- Equal images, equal hashes; other images, other hashes
--
CREATE FUNCTION compare(type text, VARIADIC samples text[]) RETURNS TABLE (pairs bigint, equal bigint, disagree bigint)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($q$
		SELECT count(*), count(*) FILTER (WHERE x *= y),
			   count(*) FILTER (WHERE (x *= y) <> (idem_import_hash(x) = idem_import_hash(y)))
		FROM (SELECT s::%1$s FROM unnest($1) s) x, (SELECT s::%1$s FROM unnest($1) s) y$q$, type)
	USING samples;
END $$;

SELECT * FROM compare('int', '1', '2', '-1', NULL, '1');
SELECT * FROM compare('numeric', '1.0', '1.00', '1', 'NaN', '-1', '0', '-0', '1e10', NULL);
SELECT * FROM compare('float8', '0', '-0', 'NaN', 'Infinity', '1.5', NULL);
SELECT * FROM compare('float4', '0', '-0', '1.5', '2.5');
SELECT * FROM compare('text', '', 'a', 'A', 'a ', NULL);
SELECT * FROM compare('char(3)', '', 'a', 'a ', 'b');
SELECT * FROM compare('"char"', 'a', 'b', '');
SELECT * FROM compare('name', 'a', 'b', '');
SELECT * FROM compare('json', '{"a":1}', '{"a": 1}', '[]');
SELECT * FROM compare('jsonb', '{"a":1}', '{"a": 1}', '{"a": 1.0}');
SELECT * FROM compare('point', '(1,2)', '(2,1)', '(0,0)', '(-0,0)');
SELECT * FROM compare('uuid', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002');
SELECT * FROM compare('interval', '1 mon', '30 days', '720 hours');
SELECT * FROM compare('timetz', '12:00+00', '13:00+01');
SELECT * FROM compare('inet', '10.0.0.1', '10.0.0.1/8', '::1');
SELECT * FROM compare('mood', 'sad', 'ok', NULL, 'ok');
SELECT * FROM compare('positive', '1', '2', NULL);
SELECT * FROM compare('regtype', 'int', 'text', 'int4');
SELECT * FROM compare('int[]', '{}', '{1,2}', '{2,1}', '{{1,2}}', '{1,NULL}', '{NULL}', '[0:1]={1,2}', NULL);
SELECT * FROM compare('text[]', '{}', '{""}', '{ab,c}', '{a,bc}', '{NULL}', '{"NULL"}');
SELECT * FROM compare('mood[]', '{}', '{ok,sad}', '{sad,ok}', '{{ok,sad}}', '{ok,NULL}', '{NULL}', '[0:1]={ok,sad}', '{ok}');
SELECT * FROM compare('moods', '{}', '{ok,sad}', '{ok}', NULL);
SELECT * FROM compare('moods[]', '{}', '{"{ok,sad}"}', '{"{ok}","{sad}"}', '{NULL}');
SELECT * FROM compare('a_pair', '(1,x)', '(1,)', '(1,"")');
SELECT * FROM compare('a_pair[]', '{}', '{"(1,x)"}', '{"(1,x)","(1,x)"}');
SELECT * FROM compare('pair', '(1,x)', '(1,)', '(,x)', '(,)', '(1,"")', '(2,x)', NULL);
SELECT * FROM compare('pair[]', '{}', '{"(1,x)"}', '{"(1,x)","(1,x)"}', '{NULL}', '{"(,)"}');
SELECT * FROM compare('int4range', 'empty', '[1,2)', '[1,1]', '[1,)', '(,1)', '(,)', '[1,3)');
SELECT * FROM compare('numrange', '[1,2]', '[1,2)', '(1,2]', '[1.0,2]');
SELECT * FROM compare('moodrange', '[sad,ok]', '[sad,ok)', '(,ok)', '(,)', 'empty', '[ok,ok]', '[sad,)');
SELECT * FROM compare('int4multirange', '{}', '{[1,2)}', '{[1,2),[4,5)}', '{[1,5)}', '{(,)}');
SELECT * FROM compare('moodmultirange', '{}', '{[sad,ok]}', '{[sad,sad],[ok,ok]}', '{(,)}', '{[sad,ok)}');
SELECT * FROM compare('moodrange[]', '{}', '{"[sad,ok]"}', '{"[sad,ok)"}', '{NULL}');

SELECT idem_import_hash(ROW(1, 'x')::a_pair) = idem_import_hash(1, 'x') AS domain_over_composite,
	   idem_import_key(ROW(1, 'x')::a_pair) = idem_import_key(ROW(1, 'x')::pair) AS key;

-- no OID in it: enums, composites and ranges made anew hash alike
CREATE SCHEMA other;
CREATE TYPE other.mood AS ENUM ('ok', 'happy', 'sad');
CREATE TYPE other.pair AS (x int, y text);
CREATE TYPE other.moodrange AS RANGE (subtype = other.mood);
SELECT idem_import_hash('ok'::mood) = idem_import_hash('ok'::other.mood) AS enum,
	   idem_import_hash('{ok,sad}'::mood[]) = idem_import_hash('{ok,sad}'::other.mood[]) AS enums,
	   idem_import_hash(1, ROW(1, 'x')::pair) = idem_import_hash(1, ROW(1, 'x')::other.pair) AS composite,
	   idem_import_hash(ARRAY[ROW(1, 'x')::pair]) = idem_import_hash(ARRAY[ROW(1, 'x')::other.pair]) AS composites,
	   idem_import_hash('[sad,)'::moodrange) = idem_import_hash('[sad,)'::other.moodrange) AS range,
	   idem_import_hash('{[sad,)}'::moodmultirange) = idem_import_hash('{[sad,)}'::other.moodmultirange) AS multirange,
	   idem_import_hash(ARRAY[1]) = idem_import_hash(ARRAY[1::positive]) AS domains,
	   idem_import_key('ok'::mood, '{ok,sad}'::mood[], ROW(1, 'x')::pair, '[sad,)'::moodrange) =
	   idem_import_key('ok'::other.mood, '{ok,sad}'::other.mood[], ROW(1, 'x')::other.pair, '[sad,)'::other.moodrange) AS key;

--
-- Toasted or not, the value counts
--
CREATE TABLE toasted (id int, compressed text, external text, short text, a text[], p pair, r moodrange);
ALTER TABLE toasted ALTER compressed SET STORAGE MAIN;
ALTER TABLE toasted ALTER external SET STORAGE EXTERNAL;
INSERT INTO toasted
SELECT 1, repeat('ab', 3000), repeat('0123456789abcdef', 65536), 'x',
	   ARRAY[repeat('cd', 5000), 'y'], ROW(1, repeat('ef', 5000))::pair, '[sad,ok]';
SELECT pg_column_size(compressed) < 1000 AS compressed, pg_column_size(external) AS external,
	   pg_relation_size(reltoastrelid) > 1000000 AS out_of_line
FROM toasted, pg_class WHERE oid = 'toasted'::regclass;
SELECT idem_import_hash(compressed) = idem_import_hash(repeat('ab', 3000)) AS compressed,
	   idem_import_hash(external) = idem_import_hash(repeat('0123456789abcdef', 65536)) AS external,
	   idem_import_hash(short, 1) = idem_import_hash('x', 1) AS short,
	   idem_import_hash(a) = idem_import_hash(ARRAY[repeat('cd', 5000), 'y']) AS array,
	   idem_import_hash(1, p) = idem_import_hash(1, ROW(1, repeat('ef', 5000))::pair) AS composite,
	   idem_import_hash(t) = idem_import_hash(id, compressed, external, short, a, p, r) AS row,
	   idem_import_hash(t) = idem_import_hash(1, repeat('ab', 3000), repeat('0123456789abcdef', 65536), 'x',
											  ARRAY[repeat('cd', 5000), 'y'], ROW(1, repeat('ef', 5000))::pair,
											  '[sad,ok]'::moodrange) AS row_untoasted,
	   idem_import_key(external, a, p) = idem_import_key(repeat('0123456789abcdef', 65536),
			ARRAY[repeat('cd', 5000), 'y'], ROW(1, repeat('ef', 5000))::pair) AS key
FROM toasted t;

-- a column kept compressed inside a record
SELECT idem_import_hash(1, ROW(compressed, external)) =
	   idem_import_hash(1, ROW(repeat('ab', 3000), repeat('0123456789abcdef', 65536))) AS packed
FROM toasted;

-- a row wider than the buffer that is kept
SELECT idem_import_hash(x, x) = idem_import_hash(x, x) AS same, idem_import_hash(x, 'a') <> idem_import_hash(x, 'b') AS other
FROM (SELECT repeat('0123456789abcdef', 65536 * 10) AS x FROM generate_series(1, 3)) s;

--
-- A record is its columns
--
CREATE TABLE t (a int, b text, c numeric, d pair);
INSERT INTO t VALUES (1, 'x', 1.5, ROW(1, 'y')), (2, NULL, NULL, NULL), (NULL, NULL, NULL, NULL), (3, 'z', 0, ROW(NULL, NULL));
SELECT bool_and(idem_import_hash(t) = idem_import_hash(a, b, c, d)) AS table_row,
	   bool_and(idem_import_hash(t) = idem_import_hash(ROW(a, b, c, d))) AS record,
	   bool_and(idem_import_hash(t) = idem_import_hash(s)) AS subquery,
	   count(DISTINCT idem_import_hash(t)) AS hashes
FROM t JOIN (SELECT * FROM t) s USING (a, b, c, d) WHERE a <> 2
UNION ALL
SELECT bool_and(idem_import_hash(t) = idem_import_hash(a, b, c, d)),
	   bool_and(idem_import_hash(t) = idem_import_hash(ROW(a, b, c, d))), NULL,
	   count(DISTINCT idem_import_hash(t))
FROM t;
-- nested, also in records of their own type
SELECT idem_import_hash(ROW(ROW(ROW(1)), ROW(2))) = idem_import_hash(ROW(ROW(1)), ROW(2)) AS nested,
	   idem_import_hash(ROW(ROW(ROW(1)), ROW(2)), 0) <> idem_import_hash(ROW(ROW(ROW(2)), ROW(1)), 0) AS other;
SELECT count(DISTINCT idem_import_hash(r)) AS hashes
FROM (VALUES (ROW(1, 2)), (ROW(1, 3)), (ROW('1', '2')), (ROW(1::bigint, 2)), (ROW(1, 2))) v(r);
-- a row that is not there is one NULL
SELECT idem_import_hash(NULL::pair) = idem_import_hash(NULL) AS missing,
	   idem_import_hash(NULL::pair) <> idem_import_hash(ROW(NULL, NULL)::pair) AS not_all_null;
SELECT idem_import_hash(VARIADIC ARRAY['a', NULL, 'c']) = idem_import_hash('a', NULL, 'c') AS variadic;
SELECT count(DISTINCT idem_import_hash(VARIADIC v)) AS hashes
FROM (VALUES (ARRAY['a']), (ARRAY['a', 'b']), (ARRAY['a', NULL]), (ARRAY[['a'], ['b']])) x(v);

-- neither dropped columns nor where a value is stored matter
CREATE TABLE before AS SELECT a, idem_import_hash(a, b, d) AS hash FROM t;
ALTER TABLE t DROP COLUMN c;
SELECT bool_and(hash = idem_import_hash(t)) AS dropped FROM t JOIN before USING (a);
ALTER TYPE pair ADD ATTRIBUTE z int;
ALTER TYPE pair DROP ATTRIBUTE z;
SELECT bool_and(hash = idem_import_hash(t)) AS dropped_nested FROM t JOIN before USING (a);
ALTER TABLE t ADD COLUMN e text DEFAULT 'missing';
SELECT bool_and(idem_import_hash(t) = idem_import_hash(a, b, d, 'missing')) AS fast_default FROM t;
CREATE TABLE rewritten AS SELECT * FROM t;
SELECT (SELECT idem_import_checksum(idem_import_hash(t)) FROM t) =
	   (SELECT idem_import_checksum(idem_import_hash(r)) FROM rewritten r) AS rewritten;
CREATE TYPE wrapped AS (t t);
SELECT bool_and(idem_import_hash(ROW(t)::wrapped) = idem_import_hash(ROW(r))) AS nested_table_row
FROM t JOIN rewritten r USING (a);

--
-- idem_import_checksum
--
CREATE TABLE many AS SELECT i, 'row ' || i AS v, i * 0.5 AS n FROM generate_series(1, 50000) i;
ANALYZE many;

SELECT idem_import_checksum(NULL::uuid) AS empty, idem_import_checksum(idem_import_hash(m)) AS none FROM many m WHERE i < 0;
SELECT idem_import_checksum(h) = idem_import_checksum(h ORDER BY h) AS sorted,
	   idem_import_checksum(h) = idem_import_checksum(h ORDER BY i DESC) AS backwards,
	   idem_import_checksum(h) <> idem_import_checksum(h) FILTER (WHERE i <> 777) AS one_missing
FROM (SELECT i, idem_import_hash(m) AS h FROM many m) s;
-- duplicates count, where a sum by XOR would lose them
SELECT idem_import_checksum(h) AS thrice, idem_import_checksum(h) FILTER (WHERE i = 1) AS once
FROM (SELECT i, uuid '00000000-0000-0000-8000-000000000001' AS h FROM generate_series(1, 3) i) s;
-- carries, and wraps around
SELECT idem_import_checksum(h) AS carry
FROM (VALUES (uuid '00000000-0000-0000-ffff-ffffffffffff'), ('00000000-0000-0000-0000-000000000001')) v(h);
SELECT idem_import_checksum(h) AS wrap
FROM (VALUES (uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff'), ('00000000-0000-0000-0000-000000000003')) v(h);
-- outside of an aggregate the arguments stay as they are
SELECT idem_import_checksum_add(h, h) AS sum, h FROM (SELECT uuid '00000000-0000-0000-0000-000000000001' AS h OFFSET 0) s;
-- groups and windows have sums of their own
SELECT g, idem_import_checksum(h) FROM (SELECT i % 2 AS g, uuid '00000000-0000-0000-0000-000000000001' AS h FROM generate_series(1, 5) i) s
GROUP BY g ORDER BY g;
SELECT i, idem_import_checksum(uuid '00000000-0000-0000-0000-000000000001') OVER (ORDER BY i) FROM generate_series(1, 3) i;

-- parallel and serial agree
CREATE TABLE sums (how text, checksum uuid);
SET max_parallel_workers_per_gather = 0;
INSERT INTO sums SELECT 'serial', idem_import_checksum(idem_import_hash(m)) FROM many m;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
DO $$
DECLARE
	line text;
	partial boolean := false;
BEGIN
	FOR line IN EXPLAIN SELECT idem_import_checksum(idem_import_hash(m)) FROM many m LOOP
		partial := partial OR line LIKE '%Partial Aggregate%';
	END LOOP;
	RAISE INFO 'partial aggregate: %', partial;
END $$;
CREATE TABLE parallel_sum AS SELECT idem_import_checksum(idem_import_hash(m)) AS checksum FROM many m;
INSERT INTO sums SELECT 'parallel', checksum FROM parallel_sum;
INSERT INTO sums SELECT 'key', idem_import_checksum(idem_import_key(i, v)) FROM many m;
SELECT count(*) AS sums, count(DISTINCT checksum) AS different FROM sums WHERE how <> 'key';
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- fit for generated columns and indexes
CREATE TABLE generated (a text, b int, key uuid PRIMARY KEY GENERATED ALWAYS AS (idem_import_key(a, b)) STORED);
INSERT INTO generated (a, b) VALUES ('a', 1), ('a', 2);
SELECT bool_and(key = idem_import_key(a, b)) AS generated FROM generated;
CREATE INDEX ON generated (idem_import_hash(a, b));

-- the same statement over and over, with changing arguments
DO $$
DECLARE
	r record;
	h uuid;
BEGIN
	FOR i IN 1..3 LOOP
		FOR r IN EXECUTE format('SELECT %s', CASE i WHEN 1 THEN '1 AS a' WHEN 2 THEN '''x''::text AS a, 2 AS b' ELSE '1 AS a' END) LOOP
			h := idem_import_hash(r);
			RAISE INFO '%', CASE i WHEN 2 THEN h = idem_import_hash('x', 2) ELSE h = idem_import_hash(1) END;
		END LOOP;
	END LOOP;
END $$;

--
-- Wrong calls
--
\set VERBOSITY sqlstate
SELECT idem_import_key();
SELECT idem_import_hash();
SELECT idem_import_key(VARIADIC '{}'::text[]);
SELECT idem_import_hash(VARIADIC '{}'::text[]);
SELECT idem_import_key(VARIADIC NULL::text[]);
SELECT idem_import_hash(VARIADIC NULL::text[]);
SELECT idem_import_key(VARIADIC 'a'::text);
SELECT idem_import_key(acldefault('r', 10));
SELECT idem_import_checksum('a'::text);
\set VERBOSITY default

SET client_min_messages = warning;
DROP SCHEMA hash, other CASCADE;
