# idem_import_report: one well-formed page, whatever things are called, that
# shows only the caller's imports; in a browser, where there is one
use strict;
use warnings;

use Cwd qw(abs_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('report');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$ENV{PGCLIENTENCODING} = 'UTF8';
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION idem_import;
CREATE ROLE owner;
CREATE ROLE stranger;
GRANT CREATE ON SCHEMA public TO owner, stranger;
SQL

sub report
{
	my ($role) = @_;
	my $page = $node->safe_psql('postgres', "SET ROLE $role; SELECT idem_import_report()");
	my $file = abs_path(PostgreSQL::Test::Utils::tempdir()) . '/report.html';
	append_to_file($file, "$page\n");
	return ($page, $file);
}

# an XML parser finds every tag that is not closed and every text that is not escaped
my $parser = (grep { system("command -v $_ >/dev/null 2>&1") == 0 } qw(python3 xmllint))[0];
sub well_formed
{
	my ($file, $name) = @_;
	my @command = !defined $parser ? () :
		$parser eq 'xmllint' ? ('xmllint', '--noout', $file) : ('python3', '-c', 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])', $file);
	SKIP:
	{
		skip 'neither python3 nor xmllint', 1 unless @command;
		ok(system(@command) == 0, "$name: well-formed");
	}
}

# nothing yet
my ($page, $file) = report('owner');
well_formed($file, 'empty');
like($page, qr/0 imports, 0 need attention/, 'empty: says so');
unlike($page, qr/<svg/, 'empty: no timeline');
unlike($page, qr/<h2>(Tasks|Backfills|Running)</, 'empty: nothing of a worker');

# things with names that would do harm
$node->safe_psql('postgres', <<'SQL');
SET ROLE owner;
CREATE TABLE "st<a>ge" (u text, id int, v text);
CREATE TABLE "go&""l" (u text, id int, v text, PRIMARY KEY (u, id));
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '"<b>no</b>"' USING ERRCODE = '55000'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON "go&""l" FOR EACH ROW WHEN (NEW.v = 'bad') EXECUTE FUNCTION refuse();
INSERT INTO "st<a>ge" SELECT u, i, 'v' FROM unnest(ARRAY['plain', '<img src=x onerror=alert(1)>', 'größer "日本" & ''so''', E'bell\x07']) u, generate_series(1, 20) i;
SELECT idem_import_create('<script>document.title = "harm"</script>', '"st<a>ge"', '"go&""l"', key => '{u,id}', scope => '{u}', out_of_scope => 'ignore', reject_limit => 10);
SELECT idem_import_create(']]> -- never', '"st<a>ge"', '"go&""l"', key => '{u,id}');
SELECT count(*) FROM idem_import_run('<script>document.title = "harm"</script>');
INSERT INTO "st<a>ge" VALUES ('plain', NULL, '<i>');
SELECT count(*) FROM idem_import_run('<script>document.title = "harm"</script>');
INSERT INTO "st<a>ge" VALUES ('plain', 100, 'bad');
SQL
$node->psql('postgres', q{SELECT idem_import_run('<script>document.title = "harm"</script>', 'plain')});
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM idem_import_ledger WHERE status = 'failed'");
$node->safe_psql('postgres', q{SET ROLE stranger; CREATE TABLE theirs (id int PRIMARY KEY); SELECT idem_import_create('theirs', 'SELECT 1 AS id', 'theirs', key => '{id}'); SELECT idem_import_run('theirs')});

