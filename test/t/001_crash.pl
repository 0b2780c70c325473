# Kill -9 in the middle of a run, at random moments: the backend; the
# postmaster, with the backend or leaving it an orphan; or all of them, by an
# immediate shutdown.  Whatever it hits, the target holds what it held before or what the
# run makes of it, the ledger says which, and running again ends at the same
# rows, once.
#
# Rerun a failure with IDEM_CRASH_SEED=<the seed that was printed>.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $crashes = $ENV{IDEM_CRASHES} // 50;
my $seed = $ENV{IDEM_CRASH_SEED} // int(time * 1000) % 1_000_000;
srand($seed);
note("seed $seed");

my $rows = 30000;
my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
restart_after_crash = on
max_wal_size = 1GB
CONF
$node->start;

# Each mode: what is there before, what the source says, and the rows after.
# The base tables are copied for each crash, so that every run has work to do.
$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION idem_import;

CREATE TABLE merge_base AS SELECT g AS id, 'old ' || g AS v, g % 7 AS w FROM generate_series(1, $rows) g;
CREATE TABLE merge_src AS
	SELECT g AS id, CASE WHEN g % 2 = 0 THEN 'new ' ELSE 'old ' END || g AS v, g % 7 AS w, g % 10 = 3 AS gone
	FROM generate_series($rows / 4, $rows + $rows / 2) g;
CREATE TABLE merge_dst (id int PRIMARY KEY, v text, w int);
CREATE INDEX ON merge_dst (v);
CREATE TABLE merge_after AS
	SELECT id, v, w FROM merge_base WHERE id < $rows / 4
	UNION ALL SELECT id, v, w FROM merge_src WHERE NOT gone;

CREATE TABLE insert_base AS SELECT g AS id, 'old ' || g AS v FROM generate_series(1, $rows, 3) g;
CREATE TABLE insert_src AS SELECT g AS id, 'new ' || g AS v FROM generate_series(1, $rows * 2) g;
CREATE TABLE insert_dst (id int PRIMARY KEY, v text);
CREATE INDEX ON insert_dst (v);
CREATE TABLE insert_after AS
	SELECT * FROM insert_base UNION ALL SELECT * FROM insert_src s WHERE NOT EXISTS (SELECT FROM insert_base b WHERE b.id = s.id);

CREATE TABLE slices_base AS SELECT '2026-01-01'::date + g % 10 AS day, g AS n, 'old ' || g AS v FROM generate_series(1, $rows) g;
CREATE TABLE slices_src AS SELECT '2026-01-04'::date + g % 10 AS day, g AS n, 'new ' || g AS v FROM generate_series(1, $rows) g;
CREATE TABLE slices_dst (day date, n int, v text);
CREATE INDEX ON slices_dst (day);
CREATE TABLE slices_after AS
	SELECT * FROM slices_base WHERE day < '2026-01-04' UNION ALL SELECT * FROM slices_src;

SQL

my %create = (
	merge => q{idem_import_create('merge', 'merge_src', 'merge_dst', key => '{id}', delete_flag => 'gone')},
	insert => q{idem_import_create('insert', 'insert_src', 'insert_dst', mode => 'insert_only', key => '{id}')},
	slices => q{idem_import_create('slices', 'slices_src', 'slices_dst', mode => 'overwrite',
		scope => '{day}', slice => '2 days', delete_limit => NULL)});
my %columns = (merge => 'id, v, w', insert => 'id, v', slices => 'day, n, v');

sub reset_target
{
	my ($mode) = @_;
	$node->safe_psql('postgres', <<"SQL");
TRUNCATE ${mode}_dst;
INSERT INTO ${mode}_dst SELECT * FROM ${mode}_base;
SELECT idem_import_drop(name, purge => true) FROM idem_import_definition WHERE name = '$mode';
SELECT $create{$mode};
SQL
	return;
}

sub checksum
{
	my ($mode, $table) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*) || ' ' || idem_import_checksum(idem_import_hash($columns{$mode})) FROM $table");
}

# What the ledger vouches for, summed over its units, is what the target holds
# there; and the history's counts add up.
sub wrong_receipts
{
	my ($mode) = @_;
	my $where = $mode eq 'slices' ? q{day >= l.unit_from AND day < l.unit_to} : 'true';
	return $node->safe_psql('postgres', <<"SQL");
SELECT count(*)
FROM (SELECT l.*, h.lower_bound::date AS unit_from, h.upper_bound::date AS unit_to
	FROM idem_import_ledger l JOIN idem_import_history h ON h.run_id = l.receipt_run_id
	WHERE l.import = '$mode') l,
LATERAL (SELECT count(*) AS n, idem_import_checksum(idem_import_hash($columns{$mode})) AS sum FROM ${mode}_dst WHERE $where) t
WHERE (l.target_rows, l.target_checksum) IS DISTINCT FROM (t.n, t.sum)
SQL
}

