# shellcheck shell=bash
# Shell functions that ./test, tools/dev, demo/run and bench/run share.
#
# The short way, for a script that wants a server with the extension in it:
#
#     #!/usr/bin/env bash
#     set -eu
#     . "$(dirname "$0")/../tools/lib.sh"
#     leadscore_up "shared_buffers = 1GB" "max_parallel_workers = 2"
#     psql -c 'CREATE EXTENSION leadscore'
#
# leadscore_up installs missing packages, builds a copy of this tree, starts a
# private server and points psql, pgbench, pg_dump ... at it.  When the script
# ends, however it ends, server and files are gone (LEADSCORE_KEEP=1 keeps them).
# Nothing outside the work folder is written and no other server is touched.
#
# Functions:
#   leadscore_up [CONF...]    all of it; each CONF is a line of postgresql.conf
#   leadscore_down            stop the server, remove the work folder (EXIT trap)
#   ensure_packages [PKG...]  install with apt what building and testing need
#                             and is not there, and the extra packages PKG
#   wish_for_package PKG      the same for what may be missing
#   find_pg_config            choose the server: sets PG_CONFIG, PG_BIN, PG_MAJOR
#   make_workdir [DIR]        sets WORK, a folder that the server's user owns;
#                             a given DIR is kept at the end
#   sync_tree DEST            copy this tree to DEST; only changed files get a
#                             new time, so that make there stays incremental
#   stage_build [MAKEARG...]  sync to $WORK/build, make, install to $WORK/stage
#   start_cluster [CONF...]   initdb in $WORK/data, start on a socket in $WORK;
#                             exports PGHOST PGPORT PGUSER PGDATABASE PATH
#   stop_cluster [MODE]       stop that server (immediate, or fast, as in pg_ctl)
#   expect_nothing NAME...    let new tests have an empty expected output in the build
#   stage_settings            print the postgresql.conf lines by which a server
#                             finds the staged extension (TEMP_CONFIG of TAP)
#   as_postgres CMD...        run CMD as the user that the server runs as
#   say TEXT / die TEXT       one line for the reader / the same, and exit 1
#
# Variables read: PG_CONFIG (the server to use), TMPDIR, LEADSCORE_KEEP,
# LEADSCORE_NO_INSTALL=1 (name missing packages instead of installing them),
# LEADSCORE_SYSTEM_INSTALL=1 (allow a plain "make install"; for machines that
# are thrown away afterwards), LEADSCORE_POSTGRES (a program to start in the
# place of postgres).

LEADSCORE_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LEADSCORE_MIN_MAJOR=15
export LC_ALL=C.UTF-8 LANGUAGE=

say() { printf '== %s\n' "$*"; }
die() { printf 'leadscore: %s\n' "$*" >&2; exit 1; }

# ---- who runs what -------------------------------------------------------

# A server refuses to run as root; then "postgres" runs it (or, without that
# user, "nobody").  Anyone else runs it as themselves.
server_user() {
	if [ "$(id -u)" != 0 ]; then id -un
	elif id postgres >/dev/null 2>&1; then echo postgres
	else echo nobody; fi
}

# server_prefix: sets AS_SERVER, the words to put before a command for that
server_prefix() {
	AS_SERVER=()
	if [ "$(id -u)" = 0 ]; then
		AS_SERVER=(runuser -u "$(server_user)" -- env HOME="${WORK:-/}" TMPDIR="${WORK:+$WORK/}tmp")
	fi
}

as_postgres() {
	local AS_SERVER
	server_prefix
	${AS_SERVER[@]+"${AS_SERVER[@]}"} "$@"
}

give_to_server() {
	if [ "$(id -u)" = 0 ]; then chown -R "$(server_user)": "$@"; fi
}

# sudo may ask for a password where there is somebody to ask
SUDO=(sudo)
[ -t 0 ] || SUDO=(sudo -n)

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else "${SUDO[@]}" "$@"; fi
}

# ---- packages ------------------------------------------------------------

