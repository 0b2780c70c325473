/*-------------------------------------------------------------------------
 *
 * plan_note.c
 *	  What a plan tells of its run besides the counts.
 *
 * The locks are told for the target and what belongs to it.  Its indexes are
 * locked alongside, the source is read under ACCESS SHARE, and triggers and
 * foreign keys lock what they need in other tables.
 *
 * A plan only reads, and takes no more than ACCESS SHARE, so that it works on
 * a standby and waits for nobody.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "base/compat.h"
#include "base/relation.h"
#include "executor/executor.h"
#include "flow/apply_swap.h"
#include "flow/plan_note.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "utils/memutils.h"
#include "utils/rel.h"

void
idem_plan_stops(Run *run, const char *status, const char *reason)
{
	if (run->stop == NULL)
		run->record->status = status;
	else
		reason = psprintf("%s; %s", run->stop, reason);
	run->stop = MemoryContextStrdup(run->trace->cxt, reason);
}

/* How LOCK TABLE spells it. */
static const char *
mode_name(LOCKMODE mode)
{
	switch (mode)
	{
		case RowExclusiveLock:
			return "ROW EXCLUSIVE";
		case ShareRowExclusiveLock:
			return "SHARE ROW EXCLUSIVE";
		case ExclusiveLock:
			return "EXCLUSIVE";
		case AccessExclusiveLock:
			return "ACCESS EXCLUSIVE";
		default:
			elog(ERROR, "unexpected lock mode %d", mode);
	}
}

static bool
writes(const Tally *tally)
{
	return tally->inserted + tally->updated + tally->deleted + tally->removed > 0;
}

/* What is locked along with the target, if anything: all of it, or what is written. */
static const char *
parts(const Run *run, bool all)
{
	Relation	rel = run->target->rel;

	if (!all && !writes(&run->record->tally))
		return "";
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_PARTITIONED_TABLE:
			return all ? " and its partitions" : " and the partitions that it writes";
		case RELKIND_VIEW:
			return all ? " and the tables that it reads" : " and the table that is written through it";
		case RELKIND_RELATION:
			return idem_relation_unguarded(rel) ? " and its children" : "";
		default:
			return "";
	}
}

/* Rows may exchange values that no two of them may have at a time. */
static bool
may_exchange(const Run *run)
{
	const Target *target = run->target;

	for (int i = 0; i < target->ncolumns; i++)
	{
		if (target->columns[i].unique)
			return run->record->tally.updated > 0;
	}
	return false;
}

/*
 * takes EXCLUSIVE on public.t while it is filled, then ACCESS EXCLUSIVE until the transaction ends
 */
static char *
swap_locks(const Run *run, const Unit *unit)
{
	Oid			leaf = idem_swap_leaf(run->target, unit);
	char	   *above = "";

	if (leaf != RelationGetRelid(run->target->rel))
		above = psprintf("%s on %s, ", mode_name(idem_target_run_lock(run->target)), run->target->name);
	return psprintf("takes %s%s on %s while its new storage is filled, then %s until the transaction ends",
					above, mode_name(ExclusiveLock), idem_relation_name(leaf), mode_name(AccessExclusiveLock));
}

/*
 * takes ROW EXCLUSIVE on public.t and the partitions that it writes
 */
static char *
locks(const Run *run, const Unit *unit)
{
	const Target *target = run->target;
	bool		by_diff = strcmp(run->record->method, "diff") == 0;
	LOCKMODE	mode = idem_target_run_lock(target);
	StringInfoData buf;

	if (strcmp(run->record->method, "swap") == 0)
		return swap_locks(run, unit);

	/* rows are deleted and inserted anew, as apply_step.c does it */
	if (by_diff && target->exchanges && run->record->tally.updated > 0)
		mode = ShareRowExclusiveLock;

	initStringInfo(&buf);
	appendStringInfo(&buf, "takes %s on %s%s", mode_name(mode), target->name,
					 parts(run, mode != RowExclusiveLock));
	if (by_diff && mode == RowExclusiveLock && may_exchange(run))
		appendStringInfo(&buf, ", and %s if rows exchange unique values", mode_name(ShareRowExclusiveLock));
	return buf.data;
}

/* What the statements of the run need, of which only those are executed that have rows to write. */
static void
require_privileges(const Run *run)
{
	const Target *target = run->target;
	const Tally *tally = &run->record->tally;
	bool		anew = strcmp(run->record->method, "replace") == 0;
	bool		swap = strcmp(run->record->method, "swap") == 0;
	bool		exchanges = target->exchanges && tally->updated > 0;
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List	   *permissions = NIL;
	RTEPermissionInfo *permission;

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(target->rel);
	rte->relkind = target->rel->rd_rel->relkind;
	rte->rellockmode = AccessShareLock;
	permission = addRTEPermissionInfo(&permissions, rte);
	if (anew || exchanges || (!swap && tally->deleted + tally->removed > 0))
		permission->requiredPerms |= ACL_DELETE;
	if (exchanges || tally->inserted > 0 || ((anew || swap) && tally->updated + tally->unchanged > 0))
		permission->requiredPerms |= ACL_INSERT;
	for (int i = 0; i < target->ncolumns; i++)
	{
		const TargetColumn *column = &target->columns[i];
		int			offset = column->attnum - FirstLowInvalidHeapAttributeNumber;

		permission->insertedCols = bms_add_member(permission->insertedCols, offset);
		if (column->updated && !column->exchanged)
			permission->updatedCols = bms_add_member(permission->updatedCols, offset);
	}
	if (!anew && !swap && tally->updated > 0 && permission->updatedCols != NULL)
		permission->requiredPerms |= ACL_UPDATE;
	ExecCheckPermissions(list_make1(rte), permissions, true);
}

void
idem_plan_finish(Run *run, const Unit *unit)
{
	if (writes(&run->record->tally) && run->stop == NULL)
		require_privileges(run);
	idem_run_note(run, locks(run, unit));
	if (run->stop != NULL)
		idem_run_note(run, run->stop);
}
