/*-------------------------------------------------------------------------
 *
 * scope.c
 *	  The part of a target that a unit owns.
 *
 * A unit's name is its identity: ledger, receipts and locks go by it.  So
 * values that are equal to the database must have one name, however a caller
 * spells them or staging holds them, and distinct values must have distinct
 * names.  Types whose equality is coarser than their text are therefore either
 * brought to one form (numeric, float, char(n)) or refused as scope columns
 * (citext, nondeterministic collations, interval, arrays, ...), which we know
 * by the same "equalimage" support function that btree deduplication asks.
 *
 * Nor may a name depend on when it was given: 'today' is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/stratnum.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "flow/scope.h"
#include "flow/slice.h"

/* Names are keys of our tables' indexes, and read by people. */
#define MAX_UNIT_NAME	1000

/* More units than this in one call are a mistake rather than a wish. */
#define MAX_UNITS		100000

static void bind_column(ScopeColumn *column, TupleDesc target, const char *name);
static bool equal_values_look_equal(ScopeColumn *column, TypeCacheEntry *type);
static List *units_in_range(Scope *scope, const char *text, const RangeText *range);
static List *units_in_values(Scope *scope, const char *text, int64 first, int64 last);
static List *units_in_slices(Scope *scope, const char *text, Datum lower, Datum upper,
							 bool half_open);
static Unit *unit_in_json(Scope *scope, const char *text);


/*
 * Opening
 */

Scope *
idem_scope_open(TupleDesc target, List *columns, const char *slice)
{
	Scope	   *scope = palloc0(sizeof(Scope));
	ListCell   *cell;

	scope->cxt = CurrentMemoryContext;
	scope->columns = palloc0(sizeof(ScopeColumn) * Max(list_length(columns), 1));

	foreach(cell, columns)
	{
		const char *name = strVal(lfirst(cell));

		for (int i = 0; i < scope->ncolumns; i++)
		{
			if (strcmp(scope->columns[i].name, name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("scope column \"%s\" is named more than once", name)));
		}
		bind_column(&scope->columns[scope->ncolumns++], target, name);
	}

	if (slice)
	{
		if (scope->ncolumns != 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a slice needs exactly one scope column")));
		scope->slice = idem_slice_open(scope->columns[0].basetype, slice);
	}

	return scope;
}

static void
bind_column(ScopeColumn *column, TupleDesc target, const char *name)
{
	Form_pg_attribute attr = NULL;
	TypeCacheEntry *type;

	/* a system column is no attribute of a descriptor, so it is not found */
	for (int i = 0; i < target->natts && attr == NULL; i++)
	{
		attr = TupleDescAttr(target, i);
		if (attr->attisdropped || strcmp(NameStr(attr->attname), name) != 0)
			attr = NULL;
	}
	if (attr == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("scope column \"%s\" does not exist in the target", name)));

	column->name = pstrdup(name);
	column->attnum = attr->attnum;
	column->type = attr->atttypid;
	column->typmod = attr->atttypmod;
	column->basetype = getBaseTypeAndTypmod(attr->atttypid, &column->typmod);
	column->collation = attr->attcollation;
	get_typlenbyval(column->basetype, &column->typlen, &column->typbyval);

	type = lookup_type_cache(column->basetype, TYPECACHE_BTREE_OPFAMILY | TYPECACHE_CMP_PROC);
	if (OidIsValid(type->cmp_proc))
	{
		Oid			family = type->btree_opf;
		Oid			input = type->btree_opintype;

		column->eq_opr = get_opfamily_member(family, input, input, BTEqualStrategyNumber);
		column->lt_opr = get_opfamily_member(family, input, input, BTLessStrategyNumber);
		column->ge_opr = get_opfamily_member(family, input, input, BTGreaterEqualStrategyNumber);
		fmgr_info(type->cmp_proc, &column->cmp);
	}
	if (!OidIsValid(column->eq_opr) || !OidIsValid(column->lt_opr) || !OidIsValid(column->ge_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("scope column \"%s\" has type %s, which cannot be ordered",
						name, format_type_be(column->type)),
				 errdetail("The type has no default operator class for access method \"btree\".")));

	if (!equal_values_look_equal(column, type))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("scope column \"%s\" cannot name units", name),
				 errdetail("Equal values of type %s with the column's collation can be spelled differently, so that one unit would have several names.",
						   format_type_be(column->type)),
				 errhint("Use a scope column with a single spelling for each value, such as a generated one.")));
}

