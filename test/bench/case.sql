-- case.sql: makes a copy of what tables.sql made the state before a run of :case
--
-- At its end the table "expected" holds what any contender must leave behind.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT :'case' = 'first' AS is_first, :'case' = 'same' AS is_same, :'case' LIKE 'small%' AS is_small,
	:'case' LIKE 'overwrite%' AS is_overwrite, :'case' LIKE 'partition%' AS is_partition,
	:'case' = 'partition_key' AS has_key, :'case' = 'small_again' AS is_again,
	:'case' IN ('cursor', 'snapshot') AS is_increment, :'case' = 'cursor' AS is_cursor,
	-- percent; the cases that are named for it have it in their name
	CASE WHEN :'case' ~ '^[0-9.]+$' THEN coalesce(round(100 / nullif(nullif(:'case', '')::numeric, 0)), 0)
		WHEN :'case' = 'overwrite_1' THEN 100 WHEN :'case' IN ('overwrite_100', 'readers') THEN 1 END AS changed
\gset

\if :is_first
	TRUNCATE target;
	SELECT idem_import_drop('load', purge => true);
	SELECT idem_import_create('load', source => 'stage', target => 'target', key => ARRAY['id']);
\elif :is_same
	-- the receipts are those of the last run
\elif :is_small
	-- 500 changed and 500 new rows, at random over the keys of a large target
	CREATE TEMPORARY TABLE picked AS
		SELECT k, row_number() OVER (ORDER BY hashint8extended(k, 2)) AS n
		FROM (SELECT DISTINCT 1 + abs(hashint8extended(g, 1) % :rows) AS k FROM generate_series(1, 2000) AS g) AS g
		LIMIT 1000;
	TRUNCATE stage;
	INSERT INTO stage
		SELECT m.id + (n > 500)::int, m.customer, m.product, m.at, m.amount, m.note
		FROM picked, LATERAL made(k, k, :width, 1) AS m;
	DROP TABLE picked;
\elif :is_increment
	-- 1000 rows at the end of a source that has been read before
	CREATE INDEX ON stage (id);
	VACUUM (FREEZE, ANALYZE) stage;
	SELECT idem_import_drop('load', purge => true);
	\if :is_cursor
		SELECT idem_import_create('load', source => 'stage', target => 'target', key => ARRAY['id'], cursor_column => 'id');
	\else
		SELECT idem_import_create('load', source => 'stage', target => 'target', key => ARRAY['id'], track => 'snapshot');
	\endif
	SELECT status FROM idem_import_run('load');
	INSERT INTO stage SELECT * FROM made(:rows + 1, :rows + 1000, :width, 0);
\elif :is_overwrite
	-- besides the changed rows, one percent has gone and as many are new
	TRUNCATE stage;
	INSERT INTO stage SELECT * FROM made(:rows / 100 + 1, :rows + :rows / 100, :width, :changed);
\elif :is_partition
	\ir partition.sql
\else
	TRUNCATE stage;
	INSERT INTO stage SELECT * FROM made(1, :rows, :width, :changed);
\endif

\if :is_again
	SELECT status FROM idem_import_run('load');
\endif

VACUUM (FREEZE, ANALYZE) target;
ANALYZE stage;
COPY stage TO :'copy_file' (FORMAT binary);

CREATE TABLE expected AS
SELECT count(*) AS rows, idem_import_checksum(idem_import_hash(e)) AS checksum
FROM (
	SELECT * FROM stage
	UNION ALL
	SELECT * FROM target AS t WHERE NOT :'is_overwrite' AND NOT EXISTS (SELECT FROM stage AS s WHERE s.id = t.id)
) AS e;
