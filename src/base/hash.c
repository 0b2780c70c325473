/*-------------------------------------------------------------------------
 *
 * hash.c
 *	  128-bit hashes of rows, and their order-independent sum.
 *
 * A row is written into one buffer, value by value, and the buffer is hashed
 * by a single call of XXH3: for rows of usual width that is as cheap as
 * reading them, and nothing is allocated per row.
 *
 * In the buffer, each value is a frame of four bytes and what the frame
 * announces: FRAME_NULL and nothing, the length and the bytes, or for a
 * container the number of its parts and the parts, framed in turn.  So
 * ('ab', 'c') differs from ('a', 'bc'), and NULL from ''.
 *
 * The bytes are those that record_image_eq compares: of a varlena, what
 * follows the header after detoasting.  But a row must hash alike in two
 * databases, and some images hold OIDs, which do not travel:
 *
 * - an enum's value is the OID of its label: the label is hashed instead;
 * - arrays and ranges begin with the OID of a type: where the rest holds no
 *	 OID, it is hashed as it is, leaving just that one out; otherwise the parts
 *	 are hashed one by one;
 * - composites hold the OID of their type, and may keep a column compressed,
 *	 or keep what a dropped column held: live columns are hashed one by one.
 *
 * How to treat a type is found out once per hasher, or once per record type
 * where only the value tells.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

/* XXH3 is compiled into this file: no library is needed at run time */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"

#include "base/hash.h"
#include "base/hash_type.h"

/* A frame that no length can be: values are smaller than 1 GB */
#define FRAME_NULL			PG_UINT32_MAX

/* The buffer starts like this, and returns to it after a huge row */
#define BUFFER_INITIAL		1024
#define BUFFER_KEEP			(8 * 1024 * 1024)

struct RowHasher
{
	MemoryContext cxt;
	int			natts;
	HashType  **columns;
	HashTypes	known;

	/* the row as it is being written */
	char	   *buffer;
	Size		used;
	Size		size;
};

static void enlarge_buffer(RowHasher *hasher, Size n);
static void put_value(RowHasher *hasher, HashType *type, Datum value, bool isnull);
static void put_varlena(RowHasher *hasher, Datum value);
static void put_varlena_with_oid(RowHasher *hasher, Datum value, uint32 oid_offset);
static void put_enum(RowHasher *hasher, Oid value);
static void put_array(RowHasher *hasher, HashType *type, Datum value);
static void put_composite(RowHasher *hasher, Datum value);
static void put_range(RowHasher *hasher, HashType *type, const RangeType *range);
static void put_multirange(RowHasher *hasher, HashType *type, Datum value);

RowHasher *
idem_hasher_create(int natts, const Oid *types, MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	RowHasher  *hasher = palloc0(sizeof(RowHasher));

	hasher->cxt = cxt;
	hasher->known.cxt = cxt;
	hasher->size = BUFFER_INITIAL;
	hasher->buffer = palloc(hasher->size);
	hasher->natts = natts;
	hasher->columns = palloc(sizeof(HashType *) * Max(natts, 1));
	for (int i = 0; i < natts; i++)
		hasher->columns[i] = idem_hash_type(&hasher->known, types[i]);

	MemoryContextSwitchTo(old);
	return hasher;
}

Hash128
idem_hasher_row(RowHasher *hasher, const Datum *values, const bool *isnull)
{
	XXH128_hash_t xxh;
	Hash128		hash;

	hasher->used = 0;
	for (int i = 0; i < hasher->natts; i++)
		put_value(hasher, hasher->columns[i], values[i], isnull[i]);

	xxh = XXH3_128bits(hasher->buffer, hasher->used);
	hash.low = xxh.low64;
	hash.high = xxh.high64;

	/* a rare huge row shall not hold its memory until the end of the query */
	if (unlikely(hasher->size > BUFFER_KEEP))
	{
		pfree(hasher->buffer);
		hasher->size = BUFFER_INITIAL;
		hasher->buffer = MemoryContextAlloc(hasher->cxt, hasher->size);
	}

	return hash;
}

void
idem_hash_add(Hash128 *sum, Hash128 hash)
{
	sum->low += hash.low;
	sum->high += hash.high + (sum->low < hash.low ? 1 : 0);
}

