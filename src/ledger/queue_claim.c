/*-------------------------------------------------------------------------
 *
 * queue_claim.c
 *	  Tasks as the worker sees them: which comes next, and what became of it.
 *
 * Who claims a task sets it to running in a transaction of its own, before he
 * begins.  That word in the table is for people to read.  Who has a task at
 * hand the processes know of each other, and that goes with them: a task that
 * is running, and that nobody has at hand, was left behind.  It is the first
 * to be claimed.
 *
 * Tasks of one backfill stand in one lane, all others in lane 0.  Of each lane
 * only the first that is due is looked at, unless the lane already has as many
 * running as it may: so what a claim costs does not depend on how many wait.
 * Claims come one at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "ledger/queue.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/elog.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/*
 * Executors end when the server does, which is nothing to hold against a task.
 * One that takes the server with it, though, must come to an end.
 */
#define INTERRUPTED_AT_ONCE		2	/* so often it goes on at once, after that it waits */
#define INTERRUPTED_PER_ATTEMPT	2	/* so many times max_attempts it is given up */

/* Claims come one at a time: an object of class idem_import_queue, without a number. */
static void
lock_claims(void)
{
	House		house;
	LOCKTAG		tag;

	sql_house_find(&house);
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, get_relname_relid("idem_import_queue", house.schema_oid), 0, 0);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/*
 * SELECT array_agg(task ORDER BY task) AS tasks FROM idem_import_queue
 * WHERE status = 'running' AND ($1 = 0 OR task = $1) AND ($2 = 0 OR backfill = $2)
 */
static List *
running(int64 task, int64 backfill)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_int8(task), sql_int8(backfill)};
	House		house;
	SqlRow		row;
	Datum		tasks;
	Datum	   *elements;
	int			n;
	bool		isnull;
	List	   *list = NIL;

	sql_house_enter(&house);
	(void) sql_row(psprintf("SELECT array_agg(task ORDER BY task) AS tasks FROM %sidem_import_queue "
							"WHERE status = 'running' AND ($1 = 0 OR task = $1) AND ($2 = 0 OR backfill = $2)",
							house.schema), sql_params(lengthof(param), param), true, cxt, &row);
	sql_house_leave(&house);

	tasks = sql_column(&row, "tasks", &isnull);
	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(tasks), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		int64	   *number = palloc(sizeof(int64));

		*number = DatumGetInt64(elements[i]);
		list = lappend(list, number);
	}
	return list;
}

/*
 * WITH RECURSIVE lanes (lane) AS (<each that has pending tasks, by loose index scan>)
 * SELECT q.task ...
 * FROM lanes CROSS JOIN LATERAL (
 *    SELECT ... FROM idem_import_queue q
 *    WHERE q.status = 'pending' AND coalesce(q.backfill, 0) = lanes.lane AND q.run_after <= $1
 *       AND NOT EXISTS (<the same import and scope, running>)
 *    ORDER BY q.priority DESC, q.task
 *    LIMIT <what the lane may still run, at most $2>
 *    <FOR UPDATE SKIP LOCKED>) q
 *
 * %1$s: our schema; %2$s: the columns; %3$s: FOR UPDATE SKIP LOCKED, or nothing
 */
#define CLAIMABLE \
	"WITH RECURSIVE lanes (lane) AS (" \
	"(SELECT coalesce(backfill, 0) FROM %1$sidem_import_queue WHERE status = 'pending' " \
	"ORDER BY coalesce(backfill, 0) LIMIT 1) " \
	"UNION ALL " \
	"SELECT (SELECT coalesce(q.backfill, 0) FROM %1$sidem_import_queue q WHERE q.status = 'pending' " \
	"AND coalesce(q.backfill, 0) > l.lane ORDER BY coalesce(q.backfill, 0) LIMIT 1) " \
	"FROM lanes l WHERE l.lane IS NOT NULL) " \
	"SELECT %2$s FROM lanes CROSS JOIN LATERAL (" \
	"SELECT q.task, q.priority, q.import, q.scope, q.backfill FROM %1$sidem_import_queue q " \
	"WHERE q.status = 'pending' AND coalesce(q.backfill, 0) = lanes.lane AND q.run_after <= $1 " \
	"AND NOT EXISTS (SELECT FROM %1$sidem_import_queue r WHERE r.status = 'running' " \
	"AND r.import = q.import AND r.scope IS NOT DISTINCT FROM q.scope) " \
	"ORDER BY q.priority DESC, q.task " \
	"LIMIT (SELECT greatest(0, least($2, b.max_parallel - (SELECT count(*) FROM %1$sidem_import_queue r " \
	"WHERE r.status = 'running' AND r.backfill = lanes.lane))) " \
	"FROM (VALUES (1)) AS one LEFT JOIN %1$sidem_import_backfill b ON b.backfill = lanes.lane) " \
	"%3$s) q"

