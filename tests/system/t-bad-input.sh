#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Bad input by table: each kind has a text of its own and an exit status, and changes nothing.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

hostile=$BUILD/tests/system/hostile
config=$test_dir/zsd.conf
mkdir "$config.d"

# All that input could change.
state()
{
	"$ZSCTL" list -J
	"$ZSCTL" groups -J
	"$ZSCTL" tasks -J
	pool_stat memory_limit_bytes
}

# unchanged WHAT
unchanged()
{
	state >after
	cmp -s before after || fail "$1 has changed something: $(diff before after)"
}

# bad STATUS TEXT ARGUMENT...: zsctl ends with the status, says the text in one line, and nothing else.
bad()
{
	local expected=$1 text=$2 status=0
	shift 2
	"$ZSCTL" "$@" >output 2>errors || status=$?
	equal "the status of '$*'" "$status" "$expected"
	grep -qF -- "$text" errors || fail "'$*' said '$(cat errors)'; expected: $text"
	equal "lines said by '$*'" "$(wc -l <errors)" 1
	[[ ! -s output ]] || fail "'$*' printed '$(cat output)'"
	[[ ! ${ready:-} ]] || unchanged "$*"
}

# answered TEXT MESSAGE: a raw call is refused with this.
answered()
{
	"$hostile" "$ZSD_SOCKET" call "$2" >output || fail "'$2' is not answered"
	grep -qF -- "$1" output || fail "'$2' is answered '$(cat output)'; expected: $1"
	unchanged "$2"
}

# closed TEXT COMMAND...: the connection is closed, and the daemon's log says why.
closed()
{
	local text=$1 before
	shift
	before=$(grep -cF "reason=$text" run.log || true)
	"$@" >/dev/null 2>&1 || true
	eventually "saying why" has_said "$text" "$before"
	unchanged "$*"
}

has_said()
{
	[[ $(grep -cF "reason=$1" run.log) -gt $2 ]]
}

call='{"method":"io.zsd.control.'
invalid='"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":'

step "daemon absent"
ZSD_SOCKET=$test_dir/none bad 3 "there is no such socket; start the daemon" list
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$test_dir/stale"
ZSD_SOCKET=$test_dir/stale bad 3 "nobody listens; start the daemon" add x --size 1M

step "daemon too old, or something else"
cat >old.py <<'PYTHON'
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1] + ".new")
s.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    c = s.accept()[0]
    c.recv(65536)
    c.sendall(sys.argv[2].encode() + b"\0")
    c.close()
PYTHON
# answers REPLY: listens at $test_dir/old and gives each call this reply.
answers()
{
	rm -f old
	start python3 old.py "$test_dir/old" "$1"
	eventually "listening" test -S old
}
answers '{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"x"}}'
ZSD_SOCKET=$test_dir/old bad 1 "the daemon does not know this command; is it older than zsctl?" add x --size 1M
answers '{"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"cache"}}'
ZSD_SOCKET=$test_dir/old bad 1 "the daemon does not know a parameter; is it older than zsctl?" add x --size 1M
answers '{"error":"org.varlink.service.InterfaceNotFound","parameters":{"interface":"x"}}'
ZSD_SOCKET=$test_dir/old bad 1 "the daemon does not know this command; is this the socket of a zsd?" add x --size 1M
answers 'HTTP/1.1 400 Bad Request'
ZSD_SOCKET=$test_dir/old bad 3 "the answer is not Varlink; is this the socket of a zsd?" add x --size 1M

printf '[Daemon]\nLogLevel=debug\n[Pool]\nMemoryLimit=1G\n[Device vm0]\nSize=16M\nMemoryLimit=8M\n' >"$config"
printf '[Writeback]\nBacking=%s\nIdleAfter=never\n' "$test_dir/backing" >>"$config"
start_daemon --config "$config"
state >before
ready=yes

