/*-------------------------------------------------------------------------
 *
 * process.c
 *	  What launcher, scheduler and executor have in common.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "worker/board.h"
#include "worker/process.h"
#include "worker/settings.h"

static volatile sig_atomic_t cancel_allowed = false;
static volatile sig_atomic_t terminated = false;

void
idem_process_describe(BackgroundWorker *worker, const char *kind, const char *main_function, Datum arg)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "idem_import", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, main_function, sizeof(worker->bgw_function_name));
	snprintf(worker->bgw_name, sizeof(worker->bgw_name), "idem_import %s", kind);
	strlcpy(worker->bgw_type, worker->bgw_name, sizeof(worker->bgw_type));
	worker->bgw_main_arg = arg;
}

/* lock_timeout comes as the same signal, and always holds. */
static void
cancel_handler(SIGNAL_ARGS)
{
	if (cancel_allowed || get_timeout_indicator(LOCK_TIMEOUT, false))
		StatementCancelHandler(postgres_signal_arg);
}

static void
terminate_handler(SIGNAL_ARGS)
{
	terminated = true;
	die(postgres_signal_arg);
}

void
idem_process_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, cancel_handler);
	pqsignal(SIGTERM, terminate_handler);
	BackgroundWorkerUnblockSignals();
}

void
idem_process_allow_cancel(bool allow)
{
	cancel_allowed = allow;
	/* what came before was for something else */
	QueryCancelPending = false;
}

bool
idem_process_was_terminated(void)
{
	return terminated;
}

bool
idem_process_reload(void)
{
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

bool
idem_process_wait(TimestampTz until)
{
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	long		timeout = 0;

	if (until != 0)
	{
		events |= WL_TIMEOUT;
		/* rounded up, lest we come a little too early, again and again */
		timeout = Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until), INT_MAX - 1) + 1;
	}
	(void) WaitLatch(MyLatch, events, timeout, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	/* nothing is going on that could be canceled */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	return idem_process_reload();
}

TimestampTz
idem_process_earlier(TimestampTz a, TimestampTz b)
{
	if (a == 0 || b == 0)
		return a + b;
	return Min(a, b);
}

/* A launcher of its own serves a database whatever the settings are. */
static bool
is_served(void)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;
	bool		own;

	LWLockAcquire(&board->lock, LW_SHARED);
	entry = idem_board_find(board, MyDatabaseId, false);
	own = entry != NULL && entry->launcher != 0;
	LWLockRelease(&board->lock);
	return own || idem_settings_serve(get_database_name(MyDatabaseId));
}

/*
 * Who drops a database holds the lock on the database, and waits some seconds for
 * others to leave.  To connect takes the weakest lock that conflicts.
 */
bool
idem_process_gives_way(void)
{
	LOCKTAG		tag;

	if (!is_served())
		return true;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, RowExclusiveLock, false);
	return false;
}

bool
idem_process_hold_extension(void)
{
	Oid			extension = get_extension_oid("idem_import", true);

	if (!OidIsValid(extension))
		return false;
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	/* it may be gone by now, or another one */
	return get_extension_oid("idem_import", true) == extension;
}
