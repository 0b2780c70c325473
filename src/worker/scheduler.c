/*-------------------------------------------------------------------------
 *
 * scheduler.c
 *	  The process that sees to the tasks of one database.
 *
 * It starts executors, as many as there are tasks and places for them, and
 * leaves once there is nothing more to do; when the next task becomes due it
 * has left on the board.  Tasks are claimed by the executors themselves: it
 * only counts.
 *
 * While it is there, it also writes down the failures of runs that sessions
 * hand to it, one between two looks at the tasks; recorder_scheduler.c does.
 *
 * Places are for all databases.  When others wait for one, a database that had
 * its turn gives up its places, and goes to the end of the line.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "ledger/queue.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/board.h"
#include "worker/executors.h"
#include "worker/mailbox.h"
#include "worker/process.h"
#include "worker/record.h"
#include "worker/recorder_scheduler.h"
#include "worker/scheduler.h"
#include "worker/settings.h"

#define RETRY_MS	1000	/* while others have no executor, or we are not to be here */
#define AWAY_MS		200		/* after its turn, for others to get what it has left */
#define SIT_OUT_MAX_MS	60000	/* after executors found nothing they could claim */

PGDLLEXPORT void idem_import_scheduler_main(Datum main_arg);

static Oid	database;

/* What it knows after a look at tables and board. */
typedef struct Outlook
{
	bool		gives_way;		/* we are not to be here */
	bool		has_extension;
	QueueOutlook queue;
	Executors	executors;
} Outlook;

/* What it remembers from look to look. */
typedef struct Service
{
	TimestampTz began;
	TimestampTz idle_since;		/* 0: it is not */
	TimestampTz sit_out_until;	/* no executors are started before */
	int			fruitless;		/* how often in a row it sat out */
	int64		claims;
	int64		barren;
} Service;

static void
sign_off(int code, Datum arg)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;
	Latch	   *latch = NULL;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry = idem_board_find(board, database, false);
	if (entry != NULL && entry->scheduler == MyProcPid)
	{
		entry->scheduler = 0;
		entry->takes_mail = false;
		entry->mail = DSM_HANDLE_INVALID;
		entry->hungry = false;
		entry->served = GetCurrentTimestamp();
		/* not a farewell: whoever comes next is to look */
		if (code != 0)
		{
			entry->woken = true;
			entry->failed = !idem_process_was_terminated();
		}
		latch = entry->launcher != 0 ? entry->launcher_latch : board->launcher_latch;
		idem_board_tidy(entry);
	}
	LWLockRelease(&board->lock);
	if (latch != NULL)
		SetLatch(latch);
}

/* False if there is one already.  *expected: it was woken because there is something to do. */
static bool
sign_on(bool *expected)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;
	bool		first;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry = idem_board_find(board, database, true);
	first = entry != NULL && entry->scheduler == 0;
	if (first)
	{
		*expected = entry->woken || (entry->next != 0 && entry->next <= GetCurrentTimestamp());
		entry->starting = false;
		entry->failed = false;
		entry->hungry = false;
		entry->scheduler = MyProcPid;
		entry->scheduler_latch = MyLatch;
		/* until it has looked, there may be something */
		entry->woken = true;
	}
	LWLockRelease(&board->lock);
	if (first)
		on_shmem_exit(sign_off, (Datum) 0);
	return first;
}

/* Ours stays while we are signed on.  For holders of the lock. */
static BoardDatabase *
our_entry(Board *board)
{
	BoardDatabase *entry = idem_board_find(board, database, false);

	Assert(entry != NULL);
	return entry;
}

/*
 * Leave, unless it has been woken or has got mail meanwhile.  next: when to
 * come back, 0: when woken.
 */
static void
leave(TimestampTz next)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;
	bool		stay;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry = our_entry(board);
	stay = entry->woken || entry->mail != DSM_HANDLE_INVALID;
	/* who is about to leave is not to be kept by one after another */
	entry->takes_mail = false;
	entry->next = next;
	LWLockRelease(&board->lock);
	if (!stay)
		proc_exit(0);
}

/* Says whether there was one. */
static bool
heed_wakeups(void)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;
	bool		woken;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry = our_entry(board);
	woken = entry->woken;
	entry->woken = false;
	LWLockRelease(&board->lock);
	return woken;
}

/* Waits since it has looked may have taken a wake-up for theirs. */
static void
keep_wakeups(void)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;

	LWLockAcquire(&board->lock, LW_SHARED);
	entry = our_entry(board);
	if (entry->woken || entry->mail != DSM_HANDLE_INVALID)
		SetLatch(MyLatch);
	LWLockRelease(&board->lock);
}

