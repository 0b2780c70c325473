/*-------------------------------------------------------------------------
 *
 * engine.h
 *	  Which engine writes a target.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_ENGINE_H
#define IDEM_ENGINE_H

#include "flow/target.h"

/* From how many rows on a run may give a table new storage without being told to. */
extern int	idem_min_swap_rows;

/* Defines the settings idem_import.engine and idem_import.min_swap_rows. */
extern void idem_engine_init(void);

/*
 * Why the target can only be written by plain SQL, the portable engine, as a
 * sentence without a period, empty if that was asked for; NULL: the native
 * engine takes it.
 */
extern const char *idem_engine_obstacle(const Target *target);

#endif							/* IDEM_ENGINE_H */
