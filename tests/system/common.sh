# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced by every system test. A test starts real daemons, loop devices and mounts; whatever it starts through the
# functions here ends with it, however it ends. A test passes by reaching its end, fails by fail() or by any command
# that fails, and is skipped (exit 77) only where the machine lacks something.
#
# BUILD: the build directory. ZSD, ZSCTL: the programs. SOURCE: the tree. ZSD_TEST_TRANSPORT: what daemons are given as
# --transport (default: nothing).
# test_dir: a directory of its own, open for all users, removed at the end; the test runs in it. self: the test.
set -euo pipefail

: "${SOURCE:=$(readlink -f "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..")}"
: "${BUILD:=$SOURCE/build}"
: "${ZSD:=$BUILD/daemon/zsd}"
: "${ZSCTL:=$BUILD/tools/zsctl}"
BUILD=$(readlink -f "$BUILD") ZSD=$(readlink -f "$ZSD") ZSCTL=$(readlink -f "$ZSCTL")
export SOURCE BUILD ZSD ZSCTL

test_dir=$(mktemp -d "${TMPDIR:-/tmp}/zsd-test.XXXXXX")
chmod 755 "$test_dir"
self=$(readlink -f "$0")
# Programs leave files where they are.
cd "$test_dir"
# What the next daemon gets; set another one before starting a second daemon.
runtime=$test_dir/run
mnt=$runtime/mnt
daemon=

cleanups=()
started=() # processes
loops=()
mounts=()
mount_points=() # of daemons

# at_exit COMMAND [ARGUMENT]...: at the end, after everything else has ended; the last one first.
at_exit()
{
	local command
	printf -v command '%q ' "$@"
	cleanups=("$command" "${cleanups[@]}")
}

is_running()
{
	[[ $1 ]] && grep -q '^State:[[:space:]]*[^Z]' "/proc/$1/status" 2>/dev/null
}

# wait_gone PID SECONDS
wait_gone()
{
	local tries
	for ((tries = 0; tries < $2 * 50; tries++)); do
		is_running "$1" || return 0
		sleep 0.02
	done
	return 1
}

