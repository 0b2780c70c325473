/*-------------------------------------------------------------------------
 *
 * run_unit.c
 *	  What a run does with one unit, but for writing its rows.
 *
 * The place of this in a run is told at the top of run.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/relation.h"
#include "executor/tuptable.h"
#include "flow/aside.h"
#include "flow/effects.h"
#include "flow/fingerprint.h"
#include "flow/plan_note.h"
#include "flow/run_unit.h"
#include "ledger/announce.h"
#include "ledger/reject.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Start the record of a unit; unit NULL: rows that none owns. */
void
idem_run_begin_unit(Run *run, const Unit *unit, const char *name)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(run->trace->cxt);
	RunRecord  *record = run->record;
	InputRecord input = record->input;
	char	   *lower = NULL;
	char	   *upper = NULL;

	idem_progress_unit(name, run->batch);
	memset(record, 0, sizeof(RunRecord));
	record->input = input;
	record->unit = pstrdup(name);
	record->import = pstrdup(run->def->name);
	record->version = run->def->version;
	record->started_at = GetCurrentTimestamp();
	record->who = run->who;
	record->log = idem_announce_log();
	record->notify = idem_announce_notify();
	record->status = "failed";
	if (unit != NULL)
		idem_unit_bounds(run->target->scope, unit, &lower, &upper);
	record->lower = lower;
	record->upper = upper;
	run->stop = NULL;
	run->approval_fate = " (not needed)";
	tuplestore_clear(run->trace->rejects);
	MemoryContextSwitchTo(oldcxt);
}

void
idem_run_note(Run *run, const char *note)
{
	if (run->record->note != NULL)
		note = psprintf("%s; %s", run->record->note, note);
	run->record->note = MemoryContextStrdup(run->trace->cxt, note);
}

/* A definition that was altered since may remove other rows: its number was not what was approved. */
int64
idem_run_approved(const Run *run, const Receipt *receipt)
{
	return receipt->approval != NULL && receipt->approved_version == run->def->version ? receipt->approved : -1;
}

void
idem_run_note_approval(Run *run, const Receipt *receipt)
{
	if (receipt->approval == NULL)
		return;
	if (receipt->approved_version != run->def->version)
		run->approval_fate = psprintf(" (void: it was for version %d)", receipt->approved_version);
	idem_run_note(run, psprintf("%s%s", receipt->approval, run->approval_fate));
}

void
idem_run_finish_unit(Run *run, const Unit *unit)
{
	MemoryContext oldcxt;
	RunRecord  *record = run->record;
	RunRecord  *result;

	if (run->increment != NULL && run->increment->note != NULL)
		idem_run_note(run, run->increment->note);
	if (run->request->plan)
		idem_plan_finish(run, unit);
	oldcxt = MemoryContextSwitchTo(run->trace->cxt);
	record->elapsed = GetCurrentTimestamp() - record->started_at;
	record->checkpoint = run->increment != NULL && run->increment->tracked && run->increment->next.track != TRACK_NONE ?
		pstrdup(run->increment->next.text) : NULL;
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

/* The engine that writes the target. */
static const char *
engine(const Run *run)
{
	return run->target->obstacle == NULL ? "native" : "portable";
}

/*
 * Where the scope is not in the key, a staged row may have met its key in
 * another unit: it was stale there, or flagged, and deleted the row.  Of that
 * row the receipt knows nothing.  (A row that was inserted or updated is in
 * this unit, for the receipt to see.)
 */
void
idem_run_receipt(Run *run, const char *unit, Receipt *receipt)
{
	const Target *target = run->target;

	idem_ledger_receipt(run->def->name, unit, run->request->verify == NULL, receipt);
	if (target->scope->ncolumns > 0 && !target->scope_in_key &&
		(receipt->stale > 0 || run->def->delete_flag != NULL))
		receipt->version = 0;
}

/*
 * A receipt is believed only after source and target have been looked at.
 * The counts are those that judging the same rows again would give.
 */
bool
idem_run_skip_unit(Run *run, const Unit *unit, const Receipt *receipt, const Fingerprint *read,
				   const Fingerprint *target)
{
	RunRecord  *record = run->record;
	Fingerprint now;

	if (run->request->force || receipt->version != run->def->version ||
		!idem_fingerprint_equal(&receipt->source, read))
		return false;
	if (target == NULL)
	{
		idem_progress_phase(PROGRESS_COMPARING, PROGRESS_UNKNOWN, PROGRESS_UNKNOWN);
		now = idem_fingerprint_target(run->target, unit, true);
		target = &now;
	}
	if (!idem_fingerprint_equal(&receipt->target, target))
		return false;

	record->status = "skipped";
	record->method = idem_run_replaces(run) ? "replace" : "diff";
	record->engine = engine(run);
	record->tally.stale = receipt->stale;
	record->tally.collapsed = receipt->collapsed;
	record->tally.rejected = receipt->rejected;
	record->tally.unchanged = read->rows - receipt->stale - receipt->collapsed - receipt->rejected;
	set_checksum(run, target);
	idem_run_note(run, "source and target are as the last run left them");
	idem_run_note_approval(run, receipt);
	if (!run->request->plan)
	{
		record->run_id = idem_history_next_run_id();
		if (receipt->failed_since)
			idem_ledger_recovered(record);
	}
	idem_run_finish_unit(run, unit);
	return true;
}

void
idem_run_skip_input(Run *run, const char *unit, const Fingerprint *target, const char *note)
{
	idem_run_begin_unit(run, NULL, unit);
	run->record->status = "skipped";
	run->record->run_id = idem_history_next_run_id();
	if (target != NULL)
		set_checksum(run, target);
	idem_run_note(run, note);
	idem_run_finish_unit(run, NULL);
}

/* Does a reject come before another one, wherever their rows lie? */
static bool
comes_before(int64 position, const char *reason, int64 other_position, const char *other_reason)
{
	if (position != other_position)
		return position < other_position;
	return strcmp(reason, other_reason) < 0;
}

/* The reason of the first reject, for those who do not look further. */
static char *
first_reject(Run *run)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(idem_reject_desc(), &TTSOpsMinimalTuple);
	char	   *first = NULL;
	int64		first_position = 0;

	tuplestore_rescan(run->trace->rejects);
	while (tuplestore_gettupleslot(run->trace->rejects, true, false, slot))
	{
		int64		position;
		char	   *reason;

		slot_getallattrs(slot);
		position = slot->tts_isnull[6] ? PG_INT64_MAX : DatumGetInt64(slot->tts_values[6]);
		if (first != NULL && position > first_position)
			continue;
		reason = psprintf("%s: %s", TextDatumGetCString(slot->tts_values[2]), TextDatumGetCString(slot->tts_values[3]));
		if (strcmp(TextDatumGetCString(slot->tts_values[7]), REJECT_LINE) == 0)
			reason = psprintf("%s, in line " INT64_FORMAT " of the file", reason, position);
		if (first == NULL || comes_before(position, reason, first_position, first))
		{
			first = reason;
			first_position = position;
		}
		else
			pfree(reason);
	}
	ExecDropSingleTupleTableSlot(slot);
	return psprintf(" The first has %s.", first);
}

