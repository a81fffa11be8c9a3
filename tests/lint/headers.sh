#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each header compiles alone, with gcc and with clang, and twice in a row.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

library_flags=$(pkg-config --cflags fuse3 jansson libsystemd smartcols mount liburing libsodium)
read -ra library_flags <<<"$library_flags"
flags=(-std=gnu17 -D_GNU_SOURCE -Ilib -Idaemon -Itools -Itests -I. "${library_flags[@]}"
	-Wall -Wextra -Wno-unused-parameter -Werror -fsyntax-only -x c -)

checked=0
for header in $(find lib daemon tools tests -name '*.h' | sort); do
	for compiler in gcc clang; do
		printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
			"$compiler" -I"$(dirname "$header")" "${flags[@]}" ||
			finding "$header: does not compile alone with $compiler"
	done
	head -n 1 "$header" | grep -qx '#pragma once' || finding "$header: does not begin with #pragma once"
	checked=$((checked + 1))
done
conclude "$checked"
