/*-------------------------------------------------------------------------
 *
 * bad_rows.c
 *	  Rows that could not be taken, each with the reason.
 *
 * They wait here in their own types; aside.c makes rejects of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "flow/bad_rows.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* What follows the columns of the row. */
#define REASON_NATTS	5

BadRows *
idem_bad_rows_create(TupleDesc columns, int ncolumns, int64 most)
{
	BadRows    *bad = palloc0(sizeof(BadRows));
	AttrNumber	n = ncolumns;

	bad->desc = CreateTemplateTupleDesc(ncolumns + REASON_NATTS);
	for (AttrNumber i = 1; i <= ncolumns; i++)
	{
		TupleDescCopyEntry(bad->desc, i, columns, i);
		namestrcpy(&TupleDescAttr(bad->desc, i - 1)->attname, psprintf("c%d", i));
	}
	TupleDescInitEntry(bad->desc, ++n, "position", INT8OID, -1, 0);
	TupleDescInitEntry(bad->desc, ++n, "sqlstate", TEXTOID, -1, 0);
	TupleDescInitEntry(bad->desc, ++n, "message", TEXTOID, -1, 0);
	TupleDescInitEntry(bad->desc, ++n, "column_name", TEXTOID, -1, 0);
	TupleDescInitEntry(bad->desc, ++n, "constraint_name", TEXTOID, -1, 0);
	bad->rows = tuplestore_begin_heap(true, false, work_mem);
	bad->most = most;
	return bad;
}

void
idem_bad_rows_free(BadRows *bad)
{
	tuplestore_end(bad->rows);
	FreeTupleDesc(bad->desc);
	pfree(bad);
}

void
idem_bad_rows_clear(BadRows *bad)
{
	tuplestore_clear(bad->rows);
	bad->nrows = 0;
	bad->not_unique = NULL;
}

void
idem_bad_rows_add(BadRows *bad, const Datum *values, const bool *isnull, int64 position,
				  const ErrorData *error, const char *column)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import bad row", ALLOCSET_SMALL_SIZES);
	MemoryContext oldcxt = MemoryContextSwitchTo(cxt);
	int			natts = bad->desc->natts;
	int			n = natts - REASON_NATTS;
	Datum	   *all = palloc(sizeof(Datum) * natts);
	bool	   *nulls = palloc0(sizeof(bool) * natts);
	const char *texts[] = {
		unpack_sql_state(error->sqlerrcode),
		error->message != NULL ? error->message : "",
		error->column_name != NULL ? error->column_name : column,
		error->constraint_name
	};

	memcpy(all, values, sizeof(Datum) * n);
	memcpy(nulls, isnull, sizeof(bool) * n);
	nulls[n] = position == 0;
	all[n++] = Int64GetDatum(position);
	for (int i = 0; i < lengthof(texts); i++)
	{
		nulls[n] = texts[i] == NULL;
		all[n++] = texts[i] != NULL ? CStringGetTextDatum(texts[i]) : (Datum) 0;
	}
	Assert(n == natts);
	MemoryContextSwitchTo(oldcxt);
	tuplestore_putvalues(bad->rows, bad->desc, all, nulls);
	bad->nrows++;
	if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && bad->not_unique == NULL)
		bad->not_unique = MemoryContextStrdup(GetMemoryChunkContext(bad), texts[1]);
	MemoryContextDelete(cxt);
}
