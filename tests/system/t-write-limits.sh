#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# How much may be written to the backing file: each day, in all, and at a time; by configuration and by command, and
# after a daemon was killed.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# backing FIELD
backing()
{
	"$ZSCTL" backing -J | field_of "$1"
}

# configure LINE...: of [Writeback].
configure()
{
	printf '[Writeback]\nBacking=%s\nIdleAfter=never\n' "$test_dir/cold" >"$test_dir/zsd.conf"
	printf '%s\n' "$@" '[Device disk]' 'Size=32M' >>"$test_dir/zsd.conf"
}

# Blocks that take as much in the file as in the device.
fill()
{
	dd if=/dev/urandom of="$mnt/disk" bs=1M count=8 conv=notrunc status=none
}

# killed: the daemon is, once the file says what is left.
killed()
{
	eventually "writing the limits to the file" is_kept "$(backing total_limit_left_bytes)"
	kill -KILL "$daemon"
	wait "$daemon" 2>/dev/null || true
	umount -l "$mnt" 2>/dev/null || fusermount3 -u -z "$mnt"
	start_daemon --config "$test_dir/zsd.conf"
}

# is_kept BYTES: one of the two copies in the file says that so much is left.
is_kept()
{
	local page
	for page in 2 3; do
		[[ $(od -An -t u8 -j $((page * 4096 + 40)) -N 8 "$test_dir/cold" | tr -d ' ') != "$1" ]] || return 0
	done
	return 1
}

# reaches_limit: all is written that may be.
reaches_limit()
{
	refused "Disk quota exceeded: DailyLimit= or TotalLimit= is used up" "$ZSCTL" writeback disk
}

