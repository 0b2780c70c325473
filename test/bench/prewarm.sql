-- prewarm.sql: read the target, its partitions and indexes, and the staging table into the buffers
WITH heap AS (
	SELECT relid::oid FROM pg_partition_tree('target') WHERE isleaf
	UNION ALL
	SELECT 'stage'::regclass
)
SELECT pg_prewarm(c.oid) FROM pg_class AS c
WHERE c.oid IN (SELECT relid FROM heap)
	OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT relid FROM heap));
