/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  Work that may fail because of the rows that it is given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_ATTEMPT_H
#define IDEM_ATTEMPT_H

#include "utils/elog.h"

/*
 * Is the error about the row at hand, so that other rows can still do?  This
 * decides what becomes a reject and what fails a run: values that a type, a
 * constraint, a view's check option or a trigger does not take (a tsquery that
 * is none comes as a syntax error), and rows that are too large for an index.
 * Not: rights, locks, serialization, resources,
 * missing objects, nor anything of class II.
 */
extern bool idem_error_is_about_row(const ErrorData *error);

/*
 * Might such a row do once others have been written: uniqueness, exclusion,
 * foreign keys?
 */
extern bool idem_error_may_pass(const ErrorData *error);

/*
 * Call work(arg) in a subtransaction.  Returns NULL if that went well, and
 * the error in CurrentMemoryContext if it is about a row: then all that the
 * work did is undone.  Any other error is raised again.
 */
extern ErrorData *idem_attempt(void (*work) (void *arg), void *arg);

/* The same, returning whatever error there is. */
extern ErrorData *idem_attempt_any(void (*work) (void *arg), void *arg);

#endif							/* IDEM_ATTEMPT_H */
