/*-------------------------------------------------------------------------
 *
 * new_heap_exchange.c
 *	  Exchanging the files of a table for those of the transient one.
 *
 * Readers wait from AccessExclusiveLock to the end of the transaction.  What
 * takes time is done before: the log is on disk up to here, or the files are
 * that are not logged; the statistics are in place; the sizes are known.  What
 * is left are two pg_class rows for each pair of files, and to drop the
 * transient table, which by then has the old files.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/toast_internals.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/new_heap_state.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/storage.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "storage/smgr.h"
#include "utils/syscache.h"

#define SWAP(type, a, b) \
	do { \
		type		swapped = (a); \
		(a) = (b); \
		(b) = swapped; \
	} while (0)

/*
 * A file that was never logged is written out at commit, unless it is so small
 * that it is logged then.  Written now, it makes that nothing.
 */
static void
sync_unlogged(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);

	if (RelationIsPermanent(rel) && !RelationNeedsWAL(rel) &&
		RelationGetNumberOfBlocks(rel) >= (uint64) wal_skip_threshold * 1024 / BLCKSZ)
	{
		SMgrRelation smgr = RelationGetSmgr(rel);

		smgrdosyncall(&smgr, 1);
	}
	relation_close(rel, NoLock);
}

static void
make_durable(NewHeap *heap)
{
	Oid			toast_oid = heap->new->rd_rel->reltoastrelid;

	sync_unlogged(RelationGetRelid(heap->new));
	if (OidIsValid(toast_oid))
	{
		sync_unlogged(toast_oid);
		sync_unlogged(toast_get_valid_index(toast_oid, NoLock));
	}
	for (int i = 0; i < heap->nindexes; i++)
		sync_unlogged(heap->indexes[i].new);

	/* there are files to unlink, so the commit waits for its record whatever synchronous_commit says */
	XLogFlush(XactLastRecEnd);
}

/* Write the sizes of a heap where they will be exchanged. */
static void
note_size(Oid relid, double rows)
{
	Relation	rel = table_open(relid, NoLock);
	Relation	catalog = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	BlockNumber visible;
	BlockNumber frozen;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	form = (Form_pg_class) GETSTRUCT(tuple);
	visibilitymap_count(rel, &visible, &frozen);
	form->relpages = (int32) RelationGetNumberOfBlocks(rel);
	form->reltuples = (float4) rows;
	form->relallvisible = (int32) visible;
	IDEM_SET_RELALLFROZEN(form, (int32) frozen);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	table_close(rel, NoLock);
}

static void
note_sizes(NewHeap *heap)
{
	note_size(RelationGetRelid(heap->new), heap->nrows);
	if (OidIsValid(heap->new->rd_rel->reltoastrelid))
		note_size(heap->new->rd_rel->reltoastrelid, idem_new_heap_toast_rows(heap));
	CommandCounterIncrement();
}

/*
 * The files of "old" are from now on those of this transaction, and those of
 * "new" what "old" had: for relcache, which knows by this which files are not
 * logged.
 */
static void
exchange_creation(Oid old_oid, Oid new_oid)
{
	Relation	old = relation_open(old_oid, NoLock);
	Relation	new = relation_open(new_oid, NoLock);

	new->rd_createSubid = old->rd_createSubid;
	new->rd_newRelfilelocatorSubid = old->rd_newRelfilelocatorSubid;
	new->rd_firstRelfilelocatorSubid = old->rd_firstRelfilelocatorSubid;
	RelationAssumeNewRelfilelocator(old);
	TransferPredicateLocksToHeapRelation(old);
	relation_close(new, NoLock);
	relation_close(old, NoLock);
}

static HeapTuple
class_row(Oid relid)
{
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	return tuple;
}

static void
exchange_files(Relation catalog, CatalogIndexState indexes, Oid old_oid, Oid new_oid)
{
	HeapTuple	old_row = class_row(old_oid);
	HeapTuple	new_row = class_row(new_oid);
	Form_pg_class old = (Form_pg_class) GETSTRUCT(old_row);
	Form_pg_class new = (Form_pg_class) GETSTRUCT(new_row);

	if (old->relkind != new->relkind || old->relam != new->relam ||
		old->relpersistence != new->relpersistence ||
		!OidIsValid(old->relfilenode) || !OidIsValid(new->relfilenode))
		elog(ERROR, "relations %u and %u are not of one kind", old_oid, new_oid);

	exchange_creation(old_oid, new_oid);

	SWAP(Oid, old->relfilenode, new->relfilenode);
	SWAP(Oid, old->reltablespace, new->reltablespace);
	SWAP(Oid, old->reltoastrelid, new->reltoastrelid);
	SWAP(int32, old->relpages, new->relpages);
	SWAP(float4, old->reltuples, new->reltuples);
	SWAP(int32, old->relallvisible, new->relallvisible);
	IDEM_SWAP_RELALLFROZEN(old, new);
	SWAP(TransactionId, old->relfrozenxid, new->relfrozenxid);
	SWAP(MultiXactId, old->relminmxid, new->relminmxid);

	CatalogTupleUpdateWithInfo(catalog, &old_row->t_self, old_row, indexes);
	CatalogTupleUpdateWithInfo(catalog, &new_row->t_self, new_row, indexes);
	InvokeObjectPostAlterHookArg(RelationRelationId, old_oid, 0, InvalidOid, true);
	InvokeObjectPostAlterHookArg(RelationRelationId, new_oid, 0, InvalidOid, true);

	heap_freetuple(old_row);
	heap_freetuple(new_row);

	/* else each relcache entry could keep what the other one closes */
	RelationCloseSmgrByOid(old_oid);
	RelationCloseSmgrByOid(new_oid);
}

