# Dump a database with imports and restore it: definitions, ledger, history,
# rejects and run numbers come along, and a rerun finds nothing to do.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->start;
my $backups = $node->backup_dir;
mkdir $backups;

$node->safe_psql('postgres', 'CREATE DATABASE origin');
$node->safe_psql('origin', <<'SQL');
CREATE ROLE "odd Owner";
CREATE SCHEMA "my Ext";
CREATE SCHEMA "Data ""quoted""" AUTHORIZATION "odd Owner";
CREATE SCHEMA "stage.area" AUTHORIZATION "odd Owner";
CREATE EXTENSION idem_import SCHEMA "my Ext";
GRANT USAGE ON SCHEMA "my Ext" TO "odd Owner";
SET ROLE "odd Owner";
SET search_path = "Data ""quoted""", "my Ext";

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE place AS (x int, y numeric, tag text);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TABLE "Orders" (id int PRIMARY KEY, m mood, tags text[], at place, moods mood[], places place[], n positive, j jsonb, d date);
CREATE TABLE "stage.area"."Orders" (LIKE "Orders");
INSERT INTO "stage.area"."Orders"
SELECT g, (enum_range(NULL::mood))[1 + g % 3], ARRAY['a', 'b' || g, NULL], (g, g / 3.0, NULL)::place,
	enum_range(NULL::mood), ARRAY[(g, 1.50, 'x')::place, NULL], g, jsonb_build_object('g', g), date '2026-01-01' + g % 3
FROM generate_series(1, 90) g;
SELECT idem_import_create('enums', '"stage.area"."Orders"', '"Orders"', key => '{id}', scope => '{d}');

CREATE TABLE log (d date, v text, m mood[]);
CREATE TABLE log_stage (d date, v text, m mood[]);
INSERT INTO log_stage SELECT date '2026-01-30' + g % 4, g, ARRAY['ok'::mood] FROM generate_series(1, 40) g;
SELECT idem_import_create('slices', 'SELECT d, v, m FROM log_stage', 'log', mode => 'overwrite', scope => '{d}', slice => '1 month');

CREATE TABLE bad (id int PRIMARY KEY, v text);
CREATE TABLE bad_stage (id int, v text);
INSERT INTO bad_stage SELECT nullif(g, 5), 'v' || g FROM generate_series(1, 10) g;
SELECT idem_import_create('rejects', 'bad_stage', 'bad', key => '{id}', reject_limit => NULL);
SELECT idem_import_create('fails', 'bad_stage', 'bad', key => '{id}');
SELECT idem_import_create('renamed', 'bad_stage', 'bad', key => '{id}', reject_limit => NULL, mode => 'insert_only');

SELECT count(*) FROM idem_import_run('enums', input => 'page 1', input_hash => '\x01');
SELECT count(*) FROM idem_import_run('slices');
SELECT count(*) FROM idem_import_run('rejects');
SELECT count(*) FROM idem_import_run('renamed');
SELECT idem_import_create('dropped', 'bad_stage', 'bad', key => '{id}');
SELECT idem_import_drop('dropped');
SELECT idem_import_effect_add('done', 'mail', '{}'), idem_import_effect_add('claimed', 'mail', '[1]'), idem_import_effect_add('waits', 'mail', NULL, true);
SELECT idem_import_effect_done(key, token, '"result"') FROM idem_import_effect_claim('mail', 2) WHERE key = 'done';
SQL
my ($rc, $out, $err) = $node->psql('origin', q{SET ROLE "odd Owner"; SET search_path = "my Ext"; SELECT idem_import_run('fails')});
like($err, qr/too many rejects/, 'one import fails');

$node->safe_psql('origin', <<'SQL');
ALTER TABLE "Data ""quoted""".bad RENAME TO "Bad ones";
ALTER TABLE "Data ""quoted""".bad_stage RENAME TO bad_stage2;
ALTER TABLE "Data ""quoted""".bad_stage2 SET SCHEMA "stage.area";
ALTER ROLE "odd Owner" RENAME TO "new Owner";
SQL

my %dumped = (
	definitions => 'SELECT d::text FROM "my Ext".idem_import_definition d ORDER BY 1',
	ledger => 'SELECT l::text FROM "my Ext".idem_import_ledger l ORDER BY 1',
	history => 'SELECT h::text FROM "my Ext".idem_import_history h ORDER BY 1',
	rejects => 'SELECT r::text FROM "my Ext".idem_import_reject r ORDER BY 1',
	manifest => 'SELECT m::text FROM "my Ext".idem_import_manifest m ORDER BY 1',
	dropped => 'SELECT d::text FROM "my Ext".idem_import_dropped d ORDER BY 1',
	effects => 'SELECT e::text FROM "my Ext".idem_import_effect e ORDER BY 1',
	effect_id => 'SELECT last_value, is_called FROM "my Ext".idem_import_effect_effect_id_seq',
	run_id => 'SELECT last_value, is_called FROM "my Ext".idem_import_run_id',
	reject_id => 'SELECT last_value, is_called FROM "my Ext".idem_import_reject_reject_id_seq',
	columns => q{SELECT "my Ext".idem_import_checksum("my Ext".idem_import_hash(o)) FROM "Data ""quoted"""."Orders" o});
