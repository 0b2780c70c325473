/*-------------------------------------------------------------------------
 *
 * effect.c
 *	  Actions on the outside world, each guarded by a key: the table
 *	  idem_import_effect, but for what senders do with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/error.h"
#include "base/sql.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "ledger/effect.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"

#define EFFECTS "idem_import_new_effects"
#define CHANNEL "idem_import_effect"

/* An index entry must hold a key, a notification a kind. */
#define MAX_KEY		1000
#define MAX_KIND	200

TupleDesc
idem_effect_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(EFFECT_NATTS);

	TupleDescInitEntry(desc, 1, "key", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 2, "kind", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 3, "payload", JSONBOID, -1, 0);
	TupleDescInitEntry(desc, 4, "approval", BOOLOID, -1, 0);
	return desc;
}

static void
require_word(const char *what, const char *word, int max)
{
	if (word == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of an effect must not be null", what)));
	if (word[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of an effect must not be empty", what)));
	if (strlen(word) > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of an effect must not be longer than %d bytes", what, max),
				 errdetail("It begins with \"%s\".", pnstrdup(word, pg_mbcliplen(word, strlen(word), 60)))));
}

void
idem_effect_require_key(const char *key)
{
	require_word("key", key, MAX_KEY);
}

void
idem_effect_require_kind(const char *kind)
{
	require_word("kind", kind, MAX_KIND);
}

static void
refuse_owner(const char *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for effect \"%s\"", key),
			 errdetail("Only members of the role that owns an effect may use it."),
			 errhint("A key is taken once in a database: let it begin with what is your own.")));
}

/* Tell who listens that there is something to do, when the transaction commits. */
static void
notify(const char *kind)
{
	Async_Notify(CHANNEL, kind);
}

/*
 * SELECT key FROM idem_import_new_effects GROUP BY key
 * HAVING count(DISTINCT ROW(kind, payload, approval)) > 1 ORDER BY key LIMIT 1
 */
static void
require_unambiguous(void)
{
	SqlRow		row;

	if (sql_row("SELECT key FROM " EFFECTS " GROUP BY key "
				"HAVING count(DISTINCT ROW(kind, payload, approval)) > 1 ORDER BY key LIMIT 1",
				NULL, true, CurrentMemoryContext, &row))
		ereport(ERROR,
				(errcode(ERRCODE_IDEM_AMBIGUOUS_DUPLICATE),
				 errmsg("effects of one key differ"),
				 errdetail("Key \"%s\" occurs more than once, with different kinds, payloads or approvals.",
						   sql_column_text(&row, "key")),
				 errhint("Put into the key what tells the effects apart.")));
}

/*
 * SELECT n.key FROM idem_import_new_effects n JOIN idem_import_effect e USING (key)
 * WHERE NOT pg_has_role($4, e.owner, 'USAGE') LIMIT 1
 */
static void
require_own(const House *house, ParamListInfo params)
{
	SqlRow		row;

	if (sql_row(psprintf("SELECT n.key FROM " EFFECTS " n JOIN %sidem_import_effect e USING (key) "
						 "WHERE NOT pg_has_role($4, e.owner, 'USAGE') LIMIT 1", house->schema),
				params, true, CurrentMemoryContext, &row))
		refuse_owner(sql_column_text(&row, "key"));
}

/*
 * WITH saved AS (
 *    INSERT INTO idem_import_effect AS e (key, kind, payload, status, import, unit, run_id, owner, due_at)
 *    SELECT DISTINCT ON (key) ... FROM idem_import_new_effects ORDER BY key
 *    ON CONFLICT (key) DO UPDATE SET ...
 *    WHERE e.status IN (<not claimed, not done>) AND ROW(e.kind, e.payload) differs
 *    RETURNING kind, status)
 * SELECT count(*) AS saved, array_agg(DISTINCT kind) FILTER (WHERE status = 'pending') AS kinds FROM saved
 *
 * In the order of keys, so that two runs can't wait for each other in a
 * circle.  Who approved the effect approved another payload.
 */
