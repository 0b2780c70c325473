/*-------------------------------------------------------------------------
 *
 * effects.c
 *	  What the changed rows of a run set off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/relation.h"
#include "base/sql.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "flow/determinism.h"
#include "flow/effects.h"
#include "flow/query.h"
#include "ledger/effect.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "rewrite/prs2lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define ARGUMENT	"effects"
#define ITS_COLUMNS	"The query returns key, kind and payload, and approval where a person is to release effects."

static void
make_readable(const char *name, const ChangedRows *changed)
{
	sql_register(name, changed->desc, changed->rows, tuplestore_tuple_count(changed->rows));
}

static void
begin_reading(const Changes *changes)
{
	sql_begin();
	make_readable("inserted", &changes->inserted);
	make_readable("updated", &changes->updated);
	make_readable("deleted", &changes->deleted);
}

static void
end_reading(void)
{
	sql_forget("inserted");
	sql_forget("updated");
	sql_forget("deleted");
	sql_end();
}

static void
refuse_type(const char *name, Oid found, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of effects is of type %s, not %s", name, format_type_be(found), expected),
			 errhint("Cast it in the query.")));
}

/* Returns whether the query says which effects need approval. */
static bool
require_columns(TupleDesc desc)
{
	static const char *const known[] = {"key", "kind", "payload", "approval"};
	List	   *names = idem_query_columns(desc, ARGUMENT);
	ListCell   *lc;

	for (int i = 0; i < 3; i++)
	{
		if (idem_relation_column(desc, known[i]) == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("effects have no column \"%s\"", known[i]),
					 errhint(ITS_COLUMNS)));
	}
	foreach(lc, names)
	{
		const char *name = strVal(lfirst(lc));
		Oid			type = TupleDescAttr(desc, foreach_current_index(lc))->atttypid;
		Oid			basetype = getBaseType(type);

		if (strcmp(name, "key") == 0 || strcmp(name, "kind") == 0)
		{
			if (TypeCategory(basetype) != TYPCATEGORY_STRING)
				refuse_type(name, type, "text");
		}
		else if (strcmp(name, "payload") == 0)
		{
			if (basetype != JSONBOID)
				refuse_type(name, type, "jsonb");
		}
		else if (strcmp(name, "approval") == 0)
		{
			if (basetype != BOOLOID)
				refuse_type(name, type, "boolean");
		}
		else
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("effects have a column \"%s\", which means nothing", name),
					 errhint(ITS_COLUMNS)));
	}
	return list_length(names) > 3;
}

/* A statement with RETURNING says nothing of what a rule does instead. */
static void
require_no_rules(const Target *target)
{
	RuleLock   *rules = target->rel->rd_rules;

	for (int i = 0; rules != NULL && i < rules->numLocks; i++)
	{
		if (rules->rules[i]->event != CMD_SELECT)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot tell which rows of \"%s\" change", RelationGetRelationName(target->rel)),
					 errdetail("It has rules."),
					 errhint("Leave out effects, or use triggers instead of rules.")));
	}
}

/*
 * SELECT e.key::pg_catalog.text, e.kind::pg_catalog.text, e.payload::pg_catalog.jsonb, <approval>
 * FROM (SELECT ...) AS e
 *
 * With the changes readable; it has the parameters of the scope, as the source has.
 */
static char *
effects_query(const Definition *def, const Target *target)
{
	const char *given;
	SPIPlanPtr	plan;
	CachedPlanSource *analyzed;
	bool		approval;

	require_no_rules(target);
	idem_require_deterministic_text(def->effects, ARGUMENT);
	given = idem_query_select(def->effects, ARGUMENT,
							  "Write one SELECT that reads inserted, updated and deleted, the rows that a run changes.");
	analyzed = idem_query_analyze(psprintf("SELECT * FROM (\n%s\n) AS e", given), target->scope, ARGUMENT, &plan);
	idem_query_require_steady(analyzed, ARGUMENT);
	approval = require_columns(analyzed->resultDesc);
	SPI_freeplan(plan);
	return psprintf("SELECT e.key::pg_catalog.text, e.kind::pg_catalog.text, e.payload::pg_catalog.jsonb, %s "
					"FROM (\n%s\n) AS e",
					approval ? "coalesce(e.approval::pg_catalog.bool, false)" : "false", given);
}

/* EXPLAIN checks privileges as running the query would. */
void
idem_effects_require(const Definition *def, const Target *target)
{
	Changes    *changes = idem_changes_create(target);

	begin_reading(changes);
	sql_execute(SPI_OK_UTILITY, psprintf("EXPLAIN %s", effects_query(def, target)),
				idem_unit_params(target->scope, NULL));
	end_reading();
	idem_changes_free(changes);
}

/* Keeps the effects that can be. */
typedef struct EffectReceiver
{
	DestReceiver pub;
	TupleDesc	desc;
	Tuplestorestate *rows;
	MemoryContext cxt;			/* for a row */
} EffectReceiver;

static bool
effect_receive(TupleTableSlot *slot, DestReceiver *self)
{
	EffectReceiver *receiver = (EffectReceiver *) self;
	MemoryContext oldcxt = MemoryContextSwitchTo(receiver->cxt);

	slot_getallattrs(slot);
	idem_effect_require_key(slot->tts_isnull[0] ? NULL : TextDatumGetCString(slot->tts_values[0]));
	idem_effect_require_kind(slot->tts_isnull[1] ? NULL : TextDatumGetCString(slot->tts_values[1]));
	tuplestore_putvalues(receiver->rows, receiver->desc, slot->tts_values, slot->tts_isnull);
	MemoryContextSwitchTo(oldcxt);
	MemoryContextReset(receiver->cxt);
	return true;
}

static void
effect_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
effect_nothing(DestReceiver *self)
{
}

int64
idem_effects_save(const Definition *def, const Target *target, const Changes *changes,
				  const Unit *unit, int64 run_id)
{
	EffectReceiver receiver = {{0}};
	int64		saved;

	receiver.pub.receiveSlot = effect_receive;
	receiver.pub.rStartup = effect_startup;
	receiver.pub.rShutdown = effect_nothing;
	receiver.pub.rDestroy = effect_nothing;
	receiver.pub.mydest = DestTuplestore;	/* to SPI, DestNone is no SELECT */
	receiver.desc = idem_effect_desc();
	receiver.rows = tuplestore_begin_heap(true, false, work_mem);
	receiver.cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import effect", ALLOCSET_DEFAULT_SIZES);

	begin_reading(changes);
	sql_stream(effects_query(def, target), idem_unit_params(target->scope, unit), true, &receiver.pub);
	end_reading();

	saved = idem_effect_save(def->name, unit->name, run_id, def->owner, receiver.rows);
	tuplestore_end(receiver.rows);
	MemoryContextDelete(receiver.cxt);
	return saved;
}
