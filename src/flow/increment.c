/*-------------------------------------------------------------------------
 *
 * increment.c
 *	  The part of a source that a run reads, and the checkpoint after it.
 *
 * A checkpoint saves reading what has been applied before.  With a cursor it
 * is a mark: the greatest value of the cursor column that has been read, with
 * all rows of that value.  The next run reads on from there, or from "overlap"
 * below; it finds the rows of the mark's own value again, since others may have
 * joined them.  With a snapshot it is the snapshot that the last run read
 * under: the next one reads what that could not see.
 *
 * The mark after a run is looked up before its rows are read.  What comes in
 * between is read now, and once more by the next run; the other way round it
 * could be passed by.
 *
 * A checkpoint is not believed where it can't be right: a snapshot of other
 * transactions than this server's, or a target that holds nothing at all.
 *
 * Pages divide the same rows further, by the cursor or else by the key.  The
 * mark follows page by page; a snapshot only holds when all pages are done, and
 * is that of the first one.  Between two pages anything may happen: if the
 * checkpoint has been set back, the rows of the pages before are wanted again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/relation.h"
#include "base/snapshot.h"
#include "base/sql.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "flow/increment.h"
#include "flow/mark.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
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

/* Is a mark one of the cursor column as it is now? */
static bool
is_of_kind(const Checkpoint *checkpoint, const Source *source)
{
	return checkpoint->kind != NULL && strcmp(checkpoint->kind, idem_mark_kind(source)) == 0;
}

/* Why a checkpoint can't be believed; NULL if it can. */
static const char *
distrust(const Definition *def, const Source *source, const Checkpoint *checkpoint, bool anew)
{
	if (anew)
		return "force";
	if (checkpoint->track != def->track)
		return "there is no checkpoint";
	if (def->track == TRACK_SNAPSHOT && strcmp(checkpoint->cluster, idem_snapshot_cluster()) != 0)
		return "the checkpoint is of another server, or of a time before a recovery";
	if (def->track == TRACK_SNAPSHOT && has_children(def->source_table))
		return "the source has child tables";
	if (def->track == TRACK_CURSOR && !is_of_kind(checkpoint, source))
		return "the cursor column had another type";
	if (is_empty(source->target))
		return "the target is empty";
	return NULL;
}

/*
 * Where the mark will be once the stretch has been applied.  It does not go
 * back where the source holds only rows that are new; but to the first page,
 * where all are read anew.
 */
static void
move_mark(const Source *source, Increment *increment, const Checkpoint *start)
{
	Stretch    *stretch = increment->stretch;
	Datum		mark;

	if (stretch->upper == NULL)
		return;
	mark = stretch->upper[0];
	if (start->track == TRACK_CURSOR && !idem_stretch_before(stretch, idem_mark_parse(source, start->text), mark))
		return;
	increment->next.track = TRACK_CURSOR;
	increment->next.text = idem_mark_text(source, mark);
	increment->next.kind = idem_mark_kind(source);
	increment->next.cluster = NULL;
	increment->next.has_time = idem_mark_time(source, mark, &increment->next.time);
	increment->moves = true;
}

/* Go on where the page before ended. */
static void
continue_stretch(Stretch *stretch, const Paging *paging)
{
	stretch->nulls = paging == NULL || paging->end == NULL;
	if (stretch->nulls)
		return;
	for (int i = 0; i < stretch->ncolumns; i++)
	{
		if (paging->types[i] != stretch->columns[i].type)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a column that orders the source has another type than in the batch before"),
					 errhint("Call again: what has been applied is found in place.")));
	}
	stretch->lower = paging->end;
}

/*
 * The stretch of the cursor that is to be read.  The overlap is one page, lest
 * an older row of a key be applied over a newer one in passing.
 */
