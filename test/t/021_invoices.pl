# The nightly invoices, with a crash in the middle: told once, step by step,
# and then under kill -9 at random moments.
#
# An API has invoices, in pages.  A job fetches page after page and imports
# each.  Who has an overdue invoice is to get a reminder, by mail: one for each
# invoice and due date.  The bookkeeping takes over what has changed since.
#
# The job knows nothing of what it did before.  If anything goes wrong, it begins
# again at the first page.
#
# IDEM_INVOICE_CRASHES: how many random crashes.  Rerun a failure with
# IDEM_CRASH_SEED=<the seed that was printed>.
use strict;
use warnings;

use Fcntl qw(:flock);
use IPC::Run ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $crashes = $ENV{IDEM_INVOICE_CRASHES} || 50;
my $seed = $ENV{IDEM_CRASH_SEED} // int(time * 1000) % 1_000_000;
srand($seed);
note("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('invoices');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
restart_after_crash = on
CONF
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir;

#
# What both parts have in common
#

# The imports.  A page is given to "invoices" by each call, so the table that it
# is declared with stays empty: it says which columns a page has.  Which version
# of an invoice is the newer one is said by the number of its last change.
#
# The query of effects sees the rows that a run writes, and only these.  The key
# says what must happen once: a reminder for this invoice and this due date.
my $declare = <<'SQL';
CREATE EXTENSION idem_import;

CREATE TABLE invoices (id bigint PRIMARY KEY, customer text NOT NULL, amount numeric(12,2) NOT NULL,
	due date NOT NULL, state text NOT NULL, change bigint NOT NULL);
CREATE INDEX ON invoices (change);
CREATE TABLE invoices_page (id bigint, customer text, amount text, due text, state text, change bigint);
SELECT idem_import_create('invoices', source => 'invoices_page', target => 'invoices', key => ARRAY['id'],
	version_column => 'change', order_by => 'change DESC',
	effects => $$SELECT 'reminder:' || id || ':' || due AS key, 'reminder' AS kind,
	                    jsonb_build_object('to', customer, 'amount', amount) AS payload
	             FROM (SELECT id, customer, amount, due, state FROM inserted
	                   UNION ALL SELECT id, customer, amount, due, state FROM updated) written
	             WHERE state = 'overdue'$$);

CREATE TABLE bookings (id bigint PRIMARY KEY, amount numeric(12,2) NOT NULL, state text NOT NULL, change bigint NOT NULL);
SELECT idem_import_create('bookings', source => 'SELECT id, amount, state, change FROM invoices', target => 'bookings',
	key => ARRAY['id'], cursor_column => 'change');

-- what the API has: for the test to make pages of, and to compare with
CREATE TABLE api (page int, id bigint, customer text, amount numeric, due date, state text, change bigint);
SQL

# The body of each page, as the API sends it.
sub write_pages
{
	my ($db) = @_;
	for (split /\n/, $node->safe_psql($db, 'SELECT page, json_agg(to_jsonb(api) - \'page\') FROM api GROUP BY page', extra_params => [ '-F', ' ' ]))
	{
		my ($page, $body) = split / /, $_, 2;
		open my $fh, '>', "$dir/$db.$page.json" or die;
		print $fh "$body\n";
		close $fh or die;
	}
	return;
}

# Import a page: the recipe of README.md, "Pages of an API".  Rows, reminders,
# the note in the manifest that the page is done, and here also what the
# bookkeeping takes over, are one transaction.
sub import_page
{
	my ($db, $page, $wait) = @_;
	$wait = $wait ? 'SELECT pg_sleep(0.01);' : '';
	return <<"SQL";
\\set body `cat '$dir/$db.$page.json'`
BEGIN;
CREATE TEMP TABLE page ON COMMIT DROP AS
SELECT * FROM jsonb_to_recordset(:'body') AS p(id bigint, customer text, amount text, due text, state text, change bigint);
SELECT $page, status, inserted, updated, unchanged FROM idem_import_run('invoices', source => 'pg_temp.page',
    input => 'invoices?page=$page', input_hash => sha256(convert_to(:'body', 'UTF8')));
$wait
SELECT 'bookings', status, attempted, checkpoint FROM idem_import_run('bookings');
COMMIT;
SQL
}

# A psql that does these things, and stops at the first error.  Returns when it
# has said the number of its backend.
my $jobs = 0;

sub job_start
{
	my ($db, $sql) = @_;
	my %job = (out => '', err => '');
	my $file = sprintf("$dir/job%d.sql", $jobs++);

	# a pipe would be held open by a server that is started meanwhile
	append_to_file($file, "SELECT pg_backend_pid();\n$sql");
	$job{h} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', $file ],
		'>', \$job{out}, '2>', \$job{err});
	$job{h}->pump while $job{h}->pumpable && $job{out} !~ /\d+\n/;
	($job{pid}) = $job{out} =~ /(\d+)\n/ or die "no backend: $job{err}";
	return \%job;
}

