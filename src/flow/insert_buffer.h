/*-------------------------------------------------------------------------
 *
 * insert_buffer.h
 *	  Rows collected, to be put into their tables many at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_INSERT_BUFFER_H
#define IDEM_INSERT_BUFFER_H

#include "base/new_heap.h"
#include "commands/trigger.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"

typedef struct InsertBuffers InsertBuffers;

/* Why rows can't be put into a table this way, as a sentence without a period, or NULL. */
extern const char *idem_insert_table_obstacle(Relation rel);

/*
 * Buffers in CurrentMemoryContext, which must be the executor state's.  Rows get
 * index entries, and queue their AFTER triggers; or, if heap is not NULL, go there
 * and get none of this.  visible: each row has to be there before the next is made.
 */
extern InsertBuffers *idem_insert_buffers_create(EState *estate, TransitionCaptureState *capture,
												 NewHeap *heap, bool visible);

/*
 * A slot to make the next row of a table in.  Raises 40001 if the table has
 * got an obstacle since somebody looked.
 */
extern TupleTableSlot *idem_insert_buffers_slot(InsertBuffers *buffers, ResultRelInfo *rel);

/* The row in that slot is complete.  Puts all rows into their tables if there are many now. */
extern void idem_insert_buffers_add(InsertBuffers *buffers, ResultRelInfo *rel);

/* Put all rows into their tables, and free the buffers. */
extern void idem_insert_buffers_end(InsertBuffers *buffers);

#endif							/* IDEM_INSERT_BUFFER_H */
