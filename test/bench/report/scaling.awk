# scaling.awk: runs.csv into a gnuplot program that draws a panel for each case, median seconds over rows
#
# Of the configurations those with :like, "width,indexes".  The plot is
# scaling-WIDTH-INDEXES.svg, or with :growth, where seconds are those per
# million rows, growth-WIDTH-INDEXES.svg.
BEGIN {
	FS = ","
	colours = "idem_import_run=#000000 idem_import_run_forced=#7f7f7f idem_import_run_reload=#000000" \
		" increment_on_conflict=#c0392b scan_on_conflict=#c0392b" \
		" insert_select=#1f77b4 on_conflict=#d62728 on_conflict_distinct=#ff7f0e merge=#2ca02c" \
		" copy_binary=#9467bd delete_insert=#d62728 truncate_insert=#1f77b4 truncate_copy=#9467bd" \
		" idem_import_run_day=#000000 delete_insert_day=#d62728 truncate_insert_day=#1f77b4 truncate_copy_day=#9467bd"
	n = split(colours, c, " ")
	for (i = 1; i <= n; i++)
		colour[substr(c[i], 1, index(c[i], "=") - 1)] = substr(c[i], index(c[i], "=") + 1)
}

FNR == 1 || $3 "," $4 != like { next }

{
	title = configuration($2, $3, $4)
	sub(/^[0-9]+ /, "", title)
	is_measured[$1, $2] = 1
	if (!($1 in names))
		cases[++case_count] = $1
	if (index(names[$1] " ", " " $6 " ") == 0)
		names[$1] = names[$1] " " $6
	if (!($2 in is_size)) {
		is_size[$2] = 1
		sizes[++size_count] = $2
		if (size_count == 1 || $2 + 0 < least)
			least = $2 + 0
		if ($2 + 0 > greatest)
			greatest = $2 + 0
	}
	seconds[$1, $6, $2] = seconds[$1, $6, $2] " " $7
}

# Was case name measured with more than one size?
function several(name,    i, n) {
	for (i = 1; i <= size_count; i++)
		n += (name, sizes[i]) in is_measured
	return n > 1
}

function panel(name,    n, i, j, count, plot, y, low, high) {
	low = high = 0
	count = split(names[name], n, " ")
	for (i = 1; i <= count; i++) {
		printf "$data%d << EOD\n", i
		for (j = 1; j <= size_count; j++) {
			if (!((name, sizes[j]) in is_measured))
				continue
			y = median(seconds[name, n[i], sizes[j]]) / (growth ? sizes[j] / 1e6 : 1)
			printf "%s %s\n", sizes[j], y
			if (!low || y < low)
				low = y
			if (!high || y > high)
				high = y
		}
		print "EOD"
		plot = plot (i > 1 ? ", " : "plot ") "$data" i " using 1:2 with linespoints pt 7 ps 0.6 lw " \
			(n[i] ~ /^idem_import/ ? 3 : 1.5) " lc rgb '" colour[n[i]] "' title '" n[i] "'"
	}
	printf "set title '%s' noenhanced\n", label(name, "")
	# room for the key above the lines, which rise to the right
	printf "set xrange [%g:%g]; set yrange [%g:%g]\n", least / 1.3, greatest * 1.3, low / 1.5, high * 6
	print plot
}

END {
	for (i = 1; i <= case_count; i++)
		if (several(cases[i]))
			shown[++shown_count] = cases[i]
	if (!shown_count)
		exit
	height = int((shown_count + 2) / 3)
	file = (growth ? "growth-" : "scaling-") like ".svg"
	sub(/,/, "-", file)
	printf "set terminal svg size 1200,%d font 'sans,12' background '#ffffff'\n", 60 + 330 * height
	printf "set output '%s'\n", file
	printf "set multiplot layout %d,3 title 'Median seconds%s over rows: %s'\n", height,
		growth ? " per million rows" : "", title
	print "set logscale xy; set format y '%g'; set grid lc '#cccccc'"
	print "set key left top Left reverse noenhanced samplen 1.5 spacing 0.9"
	for (i = 1; i <= size_count; i++)
		tics = tics (i > 1 ? ", " : "") sizes[i]
	printf "set xtics (%s); set format x '%%.0s%%c'\n", tics
	for (i = 1; i <= shown_count; i++)
		panel(shown[i])
	print "unset multiplot"
}
