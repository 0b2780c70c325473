/*-------------------------------------------------------------------------
 *
 * run.c
 *	  One import's way through the house.
 *
 *	  a named input that is known and in place?  stop: skipped
 *	  -> lock the unit
 *	  -> where does reading start?  at the checkpoint, if there is one
 *	  -> compare: digest source and target
 *	  -> both are what the receipt says?  stop: skipped
 *	  -> stage what may differ: sort into units and keys, set bad rows aside
 *	  -> choose a method
 *	  -> diff: what separates staged rows from the target
 *	  -> guard the deletes
 *	  -> apply, the only writer of the target; set aside what it refuses
 *	  -> effects of the changed rows
 *	  -> receipt and history
 *	  -> checkpoint
 *
 * All of it in one transaction, the caller's: either the rows, the receipt, the
 * checkpoint, the effects and the history are there, or none of them.  That is
 * the exactly-once claim.
 * A rerun needs no memory of how far the last one came; it finds what is
 * already so, and leaves it alone.
 *
 * The source is read under one snapshot, taken once the unit is locked, so
 * that a run which waited for another one sees what that one saw, or later.
 * A single unit's target is compared under the same one; others may write it
 * meanwhile, so a row is written only if it still is what was judged, and else
 * judged again as it is now.  A swap keeps writers out, and looks at both sides
 * as they are then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "base/progress.h"
#include "flow/input.h"
#include "flow/pin.h"
#include "flow/run_unit.h"
#include "flow/steps.h"
#include "flow/tracking.h"
#include "flow/verify.h"
#include "ledger/reject.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

static void
run_context(void *arg)
{
	Run		   *run = arg;

	errcontext("import \"%s\", unit \"%s\", batch " INT64_FORMAT, run->def->name, run->record->unit, run->batch);
}

/*
 * A unit that was found in the source is locked only now.  Its rows were read
 * before, so if another run has applied the unit since, read again.
 */
static bool
lock_found_unit(Run *run, const char *unit)
{
	Receipt		before;
	Receipt		now;

	idem_lock_unit(run->def->name, unit);
	idem_ledger_receipt(run->def->name, unit, false, &before);
	idem_ledger_receipt(run->def->name, unit, true, &now);
	return before.run_id == now.run_id;
}

/* Skip a unit whose source and target have been digested, if they are as they were. */
static bool
skip_compared(Run *run, const Unit *unit, const Receipt *receipt, const Comparison *comparison)
{
	Fingerprint target;

	if (comparison->source == NULL || comparison->target == NULL)
		return false;
	target.rows = comparison->target->rows;
	target.checksum = comparison->target->sum;
	return idem_run_skip_unit(run, unit, receipt, &comparison->read, &target);
}

/* What was not staged, since its bucket does not differ, has been read all the same. */
static void
add_spared(StagedUnit *staged, const Comparison *comparison)
{
	if (comparison->differing == NULL)
		return;
	staged->spared = comparison->source->rows - staged->inside.rows;
	staged->read = comparison->read;
	staged->inside.rows = comparison->source->rows;
	staged->inside.checksum = comparison->source->sum;
}

/* How many rows there are to read, as far as anybody knows. */
static double
expected_rows(const Run *run, List *units, const Comparison *comparison)
{
	if (comparison->differing != NULL)
		return comparison->source->rows * comparison->share;
	if (comparison->source != NULL)
		return comparison->source->rows;
	if (comparison->expected > 0)
		return comparison->expected;
	if (run->source->by_unit)
		return PROGRESS_UNKNOWN;
	return idem_source_expected_rows(run->source, list_length(units) == 1 ? linitial(units) : NULL);
}

/*
 * A foreign table, or a function that claims to be stable, may answer otherwise
 * when it is read again.  Then all is taken from the second time.
 */
static Stage *
begin_stage(Run *run, List *units, Comparison *comparison)
{
	Stage	   *stage;
	bool		same;

	idem_progress_phase(PROGRESS_READING, 0, expected_rows(run, units, comparison));
	stage = idem_stage_begin(run->source, run->def, units, comparison->differing);

	if (run->request->strays)
		idem_stage_only_outside(stage);

	if (comparison->differing == NULL)
		return stage;
	same = idem_stage_differing_sum(stage) == idem_digest_sum_set(comparison->source, comparison->differing);
	idem_digest_drop_buckets(comparison->source);
	if (same)
		return stage;
	idem_stage_end(stage);
	comparison->differing = NULL;
	return idem_stage_begin(run->source, run->def, units, NULL);
}

