-- check.sql: what every test of runs asks, in functions of the current schema
--
-- Included by the tests in test/sql, which print what these functions return:
--
--   again(import, ...)    a run with its counts, and "ok" if all that must hold does
--   refused(sql)          how a statement fails
--
-- again() plans the import, runs it, and runs it twice more, the second time
-- with force.  Whatever does not hold is named in the last column.

-- a digest of all rows where they lie: one write, and it is another
CREATE FUNCTION image(target regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	place text := 'tableoid, ctid, xmin,';
	result text;
BEGIN
	IF (SELECT relkind FROM pg_class WHERE oid = target) IN ('v', 'f') THEN
		place := '';
	END IF;
	EXECUTE format('SELECT md5(string_agg(i, E''\n'' ORDER BY i)) FROM (SELECT ROW(%s t.*)::text FROM %s t) i(i)', place, target)
		INTO result;
	RETURN result;
END $$;

-- the checksum of a unit, computed as the manual says
CREATE FUNCTION unit_checksum(import text, unit text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	d idem_import_definition;
	args text;
	cond text := 'true';
	result uuid;
BEGIN
	SELECT * INTO d FROM idem_import_definition WHERE name = import;
	PERFORM set_config('TimeZone', coalesce(d.settings->>'TimeZone', 'UTC'), true);
	SELECT string_agg(format('t.%I', c), ', ' ORDER BY n) INTO args FROM unnest(d.columns) WITH ORDINALITY c(c, n);
	IF cardinality(d.columns) > 100 OR cardinality(d.columns) = 1 THEN
		args := format('ROW(%s)', args);
	END IF;
	IF cardinality(d.scope) > 1 THEN
		SELECT string_agg(format('to_jsonb(t.%I) = $1::jsonb->%L', c, c), ' AND ') INTO cond FROM unnest(d.scope) c;
	ELSIF d.slice IS NOT NULL THEN
		SELECT format('$1::%s @> t.%I', CASE format_type(atttypid, NULL)
				WHEN 'date' THEN 'daterange'
				WHEN 'timestamp without time zone' THEN 'tsrange'
				WHEN 'timestamp with time zone' THEN 'tstzrange'
				WHEN 'numeric' THEN 'numrange'
				WHEN 'integer' THEN 'int4range'
				ELSE 'int8range' END, attname) INTO cond
		FROM pg_attribute WHERE attrelid = d.target AND attname = d.scope[1];
	ELSIF cardinality(d.scope) = 1 THEN
		SELECT format('t.%I = $1::%s', attname, format_type(atttypid, NULL)) INTO cond
		FROM pg_attribute WHERE attrelid = d.target AND attname = d.scope[1];
	END IF;
	EXECUTE format('SELECT idem_import_checksum(idem_import_hash(%s)) FROM %s t WHERE %s', args, d.target, cond)
		INTO result USING unit;
	RETURN result;
END $$;

CREATE TYPE counts AS (
	unit text, status text, method text, attempted bigint, inserted bigint, updated bigint, unchanged bigint,
	stale bigint, collapsed bigint, rejected bigint, deleted bigint, removed bigint, checks text);

CREATE FUNCTION again(import text, scope text DEFAULT NULL, force boolean DEFAULT false, source regclass DEFAULT NULL)
RETURNS SETOF counts LANGUAGE plpgsql AS $$
DECLARE
	target regclass := (SELECT d.target FROM idem_import_definition d WHERE d.name = again.import);
	plan idem_import_result[];
	first idem_import_result[];
	second idem_import_result[];
	third idem_import_result[];
	p idem_import_result;
	f idem_import_result;
	s idem_import_result;
	t idem_import_result;
	before text;
	after text;
	drift text := '';
	bad text[];
BEGIN
	before := image(target);
	plan := array(SELECT r FROM idem_import_plan(import, scope, source) r);
	IF image(target) IS DISTINCT FROM before THEN
		drift := drift || ' plan wrote;';
	END IF;
	first := array(SELECT r FROM idem_import_run(import, scope, force, source) r);
	after := image(target);
	second := array(SELECT r FROM idem_import_run(import, scope, false, source) r);
	IF image(target) IS DISTINCT FROM after THEN
		drift := drift || ' second run wrote;';
	END IF;
	third := array(SELECT r FROM idem_import_run(import, scope, true, source) r);
	IF image(target) IS DISTINCT FROM after THEN
		drift := drift || ' forced run wrote;';
	END IF;
	IF cardinality(plan) <> cardinality(first) OR cardinality(first) <> cardinality(second) OR
	   cardinality(first) <> cardinality(third) THEN
		drift := drift || format(' units: %s %s %s %s;', cardinality(plan), cardinality(first), cardinality(second), cardinality(third));
	END IF;
	IF (SELECT count(DISTINCT r.run_id) <> count(*) FROM unnest(first || second || third) r) THEN
		drift := drift || ' run_id not unique;';
	END IF;

	FOR i IN 1 .. cardinality(first) LOOP
		p := plan[i];
		f := first[i];
		s := second[i];
		t := third[i];
		bad := '{}';
		IF f.attempted <> f.inserted + f.updated + f.unchanged + f.stale + f.collapsed + f.rejected + f.deleted THEN
			bad := bad || 'sum'::text;
		END IF;
		IF (p.unit, p.status, p.method, p.attempted, p.inserted, p.updated, p.unchanged, p.stale, p.collapsed, p.rejected, p.deleted, p.removed)
		   IS DISTINCT FROM
		   (f.unit, f.status, f.method, f.attempted, f.inserted, f.updated, f.unchanged, f.stale, f.collapsed, f.rejected, f.deleted, f.removed) THEN
			bad := bad || format('plan %s', p);
		END IF;
		IF s.status <> 'skipped' OR t.status <> 'skipped' OR
		   s.inserted + s.updated + s.deleted + s.removed + t.inserted + t.updated + t.deleted + t.removed > 0 THEN
			bad := bad || format('rerun %s %s', s, t);
		END IF;
		IF (s.unit, s.method, s.attempted, s.unchanged, s.stale, s.collapsed, s.rejected) IS DISTINCT FROM
		   (t.unit, t.method, t.attempted, t.unchanged, t.stale, t.collapsed, t.rejected) THEN
			bad := bad || format('skipped %s forced %s', s, t);
		END IF;
		IF s.attempted <> f.attempted OR s.unit <> f.unit THEN
			bad := bad || format('reread %s', s);
		END IF;
		IF f.checksum IS NOT NULL AND f.checksum <> unit_checksum(import, f.unit) OR
		   f.checksum IS DISTINCT FROM s.checksum OR f.checksum IS DISTINCT FROM t.checksum THEN
			bad := bad || 'checksum'::text;
		END IF;
		RETURN NEXT (f.unit, f.status, f.method, f.attempted, f.inserted, f.updated, f.unchanged, f.stale, f.collapsed,
					 f.rejected, f.deleted, f.removed,
					 CASE WHEN drift = '' AND bad = '{}' THEN 'ok' ELSE drift || ' ' || array_to_string(bad, '; ') END)::counts;
	END LOOP;
	IF first = '{}' AND drift <> '' THEN
		RAISE EXCEPTION '%', drift;
	END IF;
END $$;

-- how a statement fails; nothing if it does not
CREATE FUNCTION refused(statement text, OUT code text, OUT message text, OUT detail text, OUT hint text)
RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE statement;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
			detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN NEXT;
	END;
END $$;
