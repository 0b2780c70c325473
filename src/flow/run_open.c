/*-------------------------------------------------------------------------
 *
 * run_open.c
 *	  What a run locks and opens before it reads.
 *
 * First the import, shared; then the units that the call names, in their order;
 * then the checkpoint; then the target.  Units that are only found in the source
 * are locked when they are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "flow/engine.h"
#include "flow/pin.h"
#include "flow/run_unit.h"
#include "flow/tracking.h"
#include "ledger/ledger.h"
#include "nodes/value.h"

bool
idem_run_is_tracked(const Run *run)
{
	return run->def->track != TRACK_NONE && run->request->scope == NULL && !OidIsValid(run->request->source) &&
		run->request->file == NULL && run->request->verify == NULL;
}

static void
lock_units(Run *run, List *units)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, units)
		names = lappend(names, makeString(((Unit *) lfirst(lc))->name));
	idem_lock_units(run->def->name, names);
}

List *
idem_run_parse_scope(Run *run)
{
	const char *text = run->request->scope;
	List	   *units;

	run->record->import = NULL;
	units = idem_scope_units(run->target->scope, text);
	if (list_length(units) == 1)
		idem_run_begin_unit(run, linitial(units), ((Unit *) linitial(units))->name);
	else
		idem_run_begin_unit(run, NULL, text != NULL ? text : IDEM_WHOLE_TABLE);
	return units;
}

/*
 * Open the target, the units that the call names locked before.  Whoever waits
 * for another run, or to write where that one gives the table new storage,
 * must hold no lock on the table that the exchange would wait for.
 */
static void
open_locked(Run *run)
{
	LOCKMODE	lockmode = AccessShareLock;
	List	   *units;

	run->target = idem_target_open(run->def, AccessShareLock);
	if (run->request->plan)
		return;
	if (idem_target_run_lock(run->target) == RowExclusiveLock)
		lockmode = RowExclusiveLock;
	units = idem_run_parse_scope(run);
	idem_target_release(run->target, AccessShareLock);
	lock_units(run, units);
	if (idem_run_is_tracked(run))
		idem_lock_checkpoint(run->def->name);
	run->target = idem_target_open(run->def, lockmode);
}

void
idem_run_open_target(Run *run)
{
	open_locked(run);
	run->target->obstacle = idem_engine_obstacle(run->target);

	if (run->def->mode == MODE_OVERWRITE)
		idem_target_require_deterministic(run->target);

	/* where no index guards the key, other writers must not */
	if (!run->request->plan && idem_target_run_lock(run->target) != RowExclusiveLock)
	{
		/* a snapshot from before the lock would not see what others wrote until then */
		if (IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("import \"%s\" can only run at isolation level READ COMMITTED", run->def->name),
					 errdetail("No unique index guards the key of its target.")));
		idem_target_lock(run->target, idem_target_run_lock(run->target));
	}
}

char *
idem_run_unit_name(const Definition *def, char *text)
{
	Target	   *target;
	char	   *name;
	Pin			pin;

	idem_pin(def, &pin);
	target = idem_target_open(def, AccessShareLock);
	name = idem_units_name(target->scope, idem_scope_units(target->scope, text));
	idem_target_close(target);
	idem_unpin(&pin);
	return name;
}

void
idem_run_rewind(const char *import, const char *checkpoint)
{
	Definition *def;
	Target	   *target;
	Pin			pin;

	(void) idem_definition_get(import);
	idem_lock_import(import, RowExclusiveLock);
	def = idem_definition_get(import);
	idem_lock_checkpoint(import);

	idem_pin(def, &pin);
	target = idem_target_open(def, AccessShareLock);
	idem_tracking_rewind(def, idem_source_open(def, target, InvalidOid), checkpoint);
	idem_target_close(target);
	idem_unpin(&pin);
}
