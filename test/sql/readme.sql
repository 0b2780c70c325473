-- the examples of README.md, so that they stay true

SET client_min_messages = warning;
CREATE SCHEMA readme;
SET search_path = readme, public;
SET DateStyle = 'ISO, MDY';
SET TimeZone = 'UTC';
\pset null '-'

-- a failure is recorded by a background worker: wait for it, as a person would
CREATE FUNCTION recorded(import text, status text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..600 LOOP
		IF EXISTS (SELECT FROM idem_import_ledger l WHERE l.import = recorded.import AND l.status = recorded.status) THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.05);
	END LOOP;
	RETURN false;
END $$;

--
-- One example
--
CREATE TABLE invoices (id bigint PRIMARY KEY, customer text NOT NULL, amount numeric(12,2) NOT NULL);
CREATE TABLE invoices_stage (id text, customer text, amount text);

INSERT INTO invoices_stage VALUES
	('1', 'Ada', '120.00'), ('2', 'Ben', '80.50'), ('3', 'Cleo', '15.00'), ('3', 'Cleo', '15.00');

SELECT idem_import_create('invoices',
	source => 'invoices_stage', target => 'invoices', key => ARRAY['id']);

SELECT status, attempted, inserted, updated, unchanged, collapsed FROM idem_import_run('invoices');
SELECT status, attempted, inserted, updated, unchanged, collapsed FROM idem_import_run('invoices');

UPDATE invoices_stage SET amount = '85.00' WHERE id = '2';
SELECT status, attempted, inserted, updated, unchanged, collapsed FROM idem_import_plan('invoices');
SELECT status, attempted, inserted, updated, unchanged, collapsed FROM idem_import_run('invoices');

-- the target is looked at, too
DELETE FROM invoices WHERE id = 1;
SELECT status, inserted, updated, unchanged, collapsed FROM idem_import_run('invoices');

-- the proof
SELECT target_rows, target_checksum FROM idem_import_ledger WHERE import = 'invoices';
SELECT count(*), idem_import_checksum(idem_import_hash(i)) FROM invoices i;

--
-- Ordinary errors
--
\set VERBOSITY sqlstate
SELECT idem_import_create('x', source => 'invoices_stage', target => 'invoices', key => ARRAY['customer']);	-- 42P10
SELECT idem_import_run('nope');																				-- 42704
SELECT idem_import_create('invoices', source => 'invoices_stage', target => 'invoices', key => ARRAY['id']);	-- 42710
SELECT idem_import_create('x', source => 'invoices_stage', target => 'invoices');							-- 22023
SELECT idem_import_create('x', source => 'invoices_stage', target => 'invoices', key => ARRAY['nope']);		-- 42703
SELECT idem_import_create('x', source => 'DELETE FROM invoices_stage', target => 'invoices', key => ARRAY['id']);	-- 42601
BEGIN READ ONLY;
SELECT idem_import_run('invoices');																			-- 25006
ROLLBACK;
BEGIN READ ONLY;
SELECT status FROM idem_import_plan('invoices');
ROLLBACK;
SELECT idem_import_approve('invoices');																		-- 55000
\set VERBOSITY default
SELECT idem_import_create('x', source => 'invoices_stage', target => 'invoices', key => ARRAY['customer']);

--
-- II002
--
SELECT idem_import_create('x', source => 'SELECT *, now() AS loaded_at FROM invoices_stage',
	target => 'invoices', key => ARRAY['id']);
SELECT idem_import_create('x', source => 'SELECT * FROM invoices_stage LIMIT 10',
	target => 'invoices', key => ARRAY['id']);

--
-- II003, and the order in which staged rows win
--
INSERT INTO invoices_stage VALUES ('3', 'Cleo', '9.00');
SELECT status FROM idem_import_run('invoices');
SELECT recorded('invoices', 'failed');
SELECT sqlstate, message FROM idem_import_ledger WHERE import = 'invoices';
SELECT idem_import_alter('invoices', order_by => 'amount::numeric DESC');
SELECT status, unchanged, collapsed FROM idem_import_run('invoices');

