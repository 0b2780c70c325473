/*-------------------------------------------------------------------------
 *
 * verify_rows.c
 *	  The rows of a unit that differ: how many, and which.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "flow/verify.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#define MAX_KEYS	10

#define STAGED		"idem_import_staged"

/* Rows that have the columns of the key among theirs, as c1, ... */
typedef struct KeyedRows
{
	const char *name;
	TupleDesc	desc;
	Tuplestorestate *rows;
	int64		nrows;
} KeyedRows;

/*
 * SELECT coalesce(sum(abs(h.n)), 0)::bigint AS differing FROM
 *    (SELECT sum(r.n) AS n FROM
 *       (SELECT idem_import_hash(s.c1, s.c2) AS hash, 1 AS n FROM idem_import_staged s
 *        UNION ALL SELECT idem_import_hash(t."a", t."b"), -1 FROM target t WHERE <scope>) r
 *     GROUP BY r.hash) h
 *
 * The target is as large as the source that was staged for this; hashes are
 * narrow, and grouping them goes to disk where memory is short.
 */
static int64
count_unkeyed(Run *run, Stage *stage, const StagedUnit *staged)
{
	const Target *target = run->target;
	int64		differing;
	SqlRow		row;

	sql_begin();
	sql_register(STAGED, idem_stage_desc(stage), staged->rows, staged->winners);
	(void) sql_row(psprintf("SELECT coalesce(pg_catalog.sum(pg_catalog.abs(h.n)), 0)::pg_catalog.int8 AS differing "
							"FROM (SELECT pg_catalog.sum(r.n) AS n FROM "
							"(SELECT %s AS hash, 1 AS n FROM " STAGED " s "
							"UNION ALL SELECT %s, -1 FROM %s t WHERE %s) r GROUP BY r.hash) h",
							idem_target_hash(target, true), idem_target_hash(target, false), target->name,
							idem_scope_predicate(target->scope, "t")),
				   idem_unit_params(target->scope, staged->unit), false, CurrentMemoryContext, &row);
	differing = sql_column_int8(&row, "differing", 0);
	sql_forget(STAGED);
	sql_end();
	return differing;
}

/*
 * SELECT jsonb_agg(jsonb_build_object('a', k.c1, 'b', k.c2)) AS keys FROM
 *    (SELECT r.* FROM (SELECT c1, c2 FROM idem_import_fresh
 *                      UNION ALL SELECT c1, c2 FROM idem_import_changed) r
 *     ORDER BY r.c1 COLLATE "C" USING OPERATOR(pg_catalog.<), r.c2 USING OPERATOR(pg_catalog.<) LIMIT 10) k
 */
static char *
keys_query(const Target *target, const KeyedRows *parts, int nparts)
{
	StringInfoData object;
	StringInfoData columns;
	StringInfoData order;
	StringInfoData rows;

	initStringInfo(&object);
	initStringInfo(&columns);
	initStringInfo(&order);
	initStringInfo(&rows);
	for (int i = 0; i < target->nkeys; i++)
	{
		const KeyColumn *key = &target->keys[i];
		const char *comma = i > 0 ? ", " : "";

		appendStringInfo(&object, "%s%s, k.c%d", comma,
						 quote_literal_cstr(target->columns[key->column].name), key->column + 1);
		appendStringInfo(&columns, "%sc%d", comma, key->column + 1);
		appendStringInfo(&order, "%sr.c%d", comma, key->column + 1);
		if (OidIsValid(key->collation))
			appendStringInfo(&order, " COLLATE %s", generate_collation_name(key->collation));
		appendStringInfo(&order, " USING %s", sql_operator(key->lt_opr));
	}
	for (int i = 0; i < nparts; i++)
		appendStringInfo(&rows, "%sSELECT %s FROM %s", i > 0 ? " UNION ALL " : "", columns.data, parts[i].name);

	return psprintf("SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(%s)) AS keys FROM "
					"(SELECT r.* FROM (%s) r ORDER BY %s LIMIT %d) k",
					object.data, rows.data, order.data, MAX_KEYS);
}

static void
add_part(KeyedRows *parts, int *nparts, const char *name, TupleDesc desc, Tuplestorestate *rows, int64 nrows)
{
	KeyedRows	part = {name, desc, rows, nrows};

	if (nrows > 0)
		parts[(*nparts)++] = part;
}

/* The keys of the first rows that differ, in the order of the index that holds them. */
static Jsonb *
first_keys(Run *run, const StagedUnit *staged, const Judged *judged)
{
	MemoryContext cxt = CurrentMemoryContext;
	const Diff *diff = judged->diff;
	const Missing *missing = judged->missing;
	Tuplestorestate *found = NULL;
	TupleDesc	found_desc;
	KeyedRows	parts[4];
	int			nparts = 0;
	bool		isnull;
	SqlRow		row;
	Jsonb	   *keys;

	add_part(parts, &nparts, "idem_import_fresh", diff->fresh_desc, diff->fresh_rows, diff->fresh);
	add_part(parts, &nparts, "idem_import_changed", diff->desc, diff->changed_rows, diff->changed);
	add_part(parts, &nparts, "idem_import_gone", diff->desc, diff->gone_rows, diff->gone);
	if (missing != NULL && missing->missing > 0 && missing->rows == NULL)
		found = idem_missing_keys(run->target, staged->unit, &judged->present, false, &found_desc);
	if (missing != NULL && missing->missing > 0)
		add_part(parts, &nparts, "idem_import_missing", found != NULL ? found_desc : missing->desc,
				 found != NULL ? found : missing->rows, missing->missing);

	sql_begin();
	for (int i = 0; i < nparts; i++)
		sql_register(parts[i].name, parts[i].desc, parts[i].rows, parts[i].nrows);
	(void) sql_row(keys_query(run->target, parts, nparts), NULL, false, cxt, &row);
	for (int i = 0; i < nparts; i++)
		sql_forget(parts[i].name);
	sql_end();
	keys = DatumGetJsonbPCopy(sql_column(&row, "keys", &isnull));
	if (found != NULL)
		tuplestore_end(found);
	return keys;
}

Jsonb *
idem_verify_no_keys(const Target *target)
{
	if (target->nkeys == 0)
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("[]")));
}

int64
idem_verify_rows(Run *run, Stage *stage, const StagedUnit *staged, const Comparison *comparison,
				 const Fingerprint *target, Jsonb **keys)
{
	Judged		judged;
	int64		differing;

	*keys = NULL;
	if (run->target->nkeys == 0)
		return idem_fingerprint_equal(&staged->inside, target) ? 0 : count_unkeyed(run, stage, staged);

	run->target->nulls_in_key = staged->nulls_in_key || run->nmovers > 0;
	idem_run_judge(run, stage, staged, comparison, false, &judged);
	differing = idem_judged_rows(&judged);
	*keys = differing > 0 ? first_keys(run, staged, &judged) : idem_verify_no_keys(run->target);
	idem_run_free_judged(&judged, staged);
	return differing;
}
