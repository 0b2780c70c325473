/*-------------------------------------------------------------------------
 *
 * record.c
 *	  Writes down a failed run, in transactions of its own.
 *
 * For those who are not in the transaction that failed: the recorder, which a
 * session starts for that, and executors, once they have rolled back.
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

/* How long the ledger may keep a worker waiting. */
#define LEDGER_LOCK_TIMEOUT	"10s"

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
 * The rows of ledger and manifest may be held by a transaction that applied the unit and has
 * not ended, the caller's own among others.  Wait a while, but do not hold a
 * worker's slot for as long as that may take: the history has the failure.
 */
static void
write_ledger(const RunRecord *run)
{
	MemoryContext cxt = CurrentMemoryContext;

	SetConfigOption("lock_timeout", LEDGER_LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
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
	}
	PG_END_TRY();
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
}

bool
idem_record(RunRecord *run, Tuplestorestate *rejects, int64 nrejects)
{
	bool		recorded = false;

	idem_record_settings();
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
	if (recorded)
		write_ledger(run);
	pgstat_report_activity(STATE_IDLE, NULL);

	return recorded;
}
