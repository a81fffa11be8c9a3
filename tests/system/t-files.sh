#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A device's file behaves as a file of fixed size: what may be done with it and with its directory, and what not.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need xfs_io fallocate

MIB=$((1 << 20))

start_daemon
add disk 1M
file=$mnt/disk

step "attributes"
equal "the size" "$(stat -c %s "$file")" $MIB
equal "the type, mode and owner" "$(stat -c '%F %a %u:%g' "$file")" "regular file 600 0:0"
chmod 640 "$file"
chown 65534:65533 "$file"
equal "the mode and owner" "$(stat -c '%a %u:%g' "$file")" "640 65534:65533"
chown 0:0 "$file"
touch -d '3000-01-01 UTC' "$file"
equal "the last time there is" "$(stat -c %Y "$file")" $(((1 << 63) / -1000000000))
touch -d '2001-02-03 04:05:06 UTC' "$file"
equal "the time" "$(TZ=UTC stat -c %y "$file")" "2001-02-03 04:05:06.000000000 +0000"
before=$(date +%s)
xfs_io -c 'pwrite -q 0 1' "$file"
[[ $(stat -c %Y "$file") -ge $((before - 1)) ]] || fail "writing does not change the modification time"
equal "the mode of the directory" "$(stat -c '%F %a' "$mnt")" "directory 755"

step "the size stays"
refused "Operation not permitted" truncate -s 0 "$file"
refused "Operation not permitted" truncate -s $((MIB + 1)) "$file"
check "truncating to the present size" truncate -s $MIB "$file"
refused "Operation not permitted" bash -c ": >'$file'"
refused "Operation not permitted" dd if=/dev/zero of="$file" bs=4K count=1
equal "the size" "$(stat -c %s "$file")" $MIB

step "the directory belongs to the control socket"
refused "Operation not permitted" touch "$mnt/new"
refused "Operation not permitted" mkdir "$mnt/new"
refused "Operation not permitted" mknod "$mnt/new" p
refused "Operation not permitted" ln -s disk "$mnt/new"
refused "Operation not permitted" ln "$file" "$mnt/new"
refused "Operation not permitted" mv "$file" "$mnt/new"
refused "Operation not permitted" rm -f "$file"
equal "the directory" "$(ls -A "$mnt")" disk

step "odd names"
long=$(printf 'x%.0s' {1..64})
for name in nothing "$long" "${long}x" disk/ 'disk/x' . .. ' ' $'\x01' $'\xff\xfe' 'disk ' Disk '*'; do
	case $name in
	. | ..) check "$name" test -d "$mnt/$name" ;;
	*) [[ ! -e $mnt/$name ]] || fail "there is a '$name'" ;;
	esac
done
refused "No such file" cat "$mnt/nothing"
refused "File name too long" cat "$mnt/${long}x"
refused "Not a directory" cat "$file/x"

step "across the end"
# What is within is written, what is not is refused.
head -c 8192 /dev/urandom >"$test_dir/data"
xfs_io -c "pwrite -q $((MIB - 4096)) 8192" "$file" 2>/dev/null >/dev/null || true
equal "the size" "$(stat -c %s "$file")" $MIB
refused "No space left" dd if="$test_dir/data" of="$file" bs=8192 seek=$((MIB - 4096)) oflag=seek_bytes conv=notrunc
cmp -n 4096 "$test_dir/data" <(tail -c 4096 "$file") || fail "the part within the end is not written"
refused "No space left" dd if="$test_dir/data" of="$file" bs=1 count=1 seek=$MIB conv=notrunc
refused "No space left" dd if="$test_dir/data" of="$file" bs=1 count=1 seek=$((1 << 50)) conv=notrunc
refused "No space left" dd if="$test_dir/data" of="$file" bs=1 count=1 oflag=append conv=notrunc
equal "what is read at the end" "$(tail -c +$((MIB + 1)) "$file" | wc -c)" 0
equal "what is read beyond it" "$(xfs_io -r -c "pread $((2 * MIB)) 4096" "$file" | grep -c 'read 0/')" 1
equal "a read across it" "$(dd if="$file" bs=8192 skip=$((MIB - 100)) iflag=skip_bytes status=none | wc -c)" 100

step "odd offsets and lengths"
head -c $MIB /dev/urandom >"$test_dir/mirror"
dd if="$test_dir/mirror" of="$file" bs=64K conv=notrunc status=none
for range in 0:1 1:1 4095:1 4095:2 4096:4096 4097:4095 1:4095 511:513 8191:12290 65535:131073 1000000:48576; do
	offset=${range%:*} length=${range#*:}
	head -c "$length" /dev/urandom >"$test_dir/data"
	for output in "$file" "$test_dir/mirror"; do
		dd if="$test_dir/data" of="$output" bs="$length" count=1 seek="$offset" oflag=seek_bytes conv=notrunc \
			status=none
	done
done
cmp "$file" "$test_dir/mirror" || fail "the file differs"
cmp <(dd if="$file" bs=1000 status=none) "$test_dir/mirror" || fail "the file differs when read in odd pieces"

step "synchronising costs nothing and works"
sync "$file"
check "fsync" xfs_io -c fsync -c fdatasync "$file"
check "direct I/O" dd if="$file" of=/dev/null bs=4096 iflag=direct status=none
check "a private map" python3 -c '
import mmap, sys
with open(sys.argv[1], "rb") as file, open(sys.argv[2], "rb") as mirror:
    assert mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)[:] == mirror.read()
' "$file" "$test_dir/mirror"

step "extended attributes are not supported"
refused "not supported" python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.x", b"y")' "$file"

stop_daemon
