/*-------------------------------------------------------------------------
 *
 * delivery.c
 *	  Hands a failed run, with its rejects, to a recorder and waits for it.
 *
 * The caller's end: it makes the segment, starts the worker, and sends.  Every
 * wait here has a limit, as an error is waiting to be raised; what exceeds the
 * limit is an error of the delivery.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "ledger/reject.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "utils/timestamp.h"
#include "worker/delivery.h"
#include "worker/recorder_message.h"

#define RECORDER_QUEUE_SIZE		((Size) 65536)

/*
 * How long to wait, in milliseconds: for a free slot; for the worker to start,
 * or to take in one message; for all that, once the user has canceled; and for
 * the worker to finish when it has everything.
 */
#define SLOT_TIMEOUT			1000
#define SLOT_RETRY				5
#define START_TIMEOUT			10000
#define CANCELED_TIMEOUT		1000
#define FINISH_TIMEOUT			2000

/* The caller's end. */
typedef struct Delivery
{
	dsm_segment *segment;
	RecorderHeader *header;
	shm_mq	   *queue;
	shm_mq_handle *sender;
	BackgroundWorkerHandle *worker;
	TimestampTz canceled_at;	/* when we noticed a cancel, 0 if there is none */
} Delivery;

static void create_segment(Delivery *delivery);
static void start_worker(Delivery *delivery);
static void send_run(Delivery *delivery, const RunRecord *run, int64 nrejects);
static void send_rejects(Delivery *delivery, Tuplestorestate *rejects, int64 nrejects);
static void send_message(Delivery *delivery, Size size, const void *data, bool last);
static void await_worker(Delivery *delivery);
static long patience(Delivery *delivery, TimestampTz since);
static long time_left(TimestampTz since, int timeout);
static void wait_a_while(long timeout);

void
idem_deliver(const RunRecord *run, Tuplestorestate *rejects)
{
	int64		nrejects = rejects ? tuplestore_tuple_count(rejects) : 0;
	Delivery	delivery = {0};

	create_segment(&delivery);
	start_worker(&delivery);
	send_run(&delivery, run, nrejects);
	if (nrejects > 0)
		send_rejects(&delivery, rejects, nrejects);
	await_worker(&delivery);

	dsm_detach(delivery.segment);
}

/*
 * Make the segment: a header and a queue that we send into.
 */
static void
create_segment(Delivery *delivery)
{
	shm_toc_estimator estimator;
	shm_toc    *toc;
	Size		size;

	shm_toc_initialize_estimator(&estimator);
	shm_toc_estimate_chunk(&estimator, sizeof(RecorderHeader));
	shm_toc_estimate_chunk(&estimator, RECORDER_QUEUE_SIZE);
	shm_toc_estimate_keys(&estimator, 2);
	size = shm_toc_estimate(&estimator);

	delivery->segment = dsm_create(size, 0);
	toc = shm_toc_create(RECORDER_MAGIC, dsm_segment_address(delivery->segment), size);

	delivery->header = shm_toc_allocate(toc, sizeof(RecorderHeader));
	delivery->header->database = MyDatabaseId;
	delivery->header->payload_size = sizeof(Payload);
	pg_atomic_init_u32(&delivery->header->outcome, OUTCOME_NONE);
	shm_toc_insert(toc, RECORDER_KEY_HEADER, delivery->header);

	delivery->queue = shm_mq_create(shm_toc_allocate(toc, RECORDER_QUEUE_SIZE),
									RECORDER_QUEUE_SIZE);
	shm_toc_insert(toc, RECORDER_KEY_QUEUE, delivery->queue);
	shm_mq_set_sender(delivery->queue, MyProc);
}

/*
 * Register the worker.  Slots come and go with parallel queries and with the
 * recorders of other sessions, so one may become free shortly.
 */
static void
start_worker(Delivery *delivery)
{
	BackgroundWorker worker;
	TimestampTz since = GetCurrentTimestamp();

	if (!IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("there are no background workers in single-user mode")));

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "idem_import", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "idem_import_recorder_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "idem_import recorder", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "idem_import recorder", sizeof(worker.bgw_type));
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(delivery->segment));
	worker.bgw_notify_pid = MyProcPid;

	while (!RegisterDynamicBackgroundWorker(&worker, &delivery->worker))
	{
		if (QueryCancelPending || time_left(since, SLOT_TIMEOUT) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("out of background worker slots"),
					 errhint("You might need to increase max_worker_processes.")));

		wait_a_while(SLOT_RETRY);
	}

	delivery->sender = shm_mq_attach(delivery->queue, delivery->segment, delivery->worker);
}

