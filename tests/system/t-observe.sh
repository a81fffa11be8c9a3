#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# status, usage and iostat: what they print agrees with list and stats, and their JSON keeps its types.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# true_of EXPRESSION COMMAND...: python's view of what zsctl -J printed, as j; the last line if there are several.
true_of()
{
	local expression=$1
	shift
	"$ZSCTL" -J "$@" >"$test_dir/json" || fail "zsctl $* failed"
	python3 - "$expression" "$test_dir/json" <<-'END' || fail "zsctl -J $*: not true: $expression"
		import json, sys
		text = open(sys.argv[2]).read()
		try:
		    j = json.loads(text)
		except ValueError:
		    j = json.loads(text.splitlines()[-1])
		if not eval("(" + sys.argv[1] + ")"):
		    sys.exit("of " + json.dumps(j))
	END
}

# fails STATUS TEXT ARGUMENT...
fails()
{
	local expected=$1 text=$2 status=0
	shift 2
	"$ZSCTL" "$@" >"$test_dir/output" 2>&1 || status=$?
	equal "the exit status of zsctl $*" "$status" "$expected"
	grep -qF -- "$text" "$test_dir/output" || fail "zsctl $* said '$(cat "$test_dir/output")'; expected: $text"
}

start_daemon
add vm0 256M
add vm1 64M --algorithm zstd:9

step "nothing stored is zeros, not a division by zero"
true_of 'j["data_bytes"] == 0 and all(r["share"] == 0 and "ratio" not in r for r in j["usage"])' usage
true_of 'j["state"] == "active" and j["pool"]["devices"] == 2 and j["degraded_devices"] == 0' status
true_of 'all(d["reads_per_sec"] == 0 for d in j["devices"]) and len(j["devices"]) == 2' iostat
true_of 'j["devices"] == []' iostat -z

head -c 4M /dev/zero | tr '\0' 'x' >data
head -c 4M /dev/urandom >>data
{ find /usr/include -name '*.h' -exec cat {} + 2>/dev/null || true; } | head -c 8M >>data
for name in vm0 vm1; do
	dd if=data of="$mnt/$name" bs=1M conv=notrunc oflag=direct status=none
done

step "the parts of the data are all of it"
true_of 'sum(r["data_bytes"] for r in j["usage"]) == j["data_bytes"] == 32 << 20' usage
true_of 'sum(r["stored_bytes"] for r in j["usage"]) == j["stored_bytes"] < j["memory_bytes"]' usage
true_of '[r["type"] for r in j["usage"]] == ["same-filled", "lz4", "zstd", "incompressible", "written-back"]' \
	usage
true_of 'abs(sum(r["share"] for r in j["usage"]) - 1) < 1e-3' usage vm1
true_of 'all(d["data_bytes"] == d["same_bytes"] + d["compressed_bytes"] + d["incompressible_bytes"] +
	d["written_back_bytes"] for d in j["devices"])' list
true_of '[d["incompressible_bytes"] >> 20 for d in j["devices"]] == [4, 4]' list
equal "the table's total" "$("$ZSCTL" usage -b -n -r -o DATA | tail -n 1)" "$((32 << 20))"
equal "pairs" "$("$ZSCTL" usage -P vm0 -o TYPE,DATA | head -n 1)" 'TYPE="same-filled" DATA="4M"'
fails 32 "there is no device with this name" usage nothing

step "types of JSON"
true_of 'isinstance(j["usage"][1]["ratio"], float) and isinstance(j["usage"][1]["data_bytes"], int)' usage
true_of 'isinstance(j["pid"], int) and isinstance(j["version"], str) and isinstance(j["pool"]["ratio"], float)' status
true_of 'isinstance(j["devices"][0]["reads_per_sec"], float) and
	isinstance(j["devices"][0]["read_bytes_per_sec"], int)' iostat

step "iostat: the interval's own rates and latencies"
dd if="$mnt/vm0" of=/dev/null bs=64K iflag=direct count=64 status=none
true_of 'j["devices"][0]["reads_per_sec"] > 0 and j["devices"][1]["reads_per_sec"] == 0' iostat
true_of 'j["devices"][0]["reads_per_sec"] == 0 and "read_p50_ns" not in j["devices"][0]' iostat -l -y 0.1 1
while dd if="$mnt/vm0" of=/dev/null bs=4K iflag=direct count=2000 status=none 2>dd.log; do :; done &
started+=($!)
true_of 'len(j["devices"]) == 1 and
	abs(j["devices"][0]["read_bytes_per_sec"] / 4096 / j["devices"][0]["reads_per_sec"] - 1) < 0.1 and
	0 < j["devices"][0]["read_p50_ns"] <= j["devices"][0]["read_p99_ns"]' iostat -l -y vm0 1 1
