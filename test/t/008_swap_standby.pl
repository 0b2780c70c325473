# A standby replays what runs write natively and what they exchange: the same
# rows, sound storage, the same files.  A reader there goes on reading what it read, and
# promoted it goes on where the primary was.
use strict;
use warnings;

use FindBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
CONF
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = -1');
$standby->start;

my $columns = 'id, day, v, n, tags, body';
my $table = 'id int, day date, v text, n int, tags int[], body text';
$primary->safe_psql('postgres', slurp_file("$FindBin::RealBin/../storage.sql") . <<"SQL");
CREATE EXTENSION idem_import;
CREATE EXTENSION amcheck;
CREATE TABLE src AS
	SELECT g AS id, date '2026-02-01' + g % 28 AS day, 'v ' || g AS v, g % 7 AS n, ARRAY[g % 11, g % 13] AS tags,
		CASE WHEN g % 12 = 0 THEN repeat(md5(g::text), 180) ELSE md5(g::text) END AS body
	FROM generate_series(1, 5000) g;
CREATE TABLE diff_dst ($table, PRIMARY KEY (id));
CREATE TABLE swap_dst ($table, PRIMARY KEY (id));
CREATE TABLE bare_dst ($table);
CREATE TABLE leaf_dst ($table, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE leaf_1 PARTITION OF leaf_dst FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE leaf_2 PARTITION OF leaf_dst FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SQL
my @modes = qw(diff swap bare leaf);
my $methods = "delete_limit => NULL, method => ";
my %create = (
	diff => "key => '{id}', delete_missing => true, $methods 'diff'",
	swap => "key => '{id}', delete_missing => true, $methods 'swap'",
	bare => "mode => 'overwrite', $methods 'swap'",
	leaf => "key => '{id,day}', scope => '{day}', slice => '1 month', delete_missing => true, $methods 'swap'");
my %run = map { $_ => "SELECT status || ' ' || method || ' ' || engine FROM idem_import_run('$_')" } @modes;
$run{leaf} =~ s/'leaf'/'leaf', '2026-02-01'/;
for my $mode (@modes)
{
	$primary->safe_psql('postgres', <<"SQL");
ALTER TABLE ${mode}_dst ALTER body SET STORAGE EXTERNAL;
CREATE INDEX ON ${mode}_dst (v);
CREATE INDEX ON ${mode}_dst (lower(left(body, 20))) WHERE n > 3;
CREATE INDEX ON ${mode}_dst USING gin (tags);
CREATE INDEX ON ${mode}_dst USING brin (day);
SELECT idem_import_create('$mode', 'src', '${mode}_dst', $create{$mode});
SQL
}

sub catch_up
{
	$primary->wait_for_catchup('standby', 'replay', $primary->lsn('insert'));
	return;
}

sub rows
{
	my ($node, $what) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*) || ' ' || idem_import_checksum(idem_import_hash($columns)) FROM $what");
}

# The database's files, by the relations that they belong to; "none" belong to no relation.
sub files
{
	my ($node) = @_;
	return $node->safe_psql('postgres', <<'SQL');
SELECT string_agg(coalesce(c.oid::regclass::text, 'none'), ' ' ORDER BY c.oid)
FROM pg_database d, pg_ls_dir('base/' || d.oid) f LEFT JOIN pg_class c ON pg_relation_filenode(c.oid) = f::oid
WHERE d.datname = current_database() AND f ~ '^[0-9]+$' AND pg_relation_size(c.oid) IS DISTINCT FROM 0
SQL
}

# Both hold the same, in heaps and by indexes, and it is sound.
sub same
{
	my ($what) = @_;
	my @bad;
	catch_up();
	for my $mode (@modes)
	{
		my $rows = rows($primary, "${mode}_dst");
		push @bad, "$mode: other rows than the source" if $rows ne rows($primary, 'src');
		push @bad, "$mode: other rows" if rows($standby, "${mode}_dst") ne $rows;
		for my $where (q{v > 'v 3'}, q{n > 3 AND lower(left(body, 20)) < '7'}, 'tags @> ARRAY[5, 2]', q{day = '2026-02-09'})
		{
			my $indexed = $standby->safe_psql('postgres', <<"SQL");
SET enable_seqscan = off;
SELECT count(*) || ' ' || idem_import_checksum(idem_import_hash($columns)) FROM ${mode}_dst WHERE $where
SQL
			push @bad, "$mode: an index lies: $where" if $indexed ne rows($primary, "src WHERE $where");
		}
		push @bad, map { "$mode: $_" } split /\n/, $_->safe_psql('postgres', "SELECT * FROM storage_faults('${mode}_dst')") for $primary, $standby;
	}
	my $ledger = 'SELECT string_agg(l::text, E\'\n\' ORDER BY import) FROM idem_import_ledger l';
	push @bad, 'another ledger' if $standby->safe_psql('postgres', $ledger) ne $primary->safe_psql('postgres', $ledger);
	is_deeply(\@bad, [], $what);
	return;
}