step "fields of a wrong type, missing, unknown and twice"
answered "$invalid\"size_bytes\"}" "${call}Add\",\"parameters\":{\"name\":\"x\",\"size_bytes\":\"1M\"}}"
answered "$invalid\"values\"}" "${call}Set\",\"parameters\":{\"name\":\"vm0\",\"values\":{\"Mode\":384}}}"
answered "$invalid\"size_bytes\"}" "${call}Add\",\"parameters\":{\"name\":\"x\"}}"
answered "$invalid\"colour\"}" "${call}Add\",\"parameters\":{\"name\":\"x\",\"size_bytes\":4096,\"colour\":1}}"
closed "a message with a member twice" "$hostile" "$ZSD_SOCKET" call \
	"${call}Add\",\"parameters\":{\"name\":\"x\",\"name\":\"y\",\"size_bytes\":4096}}"
closed "a message with a member twice" "$hostile" "$ZSD_SOCKET" call "${call}List\",${call#?}List\"}"
closed "a message that is no call" "$hostile" "$ZSD_SOCKET" call "${call}List\",\"parameters\":[]}"
bad 2 "given twice" set vm0 Mode=0600 Mode=0640
bad 2 "the size is missing" add x
bad 2 "did you mean 8G?" add x --size 8

step "each parameter of each method with a wrong type, left out, or unknown, by the interface's own text"
cat >every-parameter.py <<'PYTHON'
import json, re, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
stream = client.makefile("rb")

def call(method, parameters):
    client.sendall(json.dumps({"method": method, "parameters": parameters}).encode() + b"\0")
    reply = b""
    while not reply.endswith(b"\0"):
        reply += stream.read(1) or sys.exit("closed")
    return json.loads(reply[:-1])

def refused(parameters, name):
    reply = call(f"io.zsd.control.{method}", parameters)
    expected = {"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": name}}
    assert reply == expected, f"{method} with {parameters}: {reply}"

WRONG = {"string": (1, True, [], {}), "int": ("1", 1.5, True, []), "bool": (1, "true", []), "[string]string": ("x", [])}
text = call("org.varlink.service.GetInterfaceDescription", {"interface": "io.zsd.control"})["parameters"]["description"]
text = re.sub("#.*", "", text)
checked = 0
for method, inputs in re.findall(r"method (\w+)\s*\((.*?)\)\s*->", text, re.DOTALL):
    fields = re.findall(r"(\w+): (\??)([\w\[\]]+)", inputs)
    required = [name for name, optional, kind in fields if not optional]
    refused({"nonsense": 1}, "nonsense")
    if required:
        refused({}, required[0])
    for name, optional, kind in fields:
        for value in WRONG[kind]:
            refused({name: value}, name)
            checked += 1
assert checked > 100, f"only {checked} parameters were found"
PYTHON
python3 every-parameter.py "$ZSD_SOCKET" || fail "a parameter is not refused by its name"
unchanged "a parameter"

step "unknown methods, and messages that are too long"
answered '"error":"org.varlink.service.MethodNotFound","parameters":{"method":"io.zsd.control.Frobnicate"}' \
	"${call}Frobnicate\"}"
answered '"error":"org.varlink.service.InterfaceNotFound","parameters":{"interface":"io.zsd.nothing"}' \
	'{"method":"io.zsd.nothing.List"}'
closed "a message of more than 1 MiB" "$hostile" "$ZSD_SOCKET" too-long-message
bad 2 "no such command; did you mean list?" lsit

step "devices that are unknown, busy, there already"
for command in list stats usage "set Mode=0600" remove idle recompress "writeback --type all"; do
	# shellcheck disable=SC2086
	set -- $command
	bad 32 "nothing: there is no device with this name" "$1" nothing "${@:2}"
