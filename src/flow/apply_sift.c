/*-------------------------------------------------------------------------
 *
 * apply_sift.c
 *	  Rows that the target takes, and rows that it does not.
 *
 * A statement that fails says why, but seldom for which row.  So its rows are
 * divided and each part is tried by itself, in a subtransaction; a part that is
 * refused is divided again, until it is a row.  For one bad row of a million
 * that is some dozens of statements, and the good rows are written once or
 * twice.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/attempt.h"
#include "base/progress.h"
#include "base/sql.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "flow/apply_sql.h"
#include "flow/apply_step.h"
#include "flow/insert.h"
#include "miscadmin.h"
#include "utils/tuplesort.h"

/* Into how many parts rows are divided */
#define FAN_OUT		16

/* Some of a step's rows. */
typedef struct Part
{
	const Target *target;
	const Step *step;
	Tuplestorestate *rows;
	int64		nrows;
	bool		from_here;		/* the next nrows, not from the start */
	Tuplestorestate *told;		/* what was written; NULL: nobody asks */
	int64		written;
} Part;

typedef struct Sifter
{
	const Target *target;
	Step	   *step;
	bool		last;			/* nothing is left that a row could wait for */
	BadRows    *bad;
	Tuplestorestate *left;
} Sifter;

static int
returning_code(int code)
{
	switch (code)
	{
		case SPI_OK_INSERT:
			return SPI_OK_INSERT_RETURNING;
		case SPI_OK_UPDATE:
			return SPI_OK_UPDATE_RETURNING;
		case SPI_OK_DELETE:
			return SPI_OK_DELETE_RETURNING;
		default:
			return code;
	}
}

int64
idem_execute_told(int code, const char *query, ParamListInfo params, Tuplestorestate *told)
{
	DestReceiver *receiver;

	if (told == NULL)
		return sql_execute(code, query, params);
	receiver = CreateTuplestoreDestReceiver();
	SetTuplestoreDestReceiverParams(receiver, told, CurrentMemoryContext, false, NULL, NULL);
	return sql_stream_returning(returning_code(code), query, params, receiver);
}

/*
 * Where the place of a row is known, to go there is best, however many there
 * are.  The planner thinks of random access; so it is told that they are few.
 */
static int64
execute(int code, const char *query, const Part *part)
{
	const Step *step = part->step;
	int64		written;

	sql_begin();
	sql_register(APPLY_ROWS, step->desc, part->rows, step->by_place ? 1 : part->nrows);
	written = idem_execute_told(code, query, step->params, part->told);
	sql_forget(APPLY_ROWS);
	sql_end();
	idem_progress_add(written);
	return written;
}

static int64
insert(const Part *part)
{
	Inserter   *inserter = idem_inserter_begin(part->target);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(part->step->desc, &TTSOpsMinimalTuple);

	if (!part->from_here)
		tuplestore_rescan(part->rows);
	for (int64 i = 0; i < part->nrows && tuplestore_gettupleslot(part->rows, true, false, slot); i++)
	{
		CHECK_FOR_INTERRUPTS();
		idem_progress_row();
		slot_getallattrs(slot);
		(void) idem_inserter_row(inserter, slot->tts_values, slot->tts_isnull);
		if (part->told != NULL)
			tuplestore_putvalues(part->told, part->step->told->desc, slot->tts_values, slot->tts_isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	return idem_inserter_end(inserter);
}

/* With what it writes told, the exchange of rows is part of a SELECT. */
static int64
exchange(const Part *part, const char *query)
{
	return execute(part->told != NULL ? SPI_OK_SELECT : SPI_OK_INSERT, query, part);
}

static void
write_part(void *arg)
{
	Part	   *part = arg;
	const Step *step = part->step;

	switch (step->kind)
	{
		case STEP_REMOVE:
		case STEP_DELETE:
			part->written = execute(SPI_OK_DELETE, step->query, part);
			break;
		case STEP_UPDATE:
			part->written = 0;
			if (part->target->exchanges && !step->exchange_done)
				part->written += exchange(part, idem_apply_exchange_query(part->target, false, part->told != NULL));
			if (step->query != NULL)
				part->written += execute(SPI_OK_UPDATE, step->query, part);
			break;
		case STEP_INSERT:
			part->written = step->query == NULL ? insert(part) : execute(SPI_OK_INSERT, step->query, part);
			break;
		case STEP_EXCHANGE:
			part->written = exchange(part, step->query);
			break;
		case NUM_STEPS:
			break;
	}
}

/* A store of the step's own. */
static Tuplestorestate *
make_store(Step *step)
{
	Tuplestorestate *store = tuplestore_begin_heap(true, false, work_mem);

	step->stores = lappend(step->stores, store);
	return store;
}

static void
append_rows(TupleDesc desc, Tuplestorestate *from, Tuplestorestate *to)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);

	tuplestore_rescan(from);
	while (tuplestore_gettupleslot(from, true, false, slot))
		tuplestore_puttupleslot(to, slot);
	ExecDropSingleTupleTableSlot(slot);
}

