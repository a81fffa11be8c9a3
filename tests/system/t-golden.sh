#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Golden outputs: the text of tables about known data, the headings of all tables, and the type of every member of every
# JSON that zsctl prints. Types never change; a member that is new is added to golden/types.txt, and none goes away. And
# each reply of each method is as the text of the interface says.
#
# ZSD_GOLDEN=write: writes them anew.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

golden=$SOURCE/tests/system/golden

# same FILE: what is on stdin must be what is in the golden file.
same()
{
	cat >"$test_dir/$1"
	if [[ ${ZSD_GOLDEN:-} == write ]]; then
		{
			echo "# SPDX-License-Identifier: LGPL-2.1-or-later"
			cat "$test_dir/$1"
		} >"$golden/$1"
	fi
	diff -u <(grep -v '^#' "$golden/$1") "$test_dir/$1" >&2 || fail "golden/$1 differs, see above"
}

cat >zsd.conf <<END
[Pool]
Accounting=yes
MemoryLimit=512M
RecompressAfter=never
[Writeback]
Backing=$test_dir/backing
Size=64M
DailyLimit=1G
TotalLimit=1G
IdleAfter=never
END
start_daemon --config "$test_dir/zsd.conf"
"$ZSCTL" add vm0 --size 64M --mem-limit 32M --group guests --recompress zstd:3 >/dev/null
"$ZSCTL" add vm1 --size 1G --algorithm zstd:9 --block-size 16K --cache kernel --mode 0640 >/dev/null
python3 - "$mnt/vm0" "$mnt/vm1" <<'END'
import hashlib, os, sys
# Noise that is the same each time, on a boundary of 4 KiB and of 16 KiB.
noise = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(1 << 15))
for path in sys.argv[1:]:
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"abcd" * (1 << 18), 0)
    os.pwrite(fd, noise, 1 << 20)
    os.fsync(fd)
    os.close(fd)
END

step "tables"
{
	"$ZSCTL" list -o NAME,STATE,ALGORITHM,SIZE,DATA,COMPR,SAME,COMPRESSED,INCOMPRESSIBLE,WRITTEN-BACK
	echo
	"$ZSCTL" list -o NAME,BLOCK-SIZE,LIMIT,GROUP,CACHE,MODE
	echo
	"$ZSCTL" list -b -r -o NAME,SIZE,DATA,COMPR,LIMIT
	echo
	"$ZSCTL" list -P -o NAME,SIZE,LIMIT
	echo
	"$ZSCTL" usage -o TYPE,DATA,STORED,RATIO,SHARE
	echo
	"$ZSCTL" groups -o NAME,DEVICES,DATA,COMPR,LIMIT
	echo
	# Without headings libsmartcols makes the columns as wide as them (2.38), or does not (2.41).
	"$ZSCTL" stats -n -o NAME,WRITTEN,DISCARDED,NO-SPACE,ERRORS,SAME-BLOCKS,OBJECTS,INCOMPRESSIBLE | tr -s ' '
} | sed 's/ *$//' | same tables.txt

step "cold data"
# Records that have much in common with others, and little with themselves.
add records 4M --recompress zstd:3
add empty 1M --recompress zstd:3
python3 - "$mnt/records" <<'END'
import random, sys
common, fresh = random.Random(1).randbytes(4096), random.Random(2)
with open(sys.argv[1], "r+b") as device:
    for _ in range(1024 * 32):
        at = fresh.randrange(4000)
        device.write(common[at:at + 96] + fresh.randbytes(32))
END
"$ZSCTL" train records --size 16K --quiet
! "$ZSCTL" train empty >train-empty 2>&1 || fail "there is something to learn from nothing"
"$ZSCTL" recompress vm0 --quiet
"$ZSCTL" writeback vm1 --max-blocks 16 --quiet
"$ZSCTL" set Pool.MemoryLimit=256M
"$ZSCTL" group guests --mem-limit 64M
dd if="$mnt/vm0" of=/dev/null bs=4K count=8 iflag=direct status=none
fallocate -p -o 0 -l 4096 "$mnt/vm0"

step "headings"
for table in list usage "stats vm0" "stats --owners" iostat "iostat -l" "ages vm0" tasks "dictionaries records" \
	backing groups classes caches; do
	echo "$table:"
	# shellcheck disable=SC2086
	"$ZSCTL" $table | grep -E '^ *[A-Z][A-Z-]+( +[A-Z0-9-]+)+$' | tr -s ' '
done | same headings.txt

step "types of JSON"
cat >members.py <<'END'
import json, os, re, subprocess, sys
zsctl, seen = sys.argv[1], {}

def walk(where, value):
    kind = {dict: "object", list: "array", str: "string", bool: "bool", int: "int", float: "float"}[type(value)]
    if seen.setdefault(where, kind) != kind:
        sys.exit("%s is %s and %s" % (where, seen[where], kind))
    if kind == "object":
        for name, member in value.items():
            walk("%s.%s" % (where, name), member)
    if kind == "array":
        for member in value:
            walk(where + "[]", member)

