/*-------------------------------------------------------------------------
 *
 * snapshot.h
 *	  Which transactions a snapshot could not see, in a form that keeps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SNAPSHOT_H
#define IDEM_SNAPSHOT_H

#include "utils/snapshot.h"

/*
 * The snapshot as a pg_snapshot's text, "xmin:xmax:xip,...".  A transaction
 * that it counts among those not seen may have been seen after all, but never
 * the other way round: so it tells from which rows to read on.
 */
extern char *idem_snapshot_text(Snapshot snapshot);

/*
 * Whose transaction numbers these are: "system identifier/timeline".  Changes
 * with initdb (so with pg_upgrade), and when a standby is promoted or a backup
 * recovered.
 */
extern char *idem_snapshot_cluster(void);

#endif							/* IDEM_SNAPSHOT_H */
