/*-------------------------------------------------------------------------
 *
 * relation.h
 *	  What PostgreSQL's catalogs say of a relation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RELATION_H
#define IDEM_RELATION_H

#include "access/attnum.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* Schema-qualified and quoted; 42P01 if the relation is gone. */
extern char *idem_relation_name(Oid relid);

/* Column's number by name, 0 if there is none (or it is dropped or a system column). */
extern AttrNumber idem_relation_column(TupleDesc desc, const char *name);

/* Columns as SQL: "a, b", each quoted, each after prefix. */
extern char *idem_column_list(List *names, const char *prefix);

/*
 * The index that makes these columns a key: unique, immediate, valid, not
 * partial, of exactly these columns; if null_match, treating NULLs as equal
 * or on columns that have none.  InvalidOid if there is none.
 */
extern Oid	idem_relation_key_index(Relation rel, List *columns, bool null_match);

/*
 * Can no index of ours guard a key of this relation?  True for foreign tables,
 * for tables with a foreign partition or child, for views, and for tables with
 * inheritance children, whose rows no index of the parent covers.
 */
extern bool idem_relation_unguarded(Relation rel);

/* Is it a foreign table, or has it a foreign partition? */
extern bool idem_relation_remote(Relation rel);

/*
 * May the relation or one of its partitions swallow a row without an error: by
 * a BEFORE ROW or INSTEAD OF trigger, or a rule?
 */
extern bool idem_relation_may_swallow(Relation rel);

/* Has it, or a partition of it, a trigger that somebody made? */
extern bool idem_relation_user_triggers(Relation rel);

/*
 * The columns (offset by FirstLowInvalidHeapAttributeNumber) in unique and
 * exclusion constraints other than one index; expressions and predicates
 * looked into.
 */
extern Bitmapset *idem_relation_unique_columns(Relation rel, Oid except_index);

/* The columns of the partition key, likewise offset. */
extern Bitmapset *idem_relation_partition_columns(Relation rel);

/*
 * Would deleting a row and inserting it again do more than that, because
 * another table refers to this one ON DELETE with more than NO ACTION?
 */
extern bool idem_relation_delete_cascades(Relation rel);

/* Would updating a row change others of the table, which refer to it? */
extern bool idem_relation_update_cascades(Relation rel);

/* Has it a foreign key to itself? */
extern bool idem_relation_refers_to_itself(Relation rel);

/* Is it a table of Citus, whose rows are stored elsewhere? */
extern bool idem_relation_distributed(Relation rel);

/*
 * Give back the AccessShareLock on what find_all_inheritors found below rel:
 * whoever gives a partition new storage need not wait for those that are only
 * looked at.
 */
extern void idem_relation_release(Relation rel, const List *relids);

#endif							/* IDEM_RELATION_H */
