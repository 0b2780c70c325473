-- idem_import_create, _alter, _drop: what is accepted, what is refused, what is remembered

CREATE SCHEMA declare;
SET search_path = declare, public;
SET client_min_messages = warning;
\pset format unaligned
\pset tuples_only on

-- runs a statement: ok, or its SQLSTATE, message, detail and hint, of a million x only one
CREATE FUNCTION try(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	m text; d text; h text;
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN regexp_replace(regexp_replace(concat_ws(E'\n', SQLSTATE || ' ' || m, '  detail: ' || nullif(d, ''), '  hint: ' || nullif(h, '')),
										 '([x(])\1{40,}', '\1...', 'g'), '(OID) [1-9][0-9]*', '\1 N');
END $$;

-- the same for idem_import_create of "a" with these arguments added; the import is dropped again
CREATE FUNCTION try_create(arguments text, source text DEFAULT 's', target text DEFAULT 't') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	outcome text := try(format('SELECT idem_import_create(%L, %L, %L%s)', 'a', source, target,
							   CASE WHEN arguments <> '' THEN ', ' || arguments END));
BEGIN
	IF outcome = 'ok' THEN
		outcome := (SELECT 'ok: ' || concat_ws(' ', columns::text, 'from', source_columns::text)
					FROM idem_import_definition WHERE name = 'a');
		PERFORM idem_import_drop('a', true);
	END IF;
	RETURN outcome;
END $$;

CREATE TABLE s (id int, val text, updated_at timestamptz, gone boolean, day date);
CREATE TABLE t (id int PRIMARY KEY, val text, updated_at timestamptz, day date);

--
-- each argument NULL, empty, absurd, or a word that is none
--
SELECT q || ' -> ' || try(q) FROM unnest(ARRAY[
	$$SELECT idem_import_create(NULL, 's', 't', key => '{id}')$$,
	$$SELECT idem_import_create('', 's', 't', key => '{id}')$$,
	$$SELECT idem_import_create(repeat('x', 63), 's', 't', key => '{id}'), idem_import_drop(repeat('x', 63))$$,
	$$SELECT idem_import_create(repeat('x', 64), 's', 't', key => '{id}')$$,
	$$SELECT idem_import_create(repeat('x', 1000000), 's', 't', key => '{id}')$$,
	$$SELECT idem_import_create('a', NULL, 't', key => '{id}')$$,
	$$SELECT idem_import_create('a', '', 't', key => '{id}')$$,
	$$SELECT idem_import_create('a', '  ', 't', key => '{id}')$$,
	$$SELECT idem_import_create('a', ';', 't', key => '{id}')$$,
	$$SELECT idem_import_create('a', '-- nothing', 't', key => '{id}')$$,
	$$SELECT idem_import_create('a', repeat('x', 1000000), 't', key => '{id}')$$,
	$$SELECT idem_import_create('a', repeat('(', 1000000), 't', key => '{id}')$$,
	$$SELECT idem_import_create('a', repeat('s.', 1000000), 't', key => '{id}')$$,
	$$SELECT idem_import_create('a', 's', NULL, key => '{id}')$$,
	$$SELECT idem_import_create('a', 's', '', key => '{id}')$$,
	$$SELECT idem_import_create('a', 's', 'no_such', key => '{id}')$$,
	$$SELECT idem_import_create('a', 's', 0, key => '{id}')$$,
	$$SELECT idem_import_create('a', 's', 4294967295, key => '{id}')$$
]) WITH ORDINALITY AS u(q, n) ORDER BY n;

SELECT q || ' -> ' || try_create(q) FROM unnest(ARRAY[
	$$key => '{id}'$$,
	$$key => '{id}', mode => NULL$$,
	$$key => '{id}', mode => ''$$,
	$$key => '{id}', mode => 'Merge'$$,
	$$key => '{id}', mode => 'upsert'$$,
	$$key => '{id}', mode => repeat('x', 1000000)$$,
	$$key => '{id}', mode => 'insert_only'$$,
	$$key => '{id}', mode => 'overwrite'$$,
	$$mode => 'overwrite'$$,
	$$key => NULL$$,
	$$key => '{}'$$,
	$$key => '{NULL}'$$,
	$$key => '{""}'$$,
	$$key => '{id,id}'$$,
	$$key => '{{id},{val}}'$$,
	$$key => '{ID}'$$,
	$$key => '{ctid}'$$,
	$$key => '{no_such}'$$,
	$$key => '[5:5]={id}'$$,
	$$key => ARRAY[repeat('x', 1000000)]$$,
	$$key => array_fill('id'::text, ARRAY[10000])$$,
	$$key => (SELECT array_agg('c' || i) FROM generate_series(1, 10000) i)$$,
	$$key => '{id}', scope => NULL$$,
	$$key => '{id}', scope => '{}'$$,
	$$key => '{id}', scope => '{NULL}'$$,
	$$key => '{id}', scope => '{day}'$$,
	$$key => '{id}', scope => '{day,id}'$$,
	$$key => '{id}', scope => '{day,day}'$$,
	$$key => '{id}', scope => '{no_such}'$$,
	$$key => '{id}', scope => ARRAY[repeat('x', 1000000)]$$,
	$$key => '{id}', scope => (SELECT array_agg('c' || i) FROM generate_series(1, 10000) i)$$,
	$$key => '{id}', scope => '{day}', slice => ''$$,
	$$key => '{id}', scope => '{day}', slice => '1 month'$$,
	$$key => '{id}', scope => '{id}', slice => '10000'$$,
	$$key => '{id}', scope => '{id}', slice => '1 month'$$,
	$$key => '{id}', scope => '{id}', slice => '0'$$,
	$$key => '{id}', scope => '{day}', slice => '-1 day'$$,
	$$key => '{id}', scope => '{day}', slice => '1 hour'$$,
	$$key => '{id}', scope => '{day}', slice => '100'$$,
	$$key => '{id}', scope => '{day}', slice => 'x'$$,
	$$key => '{id}', scope => '{val}', slice => '1 day'$$,
	$$key => '{id}', scope => '{day,id}', slice => '1 day'$$,
	$$key => '{id}', scope => '{day}', slice => repeat('x', 1000000)$$,
	$$key => '{id}', slice => '1 day'$$,
	$$key => '{id}', columns => NULL$$,
	$$key => '{id}', columns => '{}'$$,
	$$key => '{id}', columns => '{val,id}'$$,
	$$key => '{id}', columns => '{val}'$$,
	$$key => '{id}', columns => '{id,NULL}'$$,
	$$key => '{id}', columns => '{id,id}'$$,
	$$key => '{id}', columns => '{id,gone}'$$,
	$$key => '{id}', columns => '{id,no_such}'$$,
	$$key => '{id}', columns => '{id,xmin}'$$,
	$$key => '{id}', columns => ARRAY['id', repeat('x', 1000000)]$$,
	$$key => '{id}', columns => (SELECT array_agg('c' || i) FROM generate_series(1, 10000) i)$$,
	$$key => '{id}', order_by => NULL$$,
	$$key => '{id}', order_by => ''$$,
	$$key => '{id}', order_by => ' '$$,
	$$key => '{id}', order_by => 'updated_at DESC, val NULLS FIRST, length(val) ASC'$$,
	$$key => '{id}', order_by => 'updated_at DESC; SELECT 1'$$,
	$$key => '{id}', order_by => 'updated_at LIMIT 1'$$,
	$$key => '{id}', order_by => '1 /*'$$,
	$$key => '{id}', order_by => '1) FROM s; DROP TABLE s; --'$$,
	$$key => '{id}', order_by => 'no_such'$$,
	$$key => '{id}', order_by => 'random()'$$,
	$$key => '{id}', order_by => 'ctid'$$,
	$$key => '{id}', order_by => 'point(1, 2)'$$,
	$$key => '{id}', order_by => 'max(val)'$$,
	$$key => '{id}', order_by => 'val USING ~>~'$$,
	$$key => '{id}', order_by => repeat('x', 1000000)$$,
	$$key => '{id}', order_by => repeat('id,', 2000) || 'id'$$,
	$$key => '{id}', version_column => NULL$$,
	$$key => '{id}', version_column => ''$$,
	$$key => '{id}', version_column => 'updated_at'$$,
	$$key => '{id}', version_column => 'id'$$,
	$$key => '{id}', version_column => 'gone'$$,
	$$key => '{id}', version_column => 'updated_at', ignore_columns => '{updated_at}'$$,
	$$key => '{id}', version_column => repeat('x', 1000000)$$,
	$$key => '{id}', keep_columns => NULL$$,
	$$key => '{id}', keep_columns => '{}'$$,
	$$key => '{id}', keep_columns => '{val,updated_at,day}'$$,
	$$key => '{id}', keep_columns => '{NULL}'$$,
	$$key => '{id}', keep_columns => '{val,val}'$$,
	$$key => '{id}', keep_columns => '{gone}'$$,
	$$key => '{id}', keep_columns => ARRAY[repeat('x', 1000000)]$$,
	$$key => '{id}', keep_columns => (SELECT array_agg('c' || i) FROM generate_series(1, 10000) i)$$,
	$$key => '{id}', ignore_columns => NULL$$,
	$$key => '{id}', ignore_columns => '{val}'$$,
	$$key => '{id}', ignore_columns => '{NULL}'$$,
	$$key => '{id}', ignore_columns => '{gone}'$$,
	$$key => '{id}', ignore_columns => ARRAY[repeat('x', 1000000)]$$,
	$$key => '{id}', ignore_columns => '{val}', keep_columns => '{val}'$$,
	$$key => '{id}', null_key => NULL$$,
	$$key => '{id}', null_key => ''$$,
	$$key => '{id}', null_key => 'match'$$,
	$$key => '{id}', null_key => 'ignore'$$,
	$$key => '{id}', null_key => repeat('x', 1000000)$$,
	$$key => '{id}', delete_flag => NULL$$,
	$$key => '{id}', delete_flag => ''$$,
	$$key => '{id}', delete_flag => 'gone'$$,
	$$key => '{id}', delete_flag => 'val'$$,
	$$key => '{id}', delete_flag => 'day'$$,
	$$key => '{id}', delete_flag => 'no_such'$$,
	$$key => '{id}', delete_flag => repeat('x', 1000000)$$,
	$$key => '{id}', delete_missing => NULL$$,
	$$key => '{id}', delete_missing => true$$,
	$$key => '{id}', delete_limit => NULL$$,
	$$key => '{id}', delete_limit => 0$$,
	$$key => '{id}', delete_limit => 1$$,
	$$key => '{id}', delete_limit => -0.1$$,
	$$key => '{id}', delete_limit => 1.1$$,
	$$key => '{id}', delete_limit => 'NaN'$$,
	$$key => '{id}', delete_limit => 'Infinity'$$,
	$$key => '{id}', delete_limit => '1e1000'$$,
	$$key => '{id}', delete_limit => '1e-1000'$$,
	$$key => '{id}', out_of_scope => NULL$$,
	$$key => '{id}', out_of_scope => ''$$,
	$$key => '{id}', out_of_scope => 'reject'$$,
	$$key => '{id}', out_of_scope => 'ignore'$$,
	$$key => '{id}', out_of_scope => 'skip'$$,
	$$key => '{id}', out_of_scope => repeat('x', 1000000)$$,
	$$key => '{id}', reject_limit => NULL$$,
	$$key => '{id}', reject_limit => 9223372036854775807$$,
	$$key => '{id}', reject_limit => -1$$,
	$$key => '{id}', reject_limit => (-9223372036854775808)$$,
	$$key => '{id}', method => NULL$$,
	$$key => '{id}', method => ''$$,
	$$key => '{id}', method => 'diff'$$,
	$$key => '{id}', method => 'merge'$$,
	$$key => '{id}', method => repeat('x', 1000000)$$
]) WITH ORDINALITY AS u(q, n) ORDER BY n;

-- what this version does not do yet
SELECT q || ' -> ' || try_create(q) FROM unnest(ARRAY[
	$$key => '{id}', cursor_column => 'updated_at'$$,
	$$key => '{id}', cursor_column => ''$$,
	$$key => '{id}', overlap => '10 minutes'$$,
	$$key => '{id}', track => NULL$$,
	$$key => '{id}', track => ''$$,
	$$key => '{id}', track => 'none'$$,
	$$key => '{id}', track => 'cursor'$$,
	$$key => '{id}', track => 'snapshot'$$,
	$$key => '{id}', track => 'wal'$$,
	$$key => '{id}', batch_size => 1000$$,
	$$key => '{id}', batch_size => 0$$,
	$$key => '{id}', effects => 'SELECT 1'$$,
	$$key => '{id}', method => 'swap'$$,
	$$key => '{id}', max_attempts => NULL$$,
	$$key => '{id}', max_attempts => 5$$,
	$$key => '{id}', max_attempts => 6$$,
	$$key => '{id}', backoff => NULL$$,
	$$key => '{id}', backoff => '00:00:10'$$,
	$$key => '{id}', backoff => '1 minute'$$
]) WITH ORDINALITY AS u(q, n) ORDER BY n;

-- arguments that contradict each other
SELECT q || ' -> ' || try_create(q) FROM unnest(ARRAY[
	$$mode => 'merge'$$,
	$$mode => 'insert_only'$$,
	$$mode => 'overwrite', order_by => 'id'$$,
	$$mode => 'overwrite', ignore_columns => '{val}'$$,
	$$mode => 'overwrite', delete_flag => 'gone'$$,
	$$mode => 'overwrite', method => 'diff'$$,
	$$mode => 'overwrite', method => 'replace'$$,
	$$mode => 'overwrite', null_key => 'match'$$,
	$$mode => 'overwrite', key => '{id}', method => 'replace'$$,
	$$mode => 'overwrite', key => '{id}', method => 'replace', delete_flag => 'gone'$$,
	$$mode => 'overwrite', key => '{id}', version_column => 'updated_at'$$,
	$$mode => 'overwrite', key => '{id}', keep_columns => '{val}'$$,
	$$mode => 'overwrite', delete_missing => true$$,
	$$mode => 'merge', key => '{id}', method => 'replace'$$,
	$$mode => 'insert_only', key => '{id}', method => 'replace'$$,
	$$mode => 'insert_only', key => '{id}', delete_flag => 'gone'$$,
	$$mode => 'insert_only', key => '{id}', delete_missing => true$$,
	$$mode => 'insert_only', key => '{id}', version_column => 'updated_at'$$,
	$$mode => 'insert_only', key => '{id}', keep_columns => '{val}'$$,
	$$key => '{id}', keep_columns => '{id}'$$,
	$$key => '{id}', ignore_columns => '{id}'$$,
	$$key => '{id}', scope => '{day}', keep_columns => '{day}'$$,
	$$key => '{id}', scope => '{day}', ignore_columns => '{day}'$$,
	$$key => '{id}', version_column => 'updated_at', keep_columns => '{updated_at}'$$
]) WITH ORDINALITY AS u(q, n) ORDER BY n;

-- the other functions' arguments
SELECT idem_import_create('a', 's', 't', key => '{id}');
SELECT q || ' -> ' || try(q) FROM unnest(ARRAY[
	$$SELECT idem_import_alter(NULL)$$,
	$$SELECT idem_import_alter('')$$,
	$$SELECT idem_import_alter('no_such')$$,
	$$SELECT idem_import_alter(repeat('x', 1000000))$$,
	$$SELECT idem_import_alter('a', source => '')$$,
	$$SELECT idem_import_alter('a', mode => '')$$,
	$$SELECT idem_import_alter('a', key => '{}')$$,
	$$SELECT idem_import_alter('a', key => '{NULL}')$$,
	$$SELECT idem_import_alter('a', key => '{no_such}')$$,
	$$SELECT idem_import_alter('a', columns => '{val}')$$,
	$$SELECT idem_import_alter('a', null_key => '')$$,
	$$SELECT idem_import_alter('a', delete_limit => 2)$$,
	$$SELECT idem_import_alter('a', out_of_scope => '')$$,
	$$SELECT idem_import_alter('a', method => 'swap')$$,
	$$SELECT idem_import_alter('a', track => 'cursor')$$,
	$$SELECT idem_import_alter('a', track => '')$$,
	$$SELECT idem_import_alter('a', cursor_column => 'id')$$,
	$$SELECT idem_import_alter('a', overlap => '1')$$,
	$$SELECT idem_import_alter('a', batch_size => 1)$$,
	$$SELECT idem_import_alter('a', effects => 'SELECT')$$,
	$$SELECT idem_import_alter('a', max_attempts => 1)$$,
	$$SELECT idem_import_alter('a', backoff => '1 s')$$,
	$$SELECT idem_import_alter('a', settings => '[]')$$,
	$$SELECT idem_import_drop(NULL)$$,
	$$SELECT idem_import_drop('')$$,
	$$SELECT idem_import_drop('no_such')$$,
	$$SELECT idem_import_drop(repeat('x', 1000000))$$,
	$$SELECT idem_import_drop('a', NULL)$$,
	$$SELECT idem_import_run(NULL)$$,
	$$SELECT idem_import_run('')$$,
	$$SELECT idem_import_run('no_such')$$,
	$$SELECT idem_import_run(repeat('x', 1000000))$$,
	$$SELECT idem_import_run('a', '')$$,
	$$SELECT idem_import_run('a', 'x')$$,
	$$SELECT idem_import_run('a', repeat('x', 1000000))$$,
	$$SELECT idem_import_run('a', force => NULL)$$,
	$$SELECT idem_import_run('a', source => 'no_such')$$,
	$$SELECT idem_import_run('a', source => 't_pkey')$$,
	$$SELECT idem_import_run('a', input => '')$$,
	$$SELECT idem_import_run('a', input => 'file')$$,
	$$SELECT idem_import_run('a', input_hash => '')$$,
	$$SELECT idem_import_plan(NULL)$$,
	$$SELECT idem_import_plan('')$$,
	$$SELECT idem_import_plan('no_such')$$,
	$$SELECT idem_import_plan(repeat('x', 1000000))$$,
	$$SELECT idem_import_plan('a', '')$$,
	$$SELECT idem_import_plan('a', repeat('x', 1000000))$$,
	$$SELECT idem_import_plan('a', source => 0)$$,
	$$SELECT idem_import_prove(NULL)$$,
	$$SELECT idem_import_prove('')$$,
	$$SELECT idem_import_prove('no_such')$$,
	$$SELECT idem_import_prove('a', '')$$,
	$$SELECT idem_import_prove('a', repeat('x', 1000000))$$,
	$$SELECT idem_import_approve(NULL)$$,
	$$SELECT idem_import_approve('')$$,
	$$SELECT idem_import_approve('no_such')$$,
	$$SELECT idem_import_approve('a', NULL)$$,
	$$SELECT idem_import_approve('a', '')$$,
	$$SELECT idem_import_approve('a', 'x')$$,
	$$SELECT idem_import_approve('a', repeat('x', 1000000))$$,
	$$SELECT idem_import_approve('a')$$,
	$$SELECT idem_import_run('a', '*')$$,
	$$SELECT idem_import_run('a', source => 0)$$
]) WITH ORDINALITY AS u(q, n) ORDER BY n;
SELECT idem_import_drop('a', true);

-- a transaction that may not write
BEGIN READ ONLY;
SELECT try($$SELECT idem_import_create('a', 's', 't', key => '{id}')$$);
SELECT try($$SELECT idem_import_alter('a')$$);
SELECT try($$SELECT idem_import_drop('a')$$);
SELECT try($$SELECT idem_import_run('a')$$);
SELECT try($$SELECT idem_import_prove('a')$$);
SELECT try($$SELECT idem_import_approve('a')$$);
COMMIT;

--
-- alter: NULL leaves as is, '' and '{}' clear; each is a version
--
CREATE VIEW definition AS
SELECT version, mode, key, scope, slice, columns, columns_auto, order_by, version_column, keep_columns, ignore_columns,
	   null_key, delete_flag, delete_missing, delete_limit, out_of_scope, reject_limit, method
FROM idem_import_definition WHERE name = 'a';
CREATE TABLE other (LIKE t INCLUDING ALL);

SELECT idem_import_create('a', 's', 't', key => '{id}', scope => '{day}', slice => '1 day', columns => '{day,val,id}',
	order_by => 'updated_at DESC', keep_columns => '{val}', null_key => 'match', delete_flag => 'gone', delete_missing => true,
	delete_limit => 0.1234567890123456789, out_of_scope => 'ignore', reject_limit => NULL, method => 'diff');
SELECT * FROM definition;
SELECT idem_import_alter('a');
SELECT idem_import_alter('a', columns => '{}');
SELECT idem_import_alter('a', slice => '', order_by => '', version_column => 'updated_at', keep_columns => '{}',
	ignore_columns => '{val}', delete_flag => '', null_key => 'reject', delete_missing => false, delete_limit => 1,
	out_of_scope => 'reject', reject_limit => 3, method => 'auto');
SELECT * FROM definition;
SELECT idem_import_alter('a', scope => '{}', version_column => '', ignore_columns => '{}', mode => 'overwrite', key => '{}');
SELECT * FROM definition;
SELECT idem_import_alter('a', source => 'SELECT * FROM s', target => 'other');
SELECT source_table, source_query, target, version, jsonb_array_length(previous), altered_at > created_at
FROM idem_import_definition WHERE name = 'a';
-- the versions before, oldest first, each as it was
SELECT p ->> 'version', p ->> 'mode', p ->> 'source_table', p ->> 'key', p ->> 'slice', p ->> 'delete_limit', p ? 'previous'
FROM idem_import_definition, jsonb_array_elements(previous) WITH ORDINALITY AS e(p, n)
WHERE name = 'a' ORDER BY n;
-- a refused alter changes nothing
SELECT try($$SELECT idem_import_alter('a', mode => 'merge')$$);
SELECT version FROM definition;
SELECT try($$SELECT idem_import_create('a', 's', 't', key => '{id}')$$);

-- dropped and declared again, versions go on where there is a ledger or history of them
SELECT status FROM idem_import_run('a');
SELECT idem_import_drop('a');
SELECT count(*) FROM idem_import_definition WHERE name = 'a';
SELECT version, status FROM idem_import_ledger WHERE import = 'a';
SELECT try($$SELECT idem_import_run('a')$$);
SELECT idem_import_create('a', 's', 't', key => '{id}');
SELECT version FROM definition;
SELECT idem_import_drop('a', purge => true);
SELECT (SELECT count(*) FROM idem_import_ledger WHERE import = 'a'), (SELECT count(*) FROM idem_import_history WHERE import = 'a');
SELECT idem_import_create('a', 's', 't', key => '{id}');
SELECT version FROM definition;
SELECT idem_import_drop('a', true);

-- names are just text
SELECT idem_import_create(n, 's', 't', key => '{id}') FROM unnest(ARRAY['*', ' ', 'A', 'a''b"c\', '🍰']) n;
SELECT status, count(*) FROM unnest(ARRAY['*', ' ', 'A', 'a''b"c\', '🍰']) n, idem_import_run(n) GROUP BY 1;
SELECT idem_import_drop(n, true) FROM unnest(ARRAY['*', ' ', 'A', 'a''b"c\', '🍰']) n;

--
-- the unique index behind the key
--
CREATE TABLE k (a int, b int, c int, gen int GENERATED ALWAYS AS (a + 1) STORED);
CREATE TABLE ks (a int, b int, c int);
CREATE FUNCTION try_index(definition text, key text DEFAULT '{a,b}', more text DEFAULT '') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	outcome text;
BEGIN
	EXECUTE coalesce(definition, 'SELECT');
	outcome := split_part(try_create(format('key => %L', key) || more, 'ks', 'k'), E'\n', 1);
	DROP INDEX IF EXISTS ki;
	ALTER TABLE k DROP CONSTRAINT IF EXISTS kc;
	ALTER TABLE k ALTER a DROP NOT NULL, ALTER b DROP NOT NULL;
	RETURN outcome;
END $$;
SELECT try_create($$key => '{a,b}'$$, 'ks', 'k');
SELECT try_create($$key => '{a,b}', null_key => 'match'$$, 'ks', 'k');
SELECT definition || coalesce(' ' || more, '') || ' -> ' || try_index(definition, more => coalesce(more, '')) FROM (VALUES
	('CREATE UNIQUE INDEX ki ON k (a, b)', NULL),
	('CREATE UNIQUE INDEX ki ON k (b, a)', NULL),
	('CREATE UNIQUE INDEX ki ON k (b DESC NULLS FIRST, a)', NULL),
	('CREATE UNIQUE INDEX ki ON k (a, b) INCLUDE (c)', NULL),
	('ALTER TABLE k ADD CONSTRAINT kc PRIMARY KEY (b, a)', NULL),
	('ALTER TABLE k ADD CONSTRAINT kc UNIQUE (a, b)', NULL),
	('ALTER TABLE k ADD CONSTRAINT kc UNIQUE (a, b) DEFERRABLE', NULL),
	('ALTER TABLE k ADD CONSTRAINT kc PRIMARY KEY (a, b) DEFERRABLE INITIALLY DEFERRED', NULL),
	('ALTER TABLE k ADD CONSTRAINT kc EXCLUDE (a WITH =, b WITH =)', NULL),
	('CREATE INDEX ki ON k (a, b)', NULL),
	('CREATE UNIQUE INDEX ki ON k (a, b) WHERE c > 0', NULL),
	('CREATE UNIQUE INDEX ki ON k (a, (b + 0))', NULL),
	('CREATE UNIQUE INDEX ki ON k (a)', NULL),
	('CREATE UNIQUE INDEX ki ON k (a) INCLUDE (b)', NULL),
	('CREATE UNIQUE INDEX ki ON k (a, b, c)', NULL),
	('CREATE UNIQUE INDEX ki ON k (a, a)', NULL),
	('CREATE UNIQUE INDEX ki ON k (a, a, b)', NULL),
	('CREATE UNIQUE INDEX ki ON k (a, c)', NULL),
	('CREATE UNIQUE INDEX ki ON k (a, b)', ', null_key => ''match'''),
	('CREATE UNIQUE INDEX ki ON k (a, b) NULLS NOT DISTINCT', ', null_key => ''match'''),
	('CREATE UNIQUE INDEX ki ON k (a, b) NULLS NOT DISTINCT', NULL),
	('ALTER TABLE k ADD CONSTRAINT kc PRIMARY KEY (a, b)', ', null_key => ''match'''),
	('CREATE UNIQUE INDEX ki ON k (a, b); ALTER TABLE k ALTER a SET NOT NULL', ', null_key => ''match''')
) v(definition, more);
-- a build that failed leaves an index that is not valid
INSERT INTO k VALUES (1, 1), (1, 1);
CREATE UNIQUE INDEX CONCURRENTLY ki ON k (a, b);
DELETE FROM k;
SELECT try_index(NULL);
-- a partitioned table's index is valid when all its partitions have it
CREATE TABLE kp (a int, b int) PARTITION BY LIST (a);
CREATE TABLE kp1 PARTITION OF kp FOR VALUES IN (1);
CREATE UNIQUE INDEX kpi ON ONLY kp (a, b);
SELECT split_part(try_create($$key => '{a,b}'$$, 'ks', 'kp'), E'\n', 1);
CREATE UNIQUE INDEX kpi1 ON kp1 (a, b);
ALTER INDEX kpi ATTACH PARTITION kpi1;
SELECT try_create($$key => '{a,b}'$$, 'ks', 'kp');
-- the hint's statement is the cure
CREATE TABLE "K q" ("a ""b" int, "C" text);
SELECT try_create($$key => '{"a \"b",C}', null_key => 'match'$$, 'SELECT 1 AS "a ""b", 2 AS "C"', '"K q"') AS refused
\gset
SELECT :'refused';
SELECT substring(:'refused' FROM 'CREATE UNIQUE INDEX.*(?=\.$)')
\gexec
SELECT try_create($$key => '{"a \"b",C}', null_key => 'match'$$, 'SELECT 1 AS "a ""b", 2 AS "C"', '"K q"');

--
-- columns
--
CREATE TABLE c (
	"Mixed Case" text, dropped int, id int PRIMARY KEY, note text DEFAULT 'none', sum int GENERATED ALWAYS AS (id + 1) STORED,
	auto int GENERATED BY DEFAULT AS IDENTITY, always int GENERATED ALWAYS AS IDENTITY, "select" int);
ALTER TABLE c DROP dropped;
SELECT s || ' -> ' || try_create($$key => '{id}'$$, s, 'c') FROM unnest(ARRAY[
	'SELECT 1 AS "select", 2 AS id, 3 AS "Mixed Case", 4 AS elsewhere',
	'SELECT 1 AS id, 2 AS sum, 3 AS auto, 4 AS always',
	'SELECT 1 AS id, 2 AS dropped, 3 AS "........pg.dropped.2........"',
	'SELECT 1 AS id, 2 AS ctid, 3 AS tableoid',
	'SELECT 1 AS id, 2 AS id',
	'SELECT 1 AS id, 2 AS x, 3 AS x',
	'SELECT 1 AS "ID"',
	'SELECT 1',
	'SELECT',
	'SELECT 1 AS note',
	'SELECT 1.5 AS id',
	'SELECT point(1, 2) AS id',
	'SELECT NULL AS id, NULL AS note',
	'SELECT ''1''::varchar AS id'
]) WITH ORDINALITY AS u(s, n) ORDER BY n;
SELECT q || ' -> ' || try_create($$key => '{id}', $$ || q, 'SELECT 1 AS "select", 2 AS id, 3 AS sum, 5 AS always', 'c') FROM unnest(ARRAY[
	$$columns => '{select,id}'$$,
	$$columns => '{always,id}'$$,
	$$columns => '{id,sum}'$$,
	$$columns => '{id,note}'$$,
	$$columns => '{id,dropped}'$$,
	$$columns => '{id,........pg.dropped.2........}'$$
]) WITH ORDINALITY AS u(q, n) ORDER BY n;

--
-- sources
--
CREATE SCHEMA "my_Sche""ma'🍰"
	CREATE TABLE "sta ge;--" (id int, val text);
CREATE TABLE part (id int, val text) PARTITION BY HASH (id);
CREATE VIEW v AS SELECT * FROM s;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM s;
CREATE TEMP TABLE temporary (id int);
CREATE UNLOGGED TABLE unlogged (id int);
CREATE SEQUENCE seq;
CREATE TYPE composite AS (id int);
CREATE TABLE "SELECT" (id int);
SELECT s || ' -> ' || try_create($$key => '{id}'$$, s) FROM unnest(ARRAY[
	's', 'S', ' s ', 'declare.s', '"s"', '"S"', 'declare . s',
	'part', 'v', 'mv', 'temporary', 'pg_temp.temporary', 'unlogged', 'pg_catalog.pg_description',
	$$"my_Sche""ma'🍰"."sta ge;--"$$,
	'seq', 't_pkey', 'composite', 'no_such', 'no_schema.s', 'a.b.c.d', 'no_db.declare.s', 's.', '.s', '"s', '""', 's s',
	'SELECT', '"SELECT"', 'select * from s', 'SELECT * FROM s', 'SELECT * FROM s;', E'SELECT * FROM s ; \n -- done',
	'SELECT * FROM s -- done', 'SELECT * FROM s /* done */', '/* all */ SELECT * FROM s', 'SELECT * FROM s WHERE val = '';''',
	'(SELECT * FROM s)', '(SELECT * FROM s) UNION ALL (SELECT * FROM s)', 'TABLE s', 'VALUES (1, 2)', 'SELECT * FROM (VALUES (1, ''x'')) v (id, val)',
	'WITH w AS (SELECT * FROM s) SELECT * FROM w', 'WITH w (id) AS (VALUES (1)) TABLE w',
	'SELECT * FROM s ORDER BY id LIMIT 10',
	'SELECT id FROM t', 'SELECT * FROM generate_series(1, 3) AS id',
	'SELECT * FROM s; SELECT * FROM s', 'SELECT * FROM s;;', 'SELECT * FROM s; DROP TABLE s',
	'SELECT * FROM s) AS s; DROP TABLE s; SELECT * FROM (SELECT * FROM s', 'SELECT * FROM s) AS s, (SELECT 1',
	'INSERT INTO s VALUES (1)', 'INSERT INTO s VALUES (1) RETURNING *', 'WITH w AS (INSERT INTO s VALUES (1) RETURNING *) SELECT * FROM w',
	'UPDATE s SET id = 1 RETURNING id', 'DELETE FROM s', 'MERGE INTO t USING s ON false WHEN MATCHED THEN DO NOTHING',
	'SELECT * INTO x FROM s', 'CREATE TABLE x AS SELECT 1', 'COPY s TO STDOUT', 'EXPLAIN SELECT 1', 'VACUUM', 'BEGIN', 'CALL x()', 'EXECUTE x',
	'DECLARE c CURSOR FOR SELECT 1', 'SHOW search_path', 'SELEKT 1', 'SELECT * FORM s', 'SELECT * FROM no_such', 'SELECT no_such FROM s', 'SELECT ''',
	'SELECT * FROM s /* open', 'SELECT 1/0 AS id', 'SELECT $1::int AS id', 'SELECT * FROM s WHERE id = $1', 'SELECT * FROM s WHERE day = $3', 'SELECT * FROM s WHERE day = $100000',
	'VALUES(1)', 'SELECT(1)AS"id"', 'SELECT*FROM"s"', '1', 's-1', ';',
	't', '"t"', 'declare.t', 'SELECT * FROM t', 'idem_import_history'
]) WITH ORDINALITY AS u(s, n) ORDER BY n;
SELECT try_create($$key => '{id}'$$, current_database() || '.declare.s');
SELECT s || ' -> ' || try_create($$key => '{id}', scope => '{day}', slice => '1 day'$$, s) FROM unnest(ARRAY[
	'SELECT * FROM s WHERE day = $1', 'SELECT * FROM s WHERE day >= $1 AND day < $2', 'SELECT id, $1 AS day FROM s', 'SELECT * FROM s WHERE day = $3'
]) WITH ORDINALITY AS u(s, n) ORDER BY n;
-- nothing of that was carried out
SELECT to_regclass('s'), to_regclass('x'), count(*) FROM s;

--
-- targets
--
CREATE VIEW tv AS SELECT * FROM t;
CREATE VIEW tv_fixed AS SELECT max(id) AS id FROM t;
CREATE VIEW tv_join AS SELECT t.* FROM t, other;
CREATE MATERIALIZED VIEW tmv AS SELECT * FROM t;
CREATE TABLE tp (id int PRIMARY KEY, val text) PARTITION BY RANGE (id);
CREATE TABLE tp1 PARTITION OF tp FOR VALUES FROM (1) TO (10);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE "my_Sche""ma'🍰"."ta rget" (id int PRIMARY KEY, val text);
CREATE TEMP TABLE temporary_target (id int PRIMARY KEY);
CREATE TABLE nothing ();
SELECT t || ' -> ' || try_create($$key => '{id}'$$, target => t) FROM unnest(ARRAY[
	't', 'tv', 'tv_fixed', 'tv_join', 'tmv', 'tp', 'tp1', 'parent', 'child', $$"my_Sche""ma'🍰"."ta rget"$$, 'temporary_target', 'nothing',
	't_pkey', 'composite', 'no_such', 's'
]) WITH ORDINALITY AS u(t, n) ORDER BY n;
SELECT target || ' -> ' || try_create(format('key => %L', ARRAY[col]), format('SELECT 1 AS %I', col), target) FROM (VALUES
	(1, 'seq', 'last_value'), (2, 'pg_class', 'relname'), (3, 'pg_catalog.pg_authid', 'rolname'), (4, 'pg_settings', 'name'),
	(5, 'idem_import_definition', 'name'), (6, 'idem_import_ledger', 'import'), (7, 'idem_import_history', 'run_id'),
	(8, 'idem_import_reject', 'reject_id'), (9, 'idem_import_run_id', 'last_value')
) v(n, target, col) ORDER BY n;

-- renamed, source and target are the same; dropped, they are missed
SELECT idem_import_create('a', 'temporary', 'child', key => '{id}');
ALTER TABLE child RENAME TO "Renamed";
SELECT status FROM idem_import_run('a');
DROP TABLE temporary;
SELECT try($$SELECT idem_import_run('a')$$);
SELECT idem_import_alter('a', source => 's');
DROP TABLE "Renamed";
SELECT try($$SELECT idem_import_run('a')$$);
SELECT try($$SELECT idem_import_alter('a', source => 'v')$$);
SELECT try($$SELECT idem_import_alter('a', order_by => 'id')$$);
SELECT idem_import_alter('a', target => 't');
SELECT status FROM idem_import_run('a');
SELECT idem_import_drop('a', true);

--
-- settings
--
SELECT q || ' -> ' || try_create($$key => '{id}', settings => $$ || q) FROM unnest(ARRAY[
	$$NULL$$,
	$$'{}'$$,
	$$'null'$$,
	$$'[]'$$,
	$$'"TimeZone"'$$,
	$$'1'$$,
	$$'{"no_such": "1"}'$$,
	$$'{"no.such": "1"}'$$,
	$$'{"": "1"}'$$,
	$$'{" ": "1"}'$$,
	$$'{"a b.c": "1"}'$$,
	$$'{"TimeZone": "Mars/Olympus"}'$$,
	$$'{"TimeZone": null}'$$,
	$$'{"TimeZone": {"a": 1}}'$$,
	$$'{"TimeZone": ["UTC"]}'$$,
	$$'{"timezone": "Europe/Berlin", "datestyle": "German"}'$$,
	$$'{"work_mem": 1024, "enable_seqscan": false, "random_page_cost": 1.5}'$$,
	$$'{"work_mem": "64MB"}'$$,
	$$'{"geqo_seed": 2}'$$,
	$$'{"work_mem": 1e100}'$$,
	$$'{"enable_seqscan": "maybe"}'$$,
	$$'{"statement_timeout": "1s"}'$$,
	$$'{"shared_buffers": "1GB"}'$$,
	$$'{"server_version": "14"}'$$,
	$$'{"role": "postgres"}'$$,
	$$'{"ROLE": "postgres"}'$$,
	$$'{"session_authorization": "postgres"}'$$,
	$$'{"is_superuser": "on"}'$$,
	$$'{"transaction_isolation": "serializable"}'$$,
	$$'{"transaction_read_only": "on"}'$$,
	$$'{"row_security": "off"}'$$,
	$$'{"session_replication_role": "replica"}'$$,
	$$'{"client_encoding": "LATIN1"}'$$,
	$$jsonb_build_object('TimeZone', repeat('x', 1000000))$$,
	$$jsonb_build_object(repeat('x', 1000000), 1)$$,
	$$jsonb_build_object('application_name', repeat('x', 1000000))$$
]) WITH ORDINALITY AS u(q, n) ORDER BY n;

-- all that decides what a text means is pinned
SELECT idem_import_create('a', 's', 't', key => '{id}');
SELECT jsonb_pretty(settings - '{lc_monetary,lc_numeric,lc_time,default_text_search_config}'::text[]),
	   settings ?& '{lc_monetary,lc_numeric,lc_time,default_text_search_config}' FROM idem_import_definition WHERE name = 'a';
SELECT idem_import_alter('a', settings => '{"TIMEZONE": "Europe/Berlin", "work_mem": 1024, "enable_seqscan": false, "search_path": "public"}');
SELECT jsonb_pretty(settings - '{lc_monetary,lc_numeric,lc_time,default_text_search_config}'::text[]),
	   settings ?& '{lc_monetary,lc_numeric,lc_time,default_text_search_config}' FROM idem_import_definition WHERE name = 'a';
-- who alters it need not have the creator's search_path
SELECT idem_import_alter('a', settings => '{"search_path": "declare, pg_temp"}');
SET search_path = public;
SELECT idem_import_alter('a', settings => '{"work_mem": "1MB"}');
SELECT idem_import_alter('a', source => 'SELECT * FROM s');
SELECT settings ->> 'search_path', settings ->> 'work_mem', settings ->> 'TimeZone' FROM idem_import_definition WHERE name = 'a';
SELECT status FROM idem_import_run('a');
SET search_path = declare, public;
SELECT idem_import_drop('a', true);

-- so a text means the same, whoever runs it under whatever settings, and theirs are as before afterwards
CREATE TABLE texts (id text, at text, d text, i text, b text, f text);
INSERT INTO texts VALUES ('1', '2026-06-09 00:00', '02/03/2026', '1 2:03', '\x41', '0.1');
CREATE TABLE typed (id int PRIMARY KEY, at timestamptz, d date, i interval, b bytea, f float8);
SELECT idem_import_create('a', 'texts', 'typed', key => '{id}');
-- a caller of another mind
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'sql_standard';
SET bytea_output = 'escape';
SET extra_float_digits = -15;
SELECT status, inserted FROM idem_import_run('a');
SHOW TimeZone; SHOW DateStyle; SHOW IntervalStyle; SHOW extra_float_digits; SHOW search_path;
SELECT at = '2026-06-08 24:00:00+00', d = make_date(2026, 2, 3), i, b, f FROM typed;
SET TimeZone = 'America/New_York';
SET DateStyle = 'SQL, MDY';
SET search_path = pg_catalog;
SELECT status, unchanged FROM public.idem_import_run('a', force => true);
-- what a source that makes text of values gives
SET search_path = declare, public;
CREATE TABLE as_text (id int PRIMARY KEY, at text, d text, f text, b text, words text);
SET default_text_search_config = 'english';
SELECT idem_import_create('b', 'SELECT id, at::text, d::text, f::text, b::text, to_tsvector(''the rows'')::text AS words FROM typed', 'as_text', key => '{id}');
SET default_text_search_config = 'simple';
SELECT status FROM idem_import_run('b');
SELECT * FROM as_text;
-- an error resets them too
SELECT try($$SELECT idem_import_run('a', 'x')$$);
SHOW TimeZone; SHOW search_path;
RESET default_text_search_config; RESET TimeZone; RESET DateStyle; RESET IntervalStyle; RESET bytea_output; RESET extra_float_digits;
SELECT idem_import_drop('b', true);
-- nor is a table of the caller's session taken for the source
SELECT idem_import_alter('a', source => 'SELECT * FROM texts');
CREATE TEMP TABLE texts AS SELECT * FROM declare.texts;
UPDATE pg_temp.texts SET f = '0.2';
SELECT status, unchanged FROM idem_import_run('a');
DROP TABLE pg_temp.texts;
-- another zone, another instant
SELECT idem_import_alter('a', settings => '{"TimeZone": "Europe/Berlin", "DateStyle": "SQL, DMY"}');
SELECT status, updated FROM idem_import_run('a');
SELECT at = '2026-06-08 22:00:00+00', d = make_date(2026, 3, 2) FROM typed;
SELECT idem_import_drop('a', true);

SELECT count(*) FROM idem_import_definition;
SET client_min_messages = warning;
DROP SCHEMA declare, "my_Sche""ma'🍰" CASCADE;
