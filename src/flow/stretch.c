/*-------------------------------------------------------------------------
 *
 * stretch.c
 *	  The rows of a source between two values of columns that order it.
 *
 * A stretch never ends between rows of equal values: its bounds are values, so
 * all that share them are inside, or all outside.  Its end is found first, and
 * then the rows are read up to there, in whatever order the planner likes;
 * with an index on the columns both cost what they return.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "base/compat.h"
#include "base/sql.h"
#include "executor/spi.h"
#include "flow/stretch.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

Stretch *
idem_stretch_of_cursor(const Source *source)
{
	Stretch    *stretch = palloc0(sizeof(Stretch));
	TypeCacheEntry *type = lookup_type_cache(source->cursor_type, TYPECACHE_LT_OPR);

	if (!OidIsValid(type->lt_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("cursor column has type %s, which has no order", format_type_be(source->cursor_type))));
	stretch->ncolumns = 1;
	stretch->columns = palloc0(sizeof(StretchColumn));
	stretch->columns[0].expression = source->cursor;
	stretch->columns[0].type = source->cursor_type;
	stretch->columns[0].lt_opr = type->lt_opr;
	stretch->columns[0].collation = source->cursor_collation;
	return stretch;
}

/*
 * Rows whose keys are equal to the target must not come apart: they are compared
 * as what they will be there, numeric(10,2) or char(3).
 */
Stretch *
idem_stretch_of_key(const Source *source)
{
	const Target *target = source->target;
	Stretch    *stretch = palloc0(sizeof(Stretch));

	stretch->ncolumns = target->nkeys;
	stretch->columns = palloc0(sizeof(StretchColumn) * target->nkeys);
	for (int i = 0; i < target->nkeys; i++)
	{
		const KeyColumn *key = &target->keys[i];
		const TargetColumn *column = &target->columns[key->column];
		Form_pg_attribute att = TupleDescAttr(source->raw, key->column);
		char	   *expression = psprintf("s.%s", quote_identifier(column->name));

		if (source->coercions[key->column] != NULL)
			expression = psprintf("CAST(%s AS %s)", expression, idem_source_type(column->type, column->typmod));
		if (OidIsValid(key->collation) && key->collation != att->attcollation)
			expression = psprintf("(%s COLLATE %s)", expression, generate_collation_name(key->collation));
		stretch->columns[i].expression = expression;
		stretch->columns[i].type = column->type;
		stretch->columns[i].lt_opr = key->lt_opr;
		stretch->columns[i].collation = key->collation;
	}
	return stretch;
}

/* The operator of the same family for another strategy; both sides of one type. */
static Oid
other_operator(const StretchColumn *column, StrategyNumber wanted)
{
	Oid			opfamily;
	Oid			opcintype;
	OrderingKind kind;

	if (!get_ordering_op_properties(column->lt_opr, &opfamily, &opcintype, &kind))
		elog(ERROR, "operator %u is not a valid ordering operator", column->lt_opr);
	return get_opfamily_member(opfamily, opcintype, opcintype, wanted);
}

/* s."c" OPERATOR(pg_catalog.>) $3 */
static void
append_operator(StringInfo buf, const StretchColumn *column, StrategyNumber strategy, int param)
{
	generate_operator_clause(buf, column->expression, column->type, other_operator(column, strategy),
							 psprintf("$%d", param), column->type);
}

/*
 * Rows on one side of some values, whose parameters have consecutive numbers:
 *
 * s."a" >= $3 AND (s."a" > $3 OR s."b" > $4)
 *
 * The first column is compared by itself, for the sake of an index.
 */
static void
append_side(StringInfo buf, const Stretch *stretch, int n, bool after, bool inclusive, int param)
{
	const StretchColumn *column = &stretch->columns[n];
	StrategyNumber strict = after ? BTGreaterStrategyNumber : BTLessStrategyNumber;
	StrategyNumber weak = after ? BTGreaterEqualStrategyNumber : BTLessEqualStrategyNumber;

	if (n == stretch->ncolumns - 1)
	{
		append_operator(buf, column, inclusive ? weak : strict, param);
		return;
	}
	append_operator(buf, column, weak, param);
	appendStringInfoString(buf, " AND (");
	append_operator(buf, column, strict, param);
	appendStringInfoString(buf, " OR ");
	append_side(buf, stretch, n + 1, after, inclusive, param + 1);
	appendStringInfoChar(buf, ')');
}

/* The number of the first of them. */
static int
add_params(Source *source, const Stretch *stretch, const Datum *values)
{
	int			first = 0;

	for (int i = 0; i < stretch->ncolumns; i++)
	{
		int			param = idem_source_param(source, sql_datum(stretch->columns[i].type, values[i], false));

		if (i == 0)
			first = param;
	}
	return first;
}

