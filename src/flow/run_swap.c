/*-------------------------------------------------------------------------
 *
 * run_swap.c
 *	  How a run gives a unit new storage, where that is the best way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "base/progress.h"
#include "base/relation.h"
#include "flow/apply_swap.h"
#include "flow/engine.h"
#include "flow/run_unit.h"
#include "ledger/history.h"
#include "miscadmin.h"
#include "utils/resowner.h"

/* From this share of changed rows on, to write all of them is cheaper. */
#define MIN_SWAP_SHARE		0.25

/* How many milliseconds to wait for those who use the table */
#define PATIENCE			5000
#define PATIENCE_WHEN_TOLD	30000

#define SWAP_NOTE		"the unit is one table, and most of it is new: it gets new storage"
#define COLLISION_NOTE	"not swapped: rows of the source collide"

static bool
is_empty(const Comparison *comparison)
{
	return comparison->target != NULL && comparison->target->rows == 0;
}

static bool
same_keys(const Comparison *comparison)
{
	return comparison->differing != NULL &&
		comparison->source->rows == comparison->target->rows &&
		idem_hash_equal(comparison->source->keys, comparison->target->keys);
}

/* Are the unit's target rows to be just those of the source? */
static bool
owns_unit(const Definition *def, const Comparison *comparison)
{
	return idem_removes_missing(def) || is_empty(comparison) || same_keys(comparison);
}

static bool
is_same(const Comparison *comparison)
{
	return comparison->source != NULL && comparison->target != NULL &&
		comparison->source->rows == comparison->target->rows &&
		idem_hash_equal(comparison->source->image, comparison->target->sum);
}

/* The share of changed rows, from that of the buckets that they make differ. */
static double
changed_share(const Comparison *comparison)
{
	double		in_bucket = (double) Max(comparison->source->rows, comparison->target->rows) /
		(INT64CONST(1) << comparison->source->bits);

	return 1 - pow(1 - comparison->share, 1 / Max(in_bucket, 1));
}

/* Is it worth it? */
static bool
is_worth_it(const Run *run, const Comparison *comparison)
{
	double		rows = comparison->source != NULL ? comparison->source->rows : comparison->expected;

	/* new files and catalog rows cost more than they save where there are few */
	if (rows < idem_min_swap_rows)
		return false;
	if (is_empty(comparison) || run->target->nkeys == 0)
		return true;
	return comparison->differing != NULL && changed_share(comparison) >= MIN_SWAP_SHARE;
}

static bool
is_wanted(const Run *run, const Comparison *comparison)
{
	if (!owns_unit(run->def, comparison) || is_same(comparison))
		return false;
	if (run->def->method == METHOD_SWAP)
		return true;
	return run->def->method == METHOD_AUTO && !run->request->force && is_worth_it(run, comparison);
}

static void
count(Run *run, const Swap *swap)
{
	Tally	   *tally = &run->record->tally;

	tally->inserted = swap->new_rows - swap->matched;
	tally->updated = swap->matched - swap->same;
	tally->unchanged = swap->same;
	tally->removed = swap->old_rows - swap->matched;
}

