# prometheus-postgres-exporter reads idem_import_status by our queries file
use strict;
use warnings;

use File::Basename qw(dirname);
use IPC::Run ();
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $exporter = (grep { system("command -v $_ >/dev/null 2>&1") == 0 } qw(prometheus-postgres-exporter postgres_exporter))[0];
plan skip_all => 'prometheus-postgres-exporter is not installed' unless defined $exporter;

my $queries = dirname(__FILE__) . '/../recipes/postgres_exporter.yaml';
my $node = PostgreSQL::Test::Cluster->new('exporter');
$node->init;
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE ROLE owner;
CREATE ROLE watcher LOGIN IN ROLE owner, pg_monitor;
CREATE ROLE blind LOGIN IN ROLE pg_monitor;
GRANT CREATE ON SCHEMA public TO owner;
SET ROLE owner;
CREATE TABLE stage (u text, id int, v text);
CREATE TABLE goal (u text, id int, v text, PRIMARY KEY (u, id));
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no' USING ERRCODE = '55000'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON goal FOR EACH ROW WHEN (NEW.v = 'bad') EXECUTE FUNCTION refuse();
INSERT INTO stage SELECT u, i, 'v' FROM unnest(ARRAY['a', 'b', 'c']) u, generate_series(1, 10) i;
SELECT idem_import_create('it''s "quoted"', 'stage', 'goal', key => '{u,id}', scope => '{u}', out_of_scope => 'ignore', reject_limit => 10, delete_missing => true, delete_limit => 0);
SELECT idem_import_create('never run', 'stage', 'goal', key => '{u,id}', scope => '{u}');
SELECT count(*) FROM idem_import_run('it''s "quoted"');
INSERT INTO stage VALUES ('a', NULL, 'x'), ('b', 11, 'bad');
DELETE FROM stage WHERE u = 'c';
INSERT INTO stage VALUES ('c', 1, 'v');
SQL
my $import = q('it''s "quoted"');
$node->safe_psql('postgres', "SELECT count(*) FROM idem_import_run($import, 'a')");
$node->psql('postgres', "SELECT count(*) FROM idem_import_run($import, 'b')");
$node->safe_psql('postgres', "SET ROLE owner; INSERT INTO stage SELECT 'c', i, 'v' FROM generate_series(2, 30) i; SELECT count(*) FROM idem_import_run($import, 'c'); DELETE FROM stage WHERE u = 'c'");
$node->psql('postgres', "SELECT count(*) FROM idem_import_run($import, 'c')");
$node->poll_query_until('postgres', "SELECT count(*) = 2 FROM idem_import_ledger WHERE status <> 'applied'") or fail('two units are not well');

# a queue, without a worker: two that wait, one of them for an hour; one that runs, one that failed, one that is dead
$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = error;
SELECT idem_import_submit($import, 'a'), idem_import_submit($import, 'b'), idem_import_submit($import, 'c', run_after => 'infinity'), idem_import_submit($import);
INSERT INTO idem_import_backfill (import, first_unit, last_unit, reprocess, units, submitted_by) VALUES ($import, 'x', 'z', 'all', 3, 'owner');
INSERT INTO idem_import_queue (import, scope, backfill, submitted_by) SELECT $import, u, (SELECT max(backfill) FROM idem_import_backfill), 'owner' FROM unnest(ARRAY['x', 'y', 'z']) u;
UPDATE idem_import_queue SET status = 'failed', finished_at = now() WHERE scope = 'a';
UPDATE idem_import_queue SET status = 'dead', finished_at = now() WHERE scope = 'b';
UPDATE idem_import_queue SET status = 'done', finished_at = now() WHERE scope = 'x';
UPDATE idem_import_queue SET status = 'running' WHERE scope = 'y';
UPDATE idem_import_queue SET created_at = now() - interval '1 hour', run_after = now() - interval '1 hour' WHERE scope IS NULL;
SQL

sub scrape
{
	my ($role) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $page = '';
	local $ENV{DATA_SOURCE_NAME} = sprintf('user=%s host=%s port=%d dbname=postgres sslmode=disable', $role, $node->host, $node->port);
	my ($out, $err) = ('', '');
	my $handle = IPC::Run::start([ $exporter, "--web.listen-address=127.0.0.1:$port", "--extend.query-path=$queries", '--disable-default-metrics', '--disable-settings-metrics' ],
		'>', \$out, '2>', \$err);
	for my $attempt (1 .. 100)
	{
		my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10);
		if ($socket)
		{
			print $socket "GET /metrics HTTP/1.0\r\n\r\n";
			local $/;
			$page = <$socket>;
			last;
		}
		sleep(0.1);
	}
	$handle->kill_kill;
	diag($err) if $page !~ /idem_import/ && $role ne 'blind';
	return $page;
}

# The value of a metric, '' if there is none.
sub value
{
	my ($page, $metric, $import) = @_;
	return $page =~ /^idem_import_\Q$metric\E\{import="\Q$import\E"(?:,[^}]*)?\} (\S+)$/m ? $1 : '';
}

my $page = scrape('watcher');
my $name = 'it\'s \"quoted\"';
is(value($page, 'units', $name), '3', 'units');
is(value($page, 'units_failed', $name), '1', 'failed');
is(value($page, 'units_awaiting_approval', $name), '1', 'awaiting approval');
is(value($page, 'open_rejects', $name), '1', 'open rejects');
is(value($page, 'last_run_ok', $name), '0', 'the last run was no success');
cmp_ok(value($page, 'lag_seconds', $name), '<', 600, 'lag');
cmp_ok(value($page, 'last_success_timestamp_seconds', $name), '>', time - 600, 'last success');
cmp_ok(value($page, 'last_elapsed_seconds', $name), '<', 60, 'elapsed');
is(value($page, 'units', 'never run'), '0', 'never run: no units');
like(value($page, 'lag_seconds', 'never run'), qr/^(NaN)?$/, 'never run: no lag');
is(value($page, 'running', 'never run'), '0', 'nothing is running');
is(value($page, 'queue_pending', $name), '3', 'tasks that wait');
is(value($page, 'queue_running', $name), '1', 'that run');
is(value($page, 'queue_failed', $name), '2', 'that failed or are dead');
cmp_ok(value($page, 'queue_oldest_due_seconds', $name), '>=', 3600, 'for how long one has been due');
cmp_ok(value($page, 'queue_oldest_due_seconds', $name), '<', 4200, 'no longer');
is(value($page, 'backfill_units_left', $name), '2', 'units of the backfill');
is(join(' ', map { value($page, $_, 'never run') } qw(queue_pending queue_running queue_failed queue_oldest_due_seconds backfill_units_left)), '0 0 0 0 0',
	'nothing to do for the other one');
like($page, qr/^# TYPE idem_import_lag_seconds gauge$/m, 'a gauge');
unlike(scrape('blind'), qr/import="/, 'who may not run them does not see them');

$node->stop;
done_testing();
