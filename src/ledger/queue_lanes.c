/*-------------------------------------------------------------------------
 *
 * queue_lanes.c
 *	  What a process remembers of the queue from one claim to the next.
 *
 * As long as somebody's snapshot is older, an index keeps what is done, and to
 * find the first that is not means to pass all of them.  So each process
 * remembers where it found the first pending task of each lane, and starts
 * there the next time.  Tasks that become pending may stand before that; who
 * makes them so says it after his commit, and all begin anew.
 *
 * A place that is remembered is never behind the lane's first task.  So once a
 * task is found that stands before the places of all other lanes, these need
 * not be looked at: a claim looks at the first few, of however many there are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "ledger/queue_lanes.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* Of the generation it was found in. */
static MemoryContext memory = NULL;
static int64 generation = -1;
static List *lanes = NIL;		/* of Lane * */
static List *left_behind = NIL; /* of int64 * */

/* The planner knows nothing of a queue whose statistics are from another hour. */
void
idem_lanes_prefer_indexes(void)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_sort", "jit"};

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

bool
idem_lanes_at_hand(const QueueHands *hands, int64 task)
{
	for (int i = 0; i < hands->n; i++)
	{
		if (hands->tasks[i] == task)
			return true;
	}
	return false;
}

SqlParam
idem_lanes_int8_array(const int64 *values, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(values[i]);
	return sql_datum(INT8ARRAYOID,
					 PointerGetDatum(construct_array(elements, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
					 false);
}

/* A column of type bigint[]; NULL is an empty one. */
static int64 *
int8_values(const SqlRow *row, const char *column, int *n)
{
	bool		isnull;
	Datum		array = sql_column(row, column, &isnull);
	Datum	   *elements;
	int64	   *values;

	*n = 0;
	if (isnull)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(array), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, NULL, n);
	values = palloc(sizeof(int64) * (*n + 1));
	for (int i = 0; i < *n; i++)
		values[i] = DatumGetInt64(elements[i]);
	return values;
}

void
idem_lanes_params(const List *some, SqlParam *param)
{
	int			n = list_length(some);
	int64	   *lane = palloc(sizeof(int64) * (n + 1));
	int64	   *rank = palloc(sizeof(int64) * (n + 1));
	int64	   *task = palloc(sizeof(int64) * (n + 1));

	for (int i = 0; i < n; i++)
	{
		const Lane *one = list_nth(some, i);

		lane[i] = one->lane;
		rank[i] = one->rank;
		task[i] = one->task;
	}
	param[0] = idem_lanes_int8_array(lane, n);
	param[1] = idem_lanes_int8_array(rank, n);
	param[2] = idem_lanes_int8_array(task, n);
}

/*
 * SELECT array_agg(task ORDER BY task) AS tasks FROM idem_import_queue
 * WHERE status = 'running' AND ($1 = 0 OR task = $1) AND ($2 = 0 OR backfill = $2)
 */
List *
idem_lanes_running(int64 task, int64 backfill)
{
	MemoryContext cxt = CurrentMemoryContext;
	SqlParam	param[] = {sql_int8(task), sql_int8(backfill)};
	House		house;
	SqlRow		row;
	int64	   *tasks;
	int			n;
	List	   *list = NIL;

	sql_house_enter(&house);
	(void) sql_row(psprintf("SELECT array_agg(task ORDER BY task) AS tasks FROM %sidem_import_queue "
							"WHERE status = 'running' AND ($1 = 0 OR task = $1) AND ($2 = 0 OR backfill = $2)",
							house.schema), sql_params(lengthof(param), param), true, cxt, &row);
	sql_house_leave(&house);

	tasks = int8_values(&row, "tasks", &n);
	for (int i = 0; i < n; i++)
		list = lappend(list, &tasks[i]);
	return list;
}

/*
 * SELECT coalesce(backfill, 0) AS lane, - priority::bigint AS rank, task FROM idem_import_queue
 * WHERE status = 'pending' <which> ORDER BY 1, 2, 3 LIMIT 1
 *
 * %1$s: our schema
 */
#define FIRST_PENDING(which) \
	"SELECT coalesce(p.backfill, 0) AS lane, - p.priority::bigint AS rank, p.task " \
	"FROM %1$sidem_import_queue p WHERE p.status = 'pending' " which \
	"ORDER BY coalesce(p.backfill, 0), - p.priority::bigint, p.task LIMIT 1"

/* What it has found, once or more often. */
#define AS_ARRAYS(of) \
	"array_agg(" of ".lane) AS lanes, array_agg(" of ".rank) AS ranks, array_agg(" of ".task) AS tasks "

/* Run such a query; *found: so many places, in CurrentMemoryContext. */
static Lane *
read_places(const char *query, int nparams, const SqlParam *param, int *found)
{
	MemoryContext cxt = CurrentMemoryContext;
	House		house;
	SqlRow		row;
	int64	   *lane;
	int64	   *rank;
	int64	   *task;
	Lane	   *places;

	sql_house_enter(&house);
	idem_lanes_prefer_indexes();
	(void) sql_row(psprintf(query, house.schema), sql_params(nparams, param), true, cxt, &row);
	sql_house_leave(&house);

	lane = int8_values(&row, "lanes", found);
	rank = int8_values(&row, "ranks", found);
	task = int8_values(&row, "tasks", found);
	places = palloc(sizeof(Lane) * (*found + 1));
	for (int i = 0; i < *found; i++)
	{
		places[i].lane = lane[i];
		places[i].rank = rank[i];
		places[i].task = task[i];
	}
	return places;
}

/*
 * Begin anew if a task may have become pending: the first of each lane, from lane
 * to lane:
 *
 * WITH RECURSIVE f AS (
 *    (<first pending>)
 *    UNION ALL
 *    SELECT n.* FROM f CROSS JOIN LATERAL (<first pending where lane > f.lane>) n
 * ) SELECT <as arrays> FROM f
 */
static void
be_of_generation(const QueueHands *hands)
{
	MemoryContext oldcxt;
	List	   *running;
	ListCell   *lc;
	Lane	   *places;
	int			n;

	if (generation == hands->generation)
		return;
	if (memory == NULL)
		memory = AllocSetContextCreate(TopMemoryContext, "idem_import lanes", ALLOCSET_SMALL_SIZES);
	generation = -1;
	lanes = NIL;
	left_behind = NIL;
	MemoryContextReset(memory);

	places = read_places("WITH RECURSIVE f AS ((" FIRST_PENDING("") ") UNION ALL "
						 "SELECT n.lane, n.rank, n.task FROM f CROSS JOIN LATERAL ("
						 FIRST_PENDING("AND coalesce(p.backfill, 0) > f.lane ") ") n) "
						 "SELECT " AS_ARRAYS("f") "FROM f", 0, NULL, &n);
	running = idem_lanes_running(0, 0);

	oldcxt = MemoryContextSwitchTo(memory);
	for (int i = 0; i < n; i++)
		lanes = lappend(lanes, memcpy(palloc(sizeof(Lane)), &places[i], sizeof(Lane)));
	foreach(lc, running)
	{
		if (!idem_lanes_at_hand(hands, *(int64 *) lfirst(lc)))
			left_behind = lappend(left_behind, memcpy(palloc(sizeof(int64)), lfirst(lc), sizeof(int64)));
	}
	MemoryContextSwitchTo(oldcxt);
	generation = hands->generation;
}

int
idem_lanes_compare(const Lane *a, const Lane *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if ((a->lane == 0) != (b->lane == 0))
		return a->lane == 0 ? -1 : 1;
	if (a->task != b->task)
		return a->task < b->task ? -1 : 1;
	return 0;
}

static int
compare_cells(const ListCell *a, const ListCell *b)
{
	return idem_lanes_compare(lfirst(a), lfirst(b));
}

List *
idem_lanes(const QueueHands *hands)
{
	be_of_generation(hands);
	list_sort(lanes, compare_cells);
	return lanes;
}

List *
idem_lanes_left_behind(const QueueHands *hands)
{
	be_of_generation(hands);
	return left_behind;
}

/*
 * SELECT <as arrays> FROM unnest($1, $2, $3) AS l (lane, rank, task) CROSS JOIN LATERAL (
 *    <first pending of l.lane, from (l.rank, l.task) on>) p
 */
List *
idem_lanes_advance(const List *some)
{
	SqlParam	param[3];
	Lane	   *places;
	int			n;
	List	   *left = NIL;
	ListCell   *lc;

	idem_lanes_params(some, param);
	places = read_places("SELECT " AS_ARRAYS("p") "FROM unnest($1, $2, $3) AS l (lane, rank, task) CROSS JOIN LATERAL ("
						 FIRST_PENDING("AND coalesce(p.backfill, 0) = l.lane "
									   "AND (- p.priority::bigint, p.task) >= (l.rank, l.task) ") ") p",
						 lengthof(param), param, &n);
	foreach(lc, some)
	{
		Lane	   *lane = lfirst(lc);
		int			place = 0;

		while (place < n && places[place].lane != lane->lane)
			place++;
		if (place < n)
			left = lappend(left, memcpy(lane, &places[place], sizeof(Lane)));
		else
			lanes = list_delete_ptr(lanes, lane);
	}
	return left;
}
