/*-------------------------------------------------------------------------
 *
 * missing.c
 *	  Target rows of a unit that no staged row asks for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "flow/diff.h"
#include "flow/missing.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define PRESENT "idem_import_present"

typedef struct MissingReceiver
{
	DestReceiver pub;
	Missing    *missing;
} MissingReceiver;

/* The hash comes last, and is not kept. */
static bool
missing_receive(TupleTableSlot *slot, DestReceiver *self)
{
	Missing    *missing = ((MissingReceiver *) self)->missing;

	slot_getallattrs(slot);
	idem_hash_add(&missing->sum, idem_hash_from_uuid(DatumGetUUIDP(slot->tts_values[missing->desc->natts])));
	tuplestore_putvalues(missing->rows, missing->desc, slot->tts_values, slot->tts_isnull);
	missing->missing++;
	return true;
}

static void
missing_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
missing_nothing(DestReceiver *self)
{
}

/* The key, which keeps the names of staged rows: c1, c3. */
static void
add_key_columns(const Target *target, TupleDesc desc, int after)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		const TargetColumn *column = &target->columns[target->keys[i].column];
		int			attnum = after + i + 1;

		TupleDescInitEntry(desc, attnum, psprintf("c%d", target->keys[i].column + 1), column->type, column->typmod, 0);
		TupleDescInitEntryCollation(desc, attnum, column->collation);
	}
}

/* The place of a row and its key. */
static TupleDesc
missing_desc(const Target *target)
{
	TupleDesc	desc = CreateTemplateTupleDesc(target->nkeys + 2);

	TupleDescInitEntry(desc, 1, DIFF_PLACE, TIDOID, -1, 0);
	TupleDescInitEntry(desc, 2, DIFF_LEAF, OIDOID, -1, 0);
	add_key_columns(target, desc, 2);
	return desc;
}

/* t."a", t."b", or s.c1, s.c2: the key, each after a comma */
static char *
key_columns(const Target *target, bool staged)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < target->nkeys; i++)
	{
		int			column = target->keys[i].column;

		if (staged)
			appendStringInfo(&buf, ", s.c%d", column + 1);
		else
			appendStringInfo(&buf, ", t.%s", quote_identifier(target->columns[column].name));
	}
	return buf.data;
}

/*
 * FROM target t
 * LEFT JOIN (SELECT true AS idem_import_here, s.c1 FROM idem_import_present s) s ON <key>
 * WHERE <scope>
 */
static char *
from_clause(const Target *target)
{
	return psprintf("FROM %s t LEFT JOIN (SELECT true AS idem_import_here%s FROM " PRESENT " s) s ON %s WHERE %s",
					target->name, key_columns(target, true),
					target->nkeys > 0 ? idem_target_key_match(target) : "false",
					idem_scope_predicate(target->scope, "t"));
}

/*
 * SELECT count(*) AS total, count(*) FILTER (WHERE s.idem_import_here IS NULL) AS missing FROM ...
 */
static void
count_rows(const Target *target, ParamListInfo params, bool now, Missing *missing)
{
	SqlRow		row;

	(void) sql_row(psprintf("SELECT pg_catalog.count(*) AS total, "
							"pg_catalog.count(*) FILTER (WHERE s.idem_import_here IS NULL) AS missing %s",
							from_clause(target)),
				   params, now, CurrentMemoryContext, &row);
	missing->total = sql_column_int8(&row, "total", 0);
	missing->missing = sql_column_int8(&row, "missing", 0);
}

/* SELECT count(*) AS total FROM target t WHERE <scope> */
static int64
count_unit(const Target *target, ParamListInfo params, bool now)
{
	SqlRow		row;

	(void) sql_row(psprintf("SELECT pg_catalog.count(*) AS total FROM %s t WHERE %s",
							target->name, idem_scope_predicate(target->scope, "t")),
				   params, now, CurrentMemoryContext, &row);
	return sql_column_int8(&row, "total", 0);
}

/*
 * SELECT t.ctid, t.tableoid, t."a", idem_import_hash(t."a", t."b") FROM ...
 * AND s.idem_import_here IS NULL AND idem_import_bucket_differs($2, t."a")
 */
static void
find_rows(const Target *target, ParamListInfo params, const bytea *differing, bool now, Missing *missing)
{
	MissingReceiver receiver = {{0}};
	char	   *bucket = "";

	if (differing != NULL)
	{
		bucket = psprintf(" AND %s", idem_target_bucket(target, params->numParams + 1));
		params = sql_params_with(params, sql_datum(BYTEAOID, PointerGetDatum(differing), false));
	}
	receiver.pub.receiveSlot = missing_receive;
	receiver.pub.rStartup = missing_startup;
	receiver.pub.rShutdown = missing_nothing;
	receiver.pub.rDestroy = missing_nothing;
	receiver.pub.mydest = DestTuplestore;	/* to SPI, DestNone is no SELECT */
	receiver.missing = missing;
	sql_stream(psprintf("SELECT t.ctid, t.tableoid%s, %s %s AND s.idem_import_here IS NULL%s",
						key_columns(target, false), idem_target_hash(target, false), from_clause(target), bucket),
			   params, now, &receiver.pub);
}

/* SELECT t."a" FROM ... AND s.idem_import_here IS NULL */
Tuplestorestate *
idem_missing_keys(const Target *target, const Unit *unit, const Present *present, bool now, TupleDesc *desc)
{
	Tuplestorestate *keys = tuplestore_begin_heap(true, false, work_mem);
	DestReceiver *receiver = CreateTuplestoreDestReceiver();

	*desc = CreateTemplateTupleDesc(target->nkeys);
	add_key_columns(target, *desc, 0);
	SetTuplestoreDestReceiverParams(receiver, keys, CurrentMemoryContext, false, NULL, NULL);
	sql_begin();
	sql_register(PRESENT, present->desc, present->rows, present->nrows);
	sql_stream(psprintf("SELECT %s %s AND s.idem_import_here IS NULL",
						key_columns(target, false) + strlen(", "), from_clause(target)),
			   idem_unit_params(target->scope, unit), now, receiver);
	sql_forget(PRESENT);
	sql_end();
	return keys;
}

Missing *
idem_missing_find(const Target *target, const Unit *unit, const Present *present, int64 total, bool now)
{
	ParamListInfo params = idem_unit_params(target->scope, unit);
	Missing    *missing = palloc0(sizeof(Missing));

	missing->total = total;
	if (target->obstacle == NULL && target->nkeys > 0)
	{
		missing->desc = missing_desc(target);
		missing->rows = tuplestore_begin_heap(true, false, work_mem);
	}

	sql_begin();
	sql_register(PRESENT, present->desc, present->rows, present->nrows);
	if (missing->rows == NULL)
		count_rows(target, params, now, missing);
	else
	{
		if (total < 0)
			missing->total = count_unit(target, params, now);
		if (missing->total > 0)
			find_rows(target, params, present->differing, now, missing);
	}
	sql_forget(PRESENT);
	sql_end();
	return missing;
}

void
idem_missing_free(Missing *missing)
{
	if (missing->rows != NULL)
	{
		tuplestore_end(missing->rows);
		FreeTupleDesc(missing->desc);
	}
	pfree(missing);
}
