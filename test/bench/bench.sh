#!/bin/bash
# bench.sh: idem_import_run against plain SQL: time, WAL and memory, on a private server
#
# All contenders of a case take turns, round after round, on the same rows and
# the same server, and each run starts from a file copy of one prepared
# database, right after a checkpoint.  So the ratio within a round tells more
# than seconds do on a busy machine.  After each run the table is compared with
# what it must have become.  What is wanted, from the environment:
#
#	BENCH_SET	one of these, which the other variables change:
#		quick	most cases for 100000 rows, three of them for a million (about ten minutes)
#		full	0.1, 1 and 10 million rows, all widths, indexes and cases (many hours)
#		growth	0.1, 1 and 10 million rows: seconds per million rows, and memory
#		targets	the cases of report/limits.csv: 2 million rows, and 1000 into 10 million
#		increments	1000 new rows in a source of 0.1, 1 and 10 million that has been read before
#		readers	how long reads take while 2 million rows are overwritten
#		effects	how many effects per second are claimed and done, of a million that are done already
#		worker	how soon tasks start, how many are done per second, and a backfill of 1000 units of 10000 rows
#	BENCH_SIZES	rows; all of them with the first width and the first number of indexes
#	BENCH_WIDTHS	bytes of data in a row; those after the first with the first size only
#	BENCH_INDEXES	indexes of the target, 1 to 4; those after the first likewise
#	BENCH_CROSS	1: all sizes with all widths and all numbers of indexes; 0: not
#	BENCH_CASES	see contenders() below; a number is the percentage of changed rows
#	BENCH_LATER_CASES	cases for the sizes after the first
#	BENCH_AGAINST	the others that take part: "all", "limits" (those of report/limits.csv), "none", or names
#	BENCH_RUNS	rounds
#	BENCH_WORK_MEM	work_mem of the server
#	BENCH_OUT	folder for the figures and plots
set -euo pipefail
# shellcheck source=test/server.sh
. "$(dirname "$0")/../server.sh"
# shellcheck source=test/bench/measure.sh
. "$checkout/test/bench/measure.sh"
# shellcheck source=test/bench/readers.sh
. "$checkout/test/bench/readers.sh"
# shellcheck source=test/bench/effects.sh
. "$checkout/test/bench/effects.sh"
# shellcheck source=test/bench/worker.sh
. "$checkout/test/bench/worker.sh"
# shellcheck source=test/bench/report.sh
. "$checkout/test/bench/report.sh"

set_name=${BENCH_SET:-quick}
sizes=()
widths=()
indexes=()
cases=()
later_cases=()
cross=
against=
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
		0 | 0.01 | 1 | 10 | 100 | small | small_again)
			echo idem_import_run on_conflict on_conflict_distinct merge
			;;
		overwrite_1 | overwrite_100) echo idem_import_run_reload delete_insert truncate_insert truncate_copy ;;
		partition | partition_key)
			echo idem_import_run_day delete_insert_day truncate_insert_day truncate_copy_day
			;;
		cursor) echo idem_import_run increment_on_conflict ;;
		snapshot) echo idem_import_run scan_on_conflict ;;
		readers) echo idem_import_run_reload delete_insert truncate_insert ;;
		*) return 1 ;;
	esac
}

# Those of them that are wanted.
chosen() {
	local name wanted=$against
	if [ "$against" = limits ]; then
		wanted=$(awk -F, -v name="$1" '$1 == name { print $3 }' "$checkout/test/bench/report/limits.csv")
	fi
	for name in $(contenders "$1"); do
		if [[ $wanted = all || $name = idem_import* ]] || grep -qwF -- "$name" <<<"$wanted"; then
			echo "$name"
		fi
	done
}

# $1 to $7: sizes, widths, indexes, cases, cases for later sizes, cross, against; what the environment says goes before
wish() {
	read -ra sizes <<<"${BENCH_SIZES:-$1}"
	read -ra widths <<<"${BENCH_WIDTHS:-$2}"
	read -ra indexes <<<"${BENCH_INDEXES:-$3}"
	read -ra cases <<<"${BENCH_CASES:-$4}"
	read -ra later_cases <<<"${BENCH_LATER_CASES:-${BENCH_CASES:-$5}}"
	cross=${BENCH_CROSS:-$6}
	against=${BENCH_AGAINST:-$7}
}

