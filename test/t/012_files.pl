# Files of the server: dirty ones, odd ones, large ones, two sessions, crashes,
# and the two registry snapshots.  A clear error or the rows, nothing between.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Copy qw(copy);
use IPC::Run ();
use POSIX qw(mkfifo);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $seed = $ENV{IDEM_CRASH_SEED} // time % 1_000_000;
srand($seed);
note("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('files');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
restart_after_crash = on
shared_buffers = 16MB
work_mem = 4MB
max_wal_size = 4GB
max_parallel_workers_per_gather = 0
jit = off
CONF
$node->start;
my $dir = abs_path(PostgreSQL::Test::Utils::tempdir);
my $timeout = $PostgreSQL::Test::Utils::timeout_default;

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE stage (id int, name text, note text);
CREATE TABLE dst (id int PRIMARY KEY, name text, note text);
SELECT idem_import_create('f', 'stage', 'dst', key => '{id}', delete_missing => true, delete_limit => NULL);
SQL

sub write_file
{
	my ($name, @content) = @_;
	open my $fh, '>:raw', "$dir/$name" or die "$name: $!";
	print $fh $_ for @content;
	close $fh or die "$name: $!";
	return "$dir/$name";
}

# "ok" and the result, or SQLSTATE and message
sub run_file
{
	my ($import, $path, $options) = @_;
	my ($code, $out, $err) = $node->psql('postgres',
		"SELECT status, attempted, inserted, updated, removed FROM idem_import_run_file('$import', '$path', '$options')",
		extra_params => [ '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=always' ], timeout => $timeout);
	return "ok $out" if $code == 0;
	my ($state, $message) = $err =~ /ERROR:  (\w{5}): (.*)/ or return "broken: $err";
	my ($where) = $err =~ /CONTEXT:  (COPY [^\n]*)/;
	return substr("$state $message" . (defined $where ? " ($where" : ''), 0, 140);
}

my $csv = '{"format": "csv", "header": true}';
my $good = write_file('good.csv', "id,name,note\n1,one,\n2,two,\n");
is(run_file('f', $good, $csv), 'ok applied|2|2|0|0', 'a file');

#
# Dirt
#
my @dirty = (
	[ 'broken quotes', qq{id,name,note\n3,"three,\n4,four,\n}, qr/^22P04 unterminated CSV quoted field \(COPY broken_quotes.csv, line 4/ ],
	[ 'a NUL byte', "id,name,note\n3,thr\0ee,\n", qr/^II004 too many rejects: 1 of 1 rows/ ],
	[ 'another encoding', "id,name,note\n3,dr\xe4i,\n", qr/^II004 too many rejects: 1 of 1 rows/ ],
	[ 'no number', "id,name,note\n3,three,\nfour,four,\n", qr/^II004 too many rejects: 1 of 2 rows/ ],
	[ '10000 columns', join(',', 1 .. 10000) . "\n" . join(',', 1 .. 10000) . "\n", qr/^II004 too many rejects: 1 of 1 rows/ ],
	[ 'too few columns', "id,name,note\n3,three\n", qr/^II004 too many rejects: 1 of 1 rows/ ],
	[ 'not binary', "id,name,note\n", qr/^22P04 COPY file signature not recognized/, '{"format": "binary"}' ],
	[ 'another header', "id,nombre,note\n3,three,\n", qr/^22P04 column name mismatch in header line field 2: got "nombre", expected "name"/, '{"format": "csv", "header": "match"}' ],
	[ 'two rows of a key', "id,name,note\n3,three,\n3,drei,\n", qr/^II003 / ]);

for my $dirt (@dirty)
{
	my ($what, $content, $expected, $options) = @$dirt;
	(my $name = "$what.csv") =~ tr/ /_/;
	like(run_file('f', write_file($name, $content), $options // $csv), $expected, $what);
	is($node->safe_psql('postgres', q{SELECT string_agg(id::text, ',' ORDER BY id) FROM dst}), '1,2', "$what: nothing is applied");
	ok($node->poll_query_until('postgres', "SELECT status || ' ' || attempts FROM idem_import_manifest WHERE input = '$dir/$name'", 'failed 1'),
		"$what: recorded");
}

# what is no file, or not for us
mkdir "$dir/folder" or die;
mkfifo("$dir/fifo", 0600) or die;
my $closed = write_file('closed.csv', "id,name,note\n");
chmod 0, $closed or die;
like(run_file('f', "$dir/folder", $csv), qr/^42809 ".*folder" is a directory/, 'a directory');
like(run_file('f', "$dir/fifo", $csv), qr/^42809 ".*fifo" is not a regular file/, 'a FIFO that nobody writes to');
like(run_file('f', '/dev/zero', $csv), qr/^42809 "\/dev\/zero" is not a regular file/, 'a device');
like(run_file('f', "$dir/missing", $csv), qr/^58P01 could not open file ".*missing" for reading/, 'a missing file');
like(run_file('f', 'missing', $csv), qr/^58P01 /, 'a relative name');
SKIP:
{
	skip 'root may read everything', 1 if $> == 0;
	like(run_file('f', $closed, $csv), qr/^42501 could not open file/, 'no permission');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM idem_import_manifest WHERE status = 'failed'}), scalar(@dirty),
	'what is not there is no input');

# as COPY reads it: relative to the data directory
copy($good, $node->data_dir . '/good.csv') or die;
is(run_file('f', 'good.csv', $csv), 'ok skipped|0|0|0|0', 'a copy in the data directory is known');
symlink $good, "$dir/link.csv" or die;
is(run_file('f', "$dir/link.csv", $csv), 'ok skipped|0|0|0|0', 'a symbolic link');

is(run_file('f', write_file('end.csv', "3,three,\n\\.\nwhatever"), '{"format": "text", "delimiter": ","}'), 'ok applied|1|1|0|2', 'an end of data marker before the end');
is($node->safe_psql('postgres', "SELECT sha256 = sha256(pg_read_binary_file(input)) AND size = 20 FROM idem_import_manifest WHERE input = '$dir/end.csv'"),
	't', 'the hash is that of the whole file');
is(run_file('f', write_file('empty.csv', ''), $csv), 'ok applied|0|0|0|1', 'an empty file empties');
is(run_file('f', write_file('header.csv', "id,name,note\n"), $csv), 'ok skipped|0|0|0|0', 'a header alone');

# a field of 100 MB
is(run_file('f', write_file('wide.csv', "id,name,note\n1,", ('0123456789' x 1000) x 10500, ",\n"), $csv), 'ok applied|1|1|0|0', 'a field of 105 MB');
is($node->safe_psql('postgres', 'SELECT length(name) FROM dst'), '105000000', 'is whole');
unlink "$dir/wide.csv";

#
# A file that changes while it is read: a domain's check waits in the middle
#
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION wait_for(int) RETURNS boolean LANGUAGE sql AS 'SELECT pg_advisory_lock_shared(1) IS NOT NULL';
CREATE DOMAIN slow AS int CHECK (wait_for(VALUE));
CREATE TABLE slow_stage (id slow);
CREATE TABLE slow_dst (id int PRIMARY KEY);
SELECT idem_import_create('slow', 'slow_stage', 'slow_dst', key => '{id}');
SQL
my $holder = $node->background_psql('postgres');
for my $change (qw(append rewrite))
{
	my $path = write_file("$change.csv", "1\n2\n");
	$holder->query_safe('SELECT pg_advisory_lock(1)');
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c',
			"SELECT status FROM idem_import_run_file('slow', '$path', '{\"format\": \"csv\"}')" ], '>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) or die;
	usleep(20_000);
	if ($change eq 'append')
	{
		open my $fh, '>>', $path or die;
		print $fh "3\n";
		close $fh;
	}
	else
	{
		write_file("$change.csv", "5\n6\n");
	}
	$holder->query_safe('SELECT pg_advisory_unlock(1)');
	$h->finish;
	like($err, qr/55000: file ".*$change.csv" was written while it was read/, "$change while it is read");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM slow_dst'), '0', "$change while it is read: nothing is applied");
}
$holder->quit;

#
# A larger file: memory, two sessions, crashes
#
my $rows = 1_000_000;
{
	open my $fh, '>', "$dir/large.csv" or die;
	print $fh "id,name,note\n";
	print $fh "$_,customer number $_,", 'x' x 80, "\n" for 1 .. $rows;
	close $fh or die;
}
note(sprintf 'large.csv: %d MB', (-s "$dir/large.csv") / 1e6);
$node->safe_psql('postgres', 'TRUNCATE dst');
my $options = $csv;
my $call = "idem_import_run_file('f', '$dir/large.csv', '$options')";

SKIP:
{
	skip 'needs /proc', 2 if !-r "/proc/$$/status";
	my $result = $node->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM pg_class;
SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/status') FROM 'VmHWM:\\s+(\\d+)') AS peak \\gset
BEGIN;
SELECT status, inserted FROM $call;
ROLLBACK;
SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/status') FROM 'VmHWM:\\s+(\\d+)')::int - :peak;
SQL
	my (undef, $status, $grown) = split /\n/, $result;
	is($status, "applied|$rows", 'a large file');
	note(sprintf '%d MB of memory', $grown / 1024);
	cmp_ok($grown / 1024, '<', 80, 'does not fit into the memory that it takes');
	is($node->safe_psql('postgres', "SELECT count(*) FROM idem_import_manifest WHERE input = '$dir/large.csv'"), '0', 'rolled back, it is unknown');
}

# crashes at random moments: what was there before, or all of it
my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM dst');
my $duration = 4;
my ($inside, @bad) = (0);
for my $i (1 .. ($ENV{IDEM_FILE_CRASHES} // 6))
{
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT pg_backend_pid()', '-c', "SELECT status FROM $call" ],
		'>', \$out, '2>', \$err);
	$h->pump until $out =~ /(\d+)\n/;
	my $pid = $1;
	usleep(1_000_000 * rand($duration));
	kill 'KILL', $pid;
	eval { $h->finish };
	for (1 .. 600)
	{
		last if $node->psql('postgres', 'SELECT 1') == 0;
		usleep(50_000);
	}
	my $count = $node->safe_psql('postgres', 'SELECT count(*) FROM dst');
	my $manifest = $node->safe_psql('postgres', "SELECT count(*) FROM idem_import_manifest WHERE input = '$dir/large.csv'");
	push @bad, "$count rows, $manifest in the manifest" if "$count $manifest" ne "$before 0" && "$count $manifest" ne "$rows 1";
	last if $count == $rows;
	$inside++;
}
is_deeply(\@bad, [], "all or nothing, $inside crashes inside of a run");

# two sessions with the same file, of two names
copy("$dir/large.csv", "$dir/renamed.csv") or die;
$node->safe_psql('postgres', q{TRUNCATE dst; SELECT idem_import_drop('f', purge => true);
	SELECT idem_import_create('f', 'stage', 'dst', key => '{id}')});
my @sessions = map {
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
			"SELECT status, inserted FROM idem_import_run_file('f', '$dir/$_.csv', '$options')" ], '>', \$out, '2>', \$err);
	[ $h, \$out, \$err ];
} qw(large renamed);
$_->[0]->finish for @sessions;
is(join('', sort map { ${ $_->[1] } . ${ $_->[2] } } @sessions), "applied|$rows\nskipped|0\n", 'two sessions: one applies, the other skips');
is($node->safe_psql('postgres', 'SELECT string_agg(status, \' \' ORDER BY status) FROM idem_import_manifest WHERE import = \'f\''), 'complete skipped', 'two sessions: the manifest');

# few rows for a large target, which is not summed for them: their rows are looked up
my $small = write_file('small1.csv', "id,name,note\n1,uno,\n2,dos,\n");
is(run_file('f', $small, $csv), 'ok applied|2|0|2|0', 'few rows for a large target');
is(run_file('f', $small, $csv), 'ok skipped|0|0|0|0', 'few rows again');
is(run_file('f', write_file('small2.csv', "id,name,note\n1,eins,\n"), $csv), 'ok applied|1|0|1|0', 'other ones');
is(run_file('f', $small, $csv), 'ok skipped|0|0|0|0', 'the first ones again do not undo them');
$node->safe_psql('postgres', 'DELETE FROM dst WHERE id = 2');
is(run_file('f', $small, $csv), 'ok applied|2|1|1|0', 'but do come back when they are missing');

# a dump knows the inputs
$node->safe_psql('postgres', q{DELETE FROM dst WHERE id > 1000; SELECT idem_import_drop('f', purge => true);
	SELECT idem_import_create('f', 'stage', 'dst', key => '{id}')});
is(run_file('f', $small, $csv), 'ok skipped|2|0|0|0', 'a known file of an import that is not');
$node->safe_psql('postgres', 'CREATE DATABASE copied');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", $node->connstr('postgres') ], 'dump');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('copied'), "$dir/dump" ], 'restore');
is($node->safe_psql('copied', "SELECT status, attempted FROM idem_import_run_file('f', '$small', '$csv')"), 'skipped|0', 'the restored manifest is believed');

#
# The registry of network card vendors, two years apart
#
my %lines;
for my $day (qw(2022-08-27 2024-07-22))
{
	system("gzip -dc test/data/oui-$day.csv.gz > '$dir/oui-$day.csv'") == 0 or die;
}
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE registry_stage (registry text, assignment text, organization text, address text);
CREATE TABLE registry (assignment text PRIMARY KEY, registry text, organization text, address text);
SELECT idem_import_create('registry', 'registry_stage', 'registry', key => '{assignment}', order_by => 'organization, address', delete_missing => true);
SQL
my ($first, $second) = map { run_file('registry', "$dir/oui-$_.csv", $csv) } qw(2022-08-27 2024-07-22);
is($first, 'ok applied|32530|32527|0|0', 'the registry of 2022');
is($second, 'ok applied|35816|3287|863|1', 'the registry of 2024');
is(run_file('registry', "$dir/oui-2022-08-27.csv", $csv), 'ok skipped|0|0|0|0', 'a late retry of the first does not undo it');
is(run_file('registry', "$dir/oui-2024-07-22.csv", $csv), 'ok skipped|0|0|0|0', 'nor is there anything to do for the second');
$node->safe_psql('postgres', q{DELETE FROM registry WHERE assignment LIKE '00%'});
like(run_file('registry', "$dir/oui-2024-07-22.csv", $csv), qr/^ok applied\|35816\|[1-9]/, 'rows that were removed are put back');

#
# A file of the client: \copy into a temporary table
#
my $expected = $node->safe_psql('postgres', 'SELECT count(*), idem_import_checksum(idem_import_hash(r)) FROM registry r');
$node->safe_psql('postgres', q{TRUNCATE registry; SELECT idem_import_drop('registry', purge => true);
	SELECT idem_import_create('registry', 'registry_stage', 'registry', key => '{assignment}', order_by => 'organization, address', delete_missing => true)});
my $path = "$dir/oui-2024-07-22.csv";
chomp(my $hash = `sha256sum '$path' | cut -d' ' -f1`);
my $client = <<"SQL";
BEGIN;
CREATE TEMP TABLE file (LIKE registry_stage) ON COMMIT DROP;
\\copy file FROM '$path' WITH (FORMAT csv, HEADER)
SELECT status, attempted, inserted FROM idem_import_run('registry', source => 'pg_temp.file', input => 'oui-2024-07-22.csv', input_hash => '\\x$hash');
COMMIT;
SQL
is($node->safe_psql('postgres', $client), 'applied|35816|35813', 'a file of the client');
is($node->safe_psql('postgres', $client), 'skipped|0|0', 'a file of the client again');
is($node->safe_psql('postgres', 'SELECT count(*), idem_import_checksum(idem_import_hash(r)) FROM registry r'), $expected, 'gives the same rows as one of the server');
is(run_file('registry', $path, $csv), 'ok skipped|0|0|0|0', 'and is known as such');

$node->stop;
done_testing();
