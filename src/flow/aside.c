/*-------------------------------------------------------------------------
 *
 * aside.c
 *	  Staged rows set aside become rejects.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "flow/aside.h"
#include "ledger/reject.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define BAD_ROWS "idem_import_bad"

/* SELECT s.c1 AS "a", s.c2 AS "b", s.<gone> AS "flag" */
static char *
row_select(const Target *target, const char *flag, const char *gone)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&buf, "%s s.c%d AS %s", i > 0 ? "," : "SELECT", i + 1,
						 quote_identifier(target->columns[i].name));
	if (flag != NULL && idem_target_column(target, flag) < 0)
		appendStringInfo(&buf, ", s.%s AS %s", gone, quote_identifier(flag));
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
 * SELECT pg_catalog.to_jsonb(r.*), pg_catalog.to_jsonb(k.*), <reason>, 'staged'
 * FROM idem_import_bad s, LATERAL (SELECT s.c1 AS "a", ...) r, LATERAL (SELECT s.c1 AS "a") k
 */
static void
append_rejects(const Target *target, const char *row, const char *reason, const char *kind,
			   TupleDesc desc, Tuplestorestate *rows, int64 nrows, Tuplestorestate *rejects)
{
	DestReceiver *receiver;
	char	   *key;
	char	   *query;

	sql_begin();
	key = key_select(target);
	query = psprintf("SELECT pg_catalog.to_jsonb(r.*), %s, %s, %s::pg_catalog.text FROM " BAD_ROWS " s, LATERAL (%s) r%s%s%s",
					 key != NULL ? "pg_catalog.to_jsonb(k.*)" : "NULL::pg_catalog.jsonb",
					 reason, quote_literal_cstr(kind), row,
					 key != NULL ? ", LATERAL (" : "", key != NULL ? key : "", key != NULL ? ") k" : "");
	receiver = CreateTuplestoreDestReceiver();
	SetTuplestoreDestReceiverParams(receiver, rejects, CurrentMemoryContext, true, NULL, NULL);
	sql_register(BAD_ROWS, desc, rows, nrows);
	sql_stream(query, NULL, true, receiver);
	sql_forget(BAD_ROWS);
	sql_end();
}

/* SQLSTATE, message, column, constraint and position that all of them share. */
static char *
one_reason(const char *sqlstate, const char *message, const char *column)
{
	return psprintf("%s::pg_catalog.text, %s::pg_catalog.text, %s::pg_catalog.text, "
					"NULL::pg_catalog.text, NULL::pg_catalog.int8",
					quote_literal_cstr(sqlstate), message, column);
}

static void
append_bad_rows(const Target *target, const char *row, const char *kind, const BadRows *bad, Tuplestorestate *rejects)
{
	append_rejects(target, row, "s.sqlstate, s.message, s.column_name, s.constraint_name, s.\"position\"",
				   kind, bad->desc, bad->rows, bad->nrows, rejects);
}

void
idem_set_aside_lines(const LineRejects *lines, Tuplestorestate *rejects)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(idem_reject_desc(), &TTSOpsMinimalTuple);

	tuplestore_rescan(lines->rows);
	while (tuplestore_gettupleslot(lines->rows, true, false, slot))
		tuplestore_puttupleslot(rejects, slot);
	ExecDropSingleTupleTableSlot(slot);
}

void
idem_set_aside(const Source *source, const char *flag, TupleDesc desc, const StagedUnit *staged,
			   Tuplestorestate *rejects)
{
	const Target *target = source->target;
	char	   *row = row_select(target, flag, "gone");

	if (staged->lines != NULL)
		idem_set_aside_lines(staged->lines, rejects);
	if (staged->uncast > 0)
		append_bad_rows(target, row_select(target, flag, psprintf("c%d", target->ncolumns + 1)), REJECT_SOURCE,
						staged->uncast_rows, rejects);
	if (staged->outside > 0)
		append_rejects(target, row, one_reason("II005", "'row is outside the scope of the run'", "NULL"),
					   REJECT_STAGED, desc, staged->outside_rows, staged->outside, rejects);
	if (staged->null_keys > 0)
		append_rejects(target, row,
					   one_reason("23502", null_column(source, true), null_column(source, false)),
					   REJECT_STAGED, desc, staged->null_key_rows, staged->null_keys, rejects);
}

void
idem_set_aside_refused(const Target *target, const char *flag, const BadRows *bad, Tuplestorestate *rejects)
{
	if (bad->nrows > 0)
		append_bad_rows(target, row_select(target, flag, psprintf("c%d", target->ncolumns + 1)), REJECT_STAGED,
						bad, rejects);
}
