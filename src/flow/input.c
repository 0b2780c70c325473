/*-------------------------------------------------------------------------
 *
 * input.c
 *	  The named input of a run: a file, or what the caller calls it.
 *
 * An input of which everything was applied is not applied again, whatever its
 * name; but only if it still is in place.  (A file that is read with other
 * options has other rows, and is another input.)  That is so
 *
 *	  1. if the last run over each of its units was its own, and the unit's
 *		 target rows still are what that run's receipt says.  Then the input
 *		 is not even read.
 *
 *	  2. otherwise its rows are looked up in the target, as a plan does it.
 *		 Where a row looks different, that must be the work of a later run.
 *		 Where one is missing, too: the units must be as the last run left
 *		 them, and later runs must have taken at least as many rows.
 *
 * So an older input that is given again does not undo a newer one, as a retry
 * that comes late would; and an input whose rows somebody else has removed is
 * run again, and puts them back.  Without later runs, anything that differs
 * makes the input run again.  With "force" it runs in any case.
 *
 * While it is judged its units are locked, as a run locks them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "flow/fingerprint.h"
#include "flow/input.h"
#include "flow/pin.h"
#include "flow/stage.h"
#include "ledger/manifest.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* The name under which a file's rows are read in place of the source. */
#define FILE_ROWS	"idem_import_file"

/* The options that the run's file is read with. */
static const Jsonb *
file_options(const Run *run)
{
	return run->request->file != NULL ? run->request->file->given : NULL;
}

/* What is known of an input's units. */
typedef struct Standing
{
	bool		own;			/* the last run over each was the input's own */
	bool		intact;			/* each is as its last run left it */
	Fingerprint *sums;			/* if intact: its target rows */
} Standing;

/* The file's columns are those of the source, which is the owner's to look at. */
static void
read_file(Run *run)
{
	RunRecord  *record = run->record;
	FileSource *file = run->request->file;
	Target	   *target = idem_target_open(run->def, AccessShareLock);
	TupleDesc	shape = idem_source_shape(run->def, target->scope);
	MemoryContext oldcxt;

	idem_target_release(target, AccessShareLock);
	idem_file_load(file, shape, idem_rejects_kept(run->def));
	if (file->stopped)
		idem_run_refuse_lines(run, file->lines);

	oldcxt = MemoryContextSwitchTo(run->trace->cxt);
	record->input.hash = idem_manifest_hash(file->sha256, sizeof(file->sha256));
	record->input.size = file->size;
	MemoryContextSwitchTo(oldcxt);
}

/* Compare the input's units to their receipts, all of them locked. */
static void
judge_units(Run *run, const KnownInput *known, Standing *standing)
{
	Target	   *target;
	ListCell   *lc;

	standing->own = true;
	standing->intact = true;
	standing->sums = palloc(sizeof(Fingerprint) * (list_length(known->units) + 1));
	idem_lock_units(run->def->name, known->units);

	target = idem_target_open(run->def, AccessShareLock);
	foreach(lc, known->units)
	{
		char	   *name = strVal(lfirst(lc));
		Fingerprint *sum = &standing->sums[foreach_current_index(lc)];
		Receipt		receipt;

		CHECK_FOR_INTERRUPTS();
		idem_ledger_receipt(run->def->name, name, true, &receipt);
		if (receipt.run_id > known->run_id)
			standing->own = false;
		/* after an alter a unit may be called otherwise, and columns be others */
		if (receipt.version != run->def->version)
			standing->intact = false;
		if (!standing->intact)
			continue;
		*sum = idem_fingerprint_target(target, linitial(idem_scope_units(target->scope, name)), true);
		if (!idem_fingerprint_equal(&receipt.target, sum))
			standing->intact = false;
	}
	idem_target_release(target, AccessShareLock);
}

