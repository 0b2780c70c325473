/*-------------------------------------------------------------------------
 *
 * slice.h
 *	  Arithmetic of the ordered types that can be cut into units.
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

/* Is it a place on the type's line: neither infinity nor NaN? */
extern bool idem_value_is_finite(Oid type, Datum value);

/*
 * Discrete types, whose values can be counted: date and the integers.  A value
 * that the type cannot hold is an error.
 */
extern bool idem_type_is_discrete(Oid type);
extern int64 idem_discrete_number(Oid type, Datum value);
extern Datum idem_discrete_value(Oid type, int64 number);

/* A range literal, taken apart. */
typedef struct RangeText
{
	char	   *lower;
	char	   *upper;
	bool		lower_inclusive;
	bool		upper_inclusive;
} RangeText;

/* Do values of the type never look like range literals? */
extern bool idem_type_has_ranges(Oid type);

/* Take a literal apart; false if the text is not meant as one. */
extern bool idem_range_parse(const char *text, RangeText *range);

/* [lower,upper) of two values' text, quoted as range types do. */
extern char *idem_range_text(const char *lower, const char *upper);

#endif							/* IDEM_SLICE_H */
