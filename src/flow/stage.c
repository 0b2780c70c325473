/*-------------------------------------------------------------------------
 *
 * stage.c
 *	  The rows of a source, sorted into units, one winner for each key.
 *
 * Order of judgement for a row: outside of all units, NULL in its key, lost to
 * another row of its key.  None of this looks at the target, and none of it
 * depends on the order in which the rows came: they are sorted by unit, then
 * by key as the target's unique index compares it, then by the declared order,
 * and rows of one key stand side by side with the winner first.
 *
 * Without keys and with one unit there is nothing to sort.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/error.h"
#include "postgres.h"

#include "base/error.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "flow/stage.h"
#include "flow/staged_row.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

#define INT8_LESS_OPERATOR	412

struct Stage
{
	Source	   *source;
	const Definition *def;
	List	   *units;			/* NIL: any */
	int			next_unit;
	TupleDesc	desc;			/* staged row, and the slice's number if there are slices */
	RowHasher  *hasher;
	MemoryContext cxt;			/* of the hasher, which may have grown */
	MemoryContext row_cxt;		/* reset for each row */
	Datum	   *scope_values;
	bool	   *scope_isnull;
	Datum	   *values;			/* a row of desc */
	bool	   *isnull;

	Tuplesortstate *sort;		/* or, with nothing to sort: */
	Tuplestorestate *store;
	Fingerprint stored;			/* of what went into the store */
	Tuplestorestate *outside_rows;
	Fingerprint outside;		/* of those */

	TupleTableSlot *head;		/* the next row of the sort, if any */
	TupleTableSlot *winner;
	bool		has_head;
};

static Stage *
stage_create(Source *source, const Definition *def, List *units)
{
	Stage	   *stage = palloc0(sizeof(Stage));
	Scope	   *scope = source->target->scope;
	int			natts = source->desc->natts;
	Oid		   *types = palloc(sizeof(Oid) * natts);

	stage->source = source;
	stage->def = def;
	stage->units = units;
	for (int i = 0; i < natts; i++)
		types[i] = TupleDescAttr(source->desc, i)->atttypid;
	stage->cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import stage", ALLOCSET_SMALL_SIZES);
	stage->row_cxt = AllocSetContextCreate(stage->cxt, "idem_import staged row", ALLOCSET_SMALL_SIZES);
	stage->hasher = idem_hasher_create(natts, types, stage->cxt);
	stage->scope_values = palloc(sizeof(Datum) * (scope->ncolumns + 1));
	stage->scope_isnull = palloc(sizeof(bool) * (scope->ncolumns + 1));
	stage->values = palloc(sizeof(Datum) * (natts + 1));
	stage->isnull = palloc(sizeof(bool) * (natts + 1));

	if (scope->slice == NULL)
		stage->desc = source->desc;
	else
	{
		stage->desc = CreateTemplateTupleDesc(natts + 1);
		for (int i = 0; i < natts; i++)
			TupleDescCopyEntry(stage->desc, i + 1, source->desc, i + 1);
		TupleDescInitEntry(stage->desc, natts + 1, "slice", INT8OID, -1, 0);
	}
	return stage;
}

TupleDesc
idem_stage_desc(Stage *stage)
{
	return stage->desc;
}

static void
get_scope_values(Stage *stage, const Datum *values, const bool *isnull)
{
	Target	   *target = stage->source->target;

	for (int i = 0; i < target->scope->ncolumns; i++)
	{
		stage->scope_values[i] = values[target->scope_columns[i]];
		stage->scope_isnull[i] = isnull[target->scope_columns[i]];
	}
}

/* Outside of all units: by the import's policy an error, a reject, or nothing. */
static bool
judge_scope(Stage *stage, Datum *values, bool *isnull)
{
	Target	   *target = stage->source->target;

	get_scope_values(stage, values, isnull);
	if (idem_units_contain(target->scope, stage->units,
						   stage->scope_values, stage->scope_isnull))
		return true;

	if (stage->def->out_of_scope == OUT_OF_SCOPE_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_IDEM_OUT_OF_SCOPE),
				 errmsg("a row of the source is outside the scope of the run"),
				 errdetail("The row has %s.",
						   idem_staged_describe(target, target->scope->ncolumns,
												stage->source->target->scope_columns, values, isnull)),
				 errhint("Read only the rows of the unit, or set out_of_scope to \"reject\" or \"ignore\".")));

	if (stage->def->out_of_scope == OUT_OF_SCOPE_REJECT)
	{
		stage->outside.rows++;
		idem_hash_add(&stage->outside.checksum, idem_hasher_row(stage->hasher, values, isnull));
	}
	return false;
}

static void
keep_outside(Stage *stage)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(GetMemoryChunkContext(stage));

	if (stage->outside_rows == NULL)
		stage->outside_rows = tuplestore_begin_heap(true, false, work_mem);
	tuplestore_putvalues(stage->outside_rows, stage->desc, stage->values, stage->isnull);
	MemoryContextSwitchTo(oldcxt);
}

