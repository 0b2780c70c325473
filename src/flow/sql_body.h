/*-------------------------------------------------------------------------
 *
 * sql_body.h
 *	  Looks into the bodies of functions written in SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SQL_BODY_H
#define IDEM_SQL_BODY_H

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "nodes/nodes.h"

/* What to call for the trees in a body; true ends the walk. */
typedef struct SqlBodyWalk
{
	bool		(*raw) (Node *select, void *context);	/* of bodies kept as text */
	bool		(*analyzed) (Node *queries, const char *text, void *context);	/* rewritten */
	void	   *context;
} SqlBodyWalk;

/*
 * Can a SQL function's body be parsed knowing no more than this call (NULL:
 * the function is not called from an expression)?  Says also whether it could
 * mean something else in another call.
 */
extern bool idem_sql_body_known(Form_pg_proc form, Node *call, bool *polymorphic);

/*
 * Walk the statements of a SQL function's body, as its owner and under its
 * settings where it has them.  Returns whether the walk was ended.
 */
extern bool idem_sql_body_walk(HeapTuple proc, Node *call, const SqlBodyWalk *walk);

#endif							/* IDEM_SQL_BODY_H */
