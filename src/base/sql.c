/*-------------------------------------------------------------------------
 *
 * sql.c
 *	  One way to run SQL from C.
 *
 * SPI reports failure by return codes that are easily forgotten, and its
 * results die with the connection.  Everything here compares the code and
 * copies out what it hands on, so that the rooms above speak SQL only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "base/sql.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "nodes/value.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

static const SqlShared *shared = NULL;

SqlParam
sql_datum(Oid type, Datum value, bool isnull)
{
	SqlParam	param = {type, value, isnull};

	return param;
}

SqlParam
sql_text(const char *value)
{
	if (value == NULL)
		return sql_datum(TEXTOID, (Datum) 0, true);
	return sql_datum(TEXTOID, CStringGetTextDatum(value), false);
}

SqlParam
sql_texts(List *strings)
{
	Datum	   *elements = palloc(sizeof(Datum) * (list_length(strings) + 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, strings)
		elements[n++] = CStringGetTextDatum(strVal(lfirst(lc)));

	return sql_datum(TEXTARRAYOID,
					 PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT)),
					 false);
}

SqlParam
sql_int8(int64 value)
{
	return sql_datum(INT8OID, Int64GetDatum(value), false);
}

ParamListInfo
sql_params(int n, const SqlParam *params)
{
	ParamListInfo list = makeParamList(n);

	for (int i = 0; i < n; i++)
	{
		list->params[i].ptype = params[i].type;
		list->params[i].value = params[i].value;
		list->params[i].isnull = params[i].isnull;
		list->params[i].pflags = PARAM_FLAG_CONST;
	}
	return list;
}

ParamListInfo
sql_params_with(ParamListInfo params, SqlParam param)
{
	int			n = params->numParams;
	ParamListInfo list = makeParamList(n + 1);

	memcpy(list->params, params->params, sizeof(ParamExternData) * n);
	list->params[n].ptype = param.type;
	list->params[n].value = param.value;
	list->params[n].isnull = param.isnull;
	list->params[n].pflags = PARAM_FLAG_CONST;
	return list;
}

char *
sql_operator(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

void
sql_begin(void)
{
	int			code = SPI_connect();

	if (code != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed: %s", SPI_result_code_string(code));
	if (shared != NULL)
		sql_register(shared->name, shared->desc, shared->store, shared->rows);
}

void
sql_end(void)
{
	int			code = SPI_finish();

	if (code != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed: %s", SPI_result_code_string(code));
}

/*
 * Run a statement and compare its code.  A rule may turn a statement into
 * another one, which SPI tells apart; that is the table's own affair.
 */
static uint64
execute(int expected, const char *query, const SPIExecuteOptions *options)
{
	int			code = SPI_execute_extended(query, options);

	if (code != expected && code != SPI_OK_REWRITTEN)
		elog(ERROR, "expected %s, but got %s from: %s",
			 SPI_result_code_string(expected), SPI_result_code_string(code), query);
	return SPI_processed;
}

uint64
sql_execute(int expected, const char *query, ParamListInfo params)
{
	SPIExecuteOptions options = {0};

	options.params = params;
	return execute(expected, query, &options);
}

void
sql_stream(const char *query, ParamListInfo params, bool fresh, DestReceiver *dest)
{
	SPIExecuteOptions options = {0};

	options.params = params;
	options.read_only = !fresh;
	options.dest = dest;
	execute(SPI_OK_SELECT, query, &options);
}

uint64
sql_stream_returning(int expected, const char *query, ParamListInfo params, DestReceiver *dest)
{
	SPIExecuteOptions options = {0};

	options.params = params;
	options.dest = dest;
	return execute(expected, query, &options);
}

/* In CurrentMemoryContext. */
static PlannedStmt *
plan_query(const char *query, ParamListInfo params)
{
	Oid		   *types = palloc(sizeof(Oid) * Max(params->numParams, 1));
	SPIPlanPtr	plan;
	CachedPlanSource *source;
	List	   *planned;

	for (int i = 0; i < params->numParams; i++)
		types[i] = params->params[i].ptype;
	plan = SPI_prepare(query, params->numParams, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));

	/* planning scribbles on the query */
	source = (CachedPlanSource *) linitial(SPI_plan_get_plan_sources(plan));
	planned = pg_plan_queries(copyObject(source->query_list), query, CURSOR_OPT_PARALLEL_OK, params);
	SPI_freeplan(plan);
	return linitial_node(PlannedStmt, planned);
}

double
sql_expected_rows(const char *query, ParamListInfo params)
{
	double		rows;

	sql_begin();
	rows = plan_query(query, params)->planTree->plan_rows;
	sql_end();
	return rows;
}

