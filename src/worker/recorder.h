/*-------------------------------------------------------------------------
 *
 * recorder.h
 *	  Keeps the record of a run whose transaction rolls back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RECORDER_H
#define IDEM_RECORDER_H

#include "ledger/history.h"
#include "utils/tuplestore.h"

/* What the recorder writes down if the work fails; the work keeps it current. */
typedef struct Recording
{
	RunRecord	run;			/* run.import is NULL while nothing is to be recorded */
	Tuplestorestate *rejects;	/* of run.unit, in the shape of idem_reject_desc */
} Recording;

/*
 * Call work(arg) in a subtransaction.  If it fails, roll that back, let a
 * short-lived background worker write the failure (history, ledger, rejects)
 * in a transaction of its own, and raise the error again, unchanged.
 *
 * "recording" and all that it points to must outlive the subtransaction:
 * strings in a context of the caller's, the tuplestore under the caller's
 * resource owner.
 */
extern void idem_recorded(void (*work) (void *arg), void *arg, Recording *recording);

#endif							/* IDEM_RECORDER_H */
