# Kill -9 all of the server, at random moments of runs that write natively or
# exchange storage, and right after they have committed, for each wal_level.
# Minimal matters most: new files are not logged then, but written out at commit.
# Whatever it hits, the target holds what it held before or what the run
# makes of it, the ledger says which, nothing transient is left, heap, TOAST and
# indexes are sound, and running again ends at the same rows.
#
# Rerun a failure with IDEM_CRASH_SEED=<the seed that was printed>.
use strict;
use warnings;

use FindBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

plan skip_all => 'needs /proc' if !-r "/proc/$$/stat";

my $crashes = $ENV{IDEM_CRASHES} // 18;
my $seed = $ENV{IDEM_CRASH_SEED} // int(time * 1000) % 1_000_000;
srand($seed);
note("seed $seed");

my $rows = 4000;
my $node = PostgreSQL::Test::Cluster->new('swap_crash');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
max_wal_size = 1GB
max_wal_senders = 0
min_parallel_table_scan_size = 0
CONF
$node->start;

# Some values are so long that they lie in the TOAST table.
my $columns = 'id, day, v, n, tags, body';
my $row = q{g AS id, date '2026-02-01' + g %% 28 AS day, %s || g AS v, g %% 7 AS n, ARRAY[g %% 11, g %% 13] AS tags,
	CASE WHEN g %% 12 = 0 THEN repeat(md5(%s || g), 180) ELSE md5(g::text) END AS body};
my $old = sprintf($row, "'old '", "'old'");
my $new = sprintf($row, "CASE g % 3 WHEN 0 THEN 'old ' ELSE 'new ' END", "'new'");
my $indexes = join '', map { "CREATE INDEX ON %1\$s $_;\n" }
	'(v)', '(lower(left(body, 20)))', '(n) WHERE n > 3', 'USING gin (tags)', 'USING brin (day)', 'USING hash (n)';

$node->safe_psql('postgres', slurp_file("$FindBin::RealBin/../storage.sql") . <<"SQL");
CREATE EXTENSION idem_import;
CREATE EXTENSION amcheck;
CREATE TABLE base AS SELECT $old FROM generate_series(1, $rows) g;
CREATE TABLE src AS SELECT $new FROM generate_series($rows / 4, $rows + $rows / 4) g;
ALTER TABLE src ALTER body SET STORAGE EXTERNAL;
SQL

my %key = (diff => 'id', swap => 'id', bare => undef, leaf => 'id, day');
my $methods = "delete_limit => NULL, method => ";
my %create = (
	diff => "key => '{id}', delete_missing => true, $methods 'diff'",
	swap => "key => '{id}', delete_missing => true, $methods 'swap'",
	bare => "mode => 'overwrite', $methods 'swap'",
	leaf => "key => '{id,day}', scope => '{day}', slice => '1 month', delete_missing => true, $methods 'swap'");
my @modes = sort keys %create;
my %run = map { $_ => "SELECT status || ' ' || method || ' ' || engine FROM idem_import_run('$_')" } @modes;
$run{leaf} =~ s/'leaf'/'leaf', '2026-02-01'/;

