#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# README.md's commands work as they are written. All blocks marked sh are run in their order by one shell, as root and
# with errors fatal, in a mount namespace in which /usr, /etc, /var, /run and /mnt are copies: `meson install` really
# installs. Blocks behind the comment "as an ordinary user" are run by one; those "with systemd" by the test journey.
# Lines with ./dev are looked up in its list of verbs only, since the tests themselves are run by them.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# Prints the commands of all blocks. $1: root or user.
commands()
{
	awk -v who="$1" -f tests/support/readme_commands.awk README.md
}

# A private copy of a directory: writes go to memory.
overlay()
{
	mkdir -p "$scratch/layers$1/upper" "$scratch/layers$1/work"
	mount -t overlay -o "lowerdir=$1,upperdir=$scratch/layers$1/upper,workdir=$scratch/layers$1/work" overlay "$1"
}

# commands_for WHO: with a pause before a device is removed. On a busy machine the daemon may hear late of a file that
# was closed just now.
commands_for()
{
	(cd "$SOURCE" && commands "$1") |
		sed 's/^zsctl remove \(.*\)/while zsctl list -n -r -o OPEN \1 | grep "[1-9]"; do sleep 0.1; done\n&/'
}

# The part that runs in the namespaces; the process namespace ends whatever the commands leave running.
inside()
{
	local scratch=$1 user=65534 runtime=/run/user/zsd-readme
	mount -t tmpfs -o mode=755 tmpfs "$scratch"
	for directory in /usr /etc /var; do
		overlay "$directory"
	done
	mount -t tmpfs -o mode=755 tmpfs /run
	mount -t tmpfs -o mode=755 tmpfs /mnt
	mkdir -p "$scratch/tree"
	ln -s "$BUILD" "$scratch/tree/build"
	cd "$scratch/tree"

	echo "== as root"
	{
		echo 'set -eux'
		# A loop device would outlive its namespace.
		# shellcheck disable=SC2016
		echo 'trap "losetup -d \"\${loop:-}\" 2>/dev/null || true" EXIT'
		commands_for root | grep -v '^\./dev '
	} >"$scratch/root.sh"
	bash "$scratch/root.sh"

	echo "== as an ordinary user"
	# Where /dev/fuse is for root only, as in some containers, it is for all in here.
	mknod -m 666 "$scratch/fuse" c 10 229
	mount --bind "$scratch/fuse" /dev/fuse
	mkdir -p "$runtime"
	chown "$user:$user" "$runtime"
	{ echo 'set -eux'; commands_for user; } >"$scratch/user.sh"
	HOME=$runtime XDG_RUNTIME_DIR=$runtime setpriv --reuid="$user" --regid="$user" --clear-groups \
		bash "$scratch/user.sh"
}

if [[ ${1:-} == --inside ]]; then
	inside "$2"
	exit
fi

[[ $EUID -eq 0 ]] || skip "needs root"
export SOURCE BUILD
scratch=$(mktemp -d)
# What is mounted there is hidden again if it lies below /var, as with TMPDIR=/var/tmp.
chmod 755 "$scratch"
trap 'rmdir "$scratch"' EXIT

verbs=$(./dev | sed -nE 's/^  ([a-z]+) .*/\1/p')
checked=0
while read -r _ verb _; do
	grep -qx "$verb" <<<"$verbs" || finding "README.md: ./dev has no verb $verb"
	checked=$((checked + 1))
done < <(commands root | grep '^\./dev ')
unshare --mount --pid --fork --kill-child --mount-proc --propagation private -- "$0" --inside "$scratch" ||
	finding "README.md: the last command above failed"
conclude $((checked + $(commands root | wc -l)))
