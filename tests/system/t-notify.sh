#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What a service manager sees: READY=1 only when everything can be used, a status line that follows the data, STOPPING=1
# at the end; sockets that it opened are taken; log lines carry their level where the journal reads them.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio

# Writes down what arrives at a notification socket, and whether the mount and the device were there when it was ready.
# Later that is not asked: where a thread that serves data hangs, who asks may hang as well, and hear nothing.
cat >"$test_dir/listen.py" <<'END'
import os, socket, sys
path, log, watched = sys.argv[1:4]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(path)
with open(log, "a", buffering=1) as out:
    while True:
        for line in listener.recv(4096).decode().splitlines():
            print(line, "visible" if line == "READY=1" and os.path.exists(watched) else "", file=out)
END
printf '[Device disk]\nSize=64M\n' >"$test_dir/zsd.conf"
export NOTIFY_SOCKET=$test_dir/notify
start python3 "$test_dir/listen.py" "$NOTIFY_SOCKET" "$test_dir/notified" "$mnt/disk"
eventually "listening" test -S "$NOTIFY_SOCKET"

# notified PATTERN
notified()
{
	eventually "telling the service manager" grep -q -- "$1" "$test_dir/notified"
}

step "ready when the configured device is there"
start_daemon --config "$test_dir/zsd.conf"
notified '^READY=1 visible'
notified '^STATUS=1 device, 0B'

step "the status follows the data, 10 seconds later at most"
head -c 1M /dev/urandom | dd of="$mnt/disk" bs=1M iflag=fullblock conv=notrunc status=none
notified '^STATUS=1 device, 1M in 1'

step "a reload is told, and a device that is left out is in the status line"
: >"$test_dir/notified"
printf '[Device bad]\nSize=1\n' >>"$test_dir/zsd.conf"
kill -HUP "$daemon"
notified '^STATUS=1 device, .*, 1 device section refused'
equal "what else it heard" "$(sed -n '/^STATUS/d; s/=[0-9]* .*//p' "$test_dir/notified" | tr '\n' ' ')" \
	"RELOADING MONOTONIC_USEC READY "
"$ZSCTL" status | grep '^Devices: .*1, 1 refused in the configuration' >/dev/null ||
	fail "status says: $("$ZSCTL" status)"
: >"$test_dir/notified"
printf '[Device disk]\nSize=64M\n' >"$test_dir/zsd.conf"
"$ZSCTL" reload
equal "devices that are left out then" "$("$ZSCTL" status -J | field_of left_out_devices)" 0

step "no wake-up while nothing happens"
sleep 0.5
idle 11

# nr_hanging: how often a thread was said to hang.
nr_hanging()
{
	grep -c 'data hang' "$test_dir/run.log" || true
}

hangs_more_than()
{
	[[ $(nr_hanging) -gt $1 ]]
}

# forget: what the daemon has told so far, also what the listener has still to read.
forget()
{
	python3 -c '
import os, socket
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"MARK=1", os.environ["NOTIFY_SOCKET"])'
	notified '^MARK=1'
	: >"$test_dir/notified"
}

# Two checks later. One may have been under way when the thread stopped.
is_silent()
{
	forget
	sleep 0.6
	! grep -q '^WATCHDOG=1' "$test_dir/notified"
}

step "the watchdog hears of it only while all threads that serve data go on"
for transport in classic uring; do
	[[ $transport != uring || -e $uring_parameter ]] || continue
	[[ $transport != uring ]] || set_uring Y
	stop_daemon
	export WATCHDOG_USEC=1000000
	start_daemon --config "$test_dir/zsd.conf" --transport "$transport"
	unset WATCHDOG_USEC
	: >"$test_dir/notified"
	notified '^WATCHDOG=1'
	for task in /proc/"$daemon"/task/*; do
		[[ $(<"$task/comm") == zsd-fuse-* || $(<"$task/comm") == zsd-ring-* ]] || continue
		before=$(nr_hanging)
		start "$BUILD/tests/system/freeze" "$(basename "$task")" >"$test_dir/frozen"
		eventually "freezing $(<"$task/comm")" grep -q frozen "$test_dir/frozen"
		eventually "telling nothing any more" is_silent
		eventually "saying that it hangs" hangs_more_than "$before"
		end_process "${started[-1]}"
		notified '^WATCHDOG=1'
	done
done

# busy NUMBER: so many clients for a moment; what they called into work is left behind.
busy()
{
	fio --name=busy --filename="$mnt/disk" --allow_file_create=0 --ioengine=psync --direct=1 --numjobs="$1" \
		--size=64M --time_based --runtime=1 --rw=randwrite --bs=4k --minimal >/dev/null || fail "fio failed"
}

# checks NUMBER: so many times the watchdog was told that we are well.
checks()
{
	[[ $(grep -c '^WATCHDOG=1' "$test_dir/notified") -ge $1 ]]
}

step "two clients, then one, then none for three times the watchdog's patience"
for transport in classic uring; do
	[[ $transport != uring || -e $uring_parameter ]] || continue
	stop_daemon
	export WATCHDOG_USEC=1000000
	start_daemon --config "$test_dir/zsd.conf" --transport "$transport"
	unset WATCHDOG_USEC
	busy 2
	busy 1
	: >"$test_dir/notified"
	# Four times within its patience.
	eventually "telling the service manager" checks 12
done

step "stopping"
stop_daemon
notified '^STOPPING=1'
unset NOTIFY_SOCKET

step "a socket from the service manager, by name or alone"
for name in varlink unknown; do
	mkdir -p "$runtime"
	rm -f "$runtime/io.zsd.control"
	systemd-socket-activate --fdname="$name" -l "$runtime/io.zsd.control" \
		"$ZSD" --no-config -d "$runtime" 2>"$test_dir/activated.log" &
	activated=$!
	started+=("$activated")
	eventually "listening" test -S "$runtime/io.zsd.control"
	ZSD_SOCKET=$runtime/io.zsd.control timeout 60 "$ZSCTL" add first --size 1M >/dev/null ||
		fail "the socket does not work: $(cat "$test_dir/activated.log")"
	[[ -f $mnt/first ]] || fail "the device has no file"
	end_process "$activated"
	! is_mounted "$mnt" || fail "a mount is left"
	[[ -S $runtime/io.zsd.control ]] || fail "a socket that isn't the daemon's was removed"
done

step "levels in front of log lines for the journal only"
mkfifo "$test_dir/journal"
cat "$test_dir/journal" >"$test_dir/journalled" &
started+=($!)
exec 7>"$test_dir/journal"
rm -f "$runtime/io.zsd.control"
JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/7) "$ZSD" --no-config -d "$runtime" 2>&7 7>&- &
started+=($!)
exec 7>&-
eventually "starting" grep -q ready: "$test_dir/journalled"
equal "lines without a level" "$(grep -cv '^<[3-7]>[a-z]' "$test_dir/journalled" || true)" 0
grep -q '^<6>ready: ' "$test_dir/journalled" || fail "the journal got '$(cat "$test_dir/journalled")'"
end_process "${started[-1]}"
