#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Starting: after a crash, next to another daemon, and where it can't: one line says what, why, and what to do.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

# daemon_refused TEXT [ARGUMENT]...: it must not start, say TEXT, and leave no mount.
daemon_refused()
{
	local text=$1 status=0
	shift
	timeout 60 "$ZSD" "$@" 2>"$test_dir/refused.log" || status=$?
	[[ $status -ne 0 && $status -ne 124 ]] || fail "zsd $* ended with $status"
	grep -q -- "$text" "$test_dir/refused.log" || fail "zsd $* said '$(cat "$test_dir/refused.log")', not '$text'"
	[[ $(wc -l <"$test_dir/refused.log") -le 2 ]] || fail "zsd $* said '$(cat "$test_dir/refused.log")'"
	! is_mounted "$mnt" || [[ $daemon ]] || fail "zsd $* left a mount"
	last_status=$status
}

step "wrong usage"
for arguments in "--nonsense" "--threads 0" "--threads 257" "--threads x" "--threads 1x" "--threads" "argument" \
	"--no-config --config x" "--runtime-dir=" "--poll-max 50" "--poll-max 2ms"; do
	# shellcheck disable=SC2086
	daemon_refused "zsd" $arguments
	equal "exit status of '$arguments'" "$last_status" 2
done
"$ZSD" --help | grep runtime-dir >/dev/null || fail "--help says nothing"
"$ZSD" --version | grep '^zsd [0-9]' >/dev/null || fail "--version says nothing"

step "places where it can't"
daemon_refused "No such file or directory; choose another" --no-config -d "$test_dir/no/such"
touch "$test_dir/file"
daemon_refused "Not a directory; choose another" --no-config -d "$test_dir/file"
daemon_refused "No such file" -d "$runtime" --config "$test_dir/none.conf"
printf '[Daemon]\nThreads=many\n' >"$test_dir/bad.conf"
daemon_refused "bad.conf:2" -d "$runtime" --config "$test_dir/bad.conf"
mkdir -p "$mnt"
touch "$mnt/precious"
daemon_refused "isn't empty, it has precious" --no-config -d "$runtime"
[[ -e $mnt/precious ]] || fail "the content of the directory is gone"
rm "$mnt/precious"
mount -t tmpfs somebody "$mnt"
mounts=("$mnt")
daemon=other daemon_refused "mount point of somebody (tmpfs)" --no-config -d "$runtime"
umount "$mnt"
ln -s "$test_dir" "$test_dir/link"
touch "$runtime/io.zsd.control"
daemon_refused "io.zsd.control" --no-config -d "$runtime"
[[ -f $runtime/io.zsd.control ]] || fail "a file that is no socket was replaced"
rm "$runtime/io.zsd.control"

step "a second daemon in the same directory"
start_daemon
add disk 1M
daemon_refused "in use by another zsd (process $daemon)" --no-config -d "$runtime"
daemon_refused "in use by another zsd (process $daemon)" --no-config -d "$test_dir/link/run"
[[ -e $mnt/disk ]] || fail "the first daemon's mount is gone"

step "a second daemon with the same mount point"
printf '[Daemon]\nMountPoint=%s\n' "$mnt" >"$test_dir/same.conf"
daemon_refused "mount point of zsd (fuse.zsd)" -d "$test_dir/run2" --config "$test_dir/same.conf"
[[ -e $mnt/disk ]] || fail "the first daemon's mount is gone"
stop_daemon

step "after kill -9, with and without open files, again and again"
for turn in {1..5}; do
	start_daemon
	[[ ! -e $mnt/disk ]] || fail "there is a device from before"
	add disk 1M
	[[ $turn -eq 3 ]] || exec 5<"$mnt/disk"
	kill -KILL "$daemon"
	wait_gone "$daemon" || fail "it survives SIGKILL"
	is_mounted "$mnt" || fail "the dead mount is not there; the test proves nothing"
done
start_daemon
grep -q "detached the dead mount" "$test_dir/run.log" || fail "it does not tell that it detached a dead mount"
equal "mounts" "$(grep -c " $mnt " /proc/self/mountinfo)" 1
stop_daemon
exec 5<&-

step "a mount point of its own"
printf '[Daemon]\nMountPoint=%s\n[Device disk]\nSize=1M\n' "$test_dir/elsewhere" >"$test_dir/own.conf"
start_daemon --config "$test_dir/own.conf"
mount_points+=("$test_dir/elsewhere")
[[ -f $test_dir/elsewhere/disk ]] || fail "the configured device is not there"
stop_daemon
! is_mounted "$test_dir/elsewhere" || fail "a mount is left"

step "a umask doesn't matter"
rm -rf "$runtime"
(umask 077 && exec "$ZSD" --no-config -d "$runtime") 2>>"$test_dir/run.log" &
started+=($!)
eventually "starting" test -e "$runtime/io.zsd.control"
equal "modes" "$(stat -c %a "$runtime" "$mnt" | tr '\n' ' ')" "755 755 "
end_process "${started[-1]}"
