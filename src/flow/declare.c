/*-------------------------------------------------------------------------
 *
 * declare.c
 *	  Is a definition one that can be run?
 *
 * All that can be wrong with an import is said when it is declared, not in
 * the night it first runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "base/relation.h"
#include "base/sql.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "flow/declare.h"
#include "flow/effects.h"
#include "flow/pin.h"
#include "flow/source.h"
#include "flow/tracking.h"
#include "lib/stringinfo.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/rel.h"

static void
refuse(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", message),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* Arguments that contradict each other, whatever source and target are. */
static void
require_consistent(const Definition *def)
{
	bool		keyed = def->key != NIL;

	if (!keyed && def->mode != MODE_OVERWRITE)
		refuse(psprintf("mode \"%s\" needs a key", idem_mode_name(def->mode)),
			   "Name the columns that make two rows the same row, as in key => ARRAY['id'].");
	if (def->slice != NULL && def->scope == NIL)
		refuse("slice needs a scope column", NULL);
	if (def->order_by != NULL && !keyed)
		refuse("order_by needs a key", NULL);
	if (def->ignore_columns != NIL && !keyed)
		refuse("ignore_columns needs a key", NULL);
	if (def->delete_flag != NULL && !keyed)
		refuse("delete_flag needs a key", NULL);
	if (def->method == METHOD_DIFF && !keyed)
		refuse("method \"diff\" needs a key", NULL);
	if (def->method == METHOD_REPLACE && def->mode != MODE_OVERWRITE)
		refuse(psprintf("method \"replace\" does not go with mode \"%s\"", idem_mode_name(def->mode)),
			   "It deletes a unit's rows and inserts them anew, which is mode \"overwrite\".");
	if (def->method == METHOD_REPLACE && def->delete_flag != NULL)
		refuse("method \"replace\" does not go with delete_flag", NULL);

	if (def->method == METHOD_SWAP && def->effects != NULL)
		refuse("method \"swap\" does not go with effects", "It does not tell which rows change.");

	if (def->track == TRACK_CURSOR && def->cursor_column == NULL)
		refuse("track \"cursor\" needs a cursor_column", NULL);
	if (def->track == TRACK_SNAPSHOT && def->cursor_column != NULL)
		refuse("cursor_column does not go with track \"snapshot\"", NULL);
	if (def->overlap != NULL && def->track != TRACK_CURSOR)
		refuse("overlap needs a cursor_column", NULL);
	if (def->track != TRACK_NONE && def->mode == MODE_OVERWRITE)
		refuse(psprintf("track \"%s\" does not go with mode \"overwrite\"", idem_track_name(def->track)),
			   "What a run has not read it would remove. Narrow the units with slice instead.");
	if (def->track != TRACK_NONE && def->delete_missing)
		refuse(psprintf("track \"%s\" does not go with delete_missing", idem_track_name(def->track)),
			   "What a run has not read it would remove. Use a delete_flag instead.");
	if (def->batch_size != NO_LIMIT && def->mode == MODE_OVERWRITE)
		refuse("batch_size does not go with mode \"overwrite\"",
			   "A unit is overwritten as a whole. Narrow the units with slice instead.");
	if (def->batch_size != NO_LIMIT && def->delete_missing)
		refuse("batch_size does not go with delete_missing",
			   "What is missing from a unit shows once all of it has been read.");

	if (def->mode == MODE_OVERWRITE && def->version_column != NULL)
		refuse("version_column does not go with mode \"overwrite\"",
			   "An overwritten unit holds what its source holds.");
	if (def->mode == MODE_OVERWRITE && def->keep_columns != NIL)
		refuse("keep_columns does not go with mode \"overwrite\"",
			   "An overwritten unit holds what its source holds.");
	if (def->mode == MODE_INSERT_ONLY && def->delete_flag != NULL)
		refuse("delete_flag does not go with mode \"insert_only\"", NULL);
	if (def->mode == MODE_INSERT_ONLY && def->delete_missing)
		refuse("delete_missing does not go with mode \"insert_only\"", NULL);
	if (def->mode == MODE_INSERT_ONLY && def->version_column != NULL)
		refuse("version_column does not go with mode \"insert_only\"", "It never replaces a row.");
	if (def->mode == MODE_INSERT_ONLY && def->keep_columns != NIL)
		refuse("keep_columns does not go with mode \"insert_only\"", "It never updates a row.");
}

/* Each of the names is a column that is imported. */
static void
require_imported(const Definition *def, List *names, const char *argument)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (!list_member(def->columns, lfirst(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of argument \"%s\" is not imported",
							strVal(lfirst(lc)), argument),
					 errdetail("Imported are %s.", idem_column_list(def->columns, ""))));
	}
}

static void
require_apart(List *names, List *others, const char *argument, const char *other)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (list_member(others, lfirst(lc)))
			refuse(psprintf("column \"%s\" cannot stand in both \"%s\" and \"%s\"",
							strVal(lfirst(lc)), argument, other), NULL);
	}
}

/* A column that was asked for by name. */
static void
require_column(const Definition *def, Relation target, List *source, const char *name)
{
	AttrNumber	attnum = idem_relation_column(RelationGetDescr(target), name);

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", name, RelationGetRelationName(target))));
	if (TupleDescAttr(RelationGetDescr(target), attnum - 1)->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_GENERATED_ALWAYS),
				 errmsg("cannot import into generated column \"%s\"", name)));
	if (!list_member(source, makeString(pstrdup(name))))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" does not exist in the source", name)));
}

