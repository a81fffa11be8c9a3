#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A thousand devices: added, listed, used and removed, which takes a second; their names and numbers never get mixed up,
# nor what they have in the backing file that they share.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

# all METHOD FIRST LAST [STEP]: one call a device over one connection. Its file may have been closed just now.
all()
{
	python3 - "$ZSD_SOCKET" "$@" <<-'END'
		import json, socket, sys
		path, method, numbers = sys.argv[1], sys.argv[2], [int(number) for number in sys.argv[3:]]
		connection = socket.socket(socket.AF_UNIX)
		connection.settimeout(20)
		connection.connect(path)
		answers = connection.makefile("rb")
		for number in range(numbers[0], numbers[1] + 1, *numbers[2:]):
		    parameters = {"name": f"disk{number}"}
		    if method == "Add":
		        parameters["size_bytes"] = (number + 1) << 20
		    call = {"method": f"io.zsd.control.{method}", "parameters": parameters}
		    answer = b"DeviceBusy"
		    while b"DeviceBusy" in answer:
		        connection.sendall(json.dumps(call).encode() + b"\0")
		        answer = answers.read(1)
		        while not answer.endswith(b"\0"):
		            answer += answers.read(1) or sys.exit("closed")
		    if b'"error"' in answer:
		        sys.exit(answer)
	END
}

# each WHAT FIRST LAST [STEP]: write, or compare, 32 KiB of each device's own, of the file `data`.
each()
{
	python3 - "$mnt" "$@" <<-'END'
		import os, sys
		mnt, what, numbers = sys.argv[1], sys.argv[2], [int(number) for number in sys.argv[3:]]
		size = 32 << 10
		data = os.open("data", os.O_RDONLY)
		for number in range(numbers[0], numbers[1] + 1, *numbers[2:]):
		    disk = os.open(f"{mnt}/disk{number}", os.O_RDWR)
		    own = os.pread(data, size, number * size)
		    if what == "write":
		        os.pwrite(disk, own, number * 4096)
		    elif os.pread(disk, size, number * 4096) != own:
		        sys.exit(f"disk{number} has something else")
		    os.close(disk)
	END
}

# of_file FIELD: what `zsctl backing` says.
of_file()
{
	"$ZSCTL" backing -J | field_of "$1"
}

start_daemon
start_usec=${EPOCHREALTIME/./}
all Add 0 999
equal "devices after adding them" "$(find "$mnt" -type f | wc -l)" 1000
all Remove 0 999
usec=$((${EPOCHREALTIME/./} - start_usec))
echo "1,000 devices added, listed and removed in $((usec / 1000)) ms"
[[ $usec -lt $((patience * 1000000)) ]] || fail "1,000 devices took $usec us"
equal "devices after removing them" "$(find "$mnt" -type f | wc -l)" 0

step "each has its own name, size, number and content"
all Add 0 999
equal "names" "$(find "$mnt" -type f -printf '%f\n' | sort -u | wc -l)" 1000
equal "numbers" "$(find "$mnt" -type f -printf '%i\n' | sort -u | wc -l)" 1000
equal "sizes" "$(find "$mnt" -type f -printf '%f %s\n' | awk '$2 != (substr($1, 5) + 1) * 1048576' | wc -l)" 0
check "ls" ls -l "$mnt" >/dev/null
for i in 0 1 499 998 999; do
	printf 'content of %d' "$i" | dd of="$mnt/disk$i" conv=notrunc status=none
done
for i in 0 1 499 998 999; do
	equal "disk$i" "$(head -c $((11 + ${#i})) "$mnt/disk$i")" "content of $i"
done

step "a name that is used again is another device"
number=$(stat -c %i "$mnt/disk1")
all Remove 1 1
[[ ! -e $mnt/disk1 ]] || fail "disk1 is still there"
all Add 1 1
[[ $(stat -c %i "$mnt/disk1") -ne $number ]] || fail "disk1 has its old number"
cmp -n 4096 "$mnt/disk1" /dev/zero || fail "disk1 has its old content"
equal "zsctl list" "$("$ZSCTL" list -n | wc -l)" 1000
stop_daemon

step "they share one backing file"
head -c $((1000 * (32 << 10))) /dev/urandom >data
cat >zsd.conf <<END
[Writeback]
Backing=$test_dir/backing
IdleAfter=never
END
start_daemon --config zsd.conf
all Add 0 999
each write 0 999
"$ZSCTL" writeback | grep -x 'written back: 8000 blocks, freed .*' >/dev/null || fail "not all of it was written back"
equal "blocks in the file" "$(of_file blocks)" 8000
equal "data in memory" "$(pool_stat stored_bytes)" 0
each compare 0 999
equal "records that are damaged, reads that failed" "$(of_file corrupt_records) $(of_file read_errors)" "0 0"

step "some are removed, and what they had there is given back"
before=$(of_file segments_valid)
# One of five stays: no segment gets empty by itself.
for first in 1 2 3 4; do
	all Remove "$first" 999 5
done
wait_for_free
is_collected() { [[ $(of_file blocks) -eq 1600 && $(of_file segments_valid) -lt $((before / 2)) ]]; }
eventually "freeing segments" is_collected
[[ $(of_file collected_bytes) -gt 0 ]] || fail "no segment was collected"
each compare 0 999 5
equal "zsctl list" "$("$ZSCTL" list -n | wc -l)" 200
all Remove 0 999 5
wait_for_free
is_empty() { [[ $(of_file blocks) -eq 0 && $(of_file segments_valid) -eq 0 ]]; }
eventually "freeing all segments" is_empty
[[ $(du -k backing | cut -f 1) -le 2048 ]] || fail "the file keeps $(du -k backing | cut -f 1) kB"
stop_daemon
