# Targets on a second server: partitions that are foreign tables, one local and
# one foreign partition, a lone foreign table; and a foreign source.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $remote = PostgreSQL::Test::Cluster->new('remote');
$remote->init;
$remote->start;
my $local = PostgreSQL::Test::Cluster->new('local');
$local->init;
$local->start;

my ($rc, $out, $err) = $local->psql('postgres', 'CREATE EXTENSION postgres_fdw');
if ($rc != 0)
{
	$local->stop;
	$remote->stop;
	plan skip_all => "postgres_fdw is not installed: $err";
}

$remote->safe_psql('postgres', <<'SQL');
CREATE TABLE far_0 (region text NOT NULL, id int NOT NULL, v text, PRIMARY KEY (region, id));
CREATE TABLE far_1 (LIKE far_0 INCLUDING ALL);
CREATE TABLE far_only (id int PRIMARY KEY, v text, n numeric);
CREATE TABLE far_days (day date, id int, v text, UNIQUE (day, id));
CREATE TABLE far_ids (id int PRIMARY KEY, region text, v text);
CREATE TABLE far_ids2 (LIKE far_ids INCLUDING ALL);
CREATE TABLE far_stage (id int, v text, n numeric);
CREATE TABLE written (relation text, operation text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS
	$$BEGIN INSERT INTO written VALUES (TG_RELNAME, TG_OP); RETURN NULL; END$$;
DO $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY '{far_0,far_1,far_only,far_days,far_ids,far_ids2}'::text[] LOOP
		EXECUTE format('CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION note()', t);
	END LOOP;
END$$;
SQL

my ($host, $port) = ($remote->host, $remote->port);
$local->safe_psql('postgres', <<"SQL");
CREATE EXTENSION idem_import;
CREATE SERVER remote FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
CREATE USER MAPPING FOR CURRENT_USER SERVER remote;

-- all partitions foreign, the partition key part of the key
CREATE TABLE regions (region text NOT NULL, id int NOT NULL, v text) PARTITION BY LIST (region);
CREATE FOREIGN TABLE regions_0 PARTITION OF regions FOR VALUES IN ('eu', 'uk') SERVER remote OPTIONS (table_name 'far_0');
CREATE FOREIGN TABLE regions_1 PARTITION OF regions FOR VALUES IN ('us') SERVER remote OPTIONS (table_name 'far_1');
CREATE TABLE regions_src (region text, id int, v text);

-- one local, one foreign; a scope of days
CREATE TABLE days (day date NOT NULL, id int NOT NULL, v text) PARTITION BY RANGE (day);
CREATE TABLE days_0 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE UNIQUE INDEX ON days_0 (day, id);
CREATE FOREIGN TABLE days_1 PARTITION OF days FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') SERVER remote OPTIONS (table_name 'far_days');
CREATE TABLE days_src (day date, id int, v text);

-- the partition key is no part of the key: rows move
CREATE TABLE moves (id int NOT NULL, region text, v text) PARTITION BY LIST (region);
CREATE FOREIGN TABLE moves_0 PARTITION OF moves FOR VALUES IN ('eu') SERVER remote OPTIONS (table_name 'far_ids');
CREATE FOREIGN TABLE moves_1 PARTITION OF moves FOR VALUES IN ('us') SERVER remote OPTIONS (table_name 'far_ids2');
CREATE TABLE moves_2 PARTITION OF moves (id PRIMARY KEY) FOR VALUES IN ('here');
CREATE TABLE moves_src (id int, region text, v text);

CREATE FOREIGN TABLE lone (id int, v text, n numeric) SERVER remote OPTIONS (table_name 'far_only');
CREATE FOREIGN TABLE stage (id int, v text, n numeric) SERVER remote OPTIONS (table_name 'far_stage');
CREATE TABLE near (id int PRIMARY KEY, v text, n numeric);
CREATE TABLE only_src (id int, v text, n numeric);

SELECT idem_import_create('regions', 'regions_src', 'regions', key => '{region,id}', delete_missing => true);
SELECT idem_import_create('regions_over', 'regions_src', 'regions', mode => 'overwrite', key => '{region,id}', scope => '{region}', out_of_scope => 'ignore');
SELECT idem_import_create('days', 'days_src', 'days', mode => 'overwrite', scope => '{day}', slice => '1 month', out_of_scope => 'ignore');
SELECT idem_import_create('days_merge', 'days_src', 'days', key => '{day,id}');
SELECT idem_import_create('days_repl', 'days_src', 'days', mode => 'overwrite', key => '{day,id}', method => 'replace', scope => '{day}', slice => '1 month', out_of_scope => 'ignore');
SELECT idem_import_create('moves', 'moves_src', 'moves', key => '{id}');
SELECT idem_import_create('lone', 'only_src', 'lone', key => '{id}');
SELECT idem_import_create('lone_over', 'only_src', 'lone', mode => 'overwrite', delete_limit => NULL);
SELECT idem_import_create('near', 'stage', 'near', key => '{id}', delete_missing => true);
SQL

my $counts = 'unit, status, attempted, inserted, updated, unchanged, stale, collapsed, rejected, deleted, removed';

# One run with its counts, and a forced one after it, which writes nothing.  A
# verification before tells how many rows it will write, if they have keys, and
# after it finds nothing.
sub run_is
{
	my ($call, $expected, $name, %opt) = @_;
	my ($import) = $call =~ /'(\w+)'/;
	my $last = $local->safe_psql('postgres', 'SELECT coalesce(max(run_id), 0) FROM idem_import_history');

	is($local->safe_psql('postgres', "SELECT $counts FROM idem_import_plan($call)"), $expected, "$name: plan")
		if !$opt{no_plan};
	my $differing = $local->safe_psql('postgres', "SELECT sum(differing), every(state IN ('missing', 'stale', 'in_sync')), every(jsonb_array_length(keys) = least(differing, 10)) FROM idem_import_verify($call)");
	is($local->safe_psql('postgres', "SELECT $counts FROM idem_import_run($call)"), $expected, $name);
	my $written = $local->safe_psql('postgres', "SELECT sum(inserted + updated + deleted + removed) FROM idem_import_history WHERE run_id > $last");
	is($differing, "$written|t|t", "$name: verified before") if !$opt{no_force};
	is($local->safe_psql('postgres', "SELECT sum(differing), count(*) FILTER (WHERE state <> 'in_sync') FROM idem_import_verify($call)"), '0|0', "$name: verified");
	$remote->safe_psql('postgres', 'TRUNCATE written');
	is($local->safe_psql('postgres', "SELECT sum(inserted + updated + deleted + removed) FROM idem_import_run($call)"), '0', "$name: again");
	is($local->safe_psql('postgres', "SELECT sum(inserted + updated + deleted + removed) FROM idem_import_run($call, force => true)"), '0', "$name: by force")
		if !$opt{no_force};
	is($remote->safe_psql('postgres', 'SELECT count(*) FROM written'), '0', "$name: nothing was written again");
	is($local->safe_psql('postgres', "SELECT count(*) FROM idem_import_history WHERE attempted <> inserted + updated + unchanged + stale + collapsed + rejected + deleted"),
		'0', "$name: counts add up");
	return;
}

sub same
{
	my ($source, $target, $name) = @_;
	is($local->safe_psql('postgres', "TABLE $target ORDER BY 1, 2, 3"), $local->safe_psql('postgres', "TABLE $source ORDER BY 1, 2, 3"), $name);
	return;
}

# merge into foreign partitions
$local->safe_psql('postgres', "INSERT INTO regions_src SELECT (ARRAY['eu', 'uk', 'us'])[1 + g % 3], g, 'v' || g FROM generate_series(1, 300) g");
run_is("'regions'", '*|applied|300|300|0|0|0|0|0|0|0', 'foreign partitions: load');
same('regions_src', 'regions', 'foreign partitions: loaded');
is($remote->safe_psql('postgres', 'SELECT count(*) FROM far_0'), '200', 'eu and uk are in the first');
$local->safe_psql('postgres', <<'SQL');
UPDATE regions_src SET v = 'new' WHERE id <= 30;
UPDATE regions_src SET region = 'us' WHERE id = 33;
DELETE FROM regions_src WHERE id > 290;
INSERT INTO regions_src VALUES ('eu', 1000, 'more'), ('us', 1000, 'more');
SQL
run_is("'regions'", '*|applied|292|3|30|259|0|0|0|0|11', 'foreign partitions: changes');
same('regions_src', 'regions', 'foreign partitions: changed');

# overwrite one unit of them
$local->safe_psql('postgres', <<'SQL');
UPDATE regions_src SET v = 'over';
DELETE FROM regions_src WHERE region = 'us' AND id < 20;
INSERT INTO regions_src VALUES ('us', 1001, 'more');
SQL
run_is("'regions_over', 'us'", 'us|applied|94|1|93|0|0|0|0|0|6', 'foreign partitions: overwrite a unit');
is($local->safe_psql('postgres', "SELECT count(*) FILTER (WHERE v = 'over'), count(*) FILTER (WHERE region <> 'us') FROM regions"), '93|193', 'and no other');
run_is("'regions_over'", "eu|applied|96|0|96|0|0|0|0|0|0\nuk|applied|97|0|97|0|0|0|0|0|0\nus|skipped|94|0|0|94|0|0|0|0|0",
	'foreign partitions: overwrite all units', no_plan => 1);
same('regions_src', 'regions', 'foreign partitions: overwritten');

# local and foreign partitions
$local->safe_psql('postgres', "INSERT INTO days_src SELECT date '2026-01-21' + g % 20, g, 'v' || g FROM generate_series(1, 200) g");
run_is("'days'", "[2026-01-01,2026-02-01)|applied|110|110|0|0|0|0|0|0|0\n[2026-02-01,2026-03-01)|applied|90|90|0|0|0|0|0|0|0", 'mixed partitions: load', no_force => 1);
same('days_src', 'days', 'mixed partitions: loaded');
$local->safe_psql('postgres', "UPDATE days_src SET v = 'new' WHERE id IN (5, 15); DELETE FROM days_src WHERE id = 31");
run_is("'days', '2026-02-03'", "[2026-02-01,2026-03-01)|applied|89|89|0|0|0|0|0|0|90", 'mixed partitions: overwrite the foreign slice', no_force => 1);
run_is("'days_merge'", "*|applied|199|0|1|198|0|0|0|0|0", 'mixed partitions: merge');
same('days_src', 'days', 'mixed partitions: changed');
$local->safe_psql('postgres', "UPDATE days_src SET v = 'repl' WHERE id IN (5, 15)");
run_is("'days_repl'", "[2026-01-01,2026-02-01)|applied|110|0|1|109|0|0|0|0|0\n[2026-02-01,2026-03-01)|applied|89|0|1|88|0|0|0|0|0",
	'mixed partitions: replace');
same('days_src', 'days', 'mixed partitions: replaced');

# rows whose partition key changes
$local->safe_psql('postgres', "INSERT INTO moves_src SELECT g, (ARRAY['eu', 'us', 'here'])[1 + g % 3], 'v' || g FROM generate_series(1, 60) g");
run_is("'moves'", '*|applied|60|60|0|0|0|0|0|0|0', 'moves: load');
$local->safe_psql('postgres', "UPDATE moves_src SET region = (ARRAY['eu', 'us', 'here'])[1 + (id / 3) % 3], v = v || '!' WHERE id <= 30");
my $changed = $local->safe_psql('postgres', 'SELECT count(*) FROM moves_src s JOIN moves t USING (id) WHERE (s.region, s.v) IS DISTINCT FROM (t.region, t.v)');
run_is("'moves'", "*|applied|60|0|$changed|30|0|0|0|0|0", 'moves: rows change their partition');
same('moves_src', 'moves', 'moves: all rows are there');
is($local->safe_psql('postgres', "SELECT tableoid::regclass, region, count(*) FROM moves GROUP BY 1, 2 ORDER BY 2"),
	$local->safe_psql('postgres', "SELECT (CASE region WHEN 'eu' THEN 'moves_0' WHEN 'us' THEN 'moves_1' ELSE 'moves_2' END), region, count(*) FROM moves_src GROUP BY 1, 2 ORDER BY 2"),
	'moves: each in its partition');

# a lone foreign table
$local->safe_psql('postgres', "INSERT INTO only_src SELECT g, 'v' || g, g / 4.0 FROM generate_series(1, 100) g");
run_is("'lone'", '*|applied|100|100|0|0|0|0|0|0|0', 'foreign table: load');
$local->safe_psql('postgres', "UPDATE only_src SET n = n + 1 WHERE id <= 10; INSERT INTO only_src VALUES (101, 'more', 1.50)");
run_is("'lone'", '*|applied|101|1|10|90|0|0|0|0|0', 'foreign table: changes');
same('only_src', 'lone', 'foreign table: changed');
$local->safe_psql('postgres', "UPDATE only_src SET v = 'over' WHERE id <= 3");
run_is("'lone_over'", '*|applied|101|101|0|0|0|0|0|0|101', 'foreign table: overwrite without a key', no_force => 1);
same('only_src', 'lone', 'foreign table: overwritten');

# a failed run leaves nothing behind, here or there
$local->safe_psql('postgres', "INSERT INTO only_src VALUES (NULL, 'no key', 1), (200, 'more', 2)");
($rc, $out, $err) = $local->psql('postgres', "SELECT idem_import_run('lone')");
like($err, qr/too many rejects/, 'foreign table: a run fails');
$local->psql('postgres', "DELETE FROM only_src WHERE id IS NULL; BEGIN; SELECT idem_import_run('lone'); ROLLBACK");
is($remote->safe_psql('postgres', 'SELECT count(*), count(*) FILTER (WHERE id = 200) FROM far_only'), '101|0', 'foreign table: nothing of it is left');
is($local->safe_psql('postgres', "SELECT status FROM idem_import_ledger WHERE import = 'lone'"), 'failed', 'foreign table: but the failure is known');

# a foreign source
$remote->safe_psql('postgres', "INSERT INTO far_stage SELECT g, 'v' || g, g FROM generate_series(1, 50) g");
run_is("'near'", '*|applied|50|50|0|0|0|0|0|0|0', 'foreign source: load');
$remote->safe_psql('postgres', "DELETE FROM far_stage WHERE id = 1; UPDATE far_stage SET v = 'new' WHERE id = 2");
run_is("'near'", '*|applied|49|0|1|48|0|0|0|0|1', 'foreign source: changes');
same('stage', 'near', 'foreign source: the same');

# two rows of one key on two servers: nobody can say which one is meant
$remote->safe_psql('postgres', "INSERT INTO far_ids2 SELECT id, 'us', 'twin' FROM far_ids ORDER BY id LIMIT 1");
($rc, $out, $err) = $local->psql('postgres', "SELECT idem_import_run('moves')");
like($err, qr/more than one row of a key/, 'moves: a key that two partitions hold is refused');

# the other server is down
$remote->stop('immediate');
($rc, $out, $err) = $local->psql('postgres', "SELECT idem_import_run('lone')");
like($err, qr/could not connect to server/, 'foreign table: its server is down');
is($local->safe_psql('postgres', "SELECT sqlstate FROM idem_import_ledger WHERE import = 'lone'"), '08001', 'foreign table: and the ledger says so');

$local->stop;
done_testing();
