#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The pages know everything that the programs do: each option and command, each column, each key of the configuration.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

checked=0

# in_page PAGE WORD...
in_page()
{
	local page=$1 text word
	text=$(mandoc -Tascii "man/$page" | sed 's/.\x08//g')
	shift
	for word in "$@"; do
		checked=$((checked + 1))
		grep -qE -- "(^|[^A-Za-z0-9_-])$word([^A-Za-z0-9_-]|\$)" <<<"$text" ||
			finding "man/$page: does not mention $word"
	done
}

# Prints the long options in a text.
options_in()
{
	grep -oE -- '(^|[ ,\[])--[a-z][a-z-]*' | tr -d ' ,[' | sort -u
}

zsctl_help=$("$BUILD/tools/zsctl" --help)
mapfile -t zsctl_options < <(options_in <<<"$zsctl_help")
mapfile -t zsd_options < <("$BUILD/daemon/zsd" --help | options_in)
# Commands stand in lines of their own below "Commands:".
mapfile -t commands < <(sed -nE '/^Commands:/,/^$/s/^  ([a-z][a-z-]*) .*/\1/p' <<<"$zsctl_help")
mapfile -t columns < <(sed -nE 's/^ +([A-Z][A-Z0-9-]+) .*/\1/p' <<<"$zsctl_help" | sort -u)
# The configuration reader's keys are strings of its source, in the form of keys.
mapfile -t keys < <(grep -ohE '"[A-Z][a-z]+([A-Z][a-z]+)*"' daemon/config*.c | tr -d '"' | sort -u)

[[ ${#zsctl_options[@]} -ge 8 ]] || finding "zsctl --help: only ${#zsctl_options[@]} options found"
[[ ${#zsd_options[@]} -ge 6 ]] || finding "zsd --help: only ${#zsd_options[@]} options found"
[[ ${#commands[@]} -ge 9 ]] || finding "zsctl --help: only ${#commands[@]} commands found"
[[ ${#columns[@]} -ge 9 ]] || finding "zsctl --help: only ${#columns[@]} columns found"
[[ ${#keys[@]} -ge 10 ]] || finding "daemon/config.c: only ${#keys[@]} keys found"

mapfile -t metrics < <(
	sed -nE 's/.*"(zsd_[a-z_]+)", "counter".*/\1_total/p; s/.*"(zsd_[a-z_]+)", "(gauge|histogram)".*/\1/p' \
		daemon/metrics.c | sort -u
	grep -oE 'write_one\(metrics, "zsd_[a-z_]+"' daemon/metrics.c | grep -oE 'zsd_[a-z_]+'
)
[[ ${#metrics[@]} -ge 20 ]] || finding "daemon/metrics.c: only ${#metrics[@]} metrics found"

in_page zsctl.1 "${metrics[@]}"
in_page zsctl.1 "${zsctl_options[@]}" "${columns[@]}" "${commands[@]}"
in_page zsd.8 "${zsd_options[@]}"
in_page zsd.conf.5 "${keys[@]}"

# The example configuration has the same keys, and no others.
while read -r key; do
	[[ " ${keys[*]} " == *" $key "* ]] || finding "systemd/zsd.conf: $key is no key"
	checked=$((checked + 1))
done < <(sed -nE 's/^#?([A-Z][A-Za-z]+)=.*/\1/p' systemd/zsd.conf | sort -u)
conclude "$checked"
