/*-------------------------------------------------------------------------
 *
 * checkpoint.h
 *	  How far the source of an import has been read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_CHECKPOINT_H
#define IDEM_CHECKPOINT_H

#include "datatype/timestamp.h"
#include "ledger/definition.h"

typedef struct Checkpoint
{
	Track		track;			/* TRACK_NONE: there is no checkpoint */
	char	   *text;			/* the mark, or the snapshot */
	bool		has_time;
	TimestampTz time;			/* the mark as a time, if it is one */
	char	   *kind;			/* of a mark: idem_mark_kind then */
	char	   *cluster;		/* of a snapshot: idem_snapshot_cluster then */
} Checkpoint;

/* The import's checkpoint, as of now. */
extern void idem_checkpoint_load(const char *import, Checkpoint *checkpoint);

/* Move it; run_id 0: by none.  Nothing is written if it stands there already. */
extern void idem_checkpoint_move(const char *import, const Checkpoint *checkpoint, int64 run_id);

/* Forget it, if there is one: the next run reads from the start. */
extern bool idem_checkpoint_forget(const char *import);

#endif							/* IDEM_CHECKPOINT_H */
