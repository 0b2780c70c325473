/*-------------------------------------------------------------------------
 *
 * target.h
 *	  The table that an import writes, opened, and its parts as SQL.
 *
 * Staged rows have the target's types but names of their own: column i of the
 * imported ones is c1, c2, ..., so that no SQL built here depends on how users
 * call their columns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_TARGET_H
#define IDEM_TARGET_H

#include "flow/scope.h"
#include "fmgr.h"
#include "ledger/definition.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

typedef struct TargetColumn
{
	char	   *name;
	AttrNumber	attnum;
	Oid			type;
	int32		typmod;
	Oid			collation;
	int16		typlen;
	bool		typbyval;
	bool		compared;		/* a difference here is a change */
	bool		updated;		/* an UPDATE sets it */
	bool		exchanged;		/* an UPDATE may not set it: the row is deleted and inserted anew */
	bool		unique;			/* stands in a unique or exclusion constraint besides the key */
} TargetColumn;

typedef struct KeyColumn
{
	int			column;			/* its place in columns */
	Oid			eq_opr;			/* the operators of the index that enforces the key */
	Oid			lt_opr;
	Oid			collation;
	bool		nulls_equal;	/* NULL may occur, and equals NULL */
	bool		default_class;
	bool		equal_is_same;	/* equal values have the same image */
	FmgrInfo	eq;
} KeyColumn;

typedef struct Target
{
	Relation	rel;
	char	   *name;			/* as SQL */
	int			ncolumns;
	TargetColumn *columns;		/* the imported ones, in the target's order */
	int			nkeys;			/* 0: rows have no key */
	KeyColumn  *keys;
	Oid			key_index;		/* InvalidOid: no index of ours can hold the key */
	bool		guarded;		/* a unique index holds the key */
	const char *obstacle;		/* why only plain SQL may write it; NULL: nothing */
	bool		may_swallow;	/* rows may vanish in triggers or rules */
	bool		overriding;		/* an imported column is GENERATED ALWAYS AS IDENTITY */
	bool		exchanges;		/* some column is exchanged */
	int			version;		/* place of the version column, or -1 */
	Oid			version_gt;		/* its > */
	Scope	   *scope;
	int		   *scope_columns;	/* their places in columns */
	bool		nulls_in_key;	/* some staged row of the unit has a NULL in its key */
	bool		scope_in_key;	/* rows of one key are rows of one unit */
} Target;

/*
 * Open the target, with a lock until the transaction ends, and bind the definition's columns to it.  Raises 42P01 and
 * 42809 for what can't be a target, II006 if a recorded column has vanished,
 * 42P10 if no unique index holds the key.
 */
extern Target *idem_target_open(const Definition *def, LOCKMODE lockmode);
extern void idem_target_close(Target *target);

/* The same, giving back the lock. */
extern void idem_target_release(Target *target, LOCKMODE lockmode);

/* 42809 or 42501 for a relation that can't be a target. */
extern void idem_target_require_kind(Relation rel);

/* II002 if a column that is not imported gets a value of chance. */
extern void idem_target_require_deterministic(const Target *target);

/* The place of a column among the imported ones, -1 if it is none of them. */
extern int	idem_target_column(const Target *target, const char *name);

/*
 * Lock the target, its partitions, what a view reads.  Not by LOCK TABLE, which asks for privileges
 * that an owner who only inserts need not have.
 */
extern void idem_target_lock(const Target *target, LOCKMODE lockmode);

/*
 * The lock that a run takes on it from the start: others may write meanwhile,
 * but not where no index guards the key.
 */
extern LOCKMODE idem_target_run_lock(const Target *target);

/* in target_sql.c */

/*
 * The tables that rows of a unit may lie in (List of Oid): the target, or the
 * partitions that are left when the planner has left out the others.
 */
extern List *idem_target_tables(const Target *target, const Unit *unit);

/* Target row t and staged row s have the same key. */
extern char *idem_target_key_match(const Target *target);

/*
 * The same for staged rows of one unit, whose parameters (idem_unit_params) go
 * with it: where the scope is in the key, only the unit's target rows are looked at.
 */
extern char *idem_target_unit_match(const Target *target);

/*
 * idem_import_hash of the imported columns, of t or of s: the same for the
 * same image.  "here": computed where t is read.
 */
extern char *idem_target_hash(const Target *target, bool staged);
extern char *idem_target_hash_here(const Target *target);

/* idem_import_bucket_differs($n, t."k"): its key is in a bucket set in the bitmap that is parameter n. */
extern char *idem_target_bucket(const Target *target, int n);

/* Does a difference in any column but the key count? */
extern bool idem_target_all_compared(const Target *target);

/* A name like this one that none of the imported columns has. */
extern char *idem_target_other_name(const Target *target, const char *name);

/* Their compared columns have different images. */
extern char *idem_target_differs(const Target *target);

/* The target's version is newer than the staged one; "false" without versions. */
extern char *idem_target_newer(const Target *target);

/* "t.a, t.b", each after prefix: the imported columns; and "s.c1, s.c2". */
extern char *idem_target_columns(const Target *target, const char *prefix);
extern char *idem_target_staged_columns(const Target *target);

#endif							/* IDEM_TARGET_H */
