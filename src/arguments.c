/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  SQL arguments, checked one by one.
 *
 * idem_import_create and idem_import_alter take the same arguments in the same
 * places.  For the one NULL is a value, for the other it means "as it is"; both
 * go through the same functions, so that each argument is understood once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <math.h>

#include "arguments.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "flow/pin.h"
#include "ledger/manifest.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

enum
{
	ARG_NAME,
	ARG_SOURCE,
	ARG_TARGET,
	ARG_MODE,
	ARG_KEY,
	ARG_SCOPE,
	ARG_SLICE,
	ARG_COLUMNS,
	ARG_ORDER_BY,
	ARG_VERSION_COLUMN,
	ARG_KEEP_COLUMNS,
	ARG_IGNORE_COLUMNS,
	ARG_NULL_KEY,
	ARG_DELETE_FLAG,
	ARG_DELETE_MISSING,
	ARG_DELETE_LIMIT,
	ARG_OUT_OF_SCOPE,
	ARG_CURSOR_COLUMN,
	ARG_OVERLAP,
	ARG_TRACK,
	ARG_BATCH_SIZE,
	ARG_REJECT_LIMIT,
	ARG_METHOD,
	ARG_EFFECTS,
	ARG_MAX_ATTEMPTS,
	ARG_BACKOFF,
	ARG_SETTINGS
};

static void
refuse_null(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be null", argument)));
}

static void
refuse_value(const char *argument, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" %s", argument, why)));
}

char *
idem_argument_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

char *
idem_argument_name(FunctionCallInfo fcinfo, int n, const char *argument)
{
	char	   *value = idem_argument_text(fcinfo, n);

	if (value == NULL)
		refuse_null(argument);
	if (value[0] == '\0')
		refuse_value(argument, "must not be empty");
	return value;
}

bool
idem_argument_bool(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		refuse_null(argument);
	return PG_GETARG_BOOL(n);
}

Oid
idem_argument_relation(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		return InvalidOid;
	if (!OidIsValid(PG_GETARG_OID(n)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("argument \"%s\" names no relation", argument)));
	return PG_GETARG_OID(n);
}

void
idem_argument_require(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		refuse_null(argument);
}

void
idem_argument_require_input_name(const char *name, const char *argument)
{
	if (strlen(name) > MAX_INPUT_NAME)
		refuse_value(argument, psprintf("must not be longer than %d bytes", MAX_INPUT_NAME));
}

void
idem_argument_input(FunctionCallInfo fcinfo, int name, int hash, InputRecord *input)
{
	bytea	   *bytes;
	int			len;

	memset(input, 0, sizeof(InputRecord));
	input->size = -1;
	if (PG_ARGISNULL(name))
	{
		if (!PG_ARGISNULL(hash))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"%s\" needs argument \"%s\"", "input_hash", "input"),
					 errhint("Give the input a name, such as that of the file.")));
		return;
	}
	input->name = idem_argument_name(fcinfo, name, "input");
	idem_argument_require_input_name(input->name, "input");
	if (PG_ARGISNULL(hash))
		return;
	bytes = PG_GETARG_BYTEA_PP(hash);
	len = VARSIZE_ANY_EXHDR(bytes);
	if (len < 1 || len > MAX_INPUT_HASH)
		refuse_value("input_hash", psprintf("must be 1 to %d bytes long", MAX_INPUT_HASH));
	input->hash = idem_manifest_hash((uint8 *) VARDATA_ANY(bytes), len);
}

/* Names of columns: NIL for NULL or '{}'. */
static List *
argument_columns(FunctionCallInfo fcinfo, int n, const char *argument)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *isnull;
	int			count;
	List	   *names = NIL;

	if (PG_ARGISNULL(n))
		return NIL;
	array = PG_GETARG_ARRAYTYPE_P(n);
	if (ARR_NDIM(array) > 1)
		refuse_value(argument, "must be an array of one dimension");

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &isnull, &count);
	for (int i = 0; i < count; i++)
	{
		String	   *name;

		if (isnull[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not contain nulls", argument)));
		name = makeString(TextDatumGetCString(elements[i]));
		if (list_member(names, name))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" occurs more than once in argument \"%s\"", strVal(name), argument)));
		names = lappend(names, name);
	}
	return names;
}

