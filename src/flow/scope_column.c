/*-------------------------------------------------------------------------
 *
 * scope_column.c
 *	  A column that a scope is made of: its type, its values and their text.
 *
 * Values that are equal to the database must have one text, however a caller
 * spells them or staging holds them, and distinct values must have distinct
 * texts, because the names of units are made of them.  Types whose equality is
 * coarser than their text are therefore either brought to one form (numeric,
 * float, char(n)) or refused as scope columns (citext, nondeterministic
 * collations, interval, arrays, ...), which we know by the same "equalimage"
 * support function that btree deduplication asks.
 *
 * Nor may a text depend on when it was given: 'today' is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "flow/clock.h"
#include "flow/range.h"
#include "flow/scope_column.h"

static bool equal_values_look_equal(ScopeColumn *column, TypeCacheEntry *type);

void
idem_scope_column_bind(ScopeColumn *column, TupleDesc target, const char *name)
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
 * Do equal values have the same text, once they have their canonical form?
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

Datum
idem_scope_column_canonical(const ScopeColumn *column, Datum value)
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

char *
idem_scope_column_text(const ScopeColumn *column, Datum value)
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
	char		category;
	bool		preferred;

	get_type_category_preferred(column->basetype, &category, &preferred);
	if (category == TYPCATEGORY_DATETIME && idem_clock_word(text))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope must not depend on the clock: \"%s\"", text),
				 errhint("Give the date or time itself, so that a repeated run means the same unit.")));
}

Datum
idem_scope_column_value(const ScopeColumn *column, const char *text)
{
	Oid			input;
	Oid			ioparam;

	check_clock(column, text);
	getTypeInputInfo(column->type, &input, &ioparam);
	return OidInputFunctionCall(input, pstrdup(text), ioparam, column->typmod);
}

Datum
idem_scope_column_bound(const ScopeColumn *column, const char *text)
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

int
idem_scope_column_compare(ScopeColumn *column, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(&column->cmp, column->collation, a, b));
}
