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
 * running as it may; and of the lanes only the first few.  So what a claim costs
 * does not depend on how many wait.
 *
 * Of the same priority, tasks of no backfill come first: a backfill may take days,
 * and is not to hold up what somebody has submitted for today.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "ledger/queue.h"
#include "ledger/queue_lanes.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

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

static void
claimable_params(SqlParam *param, TimestampTz now, int64 limit, const List *some, const QueueHands *hands)
{
	param[0] = sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(now), false);
	param[1] = sql_int8(limit);
	idem_lanes_params(some, &param[2]);
	param[5] = idem_lanes_int8_array(hands->tasks, hands->n);
}

/*
 * Take the next lanes off the list, more each time: those whose tasks are all
 * at hand come first, so at the beginning one more than that.
 */
static List *
next_lanes(List **rest, const QueueHands *hands, int *n)
{
	List	   *some;

	*n = *n == 0 ? hands->n + 1 : *n * 4;
	some = list_copy_head(*rest, *n);
	*rest = list_copy_tail(*rest, *n);
	return idem_lanes_advance(some);
}

/* How many tasks could be claimed now, counted until there are so many. */
static int64
count_claimable(int64 limit, const QueueHands *hands, TimestampTz now)
{
	MemoryContext cxt = CurrentMemoryContext;
	List	   *rest = list_copy(idem_lanes(hands));
	int64		tasks = 0;
	int			n = 0;

	while (rest != NIL && tasks < limit)
	{
		List	   *some = next_lanes(&rest, hands, &n);
		SqlParam	param[CLAIMABLE_NPARAMS];
		House		house;
		SqlRow		row;

		claimable_params(param, now, limit, some, hands);
		sql_house_enter(&house);
		idem_lanes_prefer_indexes();
		(void) sql_row(psprintf(CLAIMABLE, house.schema, "count(*) AS tasks", ""),
					   sql_params(CLAIMABLE_NPARAMS, param), true, cxt, &row);
		sql_house_leave(&house);
		tasks += sql_column_int8(&row, "tasks", 0);
	}
	return tasks;
}

void
idem_queue_look(int64 limit, ReadHands read_hands, QueueOutlook *outlook)
{
	MemoryContext cxt = CurrentMemoryContext;
	TimestampTz now = GetCurrentTimestamp();
	SqlParam	param = sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(now), false);
	QueueHands	hands;
	House		house;
	SqlRow		next;
	Datum		value;
	bool		isnull;
	ListCell   *lc;

	read_hands(&hands);
	outlook->tasks = count_claimable(limit, &hands, now);
	sql_house_enter(&house);
	idem_lanes_prefer_indexes();
	(void) sql_row(psprintf("SELECT min(run_after) AS next FROM %sidem_import_queue "
							"WHERE status = 'pending' AND run_after > $1", house.schema),
				   sql_params(1, &param), true, cxt, &next);
	sql_house_leave(&house);

	value = sql_column(&next, "next", &isnull);
	outlook->next = isnull ? 0 : DatumGetTimestampTz(value);
	foreach(lc, idem_lanes_left_behind(&hands))
	{
		int64		number = *(int64 *) lfirst(lc);

		if (!idem_lanes_at_hand(&hands, number) && idem_lanes_running(number, 0) != NIL)
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

	foreach(lc, idem_lanes_left_behind(hands))
	{
		int64		number = *(int64 *) lfirst(lc);
		bool		waits;

		if (idem_lanes_at_hand(hands, number) || !lock_running(number, task))
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

	foreach(lc, idem_lanes_running(is_backfill ? 0 : number, is_backfill ? number : 0))
	{
		int64		one = *(int64 *) lfirst(lc);
		Task		task;

		read_hands(&hands);
		if (idem_lanes_at_hand(&hands, one) || !lock_running(one, &task))
			continue;
		/* as we hold the row, nobody can take it up any more; has anybody before? */
		read_hands(&hands);
		if (idem_lanes_at_hand(&hands, one))
			continue;
		idem_queue_canceled(one);
		canceled = true;
	}
	return canceled;
}

static Lane
place_of(const SqlRow *row)
{
	Lane		place;

	place.lane = sql_column_int8(row, "backfill", 0);
	place.rank = sql_column_int8(row, "rank", 0);
	place.task = sql_column_int8(row, "task", 0);
	return place;
}

/*
 * The next that is due.  It comes first of its lanes; those that follow are
 * looked at as long as they may have one that comes before it.
 */
static bool
find_pending(const QueueHands *hands, Task *task)
{
	MemoryContext cxt = CurrentMemoryContext;
	TimestampTz now = GetCurrentTimestamp();
	List	   *rest = list_copy(idem_lanes(hands));
	SqlRow		best = {0};
	Lane		best_place = {0};
	int			n = 0;

	while (rest != NIL && (best.tuple == NULL || idem_lanes_compare(&best_place, linitial(rest)) > 0))
	{
		List	   *some = next_lanes(&rest, hands, &n);
		SqlParam	param[CLAIMABLE_NPARAMS];
		House		house;
		SqlRow		row;
		Lane		place;

		claimable_params(param, now, 1, some, hands);
		sql_house_enter(&house);
		idem_lanes_prefer_indexes();
		if (!sql_row(psprintf(CLAIMABLE " LEFT JOIN %1$sidem_import_definition d ON d.name = q.import "
							  "ORDER BY q.priority DESC, q.backfill IS NOT NULL, q.task LIMIT 1",
							  house.schema, "- q.priority::bigint AS rank, " TASK_COLUMNS, "FOR UPDATE SKIP LOCKED"),
					 sql_params(CLAIMABLE_NPARAMS, param), true, cxt, &row))
			row.tuple = NULL;
		sql_house_leave(&house);
		if (row.tuple == NULL)
			continue;
		place = place_of(&row);
		if (best.tuple == NULL || idem_lanes_compare(&place, &best_place) < 0)
		{
			best = row;
			best_place = place;
		}
	}
	if (best.tuple != NULL)
		read_task(&best, task);
	return best.tuple != NULL;
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
