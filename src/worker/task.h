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

#endif							/* IDEM_TASK_H */
