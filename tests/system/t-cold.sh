#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A backing file: more data than memory is written and read back right, and refused only when the file is full, too.
# While the disk doesn't answer, what is in memory does; whoever waits can be killed, and the device removed. Where the
# file can't be read there is EIO, and nowhere else. What can't be a backing file is refused by name.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio losetup taskset

backing=$test_dir/backing
does=$test_dir/does
config=$test_dir/zsd.conf

# configure [LINE]...: a small pool, and what is to be in [Writeback].
configure()
{
	{
		printf '[Pool]\nMemoryLimit=16M\nOnFull=%s\n' "${on_full:-writeback}"
		printf '[Writeback]\n'
		printf '%s\n' "$@"
	} >"$config"
}

# cold_blocks FILE: the numbers of all blocks of a device that are in the backing file: they can't be read now.
cold_blocks()
{
	echo EIO >"$does"
	python3 -c '
import errno, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
for number in range(os.fstat(fd).st_size // 4096):
    try:
        os.pread(fd, 4096, number * 4096)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        print(number)' "$1"
	: >"$does"
}

# right_or_empty FILE BYTES: as much as that is in $test_dir/data, and the rest is zeros. A big request that meets the
# end of all room may have stored some blocks behind it.
right_or_empty()
{
	python3 -c '
import sys
right, empty = 0, bytes(4096)
with open(sys.argv[1], "rb") as file, open(sys.argv[2], "rb") as data:
    while block := file.read(4096):
        wanted = data.read(4096)
        if block == wanted:
            right += 1
        elif block != empty:
            sys.exit(f"byte {file.tell() - 4096}: neither right nor empty")
if right * 4096 != int(sys.argv[3]):
    sys.exit(f"{right} blocks are right, of {int(sys.argv[3]) // 4096}")' "$1" "$test_dir/data" "$2"
}

# hold NUMBER...: the disk doesn't answer, and somebody waits for each of the blocks. Sets clients.
hold()
{
	local number
	clients=()
	echo hold >"$does"
	for number in "$@"; do
		start cmp -n 4096 -i $((number * 4096)) "$mnt/disk" "$test_dir/data" 2>>"$test_dir/clients.log"
		clients+=($!)
	done
	# They are on their way; not all of them need be there yet.
	sleep 0.2
}

# not_pinned: sets made to the threads that were made for requests, which may run wherever the daemon may. Those that
# serve them may be pinned; a kernel thread's list can't be read once it has ended.
not_pinned()
{
	local task name cpus own
	own=$(awk '/^Cpus_allowed_list:/ { print $2 }' "/proc/$daemon/status")
	made=()
	for task in "/proc/$daemon"/task/*; do
		name=$(cat "$task/comm" 2>/dev/null) || continue
		[[ $name == zsd-wait-* || $name == zsd-tasks || $name == iou-wrk-* ]] || continue
		cpus=$(awk '/^Cpus_allowed_list:/ { print $2 }' "$task/status" 2>/dev/null) || continue
		equal "the CPUs of $name" "$cpus" "$own"
		made+=("$name")
	done
}

step "what can't be a backing file"
mkdir "$test_dir/directory" "$test_dir/read-only"
echo "somebody's data" >"$test_dir/foreign"
mount_at "$test_dir/read-only" -t tmpfs -o ro,size=1M none
while IFS='|' read -r path text; do
	configure "Backing=$path"
	refused "backing file $path: $text" "$ZSD" -d "$runtime" -c "$config"
done <<-END
	$test_dir/nowhere/file|its directory does not exist
	$test_dir/directory|it is a directory
	/dev/null|it is neither a regular file nor a block device
	$test_dir/foreign|there is something else in it
	$test_dir/read-only/file|it is on a read-only file system
	$runtime/mnt/file|it lies on a device of zsd itself
END
equal "foreign data" "$(<"$test_dir/foreign")" "somebody's data"
configure "Backing=$backing" Size=1M
refused "backing file $backing: Size= of [Writeback] is too small" "$ZSD" -d "$runtime" -c "$config"
[[ ! -e $backing ]] || fail "a file is left that was made for nothing"
truncate -s 2M "$test_dir/small"
attach "$test_dir/small"
configure "Backing=$loop"
refused "backing file $loop: the device is too small; use one of 4M or more" "$ZSD" -d "$runtime" -c "$config"
cmp -n 2097152 "$test_dir/small" /dev/zero || fail "something was written to it"
detach "$loop"

step "one in memory is of no use, and is used"
mount_at "$test_dir/memory" -t tmpfs -o size=16M none
configure "Backing=$test_dir/memory/file"
start_daemon --config "$config"
grep -qF "backing file $test_dir/memory/file: its file system is in memory, so nothing is gained" "$test_dir/run.log" ||
	fail "nothing is said about a file in memory"
stop_daemon

step "one that is in use, or on one of our own devices"
configure "Backing=$backing"
start_daemon --config "$config"
equal "its mode" "$(stat -c %a "$backing")" 600
add own 64M
attach "$mnt/own" -b 4096
refused "backing file $backing: it is in use" "$ZSD" -d "$test_dir/second" -c "$config"
configure "Backing=$loop"
sed -i "1i [Daemon]\nMountPoint=$mnt" "$config"
refused "backing file $loop: it lies on a device of zsd itself" "$ZSD" -d "$test_dir/second" -c "$config"
mkfs.ext4 -q "$loop"
mount_at "$test_dir/fs" "$loop"
configure "Backing=$test_dir/fs/file"
sed -i "1i [Daemon]\nMountPoint=$mnt" "$config"
refused "it lies on a device of zsd itself" "$ZSD" -d "$test_dir/second" -c "$config"
[[ ! -e $test_dir/fs/file ]] || fail "a file was made"
umount "$test_dir/fs"
detach "$loop"
stop_daemon

step "in memory: with a warning"
mkdir "$test_dir/tmpfs"
mount_at "$test_dir/tmpfs" -t tmpfs -o size=40M none
configure "Backing=$test_dir/tmpfs/file"
start_daemon --config "$config"
grep -q "backing file $test_dir/tmpfs/file: its file system is in memory" "$test_dir/run.log" || fail "no warning"

step "memory limit 16M, file system 40M, data 32M"
add disk 32M
fio --name=verify --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio --iodepth=16 --direct=1 --size=32M \
	--bsrange=4k-256k --rw=randwrite --verify=xxhash --verify_fatal=1 --minimal >"$test_dir/fio.log" 2>&1 ||
	fail "fio: $(tail -n 3 "$test_dir/fio.log")"
equal "writes that were refused" "$(stat_of disk no_space)" 0
head -c 40M /dev/urandom >"$test_dir/data"
add more 40M
refused "No space left" dd if="$test_dir/data" of="$mnt/more" bs=64K conv=notrunc oflag=direct status=none
stop_daemon

step "the limit of the file"
configure "Backing=$backing" Size=8M
start_daemon --config "$config"
add disk 40M
refused "No space left" dd if="$test_dir/data" of="$mnt/disk" bs=64K conv=notrunc oflag=direct status=none
[[ $(stat_of disk no_space) -gt 0 ]] || fail "the refusal is not counted"
stored=$(stat_of disk data_bytes)
[[ $stored -gt $((16 << 20)) ]] || fail "only $stored bytes were stored"
check "reading what was stored" right_or_empty "$mnt/disk" "$stored"
stop_daemon
on_full=error configure "Backing=$backing"
start_daemon --config "$config"
add disk 40M
refused "No space left" dd if="$test_dir/data" of="$mnt/disk" bs=64K conv=notrunc oflag=direct status=none
[[ $(stat_of disk data_bytes) -le $((16 << 20)) ]] || fail "it was written back all the same"
stop_daemon

step "threads that a pinned one has made may run anywhere"
configure "Backing=$backing"
start_daemon --config "$config"
add disk 40M
cpu=$(taskset -pc $$ | sed 's/.*: \([0-9]*\).*/\1/')
taskset -c "$cpu" dd if="$test_dir/data" of="$mnt/disk" bs=64K conv=notrunc oflag=direct status=none
not_pinned
[[ " ${made[*]} " == *" zsd-tasks "* ]] || fail "there are only ${made[*]}"
taskset -c "$cpu" cmp -n 40M "$mnt/disk" "$test_dir/data" || fail "it reads back differently"
not_pinned
stop_daemon

step "a device's own limit"
configure "Backing=$backing"
start_daemon --config "$config"
add other 8M
add disk 32M --mem-limit 4M
dd if="$test_dir/data" of="$mnt/other" bs=64K count=64 conv=notrunc oflag=direct status=none
dd if="$test_dir/data" of="$mnt/disk" bs=64K count=512 conv=notrunc oflag=direct status=none
equal "blocks of the other one in memory" "$(stat_of other object_blocks)" 1024
cmp -n 32M "$mnt/disk" "$test_dir/data" || fail "it reads back differently"
stop_daemon

step "a disk that fails, for the blocks that are there only"
export SLOW_DISK=$backing SLOW_DISK_DOES=$does
: >"$does"
ZSD_PRELOAD=$BUILD/tests/system/libslow_disk.so start_daemon --config "$config"
add disk 34M
dd if="$test_dir/data" of="$mnt/disk" bs=64K count=512 conv=notrunc oflag=direct status=none
# A block without an object is always in memory.
printf 'a%.0s' {1..4096} | dd of="$mnt/disk" bs=4K seek=8400 conv=notrunc status=none
mapfile -t cold < <(cold_blocks "$mnt/disk")
[[ ${#cold[@]} -gt 2000 ]] || fail "only ${#cold[@]} blocks are in the backing file"
grep -q "device=disk block=${cold[0]} can't be read back: the backing file answers an error" "$test_dir/run.log" ||
	fail "it is not said"
"$ZSCTL" status | grep '^Devices: .* 1, 1 with blocks that could not be read back' >/dev/null ||
	fail "$("$ZSCTL" status)"
cmp -n 32M "$mnt/disk" "$test_dir/data" || fail "it reads back differently, after it could not be read"

step "a disk that does not answer"
hold "${cold[@]:0:16}"
equal "a block in memory" "$(timeout 60 dd if="$mnt/disk" bs=4K count=1 skip=8400 status=none | tr -d a | wc -c)" 0
printf 'b%.0s' {1..4096} | timeout 60 dd of="$mnt/disk" bs=4K seek=8401 conv=notrunc oflag=direct status=none
for client in "${clients[@]}"; do
	is_running "$client" || fail "a block was read without a disk"
done
: >"$does"
for client in "${clients[@]}"; do
	check "reading what was waited for" wait "$client"
done

step "a client that is killed, a part of a block that is written, a device that is removed"
hold "${cold[@]:100:8}"
kill -KILL "${clients[@]}"
printf 'xyz' >"$test_dir/xyz"
start dd if="$test_dir/xyz" of="$mnt/disk" bs=3 oflag=seek_bytes seek=$((cold[200] * 4096 + 5)) conv=notrunc status=none
writer=$!
: >"$does"
for client in "${clients[@]}"; do
	wait_gone "$client" 60 || fail "a killed client is still there"
done
check "writing" wait "$writer"
equal "what was written" "$(dd if="$mnt/disk" iflag=skip_bytes,count_bytes bs=4K skip=$((cold[200] * 4096 + 5)) \
	count=3 status=none)" xyz
hold "${cold[@]:300:8}"
start "$ZSCTL" remove disk --force
remover=$!
: >"$does"
check "removing" wait "$remover"

step "stopping"
add disk 34M
dd if="$test_dir/data" of="$mnt/disk" bs=64K count=512 conv=notrunc oflag=direct status=none
mapfile -t cold < <(cold_blocks "$mnt/disk")
hold "${cold[@]:0:40}"
kill -TERM "$daemon"
sleep 0.2
: >"$does"
wait_gone "$daemon" 60 || fail "it does not stop"
check "exit status" wait "$daemon"
for client in "${clients[@]}"; do
	wait_gone "$client" 60 || fail "a client hangs"
done
