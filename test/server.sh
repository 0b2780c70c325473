# server.sh: a PostgreSQL and a copy of this checkout to throw away; sourced by demo.sh and run.sh
#
# Everything lives in one scratch folder, and goes with it:
#
#   pg/     a private installation: PostgreSQL finds its other folders relative
#           to its programs, so copies of these beside symlinks to the rest are
#           an installation of its own.  "make install" goes there.  Thus the
#           system's PostgreSQL stays as it was, no root is needed, and no
#           server setting for extensions elsewhere, whose name differs between
#           versions and distributions.
#   tree/   the checkout, readable and writable by the server's user
#   data/   the server's cluster, reached by the socket in the scratch folder

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=
pg_config=
server_user=

# PostgreSQL refuses to run as root.
choose_user() {
	server_user=$(id -un)
	if [ "$(id -u)" = 0 ]; then
		server_user=postgres
		id -u "$server_user" >/dev/null 2>&1 || server_user=nobody
	fi
}

as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --init-groups \
			env HOME="$scratch" "$@"
	else
		"$@"
	fi
}

# Also stops the servers that a killed test left behind.
remove_scratch() {
	local pidfile
	cd /
	[ -d "$scratch" ] || return 0
	find "$scratch" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
		as_user "$(dirname "$pg_config")/pg_ctl" -D "${pidfile%/*}" -m immediate -w stop >/dev/null 2>&1 || true
	done
	rm -rf "$scratch"
}

# Where a socket's path fits in its 107 bytes and the server's user may go.
make_scratch() {
	local base=${TMPDIR:-/tmp}
	choose_user
	if [ ${#base} -gt 60 ] || ! (scratch=/ && as_user test -x "$base"); then
		base=/tmp
	fi
	trap remove_scratch EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
	scratch=$(mktemp -d "$base/idem.XXXXXX")
	chown "$server_user" "$scratch"
	# the folder of the checkout may be closed to that user
	cd "$scratch"
}

# $1: the installation to build on
make_private_postgres() {
	local real=$1 dir
	for dir in "$("$real" --pkglibdir)" "$("$real" --sharedir)" "$("$real" --includedir)"; do
		mkdir -p "$scratch/pg${dir%/*}"
		cp -as "$dir" "$scratch/pg${dir%/*}/"
	done
	dir=$("$real" --bindir)
	mkdir -p "$scratch/pg$dir"
	cp "$dir"/* "$scratch/pg$dir/"
	pg_config=$scratch/pg$dir/pg_config
	# an installed idem_import is not the one to test
	find "$scratch/pg" -name 'idem_import*' -prune -exec rm -rf {} +
	chown -R "$server_user" "$scratch/pg"
}

# Copied without what was built, which may be for another PostgreSQL.
copy_checkout() {
	mkdir "$scratch/tree"
	(cd "$checkout" && tar -cf - --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		Makefile idem_import.control src sql test expected) | tar -xf - -C "$scratch/tree"
	chown -R "$server_user" "$scratch/tree"
}

make_in_tree() {
	as_user make --no-print-directory -C "$scratch/tree" PG_CONFIG="$pg_config" "$@"
}

build() {
	make_in_tree -s clean
	make_in_tree -s -j "$(nproc)" all
	make_in_tree -s install
}

start_server() {
	local bindir
	bindir=$(dirname "$pg_config")
	as_user "$bindir/initdb" -D "$scratch/data" -U postgres -A trust -E UTF8 --locale=C -N >"$scratch/initdb.log" 2>&1 || {
		cat "$scratch/initdb.log" >&2
		return 1
	}
	# a server that lives for minutes need not survive a power cut
	cat >>"$scratch/data/postgresql.conf" <<-EOF
		listen_addresses = ''
		unix_socket_directories = '$scratch'
		fsync = off
	EOF
	as_user "$bindir/pg_ctl" -D "$scratch/data" -l "$scratch/server.log" -w start >/dev/null || {
		cat "$scratch/server.log" >&2
		return 1
	}
	unset PGDATABASE PGSERVICE PGOPTIONS PGHOSTADDR PGPASSWORD
	export PATH="$bindir:$PATH" PGHOST="$scratch" PGPORT=5432 PGUSER=postgres
}

# From nothing to a running server with the extension installed.
prepare() {
	local real
	real=$("$checkout/test/setup.sh")
	make_scratch
	echo "building with $("$real" --version)"
	make_private_postgres "$real"
	copy_checkout
	build
	start_server
}
