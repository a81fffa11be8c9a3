# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced by every system test. A test starts real daemons, loop devices and mounts; whatever it starts through the
# functions here ends with it, however it ends. A test passes by reaching its end, fails by fail() or by any command
# that fails, and is skipped (exit 77) only where the machine lacks something.
#
# Several tests run at the same time, on machines that may be busy and slow. What takes time is waited for, by
# eventually() and the functions like it; their bounds are for what hangs. Nothing is slept for but to see that
# something does not happen.
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

# Run once more by a supervisor, in a process group of its own. Who kills the test kills only that: meson gives a test
# that takes too long half a second and then kills its group, which is not enough to clean up.
# As root in a mount namespace of its own, too. A namespace that another test makes is a copy with all that is mounted;
# what is unmounted here would be mounted there still, and its loop device busy. Nor does anybody look at its mounts.
supervise()
{
	local namespace=()
	[[ $EUID -ne 0 ]] || namespace=(unshare --mount --propagation private)
	trap end_body TERM INT HUP
	set -m
	ZSD_TEST_SUPERVISED=1 "${namespace[@]}" "$(readlink -f "$0")" </dev/null &
	body=$!
	set +m
	wait "$body"
}

# The body ends by the signal, once the command that it waits for has ended. If that hangs it is killed.
end_body()
{
	trap '' TERM INT HUP
	[[ $body ]] && kill -TERM -- "-$body" 2>/dev/null || exit 143
	# shellcheck disable=SC2016
	setsid bash -c '
		while sleep 5; do
			members=$(pgrep -g "$1") || exit
			for member in $members; do
				tr "\0" " " <"/proc/$member/cmdline" | grep -q "^bash [^ ]*/t-" || kill -KILL "$member"
			done
		done' bash "$body" </dev/null >/dev/null 2>&1 &
	wait "$body" || true
	exit 143
}

body=
if [[ ! ${ZSD_TEST_SUPERVISED:-} ]]; then
	status=0
	supervise || status=$?
	exit "$status"
fi

test_dir=$(mktemp -d "${TMPDIR:-/tmp}/zsd-test.XXXXXX")
chmod 755 "$test_dir"
# shellcheck disable=SC2034 # for tests
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
daemons=()

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

# How long something may take that should take no time, before it is said to hang.
patience=60

# wait_gone PID [SECONDS]
wait_gone()
{
	local deadline=$((SECONDS + ${2:-patience}))
	while is_running "$1"; do
		[[ $SECONDS -le $deadline ]] || return 1
		sleep 0.02
	done
}

