#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# While the disk of the backing file does not answer, the daemon does: a device is removed as soon as its requests have
# ended, and nobody else waits for that; the watchdog hears that all is well, even if no thread is left that could
# serve; and what is stopped meanwhile stops when the disk is back.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio

backing=$test_dir/backing
does=$test_dir/does
held=$does.held
printf '[Pool]\nMemoryLimit=16M\n[Writeback]\nBacking=%s\n' "$backing" >"$test_dir/zsd.conf"
export SLOW_DISK=$backing SLOW_DISK_DOES=$does
: >"$does"
head -c 32M /dev/urandom >"$test_dir/data"

cat >"$test_dir/listen.py" <<'END'
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
with open(sys.argv[2], "a", buffering=1) as out:
    while True:
        print(listener.recv(4096).decode(), file=out)
END
export NOTIFY_SOCKET=$test_dir/notify
start python3 "$test_dir/listen.py" "$NOTIFY_SOCKET" "$test_dir/notified"
eventually "listening" test -S "$NOTIFY_SOCKET"

# Half of a new device's blocks at least are in the backing file.
fill()
{
	add "$1" 34M
	dd if="$test_dir/data" of="$mnt/$1" bs=1M conv=notrunc oflag=direct status=none
	[[ $(stat_of "$1" written_back_bytes) -gt $((12 << 20)) ]] ||
		fail "hardly anything of $1 is in the backing file"
}

is_no_device()
{
	[[ $("$ZSCTL" list "$1" 2>&1) == *"there is no device with this name"* ]]
}

hold()
{
	rm -f "$held"
	echo hold >"$does"
}

# are_held NUMBER NAME: so many threads wait for the disk whose names begin so.
are_held()
{
	[[ $(sort -u "$held" 2>/dev/null | grep -c "^$2") -ge $1 ]]
}

# checks NUMBER: so many times the watchdog was told that we are well.
checks()
{
	[[ $(grep -c '^WATCHDOG=1' "$test_dir/notified") -ge $1 ]]
}

# Somebody reads all of a device, and waits; sets reader.
start_reader()
{
	start cat "$mnt/$1" >/dev/null 2>&1
	reader=$!
	eventually "waiting for the disk" are_held 1 zsd-
}

export WATCHDOG_USEC=1000000
ZSD_PRELOAD=$BUILD/tests/system/libslow_disk.so start_daemon --config "$test_dir/zsd.conf"

step "a device is removed: all but its remover go on"
fill disk
hold
start_reader disk
start "$ZSCTL" remove disk --force
remover=$!
for ((i = 0; i < 20; i++)); do
	check "a call" timeout 60 "$ZSCTL" stats >/dev/null
	check "a call" timeout 60 "$ZSCTL" backing >/dev/null
done
eventually "no such device" is_no_device disk
add disk 1M
printf 'new' | timeout 60 dd of="$mnt/disk" conv=notrunc status=none
equal "a device of the same name" "$(timeout 60 head -c 3 "$mnt/disk")" new
is_running "$remover" || fail "it is said to be removed while somebody reads from it"
is_running "$reader" || fail "a block was read without a disk"
: >"$test_dir/notified"
eventually "telling the watchdog" checks 4
: >"$does"
check "removing" wait "$remover"
wait_gone "$reader" || fail "who read from it hangs"
wait_for_free
equal "a device of the same name" "$(head -c 3 "$mnt/disk")" new
remove disk

step "no thread is left that does not wait: that is not their fault"
fill disk
hold
start fio --name=read --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio --iodepth=32 --numjobs=8 \
	--direct=1 --bs=1M --rw=read --size=32M --minimal >"$test_dir/fio.log" 2>&1
reader=$!
if [[ ${ZSD_TEST_TRANSPORT:-classic} == classic ]]; then
	eventually "waiting for the disk" are_held 1 zsd-fuse-
else
	eventually "waiting for the disk" are_held 30 zsd-wait-
fi
: >"$test_dir/notified"
eventually "telling the watchdog" checks 6
: >"$does"
check "reading" wait "$reader"

step "stopping while a device is being removed"
hold
start_reader disk
start "$ZSCTL" remove disk --force
remover=$!
eventually "no such device" is_no_device disk
kill -TERM "$daemon"
wait_gone "$remover" || fail "the remover hangs"
: >"$does"
wait_gone "$daemon" || fail "it does not stop"
check "exit status" wait "$daemon"
wait_gone "$reader" || fail "a client hangs"
