# ratios.awk: summary.csv into a gnuplot program that draws ratios-ROWS-WIDTH-INDEXES.svg for each configuration
#
# A line for each pair, a point at the ratio of the medians, whiskers from the
# least to the greatest ratio within a round.
BEGIN { FS = "," }

FNR == 1 { next }

function finish() {
	if (!count)
		return
	printf "$pairs << EOD\n%sEOD\n", lines
	printf "set terminal svg size 900,%d font 'sans,13' background '#ffffff'\n", 120 + 21 * count
	printf "set output 'ratios-%s.svg'\n", file
	printf "set title \"Time of plain SQL by time of idem_import_run\\n%s\" noenhanced\n", title
	print "set logscale x; set xlabel 'left of 1: SQL is faster    right: idem_import is' noenhanced"
	print "set xtics (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)"
	print "set format x '%g'; set grid x y lc '#dddddd' lt 1; set ytics scale 0 noenhanced; unset key"
	printf "set xrange [%g:%g]; set yrange [%g:0.4]\n", low / 1.3, high * 1.3, -count + 0.6
	printf "set arrow 1 from 1, graph 0 to 1, graph 1 nohead lw 2 lc '#555555'\n"
	print "plot $pairs using 3:(-$1):4:5:($3 < 1 ? 0xc0392b : 0x1f6fb2):ytic(2) " \
		"with xerrorbars pt 7 ps 0.8 lw 1.5 lc rgb variable"
	print "unset arrow 1; set ytics autofreq"
	count = 0
	lines = ""
}

{
	config = $2 "-" $3 "-" $4
	if (config != file)
		finish()
	file = config
	title = configuration($2, $3, $4)
	other = $6
	gsub(/_/, " ", other)
	if (!count || $10 < low)
		low = $10 < 1 ? $10 : 1
	if (!count || $11 > high)
		high = $11 > 1 ? $11 : 1
	lines = lines sprintf("%d \"%s: %s\" %s %s %s\n", count++, label($1, $5), other, $9, $10, $11)
}

END { finish() }
