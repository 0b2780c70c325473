/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  The only writer of the target, but for its exchange as a whole.
 *
 * Four steps do the work: DELETE of rows whose key is missing, DELETE of rows
 * flagged as gone, UPDATE, INSERT.  They are plain set-based SQL, which works
 * wherever SQL does (the portable engine); in ordinary tables rows are found
 * by their place, and inserted as COPY does it, by insert.c (the native one).
 * How the steps depend on each other is apply_step.c's matter.
 *
 * Other sessions may write the same rows.  An UPDATE or DELETE then writes
 * fewer rows than the diff had found, an INSERT meets a key that was not there;
 * the rows concerned are judged again, against the table as it is now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/attempt.h"
#include "base/progress.h"
#include "base/sql.h"
#include "executor/spi.h"
#include "flow/apply.h"
#include "flow/apply_sql.h"
#include "flow/apply_step.h"
#include "miscadmin.h"
#include "utils/rel.h"

/* Rounds of judging anew before other writers are kept out. */
#define MAX_ROUNDS	5

/* NULL: the step inserts by itself, without SQL. */
static char *
insert_query(const Target *target, bool told)
{
	return target->obstacle == NULL ? NULL : idem_apply_insert_query(target, told);
}

static Step
make_step(StepKind kind, char *query, ParamListInfo params, TupleDesc desc, Tuplestorestate *rows, int64 nrows,
		  ChangedRows *told)
{
	Step		step = {0};

	step.kind = kind;
	step.told = told;
	step.query = query;
	step.params = params;
	step.desc = desc;
	step.rows = rows;
	step.nrows = nrows;
	step.pending = nrows > 0;
	return step;
}

/*
 * A step wrote fewer rows than it was given: find out what has become of them.
 *
 * Where triggers, rules or policies may swallow rows, they may as well change
 * those that they let through, so that these look as if they had not been
 * written.  There the rows that were not written count as swallowed, but for
 * those that another session has deleted before they were updated.
 */
static int64
judge_again(const Target *target, const Definition *def, const Unit *unit, const Step *step, Diff *next)
{
	int64		swallowed = step->missed;
	Diff	   *again;

	if (!target->may_swallow)
	{
		idem_diff_rows(target, def, unit, step->desc, step->again, step->nagain, next);
		return 0;
	}
	if (step->kind == STEP_UPDATE)
	{
		again = idem_diff_create(target, def, true);
		idem_diff_rows(target, def, unit, step->desc, step->again, step->nagain, again);
		swallowed -= again->fresh;
		idem_diff_take_fresh(next, again);
		idem_diff_free(again);
	}
	return swallowed;
}

/* The unit's rows that nothing asks for: by their place, or by what asks for the others. */
static Step
remove_step(const Target *target, const Removal *removal, ParamListInfo params, ChangedRows *told)
{
	const Missing *missing = removal->missing;
	const Present *present = removal->present;
	Step		step;

	if (missing->rows != NULL)
		return make_step(STEP_REMOVE, idem_apply_remove_places_query(target, told != NULL), params,
						 missing->desc, missing->rows, missing->missing, told);
	step = make_step(STEP_REMOVE, idem_apply_remove_query(target, told != NULL), params,
					 present->desc, present->rows, present->nrows, told);
	step.pending = true;
	return step;
}

/*
 * Rows that were found at a place may have been moved by another session:
 * then look again, as of now.  Returns NULL if all are gone.
 */
static Missing *
find_left(const Target *target, const Unit *unit, const Removal *removal, const Step *step)
{
	Missing    *left;

	if (removal == NULL || removal->missing->rows == NULL || step->missed == 0)
		return NULL;
	left = idem_missing_find(target, unit, removal->present, -1, true);
	if (left->missing > 0)
		return left;
	idem_missing_free(left);
	return NULL;
}

static void
refuse_to_go_on(const Target *target, const Step *insert, int64 left, int round)
{
	if (insert->pending)
		ReThrowError(insert->error);
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not apply " INT64_FORMAT " rows to \"%s\"", left, RelationGetRelationName(target->rel)),
			 errdetail("They still differ after %d attempts.", round + 1),
			 errhint("Look for triggers, rules or row security that change or hide rows as they are written.")));
}

