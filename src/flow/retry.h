/*-------------------------------------------------------------------------
 *
 * retry.h
 *	  Rejects tried again, without the rest of their source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RETRY_H
#define IDEM_RETRY_H

#include "flow/run.h"

/*
 * Try all open rejects of an import, but for lines of files, by its present
 * definition; a record for each unit that has some.  Errors are those of
 * idem_run.
 */
extern void idem_retry_rejects(const char *import, RunTrace *trace);

#endif							/* IDEM_RETRY_H */
