# Workers that were started by hand, each for its own database, share the slots
# of the server as the preloaded one's databases do.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# One slot is that of logical replication.  With two launchers two are left:
# enough for a scheduler and an executor of one of the databases.
my $node = PostgreSQL::Test::Cluster->new('by_hand');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 5\nfsync = off");
$node->start;

my $setup = <<'SQL';
CREATE EXTENSION idem_import;
CREATE TABLE src AS SELECT g AS id FROM generate_series(1, 2000) g;
CREATE TABLE dst (id int PRIMARY KEY);
CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END$$;
CREATE TRIGGER nap AFTER INSERT ON dst EXECUTE FUNCTION nap();
SELECT idem_import_create('ids', 'src', 'dst', key => '{id}', scope => '{id}', slice => '1', out_of_scope => 'ignore');
SQL

sub take_turns
{
	my ($how) = @_;
	my $fill = $node->safe_psql('a', "SELECT idem_import_backfill('ids', '1', '2000', 'all')");
	ok($node->poll_query_until('a', "SELECT done > 10 FROM idem_import_backfills WHERE backfill = $fill"), "$how: a long backfill");
	for my $turn (1 .. 2)
	{
		my $done = $node->safe_psql('a', "SELECT done FROM idem_import_backfills WHERE backfill = $fill");
		my $task = $node->safe_psql('b', "SELECT idem_import_submit('ids', '$turn')");
		is($node->safe_psql('b', "SELECT idem_import_wait($task, '12 s')"), 'done', "another database has turn $turn");
		ok($node->poll_query_until('a', "SELECT done > $done FROM idem_import_backfills WHERE backfill = $fill"), 'and gives it back');
	}
	is($node->safe_psql('a', "SELECT status FROM idem_import_backfills WHERE backfill = $fill"), 'running', 'before all is done');
	is($node->safe_psql('a', "SELECT idem_import_cancel($fill)"), 't', 'the rest is canceled');
	is($node->safe_psql('a', "SELECT idem_import_wait($fill, '10 s')"), 'cancelled', 'all of it');
	return;
}

# What databases leave behind that nobody serves, or no more, takes no room.
$node->safe_psql('postgres', "CREATE DATABASE $_") for 'a', 'b';
$node->safe_psql($_, $setup) for 'a', 'b';
for my $worker ('', 'SELECT pg_terminate_backend(idem_import_worker_start(), 5000);')
{
	$node->safe_psql('postgres', <<SQL) for 1 .. 70;
CREATE DATABASE x TEMPLATE b;
\\c x
SELECT idem_import_submit('ids', '1', run_after => now() + '1 day');
$worker
\\c postgres
DROP DATABASE x WITH (FORCE);
SQL
	like($node->safe_psql('b', 'SELECT idem_import_worker_start()'), qr/^\d+$/, 'a worker is started after many databases' . ($worker eq '' ? '' : ' with workers'));
	$node->safe_psql('b', 'SELECT pg_terminate_backend(idem_import_worker_start(), 5000)');
}

for my $db ('a', 'b')
{
	$node->safe_psql($db, 'SELECT idem_import_worker_start()');
}
take_turns('two by hand');

# Beside the preloaded one, which serves the other.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'idem_import'\nidem_import.databases = 'b'");
$node->restart;
$node->safe_psql('a', 'SELECT idem_import_worker_start()');
take_turns('one by hand');

$node->append_conf('postgresql.conf', "idem_import.databases = 'a'");
$node->restart;
$node->safe_psql('b', 'SELECT idem_import_worker_start()');
take_turns('the other by hand');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
$node->stop;
done_testing();