--
-- II004 and rejects
--
INSERT INTO invoices_stage VALUES (NULL, 'Nobody', '1.00');
SELECT status FROM idem_import_run('invoices');
SELECT idem_import_alter('invoices', reject_limit => 100);
SELECT status, attempted, unchanged, collapsed, rejected FROM idem_import_run('invoices');
SELECT "row", sqlstate, message, resolved_at IS NULL AS open FROM idem_import_reject WHERE import = 'invoices';
DELETE FROM invoices_stage WHERE id IS NULL;
SELECT status, rejected FROM idem_import_run('invoices');
SELECT "row", resolved_at IS NULL AS open FROM idem_import_reject WHERE import = 'invoices';

--
-- II006
--
ALTER TABLE invoices_stage ADD currency text;
SELECT status FROM idem_import_run('invoices');
SELECT idem_import_alter('invoices', columns => '{}');
SELECT status FROM idem_import_run('invoices');

--
-- II001: the delete guard
--
CREATE TABLE members (id int PRIMARY KEY, name text);
CREATE TABLE members_stage (id int, name text);
INSERT INTO members_stage SELECT i, 'member ' || i FROM generate_series(1, 100) i;
SELECT idem_import_create('members', source => 'members_stage', target => 'members',
	key => ARRAY['id'], delete_missing => true);
SELECT status, inserted FROM idem_import_run('members');

DELETE FROM members_stage WHERE id > 30;
SELECT status, removed, note LIKE '%would stop with II001: it removes 70 of 100 rows' AS stops FROM idem_import_plan('members');
SELECT status FROM idem_import_run('members');
SELECT recorded('members', 'awaiting_approval');
SELECT status, to_remove FROM idem_import_ledger WHERE import = 'members';
SELECT idem_import_approve('members');
SELECT status, removed FROM idem_import_run('members');

-- NULL leaves as is, 1 takes the guard away
SELECT idem_import_alter('members', delete_limit => NULL);
SELECT delete_limit FROM idem_import_definition WHERE name = 'members';
SELECT idem_import_alter('members', delete_limit => 1);
TRUNCATE members_stage;
SELECT status, removed FROM idem_import_run('members');

--
-- Versions, kept and ignored columns, flagged rows
--
CREATE TABLE people (id int PRIMARY KEY, name text, version int, first_seen text, last_seen text);
CREATE TABLE people_stage (LIKE people);
ALTER TABLE people_stage ADD gone boolean;
SELECT idem_import_create('people', source => 'people_stage', target => 'people', key => ARRAY['id'],
	version_column => 'version', keep_columns => ARRAY['first_seen'], ignore_columns => ARRAY['last_seen'],
	delete_flag => 'gone');
INSERT INTO people_stage VALUES (1, 'Ada', 1, 'mon', 'mon', false), (2, 'Ben', 1, 'mon', 'mon', false), (3, 'Cleo', 5, 'mon', 'mon', false);
SELECT attempted, inserted, updated, unchanged, stale, deleted FROM idem_import_run('people');
TRUNCATE people_stage;
INSERT INTO people_stage VALUES
	(1, 'Ada L.', 2, 'tue', 'tue', false),	-- newer: updated, but not first_seen
	(2, 'Ben', 1, 'mon', 'tue', false),		-- only last_seen differs: unchanged
	(3, 'Chloe', 4, 'tue', 'tue', false),	-- older than the target's: stale
	(4, 'Dee', 1, 'tue', 'tue', true);		-- flagged, but not there: unchanged
SELECT attempted, inserted, updated, unchanged, stale, deleted FROM idem_import_run('people');
SELECT * FROM people ORDER BY id;
TRUNCATE people_stage;
INSERT INTO people_stage VALUES (2, 'Ben', 2, 'wed', 'wed', true);
SELECT attempted, inserted, updated, unchanged, stale, deleted FROM idem_import_run('people');

