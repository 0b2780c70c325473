/*-------------------------------------------------------------------------
 *
 * scope_column.h
 *	  A column that a scope is made of: its type, its values and their text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SCOPE_COLUMN_H
#define IDEM_SCOPE_COLUMN_H

#include "access/tupdesc.h"
#include "fmgr.h"

typedef struct ScopeColumn
{
	char	   *name;
	AttrNumber	attnum;			/* in the target */
	Oid			type;			/* as declared, may be a domain */
	Oid			basetype;
	int32		typmod;
	Oid			collation;
	int16		typlen;
	bool		typbyval;
	Oid			eq_opr;			/* of the type's default btree class */
	Oid			lt_opr;
	Oid			ge_opr;
	FmgrInfo	cmp;			/* btree comparison */
} ScopeColumn;

/*
 * Bind to a target's column.  Raises an error if the target has none of that
 * name, or if its values cannot name units.
 */
extern void idem_scope_column_bind(ScopeColumn *column, TupleDesc target, const char *name);

extern int	idem_scope_column_compare(ScopeColumn *column, Datum a, Datum b);

/* The one form of a value among those that are equal to it. */
extern Datum idem_scope_column_canonical(const ScopeColumn *column, Datum value);

/* The text of a value, the only one if the value is in that form. */
extern char *idem_scope_column_text(const ScopeColumn *column, Datum value);

/*
 * A value as a row would get it: with the column's typmod, and the checks of
 * its domain.
 */
extern Datum idem_scope_column_value(const ScopeColumn *column, const char *text);

/*
 * A bound of a range, which no row needs to have: '[1,100)' may be every value
 * of a domain that ends at 99, or of numeric(2,0).
 */
extern Datum idem_scope_column_bound(const ScopeColumn *column, const char *text);

#endif							/* IDEM_SCOPE_COLUMN_H */
