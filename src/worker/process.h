/*-------------------------------------------------------------------------
 *
 * process.h
 *	  What launcher, scheduler and executor have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_PROCESS_H
#define IDEM_PROCESS_H

#include "datatype/timestamp.h"
#include "postmaster/bgworker.h"

/* Describe a background worker: "idem_import <kind>". */
extern void idem_process_describe(BackgroundWorker *worker, const char *kind, const char *main_function, Datum arg);

/*
 * Handle signals from here on: SIGHUP reloads, SIGTERM ends the process, and
 * SIGINT cancels what may be canceled, which is nothing at first.
 */
extern void idem_process_signals(void);

/* What comes from here on may be canceled, or may not. */
extern void idem_process_allow_cancel(bool allow);

/* Has SIGTERM come? */
extern bool idem_process_was_terminated(void);

/* Reload settings if that was asked for; says whether. */
extern bool idem_process_reload(void);

/* Wait for the latch, a signal, or until then (0: for ever); and reload. */
extern bool idem_process_wait(TimestampTz until);

/* The earlier of two times, of which 0 is never. */
extern TimestampTz idem_process_earlier(TimestampTz a, TimestampTz b);

/*
 * Is this database not to be served any more, or does somebody wait to drop,
 * rename or copy it, and for us to leave it?
 */
extern bool idem_process_gives_way(void);

/*
 * Keep the extension from being dropped until the transaction ends; false if
 * there is none.  To be called before any of its tables is locked: DROP
 * EXTENSION locks the extension first, too, so neither waits for the other in
 * a circle.
 */
extern bool idem_process_hold_extension(void);

#endif							/* IDEM_PROCESS_H */
