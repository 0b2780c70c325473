/*-------------------------------------------------------------------------
 *
 * history.c
 *	  A row per run: the table idem_import_history.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "ledger/announce.h"
#include "ledger/definition.h"
#include "ledger/history.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

int64
idem_tally_attempted(const Tally *tally)
{
	return tally->inserted + tally->updated + tally->unchanged + tally->stale +
		tally->collapsed + tally->rejected + tally->deleted;
}

void
idem_tally_add(Tally *tally, const Tally *more)
{
	tally->inserted += more->inserted;
	tally->updated += more->updated;
	tally->unchanged += more->unchanged;
	tally->stale += more->stale;
	tally->collapsed += more->collapsed;
	tally->rejected += more->rejected;
	tally->deleted += more->deleted;
	tally->removed += more->removed;
}

int64
idem_history_next_run_id(void)
{
	House		house;
	int64		run_id;

	sql_house_enter(&house);
	run_id = nextval_internal(get_relname_relid("idem_import_run_id", house.schema_oid), false);
	sql_house_leave(&house);
	return run_id;
}

/* An interval of microseconds, which may be more than a day: 25:00:00. */
static Datum
interval_of(int64 microseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

void
idem_history_insert(const RunRecord *run)
{
	SqlParam	param[] = {
		sql_int8(run->run_id),
		sql_text(run->import),
		sql_text(run->unit),
		sql_text(run->status),
		sql_text(run->method),
		sql_text(run->engine),
		sql_int8(idem_tally_attempted(&run->tally)),
		sql_int8(run->tally.inserted),
		sql_int8(run->tally.updated),
		sql_int8(run->tally.unchanged),
		sql_int8(run->tally.stale),
		sql_int8(run->tally.collapsed),
		sql_int8(run->tally.rejected),
		sql_int8(run->tally.deleted),
		sql_int8(run->tally.removed),
		sql_text(run->checkpoint),
		sql_datum(UUIDOID, UUIDPGetDatum(idem_hash_to_uuid(run->checksum)), !run->has_checksum),
		sql_datum(INTERVALOID, interval_of(run->elapsed), false),
		sql_text(run->note),
		sql_int8(run->version),
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false),
		sql_text(run->lower),
		sql_text(run->upper),
		sql_datum(REGROLEOID, ObjectIdGetDatum(run->who), false),
		sql_text(run->sqlstate != 0 ? unpack_sql_state(run->sqlstate) : NULL),
		sql_text(run->message),
		sql_text(run->detail)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_INSERT,
				psprintf("INSERT INTO %sidem_import_history "
						 "(run_id, import, unit, status, method, engine, attempted, inserted, updated, "
						 "unchanged, stale, collapsed, rejected, deleted, removed, checkpoint, checksum, "
						 "elapsed, note, version, started_at, lower_bound, upper_bound, who, "
						 "sqlstate, message, detail) "
						 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, "
						 "$17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)", house.schema),
				params);
	sql_house_leave(&house);
	idem_announce(run);
}

void
idem_history_sum_again(const RunRecord *run)
{
	SqlParam	param[] = {
		sql_int8(run->run_id),
		sql_datum(UUIDOID, UUIDPGetDatum(idem_hash_to_uuid(run->checksum)), false)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_history SET checksum = $2 WHERE run_id = $1", house.schema),
				params);
	sql_house_leave(&house);
}

/*
 * DELETE FROM idem_import_history WHERE started_at < $3 AND <who may>
 */
uint64
idem_history_prune(TimestampTz before, Oid who, bool dropped)
{
	return idem_definition_prune("DELETE FROM %1$sidem_import_history WHERE started_at < $3 AND %2$s",
								 before, who, dropped);
}

int64
idem_history_taken_since(const char *import, List *units, int64 run_id)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_text(import), sql_texts(units), sql_int8(run_id)};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;
	SqlRow		row;

	sql_house_enter(&house);
	(void) sql_row(psprintf("SELECT sum(deleted + removed)::bigint AS taken FROM %sidem_import_history "
							"WHERE import = $1 AND unit = ANY ($2) AND run_id > $3 AND status = 'applied'",
							house.schema),
				   params, true, cxt, &row);
	sql_house_leave(&house);
	return sql_column_int8(&row, "taken", 0);
}

void
idem_history_purge(const char *import)
{
	SqlParam	param = sql_text(import);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_DELETE,
				psprintf("DELETE FROM %sidem_import_history WHERE import = $1", house.schema),
				sql_params(1, &param));
	sql_house_leave(&house);
}