# usable_pg_config FILE: has it a server, its headers and its makefiles?
usable_pg_config() {
	[ -x "$1" ] || return 1
	[ -x "$("$1" --bindir)/postgres" ] && [ -f "$("$1" --pgxs)" ] &&
		[ -f "$("$1" --includedir-server)/postgres.h" ]
}

pg_config_major() { "$1" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/'; }

# search_pg_config: print the path of the server to use, fail if there is none
search_pg_config() {
	local c
	if [ -n "${PG_CONFIG:-}" ]; then
		c=$(command -v "$PG_CONFIG") && usable_pg_config "$c" && echo "$c"
		return
	fi
	for c in $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -t/ -k5,5nr) \
		$(command -v pg_config); do
		usable_pg_config "$c" || continue
		[ "$(pg_config_major "$c")" -ge $LEADSCORE_MIN_MAJOR ] || continue
		echo "$c"
		return
	done
	return 1
}

find_pg_config() {
	local found
	found=$(search_pg_config) ||
		die "no PostgreSQL with server headers found${PG_CONFIG:+ at PG_CONFIG=$PG_CONFIG}"
	PG_CONFIG=$found
	PG_BIN=$("$PG_CONFIG" --bindir)
	PG_MAJOR=$(pg_config_major "$PG_CONFIG")
	[ "$PG_MAJOR" -ge $LEADSCORE_MIN_MAJOR ] ||
		die "PostgreSQL $PG_MAJOR is too old: $LEADSCORE_MIN_MAJOR or newer is needed"
	export PG_CONFIG PG_BIN PG_MAJOR
}

apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
		apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# distribution_major: the PostgreSQL version of this distribution's own packages
distribution_major() {
	apt-cache depends postgresql 2>/dev/null |
		sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1
}

# Debian's server package makes and starts a cluster of its own when it is
# installed.  We need none, and the machine may not want one: for as long as we
# install, a drop-in says so.
MAIN_CLUSTER_HOLD=/etc/postgresql-common/createcluster.d/leadscore.conf
hold_main_cluster() {
	as_root sh -c "mkdir -p '${MAIN_CLUSTER_HOLD%/*}' && echo 'create_main_cluster = false' > '$MAIN_CLUSTER_HOLD'"
}
release_main_cluster() { as_root rm -f "$MAIN_CLUSTER_HOLD"; }