/* A text of which NULL and '' mean none. */
static char *
argument_optional(FunctionCallInfo fcinfo, int n)
{
	char	   *value = idem_argument_text(fcinfo, n);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* SplitIdentifierString takes "VALUES(1)" for a name, as nothing in it ends one. */
static bool
is_relation_name(const char *text)
{
	bool		quoted = false;
	List	   *names;

	for (const char *c = text; *c != '\0'; c++)
	{
		if (*c == '"')
			quoted = !quoted;
		else if (!quoted && !IS_HIGHBIT_SET(*c) && !isalnum((unsigned char) *c) &&
				 strchr("_$. \t\n\v\f\r", *c) == NULL)
			return false;
	}
	return SplitIdentifierString(pstrdup(text), '.', &names) && names != NIL;
}

/*
 * A name, qualified and quoted as in SQL, is a relation; anything else is a
 * query, to be parsed as one.
 */
static void
set_source(FunctionCallInfo fcinfo, Definition *def)
{
	char	   *source = idem_argument_name(fcinfo, ARG_SOURCE, "source");

	def->source_table = InvalidOid;
	def->source_query = NULL;
	if (!is_relation_name(source))
	{
		def->source_query = source;
		return;
	}
	def->source_table = RangeVarGetRelid(makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(source))),
										 NoLock, false);
}

static void
set_target(FunctionCallInfo fcinfo, Definition *def)
{
	if (PG_ARGISNULL(ARG_TARGET))
		refuse_null("target");
	def->target = PG_GETARG_OID(ARG_TARGET);
}

static void
set_null_key(FunctionCallInfo fcinfo, Definition *def)
{
	char	   *word = idem_argument_name(fcinfo, ARG_NULL_KEY, "null_key");

	def->null_match = strcmp(word, "match") == 0;
	if (!def->null_match && strcmp(word, "reject") != 0)
		refuse_value("null_key", psprintf("is neither \"reject\" nor \"match\": \"%s\"", word));
}

static void
set_delete_limit(FunctionCallInfo fcinfo, Definition *def)
{
	double		limit = NO_LIMIT;

	if (!PG_ARGISNULL(ARG_DELETE_LIMIT))
	{
		limit = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, PG_GETARG_DATUM(ARG_DELETE_LIMIT)));
		if (isnan(limit) || limit < 0 || limit > 1)
			refuse_value("delete_limit", "must be a share between 0 and 1");
	}
	def->delete_limit = limit;
}

static void
set_reject_limit(FunctionCallInfo fcinfo, Definition *def)
{
	def->reject_limit = NO_LIMIT;
	if (PG_ARGISNULL(ARG_REJECT_LIMIT))
		return;
	def->reject_limit = PG_GETARG_INT64(ARG_REJECT_LIMIT);
	if (def->reject_limit < 0)
		refuse_value("reject_limit", "must not be negative");
}

static void
set_method(FunctionCallInfo fcinfo, Definition *def)
{
	def->method = idem_method_parse(idem_argument_name(fcinfo, ARG_METHOD, "method"));
}

static void
set_settings(FunctionCallInfo fcinfo, Definition *def)
{
	def->settings = idem_pin_settings(PG_ARGISNULL(ARG_SETTINGS) ? NULL : PG_GETARG_JSONB_P(ARG_SETTINGS),
									  def->settings);
}

static void
set_batch_size(FunctionCallInfo fcinfo, Definition *def)
{
	def->batch_size = NO_LIMIT;
	if (PG_ARGISNULL(ARG_BATCH_SIZE))
		return;
	def->batch_size = PG_GETARG_INT64(ARG_BATCH_SIZE);
	if (def->batch_size <= 0)
		refuse_value("batch_size", "must be positive");
}

