/* idem_import.sql: everything that CREATE EXTENSION idem_import makes, readable from top to bottom */

-- complain if the script is sourced in psql rather than run by CREATE EXTENSION
\echo Use "CREATE EXTENSION idem_import" to load this file. \quit

------------------------------------------------------------------------------
-- 1. Tables: what we know and what has happened
--
-- Only the extension's own C code writes them, as the extension's owner.  They
-- name relations and roles by regclass and regrole, so that they survive
-- rename, dump and restore, and pg_upgrade.
------------------------------------------------------------------------------

CREATE TABLE idem_import_definition (
	name            text PRIMARY KEY,
	version         int NOT NULL,
	owner           regrole NOT NULL,
	source_table    regclass,           -- the source: either a relation ...
	source_query    text,               -- ... or a SELECT
	target          regclass NOT NULL,
	mode            text NOT NULL CHECK (mode IN ('merge', 'insert_only', 'overwrite')),
	key             text[],
	scope           text[],
	slice           text,
	columns         text[] NOT NULL,    -- resolved, in the target's order
	columns_auto    boolean NOT NULL,   -- true: all that source and target shared when it was recorded
	source_columns  text[] NOT NULL,    -- what the source had when it was recorded
	order_by        text,
	version_column  text,
	keep_columns    text[] NOT NULL,
	ignore_columns  text[] NOT NULL,
	null_key        text NOT NULL CHECK (null_key IN ('reject', 'match')),
	delete_flag     text,
	delete_missing  boolean NOT NULL,
	delete_limit    numeric,
	out_of_scope    text NOT NULL CHECK (out_of_scope IN ('error', 'reject', 'ignore')),
	cursor_column   text,
	overlap         text,
	track           text NOT NULL CHECK (track IN ('none', 'cursor', 'snapshot')),
	batch_size      bigint CHECK (batch_size > 0),
	reject_limit    bigint,
	method          text NOT NULL CHECK (method IN ('auto', 'diff', 'swap', 'replace')),
	settings        jsonb NOT NULL,
	effects         text,               -- a SELECT over inserted, updated and deleted
	created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
	altered_at      timestamptz,
	previous        jsonb NOT NULL DEFAULT '[]',   -- the versions before this one, oldest first
	CHECK ((source_table IS NULL) <> (source_query IS NULL))
);

CREATE TABLE idem_import_ledger (
	import           text NOT NULL,
	unit             text NOT NULL,
	status           text NOT NULL CHECK (status IN ('applied', 'failed', 'awaiting_approval')),
	version          int NOT NULL,
	attempts         bigint NOT NULL,
	-- the receipt: what source and target held when the unit was last applied
	source_rows      bigint,
	source_checksum  uuid,
	target_rows      bigint,
	target_checksum  uuid,
	stale            bigint,            -- of source_rows, what a rerun would count again
	collapsed        bigint,
	rejected         bigint,
	receipt_version  int,               -- the definition that the receipt belongs to
	receipt_run_id   bigint,            -- the run that gave it
	run_id           bigint NOT NULL,   -- the run that wrote this row last
	first_applied_at timestamptz,
	applied_at       timestamptz,
	attempted_at     timestamptz NOT NULL,
	sqlstate         text,              -- of the last attempt, where it failed
	message          text,
	detail           text,
	to_remove        bigint,            -- awaiting_approval: target rows that the run would have removed
	approved_by      regrole,           -- who let the next run remove that many, once
	approved_at      timestamptz,
	PRIMARY KEY (import, unit)
);

CREATE SEQUENCE idem_import_run_id AS bigint;

CREATE TABLE idem_import_history (
	run_id       bigint PRIMARY KEY,
	import       text NOT NULL,
	unit         text NOT NULL,
	status       text NOT NULL CHECK (status IN ('applied', 'skipped', 'failed', 'awaiting_approval')),
	method       text,
	engine       text,
	attempted    bigint NOT NULL,
	inserted     bigint NOT NULL,
	updated      bigint NOT NULL,
	unchanged    bigint NOT NULL,
	stale        bigint NOT NULL,
	collapsed    bigint NOT NULL,
	rejected     bigint NOT NULL,
	deleted      bigint NOT NULL,
	removed      bigint NOT NULL,
	checkpoint   text,
	checksum     uuid,
	elapsed      interval NOT NULL,
	note         text,
	version      int NOT NULL,
	started_at   timestamptz NOT NULL,
	lower_bound  text,                  -- the unit's logical bounds, of a single scope column
	upper_bound  text,
	who          regrole NOT NULL,
	sqlstate     text,
	message      text,
	detail       text
);

