/*-------------------------------------------------------------------------
 *
 * mark.c
 *	  A value of a source's cursor column: how far the source has been read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "flow/mark.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

/*
 * The import may have pinned settings that round numbers, or leave out the zone.
 * Then the text would be of another value than the mark.
 */
static int
be_exact(void)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO"}, {"IntervalStyle", "postgres"}, {"extra_float_digits", "1"}
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

char *
idem_mark_text(const Source *source, Datum mark)
{
	int			level = be_exact();
	Oid			output;
	bool		varlena;
	char	   *text;

	getTypeOutputInfo(source->cursor_type, &output, &varlena);
	text = OidOutputFunctionCall(output, mark);
	AtEOXact_GUC(true, level);
	return text;
}

Datum
idem_mark_parse(const Source *source, const char *text)
{
	int			level = be_exact();
	Oid			input;
	Oid			ioparam;
	Datum		mark;

	getTypeInputInfo(source->cursor_type, &input, &ioparam);
	mark = OidInputFunctionCall(input, unconstify(char *, text), ioparam, -1);
	AtEOXact_GUC(true, level);
	return mark;
}

char *
idem_mark_kind(const Source *source)
{
	char	   *type = idem_source_type(source->cursor_type, -1);

	return OidIsValid(source->cursor_collation) ?
		psprintf("%s COLLATE %s", type, generate_collation_name(source->cursor_collation)) : type;
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

/* There are dates beyond the last timestamp, and local times beyond the last point in time. */
static bool
has_time(Oid type, Datum mark)
{
	double		days;

	if (type == DATEOID ? DATE_NOT_FINITE(DatumGetDateADT(mark)) : TIMESTAMP_NOT_FINITE(DatumGetTimestamp(mark)))
		return true;
	days = type == DATEOID ? DatumGetDateADT(mark) : (double) DatumGetTimestamp(mark) / USECS_PER_DAY;
	return days > (double) MIN_TIMESTAMP / USECS_PER_DAY + 2 && days < (double) END_TIMESTAMP / USECS_PER_DAY - 2;
}

bool
idem_mark_time(const Source *source, Datum mark, TimestampTz *time)
{
	switch (getBaseType(source->cursor_type))
	{
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			if (!has_time(getBaseType(source->cursor_type), mark))
				return false;
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

/*
 * Might the overlap reach below the first of all times?  Months count as long
 * ones, so that it never does where this says no.
 */
static bool
reaches_below(Timestamp mark, const char *overlap)
{
	Interval   *span = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(overlap),
															 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	double		length = ((double) span->month * 31 + span->day + 2) * USECS_PER_DAY + span->time;

	return !TIMESTAMP_NOT_FINITE(mark) && mark - length < MIN_TIMESTAMP;
}

/* CAST($1 OPERATOR(pg_catalog.-) CAST($2 AS interval) AS date) */
static Datum
lower_time(Datum mark, Oid type, const char *overlap)
{
	Timestamp	time = type == DATEOID ? 0 : DatumGetTimestamp(mark);
	DateADT		date = type == DATEOID ? DatumGetDateADT(mark) : 0;

	/* there are dates beyond the last timestamp */
	if (type == DATEOID && !DATE_NOT_FINITE(date))
	{
		date = Min(date, TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE - 1);
		mark = DateADTGetDatum(date);
		time = date * USECS_PER_DAY;
	}
	if (reaches_below(time, overlap))
		return type == DATEOID ? DateADTGetDatum(DATEVAL_NOBEGIN) : TimestampGetDatum(DT_NOBEGIN);
	return compute(psprintf("CAST($1 OPERATOR(pg_catalog.-) CAST($2 AS pg_catalog.interval) AS %s)",
							idem_source_type(type, -1)),
				   type, mark, overlap);
}

/* Beyond the least number there is -Infinity. */
static double
lower_float(double mark, double least, const char *overlap)
{
	double		result = mark - DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(overlap)));

	return result < least ? -get_float8_infinity() : result;
}

Datum
idem_mark_lowered(const Source *source, Datum mark, const char *overlap)
{
	Oid			type = getBaseType(source->cursor_type);
	int64		number = 0;

	if (overlap_type(source) == INT8OID)
		number = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(overlap)));
	switch (type)
	{
		case INT2OID:
			return Int16GetDatum(lower_integer(DatumGetInt16(mark), number, PG_INT16_MIN));
		case INT4OID:
			return Int32GetDatum(lower_integer(DatumGetInt32(mark), number, PG_INT32_MIN));
		case INT8OID:
			return Int64GetDatum(lower_integer(DatumGetInt64(mark), number, PG_INT64_MIN));
		case FLOAT4OID:
			return Float4GetDatum((float) lower_float(DatumGetFloat4(mark), -FLT_MAX, overlap));
		case FLOAT8OID:
			return Float8GetDatum(lower_float(DatumGetFloat8(mark), -DBL_MAX, overlap));
		case NUMERICOID:
			return compute("$1 OPERATOR(pg_catalog.-) CAST($2 AS pg_catalog.numeric)", type, mark, overlap);
		default:
			return lower_time(mark, type, overlap);
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
									   "$2 OPERATOR(pg_catalog.!~*) 'nan|inf' AND $1",
									   idem_source_type(type, -1)),
							  BOOLOID, BoolGetDatum(true), overlap)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("overlap must be finite, and not negative: \"%s\"", overlap)));
	error_context_stack = callback.previous;
}
