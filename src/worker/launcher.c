/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The process that starts schedulers.
 *
 * It is connected to no database, so it is in nobody's way, and has nothing to
 * do until it is woken: by a session that has committed a task, or at the time
 * that a scheduler has left on the board.  Then it starts a scheduler in that
 * database, which stays while there is something to do.
 *
 * Tasks may be there that nobody has woken it for: when the server starts, or
 * in a copy of a database.  So every database is looked at once, by a
 * scheduler that leaves again.  For new ones it looks into pg_database, once a
 * minute, if that has changed.
 *
 * The preloaded launcher serves all databases.  Without preloading there may
 * be one for each database whose users asked for it.  They serve just that,
 * and are otherwise the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/board.h"
#include "worker/process.h"
#include "worker/served.h"
#include "worker/settings.h"

#define LOOK_MS				60000	/* how often it looks for new databases */
#define RETRY_MS			1000	/* after a scheduler could not be started */
#define RETRY_MAX_MS		60000

PGDLLEXPORT void idem_import_launcher_main(Datum main_arg);

static Oid	only;				/* the database it serves, InvalidOid: all */

/*
 * A scheduler has failed if it ended with an error, or without having signed
 * on.  There is another one at once, but not if that goes on.
 */
static void
reap(Board *board, Served *one, TimestampTz now)
{
	BoardDatabase *entry;
	bool		failed = false;
	pid_t		pid;

	if (one->handle == NULL || GetBackgroundWorkerPid(one->handle, &pid) != BGWH_STOPPED)
		return;
	pfree(one->handle);
	one->handle = NULL;
	idem_board_wake_hungry(one->database);

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry = idem_board_find(board, one->database, false);
	if (entry != NULL && (entry->starting || entry->failed))
	{
		entry->starting = false;
		entry->failed = false;
		entry->woken = true;
		failed = true;
	}
	LWLockRelease(&board->lock);

	if (!failed || TimestampDifferenceExceeds(one->started_at, now, RETRY_MAX_MS))
		one->failures = 0;
	if (!failed)
		return;
	if (one->failures > 0)
		one->retry_at = TimestampTzPlusMilliseconds(now, Min(RETRY_MS << Min(one->failures - 1, 10), RETRY_MAX_MS));
	one->failures++;
	idem_served_suspect();
}

/* The entry of a database where a scheduler is about to start; NULL if the board is full. */
static BoardDatabase *
expect_scheduler(Board *board, Served *one)
{
	BoardDatabase *entry;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry = idem_board_find(board, one->database, true);
	if (entry == NULL)
	{
		idem_served_make_room(board);
		entry = idem_board_find(board, one->database, true);
	}
	if (entry != NULL)
	{
		entry->starting = true;
		entry->next = idem_process_earlier(entry->next, one->next);
		one->next = 0;
	}
	LWLockRelease(&board->lock);
	return entry;
}

/* There was no slot for it. */
static void
expect_none(Board *board, BoardDatabase *entry)
{
	bool		newly_hungry;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry->starting = false;
	entry->woken = true;
	/* the preloaded launcher says so for all that it serves, see set_crowded */
	newly_hungry = OidIsValid(only) && !entry->hungry;
	entry->hungry = entry->hungry || newly_hungry;
	LWLockRelease(&board->lock);
	if (newly_hungry)
		idem_board_wake_idle(only);
}

/*
 * Start a scheduler; false if there is no slot for it.  Then it stays due: the
 * first slot that becomes free is for who has waited longest, which a time to
 * wait before the next attempt would give to somebody else.
 */
static bool
start_scheduler(Board *board, Served *one, TimestampTz now)
{
	BackgroundWorker worker;
	BoardDatabase *entry = expect_scheduler(board, one);

	if (entry == NULL)
	{
		one->retry_at = TimestampTzPlusMilliseconds(now, RETRY_MS);
		return true;
	}

	idem_process_describe(&worker, "scheduler", "idem_import_scheduler_main", ObjectIdGetDatum(one->database));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &one->handle))
	{
		one->handle = NULL;
		expect_none(board, entry);
		return false;
	}
	one->look = false;
	one->started_at = now;
	one->retry_at = 0;
	return true;
}

typedef struct Turn
{
	bool		due;
	bool		running;		/* there is a scheduler */
	TimestampTz next;			/* not due yet, but then */
	TimestampTz served;
} Turn;

static Turn
look_at(Board *board, const Served *one, TimestampTz now)
{
	Turn		turn = {0};
	BoardDatabase *entry;

	LWLockAcquire(&board->lock, LW_SHARED);
	entry = idem_board_find(board, one->database, false);
	turn.due = one->look || (one->next != 0 && one->next <= now);
	turn.next = one->next;
	if (entry != NULL && entry->launcher != 0 && !OidIsValid(only))
	{
		turn.due = false;
		turn.next = 0;
	}
	else if (entry != NULL)
	{
		turn.running = entry->scheduler != 0 || entry->starting;
		turn.due = turn.due || entry->woken || (entry->next != 0 && entry->next <= now);
		turn.next = idem_process_earlier(entry->next, one->next);
		turn.served = entry->served;
	}
	LWLockRelease(&board->lock);

	if (turn.running || one->handle != NULL)
	{
		turn.due = false;
		turn.next = 0;
		turn.running = true;
	}
	else if (turn.due && one->retry_at > now)
	{
		turn.due = false;
		turn.next = one->retry_at;
	}
	return turn;
}

