/*-------------------------------------------------------------------------
 *
 * steps.h
 *	  The runs that a call takes which commits each of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_STEPS_H
#define IDEM_STEPS_H

#include "flow/run.h"

/* What one of them is asked for; see RunRequest. */
typedef struct Step
{
	char	   *scope;
	bool		alone;
	bool		strays;
} Step;

typedef struct Steps
{
	int			version;		/* of the definition that they follow, */
	TimestampTz created_at;		/* and when it was created */
	int64		batch_size;		/* NO_LIMIT: a step is one batch */
	bool		whole;			/* they are of all units */
	List	   *steps;			/* of Step * */
} Steps;

/*
 * The steps of an import, in their order, made in CurrentMemoryContext.
 * "part": other units of the source are others' affair.  Raises what idem_run
 * raises before it reads rows.
 */
extern Steps *idem_steps(const char *import, const char *scope, bool part);

/*
 * Take the steps one by one, each divided into its pages, with the request
 * filled in: take(arg, last) runs it and commits.  "last": there is no other
 * step, though there may be another page, as the request's paging tells after
 * the run.  CurrentMemoryContext must outlive the transactions.  A run raises
 * 55000 if the import is no more what the steps were made for.
 */
extern void idem_steps_take(const Steps *steps, RunRequest *request,
							void (*take) (void *arg, bool last), void *arg);

/* Read only rows that belong to none of the units (NIL: to no unit there can be). */
extern void idem_steps_bind_strays(Source *source, List *units);

#endif							/* IDEM_STEPS_H */
