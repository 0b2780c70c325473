/*-------------------------------------------------------------------------
 *
 * apply_swap.c
 *	  New storage for a table that is one unit.
 *
 * Where most of a table is to be written anew, it is cheaper to write all of
 * it: rows in bulk and frozen, each index built once, nothing left for vacuum.
 * Readers go on reading the old rows until the exchange; writers wait for it.
 *
 * The rows are not sorted first.  Two of one key show when the index is built,
 * and then the run starts over without swap.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "base/progress.h"
#include "base/relation.h"
#include "base/sql.h"
#include "flow/apply_swap.h"
#include "flow/insert.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

Oid
idem_swap_leaf(const Target *target, const Unit *unit)
{
	List	   *tables = idem_target_tables(target, unit);

	return list_length(tables) == 1 ? linitial_oid(tables) : InvalidOid;
}

/*
 * Our own queries of the leaf alone run as its owner: the import's owner may
 * have rights on the partitioned table only.  They call nothing but operators
 * of indexes and our own functions.
 */
static void
query_leaf(Relation leaf, char *query, ParamListInfo params, SqlRow *row)
{
	MemoryContext cxt = CurrentMemoryContext;
	Oid			user;
	int			context;
	int			guc_level;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(leaf->rd_rel->relowner, context | SECURITY_RESTRICTED_OPERATION);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	sql_begin();
	(void) sql_row(query, params, true, cxt, row);
	sql_end();
	AtEOXact_GUC(false, guc_level);
	SetUserIdAndSecContext(user, context);
}

/* SELECT count(*) AS rows, count(*) FILTER (WHERE (<scope>) IS NOT TRUE) AS others FROM ONLY leaf t */
static int64
count_leaf(const Target *target, const Unit *unit, Relation leaf, int64 *others)
{
	SqlRow		row;

	query_leaf(leaf,
			   psprintf("SELECT pg_catalog.count(*) AS rows, "
						"pg_catalog.count(*) FILTER (WHERE (%s) IS NOT TRUE) AS others FROM ONLY %s t",
						idem_scope_predicate(target->scope, "t"), idem_relation_name(RelationGetRelid(leaf))),
			   idem_unit_params(target->scope, unit), &row);
	*others = sql_column_int8(&row, "others", 0);
	return sql_column_int8(&row, "rows", 0);
}

/*
 * SELECT EXISTS (SELECT FROM (SELECT * FROM ONLY leaf LIMIT 1000) t WHERE (<scope>) IS NOT TRUE) AS others
 *
 * Where units share a table, one need not look far to see it.  What counts is
 * what idem_swap_fill finds when the table is locked.
 */
static bool
seems_shared(const Target *target, const Unit *unit, Relation leaf)
{
	SqlRow		row;

	query_leaf(leaf,
			   psprintf("SELECT EXISTS (SELECT FROM (SELECT * FROM ONLY %s LIMIT 1000) t "
						"WHERE (%s) IS NOT TRUE) AS others",
						idem_relation_name(RelationGetRelid(leaf)), idem_scope_predicate(target->scope, "t")),
			   idem_unit_params(target->scope, unit), &row);
	return sql_column_bool(&row, "others");
}

/* Of rows that stay, what the import does not know of would be lost. */
static const char *
loss_obstacle(const Target *target, const Definition *def)
{
	TupleDesc	desc = RelationGetDescr(target->rel);

	if (def->mode == MODE_INSERT_ONLY || def->version_column != NULL)
		return "the target may have newer rows";
	if (def->keep_columns != NIL || def->ignore_columns != NIL)
		return "some columns of the target are kept as they are";
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->attgenerated == '\0' &&
			idem_target_column(target, NameStr(att->attname)) < 0)
			return psprintf("column \"%s\" of the target is not imported", NameStr(att->attname));
	}
	return NULL;
}

/* How often this session has the leaf open: as the target, and by itself. */
static int
references(const Target *target, Oid leaf)
{
	return RelationGetRelid(target->rel) == leaf ? 2 : 1;
}

