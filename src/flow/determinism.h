/*-------------------------------------------------------------------------
 *
 * determinism.h
 *	  Refuse sources that could read differently on the next run (II002).
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_DETERMINISM_H
#define IDEM_DETERMINISM_H

#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/*
 * Raise II002 unless the rewritten queries (List of Query, views expanded)
 * give the same rows whenever they read the same tables.  SQL functions are
 * looked into.  "text" is what they were parsed from: literals such as
 * 'today' are constants by now, and only their spelling tells.  The
 * queries belong to an argument of the import, which the error names.
 */
extern void idem_require_deterministic(List *queries, const char *text, const char *argument);

/*
 * Raise II002 for what the rewritten queries no longer show: literals such as
 * date 'today', which the parser replaced by the day it was.  Text that does
 * not parse is left to whoever runs it.
 */
extern void idem_require_deterministic_text(const char *query, const char *argument);

/*
 * Raise II002 if a column of target that is not imported (attnums, offset by
 * FirstLowInvalidHeapAttributeNumber) gets a value that depends on more than
 * the row: a volatile default, the clock, a sequence or identity.
 */
extern void idem_require_deterministic_defaults(Relation target, const Bitmapset *imported);

#endif							/* IDEM_DETERMINISM_H */
