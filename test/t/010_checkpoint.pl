# What a checkpoint is worth after a crash, after the transaction counter has
# gone round, and on another server: it may say that rows are to be read again,
# never that they need not be.
#
# Rerun a failure with IDEM_CRASH_SEED=<the seed that was printed>.
use strict;
use warnings;

use Cwd ();
use File::Spec ();
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $crashes = $ENV{IDEM_CHECKPOINT_CRASHES} // 20;
my $seed = $ENV{IDEM_CRASH_SEED} // int(time * 1000) % 1_000_000;
srand($seed);
note("seed $seed");

my $conf = <<'CONF';
fsync = off
autovacuum = off
restart_after_crash = on
CONF
my $node = PostgreSQL::Test::Cluster->new('checkpoint');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', $conf);
$node->start;

# "marked" is read page by page along its cursor, with ties of three; "pages"
# by its key, tracked by snapshot.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE src (id int, v text, seq int);
INSERT INTO src SELECT g, 'v' || g, g / 3 FROM generate_series(0, 1499) g;
CREATE INDEX ON src (seq);
CREATE TABLE marked (id int PRIMARY KEY, v text, seq int);
CREATE TABLE pages (id int PRIMARY KEY, v text, seq int);
SELECT idem_import_create('marked', 'src', 'marked', key => '{id}', cursor_column => 'seq', batch_size => 25);
SELECT idem_import_create('pages', 'src', 'pages', key => '{id}', track => 'snapshot', batch_size => 25);
CREATE FUNCTION wait_at_last_of_tie() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id = 1502 THEN
		PERFORM pg_sleep(600);
	END IF;
	RETURN NEW;
END $$;
SQL

sub wait_for_server
{
	for (1 .. 600)
	{
		usleep(20_000);
		return if $node->psql('postgres', 'SELECT 1') == 0;
	}
	die 'server did not come back';
}

# Send a call off, and wait until it has begun.
sub start_call
{
	my ($import) = @_;
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT pg_backend_pid()', '-c', "CALL idem_import_run_units('$import')" ],
		'>', \$out, '2>', \$err);
	$h->pump until $out =~ /(\d+)\n/;
	return ($h, $1);
}

sub kill_call
{
	my ($h, $pid) = @_;
	kill 'KILL', $pid;
	eval { $h->finish };
	wait_for_server();
	return;
}

# Rows of the target that are not those that the mark says, and the other way round.
sub wrong_rows
{
	my ($import, $where, $from) = @_;
	$from //= 'src';
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM (SELECT * FROM $from WHERE $where) s FULL JOIN $import d USING (id) WHERE (s.v, s.seq) IS DISTINCT FROM (d.v, d.seq)");
}

sub checkpoint
{
	my ($import) = @_;
	return $node->safe_psql('postgres', "SELECT checkpoint FROM idem_import_checkpoint WHERE import = '$import'");
}

my %duration;
for my $import (qw(marked pages))
{
	$node->safe_psql('postgres', "CALL idem_import_run_units('$import')");
	$node->safe_psql('postgres', "TRUNCATE $import; SELECT idem_import_rewind('$import')");
	my $started = time;
	$node->safe_psql('postgres', "CALL idem_import_run_units('$import')");
	$duration{$import} = time - $started;
	is(wrong_rows($import, 'true'), '0', sprintf('%s without a crash, %.2f s', $import, $duration{$import}));
}
is(checkpoint('marked'), '499', 'the mark is at the last row');

