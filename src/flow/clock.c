/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  What PostgreSQL itself offers that changes from run to run.
 *
 * Functions that tell about the clock, the transaction, the session or the
 * server's activity are known by name, because their label does not give them
 * away: a STABLE function holds still for one statement, and now() for one
 * transaction.  Those that depend on settings or on the user are not among
 * them, since an import pins both.
 *
 * Then there are literals that mean the time at which they are read, such as
 * date 'today'.  Analysis replaces them by that time, so they can be seen only
 * before it, in the raw tree.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "flow/clock.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "base/compat.h"

#define CURE_CLOCK \
	"Pass the time as data, or as the scope parameter $1."
#define CURE_SEQUENCE \
	"Take the number from the data, or leave the column to the target's default where the mode keeps existing rows."
#define CURE_STATE \
	"Pass the value as data, or as the scope parameter $1."

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

bool
idem_clock_expression(Node *node, Culprit *culprit)
{
	if (IsA(node, SQLValueFunction))
	{
		const char *keyword = clock_keyword((SQLValueFunction *) node);

		if (keyword != NULL)
			return idem_found(culprit, psprintf("reads the clock with %s", keyword), CURE_CLOCK);
	}
	else if (IsA(node, NextValueExpr))
		return idem_found(culprit,
						  psprintf("takes a number from sequence %s",
								   get_rel_name(((NextValueExpr *) node)->seqid)),
						  CURE_SEQUENCE);

	return false;
}

bool
idem_clock_function(Oid funcid, Form_pg_proc form, Culprit *culprit)
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
			return idem_found(culprit,
							  psprintf("reads the clock with %s", format_procedure(funcid)),
							  CURE_CLOCK);

		case F_NEXTVAL:
		case F_CURRVAL:
		case F_LASTVAL:
			return idem_found(culprit,
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
			return idem_found(culprit,
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
			return idem_found(culprit,
							  psprintf("calls %s, which depends on the session", format_procedure(funcid)),
							  CURE_STATE);

		case F_PG_POSTMASTER_START_TIME:
		case F_PG_CONF_LOAD_TIME:
		case F_PG_GET_REPLICATION_SLOTS:
			return idem_found(culprit,
							  psprintf("calls %s, which depends on the state of the server", format_procedure(funcid)),
							  CURE_STATE);

		default:
			break;
	}

	/* The statistics collected about activity: a family of a hundred. */
	if (form->pronamespace == PG_CATALOG_NAMESPACE &&
		strncmp(NameStr(form->proname), "pg_stat_get_", strlen("pg_stat_get_")) == 0)
		return idem_found(culprit,
						  psprintf("calls %s, which depends on the state of the server", format_procedure(funcid)),
						  CURE_STATE);

	return false;
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

bool
idem_clock_word(const char *text)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

	while (*text != '\0')
	{
		size_t		length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

		for (int i = 0; i < lengthof(words); i++)
		{
			if (length == strlen(words[i]) && pg_strncasecmp(text, words[i], length) == 0)
				return true;
		}
		text += Max(length, 1);
	}

	return false;
}

/*
 * The literal with a word for the clock that is cast here, if any.
 */
static const char *
clock_literal(Node *arg)
{
	while (IsA(arg, TypeCast))
		arg = ((TypeCast *) arg)->arg;

	if (IsA(arg, A_ArrayExpr))
	{
		ListCell   *lc;

		foreach(lc, ((A_ArrayExpr *) arg)->elements)
		{
			const char *literal = clock_literal(lfirst(lc));

			if (literal != NULL)
				return literal;
		}
	}
	else if (IsA(arg, A_Const) && !((A_Const *) arg)->isnull)
	{
		Node	   *value = (Node *) &((A_Const *) arg)->val;

		if (IsA(value, String) && idem_clock_word(strVal(value)))
			return strVal(value);
	}

	return NULL;
}

/*
 * Search a raw tree for what analysis turns into constants.  A cast may be
 * spelled 'now'::timestamp, timestamp 'now', CAST('now'::text AS date),
 * date('now') or ARRAY['now']::date[].
 */
static bool
find_in_raw_tree(Node *node, void *context)
{
	Culprit    *culprit = (Culprit *) context;
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
		const char *literal = clock_literal(arg);

		if (literal != NULL)
			return idem_found(culprit,
							  psprintf("reads the clock with %s literal \"%s\"",
									   strVal(llast(type)), literal),
							  CURE_CLOCK);
	}

	return raw_expression_tree_walker(node, find_in_raw_tree, culprit);
}

bool
idem_clock_type(Oid type)
{
	Oid			part;

	type = getBaseType(type);
	if (OidIsValid(part = get_element_type(type)) ||
		OidIsValid(part = get_range_subtype(type)))
		return idem_clock_type(part);
	if (OidIsValid(part = get_multirange_range(type)))
		return idem_clock_type(part);
	return TypeCategory(type) == TYPCATEGORY_DATETIME;
}

bool
idem_clock_constant(Const *constant, const char *text, Culprit *culprit)
{
	const char *start;
	const char *end;
	char	   *literal;

	/* what was stored, in a view or a default, is from another text */
	if (text == NULL || constant->location < 0 || constant->constisnull ||
		!idem_clock_type(constant->consttype))
		return false;

	/* 'today', E'today', U&'today'; in a dollar-quoted string nothing is escaped */
	start = text + constant->location;
	if (*start == '$')
	{
		char	   *quote;

		end = strchr(start + 1, '$');
		if (end == NULL)
			return false;
		quote = pnstrdup(start, end + 1 - start);
		start = end + 1;
		end = strstr(start, quote);
	}
	else
	{
		start = strchr(start, '\'');
		if (start == NULL)
			return false;
		end = strchr(++start, '\'');
	}
	if (end == NULL)
		return false;

	literal = pnstrdup(start, end - start);
	if (!idem_clock_word(literal))
		return false;
	return idem_found(culprit,
					  psprintf("reads the clock with %s literal \"%s\"",
							   format_type_be(constant->consttype), literal),
					  CURE_CLOCK);
}

bool
idem_clock_literal(Node *raw, Culprit *culprit)
{
	return find_in_raw_tree(raw, culprit);
}
