/*-------------------------------------------------------------------------
 *
 * changes.h
 *	  The rows of a target that a run wrote.
 *
 * Collected only where an import has effects, which read them.  They come
 * from the statements that wrote them, so they tell what became of the rows,
 * whatever triggers or other sessions did meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_CHANGES_H
#define IDEM_CHANGES_H

#include "flow/target.h"
#include "utils/tuplestore.h"

typedef struct ChangedRows
{
	TupleDesc	desc;
	Tuplestorestate *rows;
} ChangedRows;

/* Rows have the imported columns by their names; updated ones what they were, too. */
typedef struct Changes
{
	ChangedRows inserted;
	ChangedRows updated;
	ChangedRows deleted;		/* flagged as gone, or removed */
} Changes;

/* No rows; in CurrentMemoryContext. */
extern Changes *idem_changes_create(const Target *target);
extern void idem_changes_free(Changes *changes);

/* Forget them: what wrote them was rolled back. */
extern void idem_changes_clear(Changes *changes);

/* Add rows of the same shape; they are freed. */
extern void idem_changes_take(ChangedRows *to, Tuplestorestate *rows);

/* Add those of other changes, which stay as they are. */
extern void idem_changes_add(Changes *to, const Changes *from);

/*
 * Rows were deleted and inserted anew: tell what became of them.  With a key, a
 * row that was there before is an updated one, if it differs; without, a row
 * is left out that is there as it was.
 */
extern void idem_changes_compare(const Target *target, Changes *changes);

#endif							/* IDEM_CHANGES_H */