CREATE INDEX idem_import_history_unit ON idem_import_history (import, unit, run_id);
-- the last run of an import that succeeded, and the last that did not
CREATE INDEX idem_import_history_last ON idem_import_history (import, (status IN ('applied', 'skipped')), run_id);

-- how far a source has been read; moves in the transaction that applied the rows
CREATE TABLE idem_import_checkpoint (
	import     text PRIMARY KEY,
	track      text NOT NULL CHECK (track IN ('cursor', 'snapshot')),
	checkpoint text NOT NULL,           -- the mark: a value of the cursor column, or a snapshot
	mark_at    timestamptz,             -- the mark as a time, if it is one
	kind       text,                    -- of a mark: the type and collation of its column
	cluster    text,                    -- of a snapshot: whose transactions it tells of
	run_id     bigint,                  -- the run that moved it; NULL: it was rewound, or read rows of no unit
	moved_at   timestamptz NOT NULL
);

CREATE TABLE idem_import_reject (
	reject_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	import          text NOT NULL,
	unit            text NOT NULL,
	run_id          bigint NOT NULL,    -- the run that met it last
	"row"           jsonb NOT NULL,
	row_hash        uuid NOT NULL,
	key             jsonb,
	sqlstate        text NOT NULL,
	message         text NOT NULL,
	column_name     text,
	constraint_name text,
	attempts        bigint NOT NULL DEFAULT 1,
	rejected_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
	resolved_at     timestamptz
);

-- the same bad row met again is the same reject
CREATE UNIQUE INDEX idem_import_reject_open ON idem_import_reject (import, unit, row_hash)
	WHERE resolved_at IS NULL;

SELECT pg_catalog.pg_extension_config_dump('idem_import_definition', '');
SELECT pg_catalog.pg_extension_config_dump('idem_import_ledger', '');
SELECT pg_catalog.pg_extension_config_dump('idem_import_history', '');
SELECT pg_catalog.pg_extension_config_dump('idem_import_run_id', '');
SELECT pg_catalog.pg_extension_config_dump('idem_import_checkpoint', '');
SELECT pg_catalog.pg_extension_config_dump('idem_import_reject', '');
SELECT pg_catalog.pg_extension_config_dump('idem_import_reject_reject_id_seq', '');

-- Everybody may look; row security shows the imports that one may run.
ALTER TABLE idem_import_definition ENABLE ROW LEVEL SECURITY;
ALTER TABLE idem_import_ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE idem_import_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE idem_import_checkpoint ENABLE ROW LEVEL SECURITY;
ALTER TABLE idem_import_reject ENABLE ROW LEVEL SECURITY;

CREATE POLICY visible ON idem_import_definition FOR SELECT
	USING (pg_catalog.pg_has_role(owner, 'USAGE'));
CREATE POLICY visible ON idem_import_ledger FOR SELECT
	USING (EXISTS (SELECT FROM idem_import_definition d WHERE d.name = import));
CREATE POLICY visible ON idem_import_history FOR SELECT
	USING (EXISTS (SELECT FROM idem_import_definition d WHERE d.name = import));
CREATE POLICY visible ON idem_import_checkpoint FOR SELECT
	USING (EXISTS (SELECT FROM idem_import_definition d WHERE d.name = import));
CREATE POLICY visible ON idem_import_reject FOR SELECT
	USING (EXISTS (SELECT FROM idem_import_definition d WHERE d.name = import));

GRANT SELECT ON idem_import_definition, idem_import_ledger, idem_import_history, idem_import_checkpoint,
	idem_import_reject TO PUBLIC;

COMMENT ON TABLE idem_import_definition IS 'the imports as they are declared now, with their earlier versions';
COMMENT ON TABLE idem_import_ledger IS 'a row per import and unit: its state, its receipt, its last failure';
COMMENT ON TABLE idem_import_history IS 'a row per run, with exact counts';
COMMENT ON TABLE idem_import_checkpoint IS 'how far the source of an import has been read';
COMMENT ON TABLE idem_import_reject IS 'staged rows that could not be applied, with the reason';

