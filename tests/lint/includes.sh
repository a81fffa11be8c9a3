#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The folders are layers, and includes go one way only. A header that is named without a folder is the including
# folder's own. Some facilities have one user each, so that whoever wants to replace them knows where to look.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

# Folder: the folders that it may include.
declare -A may_include=(
	[base]="base"
	[zsmalloc]="base zsmalloc"
	[codec]="base codec"
	[ctl]="base ctl"
	[store]="base codec zsmalloc store"
	[api]="base codec zsmalloc store ctl api"
	[daemon]="base codec zsmalloc store ctl daemon"
	[tools]="base ctl tools"
)

# Pattern of what is used, and pattern of the files that may; about includes and calls in lib/, daemon/ and tools/.
single_users=(
	'#include <(fuse|fuse3/|fuse_)|linux/fuse\.h|"/dev/fuse"' '^(daemon/(transport|fuse_|mount)|tools/cmd_doctor)'
	'#include <liburing|(^|[^/.])\bio_uring_' '^(lib/store/uring|daemon/transport_uring)'
	'\b(mmap|munmap|mremap|memfd_create|madvise) ?\(' '^(lib/zsmalloc/arena\.c|daemon/)'
	'\bfallocate ?\(' '^(lib/zsmalloc/arena\.c|lib/store/backing_file\.c|daemon/)'
	'#include <systemd/' '^daemon/'
	'#include <libsmartcols' '^tools/'
	'#include <libmount' '^daemon/mount'
	'#include <(zstd|zdict|lz4)' '^lib/codec/'
	'#include <sodium' '^lib/store/backing_crypt\.c'
)

# The folder of a file: of lib/ the part below.
folder_of()
{
	local path=${1#lib/}
	echo "${path%%/*}"
}

# check_include FILE HEADER
check_include()
{
	local file=$1 header=$2 from to
	from=$(folder_of "$file")
	case $header in
	*/*) to=${header%%/*} ;;
	*) to=$from ;;
	esac
	[[ " ${may_include[$from]:-} " == *" $to "* ]] || finding "$file: $from must not include $header"
	[[ $header != *_internal.h || $from == "$to" ]] || finding "$file: $header is for $to and tests only"
}

check_single_users()
{
	local index file users pattern
	for ((index = 0; index < ${#single_users[@]}; index += 2)); do
		pattern=${single_users[index]} users=${single_users[index + 1]}
		while read -r file; do
			[[ $file =~ $users ]] || finding "$file: only $users may use $pattern"
		done < <(without_comments "$pattern")
	done
}

# The files in which a pattern occurs in code.
without_comments()
{
	grep -rlE --include='*.[ch]' -- "$1" lib daemon tools | while read -r file; do
		sed -E 's@/\*.*\*/@@; /^[[:space:]]*(\/\*|\*)/d; s@//.*@@' "$file" |
			grep -E -- "$1" >/dev/null && echo "$file"
	done || true
}

checked=0
while read -r file header; do
	check_include "$file" "$header"
	checked=$((checked + 1))
done < <(grep -rE --include='*.[ch]' '^#include "' lib daemon tools | sed -E 's/^([^:]*):#include "([^"]*)".*/\1 \2/')
check_single_users
conclude "$checked"
