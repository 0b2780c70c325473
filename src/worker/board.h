/*-------------------------------------------------------------------------
 *
 * board.h
 *	  What launcher, schedulers, executors and sessions know of each other.
 *
 * A little shared memory: which databases are to be looked at, and who works
 * there.  Nothing in it has to survive a crash, since all that matters is in
 * the tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_BOARD_H
#define IDEM_BOARD_H

#include "ledger/queue.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#define BOARD_DATABASES		64
#define BOARD_EXECUTORS		QUEUE_HANDS

/* A database where there is something to do, or will be. */
typedef struct BoardDatabase
{
	Oid			database;		/* InvalidOid: the entry is free */
	bool		woken;			/* tasks have come, or are left behind, since the scheduler looked */
	bool		starting;		/* a scheduler has been asked for */
	bool		failed;			/* the last scheduler ended with an error */
	bool		hungry;			/* it has tasks, but may have no executor, or no slot for a scheduler */
	TimestampTz next;			/* when to look, unless woken before; 0: then only */
	TimestampTz served;			/* when a scheduler left last */
	int64		claims;			/* how many tasks executors have claimed */
	int64		barren;			/* how many executors ended without having claimed one */
	pid_t		scheduler;		/* 0: none */
	Latch	   *scheduler_latch;
	bool		takes_mail;		/* the scheduler does; see mailbox.h */
	dsm_handle	mail;			/* DSM_HANDLE_INVALID: none */
	pid_t		launcher;		/* one of its own, 0: none */
	Latch	   *launcher_latch;
} BoardDatabase;

typedef struct BoardExecutor
{
	Oid			database;		/* InvalidOid: the place is free */
	TimestampTz reserved_at;
	pid_t		pid;			/* 0: not yet there */
	Latch	   *latch;
	int64		task;			/* at hand, 0: none */
	int64		backfill;		/* that it belongs to, 0: none */
	bool		cancel;			/* the task is to be canceled */
	bool		fertile;		/* it has claimed one */
} BoardExecutor;

typedef struct Board
{
	LWLock		lock;			/* of all that follows, but the condition variable */
	pid_t		launcher;		/* the preloaded one, 0: none */
	Latch	   *launcher_latch;
	int64		generation;		/* see QueueHands; of all databases together */
	bool		crowded;		/* databases wait for a scheduler */
	bool		overflow;		/* a database that was woken found no entry */
	BoardDatabase databases[BOARD_DATABASES];
	BoardExecutor executors[BOARD_EXECUTORS];
	ConditionVariable finished; /* some task has come to its end */
} Board;

/* Ask for the memory while the server starts. */
extern void idem_board_init(void);

/* The board, made if it is not there; 53200 if there is no room for it. */
extern Board *idem_board(void);

/*
 * The entry of a database, NULL if there is none; with "make" a free one is
 * taken if there is one.  For holders of the lock.
 */
extern BoardDatabase *idem_board_find(Board *board, Oid database, bool make);

/* Free an entry that says nothing, or that nobody heeds.  For holders of the lock. */
extern void idem_board_tidy(BoardDatabase *entry);

/* There are tasks to look at in a database.  Raises nothing once the board is there. */
extern void idem_board_wake(Oid database);

/*
 * The same for this database, when the transaction has come to its end.  Even
 * if that is its abort: a task whose row it has locked could not be claimed.
 */
extern void idem_board_wake_afterwards(void);

/* Does somebody else wait for the place that this database takes? */
extern bool idem_board_others_wait(Oid database);

/* This database waits for a place: wake those of others who linger on theirs.  InvalidOid: for a scheduler's. */
extern void idem_board_wake_idle(Oid database);

/* A process of this database has ended: wake those of others that wait for a place. */
extern void idem_board_wake_hungry(Oid database);

/* Take a place for an executor; -1 if "limit" of them are taken. */
extern int	idem_board_reserve(Oid database, int limit);

/* How many are taken. */
extern int	idem_board_executors(void);

/* Give it back, if nobody came; or leave it. */
extern void idem_board_release(int place, bool only_reserved);

/*
 * What an executor does now; 0: it waits for a task.  Says whether the one that
 * it had at hand is to be canceled.
 */
extern bool idem_board_set_task(int place, int64 task, int64 backfill);

/* The task that this very process has at hand, 0: none. */
extern int64 idem_board_own_task(void);

/* The tasks of this database that executors have at hand. */
extern void idem_board_read_hands(QueueHands *hands);

/* Is its task to be canceled? */
extern bool idem_board_is_canceled(int place);

/*
 * Ask the executors of a task, or of a backfill, to cancel it; how many there
 * are.
 */
extern int	idem_board_cancel(Oid database, int64 task, int64 backfill);

#endif							/* IDEM_BOARD_H */
