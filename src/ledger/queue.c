/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  Tasks as sessions see them: the tables idem_import_queue and
 *	  idem_import_backfill.
 *
 * Submitting locks the row, be it new or not, until the transaction ends: a
 * task can't be claimed before the data that it was submitted for can be seen.
 * What the worker does to tasks is in queue_claim.c and queue_outcome.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/sql.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "ledger/definition.h"
#include "ledger/queue.h"
#include "ledger/queue_lanes.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static SqlParam
regrole_param(Oid role)
{
	return sql_datum(REGROLEOID, ObjectIdGetDatum(role), false);
}

/*
 * UPDATE idem_import_queue SET priority = greatest(...), run_after = least(...)
 * WHERE import = $1 AND <scope is $2> AND status = 'pending' AND backfill IS NULL
 * RETURNING task
 *
 * or else
 *
 * INSERT INTO idem_import_queue AS q (...) VALUES (...)
 * ON CONFLICT (import, (scope IS NULL), coalesce(scope, '')) WHERE status = 'pending' AND ... DO UPDATE SET ...
 * RETURNING task
 *
 * The first also finds one that waits for another attempt.
 */
int64
idem_queue_submit(const char *import, const char *scope, int priority, TimestampTz run_after)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {
		sql_text(import),
		sql_text(scope),
		sql_datum(INT4OID, Int32GetDatum(priority), false),
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(run_after), false),
		regrole_param(GetUserId())
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;
	SqlRow		row;

	sql_house_enter(&house);
	if (!sql_returning(SPI_OK_UPDATE_RETURNING,
					   psprintf("UPDATE %sidem_import_queue SET priority = greatest(priority, $3), "
								"run_after = least(run_after, $4) "
								"WHERE import = $1 AND %s AND status = 'pending' "
								"AND backfill IS NULL RETURNING task", house.schema,
								scope != NULL ? "scope = $2" : "scope IS NULL AND $2::text IS NULL"),
					   sql_params(4, param), cxt, &row) &&
		!sql_returning(SPI_OK_INSERT_RETURNING,
					   psprintf("INSERT INTO %sidem_import_queue AS q (import, scope, priority, run_after, submitted_by) "
								"VALUES ($1, $2, $3, $4, $5) "
								"ON CONFLICT (import, (scope IS NULL), coalesce(scope, '')) "
								"WHERE status = 'pending' AND attempts = 0 AND backfill IS NULL DO UPDATE SET "
								"priority = greatest(q.priority, excluded.priority), "
								"run_after = least(q.run_after, excluded.run_after) "
								"RETURNING task", house.schema),
					   params, cxt, &row))
		elog(ERROR, "task was neither inserted nor found");
	sql_house_leave(&house);
	return sql_column_int8(&row, "task", 0);
}

/* What "reprocess" chooses, over idem_import_ledger AS l, which may lack the unit. */
static const char *
reprocess_predicate(const char *reprocess)
{
	if (strcmp(reprocess, "missing") == 0)
		return "l.applied_at IS NULL";
	if (strcmp(reprocess, "failed") == 0)
		return "l.status IN ('failed', 'awaiting_approval')";
	return "true";
}

/*
 * INSERT INTO idem_import_queue (import, scope, backfill, submitted_by)
 * SELECT $1, u.unit, $2, $3
 * FROM unnest($4) WITH ORDINALITY AS u (unit, place)
 *    LEFT JOIN LATERAL (SELECT ... FROM idem_import_ledger WHERE import = $1 AND unit = u.unit OFFSET 0) l ON true
 * WHERE <chosen> AND NOT EXISTS (<pending in another backfill> OFFSET 0)
 * ORDER BY u.place
 *
 * OFFSET 0 makes it look up unit after unit.  As a join it may compare each
 * unit with each task, where the planner has not yet heard of the many that
 * another backfill has just submitted.
 */
static uint64
insert_units(const House *house, const char *import, int64 backfill, List *units, const char *reprocess)
{
	List	   *strings = NIL;
	ListCell   *lc;
	SqlParam	param[4];

	idem_lanes_prefer_indexes();
	foreach(lc, units)
		strings = lappend(strings, makeString(lfirst(lc)));
	param[0] = sql_text(import);
	param[1] = sql_int8(backfill);
	param[2] = regrole_param(house->saved_user);
	param[3] = sql_texts(strings);
	return sql_execute(SPI_OK_INSERT,
					   psprintf("INSERT INTO %1$sidem_import_queue (import, scope, backfill, submitted_by) "
								"SELECT $1, u.unit, $2, $3 "
								"FROM unnest($4) WITH ORDINALITY AS u (unit, place) "
								"LEFT JOIN LATERAL (SELECT status, applied_at FROM %1$sidem_import_ledger "
								"WHERE import = $1 AND unit = u.unit OFFSET 0) l ON true "
								"WHERE %2$s AND NOT EXISTS (SELECT FROM %1$sidem_import_queue q "
								"WHERE q.import = $1 AND q.scope = u.unit AND q.status = 'pending' "
								"AND q.backfill IS NOT NULL OFFSET 0) "
								"ORDER BY u.place", house->schema, reprocess_predicate(reprocess)),
					   sql_params(lengthof(param), param));
}

