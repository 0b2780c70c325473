/*-------------------------------------------------------------------------
 *
 * apply_swap.h
 *	  New storage for a table that is one unit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_APPLY_SWAP_H
#define IDEM_APPLY_SWAP_H

#include "base/new_heap.h"
#include "flow/stage.h"

typedef struct Swap
{
	Target	   *target;
	bool		empty;			/* was: then it still has to be, when it is locked */
	Relation	leaf;			/* the target, or the partition that the unit is */
	NewHeap    *heap;
	int			patience;		/* how many milliseconds to wait for those who use it */
	int64		old_rows;
	int64		new_rows;
	int64		matched;		/* old rows whose key a new one has */
	int64		same;			/* of these, with the same image */
} Swap;

/*
 * The one table that all rows of the unit lie in, now and later: the target,
 * or the partition that is left when the planner has left out those that have
 * none of them.  InvalidOid if they may lie in several.
 */
extern Oid	idem_swap_leaf(const Target *target, const Unit *unit);

/*
 * Why that table can't be given new storage for this unit, as a sentence
 * without a period; NULL if it can.  "empty": the target has no rows of the
 * unit, so that none can lose anything.
 */
extern const char *idem_swap_obstacle(const Target *target, const Definition *def, const Unit *unit, Oid leaf,
									  bool empty);

/*
 * Read the source into new storage, with indexes and statistics, for staged->unit.
 * Tells of the rows what idem_stage_pass tells; false if some belong to
 * another table, or the table turns out to hold those of other units.  Raises
 * 23505 if two rows collide, 55P03 if writers do not let go of the table.
 */
extern bool idem_swap_fill(Swap *swap, Stage *stage, Oid leaf, StagedUnit *staged, Hash128 *image);

/* Count how old rows and new ones compare. */
extern void idem_swap_count(Swap *swap);

/* Keep readers out; 55P03 if they do not let go of the table. */
extern void idem_swap_lock(Swap *swap);

/* Let the new storage take the place of the old; or drop it. */
extern void idem_swap_exchange(Swap *swap);
extern void idem_swap_drop(Swap *swap);

#endif							/* IDEM_APPLY_SWAP_H */
