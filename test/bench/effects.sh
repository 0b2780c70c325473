# effects.sh: how many effects per second go through claim and done, beside plain SQL; sourced by bench.sh
#
# The plain contender is a queue as one writes it by hand: FOR UPDATE SKIP LOCKED over
# a partial index, a token, a lease; its senders check no rights and know one kind.
# Both tables hold a million rows that are done.
# shellcheck shell=bash disable=SC2154

effects_done=${BENCH_EFFECTS_DONE:-1000000}
effects_each=${BENCH_EFFECTS:-8000}

prepare_effects() {
	sql postgres -o /dev/null -c 'CREATE DATABASE effects'
	sql effects -o /dev/null -v done="$effects_done" <<-'SQL'
		CREATE EXTENSION idem_import;
		CREATE TABLE plain (key text PRIMARY KEY, payload jsonb, status text NOT NULL, due_at timestamptz,
			attempt int NOT NULL DEFAULT 0, token uuid, result jsonb, done_at timestamptz);
		CREATE INDEX ON plain (due_at) WHERE status IN ('pending', 'claimed');
		INSERT INTO plain (key, payload, status, done_at) SELECT 'old ' || g, '{}', 'done', now() FROM generate_series(1, :done) g;
		INSERT INTO idem_import_effect (key, kind, payload, status, owner, done_at)
		SELECT 'old ' || g, 'bench', '{}', 'done', current_user::regrole, now() FROM generate_series(1, :done) g;
		VACUUM ANALYZE plain, idem_import_effect;
	SQL
	cat >"$scratch/plain.sql" <<-'SQL'
		UPDATE plain SET status = 'claimed', due_at = now() + interval '1 minute', attempt = attempt + 1, token = gen_random_uuid()
		WHERE key = (SELECT key FROM plain WHERE status IN ('pending', 'claimed') AND due_at <= now()
			ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING key AS k, token AS t \gset
		UPDATE plain SET status = 'done', due_at = NULL, done_at = now() WHERE key = :k AND token = :t AND status = 'claimed'
	SQL
	cat >"$scratch/idem_import.sql" <<-'SQL'
		SELECT key AS k, token AS t FROM idem_import_effect_claim('bench') \gset
		SELECT idem_import_effect_done(:k, :t)
	SQL
}

# $1: round
add_effects() {
	sql effects -o /dev/null -v round="$1" -v n="$effects_each" <<-'SQL'
		INSERT INTO plain (key, payload, status, due_at) SELECT :'round' || ' ' || g, '{}', 'pending', clock_timestamp() FROM generate_series(1, :n) g;
		SELECT count(idem_import_effect_add(:'round' || ' ' || g, 'bench', '{}')) FROM generate_series(1, :n) g;
		ANALYZE plain, idem_import_effect;
		CHECKPOINT;
	SQL
}

# $1: contender, $2: clients; prints effects per second
measure_sender() {
	as_user pgbench -n -M prepared -c "$2" -j 2 -t $((effects_each / $2)) -f "$scratch/$1.sql" effects 2>&1 |
		awk '/^tps/ { tps = $3 } END { printf "%.0f", tps }'
}

measure_effects() {
	local clients round plain ours
	command -v pgbench >/dev/null || fail "no pgbench beside the server's programs"
	prepare_effects
	echo "clients,round,plain,idem_import,ratio" >"$out/effects.csv"
	for clients in 1 4 16; do
		for ((round = 1; round <= rounds; round++)); do
			add_effects "$clients $round"
			plain=$(measure_sender plain "$clients")
			ours=$(measure_sender idem_import "$clients")
			[ "$(sql effects -c "SELECT count(*) FROM idem_import_effect WHERE status <> 'done'")" = 0 ] ||
				fail "effects are left over"
			echo "$clients,$round,$plain,$ours,$(awk -v a="$ours" -v b="$plain" 'BEGIN { printf "%.2f", a / b }')" |
				tee -a "$out/effects.csv"
		done
	done
}
