/*-------------------------------------------------------------------------
 *
 * arbitrary.c
 *	  Clauses that let the executor choose which rows there are.
 *
 * TABLESAMPLE, SKIP LOCKED, and LIMIT and DISTINCT ON without an order give
 * whatever rows come first, which changes with plans, vacuum and load.  They
 * pass where nothing depends on which rows they are: no row or all of them,
 * one row to begin with, a row of which only its existence is asked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "flow/arbitrary.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"

static bool
is_foreign(Oid funcid, void *context)
{
	return funcid >= FirstUnpinnedObjectId;
}

static bool
calls_foreign(Node *node, void *context)
{
	return node != NULL &&
		(check_functions_in_node(node, is_foreign, context) ||
		 expression_tree_walker(node, calls_foreign, context));
}

/*
 * A LIMIT or OFFSET: its value if that is known by now, "none" if it is absent
 * or NULL, else some number that takes rows away.  What is not built in is not
 * called to find out: we may be looking into another user's function, as that
 * user.
 */
static int64
limit_value(Node *expr, int64 none)
{
	Const	   *value;

	if (expr == NULL)
		return none;
	if (calls_foreign(expr, NULL))
		return 1;
	value = (Const *) eval_const_expressions(NULL, expr);
	if (!IsA(value, Const))
		return 1;
	return value->constisnull ? none : DatumGetInt64(value->constvalue);
}

/*
 * Does LIMIT or OFFSET leave it to the executor which rows there are?  Not
 * under an ORDER BY, not if all rows or none are left, and not if there is at
 * most one to begin with.
 */
static bool
limit_is_arbitrary(Query *query)
{
	int64		limit = limit_value(query->limitCount, PG_INT64_MAX);
	int64		offset = limit_value(query->limitOffset, 0);

	if (limit == 0 || (limit == PG_INT64_MAX && offset == 0))
		return false;
	if (query->sortClause != NIL)
		return false;
	if (query->setOperations == NULL && !query->hasTargetSRFs)
	{
		if (query->jointree->fromlist == NIL)
			return false;
		if ((query->hasAggs || query->havingQual != NULL) &&
			query->groupClause == NIL && query->groupingSets == NIL)
			return false;
	}
	return true;
}

/*
 * Does DISTINCT ON leave it to the executor which row of each group stays?
 * Not if ORDER BY goes on past the expressions of DISTINCT ON, nor if these
 * are all that is selected.
 */
static bool
distinct_on_is_arbitrary(Query *query)
{
	List	   *groups = NIL;
	ListCell   *lc;

	if (!query->hasDistinctOn)
		return false;

	foreach(lc, query->distinctClause)
		groups = lappend_int(groups, lfirst_node(SortGroupClause, lc)->tleSortGroupRef);

	foreach(lc, query->sortClause)
	{
		if (!list_member_int(groups, lfirst_node(SortGroupClause, lc)->tleSortGroupRef))
			return false;
	}

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk && !list_member_int(groups, tle->ressortgroupref))
			return true;
	}

	return false;
}

bool
idem_arbitrary_rows(Query *query, bool any_row_will_do, Culprit *culprit)
{
	ListCell   *lc;

	if (!any_row_will_do && limit_is_arbitrary(query))
		return idem_found(culprit,
						  query->limitCount ? "has LIMIT without ORDER BY" : "has OFFSET without ORDER BY",
						  "Add ORDER BY, on columns that leave no ties, where the LIMIT or OFFSET is.");

	if (!any_row_will_do && distinct_on_is_arbitrary(query))
		return idem_found(culprit, "has DISTINCT ON without an ORDER BY that chooses the row",
						  "Add ORDER BY with further columns after those of DISTINCT ON, leaving no ties.");

	foreach(lc, query->rowMarks)
	{
		if (lfirst_node(RowMarkClause, lc)->waitPolicy == LockWaitSkip)
			return idem_found(culprit, "has SKIP LOCKED",
							  "Read without SKIP LOCKED: which rows are locked changes from run to run.");
	}

	return false;
}

bool
idem_arbitrary_sample(RangeTblEntry *rte, Culprit *culprit)
{
	if (rte->tablesample == NULL)
		return false;
	return idem_found(culprit, "has TABLESAMPLE",
					  "Choose rows by their values, for example by a hash of the key: a sample depends on where rows are stored.");
}
