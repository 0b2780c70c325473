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
 *	 bodies are read instead, and for aggregates, which are as good as the
 *	 functions they consist of;
 * - built-in STABLE functions that tell about the clock, the transaction, the
 *	 session or the server's activity are known by name.  Those that depend on
 *	 settings (DateStyle, TimeZone, search_path) pass: an import pins its
 *	 settings.  So do those that depend on the user, as a source is always read
 *	 as the import's owner;
 * - clauses that let the executor choose rows (TABLESAMPLE, SKIP LOCKED, LIMIT
 *	 and DISTINCT ON without an order) are refused, unless nothing depends on
 *	 which rows they are.
 *
 * A tree is searched for its first culprit; only the functions at the end of
 * the file know what it means for whom, and raise the error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/functions.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "base/error.h"
#include "flow/determinism.h"

#define CURE_CLOCK \
	"Pass the time as data, or as the scope parameter $1."
#define CURE_SEQUENCE \
	"Take the number from the data, or leave the column to the target's default where the mode keeps existing rows."
#define CURE_STATE \
	"Pass the value as data, or as the scope parameter $1."
#define CURE_VOLATILE \
	"Pass the value as data, or as the scope parameter $1. If the function does give the same result whenever it reads the same tables, declare it STABLE or IMMUTABLE."
#define CURE_WRITE \
	"A source must only read: write in a statement of its own, before the run."

/* A search for the first thing that is not deterministic. */
typedef struct Search
{
	List	   *looked_into;	/* SQL functions, so that recursion ends */
	Node	   *exists;			/* subselect of the EXISTS being looked at */

	/* What was found, if anything. */
	const char *culprit;		/* follows "it": "has TABLESAMPLE" */
	const char *cure;
	char	   *place;			/* NULL: in the tree that the search began with */
} Search;

/* What check_functions_in_node() hands on: which node calls the function? */
typedef struct Call
{
	Search	   *search;
	Node	   *node;			/* NULL: not called from an expression */
} Call;

/* A SQL function whose body is being parsed, for its errors' context. */
typedef struct BodyContext
{
	const char *name;
	const char *source;
} BodyContext;

static bool find_in_tree(Node *node, void *context);
static bool find_in_query(Query *query, Search *search);
static bool find_in_function(Oid funcid, void *context);
static bool find_in_aggregate(Oid funcid, Search *search);
static bool find_in_sql_function(HeapTuple proc, Call *call);
static bool find_in_body(HeapTuple proc, Call *call);
static bool find_in_domain(Oid domain, Search *search);
static bool find_in_raw_tree(Node *node, void *context);

/*
 * Remember the culprit.  Returns true, which ends the walk.
 */
static bool
found(Search *search, const char *culprit, const char *cure)
{
	search->culprit = culprit;
	search->cure = cure;
	return true;
}

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
 * Does this SQLValueFunction read the clock?  The others name the user or the
 * schema, which the import pins.
 */
static const char *
clock_keyword(SQLValueFunction *svf)
{
	switch (svf->op)
	{
		case SVFOP_CURRENT_DATE:
			return "CURRENT_DATE";
		case SVFOP_CURRENT_TIME:
		case SVFOP_CURRENT_TIME_N:
			return "CURRENT_TIME";
		case SVFOP_CURRENT_TIMESTAMP:
		case SVFOP_CURRENT_TIMESTAMP_N:
			return "CURRENT_TIMESTAMP";
		case SVFOP_LOCALTIME:
		case SVFOP_LOCALTIME_N:
			return "LOCALTIME";
		case SVFOP_LOCALTIMESTAMP:
		case SVFOP_LOCALTIMESTAMP_N:
			return "LOCALTIMESTAMP";
		default:
			return NULL;
	}
}

/*
 * Look for a built-in function that is worth a better word than "volatile",
 * or that is not volatile but changes from run to run all the same.
 */
