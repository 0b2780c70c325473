/*-------------------------------------------------------------------------
 *
 * source_cast.h
 *	  The casts that make a value as read one of the target's type.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SOURCE_CAST_H
#define IDEM_SOURCE_CAST_H

#include "catalog/pg_attribute.h"
#include "nodes/nodes.h"

/*
 * The expression, over a scan tuple with the column at "place", that makes it
 * what INSERT would store: an assignment cast; from text also where only an
 * explicit one exists, as COPY reads text.  NULL: it is taken as it is.
 * Raises 42804 if there is no such cast, II002 if it is volatile.
 */
extern Node *idem_source_cast(const char *name, Form_pg_attribute from, int place, Oid type, int32 typmod);

/* Must it not run in parallel mode? */
extern bool idem_source_cast_is_serial(Node *cast);

#endif							/* IDEM_SOURCE_CAST_H */