done
bad 1 "there is a device with this name already, with another size_bytes" add vm0 --size 1M
bad 1 "there is a device with this name and these values already" add vm0 --size 16M --mem-limit 8M
exec 7<"$mnt/vm0"
state >before
bad 1 "its file is open 1 time" remove vm0
exec 7<&-
is_closed()
{
	[[ $("$ZSCTL" list -n -o OPEN vm0) -eq 0 ]]
}
eventually "vm0 is closed" is_closed
state >before

step "cold data: blocks beyond the end, ranges that end before they begin, unknown types and keys"
bad 1 "zsctl: vm0: ranges '0-4096': one ends beyond the device; stay within its blocks" writeback vm0 --ranges 0-4096
bad 1 "zsctl: vm0: ranges '5-4': one ends before it begins; write it as FIRST-LAST" writeback vm0 --ranges 5-4
bad 1 "zsctl: vm0: type 'cold': no such type; use all, idle, huge" writeback vm0 --type cold
bad 1 "zsctl: vm0: order 'oldest': no such order; use index, largest or coldest" writeback vm0 --order oldest
bad 1 "zsctl: vm0: last_block '4096': first_block is 0, and the device ends with 4095; stay between" \
	recompress vm0 --recompress zstd --blocks 0-4096
bad 1 "stay between" recompress vm0 --recompress zstd --blocks 5-4
bad 1 "zsctl: vm0: types 'cold': no such type; use idle, huge, or all" recompress vm0 --recompress zstd --types cold
bad 1 "zsctl: vm0: threshold_bytes '8192': no object takes that much; a raw block takes" \
	recompress vm0 --recompress zstd --threshold 8K
bad 1 "zsctl: vm0: recompress 'lzo': no such algorithm" recompress vm0 --recompress lzo
bad 1 "zsctl: vm0: recompress 'none': the device has no codecs for it; name some" recompress vm0 --recompress none
bad 1 "zsctl: vm0: share_percent '101': not a part of a CPU" recompress vm0 --recompress zstd --share 101
bad 1 "zsctl: vm0: batch_bytes '8388608': not what can be written at a time" writeback vm0 --batch 8M
bad 1 "stay between" idle vm0 --blocks 4095-4096
bad 1 "only zstd uses dictionaries" train vm0 --recompress lz4:1
for method in Writeback Recompress MarkIdle Train; do
	answered "$invalid\"page_index\"}" "${call}$method\",\"parameters\":{\"name\":\"vm0\",\"page_index\":1}}"
done

step "half of what is asked for can't be done"
bad 1 "Mode '9'" set vm0 MemoryLimit=4M Mode=9
bad 1 "there is no such key" set vm0 MemoryLimit=4M Color=red
bad 1 "it is read at start only" set Pool.MemoryLimit=2G Daemon.Threads=4
bad 1 "it is fixed when a device is made" set vm0 Mode=0600 BlockSize=8K

