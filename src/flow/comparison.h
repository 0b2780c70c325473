/*-------------------------------------------------------------------------
 *
 * comparison.h
 *	  Source and target of a unit, compared before any row is looked at.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_COMPARISON_H
#define IDEM_COMPARISON_H

#include "flow/stage.h"

typedef struct Comparison
{
	double		expected;		/* rows of the source, as the planner guesses */
	double		few;			/* the target is not summed for fewer rows than this */
	Digest	   *source;			/* rows inside the unit; NULL: not read yet */
	Fingerprint read;			/* of all rows that count, with those set aside */
	SetAside	aside;			/* of those */
	Digest	   *target;			/* NULL: not summed */
	bytea	   *differing;		/* buckets whose rows have to be looked at; NULL: all */
	double		share;			/* of the rows, roughly */
} Comparison;

/* How many rows the planner expects of the source; of the unit, unless that is NULL. */
extern double idem_source_expected_rows(const Source *source, const Unit *unit);

/*
 * Compare a unit, under the active snapshot.  What is read depends on what
 * there is to gain: with a receipt, whether all is as it was; and where rows
 * have a key, which of them differ.  force: look at every row all the same.
 */
extern void idem_compare(Source *source, const Definition *def, Unit *unit, const Receipt *receipt,
						 bool force, Comparison *comparison);

#endif							/* IDEM_COMPARISON_H */
