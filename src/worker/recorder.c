/*-------------------------------------------------------------------------
 *
 * recorder.c
 *	  Keeps the record of a run whose transaction rolls back.
 *
 * A run that fails takes its history with it: what the transaction wrote is
 * gone.  PostgreSQL has no autonomous transactions, so the failure is written
 * by somebody else: a dynamic background worker, the recorder, which lives
 * for that one transaction.  It needs no preloading, only a free slot among
 * max_worker_processes.
 *
 * The run and its rejects travel through a queue in a small shared memory
 * segment, so their number costs neither side memory.  The recorder takes
 * everything in before it connects to the database, because from there on it
 * may have to wait for locks, and among them are those of the very backend
 * that waits for it: if a transaction applied a unit, and then fails on the
 * same unit, it still holds that unit's row of the ledger.  Nothing would
 * detect such a deadlock, since a backend that waits on its latch waits for no
 * lock.  Hence the caller waits for a while, so that normally the failure can
 * be seen as soon as the error is, and then leaves the recorder to itself.
 *
 * Whatever happens here, the error that the caller gets is the one that made
 * the run fail.  Problems of the recording itself are warnings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/error.h"
#include "commands/extension.h"
#include "executor/tuptable.h"
#include "ledger/ledger.h"
#include "ledger/reject.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "worker/recorder.h"

/* Identifies the segment, and the keys of what it holds. */
#define RECORDER_MAGIC			0x69644d72
#define RECORDER_KEY_HEADER		0
#define RECORDER_KEY_QUEUE		1

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

/* What has become of the record. */
typedef enum RecorderOutcome
{
	OUTCOME_NONE,				/* not written, or not yet */
	OUTCOME_RECORDED,			/* committed */
	OUTCOME_NO_EXTENSION		/* there is nowhere to write it */
} RecorderOutcome;

typedef struct RecorderHeader
{
	Oid			database;
	Size		payload_size;	/* sizeof(Payload), as the caller sees it */
	pg_atomic_uint32 outcome;
} RecorderHeader;

/*
 * The first message: this struct, then the run's strings, zero-terminated and
 * in the order of run_strings.  Pointers tell only which of them are NULL.
 * Each message after that is a reject, as MinimalTuple.
 */
typedef struct Payload
{
	int64		nrejects;
	RunRecord	run;
} Payload;

/* Every string of a RunRecord. */
static const Size run_strings[] = {
	offsetof(RunRecord, import),
	offsetof(RunRecord, unit),
	offsetof(RunRecord, status),
	offsetof(RunRecord, method),
	offsetof(RunRecord, engine),
	offsetof(RunRecord, checkpoint),
	offsetof(RunRecord, note),
	offsetof(RunRecord, lower),
	offsetof(RunRecord, upper),
	offsetof(RunRecord, message),
	offsetof(RunRecord, detail)
};

#define RUN_STRING(run, i) \
	(*(const char **) ((char *) (run) + run_strings[i]))

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

PGDLLEXPORT void idem_import_recorder_main(Datum main_arg);

static void describe_failure(RunRecord *run, const ErrorData *edata);
static void record_failure(Recording *recording);
static void deliver(Recording *recording);
static void create_segment(Delivery *delivery);
static void start_worker(Delivery *delivery);
static void send_run(Delivery *delivery, const RunRecord *run, int64 nrejects);
static void send_rejects(Delivery *delivery, Tuplestorestate *rejects, int64 nrejects);
static void send_message(Delivery *delivery, Size size, const void *data, bool last);
static void await_worker(Delivery *delivery);
static long patience(Delivery *delivery, TimestampTz since);
static long time_left(TimestampTz since, int timeout);
static void wait_a_while(long timeout);

static Payload *receive_payload(shm_mq_handle *receiver, Tuplestorestate **rejects);
static bool receive_rejects(shm_mq_handle *receiver, Tuplestorestate *rejects, int64 nrejects);
static RecorderOutcome write_record(RunRecord *run, Tuplestorestate *rejects, int64 nrejects);
static void recorder_error_callback(void *arg);


/*
 * The caller's side
 */

/*
 * Call work(arg); if it fails, see to it that the failure is recorded.
 */