static bool
find_known_function(Oid funcid, Form_pg_proc form, Search *search)
{
	switch (funcid)
	{
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
		case F_STATEMENT_TIMESTAMP:
		case F_CLOCK_TIMESTAMP:
		case F_TIMEOFDAY:
		case F_AGE_TIMESTAMP:	/* since midnight today */
		case F_AGE_TIMESTAMPTZ:
		case F_TIMETZ_TIME:		/* these ask whether it is summer today */
		case F_TIMEZONE_TEXT_TIMETZ:
		case F_TIMEZONE_TIMETZ:
		case F_PG_TIMEZONE_NAMES:
		case F_PG_TIMEZONE_ABBREVS:
			return found(search,
						 psprintf("reads the clock with %s", format_procedure(funcid)),
						 CURE_CLOCK);

		case F_NEXTVAL:
		case F_CURRVAL:
		case F_LASTVAL:
			return found(search,
						 psprintf("takes a number from a sequence with %s", format_procedure(funcid)),
						 CURE_SEQUENCE);

		case F_TXID_CURRENT:
		case F_TXID_CURRENT_IF_ASSIGNED:
		case F_TXID_CURRENT_SNAPSHOT:
		case F_PG_CURRENT_XACT_ID:
		case F_PG_CURRENT_XACT_ID_IF_ASSIGNED:
		case F_PG_CURRENT_SNAPSHOT:
		case F_AGE_XID:
		case F_MXID_AGE:
			return found(search,
						 psprintf("calls %s, which depends on the transaction", format_procedure(funcid)),
						 CURE_STATE);

		case F_PG_BACKEND_PID:
		case F_INET_CLIENT_ADDR:
		case F_INET_CLIENT_PORT:
		case F_INET_SERVER_ADDR:
		case F_INET_SERVER_PORT:
		case F_PG_MY_TEMP_SCHEMA:
		case F_PG_IS_OTHER_TEMP_SCHEMA:
		case F_PG_LISTENING_CHANNELS:
		case F_PG_PREPARED_STATEMENT:
		case F_PG_CURSOR:
		case F_PG_TRIGGER_DEPTH:
			return found(search,
						 psprintf("calls %s, which depends on the session", format_procedure(funcid)),
						 CURE_STATE);

		case F_PG_POSTMASTER_START_TIME:
		case F_PG_CONF_LOAD_TIME:
		case F_PG_GET_REPLICATION_SLOTS:
			return found(search,
						 psprintf("calls %s, which depends on the state of the server", format_procedure(funcid)),
						 CURE_STATE);

		default:
			break;
	}

	/* The statistics collected about activity: a family of a hundred. */
	if (form->pronamespace == PG_CATALOG_NAMESPACE &&
		strncmp(NameStr(form->proname), "pg_stat_get_", strlen("pg_stat_get_")) == 0)
		return found(search,
					 psprintf("calls %s, which depends on the state of the server", format_procedure(funcid)),
					 CURE_STATE);

	return false;
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

	if (find_known_function(funcid, form, search))
		result = true;
	else if (form->prokind == PROKIND_AGGREGATE)
		result = find_in_aggregate(funcid, search);
	else if (form->prolang == SQLlanguageId)
		result = find_in_sql_function(proc, call);
	else if (form->provolatile == PROVOLATILE_VOLATILE)
		result = found(search,
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
 * Can a SQL function's body be parsed knowing no more than this call?  Says
 * also whether it could mean something else in another call.
 */
static bool
arguments_are_known(Form_pg_proc form, Node *call, bool *polymorphic)
{
	*polymorphic = false;

	for (int i = 0; i < form->pronargs; i++)
	{
		if (!IsPolymorphicType(form->proargtypes.values[i]))
			continue;
		*polymorphic = true;
		if (!OidIsValid(get_call_expr_argtype(call, i)))
			return false;
	}

	return true;
}

/*
 * Judge a SQL function by its body, whatever its label says, once.
 */
static bool
find_in_sql_function(HeapTuple proc, Call *call)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(proc);
	Search	   *search = call->search;
	int			save_nestlevel = 0;
	Oid			save_userid;
	int			save_sec_context;
	Datum		config;
	bool		no_config;
	bool		polymorphic;
	bool		result;

	if (list_member_oid(search->looked_into, form->oid))
		return false;

	/* As when a polymorphic one serves an aggregate: all we have is the label. */
	if (!arguments_are_known(form, call->node, &polymorphic))
	{
		if (form->provolatile != PROVOLATILE_VOLATILE)
			return false;
		return found(search,
					 psprintf("calls volatile function %s", format_procedure(form->oid)),
					 CURE_VOLATILE);
	}

	search->looked_into = lappend_oid(search->looked_into, form->oid);

	/*
	 * Names in the body mean what they mean to the function when it runs: as
	 * its owner if it is SECURITY DEFINER, and under its own settings.  An
	 * error resets both.
	 */
	GetUserIdAndSecContext(&save_userid, &save_sec_context);
	if (form->prosecdef)
		SetUserIdAndSecContext(form->proowner,
							   save_sec_context | SECURITY_LOCAL_USERID_CHANGE);
	config = SysCacheGetAttr(PROCOID, proc, Anum_pg_proc_proconfig, &no_config);
	if (!no_config)
	{
		save_nestlevel = NewGUCNestLevel();
		ProcessGUCArray(DatumGetArrayTypeP(config),
						superuser() ? PGC_SUSET : PGC_USERSET,
						PGC_S_SESSION, GUC_ACTION_SAVE);
	}

	result = find_in_body(proc, call);

	if (!no_config)
		AtEOXact_GUC(true, save_nestlevel);
	if (form->prosecdef)
		SetUserIdAndSecContext(save_userid, save_sec_context);

	/* Another call of a polymorphic function is another function. */
	if (polymorphic)
		search->looked_into = list_delete_oid(search->looked_into, form->oid);

	return result && found_inside(search, "function", format_procedure(form->oid));
}

/*
 * Error context of a function's body.  A position in the body is none in the
 * statement that the client sent.
 */
static void
body_error_context(void *arg)
{
	BodyContext *body = (BodyContext *) arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(body->source);
	}
	errcontext("SQL function %s, looked into for what is not deterministic", body->name);
}

