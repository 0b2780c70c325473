/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  The only writer of the target, but for its exchange as a whole.
 *
 * Four steps do the work: DELETE of rows whose key is missing, DELETE of rows
 * flagged as gone, UPDATE, INSERT.  They are plain set-based SQL, which works
 * wherever SQL does (the portable engine); in ordinary tables rows are found
 * by their place, and inserted as COPY does it, by insert.c (the native one).
 * The order of the steps matters to constraints,
 * and no order suits all: a deleted row frees a unique value for an inserted
 * one, an inserted row must be there before a foreign key can refer to it.
 * So each is tried in that order, in a subtransaction, and one that violates
 * a constraint is tried again after the others.  What remains are rows that
 * exchange unique values among themselves; those are deleted and inserted anew
 * in one statement.
 *
 * Other sessions may write the same rows.  An UPDATE or DELETE then writes
 * fewer rows than the diff had found, an INSERT meets a key that was not there;
 * the rows concerned are judged again, against the table as it is now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/relation.h"
#include "base/sql.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "executor/spi.h"
#include "flow/apply.h"
#include "flow/apply_sql.h"
#include "flow/insert.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"

/* Rounds of judging anew before other writers are kept out. */
#define MAX_ROUNDS	5

typedef enum StepKind
{
	STEP_REMOVE,
	STEP_DELETE,
	STEP_UPDATE,
	STEP_INSERT,
	NUM_STEPS
} StepKind;

typedef struct Step
{
	int			code;			/* SPI's for success */
	char	   *query;			/* NULL: insert natively */
	ParamListInfo params;
	TupleDesc	desc;			/* of the rows that it reads as s */
	Tuplestorestate *rows;
	int64		nrows;
	bool		by_place;		/* the place of each row says in which table to look for it */
	bool		pending;
	bool		exchange_done;	/* nothing is left that an UPDATE can't set */
	int64		written;
	int64		exchanged;		/* of these, by an exchange */
	ErrorData  *error;			/* why it is still pending */
} Step;

static bool
is_uniqueness_violation(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
		error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

/*
 * Where the place of a row is known, to go there is best, however many there
 * are.  The planner thinks of random access; so it is told that they are few.
 */
static int64
execute(const Step *step)
{
	int64		written;

	sql_begin();
	sql_register(APPLY_ROWS, step->desc, step->rows, step->by_place ? 1 : step->nrows);
	written = sql_execute(step->code, step->query, step->params);
	sql_forget(APPLY_ROWS);
	sql_end();
	return written;
}

static int64
insert(const Target *target, const Step *step)
{
	Inserter   *inserter = idem_inserter_begin(target);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(step->desc, &TTSOpsMinimalTuple);

	tuplestore_rescan(step->rows);
	while (tuplestore_gettupleslot(step->rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		(void) idem_inserter_row(inserter, slot->tts_values, slot->tts_isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	return idem_inserter_end(inserter);
}

/*
 * Run a step in a subtransaction.  A violated constraint leaves it pending,
 * with the error; any other error is raised.
 */
static void
try_step(const Target *target, Step *step)
{
	MemoryContext oldcxt = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcxt);
	PG_TRY();
	{
		step->written = step->exchanged + (step->query != NULL ? execute(step) : insert(target, step));
		ReleaseCurrentSubTransaction();
		step->pending = false;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(oldcxt);
		step->error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcxt);
	CurrentResourceOwner = oldowner;

	if (step->pending && !is_uniqueness_violation(step->error) &&
		step->error->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION &&
		step->error->sqlerrcode != ERRCODE_RESTRICT_VIOLATION)
		ReThrowError(step->error);
}

/* Is it the key that another session inserted meanwhile? */
static bool
is_key_violation(const Target *target, const ErrorData *error)
{
	Oid			schema;
	Oid			index;

	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		return false;
	if (!OidIsValid(target->key_index) || error->schema_name == NULL || error->constraint_name == NULL)
		return true;

	schema = get_namespace_oid(error->schema_name, true);
	index = get_relname_relid(error->constraint_name, schema);
	return index == target->key_index ||
		(OidIsValid(index) && get_rel_relispartition(index) &&
		 list_member_oid(get_partition_ancestors(index), target->key_index));
}

/* A snapshot for the whole transaction can't see the other session's row. */
static void
refuse_unseen_key(const ErrorData *error)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent insert"),
			 errdetail("%s", error->detail != NULL ? error->detail : error->message),
			 errhint("The transaction might succeed if retried.")));
}

