# table.awk: summary.csv for the eye
BEGIN { FS = "," }

FNR == 1 {
	print ""
	print "ours: idem_import_run; ratio: the other's time by ours, above 1 ours is faster, then the least and the"
	print "greatest ratio within a round; WAL, and peak of private memory of the backend and its workers, in MB"
	next
}

{ config = configuration($2, $3, $4) }

config != last {
	last = config
	printf "\n%s\n", config
	printf "%-36s %-20s | %8s %8s | %7s %15s | %8s %8s | %6s %6s\n", "case", "against",
		"ours s", "other s", "ratio", "min..max", "our WAL", "other", "memory", "other"
}

{
	printf "%-36s %-20s | %8.3f %8.3f | %7.2f %15s | %8.2f %8.2f | %6.1f %6.1f\n", label($1, $5), $6, $7, $8, $9,
		sprintf("%.2f..%.2f", $10, $11), $12 / 1e6, $13 / 1e6, $14 / 1e6, $15 / 1e6
}

END { print "" }
