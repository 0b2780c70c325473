-- Effects: what changed rows set off, and what senders do with it

CREATE SCHEMA effects;
SET search_path = effects, public;
SET client_min_messages = warning;
\pset format unaligned
\pset tuples_only on

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

------------------------------------------------------------------------------
-- An import's effects are told just those rows that changed
------------------------------------------------------------------------------

-- every changed row as an effect of its own
\set all '$$SELECT ''i '' || md5(i::text) AS key, ''inserted'' AS kind, to_jsonb(i) AS payload FROM inserted i UNION ALL SELECT ''u '' || md5(u::text), ''updated'', to_jsonb(u) FROM updated u UNION ALL SELECT ''d '' || md5(d::text), ''deleted'', to_jsonb(d) FROM deleted d$$'

-- Runs an import, and compares what its effects were told with the target
-- before and after.  Rows are the same row where "id" is the same.
CREATE FUNCTION check_run(import text, columns text DEFAULT 'id, v') RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	target text := (SELECT d.target::text FROM idem_import_definition d WHERE d.name = import);
	old_columns text := (SELECT string_agg(format('b.%1$s AS old_%1$s', c), ', ') FROM regexp_split_to_table(columns, ', ') c);
	r record;
	told record;
	wrong bigint;
BEGIN
	EXECUTE format('CREATE TEMP TABLE before_run AS SELECT %s FROM %s', columns, target);
	DELETE FROM idem_import_effect;
	SELECT string_agg(DISTINCT concat_ws(' ', status, method), ', ') AS how, sum(inserted) AS inserted, sum(updated) AS updated,
			sum(deleted) AS deleted, sum(removed) AS removed INTO r
		FROM idem_import_run(import);
	EXECUTE format('CREATE TEMP TABLE after_run AS SELECT %s FROM %s', columns, target);
	EXECUTE format($q$
		CREATE TEMP VIEW expected AS
		SELECT 'inserted' AS kind, to_jsonb(a) AS payload FROM after_run a WHERE NOT EXISTS (SELECT FROM before_run b WHERE b.id = a.id)
		UNION ALL
		SELECT 'deleted', to_jsonb(b) FROM before_run b WHERE NOT EXISTS (SELECT FROM after_run a WHERE b.id = a.id)
		UNION ALL
		SELECT 'updated', to_jsonb(x) FROM (SELECT a.*, %s FROM after_run a JOIN before_run b USING (id) WHERE a *<> b) x$q$, old_columns);
	SELECT count(*) INTO wrong FROM (
		(SELECT * FROM expected EXCEPT ALL SELECT kind, payload FROM idem_import_effect)
		UNION ALL
		(SELECT kind, payload FROM idem_import_effect EXCEPT ALL SELECT * FROM expected)) x;
	SELECT count(*) FILTER (WHERE kind = 'inserted') AS inserted, count(*) FILTER (WHERE kind = 'updated') AS updated,
		count(*) FILTER (WHERE kind = 'deleted') AS deleted INTO told FROM idem_import_effect;
	RETURN NEXT format('%s: %s inserted, %s updated, %s deleted, %s removed; told %s, %s, %s%s', r.how, r.inserted, r.updated, r.deleted,
		r.removed, told.inserted, told.updated, told.deleted,
		CASE WHEN wrong > 0 THEN format('; %s WRONG', wrong)
			WHEN (told.inserted, told.updated, told.deleted) <> (r.inserted, r.updated, r.deleted + r.removed) THEN '; OTHER COUNTS' END);
	DROP VIEW expected;
	DROP TABLE before_run, after_run;
END $$;

-- both engines, each from the same rows
CREATE FUNCTION check_engines(import text, base text, columns text DEFAULT 'id, v') RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	target text := (SELECT d.target::text FROM idem_import_definition d WHERE d.name = import);
	engine text;
BEGIN
	FOREACH engine IN ARRAY ARRAY['auto', 'portable'] LOOP
		PERFORM set_config('idem_import.engine', engine, true);
		EXECUTE format('DELETE FROM %s', target);
		EXECUTE format('INSERT INTO %s SELECT * FROM %s', target, base);
		RETURN QUERY SELECT engine || ': ' || check_run(import, columns);
		RETURN QUERY SELECT engine || ' again: ' || check_run(import, columns);
	END LOOP;
	PERFORM set_config('idem_import.engine', 'auto', true);
END $$;

CREATE TABLE empty (id int, v text);
CREATE TABLE base AS SELECT g AS id, 'v' || g AS v FROM generate_series(1, 300) g;
CREATE TABLE src AS SELECT g AS id, CASE WHEN g % 10 = 0 THEN 'new' ELSE 'v' || g END AS v, g % 50 = 1 AS gone FROM generate_series(101, 400) g;
CREATE TABLE t (id int PRIMARY KEY, v text);

