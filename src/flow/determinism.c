/*-------------------------------------------------------------------------
 *
 * determinism.c
 *	  Refuse sources that could read differently on the next run (II002).
 *
 * Running an import twice can give the same table only if reading its source
 * twice gives the same rows.  The planner's notion of volatility is not that:
 * a STABLE function holds still for one statement, while we need two runs, a
 * month apart, to agree.  On the other hand a label is only a promise, and one
 * that nobody checks.  So:
 *
 * - functions are judged by their label, but for those written in SQL, whose
 *	 bodies are read instead (see sql_body.c), and for aggregates, which are as
 *	 good as the functions they consist of;
 * - built-in STABLE functions that tell about the clock, the transaction, the
 *	 session or the server's activity are known by name (see clock.c).  Those
 *	 that depend on settings (DateStyle, TimeZone, search_path) pass: an import
 *	 pins its settings.  So do those that depend on the user, as a source is
 *	 always read as the import's owner;
 * - clauses that let the executor choose rows (TABLESAMPLE, SKIP LOCKED, LIMIT
 *	 and DISTINCT ON without an order) are refused, unless nothing depends on
 *	 which rows they are (see arbitrary.c).
 *
 * A tree is searched for its first culprit; only the functions at the end of
 * the file know what it means for whom, and raise the error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/error.h"
#include "flow/arbitrary.h"
#include "flow/clock.h"
#include "flow/determinism.h"
#include "flow/sql_body.h"

#define CURE_VOLATILE \
	"Pass the value as data, or as the scope parameter $1. If the function does give the same result whenever it reads the same tables, declare it STABLE or IMMUTABLE."
#define CURE_WRITE \
	"A source must only read: write in a statement of its own, before the run."

/* A search for the first thing that is not deterministic. */
typedef struct Search
{
	const char *text;			/* that the tree was parsed from, if known */
	List	   *looked_into;	/* SQL functions, so that recursion ends */
	Node	   *exists;			/* subselect of the EXISTS being looked at */

	/* What was found, if anything. */
	Culprit		culprit;
	char	   *place;			/* NULL: in the tree that the search began with */
} Search;

/* What check_functions_in_node() hands on: which node calls the function? */
typedef struct Call
{
	Search	   *search;
	Node	   *node;			/* NULL: not called from an expression */
} Call;

static bool find_in_tree(Node *node, void *context);
static bool find_in_text(Node *node, const char *text, void *context);
static bool find_in_raw_tree(Node *node, void *context);
static bool find_in_query(Query *query, Search *search);
static bool find_in_function(Oid funcid, void *context);
static bool find_in_aggregate(Oid funcid, Search *search);
static bool find_in_sql_function(HeapTuple proc, Call *call);
static bool find_in_domain(Oid domain, Search *search);

/*
 * Remember where the culprit is, from the inside out.  Returns true.
 */
static bool
found_inside(Search *search, const char *kind, const char *name)
{
	if (search->place == NULL)
		search->place = psprintf("%s %s", kind, name);
	else
		search->place = psprintf("%s, used by %s %s", search->place, kind, name);
	return true;
}

/*
 * Judge one function.  A check_function_callback.
 */
static bool
find_in_function(Oid funcid, void *context)
{
	Call	   *call = (Call *) context;
	Search	   *search = call->search;
	HeapTuple	proc;
	Form_pg_proc form;
	bool		result;

	/* An aggregate need not have every support function. */
	if (!OidIsValid(funcid))
		return false;

	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(proc))
		elog(ERROR, "cache lookup failed for function %u", funcid);
	form = (Form_pg_proc) GETSTRUCT(proc);

	if (idem_clock_function(funcid, form, &search->culprit))
		result = true;
	else if (form->prokind == PROKIND_AGGREGATE)
		result = find_in_aggregate(funcid, search);
	else if (form->prolang == SQLlanguageId)
		result = find_in_sql_function(proc, call);
	else if (form->provolatile == PROVOLATILE_VOLATILE)
		result = idem_found(&search->culprit,
							psprintf("calls volatile function %s", format_procedure(funcid)),
							CURE_VOLATILE);
	else
		result = false;

	ReleaseSysCache(proc);
	return result;
}

/*
 * Judge an aggregate by its parts: CREATE AGGREGATE labels it IMMUTABLE,
 * whatever they are.
 */