static char *
save_query(const House *house)
{
	return psprintf("WITH saved AS ("
					"INSERT INTO %sidem_import_effect AS e "
					"(key, kind, payload, status, import, unit, run_id, owner, due_at) "
					"SELECT DISTINCT ON (key) key, kind, payload, "
					"CASE WHEN approval THEN 'awaiting_approval' ELSE 'pending' END, $1, $2, $3, $4, "
					"CASE WHEN NOT approval THEN clock_timestamp() END "
					"FROM " EFFECTS " ORDER BY key "
					"ON CONFLICT (key) DO UPDATE SET kind = excluded.kind, payload = excluded.payload, "
					"status = excluded.status, import = excluded.import, unit = excluded.unit, "
					"run_id = excluded.run_id, due_at = excluded.due_at, failures = 0, token = NULL, error = NULL, "
					"approved_by = NULL, approved_at = NULL "
					"WHERE e.status IN ('pending', 'awaiting_approval', 'failed') "
					"AND (e.kind, e.payload) IS DISTINCT FROM (excluded.kind, excluded.payload) "
					"AND pg_has_role($4, e.owner, 'USAGE') "
					"RETURNING kind, status) "
					"SELECT count(*) AS saved, array_agg(DISTINCT kind) FILTER (WHERE status = 'pending') AS kinds "
					"FROM saved", house->schema);
}

int64
idem_effect_save(const char *import, const char *unit, int64 run_id, Oid owner, Tuplestorestate *effects)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {
		sql_text(import), sql_text(unit), sql_int8(run_id), sql_datum(REGROLEOID, ObjectIdGetDatum(owner), false)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	List	   *kinds;
	ListCell   *lc;
	House		house;
	SqlRow		row;

	if (tuplestore_tuple_count(effects) == 0)
		return 0;

	sql_house_enter(&house);
	sql_register(EFFECTS, idem_effect_desc(), effects, tuplestore_tuple_count(effects));
	require_unambiguous();
	(void) sql_row(save_query(&house), params, true, cxt, &row);
	require_own(&house, params);
	sql_forget(EFFECTS);
	sql_house_leave(&house);

	kinds = sql_column_texts(&row, "kinds");
	foreach(lc, kinds)
		notify(strVal(lfirst(lc)));
	return sql_column_int8(&row, "saved", 0);
}

/*
 * INSERT INTO idem_import_effect (key, kind, payload, status, owner, due_at)
 * VALUES ($1, $2, $3, ...) ON CONFLICT (key) DO NOTHING RETURNING status
 */
static bool
insert_effect(const House *house, ParamListInfo params, SqlRow *row)
{
	return sql_returning(SPI_OK_INSERT_RETURNING,
						 psprintf("INSERT INTO %sidem_import_effect (key, kind, payload, status, owner, due_at) "
								  "VALUES ($1, $2, $3, CASE WHEN $4 THEN 'awaiting_approval' ELSE 'pending' END, $5, "
								  "CASE WHEN NOT $4 THEN clock_timestamp() END) "
								  "ON CONFLICT (key) DO NOTHING RETURNING status", house->schema),
						 params, CurrentMemoryContext, row);
}

char *
idem_effect_add(const char *key, const char *kind, const Jsonb *payload, bool approval)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {
		sql_text(key), sql_text(kind),
		sql_datum(JSONBOID, PointerGetDatum(payload), payload == NULL),
		sql_datum(BOOLOID, BoolGetDatum(approval), false),
		sql_datum(REGROLEOID, ObjectIdGetDatum(GetUserId()), false)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;
	SqlRow		row;
	bool		found;

	/* it may be pruned between the two statements */
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		sql_house_enter(&house);
		if (insert_effect(&house, params, &row))
		{
			sql_house_leave(&house);
			if (!approval)
				notify(kind);
			return pstrdup(approval ? "awaiting_approval" : "pending");
		}
		found = sql_row(psprintf("SELECT status, owner, (kind, payload) IS NOT DISTINCT FROM ($2, $3) AS same "
								 "FROM %sidem_import_effect WHERE key = $1", house.schema),
						params, true, cxt, &row);
		sql_house_leave(&house);
		if (found)
			break;
	}

	if (!has_privs_of_role(GetUserId(), sql_column_oid(&row, "owner")))
		refuse_owner(key);
	if (!sql_column_bool(&row, "same"))
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("effect \"%s\" already exists with another kind or payload", key),
				 errdetail("Its status is \"%s\".", sql_column_text(&row, "status")),
				 errhint("Give what is another action another key.")));
	return sql_column_text(&row, "status");
}

