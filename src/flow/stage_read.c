/*-------------------------------------------------------------------------
 *
 * stage_read.c
 *	  Rows on their way from the source into a stage.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/error.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "flow/stage_state.h"
#include "flow/staged_row.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define INT8_LESS_OPERATOR	412

/* Several units, and rows of one key may belong to different ones. */
static bool
keys_cross_units(const Stage *stage)
{
	const Target *target = stage->source->target;

	return list_length(stage->units) != 1 && target->nkeys > 0 && target->scope->ncolumns > 0 &&
		!target->scope_in_key;
}

static void
make_desc(Stage *stage)
{
	TupleDesc	from = stage->source->desc;
	int			natts = from->natts;

	stage->slice_place = stage->source->target->scope->slice != NULL ? natts++ : -1;
	stage->lost_place = keys_cross_units(stage) ? natts++ : -1;
	stage->desc = CreateTemplateTupleDesc(natts);
	for (int i = 0; i < from->natts; i++)
		TupleDescCopyEntry(stage->desc, i + 1, from, i + 1);
	if (stage->slice_place >= 0)
		TupleDescInitEntry(stage->desc, stage->slice_place + 1, "slice", INT8OID, -1, 0);
	if (stage->lost_place >= 0)
		TupleDescInitEntry(stage->desc, stage->lost_place + 1, "lost", BOOLOID, -1, 0);
}

Stage *
idem_stage_create(Source *source, const Definition *def, List *units)
{
	Stage	   *stage = palloc0(sizeof(Stage));
	Scope	   *scope = source->target->scope;
	int			natts = source->desc->natts;
	Oid		   *types = palloc(sizeof(Oid) * natts);

	stage->source = source;
	stage->def = def;
	stage->units = units;
	stage->expected = units;
	for (int i = 0; i < natts; i++)
		types[i] = TupleDescAttr(source->desc, i)->atttypid;
	stage->cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import stage", ALLOCSET_SMALL_SIZES);
	stage->row_cxt = AllocSetContextCreate(stage->cxt, "idem_import staged row", ALLOCSET_SMALL_SIZES);
	stage->hasher = idem_hasher_create(natts, types, stage->cxt);
	stage->scope_values = palloc(sizeof(Datum) * (scope->ncolumns + 1));
	stage->scope_isnull = palloc(sizeof(bool) * (scope->ncolumns + 1));
	stage->values = palloc(sizeof(Datum) * (natts + 2));
	stage->isnull = palloc(sizeof(bool) * (natts + 2));
	make_desc(stage);
	return stage;
}

