/*-------------------------------------------------------------------------
 *
 * apply_step.c
 *	  The steps of writing a target: each by itself, and in which order.
 *
 * The order of the steps matters to constraints, and no order suits all: a
 * deleted row frees a unique value for an inserted one, an inserted row must
 * be there before a foreign key can refer to it.  So each is tried in turn, in
 * a subtransaction, and one that violates a constraint is tried again after
 * the others.  What remains are rows that exchange unique values among
 * themselves; those are deleted and inserted anew in one statement; and rows
 * that the target refuses, which are sifted out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/attempt.h"
#include "base/relation.h"
#include "base/sql.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "executor/executor.h"
#include "flow/apply_step.h"
#include "flow/apply_sql.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* Rows that are inserted in one go, at least, and how often, at most */
#define MIN_PART		20000
#define MAX_PARTS		50

static bool
is_uniqueness_violation(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
		error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

int64
idem_insert_part(const Target *target, int64 nrows)
{
	int64		part = Max(MIN_PART, nrows / MAX_PARTS);

	/* what a trigger sees, or a row refers to, must not depend on it */
	if (target->obstacle != NULL || nrows <= part ||
		idem_relation_user_triggers(target->rel) || idem_relation_refers_to_itself(target->rel))
		return 0;
	return part;
}

void
idem_step_free(Step *step)
{
	ListCell   *lc;

	foreach(lc, step->stores)
		tuplestore_end(lfirst(lc));
	list_free(step->stores);
	step->stores = NIL;
}

/*
 * Part by part, so that a bad row costs no more than one of them.  What is
 * refused with it is left for later.
 */
static void
try_parts(const Target *target, Step *step)
{
	Tuplestorestate *rows = step->rows;
	Tuplestorestate *left = NULL;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(step->desc, &TTSOpsMinimalTuple);
	int			start = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
	int64		nrows = step->nrows;

	tuplestore_rescan(rows);
	for (int64 done = 0; done < nrows; done += step->part)
	{
		int64		n = Min(step->part, nrows - done);
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		tuplestore_copy_read_pointer(rows, 0, start);
		error = idem_try_rows(target, step, rows, n, true);
		if (error == NULL)
			continue;
		step->error = error;
		tuplestore_copy_read_pointer(rows, start, 0);
		if (left == NULL)
		{
			left = tuplestore_begin_heap(true, false, work_mem);
			step->stores = lappend(step->stores, left);
		}
		for (int64 i = 0; i < n && tuplestore_gettupleslot(rows, true, false, slot); i++)
			tuplestore_puttupleslot(left, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	step->rows = left;
	step->nrows = left != NULL ? tuplestore_tuple_count(left) : 0;
	step->pending = left != NULL;
}

void
idem_try_step(const Target *target, Step *step)
{
	ErrorData  *error;

	if (step->part > 0 && step->nrows > step->part)
	{
		try_parts(target, step);
		return;
	}
	error = idem_try_rows(target, step, step->rows, step->nrows, false);
	if (error != NULL)
		step->error = error;
	else
		step->pending = false;
}

bool
idem_is_key_violation(const Target *target, const ErrorData *error)
{
	Oid			schema;
	Oid			index;

	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION || target->nkeys == 0)
		return false;
	if (!OidIsValid(target->key_index) || error->schema_name == NULL || error->constraint_name == NULL)
		return true;

	schema = get_namespace_oid(error->schema_name, true);
	index = get_relname_relid(error->constraint_name, schema);
	return index == target->key_index ||
		(OidIsValid(index) && get_rel_relispartition(index) &&
		 list_member_oid(get_partition_ancestors(index), target->key_index));
}

void
idem_refuse_unseen_key(const ErrorData *error)
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

	step.query = idem_apply_exchange_query(target, unique, step.told != NULL);
	step.kind = STEP_EXCHANGE;
	step.written = step.missed = 0;
	step.stores = NIL;
	if (step.query == NULL)
		return;
	if (obstacle != NULL)
	{
		if (update->error == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot change a column of \"%s\" that can only be changed by deleting the row",
							RelationGetRelationName(target->rel)),
					 errdetail("%s", obstacle)));
		update->remark = "rows exchange unique values, but cannot be deleted and inserted anew";
		return;
	}

	/*
	 * Another session's UPDATE of a row that is deleted here would find
	 * nothing to update; behind a table lock it waits, and finds the new row.
	 */
	idem_target_lock(target, ShareRowExclusiveLock);
	idem_try_step(target, &step);
	if (step.pending)
	{
		update->error = step.error;
		return;
	}
	update->exchange_done = true;
	update->exchanged += step.written;
	update->written += step.written;
	if (update->query != NULL)
		idem_try_step(target, update);
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
				idem_try_step(target, &steps[i]);
			progress |= !steps[i].pending;
		}
	} while (progress && (steps[STEP_REMOVE].pending || steps[STEP_DELETE].pending ||
						  steps[STEP_UPDATE].pending || steps[STEP_INSERT].pending));
}

void
idem_run_steps(const Target *target, Step *steps, BadRows *bad)
{
	bool		progress = true;

	while (progress && !idem_bad_rows_full(bad))
	{
		progress = false;
		try_steps(target, steps);
		if (steps[STEP_UPDATE].pending && is_uniqueness_violation(steps[STEP_UPDATE].error))
		{
			/* others may have waited for what this sets free */
			exchange(target, &steps[STEP_UPDATE], true);
			try_steps(target, steps);
		}
		for (int i = STEP_DELETE; i < NUM_STEPS; i++)
			progress |= idem_sift_step(target, &steps[i], false, bad);
		for (int i = STEP_INSERT; i >= STEP_DELETE && !progress; i--)
			progress = idem_sift_step(target, &steps[i], true, bad);
	}

	for (int i = 0; i < NUM_STEPS; i++)
	{
		if (!steps[i].pending || idem_bad_rows_full(bad))
			continue;
		if (i != STEP_INSERT || !idem_is_key_violation(target, steps[i].error))
			ReThrowError(steps[i].error);

		if (IsolationUsesXactSnapshot())
			idem_refuse_unseen_key(steps[i].error);
	}
}
