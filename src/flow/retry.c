/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  Rejects tried again, without the rest of their source.
 *
 * A reject is read from its jsonb, as if that were the source, and takes the
 * same way: cast, judged by scope, key, and the target's version, written if
 * the target takes it.  Each goes by itself, so that it is known what has become
 * of it.  Nothing of the target is removed but by a row's own flag.
 *
 * The receipts of the units concerned are withdrawn: the next run compares
 * source and target again, and finds the row, if the source still has it, in
 * place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/relation.h"
#include "catalog/pg_type.h"
#include "flow/apply.h"
#include "flow/effects.h"
#include "flow/engine.h"
#include "flow/pin.h"
#include "flow/retry.h"
#include "flow/run_unit.h"
#include "ledger/ledger.h"
#include "ledger/reject.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

typedef struct Retry
{
	Run			run;
	char	   *select;			/* the row of a reject, whose number is to follow */
	MemoryContext row_cxt;		/* reset for each reject */
	Tally		tally;			/* of the unit's rejects so far */
	Changes    *changes;		/* of the unit's good rows; NULL: the import has no effects */
	int64		effects;		/* that they set off */
} Retry;

static void
retry_context(void *arg)
{
	Retry	   *retry = arg;

	errcontext("import \"%s\", unit \"%s\", rejects", retry->run.def->name, retry->run.record->unit);
}

static bool
is_json(Oid type)
{
	return type == JSONOID || type == JSONBOID;
}

/* Is the column json in the source, as far as that can be told? */
static bool
is_json_in_source(const Definition *def, const char *name)
{
	AttrNumber	attnum = OidIsValid(def->source_table) ? get_attnum(def->source_table, name) : InvalidAttrNumber;

	return attnum != InvalidAttrNumber && is_json(getBaseType(get_atttype(def->source_table, attnum)));
}

/*
 * r."row" ->> 'a'
 *
 * An array or composite value that was staged is no longer text:
 *
 * CASE WHEN pg_catalog.jsonb_typeof(r."row" -> 'a') IN ('array', 'object')
 *      THEN (SELECT x.v::text FROM pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object('v', r."row" -> 'a')) AS x (v int[]))
 *      ELSE r."row" ->> 'a' END
 *
 * A string that was json already is one with its quotes:
 *
 * CASE WHEN r."row" ->> 'a' IS NULL THEN NULL
 *      WHEN r.kind = 'staged' OR pg_catalog.jsonb_typeof(r."row" -> 'a') <> 'string'
 *      THEN (r."row" -> 'a')::text ELSE r."row" ->> 'a' END
 */
static char *
column_text(const TargetColumn *column, bool json_in_source)
{
	Oid			type = getBaseType(column->type);
	char	   *name = quote_literal_cstr(column->name);
	char	   *text = psprintf("r.\"row\" OPERATOR(pg_catalog.->>) %s", name);
	char	   *value = psprintf("r.\"row\" OPERATOR(pg_catalog.->) %s", name);

	if (json_in_source)
		return psprintf("CASE WHEN %2$s IS NOT NULL THEN (%1$s)::pg_catalog.text END", value, text);
	if (is_json(type))
		return psprintf("CASE WHEN %2$s IS NULL THEN NULL "
						"WHEN r.kind OPERATOR(pg_catalog.=) '" REJECT_STAGED "' "
						"OR pg_catalog.jsonb_typeof(%1$s) OPERATOR(pg_catalog.<>) 'string' "
						"THEN (%1$s)::pg_catalog.text ELSE %2$s END", value, text);
	if (OidIsValid(get_element_type(type)) || get_typtype(type) == TYPTYPE_COMPOSITE)
		return psprintf("CASE WHEN pg_catalog.jsonb_typeof(%1$s) OPERATOR(pg_catalog.=) ANY ('{array,object}') "
						"THEN (SELECT x.v::pg_catalog.text FROM pg_catalog.jsonb_to_record("
						"pg_catalog.jsonb_build_object('v', %1$s)) AS x (v %3$s)) ELSE %2$s END",
						value, text, format_type_be_qualified(type));
	return text;
}

/* SELECT <text of a> AS "a", <text of b> AS "b", <flag> AS "flag" FROM idem_import_reject r WHERE r.reject_id = */
static char *
reject_select(const Target *target, const Definition *def)
{
	const char *flag = def->delete_flag;
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->ncolumns; i++)
	{
		const TargetColumn *column = &target->columns[i];

		appendStringInfo(&buf, "%s %s AS %s", i > 0 ? "," : "SELECT",
						 column_text(column, is_json_in_source(def, column->name)), quote_identifier(column->name));
	}
	if (flag != NULL && idem_target_column(target, flag) < 0)
		appendStringInfo(&buf, ", r.\"row\" OPERATOR(pg_catalog.->>) %s AS %s", quote_literal_cstr(flag),
						 quote_identifier(flag));
	appendStringInfo(&buf, " FROM %s", idem_reject_from());
	return buf.data;
}

