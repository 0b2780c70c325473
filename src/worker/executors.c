/*-------------------------------------------------------------------------
 *
 * executors.c
 *	  The executors that a scheduler has: counting, waking, starting them.
 *
 * Places for executors are on the board, for all databases together.  What is
 * started is remembered here by its place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/timestamp.h"
#include "worker/board.h"
#include "worker/executors.h"
#include "worker/process.h"
#include "worker/settings.h"

#define RETRY_MS	1000	/* after they could not be started, or not so many */

static BackgroundWorkerHandle *handles[BOARD_EXECUTORS];

/*
 * Executors that ended before they came have left their place taken.  Now that
 * they are gone there are slots, too, for who has found none.
 */
static void
reap(Oid database)
{
	bool		reaped = false;
	pid_t		pid;

	for (int i = 0; i < BOARD_EXECUTORS; i++)
	{
		if (handles[i] == NULL || GetBackgroundWorkerPid(handles[i], &pid) != BGWH_STOPPED)
			continue;
		pfree(handles[i]);
		handles[i] = NULL;
		reaped = true;
	}
	if (reaped)
		idem_board_wake_hungry(database);
}

void
idem_executors_look(Oid database, Executors *executors)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;

	reap(database);
	memset(executors, 0, sizeof(Executors));
	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry = idem_board_find(board, database, false);
	for (int i = 0; i < BOARD_EXECUTORS; i++)
	{
		BoardExecutor *executor = &board->executors[i];

		if (executor->database != database)
			continue;
		if (executor->pid == 0 && handles[i] == NULL)
		{
			executor->database = InvalidOid;
			entry->barren++;
			continue;
		}
		executors->all++;
		executors->idle += executor->task == 0;
	}
	executors->claims = entry->claims;
	executors->barren = entry->barren;
	LWLockRelease(&board->lock);
}

void
idem_executors_wake(Oid database, int n)
{
	Board	   *board = idem_board();

	LWLockAcquire(&board->lock, LW_SHARED);
	for (int i = 0; i < BOARD_EXECUTORS && n > 0; i++)
	{
		BoardExecutor *executor = &board->executors[i];

		if (executor->database != database || executor->task != 0)
			continue;
		if (executor->pid != 0)
			SetLatch(executor->latch);
		n--;
	}
	LWLockRelease(&board->lock);
}

void
idem_executors_set_hungry(Oid database, bool hungry)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;
	bool		before;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry = idem_board_find(board, database, false);
	before = entry->hungry;
	entry->hungry = hungry;
	LWLockRelease(&board->lock);
	if (hungry && !before)
		idem_board_wake_idle(database);
}

/* Take a place and start one there. */
static bool
start_one(Oid database)
{
	BackgroundWorker worker;
	int			place = idem_board_reserve(database, idem_max_workers);

	if (place < 0)
		return false;
	if (handles[place] != NULL)
		pfree(handles[place]);
	idem_process_describe(&worker, "executor", "idem_import_executor_main", Int32GetDatum(place));
	worker.bgw_notify_pid = MyProcPid;
	if (RegisterDynamicBackgroundWorker(&worker, &handles[place]))
		return true;
	handles[place] = NULL;
	idem_board_release(place, true);
	return false;
}

TimestampTz
idem_executors_start(Oid database, int n, bool has_some)
{
	bool		started = true;

	for (; n > 0 && started; n--)
	{
		started = start_one(database);
		has_some = has_some || started;
	}
	idem_executors_set_hungry(database, !has_some);
	return started ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
}
