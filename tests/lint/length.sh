#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Files of at most 500 lines, functions of at most 100; functions above 60 are listed, for a reader to judge. Lines of
# at most 120 columns, tabs counted as 8.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

file_lines_max=500
function_lines_max=100
function_lines_review=60

# In the kernel's brace style a function's body is between two braces in the first column; a table's initializer ends
# in "};". Prints "LINES LINE" of each body.
function_lengths()
{
	awk '/^\{/ { start = NR } /^\}$/ && start { print NR - start - 1, start; start = 0 }' "$1"
}

check_functions()
{
	local file=$1 lines line
	while read -r lines line; do
		if [[ $lines -gt $function_lines_max ]]; then
			finding "$file:$line: function of $lines lines"
		elif [[ $lines -gt $function_lines_review ]]; then
			echo "$file:$line: note: function of $lines lines"
		fi
	done < <(function_lengths "$file")
}

check_columns()
{
	local line
	while IFS=: read -r line _; do
		finding "$1:$line: longer than 120 columns"
	done < <(expand -t 8 "$1" | grep -nE '^.{121}' || true)
}

checked=0
for file in $(sources) $(scripts) $(find docs man tests -name '*.py'); do
	lines=$(wc -l <"$file")
	[[ $lines -le $file_lines_max ]] || finding "$file: $lines lines"
	check_columns "$file"
	[[ $file != *.[ch] ]] || check_functions "$file"
	checked=$((checked + 1))
done
conclude "$checked"
