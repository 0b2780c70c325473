-- demo.sql: two real snapshots of the IEEE registry of network card vendors, imported again and again
--
-- Run by "make demo"; psql stands in the top folder of the checkout.

\pset null '-'
\pset footer off

\echo
\echo '1. A table, and a staging table for the files (its columns may come in any order)'
CREATE EXTENSION idem_import;
CREATE TABLE registry (assignment text PRIMARY KEY, registry text, organization text, address text);
CREATE TABLE registry_stage (registry text, assignment text, organization text, address text);
\copy registry_stage FROM PROGRAM 'gzip -dc test/data/oui-2022-08-27.csv.gz' WITH (FORMAT csv, HEADER)
SELECT count(*) AS staged_rows, count(DISTINCT assignment) AS keys FROM registry_stage;

\echo '2. The import, declared once: registry shall be what the file says, row by row of its key'
SELECT idem_import_create('registry', source => 'registry_stage', target => 'registry',
	mode => 'merge', key => ARRAY['assignment'], delete_missing => true);

\echo '3. The file holds different rows of one key, and nothing says which one wins: refused (II003)'
\echo
\set ON_ERROR_STOP off
SELECT status FROM idem_import_run('registry');
\set ON_ERROR_STOP on
SELECT :'LAST_ERROR_SQLSTATE' = 'II003' AS refused \gset
\if :refused
\else
	DO $$BEGIN RAISE 'the run should have been refused with II003'; END$$;
\endif
\echo
SELECT assignment, organization FROM registry_stage
WHERE assignment IN (SELECT assignment FROM registry_stage GROUP BY 1 HAVING count(*) > 1)
ORDER BY 1, 2;

\echo '4. So say it, and run'
SELECT idem_import_alter('registry', order_by => 'organization, address');
SELECT status, method, engine, attempted, inserted, updated, unchanged, collapsed, removed, elapsed
FROM idem_import_run('registry');

\echo '5. Run it again, as a retry or a second click would: nothing is written'
SELECT status, attempted, inserted, updated, unchanged, collapsed, removed, elapsed, note
FROM idem_import_run('registry');

\echo '6. The file of two years later: first a plan, which writes nothing, then the run'
TRUNCATE registry_stage;
\copy registry_stage FROM PROGRAM 'gzip -dc test/data/oui-2024-07-22.csv.gz' WITH (FORMAT csv, HEADER)
SELECT status, attempted, inserted, updated, unchanged, collapsed, removed
FROM idem_import_plan('registry');
SELECT status, attempted, inserted, updated, unchanged, collapsed, removed, elapsed
FROM idem_import_run('registry');

\echo '7. The proof stays in the database: the receipt of the last run, and the history of all'
SELECT import, unit, status, attempts, source_rows, target_rows, target_checksum, version
FROM idem_import_ledger;
SELECT run_id, status, attempted, inserted, updated, unchanged, collapsed, removed, version, sqlstate
FROM idem_import_history ORDER BY run_id;

\echo '8. And the same checksum, asked of the table itself'
SELECT count(*), idem_import_checksum(idem_import_hash(r)) FROM registry r;

-- What the two files hold was counted with another CSV reader.
DO $$
DECLARE
	expected CONSTANT text := 'applied 32530 32527 0 0 3 0, skipped 32530 0 0 32527 3 0, applied 35816 3287 863 31663 3 1';
	happened text;
BEGIN
	SELECT string_agg(concat_ws(' ', status, attempted, inserted, updated, unchanged, collapsed, removed), ', ' ORDER BY run_id)
	INTO happened FROM idem_import_history WHERE sqlstate IS NULL;
	IF happened IS DISTINCT FROM expected THEN
		RAISE 'the demo came out differently' USING DETAIL = format('expected: %s; happened: %s', expected, happened);
	END IF;
	IF (SELECT count(*) FROM registry) <> 35813 THEN
		RAISE 'registry should hold 35813 rows';
	END IF;
	IF (SELECT organization FROM registry WHERE assignment = '080030') <> 'CERN' THEN
		RAISE 'the declared order should have chosen CERN for 080030';
	END IF;
END
$$;
