#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The Debian packages: they build from the tree, lintian finds no error, and on a booted system they install, run, keep
# the data over an upgrade, serve programs that are compiled with the library, and leave nothing when they are purged.
# Before that README.md's commands are typed there.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$self")/booted.sh"
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$self")/journey.sh"
need_root
need dpkg-buildpackage dh lintian

step "building"
mkdir -p packages/zsd
tar -C "$SOURCE" --exclude='./build*' --exclude=./.git -c . | tar -C packages/zsd -x
(cd packages/zsd && DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage -us -uc -b) >build.log 2>&1 ||
	fail "dpkg-buildpackage failed"
equal "packages" "$(cd packages && echo *.deb | sed -E 's/_[^ ]*//g')" "libzs-dev libzs0 zsd"

step "lintian"
lintian --allow-root --fail-on error,warning packages/*.changes || fail "lintian: see above"

# What is on the system, but for what dpkg, systemd and others keep of every package.
files()
{
	inside find /usr /etc /run /var/lib/systemd '(' -path /run/systemd -o -path /run/log -o -path /run/dbus -o \
		-path /run/credentials -o -path /run/lock ')' -prune -o -print |
		grep -vE '^/etc/(passwd|group|shadow|gshadow|subuid|subgid|ld\.so\.cache)-?$|/catalog/database$' |
		grep -vxE '/run/varlink(/registry)?' |
		LC_ALL=C sort
}

# shellcheck disable=SC2016
booted_start "
	cp $test_dir/packages/*.deb \$BOOTED_ROOT/root
	# Whoever types answers the questions.
	echo 'APT::Get::Assume-Yes \"true\";' >\$BOOTED_ROOT/etc/apt/apt.conf.d/90yes
	$journey_devices
"
files >before

# purged: what was not there before the packages were.
purged()
{
	local left
	files >after
	# ldconfig, too, may have removed something: links of the machine that lead nowhere.
	left=$(LC_ALL=C comm -13 before after)
	[[ -z $left ]] || fail "files are left: $left"
}

step "README.md"
journey_with_packages=yes
journey_type
# The drop-in is the administrator's; dpkg keeps it, and its directory.
inside rm -r /etc/zsd/zsd.conf.d
inside apt-get purge zsd >purge.log 2>&1 || fail "apt-get purge failed"
purged

debs=(/root/libzs0_*.deb /root/libzs-dev_*.deb /root/zsd_*.deb)
install()
{
	# Patterns of names in there.
	inside sh -c "DEBIAN_FRONTEND=noninteractive dpkg -i ${debs[*]}" >install.log 2>&1 || fail "dpkg -i failed"
}

step "installed: it runs"
install
wait_inside 20 "the service" has zsd.service ActiveState active
equal "zsd.service" "$(inside systemctl is-enabled zsd.service)" enabled
equal "zsd.socket" "$(inside systemctl is-enabled zsd.socket)" enabled
equal "the timer" "$(inside systemctl is-enabled zsd-metrics-textfile.timer || true)" disabled
equal "the user's service" "$(inside systemctl --global is-enabled zsd.service || true)" disabled
grep -q ' /run/zsd/mnt ' "/proc/$booted_manager/mountinfo" || fail "process 1 does not see the mount"
inside journalctl --list-catalog | grep -c 'zsd: ' >catalog || true
[[ $(<catalog) -ge 8 ]] || fail "the journal's catalogue has $(<catalog) texts of zsd"

step "an upgrade keeps the daemon and its data"
inside zsctl add vm0 --size 16M >/dev/null
inside dd if=/bin/bash of=/run/zsd/mnt/vm0 bs=64K conv=notrunc status=none
before=$(property zsd.service MainPID)
install
equal "the process" "$(property zsd.service MainPID)" "$before"
inside cmp -n "$(stat -c %s /bin/bash)" /bin/bash /run/zsd/mnt/vm0 || fail "vm0 differs after the upgrade"

step "a program that is compiled with the library"
inside tee /root/program.c >/dev/null <<'END'
#include <libzs.h>
#include <stdio.h>

int main(void)
{
	char *reply;

	if (zs_call(NULL, "io.zsd.control.List", NULL, &reply))
		return 1;
	puts(reply);
	return 0;
}
END
# shellcheck disable=SC2016
inside sh -c 'cc -o /root/program /root/program.c $(pkg-config --cflags --libs libzs)' || fail "it does not compile"
inside /root/program >devices || fail "it does not work"
grep -q '"vm0"' devices || fail "it says '$(<devices)'"

step "removed: it has stopped, and the configuration stays"
inside dpkg -r libzs-dev libzs0 zsd >remove.log 2>&1 || fail "dpkg -r failed"
! grep -q ' /run/zsd/mnt ' "/proc/$booted_manager/mountinfo" || fail "a mount is left"
inside test -f /etc/zsd/zsd.conf || fail "the configuration is gone"

step "purged: nothing is left"
inside dpkg -P libzs-dev libzs0 zsd >purge.log 2>&1 || fail "dpkg -P failed"
purged