/*
 * Search a function's body, statement by statement.  It is kept parsed
 * (BEGIN ATOMIC, RETURN) or as text.
 */
static bool
find_in_body(HeapTuple proc, Call *call)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(proc);
	Datum		body;
	bool		isnull;
	bool		result = false;
	BodyContext context;
	ErrorContextCallback callback;
	ListCell   *lc;

	body = SysCacheGetAttr(PROCOID, proc, Anum_pg_proc_prosrc, &isnull);
	context.name = format_procedure(form->oid);
	context.source = isnull ? "" : TextDatumGetCString(body);
	callback.callback = body_error_context;
	callback.arg = &context;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	body = SysCacheGetAttr(PROCOID, proc, Anum_pg_proc_prosqlbody, &isnull);
	if (!isnull)
	{
		Node	   *node = stringToNode(TextDatumGetCString(body));
		List	   *queries;

		queries = IsA(node, List) ? linitial_node(List, (List *) node) : list_make1(node);
		foreach(lc, queries)
		{
			Query	   *query = lfirst_node(Query, lc);

			AcquireRewriteLocks(query, true, false);
			result = find_in_tree((Node *) pg_rewrite_query(query), call->search);
			if (result)
				break;
		}
	}
	else
	{
		SQLFunctionParseInfoPtr pinfo;
		Oid			collation = call->node ? exprInputCollation(call->node) : InvalidOid;

		pinfo = prepare_sql_fn_parse_info(proc, call->node, collation);
		foreach(lc, pg_parse_query(context.source))
		{
			RawStmt    *raw = lfirst_node(RawStmt, lc);
			List	   *queries;

			/* first, as analysis replaces date 'today' by the day */
			result = IsA(raw->stmt, SelectStmt) && find_in_raw_tree(raw->stmt, call->search);
			if (result)
				break;

			queries = pg_analyze_and_rewrite_withcb(raw, context.source,
													(ParserSetupHook) sql_fn_parser_setup,
													pinfo, NULL);
			result = find_in_tree((Node *) queries, call->search);
			if (result)
				break;
		}
	}

	error_context_stack = callback.previous;
	return result;
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
 * A LIMIT or OFFSET: its value if that is known by now, "none" if it is absent
 * or NULL, else some number that takes rows away.
 */
