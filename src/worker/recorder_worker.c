/*-------------------------------------------------------------------------
 *
 * recorder_worker.c
 *	  The recorder: a background worker that writes down one failed run.
 *
 * It takes everything in before it connects to the database, as told at the
 * top of recorder.c, writes the history in one transaction and the ledger in
 * another, and exits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "worker/parcel.h"
#include "worker/record.h"

PGDLLEXPORT void idem_import_recorder_main(Datum main_arg);

/*
 * The worker's errors go to the server log, which should say what was lost.
 */
static void
recorder_error_callback(void *arg)
{
	const RunRecord *run = arg;

	errcontext("recording the failure of import \"%s\": %s",
			   run->import, run->message ? run->message : "no message");
}

/*
 * Entry point: record one failure and exit.
 */
void
idem_import_recorder_main(Datum main_arg)
{
	OpenParcel	parcel = {0};
	Payload    *payload;
	ErrorContextCallback errcallback;
	RecorderOutcome outcome = OUTCOME_RECORDED;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* Nothing of ours ends before the process does. */
	MemoryContextSwitchTo(TopMemoryContext);

	/* Take everything in, before there is anything to wait for. */
	if (!idem_parcel_open(&parcel, DatumGetUInt32(main_arg), 0))
	{
		ereport(DEBUG1,
				(errmsg_internal("backend with a failure to record has gone away")));
		proc_exit(0);
	}
	payload = parcel.payload;

	errcallback.callback = recorder_error_callback;
	errcallback.arg = &payload->run;
	errcallback.previous = error_context_stack;
	error_context_stack = &errcallback;

	BackgroundWorkerInitializeConnectionByOid(parcel.header->database, InvalidOid, 0);
	if (payload->ledger_only)
	{
		idem_record_settings();
		(void) idem_record_ledger(&payload->run, IDEM_LEDGER_LOCK_TIMEOUT);
	}
	else if (!idem_record(&payload->run, parcel.rejects, payload->nrejects))
		outcome = OUTCOME_NO_EXTENSION;

	error_context_stack = errcallback.previous;

	pg_atomic_write_u32(&parcel.header->outcome, outcome);
	idem_parcel_close(&parcel);

	proc_exit(0);
}
