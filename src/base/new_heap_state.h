/*-------------------------------------------------------------------------
 *
 * new_heap_state.h
 *	  A new heap from the inside: shared by new_heap.c, which fills it,
 *	  new_heap_statistics.c and new_heap_exchange.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_NEW_HEAP_STATE_H
#define IDEM_NEW_HEAP_STATE_H

#include "access/heapam.h"
#include "base/new_heap.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

/* An index of the table, and its copy. */
typedef struct IndexPair
{
	Oid			old;
	Oid			new;
} IndexPair;

struct NewHeap
{
	MemoryContext cxt;			/* holds all of this */
	MemoryContext batch_cxt;	/* reset after each batch */
	Relation	rel;			/* the table, the caller's */
	int			references;		/* how often the caller has it open */
	Relation	new;			/* the transient one, open */
	CommandId	cid;
	BulkInsertState bulk;
	int64		nrows;
	bool		has_missing;	/* rel has columns that old rows lack */
	List	   *spare;			/* slots for rows that had to be formed anew */
	bool		built;
	int			nindexes;
	IndexPair  *indexes;
	bool		analyzed;
};

/* in new_heap.c */

/* Close the transient table, drop it and free all. */
extern void idem_new_heap_close(NewHeap *heap);

/* in new_heap_lock.c */

/*
 * Lock a table that others use; 55P03 if they leave no gap for "patience"
 * milliseconds, or lock_timeout if that is less.
 */
extern void idem_new_heap_lock_table(Relation rel, LOCKMODE mode, int patience);

/* in new_heap_statistics.c */

/* Give what was gathered to the table and its indexes. */
extern void idem_new_heap_move_statistics(NewHeap *heap);

/*
 * When this transaction commits, and not if it is rolled back: let the
 * cumulative statistics say how many rows there are now, and autovacuum find
 * nothing to do.  Before the transient table is closed.
 */
extern void idem_new_heap_report(NewHeap *heap);

/* The rows of the new TOAST table, -1 if that is not known. */
extern int64 idem_new_heap_toast_rows(NewHeap *heap);

#endif							/* IDEM_NEW_HEAP_STATE_H */
