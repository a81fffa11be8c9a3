#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An idle daemon takes less than 8 MiB and no CPU time at all: not one system call, not one wake-up.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

# This aid of the C library's, which test runners set, writes all memory that is allocated, which makes it resident.
unset MALLOC_PERTURB_

start_daemon
add disk 1G
kib=$(memory_of "$daemon" VmRSS)
anonymous=$(memory_of "$daemon" RssAnon)
echo "resident: $kib KiB, $anonymous KiB of them its own"
[[ $kib -lt 8192 ]] || fail "$kib KiB are resident"

step "after some use as well"
dd if=/dev/urandom of="$mnt/disk" bs=4K count=256 conv=notrunc status=none
dd if="$mnt/disk" of=/dev/null bs=4K count=256 status=none
"$ZSCTL" stats >/dev/null
sleep 0.5
kib=$(memory_of "$daemon" VmRSS)
echo "resident: $kib KiB, 1 MiB of them data"
[[ $kib -lt 10240 ]] || fail "$kib KiB are resident with 1 MiB of data"

# What was written has led to one look at the fragmentation, after a second.
sleep 1.5
idle 5
stop_daemon
