/*-------------------------------------------------------------------------
 *
 * functions_prune.c
 *	  SQL-callable: forgetting what nobody needs any more.
 *
 * What is pruned is there for people to read.  Runs believe the ledger, which
 * is kept, and look at source and target themselves.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "fmgr.h"
#include "ledger/effect.h"
#include "ledger/history.h"
#include "ledger/queue.h"
#include "ledger/reject.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(idem_import_prune);

/* What began before this goes. */
static TimestampTz
prune_before(const Interval *older_than)
{
	Interval	zero = {0};
	TimestampTz now = GetCurrentTimestamp();
	Datum		before;

	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(older_than), IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be negative", "older_than")));

	before = DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(now), IntervalPGetDatum(older_than));
	return DatumGetTimestampTz(before);
}

/*
 * idem_import_prune(older_than) returns bigint
 *
 * The rows of history, the resolved rejects, the done effects and the finished
 * tasks that were deleted.  Errors: 22023 for a negative age, 25006 where nothing can be written.
 */
Datum
idem_import_prune(PG_FUNCTION_ARGS)
{
	Oid			who = GetUserId();
	TimestampTz before = DT_NOEND;
	House		house;
	bool		dropped;
	uint64		deleted;

	PreventCommandIfReadOnly("idem_import_prune()");
	if (!PG_ARGISNULL(0))
		before = prune_before(PG_GETARG_INTERVAL_P(0));

	/* what has lost its import belongs to nobody else */
	sql_house_find(&house);
	dropped = has_privs_of_role(who, house.owner);

	deleted = idem_history_prune(before, who, dropped);
	deleted += idem_reject_prune(before, who, dropped);
	deleted += idem_effect_prune(before, who);
	deleted += idem_queue_prune(before, who, dropped);
	PG_RETURN_INT64((int64) deleted);
}
