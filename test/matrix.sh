#!/bin/bash
# matrix.sh: build without a warning and run pg_regress and isolation on several versions of PostgreSQL
#
#	test/matrix.sh [SUITE:VERSION ...]
#
# Each version comes from the Debian release that has it, unpacked into a root
# folder of its own, used by chroot and kept for the next time below
# ${TMPDIR:-/tmp}/idem-matrix.  Nothing is mounted, and no package's script is
# run: apt works out and verifies what belongs together as if nothing were
# installed, dpkg-deb unpacks it, and prepare_root does the little that those
# scripts would have done.  The servers are pg_regress's temporary instances.
# TAP tests are left to "make test": the roots hold no Perl modules.
set -euo pipefail

roots=${TMPDIR:-/tmp}/idem-matrix
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages=(gcc make libc6-dev libxxhash-dev dash bash coreutils diffutils sed grep mawk libc-bin tzdata)
user=61000		# any id will do that is not root

# The mirror from which this machine gets its own packages.
find_mirror() {
	local release
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	apt-get indextargets --format '$(REPO_URI)' \
		'Created-By: Packages' "Release: $release" 'Component: main' | sed -n 1p
}

# apt-get for release $1 on an empty system, its state in folder $2
foreign_apt() {
	local release=$1 state=$2
	shift 2
	apt-get -qq -o Dir::Etc="$state/etc" -o Dir::Etc::SourceList="$state/etc/sources.list" \
		-o Dir::Etc::SourceParts=- -o Dir::State="$state" -o Dir::State::lists="$state/lists" \
		-o Dir::State::status="$state/status" -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" \
		-o APT::Default-Release="$release" -o APT::Install-Recommends=0 -o Acquire::Languages=none \
		-o APT::Sandbox::User=root -o Debug::NoLocking=1 "$@"
}

# $1: Debian release, $2: version of PostgreSQL, $3: folder for apt's state
download() {
	local release=$1 version=$2 state=$3
	mkdir -p "$state"/{lists/partial,archives/partial,etc/preferences.d,etc/apt.conf.d,etc/trusted.gpg.d}
	: >"$state/status"
	echo "deb [signed-by=$keyring] $mirror $release main" >"$state/etc/sources.list"
	foreign_apt "$release" "$state" update
	foreign_apt "$release" "$state" -y --download-only install "postgresql-$version" "${packages[@]}"
	# by itself: it depends on clang and LLVM, half a gigabyte for bitcode that we do not build
	(cd "$state/archives" && foreign_apt "$release" "$state" download "postgresql-server-dev-$version")
}

# $1: the folder that becomes a root, $2: folder with the packages
unpack() {
	local root=$1 archives=$2 dir package
	for dir in bin sbin lib lib64; do
		mkdir -p "$root/usr/$dir"
		ln -s "usr/$dir" "$root/$dir"
	done
	for package in "$archives"/*.deb; do
		case ${package##*/} in
			libllvm* | libz3*) continue ;;	# for JIT alone, which prepare_root takes out
		esac
		dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink \
			--exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale
	done
}

# What the packages' scripts would have done, as far as a build and a server need it.
prepare_root() {
	local root=$1 device
	rm -f "$root"/usr/lib/postgresql/*/lib/llvmjit*
	ln -sfn dash "$root/usr/bin/sh"
	[ -e "$root/usr/bin/awk" ] || ln -s mawk "$root/usr/bin/awk"
	mkdir -p "$root"/{dev/shm,proc,root,tmp,etc}
	chmod 1777 "$root/tmp" "$root/dev/shm"
	for device in null:3 zero:5 random:8 urandom:9; do
		mknod "$root/dev/${device%:*}" c 1 "${device#*:}"
		chmod 666 "$root/dev/${device%:*}"		# "mknod -m" fails where /proc is not mounted
	done
	printf 'root:x:0:0::/root:/bin/sh\ntester:x:%s:%s::/tmp:/bin/sh\n' "$user" "$user" >"$root/etc/passwd"
	printf 'root:x:0:\ntester:x:%s:\n' "$user" >"$root/etc/group"
}

# Under another name until it is complete, so that a broken one is never reused.
make_root() {
	local release=$1 version=$2 root=$3
	echo "matrix: fetching PostgreSQL $version from $release"
	rm -rf "$root.new" "$root.apt"
	mkdir -p "$root.new"
	download "$release" "$version" "$root.apt"
	unpack "$root.new" "$root.apt/archives"
	prepare_root "$root.new"
	rm -rf "$root.apt"
	mv "$root.new" "$root"
}

# $1: root, $2: user to be; the rest: arguments of make
make_inside() {
	local root=$1 as=$2 bin=/usr/lib/postgresql/${1##*-}/bin
	shift 2
	chroot --userspec="$as:$as" "$root" env -i HOME=/tmp PATH=/usr/bin:/bin LC_ALL=C.UTF-8 TZ=UTC \
		make -s -C /tmp/tree PG_CONFIG="$bin/pg_config" with_llvm=no TAP_TESTS= "$@"
}

copy_checkout() {
	local root=$1
	rm -rf "$root/tmp/tree" "$root/tmp/instance"
	mkdir -p "$root/tmp/tree"
	(cd "$checkout" && tar -cf - --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		Makefile idem_import.control src sql test expected) | tar -xf - -C "$root/tmp/tree"
	chown -R "$user:$user" "$root/tmp/tree"
}

show_failure() {
	local tree=$1/tmp/tree file
	for file in "$tree"/installcheck.log "$tree"/test/log/*.log "$tree"/test/{,output_iso/}regression.diffs; do
		[ ! -s "$file" ] || tail -n 60 "$file"
	done
}

# $1: root, kept by make_root; one line about it, and its failures in full
check() {
	local root=$1 start=$SECONDS state=ok log=$1/tmp/tree/installcheck.log
	if ! { copy_checkout "$root" &&
		make_inside "$root" "$user" clean &&
		make_inside "$root" "$user" -j "$(nproc)" all COPT=-Werror &&
		make_inside "$root" 0 install &&
		make_inside "$root" "$user" installcheck 'EXTRA_REGRESS_OPTS=--temp-instance=/tmp/instance --encoding=UTF8' >"$log" 2>&1; }; then
		state=FAILED
		show_failure "$root"
	fi
	grep -hE '^[# ]*(All )?[0-9]+ (of [0-9]+ )?tests ' "$log" 2>/dev/null || true
	echo "matrix: $state PostgreSQL ${root##*-}, $((SECONDS - start)) s"
	[ "$state" = ok ]
}

if [ "$(id -u)" != 0 ]; then
	echo "matrix.sh: needs root, for chroot and its device files; try: sudo make matrix" >&2
	exit 1
fi
cd "$(dirname "$0")/.."
checkout=$PWD
mirror=$(find_mirror)
mkdir -p "$roots"
[ $# -gt 0 ] || set -- bookworm:15 trixie:17 forky:18
failed=0
for target in "$@"; do
	root=$roots/${target/:/-}
	[ -d "$root" ] || make_root "${target%:*}" "${target#*:}" "$root"
	check "$root" || failed=1
done
exit "$failed"
