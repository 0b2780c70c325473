/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  What a set of rows holds: how many, their sum, and sums by bucket of key.
 *
 * The sums are the order-independent ones of hash.c.  A bucket holds the rows
 * of some keys, the same keys in every digest of as many buckets; there are
 * about as many buckets as rows, as far as memory allows.  Rows that only one
 * side has, or has twice, show in their bucket like those that differ: sums
 * of 64 bits agree by chance once in 2^64 buckets.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/digest.h"
#include "port/pg_bitutils.h"

struct Digester
{
	DigestShape shape;
	RowHasher  *rows;
	RowHasher  *images;			/* NULL: the image is the row */
	RowHasher  *keys;
	Datum	   *values;			/* of the key */
	bool	   *isnull;
};

/* A digest as a value: this, and the buckets. */
typedef struct DigestHeader
{
	int64		rows;
	Hash128		sum;
	Hash128		image;
	Hash128		keys;
	int64		bits;
} DigestHeader;

Digester *
idem_digester_create(const DigestShape *shape, MemoryContext cxt)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(cxt);
	Digester   *digester = palloc0(sizeof(Digester));
	Oid		   *types = palloc(sizeof(Oid) * Max(shape->nkeys, 1));
	int		   *keys = palloc(sizeof(int) * Max(shape->nkeys, 1));

	for (int i = 0; i < shape->nkeys; i++)
	{
		keys[i] = shape->keys[i];
		types[i] = shape->types[keys[i]];
	}
	digester->shape = *shape;
	digester->shape.keys = keys;
	digester->rows = idem_hasher_create(shape->natts, shape->types, cxt);
	if (shape->width < shape->natts)
		digester->images = idem_hasher_create(shape->width, shape->types, cxt);
	digester->keys = idem_hasher_create(shape->nkeys, types, cxt);
	digester->values = palloc(sizeof(Datum) * Max(shape->nkeys, 1));
	digester->isnull = palloc(sizeof(bool) * Max(shape->nkeys, 1));
	MemoryContextSwitchTo(oldcxt);
	return digester;
}

Digest *
idem_digest_create(int bits)
{
	Digest	   *digest = palloc0(sizeof(Digest));

	digest->bits = bits;
	if (bits > 0)
		digest->buckets = palloc0(sizeof(uint64) << bits);
	return digest;
}

void
idem_digest_drop_buckets(Digest *digest)
{
	if (digest->buckets != NULL)
		pfree(digest->buckets);
	digest->buckets = NULL;
	digest->bits = 0;
}

void
idem_digest_free(Digest *digest)
{
	idem_digest_drop_buckets(digest);
	pfree(digest);
}

static inline uint64
bucket_of(Hash128 key, int bits)
{
	return key.high & ((UINT64CONST(1) << bits) - 1);
}

/* A bucket is anywhere in memory: ask for it now, and add to it some rows later. */
static inline void
defer(Digest *digest, uint64 bucket, uint64 hash)
{
	PendingBucket *pending = &digest->pending[digest->rows % DIGEST_PENDING];

	digest->buckets[pending->bucket] += pending->hash;
	pending->bucket = bucket;
	pending->hash = hash;
#if defined(__GNUC__)
	__builtin_prefetch(&digest->buckets[bucket], 1);
#endif
}

static void
settle(Digest *digest)
{
	for (int i = 0; digest->bits > 0 && i < DIGEST_PENDING; i++)
		digest->buckets[digest->pending[i].bucket] += digest->pending[i].hash;
	memset(digest->pending, 0, sizeof(digest->pending));
}

void
idem_digest_row(Digester *digester, Digest *digest, const Datum *values, const bool *isnull)
{
	const DigestShape *shape = &digester->shape;
	Hash128		row = idem_hasher_row(digester->rows, values, isnull);
	Hash128		image = row;
	Hash128		key;
	bool		gone = shape->gone >= 0 && !isnull[shape->gone] && DatumGetBool(values[shape->gone]);

	digest->rows++;
	idem_hash_add(&digest->sum, row);
	if (digester->images != NULL && !gone)
		image = idem_hasher_row(digester->images, values, isnull);
	idem_hash_add(&digest->image, image);

	if (digest->bits == 0)
		return;
	for (int i = 0; i < shape->nkeys; i++)
	{
		digester->values[i] = values[shape->keys[i]];
		digester->isnull[i] = isnull[shape->keys[i]];
	}
	key = idem_hasher_row(digester->keys, digester->values, digester->isnull);
	idem_hash_add(&digest->keys, key);
	defer(digest, bucket_of(key, digest->bits), image.low);
}

