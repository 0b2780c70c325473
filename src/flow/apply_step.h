/*-------------------------------------------------------------------------
 *
 * apply_step.h
 *	  The steps of writing a target.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_APPLY_STEP_H
#define IDEM_APPLY_STEP_H

#include "flow/changes.h"
#include "utils/tuplestore.h"

/* In the order in which they are tried. */
typedef enum StepKind
{
	STEP_REMOVE,
	STEP_DELETE,
	STEP_UPDATE,
	STEP_INSERT,
	NUM_STEPS
} StepKind;

typedef struct Step
{
	int			code;			/* SPI's for success */
	char	   *query;			/* NULL: insert natively */
	ParamListInfo params;
	TupleDesc	desc;			/* of the rows that it reads as s */
	Tuplestorestate *rows;
	int64		nrows;
	ChangedRows *told;			/* where to put what was written; NULL: nobody asks */
	bool		by_place;		/* the place of each row says in which table to look for it */
	bool		pending;
	bool		exchange_done;	/* nothing is left that an UPDATE can't set */
	int64		written;
	int64		exchanged;		/* of these, by an exchange */
	ErrorData  *error;			/* why it is still pending */
} Step;

/*
 * Run a statement that writes, within sql_begin and sql_end; "code" is what it
 * gives without RETURNING.  What it returns goes to told, unless that is NULL.
 */
extern int64 idem_execute_told(int code, const char *query, ParamListInfo params, Tuplestorestate *told);

/*
 * Run a step in a subtransaction.  A violated constraint leaves it pending,
 * with the error; any other error is raised.
 */
extern void idem_try_step(const Target *target, Step *step);

/*
 * Try all pending steps as long as one of them gets through, rows that
 * exchange unique values included.  What may still be pending then is the
 * insert, where another session has inserted a key; else raises why.
 */
extern void idem_run_steps(const Target *target, Step *steps);

/* Is it the key that another session inserted meanwhile? */
extern bool idem_is_key_violation(const Target *target, const ErrorData *error);

/* A snapshot for the whole transaction can't see the other session's row: 40001. */
extern void idem_refuse_unseen_key(const ErrorData *error);

#endif							/* IDEM_APPLY_STEP_H */
