/*-------------------------------------------------------------------------
 *
 * tracking.h
 *	  What a checkpoint is worth: can it be believed, and where does it stand?
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_TRACKING_H
#define IDEM_TRACKING_H

#include "flow/source.h"
#include "ledger/checkpoint.h"

/* Why a checkpoint can't be believed; NULL if it can.  anew: the caller does not want it to be. */
extern const char *idem_tracking_distrust(const Definition *def, const Source *source,
										  const Checkpoint *checkpoint, bool anew);

/* Is a mark one of the cursor column as it is now? */
extern bool idem_tracking_is_of_kind(const Source *source, const Checkpoint *checkpoint);

/* Does the checkpoint of that text lie after the one that there is? */
extern bool idem_tracking_is_ahead(const Source *source, const Checkpoint *now, const char *wanted);

/* Are there rows after the import's checkpoint?  Leaves the source unbound. */
extern bool idem_tracking_is_behind(const Definition *def, Source *source);

/* 22023, 42703, 0A000 if the import can't be tracked as it says. */
extern void idem_tracking_require(const Definition *def, Source *source);

/*
 * Set a checkpoint back to where it was once, as text, or to the start (NULL).
 * 55000 if there is none, 22023 if it is not behind the present one.
 */
extern void idem_tracking_rewind(const Definition *def, Source *source, const char *text);

#endif							/* IDEM_TRACKING_H */