/* False if the rows turn out to be no unit of their own. */
static bool
swap_unit(Run *run, Unit *unit, Oid leaf, const Comparison *comparison, const Receipt *receipt,
		  volatile bool *filled)
{
	Swap		swap = {run->target, is_empty(comparison)};
	Stage	   *stage = idem_stage_open(run->source, run->def, unit);
	StagedUnit	staged = {unit};
	Fingerprint target;
	Tally	   *tally = &run->record->tally;
	bool		changed;

	run->record->run_id = idem_history_next_run_id();
	swap.patience = run->def->method == METHOD_SWAP ? PATIENCE_WHEN_TOLD : PATIENCE;
	run->record->method = "swap";
	run->record->engine = "native";
	idem_run_note(run, SWAP_NOTE);
	idem_progress_phase(PROGRESS_READING, 0,
						comparison->source != NULL ? comparison->source->rows : comparison->expected);
	if (!idem_swap_fill(&swap, stage, leaf, &staged, &target.checksum))
		return false;
	*filled = true;
	target.rows = swap.new_rows;

	idem_run_set_aside(run, stage, &staged);
	idem_swap_count(&swap);

	/* what the target has of rows that can't be cast stays as it is */
	if (idem_stage_uncast_keys(stage) != NULL && swap.old_rows > 0)
		return false;
	if (!idem_removes_missing(run->def) && swap.matched < swap.old_rows)
		return false;
	count(run, &swap);
	idem_run_guard_removal(run, receipt, swap.old_rows,
						   run->target->nkeys > 0 ? tally->removed : swap.old_rows - swap.new_rows, tally);
	changed = tally->inserted + tally->updated + tally->removed > 0;
	idem_progress_phase(PROGRESS_SWAPPING, PROGRESS_UNKNOWN, PROGRESS_UNKNOWN);
	if (changed)
		idem_swap_lock(&swap);
	idem_run_note_approval(run, receipt);
	idem_run_finish_swap(run, &staged, &target);
	if (changed)
		idem_swap_exchange(&swap);
	else
		idem_swap_drop(&swap);
	idem_stage_free_unit(&staged);
	idem_stage_end(stage);
	return true;
}

/*
 * A row may be in the way that is to lose to another one of its key, or an
 * index whose functions want another search_path than the one that a copy of it
 * is built with, or something that came up before the table was locked.  If it
 * is none of these, the error comes again.
 */
static bool
is_about_rows(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION || category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION;
}

/*
 * In a subtransaction, so that there is a way back: where rows collide, one
 * of them may have to give way, and a swap can't tell; and where the table is
 * read all the time, rows can be written one by one.
 */
static bool
try_swap(Run *run, Unit *unit, Oid leaf, const Comparison *comparison, const Receipt *receipt)
{
	MemoryContext oldcxt = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	volatile bool done = false;
	volatile bool filled = false;
	ErrorData  *volatile error = NULL;
	const char *why;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcxt);
	PG_TRY();
	{
		done = swap_unit(run, unit, leaf, comparison, receipt, &filled);
		if (done)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(oldcxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcxt);
	CurrentResourceOwner = oldowner;

	if (done)
		return true;
	if (error == NULL)
		why = "not swapped: the unit is not one table, or has rows that must stay";
	else if (!filled && error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION)
		why = COLLISION_NOTE;
	else if (!filled && is_about_rows(error))
		why = psprintf("not swapped: %s", error->message);
	else if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error->sqlerrcode == ERRCODE_OBJECT_IN_USE)
		why = "not swapped: others do not let go of the table";
	else
		ReThrowError(error);
	idem_run_begin_unit(run, unit, unit->name);
	idem_run_note(run, why);
	return false;
}

bool
idem_run_swap(Run *run, Unit *unit, const Receipt *receipt, const Comparison *comparison)
{
	const char *obstacle;
	Oid			leaf;

	if ((run->target->obstacle != NULL && run->target->obstacle[0] == '\0') || !is_wanted(run, comparison))
		return false;
	leaf = idem_swap_leaf(run->target, unit);
	if (!OidIsValid(leaf))
		obstacle = "the unit lies in several partitions";
	else if (IsolationUsesXactSnapshot())
		obstacle = "the isolation level is not READ COMMITTED";
	else if (run->def->effects != NULL)
		obstacle = "effects are told of rows that change";
	else
		obstacle = idem_swap_obstacle(run->target, run->def, unit, leaf, is_empty(comparison));
	if (obstacle != NULL)
	{
		idem_run_note(run, psprintf("not swapped: %s", obstacle));
		return false;
	}
	if (run->request->plan)
	{
		run->would_swap = true;
		return false;
	}
	return try_swap(run, unit, leaf, comparison, receipt);
}

void
idem_run_plan_swap(Run *run, const StagedUnit *staged)
{
	if (!run->would_swap)
		return;
	run->would_swap = staged->collapsed == 0;
	idem_run_note(run, run->would_swap ? SWAP_NOTE : COLLISION_NOTE);
}