($page, $file) = report('owner');
well_formed($file, 'full');
like($page, qr/2 imports, 1 needs attention/, 'what there is');
unlike($page, qr/<script|<img|<b>|theirs|\x07/, 'no text is taken for more than text, and nothing of others is there');
like($page, qr/&lt;script&gt;document\.title = &quot;harm&quot;&lt;\/script&gt;/, 'the name, as it is');
like($page, qr/größer &quot;日本&quot; &amp; &#39;so&#39;/, 'other letters');
unlike($page, qr{<[^>]*\s(src|href|style|on\w+)=|url\(|\@import}, 'nothing from elsewhere');
is(scalar(() = $page =~ /<rect /g), 9, 'a bar for each run');
is(scalar(() = $page =~ /<svg /g), 1, 'a timeline for the import that has run');
like($page, qr/class="s-failed"><title>run \d+, unit plain: failed,.*&quot;&lt;b&gt;no&lt;\/b&gt;&quot;/, 'the failure');
like($page, qr/null value in key column id/, 'the reject');
like($page, qr/<dt>Open rejects<\/dt><dd class="s-failed">1</, 'counted');
like($page, qr/never run/, 'the one that was never run');

# names that hide PostgreSQL's own mean nothing to it
$node->safe_psql('postgres', 'CREATE SCHEMA evil; CREATE FUNCTION evil.round(numeric, int) RETURNS numeric LANGUAGE sql AS $$SELECT 666.0$$; CREATE VIEW evil.idem_import_status AS SELECT 1');
my $other = $node->safe_psql('postgres', "SET search_path = evil, public, pg_catalog; SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'sql_standard'; SET DateStyle = 'German'; SET ROLE owner; SELECT idem_import_report()");
$_ =~ s/<p class="dim">.*?<\/p>|<dt>Lag<\/dt><dd>[^<]*//g for $page, $other;
is($other, $page, 'no setting changes it');

# a running import is there while it runs
$node->safe_psql('postgres', q{SET ROLE owner; CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN CREATE TABLE seen AS SELECT idem_import_report() AS page; RETURN NULL; END';
	CREATE TRIGGER look AFTER INSERT ON "go&""l" EXECUTE FUNCTION look(); SELECT count(*) FROM idem_import_run('<script>document.title = "harm"</script>', 'new') WHERE false; INSERT INTO "st<a>ge" VALUES ('new', 1, 'x');
	SELECT count(*) FROM idem_import_run('<script>document.title = "harm"</script>', 'new')});
like($node->safe_psql('postgres', 'SELECT page FROM seen'), qr/<h2>Running<\/h2>.*<td data-label="Unit" class="">new<\/td><td data-label="Phase" class="">applying</, 'running');

# tasks and backfills
$node->safe_psql('postgres', <<'SQL');
SET client_min_messages = error;
DROP TRIGGER look ON "go&""l";
SET ROLE owner;
SELECT idem_import_submit(']]> -- never', run_after => 'infinity'), idem_import_submit('<script>document.title = "harm"</script>', '<wait>'),
	idem_import_submit('<script>document.title = "harm"</script>', '<run>'), idem_import_submit('<script>document.title = "harm"</script>', '<dead>'),
	idem_import_submit('<script>document.title = "harm"</script>', '<mended>');
RESET ROLE;
UPDATE idem_import_queue SET status = 'running', attempts = 2, started_at = '2026-02-03 04:05:06Z' WHERE scope = '<run>';
UPDATE idem_import_queue SET status = 'dead', attempts = 5, finished_at = now(), sqlstate = '40P01', message = 'dead<lock>' WHERE scope = '<dead>';
UPDATE idem_import_queue SET status = 'failed', finished_at = now() - interval '1 hour' WHERE scope = '<mended>';
INSERT INTO idem_import_queue (import, scope, status, finished_at, submitted_by) SELECT import, scope, 'done', now(), submitted_by FROM idem_import_queue WHERE scope = '<mended>';
UPDATE idem_import_queue SET attempts = 1, run_after = '2026-01-02 03:04:05Z', sqlstate = '55P03', message = 'lock timeout' WHERE scope = '<wait>';
INSERT INTO idem_import_backfill (import, first_unit, last_unit, reprocess, units, submitted_by) SELECT ']]> -- never', '<1>', '<20>', 'all', u, 'owner' FROM unnest(ARRAY[0, 20]) u;
INSERT INTO idem_import_queue (import, scope, backfill, submitted_by, status, finished_at, started_at)
SELECT import, i::text, backfill, 'owner', CASE WHEN i <= 12 THEN 'done' WHEN i = 13 THEN 'failed' WHEN i = 14 THEN 'dead' WHEN i <= 16 THEN 'running' ELSE 'pending' END, now(), now()
FROM idem_import_backfill, generate_series(1, 20) i WHERE units = 20;
SELECT idem_import_submit('theirs');
SQL
($page, $file) = report('owner');
well_formed($file, 'queue');
my ($tasks) = $page =~ m{<h2>Tasks</h2>(.*?)</section>}s;
my @rows = $tasks =~ m{<tr>(<td.*?)</tr>}g;
my @cells = map { join('|', map { s/&#8211;/-/r } m{<td data-label="(?:Scope|Status|Attempts|Next attempt|Last attempt|Last error)"[^>]*>([^<]*)}g) } @rows;
is(scalar(@rows), 12, 'tasks: those that run, wait or failed');
is($cells[0], '&lt;run&gt;|running|2|-|2026-02-03 04:05:06|-', 'one that runs comes first');
is((grep { /&lt;dead/ } @cells)[0], '&lt;dead&gt;|dead|5|-|-|40P01: dead&lt;lock&gt;', 'one that is dead, with its error');
is((grep { /wait/ } @cells)[0], '&lt;wait&gt;|pending|1|2026-01-02 03:04:05|-|55P03: lock timeout', 'one that waits for another attempt');
is($cells[-1], 'all|pending|0|infinity|-|-', 'one that waits for ever comes last');
is(scalar(grep { /mended/ } @cells), 0, 'not one that was done since');
like($page, qr{<dt>Tasks waiting</dt><dd>5</dd>.*<dt>Tasks running</dt><dd>2</dd>.*<dt>Tasks failed</dt><dd class="s-failed">2<}, 'counted for its import');
my ($fills) = $page =~ m{<h2>Backfills</h2>(.*?)</section>}s;
my @fills = $fills =~ m{<tr>(<td.*?)</tr>}g;
is(scalar(@fills), 2, 'backfills');
like($fills[0], qr{&lt;1&gt;<.*&lt;20&gt;<.*>running<.*aria-label="60 % done".*width="60\.0".* class="s-done"/><rect x="60\.0" y="0" width="10\.0".* class="s-failed"/><rect x="70\.0" y="0" width="10\.0".* class="s-running"/>.*>12 of 20<},
	'how far one is');
like($fills[1], qr{aria-label="0 % done".*>0 of 0<}, 'one of nothing');
unlike($tasks . $fills, qr/theirs/, 'nothing of others');
my $bars = scalar(() = $page =~ /<rect /g);

# the page stays small, whatever an error has to say
$node->safe_psql('postgres', q{UPDATE idem_import_queue SET message = repeat('ü"', 1000000) WHERE scope = '<dead>'});
my ($long) = report('owner');
like($long, qr/40P01: (?:ü&quot;){496}ü \.\.\.</, 'a long error is cut short');
cmp_ok(length($long), '<', length($page) + 10000, 'so the page is not much longer');

# in a browser
SKIP:
{
	my $browser = (grep { system("command -v $_ >/dev/null 2>&1") == 0 } qw(chromium chromium-browser google-chrome))[0];
	skip 'no Chromium', 4 unless defined $browser;
	my $profile = abs_path(PostgreSQL::Test::Utils::tempdir());
	local $ENV{HOME} = $profile;
	my @common = ('timeout', 120, $browser, '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', "--user-data-dir=$profile");
	my ($dom) = run_command([ @common, '--dump-dom', "file://$file" ]);
	skip 'Chromium does not run here', 4 unless defined $dom && $dom =~ /<html/;
	like($dom, qr/<title>Imports of postgres<\/title>/, 'no script has run');
	is(scalar(() = $dom =~ /<rect /g), $bars, 'the bars are there');
	for my $width (1200, 500)
	{
		my $image = "$profile/shot$width.png";
		run_command([ @common, "--window-size=$width,1500", "--screenshot=$image", "file://$file" ]);
		cmp_ok(-s $image // 0, '>', 20000, "drawn $width wide");
	}
}

$node->stop;
done_testing();
