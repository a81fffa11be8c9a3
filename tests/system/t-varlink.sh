#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# zsd-varlink(7): its examples do what it says, as they stand there.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need socat python3

# example NAME: the one that is marked as tested, with the socket of the test's daemon.
example()
{
	sed -n "/^\\.\\\\\" tested: $1\$/,/^\\.Ed/p" "$SOURCE/man/zsd-varlink.7.in" | grep -v '^\.' |
		sed -e 's/\\e/\\/g' -e "s@/run/zsd/@$runtime/@" >"$1"
	[[ -s $1 ]] || fail "the page has no example '$1'"
}

start_daemon
add vm0 16M

step "the shell"
example shell
bash shell >reply
python3 -c '
import json, sys
device = json.load(open("reply"))["parameters"]["devices"][0]
assert (device["name"], device["file"], device["size_bytes"]) == ("vm0", sys.argv[1], 16 << 20), device' "$mnt/vm0" ||
	fail "the reply is $(cat reply)"

step "Python"
example python
python3 python >output || fail "the example failed"
cat >expected <<END
$mnt/from-python
vm0 $(stat_of vm0 memory_bytes)
from-python 0
io.zsd.control.NoSuchDevice nobody: there is no device with this name
END
diff expected output || fail "the example printed something else"
[[ ! -e $mnt/from-python ]] || fail "the example's device is still there"

step "an error of the daemon ends the example"
"$ZSCTL" add from-python --size 1M >/dev/null
! python3 python >output 2>&1 || fail "the example goes on after an error"
grep -q 'RuntimeError.*io.zsd.control.DeviceExists' output || fail "the example said $(cat output)"
stop_daemon
