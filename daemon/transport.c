/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A transport: the first request, INIT, and what it decides.
 *
 * The kernel offers io_uring in INIT, and accepting the offer is final: no other request comes before all queues have
 * a buffer. So everything that may fail is made before INIT is answered, and falling back to the classic way is
 * possible until then. Accepting also means that the connection stays usable when somebody turns the kernel's module
 * parameter off.
 */

#include "transport.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "fuse_session.h"
#include "transport_classic.h"
#include "transport_uring.h"

/* The kernel refuses to be read from with less. */
#define INIT_BYTES	  8192
#define ENABLED_PARAMETER "/sys/module/fuse/parameters/enable_uring"

struct zsd_transport {
	struct zsd_transport_options options;
	const struct zsd_frontend_ops *ops;
	void *frontend;
	int ended_fd; /* eventfd */
	struct zsd_fuse_session *session;
	struct zsd_classic *classic;
	struct zsd_uring *uring; /* NULL: not over io_uring */
};

const char *const zsd_transport_names[ZSD_NR_TRANSPORT_KINDS] = {
	[ZSD_TRANSPORT_CLASSIC] = "classic",
	[ZSD_TRANSPORT_URING] = "uring",
	[ZSD_TRANSPORT_AUTO] = "auto",
};

int zsd_transport_parse(const char *name, enum zsd_transport_kind *ret_kind)
{
	for (unsigned int i = 0; i < ZSD_NR_TRANSPORT_KINDS; i++) {
		if (!strcmp(name, zsd_transport_names[i])) {
			*ret_kind = (enum zsd_transport_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

int zsd_poll_parse(const char *text, uint64_t *ret_nsec)
{
	unsigned long limit = ZSD_POLL_LIMIT_NSEC;
	unsigned long unit, number;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	number = strtoul(text, &end, 10);
	if (!strcmp(end, "us"))
		unit = 1000;
	else if (!strcmp(end, "ms"))
		unit = 1000000;
	else if (!number && !*end)
		unit = 1;
	else
		return -EINVAL;
	if (number > limit / unit)
		return -EINVAL;
	*ret_nsec = number * unit;
	return 0;
}

/* io_uring */

/* Why the kernel doesn't offer it, and what to do. */
static const char *missing_offer(void)
{
	ZS_CLEANUP_CLOSE int fd = open(ENABLED_PARAMETER, O_RDONLY | O_CLOEXEC);
	char value;

	if (fd < 0)
		return "this kernel has no FUSE over io_uring, which came with Linux 6.14";
	if (read(fd, &value, 1) == 1 && value == 'N')
		return "it is disabled; as root: 'echo Y >" ENABLED_PARAMETER "', then start again";
	return "the kernel does not offer it for this mount; start again";
}

/* Says what is in the way. Returns what zsd_transport_create() is to return; 0: go on without. */
static int do_without(const struct zsd_transport *transport, const char *reason)
{
	if (transport->options.kind == ZSD_TRANSPORT_AUTO) {
		zs_log(ZS_LOG_NOTICE, "using the classic transport, not io_uring: %s", reason);
		return 0;
	}
	zs_log(ZS_LOG_ERR, "can't serve over io_uring: %s; or use --transport=classic", reason);
	return -EOPNOTSUPP;
}

static int start_classic(struct zsd_transport *transport, bool with_rings)
{
	const struct zsd_classic_options options = {
		.fuse_fd = transport->options.fuse_fd,
		.ended_fd = transport->ended_fd,
		.session = transport->session,
		.ops = transport->ops,
		.frontend = transport->frontend,
		/* With rings few requests come this way, and none soon after another. */
		.poll_max_nsec = with_rings ? 0 : transport->options.poll_max_nsec,
		.nr_threads = with_rings ? 1 : transport->options.nr_threads,
		.has_lane = !with_rings,
	};

	return zsd_classic_create(&options, &transport->classic);
}

/* Rings, and a thread for what the kernel never sends over them: it has nothing to read before INIT is answered. */
static int make_rings(struct zsd_transport *transport)
{
	const struct zsd_uring_options options = {
		.fuse_fd = transport->options.fuse_fd,
		.ended_fd = transport->ended_fd,
		.session = transport->session,
		.ops = transport->ops,
		.frontend = transport->frontend,
		.max_threads = transport->options.nr_threads,
		.first_index = 1, /* 0 is the one classic thread's */
		.may_wait = transport->options.may_wait,
	};
	int r = zsd_uring_create(&options, &transport->uring);

	if (!r)
		r = start_classic(transport, true);
	if (r) {
		zsd_uring_destroy(transport->uring);
		transport->uring = NULL;
	}
	return r;
}

/* Makes the rings, if they are wanted and possible. */
static int prepare_rings(struct zsd_transport *transport, const void *init, size_t length)
{
	char reason[128];
	int r;

	if (transport->options.kind == ZSD_TRANSPORT_CLASSIC || transport->uring)
		return 0;
	if (!zsd_fuse_offers_rings(init, length))
		return do_without(transport, missing_offer());
	r = make_rings(transport);
	if (!r)
		return 0;
	snprintf(reason, sizeof(reason), "%s; %s", strerror(-r), zsd_uring_remedy(r));
	return do_without(transport, reason);
}

/* start */

static int serve_init(struct zsd_transport *transport)
{
	_Alignas(uint64_t) char bytes[INIT_BYTES + ZSD_FUSE_SLACK_BYTES];
	int r = -EAGAIN;

	while (r == -EAGAIN) {
		ssize_t length = read(transport->options.fuse_fd, bytes, INIT_BYTES);

		if (length < 0 && (errno == EINTR || errno == ENOENT))
			continue;
		if (length < 0)
			return -errno;
		r = prepare_rings(transport, bytes, (size_t)length);
		if (!r)
			r = zsd_fuse_session_init(transport->session, bytes, (size_t)length, transport->uring);
	}
	return r;
}

/* It is too late for the classic way now, with this mount. */
static int start_rings(struct zsd_transport *transport)
{
	int r = zsd_uring_start(transport->uring);

	if (!r)
		return 0;
	if (transport->options.kind == ZSD_TRANSPORT_AUTO && transport->options.may_remount)
		return do_without(transport, strerror(-r)) ?: -ECONNRESET;
	zs_log(ZS_LOG_ERR, "can't serve over io_uring: %s; use --transport=classic", strerror(-r));
	return -EOPNOTSUPP;
}

static int start(struct zsd_transport *transport)
{
	int r;

	transport->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (transport->ended_fd < 0)
		return -errno;
	r = zsd_fuse_session_create(transport->options.fuse_fd, transport->ops, transport->frontend,
				    &transport->session);
	if (!r)
		r = serve_init(transport);
	if (!r && !transport->classic)
		r = start_classic(transport, false);
	if (!r && transport->uring)
		r = start_rings(transport);
	return r;
}

static void destroyp(struct zsd_transport **transport)
{
	if (*transport)
		zsd_transport_destroy(*transport);
}

int zsd_transport_create(const struct zsd_transport_options *options, const struct zsd_frontend_ops *ops,
			 void *frontend, struct zsd_transport **ret_transport)
{
	ZS_CLEANUP(destroyp) struct zsd_transport *transport = zs_calloc(1, sizeof(*transport));
	int r;

	zs_assert(options->nr_threads > 0);
	if (!transport)
		return -ENOMEM;
	transport->options = *options;
	transport->ops = ops;
	transport->frontend = frontend;
	transport->ended_fd = -1;
	r = start(transport);
	if (r)
		return r;
	*ret_transport = zs_take(transport);
	return 0;
}

void zsd_transport_destroy(struct zsd_transport *transport)
{
	zsd_uring_destroy(transport->uring);
	zsd_classic_destroy(transport->classic);
	if (transport->session)
		zsd_fuse_session_destroy(transport->session);
	if (transport->ended_fd >= 0)
		close(transport->ended_fd);
	free(transport);
}

/* use */

int zsd_transport_ended_fd(const struct zsd_transport *transport)
{
	return transport->ended_fd;
}

bool zsd_transport_has_failed(const struct zsd_transport *transport)
{
	return transport->uring && zsd_uring_has_failed(transport->uring);
}

void zsd_transport_stats(const struct zsd_transport *transport, struct zsd_transport_stats *ret_stats)
{
	*ret_stats = (struct zsd_transport_stats){
		.classic_refused = zsd_classic_nr_refused(transport->classic),
		.uring_refused = transport->uring ? zsd_uring_nr_refused(transport->uring) : 0,
	};
}

unsigned int zsd_transport_roll_call(struct zsd_transport *transport)
{
	unsigned int nr = zsd_classic_roll_call(transport->classic);

	return transport->uring ? nr + zsd_uring_roll_call(transport->uring) : nr;
}

const char *zsd_transport_describe(const struct zsd_transport *transport, char text[static ZSD_TRANSPORT_TEXT_BYTES])
{
	unsigned int nr = transport->options.nr_threads;

	if (transport->uring)
		return zsd_uring_describe(transport->uring, text, ZSD_TRANSPORT_TEXT_BYTES);
	snprintf(text, ZSD_TRANSPORT_TEXT_BYTES, "%u thread%s, %u with a /dev/fuse of their own", nr,
		 nr == 1 ? "" : "s", zsd_classic_nr_clones(transport->classic));
	return text;
}

void zsd_transport_forget_name(struct zsd_transport *transport, uint64_t node, const char *name)
{
	zsd_fuse_session_forget_name(transport->session, node, name);
}
