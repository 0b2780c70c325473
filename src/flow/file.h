/*-------------------------------------------------------------------------
 *
 * file.h
 *	  A server-side file, read by COPY's own machinery.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_FILE_H
#define IDEM_FILE_H

#include <sys/stat.h>

#include "access/tupdesc.h"
#include "commands/copyfrom_internal.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "flow/file_text.h"
#include "flow/line_reject.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

typedef struct FileSource
{
	const char *path;
	Jsonb	   *given;			/* the options */
	List	   *options;		/* as COPY takes them, of DefElem */
	List	   *columns;		/* of String; NIL: those of the source */
	FileText   *text;			/* NULL: the file is binary */
	int			fd;
	struct stat before;			/* the file when it was opened */
	pg_cryptohash_ctx *hashing;
	int64		most_bad;		/* more lines that are no rows than this are not wanted; -1: any number */
	LineRejects *lines;			/* those */
	/* once it is loaded: */
	int64		size;
	uint8		sha256[PG_SHA256_DIGEST_LENGTH];
	TupleDesc	desc;
	Tuplestorestate *rows;		/* NULL before */
	int64		nrows;
	bool		stopped;		/* there were more of them, and the rest was not read */
} FileSource;

/*
 * Open a file as the server's user, as COPY does; the caller has looked at the
 * SQL user's rights.  Errors: 22023, or what COPY raises, for options; what
 * opening a file raises (58P01, 42501); 42809 for what is no regular file.
 */
extern FileSource *idem_file_open(const char *path, Jsonb *options);

/*
 * Read it once, hash it, and keep its rows, and the lines that are none, up to
 * more than most_bad (-1: any number).  "shape": names and types of the
 * columns that it may have.  Lives in CurrentMemoryContext.
 *
 * Errors: what COPY raises for a file that it can't divide into lines, for a
 * header, and for binary rows; 42703 for a column that is not in the shape; II002
 * for a date or time that a word for the clock spells; 55000 if the file
 * changes meanwhile.
 */
extern void idem_file_load(FileSource *file, TupleDesc shape, int64 most_bad);

/* Free what is left of it. */
extern void idem_file_close(FileSource *file);

/* in file_lines.c */

/* Read the rest of what COPY was begun on; see idem_file_load. */
extern void idem_file_read_rows(FileSource *file, CopyFromState copy);

/* in file_read.c */

/* Open, and refuse anything but a regular file. */
extern void idem_file_open_regular(FileSource *file);

/* The next bytes, at most len, at least one but at the end; they are hashed. */
extern int	idem_file_read(FileSource *file, void *buf, int len);

/* Begin to hash; read what COPY left, and close the file. */
extern void idem_file_begin_hash(FileSource *file);
extern void idem_file_finish(FileSource *file);

#endif							/* IDEM_FILE_H */
