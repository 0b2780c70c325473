/*-------------------------------------------------------------------------
 *
 * effects.h
 *	  What the changed rows of a run set off.
 *
 * An import's effects are a query over the rows that a run wrote: "inserted"
 * and "deleted" with the imported columns by their names, "updated" with what
 * each was besides, as old_<column>.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_EFFECTS_H
#define IDEM_EFFECTS_H

#include "flow/changes.h"

/*
 * Can the query be run?  Raises 42601, II002, 42703 and 42804 for its columns,
 * 0A000 for a target with rules, and what PostgreSQL raises.
 */
extern void idem_effects_require(const Definition *def, const Target *target);

/*
 * Run it over the changes, as the import's owner, and save what it gives.
 * Returns how many effects are new or replaced.  Besides the above: see idem_effect_save.
 */
extern int64 idem_effects_save(const Definition *def, const Target *target, const Changes *changes,
							   const Unit *unit, int64 run_id);

#endif							/* IDEM_EFFECTS_H */
