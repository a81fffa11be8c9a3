#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The RPM packages: they build from the tree, whatever is installed is in one of them, rpmlint finds no error, their
# scripts are shell, and what is in them runs.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need rpmbuild rpmlint rpm2cpio cpio

version=$(sed -nE "s/^  version: '(.*)',/\1/p" "$SOURCE/meson.build")
equal "the version in the spec" "$(sed -nE 's/^Version: +//p' "$SOURCE/rpm/zsd.spec")" "$version"

# What systemd-rpm-macros defines elsewhere, and Debian does not have: its directories, and what its scripts are. The
# user's is made while the spec is read. And as in some distributions, there is no directory sbin any more.
directory()
{
	pkg-config --variable="$1" systemd
}
cat >macros <<END
%_topdir $test_dir/rpm
%_unitdir $(directory systemdsystemunitdir)
%_userunitdir $(directory systemduserunitdir)
%_sysusersdir $(directory sysusersdir)
%_tmpfilesdir $(directory tmpfilesdir)
%_journalcatalogdir $(directory catalogdir)
%_sbindir %{_bindir}
%sysusers_create_compat() : sysusers %(grep ^u %{?*})
%systemd_post() : post %{?*}
%systemd_preun() : preun %{?*}
%systemd_postun() : postun %{?*}
END

step "building"
mkdir -p rpm/SOURCES
tar -C "$SOURCE" --exclude='./build*' --exclude=./.git --transform "s@^\.@zsd-$version@" \
	-czf "rpm/SOURCES/zsd-$version.tar.gz" .
cp "$SOURCE/systemd/zsd.sysusers" rpm/SOURCES
# What it needs is installed, but by another package manager.
rpmbuild --load macros --nodeps -ba "$SOURCE/rpm/zsd.spec" >build.log 2>&1 || fail "rpmbuild failed"
equal "packages" "$(basename -a rpm/RPMS/*/*.rpm | grep -v debug | sed 's/-0.*//' | paste -sd ' ')" \
	"libzs libzs-devel zsd"

step "rpmlint"
rpmlint --config "$SOURCE/rpm/rpmlint.toml" rpm/RPMS/*/*.rpm >lint.log 2>&1 || fail "rpmlint: $(cat lint.log)"

step "scripts, and what is in the packages"
for script in prein postin preun postun; do
	rpm -qp --queryformat "%{$script}\n" rpm/RPMS/*/zsd-"$version"*.rpm | sh -n || fail "$script is no shell script"
done
equal "the user's script" "$(rpm -qp --queryformat '%{prein}' rpm/RPMS/*/zsd-"$version"*.rpm | cut -d' ' -f1-4)" \
	": sysusers u zsd"
equal "the units' script" "$(rpm -qp --queryformat '%{postin}' rpm/RPMS/*/zsd-"$version"*.rpm | cut -d' ' -f1-4)" \
	": post zsd.service zsd.socket"
mkdir root
for package in rpm/RPMS/*/*.rpm; do
	rpm2cpio "$package" | cpio -idm --quiet -D root || fail "can't unpack $package"
done
equal "zsctl" "$(root/usr/bin/zsctl --version)" "zsctl $version"
cc -o program -x c - -Iroot/usr/include -Lroot/usr/lib64 -lzs <<'END' || fail "a program can't be built"
#include <libzs.h>

int main(void)
{
	struct zs_disks *disks;

	if (zs_disks_create(0, &disks))
		return 1;
	zs_disks_destroy(disks);
	return 0;
}
END
LD_LIBRARY_PATH=root/usr/lib64 ./program || fail "a program does not work"