void
idem_apply_diff(const Target *target, const Definition *def, const Unit *unit, Diff *diff,
				const Removal *removal, Tally *tally, BadRows *bad, Applied *applied, Changes *changes)
{
	ChangedRows *inserted = changes != NULL ? &changes->inserted : NULL;
	ChangedRows *updated = changes != NULL ? &changes->updated : NULL;
	ChangedRows *deleted = changes != NULL ? &changes->deleted : NULL;
	bool		told = changes != NULL;
	ParamListInfo params = idem_unit_params(target->scope, unit);
	bool		by_place = target->obstacle == NULL && list_length(idem_target_tables(target, unit)) == 1;
	Step		steps[NUM_STEPS];
	Removal		again;
	int64		left;

	memset(applied, 0, sizeof(Applied));
	applied->as_judged = true;
	for (int round = 0;; round++)
	{
		Diff	   *next = idem_diff_create(target, def, true);
		Missing    *missing = NULL;

		CHECK_FOR_INTERRUPTS();
		if (round == MAX_ROUNDS)
			idem_target_lock(target, ShareRowExclusiveLock);

		idem_progress_phase(PROGRESS_APPLYING, PROGRESS_UNKNOWN,
							diff->gone + diff->changed + diff->fresh +
							(removal != NULL ? removal->missing->missing : 0));
		steps[STEP_REMOVE] = make_step(STEP_REMOVE, NULL, NULL, NULL, NULL, 0, NULL);
		steps[STEP_DELETE] = make_step(STEP_DELETE, idem_apply_delete_query(target, told), params,
									   diff->desc, diff->gone_rows, diff->gone, deleted);
		steps[STEP_UPDATE] = make_step(STEP_UPDATE, idem_apply_update_query(target, told), params,
									   diff->desc, diff->changed_rows, diff->changed, updated);
		steps[STEP_INSERT] = make_step(STEP_INSERT, insert_query(target, told), params,
									   diff->fresh_desc, diff->fresh_rows, diff->fresh, inserted);
		if (removal != NULL)
			steps[STEP_REMOVE] = remove_step(target, removal, params, deleted);
		for (int i = 0; i < NUM_STEPS; i++)
			steps[i].by_place = by_place;
		steps[STEP_INSERT].part = idem_insert_part(target, diff->fresh);
		steps[STEP_INSERT].key_is_taken = round > MAX_ROUNDS;
		idem_run_steps(target, steps, bad);

		tally->removed += steps[STEP_REMOVE].written;
		tally->deleted += steps[STEP_DELETE].written;
		tally->updated += steps[STEP_UPDATE].written;
		tally->inserted += steps[STEP_INSERT].written;
		tally->stale += diff->stale;

		for (int i = STEP_DELETE; i < NUM_STEPS; i++)
		{
			if (steps[i].pending)
				idem_diff_rows(target, def, unit, steps[i].desc, steps[i].rows, steps[i].nrows, next);
			if (steps[i].missed > 0)
				applied->swallowed += judge_again(target, def, unit, &steps[i], next);
			if (steps[i].pending || steps[i].missed > 0)
				applied->as_judged = false;
		}
		missing = find_left(target, unit, removal, &steps[STEP_REMOVE]);
		if (round > 0 && removal != NULL)
			idem_missing_free(removal->missing);
		again.present = removal != NULL ? removal->present : NULL;
		again.missing = missing;
		removal = missing != NULL ? &again : NULL;
		if (steps[STEP_REMOVE].desc != NULL && steps[STEP_REMOVE].missed != 0)
			applied->as_judged = false;

		for (int i = 0; i < NUM_STEPS; i++)
			idem_step_free(&steps[i]);
		idem_diff_free(diff);
		diff = next;
		left = diff->fresh + diff->changed + diff->gone + (missing != NULL ? missing->missing : 0);
		if (left == 0 || idem_bad_rows_full(bad))
			break;
		if (round > MAX_ROUNDS)
			refuse_to_go_on(target, &steps[STEP_INSERT], left, round);
	}
	if (bad->nrows > 0)
		applied->as_judged = false;
	tally->stale += diff->stale;
	idem_diff_free(diff);
}

