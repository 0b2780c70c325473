/*-------------------------------------------------------------------------
 *
 * new_heap.c
 *	  Making the transient table, filling it, building its indexes.
 *
 * make_new_heap gives a table of the same shape, with a TOAST table of its own,
 * whose values can be read from the first: an index on an expression needs
 * them, and so does whoever compares old rows and new ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/new_heap_state.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/cluster.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/*
 * No free space map, as no page is going to have room; frozen, as no other
 * transaction can see the table before it is complete.
 */
#define INSERT_OPTIONS (TABLE_INSERT_SKIP_FSM | TABLE_INSERT_FROZEN)

NewHeap *
idem_new_heap_create(Relation rel, int references, int patience)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import new heap",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcxt = MemoryContextSwitchTo(cxt);
	NewHeap    *heap = palloc0(sizeof(NewHeap));
	const char *obstacle;
	Oid			new;

	idem_new_heap_lock_table(rel, ExclusiveLock, patience);

	/*
	 * Autovacuum may be at work on the TOAST table alone, and wouldn't give way
	 * for a second: wait for it now, not while readers wait as well.
	 */
	if (OidIsValid(rel->rd_rel->reltoastrelid))
		LockRelationOid(rel->rd_rel->reltoastrelid, ExclusiveLock);

	/* only now does nobody add one */
	obstacle = idem_new_heap_obstacle(rel, references);
	if (obstacle != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not exchange the storage of table \"%s\": %s",
						RelationGetRelationName(rel), obstacle)));

	heap->cxt = cxt;
	heap->batch_cxt = AllocSetContextCreate(cxt, "idem_import new heap batch", ALLOCSET_DEFAULT_SIZES);
	heap->rel = rel;
	heap->references = references;
	heap->has_missing = RelationGetDescr(rel)->constr != NULL && RelationGetDescr(rel)->constr->missing != NULL;

	new = make_new_heap(RelationGetRelid(rel), rel->rd_rel->reltablespace, rel->rd_rel->relam,
						rel->rd_rel->relpersistence, ExclusiveLock);
	heap->new = table_open(new, AccessExclusiveLock);
	heap->cid = GetCurrentCommandId(true);
	heap->bulk = GetBulkInsertState();

	MemoryContextSwitchTo(oldcxt);
	return heap;
}

/*
 * Must the row be formed anew?  An old row as on disk may lack columns that rel
 * knows a value for and the transient table doesn't.
 */
static bool
needs_forming(NewHeap *heap, TupleTableSlot *slot)
{
	return heap->has_missing && !TTS_IS_VIRTUAL(slot);
}

/* The row formed anew, in the spare slot of that number. */
static TupleTableSlot *
form_row(NewHeap *heap, TupleTableSlot *slot, int number)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;
	TupleTableSlot *spare;

	if (number < list_length(heap->spare))
		spare = list_nth(heap->spare, number);
	else
	{
		MemoryContext oldcxt = MemoryContextSwitchTo(heap->cxt);

		/* a copy of the descriptor: relcache's has references to count */
		spare = MakeTupleTableSlot(CreateTupleDescCopy(desc), &TTSOpsHeapTuple);
		heap->spare = lappend(heap->spare, spare);
		MemoryContextSwitchTo(oldcxt);
	}

	slot_getallattrs(slot);
	ExecStoreHeapTuple(heap_form_tuple(desc, slot->tts_values, slot->tts_isnull), spare, false);
	return spare;
}

void
idem_new_heap_put(NewHeap *heap, TupleTableSlot **slots, int nslots)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(heap->batch_cxt);
	TupleTableSlot **rows = palloc(nslots * sizeof(TupleTableSlot *));
	int			nspare = 0;

	Assert(!heap->built);

	for (int i = 0; i < nslots; i++)
		rows[i] = needs_forming(heap, slots[i]) ? form_row(heap, slots[i], nspare++) : slots[i];
	table_multi_insert(heap->new, rows, nslots, heap->cid, INSERT_OPTIONS, heap->bulk);
	heap->nrows += nslots;

	for (int i = 0; i < nspare; i++)
		ExecClearTuple(list_nth(heap->spare, i));
	MemoryContextSwitchTo(oldcxt);
	MemoryContextReset(heap->batch_cxt);
}

/*
 * An index's copy has a name of its own, and would stand under it in the
 * message on rows that collide.
 */
static void
build_index(NewHeap *heap, Relation index, const char *name)
{
	MemoryContext cxt = CurrentMemoryContext;
	int			guc_level = NewGUCNestLevel();

	/* its functions run as the owner, who has not chosen our path */
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	PG_TRY();
	{
		index_build(heap->new, index, BuildIndexInfo(index), false, true);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (geterrcode() != ERRCODE_UNIQUE_VIOLATION)
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("duplicate key value violates unique constraint \"%s\"", name),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 errtableconstraint(heap->rel, name)));
	}
	PG_END_TRY();
	AtEOXact_GUC(false, guc_level);
}

void
idem_new_heap_build_indexes(NewHeap *heap)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(heap->cxt);
	List	   *indexes = RelationGetIndexList(heap->rel);
	ListCell   *lc;

	table_finish_bulk_insert(heap->new, INSERT_OPTIONS);
	FreeBulkInsertState(heap->bulk);
	heap->bulk = NULL;
	heap->built = true;

	heap->indexes = palloc(list_length(indexes) * sizeof(IndexPair));
	foreach(lc, indexes)
	{
		IndexPair  *pair = &heap->indexes[heap->nindexes++];
		char		name[NAMEDATALEN];
		Relation	old;
		Relation	new;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(heap->batch_cxt);
		pair->old = lfirst_oid(lc);
		old = index_open(pair->old, AccessShareLock);
		/* as make_new_heap names its table; OIDs of tables and indexes never are the same */
		snprintf(name, sizeof(name), "pg_temp_%u", pair->old);
		pair->new = index_concurrently_create_copy(heap->new, pair->old, old->rd_rel->reltablespace, name);
		CommandCounterIncrement();

		new = index_open(pair->new, AccessExclusiveLock);
		build_index(heap, new, RelationGetRelationName(old));
		index_close(new, NoLock);
		index_close(old, NoLock);
		MemoryContextReset(heap->batch_cxt);
	}
	MemoryContextSwitchTo(oldcxt);
}

void
idem_new_heap_close(NewHeap *heap)
{
	ObjectAddress object;

	ObjectAddressSet(object, RelationRelationId, RelationGetRelid(heap->new));
	if (heap->bulk != NULL)
		FreeBulkInsertState(heap->bulk);
	table_close(heap->new, NoLock);

	/* no one else knows it, and nothing depends on it */
	CommandCounterIncrement();
	performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	MemoryContextDelete(heap->cxt);
}

void
idem_new_heap_drop(NewHeap *heap)
{
	idem_new_heap_close(heap);
}

Oid
idem_new_heap_relid(NewHeap *heap)
{
	return RelationGetRelid(heap->new);
}
