/*-------------------------------------------------------------------------
 *
 * insert.c
 *	  Rows put into a target as COPY does it.
 *
 * PostgreSQL's executor inserts one row at a time.  COPY uses the executor's
 * parts (routing to partitions, constraints, index entries, triggers), but
 * writes many rows to a table at once, which costs less time and less WAL; so do
 * we, with all that INSERT does besides.  What must see each row as it
 * comes, or is no table of PostgreSQL's own kind, is an obstacle.
 *
 * The rows themselves lie in insert_buffer.c until there are many.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/relation.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "flow/insert.h"
#include "flow/insert_buffer.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

/* A column that is not imported, and is not just NULL. */
typedef struct DefaultColumn
{
	AttrNumber	attnum;
	ExprState  *expr;
} DefaultColumn;

struct Inserter
{
	const Target *target;
	ResourceOwner owner;		/* of what the executor holds */
	EState	   *estate;			/* everything is in its memory */
	ModifyTableState *mtstate;
	ResultRelInfo *root;		/* the target */
	PartitionTupleRouting *routing; /* NULL: it has no partitions */
	TupleTableSlot *root_slot;	/* a row before it is routed */
	int			ndefaults;
	DefaultColumn *defaults;
	bool		some_null;		/* columns that get no value at all */
	InsertBuffers *buffers;
	Oid			leaf;			/* rows of others are not taken; InvalidOid: all are */
	int64		nrows;
};

const char *
idem_inserter_obstacle(const Target *target)
{
	Relation	rel = target->rel;
	Oid			relid = RelationGetRelid(rel);
	const char *obstacle = idem_insert_table_obstacle(rel);
	List	   *partitions;
	ListCell   *lc;

	if (obstacle != NULL)
		return obstacle;
	if (rel->rd_rules != NULL)
		return psprintf("\"%s\" has rules", RelationGetRelationName(rel));
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		return psprintf("\"%s\" has row security", RelationGetRelationName(rel));
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return idem_relation_unguarded(rel) ? psprintf("\"%s\" has children", RelationGetRelationName(rel)) : NULL;

	/* rules and row security of a partition are not asked when the row comes from above */
	partitions = find_all_inheritors(relid, AccessShareLock, NULL);
	foreach(lc, partitions)
	{
		Relation	partition;

		if (obstacle != NULL || lfirst_oid(lc) == relid)
			continue;
		partition = table_open(lfirst_oid(lc), NoLock);
		obstacle = idem_insert_table_obstacle(partition);
		table_close(partition, NoLock);
	}
	idem_relation_release(rel, partitions);
	list_free(partitions);
	return obstacle;
}

/* The target as the only entry of a range table, and what the user must be allowed. */
static void
init_range_table(Inserter *inserter, bool check)
{
	const Target *target = inserter->target;
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List	   *rtable = list_make1(rte);
	List	   *permissions = NIL;
	RTEPermissionInfo *permission;

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(target->rel);
	rte->relkind = target->rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	permission = addRTEPermissionInfo(&permissions, rte);
	permission->requiredPerms = ACL_INSERT;
	for (int i = 0; i < target->ncolumns; i++)
		permission->insertedCols = bms_add_member(permission->insertedCols,
												  target->columns[i].attnum - FirstLowInvalidHeapAttributeNumber);
	if (check)
		ExecCheckPermissions(rtable, permissions, true);
	exec_init_range_table(inserter->estate, rtable, permissions);
}

/* The value of a column that is not imported; NULL if that is NULL. */
static Expr *
default_expr(Relation rel, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Node	   *expr = build_column_default(rel, attnum);

	/* a domain may have something against NULL */
	if (expr == NULL)
		expr = coerce_null_to_domain(att->atttypid, att->atttypmod, att->attcollation, att->attlen, att->attbyval);
	if (IsA(expr, Const) && ((Const *) expr)->constisnull)
		return NULL;
	return expression_planner((Expr *) expr);
}

/*
 * Find what columns get that are not imported.  Returns whether one of them may
 * look at the rows that are there already.
 */
static bool
init_defaults(Inserter *inserter)
{
	const Target *target = inserter->target;
	TupleDesc	desc = RelationGetDescr(target->rel);
	bool	   *imported = palloc0(sizeof(bool) * (desc->natts + 1));
	bool		looks = false;

	inserter->some_null = target->ncolumns < desc->natts;
	inserter->defaults = palloc(sizeof(DefaultColumn) * desc->natts);
	for (int i = 0; i < target->ncolumns; i++)
		imported[target->columns[i].attnum] = true;
	for (AttrNumber attnum = 1; attnum <= desc->natts; attnum++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);
		Expr	   *expr;

		if (imported[attnum] || att->attisdropped || att->attgenerated != '\0')
			continue;
		expr = default_expr(target->rel, attnum);
		if (expr == NULL)
			continue;
		looks |= contain_volatile_functions_not_nextval((Node *) expr);
		inserter->defaults[inserter->ndefaults].attnum = attnum;
		inserter->defaults[inserter->ndefaults++].expr = ExecInitExpr(expr, NULL);
	}
	pfree(imported);
	return looks;
}

