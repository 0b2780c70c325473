/*-------------------------------------------------------------------------
 *
 * parcel.h
 *	  A failed run, with its rejects, on its way to whoever writes it down.
 *
 * It travels through a queue in a shared memory segment, whose handle is all
 * that the other side has to know.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_PARCEL_H
#define IDEM_PARCEL_H

#include "datatype/timestamp.h"
#include "storage/dsm.h"
#include "storage/shm_mq.h"
#include "utils/tuplestore.h"
#include "worker/recorder_message.h"

/* The sender's end. */
typedef struct Parcel
{
	Payload		payload;		/* what to send, */
	Tuplestorestate *rejects;	/* payload.nrejects of them */
	dsm_segment *segment;		/* NULL while there is none */
	RecorderHeader *header;
	shm_mq	   *queue;
	shm_mq_handle *sender;
	TimestampTz canceled_at;	/* when we noticed a cancel, 0 if there is none */
} Parcel;

typedef enum ParcelResult
{
	PARCEL_SENT,
	PARCEL_REFUSED,				/* the receiver has gone; it may have had all of it by then */
	PARCEL_STUCK				/* the receiver does not take the rest */
} ParcelResult;

/* The receiver's end; all zero at first. */
typedef struct OpenParcel
{
	dsm_segment *segment;		/* NULL: not attached */
	RecorderHeader *header;
	Payload    *payload;		/* in CurrentMemoryContext, with its strings */
	Tuplestorestate *rejects;	/* NULL: none; its files belong to no transaction */
} OpenParcel;

/* Make the segment, unless there is one that nobody has attached. */
extern void idem_parcel_pack(Parcel *parcel);

/*
 * Send everything, waiting "limit" milliseconds for room for each message, or
 * as long as somebody is patient who has canceled.
 */
extern ParcelResult idem_parcel_send(Parcel *parcel, int limit);

/* Detach the segment. */
extern void idem_parcel_drop(Parcel *parcel);

/*
 * How many milliseconds more to wait for something that has been waited for
 * since then, with such a limit; 0: enough.  A cancel makes us less patient,
 * but does not lose the record when all is well: users press the key twice.
 */
extern long idem_parcel_patience(Parcel *parcel, TimestampTz since, int limit);

/* Wait for the latch, at most so many milliseconds. */
extern void idem_parcel_wait(long timeout);

/*
 * Attach the segment, and take everything in.  False if the sender has gone
 * away, or sends nothing for "limit" milliseconds (0: no limit).  55000 if it
 * is of another version of the library.  Needs no transaction.
 */
extern bool idem_parcel_open(OpenParcel *parcel, dsm_handle handle, int limit);

/* Let go of all but the memory.  Also for one that could not be opened. */
extern void idem_parcel_close(OpenParcel *parcel);

#endif							/* IDEM_PARCEL_H */
