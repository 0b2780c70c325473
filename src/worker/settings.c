/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The worker's settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"
#include "worker/board.h"
#include "worker/settings.h"

int			idem_max_workers = 2;
static char *databases = NULL;

/* Names, quoted as in SQL where they need to be. */
static bool
check_databases(char **value, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*value);
	List	   *names;
	bool		good = SplitIdentifierString(copy, ',', &names);

	if (!good)
		GUC_check_errdetail("It is a list of database names, separated by commas.");
	list_free(names);
	pfree(copy);
	return good;
}

void
idem_settings_init(void)
{
	DefineCustomStringVariable("idem_import.databases",
							   "Sets the databases whose tasks the worker runs.",
							   "A list of names, separated by commas. Empty: all databases.",
							   &databases,
							   "",
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   check_databases, NULL, NULL);
	DefineCustomIntVariable("idem_import.max_workers",
							"Sets how many tasks may run at once, in all databases together.",
							"Each takes one of max_worker_processes. 0: tasks wait.",
							&idem_max_workers,
							2, 0, BOARD_EXECUTORS,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);
}

bool
idem_settings_serve(const char *database)
{
	char	   *copy = pstrdup(databases);
	List	   *names;
	ListCell   *lc;
	bool		found;

	if (!SplitIdentifierString(copy, ',', &names))
		names = NIL;
	found = names == NIL;
	foreach(lc, names)
		found = found || strcmp(lfirst(lc), database) == 0;
	list_free(names);
	pfree(copy);
	return found;
}
