#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A thousand devices: added, listed, used and removed in less than 10 seconds; their names and numbers never get mixed
# up.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

# all METHOD FIRST LAST: one call a device over one connection.
all()
{
	python3 - "$ZSD_SOCKET" "$@" <<-'END'
		import json, socket, sys
		path, method, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
		connection = socket.socket(socket.AF_UNIX)
		connection.settimeout(20)
		connection.connect(path)
		answers = connection.makefile("rb")
		for number in range(first, last + 1):
		    parameters = {"name": f"disk{number}"}
		    if method == "Add":
		        parameters["size_bytes"] = (number + 1) << 20
		    call = {"method": f"io.zsd.control.{method}", "parameters": parameters}
		    connection.sendall(json.dumps(call).encode() + b"\0")
		    answer = b""
		    while not answer.endswith(b"\0"):
		        answer += answers.read(1)
		    if b'"error"' in answer:
		        sys.exit(answer)
	END
}

start_daemon
start_usec=${EPOCHREALTIME/./}
all Add 0 999
equal "devices after adding them" "$(find "$mnt" -type f | wc -l)" 1000
all Remove 0 999
usec=$((${EPOCHREALTIME/./} - start_usec))
echo "1,000 devices added, listed and removed in $((usec / 1000)) ms"
[[ $usec -lt 10000000 ]] || fail "1,000 devices took $usec us"
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
