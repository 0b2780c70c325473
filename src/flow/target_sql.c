/*-------------------------------------------------------------------------
 *
 * target_sql.c
 *	  The parts of a target as SQL.
 *
 * Everywhere t is a target row and s a staged one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "flow/target.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

/* SELECT FROM target t WHERE <scope> */
List *
idem_target_tables(const Target *target, const Unit *unit)
{
	if (target->rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return list_make1_oid(RelationGetRelid(target->rel));
	return sql_planned_tables(psprintf("SELECT FROM %s t WHERE %s", target->name,
									   idem_scope_predicate(target->scope, "t")),
							  idem_unit_params(target->scope, unit));
}

/* t."k" or s.c1, with the collation of the index where it is not the column's own */
static char *
key_operand(const Target *target, const KeyColumn *key, bool staged)
{
	const TargetColumn *column = &target->columns[key->column];
	char	   *operand = staged ? psprintf("s.c%d", key->column + 1) :
		psprintf("t.%s", quote_identifier(column->name));

	if (OidIsValid(key->collation) && key->collation != column->collation)
		operand = psprintf("(%s COLLATE %s)", operand, generate_collation_name(key->collation));
	return operand;
}

/*
 * t."k" OPERATOR(pg_catalog.=) s.c1 AND ...
 *
 * Where NULL equals NULL, and some staged key has one, arrays of one element are compared: they take NULLs
 * as equal and, unlike IS NOT DISTINCT FROM, can be hashed.  Arrays compare by
 * the default operator class and can't hold arrays, so the long form remains.
 */
char *
idem_target_key_match(const Target *target)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->nkeys; i++)
	{
		const KeyColumn *key = &target->keys[i];
		Oid			type = target->columns[key->column].type;
		bool		nulls_equal = key->nulls_equal && target->nulls_in_key;
		char	   *left = key_operand(target, key, false);
		char	   *right = key_operand(target, key, true);

		if (i > 0)
			appendStringInfoString(&buf, " AND ");
		if (nulls_equal && key->default_class && OidIsValid(get_array_type(type)))
		{
			appendStringInfo(&buf, "ARRAY[%s] OPERATOR(pg_catalog.=) ARRAY[%s]", left, right);
			continue;
		}
		if (nulls_equal)
			appendStringInfoChar(&buf, '(');
		generate_operator_clause(&buf, left, type, key->eq_opr, right, type);
		if (nulls_equal)
			appendStringInfo(&buf, " OR %s IS NULL AND %s IS NULL)", left, right);
	}
	return buf.data;
}

/*
 * <key> AND t."day" OPERATOR(pg_catalog.=) $1
 *
 * The scope says nothing new, but lets the planner leave out partitions, and
 * hash a unit instead of a table.
 */
char *
idem_target_unit_match(const Target *target)
{
	char	   *match = idem_target_key_match(target);

	if (target->scope_in_key)
		match = psprintf("%s AND %s", match, idem_scope_predicate(target->scope, "t"));
	return match;
}

/*
 * idem_import_hash(t."a", t."b"), or of ROW(t."a", ...) where there are more
 * columns than a function has arguments, or where the only one is a composite,
 * which would be taken for a row.
 */
static char *
hash_call(const Target *target, const char *function, bool staged)
{
	char	   *columns = staged ? idem_target_staged_columns(target) : idem_target_columns(target, "t.");
	bool		as_row = target->ncolumns > FUNC_MAX_ARGS ||
		(target->ncolumns == 1 && type_is_rowtype(target->columns[0].type));
	House		house;

	sql_house_find(&house);
	return psprintf("%s%s(%s%s%s)", house.schema, function,
					as_row ? "ROW(" : "", columns, as_row ? ")" : "");
}

char *
idem_target_hash(const Target *target, bool staged)
{
	return hash_call(target, "idem_import_hash", staged);
}

char *
idem_target_hash_here(const Target *target)
{
	return hash_call(target, "idem_import_hash_here", false);
}

char *
idem_target_bucket(const Target *target, int n)
{
	StringInfoData keys;
	House		house;

	sql_house_find(&house);
	initStringInfo(&keys);
	for (int i = 0; i < target->nkeys; i++)
		appendStringInfo(&keys, ", t.%s", quote_identifier(target->columns[target->keys[i].column].name));
	return psprintf("%sidem_import_bucket_differs($%d%s)", house.schema, n, keys.data);
}

bool
idem_target_all_compared(const Target *target)
{
	Bitmapset  *keys = NULL;

	for (int i = 0; i < target->nkeys; i++)
		keys = bms_add_member(keys, target->keys[i].column);
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (!target->columns[i].compared && !bms_is_member(i, keys))
			return false;
	}
	return true;
}

char *
idem_target_other_name(const Target *target, const char *name)
{
	char	   *result = pstrdup(name);

	while (idem_target_column(target, result) >= 0)
		result = psprintf("%s_", result);
	return result;
}

/*
 * pg_catalog.record_image_ne(ROW(t."a", t."b"), ROW(s.c2, s.c3))
 *
 * The image, so that types without equality take part, and 1.0 differs from
 * 1.00.  As a function, since PostgreSQL takes an operator between two ROWs
 * apart, column by column.
 */
char *
idem_target_differs(const Target *target)
{
	StringInfoData left;
	StringInfoData right;

	initStringInfo(&left);
	initStringInfo(&right);
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (!target->columns[i].compared)
			continue;
		appendStringInfo(&left, "%st.%s", left.len > 0 ? ", " : "", quote_identifier(target->columns[i].name));
		appendStringInfo(&right, "%ss.c%d", right.len > 0 ? ", " : "", i + 1);
	}
	if (left.len == 0)
		return pstrdup("false");
	return psprintf("pg_catalog.record_image_ne(ROW(%s), ROW(%s))", left.data, right.data);
}

/* (t."v" OPERATOR(pg_catalog.>) s.c3 OR t."v" IS NOT NULL AND s.c3 IS NULL) IS TRUE */
char *
idem_target_newer(const Target *target)
{
	StringInfoData buf;
	const TargetColumn *column;
	char	   *left;
	char	   *right;

	if (target->version < 0)
		return pstrdup("false");

	column = &target->columns[target->version];
	left = psprintf("t.%s", quote_identifier(column->name));
	right = psprintf("s.c%d", target->version + 1);
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '(');
	generate_operator_clause(&buf, left, column->type, target->version_gt, right, column->type);
	appendStringInfo(&buf, " OR %s IS NOT NULL AND %s IS NULL) IS TRUE", left, right);
	return buf.data;
}

char *
idem_target_columns(const Target *target, const char *prefix)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&buf, "%s%s%s", i > 0 ? ", " : "", prefix, quote_identifier(target->columns[i].name));
	return buf.data;
}

char *
idem_target_staged_columns(const Target *target)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&buf, "%ss.c%d", i > 0 ? ", " : "", i + 1);
	return buf.data;
}
