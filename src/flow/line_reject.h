/*-------------------------------------------------------------------------
 *
 * line_reject.h
 *	  Lines of a file that are no rows.
 *
 * Who reads a file collects them here, and gives them to the run along with
 * the rows (RunRequest.lines): they count as rows read, and become rejects of
 * the unit, or of '*' where there are several.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_LINE_REJECT_H
#define IDEM_LINE_REJECT_H

#include "ledger/ledger.h"
#include "utils/tuplestore.h"

typedef struct LineRejects
{
	Tuplestorestate *rows;		/* of ledger/reject.h */
	Fingerprint sum;			/* of the lines */
} LineRejects;

/* An empty collection in CurrentMemoryContext. */
extern LineRejects *idem_line_rejects_create(void);
extern void idem_line_rejects_free(LineRejects *lines);

/*
 * Add a line.  It has to be in the database's encoding; what is not should
 * come escaped.  position: its number in the file; column: or NULL.
 */
extern void idem_line_reject(LineRejects *lines, const char *line, int64 position,
							 int sqlstate, const char *message, const char *column);

#endif							/* IDEM_LINE_REJECT_H */
