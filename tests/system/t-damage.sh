#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A backing file that somebody changes while it is in use: blocks that are not there any more, or not what they were,
# are I/O errors, named in the log and counted; all others are read right, and new data is stored and written back.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need python3

backing=$test_dir/backing
MIB=$((1 << 20))

# examine: reads all blocks, prints how many can't be read, and their numbers to `bad`; what can is right.
examine()
{
	python3 - "$mnt/disk" data >bad <<-'END' || fail "what can be read is wrong"
		import errno, os, sys
		disk, data = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDONLY)
		for number in range(os.fstat(data).st_size // 4096):
		    try:
		        found = os.pread(disk, 4096, number * 4096)
		    except OSError as error:
		        if error.errno != errno.EIO:
		            raise
		        print(number)
		        continue
		    if found != os.pread(data, 4096, number * 4096):
		        sys.exit(f"block {number} is wrong")
	END
	wc -l <bad
}

# of_file FIELD: what `zsctl backing` says.
of_file()
{
	"$ZSCTL" backing -J | field_of "$1"
}

# check_told CAUSE: the first ones that can't be read are in the log, and they are counted.
check_told()
{
	local number
	while read -r number; do
		grep -q "device=disk block=$number can't be read back: $1" run.log ||
			fail "block $number is not in the log"
	done < <(head -n 3 bad)
	[[ $(($(of_file corrupt_records) + $(of_file read_errors))) -ge $(wc -l <bad) ]] || fail "not all are counted"
}

# check_goes_on: what is lost can be written again; old and new data are written back, and read.
check_goes_on()
{
	dd if=data of="$mnt/disk" bs=1M conv=notrunc status=none
	equal "blocks that can't be read after they were written again" "$(examine)" 0
	"$ZSCTL" writeback >/dev/null || fail "writing back"
	equal "blocks that can't be read after they were written back again" "$(examine)" 0
}

# begin: 8 MiB in the file, none in memory.
begin()
{
	rm -f backing zsd.conf
	printf '[Writeback]\nBacking=%s\nIdleAfter=never\n' "$backing" >zsd.conf
	start_daemon --config zsd.conf
	add disk 8M
	dd if=data of="$mnt/disk" bs=1M conv=notrunc status=none
	"$ZSCTL" writeback >/dev/null || fail "writing back"
	equal "data in memory" "$(pool_stat stored_bytes)" 0
}

head -c $((8 * MIB)) /dev/urandom >data

step "cut"
begin
truncate -s $((4 * MIB)) backing
bad=$(examine)
[[ $bad -gt 500 && $bad -lt 1500 ]] || fail "$bad blocks can't be read"
check_told "the backing file answers an error"
check_goes_on
stop_daemon

step "bits flipped"
begin
python3 - backing <<-'END'
	import os, sys
	file = os.open(sys.argv[1], os.O_RDWR)
	for offset in range(1 << 20, 7 << 20, 1 << 19):
	    at = offset + 77777
	    byte = os.pread(file, 1, at)[0]
	    os.pwrite(file, bytes([byte ^ 0x40]), at)
	os.fsync(file)
END
bad=$(examine)
[[ $bad -ge 8 && $bad -le 12 ]] || fail "$bad blocks can't be read, of 12 with a flipped bit"
check_told "its record in the backing file is damaged"
check_goes_on
stop_daemon

step "replaced by another one's"
head -c $((8 * MIB)) /dev/urandom >other
mv data ours
mv other data
begin
stop_daemon
mv backing other-backing
mv ours data
begin
dd if=other-backing of=backing bs=1M conv=notrunc,fsync status=none
bad=$(examine)
equal "blocks that can't be read" "$bad" 2048
check_told "its record in the backing file is damaged"
check_goes_on
stop_daemon

step "removed"
begin
rm backing
equal "blocks that can't be read" "$(examine)" 0
check_goes_on
stop_daemon

step "the whole file gone but for its name"
begin
: >backing
equal "blocks that can't be read" "$(examine)" 2048
check_told "the backing file answers an error"
check_goes_on
stop_daemon
