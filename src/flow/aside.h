/*-------------------------------------------------------------------------
 *
 * aside.h
 *	  Staged rows set aside become rejects.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_ASIDE_H
#define IDEM_ASIDE_H

#include "flow/stage.h"

/*
 * Append the rows that the stage set aside for a unit to a tuplestore of
 * rejects (ledger/reject.h), as jsonb with key and reason.  flag: the column
 * that says that a row is gone, or NULL.  Runs as the import's owner, since a
 * type of the user's may have a cast to json.
 */
extern void idem_set_aside(const Source *source, const char *flag, TupleDesc desc, const StagedUnit *staged,
						   Tuplestorestate *rejects);

/* The same for rows that the target did not take. */
extern void idem_set_aside_refused(const Target *target, const char *flag, const BadRows *bad,
								   Tuplestorestate *rejects);

/* The same for lines of a file that are no rows. */
extern void idem_set_aside_lines(const LineRejects *lines, Tuplestorestate *rejects);

#endif							/* IDEM_ASIDE_H */
