#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A full pool, and a full device: new data is refused with ENOSPC, what is there stays readable and can be overwritten,
# and room that is given back can be used again.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

MIB=$((1 << 20))

# fill FILE: blocks of random content, each beginning with its number, until there is no room; prints how many fit.
fill()
{
	python3 -c '
import errno, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
size = os.fstat(fd).st_size
content = os.urandom(4096 - 8)
number = 0
while number * 4096 < size:
    try:
        if os.pwrite(fd, number.to_bytes(8, "little") + content, number * 4096) != 4096:
            sys.exit(f"short write of block {number}")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        break
    number += 1
print(number)' "$1"
}

# overwrite FILE NUMBER: every block is still there, and takes other random content.
overwrite()
{
	python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
for turn in range(3):
    for number in range(int(sys.argv[2])):
        block = os.pread(fd, 4096, number * 4096)
        assert int.from_bytes(block[:8], "little") == number, f"block {number} is another one"
        if os.pwrite(fd, block[:8] + os.urandom(4096 - 8), number * 4096) != 4096:
            sys.exit(f"short write of block {number}")
' "$1" "$2"
}

# full FILE BLOCKS: what must hold once it is.
full()
{
	check "overwriting all of it" overwrite "$1" "$2"
	# A few may fit where overwriting has left gaps.
	refused "No space left" dd if=/dev/urandom of="$1" bs=4K count=200 seek=$(($2 + 100)) conv=notrunc
	# Same-filled blocks and holes take no room.
	check "writing zeros" dd if=/dev/zero of="$1" bs=4K count=1 seek=$(($2 + 400)) conv=notrunc status=none
	fallocate -p -o 0 -l $(($2 * 2048)) "$1"
	check "writing to what was given back" \
		dd if=/dev/urandom of="$1" bs=4K count=$(($2 / 3)) conv=notrunc iflag=fullblock status=none
}

cat >"$test_dir/zsd.conf" <<-END
	[Pool]
	MemoryLimit=48M
END

step "the limit of a device"
start_daemon --config "$test_dir/zsd.conf"
add limited 64M --mem-limit 16M
add other 64M
blocks=$(fill "$mnt/limited")
[[ $blocks -ge 3800 && $blocks -le 4096 ]] || fail "$blocks blocks of 4096 bytes fit into 16 MiB"
equal "writes refused" "$(($(stat_of limited no_space) > 0))" 1
full "$mnt/limited" "$blocks"
used=$(stat_of limited memory_bytes)
[[ $used -le $((16 * MIB + MIB / 2)) ]] || fail "the device uses $used bytes"
check "writing to another one" dd if=/dev/urandom of="$mnt/other" bs=1M count=8 conv=notrunc status=none

step "the limit of the pool"
remove limited
blocks=$(fill "$mnt/other")
[[ $blocks -ge 11000 && $blocks -le 12288 ]] || fail "$blocks blocks of 4096 bytes fit into 48 MiB"
full "$mnt/other" "$blocks"

step "a file system that gets full"
remove other
add disk 200M
attach "$mnt/disk" -b 4096
mkfs.ext4 -q "$loop"
mount_at "$test_dir/fs" "$loop" -o errors=continue
head -c 8M /dev/urandom >"$test_dir/fs/before"
sync -f "$test_dir/fs"
sum=$(sha256sum <"$test_dir/fs/before")
! dd if=/dev/urandom of="$test_dir/fs/much" bs=1M count=100 oflag=direct status=none 2>/dev/null ||
	fail "100 MiB fit into 48 MiB"
equal "what was written before" "$(sha256sum <"$test_dir/fs/before")" "$sum"
rm -f "$test_dir/fs/much"
# What was deleted can be trimmed once the journal says so.
sync -f "$test_dir/fs"
fstrim "$test_dir/fs"
check "writing after deleting" dd if=/dev/urandom of="$test_dir/fs/more" bs=1M count=16 oflag=direct status=none
umount "$test_dir/fs"
check "the checker" fsck.ext4 -fn "$loop"
detach "$loop"
stop_daemon