/* Look the input's rows up in the target. */
static bool
rows_in_place(Run *run, const KnownInput *known, const Standing *standing)
{
	RunRequest	plan = *run->request;
	RunRecord	current = {0};
	RunTrace	trace = {0};
	int64		missing = 0;
	int64		different = 0;
	ListCell   *lc;

	memset(&plan.input, 0, sizeof(InputRecord));
	plan.plan = true;
	trace.cxt = CurrentMemoryContext;
	trace.current = &current;
	trace.rejects = tuplestore_begin_heap(true, false, work_mem);
	idem_run(&plan, &trace);
	tuplestore_end(trace.rejects);

	foreach(lc, trace.results)
	{
		const Tally *tally = &((RunRecord *) lfirst(lc))->tally;

		missing += tally->inserted;
		different += tally->updated + tally->deleted + tally->removed;
	}
	if (missing == 0 && different == 0)
		return true;
	if (standing->own)
		return false;
	return missing == 0 ||
		(standing->intact && missing <= idem_history_taken_since(run->def->name, known->units, known->run_id));
}

/* Finish a run whose input is in place. */
static void
skip_input(Run *run, const KnownInput *known, const Standing *standing)
{
	char	   *note = psprintf("the input is known: run " INT64_FORMAT " applied it as \"%s\"%s",
								known->run_id, known->name,
								standing->own ? "" : ", later runs went over the same units");
	ListCell   *lc;

	foreach(lc, known->units)
		idem_run_skip_input(run, strVal(lfirst(lc)),
							standing->intact ? &standing->sums[foreach_current_index(lc)] : NULL, note);

	/* an input without rows may have had no unit; somebody has to say so */
	if (known->units == NIL)
		idem_run_skip_input(run, IDEM_WHOLE_TABLE, NULL, note);
	idem_manifest_skipped(run->record);
}

static bool
skip_known(Run *run)
{
	KnownInput	known;
	Standing	standing;

	if (run->request->force || !idem_manifest_find(run->def->name, &run->record->input, file_options(run), &known))
		return false;
	judge_units(run, &known, &standing);
	if (!(standing.own && standing.intact) && !rows_in_place(run, &known, &standing))
		return false;
	skip_input(run, &known, &standing);
	return true;
}

/* Everything was applied. */
static void
complete_input(Run *run)
{
	RunRecord	record = *run->record;
	int64		rows = 0;
	List	   *units = NIL;
	ListCell   *lc;

	record.import = run->def->name;
	record.run_id = 0;
	foreach(lc, run->trace->results)
	{
		const RunRecord *result = lfirst(lc);

		rows += idem_tally_attempted(&result->tally);
		record.run_id = Max(record.run_id, result->run_id);
		if (list_nth(run->done_units, foreach_current_index(lc)) != NULL)
			units = lappend(units, makeString(pstrdup(result->unit)));
	}
	if (run->request->file != NULL)
		rows = run->request->file->nrows + run->request->file->lines->sum.rows;
	if (record.run_id == 0)
		record.run_id = idem_history_next_run_id();
	idem_manifest_complete(&record, file_options(run), rows, units);
}

/* A call that is refused because another one is running is no failure of the import. */
static void
lock_input(Run *run)
{
	const char *import = run->record->import;

	run->record->import = NULL;
	idem_manifest_lock(run->def->name, &run->record->input);
	run->record->import = import;
}

static void
run_input(Run *run, void (*work) (Run *run))
{
	bool		named = run->record->input.name != NULL;

	if (named)
	{
		lock_input(run);
		if (skip_known(run))
			return;
	}
	work(run);
	if (named)
		complete_input(run);
}

/* A run inside of this one, as by a trigger, must not see rows that are shared for it. */
static void
run_sharing(Run *run, const SqlShared *rows, void (*work) (Run *run))
{
	const SqlShared *before = sql_share(rows);

	PG_TRY();
	{
		run_input(run, work);
	}
	PG_FINALLY();
	{
		(void) sql_share(before);
	}
	PG_END_TRY();
}

void
idem_run_input(Run *run, void (*work) (Run *run))
{
	FileSource *file = run->request->file;
	bool		load = file != NULL && file->rows == NULL;
	SqlShared	rows;

	/* the plan of rows_in_place reads what its run has loaded */
	if (load)
		read_file(run);
	if (file != NULL)
	{
		rows.name = FILE_ROWS;
		rows.desc = file->desc;
		rows.store = file->rows;
		rows.rows = file->nrows;
		run->def->source_table = InvalidOid;
		run->def->source_query = "SELECT * FROM " FILE_ROWS;
	}
	run_sharing(run, file != NULL ? &rows : NULL, work);
	if (load)
		idem_file_close(file);
}
