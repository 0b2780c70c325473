/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  SQL arguments, checked one by one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_ARGUMENTS_H
#define IDEM_ARGUMENTS_H

#include "fmgr.h"
#include "ledger/definition.h"
#include "ledger/history.h"

/* A text that may be NULL. */
extern char *idem_argument_text(FunctionCallInfo fcinfo, int n);

/* A text that may be neither NULL nor empty; 22004 or 22023. */
extern char *idem_argument_name(FunctionCallInfo fcinfo, int n, const char *argument);

/* A boolean that may not be NULL; 22004. */
extern bool idem_argument_bool(FunctionCallInfo fcinfo, int n, const char *argument);

/* A relation, InvalidOid for NULL; 42P01 for '-'. */
extern Oid	idem_argument_relation(FunctionCallInfo fcinfo, int n, const char *argument);

/* 22004 naming the argument, if it is NULL. */
extern void idem_argument_require(FunctionCallInfo fcinfo, int n, const char *argument);

/*
 * A named input and its hash, NULL for none.  22023 for a hash without a name,
 * or one that is empty or too long; for a name as idem_argument_name, and if it
 * is too long.
 */
extern void idem_argument_input(FunctionCallInfo fcinfo, int name, int hash, InputRecord *input);
extern void idem_argument_require_input_name(const char *name, const char *argument);

/* Fill a definition, all but its owner, from the arguments of idem_import_create. */
extern void idem_arguments_create(FunctionCallInfo fcinfo, Definition *def);

/*
 * Change a definition by those arguments of idem_import_alter that are not
 * NULL; an empty text or array clears one.  Returns whether the columns are to
 * be chosen anew.
 */
extern bool idem_arguments_alter(FunctionCallInfo fcinfo, Definition *def);

#endif							/* IDEM_ARGUMENTS_H */