/* The import as if the rejects were its source: single rows, of which nothing follows for others. */
static void
adapt_definition(Definition *def, const char *select)
{
	def->source_table = InvalidOid;
	def->source_query = psprintf("%s0", select);
	def->columns_auto = false;
	def->order_by = NULL;
	def->track = TRACK_NONE;
	def->cursor_column = NULL;
	def->overlap = NULL;
	def->batch_size = NO_LIMIT;
	def->delete_missing = false;
	def->method = METHOD_AUTO;
	def->out_of_scope = OUT_OF_SCOPE_REJECT;
	def->reject_limit = NO_LIMIT;
	if (def->mode == MODE_OVERWRITE)
		def->mode = MODE_MERGE;
}

/* A row without a key is inserted beside the others. */
static void
write_row(Retry *retry, Stage *stage, StagedUnit *staged, Changes *changes)
{
	Run		   *run = &retry->run;
	Receipt		receipt = {0};
	Written		written = {0};
	BadRows    *bad;

	written.changes = changes;

	run->target->nulls_in_key = staged->nulls_in_key;
	if (run->target->nkeys > 0)
	{
		idem_run_write(run, stage, staged, &receipt, NULL, &written);
		return;
	}
	bad = idem_bad_rows_create(idem_stage_desc(stage), run->source->first_order, -1);
	idem_apply_insert(run->target, idem_stage_desc(stage), staged->rows, staged->winners, &run->record->tally, bad,
					  changes);
	idem_run_set_aside_refused(run, staged, bad);
	run->record->tally.unchanged = staged->winners - run->record->tally.inserted - bad->nrows;
	idem_bad_rows_free(bad);
}

/* What the rows that are good now set off. */
static void
set_off_effects(Retry *retry, const Unit *unit)
{
	Run		   *run = &retry->run;
	int64		saved;

	if (retry->changes == NULL)
		return;
	saved = idem_effects_save(run->def, run->target, retry->changes, unit, run->record->run_id);
	if (saved > 0)
		retry->effects += saved;
	idem_changes_clear(retry->changes);
}

/* True if the row is bad no longer. */
static bool
retry_row(Retry *retry, Unit *unit, const OpenReject *open)
{
	Run		   *run = &retry->run;
	Tally		before = retry->tally;
	MemoryContext oldcxt = MemoryContextSwitchTo(retry->row_cxt);
	Changes    *changes = retry->changes != NULL ? idem_changes_create(run->target) : NULL;
	Unit	   *written = NULL;
	StagedUnit	staged;
	Stage	   *stage;
	bool		good;

	tuplestore_clear(run->trace->rejects);
	run->source->from = psprintf("(%s" INT64_FORMAT ") AS s", retry->select, open->reject_id);
	stage = idem_stage_begin(run->source, run->def, unit != NULL ? list_make1(unit) : NIL, NULL);
	while (idem_stage_next(stage, &staged))
	{
		idem_run_set_aside(run, stage, &staged);
		if (staged.unit != NULL && staged.winners > 0)
		{
			write_row(retry, stage, &staged, changes);
			written = staged.unit;
			idem_ledger_withdraw(run->def->name, staged.unit->name);
		}
		idem_tally_add(&retry->tally, &run->record->tally);
		run->record->note = NULL;
		idem_stage_free_unit(&staged);
	}
	idem_stage_end(stage);

	good = tuplestore_tuple_count(run->trace->rejects) == 0;
	if (good)
		idem_reject_resolve(open->reject_id, run->record->run_id);
	else
		retry->tally = before;
	if (changes != NULL)
	{
		if (good)
			idem_changes_add(retry->changes, changes);
		idem_changes_free(changes);
		/* rows of no unit at first may belong to any */
		if (unit == NULL && written != NULL)
			set_off_effects(retry, written);
	}
	MemoryContextSwitchTo(oldcxt);
	return good;
}

/* Those that are still bad; they count only once. */
static void
give_up(Retry *retry, const OpenReject *open)
{
	retry->tally.rejected++;
	idem_reject_failed_again(open->reject_id, retry->run.record->run_id, retry->run.trace->rejects);
}

/*
 * One of the rows may refer to another: so those that fail are tried again, as
 * long as another one gets through.
 */
