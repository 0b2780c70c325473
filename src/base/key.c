/*-------------------------------------------------------------------------
 *
 * key.c
 *	  Deterministic surrogate keys: the same values give the same uuid, on
 *	  any server, at any time.
 *
 * Keys are stored and compared for years, so unlike a row's hash (hash.c)
 * they are made of a documented form of the values and of a hash that nobody
 * can forge.  The form, in which all numbers are big-endian:
 *
 *	  key       = SHA-256 of value ..., cut to 128 bits, with the version 8
 *	              and variant bits of RFC 9562
 *	  value     = string(name of the type) and either
 *	              0xFFFFFFFF for NULL, or string(body)
 *	  string(x) = length of x in bytes (4 bytes), x
 *
 * The name is that of the type without schema (int4, timestamptz, uuid); a
 * domain's is that of its base type.  The body is the type's binary send form
 * but for these:
 *
 *	  text, varchar, untyped literals: type "text"; the bytes.
 *	  char(n), name, json, xml, and what is binary coercible to text, as citext
 *	  is: the bytes.
 *	  enum: the label.
 *	  array: type "array"; string(name of the element type), number of
 *	  dimensions (4), for each its length and lower bound (4, 4), the values.
 *	  composite: type "record"; number of columns (4), the values.
 *	  range: its flags as in the send form (1), then the bounds that it has,
 *	  as values.
 *	  multirange: number of ranges (4), each as value.
 *
 * They differ because the send functions of strings convert to the client's
 * encoding, and those of containers write OIDs of types.  Text is in the
 * database's encoding.  Send functions of other types may convert too (jsonb,
 * tsvector, hstore), so they run with conversion switched off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/key.h"

/* A length that no value has */
#define LENGTH_OF_NULL		PG_UINT32_MAX

/* What range_send shows of the flags */
#define RANGE_SENT_FLAGS	(RANGE_EMPTY | RANGE_LB_INC | RANGE_LB_INF | RANGE_UB_INC | RANGE_UB_INF)

typedef enum KeyMethod
{
	KEY_SEND,
	KEY_TEXT,
	KEY_CSTRING,
	KEY_ENUM,
	KEY_ARRAY,
	KEY_COMPOSITE,
	KEY_RANGE,
	KEY_MULTIRANGE
} KeyMethod;

typedef struct KeyType
{
	Oid			type;			/* hash key; may be a domain */
	KeyMethod	method;
	char		name[NAMEDATALEN];
	FmgrInfo	send;			/* KEY_SEND */
	Oid			part;			/* type of elements, bounds, or ranges */
	int16		part_len;		/* of an array's elements */
	bool		part_byval;
	char		part_align;
	TypeCacheEntry *range;		/* KEY_RANGE and KEY_MULTIRANGE: the range */
} KeyType;

struct KeyMaker
{
	MemoryContext cxt;
	HTAB	   *types;			/* of KeyType */
};

static KeyType *key_type(KeyMaker *maker, Oid type);
static void describe_type(KeyMaker *maker, Oid type, KeyType *result);
static void append_string(StringInfo buf, const char *bytes, uint32 length);
static void append_value(KeyMaker *maker, StringInfo buf, Oid type, Datum value, bool isnull);
static void append_sent(StringInfo buf, KeyType *type, Datum value);
static void append_enum(StringInfo buf, Oid value);
static void append_array(KeyMaker *maker, StringInfo buf, KeyType *type, Datum value);
static void append_composite(KeyMaker *maker, StringInfo buf, Datum value);
static void append_range(KeyMaker *maker, StringInfo buf, KeyType *type, Datum value);
static void append_multirange(KeyMaker *maker, StringInfo buf, KeyType *type, Datum value);
static void digest(const StringInfoData *buf, uint8 *result);

KeyMaker *
idem_key_maker_create(MemoryContext cxt)
{
	KeyMaker   *maker = MemoryContextAlloc(cxt, sizeof(KeyMaker));
	HASHCTL		ctl;

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(KeyType);
	ctl.hcxt = cxt;
	maker->cxt = cxt;
	maker->types = hash_create("idem_import key types", 16, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return maker;
}

pg_uuid_t *
idem_key_make(KeyMaker *maker, int n, const Oid *types, const Datum *values, const bool *isnull)
{
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));
	uint8		sha[PG_SHA256_DIGEST_LENGTH];
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < n; i++)
		append_value(maker, &buf, types[i], values[i], isnull[i]);

	digest(&buf, sha);
	memcpy(uuid->data, sha, UUID_LEN);
	uuid->data[6] = (uuid->data[6] & 0x0f) | 0x80;	/* version 8: custom */
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;	/* variant of RFC 9562 */

	pfree(buf.data);
	return uuid;
}

