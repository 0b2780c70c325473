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

/*
 * The rows that something is to be done for; the rest are unchanged.
 *
 * A row is c1, c2, ..., gone if rows have a flag, and where the target is
 * written natively, the place of its target row.
 */
typedef struct Diff
{
	int64		fresh;			/* no target row has the key: insert */
	int64		changed;		/* it looks different: update */
	int64		gone;			/* flagged as gone, and there: delete */
	int64		stale;			/* lost to the target's version, or to insert_only */
	Tuplestorestate *fresh_rows;
	TupleDesc	fresh_desc;
	bool		borrowed;		/* they are the stage's own */
	Tuplestorestate *changed_rows;
	Tuplestorestate *gone_rows;
	TupleDesc	desc;
	const bytea *differing;		/* judge rows of these buckets; NULL: any */
	bool		now;			/* judge as of now, or as of the active snapshot */
	bool		by_hash;		/* rows are compared by hash, so that these are known: */
	Hash128		before;			/* sum of the hashes of what is to be updated or deleted */
	Hash128		after;			/* and of what it becomes, and of what is inserted */
} Diff;

/* Names of the place: the row's ctid, and the table that it lies in */
#define DIFF_PLACE	"idem_import_place"
#define DIFF_LEAF	"idem_import_leaf"

extern Diff *idem_diff_create(const Target *target, const Definition *def, bool now);
extern void idem_diff_free(Diff *diff);

/* Nothing is in the target: all staged rows are fresh, and need not be judged one by one. */
extern void idem_diff_all_fresh(Diff *diff, TupleDesc desc, Tuplestorestate *rows, int64 nrows);

/* Add the fresh rows of one diff to another. */
extern void idem_diff_take_fresh(Diff *diff, Diff *from);

/*
 * Judge a unit's staged rows (at most one a key) against the target, and add
 * the verdicts to a diff.  "differing" in the diff: all of them have a key in
 * such a bucket; NULL: any.
 */
extern void idem_diff_rows(const Target *target, const Definition *def, const Unit *unit,
						   TupleDesc desc, Tuplestorestate *rows, int64 nrows, Diff *diff);

/*
 * Of the winners of several units, those whose target row lies in another
 * place of the scope than they do: the run will move it.  Appended to movers;
 * returns how many.
 */
extern int64 idem_diff_movers(const Target *target, TupleDesc desc, Tuplestorestate *winners,
							  Tuplestorestate *movers);

#endif							/* IDEM_DIFF_H */
