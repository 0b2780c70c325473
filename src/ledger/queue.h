/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  Tasks: units that wait for the worker, and what became of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_QUEUE_H
#define IDEM_QUEUE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* A task or a backfill, which share their numbers. */
typedef struct QueueItem
{
	char	   *import;
	char	   *status;
	bool		is_backfill;
	bool		is_final;
	bool		is_ours;		/* written by this very transaction */
} QueueItem;

/* A task, claimed. */
typedef struct Task
{
	int64		task;
	int64		backfill;		/* 0: none */
	char	   *import;
	char	   *scope;			/* or NULL */
	Oid			owner;			/* of the import; InvalidOid: there is no such import any more */
	bool		put_back;		/* the claim has made other tasks pending */
} Task;

typedef enum Claim
{
	CLAIM_NONE,					/* nothing to do now */
	CLAIM_OTHERS,				/* the next task is another owner's */
	CLAIM_TASK
} Claim;

/* Tasks that living processes have at hand. */
#define QUEUE_HANDS		64

typedef struct QueueHands
{
	int64		generation;		/* another one whenever a task may have become pending, or was left behind */
	int			n;
	int64		tasks[QUEUE_HANDS];
} QueueHands;

typedef void (*ReadHands) (QueueHands *hands);

/* How much there is to do. */
typedef struct QueueOutlook
{
	int64		tasks;			/* that could be claimed now, counted up to the limit */
	TimestampTz next;			/* when another one becomes due; 0: none */
} QueueOutlook;

/*
 * Submit a task.  One that is pending for the same import and scope is taken
 * instead: with the higher priority, and the earlier time.  Returns its number.
 */
extern int64 idem_queue_submit(const char *import, const char *scope, int priority, TimestampTz run_after);

/*
 * Submit a backfill: a task for each of these units (List of char *) that
 * "reprocess" chooses, and that does not wait in a backfill already.  Returns
 * its number.
 */
extern int64 idem_queue_backfill(const char *import, const char *first, const char *last, List *units,
								 const char *reprocess, int max_parallel);

/* What is known of a number, as of now; false if nothing is. */
extern bool idem_queue_find(int64 number, QueueItem *item);

/* Is it pending, or something of it, as of now? */
extern bool idem_queue_is_pending(int64 number, bool is_backfill);

/*
 * Can the item, or something of it, come to its end only after this task, which
 * is running?  It may be that task, or one of the same import and scope.
 */
extern bool idem_queue_ends_after(int64 number, bool is_backfill, int64 task);

/* Cancel what is pending of a task or a backfill.  Says whether there was any. */
extern bool idem_queue_cancel(int64 number, bool is_backfill);

/*
 * Cancel tasks that are running to the table, while their executor is gone.
 * Says whether there was any.
 */
extern bool idem_queue_cancel_orphans(int64 number, bool is_backfill, ReadHands read_hands);

/* The import is dropped: cancel its pending tasks; with purge forget all of them. */
extern void idem_queue_drop(const char *import, bool purge);

/*
 * Delete tasks that came to their end before that time, but for those of
 * backfills at work, and backfills that have none left; of imports that the
 * role may run, with "dropped" also of those that are there no more.  Returns
 * how many tasks.
 */
extern uint64 idem_queue_prune(TimestampTz before, Oid who, bool dropped);

/* Look what there is to do; needs no more than "limit" counted. */
extern void idem_queue_look(int64 limit, ReadHands read_hands, QueueOutlook *outlook);

/*
 * Claim the next task, if its import belongs to owner (InvalidOid: any).  On
 * success hold(task) has been called, after which the caller must be known to
 * have it at hand.  On CLAIM_OTHERS the transaction is to be rolled back.
 */
extern Claim idem_queue_claim(Oid owner, Task *task, ReadHands read_hands, void (*hold) (const Task *task));

/*
 * A task that was left behind is to go on, at once at first.  If that happens
 * again and again, it waits, and in the end it is given up.  Says whether it
 * goes on.
 */
extern bool idem_queue_pick_up(int64 task, bool *waits);

/* The task is done, by the run that is named; in the transaction that applied its last rows. */
extern void idem_queue_done(int64 task, int64 run_id);

/*
 * The task failed.  If the failure may pass, and there are attempts left, it
 * will be tried again.
 */
extern void idem_queue_failed(int64 task, bool may_pass, int64 run_id, int sqlstate,
							  const char *message, const char *detail);

/* It was canceled while it ran. */
extern void idem_queue_canceled(int64 task);

#endif							/* IDEM_QUEUE_H */
