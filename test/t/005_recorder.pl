# The recorder: failures are kept although their transaction rolls back, the
# caller gets his own error, and nothing needs preloading.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('recorder');
$node->init;
$node->append_conf('postgresql.conf', "max_worker_processes = 4\nmax_parallel_workers = 4");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE src (id int, v text);
CREATE TABLE dst (id int PRIMARY KEY, v text CHECK (v <> 'bad'));
CREATE TABLE many (id int, v text);
INSERT INTO src VALUES (1, 'bad');
INSERT INTO many SELECT NULL, repeat('x', 100) || g FROM generate_series(1, 20000) g;
SELECT idem_import_create('bad', 'src', 'dst', key => '{id}');
SELECT idem_import_create('many', 'many', 'dst', key => '{id}');
SQL
is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'), '', 'nothing is preloaded');

sub ledger
{
	my ($import) = @_;
	return $node->safe_psql('postgres', "SELECT status, attempts, sqlstate, receipt_run_id FROM idem_import_ledger WHERE import = '$import'");
}

sub history
{
	my ($import) = @_;
	return $node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE status = 'failed'), max(sqlstate) FROM idem_import_history WHERE import = '$import'");
}

sub fails
{
	my ($sql, $pattern, $name) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0);
	like($err, $pattern, "$name: the error");
	return $err;
}

# plainly
my $err = fails("SELECT idem_import_run('bad')", qr/violates check constraint/, 'alone');
unlike($err, qr/WARNING/, 'alone: no warning');
like($err, qr/CONTEXT:.*import "bad", unit "\*", batch 1/s, 'alone: the context');
is(ledger('bad'), 'failed|1|II004|', 'alone: the ledger');
is(history('bad'), '1|1|II004', 'alone: the history');

# in a transaction, rolled back, or caught
fails("BEGIN; INSERT INTO src VALUES (2, 'good'); SELECT idem_import_run('bad'); ROLLBACK", qr/violates check/, 'in a transaction');
is(ledger('bad'), 'failed|2|II004|', 'in a transaction: the ledger');
is($node->safe_psql('postgres', 'SELECT count(*) FROM src'), '1', 'in a transaction: the rest is rolled back');
fails("DO \$\$BEGIN PERFORM idem_import_run('bad'); EXCEPTION WHEN SQLSTATE 'II004' THEN RAISE NOTICE 'caught'; END\$\$", qr/caught/, 'caught');
is(ledger('bad'), 'failed|3|II004|', 'caught: the ledger');
fails("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT idem_import_run('bad'); COMMIT", qr/violates check/, 'serializable');
is(ledger('bad'), 'failed|4|II004|', 'serializable: the ledger');

# a transaction that holds the row of the ledger which the recorder needs
my $start = time;
fails(<<'SQL', qr/violates check/, 'after a good run in the same transaction');
BEGIN;
DELETE FROM src;
INSERT INTO src VALUES (1, 'good');
SELECT status FROM idem_import_run('bad');
UPDATE src SET v = 'bad';
SELECT status FROM idem_import_run('bad');
ROLLBACK;
SQL
cmp_ok(time - $start, '<', 6, 'after a good run: it does not wait for itself');
$node->poll_query_until('postgres', "SELECT attempts = 5 FROM idem_import_ledger WHERE import = 'bad'")
	or fail('after a good run: recorded late');
is(ledger('bad'), 'failed|5|II004|', 'after a good run: the ledger');

# rejects go along, more than the queue holds
fails("SELECT idem_import_run('many')", qr/too many rejects: 20000 of 20000/, 'many rejects');
is(ledger('many'), 'failed|1|II004|', 'many rejects: the ledger');
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT \"row\" ->> 'v') FROM idem_import_reject WHERE import = 'many'"), '20000|20000', 'many rejects: all kept');

