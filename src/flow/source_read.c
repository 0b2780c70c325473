/*-------------------------------------------------------------------------
 *
 * source_read.c
 *	  Read a source, row by row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "base/error.h"
#include "base/progress.h"
#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "flow/clock.h"
#include "flow/source.h"
#include "utils/builtins.h"
#include "utils/guc.h"

/* Receives the rows as read, and hands them on as staged. */
typedef struct StagingReceiver
{
	DestReceiver pub;
	Source	   *source;
	ExprState **exprs;			/* NULL: taken as it is */
	EState	   *estate;
	Datum	   *values;
	bool	   *isnull;
	int64		row;
	int			column;			/* being cast, or -1 */
	SourceSink	sink;
	void	   *arg;
} StagingReceiver;

static void
row_context(void *arg)
{
	StagingReceiver *receiver = arg;

	if (receiver->column < 0)
		errcontext("row " INT64_FORMAT " of the source", receiver->row);
	else
		errcontext("row " INT64_FORMAT " of the source, column \"%s\"", receiver->row,
				   NameStr(TupleDescAttr(receiver->source->raw, receiver->column)->attname));
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

static bool
staging_receive(TupleTableSlot *slot, DestReceiver *self)
{
	StagingReceiver *receiver = (StagingReceiver *) self;
	ExprContext *econtext = GetPerTupleExprContext(receiver->estate);
	int			natts = receiver->source->desc->natts;
	ErrorContextCallback callback;
	MemoryContext oldcxt;
	bool		go_on;

	receiver->row++;
	idem_progress_row();
	receiver->column = -1;
	callback.callback = row_context;
	callback.arg = receiver;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	slot_getallattrs(slot);
	ResetExprContext(econtext);
	econtext->ecxt_scantuple = slot;
	oldcxt = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < natts; i++)
	{
		if (receiver->exprs[i] != NULL)
		{
			receiver->column = i;
			if (receiver->source->dates[i] && !slot->tts_isnull[i])
				refuse_clock_word(slot->tts_values[i]);
			receiver->values[i] = ExecEvalExpr(receiver->exprs[i], econtext, &receiver->isnull[i]);
		}
		else
		{
			receiver->values[i] = slot->tts_values[i];
			receiver->isnull[i] = slot->tts_isnull[i];
		}
	}
	receiver->column = -1;
	go_on = receiver->sink(receiver->arg, receiver->values, receiver->isnull);
	MemoryContextSwitchTo(oldcxt);

	error_context_stack = callback.previous;
	return go_on;
}

static void
staging_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
staging_nothing(DestReceiver *self)
{
}

/* Is every column of the key read as it is? */
static bool
keys_as_they_are(const Source *source)
{
	for (int i = 0; i < source->target->nkeys; i++)
	{
		if (!idem_source_column_as_it_is(source, source->target->keys[i].column))
			return false;
	}
	return source->target->nkeys + 1 <= FUNC_MAX_ARGS;
}

/* <scope> AND (idem_import_bucket_differs($3, s."k") OR s."seq" IS NULL); NULL: all rows are wanted */
static char *
where_clause(const Source *source, bool within, bool differing, int bitmap)
{
	char	   *where = within ? source->within : NULL;
	StringInfoData keys;
	House		house;

	if (!differing)
		return where;

	sql_house_find(&house);
	initStringInfo(&keys);
	for (int i = 0; i < source->target->nkeys; i++)
		appendStringInfo(&keys, ", s.%s",
						 quote_identifier(source->target->columns[source->target->keys[i].column].name));
	return psprintf("%s%s(%sidem_import_bucket_differs($%d%s)%s)", where != NULL ? where : "",
					where != NULL ? " AND " : "", house.schema, bitmap, keys.data,
					source->mark < 0 ? "" : psprintf(" OR s.%s IS NULL", quote_identifier(source->cursor_name)));
}

void
idem_source_read(Source *source, const Unit *unit, bool within, const bytea *differing,
				 SourceSink sink, void *arg)
{
	int			natts = source->desc->natts;
	StagingReceiver receiver = {{0}};
	ParamListInfo params = idem_source_params(source, unit);
	bool		filtered = differing != NULL && keys_as_they_are(source);
	char	   *query = idem_source_query(source, NULL,
										  where_clause(source, within && unit != NULL, filtered,
													   params->numParams + 1));
	MemoryContext oldcxt;
	int			guc_level;

	receiver.pub.receiveSlot = staging_receive;
	receiver.pub.rStartup = staging_startup;
	receiver.pub.rShutdown = staging_nothing;
	receiver.pub.rDestroy = staging_nothing;
	receiver.pub.mydest = DestTuplestore;	/* to SPI, DestNone is no SELECT */
	receiver.source = source;
	receiver.sink = sink;
	receiver.arg = arg;
	receiver.values = palloc(sizeof(Datum) * natts);
	receiver.isnull = palloc(sizeof(bool) * natts);
	receiver.exprs = palloc0(sizeof(ExprState *) * natts);
	receiver.estate = CreateExecutorState();

	oldcxt = MemoryContextSwitchTo(receiver.estate->es_query_cxt);
	for (int i = 0; i < natts; i++)
	{
		if (source->coercions[i] != NULL)
			receiver.exprs[i] = ExecInitExpr((Expr *) source->coercions[i], NULL);
	}
	MemoryContextSwitchTo(oldcxt);

	guc_level = NewGUCNestLevel();
	if (source->serial)
		(void) set_config_option("max_parallel_workers_per_gather", "0", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	sql_begin();
	if (filtered)
		params = sql_params_with(params, sql_datum(BYTEAOID, PointerGetDatum(differing), false));
	sql_stream(query, params, false, &receiver.pub);
	sql_end();
	AtEOXact_GUC(false, guc_level);
	FreeExecutorState(receiver.estate);
}