\echo '-- merge, with rows that are flagged as gone'
SELECT idem_import_create('merge', 'src', 't', key => '{id}', delete_flag => 'gone', effects => :all);
SELECT check_engines('merge', 'empty');
SELECT check_engines('merge', 'base');
\echo '-- in batches'
SELECT idem_import_alter('merge', batch_size => 37);
SELECT check_engines('merge', 'base');
SELECT idem_import_alter('merge', batch_size => 0);
\echo '-- by a cursor, each batch committed; the same key in two batches is not the same query'
TRUNCATE t;
DELETE FROM idem_import_effect;
SELECT idem_import_create('cursor', 'src', 't', key => '{id}', columns => '{id,v}', cursor_column => 'id', batch_size => 100,
	effects => $$SELECT 'batch with ' || min(id) AS key, 'batch' AS kind, to_jsonb(count(*)) AS payload FROM inserted HAVING count(*) > 0
		UNION ALL SELECT 'last', 'batch', to_jsonb(max(id)) FROM inserted HAVING count(*) > 0$$);
CALL idem_import_run_units('cursor');
SELECT key, payload FROM idem_import_effect ORDER BY key;
INSERT INTO src VALUES (401, 'late', false);
SELECT inserted, checkpoint FROM idem_import_run('cursor');
\echo '-- another query is no reason to read all again'
SELECT idem_import_alter('cursor', effects => $$SELECT 'id ' || id AS key, 'batch' AS kind, to_jsonb(id) AS payload FROM inserted$$);
INSERT INTO src VALUES (402, 'late', false);
SELECT attempted, inserted, checkpoint FROM idem_import_run('cursor');
SELECT key, payload FROM idem_import_effect ORDER BY key;
SELECT idem_import_drop('cursor', purge => true);
DELETE FROM src WHERE id > 400;
\echo '-- missing rows are removed'
SELECT idem_import_alter('merge', delete_missing => true);
SELECT check_engines('merge', 'base');
\echo '-- insert_only'
SELECT idem_import_alter('merge', mode => 'insert_only', delete_flag => '', delete_missing => false);
SELECT check_engines('merge', 'base');
\echo '-- overwrite'
SELECT idem_import_alter('merge', mode => 'overwrite', delete_limit => 1);
SELECT check_engines('merge', 'empty');
SELECT check_engines('merge', 'base');
\echo '-- replace: what changed, not what was written'
SELECT idem_import_alter('merge', method => 'replace');
SELECT check_engines('merge', 'empty');
SELECT check_engines('merge', 'base');
\echo '-- swap can tell nothing: not when it is asked for, and not by itself'
SELECT try($$SELECT idem_import_alter('merge', method => 'swap')$$);
SELECT idem_import_alter('merge', method => 'auto');
TRUNCATE t;
SET idem_import.min_swap_rows = 0;
SELECT method, note FROM idem_import_plan('merge');
SELECT check_run('merge');
RESET idem_import.min_swap_rows;
SELECT idem_import_drop('merge', purge => true);

\echo '-- an older version, and columns that are kept or ignored'
CREATE TABLE versions (id int PRIMARY KEY, v text, n int, kept text, ignored text);
CREATE TABLE versions_base AS SELECT g AS id, 'v' || g AS v, g % 3 AS n, 'kept' AS kept, 'x' AS ignored FROM generate_series(1, 60) g;
CREATE TABLE versions_src AS SELECT g AS id, CASE WHEN g % 2 = 0 THEN 'new' ELSE 'v' || g END AS v, 1 AS n, 'other' AS kept, 'y' AS ignored FROM generate_series(21, 90) g;
SELECT idem_import_create('versions', 'versions_src', 'versions', key => '{id}', version_column => 'n', keep_columns => '{kept}', ignore_columns => '{ignored}', effects => :all);
SELECT check_engines('versions', 'versions_base', 'id, v, n, kept, ignored');

\echo '-- rows that exchange unique values'
CREATE TABLE swaps (id int PRIMARY KEY, v int UNIQUE, w text);
CREATE TABLE swaps_base AS SELECT g AS id, g AS v, 'w' || g AS w FROM generate_series(1, 20) g;
CREATE TABLE swaps_src AS SELECT g AS id, CASE WHEN g < 20 THEN g + 1 ELSE 1 END AS v, CASE WHEN g % 5 = 0 THEN 'new' ELSE 'w' || g END AS w FROM generate_series(1, 20) g
	UNION ALL SELECT 21, 21, 'inserted';
SELECT idem_import_create('swaps', 'swaps_src', 'swaps', key => '{id}', columns => '{id,v}', effects => :all);
SELECT check_engines('swaps', 'swaps_base', 'id, v');
SELECT idem_import_alter('swaps', columns => '{id,v,w}');
SELECT check_engines('swaps', 'swaps_base', 'id, v, w');
SELECT count(*) FROM swaps JOIN swaps_src USING (id, v, w);

