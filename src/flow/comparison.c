/*-------------------------------------------------------------------------
 *
 * comparison.c
 *	  Source and target of a unit, compared before any row is looked at.
 *
 * Most rows of most runs are unchanged, and a join is an expensive way to find
 * that out: rows are wide, and both sides must be held or sorted.  So both are
 * digested first, each by one scan that may run in parallel: a sum of row
 * hashes for each bucket of keys.  Where the sums of a bucket agree, source and
 * target hold the same rows there; only the rest is staged and joined.  With
 * a few rows in a bucket, one changed row in a hundred leaves as few rows in a
 * hundred to look at, for a few megabytes of memory however large the tables
 * are.
 *
 * A narrow hash join of all rows, and a hash table of our own, were tried
 * before: they read the same two tables, but need memory for each row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/progress.h"
#include "base/relation.h"
#include "base/sql.h"
#include "flow/comparison.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"

#define ROWS_PER_BUCKET		4
#define MIN_BITS			10

/*
 * A target is not summed for so few rows: looking up each of them is cheaper,
 * and decides as well.
 */
#define MANY_ROWS			1000000
#define FEW_SHARE			0.02

/* Arguments of idem_import_digest and idem_import_bucket_differs, with the columns */
#define MAX_DIGEST_COLUMNS	(FUNC_MAX_ARGS - 3)

double
idem_source_expected_rows(const Source *source, const Unit *unit)
{
	const char *within = source->by_unit || unit == NULL ? NULL : source->within;

	return sql_expected_rows(idem_source_query(source, NULL, within),
							 idem_source_params(source, unit));
}

/* SELECT FROM target t WHERE <scope> */
static double
expected_target_rows(const Target *target, const Unit *unit)
{
	return sql_expected_rows(psprintf("SELECT FROM %s t WHERE %s", target->name,
									  idem_scope_predicate(target->scope, "t")),
							 idem_unit_params(target->scope, unit));
}

/*
 * May rows that are equal be left out of what follows?  Keys that are equal
 * must fall into one bucket, and nothing may touch rows that do not differ.
 */
static bool
has_buckets(const Source *source, const Definition *def)
{
	const Target *target = source->target;

	if (target->obstacle != NULL || target->nkeys == 0 || source->desc->natts > MAX_DIGEST_COLUMNS ||
		def->method == METHOD_REPLACE || idem_relation_delete_cascades(target->rel) ||
		idem_relation_update_cascades(target->rel))
		return false;
	for (int i = 0; i < target->nkeys; i++)
	{
		if (!target->keys[i].equal_is_same)
			return false;
	}
	return true;
}

static int
bucket_bits(double rows)
{
	uint64		buckets = (uint64) Min(rows, 1e12) / ROWS_PER_BUCKET;
	uint64		affordable = (uint64) work_mem * 1024 / sizeof(uint64) / 2;
	int			bits = pg_leftmost_one_pos64(Max(Min(buckets, affordable), 1)) + 1;

	return Max(Min(bits, DIGEST_MAX_BITS), MIN_BITS);
}

static void
read_source(Source *source, const Definition *def, Unit *unit, int bits, Comparison *comparison)
{
	comparison->source = idem_stage_digest(source, def, unit, bits, &comparison->aside);
	comparison->read = comparison->aside.all;
	comparison->read.rows += comparison->source->rows;
	idem_hash_add(&comparison->read.checksum, comparison->source->sum);
}

/* Is all that was read what the receipt says? */
static bool
source_as_before(const Receipt *receipt, const Comparison *comparison)
{
	return idem_fingerprint_equal(&receipt->source, &comparison->read);
}

static bool
target_as_before(const Receipt *receipt, const Comparison *comparison)
{
	return receipt->target.rows == comparison->target->rows &&
		idem_hash_equal(receipt->target.checksum, comparison->target->sum);
}

static void
compare_buckets(Source *source, const Definition *def, Unit *unit, bool has_receipt,
				const Receipt *receipt, double expected_target, Comparison *comparison)
{
	int			bits = bucket_bits(Max(comparison->expected, expected_target));
	int64		ndiffering;
	int64		nfilled;

	/* most likely nothing has changed since; then the target's buckets do not matter */
	if (has_receipt)
	{
		read_source(source, def, unit, bits, comparison);
		if (source_as_before(receipt, comparison))
		{
			comparison->target = idem_digest_target(source->target, unit, 0);
			if (target_as_before(receipt, comparison))
				return;
			idem_digest_free(comparison->target);
		}
	}
	comparison->target = idem_digest_target(source->target, unit, bits);

	/* with nothing to compare to, the source need not be read for it */
	if (comparison->target->rows == 0 && !has_receipt)
		return;
	if (!has_receipt)
		read_source(source, def, unit, bits, comparison);

	/* rows outside of the unit have no bucket */
	if (comparison->aside.outside > 0 || comparison->aside.stopped)
		return;
	comparison->differing = idem_digest_compare(comparison->source, comparison->target, &ndiffering, &nfilled);
	comparison->share = (double) ndiffering / Max(nfilled, 1);
	idem_digest_drop_buckets(comparison->target);
}

void
idem_compare(Source *source, const Definition *def, Unit *unit, const Receipt *receipt,
			 bool force, Comparison *comparison)
{
	bool		has_receipt = receipt->version == def->version && !force;
	double		expected_target = expected_target_rows(source->target, unit);

	idem_progress_phase(PROGRESS_COMPARING, PROGRESS_UNKNOWN, PROGRESS_UNKNOWN);
	memset(comparison, 0, sizeof(Comparison));
	comparison->expected = idem_source_expected_rows(source, unit);
	comparison->share = 1;

	if (source->target->nkeys > 0 && source->target->guarded && !idem_removes_missing(def) &&
		expected_target > MANY_ROWS && comparison->expected < expected_target * FEW_SHARE)
	{
		comparison->few = expected_target * FEW_SHARE;
		return;
	}
	if (has_buckets(source, def) && !force)
	{
		compare_buckets(source, def, unit, has_receipt, receipt, expected_target, comparison);
		return;
	}
	if (has_receipt)
	{
		read_source(source, def, unit, 0, comparison);
		if (source_as_before(receipt, comparison))
			comparison->target = idem_digest_target(source->target, unit, 0);
	}
	else if (source->target->nkeys == 0)
	{
		/* all that can be told of rows without keys is whether they are the same */
		comparison->target = idem_digest_target(source->target, unit, 0);
		if (comparison->target->rows > 0 && !force)
			read_source(source, def, unit, 0, comparison);
	}
}