void
idem_hash_subtract(Hash128 *sum, Hash128 hash)
{
	sum->high -= hash.high + (sum->low < hash.low ? 1 : 0);
	sum->low -= hash.low;
}

pg_uuid_t *
idem_hash_to_uuid(Hash128 hash)
{
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	idem_hash_store(hash, uuid);
	return uuid;
}

void
idem_hash_store(Hash128 hash, pg_uuid_t *uuid)
{
	uint64		high = pg_hton64(hash.high);
	uint64		low = pg_hton64(hash.low);

	memcpy(uuid->data, &high, sizeof(high));
	memcpy(uuid->data + sizeof(high), &low, sizeof(low));
}

Hash128
idem_hash_from_uuid(const pg_uuid_t *uuid)
{
	uint64		high;
	uint64		low;
	Hash128		hash;

	memcpy(&high, uuid->data, sizeof(high));
	memcpy(&low, uuid->data + sizeof(high), sizeof(low));
	hash.high = pg_ntoh64(high);
	hash.low = pg_ntoh64(low);
	return hash;
}

/* Make room for n bytes more; a row may well be wider than 1 GB. */
static void
enlarge_buffer(RowHasher *hasher, Size n)
{
	Size		size = hasher->size;

	while (size - hasher->used < n)
		size *= 2;
	hasher->buffer = repalloc_huge(hasher->buffer, size);
	hasher->size = size;
}

static inline char *
reserve(RowHasher *hasher, Size n)
{
	char	   *start;

	if (unlikely(hasher->size - hasher->used < n))
		enlarge_buffer(hasher, n);
	start = hasher->buffer + hasher->used;
	hasher->used += n;
	return start;
}

/* With a constant n this becomes two stores. */
static inline void
put_bytes(RowHasher *hasher, const void *bytes, uint32 n)
{
	char	   *to = reserve(hasher, sizeof(n) + n);

	memcpy(to, &n, sizeof(n));
	memcpy(to + sizeof(n), bytes, n);
}

static inline void
put_frame(RowHasher *hasher, uint32 frame)
{
	memcpy(reserve(hasher, sizeof(frame)), &frame, sizeof(frame));
}

static void
put_value(RowHasher *hasher, HashType *type, Datum value, bool isnull)
{
	if (isnull)
	{
		put_frame(hasher, FRAME_NULL);
		return;
	}

	switch (type->method)
	{
		case HASH_BYTE:
			{
				char		byte = DatumGetChar(value);

				put_bytes(hasher, &byte, sizeof(byte));
				break;
			}
		case HASH_INT16:
			{
				int16		number = DatumGetInt16(value);

				put_bytes(hasher, &number, sizeof(number));
				break;
			}
		case HASH_INT32:
			{
				int32		number = DatumGetInt32(value);

				put_bytes(hasher, &number, sizeof(number));
				break;
			}
		case HASH_INT64:
			{
				int64		number = DatumGetInt64(value);

				put_bytes(hasher, &number, sizeof(number));
				break;
			}
		case HASH_FIXED:
			put_bytes(hasher, DatumGetPointer(value), type->len);
			break;
		case HASH_CSTRING:
			put_bytes(hasher, DatumGetCString(value), strlen(DatumGetCString(value)));
			break;
		case HASH_VARLENA:
			put_varlena(hasher, value);
			break;
		case HASH_VARLENA_WITH_OID:
			put_varlena_with_oid(hasher, value, type->oid_offset);
			break;
		case HASH_ENUM:
			put_enum(hasher, DatumGetObjectId(value));
			break;
		case HASH_ARRAY:
			put_array(hasher, type, value);
			break;
		case HASH_COMPOSITE:
			put_composite(hasher, value);
			break;
		case HASH_RANGE:
			{
				RangeType  *range = DatumGetRangeTypeP(value);

				put_range(hasher, type, range);
				if (range != (RangeType *) DatumGetPointer(value))
					pfree(range);
				break;
			}
		case HASH_MULTIRANGE:
			put_multirange(hasher, type, value);
			break;
	}
}

/* Only a compressed or external value is copied to be read. */
static void
put_varlena(RowHasher *hasher, Datum value)
{
	struct varlena *varlena = PG_DETOAST_DATUM_PACKED(value);

	put_bytes(hasher, VARDATA_ANY(varlena), VARSIZE_ANY_EXHDR(varlena));

	if (varlena != (struct varlena *) DatumGetPointer(value))
		pfree(varlena);
}