/* Find or make what we know of a type. */
static KeyType *
key_type(KeyMaker *maker, Oid type)
{
	KeyType    *result = hash_search(maker->types, &type, HASH_FIND, NULL);

	if (result == NULL)
	{
		KeyType		new;

		/* may fail, so enter it only when it is complete */
		describe_type(maker, type, &new);
		result = hash_search(maker->types, &type, HASH_ENTER, NULL);
		*result = new;
	}
	return result;
}

static void
describe_type(KeyMaker *maker, Oid type, KeyType *result)
{
	Oid			base = getBaseType(type);
	char		kind = get_typtype(base);
	HeapTuple	tuple;

	memset(result, 0, sizeof(KeyType));
	result->type = type;

	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(base));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", base);
	strlcpy(result->name, NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname), NAMEDATALEN);
	ReleaseSysCache(tuple);

	if (kind == TYPTYPE_ENUM)
		result->method = KEY_ENUM;
	else if (kind == TYPTYPE_COMPOSITE || base == RECORDOID)
	{
		result->method = KEY_COMPOSITE;
		strlcpy(result->name, "record", NAMEDATALEN);
	}
	else if (kind == TYPTYPE_RANGE)
	{
		result->method = KEY_RANGE;
		result->part = get_range_subtype(base);
		result->range = lookup_type_cache(base, TYPECACHE_RANGE_INFO);
	}
	else if (kind == TYPTYPE_MULTIRANGE)
	{
		result->method = KEY_MULTIRANGE;
		result->part = get_multirange_range(base);
		result->range = lookup_type_cache(result->part, TYPECACHE_RANGE_INFO);
	}
	else if (OidIsValid(get_element_type(base)))
	{
		result->method = KEY_ARRAY;
		result->part = get_element_type(base);
		get_typlenbyvalalign(result->part, &result->part_len, &result->part_byval,
							 &result->part_align);
		strlcpy(result->name, "array", NAMEDATALEN);
	}
	else if (base == TEXTOID || base == VARCHAROID)
	{
		/* a staging column is often text where the target has varchar(n) */
		result->method = KEY_TEXT;
		strlcpy(result->name, "text", NAMEDATALEN);
	}
	else if (base == UNKNOWNOID || base == CSTRINGOID)
	{
		result->method = KEY_CSTRING;
		strlcpy(result->name, "text", NAMEDATALEN);
	}
	else if (base == NAMEOID)
		result->method = KEY_CSTRING;
	else if (base == BPCHAROID || base == JSONOID || base == XMLOID ||
			 IsBinaryCoercible(base, TEXTOID))
		result->method = KEY_TEXT;
	else
	{
		Oid			send;
		bool		isvarlena;

		/* complains of types without one, which then have no stable form */
		getTypeBinaryOutputInfo(base, &send, &isvarlena);
		fmgr_info_cxt(send, &result->send, maker->cxt);
		result->method = KEY_SEND;
	}
}

static void
append_string(StringInfo buf, const char *bytes, uint32 length)
{
	pq_sendint32(buf, length);
	appendBinaryStringInfo(buf, bytes, length);
}

