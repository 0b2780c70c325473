/*-------------------------------------------------------------------------
 *
 * parcel_open.c
 *	  The receiver's end of a failed run that is on its way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_toc.h"
#include "utils/timestamp.h"
#include "worker/parcel.h"

/* What the header says now is the last word. */
static void
finish(dsm_segment *segment, Datum arg)
{
	RecorderHeader *header = (RecorderHeader *) DatumGetPointer(arg);

	pg_write_barrier();
	pg_atomic_write_u32(&header->finished, 1);
}

/*
 * Receive one message; false if the sender goes away, or sends nothing.
 */
static bool
receive_message(shm_mq_handle *receiver, int limit, Size *size, void **data)
{
	TimestampTz since = 0;

	for (;;)
	{
		shm_mq_result result = shm_mq_receive(receiver, size, data, true);
		int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
		long		left = 0;

		if (result != SHM_MQ_WOULD_BLOCK)
			return result == SHM_MQ_SUCCESS;
		if (limit > 0)
		{
			if (since == 0)
				since = GetCurrentTimestamp();
			left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
												   TimestampTzPlusMilliseconds(since, limit));
			if (left == 0)
				return false;
			events |= WL_TIMEOUT;
		}
		(void) WaitLatch(MyLatch, events, left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Receive the run; NULL if that fails.
 */
static Payload *
receive_run(shm_mq_handle *receiver, int limit)
{
	Payload    *payload;
	const char *string;
	Size		size;
	void	   *data;

	if (!receive_message(receiver, limit, &size, &data))
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
	return payload;
}

/*
 * Receive that many rejects; false if the sender goes away before the last.
 *
 * Without a database there are no types, and no idem_reject_desc; but nobody
 * looks into the tuples on their way, so an empty descriptor does.
 */
static bool
receive_rejects(shm_mq_handle *receiver, int limit, Tuplestorestate *rejects, int64 nrejects)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(CreateTemplateTupleDesc(0), &TTSOpsMinimalTuple);
	bool		complete = true;

	for (int64 received = 0; received < nrejects && complete; received++)
	{
		Size		size;
		void	   *data;

		CHECK_FOR_INTERRUPTS();

		complete = receive_message(receiver, limit, &size, &data);
		if (complete)
		{
			Assert(((MinimalTuple) data)->t_len == size);
			ExecStoreMinimalTuple((MinimalTuple) data, slot, false);
			tuplestore_puttupleslot(rejects, slot);
		}
	}

	ExecDropSingleTupleTableSlot(slot);
	return complete;
}

bool
idem_parcel_open(OpenParcel *parcel, dsm_handle handle, int limit)
{
	shm_toc    *toc;
	shm_mq	   *queue;
	shm_mq_handle *receiver;
	Payload    *payload;

	parcel->segment = dsm_attach(handle);
	if (parcel->segment == NULL)
		return false;

	/*
	 * After an upgrade, backends that still run the old library may start
	 * workers that run the new one.
	 */
	toc = shm_toc_attach(RECORDER_MAGIC, dsm_segment_address(parcel->segment));
	parcel->header = toc ? shm_toc_lookup(toc, RECORDER_KEY_HEADER, false) : NULL;
	if (parcel->header == NULL || parcel->header->payload_size != sizeof(Payload))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("failed run comes from another version of idem_import"),
				 errhint("Reconnect the session that reported the failure.")));

	queue = shm_toc_lookup(toc, RECORDER_KEY_QUEUE, false);
	shm_mq_set_receiver(queue, MyProc);
	receiver = shm_mq_attach(queue, parcel->segment, NULL);
	/* called before the queue is detached, which wakes the sender */
	on_dsm_detach(parcel->segment, finish, PointerGetDatum(parcel->header));
	payload = receive_run(receiver, limit);
	if (payload == NULL)
		return false;
	if (payload->nrejects > 0)
	{
		/* There is no transaction yet, so the files must not belong to one. */
		parcel->rejects = tuplestore_begin_heap(false, true, work_mem);
		if (!receive_rejects(receiver, limit, parcel->rejects, payload->nrejects))
			return false;
	}
	parcel->payload = payload;
	return true;
}

void
idem_parcel_close(OpenParcel *parcel)
{
	if (parcel->rejects != NULL)
		tuplestore_end(parcel->rejects);
	parcel->rejects = NULL;
	if (parcel->segment != NULL)
		dsm_detach(parcel->segment);
	parcel->segment = NULL;
}
