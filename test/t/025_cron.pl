# pg_cron as the clock: two firings of one import at the same time, and a job
# that fails and shows as failed
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($stdout) = run_command([ 'pg_config', '--pkglibdir' ]);
chomp $stdout;
plan skip_all => 'pg_cron is not installed' unless -e "$stdout/pg_cron.so";

my $node = PostgreSQL::Test::Cluster->new('cron');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'postgres'\n" .
	"cron.host = '" . $node->host . "'\nmax_worker_processes = 16\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_cron;
CREATE EXTENSION idem_import;
CREATE FUNCTION slowly(i int) RETURNS int LANGUAGE plpgsql STABLE COST 1000 AS 'BEGIN PERFORM pg_sleep(0.05); RETURN i; END';
CREATE TABLE stage AS SELECT i AS id, 'v' || i AS v FROM generate_series(1, 60) i;
CREATE TABLE goal (id int PRIMARY KEY, v text);
CREATE TABLE strict (id int PRIMARY KEY, v text CHECK (v <> 'v7'));
SELECT idem_import_create('both', 'SELECT slowly(id) AS id, v FROM stage', 'goal', key => '{id}', delete_missing => true);
SELECT idem_import_create('bad', 'stage', 'strict', key => '{id}');
-- all in the same minute, and once
SELECT cron.schedule('first', '* * * * *', $$SELECT idem_import_run('both')$$);
SELECT cron.schedule('second', '* * * * *', $$SELECT idem_import_run('both')$$);
SELECT cron.schedule('failing', '* * * * *', $$SELECT idem_import_run('bad')$$);
SQL

ok($node->poll_query_until('postgres', q{SELECT count(DISTINCT j.jobname) = 3 FROM cron.job_run_details d JOIN cron.job j USING (jobid)}), 'all have fired');
ok($node->poll_query_until('postgres', q{SELECT count(DISTINCT jobid) = 3 FROM cron.job_run_details WHERE end_time IS NOT NULL}), 'all have ended');
# not before: that would cancel them
$node->safe_psql('postgres', q{UPDATE cron.job SET active = false});

sub details
{
	my ($job, $what) = @_;
	return $node->safe_psql('postgres', "SELECT $what FROM cron.job_run_details d JOIN cron.job j USING (jobid) WHERE j.jobname = '$job' AND end_time IS NOT NULL ORDER BY runid LIMIT 1");
}

is(details('first', 'status'), 'succeeded', 'the first firing');
is(details('second', 'status'), 'succeeded', 'the second firing');
is($node->safe_psql('postgres', q{SELECT max(d.start_time) < min(d.end_time) FROM (SELECT DISTINCT ON (jobid) jobid, start_time, end_time FROM cron.job_run_details WHERE end_time IS NOT NULL ORDER BY jobid, runid) d
	JOIN cron.job j USING (jobid) WHERE j.jobname IN ('first', 'second')}), 't', 'they overlapped');
is($node->safe_psql('postgres', q{SELECT string_agg(status || ' ' || inserted || ' ' || unchanged, ', ' ORDER BY run_id) FROM
	(SELECT * FROM idem_import_history WHERE import = 'both' ORDER BY run_id LIMIT 2) h}), 'applied 60 0, skipped 0 60', 'one did the work, the other had nothing to do');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ((TABLE stage EXCEPT TABLE goal) UNION ALL (TABLE goal EXCEPT TABLE stage)) x'), '0', 'the table is as after one');
is($node->safe_psql('postgres', 'SELECT count(*) FROM goal'), '60', 'each row once');

is(details('failing', 'status'), 'failed', 'a failing job shows as failed');
like(details('failing', 'return_message'), qr/too many rejects: 1 of \d+ rows/, 'with its error');
is($node->safe_psql('postgres', q{SELECT status, sqlstate FROM idem_import_ledger WHERE import = 'bad'}), 'failed|II004', 'and is recorded');
is($node->safe_psql('postgres', 'SELECT count(*) FROM strict'), '0', 'nothing was written');

$node->stop;
done_testing();
