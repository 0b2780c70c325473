/*-------------------------------------------------------------------------
 *
 * scheduler.h
 *	  How long schedulers and executors stay.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SCHEDULER_H
#define IDEM_SCHEDULER_H

/*
 * Without a task, in milliseconds.  DROP DATABASE waits for five seconds until
 * the last one has left.
 */
#define IDEM_LINGER_MS	1000

/* With tasks, lest one goes by settings that are no more. */
#define IDEM_LIFE_MS	60000

/* While others wait for a place. */
#define IDEM_TURN_MS	2000

#endif							/* IDEM_SCHEDULER_H */
