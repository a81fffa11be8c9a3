#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Metrics: the text is what the format asks for, says what stats says, and is for everybody who can reach its socket.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

reader=$SOURCE/tests/support/prometheus.py

# value NAME LABELS: of a sample, by its exact text.
value()
{
	"$ZSCTL" metrics | awk -v name="$1$2" '$1 == name { print $2 }'
}

step "the reader refuses what is wrong"
head=$'# HELP a_total A.\n# TYPE a_total counter\n'
for bad in 'a_total 1' $'# TYPE a_total counter\na_total 1\n' "${head}a_total 1"$'\n'"a_total 1"$'\n' \
	"${head}b 1"$'\n' "${head}a_total  1"$'\n' "${head}a_total{x=\"\"\"} 1"$'\n' \
	"${head}a_total{x=\"\\t\"} 1"$'\n' \
	"${head}a_total -1"$'\n' "${head}${head}" "${head}a_total one"$'\n' "${head}a_total{x=\"1\",x=\"2\"} 1"$'\n'; do
	! printf '%s' "$bad" | python3 "$reader" 2>/dev/null || fail "the reader takes '$bad'"
done
equal "the samples of a good text" "$(printf '%sa_total{x="\\\\\\""} 1\n' "$head" | python3 "$reader")" 1

start_daemon
step "a daemon without devices"
"$ZSCTL" metrics | python3 "$reader" >/dev/null || fail "not Prometheus"

add vm0 64M
add 'odd "name" \back' 64M --algorithm zstd
head -c 4M /dev/urandom >data
for file in "$mnt/vm0" "$mnt/odd \"name\" \\back"; do
	dd if=data of="$file" bs=1M conv=notrunc oflag=direct status=none
done
dd if="$mnt/vm0" of=/dev/null bs=1M count=4 iflag=direct status=none

step "Prometheus and OpenMetrics"
"$ZSCTL" metrics >text
python3 "$reader" <text >/dev/null || fail "not Prometheus"
"$ZSCTL" metrics --format openmetrics | python3 "$reader" --openmetrics >/dev/null || fail "not OpenMetrics"
if command -v promtool >/dev/null; then
	promtool check metrics <text || fail "promtool does not like it"
fi
grep -qF 'zsd_device_size_bytes{device="odd \"name\" \\back"} 67108864' text || fail "the name is not escaped"
refused "use prometheus or openmetrics" "$ZSCTL" metrics --format json

step "the same numbers as elsewhere"
equal "written" "$(value zsd_device_written_bytes_total '{device="vm0"}')" "$(stat_of vm0 written_bytes)"
equal "reads" "$(value zsd_device_io_seconds_count '{device="vm0",op="read"}')" "$(stat_of vm0 reads)"
equal "incompressible" "$(value zsd_device_data_bytes '{device="vm0",class="incompressible"}')" $((4 << 20))
equal "peak" "$(value zsd_device_memory_peak_bytes '{device="vm0"}')" "$(stat_of vm0 memory_peak_bytes)"
[[ $(stat_of vm0 memory_peak_bytes) -ge $((4 << 20)) ]] || fail "the peak is below what is in use"
equal "used" "$(value zsd_pool_memory_used_bytes '')" "$(pool_stat used_bytes)"
for codec in lz4 zstd; do
	seconds=$(value zsd_compress_seconds_total "{algorithm=\"$codec\"}") usec=$(pool_stat "${codec}_compress_usec")
	[[ $usec -gt 0 ]] || fail "$codec has taken no time"
	equal "the time of $codec" "$((10#${seconds/./} / 1000))" "$usec"
done

step "what was compacted by command, as zsctl backing says"
for ((i = 0; i < 1024; i += 2)); do
	fallocate -p -o $((i * 4096)) -l 4096 "$mnt/vm0"
done
wait_for_free
"$ZSCTL" compact >/dev/null
compacted=$(value zsd_cold_compacted_bytes_total '{reason="command"}')
[[ $compacted -gt 0 ]] || fail "it has freed nothing"
equal "by backing" "$("$ZSCTL" backing -n -r -b -o REASON,COMPACTED | awk '$1 == "command" { print $2 }')" "$compacted"
equal "in all" "$(pool_stat compacted_bytes)" "$compacted"
equal "by others" "$(value zsd_cold_compacted_bytes_total '{reason="pool-limit"}')" 0