int64
idem_queue_backfill(const char *import, const char *first, const char *last, List *units,
					const char *reprocess, int max_parallel)
{
	SqlParam	param[] = {
		sql_int8(0),
		sql_text(import),
		sql_text(first),
		sql_text(last),
		sql_text(reprocess),
		sql_datum(INT4OID, Int32GetDatum(max_parallel), max_parallel == 0),
		regrole_param(GetUserId())
	};
	SqlParam	made[2];
	int64		backfill;
	House		house;

	sql_house_enter(&house);
	backfill = nextval_internal(get_relname_relid("idem_import_task_id", house.schema_oid), false);
	param[0] = sql_int8(backfill);
	sql_execute(SPI_OK_INSERT,
				psprintf("INSERT INTO %sidem_import_backfill "
						 "(backfill, import, first_unit, last_unit, reprocess, max_parallel, submitted_by) "
						 "VALUES ($1, $2, $3, $4, $5, $6, $7)", house.schema),
				sql_params(lengthof(param), param));
	made[0] = sql_int8(backfill);
	made[1] = sql_int8((int64) insert_units(&house, import, backfill, units, reprocess));
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_backfill SET units = $2 WHERE backfill = $1", house.schema),
				sql_params(lengthof(made), made));
	sql_house_leave(&house);
	return backfill;
}

/*
 * SELECT import, status, false AS is_backfill, xmin FROM idem_import_queue WHERE task = $1
 * UNION ALL
 * SELECT import, CASE ... END, true, xmin FROM idem_import_backfill WHERE backfill = $1
 */
bool
idem_queue_find(int64 number, QueueItem *item)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param = sql_int8(number);
	House		house;
	SqlRow		row;
	char	   *query;
	bool		found;
	bool		isnull;

	sql_house_enter(&house);
	query = psprintf("SELECT import, status, false AS is_backfill, xmin FROM %1$sidem_import_queue WHERE task = $1 "
					 "UNION ALL "
					 "SELECT b.import, CASE "
					 "WHEN EXISTS (SELECT FROM %1$sidem_import_queue q WHERE q.backfill = $1 "
					 "AND q.status IN ('pending', 'running')) THEN 'running' "
					 "WHEN b.cancelled_at IS NOT NULL THEN 'cancelled' "
					 "WHEN EXISTS (SELECT FROM %1$sidem_import_queue q WHERE q.backfill = $1 "
					 "AND q.status IN ('failed', 'dead')) THEN 'failed' "
					 "WHEN EXISTS (SELECT FROM %1$sidem_import_queue q WHERE q.backfill = $1 "
					 "AND q.status = 'cancelled') THEN 'cancelled' "
					 "ELSE 'done' END, true, b.xmin "
					 "FROM %1$sidem_import_backfill b WHERE b.backfill = $1", house.schema);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	found = sql_row(query, sql_params(1, &param), false, cxt, &row);
	PopActiveSnapshot();
	sql_house_leave(&house);
	if (!found)
		return false;

	item->import = sql_column_text(&row, "import");
	item->status = sql_column_text(&row, "status");
	item->is_backfill = sql_column_bool(&row, "is_backfill");
	item->is_final = strcmp(item->status, "pending") != 0 && strcmp(item->status, "running") != 0;
	item->is_ours = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(sql_column(&row, "xmin", &isnull)));
	return true;
}

/* Does such a query find a row now, whatever our snapshot is?  %s: our schema */
static bool
exists_now(const char *query, int nparams, const SqlParam *param)
{
	MemoryContext cxt = CurrentMemoryContext;
	House		house;
	SqlRow		row;
	bool		found;

	sql_house_enter(&house);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	found = sql_row(psprintf(query, house.schema), sql_params(nparams, param), false, cxt, &row);
	PopActiveSnapshot();
	sql_house_leave(&house);
	return found;
}