static bool
find_in_aggregate(Oid funcid, Search *search)
{
	HeapTuple	tuple;
	Form_pg_aggregate form;
	Call		call = {search, NULL};
	bool		result;

	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", funcid);
	form = (Form_pg_aggregate) GETSTRUCT(tuple);

	result = find_in_function(form->aggtransfn, &call) ||
		find_in_function(form->aggfinalfn, &call) ||
		find_in_function(form->aggcombinefn, &call) ||
		find_in_function(form->aggmtransfn, &call) ||
		find_in_function(form->aggminvtransfn, &call) ||
		find_in_function(form->aggmfinalfn, &call);

	ReleaseSysCache(tuple);
	return result && found_inside(search, "aggregate", format_procedure(funcid));
}

/*
 * Judge a SQL function by its body, whatever its label says, once.
 */
static bool
find_in_sql_function(HeapTuple proc, Call *call)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(proc);
	Search	   *search = call->search;
	SqlBodyWalk walk = {find_in_raw_tree, find_in_text, search};
	bool		polymorphic;
	bool		result;

	if (list_member_oid(search->looked_into, form->oid))
		return false;

	/* As when a polymorphic one serves an aggregate: all we have is the label. */
	if (!idem_sql_body_known(form, call->node, &polymorphic))
	{
		if (form->provolatile != PROVOLATILE_VOLATILE)
			return false;
		return idem_found(&search->culprit,
						  psprintf("calls volatile function %s", format_procedure(form->oid)),
						  CURE_VOLATILE);
	}

	search->looked_into = lappend_oid(search->looked_into, form->oid);

	result = idem_sql_body_walk(proc, call->node, &walk);

	/* Another call of a polymorphic function is another function. */
	if (polymorphic)
		search->looked_into = list_delete_oid(search->looked_into, form->oid);

	return result && found_inside(search, "function", format_procedure(form->oid));
}

/*
 * Search the constraints of a domain.
 */
static bool
find_in_domain(Oid domain, Search *search)
{
	DomainConstraintRef *ref = palloc(sizeof(DomainConstraintRef));
	ListCell   *lc;

	/* lives as long as its memory context, hence not on the stack */
	InitDomainConstraintRef(domain, ref, CurrentMemoryContext, false);
	foreach(lc, ref->constraints)
	{
		DomainConstraintState *constraint = (DomainConstraintState *) lfirst(lc);

		if (find_in_tree((Node *) constraint->check_expr, search))
			return found_inside(search, "domain", format_type_be(domain));
	}

	return false;
}

/*
 * Search one level of a query, and then all below it.
 */
static bool
find_in_query(Query *query, Search *search)
{
	switch (query->commandType)
	{
		case CMD_SELECT:
			break;
		case CMD_INSERT:
			return idem_found(&search->culprit, "contains INSERT", CURE_WRITE);
		case CMD_UPDATE:
			return idem_found(&search->culprit, "contains UPDATE", CURE_WRITE);
		case CMD_DELETE:
			return idem_found(&search->culprit, "contains DELETE", CURE_WRITE);
		case CMD_MERGE:
			return idem_found(&search->culprit, "contains MERGE", CURE_WRITE);
		default:
			return idem_found(&search->culprit, "contains a statement other than SELECT", CURE_WRITE);
	}

	if (idem_arbitrary_rows(query, search->exists == (Node *) query, &search->culprit))
		return true;

	return query_tree_walker(query, find_in_tree, search, QTW_EXAMINE_RTES_BEFORE);
}

/*
 * The call with the arguments that the planner would add from defaults, so
 * that f(at timestamptz DEFAULT now()) does not hide the clock.
 */
static Node *
complete_call(FuncExpr *call)
{
	HeapTuple	proc;
	List	   *args;

	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	if (!HeapTupleIsValid(proc))
		elog(ERROR, "cache lookup failed for function %u", call->funcid);
	args = expand_function_arguments(call->args, false, call->funcresulttype, proc);
	ReleaseSysCache(proc);

	if (args != call->args)
	{
		FuncExpr   *complete = makeNode(FuncExpr);

		*complete = *call;
		complete->args = args;
		call = complete;
	}

	return (Node *) call;
}

/*
 * Search an analyzed tree.
 */
