-- case.sql: makes a copy of what tables.sql made the state before a run of :case
--
-- At its end the table "expected" holds what any contender must leave behind.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT :'case' = 'first' AS is_first, :'case' = 'same' AS is_same, :'case' = 'small' AS is_small,
	:'case' LIKE 'overwrite%' AS is_overwrite,
	-- percent; the cases that are named for it have it in their name
	CASE WHEN :'case' ~ '^[0-9.]+$' THEN round(100 / nullif(:'case', '')::numeric)
		WHEN :'case' = 'overwrite_1' THEN 100 WHEN :'case' = 'overwrite_100' THEN 1 END AS changed
\gset

\if :is_first
	TRUNCATE target;
	SELECT idem_import_drop('load', purge => true);
	SELECT idem_import_create('load', source => 'stage', target => 'target', key => ARRAY['id']);
\elif :is_same
	-- the receipts are those of the last run
\elif :is_small
	-- 1000 rows all over a large target: 500 changed, 250 as they were, 250 new
	TRUNCATE stage;
	INSERT INTO stage
		SELECT m.* FROM generate_series(1, 750) AS g,
			LATERAL made(g * (:rows / 750), g * (:rows / 750), :width, (g % 3 <> 0)::int) AS m
		UNION ALL SELECT * FROM made(:rows + 1, :rows + 250, :width, 0);
\elif :is_overwrite
	-- besides the changed rows, one percent has gone and as many are new
	TRUNCATE stage;
	INSERT INTO stage SELECT * FROM made(:rows / 100 + 1, :rows + :rows / 100, :width, :changed);
\else
	TRUNCATE stage;
	INSERT INTO stage SELECT * FROM made(1, :rows, :width, :changed);
\endif

VACUUM (FREEZE, ANALYZE) target, stage;
COPY stage TO :'copy_file' (FORMAT binary);

CREATE TABLE expected AS
SELECT count(*) AS rows, idem_import_checksum(idem_import_hash(e)) AS checksum
FROM (
	SELECT * FROM stage
	UNION ALL
	SELECT * FROM target AS t WHERE NOT :'is_overwrite' AND NOT EXISTS (SELECT FROM stage AS s WHERE s.id = t.id)
) AS e;
