#pragma once
/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One picture of top, as lines of text: it is the same on a terminal that curses draws on and as plain text.
 *
 *   pool  [################..............] 1.4G / 4G 36%
 *   vm0   [ssssccccccccccccciiww.........] 5.2G / 8G -> 1.4G 3.36x
 *         R  161M _.-=#=-  W   74M .-=-.  p50 11/17us  p99 64/140us
 *
 * A bar of a device is as long as the device is large: s same-filled, c compressed, i incompressible, w written back.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define ZSCTL_FRAME_COLUMNS 200
#define ZSCTL_FRAME_BYTES   (ZSCTL_FRAME_COLUMNS * 4)
#define ZSCTL_HISTORY	    10 /* samples of a sparkline */

enum zsctl_order { ZSCTL_BY_RATE, ZSCTL_BY_MEMORY, ZSCTL_BY_NAME, ZSCTL_NR_ORDERS };

struct zsctl_frame {
	/* set by the caller */
	unsigned int columns;
	unsigned int lines; /* 0 = as many as it takes */
	bool utf8;
	enum zsctl_order order;
	double pressure;     /* percent of the time that some process waits for memory; less than 0: not known */
	const json_t *usage; /* what Usage answers, instead of the devices; borrowed; NULL: the devices */
	void (*put)(unsigned int line, const char *text, void *data); /* text has no newline */
	void *data;

	json_t *history; /* the frame's own, from one to the next: {NAME: {"r": [rate], "w": [rate]}} */
};

void zsctl_frame_deinit(struct zsctl_frame *frame);

/*
 * Draws. status is what Status answers, devices and rates are rows of list and of iostat with latencies, in any order.
 * Returns 0 or -ENOMEM.
 */
int zsctl_frame_draw(struct zsctl_frame *frame, const json_t *status, const json_t *devices, const json_t *rates);
