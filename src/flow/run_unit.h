/*-------------------------------------------------------------------------
 *
 * run_unit.h
 *	  What a run does with one unit, once its rows are staged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RUN_UNIT_H
#define IDEM_RUN_UNIT_H

#include "flow/changes.h"
#include "flow/comparison.h"
#include "flow/diff.h"
#include "flow/missing.h"
#include "flow/run.h"

typedef struct Run
{
	const RunRequest *request;
	RunTrace   *trace;
	RunRecord  *record;			/* of the unit at hand: trace->current */
	Definition *def;
	Target	   *target;
	Source	   *source;
	Increment  *increment;		/* what is read of it; NULL before that is known */
	int64		batch;			/* number of the batch at hand */
	Oid			who;
	MemoryContext cxt;			/* for as long as the run goes on */
	List	   *done;			/* names of finished units, of String */
	List	   *done_units;		/* those units, NULL for rows that no unit owns */
	Tuplestorestate *movers;	/* winners that take their target row from another unit */
	int64		nmovers;
	bool		would_swap;		/* a plan: the run would take the method swap */
	const char *stop;			/* a plan: why the run would fail with the unit at hand, or NULL */
	const char *approval_fate;	/* what becomes of the unit's approval: " (too few)", ... */
	uint64		ended;			/* how many transactions had, before the snapshot was taken */
	bool		reread;			/* the source has been read more than once */
} Run;

/* What writing a unit's rows tells of its target, besides the counts. */
typedef struct Written
{
	bool		summed;			/* what the unit's target rows are now is known: */
	Fingerprint target;
	Changes    *changes;		/* the rows, where the import has effects; else NULL */
	Fingerprint refused;		/* rows that the target may take another time; summed if they have no key */
} Written;

/* in run_open.c */

/*
 * Does it start at the checkpoint, and move it?  Of an import that is tracked,
 * all that the call does not choose itself is read from there on.
 */
extern bool idem_run_is_tracked(const Run *run);

/*
 * The units that the call names.  A text that names none is the caller's
 * mistake: no unit fails, and nothing is recorded.
 */
extern List *idem_run_parse_scope(Run *run);

/* Open the target, with all the locks that the run begins with. */
extern void idem_run_open_target(Run *run);

/* in run_unit.c */

/* How many transactions have ended so far. */
extern uint64 idem_run_transactions_ended(void);

/* Start the record of a unit; unit NULL: rows that none owns, or no unit yet. */
extern void idem_run_begin_unit(Run *run, const Unit *unit, const char *name);

/* Write its row of history, unless this is a plan, and hand out its record. */
extern void idem_run_finish_unit(Run *run, const Unit *unit);

/* Say something in the result's note. */
extern void idem_run_note(Run *run, const char *note);

/*
 * Does the run read only part of its source, so that nothing follows from
 * what it does not see?
 */
extern bool idem_run_is_partial(const Run *run);

/* How many rows of the unit the run may remove since that was approved; -1: it was not. */
extern int64 idem_run_approved(const Run *run, const Receipt *receipt);

/* An approval that the run uses up remains in the note: whose, when, for how many rows. */
extern void idem_run_note_approval(Run *run, const Receipt *receipt);

/* Are the unit's rows deleted and inserted anew? */
extern bool idem_run_replaces(const Run *run);

/* The unit's receipt as of now, of version 0 if no run could believe it. */
extern void idem_run_receipt(Run *run, const char *unit, Receipt *receipt);

/*
 * Finish a unit as skipped, if its receipt, what was read of its source, and
 * its target rows (NULL: to be summed now) agree; false if there is something
 * to do.
 */
extern bool idem_run_skip_unit(Run *run, const Unit *unit, const Receipt *receipt, const Fingerprint *read,
							   const Fingerprint *target);

/* Finish a unit that a known input was applied to; target NULL: it was not summed. */
extern void idem_run_skip_input(Run *run, const char *unit, const Fingerprint *target, const char *note);

/*
 * Judge a unit's staged rows, apply them (but for a plan), and finish it.
 * comparison: of the unit, if it is the run's only one; else NULL.
 */
extern void idem_run_apply_unit(Run *run, Stage *stage, StagedUnit *staged, const Receipt *receipt,
								const Comparison *comparison);

/* Set rows aside, or those that the target did not take; II004 if there are too many of them. */
extern void idem_run_set_aside(Run *run, Stage *stage, const StagedUnit *staged);
extern void idem_run_set_aside_refused(Run *run, const StagedUnit *staged, const BadRows *bad);

/* More lines of a file than the import allows are no rows: raise II004, and keep them. */
extern void idem_run_refuse_lines(Run *run, const LineRejects *lines);

/* Finish a unit whose rows went into new storage; target: what they sum up to. */
extern void idem_run_finish_swap(Run *run, const StagedUnit *staged, const Fingerprint *target);

/*
 * Where rows have moved between units of the run: correct what finished units
 * say of their target rows.
 */
extern void idem_run_sum_again(Run *run);

/* in run_swap.c */

/*
 * Run the unit by swap if that is called for, or worth it, and possible; false
 * if not.  A plan only says so.
 */
extern bool idem_run_swap(Run *run, Unit *unit, const Receipt *receipt, const Comparison *comparison);

/* The rows of a plan that would swap are known: would it really? */
extern void idem_run_plan_swap(Run *run, const StagedUnit *staged);

/* in run_write.c */

/*
 * Stop a run that would remove more of the unit than the import allows.  For
 * a plan, say so.
 */
extern void idem_run_guard_removal(Run *run, const Receipt *receipt, int64 total, int64 removed,
								   const Tally *tally);

/* Judge and write the rows, and count them in the run's record. */
extern void idem_run_write(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt,
						   const Comparison *comparison, Written *written);

/* What is to be done for a unit whose rows have keys. */
typedef struct Judged
{
	Present		present;
	Diff	   *diff;
	Missing    *missing;		/* NULL: the import removes no rows for being missing */
} Judged;

/*
 * Judge a unit's staged rows, as of now or as of the active snapshot, and
 * write nothing.  comparison may be NULL: then every row is looked at.
 */
extern void idem_run_judge(Run *run, Stage *stage, const StagedUnit *staged, const Comparison *comparison,
						   bool now, Judged *judged);
extern void idem_run_free_judged(Judged *judged, const StagedUnit *staged);

/* How many rows are to be written or removed. */
static inline int64
idem_judged_rows(const Judged *judged)
{
	return judged->diff->fresh + judged->diff->changed + judged->diff->gone +
		(judged->missing != NULL ? judged->missing->missing : 0);
}

/* Are the unit's rows still in place, as of now?  target is its sum. */
extern bool idem_run_is_settled(Run *run, Stage *stage, const StagedUnit *staged, const Fingerprint *target);

#endif							/* IDEM_RUN_UNIT_H */
