/*-------------------------------------------------------------------------
 *
 * new_heap_obstacle.c
 *	  Whether a table's storage may be exchanged for another one.
 *
 * An exchange passes by all that hangs on single rows: triggers, foreign keys,
 * rules, policies, logical decoding.  It passes by whoever holds a row's place
 * in the old storage, too: open cursors, queued trigger events.  And a table
 * may be other than it looks: a shell whose rows lie elsewhere.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "base/new_heap.h"
#include "base/relation.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_publication.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

static const char *
kind_obstacle(Relation rel)
{
	Form_pg_class form = rel->rd_rel;

	if (form->relkind != RELKIND_RELATION)
		return "it is not a plain table";
	if (form->relam != HEAP_TABLE_AM_OID || rel->rd_tableam != GetHeapamTableAmRoutine())
		return "its access method is not heap";
	if (form->relpersistence == RELPERSISTENCE_TEMP)
		return "it is a temporary table";
	if (IsSystemRelation(rel) || RelationIsMapped(rel) || RelationIsUsedAsCatalogTable(rel))
		return "it is a catalog";
	if (OidIsValid(form->relrewrite))
		return "it is being rewritten";
	if (find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		return "other tables inherit from it";
	if (!form->relispartition && has_superclass(RelationGetRelid(rel)))
		return "it inherits from another table";
	if (OidIsValid(form->reltoastrelid) && !table_relation_needs_toast_table(rel))
		return "it needs its TOAST table no more";
	return NULL;
}

/* What a statement that writes rel or a table above it would set off. */
static const char *
side_effect(Relation rel)
{
	TriggerDesc *triggers;

	if (rel->rd_rules != NULL)
		return "rules";
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED)
		return "row-level security";

	/* not before: a look into a catalog may build it anew */
	triggers = rel->trigdesc;
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!trigger->tgisinternal && trigger->tgenabled != TRIGGER_DISABLED)
			return "triggers";
	}
	return NULL;
}

static const char *
side_effect_obstacle(Relation rel)
{
	const char *effect = side_effect(rel);
	ListCell   *lc;

	if (effect != NULL)
		return psprintf("it has %s", effect);
	if (!rel->rd_rel->relispartition)
		return NULL;
	foreach(lc, get_partition_ancestors(RelationGetRelid(rel)))
	{
		Relation	ancestor = table_open(lfirst_oid(lc), AccessShareLock);

		effect = side_effect(ancestor);
		if (effect != NULL)
			effect = psprintf("\"%s\", which it is a partition of, has %s",
							  RelationGetRelationName(ancestor), effect);
		table_close(ancestor, NoLock);
		if (effect != NULL)
			return effect;
	}
	return NULL;
}

static const char *
constraint_obstacle(Relation rel)
{
	TriggerDesc *triggers;
	List	   *indexes;
	ListCell   *lc;
	const char *obstacle = NULL;

	if (RelationGetFKeyList(rel) != NIL)
		return "it has a foreign key";

	/*
	 * Nothing else leads from a referenced table to what refers to it.  Not
	 * before: a look into a catalog may build it anew.
	 */
	triggers = rel->trigdesc;
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		switch (RI_FKey_trigger_type(triggers->triggers[i].tgfoid))
		{
			case RI_TRIGGER_PK:
				return "a foreign key refers to it";
			case RI_TRIGGER_FK:
				return "it has a foreign key";
			default:
				break;
		}

	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if (form->indisexclusion)
			obstacle = "it has an exclusion constraint";
		else if (!form->indisvalid || !form->indisready || !form->indislive)
			obstacle = psprintf("its index \"%s\" is not valid", RelationGetRelationName(index));
		index_close(index, NoLock);
		if (obstacle != NULL)
			break;
	}
	list_free(indexes);
	return obstacle;
}

static bool
database_has_logical_slot(void)
{
	bool		found = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !found; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		found = slot->in_use && SlotIsLogical(slot) && slot->data.database == MyDatabaseId;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return found;
}

/* Decoding leaves out what is written to a transient table, by design. */
static const char *
replication_obstacle(Relation rel)
{
	PublicationDesc publication;

	if (rel->rd_rel->relreplident != REPLICA_IDENTITY_DEFAULT)
		return "it has a replica identity of its own";
	if (!XLogLogicalInfoActive() || rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		return NULL;
	RelationBuildPublicationDesc(rel, &publication);
	if (publication.pubactions.pubinsert || publication.pubactions.pubupdate ||
		publication.pubactions.pubdelete || publication.pubactions.pubtruncate)
		return "it is published";
	if (database_has_logical_slot())
		return "the database has a logical replication slot";
	return NULL;
}

const char *
idem_new_heap_obstacle(Relation rel, int references)
{
	const char *obstacle;

	if ((obstacle = kind_obstacle(rel)) != NULL ||
		(obstacle = side_effect_obstacle(rel)) != NULL ||
		(obstacle = constraint_obstacle(rel)) != NULL ||
		(obstacle = replication_obstacle(rel)) != NULL)
		return obstacle;
	if (idem_relation_distributed(rel))
		return "its rows lie in shards";
	if (rel->rd_refcnt > references)
		return "this session is reading it";
	if (AfterTriggerPendingOnRel(RelationGetRelid(rel)))
		return "it has pending trigger events";
	return NULL;
}
