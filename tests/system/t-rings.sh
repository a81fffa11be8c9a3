#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Where io_uring fails: before the start there is another way, later on what passes is passed, and what does not ends
# the daemon and its mount. Nobody hangs. Then: what is refused is counted where it came from.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need fio python3 xfs_io
set_uring Y

broken=$BUILD/tests/system/libbroken_rings.so
threads=$(nproc)

# broken VARIABLE=VALUE COMMAND...: the command, with daemons that it starts broken so.
broken()
{
	local -x "$1"
	ZSD_PRELOAD=$broken "${@:2}"
}

# falls_back TEXT VARIABLE=VALUE: auto serves the classic way and says why, once; uring is refused.
falls_back()
{
	broken "$2" start_daemon --transport auto
	equal "notices" "$(grep -c "using the classic transport, not io_uring: $1" "$test_dir/run.log")" 1
	add disk 16M
	echo data | dd of="$mnt/disk" conv=notrunc status=none
	equal "the data" "$(head -c 4 "$mnt/disk")" data
	stop_daemon
	refused "can't serve over io_uring: $1" \
		env "$2" LD_PRELOAD="$broken" "$ZSD" -d "$runtime" --no-config --transport uring
}

# ends_itself VARIABLE=VALUE TEXT: the daemon, with 1, and its clients.
ends_itself()
{
	local clients=() client size status=0
	broken "$1" start_daemon --transport uring
	add disk 64M
	# Some may come when the mount is gone already.
	for size in 4K 4K 256K; do
		start dd if=/dev/zero of="$mnt/disk" bs="$size" conv=notrunc,nocreat oflag=direct 2>>"$test_dir/dd.log"
		clients+=("${started[-1]}")
		start dd if="$mnt/disk" of=/dev/null bs="$size" iflag=direct 2>>"$test_dir/dd.log"
		clients+=("${started[-1]}")
	done
	wait_gone "$daemon" 30 || fail "the daemon goes on"
	wait "$daemon" || status=$?
	equal "its exit status" "$status" 1
	! is_mounted "$mnt" || fail "a mount is left"
	for client in "${clients[@]}"; do
		wait_gone "$client" 30 || fail "a client hangs"
	done
	grep -q "$2" "$test_dir/run.log" || fail "it does not say '$2'"
	grep -q "stopping: requests can't be answered" "$test_dir/run.log" || fail "it does not say why it stops"
}

step "no memory for a ring"
falls_back "Cannot allocate memory; check 'ulimit -l'" BREAK_SETUP=1
falls_back "Cannot allocate memory; check 'ulimit -l'" BREAK_SETUP=$((threads + 1))

step "no more threads: for a ring, for the slow lane, for what never comes over a ring"
for number in 1 $((threads + 1)) $((threads + 2)); do
	falls_back "Resource temporarily unavailable; check 'ulimit -u'" BREAK_THREAD="$number"
done

step "the kernel has taken the word for io_uring, and then doesn't take the buffers: the first one, a later one"
for number in 1 4; do
	falls_back "Permission denied" BREAK_REGISTER="$number"
done

step "the same with a mount that somebody else has made: there is no other one"
cat >handed_over.py <<'PYTHON'
import ctypes, os, sys
path, zsd, fuse = sys.argv[1], sys.argv[2:], os.open("/dev/fuse", os.O_RDWR)
os.makedirs(path, exist_ok=True)
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other" % fuse
if ctypes.CDLL(None, use_errno=True).mount(b"zsd", path.encode(), b"fuse.zsd", 14, options):
    sys.exit("mount: " + os.strerror(ctypes.get_errno()))
os.dup2(fuse, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="fuse", LISTEN_PID=str(os.getpid()))
os.execv("/usr/bin/env", ["env"] + zsd)
PYTHON
mount_points+=("$mnt")
refused "can't serve over io_uring: Permission denied; use --transport=classic" \
	python3 handed_over.py "$mnt" BREAK_REGISTER=1 LD_PRELOAD="$broken" \
	"$ZSD" -d "$runtime" --no-config --transport auto
# Who has made it takes it away.
umount "$mnt"

step "an error in the middle that will not pass"
ends_itself BREAK_WAIT=2000 "can't wait for requests over io_uring: File descriptor in bad state"

step "answers that are not taken any more"
ends_itself BREAK_COMMITS=2000 "the kernel takes no answers over io_uring: Permission denied"

step "answers that are not taken now and then"
broken BREAK_COMMIT=37 start_daemon --transport uring
add disk 32M
fio --name=verify --filename="$mnt/disk" --allow_file_create=0 --ioengine=libaio --iodepth=8 --direct=1 --numjobs=2 \
	--size=16M --offset_increment=16M --bsrange=4k-256k --rw=randwrite --verify=crc32c --verify_fatal=1 --minimal \
	>"$test_dir/fio.log" 2>&1 || fail "fio found a difference"
fallocate -p -o 0 -l 32M "$mnt/disk"
cmp -n 1048576 "$mnt/disk" /dev/zero || fail "it is not empty after punching"
stop_daemon

step "what is refused is counted"
for transport in classic uring; do
	start_daemon --transport "$transport"
	add disk 16M
	for _ in 1 2 3; do
		refused "Operation not supported" fallocate -l 1M "$mnt/disk"
	done
	refused "No space left on device" dd if=/dev/zero of="$mnt/disk" bs=4K seek=4096 count=1 conv=notrunc
	refused "No space left on device" fallocate -z -o 16M -l 4K "$mnt/disk"
	equal "refused over $transport" "$(pool_stat "requests_refused_$transport")" 5
	other=$([[ $transport == uring ]] && echo classic || echo uring)
	equal "refused over $other" "$(pool_stat "requests_refused_$other")" 0
	stop_daemon
done

step "big requests that got help are counted"
if [[ $(nproc) -ge 2 ]]; then
	start_daemon
	add disk 16M --algorithm zstd:9
	head -c 6M /dev/urandom | base64 -w 0 >"$test_dir/data"
	for _ in {1..100}; do
		dd if="$test_dir/data" of="$mnt/disk" bs=1M conv=notrunc oflag=direct count=8 status=none
		[[ $(pool_stat requests_helped) -eq 0 || $(pool_stat request_parts_helped) -eq 0 ]] || break
	done
	[[ $(pool_stat requests_helped) -gt 0 ]] || fail "nobody was asked to help"
	[[ $(pool_stat request_parts_helped) -gt 0 ]] || fail "nobody has helped"
	stop_daemon
fi
