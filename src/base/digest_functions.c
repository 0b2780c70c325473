/*-------------------------------------------------------------------------
 *
 * digest_functions.c
 *	  SQL-callable functions over digest.c.
 *
 * An aggregate, so that the planner reads in parallel, by an index or by
 * partition what we want to know of.  Users have no need of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/digest.h"
#include "base/progress.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(idem_import_digest_row);
PG_FUNCTION_INFO_V1(idem_import_digest_add);
PG_FUNCTION_INFO_V1(idem_import_digest_value);
PG_FUNCTION_INFO_V1(idem_import_digest_read);
PG_FUNCTION_INFO_V1(idem_import_bucket_differs);
PG_FUNCTION_INFO_V1(idem_import_bucket_support);

/* Arguments before the columns: state, bits, shape; and bitmap */
#define DIGEST_FIRST_COLUMN		3
#define DIFFERS_FIRST_COLUMN	1

/* What the transition function keeps from row to row */
typedef struct DigestCall
{
	Digester   *digester;
	Datum	   *values;
	bool	   *isnull;
} DigestCall;

typedef struct DiffersCall
{
	RowHasher  *hasher;
	Datum	   *values;
	bool	   *isnull;
} DiffersCall;

static Oid *
argument_types(FunctionCallInfo fcinfo, int first)
{
	Oid		   *types = palloc(sizeof(Oid) * PG_NARGS());

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("VARIADIC array is not supported here")));
	for (int i = first; i < PG_NARGS(); i++)
	{
		types[i - first] = get_fn_expr_argtype(fcinfo->flinfo, i);
		if (!OidIsValid(types[i - first]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("could not determine data type for argument %d", i + 1)));
	}
	return types;
}

static void
refuse_shape(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid shape of rows to digest")));
}

/* The shape is width, place of the flag or -1, and the places of the key's columns. */
static void
read_shape(FunctionCallInfo fcinfo, DigestShape *shape)
{
	ArrayType  *array;
	int16	   *numbers;
	int			n;
	int		   *keys;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		refuse_shape();
	array = PG_GETARG_ARRAYTYPE_P(2);
	n = ARR_NDIM(array) == 1 ? ARR_DIMS(array)[0] : 0;
	if (n < 2 || ARR_HASNULL(array))
		refuse_shape();
	numbers = (int16 *) ARR_DATA_PTR(array);

	shape->natts = PG_NARGS() - DIGEST_FIRST_COLUMN;
	shape->types = argument_types(fcinfo, DIGEST_FIRST_COLUMN);
	shape->width = numbers[0];
	shape->gone = numbers[1];
	shape->nkeys = n - 2;
	shape->keys = keys = palloc(sizeof(int) * n);
	for (int i = 0; i < shape->nkeys; i++)
	{
		keys[i] = numbers[i + 2];
		if (keys[i] < 0 || keys[i] >= shape->natts)
			refuse_shape();
	}
	if (shape->width < 0 || shape->width > shape->natts || shape->gone < -1 || shape->gone >= shape->natts ||
		(shape->gone >= 0 && getBaseType(shape->types[shape->gone]) != BOOLOID))
		refuse_shape();
}

static DigestCall *
digest_call(FunctionCallInfo fcinfo)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	DigestCall *call = palloc(sizeof(DigestCall));
	DigestShape shape;

	read_shape(fcinfo, &shape);
	call->digester = idem_digester_create(&shape, fcinfo->flinfo->fn_mcxt);
	call->values = palloc(sizeof(Datum) * Max(shape.natts, 1));
	call->isnull = palloc(sizeof(bool) * Max(shape.natts, 1));
	MemoryContextSwitchTo(oldcxt);
	return call;
}

static Digest *
new_state(FunctionCallInfo fcinfo, int bits)
{
	MemoryContext cxt;
	MemoryContext oldcxt;
	Digest	   *digest;

	if (!AggCheckCallContext(fcinfo, &cxt))
		elog(ERROR, "aggregate function called in non-aggregate context");
	if (bits != 0 && (bits < 3 || bits > DIGEST_MAX_BITS))
		refuse_shape();
	oldcxt = MemoryContextSwitchTo(cxt);
	digest = idem_digest_create(bits);
	MemoryContextSwitchTo(oldcxt);
	return digest;
}

/*
 * idem_import_digest_row(internal, bits integer, shape smallint[], VARIADIC "any") RETURNS internal
 */