/* s."a" IS NULL OR s."b" IS NULL */
static void
append_nulls(StringInfo buf, const Stretch *stretch)
{
	for (int i = 0; i < stretch->ncolumns; i++)
		appendStringInfo(buf, "%s%s IS NULL", i > 0 ? " OR " : "", stretch->columns[i].expression);
}

void
idem_stretch_bind(Source *source, const Stretch *stretch)
{
	StringInfoData buf;

	if (stretch->lower == NULL && stretch->upper == NULL && stretch->nulls)
		return;
	initStringInfo(&buf);
	if (stretch->lower != NULL)
		append_side(&buf, stretch, 0, true, stretch->inclusive, add_params(source, stretch, stretch->lower));
	if (stretch->lower != NULL && stretch->upper != NULL)
		appendStringInfoString(&buf, " AND ");
	if (stretch->upper != NULL)
		append_side(&buf, stretch, 0, false, true, add_params(source, stretch, stretch->upper));
	if (stretch->nulls)
	{
		appendStringInfoString(&buf, " OR ");
		append_nulls(&buf, stretch);
	}
	idem_source_bind(source, buf.data);
}

/* s."a" USING OPERATOR(pg_catalog.<), s."b" USING ... */
static char *
order_by(const Stretch *stretch, bool backward)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < stretch->ncolumns; i++)
	{
		const StretchColumn *column = &stretch->columns[i];
		Oid			operator = backward ? other_operator(column, BTGreaterStrategyNumber) : column->lt_opr;

		appendStringInfo(&buf, "%s%s USING %s", i > 0 ? ", " : "", column->expression, sql_operator(operator));
	}
	return buf.data;
}

/*
 * SELECT s."a" AS v1, s."b" AS v2 FROM ... WHERE <bounds> AND <unit> AND <lower> AND NOT (<nulls>)
 * ORDER BY ... OFFSET n LIMIT 1
 */
static Datum *
find_row(Source *source, const Unit *unit, const Stretch *stretch, bool last, int64 offset)
{
	MemoryContext cxt = CurrentMemoryContext;
	ParamListInfo params = source->params;
	Datum	   *values = NULL;
	StringInfoData columns;
	StringInfoData where;
	SqlRow		row;

	initStringInfo(&columns);
	for (int i = 0; i < stretch->ncolumns; i++)
		appendStringInfo(&columns, "%sCAST(%s AS %s) AS v%d", i > 0 ? ", " : "", stretch->columns[i].expression,
						 idem_source_type(stretch->columns[i].type, -1), i + 1);
	initStringInfo(&where);
	if (unit != NULL && source->within != NULL)
		appendStringInfo(&where, "%s AND ", source->within);
	if (stretch->lower != NULL)
	{
		append_side(&where, stretch, 0, true, stretch->inclusive, add_params(source, stretch, stretch->lower));
		appendStringInfoString(&where, " AND ");
	}
	appendStringInfoString(&where, "NOT (");
	append_nulls(&where, stretch);
	appendStringInfoChar(&where, ')');

	sql_begin();
	if (sql_row(psprintf("%s ORDER BY %s OFFSET " INT64_FORMAT " LIMIT 1",
						 idem_source_select(source, columns.data, where.data), order_by(stretch, last), offset),
				idem_source_params(source, unit), false, cxt, &row))
	{
		MemoryContextSwitchTo(cxt);
		values = palloc(sizeof(Datum) * stretch->ncolumns);
		for (int i = 0; i < stretch->ncolumns; i++)
		{
			bool		isnull;

			values[i] = sql_column(&row, psprintf("v%d", i + 1), &isnull);
		}
	}
	sql_end();
	source->params = params;
	return values;
}

void
idem_stretch_end(Source *source, const Unit *unit, Stretch *stretch, int64 rows)
{
	stretch->upper = NULL;
	if (rows != NO_LIMIT)
		stretch->upper = find_row(source, unit, stretch, false, rows - 1);
	if (stretch->upper == NULL)
		stretch->upper = find_row(source, unit, stretch, true, 0);
}

bool
idem_stretch_is_followed(Source *source, const Unit *unit, const Stretch *stretch)
{
	Stretch		rest = *stretch;

	rest.lower = stretch->upper;
	rest.inclusive = false;
	return find_row(source, unit, &rest, false, 0) != NULL;
}

bool
idem_stretch_before(const Stretch *stretch, Datum a, Datum b)
{
	return DatumGetBool(OidFunctionCall2Coll(get_opcode(stretch->columns[0].lt_opr),
											 stretch->columns[0].collation, a, b));
}
