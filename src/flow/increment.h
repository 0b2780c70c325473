/*-------------------------------------------------------------------------
 *
 * increment.h
 *	  The part of a source that a run reads, and the checkpoint after it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_INCREMENT_H
#define IDEM_INCREMENT_H

#include "flow/stretch.h"
#include "ledger/checkpoint.h"

/*
 * Pages of a source: the batches of a call that commits each of them.  Lives
 * in cxt, from transaction to transaction.
 */
typedef struct Paging
{
	MemoryContext cxt;
	int64		size;			/* rows of a page, but for those of equal values */
	int64		number;			/* of the page at hand, from 1 */
	bool		begun;			/* there was one before, */
	char	   *checkpoint;		/* which left the checkpoint here; NULL: nowhere */
	bool		anew;			/* the first one was read from the start */
	bool		more;			/* there are rows after it */
	Datum	   *end;			/* the ordered columns of its last row; NULL: none so far */
	Oid		   *types;			/* of those */
	char	   *snapshot;		/* that the first one was read under, as text */
} Paging;

typedef struct Increment
{
	bool		tracked;		/* the run starts at the checkpoint, and moves it */
	bool		whole;			/* it reads all there is */
	char	   *note;			/* where it starts, and why; or NULL */
	Checkpoint	next;			/* where the checkpoint will be, once it has been applied */
	bool		moves;			/* that is not where it is now */
	bool		behind;			/* of a verification: a run from the checkpoint on would find new rows */
	/* for the page after it */
	bool		anew;
	bool		more;
	Stretch    *stretch;
	char	   *snapshot;
} Increment;

/*
 * Bind the source to what the run is to read, under the active snapshot.
 * tracked: from the checkpoint on, unless it can't be believed, or "anew".
 * paging: no more than its next page; NULL: all at once.  If the checkpoint has
 * been set back since the page before, it is the first one from there.  Raises
 * 55000 if the columns have changed from page to page.
 */
extern Increment *idem_increment_begin(const Definition *def, Source *source, const Unit *unit,
									   Paging *paging, bool tracked, bool anew);

/*
 * It has been applied: move the checkpoint, in the same transaction, and turn
 * the page.  run_id 0: no unit had rows in it.
 */
extern void idem_increment_applied(const Definition *def, Increment *increment, Paging *paging, int64 run_id);

#endif							/* IDEM_INCREMENT_H */