/* Sink of a read that is only compared. */
static void
sum_row(void *arg, Datum *values, bool *isnull)
{
	Stage	   *stage = arg;

	if (!judge_scope(stage, values, isnull))
		return;
	stage->stored.rows++;
	idem_hash_add(&stage->stored.checksum, idem_hasher_row(stage->hasher, values, isnull));
}

/* Sink of a read that is kept. */
static void
keep_row(void *arg, Datum *values, bool *isnull)
{
	Stage	   *stage = arg;
	int			natts = stage->source->desc->natts;
	bool		inside = judge_scope(stage, values, isnull);

	memcpy(stage->values, values, sizeof(Datum) * natts);
	memcpy(stage->isnull, isnull, sizeof(bool) * natts);
	if (stage->desc->natts > natts)
	{
		stage->isnull[natts] = !inside;
		if (inside)
			stage->values[natts] = Int64GetDatum(idem_scope_slice_number(stage->source->target->scope,
																		 stage->scope_values[0]));
	}

	if (!inside)
	{
		if (stage->def->out_of_scope == OUT_OF_SCOPE_REJECT)
			keep_outside(stage);
		return;
	}

	if (stage->sort == NULL)
	{
		stage->stored.rows++;
		idem_hash_add(&stage->stored.checksum, idem_hasher_row(stage->hasher, values, isnull));
		tuplestore_putvalues(stage->store, stage->desc, stage->values, stage->isnull);
		return;
	}

	ExecClearTuple(stage->winner);
	memcpy(stage->winner->tts_values, stage->values, sizeof(Datum) * stage->desc->natts);
	memcpy(stage->winner->tts_isnull, stage->isnull, sizeof(bool) * stage->desc->natts);
	ExecStoreVirtualTuple(stage->winner);
	tuplesort_puttupleslot(stage->sort, stage->winner);
	ExecClearTuple(stage->winner);
}

/* Sort by unit, key and declared order; NULL if that is no order at all. */
static Tuplesortstate *
begin_sort(Stage *stage)
{
	Source	   *source = stage->source;
	Target	   *target = source->target;
	Scope	   *scope = target->scope;
	int			max = scope->ncolumns + 1 + target->nkeys + source->norder;
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * max);
	Oid		   *operators = palloc(sizeof(Oid) * max);
	Oid		   *collations = palloc(sizeof(Oid) * max);
	bool	   *nulls_first = palloc0(sizeof(bool) * max);
	int			n = 0;

	if (list_length(stage->units) != 1 && scope->slice != NULL)
	{
		attnums[n] = stage->desc->natts;
		operators[n] = INT8_LESS_OPERATOR;
		collations[n++] = InvalidOid;
	}
	else if (list_length(stage->units) != 1)
	{
		for (int i = 0; i < scope->ncolumns; i++)
		{
			attnums[n] = target->scope_columns[i] + 1;
			operators[n] = scope->columns[i].lt_opr;
			collations[n++] = scope->columns[i].collation;
		}
	}
	for (int i = 0; i < target->nkeys; i++)
	{
		attnums[n] = target->keys[i].column + 1;
		operators[n] = target->keys[i].lt_opr;
		collations[n++] = target->keys[i].collation;
	}
	for (int i = 0; i < source->norder; i++)
	{
		attnums[n] = source->first_order + i + 1;
		operators[n] = source->order[i].sort_opr;
		nulls_first[n] = source->order[i].nulls_first;
		collations[n++] = source->order[i].collation;
	}
	if (n == 0)
		return NULL;
	return tuplesort_begin_heap(stage->desc, n, attnums, operators, collations, nulls_first,
								work_mem, NULL, TUPLESORT_NONE);
}

Fingerprint
idem_stage_fingerprint(Source *source, const Definition *def, Unit *unit)
{
	Stage	   *stage = stage_create(source, def, list_make1(unit));
	Fingerprint sum;

	idem_source_read(source, unit, def->out_of_scope == OUT_OF_SCOPE_IGNORE, sum_row, stage);
	sum = stage->stored;
	sum.rows += stage->outside.rows;
	idem_hash_add(&sum.checksum, stage->outside.checksum);
	idem_stage_end(stage);
	return sum;
}

static void
fetch_head(Stage *stage)
{
	stage->has_head = tuplesort_gettupleslot(stage->sort, true, true, stage->head, NULL);
	if (stage->has_head)
		slot_getallattrs(stage->head);
}

