# Trouble that does not end: a scheduler that fails whenever it looks does not
# keep the server busy, and is back once what it stumbles over is mended.  And
# whoever cancels at an awkward moment has canceled all the same.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = PostgreSQL::Test::Cluster->new('trouble');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'idem_import'
idem_import.max_workers = 4
max_worker_processes = 16
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE src AS SELECT g AS id FROM generate_series(1, 300) g;
CREATE TABLE dst (id int PRIMARY KEY);
SELECT idem_import_create('one', 'src', 'dst', key => '{id}');
SQL

my $offset = -s $node->logfile;
my $task = $node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT idem_import_submit('one');
ALTER TABLE idem_import_queue RENAME COLUMN run_after TO elsewhere;
COMMIT;
SQL
sleep(4);
my @failures = slurp_file($node->logfile, $offset) =~ /"idem_import scheduler" \(PID \d+\) exited with exit code 1/g;
cmp_ok(scalar(@failures), '>=', 2, 'a scheduler that fails is started again');
cmp_ok(scalar(@failures), '<=', 5, 'and again, but not for all the time there is');
$node->safe_psql('postgres', 'ALTER TABLE idem_import_queue RENAME COLUMN elsewhere TO run_after');
is($node->safe_psql('postgres', "SELECT idem_import_wait($task, '30 s')"), 'done', 'and does its work as soon as it can');

# one that was told to go is back at once
my $scheduler = "FROM pg_stat_activity WHERE backend_type = 'idem_import scheduler'";
my $waits = $node->safe_psql('postgres', "SELECT idem_import_submit('one', run_after => clock_timestamp() + '2 s')");
for (1 .. 6)
{
	$node->poll_query_until('postgres', "SELECT count(*) = 1 $scheduler");
	$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid), pg_terminate_backend(pid, 5000) $scheduler");
}
is($node->safe_psql('postgres', "SELECT idem_import_wait($waits, '5 s')"), 'done', 'a scheduler that is terminated comes back at once');

# users press the key more than once
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE slow (id int PRIMARY KEY);
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(30); RETURN NULL; END$$;
CREATE TRIGGER t AFTER INSERT ON slow FOR EACH STATEMENT EXECUTE FUNCTION be_slow();
SELECT idem_import_create('slow', 'SELECT id FROM src WHERE id = $1', 'slow', key => '{id}', scope => '{id}');
SELECT idem_import_backfill('slow', '1', '300');
SQL
$offset = -s $node->logfile;
my $script = $node->basedir . '/cancel.sql';
append_to_file($script, "SELECT count(idem_import_cancel(task)) FROM idem_import_queue WHERE status = 'running';\n");
$node->command_ok([ 'pgbench', '-n', '-f', $script, '-c', '4', '-T', '2', 'postgres' ], 'canceled again and again');
$node->safe_psql('postgres', "SELECT idem_import_cancel(backfill) FROM idem_import_backfills WHERE import = 'slow'");
ok($node->poll_query_until('postgres', "SELECT status = 'cancelled' FROM idem_import_backfills WHERE import = 'slow'"), 'they are');
is($node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE attempts > 0) > 10, max(attempts), max(interrupted) FROM idem_import_queue WHERE import = 'slow'"),
	't|1|0', 'each at the first time');
unlike(slurp_file($node->logfile, $offset), qr/"idem_import executor" .* exited with exit code 1/, 'without an executor that ends for it');

# one that is about to be tried again
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE lost (id int PRIMARY KEY);
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE serialization_failure; END$$;
CREATE TRIGGER t AFTER INSERT ON lost FOR EACH STATEMENT EXECUTE FUNCTION lose();
SELECT idem_import_create('lost', 'SELECT id FROM src WHERE id = $1', 'lost', key => '{id}', scope => '{id}', backoff => '1 ms', max_attempts => 100000);
DO $$
DECLARE
	tasks bigint[];
BEGIN
	FOR i IN 1 .. 50 LOOP
		SELECT array_agg(idem_import_submit('lost', n::text)) INTO tasks FROM generate_series(1, 4) n;
		COMMIT;
		PERFORM pg_sleep(0.02 + random() * 0.02);
		PERFORM idem_import_cancel(t) FROM unnest(tasks) t;
		COMMIT;
	END LOOP;
END$$;
SQL
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'idem_import executor'"), 'nobody tries what is canceled');
is($node->safe_psql('postgres', "SELECT status, count(*) > 100, max(attempts) > 1 FROM idem_import_queue WHERE import = 'lost' GROUP BY 1"), 'cancelled|t|t', 'amidst its attempts');
$node->stop;
done_testing();
