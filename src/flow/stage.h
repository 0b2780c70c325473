/*-------------------------------------------------------------------------
 *
 * stage.h
 *	  The rows of a source, sorted into units, one winner for each key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_STAGE_H
#define IDEM_STAGE_H

#include "flow/bad_rows.h"
#include "flow/fingerprint.h"
#include "utils/tuplestore.h"

typedef struct StagedUnit
{
	Unit	   *unit;			/* NULL: rows that no unit owns, all set aside */
	Fingerprint read;			/* of all rows that were read */
	Fingerprint inside;			/* of those inside the unit */
	int64		collapsed;		/* lost to another row of their key */
	int64		null_keys;		/* in null_key_rows */
	int64		outside;		/* in outside_rows */
	int64		uncast;			/* in uncast_rows */
	int64		winners;		/* in rows */
	int64		spared;			/* not looked at one by one: known to be unchanged */
	bool		nulls_in_key;	/* some of them have a NULL in the key */
	Tuplestorestate *rows;		/* what is to be applied */
	Tuplestorestate *null_key_rows; /* NULL if none */
	Tuplestorestate *outside_rows;	/* likewise */
	BadRows    *uncast_rows;	/* likewise */
	const LineRejects *lines;	/* or NULL */
	bool		stopped;		/* so many can't be cast that the rest was not read */
} StagedUnit;

/* What a read that keeps no rows tells of those that would be set aside. */
typedef struct SetAside
{
	Fingerprint all;
	int64		outside;		/* of them, outside of the unit */
	bool		stopped;		/* so many can't be cast that the rest was not read */
} SetAside;

/* Rows that can't be cast, or written, are kept up to this number, or the import's limit if that is more. */
#define MIN_REJECTS_KEPT	1000

extern int64 idem_rejects_kept(const Definition *def);	/* -1: any number */

typedef struct Stage Stage;

/*
 * What the source holds for one unit ('*' or static), without keeping it: of
 * rows inside the unit, with 2^bits buckets, and of those that are to be set
 * aside before anything else is asked of them.
 */
extern Digest *idem_stage_digest(Source *source, const Definition *def, Unit *unit, int bits, SetAside *aside);

/*
 * Read the source, under the active snapshot, for units in logical order;
 * units NIL: for whatever units its rows belong to.  "differing": only rows
 * whose key is in such a bucket; NULL: all.  Raises II005 for a row outside
 * the units, unless the import says otherwise.
 */
extern Stage *idem_stage_begin(Source *source, const Definition *def, List *units, const bytea *differing);

/* Hand out no unit, only what belongs to none of them. */
extern void idem_stage_only_outside(Stage *stage);

/* The sum of the images (half hashes) that were read from those buckets. */
extern uint64 idem_stage_differing_sum(Stage *stage);

/* A stage for one unit that keeps no rows but those set aside, to be passed once. */
extern Stage *idem_stage_open(Source *source, const Definition *def, Unit *unit);

/*
 * Read the source, and pass its rows on without looking for two of one key.
 * Tells what idem_stage_next tells of the unit, and the sum of the images that
 * were passed on; false if the sink did not take a row, and the rest was not
 * read.
 */
extern bool idem_stage_pass(Stage *stage, SourceSink sink, void *arg, StagedUnit *staged, Hash128 *image);

/*
 * The next unit with its rows; false when there is none.  Units that were
 * asked for come even if the source has no row of them.  Raises II003 where
 * two rows of one key differ and no order tells which one wins.
 */
extern bool idem_stage_next(Stage *stage, StagedUnit *staged);
extern void idem_stage_free_unit(StagedUnit *staged);
extern void idem_stage_end(Stage *stage);

/*
 * The winners of all units together, where rows of one key may belong to
 * different units; NULL where they can't.
 */
extern Tuplestorestate *idem_stage_winners(Stage *stage);

/*
 * Rows of any unit that can't be cast, but for their key: the rest of a row is
 * NULL where it failed.  NULL: none.
 */
extern Tuplestorestate *idem_stage_uncast_keys(Stage *stage);

/* The descriptor of the rows in a unit's tuplestores. */
extern TupleDesc idem_stage_desc(Stage *stage);

#endif							/* IDEM_STAGE_H */
