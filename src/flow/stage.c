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
 * Where the scope is not in the key, rows of one key may belong to several
 * units.  Then they are sorted by key first, to mark the losers, and by unit
 * after that.
 *
 * Without keys and with one unit there is nothing to sort.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/progress.h"
#include "executor/executor.h"
#include "flow/stage_state.h"
#include "flow/staged_row.h"
#include "miscadmin.h"
#include "utils/memutils.h"

TupleDesc
idem_stage_desc(Stage *stage)
{
	return stage->desc;
}

Tuplestorestate *
idem_stage_uncast_keys(Stage *stage)
{
	return stage->uncast_keys;
}

Tuplestorestate *
idem_stage_winners(Stage *stage)
{
	return stage->winners;
}

int64
idem_rejects_kept(const Definition *def)
{
	return def->reject_limit == NO_LIMIT ? -1 : Max(def->reject_limit, MIN_REJECTS_KEPT);
}

Digest *
idem_stage_digest(Source *source, const Definition *def, Unit *unit, int bits, SetAside *aside)
{
	bool		ignore = def->out_of_scope == OUT_OF_SCOPE_IGNORE;
	Digest	   *digest = idem_digest_source(source, unit, ignore, bits);
	DigestShape shape;
	Stage	   *stage;

	memset(aside, 0, sizeof(SetAside));
	if (source->lines != NULL)
		aside->all = source->lines->sum;
	if (digest != NULL)
		return digest;

	stage = idem_stage_create(source, def, list_make1(unit));
	idem_digest_source_shape(source, &shape);
	stage->digester = idem_digester_create(&shape, stage->cxt);
	stage->digest = digest = idem_digest_create(bits);
	stage->counts = true;
	idem_source_read(source, unit, ignore, NULL, idem_stage_digest_row, idem_stage_uncast_row, stage);
	aside->outside = stage->outside.rows;
	aside->all.rows += stage->outside.rows + stage->uncast.rows;
	idem_hash_add(&aside->all.checksum, stage->outside.checksum);
	idem_hash_add(&aside->all.checksum, stage->uncast.checksum);
	aside->stopped = stage->stopped;
	source->has_uncast = stage->uncast.rows > 0;
	idem_stage_end(stage);
	return digest;
}

uint64
idem_stage_differing_sum(Stage *stage)
{
	return stage->digest->image.low;
}

static void
fetch_head(Stage *stage)
{
	stage->has_head = tuplesort_gettupleslot(stage->sort, true, true, stage->head, NULL);
	if (stage->has_head)
		slot_getallattrs(stage->head);
}

/* The head lost to the winner before it; II003 if nothing says which of them it is. */
static bool
head_lost(Stage *stage)
{
	Source	   *source = stage->source;

	if (!idem_staged_same_key(source->target, stage->winner, stage->head))
		return false;
	if (!idem_staged_same_image(source, stage->head, stage->winner) &&
		idem_staged_same_order(source, stage->head, stage->winner))
		idem_staged_refuse_tie(source, stage->def->name, stage->head);
	return true;
}

/* The head is a winner: keep it to compare those after it with. */
static void
crown_head(Stage *stage)
{
	TupleTableSlot *head = stage->head;

	stage->head = stage->winner;
	stage->winner = head;
}

/* From the order of keys to that of units, each row knowing whether it has lost. */
static void
mark_losers(Stage *stage)
{
	Tuplesortstate *by_unit = idem_stage_begin_sort(stage, true, false);
	bool		have_winner = false;

	stage->winners = tuplestore_begin_heap(true, false, work_mem);

	while (stage->has_head)
	{
		int			natts = stage->desc->natts;
		MemoryContext oldcxt = MemoryContextSwitchTo(stage->row_cxt);
		bool		null_key = idem_staged_null_key(stage->source, stage->head->tts_isnull);
		bool		lost = !null_key && have_winner && head_lost(stage);

		CHECK_FOR_INTERRUPTS();
		memcpy(stage->values, stage->head->tts_values, sizeof(Datum) * natts);
		memcpy(stage->isnull, stage->head->tts_isnull, sizeof(bool) * natts);
		stage->values[stage->lost_place] = BoolGetDatum(lost);
		idem_stage_sort_row(stage, by_unit, stage->values, stage->isnull);
		if (!lost && !null_key)
		{
			tuplestore_puttupleslot(stage->winners, stage->head);
			crown_head(stage);
			have_winner = true;
		}
		MemoryContextSwitchTo(oldcxt);
		MemoryContextReset(stage->row_cxt);
		fetch_head(stage);
	}

	ExecClearTuple(stage->head);
	ExecClearTuple(stage->winner);
	tuplesort_end(stage->sort);
	stage->sort = by_unit;
	tuplesort_performsort(by_unit);
	fetch_head(stage);
}

