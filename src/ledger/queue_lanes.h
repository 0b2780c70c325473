/*-------------------------------------------------------------------------
 *
 * queue_lanes.h
 *	  What a process remembers of the queue from one claim to the next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_QUEUE_LANES_H
#define IDEM_QUEUE_LANES_H

#include "base/sql.h"
#include "ledger/queue.h"

/* A lane, and a place before which it has no pending task. */
typedef struct Lane
{
	int64		lane;			/* the backfill, 0: none */
	int64		rank;			/* -priority */
	int64		task;
} Lane;

/* Which place comes first, as in qsort: by rank, then those of lane 0, then by task. */
extern int	idem_lanes_compare(const Lane *a, const Lane *b);

/*
 * All lanes that may have pending tasks (List of Lane *), those with the
 * first places first; anew if a task may have become pending since they were
 * asked for.  Valid until the next call.
 */
extern List *idem_lanes(const QueueHands *hands);

/*
 * Bring the places of some lanes (List of Lane *, of idem_lanes) up to date, and
 * forget those that are empty.  Returns the others.  Those that were passed
 * are not to be used after.
 */
extern List *idem_lanes_advance(const List *some);

/* Lanes as three arrays: numbers, ranks, tasks. */
extern void idem_lanes_params(const List *some, SqlParam *param);

/* Tasks that may have been left behind (List of int64 *), likewise. */
extern List *idem_lanes_left_behind(const QueueHands *hands);

/* Tasks that are running to the table (List of int64 *): a task, of a backfill; 0: any. */
extern List *idem_lanes_running(int64 task, int64 backfill);

/* Have the planner use indexes until the house is left. */
extern void idem_lanes_prefer_indexes(void);

extern bool idem_lanes_at_hand(const QueueHands *hands, int64 task);
extern SqlParam idem_lanes_int8_array(const int64 *values, int n);

#endif							/* IDEM_QUEUE_LANES_H */