/*
 * Do equal values have the same text, once canonical_value() has seen them?
 */
static bool
equal_values_look_equal(ScopeColumn *column, TypeCacheEntry *type)
{
	Oid			proc;

	switch (column->basetype)
	{
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			return true;
		case BPCHAROID:			/* only padding may differ */
			return get_collation_isdeterministic(column->collation);
	}

	proc = get_opfamily_proc(type->btree_opf, type->btree_opintype, type->btree_opintype,
							 BTEQUALIMAGE_PROC);
	return OidIsValid(proc) &&
		DatumGetBool(OidFunctionCall1Coll(proc, column->collation,
										  ObjectIdGetDatum(type->btree_opintype)));
}


/*
 * Values, and their text
 */

/*
 * The one form of a value among those that are equal to it.
 */
static Datum
canonical_value(const ScopeColumn *column, Datum value)
{
	switch (column->basetype)
	{
		case NUMERICOID:		/* 1.50 = 1.5 */
			return DirectFunctionCall1(numeric_trim_scale, value);
		case FLOAT4OID:			/* -0 = 0 */
			return DatumGetFloat4(value) == 0 ? Float4GetDatum(0) : value;
		case FLOAT8OID:
			return DatumGetFloat8(value) == 0 ? Float8GetDatum(0) : value;
		case BPCHAROID:			/* padding does not count */
			return DirectFunctionCall1(rtrim1, value);
		default:
			return value;
	}
}

static char *
value_to_text(const ScopeColumn *column, Datum value)
{
	Oid			output;
	bool		isvarlena;

	getTypeOutputInfo(column->basetype, &output, &isvarlena);
	return OidOutputFunctionCall(output, value);
}

/*
 * Refuse the words that datetime input reads off the clock.  A run given
 * 'today' and repeated after midnight would be another run.
 */
static void
check_clock(const ScopeColumn *column, const char *text)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	char		category;
	bool		preferred;
	const char *ptr = text;

	get_type_category_preferred(column->basetype, &category, &preferred);
	if (category != TYPCATEGORY_DATETIME)
		return;

	while (*ptr)
	{
		size_t		length = strspn(ptr, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

		for (int i = 0; i < lengthof(words); i++)
		{
			if (length == strlen(words[i]) && pg_strncasecmp(ptr, words[i], length) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("scope must not depend on the clock: \"%s\"", text),
						 errhint("Give the date or time itself, so that a repeated run means the same unit.")));
		}
		ptr += Max(length, 1);
	}
}

/*
 * A value as a row would get it: with the column's typmod, and the checks of
 * its domain.
 */
static Datum
text_to_value(const ScopeColumn *column, const char *text)
{
	Oid			input;
	Oid			ioparam;

	check_clock(column, text);
	getTypeInputInfo(column->type, &input, &ioparam);
	return OidInputFunctionCall(input, pstrdup(text), ioparam, column->typmod);
}

/*
 * A bound of a range, which no row needs to have: '[1,100)' may be every value
 * of a domain that ends at 99, or of numeric(2,0).
 */
static Datum
text_to_bound(const ScopeColumn *column, const char *text)
{
	Oid			input;
	Oid			ioparam;
	Datum		value;

	check_clock(column, text);
	getTypeInputInfo(column->basetype, &input, &ioparam);
	value = OidInputFunctionCall(input, pstrdup(text), ioparam, -1);
	if (!idem_value_is_finite(column->basetype, value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope range has the infinite bound \"%s\"", text)));
	return value;
}

static int
compare(ScopeColumn *column, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(&column->cmp, column->collation, a, b));
}

/*
 * The value as jsonb would print it, so that a unit's name is what a caller
 * would naturally write.
 */
static void
append_json_value(StringInfo buf, const ScopeColumn *column, Datum value)
{
	char	   *text = value_to_text(column, value);

	switch (column->basetype)
	{
		case BOOLOID:
			appendStringInfoString(buf, DatumGetBool(value) ? "true" : "false");
			return;

		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			/* NaN and infinities are no JSON numbers */
			if (strspn(text, "-0123456789.e+") == strlen(text))
			{
				appendStringInfoString(buf, text);
				return;
			}
			break;
	}

	escape_json(buf, text);
}

