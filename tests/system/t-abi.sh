#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What programs that were compiled with an earlier libzs rely on is as lib/libzs.abi has it: functions, and the types in
# their arguments. Whoever means to change it replaces the file by the one that this test names; what is not only an
# addition needs another soname.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"
need abidw abidiff meson

meson setup "$test_dir/build" "$SOURCE" --buildtype=debug -Dtests=false >build.log 2>&1 || fail "meson failed"
object=$(meson introspect build --targets | python3 -c '
import json, sys
print(next(t["filename"][0] for t in json.load(sys.stdin) if t["type"] == "shared library"))')
ninja -C build "${object#"$test_dir/build/"}" >build.log 2>&1 || fail "the library can't be built"

# types HEADERS: the ABI of the library, of the types in these headers, with nothing in it that is of this machine.
types()
{
	abidw --headers-dir "$1" --drop-private-types --no-show-locs --no-corpus-path --no-comp-dir-path \
		--no-elf-needed --exported-interfaces-only --type-id-style hash "$object"
}
types "$SOURCE/lib/api" | sed '1 a <!-- SPDX-License-Identifier: LGPL-2.1-or-later -->' >now.abi
grep -q "name='zs_disk_options'.*size-in-bits" now.abi || fail "abidw knows no types"
step "compared with lib/libzs.abi"
abidiff "$SOURCE/lib/libzs.abi" now.abi || {
	cp now.abi "$BUILD/libzs.abi"
	fail "the ABI differs from lib/libzs.abi; if that is meant: cp $BUILD/libzs.abi lib/"
}
