#!/bin/bash
# run.sh: all tests, on a private server: pg_regress, isolation, TAP
#
# Every suite runs, whatever became of those before; what failed is shown at
# the end of its output, and the last line sums up.
set -euo pipefail
# shellcheck source=test/server.sh
. "$(dirname "$0")/server.sh"

# packages that only some tests want
export TEST_EXTRAS=yes

failed=()
summary=()

# $1: name; the rest: the command
suite() {
	local name=$1
	shift
	echo "== $name"
	if "$@"; then
		summary+=("$name ok")
	else
		failed+=("$name")
		summary+=("$name FAILED")
	fi
}

# $1: the suite that is not to run along; prints the differences on failure
regress() {
	local diffs
	make_in_tree installcheck "$1=" TAP_TESTS= && return 0
	for diffs in "$scratch"/tree/test/{,output_iso/}regression.diffs; do
		[ ! -s "$diffs" ] || cat "$diffs"
	done
	echo "-- the server's last words"
	tail -n 30 "$scratch/server.log"
	return 1
}

# What a test prints, but for what tells the methods apart.
alike() {
	sed -E -e 's/\<(diff|replace|swap)\>/method/g' -e '/^(ERROR|WARNING|NOTICE|DETAIL|HINT)/!s/ *\|.*(unit is one table|rows have (a|no) key|same rows).*//' \
		-e 's/ +/ /g' -e 's/-+/-/g' "$1"
}

# Every regression test through engine $1: the settings in $2 must make no
# difference but to the words for methods and why they were chosen.
engine() {
	local out name failed=
	make_in_tree installcheck ISOLATION= TAP_TESTS= PGOPTIONS="$2" >/dev/null || true
	for out in "$scratch"/tree/test/results/*.out; do
		name=${out##*/}
		diff <(alike "$scratch/tree/expected/$name") <(alike "$out") || failed="$failed $name"
	done
	[ -z "$failed" ] || echo "-- other results by engine $1:$failed"
	[ -z "$failed" ]
}

# A test of the kind $1 (a file name pattern below test/)?
have() {
	compgen -G "$scratch/tree/test/$1" >/dev/null
}

# TAP tests start servers of their own.
tap() {
	local pgxs log
	pgxs=$("$pg_config" --pgxs)
	pgxs=${pgxs%/src/makefiles/pgxs.mk}
	cd "$scratch/tree"
	as_user env -u PGHOST -u PGPORT -u PGUSER PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
		prove --timer -I "$pgxs/src/test/perl" test/t/*.pl && return 0
	for log in tmp_check/log/*; do
		echo "-- $log"
		tail -n 40 "$log"
	done
	return 1
}

prepare
if have 'sql/*.sql'; then
	suite regress regress ISOLATION
	suite portable engine portable '-c idem_import.engine=portable'
	suite swap engine swap '-c idem_import.min_swap_rows=0'
fi
if have 'specs/*.spec'; then
	suite isolation regress REGRESS
fi
if have 't/*.pl'; then
	suite tap tap
fi

echo "test: $(IFS=,; echo "${summary[*]:-no tests}") (PostgreSQL $(as_user psql -XAtc 'SHOW server_version' postgres))"
[ ${#failed[@]} = 0 ]