void
idem_recorded(void (*work) (void *arg), void *arg, Recording *recording)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);

	PG_TRY();
	{
		work(arg);

		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(oldcontext);
		edata = CopyErrorData();
		FlushErrorState();

		/*
		 * From here on a cancel must not take the place of the error that we
		 * have.  It stays pending: the waits below look for it, and if
		 * somebody catches our error, the cancel is what comes next.
		 * Termination is not held off.
		 */
		HOLD_CANCEL_INTERRUPTS();

		/* Also gives up the locks that the recorder is going to need. */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;

		describe_failure(&recording->run, edata);

		/* On a standby nobody can write, and a read-only caller wants no writes. */
		if (recording->run.import != NULL &&
			!XactReadOnly && !RecoveryInProgress())
			record_failure(recording);

		RESUME_CANCEL_INTERRUPTS();

		ReThrowError(edata);
	}
	PG_END_TRY();
}

/*
 * Complete the run with the error that ended it.
 */
static void
describe_failure(RunRecord *run, const ErrorData *edata)
{
	run->sqlstate = edata->sqlerrcode;
	run->message = edata->message;
	run->detail = edata->detail;
	run->status = edata->sqlerrcode == ERRCODE_IDEM_APPROVAL_REQUIRED ?
		"awaiting_approval" : "failed";

	if (run->started_at != 0)
		run->elapsed = GetCurrentTimestamp() - run->started_at;
}

/*
 * Have the failure recorded; what goes wrong here becomes a warning.
 *
 * The subtransaction is there for its resource owner, which detaches the
 * segment when we don't get to do that ourselves.
 */
static void
record_failure(Recording *recording)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	MemoryContext context;

	context = AllocSetContextCreate(oldcontext,
									"idem_import recorder",
									ALLOCSET_SMALL_SIZES);

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);

	PG_TRY();
	{
		deliver(recording);

		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		/* Throwing an error has reset the caller's hold. */
		HOLD_CANCEL_INTERRUPTS();

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();

		RollbackAndReleaseCurrentSubTransaction();

		ereport(WARNING,
				(errcode(edata->sqlerrcode),
				 errmsg("could not record the failure of import \"%s\": %s",
						recording->run.import, edata->message),
				 edata->hint ? errhint("%s", edata->hint) : 0));
	}
	PG_END_TRY();

	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	MemoryContextDelete(context);
}

/*
 * Start a recorder, hand over the run with its rejects, and wait for it.
 */
static void
deliver(Recording *recording)
{
	int64		nrejects = 0;
	Delivery	delivery = {0};

	if (recording->rejects != NULL)
		nrejects = tuplestore_tuple_count(recording->rejects);

	create_segment(&delivery);
	start_worker(&delivery);
	send_run(&delivery, &recording->run, nrejects);
	if (nrejects > 0)
		send_rejects(&delivery, recording->rejects, nrejects);
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


/*
 * The worker's side
 */

/*
 * Entry point: record one failure and exit.
 */
void
idem_import_recorder_main(Datum main_arg)
{
	dsm_segment *segment;
	shm_toc    *toc;
	RecorderHeader *header;
	shm_mq	   *queue;
	Payload    *payload;
	Tuplestorestate *rejects;
	ErrorContextCallback errcallback;
	RecorderOutcome outcome;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* Nothing of ours ends before the process does. */
	MemoryContextSwitchTo(TopMemoryContext);

	segment = dsm_attach(DatumGetUInt32(main_arg));
	if (segment == NULL)
	{
		ereport(DEBUG1,
				(errmsg_internal("backend with a failure to record has gone away")));
		proc_exit(0);
	}

	/*
	 * After an upgrade, backends that still run the old library may start
	 * workers that run the new one.
	 */
	toc = shm_toc_attach(RECORDER_MAGIC, dsm_segment_address(segment));
	header = toc ? shm_toc_lookup(toc, RECORDER_KEY_HEADER, false) : NULL;
	if (header == NULL || header->payload_size != sizeof(Payload))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("failed run comes from another version of idem_import"),
				 errhint("Reconnect the session that reported the failure.")));

	/* Take everything in; see the top of the file. */
	queue = shm_toc_lookup(toc, RECORDER_KEY_QUEUE, false);
	shm_mq_set_receiver(queue, MyProc);
	payload = receive_payload(shm_mq_attach(queue, segment, NULL), &rejects);
	if (payload == NULL)
	{
		ereport(DEBUG1,
				(errmsg_internal("backend with a failure to record has gone away")));
		proc_exit(0);
	}

	errcallback.callback = recorder_error_callback;
	errcallback.arg = &payload->run;
	errcallback.previous = error_context_stack;
	error_context_stack = &errcallback;

	BackgroundWorkerInitializeConnectionByOid(header->database, InvalidOid, 0);
	outcome = write_record(&payload->run, rejects, payload->nrejects);

	error_context_stack = errcallback.previous;

	pg_atomic_write_u32(&header->outcome, outcome);
	if (rejects != NULL)
		tuplestore_end(rejects);
	dsm_detach(segment);

	proc_exit(0);
}

