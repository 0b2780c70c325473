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
#include "nodes/pg_list.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define REJECT_NATTS	8

/* What "row" is: a line of a file, as text; as the source had it, not cast; or in the target's types. */
#define REJECT_LINE		"line"
#define REJECT_SOURCE	"source"
#define REJECT_STAGED	"staged"

/*
 * (row jsonb, key jsonb, sqlstate text, message text, column_name text, constraint_name text,
 * position bigint, kind text)
 */
extern TupleDesc idem_reject_desc(void);

/*
 * Which of a unit's open rejects a run resolves that did not meet them again:
 * none, as it read only some rows; those of the same input, as it read all of
 * that; or all, as no row of the unit is left that it did not read.
 */
typedef enum RejectSettle
{
	SETTLE_NONE,
	SETTLE_INPUT,
	SETTLE_ALL
} RejectSettle;

/*
 * Save the rejects of one unit, of a named input or (NULL) the source; one that
 * is open already counts another attempt instead.
 */
extern void idem_reject_save(const char *import, const char *unit, int64 run_id, const char *input,
							 Tuplestorestate *rejects, RejectSettle settle);

/* An open reject that can be tried again. */
typedef struct OpenReject
{
	int64		reject_id;
	char	   *unit;
} OpenReject;

/* Those of an import (List of OpenReject *), by unit, the oldest first; not the lines of files. */
extern List *idem_reject_open(const char *import);

/*
 * One has been tried again: it is resolved, or it has failed for the reason
 * that the first of the rejects has.
 */
extern void idem_reject_resolve(int64 reject_id, int64 run_id);
extern void idem_reject_failed_again(int64 reject_id, int64 run_id, Tuplestorestate *rejects);

/*
 * SQL that gives the row of a reject, as r.row and r.kind; the reject's number
 * is to follow it.  Anybody who may see the reject may run it.
 */
extern char *idem_reject_from(void);

/*
 * Delete rejects that were resolved before that time, of imports that the
 * role may run; with "dropped" also of those that are there no more.  Returns
 * how many.
 */
extern uint64 idem_reject_prune(TimestampTz before, Oid who, bool dropped);

/* Delete an import's rejects. */
extern void idem_reject_purge(const char *import);

#endif							/* IDEM_REJECT_H */
