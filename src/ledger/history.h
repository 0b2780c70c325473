/*-------------------------------------------------------------------------
 *
 * history.h
 *	  A run over one unit, and the row of history that it leaves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_HISTORY_H
#define IDEM_HISTORY_H

#include "base/hash.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* Every staged row counts once among the first seven; removed counts target rows. */
typedef struct Tally
{
	int64		inserted;
	int64		updated;
	int64		unchanged;
	int64		stale;
	int64		collapsed;
	int64		rejected;
	int64		deleted;
	int64		removed;
} Tally;

/* The named input that a run reads, for the manifest. */
typedef struct InputRecord
{
	const char *name;			/* NULL: it has none */
	const char *scope;			/* text that the run was called with, or NULL */
	const char *hash;			/* in hexadecimal digits; NULL: unknown */
	int64		size;			/* of a file, else -1 */
} InputRecord;

typedef struct RunRecord
{
	int64		run_id;
	const char *import;
	const char *unit;
	const char *status;
	const char *method;			/* NULL until chosen */
	const char *engine;			/* likewise */
	Tally		tally;
	const char *checkpoint;		/* or NULL */
	bool		has_checksum;
	Hash128		checksum;		/* the unit's target rows after the run */
	int64		elapsed;		/* microseconds */
	const char *note;			/* or NULL */
	int			version;
	TimestampTz started_at;
	const char *lower;			/* or NULL */
	const char *upper;
	Oid			who;
	/* a failure, or awaiting_approval */
	int			sqlstate;		/* 0: none */
	const char *message;
	const char *detail;
	int64		to_remove;		/* awaiting_approval: rows it would remove */
	InputRecord input;
	/* to be announced, as the session that ran it wants: */
	bool		log;
	bool		notify;
} RunRecord;

extern int64 idem_tally_attempted(const Tally *tally);
extern void idem_tally_add(Tally *tally, const Tally *more);

/* The next run's number.  Used up even if the run fails, so that each run has its own. */
extern int64 idem_history_next_run_id(void);

/* Insert the row of history, and announce the run. */
extern void idem_history_insert(const RunRecord *run);

/* Correct the checksum in the row of a run. */
extern void idem_history_sum_again(const RunRecord *run);

/*
 * Delete rows of runs that began before that time, of imports that the role
 * may run; with "dropped" also of those that are there no more.  Returns how
 * many.
 */
extern uint64 idem_history_prune(TimestampTz before, Oid who, bool dropped);

/* How many target rows runs have taken from these units (List of String) after a given run. */
extern int64 idem_history_taken_since(const char *import, List *units, int64 run_id);

/* Delete an import's history. */
extern void idem_history_purge(const char *import);

#endif							/* IDEM_HISTORY_H */
