/*-------------------------------------------------------------------------
 *
 * manifest.h
 *	  Named inputs, and what has become of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_MANIFEST_H
#define IDEM_MANIFEST_H

#include "ledger/history.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* Lengths of names and hashes, in bytes. */
#define MAX_INPUT_NAME	1024
#define MAX_INPUT_HASH	64

/* An input of which everything was applied. */
typedef struct KnownInput
{
	const char *name;
	int64		run_id;			/* the last of the runs that applied it */
	List	   *units;			/* names of their units, of String */
} KnownInput;

/* A hash as the records of runs carry it, in hexadecimal digits. */
extern char *idem_manifest_hash(const uint8 *hash, int len);

/*
 * Locks, held to the end of the transaction.  The payload's comes first: it
 * waits for whoever brings the same bytes, under whatever name.  Then the
 * name's can only be taken by who brings others: 55006.  An input without a
 * hash can't be told from others of its name, and waits for them.
 */
extern void idem_manifest_lock(const char *import, const InputRecord *input);

/*
 * An input of the same hash, run with the same scope text, of which
 * everything was applied; as of now.  False if there is none, or no hash.  A
 * file must have been read with the same options; NULL: it is not known how
 * its bytes are read, which is taken to be the same.
 */
extern bool idem_manifest_find(const char *import, const InputRecord *input, const Jsonb *options,
							   KnownInput *known);

/* All of the run's input was applied, in these units (List of String). */
extern void idem_manifest_complete(const RunRecord *run, const Jsonb *options, int64 rows, List *units);

/* It was met again, and left alone. */
extern void idem_manifest_skipped(const RunRecord *run);

/* The run over it failed, or waits for approval; what was complete stays so. */
extern void idem_manifest_failed(const RunRecord *run);

/* Delete an import's manifest. */
extern void idem_manifest_purge(const char *import);

#endif							/* IDEM_MANIFEST_H */
