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

static void
raise_unordered(const Definition *def, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("import \"%s\" has no units that come one after the other", def->name),
			 errdetail("%s", detail),
			 errhint("Submit its units one by one with idem_import_submit.")));
}

List *
idem_backfill_units(const Definition *def, const char *first, const char *last)
{
	Target	   *target;
	List	   *ends;
	List	   *names = NIL;
	ListCell   *lc;
	Pin			pin;

	if (list_length(def->scope) != 1)
		raise_unordered(def, "A backfill needs an import with one scope column.");

	idem_pin(def, &pin);
	target = idem_target_open(def, AccessShareLock);
	if (target->scope->slice == NULL && !idem_type_is_discrete(target->scope->columns[0].basetype))
		raise_unordered(def, "A backfill needs a scope column that can be counted through: a date, an integer, or one with a slice.");
	ends = list_make2(one_unit(target->scope, "first", first), one_unit(target->scope, "last", last));
	foreach(lc, idem_scope_units(target->scope, idem_units_name(target->scope, ends)))
		names = lappend(names, pstrdup(((Unit *) lfirst(lc))->name));
	idem_target_close(target);
	idem_unpin(&pin);
	return names;
}
