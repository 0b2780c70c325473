/*-------------------------------------------------------------------------
 *
 * target.c
 *	  The table that an import writes, opened, and its parts as SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/sysattr.h"
#include "access/relation.h"
#include "base/error.h"
#include "base/relation.h"
#include "catalog/catalog.h"
#include "catalog/pg_inherits.h"
#include "flow/target.h"
#include "lib/stringinfo.h"
#include "nodes/value.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

/* Tables, partitioned ones, foreign ones and views; nothing of PostgreSQL's own. */
static void
require_target_kind(Relation rel)
{
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_FOREIGN_TABLE:
		case RELKIND_VIEW:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot import into \"%s\"", RelationGetRelationName(rel)),
					 errdetail_relkind_not_supported(rel->rd_rel->relkind)));
	}
	if (IsSystemRelation(rel))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot import into system catalog \"%s\"", RelationGetRelationName(rel))));
}

int
idem_target_column(const Target *target, const char *name)
{
	for (int i = 0; i < target->ncolumns; i++)
	{
		if (strcmp(target->columns[i].name, name) == 0)
			return i;
	}
	return -1;
}

static bool
list_has(List *strings, const char *name)
{
	ListCell   *lc;

	foreach(lc, strings)
	{
		if (strcmp(strVal(lfirst(lc)), name) == 0)
			return true;
	}
	return false;
}

static void
bind_columns(Target *target, const Definition *def)
{
	TupleDesc	desc = RelationGetDescr(target->rel);
	List	   *vanished = NIL;
	ListCell   *lc;

	target->columns = palloc0(sizeof(TargetColumn) * list_length(def->columns));
	foreach(lc, def->columns)
	{
		TargetColumn *column = &target->columns[target->ncolumns];
		Form_pg_attribute att;

		column->name = strVal(lfirst(lc));
		column->attnum = idem_relation_column(desc, column->name);
		if (column->attnum == InvalidAttrNumber ||
			TupleDescAttr(desc, column->attnum - 1)->attgenerated != '\0')
		{
			vanished = lappend(vanished, lfirst(lc));
			continue;
		}

		att = TupleDescAttr(desc, column->attnum - 1);
		column->type = att->atttypid;
		column->typmod = att->atttypmod;
		column->collation = att->attcollation;
		column->typlen = att->attlen;
		column->typbyval = att->attbyval;
		column->updated = !list_has(def->keep_columns, column->name);
		column->compared = column->updated && !list_has(def->ignore_columns, column->name);
		if (att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			target->overriding = column->exchanged = true;
		target->ncolumns++;
	}

	if (vanished != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_IDEM_COLUMNS_CHANGED),
				 errmsg("columns of \"%s\" have changed", RelationGetRelationName(target->rel)),
				 errdetail("Vanished or now generated: %s.", idem_column_list(vanished, "")),
				 errhint("Run idem_import_alter('%s', columns => ...) with the columns to import, '{}' for all that source and target share.",
						 def->name)));
}

/* Does equality in a btree operator class imply the same image? */
static bool
equal_means_same(Oid opfamily, Oid opcintype, Oid collation)
{
	Oid			proc = get_opfamily_proc(opfamily, opcintype, opcintype, BTEQUALIMAGE_PROC);

	return OidIsValid(proc) &&
		DatumGetBool(OidFunctionCall1Coll(proc, collation, ObjectIdGetDatum(opcintype)));
}

/*
 * A key column compares as the index does.  Where equal keys may still look
 * different (numeric 1.0 and 1.00, a case-insensitive collation), an update
 * sets the key too, lest target and source never agree.
 */
