#!/bin/bash
# demo.sh: test/demo.sql on a private server, from a bare machine to the last assertion
set -euo pipefail
# shellcheck source=test/server.sh
. "$(dirname "$0")/server.sh"

prepare
cd "$scratch/tree"
as_user createdb demo
# errors in their place among the results, wherever those go
as_user env PSQL_PAGER= PAGER= PGOPTIONS='-c client_min_messages=warning' \
	psql -X -q -v ON_ERROR_STOP=1 -d demo -f test/demo.sql 2>&1
echo "demo: ok"