# The mail server: knows each key again, as it must, and keeps a list of all
# that came.
sub receive
{
	my ($db, $key) = @_;
	open my $fh, '+>>', "$dir/$db.received" or die;
	flock $fh, LOCK_EX or die;
	seek $fh, 0, 0;
	my $again = grep { $_ eq "sent $key\n" } <$fh>;
	syswrite $fh, ($again ? "again $key\n" : "sent $key\n");
	close $fh or die;
	return;
}

sub received
{
	my ($db, $how) = @_;
	return if !-e "$dir/$db.received";
	return sort map { /^$how (.*)/ ? $1 : () } split /\n/, slurp_file("$dir/$db.received");
}

# What a sender does: claim, send with the key, report.  Returns the keys that
# it sent, or nothing if the server has gone away.
sub send_reminders
{
	my ($db, %how) = @_;
	my $claimed = '';
	my @sent;
	my @psql = ('psql', '-XAtq', '-F', ' ', '-d', $node->connstr($db), '-c');
	my $max = $how{max} // 100;
	my $lease = $how{lease} // '1 minute';
	IPC::Run::run([ @psql, "SELECT token, key FROM idem_import_effect_claim('reminder', $max, '$lease')" ], '>', \$claimed, '2>', \my $err) or return;
	for (split /\n/, $claimed)
	{
		my ($token, $key) = split / /;
		receive($db, $key);
		push @sent, $key;
		next if $how{dies_before_reporting} && $how{dies_before_reporting} eq $key;
		IPC::Run::run([ @psql, "SELECT idem_import_effect_done('$key', '$token')" ], '>', \my $out, '2>', \$err);
	}
	return sort @sent;
}

# The ways to go.  No session is asked, and no transaction is finished.
sub crash
{
	my ($how, @pids) = @_;
	if ($how eq 'backend')
	{
		# until the postmaster has seen it, it would let us in
		kill 'KILL', $pids[0];
		usleep(1000) while kill 0, $pids[0];
	}
	elsif ($how eq 'immediate')
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		$node->kill9;
		kill 'KILL', @pids if $how eq 'postmaster and backends';

		# what is left of its children has to go first
		my $started;
		for (1 .. 200)
		{
			$started = !system('pg_ctl', '-w', '-s', '-D', $node->data_dir, '-l', $node->logfile, '-o', '--cluster-name=invoices', 'start');
			last if $started;
			usleep(50_000);
		}
		die 'postmaster did not start' if !$started;
		$node->_update_pid(1);
	}
	for (1 .. 1200)
	{
		return if $node->psql('postgres', 'SELECT 1') == 0;
		usleep(25_000);
	}
	die 'server did not come back';
}

#
# The story
#
$node->safe_psql('postgres', 'CREATE DATABASE story');
$node->safe_psql('story', $declare);

# Four pages.  In the first two, invoices 1, 2, 3, 11 and 12 are overdue.  Page 3
# has three more (21 to 23), invoice 1 once more with a fee, and 11, which is
# paid by now.  Page 4 has one more (31), and gives 2 another due date, also
# missed.  Newer versions have greater changes.
$node->safe_psql('story', <<'SQL');
INSERT INTO api
SELECT (id - 1) / 10 + 1, id, 'customer' || id, 100 + id, '2026-06-01', CASE WHEN id % 10 IN (1, 2, 3) AND id NOT IN (13, 32, 33) THEN 'overdue' ELSE 'open' END, id
FROM generate_series(1, 40) id;
UPDATE api SET change = change + 10 WHERE page = 4;
INSERT INTO api VALUES
	(3, 1, 'customer1', 106, '2026-06-01', 'overdue', 31), (3, 11, 'customer11', 111, '2026-06-01', 'paid', 32),
	(4, 2, 'customer2', 102, '2026-07-01', 'overdue', 51);
SQL
write_pages('story');
my $inputs = q{SELECT string_agg(input || ' ' || status, ', ' ORDER BY input) FROM idem_import_manifest};
my $checkpoint = q{SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'bookings'};
my $counts = q{SELECT count(*), count(DISTINCT id), max(change) FROM invoices};

