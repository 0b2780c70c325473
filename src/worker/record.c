/*-------------------------------------------------------------------------
 *
 * record.c
 *	  Writes down a failed run, in transactions of its own.
 *
 * For those who are not in the transaction that failed: the recorder, which a
 * session starts for that, the scheduler, and executors, once they have rolled
 * back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/error.h"
#include "ledger/definition.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"
#include "ledger/reject.h"
#include "pgstat.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/process.h"
#include "worker/record.h"

void
idem_record_error(RunRecord *run, const ErrorData *edata)
{
	run->sqlstate = edata->sqlerrcode;
	run->message = edata->message;
	run->detail = edata->detail;
	run->status = edata->sqlerrcode == ERRCODE_IDEM_APPROVAL_REQUIRED ?
		"awaiting_approval" : "failed";

	if (run->started_at != 0)
		run->elapsed = GetCurrentTimestamp() - run->started_at;
}

void
idem_record_settings(void)
{
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	/* from 17 on; it ends a process, not a statement */
	if (GetConfigOption("transaction_timeout", true, false) != NULL)
		SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * The rows of ledger and manifest may be held by a transaction that applied
 * the unit and has not ended, the caller's own among others.
 */
bool
idem_record_ledger(const RunRecord *run, const char *lock_timeout)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile bool written = true;

	SetConfigOption("lock_timeout", lock_timeout, PGC_SUSET, PGC_S_OVERRIDE);
	PG_TRY();
	{
		StartTransactionCommand();
		if (idem_process_hold_extension())
		{
			PushActiveSnapshot(GetTransactionSnapshot());
			idem_ledger_failed(run);
			if (run->input.name != NULL)
				idem_manifest_failed(run);
			PopActiveSnapshot();
		}
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		int			sqlstate = geterrcode();

		if (sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		FlushErrorState();
		AbortOutOfAnyTransaction();
		written = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	return written;
}

bool
idem_record_history(RunRecord *run, Tuplestorestate *rejects, int64 nrejects, const char *lock_timeout)
{
	MemoryContext cxt = CurrentMemoryContext;
	bool		recorded = false;

	idem_record_settings();
	SetConfigOption("lock_timeout", lock_timeout, PGC_SUSET, PGC_S_OVERRIDE);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "recording the failure of an import");

	/*
	 * The failed transaction may be the one that created the extension, or
	 * the import, and another one may have dropped it.
	 */
	if (idem_process_hold_extension() &&
		idem_definition_load(run->import) != NULL)
	{
		if (run->run_id == 0)
			run->run_id = idem_history_next_run_id();
		idem_history_insert(run);
		if (nrejects > 0)
			idem_reject_save(run->import, run->unit, run->run_id, run->input.name, rejects, SETTLE_NONE);
		recorded = true;
	}

	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(cxt);
	return recorded;
}

/*
 * Who waits for a lock in here has a process for it; but a worker's slot is
 * not to be held for as long as the ledger may be: the history has the failure.
 */
bool
idem_record(RunRecord *run, Tuplestorestate *rejects, int64 nrejects)
{
	bool		recorded = idem_record_history(run, rejects, nrejects, "0");

	if (recorded)
		(void) idem_record_ledger(run, IDEM_LEDGER_LOCK_TIMEOUT);
	pgstat_report_activity(STATE_IDLE, NULL);
	return recorded;
}
