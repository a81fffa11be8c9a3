#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs that are run by name, without a shell. */

/* Runs argv[0] and waits for it. Returns its exit status, 128 + signal, 127 (could not be run). */
int zsctl_run_program(const char *const *argv);
