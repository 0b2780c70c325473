/*-------------------------------------------------------------------------
 *
 * scope_text.c
 *	  The units that a caller's scope text means.
 *
 * For one scope column the text is a value, or a range that stands for every
 * unit inside it; for several it is a JSON object.  A range has to consist of
 * whole units: which rows a unit owns is a matter of the import, and no run
 * owns half of one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "flow/range.h"
#include "flow/scope.h"
#include "flow/slice.h"

/* More units than this in one call are a mistake rather than a wish. */
#define MAX_UNITS		100000

static List *units_in_range(Scope *scope, const char *text, const RangeText *range);
static List *units_in_values(Scope *scope, const char *text, int64 first, int64 last);
static List *units_in_slices(Scope *scope, const char *text, Datum lower, Datum upper,
							 bool half_open);
static Unit *unit_in_json(Scope *scope, const char *text);

List *
idem_scope_units(Scope *scope, const char *text)
{
	ScopeColumn *column = scope->columns;
	RangeText	range;
	Datum		value;

	if (scope->ncolumns == 0)
	{
		if (text && strcmp(text, IDEM_WHOLE_TABLE) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("import has no scope columns"),
					 errdetail("Its only unit is the whole table, \"%s\".", IDEM_WHOLE_TABLE)));
		return list_make1(idem_unit_of_values(scope, NULL));
	}

	if (text == NULL)
		return NIL;

	if (scope->ncolumns > 1)
		return list_make1(unit_in_json(scope, text));

	if (strcmp(text, IDEM_WHOLE_TABLE) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is no unit of an import with scope columns", IDEM_WHOLE_TABLE),
				 errdetail("It is the name of a whole table, and of rows that belong to no unit."),
				 errhint("Leave out the scope for all units in the source.")));

	if (idem_type_has_ranges(column->basetype) && idem_range_parse(text, &range))
		return units_in_range(scope, text, &range);

	value = idem_scope_column_value(column, text);
	if (scope->slice == NULL)
		return list_make1(idem_unit_of_values(scope, &value));

	if (!idem_value_is_finite(column->basetype, value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no slice holds \"%s\"", text)));
	return list_make1(idem_unit_of_slice(scope, idem_slice_number(scope->slice, value)));
}

/* a unit's name; [first,last] of values; of slices [lower bound of the first,upper bound of the last) */
char *
idem_units_name(Scope *scope, List *units)
{
	const Unit *first = linitial(units);
	const Unit *last = llast(units);
	char	   *lower;
	char	   *upper;
	char	   *none;

	if (list_length(units) == 1)
		return first->name;
	if (scope->slice == NULL)
		return psprintf("[%s,%s]", first->name, last->name);
	idem_unit_bounds(scope, first, &lower, &none);
	idem_unit_bounds(scope, last, &none, &upper);
	return idem_range_text(lower, upper);
}

/*
 * Each unit inside a range.
 */
static List *
units_in_range(Scope *scope, const char *text, const RangeText *range)
{
	ScopeColumn *column = scope->columns;
	Datum		lower = idem_scope_column_bound(column, range->lower);
	Datum		upper = idem_scope_column_bound(column, range->upper);
	bool		half_open = range->lower_inclusive && !range->upper_inclusive;
	bool		empty;
	int			order = idem_scope_column_compare(column, lower, upper);

	if (order > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope range \"%s\" has its bounds reversed", text)));

	empty = (order == 0 && !(range->lower_inclusive && range->upper_inclusive));

	if (!empty && idem_type_is_discrete(column->basetype))
	{
		/* bounds are unequal or both inside, so neither step can overflow */
		int64		first = idem_discrete_number(column->basetype, lower);
		int64		last = idem_discrete_number(column->basetype, upper);

		if (!range->lower_inclusive)
			first++;
		if (!range->upper_inclusive)
			last--;

		if (first <= last && scope->slice == NULL)
			return units_in_values(scope, text, first, last);

		/* the same as [lower,upper) */
		empty = first > last;
		if (!empty && !half_open)
		{
			lower = idem_discrete_value(column->basetype, first);
			if (range->upper_inclusive)
			{
				if (pg_add_s64_overflow(last, 1, &last))
					ereport(ERROR,
							(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							 errmsg("scope range \"%s\" ends outside the slices of type %s",
									text, format_type_be(column->basetype))));
				upper = idem_discrete_value(column->basetype, last);
			}
			half_open = true;
		}
	}

	if (empty)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope range \"%s\" is empty", text)));

	if (scope->slice == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a range of type %s does not name units", format_type_be(column->type)),
				 errdetail("Without a slice, a unit is a single value of scope column \"%s\".", column->name),
				 errhint("Declare a slice for the import, such as '1 day' or '1000'.")));

	return units_in_slices(scope, text, lower, upper, half_open);
}