/* Once, or for each unit where the source has parameters. */
static void
read_source(Stage *stage)
{
	Source	   *source = stage->source;
	bool		within = stage->def->out_of_scope == OUT_OF_SCOPE_IGNORE;
	ListCell   *lc;

	if (list_length(stage->units) == 1 || !source->by_unit)
	{
		Unit	   *only = list_length(stage->units) == 1 ? linitial(stage->units) : NULL;

		idem_source_read(source, only, within, stage->differing,
						 idem_stage_keep_row, idem_stage_uncast_row, stage);
		return;
	}
	foreach(lc, stage->units)
	{
		stage->expected = list_make1(lfirst(lc));
		idem_source_read(source, lfirst(lc), within, NULL,
						 idem_stage_keep_row, idem_stage_uncast_row, stage);
	}
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

	staged->uncast_rows = stage->uncast_rows;
	staged->uncast = stage->uncast.rows;
	staged->stopped = stage->stopped;
	staged->read.rows += stage->uncast.rows;
	idem_hash_add(&staged->read.checksum, stage->uncast.checksum);
	memset(&stage->uncast, 0, sizeof(Fingerprint));
	stage->uncast_rows = NULL;

	if (!stage->lines_taken && stage->source->lines != NULL)
	{
		staged->lines = stage->source->lines;
		staged->read.rows += staged->lines->sum.rows;
		idem_hash_add(&staged->read.checksum, staged->lines->sum.checksum);
	}
	stage->lines_taken = true;
}

/* Are there rows that no unit owns? */
static bool
has_outside(const Stage *stage)
{
	return stage->outside.rows > 0 || stage->uncast.rows > 0 ||
		(!stage->lines_taken && stage->source->lines != NULL && stage->source->lines->sum.rows > 0);
}

Stage *
idem_stage_open(Source *source, const Definition *def, Unit *unit)
{
	Stage	   *stage = idem_stage_create(source, def, list_make1(unit));
	DigestShape shape;

	idem_digest_source_shape(source, &shape);
	stage->digester = idem_digester_create(&shape, stage->cxt);
	return stage;
}

bool
idem_stage_pass(Stage *stage, SourceSink sink, void *arg, StagedUnit *staged, Hash128 *image)
{
	Unit	   *unit = linitial(stage->units);

	stage->digest = idem_digest_create(0);
	stage->pass = sink;
	stage->pass_arg = arg;
	stage->pass_taken = true;
	idem_source_read(stage->source, unit, stage->def->out_of_scope == OUT_OF_SCOPE_IGNORE, NULL,
					 idem_stage_pass_row, idem_stage_uncast_row, stage);

	memset(staged, 0, sizeof(StagedUnit));
	staged->unit = unit;
	staged->winners = stage->digest->rows;
	staged->null_keys = stage->null_keys.rows;
	staged->null_key_rows = stage->null_key_rows;
	staged->inside = stage->null_keys;
	staged->inside.rows += stage->digest->rows;
	idem_hash_add(&staged->inside.checksum, stage->digest->sum);
	staged->read = staged->inside;
	take_outside(stage, staged);
	*image = stage->digest->image;
	return stage->pass_taken;
}