ensure_packages() {
	local need=() pkg major log
	command -v make >/dev/null || need+=(make)
	command -v gcc >/dev/null || need+=(gcc)
	[ -f /usr/include/stdio.h ] || need+=(libc6-dev)
	perl -MIPC::Run -e 1 2>/dev/null || need+=(libipc-run-perl)
	perl -MTest::More -e 1 2>/dev/null && command -v prove >/dev/null || need+=(perl)
	for pkg in "$@"; do
		dpkg-query -W -f '${Status}\n' "$pkg" 2>/dev/null | grep -q ' installed$' ||
			need+=("$pkg")
	done
	if ! search_pg_config >/dev/null; then
		[ -z "${PG_CONFIG:-}" ] || die "PG_CONFIG=$PG_CONFIG is not a server with headers"
		need+=(postgresql)
	fi
	[ ${#need[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "missing: ${need[*]} (no apt-get here to install them)"
	[ -z "${LEADSCORE_NO_INSTALL:-}" ] || die "missing packages: ${need[*]}"
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "missing packages: ${need[*]} (and no sudo to install them)"
	fi

	log=$(mktemp)
	if [ -z "$(distribution_major)" ]; then
		say "reading the package lists"
		apt_get update >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; die "apt-get update failed"; }
	fi
	if [[ " ${need[*]} " == *" postgresql "* ]]; then
		major=$(distribution_major)
		[ -n "$major" ] || { rm -f "$log"; die "this distribution has no postgresql package"; }
		need=($(printf '%s\n' "${need[@]}" | grep -vx postgresql) "postgresql-$major" "postgresql-server-dev-$major")
	fi
	say "installing ${need[*]}"
	hold_main_cluster
	apt_get install --no-install-recommends "${need[@]}" >"$log" 2>&1 ||
		{ apt_get update && apt_get install --no-install-recommends "${need[@]}"; } >"$log" 2>&1 ||
		{ release_main_cluster; cat "$log" >&2; rm -f "$log"; die "could not install ${need[*]}"; }
	release_main_cluster
	rm -f "$log"
}

# wish_for_package PKG: install a package that only some test needs, which is
# skipped where there is none
wish_for_package() {
	local log
	dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q ' installed$' && return 0
	[ -z "${LEADSCORE_NO_INSTALL:-}" ] && apt-cache show "$1" >/dev/null 2>&1 || return 0
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null || return 0
	log=$(mktemp)
	hold_main_cluster
	if apt_get install --no-install-recommends "$1" >"$log" 2>&1; then
		say "installed $1"
	fi
	release_main_cluster
	rm -f "$log"
}

# ---- work folder and build -----------------------------------------------

make_workdir() {
	local base=${TMPDIR:-/tmp}
	umask 022
	if [ -n "${1:-}" ]; then
		WORK=$1
		WORK_KEEP=1
		mkdir -p "$WORK"
	else
		# a socket's path may not be longer than some 100 bytes
		[ ${#base} -le 40 ] || base=/tmp
		WORK=$(mktemp -d "$base/leadscore.XXXXXX")
		WORK_KEEP=${LEADSCORE_KEEP:-}
	fi
	mkdir -p "$WORK/tmp"
	chmod 755 "$WORK"
	if [ "$(id -u)" = 0 ]; then chown "$(server_user)": "$WORK" "$WORK/tmp"; fi
	export WORK
}

# tree_files: the files of this tree that a build or a test can need
tree_files() {
	(
		cd "$LEADSCORE_TOP" || exit
		find . -name .git -prune -o -name tmp_check -prune -o -name results -prune -o \
			-name output_iso -prune -o -name node_modules -prune -o -type f \
			! -name '*.o' ! -name '*.bc' ! -name '*.so' ! -name '*.gcda' ! -name '*.gcno' \
			! -name 'regression.*' ! -name '*.swp' ! -name '.#*' -print
	) | sort
}

sync_tree() {
	local dest=$1 f
	mkdir -p "$dest"
	while IFS= read -r f; do
		cmp -s "$LEADSCORE_TOP/$f" "$dest/$f" && continue
		[ -d "$dest/${f%/*}" ] || mkdir -p "$dest/${f%/*}"
		# by way of another name: a script that is running keeps its old text
		cp "$LEADSCORE_TOP/$f" "$dest/$f.new" && mv -f "$dest/$f.new" "$dest/$f"
	done < <(tree_files)
	# what has gone here goes there (objects and results of a build stay)
	(LEADSCORE_TOP=$dest tree_files) | comm -13 <(tree_files) - |
		while IFS= read -r f; do rm -f "$dest/$f" "$dest/${f%.c}.o" "$dest/${f%.c}.bc"; done
	give_to_server "$dest"
}

# The settings by which a server can be told to look in a staged tree.
staging_kind() {
	if grep -qa extension_destdir "$PG_BIN/postgres"; then echo destdir
	elif grep -qa extension_control_path "$PG_BIN/postgres"; then echo control_path
	elif [ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -n "${LEADSCORE_SYSTEM_INSTALL:-}" ]; then echo system
	else return 1; fi
}

stage_settings() {
	local lib
	lib=$("$PG_CONFIG" --pkglibdir)
	case $STAGING in
		destdir)
			echo "extension_destdir = '$WORK/stage'"
			echo "dynamic_library_path = '$WORK/stage$lib:\$libdir'"
			;;
		control_path)
			echo "extension_control_path = '$WORK/stage$("$PG_CONFIG" --sharedir):\$system'"
			echo "dynamic_library_path = '$WORK/stage$lib:\$libdir'"
			;;
	esac
}

stage_build() {
	local log=$WORK/build.log dest=(DESTDIR="$WORK/stage")
	STAGING=$(staging_kind) ||
		die "PostgreSQL $PG_MAJOR in $PG_BIN can only use extensions from its own folders; set LEADSCORE_SYSTEM_INSTALL=1 to install there"
	[ "$STAGING" != system ] || dest=()
	sync_tree "$WORK/build"
	mkdir -p "$WORK/stage"
	give_to_server "$WORK/stage"
	if ! as_postgres make -s -C "$WORK/build" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" "$@" >"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		return 1
	fi
	cat "$log"
	if [ "$STAGING" = system ]; then
		make -s -C "$WORK/build" install PG_CONFIG="$PG_CONFIG" "$@" >>"$log" 2>&1
	else
		rm -rf "$WORK/stage$("$PG_CONFIG" --sharedir)/extension"
		as_postgres make -s -C "$WORK/build" install PG_CONFIG="$PG_CONFIG" "${dest[@]}" "$@" >>"$log" 2>&1
	fi || { cat "$log" >&2; return 1; }
}

# expect_nothing NAME...: a test without an expected output, being new, is
# expected to print nothing; else pg_regress would stop at it
expect_nothing() {
	local n
	mkdir -p "$WORK/build/expected"
	for n in "$@"; do
		[ -f "$WORK/build/expected/$n.out" ] || : >"$WORK/build/expected/$n.out"
	done
	give_to_server "$WORK/build/expected"
}

# ---- server --------------------------------------------------------------

# client_env: point the client programs at the server in $WORK, and at no other
client_env() {
	local v
	for v in ${!PG*}; do
		case $v in PG_* | PGHOST | PGPORT | PGUSER | PGDATABASE) ;; *) unset "$v" ;; esac
	done
	export PGHOST=$WORK PGPORT=${LEADSCORE_PORT:-54999} PGUSER=postgres PGDATABASE=postgres
	case :$PATH: in :"$PG_BIN":*) ;; *) export PATH="$PG_BIN:$PATH" ;; esac
}

