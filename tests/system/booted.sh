# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A booted Debian for tests of the installed product, sourced after common.sh. The machine's own /usr, /etc and /var,
# each below a layer in memory, become the root of a second systemd, which is process 1 of namespaces of its own and
# boots as a container does: journal, tmpfiles, sysusers, D-Bus and logins are there, in a second or two and without
# downloading anything. Nothing of it is left at the end, and the machine's files are not changed.
#
# (systemd-nspawn would do no more, but wants a systemd on the machine that gives it a control group.)
# shellcheck disable=SC2154 # what common.sh sets

booted_root=$test_dir/root
booted_group=
booted_unshare=
booted_manager= # process 1, as the machine sees it

# Process 1 ends everything in its namespaces; killing unshare would leave it running.
booted_end()
{
	local group
	[[ $status -eq 0 || -z $booted_manager ]] || inside journalctl --no-pager -b -n 40 >&2
	[[ -z $booted_manager ]] || kill -KILL "$booted_manager" 2>/dev/null
	[[ -z $booted_unshare ]] || wait "$booted_unshare" 2>/dev/null
	[[ $booted_group ]] || return 0
	# The innermost first. Processes leave their group a moment after they have ended.
	for _ in {1..50}; do
		while read -r group; do
			rmdir "$group" 2>/dev/null
		done < <(find "$booted_group" -depth -type d 2>/dev/null)
		[[ -d $booted_group ]] || break
		sleep 0.1
	done
}

# What process 1 does before it becomes systemd.
booted_write_script()
{
	cat >"$test_dir/boot.sh" <<-'END'
		set -eu
		root=$1 before=$2
		mount --make-rprivate /
		mount -t tmpfs -o mode=755 tmpfs "$root"
		mkdir -p "$root"/{usr,etc,var,proc,sys,dev,run,tmp,root,mnt,home,layers,machine}
		for directory in usr etc var; do
			mkdir -p "$root/layers/$directory/upper" "$root/layers/$directory/work"
			mount -t overlay overlay "$root/$directory" -o "lowerdir=/$directory" \
				-o "upperdir=$root/layers/$directory/upper,workdir=$root/layers/$directory/work"
		done
		ln -s usr/bin usr/sbin usr/lib usr/lib64 "$root/"

		# What the machine's administrator has enabled stays there.
		rm -rf "$root"/etc/systemd/system/* "$root"/etc/systemd/user/* "$root"/var/log/journal "$root/etc/fstab"
		rm -rf "$root"/etc/zsd "$root"/var/lib/systemd/linger
		# Images for containers tell dpkg with it to start nothing.
		rm -f "$root/usr/sbin/policy-rc.d"
		systemd-id128 new >"$root/etc/machine-id"

		mount -t proc proc "$root/proc"
		mount -t sysfs -o ro sysfs "$root/sys"
		mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
		mount -t tmpfs -o mode=755 tmpfs "$root/dev"
		mkdir "$root/dev/pts" "$root/dev/shm"
		mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
		ln -s pts/ptmx "$root/dev/ptmx"
		ln -s /proc/self/fd "$root/dev/fd"
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
		mount -t tmpfs -o mode=755 tmpfs "$root/run"
		mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
		for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229 \
			loop-control:10:237; do
			IFS=: read -r name major minor <<<"$node"
			mknod -m 666 "$root/dev/$name" c "$major" "$minor"
		done
		BOOTED_ROOT=$root bash -euc "$before"

		cd "$root"
		pivot_root . machine
		umount -l /machine
		mount --make-rshared /
		export container=zsd-test
		exec /lib/systemd/systemd --system --log-target=journal-or-kmsg --show-status=no
	END
}

# In a control group of its own; without one its units would be put next to the machine's. The unified hierarchy is
# wanted, wherever it is mounted.
booted_make_group()
{
	local hierarchy
	hierarchy=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	[[ $hierarchy ]] || skip "needs a mounted cgroup2"
	mkdir "$hierarchy/zsd-test.$$" 2>/dev/null || skip "needs a control group; $hierarchy is not writable"
	booted_group=$hierarchy/zsd-test.$$
}

booted_is_up()
{
	booted_manager=$(pgrep -P "$booted_unshare" || true)
	# Without control characters: it is the end of an exec then.
	[[ $booted_manager && $(cat "/proc/$booted_manager/comm" 2>/dev/null) == systemd ]] || return 1
	[[ $(inside systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]
}

# What the script above needs and not every container may do.
booted_is_possible()
{
	# shellcheck disable=SC2016
	unshare --fork --pid --mount --cgroup --uts --ipc --net bash -ec '
		mount --make-rprivate /
		mount -t tmpfs tmpfs "$0"
		cd "$0"
		mkdir upper work merged proc sys group
		mount -t overlay overlay merged -o lowerdir=/usr,upperdir="$0/upper",workdir="$0/work"
		mount -t proc proc proc
		mount -t sysfs -o ro sysfs sys
		mount -t cgroup2 cgroup2 group
		mknod null c 1 3
		echo >null' "$booted_root" 2>/dev/null
}

# booted_start COMMANDS: boots; before that, bash runs these with the new root in $BOOTED_ROOT.
booted_start()
{
	local tries
	need_root
	need nsenter pivot_root systemctl systemd-id128 unshare
	[[ -x /lib/systemd/systemd ]] || skip "needs systemd"
	[[ -L /bin && -L /lib ]] || skip "needs a machine with a merged /usr"
	mkdir "$booted_root"
	booted_is_possible || skip "needs namespaces, with mounts and devices in them"
	booted_write_script
	booted_make_group
	at_exit booted_end
	# shellcheck disable=SC2016
	bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$booted_group" \
		unshare --fork --pid --mount --cgroup --uts --ipc --net \
		bash "$test_dir/boot.sh" "$booted_root" "$1" >"$test_dir/boot.log" 2>&1 </dev/null &
	booted_unshare=$!
	for ((tries = 0; tries < 600; tries++)); do
		! booted_is_up || return 0
		kill -0 "$booted_unshare" 2>/dev/null || break
		sleep 0.1
	done
	fail "systemd does not boot"
}

# Runs a command in the booted system, as root, beside its services.
inside()
{
	nsenter --target "$booted_manager" --all "$@"
}

# inside_as USER COMMAND...: with the environment of a login.
inside_as()
{
	local user=$1 uid
	shift
	uid=$(inside id -u "$user")
	inside setpriv --reuid="$user" --regid="$user" --init-groups \
		env -i HOME="/home/$user" USER="$user" PATH=/usr/bin:/bin XDG_RUNTIME_DIR="/run/user/$uid" "$@"
}

# property UNIT NAME
property()
{
	inside systemctl show --value --property "$2" "$1"
}

# has UNIT NAME PATTERN: a property that matches.
has()
{
	# shellcheck disable=SC2053
	[[ $(property "$1" "$2") == $3 ]]
}

# wait_inside SECONDS WHAT COMMAND...: until the command succeeds in there.
wait_inside()
{
	local tries seconds=$1 what=$2
	shift 2
	for ((tries = 0; tries < seconds * 10; tries++)); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	fail "$what: not within $seconds seconds"
}
