/*-------------------------------------------------------------------------
 *
 * dropped.c
 *	  Whose imports were that are dropped, and have left a record: the table
 *	  idem_import_dropped.
 *
 * Ledger, history, rejects and manifest tell of an import by its name, and are
 * shown to who may run it.  Without this, whoever takes the name of a dropped
 * import could read the rows that were rejected of somebody else's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "ledger/dropped.h"
#include "miscadmin.h"

/*
 * INSERT INTO idem_import_dropped (import, owner)
 * SELECT name, owner FROM idem_import_definition WHERE name = $1
 * ON CONFLICT (import) DO UPDATE SET owner = excluded.owner, dropped_at = excluded.dropped_at
 */
void
idem_dropped_remember(const char *import)
{
	SqlParam	param = sql_text(import);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_INSERT,
				psprintf("INSERT INTO %1$sidem_import_dropped (import, owner) "
						 "SELECT name, owner FROM %1$sidem_import_definition WHERE name = $1 "
						 "ON CONFLICT (import) DO UPDATE SET owner = excluded.owner, dropped_at = excluded.dropped_at",
						 house.schema),
				sql_params(1, &param));
	sql_house_leave(&house);
}

void
idem_dropped_forget(const char *import)
{
	SqlParam	param = sql_text(import);
	House		house;

	sql_house_enter(&house);
	sql_execute(SPI_OK_DELETE,
				psprintf("DELETE FROM %sidem_import_dropped WHERE import = $1", house.schema),
				sql_params(1, &param));
	sql_house_leave(&house);
}

/*
 * INSERT INTO idem_import_dropped AS d (import, owner) VALUES ($1, $2)
 * ON CONFLICT (import) DO UPDATE SET owner = excluded.owner WHERE pg_has_role($2, d.owner, 'USAGE')
 *
 * Unlike a look, that also meets a row that the transaction's snapshot does
 * not show.
 */
void
idem_dropped_adopt(const char *import)
{
	SqlParam	param[] = {sql_text(import), sql_datum(REGROLEOID, ObjectIdGetDatum(GetUserId()), false)};
	House		house;
	uint64		mine;

	sql_house_enter(&house);
	mine = sql_execute(SPI_OK_INSERT,
					   psprintf("INSERT INTO %sidem_import_dropped AS d (import, owner) VALUES ($1, $2) "
								"ON CONFLICT (import) DO UPDATE SET owner = excluded.owner "
								"WHERE pg_has_role($2, d.owner, 'USAGE')", house.schema),
					   sql_params(lengthof(param), param));
	sql_house_leave(&house);

	if (mine == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for the record of dropped import \"%s\"", import),
				 errdetail("Another role's import of that name was dropped without \"purge\", and left its ledger and history."),
				 errhint("Take another name, or let its owner or a superuser create it and drop it with purge => true.")));
	idem_dropped_forget(import);
}
