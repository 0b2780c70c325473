/*-------------------------------------------------------------------------
 *
 * line_reject.c
 *	  Lines of a file that are no rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "flow/line_reject.h"
#include "ledger/reject.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"

LineRejects *
idem_line_rejects_create(void)
{
	LineRejects *lines = palloc0(sizeof(LineRejects));

	lines->rows = tuplestore_begin_heap(true, false, work_mem);
	return lines;
}

void
idem_line_rejects_free(LineRejects *lines)
{
	tuplestore_end(lines->rows);
	pfree(lines);
}

/* A line is a JSON string. */
static Datum
line_as_jsonb(const char *line)
{
	StringInfoData buf;

	initStringInfo(&buf);
	escape_json(&buf, line);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}

/* Equal lines of a file count each. */
static void
add_to_sum(LineRejects *lines, Datum line)
{
	Oid			type = TEXTOID;
	bool		isnull = false;
	RowHasher  *hasher = idem_hasher_create(1, &type, CurrentMemoryContext);

	lines->sum.rows++;
	idem_hash_add(&lines->sum.checksum, idem_hasher_row(hasher, &line, &isnull));
}

void
idem_line_reject(LineRejects *lines, const char *line, int64 position,
				 int sqlstate, const char *message, const char *column)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import line", ALLOCSET_SMALL_SIZES);
	MemoryContext oldcxt = MemoryContextSwitchTo(cxt);
	Datum		values[REJECT_NATTS] = {0};
	bool		isnull[REJECT_NATTS] = {0};
	TupleDesc	desc = idem_reject_desc();

	values[0] = line_as_jsonb(line);
	isnull[1] = true;
	values[2] = CStringGetTextDatum(unpack_sql_state(sqlstate));
	values[3] = CStringGetTextDatum(message);
	isnull[4] = column == NULL;
	values[4] = column != NULL ? CStringGetTextDatum(column) : (Datum) 0;
	isnull[5] = true;
	isnull[6] = position == 0;
	values[6] = Int64GetDatum(position);
	values[7] = CStringGetTextDatum(REJECT_LINE);
	add_to_sum(lines, CStringGetTextDatum(line));
	MemoryContextSwitchTo(oldcxt);
	tuplestore_putvalues(lines->rows, desc, values, isnull);
	MemoryContextDelete(cxt);
}
