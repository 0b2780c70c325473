/*-------------------------------------------------------------------------
 *
 * functions_file.c
 *	  SQL-callable functions that read server-side files.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "arguments.h"
#include "catalog/pg_authid.h"
#include "flow/file.h"
#include "fmgr.h"
#include "functions.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(idem_import_run_file);

/*
 * idem_import_run_file(import, path, options, force) returns setof idem_import_result
 *
 * The file is read with the rights of the caller, not of the import's owner,
 * so it is opened here.  Errors: 42704, 42501; see idem_file_open,
 * idem_file_load, idem_run_input and idem_run.
 */
Datum
idem_import_run_file(PG_FUNCTION_ARGS)
{
	RunRequest	request = {0};

	request.import = idem_argument_name(fcinfo, 0, "import");
	request.input.name = idem_argument_name(fcinfo, 1, "path");
	idem_argument_require_input_name(request.input.name, "path");
	idem_argument_require(fcinfo, 2, "options");
	request.force = idem_argument_bool(fcinfo, 3, "force");
	request.input.size = -1;
	PreventCommandIfReadOnly("idem_import_run_file()");

	(void) idem_definition_get(request.import);
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to read a file of the server"),
				 errdetail("Only roles with privileges of the role \"%s\" may do so.", "pg_read_server_files"),
				 errhint("Copy the rows into a temporary table with psql's \\copy, and name that as the source of idem_import_run.")));
	request.file = idem_file_open(request.input.name, PG_GETARG_JSONB_P(2));
	request.lines = request.file->lines;
	idem_functions_run(fcinfo, &request);
	return (Datum) 0;
}
