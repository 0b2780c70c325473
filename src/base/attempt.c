/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  Work that may fail because of the rows that it is given.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/attempt.h"
#include "utils/errcodes.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

bool
idem_error_is_about_row(const ErrorData *error)
{
	if (error->elevel != ERROR)
		return false;
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:
		case ERRCODE_PLPGSQL_ERROR:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
			return true;
		default:
			break;
	}

	switch (error->sqlerrcode)
	{
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			return true;
		case ERRCODE_SYNTAX_ERROR:
			/* of a value: tsquery, jsonpath; that of a statement has a place in it */
			return error->internalquery == NULL && error->cursorpos == 0;
		default:
			return false;
	}
}

bool
idem_error_may_pass(const ErrorData *error)
{
	switch (error->sqlerrcode)
	{
		case ERRCODE_UNIQUE_VIOLATION:
		case ERRCODE_EXCLUSION_VIOLATION:
		case ERRCODE_FOREIGN_KEY_VIOLATION:
		case ERRCODE_RESTRICT_VIOLATION:
			return true;
		default:
			return false;
	}
}

ErrorData *
idem_attempt_any(void (*work) (void *arg), void *arg)
{
	MemoryContext oldcxt = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcxt);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(oldcxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcxt);
	CurrentResourceOwner = oldowner;
	return error;
}

ErrorData *
idem_attempt(void (*work) (void *arg), void *arg)
{
	ErrorData  *error = idem_attempt_any(work, arg);

	if (error != NULL && !idem_error_is_about_row(error))
		ReThrowError(error);
	return error;
}
