-- partition.sql: makes the target one of daily partitions, and stages all rows of one day, each changed
--
-- With :has_key the import has a key, else it is known by its scope alone.
ALTER TABLE target RENAME TO whole;
ALTER INDEX target_pkey RENAME TO whole_pkey;
CREATE TABLE target (LIKE whole, day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
SELECT format('CREATE TABLE target_%s PARTITION OF target FOR VALUES FROM (%L) TO (%L)',
	to_char(d, 'YYYYMMDD'), d::date, d::date + 1)
FROM generate_series(timestamp '2026-06-08', '2026-06-10', '1 day') AS d
\gexec
INSERT INTO target SELECT *, '2026-06-09' FROM whole;
INSERT INTO target SELECT *, '2026-06-08' FROM made(:rows + 1, :rows + :rows / 100, :width, 0);
INSERT INTO target SELECT *, '2026-06-10' FROM made(:rows * 2 + 1, :rows * 2 + :rows / 100, :width, 0);
\ir indexes.sql

SELECT idem_import_drop('load', purge => true), idem_import_drop('reload', purge => true);
DROP TABLE whole, stage;
CREATE TABLE stage (LIKE target);
INSERT INTO stage SELECT *, '2026-06-09' FROM made(1, :rows, :width, 1);
\if :has_key
	SELECT idem_import_create('day', source => 'stage', target => 'target', mode => 'overwrite',
		scope => ARRAY['day'], key => ARRAY['id', 'day']);
\else
	-- without a key, to replace rows is to remove them
	SELECT idem_import_create('day', source => 'stage', target => 'target', mode => 'overwrite',
		scope => ARRAY['day'], delete_limit => NULL);
\endif
