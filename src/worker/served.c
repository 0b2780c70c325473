/*-------------------------------------------------------------------------
 *
 * served.c
 *	  The databases that a launcher serves.
 *
 * pg_database and the settings say which they are.  They are read again when
 * one of them has changed, or when a database is on the board that is not
 * among them.
 *
 * A database that comes new is to be looked at once: there may be tasks that
 * nobody has woken the launcher for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "worker/served.h"
#include "worker/settings.h"

static Oid	only;				/* InvalidOid: all */
static List *served = NIL;		/* of Served * */
static bool databases_changed = true;

static Served *
find_served(Oid database)
{
	ListCell   *lc;

	foreach(lc, served)
	{
		if (((Served *) lfirst(lc))->database == database)
			return lfirst(lc);
	}
	return NULL;
}

static void
list_database(Form_pg_database form)
{
	Served	   *one;

	/* a connection limit below -1 marks what a failed DROP DATABASE has left */
	if (!form->datallowconn || form->datconnlimit < -1 ||
		(OidIsValid(only) ? form->oid != only : !idem_settings_serve(NameStr(form->datname))))
		return;

	one = find_served(form->oid);
	if (one == NULL)
	{
		one = MemoryContextAllocZero(TopMemoryContext, sizeof(Served));
		one->database = form->oid;
		one->look = true;
		served = lappend(served, one);
	}
	one->listed = true;
}

/* Bring the list of databases up to date, from pg_database and the settings. */
static void
list_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;

	databases_changed = false;
	foreach(lc, served)
		((Served *) lfirst(lc))->listed = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	MemoryContextSwitchTo(TopMemoryContext);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
		list_database((Form_pg_database) GETSTRUCT(tuple));
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);

	foreach(lc, served)
	{
		Served	   *one = lfirst(lc);

		if (one->listed)
			continue;
		served = foreach_delete_current(served, lc);
		if (one->handle != NULL)
			pfree(one->handle);
		pfree(one);
	}
}

/* Nobody waits for what happens in databases that are not served. */
static void
forget_others(Board *board)
{
	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	for (int i = 0; i < BOARD_DATABASES; i++)
	{
		BoardDatabase *entry = &board->databases[i];

		if (!OidIsValid(entry->database) || entry->launcher != 0 || find_served(entry->database) != NULL)
			continue;
		entry->woken = false;
		entry->next = 0;
		idem_board_tidy(entry);
	}
	LWLockRelease(&board->lock);
}

static void
database_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	databases_changed = true;
}

/* Some database may have been woken that found no place on the board: then look at all of them. */
static void
look_at_overflow(Board *board)
{
	bool		overflow;
	ListCell   *lc;

	LWLockAcquire(&board->lock, LW_EXCLUSIVE);
	overflow = board->overflow;
	board->overflow = false;
	LWLockRelease(&board->lock);
	if (!overflow)
		return;
	foreach(lc, served)
		((Served *) lfirst(lc))->look = true;
}

/* Has somebody been woken, or left, whom the list does not know? */
static bool
unknown_on(Board *board)
{
	bool		unknown = false;

	if (OidIsValid(only))
		return false;
	LWLockAcquire(&board->lock, LW_SHARED);
	for (int i = 0; i < BOARD_DATABASES && !unknown; i++)
	{
		BoardDatabase *entry = &board->databases[i];

		unknown = OidIsValid(entry->database) && (entry->woken || entry->next != 0) && entry->launcher == 0 &&
			find_served(entry->database) == NULL;
	}
	LWLockRelease(&board->lock);
	return unknown;
}

void
idem_served_init(Oid database)
{
	only = database;
	CacheRegisterSyscacheCallback(DATABASEOID, database_changed, (Datum) 0);
}

void
idem_served_suspect(void)
{
	databases_changed = true;
}

void
idem_served_make_room(Board *board)
{
	for (int i = 0; i < BOARD_DATABASES; i++)
	{
		BoardDatabase *entry = &board->databases[i];
		Served	   *one;

		if (!OidIsValid(entry->database) || entry->woken || entry->starting || entry->scheduler != 0 ||
			entry->launcher != 0 || (one = find_served(entry->database)) == NULL)
			continue;
		one->next = entry->next;
		entry->next = 0;
		idem_board_tidy(entry);
	}
}

List *
idem_served_list(Board *board)
{
	/* hears what has changed */
	StartTransactionCommand();
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);

	if (databases_changed || unknown_on(board))
	{
		list_databases();
		if (!OidIsValid(only))
			forget_others(board);
	}
	if (!OidIsValid(only))
		look_at_overflow(board);
	return served;
}
