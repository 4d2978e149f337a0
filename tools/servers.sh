# shellcheck shell=bash
# Servers that this machine's distribution does not have, for ./test.
#
#   run_in_chroot MAJOR REFRESH RESULTS [ARG...]
#                       run ./test ARG... in a Debian chroot that has PostgreSQL
#                       MAJOR; made at the first use and kept in cache_dir
#   built_server MAJOR valgrind|"" REFRESH
#                       PostgreSQL MAJOR from the distribution's source, with
#                       assertions on; built at the first use and kept; sets PG_CONFIG
#   asan_postgres       print a program that runs postgres with the sanitizers' runtime
#   valgrind_postgres   print a program that runs postgres under valgrind
#
# REFRESH, if not empty, makes the chroot or the server anew.

# A server started by root runs as another user, who cannot look into root's home.
cache_dir() {
	if [ -n "${LEADSCORE_CACHE:-}" ]; then echo "$LEADSCORE_CACHE"
	elif [ "$(id -u)" = 0 ]; then echo /var/cache/leadscore
	elif [ -n "${HOME:-}" ] && [ -w "$HOME" ]; then echo "${XDG_CACHE_HOME:-$HOME/.cache}/leadscore"
	else echo "${TMPDIR:-/tmp}/leadscore-cache-$(id -un)"; fi
}

# debian_suite MAJOR: the Debian suite that has this PostgreSQL
debian_suite() {
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo sid ;;
		*) die "no Debian suite has PostgreSQL $1: 15, 17 and 18 can be had" ;;
	esac
}

# debian_mirror: where this machine takes Debian packages from; nothing on another
# distribution, where debootstrap's own choice serves
debian_mirror() {
	echo "${LEADSCORE_MIRROR:-$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null | sed -n 's/^Debian Debian //p' | head -n 1)}"
}

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# logged LOG CMD...: CMD's output goes to LOG, and is shown if CMD fails
logged() {
	local log=$1
	shift
	"$@" >>"$log" 2>&1 </dev/null || { tail -n 40 "$log" >&2; return 1; }
}

# ---- chroots ---------------------------------------------------------------

# in_mounts ROOT CMD...: run CMD with /proc and /dev mounted in ROOT, in name
# spaces of its own, so that no mount and no process of it outlives the call
# (IN_MOUNTS=exec: in the place of the calling shell)
in_mounts() {
	local root=$1
	shift
	${IN_MOUNTS:-} unshare --mount --pid --fork --kill-child --propagation private -- sh -c '
		root=$1; shift
		mkdir -p "$root/proc" "$root/dev" "$root/dev/shm" &&
		mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" || exit 125
		exec "$@"' sh "$root" "$@"
}

# make_bare_chroot SUITE ROOT LOG: a Debian of its own, with next to nothing in it,
# that gets its packages where this machine does
make_bare_chroot() {
	local suite=$1 root=$2 log=$3 mirror
	mirror=$(debian_mirror)
	command -v unshare >/dev/null || die "a chroot needs unshare (package util-linux)"
	ensure_packages debootstrap debian-archive-keyring
	rm -rf "$root"
	mkdir -p "$root"
	: >"$log"
	logged "$log" unshare --mount --propagation private -- \
		debootstrap --variant=minbase --keyring="$keyring" "$suite" "$root" ${mirror:+"$mirror"} ||
		die "debootstrap failed"
	# this machine's way to its packages; the sources are debootstrap's
	cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/" 2>/dev/null
	rm -f "$root"/etc/apt/apt.conf.d/*appstream* "$root"/etc/apt/apt.conf.d/*packagekit*
	[ ! -f /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/resolv.conf"
}

make_chroot() {
	local major=$1 suite=$2 root=$3 log=$3.log
	say "making a chroot of Debian $suite in $root (kept)"
	make_bare_chroot "$suite" "$root" "$log"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	mkdir -p "$root/etc/postgresql-common/createcluster.d"
	echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.d/leadscore.conf"
	say "installing PostgreSQL $major in it"
	logged "$log" in_mounts "$root" chroot "$root" env LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		sh -c 'apt-get -q update && apt-get -q -y install --no-install-recommends "$@"' sh \
		make gcc libc6-dev libipc-run-perl "postgresql-$major" "postgresql-server-dev-$major" ||
		die "could not install PostgreSQL $major in the chroot"
	touch "$root/.complete"
}

run_in_chroot() {
	local major=$1 refresh=$2 results=$3 suite root inside path rc data
	shift 3
	suite=$(debian_suite "$major") || exit
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "a chroot for PostgreSQL $major needs root or sudo"
		as_root env LEADSCORE_MIRROR="${LEADSCORE_MIRROR:-}" LEADSCORE_CACHE="${LEADSCORE_CACHE:-}" \
			LEADSCORE_DATA="${LEADSCORE_DATA:-}" LEADSCORE_TIMEOUT="${LEADSCORE_TIMEOUT:-}" TMPDIR="${TMPDIR:-}" \
			"$LEADSCORE_TOP/test" --version "$major" ${refresh:+--refresh} ${results:+--results "$results"} "$@"
		return
	fi
	root=$(cache_dir)/debian-$suite
	mkdir -p "${root%/*}"
	# one of several runs at a time makes it
	exec 8>"$root.lock"
	flock 8
	[ -f "$root/.complete" ] && [ -z "$refresh" ] || make_chroot "$major" "$suite" "$root"
	flock -u 8
	exec 8>&-

	child=
	inside=$(mktemp -d "$root/tmp/leadscore.XXXXXX")
	# shellcheck disable=SC2064
	trap "[ -z \"\$child\" ] || { kill -KILL \$child; wait \$child; } 2>/dev/null; rm -rf '$inside'; rmdir \"\$results\" 2>/dev/null" EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	chmod 755 "$inside"
	sync_tree "$inside/leadscore"
	data=${LEADSCORE_DATA:-$LEADSCORE_TOP/../shared/data}
	if [ -d "$data" ]; then
		mkdir -p "$inside/shared"
		cp -r "$data" "$inside/shared/data"
		[ ! -d "$data/../crm" ] || cp -r "$data/../crm" "$inside/shared/crm"
	fi
	path=/tmp/${inside##*/}
	if [ -n "$results" ]; then
		set -- --results "$path/results" "$@"
	else
		results=$(mktemp -d "${TMPDIR:-/tmp}/leadscore-failed.XXXXXX")
	fi
	say "testing in the chroot $root"
	IN_MOUNTS=exec in_mounts "$root" chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		LC_ALL=C.UTF-8 LEADSCORE_TIMEOUT="${LEADSCORE_TIMEOUT:-}" LEADSCORE_NO_INSTALL=1 LEADSCORE_SYSTEM_INSTALL=1 \
		TMPDIR="$path" LEADSCORE_FAILED_DIR="$path/results" LEADSCORE_SHOWN_AS="$results" "$path/leadscore/test" "$@" </dev/null &
	child=$!
	wait $child
	rc=$?
	child=
	[ ! -d "$inside/results" ] || cp -r "$inside/results/." "$results/"
	[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID" "$results"
	rmdir "$results" 2>/dev/null
	return $rc
}