# 1. The first two pages.
is($node->safe_psql('story', import_page('story', 1)), "1|applied|10|0|0\nbookings|applied|10|10", 'page 1');
like($node->safe_psql('story', import_page('story', 2)), qr/^2\|applied\|10\|0\|0\nbookings\|applied\|\d+\|20$/, 'page 2');
is($node->safe_psql('story', $checkpoint), '20', 'the bookkeeping has read up to change 20');

# 2. A sender sends the five reminders.  It dies before it can report the last.
my @five = sort map { "reminder:$_:2026-06-01" } (1, 2, 3, 11, 12);
is_deeply([ send_reminders('story', lease => '1 s', dies_before_reporting => 'reminder:3:2026-06-01') ], \@five, 'five reminders are sent');

# 3. The third page.  Its rows are written, but not committed: a lock stops the
# run there.
$node->safe_psql('story', <<'SQL');
CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(3); RETURN NULL; END';
CREATE TRIGGER wait_here AFTER INSERT ON invoices FOR EACH ROW WHEN (NEW.id = 30) EXECUTE FUNCTION wait_here();
SQL
my $holder = job_start('story', "SELECT pg_advisory_lock(3);\nSELECT 'holds';\nSELECT pg_sleep(600);\n");
$holder->{h}->pump until $holder->{out} =~ /holds/;
my $page3 = job_start('story', import_page('story', 3));
ok($node->poll_query_until('story', "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 3 AND NOT granted AND pid = $page3->{pid}"),
	'page 3 is being applied');

# 4. The server crashes.
crash('postmaster and backends', $page3->{pid}, $holder->{pid});
eval { $_->{h}->finish } for $page3, $holder;
unlike($page3->{out}, qr/applied/, 'page 3 did not get to its end');

# 5. Nothing of page 3 is there: no invoice, no reminder, no note that it has
# been read, and the checkpoint is where it was.
is($node->safe_psql('story', $counts), '20|20|20', 'the invoices of two pages');
is($node->safe_psql('story', $inputs), 'invoices?page=1 complete, invoices?page=2 complete', 'the manifest knows two pages');
is($node->safe_psql('story', $checkpoint), '20', 'the checkpoint stands at change 20');
is($node->safe_psql('story', q{SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM idem_import_effect}), "@five", 'there are five reminders');

# 6. The job begins again, at the first page.  What is in place is skipped, and
# not even read; the rest is done.
my @again = split /\n/, $node->safe_psql('story', join('', map { import_page('story', $_) } 1 .. 4));
is_deeply([ grep { /^\d/ } @again ], [ '1|skipped|0|0|0', '2|skipped|0|0|0', '3|applied|10|2|0', '4|applied|10|1|0' ], 'the job again, from page 1');

# 7. A sender again.  Four of the five reminders have been reported, so nobody
# gets to see them.  The one that was sent but not reported is sent again, and
# the receiver knows it by its key.  Invoice 1 has changed, but its reminder has
# been sent; the new due date of invoice 2 is a new reminder.
my @new = map { "reminder:$_" } qw(21:2026-06-01 22:2026-06-01 23:2026-06-01 2:2026-07-01 31:2026-06-01);
usleep(1_100_000);
is_deeply([ send_reminders('story') ], [ sort 'reminder:3:2026-06-01', @new ], 'what is sent after the crash');
is_deeply([ received('story', 'again') ], ['reminder:3:2026-06-01'], 'one came twice to the receiver, which has seen it before');
is_deeply([ received('story', 'sent') ], [ sort @five, @new ], 'each reminder was carried out once');

# 8. All is as if nothing had happened.
is($node->safe_psql('story', $counts), '40|40|51', 'no invoice twice');
is($node->safe_psql('story', $checkpoint), '51', 'the checkpoint stands at the last change');
is($node->safe_psql('story', $inputs), join(', ', map { "invoices?page=$_ complete" } 1 .. 4), 'the manifest knows all pages');
is($node->safe_psql('story', q{SELECT string_agg(DISTINCT state, ' ') FROM idem_import_verify()}), 'in_sync', 'the receipts agree');
is($node->safe_psql('story', q{SELECT state, amount FROM invoices WHERE id = 1 UNION ALL SELECT state, amount FROM invoices WHERE id = 11}),
	"overdue|106.00\npaid|111.00", 'the last version of each');

# 9. And may be done again as often as one likes.
@again = split /\n/, $node->safe_psql('story', join('', map { import_page('story', $_) } 1 .. 4));
is_deeply([ grep { /^\d/ } @again ], [ map { "$_|skipped|0|0|0" } 1 .. 4 ], 'the job a third time');
is_deeply([ send_reminders('story') ], [], 'no reminder is left');

