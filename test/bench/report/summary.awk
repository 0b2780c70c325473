# summary.awk: runs.csv into one line for each pair of ours and another contender
#
# A ratio is the other's seconds by ours: above 1 idem_import is faster.  The
# ratio is that of the medians; its least and greatest are those within a round.
BEGIN {
	FS = OFS = ","
	print "case,rows,width,indexes,ours,other,ours_seconds,other_seconds,ratio,ratio_min,ratio_max," \
		"ours_wal_bytes,other_wal_bytes,ours_memory_bytes,other_memory_bytes"
}

FNR == 1 { next }

{
	group = $1 OFS $2 OFS $3 OFS $4
	name = group SUBSEP $6
	if (!(group in names))
		groups[++group_count] = group
	if (!(name in seconds))
		names[group] = names[group] " " $6
	seconds[name] = seconds[name] " " $7
	wal[name] = wal[name] " " $8
	memory[name] = memory[name] " " $9
	in_round[name, $5] = $7
	if ($5 > rounds[group])
		rounds[group] = $5
}

function compare(group, ours, other,    round, ratio, least, greatest, a, b) {
	a = group SUBSEP ours
	b = group SUBSEP other
	for (round = 1; round <= rounds[group]; round++) {
		ratio = in_round[b, round] / in_round[a, round]
		if (round == 1 || ratio < least)
			least = ratio
		if (round == 1 || ratio > greatest)
			greatest = ratio
	}
	printf "%s,%s,%s,%.6f,%.6f,%.4f,%.4f,%.4f,%.0f,%.0f,%.0f,%.0f\n", group, ours, other,
		median(seconds[a]), median(seconds[b]), median(seconds[b]) / median(seconds[a]), least, greatest,
		median(wal[a]), median(wal[b]), median(memory[a]), median(memory[b])
}

END {
	for (g = 1; g <= group_count; g++) {
		count = split(names[groups[g]], n, " ")
		for (i = 1; i <= count; i++)
			for (j = 1; j <= count; j++)
				if (n[i] ~ /^idem_import/ && n[j] !~ /^idem_import/)
					compare(groups[g], n[i], n[j])
	}
}