end_process()
{
	is_running "$1" || return 0
	kill -TERM "$1" 2>/dev/null || true
	wait_gone "$1" 5 || kill -KILL "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

# Everything, in the order in which it hangs on each other.
clean_up()
{
	local status=$? item
	trap - EXIT
	set +e
	[[ $status -eq 0 || $status -eq 77 ]] || show_logs
	for item in "${mounts[@]}"; do
		mountpoint -q "$item" && { umount "$item" || umount -l "$item"; } 2>/dev/null
	done
	for item in "${loops[@]}"; do
		losetup -d "$item" 2>/dev/null
	done
	for item in "${started[@]}"; do
		end_process "$item"
	done
	for item in "${mount_points[@]}"; do
		while grep -q " $item " /proc/self/mountinfo; do
			umount -l "$item" 2>/dev/null || fusermount3 -u -z "$item" || break
		done
	done
	for item in "${cleanups[@]}"; do
		eval "$item"
	done
	cd /
	rm -rf --one-file-system "$test_dir"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

show_logs()
{
	local log
	for log in "$test_dir"/*.log "$test_dir"/*.log.before; do
		[[ -s $log ]] || continue
		echo "--- $(basename "$log")"
		tail -n 40 "$log"
	done >&2
}

fail()
{
	echo "FAIL: $*" >&2
	exit 1
}

skip()
{
	echo "skip: $*"
	exit 77
}

# step TEXT...: what is shown while a test runs, and in the log of a failed one.
step()
{
	echo "- $*"
}

# check WHAT COMMAND [ARGUMENT]...: the command must succeed.
check()
{
	local what=$1
	shift
	"$@" || fail "$what: '$*' failed with $?"
}

# refused TEXT COMMAND [ARGUMENT]...: the command must fail, and say TEXT.
refused()
{
	local text=$1 output
	shift
	if output=$("$@" 2>&1); then
		fail "'$*' succeeded; expected: $text"
	fi
	[[ $output == *"$text"* ]] || fail "'$*' said '$output'; expected: $text"
}

# equal WHAT ACTUAL EXPECTED
equal()
{
	[[ $2 == "$3" ]] || fail "$1 is '$2', not '$3'"
}

# with_fuse_for_all COMMAND...: runs a command where everybody may open /dev/fuse, as udev has it; not every container
# does. As root.
with_fuse_for_all()
{
	if setpriv --reuid=65534 --regid=65534 --clear-groups test -w /dev/fuse; then
		"$@"
		return
	fi
	[[ -e $test_dir/fuse-for-all ]] || mknod -m 666 "$test_dir/fuse-for-all" c 10 229
	# shellcheck disable=SC2016
	unshare --mount --propagation private \
		bash -c 'mount --bind "$0" /dev/fuse && exec "$@"' "$test_dir/fuse-for-all" "$@"
}

need_root()
{
	[[ $EUID -eq 0 ]] || skip "needs root"
}

# need PROGRAM...
need()
{
	local program
	for program in "$@"; do
		command -v "$program" >/dev/null || skip "needs $program"
	done
}

# Runs the test once more in a mount namespace of its own, so that nothing else on the machine looks at its mounts.
alone()
{
	[[ ! ${ZSD_TEST_ALONE:-} ]] || return 0
	ZSD_TEST_ALONE=1 unshare --mount --propagation private "$self" || exit $?
	exit 0
}

# Processes of the test: ended with it.
start()
{
	"$@" &
	started+=($!)
}

is_mounted()
{
	grep -q " $1 " /proc/self/mountinfo
}

uring_parameter=/sys/module/fuse/parameters/enable_uring

# set_uring Y|N: whether the kernel offers FUSE over io_uring; as before at the end.
set_uring()
{
	local before
	[[ -e $uring_parameter ]] || modprobe fuse 2>/dev/null || true
	[[ -e $uring_parameter ]] || skip "needs FUSE over io_uring, which came with Linux 6.14"
	before=$(<"$uring_parameter")
	[[ $before != "$1" ]] || return 0
	[[ -w $uring_parameter ]] || skip "needs root to set fuse.enable_uring"
	at_exit restore_uring "$before"
	echo "$1" >"$uring_parameter"
}

restore_uring()
{
	echo "$1" >"$uring_parameter"
}

# start_daemon [ARGUMENT]...: with the runtime directory in $runtime and no configuration unless one is given. Sets
# daemon to its process, mnt and ZSD_SOCKET. ZSD_PRELOAD: a library to load into it. ZSD_TEST_POOL_MODE: its
# --pool-mode.
start_daemon()
{
	local tries arguments=("$@") log
	mnt=$runtime/mnt
	export ZSD_SOCKET=$runtime/io.zsd.control
	log=$test_dir/$(basename "$runtime").log
	[[ " $* " == *" --config "* ]] || arguments=(--no-config "$@")
	arguments+=(${ZSD_TEST_POOL_MODE:+--pool-mode "$ZSD_TEST_POOL_MODE"})
	if [[ ${ZSD_TEST_TRANSPORT:-} && " $* " != *" --transport "* ]]; then
		[[ $ZSD_TEST_TRANSPORT != uring ]] || set_uring Y
		arguments+=(--transport "$ZSD_TEST_TRANSPORT")
	fi
	[[ ! -s $log ]] || mv "$log" "$log.before"
	env ${ZSD_PRELOAD:+LD_PRELOAD="$ZSD_PRELOAD"} "$ZSD" --runtime-dir "$runtime" "${arguments[@]}" 2>"$log" &
	daemon=$!
	started+=("$daemon")
	mount_points+=("$mnt")
	for ((tries = 0; tries < 500; tries++)); do
		if ! is_running "$daemon"; then
			fail "the daemon did not start: $(tail -n 3 "$log")"
		fi
		# The last thing that it says while starting.
		grep -q 'ready: ' "$log" && return 0
		sleep 0.02
	done
	fail "the daemon did not get ready in 10 seconds"
}

# stop_daemon [SECONDS]: by SIGTERM; it must end in time, with 0, and leave no mount.
stop_daemon()
{
	local status=0 pid=$daemon
	kill -TERM "$pid" || fail "the daemon is gone already"
	wait_gone "$pid" "${1:-10}" || fail "the daemon does not stop within ${1:-10} seconds"
	wait "$pid" || status=$?
	[[ $status -eq 0 ]] || fail "the daemon ended with $status"
	! is_mounted "$mnt" || fail "a mount is left at $mnt"
	daemon=
}

# add NAME SIZE [OPTION]...: a device; its file is $mnt/NAME.
add()
{
	local name=$1 size=$2
	shift 2
	"$ZSCTL" add "$name" --size "$size" "$@" >/dev/null || fail "can't add device $name"
	[[ -f $mnt/$name ]] || fail "$mnt/$name does not exist after zsctl add"
}

# attach FILE [OPTION OF losetup]...: sets loop.
attach()
{
	local file=$1
	shift
	loop=$(losetup -f --show --direct-io=on "$@" "$file") || fail "losetup $file failed"
	loops+=("$loop")
}

# It is not ours any more then: the next one who wants a loop device may get its number.
detach()
{
	local item kept=()
	losetup -d "$1" || fail "losetup -d $1 failed"
	for item in "${loops[@]}"; do
		[[ $item == "$1" ]] || kept+=("$item")
	done
	loops=("${kept[@]}")
}

# mount_at DIRECTORY DEVICE [OPTION]...
mount_at()
{
	local directory=$1
	shift
	mkdir -p "$directory"
	mount "$@" "$directory" || fail "mount $* failed"
	mounts=("$directory" "${mounts[@]}")
}

# stat_of NAME FIELD: what `zsctl list` or `zsctl stats` says of a device, as a number.
stat_of()
{
	{
		"$ZSCTL" list -J "$1"
		"$ZSCTL" stats -J "$1"
	} | python3 -c '
import json, sys
text, decoder, device = sys.stdin.read(), json.JSONDecoder(), {}
while text.strip():
    answer, end = decoder.raw_decode(text.lstrip())
    text = text.lstrip()[end:]
    for rows in answer.values():
        for row in rows if isinstance(rows, list) else [rows]:
            if row.get("name") == sys.argv[1]:
                device.update(row)
print(device[sys.argv[2]])' "$1" "$2"
}

# pool_stat FIELD: what `zsctl stats` says of the pool, as a number.
pool_stat()
{
	"$ZSCTL" stats -J | python3 -c 'import json, sys; print(json.load(sys.stdin)["pool"][sys.argv[1]])' "$1"
}

# Until the maintenance thread has freed what was discarded or removed, for two seconds at most.
wait_for_free()
{
	local deadline=$((SECONDS + 3))
	while [[ $(pool_stat deferred_blocks) -gt 0 || $(pool_stat deferred_devices) -gt 0 ]]; do
		[[ $SECONDS -lt $deadline ]] || fail "what was discarded is not free after two seconds"
		sleep 0.05
	done
}

# wait_for_writes NAME PID: until the process has written to the device for a while; PID must be running then.
wait_for_writes()
{
	local tries before writes
	before=$("$ZSCTL" stats "$1" -n -b -r -o WRITES)
	for ((tries = 0; tries < 500; tries++)); do
		writes=$("$ZSCTL" stats "$1" -n -b -r -o WRITES)
		[[ $((writes - before)) -lt 200 ]] || break
		sleep 0.02
	done
	[[ $((writes - before)) -ge 200 ]] || fail "nobody writes to $1"
	is_running "$2" || fail "the writer of $1 ended early"
}

# byte_at FILE OFFSET: two digits.
byte_at()
{
	dd if="$1" bs=1 count=1 skip="$2" iflag=skip_bytes status=none | od -An -tx1 | tr -d ' '
}

# data_at FILE OFFSET: where the next data begins, or EOF.
data_at()
{
	xfs_io -r -c "seek -d $2" "$1" | awk '$1 == "DATA" { print $2 }'
}

# memory_of PID FIELD: kilobytes of a field of /proc/PID/status.
memory_of()
{
	awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status"
}

# How often threads of the daemon were scheduled so far.
switches()
{
	awk '/ctxt_switches/ { sum += $2 } END { print sum }' "/proc/$daemon"/task/*/status
}

# idle SECONDS: no thread of the daemon runs for that long. Four tries: what was done before may have an end yet, and a
# busy machine wakes a thread now and then for reasons of its own; what ticks never passes.
idle()
{
	local before after try
	for try in {1..4}; do
		before=$(switches)
		sleep "$1"
		after=$(switches)
		[[ $before != "$after" ]] || return 0
		echo "in $1 seconds, at try $try, the daemon's threads ran $((after - before)) times"
	done
	fail "the daemon is not idle"
}
