/*-------------------------------------------------------------------------
 *
 * range.h
 *	  The ordered types that scopes are cut from, and literals of their ranges.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RANGE_H
#define IDEM_RANGE_H

/* Is it a place on the type's line: neither infinity nor NaN? */
extern bool idem_value_is_finite(Oid type, Datum value);

/*
 * Discrete types, whose values can be counted: date and the integers.  A value
 * that the type cannot hold is an error.
 */
extern bool idem_type_is_discrete(Oid type);
extern int64 idem_discrete_number(Oid type, Datum value);
extern Datum idem_discrete_value(Oid type, int64 number);

/* Raise that a bound is beyond what the type can hold. */
extern void idem_raise_out_of_range(Oid type);

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

#endif							/* IDEM_RANGE_H */
