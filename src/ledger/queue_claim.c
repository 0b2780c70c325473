/*-------------------------------------------------------------------------
 *
 * queue_claim.c
 *	  Which task comes next.
 *
 * Who claims a task sets it to running in a transaction of its own, before he
 * begins.  That word in the table is for people to read.  Who has a task at
 * hand the processes know of each other, and that goes with them: a task that
 * is running, and that nobody has at hand, was left behind.  It is the first
 * to be claimed.  (The word must be on disk, all the same: of a task that takes
 * the server down with it there would be no trace, and no end.)
 *
 * Tasks of one backfill stand in one lane, all others in lane 0.  Of each lane
 * only the first that is due is looked at, unless the lane already has as many
 * running as it may: so what a claim costs does not depend on how many wait.
 *
 * Nor does it depend on how many are done.  As long as somebody's snapshot is
 * older, an index keeps what is done, and to find the first that is not means
 * to pass all of them.  So each process remembers where it found the first of
 * each lane, and starts there the next time.  Tasks that become pending may
 * stand before that; who makes them so says it after his commit, and all begin
 * anew.
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
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The first pending task of a lane, when it was looked for last. */
typedef struct Lane
{
	int64		lane;
	int64		rank;			/* -priority */
	int64		task;
} Lane;

/* What this process remembers, of the generation it was found in. */
static MemoryContext memory = NULL;
static int64 generation = -1;
static List *lanes = NIL;		/* of Lane * */
static List *left_behind = NIL; /* of int64 *: they may be */

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

static bool
at_hand(const QueueHands *hands, int64 task)
{
	for (int i = 0; i < hands->n; i++)
	{
		if (hands->tasks[i] == task)
			return true;
	}
	return false;
}

/* The planner knows nothing of a queue whose statistics are from another hour. */
static void
prefer_indexes(void)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_sort", "jit"};

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
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
 * The first pending task from a place on:
 *
 * SELECT coalesce(backfill, 0) AS lane, - priority::bigint AS rank, task FROM idem_import_queue
 * WHERE status = 'pending' AND (coalesce(backfill, 0), - priority::bigint, task) >= ($1, $2, $3)
 * ORDER BY 1, 2, 3 LIMIT 1
 */
static bool
first_pending(Lane *place)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_int8(place->lane), sql_int8(place->rank), sql_int8(place->task)};
	House		house;
	SqlRow		row;
	bool		found;

	sql_house_enter(&house);
	prefer_indexes();
	found = sql_row(psprintf("SELECT coalesce(backfill, 0) AS lane, - priority::bigint AS rank, task "
							 "FROM %sidem_import_queue WHERE status = 'pending' "
							 "AND (coalesce(backfill, 0), - priority::bigint, task) >= ($1, $2, $3) "
							 "ORDER BY coalesce(backfill, 0), - priority::bigint, task LIMIT 1", house.schema),
					sql_params(lengthof(param), param), true, cxt, &row);
	sql_house_leave(&house);
	if (!found)
		return false;
	place->lane = sql_column_int8(&row, "lane", 0);
	place->rank = sql_column_int8(&row, "rank", 0);
	place->task = sql_column_int8(&row, "task", 0);
	return true;
}

/* Look at everything. */
static void
begin_anew(const QueueHands *hands)
{
	MemoryContext oldcxt;
	List	   *tasks;
	ListCell   *lc;
	Lane		place = {0, PG_INT64_MIN, PG_INT64_MIN};

	if (memory == NULL)
		memory = AllocSetContextCreate(TopMemoryContext, "idem_import lanes", ALLOCSET_SMALL_SIZES);
	generation = -1;
	lanes = NIL;
	left_behind = NIL;
	MemoryContextReset(memory);

	while (first_pending(&place))
	{
		CHECK_FOR_INTERRUPTS();
		oldcxt = MemoryContextSwitchTo(memory);
		lanes = lappend(lanes, memcpy(palloc(sizeof(Lane)), &place, sizeof(Lane)));
		MemoryContextSwitchTo(oldcxt);
		place.lane++;
		place.rank = PG_INT64_MIN;
		place.task = PG_INT64_MIN;
	}
	tasks = running(0, 0);
	oldcxt = MemoryContextSwitchTo(memory);
	foreach(lc, tasks)
	{
		if (!at_hand(hands, *(int64 *) lfirst(lc)))
			left_behind = lappend(left_behind, memcpy(palloc(sizeof(int64)), lfirst(lc), sizeof(int64)));
	}
	MemoryContextSwitchTo(oldcxt);
	generation = hands->generation;
}