static int64
limit_value(Node *expr, int64 none)
{
	Const	   *value;

	if (expr == NULL)
		return none;
	value = (Const *) eval_const_expressions(NULL, expr);
	if (!IsA(value, Const))
		return 1;
	return value->constisnull ? none : DatumGetInt64(value->constvalue);
}

/*
 * Does LIMIT or OFFSET leave it to the executor which rows there are?  Not
 * under an ORDER BY, not if all rows or none are left, and not if there is at
 * most one to begin with.
 */
static bool
limit_is_arbitrary(Query *query)
{
	int64		limit = limit_value(query->limitCount, PG_INT64_MAX);
	int64		offset = limit_value(query->limitOffset, 0);

	if (limit == 0 || (limit == PG_INT64_MAX && offset == 0))
		return false;
	if (query->sortClause != NIL)
		return false;
	if (query->setOperations == NULL && !query->hasTargetSRFs)
	{
		if (query->jointree->fromlist == NIL)
			return false;
		if ((query->hasAggs || query->havingQual != NULL) &&
			query->groupClause == NIL && query->groupingSets == NIL)
			return false;
	}
	return true;
}

/*
 * Does DISTINCT ON leave it to the executor which row of each group stays?
 * Not if ORDER BY goes on past the expressions of DISTINCT ON, nor if these
 * are all that is selected.
 */
static bool
distinct_on_is_arbitrary(Query *query)
{
	List	   *groups = NIL;
	ListCell   *lc;

	if (!query->hasDistinctOn)
		return false;

	foreach(lc, query->distinctClause)
		groups = lappend_int(groups, lfirst_node(SortGroupClause, lc)->tleSortGroupRef);

	foreach(lc, query->sortClause)
	{
		if (!list_member_int(groups, lfirst_node(SortGroupClause, lc)->tleSortGroupRef))
			return false;
	}

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk && !list_member_int(groups, tle->ressortgroupref))
			return true;
	}

	return false;
}

/*
 * Search one level of a query, and then all below it.
 */
static bool
find_in_query(Query *query, Search *search)
{
	bool		any_row_will_do = (search->exists == (Node *) query);
	ListCell   *lc;

	switch (query->commandType)
	{
		case CMD_SELECT:
			break;
		case CMD_INSERT:
			return found(search, "contains INSERT", CURE_WRITE);
		case CMD_UPDATE:
			return found(search, "contains UPDATE", CURE_WRITE);
		case CMD_DELETE:
			return found(search, "contains DELETE", CURE_WRITE);
		case CMD_MERGE:
			return found(search, "contains MERGE", CURE_WRITE);
		default:
			return found(search, "contains a statement other than SELECT", CURE_WRITE);
	}

	if (!any_row_will_do && limit_is_arbitrary(query))
		return found(search,
					 query->limitCount ? "has LIMIT without ORDER BY" : "has OFFSET without ORDER BY",
					 "Add ORDER BY, on columns that leave no ties, where the LIMIT or OFFSET is.");

	if (!any_row_will_do && distinct_on_is_arbitrary(query))
		return found(search, "has DISTINCT ON without an ORDER BY that chooses the row",
					 "Add ORDER BY with further columns after those of DISTINCT ON, leaving no ties.");

	foreach(lc, query->rowMarks)
	{
		if (lfirst_node(RowMarkClause, lc)->waitPolicy == LockWaitSkip)
			return found(search, "has SKIP LOCKED",
						 "Read without SKIP LOCKED: which rows are locked changes from run to run.");
	}

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
			if (((RangeTblEntry *) node)->tablesample != NULL)
				return found(search, "has TABLESAMPLE",
							 "Choose rows by their values, for example by a hash of the key: a sample depends on where rows are stored.");
			return false;

		case T_FuncExpr:
			node = complete_call((FuncExpr *) node);
			break;

		case T_SQLValueFunction:
			{
				const char *keyword = clock_keyword((SQLValueFunction *) node);

				if (keyword != NULL)
					return found(search, psprintf("reads the clock with %s", keyword), CURE_CLOCK);
			}
			break;

		case T_NextValueExpr:
			return found(search,
						 psprintf("takes a number from sequence %s",
								  get_rel_name(((NextValueExpr *) node)->seqid)),
						 CURE_SEQUENCE);

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
 * Is this the name of a type whose input function knows words for the clock?
 * Names are as the raw parser gives them: date, pg_catalog.timestamptz.
 */
static bool
is_clock_type(List *names)
{
	static const char *const types[] = {
		"date", "time", "timetz", "timestamp", "timestamptz",
		"daterange", "tsrange", "tstzrange",
		"datemultirange", "tsmultirange", "tstzmultirange",
		"_date", "_time", "_timetz", "_timestamp", "_timestamptz"
	};

	if (names == NIL)
		return false;
	if (list_length(names) > 1 && strcmp(strVal(linitial(names)), "pg_catalog") != 0)
		return false;

	for (int i = 0; i < lengthof(types); i++)
	{
		if (strcmp(strVal(llast(names)), types[i]) == 0)
			return true;
	}

	return false;
}

/*
 * Does the literal contain a word for the clock, as in 'now', 'Today 12:00'
 * and '[yesterday,tomorrow)'?
 */
static bool
has_clock_word(const char *literal)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	const char *end;

	for (const char *start = literal; *start != '\0'; start = (end > start) ? end : start + 1)
	{
		for (end = start; isalpha((unsigned char) *end); end++)
			 /* to the end of the word */ ;

		for (int i = 0; i < lengthof(words); i++)
		{
			if (end - start == strlen(words[i]) &&
				pg_strncasecmp(start, words[i], end - start) == 0)
				return true;
		}
	}

	return false;
}

