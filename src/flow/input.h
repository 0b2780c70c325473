/*-------------------------------------------------------------------------
 *
 * input.h
 *	  The named input of a run: a file, or what the caller calls it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_INPUT_H
#define IDEM_INPUT_H

#include "flow/run_unit.h"

/*
 * Call work(run), with the run's file, if it has one, in the place of the
 * import's source, and note its named input, if it has one, as complete.  An
 * input that is known and in place is skipped: then there is no work.
 *
 * Errors: 55006 if another transaction runs an input of that name with other
 * content; what reading the file raises (file.h).
 */
extern void idem_run_input(Run *run, void (*work) (Run *run));

#endif							/* IDEM_INPUT_H */
