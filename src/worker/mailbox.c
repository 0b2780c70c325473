/*-------------------------------------------------------------------------
 *
 * mailbox.c
 *	  A place on the board where sessions leave failed runs for the scheduler.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/attempt.h"
#include "miscadmin.h"
#include "worker/board.h"
#include "worker/mailbox.h"

static Board *the_board = NULL;

static void
find_board(void *arg)
{
	the_board = idem_board();
}

/*
 * Where the library is not preloaded, there may be no memory left for a board;
 * then there is no scheduler either.
 */
bool
idem_mailbox_is_open(void)
{
	BoardDatabase *entry;
	bool		is_open;

	if (the_board == NULL)
	{
		uint32		holdoff = QueryCancelHoldoffCount;

		if (idem_attempt_any(find_board, NULL) != NULL)
		{
			/* throwing the error has reset what the caller holds off */
			QueryCancelHoldoffCount = holdoff;
			return false;
		}
	}

	LWLockAcquire(&the_board->lock, LW_SHARED);
	entry = idem_board_find(the_board, MyDatabaseId, false);
	is_open = entry != NULL && entry->takes_mail;
	LWLockRelease(&the_board->lock);
	return is_open;
}

static void
take_back(dsm_segment *segment, Datum arg)
{
	BoardDatabase *entry;

	LWLockAcquire(&the_board->lock, LW_EXCLUSIVE);
	entry = idem_board_find(the_board, MyDatabaseId, false);
	if (entry != NULL && entry->mail == dsm_segment_handle(segment))
		entry->mail = DSM_HANDLE_INVALID;
	LWLockRelease(&the_board->lock);
}

MailboxState
idem_mailbox_put(dsm_segment *segment)
{
	MailboxState state = MAILBOX_CLOSED;
	BoardDatabase *entry;
	Latch	   *latch = NULL;

	/* first, as it may fail */
	on_dsm_detach(segment, take_back, (Datum) 0);

	LWLockAcquire(&the_board->lock, LW_EXCLUSIVE);
	entry = idem_board_find(the_board, MyDatabaseId, false);
	if (entry != NULL && entry->takes_mail)
	{
		state = entry->mail == DSM_HANDLE_INVALID ? MAILBOX_MINE : MAILBOX_FULL;
		latch = entry->scheduler_latch;
		if (state == MAILBOX_MINE)
			entry->mail = dsm_segment_handle(segment);
	}
	LWLockRelease(&the_board->lock);

	if (state == MAILBOX_MINE)
		SetLatch(latch);
	else
		cancel_on_dsm_detach(segment, take_back, (Datum) 0);
	return state;
}

void
idem_mailbox_open(Oid database)
{
	Board	   *board = idem_board();

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	idem_board_find(board, database, true)->takes_mail = true;
	LWLockRelease(&board->lock);
}

dsm_handle
idem_mailbox_take(Oid database)
{
	Board	   *board = idem_board();
	BoardDatabase *entry;
	dsm_handle	mail;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	entry = idem_board_find(board, database, true);
	mail = entry->mail;
	entry->mail = DSM_HANDLE_INVALID;
	LWLockRelease(&board->lock);
	return mail;
}
