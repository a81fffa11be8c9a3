#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Dictionaries, as users have them.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need python3

start_daemon

# Records that have much in common with others, and nothing with themselves: 16 pieces of 32 KiB of noise, each followed
# by noise of its own.
records()
{
	python3 - "$1" "$2" <<'END'
import random, sys
kind, blocks = int(sys.argv[1]), int(sys.argv[2])
common = random.Random(kind).randbytes(4096)
fresh = random.Random(kind + 1000)
for _ in range(blocks * 32):
    at = fresh.randrange(4000)
    sys.stdout.buffer.write(common[at:at + 96] + fresh.randbytes(128 - len(common[at:at + 96])))
END
}

# dictionary EXPRESSION: of the list, as JSON.
dictionary()
{
	"$ZSCTL" dictionaries disk --json |
		python3 -c "import json, sys; d = json.load(sys.stdin)['dictionaries']; print($1)"
}

step "a dictionary that pays is kept"
add disk 16M --recompress zstd:3
records 1 4096 >data
dd if=data of="$mnt/disk" bs=1M conv=notrunc status=none
"$ZSCTL" train disk --size 16K >said || fail "training failed"
grep -q '^kept as version 1: would save .* and takes ' said || fail "$(cat said)"
before=$("$ZSCTL" list disk --bytes --noheadings --output TOTAL)
"$ZSCTL" recompress disk --again >said || fail "recompression failed"
after=$("$ZSCTL" list disk --bytes --noheadings --output TOTAL)
[[ $((after * 4)) -lt $((before * 3)) ]] || fail "$before bytes have become $after"
cmp data "$mnt/disk" || fail "other data"
seen=$(dictionary 'd[0]["version"], d[0]["current"], d[0]["damaged"], d[0]["blocks"] > 3000')
equal "version, current, damaged, needed" "$seen" '1 True False True'
"$ZSCTL" dictionaries disk --output-all | grep '^ *1 *yes' >/dev/null ||
	fail "$("$ZSCTL" dictionaries disk --output-all)"
pool_bytes() { python3 -c "import json, sys; print(json.load(sys.stdin)[\"pool\"][\"dictionary_bytes\"])"; }
equal "what the pool counts" "$("$ZSCTL" stats --json | pool_bytes)" "$(dictionary 'd[0]["memory_bytes"]')"

step "the same again is not"
"$ZSCTL" train disk --size 16K >said
grep -q '^not kept: would save .* and takes ' said || fail "$(cat said)"

step "an old version goes when no block needs it"
records 2 4096 >data
dd if=data of="$mnt/disk" bs=1M conv=notrunc status=none
"$ZSCTL" train disk --size 16K --json >said || fail "training failed"
grep -q '"version": *2' said || fail "$(cat said)"
"$ZSCTL" tasks | grep 'train *done *disk' >/dev/null || fail "$("$ZSCTL" tasks)"
"$ZSCTL" recompress disk --again >said || fail "recompression failed"
[[ $(dictionary '[x["version"] for x in d]') == "[2]" ]] || fail "$("$ZSCTL" dictionaries disk)"
cmp data "$mnt/disk" || fail "other data"

step "noise has nothing in common"
add noise 4M
dd if=/dev/urandom of="$mnt/noise" bs=1M count=4 conv=notrunc status=none
"$ZSCTL" train noise --recompress zstd:1 >said || fail "training failed"
grep -q '^not kept: would save 0B* and takes ' said || fail "$(cat said)"
[[ -z $("$ZSCTL" dictionaries noise --noheadings) ]] || fail "there is one"

step "what can't be is refused, and said"
add empty 1M --recompress zstd:3
"$ZSCTL" train empty >said 2>&1 && fail "an empty device teaches something"
grep -q 'too few blocks in memory to learn from' said || fail "$(cat said)"
refused "disk2: there is no device with this name" "$ZSCTL" train disk2
refused "there is no device with this name" "$ZSCTL" dictionaries disk2
refused "only zstd uses dictionaries; name it, as in zstd:3" "$ZSCTL" train noise
refused "only zstd uses dictionaries" "$ZSCTL" train disk --recompress lz4:1
refused "use 4K to 128K" "$ZSCTL" train disk --size 1M
refused "use 4K to 128K" "$ZSCTL" train disk --size 1K

step "one that is being trained can be removed, and a task cancelled"
task=$("$ZSCTL" train disk --size 128K --detach | awk '{ print $2 }')
remove disk
ended() { "$ZSCTL" tasks --noheadings --raw --output TASK,STATE | grep -E "^$task (failed|cancelled|done)" >/dev/null; }
eventually "the training of a removed device ends" ended
task=$("$ZSCTL" train noise --recompress zstd:19 --detach | awk '{ print $2 }')
"$ZSCTL" cancel "$task" || "$ZSCTL" tasks | grep "$task *train *done" >/dev/null || fail "it can't be cancelled"
eventually "the cancelled training ends" ended
stop_daemon
