/*-------------------------------------------------------------------------
 *
 * source_cast.c
 *	  The casts that make a value as read one of the target's type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/error.h"
#include "catalog/pg_proc.h"
#include "flow/source_cast.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

Node *
idem_source_cast(const char *name, Form_pg_attribute from, int place, Oid type, int32 typmod)
{
	Node	   *var = (Node *) makeVar(1, place + 1, from->atttypid, from->atttypmod, from->attcollation, 0);
	Node	   *result;
	Oid			basetype = getBaseType(type);

	result = coerce_to_target_type(NULL, var, from->atttypid, type, typmod,
								   COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (result == NULL && TypeCategory(getBaseType(from->atttypid)) == TYPCATEGORY_STRING)
	{
		result = coerce_to_target_type(NULL, var, from->atttypid, basetype, -1,
									   COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
		if (result != NULL)
			result = coerce_to_target_type(NULL, result, basetype, type, typmod,
										   COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	}
	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" is of type %s but the source's is of type %s", name,
						format_type_be(type), format_type_be(from->atttypid)),
				 errhint("Cast it in the source.")));
	if (contain_volatile_functions(result))
		ereport(ERROR,
				(errcode(ERRCODE_IDEM_NOT_DETERMINISTIC),
				 errmsg("source is not deterministic: the cast of column \"%s\" from %s to %s is volatile",
						name, format_type_be(from->atttypid), format_type_be(type))));
	return IsA(result, Var) ? NULL : (Node *) expression_planner((Expr *) result);
}

static bool
is_parallel_unsafe(Oid function, void *context)
{
	return func_parallel(function) != PROPARALLEL_SAFE;
}

/* The planner, who may choose a parallel plan, does not know of our casts. */
static bool
parallel_unsafe_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_parallel_unsafe, context))
		return true;
	return expression_tree_walker(node, parallel_unsafe_walker, context);
}

bool
idem_source_cast_is_serial(Node *cast)
{
	return parallel_unsafe_walker(cast, NULL);
}
