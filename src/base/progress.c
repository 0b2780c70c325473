/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far the work at hand has come, for others to see.
 *
 * A transaction that has not ended can't tell others anything by a table.
 * Shared memory of one's own needs preloading before PostgreSQL 17, and
 * pg_stat_progress_* belong to the server's own commands.  So each session
 * that runs something keeps a small file in pg_stat_tmp, which is there for
 * statistics of this kind (no backup has it), writes its state there in one
 * piece, and removes it when it ends.  That needs no preloading and no slots,
 * works the same in all versions, and also on a standby.
 *
 * Nobody has to clean up after a crash: who reads a file believes it only as
 * long as the very transaction that it tells of is in progress, and whoever
 * begins a file removes those of processes that are gone.  A file that is read
 * while it is written shows by its checksum, and is read again.
 *
 * It must cost next to nothing.  A row is a decrement; the clock is looked at
 * about every ten milliseconds, however long rows take, and the file is written
 * ten times a second and when a phase begins.  Where the file can't be
 * written, the run goes on without.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/progress.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_iovec.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define FILE_PREFIX		"idem_import."
#define TELL_EVERY		100000	/* microseconds */
#define LOOK_SOONER		20000	/* looked at the clock too long ago */
#define LOOK_LATER		5000	/* too short */
#define MAX_STRIDE		8192
#define FIRST_STRIDE	16
#define READ_ATTEMPTS	10

uint32		idem_progress_rows_left = 0;
uint32		idem_progress_pulses_left = 0;

static int	progress_interval = 0;

static Progress current;
static uint32 stride;			/* rows from one look to the next */
static uint32 pulse_stride;
static TimestampTz looked_at;
static TimestampTz noticed_at;
static int	file = -1;

static const char *const phase_names[] = {
	"waiting", "comparing", "reading", "staging", "diffing", "applying", "indexing", "swapping", "summing"
};

