/*-------------------------------------------------------------------------
 *
 * file_text.c
 *	  The bytes of a text file in the encoding of the database.
 *
 * COPY would do that by itself, but gives up the file at the first byte that
 * is not of its encoding: it could not tell where the next line begins.  We
 * can, if such a byte comes to it as something that is text: the control
 * character SUB and the byte's digits, "\x1A<e4>".  So only the lines that
 * have one are set aside, as they are read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "flow/file.h"
#include "flow/file_text.h"
#include "mb/pg_wchar.h"

#define MARK		'\x1A'
#define CHUNK_SIZE	65536

struct FileText
{
	int			encoding;		/* of the file */
	Oid			conversion;		/* InvalidOid: bytes are only verified */
	bool		has_marks;
	bool		at_end;
	unsigned char *raw;			/* as in the file, and not yet looked at */
	int			nraw;
	unsigned char *converted;	/* if there is a conversion */
	StringInfoData text;
	int			given;			/* bytes of the text that COPY has */
};

FileText *
idem_file_text_create(int encoding)
{
	FileText   *text = palloc0(sizeof(FileText));
	int			ours = GetDatabaseEncoding();

	/* nothing is known of the file's, but what comes in must be ours */
	text->encoding = encoding == PG_SQL_ASCII ? ours : encoding;
	if (text->encoding != ours && ours != PG_SQL_ASCII)
	{
		text->conversion = FindDefaultConversionProc(encoding, ours);
		if (!OidIsValid(text->conversion))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("default conversion function for encoding \"%s\" to \"%s\" does not exist",
							pg_encoding_to_char(encoding), pg_encoding_to_char(ours))));
		text->converted = palloc(CHUNK_SIZE * MAX_CONVERSION_GROWTH + 1);
	}
	text->raw = palloc(CHUNK_SIZE + 1);
	initStringInfo(&text->text);
	return text;
}

/* As many of these bytes as are good; how many. */
static int
take_good(FileText *text, unsigned char *bytes, int len)
{
	int			good;

	if (!OidIsValid(text->conversion))
	{
		good = pg_encoding_verifymbstr(text->encoding, (char *) bytes, len);
		appendBinaryStringInfo(&text->text, (char *) bytes, good);
		return good;
	}
	good = pg_do_encoding_conversion_buf(text->conversion, text->encoding, GetDatabaseEncoding(),
										 bytes, len, text->converted, CHUNK_SIZE * MAX_CONVERSION_GROWTH + 1, true);
	appendStringInfoString(&text->text, (char *) text->converted);
	return good;
}

/* A character that has no equivalent is bad as a whole; of anything else the first byte. */
static int
mark_bad(FileText *text, const unsigned char *bytes, int len)
{
	int			bad = Max(1, pg_encoding_verifymbchar(text->encoding, (const char *) bytes, len));

	appendStringInfo(&text->text, "%c<", MARK);
	for (int i = 0; i < bad; i++)
		appendStringInfo(&text->text, "%02x", bytes[i]);
	appendStringInfoChar(&text->text, '>');
	text->has_marks = true;
	return bad;
}

/* Read some more of the file; a character that is not yet complete waits for its rest. */
static void
read_text(FileSource *file)
{
	FileText   *text = file->text;
	int			nread = idem_file_read(file, text->raw + text->nraw, CHUNK_SIZE - text->nraw);
	int			done = 0;

	text->nraw += nread;
	text->at_end = nread == 0;
	resetStringInfo(&text->text);
	text->given = 0;
	while (done < text->nraw)
	{
		done += take_good(text, text->raw + done, text->nraw - done);
		if (text->nraw - done < MAX_CONVERSION_INPUT_LENGTH && !text->at_end)
			break;
		if (done < text->nraw)
			done += mark_bad(text, text->raw + done, text->nraw - done);
	}
	text->nraw -= done;
	memmove(text->raw, text->raw + done, text->nraw);
}

int
idem_file_text_read(FileSource *file, char *buf, int len)
{
	FileText   *text = file->text;

	while (text->given == text->text.len && !text->at_end)
		read_text(file);
	len = Min(len, text->text.len - text->given);
	memcpy(buf, text->text.data + text->given, len);
	text->given += len;
	return len;
}

char *
idem_file_text_complaint(const FileText *text, const char *line)
{
	const char *mark = text != NULL && text->has_marks ? strchr(line, MARK) : NULL;
	const char *digits = mark != NULL && mark[1] == '<' ? mark + 2 : NULL;
	int			ndigits = digits != NULL ? strspn(digits, "0123456789abcdef") : 0;
	StringInfoData bytes;

	if (ndigits == 0 || digits[ndigits] != '>')
		return NULL;
	initStringInfo(&bytes);
	for (int i = 0; i + 1 < ndigits; i += 2)
		appendStringInfo(&bytes, " 0x%c%c", digits[i], digits[i + 1]);
	return psprintf("invalid byte sequence for encoding \"%s\":%s", pg_encoding_to_char(text->encoding), bytes.data);
}
