/*-------------------------------------------------------------------------
 *
 * launcher_start.c
 *	  How a launcher comes to be: with the server, or by hand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "worker/board.h"
#include "worker/launcher.h"
#include "worker/process.h"
#include "worker/settings.h"

#define RESTART_SECONDS		1
#define START_TIMEOUT_MS	10000

void
idem_launcher_init(void)
{
	BackgroundWorker worker;

	idem_process_describe(&worker, "launcher", "idem_import_launcher_main", ObjectIdGetDatum(InvalidOid));
	worker.bgw_restart_time = RESTART_SECONDS;
	RegisterBackgroundWorker(&worker);
}

int
idem_launcher_pid(void)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;
	int			pid = 0;

	LWLockAcquire(&board->lock, LW_SHARED);
	entry = idem_board_find(board, MyDatabaseId, false);
	if (entry != NULL)
		pid = entry->launcher;
	if (pid == 0)
		pid = board->launcher;
	LWLockRelease(&board->lock);

	if (pid == board->launcher && !idem_settings_serve(get_database_name(MyDatabaseId)))
		pid = 0;
	return pid;
}

int
idem_launcher_start(void)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	TimestampTz give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), START_TIMEOUT_MS);
	int			pid;

	idem_process_describe(&worker, "launcher", "idem_import_launcher_main", ObjectIdGetDatum(MyDatabaseId));
	worker.bgw_restart_time = RESTART_SECONDS;
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of background worker slots"),
				 errhint("You might need to increase max_worker_processes.")));

	/* if somebody else has started one at the same time, one of them gives way */
	while ((pid = idem_launcher_pid()) == 0)
	{
		if (GetCurrentTimestamp() >= give_up)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("the worker does not start"),
					 errhint("More details may be available in the server log.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return pid;
}
