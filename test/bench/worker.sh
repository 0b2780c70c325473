# worker.sh: how fast the worker starts, claims and fills; sourced by bench.sh
#
# Three things: the time from idem_import_submit to an executor that has the
# task; tasks per second at the beginning and at the end of a long queue; and a
# backfill of many units beside the same rows by plain SQL, unit by unit in one
# session, with the share of all cores that was busy meanwhile.
# shellcheck shell=bash disable=SC2154

worker_units=${BENCH_UNITS:-1000}
worker_unit_rows=${BENCH_UNIT_ROWS:-10000}
worker_tasks=${BENCH_TASKS:-10000}
worker_starts=${BENCH_STARTS:-100}

prepare_worker() {
	cat >>"$scratch/data/postgresql.conf" <<-EOF
		shared_preload_libraries = 'idem_import'
		idem_import.max_workers = $(nproc)
		max_worker_processes = 32
		autovacuum = on
	EOF
	as_user pg_ctl -D "$scratch/data" -l "$scratch/server.log" -m fast -w restart >/dev/null
	sql postgres -o /dev/null -c 'CREATE DATABASE worker'
	sql worker -o /dev/null -v units="$worker_units" -v unit_rows="$worker_unit_rows" <<-'SQL'
		CREATE EXTENSION idem_import;
		CREATE TABLE source AS SELECT date '2020-01-01' + u AS day, g AS id, md5(g::text || u) AS note, u * g::numeric AS amount
			FROM generate_series(0, :units - 1) u, generate_series(1, :unit_rows) g;
		CREATE INDEX ON source (day);
		CREATE TABLE by_worker (day date, id int, note text, amount numeric, PRIMARY KEY (day, id));
		CREATE TABLE by_hand (LIKE by_worker INCLUDING ALL);
		CREATE TABLE tiny (id int PRIMARY KEY, note text);
		SELECT idem_import_create('days', 'SELECT * FROM source WHERE day = $1', 'by_worker', key => '{day,id}', scope => '{day}');
		SELECT idem_import_create('tiny', 'SELECT $1 AS id, md5($1::text) AS note', 'tiny', key => '{id}', scope => '{id}');
		VACUUM ANALYZE source;
	SQL
}

# Median and 95th percentile of the numbers on standard input.
middle_and_most() {
	sort -n | awk '{ v[NR] = $1 } END { printf "%.1f,%.1f\n", v[int(0.5 * (NR - 1)) + 1], v[int(0.95 * (NR - 1)) + 1] }'
}

# $1: how many tasks, $2: seconds before each, in which executors and scheduler leave; ms of each
starts() {
	local n
	for ((n = 1; n <= $1; n++)); do
		sleep "$2"
		sql worker -v n="$n" <<-'SQL'
			SELECT idem_import_submit('tiny', :'n') AS task \gset
			SELECT idem_import_wait(:task) AS status \gset
			SELECT extract(epoch FROM started_at - created_at) * 1000 FROM idem_import_queue WHERE task = :task;
		SQL
	done
}

measure_starts() {
	echo "from,median_ms,p95_ms" >"$out/worker_starts.csv"
	echo "nobody there,$(starts "$((worker_starts / 5))" 3 | middle_and_most)" >>"$out/worker_starts.csv"
	echo "executor there,$(starts "$worker_starts" 0 | middle_and_most)" >>"$out/worker_starts.csv"
	cat "$out/worker_starts.csv"
}

# Tasks per second, of each tenth of the queue.
measure_claims() {
	sql worker -o /dev/null -v n="$worker_tasks" <<-'SQL'
		SELECT count(idem_import_submit('tiny', (1000000 + g)::text)) FROM generate_series(1, :n) g;
	SQL
	sql worker -o /dev/null -c "SELECT idem_import_wait(max(task)) FROM idem_import_queue"
	echo "tenth,tasks_per_second" >"$out/worker_claims.csv"
	sql worker -v n="$worker_tasks" >>"$out/worker_claims.csv" <<-'SQL'
		SELECT tenth, round(count(*) / extract(epoch FROM max(finished_at) - min(finished_at)))
		FROM (SELECT finished_at, ntile(10) OVER (ORDER BY finished_at) AS tenth FROM idem_import_queue WHERE scope::int > 1000000) t
		GROUP BY tenth ORDER BY tenth;
	SQL
	cat "$out/worker_claims.csv"
}

# Ticks of all cores so far: busy, and all.
ticks() {
	awk '/^cpu / { print $2 + $3 + $4 + $7 + $8, $2 + $3 + $4 + $5 + $6 + $7 + $8 }' /proc/stat
}

# Runs standard input in database "worker"; writes a line for contender $1: seconds, share of the cores.
fill_with() {
	local begin busy all busy_after all_after
	sql worker -o /dev/null -c 'CHECKPOINT'
	read -r busy all < <(ticks)
	begin=$(date +%s.%N)
	sql worker -o /dev/null -v units="$worker_units"
	read -r busy_after all_after < <(ticks)
	echo "$round,$1,$(minus "$(date +%s.%N)" "$begin"),$(awk -v b=$((busy_after - busy)) -v a=$((all_after - all)) \
		'BEGIN { printf "%.2f", b / a }')" | tee -a "$out/worker.csv"
}

measure_fills() {
	local round
	echo "round,contender,seconds,share_of_cores" >"$out/worker.csv"
	for ((round = 1; round <= rounds; round++)); do
		sql worker -o /dev/null -c 'TRUNCATE by_worker, by_hand'
		fill_with backfill <<-'SQL'
			SELECT idem_import_backfill('days', '2020-01-01', (date '2020-01-01' + :units - 1)::text, reprocess => 'all') AS backfill \gset
			SELECT idem_import_wait(:backfill);
		SQL
		fill_with on_conflict <<-'SQL'
			SELECT format('INSERT INTO by_hand SELECT * FROM source WHERE day = %L ON CONFLICT (day, id) DO UPDATE '
				'SET note = excluded.note, amount = excluded.amount', date '2020-01-01' + u) FROM generate_series(0, :units - 1) u \gexec
		SQL
		[ "$(sql worker -c "SELECT NOT EXISTS (TABLE by_worker EXCEPT TABLE by_hand)
			AND (SELECT count(*) FROM by_worker) = (SELECT count(*) FROM by_hand)")" = t ] || fail "the tables differ"
	done
}

measure_worker() {
	prepare_worker
	measure_starts
	measure_claims
	measure_fills
}
