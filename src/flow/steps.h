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
	List	   *steps;			/* of Step * */
} Steps;

/*
 * The steps of an import, in their order, made in CurrentMemoryContext.
 * Raises what idem_run raises before it reads rows.
 */
extern Steps *idem_steps(const char *import, const char *scope);

/* Read only rows that belong to none of the units (NIL: to no unit there can be). */
extern void idem_steps_bind_strays(Source *source, List *units);

#endif							/* IDEM_STEPS_H */
