/*-------------------------------------------------------------------------
 *
 * scope.c
 *	  The part of a target that a unit owns.
 *
 * A unit's name is its identity: ledger, receipts and locks go by it.  It is
 * made of the text of the unit's values, one for each scope column or the two
 * bounds of a slice, and scope_column.c sees to it that equal values have the
 * same text.
 *
 * Here units are made of values, and rows and SQL are held against units.
 * What a caller's text means is told in scope_text.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "flow/range.h"
#include "flow/scope.h"
#include "flow/slice.h"

/* Names are keys of our tables' indexes, and read by people. */
#define MAX_UNIT_NAME	1000


/*
 * Opening
 */

static void
slice_context(void *arg)
{
	errcontext("argument \"slice\"");
}

/* A width that makes no sense is an argument of that name. */
static Slice *
open_slice(Oid type, const char *width)
{
	ErrorContextCallback callback;
	Slice	   *slice;

	callback.callback = slice_context;
	callback.arg = NULL;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	slice = idem_slice_open(type, width);
	error_context_stack = callback.previous;
	return slice;
}

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
		idem_scope_column_bind(&scope->columns[scope->ncolumns++], target, name);
	}

	if (slice)
	{
		if (scope->ncolumns != 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a slice needs exactly one scope column")));
		scope->slice = open_slice(scope->columns[0].basetype, slice);
	}

	return scope;
}


/*
 * Names
 */

/*
 * The value as jsonb would print it, so that a unit's name is what a caller
 * would naturally write.
 */
static void
append_json_value(StringInfo buf, const ScopeColumn *column, Datum value)
{
	char	   *text = idem_scope_column_text(column, value);

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
		return idem_range_text(idem_scope_column_text(scope->columns, unit->values[0]),
							   idem_scope_column_text(scope->columns, unit->upper));

	if (scope->ncolumns == 1)
		return idem_scope_column_text(scope->columns, unit->values[0]);

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

Unit *
idem_unit_of_values(Scope *scope, Datum *values)
{
	for (int i = 0; i < scope->ncolumns; i++)
		values[i] = idem_scope_column_canonical(&scope->columns[i], values[i]);
	return make_unit(scope, values, (Datum) 0, 0);
}

Unit *
idem_unit_of_slice(Scope *scope, int64 number)
{
	Datum		lower;
	Datum		upper;

	idem_slice_bounds(scope->slice, number, &lower, &upper);
	return make_unit(scope, &lower, upper, number);
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
		return idem_unit_of_slice(scope, idem_slice_number(scope->slice, values[0]));

	copy = palloc(sizeof(Datum) * Max(scope->ncolumns, 1));
	for (int i = 0; i < scope->ncolumns; i++)
		copy[i] = values[i];
	return idem_unit_of_values(scope, copy);
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
			return idem_scope_column_compare(column, values[i], unit->values[i]) >= 0 &&
				idem_scope_column_compare(column, values[i], unit->upper) < 0;
		if (idem_scope_column_compare(column, values[i], unit->values[i]) != 0)
			return false;
	}
	return true;
}

/* A text that is the name of what is no unit can't be the name of one. */
static bool
is_whole_table(Scope *scope, Datum value)
{
	ScopeColumn *column = &scope->columns[0];
	struct varlena *text;

	if (scope->ncolumns != 1 || column->typlen != -1 ||
		TypeCategory(column->basetype) != TYPCATEGORY_STRING)
		return false;
	text = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	return VARSIZE_ANY_EXHDR(text) == 1 && VARDATA_ANY(text)[0] == IDEM_WHOLE_TABLE[0];
}

/*
 * Several units that were asked for are the values or slices between a first
 * and a last one, without gaps.
 */
bool
idem_units_contain(Scope *scope, List *units, const Datum *values, const bool *isnull)
{
	ScopeColumn *column = scope->columns;
	Unit	   *first;
	Unit	   *last;

	if (list_length(units) == 1)
		return idem_unit_contains(scope, linitial(units), values, isnull);

	for (int i = 0; i < scope->ncolumns; i++)
	{
		if (isnull[i])
			return false;
	}
	if (scope->slice && !idem_value_is_finite(column->basetype, values[0]))
		return false;
	if (units == NIL)
		return !is_whole_table(scope, values[0]);

	first = linitial(units);
	last = llast(units);
	if (scope->slice)
	{
		int64		number = idem_slice_number(scope->slice, values[0]);

		return number >= first->slice_number && number <= last->slice_number;
	}
	return idem_scope_column_compare(column, values[0], first->values[0]) >= 0 &&
		idem_scope_column_compare(column, values[0], last->values[0]) <= 0;
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

	*lower = idem_scope_column_text(scope->columns, unit->values[0]);
	*upper = scope->slice ? idem_scope_column_text(scope->columns, unit->upper) : pstrdup(*lower);
}
