/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  How far the work at hand has come, for others to see.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_PROGRESS_H
#define IDEM_PROGRESS_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "port/pg_crc32c.h"

typedef enum ProgressPhase
{
	PROGRESS_WAITING,			/* for locks, or getting ready */
	PROGRESS_COMPARING,			/* source and target are summed */
	PROGRESS_READING,
	PROGRESS_STAGING,			/* rows are sorted and judged among themselves */
	PROGRESS_DIFFING,
	PROGRESS_APPLYING,
	PROGRESS_INDEXING,			/* new storage gets its indexes */
	PROGRESS_SWAPPING,
	PROGRESS_SUMMING			/* what the target has become */
} ProgressPhase;

#define PROGRESS_UNKNOWN		(-1)
#define PROGRESS_UNIT_SIZE		1024

/* What a session tells of its run. */
typedef struct Progress
{
	pg_crc32c	crc;			/* of what follows */
	int			pid;			/* 0: nothing is running */
	uint32		lxid;			/* the transaction that it is running in */
	Oid			database;
	Oid			owner;			/* whose members may look */
	Oid			who;
	TimestampTz started_at;
	TimestampTz phase_at;		/* since when in the phase */
	TimestampTz told_at;
	int64		batch;
	int64		first_row;		/* rows done when the phase began */
	int64		rows_done;		/* of the phase; or PROGRESS_UNKNOWN */
	int64		rows_total;		/* likewise, an estimate */
	ProgressPhase phase;
	bool		plan;
	char		import[NAMEDATALEN];
	char		unit[PROGRESS_UNIT_SIZE];	/* a longer one is cut off */
} Progress;

/* Rows left to count until the clock is looked at. */
extern uint32 idem_progress_rows_left;
extern uint32 idem_progress_pulses_left;

extern void idem_progress_count(void);
extern void idem_progress_look(void);

/* Defines idem_import.progress_interval. */
extern void idem_progress_init(void);

/*
 * Around a run: put aside what is told of the run that calls it, if any; and
 * go back to that.  Between the two, idem_progress_begin says which run it is.
 * leave must be called on error as well.
 */
extern void idem_progress_enter(Progress *outer);
extern void idem_progress_begin(const char *import, Oid owner, Oid who, bool plan);
extern void idem_progress_leave(const Progress *outer);

/* The unit at hand, and its batch. */
extern void idem_progress_unit(const char *unit, int64 batch);

/* A phase, of which that many rows of about that many are done. */
extern void idem_progress_phase(ProgressPhase phase, int64 done, double total);

/* That many more rows are done. */
extern void idem_progress_add(int64 rows);

/* How many rows of the phase are done; 0 if that is not known. */
extern int64 idem_progress_done(void);

/* What the sessions of this database are doing, List of Progress. */
extern List *idem_progress_list(void);

/* As words; percent, rate and ETA are PROGRESS_UNKNOWN where they are not known. */
extern const char *idem_progress_phase_name(ProgressPhase phase);
extern int	idem_progress_percent(const Progress *progress);
extern int64 idem_progress_rate(const Progress *progress);	/* rows per second */
extern int64 idem_progress_seconds_left(const Progress *progress);

/* One more row is done.  Called for each row, so it does next to nothing. */
static inline void
idem_progress_row(void)
{
	if (--idem_progress_rows_left == 0)
		idem_progress_count();
}

/* Something happens, but it is no count of rows. */
static inline void
idem_progress_pulse(void)
{
	if (--idem_progress_pulses_left == 0)
		idem_progress_look();
}

#endif							/* IDEM_PROGRESS_H */
