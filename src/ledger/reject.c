/*-------------------------------------------------------------------------
 *
 * reject.c
 *	  Staged rows that could not be applied: the table idem_import_reject.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "ledger/definition.h"
#include "ledger/reject.h"
#include "nodes/value.h"
#include "utils/array.h"
#include "utils/builtins.h"

#define REJECTS "idem_import_rejects"

TupleDesc
idem_reject_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(REJECT_NATTS);

	TupleDescInitEntry(desc, 1, "row", JSONBOID, -1, 0);
	TupleDescInitEntry(desc, 2, "key", JSONBOID, -1, 0);
	TupleDescInitEntry(desc, 3, "sqlstate", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 4, "message", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 5, "column_name", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 6, "constraint_name", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 7, "position", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 8, "kind", TEXTOID, -1, 0);
	return desc;
}

/*
 * Equal rows are told apart by their number among themselves, so that each
 * has a row of its own here and still is found again by the next run.
 */
void
idem_reject_save(const char *import, const char *unit, int64 run_id, const char *input,
				 Tuplestorestate *rejects, RejectSettle settle)
{
	SqlParam	param[] = {sql_text(import), sql_text(unit), sql_int8(run_id), sql_text(input)};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;

	sql_house_enter(&house);
	if (tuplestore_tuple_count(rejects) > 0)
	{
		sql_register(REJECTS, idem_reject_desc(), rejects, tuplestore_tuple_count(rejects));
		sql_execute(SPI_OK_INSERT,
					psprintf("INSERT INTO %sidem_import_reject AS j "
							 "(import, unit, run_id, row, row_hash, key, sqlstate, message, column_name, constraint_name, "
							 "\"position\", kind, input) "
							 "SELECT $1, $2, $3, r.row, "
							 "md5(r.row::text || row_number() OVER (PARTITION BY r.row::text))::uuid, "
							 "r.key, r.sqlstate, r.message, r.column_name, r.constraint_name, r.\"position\", r.kind, $4 "
							 "FROM " REJECTS " r "
							 "ON CONFLICT (import, unit, row_hash) WHERE resolved_at IS NULL DO UPDATE SET "
							 "run_id = excluded.run_id, attempts = j.attempts + 1, key = excluded.key, "
							 "sqlstate = excluded.sqlstate, message = excluded.message, "
							 "column_name = excluded.column_name, constraint_name = excluded.constraint_name, "
							 "\"position\" = excluded.\"position\", kind = excluded.kind, input = excluded.input",
							 house.schema),
					params);
		sql_forget(REJECTS);
	}

	if (settle != SETTLE_NONE)
		sql_execute(SPI_OK_UPDATE,
					psprintf("UPDATE %sidem_import_reject SET resolved_at = clock_timestamp() "
							 "WHERE import = $1 AND unit = $2 AND resolved_at IS NULL AND run_id <> $3%s",
							 house.schema, settle == SETTLE_INPUT ? " AND input IS NOT DISTINCT FROM $4" : ""),
					params);
	sql_house_leave(&house);
}

/*
 * DELETE FROM idem_import_reject WHERE resolved_at < $3 AND <who may>
 *
 * Those that are open have no such time.
 */
uint64
idem_reject_prune(TimestampTz before, Oid who, bool dropped)
{
	return idem_definition_prune("DELETE FROM %1$sidem_import_reject WHERE resolved_at < $3 AND %2$s",
								 before, who, dropped);
}

/*
 * SELECT array_agg(reject_id ORDER BY unit, reject_id) AS ids, array_agg(unit ORDER BY unit, reject_id) AS units
 * FROM idem_import_reject WHERE import = $1 AND resolved_at IS NULL AND kind <> 'line'
 */
List *
idem_reject_open(const char *import)
{
	MemoryContext cxt = CurrentMemoryContext;
	MemoryContext oldcxt;
	SqlParam	param = sql_text(import);
	List	   *result = NIL;
	ListCell   *lc;
	List	   *units;
	Datum	   *ids;
	int			n;
	bool		isnull;
	Datum		array;
	House		house;
	SqlRow		row;

	sql_house_enter(&house);
	(void) sql_row(psprintf("SELECT array_agg(reject_id ORDER BY unit, reject_id) AS ids, "
							"array_agg(unit ORDER BY unit, reject_id) AS units FROM %sidem_import_reject "
							"WHERE import = $1 AND resolved_at IS NULL AND kind <> '" REJECT_LINE "'", house.schema),
				   sql_params(1, &param), true, cxt, &row);
	sql_house_leave(&house);

	oldcxt = MemoryContextSwitchTo(cxt);
	array = sql_column(&row, "ids", &isnull);
	if (!isnull)
	{
		deconstruct_array(DatumGetArrayTypeP(array), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
						  &ids, NULL, &n);
		units = sql_column_texts(&row, "units");
		foreach(lc, units)
		{
			OpenReject *open = palloc(sizeof(OpenReject));

			open->reject_id = DatumGetInt64(ids[foreach_current_index(lc)]);
			open->unit = strVal(lfirst(lc));
			result = lappend(result, open);
		}
	}
	MemoryContextSwitchTo(oldcxt);
	return result;
}

void
idem_reject_resolve(int64 reject_id, int64 run_id)
{
	SqlParam	param[] = {sql_int8(reject_id), sql_int8(run_id)};
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_reject SET resolved_at = clock_timestamp(), run_id = $2, "
						 "attempts = attempts + 1 WHERE reject_id = $1", house.schema),
				sql_params(lengthof(param), param));
	sql_house_leave(&house);
}

void
idem_reject_failed_again(int64 reject_id, int64 run_id, Tuplestorestate *rejects)
{
	SqlParam	param[] = {sql_int8(reject_id), sql_int8(run_id)};
	House		house;

	sql_house_enter(&house);
	sql_register(REJECTS, idem_reject_desc(), rejects, 1);
	sql_execute(SPI_OK_UPDATE,
				psprintf("UPDATE %sidem_import_reject j SET run_id = $2, attempts = j.attempts + 1, "
						 "sqlstate = r.sqlstate, message = r.message, column_name = r.column_name, "
						 "constraint_name = r.constraint_name "
						 "FROM (SELECT * FROM " REJECTS " LIMIT 1) r WHERE j.reject_id = $1", house.schema),
				sql_params(lengthof(param), param));
	sql_forget(REJECTS);
	sql_house_leave(&house);
}

char *
idem_reject_from(void)
{
	House		house;

	sql_house_find(&house);
	return psprintf("%sidem_import_reject r WHERE r.reject_id = ", house.schema);
}

void
idem_reject_purge(const char *import)
{
	SqlParam	param = sql_text(import);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_DELETE,
				psprintf("DELETE FROM %sidem_import_reject WHERE import = $1", house.schema),
				sql_params(1, &param));
	sql_house_leave(&house);
}