-- The outbox: at most one effect of a key, ever.
CREATE TABLE idem_import_effect (
	key          text PRIMARY KEY,
	effect_id    bigint GENERATED ALWAYS AS IDENTITY,   -- effects that are due at the same time go in this order
	kind         text NOT NULL,
	payload      jsonb,
	status       text NOT NULL CHECK (status IN ('awaiting_approval', 'pending', 'claimed', 'done', 'failed')),
	import       text,                  -- whose run wants it; NULL: added by hand
	unit         text,
	run_id       bigint,
	owner        regrole NOT NULL,      -- whose members may claim it
	due_at       timestamptz,           -- from when on it may be claimed: of a claimed one, when the lease ends
	attempt      int NOT NULL DEFAULT 0,    -- how many times it was claimed
	failures     int NOT NULL DEFAULT 0,    -- how many of them were reported as failed, since it was released
	token        uuid,                  -- of the last claim
	result       jsonb,
	error        text,                  -- of the last failure
	approved_by  regrole,
	approved_at  timestamptz,
	created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
	claimed_at   timestamptz,
	done_at      timestamptz,
	CHECK ((due_at IS NOT NULL) = (status IN ('pending', 'claimed')))
);

-- what may be claimed, next first; effects leave it when they are done
CREATE INDEX idem_import_effect_queue ON idem_import_effect (kind, owner, due_at, effect_id)
	WHERE status IN ('pending', 'claimed');

SELECT pg_catalog.pg_extension_config_dump('idem_import_effect', '');
SELECT pg_catalog.pg_extension_config_dump('idem_import_effect_effect_id_seq', '');

ALTER TABLE idem_import_effect ENABLE ROW LEVEL SECURITY;

CREATE POLICY visible ON idem_import_effect FOR SELECT
	USING (pg_catalog.pg_has_role(owner, 'USAGE'));

GRANT SELECT ON idem_import_effect TO PUBLIC;

COMMENT ON TABLE idem_import_effect IS 'the outbox: actions on the outside world, each guarded by its key';

CREATE TABLE idem_import_manifest (
	import         text NOT NULL,
	input          text NOT NULL,
	sha256         bytea,               -- NULL: none was given, or a file was not read to its end
	scope          text,                -- that the run was called with
	status         text NOT NULL CHECK (status IN ('complete', 'skipped', 'failed', 'awaiting_approval')),
	size           bigint,              -- of a file, in bytes
	rows           bigint,              -- complete: rows that it had,
	units          text[],              -- the units that they belong to,
	applied_run_id bigint,              -- and the last run that applied them
	attempts       bigint NOT NULL,
	run_id         bigint NOT NULL,     -- the run that met it last
	first_seen_at  timestamptz NOT NULL,
	last_seen_at   timestamptz NOT NULL,
	completed_at   timestamptz,
	sqlstate       text,                -- of the last attempt, where it failed
	message        text,
	detail         text,
	UNIQUE NULLS NOT DISTINCT (import, input, sha256, scope)
);

CREATE INDEX idem_import_manifest_sha256 ON idem_import_manifest (import, sha256);

SELECT pg_catalog.pg_extension_config_dump('idem_import_manifest', '');

ALTER TABLE idem_import_manifest ENABLE ROW LEVEL SECURITY;

CREATE POLICY visible ON idem_import_manifest FOR SELECT
	USING (EXISTS (SELECT FROM idem_import_definition d WHERE d.name = import));

GRANT SELECT ON idem_import_manifest TO PUBLIC;

COMMENT ON TABLE idem_import_manifest IS 'a row per named input: a file, a page of an API; what it was, and what became of it';

CREATE TYPE idem_import_result AS (
	run_id     bigint,
	import     text,
	unit       text,
	status     text,
	method     text,
	engine     text,
	attempted  bigint,
	inserted   bigint,
	updated    bigint,
	unchanged  bigint,
	stale      bigint,
	collapsed  bigint,
	rejected   bigint,
	deleted    bigint,
	removed    bigint,
	checkpoint text,
	checksum   uuid,
	elapsed    interval,
	note       text
);