choose_set() {
	local some="first same 0.01 1 10 100 overwrite_100 small"
	local every="$some 0 overwrite_1 small_again partition partition_key"
	case $set_name in
		quick) wish '100000 1000000' '40 1000' '1 4' "$some" 'first same 1' 0 all ;;
		full) wish '100000 1000000 10000000' '40 1000' '1 4' "$every" "$every" 1 all ;;
		growth) wish '100000 1000000 10000000' 128 1 'first same 1' 'first same 1' 0 merge ;;
		targets) wish '2000000 10000000' 128 1 'first same 1 partition partition_key' 'small small_again' 0 limits ;;
		increments) wish '100000 1000000 10000000' 128 1 'cursor snapshot' 'cursor snapshot' 0 all ;;
		readers) wish 2000000 128 3 readers readers 0 all ;;
		effects | worker) wish 1000000 128 1 '' '' 0 none ;;
		*) fail "no such set: $set_name" ;;
	esac
}

check_numbers() {
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
}

check_names() {
	local value
	for value in "${cases[@]}" "${later_cases[@]}"; do
		contenders "$value" >/dev/null || fail "no such case: $value"
	done
	case $against in all | limits | none) return 0 ;; esac
	for value in $against; do
		[ -f "$checkout/test/bench/contenders/$value.sql" ] || fail "no such contender: $value"
	done
}

make_out() {
	out=${BENCH_OUT:-$(mktemp -d "${TMPDIR:-/tmp}/idem-bench.XXXXXX")}
	mkdir -p "$out"
	out=$(cd "$out" && pwd)
	# of an earlier run with other wishes
	rm -f "$out"/{ratios,scaling,growth}-*.svg \
		"$out"/{readers,latency,targets,growth,effects,worker,worker_starts,worker_claims}.* "$out"/{table.txt,summary.csv}
}

# Room on the disk for $1 rows of $2 bytes with $3 indexes: three databases, the
# file for COPY, and the work files and WAL of a run.
fits() {
	local needed free
	needed=$((($1 * (($2 + 60) * 2 + $3 * 30) * 4 >> 20) + 6000))
	free=$(df -Pm "$scratch" | awk 'NR == 2 { print $4 }')
	[ "$needed" -le "$free" ] && return
	echo "bench: NOT measured: $1 rows of $2 bytes, indexes: $3: that takes $needed MB of disk, there are $free" |
		tee -a "$out/machine.txt"
	return 1
}

# $1 rows of $2 bytes, $3 indexes
run_configuration() {
	local name
	local -a these=("${cases[@]}")
	fits "$@" || return 0
	[ "$1" = "${sizes[0]}" ] || these=("${later_cases[@]}")
	copy_database base template1
	sql base -o /dev/null -v rows="$1" -v width="$2" -v indexes="$3" -f tables.sql
	for name in "${these[@]}"; do
		echo "bench: $1 rows of $2 bytes, indexes: $3, case: $name (after $SECONDS s)"
		run_case "$name" "$@"
	done
}

# Is $1 rows of $2 bytes with $3 indexes one to measure?
wanted() {
	[ "$cross" = 1 ] ||
		[ "$2 $3" = "${widths[0]} ${indexes[0]}" ] ||
		[ "$1 $2" = "${sizes[0]} ${widths[0]}" ] ||
		[ "$1 $3" = "${sizes[0]} ${indexes[0]}" ]
}

run_all() {
	local size width count
	start_figures
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

choose_set
check_numbers
check_names
make_out
find_gnuplot
prepare
configure_server
cd "$scratch/tree/test/bench"
describe_machine | tee "$out/machine.txt"
case $set_name in
	effects) measure_effects ;;
	worker) measure_worker ;;
	*)
		run_all
		report "$out"
		;;
esac
echo "bench: ok, $SECONDS s; everything is in $out"
