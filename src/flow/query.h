/*-------------------------------------------------------------------------
 *
 * query.h
 *	  A query that an import was given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_QUERY_H
#define IDEM_QUERY_H

#include "executor/spi.h"
#include "flow/scope.h"
#include "utils/plancache.h"

/*
 * Its text without the semicolon; 42601 with the hint unless it is one plain
 * SELECT.
 */
extern char *idem_query_select(const char *query, const char *argument, const char *hint);

/*
 * Parse and rewrite it, between sql_begin and sql_end, with the parameters of a
 * scope (NULL: it has none); what is wrong with it is the fault of an argument,
 * which the error's context names.
 */
extern CachedPlanSource *idem_query_analyze(const char *query, Scope *scope, const char *argument, SPIPlanPtr *plan);

/*
 * II002 unless it gives the same rows whenever the tables that it reads hold
 * the same; 0A000 if it locks rows.
 */
extern void idem_query_require_steady(CachedPlanSource *analyzed, const char *argument);

/* The names of its columns (List of String); 42701 where one stands for two. */
extern List *idem_query_columns(TupleDesc desc, const char *argument);

#endif							/* IDEM_QUERY_H */
