/*-------------------------------------------------------------------------
 *
 * query.c
 *	  A query that an import was given.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flow/determinism.h"
#include "flow/query.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"

char *
idem_query_select(const char *query, const char *argument, const char *hint)
{
	List	   *statements = raw_parser(query, RAW_PARSE_DEFAULT);
	RawStmt    *raw;

	if (list_length(statements) != 1 ||
		!IsA(linitial_node(RawStmt, statements)->stmt, SelectStmt) ||
		castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt)->intoClause != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s is not a single SELECT", argument),
				 errhint("%s", hint)));

	raw = linitial_node(RawStmt, statements);
	return raw->stmt_len > 0 ? pnstrdup(query + raw->stmt_location, raw->stmt_len) :
		pstrdup(query + raw->stmt_location);
}

static void
argument_context(void *arg)
{
	errcontext("argument \"%s\"", (const char *) arg);
}

CachedPlanSource *
idem_query_analyze(const char *query, Scope *scope, const char *argument, SPIPlanPtr *plan)
{
	Oid		   *types = palloc(sizeof(Oid) * Max(scope != NULL ? scope->ncolumns : 0, 2));
	int			ntypes = scope != NULL ? idem_scope_param_types(scope, types) : 0;
	ErrorContextCallback callback;

	callback.callback = argument_context;
	callback.arg = unconstify(char *, argument);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	*plan = SPI_prepare(query, ntypes, types);
	error_context_stack = callback.previous;

	if (*plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	return (CachedPlanSource *) linitial(SPI_plan_get_plan_sources(*plan));
}

static bool
locks_rows_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return castNode(Query, node)->rowMarks != NIL ||
			query_tree_walker(castNode(Query, node), locks_rows_walker, context, 0);
	return expression_tree_walker(node, locks_rows_walker, context);
}

void
idem_query_require_steady(CachedPlanSource *analyzed, const char *argument)
{
	idem_require_deterministic(analyzed->query_list, analyzed->query_string, argument);
	if (locks_rows_walker((Node *) analyzed->query_list, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s must not lock rows", argument),
				 errhint("Leave out FOR UPDATE or FOR SHARE: a run reads under a snapshot.")));
}

List *
idem_query_columns(TupleDesc desc, const char *argument)
{
	List	   *names = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		char	   *name = NameStr(TupleDescAttr(desc, i)->attname);
		ListCell   *lc;

		foreach(lc, names)
		{
			if (strcmp(strVal(lfirst(lc)), name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("%s has two columns named \"%s\"", argument, name)));
		}
		names = lappend(names, makeString(pstrdup(name)));
	}
	return names;
}
