/*-------------------------------------------------------------------------
 *
 * delivery.c
 *	  Hands a failed run, with its rejects, to a recorder and waits for it.
 *
 * The caller's end.  If a scheduler of this database is running, it gets the
 * run: that needs no slot among max_worker_processes, all of which may be
 * taken, and no process.  It does only what can be done soon; for the rest,
 * and elsewhere, a recorder is started.
 *
 * Every wait here has a limit, as an error is waiting to be raised; what
 * exceeds the limit is an error of the delivery.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/timestamp.h"
#include "worker/delivery.h"
#include "worker/mailbox.h"
#include "worker/parcel.h"
#include "worker/process.h"

/*
 * How long to wait, in milliseconds: for the scheduler to come; for it to take
 * in one message; for it to finish, which it does soon if it can.
 */
#define SCHEDULER_COMES			100
#define SCHEDULER_RECEIVES		1000
#define SCHEDULER_FINISHES		5000

/* It is not to be held up by more rejects than that; each takes some 20 microseconds. */
#define SCHEDULER_REJECTS		10000

/*
 * For a free slot; for the worker to start, or to take in one message; for it
 * to finish when it has everything, as it may be waiting for us.
 */
#define SLOT_TIMEOUT			1000
#define SLOT_RETRY				5
#define WORKER_STARTS			10000
#define WORKER_FINISHES			2000

/*
 * Put it into the mailbox, and wait until the scheduler has come for it; false
 * if that does not happen.
 */
static bool
call_scheduler(Parcel *parcel)
{
	TimestampTz since = GetCurrentTimestamp();
	MailboxState state = MAILBOX_FULL;

	for (;;)
	{
		long		left = idem_parcel_patience(parcel, since, SCHEDULER_COMES);

		if (state == MAILBOX_FULL)
			state = idem_mailbox_put(parcel->segment);
		if (state == MAILBOX_MINE && shm_mq_get_receiver(parcel->queue) != NULL)
			return true;
		if (state == MAILBOX_CLOSED || left == 0)
			return false;
		idem_parcel_wait(state == MAILBOX_FULL ? Min(left, SLOT_RETRY) : left);
	}
}

/*
 * Let the scheduler record it; says whether it did.  If the ledger is left to
 * do, that is what remains of the parcel.
 */
static bool
deliver_to_scheduler(Parcel *parcel, bool *in_history)
{
	RecorderOutcome outcome = OUTCOME_NONE;
	RecorderHeader *header;
	TimestampTz since;

	idem_parcel_pack(parcel);
	header = parcel->header;

	/*
	 * If it has not got all, it writes nothing.  If it has, it does what it
	 * can, and when we leave before it is done nobody else may do the same.
	 */
	if (call_scheduler(parcel) &&
		idem_parcel_send(parcel, SCHEDULER_RECEIVES) != PARCEL_STUCK)
	{
		since = GetCurrentTimestamp();
		outcome = OUTCOME_RECORDED;
		for (;;)
		{
			long		left = idem_parcel_patience(parcel, since, SCHEDULER_FINISHES);

			if (pg_atomic_read_u32(&header->finished) != 0)
			{
				pg_read_barrier();
				outcome = pg_atomic_read_u32(&header->outcome);
				break;
			}
			if (left == 0)
				break;
			idem_parcel_wait(left);
		}
	}

	if (outcome == OUTCOME_LEDGER_LEFT)
	{
		*in_history = true;
		parcel->payload.ledger_only = true;
		parcel->payload.nrejects = 0;
		parcel->payload.run.run_id = header->run_id;
	}
	/* takes it back if nobody came */
	idem_parcel_drop(parcel);
	return outcome == OUTCOME_RECORDED || outcome == OUTCOME_NO_EXTENSION;
}

/*
 * Everything is in the queue: wait until the worker is done.  Once it has
 * attached, the segment stays as long as the worker needs it, and we may
 * leave; before that we must not.
 */
static void
await_worker(Parcel *parcel, BackgroundWorkerHandle *worker)
{
	TimestampTz since = GetCurrentTimestamp();
	bool		attached = false;
	pid_t		pid;

	while (GetBackgroundWorkerPid(worker, &pid) != BGWH_STOPPED)
	{
		long		left;

		if (!attached && shm_mq_get_receiver(parcel->queue) != NULL)
		{
			attached = true;
			since = GetCurrentTimestamp();
		}

		left = idem_parcel_patience(parcel, since, attached ? WORKER_FINISHES : WORKER_STARTS);
		if (attached && (left == 0 || QueryCancelPending))
			return;
		if (left == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("background worker does not respond")));
		idem_parcel_wait(left);
	}

	if (pg_atomic_read_u32(&parcel->header->outcome) == OUTCOME_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("background worker ended early"),
				 errhint("More details may be available in the server log.")));
}

/*
 * Let a worker of our own record it; false if there is no slot for one.  One
 * that is given up but runs finds the segment gone, and exits.
 */
static bool
deliver_to_worker(Parcel *parcel)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	idem_parcel_pack(parcel);
	idem_process_describe(&worker, "recorder", "idem_import_recorder_main",
						  UInt32GetDatum(dsm_segment_handle(parcel->segment)));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		return false;
	shm_mq_set_handle(parcel->sender, handle);

	if (idem_parcel_send(parcel, WORKER_STARTS) == PARCEL_STUCK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("background worker does not respond")));
	await_worker(parcel, handle);
	idem_parcel_drop(parcel);
	return true;
}

/*
 * Slots come and go with parallel queries and with the recorders of other
 * sessions, so one may become free shortly; and a scheduler that had no time,
 * or came not into question because of so many rejects, is better than none.
 */
void
idem_deliver(const RunRecord *run, Tuplestorestate *rejects, bool *in_history)
{
	TimestampTz since = GetCurrentTimestamp();
	int64		nrejects = rejects ? tuplestore_tuple_count(rejects) : 0;
	bool		at_once = nrejects <= SCHEDULER_REJECTS;
	Parcel		parcel = {0};

	*in_history = false;
	if (!IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("there are no background workers in single-user mode")));

	parcel.payload.nrejects = nrejects;
	parcel.payload.run = *run;
	parcel.rejects = rejects;

	if (at_once && idem_mailbox_is_open() && deliver_to_scheduler(&parcel, in_history))
		return;
	while (!deliver_to_worker(&parcel))
	{
		if (idem_mailbox_is_open() && deliver_to_scheduler(&parcel, in_history))
			return;
		if (QueryCancelPending ||
			TimestampDifferenceExceeds(since, GetCurrentTimestamp(), SLOT_TIMEOUT))
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("out of background worker slots"),
					 errhint("You might need to increase max_worker_processes.")));
		idem_parcel_wait(SLOT_RETRY);
	}
}
