/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  Receipts held against source and target.
 *
 * A verification goes the way of a run that only plans (run.c), under one
 * snapshot: receipts, source and target are of one moment, so that a run that
 * commits meanwhile is seen as a whole or not at all.  It takes no lock that a
 * run would wait for, and none that a standby refuses.
 *
 * What a state says is decided by what a run would write now.  A unit where
 * it would write nothing is in sync, whatever has changed in rows of the source
 * that lose, or in columns that are ignored or kept.  But a target that
 * somebody has changed is never called so, even where a run would leave it
 * alone, as it does with rows of others.  Where a run would write something, the
 * receipt tells who moved:
 *
 *	  receipt				source		target		rows	state
 *	  ----------------------------------------------------------------
 *	  believed				as then		as then		(not looked at)	in_sync
 *	  believed				as then		changed		same	drifted
 *	  any, or none			any			any			same	in_sync
 *	  none, never applied	any			any			differ	missing
 *	  believed				as then		changed		differ	drifted
 *	  believed				changed		as then		differ	stale
 *	  believed				changed		changed		differ	stale, says both
 *	  of another definition	any			any			differ	stale, says so
 *	  not believed			as then		any			differ	drifted
 *	  not believed			changed		any			differ	stale
 *
 * A receipt is not believed where a run could not vouch for the target: it did
 * not sum it, or others wrote it at the same time.  Its sum of the source is
 * good all the same.  A run that reads only what is new leaves such a receipt,
 * too, of what it read; there the source counts as it was if nothing in it is
 * new, since who changed the rest can't be told.  A verification reads all of it.
 *
 * "Differ" are the rows that the run would insert, update, delete or remove.
 * Rows that it would set aside count nowhere: not as rows of the source, and
 * there can't be too many of them.  Rows that the target refused do differ: a
 * run would try them again.  A unit of the ledger that the definition
 * does not have any more, since it has other scope columns now or another
 * slice, is left out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/attempt.h"
#include "flow/verify.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* What is known of a unit before its rows are looked at. */
typedef struct Facts
{
	bool		applied;		/* some run has */
	bool		other_definition;	/* with another one than today's */
	bool		believed;
	bool		source_same;	/* as the receipt says */
	bool		target_same;	/* likewise, if it is believed */
	bool		source_gone;	/* it had rows, and has none */
	bool		below;			/* the receipt is of new rows only, and there are none now */
} Facts;

void
idem_verify_relax(Definition *def)
{
	if (def->out_of_scope == OUT_OF_SCOPE_ERROR)
		def->out_of_scope = OUT_OF_SCOPE_IGNORE;
	def->reject_limit = NO_LIMIT;
}

/* Keep a finding: copied, but for texts that are constants. */
static void
add_unit(Verification *verify, const char *import, const char *unit, const VerifiedUnit *found, const char *detail)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(verify->cxt);
	VerifiedUnit *copy = palloc(sizeof(VerifiedUnit));

	*copy = *found;
	copy->import = pstrdup(import);
	copy->unit = pstrdup(unit);
	copy->detail = detail != NULL ? pstrdup(detail) : NULL;
	if (found->keys != NULL)
		copy->keys = DatumGetJsonbPCopy(JsonbPGetDatum(found->keys));
	verify->units = lappend(verify->units, copy);
	MemoryContextSwitchTo(oldcxt);
}

/* A unit that its receipt vouches for. */
static void
add_unchanged(Run *run, const Unit *unit, int64 source_rows, int64 target_rows)
{
	VerifiedUnit found = {.state = "in_sync", .source_rows = source_rows, .target_rows = target_rows};

	found.keys = idem_verify_no_keys(run->target);
	add_unit(run->request->verify, run->def->name, unit->name, &found, NULL);
}

static bool
is_believed(const Run *run, const Receipt *receipt)
{
	return receipt->version == run->def->version;
}

static Fingerprint
compared_target(const Comparison *comparison)
{
	Fingerprint target = {comparison->target->rows, comparison->target->sum};

	return target;
}

