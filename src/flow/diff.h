/*-------------------------------------------------------------------------
 *
 * diff.h
 *	  What separates staged rows from the target.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_DIFF_H
#define IDEM_DIFF_H

#include "flow/stage.h"

/* The rows that something is to be done for; the rest are unchanged. */
typedef struct Diff
{
	int64		fresh;			/* no target row has the key: insert */
	int64		changed;		/* it looks different: update */
	int64		gone;			/* flagged as gone, and there: delete */
	int64		stale;			/* lost to the target's version, or to insert_only */
	Tuplestorestate *fresh_rows;
	Tuplestorestate *changed_rows;
	Tuplestorestate *gone_rows;
	TupleDesc	desc;			/* of their rows: c1, c2, ..., and gone if rows have a flag */
} Diff;

extern Diff *idem_diff_create(const Target *target, const Definition *def);
extern void idem_diff_free(Diff *diff);

/* Add the fresh rows of one diff to another. */
extern void idem_diff_take_fresh(Diff *diff, Diff *from);

/*
 * Judge a unit's staged rows (at most one a key) against the target as of
 * now, and add the verdicts to a diff.
 */
extern void idem_diff_rows(const Target *target, const Definition *def, const Unit *unit,
						   TupleDesc desc, Tuplestorestate *rows, int64 nrows, Diff *diff);

/*
 * Count the unit's target rows, and those whose key no staged row has.
 */
extern void idem_diff_missing(const Target *target, const Unit *unit, TupleDesc desc,
							  Tuplestorestate *rows, int64 nrows, int64 *total, int64 *missing);

/*
 * Of the winners of several units, those whose target row lies in another
 * place of the scope than they do: the run will move it.  Appended to movers;
 * returns how many.
 */
extern int64 idem_diff_movers(const Target *target, TupleDesc desc, Tuplestorestate *winners,
							  Tuplestorestate *movers);

#endif							/* IDEM_DIFF_H */
