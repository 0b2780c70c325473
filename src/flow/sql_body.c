/*-------------------------------------------------------------------------
 *
 * sql_body.c
 *	  Looks into the bodies of functions written in SQL.
 *
 * A body is kept parsed (BEGIN ATOMIC, RETURN) or as text.  Text has to be
 * analyzed the way it would be if the function ran: with the types of the
 * call's arguments where the declared ones are polymorphic, and with the
 * function's own settings and owner, as these say what its names mean.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/functions.h"
#include "flow/sql_body.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/* A SQL function whose body is being parsed, for its errors' context. */
typedef struct BodyContext
{
	const char *name;
	const char *source;
} BodyContext;

static bool walk_body(HeapTuple proc, Node *call, const SqlBodyWalk *walk);
static bool walk_parsed(const char *parsed, const SqlBodyWalk *walk);
static bool walk_text(HeapTuple proc, Node *call, const char *text, const SqlBodyWalk *walk);
static void body_error_context(void *arg);

bool
idem_sql_body_known(Form_pg_proc form, Node *call, bool *polymorphic)
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

bool
idem_sql_body_walk(HeapTuple proc, Node *call, const SqlBodyWalk *walk)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(proc);
	int			save_nestlevel = 0;
	Oid			save_userid;
	int			save_sec_context;
	Datum		config;
	bool		no_config;
	bool		result;

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

	result = walk_body(proc, call, walk);

	if (!no_config)
		AtEOXact_GUC(true, save_nestlevel);
	if (form->prosecdef)
		SetUserIdAndSecContext(save_userid, save_sec_context);

	return result;
}

/*
 * Walk a body, statement by statement.
 */
static bool
walk_body(HeapTuple proc, Node *call, const SqlBodyWalk *walk)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(proc);
	Datum		body;
	bool		isnull;
	bool		result;
	BodyContext context;
	ErrorContextCallback callback;

	body = SysCacheGetAttr(PROCOID, proc, Anum_pg_proc_prosrc, &isnull);
	context.name = format_procedure(form->oid);
	context.source = isnull ? "" : TextDatumGetCString(body);
	callback.callback = body_error_context;
	callback.arg = &context;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	body = SysCacheGetAttr(PROCOID, proc, Anum_pg_proc_prosqlbody, &isnull);
	if (!isnull)
		result = walk_parsed(TextDatumGetCString(body), walk);
	else
		result = walk_text(proc, call, context.source, walk);

	error_context_stack = callback.previous;
	return result;
}

static bool
walk_parsed(const char *parsed, const SqlBodyWalk *walk)
{
	Node	   *node = stringToNode(parsed);
	List	   *queries;
	ListCell   *lc;

	queries = IsA(node, List) ? linitial_node(List, (List *) node) : list_make1(node);
	foreach(lc, queries)
	{
		Query	   *query = lfirst_node(Query, lc);

		AcquireRewriteLocks(query, true, false);
		if (walk->analyzed((Node *) pg_rewrite_query(query), NULL, walk->context))
			return true;
	}

	return false;
}

static bool
walk_text(HeapTuple proc, Node *call, const char *text, const SqlBodyWalk *walk)
{
	Oid			collation = call ? exprInputCollation(call) : InvalidOid;
	SQLFunctionParseInfoPtr pinfo = prepare_sql_fn_parse_info(proc, call, collation);
	ListCell   *lc;

	foreach(lc, pg_parse_query(text))
	{
		RawStmt    *raw = lfirst_node(RawStmt, lc);
		List	   *queries;

		/* first, as analysis replaces date 'today' by the day */
		if (IsA(raw->stmt, SelectStmt) && walk->raw(raw->stmt, walk->context))
			return true;

		queries = pg_analyze_and_rewrite_withcb(raw, text,
												(ParserSetupHook) sql_fn_parser_setup,
												pinfo, NULL);
		if (walk->analyzed((Node *) queries, text, walk->context))
			return true;
	}

	return false;
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