static char *
unit_name(Scope *scope, const Unit *unit)
{
	StringInfoData buf;

	if (scope->ncolumns == 0)
		return IDEM_WHOLE_TABLE;

	if (scope->slice)
		return idem_range_text(value_to_text(scope->columns, unit->values[0]),
							   value_to_text(scope->columns, unit->upper));

	if (scope->ncolumns == 1)
		return value_to_text(scope->columns, unit->values[0]);

	/* {"tenant": 7, "day": "2026-06-09"} */
	initStringInfo(&buf);
	for (int i = 0; i < scope->ncolumns; i++)
	{
		appendStringInfoString(&buf, i == 0 ? "{" : ", ");
		escape_json(&buf, scope->columns[i].name);
		appendStringInfoString(&buf, ": ");
		append_json_value(&buf, &scope->columns[i], unit->values[i]);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}


/*
 * Units
 */

/* Copy a value into the scope's context, out of any TOAST table. */
static Datum
keep_value(Scope *scope, const ScopeColumn *column, Datum value)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(scope->cxt);

	if (column->typlen == -1)
		value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	else
		value = datumCopy(value, column->typbyval, column->typlen);

	MemoryContextSwitchTo(oldcontext);
	return value;
}

static Unit *
make_unit(Scope *scope, const Datum *values, Datum upper, int64 slice_number)
{
	Unit	   *unit = MemoryContextAllocZero(scope->cxt, sizeof(Unit));
	char	   *name;

	unit->values = MemoryContextAlloc(scope->cxt, sizeof(Datum) * Max(scope->ncolumns, 1));
	for (int i = 0; i < scope->ncolumns; i++)
		unit->values[i] = keep_value(scope, &scope->columns[i], values[i]);
	if (scope->slice)
	{
		unit->upper = keep_value(scope, scope->columns, upper);
		unit->slice_number = slice_number;
	}

	name = unit_name(scope, unit);
	if (strlen(name) > MAX_UNIT_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("name of a unit is longer than %d bytes", MAX_UNIT_NAME),
				 errhint("Use shorter values as scope, such as a hash of these.")));
	unit->name = MemoryContextStrdup(scope->cxt, name);

	return unit;
}

static Unit *
unit_of_values(Scope *scope, Datum *values)
{
	for (int i = 0; i < scope->ncolumns; i++)
		values[i] = canonical_value(&scope->columns[i], values[i]);
	return make_unit(scope, values, (Datum) 0, 0);
}

static Unit *
unit_of_slice(Scope *scope, int64 number)
{
	Datum		lower;
	Datum		upper;

	idem_slice_bounds(scope->slice, number, &lower, &upper);
	return make_unit(scope, &lower, upper, number);
}

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
		return list_make1(make_unit(scope, NULL, (Datum) 0, 0));
	}

	if (text == NULL)
		return NIL;

	if (scope->ncolumns > 1)
		return list_make1(unit_in_json(scope, text));

	if (idem_type_has_ranges(column->basetype) && idem_range_parse(text, &range))
		return units_in_range(scope, text, &range);

	value = text_to_value(column, text);
	if (scope->slice == NULL)
		return list_make1(unit_of_values(scope, &value));

	if (!idem_value_is_finite(column->basetype, value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no slice holds \"%s\"", text)));
	return list_make1(unit_of_slice(scope, idem_slice_number(scope->slice, value)));
}

/*
 * Each unit inside a range.
 */
static List *
units_in_range(Scope *scope, const char *text, const RangeText *range)
{
	ScopeColumn *column = scope->columns;
	Datum		lower = text_to_bound(column, range->lower);
	Datum		upper = text_to_bound(column, range->upper);
	bool		half_open = range->lower_inclusive && !range->upper_inclusive;
	bool		empty;
	int			order = compare(column, lower, upper);

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
		units = lappend(units, unit_of_values(scope, &value));
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

	bool		upper_fits = half_open && compare(column, outer_upper, upper) == 0;

	if (!upper_fits || compare(column, outer_lower, lower) != 0)
	{
		if (!upper_fits)
			idem_slice_bounds(scope->slice, end, &upper, &outer_upper);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope range \"%s\" does not lie on the bounds of slices", text),
				 errhint("The smallest range of whole slices that covers it is %s.",
						 idem_range_text(value_to_text(column, outer_lower),
										 value_to_text(column, outer_upper)))));
	}

	check_unit_count(scope, text, first, end - 1);
	for (int64 number = first; number < end; number++)
	{
		CHECK_FOR_INTERRUPTS();

		/* a day that the time zone skipped has no rows and no name of its own */
		idem_slice_bounds(scope->slice, number, &lower, &upper);
		if (compare(column, lower, upper) < 0)
			units = lappend(units, make_unit(scope, &lower, upper, number));
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
		values[i] = text_to_value(column, value);
	}

	return unit_of_values(scope, values);
}