/* The planner knows nothing of a queue whose statistics are from another hour. */
static void
prefer_indexes(void)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_sort", "jit"};

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
idem_queue_look(int64 limit, AtHand at_hand, QueueOutlook *outlook)
{
	MemoryContext cxt = CurrentMemoryContext;
	TimestampTz now = GetCurrentTimestamp();
	SqlParam	param[] = {
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(now), false),
		sql_int8(limit)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;
	SqlRow		count;
	SqlRow		next;
	Datum		value;
	bool		isnull;
	ListCell   *lc;

	sql_house_enter(&house);
	prefer_indexes();
	(void) sql_row(psprintf(CLAIMABLE, house.schema, "count(*) AS tasks", ""), params, true, cxt, &count);
	(void) sql_row(psprintf("SELECT min(run_after) AS next FROM %sidem_import_queue "
							"WHERE status = 'pending' AND run_after > $1", house.schema),
				   sql_params(1, param), true, cxt, &next);
	sql_house_leave(&house);

	outlook->tasks = sql_column_int8(&count, "tasks", 0);
	value = sql_column(&next, "next", &isnull);
	outlook->next = isnull ? 0 : DatumGetTimestampTz(value);
	foreach(lc, running(0, 0))
	{
		if (!at_hand(*(int64 *) lfirst(lc)))
			outlook->tasks++;
	}
}

/* Columns of a task, of idem_import_queue AS q and idem_import_definition AS d. */
#define TASK_COLUMNS "q.task, coalesce(q.backfill, 0) AS backfill, q.import, q.scope, d.owner"

static void
read_task(const SqlRow *row, Task *task)
{
	task->task = sql_column_int8(row, "task", 0);
	task->backfill = sql_column_int8(row, "backfill", 0);
	task->import = sql_column_text(row, "import");
	task->scope = sql_column_text(row, "scope");
	task->owner = sql_column_oid(row, "owner");
}

/*
 * A task that was left behind is to go on, at once at first.  If that happens
 * again and again, it waits, and in the end it is given up:
 *
 * UPDATE idem_import_queue AS q SET interrupted = interrupted + 1, status = ..., run_after = ...
 * FROM (SELECT max_attempts, backoff ...) d WHERE task = $1 AND status = 'running'
 * RETURNING status
 *
 * Says whether it goes on at once.
 */
static bool
pick_up(int64 number)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_int8(number)};
	House		house;
	SqlRow		row;
	bool		found;

	sql_house_enter(&house);
	found = sql_returning(SPI_OK_UPDATE_RETURNING,
						  psprintf("UPDATE %1$sidem_import_queue AS q SET interrupted = interrupted + 1, "
								   "status = CASE WHEN interrupted + 1 >= %2$d * n.max_attempts THEN 'dead' "
								   "WHEN interrupted >= %3$d THEN 'pending' ELSE status END, "
								   "finished_at = CASE WHEN interrupted + 1 >= %2$d * n.max_attempts "
								   "THEN clock_timestamp() END, "
								   "run_after = CASE WHEN interrupted < %3$d THEN run_after ELSE clock_timestamp() + "
								   "least(n.backoff * power(2, least(interrupted - %3$d, 20)), "
								   "greatest(n.backoff, interval '1 hour')) END, "
								   "sqlstate = '57P02', message = 'the executor of the task ended before it was done' "
								   "FROM (SELECT coalesce(max(d.max_attempts), 1) AS max_attempts, "
								   "coalesce(max(d.backoff), interval '10 seconds') AS backoff "
								   "FROM %1$sidem_import_queue t JOIN %1$sidem_import_definition d ON d.name = t.import "
								   "WHERE t.task = $1) n "
								   "WHERE q.task = $1 AND q.status = 'running' RETURNING q.status",
								   house.schema, INTERRUPTED_PER_ATTEMPT, INTERRUPTED_AT_ONCE),
						  sql_params(1, param), cxt, &row);
	sql_house_leave(&house);
	return found && strcmp(sql_column_text(&row, "status"), "running") == 0;
}

/*
 * SELECT ... FROM idem_import_queue q LEFT JOIN idem_import_definition d ON d.name = q.import
 * WHERE q.task = $1 AND q.status = 'running' FOR UPDATE OF q SKIP LOCKED
 */
static bool
lock_running(int64 number, Task *task)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param = sql_int8(number);
	House		house;
	SqlRow		row;
	bool		found;

	sql_house_enter(&house);
	found = sql_row(psprintf("SELECT " TASK_COLUMNS " FROM %1$sidem_import_queue q "
							 "LEFT JOIN %1$sidem_import_definition d ON d.name = q.import "
							 "WHERE q.task = $1 AND q.status = 'running' FOR UPDATE OF q SKIP LOCKED",
							 house.schema), sql_params(1, &param), true, cxt, &row);
	sql_house_leave(&house);
	if (found)
		read_task(&row, task);
	return found;
}

/* One that was left behind. */
static bool
find_orphan(AtHand at_hand, Task *task)
{
	ListCell   *lc;

	foreach(lc, running(0, 0))
	{
		int64		number = *(int64 *) lfirst(lc);

		if (!at_hand(number) && lock_running(number, task) && pick_up(number))
			return true;
	}
	return false;
}

