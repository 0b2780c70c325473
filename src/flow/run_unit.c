/*-------------------------------------------------------------------------
 *
 * run_unit.c
 *	  What a run does with one unit, once its rows are staged.
 *
 * The place of this in a run is told at the top of run.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "access/xact.h"
#include "base/error.h"
#include "base/relation.h"
#include "executor/tuptable.h"
#include "flow/apply.h"
#include "flow/aside.h"
#include "flow/fingerprint.h"
#include "flow/run_unit.h"
#include "ledger/reject.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define ENGINE "portable"

/* Start the record of a unit; unit NULL: rows that none owns. */
void
idem_run_begin_unit(Run *run, const Unit *unit, const char *name)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(run->trace->cxt);
	RunRecord  *record = run->record;
	char	   *lower = NULL;
	char	   *upper = NULL;

	memset(record, 0, sizeof(RunRecord));
	record->unit = pstrdup(name);
	record->import = pstrdup(run->def->name);
	record->version = run->def->version;
	record->started_at = GetCurrentTimestamp();
	record->who = run->who;
	record->status = "failed";
	if (unit != NULL)
		idem_unit_bounds(run->target->scope, unit, &lower, &upper);
	record->lower = lower;
	record->upper = upper;
	tuplestore_clear(run->trace->rejects);
	MemoryContextSwitchTo(oldcxt);
}

static void
add_note(Run *run, const char *note)
{
	if (run->record->note != NULL)
		note = psprintf("%s; %s", run->record->note, note);
	run->record->note = MemoryContextStrdup(run->trace->cxt, note);
}

/* Write down what came of the unit, and hand out its record. */
static void
finish_unit(Run *run, const Unit *unit)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(run->trace->cxt);
	RunRecord  *record = run->record;
	RunRecord  *result;

	record->elapsed = GetCurrentTimestamp() - record->started_at;
	if (!run->request->plan)
		idem_history_insert(record);
	result = palloc(sizeof(RunRecord));
	*result = *record;
	run->trace->results = lappend(run->trace->results, result);
	MemoryContextSwitchTo(run->cxt);
	run->done = lappend(run->done, makeString(pstrdup(record->unit)));
	run->done_units = lappend(run->done_units, unconstify(Unit *, unit));
	MemoryContextSwitchTo(oldcxt);
}

/* What the unit's target rows are after the run. */
static void
set_checksum(Run *run, const Fingerprint *target)
{
	run->record->has_checksum = true;
	run->record->checksum = target->checksum;
}

/*
 * A receipt is believed only after source and target have been looked at.
 * The counts are those that judging the same rows again would give.
 */
bool
idem_run_skip_unit(Run *run, const Unit *unit, const Receipt *receipt, const Fingerprint *read)
{
	RunRecord  *record = run->record;
	Fingerprint target;

	if (run->request->force || receipt->version != run->def->version ||
		!idem_fingerprint_equal(&receipt->source, read))
		return false;
	target = idem_fingerprint_target(run->target, unit, true);
	if (!idem_fingerprint_equal(&receipt->target, &target))
		return false;

	record->status = "skipped";
	record->method = run->target->nkeys > 0 && run->def->method != METHOD_REPLACE ? "diff" : "replace";
	record->engine = ENGINE;
	record->tally.stale = receipt->stale;
	record->tally.collapsed = receipt->collapsed;
	record->tally.rejected = receipt->rejected;
	record->tally.unchanged = read->rows - receipt->stale - receipt->collapsed - receipt->rejected;
	set_checksum(run, &target);
	add_note(run, "source and target are as the last run left them");
	if (!run->request->plan)
	{
		record->run_id = idem_history_next_run_id();
		if (receipt->failed_since)
			idem_ledger_recovered(record);
	}
	finish_unit(run, unit);
	return true;
}

