/*-------------------------------------------------------------------------
 *
 * executor.c
 *	  The process that runs tasks.
 *
 * It claims them one by one, and leaves when there are none for a while, when
 * others need its place, or when somebody wants to drop the database.  It runs
 * tasks of one owner only: whatever the code of one role may leave behind in
 * the process, no other role's task finds it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "ledger/queue.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "worker/board.h"
#include "worker/owner.h"
#include "worker/process.h"
#include "worker/record.h"
#include "worker/scheduler.h"
#include "worker/settings.h"
#include "worker/task.h"

PGDLLEXPORT void idem_import_executor_main(Datum main_arg);

static int	place;				/* on the board */

static void
sign_off(int code, Datum arg)
{
	idem_board_release(place, false);
	ConditionVariableBroadcast(&idem_board()->finished);
}

/* The database that it is for; InvalidOid if the place is another's by now. */
static Oid
sign_on(void)
{
	Board	   *board = idem_board();
	BoardExecutor *executor = &board->executors[place];
	Oid			database = InvalidOid;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	if (executor->pid == 0)
		database = executor->database;
	if (OidIsValid(database))
	{
		executor->pid = MyProcPid;
		executor->latch = MyLatch;
	}
	LWLockRelease(&board->lock);
	if (OidIsValid(database))
		on_shmem_exit(sign_off, (Datum) 0);
	return database;
}

/* From here on it can be canceled. */
static void
hold(const Task *task)
{
	(void) idem_board_set_task(place, task->task, task->backfill);
}

/*
 * The claim is to be on disk before the task begins.  But claims come one at a
 * time, and the next need not wait for the disk, too: so it is written once the
 * transaction has ended, whatever synchronous_commit is for others.
 */
static void
commit_claim(void)
{
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	CommitTransactionCommand();
	XLogFlush(XactLastCommitEnd);
}

/* Claim the next task; says whether to leave instead. */
static bool
claim(Oid owner, Task *task, Claim *claimed)
{
	bool		leave;

	*claimed = CLAIM_NONE;
	memset(task, 0, sizeof(Task));
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	leave = idem_process_gives_way() || !idem_process_hold_extension();
	if (!leave)
	{
		MemoryContext oldcxt;

		PushActiveSnapshot(GetTransactionSnapshot());
		pgstat_report_activity(STATE_RUNNING, "claiming a task");
		*claimed = idem_queue_claim(owner, task, idem_board_read_hands, hold);
		PopActiveSnapshot();
		oldcxt = MemoryContextSwitchTo(TopMemoryContext);
		if (*claimed == CLAIM_TASK)
		{
			task->import = pstrdup(task->import);
			task->scope = task->scope != NULL ? pstrdup(task->scope) : NULL;
		}
		MemoryContextSwitchTo(oldcxt);
	}
	/* of a task that it leaves to others, nothing is to be written */
	if (*claimed == CLAIM_OTHERS)
		AbortCurrentTransaction();
	else
		commit_claim();
	MemoryContextSwitchTo(TopMemoryContext);
	if (task->put_back && *claimed != CLAIM_OTHERS)
		idem_board_wake(MyDatabaseId);
	return leave || *claimed == CLAIM_OTHERS;
}

/* Cancel what was to be canceled, but is to be tried again. */
static void
cancel_again(const Task *task)
{
	bool		canceled = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (idem_process_hold_extension())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		canceled = idem_queue_cancel(task->task, false);
		PopActiveSnapshot();
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	/* somebody else may have been faster, and tries it */
	if (!canceled)
		(void) idem_board_cancel(MyDatabaseId, task->task, 0);
}

static void
let_go(const Task *task)
{
	if (idem_board_set_task(place, 0, 0))
		cancel_again(task);
	ConditionVariableBroadcast(&idem_board()->finished);
	pfree(task->import);
	if (task->scope != NULL)
		pfree(task->scope);
}

/* Whatever asks for session_user is to see the owner. */
static void
become(Oid owner)
{
	StartTransactionCommand();
	if (SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		SetSessionAuthorization(owner, superuser_arg(owner));
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
}

static void
work(Oid database)
{
	Oid			owner = InvalidOid;
	TimestampTz began = GetCurrentTimestamp();
	TimestampTz idle_since = 0;

	for (;;)
	{
		Task		task;
		Claim		claimed;
		TimestampTz now;

		(void) idem_process_reload();
		if (idem_board_executors() > idem_max_workers || claim(owner, &task, &claimed))
			return;
		now = GetCurrentTimestamp();
		if (claimed == CLAIM_TASK)
		{
			if (!OidIsValid(owner))
				become(task.owner);
			owner = task.owner;
			idem_task_run(&task, place);
			let_go(&task);
			idle_since = 0;
			if (!OidIsValid(owner) ||
				TimestampDifferenceExceeds(began, GetCurrentTimestamp(), IDEM_LIFE_MS) ||
				(TimestampDifferenceExceeds(began, GetCurrentTimestamp(), IDEM_TURN_MS) &&
				 idem_board_others_wait(database)))
				return;
			CHECK_FOR_INTERRUPTS();
			continue;
		}

		if (idle_since == 0 || idle_since > now)
			idle_since = now;
		if (idem_board_others_wait(database) || TimestampDifferenceExceeds(idle_since, now, IDEM_LINGER_MS))
			return;
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) idem_process_wait(TimestampTzPlusMilliseconds(idle_since, IDEM_LINGER_MS));
	}
}

/*
 * Entry point.  main_arg: its place on the board.
 */
void
idem_import_executor_main(Datum main_arg)
{
	Oid			database;

	place = DatumGetInt32(main_arg);
	idem_process_signals();
	MemoryContextSwitchTo(TopMemoryContext);

	database = sign_on();
	if (!OidIsValid(database))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	idem_owner_remember_timeouts();
	idem_record_settings();
	work(database);
	proc_exit(0);
}