\echo '-- a column that can only be changed by deleting the row'
CREATE TABLE ids (id int PRIMARY KEY, v int GENERATED ALWAYS AS IDENTITY, c1 text DEFAULT 'c1', k1 text DEFAULT 'k1');
CREATE TABLE ids_base AS SELECT g AS id, g AS v FROM generate_series(1, 10) g;
CREATE TABLE ids_src AS SELECT g AS id, CASE WHEN g > 5 THEN g * 10 ELSE g END AS v FROM generate_series(1, 12) g;
SELECT idem_import_create('ids', 'ids_src', 'ids', key => '{id}', effects => :all);
INSERT INTO ids (id, v) OVERRIDING SYSTEM VALUE SELECT * FROM ids_base;
SELECT check_run('ids');
DELETE FROM ids WHERE id > 7;
UPDATE ids_src SET v = v + 1;
SET idem_import.engine = 'portable';
SELECT check_run('ids');
RESET idem_import.engine;

\echo '-- partitions: rows move from one to another, and between units'
CREATE TABLE parts (id int, v text, day int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 (v text, day int NOT NULL, id int NOT NULL);
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (10) TO (20);
CREATE TABLE parts_base AS SELECT g AS id, 'v' || g AS v, g % 20 AS day FROM generate_series(1, 200) g;
CREATE TABLE parts_src AS SELECT g AS id, CASE WHEN g % 7 = 0 THEN 'new' ELSE 'v' || g END AS v, g % 20 AS day FROM generate_series(101, 300) g;
SELECT idem_import_create('parts', 'parts_src', 'parts', mode => 'overwrite', key => '{id,day}', scope => '{day}', delete_limit => NULL, effects => :all);
SELECT check_engines('parts', 'parts_base', 'id, v, day');
CREATE TABLE moves (id int PRIMARY KEY, v text, day int);
UPDATE parts_src SET day = (day + 1) % 20 WHERE id % 4 = 0;
SELECT idem_import_create('moves', 'parts_src', 'moves', mode => 'overwrite', key => '{id}', scope => '{day}', delete_limit => NULL, effects => :all);
SELECT check_engines('moves', 'parts_base', 'id, v, day');

\echo '-- no key: rows that are there as before are not told'
CREATE TABLE bag (id int, v text);
CREATE TABLE bag_src AS SELECT g % 3 AS id, 'v' AS v FROM generate_series(1, 10) g;
SELECT idem_import_create('bag', 'bag_src', 'bag', mode => 'overwrite', delete_limit => NULL,
	effects => $$SELECT 'i' || id AS key, 'inserted' AS kind, to_jsonb(count(*)) AS payload FROM inserted GROUP BY id
		UNION ALL SELECT 'u' || id, 'updated', to_jsonb(count(*)) FROM updated GROUP BY id
		UNION ALL SELECT 'd' || id, 'deleted', to_jsonb(count(*)) FROM deleted GROUP BY id$$);
SELECT inserted, removed, note FROM idem_import_run('bag');
INSERT INTO bag_src VALUES (0, 'v'), (0, 'w');
DELETE FROM bag_src WHERE id = 2;
SELECT inserted, removed, note FROM idem_import_run('bag');
SELECT inserted, removed, note FROM idem_import_run('bag');
SELECT key, payload FROM idem_import_effect WHERE import = 'bag' ORDER BY run_id, key;

\echo '-- what triggers make of rows: changed, swallowed'
CREATE TABLE trig (id int PRIMARY KEY, v text);
CREATE TABLE trig_base AS SELECT g AS id, upper('v' || g) AS v FROM generate_series(1, 30) g;
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		RETURN CASE WHEN old.id % 3 > 0 THEN old END;
	END IF;
	new.v := upper(new.v);
	RETURN CASE WHEN new.id % 3 > 0 THEN new END;
END $$;
CREATE TRIGGER shout BEFORE INSERT OR UPDATE OR DELETE ON trig FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TABLE trig_src AS SELECT g AS id, upper('v' || g + g % 2) AS v FROM generate_series(11, 40) g;
SELECT idem_import_create('trig', 'trig_src', 'trig', mode => 'overwrite', key => '{id}', delete_limit => NULL, effects => :all);
ALTER TABLE trig DISABLE TRIGGER shout;
INSERT INTO trig SELECT * FROM trig_base;
ALTER TABLE trig ENABLE TRIGGER shout;
SELECT check_run('trig');

\echo '-- views'
CREATE VIEW plain AS SELECT id, v FROM t;
SELECT idem_import_create('plain', 'src', 'plain', key => '{id}', delete_flag => 'gone', effects => :all);
TRUNCATE t;
INSERT INTO t SELECT * FROM base;
SELECT check_run('plain');
CREATE VIEW guarded AS SELECT id, v FROM t;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN DELETE FROM t WHERE id = old.id; RETURN old; END IF;
	IF TG_OP = 'UPDATE' THEN UPDATE t SET v = new.v WHERE id = old.id; RETURN new; END IF;
	INSERT INTO t VALUES (new.id, new.v); RETURN new;
END $$;
CREATE TRIGGER instead INSTEAD OF INSERT OR UPDATE OR DELETE ON guarded FOR EACH ROW EXECUTE FUNCTION instead();
SELECT idem_import_create('guarded', 'src', 'guarded', key => '{id}', delete_flag => 'gone', effects => :all);
TRUNCATE t;
INSERT INTO t SELECT * FROM base;
SELECT check_run('guarded');

\echo '-- a table that deletes from itself'
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE, v text);
CREATE TABLE tree_src AS SELECT g AS id, CASE WHEN g > 1 THEN g / 2 END AS parent, 'v' AS v FROM generate_series(1, 15) g;
SELECT idem_import_create('tree', 'tree_src', 'tree', mode => 'overwrite', key => '{id}', delete_limit => NULL, effects => :all);
SELECT check_run('tree', 'id, parent, v');
DELETE FROM tree_src WHERE id IN (3, 9);
UPDATE tree_src SET parent = 1 WHERE parent = 3;
SELECT check_run('tree', 'id, parent, v');

