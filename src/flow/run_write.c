/*-------------------------------------------------------------------------
 *
 * run_write.c
 *	  How a run writes the rows of one unit: by diff, or by replacing them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "base/error.h"
#include "base/progress.h"
#include "base/relation.h"
#include "executor/tuptable.h"
#include "flow/apply.h"
#include "flow/plan_note.h"
#include "flow/run_unit.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

void
idem_run_guard_removal(Run *run, const Receipt *receipt, int64 total, int64 removed, const Tally *tally)
{
	double		limit = run->def->delete_limit;

	if (limit == NO_LIMIT || removed <= 10 || removed <= limit * total * (1 + DBL_EPSILON * 4))
		return;
	if (removed <= idem_run_approved(run, receipt))
	{
		run->approval_fate = "";
		return;
	}

	run->record->to_remove = removed;
	run->record->tally = *tally;
	run->approval_fate = " (too few)";
	if (run->request->plan)
	{
		idem_plan_stops(run, "awaiting_approval",
						psprintf("would stop with II001: it removes " INT64_FORMAT " of " INT64_FORMAT " rows",
								 removed, total));
		return;
	}
	idem_run_note_approval(run, receipt);
	ereport(ERROR,
			(errcode(ERRCODE_IDEM_APPROVAL_REQUIRED),
			 errmsg("removing " INT64_FORMAT " of " INT64_FORMAT " rows needs approval", removed, total),
			 errdetail("The import removes at most %g of a unit's rows unapproved.", limit),
			 errhint("If that is right, run SELECT idem_import_approve(%s, %s) and then the import again.",
					 quote_literal_cstr(run->def->name), quote_literal_cstr(run->record->unit))));
}

static void
note_swallowed(Run *run, int64 swallowed)
{
	if (swallowed > 0)
		idem_run_note(run, psprintf("triggers, rules or row security of the target swallowed " INT64_FORMAT " rows",
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
	tally->unchanged = staged->spared + staged->winners -
		diff->fresh - diff->changed - diff->gone - diff->stale;
}

/*
 * The rows whose keys are not missing from the unit: its own winners, those of
 * other units that will take their target row from wherever it is, and those
 * that can't be cast: what the target has of them stays as it is.
 */
