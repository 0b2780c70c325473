/*-------------------------------------------------------------------------
 *
 * plan_note.h
 *	  What a plan tells of its run besides the counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_PLAN_NOTE_H
#define IDEM_PLAN_NOTE_H

#include "flow/run_unit.h"

/*
 * The run would stop here, with this status and for this reason.  What it
 * meets first is what it fails with; the reasons are all told.
 */
extern void idem_plan_stops(Run *run, const char *status, const char *reason);

/*
 * The unit's counts and method are known: say which locks the run takes on the
 * target, and what would stop it.  Raises 42501 where the run would, for want
 * of a privilege on the target.
 */
extern void idem_plan_finish(Run *run, const Unit *unit);

#endif							/* IDEM_PLAN_NOTE_H */