sub create_target
{
	my ($mode, $persistence) = @_;
	my $key = defined $key{$mode} ? ", PRIMARY KEY ($key{$mode})" : '';
	my $parts = $mode eq 'leaf' ? 'PARTITION BY RANGE (day)' : '';
	my $sql = 'CREATE ' . ($persistence // '') . " TABLE ${mode}_dst (id int, day date, v text, n int, tags int[], body text $key) $parts;\n"
		. "ALTER TABLE ${mode}_dst ALTER body SET STORAGE EXTERNAL;\n" . sprintf($indexes, "${mode}_dst");
	return $sql if $mode ne 'leaf';
	return $sql . join '', map { sprintf "CREATE TABLE leaf_%d PARTITION OF leaf_dst FOR VALUES FROM ('2026-%02d-01') TO ('2026-%02d-01');\n", $_, $_, $_ + 1 } 1 .. 3;
}

sub create_import
{
	my ($mode) = @_;
	return "SELECT idem_import_create('$mode', 'src', '${mode}_dst', $create{$mode});\n";
}

sub create_anew
{
	my ($mode) = @_;
	return "DROP TABLE ${mode}_dst; SELECT idem_import_drop('$mode', purge => true); " . create_target($mode) . create_import($mode);
}

sub reset_target
{
	my ($mode) = @_;
	$node->safe_psql('postgres', <<"SQL");
TRUNCATE ${mode}_dst;
INSERT INTO ${mode}_dst SELECT $columns FROM base;
SELECT idem_import_drop(name, purge => true) FROM idem_import_definition WHERE name = '$mode';
@{[ create_import($mode) ]}
SQL
	return;
}

my $sum = "count(*) || ' ' || idem_import_checksum(idem_import_hash($columns))";

sub checksum
{
	my ($table) = @_;
	return $node->safe_psql('postgres', "SELECT $sum FROM $table");
}

# What is wrong with the target besides its rows.
sub faults
{
	my ($mode) = @_;

	# indexes of all kinds find what a plain scan finds
	my @where = (q{v > 'new 2'}, q{lower(left(body, 20)) < '7'}, 'n > 4', 'tags @> ARRAY[5, 2]', q{day = '2026-02-09'}, 'n = 6');
	my $queries = join '', map { "SELECT $sum FROM ${mode}_dst WHERE $_;\n" } @where;
	my ($receipts, @found) = split /\n/, $node->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM idem_import_ledger l,
	(SELECT count(*) AS n, idem_import_checksum(idem_import_hash($columns)) AS sum FROM ${mode}_dst) t
WHERE l.import = '$mode' AND (l.target_rows, l.target_checksum) IS DISTINCT FROM (t.n, t.sum);
SET enable_seqscan = off;
$queries
SET enable_seqscan = on; SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
$queries
SELECT * FROM storage_faults('${mode}_dst');
SQL
	my @faults = splice @found, 2 * @where;
	push @faults, 'a receipt vouches for other rows' if $receipts ne '0';
	push @faults, map { "an index lies: $where[$_]" } grep { $found[$_] ne $found[ $_ + @where ] } 0 .. $#where;
	return @faults;
}

# The server's processes that live, by their parent.
sub children
{
	my ($parent) = @_;
	my @children;
	for my $file (glob '/proc/[0-9]*/stat')
	{
		open my $fh, '<', $file or next;
		my $line = <$fh> // next;
		push @children, $1 if $line =~ /^(\d+) \(.*\) ([^Z]) (\d+) / && $3 == $parent;
	}
	return @children;
}

sub lives
{
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/stat" or return 0;
	my $line = <$fh> // '';
	return $line =~ /^\d+ \(.*\) [^ZX] /;
}

# All of them, while none can be started; then nothing is left but files.
sub kill_all
{
	my $pidfile = $node->data_dir . '/postmaster.pid';
	my ($postmaster) = slurp_file($pidfile) =~ /^(\d+)/;
	kill 'STOP', $postmaster;
	my @children = children($postmaster);
	kill 'KILL', @children;
	$node->kill9;
	for my $pid ($postmaster, @children)
	{
		usleep(1000) while lives($pid);
	}

	# the postmaster's number may be in use until somebody has waited for it
	unlink $pidfile, $node->host . '/.s.PGSQL.' . $node->port . '.lock';
	return;
}

sub start_psql
{
	my (@commands) = @_;
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), map { ('-c', $_) } 'SELECT pg_backend_pid()', @commands ],
		'>', \$out, '2>', \$err);
	$h->pump until $out =~ /(\d+)\n/;
	return ($h, \$out);
}

my (%before, %after, %duration);
for my $mode (@modes)
{
	$node->safe_psql('postgres', create_target($mode));
	reset_target($mode);
	$before{$mode} = checksum("${mode}_dst");
	my $start = time;
	my $method = $mode eq 'diff' ? 'diff' : 'swap';
	is($node->safe_psql('postgres', $run{$mode}), "applied $method native", "$mode without a crash: method");
	$duration{$mode} = time - $start;
	$after{$mode} = checksum("${mode}_dst");
	is($after{$mode}, checksum('src'), sprintf('%s without a crash, %.2f s', $mode, $duration{$mode}));
	is_deeply([ faults($mode) ], [], "$mode without a crash: storage");
}

my (%hit, @bad);

sub crash_inside
{
	my ($label, $mode, $late) = @_;
	my @failed;

	# late: with the commit behind it
	my @set = map { "SET $_" } 'wal_skip_threshold = ' . (0, 2048, 1_000_000)[ int(rand 3) ],
		'synchronous_commit = ' . ($late || rand(2) < 1 ? 'on' : 'off');
	$label .= ", $set[0], $set[1]";
	reset_target($mode);
	my ($h) = start_psql(@set, $run{$mode});
	my $checkpoint = rand(3) < 1 ? IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', 'CHECKPOINT' ], '2>', \my $e) : undef;
	if ($late) { $h->finish; }
	else { usleep(1_000_000 * rand(1) * $duration{$mode}); }
	kill_all();
	eval { $_->finish } for grep { defined } $h, $checkpoint;
	$node->start;

	my $now = checksum("${mode}_dst");
	my $receipts = $node->safe_psql('postgres', "SELECT count(*) FROM idem_import_ledger WHERE import = '$mode' AND status = 'applied'");
	my $was = $now eq $before{$mode} ? 'before' : $now eq $after{$mode} ? 'after' : 'neither';
	$hit{ ($late ? 'late' : 'inside') . " $mode $was" }++;
	push @failed, "the target holds $now, neither before nor after" if $was eq 'neither';
	push @failed, 'a commit is lost' if $late && $was ne 'after';
	push @failed, "$receipts receipts, but the target is as $was" if ($receipts > 0) != ($was eq 'after');
	push @failed, faults($mode);

	my $rerun = $node->safe_psql('postgres', $run{$mode});
	push @failed, "the rerun: $rerun" if ($rerun =~ /^skipped/) != ($was eq 'after');
	push @failed, 'the rerun ended at other rows' if checksum("${mode}_dst") ne $after{$mode};
	push @failed, map { "after the rerun: $_" } faults($mode);
	push @bad, map { "$label: $_" } @failed;
	note("$label: $was" . (@failed ? ' FAILED' : ''));
	return;
}

