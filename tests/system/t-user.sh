#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An ordinary user, through fusermount3: with a /dev/fuse that the daemon can open, so that each thread gets a
# descriptor of its own, and without, sharing the one that fusermount3 hands over. As root this runs itself as nobody.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need fusermount3 fio

NOBODY=65534

# as_nobody VARIABLE=VALUE [COMMAND BEFORE]...: this script, as nobody.
as_nobody()
{
	"${fuse_for_all[@]}" env "$@" setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups "$self" ||
		fail "as nobody, $*: exit status $?"
}

if [[ $EUID -eq 0 ]]; then
	need setpriv unshare
	[[ -r $ZSD && -x $ZSD ]] || fail "$ZSD can't be executed"
	setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups test -x "$ZSD" || skip "nobody can't reach $ZSD"
	fuse_for_all=(with_fuse_for_all)
	[[ ${ZSD_TEST_TRANSPORT:-} != uring ]] || set_uring Y
	step "nobody, with /dev/fuse"
	as_nobody ZSD_TEST_CLONES=yes
	step "nobody, without /dev/fuse"
	# Only the daemon can't: a set-uid program ignores LD_PRELOAD.
	as_nobody ZSD_TEST_CLONES=no
	step "nobody, where fusermount3 can't open it either"
	fuse_for_all=()
	mknod -m 600 "$test_dir/fuse" c 10 229
	# shellcheck disable=SC2016
	as_nobody ZSD_TEST_CLONES=refused unshare --mount --propagation private \
		bash -c 'mount --bind "$0" /dev/fuse && exec "$@"' "$test_dir/fuse"
	exit 0
fi

export XDG_RUNTIME_DIR=$test_dir/xdg
mkdir "$XDG_RUNTIME_DIR"
runtime=$XDG_RUNTIME_DIR/zsd
mnt=$runtime/mnt
if [[ ${ZSD_TEST_CLONES:-} == refused ]]; then
	refused "can't mount at $mnt: Operation not permitted; mounting is for root, for others" "$ZSD" --no-config
	exit 0
fi
ZSD_PRELOAD=
[[ ${ZSD_TEST_CLONES:-} != no ]] || ZSD_PRELOAD=$BUILD/tests/system/libno_dev_fuse.so
start_daemon --threads 2
case ${ZSD_TEST_TRANSPORT:-}${ZSD_TEST_CLONES:-} in
uring*) grep -q 'over io_uring' "$test_dir/zsd.log" || fail "it does not serve over io_uring" ;;
yes) grep -q '2 with a /dev/fuse' "$test_dir/zsd.log" || fail "the threads share a descriptor" ;;
no) grep -q '0 with a /dev/fuse' "$test_dir/zsd.log" || fail "the threads have descriptors of their own" ;;
esac
grep -q 'for this user only' "$test_dir/zsd.log" || grep -q '^ *user_allow_other' /etc/fuse.conf ||
	fail "it does not say who may use it"
add disk 64M
file=$mnt/disk
equal "the owner" "$(stat -c %u "$file")" "$EUID"
equal "the mount's owner" "$(stat -c %u "$mnt")" "$EUID"
fio --name=verify --filename="$file" --ioengine=libaio --iodepth=8 --direct=1 --numjobs=2 --size=32M \
	--offset_increment=32M --allow_file_create=0 --bsrange=512-256k --bs_unaligned=0 --blockalign=512 \
	--rw=randwrite \
	--verify=crc32c --verify_fatal=1 --buffer_compress_percentage=50 --minimal >"$test_dir/fio.log" 2>&1 ||
	fail "fio found a difference"
fallocate -p -o 0 -l 64M "$file"
cmp -n 1048576 "$file" /dev/zero || fail "it is not empty after punching"
refused "Operation not permitted" chown 0 "$file"
check "chmod" chmod 600 "$file"
# The socket in the user's runtime directory is where zsctl looks by itself.
env -u ZSD_SOCKET "$ZSCTL" list -n | grep disk >/dev/null || fail "zsctl doesn't find the user's daemon"

step "stopped with an open file"
exec 5<"$file"
stop_daemon
exec 5<&-

step "after kill -9"
start_daemon
exec 5<"$mnt"
kill -KILL "$daemon"
wait_gone "$daemon"
is_mounted "$mnt" || fail "the dead mount is not there; the test proves nothing"
exec 5<&-
start_daemon
grep -q "detached the dead mount" "$test_dir/zsd.log" || fail "it did not detach the dead mount"
stop_daemon

step "found by the default runtime directory"
"$ZSD" --no-config 2>"$test_dir/default.log" &
started+=($!)
eventually "starting" grep -qs ready: "$test_dir/default.log"
is_mounted "$XDG_RUNTIME_DIR/zsd/mnt" || fail "it is not mounted below XDG_RUNTIME_DIR"
end_process "${started[-1]}"
refused "XDG_RUNTIME_DIR is not set" env -u XDG_RUNTIME_DIR "$ZSD" --no-config