static Present
present_rows(Run *run, Stage *stage, const StagedUnit *staged, const Comparison *comparison)
{
	Present		present = {idem_stage_desc(stage), staged->rows, staged->winners};
	Tuplestorestate *parts[3] = {staged->rows, run->movers, idem_stage_uncast_keys(stage)};
	TupleTableSlot *slot;

	if (comparison != NULL)
		present.differing = comparison->differing;
	if (run->nmovers == 0 && parts[2] == NULL)
		return present;

	present.rows = tuplestore_begin_heap(true, false, work_mem);
	present.nrows += run->nmovers + (parts[2] != NULL ? tuplestore_tuple_count(parts[2]) : 0);
	slot = MakeSingleTupleTableSlot(present.desc, &TTSOpsMinimalTuple);
	for (int i = 0; i < lengthof(parts); i++)
	{
		if (parts[i] == NULL)
			continue;
		tuplestore_rescan(parts[i]);
		while (tuplestore_gettupleslot(parts[i], true, false, slot))
			tuplestore_puttupleslot(present.rows, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	return present;
}

static void
free_present(Present *present, const StagedUnit *staged)
{
	if (present->rows != staged->rows)
		tuplestore_end(present->rows);
}

static int64
total_rows(const Comparison *comparison)
{
	return comparison != NULL && comparison->target != NULL ? comparison->target->rows : -1;
}

/*
 * What the unit's target rows have become is known where rows were compared by
 * hash, nobody interfered, and nothing else is set off by writing them.
 */
static void
sum_up(Run *run, const Comparison *comparison, const Diff *judged, const Missing *missing,
	   const Applied *applied, const Tally *tally, Written *written)
{
	const Target *target = run->target;
	Fingerprint *sum = &written->target;

	if (comparison == NULL || comparison->target == NULL || !judged->by_hash || !applied->as_judged ||
		applied->swallowed > 0 || (target->scope->ncolumns > 0 && !target->scope_in_key) ||
		idem_relation_user_triggers(target->rel) || idem_relation_delete_cascades(target->rel) ||
		idem_relation_update_cascades(target->rel))
		return;

	written->summed = true;
	sum->rows = comparison->target->rows + tally->inserted - tally->deleted - tally->removed;
	sum->checksum = comparison->target->sum;
	idem_hash_subtract(&sum->checksum, judged->before);
	idem_hash_add(&sum->checksum, judged->after);
	if (missing != NULL)
		idem_hash_subtract(&sum->checksum, missing->sum);
}

/* Judge the staged rows; where nothing can be in their way, that is done already. */
static Diff *
judge(Run *run, Stage *stage, const StagedUnit *staged, const Comparison *comparison, bool now)
{
	bool		compared = comparison != NULL && comparison->target != NULL;
	bool		whole = run->target->scope->ncolumns == 0 || run->target->scope_in_key;
	Diff	   *diff = idem_diff_create(run->target, run->def, now);

	idem_progress_phase(PROGRESS_DIFFING, PROGRESS_UNKNOWN, staged->winners);
	if (compared)
		diff->differing = comparison->differing;
	if (compared && comparison->target->rows == 0 && whole && run->def->delete_flag == NULL)
		idem_diff_all_fresh(diff, idem_stage_desc(stage), staged->rows, staged->winners);
	else
		idem_diff_rows(run->target, run->def, staged->unit, idem_stage_desc(stage), staged->rows,
					   staged->winners, diff);
	return diff;
}

void
idem_run_judge(Run *run, Stage *stage, const StagedUnit *staged, const Comparison *comparison, bool now, Judged *judged)
{
	judged->present = present_rows(run, stage, staged, comparison);
	judged->diff = judge(run, stage, staged, comparison, now);
	judged->missing = NULL;
	if (idem_removes_missing(run->def))
		judged->missing = idem_missing_find(run->target, staged->unit, &judged->present,
											total_rows(comparison), now);
}

void
idem_run_free_judged(Judged *judged, const StagedUnit *staged)
{
	idem_diff_free(judged->diff);
	if (judged->missing != NULL)
		idem_missing_free(judged->missing);
	free_present(&judged->present, staged);
}

/* Room for rows that the target does not take. */
static BadRows *
refused_rows(Run *run, Stage *stage)
{
	int64		most = idem_rejects_kept(run->def);

	/* with those that were set aside before */
	if (most >= 0)
		most = Max(most - run->record->tally.rejected, 0);
	return idem_bad_rows_create(idem_stage_desc(stage), run->source->first_order, most);
}

/*
 * Rows that went may have taken others with them, by a foreign key from the
 * table to itself.
 */
static void
apply_again(Run *run, Stage *stage, const StagedUnit *staged, Tally *tally, BadRows *bad, Applied *applied,
			Changes *changes)
{
	Diff	   *diff = idem_diff_create(run->target, run->def, true);

	/* what was refused before is tried again, too */
	idem_bad_rows_clear(bad);
	tally->stale = 0;
	idem_diff_rows(run->target, run->def, staged->unit, idem_stage_desc(stage), staged->rows,
				   staged->winners, diff);
	idem_apply_diff(run->target, run->def, staged->unit, diff, NULL, tally, bad, applied, changes);
}

/* Rows have keys: compare, and write only what differs; adds to the record's counts. */
static void
write_diff(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt,
		   const Comparison *comparison, Written *written)
{
	Tally		tally = {0};
	Tally		planned = {0};
	Tally		before = run->record->tally;
	Tally		total = before;
	Present		present = present_rows(run, stage, staged, comparison);
	Diff	   *diff = judge(run, stage, staged, comparison, total_rows(comparison) < 0);
	Diff		judged = *diff;
	Missing    *missing = NULL;
	BadRows    *bad = refused_rows(run, stage);
	Applied		applied;

	if (idem_removes_missing(run->def))
		missing = idem_missing_find(run->target, staged->unit, &present, total_rows(comparison), diff->now);
	count_diff(&planned, diff, staged, missing != NULL ? missing->missing : 0);
	idem_tally_add(&total, &planned);
	if (missing != NULL)
		idem_run_guard_removal(run, receipt, missing->total, missing->missing, &total);

	if (run->request->plan)
	{
		tally = planned;
		idem_diff_free(diff);
	}
	else
	{
		Removal		removal = {&present, missing};

		idem_apply_diff(run->target, run->def, staged->unit, diff,
						planned.removed > 0 ? &removal : NULL, &tally, bad, &applied, written->changes);
		if (tally.removed + tally.deleted > 0 && idem_relation_delete_cascades(run->target->rel) &&
			!idem_bad_rows_full(bad))
			apply_again(run, stage, staged, &tally, bad, &applied, written->changes);
		idem_run_set_aside_refused(run, staged, bad);
		if (missing != NULL)
			idem_run_guard_removal(run, receipt, missing->total, tally.removed, &total);
		note_swallowed(run, applied.swallowed);
		sum_up(run, comparison, &judged, missing, &applied, &tally, written);
	}
	written->refused.rows += bad->nrows;
	tally.rejected = bad->nrows;
	tally.unchanged = staged->spared + staged->winners - bad->nrows -
		tally.inserted - tally.updated - tally.deleted - tally.stale;
	run->record->tally = before;
	idem_tally_add(&run->record->tally, &tally);
	idem_bad_rows_free(bad);
	if (missing != NULL)
		idem_missing_free(missing);
	free_present(&present, staged);
}

/* The next rows of a batch; false if there are none. */
static bool
next_batch(const StagedUnit *staged, StagedUnit *batch, int64 size, TupleTableSlot *slot)
{
	memset(batch, 0, sizeof(StagedUnit));
	batch->unit = staged->unit;
	batch->read = staged->read;
	batch->nulls_in_key = staged->nulls_in_key;
	batch->rows = tuplestore_begin_heap(true, false, work_mem);
	while (batch->winners < size && tuplestore_gettupleslot(staged->rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_puttupleslot(batch->rows, slot);
		batch->winners++;
	}
	if (batch->winners == 0)
		tuplestore_end(batch->rows);
	return batch->winners > 0;
}

/* The same batch by batch, so that no more rows are compared and written at once. */
static void
write_batches(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt, Written *written)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(idem_stage_desc(stage), &TTSOpsMinimalTuple);
	StagedUnit	batch;

	tuplestore_rescan(staged->rows);
	for (run->batch = 1; next_batch(staged, &batch, run->def->batch_size, slot); run->batch++)
	{
		idem_progress_unit(run->record->unit, run->batch);
		write_diff(run, stage, &batch, receipt, NULL, written);
		tuplestore_end(batch.rows);
	}
	run->batch = 1;
	run->record->tally.unchanged += staged->spared;
	ExecDropSingleTupleTableSlot(slot);
}

static void
write_difference(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt,
				 const Comparison *comparison, Written *written)
{
	int64		size = run->request->paging != NULL ? NO_LIMIT : run->def->batch_size;

	if (!run->would_swap)
		idem_run_note(run, "rows have a key: only what differs is written");
	if (size != NO_LIMIT && staged->winners > size)
		write_batches(run, stage, staged, receipt, written);
	else
		write_diff(run, stage, staged, receipt, comparison, written);
}

static Fingerprint
sum_refused(Run *run, const BadRows *bad)
{
	Fingerprint sum = {0};
	int			natts = run->target->ncolumns;
	Oid		   *types = palloc(sizeof(Oid) * natts);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(bad->desc, &TTSOpsMinimalTuple);
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import refused rows", ALLOCSET_SMALL_SIZES);
	RowHasher  *hasher;

	for (int i = 0; i < natts; i++)
		types[i] = run->target->columns[i].type;
	hasher = idem_hasher_create(natts, types, cxt);
	tuplestore_rescan(bad->rows);
	while (tuplestore_gettupleslot(bad->rows, true, false, slot))
	{
		slot_getallattrs(slot);
		sum.rows++;
		idem_hash_add(&sum.checksum, idem_hasher_row(hasher, slot->tts_values, slot->tts_isnull));
	}
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(cxt);
	return sum;
}

/*
 * The unit is deleted and inserted anew.  With a key, rows are counted as what
 * became of them all the same, and nothing is done if nothing differs.  False
 * if the target refuses one of them, or one can't be cast: its old version
 * must not go.
 */
static bool
write_anew(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt, Written *written)
{
	Tally		tally = run->record->tally;
	Tally		replaced = {0};
	Present		present = present_rows(run, stage, staged, NULL);
	Missing    *missing = idem_missing_find(run->target, staged->unit, &present, -1, true);
	int64		total = missing->total;
	BadRows    *bad = refused_rows(run, stage);
	bool		done = true;
	Diff	   *diff;

	if (total > 0 && idem_stage_uncast_keys(stage) != NULL)
	{
		idem_run_note(run, "rows cannot be cast, so only what differs is written");
		done = false;
	}
	else if (run->target->nkeys == 0)
	{
		if (!run->would_swap)
			idem_run_note(run, "rows have no key: the unit is deleted and inserted anew");
		tally.inserted = staged->winners;
		tally.removed = total;
		idem_run_guard_removal(run, receipt, total, total - staged->winners, &tally);
	}
	else
	{
		idem_run_note(run, "method => 'replace': where a row differs, the unit is deleted and inserted anew");
		diff = idem_diff_create(run->target, run->def, true);
		idem_diff_rows(run->target, run->def, staged->unit, idem_stage_desc(stage), staged->rows,
					   staged->winners, diff);
		count_diff(&tally, diff, staged, missing->missing);
		idem_diff_free(diff);
		idem_run_guard_removal(run, receipt, total, missing->missing, &tally);
	}

	if (done && !run->request->plan &&
		tally.inserted + tally.updated + tally.deleted + tally.removed > 0)
	{
		if (total > 0 && idem_relation_delete_cascades(run->target->rel))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot delete the rows of \"%s\" and insert them anew",
							RelationGetRelationName(run->target->rel)),
					 errdetail("A foreign key refers to the table with more than ON DELETE NO ACTION."),
					 errhint("Give the import a key, and method \"diff\".")));
		done = idem_apply_replace(run->target, staged->unit, idem_stage_desc(stage), staged->rows, staged->winners,
								  &replaced, bad, written->changes);
		idem_run_set_aside_refused(run, staged, bad);
		tally.rejected = run->record->tally.rejected;
		written->refused = sum_refused(run, bad);
		if (!done)
			idem_run_note(run, "the target refuses rows, so only what differs is written");
	}
	if (run->target->nkeys == 0 && !run->request->plan)
	{
		tally.inserted = replaced.inserted;
		tally.removed = replaced.removed;
		tally.unchanged = staged->winners - replaced.inserted - bad->nrows;
		note_swallowed(run, tally.unchanged);
	}
	if (done)
		run->record->tally = tally;
	idem_bad_rows_free(bad);
	idem_missing_free(missing);
	free_present(&present, staged);
	return done;
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
	idem_run_note(run, "source and target hold the same rows");
	run->record->tally.unchanged = staged->winners;
	return true;
}

void
idem_run_write(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt,
			   const Comparison *comparison, Written *written)
{
	if (!idem_run_replaces(run))
		write_difference(run, stage, staged, receipt, comparison, written);
	else if (!same_rows(run, staged) && !write_anew(run, stage, staged, receipt, written))
	{
		write_difference(run, stage, staged, receipt, NULL, written);
		run->record->method = "diff";
	}
}

bool
idem_run_is_settled(Run *run, Stage *stage, const StagedUnit *staged, const Fingerprint *target)
{
	Judged		judged;
	bool		settled;

	if (run->target->nkeys == 0)
		return idem_fingerprint_equal(&staged->inside, target);

	/* what was not looked at before is not looked at now */
	if (staged->spared > 0)
		return false;

	idem_run_judge(run, stage, staged, NULL, true, &judged);
	settled = idem_judged_rows(&judged) == 0;
	idem_run_free_judged(&judged, staged);
	return settled;
}