/* The columns to import, in the target's order. */
static List *
resolve_columns(const Definition *def, Relation target, List *source)
{
	TupleDesc	desc = RelationGetDescr(target);
	List	   *columns = NIL;
	ListCell   *lc;

	foreach(lc, def->columns_auto ? NIL : def->columns)
		require_column(def, target, source, strVal(lfirst(lc)));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		String	   *name = makeString(pstrdup(NameStr(att->attname)));

		if (!att->attisdropped && att->attgenerated == '\0' &&
			list_member(def->columns_auto ? source : def->columns, name))
			columns = lappend(columns, name);
	}
	if (columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("source and target have no column in common"),
				 errdetail("The source has %s.", idem_column_list(source, ""))));
	return columns;
}

static void
resolve(Definition *def)
{
	Relation	target = try_relation_open(def->target, AccessShareLock);
	Scope	   *scope;
	List	   *source;

	if (target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target table with OID %u does not exist", def->target)));
	if (getExtensionOfObject(RelationRelationId, def->target) == get_extension_oid("idem_import", false))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot import into \"%s\"", RelationGetRelationName(target)),
				 errdetail("It is one of idem_import's own tables.")));
	idem_target_require_kind(target);

	scope = idem_scope_open(RelationGetDescr(target), def->scope, def->slice);
	source = idem_source_columns(def, InvalidOid, scope);
	def->columns = resolve_columns(def, target, source);
	def->source_columns = source;
	relation_close(target, NoLock);
}

/*
 * EXPLAIN checks a statement's privileges as executing it would, down to
 * columns and views, and runs nothing.
 *
 * EXPLAIN INSERT INTO target ("a", "b") SELECT t."a", t."b" FROM target t
 */
static void
require_privileges(const Definition *def, const Target *target, const Source *source)
{
	char	   *columns = idem_target_columns(target, "");
	char	   *overriding = target->overriding ? " OVERRIDING SYSTEM VALUE" : "";
	ParamListInfo params = idem_source_params(source, NULL);
	StringInfoData set;

	initStringInfo(&set);
	sql_begin();
	sql_execute(SPI_OK_UTILITY, psprintf("EXPLAIN %s", idem_source_query(source, NULL, NULL)), params);
	sql_execute(SPI_OK_UTILITY, psprintf("EXPLAIN INSERT INTO %s (%s)%s SELECT %s FROM %s t",
										 target->name, columns, overriding, columns, target->name), NULL);
	if (def->mode != MODE_INSERT_ONLY && def->method != METHOD_REPLACE)
	{
		for (int i = 0; i < target->ncolumns; i++)
		{
			if (target->nkeys > 0 && target->columns[i].updated && !target->columns[i].exchanged)
				appendStringInfo(&set, "%1$s%2$s = t.%2$s", set.len > 0 ? ", " : "",
								 quote_identifier(target->columns[i].name));
		}
		if (set.len > 0)
			sql_execute(SPI_OK_UTILITY, psprintf("EXPLAIN UPDATE %s t SET %s", target->name, set.data), NULL);
	}
	if (def->mode == MODE_OVERWRITE || def->delete_missing || def->delete_flag != NULL)
		sql_execute(SPI_OK_UTILITY, psprintf("EXPLAIN DELETE FROM %s", target->name), NULL);
	sql_end();
}

void
idem_declare(Definition *def, bool resolve_anew)
{
	Target	   *target;
	Source	   *source;
	Pin			pin;

	require_consistent(def);
	idem_pin(def, &pin);
	/* columns asked for by name stay those, whatever else the source has got since */
	if (resolve_anew || !def->columns_auto)
		resolve(def);

	require_imported(def, def->key, "key");
	require_imported(def, def->scope, "scope");
	require_imported(def, def->keep_columns, "keep_columns");
	require_imported(def, def->ignore_columns, "ignore_columns");
	if (def->version_column != NULL)
		require_imported(def, list_make1(makeString(def->version_column)), "version_column");
	require_apart(def->key, def->keep_columns, "key", "keep_columns");
	require_apart(def->key, def->ignore_columns, "key", "ignore_columns");
	require_apart(def->scope, def->keep_columns, "scope", "keep_columns");
	require_apart(def->scope, def->ignore_columns, "scope", "ignore_columns");
	if (def->version_column != NULL)
		require_apart(list_make1(makeString(def->version_column)), def->keep_columns,
					  "version_column", "keep_columns");
	if (def->delete_flag != NULL && !list_member(def->source_columns, makeString(def->delete_flag)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of argument \"%s\" does not exist in the source",
						def->delete_flag, "delete_flag")));

	if (def->cursor_column != NULL && !list_member(def->source_columns, makeString(def->cursor_column)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of argument \"%s\" does not exist in the source",
						def->cursor_column, "cursor_column")));

	target = idem_target_open(def, AccessShareLock);
	if (def->method == METHOD_REPLACE && target->nkeys > 0 && def->scope != NIL && !target->scope_in_key)
		refuse("method \"replace\" needs the scope columns in the key", "Otherwise a row may come from another unit; method \"diff\" moves it.");
	source = idem_source_open(def, target, InvalidOid);
	idem_tracking_require(def, source);
	require_privileges(def, target, source);
	if (def->effects != NULL)
		idem_effects_require(def, target);
	if (def->mode == MODE_OVERWRITE)
		idem_target_require_deterministic(target);
	idem_target_close(target);
	idem_unpin(&pin);
}
