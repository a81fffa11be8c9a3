/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* top */

#include "cmd.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "frame.h"
#include "options.h"
#include "rates.h"
#include "request.h"

#define INTERVAL_MS	 1000
#define ONCE_INTERVAL_MS 300
#define COLUMNS_DEFAULT	 80

/* What is drawn, and the sample before it. */
struct view {
	struct zs_client *client;
	struct zsctl_frame frame;
	bool shows_usage;
	struct zsctl_sample before;
	struct zsctl_sample now;
};

static void view_deinit(struct view *view)
{
	zs_client_destroy(view->client);
	zsctl_frame_deinit(&view->frame);
	zsctl_sample_deinit(&view->before);
	zsctl_sample_deinit(&view->now);
}

static enum zsctl_exit sample(struct view *view)
{
	zsctl_sample_deinit(&view->before);
	view->before = view->now;
	view->now = (struct zsctl_sample){};
	return zsctl_take_sample(view->client, "top", NULL, 0, true, &view->before, &view->now);
}

/* Of the machine, in the last 10 seconds; kernels may be built, or started, without it. */
static double memory_pressure(void)
{
	FILE *stream = fopen("/proc/pressure/memory", "re");
	double percent;

	if (!stream || fscanf(stream, "some avg10=%lf", &percent) != 1)
		percent = -1;
	if (stream)
		fclose(stream);
	return percent;
}

static enum zsctl_exit draw(struct view *view)
{
	CLEANUP_JSON json_t *status_report = NULL, *list = NULL, *rates = NULL, *usage = NULL;
	enum zsctl_exit status = zsctl_call(view->client, "top", "Status", json_object(), false, &status_report);

	if (!status)
		status = zsctl_call(view->client, "top", "List", json_object(), true, &list);
	if (!status && view->shows_usage)
		status = zsctl_call(view->client, "top", "Usage", json_object(), false, &usage);
	if (status)
		return status;
	view->frame.usage = usage;
	view->frame.pressure = memory_pressure();
	rates = zsctl_rates(&view->before, &view->now, false);
	if (!rates || zsctl_frame_draw(&view->frame, status_report, json_object_get(list, "devices"), rates))
		return zsctl_no_memory();
	return ZSCTL_OK;
}

/*
 * colours: of bars, where they say the same as the letters
 */

static bool colors_wanted(void)
{
	const char *no_color = getenv("NO_COLOR");

	return !no_color || !*no_color;
}

static short color_of(char letter)
{
	switch (letter) {
	case 's':
		return COLOR_CYAN;
	case 'c':
	case '#':
		return COLOR_GREEN;
	case 'i':
		return COLOR_YELLOW;
	case 'w':
		return COLOR_BLUE;
	default:
		return COLOR_WHITE;
	}
}

/*
 * once
 */

/* In the colours of the terminal, if there is one: data says so. */
static void put_text(unsigned int line, const char *text, void *data)
{
	const char *bar = strchr(text, '['), *end = bar ? strchr(bar, ']') : NULL;
	const bool *colors = data;

	if (!*colors || !end) {
		puts(text);
		return;
	}
	printf("%.*s", (int)(bar - text) + 1, text);
	for (bar++; bar < end; bar++)
		printf("\033[%dm%c", 30 + color_of(*bar), *bar);
	printf("\033[39m%s\n", end);
}

static unsigned int text_columns(void)
{
	const char *given = getenv("COLUMNS");
	struct winsize size;
	long columns = given ? strtol(given, NULL, 10) : 0;

	if (columns <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		columns = size.ws_col;
	return columns > 0 ? (unsigned int)zs_min(columns, ZSCTL_FRAME_COLUMNS) : COLUMNS_DEFAULT;
}

static enum zsctl_exit run_once(struct view *view)
{
	const struct timespec pause = {.tv_nsec = ONCE_INTERVAL_MS * 1000000};
	bool colors = isatty(STDOUT_FILENO) && colors_wanted();
	enum zsctl_exit status = sample(view);

	if (!status)
		nanosleep(&pause, NULL);
	if (!status)
		status = sample(view);
	view->frame.put = put_text;
	view->frame.data = &colors;
	view->frame.columns = text_columns();
	return status ?: draw(view);
}

/*
 * curses
 */

/* A line that is too long is cut by curses. */
static void put_curses(unsigned int line, const char *text, void *data)
{
	const char *bar = strchr(text, '['), *end = bar ? strchr(bar, ']') : NULL;
	const bool *colors = data;

	move((int)line, 0);
	if (*text == '!')
		attron(A_BOLD);
	if (!*colors || !end) {
		addstr(text);
		attroff(A_BOLD);
		return;
	}
	addnstr(text, (int)(bar - text) + 1);
	for (bar++; bar < end; bar++)
		addch((chtype)(unsigned char)*bar | (chtype)COLOR_PAIR(color_of(*bar)));
	addstr(end);
}

static bool start_colors(void)
{
	if (!colors_wanted() || !has_colors() || start_color() == ERR)
		return false;
	use_default_colors();
	for (short color = COLOR_RED; color <= COLOR_WHITE; color++)
		init_pair(color, color, -1);
	return true;
}

/* Answers false to end. */
static bool take_key(struct view *view, int key)
{
	if (key == 's')
		view->frame.order = (view->frame.order + 1) % ZSCTL_NR_ORDERS;
	if (key == '\n' || key == '\r' || key == KEY_ENTER)
		view->shows_usage = !view->shows_usage;
	return key != 'q' && key != 'Q';
}

static enum zsctl_exit run_curses(struct view *view)
{
	SCREEN *screen = isatty(STDOUT_FILENO) ? newterm(NULL, stdout, stdin) : NULL;
	enum zsctl_exit status = ZSCTL_OK;
	bool colors;

	if (!screen) {
		fputs("zsctl: top: this is no terminal to draw on; use --once\n", stderr);
		return ZSCTL_ERROR;
	}
	colors = start_colors();
	cbreak();
	noecho();
	curs_set(0);
	timeout(INTERVAL_MS);
	view->frame.put = put_curses;
	view->frame.data = &colors;
	do {
		/* Messages of a failure belong on the terminal as it was. */
		status = sample(view);
		view->frame.columns = (unsigned int)zs_min(COLS, ZSCTL_FRAME_COLUMNS);
		view->frame.lines = (unsigned int)LINES;
		erase();
		if (!status)
			status = draw(view);
		refresh();
	} while (!status && take_key(view, getch()));
	endwin();
	delscreen(screen);
	return status;
}

enum zsctl_exit cmd_top(const struct zsctl_options *options, char *const *names)
{
	ZS_CLEANUP(view_deinit) struct view view = {.frame.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0};
	enum zsctl_exit status = zsctl_connect(options, &view.client);

	if (status)
		return status;
	return options->once ? run_once(&view) : run_curses(&view);
}
