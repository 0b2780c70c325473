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

/* A text that may be NULL. */
extern char *idem_argument_text(FunctionCallInfo fcinfo, int n);

/* A text that may be neither NULL nor empty; 22004 or 22023. */
extern char *idem_argument_name(FunctionCallInfo fcinfo, int n, const char *argument);

/* A boolean that may not be NULL; 22004. */
extern bool idem_argument_bool(FunctionCallInfo fcinfo, int n, const char *argument);

/* A relation, InvalidOid for NULL; 42P01 for '-'. */
extern Oid	idem_argument_relation(FunctionCallInfo fcinfo, int n, const char *argument);

/* 0A000 naming the argument, unless it is NULL. */
extern void idem_argument_refuse(FunctionCallInfo fcinfo, int n, const char *argument);

/* Fill a definition, all but its owner, from the arguments of idem_import_create. */
extern void idem_arguments_create(FunctionCallInfo fcinfo, Definition *def);

/*
 * Change a definition by those arguments of idem_import_alter that are not
 * NULL; an empty text or array clears one.  Returns whether the columns are to
 * be chosen anew.
 */
extern bool idem_arguments_alter(FunctionCallInfo fcinfo, Definition *def);

#endif							/* IDEM_ARGUMENTS_H */
