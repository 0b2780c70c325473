# Trouble that does not end: a scheduler that fails whenever it looks does not
# keep the server busy, and is back once what it stumbles over is mended.
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
my $waits = $node->safe_psql('postgres', "SELECT idem_import_submit('one', run_after => clock_timestamp() + '1 s')");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 $scheduler"), 'a scheduler');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $scheduler");
is($node->safe_psql('postgres', "SELECT idem_import_wait($waits, '30 s')"), 'done', 'that is terminated comes back');
$node->stop;
done_testing();