void
idem_stage_scope_values(Stage *stage, const Datum *values, const bool *isnull)
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
judge_scope(Stage *stage, const Datum *values, const bool *isnull)
{
	Target	   *target = stage->source->target;

	idem_stage_scope_values(stage, values, isnull);
	if (idem_units_contain(target->scope, stage->expected,
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
keep_aside(Stage *stage, Tuplestorestate **rows)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(GetMemoryChunkContext(stage));

	if (*rows == NULL)
		*rows = tuplestore_begin_heap(true, false, work_mem);
	tuplestore_putvalues(*rows, stage->desc, stage->values, stage->isnull);
	MemoryContextSwitchTo(oldcxt);
}

/* Fill the stage's row, which may have a column more than the source's. */
static void
set_row(Stage *stage, const Datum *values, const bool *isnull, bool inside)
{
	int			natts = stage->source->desc->natts;

	memcpy(stage->values, values, sizeof(Datum) * natts);
	memcpy(stage->isnull, isnull, sizeof(bool) * natts);
	if (stage->slice_place >= 0)
	{
		stage->isnull[stage->slice_place] = !inside;
		if (inside)
			stage->values[stage->slice_place] =
				Int64GetDatum(idem_scope_slice_number(stage->source->target->scope, stage->scope_values[0]));
	}
	if (stage->lost_place >= 0)
	{
		stage->isnull[stage->lost_place] = false;
		stage->values[stage->lost_place] = BoolGetDatum(false);
	}
}

/* Sink of a read that is only compared. */
bool
idem_stage_digest_row(void *arg, Datum *values, bool *isnull)
{
	Stage	   *stage = arg;

	if (judge_scope(stage, values, isnull))
		idem_digest_row(stage->digester, stage->digest, values, isnull);
	return true;
}

void
idem_stage_filter(Stage *stage, const bytea *differing)
{
	Target	   *target = stage->source->target;
	Oid		   *types = palloc(sizeof(Oid) * target->nkeys);
	DigestShape shape;

	for (int i = 0; i < target->nkeys; i++)
		types[i] = target->columns[target->keys[i].column].type;
	stage->key_hasher = idem_hasher_create(target->nkeys, types, stage->cxt);
	stage->differing = differing;
	idem_digest_source_shape(stage->source, &shape);
	stage->digester = idem_digester_create(&shape, stage->cxt);
	stage->digest = idem_digest_create(0);
}

/*
 * The source may have left such rows out already, if it can tell.  A NULL in
 * key or cursor may have to be rejected, whether or not the target has it too.
 */
static bool
is_wanted(Stage *stage, const Datum *values, const bool *isnull)
{
	Target	   *target = stage->source->target;
	bool		has_null = stage->source->mark >= 0 && isnull[stage->source->mark];

	if (stage->differing == NULL)
		return true;
	for (int i = 0; i < target->nkeys; i++)
	{
		stage->values[i] = values[target->keys[i].column];
		stage->isnull[i] = isnull[target->keys[i].column];
		has_null |= stage->isnull[i];
	}
	if (!idem_digest_is_set(stage->differing, stage->key_hasher, stage->values, stage->isnull))
		return has_null;
	idem_digest_row(stage->digester, stage->digest, values, isnull);
	return true;
}

void
idem_stage_sort_row(Stage *stage, Tuplesortstate *sort, const Datum *values, const bool *isnull)
{
	TupleTableSlot *slot = stage->passing;

	memcpy(slot->tts_values, values, sizeof(Datum) * stage->desc->natts);
	memcpy(slot->tts_isnull, isnull, sizeof(bool) * stage->desc->natts);
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(sort, slot);
	ExecClearTuple(slot);
}

/* Sink of a read that is kept. */
bool
idem_stage_keep_row(void *arg, Datum *values, bool *isnull)
{
	Stage	   *stage = arg;
	bool		inside = judge_scope(stage, values, isnull);

	if (inside && !is_wanted(stage, values, isnull))
		return true;

	set_row(stage, values, isnull, inside);
	if (!inside)
	{
		if (stage->def->out_of_scope == OUT_OF_SCOPE_REJECT)
			keep_aside(stage, &stage->outside_rows);
		return true;
	}

	if (stage->sort == NULL)
	{
		stage->stored.rows++;
		idem_hash_add(&stage->stored.checksum, idem_hasher_row(stage->hasher, values, isnull));
		tuplestore_putvalues(stage->store, stage->desc, stage->values, stage->isnull);
		return true;
	}

	idem_stage_sort_row(stage, stage->sort, stage->values, stage->isnull);
	return true;
}

/* Sink of a read that is passed on. */
bool
idem_stage_pass_row(void *arg, Datum *values, bool *isnull)
{
	Stage	   *stage = arg;
	bool		inside = judge_scope(stage, values, isnull);

	if (inside && !idem_staged_null_key(stage->source, isnull))
	{
		idem_digest_row(stage->digester, stage->digest, values, isnull);
		stage->pass_taken = stage->pass(stage->pass_arg, values, isnull);
		return stage->pass_taken;
	}

	set_row(stage, values, isnull, inside);
	if (inside)
	{
		stage->null_keys.rows++;
		idem_hash_add(&stage->null_keys.checksum, idem_hasher_row(stage->hasher, values, isnull));
		keep_aside(stage, &stage->null_key_rows);
	}
	else if (stage->def->out_of_scope == OUT_OF_SCOPE_REJECT)
		keep_aside(stage, &stage->outside_rows);
	return true;
}

static bool
any_failed(const UncastRow *row, int n, const int *places)
{
	for (int i = 0; i < n; i++)
	{
		if (row->failed[places[i]])
			return true;
	}
	return false;
}

static bool
key_failed(const Target *target, const UncastRow *row)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		if (row->failed[target->keys[i].column])
			return true;
	}
	return false;
}

