#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What `meson install` installs: all of it where it belongs, units without a finding of systemd-analyze, services not
# more exposed than 1.5 of 10, and a catalogue with a text for each event.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

exposure_max=15

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
meson install -C "$BUILD" --no-rebuild --quiet --destdir "$root"
units=$(dirname "$(find "$root" -path '*/system/zsd.service')")

user_units=usr/lib/systemd/user
libraries=$(dirname "$(cd "$root" && find usr -name libzs.so)")
expected=(usr/sbin/zsd usr/sbin/mount.zsd usr/bin/zsctl usr/libexec/zsd/zsd-mount usr/share/man/man1/zsctl.1
	usr/share/man/man3/libzs.3 usr/share/man/man8/{mount.zsd,zsd}.8
	usr/share/man/man5/zsd.conf.5 usr/share/man/man7/zsd-{internals,tuning,varlink}.7
	usr/share/zsd/io.zsd.{control,metrics}.varlink etc/zsd/zsd.conf
	"${units#"$root/"}"/zsd{.service,.socket,-metrics.socket,-metrics-textfile.service,-metrics-textfile.timer}
	"$user_units"/zsd{.service,.socket}
	usr/include/libzs.h "$libraries"/{libzs.so,libzs.so.0,libzs.so.0.1.0,pkgconfig/libzs.pc}
	usr/share/zsd/zsctl-words usr/share/bash-completion/completions/zsctl
	usr/share/zsh/site-functions/_zsctl usr/share/fish/vendor_completions.d/zsctl.fish
	usr/lib/sysusers.d/zsd.conf usr/lib/tmpfiles.d/zsd.conf usr/lib/systemd/catalog/zsd.catalog)
installed=$(cd "$root" && find . ! -type d -printf '%P\n' | sort)
diff <(printf '%s\n' "${expected[@]}" | sort) - <<<"$installed" || finding "installed is not what was expected"

# verify DIRECTORY [OPTION]: the commands in the units are looked for; they are below $root.
verify()
{
	local output
	sed -i -E "s@=(\+?)/usr/(sbin/zsd|libexec/zsd|bin/zsctl)@=\1$root/usr/\2@" "$1/zsd.service"
	output=$(XDG_RUNTIME_DIR=$root SYSTEMD_UNIT_PATH=$1: \
		systemd-analyze "${@:2}" verify --man=no "$1"/zsd*.* 2>&1) ||
		finding "systemd-analyze verify failed: $output"
	# Units of the machine may have flaws of their own.
	! grep -E 'zsd' <<<"$output" || finding "systemd-analyze verify: see above"
}
verify "$units"
verify "$root/$user_units" --user

for page in $(grep -ohE 'man:[a-z.]+\([1-8]\)' "$units"/zsd* "$root/$user_units"/zsd* | tr -d ')' | sort -u); do
	page=${page#man:} section=${page#*(}
	[[ -f $root/usr/share/man/man$section/${page%(*}.$section ]] || finding "Documentation=: there is no $page)"
done

for service in "$units"/zsd*.service; do
	systemd-analyze security --offline=true --threshold="$exposure_max" "$service" >"$root/security" ||
		{ finding "$service is too exposed"; cat "$root/security"; }
	tail -n 1 "$root/security"
done

# The catalogue and the daemon know the same events.
diff <(sed -nE 's/^-- ([0-9a-f]{32})$/\1/p' "$root/usr/lib/systemd/catalog/zsd.catalog" | sort) \
	<(sed -nE 's/.*= "([0-9a-f]{32})",$/\1/p' daemon/journal.c | sort) || finding "zsd.catalog: see above"

systemd-sysusers --dry-run "$root/usr/lib/sysusers.d/zsd.conf" || finding "zsd.sysusers: see above"
# The lock file is given to the user.
if [[ $EUID -eq 0 ]]; then
	systemd-sysusers --root "$root" "$root/usr/lib/sysusers.d/zsd.conf"
	systemd-tmpfiles --create --root "$root" "$root/usr/lib/tmpfiles.d/zsd.conf" ||
		finding "zsd.tmpfiles: see above"
	[[ $(stat -c %a "$root/run/zsd/zsd.lock") == 644 ]] || finding "zsd.tmpfiles: makes no lock file"
fi
conclude ${#expected[@]}
