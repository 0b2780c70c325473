# targets.awk: limits.csv, then summary.csv, into the limits with what was measured
#
# Here a ratio is our seconds by the other's: below 1 idem_import is faster.
# With csv set, for other programs, else for the eye.
BEGIN {
	FS = ","
	if (csv)
		print "case,rows,width,indexes,other,ours_seconds,other_seconds,ratio,ratio_min,ratio_max,at_most," \
			"ours_wal_bytes,wal_at_most,met"
}

FNR == 1 { file++; next }

file == 1 {
	limit[$1, $2, $3] = $4
	wal_limit[$1, $2, $3] = $5
	next
}

!(($1, $5, $6) in limit) { next }

function show(at_most, wal_at_most, met,    wal) {
	if (csv) {
		printf "%s,%d,%d,%d,%s,%s,%s,%.4f,%.4f,%.4f,%s,%d,%s,%s\n", $1, $2, $3, $4, $6, $7, $8,
			$7 / $8, 1 / $11, 1 / $10, at_most, $12, wal_at_most, met
		return
	}
	wal = wal_at_most == "" ? "" : sprintf("; WAL %.1f kB, at most %.0f", $12 / 1000, wal_at_most / 1000)
	printf "%-36s %9d %-18s %9.3f %9.3f | %6.3f %15s | %6s  %s%s\n", label($1, $5), $2, $6, $7, $8,
		$7 / $8, sprintf("%.3f..%.3f", 1 / $11, 1 / $10), at_most, met, wal
}

!shown++ && !csv {
	print "Limits: our seconds by the other's, its least and greatest within a round"
	printf "%-36s %9s %-18s %9s %9s | %6s %15s | %6s  %s\n", "case", "rows", "against", "ours s", "other s",
		"ratio", "min..max", "limit", "met"
}

{
	ok = $7 / $8 <= limit[$1, $5, $6] && (wal_limit[$1, $5, $6] == "" || $12 <= wal_limit[$1, $5, $6])
	met += ok
	show(limit[$1, $5, $6], wal_limit[$1, $5, $6], ok ? "yes" : "NO")
}

END {
	if (shown && !csv)
		printf "%d of %d limits met\n\n", met, shown
}
