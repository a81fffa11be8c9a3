#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# `./dev demo`: a private daemon with three devices, real files on them, every byte compared, and what it saved. As root
# two of the devices carry file systems over loop devices; as an ordinary user all three are used as plain files.
# Leaves nothing behind. Exit status 0 only if every comparison and every check held.
# ZSD_DEMO_MIB: how much to copy at most; at least 300 MiB are.
set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

# Real files are taken from these folders in turn, until there is enough.
sample_folders=(/usr/share /usr/lib /usr/bin)
sample_min_mib=300
sample_max_mib=${ZSD_DEMO_MIB:-900}
image_mib=128

: "${BUILD:?the build directory}"
zsd=$BUILD/daemon/zsd
zsctl=$BUILD/tools/zsctl

directory=$(mktemp -d "${TMPDIR:-/tmp}/zsd-demo.XXXXXX")
chmod 755 "$directory"
export ZSD_SOCKET=$directory/io.zsd.control
files=$directory/mnt
daemon=
loops=()
mounts=()
SECONDS=0

step()
{
	printf '\n[%3d s] %s\n' "$SECONDS" "$*"
}

die()
{
	echo "demo: $*" >&2
	exit 1
}

# Undoes all, newest first. Part of the demo's claim: what can't be undone is a failure.
cleanup()
{
	local status=$? index
	trap - EXIT
	set +e
	for ((index = ${#mounts[@]} - 1; index >= 0; index--)); do
		mountpoint -q "${mounts[index]}" || continue
		umount "${mounts[index]}" || umount -l "${mounts[index]}" || status=1
	done
	for index in "${loops[@]}"; do
		losetup -d "$index" || status=1
	done
	stop_daemon || status=1
	if grep -qF " $directory/" /proc/self/mountinfo; then
		echo "demo: a mount is left below $directory" >&2
		exit 1
	fi
	rm -rf --one-file-system "$directory"
	[[ $status -ne 0 ]] || printf '\nAll comparisons held; nothing is left behind. %d s.\n' "$SECONDS"
	exit "$status"
}

# The daemon unmounts by itself. If it doesn't end it is killed and its mount detached.
stop_daemon()
{
	local tries
	[[ $daemon ]] || return 0
	kill -TERM "$daemon" 2>/dev/null
	for ((tries = 0; tries < 1200; tries++)); do
		# In a trap, return alone would answer the status from before the trap.
		kill -0 "$daemon" 2>/dev/null || { wait "$daemon"; return $?; }
		sleep 0.05
	done
	echo "demo: the daemon does not stop" >&2
	kill -KILL "$daemon"
	if [[ $EUID -eq 0 ]]; then umount -l "$files"; else fusermount3 -u -z "$files"; fi
	return 1
}

start_daemon()
{
	local tries
	"$zsd" --runtime-dir "$directory" --no-config >"$directory/log" 2>&1 &
	daemon=$!
	for ((tries = 0; tries < 1200; tries++)); do
		"$zsctl" list >/dev/null 2>&1 && return 0
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.05
	done
	cat "$directory/log" >&2
	die "the daemon does not start"
}

# Prints how much to take, MiB: /usr/share as it is, within bounds, and no more than an eighth of the free memory.
sample_size()
{
	local available size
	available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
	[[ $available -ge 1200 ]] || die "needs 1200 MiB of free memory; there are $available"
	size=$(du -sm "${sample_folders[0]}" 2>/dev/null | cut -f1)
	size=$((size < sample_max_mib ? size : sample_max_mib))
	size=$((size < available / 8 ? size : available / 8))
	echo $((size > sample_min_mib ? size : sample_min_mib))
}

# Writes a list of files for tar, up to a size. $1: MiB, $2: list. A directory comes before what is in it.
list_sample()
{
	python3 - "$1" "${sample_folders[@]}" >"$2" <<-'END'
		import os, stat, sys

		limit = int(sys.argv[1]) << 20
		total = 0

		def entries(folders):
		    for folder in folders:
		        for path, subfolders, names in os.walk(folder):
		            subfolders.sort()
		            yield path
		            yield from (os.path.join(path, name) for name in sorted(names))

		for path in entries(sys.argv[2:]):
		    if total >= limit:
		        break
		    status = os.lstat(path)
		    if stat.S_ISREG(status.st_mode):
		        total += status.st_size
		    if stat.S_ISLNK(status.st_mode) or os.access(path, os.R_OK):
		        sys.stdout.write(path[1:] + "\0")
	END
}

# A tar stream of the files in a list.
read_sample()
{
	tar -C / --null --no-recursion --files-from="$1" --format=gnu --ignore-failed-read -cf -
}

# add NAME OPTION...: adds a device.
add()
{
	echo "\$ zsctl add $*"
	"$zsctl" add "$@"
}

# attach NAME: sets $loop to a new loop device over the device's file.
attach()
{
	loop=$(losetup --find --show --direct-io=on --sector-size 4096 "$files/$1")
	loops+=("$loop")
	echo "$loop over $files/$1"
}

mount_at()
{
	mkdir -p "$2"
	mount "$1" "$2"
	mounts+=("$2")
}

unmount_last()
{
	umount "${mounts[-1]}"
	unset 'mounts[-1]'
}

# A file system on a device, filled, unmounted so that nothing is cached, mounted again, compared, checked.
# $1: device, $2: ext4 or xfs.
file_system()
{
	local loop place=$directory/$1 checker=(e2fsck -f -n)
	[[ $2 == ext4 ]] || checker=(xfs_repair -n)
	step "$2 on device $1, through a loop device"
	attach "$1"
	"mkfs.$2" -q "$loop"
	mount_at "$loop" "$place"
	echo "copying $sample_files files, $sample_mib MiB"
	read_sample "$directory/sample" | tar -C "$place" -xpf -
	unmount_last
	blockdev --flushbufs "$loop"

	step "comparing $1 with the original files, every byte"
	mount_at "$loop" "$place"
	read_sample "$directory/sample" | tar -C "$place" -df - || die "$1 differs from what was copied to it"
	echo "equal"
	unmount_last
	"${checker[@]}" "$loop" >"$directory/log.$1" 2>&1 || { cat "$directory/log.$1"; die "$2 on $1 is damaged"; }
	echo "${checker[*]} $loop: clean"
}

# The same files as one tar stream written to the device's file itself. $1: device.
plain_file()
{
	step "a tar of $sample_files files, $sample_mib MiB, written to the file of device $1"
	read_sample "$directory/sample" | dd of="$files/$1" bs=1M iflag=fullblock conv=notrunc status=none
	cmp <(read_sample "$directory/sample") <(head -c "$sample_tar_bytes" "$files/$1") || die "$1 differs"
	echo "equal, every byte"
}

# A disk image with a file system in it, made aside and written to the device's file without a loop device.
disk_image()
{
	local image=$directory/image size
	step "a disk image, written directly to the file of device $1"
	mkdir "$directory/tree"
	list_sample "$image_mib" "$directory/sample.image"
	read_sample "$directory/sample.image" | tar -C "$directory/tree" -xf -
	mke2fs -q -t ext4 -d "$directory/tree" "$image" $((image_mib * 2))M >/dev/null
	chmod -R u+w "$directory/tree"
	rm -rf "$directory/tree"
	size=$(stat -c %s "$image")
	dd if="$image" of="$files/$1" bs=1M conv=notrunc oflag=direct status=none
	cmp -n "$size" "$image" "$files/$1" || die "$1 differs from the image"
	echo "$((size / 1048576)) MiB equal, every byte"
	e2fsck -f -n "$files/$1" >"$directory/log.$1" 2>&1 ||
		{ cat "$directory/log.$1"; die "the file system in the image on $1 is damaged"; }
	echo "e2fsck -f -n $files/$1: clean"
}

# What is stored against what it takes.
saving()
{
	"$zsctl" stats -J | python3 -c '
import json, sys
stats = json.load(sys.stdin)
pool = stats["pool"]
data = sum(device["data_bytes"] for device in stats["devices"])
used = pool["used_bytes"]
print(f"{data / 2**20:.0f} MiB of data in {used / 2**20:.0f} MiB of memory, tables and all: "
      f"{data / used:.2f}x, {(data - used) / 2**20:.0f} MiB saved")'
}

main()
{
	local sample_mib sample_files sample_tar_bytes size second=xfs
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM

	echo "zsd keeps compressed blocks in memory and serves them as files; each file is a virtual disk."
	step "starting a private daemon in $directory"
	start_daemon
	sample_mib=$(sample_size)
	list_sample "$sample_mib" "$directory/sample"
	sample_files=$(tr -cd '\0' <"$directory/sample" | wc -c)
	sample_tar_bytes=$(read_sample "$directory/sample" | wc -c)
	# Twice the files: file systems need room of their own, and what is not written takes no memory.
	size=$(((sample_tar_bytes >> 20) * 2 + 512))M

	step "adding three devices"
	add one --size "$size" --algorithm lz4
	add two --size "$size" --algorithm zstd:3
	add three --size $((image_mib * 2))M --block-size 16K

	if [[ $EUID -eq 0 ]]; then
		modprobe -q loop 2>/dev/null || true
		modprobe -q xfs 2>/dev/null || true
		if ! grep -qw xfs /proc/filesystems; then
			echo "this kernel has no xfs: ext4 twice"
			second=ext4
		fi
		file_system one ext4
		file_system two "$second"
	else
		echo "not root: no loop devices; all three are used as plain files"
		plain_file one
		plain_file two
	fi
	disk_image three

	step "what it took"
	echo "\$ zsctl list"
	"$zsctl" list
	echo
	echo "\$ zsctl stats"
	"$zsctl" stats
	echo
	saving
}

main "$@"