/* Too many rejects fail the run, but are kept: the recorder gets them. */
static void
set_aside(Run *run, Stage *stage, const StagedUnit *staged)
{
	int64		limit = run->def->reject_limit;
	int64		rejected = staged->null_keys + staged->outside;

	run->record->tally.collapsed = staged->collapsed;
	run->record->tally.rejected = rejected;
	if (rejected == 0)
		return;

	if (run->request->plan)
	{
		if (limit != NO_LIMIT && rejected > limit)
			add_note(run, psprintf("would stop with II004: " INT64_FORMAT " rejects", rejected));
		return;
	}
	idem_set_aside(run->target, idem_stage_desc(stage), staged, run->trace->rejects);
	if (limit != NO_LIMIT && rejected > limit)
		ereport(ERROR,
				(errcode(ERRCODE_IDEM_TOO_MANY_REJECTS),
				 errmsg("too many rejects: " INT64_FORMAT " of " INT64_FORMAT " rows", rejected, staged->read.rows),
				 errdetail("The import allows " INT64_FORMAT ".", limit),
				 errhint("Look at idem_import_reject, mend the source, or raise reject_limit.")));
}

/*
 * Stop a run that would remove more of the unit than the import allows.  For
 * a plan, say so.
 */
static void
guard_removal(Run *run, const Receipt *receipt, int64 total, int64 removed, const Tally *tally)
{
	double		limit = run->def->delete_limit;

	if (limit == NO_LIMIT || removed <= 10 || removed <= receipt->approved ||
		removed <= limit * total * (1 + DBL_EPSILON * 4))
		return;

	run->record->to_remove = removed;
	run->record->tally = *tally;
	if (run->request->plan)
	{
		add_note(run, psprintf("would stop with II001: it removes " INT64_FORMAT " of " INT64_FORMAT " rows",
							   removed, total));
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_IDEM_APPROVAL_REQUIRED),
			 errmsg("removing " INT64_FORMAT " of " INT64_FORMAT " rows needs approval", removed, total),
			 errdetail("The import removes at most %g of a unit's rows unapproved.", limit),
			 errhint("If that is right, run SELECT idem_import_approve(%s, %s) and then the import again.",
					 quote_literal_cstr(run->def->name), quote_literal_cstr(run->record->unit))));
}

static bool
removes_missing(const Definition *def)
{
	return def->mode == MODE_OVERWRITE || def->delete_missing;
}

static void
note_swallowed(Run *run, int64 swallowed)
{
	if (swallowed > 0)
		add_note(run, psprintf("triggers, rules or row security of the target swallowed " INT64_FORMAT " rows",
							   swallowed));
}

/* The counts that applying a diff gives, if nobody interferes. */
static void
count_diff(Tally *tally, const Diff *diff, const StagedUnit *staged, int64 missing)
{
	tally->inserted = diff->fresh;
	tally->updated = diff->changed;
	tally->deleted = diff->gone;
	tally->stale = diff->stale;
	tally->removed = missing;
	tally->unchanged = staged->winners - diff->fresh - diff->changed - diff->gone - diff->stale;
}

/*
 * The rows whose keys are not missing from the unit: its own winners, and
 * those of other units that will take their target row from wherever it is.
 */
