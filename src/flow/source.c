/*-------------------------------------------------------------------------
 *
 * source.c
 *	  What an import reads, row by row in the target's types.
 *
 * The query itself is the planner's affair and may run in parallel.  Casts are
 * not part of it: an explicit cast in SQL would cut a text that is too long
 * for varchar(10), where an assignment, as INSERT and COPY do it, refuses it.
 * So the casts are expressions that we evaluate on each row as it comes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/error.h"
#include "base/relation.h"
#include "base/sql.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "flow/clock.h"
#include "flow/determinism.h"
#include "flow/order.h"
#include "flow/query.h"
#include "flow/source.h"
#include "flow/source_cast.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* Tables of any kind and views hold rows; the rest does not. */
static void
require_source_kind(Oid relid)
{
	switch (get_rel_relkind(relid))
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_FOREIGN_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
			break;
		case '\0':
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("source relation with OID %u does not exist", relid),
					 errhint("Give the import another source with idem_import_alter.")));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot import from \"%s\"", get_rel_name(relid)),
					 errdetail_relkind_not_supported(get_rel_relkind(relid))));
	}
}

/*
 * (SELECT * FROM public.stage) AS s
 *
 * In a subquery a table shows no system columns: which row wins must not
 * depend on where it lies.
 */
static char *
source_from(const Definition *def, Oid instead)
{
	Oid			relid = OidIsValid(instead) ? instead : def->source_table;

	if (!OidIsValid(relid))
	{
		idem_require_deterministic_text(def->source_query, "source");
		return psprintf("(\n%s\n) AS s",
						idem_query_select(def->source_query, "source",
										  "Name a table or view, or write one SELECT that reads what is to be imported."));
	}
	require_source_kind(relid);
	if (relid == def->target)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("source and target are the same table")));
	return psprintf("(SELECT * FROM %s) AS s", idem_relation_name(relid));
}

static bool
uses_params_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return castNode(Param, node)->paramkind == PARAM_EXTERN;
	if (IsA(node, Query))
		return query_tree_walker(castNode(Query, node), uses_params_walker, context, 0);
	return expression_tree_walker(node, uses_params_walker, context);
}

/*
 * An order_by expression gives one value for each row, from that row alone;
 * the query around it has nothing else that could do otherwise.
 */
static void
require_plain_expressions(const Query *query)
{
	if (query->hasTargetSRFs || query->hasWindowFuncs || query->hasAggs)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("order_by must not contain aggregates, window functions or functions that return sets")));
}

/* What rows of a FROM item are, in the caller's memory; says whether it uses parameters. */
static TupleDesc
describe(const char *from, Scope *scope, bool *by_unit)
{
	MemoryContext cxt = CurrentMemoryContext;
	MemoryContext oldcxt;
	SPIPlanPtr	plan;
	CachedPlanSource *analyzed;
	TupleDesc	desc;

	sql_begin();
	analyzed = idem_query_analyze(psprintf("SELECT * FROM %s", from), scope, "source", &plan);
	idem_query_require_steady(analyzed, "source");
	*by_unit = uses_params_walker((Node *) analyzed->query_list, NULL);
	oldcxt = MemoryContextSwitchTo(cxt);
	desc = CreateTupleDescCopy(analyzed->resultDesc);
	MemoryContextSwitchTo(oldcxt);
	SPI_freeplan(plan);
	sql_end();
	return desc;
}

List *
idem_source_columns(const Definition *def, Oid instead, Scope *scope)
{
	bool		by_unit;

	return idem_query_columns(describe(source_from(def, instead), scope, &by_unit), "source");
}

TupleDesc
idem_source_shape(const Definition *def, Scope *scope)
{
	bool		by_unit;
	TupleDesc	all = describe(source_from(def, InvalidOid), scope, &by_unit);
	TupleDesc	shape;
	List	   *kept = NIL;
	ListCell   *lc;

	for (int i = 1; i <= all->natts; i++)
	{
		char	   *name = NameStr(TupleDescAttr(all, i - 1)->attname);

		if (!OidIsValid(def->source_table) ||
			get_attgenerated(def->source_table, get_attnum(def->source_table, name)) == '\0')
			kept = lappend_int(kept, i);
	}
	shape = CreateTemplateTupleDesc(list_length(kept));
	foreach(lc, kept)
		TupleDescCopyEntry(shape, foreach_current_index(lc) + 1, all, lfirst_int(lc));
	return shape;
}

