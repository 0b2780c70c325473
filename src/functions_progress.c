/*-------------------------------------------------------------------------
 *
 * functions_progress.c
 *	  SQL-callable: the runs that are in progress.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/progress.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define BAR_WIDTH	10

PG_FUNCTION_INFO_V1(idem_import_progress_rows);

/* [#####.....] 52 % */
static char *
bar(int percent)
{
	char		text[BAR_WIDTH + 1];

	for (int i = 0; i < BAR_WIDTH; i++)
		text[i] = i < percent * BAR_WIDTH / 100 ? '#' : '.';
	text[BAR_WIDTH] = '\0';
	return psprintf("[%s] %d %%", text, percent);
}

static void
put_progress(ReturnSetInfo *rsinfo, const Progress *progress)
{
	Datum		values[13];
	bool		isnull[13] = {0};
	int			percent = idem_progress_percent(progress);
	int64		rate = idem_progress_rate(progress);
	int64		left = idem_progress_seconds_left(progress);
	Interval	eta = {0};

	eta.time = left * USECS_PER_SEC;
	values[0] = Int32GetDatum(progress->pid);
	values[1] = CStringGetTextDatum(progress->import);
	values[2] = CStringGetTextDatum(progress->unit);
	values[3] = Int64GetDatum(progress->batch);
	values[4] = BoolGetDatum(progress->plan);
	values[5] = CStringGetTextDatum(idem_progress_phase_name(progress->phase));
	values[6] = Int64GetDatum(progress->rows_done);
	isnull[6] = progress->rows_done < 0;
	values[7] = Int64GetDatum(progress->rows_total);
	isnull[7] = progress->rows_total < 0;
	values[8] = Int64GetDatum(rate);
	isnull[8] = rate < 0;
	values[9] = IntervalPGetDatum(&eta);
	isnull[9] = left < 0;
	values[10] = percent < 0 ? (Datum) 0 : CStringGetTextDatum(bar(percent));
	isnull[10] = percent < 0;
	values[11] = TimestampTzGetDatum(progress->started_at);
	values[12] = ObjectIdGetDatum(progress->who);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
}

/*
 * idem_import_progress_rows() returns setof record
 *
 * The runs of this database, of imports that the current user may run.
 */
Datum
idem_import_progress_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, idem_progress_list())
	{
		const Progress *progress = lfirst(lc);

		if (has_privs_of_role(GetUserId(), progress->owner))
			put_progress(rsinfo, progress);
	}
	return (Datum) 0;
}
