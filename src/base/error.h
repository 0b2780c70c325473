/*-------------------------------------------------------------------------
 *
 * error.h
 *	  SQLSTATE class II: what a run refuses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_ERROR_H
#define IDEM_ERROR_H

#include "utils/elog.h"

#define ERRCODE_IDEM_APPROVAL_REQUIRED	MAKE_SQLSTATE('I','I','0','0','1')
#define ERRCODE_IDEM_NOT_DETERMINISTIC	MAKE_SQLSTATE('I','I','0','0','2')
#define ERRCODE_IDEM_AMBIGUOUS_DUPLICATE MAKE_SQLSTATE('I','I','0','0','3')
#define ERRCODE_IDEM_TOO_MANY_REJECTS	MAKE_SQLSTATE('I','I','0','0','4')
#define ERRCODE_IDEM_OUT_OF_SCOPE		MAKE_SQLSTATE('I','I','0','0','5')
#define ERRCODE_IDEM_COLUMNS_CHANGED	MAKE_SQLSTATE('I','I','0','0','6')
#define ERRCODE_IDEM_NOT_IDEMPOTENT		MAKE_SQLSTATE('I','I','0','0','7')

#endif							/* IDEM_ERROR_H */
