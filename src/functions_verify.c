/*-------------------------------------------------------------------------
 *
 * functions_verify.c
 *	  SQL-callable function that holds receipts against source and target.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "arguments.h"
#include "flow/verify.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(idem_import_verify);

static void
put_unit(ReturnSetInfo *rsinfo, const VerifiedUnit *found)
{
	Datum		values[8];
	bool		isnull[8] = {0};

	values[0] = CStringGetTextDatum(found->import);
	values[1] = CStringGetTextDatum(found->unit);
	values[2] = CStringGetTextDatum(found->state);
	values[3] = Int64GetDatum(found->source_rows);
	isnull[3] = found->source_rows < 0;
	values[4] = Int64GetDatum(found->target_rows);
	isnull[4] = found->target_rows < 0;
	values[5] = Int64GetDatum(found->differing);
	isnull[5] = found->differing < 0;
	values[6] = JsonbPGetDatum(found->keys);
	isnull[6] = found->keys == NULL;
	values[7] = found->detail != NULL ? CStringGetTextDatum(found->detail) : (Datum) 0;
	isnull[7] = found->detail == NULL;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
}

/*
 * idem_import_verify(import, scope)
 * returns setof (import, unit, state, source_rows, target_rows, differing, keys, detail)
 *
 * Works where nothing can be written, as on a standby.  Errors: see
 * idem_verify.
 */
Datum
idem_import_verify(PG_FUNCTION_ARGS)
{
	char	   *import = idem_argument_text(fcinfo, 0);
	char	   *scope = idem_argument_text(fcinfo, 1);
	ListCell   *lc;
	List	   *units;

	InitMaterializedSRF(fcinfo, 0);
	units = idem_verify(import, scope);
	foreach(lc, units)
		put_unit((ReturnSetInfo *) fcinfo->resultinfo, lfirst(lc));
	return (Datum) 0;
}
