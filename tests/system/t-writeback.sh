#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Writing back as users see it: by command; and by policy, near the pool's limit, near a device's, and when idle. What
# can be made smaller in memory is so before anything is written.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# of_reason REASON COLUMN: of zsctl backing.
of_reason()
{
	"$ZSCTL" backing -n -r -b -o "REASON,$2" | awk -v reason="$1" '$1 == reason { print $2 }'
}

# has_written REASON
has_written()
{
	[[ $(of_reason "$1" BLOCKS) -gt 0 ]]
}

fill()
{
	dd if="$test_dir/data" of="$mnt/$1" bs=1M conv=notrunc status=none
}

same()
{
	cmp -n "$(stat -c %s "$test_dir/data")" "$test_dir/data" "$mnt/$1" || fail "$1 differs"
}

# in_memory NAME: data that is neither same-filled nor in the file.
in_memory()
{
	echo $(($(stat_of "$1" compressed_bytes) + $(stat_of "$1" incompressible_bytes)))
}

# configure [START STOP]: a daemon with standard input as its configuration, and these marks.
configure()
{
	cat >"$test_dir/zsd.conf"
	[[ $# -eq 0 ]] || cat >>"$test_dir/zsd.conf" <<-END
		[Writeback]
		Backing=$test_dir/cold
		IdleAfter=never
		StartAt=$1
		StopAt=$2
	END
	start_daemon --config "$test_dir/zsd.conf"
}

head -c 24M /dev/urandom >"$test_dir/data"

step "without a backing file"
start_daemon
add disk 32M
refused "there is no backing file" "$ZSCTL" writeback
"$ZSCTL" backing | grep -x 'no backing file' >/dev/null || fail "zsctl backing names one"
stop_daemon

step "by command"
configure <<-END
	[Writeback]
	Backing=$test_dir/cold
	Size=256M
	IdleAfter=never
	[Device disk]
	Size=32M
	[Device small]
	Size=32M
	MemoryLimit=26M
END
fill disk
equal "what is in memory" "$(in_memory disk)" $((24 << 20))
"$ZSCTL" writeback disk --ranges '0-99 200' | grep -x 'written back: 101 blocks, freed .*' >/dev/null ||
	fail "not the blocks that were asked for"
equal "what is written back" "$(stat_of disk written_back_bytes)" $((101 * 4096))
equal "blocks with a w" "$(awk '$3 ~ /w/' "$mnt/.zsd/disk/block_state" | wc -l)" 101
"$ZSCTL" writeback disk --type huge --max-blocks 50 --order largest >/dev/null || fail "huge blocks stay"
equal "what is written back then" "$(stat_of disk written_back_bytes)" $((151 * 4096))
"$ZSCTL" idle disk --blocks 1000-1009 >/dev/null
"$ZSCTL" writeback disk --type idle >/dev/null
equal "what is written back with what is idle" "$(stat_of disk written_back_bytes)" $((161 * 4096))
"$ZSCTL" status -J >status.json
python3 -c 'import json
pool = json.load(open("status.json"))["pool"]
held = pool["data_bytes"] - pool["written_back_bytes"]
assert pool["written_back_bytes"] == 161 * 4096
assert abs(pool["ratio"] - held / pool["used_bytes"]) < 1e-4' ||
	fail "the pool counts as in memory what is in the file: $(<status.json)"
"$ZSCTL" status | grep '^Data: .*, and 644K in the backing file$' >/dev/null ||
	fail "status says: $("$ZSCTL" status)"
"$ZSCTL" writeback >/dev/null || fail "writing back all"
equal "what is left in memory" "$(in_memory disk)" 0
same disk
equal "threads in the background" "$(cat "/proc/$daemon"/task/*/stat | background_threads)" "zsd-maintain zsd-tasks"

step "counters of what was written and read there"
equal "blocks written" "$(stat_of disk backing_writes)" 6144
[[ $(stat_of disk backing_read_bytes) -ge $((24 << 20)) ]] || fail "reading back is not counted"
equal "bytes written" "$(stat_of disk backing_written_bytes)" "$("$ZSCTL" stats disk -n -b -r -o BACK-WRITTEN)"
equal "metrics" "$("$ZSCTL" metrics | awk '/^zsd_device_backing_written_bytes_total.*"disk"/ { print $2 }')" \
	"$(stat_of disk backing_written_bytes)"
[[ $("$ZSCTL" iostat disk -n -b -r -o BACK-WRITTEN) -gt 0 && $("$ZSCTL" iostat disk -n -b -r -o BACK-READ) -gt 0 ]] ||
	fail "iostat does not show it"
[[ $("$ZSCTL" iostat disk -n -r -o BACK-WRITES) != 0 && $("$ZSCTL" iostat disk -n -r -o BACK-READS) != 0 ]] ||
	fail "iostat does not show the blocks"
"$ZSCTL" top --once | grep '24M on disk, R [0-9]' >/dev/null || fail "top does not show it: $("$ZSCTL" top --once)"
[[ $("$ZSCTL" usage disk -n -r -b -o TYPE,DATA | awk '$1 == "written-back" { print $2 }') -ge $((20 << 20)) ]] ||
	fail "zsctl usage does not show what is written back"
refused "ends beyond the device" "$ZSCTL" writeback disk --ranges 0-8192
refused "ends before it begins" "$ZSCTL" writeback disk --ranges 5-4
refused "not ranges of blocks" "$ZSCTL" writeback disk --ranges 1,2
refused "of which device" "$ZSCTL" writeback --ranges 1-2
refused "no such type" "$ZSCTL" writeback disk --type cold
refused "no such order" "$ZSCTL" writeback disk --order oldest

step "size, promotion and the daily limit while it runs"
equal "the size" "$("$ZSCTL" backing -J | field_of size_bytes)" $((256 << 20))
"$ZSCTL" set Writeback.Size=512M Writeback.DailyLimit=8G
equal "the size" "$("$ZSCTL" backing -J | field_of size_bytes)" $((512 << 20))
equal "the daily limit" "$("$ZSCTL" backing -J | field_of daily_limit_bytes)" $((8 << 30))
refused "Writeback.Size '1M': Size= of [Writeback] is too small" "$ZSCTL" set Writeback.Size=1M Writeback.DailyLimit=1G
equal "the daily limit after a refusal" "$("$ZSCTL" backing -J | field_of daily_limit_bytes)" $((8 << 30))
printf '[Writeback]\nBacking=%s\nSize=1M\nIdleAfter=never\n' "$test_dir/cold" >"$test_dir/zsd.conf"
"$ZSCTL" reload >said 2>&1 || true
grep -qF 'Writeback.Size=1M: failed: Size= of [Writeback] is too small' said || fail "reload said '$(cat said)'"
equal "the size" "$("$ZSCTL" backing -J | field_of size_bytes)" $((512 << 20))
sed -i 's/Size=1M/Size=300M/' "$test_dir/zsd.conf"
"$ZSCTL" reload >/dev/null
equal "the size" "$("$ZSCTL" backing -J | field_of size_bytes)" $((300 << 20))
# Blocks were read once, and a second time by now.
"$ZSCTL" set Writeback.PromoteAfter=never
promoted=$(stat_of disk promoted_blocks)
same disk
same disk
equal "blocks promoted" "$(stat_of disk promoted_blocks)" "$promoted"
"$ZSCTL" set Writeback.PromoteAfter=1
same disk
[[ $(stat_of disk promoted_blocks) -gt $promoted ]] || fail "nothing is promoted"

step "what is discarded is given back to the file system"
# What was promoted may have been given back already.
"$ZSCTL" set Writeback.PromoteAfter=never
"$ZSCTL" writeback disk >/dev/null || fail "writing back what was promoted"
before=$(stat -c %b "$test_dir/cold")
fallocate -p -o 0 -l 32M "$mnt/disk"
is_punched() { [[ $(stat -c %b "$test_dir/cold") -lt $((before / 2)) ]]; }
eventually "punching the file" is_punched

step "near a device's limit"
fill small
eventually "writing back near the limit of a device" has_written device-limit
same small

step "no more than may be written each day"
"$ZSCTL" backing --daily-limit 1M >/dev/null || fail "changing the daily limit"
fill disk
refused "Disk quota exceeded" "$ZSCTL" writeback disk
same disk
# The file is used again.
"$ZSCTL" backing --daily-limit none >/dev/null || fail "taking the daily limit away"
stop_daemon

# Half of it is superfluous, which lz4 doesn't see.
head -c 12M "$test_dir/data" | od -An -v -tx1 | tr -d ' \n' >"$test_dir/text"

# is_denser REASON: blocks were recompressed because of that, and no more is in memory than the lower mark, or little
# more: whatever time there was for the first step, the next ones go on.
is_denser()
{
	[[ $(of_reason "$1" RECOMPRESSED) -gt 0 && $(stat_of text memory_bytes) -lt $((18 << 20)) ]]
}

# steps_of REASON: what the log says of it.
steps_of()
{
	grep -oE "(recompressed|written back): reason=$1" "$test_dir/run.log"
}

# recompresses_first REASON: fills the device up to a mark, with data that the first step can make small enough; then
# with data that can't be made smaller.
recompresses_first()
{
	dd if="$test_dir/text" of="$mnt/text" bs=1M conv=notrunc status=none
	eventually "recompressing: $1" is_denser "$1"
	# On a slow machine there may not be time for all of it, and the rest is written back.
	eventually "logging it" steps_of "$1"
	equal "the first step" "$(steps_of "$1" | head -n 1)" "recompressed: reason=$1"
	dd if="$test_dir/data" of="$mnt/text" bs=1M count=12 seek=24 conv=notrunc status=none
	eventually "writing back: $1" has_written "$1"
	cmp "$mnt/text" <(cat "$test_dir/text" <(head -c 12M "$test_dir/data")) || fail "text differs"
}

step "near a device's limit: recompressed, and written back if that is not enough"
configure 50% 42% <<-END
	[Device text]
	Size=36M
	MemoryLimit=40M
	Recompress=zstd:1
END
recompresses_first device-limit
stop_daemon

step "near the pool's limit, the same"
configure 50% 42% <<-END
	[Pool]
	MemoryLimit=40M
	[Device text]
	Size=36M
	Recompress=zstd:1
END
recompresses_first pool-limit
stop_daemon

step "near the pool's limit"
configure 50% 25% <<-END
	[Pool]
	MemoryLimit=40M
	[Device disk]
	Size=32M
END
fill disk
eventually "writing back near the limit of the pool" has_written pool-limit
same disk

# Waiting for it takes long, and is the same with each transport.
if [[ ${ZSD_TEST_TRANSPORT:-} != uring ]]; then
	step "when data is idle"
	# Not before: what is idle is written back first, and on a slow machine that may be all of it.
	"$ZSCTL" set Writeback.IdleAfter=2s
	eventually "writing back what is idle" has_written idle
	is_cold() { [[ $(in_memory disk) -eq 0 ]]; }
	eventually "all data being idle, and written back" is_cold
	same disk
fi
stop_daemon

step "near a group's limit: those who have more than their share by their limits"
configure 90% 80% <<-END
	[Pool]
	MemoryLimit=1G
	[Group tenants]
	MemoryLimit=32M
	[Device small]
	Size=32M
	MemoryLimit=8M
	Group=tenants
	[Device large]
	Size=64M
	Group=tenants
END
# What is written first is the coldest.
dd if="$test_dir/data" of="$mnt/small" bs=1M count=4 conv=notrunc oflag=direct status=none
dd if="$test_dir/data" of="$mnt/large" bs=1M count=24 conv=notrunc oflag=direct status=none
dd if="$test_dir/data" of="$mnt/large" bs=1M count=2 seek=24 conv=notrunc oflag=direct status=none
eventually "writing back near the limit of a group" has_written group-limit
is_below() { [[ $("$ZSCTL" groups tenants -n -r -b -o CHARGED) -le $((32 * 1024 * 1024 / 100 * 80)) ]]; }
eventually "coming down to the lower mark" is_below
equal "what is written back of who has less than its share" "$(stat_of small written_back_bytes)" 0
grep -q 'written back: reason=group-limit device=large' "$test_dir/run.log" || fail "it is not logged"
same large
stop_daemon
