/*-------------------------------------------------------------------------
 *
 * missing.h
 *	  Target rows of a unit that no staged row asks for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_MISSING_H
#define IDEM_MISSING_H

#include "flow/stage.h"

/* Staged rows, whose keys are those that are asked for. */
typedef struct Present
{
	TupleDesc	desc;
	Tuplestorestate *rows;
	int64		nrows;
	const bytea *differing;		/* only target rows whose key is in such a bucket matter; NULL: all */
} Present;

/*
 * The rows of the unit without them.  Where the target is written natively,
 * rows has the place of each and its key; else they are only counted.
 */
typedef struct Missing
{
	int64		total;			/* rows of the unit; -1: not counted */
	int64		missing;
	TupleDesc	desc;
	Tuplestorestate *rows;		/* or NULL */
	Hash128		sum;			/* of their hashes */
} Missing;

/*
 * Find them, as of now or as of the active snapshot.  The unit's rows are
 * counted unless total is known (-1: it is not).
 */
extern Missing *idem_missing_find(const Target *target, const Unit *unit, const Present *present,
								  int64 total, bool now);
extern void idem_missing_free(Missing *missing);

/*
 * The keys of all such rows of a target of any kind, in a tuplestore of the
 * columns c1, ... that desc describes.
 */
extern Tuplestorestate *idem_missing_keys(const Target *target, const Unit *unit, const Present *present,
										  bool now, TupleDesc *desc);

#endif							/* IDEM_MISSING_H */
