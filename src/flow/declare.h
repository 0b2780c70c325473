/*-------------------------------------------------------------------------
 *
 * declare.h
 *	  Is a definition one that can be run?
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_DECLARE_H
#define IDEM_DECLARE_H

#include "ledger/definition.h"

/*
 * Check a definition as a whole, against source and target as they are, as
 * its owner and with its settings; with "resolve", choose its columns first
 * (all that source and target share, or those given) and record what the
 * source has.  Raises 22023 for arguments that don't go together, 42703 for
 * columns that are not there, 42501 for missing privileges, and what opening
 * source and target raises.
 */
extern void idem_declare(Definition *def, bool resolve);

#endif							/* IDEM_DECLARE_H */
