/*-------------------------------------------------------------------------
 *
 * hash_type.h
 *	  How to hash the values of a type.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_HASH_TYPE_H
#define IDEM_HASH_TYPE_H

#include "access/tupdesc.h"
#include "nodes/pg_list.h"
#include "utils/typcache.h"

typedef enum HashMethod
{
	HASH_BYTE,					/* by value, by width */
	HASH_INT16,
	HASH_INT32,
	HASH_INT64,
	HASH_FIXED,					/* by reference, of fixed length */
	HASH_CSTRING,
	HASH_VARLENA,
	HASH_VARLENA_WITH_OID,		/* of its bytes, leave out one OID */
	HASH_ENUM,
	HASH_ARRAY,					/* part by part, from here on */
	HASH_COMPOSITE,
	HASH_RANGE,
	HASH_MULTIRANGE
} HashMethod;

/* How to hash the values of one type */
typedef struct HashType
{
	Oid			type;			/* never a domain */
	HashMethod	method;
	int16		len;
	bool		byval;
	char		align;
	uint32		oid_offset;		/* HASH_VARLENA_WITH_OID: where, after the header */
	struct HashType *part;		/* type of elements, bounds, or ranges */
	Oid			element;		/* HASH_ARRAY: the type that part is for, as the
								 * last array's header showed it */
	TypeCacheEntry *range;		/* HASH_RANGE and HASH_MULTIRANGE: the range */
} HashType;

/* How to hash composites whose header shows this type */
typedef struct HashRecord
{
	Oid			type;
	int32		typmod;
	TupleDesc	desc;
	int			nlive;
	HashType  **columns;		/* NULL for dropped columns */
} HashRecord;

/* A cache from the OID of an enum's value to its label */
typedef struct EnumLabel
{
	Oid			oid;
	char		status;
	uint8		length;
	char		label[NAMEDATALEN];
} EnumLabel;

/* What has been found out; as few as a row has different types */
typedef struct HashTypes
{
	MemoryContext cxt;			/* holds it all */
	List	   *types;			/* of HashType */
	List	   *records;		/* of HashRecord */
	HashRecord *last_record;
	struct enumlabel_hash *labels;
} HashTypes;

/*
 * Find or make what we know of a type; domains count as what they are over.
 */
extern HashType *idem_hash_type(HashTypes *known, Oid type);

/*
 * Find or make what we know of the composites that carry this type.  As in
 * record_image_eq, it is assumed not to change underneath us.
 */
extern HashRecord *idem_hash_record(HashTypes *known, Oid type, int32 typmod);

/* The label of an enum's value. */
extern const EnumLabel *idem_hash_enum(HashTypes *known, Oid value);

#endif							/* IDEM_HASH_TYPE_H */
