/*-------------------------------------------------------------------------
 *
 * parcel.c
 *	  The sender's end of a failed run that is on its way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "ledger/reject.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_toc.h"
#include "utils/timestamp.h"
#include "worker/parcel.h"

#define RECORDER_QUEUE_SIZE		((Size) 65536)

/* How long to wait for anything, in milliseconds, once the user has canceled. */
#define CANCELED_TIMEOUT		1000

/*
 * The segment: a header and a queue that we send into.
 */
void
idem_parcel_pack(Parcel *parcel)
{
	shm_toc_estimator estimator;
	shm_toc    *toc;
	Size		size;

	if (parcel->segment != NULL)
		return;

	shm_toc_initialize_estimator(&estimator);
	shm_toc_estimate_chunk(&estimator, sizeof(RecorderHeader));
	shm_toc_estimate_chunk(&estimator, RECORDER_QUEUE_SIZE);
	shm_toc_estimate_keys(&estimator, 2);
	size = shm_toc_estimate(&estimator);

	parcel->segment = dsm_create(size, 0);
	toc = shm_toc_create(RECORDER_MAGIC, dsm_segment_address(parcel->segment), size);

	parcel->header = shm_toc_allocate(toc, sizeof(RecorderHeader));
	parcel->header->database = MyDatabaseId;
	parcel->header->payload_size = sizeof(Payload);
	parcel->header->run_id = 0;
	pg_atomic_init_u32(&parcel->header->outcome, OUTCOME_NONE);
	pg_atomic_init_u32(&parcel->header->finished, 0);
	shm_toc_insert(toc, RECORDER_KEY_HEADER, parcel->header);

	parcel->queue = shm_mq_create(shm_toc_allocate(toc, RECORDER_QUEUE_SIZE),
								  RECORDER_QUEUE_SIZE);
	shm_toc_insert(toc, RECORDER_KEY_QUEUE, parcel->queue);
	shm_mq_set_sender(parcel->queue, MyProc);
	parcel->sender = shm_mq_attach(parcel->queue, parcel->segment, NULL);
}

void
idem_parcel_drop(Parcel *parcel)
{
	if (parcel->segment == NULL)
		return;
	dsm_detach(parcel->segment);
	pfree(parcel->sender);
	parcel->segment = NULL;
}

long
idem_parcel_patience(Parcel *parcel, TimestampTz since, int limit)
{
	TimestampTz until = TimestampTzPlusMilliseconds(since, limit);
	TimestampTz now = GetCurrentTimestamp();

	if (QueryCancelPending)
	{
		if (parcel->canceled_at == 0)
			parcel->canceled_at = now;
		until = Min(until, TimestampTzPlusMilliseconds(parcel->canceled_at, CANCELED_TIMEOUT));
	}
	return TimestampDifferenceMilliseconds(now, until);
}

void
idem_parcel_wait(long timeout)
{
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 timeout,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Put one message into the queue, waiting for room if need be.  The receiver
 * waits for nothing but us while it reads, so there is no excuse for a long
 * wait; shm_mq's own wait would have no limit.
 */
static ParcelResult
send_message(Parcel *parcel, Size size, const void *data, bool last, int limit)
{
	TimestampTz since = 0;

	for (;;)
	{
		shm_mq_result result = shm_mq_send(parcel->sender, size, data, true, last);
		long		left;

		if (result != SHM_MQ_WOULD_BLOCK)
			return result == SHM_MQ_SUCCESS ? PARCEL_SENT : PARCEL_REFUSED;
		if (since == 0)
			since = GetCurrentTimestamp();
		left = idem_parcel_patience(parcel, since, limit);
		if (left == 0)
			return PARCEL_STUCK;
		idem_parcel_wait(left);
	}
}

static ParcelResult
send_run(Parcel *parcel, int limit)
{
	const Payload *payload = &parcel->payload;
	StringInfoData message;
	ParcelResult result;

	initStringInfo(&message);
	appendBinaryStringInfo(&message, (const char *) payload, sizeof(Payload));
	for (int i = 0; i < lengthof(run_strings); i++)
	{
		const char *string = RUN_STRING(&payload->run, i);

		if (string != NULL)
			appendBinaryStringInfo(&message, string, strlen(string) + 1);
	}

	result = send_message(parcel, message.len, message.data, payload->nrejects == 0, limit);
	pfree(message.data);
	return result;
}

static ParcelResult
send_rejects(Parcel *parcel, int limit)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(idem_reject_desc(), &TTSOpsMinimalTuple);
	ParcelResult result = PARCEL_SENT;

	tuplestore_select_read_pointer(parcel->rejects, 0);
	tuplestore_rescan(parcel->rejects);

	for (int64 sent = 1; sent <= parcel->payload.nrejects && result == PARCEL_SENT; sent++)
	{
		MinimalTuple tuple;
		bool		should_free;

		if (!tuplestore_gettupleslot(parcel->rejects, true, false, slot))
			elog(ERROR, "tuplestore of rejects ended early");

		tuple = ExecFetchSlotMinimalTuple(slot, &should_free);
		Assert(!should_free);
		result = send_message(parcel, tuple->t_len, tuple, sent == parcel->payload.nrejects, limit);
	}

	ExecDropSingleTupleTableSlot(slot);
	return result;
}

ParcelResult
idem_parcel_send(Parcel *parcel, int limit)
{
	ParcelResult result = send_run(parcel, limit);

	if (result == PARCEL_SENT && parcel->payload.nrejects > 0)
		result = send_rejects(parcel, limit);
	return result;
}
