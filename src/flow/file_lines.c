/*-------------------------------------------------------------------------
 *
 * file_lines.c
 *	  The lines of a file: those that are rows, and those that are not.
 *
 * A line that COPY can't take apart, or of which a value is none of its type,
 * is set aside with the reason, as long as COPY has found where it ends: then
 * the next line is as good as any.  Where that is not known (a quote without
 * its end, a broken binary row), nothing behind it can be read, and the file
 * fails.
 *
 * Many lines are read in one subtransaction.  One that fails costs another
 * subtransaction; the rows before it have been kept, and are not read again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "base/attempt.h"
#include "base/error.h"
#include "commands/copy.h"
#include "executor/executor.h"
#include "flow/clock.h"
#include "flow/file.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Lines that are read in one subtransaction */
#define LINES_TOGETHER	1000

/* Of a longer line no more is kept */
#define MAX_LINE_KEPT	(1024 * 1024)

typedef struct LineReader
{
	FileSource *file;
	CopyFromState copy;
	EState	   *estate;
	MemoryContext input_cxt;	/* what input functions remember */
	bool	   *dates;			/* columns that are read from text as a date or time */
	Datum	   *values;
	bool	   *isnull;
	bool		more;
} LineReader;

/* What stands in a file as "today" is another day tomorrow. */
static void
refuse_clock_words(const LineReader *reader)
{
	for (int i = 0; i < reader->file->desc->natts; i++)
	{
		const char *value = reader->dates[i] && !reader->isnull[i] ? reader->copy->raw_fields[i] : NULL;
		const char *text = value;

		/* most dates are digits */
		while (text != NULL && *text != '\0' && !isalpha((unsigned char) *text))
			text++;
		if (text != NULL && *text != '\0' && idem_clock_word(value))
			ereport(ERROR,
					(errcode(ERRCODE_IDEM_NOT_DETERMINISTIC),
					 errmsg("file is not deterministic: \"%s\" is read as the present date or time", value),
					 errhint("Write the date itself.")));
	}
}

static bool *
date_columns(const FileSource *file, const CopyFromStateData *copy)
{
	bool	   *dates = palloc0(sizeof(bool) * (file->desc->natts + 1));

	for (int i = 0; i < file->desc->natts; i++)
		dates[i] = !copy->opts.binary &&
			idem_clock_type(TupleDescAttr(file->desc, i)->atttypid);
	return dates;
}

/* Text that was made of bytes that are none. */
static void
refuse_bad_bytes(const LineReader *reader)
{
	char	   *complaint = idem_file_text_complaint(reader->file->text, reader->copy->line_buf.data);

	if (complaint != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg_internal("%s", complaint)));
}

/* Every row of the file comes through here, one at a time. */
static void
read_row(LineReader *reader)
{
	FileSource *file = reader->file;
	ExprContext *econtext = GetPerTupleExprContext(reader->estate);
	MemoryContext oldcxt;

	CHECK_FOR_INTERRUPTS();
	ResetPerTupleExprContext(reader->estate);
	oldcxt = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	reader->more = NextCopyFrom(reader->copy, econtext, reader->values, reader->isnull);
	if (reader->more)
	{
		refuse_bad_bytes(reader);
		refuse_clock_words(reader);
	}
	MemoryContextSwitchTo(oldcxt);
	if (reader->more)
		tuplestore_putvalues(file->rows, file->desc, reader->values, reader->isnull);
}

static void
read_rows(void *arg)
{
	LineReader *reader = arg;
	ErrorContextCallback callback;

	callback.callback = CopyFromErrorCallback;
	callback.arg = reader->copy;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	for (int i = 0; i < LINES_TOGETHER && reader->more; i++)
		read_row(reader);
	error_context_stack = callback.previous;
}

/* The line does not end a quote that it begins: so it goes to the end of the file. */
static bool
quote_is_open(const CopyFromStateData *copy)
{
	char		quote = copy->opts.csv_mode ? copy->opts.quote[0] : '\0';
	char		escape = copy->opts.csv_mode ? copy->opts.escape[0] : '\0';
	bool		open = false;

	for (const char *c = copy->line_buf.data; copy->opts.csv_mode && *c != '\0'; c++)
	{
		if (open && *c == escape && (c[1] == escape || c[1] == quote))
			c++;
		else if (*c == quote)
			open = !open;
	}
	return open;
}

/* Is the line at hand the header?  A line's number is that of its end. */
static bool
is_header(const CopyFromStateData *copy)
{
	uint64		number = 1;

	if (!copy->opts.header_line)
		return false;
	for (const char *c = copy->line_buf.data; copy->opts.csv_mode && *c != '\0'; c++)
		number += *c == (copy->eol_type == EOL_NL ? '\n' : '\r') ? 1 : 0;
	return copy->cur_lineno == number;
}

/* Can the next line be read? */
static bool
line_has_end(const CopyFromStateData *copy)
{
	return !copy->opts.binary && copy->line_buf_valid && !quote_is_open(copy) && !is_header(copy);
}

static void
set_line_aside(LineReader *reader, const ErrorData *error)
{
	CopyFromState copy = reader->copy;
	const StringInfo line = &copy->line_buf;
	int			len = pg_mbcliplen(line->data, line->len, MAX_LINE_KEPT);
	const char *complaint = idem_file_text_complaint(reader->file->text, line->data);

	/* bad bytes are the reason for all else that may be wrong with a line */
	if (complaint != NULL)
		idem_line_reject(reader->file->lines, pnstrdup(line->data, len), copy->cur_lineno,
						 ERRCODE_CHARACTER_NOT_IN_REPERTOIRE, complaint, NULL);
	else
		idem_line_reject(reader->file->lines, pnstrdup(line->data, len), copy->cur_lineno,
						 error->sqlerrcode, error->message, copy->cur_attname);

	/* as before the line */
	copy->cur_attname = NULL;
	copy->cur_attval = NULL;
	for (int i = 0; i < reader->file->desc->natts; i++)
		copy->in_functions[i].fn_extra = NULL;
	MemoryContextReset(reader->input_cxt);
}

static bool
is_full(const FileSource *file)
{
	return file->most_bad >= 0 && file->lines->sum.rows > file->most_bad;
}

void
idem_file_read_rows(FileSource *file, CopyFromState copy)
{
	LineReader	reader = {file, copy};
	MemoryContext line_cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import bad line", ALLOCSET_SMALL_SIZES);
	int			natts = file->desc->natts;

	reader.estate = CreateExecutorState();
	reader.input_cxt = AllocSetContextCreate(CurrentMemoryContext, "idem_import input functions", ALLOCSET_SMALL_SIZES);
	reader.dates = date_columns(file, copy);
	reader.values = palloc(sizeof(Datum) * (natts + 1));
	reader.isnull = palloc(sizeof(bool) * (natts + 1));
	reader.more = true;
	for (int i = 0; i < natts; i++)
		copy->in_functions[i].fn_mcxt = reader.input_cxt;

	while (reader.more && !is_full(file))
	{
		MemoryContext oldcxt = MemoryContextSwitchTo(line_cxt);
		ErrorData  *error = idem_attempt(read_rows, &reader);

		if (error != NULL && !line_has_end(copy))
			ReThrowError(error);
		if (error != NULL)
			set_line_aside(&reader, error);
		MemoryContextSwitchTo(oldcxt);
		MemoryContextReset(line_cxt);
	}
	file->stopped = is_full(file);
	MemoryContextDelete(line_cxt);
	FreeExecutorState(reader.estate);
}
