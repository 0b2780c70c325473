/*-------------------------------------------------------------------------
 *
 * functions.h
 *	  What the files of SQL-callable functions share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_FUNCTIONS_H
#define IDEM_FUNCTIONS_H

#include "flow/run.h"
#include "fmgr.h"

/*
 * Run an import for a function that returns setof idem_import_result; if it
 * fails, the recorder writes that down.  Errors: see idem_run.
 */
extern void idem_functions_run(FunctionCallInfo fcinfo, const RunRequest *request);

#endif							/* IDEM_FUNCTIONS_H */
