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
 * Pages divide the same rows further, by the cursor or else by the key.  The
 * mark follows page by page; a snapshot only holds when all pages are done, and
 * is that of the first one.  Between two pages anything may happen: if the
 * checkpoint has been set back, the rows of the pages before are wanted again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/snapshot.h"
#include "flow/increment.h"
#include "flow/mark.h"
#include "flow/tracking.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

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

/* Is the checkpoint where the page before has left it, or has another run moved it on? */
static bool
is_in_place(const Definition *def, const Source *source, const Paging *paging, const Checkpoint *now)
{
	Checkpoint	before = {now->track, paging->checkpoint};

	if (paging->checkpoint == NULL)
		return true;
	if (now->track != def->track)
		return false;
	if (now->track == TRACK_CURSOR && !idem_tracking_is_of_kind(source, now))
		return false;
	if (strcmp(now->text, paging->checkpoint) == 0)
		return true;
	if (now->track == TRACK_SNAPSHOT)
		return idem_tracking_is_ahead(source, &before, now->text);
	return !idem_tracking_is_ahead(source, now, paging->checkpoint);
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
		const char *why = idem_tracking_distrust(def, source, &now, anew);

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
