/*-------------------------------------------------------------------------
 *
 * digest.h
 *	  What a set of rows holds: how many, their sum, and sums by bucket of key.
 *
 * Two sets whose buckets agree hold the same rows there, so only the rows in
 * buckets that differ need to be looked at one by one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_DIGEST_H
#define IDEM_DIGEST_H

#include "base/hash.h"

/* 2^19 sums of 8 bytes are 4 MB, of which each process that takes part holds a few */
#define DIGEST_MAX_BITS		19

/*
 * How to read a row.  The first "width" columns are its image; what follows
 * says how to treat the row (a flag, an order) and is in "sum" only.
 */
typedef struct DigestShape
{
	int			natts;
	const Oid  *types;
	int			width;
	int			gone;			/* place of a flag: when true, the row has no image; -1: none */
	int			nkeys;
	const int  *keys;			/* places of the columns that choose the bucket */
} DigestShape;

/* A bucket to come, whose memory is being fetched meanwhile */
#define DIGEST_PENDING		16

typedef struct PendingBucket
{
	uint64		bucket;
	uint64		hash;
} PendingBucket;

typedef struct Digest
{
	int64		rows;
	Hash128		sum;			/* of the hashes of rows */
	Hash128		image;			/* of the hashes of their images */
	Hash128		keys;			/* of the hashes of their keys, if there are buckets */
	int			bits;			/* there are 2^bits buckets; 0: none */
	uint64	   *buckets;		/* sums of half hashes of images, but for those pending */
	PendingBucket pending[DIGEST_PENDING];
} Digest;

typedef struct Digester Digester;

/* All that digesting rows of a shape needs; lives in cxt. */
extern Digester *idem_digester_create(const DigestShape *shape, MemoryContext cxt);

/* An empty digest in CurrentMemoryContext. */
extern Digest *idem_digest_create(int bits);
extern void idem_digest_free(Digest *digest);

/* Its buckets are not needed any more. */
extern void idem_digest_drop_buckets(Digest *digest);

/* Add a row, or another digest with as many buckets. */
extern void idem_digest_row(Digester *digester, Digest *digest, const Datum *values, const bool *isnull);
extern void idem_digest_add(Digest *digest, Digest *other);

/* As a value, and back. */
extern bytea *idem_digest_to_bytea(Digest *digest);
extern Digest *idem_digest_from_bytea(const bytea *bytes);

/*
 * A bit for each bucket, set where the two differ; *ndiffering says how many
 * are set, *nfilled how many buckets of either are not empty.
 */
extern bytea *idem_digest_compare(Digest *a, Digest *b, int64 *ndiffering, int64 *nfilled);

/* The sum of the buckets that are set in such a bitmap. */
extern uint64 idem_digest_sum_set(const Digest *digest, const bytea *bitmap);

/*
 * Is the bucket of a key set in such a bitmap?  The hasher is one of the key
 * columns, in the order of the shape's.
 */
extern bool idem_digest_is_set(const bytea *bitmap, RowHasher *hasher, const Datum *values, const bool *isnull);

#endif							/* IDEM_DIGEST_H */