COMMENT ON TYPE idem_import_result IS 'what a run did to one unit: every staged row counted once';

-- How each import is doing.  It reads with the rights of whoever asks, so that
-- row security shows the same imports as in the tables.  The last run of each
-- kind is one look into an index, however long the history is.
CREATE VIEW idem_import_status WITH (security_invoker = true) AS
SELECT d.name AS import,
	d.owner,
	coalesce(d.source_table::text, d.source_query) AS source,
	d.target::text AS target,
	d.mode,
	d.track,
	h.run_id AS last_run_id,
	h.status AS last_status,
	h.started_at AS last_started_at,
	h.elapsed AS last_elapsed,
	h.note AS last_note,
	h.sqlstate AS last_sqlstate,
	h.message AS last_error,
	coalesce(good.started_at, l.applied_at) AS last_success_at,
	l.units,
	l.units_failed,
	l.units_awaiting_approval,
	c.checkpoint,
	pg_catalog.statement_timestamp() - coalesce(c.mark_at, good.started_at, l.applied_at) AS lag,
	r.open_rejects
FROM idem_import_definition d
	LEFT JOIN LATERAL (
		SELECT g.run_id, g.started_at FROM idem_import_history g
		WHERE g.import = d.name AND (g.status IN ('applied', 'skipped')) IS TRUE
		ORDER BY g.run_id DESC LIMIT 1) good ON true
	LEFT JOIN LATERAL (
		SELECT b.run_id FROM idem_import_history b
		WHERE b.import = d.name AND (b.status IN ('applied', 'skipped')) IS FALSE
		ORDER BY b.run_id DESC LIMIT 1) bad ON true
	LEFT JOIN idem_import_history h ON h.run_id = greatest(good.run_id, bad.run_id)
	LEFT JOIN idem_import_checkpoint c ON c.import = d.name
	CROSS JOIN LATERAL (
		SELECT count(*) AS units,
			count(*) FILTER (WHERE u.status = 'failed') AS units_failed,
			count(*) FILTER (WHERE u.status = 'awaiting_approval') AS units_awaiting_approval,
			max(u.applied_at) AS applied_at
		FROM idem_import_ledger u WHERE u.import = d.name) l
	CROSS JOIN LATERAL (
		SELECT count(*) AS open_rejects
		FROM idem_import_reject j WHERE j.import = d.name AND j.resolved_at IS NULL) r;

GRANT SELECT ON idem_import_status TO PUBLIC;

COMMENT ON VIEW idem_import_status IS 'a line per import: its last run, its units, how far behind it is';

------------------------------------------------------------------------------
-- 2. Declaring imports
------------------------------------------------------------------------------

