/*-------------------------------------------------------------------------
 *
 * manifest.c
 *	  Named inputs, and what has become of them: the table
 *	  idem_import_manifest.
 *
 * A row for each name, hash and scope text that a run was called with.  The
 * hash says what the input is, the name only where it came from: an input
 * whose hash is complete is not applied again, whatever its name, and one
 * whose name is known is a new one if its hash is.
 *
 * Whether a complete input is believed to be in place is judged in
 * flow/input.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "ledger/ledger.h"
#include "ledger/manifest.h"
#include "utils/builtins.h"

char *
idem_manifest_hash(const uint8 *hash, int len)
{
	char	   *digits = palloc(len * 2 + 1);

	digits[hex_encode((const char *) hash, len, digits)] = '\0';
	return digits;
}

void
idem_manifest_lock(const char *import, const InputRecord *input)
{
	if (input->hash != NULL)
		idem_lock_payload(import, input->hash);
	if (!idem_lock_input(import, input->name, input->hash == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("input \"%s\" of import \"%s\" is being run with another content", input->name, import),
				 errhint("Wait for that run, then run this one if it is the later content.")));
}

/* NULL for digits NULL */
static SqlParam
hash_param(const char *digits)
{
	int			len = digits != NULL ? strlen(digits) : 0;
	bytea	   *hash = palloc(VARHDRSZ + len / 2);

	SET_VARSIZE(hash, VARHDRSZ + len / 2);
	if (digits != NULL)
		(void) hex_decode(digits, len, VARDATA(hash));
	return sql_datum(BYTEAOID, PointerGetDatum(hash), digits == NULL);
}

static SqlParam
options_param(const Jsonb *options)
{
	return sql_datum(JSONBOID, PointerGetDatum(options), options == NULL);
}

/*
 * SELECT input, applied_run_id, units FROM idem_import_manifest
 * WHERE import = $1 AND sha256 = $2 AND scope IS NOT DISTINCT FROM $3
 * AND coalesce(options = $4, true) AND status = 'complete'
 * ORDER BY applied_run_id DESC LIMIT 1
 */
bool
idem_manifest_find(const char *import, const InputRecord *input, const Jsonb *options, KnownInput *known)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {
		sql_text(import), hash_param(input->hash), sql_text(input->scope), options_param(options)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;
	SqlRow		row;
	bool		found;

	if (input->hash == NULL)
		return false;
	sql_house_enter(&house);
	found = sql_row(psprintf("SELECT input, applied_run_id, units FROM %sidem_import_manifest "
							 "WHERE import = $1 AND sha256 = $2 AND scope IS NOT DISTINCT FROM $3 "
							 "AND coalesce(options = $4, true) "
							 "AND status = 'complete' ORDER BY applied_run_id DESC LIMIT 1", house.schema),
					params, true, cxt, &row);
	sql_house_leave(&house);
	if (!found)
		return false;

	known->name = sql_column_text(&row, "input");
	known->run_id = sql_column_int8(&row, "applied_run_id", 0);
	known->units = sql_column_texts(&row, "units");
	return true;
}

/* $1 to $7 of the statements below, in this order. */
#define INPUT_NPARAMS 7

static void
input_params(const RunRecord *run, SqlParam *param)
{
	int			n = 0;

	param[n++] = sql_text(run->import);
	param[n++] = sql_text(run->input.name);
	param[n++] = hash_param(run->input.hash);
	param[n++] = sql_text(run->input.scope);
	param[n++] = sql_datum(INT8OID, Int64GetDatum(run->input.size), run->input.size < 0);
	param[n++] = sql_int8(run->run_id);
	param[n++] = sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(run->started_at), false);
	Assert(n == INPUT_NPARAMS);
}

/*
 * What could not be read to its end has no hash.  Once the input of that name
 * is applied, that is settled.
 */
static void
forget_unread(const House *house, ParamListInfo params)
{
	sql_execute(SPI_OK_DELETE,
				psprintf("DELETE FROM %sidem_import_manifest WHERE import = $1 AND input = $2 "
						 "AND scope IS NOT DISTINCT FROM $4 AND sha256 IS NULL AND status <> 'complete'",
						 house->schema),
				params);
}