\echo '-- NULL keys, names that clash, wide values'
CREATE TABLE odd (id int, v text, old_v text, "Old ""q" text, old_verylongnameverylongnameverylongnameverylongnameverylongname1 int);
CREATE UNIQUE INDEX ON odd (id) NULLS NOT DISTINCT;
CREATE TABLE odd_src AS SELECT nullif(g, 3) AS id, 'v' || g AS v, 'old' AS old_v, 'q' AS "Old ""q", g AS old_verylongnameverylongnameverylongnameverylongnameverylongname1 FROM generate_series(1, 3) g;
SELECT idem_import_create('odd', 'odd_src', 'odd', key => '{id}', null_key => 'match',
	effects => $$SELECT coalesce(id::text, 'null') || '-' || length(v) AS key, 'k' AS kind, jsonb_build_array(v, old_v, old_v_, "old_Old ""q", length(v)) AS payload FROM updated$$);
SELECT inserted, updated FROM idem_import_run('odd');
UPDATE odd_src SET v = repeat('wide', 10000), old_v = 'changed' WHERE id IS NULL OR id = 1;
SELECT inserted, updated FROM idem_import_run('odd');
UPDATE odd_src SET v = 'short' WHERE id IS NULL OR id = 1;
SELECT inserted, updated FROM idem_import_run('odd');
SELECT left(key, 10), payload -> 1, left(payload ->> 2, 10), payload -> 3, payload -> 4, length(payload ->> 0) FROM idem_import_effect WHERE import = 'odd' ORDER BY run_id, key COLLATE "C";

------------------------------------------------------------------------------
-- Keys: one effect each, ever
------------------------------------------------------------------------------

CREATE TABLE mail_src (id int, address text, v text);
CREATE TABLE mail (id int PRIMARY KEY, address text, v text);
SELECT idem_import_create('mail', 'mail_src', 'mail', key => '{id}',
	effects => $$SELECT 'mail ' || id AS key, 'mail' AS kind, jsonb_build_object('to', address, 'v', v) AS payload, v = 'ask' AS approval
		FROM (SELECT id, address, v FROM inserted UNION ALL SELECT id, address, v FROM updated) x$$);
INSERT INTO mail_src SELECT g, 'a' || g, 'v' FROM generate_series(1, 5) g UNION ALL SELECT 6, 'a6', 'ask';
DELETE FROM idem_import_effect;

\echo '-- rolled back: nothing; run again: nothing'
BEGIN;
SELECT inserted, note FROM idem_import_run('mail');
SELECT count(*) FROM idem_import_effect;
ROLLBACK;
SELECT count(*) FROM idem_import_effect;
SELECT count(*) FROM idem_import_prove('mail');
SELECT inserted FROM idem_import_plan('mail');
SELECT count(*) FROM idem_import_effect;
SELECT inserted, note FROM idem_import_run('mail');
SELECT inserted, note FROM idem_import_run('mail');
SELECT note FROM idem_import_run('mail', force => true);
SELECT key, kind, payload, status, import, unit, run_id = (SELECT max(run_id) - 2 FROM idem_import_history) AS run, owner = current_user::regrole AS mine
FROM idem_import_effect ORDER BY key;

