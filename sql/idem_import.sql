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
	max_attempts    int NOT NULL CHECK (max_attempts > 0),
	backoff         interval NOT NULL,
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
	input           text,               -- the named input or file that it came with
	kind            text NOT NULL CHECK (kind IN ('line', 'source', 'staged')),
	"position"      bigint,             -- its number in the source, where that is known
	"row"           jsonb NOT NULL,     -- a line of a file, the row as it was read, or as it was to be written
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

-- What is left of a dropped import is told by its name; only who could have
-- seen it may take that name again.
CREATE TABLE idem_import_dropped (
	import     text PRIMARY KEY,
	owner      regrole NOT NULL,
	dropped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

SELECT pg_catalog.pg_extension_config_dump('idem_import_dropped', '');

ALTER TABLE idem_import_dropped ENABLE ROW LEVEL SECURITY;

CREATE POLICY visible ON idem_import_dropped FOR SELECT
	USING (pg_catalog.pg_has_role(owner, 'USAGE'));

GRANT SELECT ON idem_import_dropped TO PUBLIC;

COMMENT ON TABLE idem_import_dropped IS 'imports that were dropped without purge, and whose they were';

CREATE TABLE idem_import_manifest (
	import         text NOT NULL,
	input          text NOT NULL,
	sha256         bytea,               -- NULL: none was given, or a file was not read to its end
	scope          text,                -- that the run was called with
	options        jsonb,               -- complete: that a file was read with; NULL: not by idem_import_run_file
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

-- tasks and backfills share their numbers
CREATE SEQUENCE idem_import_task_id AS bigint;

CREATE TABLE idem_import_backfill (
	backfill     bigint PRIMARY KEY DEFAULT nextval('idem_import_task_id'),
	import       text NOT NULL,
	first_unit   text NOT NULL,
	last_unit    text NOT NULL,
	reprocess    text NOT NULL CHECK (reprocess IN ('missing', 'failed', 'all')),
	max_parallel int CHECK (max_parallel > 0),
	units        bigint NOT NULL DEFAULT 0,     -- how many tasks it made
	submitted_by regrole NOT NULL,
	created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
	cancelled_at timestamptz
);

CREATE TABLE idem_import_queue (
	task         bigint PRIMARY KEY DEFAULT nextval('idem_import_task_id'),
	import       text NOT NULL,
	scope        text,                          -- NULL: all units in the source
	status       text NOT NULL DEFAULT 'pending'
		CHECK (status IN ('pending', 'running', 'done', 'failed', 'dead', 'cancelled')),
	priority     int NOT NULL DEFAULT 0,
	run_after    timestamptz NOT NULL DEFAULT clock_timestamp(),
	attempts     int NOT NULL DEFAULT 0,
	interrupted  int NOT NULL DEFAULT 0,        -- how often its executor was gone before it was done
	backfill     bigint,
	submitted_by regrole NOT NULL,
	created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
	started_at   timestamptz,                   -- the last attempt
	finished_at  timestamptz,
	pid          int,                           -- the executor of the last attempt
	run_id       bigint,                        -- its last run
	sqlstate     text,                          -- of the last attempt that failed
	message      text,
	detail       text
);

-- What is pending is found in the order in which it is claimed, and so is what
-- becomes due; what is done costs nothing.  Those that are not due yet are
-- passed within the index.
CREATE INDEX idem_import_queue_pending ON idem_import_queue (coalesce(backfill, 0), (- priority::bigint), task, run_after)
	WHERE status = 'pending';
CREATE INDEX idem_import_queue_due ON idem_import_queue (run_after) WHERE status = 'pending';
CREATE INDEX idem_import_queue_running ON idem_import_queue (task) WHERE status = 'running';
CREATE INDEX idem_import_queue_backfill ON idem_import_queue (backfill, status) WHERE backfill IS NOT NULL;
CREATE INDEX idem_import_queue_import ON idem_import_queue (import, scope) WHERE status = 'pending';

-- those that have failed, and whether the same was done since: for who watches
CREATE INDEX idem_import_queue_failed ON idem_import_queue (import, finished_at) WHERE status IN ('failed', 'dead');
CREATE INDEX idem_import_queue_done ON idem_import_queue (import, scope, finished_at) WHERE status = 'done';

-- the same pending task is there once
CREATE UNIQUE INDEX idem_import_queue_once ON idem_import_queue (import, (scope IS NULL), coalesce(scope, ''))
	WHERE status = 'pending' AND attempts = 0 AND backfill IS NULL;

SELECT pg_catalog.pg_extension_config_dump('idem_import_task_id', '');
SELECT pg_catalog.pg_extension_config_dump('idem_import_backfill', '');
SELECT pg_catalog.pg_extension_config_dump('idem_import_queue', '');

ALTER TABLE idem_import_backfill ENABLE ROW LEVEL SECURITY;
ALTER TABLE idem_import_queue ENABLE ROW LEVEL SECURITY;

CREATE POLICY visible ON idem_import_backfill FOR SELECT
	USING (EXISTS (SELECT FROM idem_import_definition d WHERE d.name = import));
CREATE POLICY visible ON idem_import_queue FOR SELECT
	USING (EXISTS (SELECT FROM idem_import_definition d WHERE d.name = import));

CREATE VIEW idem_import_backfills WITH (security_invoker = true) AS
SELECT b.backfill, b.import,
	CASE WHEN q.pending + q.running > 0 THEN 'running'
		WHEN b.cancelled_at IS NOT NULL THEN 'cancelled'
		WHEN q.failed > 0 THEN 'failed'
		WHEN q.cancelled > 0 THEN 'cancelled'
		ELSE 'done' END AS status,
	b.first_unit, b.last_unit, b.reprocess, b.max_parallel, b.units,
	q.pending, q.running, q.done, q.failed, q.cancelled,
	b.submitted_by, b.created_at, q.started_at,
	CASE WHEN q.pending + q.running = 0 THEN coalesce(q.finished_at, b.created_at) END AS finished_at
FROM idem_import_backfill b
CROSS JOIN LATERAL (
	SELECT count(*) FILTER (WHERE t.status = 'pending') AS pending,
		count(*) FILTER (WHERE t.status = 'running') AS running,
		count(*) FILTER (WHERE t.status = 'done') AS done,
		count(*) FILTER (WHERE t.status IN ('failed', 'dead')) AS failed,
		count(*) FILTER (WHERE t.status = 'cancelled') AS cancelled,
		min(t.started_at) AS started_at, max(t.finished_at) AS finished_at
	FROM idem_import_queue t WHERE t.backfill = b.backfill
) q;

-- Tasks that have failed, and nothing since has made up for it: neither a task
-- of the same import and scope, nor a run of the same unit.  There are few of
-- them, and many that are done: OFFSET 0 makes it a look into an index for each
-- of the few, where a join would read the many.  (Row security keeps COALESCE
-- and IS DISTINCT FROM out of indexes.)
CREATE VIEW idem_import_queue_failures WITH (security_invoker = true) AS
SELECT t.*
FROM idem_import_queue t
WHERE t.status IN ('failed', 'dead')
	AND NOT EXISTS (
		SELECT FROM idem_import_queue o
		WHERE o.import = t.import AND o.scope = t.scope AND o.status = 'done' AND o.finished_at > t.finished_at OFFSET 0)
	AND (t.scope IS NOT NULL OR NOT EXISTS (
		SELECT FROM idem_import_queue o
		WHERE o.import = t.import AND o.scope IS NULL AND o.status = 'done' AND o.finished_at > t.finished_at OFFSET 0))
	AND NOT EXISTS (
		SELECT FROM idem_import_ledger l
		WHERE l.import = t.import AND l.unit = CASE WHEN t.scope IS NULL THEN '*' ELSE t.scope END
			AND l.status = 'applied' AND l.attempted_at > t.finished_at OFFSET 0);

GRANT SELECT ON idem_import_backfill, idem_import_queue, idem_import_backfills, idem_import_queue_failures TO PUBLIC;

COMMENT ON TABLE idem_import_backfill IS 'the backfills as they were asked for';
COMMENT ON TABLE idem_import_queue IS 'tasks: units that wait for the worker, and what became of them';
COMMENT ON VIEW idem_import_backfills IS 'a row per backfill: how many of its units are done';
COMMENT ON VIEW idem_import_queue_failures
	IS 'tasks that failed, and whose import and scope has not succeeded since';

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
-- kind is one look into an index, however long the history is, and so is what
-- waits in the queue, however many tasks are done.
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
	r.open_rejects,
	p.tasks + w.tasks AS queue,
	w.tasks AS queue_running,
	p.of_backfills + w.of_backfills AS queue_backfill,
	f.tasks AS queue_failed,
	pg_catalog.statement_timestamp() - p.due_since AS queue_oldest
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
		FROM idem_import_reject j WHERE j.import = d.name AND j.resolved_at IS NULL) r
	CROSS JOIN LATERAL (
		SELECT count(*) AS tasks, count(t.backfill) AS of_backfills,
			-- a task can be due before it was there
			min(greatest(t.run_after, t.created_at))
				FILTER (WHERE greatest(t.run_after, t.created_at) <= pg_catalog.statement_timestamp()) AS due_since
		FROM idem_import_queue t WHERE t.import = d.name AND t.status = 'pending') p
	CROSS JOIN LATERAL (
		SELECT count(*) AS tasks, count(t.backfill) AS of_backfills
		FROM idem_import_queue t WHERE t.import = d.name AND t.status = 'running') w
	CROSS JOIN LATERAL (
		SELECT count(*) AS tasks FROM idem_import_queue_failures t WHERE t.import = d.name) f;

GRANT SELECT ON idem_import_status TO PUBLIC;

COMMENT ON VIEW idem_import_status IS 'a line per import: its last run, its units, how far behind it is, what waits for the worker';

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
	IS 'delete history and resolved rejects of the imports that one may run, done effects and finished tasks, older than that or all; returns how many';

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

CREATE FUNCTION idem_import_retry_rejects(import text) RETURNS SETOF idem_import_result
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1 COST 10000
AS 'MODULE_PATHNAME', 'idem_import_retry_rejects';

COMMENT ON FUNCTION idem_import_retry_rejects(text)
	IS 'try the open rejects of an import again, without the rest of its source; a row per unit';

CREATE FUNCTION idem_import_submit(
	import text, scope text DEFAULT NULL, priority int DEFAULT 0, run_after timestamptz DEFAULT NULL
) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_submit';

COMMENT ON FUNCTION idem_import_submit(text, text, int, timestamptz)
	IS 'let the worker run an import; returns the task, which may be one that is pending already';

CREATE FUNCTION idem_import_backfill(
	import text, first text, last text, reprocess text DEFAULT 'missing', max_parallel int DEFAULT NULL
) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_backfill';

COMMENT ON FUNCTION idem_import_backfill(text, text, text, text, int)
	IS 'let the worker run each unit from the first to the last; returns the backfill';

CREATE FUNCTION idem_import_wait(task bigint, timeout interval DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_wait';

COMMENT ON FUNCTION idem_import_wait(bigint, interval)
	IS 'wait until a task or a backfill has come to its end; returns its status then, or when the time is up';

CREATE FUNCTION idem_import_cancel(task bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_cancel';

COMMENT ON FUNCTION idem_import_cancel(bigint)
	IS 'cancel a task or a backfill; false if there is nothing left to cancel';

CREATE FUNCTION idem_import_worker_start() RETURNS int
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'idem_import_worker_start';

COMMENT ON FUNCTION idem_import_worker_start()
	IS 'start the worker for this database, unless there is one; returns its process';

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

-- The report is one page of HTML, readable without a server or a network.  Its
-- functions are bound to what they call when they are created, whatever the
-- search_path is later, and read with the rights of whoever asks.

CREATE FUNCTION idem_import_html(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
		pg_catalog.regexp_replace(
			pg_catalog.left(value, 1000) || CASE WHEN pg_catalog.length(value) > 1000 THEN ' ...' ELSE '' END,
			'[\x01-\x08\x0b\x0c\x0e-\x1f]', '?', 'g'),
		'&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
END;

COMMENT ON FUNCTION idem_import_html(text) IS 'a text as it stands in HTML, of a long one the beginning';

CREATE FUNCTION idem_import_html_time(value timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT pg_catalog.to_char(value AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS');
END;

COMMENT ON FUNCTION idem_import_html_time(timestamptz) IS 'a time for the report, in UTC';

CREATE FUNCTION idem_import_html_span(value interval) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN s < 1 THEN round(greatest(s, 0) * 1000) || ' ms'
		WHEN s < 120 THEN round(s, 1) || ' s'
		WHEN s < 7200 THEN round(s / 60) || ' min'
		WHEN s < 172800 THEN round(s / 3600) || ' h'
		ELSE round(s / 86400) || ' d' END
	FROM (SELECT EXTRACT(epoch FROM value) AS s) x;
END;

COMMENT ON FUNCTION idem_import_html_span(interval) IS 'a length of time for the report';

-- <td data-label="Rows" class="n">17</td>, which a narrow screen shows as a line of its own
CREATE FUNCTION idem_import_html_cell(label text, value text, class text DEFAULT '') RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT '<td data-label="' || idem_import_html(label) || '" class="' || idem_import_html(class) || '">' ||
		coalesce(nullif(idem_import_html(value), ''), '&#8211;') || '</td>';
END;

COMMENT ON FUNCTION idem_import_html_cell(text, text, text) IS 'a cell of a table in the report';

CREATE FUNCTION idem_import_html_table(title text, labels text[], "rows" text, empty text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT '<section><h2>' || idem_import_html(title) || '</h2>' ||
		CASE WHEN "rows" IS NULL THEN '<p class="none">' || idem_import_html(empty) || '</p>'
		ELSE '<table><thead><tr>' ||
			(SELECT string_agg('<th>' || idem_import_html(label) || '</th>', '' ORDER BY n)
				FROM unnest(labels) WITH ORDINALITY AS l (label, n)) ||
			'</tr></thead><tbody>' || "rows" || '</tbody></table>' END || '</section>' || chr(10);
END;

COMMENT ON FUNCTION idem_import_html_table(text, text[], text, text) IS 'a table of the report, or what to say where it is empty';

-- How far a backfill is: a bar of the share that is done, failed and running.
CREATE FUNCTION idem_import_html_share(units bigint, done bigint, failed bigint, running bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT '<svg viewBox="0 0 100 10" preserveAspectRatio="none" class="share" role="img" aria-label="' ||
		round(100 * done / units, 0) || ' % done">' ||
		'<rect x="0" y="0" width="100" height="10" class="rest"/>' ||
		'<rect x="0" y="0" width="' || round(100 * done / units, 1) || '" height="10" class="s-done"/>' ||
		'<rect x="' || round(100 * done / units, 1) || '" y="0" width="' || round(100 * failed / units, 1) ||
		'" height="10" class="s-failed"/>' ||
		'<rect x="' || round(100 * (done + failed) / units, 1) || '" y="0" width="' || round(100 * running / units, 1) ||
		'" height="10" class="s-running"/></svg>'
	FROM (SELECT greatest(units, 1)::numeric AS units, done, failed, running) x;
END;

COMMENT ON FUNCTION idem_import_html_share(bigint, bigint, bigint, bigint) IS 'how far a backfill is, as SVG';

-- A bar for each of the last runs: where it stands says when, how high it is
-- how many rows it wrote (by its logarithm), its colour what became of it.
CREATE FUNCTION idem_import_timeline(import text) RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
	WITH run AS (
		(SELECT h.* FROM idem_import_history h
			WHERE h.import = $1 AND (h.status IN ('applied', 'skipped')) IS TRUE ORDER BY h.run_id DESC LIMIT 100)
		UNION ALL
		(SELECT h.* FROM idem_import_history h
			WHERE h.import = $1 AND (h.status IN ('applied', 'skipped')) IS FALSE ORDER BY h.run_id DESC LIMIT 100)
	), latest AS (
		SELECT r.*, EXTRACT(epoch FROM r.started_at) AS at, EXTRACT(epoch FROM r.elapsed) AS took,
			CASE r.status WHEN 'applied' THEN ln(1 + r.inserted + r.updated + r.deleted + r.removed) ELSE 0 END AS size
		FROM run r ORDER BY r.run_id DESC LIMIT 100
	), scale AS (
		SELECT min(at) AS first, greatest(max(at + took) - min(at), 1) AS length, greatest(max(size), 1) AS biggest
		FROM latest
	), bar AS (
		SELECT l.*, greatest(792 * took / length, 3) AS width, 792 * (at - first) / length AS place,
			CASE WHEN status IN ('applied', 'skipped') THEN 6 + 46 * size / biggest ELSE 30 END AS height
		FROM latest l CROSS JOIN scale
	)
	SELECT '<svg viewBox="0 0 800 60" preserveAspectRatio="none" role="img" aria-label="runs over time">' ||
		'<line x1="0" y1="59" x2="800" y2="59" class="axis"/>' ||
		string_agg('<rect x="' || round(least(4 + place, 798 - width), 1) || '" y="' || round((58 - height)::numeric, 1) ||
			'" width="' || round(width, 1) || '" height="' || round(height::numeric, 1) ||
			'" class="s-' || status || '"><title>' ||
			idem_import_html('run ' || run_id || ', unit ' || unit || ': ' || status || ', ' ||
				idem_import_html_time(started_at) || ', ' || idem_import_html_span(elapsed) || ', ' ||
				inserted || ' inserted, ' || updated || ' updated, ' || deleted + removed || ' removed' ||
				coalesce(', ' || message, '')) ||
			'</title></rect>', '' ORDER BY run_id) || '</svg>' ||
		'<p class="scale"><span>' || idem_import_html_time(min(started_at)) || '</span><span>' ||
		count(*) || CASE count(*) WHEN 1 THEN ' run' ELSE ' runs' END || '</span><span>' ||
		idem_import_html_time(max(started_at + elapsed)) || '</span></p>'
	FROM bar;
END;

COMMENT ON FUNCTION idem_import_timeline(text) IS 'the last 100 runs of an import, as SVG: a part of idem_import_report';

CREATE FUNCTION idem_import_report() RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
	WITH import AS (
		SELECT s.*, h.attempted, CASE h.status WHEN 'applied' THEN h.inserted + h.updated + h.deleted + h.removed ELSE 0 END AS written,
			coalesce(s.last_status IN ('failed', 'awaiting_approval'), false) OR s.units_failed > 0
				OR s.units_awaiting_approval > 0 OR s.open_rejects > 0 OR s.queue_failed > 0 AS attention
		FROM idem_import_status s LEFT JOIN idem_import_history h ON h.run_id = s.last_run_id
	), running AS (
		SELECT string_agg('<tr>' ||
			idem_import_html_cell('Import', p.import, 'name') ||
			idem_import_html_cell('Unit', p.unit) ||
			idem_import_html_cell('Phase', CASE WHEN p.plan THEN 'plan: ' ELSE '' END || p.phase) ||
			idem_import_html_cell('Progress', p.bar, 'bar') ||
			idem_import_html_cell('Rows', p.rows_done::text, 'n') ||
			idem_import_html_cell('Rows/s', p.rate::text, 'n') ||
			idem_import_html_cell('Left', idem_import_html_span(p.eta), 'n') ||
			idem_import_html_cell('Since', idem_import_html_time(p.started_at), 't') || '</tr>', '' ORDER BY p.started_at, p.pid) AS "rows"
		FROM idem_import_progress p
	), task AS (
		SELECT string_agg('<tr>' ||
			idem_import_html_cell('Task', q.task::text, 'n') ||
			idem_import_html_cell('Import', q.import, 'name') ||
			idem_import_html_cell('Scope', coalesce(q.scope, 'all')) ||
			idem_import_html_cell('Status', q.status, 't s-' || q.status) ||
			idem_import_html_cell('Attempts', q.attempts::text, 'n') ||
			idem_import_html_cell('Next attempt', CASE WHEN q.status <> 'pending' THEN NULL
				WHEN isfinite(q.run_after) THEN idem_import_html_time(q.run_after) ELSE q.run_after::text END, 't') ||
			idem_import_html_cell('Last attempt', idem_import_html_time(q.started_at), 't') ||
			idem_import_html_cell('Last error', q.sqlstate || ': ' || q.message, 'text') || '</tr>', ''
			ORDER BY q.place, q.at, q.task) AS "rows"
		FROM (
			(SELECT r.*, 1 AS place, EXTRACT(epoch FROM r.started_at) AS at FROM idem_import_queue r
				WHERE r.status = 'running' ORDER BY r.task LIMIT 50)
			UNION ALL
			(SELECT f.*, 2, - EXTRACT(epoch FROM f.finished_at) FROM idem_import_queue_failures f ORDER BY f.finished_at DESC LIMIT 50)
			UNION ALL
			(SELECT w.*, 3, EXTRACT(epoch FROM w.run_after) FROM idem_import_queue w
				WHERE w.status = 'pending' ORDER BY w.run_after LIMIT 50)) q
	), fill AS (
		SELECT string_agg('<tr>' ||
			idem_import_html_cell('Backfill', b.backfill::text, 'n') ||
			idem_import_html_cell('Import', b.import, 'name') ||
			idem_import_html_cell('From', b.first_unit) ||
			idem_import_html_cell('To', b.last_unit) ||
			idem_import_html_cell('Status', b.status, 't s-' || b.status) ||
			'<td data-label="Progress" class="share">' || idem_import_html_share(b.units, b.done, b.failed, b.running) || '</td>' ||
			idem_import_html_cell('Done', b.done || ' of ' || b.units, 'n') ||
			idem_import_html_cell('Failed', b.failed::text, CASE WHEN b.failed > 0 THEN 'n s-failed' ELSE 'n' END) ||
			idem_import_html_cell('Began', idem_import_html_time(b.started_at), 't') ||
			idem_import_html_cell('Ended', idem_import_html_time(b.finished_at), 't') || '</tr>', ''
			ORDER BY b.backfill DESC) AS "rows"
		FROM (SELECT f.* FROM idem_import_backfills f ORDER BY f.backfill DESC LIMIT 20) b
	), unit AS (
		SELECT string_agg('<tr>' ||
			idem_import_html_cell('Import', l.import, 'name') ||
			idem_import_html_cell('Unit', l.unit) ||
			idem_import_html_cell('Status', replace(l.status, '_', ' '), 't s-' || l.status) ||
			idem_import_html_cell('Attempts', l.attempts::text, 'n') ||
			idem_import_html_cell('Last attempt', idem_import_html_time(l.attempted_at), 't') ||
			idem_import_html_cell('SQLSTATE', l.sqlstate) ||
			idem_import_html_cell('Message', l.message, 'text') || '</tr>', '' ORDER BY l.attempted_at DESC) AS "rows"
		FROM (SELECT u.* FROM idem_import_ledger u
			WHERE u.status IN ('failed', 'awaiting_approval') ORDER BY u.attempted_at DESC LIMIT 50) l
	), reject AS (
		SELECT string_agg('<tr>' ||
			idem_import_html_cell('Import', g.import, 'name') ||
			idem_import_html_cell('Rows', g.n::text, 'n') ||
			idem_import_html_cell('Units', g.units::text, 'n') ||
			idem_import_html_cell('Reason', g.message, 'text') ||
			idem_import_html_cell('Column', g.column_name) ||
			idem_import_html_cell('Constraint', g.constraint_name) ||
			idem_import_html_cell('Since', idem_import_html_time(g.since), 't') || '</tr>', '' ORDER BY g.n DESC, g.import, g.message) AS "rows"
		FROM (SELECT j.import, j.message, j.column_name, j.constraint_name, count(*) AS n,
				count(DISTINCT j.unit) AS units, min(j.rejected_at) AS since
			FROM idem_import_reject j WHERE j.resolved_at IS NULL
			GROUP BY j.import, j.message, j.column_name, j.constraint_name ORDER BY count(*) DESC LIMIT 50) g
	), run AS (
		SELECT string_agg('<tr>' ||
			idem_import_html_cell('Run', r.run_id::text, 'n') ||
			idem_import_html_cell('Import', r.import, 'name') ||
			idem_import_html_cell('Unit', r.unit) ||
			idem_import_html_cell('Status', replace(r.status, '_', ' '), 't s-' || r.status) ||
			idem_import_html_cell('Began', idem_import_html_time(r.started_at), 't') ||
			idem_import_html_cell('Took', idem_import_html_span(r.elapsed), 'n') ||
			idem_import_html_cell('Read', r.attempted::text, 'n') ||
			idem_import_html_cell('Inserted', r.inserted::text, 'n') ||
			idem_import_html_cell('Updated', r.updated::text, 'n') ||
			idem_import_html_cell('Removed', (r.deleted + r.removed)::text, 'n') ||
			idem_import_html_cell('Rejected', r.rejected::text, 'n') || '</tr>', '' ORDER BY r.run_id DESC) AS "rows"
		FROM (SELECT h.* FROM idem_import_history h ORDER BY h.run_id DESC LIMIT 50) r
	), card AS (
		SELECT string_agg('<article' || CASE WHEN i.attention THEN ' class="attention"' ELSE '' END || '><h3>' ||
			idem_import_html(i.import) || ' <span class="s-' || coalesce(i.last_status, 'never') || '">' ||
			coalesce(replace(i.last_status, '_', ' '), 'never run') || '</span></h3><p class="what">' ||
			idem_import_html(i.mode || ' into ' || i.target || ', owner ' || i.owner) || '</p><dl>' ||
			'<div><dt>Last run</dt><dd>' || coalesce(idem_import_html_time(i.last_started_at), '&#8211;') || '</dd></div>' ||
			'<div><dt>Last success</dt><dd>' || coalesce(idem_import_html_time(i.last_success_at), '&#8211;') || '</dd></div>' ||
			'<div><dt>Lag</dt><dd>' || coalesce(idem_import_html_span(i.lag), '&#8211;') || '</dd></div>' ||
			'<div><dt>Read / written</dt><dd>' || coalesce(i.attempted || ' / ' || i.written, '&#8211;') || '</dd></div>' ||
			'<div><dt>Units</dt><dd>' || i.units || '</dd></div>' ||
			'<div><dt>Failed</dt><dd' || CASE WHEN i.units_failed > 0 THEN ' class="s-failed"' ELSE '' END || '>' || i.units_failed || '</dd></div>' ||
			'<div><dt>Awaiting approval</dt><dd' || CASE WHEN i.units_awaiting_approval > 0 THEN ' class="s-awaiting_approval"' ELSE '' END || '>' ||
			i.units_awaiting_approval || '</dd></div>' ||
			'<div><dt>Open rejects</dt><dd' || CASE WHEN i.open_rejects > 0 THEN ' class="s-failed"' ELSE '' END || '>' || i.open_rejects || '</dd></div>' ||
			CASE WHEN i.queue + i.queue_failed = 0 THEN '' ELSE
				'<div><dt>Tasks waiting</dt><dd>' || i.queue - i.queue_running || '</dd></div>' ||
				'<div><dt>Tasks running</dt><dd>' || i.queue_running || '</dd></div>' ||
				'<div><dt>Tasks failed</dt><dd' || CASE WHEN i.queue_failed > 0 THEN ' class="s-failed"' ELSE '' END || '>' || i.queue_failed || '</dd></div>' ||
				'<div><dt>Oldest due for</dt><dd>' || coalesce(idem_import_html_span(i.queue_oldest), '&#8211;') || '</dd></div>' END || '</dl>' ||
			coalesce('<p class="error">' || idem_import_html(i.last_sqlstate || ': ' || i.last_error) || '</p>', '') ||
			coalesce(idem_import_timeline(i.import), '') || '</article>' || chr(10), '' ORDER BY i.attention DESC, i.import) AS articles,
			count(*) AS imports, count(*) FILTER (WHERE i.attention) AS attention
		FROM import i
	)
	SELECT '<!DOCTYPE html>' || chr(10) || '<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="utf-8"/>' ||
		'<meta name="viewport" content="width=device-width, initial-scale=1"/><title>' ||
		idem_import_html('Imports of ' || current_database()) || '</title><style>' || '
:root { color-scheme: light dark; --bg: #f6f7f9; --card: #fff; --fg: #1b1f24; --dim: #5b6470; --line: #d9dee5;
	--applied: #1a7f4b; --skipped: #9aa4b1; --failed: #c62f2f; --awaiting: #a15c00; --running: #2f6fc6; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171b; --card: #1d2127; --fg: #e6e9ee; --dim: #9aa4b1; --line: #343b45;
	--applied: #4cc38a; --skipped: #6b7583; --failed: #ff7b72; --awaiting: #e3a33d; --running: #79b0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--bg); color: var(--fg);
	font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0.5rem 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
h3 span { font-weight: normal; font-size: 0.85rem; margin-left: 0.4rem; white-space: nowrap; }
p { margin: 0.2rem 0; }
.dim, .what, .scale, .none, dt, th { color: var(--dim); }
.what { font-size: 0.85rem; overflow-wrap: anywhere; }
article, section table, .none { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
article { padding: 0.9rem 1rem; margin: 0 0 0.8rem; }
article.attention { border-left: 4px solid var(--failed); }
.none { padding: 0.6rem 1rem; }
dl { display: grid; grid-template-columns: repeat(4, 1fr); gap: 0.4rem 1rem; margin: 0.6rem 0; }
dl div { min-width: 0; }
dt { font-size: 0.78rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
.error { color: var(--failed); font-size: 0.88rem; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: 60px; margin-top: 0.6rem; }
.axis { stroke: var(--line); stroke-width: 1; }
.scale { display: flex; justify-content: space-between; gap: 0.5rem; font-size: 0.75rem; }
svg.share { height: 0.8rem; margin: 0.25rem 0 0; border-radius: 3px; }
.rest { fill: var(--line); }
table { width: 100%; border-collapse: separate; border-spacing: 0; font-size: 0.85rem; }
th, td { text-align: left; padding: 0.35rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: normal; font-size: 0.78rem; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
td.n, td.t { white-space: nowrap; overflow-wrap: normal; }
td.name { min-width: 7rem; }
td.bar { font-family: ui-monospace, "DejaVu Sans Mono", monospace; white-space: nowrap; }
td.text { min-width: 12rem; }
td.share { min-width: 7rem; }
i { display: inline-block; width: 0.7em; height: 0.7em; border-radius: 2px; margin: 0 0.3em 0 0.8em; background: currentColor; }
i.s-skipped { color: var(--skipped); }
.s-applied, .s-done { color: var(--applied); fill: var(--applied); }
.s-skipped, .s-never, .s-pending, .s-cancelled { color: var(--dim); fill: var(--skipped); }
.s-failed, .s-dead { color: var(--failed); fill: var(--failed); }
.s-running { color: var(--running); fill: var(--running); }
.s-awaiting_approval { color: var(--awaiting); fill: var(--awaiting); }
@media (max-width: 700px) {
	dl { grid-template-columns: 1fr 1fr; }
	thead { display: none; }
	table, tbody, tr, td { display: block; }
	td.text { min-width: 0; }
	tr { padding: 0.5rem 0; border-bottom: 1px solid var(--line); }
	tbody tr:last-child { border-bottom: 0; }
	td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: 0.1rem 0.8rem; text-align: right; }
	td::before { content: attr(data-label); color: var(--dim); text-align: left; flex: none; }
}
' || '</style></head><body><header><h1>' || idem_import_html('Imports of ' || current_database()) || '</h1><p class="dim">' ||
		idem_import_html(idem_import_html_time(statement_timestamp()) || ' UTC, as ' || current_user || ' sees them. ' || card.imports ||
			CASE card.imports WHEN 1 THEN ' import, ' ELSE ' imports, ' END || card.attention ||
			CASE card.attention WHEN 1 THEN ' needs' ELSE ' need' END || ' attention. Times are UTC.') || '</p></header><main>' || chr(10) ||
		CASE WHEN running."rows" IS NULL THEN '' ELSE
			idem_import_html_table('Running', '{Import,Unit,Phase,Progress,Rows,Rows/s,Left,Since}', running."rows", '') END ||
		'<section><h2>Imports</h2><p class="what">The bars are runs, higher the more rows were written:' ||
			'<i class="s-applied"></i>applied<i class="s-skipped"></i>nothing to write<i class="s-failed"></i>failed' ||
			'<i class="s-awaiting_approval"></i>awaiting approval</p>' || coalesce(card.articles, '<p class="none">There are none.</p>') || '</section>' || chr(10) ||
		CASE WHEN task."rows" IS NULL THEN '' ELSE
			idem_import_html_table('Tasks', '{Task,Import,Scope,Status,Attempts,Next attempt,Last attempt,Last error}', task."rows", '') END ||
		CASE WHEN fill."rows" IS NULL THEN '' ELSE
			idem_import_html_table('Backfills',
				'{Backfill,Import,From,To,Status,Progress,Done,Failed,Began,Ended}', fill."rows", '') END ||
		idem_import_html_table('Units that failed or wait for approval',
			'{Import,Unit,Status,Attempts,Last attempt,SQLSTATE,Message}', unit."rows", 'There are none.') ||
		idem_import_html_table('Open rejects',
			'{Import,Rows,Units,Reason,Column,Constraint,Since}', reject."rows", 'There are none.') ||
		idem_import_html_table('Last runs',
			'{Run,Import,Unit,Status,Began,Took,Read,Inserted,Updated,Removed,Rejected}', run."rows", 'There are none.') ||
		'</main></body></html>' || chr(10)
	FROM card CROSS JOIN running CROSS JOIN task CROSS JOIN fill CROSS JOIN unit CROSS JOIN reject CROSS JOIN run;
END;

COMMENT ON FUNCTION idem_import_report()
	IS 'a page of HTML that shows the imports that one may run: runs, counts, lag, rejects, tasks, and a timeline of each';

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
