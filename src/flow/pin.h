/*-------------------------------------------------------------------------
 *
 * pin.h
 *	  The user and the settings that an import's SQL runs under.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_PIN_H
#define IDEM_PIN_H

#include "ledger/definition.h"

typedef struct Pin
{
	Oid			saved_user;
	int			saved_context;
	int			guc_level;
} Pin;

/*
 * Become the import's owner, as REFRESH MATERIALIZED VIEW does (restricted
 * where the caller is another), with the import's settings; and go back.
 */
extern void idem_pin(const Definition *def, Pin *pin);
extern void idem_unpin(const Pin *pin);

/*
 * The settings that a definition pins: the user's (a jsonb object, or NULL)
 * over those that decide how values are read and written.  Those that are
 * remembered of the session that created the import stay what they were
 * before (NULL: it is being created), as who alters it may have others.
 * 22023 for what is no object of settings, or sets what an import must not.
 */
extern Jsonb *idem_pin_settings(Jsonb *settings, const Jsonb *before);

#endif							/* IDEM_PIN_H */