sub run_all
{
	my ($node, $what, $before) = @_;
	for my $mode (@modes)
	{
		my $method = $mode eq 'diff' ? 'diff' : 'swap';
		is($node->safe_psql('postgres', ($before // '') . $run{$mode}), "applied $method native", "$what: $mode");
	}
	return;
}

run_all($primary, 'first load');
same('first load: standby');

$primary->safe_psql('postgres', <<'SQL');
UPDATE src SET v = 'w ' || id, body = reverse(body) WHERE id % 2 = 0;
DELETE FROM src WHERE id % 5 = 0;
INSERT INTO src SELECT id + 10000, day, v, n, tags, body FROM src WHERE id % 3 = 0;
SQL

# A reader of the standby keeps its rows for as long as its transaction lasts: replay waits for it.
my $before = rows($standby, 'swap_dst');
{
	my $read = "SELECT 'rows: ' || count(*) || ' ' || idem_import_checksum(idem_import_hash($columns)) FROM swap_dst;\n";
	my ($in, $out, $err) = ('', '', '');
	my $reader = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $standby->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);
	$in = "BEGIN ISOLATION LEVEL REPEATABLE READ;\n$read";
	$reader->pump until $out =~ /rows: .*\n/ || $err ne '';
	run_all($primary, 'changes');
	ok($standby->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'}),
		'changes: replay waits for a reader');
	$in .= "${read}COMMIT;\n\\q\n";
	$reader->finish;
	is($err, '', 'changes: the reader is not disturbed');
	is($out, "rows: $before\nrows: $before\n", 'changes: the reader reads on');
}
same('changes: standby');
isnt(rows($standby, 'swap_dst'), $before, 'changes: are changes');

# What is undone leaves nothing, and what follows it is right.
$primary->safe_psql('postgres', 'UPDATE src SET n = n + 1');
run_all($primary, 'undone', "BEGIN; INSERT INTO src SELECT -id, day, v, n, tags, body FROM src LIMIT 9;\n");
$primary->safe_psql('postgres', "$run{$_}; INSERT INTO ${_}_dst SELECT -id, day, v, n, tags, body FROM src; DELETE FROM ${_}_dst WHERE id <= 0") for @modes;
same('written by plain SQL after: standby');

# a restart point forgets the old files on both
$primary->safe_psql('postgres', 'CHECKPOINT');
catch_up();
$standby->safe_psql('postgres', 'CHECKPOINT');
my $files = files($primary);
unlike($files, qr/none/, 'no file of a relation that is gone');
is(files($standby), $files, 'standby: the same files');

# promoted, it finds nothing to do, and then does it
$primary->stop;
$standby->promote;
for my $mode (@modes)
{
	like($standby->safe_psql('postgres', $run{$mode}), qr/^skipped/, "promoted: $mode again");
}
$standby->safe_psql('postgres', 'UPDATE src SET body = body || v; DELETE FROM src WHERE id % 7 = 0');
run_all($standby, 'promoted');
for my $mode (@modes)
{
	is(rows($standby, "${mode}_dst"), rows($standby, 'src'), "promoted: $mode, rows");
	is($standby->safe_psql('postgres', "SELECT * FROM storage_faults('${mode}_dst')"), '', "promoted: $mode, storage");
}
$standby->stop('immediate');
$standby->start;
for my $mode (@modes)
{
	is(rows($standby, "${mode}_dst"), rows($standby, 'src'), "promoted, crashed: $mode, rows");
	is($standby->safe_psql('postgres', "SELECT * FROM storage_faults('${mode}_dst')"), '', "promoted, crashed: $mode, storage");
}
$standby->stop;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP|terminated by signal/, $_->name . ': no crash') for ($primary, $standby);
done_testing();