static void
append_value(KeyMaker *maker, StringInfo buf, Oid type, Datum value, bool isnull)
{
	KeyType    *known = key_type(maker, type);
	int			start;
	uint32		length;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();

	append_string(buf, known->name, strlen(known->name));
	if (isnull)
	{
		pq_sendint32(buf, LENGTH_OF_NULL);
		return;
	}

	/* the length is filled in when it is known */
	start = buf->len;
	pq_sendint32(buf, 0);

	switch (known->method)
	{
		case KEY_SEND:
			append_sent(buf, known, value);
			break;
		case KEY_TEXT:
			{
				text	   *string = DatumGetTextPP(value);

				appendBinaryStringInfo(buf, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
				break;
			}
		case KEY_CSTRING:
			appendStringInfoString(buf, DatumGetCString(value));
			break;
		case KEY_ENUM:
			append_enum(buf, DatumGetObjectId(value));
			break;
		case KEY_ARRAY:
			append_array(maker, buf, known, value);
			break;
		case KEY_COMPOSITE:
			append_composite(maker, buf, value);
			break;
		case KEY_RANGE:
			append_range(maker, buf, known, value);
			break;
		case KEY_MULTIRANGE:
			append_multirange(maker, buf, known, value);
			break;
	}

	length = pg_hton32((uint32) (buf->len - start - sizeof(length)));
	memcpy(buf->data + start, &length, sizeof(length));
}

/*
 * The type's own binary form.  Whatever text is in it must not depend on the
 * client, so let it be sent to one that speaks the database's encoding.
 */
static void
append_sent(StringInfo buf, KeyType *type, Datum value)
{
	int			client_encoding = pg_get_client_encoding();
	bytea	   *sent;

	/* to set either encoding cannot fail: its conversion is in use or none */
	SetClientEncoding(GetDatabaseEncoding());
	PG_TRY();
	{
		sent = SendFunctionCall(&type->send, value);
	}
	PG_CATCH();
	{
		SetClientEncoding(client_encoding);
		PG_RE_THROW();
	}
	PG_END_TRY();
	SetClientEncoding(client_encoding);

	appendBinaryStringInfo(buf, VARDATA_ANY(sent), VARSIZE_ANY_EXHDR(sent));
}

static void
append_enum(StringInfo buf, Oid value)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(value));

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid internal value for enum: %u", value)));
	appendStringInfoString(buf, NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel));
	ReleaseSysCache(tuple);
}

static void
append_array(KeyMaker *maker, StringInfo buf, KeyType *type, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	const char *element_name = key_type(maker, type->part)->name;
	Datum	   *values;
	bool	   *isnull;
	int			n;

	deconstruct_array(array, type->part, type->part_len, type->part_byval, type->part_align,
					  &values, &isnull, &n);

	append_string(buf, element_name, strlen(element_name));
	pq_sendint32(buf, ARR_NDIM(array));
	for (int i = 0; i < ARR_NDIM(array); i++)
	{
		pq_sendint32(buf, ARR_DIMS(array)[i]);
		pq_sendint32(buf, ARR_LBOUND(array)[i]);
	}
	for (int i = 0; i < n; i++)
		append_value(maker, buf, type->part, values[i], isnull[i]);
}

static void
append_composite(KeyMaker *maker, StringInfo buf, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header),
												   HeapTupleHeaderGetTypMod(header));
	Datum	   *values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	bool	   *isnull = palloc(sizeof(bool) * Max(desc->natts, 1));
	HeapTupleData tuple;
	uint32		nlive = 0;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, isnull);

	for (int i = 0; i < desc->natts; i++)
		nlive += TupleDescAttr(desc, i)->attisdropped ? 0 : 1;

	pq_sendint32(buf, nlive);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			append_value(maker, buf, att->atttypid, values[i], isnull[i]);
	}
}

static void
append_range(KeyMaker *maker, StringInfo buf, KeyType *type, Datum value)
{
	RangeType  *range = DatumGetRangeTypeP(value);
	uint8		flags = range_get_flags(range) & RANGE_SENT_FLAGS;
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	range_deserialize(type->range, range, &lower, &upper, &empty);
	pq_sendbyte(buf, flags);
	if (RANGE_HAS_LBOUND(flags))
		append_value(maker, buf, type->part, lower.val, false);
	if (RANGE_HAS_UBOUND(flags))
		append_value(maker, buf, type->part, upper.val, false);
}

static void
append_multirange(KeyMaker *maker, StringInfo buf, KeyType *type, Datum value)
{
	MultirangeType *multirange = DatumGetMultirangeTypeP(value);

	pq_sendint32(buf, multirange->rangeCount);
	for (uint32 i = 0; i < multirange->rangeCount; i++)
	{
		RangeType  *range = multirange_get_range(type->range, multirange, i);

		append_value(maker, buf, type->part, RangeTypePGetDatum(range), false);
	}
}

/* SHA-256 by PostgreSQL's own means: OpenSSL's where it was built with it */
static void
digest(const StringInfoData *buf, uint8 *result)
{
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);

	if (ctx == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	if (pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, (const uint8 *) buf->data, buf->len) < 0 ||
		pg_cryptohash_final(ctx, result, PG_SHA256_DIGEST_LENGTH) < 0)
	{
		const char *reason = pg_cryptohash_error(ctx);

		pg_cryptohash_free(ctx);
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute %s hash: %s", "SHA256", reason)));
	}
	pg_cryptohash_free(ctx);
}
