/*-------------------------------------------------------------------------
 *
 * definition.c
 *	  Imports as declared: the table idem_import_definition.
 *
 * A row holds the version in force; the versions before it stay in the row's
 * "previous", so that a run of history can always be read together with the
 * definition that it used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "ledger/definition.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static const char *const mode_words[] = {"merge", "insert_only", "overwrite", NULL};
static const char *const out_of_scope_words[] = {"error", "reject", "ignore", NULL};
static const char *const track_words[] = {"none", "cursor", "snapshot", NULL};
static const char *const method_words[] = {"auto", "diff", "swap", "replace", NULL};

static int
parse_word(const char *argument, const char *word, const char *const *words)
{
	StringInfoData known;

	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(word, words[i]) == 0)
			return i;
	}

	initStringInfo(&known);
	for (int i = 0; words[i] != NULL; i++)
		appendStringInfo(&known, "%s\"%s\"", i > 0 ? ", " : "", words[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for argument \"%s\": \"%s\"", argument, word),
			 errhint("It is one of %s.", known.data)));
}

const char *
idem_mode_name(ImportMode mode)
{
	return mode_words[mode];
}

ImportMode
idem_mode_parse(const char *word)
{
	return (ImportMode) parse_word("mode", word, mode_words);
}

OutOfScope
idem_out_of_scope_parse(const char *word)
{
	return (OutOfScope) parse_word("out_of_scope", word, out_of_scope_words);
}

const char *
idem_track_name(Track track)
{
	return track_words[track];
}

Track
idem_track_parse(const char *word)
{
	return (Track) parse_word("track", word, track_words);
}

Method
idem_method_parse(const char *word)
{
	return (Method) parse_word("method", word, method_words);
}

static Definition *
definition_from_row(const SqlRow *row)
{
	Definition *def = palloc0(sizeof(Definition));
	Datum		value;
	bool		isnull;

	def->name = sql_column_text(row, "name");
	def->version = (int) sql_column_int8(row, "version", 0);
	def->created_at = DatumGetTimestampTz(sql_column(row, "created_at", &isnull));
	def->owner = sql_column_oid(row, "owner");
	def->source_table = sql_column_oid(row, "source_table");
	def->source_query = sql_column_text(row, "source_query");
	def->target = sql_column_oid(row, "target");
	def->mode = idem_mode_parse(sql_column_text(row, "mode"));
	def->key = sql_column_texts(row, "key");
	def->scope = sql_column_texts(row, "scope");
	def->slice = sql_column_text(row, "slice");
	def->columns = sql_column_texts(row, "columns");
	def->columns_auto = sql_column_bool(row, "columns_auto");
	def->source_columns = sql_column_texts(row, "source_columns");
	def->order_by = sql_column_text(row, "order_by");
	def->version_column = sql_column_text(row, "version_column");
	def->keep_columns = sql_column_texts(row, "keep_columns");
	def->ignore_columns = sql_column_texts(row, "ignore_columns");
	def->null_match = strcmp(sql_column_text(row, "null_key"), "match") == 0;
	def->delete_flag = sql_column_text(row, "delete_flag");
	def->delete_missing = sql_column_bool(row, "delete_missing");
	value = sql_column(row, "delete_limit", &isnull);
	def->delete_limit = isnull ? NO_LIMIT :
		DatumGetFloat8(DirectFunctionCall1(numeric_float8, value));
	def->out_of_scope = idem_out_of_scope_parse(sql_column_text(row, "out_of_scope"));
	def->track = idem_track_parse(sql_column_text(row, "track"));
	def->cursor_column = sql_column_text(row, "cursor_column");
	def->overlap = sql_column_text(row, "overlap");
	def->batch_size = sql_column_int8(row, "batch_size", NO_LIMIT);
	def->reject_limit = sql_column_int8(row, "reject_limit", NO_LIMIT);
	def->method = idem_method_parse(sql_column_text(row, "method"));
	def->effects = sql_column_text(row, "effects");
	def->max_attempts = (int) sql_column_int8(row, "max_attempts", 0);
	def->backoff = *DatumGetIntervalP(sql_column(row, "backoff", &isnull));
	def->settings = DatumGetJsonbPCopy(sql_column(row, "settings", &isnull));
	return def;
}

Definition *
idem_definition_load(const char *name)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param = sql_text(name);
	House		house;
	SqlRow		row;
	bool		found;
	char	   *query;

	sql_house_enter(&house);
	query = psprintf("SELECT * FROM %sidem_import_definition WHERE name = $1", house.schema);

	/* as a catalog is read: what holds is what our lock holds, not what the transaction's snapshot shows */
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	found = sql_row(query, sql_params(1, &param), false, cxt, &row);
	PopActiveSnapshot();
	sql_house_leave(&house);

	return found ? definition_from_row(&row) : NULL;
}

