/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  One row for each import and unit: the table idem_import_ledger.
 *
 * The row carries the receipt of the last run that applied the unit, and the
 * failure of the last one that did not.  A receipt says what source and target
 * held then; whoever reads it looks at both again before he believes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "ledger/ledger.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#define MAX_UNIT_LOCKS	1000

/* What a lock stands for, by the number of its subobject: for a unit, any odd one. */
typedef enum LockSpace
{
	LOCK_IMPORT = 0,
	LOCK_UNIT = 1,
	LOCK_ALL_UNITS = 2,
	LOCK_CHECKPOINT = 4,
	LOCK_INPUT = 8,
	LOCK_PAYLOAD = 10
} LockSpace;

/*
 * Does a transaction hold the lock?  One that has ended lets go of its locks
 * one by one, and who waited for another of them may find this one still taken.
 */
static bool
held_by_other(const LOCKTAG *tag, LOCKMODE mode)
{
	int			holders;

	(void) GetLockConflicts(tag, mode, &holders);
	return holders > 0;
}

/*
 * A lock on a name: an object of class idem_import_ledger, addressed by 47
 * bits of a hash.  Two names that meet in one hash only wait for each other
 * needlessly.
 */
static bool
lock_name(const char *name, int len, LockSpace space, LOCKMODE mode, bool wait)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) name, len, 0);
	House		house;
	LOCKTAG		tag;

	sql_house_find(&house);
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId,
					   get_relname_relid("idem_import_ledger", house.schema_oid),
					   (uint32) hash,
					   space == LOCK_UNIT ? (uint16) (hash >> 32) | LOCK_UNIT : space);
	while (LockAcquire(&tag, mode, false, !wait) == LOCKACQUIRE_NOT_AVAIL)
	{
		if (held_by_other(&tag, mode))
			return false;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(100L);
	}
	return true;
}

void
idem_lock_import(const char *import, LOCKMODE mode)
{
	(void) lock_name(import, strlen(import), LOCK_IMPORT, mode, true);
}

void
idem_lock_all_units(const char *import, LOCKMODE mode)
{
	(void) lock_name(import, strlen(import), LOCK_ALL_UNITS, mode, true);
}

/* The name of something that belongs to an import. */
static bool
lock_part(const char *import, const char *part, LockSpace space, bool wait)
{
	StringInfoData name;
	bool		locked;

	/* the separator can't occur in either */
	initStringInfo(&name);
	appendStringInfoString(&name, import);
	appendStringInfoChar(&name, '\0');
	appendStringInfoString(&name, part);
	locked = lock_name(name.data, name.len, space, ExclusiveLock, wait);
	pfree(name.data);
	return locked;
}

void
idem_lock_unit(const char *import, const char *unit)
{
	(void) lock_part(import, unit, LOCK_UNIT, true);
}

void
idem_lock_units(const char *import, List *units)
{
	ListCell   *lc;

	if (list_length(units) > MAX_UNIT_LOCKS)
	{
		idem_lock_all_units(import, ExclusiveLock);
		return;
	}
	idem_lock_all_units(import, RowExclusiveLock);
	foreach(lc, units)
		idem_lock_unit(import, strVal(lfirst(lc)));
}

bool
idem_lock_input(const char *import, const char *input, bool wait)
{
	return lock_part(import, input, LOCK_INPUT, wait);
}

void
idem_lock_payload(const char *import, const char *hash)
{
	(void) lock_part(import, hash, LOCK_PAYLOAD, true);
}

void
idem_lock_checkpoint(const char *import)
{
	(void) lock_name(import, strlen(import), LOCK_CHECKPOINT, ExclusiveLock, true);
}

static Hash128
column_checksum(const SqlRow *row, const char *name)
{
	bool		isnull;
	Datum		value = sql_column(row, name, &isnull);
	Hash128		zero = {0, 0};

	return isnull ? zero : idem_hash_from_uuid(DatumGetUUIDP(value));
}

void
idem_ledger_receipt(const char *import, const char *unit, bool fresh, Receipt *receipt)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_text(import), sql_text(unit)};
	House		house;
	SqlRow		row;
	Datum		approval;
	bool		isnull;
	bool		found;

	memset(receipt, 0, sizeof(Receipt));
	receipt->approved = -1;

	sql_house_enter(&house);
	found = sql_row(psprintf("SELECT *, status <> 'applied' AS failed_since, "
							 "CASE WHEN approved_at IS NOT NULL THEN to_remove END AS approved, "
							 "CASE WHEN approved_at IS NOT NULL THEN pg_catalog.format("
							 "'removal of up to %%s rows approved by %%s at %%s', to_remove, approved_by, approved_at) "
							 "END AS approval "
							 "FROM %sidem_import_ledger WHERE import = $1 AND unit = $2", house.schema),
					sql_params(2, param), fresh, cxt, &row);
	sql_house_leave(&house);
	if (!found)
		return;

	receipt->version = (int) sql_column_int8(&row, "receipt_version", 0);
	receipt->run_id = sql_column_int8(&row, "receipt_run_id", 0);
	receipt->last_version = (int) sql_column_int8(&row, "version", 0);
	receipt->source.rows = sql_column_int8(&row, "source_rows", 0);
	receipt->source.checksum = column_checksum(&row, "source_checksum");
	receipt->target.rows = sql_column_int8(&row, "target_rows", 0);
	receipt->target.checksum = column_checksum(&row, "target_checksum");
	receipt->stale = sql_column_int8(&row, "stale", 0);
	receipt->collapsed = sql_column_int8(&row, "collapsed", 0);
	receipt->rejected = sql_column_int8(&row, "rejected", 0);
	receipt->failed_since = sql_column_bool(&row, "failed_since");
	receipt->approved = sql_column_int8(&row, "approved", -1);
	receipt->approved_version = (int) sql_column_int8(&row, "version", 0);
	approval = sql_column(&row, "approval", &isnull);
	receipt->approval = isnull ? NULL : TextDatumGetCString(approval);
}

