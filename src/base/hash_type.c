/*-------------------------------------------------------------------------
 *
 * hash_type.c
 *	  How to hash the values of a type.
 *
 * Finds out in the catalogs what hash.c has to know about a type, a record
 * type or an enum's value, once per hasher: hash.c tells what it is for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/syscache.h"

#include "base/hash_type.h"

#define SH_PREFIX enumlabel
#define SH_ELEMENT_TYPE EnumLabel
#define SH_KEY_TYPE Oid
#define SH_KEY oid
#define SH_HASH_KEY(table, key) murmurhash32(key)
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static void choose_method(HashTypes *known, HashType *type);
static bool holds_no_oid(const HashType *type);

HashType *
idem_hash_type(HashTypes *known, Oid type)
{
	MemoryContext old;
	HashType   *result;
	ListCell   *lc;

	type = getBaseType(type);
	foreach(lc, known->types)
	{
		result = (HashType *) lfirst(lc);
		if (result->type == type)
			return result;
	}

	old = MemoryContextSwitchTo(known->cxt);
	result = palloc0(sizeof(HashType));
	result->type = type;
	choose_method(known, result);
	known->types = lappend(known->types, result);
	MemoryContextSwitchTo(old);

	return result;
}

static void
choose_method(HashTypes *known, HashType *type)
{
	Oid			element = get_element_type(type->type);
	char		kind = get_typtype(type->type);

	get_typlenbyvalalign(type->type, &type->len, &type->byval, &type->align);

	if (kind == TYPTYPE_ENUM)
		type->method = HASH_ENUM;
	else if (kind == TYPTYPE_COMPOSITE || type->type == RECORDOID)
		type->method = HASH_COMPOSITE;
	else if (kind == TYPTYPE_RANGE)
	{
		type->part = idem_hash_type(known, get_range_subtype(type->type));
		type->range = lookup_type_cache(type->type, TYPECACHE_RANGE_INFO);
		type->oid_offset = offsetof(RangeType, rangetypid) - VARHDRSZ;
		type->method = holds_no_oid(type->part) ? HASH_VARLENA_WITH_OID : HASH_RANGE;
	}
	else if (kind == TYPTYPE_MULTIRANGE)
	{
		type->part = idem_hash_type(known, get_multirange_range(type->type));
		type->range = type->part->range;
		type->oid_offset = offsetof(MultirangeType, multirangetypid) - VARHDRSZ;
		type->method = holds_no_oid(type->part->part) ? HASH_VARLENA_WITH_OID : HASH_MULTIRANGE;
	}
	else if (OidIsValid(element))
	{
		type->part = idem_hash_type(known, element);
		type->oid_offset = offsetof(ArrayType, elemtype) - VARHDRSZ;
		type->method = holds_no_oid(type->part) ? HASH_VARLENA_WITH_OID : HASH_ARRAY;
	}
	else if (type->type == ANYARRAYOID)
		type->method = HASH_ARRAY;	/* as in pg_stats: the value tells */
	else if (type->len == -1)
		type->method = HASH_VARLENA;
	else if (type->len == -2)
		type->method = HASH_CSTRING;
	else if (!type->byval)
		type->method = HASH_FIXED;
	else
	{
		switch (type->len)
		{
			case sizeof(char):
				type->method = HASH_BYTE;
				break;
			case sizeof(int16):
				type->method = HASH_INT16;
				break;
			case sizeof(int32):
				type->method = HASH_INT32;
				break;
			case sizeof(int64):
				type->method = HASH_INT64;
				break;
			default:
				elog(ERROR, "unexpected length %d of by-value type %u", type->len, type->type);
		}
	}
}

/* Is a container's image, but for its own type's OID, free of OIDs? */
static bool
holds_no_oid(const HashType *type)
{
	return type->method <= HASH_VARLENA;
}

HashRecord *
idem_hash_record(HashTypes *known, Oid type, int32 typmod)
{
	MemoryContext old;
	HashRecord *result = known->last_record;
	ListCell   *lc;

	if (result && result->type == type && result->typmod == typmod)
		return result;

	foreach(lc, known->records)
	{
		result = (HashRecord *) lfirst(lc);
		if (result->type == type && result->typmod == typmod)
			return known->last_record = result;
	}

	old = MemoryContextSwitchTo(known->cxt);
	result = palloc0(sizeof(HashRecord));
	result->type = type;
	result->typmod = typmod;
	result->desc = lookup_rowtype_tupdesc_copy(type, typmod);
	result->columns = palloc0(sizeof(HashType *) * Max(result->desc->natts, 1));
	for (int i = 0; i < result->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(result->desc, i);

		if (att->attisdropped)
			continue;
		result->columns[i] = idem_hash_type(known, att->atttypid);
		result->nlive++;
	}
	known->records = lappend(known->records, result);
	MemoryContextSwitchTo(old);

	return known->last_record = result;
}

const EnumLabel *
idem_hash_enum(HashTypes *known, Oid value)
{
	EnumLabel  *label;

	if (unlikely(known->labels == NULL))
		known->labels = enumlabel_create(known->cxt, 32, NULL);

	label = enumlabel_lookup(known->labels, value);
	if (unlikely(label == NULL))
	{
		HeapTuple	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(value));
		const char *name;
		bool		found;

		if (!HeapTupleIsValid(tuple))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("invalid internal value for enum: %u", value)));
		label = enumlabel_insert(known->labels, value, &found);
		name = NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel);
		label->length = strlen(name);
		memcpy(label->label, name, label->length);
		ReleaseSysCache(tuple);
	}

	return label;
}
