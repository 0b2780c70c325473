# Effects under fire: sixteen claimers at once, claimers that die, kill -9 of
# the server while a run writes effects, and the sender of test/recipes killed at
# random.  Nothing is handed out twice, nothing is lost, no key is sent twice.
use strict;
use warnings;

use File::Basename qw(dirname);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seed = $ENV{IDEM_CRASH_SEED} // int(time * 1000) % 1_000_000;
srand($seed);
note("seed $seed");

my $claimers = 16;
my $effects = 4000;
my $node = PostgreSQL::Test::Cluster->new('effects');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
restart_after_crash = on
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION idem_import');

# Once the server has noticed that its process $pid is gone, it starts anew; then
# until it takes connections.  (What is written to a psql that could not connect
# would be a broken pipe.)
sub wait_for_server
{
	my $pid = shift;
	my @psql = ('psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT 1');
	for (1 .. 1800)
	{
		return if !($pid && kill 0, $pid) && IPC::Run::run(\@psql, '>', '/dev/null', '2>', '/dev/null');
		usleep(100_000);
	}
	die 'the server does not come back';
}

sub psql_start
{
	my ($sql, $out) = @_;
	return IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', $sql ],
		'>', $out, '2>', '/dev/null');
}

# Each claims until nothing is left, a transaction for each claim and each report.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE handed_out (key text, attempt int, pid int DEFAULT pg_backend_pid());
CREATE PROCEDURE claim_all(kind text, lease interval, report boolean) LANGUAGE plpgsql AS $$
DECLARE
	claimed record;
	found boolean;
BEGIN
	LOOP
		found := false;
		FOR claimed IN SELECT * FROM idem_import_effect_claim(kind, 5, lease) LOOP
			found := true;
			INSERT INTO handed_out VALUES (claimed.key, claimed.attempt);
			IF report THEN
				PERFORM idem_import_effect_done(claimed.key, claimed.token);
			END IF;
		END LOOP;
		COMMIT;
		EXIT WHEN NOT found;
	END LOOP;
END $$;
SQL

$node->safe_psql('postgres', "SELECT count(idem_import_effect_add('k' || g, 'many', to_jsonb(g))) FROM generate_series(1, $effects) g");
my $begun = time;
my @claimers = map { my $out = ''; psql_start(q{CALL claim_all('many', '1 hour', true)}, \$out) } 1 .. $claimers;
$_->finish for @claimers;
note(sprintf('%d effects through %d claimers in %.1f s', $effects, $claimers, time - $begun));
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT key), max(attempt) FROM handed_out'),
	"$effects|$effects|1", 'each effect was handed out once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM idem_import_effect WHERE kind = 'many' AND status = 'done'}),
	$effects, 'and all are done');
cmp_ok($node->safe_psql('postgres', 'SELECT count(DISTINCT pid) FROM handed_out'), '>', 1, 'by several claimers');

# Claimers that die with what they have claimed: taken over when the lease ends.
$node->safe_psql('postgres', "TRUNCATE handed_out; SELECT count(idem_import_effect_add('d' || g, 'dying', to_jsonb(g))) FROM generate_series(1, 300) g");
$node->safe_psql('postgres', q{CALL claim_all('dying', '2 s', false)});
is($node->safe_psql('postgres', q{SELECT count(*) FROM idem_import_effect_claim('dying', 1000)}), 0, 'leased');
usleep(2_100_000);
$node->safe_psql('postgres', q{CALL claim_all('dying', '1 hour', true)});
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT key), max(attempt) FROM handed_out'), '600|300|2',
	'what was claimed by the dead is claimed again, once');

