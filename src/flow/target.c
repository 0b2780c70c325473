/*-------------------------------------------------------------------------
 *
 * target.c
 *	  The table that an import writes, opened.
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
#include "flow/determinism.h"
#include "flow/target.h"
#include "nodes/value.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/typcache.h"

/* Tables, partitioned ones, foreign ones and views; nothing of PostgreSQL's own. */
void
idem_target_require_kind(Relation rel)
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
				 errhint("Run idem_import_alter(%s, columns => ...) with the columns to import, '{}' for all that source and target share.",
						 quote_literal_cstr(def->name))));
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

	key->equal_is_same = equal_means_same(opfamily, opcintype, collation);
	column->updated = !key->equal_is_same;
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
		index_close(index, AccessShareLock);

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

/* Is the scope column in the key, and equal there to what it is equal to in the scope? */
static bool
key_has_scope(const Target *target, int scope_column)
{
	const ScopeColumn *column = &target->scope->columns[scope_column];

	for (int i = 0; i < target->nkeys; i++)
	{
		if (target->keys[i].column == target->scope_columns[scope_column] &&
			target->keys[i].eq_opr == column->eq_opr && target->keys[i].collation == column->collation)
			return true;
	}
	return false;
}

Target *
idem_target_open(const Definition *def, LOCKMODE lockmode)
{
	Target	   *target = palloc0(sizeof(Target));
	ListCell   *lc;

	target->rel = try_relation_open(def->target, lockmode);
	if (target->rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target table of import \"%s\" does not exist any more", def->name),
				 errhint("Give it another one with idem_import_alter(%s, target => ...), or drop the import.",
						 quote_literal_cstr(def->name))));
	idem_target_require_kind(target->rel);
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
		target->scope_in_key &= key_has_scope(target, foreach_current_index(lc));
	}
	return target;
}

void
idem_target_require_deterministic(const Target *target)
{
	Bitmapset  *imported = NULL;

	for (int i = 0; i < target->ncolumns; i++)
		imported = bms_add_member(imported,
								  target->columns[i].attnum - FirstLowInvalidHeapAttributeNumber);
	idem_require_deterministic_defaults(target->rel, imported);
}

void
idem_target_close(Target *target)
{
	relation_close(target->rel, NoLock);
}

void
idem_target_release(Target *target, LOCKMODE lockmode)
{
	relation_close(target->rel, lockmode);
}

LOCKMODE
idem_target_run_lock(const Target *target)
{
	return target->nkeys == 0 || target->guarded ? RowExclusiveLock : ShareRowExclusiveLock;
}

/* The parent before its partitions, as LOCK TABLE does; a view with what it reads. */
static void
lock_relation(Relation rel, LOCKMODE lockmode)
{
	ListCell   *lc;

	LockRelationOid(RelationGetRelid(rel), lockmode);
	if (rel->rd_rel->relkind != RELKIND_VIEW)
	{
		list_free(find_all_inheritors(RelationGetRelid(rel), lockmode, NULL));
		return;
	}

	foreach(lc, get_view_query(rel)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		/* before 16, a view's query also lists the view itself */
		if (rte->rtekind == RTE_RELATION && rte->relid != RelationGetRelid(rel))
		{
			Relation	base = relation_open(rte->relid, AccessShareLock);

			lock_relation(base, lockmode);
			relation_close(base, NoLock);
		}
	}
}

void
idem_target_lock(const Target *target, LOCKMODE lockmode)
{
	lock_relation(target->rel, lockmode);
}
