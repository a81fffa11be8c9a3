#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The installed service on a booted systemd, as an administrator and as an ordinary user would have it: socket
# activation, a mount that everybody sees although the daemon has no privilege and a namespace of its own, journal and
# catalogue, restart, crash, a thread that hangs, stop without a trace, and the user's own service.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$self")/booted.sh"
need_root
need meson

mounted()
{
	grep -q ' /run/zsd/mnt ' "/proc/$booted_manager/mountinfo"
}

not_mounted()
{
	! mounted
}

# event NAME FIELD: a field of the messages of that kind, different ones, in one line.
event()
{
	local id
	id=$(sed -nE "s/.*\[ZS_EVENT_$1\] = \"([0-9a-f]+)\".*/\1/p" "$SOURCE/daemon/journal.c")
	[[ $id ]] || fail "there is no event $1"
	inside journalctl --sync
	inside journalctl --no-pager -o json "MESSAGE_ID=$id" | python3 -c '
import json, sys
print(*dict.fromkeys(json.loads(line).get(sys.argv[1], "-") for line in sys.stdin))' "$2"
}

# threads NAME: ids of the daemon's threads with that beginning, as the machine sees them.
threads()
{
	local inner outer task
	inner=$(property zsd.service MainPID)
	for outer in $(pgrep -x zsd); do
		grep -qE "^NSpid:.*[[:space:]]$inner\$" "/proc/$outer/status" || continue
		[[ $(readlink "/proc/$outer/ns/pid") == "$(readlink "/proc/$booted_manager/ns/pid")" ]] || continue
		for task in "/proc/$outer/task"/*; do
			[[ $(<"$task/comm") != "$1"* ]] || basename "$task"
		done
	done
}

booted_start "
	DESTDIR=\$BOOTED_ROOT meson install -C '$BUILD' --no-rebuild --quiet
	printf '[Device configured]\nSize=64M\n' >\$BOOTED_ROOT/etc/zsd/zsd.conf
	useradd --root \$BOOTED_ROOT --create-home --uid 1234 --shell /bin/bash tester
	journalctl --root=\$BOOTED_ROOT --update-catalog
"

step "the units and their user are there"
equal "the service's user" "$(inside stat -c '%U %G %a' /run/zsd/zsd.lock)" "zsd zsd 644"
equal "the directory" "$(inside stat -c '%U %G %a' /run/zsd)" "root root 755"

# As a daemon of root's leaves it.
inside chown root:root /run/zsd/zsd.lock

step "the first client starts the daemon"
inside systemctl start zsd.socket || fail "zsd.socket does not start"
equal "the socket" "$(inside stat -c '%a %U %G' /run/zsd/io.zsd.control)" "660 root zsd"
inside zsctl list --noheadings >"$test_dir/list" || fail "the socket does not start the daemon"
grep -q configured "$test_dir/list" || fail "the configured device is missing: $(cat "$test_dir/list")"
equal "the service" "$(property zsd.service ActiveState)" active
mounted || fail "process 1 does not see the mount"
wait_inside 15 "the status line" has zsd.service StatusText "1 device*"

step "it has no privilege, and can't get one"
status=$(inside cat "/proc/$(property zsd.service MainPID)/status")
grep -q '^NoNewPrivs:[[:space:]]*1$' <<<"$status" || fail "NoNewPrivileges= has no effect"
# CAP_SYS_RESOURCE at most, which is bit 24.
grep -qE '^CapEff:[[:space:]]*00000000(01|00)000000$' <<<"$status" || fail "it has capabilities"
grep -qE '^Seccomp:[[:space:]]*2$' <<<"$status" || fail "it has no system call filter"
# The filter lets the thread that frees take a lower place.
equal "threads in the background" \
	"$(inside sh -c "cat /proc/$(property zsd.service MainPID)/task/*/stat" | background_threads)" zsd-maintain
equal "its user" "$(inside stat -c %U "/proc/$(property zsd.service MainPID)")" zsd
exposure=$(inside systemd-analyze --no-pager security zsd.service |
	sed -nE 's/.*exposure level.*: ([0-9]+)\.([0-9]+) .*/\1\2/p')
[[ $exposure && $((10#$exposure)) -le 15 ]] || fail "its exposure is $exposure tenths"

step "devices can be added and used"
equal "the file" "$(inside zsctl add vm0 --size 64M --algorithm zstd:3)" /run/zsd/mnt/vm0
inside dd if=/bin/bash of=/run/zsd/mnt/vm0 bs=64K conv=notrunc status=none
inside cmp -n "$(stat -c %s /bin/bash)" /bin/bash /run/zsd/mnt/vm0 || fail "vm0 differs"
refused "no permission; become root, or a member of the group zsd" inside_as tester zsctl list
inside usermod --append --groups zsd tester
inside_as tester zsctl add mine --size 1M >/dev/null || fail "a member of the group can't add a device"
equal "its owner" "$(inside stat -c %U /run/zsd/mnt/mine)" tester
inside_as tester sh -c 'echo hello 1<>/run/zsd/mnt/mine' || fail "its owner can't write to it"

step "the journal knows what happened, and explains it"
equal "devices added" "$(event DEVICE_ADDED ZSD_DEVICE)" "vm0 mine"
equal "ready" "$(event READY PRIORITY)" 6
inside zsctl add small --size 1M --mem-limit 64K >/dev/null
! inside dd if=/dev/urandom of=/run/zsd/mnt/small bs=64K count=4 conv=notrunc status=none 2>/dev/null ||
	fail "a write above the limit succeeded"
equal "no room" "$(event NO_SPACE ZSD_DEVICE) $(event NO_SPACE ERRNO)" "small 28"
inside journalctl --no-pager -x -u zsd.service >"$test_dir/explained"
grep -q 'fallocate --punch-hole' "$test_dir/explained" || fail "journalctl -x does not explain it"

step "restart: a new daemon, and no second mount"
before=$(property zsd.service MainPID)
inside systemctl restart zsd.service || fail "it does not restart"
[[ $(property zsd.service MainPID) != "$before" ]] || fail "it is the same process"
equal "mounts" "$(grep -c ' /run/zsd/mnt ' "/proc/$booted_manager/mountinfo")" 1
inside test -f /run/zsd/mnt/configured || fail "the mount does not work after a restart"
equal "descriptors in the manager's store" "$(property zsd.service NFileDescriptorStore)" 0

step "reload: the same daemon goes on"
before=$(property zsd.service MainPID)
inside systemctl reload zsd.service || fail "it does not reload"
equal "the process" "$(property zsd.service MainPID)" "$before"

step "metrics, for everybody, as a text file, and where systemd-report looks"
inside setpriv --reuid=65534 --regid=65534 --clear-groups zsctl metrics | grep '^zsd_' >/dev/null ||
	fail "nobody gets no metrics"
inside mkdir -p /var/lib/prometheus/node-exporter
inside systemctl start zsd-metrics-textfile.service || fail "the metrics are not written"
inside grep -q '^zsd_' /var/lib/prometheus/node-exporter/zsd.prom || fail "zsd.prom has no metrics"
equal "the link" "$(inside readlink -f /run/systemd/report/io.zsd)" /run/zsd/io.zsd.metrics
for socket in io.zsd.control io.zsd.metrics; do
	equal "where it is registered" "$(inside readlink -f "/run/varlink/registry/$socket")" "/run/zsd/$socket"
done

step "stopped with an open file: no mount, and the socket stays"
start inside sh -c 'exec 5</run/zsd/mnt/configured; touch /run/is-open; sleep 60'
wait_inside 10 "an open file" inside test -e /run/is-open
inside systemctl stop zsd.service 2>/dev/null
equal "the result" "$(property zsd.service Result)" success
not_mounted || fail "a mount is left after stopping"
inside systemctl is-active --quiet zsd.socket || fail "stopping the service stops the socket"
inside test ! -e /run/zsd/mount-point || fail "the record of the mount is left"

step "killed: the next one starts by itself and its mount works"
inside systemctl start zsd.service || fail "it does not start again"
before=$(property zsd.service MainPID)
inside kill -KILL "$before"
wait_inside 20 "another daemon" has zsd.service NRestarts 1
wait_inside 20 "a daemon that is ready" has zsd.service ActiveState active
inside test -f /run/zsd/mnt/configured || fail "the mount does not work after kill -9"
equal "mounts" "$(grep -c ' /run/zsd/mnt ' "/proc/$booted_manager/mountinfo")" 1

# hangs NAME: one thread of that name, of several that serve data, ends the daemon; without one it goes on.
hangs()
{
	local hanging
	inside systemctl restart zsd.service
	sleep 5
	equal "the watchdog's restarts" "$(property zsd.service NRestarts)" 0
	mapfile -t hanging < <(threads "$1")
	[[ ${#hanging[@]} -ge 1 ]] || fail "the daemon's threads are not found"
	start "$BUILD/tests/system/freeze" "${hanging[-1]}"
	wait_inside 30 "a restart by the watchdog" has zsd.service NRestarts 1
	wait_inside 20 "another daemon" has zsd.service ActiveState active
	inside journalctl --no-pager -u zsd.service --since "@$before" >"$test_dir/journal"
	grep -q 'Watchdog timeout' "$test_dir/journal" || fail "it was not the watchdog"
	equal "threads that hang" "$(event THREAD_HANGS PRIORITY)" 3
	inside test -f /run/zsd/mnt/configured || fail "the mount does not work after the watchdog"
}

step "a thread that hangs ends the daemon"
inside mkdir -p /run/systemd/system/zsd.service.d
printf '[Service]\nWatchdogSec=4s\n' | inside tee /run/systemd/system/zsd.service.d/watchdog.conf >/dev/null
inside systemctl daemon-reload
before=$(date +%s)
hangs zsd-fuse
if [[ -e $uring_parameter ]]; then
	step "over io_uring, too"
	set_uring Y
	printf '[Daemon]\nTransport=uring\n[Device configured]\nSize=64M\n' | inside tee /etc/zsd/zsd.conf >/dev/null
	before=$(($(date +%s) + 1))
	hangs zsd-ring
	inside dd if=/bin/bash of=/run/zsd/mnt/configured bs=64K conv=notrunc status=none
	inside cmp -n "$(stat -c %s /bin/bash)" /bin/bash /run/zsd/mnt/configured || fail "it differs over io_uring"
fi

step "stopped for good: nothing is left"
inside systemctl stop zsd.service zsd.socket zsd-metrics.socket
not_mounted || fail "a mount is left at the end"
! inside find /run/zsd -type s | grep . || fail "a socket is left at the end"

inside systemctl start zsd-metrics-textfile.service || fail "metrics without a daemon are a failure"
! inside systemctl is-failed --quiet zsd-metrics-textfile.service || fail "it has failed"
not_mounted || fail "the metrics start the daemon"

step "an ordinary user's own service"
inside systemctl start user@1234.service || fail "there is no manager for users"
inside_as tester systemctl --user start zsd.socket || fail "the user's socket does not start"
equal "the file" "$(inside_as tester zsctl add scratch --size 16M)" /run/user/1234/zsd/mnt/scratch
inside_as tester sh -c 'echo hello 1<>/run/user/1234/zsd/mnt/scratch && grep -q hello /run/user/1234/zsd/mnt/scratch' ||
	fail "the user's device does not work"
equal "the user's service" "$(inside_as tester systemctl --user is-active zsd.service)" active
inside_as tester systemctl --user stop zsd.service zsd.socket 2>/dev/null
! grep -q ' /run/user/1234/zsd/mnt ' "/proc/$booted_manager/mountinfo" || fail "the user's mount is left"
