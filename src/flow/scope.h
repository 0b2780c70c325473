/*-------------------------------------------------------------------------
 *
 * scope.h
 *	  The part of a target that a unit owns.
 *
 * A scope is a pure function of the run's arguments and of the settings that
 * the import pins (TimeZone), never of the clock.  The caller has applied the
 * import's settings before it calls anything here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SCOPE_H
#define IDEM_SCOPE_H

#include "access/tupdesc.h"
#include "flow/scope_column.h"
#include "nodes/params.h"
#include "nodes/pg_list.h"

#define IDEM_WHOLE_TABLE "*"

typedef struct Scope
{
	int			ncolumns;		/* 0: every unit is the whole table, '*' */
	ScopeColumn *columns;
	struct Slice *slice;		/* see slice.h; NULL: a unit is one value of the columns */
	MemoryContext cxt;			/* holds the scope and its units */
} Scope;

typedef struct Unit
{
	char	   *name;			/* canonical text, the same however it was spelled */
	Datum	   *values;			/* ncolumns values; with slice: the lower bound */
	Datum		upper;			/* with slice: the bound that is no longer inside */
	int64		slice_number;	/* with slice: orders and identifies the unit */
} Unit;

/*
 * Bind scope columns (List of String, or NIL) and slice width (or NULL) to a
 * target's columns.  Lives in CurrentMemoryContext.
 */
extern Scope *idem_scope_open(TupleDesc target, List *columns, const char *slice);

/*
 * The unit that a row with these scope values belongs to; NULL if one of them
 * is NULL, so that no unit owns the row.
 */
extern Unit *idem_scope_unit_of(Scope *scope, const Datum *values, const bool *isnull);

/*
 * The unit of given values, one for each scope column, which are brought to
 * their canonical form in place; the unit of a slice.
 */
extern Unit *idem_unit_of_values(Scope *scope, Datum *values);
extern Unit *idem_unit_of_slice(Scope *scope, int64 number);

/* Does the unit own a row with these scope values? */
extern bool idem_unit_contains(Scope *scope, const Unit *unit, const Datum *values, const bool *isnull);

/*
 * Does one of the units own it?  They are what idem_scope_units gave; NIL:
 * whatever units there can be.
 */
extern bool idem_units_contain(Scope *scope, List *units, const Datum *values, const bool *isnull);

/* With slice: the number of the slice that holds a value of the scope column. */
extern int64 idem_scope_slice_number(Scope *scope, Datum value);

/*
 * SQL that is true for the rows of a unit, over the columns of "alias" and
 * parameters from $1 on: one a column, or lower and upper bound of a slice.
 * "true" for the whole table.
 */
extern char *idem_scope_predicate(Scope *scope, const char *alias);

/* Types and number of those parameters; at least $1 and $2 for a single column. */
extern int	idem_scope_param_types(Scope *scope, Oid *types);

/* Those parameters for a unit; unit NULL gives NULL values. */
extern ParamListInfo idem_unit_params(Scope *scope, const Unit *unit);

/* The logical bounds of a unit of one scope column, as text; NULLs otherwise. */
extern void idem_unit_bounds(Scope *scope, const Unit *unit, char **lower, char **upper);

/* in scope_text.c */

/*
 * The units that a caller's scope text names, in logical order.  NIL for NULL
 * text where the import has scope columns: the units are those in the source.
 */
extern List *idem_scope_units(Scope *scope, const char *text);

/*
 * The one text for these units of one scope column (List of Unit *), which lie
 * side by side: the unit's name, or a range.
 */
extern char *idem_units_name(Scope *scope, List *units);

#endif							/* IDEM_SCOPE_H */
