/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  The writer of the target, row by row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_APPLY_H
#define IDEM_APPLY_H

#include "flow/bad_rows.h"
#include "flow/changes.h"
#include "flow/diff.h"
#include "flow/missing.h"

/* Rows that are to go, and those that say so. */
typedef struct Removal
{
	const Present *present;
	Missing    *missing;
} Removal;

/* What came of it, besides the counts. */
typedef struct Applied
{
	int64		swallowed;		/* rows that a trigger, rule or policy of the target swallowed */
	bool		as_judged;		/* no other session interfered, nothing was judged twice */
} Applied;

/*
 * Write what a diff of a unit found, and the removal unless it is NULL, and
 * count it from what was really written.  Rows that other sessions changed
 * meanwhile are judged anew; rows that the target refuses are added to bad,
 * and when there are more than it wants, the rest is left undone.  The diff is
 * used up.  The rows that were written are added to the changes, unless these
 * are NULL.
 */
extern void idem_apply_diff(const Target *target, const Definition *def, const Unit *unit, Diff *diff,
							const Removal *removal, Tally *tally, BadRows *bad, Applied *applied, Changes *changes);

/*
 * Delete a unit's rows and insert all staged ones, but for those that are
 * refused, where rows have no key.  Where they have one, and one is refused,
 * nothing is done: false.
 */
extern bool idem_apply_replace(const Target *target, const Unit *unit, TupleDesc desc, Tuplestorestate *rows,
							   int64 nrows, Tally *tally, BadRows *bad, Changes *changes);

/* Insert rows that have no key. */
extern void idem_apply_insert(const Target *target, TupleDesc desc, Tuplestorestate *rows, int64 nrows,
							  Tally *tally, BadRows *bad, Changes *changes);

#endif							/* IDEM_APPLY_H */