/* A cursor column is what track "cursor" goes by; naming one without the other means both. */
static void
set_track(FunctionCallInfo fcinfo, Definition *def)
{
	bool		names_column = !PG_ARGISNULL(ARG_CURSOR_COLUMN);

	if (!PG_ARGISNULL(ARG_TRACK))
		def->track = idem_track_parse(idem_argument_text(fcinfo, ARG_TRACK));
	if (names_column)
		def->cursor_column = argument_optional(fcinfo, ARG_CURSOR_COLUMN);
	if (names_column && def->track != TRACK_SNAPSHOT)
	{
		if (def->cursor_column != NULL && def->track == TRACK_NONE)
			def->track = TRACK_CURSOR;
		if (def->cursor_column == NULL && def->track == TRACK_CURSOR && PG_ARGISNULL(ARG_TRACK))
			def->track = TRACK_NONE;
	}

	/* what belonged to the cursor goes with it */
	if (def->track != TRACK_CURSOR && !names_column)
		def->cursor_column = NULL;
	if (def->track != TRACK_CURSOR)
		def->overlap = NULL;
	if (!PG_ARGISNULL(ARG_OVERLAP))
		def->overlap = argument_optional(fcinfo, ARG_OVERLAP);
}

static void
set_max_attempts(FunctionCallInfo fcinfo, Definition *def)
{
	def->max_attempts = PG_GETARG_INT32(ARG_MAX_ATTEMPTS);
	if (def->max_attempts <= 0)
		refuse_value("max_attempts", "must be positive");
}

static void
set_backoff(FunctionCallInfo fcinfo, Definition *def)
{
	static const Interval none = {0};
	static const Interval year = {0, 0, 12};
	Datum		backoff = PG_GETARG_DATUM(ARG_BACKOFF);

	if (DatumGetBool(DirectFunctionCall2(interval_lt, backoff, IntervalPGetDatum(&none))) ||
		DatumGetBool(DirectFunctionCall2(interval_gt, backoff, IntervalPGetDatum(&year))))
		refuse_value("backoff", "must be between nothing and a year");
	def->backoff = *DatumGetIntervalP(backoff);
	/* as a comparison counts months, years that are taken back by days may be any number */
	if (def->backoff.month < 0 || def->backoff.day < 0 || def->backoff.time < 0)
		refuse_value("backoff", "must not mix signs");
}

void
idem_arguments_create(FunctionCallInfo fcinfo, Definition *def)
{
	def->name = idem_argument_name(fcinfo, ARG_NAME, "name");
	if (strlen(def->name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("argument \"%s\" must be shorter than %d bytes", "name", NAMEDATALEN)));
	for (int i = ARG_TRACK; i <= ARG_BACKOFF; i++)
	{
		if (PG_ARGISNULL(i) && (i == ARG_TRACK || i == ARG_MAX_ATTEMPTS || i == ARG_BACKOFF))
			refuse_null(i == ARG_TRACK ? "track" : i == ARG_MAX_ATTEMPTS ? "max_attempts" : "backoff");
	}

	set_source(fcinfo, def);
	set_target(fcinfo, def);
	def->mode = idem_mode_parse(idem_argument_name(fcinfo, ARG_MODE, "mode"));
	def->key = argument_columns(fcinfo, ARG_KEY, "key");
	def->scope = argument_columns(fcinfo, ARG_SCOPE, "scope");
	def->slice = argument_optional(fcinfo, ARG_SLICE);
	def->columns = argument_columns(fcinfo, ARG_COLUMNS, "columns");
	def->columns_auto = def->columns == NIL;
	def->order_by = argument_optional(fcinfo, ARG_ORDER_BY);
	def->version_column = argument_optional(fcinfo, ARG_VERSION_COLUMN);
	def->keep_columns = argument_columns(fcinfo, ARG_KEEP_COLUMNS, "keep_columns");
	def->ignore_columns = argument_columns(fcinfo, ARG_IGNORE_COLUMNS, "ignore_columns");
	set_null_key(fcinfo, def);
	def->delete_flag = argument_optional(fcinfo, ARG_DELETE_FLAG);
	def->delete_missing = idem_argument_bool(fcinfo, ARG_DELETE_MISSING, "delete_missing");
	set_delete_limit(fcinfo, def);
	def->out_of_scope = idem_out_of_scope_parse(idem_argument_name(fcinfo, ARG_OUT_OF_SCOPE, "out_of_scope"));
	set_track(fcinfo, def);
	set_batch_size(fcinfo, def);
	set_reject_limit(fcinfo, def);
	set_method(fcinfo, def);
	def->effects = argument_optional(fcinfo, ARG_EFFECTS);
	set_max_attempts(fcinfo, def);
	set_backoff(fcinfo, def);
	set_settings(fcinfo, def);
}

