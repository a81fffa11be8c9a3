/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checksums of objects. */

#include "zsmalloc/object.h"

#include <xxh_x86dispatch.h>

uint32_t zs_object_checksum(uint32_t meta, const void *payload)
{
	return (uint32_t)XXH3_64bits_dispatch(payload, zs_object_info(meta).size) ^ meta * UINT32_C(0x9e3779b1);
}