step "both limits, from the configuration"
configure DailyLimit=1G TotalLimit=5M BatchSize=512K
start_daemon --config "$test_dir/zsd.conf"
fill
equal "the daily limit" "$(backing daily_limit_bytes)" $((1 << 30))
equal "what is left" "$(backing total_limit_left_bytes)" $((5 << 20))
equal "the batch" "$(backing batch_bytes)" $((512 << 10))
reaches_limit
left=$(backing total_limit_left_bytes)
[[ $left -lt 8192 ]] || fail "$left bytes are left"
equal "why data is refused at the pool's limit" "$("$ZSCTL" status --json=short | grep -o '"refusal":"[^"]*"')" \
	'"refusal":"write limit used up"'
today=$(backing written_today_bytes)
equal "what is written today" "$today" $(((5 << 20) - left))
equal "the metrics" \
	"$("$ZSCTL" metrics | awk '/^zsd_writeback_(bytes_total|budget_bytes) / { print $2 }' | paste -sd " ")" \
	"$(backing written_bytes) $left"
blocks=$("$ZSCTL" metrics | awk '$1 == "zsd_writeback_pages_total" { print $2 }')
[[ $blocks -gt 1000 ]] || fail "$blocks blocks are written"

step "killed, it knows what was written"
killed
equal "what is left" "$(backing total_limit_left_bytes)" "$left"
[[ $(backing written_today_bytes) == "$today" || $(backing written_today_bytes) == 0 ]] ||
	fail "$(backing written_today_bytes) are written today, not $today"
fill
reaches_limit
equal "what is written" "$(backing written_bytes)" 0

step "a task that has failed says what it did before"
"$ZSCTL" backing --total-limit 1M >/dev/null
"$ZSCTL" writeback disk >said 2>/dev/null && fail "more is written than is allowed"
grep -qx 'failed: written back: 25[0-9] blocks, freed .*' said || fail "it said '$(<said)'"

step "set anew, while it runs"
"$ZSCTL" set Writeback.TotalLimit=1M
equal "what is left" "$(backing total_limit_left_bytes)" $((1 << 20))
reaches_limit
"$ZSCTL" backing --total-limit 2M | grep -x 'total_limit_left_bytes *2M' >/dev/null ||
	fail "zsctl backing does not show it"
reaches_limit
# A parameter that is null is absent.
python3 - "$ZSD_SOCKET" <<-'END' || fail "SetTotalLimit with null"
	import socket, sys
	s = socket.socket(socket.AF_UNIX)
	s.connect(sys.argv[1])
	s.sendall(b'{"method":"io.zsd.control.SetTotalLimit","parameters":{"total_limit_bytes":null}}\0')
	sys.exit(b"error" in s.recv(4096))
END
equal "what is left" "$("$ZSCTL" backing -J | grep -c total_limit_left)" 0
"$ZSCTL" set Writeback.TotalLimit=1M Writeback.DailyLimit=2M
equal "what is left" "$(backing total_limit_left_bytes)" $((1 << 20))
"$ZSCTL" set Writeback.TotalLimit=none Writeback.DailyLimit=none
equal "limits" "$("$ZSCTL" backing -J | grep -c _limit_)" 0
"$ZSCTL" backing --total-limit 1M >/dev/null
"$ZSCTL" backing --total-limit none --daily-limit 3M >/dev/null
equal "what is left" "$("$ZSCTL" backing -J | grep -c total_limit_left)" 0
equal "the daily limit" "$(backing daily_limit_bytes)" $((3 << 20))
reaches_limit
"$ZSCTL" reload >/dev/null
"$ZSCTL" backing --total-limit 3M --daily-limit 1G >/dev/null
"$ZSCTL" writeback disk --max-bytes 1M >/dev/null || fail "writing 1M"
left=$(backing total_limit_left_bytes)
[[ $left -lt $((3 << 20)) ]] || fail "nothing is taken off"

step "what a command has set outlives the daemon, until the configuration changes"
configure DailyLimit=1G TotalLimit=5M BatchSize=512K
killed
equal "what is left" "$(backing total_limit_left_bytes)" "$left"
"$ZSCTL" backing --total-limit 4M >/dev/null
stop_daemon
start_daemon --config "$test_dir/zsd.conf"
equal "what was set last of all" "$(backing total_limit_left_bytes)" $((4 << 20))
stop_daemon
configure TotalLimit=6M
start_daemon --config "$test_dir/zsd.conf"
equal "what is left" "$(backing total_limit_left_bytes)" $((6 << 20))
equal "the batch" "$(backing batch_bytes)" $((4 << 20))
configure TotalLimit=7M BatchSize=256K
"$ZSCTL" reload | grep -F 'Writeback.TotalLimit=7M: applied' >/dev/null || fail "reload does not say it"
equal "what is left" "$(backing total_limit_left_bytes)" $((7 << 20))
equal "the batch" "$(backing batch_bytes)" $((256 << 10))
configure
"$ZSCTL" reload >/dev/null
equal "what is left" "$("$ZSCTL" backing -J | grep -c total_limit_left)" 0
equal "the batch" "$(backing batch_bytes)" $((4 << 20))

step "bad values change nothing"
"$ZSCTL" backing -J >before
batch="not what can be written at a time; use 256K to 4M"
refused "Writeback.BatchSize '255K': $batch" "$ZSCTL" set Writeback.TotalLimit=1G Writeback.BatchSize=255K
refused "Writeback.BatchSize '5M': $batch" "$ZSCTL" set Writeback.BatchSize=5M
refused "Writeback.BatchSize '1': a size without a unit" "$ZSCTL" set Writeback.BatchSize=1
refused "Writeback.TotalLimit '8': a size without a unit" "$ZSCTL" set Writeback.TotalLimit=8
refused "Writeback.TotalLimit '0B': no room for any data" "$ZSCTL" set Writeback.TotalLimit=0B
refused "batch_bytes '5242880': $batch" "$ZSCTL" writeback disk --batch 5M
refused "batch_bytes '4096': $batch" "$ZSCTL" writeback disk --batch 4K
refused "no room for a block" "$ZSCTL" backing --total-limit 0B
refused "no room for a block" "$ZSCTL" backing --daily-limit 1G --total-limit 0B
# Both by one call, or the second one may be refused when the first one is done.
python3 - "$ZSD_SOCKET" "$ZSCTL" <<-'END' || fail "SetTotalLimit with both limits"
	import json, socket, subprocess, sys
	s = socket.socket(socket.AF_UNIX)
	s.connect(sys.argv[1])
	s.sendall(b'{"method":"io.zsd.control.SetTotalLimit",'
	          b'"parameters":{"total_limit_bytes":1048576,"daily_limit_bytes":-1}}\0')
	assert b"error" in s.recv(4096)
	server = socket.socket(socket.AF_UNIX)
	server.bind("one-call")
	server.listen()
	zsctl = subprocess.Popen([sys.argv[2], "--socket", "one-call", "backing", "--daily-limit", "2M",
	                          "--total-limit", "1M"], stderr=subprocess.DEVNULL)
	call = json.loads(server.accept()[0].recv(4096).rstrip(b"\0"))
	assert call["parameters"] == {"total_limit_bytes": 1 << 20, "daily_limit_bytes": 2 << 20}, call
	assert zsctl.wait() != 0
END
"$ZSCTL" backing -J | cmp -s before - || fail "something has changed"

step "a batch for one task"
fill
"$ZSCTL" writeback disk --batch 256K >/dev/null || fail "writing back by small batches"
equal "the batch" "$(backing batch_bytes)" $((4 << 20))
cat "$mnt/disk" >/dev/null || fail "reading it back"
stop_daemon
