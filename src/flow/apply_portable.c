/*-------------------------------------------------------------------------
 *
 * apply_portable.c
 *	  Write the target with plain set-based SQL, which works wherever SQL does.
 *
 * Four statements do the work: DELETE of rows whose key is missing, DELETE of
 * rows flagged as gone, UPDATE, INSERT.  Their order matters to constraints,
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
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#define ROWS "idem_import_rows"

/* Rounds of judging anew before other writers are kept out. */
#define MAX_ROUNDS	5
#define MAX_REPLACE_ROUNDS	2

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
	char	   *query;
	ParamListInfo params;
	TupleDesc	desc;			/* of the rows that it reads as s */
	Tuplestorestate *rows;
	int64		nrows;
	bool		pending;
	int64		written;
	int64		exchanged;		/* of these, by an exchange */
	ErrorData  *error;			/* why it is still pending */
} Step;

/* DELETE FROM target t WHERE <scope> AND NOT EXISTS (SELECT FROM idem_import_rows s WHERE <key>) */
static char *
remove_query(const Target *target)
{
	return psprintf("DELETE FROM %s t WHERE %s AND NOT EXISTS (SELECT FROM " ROWS " s WHERE %s)",
					target->name, idem_scope_predicate(target->scope, "t"), idem_target_key_match(target));
}

/* DELETE FROM target t USING idem_import_rows s WHERE <key> AND NOT (<newer>) */
static char *
delete_query(const Target *target)
{
	return psprintf("DELETE FROM %s t USING " ROWS " s WHERE %s AND NOT (%s)",
					target->name, idem_target_unit_match(target), idem_target_newer(target));
}

/*
 * UPDATE target t SET "a" = s.c1, ... FROM idem_import_rows s
 * WHERE <key> AND <differs> AND NOT (<newer>)
 *
 * NULL if there is no column to set.
 */
static char *
update_query(const Target *target)
{
	StringInfoData set;

	initStringInfo(&set);
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (target->columns[i].updated && !target->columns[i].exchanged)
			appendStringInfo(&set, "%s%s = s.c%d", set.len > 0 ? ", " : "",
							 quote_identifier(target->columns[i].name), i + 1);
	}
	if (set.len == 0)
		return NULL;
	return psprintf("UPDATE %s t SET %s FROM " ROWS " s WHERE %s AND %s AND NOT (%s)",
					target->name, set.data, idem_target_unit_match(target),
					idem_target_differs(target), idem_target_newer(target));
}

/* INSERT INTO target ("a", "b") OVERRIDING SYSTEM VALUE SELECT s.c1, s.c2 FROM idem_import_rows s */
static char *
insert_query(const Target *target)
{
	return psprintf("INSERT INTO %s (%s)%s SELECT %s FROM " ROWS " s",
					target->name, idem_target_columns(target),
					target->overriding ? " OVERRIDING SYSTEM VALUE" : "",
					idem_target_staged_columns(target));
}

/* Columns of the target that an exchanged row keeps: neither set by the import nor generated. */
static List *
kept_columns(const Target *target)
{
	TupleDesc	desc = RelationGetDescr(target->rel);
	List	   *names = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->attgenerated == '\0' &&
			idem_target_column(target, NameStr(att->attname)) < 0)
			names = lappend(names, makeString(pstrdup(NameStr(att->attname))));
	}
	return names;
}

/*
 * WITH old AS (
 *    DELETE FROM target t USING idem_import_rows s
 *    WHERE <key> AND NOT (<newer>) AND record_image_ne(ROW(t."u"), ROW(s.c2))
 *    RETURNING s.c1, s.c2, t."kept")
 * INSERT INTO target ("a", "u", "kept") OVERRIDING SYSTEM VALUE
 * SELECT * FROM old ORDER BY 1 USING OPERATOR(pg_catalog.<)
 *
 * "u" are the columns that can't be updated in place.  The sort holds the
 * first insert back until the last row is deleted.
 */
static char *
exchange_query(const Target *target, bool unique)
{
	StringInfoData returning;
	StringInfoData left;
	StringInfoData right;
	List	   *kept = kept_columns(target);
	const KeyColumn *key = &target->keys[0];
	Oid			lt_schema = get_func_namespace(get_opcode(key->lt_opr));

	initStringInfo(&returning);
	initStringInfo(&left);
	initStringInfo(&right);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const TargetColumn *column = &target->columns[i];
		char	   *mine = psprintf("t.%s", quote_identifier(column->name));
		char	   *staged = psprintf("s.c%d", i + 1);
		bool		is_key = false;

		for (int k = 0; k < target->nkeys; k++)
			is_key |= target->keys[k].column == i;
		appendStringInfo(&returning, "%s%s", i > 0 ? ", " : "", column->updated || is_key ? staged : mine);
		if (unique ? column->unique : column->exchanged)
		{
			appendStringInfo(&left, "%s%s", left.len > 0 ? ", " : "", mine);
			appendStringInfo(&right, "%s%s", right.len > 0 ? ", " : "", staged);
		}
	}
	if (left.len == 0)
		return NULL;

	return psprintf("WITH old AS (DELETE FROM %1$s t USING " ROWS " s WHERE %2$s AND NOT (%3$s) "
					"AND pg_catalog.record_image_ne(ROW(%4$s), ROW(%5$s)) RETURNING %6$s%7$s%8$s) "
					"INSERT INTO %1$s (%9$s%7$s%10$s)%11$s SELECT * FROM old "
					"ORDER BY %12$d USING OPERATOR(%13$s.%14$s)",
					target->name, idem_target_unit_match(target), idem_target_newer(target),
					left.data, right.data, returning.data,
					kept != NIL ? ", " : "", idem_column_list(kept, "t."),
					idem_target_columns(target), idem_column_list(kept, ""),
					RelationGetForm(target->rel)->relkind == RELKIND_VIEW ? "" : " OVERRIDING SYSTEM VALUE",
					key->column + 1,
					quote_identifier(get_namespace_name(lt_schema)), get_opname(key->lt_opr));
}

