/*-------------------------------------------------------------------------
 *
 * served.h
 *	  The databases that a launcher serves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SERVED_H
#define IDEM_SERVED_H

#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "worker/board.h"

typedef struct Served
{
	Oid			database;
	bool		listed;			/* it is still there */
	bool		look;			/* nobody has looked for tasks there */
	int			failures;		/* schedulers in a row that failed */
	TimestampTz started_at;		/* the last one */
	TimestampTz retry_at;
	TimestampTz next;			/* as in BoardDatabase, if it is not on the board */
	BackgroundWorkerHandle *handle; /* of the scheduler that was started last, or NULL */
} Served;

/* Serve just that database; InvalidOid: all that the settings name. */
extern void idem_served_init(Oid database);

/* Databases or settings may have changed: read them again. */
extern void idem_served_suspect(void);

/*
 * The databases, as a list of Served *, up to date.  It belongs to the room,
 * and so do its members; what the launcher notes in them stays.
 */
extern List *idem_served_list(Board *board);

/*
 * Take databases off the board that are there only for the time to look at
 * them next; it is in the list then.  For holders of the board's lock.
 */
extern void idem_served_make_room(Board *board);

#endif							/* IDEM_SERVED_H */
