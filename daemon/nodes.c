/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The nodes of the machine's memory, as the kernel lists them in sysfs. */

#include "nodes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "zsmalloc/account.h"

/* Those with memory: "possible" counts what a firmware might plug in, and each node makes an account dearer. */
#define NODES_PATH "/sys/devices/system/node/has_memory"
/* The kernel's MAX_NUMNODES is 1024 at most. */
#define NODE_MAX 1023

static void fclosep(FILE **file)
{
	if (*file)
		fclose(*file);
}

unsigned int zsd_nodes_parse(const char *list)
{
	unsigned long last = 0;

	for (;;) {
		char *end;

		if (!isdigit((unsigned char)*list))
			return 0;
		last = zs_max(last, strtoul(list, &end, 10));
		if (last > NODE_MAX || (*end && !strchr("-,\n", *end)))
			return 0;
		if (!*end || *end == '\n')
			return (unsigned int)last + 1;
		list = end + 1;
	}
}

unsigned int zsd_nodes_accounted(void)
{
	ZS_CLEANUP(fclosep) FILE *file = fopen(NODES_PATH, "re");
	char line[512];
	unsigned int nr = 0;

	if (file && fgets(line, sizeof(line), file))
		nr = zsd_nodes_parse(line);
	if (nr <= ZS_NODES_MAX)
		return zs_max(nr, 1U);
	zs_log(ZS_LOG_WARNING, "accounting stays off: the machine has node %u, and there are accounts for 0 to %d only",
	       nr - 1, ZS_NODES_MAX - 1);
	return 0;
}
