/*-------------------------------------------------------------------------
 *
 * functions_reject.c
 *	  SQL-callable functions: rejects.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "arguments.h"
#include "flow/retry.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "results.h"
#include "worker/recorder.h"

PG_FUNCTION_INFO_V1(idem_import_retry_rejects);

/* The work that the recorder watches over. */
typedef struct RecordedRetry
{
	const char *import;
	RunTrace	trace;
} RecordedRetry;

static void
recorded_retry(void *arg)
{
	RecordedRetry *retry = arg;

	idem_retry_rejects(retry->import, &retry->trace);
}

/*
 * idem_import_retry_rejects(import) returns setof idem_import_result
 *
 * A row per unit that has open rejects.  Errors: see idem_retry_rejects.
 */
Datum
idem_import_retry_rejects(PG_FUNCTION_ARGS)
{
	Recording	recording = {{0}};
	RecordedRetry retry = {0};

	retry.import = idem_argument_name(fcinfo, 0, "import");
	PreventCommandIfReadOnly("idem_import_retry_rejects()");
	InitMaterializedSRF(fcinfo, 0);

	recording.rejects = tuplestore_begin_heap(true, false, work_mem);
	retry.trace.cxt = CurrentMemoryContext;
	retry.trace.current = &recording.run;
	retry.trace.rejects = recording.rejects;
	idem_recorded(recorded_retry, &retry, &recording);
	tuplestore_end(recording.rejects);

	idem_put_results(fcinfo, retry.trace.results, true);
	return (Datum) 0;
}