static void
check_unit_count(Scope *scope, const char *text, int64 first, int64 last)
{
	int64		distance;

	if (pg_sub_s64_overflow(last, first, &distance) || distance >= MAX_UNITS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("scope range \"%s\" holds more than %d units", text, MAX_UNITS),
				 scope->slice ?
				 errhint("Use a smaller range, or a wider slice for the import.") :
				 errhint("Use a smaller range, or declare a slice for the import.")));
}

static List *
units_in_values(Scope *scope, const char *text, int64 first, int64 last)
{
	List	   *units = NIL;

	check_unit_count(scope, text, first, last);
	for (int64 i = 0; i <= last - first; i++)
	{
		Datum		value = idem_discrete_value(scope->columns->basetype, first + i);

		CHECK_FOR_INTERRUPTS();
		units = lappend(units, idem_unit_of_values(scope, &value));
	}
	return units;
}

static List *
units_in_slices(Scope *scope, const char *text, Datum lower, Datum upper,
				bool half_open)
{
	ScopeColumn *column = scope->columns;
	List	   *units = NIL;
	int64		first = idem_slice_number(scope->slice, lower);
	int64		end = idem_slice_number(scope->slice, upper);	/* not inside */
	Datum		outer_lower = idem_slice_bound(scope->slice, first);
	Datum		outer_upper = idem_slice_bound(scope->slice, end);

	bool		upper_fits = half_open && idem_scope_column_compare(column, outer_upper, upper) == 0;

	if (!upper_fits || idem_scope_column_compare(column, outer_lower, lower) != 0)
	{
		if (!upper_fits)
			idem_slice_bounds(scope->slice, end, &upper, &outer_upper);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope range \"%s\" does not lie on the bounds of slices", text),
				 errhint("The smallest range of whole slices that covers it is %s.",
						 idem_range_text(idem_scope_column_text(column, outer_lower),
										 idem_scope_column_text(column, outer_upper)))));
	}

	check_unit_count(scope, text, first, end - 1);
	for (int64 number = first; number < end; number++)
	{
		CHECK_FOR_INTERRUPTS();

		/* a day that the time zone skipped has no rows and no name of its own */
		idem_slice_bounds(scope->slice, number, &lower, &upper);
		if (idem_scope_column_compare(column, lower, upper) < 0)
			units = lappend(units, idem_unit_of_slice(scope, number));
	}
	return units;
}

/*
 * The unit that a JSON object names: one value for each scope column.
 */
static Unit *
unit_in_json(Scope *scope, const char *text)
{
	Datum		json = DirectFunctionCall1(jsonb_in, CStringGetDatum(pstrdup(text)));
	Jsonb	   *object = DatumGetJsonbP(json);
	Datum	   *values = palloc(sizeof(Datum) * scope->ncolumns);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	item;

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope of several columns is not a JSON object: \"%s\"", text)));

	iterator = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		bool		known = false;

		if (token != WJB_KEY)
			continue;
		for (int i = 0; i < scope->ncolumns && !known; i++)
			known = strlen(scope->columns[i].name) == item.val.string.len &&
				memcmp(scope->columns[i].name, item.val.string.val, item.val.string.len) == 0;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("scope names \"%.*s\", which is no scope column",
							item.val.string.len, item.val.string.val)));
	}

	for (int i = 0; i < scope->ncolumns; i++)
	{
		ScopeColumn *column = &scope->columns[i];
		char	   *value = NULL;

		if (getKeyJsonValueFromContainer(&object->root, column->name, strlen(column->name),
										 &item) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("scope lacks scope column \"%s\"", column->name)));

		switch (item.type)
		{
			case jbvString:
				value = pnstrdup(item.val.string.val, item.val.string.len);
				break;
			case jbvNumeric:	/* 7.0 is an integer, too */
				value = numeric_normalize(item.val.numeric);
				break;
			case jbvBool:
				value = item.val.boolean ? "true" : "false";
				break;
			case jbvNull:
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("scope column \"%s\" is null", column->name),
						 errdetail("Rows with a null in a scope column belong to no unit.")));
				break;
			default:
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("scope column \"%s\" is neither a string, a number nor a boolean", column->name)));
		}
		values[i] = idem_scope_column_value(column, value);
	}

	return idem_unit_of_values(scope, values);
}
