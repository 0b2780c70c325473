/*-------------------------------------------------------------------------
 *
 * relation.c
 *	  What PostgreSQL's catalogs say of a relation.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "base/relation.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "nodes/value.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"

char *
idem_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

AttrNumber
idem_relation_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	return InvalidAttrNumber;
}

char *
idem_column_list(List *names, const char *prefix)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
		appendStringInfo(&buf, "%s%s%s", buf.len > 0 ? ", " : "", prefix,
						 quote_identifier(strVal(lfirst(lc))));
	return buf.data;
}

static bool
index_is_key(Relation rel, Relation index, List *columns, bool null_match)
{
	Form_pg_index form = index->rd_index;
	TupleDesc	desc = RelationGetDescr(rel);
	bool		nullable = false;
	ListCell   *lc;

	if (index->rd_rel->relam != BTREE_AM_OID ||
		!form->indisunique || !form->indimmediate || !form->indisvalid || !form->indisready ||
		!form->indislive || form->indnkeyatts != list_length(columns) ||
		RelationGetIndexExpressions(index) != NIL || RelationGetIndexPredicate(index) != NIL)
		return false;

	foreach(lc, columns)
	{
		AttrNumber	attnum = idem_relation_column(desc, strVal(lfirst(lc)));
		bool		found = false;

		for (int i = 0; i < form->indnkeyatts; i++)
			found |= form->indkey.values[i] == attnum;
		if (!found)
			return false;
		nullable |= !TupleDescAttr(desc, attnum - 1)->attnotnull;
	}
	return !null_match || !nullable || form->indnullsnotdistinct;
}

Oid
idem_relation_key_index(Relation rel, List *columns, bool null_match)
{
	List	   *indexes;
	ListCell   *lc;
	Oid			result = InvalidOid;

	if (!rel->rd_rel->relhasindex)
		return InvalidOid;

	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Oid			indexoid = lfirst_oid(lc);
		Relation	index = index_open(indexoid, AccessShareLock);

		/* the primary key first, else the oldest */
		if (index_is_key(rel, index, columns, null_match) &&
			(!OidIsValid(result) || index->rd_index->indisprimary))
			result = indexoid;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return result;
}

void
idem_relation_release(Relation rel, const List *relids)
{
	const ListCell *lc;

	foreach(lc, relids)
	{
		if (lfirst_oid(lc) != RelationGetRelid(rel))
			UnlockRelationOid(lfirst_oid(lc), AccessShareLock);
	}
}

bool
idem_relation_remote(Relation rel)
{
	List	   *children;
	ListCell   *lc;
	bool		remote = rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE;

	if (remote || !rel->rd_rel->relhassubclass)
		return remote;

	children = find_all_inheritors(RelationGetRelid(rel), NoLock, NULL);
	foreach(lc, children)
		remote |= get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE;
	list_free(children);
	return remote;
}

bool
idem_relation_unguarded(Relation rel)
{
	char		relkind = rel->rd_rel->relkind;

	if (relkind == RELKIND_VIEW)
		return true;
	if (relkind == RELKIND_RELATION && has_subclass(RelationGetRelid(rel)) &&
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		return true;
	return idem_relation_remote(rel);
}

static bool
has_swallowing_trigger(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	return triggers != NULL &&
		(triggers->trig_insert_before_row || triggers->trig_update_before_row ||
		 triggers->trig_delete_before_row || triggers->trig_insert_instead_row ||
		 triggers->trig_update_instead_row || triggers->trig_delete_instead_row);
}

static bool
has_user_trigger(Relation rel)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		if (!rel->trigdesc->triggers[i].tgisinternal)
			return true;
	}
	return false;
}

bool
idem_relation_user_triggers(Relation rel)
{
	List	   *children;
	ListCell   *lc;
	bool		result = has_user_trigger(rel);

	if (result || !rel->rd_rel->relhassubclass)
		return result;

	children = find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL);
	foreach(lc, children)
	{
		Relation	child = table_open(lfirst_oid(lc), NoLock);

		result |= has_user_trigger(child);
		table_close(child, NoLock);
	}
	idem_relation_release(rel, children);
	list_free(children);
	return result;
}

bool
idem_relation_may_swallow(Relation rel)
{
	List	   *children;
	ListCell   *lc;
	bool		result;

	result = rel->rd_rel->relkind == RELKIND_VIEW || rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE ||
		rel->rd_rel->relhasrules || has_swallowing_trigger(rel);
	if (result || !rel->rd_rel->relhassubclass)
		return result;

	children = find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL);
	foreach(lc, children)
	{
		Relation	child = table_open(lfirst_oid(lc), NoLock);

		result |= child->rd_rel->relkind == RELKIND_FOREIGN_TABLE || has_swallowing_trigger(child);
		table_close(child, NoLock);
	}
	idem_relation_release(rel, children);
	list_free(children);
	return result;
}

