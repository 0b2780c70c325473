/*-------------------------------------------------------------------------
 *
 * hash_functions.c
 *	  SQL-callable functions over hash.c and key.c.
 *
 * They stand apart from functions.c because they know nothing of importing:
 * plain functions of their arguments, called once per row.  So what can be
 * found out once per query is kept in fn_extra.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "base/hash.h"
#include "base/key.h"

PG_FUNCTION_INFO_V1(idem_import_key);
PG_FUNCTION_INFO_V1(idem_import_hash);
PG_FUNCTION_INFO_V1(idem_import_checksum_add);

/* Where the values of a row come from */
typedef enum ArgumentStyle
{
	ARGUMENTS_PLAIN,			/* each argument is a column */
	ARGUMENTS_RECORD,			/* one composite argument: its columns */
	ARGUMENTS_VARIADIC			/* VARIADIC array: its elements */
} ArgumentStyle;

/* idem_import_hash's memory of its last call */
typedef struct HashCall
{
	ArgumentStyle style;
	RowHasher  *null_hasher;	/* for a record that is NULL */
	MemoryContext cxt;			/* of all below; reset when the type changes */
	RowHasher  *hasher;			/* NULL at first */
	int			natts;			/* live columns */
	Datum	   *values;
	bool	   *isnull;

	/* what the hasher was made for */
	Oid			type;			/* of the record, or of array elements */
	int32		typmod;
	TupleDesc	desc;
	bool		dropped;		/* has dropped columns */
} HashCall;

static HashCall *hash_call(FunctionCallInfo fcinfo);
static int	variadic_elements(FunctionCallInfo fcinfo, Datum **values, Oid **types, bool **isnull);
static Hash128 hash_arguments(FunctionCallInfo fcinfo, HashCall *call);
static Hash128 hash_columns(Datum record, HashCall *call);
static Hash128 hash_null(HashCall *call);
static Hash128 hash_elements(FunctionCallInfo fcinfo, HashCall *call);
static void forget(HashCall *call);

/*
 * idem_import_key(VARIADIC "any") RETURNS uuid
 */
Datum
idem_import_key(PG_FUNCTION_ARGS)
{
	KeyMaker   *maker = fcinfo->flinfo->fn_extra;
	Datum	   *values;
	Oid		   *types;
	bool	   *isnull;
	int			n;

	if (maker == NULL)
		fcinfo->flinfo->fn_extra = maker = idem_key_maker_create(fcinfo->flinfo->fn_mcxt);

	n = variadic_elements(fcinfo, &values, &types, &isnull);
	PG_RETURN_UUID_P(idem_key_make(maker, n, types, values, isnull));
}

/*
 * idem_import_hash(VARIADIC "any") RETURNS uuid
 */
Datum
idem_import_hash(PG_FUNCTION_ARGS)
{
	HashCall   *call = fcinfo->flinfo->fn_extra;
	Hash128		hash;

	if (call == NULL)
		fcinfo->flinfo->fn_extra = call = hash_call(fcinfo);

	switch (call->style)
	{
		case ARGUMENTS_PLAIN:
			hash = hash_arguments(fcinfo, call);
			break;
		case ARGUMENTS_RECORD:
			if (PG_ARGISNULL(0))
				hash = hash_null(call);
			else
				hash = hash_columns(PG_GETARG_DATUM(0), call);
			break;
		default:
			hash = hash_elements(fcinfo, call);
			break;
	}

	PG_RETURN_UUID_P(idem_hash_to_uuid(hash));
}

/*
 * idem_import_checksum_add(uuid, uuid) RETURNS uuid
 *
 * The aggregate's transition and combine function.  Addition is commutative,
 * so neither the order of rows nor their division among workers matters.
 */
Datum
idem_import_checksum_add(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *state = PG_GETARG_UUID_P(0);
	Hash128		sum = idem_hash_from_uuid(state);

	idem_hash_add(&sum, idem_hash_from_uuid(PG_GETARG_UUID_P(1)));

	/* the state is the aggregate's own, so need not be allocated anew */
	if (!AggCheckCallContext(fcinfo, NULL))
		state = palloc(sizeof(pg_uuid_t));
	idem_hash_store(sum, state);

	PG_RETURN_UUID_P(state);
}

