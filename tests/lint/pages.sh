#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The man pages have no finding of mandoc's lint, warnings included, and show no text that was lost in markup.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

checked=0
for page in man/*.[1-8]; do
	mandoc -Tlint -Wwarning "$page" || finding "$page: see above"
	[[ $(mandoc -Tascii "$page" | wc -l) -gt 30 ]] || finding "$page: is next to empty"
	checked=$((checked + 1))
done
conclude "$checked"
