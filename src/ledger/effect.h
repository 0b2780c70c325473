/*-------------------------------------------------------------------------
 *
 * effect.h
 *	  Actions on the outside world, each guarded by a key: the outbox.
 *
 * An effect is pending until a sender claims it, with a token and for the time
 * of its lease; with the token the sender reports what came of it.  There
 * is at most one effect of a key, whatever its status, so what is done is
 * never done again.
 *
 *	  awaiting_approval -> pending -> claimed -> done
 *							  ^			 |
 *							  +----------+-> failed
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_EFFECT_H
#define IDEM_EFFECT_H

#include "access/tupdesc.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#define EFFECT_NATTS	4

/* What a run wants done: (key text, kind text, payload jsonb, approval boolean) */
extern TupleDesc idem_effect_desc(void);

/* 22004 or 22023 for what can't be a key or kind. */
extern void idem_effect_require_key(const char *key);
extern void idem_effect_require_kind(const char *kind);

/*
 * Save the effects of a run (a tuplestore of the shape above) for the owner of
 * its import.  One whose key is there already replaces what has not been
 * claimed, if it differs, and else is left out.  Returns how many were added or
 * replaced.  Raises II003 for effects of one key that differ, 42501 for a key
 * that belongs to somebody else.
 */
extern int64 idem_effect_save(const char *import, const char *unit, int64 run_id, Oid owner,
							  Tuplestorestate *effects);

/*
 * Add one by hand, for the current user; payload may be NULL.  Returns its
 * status.  23505 if the key is there with another kind or payload, 42501 if it
 * belongs to somebody else.
 */
extern char *idem_effect_add(const char *key, const char *kind, const Jsonb *payload, bool approval);

/* Let it be claimed, if it waits for approval or has failed; else 55000; 42704, 42501. */
extern void idem_effect_approve(const char *key);

/* What a done effect gave, in CurrentMemoryContext; NULL if there is nothing.  42501. */
extern Jsonb *idem_effect_result(const char *key);

/* Delete the effects that were done before, and that "who" may use; returns how many. */
extern uint64 idem_effect_prune(TimestampTz before, Oid who);

/*
 * 42704 unless the key is there, 42501 unless the current user may use it;
 * else its status and its last token, for an error that says more.
 */
extern char *idem_effect_look(const char *key, pg_uuid_t **token);

/* in effect_claim.c */

/*
 * Claim up to max effects of a kind that are due, the oldest first, until
 * lease_until, and append (key, payload, attempt, token) of each.
 */
extern void idem_effect_claim(const char *kind, int max, TimestampTz lease_until, Tuplestorestate *claimed);

/*
 * Report what came of a claimed effect.  Reporting the same twice is fine; 55000
 * if somebody else has claimed it since, or it is done already.
 */
extern void idem_effect_done(const char *key, const pg_uuid_t *token, const Jsonb *result);

/*
 * retry_at NULL: later each time, and after many times never; give_up: never.
 */
extern void idem_effect_fail(const char *key, const pg_uuid_t *token, const char *error,
							 const TimestampTz *retry_at, bool give_up);

#endif							/* IDEM_EFFECT_H */
