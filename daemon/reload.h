#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the configuration again while the daemon runs. It is read as a whole first: if it would be refused at start,
 * nothing is changed. Then each key whose value differs from before is changed, or it is said what that takes.
 *
 * Context: the control thread only.
 */

#include <jansson.h>

struct zsd_service;

/*
 * *ret_report is the result of the method Reload, and *ret_messages, an array of strings, what is wrong with the files.
 * Returns 0, -EINVAL (refused; only the messages are set), -ENOMEM or an errno of reading.
 */
int zsd_reload(struct zsd_service *service, json_t **ret_report, json_t **ret_messages);