\echo '-- replaced while pending or failed, kept once claimed or done; approval is asked for anew'
SELECT key, token FROM idem_import_effect_claim('mail') \gset done_
SELECT key, token FROM idem_import_effect_claim('mail') \gset claimed_
SELECT key, token FROM idem_import_effect_claim('mail') \gset failed_
SELECT key, token FROM idem_import_effect_claim('mail') \gset retried_
SELECT idem_import_effect_done(:'done_key', :'done_token');
SELECT idem_import_effect_fail(:'failed_key', :'failed_token', 'no such address', '-1 s');
SELECT idem_import_effect_fail(:'retried_key', :'retried_token', 'try later', '1 day');
SELECT idem_import_effect_approve('mail 6');
SELECT key, status, attempt, failures, error FROM idem_import_effect ORDER BY key;
UPDATE mail_src SET address = 'b' || id;
SELECT updated, note FROM idem_import_run('mail');
SELECT key, payload ->> 'to' AS "to", status, attempt, failures, error, due_at <= clock_timestamp() AS due, approved_by IS NOT NULL AS approved
FROM idem_import_effect ORDER BY key;
\echo '-- whoever had claimed what was replaced then is refused'
SELECT try(format($$SELECT idem_import_effect_done(%L, %L)$$, :'retried_key', :'retried_token'));
SELECT idem_import_effect_done(:'claimed_key', :'claimed_token');

\echo '-- one key with different payloads'
SELECT idem_import_alter('mail', effects => $$SELECT 'one key' AS key, 'mail' AS kind, to_jsonb(v) AS payload FROM updated$$);
UPDATE mail_src SET v = 'same';
SELECT updated, note FROM idem_import_run('mail');
UPDATE mail_src SET v = 'v' || id;
SELECT try($$SELECT idem_import_run('mail')$$);
SELECT v, count(*) FROM mail GROUP BY v;
\echo '-- what is no key'
SELECT idem_import_alter('mail', effects => $$SELECT nullif(v, v) AS key, 'mail' AS kind, NULL::jsonb AS payload FROM updated$$);
SELECT try($$SELECT idem_import_run('mail')$$);
SELECT idem_import_alter('mail', effects => $$SELECT '' AS key, 'mail' AS kind, NULL::jsonb AS payload FROM updated$$);
SELECT try($$SELECT idem_import_run('mail')$$);
SELECT idem_import_alter('mail', effects => $$SELECT repeat('k', 1001) AS key, 'mail' AS kind, NULL::jsonb AS payload FROM updated$$);
SELECT try($$SELECT idem_import_run('mail')$$);
SELECT idem_import_alter('mail', effects => $$SELECT v AS key, repeat('k', 201) AS kind, NULL::jsonb AS payload FROM updated$$);
SELECT try($$SELECT idem_import_run('mail')$$);
\echo '-- none any more'
SELECT idem_import_alter('mail', effects => '');
SELECT updated, note FROM idem_import_run('mail');

\echo '-- the scope is a parameter'
CREATE TABLE days (id int, day date, PRIMARY KEY (id, day));
SELECT idem_import_create('days', $$SELECT g AS id, $1::date AS day FROM generate_series(1, 3) g$$, 'days', mode => 'overwrite', key => '{id,day}', scope => '{day}',
	effects => $$SELECT 'report of ' || to_char($1, 'YYYY-MM-DD') AS key, 'report' AS kind, to_jsonb(count(*)) AS payload FROM inserted HAVING count(*) > 0$$);
SELECT unit, note FROM idem_import_run('days', '2026-06-09');
SELECT unit, note FROM idem_import_run('days', '2026-06-10');
SELECT key, payload, unit FROM idem_import_effect WHERE import = 'days' ORDER BY key;

\echo '-- refused when it is declared'
SELECT e, try(format($$SELECT idem_import_create('x', 'src', 't', key => '{id}', effects => %L)$$, e)) FROM unnest(ARRAY[
	'SELECT', 'SELECT 1; SELECT 2', 'nonsense', 'DELETE FROM inserted', 'TABLE inserted INTO x',
	$$SELECT v AS key, v AS kind FROM inserted$$,
	$$SELECT v AS key, v AS kind, v AS payload FROM inserted$$,
	$$SELECT id AS key, v AS kind, to_jsonb(id) AS payload FROM inserted$$,
	$$SELECT v AS key, id AS kind, to_jsonb(id) AS payload FROM inserted$$,
	$$SELECT v AS key, v AS kind, to_jsonb(id) AS payload, 1 AS approval FROM inserted$$,
	$$SELECT v AS key, v AS kind, to_jsonb(id) AS payload, true AS aproval FROM inserted$$,
	$$SELECT v AS key, v AS kind, to_jsonb(id) AS payload, v AS key FROM inserted$$,
	$$SELECT v AS key, v AS kind, to_jsonb(old_v) AS payload FROM inserted$$,
	$$SELECT v AS key, v AS kind, to_jsonb(id) AS payload FROM changed$$,
	$$SELECT v AS key, v AS kind, to_jsonb(now()) AS payload FROM inserted$$,
	$$SELECT v AS key, v AS kind, to_jsonb(date 'today') AS payload FROM inserted$$,
	$$SELECT v || random() AS key, v AS kind, to_jsonb(id) AS payload FROM inserted$$,
	$$SELECT v AS key, v AS kind, to_jsonb(id) AS payload FROM inserted LIMIT 1$$,
	$$SELECT v AS key, v AS kind, to_jsonb(i) AS payload FROM inserted JOIN src USING (id, v) CROSS JOIN LATERAL (SELECT id AS i FROM t FOR UPDATE) x$$,
	$$SELECT $1::text AS key, v AS kind, to_jsonb(id) AS payload FROM inserted$$]) e;
