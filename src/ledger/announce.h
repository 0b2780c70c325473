/*-------------------------------------------------------------------------
 *
 * announce.h
 *	  What has become of a unit, told to those who watch from outside.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_ANNOUNCE_H
#define IDEM_ANNOUNCE_H

#include "ledger/history.h"

/* Defines idem_import.log_runs and idem_import.notify. */
extern void idem_announce_init(void);

/* Does the session want its runs to be announced? */
extern bool idem_announce_log(void);
extern bool idem_announce_notify(void);

/*
 * When the transaction commits, write a line to the server's log and send a
 * notification, as the run's session wanted it.  A run that is rolled back
 * says nothing.
 */
extern void idem_announce(const RunRecord *run);

#endif							/* IDEM_ANNOUNCE_H */