# Kill -9 while a run writes rows and their effects: both are there, or neither.
my $rows = 20000;
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE src AS SELECT g AS id, 'v' || g AS v FROM generate_series(1, $rows) g;
CREATE TABLE dst (id int PRIMARY KEY, v text);
SELECT idem_import_create('crash', 'src', 'dst', key => '{id}', effects =>
	'SELECT ''row '' || id || '' '' || v AS key, ''crash'' AS kind, to_jsonb(v) AS payload
	FROM (SELECT id, v FROM inserted UNION ALL SELECT id, v FROM updated) x');
SELECT 1 FROM idem_import_run('crash');
SQL
$node->safe_psql('postgres', q{UPDATE src SET v = 'w' || id WHERE id % 2 = 0});
my $duration = time;
$node->safe_psql('postgres', q{SELECT 1 FROM idem_import_run('crash')});
$duration = time - $duration;
my ($half, $whole) = (0, 0);
for my $crash (1 .. 8)
{
	my $out = '';
	$node->safe_psql('postgres', "UPDATE src SET v = 'crash $crash of ' || id WHERE id % 2 = 0; CHECKPOINT");
	my $run = psql_start(q{SELECT count(*) FROM idem_import_run('crash')}, \$out);
	usleep(rand($duration * 1_500_000));
	my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE '%idem_import_run(''crash'')%' AND pid <> pg_backend_pid()});
	kill 'KILL', $pid if $pid;
	$run->kill_kill;
	wait_for_server($pid);
	my ($changed, $told) = split /\|/, $node->safe_psql('postgres', <<"SQL");
SELECT (SELECT count(*) FROM dst WHERE v LIKE 'crash $crash of %'), (SELECT count(*) FROM idem_import_effect WHERE payload #>> '{}' LIKE 'crash $crash of %')
SQL
	is($told, $changed, "crash $crash: an effect for each of the rows ($changed)");
	$changed == 0 ? $half++ : $whole++;
	$node->safe_psql('postgres', q{SELECT 1 FROM idem_import_run('crash')});
	is($node->safe_psql('postgres', "SELECT count(*) FROM idem_import_effect WHERE payload #>> '{}' LIKE 'crash $crash of %'"),
		$rows / 2, 'and for all of them after running again');
}
note("$half crashes before the end, $whole after it");

# The recipe: senders that are killed at random, and a mail server that fails.
SKIP:
{
	skip 'no python3', 3 if system('python3 -c "import smtplib, socketserver"') != 0;
	my $recipes = dirname(__FILE__) . '/../recipes';
	my $mails = 150;
	my $delivered = $node->basedir . '/delivered';
	my ($port, $ended) = ('', '');

	$node->safe_psql('postgres', <<"SQL");
CREATE TABLE bills AS SELECT g AS id, 'customer' || g || '\@example.org' AS address FROM generate_series(1, $mails) g;
CREATE TABLE billed (id int PRIMARY KEY, address text);
SELECT idem_import_create('bills', 'bills', 'billed', key => '{id}', effects =>
	'SELECT ''bill '' || id AS key, ''mail'' AS kind,
		jsonb_build_object(''to'', address, ''subject'', ''Bill '' || id, ''body'', ''Please pay.'') AS payload FROM inserted');
SELECT 1 FROM idem_import_run('bills');
SQL
	my $sink = IPC::Run::start([ 'python3', "$recipes/smtp_sink.py", $delivered, '0.1' ], '>', \$port);
	$sink->pump until $port =~ /(\d+)\n/;
	$port = $1;

	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';
	my $killed = 0;
	my $limit = time + 180;
	while (time < $limit)
	{
		my @senders = map {
			IPC::Run::start([ 'python3', "$recipes/send_mail.py", '--port', $port, '--lease', '1', '--batch', '5', '--pause', '0.1' ],
				'2>', '/dev/null')
		} 1 .. 2;
		usleep(300_000 + rand(700_000));
		$_->signal('KILL') for @senders;
		$_->finish for @senders;
		$killed += 2;
		# a refused mail need not wait for ten seconds here
		$node->safe_psql('postgres', q{UPDATE idem_import_effect SET due_at = clock_timestamp() WHERE kind = 'mail' AND status = 'pending' AND failures > 0});
		$ended = $node->safe_psql('postgres', q{SELECT count(*) FROM idem_import_effect WHERE kind = 'mail' AND status <> 'done'});
		last if $ended eq '0';
	}
	$sink->kill_kill;
	is($ended, '0', "all mails are reported as sent, $killed senders killed");
	my @lines = split /\n/, slurp_file($delivered);
	my @first = grep { !/^again / } @lines;
	my %keys = map { $_ => 1 } @first;
	is(scalar(@first), $mails, 'the receiver accepted as many mails as there are bills');
	is(scalar(keys %keys), $mails, 'no key twice');
	note(scalar(@lines) - scalar(@first) . ' came again, and were known by their key');
}

$node->stop;
done_testing();
