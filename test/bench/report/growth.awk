# growth.awk: runs.csv into seconds per million rows, and memory, for each size
#
# Flat figures mean that time grows with the rows and no faster.  Of the
# configurations those with :like, "width,indexes".
# With csv set, lines for other programs, else for the eye.
BEGIN { FS = "," }

FNR == 1 || $3 "," $4 != like || $1 ~ /^small/ { next }

{
	if (!(($1, $6) in is_line)) {
		is_line[$1, $6] = 1
		line[++lines] = $1 SUBSEP $6
	}
	if (!($2 in is_size)) {
		is_size[$2] = 1
		size[++sizes] = $2
	}
	seconds[$1, $6, $2] = seconds[$1, $6, $2] " " $7
	memory[$1, $6, $2] = memory[$1, $6, $2] " " $9
	config = configuration($2, $3, $4)
}

function per_million(name, rows) {
	return median(seconds[name, rows]) / rows * 1e6
}

# Figures of one line, where there are any.
function show(name,    part, i) {
	split(name, part, SUBSEP)
	printf "%-36s %-22s |", label(part[1], part[2] ~ "^idem_import" ? part[2] : ""), part[2]
	for (i = 1; i <= sizes; i++)
		printf " %9s", (name, size[i]) in seconds ? sprintf("%.3f", per_million(name, size[i])) : "-"
	printf " |"
	for (i = 1; i <= sizes; i++)
		printf " %9s", (name, size[i]) in seconds ? sprintf("%.1f", median(memory[name, size[i]]) / 1e6) : "-"
	printf "\n"
}

function write(name,    part, i) {
	split(name, part, SUBSEP)
	for (i = 1; i <= sizes; i++)
		if ((name, size[i]) in seconds)
			printf "%s,%s,%d,%s,%.6f,%.0f\n", part[1], part[2], size[i], like, per_million(name, size[i]),
				median(memory[name, size[i]])
}

END {
	if (sizes < 2)
		exit
	if (!csv) {
		sub(/^[0-9]+ /, "", config)
		printf "Growth, %s: seconds per million rows | peak of memory in MB\n%-36s %-22s |", config, "case", "contender"
		for (i = 1; i <= 2 * sizes; i++)
			printf " %9d%s", size[(i - 1) % sizes + 1], i == sizes ? " |" : ""
		printf "\n"
	}
	for (i = 1; i <= lines; i++)
		if (several(line[i])) {
			if (csv) write(line[i]); else show(line[i])
		}
	if (!csv)
		print ""
}

# Was it measured with more than one size?
function several(name,    i, count) {
	for (i = 1; i <= sizes; i++)
		count += (name, size[i]) in seconds
	return count > 1
}
