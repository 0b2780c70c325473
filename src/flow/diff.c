/*-------------------------------------------------------------------------
 *
 * diff.c
 *	  What separates staged rows from the target.
 *
 * One join of the staged rows with the target, left to the planner: few rows
 * look up the key's index, many are hashed.  Only rows that something has to
 * be done for are kept, so that what follows costs as much as has changed.
 *
 * Where the scope is in the key, only the unit's part of the target takes
 * part.  Else staged rows are judged against all of it: a row may come from
 * another unit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "flow/diff.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#define STAGED "idem_import_staged"

typedef enum Verdict
{
	VERDICT_FRESH = 1,
	VERDICT_CHANGED,
	VERDICT_GONE,
	VERDICT_STALE
} Verdict;

Diff *
idem_diff_create(const Target *target, const Definition *def)
{
	Diff	   *diff = palloc0(sizeof(Diff));
	int			flag = def->delete_flag != NULL ? 1 : 0;

	diff->desc = CreateTemplateTupleDesc(target->ncolumns + flag);
	if (flag)
		TupleDescInitEntry(diff->desc, target->ncolumns + 1, "gone", BOOLOID, -1, 0);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const TargetColumn *column = &target->columns[i];

		TupleDescInitEntry(diff->desc, i + 1, psprintf("c%d", i + 1), column->type, column->typmod, 0);
		TupleDescInitEntryCollation(diff->desc, i + 1, column->collation);
	}
	diff->fresh_rows = tuplestore_begin_heap(true, false, work_mem);
	diff->changed_rows = tuplestore_begin_heap(true, false, work_mem);
	diff->gone_rows = tuplestore_begin_heap(true, false, work_mem);
	return diff;
}

void
idem_diff_free(Diff *diff)
{
	tuplestore_end(diff->fresh_rows);
	tuplestore_end(diff->changed_rows);
	tuplestore_end(diff->gone_rows);
	FreeTupleDesc(diff->desc);
	pfree(diff);
}

void
idem_diff_take_fresh(Diff *diff, Diff *from)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(from->desc, &TTSOpsMinimalTuple);

	while (tuplestore_gettupleslot(from->fresh_rows, true, false, slot))
		tuplestore_puttupleslot(diff->fresh_rows, slot);
	ExecDropSingleTupleTableSlot(slot);
	diff->fresh += from->fresh;
}

/* Sorts the rows that come out of the join by their verdict, the last column. */
typedef struct VerdictReceiver
{
	DestReceiver pub;
	Diff	   *diff;
} VerdictReceiver;

static bool
verdict_receive(TupleTableSlot *slot, DestReceiver *self)
{
	Diff	   *diff = ((VerdictReceiver *) self)->diff;
	Tuplestorestate *rows = NULL;

	slot_getallattrs(slot);
	switch ((Verdict) DatumGetInt32(slot->tts_values[diff->desc->natts]))
	{
		case VERDICT_FRESH:
			diff->fresh++;
			rows = diff->fresh_rows;
			break;
		case VERDICT_CHANGED:
			diff->changed++;
			rows = diff->changed_rows;
			break;
		case VERDICT_GONE:
			diff->gone++;
			rows = diff->gone_rows;
			break;
		case VERDICT_STALE:
			diff->stale++;
			return true;
	}
	tuplestore_putvalues(rows, diff->desc, slot->tts_values, slot->tts_isnull);
	return true;
}

static void
verdict_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
verdict_nothing(DestReceiver *self)
{
}

/* A name for what is true in each row of the target, which none of its columns has. */
static char *
here_name(const Target *target)
{
	char	   *name = "idem_import_here";

	while (idem_target_column(target, name) >= 0)
		name = psprintf("%s_", name);
	return name;
}

/*
 * CASE WHEN s.gone THEN CASE WHEN t.idem_import_here IS NULL THEN NULL WHEN <newer> THEN 4 ELSE 3 END
 *      WHEN t.idem_import_here IS NULL THEN 1
 *      WHEN NOT (<differs>) THEN NULL
 *      WHEN <newer> THEN 4          -- insert_only: always
 *      ELSE 2 END
 */
static char *
verdict_expression(const Target *target, const Definition *def, const char *here)
{
	StringInfoData buf;
	char	   *newer = idem_target_newer(target);

	initStringInfo(&buf);
	appendStringInfoString(&buf, "CASE ");
	if (def->delete_flag != NULL)
		appendStringInfo(&buf, "WHEN s.gone THEN CASE WHEN t.%s IS NULL THEN NULL WHEN %s THEN %d ELSE %d END ",
						 here, newer, VERDICT_STALE, VERDICT_GONE);
	appendStringInfo(&buf, "WHEN t.%s IS NULL THEN %d WHEN NOT (%s) THEN NULL WHEN %s THEN %d ELSE %d END",
					 here, VERDICT_FRESH, idem_target_differs(target),
					 def->mode == MODE_INSERT_ONLY ? "true" : newer,
					 VERDICT_STALE, VERDICT_CHANGED);
	return buf.data;
}

/*
 * The database does not hold the key of such a target together; find out
 * whether it holds all the same, since a row of two could not be judged.
 *
 * SELECT 1 FROM idem_import_staged s JOIN target t ON <key> GROUP BY s.c1 HAVING count(*) > 1 LIMIT 1
 */