static Removal
present_rows(Run *run, Stage *stage, const StagedUnit *staged)
{
	Removal		present = {idem_stage_desc(stage), staged->rows, staged->winners};
	Tuplestorestate *parts[2] = {staged->rows, run->movers};
	TupleTableSlot *slot;

	if (run->nmovers == 0)
		return present;

	present.rows = tuplestore_begin_heap(true, false, work_mem);
	present.nrows += run->nmovers;
	slot = MakeSingleTupleTableSlot(present.desc, &TTSOpsMinimalTuple);
	for (int i = 0; i < lengthof(parts); i++)
	{
		tuplestore_rescan(parts[i]);
		while (tuplestore_gettupleslot(parts[i], true, false, slot))
			tuplestore_puttupleslot(present.rows, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	return present;
}

/* Rows have keys: compare, and write only what differs. */
static void
run_diff(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt, const Removal *present)
{
	Tally		tally = run->record->tally;
	Tally		planned = tally;
	Diff	   *diff = idem_diff_create(run->target, run->def);
	TupleDesc	desc = idem_stage_desc(stage);
	int64		total = 0;
	int64		missing = 0;

	add_note(run, "rows have a key: only what differs is written");
	idem_diff_rows(run->target, run->def, staged->unit, desc, staged->rows, staged->winners, diff);
	if (removes_missing(run->def))
		idem_diff_missing(run->target, staged->unit, present->desc, present->rows, present->nrows, &total, &missing);
	count_diff(&planned, diff, staged, missing);
	guard_removal(run, receipt, total, missing, &planned);

	if (run->request->plan)
	{
		tally = planned;
		idem_diff_free(diff);
	}
	else
	{
		int64		swallowed = idem_apply_diff(run->target, run->def, staged->unit, diff,
												missing > 0 ? present : NULL, &tally);

		/* rows that went may have taken others with them, by a foreign key to the table itself */
		if (tally.removed + tally.deleted > 0 && idem_relation_delete_cascades(run->target->rel))
		{
			tally.stale = 0;
			diff = idem_diff_create(run->target, run->def);
			idem_diff_rows(run->target, run->def, staged->unit, desc, staged->rows, staged->winners, diff);
			swallowed = idem_apply_diff(run->target, run->def, staged->unit, diff, NULL, &tally);
		}
		guard_removal(run, receipt, total, tally.removed, &planned);
		note_swallowed(run, swallowed);
	}
	tally.unchanged = staged->winners - tally.inserted - tally.updated - tally.deleted - tally.stale;
	run->record->tally = tally;
}

/*
 * The unit is deleted and inserted anew.  With a key, rows are counted as what
 * became of them all the same, and nothing is done if nothing differs.
 */
static void
run_replace(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt)
{
	Tally		tally = run->record->tally;
	Tally		replaced = {0};
	TupleDesc	desc = idem_stage_desc(stage);
	Diff	   *diff;
	int64		total;
	int64		missing;

	idem_diff_missing(run->target, staged->unit, desc, staged->rows, staged->winners, &total, &missing);
	if (run->target->nkeys == 0)
	{
		add_note(run, "rows have no key: the unit is deleted and inserted anew");
		tally.inserted = staged->winners;
		tally.removed = total;
		guard_removal(run, receipt, total, total - staged->winners, &tally);
	}
	else
	{
		add_note(run, "method => 'replace': where a row differs, the unit is deleted and inserted anew");
		diff = idem_diff_create(run->target, run->def);
		idem_diff_rows(run->target, run->def, staged->unit, desc, staged->rows, staged->winners, diff);
		count_diff(&tally, diff, staged, missing);
		idem_diff_free(diff);
		guard_removal(run, receipt, total, missing, &tally);
	}

	if (!run->request->plan &&
		tally.inserted + tally.updated + tally.deleted + tally.removed > 0)
	{
		if (total > 0 && idem_relation_delete_cascades(run->target->rel))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot delete the rows of \"%s\" and insert them anew",
							RelationGetRelationName(run->target->rel)),
					 errdetail("A foreign key refers to the table with more than ON DELETE NO ACTION."),
					 errhint("Give the import a key, and method \"diff\".")));
		idem_apply_replace(run->target, staged->unit, desc, staged->rows, staged->winners, &replaced);
	}
	if (run->target->nkeys == 0 && !run->request->plan)
	{
		tally.inserted = replaced.inserted;
		tally.removed = replaced.removed;
		tally.unchanged = staged->winners - replaced.inserted;
		note_swallowed(run, tally.unchanged);
	}
	run->record->tally = tally;
}

