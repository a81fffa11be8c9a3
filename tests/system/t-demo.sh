#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The demo: as root, as an ordinary user, and ended in the middle. It leaves no mount, loop device, process or file; and
# it fails if what it compares is not equal.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
need setpriv

demo=$SOURCE/tests/support/demo.sh
export TMPDIR=$test_dir
chmod 1777 "$test_dir"

# What the demo could leave behind.
leftovers()
{
	find "$test_dir" -mindepth 1 -maxdepth 1 -name 'zsd-demo.*'
	grep -F " $test_dir/" /proc/self/mountinfo || true
	losetup --list --noheadings --output BACK-FILE | grep -F "$test_dir/" || true
	grep -lF "$test_dir/zsd-demo." /proc/[0-9]*/cmdline 2>/dev/null || true
}

clean()
{
	equal "what the demo leaves $1" "$(leftovers)" ""
}

# The least that the demo takes.
export ZSD_DEMO_MIB=300
step "as root"
"$demo" >"$test_dir/root.log" 2>&1 || fail "the demo failed"
for text in 'ext4 on device one' 'xfs on device two' 'MiB saved' 'All comparisons held'; do
	grep -q "$text" "$test_dir/root.log" || fail "the demo did not say: $text"
done
clean "as root"

# Once more, with little.
sed 's@^sample_min_mib=.*@sample_min_mib=30@; s@^sample_max_mib=.*@sample_max_mib=30@' "$demo" >"$test_dir/little.sh"

step "as an ordinary user"
as_user=(with_fuse_for_all setpriv --reuid=65534 --regid=65534 --clear-groups)
"${as_user[@]}" bash "$test_dir/little.sh" >"$test_dir/user.log" 2>&1 || fail "the demo failed"
grep -q 'All comparisons held' "$test_dir/user.log" || fail "it did not compare"
clean "as a user"

# Ended while it copies: by SIGTERM, as a CI machine does, after its first loop device has a file system.
step "ended in the middle"
"$demo" >"$test_dir/ended.log" 2>&1 &
started+=($!)
eventually "getting to copying" grep -q '^copying' "$test_dir/ended.log"
kill -TERM "${started[-1]}"
status=0
wait "${started[-1]}" || status=$?
equal "the status" "$status" 143
clean "when it is ended"

# One byte is changed between writing and comparing.
step "with a byte that is not equal"
# shellcheck disable=SC2016
sed 's@^\tcmp -n "\$size".*@\tprintf x | dd of="$files/$1" bs=1 seek=70000000 conv=notrunc status=none\n&@' \
	"$test_dir/little.sh" >"$test_dir/broken.sh"
! cmp -s "$test_dir/little.sh" "$test_dir/broken.sh" || fail "the demo has no such comparison any more"
! "${as_user[@]}" bash "$test_dir/broken.sh" >"$test_dir/broken.log" 2>&1 ||
	fail "the demo did not notice"
grep -q 'differs from the image' "$test_dir/broken.log" || fail "it failed for another reason"
clean "when it fails"
