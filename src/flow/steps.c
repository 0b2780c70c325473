/*-------------------------------------------------------------------------
 *
 * steps.c
 *	  The runs that a call takes which commits each of them.
 *
 * Each unit is a step of its own, and reads its own part of the source, once it
 * is locked.  What belongs to none of them is looked at first: if that is an
 * error, nothing has happened yet.
 *
 * Units whose rows may share keys can't be told apart like this, since each
 * would take the row from the other, again and again; they are one step.  So is
 * an increment of a tracked import, whatever units its rows belong to, since
 * there is one checkpoint.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "executor/tstoreReceiver.h"
#include "executor/tuptable.h"
#include "flow/pin.h"
#include "flow/steps.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"

/* s."day", or CAST(s."day" AS date): a scope column as the target has it */
static char *
scope_value(const Source *source, int n)
{
	const Target *target = source->target;
	int			place = target->scope_columns[n];
	const TargetColumn *column = &target->columns[place];

	if (source->coercions[place] == NULL)
		return psprintf("s.%s", quote_identifier(column->name));
	return psprintf("CAST(s.%s AS %s)", quote_identifier(column->name),
					format_type_with_typemod(column->type, column->typmod));
}

/* s."day" IS NULL OR s."tenant" IS NULL */
static char *
without_unit(const Source *source)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < source->target->scope->ncolumns; i++)
		appendStringInfo(&buf, "%s%s IS NULL", i > 0 ? " OR " : "", scope_value(source, i));
	return buf.data;
}

/*
 * Several units that a call names lie side by side:
 *
 * (s."day" >= $3 AND NOT $4 < s."day") IS NOT TRUE, of a slice (... AND s."day" < $4)
 */
static char *
outside_of(Source *source, List *units)
{
	const Scope *scope = source->target->scope;
	const ScopeColumn *column = &scope->columns[0];
	const Unit *first = linitial(units);
	const Unit *last = llast(units);
	char	   *value = scope_value(source, 0);
	char	   *lower;
	char	   *upper;
	StringInfoData buf;

	lower = psprintf("$%d", idem_source_param(source, sql_datum(column->basetype, first->values[0], false)));
	upper = psprintf("$%d", idem_source_param(source, sql_datum(column->basetype,
																scope->slice ? last->upper : last->values[0], false)));
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '(');
	generate_operator_clause(&buf, value, column->basetype, column->ge_opr, lower, column->basetype);
	appendStringInfo(&buf, " AND %s(", scope->slice ? "" : "NOT ");
	if (scope->slice)
		generate_operator_clause(&buf, value, column->basetype, column->lt_opr, upper, column->basetype);
	else
		generate_operator_clause(&buf, upper, column->basetype, column->lt_opr, value, column->basetype);
	appendStringInfoString(&buf, ")) IS NOT TRUE");
	return buf.data;
}

void
idem_steps_bind_strays(Source *source, List *units)
{
	idem_source_bind(source, units == NIL ? without_unit(source) : outside_of(source, units));
}

/* SELECT DISTINCT s."tenant", s."day" FROM (...) AS s WHERE NOT (s."tenant" IS NULL OR ...) ORDER BY 1, 2 */
static char *
units_query(const Source *source)
{
	StringInfoData columns;
	StringInfoData order;

	initStringInfo(&columns);
	initStringInfo(&order);
	appendStringInfoString(&columns, "DISTINCT ");
	for (int i = 0; i < source->target->scope->ncolumns; i++)
	{
		appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "", scope_value(source, i));
		appendStringInfo(&order, "%s%d", i > 0 ? ", " : "", i + 1);
	}
	return psprintf("%s ORDER BY %s",
					idem_source_select(source, columns.data, psprintf("NOT (%s)", without_unit(source))), order.data);
}

