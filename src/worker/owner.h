/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  An executor's transactions, as the owner of an import.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_OWNER_H
#define IDEM_OWNER_H

/* Remember the timeouts that the database has, before the worker takes its own. */
extern void idem_owner_remember_timeouts(void);

/*
 * Begin a transaction as a role: whatever runs in it, until it has committed,
 * runs as that role, with the settings that the role would have in this
 * database.  42704 if there is no such role.
 */
extern void idem_owner_begin(Oid owner);
extern void idem_owner_commit(void);

/* As after a disconnect: nothing that one task's code has set reaches the next. */
extern void idem_owner_discard(void);

#endif							/* IDEM_OWNER_H */