const char *
idem_swap_obstacle(const Target *target, const Definition *def, const Unit *unit, Oid leaf, bool empty)
{
	Relation	rel;
	const char *obstacle;

	if (target->obstacle != NULL)
		return target->obstacle;
	if (def->delete_flag != NULL)
		return "rows are flagged as deleted";
	if (pg_class_aclcheck(RelationGetRelid(target->rel), GetUserId(), ACL_TRUNCATE) != ACLCHECK_OK)
		return "the import's owner may not truncate the target";
	obstacle = empty ? NULL : loss_obstacle(target, def);
	if (obstacle != NULL)
		return obstacle;

	rel = table_open(leaf, AccessShareLock);
	obstacle = idem_new_heap_obstacle(rel, references(target, leaf));
	if (obstacle != NULL)
		obstacle = psprintf("\"%s\" can't have new storage: %s", RelationGetRelationName(rel), obstacle);
	else if (target->scope->ncolumns > 0 && seems_shared(target, unit, rel))
		obstacle = psprintf("\"%s\" has rows of other units", RelationGetRelationName(rel));
	table_close(rel, NoLock);
	return obstacle;
}

static bool
put_row(void *arg, Datum *values, bool *isnull)
{
	return idem_inserter_row(arg, values, isnull);
}

bool
idem_swap_fill(Swap *swap, Stage *stage, Oid leaf, StagedUnit *staged, Hash128 *image)
{
	Unit	   *unit = staged->unit;
	Inserter   *inserter;
	int64		others;
	bool		taken;

	swap->leaf = table_open(leaf, AccessShareLock);
	swap->heap = idem_new_heap_create(swap->leaf, references(swap->target, leaf), swap->patience);
	swap->old_rows = count_leaf(swap->target, unit, swap->leaf, &others);
	if (others > 0 || (swap->empty && swap->old_rows > 0))
		return false;
	inserter = idem_inserter_begin_heap(swap->target, leaf, swap->heap);
	taken = idem_stage_pass(stage, put_row, inserter, staged, image);
	swap->new_rows = idem_inserter_end(inserter);
	if (taken)
	{
		idem_progress_phase(PROGRESS_INDEXING, PROGRESS_UNKNOWN, swap->new_rows);
		idem_new_heap_build_indexes(swap->heap);
		idem_new_heap_analyze(swap->heap);
	}
	return taken;
}

/*
 * SELECT t."a", idem_import_hash_here(t."a", t."b") AS idem_import_image FROM ONLY <table> t
 *
 * With the names of target columns, or of staged ones: t."a" AS c1.
 */
static char *
narrow_rows(const Target *target, Oid relid, bool staged)
{
	StringInfoData keys;

	initStringInfo(&keys);
	for (int i = 0; i < target->nkeys; i++)
	{
		int			column = target->keys[i].column;

		appendStringInfo(&keys, "t.%s%s, ", quote_identifier(target->columns[column].name),
						 staged ? psprintf(" AS c%d", column + 1) : "");
	}
	return psprintf("SELECT %s%s AS %s FROM ONLY %s t", keys.data, idem_target_hash_here(target),
					idem_target_other_name(target, "idem_import_image"), idem_relation_name(relid));
}

/*
 * SELECT count(*) AS matched, count(*) FILTER (WHERE s.idem_import_image = t.idem_import_image) AS same
 * FROM (<old rows>) t JOIN (<new rows>) s ON <key>
 */
static void
count_matches(Swap *swap)
{
	Target	   *target = swap->target;
	char	   *image = idem_target_other_name(target, "idem_import_image");
	SqlRow		row;

	for (int i = 0; i < target->nkeys; i++)
		target->nulls_in_key |= target->keys[i].nulls_equal;
	query_leaf(swap->leaf,
			   psprintf("SELECT pg_catalog.count(*) AS matched, "
						"pg_catalog.count(*) FILTER (WHERE s.%1$s OPERATOR(pg_catalog.=) t.%1$s) AS same "
						"FROM (%2$s) t JOIN (%3$s) s ON %4$s",
						image, narrow_rows(target, RelationGetRelid(swap->leaf), false),
						narrow_rows(target, idem_new_heap_relid(swap->heap), true), idem_target_key_match(target)),
			   sql_params(0, NULL), &row);
	swap->matched = sql_column_int8(&row, "matched", 0);
	swap->same = sql_column_int8(&row, "same", 0);
}

void
idem_swap_count(Swap *swap)
{
	if (swap->target->nkeys > 0 && swap->old_rows > 0)
		count_matches(swap);
}

void
idem_swap_lock(Swap *swap)
{
	idem_new_heap_lock(swap->heap, swap->patience);
}

void
idem_swap_exchange(Swap *swap)
{
	idem_new_heap_exchange(swap->heap);
	table_close(swap->leaf, NoLock);
}

void
idem_swap_drop(Swap *swap)
{
	idem_new_heap_drop(swap->heap);
	table_close(swap->leaf, NoLock);
}