/* Bring what is remembered up to date. */
static void
remember(const QueueHands *hands)
{
	ListCell   *lc;

	if (generation != hands->generation)
	{
		begin_anew(hands);
		return;
	}
	foreach(lc, lanes)
	{
		Lane	   *lane = lfirst(lc);
		Lane		first = *lane;

		if (first_pending(&first) && first.lane == lane->lane)
			*lane = first;
		else
			lanes = foreach_delete_current(lanes, lc);
	}
}

/*
 * SELECT q.task ...
 * FROM unnest($3, $4, $5) AS l (lane, rank, task) CROSS JOIN LATERAL (
 *    SELECT ... FROM idem_import_queue q
 *    WHERE q.status = 'pending' AND coalesce(q.backfill, 0) = l.lane
 *       AND (- q.priority::bigint, q.task) >= (l.rank, l.task) AND q.run_after <= $1
 *       AND NOT EXISTS (<the same import and scope, running>)
 *    ORDER BY - q.priority::bigint, q.task
 *    LIMIT <what the lane may still run, at most $2>
 *    <FOR UPDATE SKIP LOCKED>) q
 *
 * $6 are the tasks that somebody has at hand.  %1$s: our schema; %2$s: the
 * columns; %3$s: FOR UPDATE SKIP LOCKED, or nothing
 */
#define CLAIMABLE \
	"SELECT %2$s FROM unnest($3, $4, $5) AS l (lane, rank, task) CROSS JOIN LATERAL (" \
	"SELECT q.task, q.priority, q.import, q.scope, q.backfill FROM %1$sidem_import_queue q " \
	"WHERE q.status = 'pending' AND coalesce(q.backfill, 0) = l.lane " \
	"AND (- q.priority::bigint, q.task) >= (l.rank, l.task) AND q.run_after <= $1 " \
	"AND NOT EXISTS (SELECT FROM %1$sidem_import_queue r WHERE r.task = ANY ($6) AND r.status = 'running' " \
	"AND r.import = q.import AND r.scope IS NOT DISTINCT FROM q.scope) " \
	"ORDER BY - q.priority::bigint, q.task " \
	"LIMIT (SELECT greatest(0, least($2, b.max_parallel - (SELECT count(*) FROM %1$sidem_import_queue r " \
	"WHERE r.task = ANY ($6) AND r.status = 'running' AND r.backfill = l.lane))) " \
	"FROM (VALUES (1)) AS one LEFT JOIN %1$sidem_import_backfill b ON b.backfill = l.lane) " \
	"%3$s) q"
#define CLAIMABLE_NPARAMS	6

