/*-------------------------------------------------------------------------
 *
 * executors.h
 *	  The executors that a scheduler has.
 *
 * For the scheduler that is signed on for the database, and nobody else.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_EXECUTORS_H
#define IDEM_EXECUTORS_H

#include "datatype/timestamp.h"

typedef struct Executors
{
	int			all;
	int			idle;			/* of these, without a task */
	int64		claims;			/* how many tasks they have claimed, ever */
	int64		barren;			/* how many have ended without one, ever */
} Executors;

/* Count them; those that are no more give their places back. */
extern void idem_executors_look(Oid database, Executors *executors);

/* Wake that many that are idle. */
extern void idem_executors_wake(Oid database, int n);

/* Say whether it has tasks, but may have no executor. */
extern void idem_executors_set_hungry(Oid database, bool hungry);

/*
 * Start that many, if there is room; "has_some": there is one already.  Returns
 * when to try again, 0 if all went well.
 */
extern TimestampTz idem_executors_start(Oid database, int n, bool has_some);

#endif							/* IDEM_EXECUTORS_H */