/*
 * Send the run.
 */
static void
send_run(Delivery *delivery, const RunRecord *run, int64 nrejects)
{
	StringInfoData message;
	Payload		payload;

	payload.nrejects = nrejects;
	payload.run = *run;

	initStringInfo(&message);
	appendBinaryStringInfo(&message, (char *) &payload, sizeof(payload));
	for (int i = 0; i < lengthof(run_strings); i++)
	{
		const char *string = RUN_STRING(&payload.run, i);

		if (string != NULL)
			appendBinaryStringInfo(&message, string, strlen(string) + 1);
	}

	send_message(delivery, message.len, message.data, nrejects == 0);
}

/*
 * Send the rejects.
 */
static void
send_rejects(Delivery *delivery, Tuplestorestate *rejects, int64 nrejects)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(idem_reject_desc(), &TTSOpsMinimalTuple);

	tuplestore_select_read_pointer(rejects, 0);
	tuplestore_rescan(rejects);

	for (int64 sent = 1; sent <= nrejects; sent++)
	{
		MinimalTuple tuple;
		bool		should_free;

		if (!tuplestore_gettupleslot(rejects, true, false, slot))
			elog(ERROR, "tuplestore of rejects ended early");

		tuple = ExecFetchSlotMinimalTuple(slot, &should_free);
		Assert(!should_free);
		send_message(delivery, tuple->t_len, tuple, sent == nrejects);
	}

	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Put one message into the queue, waiting for room if need be.  The worker
 * waits for nothing but us while it reads, so there is no excuse for a long
 * wait; shm_mq's own wait would have no limit.
 */
static void
send_message(Delivery *delivery, Size size, const void *data, bool last)
{
	TimestampTz since = 0;

	for (;;)
	{
		switch (shm_mq_send(delivery->sender, size, data, true, last))
		{
			case SHM_MQ_SUCCESS:
				return;

			case SHM_MQ_DETACHED:
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("background worker ended early"),
						 errhint("More details may be available in the server log.")));
				break;

			case SHM_MQ_WOULD_BLOCK:
				if (since == 0)
					since = GetCurrentTimestamp();
				wait_a_while(patience(delivery, since));
				break;
		}
	}
}

/*
 * Everything is in the queue: wait until the worker is done.  Once it has
 * attached, the segment stays as long as the worker needs it, and we may
 * leave; before that we must not.
 */
static void
await_worker(Delivery *delivery)
{
	TimestampTz since = GetCurrentTimestamp();
	bool		attached = false;
	pid_t		pid;

	while (GetBackgroundWorkerPid(delivery->worker, &pid) != BGWH_STOPPED)
	{
		long		left;

		if (!attached && shm_mq_get_receiver(delivery->queue) != NULL)
		{
			attached = true;
			since = GetCurrentTimestamp();
		}

		if (attached)
		{
			left = time_left(since, FINISH_TIMEOUT);
			if (left == 0 || QueryCancelPending)
				return;
		}
		else
			left = patience(delivery, since);

		wait_a_while(left);
	}

	if (pg_atomic_read_u32(&delivery->header->outcome) == OUTCOME_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("background worker ended early"),
				 errhint("More details may be available in the server log.")));
}

/*
 * How much longer to wait for a worker that has not answered since then; if
 * it is given up, that is an error.  A cancel makes us less patient, but does
 * not lose the record when all is well: users press the key twice.
 *
 * A worker that is given up but runs finds the segment gone, and exits.
 */
static long
patience(Delivery *delivery, TimestampTz since)
{
	long		left;

	if (QueryCancelPending)
	{
		if (delivery->canceled_at == 0)
			delivery->canceled_at = GetCurrentTimestamp();
		left = time_left(delivery->canceled_at, CANCELED_TIMEOUT);
	}
	else
		left = time_left(since, START_TIMEOUT);

	if (left == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("background worker does not respond")));

	return left;
}

/*
 * Milliseconds left of a timeout that began at "since", 0 if it is over.
 */
static long
time_left(TimestampTz since, int timeout)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
										   TimestampTzPlusMilliseconds(since, timeout));
}

/*
 * Wait until something happens, at most "timeout" milliseconds.
 */
static void
wait_a_while(long timeout)
{
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 timeout,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}
