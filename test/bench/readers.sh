# readers.sh: how long reads by primary key take before and during a run; sourced by bench.sh
#
# pgbench reads at a steady rate and counts each read from when it was due.  So
# a second in which all readers wait counts as all the reads of that second, and
# not as one slow read of each client.
# shellcheck shell=bash disable=SC2154

readers_rate=400

# Latencies in ms from pgbench's log $1 of the reads that overlap $2..$3 (seconds since 1970): count, p50, p99, maximum.
latencies() {
	awk -v first="$2" -v last="$3" '{ done = $5 + $6 / 1e6 }
		done >= first && done - $3 / 1e6 <= last { print $3 / 1000 }' "$1" | sort -n |
		awk '{ v[NR] = $1 }
			function at(share) { return v[int(share * (NR - 1)) + 1] }
			END { printf "%d,%.3f,%.3f,%.3f\n", NR, at(0.5), at(0.99), v[NR] }'
}

# The slowest of the reads that were due in each 50 ms from 2 s before $2 to 2 s after $3, of log $1; in front of each line $4.
slowest() {
	awk -v first="$2" -v last="$3" -v prefix="$4" '{ due = $5 + ($6 - $3) / 1e6 }
		due > first - 2 && due < last + 2 {
			slot = int((due - first + 2) * 20)
			if ($3 > most[slot])
				most[slot] = $3
		}
		END {
			for (slot = 0; slot < (last - first + 4) * 20; slot++)
				if (slot in most)
					printf "%s,%.3f,%.2f,%.3f\n", prefix, last - first, slot / 20 - 2, most[slot] / 1000
		}' "$1"
}

# Reads database "run" with $1 rows until its sessions are ended; that way pgbench still completes its log.
start_readers() {
	rm -rf "$scratch/readers"
	as_user mkdir "$scratch/readers"
	# rows have even ids; a read that finds no row ends its client
	printf '%s\n' "\\set i random(1, $1)" "SELECT note FROM target WHERE id = 2 * :i \\gset" >"$scratch/read.sql"
	as_user pgbench -n -M prepared -c 4 -j 1 -R "$readers_rate" -T 36000 -l --log-prefix="$scratch/readers/log" \
		-f "$scratch/read.sql" run >"$scratch/readers.out" 2>&1 &
}

stop_readers() {
	sql postgres -o /dev/null -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'"
	wait "$1" || true
}

# $1: contender, $2: what to write in front of its figures, $3: rows
measure_readers() {
	local result first last reader lost
	command -v pgbench >/dev/null || fail "no pgbench beside the server's programs"
	[ -f "$out/readers.csv" ] || {
		echo "rows,width,indexes,round,contender,seconds,reads_before,p50_before,p99_before,max_before,reads_during,p50_during,p99_during,max_during,reads_lost" >"$out/readers.csv"
		echo "rows,width,indexes,round,contender,seconds,second,slowest_ms" >"$out/latency.csv"
	}
	copy_database run prepared
	start_readers "$3"
	reader=$!
	result=$(sql run -v statements="contenders/$1.sql" -f readers.sql) || fail "readers,$2,$1 failed"
	stop_readers "$reader"
	lost=$(grep -c 'expected one row' "$scratch/readers.out") || true
	IFS=, read -r first last <<<"$result"
	cat "$scratch/readers/"log* >"$scratch/readers/all"
	echo "$2,$1,$(minus "$last" "$first"),$(latencies "$scratch/readers/all" "$(minus "$first" 5)" "$first"),$(
		latencies "$scratch/readers/all" "$first" "$last"),$lost" >>"$out/readers.csv"
	slowest "$scratch/readers/all" "$first" "$last" "$2,$1" >>"$out/latency.csv"
	check_table "readers,$2,$1"
}

minus() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.6f", a - b }'
}
