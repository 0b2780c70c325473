/*-------------------------------------------------------------------------
 *
 * delivery.h
 *	  Hands a failed run, with its rejects, to a recorder and waits for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_DELIVERY_H
#define IDEM_DELIVERY_H

#include "ledger/history.h"
#include "utils/tuplestore.h"

/*
 * Find a recorder, hand over the run with its rejects (NULL: none), and wait
 * for it.  An error if that fails or takes too long; the caller's resource
 * owner then detaches the segment, and *in_history tells whether only the
 * ledger lacks the failure.
 */
extern void idem_deliver(const RunRecord *run, Tuplestorestate *rejects, bool *in_history);

#endif							/* IDEM_DELIVERY_H */