/*
 * Locks on the indexes and the TOAST table cost no wait: whoever has one has
 * one on the table, or its lock on the TOAST table would conflict with ours.
 */
static void
lock_out_readers(NewHeap *heap, int patience)
{
	Oid			toast_oid = heap->rel->rd_rel->reltoastrelid;

	idem_new_heap_lock_table(heap->rel, AccessExclusiveLock, patience);
	for (int i = 0; i < heap->nindexes; i++)
		LockRelationOid(heap->indexes[i].old, AccessExclusiveLock);
	if (OidIsValid(toast_oid))
	{
		LockRelationOid(toast_oid, AccessExclusiveLock);
		(void) toast_get_valid_index(toast_oid, AccessExclusiveLock);
	}

	if (heap->rel->rd_refcnt > heap->references ||
		AfterTriggerPendingOnRel(RelationGetRelid(heap->rel)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("could not exchange the storage of table \"%s\" because it is being used by active queries in this session",
						RelationGetRelationName(heap->rel))));
	if (list_length(RelationGetIndexList(heap->rel)) != heap->nindexes)
		elog(ERROR, "table \"%s\" got or lost an index", RelationGetRelationName(heap->rel));
}

/* A TOAST table goes with the table that it depends on. */
static void
own_toast(Oid relid, Oid toast_oid)
{
	ObjectAddress table;
	ObjectAddress toast;

	if (!OidIsValid(toast_oid))
		return;
	ObjectAddressSet(table, RelationRelationId, relid);
	ObjectAddressSet(toast, RelationRelationId, toast_oid);
	deleteDependencyRecordsFor(RelationRelationId, toast_oid, false);
	recordDependencyOn(&toast, &table, DEPENDENCY_INTERNAL);
}

/* The new TOAST table gets the name that the old one had: so it is called after its table. */
static void
name_toast(Oid relid, Oid toast_oid)
{
	char		name[NAMEDATALEN];

	if (!OidIsValid(toast_oid))
		return;
	snprintf(name, sizeof(name), "pg_toast_%u", relid);
	RenameRelationInternal(toast_oid, name, true, false);
	snprintf(name, sizeof(name), "pg_toast_%u_index", relid);
	RenameRelationInternal(toast_get_valid_index(toast_oid, AccessShareLock), name, true, true);
	CommandCounterIncrement();
	ResetRelRewrite(toast_oid);
}

static void
exchange_all(NewHeap *heap)
{
	Oid			old = RelationGetRelid(heap->rel);
	Oid			new = RelationGetRelid(heap->new);
	Oid			old_toast = heap->rel->rd_rel->reltoastrelid;
	Oid			new_toast = heap->new->rd_rel->reltoastrelid;
	Relation	catalog = table_open(RelationRelationId, RowExclusiveLock);
	CatalogIndexState indexes = CatalogOpenIndexes(catalog);

	/* like TRUNCATE: whoever read rows that go now, read them before us */
	CheckTableForSerializableConflictIn(heap->rel);

	exchange_files(catalog, indexes, old, new);
	for (int i = 0; i < heap->nindexes; i++)
		exchange_files(catalog, indexes, heap->indexes[i].old, heap->indexes[i].new);
	CatalogCloseIndexes(indexes);
	table_close(catalog, RowExclusiveLock);

	own_toast(new, old_toast);
	own_toast(old, new_toast);
}

void
idem_new_heap_lock(NewHeap *heap, int patience)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(heap->batch_cxt);

	Assert(heap->built);

	note_sizes(heap);
	idem_new_heap_move_statistics(heap);
	make_durable(heap);
	lock_out_readers(heap, patience);
	MemoryContextSwitchTo(oldcxt);
}

void
idem_new_heap_exchange(NewHeap *heap)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(heap->batch_cxt);
	Oid			relid = RelationGetRelid(heap->rel);
	Oid			toast_oid = heap->new->rd_rel->reltoastrelid;

	idem_new_heap_report(heap);
	exchange_all(heap);

	MemoryContextSwitchTo(oldcxt);
	idem_new_heap_close(heap);
	name_toast(relid, toast_oid);
}