Stage *
idem_stage_begin(Source *source, const Definition *def, List *units)
{
	Stage	   *stage = stage_create(source, def, units);
	Unit	   *only = list_length(units) == 1 ? linitial(units) : NULL;

	stage->winner = MakeSingleTupleTableSlot(stage->desc, &TTSOpsVirtual);
	stage->sort = begin_sort(stage);
	if (stage->sort == NULL)
		stage->store = tuplestore_begin_heap(true, false, work_mem);

	idem_source_read(source, only, def->out_of_scope == OUT_OF_SCOPE_IGNORE, keep_row, stage);
	ExecDropSingleTupleTableSlot(stage->winner);
	stage->winner = NULL;

	if (stage->sort != NULL)
	{
		tuplesort_performsort(stage->sort);
		stage->head = MakeSingleTupleTableSlot(stage->desc, &TTSOpsMinimalTuple);
		stage->winner = MakeSingleTupleTableSlot(stage->desc, &TTSOpsMinimalTuple);
		fetch_head(stage);
	}
	return stage;
}

/* Judge the head of the sort, which belongs to the unit, and leave it behind. */
static void
judge_head(Stage *stage, StagedUnit *staged)
{
	Source	   *source = stage->source;
	Target	   *target = source->target;
	TupleTableSlot *head = stage->head;
	MemoryContext oldcxt = MemoryContextSwitchTo(stage->row_cxt);

	staged->read.rows++;
	idem_hash_add(&staged->read.checksum, idem_hasher_row(stage->hasher, head->tts_values, head->tts_isnull));

	if (idem_staged_null_key(target, head->tts_isnull))
	{
		MemoryContextSwitchTo(oldcxt);
		if (staged->null_key_rows == NULL)
			staged->null_key_rows = tuplestore_begin_heap(true, false, work_mem);
		tuplestore_puttupleslot(staged->null_key_rows, head);
		staged->null_keys++;
	}
	else if (staged->winners > 0 && target->nkeys > 0 && idem_staged_same_key(target, stage->winner, head))
	{
		if (!idem_staged_same_image(source, head, stage->winner) &&
			idem_staged_same_order(source, head, stage->winner))
			idem_staged_refuse_tie(source, stage->def->name, head);
		staged->collapsed++;
	}
	else
	{
		tuplestore_puttupleslot(staged->rows, head);
		staged->winners++;
		stage->head = stage->winner;
		stage->winner = head;
	}

	MemoryContextSwitchTo(oldcxt);
	MemoryContextReset(stage->row_cxt);
	fetch_head(stage);
}

/* Rows that no unit owns belong to the only unit there is, or come last by themselves. */
static void
take_outside(Stage *stage, StagedUnit *staged)
{
	staged->outside_rows = stage->outside_rows;
	staged->outside = stage->outside.rows;
	staged->read.rows += stage->outside.rows;
	idem_hash_add(&staged->read.checksum, stage->outside.checksum);
	memset(&stage->outside, 0, sizeof(Fingerprint));
	stage->outside_rows = NULL;
}

/* The next unit to deal with, NULL if there is none. */
static Unit *
next_unit(Stage *stage)
{
	if (stage->units != NIL)
		return stage->next_unit < list_length(stage->units) ?
			list_nth(stage->units, stage->next_unit++) : NULL;
	if (!stage->has_head)
		return NULL;
	get_scope_values(stage, stage->head->tts_values, stage->head->tts_isnull);
	return idem_scope_unit_of(stage->source->target->scope, stage->scope_values, stage->scope_isnull);
}

bool
idem_stage_next(Stage *stage, StagedUnit *staged)
{
	Scope	   *scope = stage->source->target->scope;

	memset(staged, 0, sizeof(StagedUnit));
	staged->unit = next_unit(stage);
	if (staged->unit == NULL)
	{
		if (stage->outside.rows == 0)
			return false;
		take_outside(stage, staged);
		return true;
	}

	if (stage->sort == NULL)
	{
		staged->rows = stage->store;
		staged->winners = stage->stored.rows;
		staged->read = stage->stored;
		stage->store = NULL;
	}
	else
	{
		staged->rows = tuplestore_begin_heap(true, false, work_mem);
		while (stage->has_head)
		{
			CHECK_FOR_INTERRUPTS();
			if (list_length(stage->units) != 1)
			{
				get_scope_values(stage, stage->head->tts_values, stage->head->tts_isnull);
				if (!idem_unit_contains(scope, staged->unit, stage->scope_values, stage->scope_isnull))
					break;
			}
			judge_head(stage, staged);
		}
	}

	if (list_length(stage->units) == 1)
		take_outside(stage, staged);
	return true;
}

void
idem_stage_free_unit(StagedUnit *staged)
{
	if (staged->rows != NULL)
		tuplestore_end(staged->rows);
	if (staged->null_key_rows != NULL)
		tuplestore_end(staged->null_key_rows);
	if (staged->outside_rows != NULL)
		tuplestore_end(staged->outside_rows);
}

void
idem_stage_end(Stage *stage)
{
	if (stage->sort != NULL)
	{
		ExecDropSingleTupleTableSlot(stage->head);
		ExecDropSingleTupleTableSlot(stage->winner);
		tuplesort_end(stage->sort);
	}
	if (stage->store != NULL)
		tuplestore_end(stage->store);
	if (stage->outside_rows != NULL)
		tuplestore_end(stage->outside_rows);
	MemoryContextDelete(stage->cxt);
}