true_of 'sum(r["read"] for r in j["devices"][0]["histogram"]) > 0' iostat -w vm0
true_of '[d["name"] for d in j["devices"]] == ["vm0"] and sum(r["read"] for r in j["devices"][0]["histogram"]) > 0' \
	iostat -z -w -y 1 1
end_process "${started[-1]}"
true_of 'sum(r["write"] for r in j["devices"][1]["histogram"]) == 16' iostat -w
equal "reports" "$("$ZSCTL" iostat -J 0.05 3 | wc -l)" 3
equal "lines" "$("$ZSCTL" iostat -n -r vm0 vm1 0.05 2 | wc -l)" 4
"$ZSCTL" iostat -l >table
[[ $(head -n 1 table) == NAME*READ-P99*TOTAL ]] || fail "iostat -l has the headings $(head -n 1 table)"

step "iostat: devices come, are used, and go"
# last EXPRESSION: about the devices of the last report, as d
last()
{
	python3 - "$1" reports <<-'END'
		import json, sys
		lines = open(sys.argv[2]).read().splitlines()
		d = {device["name"]: device for device in json.loads(lines[-2])["devices"]} if len(lines) > 1 else {}
		sys.exit(not eval(sys.argv[1]))
	END
}
"$ZSCTL" iostat -J 0.05 >reports &
started+=($!)
eventually "a report" last 'sorted(d) == ["vm0", "vm1"]'
add vm2 64M
eventually "a new device" last 'sorted(d) == ["vm0", "vm1", "vm2"] and d["vm2"]["data_bytes"] == 0'
dd if=data of="$mnt/vm2" bs=1M count=1 conv=notrunc oflag=direct status=none
eventually "its data" last 'd["vm2"]["data_bytes"] == 1 << 20'
remove vm0
eventually "a removed device" last 'sorted(d) == ["vm1", "vm2"]'
end_process "${started[-1]}"

step "iostat: one goes and one comes between two reports, and there are as many as before"
# has_reports NUMBER
has_reports()
{
	[[ $(wc -l <reports) -ge $1 ]]
}
: >reports
"$ZSCTL" iostat -J 1 >reports &
started+=($!)
eventually "a report" has_reports 1
remove vm2
add vm0 64M
eventually "one for another" last 'sorted(d) == ["vm0", "vm1"] and d["vm0"]["data_bytes"] == 0'
end_process "${started[-1]}"

step "iostat: a daemon before changed_since, and a name that is another device's within a second"
cat >older.py <<'PYTHON'
import json, os, socket, sys
counters = [f"{way}{what}" for way in ("", "backing_") for what in ("reads", "writes", "read_bytes", "written_bytes")]
reads = [100, 130, 0, 20]
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen()
os.rename(sys.argv[1] + ".new", sys.argv[1])
connection = listener.accept()[0]
while True:
    message = b""
    while not message.endswith(b"\0"):
        message += connection.recv(65536) or sys.exit()
    call = json.loads(message[:-1])
    device = dict.fromkeys(counters, 0)
    device.update(name="a", created_usec=10 ** 15, data_bytes=0, memory_bytes=0, discards=0, discarded_bytes=0)
    answer = {"parameters": {"pool": {"devices": 1}, "devices": [device]}}
    if "changed_since" in call.get("parameters", {}):
        answer = {"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": "changed_since"}}
    else:
        device["reads"] = reads.pop(0)
    connection.sendall(json.dumps(answer).encode() + b"\0")
PYTHON
start python3 older.py "$test_dir/older"
eventually "listening" test -S older
ZSD_SOCKET=$test_dir/older "$ZSCTL" iostat -J -z 0.05 4 >reports || fail "iostat at an older daemon"
end_process "${started[-1]}"
equal "reports at an older daemon" "$(python3 -c 'import json, sys
for line in sys.stdin:
    print([device["reads_per_sec"] > 0 for device in json.loads(line)["devices"]])' <reports | xargs)" \
	"[True] [True] [] [True]"

step "iostat: bad arguments"
fails 2 "not an interval in seconds" iostat vm0 0
fails 2 "not a number of reports" iostat 1 0
fails 2 "not a number of reports" iostat 1 1.5
fails 32 "there is no device with this name" iostat nothing 1 1
fails 2 "--latency: not an option of list" list --latency
fails 2 "did you mean --latency?" iostat --latenzy
ZSD_SOCKET=$test_dir/none fails 3 "there is no such socket" iostat 1
stop_daemon
