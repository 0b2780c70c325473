/*-------------------------------------------------------------------------
 *
 * range.c
 *	  The ordered types that scopes are cut from, and literals of their ranges.
 *
 * Ranges are written as range types write them.  We do not ask the range types
 * themselves: tsrange would lose the spelling of its bounds, and there is none
 * for smallint.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "flow/range.h"

static const char *parse_range_bound(const char *ptr, const char *text, const char *which,
									 char **bound);

void
idem_raise_out_of_range(Oid type)
{
	bool		datetime = (type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID);

	ereport(ERROR,
			(errcode(datetime ? ERRCODE_DATETIME_VALUE_OUT_OF_RANGE :
					 ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("unit bound is out of range for type %s", format_type_be(type))));
}

bool
idem_value_is_finite(Oid type, Datum value)
{
	switch (type)
	{
		case DATEOID:
			return !DATE_NOT_FINITE(DatumGetDateADT(value));
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return !TIMESTAMP_NOT_FINITE(DatumGetTimestamp(value));
		case NUMERICOID:
			return !numeric_is_nan(DatumGetNumeric(value)) &&
				!numeric_is_inf(DatumGetNumeric(value));
		default:
			return true;
	}
}

bool
idem_type_is_discrete(Oid type)
{
	return type == DATEOID || type == INT2OID || type == INT4OID || type == INT8OID;
}

int64
idem_discrete_number(Oid type, Datum value)
{
	switch (type)
	{
		case DATEOID:
			return DatumGetDateADT(value);
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		default:
			Assert(type == INT8OID);
			return DatumGetInt64(value);
	}
}

Datum
idem_discrete_value(Oid type, int64 number)
{
	switch (type)
	{
		case DATEOID:
			if (!IS_VALID_DATE(number))
				idem_raise_out_of_range(type);
			return DateADTGetDatum((DateADT) number);
		case INT2OID:
			if (number < PG_INT16_MIN || number > PG_INT16_MAX)
				idem_raise_out_of_range(type);
			return Int16GetDatum((int16) number);
		case INT4OID:
			if (number < PG_INT32_MIN || number > PG_INT32_MAX)
				idem_raise_out_of_range(type);
			return Int32GetDatum((int32) number);
		default:
			Assert(type == INT8OID);
			return Int64GetDatum(number);
	}
}

bool
idem_type_has_ranges(Oid type)
{
	return idem_type_is_discrete(type) ||
		type == TIMESTAMPOID || type == TIMESTAMPTZOID || type == NUMERICOID;
}

static void
raise_malformed(const char *text, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("malformed scope range: \"%s\"", text),
			 errdetail("%s", detail)));
}

bool
idem_range_parse(const char *text, RangeText *range)
{
	const char *ptr = text;

	while (scanner_isspace(*ptr))
		ptr++;
	if (*ptr != '[' && *ptr != '(')
		return false;
	range->lower_inclusive = (*ptr++ == '[');

	ptr = parse_range_bound(ptr, text, "lower", &range->lower);
	if (*ptr != ',')
		raise_malformed(text, "Missing comma after lower bound.");
	ptr = parse_range_bound(ptr + 1, text, "upper", &range->upper);
	if (*ptr == ',')
		raise_malformed(text, "Too many commas; a bound that contains one needs double quotes.");
	range->upper_inclusive = (*ptr++ == ']');

	while (scanner_isspace(*ptr))
		ptr++;
	if (*ptr != '\0')
		raise_malformed(text, "Junk after right parenthesis or bracket.");

	return true;
}

/*
 * Read one bound, up to the comma, bracket or parenthesis that ends it.
 */
static const char *
parse_range_bound(const char *ptr, const char *text, const char *which, char **bound)
{
	StringInfoData buf;
	bool		quoted = false;
	bool		blank = true;

	initStringInfo(&buf);
	for (;; ptr++)
	{
		if (!quoted && (*ptr == ',' || *ptr == ')' || *ptr == ']'))
			break;

		if (*ptr == '"' && quoted && ptr[1] == '"')
			ptr++;				/* doubled: itself */
		else if (*ptr == '"')
		{
			quoted = !quoted;
			blank = false;
			continue;
		}
		else if (*ptr == '\\')
			ptr++;

		if (*ptr == '\0')
			raise_malformed(text, "Unexpected end of input.");
		if (!scanner_isspace(*ptr))
			blank = false;
		appendStringInfoChar(&buf, *ptr);
	}

	if (blank)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope range \"%s\" has no %s bound", text, which),
				 errhint("A scope has both bounds, such as '[2026-06-01,2026-07-01)'.")));

	*bound = buf.data;
	return ptr;
}

char *
idem_range_text(const char *lower, const char *upper)
{
	/* values of these types have nothing that would need more than quotes */
	const char *lquote = strchr(lower, ' ') ? "\"" : "";
	const char *uquote = strchr(upper, ' ') ? "\"" : "";

	return psprintf("[%s%s%s,%s%s%s)", lquote, lower, lquote, uquote, upper, uquote);
}
