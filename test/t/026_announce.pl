# Lines in the server's log and notifications: asked for, committed, once
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('announce');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 2\nlog_min_messages = warning\nlog_statement = none");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE ROLE owner;
GRANT CREATE ON SCHEMA public TO owner;
SET ROLE owner;
CREATE TABLE stage (u text, id int);
INSERT INTO stage VALUES ('a', 1), ('a', 2), ('b', 3);
CREATE TABLE goal (u text, id int CHECK (id < 100), PRIMARY KEY (u, id));
SELECT idem_import_create('it''s "quoted"', 'stage', 'goal', key => '{u,id}', scope => '{u}', out_of_scope => 'ignore');
SELECT idem_import_create('told', 'stage', 'goal', key => '{u,id}', scope => '{u}', out_of_scope => 'ignore', settings => '{"idem_import.notify": "on"}');
SQL
my $import = q{'it''s "quoted"'};

# What psql prints of notifications that come in while it runs the commands.
sub heard
{
	my @commands = @_;
	my ($rc, $out, $err) = $node->psql('postgres', join("\n", 'LISTEN idem_import_unit;', @commands));
	return map { s/"run_id": \d+/"run_id": N/r } $out =~ /^Asynchronous notification "idem_import_unit" with payload "(.*)" received/mg;
}

# The lines that a command leaves in the log.
sub logged
{
	my ($sql) = @_;
	my $offset = -s $node->logfile;
	my ($rc, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 0);
	my @lines = map { s/.*(import ".*run )\d+:/$1N:/r =~ s/, [0-9.]+ ms$//r =~ s/.*DETAIL:  //r }
		grep { /LOG:  import|DETAIL:  attempted/ } split(/\n/, slurp_file($node->logfile, $offset));
	unlike($out . $err, qr/run \d+: /, 'not sent to the client');
	return @lines;
}

# nothing unless it is asked for
is_deeply([ heard("SELECT idem_import_run($import);") ], [], 'no notifications');
is_deeply([ logged("SELECT idem_import_run($import, force => true)") ], [], 'no lines');

# NOTIFY: a unit each, when it is committed
$node->safe_psql('postgres', "INSERT INTO stage VALUES ('b', 4)");
my @payloads = heard('SET idem_import.notify = on;', "SELECT idem_import_run($import);");
is_deeply(\@payloads, [
	'{"import": "it\'s \"quoted\"", "unit": "a", "status": "skipped", "run_id": N}',
	'{"import": "it\'s \"quoted\"", "unit": "b", "status": "applied", "run_id": N}' ], 'a notification for each unit');
is($node->safe_psql('postgres', "SELECT '$_'::jsonb ->> 'unit'"), /"a"/ ? 'a' : 'b', 'it is JSON') for map { s/'/''/gr =~ s/: N/: 1/r } @payloads;
is_deeply([ heard('SET idem_import.notify = on;', 'BEGIN;', "SELECT idem_import_run($import);", 'ROLLBACK;') ], [], 'none if it is rolled back');
is_deeply([ heard('SET idem_import.notify = on;', "SELECT idem_import_prove($import, 'a');", "SELECT count(*) FROM idem_import_plan($import, 'a');") ], [],
	'none for a proof or a plan');
$node->safe_psql('postgres', "INSERT INTO stage VALUES (repeat(E'\\001', 1000), 1)");
like(join('', heard('SET idem_import.notify = on;', "SELECT idem_import_run($import, repeat(E'\\001', 1000));")), qr/"unit": "(\\u0001){1000}"/, 'the longest unit there is');
$node->safe_psql('postgres', 'DELETE FROM stage WHERE length(u) > 1');

# an import may ask for it by its settings
like(join('', heard("SELECT idem_import_run('told', 'a');")), qr/"import": "told", "unit": "a"/, 'by the settings of an import');

# the log
is_deeply([ logged("SET idem_import.log_runs = on; SELECT idem_import_run($import)") ], [
	'import "it\'s "quoted"", unit "a", run N: skipped',
	'attempted 2, inserted 0, updated 0, unchanged 2, stale 0, collapsed 0, rejected 0, deleted 0, removed 0',
	'import "it\'s "quoted"", unit "b", run N: skipped',
	'attempted 2, inserted 0, updated 0, unchanged 2, stale 0, collapsed 0, rejected 0, deleted 0, removed 0' ], 'a line for each unit');
is_deeply([ logged("SET idem_import.log_runs = on; BEGIN; SELECT idem_import_run($import); ROLLBACK") ], [], 'none if it is rolled back');
is(scalar(my @lines = logged("SET idem_import.log_runs = on; BEGIN; SELECT idem_import_run($import, 'a'); SAVEPOINT s; SELECT idem_import_run($import, 'b');
	SAVEPOINT t; SELECT idem_import_run($import, 'b'); RELEASE t; ROLLBACK TO s; COMMIT")), 2, 'but for what is not rolled back');
is(scalar(@lines = logged("SET idem_import.log_runs = on; BEGIN; SELECT idem_import_run($import, 'a'); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'")), 2, 'prepared');
my ($rc, $out, $err) = $node->psql('postgres', 'SELECT idem_import_hash(1); SET ROLE owner; SET idem_import.log_runs = on');
like($err, qr/permission denied to set parameter "idem_import.log_runs"/, 'who may not write the log may not have it written');

# failures are announced by whoever records them
$node->safe_psql('postgres', "INSERT INTO stage VALUES ('b', 100)");
my @failed = logged("SET idem_import.log_runs = on; SELECT idem_import_run($import, 'b')");
$node->poll_query_until('postgres', "SELECT status = 'failed' FROM idem_import_ledger WHERE unit = 'b' AND import = $import");
like($failed[0] // '', qr/unit "b", run N: failed: too many rejects: 1 of 3 rows/, 'a failure is logged with its run');
($rc, $out, $err) = $node->psql('postgres', "\\set ON_ERROR_STOP off\nLISTEN idem_import_unit;\nSET idem_import.notify = on;\nSELECT idem_import_run($import, 'b');\nSELECT pg_sleep(2);", on_error_stop => 0);
like($out, qr/"unit": "b", "status": "failed", "run_id": \d+/, 'and notified');

$node->stop;
done_testing();
