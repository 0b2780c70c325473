/*-------------------------------------------------------------------------
 *
 * results.c
 *	  What runs have done, as rows of idem_import_result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "ledger/history.h"
#include "results.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* One row of idem_import_result. */
static void
put_result(ReturnSetInfo *rsinfo, const RunRecord *run, bool has_run_id)
{
	Datum		values[19];
	bool		isnull[19] = {0};
	Interval   *elapsed = palloc0(sizeof(Interval));
	int			n = 0;

	elapsed->time = run->elapsed;
#define PUT_TEXT(s) \
	do { isnull[n] = (s) == NULL; values[n++] = (s) == NULL ? (Datum) 0 : CStringGetTextDatum(s); } while (0)

	isnull[n] = !has_run_id;
	values[n++] = Int64GetDatum(run->run_id);
	PUT_TEXT(run->import);
	PUT_TEXT(run->unit);
	PUT_TEXT(run->status);
	PUT_TEXT(run->method);
	PUT_TEXT(run->engine);
	values[n++] = Int64GetDatum(idem_tally_attempted(&run->tally));
	values[n++] = Int64GetDatum(run->tally.inserted);
	values[n++] = Int64GetDatum(run->tally.updated);
	values[n++] = Int64GetDatum(run->tally.unchanged);
	values[n++] = Int64GetDatum(run->tally.stale);
	values[n++] = Int64GetDatum(run->tally.collapsed);
	values[n++] = Int64GetDatum(run->tally.rejected);
	values[n++] = Int64GetDatum(run->tally.deleted);
	values[n++] = Int64GetDatum(run->tally.removed);
	PUT_TEXT(run->checkpoint);
	isnull[n] = !run->has_checksum;
	values[n++] = UUIDPGetDatum(idem_hash_to_uuid(run->checksum));
	values[n++] = IntervalPGetDatum(elapsed);
	PUT_TEXT(run->note);
#undef PUT_TEXT

	Assert(n == lengthof(values));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
}

void
idem_put_results(FunctionCallInfo fcinfo, const List *results, bool has_run_id)
{
	const ListCell *lc;

	foreach(lc, results)
		put_result((ReturnSetInfo *) fcinfo->resultinfo, lfirst(lc), has_run_id);
}