# canceled by statement_timeout, while it waits for a row
{
	my ($in, $out, $stderr) = ('', '', '');
	my $h = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$stderr);
	$in = "UPDATE src SET v = 'good'; BEGIN; INSERT INTO dst VALUES (1, 'theirs'); SELECT 'held';\n";
	$h->pump until $out =~ /held/;
	fails("SET statement_timeout = '300ms'; SELECT idem_import_run('bad')", qr/canceling statement due to statement timeout/, 'statement_timeout');
	is(ledger('bad'), 'failed|6|57014|', 'statement_timeout: the ledger');
	fails("SET lock_timeout = '300ms'; SELECT idem_import_run('bad')", qr/canceling statement due to lock timeout/, 'lock_timeout');
	is(ledger('bad'), 'failed|7|55P03|', 'lock_timeout: the ledger');
	$in .= "COMMIT;\n\\q\n";
	$h->finish;
}
is($node->safe_psql('postgres', "SELECT status, updated FROM idem_import_run('bad')"), 'applied|1', 'then it goes through');
like(ledger('bad'), qr/^applied\|8\|\|\d+$/, 'the ledger forgets the failure');
is(history('bad'), '8|7|II004', 'the history does not');

# a database whose defaults forbid what the recorder does
$node->safe_psql('postgres', <<'SQL');
UPDATE src SET v = 'bad';
ALTER DATABASE postgres SET statement_timeout = '1ms';
ALTER DATABASE postgres SET default_transaction_isolation = 'serializable';
SQL
fails("SET statement_timeout = 0; SELECT idem_import_run('bad')", qr/violates check/, 'odd defaults');
$node->safe_psql('postgres', "SET statement_timeout = 0; ALTER DATABASE postgres RESET ALL");
is(ledger('bad'), 'failed|9|II004|' . $node->safe_psql('postgres', "SELECT receipt_run_id FROM idem_import_ledger WHERE import = 'bad'"), 'odd defaults: the ledger');

# no right to connect, no right to our tables: the recorder writes as itself
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE nobody LOGIN CONNECTION LIMIT 1;
CREATE SCHEMA AUTHORIZATION nobody;
CREATE TABLE nobody.dst (id int PRIMARY KEY, v text CHECK (v <> 'bad'));
ALTER TABLE nobody.dst OWNER TO nobody;
CREATE TABLE nobody.src AS SELECT 1 AS id, 'bad' AS v;
ALTER TABLE nobody.src OWNER TO nobody;
SET ROLE nobody;
SELECT idem_import_create('nobody', 'nobody.src', 'nobody.dst', key => '{id}');
SQL
fails("SET ROLE nobody; SELECT idem_import_run('nobody')", qr/violates check/, 'a plain user');
is(ledger('nobody'), 'failed|1|II004|', 'a plain user: the ledger');
is($node->safe_psql('postgres', "SELECT who FROM idem_import_history WHERE import = 'nobody'"), 'nobody', 'a plain user: the history');

# read-only callers want no writes
my $attempts = $node->safe_psql('postgres', "SELECT sum(attempts) FROM idem_import_ledger");
fails("BEGIN READ ONLY; SELECT idem_import_run('bad'); ROLLBACK", qr/read-only transaction/, 'read only');
is($node->safe_psql('postgres', "SELECT sum(attempts) FROM idem_import_ledger"), $attempts, 'read only: nothing is recorded');

# many at once
my @load = map {
	my $n = $_;
	IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), (map { ('-c', "SELECT idem_import_run('bad')") } 1 .. 5) ],
		'>', \my $o, '2>', \my $e)
} 1 .. 6;
$_->finish for @load;
my $recorded = $node->safe_psql('postgres', "SELECT attempts - 9 FROM idem_import_ledger WHERE import = 'bad'");
is($recorded, '30', 'six sessions failing at once: all recorded');

# no worker left
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
$start = time;
$err = fails("SELECT idem_import_run('bad')", qr/DETAIL:  .*new row for relation "dst" violates check constraint/, 'no worker');
like($err, qr/WARNING:  could not record the failure of import "bad": out of background worker slots/, 'no worker: a warning');
cmp_ok(time - $start, '<', 4, 'no worker: soon');
is($node->safe_psql('postgres', "UPDATE src SET v = 'good'; SELECT status FROM idem_import_run('bad')"), 'skipped', 'no worker: good runs need none');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
$node->stop;
done_testing();
