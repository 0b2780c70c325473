#!/bin/bash
# bench.sh: idem_import_run against plain SQL: time, WAL and memory, on a private server
#
# All contenders of a case take turns, round after round, on the same rows and
# the same server, and each run starts from a file copy of one prepared
# database, right after a checkpoint.  So the ratio within a round tells more
# than seconds do on a busy machine.  It takes about ten minutes on two cores,
# and with BENCH_SIZES='100000 1000000' half an hour.  What is wanted, from the
# environment:
#
#	BENCH_SIZES	rows; all of them with the first width and the first number of indexes
#	BENCH_WIDTHS	bytes of data in a row; those after the first with the first size only
#	BENCH_INDEXES	indexes of the target, 1 to 4; those after the first likewise
#	BENCH_CROSS	1: all sizes with all widths and all numbers of indexes
#	BENCH_CASES	see contenders() below; a number is the percentage of changed rows
#	BENCH_RUNS	rounds
#	BENCH_WORK_MEM	work_mem of the server
#	BENCH_OUT	folder for the figures and plots
set -euo pipefail
# shellcheck source=test/server.sh
. "$(dirname "$0")/../server.sh"
# shellcheck source=test/bench/report.sh
. "$checkout/test/bench/report.sh"

read -ra sizes <<<"${BENCH_SIZES:-30000 300000}"
read -ra widths <<<"${BENCH_WIDTHS:-128 40 1000}"
read -ra indexes <<<"${BENCH_INDEXES:-1 4}"
read -ra cases <<<"${BENCH_CASES:-first same 0.01 1 10 100 overwrite_1 overwrite_100 small}"
rounds=${BENCH_RUNS:-5}
work_mem=${BENCH_WORK_MEM:-64MB}
out=

fail() {
	echo "bench: $*" >&2
	exit 1
}

# The files of contenders/ that case $1 compares, ours first.
contenders() {
	case $1 in
		first) echo idem_import_run insert_select on_conflict merge copy_binary ;;
		same) echo idem_import_run idem_import_run_forced on_conflict on_conflict_distinct merge ;;
		small) echo idem_import_run on_conflict on_conflict_distinct merge ;;
		overwrite_1 | overwrite_100) echo idem_import_run_reload delete_insert truncate_insert truncate_copy ;;
		0.01 | 1 | 10 | 100) echo idem_import_run on_conflict on_conflict_distinct merge ;;
		*) return 1 ;;
	esac
}

check_wishes() {
	local value
	for value in "${sizes[@]}" "${widths[@]}" "${indexes[@]}" "$rounds"; do
		[[ $value =~ ^[1-9][0-9]*$ ]] || fail "not a number: $value"
	done
	for value in "${sizes[@]}"; do
		[ "$value" -ge 10000 ] || fail "0.01 percent of $value rows is less than one: take 10000 rows or more"
	done
	for value in "${widths[@]}"; do
		[ "$value" -ge 40 ] || fail "rows have at least 40 bytes"
	done
	for value in "${indexes[@]}"; do
		[ "$value" -le 4 ] || fail "there are at most 4 indexes"
	done
	for value in "${cases[@]}"; do
		contenders "$value" >/dev/null || fail "no such case: $value"
	done
}

make_out() {
	out=${BENCH_OUT:-$(mktemp -d "${TMPDIR:-/tmp}/idem-bench.XXXXXX")}
	mkdir -p "$out"
	out=$(cd "$out" && pwd)
	# of an earlier run with other wishes
	rm -f "$out"/ratios-*.svg "$out/scaling.svg"
}

# 1 GB, or a quarter of the memory where that is less
shared_buffers() {
	awk '/^MemTotal:/ { mb = int($2 / 1024 / 4); print (mb > 1024 ? 1024 : mb) "MB" }' /proc/meminfo
}

