/*-------------------------------------------------------------------------
 *
 * mark.h
 *	  A value of a source's cursor column: how far the source has been read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_MARK_H
#define IDEM_MARK_H

#include "flow/source.h"
#include "utils/timestamp.h"

/* As text, under the import's settings, and back. */
extern char *idem_mark_text(const Source *source, Datum mark);
extern Datum idem_mark_parse(const Source *source, const char *text);

/*
 * What its text and its place in the order depend on: the type, and the
 * collation.  A mark of another kind says nothing.
 */
extern char *idem_mark_kind(const Source *source);

/* The point in time that it is; false if it is none. */
extern bool idem_mark_time(const Source *source, Datum mark, TimestampTz *time);

/*
 * The value that lies "overlap" below it: an interval below a time, a number
 * below a number.  Where the type does not reach that far, a lower one than
 * any row has.
 */
extern Datum idem_mark_lowered(const Source *source, Datum mark, const char *overlap);

/* 22023 unless an overlap goes with the cursor column, is finite and not negative. */
extern void idem_mark_require_overlap(const Source *source, const char *overlap);

#endif							/* IDEM_MARK_H */
