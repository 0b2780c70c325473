/*-------------------------------------------------------------------------
 *
 * mailbox.h
 *	  A place on the board where sessions leave failed runs for the scheduler.
 *
 * It holds one segment of shared memory, for as long as it takes the scheduler
 * to wake up.  Nobody sleeps while he holds the board's lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_MAILBOX_H
#define IDEM_MAILBOX_H

#include "storage/dsm.h"

typedef enum MailboxState
{
	MAILBOX_CLOSED,				/* there is no scheduler that would take it */
	MAILBOX_FULL,				/* somebody else's is in there */
	MAILBOX_MINE				/* it has been put in */
} MailboxState;

/* Is there a scheduler of this database that takes mail?  Raises nothing. */
extern bool idem_mailbox_is_open(void);

/*
 * Put a segment in, if the place is free, and wake the scheduler.  As soon as
 * the segment is detached, for whatever reason, it is taken back: the
 * scheduler never attaches another one that got the same handle.
 */
extern MailboxState idem_mailbox_put(dsm_segment *segment);

/* For the scheduler: take mail from now on. */
extern void idem_mailbox_open(Oid database);

/* For the scheduler: take out what is there, DSM_HANDLE_INVALID if nothing is. */
extern dsm_handle idem_mailbox_take(Oid database);

#endif							/* IDEM_MAILBOX_H */
