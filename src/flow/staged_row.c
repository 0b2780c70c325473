/*-------------------------------------------------------------------------
 *
 * staged_row.c
 *	  What a staged row says of itself, and whether two of them are alike.
 *
 * Keys are compared by the operators of the index that enforces them, and the
 * declared order by its own; images byte by byte, since a difference that no
 * operator sees would still be stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/error.h"
#include "flow/staged_row.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

char *
idem_staged_describe(const Target *target, int n, const int *places, const Datum *values, const bool *isnull)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '(');
	for (int i = 0; i < n; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", quote_identifier(target->columns[places[i]].name));
	appendStringInfoString(&buf, ")=(");
	for (int i = 0; i < n; i++)
	{
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(target->columns[places[i]].type, &output, &varlena);
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
						 isnull[places[i]] ? "null" : OidOutputFunctionCall(output, values[places[i]]));
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

bool
idem_staged_null_key(const Source *source, const bool *isnull)
{
	const Target *target = source->target;

	if (source->mark >= 0 && isnull[source->mark])
		return true;
	for (int i = 0; i < target->nkeys; i++)
	{
		if (isnull[target->keys[i].column] && !target->keys[i].nulls_equal)
			return true;
	}
	return false;
}

bool
idem_staged_same_key(const Target *target, const TupleTableSlot *a, const TupleTableSlot *b)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		KeyColumn  *key = &target->keys[i];
		int			c = key->column;

		if (a->tts_isnull[c] || b->tts_isnull[c])
		{
			if (a->tts_isnull[c] && b->tts_isnull[c])
				continue;
			return false;
		}
		if (!DatumGetBool(FunctionCall2Coll(&key->eq, key->collation, a->tts_values[c], b->tts_values[c])))
			return false;
	}
	return true;
}

bool
idem_staged_same_image(const Source *source, const TupleTableSlot *a, const TupleTableSlot *b)
{
	for (int i = 0; i < source->first_order; i++)
	{
		Form_pg_attribute att = TupleDescAttr(source->desc, i);

		if (a->tts_isnull[i] != b->tts_isnull[i])
			return false;
		if (!a->tts_isnull[i] &&
			!datum_image_eq(a->tts_values[i], b->tts_values[i], att->attbyval, att->attlen))
			return false;
	}
	return true;
}

bool
idem_staged_same_order(const Source *source, const TupleTableSlot *a, const TupleTableSlot *b)
{
	for (int i = 0; i < source->norder; i++)
	{
		OrderColumn *order = &source->order[i];
		int			c = source->first_order + i;

		if (a->tts_isnull[c] != b->tts_isnull[c])
			return false;
		if (!a->tts_isnull[c] &&
			!DatumGetBool(FunctionCall2Coll(&order->eq, order->collation,
											a->tts_values[c], b->tts_values[c])))
			return false;
	}
	return true;
}

void
idem_staged_refuse_tie(const Source *source, const char *import, const TupleTableSlot *row)
{
	const Target *target = source->target;
	int		   *places = palloc(sizeof(int) * target->nkeys);

	for (int i = 0; i < target->nkeys; i++)
		places[i] = target->keys[i].column;
	ereport(ERROR,
			(errcode(ERRCODE_IDEM_AMBIGUOUS_DUPLICATE),
			 errmsg("rows of one key differ in the source"),
			 errdetail("Key %s occurs more than once, with different values%s.",
					   idem_staged_describe(target, target->nkeys, places, row->tts_values, row->tts_isnull),
					   source->norder > 0 ? " that order_by does not tell apart" : ""),
			 errhint("Name the winner with idem_import_alter(%s, order_by => ...), an order that no two such rows share.",
					 quote_literal_cstr(import))));
}
