/*-------------------------------------------------------------------------
 *
 * source_query.c
 *	  A source as SQL: its rows, or the part of them that a run reads.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "flow/source.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

char *
idem_source_type(Oid type, int32 typmod)
{
	return format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* SELECT <columns> FROM (SELECT * FROM public.stage) AS s WHERE <bounds> AND <where> */
char *
idem_source_select(const Source *source, const char *columns, const char *where)
{
	const char *bounds = source->bounds;

	return psprintf("SELECT %s FROM %s%s%s%s%s", columns, source->from,
					bounds != NULL || where != NULL ? " WHERE " : "",
					bounds != NULL ? bounds : "",
					bounds != NULL && where != NULL ? " AND " : "",
					where != NULL ? where : "");
}

/* SELECT s."a", s."b", <extra> FROM ... */
char *
idem_source_query(const Source *source, const char *extra, const char *where)
{
	return idem_source_select(source, psprintf("%s%s%s", source->columns, extra != NULL ? ", " : "",
											   extra != NULL ? extra : ""), where);
}

char *
idem_source_names(const Source *source)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < source->desc->natts; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", NameStr(TupleDescAttr(source->desc, i)->attname));
	return buf.data;
}

/* A cast that only calls a varchar a text changes nothing. */
bool
idem_source_column_as_it_is(const Source *source, int column)
{
	const Node *coercion = source->coercions[column];

	return coercion == NULL ||
		(IsA(coercion, RelabelType) && IsA(((const RelabelType *) coercion)->arg, Var));
}

bool
idem_source_as_it_is(const Source *source)
{
	for (int i = 0; i < source->desc->natts; i++)
	{
		if (!idem_source_column_as_it_is(source, i))
			return false;
	}
	return true;
}

void
idem_source_unbind(Source *source)
{
	source->from = source->whole;
	source->bounds = NULL;
	source->params = sql_params(0, NULL);
}

void
idem_source_bind(Source *source, const char *condition)
{
	if (source->bounds == NULL)
		source->bounds = psprintf("(%s)", condition);
	else
		source->bounds = psprintf("%s AND (%s)", source->bounds, condition);
}

static int
unit_params(const Source *source)
{
	return idem_unit_params(source->target->scope, NULL)->numParams;
}

int
idem_source_param(Source *source, SqlParam param)
{
	source->params = sql_params_with(source->params, param);
	return unit_params(source) + source->params->numParams;
}

/*
 * (SELECT * FROM public.stage AS r WHERE idem_import_unseen(r.xmin, $3)) AS s
 */
void
idem_source_bind_unseen(Source *source, const char *snapshot)
{
	SqlParam	param = sql_datum(PG_SNAPSHOTOID,
								  DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(snapshot)), false);
	House		house;

	sql_house_find(&house);
	source->from = psprintf("(SELECT * FROM %s AS r WHERE %sidem_import_unseen(r.xmin, $%d)) AS s",
							source->relation, house.schema, idem_source_param(source, param));
}

ParamListInfo
idem_source_params(const Source *source, const Unit *unit)
{
	ParamListInfo params = idem_unit_params(source->target->scope, unit);

	for (int i = 0; i < source->params->numParams; i++)
	{
		ParamExternData *param = &source->params->params[i];

		params = sql_params_with(params, sql_datum(param->ptype, param->value, param->isnull));
	}
	return params;
}