step "configuration"
# refused_config TEXT CONTENT: of a drop-in; check and reload say so, and nothing is applied.
refused_config()
{
	printf '[Pool]\nMemoryLimit=512M\n' >"$config.d/10-good.conf"
	printf '%b' "$2" >"$config.d/20-bad.conf"
	bad 1 "$config.d/20-bad.conf:$1" config check "$config"
	bad 1 "$config.d/20-bad.conf:$1" reload
	no_start "$config.d/20-bad.conf:$1"
	rm "$config.d"/*
}

# no_start TEXT: nor does another daemon start with it.
no_start()
{
	local status=0
	timeout 60 "$ZSD" -d "$test_dir/second" -c "$config" 2>errors || status=$?
	equal "the status of a daemon with '$1'" "$status" 1
	grep -qF -- "$1" errors || fail "a daemon said '$(cat errors)'; expected: $1"
}
refused_config "2: [Pool] MemoryLimit=8: a size without a unit; did you mean 8G?" '[Pool]\nMemoryLimit=8\n'
refused_config "2: [Pool] MemoryLimit=8X: not a size" '[Pool]\nMemoryLimit=8X\n'
refused_config "2: [Pool] MemoryLimit=2G # more: a comment behind the value" '[Pool]\nMemoryLimit=2G # more\n'
refused_config "3: [Pool] Compact=no: the section has this key already" '[Pool]\nCompact=no\nCompact=no\n'
refused_config "2: [Group g]: there is a section for this group already" '[Group g]\n[Group g]\n'
refused_config "1: a heading without its end" '[Pool\n'
refused_config "2: neither a heading nor a value" '[Pool]\nMemoryLimit\n'
refused_config "2: a NUL byte; this is no text" '[Pool]\n\0MemoryLimit=2G\n'

step "a device in two sections of a file is taken once"
printf '[Device vm9]\nSize=1M\n[Device vm9]\nSize=2M\n' >"$config.d/20-bad.conf"
twice="20-bad.conf:3: [Device vm9]: there is a section for this device already"
bad 1 "$twice" config check "$config"
"$ZSCTL" reload >output 2>errors
grep -qF "$twice" errors || fail "reload said '$(cat errors)'; expected: $twice"
equal "what reload has done" "$(cat output)" "Device vm9: added"
equal "the size" "$("$ZSCTL" list -n -r -o SIZE vm9)" 1M
"$ZSCTL" remove vm9

step "a bad value of a device is that device's only"
# refused_device TEXT LINES: of [Device vm9] in a drop-in, which isn't added.
refused_device()
{
	printf '[Device vm9]\nSize=1M\n%b' "$2" >"$config.d/20-bad.conf"
	bad 1 "20-bad.conf:$1" config check "$config"
	"$ZSCTL" reload >output 2>errors
	grep -qF "20-bad.conf:$1" errors || fail "reload said '$(cat errors)'; expected: $1"
	unchanged "[Device vm9] with $2"
}
refused_device "3: [Device vm9] MemoryLimit=8: a size without a unit; did you mean 8G?" 'MemoryLimit=8\n'
refused_device "3: [Device vm9] Mode=0600 # all: a comment behind the value" 'Mode=0600 # all\n'
refused_device "3: [Device vm9] Size=2M: the section has this key already" 'Size=2M\n'
rm "$config.d/20-bad.conf"

step "a drop-in that can't be read"
mkdir "$config.d/20-bad.conf"
bad 1 "20-bad.conf: can't be read: not a file" config check "$config"
bad 1 "20-bad.conf: can't be read: not a file" reload
no_start "20-bad.conf: can't be read: not a file"
rmdir "$config.d/20-bad.conf"
ln -s "$test_dir/nothing" "$config.d/20-bad.conf"
bad 1 "20-bad.conf: can't be read: No such file or directory" config check "$config"
bad 1 "20-bad.conf: can't be read: No such file or directory" reload
no_start "20-bad.conf: can't be read: No such file or directory"
rm "$config.d/20-bad.conf"
if [[ $EUID -eq 0 ]]; then
	printf '[Pool]\n' >"$config.d/20-bad.conf"
	chmod 600 "$config.d/20-bad.conf"
	refused "20-bad.conf: can't be read: Permission denied" setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$ZSCTL" config check "$config"
	rm "$config.d/20-bad.conf"

	step "permission denied"
	status=0
	setpriv --reuid=65534 --regid=65534 --clear-groups "$ZSCTL" remove vm0 2>errors || status=$?
	grep -qF "no permission" errors || fail "a stranger is told '$(cat errors)'"
	equal "the status without permission to connect" "$status" 3
	chmod 666 "$ZSD_SOCKET"
	status=0
	setpriv --reuid=65534 --regid=65534 --clear-groups "$ZSCTL" remove vm0 2>errors || status=$?
	grep -qF "permission" errors || fail "a stranger is told '$(cat errors)'"
	equal "the status without permission to change" "$status" 1
	unchanged "a stranger"
fi

step "the daemon is as good as before"
"$ZSCTL" set vm0 MemoryLimit=4M
"$ZSCTL" remove vm0
stop_daemon