static Hash128
hash_raw(Stage *stage, const UncastRow *row)
{
	TupleDesc	raw = stage->source->raw;

	if (stage->raw_hasher == NULL)
	{
		Oid		   *types = palloc(sizeof(Oid) * raw->natts);

		for (int i = 0; i < raw->natts; i++)
			types[i] = TupleDescAttr(raw, i)->atttypid;
		stage->raw_hasher = idem_hasher_create(raw->natts, types, stage->cxt);
	}
	return idem_hasher_row(stage->raw_hasher, row->raw, row->raw_isnull);
}

/*
 * A row that can't be cast belongs to the unit unless what can be cast says
 * otherwise.  Of its key is known, if all of that could be cast, that it is
 * asked for.
 */
bool
idem_stage_uncast_row(void *arg, const UncastRow *row)
{
	Stage	   *stage = arg;
	Source	   *source = stage->source;
	Target	   *target = source->target;
	MemoryContext oldcxt;
	int64		most = idem_rejects_kept(stage->def);

	if (!any_failed(row, target->scope->ncolumns, target->scope_columns))
	{
		idem_stage_scope_values(stage, row->values, row->isnull);
		if (!idem_units_contain(target->scope, stage->expected, stage->scope_values, stage->scope_isnull) &&
			stage->def->out_of_scope != OUT_OF_SCOPE_REJECT)
		{
			(void) judge_scope(stage, row->values, row->isnull);
			return true;
		}
	}

	stage->uncast.rows++;
	idem_hash_add(&stage->uncast.checksum, hash_raw(stage, row));
	if (!stage->counts)
	{
		oldcxt = MemoryContextSwitchTo(GetMemoryChunkContext(stage));
		if (stage->uncast_rows == NULL)
			stage->uncast_rows = idem_bad_rows_create(source->raw, source->first_order, most);
		MemoryContextSwitchTo(oldcxt);
		idem_bad_rows_add(stage->uncast_rows, row->raw, row->raw_isnull, row->position, row->error, row->column);
		if (target->nkeys > 0 && !key_failed(target, row))
		{
			set_row(stage, row->values, row->isnull, false);
			keep_aside(stage, &stage->uncast_keys);
		}
	}
	stage->stopped = most >= 0 && stage->uncast.rows > most;
	return !stage->stopped;
}

/* Sort by unit, or key and declared order, or both; NULL if that is no order at all. */
Tuplesortstate *
idem_stage_begin_sort(Stage *stage, bool by_unit, bool by_key)
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

	if (by_unit && scope->slice != NULL)
	{
		attnums[n] = stage->slice_place + 1;
		operators[n] = INT8_LESS_OPERATOR;
		collations[n++] = InvalidOid;
	}
	else if (by_unit)
	{
		for (int i = 0; i < scope->ncolumns; i++)
		{
			attnums[n] = target->scope_columns[i] + 1;
			operators[n] = scope->columns[i].lt_opr;
			collations[n++] = scope->columns[i].collation;
		}
	}
	for (int i = 0; by_key && i < target->nkeys; i++)
	{
		attnums[n] = target->keys[i].column + 1;
		operators[n] = target->keys[i].lt_opr;
		collations[n++] = target->keys[i].collation;
	}
	for (int i = 0; by_key && i < source->norder; i++)
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
