/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  An executor's transactions, as the owner of an import.
 *
 * An executor connects as a superuser, since the owner may be a role that can't
 * log in.  From the moment a transaction begins it is the owner, and stays it
 * until the transaction has ended: deferred triggers fire at its very end, and
 * they are code of the owner's, or of others yet.
 *
 * Settings that belong to the role take effect as if it had logged in, but for
 * those that say who is logged in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "worker/owner.h"
#include "worker/process.h"
#include "worker/record.h"

static char *database_lock_timeout;
static char *database_statement_timeout;
static Oid	saved_user;
static int	saved_context;

void
idem_owner_remember_timeouts(void)
{
	database_lock_timeout = MemoryContextStrdup(TopMemoryContext, GetConfigOption("lock_timeout", false, false));
	database_statement_timeout = MemoryContextStrdup(TopMemoryContext, GetConfigOption("statement_timeout", false, false));
}

/*
 * As at a login: whoever gave the role a setting that is for superusers only
 * was allowed to.
 */
static void
set_here(const char *name, const char *value)
{
	/* as at a login, tablespaces that are gone are passed over; a SET would raise an error */
	GucSource	source = pg_strcasecmp(name, "temp_tablespaces") == 0 ? PGC_S_INTERACTIVE : PGC_S_SESSION;

	/* what only a new session can be given is no news each time */
	(void) set_config_option(name, value, PGC_SUSET, source, GUC_ACTION_SAVE, true, DEBUG1, false);
}

/* Says who is logged in, holds for the transaction of the login alone, or ends the process. */
static bool
is_for_sessions(const char *name)
{
	static const char *const names[] = {"role", "session_authorization", "transaction_read_only",
	"transaction_isolation", "transaction_deferrable", "transaction_timeout"};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (pg_strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* The settings of pg_db_role_setting for a database and a role; 0: any. */
static void
apply_settings_of(Relation rel, Oid database, Oid role)
{
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	ScanKeyInit(&key[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		config = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig, RelationGetDescr(rel), &isnull);
		Datum	   *elements;
		int			n = 0;

		if (!isnull)
			deconstruct_array(DatumGetArrayTypeP(config), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
		for (int i = 0; i < n; i++)
		{
			char	   *name = TextDatumGetCString(elements[i]);
			char	   *equals = strchr(name, '=');

			if (equals == NULL)
				continue;
			*equals = '\0';
			if (!is_for_sessions(name))
				set_here(name, equals + 1);
		}
	}
	systable_endscan(scan);
}

void
idem_owner_begin(Oid owner)
{
	Relation	rel;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) idem_process_hold_extension();
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the role that owns the import does not exist any more")));

	/* an abort brings back who we were; a commit leaves it to us */
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(owner, saved_context | SECURITY_LOCAL_USERID_CHANGE);
	(void) NewGUCNestLevel();
	set_here("lock_timeout", database_lock_timeout);
	set_here("statement_timeout", database_statement_timeout);
	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	/* those of the database were taken as we connected, but may have changed */
	apply_settings_of(rel, InvalidOid, InvalidOid);
	apply_settings_of(rel, MyDatabaseId, InvalidOid);
	apply_settings_of(rel, InvalidOid, owner);
	apply_settings_of(rel, MyDatabaseId, owner);
	table_close(rel, AccessShareLock);

	if (StatementTimeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
idem_owner_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
	SetUserIdAndSecContext(saved_user, saved_context);
}

/* What DISCARD ALL does, which is for sessions only. */
void
idem_owner_discard(void)
{
	StartTransactionCommand();
	PortalHashTableDeleteAll();
	ResetAllOptions();
	DropAllPreparedStatements();
	Async_UnlistenAll();
	LockReleaseAll(USER_LOCKMETHOD, true);
	ResetPlanCache();
	ResetTempTableNamespace();
	ResetSequenceCaches();
	CommitTransactionCommand();
	idem_record_settings();
}
