# Memory of native runs and of runs that exchange storage: a session that runs
# some hundreds of times keeps no more than one that refreshes a materialized
# view as often, and a run of many rows takes about what one of few takes.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc' if !-r "/proc/$$/status";

my $node = PostgreSQL::Test::Cluster->new('swap_memory');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
shared_buffers = 8MB
work_mem = 512kB
maintenance_work_mem = 1MB
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
max_wal_size = 4GB
checkpoint_timeout = 1h
jit = off
log_statement = none
CONF
$node->start;

$node->safe_psql('postgres', 'CREATE EXTENSION idem_import');

# Some values are in the TOAST table.
sub create_imports
{
	my ($suffix, $rows) = @_;
	my $columns = 'id int PRIMARY KEY, day date, v text, n int CHECK (n < 1000), body text';
	$node->safe_psql('postgres', <<"SQL");
CREATE TABLE src_$suffix AS
	SELECT g AS id, date '2026-02-01' + g % 28 AS day, 'number ' || g AS v, g % 7 AS n,
		CASE WHEN g % 50 = 0 THEN repeat(md5(g::text), 80) ELSE md5(g::text) END AS body
	FROM generate_series(1, $rows) g;
ALTER TABLE src_$suffix ALTER body SET STORAGE EXTERNAL;
ANALYZE src_$suffix;
CREATE TABLE diff_$suffix ($columns);
CREATE TABLE swap_$suffix ($columns);
CREATE TABLE part_$suffix ($columns) PARTITION BY RANGE (id);
CREATE TABLE part_${suffix}_1 PARTITION OF part_$suffix FOR VALUES FROM (0) TO ($rows / 2);
CREATE TABLE part_${suffix}_2 PARTITION OF part_$suffix FOR VALUES FROM ($rows / 2) TO (1000000);
CREATE INDEX ON diff_$suffix (v);
CREATE INDEX ON swap_$suffix (v);
CREATE INDEX ON part_$suffix (v);
SELECT idem_import_create(m || '_$suffix', 'src_$suffix', (m || '_$suffix')::regclass, key => '{id}', delete_missing => true,
	method => CASE m WHEN 'swap' THEN 'swap' ELSE 'diff' END)
FROM unnest('{diff,swap,part}'::text[]) m;
SQL
	return;
}

# Statements many times over in one session: by how many kB its memory grew
# after the first fifth, and its contexts of ours that are left.
sub grown_by
{
	my ($times, @statements) = @_;
	my $measure = q{SELECT 'used ' || sum(used_bytes) || ' ' || count(*) FILTER (WHERE name LIKE 'idem_import%') FROM pg_backend_memory_contexts};
	my @all = map { my $i = $_; map { s/\$i/$i/gr } @statements } 1 .. $times;
	my @first = splice @all, 0, @all / 5;
	my (undef, $out, $err) = $node->psql('postgres', join(";\n", @first, $measure, $measure, @all, $measure), on_error_stop => 0);
	my @used = map { [ split / / ] } $out =~ /^used (\d+ \d+)$/mg;
	my %states;
	$states{$_}++ for $out =~ /^(run .*)$/mg;
	$states{error}++ while $err =~ /^psql:.*ERROR:/mg;
	return (($used[-1][0] - $used[-2][0]) / 1024, $used[-1][1], join ', ', map { "$states{$_} $_" } sort keys %states);
}

my $times = $ENV{IDEM_TIMES} // 200;
create_imports('few', 500);
$node->safe_psql('postgres', <<'SQL');
CREATE MATERIALIZED VIEW view AS TABLE src_few;
CREATE UNIQUE INDEX ON view (id);
CREATE INDEX ON view (v);
SQL
my $change = 'UPDATE src_few SET n = $i % 50 WHERE id % 2 = 0';
my ($plain) = grown_by($times, $change);
my ($refresh) = grown_by($times, $change, 'REFRESH MATERIALIZED VIEW view');
note(sprintf('%d times: plain SQL %.0f kB, REFRESH MATERIALIZED VIEW %.0f kB', $times, $plain, $refresh));
for my $mode (qw(diff part swap))
{
	my $run = "SELECT 'run ' || status || ' ' || method || ' ' || engine FROM idem_import_run('${mode}_few')";
	my $method = $mode eq 'swap' ? 'swap' : 'diff';
	my ($grown, $left, $states) = grown_by($times, $change, $run);
	is($states, "$times run applied $method native", "$mode, $times times: as intended");
	note(sprintf('%s, %d times: %.0f kB', $mode, $times, $grown));
	cmp_ok($grown, '<', ($mode eq 'swap' ? $refresh * 2 : $plain) + 100, "$mode, $times times: memory is flat");
	is($left, '0', "$mode, $times times: no context is left");

	($grown, $left, $states) = grown_by($times, $run);
	is($states, "$times run skipped " . ($states =~ /skipped (.*)/)[0], "$mode, $times times skipped: as intended");
	note(sprintf('%s, %d times skipped: %.0f kB', $mode, $times, $grown));
	cmp_ok($grown, '<', 100, "$mode, $times times skipped: memory is flat");

	# errors leave nothing either; to record each takes a while
	my $failures = $times / 5;
	($grown, $left, $states) = grown_by($failures,
		"BEGIN; UPDATE src_few SET n = 1000 WHERE id = 400; $run; ROLLBACK",
		"BEGIN; UPDATE src_few SET id = 1 WHERE id = 2; $run; ROLLBACK");
	is($states, 2 * $failures . ' error', "$mode, $failures times failed: as intended");
	note(sprintf('%s, %d times failed: %.0f kB', $mode, $failures, $grown));
	cmp_ok($grown, '<', 200, "$mode, $failures times failed: memory is flat");
	is($left, '0', "$mode, $failures times failed: no context is left");
}

# One run in a session of its own: by how many MB its peak grew.
sub peak
{
	my ($import) = @_;
	my $status = q{pg_read_file('/proc/' || pg_backend_pid() || '/status')};
	my $out = $node->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM pg_class;
SELECT substring($status FROM 'VmHWM:\\s+(\\d+)') AS peak \\gset
SELECT status || ' ' || method || ' ' || engine FROM idem_import_run('$import');
SELECT substring($status FROM 'VmHWM:\\s+(\\d+)')::int - :peak;
SQL
	my (undef, $how, $grown) = split /\n/, $out;
	return ($how, $grown / 1024);
}

create_imports('20k', 20_000);
create_imports('200k', 200_000);
my %change = (
	'first load' => '',
	'half of them changed' => q{UPDATE src_%1$s SET v = v || '!', body = reverse(body) WHERE id %% 2 = 0; DELETE FROM src_%1$s WHERE id %% 10 = 1},
	'nothing changed' => '');
for my $what ('first load', 'half of them changed', 'nothing changed')
{
	$node->safe_psql('postgres', sprintf($change{$what}, $_)) for qw(20k 200k);
	for my $mode (qw(diff part swap))
	{
		my $expected = $what =~ /nothing/ ? qr/^skipped/ : $mode eq 'swap' ? qr/^applied swap native$/ : qr/^applied diff native$/;
		my %peak;
		for my $size (qw(20k 200k))
		{
			my ($how, $peak) = peak("${mode}_$size");
			like($how, $expected, "$what, $mode, $size rows");
			$peak{$size} = $peak;
		}
		note(sprintf('%s, %s: %.1f MB for 20k rows, %.1f MB for 200k', $what, $mode, @peak{qw(20k 200k)}));
		cmp_ok($peak{'200k'} - $peak{'20k'}, '<', 8, "$what, $mode: memory is flat");
	}
}
$node->stop;
done_testing();
