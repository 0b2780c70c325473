/*-------------------------------------------------------------------------
 *
 * sql.h
 *	  One way to run SQL from C: every return code compared, every result
 *	  copied out, every switch of user undone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SQL_H
#define IDEM_SQL_H

#include "access/htup_details.h"
#include "lib/stringinfo.h"
#include "nodes/params.h"
#include "nodes/pg_list.h"
#include "tcop/dest.h"
#include "utils/tuplestore.h"

/* Text type, value and NULL together, for a parameter list. */
typedef struct SqlParam
{
	Oid			type;
	Datum		value;
	bool		isnull;
} SqlParam;

extern SqlParam sql_text(const char *value);	/* NULL pointer: NULL */
extern SqlParam sql_texts(List *strings);	/* List of String, as text[] */
extern SqlParam sql_int8(int64 value);
extern SqlParam sql_datum(Oid type, Datum value, bool isnull);
extern ParamListInfo sql_params(int n, const SqlParam *params);

/* The same with one more at the end; its number is params->numParams + 1. */
extern ParamListInfo sql_params_with(ParamListInfo params, SqlParam param);

/* An operator by its one name: OPERATOR(pg_catalog.<). */
extern char *sql_operator(Oid operator);

/* A connection to SPI; allocations made between the two go with it. */
extern void sql_begin(void);
extern void sql_end(void);

/*
 * Run one statement with a new snapshot; "expected" is its SPI_OK_ code.
 * Returns the rows processed.
 */
extern uint64 sql_execute(int expected, const char *query, ParamListInfo params);

/* Stream a SELECT's rows into dest; fresh: with a new snapshot, else the active one. */
extern void sql_stream(const char *query, ParamListInfo params, bool fresh, DestReceiver *dest);

/* The same for a statement that writes, with RETURNING; returns the rows processed. */
extern uint64 sql_stream_returning(int expected, const char *query, ParamListInfo params, DestReceiver *dest);

/*
 * The first row of a SELECT, copied into cxt with its descriptor; false if
 * there is none.
 */
typedef struct SqlRow
{
	TupleDesc	desc;
	HeapTuple	tuple;
} SqlRow;

extern bool sql_row(const char *query, ParamListInfo params, bool fresh, MemoryContext cxt, SqlRow *row);

/* The same of a statement that changes rows and returns them. */
extern bool sql_returning(int expected, const char *query, ParamListInfo params, MemoryContext cxt, SqlRow *row);

/* Columns of such a row by name, copied into CurrentMemoryContext. */
extern Datum sql_column(const SqlRow *row, const char *name, bool *isnull);
extern char *sql_column_text(const SqlRow *row, const char *name);	/* or NULL */
extern List *sql_column_texts(const SqlRow *row, const char *name); /* of String */
extern int64 sql_column_int8(const SqlRow *row, const char *name, int64 ifnull);
extern Oid	sql_column_oid(const SqlRow *row, const char *name);
extern bool sql_column_bool(const SqlRow *row, const char *name);

/*
 * What the planner makes of a SELECT: how many rows it expects, and which
 * tables it would read (List of Oid; of partitions those that may have rows).
 * Needs an active snapshot.
 */
extern double sql_expected_rows(const char *query, ParamListInfo params);
extern List *sql_planned_tables(const char *query, ParamListInfo params);

/* Make a tuplestore readable in FROM under a name, until it is forgotten. */
extern void sql_register(const char *name, TupleDesc desc, Tuplestorestate *store, double rows);
extern void sql_forget(const char *name);

/*
 * Rows that every connection made by sql_begin can read under a name, until
 * other ones are shared, or none (NULL).  Returns what was shared before.
 */
typedef struct SqlShared
{
	const char *name;
	TupleDesc	desc;
	Tuplestorestate *store;
	double		rows;
} SqlShared;

extern const SqlShared *sql_share(const SqlShared *relation);

/*
 * Our own tables are written as the extension's owner, with a pinned
 * search_path; user code never runs in between.  "house" is the quoted
 * schema that the extension lives in, with the dot.
 */
typedef struct House
{
	char		schema[NAMEDATALEN * 2 + 4];
	Oid			schema_oid;
	Oid			owner;
	int			guc_level;
	Oid			saved_user;
	int			saved_context;
} House;

extern void sql_house_enter(House *house);	/* includes sql_begin */
extern void sql_house_leave(House *house);	/* includes sql_end */
extern void sql_house_find(House *house);	/* only schema and owner; 42704 if there is none */

#endif							/* IDEM_SQL_H */