--
-- NULL in a key: match
--
CREATE TABLE prices (shop int, product int, price int);
CREATE TABLE prices_stage (LIKE prices);
INSERT INTO prices_stage VALUES (1, 7, 10), (NULL, 7, 12);
CREATE UNIQUE INDEX ON prices (shop, product) NULLS NOT DISTINCT;
SELECT idem_import_create('prices', source => 'prices_stage', target => 'prices',
	key => ARRAY['shop', 'product'], null_key => 'match');
SELECT status, inserted, unchanged FROM idem_import_run('prices');
SELECT status, inserted, unchanged FROM idem_import_run('prices', force => true);

--
-- Rows that exchange a unique value
--
CREATE TABLE ranking (team text PRIMARY KEY, place int UNIQUE);
CREATE TABLE ranking_stage (LIKE ranking);
INSERT INTO ranking_stage VALUES ('red', 1), ('blue', 2);
SELECT idem_import_create('ranking', source => 'ranking_stage', target => 'ranking', key => ARRAY['team']);
SELECT inserted, updated FROM idem_import_run('ranking');
UPDATE ranking_stage SET place = 3 - place;
SELECT inserted, updated FROM idem_import_run('ranking');
CREATE TABLE players (team text REFERENCES ranking ON DELETE CASCADE);
UPDATE ranking_stage SET place = 3 - place;
\set VERBOSITY sqlstate
SELECT inserted, updated FROM idem_import_run('ranking');
\set VERBOSITY default

--
-- Scopes: one partition a day
--
CREATE TABLE metrics (day date NOT NULL, sensor int, value float8) PARTITION BY RANGE (day);
CREATE TABLE metrics_2026_06 PARTITION OF metrics FOR VALUES FROM ('2026-06-01') TO ('2026-07-01');
CREATE TABLE metrics_stage (day date, sensor int, value float8);
INSERT INTO metrics_stage VALUES ('2026-06-09', 1, 1.5), ('2026-06-09', 2, 2.5), ('2026-06-10', 1, 3);
SELECT idem_import_create('metrics', source => 'SELECT * FROM metrics_stage WHERE day = $1',
	target => 'metrics', mode => 'overwrite', scope => ARRAY['day']);
SELECT unit, status, inserted, unchanged, removed FROM idem_import_run('metrics', '2026-06-09');
SELECT unit, status, inserted, unchanged, removed FROM idem_import_run('metrics', '9 June 2026');
UPDATE metrics_stage SET value = 9 WHERE day = '2026-06-09' AND sensor = 2;
SELECT unit, status, inserted, unchanged, removed FROM idem_import_run('metrics', '[2026-06-09,2026-06-11)');
SELECT l.unit, l.target_checksum = s.checksum AND l.target_rows = s.rows AS agrees
FROM idem_import_ledger l,
	LATERAL (SELECT count(*), idem_import_checksum(idem_import_hash(m)) FROM metrics m WHERE day = l.unit::date) s(rows, checksum)
WHERE import = 'metrics' ORDER BY unit;
\set VERBOSITY sqlstate
SELECT idem_import_run('metrics');				-- 22023: parameters need a scope
SELECT idem_import_run('metrics', 'today');		-- 22023: the clock
\set VERBOSITY default

-- II005
CREATE TABLE sales (day date, shop int, amount int, PRIMARY KEY (day, shop));
CREATE TABLE sales_stage (LIKE sales);
INSERT INTO sales_stage VALUES ('2026-06-09', 1, 10), ('2026-06-10', 1, 20);
SELECT idem_import_create('sales', source => 'sales_stage', target => 'sales',
	mode => 'overwrite', key => ARRAY['day', 'shop'], scope => ARRAY['day']);
\set VERBOSITY terse
SELECT unit FROM idem_import_run('sales', '2026-06-09');
\set VERBOSITY default
SELECT idem_import_alter('sales', out_of_scope => 'ignore');
SELECT unit, status, attempted, inserted FROM idem_import_run('sales', '2026-06-09');

