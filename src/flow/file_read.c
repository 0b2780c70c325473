/*-------------------------------------------------------------------------
 *
 * file_read.c
 *	  The bytes of a server-side file, hashed as they are read.
 *
 * The hash stands for the file in the manifest, so it must be the hash of the
 * very bytes that the rows were made of: one pass, and a look at the file's
 * size and time before and after.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "flow/file.h"
#include "miscadmin.h"
#include "storage/fd.h"

#define DRAIN_SIZE	65536

/* Opened without blocking: a FIFO nobody writes to must be refused, not waited for. */
void
idem_file_open_regular(FileSource *file)
{
	file->fd = OpenTransientFile(file->path, O_RDONLY | O_NONBLOCK | PG_BINARY);
	if (file->fd < 0)
	{
		int			reason = errno;

		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\" for reading: %m", file->path),
				 reason == ENOENT || reason == EACCES ?
				 errhint("The server process reads the file. For a file of the client use psql's \\copy.") : 0));
	}
	if (fstat(file->fd, &file->before) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", file->path)));
	if (S_ISDIR(file->before.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a directory", file->path)));
	if (!S_ISREG(file->before.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", file->path)));
}

static void
hash_failed(FileSource *file)
{
	elog(ERROR, "could not hash file \"%s\": %s", file->path, pg_cryptohash_error(file->hashing));
}

void
idem_file_begin_hash(FileSource *file)
{
	file->size = 0;
	file->hashing = pg_cryptohash_create(PG_SHA256);
	if (pg_cryptohash_init(file->hashing) < 0)
		hash_failed(file);
}

int
idem_file_read(FileSource *file, void *buf, int len)
{
	ssize_t		nread;

	CHECK_FOR_INTERRUPTS();
	do
		nread = read(file->fd, buf, len);
	while (nread < 0 && errno == EINTR);
	if (nread < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", file->path)));
	if (pg_cryptohash_update(file->hashing, buf, nread) < 0)
		hash_failed(file);
	file->size += nread;
	return nread;
}

/*
 * Was the file written while it was read?  A file that shrank and grew back
 * within the resolution of its times is beyond what can be seen from here.
 */
static bool
has_changed(const FileSource *file)
{
	struct stat after;

	if (fstat(file->fd, &after) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", file->path)));
#ifdef __linux__
	if (after.st_mtim.tv_nsec != file->before.st_mtim.tv_nsec)
		return true;
#endif
	return after.st_size != file->before.st_size || after.st_mtime != file->before.st_mtime ||
		(after.st_size > 0 && after.st_size != file->size);
}

/* COPY may stop before the end, at a line "\."; those bytes belong to the file all the same. */
void
idem_file_finish(FileSource *file)
{
	void	   *rest = palloc(DRAIN_SIZE);

	while (idem_file_read(file, rest, DRAIN_SIZE) > 0)
		;
	pfree(rest);
	if (pg_cryptohash_final(file->hashing, file->sha256, sizeof(file->sha256)) < 0)
		hash_failed(file);
	pg_cryptohash_free(file->hashing);
	if (has_changed(file))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("file \"%s\" was written while it was read", file->path),
				 errhint("Write files under another name and rename them when they are complete.")));
	CloseTransientFile(file->fd);
	file->fd = -1;
}
