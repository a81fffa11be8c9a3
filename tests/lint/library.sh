#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The library as others get it: the installed header compiles alone, as strict C and as C++; the shared object exports
# what the header declares, and nothing else; a program that is built with pkg-config's answers runs, in both languages.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
meson install -C "$BUILD" --no-rebuild --quiet --destdir "$root"
header=$(find "$root" -name libzs.h)
object=$(find "$root" -name 'libzs.so.0')
package=$(find "$root" -name libzs.pc)
[[ $header && $object && $package ]] || { finding "header, libzs.so.0 or libzs.pc are not installed"; conclude 1; }

strict=(-Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$(dirname "$header")")
for language in c:c99 c:c11 c:c17 c++:c++11 c++:c++17; do
	compiler=gcc
	[[ $language == c:* ]] || compiler=g++
	printf '#include <libzs.h>\n#include <libzs.h>\n' |
		"$compiler" -x "${language%:*}" -std="${language#*:}" "${strict[@]}" - ||
		finding "libzs.h: does not compile alone as ${language#*:}"
done

declared=$(sed -nE 's/^ZS_PUBLIC .*[ *](zs_[a-z_]+)\(.*/\1/p' "$header" | sort)
exported=$(nm -D --defined-only "$object" | sed -nE 's/.* T ([^@]+)@@LIBZS_0$/\1/p' | sort)
[[ $(wc -l <<<"$declared") -ge 10 ]] || finding "libzs.h: only $(wc -l <<<"$declared") functions found"
diff <(echo "$declared") <(echo "$exported") || finding "libzs.so does not export what libzs.h declares"
listed=$(sed -nE 's/^ (zs_[a-z_]+)@LIBZS_0 .*/\1/p' debian/libzs0.symbols | sort)
diff <(echo "$declared") <(echo "$listed") || finding "debian/libzs0.symbols does not list what libzs.h declares"
described=$(sed -nE "s/.*<elf-symbol name='(zs_[a-z_]+)'.*/\1/p" lib/libzs.abi | sort)
diff <(echo "$declared") <(echo "$described") || finding "lib/libzs.abi is not of libzs.h; see ./dev test packages"
others=$(nm -D --defined-only "$object" | grep -vE ' T zs_[a-z_]+@@LIBZS_0$| A LIBZS_0$' || true)
[[ -z $others ]] || finding "libzs.so exports more: $others"
objdump -p "$object" | grep -E 'SONAME +libzs\.so\.0$' >/dev/null || finding "the soname is not libzs.so.0"

# Each function has its prototype on the page, and is told about.
page=$(mandoc -Tascii man/libzs.3 | sed 's/.\x08//g')
for name in $declared; do
	for part in /^SYNOPSIS/,/^DESCRIPTION/ '/^DESCRIPTION/,/^RETURN/'; do
		sed -n "${part}p" <<<"$page" | grep -w "$name" >/dev/null ||
			finding "man/libzs.3: $name is not in $part"
	done
done
# members TYPE FILE: without comments.
members()
{
	sed -n "/^struct $1 {/,/^};/p" "$2" | sed 's@[[:blank:]]*/\*.*@@'
}

# Structures on the page are those of the header.
for type in zs_disk_options zs_disk_info; do
	diff <(members "$type" "$header") <(members "$type" man/libzs.3) ||
		finding "man/libzs.3: $type is not that of the header"
done

cat >"$root/program.c" <<'END'
#include <libzs.h>
#include <string.h>

int main(void)
{
	struct zs_disk_options options;
	struct zs_disks *disks;
	struct zs_disk *disk;
	char in[] = "something", out[sizeof(in)];
	size_t done;

	memset(&options, 0, sizeof(options));
	options.name = "a";
	options.size_bytes = 1 << 20;
	if (zs_disks_create(0, &disks) || zs_disks_add(disks, &options) || zs_disk_open(disks, "a", &disk))
		return 1;
	if (zs_disk_write(disk, 5, in, sizeof(in), &done) || zs_disk_read(disk, 5, out, sizeof(out)))
		return 2;
	zs_disk_close(disk);
	zs_disks_destroy(disks);
	return memcmp(in, out, sizeof(in)) ? 3 : 0;
}
END
export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR=$root
PKG_CONFIG_LIBDIR=$(dirname "$package")
read -ra flags <<<"$(pkg-config --cflags --libs libzs)"
for language in c c++; do
	compiler=gcc
	[[ $language == c ]] || compiler=g++
	"$compiler" -x "$language" -Wall -Werror -o "$root/program" "$root/program.c" -x none "${flags[@]}" ||
		finding "a program can't be built as $language"
	LD_LIBRARY_PATH=$(dirname "$object") "$root/program" || finding "a program in $language does not work"
	rm -f "$root/program"
done
conclude $(($(wc -l <<<"$declared") + 7))
