/*-------------------------------------------------------------------------
 *
 * arbitrary.h
 *	  Clauses that let the executor choose which rows there are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_ARBITRARY_H
#define IDEM_ARBITRARY_H

#include "flow/culprit.h"
#include "nodes/parsenodes.h"

/* Does a query, on its own level, leave it open which rows it gives? */
extern bool idem_arbitrary_rows(Query *query, bool any_row_will_do, Culprit *culprit);

/* Is it a sample of a table? */
extern bool idem_arbitrary_sample(RangeTblEntry *rte, Culprit *culprit);

#endif							/* IDEM_ARBITRARY_H */