static void
bind_key_column(Target *target, KeyColumn *key, Oid opfamily, Oid opcintype, Oid collation)
{
	TargetColumn *column = &target->columns[key->column];
	TypeCacheEntry *type = lookup_type_cache(opcintype, TYPECACHE_BTREE_OPFAMILY);
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(target->rel), column->attnum - 1);

	key->eq_opr = get_opfamily_member(opfamily, opcintype, opcintype, BTEqualStrategyNumber);
	key->lt_opr = get_opfamily_member(opfamily, opcintype, opcintype, BTLessStrategyNumber);
	if (!OidIsValid(key->eq_opr) || !OidIsValid(key->lt_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("key column \"%s\" has a type that cannot be compared", column->name)));
	key->collation = collation;
	key->default_class = type->btree_opf == opfamily;
	key->nulls_equal = !att->attnotnull;
	fmgr_info(get_opcode(key->eq_opr), &key->eq);

	column->updated = !equal_means_same(opfamily, opcintype, collation);
	column->compared = column->updated;
	column->exchanged = false;
}

/*
 * Which index is missing; on a partitioned table PostgreSQL makes none that
 * leaves out a column of the partition key.
 */
static void
refuse_without_index(const Target *target, const Definition *def)
{
	TupleDesc	desc = RelationGetDescr(target->rel);
	Bitmapset  *partition = idem_relation_partition_columns(target->rel);
	char	   *columns = idem_column_list(def->key, "");
	char	   *hint = psprintf("Run CREATE UNIQUE INDEX ON %s (%s)%s.", target->name, columns,
								def->null_match ? " NULLS NOT DISTINCT" : "");

	for (int i = 0; i < desc->natts; i++)
	{
		char	   *name = NameStr(TupleDescAttr(desc, i)->attname);

		if (bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, partition) &&
			!list_member(def->key, makeString(name)))
			hint = psprintf("The key of a partitioned table must have the columns that it is partitioned by; add \"%s\".",
							name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			 errmsg("there is no unique index on \"%s\" of exactly the key (%s)",
					RelationGetRelationName(target->rel), columns),
			 errdetail("It must be unique, valid, immediate and not partial%s.",
					   def->null_match ? ", and treat NULLs as equal or have none" : ""),
			 errhint("%s", hint)));
}

static void
bind_key(Target *target, const Definition *def)
{
	Oid			indexoid = idem_relation_key_index(target->rel, def->key, def->null_match);
	bool		unguarded = idem_relation_unguarded(target->rel);
	Relation	index = NULL;
	ListCell   *lc;

	if (!OidIsValid(indexoid) && !unguarded)
		refuse_without_index(target, def);

	target->key_index = indexoid;
	target->guarded = OidIsValid(indexoid) && !unguarded;
	target->nkeys = list_length(def->key);
	target->keys = palloc0(sizeof(KeyColumn) * target->nkeys);
	if (OidIsValid(indexoid))
		index = index_open(indexoid, AccessShareLock);

	foreach(lc, def->key)
	{
		KeyColumn  *key = &target->keys[foreach_current_index(lc)];
		TargetColumn *column;

		key->column = idem_target_column(target, strVal(lfirst(lc)));
		column = &target->columns[key->column];

		if (index == NULL)
		{
			TypeCacheEntry *type = lookup_type_cache(getBaseType(column->type), TYPECACHE_BTREE_OPFAMILY);

			bind_key_column(target, key, type->btree_opf, type->btree_opintype, column->collation);
			continue;
		}
		for (int i = 0; i < index->rd_index->indnkeyatts; i++)
		{
			if (index->rd_index->indkey.values[i] == column->attnum)
				bind_key_column(target, key, index->rd_opfamily[i], index->rd_opcintype[i],
								index->rd_indcollation[i]);
		}
	}

	if (index != NULL)
		index_close(index, NoLock);

	if (!def->null_match)
	{
		for (int i = 0; i < target->nkeys; i++)
			target->keys[i].nulls_equal = false;
	}
}

/*
 * What an UPDATE may not set: identity that is always generated, and on
 * foreign partitions the partition key, since the row would stay where it is.
 */
