/*-------------------------------------------------------------------------
 *
 * tracking.c
 *	  What a checkpoint is worth: can it be believed, and where does it stand?
 *
 * A checkpoint is not believed where it can't be right: a snapshot of other
 * transactions than this server's, a mark of another type than the cursor has, a
 * target that holds nothing at all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/relation.h"
#include "base/snapshot.h"
#include "base/sql.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "flow/mark.h"
#include "flow/stretch.h"
#include "flow/tracking.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/xid8.h"

/* SELECT FROM target LIMIT 1 */
static bool
is_empty(const Target *target)
{
	SqlRow		row;
	bool		found;

	sql_begin();
	found = sql_row(psprintf("SELECT FROM %s LIMIT 1", target->name), NULL, false, CurrentMemoryContext, &row);
	sql_end();
	return !found;
}

/* A table may become a child with rows that were written long ago. */
static bool
has_children(Oid relid)
{
	return has_subclass(relid) && find_inheritance_children(relid, NoLock) != NIL;
}

bool
idem_tracking_is_of_kind(const Source *source, const Checkpoint *checkpoint)
{
	return checkpoint->kind != NULL && strcmp(checkpoint->kind, idem_mark_kind(source)) == 0;
}

const char *
idem_tracking_distrust(const Definition *def, const Source *source, const Checkpoint *checkpoint, bool anew)
{
	if (anew)
		return "force";
	if (checkpoint->track != def->track)
		return "there is no checkpoint";
	if (def->track == TRACK_SNAPSHOT && strcmp(checkpoint->cluster, idem_snapshot_cluster()) != 0)
		return "the checkpoint is of another server, or of a time before a recovery";
	if (def->track == TRACK_SNAPSHOT && has_children(def->source_table))
		return "the source has child tables";
	if (def->track == TRACK_CURSOR && !idem_tracking_is_of_kind(source, checkpoint))
		return "the cursor column had another type";
	if (is_empty(source->target))
		return "the target is empty";
	return NULL;
}

/* The first transaction number that a snapshot may not have seen. */
static uint64
snapshot_start(const char *text)
{
	Datum		snapshot = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(text));

	return U64FromFullTransactionId(DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmin, snapshot)));
}

bool
idem_tracking_is_ahead(const Source *source, const Checkpoint *now, const char *wanted)
{
	if (now->track == TRACK_SNAPSHOT)
		return snapshot_start(wanted) > snapshot_start(now->text);
	return idem_stretch_before(idem_stretch_of_cursor(source), idem_mark_parse(source, now->text),
							   idem_mark_parse(source, wanted));
}

bool
idem_tracking_is_behind(const Definition *def, Source *source)
{
	Checkpoint	now;
	Stretch    *stretch;
	SqlRow		row;
	Datum		mark;
	bool		behind;

	idem_source_unbind(source);
	idem_checkpoint_load(def->name, &now);
	if (now.track != def->track)
		return true;
	if (def->track == TRACK_CURSOR)
	{
		if (!idem_tracking_is_of_kind(source, &now))
			return true;
		stretch = idem_stretch_of_cursor(source);
		mark = idem_mark_parse(source, now.text);
		stretch->upper = &mark;
		return idem_stretch_is_followed(source, NULL, stretch);
	}
	if (strcmp(now.cluster, idem_snapshot_cluster()) != 0 || has_children(def->source_table))
		return true;
	idem_source_bind_unseen(source, now.text);
	sql_begin();
	behind = sql_row(psprintf("%s LIMIT 1", idem_source_select(source, "", NULL)), idem_source_params(source, NULL),
					 false, CurrentMemoryContext, &row);
	sql_end();
	idem_source_unbind(source);
	return behind;
}

static void
refuse_table(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("track \"snapshot\" needs a plain table as its source"),
			 errdetail("%s", detail),
			 errhint("Track a cursor column instead.")));
}

/* Rows must know the transaction of this server that wrote them. */
static void
require_plain_table(const Definition *def)
{
	Relation	rel;

	if (!OidIsValid(def->source_table))
		refuse_table("The source is a query.");
	rel = RelationIdGetRelation(def->source_table);
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		refuse_table(psprintf("\"%s\" is not one.", RelationGetRelationName(rel)));
	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID || idem_relation_remote(rel) || idem_relation_distributed(rel))
		refuse_table(psprintf("The rows of \"%s\" are stored elsewhere.", RelationGetRelationName(rel)));
	if (has_children(def->source_table))
		refuse_table(psprintf("\"%s\" has child tables.", RelationGetRelationName(rel)));
	RelationClose(rel);
}

void
idem_tracking_require(const Definition *def, Source *source)
{
	if (def->track != TRACK_NONE && source->by_unit)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("track \"%s\" does not go with a source that has parameters", idem_track_name(def->track)),
				 errdetail("Such a source is read for one unit at a time.")));
	if (def->track == TRACK_SNAPSHOT)
		require_plain_table(def);
	if (def->track == TRACK_CURSOR)
		(void) idem_stretch_of_cursor(source);
	if (def->overlap != NULL)
		idem_mark_require_overlap(source, def->overlap);
}

void
idem_tracking_rewind(const Definition *def, Source *source, const char *text)
{
	Checkpoint	checkpoint;

	if (def->track == TRACK_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("import \"%s\" has no checkpoint to rewind", def->name),
				 errdetail("It reads all of its source each time.")));
	if (text == NULL)
	{
		(void) idem_checkpoint_forget(def->name);
		return;
	}

	idem_checkpoint_load(def->name, &checkpoint);
	if (checkpoint.track != def->track ||
		(def->track == TRACK_CURSOR && !idem_tracking_is_of_kind(source, &checkpoint)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("import \"%s\" has no checkpoint yet", def->name),
				 errdetail("Its next run reads from the start.")));
	if (idem_tracking_is_ahead(source, &checkpoint, text))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot rewind import \"%s\" to a checkpoint that lies ahead: \"%s\"", def->name, text),
				 errdetail("The checkpoint is at \"%s\".", checkpoint.text),
				 errhint("Rows that have not been applied can't be passed by.")));

	if (def->track == TRACK_CURSOR)
	{
		Datum		mark = idem_mark_parse(source, text);

		checkpoint.text = idem_mark_text(source, mark);
		checkpoint.has_time = idem_mark_time(source, mark, &checkpoint.time);
	}
	else
		checkpoint.text = psprintf(UINT64_FORMAT ":" UINT64_FORMAT ":", snapshot_start(text), snapshot_start(text));
	idem_checkpoint_move(def->name, &checkpoint, 0);
}
