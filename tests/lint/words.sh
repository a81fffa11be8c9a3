#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every file says its licence; nothing is left half done, and nothing points to one developer's machine.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# The patterns are written so that they do not find themselves.
unfinished='\b(TO''DO|FIX''ME|XX''X|HA''CK)\b'
# A path that begins with one of these: a word character before it would make it part of another path.
machine_paths='(^|[^A-Za-z0-9_.}/-])/(wo''rk|home/[a-z]+|tmp/zs''d)/'

files()
{
	find . '(' -path './build*' -o -path './obj-*' -o -path ./.git ')' -prune -o -type f -print |
		sed 's@^\./@@' |
		grep -vE '^debian/(changelog|copyright|source/format|files|(tmp|zsd|libzs0|libzs-dev)/.*)$' |
		grep -vE '^debian/(.*\.substvars|.*debhelper.*)$' |
		grep -vE '^tests/fuzz/corpus-|\.(orig|rej|swp|png)$|/__pycache__/|^LICENSE$|^\.gitignore$' | sort
}

checked=0
for file in $(files); do
	checked=$((checked + 1))
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later' ||
		finding "$file: no SPDX line in the first three"
	while read -r line; do
		finding "$file:$line"
	done < <(grep -InE -- "$unfinished|$machine_paths" "$file" || true)
	[[ $(tail -c 1 "$file" | tr '\n\0' 'nz') == n ]] || finding "$file: no newline at the end"
	while IFS=: read -r line _; do
		finding "$file:$line: blanks at the end of the line"
	done < <(grep -InE '[[:blank:]]+$' "$file" || true)
done
conclude "$checked"