#
# The same at random
#
# Many nights of some pages each.  A night's job is crashed at a random moment and
# begun again until it gets to its end; then comes the next night.  Senders work
# all the time, and are killed, too.  Sometimes two jobs run at once.
#
my $pages = 5;
my $nights = $crashes + 1;
my $last_page = $nights * $pages;
my $db = 'nights';
$node->safe_psql('postgres', "CREATE DATABASE $db");
$node->safe_psql($db, $declare);

# Each page: new invoices and new versions of old ones, some of them twice in the
# page, and some versions that came before, on this page or an earlier one.
my (@rows, @versions);
my $change = 0;
for my $page (1 .. $last_page)
{
	for (1 .. 12)
	{
		my $id = 1 + int(rand 300);
		my $row = sprintf(q{%d, 'customer%d', %d.%02d, '2026-06-%02d', '%s'}, $id, $id, rand(1000), rand(100),
			$id % 10 + 1 + int(rand 2), (qw(open overdue paid))[ int(rand 3) ]);
		$row = rand(4) < 1 && @versions ? $versions[ int(rand @versions) ] : $row . ', ' . ++$change;
		push @versions, $row;
		push @rows, "($page, $row)";
	}
}
$node->safe_psql($db, 'INSERT INTO api VALUES ' . join(",\n", @rows));
write_pages($db);

# What there must be once pages 1 to n have been applied, and what is wrong.
$node->safe_psql($db, <<'SQL');
CREATE FUNCTION invoices_after(n int) RETURNS SETOF invoices LANGUAGE sql STABLE AS $$
	SELECT DISTINCT ON (id) id, customer, amount::numeric(12,2), due, state, change FROM api WHERE page <= n ORDER BY id, change DESC