static bool
find_in_tree(Node *node, void *context)
{
	Search	   *search = (Search *) context;
	Call		call;

	if (node == NULL)
		return false;

	switch (nodeTag(node))
	{
		case T_Query:
			return find_in_query((Query *) node, search);

		case T_RangeTblEntry:
			/* the walker goes on to what is in it */
			return idem_arbitrary_sample((RangeTblEntry *) node, &search->culprit);

		case T_Const:
			return idem_clock_constant((Const *) node, search->text, &search->culprit);

		case T_FuncExpr:
			node = complete_call((FuncExpr *) node);
			break;

		case T_SQLValueFunction:
		case T_NextValueExpr:
			if (idem_clock_expression(node, &search->culprit))
				return true;
			break;

		case T_SubLink:
			if (((SubLink *) node)->subLinkType == EXISTS_SUBLINK)
				search->exists = ((SubLink *) node)->subselect;
			break;

		case T_MinMaxExpr:
			{
				TypeCacheEntry *type = lookup_type_cache(((MinMaxExpr *) node)->minmaxtype,
														 TYPECACHE_CMP_PROC);

				call.search = search;
				call.node = NULL;
				if (find_in_function(type->cmp_proc, &call))
					return true;
			}
			break;

		case T_CoerceToDomain:
			if (find_in_domain(((CoerceToDomain *) node)->resulttype, search))
				return true;
			break;

		default:
			break;
	}

	call.search = search;
	call.node = node;
	return check_functions_in_node(node, find_in_function, &call) ||
		expression_tree_walker(node, find_in_tree, search);
}

/*
 * Search an analyzed tree that was parsed from a text of its own.
 */
static bool
find_in_text(Node *node, const char *text, void *context)
{
	Search	   *search = (Search *) context;
	const char *outer = search->text;
	bool		result;

	search->text = text;
	result = find_in_tree(node, search);
	search->text = outer;
	return result;
}

/*
 * Search a raw tree for what analysis turns into constants.
 */
static bool
find_in_raw_tree(Node *node, void *context)
{
	return idem_clock_literal(node, &((Search *) context)->culprit);
}

/*
 * Raise the error about what was searched.
 */
static void
refuse_argument(Search *search, const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_IDEM_NOT_DETERMINISTIC),
			 errmsg("%s is not deterministic: it %s", argument, search->culprit.what),
			 search->place ? errdetail("It does so in %s.", search->place) : 0,
			 errhint("%s", search->culprit.cure)));
}

/*
 * idem_require_deterministic
 *		raises II002 unless rewritten queries depend on tables alone.
 */
void
idem_require_deterministic(List *queries, const char *text, const char *argument)
{
	Search		search = {0};

	if (find_in_text((Node *) queries, text, &search))
		refuse_argument(&search, argument);
}

/*
 * idem_require_deterministic_text
 *		raises II002 for literals that mean the time at which they are parsed.
 */
void
idem_require_deterministic_text(const char *query, const char *argument)
{
	MemoryContext context = CurrentMemoryContext;
	Search		search = {0};
	List	   *volatile statements = NIL;
	ListCell   *lc;

	/*
	 * The source may be the name of a relation, which is no statement.  The
	 * raw parser holds nothing but memory, so that its error can be dropped
	 * without a subtransaction.
	 */
	PG_TRY();
	{
		statements = raw_parser(query, RAW_PARSE_DEFAULT);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_SYNTAX_ERROR)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();

	foreach(lc, statements)
	{
		Node	   *stmt = lfirst_node(RawStmt, lc)->stmt;

		/* the walker knows no utility statements, and they are no source */
		if (IsA(stmt, SelectStmt) && find_in_raw_tree(stmt, &search))
			refuse_argument(&search, argument);
	}
}

/*
 * idem_require_deterministic_defaults
 *		raises II002 if a column that is not imported would be filled
 *		differently the next time.
 */
void
idem_require_deterministic_defaults(Relation target, const Bitmapset *imported)
{
	TupleDesc	desc = RelationGetDescr(target);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		Search		search = {0};

		/* a generated column is a function of its row */
		if (attr->attisdropped || attr->attgenerated != '\0' ||
			bms_is_member(attr->attnum - FirstLowInvalidHeapAttributeNumber, imported))
			continue;

		if (find_in_tree(build_column_default(target, attr->attnum), &search))
			ereport(ERROR,
					(errcode(ERRCODE_IDEM_NOT_DETERMINISTIC),
					 errmsg("overwrite leaves column \"%s\" to a default that is not deterministic",
							NameStr(attr->attname)),
					 search.place ?
					 errdetail("The default %s, in %s.", search.culprit.what, search.place) :
					 errdetail("The default %s.", search.culprit.what),
					 errhint("Import the column, or give it a constant default."),
					 errtablecol(target, attr->attnum)));
	}
}
