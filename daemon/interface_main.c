/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * interface_text NAME: prints the definition of an interface that the daemon serves, for the manual page and for the
 * file that is installed. It is run by the build only.
 */

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "interface.h"

int main(int argc, char **argv)
{
	ZS_CLEANUP_FREE char *text = argc == 2 ? zsd_interface_text(argv[1]) : NULL;

	if (!text) {
		fputs("usage: interface_text NAME, of an interface that there is\n", stderr);
		return EXIT_FAILURE;
	}
	return fputs(text, stdout) < 0 || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
