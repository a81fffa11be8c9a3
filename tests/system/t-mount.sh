#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# attach, detach, mount and umount; mount -t zsd; and who holds a device that can't be removed.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need losetup mkfs.ext4

# The loop devices of a device, whatever this test did not get to take back.
loops_of()
{
	losetup -j "$mnt/$1" -O NAME -n
}

has_no_loops()
{
	[[ -z $(loops_of "$1") ]]
}

drop_loops()
{
	local name
	for name in $(loops_of fs) $(loops_of wide); do
		losetup -d "$name"
	done
}

start_daemon
add fs 128M
add wide 128M --block-size 64K
trap 'drop_loops 2>/dev/null; clean_up' EXIT

step "attach: direct I/O, sectors as large as they can be"
loop=$("$ZSCTL" attach fs)
equal "the loop device" "$(loops_of fs)" "$loop"
equal "direct I/O and the sector size" "$(losetup -n -O DIO,LOG-SEC "$loop" | xargs)" "1 4096"
equal "a second attach" "$("$ZSCTL" attach fs)" "$loop"
wide=$("$ZSCTL" attach wide -J | python3 -c 'import json, sys; print(json.load(sys.stdin)["loop"])')
equal "the sector size of larger blocks" "$(losetup -n -O LOG-SEC "$wide" | xargs)" 4096
refused "no device with this name" "$ZSCTL" attach nothing

step "remove says who has it"
refused "it is open in $loop" "$ZSCTL" remove fs
"$ZSCTL" detach fs
"$ZSCTL" detach wide
equal "loop devices after detach" "$(loops_of fs)$(loops_of wide)" ""
refused "it has no loop device" "$ZSCTL" detach fs
sleep 600 3<"$mnt/fs" &
started+=($!)
refused "it is open in process $! (sleep)" "$ZSCTL" remove fs
end_process "${started[-1]}"

step "mount"
mkdir m
mounts=("$test_dir/m")
refused "the device is empty; add --mkfs" "$ZSCTL" mount fs m
refused "not a type of file system" "$ZSCTL" mount fs m --mkfs '../ext4'
refused "nothing is mounted" "$ZSCTL" mount fs m --mkfs nonsense
equal "loop devices after a failure" "$(loops_of fs)" ""
equal "data after a failure" "$(stat_of fs data_bytes)" 0
"$ZSCTL" mount fs m --mkfs ext4
echo hello >m/file
refused "it is mounted at $test_dir/m already" "$ZSCTL" mount fs m
refused "mounted at $test_dir/m" "$ZSCTL" remove fs
refused "unmount it first" "$ZSCTL" detach fs
"$ZSCTL" umount fs
! mountpoint -q m || fail "umount left the mount"
equal "loop devices after umount" "$(loops_of fs)" ""
refused "it is not mounted" "$ZSCTL" umount fs
"$ZSCTL" mount fs m --mkfs ext4 --options ro,noload
equal "the file" "$(cat m/file)" hello
! touch m/x 2>/dev/null || fail "options are not passed on"
umount m

step "mount -t zsd"
ln -s "$ZSCTL" mount.zsd
./mount.zsd fs "$test_dir/m" -o "rw,noatime,socket=$ZSD_SOCKET,x-systemd.automount,nofail,mkfs=ext4"
equal "the file" "$(cat m/file)" hello
grep " $test_dir/m " /proc/mounts | grep noatime >/dev/null || fail "options are not passed on"
umount m
eventually "detaching after umount(8)" has_no_loops fs
refused "usage: mount -t zsd" ./mount.zsd fs
refused "no device with this name" ./mount.zsd nothing "$test_dir/m" -o "socket=$ZSD_SOCKET"
# mount(8) looks for its helpers in /sbin: in a mount namespace of our own there is one.
mkdir sbin
for directory in /sbin /usr/sbin; do
	mkdir -p "sbin$directory"
done
cp -a "$(readlink -f /sbin)"/mount.* sbin/ 2>/dev/null || true
ln -sf "$ZSCTL" sbin/mount.zsd
# shellcheck disable=SC2016
unshare --mount --propagation private bash -ec '
	cp -as "$(readlink -f /sbin)"/. sbin/ 2>/dev/null || true
	mount --bind sbin "$(readlink -f /sbin)"
	mount -t zsd fs m -o "socket=$ZSD_SOCKET"
	[[ $(cat m/file) == hello ]]
	echo "fs $PWD/m zsd noauto,socket=$ZSD_SOCKET,noatime 0 0" >fstab
	umount m
	mount -T fstab "$PWD/m"
	[[ $(cat m/file) == hello ]]
	umount m' || fail "mount -t zsd does not work"
eventually "detaching after umount(8)" has_no_loops fs
remove fs
stop_daemon