static void
set_crowded(Board *board, bool crowded)
{
	bool		before;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	before = board->crowded;
	board->crowded = crowded;
	LWLockRelease(&board->lock);
	if (crowded && !before)
		idem_board_wake_idle(InvalidOid);
}

/*
 * Start schedulers where there is something to do: who has waited longest
 * first, and no more of them than there can be executors.  Returns when to
 * look again.
 */
static TimestampTz
start_schedulers(Board *board, List *served)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = TimestampTzPlusMilliseconds(now, LOOK_MS);
	Served	   *first = NULL;
	bool		waiting = false;
	bool		lacking = false;

	do
	{
		TimestampTz first_served = 0;
		int			running = 0;
		int			due = 0;
		ListCell   *lc;

		first = NULL;
		foreach(lc, served)
		{
			Served	   *one = lfirst(lc);
			Turn		turn;

			reap(board, one, now);
			turn = look_at(board, one, now);
			running += turn.running;
			due += turn.due;
			if (turn.due && (first == NULL || turn.served < first_served))
			{
				first = one;
				first_served = turn.served;
			}
			if (!turn.due)
				next = idem_process_earlier(next, turn.next);
		}
		waiting = due > 0 && running >= idem_max_workers;
		if (first != NULL && !waiting)
			lacking = !start_scheduler(board, first, now);
	} while (first != NULL && !waiting && !lacking);

	if (!OidIsValid(only))
		set_crowded(board, (waiting || lacking) && idem_max_workers > 0);
	if (waiting || lacking)
		next = idem_process_earlier(next, TimestampTzPlusMilliseconds(now, RETRY_MS));
	if (waiting && idem_max_workers == 0)
		next = TimestampTzPlusMilliseconds(now, LOOK_MS);
	return next;
}

static void
sign_off(int code, Datum arg)
{
	Board	   *board = idem_board();
	Latch	   *latch = NULL;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	if (OidIsValid(only))
	{
		BoardDatabase *entry = idem_board_find(board, only, false);

		if (entry != NULL && entry->launcher == MyProcPid)
		{
			entry->launcher = 0;
			if (entry->scheduler == 0)
				entry->hungry = false;
			idem_board_tidy(entry);
		}
		/* from now on that is the other's */
		if (board->launcher != 0)
			latch = board->launcher_latch;
	}
	else if (board->launcher == MyProcPid)
	{
		board->launcher = 0;
		board->crowded = false;
	}
	LWLockRelease(&board->lock);
	if (latch != NULL)
		SetLatch(latch);
}

/* Schedulers that a launcher before this one asked for may never come.  For holders of the lock. */
static void
expect_nobody(Board *board)
{
	for (int i = 0; i < BOARD_DATABASES; i++)
	{
		BoardDatabase *entry = &board->databases[i];

		if (!entry->starting || entry->launcher != (OidIsValid(only) ? MyProcPid : 0))
			continue;
		entry->starting = false;
		entry->woken = true;
	}
}

/* False if there is one already. */
static bool
sign_on(Board *board)
{
	BoardDatabase *entry = NULL;
	bool		first;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	if (OidIsValid(only))
	{
		entry = idem_board_find(board, only, true);
		first = entry != NULL && entry->launcher == 0;
	}
	else
		first = board->launcher == 0;
	if (first && entry != NULL)
	{
		entry->launcher = MyProcPid;
		entry->launcher_latch = MyLatch;
	}
	else if (first)
	{
		board->launcher = MyProcPid;
		board->launcher_latch = MyLatch;
	}
	if (first)
		expect_nobody(board);
	LWLockRelease(&board->lock);
	if (first)
		on_shmem_exit(sign_off, (Datum) 0);
	return first;
}

/*
 * Entry point.  main_arg: the database to serve, InvalidOid for all.
 */
void
idem_import_launcher_main(Datum main_arg)
{
	Board	   *board;

	only = DatumGetObjectId(main_arg);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, SIG_IGN);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	MemoryContextSwitchTo(TopMemoryContext);

	board = idem_board();
	if (!sign_on(board))
		proc_exit(0);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	idem_served_init(only);

	while (!ShutdownRequestPending)
	{
		List	   *served = idem_served_list(board);

		if (OidIsValid(only) && served == NIL)
			break;
		if (idem_process_wait(start_schedulers(board, served)))
			idem_served_suspect();
	}
	/* one that was asked for is not to come back when it is told to go */
	proc_exit(OidIsValid(only) ? 0 : 1);
}
