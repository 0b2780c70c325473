/*-------------------------------------------------------------------------
 *
 * new_heap_statistics.c
 *	  What the planner and autovacuum are told about a new heap.
 *
 * The transient table is analyzed, with the settings of the real one, and its
 * statistics handed over.  Extended statistics are stored by their objects,
 * which belong to the real table: for the time of the analysis they are
 * pointed at the transient one.  All of that is undone with the transaction.
 *
 * The cumulative statistics are not transactional.  Counting the rows as
 * inserted, as REFRESH MATERIALIZED VIEW does, would have autovacuum vacuum
 * and analyze each new heap, though it is frozen and analyzed.  So what VACUUM
 * and ANALYZE report is reported when the transaction has committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/new_heap_state.h"
#include "catalog/heap.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic_ext.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* Rows of a table after a commit. */
typedef struct Report
{
	Oid			relid;
	int64		rows;
	bool		analyzed;
	int			nest_level;		/* of the (sub)transaction that wrote it */
} Report;

static List *reports = NIL;		/* in TopTransactionContext */

/*
 * Columns of the transient table, or of an index of it, that are analyzed
 * otherwise than by default.
 */
static void
copy_column_settings(Oid from, Oid to, int ncolumns)
{
	Relation	catalog = table_open(AttributeRelationId, RowExclusiveLock);

	for (AttrNumber attnum = 1; attnum <= ncolumns; attnum++)
	{
		HeapTuple	old = SearchSysCache2(ATTNUM, ObjectIdGetDatum(from), Int16GetDatum(attnum));
		HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(to), Int16GetDatum(attnum));
		Datum		values[Natts_pg_attribute];
		bool		isnull[Natts_pg_attribute];
		bool		replace[Natts_pg_attribute] = {0};
		const int	settings[] = {Anum_pg_attribute_attstattarget, Anum_pg_attribute_attoptions};

		if (!HeapTupleIsValid(old) || !HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for column %d of relation %u or %u", attnum, from, to);
		for (int i = 0; i < lengthof(settings); i++)
		{
			int			setting = settings[i] - 1;

			values[setting] = SysCacheGetAttr(ATTNUM, old, settings[i], &isnull[setting]);
			replace[setting] = true;
		}
		/* computed when it is read: stored here is NULL */
		if (((Form_pg_attribute) GETSTRUCT(old))->attgenerated == IDEM_GENERATED_VIRTUAL)
		{
			values[Anum_pg_attribute_attstattarget - 1] = IDEM_STATISTICS_TARGET_NONE;
			isnull[Anum_pg_attribute_attstattarget - 1] = false;
		}
		if (!isnull[Anum_pg_attribute_attoptions - 1] ||
			!idem_default_statistics_target(values[Anum_pg_attribute_attstattarget - 1],
											isnull[Anum_pg_attribute_attstattarget - 1]))
		{
			HeapTuple	changed = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, isnull, replace);

			CatalogTupleUpdate(catalog, &changed->t_self, changed);
			heap_freetuple(changed);
		}
		heap_freetuple(tuple);
		ReleaseSysCache(old);
	}
	table_close(catalog, RowExclusiveLock);
}

