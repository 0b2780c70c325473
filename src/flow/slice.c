/*-------------------------------------------------------------------------
 *
 * slice.c
 *	  Slices: the line of an ordered type, cut into pieces of one width.
 *
 * Slices are numbered, and everything follows from one function from numbers
 * to bounds that never decreases: slice k is [bound(k), bound(k + 1)).  So
 * slices tile without gap or overlap, and each value has exactly one, whatever
 * calendars and clocks do in between.
 *
 * Slice 0 of dates and times starts on 2001-01-01 00:00.  That was a Monday in
 * the first year of a century: weeks start on Mondays, and quarters, years and
 * decades where people expect them.  Slice 0 of numbers starts at 0.
 *
 * Months and days are those of the calendar.  For timestamptz that is the
 * calendar of the session's time zone when the slice was opened (the import
 * pins it), and a bound is the instant that the zone gives for local midnight,
 * just as timestamptz_in would, so that '2018-11-04' is always a bound of days.
 * A midnight that the clocks skip or repeat is still one instant.  A day that a
 * zone skipped altogether is an empty slice.  Hours and less are elapsed time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "flow/range.h"
#include "flow/slice.h"

/* 2001-01-01, also in days since PostgreSQL's epoch, 2000-01-01 */
#define ORIGIN_YEAR		2001
#define ORIGIN_DAY		366

typedef enum SliceKind
{
	SLICE_MONTHS,				/* of the calendar */
	SLICE_DAYS,
	SLICE_TIME,					/* elapsed, in microseconds */
	SLICE_INTEGER,
	SLICE_NUMERIC
} SliceKind;

struct Slice
{
	SliceKind	kind;
	Oid			type;
	int64		width;			/* in units of kind */
	Datum		numeric_width;	/* SLICE_NUMERIC has this instead */
	pg_tz	   *zone;			/* timestamptz: whose midnights */
	Timestamp	origin;			/* SLICE_TIME: start of slice 0 */
	MemoryContext scratch;		/* SLICE_NUMERIC: arithmetic allocates */

	/*
	 * Finding the slice of an instant asks the zone for two midnights, and the
	 * next row is mostly in the same slice.
	 */
	bool		found_valid;
	int64		found;
	TimestampTz found_lower;
	TimestampTz found_upper;
};

static void parse_interval_width(Slice *slice, const char *width);
static void parse_number_width(Slice *slice, const char *width);
static int64 number_of_day(Slice *slice, int64 day);
static int64 number_of_instant(Slice *slice, TimestampTz instant);
static int64 number_of_numeric(Slice *slice, Datum value);
static int64 first_day(Slice *slice, int64 number);
static Timestamp midnight(Slice *slice, int64 day);

/* Division that rounds towards minus infinity; b is positive. */
static inline int64
floor_div(int64 a, int64 b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

static int64
checked_add(Slice *slice, int64 a, int64 b)
{
	int64		result;

	if (pg_add_s64_overflow(a, b, &result))
		idem_raise_out_of_range(slice->type);
	return result;
}

static int64
checked_mul(Slice *slice, int64 a, int64 b)
{
	int64		result;

	if (pg_mul_s64_overflow(a, b, &result))
		idem_raise_out_of_range(slice->type);
	return result;
}


/*
 * Opening
 */

Slice *
idem_slice_open(Oid type, const char *width)
{
	Slice	   *slice = palloc0(sizeof(Slice));

	slice->type = type;

	switch (type)
	{
		case TIMESTAMPTZOID:
			slice->zone = session_timezone;
			/* FALLTHROUGH */
		case DATEOID:
		case TIMESTAMPOID:
			parse_interval_width(slice, width);
			if (slice->kind == SLICE_TIME)
				slice->origin = midnight(slice, ORIGIN_DAY);
			break;

		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
			parse_number_width(slice, width);
			break;

		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("type %s cannot be cut into slices", format_type_be(type)),
					 errhint("A sliced scope column is of type date, timestamp, timestamptz, smallint, integer, bigint or numeric.")));
	}

	return slice;
}