/*
 * SELECT array_agg(unit ORDER BY unit COLLATE "C") AS units FROM
 *    (SELECT unit FROM idem_import_ledger WHERE import = $1 AND receipt_run_id IS NOT NULL
 *     EXCEPT SELECT unnest($2)) l
 */
List *
idem_ledger_applied_units(const char *import, List *without, bool fresh)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_text(import), sql_texts(without)};
	House		house;
	SqlRow		row;

	sql_house_enter(&house);
	(void) sql_row(psprintf("SELECT array_agg(unit ORDER BY unit COLLATE \"C\") AS units FROM "
							"(SELECT unit FROM %sidem_import_ledger "
							"WHERE import = $1 AND receipt_run_id IS NOT NULL "
							"EXCEPT SELECT unnest($2)) l", house.schema),
				   sql_params(lengthof(param), param), fresh, cxt, &row);
	sql_house_leave(&house);
	return sql_column_texts(&row, "units");
}

static SqlParam
checksum_param(Hash128 checksum)
{
	return sql_datum(UUIDOID, UUIDPGetDatum(idem_hash_to_uuid(checksum)), false);
}

/*
 * An approval is used up by the run that applies the unit.  A target that is
 * not settled gets a receipt of no version, which no run believes.
 */
void
idem_ledger_applied(const RunRecord *run, const Fingerprint *source, const Fingerprint *target, bool settled)
{
	SqlParam	param[] = {
		sql_text(run->import),
		sql_text(run->unit),
		sql_int8(run->version),
		sql_int8(run->run_id),
		sql_int8(source->rows),
		checksum_param(source->checksum),
		sql_datum(INT8OID, Int64GetDatum(target != NULL ? target->rows : 0), target == NULL),
		target != NULL ? checksum_param(target->checksum) : sql_datum(UUIDOID, (Datum) 0, true),
		sql_int8(run->tally.stale),
		sql_int8(run->tally.collapsed),
		sql_int8(run->tally.rejected),
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false),
		sql_int8(settled && target != NULL ? run->version : 0)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_INSERT,
				psprintf("INSERT INTO %sidem_import_ledger AS l "
						 "(import, unit, status, version, attempts, source_rows, source_checksum, "
						 "target_rows, target_checksum, stale, collapsed, rejected, receipt_version, "
						 "receipt_run_id, run_id, first_applied_at, applied_at, attempted_at) "
						 "VALUES ($1, $2, 'applied', $3, 1, $5, $6, $7, $8, $9, $10, $11, $13, $4, $4, "
						 "clock_timestamp(), clock_timestamp(), $12) "
						 "ON CONFLICT (import, unit) DO UPDATE SET "
						 "status = excluded.status, version = excluded.version, "
						 "attempts = l.attempts + 1, source_rows = excluded.source_rows, "
						 "source_checksum = excluded.source_checksum, target_rows = excluded.target_rows, "
						 "target_checksum = excluded.target_checksum, stale = excluded.stale, "
						 "collapsed = excluded.collapsed, rejected = excluded.rejected, "
						 "receipt_version = excluded.receipt_version, "
						 "receipt_run_id = excluded.receipt_run_id, run_id = excluded.run_id, "
						 "first_applied_at = coalesce(l.first_applied_at, excluded.first_applied_at), "
						 "applied_at = excluded.applied_at, attempted_at = excluded.attempted_at, "
						 "sqlstate = NULL, message = NULL, detail = NULL, "
						 "to_remove = NULL, approved_by = NULL, approved_at = NULL", house.schema),
				params);
	sql_house_leave(&house);
}

void
idem_ledger_sum_again(const RunRecord *run, const Fingerprint *target)
{
	SqlParam	param[] = {
		sql_text(run->import),
		sql_text(run->unit),
		sql_int8(target->rows),
		checksum_param(target->checksum)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_ledger SET target_rows = $3, target_checksum = $4, "
						 "receipt_version = 0 WHERE import = $1 AND unit = $2", house.schema),
				params);
	sql_house_leave(&house);
}

void
idem_ledger_withdraw(const char *import, const char *unit)
{
	SqlParam	param[] = {sql_text(import), sql_text(unit)};
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_ledger SET receipt_version = 0 "
						 "WHERE import = $1 AND unit = $2 AND receipt_version IS NOT NULL", house.schema),
				sql_params(lengthof(param), param));
	sql_house_leave(&house);
}