bool
idem_queue_cancel_orphans(int64 number, bool is_backfill, AtHand at_hand)
{
	bool		canceled = false;
	ListCell   *lc;

	foreach(lc, running(is_backfill ? 0 : number, is_backfill ? number : 0))
	{
		int64		one = *(int64 *) lfirst(lc);
		Task		task;

		/* once we hold the row, nobody can take it up any more */
		if (at_hand(one) || !lock_running(one, &task) || at_hand(one))
			continue;
		idem_queue_canceled(one);
		canceled = true;
	}
	return canceled;
}

/* The next that is due. */
static bool
find_pending(Task *task)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()), false),
		sql_int8(1)
	};
	House		house;
	SqlRow		row;
	bool		found;
	char	   *query;

	sql_house_enter(&house);
	prefer_indexes();
	query = psprintf(CLAIMABLE " LEFT JOIN %1$sidem_import_definition d ON d.name = q.import "
					 "ORDER BY q.priority DESC, q.task LIMIT 1",
					 house.schema, TASK_COLUMNS, "FOR UPDATE SKIP LOCKED");
	found = sql_row(query, sql_params(lengthof(param), param), true, cxt, &row);
	sql_house_leave(&house);
	if (!found)
		return false;
	read_task(&row, task);
	return true;
}

Claim
idem_queue_claim(Oid owner, Task *task, AtHand at_hand, void (*hold) (const Task *task))
{
	SqlParam	param[2];
	House		house;

	/* losing this is losing nothing */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	lock_claims();

	if (!find_orphan(at_hand, task) && !find_pending(task))
		return CLAIM_NONE;
	if (OidIsValid(owner) && task->owner != owner)
		return CLAIM_OTHERS;
	hold(task);

	param[0] = sql_int8(task->task);
	param[1] = sql_datum(INT4OID, Int32GetDatum(MyProcPid), false);
	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_queue SET status = 'running', attempts = attempts + 1, "
						 "started_at = clock_timestamp(), finished_at = NULL, pid = $2 WHERE task = $1", house.schema),
				sql_params(lengthof(param), param));
	sql_house_leave(&house);
	return CLAIM_TASK;
}

void
idem_queue_done(int64 task, int64 run_id)
{
	SqlParam	param[] = {
		sql_int8(task),
		sql_datum(INT8OID, Int64GetDatum(run_id), run_id == 0)
	};
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_queue SET status = 'done', finished_at = clock_timestamp(), "
						 "run_id = $2, sqlstate = NULL, message = NULL, detail = NULL WHERE task = $1", house.schema),
				sql_params(lengthof(param), param));
	sql_house_leave(&house);
}

/*
 * UPDATE idem_import_queue AS q SET
 *    status = CASE WHEN NOT $2 THEN 'failed' WHEN attempts - interrupted >= max_attempts THEN 'dead' ELSE 'pending' END,
 *    run_after = clock_timestamp() + backoff * 2 ^ (attempts - interrupted - 1) * <0.75 to 1.25>, ...
 * FROM (SELECT max_attempts, backoff ...) n
 * WHERE q.task = $1
 *
 * An attempt that was interrupted has not failed.
 */
void
idem_queue_failed(int64 task, bool may_pass, int64 run_id, int sqlstate, const char *message, const char *detail)
{
	SqlParam	param[] = {
		sql_int8(task),
		sql_datum(BOOLOID, BoolGetDatum(may_pass), false),
		sql_datum(INT8OID, Int64GetDatum(run_id), run_id == 0),
		sql_text(unpack_sql_state(sqlstate)),
		sql_text(message),
		sql_text(detail)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %1$sidem_import_queue AS q SET "
						 "status = CASE WHEN NOT $2 THEN 'failed' "
						 "WHEN q.attempts - q.interrupted >= n.max_attempts THEN 'dead' ELSE 'pending' END, "
						 "finished_at = CASE WHEN NOT $2 OR q.attempts - q.interrupted >= n.max_attempts "
						 "THEN clock_timestamp() END, "
						 "run_after = CASE WHEN NOT $2 OR q.attempts - q.interrupted >= n.max_attempts THEN q.run_after "
						 "ELSE clock_timestamp() + least("
						 "n.backoff * power(2, greatest(0, least(q.attempts - q.interrupted - 1, 20))), "
						 "greatest(n.backoff, interval '1 hour')) * (0.75 + random() / 2) END, "
						 "run_id = coalesce($3, q.run_id), sqlstate = $4, message = $5, detail = $6 "
						 "FROM (SELECT coalesce(max(d.max_attempts), 1) AS max_attempts, "
						 "coalesce(max(d.backoff), interval '0') AS backoff "
						 "FROM %1$sidem_import_queue t JOIN %1$sidem_import_definition d ON d.name = t.import "
						 "WHERE t.task = $1) n WHERE q.task = $1", house.schema), params);
	sql_house_leave(&house);
}

void
idem_queue_canceled(int64 task)
{
	SqlParam	param = sql_int8(task);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_queue SET status = 'cancelled', finished_at = clock_timestamp() "
						 "WHERE task = $1 AND status = 'running'", house.schema), sql_params(1, &param));
	sql_house_leave(&house);
}
