#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The installed units under a real service manager: a second systemd as process 1 of namespaces of its own, on copies of
# /usr and /etc. Starting it makes devices, mount and socket; the mount is seen outside of the service; stopping it, and
# killing it, leave no mount behind.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need meson systemctl nsenter unshare

scratch=$test_dir
manager=
unshare=

# Process 1 ends everything in its namespaces; killing unshare would leave it running.
end_manager()
{
	[[ -z $manager ]] || kill -KILL "$manager" 2>/dev/null
	[[ -z $unshare ]] || wait "$unshare" 2>/dev/null
}
at_exit end_manager

# What process 1 does before it becomes systemd.
write_boot()
{
	cat >"$scratch/boot.sh" <<-'END'
		set -eu
		scratch=$1 build=$2
		mount --make-rprivate /
		mount -t proc proc /proc
		mount -t tmpfs -o mode=755 tmpfs "$scratch/layers"
		for directory in usr etc; do
			mkdir -p "$scratch/layers/$directory/upper" "$scratch/layers/$directory/work"
			mount -t overlay overlay "/$directory" -o "lowerdir=/$directory" \
				-o "upperdir=$scratch/layers/$directory/upper,workdir=$scratch/layers/$directory/work"
		done
		mount -t tmpfs -o mode=755 tmpfs /run
		meson install -C "$build" --no-rebuild --quiet
		cp "$scratch/zsd.conf" /etc/zsd/zsd.conf
		systemd-sysusers zsd.conf
		# Nothing of the machine's is started: only the units under test and what every boot has.
		mkdir -p "$scratch/layers/units"
		cp /usr/lib/systemd/system/zsd.* "$scratch/layers/units"
		for unit in sysinit basic shutdown umount final local-fs local-fs-pre sockets; do
			printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$unit" \
				>"$scratch/layers/units/$unit.target"
		done
		# The unified hierarchy alone, whatever the machine has.
		umount -l /sys/fs/cgroup
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		export SYSTEMD_UNIT_PATH="$scratch/layers/units" SYSTEMD_GENERATOR_PATH=/nonexistent container=zsd-test
		exec /lib/systemd/systemd --system --unit=basic.target --log-target=console --show-status=no
	END
	cat >"$scratch/zsd.conf" <<-'END'
		[Device configured]
		Size=64M
	END
	mkdir "$scratch/layers"
}

start_manager()
{
	local tries
	unshare --fork --pid --mount --cgroup --uts --ipc bash "$scratch/boot.sh" "$scratch" "$BUILD" \
		>"$scratch/systemd.log" 2>&1 </dev/null &
	unshare=$!
	for ((tries = 0; tries < 600; tries++)); do
		manager=$(pgrep -P "$unshare" || true)
		if [[ $manager ]] && inside systemctl is-active --quiet basic.target 2>/dev/null; then
			return 0
		fi
		kill -0 "$unshare" 2>/dev/null || break
		sleep 0.1
	done
	fail "systemd does not start"
}

# Runs a command next to the service, outside of it.
inside()
{
	nsenter --target "$manager" --pid --mount --cgroup --uts --ipc "$@"
}

mounted()
{
	inside grep -q ' /run/zsd/mnt ' /proc/self/mountinfo
}

show()
{
	inside systemctl show --value --property "$1" zsd.service
}

write_boot
start_manager

# The socket alone: the first client starts the daemon.
inside systemctl start zsd.socket || fail "zsd.socket does not start"
[[ $(inside stat -c '%a %U %G' /run/zsd/io.zsd.control) == "660 root zsd" ]] ||
	fail "the socket has another owner or mode"
inside zsctl list --noheadings >"$scratch/list" || fail "the socket does not start the daemon"
grep -q configured "$scratch/list" || fail "the configured device is missing: $(cat "$scratch/list")"
[[ $(show ActiveState) == active ]] || fail "zsd.service is $(show ActiveState)"
mounted || fail "nobody but the service sees its mount"
[[ $(show StatusText) == *1\ device* ]] || fail "the status is '$(show StatusText)'"

# Its devices can be used.
inside zsctl add vm0 --size 64M --algorithm zstd:3 >/dev/null
inside dd if=/bin/bash of=/run/zsd/mnt/vm0 bs=64K conv=notrunc status=none
inside cmp -n "$(stat -c %s /bin/bash)" /bin/bash /run/zsd/mnt/vm0 || fail "vm0 differs"

# It is not in a mount namespace of its own, and can't get new privileges.
service=$(show MainPID)
[[ $(inside readlink "/proc/$service/ns/mnt") == "$(inside readlink /proc/1/ns/mnt)" ]] ||
	fail "it has a mount namespace of its own"
inside grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$service/status" || fail "NoNewPrivileges= has no effect"

# Stopped: no mount, and the socket goes with its unit.
inside systemctl stop zsd.service 2>/dev/null
[[ $(show Result) == success ]] || fail "stopping it was $(show Result)"
! mounted || fail "a mount is left after stopping"
inside systemctl is-active --quiet zsd.socket || fail "stopping the service stops the socket"

# Killed: the next one starts by itself and its mount works.
inside systemctl start zsd.service || fail "it does not start again"
before=$(show MainPID)
inside kill -KILL "$before"
for ((tries = 0; tries < 600; tries++)); do
	[[ $(show MainPID) != 0 && $(show MainPID) != "$before" && $(show ActiveState) == active ]] && break
	sleep 0.1
done
[[ $(show NRestarts) == 1 ]] || fail "it was not started again after kill -9"
inside test -f /run/zsd/mnt/configured || fail "the mount does not work after kill -9"
inside systemctl stop zsd.service zsd.socket
! mounted || fail "a mount is left at the end"
inside test ! -e /run/zsd/io.zsd.control || fail "the socket is left at the end"