/* What would be lost if rows were deleted and inserted anew, if anything. */
static const char *
exchange_obstacle(const Target *target)
{
	if (idem_relation_delete_cascades(target->rel))
		return "A foreign key refers to the table with more than ON DELETE NO ACTION.";
	if (target->rel->rd_rel->relkind == RELKIND_RELATION && idem_relation_unguarded(target->rel))
		return "Rows of the table's children would become its own.";
	return NULL;
}

/*
 * Rows of the UPDATE exchange unique values: take those rows out and put them
 * in again, then update the rest.
 */
static void
exchange(const Target *target, Step *update, bool unique)
{
	const char *obstacle = exchange_obstacle(target);
	Step		step = *update;

	step.query = idem_apply_exchange_query(target, unique);
	step.code = SPI_OK_INSERT;
	step.pending = true;
	step.exchanged = 0;
	if (step.query == NULL)
		ReThrowError(update->error);
	if (obstacle != NULL)
	{
		if (update->error == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot change a column of \"%s\" that can only be changed by deleting the row",
							RelationGetRelationName(target->rel)),
					 errdetail("%s", obstacle)));
		update->error->hint = psprintf("Rows exchange unique values, but cannot be deleted and inserted anew: %s", obstacle);
		ReThrowError(update->error);
	}

	/*
	 * Another session's UPDATE of a row that is deleted here would find
	 * nothing to update; behind a table lock it waits, and finds the new row.
	 */
	idem_target_lock(target, ShareRowExclusiveLock);
	try_step(target, &step);
	if (step.pending)
	{
		update->error = step.error;
		if (unique || !is_uniqueness_violation(step.error))
			ReThrowError(step.error);
		return;
	}
	update->exchange_done = true;
	update->exchanged += step.written;
	update->written = update->exchanged;
	if (update->query != NULL)
		try_step(target, update);
	else
		update->pending = false;
}

/*
 * Try all pending steps, in their order, as long as one of them gets through.
 * Where a deleted row takes others with it, what may save these comes first.
 */
static void
try_steps(const Target *target, Step *steps)
{
	bool		cascades = idem_relation_delete_cascades(target->rel);
	bool		progress;

	do
	{
		progress = false;
		for (int n = 0; n < NUM_STEPS; n++)
		{
			int			i = cascades ? NUM_STEPS - 1 - n : n;

			if (!steps[i].pending)
				continue;
			if (i == STEP_UPDATE && target->exchanges && !steps[i].exchange_done)
			{
				/* if that fails, all columns are exchanged together later */
				if (steps[i].error == NULL)
					exchange(target, &steps[i], false);
			}
			else
				try_step(target, &steps[i]);
			progress |= !steps[i].pending;
		}
	} while (progress && (steps[STEP_REMOVE].pending || steps[STEP_DELETE].pending ||
						  steps[STEP_UPDATE].pending || steps[STEP_INSERT].pending));
}

static void
run_steps(const Target *target, Step *steps)
{
	try_steps(target, steps);
	if (steps[STEP_UPDATE].pending && is_uniqueness_violation(steps[STEP_UPDATE].error))
	{
		/* others may have waited for what this sets free */
		exchange(target, &steps[STEP_UPDATE], true);
		try_steps(target, steps);
	}

	for (int i = 0; i < NUM_STEPS; i++)
	{
		if (!steps[i].pending)
			continue;
		if (i != STEP_INSERT || !is_key_violation(target, steps[i].error))
			ReThrowError(steps[i].error);

		if (IsolationUsesXactSnapshot())
			refuse_unseen_key(steps[i].error);
	}
}

/* Does a step insert by itself, without SQL? */
static char *
insert_query(const Target *target)
{
	return target->obstacle == NULL ? NULL : idem_apply_insert_query(target);
}