List *
sql_planned_tables(const char *query, ParamListInfo params)
{
	MemoryContext cxt = CurrentMemoryContext;
	List	   *tables = NIL;
	ListCell   *lc;

	sql_begin();
	foreach(lc, plan_query(query, params)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION && !rte->inh)
		{
			MemoryContext oldcxt = MemoryContextSwitchTo(cxt);

			tables = lappend_oid(tables, rte->relid);
			MemoryContextSwitchTo(oldcxt);
		}
	}
	sql_end();
	return tables;
}

static bool
first_row(int expected, const char *query, ParamListInfo params, bool fresh, MemoryContext cxt, SqlRow *row)
{
	SPIExecuteOptions options = {0};
	MemoryContext oldcxt;
	bool		found;

	options.params = params;
	options.read_only = !fresh;
	found = execute(expected, query, &options) > 0;

	if (found)
	{
		oldcxt = MemoryContextSwitchTo(cxt);
		row->desc = CreateTupleDescCopy(SPI_tuptable->tupdesc);
		row->tuple = heap_copytuple(SPI_tuptable->vals[0]);
		MemoryContextSwitchTo(oldcxt);
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

bool
sql_row(const char *query, ParamListInfo params, bool fresh, MemoryContext cxt, SqlRow *row)
{
	return first_row(SPI_OK_SELECT, query, params, fresh, cxt, row);
}

bool
sql_returning(int expected, const char *query, ParamListInfo params, MemoryContext cxt, SqlRow *row)
{
	return first_row(expected, query, params, true, cxt, row);
}

Datum
sql_column(const SqlRow *row, const char *name, bool *isnull)
{
	int			attnum = SPI_fnumber(row->desc, name);

	if (attnum <= 0)
		elog(ERROR, "result has no column \"%s\"", name);
	return heap_getattr(row->tuple, attnum, row->desc, isnull);
}

char *
sql_column_text(const SqlRow *row, const char *name)
{
	bool		isnull;
	Datum		value = sql_column(row, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

List *
sql_column_texts(const SqlRow *row, const char *name)
{
	bool		isnull;
	Datum		value = sql_column(row, name, &isnull);
	Datum	   *elements;
	int			n;
	List	   *result = NIL;

	if (isnull)
		return NIL;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		result = lappend(result, makeString(TextDatumGetCString(elements[i])));
	return result;
}

int64
sql_column_int8(const SqlRow *row, const char *name, int64 ifnull)
{
	bool		isnull;
	Datum		value = sql_column(row, name, &isnull);
	Oid			type = SPI_gettypeid(row->desc, SPI_fnumber(row->desc, name));

	if (isnull)
		return ifnull;
	return type == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value);
}

Oid
sql_column_oid(const SqlRow *row, const char *name)
{
	bool		isnull;
	Datum		value = sql_column(row, name, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

bool
sql_column_bool(const SqlRow *row, const char *name)
{
	bool		isnull;
	Datum		value = sql_column(row, name, &isnull);

	return !isnull && DatumGetBool(value);
}

void
sql_register(const char *name, TupleDesc desc, Tuplestorestate *store, double rows)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	int			code;

	enr->md.name = pstrdup(name);
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = rows;
	enr->reldata = store;

	code = SPI_register_relation(enr);
	if (code != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed: %s", SPI_result_code_string(code));
}

void
sql_forget(const char *name)
{
	int			code = SPI_unregister_relation(name);

	if (code != SPI_OK_REL_UNREGISTER)
		elog(ERROR, "SPI_unregister_relation failed: %s", SPI_result_code_string(code));
}

const SqlShared *
sql_share(const SqlShared *relation)
{
	const SqlShared *before = shared;

	shared = relation;
	return before;
}

void
sql_house_find(House *house)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *schema = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("idem_import"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);

		house->schema_oid = form->extnamespace;
		house->owner = form->extowner;
		schema = get_namespace_name(form->extnamespace);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (schema == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", "idem_import"),
				 errhint("Run CREATE EXTENSION idem_import.")));

	snprintf(house->schema, sizeof(house->schema), "%s.", quote_identifier(schema));
}

void
sql_house_enter(House *house)
{
	sql_house_find(house);
	GetUserIdAndSecContext(&house->saved_user, &house->saved_context);
	SetUserIdAndSecContext(house->owner, house->saved_context | SECURITY_LOCAL_USERID_CHANGE);
	house->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	sql_begin();
}

void
sql_house_leave(House *house)
{
	sql_end();
	AtEOXact_GUC(false, house->guc_level);
	SetUserIdAndSecContext(house->saved_user, house->saved_context);
}
