/*-------------------------------------------------------------------------
 *
 * board.c
 *	  What launcher, schedulers, executors and sessions know of each other.
 *
 * Where the library is preloaded the memory is asked for as the server starts.
 * Elsewhere it is taken from what PostgreSQL leaves free for such cases; it is
 * some kilobytes.
 *
 * A latch that is set here may belong to a process that took the place of the
 * one that was meant.  That does no harm: everybody looks why he was woken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "worker/board.h"

#define BOARD_NAME	"idem_import board 1"

/* A place that was reserved for an executor that never came is free again after that. */
#define RESERVED_FOR_MS		60000

static Board *the_board = NULL;
static shmem_request_hook_type previous_request = NULL;
static shmem_startup_hook_type previous_startup = NULL;
static bool wake_afterwards = false;
static bool callback_registered = false;

Board *
idem_board(void)
{
	bool		found;

	if (the_board != NULL)
		return the_board;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	the_board = ShmemInitStruct(BOARD_NAME, sizeof(Board), &found);
	if (!found)
	{
		memset(the_board, 0, sizeof(Board));
		LWLockInitialize(&the_board->lock, LWLockNewTrancheId());
		ConditionVariableInit(&the_board->finished);
	}
	LWLockRelease(AddinShmemInitLock);
	LWLockRegisterTranche(the_board->lock.tranche, "idem_import");
	return the_board;
}

static void
request_memory(void)
{
	if (previous_request != NULL)
		previous_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(Board)));
}

static void
make_board(void)
{
	if (previous_startup != NULL)
		previous_startup();
	/* after a crash the memory is another one */
	the_board = NULL;
	(void) idem_board();
}

void
idem_board_init(void)
{
	previous_request = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = make_board;
}

BoardDatabase *
idem_board_find(Board *board, Oid database, bool make)
{
	BoardDatabase *unused = NULL;

	for (int i = 0; i < BOARD_DATABASES; i++)
	{
		BoardDatabase *entry = &board->databases[i];

		if (entry->database == database)
			return entry;
		if (!OidIsValid(entry->database) && unused == NULL)
			unused = entry;
	}
	if (!make || unused == NULL)
		return NULL;
	memset(unused, 0, sizeof(BoardDatabase));
	unused->database = database;
	return unused;
}

void
idem_board_tidy(BoardDatabase *entry)
{
	bool		awaited = entry->woken || entry->starting || entry->next != 0;

	/* without a launcher nobody heeds that; one that comes looks into the tables */
	if (entry->scheduler == 0 && entry->launcher == 0 && (!awaited || idem_board()->launcher == 0))
		entry->database = InvalidOid;
}

void
idem_board_wake(Oid database)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;
	Latch	   *latch = NULL;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	board->generation++;
	/* as for idem_board_tidy */
	entry = idem_board_find(board, database, board->launcher != 0);
	if (entry == NULL)
		board->overflow = true;
	else
	{
		entry->woken = true;
		if (entry->scheduler != 0)
			latch = entry->scheduler_latch;
		else if (entry->launcher != 0)
			latch = entry->launcher_latch;
	}
	if (latch == NULL && board->launcher != 0)
		latch = board->launcher_latch;
	LWLockRelease(&board->lock);

	if (latch != NULL)
		SetLatch(latch);
}

/* A failed subtransaction only makes a wake-up needless. */
static void
end_of_transaction(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT) && wake_afterwards)
		idem_board_wake(MyDatabaseId);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wake_afterwards = false;
}

void
idem_board_wake_afterwards(void)
{
	(void) idem_board();
	if (!callback_registered)
		RegisterXactCallback(end_of_transaction, NULL);
	callback_registered = true;
	wake_afterwards = true;
}

bool
idem_board_others_wait(Oid database)
{
	Board	   *board = idem_board();
	bool		wait;

	LWLockAcquire(&board->lock, LW_SHARED);
	wait = board->crowded;
	for (int i = 0; i < BOARD_DATABASES && !wait; i++)
	{
		const BoardDatabase *entry = &board->databases[i];

		wait = OidIsValid(entry->database) && entry->database != database && entry->hungry;
	}
	LWLockRelease(&board->lock);
	return wait;
}

void
idem_board_wake_idle(Oid database)
{
	Board	   *board = idem_board();

	LWLockAcquire(&board->lock, LW_SHARED);
	for (int i = 0; i < BOARD_EXECUTORS; i++)
	{
		const BoardExecutor *executor = &board->executors[i];

		if (OidIsValid(executor->database) && executor->database != database &&
			executor->pid != 0 && executor->task == 0)
			SetLatch(executor->latch);
	}
	for (int i = 0; i < BOARD_DATABASES && !OidIsValid(database); i++)
	{
		if (board->databases[i].scheduler != 0)
			SetLatch(board->databases[i].scheduler_latch);
	}
	LWLockRelease(&board->lock);
}