static SqlParam
int8_array(const int64 *values, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(values[i]);
	return sql_datum(INT8ARRAYOID,
					 PointerGetDatum(construct_array(elements, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
					 false);
}

static void
claimable_params(SqlParam *param, TimestampTz now, int64 limit, const QueueHands *hands)
{
	int			n = list_length(lanes);
	int64	   *lane = palloc(sizeof(int64) * (n + 1));
	int64	   *rank = palloc(sizeof(int64) * (n + 1));
	int64	   *task = palloc(sizeof(int64) * (n + 1));

	for (int i = 0; i < n; i++)
	{
		const Lane *one = list_nth(lanes, i);

		lane[i] = one->lane;
		rank[i] = one->rank;
		task[i] = one->task;
	}
	param[0] = sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(now), false);
	param[1] = sql_int8(limit);
	param[2] = int8_array(lane, n);
	param[3] = int8_array(rank, n);
	param[4] = int8_array(task, n);
	param[5] = int8_array(hands->tasks, hands->n);
}

void
idem_queue_look(int64 limit, ReadHands read_hands, QueueOutlook *outlook)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[CLAIMABLE_NPARAMS];
	QueueHands	hands;
	House		house;
	SqlRow		count;
	SqlRow		next;
	Datum		value;
	bool		isnull;
	ListCell   *lc;

	read_hands(&hands);
	remember(&hands);
	claimable_params(param, GetCurrentTimestamp(), limit, &hands);
	sql_house_enter(&house);
	prefer_indexes();
	(void) sql_row(psprintf(CLAIMABLE, house.schema, "count(*) AS tasks", ""),
				   sql_params(CLAIMABLE_NPARAMS, param), true, cxt, &count);
	(void) sql_row(psprintf("SELECT min(run_after) AS next FROM %sidem_import_queue "
							"WHERE status = 'pending' AND run_after > $1", house.schema),
				   sql_params(1, param), true, cxt, &next);
	sql_house_leave(&house);

	outlook->tasks = sql_column_int8(&count, "tasks", 0);
	value = sql_column(&next, "next", &isnull);
	outlook->next = isnull ? 0 : DatumGetTimestampTz(value);
	foreach(lc, left_behind)
	{
		int64		number = *(int64 *) lfirst(lc);

		if (!at_hand(&hands, number) && running(number, 0) != NIL)
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

/* One that was left behind, and may go on. */
static bool
find_left_behind(const QueueHands *hands, Task *task)
{
	ListCell   *lc;

	foreach(lc, left_behind)
	{
		int64		number = *(int64 *) lfirst(lc);
		bool		waits;

		if (at_hand(hands, number) || !lock_running(number, task))
			continue;
		if (idem_queue_pick_up(number, &waits))
			return true;
		task->put_back = task->put_back || waits;
	}
	return false;
}

bool
idem_queue_cancel_orphans(int64 number, bool is_backfill, ReadHands read_hands)
{
	bool		canceled = false;
	QueueHands	hands;
	ListCell   *lc;

	foreach(lc, running(is_backfill ? 0 : number, is_backfill ? number : 0))
	{
		int64		one = *(int64 *) lfirst(lc);
		Task		task;

		read_hands(&hands);
		if (at_hand(&hands, one) || !lock_running(one, &task))
			continue;
		/* as we hold the row, nobody can take it up any more; has anybody before? */
		read_hands(&hands);
		if (at_hand(&hands, one))
			continue;
		idem_queue_canceled(one);
		canceled = true;
	}
	return canceled;
}

/* The next that is due. */
static bool
find_pending(const QueueHands *hands, Task *task)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[CLAIMABLE_NPARAMS];
	House		house;
	SqlRow		row;
	bool		found;
	char	   *query;

	claimable_params(param, GetCurrentTimestamp(), 1, hands);
	sql_house_enter(&house);
	prefer_indexes();
	query = psprintf(CLAIMABLE " LEFT JOIN %1$sidem_import_definition d ON d.name = q.import "
					 "ORDER BY q.priority DESC, q.task LIMIT 1",
					 house.schema, TASK_COLUMNS, "FOR UPDATE SKIP LOCKED");
	found = sql_row(query, sql_params(CLAIMABLE_NPARAMS, param), true, cxt, &row);
	sql_house_leave(&house);
	if (found)
		read_task(&row, task);
	return found;
}

Claim
idem_queue_claim(Oid owner, Task *task, ReadHands read_hands, void (*hold) (const Task *task))
{
	SqlParam	param[2];
	QueueHands	hands;
	House		house;

	memset(task, 0, sizeof(Task));
	lock_claims();
	read_hands(&hands);
	remember(&hands);

	if (!find_left_behind(&hands, task) && !find_pending(&hands, task))
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
