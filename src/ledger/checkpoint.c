/*-------------------------------------------------------------------------
 *
 * checkpoint.c
 *	  How far the source of an import has been read: the table
 *	  idem_import_checkpoint.
 *
 * A checkpoint only saves reading: all below it has been applied.  It moves in
 * the transaction that applied the rows, so that either both have happened or
 * neither.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "ledger/checkpoint.h"
#include "ledger/ledger.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

void
idem_checkpoint_load(const char *import, Checkpoint *checkpoint)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param = sql_text(import);
	House		house;
	SqlRow		row;
	Datum		time;
	bool		isnull;
	bool		found;
	char	   *query;

	memset(checkpoint, 0, sizeof(Checkpoint));
	sql_house_enter(&house);
	query = psprintf("SELECT * FROM %sidem_import_checkpoint WHERE import = $1", house.schema);

	/* what our lock holds, not what the transaction's snapshot shows */
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	found = sql_row(query, sql_params(1, &param), false, cxt, &row);
	PopActiveSnapshot();
	sql_house_leave(&house);
	if (!found)
		return;

	checkpoint->track = idem_track_parse(sql_column_text(&row, "track"));
	checkpoint->text = sql_column_text(&row, "checkpoint");
	checkpoint->kind = sql_column_text(&row, "kind");
	checkpoint->cluster = sql_column_text(&row, "cluster");
	time = sql_column(&row, "mark_at", &isnull);
	checkpoint->has_time = !isnull;
	checkpoint->time = isnull ? 0 : DatumGetTimestampTz(time);
}

void
idem_checkpoint_move(const char *import, const Checkpoint *checkpoint, int64 run_id)
{
	SqlParam	param[] = {
		sql_text(import),
		sql_text(idem_track_name(checkpoint->track)),
		sql_text(checkpoint->text),
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(checkpoint->time), !checkpoint->has_time),
		sql_text(checkpoint->kind),
		sql_text(checkpoint->cluster),
		sql_datum(INT8OID, Int64GetDatum(run_id), run_id == 0)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_INSERT,
				psprintf("INSERT INTO %sidem_import_checkpoint AS c "
						 "(import, track, checkpoint, mark_at, kind, cluster, run_id, moved_at) "
						 "VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp()) "
						 "ON CONFLICT (import) DO UPDATE SET track = excluded.track, "
						 "checkpoint = excluded.checkpoint, mark_at = excluded.mark_at, "
						 "kind = excluded.kind, cluster = excluded.cluster, run_id = excluded.run_id, moved_at = excluded.moved_at "
						 "WHERE (c.track, c.checkpoint, c.kind, c.cluster) "
						 "IS DISTINCT FROM (excluded.track, excluded.checkpoint, excluded.kind, excluded.cluster)",
						 house.schema),
				params);
	sql_house_leave(&house);
}

bool
idem_checkpoint_forget(const char *import)
{
	SqlParam	param = sql_text(import);
	House		house;
	uint64		deleted;

	sql_house_enter(&house);
	deleted = sql_execute(SPI_OK_DELETE,
						  psprintf("DELETE FROM %sidem_import_checkpoint WHERE import = $1", house.schema),
						  sql_params(1, &param));
	sql_house_leave(&house);
	return deleted > 0;
}
