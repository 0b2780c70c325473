/*-------------------------------------------------------------------------
 *
 * prove.h
 *	  Run twice, compare, and leave no trace.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_PROVE_H
#define IDEM_PROVE_H

#include "flow/run.h"

typedef struct Proof
{
	const char *unit;
	int64		first_changes;	/* target rows written by the first run */
	int64		second_changes;
	bool		has_checksums;	/* the target was summed */
	Hash128		first_checksum; /* of the unit's target rows after it */
	Hash128		second_checksum;
	bool		idempotent;
} Proof;

/*
 * Run an import twice, not believing any receipt, and roll both back.  A List
 * of Proof *, one for each unit, in CurrentMemoryContext.  Raises II007 where
 * the second run found something to do.
 */
extern List *idem_prove(const RunRequest *request);

#endif							/* IDEM_PROVE_H */