static void
bind_exchanges(Target *target)
{
	Bitmapset  *unique = idem_relation_unique_columns(target->rel, target->key_index);
	Bitmapset  *partition = NULL;
	int			member = -1;

	/* a generated column is as unique as the columns that it is made of */
	while ((member = bms_next_member(unique, member)) >= 0)
	{
		AttrNumber	attnum = member + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0 && TupleDescAttr(RelationGetDescr(target->rel), attnum - 1)->attgenerated != '\0')
			pull_varattnos(build_column_default(target->rel, attnum), 1, &unique);
	}

	if (idem_relation_remote(target->rel))
		partition = idem_relation_partition_columns(target->rel);

	for (int i = 0; i < target->ncolumns; i++)
	{
		TargetColumn *column = &target->columns[i];
		int			offset = column->attnum - FirstLowInvalidHeapAttributeNumber;

		column->unique = column->updated && bms_is_member(offset, unique);
		if (column->updated && bms_is_member(offset, partition))
			column->exchanged = true;
		column->exchanged = column->exchanged && column->updated;
		target->exchanges |= column->exchanged;
	}
}

Target *
idem_target_open(const Definition *def)
{
	Target	   *target = palloc0(sizeof(Target));
	ListCell   *lc;

	target->rel = try_relation_open(def->target, AccessShareLock);
	if (target->rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target table of import \"%s\" does not exist any more", def->name),
				 errhint("Give it another one with idem_import_alter('%s', target => ...), or drop the import.",
						 def->name)));
	require_target_kind(target->rel);
	target->name = idem_relation_name(def->target);
	target->may_swallow = idem_relation_may_swallow(target->rel) ||
		check_enable_rls(def->target, InvalidOid, true) == RLS_ENABLED;
	target->version = -1;

	bind_columns(target, def);
	if (def->key != NIL)
	{
		bind_key(target, def);
		bind_exchanges(target);
	}

	if (def->version_column != NULL)
	{
		TypeCacheEntry *type;

		target->version = idem_target_column(target, def->version_column);
		type = lookup_type_cache(target->columns[target->version].type, TYPECACHE_GT_OPR);
		target->version_gt = type->gt_opr;
		if (!OidIsValid(target->version_gt))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("version column \"%s\" has a type that cannot be compared", def->version_column)));
	}

	target->scope = idem_scope_open(RelationGetDescr(target->rel), def->scope, def->slice);
	target->scope_columns = palloc(sizeof(int) * (list_length(def->scope) + 1));
	target->scope_in_key = def->scope != NIL;
	foreach(lc, def->scope)
	{
		target->scope_columns[foreach_current_index(lc)] = idem_target_column(target, strVal(lfirst(lc)));
		target->scope_in_key &= list_member(def->key, lfirst(lc));
	}
	return target;
}

void
idem_target_close(Target *target)
{
	relation_close(target->rel, NoLock);
}

void
idem_target_lock(const Target *target, LOCKMODE lockmode)
{
	list_free(find_all_inheritors(RelationGetRelid(target->rel), lockmode, NULL));
	LockRelationOid(RelationGetRelid(target->rel), lockmode);
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
 * Where NULL equals NULL, arrays of one element are compared: they take NULLs
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
		char	   *left = key_operand(target, key, false);
		char	   *right = key_operand(target, key, true);

		if (i > 0)
			appendStringInfoString(&buf, " AND ");
		if (key->nulls_equal && key->default_class && OidIsValid(get_array_type(type)))
		{
			appendStringInfo(&buf, "ARRAY[%s] OPERATOR(pg_catalog.=) ARRAY[%s]", left, right);
			continue;
		}
		if (key->nulls_equal)
			appendStringInfoChar(&buf, '(');
		generate_operator_clause(&buf, left, type, key->eq_opr, right, type);
		if (key->nulls_equal)
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
idem_target_columns(const Target *target)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", quote_identifier(target->columns[i].name));
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
