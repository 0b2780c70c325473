/*-------------------------------------------------------------------------
 *
 * apply_step.h
 *	  The steps of writing a target.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_APPLY_STEP_H
#define IDEM_APPLY_STEP_H

#include "flow/bad_rows.h"
#include "flow/changes.h"
#include "utils/tuplestore.h"

/* In the order in which they are tried. */
typedef enum StepKind
{
	STEP_REMOVE,
	STEP_DELETE,
	STEP_UPDATE,
	STEP_INSERT,
	NUM_STEPS,
	STEP_EXCHANGE				/* a part of the update */
} StepKind;

typedef struct Step
{
	StepKind	kind;
	char	   *query;			/* NULL: insert natively */
	ParamListInfo params;
	TupleDesc	desc;			/* of the rows that it reads as s */
	Tuplestorestate *rows;		/* that are still to be written */
	int64		nrows;
	ChangedRows *told;			/* where to put what was written; NULL: nobody asks */
	int64		part;			/* write so many at a time; 0: all together */
	bool		by_place;		/* the place of each row says in which table to look for it */
	bool		key_is_taken;	/* a key that the target has will not be found there */
	bool		pending;
	bool		exchange_done;	/* nothing is left that an UPDATE can't set */
	int64		written;
	int64		exchanged;		/* of these, by an exchange */
	Tuplestorestate *again;		/* rows of statements that wrote fewer than they were given, */
	int64		nagain;
	int64		missed;			/* how many fewer */
	ErrorData  *error;			/* why it is still pending */
	const char *remark;			/* why nothing can be done about that, or NULL */
	List	   *stores;			/* tuplestores of its own */
} Step;

/* How many rows to insert at a time; 0: all. */
extern int64 idem_insert_part(const Target *target, int64 nrows);

/* Write a step's rows, and count them. */
extern void idem_write_step(const Target *target, Step *step);

/*
 * Write a step's rows in a subtransaction, or in several.  Those that are
 * refused, with others of the same statement, leave it pending, with the error.
 */
extern void idem_try_step(const Target *target, Step *step);

/*
 * Try all pending steps as long as one of them gets through, rows that
 * exchange unique values included; add to bad the rows that are refused all the
 * same.  What may still be pending then is the insert, where another
 * session has inserted a key, and anything if bad is full; else raises why.
 */
extern void idem_run_steps(const Target *target, Step *steps, BadRows *bad);

/* Free what a step has made. */
extern void idem_step_free(Step *step);

/* in apply_sift.c */

/*
 * Write what can be written of a step that was refused as a whole.  Rows that
 * may pass later stay with the step, unless "last"; the others are bad.
 * Returns whether there are fewer left.
 */
extern bool idem_sift_step(const Target *target, Step *step, bool last, BadRows *bad);

/* Write some of a step's rows in a subtransaction; NULL, or why they were refused. */
extern ErrorData *idem_try_rows(const Target *target, Step *step, Tuplestorestate *rows, int64 nrows, bool from_here);

/*
 * Run a statement that writes, within sql_begin and sql_end; "code" is what it
 * gives without RETURNING.  What it returns goes to told, unless that is NULL.
 */
extern int64 idem_execute_told(int code, const char *query, ParamListInfo params, Tuplestorestate *told);

/* Is it the key that another session inserted meanwhile? */
extern bool idem_is_key_violation(const Target *target, const ErrorData *error);

/* A snapshot for the whole transaction can't see the other session's row: 40001. */
extern void idem_refuse_unseen_key(const ErrorData *error);

#endif							/* IDEM_APPLY_STEP_H */
