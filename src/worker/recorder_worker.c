/*-------------------------------------------------------------------------
 *
 * recorder_worker.c
 *	  The recorder: a background worker that writes down one failed run.
 *
 * It takes everything in before it connects to the database, as told at the
 * top of recorder.c, writes it in one transaction, and exits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "worker/record.h"
#include "worker/recorder_message.h"

PGDLLEXPORT void idem_import_recorder_main(Datum main_arg);

static Payload *receive_payload(shm_mq_handle *receiver, Tuplestorestate **rejects);
static bool receive_rejects(shm_mq_handle *receiver, Tuplestorestate *rejects, int64 nrejects);
static void recorder_error_callback(void *arg);

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

	/* Take everything in, before there is anything to wait for. */
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
	outcome = idem_record(&payload->run, rejects, payload->nrejects) ? OUTCOME_RECORDED : OUTCOME_NO_EXTENSION;

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
 * The worker's errors go to the server log, which should say what was lost.
 */
static void
recorder_error_callback(void *arg)
{
	const RunRecord *run = arg;

	errcontext("recording the failure of import \"%s\": %s",
			   run->import, run->message ? run->message : "no message");
}