static void
require_unique_matches(const Target *target, const Unit *unit)
{
	StringInfoData keys;
	SqlRow		row;

	initStringInfo(&keys);
	for (int i = 0; i < target->nkeys; i++)
		appendStringInfo(&keys, "%ss.c%d", i > 0 ? ", " : "", target->keys[i].column + 1);

	if (sql_row(psprintf("SELECT pg_catalog.row_to_json(ROW(%s))::pg_catalog.text AS key FROM " STAGED
						 " s JOIN %s t ON %s GROUP BY %s HAVING pg_catalog.count(*) > 1 LIMIT 1",
						 keys.data, target->name, idem_target_unit_match(target), keys.data),
				idem_unit_params(target->scope, unit), true, CurrentMemoryContext, &row))
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("target %s has more than one row of a key", target->name),
				 errdetail("No unique index guards the key here; its values, by position: %s.",
						   sql_column_text(&row, "key")),
				 errhint("Remove the surplus rows, and let a unique index hold the key where the rows are stored.")));
}

/*
 * SELECT * FROM (
 *    SELECT s.c1, s.c2, s.gone, <verdict> AS verdict
 *    FROM idem_import_staged s
 *    LEFT JOIN (SELECT true AS idem_import_here, t."a", t."b" FROM target t) t ON <key>) d
 * WHERE verdict IS NOT NULL
 */
void
idem_diff_rows(const Target *target, const Definition *def, const Unit *unit,
			   TupleDesc desc, Tuplestorestate *rows, int64 nrows, Diff *diff)
{
	VerdictReceiver receiver = {{0}};
	char	   *here = here_name(target);
	char	   *query;

	if (nrows == 0)
		return;

	receiver.pub.receiveSlot = verdict_receive;
	receiver.pub.rStartup = verdict_startup;
	receiver.pub.rShutdown = verdict_nothing;
	receiver.pub.rDestroy = verdict_nothing;
	receiver.pub.mydest = DestTuplestore;	/* to SPI, DestNone is no SELECT */
	receiver.diff = diff;

	sql_begin();
	sql_register(STAGED, desc, rows, nrows);
	if (!target->guarded)
		require_unique_matches(target, unit);
	query = psprintf("SELECT * FROM (SELECT %s%s, %s AS verdict FROM " STAGED " s "
					 "LEFT JOIN (SELECT true AS %s, %s FROM %s t) t ON %s) d WHERE verdict IS NOT NULL",
					 idem_target_staged_columns(target), def->delete_flag != NULL ? ", s.gone" : "",
					 verdict_expression(target, def, here), here, idem_target_columns(target), target->name, idem_target_unit_match(target));
	sql_stream(query, idem_unit_params(target->scope, unit), true, &receiver.pub);
	sql_forget(STAGED);
	sql_end();
}

/*
 * SELECT count(*) AS total, count(*) FILTER (WHERE s.idem_import_here IS NULL) AS missing
 * FROM target t
 * LEFT JOIN (SELECT true AS idem_import_here, s.c1 FROM idem_import_staged s) s ON <key>
 * WHERE <scope>
 */
void
idem_diff_missing(const Target *target, const Unit *unit, TupleDesc desc,
				  Tuplestorestate *rows, int64 nrows, int64 *total, int64 *missing)
{
	StringInfoData keys;
	SqlRow		row;
	char	   *query;

	sql_begin();
	initStringInfo(&keys);
	for (int i = 0; i < target->nkeys; i++)
		appendStringInfo(&keys, ", s.c%d", target->keys[i].column + 1);
	sql_register(STAGED, desc, rows, nrows);
	query = psprintf("SELECT pg_catalog.count(*) AS total, "
					 "pg_catalog.count(*) FILTER (WHERE s.idem_import_here IS NULL) AS missing FROM %s t "
					 "LEFT JOIN (SELECT true AS idem_import_here%s FROM " STAGED " s) s ON %s WHERE %s",
					 target->name, keys.data, target->nkeys > 0 ? idem_target_key_match(target) : "false",
					 idem_scope_predicate(target->scope, "t"));
	(void) sql_row(query, idem_unit_params(target->scope, unit), true, CurrentMemoryContext, &row);
	*total = sql_column_int8(&row, "total", 0);
	*missing = sql_column_int8(&row, "missing", 0);
	sql_forget(STAGED);
	sql_end();
}

/*
 * SELECT s.c1, s.c2, s.slice, s.lost FROM idem_import_staged s JOIN target t ON <key>
 * WHERE pg_catalog.record_image_ne(ROW(t."day"), ROW(s.c1))
 */
int64
idem_diff_movers(const Target *target, TupleDesc desc, Tuplestorestate *winners, Tuplestorestate *movers)
{
	DestReceiver *receiver;
	StringInfoData columns;
	StringInfoData theirs;
	StringInfoData ours;

	sql_begin();
	initStringInfo(&columns);
	initStringInfo(&theirs);
	initStringInfo(&ours);
	for (int i = 0; i < desc->natts; i++)
		appendStringInfo(&columns, "%ss.%s", i > 0 ? ", " : "", NameStr(TupleDescAttr(desc, i)->attname));
	for (int i = 0; i < target->scope->ncolumns; i++)
	{
		appendStringInfo(&theirs, "%st.%s", i > 0 ? ", " : "", quote_identifier(target->scope->columns[i].name));
		appendStringInfo(&ours, "%ss.c%d", i > 0 ? ", " : "", target->scope_columns[i] + 1);
	}

	receiver = CreateTuplestoreDestReceiver();
	SetTuplestoreDestReceiverParams(receiver, movers, CurrentMemoryContext, false, NULL, NULL);
	sql_register(STAGED, desc, winners, tuplestore_tuple_count(winners));
	sql_stream(psprintf("SELECT %s FROM " STAGED " s JOIN %s t ON %s "
						"WHERE pg_catalog.record_image_ne(ROW(%s), ROW(%s))",
						columns.data, target->name, idem_target_key_match(target), theirs.data, ours.data),
			   NULL, true, receiver);
	sql_forget(STAGED);
	sql_end();
	return tuplestore_tuple_count(movers);
}
