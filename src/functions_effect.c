/*-------------------------------------------------------------------------
 *
 * functions_effect.c
 *	  SQL-callable functions of effects: arguments in, one call into the
 *	  ledger, a tuple out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "arguments.h"
#include "fmgr.h"
#include "funcapi.h"
#include "ledger/effect.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(idem_import_effect_add);
PG_FUNCTION_INFO_V1(idem_import_effect_claim);
PG_FUNCTION_INFO_V1(idem_import_effect_done);
PG_FUNCTION_INFO_V1(idem_import_effect_fail);
PG_FUNCTION_INFO_V1(idem_import_effect_approve);
PG_FUNCTION_INFO_V1(idem_import_effect_result);

static char *
argument_key(FunctionCallInfo fcinfo, int n)
{
	char	   *key = idem_argument_name(fcinfo, n, "key");

	idem_effect_require_key(key);
	return key;
}

static char *
argument_kind(FunctionCallInfo fcinfo, int n)
{
	char	   *kind = idem_argument_name(fcinfo, n, "kind");

	idem_effect_require_kind(kind);
	return kind;
}

static void
refuse_null(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", argument)));
}

static pg_uuid_t *
argument_token(FunctionCallInfo fcinfo, int n)
{
	refuse_null(fcinfo, n, "token");
	return PG_GETARG_UUID_P(n);
}

static Jsonb *
argument_jsonb(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/* That much later than now, or earlier. */
static TimestampTz
argument_moment(FunctionCallInfo fcinfo, int n, TimestampTz now)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
												   PG_GETARG_DATUM(n)));
}

/*
 * idem_import_effect_add(key, kind, payload, approval) returns text
 *
 * Errors: 22004, 22023; 23505 if the key is there with another kind or
 * payload, 42501 if it belongs to another role.
 */
Datum
idem_import_effect_add(PG_FUNCTION_ARGS)
{
	char	   *key = argument_key(fcinfo, 0);
	char	   *kind = argument_kind(fcinfo, 1);
	Jsonb	   *payload = argument_jsonb(fcinfo, 2);
	bool		approval = idem_argument_bool(fcinfo, 3, "approval");

	PreventCommandIfReadOnly("idem_import_effect_add()");
	PG_RETURN_TEXT_P(cstring_to_text(idem_effect_add(key, kind, payload, approval)));
}

/*
 * idem_import_effect_claim(kind, max_effects, lease) returns setof (key, payload, attempt, token)
 *
 * Errors: 22004, 22023.
 */
Datum
idem_import_effect_claim(PG_FUNCTION_ARGS)
{
	char	   *kind = argument_kind(fcinfo, 0);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until;

	refuse_null(fcinfo, 1, "max_effects");
	refuse_null(fcinfo, 2, "lease");
	if (PG_GETARG_INT32(1) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be positive", "max_effects")));
	until = argument_moment(fcinfo, 2, now);
	if (until <= now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be positive", "lease")));
	PreventCommandIfReadOnly("idem_import_effect_claim()");
	InitMaterializedSRF(fcinfo, 0);

	idem_effect_claim(kind, PG_GETARG_INT32(1), until, ((ReturnSetInfo *) fcinfo->resultinfo)->setResult);
	return (Datum) 0;
}

/*
 * idem_import_effect_done(key, token, result) returns void
 *
 * Errors: 22004, 22023, 42704, 42501; 55000 if the lease is lost.
 */
Datum
idem_import_effect_done(PG_FUNCTION_ARGS)
{
	char	   *key = argument_key(fcinfo, 0);
	pg_uuid_t  *token = argument_token(fcinfo, 1);

	PreventCommandIfReadOnly("idem_import_effect_done()");
	idem_effect_done(key, token, argument_jsonb(fcinfo, 2));
	PG_RETURN_VOID();
}

/*
 * idem_import_effect_fail(key, token, error, retry_in) returns void
 *
 * A negative retry_in: never.  Errors: as above.
 */
Datum
idem_import_effect_fail(PG_FUNCTION_ARGS)
{
	char	   *key = argument_key(fcinfo, 0);
	pg_uuid_t  *token = argument_token(fcinfo, 1);
	char	   *error = idem_argument_text(fcinfo, 2);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz retry_at = now;

	PreventCommandIfReadOnly("idem_import_effect_fail()");
	if (!PG_ARGISNULL(3))
		retry_at = argument_moment(fcinfo, 3, now);
	idem_effect_fail(key, token, error, PG_ARGISNULL(3) ? NULL : &retry_at, retry_at < now);
	PG_RETURN_VOID();
}

/*
 * idem_import_effect_approve(key) returns void
 *
 * Errors: 22004, 22023, 42704, 42501; 55000 if it does not wait for approval.
 */
Datum
idem_import_effect_approve(PG_FUNCTION_ARGS)
{
	char	   *key = argument_key(fcinfo, 0);

	PreventCommandIfReadOnly("idem_import_effect_approve()");
	idem_effect_approve(key);
	PG_RETURN_VOID();
}

/*
 * idem_import_effect_result(key) returns jsonb
 *
 * NULL for what is not done, or not there.  Errors: 22004, 22023, 42501.
 */
Datum
idem_import_effect_result(PG_FUNCTION_ARGS)
{
	Jsonb	   *result = idem_effect_result(argument_key(fcinfo, 0));

	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(result);
}
