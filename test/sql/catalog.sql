-- What users call and read, to the letter

-- every function explains itself, and none of ours is missing a pinned language
SELECT p.oid::regprocedure AS without_comment
FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'idem_import')
	AND obj_description(p.oid, 'pg_proc') IS NULL;

-- arguments and their defaults
\pset format unaligned
SELECT p.proname, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'idem_import')
ORDER BY p.proname COLLATE "C" \gx

\pset format aligned

-- the result
SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute WHERE attrelid = 'idem_import_result'::regclass AND attnum > 0 ORDER BY attnum;

-- tables: all dumped with their rows, readable by all, guarded by row security, writable by none
SELECT c.relname, c.relkind, c.relrowsecurity, c.oid = ANY (e.extconfig) AS dumped,
	has_table_privilege('pg_monitor', c.oid, 'SELECT') AS readable,
	has_table_privilege('pg_monitor', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writable
FROM pg_extension e
	JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
	JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
WHERE e.extname = 'idem_import' AND c.relkind = 'r'
ORDER BY c.relname COLLATE "C";

\pset format unaligned
SELECT c.relname, string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.oid IN ('idem_import_ledger'::regclass, 'idem_import_history'::regclass,
	'idem_import_reject'::regclass, 'idem_import_manifest'::regclass, 'idem_import_definition'::regclass,
	'idem_import_effect'::regclass, 'idem_import_dropped'::regclass,
	'idem_import_queue'::regclass, 'idem_import_backfill'::regclass, 'idem_import_backfills'::regclass)
GROUP BY c.relname ORDER BY c.relname COLLATE "C" \gx