void
idem_ledger_recovered(const RunRecord *run)
{
	SqlParam	param[] = {
		sql_text(run->import),
		sql_text(run->unit),
		sql_int8(run->run_id),
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_ledger SET status = 'applied', attempts = attempts + 1, "
						 "run_id = $3, attempted_at = $4, sqlstate = NULL, message = NULL, detail = NULL, "
						 "to_remove = NULL, approved_by = NULL, approved_at = NULL "
						 "WHERE import = $1 AND unit = $2", house.schema),
				params);
	sql_house_leave(&house);
}

/*
 * A run that asks for approval withdraws an older approval, which was for
 * fewer rows; any other failure leaves it to the next run of the same version.  The recorder may
 * come late: what a later run has written stands, but for the attempts.
 */
void
idem_ledger_failed(const RunRecord *run)
{
	SqlParam	param[] = {
		sql_text(run->import),
		sql_text(run->unit),
		sql_text(run->status),
		sql_int8(run->version),
		sql_int8(run->run_id),
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false),
		sql_text(unpack_sql_state(run->sqlstate)),
		sql_text(run->message),
		sql_text(run->detail),
		sql_datum(INT8OID, Int64GetDatum(run->to_remove), strcmp(run->status, "awaiting_approval") != 0)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;
	uint64		written;

	sql_house_enter(&house);
	written = sql_execute(SPI_OK_INSERT,
						  psprintf("INSERT INTO %sidem_import_ledger AS l "
								   "(import, unit, status, version, attempts, run_id, attempted_at, "
								   "sqlstate, message, detail, to_remove) "
								   "VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8, $9, $10) "
								   "ON CONFLICT (import, unit) DO UPDATE SET "
								   "status = excluded.status, version = excluded.version, "
								   "attempts = l.attempts + 1, run_id = excluded.run_id, "
								   "attempted_at = excluded.attempted_at, sqlstate = excluded.sqlstate, "
								   "message = excluded.message, detail = excluded.detail, "
								   "to_remove = coalesce(excluded.to_remove, "
								   "CASE WHEN l.version = excluded.version THEN l.to_remove END), "
								   "approved_by = CASE WHEN excluded.to_remove IS NULL "
								   "AND l.version = excluded.version THEN l.approved_by END, "
								   "approved_at = CASE WHEN excluded.to_remove IS NULL "
								   "AND l.version = excluded.version THEN l.approved_at END "
								   "WHERE l.run_id < excluded.run_id",
								   house.schema),
						  params);
	if (written == 0)
		sql_execute(SPI_OK_UPDATE,
					psprintf("UPDATE %sidem_import_ledger SET attempts = attempts + 1 "
							 "WHERE import = $1 AND unit = $2", house.schema),
					sql_params(2, param));

	/* the transaction that the row was waiting for may have run the unit again, and found it in place */
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %1$sidem_import_ledger SET status = 'applied', "
						 "sqlstate = NULL, message = NULL, detail = NULL "
						 "WHERE import = $1 AND unit = $2 AND run_id = $5 AND EXISTS "
						 "(SELECT FROM %1$sidem_import_history h WHERE h.import = $1 AND h.unit = $2 "
						 "AND h.run_id > $5 AND h.status IN ('applied', 'skipped'))", house.schema),
				params);
	sql_house_leave(&house);
}

int
idem_ledger_approve(const char *import, const char *unit, int version, Oid who)
{
	SqlParam	param[] = {
		sql_text(import),
		sql_text(unit),
		sql_datum(REGROLEOID, ObjectIdGetDatum(who), false),
		sql_int8(version)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;
	SqlRow		row;
	int			waits = 0;

	sql_house_enter(&house);
	if (sql_execute(SPI_OK_UPDATE,
					psprintf("UPDATE %sidem_import_ledger "
							 "SET approved_by = $3, approved_at = clock_timestamp() "
							 "WHERE import = $1 AND unit = $2 AND status = 'awaiting_approval' AND version = $4",
							 house.schema),
					params) > 0)
		waits = version;
	else if (sql_row(psprintf("SELECT version FROM %sidem_import_ledger "
							  "WHERE import = $1 AND unit = $2 AND status = 'awaiting_approval'", house.schema),
					 params, true, CurrentMemoryContext, &row))
		waits = (int) sql_column_int8(&row, "version", 0);
	sql_house_leave(&house);
	return waits;
}

void
idem_ledger_clear(const char *import, const char *unit)
{
	SqlParam	param[] = {sql_text(import), sql_text(unit)};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_DELETE,
				psprintf("DELETE FROM %sidem_import_ledger "
						 "WHERE import = $1 AND unit = $2 AND receipt_version IS NULL", house.schema),
				params);
	sql_house_leave(&house);
}

void
idem_ledger_purge(const char *import)
{
	SqlParam	param = sql_text(import);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_DELETE,
				psprintf("DELETE FROM %sidem_import_ledger WHERE import = $1", house.schema),
				sql_params(1, &param));
	sql_house_leave(&house);
}
