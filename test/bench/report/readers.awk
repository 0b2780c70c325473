# readers.awk: readers.csv for the eye
BEGIN { FS = "," }

FNR == 1 { next }

{
	if (!($5 in seconds))
		name[++names] = $5
	config = configuration($1, $2, $3)
	seconds[$5] = seconds[$5] " " $6
	for (i = 7; i <= 14; i++)
		figure[$5, i] = figure[$5, i] " " $i
	if ($14 > worst[$5])
		worst[$5] = $14
	lost[$5] += $15
}

END {
	if (!names)
		exit
	printf "Reads by primary key while all rows are overwritten, %s: latency in ms, medians of the rounds;\n", config
	print "worst: the slowest read of all rounds; lost: reads that found no row"
	printf "%-24s %8s | %8s %8s %8s | %8s %8s %9s %9s | %s\n", "overwritten by", "seconds", "p50", "p99", "max",
		"p50", "p99", "max", "worst", "lost"
	for (i = 1; i <= names; i++) {
		n = name[i]
		printf "%-24s %8.3f | %8.3f %8.3f %8.3f | %8.3f %8.3f %9.3f %9.3f | %d\n", n, median(seconds[n]),
			median(figure[n, 8]), median(figure[n, 9]), median(figure[n, 10]),
			median(figure[n, 12]), median(figure[n, 13]), median(figure[n, 14]), worst[n], lost[n]
	}
	print ""
}