bool
idem_verify_compared(Run *run, const Unit *unit, const Receipt *receipt, const Comparison *comparison)
{
	Fingerprint target;

	if (comparison->source == NULL || comparison->target == NULL || !is_believed(run, receipt))
		return false;
	target = compared_target(comparison);
	if (!idem_fingerprint_equal(&receipt->source, &comparison->read) ||
		!idem_fingerprint_equal(&receipt->target, &target))
		return false;
	add_unchanged(run, unit, comparison->read.rows - receipt->rejected, target.rows);
	return true;
}

/*
 * Has the target changed in a way that is nobody's business but a run's?  Where
 * columns are ignored or kept, their sum says nothing.
 */
static bool
was_changed(const Run *run, const Facts *facts, const Receipt *receipt, const Fingerprint *target)
{
	return facts->believed && !facts->target_same &&
		(receipt->target.rows != target->rows ||
		 (run->def->ignore_columns == NIL && run->def->keep_columns == NIL));
}

/*
 * A run over several units does not ascribe rows outside of them to any, one
 * over a single unit does: the receipt may be of either.
 */
static Facts
find_facts(const Run *run, const StagedUnit *staged, const Receipt *receipt, const Fingerprint *target)
{
	int			version = receipt->version != 0 ? receipt->version : receipt->last_version;
	Facts		facts = {0};

	facts.applied = receipt->run_id != 0;
	facts.other_definition = version != run->def->version;
	facts.believed = is_believed(run, receipt);
	facts.source_same = idem_fingerprint_equal(&receipt->source, &staged->read) ||
		idem_fingerprint_equal(&receipt->source, &staged->inside);
	if (run->def->track != TRACK_NONE && !facts.believed)
		facts.source_same = facts.below = !run->increment->behind;
	facts.target_same = facts.believed && idem_fingerprint_equal(&receipt->target, target);
	facts.source_gone = staged->inside.rows == 0 && receipt->source.rows > 0;
	return facts;
}

/* Of a unit that differs. */
static const char *
state_of(const Facts *facts)
{
	if (!facts->applied)
		return "missing";
	return facts->source_same && !facts->other_definition ? "drifted" : "stale";
}

/* What has changed since the last run; NULL: nothing that is known. */
static const char *
what_changed(const Facts *facts, bool differs)
{
	bool		target_changed = facts->believed && !facts->target_same;

	if (!facts->applied)
		return "the unit was never applied";
	if (facts->other_definition)
		return "the definition has changed since the last run";
	if (facts->below && differs)
		return "rows have changed below the checkpoint, in the target or in the source";
	if (facts->source_same)
		return target_changed || differs ? "the target has changed since the last run" : NULL;
	if (facts->source_gone)
		return target_changed ? "the source has no row of the unit any more, and the target has changed" :
			"the source has no row of the unit any more";
	return target_changed ? "source and target have changed since the last run" :
		"the source has changed since the last run";
}

void
idem_verify_unit(Run *run, Stage *stage, const StagedUnit *staged, const Receipt *receipt,
				 const Comparison *comparison)
{
	VerifiedUnit found = {0};
	Fingerprint target;
	Facts		facts;
	const char *detail;

	/* set aside */
	if (staged->unit == NULL)
		return;

	target = comparison != NULL && comparison->target != NULL ? compared_target(comparison) :
		idem_fingerprint_target(run->target, staged->unit, false);
	facts = find_facts(run, staged, receipt, &target);
	found.source_rows = staged->read.rows - staged->null_keys - staged->outside - staged->uncast;
	found.target_rows = target.rows;
	if (facts.source_same && facts.target_same)
	{
		add_unchanged(run, staged->unit, found.source_rows, found.target_rows);
		return;
	}

	found.differing = idem_verify_rows(run, stage, staged, comparison, &target, &found.keys);
	if (found.differing > 0)
		found.state = state_of(&facts);
	else
		found.state = facts.source_same && was_changed(run, &facts, receipt, &target) ? "drifted" : "in_sync";
	detail = what_changed(&facts, found.differing > 0);
	if (detail != NULL && found.differing == 0)
		detail = psprintf("%s, but there is nothing to write", detail);
	add_unit(run->request->verify, run->def->name, staged->unit->name, &found, detail);
}

/* Is it not about what was tried, but for the session or its transaction to deal with? */
static bool
ends_the_call(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_TRANSACTION_ROLLBACK;
}