static List *
without(List *names, List *others)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		if (!list_member(others, lfirst(lc)))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/* II006, unless the source has the recorded columns and, where they are all of them, no others. */
static void
require_recorded_columns(const Definition *def, List *found)
{
	List	   *needed = def->columns;
	List	   *vanished;
	List	   *added;

	if (def->delete_flag != NULL)
		needed = lappend(list_copy(needed), makeString(def->delete_flag));
	if (def->cursor_column != NULL)
		needed = list_append_unique(list_copy(needed), makeString(def->cursor_column));
	vanished = without(needed, found);
	added = def->columns_auto ? without(found, def->source_columns) : NIL;

	if (vanished == NIL && added == NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_IDEM_COLUMNS_CHANGED),
			 errmsg("columns of the source have changed"),
			 errdetail("Vanished: %s. New: %s.",
					   vanished != NIL ? idem_column_list(vanished, "") : "none",
					   added != NIL ? idem_column_list(added, "") : "none"),
			 errhint("Run idem_import_alter(%s, columns => ...) with the columns to import, '{}' for all that source and target share.",
					 quote_literal_cstr(def->name))));
}

/* s."a", s."b", s."flag", (updated_at): order expressions each on a line of their own */
static char *
read_columns(const Definition *def, const Target *target, List *order)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoString(&buf, idem_target_columns(target, "s."));
	if (def->delete_flag != NULL)
		appendStringInfo(&buf, ", s.%s", quote_identifier(def->delete_flag));
	foreach(lc, order)
		appendStringInfo(&buf, ", (\n%s\n)", ((OrderItem *) lfirst(lc))->expression);
	if (def->cursor_column != NULL)
		appendStringInfo(&buf, ", s.%s", quote_identifier(def->cursor_column));
	return buf.data;
}

static void
bind_staged_column(Source *source, int place, const char *staged, const char *name, Oid type, int32 typmod)
{
	TupleDescInitEntry(source->desc, place + 1, staged, type, typmod, 0);
	source->coercions[place] = idem_source_cast(name, TupleDescAttr(source->raw, place), place, type, typmod);
	source->dates[place] = idem_clock_type(type) &&
		TypeCategory(getBaseType(TupleDescAttr(source->raw, place)->atttypid)) == TYPCATEGORY_STRING &&
		TupleDescAttr(source->raw, place)->attlen == -1;
	source->serial |= idem_source_cast_is_serial(source->coercions[place]);
}

/* Each order column sorts by its type's own order. */
static void
bind_order(Source *source, List *order)
{
	ListCell   *lc;

	source->norder = list_length(order);
	source->order = palloc0(sizeof(OrderColumn) * (source->norder + 1));
	foreach(lc, order)
	{
		OrderItem  *item = lfirst(lc);
		int			n = foreach_current_index(lc);
		int			place = source->first_order + n;
		Form_pg_attribute att = TupleDescAttr(source->raw, place);
		TypeCacheEntry *type = lookup_type_cache(att->atttypid,
												 TYPECACHE_LT_OPR | TYPECACHE_GT_OPR | TYPECACHE_EQ_OPR_FINFO);

		if (!OidIsValid(type->lt_opr) || !OidIsValid(type->gt_opr))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("order_by expression %s has type %s, which has no order",
							item->expression, format_type_be(att->atttypid))));
		source->order[n].sort_opr = item->descending ? type->gt_opr : type->lt_opr;
		source->order[n].nulls_first = item->nulls_first;
		source->order[n].collation = att->attcollation;
		fmgr_info(type->eq_opr_finfo.fn_oid, &source->order[n].eq);
		TupleDescInitEntry(source->desc, place + 1, psprintf("o%d", n + 1), att->atttypid, att->atttypmod, 0);
		TupleDescInitEntryCollation(source->desc, place + 1, att->attcollation);
	}
}

/*
 * The cursor column, as what it is compared.  Dates and numbers that are
 * staged as text and imported as what they are have their own order, not that
 * of the text.
 */
