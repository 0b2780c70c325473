/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  One row for each import and unit: its state and its receipt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_LEDGER_H
#define IDEM_LEDGER_H

#include "base/hash.h"
#include "ledger/history.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"

/* Rows and their order-independent sum, of a source or of a target's unit. */
typedef struct Fingerprint
{
	int64		rows;
	Hash128		checksum;
} Fingerprint;

/* What source and target held when the unit was last applied. */
typedef struct Receipt
{
	int			version;		/* of the definition; 0: there is no receipt */
	int64		run_id;			/* that gave it; 0: the unit was never applied */
	int			last_version;	/* of the definition that the last run used, even if it failed */
	Fingerprint source;
	Fingerprint target;
	int64		stale;			/* of the source's rows, what a rerun counts again */
	int64		collapsed;
	int64		rejected;
	bool		failed_since;	/* a later attempt failed, or waits for approval */
	char	   *approval;		/* who approved to remove how many rows, and when; NULL: nobody */
	int64		approved;		/* that many, -1: none */
	int			approved_version;	/* of the definition whose run had asked */
} Receipt;

/*
 * Locks, held to the end of the transaction.  They live in a namespace of
 * their own: pg_locks shows them as objects of class idem_import_ledger.
 *
 * A run shares its import's lock, and owns its unit's; declaring, altering
 * and dropping own the import's.  A run shares the lock of all units, too,
 * unless it has so many that it owns this one instead of each of theirs.  Who
 * moves a checkpoint owns that: he has to see where it is.
 */
extern void idem_lock_import(const char *import, LOCKMODE mode);
extern void idem_lock_all_units(const char *import, LOCKMODE mode);
extern void idem_lock_unit(const char *import, const char *unit);
extern void idem_lock_checkpoint(const char *import);

/*
 * Several units' (List of String), in their order, so that two runs can't wait
 * for each other in a circle.  The server's lock table holds some thousands;
 * beyond a part of that, all of the import's units are locked as one.
 */
extern void idem_lock_units(const char *import, List *units);

/*
 * An input's name and its hash (in digits), as manifest.h tells.  The name's
 * returns false if another transaction has it, and it is not to be waited for.
 */
extern bool idem_lock_input(const char *import, const char *input, bool wait);
extern void idem_lock_payload(const char *import, const char *hash);

/*
 * The unit's receipt; all zero if there is none.  With "fresh" as of now,
 * otherwise as of the active snapshot.
 */
extern void idem_ledger_receipt(const char *import, const char *unit, bool fresh, Receipt *receipt);

/* The units that an import has ever applied, without some: names (List of String). */
extern List *idem_ledger_applied_units(const char *import, List *without, bool fresh);

/*
 * The unit has been applied by this run: write the receipt, clear any failure
 * and approval.  target NULL: it was not summed; no run believes such a receipt.
 */
extern void idem_ledger_applied(const RunRecord *run, const Fingerprint *source, const Fingerprint *target, bool settled);

/*
 * Another unit of the same call has taken rows from this one.  The receipt
 * says what is there now, but nobody has judged it: no run believes it.
 */
extern void idem_ledger_sum_again(const RunRecord *run, const Fingerprint *target);

/* The unit's receipt is believed no more: something else than a run has written its rows. */
extern void idem_ledger_withdraw(const char *import, const char *unit);

/* The run skipped a unit that had failed meanwhile: it is in place after all. */
extern void idem_ledger_recovered(const RunRecord *run);

/* The attempt failed or waits for approval; the receipt stays as it was. */
extern void idem_ledger_failed(const RunRecord *run);

/*
 * Let the next run of the unit remove the rows it was stopped for, if it waits
 * for approval with this version of the definition.  Returns the version that
 * it waits with; 0 if it does not wait.
 */
extern int	idem_ledger_approve(const char *import, const char *unit, int version, Oid who);

/*
 * Forget the failure of a call that broke down before its units were known,
 * under whose scope text it was recorded.
 */
extern void idem_ledger_clear(const char *import, const char *unit);

/* Delete an import's ledger. */
extern void idem_ledger_purge(const char *import);

#endif							/* IDEM_LEDGER_H */
