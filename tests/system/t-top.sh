#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# top: one picture as text, by width and character set; and on a terminal, with and without colours.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

start_daemon
add vm0 16M --mem-limit 1G
add 'a-much-longer-name' 32M
{
	head -c 4M /dev/zero | tr '\0' 'x'
	head -c 4M /dev/urandom
} >data

step "less data than it costs saves nothing"
dd if=/dev/urandom of="$mnt/vm0" bs=4K count=1 conv=notrunc oflag=direct status=none
"$ZSCTL" top --once >picture
grep -qE '^zsd .* devices hold 4K, and save 0B' picture || fail "the first line is $(head -n 1 picture)"
dd if=data of="$mnt/vm0" bs=1M conv=notrunc oflag=direct status=none

step "a picture of 80 columns"
export COLUMNS=80 LC_ALL=C
"$ZSCTL" top --once >picture
head -n 1 picture | grep -qE '^zsd [0-9.]+  2 devices hold 8M, and save [0-9.]+M, [0-9.]+x$' ||
	fail "the first line is $(head -n 1 picture)"
equal "the bar of vm0" "$(grep '^vm0' picture | cut -d']' -f1)" "vm0     [ssssssssiiiiiiii................"
grep -qE '^vm0 .*\] 8M / 16M -> [0-9.]+M [0-9.]+x$' picture || fail "vm0 is $(grep '^vm0' picture)"
equal "a name that is cut" "$(grep -c '^a-much- \[' picture)" 1
equal "lines" "$(wc -l <picture)" 8
if cat /proc/pressure/memory >/dev/null 2>&1; then
	grep -qE '^pool .*%  psi some [0-9]+[.][0-9]%$' picture || fail "no pressure: $(grep '^pool' picture)"
fi
! grep -q '.\{81\}' picture || fail "a line is longer than 80 columns"
! grep -q '[^ -~]' picture || fail "there is more than ASCII"

step "other widths and character sets"
COLUMNS=150 "$ZSCTL" top --once >picture
grep -qE '^pool    \[[#.]{102}\]' picture || fail "the bar does not grow: $(grep '^pool' picture)"
LC_ALL=C.UTF-8 "$ZSCTL" top --once >picture
grep -qF '▁' picture || fail "no sparklines of UTF-8"
refused "this is no terminal to draw on; use --once" "$ZSCTL" top

step "a terminal of 80x24"
cat >terminal.py <<'END'
import fcntl, os, pty, re, select, struct, sys, termios, time

def run(environment, keys):
    """Runs top on a terminal, with --once if no keys are sent; they are sent one after the other when there is output.
    Answers output and status."""
    child, fd = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.environ.pop("COLUMNS", None)
        os.environ.update(environment)
        os.execv(sys.argv[1], [sys.argv[1], "top", *([] if keys else ["--once"])])
    output, deadline, keys = b"", time.monotonic() + 30, list(keys)
    while time.monotonic() < deadline:
        readable, _, _ = select.select([fd], [], [], 0.3)
        if readable:
            try:
                data = os.read(fd, 65536)
            except OSError:
                break
            if not data:
                break
            output += data
        elif keys and b"pool" in output:
            os.write(fd, keys.pop(0).encode())
    else:
        os.kill(child, 9)
    os.close(fd)
    return output, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

COLOR = b"\x1b[36m"
output, status = run({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}, "sq")
if status != 0 or COLOR not in output or b"vm0" not in output:
    sys.exit("with colours: %d %r" % (status, output))
output, status = run({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}, "sssq")
if status != 0 or re.search(rb"\x1b\[[0-9;]*[34][0-7]m", output) or b"ssssssss" not in output:
    sys.exit("with NO_COLOR: %d %r" % (status, output))
output, status = run({"TERM": "xterm-256color", "LC_ALL": "C"}, "")
if status != 0 or COLOR + b"s" not in output or b"\x1b[39m]" not in output:
    sys.exit("--once with colours: %d %r" % (status, output))
output, status = run({"TERM": "xterm-256color", "LC_ALL": "C", "NO_COLOR": "1"}, "")
if status != 0 or b"\x1b" in output or b"ssssssss" not in output:
    sys.exit("--once with NO_COLOR: %d %r" % (status, output))
output, status = run({"TERM": "vt100", "LC_ALL": "C"}, "\rq")
if status != 0 or b"same-filled" not in output or b"of memory" not in output:
    sys.exit("Enter shows no usage: %d %r" % (status, output))
output, status = run({"TERM": "vt100", "LC_ALL": "C"}, "q")
if status != 0 or b"vm0" not in output:
    sys.exit("on a vt100: %d %r" % (status, output))
output, status = run({"TERM": "nothing-known"}, "q")
if status != 1 or b"use --once" not in output:
    sys.exit("on an unknown terminal: %d %r" % (status, output))
END
python3 terminal.py "$ZSCTL" || fail "see above"

step "more devices than lines, and a full pool"
for i in {1..20}; do
	add "d$i" 1M
done
"$ZSCTL" set Pool.MemoryLimit=4.25M
# alert_is TEXT: what top says of a full pool, and that it fits.
alert_is()
{
	"$ZSCTL" top --once | sed -n 3p >alert
	grep -qE "^! the pool is full to [0-9]+%$1\$" alert || fail "top says: $(<alert)"
	[[ $(<alert) != ?????????????????????????????????????????????????????????????????????????????????* ]] ||
		fail "this is more than 80 columns: $(<alert)"
}
alert_is "; at its limit data is refused: no backing file"
"$ZSCTL" status | grep -xE 'Limit: +4.3M, [0-9]+% used; at the limit data is refused: no backing file' >/dev/null ||
	fail "status says: $("$ZSCTL" status)"
equal "lines" "$("$ZSCTL" top --once | wc -l)" 48
stop_daemon

for on_full in error writeback; do
	step "a full pool with a backing file and OnFull=$on_full"
	cat >zsd.conf <<-END
		[Pool]
		OnFull=$on_full
		[Writeback]
		Backing=$test_dir/backing
		Size=64M
		StartAt=97%
		StopAt=96%
		IdleAfter=never
		[Device vm0]
		Size=16M
	END
	start_daemon --config "$test_dir/zsd.conf"
	dd if=data of="$mnt/vm0" bs=1M conv=notrunc oflag=direct status=none
	"$ZSCTL" set Pool.MemoryLimit=4.25M
	if [[ $on_full == error ]]; then
		alert_is "; at its limit data is refused: OnFull=error"
	else
		alert_is "(; [0-9.]+[KM] on disk, R .* W .*)?"
		"$ZSCTL" status | grep 'used; at the limit blocks are written back$' >/dev/null ||
			fail "status says: $("$ZSCTL" status)"
	fi
	stop_daemon
done