/* One read of the source; false if it must be read again for the units that are left. */
static bool
read_source(Run *run, List *units)
{
	bool		current = true;
	Unit	   *only = list_length(units) == 1 ? linitial(units) : NULL;
	bool		partial = idem_run_is_partial(run);
	Verification *verify = run->request->verify;
	Receipt		receipt;
	Comparison	comparison = {0};
	Stage	   *stage;
	StagedUnit	staged;

	if (only != NULL)
	{
		idem_run_begin_unit(run, only, only->name);
		idem_run_receipt(run, only->name, &receipt);
	}
	if (partial)
		comparison.few = DBL_MAX;
	else if (only != NULL)
	{
		idem_compare(run->source, run->def, only, &receipt, run->request->force, &comparison);
		if (verify != NULL && idem_verify_compared(run, only, &receipt, &comparison))
			return true;
		if (verify == NULL &&
			(skip_compared(run, only, &receipt, &comparison) ||
			 idem_run_swap(run, only, &receipt, &comparison)))
			return true;
	}

	stage = begin_stage(run, units, &comparison);
	run->nmovers = 0;
	if (idem_stage_winners(stage) != NULL)
	{
		run->target->nulls_in_key = true;
		run->movers = tuplestore_begin_heap(true, false, work_mem);
		run->nmovers = idem_diff_movers(run->target, idem_stage_desc(stage), idem_stage_winners(stage), run->movers);
	}
	while (current && idem_stage_next(stage, &staged))
	{
		const char *name = staged.unit != NULL ? staged.unit->name : IDEM_WHOLE_TABLE;
		MemoryContext unit_cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import unit", ALLOCSET_DEFAULT_SIZES);
		MemoryContext oldcxt;

		if (!run->reread || !list_member(run->done, makeString(pstrdup(name))))
		{
			if (only == NULL)
				idem_run_begin_unit(run, staged.unit, name);
			if (units == NIL && !run->request->plan)
				current = lock_found_unit(run, name);
			if (current)
			{
				oldcxt = MemoryContextSwitchTo(unit_cxt);
				idem_run_receipt(run, name, &receipt);
				if (only != NULL)
					add_spared(&staged, &comparison);
				if (verify != NULL)
					idem_verify_unit(run, stage, &staged, &receipt, only != NULL ? &comparison : NULL);
				else if (only != NULL || partial)
					idem_run_apply_unit(run, stage, &staged, &receipt, &comparison);
				else if (!idem_run_skip_unit(run, staged.unit, &receipt, &staged.read, NULL))
					idem_run_apply_unit(run, stage, &staged, &receipt, NULL);
				MemoryContextSwitchTo(oldcxt);
			}
		}
		idem_stage_free_unit(&staged);
		MemoryContextDelete(unit_cxt);
	}
	if (verify != NULL && units == NIL)
		idem_verify_absent(run, stage);
	idem_stage_end(stage);
	if (run->movers != NULL)
		tuplestore_end(run->movers);
	run->movers = NULL;
	if (current && run->nmovers > 0 && !run->request->plan)
		idem_run_sum_again(run);
	return current;
}

/* What is read of the source, under the active snapshot. */
static void
begin_increment(Run *run, List *units)
{
	const RunRequest *request = run->request;
	Unit	   *only = list_length(units) == 1 ? linitial(units) : NULL;

	run->increment = idem_increment_begin(run->def, run->source, only, request->paging,
										  idem_run_is_tracked(run) && !request->strays, request->force);
	if (request->strays)
		idem_steps_bind_strays(run->source, units);
	if (request->verify != NULL && run->def->track != TRACK_NONE)
		run->increment->behind = idem_tracking_is_behind(run->def, run->source);
}

static void
run_units(Run *run, List *units)
{
	bool		complete = false;

	while (!complete)
	{
		Snapshot	snapshot;

		run->ended = idem_run_transactions_ended();
		snapshot = RegisterSnapshot(GetTransactionSnapshot());

		CHECK_FOR_INTERRUPTS();
		PushActiveSnapshot(snapshot);
		/* what is read again is the same part: units that are done have no more of it */
		if (!run->reread)
			begin_increment(run, units);
		complete = read_source(run, units);
		run->reread = !complete;
		PopActiveSnapshot();
		UnregisterSnapshot(snapshot);
	}
}

