# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced by every check. A check prints one line a finding and goes on; the script fails at its end if there was one.
# SOURCE: the tree to look at. BUILD: where it was built.
set -euo pipefail

: "${SOURCE:=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..}"
: "${BUILD:=$SOURCE/build}"
cd "$SOURCE"
findings=0

# finding TEXT...
finding()
{
	echo "$*"
	findings=$((findings + 1))
}

skip()
{
	echo "skip: $*"
	exit 77
}

# Call at the end. $1: what was looked at, so that a check that looked at nothing is seen to fail.
conclude()
{
	[[ $1 -gt 0 ]] || finding "nothing was checked"
	echo "$1 checked, $findings findings"
	[[ $findings -eq 0 ]]
}

# The C files of the tree.
sources()
{
	find lib daemon tools tests -name '*.[ch]' | sort
}

# The bash scripts of the tree, by their first line or their suffix.
scripts()
{
	local file
	{
		find dev .ci docs tests systemd tools -type f '(' -name '*.sh' -o -name '*-words' ')'
		for file in dev .ci/*; do
			head -n 1 "$file" | grep -q bash && echo "$file"
		done
	} | sort -u
}
