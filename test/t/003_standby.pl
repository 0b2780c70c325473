# A hot standby plans, verifies and hashes as its primary does, and refuses to
# write.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE TABLE src (id int, day date, v text);
CREATE TABLE dst (id int PRIMARY KEY, day date, v text);
INSERT INTO src SELECT g, date '2026-01-01' + g % 2, 'v' || g FROM generate_series(1, 1000) g;
SELECT idem_import_create('unit', 'src', 'dst', key => '{id}', scope => '{day}', out_of_scope => 'ignore', delete_missing => true);
SELECT idem_import_create('log', 'src', 'dst', mode => 'overwrite', key => '{id}', reject_limit => 5);
SELECT count(*) FROM idem_import_run('unit');
UPDATE src SET v = 'new' WHERE id <= 7;
DELETE FROM src WHERE id > 995;
INSERT INTO src VALUES (NULL, '2026-01-01', 'no key');
SQL
$primary->safe_psql('postgres', q{SELECT idem_import_effect_add('e', 'k', '{}');
	SELECT idem_import_effect_done(key, token, '"done"') FROM idem_import_effect_claim('k')});
$primary->wait_for_catchup('standby', 'replay', $primary->lsn('insert'));

sub refused
{
	my ($node, $sql, $what) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/ERROR:  25006: cannot execute \w+\(\) (in a read-only transaction|during recovery)/, $what);
	return;
}

refused($standby, "SELECT idem_import_run('unit')", 'standby: run');
refused($standby, "SELECT idem_import_run('unit', '2026-01-01', force => true)", 'standby: forced run');
refused($standby, "SELECT idem_import_run('nobody')", 'standby: run of what is not there');
refused($standby, "SELECT idem_import_prove('unit')", 'standby: prove');
refused($standby, "SELECT idem_import_approve('unit')", 'standby: approve');
refused($standby, "SELECT idem_import_drop('unit')", 'standby: drop');
refused($standby, 'SELECT idem_import_prune()', 'standby: prune');
refused($standby, "SELECT idem_import_alter('unit', delete_missing => false)", 'standby: alter');
refused($standby, "SELECT idem_import_create('other', 'src', 'dst', key => '{id}')", 'standby: create');

refused($standby, "SELECT idem_import_effect_$_", "standby: effect_$_")
	for "add('x', 'k', '{}')", "claim('k')", "done('e', gen_random_uuid())", "fail('e', gen_random_uuid(), 'x')", "approve('e')";

refused($primary, "BEGIN READ ONLY; SELECT idem_import_run('unit')", 'read-only transaction: run');
refused($primary, "BEGIN READ ONLY; SELECT idem_import_prove('unit')", 'read-only transaction: prove');
refused($primary, "BEGIN READ ONLY; SELECT idem_import_drop('unit')", 'read-only transaction: drop');
refused($primary, "SET default_transaction_read_only = on; SELECT idem_import_run('unit')", 'read-only by default: run');

my $columns = 'import, unit, status, method, attempted, inserted, updated, unchanged, stale, collapsed, rejected, deleted, removed, run_id, note';
for my $call ("'unit'", "'unit', '2026-01-01'", "'unit', '[2026-01-01,2026-01-05)'", "'log'")
{
	my $plan = "SELECT $columns FROM idem_import_plan($call)";
	my $expected = $primary->safe_psql('postgres', $plan);
	like($expected, qr/applied|would stop with II004/, "plan($call)");
	like($expected, qr/takes ROW EXCLUSIVE on public\.dst/, "plan($call) tells the lock that the run takes");
	is($standby->safe_psql('postgres', $plan), $expected, "standby: plan($call)");
	is($primary->safe_psql('postgres', "BEGIN READ ONLY; $plan; COMMIT"), $expected, "read-only transaction: plan($call)");
	is($standby->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; $plan; COMMIT"), $expected, "standby, repeatable read: plan($call)");
}

for my $call ('', "'unit'", "'unit', '2026-01-01'", "'log'")
{
	my $verify = "SELECT * FROM idem_import_verify($call) ORDER BY import, unit";
	my $expected = $primary->safe_psql('postgres', $verify);
	like($expected, $call =~ /log/ ? qr/\|missing\|/ : qr/\|stale\|/, "verify($call)");
	is($standby->safe_psql('postgres', $verify), $expected, "standby: verify($call)");
	is($primary->safe_psql('postgres', "BEGIN READ ONLY; $verify; COMMIT"), $expected, "read-only transaction: verify($call)");
	is($standby->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; $verify; COMMIT"), $expected, "standby, repeatable read: verify($call)");
}

for my $sum ('SELECT count(*), idem_import_checksum(idem_import_hash(d)) FROM dst d',
	"SELECT idem_import_key(1, 'a'::text, now()::date)",
	"SELECT idem_import_effect_result('e')",
	'SELECT target_rows, target_checksum FROM idem_import_ledger ORDER BY unit',
	'SELECT import, last_run_id, last_status, units, open_rejects FROM idem_import_status ORDER BY import')
{
	is($standby->safe_psql('postgres', $sum), $primary->safe_psql('postgres', $sum), "standby: $sum");
}

is($standby->safe_psql('postgres', "BEGIN; SELECT FROM idem_import_plan('unit');
	SELECT string_agg(DISTINCT mode, ' ') FROM pg_locks WHERE relation IN ('src'::regclass, 'dst'::regclass); COMMIT"),
	'AccessShareLock', 'standby: a plan only reads');
my $stopped = $primary->safe_psql('postgres', q{
	CREATE TABLE gone (LIKE src);
	GRANT SELECT ON gone TO PUBLIC;
	CREATE ROLE reader;
	GRANT SELECT, INSERT, UPDATE, DELETE ON dst TO reader;
	SET ROLE reader;
	SELECT idem_import_create('poor', 'gone', 'dst', key => '{id}', delete_missing => true);
	RESET ROLE;
	SELECT status, note FROM idem_import_plan('poor')});
like($stopped, qr/awaiting_approval.*would stop with II001: it removes 1000 of 1000 rows/, 'plan of a run that stops');
$primary->wait_for_catchup('standby', 'replay', $primary->lsn('insert'));
is("\n" . $standby->safe_psql('postgres', "SELECT status, note FROM idem_import_plan('poor')"), $stopped, 'standby: plan of a run that stops');
$primary->safe_psql('postgres', "SET ROLE reader; SELECT idem_import_alter('poor', delete_limit => 1); RESET ROLE; REVOKE DELETE ON dst FROM reader");
$primary->wait_for_catchup('standby', 'replay', $primary->lsn('insert'));
for my $node ($primary, $standby)
{
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT idem_import_plan('poor')");
	like($err, qr/ERROR:  42501: permission denied for table dst/, $node->name . ': plan without a privilege');
}

my ($rc, $out, $err) = $standby->psql('postgres', "SELECT idem_import_plan('nobody')");
like($err, qr/import "nobody" does not exist/, 'standby: plan of what is not there');

# promoted, it goes on where the primary was
$primary->stop;
$standby->promote;
is($standby->safe_psql('postgres', "SELECT unit, status, inserted, updated, unchanged, removed FROM idem_import_run('unit', '2026-01-02')"),
	'2026-01-02|applied|0|4|494|2', 'promoted: run');
is($standby->safe_psql('postgres', "SELECT max(run_id) - min(run_id) < 100 AND count(DISTINCT run_id) = count(*) FROM idem_import_history"),
	't', 'promoted: run numbers go on');
$standby->stop;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP|terminated by signal/, $_->name . ': no crash') for ($primary, $standby);
done_testing();