start_cluster() {
	local line
	client_env
	if [ ! -f "$WORK/data/PG_VERSION" ]; then
		(cd "$WORK" && as_postgres "$PG_BIN/initdb" -D "$WORK/data" -U postgres -A trust -N \
			--locale=C.UTF-8 --encoding=UTF8) >"$WORK/initdb.log" 2>&1 </dev/null ||
			{ cat "$WORK/initdb.log" >&2; return 1; }
		cp "$WORK/data/postgresql.conf" "$WORK/postgresql.conf.initdb"
	fi
	{
		cat "$WORK/postgresql.conf.initdb"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$WORK'"
		echo "port = $PGPORT"
		echo "timezone = 'UTC'"
		echo "fsync = off"
		stage_settings
		for line in "$@"; do printf '%s\n' "$line"; done
	} | as_postgres tee "$WORK/data/postgresql.conf" >/dev/null
	(cd "$WORK" && as_postgres "$PG_BIN/pg_ctl" -s -w -t 120 \
		${LEADSCORE_POSTGRES:+-p "$LEADSCORE_POSTGRES"} -D "$WORK/data" -l "$WORK/server.log" start) </dev/null ||
		{ tail -n 30 "$WORK/server.log" >&2; return 1; }
}

cluster_runs() {
	[ -f "${WORK:-/nowhere}/data/postmaster.pid" ] &&
		(cd "$WORK" && as_postgres "$PG_BIN/pg_ctl" -D "$WORK/data" status >/dev/null 2>&1)
}

stop_cluster() {
	cluster_runs || return 0
	(cd "$WORK" && as_postgres "$PG_BIN/pg_ctl" -s -w -t 120 -m "${1:-immediate}" -D "$WORK/data" stop) </dev/null || true
}

leadscore_down() {
	[ -n "${WORK:-}" ] || return 0
	stop_cluster
	if [ -z "${WORK_KEEP:-}" ]; then
		rm -rf "$WORK"
	else
		say "kept: $WORK"
	fi
	WORK=
}

leadscore_up() {
	trap leadscore_down EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	ensure_packages
	find_pg_config
	make_workdir
	say "building for PostgreSQL $PG_MAJOR"
	stage_build || die "the build failed"
	start_cluster "$@" || die "the server did not start"
	say "a private PostgreSQL $PG_MAJOR runs in $WORK"
}
