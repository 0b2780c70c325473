-- readers.sql: runs :statements while pgbench reads, and prints when they began and ended, in seconds since 1970
--
-- The five seconds before are what they are compared with.
\set ON_ERROR_STOP on
\o /dev/null
\ir prewarm.sql
SELECT pg_sleep(7);
SELECT extract(epoch FROM clock_timestamp()) AS start \gset
\i :statements
SELECT extract(epoch FROM clock_timestamp()) AS stop \gset
-- time for the reads that waited
SELECT pg_sleep(2.5);
\o
SELECT :start, :stop;
