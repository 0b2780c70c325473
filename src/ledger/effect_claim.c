/*-------------------------------------------------------------------------
 *
 * effect_claim.c
 *	  What senders do with effects: claim them, and report.
 *
 * Who has claimed an effect holds no lock on it, only a lease.  It is the
 * token that tells the last claimer from those before: whoever comes after his
 * lease was taken over is refused, and knows that somebody else answers for
 * the effect now.
 *
 * What is due stands first in an index of its own, so that a claim costs
 * the same however many effects are done, or wait.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "ledger/effect.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

/* Failures until an effect is given up, unless the sender says when to try again */
#define MAX_FAILURES	20

/* As the index has it. */
#define IN_QUEUE	"status IN ('pending', 'claimed')"

/*
 * The index must be read in its order, also while the table is small and its
 * statistics are old.  (Switched off makes dear, which is no reason to compile
 * anything.)  Holds until the house is left.
 */
static void
insist_on_index(void)
{
	static const char *const others[] = {"enable_seqscan", "enable_bitmapscan", "enable_sort", "jit"};

	for (int i = 0; i < lengthof(others); i++)
		(void) set_config_option(others[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Roles whose effects of the kind are due and the user's, who waits longest
 * first.  From one role to the next by the index.
 *
 * WITH RECURSIVE heads AS (
 *    (SELECT owner, due_at FROM idem_import_effect WHERE kind = $1 AND <in queue> ORDER BY owner, due_at LIMIT 1)
 *    UNION ALL
 *    SELECT n.owner, n.due_at FROM heads h, LATERAL (
 *       SELECT owner, due_at FROM idem_import_effect
 *       WHERE kind = $1 AND <in queue> AND owner > h.owner ORDER BY owner, due_at LIMIT 1) n)
 * SELECT array_agg(owner ORDER BY due_at) AS owners FROM heads
 * WHERE due_at <= $2 AND pg_has_role($3, owner, 'USAGE')
 */
static int
find_owners(const House *house, ParamListInfo params, Oid **owners)
{
	SqlRow		row;
	Datum		value;
	bool		isnull;
	Datum	   *elements;
	int			n;

	(void) sql_row(psprintf("WITH RECURSIVE heads AS ("
							"(SELECT owner, due_at FROM %1$sidem_import_effect "
							"WHERE kind = $1 AND " IN_QUEUE " ORDER BY owner, due_at LIMIT 1) "
							"UNION ALL SELECT n.owner, n.due_at FROM heads h, LATERAL ("
							"SELECT owner, due_at FROM %1$sidem_import_effect "
							"WHERE kind = $1 AND " IN_QUEUE " AND owner > h.owner ORDER BY owner, due_at LIMIT 1) n) "
							"SELECT array_agg(owner::oid ORDER BY due_at) AS owners FROM heads "
							"WHERE due_at <= $2 AND pg_has_role($3, owner, 'USAGE')", house->schema),
				   params, true, CurrentMemoryContext, &row);
	value = sql_column(&row, "owners", &isnull);
	if (isnull)
		return 0;
	deconstruct_array(DatumGetArrayTypeP(value), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &elements, NULL, &n);
	*owners = palloc(sizeof(Oid) * n);
	for (int i = 0; i < n; i++)
		(*owners)[i] = DatumGetObjectId(elements[i]);
	return n;
}

/*
 * WITH next AS MATERIALIZED (
 *    SELECT key, due_at, effect_id FROM idem_import_effect
 *    WHERE kind = $1 AND owner = $3 AND <in queue> AND due_at <= $2
 *    ORDER BY due_at, effect_id LIMIT $4 FOR UPDATE SKIP LOCKED),
 * taken AS (
 *    UPDATE idem_import_effect e SET status = 'claimed', attempt = e.attempt + 1, ... FROM next
 *    WHERE e.key = next.key RETURNING ...)
 * SELECT key, payload, attempt, token FROM taken ORDER BY was_due, effect_id
 */
static char *
claim_query(const House *house)
{
	return psprintf("WITH next AS MATERIALIZED ("
					"SELECT key, due_at, effect_id FROM %1$sidem_import_effect "
					"WHERE kind = $1 AND owner = $3 AND " IN_QUEUE " AND due_at <= $2 "
					"ORDER BY due_at, effect_id LIMIT $4 FOR UPDATE SKIP LOCKED), "
					"taken AS (UPDATE %1$sidem_import_effect e SET status = 'claimed', attempt = e.attempt + 1, "
					"due_at = $5, token = gen_random_uuid(), claimed_at = clock_timestamp() FROM next "
					"WHERE e.key = next.key "
					"RETURNING e.key, e.payload, e.attempt, e.token, e.effect_id, next.due_at AS was_due) "
					"SELECT key, payload, attempt, token FROM taken ORDER BY was_due, effect_id", house->schema);
}

void
idem_effect_claim(const char *kind, int max, TimestampTz lease_until, Tuplestorestate *claimed)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[5] = {
		sql_text(kind), sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(GetCurrentTimestamp()), false),
		sql_datum(OIDOID, ObjectIdGetDatum(GetUserId()), false)
	};
	House		house;
	Oid		   *owners;
	int			nowners;
	char	   *query;

	param[4] = sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(lease_until), false);
	sql_house_enter(&house);
	insist_on_index();
	nowners = find_owners(&house, sql_params(3, param), &owners);
	query = claim_query(&house);
	for (int i = 0; i < nowners && tuplestore_tuple_count(claimed) < max; i++)
	{
		DestReceiver *receiver = CreateTuplestoreDestReceiver();

		SetTuplestoreDestReceiverParams(receiver, claimed, cxt, true, NULL, NULL);
		param[2] = sql_datum(REGROLEOID, ObjectIdGetDatum(owners[i]), false);
		param[3] = sql_int8(max - tuplestore_tuple_count(claimed));
		sql_stream(query, sql_params(5, param), true, receiver);
	}
	sql_house_leave(&house);
}

