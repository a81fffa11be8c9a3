#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# monitor: what is there, then what changes; and who may call what.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# heard TEXT: waits until the monitor has printed a line with this text.
heard()
{
	eventually "hearing of it" grep -qF -- "$1" events
}

start_daemon
add vm0 16M
add vm1 16M

step "what is there, then what changes"
"$ZSCTL" monitor 0.1 >events &
monitor=$!
started+=("$monitor")
heard '"event":"ready"'
equal "the events" "$(python3 -c 'import json
for line in open("events"):
    event = json.loads(line)
    print(event["event"], event.get("device", {}).get("name"))')" "present vm0
present vm1
ready None"
add vm2 16M
heard '{"event":"added","device":{"name":"vm2"'
head -c 1M /dev/urandom | dd of="$mnt/vm1" bs=64K iflag=fullblock conv=notrunc oflag=direct status=none
heard '{"event":"changed","device":{"name":"vm1"'
"$ZSCTL" remove vm2
heard '{"event":"removed","device":{"name":"vm2"'
end_process "$monitor"

step "a client that leaves, that reads nothing, that asks wrongly"
refused "not an interval in seconds" "$ZSCTL" monitor 0
python3 - "$ZSD_SOCKET" <<'END' || fail "a client was not served well"
import json, socket, sys, time

def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(sys.argv[1])
    return s

def receive(s):
    message = b""
    while not message.endswith(b"\0"):
        byte = s.recv(1)
        if not byte:
            sys.exit("the daemon closed the connection")
        message += byte
    return json.loads(message[:-1])

def call(s, method, parameters, **more):
    s.sendall(json.dumps({"method": method, "parameters": parameters, **more}).encode() + b"\0")

s = connect()
call(s, "io.zsd.control.Monitor", {})
if receive(s)["error"] != "org.varlink.service.ExpectedMore":
    sys.exit("a monitor without more")
call(s, "io.zsd.control.Monitor", {"interval_usec": 1}, more=True)
if receive(s)["error"] != "io.zsd.control.InvalidValue":
    sys.exit("an interval of a microsecond")
# As many monitors as there are connections, and more: others are served all the same, as soon as one was silent for
# a second.
monitors = []
for i in range(80):
    try:
        m = connect()
        monitors.append(m)
        call(m, "io.zsd.control.Monitor", {}, more=True)
    except OSError:
        pass
for _ in range(200):
    try:
        s = connect()
        call(s, "io.zsd.control.List", {})
        receive(s)
        break
    except (SystemExit, OSError):
        time.sleep(0.1)
else:
    sys.exit("nobody else is served")
for m in monitors:
    m.close()
END
# Those that have gone are in the way until the daemon has seen it.
is_answered() { "$ZSCTL" list >/dev/null 2>&1; }
eventually "an answer" is_answered
[[ $EUID -eq 0 ]] || skip "needs root for other users"

step "who may call what"
stop_daemon
# In a mount namespace of its own the daemon sees a group that this machine may not have.
group=54321
{
	grep -v '^zsd:' /etc/group
	echo "zsd:x:$group:"
} >group
cat >zsd <<END
#!/bin/sh
exec unshare --mount sh -c 'mount --bind "$test_dir/group" /etc/group && exec "\$@"' sh "$ZSD" "\$@"
END
chmod 755 zsd
ZSD=$test_dir/zsd start_daemon
cat >table.py <<'END'
import json, os, socket, sys

def receive(s):
    message = b""
    while not message.endswith(b"\0"):
        message += s.recv(65536) or sys.exit("closed")
    return json.loads(message.split(b"\0")[0])

def ask(path, method, parameters={}, more=False):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(path)
    s.sendall(json.dumps({"method": method, "parameters": parameters, "more": more}).encode() + b"\0")
    return receive(s)

path, may_change = sys.argv[1], sys.argv[2] == "change"
# As whom, after the interpreter is loaded, which others may not read.
uid, gid, groups = int(sys.argv[3]), int(sys.argv[4]), [int(group) for group in sys.argv[5:]]
os.setgroups(groups)
os.setgid(gid)
os.setuid(uid)

def methods_of(path, interface):
    text = ask(path, "org.varlink.service.GetInterfaceDescription",
               {"interface": interface})["parameters"]["description"]
    return [line.split("(")[0].split()[1] for line in text.splitlines() if line.startswith("method ")]

# Parameters that are refused for another reason than who asks, so that nothing is changed here.
changes = {
    "Add": {"name": "a/b", "size_bytes": 1},
    "Remove": {"name": "a/b"},
    "Reset": {"name": "a/b"},
    "SetGroupLimit": {"name": "a/b", "memory_limit_bytes": 1},
    "Compact": {"budget_bytes": 1},
    "MarkIdle": {"name": "a/b"},
    "Recompress": {"name": "a/b"},
    "Train": {"name": "a/b"},
    "CancelTask": {"task": 0},
    "Writeback": {"name": "a/b"},
    "SetDailyLimit": {"daily_limit_bytes": -1},
    "SetTotalLimit": {"total_limit_bytes": -1},
    "Set": {"name": "a/b", "values": {}},
    "Reload": {},
}
readers = {"List", "Stats", "Status", "Usage", "Latencies", "Monitor", "Groups", "Owners", "Classes", "Caches",
           "Ages", "Tasks", "Backing", "Dictionaries"}
table = {
    "org.varlink.service": {"GetInfo", "GetInterfaceDescription"},
    "io.zsd.control": readers | set(changes),
    "io.zsd.metrics": {"Render"},
    "io.systemd.Metrics": {"List", "Describe"},
}

def check(path, interfaces):
    told = ask(path, "org.varlink.service.GetInfo")["parameters"]["interfaces"]
    if set(told) != set(interfaces):
        sys.exit("%s serves %s" % (path, told))
    for interface in interfaces:
        differs = set(methods_of(path, interface)) ^ table[interface]
        if differs:
            sys.exit("the table of %s does not know %s" % (interface, sorted(differs)))
    for interface, method in ((i, m) for i in table for m in table[i]):
        reply = ask(path, interface + "." + method, changes.get(method, {}), method == "Monitor")
        error = reply.get("error")
        denied = error == "org.varlink.service.PermissionDenied"
        if interface not in interfaces:
            if error != "org.varlink.service.InterfaceNotFound":
                sys.exit("%s: %s.%s was answered %s" % (path, interface, method, reply))
        elif denied != (method in changes and not may_change):
            sys.exit("%s: %s.%s was answered %s" % (path, interface, method, reply))

check(path, list(table))
# Nobody changes anything there, whoever it is.
check(path.replace("control", "metrics"), ["org.varlink.service", "io.zsd.metrics", "io.systemd.Metrics"])
END
chmod 666 "$ZSD_SOCKET"
python3 table.py "$ZSD_SOCKET" change 0 0 || fail "root"
python3 table.py "$ZSD_SOCKET" read 65534 65534 || fail "another user"
python3 table.py "$ZSD_SOCKET" read 65534 65534 $((group + 1)) || fail "a member of another group"
python3 table.py "$ZSD_SOCKET" change 65534 65534 1 2 "$group" || fail "a member of the group"
python3 table.py "$ZSD_SOCKET" change 65534 "$group" || fail "a user whose own group it is"
for words in list "add x --size 1M" "remove x" "set x Mode=0600" reload compact monitor; do
	# shellcheck disable=SC2086
	refused "the daemon does not know this command" "$ZSCTL" --socket "$runtime/io.zsd.metrics" $words
done
# The mount is in the daemon's namespace, and goes with it.
end_process "$daemon"
