/*-------------------------------------------------------------------------
 *
 * apply_sql.c
 *	  The statements that write a target.
 *
 * Only forms whose count of rows is right on every kind of target: not ON
 * CONFLICT, which counts rows that it left alone where it runs on another
 * machine, and not MERGE, which foreign tables do not have.
 *
 * Where the target is an ordinary table, the rows to change or delete are found
 * by the place at which they were judged.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/relation.h"
#include "flow/apply_sql.h"
#include "flow/diff.h"
#include "lib/stringinfo.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* DELETE FROM target t WHERE <scope> */
char *
idem_apply_clear_query(const Target *target)
{
	return psprintf("DELETE FROM %s t WHERE %s", target->name, idem_scope_predicate(target->scope, "t"));
}

/*
 * t.ctid OPERATOR(pg_catalog.=) s.idem_import_place AND t.tableoid OPERATOR(pg_catalog.=) s.idem_import_leaf
 *
 * A row that another session has changed meanwhile lies elsewhere.
 */
static char *
same_place(const Target *target)
{
	const char *place = "t.ctid OPERATOR(pg_catalog.=) s." DIFF_PLACE;

	if (RelationGetForm(target->rel)->relkind != RELKIND_PARTITIONED_TABLE)
		return pstrdup(place);
	return psprintf("%s AND t.tableoid OPERATOR(pg_catalog.=) s." DIFF_LEAF, place);
}

/*
 * idem_import_rows s, or where rows are known by their place
 * (SELECT * FROM idem_import_rows ORDER BY idem_import_place) s, so that the
 * target is passed through but once.
 */
static const char *
rows(const Target *target)
{
	if (target->obstacle != NULL)
		return APPLY_ROWS " s";
	return "(SELECT * FROM " APPLY_ROWS " ORDER BY " DIFF_PLACE ") s";
}

/* <key>, and <place> where rows are known by it */
static char *
match(const Target *target)
{
	char	   *key = idem_target_unit_match(target);

	return target->obstacle == NULL ? psprintf("%s AND %s", same_place(target), key) : key;
}

/*
 * DELETE FROM target t USING idem_import_rows s
 * WHERE <place> AND <scope> AND pg_catalog.record_image_eq(ROW(t."k"), ROW(s.c1))
 */
char *
idem_apply_remove_places_query(const Target *target)
{
	StringInfoData mine;
	StringInfoData theirs;

	initStringInfo(&mine);
	initStringInfo(&theirs);
	for (int i = 0; i < target->nkeys; i++)
	{
		int			column = target->keys[i].column;

		appendStringInfo(&mine, "%st.%s", i > 0 ? ", " : "", quote_identifier(target->columns[column].name));
		appendStringInfo(&theirs, "%ss.c%d", i > 0 ? ", " : "", column + 1);
	}
	return psprintf("DELETE FROM %s t USING %s WHERE %s AND %s "
					"AND pg_catalog.record_image_eq(ROW(%s), ROW(%s))",
					target->name, rows(target), same_place(target), idem_scope_predicate(target->scope, "t"),
					mine.data, theirs.data);
}

/* DELETE FROM target t WHERE <scope> AND NOT EXISTS (SELECT FROM idem_import_rows s WHERE <key>) */
char *
idem_apply_remove_query(const Target *target)
{
	return psprintf("DELETE FROM %s t WHERE %s AND NOT EXISTS (SELECT FROM " APPLY_ROWS " s WHERE %s)",
					target->name, idem_scope_predicate(target->scope, "t"), idem_target_key_match(target));
}

/* DELETE FROM target t USING idem_import_rows s WHERE <place> AND <key> AND NOT (<newer>) */
char *
idem_apply_delete_query(const Target *target)
{
	return psprintf("DELETE FROM %s t USING %s WHERE %s AND NOT (%s)",
					target->name, rows(target), match(target), idem_target_newer(target));
}

/*
 * UPDATE target t SET "a" = s.c1, ... FROM idem_import_rows s
 * WHERE <place> AND <key> AND <differs> AND NOT (<newer>)
 *
 * NULL if there is no column to set.
 */
