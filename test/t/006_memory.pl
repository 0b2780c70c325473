# A million rows: memory does not grow with them, and running again writes
# nothing.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc' if !-r "/proc/$$/status";

my $node = PostgreSQL::Test::Cluster->new('memory');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
shared_buffers = 16MB
work_mem = 4MB
max_parallel_workers_per_gather = 0
max_wal_size = 4GB
checkpoint_timeout = 1h
jit = off
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION idem_import');

# Runs in one session: what they say, by how much the session's peak of
# resident memory grew, and what they left in the WAL.
sub run_measured
{
	my ($call) = @_;
	my $result = $node->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM pg_class;
SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/status') FROM 'VmHWM:\\s+(\\d+)') AS peak \\gset
SELECT pg_current_wal_insert_lsn() AS lsn \\gset
SELECT status, attempted, inserted, updated, unchanged, removed FROM $call;
SELECT pg_current_wal_insert_lsn() - :'lsn';
SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/status') FROM 'VmHWM:\\s+(\\d+)')::int - :peak;
SQL
	my (undef, $counts, $wal, $grown) = split /\n/, $result;
	return ($counts, $wal, $grown / 1024);
}

my %grown;
for my $rows (100_000, 1_000_000)
{
	my $n = $rows / 1000;
	$node->safe_psql('postgres', <<"SQL");
CREATE TABLE src_$n AS SELECT g AS id, 'customer number ' || g AS name, g % 1000 AS amount, timestamptz '2026-01-01' + g * interval '1 second' AS at
FROM generate_series(1, $rows) g;
CREATE TABLE dst_$n (id int PRIMARY KEY, name text, amount int, at timestamptz);
ANALYZE src_$n;
SELECT idem_import_create('m$n', 'src_$n', 'dst_$n', key => '{id}', delete_missing => true);
CREATE TABLE log_$n (LIKE dst_$n);
SELECT idem_import_create('l$n', 'src_$n', 'log_$n', mode => 'overwrite', delete_limit => NULL);
SQL
	my ($counts, $wal, $grown) = run_measured("idem_import_run('m$n')");
	is($counts, "applied|$rows|$rows|0|0|0", "$rows rows: load");
	$grown{load}{$rows} = $grown;
	note(sprintf('load: %d MB of WAL, %.1f MB of memory', $wal / 1e6, $grown));
	$node->safe_psql('postgres', "VACUUM ANALYZE dst_$n; CHECKPOINT");

	($counts, $wal, $grown) = run_measured("idem_import_run('m$n')");
	is($counts, "skipped|$rows|0|0|$rows|0", "$rows rows: skipped");
	cmp_ok($wal, '<', 50_000, "$rows rows: skipped, and $wal bytes of WAL");
	$grown{skip}{$rows} = $grown;

	($counts, $wal, $grown) = run_measured("idem_import_run('m$n', force => true)");
	is($counts, "skipped|$rows|0|0|$rows|0", "$rows rows: by force");
	cmp_ok($wal, '<', 50_000, "$rows rows: by force, and $wal bytes of WAL");
	$grown{force}{$rows} = $grown;
	is($node->safe_psql('postgres', "SELECT count(*) FROM dst_$n WHERE xmin::text <> (SELECT xmin::text FROM dst_$n LIMIT 1)"), '0', "$rows rows: no row is another version");

	$node->safe_psql('postgres', "UPDATE src_$n SET amount = amount + 1 WHERE id % 2 = 0; DELETE FROM src_$n WHERE id % 5 = 1; CHECKPOINT");
	my ($attempted, $updated, $removed) = ($rows * 4 / 5, $rows / 2 - $rows / 10, $rows / 5);
	($counts, $wal, $grown) = run_measured("idem_import_run('m$n')");
	is($counts, join('|', 'applied', $attempted, 0, $updated, $attempted - $updated, $removed), "$rows rows: half of them changed");
	$grown{changes}{$rows} = $grown;
	note(sprintf('changes: %d MB of WAL, %.1f MB of memory', $wal / 1e6, $grown));
	is($node->safe_psql('postgres', "SELECT source_checksum = target_checksum FROM idem_import_ledger WHERE import = 'm$n'"), 't', "$rows rows: the same checksum");

	($counts, $wal, $grown) = run_measured("idem_import_run('l$n')");
	is($counts, "applied|$attempted|$attempted|0|0|0", "$rows rows: overwrite without a key");
	$grown{overwrite}{$rows} = $grown;
	($counts, $wal, $grown) = run_measured("idem_import_run('l$n')");
	is($counts, "skipped|$attempted|0|0|$attempted|0", "$rows rows: overwrite, skipped");
	cmp_ok($wal, '<', 50_000, "$rows rows: overwrite, skipped, and $wal bytes of WAL");
}

for my $what (qw(load skip force changes overwrite))
{
	my ($small, $large) = @{ $grown{$what} }{ 100_000, 1_000_000 };
	note(sprintf('%s: %.1f MB for 100000 rows, %.1f MB for 1000000', $what, $small, $large));
	cmp_ok($large, '<', 200, "$what: memory");
	cmp_ok($large - $small, '<', 40, "$what: memory is flat");
}

$node->stop;
done_testing();