/* Look into the tables; nothing to do where the extension is not. */
static void
look_at_queue(Outlook *outlook)
{
	memset(&outlook->queue, 0, sizeof(QueueOutlook));
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	outlook->gives_way = idem_process_gives_way();
	outlook->has_extension = !outlook->gives_way && idem_process_hold_extension();
	if (outlook->has_extension)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		pgstat_report_activity(STATE_RUNNING, "looking for tasks");
		idem_queue_look(BOARD_EXECUTORS, idem_board_read_hands, &outlook->queue);
		PopActiveSnapshot();
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * Executors that leave without a task, while there are some, could not claim
 * them, or not even start: somebody has locked the rows, or nobody may connect.
 * Then wait, until somebody wakes us, and longer each time.
 */
static void
heed_barren(Service *service, const Outlook *outlook, bool woken, TimestampTz now)
{
	if (woken || outlook->executors.claims != service->claims || outlook->queue.tasks == 0)
	{
		service->fruitless = 0;
		service->sit_out_until = 0;
	}
	else if (outlook->executors.barren != service->barren)
		service->sit_out_until =
			TimestampTzPlusMilliseconds(now, Min(IDEM_LINGER_MS << Min(service->fruitless++, 6), SIT_OUT_MAX_MS));
	service->claims = outlook->executors.claims;
	service->barren = outlook->executors.barren;
}

/* Have as many executors as there is work for; returns when to look again, 0 if there is no need. */
static TimestampTz
employ(const Service *service, const Outlook *outlook, TimestampTz now)
{
	int			wanted = (int) Min(outlook->queue.tasks, idem_max_workers);
	bool		others = idem_board_others_wait(database);

	idem_executors_wake(database, Min(wanted, outlook->executors.idle));
	if (wanted <= outlook->executors.idle || now < service->sit_out_until)
	{
		idem_executors_set_hungry(database, false);
		return wanted <= outlook->executors.idle ? 0 : service->sit_out_until;
	}
	/* one place is enough while others have none */
	if (others && outlook->executors.all > 0)
		return TimestampTzPlusMilliseconds(now, RETRY_MS);
	return idem_executors_start(database, others ? 1 : wanted - outlook->executors.idle, outlook->executors.all > 0);
}

/* Leave if there has been nothing to do for a while, or others need the place; when to look again. */
static TimestampTz
linger(Service *service, const Outlook *outlook, TimestampTz now)
{
	if (service->idle_since == 0 || service->idle_since > now)
		service->idle_since = now;
	if (!outlook->has_extension || idem_board_others_wait(database) ||
		TimestampDifferenceExceeds(service->idle_since, now, IDEM_LINGER_MS))
	{
		leave(outlook->queue.next);
		return now;
	}
	return TimestampTzPlusMilliseconds(service->idle_since, IDEM_LINGER_MS);
}

static void
serve(void)
{
	Service		service = {GetCurrentTimestamp()};

	for (;;)
	{
		Outlook		outlook;
		TimestampTz now;
		TimestampTz until;
		bool		turn_over;
		bool		woken;

		if (idem_record_mail(database))
		{
			service.idle_since = 0;
			(void) idem_process_reload();
		}
		woken = heed_wakeups();
		look_at_queue(&outlook);
		idem_executors_look(database, &outlook.executors);
		now = GetCurrentTimestamp();
		heed_barren(&service, &outlook, woken, now);

		until = outlook.queue.next;
		turn_over = outlook.gives_way || idem_max_workers == 0 ||
			(TimestampDifferenceExceeds(service.began, now, IDEM_TURN_MS) && idem_board_others_wait(database));
		if (turn_over)
			idem_executors_set_hungry(database, false);
		else
			until = idem_process_earlier(until, employ(&service, &outlook, now));

		if (turn_over && outlook.executors.all == 0)
		{
			leave(TimestampTzPlusMilliseconds(now, outlook.gives_way || idem_max_workers == 0 ? RETRY_MS : AWAY_MS));
			continue;
		}
		if (outlook.queue.tasks == 0 && outlook.executors.all == 0)
		{
			TimestampTz again = linger(&service, &outlook, now);

			/* it stays for what has come already, not for more */
			if (again <= now)
				continue;
			until = idem_process_earlier(until, again);
		}
		else
			service.idle_since = 0;
		/* without executors nobody else sees whom we are in the way of */
		if (outlook.executors.all == 0)
			until = idem_process_earlier(until, TimestampTzPlusMilliseconds(now, IDEM_LINGER_MS));
		idem_mailbox_open(database);
		keep_wakeups();
		(void) idem_process_wait(until);
	}
}

/*
 * Entry point.  main_arg: the database.
 */
void
idem_import_scheduler_main(Datum main_arg)
{
	bool		expected = false;

	database = DatumGetObjectId(main_arg);
	idem_process_signals();
	MemoryContextSwitchTo(TopMemoryContext);

	if (!sign_on(&expected))
		proc_exit(0);
	/* both can get ready at the same time, unless somebody was there before us */
	if (expected && !idem_board_others_wait(database))
		(void) idem_executors_start(database, 1, false);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	idem_record_settings();
	serve();
}
