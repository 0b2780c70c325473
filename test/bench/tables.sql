-- tables.sql: what all cases of one configuration start from
--
-- :rows rows of about :width bytes of data in a target with :indexes indexes,
-- a staging table with the same rows, and two imports that have been run once,
-- so that each has its receipt.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION idem_import;
CREATE EXTENSION pg_prewarm;

CREATE TABLE target (
	id bigint PRIMARY KEY,
	customer int NOT NULL,
	product int NOT NULL,
	at timestamptz NOT NULL,
	amount numeric(12,2) NOT NULL,
	note text NOT NULL
);

-- Rows first..last in the order of their key, as files mostly come.  Every
-- changed-th is not as it was; none is with 0.  All columns but the note take
-- 33 bytes.  Ids are even, which leaves room for new rows between them.
CREATE FUNCTION made(first bigint, last bigint, width int, changed int)
RETURNS TABLE (id bigint, customer int, product int, at timestamptz, amount numeric(12,2), note text)
LANGUAGE sql IMMUTABLE AS $$
	SELECT 2 * i, (i * 7919 % 100003)::int, (i * 31 % 997)::int,
		timestamptz '2026-01-01 00:00+00' + i * interval '1 second' + is_changed * interval '1 day',
		(i % 100000) / 100.0 + 1000 + is_changed,
		left(repeat(md5(i::text), width / 32 + 1), width - 33)
	FROM generate_series(first, last) AS i,
		LATERAL (SELECT (changed > 0 AND i % greatest(changed, 1) = 0)::int AS is_changed) AS c
$$;

INSERT INTO target SELECT * FROM made(1, :rows, :width, 0);
CREATE TABLE stage (LIKE target INCLUDING DEFAULTS);
INSERT INTO stage SELECT * FROM target;
\ir indexes.sql
VACUUM (FREEZE, ANALYZE) target;
ANALYZE stage;
SELECT idem_import_create('load', source => 'stage', target => 'target', key => ARRAY['id']);
SELECT idem_import_create('reload', source => 'stage', target => 'target', key => ARRAY['id'], mode => 'overwrite');
SELECT status FROM idem_import_run('load');
SELECT status FROM idem_import_run('reload');