/* Names of the units that rows of the source belong to (List of char *), in logical order. */
static List *
units_of_source(Source *source)
{
	Scope	   *scope = source->target->scope;
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	DestReceiver *receiver = CreateTuplestoreDestReceiver();
	TupleDesc	desc = CreateTemplateTupleDesc(scope->ncolumns);
	TupleTableSlot *slot;
	List	   *names = NIL;

	for (int i = 0; i < scope->ncolumns; i++)
		TupleDescInitEntry(desc, i + 1, "v", scope->columns[i].type, scope->columns[i].typmod, 0);
	SetTuplestoreDestReceiverParams(receiver, store, CurrentMemoryContext, true, NULL, NULL);
	sql_begin();
	sql_stream(units_query(source), idem_source_params(source, NULL), false, receiver);
	sql_end();

	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(store, true, false, slot))
	{
		Unit	   *unit;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		unit = idem_scope_unit_of(scope, slot->tts_values, slot->tts_isnull);
		/* values of one slice come one after the other */
		if (names == NIL || strcmp(llast(names), unit->name) != 0)
			names = lappend(names, pstrdup(unit->name));
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
	return names;
}

static void
add_step(Steps *steps, const char *scope, bool alone, bool strays)
{
	Step	   *step = palloc(sizeof(Step));

	step->scope = scope != NULL ? pstrdup(scope) : NULL;
	step->alone = alone;
	step->strays = strays;
	steps->steps = lappend(steps->steps, step);
}

static void
add_unit_steps(Steps *steps, const Definition *def, Target *target, const char *scope, bool part)
{
	List	   *units = idem_scope_units(target->scope, scope);
	Source	   *source;
	ListCell   *lc;

	if (list_length(units) == 1 && !part)
	{
		add_step(steps, scope, false, false);
		return;
	}
	source = idem_source_open(def, target, InvalidOid);
	if (source->by_unit && units == NIL)
	{
		/* the run itself says what is wrong with that */
		add_step(steps, scope, false, false);
		return;
	}
	if (!source->by_unit && !part && def->out_of_scope != OUT_OF_SCOPE_IGNORE)
		add_step(steps, scope, false, true);
	foreach(lc, units)
		add_step(steps, ((Unit *) lfirst(lc))->name, !source->by_unit, false);
	if (units != NIL)
		return;
	foreach(lc, units_of_source(source))
		add_step(steps, lfirst(lc), true, false);
}

Steps *
idem_steps(const char *import, const char *scope, bool part)
{
	Steps	   *steps = palloc0(sizeof(Steps));
	Definition *def;
	Target	   *target;
	Pin			pin;

	(void) idem_definition_get(import);
	idem_lock_import(import, RowExclusiveLock);
	def = idem_definition_get(import);
	steps->version = def->version;
	steps->created_at = def->created_at;
	steps->batch_size = def->batch_size;
	steps->whole = scope == NULL;

	idem_pin(def, &pin);
	PushActiveSnapshot(GetTransactionSnapshot());
	target = idem_target_open(def, AccessShareLock);
	if (target->scope->ncolumns == 0 || (scope == NULL && def->track != TRACK_NONE) ||
		(target->nkeys > 0 && !target->scope_in_key))
		add_step(steps, scope, false, false);
	else
		add_unit_steps(steps, def, target, scope, part);
	idem_target_close(target);
	PopActiveSnapshot();
	idem_unpin(&pin);
	return steps;
}

void
idem_steps_take(const Steps *steps, RunRequest *request, void (*take) (void *arg, bool last), void *arg)
{
	MemoryContext cxt = CurrentMemoryContext;
	ListCell   *lc;

	request->version = steps->version;
	request->created_at = steps->created_at;
	foreach(lc, steps->steps)
	{
		const Step *step = lfirst(lc);
		Paging		paging = {0};

		paging.cxt = AllocSetContextCreate(cxt, "idem_import pages", ALLOCSET_DEFAULT_SIZES);
		paging.size = steps->batch_size;
		request->scope = step->scope;
		request->alone = step->alone;
		request->strays = step->strays;
		request->completes = steps->whole && lnext(steps->steps, lc) == NULL;
		request->paging = steps->batch_size == NO_LIMIT || step->strays ? NULL : &paging;
		do
		{
			CHECK_FOR_INTERRUPTS();
			paging.number++;
			paging.more = false;
			take(arg, lnext(steps->steps, lc) == NULL);
		} while (paging.more);
		MemoryContextSwitchTo(cxt);
		MemoryContextDelete(paging.cxt);
	}
}
