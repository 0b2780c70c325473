/*-------------------------------------------------------------------------
 *
 * idem_import.c
 *	  The front door: what the server meets when it loads the library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/progress.h"
#include "flow/engine.h"
#include "fmgr.h"
#include "ledger/announce.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	idem_progress_init();
	idem_announce_init();
	idem_engine_init();
	MarkGUCPrefixReserved("idem_import");
}
