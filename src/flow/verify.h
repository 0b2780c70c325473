/*-------------------------------------------------------------------------
 *
 * verify.h
 *	  Receipts held against source and target.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_VERIFY_H
#define IDEM_VERIFY_H

#include "flow/run_unit.h"

/* What was found of one unit. */
typedef struct VerifiedUnit
{
	const char *import;
	const char *unit;
	const char *state;			/* "in_sync", "drifted", "stale", "missing" */
	int64		source_rows;	/* these three: -1 if not known */
	int64		target_rows;
	int64		differing;
	Jsonb	   *keys;			/* of the first rows that differ; NULL: rows have no key */
	const char *detail;			/* or NULL */
} VerifiedUnit;

/* Where a run that verifies puts its findings; all lives in cxt. */
typedef struct Verification
{
	MemoryContext cxt;
	List	   *units;			/* of VerifiedUnit * */
} Verification;

/*
 * Verify an import: the units that a scope text names, or NULL: those that
 * were ever applied and those in the source.  import NULL: all imports that
 * the current user may run, where an import that can't be verified gives a row
 * that says why.  Returns a List of VerifiedUnit *, writes nothing, and waits
 * for no run.
 *
 * Raises 42704 and 42501 for an import that is not there for the current user,
 * 22023 for a scope that names no unit or comes without an import, and what
 * reading source and target raises: II002, II003, II006, and PostgreSQL's own.
 */
extern List *idem_verify(const char *import, const char *scope);

/* For run.c: */

/* Rows that no unit owns are set aside, and do not stop a verification. */
extern void idem_verify_relax(Definition *def);

/*
 * A unit whose source and target have been digested: true, and its finding is
 * kept, if they are what the receipt says.
 */
extern bool idem_verify_compared(Run *run, const Unit *unit, const Receipt *receipt, const Comparison *comparison);

/* A unit whose rows are staged; comparison as for idem_run_apply_unit. */
extern void idem_verify_unit(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt,
							 const Comparison *comparison);

/* The units that were applied before and have not been looked at yet (List of Unit *). */
extern List *idem_verify_applied_units(Run *run);

/* All those: the source has no row of theirs. */
extern void idem_verify_absent(Run *run, Stage *stage);

/* in verify_rows.c */

/*
 * How many rows of a unit differ, and the keys of the first of them (in
 * CurrentMemoryContext; NULL for rows without keys).  target: what its rows
 * sum up to.
 */
extern int64 idem_verify_rows(Run *run, Stage *stage, const StagedUnit *staged, const Comparison *comparison,
							  const Fingerprint *target, Jsonb **keys);

/* The keys where no row differs. */
extern Jsonb *idem_verify_no_keys(const Target *target);

#endif							/* IDEM_VERIFY_H */
