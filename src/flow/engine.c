/*-------------------------------------------------------------------------
 *
 * engine.c
 *	  Which engine writes a target, and the settings that say so.
 *
 * The native engine gives the very same result as the portable one, sooner,
 * where it can give it at all.  So there is nothing to choose but for someone
 * who doubts that, or who looks for the cause of a trouble.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "flow/engine.h"
#include "flow/insert.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/rel.h"

typedef enum Engine
{
	ENGINE_AUTO,
	ENGINE_PORTABLE
} Engine;

static const struct config_enum_entry engines[] = {
	{"auto", ENGINE_AUTO, false},
	{"portable", ENGINE_PORTABLE, false},
	{NULL, 0, false}
};

static int	engine = ENGINE_AUTO;
int			idem_min_swap_rows = 50000;

void
idem_engine_init(void)
{
	DefineCustomEnumVariable("idem_import.engine",
							 "Sets how target tables are written.",
							 "\"auto\" writes ordinary tables natively, \"portable\" writes all by SQL statements.",
							 &engine,
							 ENGINE_AUTO,
							 engines,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("idem_import.min_swap_rows",
							"Sets from how many rows on a run may give a table new storage.",
							"Where method \"swap\" was declared it does so with any number of rows.",
							&idem_min_swap_rows,
							50000, 0, INT_MAX,
							PGC_USERSET,
							0,
							NULL, NULL, NULL);
}

const char *
idem_engine_obstacle(const Target *target)
{
	const char *obstacle = idem_inserter_obstacle(target);

	/* the place of a row is a system column: rights on single columns do not do */
	if (obstacle == NULL && target->nkeys > 0 &&
		pg_class_aclcheck(RelationGetRelid(target->rel), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		obstacle = "the import's owner may not read the whole target";

	if (obstacle == NULL && engine == ENGINE_PORTABLE)
		return "";
	return obstacle;
}
