/*-------------------------------------------------------------------------
 *
 * culprit.h
 *	  What makes a reading differ from the next one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_CULPRIT_H
#define IDEM_CULPRIT_H

typedef struct Culprit
{
	const char *what;			/* follows "it": "has TABLESAMPLE" */
	const char *cure;			/* the hint */
} Culprit;

/* Remember the culprit.  Returns true, which ends a walk. */
static inline bool
idem_found(Culprit *culprit, const char *what, const char *cure)
{
	culprit->what = what;
	culprit->cure = cure;
	return true;
}

#endif							/* IDEM_CULPRIT_H */