/* What inserting and routing have in common. */
static Inserter *
open_inserter(const Target *target, bool check)
{
	EState	   *estate;
	Inserter   *inserter;
	MemoryContext oldcxt;

	LockRelationOid(RelationGetRelid(target->rel), RowExclusiveLock);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());

	/* which goes with the subtransaction if that fails */
	oldcxt = MemoryContextSwitchTo(CurTransactionContext);
	estate = CreateExecutorState();
	MemoryContextSwitchTo(estate->es_query_cxt);

	inserter = palloc0(sizeof(Inserter));
	inserter->target = target;
	inserter->owner = CurrentResourceOwner;
	inserter->estate = estate;
	init_range_table(inserter, check);
	inserter->root = makeNode(ResultRelInfo);
	ExecInitResultRelation(estate, inserter->root, 1);

	inserter->mtstate = makeNode(ModifyTableState);
	inserter->mtstate->ps.state = estate;
	inserter->mtstate->operation = CMD_INSERT;
	inserter->mtstate->mt_nrels = 1;
	inserter->mtstate->resultRelInfo = inserter->root;
	inserter->mtstate->rootResultRelInfo = inserter->root;

	if (target->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		inserter->routing = ExecSetupPartitionTupleRouting(estate, inserter->root->ri_RelationDesc);
		inserter->root_slot = table_slot_create(inserter->root->ri_RelationDesc, &estate->es_tupleTable);
	}
	(void) GetPerTupleExprContext(estate);
	MemoryContextSwitchTo(oldcxt);
	return inserter;
}

static void
close_inserter(Inserter *inserter)
{
	EState	   *estate = inserter->estate;

	ExecResetTupleTable(estate->es_tupleTable, false);
	if (inserter->routing != NULL)
		ExecCleanupTupleRouting(inserter->mtstate, inserter->routing);
	ExecCloseResultRelations(estate);
	ExecCloseRangeTableRelations(estate);
	FreeExecutorState(estate);
	PopActiveSnapshot();
}

static void
refuse_where_nothing_is_written(Relation rel)
{
	if (!rel->rd_islocaltemp)
		PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
}

Inserter *
idem_inserter_begin(const Target *target)
{
	Inserter   *inserter;
	EState	   *estate;
	TransitionCaptureState *capture;
	MemoryContext oldcxt;
	bool		visible;

	refuse_where_nothing_is_written(target->rel);
	inserter = open_inserter(target, true);
	estate = inserter->estate;
	oldcxt = MemoryContextSwitchTo(estate->es_query_cxt);
	estate->es_output_cid = GetCurrentCommandId(true);
	visible = init_defaults(inserter);
	if (inserter->routing == NULL)
		ExecOpenIndices(inserter->root, false);

	AfterTriggerBeginQuery();
	capture = MakeTransitionCaptureState(inserter->root->ri_TrigDesc, RelationGetRelid(target->rel), CMD_INSERT);
	inserter->mtstate->mt_transition_capture = capture;
	inserter->buffers = idem_insert_buffers_create(estate, capture, NULL, visible);
	ExecBSInsertTriggers(estate, inserter->root);
	MemoryContextSwitchTo(oldcxt);
	return inserter;
}

Inserter *
idem_inserter_begin_heap(const Target *target, Oid leaf, NewHeap *heap)
{
	Inserter   *inserter;
	MemoryContext oldcxt;

	refuse_where_nothing_is_written(target->rel);
	inserter = open_inserter(target, true);
	oldcxt = MemoryContextSwitchTo(inserter->estate->es_query_cxt);
	(void) init_defaults(inserter);
	inserter->leaf = leaf;
	inserter->buffers = idem_insert_buffers_create(inserter->estate, NULL, heap, false);
	MemoryContextSwitchTo(oldcxt);
	return inserter;
}

