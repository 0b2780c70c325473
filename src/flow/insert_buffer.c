/*-------------------------------------------------------------------------
 *
 * insert_buffer.c
 *	  Rows collected, to be put into their tables many at a time.
 *
 * Each table that rows are routed to has a buffer of its own.  The limits, of
 * all buffers together, are those of COPY: more would not fit the caches of a
 * processor, less would not fill the pages of a table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/hio.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/relation.h"
#include "executor/executor.h"
#include "flow/insert_buffer.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#define MAX_ROWS		1000
#define MAX_BYTES		65536

/* Buffers that are kept when rows have been written. */
#define MAX_BUFFERS		32

typedef struct InsertBuffer
{
	ResultRelInfo *rel;
	BulkInsertState bulk;
	int			nrows;
	int			nslots;			/* made so far */
	TupleTableSlot *slots[MAX_ROWS];
} InsertBuffer;

struct InsertBuffers
{
	EState	   *estate;
	TransitionCaptureState *capture;
	NewHeap    *heap;			/* or NULL */
	CommandId	command;
	int			max_rows;
	List	   *buffers;		/* the oldest first */
	int			nrows;			/* in all of them */
	Size		nbytes;
};

const char *
idem_insert_table_obstacle(Relation rel)
{
	const char *what;

	if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		what = "is a foreign table";
	else if (rel->rd_rel->relkind == RELKIND_VIEW)
		what = "is a view";
	else if (rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_tableam != GetHeapamTableAmRoutine())
		what = "has an access method of its own";
	else if (rel->trigdesc != NULL &&
			 (rel->trigdesc->trig_insert_before_row || rel->trigdesc->trig_insert_instead_row))
		what = "has a BEFORE ROW trigger";
	else if (idem_relation_distributed(rel))
		what = "is distributed";
	else
		return NULL;
	return psprintf("\"%s\" %s", RelationGetRelationName(rel), what);
}

InsertBuffers *
idem_insert_buffers_create(EState *estate, TransitionCaptureState *capture, NewHeap *heap, bool visible)
{
	InsertBuffers *buffers = palloc0(sizeof(InsertBuffers));

	buffers->estate = estate;
	buffers->capture = capture;
	buffers->heap = heap;
	buffers->command = estate->es_output_cid;
	buffers->max_rows = visible ? 1 : MAX_ROWS;
	return buffers;
}

/* May a CHECK constraint look at the rows that are there already? */
static bool
checks_are_volatile(Relation rel)
{
	TupleConstr *constraints = RelationGetDescr(rel)->constr;

	for (int i = 0; constraints != NULL && i < constraints->num_check; i++)
	{
		if (contain_volatile_functions(stringToNode(constraints->check[i].ccbin)))
			return true;
	}
	return false;
}

/* PostgreSQL leaves a place in each table's state for a buffer like ours, to COPY's own type. */
static inline InsertBuffer *
get_buffer(ResultRelInfo *rel)
{
	return (InsertBuffer *) rel->ri_CopyMultiInsertBuffer;
}

static void
set_buffer(ResultRelInfo *rel, InsertBuffer *buffer)
{
	rel->ri_CopyMultiInsertBuffer = (struct CopyMultiInsertBuffer *) buffer;
}

/*
 * Without the small ring of pages that COPY keeps to: the run reads the rows
 * again at once, and finds them where INSERT would have left them.
 */
static BulkInsertState
make_bulk_state(void)
{
	BulkInsertState bulk = GetBulkInsertState();

	FreeAccessStrategy(bulk->strategy);
	bulk->strategy = NULL;
	return bulk;
}

static void
make_buffer(InsertBuffers *buffers, ResultRelInfo *rel)
{
	const char *obstacle = idem_insert_table_obstacle(rel->ri_RelationDesc);
	InsertBuffer *buffer;

	/* triggers are made, and partitions attached, under locks that let readers through */
	if (obstacle != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to a concurrent change of the table"),
				 errdetail("Now %s.", obstacle),
				 errhint("The transaction might succeed if retried.")));

	buffer = palloc(sizeof(InsertBuffer));
	buffer->rel = rel;
	buffer->bulk = buffers->heap == NULL ? make_bulk_state() : NULL;
	buffer->nrows = 0;
	buffer->nslots = 0;
	set_buffer(rel, buffer);
	buffers->buffers = lappend(buffers->buffers, buffer);
	if (checks_are_volatile(rel->ri_RelationDesc))
		buffers->max_rows = 1;
}

