-- check.sql: is the table as expected?
SELECT (count(*), idem_import_checksum(idem_import_hash(t))) = (SELECT rows, checksum FROM expected)
FROM target AS t;