CREATE FUNCTION idem_import_create(
	name text, source text, target regclass,
	mode text DEFAULT 'merge',
	key text[] DEFAULT NULL,
	scope text[] DEFAULT NULL,
	slice text DEFAULT NULL,
	columns text[] DEFAULT NULL,
	order_by text DEFAULT NULL,
	version_column text DEFAULT NULL,
	keep_columns text[] DEFAULT '{}',
	ignore_columns text[] DEFAULT '{}',
	null_key text DEFAULT 'reject',
	delete_flag text DEFAULT NULL,
	delete_missing boolean DEFAULT false,
	delete_limit numeric DEFAULT 0.5,
	out_of_scope text DEFAULT 'error',
	cursor_column text DEFAULT NULL,
	overlap text DEFAULT NULL,
	track text DEFAULT 'none',
	batch_size bigint DEFAULT NULL,
	reject_limit bigint DEFAULT 0,
	method text DEFAULT 'auto',
	effects text DEFAULT NULL,
	max_attempts int DEFAULT 5,
	backoff interval DEFAULT '10 seconds',
	settings jsonb DEFAULT '{}'
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_create';

COMMENT ON FUNCTION idem_import_create(text, text, regclass, text, text[], text[], text, text[], text, text, text[], text[], text, text, boolean, numeric, text, text, text, text, bigint, bigint, text, text, int, interval, jsonb)
	IS 'declare an import; its owner is the current user';

CREATE FUNCTION idem_import_alter(
	name text, source text DEFAULT NULL, target regclass DEFAULT NULL,
	mode text DEFAULT NULL,
	key text[] DEFAULT NULL,
	scope text[] DEFAULT NULL,
	slice text DEFAULT NULL,
	columns text[] DEFAULT NULL,
	order_by text DEFAULT NULL,
	version_column text DEFAULT NULL,
	keep_columns text[] DEFAULT NULL,
	ignore_columns text[] DEFAULT NULL,
	null_key text DEFAULT NULL,
	delete_flag text DEFAULT NULL,
	delete_missing boolean DEFAULT NULL,
	delete_limit numeric DEFAULT NULL,
	out_of_scope text DEFAULT NULL,
	cursor_column text DEFAULT NULL,
	overlap text DEFAULT NULL,
	track text DEFAULT NULL,
	batch_size bigint DEFAULT NULL,
	reject_limit bigint DEFAULT NULL,
	method text DEFAULT NULL,
	effects text DEFAULT NULL,
	max_attempts int DEFAULT NULL,
	backoff interval DEFAULT NULL,
	settings jsonb DEFAULT NULL
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_alter';

COMMENT ON FUNCTION idem_import_alter(text, text, regclass, text, text[], text[], text, text[], text, text, text[], text[], text, text, boolean, numeric, text, text, text, text, bigint, bigint, text, text, int, interval, jsonb)
	IS 'change an import: NULL leaves an argument as it is, an empty text or array clears it';

CREATE FUNCTION idem_import_drop(name text, purge boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_drop';

COMMENT ON FUNCTION idem_import_drop(text, boolean)
	IS 'forget an import; with purge also its ledger, history, rejects and manifest';

------------------------------------------------------------------------------
-- 3. Running them
------------------------------------------------------------------------------

CREATE FUNCTION idem_import_run(
	import text, scope text DEFAULT NULL, force boolean DEFAULT false,
	source regclass DEFAULT NULL, input text DEFAULT NULL, input_hash bytea DEFAULT NULL
) RETURNS SETOF idem_import_result
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1 COST 10000
AS 'MODULE_PATHNAME', 'idem_import_run';

COMMENT ON FUNCTION idem_import_run(text, text, boolean, regclass, text, bytea)
	IS 'run an import over one unit, a range of units, or all units in the source; a row per unit';

CREATE PROCEDURE idem_import_run_units(import text, scope text DEFAULT NULL, force boolean DEFAULT false)
LANGUAGE c
AS 'MODULE_PATHNAME', 'idem_import_run_units';

COMMENT ON PROCEDURE idem_import_run_units(text, text, boolean)
	IS 'run an import and commit each unit, or each batch of batch_size rows';

CREATE FUNCTION idem_import_plan(
	import text, scope text DEFAULT NULL, source regclass DEFAULT NULL
) RETURNS SETOF idem_import_result
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1 COST 10000
AS 'MODULE_PATHNAME', 'idem_import_plan';

COMMENT ON FUNCTION idem_import_plan(text, text, regclass)
	IS 'the counts that a run would give now; writes nothing';

CREATE FUNCTION idem_import_prove(
	import text, scope text DEFAULT NULL,
	OUT idempotent boolean, OUT unit text, OUT first_changes bigint, OUT second_changes bigint,
	OUT first_checksum uuid, OUT second_checksum uuid
) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1 COST 10000
AS 'MODULE_PATHNAME', 'idem_import_prove';

COMMENT ON FUNCTION idem_import_prove(text, text)
	IS 'run an import twice, compare, and roll both back; fails with II007 where the second run changed something';

CREATE FUNCTION idem_import_verify(import text DEFAULT NULL, scope text DEFAULT NULL)
RETURNS TABLE (
	import text, unit text, state text, source_rows bigint, target_rows bigint, differing bigint,
	keys jsonb, detail text
)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 COST 10000
AS 'MODULE_PATHNAME', 'idem_import_verify';

COMMENT ON FUNCTION idem_import_verify(text, text)
	IS 'hold receipts against source and target: a row per unit, in_sync, drifted, stale or missing; writes nothing';

CREATE FUNCTION idem_import_approve(import text, unit text DEFAULT '*') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_approve';

COMMENT ON FUNCTION idem_import_approve(text, text)
	IS 'let the next run of a unit remove the rows that it was stopped for';

CREATE FUNCTION idem_import_rewind(import text, checkpoint text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_rewind';

COMMENT ON FUNCTION idem_import_rewind(text, text)
	IS 'set a checkpoint back to where it was, or to the start: the next run reads on from there';

CREATE FUNCTION idem_import_prune(older_than interval DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_prune';

COMMENT ON FUNCTION idem_import_prune(interval)
	IS 'delete history and resolved rejects of the imports that one may run, and done effects, older than that or all; returns how many';

CREATE FUNCTION idem_import_effect_add(key text, kind text, payload jsonb, approval boolean DEFAULT false) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_effect_add';

COMMENT ON FUNCTION idem_import_effect_add(text, text, jsonb, boolean)
	IS 'have something done once for this key; returns the status, of the one that is there already too';

CREATE FUNCTION idem_import_effect_claim(kind text, max_effects int DEFAULT 1, lease interval DEFAULT '1 minute')
RETURNS TABLE (key text, payload jsonb, attempt int, token uuid)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'idem_import_effect_claim';

COMMENT ON FUNCTION idem_import_effect_claim(text, int, interval)
	IS 'take effects to be carried out, oldest first; each goes to one claimer until the lease ends';

CREATE FUNCTION idem_import_effect_done(key text, token uuid, result jsonb DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_effect_done';

COMMENT ON FUNCTION idem_import_effect_done(text, uuid, jsonb)
	IS 'report that a claimed effect was carried out, and what it gave';

CREATE FUNCTION idem_import_effect_fail(key text, token uuid, error text, retry_in interval DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_effect_fail';

COMMENT ON FUNCTION idem_import_effect_fail(text, uuid, text, interval)
	IS 'report that a claimed effect failed; retry_in NULL: later each time, negative: never again';

CREATE FUNCTION idem_import_effect_approve(key text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_effect_approve';

COMMENT ON FUNCTION idem_import_effect_approve(text)
	IS 'release an effect that waits for approval, or that has failed for good';

CREATE FUNCTION idem_import_effect_result(key text) RETURNS jsonb
LANGUAGE c STABLE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_effect_result';

COMMENT ON FUNCTION idem_import_effect_result(text)
	IS 'what an effect gave that is done; NULL if it is not';

CREATE FUNCTION idem_import_run_file(
	import text, path text, options jsonb DEFAULT '{}', force boolean DEFAULT false
) RETURNS SETOF idem_import_result
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1 COST 10000
AS 'MODULE_PATHNAME', 'idem_import_run_file';

COMMENT ON FUNCTION idem_import_run_file(text, text, jsonb, boolean)
	IS 'run an import over a file of the server instead of its source; options are those of COPY FROM';

------------------------------------------------------------------------------
-- Watching them
------------------------------------------------------------------------------

CREATE FUNCTION idem_import_progress_rows(
	OUT pid int, OUT import text, OUT unit text, OUT batch bigint, OUT plan boolean, OUT phase text,
	OUT rows_done bigint, OUT rows_total bigint, OUT rate bigint, OUT eta interval, OUT bar text,
	OUT started_at timestamptz, OUT who regrole
) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'idem_import_progress_rows';

COMMENT ON FUNCTION idem_import_progress_rows()
	IS 'what the view idem_import_progress shows';

CREATE VIEW idem_import_progress WITH (security_invoker = true) AS
SELECT p.pid, p.import, p.unit, p.batch, p.plan, p.phase, p.rows_done, p.rows_total, p.rate, p.eta, p.bar,
	p.started_at, p.who
FROM idem_import_progress_rows() p;

GRANT SELECT ON idem_import_progress TO PUBLIC;

COMMENT ON VIEW idem_import_progress IS 'a line per run in progress, of the imports that one may run';

------------------------------------------------------------------------------
-- Keys, hashes and checksums
--
-- Immutable, so that they may stand in generated columns and indexes.  No
-- setting changes what they return; only DDL does, where it changes what a
-- value is: renaming an enum's label or a type, adding or dropping columns of
-- a composite type.  (Keys trust the send functions of types that are not
-- PostgreSQL's own to depend on nothing but the value and the encoding.)
------------------------------------------------------------------------------

CREATE FUNCTION idem_import_key(VARIADIC "any") RETURNS uuid
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'idem_import_key';

COMMENT ON FUNCTION idem_import_key("any")
	IS 'deterministic surrogate key of the values: the same on any server, whatever its settings';

CREATE FUNCTION idem_import_hash(VARIADIC "any") RETURNS uuid
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 20
AS 'MODULE_PATHNAME', 'idem_import_hash';

COMMENT ON FUNCTION idem_import_hash("any")
	IS 'fast 128-bit hash of a row: of the values, or of the columns of one composite value';

-- the same, but to the planner, which leaves it where the row is read instead
-- of carrying all columns through a join
CREATE FUNCTION idem_import_hash_here(VARIADIC "any") RETURNS uuid
LANGUAGE c VOLATILE PARALLEL SAFE COST 20
AS 'MODULE_PATHNAME', 'idem_import_hash';

COMMENT ON FUNCTION idem_import_hash_here("any")
	IS 'idem_import_hash, computed where the row is read: for runs';

CREATE FUNCTION idem_import_checksum_add(uuid, uuid) RETURNS uuid
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'idem_import_checksum_add';

COMMENT ON FUNCTION idem_import_checksum_add(uuid, uuid)
	IS 'sum of two checksums, modulo 2^128';

CREATE AGGREGATE idem_import_checksum(uuid) (
	SFUNC = idem_import_checksum_add,
	STYPE = uuid,
	INITCOND = '00000000-0000-0000-0000-000000000000',
	COMBINEFUNC = idem_import_checksum_add,
	PARALLEL = SAFE
);

COMMENT ON AGGREGATE idem_import_checksum(uuid)
	IS 'order-independent sum of row hashes; each row counts, duplicates too';

-- What a run reads of source and target before it looks at single rows: rows,
-- sum, and sums of 2^bits buckets of keys.  "shape" says what the columns are.
CREATE FUNCTION idem_import_digest_row(internal, bits integer, shape smallint[], VARIADIC "any") RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'idem_import_digest_row';

COMMENT ON FUNCTION idem_import_digest_row(internal, integer, smallint[], "any")
	IS 'transition function of idem_import_digest';

CREATE FUNCTION idem_import_digest_add(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'idem_import_digest_add';

COMMENT ON FUNCTION idem_import_digest_add(internal, internal)
	IS 'combine function of idem_import_digest';

CREATE FUNCTION idem_import_digest_value(internal) RETURNS bytea
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'idem_import_digest_value';

COMMENT ON FUNCTION idem_import_digest_value(internal)
	IS 'final and serialization function of idem_import_digest';

CREATE FUNCTION idem_import_digest_read(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'idem_import_digest_read';

COMMENT ON FUNCTION idem_import_digest_read(bytea, internal)
	IS 'deserialization function of idem_import_digest';

CREATE AGGREGATE idem_import_digest(bits integer, shape smallint[], VARIADIC "any") (
	SFUNC = idem_import_digest_row,
	STYPE = internal,
	FINALFUNC = idem_import_digest_value,
	SERIALFUNC = idem_import_digest_value,
	DESERIALFUNC = idem_import_digest_read,
	COMBINEFUNC = idem_import_digest_add,
	PARALLEL = SAFE
);

COMMENT ON AGGREGATE idem_import_digest(integer, smallint[], "any")
	IS 'what a set of rows holds, for runs to compare: number, sum, sums by bucket of key';

CREATE FUNCTION idem_import_bucket_support(internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'idem_import_bucket_support';

COMMENT ON FUNCTION idem_import_bucket_support(internal)
	IS 'planner support function of idem_import_bucket_differs';

CREATE FUNCTION idem_import_bucket_differs(bitmap bytea, VARIADIC "any") RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 5 SUPPORT idem_import_bucket_support
AS 'MODULE_PATHNAME', 'idem_import_bucket_differs';

COMMENT ON FUNCTION idem_import_bucket_differs(bytea, "any")
	IS 'whether the bucket of a key is set in a bitmap of differing buckets';

CREATE FUNCTION idem_import_unseen(xid, pg_snapshot) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'idem_import_unseen';

COMMENT ON FUNCTION idem_import_unseen(xid, pg_snapshot)
	IS 'whether a snapshot may not have seen the rows that a transaction wrote: for runs';
