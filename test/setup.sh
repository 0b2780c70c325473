#!/bin/bash
# setup.sh: install what a build and its tests need, and only what is missing
#
# Run by the other scripts in this folder; prints the path of the pg_config to
# build with on standard output, everything else on standard error.  Works as
# root or as a user with sudo; where nothing is missing, it needs neither.
set -euo pipefail

policy=/usr/sbin/policy-rc.d

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# A pg_config is of use when the server that it belongs to, its headers and
# PGXS are there; Debian has these in different packages.
usable() {
	local bindir
	bindir=$("$1" --bindir 2>/dev/null) &&
		[ -x "$bindir/pg_config" ] && [ -x "$bindir/initdb" ] && [ -x "$bindir/postgres" ] &&
		[ -f "$("$1" --pgxs)" ] && [ -f "$("$1" --includedir-server)/postgres.h" ]
}

# The one in PATH first, because plain "make" takes that; then Debian's, newest first.
find_pg_config() {
	local candidate
	for candidate in pg_config $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -rV); do
		if usable "$candidate"; then
			echo "$("$candidate" --bindir)/pg_config"
			return 0
		fi
	done
	return 1
}

# The version to install for: that of the newest server here, else the distribution's.
wanted_version() {
	local newest
	newest=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
	if [ -x "$newest" ]; then
		newest=${newest%/bin/postgres}
		echo "${newest##*/}"
	else
		apt-cache depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1
	fi
}

# Packages for everything but PostgreSQL.
missing_tools() {
	command -v gcc >/dev/null || echo gcc libc6-dev
	command -v make >/dev/null || echo make
	command -v setpriv >/dev/null || echo util-linux
	command -v prove >/dev/null || echo perl
	perl -MIPC::Run -e 1 2>/dev/null || echo libipc-run-perl
	if ! echo '#include <xxhash.h>' | cc -E - >/dev/null 2>&1; then
		echo libxxhash-dev
	fi
}

# The server package makes a cluster "main" and starts it.  We have no use for
# it: unless the machine has a policy of its own, tell Debian not to start it.
hold_services() {
	[ ! -e "$policy" ] || return 0
	trap 'as_root rm -f "$policy"' EXIT
	trap 'exit 1' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" >&2
}

install_packages() {
	local tools=$1 postgres=$2 version server=
	if ! command -v apt-get >/dev/null; then
		echo "setup.sh: no apt-get here; install by hand: $tools ${postgres:+PostgreSQL with its server headers}" >&2
		exit 1
	fi
	echo "setup.sh: installing with apt: $tools ${postgres:+postgresql}" >&2
	apt update
	if [ -n "$postgres" ]; then
		version=$(wanted_version)
		server="postgresql-$version postgresql-server-dev-$version"
	fi
	hold_services
	# shellcheck disable=SC2086
	apt install -y --no-install-recommends $tools $server
}

# Packages for tests that are skipped without them.
missing_extras() {
	local version
	version=$("$1" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	[ -e "$("$1" --pkglibdir)/pg_cron.so" ] || echo "postgresql-$version-cron"
	command -v prometheus-postgres-exporter >/dev/null || echo prometheus-postgres-exporter
}

# Where one can't be had, its test is skipped.
install_extras() {
	local package
	command -v apt-get >/dev/null || return 0
	[ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || return 0
	for package in $(missing_extras "$1"); do
		[ -n "$(apt-cache policy "$package" 2>/dev/null)" ] || apt update || true
		hold_services
		apt install -y --no-install-recommends "$package" || echo "setup.sh: no $package here" >&2
	done
}

tools=$(missing_tools | tr '\n' ' ')
postgres=
if [ -n "${PG_CONFIG:-}" ]; then
	usable "$PG_CONFIG" || {
		echo "setup.sh: PG_CONFIG=$PG_CONFIG leads to no server with PGXS" >&2
		exit 1
	}
	found=$("$PG_CONFIG" --bindir)/pg_config
else
	found=$(find_pg_config) || postgres=yes
fi
if [ -n "$tools$postgres" ]; then
	install_packages "$tools" "$postgres"
fi
found=${found:-$(find_pg_config)}
if [ -n "${TEST_EXTRAS:-}" ]; then
	install_extras "$found"
fi
echo "$found"
