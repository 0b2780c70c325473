/*-------------------------------------------------------------------------
 *
 * prove.c
 *	  Run twice, compare, and leave no trace.
 *
 * What makes a second run write again is rarely the import itself: a trigger
 * that changes each row it sees, a policy that hides what was written.  The
 * proof is to do it, in a subtransaction that is rolled back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/error.h"
#include "flow/prove.h"
#include "flow/run_unit.h"
#include "ledger/reject.h"
#include "miscadmin.h"
#include "utils/resowner.h"

static List *
run_once(const RunRequest *request)
{
	RunRecord	current = {0};
	RunTrace	trace = {0};

	trace.cxt = CurrentMemoryContext;
	trace.current = &current;
	trace.rejects = tuplestore_begin_heap(true, false, work_mem);
	idem_run(request, &trace);
	tuplestore_end(trace.rejects);
	return trace.results;
}

static int64
changes(const RunRecord *run)
{
	return run->tally.inserted + run->tally.updated + run->tally.deleted + run->tally.removed;
}

/*
 * Both runs went over the same units in the same order.  Where a unit has no
 * key its rows are replaced each time; what they hold must be the same.
 */
static Proof *
compare(const RunRecord *first, const RunRecord *second, bool keyed)
{
	Proof	   *proof = palloc(sizeof(Proof));

	proof->unit = first->unit;
	proof->first_changes = changes(first);
	proof->second_changes = changes(second);
	proof->has_checksums = first->has_checksum && second->has_checksum;
	proof->first_checksum = first->checksum;
	proof->second_checksum = second->checksum;
	proof->idempotent = (!keyed || proof->second_changes == 0) &&
		idem_hash_equal(first->checksum, second->checksum);
	return proof;
}

static bool
same_unit(const RunRecord *first, const RunRecord *second)
{
	return strcmp(first->unit, second->unit) == 0 &&
		idem_tally_attempted(&first->tally) == idem_tally_attempted(&second->tally);
}

static void
refuse(const char *import, char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_IDEM_NOT_IDEMPOTENT),
			 errmsg("import \"%s\" is not idempotent", import),
			 errdetail("%s", detail),
			 errhint("Look for triggers, rules or defaults that change rows as they are written, or a source that reads the target.")));
}

/*
 * The second run read another source.  Another session may have changed it in
 * between; if none could, the first run did.
 */
static void
refuse_other_source(const char *import, bool alone)
{
	if (alone)
		refuse(import, "The second of two runs read other rows than the first, which changed what its source reads.");
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not prove import \"%s\" idempotent", import),
			 errdetail("Its source has changed between the two runs."),
			 errhint("Try again, or in a transaction of isolation level REPEATABLE READ.")));
}

static void
require_idempotent(const char *import, const Proof *proof)
{
	if (proof->idempotent)
		return;
	if (!idem_hash_equal(proof->first_checksum, proof->second_checksum))
		refuse(import, psprintf("In unit \"%s\" the second of two runs wrote " INT64_FORMAT
								" rows, and left others than the first.",
								proof->unit, proof->second_changes));
	refuse(import, psprintf("In unit \"%s\" the second of two runs wrote " INT64_FORMAT " rows.",
							proof->unit, proof->second_changes));
}

List *
idem_prove(const RunRequest *request)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	RunRequest	forced = *request;
	bool		keyed = idem_definition_get(request->import)->key != NIL;
	List	   *proofs = NIL;
	List	   *volatile first = NIL;
	List	   *volatile second = NIL;
	volatile bool alone = false;
	ListCell   *lc1;
	ListCell   *lc2;

	forced.force = true;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		uint64		ended = idem_run_transactions_ended();

		first = run_once(&forced);
		second = run_once(&forced);
		alone = IsolationUsesXactSnapshot() || idem_run_transactions_ended() == ended;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	if (error != NULL)
		ReThrowError(error);

	if (list_length(first) != list_length(second))
		refuse_other_source(request->import, alone);
	forboth(lc1, first, lc2, second)
	{
		if (!same_unit(lfirst(lc1), lfirst(lc2)))
			refuse_other_source(request->import, alone);
		proofs = lappend(proofs, compare(lfirst(lc1), lfirst(lc2), keyed));
	}
	foreach(lc1, proofs)
		require_idempotent(request->import, lfirst(lc1));
	return proofs;
}
