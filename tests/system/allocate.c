/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* allocate MODE OFFSET LENGTH FILE: fallocate(2) with any mode, also those that fallocate(1) would not ask for. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char *argv[])
{
	int fd = argc == 5 ? open(argv[4], O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0) {
		fprintf(stderr, "allocate: %s\n", argc == 5 ? strerror(errno) : "usage: MODE OFFSET LENGTH FILE");
		return 2;
	}
	if (fallocate(fd, (int)strtol(argv[1], NULL, 0), strtoll(argv[2], NULL, 0), strtoll(argv[3], NULL, 0))) {
		fprintf(stderr, "allocate: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