-- without a scope text: every unit in the source, others are left alone
SELECT unit, status, inserted FROM idem_import_run('sales');
DELETE FROM sales_stage WHERE day = '2026-06-09';
SELECT unit, status, removed FROM idem_import_run('sales');
SELECT unit, status, removed FROM idem_import_run('sales', '2026-06-09');

-- several scope columns
CREATE TABLE orders (tenant int, day date, id int, PRIMARY KEY (tenant, day, id));
CREATE TABLE orders_stage (LIKE orders);
INSERT INTO orders_stage VALUES (7, '2026-06-09', 1), (8, '2026-06-09', 1);
SELECT idem_import_create('orders', source => 'orders_stage', target => 'orders', mode => 'overwrite',
	key => ARRAY['tenant', 'day', 'id'], scope => ARRAY['tenant', 'day'], out_of_scope => 'ignore');
SELECT unit, inserted FROM idem_import_run('orders', '{"day": "9 June 2026", "tenant": 7}');

--
-- Slices, and the day that has 23 hours
--
CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz NOT NULL);
CREATE TABLE events_stage (LIKE events);
INSERT INTO events_stage SELECT i, timestamptz '2026-03-28 00:00+01' + i * interval '1 hour' FROM generate_series(0, 70) i;
SELECT idem_import_create('events', source => 'SELECT * FROM events_stage WHERE at >= $1 AND at < $2',
	target => 'events', key => ARRAY['id'], scope => ARRAY['at'], slice => '1 day', delete_missing => true,
	settings => '{"TimeZone": "Europe/Berlin"}');
SELECT unit, status, inserted FROM idem_import_run('events', '[2026-03-28,2026-03-31)');
SELECT unit, status FROM idem_import_run('events', '2026-03-29 13:00');
SELECT unit FROM idem_import_run('events', '[2026-03-28 12:00,2026-03-31)');

CREATE TABLE numbers (id int PRIMARY KEY);
SELECT idem_import_create('numbers', source => 'SELECT g AS id FROM generate_series(1, 25000) g', target => 'numbers',
	key => ARRAY['id'], scope => ARRAY['id'], slice => '10000');
SELECT unit, inserted FROM idem_import_run('numbers');

--
-- Recipes: a file, and a staging table of one's own
--
CREATE TABLE products (sku text PRIMARY KEY, name text, price numeric(10,2));
CREATE TABLE products_stage (sku text, name text, price text);
SELECT idem_import_create('products', source => 'products_stage', target => 'products', key => ARRAY['sku']);
BEGIN;
TRUNCATE products_stage;
\copy products_stage FROM stdin WITH (FORMAT csv, HEADER)
sku,name,price
A-1,Lamp,19.90
A-2,Chair,49.00
\.
SELECT status, inserted FROM idem_import_run('products');
COMMIT;

\set body `echo '[{"sku": "A-2", "name": "Chair", "price": "45.00"}, {"sku": "A-3", "name": "Desk", "price": "120.00"}]'`
BEGIN;
CREATE TEMP TABLE page ON COMMIT DROP AS
SELECT * FROM jsonb_to_recordset(:'body') AS p(sku text, name text, price text);
SELECT status, inserted, updated FROM idem_import_run('products', source => 'pg_temp.page',
	input => 'products?page=1', input_hash => sha256(convert_to(:'body', 'UTF8')));
-- the same page again
SELECT status, attempted, inserted, updated FROM idem_import_run('products', source => 'pg_temp.page',
	input => 'products?page=1', input_hash => sha256(convert_to(:'body', 'UTF8')));
COMMIT;

--
-- prove, and II007
--
SELECT idempotent, unit, first_changes, second_changes FROM idem_import_prove('products');
SELECT idem_import_create('dearer', source => 'SELECT sku, name, price * 2 AS price FROM products',
	target => 'products', key => ARRAY['sku']);