Datum
idem_import_digest_row(PG_FUNCTION_ARGS)
{
	DigestCall *call = fcinfo->flinfo->fn_extra;
	Digest	   *digest;
	int			natts = PG_NARGS() - DIGEST_FIRST_COLUMN;

	if (call == NULL)
		fcinfo->flinfo->fn_extra = call = digest_call(fcinfo);
	digest = PG_ARGISNULL(0) ? new_state(fcinfo, PG_GETARG_INT32(1)) : (Digest *) PG_GETARG_POINTER(0);

	for (int i = 0; i < natts; i++)
	{
		call->values[i] = PG_GETARG_DATUM(i + DIGEST_FIRST_COLUMN);
		call->isnull[i] = PG_ARGISNULL(i + DIGEST_FIRST_COLUMN);
	}
	idem_digest_row(call->digester, digest, call->values, call->isnull);
	idem_progress_pulse();
	PG_RETURN_POINTER(digest);
}

/*
 * idem_import_digest_add(internal, internal) RETURNS internal
 */
Datum
idem_import_digest_add(PG_FUNCTION_ARGS)
{
	Digest	   *digest = PG_ARGISNULL(0) ? NULL : (Digest *) PG_GETARG_POINTER(0);
	Digest	   *other = PG_ARGISNULL(1) ? NULL : (Digest *) PG_GETARG_POINTER(1);

	if (digest == NULL && other == NULL)
		PG_RETURN_NULL();
	if (digest == NULL)
		digest = new_state(fcinfo, other->bits);
	if (other != NULL)
		idem_digest_add(digest, other);
	PG_RETURN_POINTER(digest);
}

/*
 * idem_import_digest_value(internal) RETURNS bytea
 */
Datum
idem_import_digest_value(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(idem_digest_to_bytea((Digest *) PG_GETARG_POINTER(0)));
}

/*
 * idem_import_digest_read(bytea, internal) RETURNS internal
 */
Datum
idem_import_digest_read(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(idem_digest_from_bytea(PG_GETARG_BYTEA_PP(0)));
}

/*
 * idem_import_bucket_differs(bitmap bytea, VARIADIC "any") RETURNS boolean
 */
Datum
idem_import_bucket_differs(PG_FUNCTION_ARGS)
{
	DiffersCall *call = fcinfo->flinfo->fn_extra;
	int			natts = PG_NARGS() - DIFFERS_FIRST_COLUMN;
	bytea	   *bitmap;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	bitmap = PG_GETARG_BYTEA_PP(0);
	if (VARSIZE_ANY_EXHDR(bitmap) == 0)
		PG_RETURN_BOOL(false);

	if (call == NULL)
	{
		MemoryContext cxt = fcinfo->flinfo->fn_mcxt;

		call = MemoryContextAlloc(cxt, sizeof(DiffersCall));
		call->hasher = idem_hasher_create(natts, argument_types(fcinfo, DIFFERS_FIRST_COLUMN), cxt);
		call->values = MemoryContextAlloc(cxt, sizeof(Datum) * Max(natts, 1));
		call->isnull = MemoryContextAlloc(cxt, sizeof(bool) * Max(natts, 1));
		fcinfo->flinfo->fn_extra = call;
	}
	for (int i = 0; i < natts; i++)
	{
		call->values[i] = PG_GETARG_DATUM(i + DIFFERS_FIRST_COLUMN);
		call->isnull[i] = PG_ARGISNULL(i + DIFFERS_FIRST_COLUMN);
		/* equal or not, a NULL key may have to be rejected */
		if (call->isnull[i])
			PG_RETURN_BOOL(true);
	}
	PG_RETURN_BOOL(idem_digest_is_set(bitmap, call->hasher, call->values, call->isnull));
}

/*
 * idem_import_bucket_support(internal) RETURNS internal
 *
 * As many rows pass as bits are set.
 */
Datum
idem_import_bucket_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestSelectivity *selectivity;
	Node	   *arg;
	bytea	   *bitmap;
	int			size;

	if (!IsA(request, SupportRequestSelectivity))
		PG_RETURN_POINTER(NULL);

	selectivity = (SupportRequestSelectivity *) request;
	arg = estimate_expression_value(selectivity->root, linitial(selectivity->args));
	if (!IsA(arg, Const) || castNode(Const, arg)->constisnull)
		PG_RETURN_POINTER(NULL);

	bitmap = DatumGetByteaPP(castNode(Const, arg)->constvalue);
	size = VARSIZE_ANY_EXHDR(bitmap);
	selectivity->selectivity = (double) pg_popcount(VARDATA_ANY(bitmap), size) / Max(size * BITS_PER_BYTE, 1);
	PG_RETURN_POINTER(request);
}
