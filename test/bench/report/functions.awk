# functions.awk: for the other programs in this folder

# Median of the numbers in the text list, which are separated by spaces.
function median(list,    n, v, i, j, t) {
	n = split(list, v, " ")
	for (i = 2; i <= n; i++) {
		t = v[i] + 0
		for (j = i - 1; j > 0 && v[j] + 0 > t; j--)
			v[j + 1] = v[j]
		v[j + 1] = t
	}
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}

# A case in words; ours tells a run that was skipped from one by force.
function label(name, ours) {
	if (name ~ /^[0-9.]+$/)
		return name " % changed" (name + 0 ? "" : ", staged anew")
	if (name == "first")
		return "first load"
	if (name == "same")
		return ours == "" ? "nothing changed" : "nothing changed, " (ours ~ /forced/ ? "forced" : "skipped")
	if (name ~ /^small/)
		return "1000 rows staged" (name ~ /again/ ? ", again" : "")
	if (name == "cursor" || name == "snapshot")
		return "1000 new rows, by " name
	if (name ~ /^partition/)
		return "a partition overwritten, " (name ~ /key/ ? "by key" : "without key")
	sub(/^overwrite_/, "overwrite, ", name)
	return name " % changed"
}

function configuration(rows, width, indexes) {
	return sprintf("%d rows of %d bytes, %d index%s", rows, width, indexes, indexes > 1 ? "es" : "")
}
