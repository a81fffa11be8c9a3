#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each error that io.zsd.control names: what a program gets, and what zsctl says and ends with.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/freeze.sh"
need_root

config=$test_dir/zsd.conf
seen=()

# has_error NAME METHOD PARAMETERS STATUS TEXT ARGUMENT...: of a raw call with these parameters, and of zsctl. What
# follows on more lines is not looked at.
has_error()
{
	local name=$1 method=$2 parameters=$3 expected=$4 text=$5 status=0
	shift 5
	"$BUILD/tests/system/hostile" "$ZSD_SOCKET" call \
		"{\"method\":\"io.zsd.control.$method\",\"parameters\":$parameters}" >reply ||
		fail "$method is not answered"
	grep -qF "{\"error\":\"io.zsd.control.$name\",\"parameters\":{" reply || fail "$method is answered $(cat reply)"
	"$ZSCTL" "$@" >output 2>errors || status=$?
	[[ $(head -n 1 errors) == "zsctl: $text"* ]] || fail "'$*' said '$(cat errors)'; expected: $text"
	equal "the status of '$*'" "$status" "$expected"
	[[ ! -s output ]] || fail "'$*' printed '$(cat output)'"
	seen+=("$name")
}

: >"$config"
# What a thread reserves for its stack, below.
ulimit -S -s 8192
start_daemon --config "$config"
add vm0 16M

step "devices and groups that are unknown, there already, or open"
has_error NoSuchDevice Stats '{"name":"x"}' 32 "x: there is no device with this name" stats x
has_error NoSuchGroup SetGroupLimit '{"name":"x","memory_limit_bytes":4096}' 1 \
	"x: there is no group with this name" group x --mem-limit 4K
has_error DeviceExists Add '{"name":"vm0","size_bytes":4096}' 1 \
	"vm0: there is a device with this name already, with another size_bytes" add vm0 --size 4K
exec 7<"$mnt/vm0"
has_error DeviceBusy Remove '{"name":"vm0"}' 1 "vm0: in use, its file is open 1 time; close it" remove vm0
exec 7<&-

step "values that can't be"
has_error InvalidValue Set '{"name":"vm0","values":{"Mode":"9"}}' 1 "Mode '9': " set vm0 Mode=9
has_error DeviceTooLarge Add "{\"name\":\"x\",\"size_bytes\":$((1 << 62))}" 1 \
	"size 4096P: the slot tables have room for" add x --size 4096P

step "what the configuration does not have, or has wrong"
has_error AccountingOff Owners '{}' 1 "accounting is off; set Accounting=yes" stats --owners
has_error NoBacking Writeback '{}' 1 "there is no backing file; name one with Backing=" writeback
printf '[Pool]\nMemoryLimit=8\n' >"$config"
has_error ConfigRefused Reload '{}' 1 "$config:2: [Pool] MemoryLimit=8: a size without a unit" reload
: >"$config"

step "what the system refuses: no room for one more thread"
memory=$(awk '/^VmSize:/ { print $2 }' "/proc/$daemon/status")
prlimit --pid "$daemon" --as=$(((memory + 4096) * 1024)):
has_error System Recompress '{"name":"vm0","recompress":"zstd"}' 1 \
	"starting the task: Resource temporarily unavailable (EAGAIN); the daemon's log may say more" \
	recompress vm0 --recompress zstd
prlimit --pid "$daemon" --as=unlimited:

step "tasks: unknown, and too many"
has_error NoSuchTask CancelTask '{"task":99}' 1 "task 99: " cancel 99
recompress='{"method":"io.zsd.control.Recompress","parameters":{"name":"vm0","recompress":"zstd"}}'
"$ZSCTL" recompress vm0 --recompress zstd >/dev/null
freeze_thread zsd-tasks
for ((i = 0; i < 64; i++)); do
	"$BUILD/tests/system/hostile" "$ZSD_SOCKET" call "$recompress" >reply
done
has_error TooManyTasks Recompress '{"name":"vm0","recompress":"zstd"}' 1 \
	"tasks: as many wait as can; wait for one, or cancel one" recompress vm0 --recompress zstd
end_process "${started[-1]}"

step "as many groups and devices as there can be"
cat >fill.py <<'PYTHON'
import json, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
stream = client.makefile("rb")
number = 0
for more in ({"group": "g%d"}, {}):
    reply = {}
    while "error" not in reply:
        number += 1
        parameters = {"name": f"d{number}", "size_bytes": 4096}
        parameters.update((key, value % number) for key, value in more.items())
        client.sendall(json.dumps({"method": "io.zsd.control.Add", "parameters": parameters}).encode() + b"\0")
        text = b""
        while not text.endswith(b"\0"):
            text += stream.read1()
        reply = json.loads(text[:-1])
    print(reply["error"], reply["parameters"]["limit"])
PYTHON
equal "what is refused in the end" "$(python3 fill.py "$ZSD_SOCKET")" "io.zsd.control.TooManyGroups 256
io.zsd.control.TooManyDevices 4096"
has_error TooManyDevices Add '{"name":"x","size_bytes":4096}' 1 \
	"store: it holds as many devices as it can; remove one first" add x --size 4K
"$ZSCTL" remove d300
has_error TooManyGroups Add '{"name":"x","size_bytes":4096,"group":"more"}' 1 \
	"more: no room for one more group; use one that exists" add x --size 4K --group more

step "there is no other one"
equal "the errors" "$("$BUILD/tests/system/hostile" "$ZSD_SOCKET" call \
	'{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.zsd.control"}}' |
	grep -o '\\nerror [A-Za-z]*' | cut -d ' ' -f 2 | sort | xargs)" "$(printf '%s\n' "${seen[@]}" | sort | xargs)"
