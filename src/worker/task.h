/*-------------------------------------------------------------------------
 *
 * task.h
 *	  One task, from its claim to its end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_TASK_H
#define IDEM_TASK_H

#include "ledger/queue.h"

/*
 * Run a task that this process has claimed, and write down what became of it.
 * place: the executor's on the board.  Raises only what keeps that from being
 * written.
 */
extern void idem_task_run(const Task *task, int place);

/*
 * For SIGINT: cancel the run at hand.  Between runs nothing is canceled; who
 * wants a task to be has left word on the board.
 */
extern void idem_task_cancel_handler(SIGNAL_ARGS);

#endif							/* IDEM_TASK_H */
