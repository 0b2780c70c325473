/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  What PostgreSQL itself offers that changes from run to run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_CLOCK_H
#define IDEM_CLOCK_H

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "flow/culprit.h"
#include "nodes/primnodes.h"

/*
 * Is it a built-in function that is worth a better word than "volatile", or
 * that is not volatile but changes from run to run all the same?
 */
extern bool idem_clock_function(Oid funcid, Form_pg_proc form, Culprit *culprit);

/* Is the expression one that is no function, CURRENT_DATE or an identity's value? */
extern bool idem_clock_expression(Node *node, Culprit *culprit);

/*
 * Does a raw tree (of a SELECT) hold a literal that analysis turns into the
 * present time?
 */
extern bool idem_clock_literal(Node *raw, Culprit *culprit);

/*
 * Is it a constant of a date or time that "text", at the constant's place,
 * spells with a word for the clock?  Also finds what no cast tells, as in
 * day > 'today'.
 */
extern bool idem_clock_constant(Const *constant, const char *text, Culprit *culprit);

/*
 * Does the text of a date or time contain a word for the clock, as in 'now',
 * 'Today 12:00' and '[yesterday,tomorrow)'?
 */
extern bool idem_clock_word(const char *text);

/*
 * Is a type made of dates or times, and of nothing else, as date, date[] and
 * tsrange are?
 */
extern bool idem_clock_type(Oid type);

#endif							/* IDEM_CLOCK_H */
