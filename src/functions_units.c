/*-------------------------------------------------------------------------
 *
 * functions_units.c
 *	  CALL idem_import_run_units: a run in steps, each committed.
 *
 * A step is a run as any other, over one unit or one page of the source, with
 * its own locks, snapshot and record.  The call only remembers where the page
 * before ended; what has been applied is in the tables, and a call that is made
 * again finds it there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "arguments.h"
#include "base/sql.h"
#include "executor/spi.h"
#include "flow/steps.h"
#include "fmgr.h"
#include "ledger/reject.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "worker/recorder.h"

PG_FUNCTION_INFO_V1(idem_import_run_units);

typedef struct UnitsCall
{
	RunRequest	request;
	RunTrace	trace;
	int64		committed;		/* runs of this call */
} UnitsCall;

static void
units_context(void *arg)
{
	UnitsCall  *call = arg;

	errcontext("idem_import_run_units, after " INT64_FORMAT " committed %s", call->committed,
			   call->committed == 1 ? "batch" : "batches");
}

static void
run_step(void *arg)
{
	UnitsCall  *call = arg;

	idem_run(&call->request, &call->trace);

	/* what the commit would check fails here, where the failure is recorded */
	sql_begin();
	sql_execute(SPI_OK_UTILITY, "SET CONSTRAINTS ALL IMMEDIATE", NULL);
	sql_end();
}

/* One run, in a transaction of its own. */
static void
commit_step(void *arg, bool last)
{
	UnitsCall  *call = arg;
	Recording	recording = {{0}};
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import step", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcxt = MemoryContextSwitchTo(cxt);
	bool		counts;

	/* nobody has a snapshot after a commit */
	EnsurePortalSnapshotExists();
	recording.rejects = tuplestore_begin_heap(true, false, work_mem);
	call->trace.cxt = cxt;
	call->trace.current = &recording.run;
	call->trace.rejects = recording.rejects;
	call->trace.results = NIL;
	idem_recorded(run_step, call, &recording);
	tuplestore_end(recording.rejects);
	counts = call->trace.results != NIL;

	MemoryContextSwitchTo(oldcxt);
	MemoryContextDelete(cxt);
	SPI_commit();
	call->committed += counts;
}

static void
require_nonatomic(FunctionCallInfo fcinfo)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("idem_import_run_units cannot be called inside a transaction block"),
				 errhint("It commits each unit. To have all in one transaction, use idem_import_run.")));
}

/*
 * CALL idem_import_run_units(import, scope, force)
 *
 * Errors: those of idem_run, what came before them being committed; 25001
 * inside a transaction block; 55000 if the import is altered meanwhile.
 */
Datum
idem_import_run_units(PG_FUNCTION_ARGS)
{
	MemoryContext cxt;
	MemoryContext oldcxt;
	UnitsCall  *call;
	ErrorContextCallback callback;

	require_nonatomic(fcinfo);
	PreventCommandIfReadOnly("idem_import_run_units()");

	/* lives on over commits */
	cxt = AllocSetContextCreate(PortalContext, "idem_import units", ALLOCSET_DEFAULT_SIZES);
	oldcxt = MemoryContextSwitchTo(cxt);
	call = palloc0(sizeof(UnitsCall));
	call->request.import = idem_argument_name(fcinfo, 0, "import");
	call->request.scope = idem_argument_text(fcinfo, 1);
	call->request.force = idem_argument_bool(fcinfo, 2, "force");

	callback.callback = units_context;
	callback.arg = call;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(cxt);
	idem_steps_take(idem_steps(call->request.import, call->request.scope, false),
					&call->request, commit_step, call);
	SPI_finish();

	error_context_stack = callback.previous;
	MemoryContextSwitchTo(oldcxt);
	MemoryContextDelete(cxt);
	PG_RETURN_VOID();
}