/* Point the extended statistics objects of one table at another; how many? */
static int
point_extended_statistics(Oid from, Oid to)
{
	Relation	catalog = table_open(StatisticExtRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	ScanKeyInit(&key, Anum_pg_statistic_ext_stxrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(from));
	scan = systable_beginscan(catalog, StatisticExtRelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		tuple = heap_copytuple(tuple);
		((Form_pg_statistic_ext) GETSTRUCT(tuple))->stxrelid = to;
		CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
		heap_freetuple(tuple);
		n++;
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
	if (n > 0)
		CommandCounterIncrement();
	return n;
}

void
idem_new_heap_analyze(NewHeap *heap)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(heap->batch_cxt);
	Oid			old = RelationGetRelid(heap->rel);
	Oid			new = RelationGetRelid(heap->new);
	VacuumParams params = {0};
	Oid			user;
	int			security;
	int			nextended;
	int			guc_level;

	Assert(heap->built);

	copy_column_settings(old, new, RelationGetNumberOfAttributes(heap->rel));
	for (int i = 0; i < heap->nindexes; i++)
	{
		IndexPair  *pair = &heap->indexes[i];
		Relation	index = index_open(pair->old, NoLock);

		if (RelationGetIndexExpressions(index) != NIL)
			copy_column_settings(pair->old, pair->new, RelationGetNumberOfAttributes(index));
		index_close(index, NoLock);
	}
	CommandCounterIncrement();
	nextended = point_extended_statistics(old, new);

	/* ANALYZE is the owner's; whoever may write the table need not be it */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(heap->new->rd_rel->relowner, security | SECURITY_RESTRICTED_OPERATION);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	params.options = VACOPT_ANALYZE;
	params.log_min_duration = -1;
	analyze_rel(new, NULL, &params, NIL, true, GetAccessStrategy(BAS_VACUUM));
	AtEOXact_GUC(false, guc_level);
	SetUserIdAndSecContext(user, security);
	CommandCounterIncrement();

	if (nextended > 0)
		point_extended_statistics(new, old);
	heap->analyzed = true;
	MemoryContextSwitchTo(oldcxt);
	MemoryContextReset(heap->batch_cxt);
}

void
idem_new_heap_move_statistics(NewHeap *heap)
{
	if (!heap->analyzed)
		return;
	RemoveStatistics(RelationGetRelid(heap->rel), 0);
	CopyStatistics(RelationGetRelid(heap->new), RelationGetRelid(heap->rel));
	for (int i = 0; i < heap->nindexes; i++)
	{
		RemoveStatistics(heap->indexes[i].old, 0);
		CopyStatistics(heap->indexes[i].new, heap->indexes[i].old);
	}
	CommandCounterIncrement();
}

/* What this transaction has counted so far and is going to report by itself. */
static int64
counted_rows(Relation rel)
{
	int64		rows = 0;

	if (!pgstat_should_count_relation(rel))
		return 0;
	for (PgStat_TableXactStatus *trans = rel->pgstat_info->trans; trans != NULL; trans = trans->upper)
		rows += trans->tuples_inserted - trans->tuples_deleted;
	return rows;
}

int64
idem_new_heap_toast_rows(NewHeap *heap)
{
	Relation	toast;
	int64		rows = -1;

	if (!OidIsValid(heap->new->rd_rel->reltoastrelid))
		return -1;
	toast = table_open(heap->new->rd_rel->reltoastrelid, NoLock);
	if (pgstat_should_count_relation(toast))
		rows = counted_rows(toast);
	table_close(toast, NoLock);
	return rows;
}

/*
 * After the commit, no catalog can be read any more: ANALYZE's report wants a
 * relation, but looks at no more of it than this.  The entry exists, and this session
 * knows it, since the relation was counted; so nothing is allocated that could fail.
 */
static void
send_report(const Report *report)
{
	RelationData rel = {0};
	FormData_pg_class form = {0};

	pgstat_report_vacuum_since(report->relid, false, report->rows, 0, GetCurrentTimestamp());
	if (!report->analyzed)
		return;
	form.relkind = RELKIND_RELATION;
	rel.rd_id = report->relid;
	rel.rd_rel = &form;
	pgstat_report_analyze_since(&rel, report->rows, 0, true, GetCurrentTimestamp());
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	ListCell   *lc;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
			foreach(lc, reports)
				send_report(lfirst(lc));
			reports = NIL;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			reports = NIL;
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	ListCell   *lc;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(lc, reports)
	{
		Report	   *report = lfirst(lc);

		if (report->nest_level < level)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			report->nest_level = level - 1;
		else
			reports = foreach_delete_current(reports, lc);
	}
}

static void
add_report(Oid relid, int64 rows, bool analyzed)
{
	static bool registered = false;
	MemoryContext oldcxt = MemoryContextSwitchTo(TopTransactionContext);
	Report	   *report = palloc(sizeof(Report));

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	report->relid = relid;
	report->rows = Max(rows, 0);
	report->analyzed = analyzed;
	report->nest_level = GetCurrentTransactionNestLevel();
	reports = lappend(reports, report);
	MemoryContextSwitchTo(oldcxt);
}

void
idem_new_heap_report(NewHeap *heap)
{
	Oid			toast_oid = heap->new->rd_rel->reltoastrelid;

	if (!pgstat_should_count_relation(heap->rel))
		return;
	if (heap->analyzed)
		add_report(RelationGetRelid(heap->rel), heap->nrows - counted_rows(heap->rel), true);
	else
	{
		/* let autovacuum see that there is something to analyze */
		pgstat_count_truncate(heap->rel);
		pgstat_count_heap_insert(heap->rel, heap->nrows);
	}
	if (OidIsValid(toast_oid))
	{
		Relation	toast = table_open(toast_oid, NoLock);

		/* its rows have been counted as they were put there */
		if (pgstat_should_count_relation(toast))
			add_report(toast_oid, 0, false);
		table_close(toast, NoLock);
	}
}