/* Where fewer rows were written than there are, somebody has to look again. */
static void
count_part(Step *step, const Part *part)
{
	int64		missed = part->nrows - part->written;

	step->written += part->written;
	if (part->rows == step->rows && missed > 0)
		missed = Max(missed - step->exchanged, 0);
	if (missed == 0)
		return;
	step->missed += missed;
	step->nagain += part->nrows;
	if (step->again == NULL && part->rows == step->rows)
	{
		step->again = part->rows;
		return;
	}
	if (step->again == NULL)
		step->again = make_store(step);
	append_rows(step->desc, part->rows, step->again);
}

void
idem_write_step(const Target *target, Step *step)
{
	Part		part = {target, step, step->rows, step->nrows};

	if (step->told != NULL)
		part.told = step->told->rows;
	write_part(&part);
	step->written = part.written;
}

ErrorData *
idem_try_rows(const Target *target, Step *step, Tuplestorestate *rows, int64 nrows, bool from_here)
{
	Part		part = {target, step, rows, nrows, from_here};
	ErrorData  *error;

	if (step->told != NULL)
		part.told = tuplestore_begin_heap(true, false, work_mem);
	error = idem_attempt(write_part, &part);

	/* what was rolled back is not told */
	if (part.told != NULL && error != NULL)
		tuplestore_end(part.told);
	else if (part.told != NULL)
		idem_changes_take(step->told, part.told);
	if (error == NULL)
		count_part(step, &part);
	return error;
}

/* Another session has inserted the key: that is for the next round to judge. */
static bool
is_met_again(const Sifter *sifter, const ErrorData *error)
{
	return sifter->step->kind == STEP_INSERT && !sifter->step->key_is_taken &&
		idem_is_key_violation(sifter->target, error);
}

static void
judge_row(Sifter *sifter, TupleTableSlot *slot, ErrorData *error)
{
	Step	   *step = sifter->step;

	if (!sifter->last && idem_error_may_pass(error))
	{
		step->error = error;
		tuplestore_puttupleslot(sifter->left, slot);
		return;
	}
	if (step->remark != NULL)
		error->message = psprintf("%s (%s)", error->message, step->remark);
	slot_getallattrs(slot);
	idem_bad_rows_add(sifter->bad, slot->tts_values, slot->tts_isnull, 0, error, NULL);
	FreeErrorData(error);
}

/* All of the rows have been refused together. */
static void
sift(Sifter *sifter, Tuplestorestate *rows, int64 nrows)
{
	Step	   *step = sifter->step;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(step->desc, &TTSOpsMinimalTuple);
	int64		size = (nrows + FAN_OUT - 1) / FAN_OUT;

	check_stack_depth();
	tuplestore_rescan(rows);
	for (int64 done = 0; done < nrows && !idem_bad_rows_full(sifter->bad); done += size)
	{
		Tuplestorestate *part = tuplestore_begin_heap(true, false, work_mem);
		int64		n = Min(size, nrows - done);
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < n && tuplestore_gettupleslot(rows, true, false, slot); i++)
			tuplestore_puttupleslot(part, slot);
		error = idem_try_rows(sifter->target, step, part, n, false);
		if (error != NULL && is_met_again(sifter, error))
		{
			step->error = error;
			append_rows(step->desc, part, sifter->left);
		}
		else if (error != NULL && n > 1)
		{
			FreeErrorData(error);
			sift(sifter, part, n);
		}
		else if (error != NULL)
			judge_row(sifter, slot, error);
		tuplestore_end(part);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * In the order of their keys: of rows that exclude each other the first is
 * taken, wherever the others lie.
 */
static Tuplestorestate *
sort_by_key(const Target *target, Step *step)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(step->desc, &TTSOpsMinimalTuple);
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * target->nkeys);
	Oid		   *operators = palloc(sizeof(Oid) * target->nkeys);
	Oid		   *collations = palloc(sizeof(Oid) * target->nkeys);
	bool	   *nulls_first = palloc0(sizeof(bool) * target->nkeys);
	Tuplestorestate *sorted = make_store(step);
	Tuplesortstate *sort;

	for (int i = 0; i < target->nkeys; i++)
	{
		attnums[i] = target->keys[i].column + 1;
		operators[i] = target->keys[i].lt_opr;
		collations[i] = target->keys[i].collation;
	}
	sort = tuplesort_begin_heap(step->desc, target->nkeys, attnums, operators, collations, nulls_first,
								work_mem, NULL, TUPLESORT_NONE);
	tuplestore_rescan(step->rows);
	while (tuplestore_gettupleslot(step->rows, true, false, slot))
		tuplesort_puttupleslot(sort, slot);
	tuplesort_performsort(sort);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
		tuplestore_puttupleslot(sorted, slot);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
	return sorted;
}

bool
idem_sift_step(const Target *target, Step *step, bool last, BadRows *bad)
{
	Sifter		sifter = {target, step, last, bad};
	int64		nrows = step->nrows;

	if (!step->pending || idem_bad_rows_full(bad) || is_met_again(&sifter, step->error))
		return false;
	sifter.left = make_store(step);
	sift(&sifter, target->nkeys > 0 ? sort_by_key(target, step) : step->rows, nrows);
	step->rows = sifter.left;
	step->nrows = tuplestore_tuple_count(sifter.left);
	step->pending = step->nrows > 0;
	return step->nrows < nrows;
}
