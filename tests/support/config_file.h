#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A configuration file that a unit test writes and loads, and what is said about it. One at a time; one thread. */

#include "config.h"

#define TEST_CONFIG_ROOM 4096

extern char test_config_path[64];
/* All log lines since the last load, each with its level and a newline. */
extern char test_config_lines[TEST_CONFIG_ROOM];

/* Of a suite: the file is made and log lines are kept; the file is removed. */
void test_config_set_up(void);
void test_config_tear_down(void);

void test_config_write(const char *text);
/* Writes the text and loads it; returns as zsd_config_load(). */
int test_config_load(const char *text, struct zsd_config **ret_config);