void
idem_progress_init(void)
{
	DefineCustomIntVariable("idem_import.progress_interval",
							"Sets how often a run tells its own session how far it has come.",
							"0 turns the notices off; idem_import_progress shows all runs anyway.",
							&progress_interval,
							0, 0, INT_MAX,
							PGC_USERSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
}

const char *
idem_progress_phase_name(ProgressPhase phase)
{
	return phase_names[phase];
}

int
idem_progress_percent(const Progress *progress)
{
	if (progress->rows_done < 0 || progress->rows_total <= 0)
		return PROGRESS_UNKNOWN;
	/* the total is an estimate, and the phase is not over */
	return (int) Min(99, 100.0 * progress->rows_done / progress->rows_total);
}

int64
idem_progress_rate(const Progress *progress)
{
	TimestampTz elapsed = progress->told_at - progress->phase_at;
	int64		rows = progress->rows_done - progress->first_row;

	if (progress->rows_done < 0 || rows <= 0 || elapsed <= 0)
		return PROGRESS_UNKNOWN;
	return (int64) (rows * (double) USECS_PER_SEC / elapsed);
}

int64
idem_progress_seconds_left(const Progress *progress)
{
	TimestampTz elapsed = progress->told_at - progress->phase_at;
	int64		rows = progress->rows_done - progress->first_row;

	if (progress->rows_done < 0 || rows <= 0 || elapsed <= 0 || progress->rows_total < progress->rows_done)
		return PROGRESS_UNKNOWN;
	return (int64) ((double) (progress->rows_total - progress->rows_done) * elapsed / rows / USECS_PER_SEC + 0.5);
}

static void
file_name(char *path, int pid)
{
	snprintf(path, MAXPGPATH, PG_STAT_TMP_DIR "/" FILE_PREFIX "%d", pid);
}

/* The process that a file belongs to; 0 if it is none of ours. */
static int
file_pid(const char *name)
{
	if (strncmp(name, FILE_PREFIX, strlen(FILE_PREFIX)) != 0)
		return 0;
	return atoi(name + strlen(FILE_PREFIX));
}

static void
remove_own_file(int code, Datum arg)
{
	char		path[MAXPGPATH];

	file_name(path, MyProcPid);
	(void) unlink(path);
}

/* What a crash has left behind. */
static void
remove_old_files(void)
{
	DIR		   *dir = AllocateDir(PG_STAT_TMP_DIR);
	struct dirent *entry;

	while ((entry = ReadDirExtended(dir, PG_STAT_TMP_DIR, DEBUG1)) != NULL)
	{
		int			pid = file_pid(entry->d_name);
		char		path[MAXPGPATH];

		if (pid == 0 || BackendPidGetProc(pid) != NULL)
			continue;
		file_name(path, pid);
		(void) unlink(path);
	}
	FreeDir(dir);
}

static void
open_file(void)
{
	static bool registered = false;
	char		path[MAXPGPATH];

	remove_old_files();
	file_name(path, MyProcPid);
	if (!AcquireExternalFD())
		return;
	file = BasicOpenFile(path, O_CREAT | O_RDWR | O_TRUNC | PG_BINARY);
	if (file < 0)
	{
		ReleaseExternalFD();
		ereport(DEBUG1,
				(errcode_for_file_access(),
				 errmsg_internal("could not create file \"%s\": %m", path)));
		return;
	}
	if (!registered)
		on_proc_exit(remove_own_file, (Datum) 0);
	registered = true;
}

/* Show the current state to others. */
static void
tell(TimestampTz now)
{
	current.told_at = now;
	if (file < 0)
		return;

	INIT_CRC32C(current.crc);
	COMP_CRC32C(current.crc, &current.pid, sizeof(Progress) - offsetof(Progress, pid));
	FIN_CRC32C(current.crc);
	if (pg_pwrite(file, &current, sizeof(Progress), 0) != sizeof(Progress))
	{
		/* the next run tries again */
		close(file);
		ReleaseExternalFD();
		file = -1;
		remove_own_file(0, (Datum) 0);
	}
}

/* reading, 120000 of about 1000000 rows (12 %), 400000 rows/s, 2 s left */
static void
notice(TimestampTz now)
{
	int			percent = idem_progress_percent(&current);
	int64		rate = idem_progress_rate(&current);
	int64		left = idem_progress_seconds_left(&current);
	char		rows[100] = "";
	char		speed[100] = "";
	char		eta[100] = "";

	noticed_at = now;
	if (percent >= 0)
		snprintf(rows, sizeof(rows), ", " INT64_FORMAT " of about " INT64_FORMAT " rows (%d %%)",
				 current.rows_done, current.rows_total, percent);
	else if (current.rows_done >= 0)
		snprintf(rows, sizeof(rows), ", " INT64_FORMAT " rows", current.rows_done);
	if (rate >= 0)
		snprintf(speed, sizeof(speed), ", " INT64_FORMAT " rows/s", rate);
	if (left >= 0)
		snprintf(eta, sizeof(eta), ", " INT64_FORMAT " s left", left);

	ereport(NOTICE,
			(errmsg("import \"%s\", unit \"%s\", batch " INT64_FORMAT ": %s%s%s%s",
					current.import, current.unit, current.batch,
					phase_names[current.phase], rows, speed, eta),
			 errhidecontext(true)));
}

static bool
is_notice_due(TimestampTz now)
{
	return progress_interval > 0 && now - noticed_at >= progress_interval * INT64CONST(1000);
}

/* Rows may take nanoseconds or seconds: look at the clock as often for both. */
static void
adapt(uint32 *step, TimestampTz elapsed)
{
	if (elapsed < LOOK_LATER && *step < MAX_STRIDE)
		*step *= 2;
	else if (elapsed > LOOK_SOONER && *step > 1)
		*step /= 2;
}

static void
look(uint32 *step)
{
	TimestampTz now = GetCurrentTimestamp();

	adapt(step, now - looked_at);
	looked_at = now;
	if (now - current.told_at >= TELL_EVERY || is_notice_due(now))
		tell(now);
	if (is_notice_due(now))
		notice(now);
}

void
idem_progress_count(void)
{
	/* nobody has begun a run: a row of another use of the same function */
	if (current.pid == 0)
		return;
	current.rows_done = Max(current.rows_done, 0) + stride;
	look(&stride);
	idem_progress_rows_left = stride;
}

void
idem_progress_look(void)
{
	if (current.pid == 0)
		return;
	look(&pulse_stride);
	idem_progress_pulses_left = pulse_stride;
}

/* Rows that have been counted down so far are done. */
static void
settle_rows(void)
{
	uint32		rows = stride - idem_progress_rows_left;

	if (current.pid != 0 && rows > 0)
		current.rows_done = Max(current.rows_done, 0) + rows;
	idem_progress_rows_left = stride;
}

void
idem_progress_enter(Progress *outer)
{
	settle_rows();
	*outer = current;
	current.pid = 0;
}

void
idem_progress_begin(const char *import, Oid owner, Oid who, bool plan)
{
	memset(&current, 0, sizeof(Progress));
	if (file < 0)
		open_file();
	current.pid = MyProcPid;
	current.lxid = proc_lxid(MyProc);
	current.database = MyDatabaseId;
	current.owner = owner;
	current.who = who;
	current.plan = plan;
	current.started_at = GetCurrentTimestamp();
	strlcpy(current.import, import, NAMEDATALEN);
	strcpy(current.unit, "*");
	current.batch = 1;
	looked_at = noticed_at = current.started_at;
	idem_progress_phase(PROGRESS_WAITING, PROGRESS_UNKNOWN, PROGRESS_UNKNOWN);
}

void
idem_progress_leave(const Progress *outer)
{
	current = *outer;
	stride = pulse_stride = FIRST_STRIDE;
	idem_progress_rows_left = idem_progress_pulses_left = FIRST_STRIDE;
	tell(current.told_at);
}

void
idem_progress_unit(const char *unit, int64 batch)
{
	int			len = pg_mbcliplen(unit, strlen(unit), PROGRESS_UNIT_SIZE - 1);

	memset(current.unit, 0, PROGRESS_UNIT_SIZE);
	memcpy(current.unit, unit, len);
	current.batch = batch;
}

void
idem_progress_phase(ProgressPhase phase, int64 done, double total)
{
	TimestampTz now;

	if (current.pid == 0)
		return;
	now = GetCurrentTimestamp();
	current.phase = phase;
	current.phase_at = now;
	current.first_row = Max(done, 0);
	current.rows_done = done;
	current.rows_total = total >= 0 && total < 1e18 ? (int64) total : PROGRESS_UNKNOWN;
	stride = pulse_stride = FIRST_STRIDE;
	idem_progress_rows_left = idem_progress_pulses_left = FIRST_STRIDE;
	tell(now);
	if (is_notice_due(now))
		notice(now);
}

void
idem_progress_add(int64 rows)
{
	if (current.pid == 0)
		return;
	settle_rows();
	current.rows_done = Max(current.rows_done, 0) + rows;
	look(&pulse_stride);
}

int64
idem_progress_done(void)
{
	settle_rows();
	return current.pid == 0 ? 0 : Max(current.rows_done, 0);
}

/* False if there is no file, or it makes no sense. */
static bool
read_file(int pid, Progress *progress)
{
	char		path[MAXPGPATH];

	file_name(path, pid);
	for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++)
	{
		int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
		int			size;
		pg_crc32c	crc;

		if (fd < 0)
			return false;
		size = read(fd, progress, sizeof(Progress));
		CloseTransientFile(fd);
		if (size == 0)
			return false;
		if (size != sizeof(Progress))
			continue;
		INIT_CRC32C(crc);
		COMP_CRC32C(crc, &progress->pid, sizeof(Progress) - offsetof(Progress, pid));
		FIN_CRC32C(crc);
		if (EQ_CRC32C(crc, progress->crc))
			return true;
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

/* Is the transaction still in progress that it tells of? */
static bool
is_live(const Progress *progress)
{
	PGPROC	   *proc = BackendPidGetProc(progress->pid);

	return proc != NULL && proc_lxid(proc) == progress->lxid;
}

List *
idem_progress_list(void)
{
	DIR		   *dir = AllocateDir(PG_STAT_TMP_DIR);
	struct dirent *entry;
	List	   *list = NIL;

	while ((entry = ReadDirExtended(dir, PG_STAT_TMP_DIR, DEBUG1)) != NULL)
	{
		int			pid = file_pid(entry->d_name);
		Progress   *progress;

		CHECK_FOR_INTERRUPTS();
		if (pid == 0)
			continue;
		progress = palloc(sizeof(Progress));
		if (read_file(pid, progress) && progress->pid == pid &&
			progress->database == MyDatabaseId && is_live(progress))
			list = lappend(list, progress);
		else
			pfree(progress);
	}
	FreeDir(dir);
	return list;
}
