#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What `meson install` installs: all of it where it belongs, units without a finding of systemd-analyze, and not more
# exposed than 3.7 of 10. Without a mount namespace of its own a service can't get further down.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

exposure_max=37
# Each of these would give the service a mount namespace, in which its mount is nobody else's.
hides_mount='PrivateDevices|PrivateMounts|PrivateTmp|ProtectControlGroups|ProtectHome|ProtectKernelLogs|ProtectProc'
hides_mount+='|ProtectKernelModules|ProtectKernelTunables|ProtectSystem|ProcSubset|MountFlags|RootDirectory|RootImage'
hides_mount+='|ReadOnlyPaths|ReadWritePaths|InaccessiblePaths|NoExecPaths|TemporaryFileSystem|BindPaths'
hides_mount+='|BindReadOnlyPaths|DynamicUser|PrivateIPC|PrivateUsers'

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
meson install -C "$BUILD" --no-rebuild --quiet --destdir "$root"
units=$(dirname "$(find "$root" -name zsd.service)")

expected=(usr/sbin/zsd usr/bin/zsctl usr/share/man/man1/zsctl.1 usr/share/man/man5/zsd.conf.5
	usr/share/man/man7/zsd-internals.7 usr/share/man/man8/zsd.8 etc/zsd/zsd.conf
	"${units#"$root/"}/zsd.service" "${units#"$root/"}/zsd.socket"
	usr/lib/sysusers.d/zsd.conf usr/lib/tmpfiles.d/zsd.conf)
installed=$(cd "$root" && find . -type f -printf '%P\n' | sort)
diff <(printf '%s\n' "${expected[@]}" | sort) - <<<"$installed" || finding "installed is not what was expected"

# The commands in the units are looked for; they are below $root.
sed -i "s@=/usr/sbin/zsd@=$root/usr/sbin/zsd@" "$units/zsd.service"
export SYSTEMD_UNIT_PATH=$units:
output=$(systemd-analyze verify --man=no "$units"/zsd.{service,socket} 2>&1) ||
	finding "systemd-analyze verify failed"
# Units of the machine may have flaws of their own.
grep -E 'zsd' <<<"$output" && finding "systemd-analyze verify: see above"

for page in $(grep -ohE 'man:[a-z.]+\([1-8]\)' "$units"/zsd.{service,socket} | tr -d ')' | sort -u); do
	page=${page#man:} section=${page#*(}
	[[ -f $root/usr/share/man/man$section/${page%(*}.$section ]] || finding "Documentation=: there is no $page)"
done

systemd-analyze security --offline=true --threshold="$exposure_max" "$units/zsd.service" >"$root/security" ||
	{ finding "zsd.service is too exposed"; cat "$root/security"; }
tail -n 1 "$root/security"
grep -nE "^($hides_mount)=" "$units/zsd.service" && finding "zsd.service: hides the mount from the host"

systemd-sysusers --dry-run "$root/usr/lib/sysusers.d/zsd.conf" || finding "zsd.sysusers: see above"
systemd-tmpfiles --create --root "$root" "$root/usr/lib/tmpfiles.d/zsd.conf" || finding "zsd.tmpfiles: see above"
[[ -d $root/run/zsd ]] || finding "zsd.tmpfiles: makes no /run/zsd"
conclude ${#expected[@]}