static void
find_cursor(const Definition *def, Source *source, TupleDesc found)
{
	Form_pg_attribute att = TupleDescAttr(found, idem_relation_column(found, def->cursor_column) - 1);
	int			column = idem_target_column(source->target, def->cursor_column);
	Oid			type = att->atttypid;

	source->cursor_name = def->cursor_column;
	source->cursor_collation = att->attcollation;
	source->cursor = psprintf("s.%s", quote_identifier(def->cursor_column));
	if (column >= 0 && TypeCategory(getBaseType(type)) == TYPCATEGORY_STRING &&
		TypeCategory(getBaseType(source->target->columns[column].type)) != TYPCATEGORY_STRING)
	{
		type = source->target->columns[column].type;
		source->cursor = psprintf("CAST(%s AS %s)", source->cursor, idem_source_type(type, -1));
		source->cursor_collation = get_typcollation(type);
	}
	source->cursor_type = type;
}

/* Rows of a source that is read by its cursor count in that order: of one key the last wins. */
static OrderItem *
latest_first(const Source *source)
{
	OrderItem  *item = palloc0(sizeof(OrderItem));

	item->expression = source->cursor;
	item->descending = true;
	return item;
}

Source *
idem_source_open(const Definition *def, Target *target, Oid instead)
{
	Source	   *source = palloc0(sizeof(Source));
	char	   *from = source_from(def, instead);
	List	   *order = NIL;
	TupleDesc	found;
	MemoryContext cxt = CurrentMemoryContext;
	MemoryContext oldcxt;
	SPIPlanPtr	plan;
	CachedPlanSource *analyzed;

	found = describe(from, target->scope, &source->by_unit);
	require_recorded_columns(def, idem_query_columns(found, "source"));

	source->target = target;
	source->whole = from;
	if (OidIsValid(OidIsValid(instead) ? instead : def->source_table))
		source->relation = idem_relation_name(OidIsValid(instead) ? instead : def->source_table);
	idem_source_unbind(source);
	if (def->cursor_column != NULL)
		find_cursor(def, source, found);
	if (def->order_by != NULL)
		order = idem_order_parse(def->order_by);
	else if (def->cursor_column != NULL && target->nkeys > 0)
		order = list_make1(latest_first(source));
	source->columns = read_columns(def, target, order);
	source->gone = def->delete_flag != NULL ? target->ncolumns : -1;
	source->first_order = target->ncolumns + (def->delete_flag != NULL);

	sql_begin();
	analyzed = idem_query_analyze(idem_source_query(source, NULL, NULL), target->scope, "order_by", &plan);
	idem_require_deterministic(analyzed->query_list, analyzed->query_string, "source");
	require_plain_expressions(linitial_node(Query, analyzed->query_list));
	oldcxt = MemoryContextSwitchTo(cxt);
	source->raw = CreateTupleDescCopy(analyzed->resultDesc);
	MemoryContextSwitchTo(oldcxt);
	SPI_freeplan(plan);
	sql_end();

	source->desc = CreateTemplateTupleDesc(source->raw->natts);
	source->coercions = palloc0(sizeof(Node *) * source->raw->natts);
	source->dates = palloc0(sizeof(bool) * source->raw->natts);
	for (int i = 0; i < target->ncolumns; i++)
		bind_staged_column(source, i, psprintf("c%d", i + 1), target->columns[i].name,
						   target->columns[i].type, target->columns[i].typmod);
	if (source->gone >= 0)
		bind_staged_column(source, source->gone, "gone", def->delete_flag, BOOLOID, -1);
	for (int i = 0; i < target->ncolumns; i++)
		TupleDescInitEntryCollation(source->desc, i + 1, target->columns[i].collation);
	bind_order(source, order);
	source->mark = def->cursor_column != NULL ? source->raw->natts - 1 : -1;
	if (source->mark >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(source->raw, source->mark);

		TupleDescInitEntry(source->desc, source->mark + 1, "mark", att->atttypid, att->atttypmod, 0);
		TupleDescInitEntryCollation(source->desc, source->mark + 1, att->attcollation);
	}

	/* where every scope column is read as it is, the source can be asked for the unit alone */
	source->within = idem_scope_predicate(target->scope, "s");
	for (int i = 0; i < target->scope->ncolumns; i++)
	{
		if (source->coercions[target->scope_columns[i]] != NULL)
			source->within = NULL;
	}
	return source;
}