CREATE TABLE ruled (id int PRIMARY KEY, v text);
CREATE RULE r AS ON DELETE TO ruled DO ALSO NOTIFY ruled;
SELECT try(format($$SELECT idem_import_create('x', 'src', 'ruled', key => '{id}', effects => %L)$$, $$SELECT v AS key, v AS kind, to_jsonb(id) AS payload FROM inserted$$));

------------------------------------------------------------------------------
-- Effects by hand, and what senders do
------------------------------------------------------------------------------

DELETE FROM idem_import_effect;
\echo '-- add'
SELECT idem_import_effect_add('a', 'charge', '{"amount": 1, "of": "x"}');
SELECT idem_import_effect_add('a', 'charge', '{"of": "x", "amount": 1.0}', approval => true);
SELECT try($$SELECT idem_import_effect_add('a', 'charge', '{"amount": 2}')$$);
SELECT try($$SELECT idem_import_effect_add('a', 'refund', '{"amount": 1, "of": "x"}')$$);
SELECT idem_import_effect_add('b', 'charge', NULL), idem_import_effect_add('b', 'charge', NULL);
SELECT idem_import_effect_add('c', 'charge', '[]', approval => true);
SELECT try(s) FROM unnest(ARRAY[
	$$SELECT idem_import_effect_add(NULL, 'k', '{}')$$, $$SELECT idem_import_effect_add('', 'k', '{}')$$,
	$$SELECT idem_import_effect_add('x', NULL, '{}')$$, $$SELECT idem_import_effect_add('x', '', '{}')$$,
	$$SELECT idem_import_effect_add('x', 'k', '{}', NULL)$$, $$SELECT idem_import_effect_add(repeat('ä', 501), 'k', '{}')$$,
	$$SELECT idem_import_effect_add('x', repeat('k', 201), '{}')$$]) s;

\echo '-- claim: the oldest first, once'
SELECT key, payload, attempt, token IS NOT NULL FROM idem_import_effect_claim('charge', 10);
SELECT key FROM idem_import_effect_claim('charge', 10);
SELECT key FROM idem_import_effect_claim('nothing');
SELECT key, status, due_at - claimed_at BETWEEN '59 s' AND '60 s' AS a_minute FROM idem_import_effect ORDER BY key;
SELECT try(s) FROM unnest(ARRAY[
	$$SELECT idem_import_effect_claim(NULL)$$, $$SELECT idem_import_effect_claim('')$$,
	$$SELECT idem_import_effect_claim('k', 0)$$, $$SELECT idem_import_effect_claim('k', NULL)$$,
	$$SELECT idem_import_effect_claim('k', 1, NULL)$$, $$SELECT idem_import_effect_claim('k', 1, '0')$$]) s;

\echo '-- done, once more, and by whom it is not'
SELECT token AS a FROM idem_import_effect WHERE key = 'a' \gset
SELECT token AS b FROM idem_import_effect WHERE key = 'b' \gset
SELECT idem_import_effect_result('a') IS NULL AS not_yet;
SELECT try(format($$SELECT idem_import_effect_done('a', %L)$$, :'b'));
SELECT idem_import_effect_done('a', :'a', '{"paid": 1}');
SELECT idem_import_effect_done('a', :'a', '{"paid": 2}');
SELECT idem_import_effect_result('a');
SELECT status, result, done_at IS NOT NULL, due_at IS NULL FROM idem_import_effect WHERE key = 'a';
SELECT idem_import_effect_add('a', 'charge', '{"amount": 1, "of": "x"}');
SELECT try(s) FROM unnest(ARRAY[
	format($$SELECT idem_import_effect_fail('a', %L, 'late')$$, :'a'),
	format($$SELECT idem_import_effect_done('none', %L)$$, :'a'), format($$SELECT idem_import_effect_fail('none', %L, 'x')$$, :'a'),
	$$SELECT idem_import_effect_done('a', NULL)$$, $$SELECT idem_import_effect_fail('a', NULL, 'x')$$,
	format($$SELECT idem_import_effect_done(NULL, %L)$$, :'a'), format($$SELECT idem_import_effect_fail(NULL, %L, 'x')$$, :'a')]) s;
