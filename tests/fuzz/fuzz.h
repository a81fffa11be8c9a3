#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a fuzz target defines, and libFuzzer or driver.c calls: any bytes; it aborts when a promise is broken. */

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
