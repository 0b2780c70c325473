/*-------------------------------------------------------------------------
 *
 * announce.c
 *	  What has become of a unit, told to those who watch from outside.
 *
 * By a line in the server's log, or by NOTIFY, or both; neither unless it is
 * asked for.  Sending notifications, PostgreSQL lets transactions commit one
 * after the other, which a busy server should not pay for nothing; and anybody
 * who can connect may listen, and thus read the names of imports and units.
 *
 * Both are told of what is committed, once.  NOTIFY does that by itself, lines
 * for the log wait here until the transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "ledger/announce.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"

#define CHANNEL		"idem_import_unit"

typedef struct LogLine
{
	SubTransactionId subid;		/* goes when that one is rolled back */
	char	   *text;
	char	   *detail;
} LogLine;

static bool log_runs = false;
static bool notify = false;
static List *lines = NIL;		/* of the transaction, in its memory */

bool
idem_announce_log(void)
{
	return log_runs;
}

bool
idem_announce_notify(void)
{
	return notify;
}

static void
end_transaction(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		foreach(lc, lines)
		{
			LogLine    *line = lfirst(lc);

			ereport(LOG_SERVER_ONLY,
					(errmsg_internal("%s", line->text),
					 errdetail_internal("%s", line->detail),
					 errhidestmt(true),
					 errhidecontext(true)));
		}
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
		lines = NIL;
}

static void
end_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	ListCell   *lc;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	/* what began later began within it */
	foreach(lc, lines)
	{
		if (((LogLine *) lfirst(lc))->subid >= subid)
			lines = foreach_delete_current(lines, lc);
	}
}

void
idem_announce_init(void)
{
	DefineCustomBoolVariable("idem_import.log_runs",
							 "Writes a line to the server's log for each unit that a run has done.",
							 NULL,
							 &log_runs,
							 false,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("idem_import.notify",
							 "Sends a notification on channel " CHANNEL " for each unit that a run has done.",
							 "Whoever can connect to the database may listen to it.",
							 &notify,
							 false,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);
	RegisterXactCallback(end_transaction, NULL);
	RegisterSubXactCallback(end_subtransaction, NULL);
}

/*
 * import "invoices", unit "2026-06-09", run 17: applied
 * DETAIL:  attempted 100, inserted 3, ..., 12.345 ms
 */
static void
log_at_commit(const RunRecord *run)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(TopTransactionContext);
	LogLine    *line = palloc(sizeof(LogLine));
	const Tally *tally = &run->tally;

	line->subid = GetCurrentSubTransactionId();
	line->text = psprintf("import \"%s\", unit \"%s\", run " INT64_FORMAT ": %s%s%s",
						  run->import, run->unit, run->run_id, run->status,
						  run->message != NULL ? ": " : "", run->message != NULL ? run->message : "");
	line->detail = psprintf("attempted " INT64_FORMAT ", inserted " INT64_FORMAT ", updated " INT64_FORMAT
							", unchanged " INT64_FORMAT ", stale " INT64_FORMAT ", collapsed " INT64_FORMAT
							", rejected " INT64_FORMAT ", deleted " INT64_FORMAT ", removed " INT64_FORMAT
							", %.3f ms",
							idem_tally_attempted(tally), tally->inserted, tally->updated, tally->unchanged,
							tally->stale, tally->collapsed, tally->rejected, tally->deleted, tally->removed,
							run->elapsed / 1000.0);
	lines = lappend(lines, line);
	MemoryContextSwitchTo(oldcxt);
}

/*
 * {"import": "invoices", "unit": "2026-06-09", "status": "applied", "run_id": 17}
 *
 * A page is the limit; the name of a unit has no more than 1000 bytes, and
 * JSON makes six of one at most.
 */
static void
notify_at_commit(const RunRecord *run)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"import\": ");
	escape_json(&payload, run->import);
	appendStringInfoString(&payload, ", \"unit\": ");
	escape_json(&payload, run->unit);
	appendStringInfo(&payload, ", \"status\": \"%s\", \"run_id\": " INT64_FORMAT "}", run->status, run->run_id);
	Async_Notify(CHANNEL, payload.data);
	pfree(payload.data);
}

void
idem_announce(const RunRecord *run)
{
	if (run->log)
		log_at_commit(run);
	if (run->notify)
		notify_at_commit(run);
}
