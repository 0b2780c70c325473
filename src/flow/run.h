/*-------------------------------------------------------------------------
 *
 * run.h
 *	  One import's way through the house.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RUN_H
#define IDEM_RUN_H

#include "flow/file.h"
#include "flow/increment.h"
#include "flow/line_reject.h"
#include "ledger/history.h"
#include "nodes/pg_list.h"
#include "utils/tuplestore.h"

typedef struct RunRequest
{
	const char *import;
	const char *scope;			/* NULL: all units in the source */
	bool		force;			/* do not believe receipts */
	bool		plan;			/* only count */
	Oid			source;			/* read this relation instead, or InvalidOid */
	struct Verification *verify;	/* with plan: compare with the receipts (flow/verify.h); or NULL */
	FileSource *file;			/* or this file, or NULL */
	InputRecord input;			/* name it in the manifest */
	/* of a call that commits each of its steps: */
	int			version;		/* of the definition that they follow; 0: as it is */
	TimestampTz created_at;		/* and when that was created */
	bool		alone;			/* rows of other units are other steps' affair */
	bool		strays;			/* only rows that belong to none of the units */
	bool		completes;		/* the last step of a call over all units */
	Paging	   *paging;			/* the next page of the source; NULL: all of it */
	const LineRejects *lines;	/* what is no row of it; NULL: nothing */
} RunRequest;

/*
 * What a caller sees of a run, even of one that fails: the record of the unit
 * at hand, its rejects (ledger/reject.h), and the finished units' records.
 * Everything lives in cxt.
 */
typedef struct RunTrace
{
	MemoryContext cxt;
	RunRecord  *current;		/* its import is NULL while nothing is to be recorded */
	Tuplestorestate *rejects;
	List	   *results;		/* of RunRecord * */
} RunTrace;

/*
 * Run an import, in the caller's transaction, as its owner and with its
 * settings.  Raises what DESIGN calls class II, 42704 and 42501 for an import
 * that is not there for the current user, 55000 if it is not the one that the
 * request was made for any more, and what PostgreSQL raises.
 */
extern void idem_run(const RunRequest *request, RunTrace *trace);

/*
 * The canonical text for the units that a text means: the name of the one, or
 * a range.  Errors: those of a text that names no unit.
 */
extern char *idem_run_unit_name(const Definition *def, char *text);

/*
 * Set an import's checkpoint back to an earlier one, as a result told it, or to
 * the start (NULL).  See idem_tracking_rewind for the errors.
 */
extern void idem_run_rewind(const char *import, const char *checkpoint);

#endif							/* IDEM_RUN_H */