static void
parse_interval_width(Slice *slice, const char *width)
{
	Interval   *span;

	span = DatumGetIntervalP(DirectFunctionCall3(interval_in,
												 CStringGetDatum(pstrdup(width)),
												 ObjectIdGetDatum(InvalidOid),
												 Int32GetDatum(-1)));

	if ((span->month != 0) + (span->day != 0) + (span->time != 0) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("slice width \"%s\" mixes months, days and time", width),
				 errhint("Use whole months, whole days, or time alone, such as '1 month', '7 days' or '6 hours'.")));

	if (span->month > 0)
	{
		slice->kind = SLICE_MONTHS;
		slice->width = span->month;
	}
	else if (span->day > 0)
	{
		slice->kind = SLICE_DAYS;
		slice->width = span->day;
	}
	else if (span->time > 0)
	{
		slice->kind = SLICE_TIME;
		slice->width = span->time;
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("slice width \"%s\" is not positive", width)));

	if (slice->kind == SLICE_TIME && slice->type == DATEOID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("slice width \"%s\" does not suit type %s", width, format_type_be(slice->type)),
				 errhint("Use whole months or whole days, such as '1 month' or '7 days'.")));
}

static void
parse_number_width(Slice *slice, const char *width)
{
	char	   *input = pstrdup(width);
	bool		positive;

	if (slice->type == NUMERICOID)
	{
		Datum		zero = NumericGetDatum(int64_to_numeric(0));

		slice->kind = SLICE_NUMERIC;
		slice->numeric_width = DirectFunctionCall3(numeric_in, CStringGetDatum(input),
												   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		slice->scratch = AllocSetContextCreate(CurrentMemoryContext, "idem_import slice",
											   ALLOCSET_SMALL_SIZES);
		positive = idem_value_is_finite(NUMERICOID, slice->numeric_width) &&
			DatumGetBool(DirectFunctionCall2(numeric_gt, slice->numeric_width, zero));
	}
	else
	{
		slice->kind = SLICE_INTEGER;
		slice->width = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(input)));
		positive = slice->width > 0;
	}

	if (!positive)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("slice width \"%s\" is not a positive number", width)));

	/* a slice that reaches beyond the type could never be named */
	if (slice->kind == SLICE_INTEGER)
		(void) idem_discrete_value(slice->type, slice->width);
}


/*
 * From values to numbers
 */

int64
idem_slice_number(Slice *slice, Datum value)
{
	Timestamp	timestamp;

	switch (slice->type)
	{
		case DATEOID:
			if (DATE_NOT_FINITE(DatumGetDateADT(value)))
				break;
			return number_of_day(slice, DatumGetDateADT(value));

		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			timestamp = DatumGetTimestamp(value);
			if (TIMESTAMP_NOT_FINITE(timestamp))
				break;
			if (slice->kind == SLICE_TIME)
				return floor_div(timestamp - slice->origin, slice->width);
			if (slice->type == TIMESTAMPTZOID)
				return number_of_instant(slice, timestamp);
			return number_of_day(slice, floor_div(timestamp, USECS_PER_DAY));

		case NUMERICOID:
			return number_of_numeric(slice, value);

		default:
			return floor_div(idem_discrete_number(slice->type, value), slice->width);
	}

	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("no slice holds an infinite %s", format_type_be(slice->type))));
	return 0;					/* keep compiler quiet */
}

/*
 * The calendar slice of a day, counted from PostgreSQL's epoch.
 */
static int64
number_of_day(Slice *slice, int64 day)
{
	int			year,
				month,
				mday;

	if (slice->kind == SLICE_DAYS)
		return floor_div(day - ORIGIN_DAY, slice->width);

	j2date((int) (day + POSTGRES_EPOCH_JDATE), &year, &month, &mday);
	return floor_div((int64) (year - ORIGIN_YEAR) * MONTHS_PER_YEAR + month - 1, slice->width);
}

/*
 * The calendar slice of an instant.  Its day in UTC is a guess that is at most
 * a day off; the bounds decide.
 */
static int64
number_of_instant(Slice *slice, TimestampTz instant)
{
	int64		number;
	TimestampTz lower,
				upper;

	if (slice->found_valid && slice->found_lower <= instant && instant < slice->found_upper)
		return slice->found;

	number = number_of_day(slice, floor_div(instant, USECS_PER_DAY));
	lower = midnight(slice, first_day(slice, number));
	while (instant < lower)
		lower = midnight(slice, first_day(slice, --number));

	upper = midnight(slice, first_day(slice, number + 1));
	while (instant >= upper)
	{
		lower = upper;
		upper = midnight(slice, first_day(slice, ++number + 1));
	}

	slice->found = number;
	slice->found_lower = lower;
	slice->found_upper = upper;
	slice->found_valid = true;
	return number;
}