/* The row as the target has it, but for generated columns. */
static void
fill_slot(Inserter *inserter, TupleTableSlot *slot, const Datum *values, const bool *isnull)
{
	const Target *target = inserter->target;
	ExprContext *econtext = GetPerTupleExprContext(inserter->estate);

	ExecClearTuple(slot);
	if (inserter->some_null)
	{
		memset(slot->tts_values, 0, sizeof(Datum) * slot->tts_tupleDescriptor->natts);
		memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	}
	for (int i = 0; i < target->ncolumns; i++)
	{
		int			place = target->columns[i].attnum - 1;

		slot->tts_values[place] = values[i];
		slot->tts_isnull[place] = isnull[i];
	}
	for (int i = 0; i < inserter->ndefaults; i++)
	{
		int			place = inserter->defaults[i].attnum - 1;

		slot->tts_values[place] = ExecEvalExprSwitchContext(inserter->defaults[i].expr, econtext,
															&slot->tts_isnull[place]);
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(target->rel);
}

/* A routed row in the shape of its leaf. */
static TupleTableSlot *
convert_row(Inserter *inserter, ResultRelInfo *leaf)
{
	TupleTableSlot *slot = idem_insert_buffers_slot(inserter->buffers, leaf);
	TupleConversionMap *map = ExecGetRootToChildMap(leaf, inserter->estate);
	int			natts = slot->tts_tupleDescriptor->natts;

	if (map != NULL)
		slot = execute_attr_map_slot(map->attrMap, inserter->root_slot, slot);
	else
	{
		ExecClearTuple(slot);
		memcpy(slot->tts_values, inserter->root_slot->tts_values, sizeof(Datum) * natts);
		memcpy(slot->tts_isnull, inserter->root_slot->tts_isnull, sizeof(bool) * natts);
		ExecStoreVirtualTuple(slot);
	}
	slot->tts_tableOid = RelationGetRelid(leaf->ri_RelationDesc);
	return slot;
}

/* What INSERT computes and checks. */
static void
check_row(Inserter *inserter, ResultRelInfo *rel, TupleTableSlot *slot)
{
	TupleConstr *constraints = RelationGetDescr(rel->ri_RelationDesc)->constr;

	if (constraints != NULL && constraints->has_generated_stored)
		ExecComputeStoredGenerated(rel, inserter->estate, slot, CMD_INSERT);
	if (constraints != NULL)
		ExecConstraints(rel, slot, inserter->estate);
	if (inserter->routing == NULL && rel->ri_RelationDesc->rd_rel->relispartition)
		ExecPartitionCheck(rel, slot, inserter->estate, true);
}

bool
idem_inserter_row(Inserter *inserter, const Datum *values, const bool *isnull)
{
	EState	   *estate = inserter->estate;
	ResultRelInfo *rel = inserter->root;
	ResourceOwner oldowner = CurrentResourceOwner;
	MemoryContext oldcxt = MemoryContextSwitchTo(estate->es_query_cxt);
	TupleTableSlot *slot;
	bool		taken = true;

	/* a query that hands us its rows has an owner of its own */
	CurrentResourceOwner = inserter->owner;
	ResetPerTupleExprContext(estate);
	if (inserter->routing == NULL)
	{
		slot = idem_insert_buffers_slot(inserter->buffers, rel);
		fill_slot(inserter, slot, values, isnull);
	}
	else
	{
		fill_slot(inserter, inserter->root_slot, values, isnull);
		rel = ExecFindPartition(inserter->mtstate, inserter->root, inserter->routing, inserter->root_slot, estate);
		taken = !OidIsValid(inserter->leaf) || RelationGetRelid(rel->ri_RelationDesc) == inserter->leaf;
		slot = taken ? convert_row(inserter, rel) : NULL;
	}

	if (taken)
	{
		check_row(inserter, rel, slot);
		idem_insert_buffers_add(inserter->buffers, rel);
		inserter->nrows++;
	}
	CurrentResourceOwner = oldowner;
	MemoryContextSwitchTo(oldcxt);
	return taken;
}

int64
idem_inserter_end(Inserter *inserter)
{
	EState	   *estate = inserter->estate;
	int64		nrows = inserter->nrows;
	ResourceOwner oldowner = CurrentResourceOwner;
	MemoryContext oldcxt = MemoryContextSwitchTo(estate->es_query_cxt);

	CurrentResourceOwner = inserter->owner;
	idem_insert_buffers_end(inserter->buffers);
	if (!OidIsValid(inserter->leaf))
	{
		ExecASInsertTriggers(estate, inserter->root, inserter->mtstate->mt_transition_capture);
		AfterTriggerEndQuery(estate);
	}
	MemoryContextSwitchTo(oldcxt);
	close_inserter(inserter);
	CurrentResourceOwner = oldowner;
	CommandCounterIncrement();
	return nrows;
}
