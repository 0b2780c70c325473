-- What is wrong with tables as they lie in storage, for TAP tests: one row for
-- each fault, none if all is well.  Needs amcheck; runs on a standby, too.
CREATE FUNCTION storage_faults(VARIADIC tables regclass[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	heap record;
	index record;
	fault record;
BEGIN
	RETURN QUERY SELECT 'transient relation left: ' || relname FROM pg_class WHERE relname LIKE 'pg\_temp\_%' OR relrewrite <> 0;
	RETURN QUERY SELECT 'TOAST table of nobody: ' || relname FROM pg_class t
		WHERE relkind = 't' AND NOT EXISTS (SELECT FROM pg_class c WHERE c.reltoastrelid = t.oid);
	RETURN QUERY SELECT format('TOAST table of %s is called %s', c.oid::regclass, t.relname)
		FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid
		WHERE c.oid >= 16384 AND t.relname <> 'pg_toast_' || c.oid;
	RETURN QUERY SELECT format('TOAST table of %s does not go with it', c.oid::regclass)
		FROM pg_class c
		WHERE c.reltoastrelid >= 16384 AND c.oid >= 16384 AND 1 <>
			(SELECT count(*) FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.reltoastrelid
				AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype = 'i');

	FOR heap IN
		SELECT c.oid::regclass AS name FROM unnest(tables) t, pg_partition_tree(t) p JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf
		UNION ALL
		SELECT c.reltoastrelid FROM unnest(tables) t, pg_partition_tree(t) p JOIN pg_class c ON c.oid = p.relid
		WHERE p.isleaf AND c.reltoastrelid <> 0
	LOOP
		FOR fault IN SELECT * FROM verify_heapam(heap.name, check_toast => true)
		LOOP
			RETURN NEXT format('%s (%s,%s) attribute %s: %s', heap.name, fault.blkno, fault.offnum, fault.attnum, fault.msg);
		END LOOP;
		FOR index IN
			SELECT i.indexrelid::regclass AS name, a.amname = 'btree' AS btree, i.indisvalid AND i.indisready AND i.indislive AS usable
			FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
			WHERE i.indrelid = heap.name
		LOOP
			IF NOT index.usable THEN
				RETURN NEXT format('%s is not valid', index.name);
			ELSIF index.btree THEN
				BEGIN
					PERFORM bt_index_check(index.name, true);
				EXCEPTION WHEN index_corrupted OR data_corrupted OR internal_error OR undefined_file THEN
					RETURN NEXT format('%s: %s', index.name, SQLERRM);
				END;
			END IF;
		END LOOP;
	END LOOP;
END
$$;