$$;
-- a reminder for each version that a page brought, if it was overdue
CREATE FUNCTION reminders_after(n int) RETURNS SETOF text LANGUAGE sql STABLE AS $$
	SELECT DISTINCT 'reminder:' || id || ':' || due
	FROM (SELECT *, max(change) OVER (PARTITION BY id ORDER BY page) AS newest,
			max(change) OVER (PARTITION BY id ORDER BY page GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
		FROM api WHERE page <= n) a
	WHERE state = 'overdue' AND change = newest AND change IS DISTINCT FROM before
$$;
CREATE FUNCTION wrong(n int) RETURNS SETOF text LANGUAGE sql STABLE AS $$
	SELECT 'an invoice: ' || id FROM ((TABLE invoices EXCEPT SELECT * FROM invoices_after(n)) UNION ALL
		(SELECT * FROM invoices_after(n) EXCEPT TABLE invoices)) x
	UNION ALL
	SELECT 'a booking: ' || id FROM ((TABLE bookings EXCEPT SELECT id, amount, state, change FROM invoices) UNION ALL
		(SELECT id, amount, state, change FROM invoices EXCEPT TABLE bookings)) x
	UNION ALL
	SELECT 'a reminder: ' || key FROM ((SELECT key FROM idem_import_effect EXCEPT SELECT * FROM reminders_after(n)) UNION ALL
		(SELECT * FROM reminders_after(n) EXCEPT SELECT key FROM idem_import_effect)) x (key)
	UNION ALL
	SELECT 'the checkpoint: ' || (SELECT checkpoint FROM idem_import_checkpoint WHERE import = 'bookings')
	WHERE (SELECT checkpoint::bigint FROM idem_import_checkpoint WHERE import = 'bookings') IS DISTINCT FROM (SELECT max(change) FROM api WHERE page <= n)
	UNION ALL
	SELECT 'the manifest: ' || input || ' ' || status FROM idem_import_manifest
	WHERE status <> 'complete' OR input NOT IN (SELECT 'invoices?page=' || p FROM generate_series(1, n) p)
	UNION ALL
	SELECT 'a unit: ' || import || ' ' || status FROM idem_import_ledger WHERE status <> 'applied'
$$;
SQL
my $done_pages = 'SELECT count(*) FROM idem_import_manifest';

# A sender that goes on through all crashes, until it is killed.
sub sender_start
{
	my $pid = fork // die;
	return $pid if $pid;
	while (1)
	{
		my @sent = send_reminders($db, max => 3, lease => '2 s');
		usleep(@sent ? 10_000 : 100_000);
	}
}

sub sender_kill
{
	my ($pid) = @_;
	kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}

my @senders = map { sender_start() } 1 .. 2;
my $begun = time;
my ($night, $inside, $killed) = (1, 0, 0);
my (@bad, %hit);
my $complete = 0;
my $duration = 0.3;

for my $i (1 .. $crashes)
{
	my $how = (('backend') x 5, ('immediate') x 5, 'postmaster', 'postmaster and backends')[ int(rand 12) ];
	my $first = ($night - 1) * $pages + 1;
	my $sql = join('', map { import_page($db, $_, 1) } $first .. $first + $pages - 1);
	my $at = rand($duration);
	my @jobs = map { job_start($db, $sql) } 1 .. 1 + int(rand 2);
	usleep(1_000_000 * $at);
	if (rand(3) < 1)
	{
		sender_kill(shift @senders);
		push @senders, sender_start();
		$killed++;
	}
	crash($how, map { $_->{pid} } @jobs);
	for (@jobs)
	{
		eval { $_->{h}->finish };
		push @bad, "crash $i: $1" if $_->{err} =~ /(ERROR: .*)/;
	}

	# the pages that were done before, and perhaps some more of this night
	my $done = $node->safe_psql($db, $done_pages);
	push @bad, "crash $i: $done pages after $complete" if $done < $complete || $done >= $first + $pages;
	push @bad, map { "crash $i: $_" } split /\n/, $node->safe_psql($db, "SELECT wrong($done)");
	$hit{$how}++;
	$inside++ if $done < $first + $pages - 1;
	$night++ if $done == $first + $pages - 1;
	$complete = $done;
}
is_deeply(\@bad, [], sprintf('%d crashes, seed %d: whole pages each time, with their reminders, manifest and checkpoint', $crashes, $seed));
cmp_ok($inside, '>=', $crashes * 0.2, "$inside of them in the middle of a night");
note(join(', ', map { "$_: $hit{$_}" } sort keys %hit), ", $killed senders killed, $night nights");

# The last night gets to its end undisturbed, by two jobs at once, and so do the
# senders.  Two jobs with the same page are no error: one of them waits, and skips.
$last_page = $night * $pages;
$node->safe_psql($db, "DELETE FROM api WHERE page > $last_page");
my $all = join('', map { import_page($db, $_) } 1 .. $last_page);
my (%applied, %skipped);
for my $job (map { job_start($db, $all) } 1 .. 2)
{
	$job->{h}->finish;
	is($job->{err}, '', 'a job gets to its end');
	$applied{$_}++ for $job->{out} =~ /^(\d+)\|applied/mg;
	$skipped{$_}++ for $job->{out} =~ /^(\d+)\|skipped/mg;
}
is_deeply([ sort { $a <=> $b } keys %applied ], [ $complete + 1 .. $last_page ], "what was done is skipped, the rest of $last_page pages applied");
is(scalar(grep { ($applied{$_} // 0) + ($skipped{$_} // 0) != 2 || ($applied{$_} // 0) > 1 } 1 .. $last_page), 0, 'no page twice');
ok($node->poll_query_until($db, q{SELECT count(*) = 0 FROM idem_import_effect WHERE status <> 'done'}), 'all reminders are reported');
sender_kill($_) for @senders;
note(sprintf('%.0f s', time - $begun));

is($node->safe_psql($db, "SELECT wrong($last_page)"), '', 'invoices are the last versions of all pages; nothing is stuck');
is($node->safe_psql($db, q{SELECT count(*) FROM idem_import_manifest WHERE status = 'complete'}), $last_page, 'the manifest has all pages');
is_deeply([ received($db, 'sent') ], [ sort split /\n/, $node->safe_psql($db, "SELECT reminders_after($last_page)") ],
	'each reminder was carried out once, none was lost');
my @came_again = received($db, 'again');
note(scalar(@came_again) . ' came again, and were known by their key');
is($node->safe_psql($db, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' OR classid = 'idem_import_ledger'::regclass}), '0', 'no lock is left');
is($node->safe_psql($db, q{SELECT count(*) FROM idem_import_history WHERE attempted <> inserted + updated + unchanged + stale + collapsed + rejected + deleted}),
	'0', 'all counts add up');
is($node->safe_psql($db, q{SELECT string_agg(import || ' ' || state, ', ' ORDER BY import) FROM idem_import_verify()}),
	'bookings in_sync, invoices in_sync', 'the receipts agree');

# held against all pages at once, as a source of its own
$node->safe_psql($db, 'INSERT INTO invoices_page SELECT id, customer, amount, due, state, change FROM api');
is($node->safe_psql($db, q{SELECT state, differing, target_rows FROM idem_import_verify('invoices')}),
	'in_sync|0|' . $node->safe_psql($db, 'SELECT count(DISTINCT id) FROM api'), 'all pages at once would change nothing');

$node->stop;
done_testing();