/* Too many rejects fail the run, but are kept: the recorder gets them. */
static void
judge_rejects(Run *run, int64 rows, bool stopped)
{
	int64		limit = run->def->reject_limit;
	int64		rejected = run->record->tally.rejected;

	if (limit == NO_LIMIT || rejected <= limit)
		return;
	if (run->request->plan)
	{
		idem_plan_stops(run, "failed", psprintf("would stop with II004: " INT64_FORMAT "%s rejects", rejected,
												stopped ? " or more" : ""));
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_IDEM_TOO_MANY_REJECTS),
			 stopped ? errmsg("too many rejects: " INT64_FORMAT " or more", rejected) :
			 errmsg("too many rejects: " INT64_FORMAT " of " INT64_FORMAT " rows", rejected, rows),
			 errdetail("The import allows " INT64_FORMAT ".%s", limit, first_reject(run)),
			 errhint("Look at idem_import_reject, mend the source, or raise reject_limit.")));
}

void
idem_run_set_aside(Run *run, Stage *stage, const StagedUnit *staged)
{
	Tally	   *tally = &run->record->tally;

	memset(tally, 0, sizeof(Tally));
	tally->collapsed = staged->collapsed;
	tally->rejected = staged->null_keys + staged->outside + staged->uncast +
		(staged->lines != NULL ? staged->lines->sum.rows : 0);
	if (tally->rejected == 0)
		return;
	if (!run->request->plan)
		idem_set_aside(run->source, run->def->delete_flag, idem_stage_desc(stage), staged, run->trace->rejects);
	judge_rejects(run, staged->read.rows, staged->stopped);
}

void
idem_run_set_aside_refused(Run *run, const StagedUnit *staged, const BadRows *bad)
{
	if (bad->nrows == 0)
		return;
	idem_set_aside_refused(run->target, run->def->delete_flag, bad, run->trace->rejects);
	run->record->tally.rejected += bad->nrows;
	judge_rejects(run, staged->read.rows, idem_bad_rows_full(bad));
}

void
idem_run_refuse_lines(Run *run, const LineRejects *lines)
{
	idem_set_aside_lines(lines, run->trace->rejects);
	memset(&run->record->tally, 0, sizeof(Tally));
	run->record->tally.rejected = lines->sum.rows;
	judge_rejects(run, lines->sum.rows, true);
}

bool
idem_run_is_partial(const Run *run)
{
	return !run->increment->whole;
}

bool
idem_run_replaces(const Run *run)
{
	return run->target->nkeys == 0 || run->def->method == METHOD_REPLACE;
}

/* How many transactions have ended so far. */
uint64
idem_run_transactions_ended(void)
{
	return GetLatestSnapshot()->snapXactCompletionCount;
}

/* Why the engine is not the native one. */
static void
note_engine(Run *run)
{
	if (run->target->obstacle != NULL && run->target->obstacle[0] != '\0')
		idem_run_note(run, psprintf("engine portable: %s", run->target->obstacle));
}