/*
 * floor(value / width), exactly: the truncated quotient is exact, while
 * numeric_div() rounds and could round up to the next slice.
 */
static int64
number_of_numeric(Slice *slice, Datum value)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(slice->scratch);
	Datum		quotient;
	Datum		product;
	int64		number;

	if (!idem_value_is_finite(NUMERICOID, value))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("no slice holds NaN or an infinite %s", format_type_be(slice->type))));

	quotient = DirectFunctionCall2(numeric_div_trunc, value, slice->numeric_width);
	product = DirectFunctionCall2(numeric_mul, quotient, slice->numeric_width);
	if (DatumGetBool(DirectFunctionCall2(numeric_lt, value, product)))
		quotient = DirectFunctionCall2(numeric_sub, quotient,
									   NumericGetDatum(int64_to_numeric(1)));
	number = DatumGetInt64(DirectFunctionCall1(numeric_int8, quotient));

	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(slice->scratch);
	return number;
}


/*
 * From numbers to values
 */

Datum
idem_slice_bound(Slice *slice, int64 number)
{
	Datum		product;

	switch (slice->kind)
	{
		case SLICE_MONTHS:
		case SLICE_DAYS:
			if (slice->type == DATEOID)
				return idem_discrete_value(DATEOID, first_day(slice, number));
			return TimestampGetDatum(midnight(slice, first_day(slice, number)));

		case SLICE_TIME:
			{
				Timestamp	bound;

				bound = checked_mul(slice, number, slice->width);
				bound = checked_add(slice, bound, slice->origin);
				if (!IS_VALID_TIMESTAMP(bound))
					idem_raise_out_of_range(slice->type);
				return TimestampGetDatum(bound);
			}

		case SLICE_INTEGER:
			return idem_discrete_value(slice->type, checked_mul(slice, number, slice->width));

		case SLICE_NUMERIC:
			break;
	}

	product = DirectFunctionCall2(numeric_mul, NumericGetDatum(int64_to_numeric(number)),
								  slice->numeric_width);
	return DirectFunctionCall1(numeric_trim_scale, product);
}

void
idem_slice_bounds(Slice *slice, int64 number, Datum *lower, Datum *upper)
{
	*lower = idem_slice_bound(slice, number);
	*upper = idem_slice_bound(slice, checked_add(slice, number, 1));
}

/*
 * The first day of a calendar slice, counted from PostgreSQL's epoch.
 */
static int64
first_day(Slice *slice, int64 number)
{
	int64		steps = checked_mul(slice, number, slice->width);
	int64		year;
	int			month;

	if (slice->kind == SLICE_DAYS)
		return checked_add(slice, steps, ORIGIN_DAY);

	year = floor_div(steps, MONTHS_PER_YEAR) + ORIGIN_YEAR;
	month = (int) (steps - floor_div(steps, MONTHS_PER_YEAR) * MONTHS_PER_YEAR) + 1;
	if (!IS_VALID_JULIAN(year, month, 1))
		idem_raise_out_of_range(slice->type);
	return (int64) date2j((int) year, month, 1) - POSTGRES_EPOCH_JDATE;
}

/*
 * The start of a day: as a timestamp, or for timestamptz as the instant that
 * the zone gives for it.
 */
static Timestamp
midnight(Slice *slice, int64 day)
{
	Timestamp	result = checked_mul(slice, day, USECS_PER_DAY);

	if (!IS_VALID_TIMESTAMP(result))
		idem_raise_out_of_range(slice->type);

	if (slice->zone)
	{
		struct pg_tm tm = {0};

		j2date((int) (day + POSTGRES_EPOCH_JDATE), &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
		result += DetermineTimeZoneOffset(&tm, slice->zone) * USECS_PER_SEC;
		if (!IS_VALID_TIMESTAMP(result))
			idem_raise_out_of_range(slice->type);
	}

	return result;
}
