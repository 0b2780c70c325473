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
 * Rows are wide, and what the join hashes or sorts should not be.  Where any
 * difference counts and the target is an ordinary table, its rows enter the
 * join as key, place and a hash of 128 bits.  (Most rows do not come here at
 * all: comparison.c has found them equal by the bucket.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/progress.h"
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

/* Are rows of the target known by their place? */
static bool
has_places(const Target *target)
{
	return target->obstacle == NULL;
}

/* Can they be compared by hash? */
static bool
compares_hashes(const Target *target)
{
	return has_places(target) && idem_target_all_compared(target);
}

Diff *
idem_diff_create(const Target *target, const Definition *def, bool now)
{
	Diff	   *diff = palloc0(sizeof(Diff));
	int			natts = target->ncolumns + (def->delete_flag != NULL ? 1 : 0);

	diff->now = now;
	diff->by_hash = compares_hashes(target);
	diff->desc = CreateTemplateTupleDesc(natts + (has_places(target) ? 2 : 0));
	if (def->delete_flag != NULL)
		TupleDescInitEntry(diff->desc, natts, "gone", BOOLOID, -1, 0);
	if (has_places(target))
	{
		TupleDescInitEntry(diff->desc, natts + 1, DIFF_PLACE, TIDOID, -1, 0);
		TupleDescInitEntry(diff->desc, natts + 2, DIFF_LEAF, OIDOID, -1, 0);
	}
	for (int i = 0; i < target->ncolumns; i++)
	{
		const TargetColumn *column = &target->columns[i];

		TupleDescInitEntry(diff->desc, i + 1, psprintf("c%d", i + 1), column->type, column->typmod, 0);
		TupleDescInitEntryCollation(diff->desc, i + 1, column->collation);
	}
	diff->fresh_desc = diff->desc;
	diff->fresh_rows = tuplestore_begin_heap(true, false, work_mem);
	diff->changed_rows = tuplestore_begin_heap(true, false, work_mem);
	diff->gone_rows = tuplestore_begin_heap(true, false, work_mem);
	return diff;
}

void
idem_diff_free(Diff *diff)
{
	if (!diff->borrowed)
		tuplestore_end(diff->fresh_rows);
	tuplestore_end(diff->changed_rows);
	tuplestore_end(diff->gone_rows);
	FreeTupleDesc(diff->desc);
	pfree(diff);
}

void
idem_diff_all_fresh(Diff *diff, TupleDesc desc, Tuplestorestate *rows, int64 nrows)
{
	tuplestore_end(diff->fresh_rows);
	diff->fresh_rows = rows;
	diff->fresh_desc = desc;
	diff->borrowed = true;
	diff->by_hash = false;
	diff->fresh = nrows;
}

void
idem_diff_take_fresh(Diff *diff, Diff *from)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(from->fresh_desc, &TTSOpsMinimalTuple);

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

/* The two columns before the verdict: what the row is, and what it becomes. */
static void
add_hashes(Diff *diff, TupleTableSlot *slot, Verdict verdict)
{
	int			was = diff->desc->natts;
	int			becomes = was + 1;

	if (verdict != VERDICT_FRESH)
		idem_hash_add(&diff->before, idem_hash_from_uuid(DatumGetUUIDP(slot->tts_values[was])));
	if (verdict != VERDICT_GONE)
		idem_hash_add(&diff->after, idem_hash_from_uuid(DatumGetUUIDP(slot->tts_values[becomes])));
}

static bool
verdict_receive(TupleTableSlot *slot, DestReceiver *self)
{
	Diff	   *diff = ((VerdictReceiver *) self)->diff;
	Tuplestorestate *rows = NULL;
	Verdict		verdict;

	idem_progress_pulse();
	slot_getallattrs(slot);
	verdict = (Verdict) DatumGetInt32(slot->tts_values[diff->desc->natts + (diff->by_hash ? 2 : 0)]);
	switch (verdict)
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
	if (diff->by_hash)
		add_hashes(diff, slot, verdict);
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

/*
 * CASE WHEN s.gone THEN CASE WHEN t.idem_import_here IS NULL THEN NULL WHEN <newer> THEN 4 ELSE 3 END
 *      WHEN t.idem_import_here IS NULL THEN 1
 *      WHEN NOT (<differs>) THEN NULL
 *      WHEN <newer> THEN 4          -- insert_only: always
 *      ELSE 2 END
 */
static char *
verdict_expression(const Target *target, const Definition *def, const char *here, const char *differs)
{
	StringInfoData buf;
	char	   *newer = idem_target_newer(target);

	initStringInfo(&buf);
	appendStringInfoString(&buf, "CASE ");
	if (def->delete_flag != NULL)
		appendStringInfo(&buf, "WHEN s.gone THEN CASE WHEN t.%s IS NULL THEN NULL WHEN %s THEN %d ELSE %d END ",
						 here, newer, VERDICT_STALE, VERDICT_GONE);
	appendStringInfo(&buf, "WHEN t.%s IS NULL THEN %d WHEN NOT (%s) THEN NULL WHEN %s THEN %d ELSE %d END",
					 here, VERDICT_FRESH, differs,
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
 *
 * With places:
 *
 *    SELECT s.c1, s.c2, s.gone, t.idem_import_place, t.idem_import_leaf, <verdict> AS verdict
 *    ...
 *    LEFT JOIN (SELECT true AS idem_import_here, t.ctid AS idem_import_place,
 *                      t.tableoid AS idem_import_leaf, t."a", t."b" FROM target t) t ON <key>
 */
static char *
rows_query(const Target *target, const Definition *def)
{
	char	   *here = idem_target_other_name(target, "idem_import_here");
	char	   *place = idem_target_other_name(target, DIFF_PLACE);
	char	   *leaf = idem_target_other_name(target, DIFF_LEAF);
	bool		places = has_places(target);

	return psprintf("SELECT * FROM (SELECT %s%s%s, %s AS verdict FROM " STAGED " s "
					"LEFT JOIN (SELECT true AS %s%s, %s FROM %s t) t ON %s) d WHERE verdict IS NOT NULL",
					idem_target_staged_columns(target), def->delete_flag != NULL ? ", s.gone" : "",
					places ? psprintf(", t.%s, t.%s", place, leaf) : "",
					verdict_expression(target, def, here, idem_target_differs(target)), here,
					places ? psprintf(", t.ctid AS %s, t.tableoid AS %s", place, leaf) : "",
					idem_target_columns(target, "t."), target->name, idem_target_unit_match(target));
}

/* t."k", t."v": the columns of the target that are not compared by hash */
static char *
narrow_columns(const Target *target)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->ncolumns; i++)
	{
		bool		needed = i == target->version;

		for (int k = 0; k < target->nkeys; k++)
			needed |= target->keys[k].column == i;
		if (target->scope_in_key)
			for (int k = 0; k < target->scope->ncolumns; k++)
				needed |= target->scope_columns[k] == i;
		if (needed)
			appendStringInfo(&buf, ", t.%s", quote_identifier(target->columns[i].name));
	}
	return buf.data;
}

/*
 * SELECT * FROM (
 *    SELECT s.c1, s.c2, s.gone, t.idem_import_place, t.idem_import_leaf,
 *           t.idem_import_was, s.idem_import_becomes, <verdict> AS verdict
 *    FROM (SELECT *, idem_import_hash(s.c1, s.c2) AS idem_import_becomes FROM idem_import_staged s) s
 *    LEFT JOIN (SELECT true AS idem_import_here, t.ctid AS idem_import_place, t.tableoid AS idem_import_leaf,
 *                      idem_import_hash(t."a", t."b") AS idem_import_was, t."a" FROM target t
 *               WHERE idem_import_bucket_differs($2, t."a")) t ON <key>) d
 * WHERE verdict IS NOT NULL
 */
static char *
hashes_query(const Target *target, const Definition *def, const char *bucket)
{
	char	   *here = idem_target_other_name(target, "idem_import_here");
	char	   *place = idem_target_other_name(target, DIFF_PLACE);
	char	   *leaf = idem_target_other_name(target, DIFF_LEAF);
	char	   *was = idem_target_other_name(target, "idem_import_was");
	char	   *differs = psprintf("t.%s OPERATOR(pg_catalog.<>) s.idem_import_becomes", was);

	return psprintf("SELECT * FROM (SELECT %s%s, t.%s, t.%s, t.%s, s.idem_import_becomes, %s AS verdict "
					"FROM (SELECT *, %s AS idem_import_becomes FROM " STAGED " s) s "
					"LEFT JOIN (SELECT true AS %s, t.ctid AS %s, t.tableoid AS %s, %s AS %s%s FROM %s t%s) t ON %s) d "
					"WHERE verdict IS NOT NULL",
					idem_target_staged_columns(target), def->delete_flag != NULL ? ", s.gone" : "",
					place, leaf, was, verdict_expression(target, def, here, differs),
					idem_target_hash(target, true), here, place, leaf, idem_target_hash(target, false), was,
					narrow_columns(target), target->name, bucket, idem_target_unit_match(target));
}

void
idem_diff_rows(const Target *target, const Definition *def, const Unit *unit,
			   TupleDesc desc, Tuplestorestate *rows, int64 nrows, Diff *diff)
{
	VerdictReceiver receiver = {{0}};
	ParamListInfo params = idem_unit_params(target->scope, unit);
	char	   *bucket = "";

	if (nrows == 0)
		return;
	if (diff->by_hash && diff->differing != NULL)
	{
		bucket = psprintf(" WHERE %s", idem_target_bucket(target, params->numParams + 1));
		params = sql_params_with(params, sql_datum(BYTEAOID, PointerGetDatum(diff->differing), false));
	}

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
	sql_stream(diff->by_hash ? hashes_query(target, def, bucket) : rows_query(target, def),
			   params, diff->now, &receiver.pub);
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