# eventually WHAT COMMAND [ARGUMENT]...: the command succeeds some time.
eventually()
{
	local what=$1 deadline=$((SECONDS + patience))
	shift
	until "$@"; do
		[[ $SECONDS -le $deadline ]] || fail "$what: '$*' fails for $patience seconds"
		sleep 0.02
	done
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
	local status=$? item file
	trap - EXIT
	set +e
	[[ $status -eq 0 || $status -eq 77 ]] || show_logs
	trap '' TERM INT HUP
	for item in "${mounts[@]}"; do
		mountpoint -q "$item" && { umount "$item" || umount -l "$item"; } 2>/dev/null
	done
	for item in "${loops[@]}"; do
		# The test may have detached it already, and another one may have it now.
		file=$(losetup -nO BACK-FILE "$item" 2>/dev/null)
		[[ $file == */zsd-test.* && $file != "$test_dir"/* ]] || losetup -d "$item" 2>/dev/null
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

# What the daemons said, and how those ended that are gone.
show_logs()
{
	local log item status
	for item in "${daemons[@]}"; do
		is_running "$item" && continue
		status=0
		wait "$item" 2>/dev/null || status=$?
		# Those that were waited for have no status any more.
		[[ $status -ne 0 && $status -ne 127 ]] || continue
		[[ $status -le 128 ]] || status="$status, by SIG$(kill -l "$status")"
		echo "daemon $item ended with $status"
	done >&2
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

# Processes of the test: ended with it.
start()
{
	"$@" &
	started+=($!)
}

is_mounted() { grep -q " $1 " /proc/self/mountinfo; }

uring_parameter=/sys/module/fuse/parameters/enable_uring

# Who needs the parameter as it is holds a shared lock on it; that on its folder is held while the first one or the last
# one changes it.
uring_before=/run/zsd-test-uring-before
uring_change=
uring_users=

# set_uring Y|N: whether the kernel offers FUSE over io_uring; until the end, and after the last user as before. With N
# for the first time, nobody else uses it.
set_uring()
{
	[[ -e $uring_parameter ]] || modprobe fuse 2>/dev/null || true
	[[ -e $uring_parameter ]] || skip "needs FUSE over io_uring, which came with Linux 6.14"
	if [[ ! -w $uring_parameter ]]; then
		[[ $(<"$uring_parameter") == "$1" ]] || skip "needs root to set fuse.enable_uring"
		return 0
	fi
	[[ $uring_users ]] || begin_uring "$([[ $1 == Y ]] && echo --shared || echo --exclusive)"
	echo "$1" >"$uring_parameter"
}

# begin_uring --shared|--exclusive
begin_uring()
{
	exec {uring_change}<"${uring_parameter%/*}"
	exec {uring_users}<"$uring_parameter"
	at_exit end_uring
	flock "$uring_change"
	flock "$1" "$uring_users"
	[[ -s $uring_before ]] || cat "$uring_parameter" >"$uring_before"
	flock --unlock "$uring_change"
}

# The last one puts it back. Others can't wait for us: what we hold is let go first.
end_uring()
{
	flock --unlock "$uring_users"
	flock "$uring_change"
	if flock --nonblock "$uring_users" && [[ -s $uring_before ]]; then
		cat "$uring_before" >"$uring_parameter"
		rm "$uring_before"
	fi
	exec {uring_users}<&- {uring_change}<&-
}

# start_daemon [ARGUMENT]...: with the runtime directory in $runtime and no configuration unless one is given. Sets
# daemon to its process, mnt and ZSD_SOCKET. ZSD_PRELOAD: a library to load into it. ZSD_TEST_POOL_MODE: its
# --pool-mode.
start_daemon()
{
	local arguments=("$@") log
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
	daemons+=("$daemon")
	mount_points+=("$mnt")
	eventually "starting the daemon" is_ready "$log"
}

# is_ready LOG
is_ready()
{
	is_running "$daemon" || fail "the daemon did not start: $(tail -n 3 "$1")"
	# The last thing that it says while starting.
	grep -qs 'ready: ' "$1"
}

# stop_daemon [SECONDS]: by SIGTERM; it must end in time, with 0, and leave no mount.
stop_daemon()
{
	local status=0 pid=$daemon
	kill -TERM "$pid" || fail "the daemon is gone already"
	wait_gone "$pid" "${1:-$patience}" || fail "the daemon does not stop within ${1:-$patience} seconds"
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

# remove NAME...: devices whose files may have been closed just now. On a busy machine the daemon may hear of it late.
remove()
{
	local name
	for name in "$@"; do eventually "removing $name" "$ZSCTL" remove "$name"; done
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

# field_of FIELD: its value in JSON with a field a line, the last one; fails if there is none.
field_of()
{
	awk -v field="\"$1\":" '
		$1 == field { value = $2; gsub(/[",]/, "", value); found = 1 }
		END { if (!found) exit 1; print value }'
}

# stat_of NAME FIELD: what `zsctl list` or `zsctl stats` says of a device.
stat_of()
{
	local report
	# Not what they say of the pool.
	for report in list stats; do
		"$ZSCTL" "$report" -J "$1" | sed -n '/^  "devices": /,$p'
	done | field_of "$2"
}

# stat_is NAME FIELD VALUE
stat_is() { [[ $(stat_of "$1" "$2") == "$3" ]]; }

# pool_stat FIELD: what `zsctl stats` says of the pool.
pool_stat()
{
	"$ZSCTL" stats -J | sed '/^  "devices": /,$d' | field_of "$1"
}

# The maintenance thread has freed what was discarded or removed.
is_all_free()
{
	[[ $(pool_stat deferred_blocks) -eq 0 && $(pool_stat deferred_devices) -eq 0 ]]
}

wait_for_free()
{
	eventually "freeing what was discarded" is_all_free
}

# wait_for_writes NAME PID: until the process has written to the device for a while; PID must be running then.
wait_for_writes()
{
	eventually "writing to $1" has_writes "$1" "$2" $(($("$ZSCTL" stats "$1" -n -b -r -o WRITES) + 200))
}

# has_writes NAME PID NUMBER
has_writes()
{
	is_running "$2" || fail "the writer of $1 ended early"
	[[ $("$ZSCTL" stats "$1" -n -b -r -o WRITES) -ge $3 ]]
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

# background_threads: of lines of /proc/PID/task/TID/stat, the names of threads that let others go first, in order.
# Those are SCHED_BATCH (3) and nicer than the first one, which answers calls and is SCHED_BATCH as well; all others are
# SCHED_OTHER (0) and as nice as the first.
background_threads()
{
	# The kernel's workers are left out: whether there are any is its own decision.
	sed -E 's/^([0-9]+) \((.*)\) /\1 \2 /' | sort -n | awk '$2 ~ /^iou-/ { next }
		!seen++ { nice = $19; first = 1 }
		$19 == nice && $41 == (first ? 3 : 0) { first = 0; next }
		{ first = 0 }
		$41 == 3 && $19 == (nice + 5 > 19 ? 19 : nice + 5) { print $2; next }
		{ print $2 " has policy " $41 ", nice " $19 }' | sort | paste -sd " "
}

# How often threads of the daemon were scheduled so far.
switches()
{
	awk '/ctxt_switches/ { sum += $2 } END { print sum }' "/proc/$daemon"/task/*/status
}

# idle SECONDS: no thread of the daemon runs for that long. Several tries: what was done before may have an end yet, and
# a busy machine wakes a thread now and then for reasons of its own; what ticks never passes.
idle()
{
	local before after try deadline=$((SECONDS + patience))
	for ((try = 1; SECONDS <= deadline; try++)); do
		before=$(switches)
		sleep "$1"
		after=$(switches)
		[[ $before != "$after" ]] || return 0
		echo "in $1 seconds, at try $try, the daemon's threads ran $((after - before)) times"
	done
	fail "the daemon is not idle"
}
