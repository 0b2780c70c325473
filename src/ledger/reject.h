/*-------------------------------------------------------------------------
 *
 * reject.h
 *	  Staged rows that could not be applied.
 *
 * While a run goes on its rejects wait in a tuplestore of the shape below; it
 * is saved with the run, or sent to the recorder when the run fails.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_REJECT_H
#define IDEM_REJECT_H

#include "access/tupdesc.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define REJECT_NATTS	6

/* (row jsonb, key jsonb, sqlstate text, message text, column_name text, constraint_name text) */
extern TupleDesc idem_reject_desc(void);

/*
 * Save the rejects of one unit; one that is open already counts another
 * attempt instead.  With "settle", the run read the whole unit: open rejects
 * that it did not meet again are resolved.
 */
extern void idem_reject_save(const char *import, const char *unit, int64 run_id,
							 Tuplestorestate *rejects, bool settle);

/*
 * Delete rejects that were resolved before that time, of imports that the
 * role may run; with "dropped" also of those that are there no more.  Returns
 * how many.
 */
extern uint64 idem_reject_prune(TimestampTz before, Oid who, bool dropped);

/* Delete an import's rejects. */
extern void idem_reject_purge(const char *import);

#endif							/* IDEM_REJECT_H */