# What else one transaction may do with the table, before and after.
my %transactions = (
	'created in it' => create_anew('swap') . "INSERT INTO swap_dst SELECT $columns FROM base; $run{swap}",
	'created in it, empty' => create_anew('swap') . $run{swap},
	'truncated before' => "TRUNCATE swap_dst; $run{swap}",
	'truncated, undone' => "TRUNCATE swap_dst; SAVEPOINT s; $run{swap}; ROLLBACK TO s; INSERT INTO swap_dst SELECT $columns FROM base",
	'undone, again' => "SAVEPOINT s; $run{swap}; ROLLBACK TO s; $run{swap}",
	'twice' => "$run{swap}; DELETE FROM src WHERE id % 2 = 0; SAVEPOINT s; $run{swap}; RELEASE s",
	'written after' => "SAVEPOINT s; $run{swap}; UPDATE swap_dst SET body = body || v; SAVEPOINT t; DELETE FROM swap_dst; ROLLBACK TO t",
	'truncated after' => "$run{swap}; SAVEPOINT s; TRUNCATE swap_dst; ROLLBACK TO s; INSERT INTO swap_dst SELECT -id, day, v, n, tags, body FROM base",
	'indexed after' => "$run{swap}; CREATE INDEX ON swap_dst (n, v); REINDEX TABLE swap_dst; INSERT INTO swap_dst SELECT -id, day, v, n, tags, body FROM base",
	'leaf, written after' => "$run{leaf}; INSERT INTO leaf_dst SELECT id, day - 31, v, n, tags, body FROM base; UPDATE leaf_dst SET body = body || v",
	'diff, created in it' => create_anew('diff') . "$run{diff}; DELETE FROM src WHERE id % 2 = 0; SAVEPOINT s; $run{diff}");

sub crash_after
{
	my ($what, $label) = @_;
	my $mode = $what =~ /^(leaf|diff)/ ? $1 : 'swap';
	my @failed;

	reset_target($mode);
	$node->safe_psql('postgres', 'CREATE TABLE kept AS TABLE src');
	my $out = $node->safe_psql('postgres', 'SET wal_skip_threshold = ' . (0, 2048, 1_000_000)[ int(rand 3) ]
		. "; BEGIN; $transactions{$what}; SELECT $sum FROM ${mode}_dst; COMMIT");
	kill_all();
	$node->start;
	push @failed, "no run: $out" if $out !~ /^applied (swap|diff) native$/m;
	push @failed, 'other rows' if checksum("${mode}_dst") ne (split(/\n/, $out))[-1];
	push @failed, grep { !/a receipt vouches/ } faults($mode);

	# what was done besides is undone by the next run
	$node->safe_psql('postgres', 'TRUNCATE src; INSERT INTO src TABLE kept; DROP TABLE kept');
	$node->safe_psql('postgres', "DELETE FROM leaf_dst WHERE day < '2026-02-01'; $run{$mode}");
	push @failed, 'the rerun ended at other rows' if checksum("${mode}_dst") ne $after{$mode};
	push @failed, map { "after the rerun: $_" } faults($mode);
	$node->safe_psql('postgres', create_anew($mode));
	push @bad, map { "$label, $what: $_" } @failed;
	note("$label, $what" . (@failed ? ' FAILED' : ''));
	return;
}

my $number = 0;
my @whats = sort keys %transactions;
for my $level (qw(minimal replica logical))
{
	$node->append_conf('postgresql.conf', "wal_level = $level");
	$node->restart;
	for my $i (1 .. $crashes / 3)
	{
		my $mode = $modes[ $number % 4 ];
		crash_inside(sprintf('crash %d: %s, %s', ++$number, $level, $mode), $mode, $i % 3 == 0);
	}
	# minimal: each of them
	for my $what ($level eq 'minimal' ? @whats : $whats[ rand @whats ])
	{
		crash_after($what, $level);
	}
}
is_deeply(\@bad, [], "$crashes crashes, seed $seed");
note(join(', ', map { "$_: $hit{$_}" } sort keys %hit));

# An unlogged table is empty after a crash; its receipt does not hide that.
$node->safe_psql('postgres', 'DROP TABLE swap_dst; ' . create_target('swap', 'UNLOGGED'));
reset_target('swap');
is($node->safe_psql('postgres', $run{swap}), 'applied swap native', 'unlogged: run');
is(checksum('swap_dst'), $after{swap}, 'unlogged: rows');
kill_all();
$node->start;
like(checksum('swap_dst') // '', qr/^(0 |$)/, 'unlogged: empty after a crash');
is($node->safe_psql('postgres', $run{swap}), 'applied swap native', 'unlogged: run again');
is(checksum('swap_dst'), $after{swap}, 'unlogged: rows again');
is_deeply([ faults('swap') ], [], 'unlogged: storage');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal 11/, 'no crash of its own');
$node->stop;
done_testing();
