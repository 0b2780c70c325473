# report.sh: figures into a table and plots; sourced by bench.sh
#
# Needs nothing but awk, and gnuplot for the plots.
# shellcheck shell=bash disable=SC2154

gnuplot=

# Plots are worth an attempt to install gnuplot, but not a failure.
find_gnuplot() {
	local as_root=
	[ "$(id -u)" = 0 ] || as_root='sudo -n'
	if ! command -v gnuplot >/dev/null && command -v apt-get >/dev/null; then
		echo "bench: installing gnuplot with apt"
		{
			$as_root apt-get -qq update
			$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 \
				install -y --no-install-recommends gnuplot-nox
		} >/dev/null 2>&1 || true
	fi
	gnuplot=$(command -v gnuplot) || echo "bench: no gnuplot, so no plots"
}

# $1: what report/ is to make; the rest: settings and files
tabulate() {
	local program=$1
	shift
	awk -f "$checkout/test/bench/report/functions.awk" -f "$checkout/test/bench/report/$program.awk" "$@"
}

# Width and indexes of all that was measured, as "width,indexes".
shapes() {
	awk -F, 'NR > 1 && !seen[$3, $4]++ { print $3 "," $4 }' runs.csv
}

# Tables for the eye on standard output, others into files.
tables() {
	local shape limits=$checkout/test/bench/report/limits.csv
	tabulate summary runs.csv >summary.csv
	[ "$(wc -l <summary.csv)" = 1 ] || tabulate table summary.csv
	echo "case,contender,rows,width,indexes,seconds_per_million,memory_bytes" >growth.csv
	for shape in $(shapes); do
		tabulate growth -v like="$shape" runs.csv
		tabulate growth -v like="$shape" -v csv=1 runs.csv >>growth.csv
	done
	if [ "$set_name" = targets ]; then
		tabulate targets -v csv=1 "$limits" summary.csv >targets.csv
		tabulate targets "$limits" summary.csv | tee targets.txt
	fi
	[ ! -f readers.csv ] || tabulate readers readers.csv
}

plots() {
	local shape
	tabulate ratios summary.csv | "$gnuplot"
	for shape in $(shapes); do
		tabulate scaling -v like="$shape" runs.csv | "$gnuplot"
		tabulate scaling -v like="$shape" -v growth=1 runs.csv | "$gnuplot"
	done
	[ ! -f latency.csv ] || tabulate latency latency.csv | "$gnuplot"
}

# $1: folder with runs.csv
report() {
	(
		cd "$1" || exit
		tables | tee table.txt
		[ -z "$gnuplot" ] || plots
	)
}