/* A source that is read unit by unit can't tell which units there are; the ledger does. */
static void
verify_applied(Run *run)
{
	ListCell   *lc;

	foreach(lc, idem_verify_applied_units(run))
	{
		MemoryContext unit_cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import unit", ALLOCSET_DEFAULT_SIZES);
		MemoryContext oldcxt = MemoryContextSwitchTo(unit_cxt);

		run_units(run, list_make1(lfirst(lc)));
		MemoryContextSwitchTo(oldcxt);
		MemoryContextDelete(unit_cxt);
	}
}

/*
 * Nothing is left of a call that broke down before it knew its units, nor of
 * rows that belonged to none of them and are there no more.
 */
static void
settle_call(Run *run, const char *label)
{
	const RunRequest *request = run->request;

	/* the last step is there for all of the call */
	if (request->completes && (request->paging == NULL || !request->paging->more))
		label = IDEM_WHOLE_TABLE;
	if (!list_member(run->done, makeString(pstrdup(label))))
		idem_ledger_clear(run->def->name, label);
	if (run->target->scope->ncolumns > 0 && run->request->scope == NULL && !idem_run_is_partial(run) &&
		!list_member(run->done, makeString(pstrdup(IDEM_WHOLE_TABLE))))
	{
		tuplestore_clear(run->trace->rejects);
		idem_reject_save(run->def->name, IDEM_WHOLE_TABLE, 0, run->record->input.name, run->trace->rejects,
						 run->def->mode == MODE_OVERWRITE ? SETTLE_ALL : SETTLE_INPUT);
	}
}

static void
run_import(Run *run)
{
	const RunRequest *request = run->request;
	char	   *label;
	List	   *units;

	idem_run_open_target(run);
	units = idem_run_parse_scope(run);
	label = pstrdup(run->record->unit);
	run->source = idem_source_open(run->def, run->target, request->source);
	run->source->lines = request->lines;
	if (run->source->by_unit && units == NIL && request->verify == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the source of import \"%s\" has parameters and needs a scope", run->def->name),
				 errhint("Give the unit, as in idem_import_run(%s, '2026-06-09').",
						 quote_literal_cstr(run->def->name))));

	if (run->source->by_unit && units == NIL)
		verify_applied(run);
	else
		run_units(run, units);

	if (!request->plan)
	{
		List	   *results = run->trace->results;

		idem_increment_applied(run->def, run->increment, request->paging,
							   results != NIL ? ((RunRecord *) llast(results))->run_id : 0);
		settle_call(run, label);
	}
	idem_target_close(run->target);
}

/* What was in hand is not of the import as it is now; nothing of it is in the way of a new call. */
static void
require_unaltered(const RunRequest *request, const Definition *def)
{
	if (request->version == 0 ||
		(request->version == def->version && request->created_at == def->created_at))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("import \"%s\" has been altered meanwhile", def->name),
			 errhint("Call again: what has been applied is found in place.")));
}

static void
run_request(const RunRequest *request, RunTrace *trace)
{
	MemoryContext run_cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import run", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcxt = MemoryContextSwitchTo(run_cxt);
	ErrorContextCallback callback;
	Run			run = {0};
	Pin			pin;

	/* whether one may, before one waits; what it is, after */
	run.def = idem_definition_get(request->import);
	idem_progress_begin(run.def->name, run.def->owner, GetUserId(), request->plan);
	idem_lock_import(request->import, request->plan ? AccessShareLock : RowExclusiveLock);
	run.def = idem_definition_get(request->import);
	require_unaltered(request, run.def);
	if (request->verify != NULL)
		idem_verify_relax(run.def);
	run.request = request;
	run.trace = trace;
	run.cxt = run_cxt;
	run.record = trace->current;
	run.record->input = request->input;
	run.who = GetUserId();
	run.batch = request->paging != NULL ? request->paging->number : 1;
	if (request->alone)
		run.def->out_of_scope = OUT_OF_SCOPE_IGNORE;
	idem_run_begin_unit(&run, NULL, IDEM_WHOLE_TABLE);

	callback.callback = run_context;
	callback.arg = &run;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	idem_pin(run.def, &pin);
	idem_run_input(&run, run_import);
	idem_unpin(&pin);

	error_context_stack = callback.previous;
	MemoryContextSwitchTo(oldcxt);
	MemoryContextDelete(run_cxt);
}

void
idem_run(const RunRequest *request, RunTrace *trace)
{
	Progress	outer;

	idem_progress_enter(&outer);
	PG_TRY();
	{
		run_request(request, trace);
	}
	PG_FINALLY();
	{
		idem_progress_leave(&outer);
	}
	PG_END_TRY();
}
