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
 * themselves; those are deleted and inserted anew in one statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/progress.h"
#include "base/relation.h"
#include "base/sql.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "flow/apply_step.h"
#include "flow/apply_sql.h"
#include "flow/insert.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"

static bool
is_uniqueness_violation(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
		error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

static int
returning_code(int code)
{
	switch (code)
	{
		case SPI_OK_INSERT:
			return SPI_OK_INSERT_RETURNING;
		case SPI_OK_UPDATE:
			return SPI_OK_UPDATE_RETURNING;
		case SPI_OK_DELETE:
			return SPI_OK_DELETE_RETURNING;
		default:
			return code;
	}
}

int64
idem_execute_told(int code, const char *query, ParamListInfo params, Tuplestorestate *told)
{
	DestReceiver *receiver;

	if (told == NULL)
		return sql_execute(code, query, params);
	receiver = CreateTuplestoreDestReceiver();
	SetTuplestoreDestReceiverParams(receiver, told, CurrentMemoryContext, false, NULL, NULL);
	return sql_stream_returning(returning_code(code), query, params, receiver);
}

/*
 * Where the place of a row is known, to go there is best, however many there
 * are.  The planner thinks of random access; so it is told that they are few.
 */
static int64
execute(const Step *step, Tuplestorestate *told)
{
	int64		written;

	sql_begin();
	sql_register(APPLY_ROWS, step->desc, step->rows, step->by_place ? 1 : step->nrows);
	written = idem_execute_told(step->code, step->query, step->params, told);
	sql_forget(APPLY_ROWS);
	sql_end();
	idem_progress_add(written);
	return written;
}

static int64
insert(const Target *target, const Step *step, Tuplestorestate *told)
{
	Inserter   *inserter = idem_inserter_begin(target);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(step->desc, &TTSOpsMinimalTuple);

	tuplestore_rescan(step->rows);
	while (tuplestore_gettupleslot(step->rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		idem_progress_row();
		slot_getallattrs(slot);
		(void) idem_inserter_row(inserter, slot->tts_values, slot->tts_isnull);
		if (told != NULL)
			tuplestore_putvalues(told, step->told->desc, slot->tts_values, slot->tts_isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	return idem_inserter_end(inserter);
}

void
idem_try_step(const Target *target, Step *step)
{
	MemoryContext oldcxt = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	Tuplestorestate *told = step->told != NULL ? tuplestore_begin_heap(true, false, work_mem) : NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcxt);
	PG_TRY();
	{
		step->written = step->exchanged + (step->query != NULL ? execute(step, told) : insert(target, step, told));
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

	/* what was rolled back is not told */
	if (told != NULL && !step->pending)
		idem_changes_take(step->told, told);
	else if (told != NULL)
		tuplestore_end(told);

	if (step->pending && !is_uniqueness_violation(step->error) &&
		step->error->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION &&
		step->error->sqlerrcode != ERRCODE_RESTRICT_VIOLATION)
		ReThrowError(step->error);
}

bool
idem_is_key_violation(const Target *target, const ErrorData *error)
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
	step.code = step.told != NULL ? SPI_OK_SELECT : SPI_OK_INSERT;
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
	idem_try_step(target, &step);
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
idem_run_steps(const Target *target, Step *steps)
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
		if (i != STEP_INSERT || !idem_is_key_violation(target, steps[i].error))
			ReThrowError(steps[i].error);

		if (IsolationUsesXactSnapshot())
			idem_refuse_unseen_key(steps[i].error);
	}
}