/* Find out how we are called; what may change from row to row comes later. */
static HashCall *
hash_call(FunctionCallInfo fcinfo)
{
	MemoryContext parent = fcinfo->flinfo->fn_mcxt;
	HashCall   *call = MemoryContextAllocZero(parent, sizeof(HashCall));

	call->cxt = AllocSetContextCreate(parent, "idem_import_hash", ALLOCSET_SMALL_SIZES);

	if (get_fn_expr_variadic(fcinfo->flinfo))
		call->style = ARGUMENTS_VARIADIC;
	else if (PG_NARGS() == 1)
	{
		Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);

		if (OidIsValid(type) && type_is_rowtype(type))
		{
			call->style = ARGUMENTS_RECORD;
			call->null_hasher = idem_hasher_create(1, &type, parent);
		}
	}

	return call;
}

/* The values that we are called with, if there are any */
static int
variadic_elements(FunctionCallInfo fcinfo, Datum **values, Oid **types, bool **isnull)
{
	int			n = extract_variadic_args(fcinfo, 0, true, values, types, isnull);

	if (n < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("VARIADIC array must not be null")));
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("VARIADIC array must not be empty")));
	return n;
}

static Hash128
hash_arguments(FunctionCallInfo fcinfo, HashCall *call)
{
	int			n = PG_NARGS();

	if (call->hasher == NULL)
	{
		Oid		   *types = palloc(sizeof(Oid) * n);

		for (int i = 0; i < n; i++)
		{
			types[i] = get_fn_expr_argtype(fcinfo->flinfo, i);
			if (!OidIsValid(types[i]))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("could not determine data type for argument %d", i + 1)));
		}
		forget(call);
		call->values = MemoryContextAlloc(call->cxt, sizeof(Datum) * n);
		call->isnull = MemoryContextAlloc(call->cxt, sizeof(bool) * n);
		call->hasher = idem_hasher_create(n, types, call->cxt);
	}

	for (int i = 0; i < n; i++)
	{
		call->values[i] = PG_GETARG_DATUM(i);
		call->isnull[i] = PG_ARGISNULL(i);
	}
	return idem_hasher_row(call->hasher, call->values, call->isnull);
}

static Hash128
hash_columns(Datum record, HashCall *call)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(record);
	Oid			type = HeapTupleHeaderGetTypeId(header);
	int32		typmod = HeapTupleHeaderGetTypMod(header);
	HeapTupleData tuple;

	if (unlikely(call->hasher == NULL || type != call->type || typmod != call->typmod))
	{
		MemoryContext old;
		Oid		   *types;
		int			natts;

		forget(call);
		old = MemoryContextSwitchTo(call->cxt);
		call->desc = lookup_rowtype_tupdesc_copy(type, typmod);
		natts = call->desc->natts;
		call->values = palloc(sizeof(Datum) * Max(natts, 1));
		call->isnull = palloc(sizeof(bool) * Max(natts, 1));
		types = palloc(sizeof(Oid) * Max(natts, 1));
		for (int i = 0; i < natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(call->desc, i);

			if (!att->attisdropped)
				types[call->natts++] = att->atttypid;
		}
		call->dropped = call->natts < natts;
		call->type = type;
		call->typmod = typmod;
		call->hasher = idem_hasher_create(call->natts, types, call->cxt);
		MemoryContextSwitchTo(old);
	}

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, call->desc, call->values, call->isnull);

	if (call->dropped)
	{
		int			live = 0;

		for (int i = 0; i < call->desc->natts; i++)
		{
			if (TupleDescAttr(call->desc, i)->attisdropped)
				continue;
			call->values[live] = call->values[i];
			call->isnull[live] = call->isnull[i];
			live++;
		}
	}

	return idem_hasher_row(call->hasher, call->values, call->isnull);
}

/*
 * A missing record, as an outer join makes them, is a NULL like any other:
 * one value, not a row of NULLs, of which we may not even know the number.
 */
static Hash128
hash_null(HashCall *call)
{
	const Datum value = (Datum) 0;
	const bool	isnull = true;

	return idem_hasher_row(call->null_hasher, &value, &isnull);
}

static Hash128
hash_elements(FunctionCallInfo fcinfo, HashCall *call)
{
	Datum	   *values;
	Oid		   *types;
	bool	   *isnull;
	int			n = variadic_elements(fcinfo, &values, &types, &isnull);

	if (call->hasher == NULL || n != call->natts || types[0] != call->type)
	{
		forget(call);
		call->natts = n;
		call->type = types[0];
		call->hasher = idem_hasher_create(n, types, call->cxt);
	}
	return idem_hasher_row(call->hasher, values, isnull);
}

/* Drop the hasher and all that came with it. */
static void
forget(HashCall *call)
{
	call->hasher = NULL;
	call->desc = NULL;
	call->natts = 0;
	MemoryContextReset(call->cxt);
}