static void
retry_rows(Retry *retry, Unit *unit, List *rejects)
{
	List	   *left = NIL;
	ListCell   *lc;
	bool		again = idem_relation_refers_to_itself(retry->run.target->rel);

	foreach(lc, rejects)
	{
		CHECK_FOR_INTERRUPTS();
		if (!retry_row(retry, unit, lfirst(lc)))
		{
			left = lappend(left, lfirst(lc));
			if (!again)
				give_up(retry, lfirst(lc));
		}
		MemoryContextReset(retry->row_cxt);
	}
	if (!again || left == NIL)
		return;
	if (list_length(left) < list_length(rejects))
	{
		retry_rows(retry, unit, left);
		return;
	}
	foreach(lc, left)
	{
		if (!retry_row(retry, unit, lfirst(lc)))
			give_up(retry, lfirst(lc));
		MemoryContextReset(retry->row_cxt);
	}
}

/* The unit that rejects belong to; NULL where only the rows can tell. */
static Unit *
find_unit(const Run *run, const char *name)
{
	Scope	   *scope = run->target->scope;
	List	   *units;

	if (scope->ncolumns > 0 && strcmp(name, IDEM_WHOLE_TABLE) == 0)
		return NULL;
	units = idem_scope_units(scope, scope->ncolumns > 0 ? name : NULL);
	return list_length(units) == 1 ? linitial(units) : NULL;
}

static void
retry_unit(Retry *retry, const char *name, List *rejects)
{
	Run		   *run = &retry->run;
	Unit	   *unit = find_unit(run, name);
	RunRecord  *record = run->record;
	Tally	   *tally = &retry->tally;

	idem_run_begin_unit(run, unit, name);
	record->run_id = idem_history_next_run_id();
	record->method = "diff";
	record->engine = run->target->obstacle == NULL ? "native" : "portable";
	memset(tally, 0, sizeof(Tally));
	retry->effects = 0;
	if (run->def->effects != NULL)
		retry->changes = idem_changes_create(run->target);
	retry_rows(retry, unit, rejects);
	if (unit != NULL)
		set_off_effects(retry, unit);
	if (retry->changes != NULL)
		idem_changes_free(retry->changes);

	record->tally = *tally;
	record->status = tally->inserted + tally->updated + tally->deleted > 0 ? "applied" : "skipped";
	idem_run_note(run, "open rejects only");
	if (retry->effects > 0)
		idem_run_note(run, psprintf("effects: " INT64_FORMAT, retry->effects));
	idem_ledger_withdraw(record->import, record->unit);
	tuplestore_clear(run->trace->rejects);
	idem_run_finish_unit(run, unit);
}

static void
retry_units(Retry *retry, List *open)
{
	ListCell   *lc = list_head(open);

	while (lc != NULL)
	{
		char	   *name = ((OpenReject *) lfirst(lc))->unit;
		List	   *rejects = NIL;

		for (; lc != NULL && strcmp(((OpenReject *) lfirst(lc))->unit, name) == 0; lc = lnext(open, lc))
			rejects = lappend(rejects, lfirst(lc));
		retry_unit(retry, name, rejects);
	}
}

static void
retry_import(Retry *retry)
{
	Run		   *run = &retry->run;
	List	   *open;

	idem_lock_all_units(run->def->name, ExclusiveLock);
	open = idem_reject_open(run->def->name);
	if (open == NIL)
		return;

	run->target = idem_target_open(run->def, RowExclusiveLock);
	run->target->obstacle = idem_engine_obstacle(run->target);
	if (run->target->nkeys > 0 && !run->target->guarded)
		idem_target_lock(run->target, ShareRowExclusiveLock);
	retry->select = reject_select(run->target, run->def);
	adapt_definition(run->def, retry->select);
	run->source = idem_source_open(run->def, run->target, InvalidOid);
	idem_source_unbind(run->source);
	run->increment = palloc0(sizeof(Increment));
	run->increment->whole = true;

	PushActiveSnapshot(GetTransactionSnapshot());
	retry_units(retry, open);
	PopActiveSnapshot();
	idem_target_close(run->target);
}

void
idem_retry_rejects(const char *import, RunTrace *trace)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import retry", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcxt = MemoryContextSwitchTo(cxt);
	ErrorContextCallback callback;
	RunRequest	request = {import};
	Retry		retry = {{0}};
	Run		   *run = &retry.run;
	Pin			pin;

	run->def = idem_definition_get(import);
	idem_lock_import(import, RowExclusiveLock);
	run->def = idem_definition_get(import);
	run->request = &request;
	run->trace = trace;
	run->cxt = cxt;
	run->record = trace->current;
	run->who = GetUserId();
	run->batch = 1;
	retry.row_cxt = AllocSetContextCreate(cxt, "idem_import reject", ALLOCSET_DEFAULT_SIZES);
	idem_run_begin_unit(run, NULL, IDEM_WHOLE_TABLE);

	callback.callback = retry_context;
	callback.arg = &retry;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	idem_pin(run->def, &pin);
	retry_import(&retry);
	idem_unpin(&pin);

	error_context_stack = callback.previous;
	MemoryContextSwitchTo(oldcxt);
	MemoryContextDelete(cxt);
}
