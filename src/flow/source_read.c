/*-------------------------------------------------------------------------
 *
 * source_read.c
 *	  Read a source, row by row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/progress.h"
#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "flow/cast.h"
#include "flow/source.h"
#include "utils/builtins.h"
#include "utils/guc.h"

/* Receives the rows as read, and hands them on as staged. */
typedef struct StagingReceiver
{
	DestReceiver pub;
	Caster	   *caster;			/* NULL: rows are staged ones already */
	int64		row;
	SourceSink	sink;
	void	   *arg;
	MemoryContext row_cxt;		/* reset for each row */
} StagingReceiver;

static void
row_context(void *arg)
{
	errcontext("row " INT64_FORMAT " of the source", ((StagingReceiver *) arg)->row);
}

static bool
staging_receive(TupleTableSlot *slot, DestReceiver *self)
{
	StagingReceiver *receiver = (StagingReceiver *) self;
	ErrorContextCallback callback;
	MemoryContext oldcxt;
	bool		go_on;

	idem_progress_row();
	if (receiver->caster != NULL)
		return idem_caster_row(receiver->caster, slot);

	receiver->row++;
	callback.callback = row_context;
	callback.arg = receiver;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	slot_getallattrs(slot);
	MemoryContextReset(receiver->row_cxt);
	oldcxt = MemoryContextSwitchTo(receiver->row_cxt);
	go_on = receiver->sink(receiver->arg, slot->tts_values, slot->tts_isnull);
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
				 SourceSink sink, BadRowSink bad_sink, void *arg)
{
	StagingReceiver receiver = {{0}};
	ParamListInfo params = idem_source_params(source, unit);
	bool		filtered = differing != NULL && keys_as_they_are(source) && !source->has_uncast;
	char	   *query = idem_source_query(source, NULL,
										  where_clause(source, within && unit != NULL, filtered,
													   params->numParams + 1));
	int			guc_level;

	receiver.pub.receiveSlot = staging_receive;
	receiver.pub.rStartup = staging_startup;
	receiver.pub.rShutdown = staging_nothing;
	receiver.pub.rDestroy = staging_nothing;
	receiver.pub.mydest = DestTuplestore;	/* to SPI, DestNone is no SELECT */
	receiver.sink = sink;
	receiver.arg = arg;
	receiver.row_cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import row", ALLOCSET_SMALL_SIZES);
	if (!idem_source_as_it_is(source))
		receiver.caster = idem_caster_create(source, sink, bad_sink, arg);

	guc_level = NewGUCNestLevel();
	if (source->serial)
		(void) set_config_option("max_parallel_workers_per_gather", "0", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	sql_begin();
	if (filtered)
		params = sql_params_with(params, sql_datum(BYTEAOID, PointerGetDatum(differing), false));
	sql_stream(query, params, false, &receiver.pub);
	sql_end();
	if (receiver.caster != NULL)
		idem_caster_end(receiver.caster);
	AtEOXact_GUC(false, guc_level);
	MemoryContextDelete(receiver.row_cxt);
}
