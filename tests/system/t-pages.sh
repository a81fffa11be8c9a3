#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The kernel's limit of pages in a request, fs.fuse.max_pages_limit: lowered, requests are that short; raised, they are
# 1 MiB as ever, which is what the daemon asks for. Either way large reads and writes move the right data. The limit is
# the machine's; it is looked at when a daemon mounts, so it is changed for that moment only.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
limit=/proc/sys/fs/fuse/max_pages_limit
[[ -e $limit ]] || skip "needs fs.fuse.max_pages_limit, which came with Linux 6.13"

restore_limit()
{
	echo "$1" >$limit
}

# Two of these tests at a time would restore what the other one has set.
exec {lock}<$limit
flock "$lock"
before=$(<$limit)
at_exit restore_limit "$before"
head -c 8M /dev/urandom >"$test_dir/data"

# start_with PAGES: a daemon that was mounted under this limit.
start_with()
{
	echo "$1" >$limit
	start_daemon
	echo "$before" >$limit
	add disk 16M
}

# requests FIELD: how many there have been.
requests()
{
	"$ZSCTL" stats disk -n -b -r -o "$1"
}

# move SIZE NUMBER: writes 8 MiB directly by calls of that size, which takes so many requests, and reads them back.
move()
{
	local writes reads
	writes=$(requests WRITES) reads=$(requests READS)
	dd if="$test_dir/data" of="$mnt/disk" bs="$1" oflag=direct conv=notrunc status=none
	equal "writes of $1" $(($(requests WRITES) - writes)) "$2"
	cmp <(dd if="$mnt/disk" bs="$1" count=8M iflag=direct,count_bytes status=none) "$test_dir/data" ||
		fail "the data differs after writes of $1"
	equal "reads of $1" $(($(requests READS) - reads)) "$2"
	# Not aligned: at the start and the end a page more.
	dd if="$test_dir/data" of="$mnt/disk" bs="$1" seek=4097 oflag=direct,seek_bytes conv=notrunc status=none
	cmp <(dd if="$mnt/disk" bs="$1" skip=4097 count=8M iflag=direct,skip_bytes,count_bytes status=none) \
		"$test_dir/data" || fail "the data differs after writes of $1 that are not aligned"
}

step "the usual 256 pages"
start_with 256
move 1M 8
move 4M 8
stop_daemon

step "lowered to 16"
start_with 16
move 64K 128
move 1M 128
move 4M 128
stop_daemon

step "raised to 1024"
start_with 1024
move 1M 8
move 4M 8
stop_daemon
equal "the limit" "$(<$limit)" "$before"
