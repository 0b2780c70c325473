/*-------------------------------------------------------------------------
 *
 * run_unit.h
 *	  What a run does with one unit, once its rows are staged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RUN_UNIT_H
#define IDEM_RUN_UNIT_H

#include "flow/run.h"
#include "flow/stage.h"

typedef struct Run
{
	const RunRequest *request;
	RunTrace   *trace;
	RunRecord  *record;			/* of the unit at hand: trace->current */
	Definition *def;
	Target	   *target;
	Source	   *source;
	Oid			who;
	MemoryContext cxt;			/* for as long as the run goes on */
	List	   *done;			/* names of finished units, of String */
	List	   *done_units;		/* those units, NULL for rows that no unit owns */
	Tuplestorestate *movers;	/* winners that take their target row from another unit */
	int64		nmovers;
	bool		reread;			/* the source has been read more than once */
} Run;

/* Start the record of a unit; unit NULL: rows that none owns, or no unit yet. */
extern void idem_run_begin_unit(Run *run, const Unit *unit, const char *name);

/*
 * Finish a unit as skipped, if its receipt, what was read of its source, and
 * its target rows agree; false if there is something to do.
 */
extern bool idem_run_skip_unit(Run *run, const Unit *unit, const Receipt *receipt, const Fingerprint *read);

/* Judge a unit's staged rows, apply them (but for a plan), and finish it. */
extern void idem_run_apply_unit(Run *run, Stage *stage, StagedUnit *staged, const Receipt *receipt);

/*
 * Where rows have moved between units of the run: correct what finished units
 * say of their target rows.
 */
extern void idem_run_sum_again(Run *run);

#endif							/* IDEM_RUN_UNIT_H */