Bitmapset *
idem_relation_unique_columns(Relation rel, Oid except_index)
{
	List	   *indexes = RelationGetIndexList(rel);
	Bitmapset  *result = NULL;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index;

		if (lfirst_oid(lc) == except_index)
			continue;

		index = index_open(lfirst_oid(lc), AccessShareLock);
		if (index->rd_index->indisunique || index->rd_index->indisexclusion)
		{
			for (int i = 0; i < index->rd_index->indnkeyatts; i++)
			{
				AttrNumber	attnum = index->rd_index->indkey.values[i];

				if (attnum != 0)
					result = bms_add_member(result, attnum - FirstLowInvalidHeapAttributeNumber);
			}
			pull_varattnos((Node *) RelationGetIndexExpressions(index), 1, &result);
			pull_varattnos((Node *) RelationGetIndexPredicate(index), 1, &result);
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return result;
}

Bitmapset *
idem_relation_partition_columns(Relation rel)
{
	Bitmapset  *result = NULL;
	List	   *relids;
	ListCell   *lc;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return NULL;

	/* partitions are partitioned in turn, by columns that have the same names */
	relids = find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL);
	foreach(lc, relids)
	{
		Relation	part = table_open(lfirst_oid(lc), NoLock);
		PartitionKey key = RelationGetPartitionKey(part);

		if (key != NULL)
		{
			Bitmapset  *columns = NULL;
			int			offset;

			for (int i = 0; i < key->partnatts; i++)
			{
				if (key->partattrs[i] != 0)
					columns = bms_add_member(columns, key->partattrs[i] - FirstLowInvalidHeapAttributeNumber);
			}
			pull_varattnos((Node *) key->partexprs, 1, &columns);

			offset = -1;
			while ((offset = bms_next_member(columns, offset)) >= 0)
			{
				AttrNumber	attnum = offset + FirstLowInvalidHeapAttributeNumber;
				char	   *name = get_attname(RelationGetRelid(part), attnum, false);

				attnum = idem_relation_column(RelationGetDescr(rel), name);
				result = bms_add_member(result, attnum - FirstLowInvalidHeapAttributeNumber);
			}
		}
		table_close(part, NoLock);
	}
	idem_relation_release(rel, relids);
	list_free(relids);
	return result;
}

static bool
does_more_on_delete(Form_pg_constraint constraint)
{
	return constraint->confdeltype != FKCONSTR_ACTION_NOACTION;
}

static bool
changes_itself_on_update(Form_pg_constraint constraint)
{
	return constraint->conrelid == constraint->confrelid &&
		constraint->confupdtype != FKCONSTR_ACTION_NOACTION &&
		constraint->confupdtype != FKCONSTR_ACTION_RESTRICT;
}

static bool
is_to_itself(Form_pg_constraint constraint)
{
	return constraint->conrelid == constraint->confrelid;
}

/* The foreign keys that refer to a table stand in pg_constraint by confrelid, which has no index. */
static bool
any_reference(Relation rel, bool (*test) (Form_pg_constraint))
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key[0], Anum_pg_constraint_confrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(rel)));
	ScanKeyInit(&key[1], Anum_pg_constraint_contype, BTEqualStrategyNumber, F_CHAREQ,
				CharGetDatum(CONSTRAINT_FOREIGN));
	scan = systable_beginscan(constraints, InvalidOid, false, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result |= test((Form_pg_constraint) GETSTRUCT(tuple));
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return result;
}

bool
idem_relation_delete_cascades(Relation rel)
{
	return any_reference(rel, does_more_on_delete);
}

bool
idem_relation_update_cascades(Relation rel)
{
	return any_reference(rel, changes_itself_on_update);
}

bool
idem_relation_refers_to_itself(Relation rel)
{
	return any_reference(rel, is_to_itself);
}

/* Citus lists its tables in a catalog of its own, with their OIDs. */
bool
idem_relation_distributed(Relation rel)
{
	Oid			catalog = get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE);
	Relation	tables;
	ScanKeyData key;
	SysScanDesc scan;
	bool		result;

	if (!OidIsValid(catalog))
		return false;

	tables = table_open(catalog, AccessShareLock);
	ScanKeyInit(&key, idem_relation_column(RelationGetDescr(tables), "logicalrelid"), BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(RelationGetRelid(rel)));
	scan = systable_beginscan(tables, InvalidOid, false, NULL, 1, &key);
	result = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(tables, AccessShareLock);
	return result;
}
