/*-------------------------------------------------------------------------
 *
 * fingerprint.h
 *	  What a unit of the target holds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_FINGERPRINT_H
#define IDEM_FINGERPRINT_H

#include "flow/target.h"
#include "ledger/ledger.h"

/*
 * Rows and checksum of the imported columns of a unit's target rows; fresh:
 * as of now, else as of the active snapshot.
 */
extern Fingerprint idem_fingerprint_target(const Target *target, const Unit *unit, bool fresh);

static inline bool
idem_fingerprint_equal(const Fingerprint *a, const Fingerprint *b)
{
	return a->rows == b->rows && idem_hash_equal(a->checksum, b->checksum);
}

#endif							/* IDEM_FINGERPRINT_H */
