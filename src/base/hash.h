/*-------------------------------------------------------------------------
 *
 * hash.h
 *	  128-bit hashes of rows, and their order-independent sum.
 *
 * A row's hash depends on the values alone: not on toasting, alignment, OIDs
 * of types or enum labels, nor on any setting.  Two rows of the same column
 * types have the same hash exactly if (but for chance, 2^-128) record_image_eq
 * holds between them, with one exception: composites inside a column, and
 * containers of composites or enums, count as equal if their parts are, even
 * where record_image_eq sees two packings of the same parts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_HASH_H
#define IDEM_HASH_H

#include "utils/uuid.h"

typedef struct Hash128
{
	uint64		low;
	uint64		high;
} Hash128;

typedef struct RowHasher RowHasher;

/*
 * Make a hasher for rows of natts columns of the given types; everything it
 * needs (per-column method, reused buffer) lives in cxt.
 */
extern RowHasher *idem_hasher_create(int natts, const Oid *types, MemoryContext cxt);

/*
 * The hash of one row.  Allocates only to detoast, in CurrentMemoryContext,
 * which the caller resets per row or batch.
 */
extern Hash128 idem_hasher_row(RowHasher *hasher, const Datum *values, const bool *isnull);

/* *sum += hash, modulo 2^128: the order of rows does not matter, their number does. */
extern void idem_hash_add(Hash128 *sum, Hash128 hash);

/* Undo that. */
extern void idem_hash_subtract(Hash128 *sum, Hash128 hash);

/* As uuid, most significant byte first: palloc'd, or into one that is there. */
extern pg_uuid_t *idem_hash_to_uuid(Hash128 hash);
extern void idem_hash_store(Hash128 hash, pg_uuid_t *uuid);
extern Hash128 idem_hash_from_uuid(const pg_uuid_t *uuid);

static inline bool
idem_hash_equal(Hash128 a, Hash128 b)
{
	return a.low == b.low && a.high == b.high;
}

#endif							/* IDEM_HASH_H */