my %before = map { $_ => $node->safe_psql('origin', $dumped{$_}) } keys %dumped;
cmp_ok(length($before{$_}), '>', 0, "there are $_ to dump") for sort keys %before;
is($node->safe_psql('origin', q{SELECT count(*) FROM "my Ext".idem_import_ledger}), '8', 'eight units in the ledger');

my $units = <<'SQL';
SET ROLE "new Owner";
SET search_path = "my Ext";
SELECT import, unit, status, attempted, unchanged, collapsed, rejected, checksum
FROM unnest('{enums,slices,rejects,renamed}'::text[]) i, idem_import_run(i) r;
SQL
my $rerun = $node->safe_psql('origin', $units);
unlike($rerun, qr/applied|failed/, 'a rerun before the dump is skipped');
%before = map { $_ => $node->safe_psql('origin', $dumped{$_}) } keys %dumped;

command_ok([ 'pg_dump', '-Fp', '-f', "$backups/plain.sql", '-d', $node->connstr('origin') ], 'pg_dump, plain');
command_ok([ 'pg_dump', '-Fc', '-f', "$backups/custom.dump", '-d', $node->connstr('origin') ], 'pg_dump, custom');
command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$backups/dir", '-d', $node->connstr('origin') ], 'pg_dump, two jobs');

sub check_restored
{
	my ($db) = @_;

	is($node->safe_psql($db, $dumped{$_}), $before{$_}, "$db: $_ are the same") for sort keys %dumped;
	is($node->safe_psql($db, $units), $rerun, "$db: a rerun is skipped, with the same checksums");
	is($node->safe_psql($db, q{SELECT count(*) FROM "my Ext".idem_import_history WHERE run_id IN (SELECT run_id FROM "my Ext".idem_import_history GROUP BY 1 HAVING count(*) > 1)}),
		'0', "$db: run numbers go on");
	is($node->safe_psql($db, q{SELECT string_agg(DISTINCT target::text, ' ') FROM "my Ext".idem_import_definition}),
		q{"Data ""quoted"""."Bad ones" "Data ""quoted"""."Orders" "Data ""quoted""".log}, "$db: targets by their names of today");

	is($node->safe_psql($db, <<'SQL'), "skipped|t\n" x 2 . 'skipped|t', "$db: a known input is known");
SET ROLE "new Owner";
SET search_path = "my Ext";
SELECT status, note LIKE 'the input is known%' FROM idem_import_run('enums', input => 'copy', input_hash => '\x01');
SQL

	# and it is no museum
	is($node->safe_psql($db, <<'SQL'), "2026-01-02|applied|30|0|1|29", "$db: imports go on");
UPDATE "stage.area"."Orders" SET m = 'happy' WHERE id = 1;
SET ROLE "new Owner";
SET search_path = "my Ext";
SELECT unit, status, attempted, inserted, updated, unchanged FROM idem_import_run('enums') WHERE status <> 'skipped';
SQL
	my (undef, undef, $stderr) = $node->psql($db, q{SET ROLE "new Owner"; SET search_path = "my Ext"; SELECT idem_import_run('fails')});
	like($stderr, qr/too many rejects: 1 of 10/, "$db: failures fail");
	is($node->safe_psql($db, q{SELECT attempts FROM "my Ext".idem_import_ledger WHERE import = 'fails'}), '2', "$db: and are recorded");
	return;
}

$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(plain custom single parallel jobs);
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$backups/plain.sql", '-d', $node->connstr('plain') ], 'psql');
check_restored('plain');
command_ok([ 'pg_restore', '-e', '-d', $node->connstr('custom'), "$backups/custom.dump" ], 'pg_restore');
check_restored('custom');
command_ok([ 'pg_restore', '--single-transaction', '-d', $node->connstr('single'), "$backups/custom.dump" ], 'pg_restore --single-transaction');
check_restored('single');
command_ok([ 'pg_restore', '-e', '-j', '3', '-d', $node->connstr('jobs'), "$backups/dir" ], 'pg_restore, three jobs');
check_restored('jobs');

# a restored database can be dumped again, to the same
command_ok([ 'pg_dump', '-f', "$backups/again.sql", '-d', $node->connstr('jobs'), '-t', '"my Ext".*', '-a' ], 'dump of the restored');

$node->stop;
done_testing();
