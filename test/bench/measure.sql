-- measure.sql: runs one contender (:statements, a file) in a fresh backend, and prints
-- seconds,WAL bytes,peak of memory in bytes
--
-- VmHWM counts shared buffers that the backend has touched, which say nothing
-- about its own hunger.  They are taken off: those touched by the end are at
-- least those touched at the peak, so the figure is a lower bound, and what the
-- backend holds at the end is another.  Reading everything into the buffers
-- first brings the bound close, and spares each contender the cold start that
-- the copying of the database would be.  The hash table that a parallel join
-- shares counts here, since the backend touches it too; what its workers hold
-- for themselves is seen from outside, see sample_memory.
\set ON_ERROR_STOP on
\o /dev/null
\ir prewarm.sql
SELECT pg_current_wal_insert_lsn() AS lsn, clock_timestamp() AS start \gset
\i :statements
SELECT extract(epoch FROM clock_timestamp() - :'start') AS seconds,
	pg_current_wal_insert_lsn() - :'lsn' AS wal \gset
SELECT pg_read_file('/proc/' || pg_backend_pid() || '/status') AS status \gset
\o
WITH memory AS (
	SELECT m[1] AS name, m[2]::bigint * 1024 AS bytes
	FROM regexp_matches(:'status', '(VmHWM|RssAnon|RssFile|RssShmem):\s+(\d+) kB', 'g') AS m
)
SELECT round(:seconds, 6), :wal,
	greatest(sum(bytes) FILTER (WHERE name = 'RssAnon'),
		sum(CASE name WHEN 'VmHWM' THEN bytes WHEN 'RssAnon' THEN 0 ELSE -bytes END))
FROM memory;