step "the same for systemd-report"
"$ZSCTL" metrics >text
python3 - "$runtime/io.zsd.metrics" text <<'END' || fail "io.systemd.Metrics says something else"
import json, re, socket, sys

def ask(method, **more):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(sys.argv[1])
    s.sendall(json.dumps({"method": "io.systemd.Metrics." + method, **more}).encode() + b"\0")
    stream, replies = s.makefile("rb"), []
    while True:
        message = b""
        while not message.endswith(b"\0"):
            message += stream.read(1) or sys.exit("closed")
        replies.append(json.loads(message[:-1]))
        if not replies[-1].get("continues"):
            return replies

def name(stem):
    return "io.zsd." + "".join(word.capitalize() for word in stem[len("zsd_"):].split("_"))

if ask("List")[0].get("error") != "org.varlink.service.ExpectedMore":
    sys.exit("a list in one reply")
types, samples = {}, {}
for line in open(sys.argv[2]):
    if line.startswith("# TYPE "):
        _, _, stem, kind = line.split()
        histogram = kind == "histogram"
        if not histogram:
            types[name(stem)] = kind
    elif not line.startswith("#") and not histogram:
        stem, labels, value = re.fullmatch(r"(\w+)(\{.*\})? (\S+)\n", line).groups()
        pairs = [(key, text.replace('\\"', '"').replace("\\\\", "\\"))
                 for key, text in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")]
        samples[name(stem), tuple(sorted(pairs))] = float(value)
listed = {}
for reply in ask("List", more=True):
    metric = reply["parameters"]
    pairs = list(metric.get("fields", {}).items())
    if "object" in metric:
        pairs.append(("device", metric["object"]))
    listed[metric["name"], tuple(sorted(pairs))] = float(metric["value"])
described = {reply["parameters"]["name"]: reply["parameters"]["type"] for reply in ask("Describe", more=True)}
if len(samples) < 20 or described != types:
    sys.exit("described: %s, not %s" % (described, types))
if set(listed) != set(samples):
    sys.exit("listed: %s" % sorted(set(listed) ^ set(samples)))
# Some change with the time.
differ = [key for key in listed if listed[key] != samples[key] and "Pool" not in key[0]]
if differ:
    sys.exit("differ: %s" % [(key, listed[key], samples[key]) for key in differ])
END

step "the socket for metrics has nothing else"
sockets=("$runtime/io.zsd.control" "$runtime/io.zsd.metrics")
equal "the modes" "$(stat -c %a "${sockets[@]}" | xargs)" "660 666"
refused "the daemon does not know this command" "$ZSCTL" --socket "${sockets[1]}" list
refused "the daemon does not know this command" "$ZSCTL" --socket "${sockets[1]}" remove vm0
"$ZSCTL" --socket "${sockets[1]}" metrics | python3 "$reader" >/dev/null || fail "the socket for metrics has none"
if [[ $EUID -eq 0 ]]; then
	setpriv --reuid=65534 --regid=65534 --clear-groups "$ZSCTL" metrics | python3 "$reader" >/dev/null ||
		fail "an ordinary user can't read metrics"
	refused "no permission" setpriv --reuid=65534 --regid=65534 --clear-groups "$ZSCTL" list
fi

step "hundreds of devices come in several replies, and in one"
python3 - "${sockets[0]}" <<'END'
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
replies = s.makefile("rb")
for i in range(200):
    name = "a-device-whose-name-makes-for-a-longer-text-of-metrics-%d" % i
    s.sendall(json.dumps({"method": "io.zsd.control.Add",
                          "parameters": {"name": name, "size_bytes": 1 << 20}}).encode() + b"\0")
    while replies.read(1) != b"\0":
        pass
END
"$ZSCTL" metrics >text
[[ $(wc -c <text) -gt 270000 ]] || fail "the text is too short to be cut"
equal "devices" "$(grep -c '^zsd_device_size_bytes' text)" 202
python3 "$reader" <text >/dev/null || fail "not Prometheus in several replies"
python3 - "${sockets[1]}" <<'END' | python3 "$reader" >/dev/null || fail "not Prometheus in one reply"
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"method":"io.zsd.metrics.Render"}\0')
reply = b""
while not reply.endswith(b"\0"):
    reply += s.recv(1 << 20)
print(json.loads(reply[:-1])["parameters"]["text"], end="")
END
stop_daemon
[[ ! -e ${sockets[1]} ]] || fail "the socket is left behind"
