/*-------------------------------------------------------------------------
 *
 * snapshot.c
 *	  Which transactions a snapshot could not see, in a form that keeps.
 *
 * Every row knows the transaction that wrote it, for as long as it lives:
 * freezing sets hint bits, and leaves xmin as it was.  So the rows that have
 * become visible since a snapshot was taken can be told by their xmin alone,
 * however late their transactions committed.
 *
 * xmin has 32 bits, and the counter has gone round many times.  It is taken for
 * the latest transaction of that number.  For a row that is not frozen that is
 * the truth; a frozen one may be older, and then at worst counts as not seen,
 * and is read again.
 *
 * Two things are made simpler than they are, both to the safe side: where a
 * snapshot does not know all subtransactions that ran, or belongs to a
 * transaction that has written itself, it counts as not having seen anything
 * from there on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "base/snapshot.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(idem_import_unseen);

/* The latest transaction of that number. */
static uint64
widen(TransactionId xid, FullTransactionId next)
{
	uint64		epoch = EpochFromFullTransactionId(next);

	if (xid >= XidFromFullTransactionId(next) && epoch > 0)
		epoch--;
	return epoch << 32 | xid;
}

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

char *
idem_snapshot_text(Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId own = GetTopTransactionIdIfAny();
	uint64		xmin = widen(snapshot->xmin, next);
	uint64		xmax = widen(snapshot->xmax, next);
	/* a copy of a snapshot that has overflowed counts subtransactions that it does not have */
	int32		subxcnt = snapshot->subxip != NULL ? snapshot->subxcnt : 0;
	uint64	   *xids = palloc(sizeof(uint64) * (snapshot->xcnt + subxcnt + 1));
	int			n = 0;
	StringInfoData buf;

	/* the counter may stand at xmax */
	if (TransactionIdEquals(snapshot->xmax, XidFromFullTransactionId(next)))
		xmax = U64FromFullTransactionId(next);
	if (TransactionIdEquals(snapshot->xmin, XidFromFullTransactionId(next)))
		xmin = U64FromFullTransactionId(next);

	if (snapshot->suboverflowed)
		xmax = xmin;
	if (TransactionIdIsValid(own))
		xmax = Min(xmax, widen(own, next));
	xmin = Min(xmin, xmax);

	for (uint32 i = 0; i < snapshot->xcnt; i++)
		xids[n++] = widen(snapshot->xip[i], next);
	for (int32 i = 0; i < subxcnt; i++)
		xids[n++] = widen(snapshot->subxip[i], next);
	qsort(xids, n, sizeof(uint64), compare_xids);

	initStringInfo(&buf);
	appendStringInfo(&buf, UINT64_FORMAT ":" UINT64_FORMAT ":", xmin, xmax);
	for (int i = 0, listed = 0; i < n; i++)
	{
		if (xids[i] >= xmin && xids[i] < xmax)
			appendStringInfo(&buf, "%s" UINT64_FORMAT, listed++ > 0 ? "," : "", xids[i]);
	}
	pfree(xids);
	return buf.data;
}

char *
idem_snapshot_cluster(void)
{
	TimeLineID	timeline;

	if (RecoveryInProgress())
		(void) GetXLogReplayRecPtr(&timeline);
	else
		timeline = GetWALInsertionTimeLine();
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), timeline);
}

/* Kept from row to row: a query has one snapshot. */
typedef struct Unseen
{
	FullTransactionId next;
	uint64		xmin;
	uint64		xmax;
} Unseen;

/*
 * idem_import_unseen(xid, pg_snapshot) returns boolean
 *
 * May a visible row that this transaction wrote have been invisible to the
 * snapshot?
 */
Datum
idem_import_unseen(PG_FUNCTION_ARGS)
{
	TransactionId xid = PG_GETARG_TRANSACTIONID(0);
	Datum		snapshot = PG_GETARG_DATUM(1);
	Unseen	   *unseen = fcinfo->flinfo->fn_extra;
	uint64		full;

	/* of the old days, when freezing overwrote xmin */
	if (!TransactionIdIsNormal(xid))
		PG_RETURN_BOOL(false);

	if (unseen == NULL || !get_fn_expr_arg_stable(fcinfo->flinfo, 1))
	{
		if (unseen == NULL)
			unseen = fcinfo->flinfo->fn_extra = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(Unseen));
		unseen->next = ReadNextFullTransactionId();
		unseen->xmin = U64FromFullTransactionId(DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmin, snapshot)));
		unseen->xmax = U64FromFullTransactionId(DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmax, snapshot)));
	}

	full = widen(xid, unseen->next);
	if (full < unseen->xmin)
		PG_RETURN_BOOL(false);
	if (full >= unseen->xmax)
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(!DatumGetBool(DirectFunctionCall2(pg_visible_in_snapshot,
													 FullTransactionIdGetDatum(FullTransactionIdFromU64(full)),
													 snapshot)));
}
