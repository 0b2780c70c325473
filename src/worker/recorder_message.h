/*-------------------------------------------------------------------------
 *
 * recorder_message.h
 *	  What lies in the shared memory segment between a caller and its recorder.
 *
 * Between parcel.c, which writes it, and parcel_open.c.  A header, and a queue
 * of messages: the run first, then its rejects one by one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RECORDER_MESSAGE_H
#define IDEM_RECORDER_MESSAGE_H

#include "ledger/history.h"
#include "port/atomics.h"

/* Identifies the segment, and the keys of what it holds. */
#define RECORDER_MAGIC			0x69644d72
#define RECORDER_KEY_HEADER		0
#define RECORDER_KEY_QUEUE		1

/* What has become of the record. */
typedef enum RecorderOutcome
{
	OUTCOME_NONE,				/* not written, or not yet */
	OUTCOME_LEDGER_LEFT,		/* all but the ledger is committed */
	OUTCOME_RECORDED,			/* committed */
	OUTCOME_NO_EXTENSION		/* there is nowhere to write it */
} RecorderOutcome;

typedef struct RecorderHeader
{
	Oid			database;
	Size		payload_size;	/* sizeof(Payload), as the caller sees it */
	pg_atomic_uint32 outcome;
	int64		run_id;			/* that the history has, if the ledger is left */
	pg_atomic_uint32 finished;	/* the receiver has gone: nothing above changes any more */
} RecorderHeader;

/*
 * The first message: this struct, then the run's strings, zero-terminated and
 * in the order of run_strings.  Pointers tell only which of them are NULL.
 * Each message after that is a reject, as MinimalTuple.
 */
typedef struct Payload
{
	bool		ledger_only;	/* the history has the run */
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
	offsetof(RunRecord, detail),
	offsetof(RunRecord, input.name),
	offsetof(RunRecord, input.scope),
	offsetof(RunRecord, input.hash)
};

#define RUN_STRING(run, i) \
	(*(const char **) ((char *) (run) + run_strings[i]))

#endif							/* IDEM_RECORDER_MESSAGE_H */