static void
put_varlena_with_oid(RowHasher *hasher, Datum value, uint32 oid_offset)
{
	struct varlena *varlena = PG_DETOAST_DATUM_PACKED(value);
	const char *bytes = VARDATA_ANY(varlena);
	uint32		rest = oid_offset + sizeof(Oid);
	uint32		length = VARSIZE_ANY_EXHDR(varlena) - sizeof(Oid);
	char	   *to;

	Assert(length >= oid_offset);
	to = reserve(hasher, sizeof(length) + length);
	memcpy(to, &length, sizeof(length));
	to += sizeof(length);
	memcpy(to, bytes, oid_offset);
	memcpy(to + oid_offset, bytes + rest, length - oid_offset);

	if (varlena != (struct varlena *) DatumGetPointer(value))
		pfree(varlena);
}

static void
put_enum(RowHasher *hasher, Oid value)
{
	const EnumLabel *label = idem_hash_enum(&hasher->known, value);

	put_bytes(hasher, label->label, label->length);
}

/*
 * An array whose elements hold OIDs, or of a type that only its header tells.
 */
static void
put_array(RowHasher *hasher, HashType *type, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			ndim = ARR_NDIM(array);
	Oid			element_type = ARR_ELEMTYPE(array);
	HashType   *element;
	Datum	   *values;
	bool	   *isnull;
	int			n;

	check_stack_depth();

	if (type->element != element_type)
	{
		type->part = idem_hash_type(&hasher->known, element_type);
		type->element = element_type;
	}
	element = type->part;

	put_frame(hasher, ndim);
	memcpy(reserve(hasher, ndim * sizeof(int)), ARR_DIMS(array), ndim * sizeof(int));
	memcpy(reserve(hasher, ndim * sizeof(int)), ARR_LBOUND(array), ndim * sizeof(int));

	deconstruct_array(array, element_type, element->len, element->byval, element->align,
					  &values, &isnull, &n);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_value(hasher, element, values[i], isnull[i]);
	}

	pfree(values);
	pfree(isnull);
	if (array != (ArrayType *) DatumGetPointer(value))
		pfree(array);
}

static void
put_composite(RowHasher *hasher, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	HashRecord *record = idem_hash_record(&hasher->known, HeapTupleHeaderGetTypeId(header),
										  HeapTupleHeaderGetTypMod(header));
	int			natts = record->desc->natts;
	HeapTupleData tuple;
	Datum	   *values;
	bool	   *isnull;

	check_stack_depth();

	/* a record can hold another of its own type, so these are not shared */
	values = palloc(sizeof(Datum) * Max(natts, 1));
	isnull = palloc(sizeof(bool) * Max(natts, 1));

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, record->desc, values, isnull);

	put_frame(hasher, record->nlive);
	for (int i = 0; i < natts; i++)
	{
		if (record->columns[i])
			put_value(hasher, record->columns[i], values[i], isnull[i]);
	}

	pfree(values);
	pfree(isnull);
	if (header != (HeapTupleHeader) DatumGetPointer(value))
		pfree(header);
}

/* The frame of a range is its flags, which tell which bounds follow. */
static void
put_range(RowHasher *hasher, HashType *type, const RangeType *range)
{
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;
	char		flags = range_get_flags(range);

	check_stack_depth();

	range_deserialize(type->range, range, &lower, &upper, &empty);
	put_frame(hasher, (uint8) flags);
	if (RANGE_HAS_LBOUND(flags))
		put_value(hasher, type->part, lower.val, false);
	if (RANGE_HAS_UBOUND(flags))
		put_value(hasher, type->part, upper.val, false);
}

static void
put_multirange(RowHasher *hasher, HashType *type, Datum value)
{
	MultirangeType *multirange = DatumGetMultirangeTypeP(value);

	check_stack_depth();

	put_frame(hasher, multirange->rangeCount);
	for (uint32 i = 0; i < multirange->rangeCount; i++)
	{
		RangeType  *range = multirange_get_range(type->range, multirange, i);

		CHECK_FOR_INTERRUPTS();
		put_range(hasher, type->part, range);
		pfree(range);
	}

	if (multirange != (MultirangeType *) DatumGetPointer(value))
		pfree(multirange);
}
