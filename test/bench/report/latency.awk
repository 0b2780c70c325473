# latency.awk: latency.csv into a gnuplot program that draws readers.svg: a panel for each contender, its first round
#
# The slowest of the reads due in each 50 ms, over the seconds since the start; the run is grey.
BEGIN { FS = "," }

FNR == 1 || $4 != 1 { next }

{
	if (!($5 in points))
		name[++names] = $5
	points[$5] = points[$5] $7 " " $8 "\n"
	seconds[$5] = $6
	config = configuration($1, $2, $3)
	if (names == 1 && !high || $8 > high)
		high = $8
	if ($6 > longest)
		longest = $6
}

END {
	if (!names)
		exit
	printf "set terminal svg size 1000,%d font 'sans,12' background '#ffffff'\n", 60 + 200 * names
	print "set output 'readers.svg'"
	printf "set multiplot layout %d,1 title \"Slowest of the reads due in each 50 ms, in ms, over seconds since the start\\n%s\"\n",
		names, config
	printf "set logscale y; set xrange [-2:%g]; set yrange [0.05:%g]; set format y '%%g'\n", longest + 2, high * 3
	print "set grid lc '#dddddd' lt 1; unset key"
	for (i = 1; i <= names; i++) {
		printf "$points%d << EOD\n%sEOD\n", i, points[name[i]]
		printf "set title '%s' noenhanced\n", name[i]
		printf "set object 1 rectangle from 0, graph 0 to %g, graph 1 fc rgb '#e8e8e8' fs noborder behind\n", seconds[name[i]]
		printf "plot $points%d using 1:2 with impulses lw 2 lc rgb '%s'\n", i, name[i] ~ /^idem/ ? "#1f6fb2" : "#c0392b"
	}
	print "unset multiplot"
}
