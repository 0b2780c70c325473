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

# $1: file, $2: what report/ is to make of it
tabulate() {
	awk -f "$checkout/test/bench/report/functions.awk" -f "$checkout/test/bench/report/$2.awk" "$1"
}

# $1: folder with runs.csv
report() {
	tabulate "$1/runs.csv" summary >"$1/summary.csv"
	tabulate "$1/summary.csv" table >"$1/table.txt"
	cat "$1/table.txt"
	[ -n "$gnuplot" ] || return 0
	(
		cd "$1" || exit
		tabulate summary.csv ratios | "$gnuplot"
		tabulate runs.csv scaling | "$gnuplot"
	)
}
