/*-------------------------------------------------------------------------
 *
 * task.c
 *	  One task, from its claim to its end.
 *
 * It is run in the steps that idem_import_run_units would take, each in a
 * transaction of its own, as the import's owner.  The last of these also sets
 * the task to done: data and state are there together, or not at all.
 *
 * If a step fails it is rolled back, and its failure recorded as that of any
 * run.  What may pass by itself is tried again later, anything else is not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "flow/steps.h"
#include "jit/jit.h"
#include "ledger/announce.h"
#include "ledger/reject.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/slot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "worker/board.h"
#include "worker/owner.h"
#include "worker/process.h"
#include "worker/record.h"
#include "worker/task.h"

typedef struct TaskRun
{
	const Task *task;
	int			place;
	MemoryContext cxt;
	RunRequest	request;
	RunTrace	trace;
	RunRecord	current;
	Steps	   *steps;
	int64		run_id;			/* of the last step */
	bool		done;
} TaskRun;

static void
task_context(void *arg)
{
	const TaskRun *run = arg;

	errcontext("task " INT64_FORMAT, run->task->task);
}

static void
require_not_canceled(const TaskRun *run)
{
	CHECK_FOR_INTERRUPTS();
	if (idem_board_is_canceled(run->place))
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("canceling task due to user request")));
}

/* One run, in a transaction of its own; it has begun if it is the first. */
static void
take_step(void *arg, bool last)
{
	TaskRun    *run = arg;
	bool		done = false;
	MemoryContext cxt;

	memset(&run->current, 0, sizeof(RunRecord));
	require_not_canceled(run);
	if (!IsTransactionState())
		idem_owner_begin(run->task->owner);
	cxt = AllocSetContextCreate(run->cxt, "idem_import step", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(cxt);
	run->trace.cxt = cxt;
	run->trace.results = NIL;
	/* outlives the transaction, if that fails */
	run->trace.rejects = tuplestore_begin_heap(true, true, work_mem);
	idem_run(&run->request, &run->trace);
	if (run->trace.results != NIL)
		run->run_id = ((RunRecord *) llast(run->trace.results))->run_id;

	if (last && (run->request.paging == NULL || !run->request.paging->more))
	{
		/* the import's own code may have caught it */
		require_not_canceled(run);
		idem_queue_done(run->task->task, run->run_id);
		done = true;
	}
	tuplestore_end(run->trace.rejects);
	run->trace.rejects = NULL;
	idem_owner_commit();
	run->done = done;

	MemoryContextSwitchTo(run->cxt);
	MemoryContextDelete(cxt);
}

/* What is recorded if it fails before its first run has begun. */
static void
begin_record(TaskRun *run)
{
	Definition *def = idem_definition_get(run->task->import);

	run->current.import = run->task->import;
	run->current.unit = run->task->scope != NULL ? run->task->scope : IDEM_WHOLE_TABLE;
	run->current.version = def->version;
	run->current.started_at = GetCurrentTimestamp();
	run->current.who = run->task->owner;
	run->current.log = idem_announce_log();
	run->current.notify = idem_announce_notify();
}

static void
take_steps(TaskRun *run)
{
	if (!OidIsValid(run->task->owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("import \"%s\" does not exist", run->task->import)));

	require_not_canceled(run);
	idem_owner_begin(run->task->owner);
	MemoryContextSwitchTo(run->cxt);
	begin_record(run);
	run->steps = idem_steps(run->request.import, run->task->scope, run->task->backfill != 0);
	idem_steps_take(run->steps, &run->request, take_step, run);
	if (run->done)
		return;

	/* there was none to take */
	if (!IsTransactionState())
		idem_owner_begin(run->task->owner);
	idem_queue_done(run->task->task, run->run_id);
	idem_owner_commit();
	run->done = true;
}

/*
 * May the same succeed later, without anybody doing anything?  Serialization
 * and deadlocks, locks, resources, connections, shutdowns, a statement timeout,
 * and an import that was altered between two steps.
 */
static bool
may_pass(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
			return true;
	}
	switch (sqlstate)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_OBJECT_IN_USE:
		case ERRCODE_IO_ERROR:
		case ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION:
			return true;
	}
	return false;
}

static void
record_failure(TaskRun *run, const ErrorData *edata)
{
	int64		nrejects = run->trace.rejects != NULL ? tuplestore_tuple_count(run->trace.rejects) : 0;
	bool		canceled = edata->sqlerrcode == ERRCODE_QUERY_CANCELED && idem_board_is_canceled(run->place);
	bool		altered = run->steps != NULL && run->current.import == NULL &&
		edata->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;

	if (run->current.import != NULL)
	{
		idem_record_error(&run->current, edata);
		(void) idem_record(&run->current, run->trace.rejects, nrejects);
	}

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (idem_process_hold_extension())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		if (canceled)
			idem_queue_canceled(run->task->task);
		else
			idem_queue_failed(run->task->task, altered || may_pass(edata->sqlerrcode), run->current.run_id,
							  edata->sqlerrcode, edata->message, edata->detail);
		PopActiveSnapshot();
	}
	CommitTransactionCommand();
	/* it may be pending again */
	idem_board_wake(MyDatabaseId);
	if (run->trace.rejects != NULL)
		tuplestore_end(run->trace.rejects);
}

/* Roll back, and keep the error. */
static ErrorData *
clean_up(MemoryContext cxt)
{
	ErrorData  *edata;

	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	MemoryContextSwitchTo(cxt);
	edata = CopyErrorData();
	EmitErrorReport();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	jit_reset_after_error();
	idem_record_settings();
	MemoryContextSwitchTo(cxt);
	RESUME_INTERRUPTS();
	return edata;
}

void
idem_task_run(const Task *task, int place)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import task", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcxt = MemoryContextSwitchTo(cxt);
	TaskRun    *run = palloc0(sizeof(TaskRun));
	ErrorContextCallback callback;
	ErrorData  *volatile edata = NULL;

	run->task = task;
	run->place = place;
	run->cxt = cxt;
	run->request.import = task->import;
	run->trace.current = &run->current;

	pgstat_report_activity(STATE_RUNNING, psprintf("import \"%s\"%s%s", task->import,
												   task->scope != NULL ? ", scope " : "",
												   task->scope != NULL ? task->scope : ""));
	callback.callback = task_context;
	callback.arg = run;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	PG_TRY();
	{
		idem_process_allow_cancel(true);
		take_steps(run);
	}
	PG_CATCH();
	{
		idem_process_allow_cancel(false);
		edata = clean_up(run->cxt);
	}
	PG_END_TRY();
	idem_process_allow_cancel(false);
	/* whatever it has set is not for us */
	idem_owner_discard();
	MemoryContextSwitchTo(cxt);
	/* when its last rows are committed, nothing makes it fail any more */
	if (edata != NULL && !run->done)
		record_failure(run, edata);
	error_context_stack = callback.previous;

	MemoryContextSwitchTo(oldcxt);
	MemoryContextDelete(cxt);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}
