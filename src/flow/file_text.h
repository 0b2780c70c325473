/*-------------------------------------------------------------------------
 *
 * file_text.h
 *	  The bytes of a text file in the encoding of the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_FILE_TEXT_H
#define IDEM_FILE_TEXT_H

typedef struct FileText FileText;
struct FileSource;

/*
 * For a file in this encoding; lives in CurrentMemoryContext.  42883 if there
 * is no conversion to the database's.
 */
extern FileText *idem_file_text_create(int encoding);

/* The next bytes of file->text, at most len, at least one but at the end. */
extern int	idem_file_text_read(struct FileSource *file, char *buf, int len);

/*
 * What is wrong with a line that has bytes which are not of the file's
 * encoding; NULL: it has none.  text may be NULL.
 */
extern char *idem_file_text_complaint(const FileText *text, const char *line);

#endif							/* IDEM_FILE_TEXT_H */
