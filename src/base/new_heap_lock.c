/*-------------------------------------------------------------------------
 *
 * new_heap_lock.c
 *	  Locking a table that others use, without making yet others wait for them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/new_heap_state.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* After how many looks for a gap between readers to queue, and for how long */
#define LOCK_POLLS			500
#define LOCK_QUEUE_TIME		"40ms"

/* Queue for a lock for so long; false if it was not granted. */
static bool
lock_within(Oid relid, LOCKMODE mode, const char *timeout)
{
	MemoryContext oldcxt = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcxt);
	PG_TRY();
	{
		/* for this lock only: at the end of a subtransaction the outer one would keep it */
		int			level = NewGUCNestLevel();

		(void) set_config_option("lock_timeout", timeout, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		LockRelationOid(relid, mode);
		AtEOXact_GUC(true, level);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(oldcxt);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error == NULL)
		ReleaseCurrentSubTransaction();
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(oldcxt);
	CurrentResourceOwner = oldowner;
	if (error != NULL && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	if (error == NULL)
		return true;
	FreeErrorData(error);
	return false;
}

static bool
is_held(Oid relid, LOCKMODE mode)
{
	LOCKTAG		tag;
	int			count;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	pfree(GetLockConflicts(&tag, mode, &count));
	return count > 0;
}

/*
 * Whoever comes after us in the queue for the lock waits as long as we do,
 * though only readers before us are in the way.  So look for a gap between
 * readers without queueing, and where they leave none, queue for an instant
 * now and then.  Someone who reads for long, such as pg_dump, shall not make
 * all others wait: then rather give up.  Writers who wait for us already do
 * not count; we get the lock before them.
 */
void
idem_new_heap_lock_table(Relation rel, LOCKMODE mode, int patience)
{
	Oid			relid = RelationGetRelid(rel);
	TimestampTz start = GetCurrentTimestamp();

	if (LockTimeout > 0)
		patience = Min(LockTimeout, patience);
	for (int i = 1; is_held(relid, mode); i++)
	{
		if (i % LOCK_POLLS == 0 && lock_within(relid, mode, LOCK_QUEUE_TIME))
			return;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), patience))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("could not lock table \"%s\" to give it new storage", RelationGetRelationName(rel)),
					 errdetail("Others have been using it for %d ms.", patience)));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	LockRelationOid(relid, mode);
}
