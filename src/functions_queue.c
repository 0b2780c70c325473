/*-------------------------------------------------------------------------
 *
 * functions_queue.c
 *	  SQL-callable functions around the worker: submit, wait, cancel.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "arguments.h"
#include "base/sql.h"
#include "flow/backfill.h"
#include "flow/run.h"
#include "fmgr.h"
#include "ledger/queue.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/board.h"
#include "worker/launcher.h"

/* How long to sleep before looking whether a task is done that nobody told us about. */
#define WAIT_MS		1000

PG_FUNCTION_INFO_V1(idem_import_submit);
PG_FUNCTION_INFO_V1(idem_import_backfill);
PG_FUNCTION_INFO_V1(idem_import_wait);
PG_FUNCTION_INFO_V1(idem_import_cancel);
PG_FUNCTION_INFO_V1(idem_import_worker_start);

static int64
argument_task(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "task")));
	return PG_GETARG_INT64(0);
}

/* The task or backfill of a number, if the user may run its import; 42704. */
static void
get_item(int64 number, QueueItem *item)
{
	Definition *def;

	if (idem_queue_find(number, item))
	{
		def = idem_definition_load(item->import);
		if (def != NULL ? has_privs_of_role(GetUserId(), def->owner) : superuser())
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("task " INT64_FORMAT " does not exist", number)));
}

/*
 * idem_import_submit(import, scope, priority, run_after) returns bigint
 *
 * Errors: 42704, 42501; those of a scope that names no unit.
 */
Datum
idem_import_submit(PG_FUNCTION_ARGS)
{
	char	   *import = idem_argument_name(fcinfo, 0, "import");
	char	   *scope = idem_argument_text(fcinfo, 1);
	Definition *def;
	int64		task;

	PreventCommandIfReadOnly("idem_import_submit()");
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "priority")));
	def = idem_definition_get(import);
	idem_lock_import(import, AccessShareLock);
	def = idem_definition_get(import);
	if (scope != NULL)
		scope = idem_run_unit_name(def, scope);
	/* to an import of whole tables that is no scope */
	if (scope != NULL && strcmp(scope, IDEM_WHOLE_TABLE) == 0 && def->scope == NIL)
		scope = NULL;

	idem_board_wake_afterwards();
	task = idem_queue_submit(import, scope, PG_GETARG_INT32(2),
							 PG_ARGISNULL(3) ? GetCurrentTimestamp() : PG_GETARG_TIMESTAMPTZ(3));
	PG_RETURN_INT64(task);
}

static char *
argument_reprocess(FunctionCallInfo fcinfo, int n)
{
	char	   *word = idem_argument_name(fcinfo, n, "reprocess");

	if (strcmp(word, "missing") != 0 && strcmp(word, "failed") != 0 && strcmp(word, "all") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\": \"%s\"", "reprocess", word),
				 errhint("It is one of \"missing\", \"failed\", \"all\".")));
	return word;
}

/*
 * idem_import_backfill(import, first, last, reprocess, max_parallel)
 * returns bigint
 *
 * Errors: 42704, 42501; see idem_backfill_units.
 */
Datum
idem_import_backfill(PG_FUNCTION_ARGS)
{
	char	   *import = idem_argument_name(fcinfo, 0, "import");
	char	   *first = idem_argument_name(fcinfo, 1, "first");
	char	   *last = idem_argument_name(fcinfo, 2, "last");
	char	   *reprocess = argument_reprocess(fcinfo, 3);
	int			max_parallel = PG_ARGISNULL(4) ? 0 : PG_GETARG_INT32(4);
	Definition *def;
	int64		backfill;

	PreventCommandIfReadOnly("idem_import_backfill()");
	if (!PG_ARGISNULL(4) && max_parallel <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be positive", "max_parallel")));
	(void) idem_definition_get(import);
	idem_lock_import(import, AccessShareLock);
	def = idem_definition_get(import);

	idem_board_wake_afterwards();
	backfill = idem_queue_backfill(import, first, last, idem_backfill_units(def, first, last),
								   reprocess, max_parallel);
	PG_RETURN_INT64(backfill);
}

/* When the time is up; 0: never. */
static TimestampTz
argument_timeout(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return 0;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(GetCurrentTimestamp()),
												   PG_GETARG_DATUM(n)));
}

static void
require_visible(const QueueItem *item, int64 number)
{
	if (item->is_ours)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("task " INT64_FORMAT " was submitted by this very transaction", number),
				 errhint("Commit before you wait: nobody else can see it until then.")));
}

