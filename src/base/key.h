/*-------------------------------------------------------------------------
 *
 * key.h
 *	  Deterministic surrogate keys: the same values give the same uuid, on
 *	  any server, at any time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_KEY_H
#define IDEM_KEY_H

#include "utils/uuid.h"

typedef struct KeyMaker KeyMaker;

/* What a key maker learns about types lives in cxt. */
extern KeyMaker *idem_key_maker_create(MemoryContext cxt);

/* The key of n values; the uuid is palloc'd. */
extern pg_uuid_t *idem_key_make(KeyMaker *maker, int n, const Oid *types,
								const Datum *values, const bool *isnull);

#endif							/* IDEM_KEY_H */
