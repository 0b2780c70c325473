/*-------------------------------------------------------------------------
 *
 * fingerprint.h
 *	  What a unit holds, in the source and in the target, without looking at
 *	  single rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_FINGERPRINT_H
#define IDEM_FINGERPRINT_H

#include "base/digest.h"
#include "flow/source.h"
#include "ledger/ledger.h"

/*
 * Rows and checksum of the imported columns of a unit's target rows; fresh:
 * as of now, else as of the active snapshot.
 */
extern Fingerprint idem_fingerprint_target(const Target *target, const Unit *unit, bool fresh);

/* The same with 2^bits buckets by key, as of the active snapshot. */
extern Digest *idem_digest_target(const Target *target, const Unit *unit, int bits);

/*
 * What the source holds of a unit, as of the active snapshot, in plain SQL,
 * which may run in parallel.  NULL if SQL can't tell: where columns need
 * casts, or some rows are outside of the unit and that is not to be ignored.
 */
extern Digest *idem_digest_source(const Source *source, const Unit *unit, bool ignore_outside, int bits);

/* The shape of a source's rows, and of a target's. */
extern void idem_digest_source_shape(const Source *source, DigestShape *shape);

static inline bool
idem_fingerprint_equal(const Fingerprint *a, const Fingerprint *b)
{
	return a->rows == b->rows && idem_hash_equal(a->checksum, b->checksum);
}

#endif							/* IDEM_FINGERPRINT_H */
