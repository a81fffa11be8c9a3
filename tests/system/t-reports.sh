#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The files in .zsd: zram's formats, and the same numbers everywhere after random work.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

names_in()
{
	find "$1" -mindepth 1 -maxdepth 1 -printf "%f\n" | sort | xargs
}

start_daemon
add vm0 64M
add big 64M --algorithm zstd --block-size 16K --mem-limit 1G
reports=$mnt/.zsd

step "names"
equal "the mount" "$(names_in "$mnt")" "big vm0"
equal ".zsd" "$(names_in "$reports")" "big stats.prom vm0"
equal "a device" "$(names_in "$reports/vm0")" "bd_stat block_state comp_algorithm debug_stat io_stat mm_stat"
refused "No such file" cat "$reports/nothing/mm_stat"
refused "No such file" cat "$reports/vm0/nothing"
refused "Not a directory" cat "$reports/stats.prom/x"
refused "Is a directory" cat "$reports/vm0"

step "read only"
for what in "rm $reports/vm0/mm_stat" "touch $reports/vm0/x" "mkdir $reports/x" "mv $reports/vm0 $reports/vm1" \
	"truncate -s 1 $reports/vm0/mm_stat" "chmod 777 $reports/vm0/mm_stat" "fallocate -l 4096 $reports/vm0/io_stat" \
	"dd if=/dev/zero of=$reports/vm0/io_stat count=1 conv=notrunc"; do
	# shellcheck disable=SC2086
	! $what 2>/dev/null || fail "'$what' is allowed"
done

step "formats"
for format in 'mm_stat ( +[0-9]+){9}' 'io_stat ( +[0-9]+){4}' 'bd_stat ( +[0-9]+){3}' 'comp_algorithm \[lz4\] zstd'; do
	grep -qE "^ *${format#* }\$" <(sed 's/^/ /' "$reports/vm0/${format%% *}") ||
		fail "${format%% *} is '$(cat "$reports/vm0/${format%% *}")'"
done
equal "big's algorithm" "$(cat "$reports/big/comp_algorithm")" "lz4 [zstd]"
equal "debug_stat" "$(head -n 1 "$reports/vm0/debug_stat")" "version: 1"
equal "block_state of nothing" "$(wc -c <"$reports/vm0/block_state")" 0
equal "the limit" "$(awk '{ print $4 }' "$reports/big/mm_stat")" 1073741824

step "the same numbers everywhere after random work"
cat >work.py <<'END'
import ctypes, os, random, sys
libc = ctypes.CDLL(None, use_errno=True)
seed = int(sys.argv[1])
print("seed", seed)
rng = random.Random(seed)
text = open(sys.argv[0], "rb").read() * 64

