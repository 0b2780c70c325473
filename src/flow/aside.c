/*-------------------------------------------------------------------------
 *
 * aside.c
 *	  Staged rows set aside become rejects.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "executor/tstoreReceiver.h"
#include "flow/aside.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define BAD_ROWS "idem_import_bad"

/* SELECT s.c1 AS "a", s.c2 AS "b" */
static char *
row_select(const Target *target)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&buf, "%s s.c%d AS %s", i > 0 ? "," : "SELECT", i + 1,
						 quote_identifier(target->columns[i].name));
	return buf.data;
}

/* SELECT s.c1 AS "a", of the key's columns; NULL without a key */
static char *
key_select(const Target *target)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->nkeys; i++)
		appendStringInfo(&buf, "%s s.c%d AS %s", i > 0 ? "," : "SELECT", target->keys[i].column + 1,
						 quote_identifier(target->columns[target->keys[i].column].name));
	return target->nkeys > 0 ? buf.data : NULL;
}

/*
 * CASE WHEN s.c1 IS NULL THEN 'a' ... WHEN s.mark IS NULL THEN 'seq' END: the
 * column whose NULL is to blame; or what to say of it.
 */
static char *
null_column(const Source *source, bool message)
{
	const Target *target = source->target;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "CASE");
	for (int i = 0; i < target->nkeys; i++)
	{
		const char *name = target->columns[target->keys[i].column].name;

		if (message)
			name = psprintf("null value in key column %s", quote_identifier(name));
		if (!target->keys[i].nulls_equal)
			appendStringInfo(&buf, " WHEN s.c%d IS NULL THEN %s", target->keys[i].column + 1,
							 quote_literal_cstr(name));
	}
	if (source->mark >= 0)
		appendStringInfo(&buf, " WHEN s.mark IS NULL THEN %s",
						 quote_literal_cstr(!message ? source->cursor_name :
											psprintf("null value in cursor column %s",
													 quote_identifier(source->cursor_name))));
	appendStringInfoString(&buf, " END::pg_catalog.text");
	return buf.data;
}

/*
 * SELECT pg_catalog.to_jsonb(r.*), pg_catalog.to_jsonb(k.*), '23502', message, column, NULL::text
 * FROM idem_import_bad s, LATERAL (SELECT s.c1 AS "a", ...) r, LATERAL (SELECT s.c1 AS "a") k
 */
static void
append_rejects(const Target *target, TupleDesc desc, Tuplestorestate *rows, int64 nrows,
			   const char *sqlstate, const char *message, const char *column, Tuplestorestate *rejects)
{
	DestReceiver *receiver;
	char	   *key;
	char	   *query;

	if (nrows == 0)
		return;

	sql_begin();
	key = key_select(target);
	query = psprintf("SELECT pg_catalog.to_jsonb(r.*), %s, %s::pg_catalog.text, %s, %s, NULL::pg_catalog.text "
					 "FROM " BAD_ROWS " s, LATERAL (%s) r%s%s%s",
					 key != NULL ? "pg_catalog.to_jsonb(k.*)" : "NULL::pg_catalog.jsonb",
					 quote_literal_cstr(sqlstate), message, column, row_select(target),
					 key != NULL ? ", LATERAL (" : "", key != NULL ? key : "", key != NULL ? ") k" : "");
	receiver = CreateTuplestoreDestReceiver();
	SetTuplestoreDestReceiverParams(receiver, rejects, CurrentMemoryContext, true, NULL, NULL);
	sql_register(BAD_ROWS, desc, rows, nrows);
	sql_stream(query, NULL, true, receiver);
	sql_forget(BAD_ROWS);
	sql_end();
}

void
idem_set_aside(const Source *source, TupleDesc desc, const StagedUnit *staged, Tuplestorestate *rejects)
{
	const Target *target = source->target;

	append_rejects(target, desc, staged->outside_rows, staged->outside, "II005",
				   "'row is outside the scope of the run'::pg_catalog.text",
				   "NULL::pg_catalog.text", rejects);
	append_rejects(target, desc, staged->null_key_rows, staged->null_keys, "23502",
				   null_column(source, true), null_column(source, false), rejects);
}
