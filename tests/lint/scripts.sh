#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# All scripts pass shellcheck; those with a first line for the kernel can be executed, those without are sourced.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# SC2119, SC2120: functions with optional arguments are called without. SC2012: what ls prints is what is tested.
# SC2017: whole blocks are what is left of a division.
allowed=SC2119,SC2120,SC2012,SC2017

checked=0
for script in $(scripts); do
	shellcheck -x -S style -e "$allowed" "$script" || finding "$script: see above"
	if head -n 1 "$script" | grep -q '^#!'; then
		[[ -x $script ]] || finding "$script: is not executable"
	fi
	checked=$((checked + 1))
done
for script in $(find docs man tests -name '*.py' | sort); do
	python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$script" ||
		finding "$script: see above"
	checked=$((checked + 1))
done
conclude "$checked"