static void
begin_cursor(const Definition *def, Source *source, Increment *increment, const Paging *paging,
			 const Checkpoint *start)
{
	Stretch    *stretch = idem_stretch_of_cursor(source);
	Datum		mark = (Datum) 0;
	int64		rows = paging != NULL ? paging->size : NO_LIMIT;

	increment->stretch = stretch;
	continue_stretch(stretch, paging);
	if (stretch->lower == NULL && start->track == TRACK_CURSOR)
	{
		mark = idem_mark_parse(source, start->text);
		stretch->lower = palloc(sizeof(Datum));
		stretch->lower[0] = def->overlap != NULL ? idem_mark_lowered(source, mark, def->overlap) : mark;
		/* '1 month -30 days' is not negative, but in February */
		if (idem_stretch_before(stretch, mark, stretch->lower[0]))
			stretch->lower[0] = mark;
		stretch->inclusive = true;
	}
	idem_stretch_end(source, NULL, stretch, rows);
	if (stretch->inclusive && stretch->upper != NULL && idem_stretch_before(stretch, stretch->upper[0], mark))
		stretch->upper[0] = mark;
	increment->more = paging != NULL && stretch->upper != NULL &&
		idem_stretch_is_followed(source, NULL, stretch);
	move_mark(source, increment, start);
}

/* A page of what the snapshot could not see, or of an import that is not tracked. */
static void
begin_page(Source *source, const Unit *unit, Increment *increment, const Paging *paging)
{
	Stretch    *stretch = idem_stretch_of_key(source);

	increment->stretch = stretch;
	continue_stretch(stretch, paging);
	idem_stretch_end(source, unit, stretch, paging->size);
	increment->more = stretch->upper != NULL && idem_stretch_is_followed(source, unit, stretch);
}

static void
move_snapshot(Increment *increment, const Paging *paging)
{
	const char *first = paging != NULL ? paging->snapshot : NULL;

	increment->snapshot = idem_snapshot_text(GetActiveSnapshot());
	if (increment->more)
		return;
	increment->next.track = TRACK_SNAPSHOT;
	increment->next.text = first != NULL ? pstrdup(first) : increment->snapshot;
	increment->next.kind = NULL;
	increment->next.cluster = idem_snapshot_cluster();
	increment->moves = true;
}

/* The first transaction number that a snapshot may not have seen. */
static uint64
snapshot_start(const char *text)
{
	Datum		snapshot = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(text));

	return U64FromFullTransactionId(DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmin, snapshot)));
}

/* Does the checkpoint that is wanted lie after the one that there is? */
static bool
is_ahead(const Source *source, const Checkpoint *now, const char *wanted)
{
	if (now->track == TRACK_SNAPSHOT)
		return snapshot_start(wanted) > snapshot_start(now->text);
	return idem_stretch_before(idem_stretch_of_cursor(source), idem_mark_parse(source, now->text),
							   idem_mark_parse(source, wanted));
}

/* Is the checkpoint where the page before has left it, or has another run moved it on? */
static bool
is_in_place(const Definition *def, const Source *source, const Paging *paging, const Checkpoint *now)
{
	if (paging->checkpoint == NULL)
		return true;
	if (now->track != def->track)
		return false;
	if (now->track == TRACK_CURSOR && !is_of_kind(now, source))
		return false;
	if (strcmp(now->text, paging->checkpoint) == 0)
		return true;
	if (now->track == TRACK_SNAPSHOT)
		return snapshot_start(now->text) > snapshot_start(paging->checkpoint);
	return !is_ahead(source, now, paging->checkpoint);
}

static void
begin_again(Paging *paging)
{
	paging->begun = false;
	paging->anew = false;
	paging->checkpoint = NULL;
	paging->end = NULL;
	paging->snapshot = NULL;
}