/*
 * Search a raw tree for what analysis turns into constants.  A cast may be
 * spelled 'now'::timestamp, timestamp 'now', CAST('now'::text AS date) or
 * date('now').
 */
static bool
find_in_raw_tree(Node *node, void *context)
{
	Search	   *search = (Search *) context;
	Node	   *arg = NULL;
	List	   *type = NIL;

	if (node == NULL)
		return false;

	if (IsA(node, TypeCast))
	{
		arg = ((TypeCast *) node)->arg;
		type = ((TypeCast *) node)->typeName->names;
	}
	else if (IsA(node, FuncCall) && list_length(((FuncCall *) node)->args) == 1)
	{
		arg = linitial(((FuncCall *) node)->args);
		type = ((FuncCall *) node)->funcname;
	}

	if (is_clock_type(type))
	{
		while (IsA(arg, TypeCast))
			arg = ((TypeCast *) arg)->arg;
		if (IsA(arg, A_Const) && !((A_Const *) arg)->isnull)
		{
			Node	   *value = (Node *) &((A_Const *) arg)->val;

			if (IsA(value, String) && has_clock_word(strVal(value)))
				return found(search,
							 psprintf("reads the clock with %s literal \"%s\"",
									  strVal(llast(type)), strVal(value)),
							 CURE_CLOCK);
		}
	}

	return raw_expression_tree_walker(node, find_in_raw_tree, search);
}

/*
 * Raise the error about a source.
 */
static void
refuse_source(Search *search)
{
	ereport(ERROR,
			(errcode(ERRCODE_IDEM_NOT_DETERMINISTIC),
			 errmsg("source is not deterministic: it %s", search->culprit),
			 search->place ? errdetail("It does so in %s.", search->place) : 0,
			 errhint("%s", search->cure)));
}

/*
 * idem_require_deterministic
 *		raises II002 unless rewritten queries depend on tables alone.
 */
void
idem_require_deterministic(List *queries)
{
	Search		search = {0};

	if (find_in_tree((Node *) queries, &search))
		refuse_source(&search);
}

/*
 * idem_require_deterministic_text
 *		raises II002 for literals that mean the time at which they are parsed.
 */
void
idem_require_deterministic_text(const char *query)
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
			refuse_source(&search);
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
					 errdetail("The default %s, in %s.", search.culprit, search.place) :
					 errdetail("The default %s.", search.culprit),
					 errhint("Import the column, or give it a constant default."),
					 errtablecol(target, attr->attnum)));
	}
}
