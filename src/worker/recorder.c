/*-------------------------------------------------------------------------
 *
 * recorder.c
 *	  Keeps the record of a run whose transaction rolls back.
 *
 * A run that fails takes its history with it: what the transaction wrote is
 * gone.  PostgreSQL has no autonomous transactions, so the failure is written
 * by somebody else: the scheduler, if one is running in this database, or else
 * a dynamic background worker, the recorder, which lives for that one
 * failure.  It needs no preloading, only a free slot among
 * max_worker_processes.
 *
 * The run and its rejects travel through a queue in a small shared memory
 * segment, so their number costs neither side memory.  The recorder takes
 * everything in before it connects to the database, because from there on it
 * may have to wait for locks, and among them are those of the very backend
 * that waits for it: if a transaction applied a unit, and then fails on the
 * same unit, it still holds that unit's row of the ledger.  Nothing would
 * detect such a deadlock, since a backend that waits on its latch waits for no
 * lock.  Hence the caller waits for a while, so that normally the failure can
 * be seen as soon as the error is, and then leaves the recorder to itself.
 * The scheduler waits for no lock longer than a moment, and leaves what it
 * cannot write to a recorder.
 *
 * This file is what the failing transaction does; delivery.c hands the run
 * over, as a parcel, to recorder_scheduler.c or to recorder_worker.c.
 *
 * Whatever happens here, the error that the caller gets is the one that made
 * the run fail.  Problems of the recording itself are warnings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "worker/delivery.h"
#include "worker/record.h"
#include "worker/recorder.h"

static void record_failure(Recording *recording);

/*
 * Call work(arg); if it fails, see to it that the failure is recorded.
 */
void
idem_recorded(void (*work) (void *arg), void *arg, Recording *recording)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);

	PG_TRY();
	{
		work(arg);

		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(oldcontext);
		edata = CopyErrorData();
		FlushErrorState();

		/*
		 * From here on a cancel must not take the place of the error that we
		 * have.  It stays pending: the waits below look for it, and if
		 * somebody catches our error, the cancel is what comes next.
		 * Termination is not held off.
		 */
		HOLD_CANCEL_INTERRUPTS();

		/* Also gives up the locks that the recorder is going to need. */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(oldcontext);
		CurrentResourceOwner = oldowner;

		idem_record_error(&recording->run, edata);

		/* On a standby nobody can write, and a read-only caller wants no writes. */
		if (recording->run.import != NULL &&
			!XactReadOnly && !RecoveryInProgress())
			record_failure(recording);

		RESUME_CANCEL_INTERRUPTS();

		ReThrowError(edata);
	}
	PG_END_TRY();
}

/*
 * Have the failure recorded; what goes wrong here becomes a warning.
 *
 * The subtransaction is there for its resource owner, which detaches the
 * segment when we don't get to do that ourselves.
 */
static void
record_failure(Recording *recording)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	MemoryContext context;
	bool		in_history = false;

	context = AllocSetContextCreate(oldcontext,
									"idem_import recorder",
									ALLOCSET_SMALL_SIZES);

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);

	PG_TRY();
	{
		idem_deliver(&recording->run, recording->rejects, &in_history);

		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		/* Throwing an error has reset the caller's hold. */
		HOLD_CANCEL_INTERRUPTS();

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();

		RollbackAndReleaseCurrentSubTransaction();

		ereport(WARNING,
				(errcode(edata->sqlerrcode),
				 in_history ?
				 errmsg("could not record the failure of import \"%s\" in the ledger: %s",
						recording->run.import, edata->message) :
				 errmsg("could not record the failure of import \"%s\": %s",
						recording->run.import, edata->message),
				 edata->hint ? errhint("%s", edata->hint) : 0));
	}
	PG_END_TRY();

	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	MemoryContextDelete(context);
}
