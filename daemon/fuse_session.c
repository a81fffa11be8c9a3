/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libfuse's session.
 *
 * libfuse answers in the thread that hands it a request, before it returns, so that a thread-local variable is all it
 * takes to find the sink.
 */

#define FUSE_USE_VERSION 312

#include "fuse_session.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "frontend.h"
#include "fuse_abi.h"
#include "fuse_names.h"

struct zsd_fuse_session {
	struct fuse_session *fuse;
	struct zsd_fuse_names names;
};

/* Of the request that the calling thread has given to libfuse; NULL: the descriptor that libfuse knows. */
static _Thread_local const struct zsd_fuse_sink *current_sink;

static ssize_t write_answer(int fd, struct iovec *parts, int nr_parts, void *userdata)
{
	if (current_sink)
		return current_sink->write(current_sink->argument, parts, nr_parts);
	return writev(fd, parts, nr_parts);
}

/* libfuse wants this one, and doesn't call it. */
static ssize_t read_request(int fd, void *buffer, size_t length, void *userdata)
{
	return read(fd, buffer, length);
}

__attribute__((format(printf, 2, 0))) static void log_libfuse(enum fuse_log_level level, const char *format,
							      va_list arguments)
{
	char line[256];

	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = '\0';
	zs_log(level <= FUSE_LOG_ERR ? ZS_LOG_ERR : ZS_LOG_DEBUG, "libfuse: %s", line);
}

static void destroyp(struct zsd_fuse_session **session)
{
	if (*session)
		zsd_fuse_session_destroy(*session);
}

int zsd_fuse_session_create(int fuse_fd, const struct zsd_frontend_ops *ops, void *frontend,
			    struct zsd_fuse_session **ret_session)
{
	static const struct fuse_custom_io io = {.writev = write_answer, .read = read_request};
	ZS_CLEANUP(destroyp) struct zsd_fuse_session *session = zs_calloc(1, sizeof(*session));
	char *arguments[] = {(char[]){"zsd"}, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, arguments);
	ZS_CLEANUP_CLOSE int fd = -1;

	if (!session)
		return -ENOMEM;
	session->names = (struct zsd_fuse_names){.ops = ops, .frontend = frontend};
	fuse_set_log_func(log_libfuse);
	session->fuse = fuse_session_new(&args, &zsd_fuse_names_ops, sizeof(zsd_fuse_names_ops), &session->names);
	fuse_opt_free_args(&args); /* it has made a copy of ours in there */
	if (!session->fuse)
		return -ENOMEM;
	/* The session closes its descriptor in fuse_session_destroy(), so it gets one of its own. */
	fd = fcntl(fuse_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (fuse_session_custom_io(session->fuse, &io, fd))
		return -ENOMEM;
	fd = -1;
	*ret_session = zs_take(session);
	return 0;
}

void zsd_fuse_session_destroy(struct zsd_fuse_session *session)
{
	if (session->fuse)
		fuse_session_destroy(session->fuse);
	free(session);
}

void zsd_fuse_session_serve(struct zsd_fuse_session *session, void *bytes, size_t length,
			    const struct zsd_fuse_sink *sink)
{
	struct fuse_buf buffer = {.size = length, .mem = bytes};

	memset((char *)bytes + length, 0, ZSD_FUSE_SLACK_BYTES);
	current_sink = sink;
	fuse_session_process_buf(session->fuse, &buffer);
	current_sink = NULL;
}

/* INIT */

struct acceptance {
	int fd;
	uint32_t flags2;
};

/* libfuse doesn't know these flags; what it answers is its own copy, and complete when it gets here. */
static ssize_t accept_more(void *argument, struct iovec *parts, int nr_parts)
{
	const struct acceptance *acceptance = argument;
	struct zsd_fuse_init_out *out = nr_parts == 2 ? parts[1].iov_base : NULL;

	if (acceptance->flags2 && out && parts[1].iov_len >= sizeof(*out)) {
		out->flags |= ZSD_FUSE_INIT_EXTENDED;
		out->flags2 |= acceptance->flags2;
	}
	return writev(acceptance->fd, parts, nr_parts);
}

static bool is_init(const void *bytes, size_t length)
{
	const struct zsd_fuse_in_header *header = bytes;

	return length >= sizeof(*header) && header->opcode == ZSD_FUSE_INIT;
}

static uint32_t offered_flags2(const void *bytes, size_t length)
{
	const struct zsd_fuse_init_in *in = (const void *)((const char *)bytes + sizeof(struct zsd_fuse_in_header));

	if (length < sizeof(struct zsd_fuse_in_header) + sizeof(*in) || !(in->flags & ZSD_FUSE_INIT_EXTENDED))
		return 0;
	return in->flags2;
}

int zsd_fuse_session_init(struct zsd_fuse_session *session, void *bytes, size_t length, bool over_rings)
{
	struct acceptance acceptance = {.fd = fuse_session_fd(session->fuse)};
	const struct zsd_fuse_sink sink = {accept_more, &acceptance};

	if (!is_init(bytes, length))
		return -EPROTO;
	acceptance.flags2 = offered_flags2(bytes, length) & ZSD_FUSE_INIT2_DIRECT_IO_ALLOW_MMAP;
	if (over_rings)
		acceptance.flags2 |= ZSD_FUSE_INIT2_OVER_IO_URING;
	zsd_fuse_session_serve(session, bytes, length, &sink);
	return session->names.ready ? 0 : -EAGAIN;
}

bool zsd_fuse_offers_rings(const void *bytes, size_t length)
{
	const struct zsd_fuse_init_in *in = (const void *)((const char *)bytes + sizeof(struct zsd_fuse_in_header));

	return is_init(bytes, length) && length >= sizeof(struct zsd_fuse_in_header) + sizeof(*in) &&
	       in->major == ZSD_FUSE_MAJOR && (offered_flags2(bytes, length) & ZSD_FUSE_INIT2_OVER_IO_URING);
}

/* names */

void zsd_fuse_session_forget_name(struct zsd_fuse_session *session, uint64_t node, const char *name)
{
	/* ENOENT: the kernel doesn't know the name, or not for this node. EBUSY: somebody mounted something on it. */
	int r = fuse_lowlevel_notify_delete(session->fuse, ZSD_ROOT_NODE, node, name, strlen(name));

	if (r && r != -ENOENT)
		fuse_lowlevel_notify_inval_entry(session->fuse, ZSD_ROOT_NODE, name, strlen(name));
}
