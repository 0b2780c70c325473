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

/*
 * For a background worker outside a transaction: write history and rejects
 * (nrejects of them) in one transaction, and the ledger in another.  False if
 * there is nowhere to write them: no extension, or no such import.
 */
extern bool idem_record(RunRecord *run, Tuplestorestate *rejects, int64 nrejects);

/* Whatever the database's defaults are for its users, a worker of ours writes. */
extern void idem_record_settings(void);

/* Complete a run with the error that ended it. */
extern void idem_record_error(RunRecord *run, const ErrorData *edata);

#endif							/* IDEM_RECORD_H */