/* Does the target hold all rows but those? */
static bool
is_all_but(const Fingerprint *rows, const Fingerprint *target, const Fingerprint *refused)
{
	Fingerprint sum = *target;

	sum.rows += refused->rows;
	idem_hash_add(&sum.checksum, refused->checksum);
	return idem_fingerprint_equal(rows, &sum);
}

/*
 * Write the receipt.  A row that was found unchanged may have been changed by
 * somebody else while others were written.  The receipt must not vouch for
 * that, or the next run would take it for this one's work.  So either it tells
 * what the rows that were judged have become; or if any transaction has ended
 * since, look again, after the target was summed.
 *
 * A row that the target refused may be welcome tomorrow, when the one that it
 * refers to is there.  So the receipt vouches for nothing then, either, and the
 * next run tries such rows again.  Not so without a key, where it would write
 * all rows anew to try.
 */
static void
give_receipt(Run *run, Stage *stage, const StagedUnit *staged, const Comparison *comparison,
			 const Written *written, uint64 ended)
{
	Fingerprint target = written->target;
	bool		settled = true;

	if (!written->summed && comparison != NULL && staged->winners < comparison->few)
	{
		idem_ledger_applied(run->record, &staged->read, NULL, false);
		return;
	}
	if (!written->summed)
	{
		idem_progress_phase(PROGRESS_SUMMING, PROGRESS_UNKNOWN, PROGRESS_UNKNOWN);
		target = idem_fingerprint_target(run->target, staged->unit, true);
		if (written->refused.rows > 0)
			settled = run->target->nkeys == 0 && is_all_but(&staged->inside, &target, &written->refused);
		else if (!IsolationUsesXactSnapshot() && idem_run_transactions_ended() != ended)
			settled = idem_run_is_settled(run, stage, staged, &target);
	}
	set_checksum(run, &target);
	idem_ledger_applied(run->record, &staged->read, &target, settled);
}

/* All is written but how it went. */
static void
conclude(Run *run, const Unit *unit)
{
	RunRecord  *record = run->record;
	Tally	   *tally = &record->tally;

	if (run->stop == NULL)
		record->status = tally->inserted + tally->updated + tally->deleted + tally->removed > 0 ?
			"applied" : "skipped";
	if (!run->request->plan)
		idem_reject_save(record->import, record->unit, record->run_id, record->input.name, run->trace->rejects,
						 idem_run_is_partial(run) ? SETTLE_NONE :
						 run->def->mode == MODE_OVERWRITE ? SETTLE_ALL : SETTLE_INPUT);
	idem_run_finish_unit(run, unit);
}

/* What the rows that were written set off. */
static void
set_off_effects(Run *run, const Unit *unit, const Changes *changes)
{
	int64		saved = idem_effects_save(run->def, run->target, changes, unit, run->record->run_id);

	if (saved > 0)
		idem_run_note(run, psprintf("effects: " INT64_FORMAT, saved));
}

/* Staged rows, their unit locked: judge and apply them. */
void
idem_run_apply_unit(Run *run, Stage *stage, StagedUnit *staged, const Receipt *receipt,
					const Comparison *comparison)
{
	RunRecord  *record = run->record;
	Written		written = {0};
	uint64		ended = comparison != NULL && comparison->target != NULL ? run->ended : idem_run_transactions_ended();

	if (!run->request->plan)
		record->run_id = idem_history_next_run_id();
	idem_run_set_aside(run, stage, staged);
	run->target->nulls_in_key = staged->nulls_in_key || run->nmovers > 0;

	idem_run_plan_swap(run, staged);
	record->method = run->would_swap ? "swap" : idem_run_replaces(run) ? "replace" : "diff";
	record->engine = engine(run);
	if (run->def->effects != NULL && !run->request->plan && staged->unit != NULL)
		written.changes = idem_changes_create(run->target);
	if (staged->unit == NULL)
		idem_run_note(run, "rows that belong to no unit");
	else
		idem_run_write(run, stage, staged, receipt, comparison, &written);
	if (comparison != NULL && staged->winners < comparison->few && !idem_run_is_partial(run))
		idem_run_note(run, "few rows for a large target: it is not summed");
	note_engine(run);
	if (staged->unit != NULL)
		idem_run_note_approval(run, receipt);
	if (!run->request->plan && staged->unit != NULL)
		give_receipt(run, stage, staged, comparison, &written, ended);
	if (written.changes != NULL)
	{
		set_off_effects(run, staged->unit, written.changes);
		idem_changes_free(written.changes);
	}
	conclude(run, staged->unit);
}

void
idem_run_finish_swap(Run *run, const StagedUnit *staged, const Fingerprint *target)
{
	set_checksum(run, target);
	idem_ledger_applied(run->record, &staged->read, target, true);
	conclude(run, staged->unit);
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

		if (unit == NULL || !record->has_checksum)
			continue;
		target = idem_fingerprint_target(run->target, unit, true);
		if (idem_hash_equal(target.checksum, record->checksum))
			continue;
		record->checksum = target.checksum;
		idem_history_sum_again(record);
		idem_ledger_sum_again(record, &target);
	}
}
