#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Groups of devices: one limit for several devices, from the configuration and changed while they are written; and
# accounts of who has how much on which node.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

MIB=$((1 << 20))

# fill FILE: random blocks until there is no room; prints how many bytes fit.
fill()
{
	dd if=/dev/urandom of="$1" bs=64K iflag=fullblock conv=notrunc status=none 2>/dev/null || true
	python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size, at, data = os.fstat(fd).st_size, 0, 0
while True:
    try:
        start = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        break
    at = os.lseek(fd, start, os.SEEK_HOLE)
    data += at - start
print(data)' "$1"
}

# group_of NAME FIELD: what `zsctl groups` says; "none" if it says nothing.
group_of()
{
	"$ZSCTL" groups -J "$1" | python3 -c '
import json, sys
print(json.load(sys.stdin)["groups"][0].get(sys.argv[1], "none"))' "$2"
}

# between WHAT VALUE FROM TO
between()
{
	[[ $2 -ge $3 && $2 -le $4 ]] || fail "$1 is $2, not $3 to $4"
}

step "a limit from the configuration holds for all devices of the group"
cat >"$test_dir/zsd.conf" <<-END
	[Pool]
	MemoryLimit=128M
	Accounting=yes

	[Group vms]
	MemoryLimit=16M

	[Device vm0]
	Size=64M
	Group=vms

	[Device other]
	Size=64M
END
start_daemon --config "$test_dir/zsd.conf"
equal "the limit" "$(group_of vms memory_limit_bytes)" $((16 * MIB))
add vm1 64M --group vms
equal "devices" "$(group_of vms devices)" 2
first=$(fill "$mnt/vm0")
between "what fits into the group" "$first" $((15 * MIB)) $((16 * MIB))
between "what still fits into its other device" "$(fill "$mnt/vm1")" 0 $((MIB / 2))
between "what counts" "$(group_of vms charged_bytes)" $((15 * MIB)) $((16 * MIB))
equal "refused writes" "$(($(stat_of vm1 no_space) > 0))" 1
equal "another device is not concerned" "$(fill "$mnt/other")" $((64 * MIB))
equal "columns" "$("$ZSCTL" list -r -n -o NAME,GROUP vm0 vm1 other)" $'vm0 vms\nvm1 vms\nother '
equal "columns of stats" "$("$ZSCTL" stats -r -n -o GROUP vm0)" vms
equal "the sum of data" "$(group_of vms data_bytes)" $(($(stat_of vm0 data_bytes) + $(stat_of vm1 data_bytes)))
equal "the sum of memory" "$(group_of vms memory_bytes)" $(($(stat_of vm0 memory_bytes) + $(stat_of vm1 memory_bytes)))

step "accounts say who has how much"
"$ZSCTL" stats --owners -J >owners.json
python3 - owners.json "$(stat_of vm0 stored_bytes)" "$(stat_of vm1 stored_bytes)" <<'END' || fail "the accounts differ"
import json, sys
answer = json.load(open(sys.argv[1]))
rows = answer["owners"]
def total(field, **what):
    return sum(row[field] for row in rows if all(row.get(key) == value for key, value in what.items()))
assert total("stored_bytes", kind="device", name="vm0") == int(sys.argv[2]), rows
for field in "stored_bytes", "share_bytes":
    assert total(field, kind="device") == answer[field], (field, answer)
    assert total(field, kind="device", group="vms") == total(field, kind="group", name="vms"), (field, rows)
assert total("stored_bytes", kind="group") == int(sys.argv[2]) + int(sys.argv[3])
assert answer["nodes"] >= 1 and all(row["node"] < answer["nodes"] for row in rows)
END
equal "rows of one device" "$("$ZSCTL" stats --owners vm0 -r -n -o KIND,NAME,GROUP | sort -u)" "device vm0 vms"
equal "rows of one node" "$("$ZSCTL" stats --owners vm0 --node 0 -r -n -o NAME,NODE)" "vm0 0"
refused "node '99': there is no such node; use" "$ZSCTL" stats --owners --node 99
refused "nobody: there is no device with this name" "$ZSCTL" stats --owners nobody
refused "not a node" "$ZSCTL" stats --owners --node first
refused "add --owners" "$ZSCTL" stats --node 0

step "a limit that is changed while data is there"
"$ZSCTL" group vms --mem-limit 20M
more=$(fill "$mnt/vm1")
between "what fits now" "$((first + more))" $((19 * MIB)) $((20 * MIB))
"$ZSCTL" group vms --mem-limit 1M
equal "a limit below the use is taken" "$(group_of vms memory_limit_bytes)" "$MIB"
refused "No space left" dd if=/dev/urandom of="$mnt/vm1" bs=4K count=1 seek=16000 conv=notrunc
check "overwriting" dd if=/dev/urandom of="$mnt/vm0" bs=64K count=$((first / 65536)) conv=notrunc iflag=fullblock \
	status=none
"$ZSCTL" group vms --mem-limit none
equal "no limit" "$(group_of vms memory_limit_bytes)" none
check "writing without a limit" dd if=/dev/urandom of="$mnt/vm1" bs=4K count=1 seek=16000 conv=notrunc status=none

step "writers meet a limit that moves"
pids=()
for vm in vm0 vm1; do
	for ((i = 0; i < 4; i++)); do
		start bash -c "while :; do dd if=/dev/urandom of='$mnt/$vm' bs=64K count=60 \
			seek=\$((RANDOM % 900)) conv=notrunc status=none 2>/dev/null || true; done"
		pids+=($!)
	done
done
for ((i = 0; i < 20; i++)); do
	"$ZSCTL" group vms --mem-limit $((30 + i % 2 * 10))M
	sleep 0.1
done
between "what counts" "$(group_of vms charged_bytes)" "$MIB" $((41 * MIB))
for pid in "${pids[@]}"; do
	end_process "$pid"
done

step "a group goes with its last device, and what it counted with it"
"$ZSCTL" group vms --mem-limit none
"$ZSCTL" remove --force vm0 vm1
wait_for_free
refused "vms: there is no group with this name" "$ZSCTL" groups vms
refused "zsctl groups" "$ZSCTL" group vms --mem-limit 1G
equal "groups" "$("$ZSCTL" groups -n)" ""
add vm2 64M -g vms
equal "what counts in a new one" "$(group_of vms charged_bytes)" 0

step "bad input is named"
refused "group 'a/b': not a group name; use 1 to 64 bytes" "$ZSCTL" add x --size 1M --group a/b
refused "nothing to change; add --mem-limit" "$ZSCTL" group vms
refused "--mem-limit 5: a size without a unit" "$ZSCTL" group vms --mem-limit 5
refused "the name is missing" "$ZSCTL" group --mem-limit 5G
refused "not an option of list" "$ZSCTL" list --owners
stop_daemon

step "without accounting there are no accounts"
start_daemon
refused "accounting is off; set Accounting=yes" "$ZSCTL" stats --owners
stop_daemon