my @bad;
my $inside = 0;
for my $i (1 .. $crashes)
{
	my $import = (qw(marked pages))[ $i % 2 ];
	my $fraction = rand(0.95);
	my $label = sprintf('crash %d: %s at %.2f', $i, $import, $fraction);
	my @failed;

	# half of them go on from a checkpoint
	$node->safe_psql('postgres', "TRUNCATE $import; SELECT idem_import_rewind('$import')");
	$node->safe_psql('postgres', "SELECT count(*) FROM idem_import_run('$import'); UPDATE src SET v = v || '.', seq = seq + 1000 WHERE id % 2 = 0")
		if $i % 4 > 1;
	my $mark_before = $i % 4 > 1 ? checkpoint($import) : '';
	my ($h, $pid) = start_call($import);
	usleep(1_000_000 * $fraction * $duration{$import});
	kill_call($h, $pid);

	my ($rows, $locks, $mark) = split /\|/, $node->safe_psql('postgres', <<"SQL"), -1;
SELECT (SELECT count(*) FROM $import s JOIN src USING (id, v, seq)), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
	(SELECT checkpoint FROM idem_import_checkpoint WHERE import = '$import')
SQL
	push @failed, "$locks locks left" if $locks > 0;
	$inside++ if $rows > 0 && $rows < 1500;
	if ($import eq 'marked')
	{
		# every row up to the mark, and no other new one
		my $up_to = $mark eq '' ? -1 : $mark;
		my ($missing, $ahead) = split /\|/, $node->safe_psql('postgres', <<"SQL");
SELECT count(*) FILTER (WHERE s.seq <= $up_to AND (s.v, s.seq) IS DISTINCT FROM (d.v, d.seq)),
	count(*) FILTER (WHERE s.seq > $up_to AND (s.v, s.seq) = (d.v, d.seq))
FROM src s LEFT JOIN marked d USING (id)
SQL
		push @failed, "$missing rows below the mark are missing" if $missing > 0;
		push @failed, "$ahead rows beyond the mark are there" if $ahead > 0;
		push @failed, "the mark went back from $mark_before to $mark" if $mark_before ne '' && $mark < $mark_before;
	}
	else
	{
		push @failed, 'the snapshot moved before all was read' if $mark ne $mark_before && $rows < 1500;
	}

	$node->safe_psql('postgres', "CALL idem_import_run_units('$import')");
	push @failed, 'the rerun ended at other rows' if wrong_rows($import, 'true') ne '0';
	my $end = $node->safe_psql('postgres', <<"SQL");
SELECT sum(inserted + updated), CASE WHEN '$import' = 'marked' THEN max(checkpoint)::int ELSE max(seq) END = max(seq)
FROM idem_import_run('$import'), (SELECT max(seq) AS seq FROM src) s;
UPDATE src SET seq = id / 3 WHERE seq <> id / 3;
SQL
	push @failed, "another run wrote rows, or left the mark elsewhere: $end" if $end ne '0|t';
	push @bad, map { "$label: $_" } @failed;
	note(sprintf('%s: %d rows, mark %s%s', $label, $rows, $mark, @failed ? ' FAILED' : ''));
}
is_deeply(\@bad, [], "$crashes crashes, seed $seed");
cmp_ok($inside, '>=', $crashes * 0.4, 'most of them hit between the first batch and the last');

# three rows of one cursor value, and a crash after the second
$node->safe_psql('postgres', <<'SQL');
TRUNCATE marked;
SELECT idem_import_rewind('marked');
CALL idem_import_run_units('marked');
SELECT idem_import_alter('marked', batch_size => 2);
INSERT INTO src SELECT g, 'tie', 500 FROM generate_series(1500, 1502) g;
CREATE TRIGGER wait BEFORE INSERT ON marked FOR EACH ROW EXECUTE FUNCTION wait_at_last_of_tie();
SQL
my ($h, $pid) = start_call('marked');
$node->poll_query_until('postgres', "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $pid");
kill_call($h, $pid);
is(checkpoint('marked'), '499', 'a tie that is not complete is not passed');
is(wrong_rows('marked', 'seq < 500'), '0', 'nor is part of it applied');
$node->safe_psql('postgres', 'DROP TRIGGER wait ON marked');
$node->safe_psql('postgres', q{CALL idem_import_run_units('marked')});
is(wrong_rows('marked', 'true'), '0', 'the rerun has all of it');
is(checkpoint('marked'), '500', 'and passes it');

# A writer's transaction, prepared and committed late, over a restart.
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 2');
$node->restart;
$node->safe_psql('postgres', "SELECT count(*) FROM idem_import_run('pages')");
$node->safe_psql('postgres', "BEGIN; INSERT INTO src VALUES (1600, 'prepared', 1); PREPARE TRANSACTION 'late'");
$node->safe_psql('postgres', "INSERT INTO src VALUES (1601, 'soon', 1000)");
my $counts = 'SELECT attempted, inserted FROM idem_import_run(%s)';
is($node->safe_psql('postgres', sprintf($counts, q{'pages'})), '1|1', 'prepared: what is committed');
$node->restart;
$node->safe_psql('postgres', "COMMIT PREPARED 'late'");
is($node->safe_psql('postgres', sprintf($counts, q{'pages'})), '1|1', 'prepared: what was committed late');
is($node->safe_psql('postgres', sprintf($counts, q{'pages'})), '0|0', 'and then nothing');
is($node->safe_psql('postgres', sprintf($counts, q{'marked'})), '4|1', 'the cursor finds what lies above its mark');

# Another server: a dump, a promoted standby.
my $note = q{SELECT attempted, inserted, substring(note FROM 'read from [^;]*') FROM idem_import_run('pages')};
my $mark = q{SELECT attempted, checkpoint FROM idem_import_run('marked')};
my $total = $node->safe_psql('postgres', 'SELECT count(*) FROM src');
my $elsewhere = "$total|0|read from the start: the checkpoint is of another server, or of a time before a recovery";

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('promoted');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup('promoted', 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', q{SELECT attempted FROM idem_import_plan('pages')}), '0', 'a standby believes the checkpoint');
$standby->promote;
is($standby->safe_psql('postgres', $note), $elsewhere, 'promoted, it does not');
is($standby->safe_psql('postgres', sprintf($counts, q{'pages'})), '0|0', 'until it has one of its own');
is($standby->safe_psql('postgres', $mark), '1|1000', 'a mark is good everywhere');
$standby->stop('fast');
is($node->safe_psql('postgres', sprintf($counts, q{'pages'})), '0|0', 'nothing has changed for the primary');

my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', $conf);
$other->start;
$other->safe_psql('postgres', 'CREATE DATABASE restored');
my $dump = $node->backup_dir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
$other->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $other->connstr('restored') ], 'restore');
is($other->safe_psql('restored', $note), $elsewhere, 'restored: all is read again');
is($other->safe_psql('restored', $mark), '1|1000', 'but for what the mark has passed');
# in the server that it comes from, the rows have been written anew
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'restore beside it');
is($node->safe_psql('restored', sprintf($counts, q{'pages'})), "$total|0", 'restored beside it: all is read again');
$node->safe_psql('postgres', 'DROP DATABASE restored');

