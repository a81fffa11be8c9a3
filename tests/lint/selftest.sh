#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The checks find what they are for: each is run on a small tree with one thing wrong in it, and on the tree without.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

checks=$SOURCE/tests/lint
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
licence='/* SPDX-License-Identifier: LGPL-2.1-or-later */'

# A tree in which nothing is wrong.
make_tree()
{
	rm -rf "${tree:?}"/*
	mkdir -p "$tree"/{lib/{base,zsmalloc,codec,ctl,store},daemon,docs,tools,tests,man,.ci,systemd}
	printf '#pragma once\n%s\n' "$licence" |
		tee "$tree"/{lib/{base/a,zsmalloc/b,zsmalloc/b_internal,codec/c,ctl/e,store/d},daemon/f}.h >/dev/null
	printf '%s\n#include "zsmalloc/b.h"\n\nint f(void)\n{\n\treturn 0;\n}\n' "$licence" >"$tree/lib/store/d.c"
	printf '#!/bin/bash\n# SPDX-License-Identifier: LGPL-2.1-or-later\n' | tee "$tree/dev" >"$tree/.ci/run"
	chmod +x "$tree/dev" "$tree/.ci/run"
}

# expect CHECK STATUS WHAT: runs a check on the tree.
expect()
{
	local status=0
	SOURCE=$tree "$checks/$1.sh" >"$tree.log" 2>&1 || status=$?
	[[ $status -eq $2 ]] || { finding "$1: status $status, not $2: $3"; cat "$tree.log"; }
	checked=$((checked + 1))
	rm -f "$tree.log"
}

# plant CHECK FILE WHAT: adds the lines of standard input to a file of a good tree; the check must fail.
plant()
{
	make_tree
	cat >>"$tree/$2"
	expect "$1" 1 "$3"
}

checked=0
make_tree
for check in includes headers length words scripts; do
	expect "$check" 0 "nothing is wrong"
done

plant includes lib/base/a.h "base includes store" <<<'#include "store/d.h"'
plant includes lib/codec/c.h "codec includes zsmalloc" <<<'#include "zsmalloc/b.h"'
plant includes lib/zsmalloc/b.h "zsmalloc includes codec" <<<'#include "codec/c.h"'
plant includes lib/ctl/e.h "ctl includes store" <<<'#include "store/d.h"'
plant includes tools/t.c "tools include the daemon" <<<'#include "daemon/f.h"'
plant includes lib/store/d.c "internal header of another folder" <<<'#include "zsmalloc/b_internal.h"'
plant includes lib/store/d.c "FUSE in the library" <<<'#include <fuse3/fuse_lowlevel.h>'
plant includes daemon/f.h "FUSE outside of the transport" <<<'#include <fuse_lowlevel.h>'
plant includes lib/store/d.c "mmap outside of the arena" <<<'	mmap(0, 1, 2, 3, 4, 5);'
plant headers lib/base/a.h "needs another header" <<<'extern uint64_t a;'
plant headers tools/t.h "no pragma" <<<'extern int a;'
plant length lib/store/d.c "501 lines" < <(printf '/* */\n%.0s' {1..501})
plant length lib/store/d.c "function of 101 lines" < <(echo '{'; printf '\ta();\n%.0s' {1..101}; echo '}')
plant length lib/store/d.c "line of 121 columns" < <(printf '\t%0113d\n' 0)
plant words lib/store/d.c "unfinished" <<<'/* TO''DO: more */'
plant words lib/store/d.c "machine path" <<<'/* see /wo''rk/notes */'
plant words lib/store/new.c "no licence" <<<'int a;'
plant words lib/store/d.c "trailing blank" <<<'int a; '
plant words lib/store/d.c "no newline" < <(printf 'int a;')
# shellcheck disable=SC2016
plant scripts dev "unquoted variable" <<<'rm $1'
plant scripts tests/t.py "not Python" <<<'def ('

make_tree
rm -rf "$tree"/lib/store/d.c
expect includes 1 "nothing to check"
conclude "$checked"
