/*-------------------------------------------------------------------------
 *
 * insert.h
 *	  Rows put into a target as COPY does it.
 *
 * What begins and ends between idem_inserter_begin and idem_inserter_end, such
 * as queries and snapshots, must lie within the two.
 * After an error the caller's (sub)transaction has to be rolled back, which
 * frees everything.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_INSERT_H
#define IDEM_INSERT_H

#include "base/new_heap.h"
#include "flow/target.h"

typedef struct Inserter Inserter;

/*
 * Why rows must go into the target by SQL statements instead, as a sentence
 * without a period; NULL if they need not.  Looks at partitions too, against
 * changes of shape only.
 */
extern const char *idem_inserter_obstacle(const Target *target);

/*
 * Begin what is one INSERT to constraints and triggers.  The target must have no obstacle.
 * Raises what INSERT raises, 42501 if the current user lacks the privilege on an imported column.
 */
extern Inserter *idem_inserter_begin(const Target *target);

/*
 * The same for rows that go into new storage of one table: the target, or one of its
 * partitions.  They are checked, routed and completed as INSERT does it, but
 * get no index entries, and no trigger is fired.
 */
extern Inserter *idem_inserter_begin_heap(const Target *target, Oid leaf, NewHeap *heap);

/*
 * Insert a row.  The values are those of target->columns, of exactly their types and
 * type modifiers; they are copied.  Rows are collected first, so the
 * error that a row raises may come with a later one, or at the end.  Returns
 * false if the row belongs to another table than the leaf, and was not taken.
 */
extern bool idem_inserter_row(Inserter *inserter, const Datum *values, const bool *isnull);

/*
 * Insert what is left, fire the triggers that are not deferred, and free all.
 * The next command sees the rows.  Returns how many there were.
 */
extern int64 idem_inserter_end(Inserter *inserter);

#endif							/* IDEM_INSERT_H */
