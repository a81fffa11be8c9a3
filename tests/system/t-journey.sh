#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# README.md's commands for a machine with systemd, typed on one that is booted, after "meson install". The test packages
# types them after installing the package.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$self")/booted.sh"
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$self")/journey.sh"
need_root
need meson mkfs.ext4 losetup
[[ -e /dev/loop-control ]] || modprobe loop || skip "needs loop devices"

booted_start "
	DESTDIR=\$BOOTED_ROOT meson install -C '$BUILD' --no-rebuild --quiet
	$journey_devices
"
inside systemctl enable --now zsd.socket zsd.service 2>/dev/null || fail "the service does not start"
journey_type

step "systemd-analyze shows the configuration and its drop-ins"
inside systemd-analyze --no-pager cat-config zsd/zsd.conf >config
grep -q '^\[Device cache\]$' config || fail "the drop-in is not shown: $(<config)"
