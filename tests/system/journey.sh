# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# README.md's way of an administrator through a booted system, for the tests that install zsd there; sourced after
# booted.sh.
# shellcheck disable=SC2154 # what booted.sh sets

# Loop devices are the machine's: their nodes are made for those that may be taken. For booted_start.
# shellcheck disable=SC2016,SC2034
journey_devices='for number in {0..63}; do mknod -m 660 "$BOOTED_ROOT/dev/loop$number" b 7 "$number"; done'

# Those that process 1 sees.
journey_mounts()
{
	grep -c ' /run/zsd/mnt ' "/proc/$booted_manager/mountinfo" || true
}

# What must hold after a command of README.md.
journey_after()
{
	case $1 in
	"zsctl mount "*)
		inside findmnt --noheadings --output FSTYPE /mnt | grep -x ext4 >/dev/null || fail "/mnt is no ext4"
		;;
	"cp -a "*)
		inside diff -r --no-dereference /usr/share/doc /mnt/doc >/dev/null || fail "what was copied differs"
		;;
	"zsctl usage "*)
		grep -q '^lz4 ' output || fail "usage is '$(<output)'"
		;;
	"zsctl umount "*)
		! inside mountpoint --quiet /mnt || fail "/mnt is mounted still"
		! inside losetup --associated /run/zsd/mnt/scratch | grep . || fail "a loop device is left"
		;;
	"systemctl reload "*)
		journey_process=$(property zsd.service MainPID)
		;;
	"zsctl list")
		grep -q '^cache ' output || fail "the configured device is missing: $(<output)"
		;;
	"systemctl restart "*)
		[[ $(property zsd.service MainPID) != "$journey_process" ]] || fail "it is the same process"
		;;
	"systemctl stop "*)
		equal "mounts after stopping" "$(journey_mounts)" 0
		return
		;;
	esac
	equal "mounts that process 1 sees after '$1'" "$(journey_mounts)" 1
}

# journey_closed NAME...: these devices are.
journey_closed()
{
	! inside zsctl list --noheadings --raw --output OPEN "$@" | grep '[1-9]' >/dev/null
}

# journey_type: types it; afterwards the service is stopped.
journey_type()
{
	local command typed
	mapfile -t typed < <(awk -v who=service -f "$SOURCE/tests/support/readme_commands.awk" "$SOURCE/README.md")
	[[ ${#typed[@]} -ge 10 ]] || fail "README.md has only ${#typed[@]} commands for a machine with systemd"
	# The packages are beside the source.
	inside mkdir -p /root/source
	for command in "${typed[@]}"; do
		# Without a package there is another way.
		[[ $command != apt-get* || ${journey_with_packages:-} ]] || continue
		step "\$ $command"
		# On a busy machine the daemon may hear late of a file that was closed just now.
		# shellcheck disable=SC2086
		[[ $command != "zsctl remove "* ]] || wait_inside 60 "closing" journey_closed ${command#zsctl remove }
		# Not with the environment of the tests.
		inside env -i -C /root/source HOME=/root PATH=/usr/sbin:/usr/bin DEBIAN_FRONTEND=noninteractive \
			bash -c "$command" </dev/null >output 2>&1 || fail "it failed with $?: $(tail -n 5 output)"
		journey_after "$command"
	done
}