\set VERBOSITY sqlstate
SELECT idem_import_prove('dearer');		-- II007
\set VERBOSITY default
CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.name := NEW.name || '!'; RETURN NEW; END$$;
CREATE TRIGGER mark BEFORE INSERT OR UPDATE ON products FOR EACH ROW EXECUTE FUNCTION mark();
UPDATE products_stage SET name = 'Lounge chair' WHERE sku = 'A-2';
SELECT idem_import_prove('products');

--
-- Who may do what
--
CREATE ROLE regress_readme_etl;
CREATE ROLE regress_readme_member IN ROLE regress_readme_etl;
CREATE ROLE regress_readme_other;
GRANT USAGE ON SCHEMA readme TO PUBLIC;
GRANT CREATE ON SCHEMA readme TO regress_readme_etl;
SET ROLE regress_readme_etl;
CREATE TABLE mine (id int PRIMARY KEY);
CREATE TABLE mine_stage (id int);
INSERT INTO mine_stage VALUES (1);
SELECT idem_import_create('mine', source => 'mine_stage', target => 'mine', key => ARRAY['id']);
SET ROLE regress_readme_member;
SELECT status FROM idem_import_run('mine');
SELECT name, owner FROM idem_import_definition;
SET ROLE regress_readme_other;
SELECT name, owner FROM idem_import_definition;
\set VERBOSITY sqlstate
SELECT idem_import_run('mine');		-- 42501
\set VERBOSITY default
RESET ROLE;

--
-- Deterministic keys
--
SELECT idem_import_key('ab', 'c');
SELECT idem_import_key('a', 'bc');
SELECT idem_import_key('');
SELECT idem_import_key(NULL);
SELECT idem_import_key(1);
SELECT idem_import_key(1::bigint);
SELECT idem_import_key('invoice', 42::bigint, date '2026-06-09');
SELECT idem_import_key(numeric '1.0');
SELECT idem_import_key(numeric '1.00');

--
-- Effects
--
CREATE TABLE bills_stage (id int, address text, amount numeric);
CREATE TABLE bills (id int PRIMARY KEY, address text, amount numeric);
INSERT INTO bills_stage VALUES (1, 'ann@example.org', 10), (2, 'bob@example.org', 2000);
SELECT idem_import_create('bills', source => 'bills_stage', target => 'bills', key => ARRAY['id'],
    effects => $$SELECT 'bill ' || id AS key, 'mail' AS kind,
                        jsonb_build_object('to', address, 'subject', 'Your bill', 'body', 'Please pay ' || amount) AS payload,
                        amount > 1000 AS approval
                 FROM inserted$$);
SELECT inserted, note FROM idem_import_run('bills');
SELECT key, kind, status FROM idem_import_effect ORDER BY key;
SELECT key, payload, attempt FROM idem_import_effect_claim('mail', max_effects => 10, lease => '1 minute');
SELECT idem_import_effect_done('bill 1', token => (SELECT token FROM idem_import_effect WHERE key = 'bill 1'), result => '{"message_id": "x"}');
SELECT idem_import_effect_result('bill 1');
DELETE FROM idem_import_effect;

--
-- drop keeps ledger and history, and the next import of the name goes on counting; purge forgets
--
SELECT idem_import_drop('numbers');
SELECT count(*) FROM idem_import_ledger WHERE import = 'numbers';
SELECT idem_import_create('numbers', source => 'SELECT g AS id FROM generate_series(1, 25000) g', target => 'numbers',
	key => ARRAY['id']);
SELECT version FROM idem_import_definition WHERE name = 'numbers';
SELECT idem_import_drop('numbers', purge => true);
SELECT count(*) FROM idem_import_ledger WHERE import = 'numbers';

SELECT count(idem_import_drop(name, purge => true))
FROM idem_import_definition d JOIN pg_class c ON c.oid = d.target WHERE c.relnamespace = 'readme'::regnamespace;
DROP SCHEMA readme CASCADE;
DROP ROLE regress_readme_member, regress_readme_other, regress_readme_etl;