char *
idem_apply_update_query(const Target *target)
{
	StringInfoData set;

	initStringInfo(&set);
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (target->columns[i].updated && !target->columns[i].exchanged)
			appendStringInfo(&set, "%s%s = s.c%d", set.len > 0 ? ", " : "",
							 quote_identifier(target->columns[i].name), i + 1);
	}
	if (set.len == 0)
		return NULL;
	return psprintf("UPDATE %s t SET %s FROM %s WHERE %s AND %s AND NOT (%s)",
					target->name, set.data, rows(target), match(target),
					idem_target_differs(target), idem_target_newer(target));
}

/* INSERT INTO target ("a", "b") OVERRIDING SYSTEM VALUE SELECT s.c1, s.c2 FROM idem_import_rows s */
char *
idem_apply_insert_query(const Target *target)
{
	return psprintf("INSERT INTO %s (%s)%s SELECT %s FROM " APPLY_ROWS " s",
					target->name, idem_target_columns(target, ""),
					target->overriding ? " OVERRIDING SYSTEM VALUE" : "",
					idem_target_staged_columns(target));
}

/* Columns of the target that an exchanged row keeps: neither set by the import nor generated. */
static List *
kept_columns(const Target *target)
{
	TupleDesc	desc = RelationGetDescr(target->rel);
	List	   *names = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->attgenerated == '\0' &&
			idem_target_column(target, NameStr(att->attname)) < 0)
			names = lappend(names, makeString(pstrdup(NameStr(att->attname))));
	}
	return names;
}

/*
 * WITH old AS (
 *    DELETE FROM target t USING idem_import_rows s
 *    WHERE <place> AND <key> AND NOT (<newer>) AND record_image_ne(ROW(t."u"), ROW(s.c2))
 *    RETURNING s.c1, s.c2, t."kept")
 * INSERT INTO target ("a", "u", "kept") OVERRIDING SYSTEM VALUE
 * SELECT * FROM old ORDER BY 1 USING OPERATOR(pg_catalog.<)
 *
 * "u" are the columns that can't be updated in place.  The sort holds the
 * first insert back until the last row is deleted.
 */
char *
idem_apply_exchange_query(const Target *target, bool unique)
{
	StringInfoData returning;
	StringInfoData left;
	StringInfoData right;
	List	   *kept = kept_columns(target);
	const KeyColumn *key = &target->keys[0];
	Oid			lt_schema = get_func_namespace(get_opcode(key->lt_opr));

	initStringInfo(&returning);
	initStringInfo(&left);
	initStringInfo(&right);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const TargetColumn *column = &target->columns[i];
		char	   *mine = psprintf("t.%s", quote_identifier(column->name));
		char	   *staged = psprintf("s.c%d", i + 1);
		bool		is_key = false;

		for (int k = 0; k < target->nkeys; k++)
			is_key |= target->keys[k].column == i;
		appendStringInfo(&returning, "%s%s", i > 0 ? ", " : "", column->updated || is_key ? staged : mine);
		if (column->exchanged || (unique && column->unique))
		{
			appendStringInfo(&left, "%s%s", left.len > 0 ? ", " : "", mine);
			appendStringInfo(&right, "%s%s", right.len > 0 ? ", " : "", staged);
		}
	}
	if (left.len == 0)
		return NULL;

	return psprintf("WITH old AS (DELETE FROM %1$s t USING " APPLY_ROWS " s WHERE %2$s AND NOT (%3$s) "
					"AND pg_catalog.record_image_ne(ROW(%4$s), ROW(%5$s)) RETURNING %6$s%7$s%8$s) "
					"INSERT INTO %1$s (%9$s%7$s%10$s)%11$s SELECT * FROM old "
					"ORDER BY %12$d USING OPERATOR(%13$s.%14$s)",
					target->name, match(target), idem_target_newer(target),
					left.data, right.data, returning.data,
					kept != NIL ? ", " : "", idem_column_list(kept, "t."),
					idem_target_columns(target, ""), idem_column_list(kept, ""),
					RelationGetForm(target->rel)->relkind == RELKIND_VIEW ? "" : " OVERRIDING SYSTEM VALUE",
					key->column + 1,
					quote_identifier(get_namespace_name(lt_schema)), get_opname(key->lt_opr));
}