/* SELECT FROM idem_import_queue WHERE <task or backfill> = $1 AND status = 'pending' LIMIT 1 */
bool
idem_queue_is_pending(int64 number, bool is_backfill)
{
	SqlParam	param = sql_int8(number);

	return exists_now(is_backfill ?
					  "SELECT FROM %sidem_import_queue WHERE backfill = $1 AND status = 'pending' LIMIT 1" :
					  "SELECT FROM %sidem_import_queue WHERE task = $1 AND status = 'pending' LIMIT 1", 1, &param);
}

/*
 * SELECT FROM idem_import_queue q
 *    JOIN idem_import_queue o ON o.import = q.import AND o.scope IS NOT DISTINCT FROM q.scope
 * WHERE o.task = $2 AND <q.task or q.backfill> = $1 AND q.status IN ('pending', 'running') LIMIT 1
 */
#define ENDS_AFTER(item) \
	"SELECT FROM %1$sidem_import_queue q " \
	"JOIN %1$sidem_import_queue o ON o.import = q.import AND o.scope IS NOT DISTINCT FROM q.scope " \
	"WHERE o.task = $2 AND q." item " = $1 AND q.status IN ('pending', 'running') LIMIT 1"

bool
idem_queue_ends_after(int64 number, bool is_backfill, int64 task)
{
	SqlParam	param[] = {sql_int8(number), sql_int8(task)};

	return exists_now(is_backfill ? ENDS_AFTER("backfill") : ENDS_AFTER("task"), lengthof(param), param);
}

bool
idem_queue_cancel(int64 number, bool is_backfill)
{
	SqlParam	param = sql_int8(number);
	ParamListInfo params = sql_params(1, &param);
	House		house;
	uint64		canceled;

	sql_house_enter(&house);
	canceled = sql_execute(SPI_OK_UPDATE,
						   psprintf("UPDATE %sidem_import_queue SET status = 'cancelled', finished_at = clock_timestamp() "
									"WHERE %s = $1 AND status = 'pending'",
									house.schema, is_backfill ? "backfill" : "task"), params);
	if (is_backfill)
		sql_execute(SPI_OK_UPDATE,
					psprintf("UPDATE %1$sidem_import_backfill SET cancelled_at = clock_timestamp() "
							 "WHERE backfill = $1 AND cancelled_at IS NULL AND EXISTS "
							 "(SELECT FROM %1$sidem_import_queue q WHERE q.backfill = $1 "
							 "AND (q.status = 'running' OR q.status = 'cancelled'))", house.schema), params);
	sql_house_leave(&house);
	return canceled > 0;
}

/*
 * DELETE FROM idem_import_queue q WHERE finished_at < $3
 *    AND status NOT IN ('pending', 'running') AND <its backfill is not among those at work> AND <who may>
 * DELETE FROM idem_import_backfill b WHERE created_at < $3 AND NOT EXISTS (<tasks of it>) AND <who may>
 *
 * NOT IN finds out once which backfills are at work; as a join it may do so for
 * each task, where the planner has not yet heard how many there are.
 */
uint64
idem_queue_prune(TimestampTz before, Oid who, bool dropped)
{
	uint64		deleted;

	deleted = idem_definition_prune("DELETE FROM %1$sidem_import_queue q WHERE finished_at < $3 "
									"AND status NOT IN ('pending', 'running') AND (q.backfill IS NULL OR q.backfill NOT IN "
									"(SELECT DISTINCT o.backfill FROM %1$sidem_import_queue o WHERE o.backfill IS NOT NULL "
									"AND o.status IN ('pending', 'running'))) AND %2$s", before, who, dropped);
	(void) idem_definition_prune("DELETE FROM %1$sidem_import_backfill b WHERE created_at < $3 AND NOT EXISTS "
								 "(SELECT FROM %1$sidem_import_queue o WHERE o.backfill = b.backfill) AND %2$s",
								 before, who, dropped);
	return deleted;
}

void
idem_queue_drop(const char *import, bool purge)
{
	SqlParam	param = sql_text(import);
	ParamListInfo params = sql_params(1, &param);
	House		house;

	sql_house_enter(&house);
	if (purge)
	{
		sql_execute(SPI_OK_DELETE,
					psprintf("DELETE FROM %sidem_import_queue WHERE import = $1", house.schema), params);
		sql_execute(SPI_OK_DELETE,
					psprintf("DELETE FROM %sidem_import_backfill WHERE import = $1", house.schema), params);
	}
	else
		sql_execute(SPI_OK_UPDATE,
					psprintf("UPDATE %sidem_import_queue SET status = 'cancelled', finished_at = clock_timestamp() "
							 "WHERE import = $1 AND status = 'pending'", house.schema), params);
	sql_house_leave(&house);
}
