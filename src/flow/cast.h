/*-------------------------------------------------------------------------
 *
 * cast.h
 *	  From rows as read to staged rows, where that may fail.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_CAST_H
#define IDEM_CAST_H

#include "executor/tuptable.h"
#include "flow/source.h"

typedef struct Caster Caster;

/* In CurrentMemoryContext.  Rows go to the sinks, each with arg as their first argument. */
extern Caster *idem_caster_create(Source *source, SourceSink sink, BadRowSink bad_sink, void *arg);

/*
 * Take a row as read.  Rows are cast many at a time.  Raises any error of a
 * cast that is not about the row; returns whether the sinks want more.
 */
extern bool idem_caster_row(Caster *caster, TupleTableSlot *slot);

/* Cast what is left, unless a sink has had enough, and free all. */
extern void idem_caster_end(Caster *caster);

#endif							/* IDEM_CAST_H */
