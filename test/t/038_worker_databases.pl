# The worker, with more databases that have tasks for later than it can keep in
# mind in shared memory.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $databases = 66;

my $node = PostgreSQL::Test::Cluster->new('databases');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'idem_import'
max_worker_processes = 16
idem_import.max_workers = 4
idem_import.databases = 'none'
fsync = off
CONF
$node->start;

# copies of a database, each with a task for tomorrow
$node->safe_psql('postgres', 'CREATE DATABASE d0');
$node->safe_psql('d0', <<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE dst (id int PRIMARY KEY);
SELECT idem_import_create('one', 'SELECT 1 AS id', 'dst', key => '{id}');
SELECT idem_import_create('two', 'SELECT 2 AS id', 'dst', key => '{id}');
SELECT idem_import_submit('one', run_after => now() + '1 day');
SQL
$node->safe_psql('postgres', "CREATE DATABASE d$_ TEMPLATE d0") for 1 .. $databases - 1;
$node->append_conf('postgresql.conf', "idem_import.databases = ''\n");
$node->restart;
# time to look at each of them
sleep(4);

# a task that is due at once, in whichever of them
for my $n (0, 20, 40, 63 .. $databases - 1)
{
	my $task = $node->safe_psql("d$n", "SELECT idem_import_submit('two')");
	is($node->safe_psql("d$n", "SELECT idem_import_wait($task, '20 s')"), 'done', "a task of database $n is run");
}

# and those for later are not forgotten
for my $n (1, $databases - 1)
{
	my $task = $node->safe_psql("d$n", "SELECT idem_import_submit('one', run_after => clock_timestamp() + '3 s')");
	$node->safe_psql("d$_", "SELECT idem_import_submit('two')") for 2, 30, 50;
	is($node->safe_psql("d$n", "SELECT idem_import_wait($task, '20 s')"), 'done', "one of database $n, at its time");
}
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
$node->stop;
done_testing();