def run(words):
    # Some of what doctor finds is wrong.
    done = subprocess.run([zsctl, "-J"] + words.split(), stdout=subprocess.PIPE)
    if done.returncode and words != "doctor":
        sys.exit("%s fails" % words)
    return done.stdout

JSON = {"list": "", "status": "", "usage": "", "stats": "", "stats --owners": "", "groups": "", "classes": "",
        "caches": "", "compact": "", "iostat -l": "", "iostat -w": "", "doctor": "", "dump-config": "", "reload": "",
        "add": "new --size 1M", "ages": "vm0", "backing": "", "dictionaries": "records", "idle": "records",
        "recompress": "records --again", "recompress --detach": "vm0", "train": "records --size 16K",
        "writeback": "records --max-blocks 16", "tasks": ""}
# These print nothing, or the same text, with --json; what attach prints is asked for in t-mount.sh.
NOTHING = {"set": "new Mode=0640", "group": "guests --mem-limit 64M", "log-level": "info", "reset": "new --yes",
           "remove": "new"}
OTHERS = {"attach", "detach", "mount", "umount", "cancel", "config", "metrics", "monitor", "run", "top"}
help = subprocess.run([zsctl, "--help"], check=True, stdout=subprocess.PIPE).stdout.decode()
commands = set(re.findall(r"^  ([a-z][a-z-]*) ", help[help.index("Commands:"):help.index("Options")], re.M))
known = {command.split()[0] for command in JSON} | set(NOTHING) | OTHERS
if known != commands:
    sys.exit("this test does not know %s, or they are gone" % sorted(known ^ commands))
for command, names in JSON.items():
    walk(command, json.loads(run("%s %s" % (command, names))))
for command, names in NOTHING.items():
    if run("%s %s" % (command, names)):
        sys.exit("%s prints something" % command)
monitor = subprocess.Popen([zsctl, "monitor", "0.1"], stdout=subprocess.PIPE)
for line in monitor.stdout:
    event = json.loads(line)
    walk("monitor", event)
    if event["event"] == "ready":
        break
monitor.terminate()
monitor.wait()
for where in sorted(seen):
    print(where, seen[where])
END
python3 members.py "$ZSCTL" | grep -v '^doctor.*remedy\|compaction_end\|^dump-config\.' | same types.txt

step "replies are what the interface says"
cat >replies.py <<'END'
import json, socket, sys
sys.path.insert(0, sys.argv[2])
from varlink_schema import Interface, Wrong
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
stream = client.makefile("rb")

def call(method, parameters, more=False):
    client.sendall(json.dumps({"method": method, "parameters": parameters, "more": more}).encode() + b"\0")
    reply = b""
    while not reply.endswith(b"\0"):
        reply += stream.read(1) or sys.exit("closed")
    return json.loads(reply[:-1])

name = {"name": "records"}
CALLS = {
    "Add": [{"name": "new", "size_bytes": 1 << 20, "mode": "0600"}], "Set": [{"values": {"Daemon.LogLevel": "info"}}],
    "Reset": [{"name": "new"}], "Remove": [{"name": "new", "force": True}],
    "List": [{}, name], "Stats": [{}, name, {"changed_since": 0}], "Latencies": [{}], "Usage": [{}, name],
    "Groups": [{}], "SetGroupLimit": [{"name": "guests", "memory_limit_bytes": 1 << 26}], "Owners": [{}],
    "Classes": [{}, {"all": True}], "Caches": [{}], "Compact": [{}], "Status": [{}], "Reload": [{}], "Ages": [name],
    "MarkIdle": [name], "Recompress": [name], "Train": [name], "CancelTask": [{"task": 1}],
    "Writeback": [dict(name, max_blocks=1)], "Dictionaries": [name], "Backing": [{}], "Tasks": [{}, {"task": 1}],
    "SetDailyLimit": [{"daily_limit_bytes": 1 << 30}], "SetTotalLimit": [{"total_limit_bytes": 1 << 30}],
    "Monitor": [{}],
}
text = call("org.varlink.service.GetInterfaceDescription", {"interface": "io.zsd.control"})
control = Interface(text["parameters"]["description"])
if CALLS.keys() != control.methods.keys():
    sys.exit("this test does not know %s, or they are gone" % sorted(CALLS.keys() ^ control.methods.keys()))
errors = 0
try:
    for method, all_parameters in CALLS.items():
        for parameters in all_parameters:
            control.check(method, control.methods[method][0], parameters)
            reply = call("io.zsd.control." + method, parameters, method == "Monitor")
            error = reply.get("error", "").rpartition(".")[2]
            kind = control.errors[error] if error else control.methods[method][1]
            control.check(error or method, kind, reply.get("parameters", {}))
            errors += bool(error)
except Wrong as wrong:
    sys.exit(str(wrong))
# The task has ended.
if errors != 1:
    sys.exit("%d calls failed" % errors)
END
python3 replies.py "$ZSD_SOCKET" "$SOURCE/tests/support" || fail "a reply is not what the interface says"
stop_daemon
