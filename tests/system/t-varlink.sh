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

# introspected SOCKET INTERFACES: varlinkctl finds these interfaces there, and nothing wrong with their text.
introspected()
{
	local interfaces interface
	interfaces=$(varlinkctl list-interfaces "$1")
	for interface in $interfaces; do
		varlinkctl introspect "$1" "$interface" >text || fail "$interface can't be introspected"
		varlinkctl validate-idl text >/dev/null || fail "$interface: see above"
		grep -qx "interface $interface" text || fail "$interface is described as '$(head -n 20 text)'"
	done
	equal "the interfaces" "$(sort <<<"$interfaces" | paste -sd ' ')" "$2"
}

start_daemon
# It came with systemd 255.
if command -v varlinkctl >/dev/null; then
	step "varlinkctl"
	introspected "$runtime/io.zsd.control" \
		"io.systemd.Metrics io.zsd.control io.zsd.metrics org.varlink.service"
	introspected "$runtime/io.zsd.metrics" "io.systemd.Metrics io.zsd.metrics org.varlink.service"
	example varlinkctl
	sed -i 's/^# //' varlinkctl
	# The last command goes on.
	start bash -e varlinkctl >output 2>&1
	eventually "varlinkctl" grep -q '"ready"' output
	end_process "${started[-1]}"
	equal "the device" "$(stat_of vm0 size_bytes)" 8589934592
	grep -q '"present".*"vm0"' output || fail "the monitor said $(cat output)"
	"$ZSCTL" remove vm0
else
	step "without varlinkctl, which systemd has from 255 on, its examples are not tested"
fi

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
