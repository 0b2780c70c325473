/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The process that starts schedulers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_LAUNCHER_H
#define IDEM_LAUNCHER_H

/* While the server starts: have a launcher for all databases. */
extern void idem_launcher_init(void);

/* The launcher that serves this database; 0: none does. */
extern int	idem_launcher_pid(void);

/*
 * Start one for this database alone, and wait for it.  53400 if there is no
 * slot for a background worker, 53000 if it does not come.
 */
extern int	idem_launcher_start(void);

#endif							/* IDEM_LAUNCHER_H */