/*
 * Rows
 */

Unit *
idem_scope_unit_of(Scope *scope, const Datum *values, const bool *isnull)
{
	Datum	   *copy;

	for (int i = 0; i < scope->ncolumns; i++)
	{
		if (isnull[i])
			return NULL;
	}

	if (scope->slice)
		return unit_of_slice(scope, idem_slice_number(scope->slice, values[0]));

	copy = palloc(sizeof(Datum) * Max(scope->ncolumns, 1));
	for (int i = 0; i < scope->ncolumns; i++)
		copy[i] = values[i];
	return unit_of_values(scope, copy);
}

bool
idem_unit_contains(Scope *scope, const Unit *unit, const Datum *values, const bool *isnull)
{
	for (int i = 0; i < scope->ncolumns; i++)
	{
		ScopeColumn *column = &scope->columns[i];

		if (isnull[i])
			return false;
		if (scope->slice)
			return compare(column, values[i], unit->values[i]) >= 0 &&
				compare(column, values[i], unit->upper) < 0;
		if (compare(column, values[i], unit->values[i]) != 0)
			return false;
	}
	return true;
}

int64
idem_scope_slice_number(Scope *scope, Datum value)
{
	Assert(scope->slice);
	return idem_slice_number(scope->slice, value);
}


/*
 * SQL
 */

/*
 * t.day OPERATOR(pg_catalog.=) $1: whatever search_path says, this is the
 * operator that indexes and partition bounds of the column know.
 */
static void
append_comparison(StringInfo buf, const char *alias, const ScopeColumn *column,
				  Oid operator, int param)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);

	if (buf->len > 0)
		appendStringInfoString(buf, " AND ");
	/* one at a time: quote_identifier() does not promise a fresh string */
	appendStringInfo(buf, "%s.", quote_identifier(alias));
	appendStringInfo(buf, "%s OPERATOR(", quote_identifier(column->name));
	appendStringInfo(buf, "%s.%s) $%d",
					 quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname), param);

	ReleaseSysCache(tuple);
}

char *
idem_scope_predicate(Scope *scope, const char *alias)
{
	StringInfoData buf;

	if (scope->ncolumns == 0)
		return pstrdup("true");

	initStringInfo(&buf);
	if (scope->slice)
	{
		append_comparison(&buf, alias, scope->columns, scope->columns->ge_opr, 1);
		append_comparison(&buf, alias, scope->columns, scope->columns->lt_opr, 2);
	}
	else
	{
		for (int i = 0; i < scope->ncolumns; i++)
			append_comparison(&buf, alias, &scope->columns[i], scope->columns[i].eq_opr, i + 1);
	}
	return buf.data;
}

int
idem_scope_param_types(Scope *scope, Oid *types)
{
	for (int i = 0; i < scope->ncolumns; i++)
		types[i] = scope->columns[i].basetype;
	if (scope->ncolumns != 1)
		return scope->ncolumns;

	/* a source may ask for lower and upper bound whether or not there is a slice */
	types[1] = types[0];
	return 2;
}

ParamListInfo
idem_unit_params(Scope *scope, const Unit *unit)
{
	int			nparams = scope->ncolumns == 1 ? 2 : scope->ncolumns;
	Oid		   *types = palloc(sizeof(Oid) * Max(nparams, 1));
	ParamListInfo params = makeParamList(nparams);

	idem_scope_param_types(scope, types);
	for (int i = 0; i < nparams; i++)
	{
		ParamExternData *param = &params->params[i];

		param->ptype = types[i];
		param->pflags = PARAM_FLAG_CONST;
		param->isnull = (unit == NULL);
		if (unit == NULL)
			param->value = (Datum) 0;
		else if (i < scope->ncolumns)
			param->value = unit->values[i];
		else
			param->value = scope->slice ? unit->upper : unit->values[0];
	}

	pfree(types);
	return params;
}

void
idem_unit_bounds(Scope *scope, const Unit *unit, char **lower, char **upper)
{
	*lower = NULL;
	*upper = NULL;
	if (scope->ncolumns != 1)
		return;

	*lower = value_to_text(scope->columns, unit->values[0]);
	*upper = scope->slice ? value_to_text(scope->columns, unit->upper) : pstrdup(*lower);
}