Definition *
idem_definition_get(const char *name)
{
	Definition *def = idem_definition_load(name);

	if (def == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("import \"%s\" does not exist", name)));

	if (!has_privs_of_role(GetUserId(), def->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for import \"%s\"", name),
				 errdetail("Only members of the role that owns an import may use it.")));
	return def;
}

/*
 * SELECT array_agg(name ORDER BY name COLLATE "C") AS names
 * FROM idem_import_definition WHERE pg_has_role($1, owner::oid, 'USAGE')
 */
List *
idem_definition_names(Oid role)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param = sql_datum(OIDOID, ObjectIdGetDatum(role), false);
	House		house;
	SqlRow		row;

	sql_house_enter(&house);
	(void) sql_row(psprintf("SELECT array_agg(name ORDER BY name COLLATE \"C\") AS names "
							"FROM %sidem_import_definition WHERE pg_has_role($1, owner::oid, 'USAGE')", house.schema),
				   sql_params(1, &param), true, cxt, &row);
	sql_house_leave(&house);
	return sql_column_texts(&row, "names");
}

/*
 * The columns that a definition has in the table, all but the version and
 * the dates, and their parameters in the same order.
 */
#define DEFINITION_COLUMNS \
	"name, owner, source_table, source_query, target, mode, key, scope, slice, columns, " \
	"columns_auto, source_columns, order_by, version_column, keep_columns, ignore_columns, " \
	"null_key, delete_flag, delete_missing, delete_limit, out_of_scope, " \
	"cursor_column, overlap, track, batch_size, reject_limit, method, max_attempts, backoff, settings, effects"
#define DEFINITION_VALUES \
	"$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, " \
	"$21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31"
#define DEFINITION_NCOLUMNS 31

static SqlParam
list_param(List *strings)
{
	return strings != NIL ? sql_texts(strings) : sql_datum(TEXTARRAYOID, (Datum) 0, true);
}

static ParamListInfo
definition_params(const Definition *def)
{
	SqlParam	param[DEFINITION_NCOLUMNS];
	int			n = 0;
	bool		no_guard = def->delete_limit == NO_LIMIT;

	param[n++] = sql_text(def->name);
	param[n++] = sql_datum(REGROLEOID, ObjectIdGetDatum(def->owner), false);
	param[n++] = sql_datum(REGCLASSOID, ObjectIdGetDatum(def->source_table), !OidIsValid(def->source_table));
	param[n++] = sql_text(def->source_query);
	param[n++] = sql_datum(REGCLASSOID, ObjectIdGetDatum(def->target), false);
	param[n++] = sql_text(mode_words[def->mode]);
	param[n++] = list_param(def->key);
	param[n++] = list_param(def->scope);
	param[n++] = sql_text(def->slice);
	param[n++] = sql_texts(def->columns);
	param[n++] = sql_datum(BOOLOID, BoolGetDatum(def->columns_auto), false);
	param[n++] = sql_texts(def->source_columns);
	param[n++] = sql_text(def->order_by);
	param[n++] = sql_text(def->version_column);
	param[n++] = sql_texts(def->keep_columns);
	param[n++] = sql_texts(def->ignore_columns);
	param[n++] = sql_text(def->null_match ? "match" : "reject");
	param[n++] = sql_text(def->delete_flag);
	param[n++] = sql_datum(BOOLOID, BoolGetDatum(def->delete_missing), false);
	param[n++] = sql_datum(NUMERICOID,
						   no_guard ? (Datum) 0 : DirectFunctionCall1(float8_numeric, Float8GetDatum(def->delete_limit)),
						   no_guard);
	param[n++] = sql_text(out_of_scope_words[def->out_of_scope]);
	param[n++] = sql_text(def->cursor_column);
	param[n++] = sql_text(def->overlap);
	param[n++] = sql_text(track_words[def->track]);
	param[n++] = sql_datum(INT8OID, Int64GetDatum(def->batch_size), def->batch_size == NO_LIMIT);
	param[n++] = sql_datum(INT8OID, Int64GetDatum(def->reject_limit), def->reject_limit == NO_LIMIT);
	param[n++] = sql_text(method_words[def->method]);
	param[n++] = sql_datum(INT4OID, Int32GetDatum(def->max_attempts), false);
	param[n++] = sql_datum(INTERVALOID, IntervalPGetDatum(&def->backoff), false);
	param[n++] = sql_datum(JSONBOID, JsonbPGetDatum(def->settings), false);
	param[n++] = sql_text(def->effects);
	Assert(n == DEFINITION_NCOLUMNS);

	return sql_params(n, param);
}