/* The import's own code, called by a task, may ask for that task, or for one that comes after it. */
static void
require_other_task(const QueueItem *item, int64 number)
{
	int64		own = idem_board_own_task();

	if (own != 0 && idem_queue_ends_after(number, item->is_backfill, own))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("task " INT64_FORMAT " cannot be waited for by task " INT64_FORMAT, number, own),
				 errdetail("It cannot end before the task that waits for it."),
				 errhint("Wait in a session, not in what an import calls.")));
}

/*
 * idem_import_wait(task, timeout) returns text
 *
 * The final status, or the one at hand when the time is up.  Errors: 42704;
 * 55000 for a task of this transaction, or one that this very task is in the
 * way of.
 */
Datum
idem_import_wait(PG_FUNCTION_ARGS)
{
	int64		number = argument_task(fcinfo);
	TimestampTz until = argument_timeout(fcinfo, 1);
	Board	   *board = idem_board();
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import wait", ALLOCSET_SMALL_SIZES);
	MemoryContext oldcxt = MemoryContextSwitchTo(cxt);
	QueueItem	item;
	text	   *status;

	get_item(number, &item);
	if (!item.is_final)
	{
		require_visible(&item, number);
		require_other_task(&item, number);
	}
	if (!item.is_final && until == 0 && !RecoveryInProgress() && idem_launcher_pid() == 0)
		ereport(WARNING,
				(errmsg("no worker serves this database"),
				 errhint("Start one with idem_import_worker_start().")));

	/* whoever ends a task says so after he has written it */
	ConditionVariablePrepareToSleep(&board->finished);
	for (;;)
	{
		long		left = WAIT_MS;

		MemoryContextReset(cxt);
		get_item(number, &item);
		if (until != 0)
			left = Min(left, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until));
		if (item.is_final || left <= 0)
			break;
		(void) ConditionVariableTimedSleep(&board->finished, left, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();

	MemoryContextSwitchTo(oldcxt);
	status = cstring_to_text(item.status);
	MemoryContextDelete(cxt);
	PG_RETURN_TEXT_P(status);
}

/* Says whether there was anything to cancel. */
static bool
cancel_item(int64 number, bool is_backfill)
{
	bool		canceled = idem_queue_cancel(number, is_backfill);
	int			asked = idem_board_cancel(MyDatabaseId, is_backfill ? 0 : number, is_backfill ? number : 0);

	if (asked == 0 && idem_queue_cancel_orphans(number, is_backfill, idem_board_read_hands))
		canceled = true;
	return canceled || asked > 0;
}

/* Is anything of it pending that our snapshot has not seen so?  40001 if it never will. */
static bool
is_pending(int64 number, bool is_backfill)
{
	if (!idem_queue_is_pending(number, is_backfill))
		return false;
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("Task " INT64_FORMAT " became pending after the snapshot of this transaction was taken.", number),
				 errhint("The transaction might succeed if retried.")));
	return true;
}

/*
 * idem_import_cancel(task) returns boolean
 *
 * What is pending is canceled with the transaction; what is running is asked
 * to stop at once.  Errors: 42704; 40001 if it became pending after the
 * transaction's snapshot was taken.
 */
Datum
idem_import_cancel(PG_FUNCTION_ARGS)
{
	int64		number = argument_task(fcinfo);
	QueueItem	item;
	bool		canceled = false;

	PreventCommandIfReadOnly("idem_import_cancel()");
	get_item(number, &item);
	if (item.is_final)
		PG_RETURN_BOOL(false);
	idem_board_wake_afterwards();
	do
	{
		CHECK_FOR_INTERRUPTS();
		canceled = cancel_item(number, item.is_backfill) || canceled;
		/* one that failed while we looked may be pending again */
	} while (is_pending(number, item.is_backfill));
	PG_RETURN_BOOL(canceled);
}

/*
 * idem_import_worker_start() returns int
 *
 * Errors: 42501 unless superuser or owner of the extension; 53400, 53000 if
 * the worker can't start; 25006 on a standby.
 */
Datum
idem_import_worker_start(PG_FUNCTION_ARGS)
{
	House		house;
	int			pid;

	PreventCommandDuringRecovery("idem_import_worker_start()");
	sql_house_find(&house);
	if (!has_privs_of_role(GetUserId(), house.owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to start the worker"),
				 errhint("Only superusers and the owner of the extension may.")));
	if (!IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("there are no background workers in single-user mode")));
	pid = idem_launcher_pid();
	PG_RETURN_INT32(pid != 0 ? pid : idem_launcher_start());
}
