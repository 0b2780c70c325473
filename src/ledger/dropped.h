/*-------------------------------------------------------------------------
 *
 * dropped.h
 *	  Whose imports were that are dropped, and have left a record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_DROPPED_H
#define IDEM_DROPPED_H

/* The import is being dropped, its record stays.  Errors: none. */
extern void idem_dropped_remember(const char *import);

/* Nothing is left of it.  Errors: none. */
extern void idem_dropped_forget(const char *import);

/*
 * The current user creates an import of that name, and so goes on with what
 * is left of the dropped one.  42501 unless he has the rights of its owner.
 */
extern void idem_dropped_adopt(const char *import);

#endif							/* IDEM_DROPPED_H */