char *
idem_effect_look(const char *key, pg_uuid_t **token)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param = sql_text(key);
	House		house;
	SqlRow		row;
	bool		found;
	bool		isnull;
	Datum		value;

	sql_house_enter(&house);
	found = sql_row(psprintf("SELECT status, owner, token FROM %sidem_import_effect WHERE key = $1", house.schema),
					sql_params(1, &param), true, cxt, &row);
	sql_house_leave(&house);

	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("effect \"%s\" does not exist", key)));
	if (!has_privs_of_role(GetUserId(), sql_column_oid(&row, "owner")))
		refuse_owner(key);
	value = sql_column(&row, "token", &isnull);
	*token = isnull ? NULL : DatumGetUUIDP(value);
	return sql_column_text(&row, "status");
}

/*
 * UPDATE idem_import_effect SET status = 'pending', ...
 * WHERE key = $1 AND status IN ('awaiting_approval', 'failed') AND pg_has_role($2, owner, 'USAGE')
 * RETURNING kind
 */
void
idem_effect_approve(const char *key)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_text(key), sql_datum(REGROLEOID, ObjectIdGetDatum(GetUserId()), false)};
	House		house;
	SqlRow		row;
	pg_uuid_t  *token;
	bool		released;

	sql_house_enter(&house);
	released = sql_returning(SPI_OK_UPDATE_RETURNING,
							 psprintf("UPDATE %sidem_import_effect SET status = 'pending', due_at = clock_timestamp(), "
									  "failures = 0, approved_by = $2, approved_at = clock_timestamp() "
									  "WHERE key = $1 AND status IN ('awaiting_approval', 'failed') "
									  "AND pg_has_role($2, owner, 'USAGE') RETURNING kind", house.schema),
							 sql_params(lengthof(param), param), cxt, &row);
	sql_house_leave(&house);

	if (!released)
	{
		char	   *status = idem_effect_look(key, &token);

		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("effect \"%s\" does not wait for approval", key),
				 errdetail("Its status is \"%s\".", status)));
	}
	notify(sql_column_text(&row, "kind"));
}

Jsonb *
idem_effect_result(const char *key)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param = sql_text(key);
	House		house;
	SqlRow		row;
	bool		found;
	bool		isnull;
	Datum		value;

	sql_house_enter(&house);
	found = sql_row(psprintf("SELECT owner, CASE WHEN status = 'done' THEN result END AS result "
							 "FROM %sidem_import_effect WHERE key = $1", house.schema),
					sql_params(1, &param), false, cxt, &row);
	sql_house_leave(&house);

	if (!found)
		return NULL;
	if (!has_privs_of_role(GetUserId(), sql_column_oid(&row, "owner")))
		refuse_owner(key);
	value = sql_column(&row, "result", &isnull);
	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

/* DELETE FROM idem_import_effect WHERE status = 'done' AND done_at < $1 AND pg_has_role($2, owner, 'USAGE') */
uint64
idem_effect_prune(TimestampTz before, Oid who)
{
	SqlParam	param[] = {
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(before), false),
		sql_datum(OIDOID, ObjectIdGetDatum(who), false)
	};
	House		house;
	uint64		deleted;

	sql_house_enter(&house);
	deleted = sql_execute(SPI_OK_DELETE,
						  psprintf("DELETE FROM %sidem_import_effect WHERE status = 'done' AND done_at < $1 "
								   "AND pg_has_role($2, owner, 'USAGE')", house.schema),
						  sql_params(lengthof(param), param));
	sql_house_leave(&house);
	return deleted;
}
