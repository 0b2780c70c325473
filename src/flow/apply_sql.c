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

/* RETURNING t."a", t."b" if rows are to be told */
static const char *
returning(const Target *target, bool told)
{
	return told ? psprintf(" RETURNING %s", idem_target_columns(target, "t.")) : "";
}

/* DELETE FROM target t WHERE <scope> */
char *
idem_apply_clear_query(const Target *target, bool told)
{
	return psprintf("DELETE FROM %s t WHERE %s%s", target->name, idem_scope_predicate(target->scope, "t"),
					returning(target, told));
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
idem_apply_remove_places_query(const Target *target, bool told)
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
					"AND pg_catalog.record_image_eq(ROW(%s), ROW(%s))%s",
					target->name, rows(target), same_place(target), idem_scope_predicate(target->scope, "t"),
					mine.data, theirs.data, returning(target, told));
}

/* DELETE FROM target t WHERE <scope> AND NOT EXISTS (SELECT FROM idem_import_rows s WHERE <key>) */
char *
idem_apply_remove_query(const Target *target, bool told)
{
	return psprintf("DELETE FROM %s t WHERE %s AND NOT EXISTS (SELECT FROM " APPLY_ROWS " s WHERE %s)%s",
					target->name, idem_scope_predicate(target->scope, "t"), idem_target_key_match(target),
					returning(target, told));
}

/* DELETE FROM target t USING idem_import_rows s WHERE <place> AND <key> AND NOT (<newer>) */
char *
idem_apply_delete_query(const Target *target, bool told)
{
	return psprintf("DELETE FROM %s t USING %s WHERE %s AND NOT (%s)%s",
					target->name, rows(target), match(target), idem_target_newer(target),
					returning(target, told));
}

/* s.was1, s.was2, or t."a" AS was1, t."b" AS was2: what the target row was */
static char *
old_columns(const Target *target, bool as)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (i > 0)
			appendStringInfoString(&buf, ", ");
		if (as)
			appendStringInfo(&buf, "t.%s AS was%d", quote_identifier(target->columns[i].name), i + 1);
		else
			appendStringInfo(&buf, "s.was%d", i + 1);
	}
	return buf.data;
}

/*
 * UPDATE target t SET "a" = s.c1, ... FROM idem_import_rows s
 * WHERE <place> AND <key> AND <differs> AND NOT (<newer>)
 *
 * NULL if there is no column to set.
 *
 * If rows are to be told, each also brings along what it was:
 *
 * UPDATE target t SET "a" = s.c1, ...
 * FROM (SELECT s.*, t."a" AS was1, t."b" AS was2 FROM idem_import_rows s JOIN target t ON <place> AND <key>) s
 * WHERE <place> AND <key> AND <differs> AND NOT (<newer>)
 *    AND pg_catalog.record_image_eq(ROW(t."a", t."b"), ROW(s.was1, s.was2))
 * RETURNING t."a", t."b", s.was1, s.was2
 *
 * A row that another session changes meanwhile is not what it was, and left
 * alone; it will be judged again.
 */
char *
idem_apply_update_query(const Target *target, bool told)
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
	if (told)
		return psprintf("UPDATE %1$s t SET %2$s FROM (SELECT s.*, %3$s FROM %4$s JOIN %1$s t ON %5$s) s "
						"WHERE %5$s AND %6$s AND NOT (%7$s) "
						"AND pg_catalog.record_image_eq(ROW(%8$s), ROW(%9$s)) RETURNING %8$s, %9$s",
						target->name, set.data, old_columns(target, true), rows(target), match(target),
						idem_target_differs(target), idem_target_newer(target),
						idem_target_columns(target, "t."), old_columns(target, false));
	return psprintf("UPDATE %s t SET %s FROM %s WHERE %s AND %s AND NOT (%s)",
					target->name, set.data, rows(target), match(target),
					idem_target_differs(target), idem_target_newer(target));
}

