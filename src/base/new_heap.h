/*-------------------------------------------------------------------------
 *
 * new_heap.h
 *	  New contents for one table: filled aside, then exchanged for the old.
 *
 * The rows go into a transient table, frozen, and all indexes are built on it
 * before readers are kept out.  What is exchanged then is only which files
 * belong to the table, its TOAST table and its indexes, in their pg_class
 * rows; so OIDs, and all that refers to them, stay.  As after REFRESH
 * MATERIALIZED VIEW, whoever reads the table later sees the new rows, even in
 * a snapshot that is older than them.
 *
 *		heap = idem_new_heap_create(rel, 1);
 *		idem_new_heap_put(heap, slots, nslots); ...
 *		idem_new_heap_build_indexes(heap);
 *		idem_new_heap_analyze(heap);
 *		idem_new_heap_lock(heap);
 *		idem_new_heap_exchange(heap);
 *
 * What an error leaves goes with the (sub)transaction that it ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_NEW_HEAP_H
#define IDEM_NEW_HEAP_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

typedef struct NewHeap NewHeap;

/*
 * Why the storage of this table can't be exchanged for another one: a
 * fragment such as "it has triggers", constant or in CurrentMemoryContext;
 * NULL if it can.  The caller has rel open "references" times; any more are
 * somebody's who reads it.  Cheap: nothing is scanned but small catalogs.
 */
extern const char *idem_new_heap_obstacle(Relation rel, int references);

/*
 * The transient table for rel, empty, with its memory in CurrentMemoryContext.  Until
 * the transaction ends no one else writes rel: ExclusiveLock, not
 * ShareRowExclusiveLock, so that whoever locks rows in order to change them
 * waits at once, before he holds anything that the exchange would wait for.
 * Nothing in this session may write rel either before the exchange.  The
 * caller keeps rel open until then, and sees to privileges, constraints,
 * generated columns, row security.  Raises 55000 if there is an obstacle, 55P03
 * if writers leave no gap for "patience" milliseconds.
 */
extern NewHeap *idem_new_heap_create(Relation rel, int references, int patience);

/*
 * Append rows: slots with values for all columns of rel (NULL in dropped
 * ones), best of table_slot_create(rel)'s kind, which keep a row formed.  On
 * return they may be reused.  The pages are all-visible and all-frozen.
 */
extern void idem_new_heap_put(NewHeap *heap, TupleTableSlot **slots, int nslots);

/* The transient table, to be read after the next CommandCounterIncrement. */
extern Oid	idem_new_heap_relid(NewHeap *heap);

/*
 * Build copies of all of rel's indexes, in parallel where CREATE INDEX would;
 * nothing can be put any more.  Raises 23505, naming rel's own index, if rows collide.
 */
extern void idem_new_heap_build_indexes(NewHeap *heap);

/*
 * Gather statistics for the planner, extended ones too, as ANALYZE does: worth
 * it unless the table is small or changes again soon.  Left out, rel keeps the
 * statistics of its old rows until autovacuum analyzes it.  After the indexes.
 */
extern void idem_new_heap_analyze(NewHeap *heap);

/*
 * All that can be done beforehand, and then AccessExclusiveLock on rel, without
 * making other readers wait for those who read it now.  Raises 55P03 if these
 * leave no gap for "patience" milliseconds, or lock_timeout if that is less; 55006
 * if this session uses rel beyond the references it said.
 */
extern void idem_new_heap_lock(NewHeap *heap, int patience);

/*
 * Exchange, and drop what is left over.  The heap is used up; rel stays open
 * for the caller to close.
 */
extern void idem_new_heap_exchange(NewHeap *heap);

/* Drop it instead. */
extern void idem_new_heap_drop(NewHeap *heap);

#endif							/* IDEM_NEW_HEAP_H */