def content(length):
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(length)
    if kind == 1:
        return rng.randbytes(4) * (length // 4)
    if kind == 2:
        return rng.randbytes(8) * (length // 8)
    if kind == 3:
        return rng.randbytes(length)
    start = rng.randrange(2000)
    return (text[start:] * (length // len(text) + 2))[:length]

for path in sys.argv[2:]:
    fd = os.open(path, os.O_RDWR)
    for _ in range(150):
        length = rng.choice([512, 4096, 8192, 65536, 262144])
        offset = rng.randrange(0, 16 << 20, 512)
        action = rng.randrange(8)
        if action < 5:
            os.pwrite(fd, content(length), offset)
        elif action < 7:
            # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
            if libc.fallocate(fd, 3, ctypes.c_long(offset), ctypes.c_long(length)):
                sys.exit("fallocate: " + os.strerror(ctypes.get_errno()))
        else:
            os.pread(fd, length, offset)
    os.close(fd)
END
cat >agree.py <<'END'
import collections, json, subprocess, sys
sys.path.insert(0, sys.argv[1])
import prometheus
zsctl, reports = sys.argv[2:4]

def ask(*words):
    return json.loads(subprocess.run([zsctl, "-J", *words], check=True, stdout=subprocess.PIPE).stdout)

def equal(what, a, b):
    if a != b:
        sys.exit("%s: %s is not %s" % (what, a, b))

text = subprocess.run([zsctl, "metrics"], check=True, stdout=subprocess.PIPE).stdout.decode()
metrics = prometheus.samples(prometheus.Reader().read(text))
prom = prometheus.samples(prometheus.Reader().read(open(reports + "/stats.prom").read()))
equal("names in stats.prom", sorted(prom), sorted(metrics))
stats = ask("stats")
total = 0
for device in ask("list")["devices"]:
    name = device["name"]
    count = next(d for d in stats["devices"] if d["name"] == name)
    usage = {row["type"]: row for row in ask("usage", name)["usage"]}
    mm = [int(word) for word in open("%s/%s/mm_stat" % (reports, name)).read().split()]
    io = [int(word) for word in open("%s/%s/io_stat" % (reports, name)).read().split()]
    bd = [int(word) for word in open("%s/%s/bd_stat" % (reports, name)).read().split()]
    states = [line.split() for line in open("%s/%s/block_state" % (reports, name))]
    flags = collections.Counter(flag for state in states for flag in state[2])
    plain = sum(state[2][:3] == "..." for state in states)
    lines = [int(state[0]) for state in states]
    block = device["block_size_bytes"]
    def metric(stem, **labels):
        return metrics[("zsd_device_" + stem, tuple(sorted({"device": name, **labels}.items())))]
    equal("DATA", device["data_bytes"], device["same_bytes"] + device["compressed_bytes"] +
          device["incompressible_bytes"] + device["written_back_bytes"])
    equal("orig_data_size", mm[0], device["data_bytes"])
    equal("compr_data_size", mm[1], device["stored_bytes"])
    equal("mem_used_total", mm[2], device["memory_bytes"])
    equal("same_pages", mm[5] * 4096, device["same_bytes"])
    equal("huge_pages", mm[7] * 4096, device["incompressible_bytes"])
    equal("bd_count", bd[0] * 4096, device["written_back_bytes"])
    equal("usage, written back", usage["written-back"]["data_bytes"], device["written_back_bytes"])
    equal("usage, data", sum(row["data_bytes"] for row in usage.values()), device["data_bytes"])
    equal("failed writes", io[1], count["no_space"])
    equal("notify_free", io[3], count["discarded_bytes"] // 4096)
    equal("usage, same", usage["same-filled"]["data_bytes"], device["same_bytes"])
    equal("usage, codecs", usage["lz4"]["data_bytes"] + usage["zstd"]["data_bytes"], device["compressed_bytes"])
    equal("usage, stored", sum(row["stored_bytes"] for row in usage.values()), device["stored_bytes"])
    equal("stats, data", count["data_bytes"], device["data_bytes"])
    equal("stats, blocks", (count["same_blocks"] + count["object_blocks"]) * block,
          device["data_bytes"] - device["written_back_bytes"])
    equal("block_state, same", flags["s"] * block, device["same_bytes"])
    equal("block_state, huge", flags["h"] * block, device["incompressible_bytes"])
    equal("block_state, the others", plain * block, device["compressed_bytes"])
    equal("block_state, written back", flags["w"] * block, device["written_back_bytes"])
    equal("block_state, order", lines, sorted(set(lines)))
    for kind in "same", "compressed", "incompressible", "written_back":
        equal("metric, " + kind, metric("data_bytes", **{"class": kind}), device[kind + "_bytes"])
    equal("metric, memory", metric("memory_bytes"), device["memory_bytes"])
    equal("metric, written", metric("written_bytes_total"), count["written_bytes"])
    equal("metric, reads", metric("reads_total"), count["reads"])
    equal("metric, discards", metric("discards_total"), count["discards"])
    equal("metric, writes timed", metric("io_seconds_count", op="write"), count["writes"])
    total += device["data_bytes"]
equal("pool", stats["pool"]["data_bytes"], total)
equal("usage of all", ask("usage")["data_bytes"], total)
equal("status", ask("status")["pool"]["data_bytes"], total)
END
# agree SEED
agree()
{
	wait_for_free
	python3 agree.py "$SOURCE/tests/support" "$ZSCTL" "$reports" || fail "the numbers don't agree, seed $1"
}

for seed in $RANDOM $RANDOM $RANDOM; do
	python3 work.py "$seed" "$mnt/vm0" "$mnt/big"
	agree "$seed"
done

step "block_state in pieces is block_state at once"
cat "$reports/vm0/block_state" >whole
for size in 1000 4096 100000; do
	dd if="$reports/vm0/block_state" bs="$size" status=none | cmp - whole || fail "it differs with bs=$size"
done
tail -c +4001 whole | cmp - <(dd if="$reports/vm0/block_state" bs=4000 skip=1 status=none) || fail "its end differs"

step "block_state tells when blocks were used, and what is idle, recompressed and incompressible"
# with LETTER: how many lines have it.
with() { awk -v letter="$1" 'index($3, letter)' "$reports/vm0/block_state" | wc -l; }
objects=$(($(wc -l <whole) - $(with s)))
[[ $objects -gt 0 && $(with h) -gt 0 ]] || fail "too little data: $objects"
equal "letters of what is new" "$(with i) $(with r) $(with n)" "0 0 0"
mapfile -t used < <(awk '$3 !~ /s/ { print $2 }' whole | sort -n | sed -n '1p; $p')
python3 -c 'import sys, time; first, last = map(float, sys.argv[1:]); now = time.monotonic()
sys.exit(not now - 900 < first <= last <= now)' "${used[@]}" ||
	fail "blocks were used at ${used[*]}"
marked=$("$ZSCTL" idle -J vm0 | field_of blocks)
# What is filled with one value may have an object, too.
[[ $marked -ge $objects ]] || fail "$marked blocks are marked, of $objects"
equal "idle blocks" "$(with i)" "$marked"
first=$(awk '$3 !~ /s/ { print $1; exit }' "$reports/vm0/block_state")
dd if="$mnt/vm0" of=/dev/null bs=4K count=1 skip="$first" iflag=direct status=none
equal "idle blocks after a read" "$(with i)" $((marked - 1))
"$ZSCTL" recompress -q vm0 --recompress zstd:3
equal "recompressed ones" "$(with r)" $((objects - $(with h)))
equal "incompressible ones" "$(with n)" "$(with h)"

step "while data is written"
while dd if="$test_dir/whole" of="$mnt/vm0" bs=16K conv=notrunc oflag=direct status=none 2>/dev/null; do :; done &
writer=$!
started+=("$writer")
for i in {1..20}; do
	sort -n -C "$reports/vm0/block_state" || fail "block_state is out of order, reading $i"
	cat "$reports"/*/mm_stat "$reports/stats.prom" >/dev/null
done
end_process "$writer"

step "stats.prom is of one piece for each of its readers"
# has_vm2: a second is what a text is kept for.
has_vm2()
{
	grep -q 'device="vm2"' "$reports/stats.prom"
}
exec 7<"$reports/stats.prom" 8<"$reports/stats.prom"
head -c 1000 >part <&7
add vm2 64M
eventually "a new text" has_vm2
for fd in 7 8; do
	cat <&"$fd" >>part
	python3 "$SOURCE/tests/support/prometheus.py" <part >/dev/null || fail "the text of $fd is torn"
	! grep -q vm2 part || fail "the text of $fd is not the one that was opened"
	: >part
done
exec 7<&- 8<&-
"$ZSCTL" remove vm2

step "a device that goes, and comes again"
exec 7<"$reports/vm0/mm_stat"
# The kernel may tell of a file that was closed after the program that did it has ended.
"$ZSCTL" remove --force vm0
! cat <&7 >/dev/null 2>&1 || fail "the file of a removed device can be read"
exec 7<&-
refused "No such file" cat "$reports/vm0/mm_stat"
add vm0 64M
equal "the new device's data" "$(awk '{ print $1 }' "$reports/vm0/mm_stat")" 0
equal "opens" "$("$ZSCTL" list -n -r -o OPEN vm0)" 0
if [[ $EUID -eq 0 ]]; then
	as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	"${as_user[@]}" cat "$reports/vm0/mm_stat" >/dev/null || fail "an ordinary user can't read mm_stat"
	refused "Permission denied" "${as_user[@]}" cat "$reports/vm0/block_state"
fi
stop_daemon

step "the same numbers everywhere after random work on cold data"
cat >zsd.conf <<END
[Writeback]
Backing=$test_dir/cold
Size=256M
IdleAfter=never
[Device vm0]
Size=64M
Recompress=zstd:3
[Device big]
Size=64M
Algorithm=zstd
BlockSize=16K
Recompress=zstd:9
END
start_daemon --config zsd.conf
for seed in $RANDOM $RANDOM; do
	python3 work.py "$seed" "$mnt/vm0" "$mnt/big"
	"$ZSCTL" recompress vm0 --blocks "0-$((RANDOM % 4096))" >/dev/null
	agree "$seed"
	for device in vm0 big; do
		"$ZSCTL" writeback "$device" --max-blocks $((RANDOM % 1000 + 200)) >/dev/null
	done
	agree "$seed"
	# Some of it is read back, and some written over.
	python3 work.py "$((seed + 1))" "$mnt/vm0" "$mnt/big"
	"$ZSCTL" recompress big --again >/dev/null
	agree "$seed"
done
for device in vm0 big; do
	[[ $(stat_of "$device" written_back_bytes) -gt 0 ]] || fail "nothing of $device is written back"
done
stop_daemon