# pg_upgrade keeps the rows, but not the server's identity
my $bindir = $node->config_data('--bindir');
my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
$upgraded->init;
$node->safe_psql('postgres', "INSERT INTO src VALUES (1700, 'before the upgrade', 1001)");
$node->stop;
my $cwd = Cwd::getcwd();
my ($old_data, $new_data) = map { File::Spec->rel2abs($_->data_dir) } ($node, $upgraded);
chdir $upgraded->basedir or die;
command_ok(
	[ 'pg_upgrade', '--no-sync', '-d', $old_data, '-D', $new_data, '-b', $bindir, '-B', $bindir,
		'-s', $node->host, '-p', $node->port, '-P', $upgraded->port ],
	'pg_upgrade');
chdir $cwd or die;
$upgraded->start;
$total++;
is($upgraded->safe_psql('postgres', $note), "$total|1|read from the start: the checkpoint is of another server, or of a time before a recovery",
	'upgraded: all is read again');
is($upgraded->safe_psql('postgres', $mark), '2|1001', 'upgraded: the mark is where it was');
$upgraded->stop;

# The transaction counter goes round.  Rows keep the number that they were
# written under when they are frozen.
$node = $other;
$node->safe_psql('postgres', 'DROP DATABASE restored');
$node->safe_psql('postgres', 'UPDATE pg_database SET datallowconn = true');
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE src (id int PRIMARY KEY, v text);
CREATE TABLE dst (id int PRIMARY KEY, v text);
INSERT INTO src SELECT g, 'old' FROM generate_series(1, 100) g;
SELECT idem_import_create('round', 'src', 'dst', key => '{id}', track => 'snapshot');
SQL

sub jump
{
	my ($xid, @options) = @_;
	$node->command_ok([ 'vacuumdb', '-a', '-q', '--freeze' ], "freeze all before $xid");
	$node->stop;
	my $segment = sprintf('%s/pg_xact/%04X', $node->data_dir, $xid / 1048576);
	if (!-e $segment)
	{
		open my $file, '>', $segment or die "$segment: $!";
		binmode $file;
		print {$file} "\0" x 262144;
		close $file;
	}
	command_ok([ 'pg_resetwal', '-x', $xid, @options, $node->data_dir ], "the next transaction is $xid");
	$node->start;
	return;
}

sub run_round
{
	return $node->safe_psql('postgres', sprintf($counts, q{'round'}));
}

is(run_round(), '100|100', 'the first run');
is(run_round(), '0|0', 'there is no more');
for my $xid (2_000_000_000, 4_000_000_000, 4_294_967_200)
{
	$node->safe_psql('postgres', "INSERT INTO src SELECT max(id) + 1, 'before $xid' FROM src");
	jump($xid);
	$node->safe_psql('postgres', "INSERT INTO src SELECT max(id) + 1, 'after $xid' FROM src");
	is(run_round(), '2|2', "at $xid: a row that is frozen, and one that is not");
	is(run_round(), '0|0', "at $xid: no more");
}
# round, with a writer that began before
my ($in, $out, $err) = ("BEGIN; INSERT INTO src VALUES (1000, 'began before'); SELECT 'begun';\n", '', '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);
$session->pump until $out =~ /begun/;
$node->safe_psql('postgres', join(';', map { "BEGIN; SELECT pg_current_xact_id(); COMMIT" } 1 .. 150));
cmp_ok($node->safe_psql('postgres', 'SELECT pg_current_xact_id()'), '>', 4_294_967_296, 'the counter has gone round');
$node->safe_psql('postgres', "INSERT INTO src VALUES (1001, 'after')");
is(run_round(), '1|1', 'round: what is committed');
is(run_round(), '0|0', 'round: no more');
$in = "COMMIT; SELECT 'done';\n";
$session->pump until $out =~ /done/;
$in = "\\q\n";
$session->finish;
is(run_round(), '1|1', 'round: what was committed late');
is(run_round(), '0|0', 'round: and then nothing');
# Frozen rows now have numbers that have been given once more since: they are
# read again where that can't be told, and not skipped.
$node->safe_psql('postgres', "INSERT INTO src VALUES (1002, 'one round later')");
jump(10_000);
is(run_round(), '102|1', 'a round later: rows that may be new are read again');
is(run_round(), '0|0', 'a round later: and then not any more');
is($node->safe_psql('postgres', 'SELECT count(*), count(d.id) FROM src LEFT JOIN dst d USING (id, v)'), '109|109', 'no row is missing');
$node->stop;
done_testing();