void
idem_board_wake_hungry(Oid database)
{
	Board	   *board = idem_board();

	LWLockAcquire(&board->lock, LW_SHARED);
	for (int i = 0; i < BOARD_DATABASES; i++)
	{
		const BoardDatabase *entry = &board->databases[i];

		if (!OidIsValid(entry->database) || entry->database == database || !entry->hungry)
			continue;
		if (entry->scheduler != 0)
			SetLatch(entry->scheduler_latch);
		else if (entry->launcher != 0)
			SetLatch(entry->launcher_latch);
	}
	if (board->crowded && board->launcher != 0 && board->launcher != MyProcPid)
		SetLatch(board->launcher_latch);
	LWLockRelease(&board->lock);
}

int
idem_board_reserve(Oid database, int limit)
{
	Board	   *board = idem_board();
	TimestampTz now = GetCurrentTimestamp();
	int			place = -1;
	int			taken = 0;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	for (int i = 0; i < BOARD_EXECUTORS; i++)
	{
		BoardExecutor *executor = &board->executors[i];

		if (OidIsValid(executor->database) && executor->pid == 0 &&
			TimestampDifferenceExceeds(executor->reserved_at, now, RESERVED_FOR_MS))
			executor->database = InvalidOid;
		if (OidIsValid(executor->database))
			taken++;
		else if (place < 0)
			place = i;
	}
	if (taken >= limit)
		place = -1;
	if (place >= 0)
	{
		memset(&board->executors[place], 0, sizeof(BoardExecutor));
		board->executors[place].database = database;
		board->executors[place].reserved_at = now;
	}
	LWLockRelease(&board->lock);
	return place;
}

int
idem_board_executors(void)
{
	Board	   *board = idem_board();
	int			taken = 0;

	LWLockAcquire(&board->lock, LW_SHARED);
	for (int i = 0; i < BOARD_EXECUTORS; i++)
		taken += OidIsValid(board->executors[i].database);
	LWLockRelease(&board->lock);
	return taken;
}

void
idem_board_release(int place, bool only_reserved)
{
	Board	   *board = idem_board();
	BoardExecutor *executor = &board->executors[place];
	Oid			database;
	bool		left_behind;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	database = executor->database;
	/* whatever it had at hand is to be looked for */
	left_behind = executor->pid != 0 && executor->task != 0;
	if (left_behind)
		board->generation++;
	if (!only_reserved || executor->pid == 0)
		executor->database = InvalidOid;
	for (int i = 0; i < BOARD_DATABASES; i++)
	{
		BoardDatabase *entry = &board->databases[i];

		if (entry->database == database)
		{
			entry->barren += executor->pid != 0 && !executor->fertile;
			entry->woken = entry->woken || left_behind;
		}
		/* a process that did not come for want of a slot has made no room */
		if (!only_reserved && entry->scheduler != 0 && (entry->database == database || entry->hungry))
			SetLatch(entry->scheduler_latch);
	}
	LWLockRelease(&board->lock);
}

bool
idem_board_set_task(int place, int64 task, int64 backfill)
{
	Board	   *board = idem_board();
	BoardExecutor *executor = &board->executors[place];
	bool		cancel;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	executor->task = task;
	executor->backfill = backfill;
	if (task != 0)
	{
		BoardDatabase *entry = idem_board_find(board, executor->database, false);

		executor->fertile = true;
		if (entry != NULL)
			entry->claims++;
	}
	cancel = executor->cancel;
	executor->cancel = false;
	LWLockRelease(&board->lock);
	return cancel;
}

int64
idem_board_own_task(void)
{
	Board	   *board = idem_board();
	int64		task = 0;

	LWLockAcquire(&board->lock, LW_SHARED);
	for (int i = 0; i < BOARD_EXECUTORS && task == 0; i++)
	{
		const BoardExecutor *executor = &board->executors[i];

		if (OidIsValid(executor->database) && executor->pid == MyProcPid)
			task = executor->task;
	}
	LWLockRelease(&board->lock);
	return task;
}

void
idem_board_read_hands(QueueHands *hands)
{
	Board	   *board = idem_board();

	hands->n = 0;
	LWLockAcquire(&board->lock, LW_SHARED);
	hands->generation = board->generation;
	for (int i = 0; i < BOARD_EXECUTORS; i++)
	{
		const BoardExecutor *executor = &board->executors[i];

		if (executor->database == MyDatabaseId && executor->pid != 0 && executor->task != 0)
			hands->tasks[hands->n++] = executor->task;
	}
	LWLockRelease(&board->lock);
}

bool
idem_board_is_canceled(int place)
{
	Board	   *board = idem_board();
	bool		cancel;

	LWLockAcquire(&board->lock, LW_SHARED);
	cancel = board->executors[place].cancel;
	LWLockRelease(&board->lock);
	return cancel;
}

int
idem_board_cancel(Oid database, int64 task, int64 backfill)
{
	Board	   *board = idem_board();
	int			asked = 0;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	for (int i = 0; i < BOARD_EXECUTORS; i++)
	{
		BoardExecutor *executor = &board->executors[i];

		if (executor->database != database || executor->pid == 0 || executor->task == 0 ||
			(executor->task != task && (backfill == 0 || executor->backfill != backfill)))
			continue;
		executor->cancel = true;
		kill(executor->pid, SIGINT);
		asked++;
	}
	LWLockRelease(&board->lock);
	return asked;
}
