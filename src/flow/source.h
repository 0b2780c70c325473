/*-------------------------------------------------------------------------
 *
 * source.h
 *	  What an import reads: a relation or a SELECT, row by row in the target's
 *	  types.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SOURCE_H
#define IDEM_SOURCE_H

#include "base/hash.h"
#include "base/sql.h"
#include "flow/line_reject.h"
#include "flow/target.h"
#include "ledger/ledger.h"

typedef struct OrderColumn
{
	Oid			sort_opr;
	bool		nulls_first;
	Oid			collation;
	FmgrInfo	eq;
} OrderColumn;

/*
 * A staged row has the imported columns (c1 ...), then the delete flag
 * ("gone"), then the values that order rows of one key (o1 ...), then the
 * cursor column ("mark").
 */
typedef struct Source
{
	Target	   *target;
	char	   *columns;		/* of a row as read, as SQL, */
	char	   *from;			/* and where from, within bounds */
	char	   *whole;			/* the same without */
	char	   *relation;		/* if it is a table: as SQL */
	char	   *bounds;			/* true for the rows that this run reads; NULL: all */
	ParamListInfo params;		/* of those bounds, after the unit's */
	char	   *within;			/* true for rows inside a unit; NULL: only a cast row can tell */
	bool		by_unit;		/* it uses the parameters: each unit is read on its own */
	TupleDesc	desc;			/* of a staged row */
	int			gone;			/* place of the delete flag, or -1 */
	int			norder;
	int			first_order;	/* place of the first order column */
	OrderColumn *order;
	int			mark;			/* place of the cursor column, or -1 */
	const char *cursor_name;
	char	   *cursor;			/* as what it is compared, over s */
	Oid			cursor_type;
	Oid			cursor_collation;
	TupleDesc	raw;			/* of a row as read */
	Node	  **coercions;		/* from raw to staged; NULL: taken as it is */
	bool	   *dates;			/* text that is read as a date or time */
	bool		serial;			/* one of them must not run in parallel mode */
	bool		has_uncast;		/* a read of it has met rows that can't be cast */
	const LineRejects *lines;	/* what could not even be read; NULL: nothing */
} Source;

/* Called for each row; values are good until it returns: whether to go on. */
typedef bool (*SourceSink) (void *arg, Datum *values, bool *isnull);

/* A row that can't be cast */
typedef struct UncastRow
{
	const Datum *raw;			/* as read */
	const bool *raw_isnull;
	const Datum *values;		/* as staged, */
	const bool *isnull;
	const bool *failed;			/* but for these columns, which are NULL */
	int64		position;		/* its number in the source */
	const char *column;			/* the first that failed */
	const ErrorData *error;		/* and why */
} UncastRow;

/* Called for each of them, likewise. */
typedef bool (*BadRowSink) (void *arg, const UncastRow *row);

/*
 * The names of the columns that a source has now (List of String).  Raises what
 * PostgreSQL raises for a source that can't be read, 42701 if two columns have
 * one name, II002 if it is not deterministic.
 */
extern List *idem_source_columns(const Definition *def, Oid instead, Scope *scope);

/*
 * The columns that rows instead of the source's must have to be read like
 * them: names and types of the definition's own source, without generated
 * ones.
 */
extern TupleDesc idem_source_shape(const Definition *def, Scope *scope);

/*
 * Open the definition's source, or another relation instead of it.  Raises
 * II006 if its columns are not the recorded ones.
 */
extern Source *idem_source_open(const Definition *def, Target *target, Oid instead);

/* in source_query.c */

/*
 * The source within its bounds as SQL: SELECT <columns>, <extra> FROM ...
 * WHERE <where>; the last two may be NULL.  Its parameters are those of
 * idem_source_params.
 */
extern char *idem_source_query(const Source *source, const char *extra, const char *where);

/* The same with columns of one's own: SELECT <columns> FROM ... WHERE <where>. */
extern char *idem_source_select(const Source *source, const char *columns, const char *where);

/* The unit's parameters (NULL: none), then those of the bounds. */
extern ParamListInfo idem_source_params(const Source *source, const Unit *unit);

/*
 * A type as SQL spells it in a cast.  Without a typmod it limits nothing, as
 * "character", which is one character, would.
 */
extern char *idem_source_type(Oid type, int32 typmod);

/* "c1, c2, gone, o1": the columns of a staged row. */
extern char *idem_source_names(const Source *source);

/* Are rows as read, or one of their columns, staged ones already, without a cast? */
extern bool idem_source_as_it_is(const Source *source);
extern bool idem_source_column_as_it_is(const Source *source, int column);

/*
 * Read only part of the source from now on: rows for which all these
 * conditions over s hold; a parameter of a condition, by its number; rows that
 * a snapshot (as idem_snapshot_text gives it) may not have seen.  Or all of it
 * again.
 */
extern void idem_source_bind(Source *source, const char *condition);
extern int	idem_source_param(Source *source, SqlParam param);
extern void idem_source_bind_unseen(Source *source, const char *snapshot);
extern void idem_source_unbind(Source *source);

/* in source_read.c */

/*
 * Read the source under the active snapshot; unit NULL: without parameters.
 * "within": leave out what lies outside the unit, if the source can tell.
 * "differing" (or NULL): leave out rows whose key is in no such bucket,
 * likewise.  Rows that can't be cast go to bad_sink.
 */
extern void idem_source_read(Source *source, const Unit *unit, bool within, const bytea *differing,
							 SourceSink sink, BadRowSink bad_sink, void *arg);

#endif							/* IDEM_SOURCE_H */
