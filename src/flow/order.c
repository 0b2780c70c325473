/*-------------------------------------------------------------------------
 *
 * order.c
 *	  The declared order that names a winner among staged rows of one key.
 *
 * The list is cut at its commas by PostgreSQL's own scanner, which knows about
 * quotes, comments and dollar signs; what an expression means is for the
 * parser to say, once it stands in the query that reads the source.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/keywords.h"
#include "flow/order.h"
#include "lib/stringinfo.h"
#include "parser/scanner.h"

typedef struct Token
{
	int			start;			/* byte offset in the text */
	int			kind;
} Token;

typedef struct TokenList
{
	const char *text;
	Token	   *tokens;
	int			n;				/* tokens[n] is the end of the text */
} TokenList;

/* No word is a keyword here, so that each comes back as it stands. */
static const uint16 no_keyword_tokens[1] = {0};

static void
scan(const char *text, TokenList *list)
{
	ScanKeywordList no_keywords = {0};
	core_yy_extra_type extra;
	core_yyscan_t scanner;
	int			size = 16;

	list->text = text;
	list->tokens = palloc(sizeof(Token) * size);
	list->n = 0;

	scanner = scanner_init(text, &extra, &no_keywords, no_keyword_tokens);
	for (;;)
	{
		core_YYSTYPE value;
		YYLTYPE		location;
		int			kind = core_yylex(&value, &location, scanner);

		if (list->n == size)
		{
			size *= 2;
			list->tokens = repalloc(list->tokens, sizeof(Token) * size);
		}
		list->tokens[list->n].start = kind == 0 ? (int) strlen(text) : location;
		list->tokens[list->n].kind = kind;
		if (kind == 0)
			break;
		list->n++;
	}
	scanner_finish(scanner);
}

/* Is token i this word, not quoted? */
static bool
is_word(const TokenList *list, int i, const char *word)
{
	const char *start = list->text + list->tokens[i].start;
	size_t		len = strlen(word);

	return pg_strncasecmp(start, word, len) == 0 &&
		!(IS_HIGHBIT_SET(start[len]) || isalnum((unsigned char) start[len]) ||
		  start[len] == '_' || start[len] == '$' || start[len] == '.');
}

/* One item: tokens [from, to) */
static OrderItem *
parse_item(const TokenList *list, int from, int to)
{
	OrderItem  *item = palloc0(sizeof(OrderItem));
	int			start = list->tokens[from].start;

	if (to - from > 2 && is_word(list, to - 2, "nulls") &&
		(is_word(list, to - 1, "first") || is_word(list, to - 1, "last")))
	{
		item->nulls_first = is_word(list, to - 1, "first");
		to -= 2;
	}
	if (to - from > 1 && (is_word(list, to - 1, "asc") || is_word(list, to - 1, "desc")))
	{
		item->descending = is_word(list, to - 1, "desc");
		to--;
	}
	if (to - from > 2 && is_word(list, to - 2, "using"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("order_by takes ASC or DESC, not USING")));
	if (to - from == 1 && isdigit((unsigned char) list->text[start]))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("order_by takes names of columns, not their numbers")));

	item->expression = pnstrdup(list->text + start, list->tokens[to].start - start);
	return item;
}

List *
idem_order_parse(const char *order_by)
{
	TokenList	list;
	List	   *items = NIL;
	int			depth = 0;
	int			from = 0;

	scan(order_by, &list);
	for (int i = 0; i <= list.n; i++)
	{
		int			kind = list.tokens[i].kind;

		if (kind == '(' || kind == '[')
			depth++;
		else if (kind == ')' || kind == ']')
			depth--;

		if (depth < 0 || kind == ';' || (kind == 0 && depth > 0) ||
			((kind == 0 || (kind == ',' && depth == 0)) && i == from))
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("order_by is not a list of expressions: \"%s\"", order_by),
					 errhint("Write it as after ORDER BY, for example 'updated_at DESC, seq DESC'.")));

		if (kind == 0 || (kind == ',' && depth == 0))
		{
			items = lappend(items, parse_item(&list, from, i));
			from = i + 1;
		}
	}
	return items;
}