/* INSERT INTO target AS t ("a", "b") OVERRIDING SYSTEM VALUE SELECT s.c1, s.c2 FROM idem_import_rows s */
char *
idem_apply_insert_query(const Target *target, bool told)
{
	return psprintf("INSERT INTO %s AS t (%s)%s SELECT %s FROM " APPLY_ROWS " s%s",
					target->name, idem_target_columns(target, ""),
					target->overriding ? " OVERRIDING SYSTEM VALUE" : "",
					idem_target_staged_columns(target), returning(target, told));
}

/* The columns of what an exchange takes out, by number: prefix is c, k or was. */
static char *
numbered(const char *prefix, int n)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 1; i <= n; i++)
		appendStringInfo(&buf, "%s%s%d", i > 1 ? ", " : "", prefix, i);
	return buf.data;
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
 * WITH old (c1, c2, k1, was1, was2) AS (
 *    DELETE FROM target t USING idem_import_rows s
 *    WHERE <place> AND <key> AND NOT (<newer>) AND record_image_ne(ROW(t."u"), ROW(s.c2))
 *    RETURNING s.c1, s.c2, t."kept", t."a", t."u")
 * INSERT INTO target ("a", "u", "kept") OVERRIDING SYSTEM VALUE
 * SELECT c1, c2, k1 FROM old ORDER BY 1 USING OPERATOR(pg_catalog.<)
 *
 * "u" are the columns that can't be updated in place.  The sort holds the
 * first insert back until the last row is deleted.
 *
 * If rows are to be told, the INSERT is one more part of WITH, and after it:
 *
 * , new AS (INSERT ... RETURNING "a", "u")
 * SELECT t."a", t."u", s.was1, s.was2 FROM new t JOIN old s ON <key>
 */
char *
idem_apply_exchange_query(const Target *target, bool unique, bool told)
{
	StringInfoData taken;
	StringInfoData left;
	StringInfoData right;
	List	   *kept = kept_columns(target);
	const KeyColumn *key = &target->keys[0];
	char	   *columns;
	char	   *query;
	Oid			lt_schema = get_func_namespace(get_opcode(key->lt_opr));

	initStringInfo(&taken);
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
		appendStringInfo(&taken, "%s%s", i > 0 ? ", " : "", column->updated || is_key ? staged : mine);
		if (column->exchanged || (unique && column->unique))
		{
			appendStringInfo(&left, "%s%s", left.len > 0 ? ", " : "", mine);
			appendStringInfo(&right, "%s%s", right.len > 0 ? ", " : "", staged);
		}
	}
	if (left.len == 0)
		return NULL;

	columns = psprintf("%s%s%s", numbered("c", target->ncolumns),
					   kept != NIL ? ", " : "", numbered("k", list_length(kept)));
	query = psprintf("WITH old (%12$s, %13$s) AS (DELETE FROM %1$s t USING " APPLY_ROWS " s WHERE %2$s AND NOT (%3$s) "
					 "AND pg_catalog.record_image_ne(ROW(%4$s), ROW(%5$s)) RETURNING %6$s%7$s%8$s, %14$s)%15$s "
					 "INSERT INTO %1$s AS t (%9$s%7$s%10$s)%11$s SELECT %12$s FROM old "
					 "ORDER BY %16$d USING OPERATOR(%17$s.%18$s)",
					 target->name, match(target), idem_target_newer(target),
					 left.data, right.data, taken.data,
					 kept != NIL ? ", " : "", idem_column_list(kept, "t."),
					 idem_target_columns(target, ""), idem_column_list(kept, ""),
					 RelationGetForm(target->rel)->relkind == RELKIND_VIEW ? "" : " OVERRIDING SYSTEM VALUE",
					 columns, numbered("was", target->ncolumns), idem_target_columns(target, "t."),
					 told ? ", new AS (" : "", key->column + 1,
					 quote_identifier(get_namespace_name(lt_schema)), get_opname(key->lt_opr));
	if (!told)
		return query;
	return psprintf("%s%s) SELECT %s, %s FROM new t JOIN old s ON %s", query, returning(target, true),
					idem_target_columns(target, "t."), old_columns(target, false), idem_target_key_match(target));
}
