/*-------------------------------------------------------------------------
 *
 * record.h
 *	  Writes down a failed run, in transactions of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RECORD_H
#define IDEM_RECORD_H

#include "ledger/history.h"
#include "utils/tuplestore.h"

/* How long the ledger may keep a worker waiting that has nothing else to do. */
#define IDEM_LEDGER_LOCK_TIMEOUT	"10s"

/*
 * For a background worker outside a transaction: write history and rejects
 * (nrejects of them) in one transaction, and the ledger in another.  False if
 * there is nowhere to write them: no extension, or no such import.
 */
extern bool idem_record(RunRecord *run, Tuplestorestate *rejects, int64 nrejects);

/*
 * The first of the two, for which a run without a number gets one.  No wait
 * for a lock is longer than that; it is an error if it would be.  Interrupts
 * are not looked at between the commit and the return.
 */
extern bool idem_record_history(RunRecord *run, Tuplestorestate *rejects, int64 nrejects,
								const char *lock_timeout);

/* And the second; false if somebody holds the rows for longer than that. */
extern bool idem_record_ledger(const RunRecord *run, const char *lock_timeout);

/* Whatever the database's defaults are for its users, a worker of ours writes. */
extern void idem_record_settings(void);

/* Complete a run with the error that ended it. */
extern void idem_record_error(RunRecord *run, const ErrorData *edata);

#endif							/* IDEM_RECORD_H */