static bool
is_uniqueness_violation(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
		error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION;
}

/*
 * Run a step in a subtransaction.  A violated constraint leaves it pending,
 * with the error; any other error is raised.
 */
static void
try_step(Step *step)
{
	MemoryContext oldcxt = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcxt);
	PG_TRY();
	{
		sql_begin();
		sql_register(ROWS, step->desc, step->rows, step->nrows);
		step->written = step->exchanged + sql_execute(step->code, step->query, step->params);
		sql_forget(ROWS);
		sql_end();
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

	step.query = exchange_query(target, unique);
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

	try_step(&step);
	if (step.pending)
		ReThrowError(step.error);
	update->exchanged += step.written;
	update->written = update->exchanged;
	if (update->query != NULL)
		try_step(update);
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
			if (i == STEP_UPDATE && target->exchanges && steps[i].error == NULL)
				exchange(target, &steps[i], false);
			else
				try_step(&steps[i]);
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
		again = idem_diff_create(target, def);
		idem_diff_rows(target, def, unit, step->desc, step->rows, step->nrows, again);
		swallowed -= again->fresh;
		idem_diff_take_fresh(next, again);
		idem_diff_free(again);
	}
	return swallowed;
}

int64
idem_apply_diff(const Target *target, const Definition *def, const Unit *unit, Diff *diff,
				const Removal *removal, Tally *tally)
{
	ParamListInfo params = idem_unit_params(target->scope, unit);
	Step		steps[NUM_STEPS];
	int64		swallowed = 0;
	int64		left;

	for (int round = 0;; round++)
	{
		Diff	   *next = idem_diff_create(target, def);

		CHECK_FOR_INTERRUPTS();
		if (round == MAX_ROUNDS)
			idem_target_lock(target, ShareRowExclusiveLock);

		steps[STEP_REMOVE] = make_step(SPI_OK_DELETE, NULL, NULL, NULL, NULL, 0);
		steps[STEP_DELETE] = make_step(SPI_OK_DELETE, delete_query(target), params,
									   diff->desc, diff->gone_rows, diff->gone);
		steps[STEP_UPDATE] = make_step(SPI_OK_UPDATE, update_query(target), params,
									   diff->desc, diff->changed_rows, diff->changed);
		steps[STEP_INSERT] = make_step(SPI_OK_INSERT, insert_query(target), params,
									   diff->desc, diff->fresh_rows, diff->fresh);
		if (round == 0 && removal != NULL)
		{
			steps[STEP_REMOVE] = make_step(SPI_OK_DELETE, remove_query(target), params,
										   removal->desc, removal->rows, removal->nrows);
			steps[STEP_REMOVE].pending = true;
		}
		run_steps(target, steps);

		tally->removed += steps[STEP_REMOVE].written;
		tally->deleted += steps[STEP_DELETE].written;
		tally->updated += steps[STEP_UPDATE].written;
		tally->inserted += steps[STEP_INSERT].written;
		tally->stale += diff->stale;

		for (int i = STEP_DELETE; i < NUM_STEPS; i++)
		{
			if (steps[i].written < steps[i].nrows)
				swallowed += judge_again(target, def, unit, &steps[i], i == STEP_UPDATE, next);
		}

		idem_diff_free(diff);
		diff = next;
		left = diff->fresh + diff->changed + diff->gone;
		if (left == 0)
			break;
		if (round > MAX_ROUNDS)
		{
			if (steps[STEP_INSERT].pending)
				ReThrowError(steps[STEP_INSERT].error);
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not apply " INT64_FORMAT " rows to \"%s\"", left, RelationGetRelationName(target->rel)),
					 errdetail("They still differ after %d attempts.", round + 1),
					 errhint("Look for triggers, rules or row security that change or hide rows as they are written.")));
		}
	}
	tally->stale += diff->stale;
	idem_diff_free(diff);
	return swallowed;
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
	char	   *delete = psprintf("DELETE FROM %s t WHERE %s", target->name,
								  idem_scope_predicate(target->scope, "t"));
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
			try_step(&insert);
		if (!insert.pending)
			break;
		if (round == MAX_ROUNDS || !is_key_violation(target, insert.error))
			ReThrowError(insert.error);
		if (IsolationUsesXactSnapshot())
			refuse_unseen_key(insert.error);
	}
	tally->inserted += insert.written;
}