SELECT idem_import_effect_result('none') IS NULL;
SELECT try($$SELECT idem_import_effect_result(NULL)$$);

\echo '-- a lease that ends is taken over, and its token worth nothing'
UPDATE idem_import_effect SET due_at = clock_timestamp() - interval '1 s' WHERE key = 'b';
SELECT key, attempt FROM idem_import_effect_claim('charge', 10, '1 hour');
SELECT try(format($$SELECT idem_import_effect_done('b', %L)$$, :'b'));
SELECT try(format($$SELECT idem_import_effect_fail('b', %L, 'x')$$, :'b'));
\echo '-- one that ends while nobody else comes is still good'
SELECT token AS b FROM idem_import_effect WHERE key = 'b' \gset
UPDATE idem_import_effect SET due_at = clock_timestamp() - interval '1 s' WHERE key = 'b';
SELECT idem_import_effect_done('b', :'b');

\echo '-- fail: later each time, and then no more'
SELECT idem_import_effect_add('f', 'flaky', '{}');
SELECT key, token FROM idem_import_effect_claim('flaky') \gset
SELECT idem_import_effect_fail('f', :'token', 'first');
SELECT idem_import_effect_fail('f', :'token', 'first, told twice');
SELECT status, failures, error, due_at - clock_timestamp() BETWEEN '8 s' AND '10 s' FROM idem_import_effect WHERE key = 'f';
SELECT count(*) FROM idem_import_effect_claim('flaky');
CREATE FUNCTION fail_again(retry_in interval DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	claimed record;
	e record;
BEGIN
	UPDATE idem_import_effect SET due_at = clock_timestamp() - interval '1 s' WHERE key = 'f' AND status = 'pending';
	SELECT * INTO STRICT claimed FROM idem_import_effect_claim('flaky');
	PERFORM idem_import_effect_fail('f', claimed.token, 'attempt ' || claimed.attempt, retry_in);
	SELECT * INTO e FROM idem_import_effect WHERE key = 'f';
	RETURN concat_ws(' ', e.status, e.failures, round(extract(epoch FROM e.due_at - clock_timestamp())), e.error);
END $$;
SELECT fail_again() FROM generate_series(2, 20);
SELECT count(*) FROM idem_import_effect_claim('flaky');
\echo '-- until a person releases it; the sender may say when, or never'
SELECT idem_import_effect_approve('f');
SELECT status, attempt, failures, approved_by = current_user::regrole FROM idem_import_effect WHERE key = 'f';
SELECT fail_again('1 hour');
SELECT fail_again('0');
SELECT fail_again('-1 s');
\echo '-- done after all, as long as nobody else has claimed it'
SELECT idem_import_effect_done('f', (SELECT token FROM idem_import_effect WHERE key = 'f'), '"late"');
SELECT status, error IS NULL, result FROM idem_import_effect WHERE key = 'f';

\echo '-- approval'
SELECT count(*) FROM idem_import_effect_claim('charge');
SELECT idem_import_effect_approve('c');
SELECT status, approved_by = current_user::regrole, approved_at IS NOT NULL FROM idem_import_effect WHERE key = 'c';
SELECT try($$SELECT idem_import_effect_approve('c')$$);
SELECT try($$SELECT idem_import_effect_approve('none')$$);
SELECT key FROM idem_import_effect_claim('charge');

------------------------------------------------------------------------------
-- Who may do what
------------------------------------------------------------------------------

CREATE ROLE regress_idem_a NOLOGIN;
CREATE ROLE regress_idem_sender NOLOGIN IN ROLE regress_idem_a;
CREATE ROLE regress_idem_b NOLOGIN;
GRANT USAGE ON SCHEMA effects TO PUBLIC;
GRANT CREATE ON SCHEMA effects TO regress_idem_a;
DELETE FROM idem_import_effect;
SET ROLE regress_idem_b;
SELECT idem_import_effect_add('b1', 'mail', '{}');
SET ROLE regress_idem_a;
SELECT idem_import_effect_add('a1', 'mail', '{}'), idem_import_effect_add('a2', 'mail', '{}'), idem_import_effect_add('a3', 'mail', '{}', true);
SELECT try(s) FROM unnest(ARRAY[
	$$SELECT idem_import_effect_add('b1', 'mail', '{}')$$, $$SELECT idem_import_effect_approve('b1')$$,
	$$SELECT idem_import_effect_result('b1')$$, format($$SELECT idem_import_effect_done('b1', %L)$$, gen_random_uuid()),
	format($$SELECT idem_import_effect_fail('b1', %L, 'x')$$, gen_random_uuid()),
	$$DELETE FROM idem_import_effect$$, $$UPDATE idem_import_effect SET status = 'done'$$]) s;
SELECT key FROM idem_import_effect ORDER BY key;
SET ROLE regress_idem_sender;
SELECT key FROM idem_import_effect_claim('mail', 1);
SELECT idem_import_effect_approve('a3');
SELECT key FROM idem_import_effect_claim('mail', 10);
SELECT idem_import_effect_done('a1', (SELECT token FROM idem_import_effect WHERE key = 'a1'), '1');
SELECT idem_import_effect_result('a1');
RESET ROLE;
SELECT key, owner, approved_by FROM idem_import_effect ORDER BY key;
\echo '-- a superuser is a member of all'
UPDATE idem_import_effect SET status = 'pending', due_at = clock_timestamp() - interval '1 h' WHERE key = 'a2';
SELECT key FROM idem_import_effect_claim('mail', 10);
\echo '-- the query runs as the owner of the import; a key of somebody else fails the run'
SET ROLE regress_idem_a;
CREATE TABLE a_src AS SELECT 1 AS id, 'b1' AS v;
CREATE TABLE a_dst (id int PRIMARY KEY, v text);
SELECT try($$SELECT idem_import_create('a', 'a_src', 'a_dst', key => '{id}', effects => 'SELECT i.v AS key, i.v AS kind, to_jsonb(id) AS payload FROM inserted i JOIN mail USING (id)')$$);
SELECT idem_import_create('a', 'a_src', 'a_dst', key => '{id}', effects => $$SELECT v AS key, current_user AS kind, to_jsonb(id) AS payload FROM inserted$$);
SELECT try($$SELECT idem_import_run('a')$$);
UPDATE a_src SET v = 'mine';
RESET ROLE;
SELECT status, note FROM idem_import_run('a');
SELECT key, kind, owner FROM idem_import_effect WHERE import = 'a';
SELECT idem_import_drop('a', purge => true);
SELECT key, kind, owner FROM idem_import_effect WHERE import = 'a';
\echo '-- prune: what one may use, and is done, for so long'
UPDATE idem_import_effect SET done_at = done_at - interval '2 days' WHERE key = 'a1';
SELECT idem_import_effect_add('s1', 'sold', '{}'), idem_import_effect_add('s2', 'sold', '{}');
SELECT count(idem_import_effect_done(key, token)) FROM idem_import_effect_claim('sold') WHERE key = 's1';
SET ROLE regress_idem_b;
SELECT idem_import_prune();
SET ROLE regress_idem_sender;
SELECT idem_import_prune('3 days'), idem_import_prune('1 day');
SELECT idem_import_effect_result('a1') IS NULL;
RESET ROLE;
SELECT key FROM idem_import_effect WHERE kind = 'sold' ORDER BY key;
SELECT idem_import_prune() > 0;
SELECT key, status FROM idem_import_effect ORDER BY key;
\echo '-- nothing where nothing may be written'
BEGIN TRANSACTION READ ONLY;
SELECT idem_import_effect_result('s2') IS NULL;
SAVEPOINT s;
SELECT idem_import_effect_add('x', 'mail', '{}');
ROLLBACK TO s;
SELECT idem_import_effect_claim('mail');
ROLLBACK TO s;
SELECT idem_import_effect_done('a1', gen_random_uuid());
ROLLBACK TO s;
SELECT idem_import_effect_fail('a1', gen_random_uuid(), 'x');
ROLLBACK TO s;
SELECT idem_import_effect_approve('a1');
ROLLBACK;

------------------------------------------------------------------------------
-- A claim costs the same however many effects are done
------------------------------------------------------------------------------

INSERT INTO idem_import_effect (key, kind, status, owner, done_at)
SELECT 'done ' || g, 'bulk', 'done', current_user::regrole, now() FROM generate_series(1, 20000) g;
VACUUM ANALYZE idem_import_effect;
SELECT count(idem_import_effect_add('bulk ' || g, 'bulk', '{}')) FROM generate_series(1, 3) g;
SELECT pg_stat_force_next_flush();
SELECT seq_scan AS scans, sum(x.idx_tup_read) AS entries FROM pg_stat_user_tables t JOIN pg_stat_user_indexes x USING (relid)
WHERE relid = 'idem_import_effect'::regclass GROUP BY seq_scan \gset before_
SELECT count(*) FROM idem_import_effect_claim('bulk');
SELECT pg_stat_force_next_flush();
SELECT seq_scan - :before_scans AS scans, sum(x.idx_tup_read) - :before_entries < 10 AS few_entries FROM pg_stat_user_tables t JOIN pg_stat_user_indexes x USING (relid)
WHERE relid = 'idem_import_effect'::regclass GROUP BY seq_scan;

DROP SCHEMA effects CASCADE;
DELETE FROM idem_import_effect;
SELECT count(idem_import_drop(name, purge => true)) FROM idem_import_definition;
DROP ROLE regress_idem_sender, regress_idem_a, regress_idem_b;
