/*-------------------------------------------------------------------------
 *
 * cast.c
 *	  From rows as read to staged rows, where that may fail.
 *
 * A cast that fails leaves nothing behind only if a subtransaction is rolled
 * back, and one for each row would cost more than the cast.  So rows are
 * collected, and cast many at a time in one subtransaction.  When a value
 * fails, those before it are cast for good: they lie in memory of ours.  The
 * next subtransaction goes on behind it.  So a bad value costs one
 * subtransaction, wherever it stands, and a good one next to nothing.
 *
 * PostgreSQL has no subtransactions while a query runs in parallel; there the
 * rows wait until it is done.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "base/attempt.h"
#include "base/error.h"
#include "executor/executor.h"
#include "flow/cast.h"
#include "flow/clock.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Rows that are cast together, at most, and bytes of them: few enough for a processor's caches */
#define MAX_ROWS		200
#define MAX_BYTES		(64 * 1024)

typedef struct CastRow
{
	Datum	   *raw;
	bool	   *raw_isnull;
	Datum	   *values;
	bool	   *isnull;
	bool	   *failed;			/* NULL: none */
	int			column;			/* the first that failed */
	ErrorData  *error;
} CastRow;

struct Caster
{
	Source	   *source;
	SourceSink	sink;
	BadRowSink	bad_sink;
	void	   *arg;
	bool		go_on;
	EState	   *estate;
	ExprState **exprs;			/* NULL: taken as it is */
	TupleTableSlot *tuple;		/* a row as read, to be taken apart, */
	TupleTableSlot *slot;		/* and to be cast */
	Tuplestorestate *waiting;	/* rows of a parallel query; NULL: none */
	MemoryContext batch_cxt;
	CastRow		rows[MAX_ROWS];
	int			nrows;
	Size		nbytes;
	int64		before;			/* rows before these */
	int			row;			/* being cast, */
	int			column;			/* and its column */
};

static void
row_context(void *arg)
{
	Caster	   *caster = arg;

	errcontext("row " INT64_FORMAT " of the source, column \"%s\"", caster->before + caster->row + 1,
			   NameStr(TupleDescAttr(caster->source->raw, caster->column)->attname));
}

/* What stands in a file as "today" is another day tomorrow. */
static void
refuse_clock_word(Datum value)
{
	struct varlena *text = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	const char *start = VARDATA_ANY(text);
	int			len = VARSIZE_ANY_EXHDR(text);
	int			letter = 0;

	/* most dates are digits */
	while (letter < len && !isalpha((unsigned char) start[letter]))
		letter++;
	if (letter == len || !idem_clock_word(pnstrdup(start, len)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_IDEM_NOT_DETERMINISTIC),
			 errmsg("source is not deterministic: \"%s\" is read as the present date or time", pnstrdup(start, len)),
			 errhint("Write the date itself.")));
}

static void
init_exprs(Caster *caster)
{
	Source	   *source = caster->source;
	MemoryContext oldcxt = MemoryContextSwitchTo(GetMemoryChunkContext(caster));

	caster->estate = CreateExecutorState();
	MemoryContextSwitchTo(caster->estate->es_query_cxt);
	for (int i = 0; i < source->desc->natts; i++)
	{
		if (source->coercions[i] != NULL)
			caster->exprs[i] = ExecInitExpr((Expr *) source->coercions[i], NULL);
	}
	MemoryContextSwitchTo(oldcxt);
}

/* What an expression remembers between its calls may have gone with the subtransaction. */
static void
reset_exprs(Caster *caster)
{
	FreeExprContext(GetPerTupleExprContext(caster->estate), false);
	caster->estate->es_per_tuple_exprcontext = NULL;
	FreeExecutorState(caster->estate);
	init_exprs(caster);
}

Caster *
idem_caster_create(Source *source, SourceSink sink, BadRowSink bad_sink, void *arg)
{
	Caster	   *caster = palloc0(sizeof(Caster));
	int			natts = source->desc->natts;
	Datum	   *datums = palloc(sizeof(Datum) * natts * 2 * MAX_ROWS);
	bool	   *nulls = palloc(sizeof(bool) * natts * 2 * MAX_ROWS);

	caster->source = source;
	caster->sink = sink;
	caster->bad_sink = bad_sink;
	caster->arg = arg;
	caster->go_on = true;
	caster->exprs = palloc0(sizeof(ExprState *) * natts);
	for (int i = 0; i < MAX_ROWS; i++)
	{
		caster->rows[i].raw = datums + 2 * natts * i;
		caster->rows[i].values = caster->rows[i].raw + natts;
		caster->rows[i].raw_isnull = nulls + 2 * natts * i;
		caster->rows[i].isnull = caster->rows[i].raw_isnull + natts;
	}
	caster->tuple = MakeSingleTupleTableSlot(source->raw, &TTSOpsMinimalTuple);
	caster->slot = MakeSingleTupleTableSlot(source->raw, &TTSOpsVirtual);
	caster->batch_cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import casts", ALLOCSET_DEFAULT_SIZES);
	init_exprs(caster);
	return caster;
}

static void
cast_value(Caster *caster, CastRow *row, ExprContext *econtext)
{
	int			i = caster->column;

	if (caster->exprs[i] == NULL)
	{
		row->values[i] = row->raw[i];
		row->isnull[i] = row->raw_isnull[i];
		return;
	}
	if (caster->source->dates[i] && !row->raw_isnull[i])
		refuse_clock_word(row->raw[i]);
	row->values[i] = ExecEvalExpr(caster->exprs[i], econtext, &row->isnull[i]);
}