void
idem_apply_insert(const Target *target, TupleDesc desc, Tuplestorestate *rows, int64 nrows,
				  Tally *tally, BadRows *bad, Changes *changes)
{
	Step		steps[NUM_STEPS];

	for (int i = 0; i < NUM_STEPS; i++)
		steps[i] = make_step(i, NULL, NULL, NULL, NULL, 0, NULL);
	steps[STEP_INSERT] = make_step(STEP_INSERT, insert_query(target, changes != NULL), NULL, desc, rows, nrows,
								   changes != NULL ? &changes->inserted : NULL);
	steps[STEP_INSERT].part = idem_insert_part(target, nrows);
	idem_run_steps(target, steps, bad);
	tally->inserted += steps[STEP_INSERT].written;
	idem_step_free(&steps[STEP_INSERT]);
}

typedef struct Replacement
{
	const Target *target;
	ParamListInfo params;
	Step	   *insert;
	Changes    *changes;
	int64		removed;
} Replacement;

/* DELETE FROM target t WHERE <scope> */
static int64
clear_unit(const Target *target, ParamListInfo params, Changes *changes)
{
	int64		removed;

	sql_begin();
	removed = idem_execute_told(SPI_OK_DELETE, idem_apply_clear_query(target, changes != NULL), params,
								changes != NULL ? changes->deleted.rows : NULL);
	sql_end();
	return removed;
}

/*
 * DELETE FROM target t WHERE <scope>
 * INSERT INTO target ("a", "b") SELECT s.c1, s.c2 FROM idem_import_rows s
 */
static void
replace(void *arg)
{
	Replacement *replacement = arg;

	replacement->removed = clear_unit(replacement->target, replacement->params, replacement->changes);
	if (replacement->insert->pending)
		idem_write_step(replacement->target, replacement->insert);
}

/*
 * What is not unique may be a row that another session has inserted in between.
 * If it belongs to the unit, it goes in a second round.  That deletes what the
 * first one inserted: both are told, and cancel out when they are compared.
 */
static void
replace_unkeyed(const Target *target, ParamListInfo params, TupleDesc desc,
				Tuplestorestate *rows, int64 nrows, Tally *tally, BadRows *bad, Changes *changes)
{
	int64		removed;
	Tally		first = {0};

	idem_progress_phase(PROGRESS_APPLYING, PROGRESS_UNKNOWN, nrows);
	removed = clear_unit(target, params, changes);
	idem_apply_insert(target, desc, rows, nrows, &first, bad, changes);
	if (bad->not_unique != NULL && IsolationUsesXactSnapshot())
	{
		ErrorData	error = {0};

		error.message = bad->not_unique;
		idem_refuse_unseen_key(&error);
	}
	if (bad->not_unique != NULL && !idem_bad_rows_full(bad))
	{
		idem_bad_rows_clear(bad);
		removed += clear_unit(target, params, changes) - first.inserted;
		first.inserted = 0;
		idem_apply_insert(target, desc, rows, nrows, &first, bad, changes);
	}
	tally->removed += removed;
	tally->inserted += first.inserted;
	if (changes != NULL)
		idem_changes_compare(target, changes);
}

/*
 * Both or none.  A key that another session inserts between the two goes in
 * the next round, if it belongs to the unit.
 */
bool
idem_apply_replace(const Target *target, const Unit *unit, TupleDesc desc,
				   Tuplestorestate *rows, int64 nrows, Tally *tally, BadRows *bad, Changes *changes)
{
	ParamListInfo params = idem_unit_params(target->scope, unit);
	Step		insert = make_step(STEP_INSERT, insert_query(target, changes != NULL), NULL, desc, rows, nrows,
								   changes != NULL ? &changes->inserted : NULL);
	Replacement replacement = {target, params, &insert, changes};

	if (target->nkeys == 0)
	{
		replace_unkeyed(target, params, desc, rows, nrows, tally, bad, changes);
		return true;
	}
	for (int round = 0;; round++)
	{
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		if (round == MAX_ROUNDS)
			idem_target_lock(target, ShareRowExclusiveLock);
		idem_progress_phase(PROGRESS_APPLYING, PROGRESS_UNKNOWN, nrows);
		error = idem_attempt(replace, &replacement);
		if (error == NULL)
			break;
		if (changes != NULL)
			idem_changes_clear(changes);
		if (round == MAX_ROUNDS || !idem_is_key_violation(target, error))
			return false;
		if (IsolationUsesXactSnapshot())
			idem_refuse_unseen_key(error);
	}
	tally->removed += replacement.removed;
	tally->inserted += insert.written;
	if (changes != NULL)
		idem_changes_compare(target, changes);
	return true;
}
