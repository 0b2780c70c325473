/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  The only writer of the target.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_APPLY_H
#define IDEM_APPLY_H

#include "flow/diff.h"

/* The unit's rows whose key no staged row has are to go as well. */
typedef struct Removal
{
	TupleDesc	desc;			/* of the staged rows */
	Tuplestorestate *rows;
	int64		nrows;
} Removal;

/*
 * Write what a diff of a unit found, and the removal unless it is NULL, and count it
 * from what the statements say they wrote.  Rows that other sessions changed
 * meanwhile are judged anew.  The diff is used up.  Returns how many rows a
 * trigger, rule or policy of the target swallowed.
 */
extern int64 idem_apply_diff(const Target *target, const Definition *def, const Unit *unit, Diff *diff,
							 const Removal *removal, Tally *tally);

/* Delete a unit's rows and insert all staged ones. */
extern void idem_apply_replace(const Target *target, const Unit *unit, TupleDesc desc,
							   Tuplestorestate *rows, int64 nrows, Tally *tally);

#endif							/* IDEM_APPLY_H */
