/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  SQL-callable functions: arguments in, one call into the house, a tuple
 *	  out.
 *
 * (The hashes and keys, which know nothing of importing, have their own in
 * base/hash_functions.c.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "arguments.h"
#include "base/error.h"
#include "flow/declare.h"
#include "flow/prove.h"
#include "flow/run.h"
#include "fmgr.h"
#include "funcapi.h"
#include "functions.h"
#include "ledger/checkpoint.h"
#include "ledger/dropped.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"
#include "ledger/queue.h"
#include "ledger/reject.h"
#include "miscadmin.h"
#include "results.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "worker/board.h"
#include "worker/recorder.h"

PG_FUNCTION_INFO_V1(idem_import_create);
PG_FUNCTION_INFO_V1(idem_import_alter);
PG_FUNCTION_INFO_V1(idem_import_drop);
PG_FUNCTION_INFO_V1(idem_import_run);
PG_FUNCTION_INFO_V1(idem_import_plan);
PG_FUNCTION_INFO_V1(idem_import_prove);
PG_FUNCTION_INFO_V1(idem_import_approve);
PG_FUNCTION_INFO_V1(idem_import_rewind);

/*
 * idem_import_create(name, source, target, ...) returns void
 *
 * Errors: 42710 if there is an import of that name; see idem_declare.
 */
Datum
idem_import_create(PG_FUNCTION_ARGS)
{
	Definition *def = palloc0(sizeof(Definition));

	PreventCommandIfReadOnly("idem_import_create()");
	idem_arguments_create(fcinfo, def);
	def->owner = GetUserId();
	idem_declare(def, true);

	idem_lock_import(def->name, ExclusiveLock);
	if (idem_definition_load(def->name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("import \"%s\" already exists", def->name)));
	idem_definition_insert(def);
	idem_dropped_adopt(def->name);
	PG_RETURN_VOID();
}

/*
 * idem_import_alter(name, <the same>) returns void
 *
 * NULL leaves an argument as it is.  Errors: 42704, 42501; see idem_declare.
 */
Datum
idem_import_alter(PG_FUNCTION_ARGS)
{
	char	   *name = idem_argument_name(fcinfo, 0, "name");
	Definition *def;
	bool		resolve;

	PreventCommandIfReadOnly("idem_import_alter()");
	(void) idem_definition_get(name);
	idem_lock_import(name, ExclusiveLock);
	def = idem_definition_get(name);

	resolve = idem_arguments_alter(fcinfo, def);
	idem_declare(def, resolve);
	if (idem_definition_update(def) && idem_checkpoint_forget(name))
		ereport(NOTICE,
				(errmsg("the next run of import \"%s\" reads its source from the start", name)));
	PG_RETURN_VOID();
}

/*
 * idem_import_drop(name, purge) returns void
 */
Datum
idem_import_drop(PG_FUNCTION_ARGS)
{
	char	   *name = idem_argument_name(fcinfo, 0, "name");
	bool		purge = idem_argument_bool(fcinfo, 1, "purge");

	PreventCommandIfReadOnly("idem_import_drop()");
	(void) idem_definition_get(name);
	idem_lock_import(name, ExclusiveLock);
	(void) idem_definition_get(name);

	if (!purge)
		idem_dropped_remember(name);
	idem_definition_delete(name);
	(void) idem_checkpoint_forget(name);
	idem_board_wake_afterwards();
	idem_queue_drop(name, purge);
	if (purge)
	{
		idem_ledger_purge(name);
		idem_history_purge(name);
		idem_reject_purge(name);
		idem_manifest_purge(name);
	}
	PG_RETURN_VOID();
}

/* The work that the recorder watches over. */
typedef struct RecordedRun
{
	const RunRequest *request;
	RunTrace	trace;
} RecordedRun;

static void
recorded_run(void *arg)
{
	RecordedRun *run = arg;

	idem_run(run->request, &run->trace);
}

void
idem_functions_run(FunctionCallInfo fcinfo, const RunRequest *request)
{
	Recording	recording = {{0}};
	RecordedRun run = {0};

	InitMaterializedSRF(fcinfo, 0);

	recording.rejects = tuplestore_begin_heap(true, false, work_mem);
	run.request = request;
	run.trace.cxt = CurrentMemoryContext;
	run.trace.current = &recording.run;
	run.trace.rejects = recording.rejects;
	idem_recorded(recorded_run, &run, &recording);
	tuplestore_end(recording.rejects);

	idem_put_results(fcinfo, run.trace.results, true);
}

/*
 * idem_import_run(import, scope, force, source, input, input_hash)
 * returns setof idem_import_result
 *
 * A row per unit.  Errors: see idem_run and idem_run_input.
 */
Datum
idem_import_run(PG_FUNCTION_ARGS)
{
	RunRequest	request = {0};

	request.import = idem_argument_name(fcinfo, 0, "import");
	request.scope = idem_argument_text(fcinfo, 1);
	request.force = idem_argument_bool(fcinfo, 2, "force");
	request.source = idem_argument_relation(fcinfo, 3, "source");
	idem_argument_input(fcinfo, 4, 5, &request.input);
	request.input.scope = request.scope;
	PreventCommandIfReadOnly("idem_import_run()");
	idem_functions_run(fcinfo, &request);
	return (Datum) 0;
}

/*
 * idem_import_plan(import, scope, source) returns setof idem_import_result
 *
 * Works where nothing can be written, as on a standby.  Errors: those that
 * the run would meet before it writes.
 */
Datum
idem_import_plan(PG_FUNCTION_ARGS)
{
	RunRecord	current = {0};
	RunRequest	request = {0};
	RunTrace	trace = {0};

	request.import = idem_argument_name(fcinfo, 0, "import");
	request.scope = idem_argument_text(fcinfo, 1);
	request.source = idem_argument_relation(fcinfo, 2, "source");
	request.plan = true;
	InitMaterializedSRF(fcinfo, 0);

	trace.cxt = CurrentMemoryContext;
	trace.current = &current;
	trace.rejects = tuplestore_begin_heap(true, false, work_mem);
	idem_run(&request, &trace);
	tuplestore_end(trace.rejects);

	idem_put_results(fcinfo, trace.results, false);
	return (Datum) 0;
}

/*
 * idem_import_prove(import, scope)
 * returns setof (idempotent, unit, first_changes, second_changes, first_checksum, second_checksum)
 *
 * Errors: II007 where a second run writes again; see idem_run.
 */
Datum
idem_import_prove(PG_FUNCTION_ARGS)
{
	RunRequest	request = {0};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *proofs;
	ListCell   *lc;

	request.import = idem_argument_name(fcinfo, 0, "import");
	request.scope = idem_argument_text(fcinfo, 1);
	PreventCommandIfReadOnly("idem_import_prove()");
	InitMaterializedSRF(fcinfo, 0);

	proofs = idem_prove(&request);
	foreach(lc, proofs)
	{
		Proof	   *proof = lfirst(lc);
		Datum		values[6];
		bool		isnull[6] = {0};

		values[0] = BoolGetDatum(proof->idempotent);
		values[1] = CStringGetTextDatum(proof->unit);
		values[2] = Int64GetDatum(proof->first_changes);
		values[3] = Int64GetDatum(proof->second_changes);
		isnull[4] = isnull[5] = !proof->has_checksums;
		values[4] = UUIDPGetDatum(idem_hash_to_uuid(proof->first_checksum));
		values[5] = UUIDPGetDatum(idem_hash_to_uuid(proof->second_checksum));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	}
	return (Datum) 0;
}

/*
 * idem_import_approve(import, unit) returns void
 *
 * Errors: 42704, 42501; 55000 if the unit does not wait for approval, or the
 * run that asked for it was one of another version of the import.
 */
Datum
idem_import_approve(PG_FUNCTION_ARGS)
{
	char	   *import = idem_argument_name(fcinfo, 0, "import");
	char	   *unit = idem_argument_name(fcinfo, 1, "unit");
	Definition *def;
	int			version;

	PreventCommandIfReadOnly("idem_import_approve()");
	def = idem_definition_get(import);
	if (strcmp(unit, IDEM_WHOLE_TABLE) != 0)
		unit = idem_run_unit_name(def, unit);
	version = idem_ledger_approve(import, unit, def->version, GetUserId());
	if (version == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("unit \"%s\" of import \"%s\" does not wait for approval", unit, import),
				 errhint("The units that do have status 'awaiting_approval' in idem_import_ledger.")));
	if (version != def->version)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("unit \"%s\" of import \"%s\" waits for approval of another version", unit, import),
				 errdetail("The run that was stopped used version %d, which has been altered since.", version),
				 errhint("Run the import again. If it still asks for approval, give it then.")));
	PG_RETURN_VOID();
}

/*
 * idem_import_rewind(import, checkpoint) returns void
 *
 * Errors: 42704, 42501; see idem_run_rewind.
 */
Datum
idem_import_rewind(PG_FUNCTION_ARGS)
{
	char	   *import = idem_argument_name(fcinfo, 0, "import");

	PreventCommandIfReadOnly("idem_import_rewind()");
	idem_run_rewind(import, idem_argument_text(fcinfo, 1));
	PG_RETURN_VOID();
}