static void
free_buffer(InsertBuffer *buffer)
{
	set_buffer(buffer->rel, NULL);
	if (buffer->bulk != NULL)
		FreeBulkInsertState(buffer->bulk);
	for (int i = 0; i < buffer->nslots; i++)
		ExecDropSingleTupleTableSlot(buffer->slots[i]);
	pfree(buffer);
}

/* What the row's table has besides the row itself. */
static void
complete_row(InsertBuffers *buffers, ResultRelInfo *rel, TupleTableSlot *slot)
{
	List	   *recheck = NIL;

	if (rel->ri_NumIndices > 0)
		recheck = exec_insert_index_tuples(rel, slot, buffers->estate);
	ExecARInsertTriggers(buffers->estate, rel, slot, recheck, buffers->capture);
	list_free(recheck);
}

static void
flush_buffer(InsertBuffers *buffers, InsertBuffer *buffer)
{
	MemoryContext oldcxt;

	/* what writes the rows may leave memory behind */
	oldcxt = MemoryContextSwitchTo(GetPerTupleMemoryContext(buffers->estate));
	if (buffers->heap != NULL)
		idem_new_heap_put(buffers->heap, buffer->slots, buffer->nrows);
	else
		table_multi_insert(buffer->rel->ri_RelationDesc, buffer->slots, buffer->nrows,
						   buffers->command, 0, buffer->bulk);
	MemoryContextSwitchTo(oldcxt);

	for (int i = 0; i < buffer->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (buffers->heap == NULL)
			complete_row(buffers, buffer->rel, buffer->slots[i]);
		ExecClearTuple(buffer->slots[i]);
	}
	ResetPerTupleExprContext(buffers->estate);
	buffer->nrows = 0;
}

static void
flush(InsertBuffers *buffers)
{
	ListCell   *lc;

	foreach(lc, buffers->buffers)
	{
		InsertBuffer *buffer = lfirst(lc);

		if (buffer->nrows > 0)
			flush_buffer(buffers, buffer);
	}
	buffers->nrows = 0;
	buffers->nbytes = 0;
}

TupleTableSlot *
idem_insert_buffers_slot(InsertBuffers *buffers, ResultRelInfo *rel)
{
	InsertBuffer *buffer;

	if (unlikely(get_buffer(rel) == NULL))
		make_buffer(buffers, rel);
	buffer = get_buffer(rel);
	if (unlikely(buffer->nrows == buffer->nslots))
		buffer->slots[buffer->nslots++] = table_slot_create(rel->ri_RelationDesc, NULL);
	return buffer->slots[buffer->nrows];
}

void
idem_insert_buffers_add(InsertBuffers *buffers, ResultRelInfo *rel)
{
	InsertBuffer *buffer = get_buffer(rel);
	TupleTableSlot *slot = buffer->slots[buffer->nrows++];

	/* its values may lie in memory that does not last */
	ExecMaterializeSlot(slot);
	Assert(TTS_IS_BUFFERTUPLE(slot));
	buffers->nbytes += ((BufferHeapTupleTableSlot *) slot)->base.tuple->t_len;
	if (++buffers->nrows < buffers->max_rows && buffers->nbytes < MAX_BYTES)
		return;

	flush(buffers);
	while (list_length(buffers->buffers) > MAX_BUFFERS)
	{
		InsertBuffer *oldest = linitial(buffers->buffers);

		/* the row's own is likely to be needed next */
		buffers->buffers = list_delete_first(buffers->buffers);
		if (oldest == buffer)
			buffers->buffers = lappend(buffers->buffers, oldest);
		else
			free_buffer(oldest);
	}
}

void
idem_insert_buffers_end(InsertBuffers *buffers)
{
	ListCell   *lc;

	flush(buffers);
	foreach(lc, buffers->buffers)
		free_buffer(lfirst(lc));
	list_free(buffers->buffers);
	pfree(buffers);
}