/*
 * An import of a name that was used before goes on counting, lest the old
 * one's receipts be taken for its own.  The ledger alone sees to that, as the
 * history may have been pruned.  Its rows tell of two versions: a failure that
 * was recorded late may be of an older one than the receipt beside it.
 *
 * INSERT INTO idem_import_definition (version, name, ...)
 * SELECT 1 + coalesce(greatest((SELECT max(greatest(version, receipt_version)) FROM idem_import_ledger WHERE import = $1),
 *                              (SELECT max(version) FROM idem_import_history WHERE import = $1)), 0),
 *        $1, ...
 */
void
idem_definition_insert(Definition *def)
{
	ParamListInfo params = definition_params(def);
	House		house;
	char	   *query;

	sql_house_enter(&house);
	query = psprintf("INSERT INTO %1$sidem_import_definition (version, " DEFINITION_COLUMNS ") "
					 "SELECT 1 + coalesce(greatest("
					 "(SELECT max(greatest(version, receipt_version)) FROM %1$sidem_import_ledger WHERE import = $1), "
					 "(SELECT max(version) FROM %1$sidem_import_history WHERE import = $1)), 0), "
					 DEFINITION_VALUES, house.schema);
	sql_execute(SPI_OK_INSERT, query, params);
	sql_house_leave(&house);
}

/* What says how rows are written, and not which rows with what values. */
#define HARMLESS_COLUMNS \
	"'{version, created_at, altered_at, previous, delete_limit, overlap, batch_size, reject_limit, method, " \
	"effects, max_attempts, backoff}'::text[]"

/*
 * UPDATE idem_import_definition AS d SET
 *    version = version + 1, altered_at = clock_timestamp(),
 *    previous = previous || (to_jsonb(d) - 'previous'),
 *    (name, ...) = ROW($1, ...)
 * WHERE name = $1 AND record_image_ne(ROW(name, ...), ROW($1, ...))
 * RETURNING previous -> -1 - '{version, ...}' <> to_jsonb(d) - '{version, ...}'
 *
 * What changes nothing makes no version, and leaves the receipts valid.
 */
bool
idem_definition_update(Definition *def)
{
	ParamListInfo params = definition_params(def);
	House		house;
	SqlRow		row;
	bool		anew;

	sql_house_enter(&house);
	anew = sql_returning(SPI_OK_UPDATE_RETURNING,
						 psprintf("UPDATE %sidem_import_definition AS d SET "
								  "version = version + 1, altered_at = clock_timestamp(), "
								  "previous = previous || (to_jsonb(d) - 'previous'), "
								  "(" DEFINITION_COLUMNS ") = ROW(" DEFINITION_VALUES ") "
								  "WHERE name = $1 AND "
								  "record_image_ne(ROW(" DEFINITION_COLUMNS "), ROW(" DEFINITION_VALUES ")) "
								  "RETURNING (previous -> -1) - " HARMLESS_COLUMNS " <> to_jsonb(d) - " HARMLESS_COLUMNS " AS anew",
								  house.schema), params, CurrentMemoryContext, &row) &&
		sql_column_bool(&row, "anew");
	sql_house_leave(&house);
	return anew;
}

/*
 * (EXISTS (SELECT FROM idem_import_definition d WHERE d.name = import AND pg_has_role($1, d.owner, 'USAGE'))
 *  OR $2 AND NOT EXISTS (SELECT FROM idem_import_definition d WHERE d.name = import))
 */
static char *
usable_by(const House *house)
{
	return psprintf("(EXISTS (SELECT FROM %1$sidem_import_definition d "
					"WHERE d.name = import AND pg_catalog.pg_has_role($1, d.owner, 'USAGE')) "
					"OR $2 AND NOT EXISTS (SELECT FROM %1$sidem_import_definition d WHERE d.name = import))",
					house->schema);
}

uint64
idem_definition_prune(const char *format, TimestampTz before, Oid who, bool dropped)
{
	SqlParam	param[] = {
		sql_datum(OIDOID, ObjectIdGetDatum(who), false),
		sql_datum(BOOLOID, BoolGetDatum(dropped), false),
		sql_datum(TIMESTAMPTZOID, TimestampTzGetDatum(before), false)
	};
	ParamListInfo params = sql_params(lengthof(param), param);
	House		house;
	uint64		deleted;

	sql_house_enter(&house);
	deleted = sql_execute(SPI_OK_DELETE, psprintf(format, house.schema, usable_by(&house)), params);
	sql_house_leave(&house);
	return deleted;
}

void
idem_definition_delete(const char *name)
{
	SqlParam	param = sql_text(name);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_DELETE,
				psprintf("DELETE FROM %sidem_import_definition WHERE name = $1", house.schema),
				sql_params(1, &param));
	sql_house_leave(&house);
}
