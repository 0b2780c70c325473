/*-------------------------------------------------------------------------
 *
 * recorder_scheduler.h
 *	  The scheduler in the place of a recorder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_RECORDER_SCHEDULER_H
#define IDEM_RECORDER_SCHEDULER_H

/*
 * Write down the failed run that a session has put into the mailbox, if there
 * is one; says whether there was.  Raises nothing: problems go to the server
 * log, and the session finds another recorder.  To be called outside a
 * transaction; uses the latch.
 */
extern bool idem_record_mail(Oid database);

#endif							/* IDEM_RECORDER_SCHEDULER_H */
