/*-------------------------------------------------------------------------
 *
 * stage_state.h
 *	  A stage from the inside: shared by stage_read.c, which fills it, and
 *	  stage.c, which hands its units out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_STAGE_STATE_H
#define IDEM_STAGE_STATE_H

#include "executor/tuptable.h"
#include "flow/stage.h"
#include "utils/tuplesort.h"

struct Stage
{
	Source	   *source;
	const Definition *def;
	List	   *units;			/* NIL: any */
	List	   *expected;		/* those that the rows being read may belong to */
	int			next_unit;
	TupleDesc	desc;			/* a staged row, and of the next two what is needed */
	int64		nread;			/* rows to judge, and how many have been: */
	int64		njudged;
	int			slice_place;	/* the number of the row's slice, or -1 */
	int			lost_place;		/* whether it has lost to a row of its key, or -1 */
	RowHasher  *hasher;
	Digester   *digester;		/* of a read that is only compared */
	Digest	   *digest;
	const bytea *differing;		/* keep only rows of these buckets; NULL: all */
	RowHasher  *key_hasher;
	SourceSink	pass;			/* takes the rows of a stage that keeps none */
	void	   *pass_arg;
	bool		pass_taken;		/* so far it took them all */
	Tuplestorestate *null_key_rows; /* of such a stage */
	Fingerprint null_keys;
	MemoryContext cxt;			/* of the hasher, which may have grown */
	MemoryContext row_cxt;		/* reset for each row */
	Datum	   *scope_values;
	bool	   *scope_isnull;
	Datum	   *values;			/* a row of desc */
	bool	   *isnull;

	Tuplesortstate *sort;		/* or, with nothing to sort: */
	Tuplestorestate *store;
	Fingerprint stored;			/* of what went into the store */
	Tuplestorestate *winners;	/* of all units, where keys cross them */
	Tuplestorestate *outside_rows;
	Fingerprint outside;		/* of those */
	bool		counts;			/* rows set aside are counted only */
	BadRows    *uncast_rows;	/* rows that can't be cast; NULL: none */
	Tuplestorestate *uncast_keys; /* as staged, those of which the key can be cast */
	Fingerprint uncast;
	RowHasher  *raw_hasher;
	bool		lines_taken;	/* the source's lines that are no rows have been handed out */
	bool		stopped;		/* there are so many that the rest was not read */

	TupleTableSlot *passing;	/* a row on its way into a sort */
	TupleTableSlot *head;		/* the next row of the sort, if any */
	TupleTableSlot *winner;
	bool		has_head;
};

/* in stage_read.c */

extern Stage *idem_stage_create(Source *source, const Definition *def, List *units);

/* Copy a row's scope values into the stage's arrays. */
extern void idem_stage_scope_values(Stage *stage, const Datum *values, const bool *isnull);

/* Let the stage keep only rows of the differing buckets. */
extern void idem_stage_filter(Stage *stage, const bytea *differing);

/* Sinks of a read: that only sums rows, that keeps them, that passes them on. */
extern bool idem_stage_digest_row(void *arg, Datum *values, bool *isnull);
extern bool idem_stage_keep_row(void *arg, Datum *values, bool *isnull);
extern bool idem_stage_pass_row(void *arg, Datum *values, bool *isnull);

/* The sink for rows that can't be cast, of any of them. */
extern bool idem_stage_uncast_row(void *arg, const UncastRow *row);

/*
 * A sort by unit, or by key and declared order, or by both; NULL if that is
 * no order at all.
 */
extern Tuplesortstate *idem_stage_begin_sort(Stage *stage, bool by_unit, bool by_key);
extern void idem_stage_sort_row(Stage *stage, Tuplesortstate *sort, const Datum *values, const bool *isnull);

#endif							/* IDEM_STAGE_STATE_H */