void
idem_manifest_complete(const RunRecord *run, const Jsonb *options, int64 rows, List *units)
{
	SqlParam	param[INPUT_NPARAMS + 3];
	ParamListInfo params;
	House		house;

	input_params(run, param);
	param[INPUT_NPARAMS] = sql_int8(rows);
	param[INPUT_NPARAMS + 1] = sql_texts(units);
	param[INPUT_NPARAMS + 2] = options_param(options);
	params = sql_params(lengthof(param), param);

	sql_house_enter(&house);
	if (run->input.hash != NULL)
		forget_unread(&house, params);
	sql_execute(SPI_OK_INSERT,
				psprintf("INSERT INTO %sidem_import_manifest AS m "
						 "(import, input, sha256, scope, status, size, rows, units, attempts, run_id, "
						 "applied_run_id, first_seen_at, last_seen_at, completed_at, options) "
						 "VALUES ($1, $2, $3, $4, 'complete', $5, $8, $9, 1, $6, $6, $7, $7, clock_timestamp(), $10) "
						 "ON CONFLICT (import, input, sha256, scope) DO UPDATE SET "
						 "status = excluded.status, size = excluded.size, rows = excluded.rows, "
						 "units = excluded.units, options = excluded.options, attempts = m.attempts + 1, run_id = excluded.run_id, "
						 "applied_run_id = excluded.applied_run_id, last_seen_at = excluded.last_seen_at, "
						 "completed_at = excluded.completed_at, sqlstate = NULL, message = NULL, detail = NULL",
						 house.schema),
				params);
	sql_house_leave(&house);
}

/* A complete input stays so; a copy of it under another name is noted as one. */
void
idem_manifest_skipped(const RunRecord *run)
{
	SqlParam	param[INPUT_NPARAMS];
	ParamListInfo params;
	House		house;

	input_params(run, param);
	params = sql_params(lengthof(param), param);

	sql_house_enter(&house);
	sql_execute(SPI_OK_INSERT,
				psprintf("INSERT INTO %sidem_import_manifest AS m "
						 "(import, input, sha256, scope, status, size, attempts, run_id, first_seen_at, last_seen_at) "
						 "VALUES ($1, $2, $3, $4, 'skipped', $5, 1, $6, $7, $7) "
						 "ON CONFLICT (import, input, sha256, scope) DO UPDATE SET "
						 "status = CASE WHEN m.status = 'complete' THEN m.status ELSE excluded.status END, "
						 "size = coalesce(excluded.size, m.size), attempts = m.attempts + 1, "
						 "run_id = excluded.run_id, last_seen_at = excluded.last_seen_at, "
						 "sqlstate = NULL, message = NULL, detail = NULL", house.schema),
				params);
	sql_house_leave(&house);
}

/* The recorder may come late: what a later run has written stands, but for the attempts. */
void
idem_manifest_failed(const RunRecord *run)
{
	SqlParam	param[INPUT_NPARAMS + 4];
	ParamListInfo params;
	House		house;
	int			n = INPUT_NPARAMS;

	input_params(run, param);
	param[n++] = sql_text(run->status);
	param[n++] = sql_text(unpack_sql_state(run->sqlstate));
	param[n++] = sql_text(run->message);
	param[n++] = sql_text(run->detail);
	params = sql_params(lengthof(param), param);

	sql_house_enter(&house);
	sql_execute(SPI_OK_INSERT,
				psprintf("INSERT INTO %sidem_import_manifest AS m "
						 "(import, input, sha256, scope, status, size, attempts, run_id, first_seen_at, last_seen_at, "
						 "sqlstate, message, detail) "
						 "VALUES ($1, $2, $3, $4, $8, $5, 1, $6, $7, $7, $9, $10, $11) "
						 "ON CONFLICT (import, input, sha256, scope) DO UPDATE SET "
						 "attempts = m.attempts + 1, "
						 "status = CASE WHEN m.status = 'complete' OR m.run_id > excluded.run_id THEN m.status ELSE excluded.status END, "
						 "run_id = greatest(m.run_id, excluded.run_id), "
						 "last_seen_at = greatest(m.last_seen_at, excluded.last_seen_at), "
						 "sqlstate = CASE WHEN m.run_id > excluded.run_id THEN m.sqlstate ELSE excluded.sqlstate END, "
						 "message = CASE WHEN m.run_id > excluded.run_id THEN m.message ELSE excluded.message END, "
						 "detail = CASE WHEN m.run_id > excluded.run_id THEN m.detail ELSE excluded.detail END",
						 house.schema),
				params);
	sql_house_leave(&house);
}

void
idem_manifest_purge(const char *import)
{
	SqlParam	param = sql_text(import);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_DELETE,
				psprintf("DELETE FROM %sidem_import_manifest WHERE import = $1", house.schema),
				sql_params(1, &param));
	sql_house_leave(&house);
}
