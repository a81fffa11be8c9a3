#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs the system tests without meson: all of them, or those that are named ("run.sh data loop").
# Prints one line a test, the log of those that fail, and a summary; exit status 1 if one failed.
set -euo pipefail

directory=$(dirname "$(readlink -f "$0")")
seconds_max=${ZSD_TEST_SECONDS:-600}
passed=0 failed=0 skipped=0
logs=$(mktemp -d "${TMPDIR:-/tmp}/zsd-logs.XXXXXX")
trap 'rm -rf "$logs"' EXIT

# run_one SCRIPT
run_one()
{
	local name status=0 start=$SECONDS
	name=$(basename "$1" .sh)
	name=${name#t-}
	timeout --kill-after=30 "$seconds_max" "$1" >"$logs/$name" 2>&1 </dev/null || status=$?
	case $status in
	0)
		echo "ok   $name $((SECONDS - start)) s"
		passed=$((passed + 1))
		;;
	77)
		echo "skip $name: $(tail -n 1 "$logs/$name")"
		skipped=$((skipped + 1))
		;;
	*)
		[[ $status -ne 124 ]] || echo "FAIL: not done after $seconds_max seconds" >>"$logs/$name"
		echo "FAIL $name $((SECONDS - start)) s"
		sed 's/^/     /' "$logs/$name"
		failed=$((failed + 1))
		;;
	esac
}

if [[ $# -gt 0 ]]; then
	scripts=()
	for name in "$@"; do
		name=$(basename "$name" .sh)
		scripts+=("$directory/t-${name#t-}.sh")
	done
else
	scripts=("$directory"/t-*.sh)
fi
for script in "${scripts[@]}"; do
	run_one "$script"
done
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed -eq 0 && $passed -gt 0 ]]