static bool
is_last(const pg_uuid_t *token, const pg_uuid_t *last)
{
	return last != NULL && memcmp(last, token, UUID_LEN) == 0;
}

static void
refuse_token(const char *key, const pg_uuid_t *token, const pg_uuid_t *last, const char *status)
{
	if (is_last(token, last))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("effect \"%s\" is done already", key)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("lease of effect \"%s\" is lost", key),
			 errdetail("The token is not that of the last claim; the status is \"%s\".", status),
			 errhint("Somebody else answers for the effect now, or its payload was replaced. Report before the lease ends, or claim with a longer one.")));
}

/*
 * UPDATE idem_import_effect SET status = 'done', result = $4, ...
 * WHERE key = $1 AND token = $2 AND status IN ('claimed', 'pending', 'failed') AND pg_has_role($3, owner, 'USAGE')
 *
 * As long as nobody else has claimed it, whoever had the lease last knows
 * best, even if he was late, or has reported a failure before.
 */
void
idem_effect_done(const char *key, const pg_uuid_t *token, const Jsonb *result)
{
	SqlParam	param[] = {
		sql_text(key), sql_datum(UUIDOID, PointerGetDatum(token), false),
		sql_datum(OIDOID, ObjectIdGetDatum(GetUserId()), false),
		sql_datum(JSONBOID, PointerGetDatum(result), result == NULL)
	};
	House		house;
	uint64		done;
	pg_uuid_t  *last;
	char	   *status;

	sql_house_enter(&house);
	done = sql_execute(SPI_OK_UPDATE,
					   psprintf("UPDATE %sidem_import_effect SET status = 'done', result = $4, error = NULL, "
								"due_at = NULL, done_at = clock_timestamp() "
								"WHERE key = $1 AND token = $2 AND status IN ('claimed', 'pending', 'failed') "
								"AND pg_has_role($3, owner, 'USAGE')", house.schema),
					   sql_params(lengthof(param), param));
	sql_house_leave(&house);
	if (done > 0)
		return;

	status = idem_effect_look(key, &last);
	if (!is_last(token, last) || strcmp(status, "done") != 0)
		refuse_token(key, token, last, status);
}

/*
 * UPDATE idem_import_effect SET status = <'failed' or 'pending'>, failures = failures + 1, error = $4, due_at = ...
 * WHERE key = $1 AND token = $2 AND status = 'claimed' AND pg_has_role($3, owner, 'USAGE')
 *
 * Without a time to try again: 10 seconds, doubled with each failure up to an hour.
 */
void
idem_effect_fail(const char *key, const pg_uuid_t *token, const char *error, const TimestampTz *retry_at,
				 bool give_up)
{
	SqlParam	param[] = {
		sql_text(key), sql_datum(UUIDOID, PointerGetDatum(token), false),
		sql_datum(OIDOID, ObjectIdGetDatum(GetUserId()), false), sql_text(error),
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(retry_at != NULL ? *retry_at : 0), retry_at == NULL),
		sql_datum(BOOLOID, BoolGetDatum(give_up), false),
		sql_datum(INT4OID, Int32GetDatum(MAX_FAILURES), false)
	};
	House		house;
	uint64		failed;
	pg_uuid_t  *last;
	char	   *status;

	sql_house_enter(&house);
	failed = sql_execute(SPI_OK_UPDATE,
						 psprintf("UPDATE %sidem_import_effect SET failures = failures + 1, error = $4, "
								  "status = CASE WHEN $6 OR $5 IS NULL AND failures + 1 >= $7 "
								  "THEN 'failed' ELSE 'pending' END, "
								  "due_at = CASE WHEN NOT ($6 OR $5 IS NULL AND failures + 1 >= $7) "
								  "THEN coalesce($5, clock_timestamp() + least(interval '10 seconds' "
								  "* power(2, least(failures, 10)), interval '1 hour')) END "
								  "WHERE key = $1 AND token = $2 AND status = 'claimed' "
								  "AND pg_has_role($3, owner, 'USAGE')", house.schema),
						 sql_params(lengthof(param), param));
	sql_house_leave(&house);
	if (failed > 0)
		return;

	status = idem_effect_look(key, &last);
	if (!is_last(token, last) || strcmp(status, "done") == 0)
		refuse_token(key, token, last, status);
}
