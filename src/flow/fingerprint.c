/*-------------------------------------------------------------------------
 *
 * fingerprint.c
 *	  What a unit of the target holds.
 *
 * A query with an aggregate, so that the planner may use an index for the
 * scope, leave out partitions, run in parallel, or ship the sum to where the
 * rows are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "flow/fingerprint.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

/*
 * t."a", t."b", or ROW(t."a", ...) where there are more columns than a
 * function has arguments, or where the only one is a composite, which would
 * be taken for a row.
 */
static char *
hash_arguments(const Target *target)
{
	StringInfoData buf;
	bool		as_row = target->ncolumns > FUNC_MAX_ARGS ||
		(target->ncolumns == 1 && type_is_rowtype(target->columns[0].type));

	initStringInfo(&buf);
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&buf, "%st.%s", i > 0 ? ", " : "", quote_identifier(target->columns[i].name));
	return as_row ? psprintf("ROW(%s)", buf.data) : buf.data;
}

/*
 * SELECT count(*) AS rows, idem_import_checksum(idem_import_hash(t."a", t."b")) AS checksum
 * FROM target t WHERE <scope>
 */
Fingerprint
idem_fingerprint_target(const Target *target, const Unit *unit, bool fresh)
{
	Fingerprint result;
	House		house;
	SqlRow		row;
	bool		isnull;
	char	   *query;

	sql_house_find(&house);
	sql_begin();
	query = psprintf("SELECT pg_catalog.count(*) AS rows, "
					 "%1$sidem_import_checksum(%1$sidem_import_hash(%2$s)) AS checksum "
					 "FROM %3$s t WHERE %4$s",
					 house.schema, hash_arguments(target), target->name,
					 idem_scope_predicate(target->scope, "t"));
	(void) sql_row(query, idem_unit_params(target->scope, unit), fresh, CurrentMemoryContext, &row);
	result.rows = sql_column_int8(&row, "rows", 0);
	result.checksum = idem_hash_from_uuid(DatumGetUUIDP(sql_column(&row, "checksum", &isnull)));
	sql_end();
	return result;
}
