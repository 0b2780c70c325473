/*-------------------------------------------------------------------------
 *
 * backfill.h
 *	  The units from a first to a last one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_BACKFILL_H
#define IDEM_BACKFILL_H

#include "ledger/definition.h"

/*
 * Names of the units (List of char *, in CurrentMemoryContext) from the one
 * that "first" names to the one that "last" names, both included, in logical
 * order.  0A000 for an import without one scope column, or where units can't be
 * counted through; 22023 for a text that names several units.
 */
extern List *idem_backfill_units(const Definition *def, const char *first, const char *last);

#endif							/* IDEM_BACKFILL_H */
