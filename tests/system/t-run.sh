#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run: a daemon for one command; doctor and dump-config.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# Short, since the path of a socket is; everything that is left behind is found here.
XDG_RUNTIME_DIR=$(mktemp -d /tmp/zsd-run.XXXXXX)
export XDG_RUNTIME_DIR
at_exit rmdir "$XDG_RUNTIME_DIR"

# run ARGUMENT...: sets status and output.
run()
{
	status=0
	output=$("$ZSCTL" run "$@" 2>errors) || status=$?
}

left_nothing()
{
	equal "what is left in the directory" "$(ls -A "$XDG_RUNTIME_DIR")" ""
	! grep -q " $XDG_RUNTIME_DIR/" /proc/self/mountinfo || fail "a mount is left"
}

step "a command with a device of its own"
# shellcheck disable=SC2016
run --size 64M --algorithm zstd:3 --block-size 16K -- sh -c '
	head -c 1M /dev/urandom >data
	dd if=data of="$ZSD_FILE" conv=notrunc status=none
	head -c 1M "$ZSD_FILE" | cmp - data && stat -c %s "$ZSD_FILE"
	"$ZSCTL" list -n -r -o ALGORITHM,BLOCK-SIZE'
equal "exit status" "$status: $(cat errors)" "0: "
equal "output" "$output" "67108864"$'\n'"zstd 16K"
left_nothing

step "its exit status, its signals"
run --size 1M -- sh -c 'exit 7'
equal "exit status" "$status" 7
# shellcheck disable=SC2016
run --size 1M -- sh -c 'kill -KILL $$'
equal "exit status after SIGKILL" "$status" 137
run --size 1M -- "$test_dir/nothing"
equal "exit status of nothing" "$status" 127
"$ZSCTL" run --size 1M -- sh -c 'echo started >started; exec sleep 60' &
pid=$!
started+=("$pid")
eventually "starting" test -s started
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
equal "exit status after SIGTERM" "$status" 143
left_nothing

step "what can't be"
run -- true
equal "no size" "$status: $(cat errors)" "2: zsctl: run: the size is missing; add one, as in --size 1G"
run --size 1 -- true
equal "no unit" "$status" 2
run --size 1M
equal "no command" "$status" 2
ZSD=$test_dir/nothing run --size 1M -- true
[[ $status -eq 1 && $(cat errors) == *"$test_dir/nothing: No such file"* ]] || fail "no daemon: $status: $(cat errors)"
run --size 1M --block-size 5K -- true
[[ $status -eq 1 && $(cat errors) == *"not a block size"* ]] || fail "a bad block size: $status: $(cat errors)"
left_nothing

step "dump-config and doctor"
equal "version" "zsctl $("$ZSCTL" dump-config | sed -n 's/^version=//p')" "$("$ZSCTL" --version)"
equal "version in JSON" "$("$ZSCTL" dump-config -J | python3 -c 'import json, sys
print(json.load(sys.stdin)["algorithms"])')" "lz4 zstd"
start_daemon
# Its exit status may be that of what others have left on the machine.
"$ZSCTL" doctor >found.txt || true
grep -q "^ok    daemon: version .* answers" found.txt ||
	fail "doctor does not find the daemon: $(cat found.txt)"
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
status=0
"$ZSCTL" doctor -J >found.json || status=$?
equal "doctor's exit status for a dead mount" "$status" 1
python3 - "$mnt" <<-'END' || fail "doctor does not see the dead mount: $(cat found.json)"
	import json, sys
	dead = [c for c in json.load(open("found.json"))["checks"] if c["state"] == "bad"]
	sys.exit(not any(c["check"] == "dead mounts" and c["remedy"] == "umount -l " + sys.argv[1] for c in dead))
END
