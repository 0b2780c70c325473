/*-------------------------------------------------------------------------
 *
 * mark.c
 *	  A value of a source's cursor column: how far the source has been read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "flow/mark.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

char *
idem_mark_text(const Source *source, Datum mark)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(source->cursor_type, &output, &varlena);
	return OidOutputFunctionCall(output, mark);
}

Datum
idem_mark_parse(const Source *source, const char *text)
{
	Oid			input;
	Oid			ioparam;

	getTypeInputInfo(source->cursor_type, &input, &ioparam);
	return OidInputFunctionCall(input, unconstify(char *, text), ioparam, -1);
}

/* One value of a SELECT over $1 and $2, which is never NULL. */
static Datum
compute(const char *expression, Oid type, Datum value, const char *text)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_datum(type, value, false), sql_text(text)};
	SqlRow		row;
	bool		isnull;

	sql_begin();
	(void) sql_row(psprintf("SELECT %s AS value", expression), sql_params(2, param), false, cxt, &row);
	sql_end();
	return sql_column(&row, "value", &isnull);
}

bool
idem_mark_time(const Source *source, Datum mark, TimestampTz *time)
{
	switch (getBaseType(source->cursor_type))
	{
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			*time = DatumGetTimestampTz(compute("CAST($1 AS pg_catalog.timestamptz)",
												getBaseType(source->cursor_type), mark, NULL));
			return true;
		default:
			return false;
	}
}

/* The type of what is subtracted from such a value; InvalidOid if nothing can be. */
static Oid
overlap_type(const Source *source)
{
	switch (getBaseType(source->cursor_type))
	{
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return INTERVALOID;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return INT8OID;
		case FLOAT4OID:
		case FLOAT8OID:
			return FLOAT8OID;
		case NUMERICOID:
			return NUMERICOID;
		default:
			return InvalidOid;
	}
}

/* Below the least number of the type there is nothing to read. */
static int64
lower_integer(int64 mark, int64 overlap, int64 least)
{
	int64		result;

	return pg_sub_s64_overflow(mark, overlap, &result) || result < least ? least : result;
}

/* CAST($1 OPERATOR(pg_catalog.-) CAST($2 AS interval) AS date) */
Datum
idem_mark_lowered(const Source *source, Datum mark, const char *overlap)
{
	Oid			type = getBaseType(source->cursor_type);
	Oid			by = overlap_type(source);
	int64		number = 0;

	if (by == INT8OID)
		number = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(overlap)));
	switch (type)
	{
		case INT2OID:
			return Int16GetDatum(lower_integer(DatumGetInt16(mark), number, PG_INT16_MIN));
		case INT4OID:
			return Int32GetDatum(lower_integer(DatumGetInt32(mark), number, PG_INT32_MIN));
		case INT8OID:
			return Int64GetDatum(lower_integer(DatumGetInt64(mark), number, PG_INT64_MIN));
		default:
			return compute(psprintf("CAST($1 OPERATOR(pg_catalog.-) CAST($2 AS %s) AS %s)",
									format_type_be_qualified(by), format_type_be_qualified(type)),
						   type, mark, overlap);
	}
}

static void
overlap_context(void *arg)
{
	errcontext("argument \"overlap\"");
}

void
idem_mark_require_overlap(const Source *source, const char *overlap)
{
	Oid			type = overlap_type(source);
	ErrorContextCallback callback;

	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("overlap does not go with cursor column \"%s\" of type %s",
						source->cursor_name, format_type_be(source->cursor_type)),
				 errhint("It goes with dates, timestamps and numbers.")));

	callback.callback = overlap_context;
	callback.arg = NULL;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (!DatumGetBool(compute(psprintf("CAST($2 AS %1$s) OPERATOR(pg_catalog.>=) CAST('0' AS %1$s) AND "
									   "$2 OPERATOR(pg_catalog.!~~*) '%%nan%%' AND $1",
									   format_type_be_qualified(type)),
							  BOOLOID, BoolGetDatum(true), overlap)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("overlap must not be negative: \"%s\"", overlap)));
	error_context_stack = callback.previous;
}