static Step
make_step(int code, char *query, ParamListInfo params, TupleDesc desc, Tuplestorestate *rows, int64 nrows)
{
	Step		step = {0};

	step.code = code;
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
judge_again(const Target *target, const Definition *def, const Unit *unit,
			const Step *step, bool is_update, Diff *next)
{
	int64		swallowed = step->nrows - step->written;
	Diff	   *again;

	if (step->pending || !target->may_swallow)
	{
		idem_diff_rows(target, def, unit, step->desc, step->rows, step->nrows, next);
		return 0;
	}
	if (is_update)
	{
		again = idem_diff_create(target, def, true);
		idem_diff_rows(target, def, unit, step->desc, step->rows, step->nrows, again);
		swallowed -= again->fresh;
		idem_diff_take_fresh(next, again);
		idem_diff_free(again);
	}
	return swallowed;
}

/* The unit's rows that nothing asks for: by their place, or by what asks for the others. */
static Step
remove_step(const Target *target, const Removal *removal, ParamListInfo params)
{
	const Missing *missing = removal->missing;
	const Present *present = removal->present;
	Step		step;

	if (missing->rows != NULL)
		return make_step(SPI_OK_DELETE, idem_apply_remove_places_query(target), params,
						 missing->desc, missing->rows, missing->missing);
	step = make_step(SPI_OK_DELETE, idem_apply_remove_query(target), params,
					 present->desc, present->rows, present->nrows);
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

	if (removal == NULL || removal->missing->rows == NULL || step->written == step->nrows)
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
				const Removal *removal, Tally *tally, Applied *applied)
{
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

		steps[STEP_REMOVE] = make_step(SPI_OK_DELETE, NULL, NULL, NULL, NULL, 0);
		steps[STEP_DELETE] = make_step(SPI_OK_DELETE, idem_apply_delete_query(target), params,
									   diff->desc, diff->gone_rows, diff->gone);
		steps[STEP_UPDATE] = make_step(SPI_OK_UPDATE, idem_apply_update_query(target), params,
									   diff->desc, diff->changed_rows, diff->changed);
		steps[STEP_INSERT] = make_step(SPI_OK_INSERT, insert_query(target), params,
									   diff->fresh_desc, diff->fresh_rows, diff->fresh);
		if (removal != NULL)
			steps[STEP_REMOVE] = remove_step(target, removal, params);
		for (int i = 0; i < NUM_STEPS; i++)
			steps[i].by_place = by_place;
		run_steps(target, steps);

		tally->removed += steps[STEP_REMOVE].written;
		tally->deleted += steps[STEP_DELETE].written;
		tally->updated += steps[STEP_UPDATE].written;
		tally->inserted += steps[STEP_INSERT].written;
		tally->stale += diff->stale;

		for (int i = STEP_DELETE; i < NUM_STEPS; i++)
		{
			if (steps[i].written < steps[i].nrows)
			{
				applied->swallowed += judge_again(target, def, unit, &steps[i], i == STEP_UPDATE, next);
				applied->as_judged = false;
			}
		}
		missing = find_left(target, unit, removal, &steps[STEP_REMOVE]);
		if (round > 0 && removal != NULL)
			idem_missing_free(removal->missing);
		again.present = removal != NULL ? removal->present : NULL;
		again.missing = missing;
		removal = missing != NULL ? &again : NULL;
		applied->as_judged &= missing == NULL;

		idem_diff_free(diff);
		diff = next;
		left = diff->fresh + diff->changed + diff->gone + (missing != NULL ? missing->missing : 0);
		if (left == 0)
			break;
		if (round > MAX_ROUNDS)
			refuse_to_go_on(target, &steps[STEP_INSERT], left, round);
	}
	tally->stale += diff->stale;
	idem_diff_free(diff);
}

/*
 * DELETE FROM target t WHERE <scope>
 * INSERT INTO target ("a", "b") SELECT s.c1, s.c2 FROM idem_import_rows s
 *
 * A key that another session inserts between the two goes in the next round,
 * if it belongs to the unit.
 */
void
idem_apply_replace(const Target *target, const Unit *unit, TupleDesc desc,
				   Tuplestorestate *rows, int64 nrows, Tally *tally)
{
	char	   *delete = idem_apply_clear_query(target);
	Step		insert = make_step(SPI_OK_INSERT, insert_query(target), NULL, desc, rows, nrows);

	for (int round = 0;; round++)
	{
		CHECK_FOR_INTERRUPTS();
		if (round == MAX_ROUNDS)
			idem_target_lock(target, ShareRowExclusiveLock);
		sql_begin();
		tally->removed += sql_execute(SPI_OK_DELETE, delete, idem_unit_params(target->scope, unit));
		sql_end();

		if (insert.pending)
			try_step(target, &insert);
		if (!insert.pending)
			break;
		if (round == MAX_ROUNDS || !is_key_violation(target, insert.error))
			ReThrowError(insert.error);
		if (IsolationUsesXactSnapshot())
			refuse_unseen_key(insert.error);
	}
	tally->inserted += insert.written;
}
