/*-------------------------------------------------------------------------
 *
 * stretch.h
 *	  The rows of a source between two values of columns that order it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_STRETCH_H
#define IDEM_STRETCH_H

#include "flow/source.h"

typedef struct StretchColumn
{
	char	   *expression;		/* over s */
	Oid			type;
	Oid			lt_opr;			/* its <, from which the other operators follow */
	Oid			collation;
} StretchColumn;

typedef struct Stretch
{
	int			ncolumns;
	StretchColumn *columns;
	Datum	   *lower;			/* values of a row; NULL: from the start */
	bool		inclusive;		/* rows with just these as well */
	Datum	   *upper;			/* of the last row; NULL: to the end */
	bool		nulls;			/* rows with a NULL among the columns, too */
} Stretch;

/* Over the cursor column, and over the key, as the target compares it. */
extern Stretch *idem_stretch_of_cursor(const Source *source);
extern Stretch *idem_stretch_of_key(const Source *source);

/*
 * Let a stretch end at its row of that number, or at the last row (rows
 * NO_LIMIT, or more than there are), by setting its upper values; NULL if it
 * has no row.  Reads under the active snapshot, within the source's bounds and
 * the unit (NULL: any).
 */
extern void idem_stretch_end(Source *source, const Unit *unit, Stretch *stretch, int64 rows);

/* Are there rows after its end? */
extern bool idem_stretch_is_followed(Source *source, const Unit *unit, const Stretch *stretch);

/* Read only the stretch from now on. */
extern void idem_stretch_bind(Source *source, const Stretch *stretch);

/* Is one value of its first column before another? */
extern bool idem_stretch_before(const Stretch *stretch, Datum a, Datum b);

#endif							/* IDEM_STRETCH_H */
