/*-------------------------------------------------------------------------
 *
 * results.h
 *	  What runs have done, as rows of idem_import_result.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RESULTS_H
#define IDEM_RESULTS_H

#include "fmgr.h"
#include "nodes/pg_list.h"

/*
 * Add a row for each record (List of RunRecord *) to the set that a function
 * returns, once InitMaterializedSRF has been called.  has_run_id: false for a
 * plan, which has no number.
 */
extern void idem_put_results(FunctionCallInfo fcinfo, const List *results, bool has_run_id);

#endif							/* IDEM_RESULTS_H */