void
idem_digest_add(Digest *digest, Digest *other)
{
	if (digest->bits != other->bits)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("digests have different numbers of buckets")));

	settle(other);
	digest->rows += other->rows;
	idem_hash_add(&digest->sum, other->sum);
	idem_hash_add(&digest->image, other->image);
	idem_hash_add(&digest->keys, other->keys);
	for (int64 i = 0; digest->bits > 0 && i < INT64CONST(1) << digest->bits; i++)
		digest->buckets[i] += other->buckets[i];
}

static Size
buckets_size(int bits)
{
	return bits > 0 ? sizeof(uint64) << bits : 0;
}

bytea *
idem_digest_to_bytea(Digest *digest)
{
	Size		size = VARHDRSZ + sizeof(DigestHeader) + buckets_size(digest->bits);
	bytea	   *bytes = palloc(size);
	DigestHeader header = {digest->rows, digest->sum, digest->image, digest->keys, digest->bits};

	settle(digest);
	SET_VARSIZE(bytes, size);
	memcpy(VARDATA(bytes), &header, sizeof(header));
	if (digest->bits > 0)
		memcpy(VARDATA(bytes) + sizeof(header), digest->buckets, buckets_size(digest->bits));
	return bytes;
}

Digest *
idem_digest_from_bytea(const bytea *bytes)
{
	DigestHeader header;
	Digest	   *digest;

	memcpy(&header, VARDATA_ANY(bytes), sizeof(header));
	digest = palloc0(sizeof(Digest));
	digest->rows = header.rows;
	digest->sum = header.sum;
	digest->image = header.image;
	digest->keys = header.keys;
	digest->bits = (int) header.bits;
	if (digest->bits > 0)
	{
		digest->buckets = palloc(buckets_size(digest->bits));
		memcpy(digest->buckets, VARDATA_ANY(bytes) + sizeof(header), buckets_size(digest->bits));
	}
	return digest;
}

bytea *
idem_digest_compare(Digest *a, Digest *b, int64 *ndiffering, int64 *nfilled)
{
	int64		nbuckets = INT64CONST(1) << a->bits;
	Size		size = VARHDRSZ + nbuckets / BITS_PER_BYTE;
	bytea	   *bitmap = palloc0(size);
	uint8	   *bits = (uint8 *) VARDATA(bitmap);

	Assert(a->bits == b->bits && a->bits >= 3);
	settle(a);
	settle(b);
	SET_VARSIZE(bitmap, size);
	*ndiffering = 0;
	*nfilled = 0;
	for (int64 i = 0; i < nbuckets; i++)
	{
		*nfilled += (a->buckets[i] | b->buckets[i]) != 0;
		if (a->buckets[i] != b->buckets[i])
		{
			bits[i / BITS_PER_BYTE] |= 1 << (i % BITS_PER_BYTE);
			(*ndiffering)++;
		}
	}
	return bitmap;
}

uint64
idem_digest_sum_set(const Digest *digest, const bytea *bitmap)
{
	const uint8 *bits = (const uint8 *) VARDATA_ANY(bitmap);
	uint64		sum = 0;

	for (int64 i = 0; i < INT64CONST(1) << digest->bits; i++)
	{
		if (bits[i / BITS_PER_BYTE] & (1 << (i % BITS_PER_BYTE)))
			sum += digest->buckets[i];
	}
	return sum;
}

bool
idem_digest_is_set(const bytea *bitmap, RowHasher *hasher, const Datum *values, const bool *isnull)
{
	int			bits = pg_leftmost_one_pos64((uint64) VARSIZE_ANY_EXHDR(bitmap) * BITS_PER_BYTE);
	uint64		bucket = bucket_of(idem_hasher_row(hasher, values, isnull), bits);

	return ((const uint8 *) VARDATA_ANY(bitmap))[bucket / BITS_PER_BYTE] & (1 << (bucket % BITS_PER_BYTE));
}
