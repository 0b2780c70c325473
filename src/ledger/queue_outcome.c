/*-------------------------------------------------------------------------
 *
 * queue_outcome.c
 *	  What becomes of a task that was claimed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "ledger/queue.h"
#include "utils/elog.h"

/*
 * Executors end when the server does, which is nothing to hold against a task.
 * One that takes the server with it, though, must come to an end.
 */
#define INTERRUPTED_AT_ONCE		2	/* so often it goes on at once, after that it waits */
#define INTERRUPTED_PER_ATTEMPT	2	/* so many times max_attempts it is given up */

/*
 * What its import allows a task: (max_attempts, backoff) AS n.  %1$s: our schema
 */
#define ALLOWED \
	"(SELECT coalesce(max(d.max_attempts), 1)::bigint AS max_attempts, coalesce(max(d.backoff), interval '10 seconds') AS backoff " \
	"FROM %1$sidem_import_queue t JOIN %1$sidem_import_definition d ON d.name = t.import WHERE t.task = $1) n"

/* When the next attempt is due after so many: twice as long each time, a quarter more or less. */
#define DUE_AFTER(attempts) \
	"clock_timestamp() + least(n.backoff * power(2, greatest(0, least(" attempts " - 1, 20))), " \
	"greatest(n.backoff, interval '1 hour')) * (0.75 + random() / 2)"

/*
 * UPDATE idem_import_queue AS q SET interrupted = interrupted + 1, status = ..., run_after = ...
 * FROM (SELECT max_attempts, backoff ...) n WHERE task = $1 AND status = 'running'
 * RETURNING status
 */
bool
idem_queue_pick_up(int64 number, bool *waits)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_int8(number)};
	House		house;
	SqlRow		row;
	bool		found;

	sql_house_enter(&house);
	found = sql_returning(SPI_OK_UPDATE_RETURNING,
						  psprintf("UPDATE %1$sidem_import_queue AS q SET interrupted = interrupted + 1, "
								   "status = CASE WHEN interrupted + 1 >= %2$d * n.max_attempts THEN 'dead' "
								   "WHEN interrupted >= %3$d THEN 'pending' ELSE status END, "
								   "finished_at = CASE WHEN interrupted + 1 >= %2$d * n.max_attempts "
								   "THEN clock_timestamp() END, "
								   "run_after = CASE WHEN interrupted < %3$d THEN run_after "
								   "ELSE " DUE_AFTER("interrupted - %3$d + 1") " END, "
								   "sqlstate = '57P02', message = 'the executor of the task ended before it was done' "
								   "FROM " ALLOWED " WHERE q.task = $1 AND q.status = 'running' RETURNING q.status",
								   house.schema, INTERRUPTED_PER_ATTEMPT, INTERRUPTED_AT_ONCE),
						  sql_params(1, param), cxt, &row);
	sql_house_leave(&house);
	*waits = found && strcmp(sql_column_text(&row, "status"), "pending") == 0;
	return found && strcmp(sql_column_text(&row, "status"), "running") == 0;
}

void
idem_queue_done(int64 task, int64 run_id)
{
	SqlParam	param[] = {
		sql_int8(task),
		sql_datum(INT8OID, Int64GetDatum(run_id), run_id == 0)
	};
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_queue SET status = 'done', finished_at = clock_timestamp(), "
						 "run_id = $2, sqlstate = NULL, message = NULL, detail = NULL WHERE task = $1", house.schema),
				sql_params(lengthof(param), param));
	sql_house_leave(&house);
}

/*
 * UPDATE idem_import_queue AS q SET
 *    status = CASE WHEN NOT $2 THEN 'failed' WHEN attempts - interrupted >= max_attempts THEN 'dead' ELSE 'pending' END,
 *    run_after = clock_timestamp() + backoff * 2 ^ (attempts - interrupted - 1) * <0.75 to 1.25>, ...
 * FROM (SELECT max_attempts, backoff ...) n
 * WHERE q.task = $1 AND q.status = 'running'
 *
 * An attempt that was interrupted has not failed.
 */
void
idem_queue_failed(int64 task, bool may_pass, int64 run_id, int sqlstate, const char *message, const char *detail)
{
	SqlParam	param[] = {
		sql_int8(task),
		sql_datum(BOOLOID, BoolGetDatum(may_pass), false),
		sql_datum(INT8OID, Int64GetDatum(run_id), run_id == 0),
		sql_text(unpack_sql_state(sqlstate)),
		sql_text(message),
		sql_text(detail)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %1$sidem_import_queue AS q SET "
						 "status = CASE WHEN NOT $2 THEN 'failed' "
						 "WHEN q.attempts - q.interrupted >= n.max_attempts THEN 'dead' ELSE 'pending' END, "
						 "finished_at = CASE WHEN NOT $2 OR q.attempts - q.interrupted >= n.max_attempts "
						 "THEN clock_timestamp() END, "
						 "run_after = CASE WHEN NOT $2 OR q.attempts - q.interrupted >= n.max_attempts THEN q.run_after "
						 "ELSE " DUE_AFTER("q.attempts - q.interrupted") " END, "
						 "run_id = coalesce($3, q.run_id), sqlstate = $4, message = $5, detail = $6 "
						 "FROM " ALLOWED " WHERE q.task = $1 AND q.status = 'running'", house.schema), params);
	sql_house_leave(&house);
}

void
idem_queue_canceled(int64 task)
{
	SqlParam	param = sql_int8(task);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_queue SET status = 'cancelled', finished_at = clock_timestamp() "
						 "WHERE task = $1 AND status = 'running'", house.schema), sql_params(1, &param));
	sql_house_leave(&house);
}
