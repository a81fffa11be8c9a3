#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The records in zsd-internals(7) are those of the sources: offsets of fields, bits and states are taken from the page
# and compiled as assertions against the headers. Whoever changes a record is reminded of the page, and of the layout's
# version, which is pinned here, too.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "$0")")/common.sh"

page=man/zsd-internals.7
rows=$(tr -s ' ' <"$page")

# row TEXT: the page must have this row, runs of blanks being alike. Answers the row's first column in $first.
row()
{
	local text
	checked=$((checked + 1))
	text=$(grep -m 1 -E -- "^ [0-9-]+( [0-9]+)? $1" <<<"$rows") ||
		finding "$page: has no row '$1'" >&2
	first=$(cut -d' ' -f2 <<<"$text")
	last=${first#*-}
	first=${first%-*}
}

# field STRUCT MEMBER TEXT: the row's offset is the member's.
field()
{
	row "$3"
	echo "static_assert(offsetof(struct $1, $2) == $first, \"$1.$2\");"
}

# bits EXPRESSION TEXT: the expression has all bits of the row, and no others.
bits()
{
	row "$2"
	echo "static_assert((uint64_t)($1) == ((UINT64_C(2) << $last) - (UINT64_C(1) << $first)), \"$2\");"
}

assertions()
{
	cat <<-'END'
		#include <assert.h>
		#include <stddef.h>
		#include "base/residue.h"
		#include "store/backing_format.h"
		#include "store/dictionaries_internal.h"
		#include "store/entry.h"
		#include "store/group_internal.h"
		#include "store/segments.h"
		#include "store/slot.h"
		#include "zsmalloc/arena.h"
		#include "zsmalloc/handle.h"
		#include "zsmalloc/object.h"
		static_assert(ZS_ARENA_LAYOUT_VERSION == 5, "update the page and this check with the layout");
	END
	field zs_device_entry id 'id, sealed'
	field zs_device_entry current 'current, sealed'
	field zs_device_entry 'attributes[0]' 'attributes, copy 0'
	field zs_device_entry 'attributes[1]' 'attributes, copy 1'
	field zs_device_entry size_bytes 'size, bytes'
	field zs_device_entry table_offset 'offset of the slot table'
	field zs_device_entry created_sec 'time of creation'
	field zs_device_entry block_size 'block size'
	field zs_device_entry name 'name, ends in NUL'
	field zs_device_entry group 'group: index'
	field zs_device_entry checksum 'XXH3-64 of id'
	field zs_device_attributes mode 'mode'
	field zs_device_attributes uid 'uid'
	field zs_device_attributes gid 'gid'
	field zs_device_attributes flags 'flags: bit 0 says that the kernel'
	field zs_device_attributes memory_limit_bytes 'memory limit, bytes'
	field zs_device_attributes codecs 'codecs: that of writes'
	field zs_device_attributes checksum 'XXH3-64 of the six above'
	field zs_group_entry used 'used, sealed'
	field zs_group_entry limit_pages 'limit, sealed'
	field zs_group_entry name 'name of the group'
	field zs_group_entry checksum 'XXH3-64 of used'
	field zs_backing_entry current 'current copy, sealed'
	field zs_backing_entry 'attributes[0]' 'file attributes, copy 0'
	field zs_backing_entry 'attributes[1]' 'file attributes, copy 1'
	field zs_backing_attributes id 'id of the file, random'
	field zs_backing_attributes segment_bytes 'size of a segment, bytes'
	field zs_backing_attributes flags 'flags: bit 0 encrypted, bit 1 the budget'
	field zs_backing_attributes budget_day 'budget: day'
	field zs_backing_attributes budget_written_bytes 'budget: bytes written'
	field zs_backing_attributes budget_limit_bytes 'budget: bytes a day'
	field zs_backing_attributes budget_remaining_bytes 'budget: bytes left'
	field zs_backing_attributes key 'key of an encrypted file'
	field zs_backing_attributes checksum 'XXH3-64 of the eight above'
	field zs_dictionary_entry id 'id, sealed: generation; 0'
	field zs_dictionary_entry device_id 'whose it is'
	field zs_dictionary_entry content_checksum 'XXH3-64 of the content'
	field zs_dictionary_entry created_sec 'time of training'
	field zs_dictionary_entry size 'size of the content'
	field zs_dictionary_entry version 'version, of the device'
	field zs_dictionary_entry checksum 'XXH3-64 of id and of all from offset 8'
	field zs_budget_page sequence 'number of the copy'
	field zs_budget_page day 'day of the budget'
	field zs_budget_page written_bytes 'bytes written on the day'
	field zs_budget_page limit_bytes 'bytes a day, 0 = any'
	field zs_budget_page remaining_bytes 'bytes left of the total limit'
	field zs_budget_page is_counted '1: there is a total limit'
	field zs_budget_page configured_limit_bytes 'DailyLimit= as it was'
	field zs_budget_page configured_total_bytes 'TotalLimit= as it was'
	field zs_budget_page checksum 'XXH3-64 of the nine above'
	field zs_record_header seal 'seal: low half'
	field zs_record_header handle 'handle of the object$'
	field zs_record_header meta 'meta, as in memory'
	field zs_record_header block 'block, low 32 bits'
	field zs_record_header device_id 'id of the device'
	field zs_record_header checksum 'checksum of the payload, as in memory'
	bits 'UINT64_C(3)' 'state: 0 free, 1 in flight, 2 valid, 3 quarantined'
	bits 'ZS_RESIDUE_VALUE_MASK & ~UINT64_C(3)' 'sequence number of this use'
	field zs_object_header handle 'handle: the way back'
	field zs_object_header meta 'meta: bits 0-16'
	field zs_object_header checksum 'low half of XXH3-64'
	bits 'UINT32_MAX' 'handle of the object, or'
	bits 'UINT64_C(3) << ZS_SLOT_STATE_SHIFT' 'state: 0 empty, 1 object, 2 same-filled, 3 lost'
	bits 'ZS_SLOT_INCOMPRESSIBLE' 'incompressible: the object'
	bits '~ZS_RESIDUE_VALUE_MASK' 'residue$'
	bits 'ZS_HANDLE_PINS_MASK' 'pins:'
	bits 'ZS_HANDLE_LOCK' 'lock: a mover'
	bits 'UINT64_C(3) << ZS_HANDLE_STATE_SHIFT' 'state: 0 free, 1 live, 2 backed, 3 doomed'
	bits 'UINT64_C(0xfff) << ZS_HANDLE_LOCATION_SHIFT' 'index of the object in its zspage'
	bits 'UINT64_C(0xff) << (ZS_HANDLE_LOCATION_SHIFT + ZS_LOCATION_INDEX_BITS)' 'size class'
	cat <<-'END'
		static_assert(!ZS_SLOT_EMPTY && ZS_SLOT_OBJECT == 1 && ZS_SLOT_SAME == 2 && ZS_SLOT_LOST == 3, "slot");
		static_assert(!ZS_HANDLE_FREE && ZS_HANDLE_LIVE == 1, "handle");
		static_assert(ZS_HANDLE_BACKED == 2 && ZS_HANDLE_DOOMED == 3, "handle");
	END
}

checked=0
source_file=$(mktemp --suffix=.c)
trap 'rm -f "$source_file"' EXIT
assertions >"$source_file"
gcc -std=gnu17 -D_GNU_SOURCE -Ilib -fsyntax-only "$source_file" || finding "$page: differs from the headers, see above"
conclude "$checked"
