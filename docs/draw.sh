#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# `./dev docs`: the pictures of README.md. terminal.png: what zsctl prints of a private daemon with real data on it.
# ratios.png: the bars of build/bench/io.json, if `./dev bench io` has been run; else it stays as it is.
# BUILD: the build directory. $1: where the pictures go (default: docs).
#
# As root all is done in a mount namespace with a /run of its own, so that the paths are those of everybody's daemon.
set -euo pipefail
export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin

: "${BUILD:?the build directory}"
BUILD=$(readlink -f "$BUILD")
export BUILD
here=$(dirname "$(readlink -f "$0")")
output=$(readlink -f "${1:-$here}")
if [[ $EUID -eq 0 && ! ${ZSD_DOCS_INSIDE:-} ]]; then
	ZSD_DOCS_INSIDE=1 exec unshare --mount --propagation private "$0" "$output"
fi

# How much is taken of what everybody has, MiB: programs, texts, and what is compressed already.
programs_mib=256
texts_mib=160
compressed_mib=64
columns=100

export PYTHONDONTWRITEBYTECODE=1
directory=$(mktemp -d "${TMPDIR:-/tmp}/zsd-docs.XXXXXX")
runtime=$directory/run
if [[ ${ZSD_DOCS_INSIDE:-} ]]; then
	mount -t tmpfs -o mode=755 tmpfs /run
	runtime=/run/zsd
fi
export ZSD_SOCKET=$runtime/io.zsd.control
files=$runtime/mnt
processes=()

cleanup()
{
	local process
	trap - EXIT
	# The daemon is the first one; the others use its files.
	for process in $(printf '%s\n' "${processes[@]}" | tac); do
		kill "$process" 2>/dev/null || true
		wait "$process" 2>/dev/null || true
	done
	rm -rf --one-file-system "$directory"
}

die()
{
	echo "docs: $*" >&2
	exit 1
}

start_daemon()
{
	local tries
	cat >"$directory/zsd.conf" <<-END
		[Pool]
		MemoryLimit=512M
		[Writeback]
		Backing=$directory/backing
		Size=1G
	END
	"$BUILD/daemon/zsd" --runtime-dir "$runtime" --config "$directory/zsd.conf" 2>"$directory/log" &
	processes+=($!)
	for ((tries = 0; tries < 300; tries++)); do
		! zsctl list >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	cat "$directory/log" >&2
	die "the daemon does not start"
}

zsctl()
{
	"$BUILD/tools/zsctl" "$@"
}

# put NAME: standard input onto a device.
put()
{
	dd of="$files/$1" bs=1M iflag=fullblock conv=notrunc status=none
}

# up_to MIB: so much of standard input, and the writer doesn't mind that nobody reads the rest.
up_to()
{
	head -c "$1M"
	cat >/dev/null
}

# files_of FOLDER... -- TEST...: the contents of all files below the folders for which find's tests hold.
files_of()
{
	local folders=()
	while [[ $1 != -- ]]; do
		folders+=("$1")
		shift
	done
	shift
	find "${folders[@]}" -xdev -type f "$@" -print0 2>/dev/null | sort -z | xargs -0 cat 2>/dev/null || true
}

fill()
{
	zsctl add vm0 --size 512M >/dev/null
	zsctl add archive --size 256M --algorithm zstd:9 --block-size 16K >/dev/null
	zsctl add photos --size 128M >/dev/null

	# A disk of a machine; a part of it is zeros that somebody has written.
	files_of /usr/bin /usr/lib -- -size -4M | up_to "$programs_mib" | put vm0
	dd if=/dev/zero of="$files/vm0" bs=1M seek=$((programs_mib + 64)) count=96 conv=notrunc status=none
	files_of /usr/include /usr/share /usr/lib -- -regex '.*\.\(h\|py\|pm\|txt\)' | up_to "$texts_mib" | put archive
	files_of /usr/share /usr/lib -- -regex '.*\.\(gz\|png\|xz\|zst\)' | up_to "$compressed_mib" | put photos
	zsctl writeback archive --ranges 0-3000 >/dev/null
}

# Somebody is at work while the picture is taken.
work()
{
	local at vm0=$files/vm0 piece=$directory/piece
	while :; do
		for at in 0 1024 2048 3072; do
			dd if="$vm0" of="$piece" bs=64k count=128 skip="$at" iflag=direct status=none
			dd if="$piece" of="$vm0" bs=64k count=32 seek="$at" conv=notrunc status=none
		done
	done
}

take_pictures()
{
	work 2>/dev/null &
	processes+=($!)
	PATH=$BUILD/tools:$PATH "$here/terminal_picture.py" --columns "$columns" "$output/terminal.png" \
		"zsctl" "zsctl usage" "zsctl top --once"
	echo "$output/terminal.png"
	if [[ -e $BUILD/bench/io.json ]]; then
		"$here/ratio_plot.py" "$output/ratios.png" "$BUILD/bench/io.json"
		echo "$output/ratios.png"
	else
		echo "docs: no $BUILD/bench/io.json: ratios.png stays as it is; ./dev bench io makes the figures" >&2
	fi
}

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
start_daemon
fill
take_pictures