Increment *
idem_increment_begin(const Definition *def, Source *source, const Unit *unit,
					 Paging *paging, bool tracked, bool anew)
{
	Increment  *increment = palloc0(sizeof(Increment));
	Checkpoint	now = {0};
	Checkpoint	start = {0};

	idem_source_unbind(source);
	increment->tracked = tracked;
	if (tracked)
		idem_checkpoint_load(def->name, &now);
	increment->next = now;

	if (paging != NULL && paging->begun && tracked && !is_in_place(def, source, paging, &now))
	{
		begin_again(paging);
		anew = false;
	}

	/* what one page has begun with, the others go on with */
	if (paging != NULL && paging->begun)
		increment->anew = paging->anew;
	else if (tracked)
	{
		const char *why = distrust(def, source, &now, anew);

		increment->anew = why != NULL;
		if (why != NULL)
			increment->note = psprintf("read from the start: %s", why);
		else if (def->track == TRACK_CURSOR)
			increment->note = psprintf("read from checkpoint %s on", now.text);
		else
			increment->note = "read from the checkpoint on";
	}
	if (!increment->anew)
		start = now;
	increment->whole = paging == NULL && start.track == TRACK_NONE;

	if (start.track == TRACK_SNAPSHOT)
		idem_source_bind_unseen(source, start.text);
	if (tracked && def->track == TRACK_CURSOR)
		begin_cursor(def, source, increment, paging, &start);
	else if (paging != NULL)
		begin_page(source, unit, increment, paging);
	if (tracked && def->track == TRACK_SNAPSHOT)
		move_snapshot(increment, paging);
	if (increment->stretch != NULL)
		idem_stretch_bind(source, increment->stretch);
	return increment;
}

bool
idem_increment_is_behind(const Definition *def, Source *source)
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
		if (!is_of_kind(&now, source))
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

/* A copy of the values that a stretch ends with; the old one goes. */
static void
remember_end(const Stretch *stretch, Paging *paging)
{
	Datum	   *end = palloc(sizeof(Datum) * stretch->ncolumns);
	Oid		   *types = palloc(sizeof(Oid) * stretch->ncolumns);

	for (int i = 0; i < stretch->ncolumns; i++)
	{
		int16		len;
		bool		byval;

		types[i] = stretch->columns[i].type;
		get_typlenbyval(types[i], &len, &byval);
		end[i] = datumCopy(stretch->upper[i], byval, len);
		if (paging->end != NULL && !byval)
			pfree(DatumGetPointer(paging->end[i]));
	}
	if (paging->end != NULL)
	{
		pfree(paging->end);
		pfree(paging->types);
	}
	paging->end = end;
	paging->types = types;
}

/* What it stands for no longer holds, until all pages have been applied. */
static bool
is_forgotten(const Increment *increment)
{
	return !increment->moves && increment->tracked && increment->anew && increment->more;
}

static void
turn_page(const Increment *increment, Paging *paging)
{
	MemoryContext oldcxt = MemoryContextSwitchTo(paging->cxt);

	paging->more = increment->more;
	paging->anew = increment->anew;
	paging->begun = true;
	if (paging->checkpoint != NULL)
		pfree(paging->checkpoint);
	paging->checkpoint = is_forgotten(increment) || increment->next.track == TRACK_NONE ? NULL :
		pstrdup(increment->next.text);
	if (paging->snapshot == NULL && increment->snapshot != NULL)
		paging->snapshot = pstrdup(increment->snapshot);
	if (increment->stretch->upper != NULL)
		remember_end(increment->stretch, paging);
	MemoryContextSwitchTo(oldcxt);
}

void
idem_increment_applied(const Definition *def, Increment *increment, Paging *paging, int64 run_id)
{
	if (increment->moves)
		idem_checkpoint_move(def->name, &increment->next, run_id);
	else if (is_forgotten(increment))
		(void) idem_checkpoint_forget(def->name);
	if (paging != NULL)
		turn_page(increment, paging);
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
idem_increment_require(const Definition *def, Source *source)
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
idem_increment_rewind(const Definition *def, Source *source, const char *text)
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
		(def->track == TRACK_CURSOR && !is_of_kind(&checkpoint, source)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("import \"%s\" has no checkpoint yet", def->name),
				 errdetail("Its next run reads from the start.")));
	if (is_ahead(source, &checkpoint, text))
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