bool
idem_arguments_alter(FunctionCallInfo fcinfo, Definition *def)
{
	bool		resolve = false;

	if (!PG_ARGISNULL(ARG_SOURCE))
	{
		set_source(fcinfo, def);
		resolve = true;
	}
	if (!PG_ARGISNULL(ARG_TARGET))
	{
		set_target(fcinfo, def);
		resolve = true;
	}
	if (!PG_ARGISNULL(ARG_COLUMNS))
	{
		def->columns = argument_columns(fcinfo, ARG_COLUMNS, "columns");
		def->columns_auto = def->columns == NIL;
		resolve = true;
	}
	if (!PG_ARGISNULL(ARG_MODE))
		def->mode = idem_mode_parse(idem_argument_name(fcinfo, ARG_MODE, "mode"));
	if (!PG_ARGISNULL(ARG_KEY))
		def->key = argument_columns(fcinfo, ARG_KEY, "key");
	if (!PG_ARGISNULL(ARG_SCOPE))
		def->scope = argument_columns(fcinfo, ARG_SCOPE, "scope");
	if (!PG_ARGISNULL(ARG_SLICE))
		def->slice = argument_optional(fcinfo, ARG_SLICE);
	if (!PG_ARGISNULL(ARG_ORDER_BY))
		def->order_by = argument_optional(fcinfo, ARG_ORDER_BY);
	if (!PG_ARGISNULL(ARG_VERSION_COLUMN))
		def->version_column = argument_optional(fcinfo, ARG_VERSION_COLUMN);
	if (!PG_ARGISNULL(ARG_KEEP_COLUMNS))
		def->keep_columns = argument_columns(fcinfo, ARG_KEEP_COLUMNS, "keep_columns");
	if (!PG_ARGISNULL(ARG_IGNORE_COLUMNS))
		def->ignore_columns = argument_columns(fcinfo, ARG_IGNORE_COLUMNS, "ignore_columns");
	if (!PG_ARGISNULL(ARG_NULL_KEY))
		set_null_key(fcinfo, def);
	if (!PG_ARGISNULL(ARG_DELETE_FLAG))
		def->delete_flag = argument_optional(fcinfo, ARG_DELETE_FLAG);
	if (!PG_ARGISNULL(ARG_DELETE_MISSING))
		def->delete_missing = PG_GETARG_BOOL(ARG_DELETE_MISSING);
	if (!PG_ARGISNULL(ARG_DELETE_LIMIT))
		set_delete_limit(fcinfo, def);
	if (!PG_ARGISNULL(ARG_OUT_OF_SCOPE))
		def->out_of_scope = idem_out_of_scope_parse(idem_argument_name(fcinfo, ARG_OUT_OF_SCOPE, "out_of_scope"));
	set_track(fcinfo, def);
	if (!PG_ARGISNULL(ARG_BATCH_SIZE) && PG_GETARG_INT64(ARG_BATCH_SIZE) == 0)
		def->batch_size = NO_LIMIT;
	else if (!PG_ARGISNULL(ARG_BATCH_SIZE))
		set_batch_size(fcinfo, def);
	if (!PG_ARGISNULL(ARG_REJECT_LIMIT))
		set_reject_limit(fcinfo, def);
	if (!PG_ARGISNULL(ARG_METHOD))
		set_method(fcinfo, def);
	if (!PG_ARGISNULL(ARG_EFFECTS))
		def->effects = argument_optional(fcinfo, ARG_EFFECTS);
	if (!PG_ARGISNULL(ARG_MAX_ATTEMPTS))
		set_max_attempts(fcinfo, def);
	if (!PG_ARGISNULL(ARG_BACKOFF))
		set_backoff(fcinfo, def);
	if (!PG_ARGISNULL(ARG_SETTINGS))
		set_settings(fcinfo, def);
	return resolve;
}