/* Without keys, a unit that sums up to the same rows is the same. */
static bool
same_rows(Run *run, const StagedUnit *staged)
{
	Fingerprint target;

	if (run->target->nkeys > 0 || run->request->force)
		return false;
	target = idem_fingerprint_target(run->target, staged->unit, true);
	if (!idem_fingerprint_equal(&staged->inside, &target))
		return false;
	add_note(run, "source and target hold the same rows");
	run->record->tally.unchanged = staged->winners;
	return true;
}

/* How many transactions have ended so far. */
static uint64
transactions_ended(void)
{
	return GetLatestSnapshot()->snapXactCompletionCount;
}

/*
 * A row that was found unchanged may have been changed by somebody else while
 * others were written.  The receipt must not vouch for that, or the next run
 * would take it for this one's work.  So if any transaction has ended since the
 * rows were judged, look again, after the fingerprint was taken.
 */
static bool
is_settled(Run *run, Stage *stage, const StagedUnit *staged, const Removal *present,
		   const Fingerprint *target, uint64 ended)
{
	TupleDesc	desc = idem_stage_desc(stage);
	Diff	   *diff;
	int64		total;
	int64		missing = 0;
	bool		settled;

	if (IsolationUsesXactSnapshot() || transactions_ended() == ended)
		return true;
	if (run->target->nkeys == 0)
		return idem_fingerprint_equal(&staged->inside, target);

	diff = idem_diff_create(run->target, run->def);
	idem_diff_rows(run->target, run->def, staged->unit, desc, staged->rows, staged->winners, diff);
	if (removes_missing(run->def))
		idem_diff_missing(run->target, staged->unit, present->desc, present->rows, present->nrows, &total, &missing);
	settled = diff->fresh + diff->changed + diff->gone + missing == 0;
	idem_diff_free(diff);
	return settled;
}

/* Staged rows, their unit locked: judge and apply them. */
void
idem_run_apply_unit(Run *run, Stage *stage, StagedUnit *staged, const Receipt *receipt)
{
	RunRecord  *record = run->record;
	Tally	   *tally = &record->tally;
	bool		replace = run->target->nkeys == 0 || run->def->method == METHOD_REPLACE;
	uint64		ended = transactions_ended();
	Removal		present = {0};

	if (!run->request->plan)
		record->run_id = idem_history_next_run_id();
	set_aside(run, stage, staged);
	run->target->nulls_in_key = staged->nulls_in_key || run->nmovers > 0;
	if (staged->unit != NULL)
		present = present_rows(run, stage, staged);

	record->method = replace ? "replace" : "diff";
	record->engine = ENGINE;
	if (staged->unit == NULL)
		add_note(run, "rows that belong to no unit");
	else if (!replace)
		run_diff(run, stage, staged, receipt, &present);
	else if (!same_rows(run, staged))
		run_replace(run, stage, staged, receipt);
	record->status = tally->inserted + tally->updated + tally->deleted + tally->removed > 0 ?
		"applied" : "skipped";

	if (!run->request->plan)
	{
		if (staged->unit != NULL)
		{
			Fingerprint target = idem_fingerprint_target(run->target, staged->unit, true);

			set_checksum(run, &target);
			idem_ledger_applied(record, &staged->read, &target,
								is_settled(run, stage, staged, &present, &target, ended));
		}
		idem_reject_save(record->import, record->unit, record->run_id, run->trace->rejects, true);
	}
	if (present.rows != NULL && present.rows != staged->rows)
		tuplestore_end(present.rows);
	finish_unit(run, staged->unit);
}

void
idem_run_sum_again(Run *run)
{
	ListCell   *lc1;
	ListCell   *lc2;

	forboth(lc1, run->trace->results, lc2, run->done_units)
	{
		RunRecord  *record = lfirst(lc1);
		Unit	   *unit = lfirst(lc2);
		Fingerprint target;

		if (unit == NULL)
			continue;
		target = idem_fingerprint_target(run->target, unit, true);
		if (idem_hash_equal(target.checksum, record->checksum))
			continue;
		record->checksum = target.checksum;
		idem_history_sum_again(record);
		idem_ledger_sum_again(record, &target);
	}
}