# Durable as in earnest, since WAL is half of the matter.  No checkpoint and no
# autovacuum falls into a measurement; WAL files are kept to be used again, as
# on a server that has run for a while.  All else is as PostgreSQL ships.
configure_server() {
	cat >>"$scratch/data/postgresql.conf" <<-EOF
		fsync = on
		shared_buffers = $(shared_buffers)
		work_mem = $work_mem
		checkpoint_timeout = 1d
		max_wal_size = 200GB
		min_wal_size = 4GB
		autovacuum = off
	EOF
	as_user pg_ctl -D "$scratch/data" -l "$scratch/server.log" -m fast -w restart >/dev/null
}

# $1: database; the rest: arguments of psql
sql() {
	local database=$1
	shift
	as_user psql -XqAt -F, -v ON_ERROR_STOP=1 -v copy_file="$scratch/stage.bin" -d "$database" "$@"
}

# Database $1 becomes a copy of $2, file by file; it begins and ends with a checkpoint.
copy_database() {
	sql postgres -c 'SET client_min_messages = warning' -c "DROP DATABASE IF EXISTS $1" \
		-c "CREATE DATABASE $1 TEMPLATE $2 STRATEGY file_copy"
}

# $1: contender, $2: what to write in front of its seconds, WAL and memory
measure() {
	local result
	copy_database run prepared
	result=$(sql run -v statements="contenders/$1.sql" -f measure.sql) || fail "$2,$1 failed"
	[ "${result##*,}" = t ] || fail "$2,$1 left another table than expected"
	echo "$2,$1,${result%,*}" >>"$out/runs.csv"
}

# Case $1 with $2 rows of $3 bytes and $4 indexes.  Each round starts with
# another contender, so that none is always the first.
run_case() {
	local round turn names
	read -ra names <<<"$(contenders "$1")"
	copy_database prepared base
	sql prepared -o /dev/null -v case="$1" -v rows="$2" -v width="$3" -f case.sql
	for ((round = 1; round <= rounds; round++)); do
		for turn in "${!names[@]}"; do
			measure "${names[(turn + round - 1) % ${#names[@]}]}" "$1,$2,$3,$4,$round"
		done
	done
}

# $1 rows of $2 bytes, $3 indexes
run_configuration() {
	local case
	copy_database base template1
	sql base -o /dev/null -v rows="$1" -v width="$2" -v indexes="$3" -f tables.sql
	for case in "${cases[@]}"; do
		echo "bench: $1 rows of $2 bytes, indexes: $3, case: $case (after $SECONDS s)"
		run_case "$case" "$1" "$2" "$3"
	done
}

# Is $1 rows of $2 bytes with $3 indexes one to measure?
wanted() {
	[ -n "${BENCH_CROSS:-}" ] ||
		[ "$2 $3" = "${widths[0]} ${indexes[0]}" ] ||
		[ "$1 $2" = "${sizes[0]} ${widths[0]}" ] ||
		[ "$1 $3" = "${sizes[0]} ${indexes[0]}" ]
}

run_all() {
	local size width count
	echo "case,rows,width,indexes,round,contender,seconds,wal_bytes,memory_bytes" >"$out/runs.csv"
	for size in "${sizes[@]}"; do
		for width in "${widths[@]}"; do
			for count in "${indexes[@]}"; do
				! wanted "$size" "$width" "$count" || run_configuration "$size" "$width" "$count"
			done
		done
	done
}

# What the figures depend on.  The load is that of others: they make ours noisy.
describe_machine() {
	local name
	echo "PostgreSQL $(sql postgres -c 'SHOW server_version'), $(nproc) cores," \
		"load $(cut -d ' ' -f 1 /proc/loadavg) before the first run, medians of $rounds rounds"
	for name in shared_buffers work_mem fsync synchronous_commit wal_level full_page_writes \
		max_parallel_workers_per_gather jit; do
		echo "$name = $(sql postgres -c "SHOW $name")"
	done | paste -sd ';' | sed 's/;/; /g'
}

[ -r /proc/self/status ] || fail "memory is read from /proc, which is not here"
check_wishes
make_out
find_gnuplot
prepare
configure_server
cd "$scratch/tree/test/bench"
describe_machine | tee "$out/machine.txt"
run_all
report "$out"
echo "bench: ok, $SECONDS s; everything is in $out"
