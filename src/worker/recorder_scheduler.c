/*-------------------------------------------------------------------------
 *
 * recorder_scheduler.c
 *	  The scheduler in the place of a recorder.
 *
 * Where a scheduler runs anyway, a failed run need not wait for a process, nor
 * for a slot to start one in.  But a scheduler has other things to do, so
 * nobody may hold it up for long: not a session that does not send what it
 * has announced, not one that holds a lock.  Whatever it cannot do soon it
 * leaves undone, and says so; then the session starts a recorder that has the
 * time.
 *
 * The outcome is exact, or failures would count twice: it is set as soon as
 * there is a commit, and what is known once the scheduler has detached the
 * segment is final, even if it was told to end halfway.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "worker/mailbox.h"
#include "worker/parcel.h"
#include "worker/record.h"
#include "worker/recorder_scheduler.h"

/* How long it lets itself be kept waiting: for a message, in milliseconds; for a lock. */
#define RECEIVE_TIMEOUT		500
#define LOCK_TIMEOUT		"100ms"

/* Its errors go to the server log, which should say what they were about. */
static void
mail_error_callback(void *arg)
{
	const RunRecord *run = arg;

	errcontext("recording the failure of import \"%s\": %s",
			   run->import, run->message ? run->message : "no message");
}

static void
write_down(OpenParcel *parcel)
{
	Payload    *payload = parcel->payload;
	RecorderHeader *header = parcel->header;
	ErrorContextCallback errcallback;

	errcallback.callback = mail_error_callback;
	errcallback.arg = &payload->run;
	errcallback.previous = error_context_stack;
	error_context_stack = &errcallback;

	if (payload->ledger_only)
		idem_record_settings();
	else if (idem_record_history(&payload->run, parcel->rejects, payload->nrejects, LOCK_TIMEOUT))
	{
		/* nothing since the commit has looked for interrupts */
		header->run_id = payload->run.run_id;
		pg_write_barrier();
		pg_atomic_write_u32(&header->outcome, OUTCOME_LEDGER_LEFT);
	}
	else
		pg_atomic_write_u32(&header->outcome, OUTCOME_NO_EXTENSION);

	if (pg_atomic_read_u32(&header->outcome) != OUTCOME_NO_EXTENSION &&
		idem_record_ledger(&payload->run, LOCK_TIMEOUT))
		pg_atomic_write_u32(&header->outcome, OUTCOME_RECORDED);

	error_context_stack = errcallback.previous;
}

/* A lock that could not be had is not worth a line in the log. */
static void
clean_up(void)
{
	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
		EmitErrorReport();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	jit_reset_after_error();
	RESUME_INTERRUPTS();
}

bool
idem_record_mail(Oid database)
{
	dsm_handle	mail = idem_mailbox_take(database);
	MemoryContext oldcxt = CurrentMemoryContext;
	MemoryContext cxt;
	OpenParcel *parcel;

	if (mail == DSM_HANDLE_INVALID)
		return false;

	cxt = AllocSetContextCreate(oldcxt, "idem_import failed run", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(cxt);
	parcel = palloc0(sizeof(OpenParcel));
	PG_TRY();
	{
		if (idem_parcel_open(parcel, mail, RECEIVE_TIMEOUT))
			write_down(parcel);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		clean_up();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	idem_parcel_close(parcel);
	MemoryContextSwitchTo(oldcxt);
	MemoryContextDelete(cxt);

	idem_record_settings();
	pgstat_report_activity(STATE_IDLE, NULL);
	return true;
}