/* A subtransaction needs no transaction ID as long as nothing is written. */
static ErrorData *
attempt(void (*work) (void *), void *arg)
{
	ErrorData  *error = idem_attempt_any(work, arg);

	if (error != NULL && ends_the_call(error))
		ReThrowError(error);
	return error;
}

typedef struct NamedUnits
{
	Scope	   *scope;
	const char *name;
	List	   *units;
} NamedUnits;

static void
find_named(void *arg)
{
	NamedUnits *named = arg;

	named->units = idem_scope_units(named->scope, named->name);
}

/*
 * The unit of that name, NULL if the import has none.  Names of an older
 * definition may be anything, and reading them raises what a caller's mistake
 * would.
 */
static Unit *
unit_of_name(Run *run, const char *name)
{
	NamedUnits	named = {run->target->scope, name};

	if (attempt(find_named, &named) != NULL || list_length(named.units) != 1 ||
		strcmp(((Unit *) linitial(named.units))->name, name) != 0)
		return NULL;
	return linitial(named.units);
}

List *
idem_verify_applied_units(Run *run)
{
	List	   *seen = NIL;
	List	   *units = NIL;
	ListCell   *lc;

	foreach(lc, run->request->verify->units)
		seen = lappend(seen, makeString(unconstify(char *, ((VerifiedUnit *) lfirst(lc))->unit)));
	foreach(lc, idem_ledger_applied_units(run->def->name, seen, false))
	{
		Unit	   *unit = unit_of_name(run, strVal(lfirst(lc)));

		CHECK_FOR_INTERRUPTS();
		if (unit != NULL)
			units = lappend(units, unit);
	}
	return units;
}

void
idem_verify_absent(Run *run, Stage *stage)
{
	ListCell   *lc;

	foreach(lc, idem_verify_applied_units(run))
	{
		StagedUnit	staged = {lfirst(lc)};
		MemoryContext unit_cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import unit", ALLOCSET_DEFAULT_SIZES);
		MemoryContext oldcxt = MemoryContextSwitchTo(unit_cxt);
		Receipt		receipt;

		CHECK_FOR_INTERRUPTS();
		idem_run_begin_unit(run, staged.unit, staged.unit->name);
		idem_ledger_receipt(run->def->name, staged.unit->name, false, &receipt);
		staged.rows = tuplestore_begin_heap(true, false, work_mem);
		idem_verify_unit(run, stage, &staged, &receipt, NULL);
		idem_stage_free_unit(&staged);
		MemoryContextSwitchTo(oldcxt);
		MemoryContextDelete(unit_cxt);
	}
}

typedef struct ImportToVerify
{
	const char *import;
	const char *scope;
	Verification verify;
} ImportToVerify;

static void
verify_import(void *arg)
{
	ImportToVerify *work = arg;
	RunRequest	request = {.import = work->import, .scope = work->scope, .plan = true, .verify = &work->verify};
	RunRecord	current = {0};
	RunTrace	trace = {0};

	trace.cxt = work->verify.cxt;
	trace.current = &current;
	trace.rejects = tuplestore_begin_heap(true, false, work_mem);
	idem_run(&request, &trace);
	tuplestore_end(trace.rejects);
}

/* What is wrong with one import does not hide the others. */
static List *
try_import(const char *import)
{
	ImportToVerify work = {import, NULL, {CurrentMemoryContext}};
	VerifiedUnit broken = {.state = "missing", .source_rows = -1, .target_rows = -1, .differing = -1};
	ErrorData  *error = attempt(verify_import, &work);

	if (error == NULL)
		return work.verify.units;
	work.verify.units = NIL;
	add_unit(&work.verify, import, IDEM_WHOLE_TABLE, &broken, error->message);
	return work.verify.units;
}

List *
idem_verify(const char *import, const char *scope)
{
	List	   *units = NIL;
	ListCell   *lc;

	if (import != NULL)
	{
		ImportToVerify work = {import, scope, {CurrentMemoryContext}};

		verify_import(&work);
		return work.verify.units;
	}
	if (scope != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a scope needs an import"),
				 errhint("Name the import whose units it means, or leave out the scope.")));

	foreach(lc, idem_definition_names(GetUserId()))
	{
		CHECK_FOR_INTERRUPTS();
		units = list_concat(units, try_import(strVal(lfirst(lc))));
	}
	return units;
}