/* From where it was left, to the end of the rows or the first value that fails. */
static void
cast_on(void *arg)
{
	Caster	   *caster = arg;
	ExprContext *econtext = GetPerTupleExprContext(caster->estate);
	int			natts = caster->source->desc->natts;
	TupleTableSlot *slot = caster->slot;
	ErrorContextCallback callback;

	callback.callback = row_context;
	callback.arg = caster;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	econtext->ecxt_scantuple = slot;
	for (; caster->row < caster->nrows; caster->row++)
	{
		CastRow    *row = &caster->rows[caster->row];

		CHECK_FOR_INTERRUPTS();
		ExecClearTuple(slot);
		memcpy(slot->tts_values, row->raw, sizeof(Datum) * natts);
		memcpy(slot->tts_isnull, row->raw_isnull, sizeof(bool) * natts);
		ExecStoreVirtualTuple(slot);
		for (; caster->column < natts; caster->column++)
			cast_value(caster, row, econtext);
		caster->column = 0;
	}
	ExecClearTuple(slot);
	error_context_stack = callback.previous;
}

/* The value is bad; the row's other columns are cast all the same, to know where it belongs. */
static void
note_failure(Caster *caster, ErrorData *error)
{
	CastRow    *row = &caster->rows[caster->row];
	int			natts = caster->source->desc->natts;

	if (row->failed == NULL)
	{
		row->failed = palloc0(sizeof(bool) * natts);
		row->column = caster->column;
		row->error = error;
	}
	row->failed[caster->column] = true;
	row->values[caster->column] = (Datum) 0;
	row->isnull[caster->column] = true;
	if (++caster->column == natts)
	{
		caster->row++;
		caster->column = 0;
	}
}

/* Cast the rows that were collected, and hand them on. */
static void
flush(Caster *caster)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(caster->batch_cxt);

	caster->row = caster->column = 0;
	while (caster->row < caster->nrows)
	{
		ErrorData  *error = idem_attempt(cast_on, caster);

		if (error == NULL)
			break;
		note_failure(caster, error);
		reset_exprs(caster);
	}

	for (int i = 0; i < caster->nrows && caster->go_on; i++)
	{
		CastRow    *row = &caster->rows[i];
		UncastRow	bad;

		if (row->failed == NULL)
		{
			caster->go_on = caster->sink(caster->arg, row->values, row->isnull);
			continue;
		}
		bad.raw = row->raw;
		bad.raw_isnull = row->raw_isnull;
		bad.values = row->values;
		bad.isnull = row->isnull;
		bad.failed = row->failed;
		bad.position = caster->before + i + 1;
		bad.column = NameStr(TupleDescAttr(caster->source->raw, row->column)->attname);
		bad.error = row->error;
		caster->go_on = caster->bad_sink(caster->arg, &bad);
	}
	MemoryContextSwitchTo(oldcxt);
	MemoryContextReset(caster->batch_cxt);
	ResetExprContext(GetPerTupleExprContext(caster->estate));
	caster->before += caster->nrows;
	caster->nrows = 0;
	caster->nbytes = 0;
}

/* Takes a copy of the row. */
static void
collect(Caster *caster, MinimalTuple tuple)
{
	CastRow    *row = &caster->rows[caster->nrows++];
	int			natts = caster->source->desc->natts;

	row->failed = NULL;

	ExecStoreMinimalTuple(tuple, caster->tuple, false);
	slot_getallattrs(caster->tuple);
	memcpy(row->raw, caster->tuple->tts_values, sizeof(Datum) * natts);
	memcpy(row->raw_isnull, caster->tuple->tts_isnull, sizeof(bool) * natts);
	ExecClearTuple(caster->tuple);
	caster->nbytes += tuple->t_len;
}

static bool
take(Caster *caster, TupleTableSlot *slot)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(caster->batch_cxt);

	collect(caster, ExecCopySlotMinimalTuple(slot));
	MemoryContextSwitchTo(oldcxt);
	if (caster->nrows == MAX_ROWS || caster->nbytes >= MAX_BYTES)
		flush(caster);
	return caster->go_on;
}

bool
idem_caster_row(Caster *caster, TupleTableSlot *slot)
{
	if (!IsInParallelMode())
		return take(caster, slot);

	if (caster->waiting == NULL)
	{
		MemoryContext oldcxt = MemoryContextSwitchTo(GetMemoryChunkContext(caster));

		caster->waiting = tuplestore_begin_heap(false, false, work_mem);
		MemoryContextSwitchTo(oldcxt);
	}
	tuplestore_puttupleslot(caster->waiting, slot);
	return true;
}

void
idem_caster_end(Caster *caster)
{
	TupleTableSlot *slot;

	if (caster->waiting != NULL)
	{
		slot = MakeSingleTupleTableSlot(caster->source->raw, &TTSOpsMinimalTuple);
		while (caster->go_on && tuplestore_gettupleslot(caster->waiting, true, false, slot))
			(void) take(caster, slot);
		ExecDropSingleTupleTableSlot(slot);
		tuplestore_end(caster->waiting);
	}
	if (caster->go_on && caster->nrows > 0)
		flush(caster);
	FreeExecutorState(caster->estate);
	ExecDropSingleTupleTableSlot(caster->tuple);
	ExecDropSingleTupleTableSlot(caster->slot);
	MemoryContextDelete(caster->batch_cxt);
	pfree(caster->rows[0].raw);
	pfree(caster->rows[0].raw_isnull);
	pfree(caster->exprs);
	pfree(caster);
}
