/*-------------------------------------------------------------------------
 *
 * backfill.c
 *	  The units from a first to a last one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "flow/backfill.h"
#include "flow/pin.h"
#include "flow/range.h"
#include "flow/scope.h"
#include "flow/target.h"
#include "utils/builtins.h"

static Unit *
one_unit(Scope *scope, const char *argument, const char *text)
{
	List	   *units = idem_scope_units(scope, text);

	if (list_length(units) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" names more than one unit: \"%s\"", argument, text)));
	return linitial(units);
}

/* [first,last] of values; of slices [lower bound of the first,upper bound of the last) */
static char *
range_text(Scope *scope, const Unit *first, const Unit *last)
{
	char	   *lower;
	char	   *upper;
	char	   *none;

	if (scope->slice == NULL)
		return psprintf("[%s,%s]", first->name, last->name);
	idem_unit_bounds(scope, first, &lower, &none);
	idem_unit_bounds(scope, last, &none, &upper);
	return idem_range_text(lower, upper);
}

List *
idem_backfill_units(const Definition *def, const char *first, const char *last)
{
	Target	   *target;
	List	   *names = NIL;
	ListCell   *lc;
	Pin			pin;

	if (list_length(def->scope) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("import \"%s\" has no units that come one after the other", def->name),
				 errdetail("A backfill needs an import with one scope column."),
				 errhint("Submit its units one by one with idem_import_submit.")));

	idem_pin(def, &pin);
	target = idem_target_open(def, AccessShareLock);
	foreach(lc, idem_scope_units(target->scope,
								 range_text(target->scope,
											one_unit(target->scope, "first", first),
											one_unit(target->scope, "last", last))))
		names = lappend(names, pstrdup(((Unit *) lfirst(lc))->name));
	idem_target_close(target);
	idem_unpin(&pin);
	return names;
}