sub wrong_counts
{
	my ($mode) = @_;
	return $node->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM idem_import_history
WHERE import = '$mode' AND attempted <> inserted + updated + unchanged + stale + collapsed + rejected + deleted
SQL
}

my %run = map { $_ => "SELECT count(*) FROM idem_import_run('$_')" } qw(merge insert slices);
my (%before, %after, %duration);

for my $mode (qw(merge insert slices))
{
	reset_target($mode);
	$before{$mode} = checksum($mode, "${mode}_dst");
	$after{$mode} = checksum($mode, "${mode}_after");
	$duration{$mode} = $node->safe_psql('postgres',
		"SELECT extract(epoch FROM clock_timestamp() - statement_timestamp()) FROM ($run{$mode}) r");
	is(checksum($mode, "${mode}_dst"), $after{$mode}, sprintf('%s without a crash, %.2f s', $mode, $duration{$mode}));
}

# Send a run off, and wait until it has begun.
sub start_run
{
	my ($mode) = @_;
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT pg_backend_pid()', '-c', $run{$mode} ],
		'>', \$out, '2>', \$err);
	$h->pump until $out =~ /(\d+)\n/;
	return ($h, $1);
}

sub wait_for_server
{
	for (1 .. 600)
	{
		usleep(50_000);
		return if $node->psql('postgres', 'SELECT 1') == 0;
	}
	die 'server did not come back';
}

my %hit;
my @bad;

for my $i (1 .. $crashes)
{
	my $mode = (qw(merge insert slices))[ $i % 3 ];
	my $how = (qw(backend postmaster immediate))[ int(rand 3) ];
	my $fraction = rand(1.05);
	my $label = sprintf('crash %d: %s, %s at %.3f of %.2f s', $i, $mode, $how, $fraction, $duration{$mode});
	my @failed;

	reset_target($mode);
	my ($h, $pid) = start_run($mode);
	usleep(1_000_000 * $fraction * $duration{$mode});
	if ($how eq 'backend')
	{
		kill 'KILL', $pid;
		eval { $h->finish };
		wait_for_server();
	}
	elsif ($how eq 'postmaster')
	{
		$node->kill9;
		kill 'KILL', $pid if rand(2) < 1;
		eval { $h->finish };

		# its children find out by themselves, and hold shared memory until then
		my $started;
		for (1 .. 200)
		{
			$started = !system('pg_ctl', '-w', '-s', '-D', $node->data_dir, '-l', $node->logfile,
				'-o', '--cluster-name=crash', 'start');
			last if $started;
			usleep(50_000);
		}
		die 'postmaster did not start' if !$started;
		$node->_update_pid(1);
	}
	else
	{
		$node->stop('immediate');
		eval { $h->finish };
		$node->start;
	}

	my $now = checksum($mode, "${mode}_dst");
	my $receipts = $node->safe_psql('postgres', "SELECT count(*) FROM idem_import_ledger WHERE import = '$mode' AND status = 'applied'");
	my $locks = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE classid = 'idem_import_ledger'::regclass});
	my $was = $now eq $before{$mode} ? 'before' : $now eq $after{$mode} ? 'after' : 'neither';
	$hit{"$mode $was"}++;
	push @failed, "the target holds $now, neither before nor after" if $was eq 'neither';
	push @failed, "$receipts receipts, but the target is as $was" if ($receipts > 0) != ($was eq 'after');
	push @failed, 'a receipt vouches for other rows' if wrong_receipts($mode) ne '0';
	push @failed, "$locks locks left" if $locks ne '0';

	$node->safe_psql('postgres', $run{$mode});
	push @failed, 'the rerun ended at other rows' if checksum($mode, "${mode}_dst") ne $after{$mode};
	push @failed, 'a receipt vouches for other rows after the rerun' if wrong_receipts($mode) ne '0';
	push @failed, 'counts do not add up' if wrong_counts($mode) ne '0';
	my $again = $node->safe_psql('postgres', "SELECT DISTINCT status FROM idem_import_run('$mode')");
	push @failed, "the third run was $again" if $again ne 'skipped';
	push @bad, map { "$label: $_" } @failed;
	note(sprintf('%s: %s%s', $label, $was, @failed ? " FAILED" : ''));
}

is_deeply(\@bad, [], "$crashes crashes, seed $seed");
my $inside = 0;
$inside += $hit{$_} // 0 for map { "$_ before" } qw(merge insert slices);
cmp_ok($inside, q(>=), $crashes * 0.4, 'most of them hit before the commit');
note(join(', ', map { "$_: $hit{$_}" } sort keys %hit));
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT run_id FROM idem_import_history GROUP BY 1 HAVING count(*) > 1) d}),
	'0', 'no run number twice');

$node->stop;
done_testing();
