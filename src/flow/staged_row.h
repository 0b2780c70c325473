/*-------------------------------------------------------------------------
 *
 * staged_row.h
 *	  What a staged row says of itself, and whether two of them are alike.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_STAGED_ROW_H
#define IDEM_STAGED_ROW_H

#include "executor/tuptable.h"
#include "flow/source.h"

/* Imported columns, by their places, as text: (a, b)=(1, null) */
extern char *idem_staged_describe(const Target *target, int n, const int *places,
								  const Datum *values, const bool *isnull);

/* The key has a NULL that equals nothing, or the cursor column is NULL. */
extern bool idem_staged_null_key(const Source *source, const bool *isnull);

/* Have two rows, deformed, the same key? */
extern bool idem_staged_same_key(const Target *target, const TupleTableSlot *a, const TupleTableSlot *b);

/* Do they look the same, in all that is imported and in the delete flag? */
extern bool idem_staged_same_image(const Source *source, const TupleTableSlot *a, const TupleTableSlot *b);

/* Does the declared order leave open which of them comes first? */
extern bool idem_staged_same_order(const Source *source, const TupleTableSlot *a, const TupleTableSlot *b);

/* Raise II003: nothing tells this row and another one of its key apart. */
extern void idem_staged_refuse_tie(const Source *source, const char *import, const TupleTableSlot *row);

#endif							/* IDEM_STAGED_ROW_H */
