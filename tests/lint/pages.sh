#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The man pages, also those that are generated, have no finding of mandoc's lint, warnings included but for the place of
# their examples, which stand early, and show no text that was lost in markup; those of ours that they refer to exist;
# and all are installed, see units.sh. In what is made of the interfaces, all that is described by fields has a text.
# README.md links to files that there are.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

pages=(man/*.[1-8] "$BUILD"/man/*.[1-8])
# What stands behind the examples counts as too late.
examples_early='sections out of conventional order: Sh \(ENVIRONMENT\|EXIT STATUS\|FILES\)$'
checked=0
for page in "${pages[@]}"; do
	found=$(mandoc -Tlint -Wwarning "$page" | grep -v "$examples_early" || true)
	[[ -z $found ]] || finding "$page: $found"
	[[ $(mandoc -Tascii "$page" | wc -l) -gt 30 ]] || finding "$page: is next to empty"
	while read -r name section; do
		[[ " ${pages[*]} " == *"/$name.$section "* ]] || finding "$page: there is no $name($section)"
	done < <(sed -nE 's/^\.Xr ((zs|libzs)[a-z.-]*) ([1-8]).*/\1 \3/p' "$page")
	checked=$((checked + 1))
done

# Quotes around an argument of a macro are its own, and not shown; those within one are.
while read -r line; do
	finding "$line: write \\(dq for a quote that is to be seen"
done < <(grep -nE '^\.(Ql|Li|Dq|Sq) (.* )?"' "${pages[@]}")

while read -r link; do
	[[ -e $link ]] || finding "README.md: there is no $link"
done < <(grep -oE '\]\([^)#:]+\)' README.md | tr -d '()]')

# A head of a list or section that nothing is said below.
while read -r line; do
	finding "zsd-varlink.7: '$line' has no text; a comment is missing in daemon/interface*.c"
done < <(awk '
	/^\.(It|Ss|El|Sh|Bd)/ && head { print head }
	{ head = /^\.(It|Ss) / ? $0 : "" }' "$BUILD/man/zsd-varlink.7")
conclude "$checked"
