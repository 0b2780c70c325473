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
#include "miscadmin.h"
#include "utils/guc.h"
#include "worker/board.h"
#include "worker/launcher.h"
#include "worker/settings.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	idem_progress_init();
	idem_announce_init();
	idem_engine_init();
	idem_settings_init();
	MarkGUCPrefixReserved("idem_import");

	/* elsewhere the worker is started by hand; an upgrade wants none */
	if (process_shared_preload_libraries_in_progress && !IsBinaryUpgrade)
	{
		idem_board_init();
		idem_launcher_init();
	}
}
