/*-------------------------------------------------------------------------
 *
 * bad_rows.h
 *	  Rows that could not be taken, each with the reason.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_BAD_ROWS_H
#define IDEM_BAD_ROWS_H

#include "access/tupdesc.h"
#include "utils/elog.h"
#include "utils/tuplestore.h"

/*
 * The columns of a row, named c1, c2, ...; then position, sqlstate, message,
 * column_name and constraint_name.
 */
typedef struct BadRows
{
	TupleDesc	desc;
	Tuplestorestate *rows;
	int64		nrows;
	char	   *not_unique;		/* the message of one that is not unique; NULL: all are */
	int64		most;			/* more than this many are not wanted; -1: any number */
} BadRows;

/* Made in CurrentMemoryContext, for rows with the first ncolumns columns of a descriptor. */
extern BadRows *idem_bad_rows_create(TupleDesc columns, int ncolumns, int64 most);
extern void idem_bad_rows_free(BadRows *bad);

/* Forget them. */
extern void idem_bad_rows_clear(BadRows *bad);

/*
 * Add a row.  position: its number in the source, 0 if unknown.  column: NULL,
 * or what could not be cast where the error does not say so.
 */
extern void idem_bad_rows_add(BadRows *bad, const Datum *values, const bool *isnull, int64 position,
							  const ErrorData *error, const char *column);

/* Are there more than anybody wants to see? */
static inline bool
idem_bad_rows_full(const BadRows *bad)
{
	return bad->most >= 0 && bad->nrows > bad->most;
}

#endif							/* IDEM_BAD_ROWS_H */