/*
 * Receive the run and its rejects; NULL if the sender goes away halfway.
 * *rejects is NULL if there are none.
 */
static Payload *
receive_payload(shm_mq_handle *receiver, Tuplestorestate **rejects)
{
	Payload    *payload;
	const char *string;
	Size		size;
	void	   *data;

	*rejects = NULL;

	if (shm_mq_receive(receiver, &size, &data, false) != SHM_MQ_SUCCESS)
		return NULL;

	/* The next message may overwrite this one. */
	Assert(size >= sizeof(Payload));
	payload = palloc(size);
	memcpy(payload, data, size);

	string = (const char *) (payload + 1);
	for (int i = 0; i < lengthof(run_strings); i++)
	{
		if (RUN_STRING(&payload->run, i) != NULL)
		{
			RUN_STRING(&payload->run, i) = string;
			string += strlen(string) + 1;
		}
	}
	Assert(string == (const char *) payload + size);

	if (payload->nrejects > 0)
	{
		/* There is no transaction yet, so the files must not belong to one. */
		*rejects = tuplestore_begin_heap(false, true, work_mem);
		if (!receive_rejects(receiver, *rejects, payload->nrejects))
			return NULL;
	}

	return payload;
}

/*
 * Receive that many rejects; false if the sender goes away before the last.
 *
 * Without a database there are no types, and no idem_reject_desc; but nobody
 * looks into the tuples on their way, so an empty descriptor does.
 */
static bool
receive_rejects(shm_mq_handle *receiver, Tuplestorestate *rejects, int64 nrejects)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(CreateTemplateTupleDesc(0), &TTSOpsMinimalTuple);

	for (int64 received = 0; received < nrejects; received++)
	{
		Size		size;
		void	   *data;

		CHECK_FOR_INTERRUPTS();

		if (shm_mq_receive(receiver, &size, &data, false) != SHM_MQ_SUCCESS)
			return false;

		Assert(((MinimalTuple) data)->t_len == size);
		ExecStoreMinimalTuple((MinimalTuple) data, slot, false);
		tuplestore_puttupleslot(rejects, slot);
	}

	ExecDropSingleTupleTableSlot(slot);
	return true;
}

/*
 * Write history, rejects and ledger in one transaction.
 */
static RecorderOutcome
write_record(RunRecord *run, Tuplestorestate *rejects, int64 nrejects)
{
	RecorderOutcome outcome = OUTCOME_NO_EXTENSION;

	/*
	 * Whatever the database's defaults are for its users, this transaction
	 * writes, and waits for as long as the caller's may hold its locks.
	 */
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "recording the failure of an import");

	/*
	 * The failed transaction may be the one that created the extension, and
	 * another one may have dropped it.
	 */
	if (OidIsValid(get_extension_oid("idem_import", true)))
	{
		if (run->run_id == 0)
			run->run_id = idem_history_next_run_id();
		idem_history_insert(run);
		if (nrejects > 0)
			idem_reject_save(run->import, run->unit, run->run_id, rejects, false);
		idem_ledger_failed(run);
		outcome = OUTCOME_RECORDED;
	}

	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);

	return outcome;
}

/*
 * The worker's errors go to the server log, which should say what was lost.
 */
static void
recorder_error_callback(void *arg)
{
	const RunRecord *run = arg;

	errcontext("recording the failure of import \"%s\": %s",
			   run->import, run->message ? run->message : "no message");
}
