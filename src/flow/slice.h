/*-------------------------------------------------------------------------
 *
 * slice.h
 *	  Slices: the line of an ordered type, cut into pieces of one width.
 *
 * Knows types and widths, nothing of targets or units: scope.c builds on it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SLICE_H
#define IDEM_SLICE_H

typedef struct Slice Slice;

/*
 * Slices of one width over a type (not a domain).  Lives in
 * CurrentMemoryContext.
 */
extern Slice *idem_slice_open(Oid type, const char *width);

/* The number of the slice that holds a value; leaves nothing allocated. */
extern int64 idem_slice_number(Slice *slice, Datum value);

/* The first value of a slice, and that with the first value of the next. */
extern Datum idem_slice_bound(Slice *slice, int64 number);
extern void idem_slice_bounds(Slice *slice, int64 number, Datum *lower, Datum *upper);

#endif							/* IDEM_SLICE_H */