# ---- servers built from source -------------------------------------------------

# fetch_source MAJOR DIR: Debian's source of PostgreSQL MAJOR, unpacked in DIR.
# apt works in folders of its own here: this machine's lists stay as they are.
fetch_source() (
	local major=$1 dir=$2 suite mirror apt
	suite=$(debian_suite "$major") || exit
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || die "set LEADSCORE_MIRROR to a Debian mirror"
	[ -f "$keyring" ] || ensure_packages debian-archive-keyring
	mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial"
	echo "deb-src [signed-by=$keyring] $mirror $suite main" >"$dir/apt/sources.list"
	apt=(apt-get -q -o Dir::Etc::sourcelist="$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache" -o APT::Sandbox::User=)
	"${apt[@]}" update && cd "$dir" && "${apt[@]}" source --download-only "postgresql-$major" &&
		tar xf "$dir"/postgresql-"$major"_*.orig.tar.* --strip-components=1
)

built_server() {
	local major=$1 valgrind=$2 refresh=$3 prefix src log cflags='-O1 -g -fno-omit-frame-pointer'
	prefix=$(cache_dir)/postgresql-$major-cassert${valgrind:+-valgrind}
	log=$prefix.log
	mkdir -p "${prefix%/*}"
	# held to the end: the extension is installed in the server's own folders
	# where the version has no other way
	exec 8>"$prefix.lock"
	flock 8
	[ -z "$refresh" ] || rm -rf "$prefix"
	if [ ! -f "$prefix/.complete" ]; then
		ensure_packages bison flex dpkg-dev xz-utils bzip2 ${valgrind:+valgrind}
		[ -z "$valgrind" ] || cflags="$cflags -DUSE_VALGRIND"
		src=$(mktemp -d "${TMPDIR:-/tmp}/leadscore-postgresql.XXXXXX")
		: >"$log"
		say "building PostgreSQL $major with assertions in $prefix (kept; some minutes)"
		logged "$log" fetch_source "$major" "$src" || die "no source of PostgreSQL $major"
		logged "$log" build_server "$src" "$prefix" "$cflags" || die "PostgreSQL $major does not build, see $log"
		[ ! -f "$src/src/tools/valgrind.supp" ] || cp "$src/src/tools/valgrind.supp" "$prefix/"
		rm -rf "$src"
		touch "$prefix/.complete"
	fi
	export PG_CONFIG=$prefix/bin/pg_config LEADSCORE_SYSTEM_INSTALL=1
}

build_server() (
	cd "$1" &&
		./configure --prefix="$2" --enable-cassert --enable-debug --enable-tap-tests \
			--without-icu --without-readline --without-zlib CFLAGS="$3" &&
		make -j"$(nproc)" && make install && make -j"$(nproc)" -C contrib install
)

# ---- other ways to run postgres ------------------------------------------------

asan_postgres() {
	cat >"$WORK/postgres-asan" <<-SH
		#!/bin/sh
		export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
		export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
		exec "$PG_BIN/postgres" "\$@"
	SH
	chmod 755 "$WORK/postgres-asan"
	echo "$WORK/postgres-asan"
}

valgrind_postgres() {
	local supp=$PG_BIN/../valgrind.supp
	[ -f "$supp" ] || supp=
	cat >"$WORK/postgres-valgrind" <<-SH
		#!/bin/sh
		exec valgrind --quiet --trace-children=yes --leak-check=no \
			--log-file="$WORK/valgrind.%p.log" ${supp:+--suppressions="$supp"} "$PG_BIN/postgres" "\$@"
	SH
	chmod 755 "$WORK/postgres-valgrind"
	echo "$WORK/postgres-valgrind"
}
