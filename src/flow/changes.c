/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  The rows of a target that a run wrote.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "commands/defrem.h"
#include "executor/tstoreReceiver.h"
#include "executor/tuptable.h"
#include "flow/changes.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define OUT	"idem_import_out"
#define IN	"idem_import_in"

static void
describe_column(TupleDesc desc, AttrNumber attnum, const TargetColumn *column, const char *name)
{
	TupleDescInitEntry(desc, attnum, name, column->type, column->typmod, 0);
	TupleDescInitEntryCollation(desc, attnum, column->collation);
}

/* With olds: "a", "b", "old_a", "old_b". */
static TupleDesc
row_desc(const Target *target, bool olds)
{
	int			n = target->ncolumns;
	TupleDesc	desc = CreateTemplateTupleDesc(olds ? n * 2 : n);

	for (int i = 0; i < n; i++)
	{
		const TargetColumn *column = &target->columns[i];

		describe_column(desc, i + 1, column, column->name);
		if (olds)
			describe_column(desc, n + i + 1, column,
							idem_target_other_name(target, makeObjectName("old", column->name, NULL)));
	}
	return desc;
}

/* As staged rows have them: c1, c2 */
static TupleDesc
numbered_desc(const Target *target)
{
	TupleDesc	desc = CreateTemplateTupleDesc(target->ncolumns);

	for (int i = 0; i < target->ncolumns; i++)
		describe_column(desc, i + 1, &target->columns[i], psprintf("c%d", i + 1));
	return desc;
}

static Tuplestorestate *
no_rows(void)
{
	return tuplestore_begin_heap(true, false, work_mem);
}

Changes *
idem_changes_create(const Target *target)
{
	Changes    *changes = palloc(sizeof(Changes));

	changes->inserted.desc = row_desc(target, false);
	changes->inserted.rows = no_rows();
	changes->updated.desc = row_desc(target, true);
	changes->updated.rows = no_rows();
	changes->deleted.desc = row_desc(target, false);
	changes->deleted.rows = no_rows();
	return changes;
}

void
idem_changes_free(Changes *changes)
{
	tuplestore_end(changes->inserted.rows);
	tuplestore_end(changes->updated.rows);
	tuplestore_end(changes->deleted.rows);
	pfree(changes);
}

void
idem_changes_clear(Changes *changes)
{
	tuplestore_clear(changes->inserted.rows);
	tuplestore_clear(changes->updated.rows);
	tuplestore_clear(changes->deleted.rows);
}

static void
append_rows(ChangedRows *to, Tuplestorestate *rows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(to->desc, &TTSOpsMinimalTuple);

	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_puttupleslot(to->rows, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
}

void
idem_changes_add(Changes *to, const Changes *from)
{
	append_rows(&to->inserted, from->inserted.rows);
	append_rows(&to->updated, from->updated.rows);
	append_rows(&to->deleted, from->deleted.rows);
}

void
idem_changes_take(ChangedRows *to, Tuplestorestate *rows)
{
	Tuplestorestate *fewer = rows;

	/* most often there was nothing before */
	if (tuplestore_tuple_count(to->rows) < tuplestore_tuple_count(rows))
	{
		fewer = to->rows;
		to->rows = rows;
	}
	append_rows(to, fewer);
	tuplestore_end(fewer);
}

/*
 * The rows that came in as s, those that went out as t; rows without a key get
 * one for the occasion: a row's hash, and its number among its equals.
 *
 * (SELECT *, idem_import_hash(s.c1, s.c2) AS idem_import_hash, ...) s
 */
static char *
rows_with_key(const Target *target, bool in)
{
	char	   *hash;
	char	   *key;
	char	   *number;
	const char *name = in ? IN : OUT;
	const char *alias = in ? "s" : "t";

	if (target->nkeys > 0)
		return psprintf("%s %s", name, alias);
	hash = idem_target_hash(target, in);
	key = idem_target_other_name(target, "idem_import_hash");
	number = idem_target_other_name(target, "idem_import_number");
	return psprintf("(SELECT *, %1$s AS %2$s, pg_catalog.row_number() OVER (PARTITION BY %1$s) AS %3$s FROM %4$s %5$s) %5$s",
					hash, key, number, name, alias);
}

static char *
same_key(const Target *target)
{
	char	   *key;
	char	   *number;

	if (target->nkeys > 0)
		return idem_target_key_match(target);
	key = idem_target_other_name(target, "idem_import_hash");
	number = idem_target_other_name(target, "idem_import_number");
	return psprintf("t.%1$s OPERATOR(pg_catalog.=) s.%1$s AND t.%2$s OPERATOR(pg_catalog.=) s.%2$s", key, number);
}

/* Between sql_begin and sql_end, into memory that outlives them. */
static Tuplestorestate *
read_rows(const char *query, MemoryContext cxt)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(cxt);
	Tuplestorestate *rows = no_rows();
	DestReceiver *receiver = CreateTuplestoreDestReceiver();

	MemoryContextSwitchTo(oldcxt);
	SetTuplestoreDestReceiverParams(receiver, rows, cxt, false, NULL, NULL);
	sql_stream(query, NULL, true, receiver);
	return rows;
}

/*
 * inserted: SELECT s.c1, s.c2 FROM idem_import_in s WHERE NOT EXISTS (SELECT FROM idem_import_out t WHERE <key>)
 * deleted:  SELECT t."a", t."b" FROM idem_import_out t WHERE NOT EXISTS (SELECT FROM idem_import_in s WHERE <key>)
 * updated:  SELECT s.c1, s.c2, t."a", t."b" FROM idem_import_in s JOIN idem_import_out t ON <key> WHERE <differs>
 */
void
idem_changes_compare(const Target *target, Changes *changes)
{
	Tuplestorestate *in = changes->inserted.rows;
	Tuplestorestate *out = changes->deleted.rows;
	MemoryContext cxt = GetMemoryChunkContext(changes);
	char	   *s = rows_with_key(target, true);
	char	   *t = rows_with_key(target, false);
	char	   *match = same_key(target);
	char	   *staged = idem_target_staged_columns(target);
	char	   *columns = idem_target_columns(target, "t.");

	sql_begin();
	sql_register(IN, numbered_desc(target), in, tuplestore_tuple_count(in));
	sql_register(OUT, changes->deleted.desc, out, tuplestore_tuple_count(out));
	changes->inserted.rows = read_rows(psprintf("SELECT %s FROM %s WHERE NOT EXISTS (SELECT FROM %s WHERE %s)",
												staged, s, t, match), cxt);
	changes->deleted.rows = read_rows(psprintf("SELECT %s FROM %s WHERE NOT EXISTS (SELECT FROM %s WHERE %s)",
											   columns, t, s, match), cxt);
	if (target->nkeys > 0)
		idem_changes_take(&changes->updated,
						  read_rows(psprintf("SELECT %s, %s FROM %s JOIN %s ON %s WHERE %s",
											 staged, columns, s, t, match, idem_target_differs(target)), cxt));
	sql_forget(IN);
	sql_forget(OUT);
	sql_end();
	tuplestore_end(in);
	tuplestore_end(out);
}
