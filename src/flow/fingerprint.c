/*-------------------------------------------------------------------------
 *
 * fingerprint.c
 *	  What a unit holds, without looking at single rows.
 *
 * Queries with an aggregate, so that the planner may use an index for the
 * scope, leave out partitions, or run in parallel.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "flow/fingerprint.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

/* A function's arguments besides the columns: bits and shape */
#define DIGEST_ARGUMENTS	3

/*
 * SELECT count(*) AS rows, idem_import_checksum(idem_import_hash(t."a", t."b")) AS checksum
 * FROM target t WHERE <scope>
 */
static Fingerprint
sum_target(const Target *target, const Unit *unit, bool fresh)
{
	Fingerprint result;
	House		house;
	SqlRow		row;
	bool		isnull;
	char	   *query;

	sql_house_find(&house);
	sql_begin();
	query = psprintf("SELECT pg_catalog.count(*) AS rows, "
					 "%sidem_import_checksum(%s) AS checksum FROM %s t WHERE %s",
					 house.schema, idem_target_hash(target, false), target->name,
					 idem_scope_predicate(target->scope, "t"));
	(void) sql_row(query, idem_unit_params(target->scope, unit), fresh, CurrentMemoryContext, &row);
	result.rows = sql_column_int8(&row, "rows", 0);
	result.checksum = idem_hash_from_uuid(DatumGetUUIDP(sql_column(&row, "checksum", &isnull)));
	sql_end();
	return result;
}

/* '{3,-1,0}': as idem_import_digest takes it */
static SqlParam
shape_param(int width, int gone, const Target *target)
{
	Datum	   *numbers = palloc(sizeof(Datum) * (target->nkeys + 2));

	numbers[0] = Int16GetDatum(width);
	numbers[1] = Int16GetDatum(gone);
	for (int i = 0; i < target->nkeys; i++)
		numbers[i + 2] = Int16GetDatum(target->keys[i].column);
	return sql_datum(INT2ARRAYOID,
					 PointerGetDatum(construct_array(numbers, target->nkeys + 2, INT2OID,
													 sizeof(int16), true, TYPALIGN_SHORT)),
					 false);
}

static Digest *
digest_column(const SqlRow *row, int bits)
{
	bool		isnull;
	Datum		value = sql_column(row, "digest", &isnull);

	return isnull ? idem_digest_create(bits) : idem_digest_from_bytea(DatumGetByteaPP(value));
}

/*
 * SELECT idem_import_digest($2, $3, t."a", t."b") AS digest FROM target t WHERE <scope>
 */
static Digest *
digest_target(const Target *target, const Unit *unit, int bits, bool fresh)
{
	ParamListInfo params = idem_unit_params(target->scope, unit);
	MemoryContext cxt = CurrentMemoryContext;
	Digest	   *digest;
	House		house;
	SqlRow		row;
	char	   *query;

	sql_house_find(&house);
	sql_begin();
	query = psprintf("SELECT %sidem_import_digest($%d, $%d, %s) AS digest FROM %s t WHERE %s",
					 house.schema, params->numParams + 1, params->numParams + 2,
					 idem_target_columns(target, "t."), target->name,
					 idem_scope_predicate(target->scope, "t"));
	params = sql_params_with(params, sql_datum(INT4OID, Int32GetDatum(bits), false));
	params = sql_params_with(params, shape_param(target->ncolumns, -1, target));
	(void) sql_row(query, params, fresh, CurrentMemoryContext, &row);
	MemoryContextSwitchTo(cxt);
	digest = digest_column(&row, bits);
	sql_end();
	return digest;
}

Digest *
idem_digest_target(const Target *target, const Unit *unit, int bits)
{
	Fingerprint sum;
	Digest	   *digest;

	if (target->ncolumns + DIGEST_ARGUMENTS <= FUNC_MAX_ARGS && (bits > 0 || target->obstacle == NULL))
		return digest_target(target, unit, bits, false);

	Assert(bits == 0);
	sum = sum_target(target, unit, false);
	digest = idem_digest_create(0);
	digest->rows = sum.rows;
	digest->sum = digest->image = sum.checksum;
	return digest;
}

Fingerprint
idem_fingerprint_target(const Target *target, const Unit *unit, bool fresh)
{
	Fingerprint sum;
	Digest	   *digest;

	/* where rows may be on another machine, a plain type's sum can be made there */
	if (target->ncolumns + DIGEST_ARGUMENTS > FUNC_MAX_ARGS || target->obstacle != NULL)
		return sum_target(target, unit, fresh);

	digest = digest_target(target, unit, 0, fresh);
	sum.rows = digest->rows;
	sum.checksum = digest->sum;
	idem_digest_free(digest);
	return sum;
}

void
idem_digest_source_shape(const Source *source, DigestShape *shape)
{
	const Target *target = source->target;
	Oid		   *types = palloc(sizeof(Oid) * source->desc->natts);
	int		   *keys = palloc(sizeof(int) * Max(target->nkeys, 1));

	for (int i = 0; i < source->desc->natts; i++)
		types[i] = TupleDescAttr(source->desc, i)->atttypid;
	for (int i = 0; i < target->nkeys; i++)
		keys[i] = target->keys[i].column;
	shape->natts = source->desc->natts;
	shape->types = types;
	shape->width = target->ncolumns;
	shape->gone = source->gone;
	shape->nkeys = target->nkeys;
	shape->keys = keys;
}

/*
 * SELECT count(*) FILTER (WHERE s.inside IS NOT TRUE) AS outside,
 *        idem_import_digest($2, $3, s.c1, s.c2, s.o1) FILTER (WHERE s.inside) AS digest
 * FROM (SELECT s."a", s."b", (updated_at), <scope> FROM (...) AS s) AS s (c1, c2, o1, inside)
 */
Digest *
idem_digest_source(const Source *source, const Unit *unit, bool ignore_outside, int bits)
{
	const Target *target = source->target;
	ParamListInfo params = idem_source_params(source, unit);
	MemoryContext cxt = CurrentMemoryContext;
	StringInfoData names;
	Digest	   *digest = NULL;
	House		house;
	SqlRow		row;
	char	   *query;

	if (!idem_source_as_it_is(source) || source->desc->natts + DIGEST_ARGUMENTS > FUNC_MAX_ARGS)
		return NULL;

	sql_house_find(&house);
	sql_begin();
	initStringInfo(&names);
	for (int i = 0; i < source->desc->natts; i++)
		appendStringInfo(&names, "%ss.%s", i > 0 ? ", " : "", NameStr(TupleDescAttr(source->desc, i)->attname));
	query = psprintf("SELECT pg_catalog.count(*) FILTER (WHERE s.inside IS NOT TRUE) AS outside, "
					 "%sidem_import_digest($%d, $%d, %s) FILTER (WHERE s.inside) AS digest FROM (%s) AS s (%s, inside)",
					 house.schema, params->numParams + 1, params->numParams + 2, names.data,
					 idem_source_query(source, idem_scope_predicate(target->scope, "s"), ignore_outside ? source->within : NULL),
					 idem_source_names(source));
	params = sql_params_with(params, sql_datum(INT4OID, Int32GetDatum(bits), false));
	params = sql_params_with(params, shape_param(target->ncolumns, source->gone, target));
	(void) sql_row(query, params, false, CurrentMemoryContext, &row);
	MemoryContextSwitchTo(cxt);
	if (ignore_outside || sql_column_int8(&row, "outside", 0) == 0)
		digest = digest_column(&row, bits);
	sql_end();
	return digest;
}
