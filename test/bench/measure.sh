# measure.sh: the server, and one contender at a time on it; sourced by bench.sh
#
# shellcheck shell=bash disable=SC2154

postmaster=
page_size=
sampler=

# 1 GB, or a quarter of the memory where that is less
shared_buffers() {
	awk '/^MemTotal:/ { mb = int($2 / 1024 / 4); print (mb > 1024 ? 1024 : mb) "MB" }' /proc/meminfo
}

# Durable as in earnest, since WAL is half of the matter.  No checkpoint and no
# autovacuum falls into a measurement; WAL files are kept to be used again, as
# on a server that has run for a while.  All else is as PostgreSQL ships.
configure_server() {
	[ -r "/proc/$$/task/$$/children" ] ||
		fail "memory is read from /proc/PID/task/PID/children, which is not here"
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
	postmaster=$(head -n 1 "$scratch/data/postmaster.pid")
	page_size=$(getconf PAGESIZE)
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

# Database "prepared" becomes the state before a run of case $1 with $2 rows of $3 bytes and $4 indexes.
prepare_case() {
	copy_database prepared base
	sql prepared -o /dev/null -v case="$1" -v rows="$2" -v width="$3" -v indexes="$4" -f case.sql
}

# Looks again and again at the processes that the server starts from now on, but
# for $2.  The last line of file $1 becomes the peak of the first one's private
# memory, and the peak of the sum of the others', which are its parallel workers:
# these end before they could be asked.  Uses no programs, so that it hardly
# disturbs; may be killed at any moment, so it only ever adds whole lines.
sample_memory() {
	local children=/proc/$postmaster/task/$postmaster/children before=" $2 " now pid leader=
	local resident shared own workers most=0 most_workers=0 never
	exec {never}<> <(:)
	# that file ends without a newline, which is no success
	while read -r now <"$children" || [ -n "$now" ]; do
		own=0
		workers=0
		for pid in $now; do
			if [[ $before = *" $pid "* ]] || ! read -r _ resident shared _ 2>/dev/null <"/proc/$pid/statm"; then
				continue
			fi
			leader=${leader:-$pid}
			if [ "$pid" = "$leader" ]; then own=$((resident - shared)); else workers=$((workers + resident - shared)); fi
		done
		if ((own > most || workers > most_workers)); then
			((most = own > most ? own : most, most_workers = workers > most_workers ? workers : most_workers, 1))
			echo "$((most * page_size)) $((most_workers * page_size))" >>"$1"
		fi
		now=
		read -rt 0.01 -u "$never" || true
	done
}

start_sampler() {
	local before
	before=$(<"/proc/$postmaster/task/$postmaster/children")
	echo "0 0" >"$scratch/memory"
	sample_memory "$scratch/memory" "$before" 2>/dev/null &
	sampler=$!
}

stop_sampler() {
	kill "$sampler" 2>/dev/null || true
	wait "$sampler" 2>/dev/null || true
}

check_table() {
	[ "$(sql run -f check.sql)" = t ] || fail "$1 left another table than expected"
}

# $1: contender, $2: what to write in front of its seconds, WAL and memory
measure() {
	local result seconds wal memory own workers
	copy_database run prepared
	start_sampler
	result=$(sql run -v statements="contenders/$1.sql" -f measure.sql) || fail "$2,$1 failed"
	stop_sampler
	IFS=, read -r seconds wal memory <<<"$result"
	read -r own workers < <(tail -n 1 "$scratch/memory")
	check_table "$2,$1"
	echo "$2,$1,$seconds,$wal,$(((own > memory ? own : memory) + workers)),$workers" >>"$out/runs.csv"
}

start_figures() {
	echo "case,rows,width,indexes,round,contender,seconds,wal_bytes,memory_bytes,of_it_workers_bytes" >"$out/runs.csv"
}

# Case $1 with $2 rows of $3 bytes and $4 indexes.  Each round starts with
# another contender, so that none is always the first.
run_case() {
	local round turn name
	local -a names
	mapfile -t names < <(chosen "$1")
	prepare_case "$@"
	for ((round = 1; round <= rounds; round++)); do
		for turn in "${!names[@]}"; do
			name=${names[(turn + round - 1) % ${#names[@]}]}
			if [ "$1" = readers ]; then
				measure_readers "$name" "$2,$3,$4,$round" "$2"
			else
				measure "$name" "$1,$2,$3,$4,$round"
			fi
		done
	done
}
