#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Devices with zspages of their own: chosen by the configuration or the command line, told by `zsctl stats`, and all
# that other tests ask of a daemon holds for it too.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# mode_is EXPECTED [ARGUMENT]...: of a daemon that is started like this.
mode_is()
{
	local expected=$1
	shift
	start_daemon "$@"
	equal "the mode" "$(pool_stat pool_mode)" "$expected"
	"$ZSCTL" stats | grep -E "pool_mode +$expected\$" >/dev/null || fail "zsctl stats does not print the mode"
	stop_daemon
}

step "which one it is"
mode_is singleton
mode_is per-device --pool-mode per-device
printf '[Pool]\nPoolMode=per-device\n' >own.conf
mode_is per-device --config own.conf
mode_is singleton --config own.conf --pool-mode singleton
refused "must be singleton or per-device" "$ZSD" --no-config --pool-mode shared
printf '[Pool]\n\nPoolMode=shared\n' >bad.conf
refused "bad.conf:3: [Pool] PoolMode=shared: no such mode; use singleton or per-device" \
	"$ZSD" --runtime-dir "$runtime" --config bad.conf

step "each of two small devices has zspages of its own"
zspages=()
for mode in singleton per-device; do
	start_daemon --pool-mode "$mode"
	for name in one two; do
		add "$name" 1M
		head -c 4096 /dev/urandom | dd of="$mnt/$name" conv=notrunc status=none
	done
	zspages+=("$(pool_stat zspages_active)")
	stop_daemon
done
equal "zspages" "${zspages[*]}" "1 2"

for name in differential limit remove; do
	step "$name, with per-device"
	ZSD_TEST_ROUNDS=5 ZSD_TEST_POOL_MODE=per-device "$SOURCE/tests/system/t-$name.sh" 2>&1 | sed 's/^/  /'
done