Stage *
idem_stage_begin(Source *source, const Definition *def, List *units, const bytea *differing)
{
	Stage	   *stage = idem_stage_create(source, def, units);
	Unit	   *only = list_length(units) == 1 ? linitial(units) : NULL;

	if (differing != NULL)
		idem_stage_filter(stage, differing);
	stage->passing = MakeSingleTupleTableSlot(stage->desc, &TTSOpsVirtual);
	stage->head = MakeSingleTupleTableSlot(stage->desc, &TTSOpsMinimalTuple);
	stage->winner = MakeSingleTupleTableSlot(stage->desc, &TTSOpsMinimalTuple);
	stage->sort = idem_stage_begin_sort(stage, only == NULL && stage->lost_place < 0, true);
	if (stage->sort == NULL)
		stage->store = tuplestore_begin_heap(true, false, work_mem);

	read_source(stage);

	if (stage->sort != NULL)
	{
		stage->nread = idem_progress_done();
		idem_progress_phase(PROGRESS_STAGING, 0, stage->nread);
		tuplesort_performsort(stage->sort);
		fetch_head(stage);
		if (stage->lost_place >= 0)
			mark_losers(stage);
	}
	return stage;
}

void
idem_stage_only_outside(Stage *stage)
{
	stage->units = NIL;
	stage->has_head = false;
}

/* Judge the head of the sort, which belongs to the unit, and leave it behind. */
static void
judge_head(Stage *stage, StagedUnit *staged)
{
	Target	   *target = stage->source->target;
	TupleTableSlot *head = stage->head;
	MemoryContext oldcxt = MemoryContextSwitchTo(stage->row_cxt);
	Hash128		hash = idem_hasher_row(stage->hasher, head->tts_values, head->tts_isnull);
	bool		lost = stage->lost_place >= 0 && DatumGetBool(head->tts_values[stage->lost_place]);

	/* who lost to a row of another unit is the unit's affair as well: it counts twice in the sum */
	stage->njudged++;
	idem_progress_row();
	staged->read.rows++;
	idem_hash_add(&staged->read.checksum, hash);
	if (lost)
		idem_hash_add(&staged->read.checksum, hash);

	if (idem_staged_null_key(stage->source, head->tts_isnull))
	{
		MemoryContextSwitchTo(oldcxt);
		if (staged->null_key_rows == NULL)
			staged->null_key_rows = tuplestore_begin_heap(true, false, work_mem);
		tuplestore_puttupleslot(staged->null_key_rows, head);
		staged->null_keys++;
	}
	else if (stage->lost_place >= 0 ? lost :
			 staged->winners > 0 && target->nkeys > 0 && head_lost(stage))
		staged->collapsed++;
	else
	{
		tuplestore_puttupleslot(staged->rows, head);
		staged->winners++;
		for (int i = 0; i < target->nkeys; i++)
			staged->nulls_in_key |= head->tts_isnull[target->keys[i].column];
		crown_head(stage);
	}

	MemoryContextSwitchTo(oldcxt);
	MemoryContextReset(stage->row_cxt);
	fetch_head(stage);
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
	idem_stage_scope_values(stage, stage->head->tts_values, stage->head->tts_isnull);
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
		if (!has_outside(stage))
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
		if (stage->njudged > 0)
			idem_progress_phase(PROGRESS_STAGING, stage->njudged, stage->nread);
		while (stage->has_head)
		{
			CHECK_FOR_INTERRUPTS();
			if (list_length(stage->units) != 1)
			{
				idem_stage_scope_values(stage, stage->head->tts_values, stage->head->tts_isnull);
				if (!idem_unit_contains(scope, staged->unit, stage->scope_values, stage->scope_isnull))
					break;
			}
			judge_head(stage, staged);
		}
	}

	staged->inside = staged->read;
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
	if (staged->uncast_rows != NULL)
		idem_bad_rows_free(staged->uncast_rows);
}

void
idem_stage_end(Stage *stage)
{
	if (stage->head != NULL)
	{
		ExecDropSingleTupleTableSlot(stage->passing);
		ExecDropSingleTupleTableSlot(stage->head);
		ExecDropSingleTupleTableSlot(stage->winner);
	}
	if (stage->sort != NULL)
		tuplesort_end(stage->sort);
	if (stage->store != NULL)
		tuplestore_end(stage->store);
	if (stage->winners != NULL)
		tuplestore_end(stage->winners);
	if (stage->outside_rows != NULL)
		tuplestore_end(stage->outside_rows);
	if (stage->uncast_rows != NULL)
		idem_bad_rows_free(stage->uncast_rows);
	if (stage->uncast_keys != NULL)
		tuplestore_end(stage->uncast_keys);
	MemoryContextDelete(stage->cxt);
}
